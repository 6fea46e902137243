#!/usr/bin/env bash
# Fills a folder that OpenTelemetry's operator can put before an app's own packages.
#
#   fill.sh PINS WHEEL FOLDER [native]
#
# PINS is requirements/zero-code.txt, WHEEL a wheel of otel_callbacks. The folder has only
# the packages of packages.txt: those that come with LangChain (pydantic, requests, httpx,
# langchain_core itself) would hide the app's own. All packages are pure Python, so one
# folder works with every Python from 3.11 on, with glibc and musl. "native" installs
# protobuf with its compiled part, for glibc; one build works with all Python versions.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pins=$1 wheel=$2 folder=$3 native=${4:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The pins of these packages, with their hashes. The list is complete, so --no-deps.
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
