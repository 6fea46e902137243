#!/usr/bin/env bash
# Fills a folder that OpenTelemetry's operator can put before an app's own packages.
#
#   fill.sh PINS WHEEL FOLDER [native]
#
# PINS is requirements/zero-code.txt, WHEEL a wheel of otel_callbacks. Only the packages
# of packages.txt go in: what comes with LangChain anyway (pydantic, requests, httpx,
# langchain_core itself) would hide the app's own. All of it is plain Python, so that
# one folder serves every Python from 3.11 on, with glibc and musl. "native": protobuf
# with its compiled part, for glibc; it is built once for all versions of Python.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pins=$1 wheel=$2 folder=$3 native=${4:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The pins of these packages, with their hashes; a list is complete, so --no-deps.
awk -v names="$here/packages.txt" '
  BEGIN { while ((getline line < names) > 0) wanted[line] = 1 }
  /^[a-z]/ { name = $1; sub(/==.*/, "", name); chosen = name in wanted }
  chosen { print }
' "$pins" >"$work/pins.txt"
[ "$(grep -c == "$work/pins.txt")" = "$(grep -c . "$here/packages.txt")" ] ||
  { echo "fill: $pins lacks some of packages.txt" >&2; exit 1; }

pip() {
  python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir \
    --no-deps --only-binary :all: --no-compile --target "$folder" "$@"
}
pip --require-hashes --platform any --implementation py --abi none --python-version 3.11 \
  -r "$work/pins.txt"
if [ -n "$native" ]; then
  awk '/^[a-z]/ { chosen = /^protobuf==/ } chosen { print }' "$pins" >"$work/native.txt"
  pip --require-hashes --upgrade -r "$work/native.txt"
fi
pip --no-index "$wheel"
rm -rf "$folder/bin"
chmod -R a+rX "$folder"
