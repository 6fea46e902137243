#!/usr/bin/env bash
# Creates the Secrets of deploy/kubernetes: a random token, a salt for user names, a
# certificate authority and the gateway's certificate.
#
#   secrets.sh                 in the namespace otel-callbacks; existing Secrets stay
#   secrets.sh app NAMESPACE   copies the token and the authority's certificate for apps,
#                              and sets the label that the network policy requires
#   secrets.sh dev             also the empty Secrets that overlays/dev mounts
#
# With cert-manager or your own authority, create the Secret otel-gateway-tls (tls.crt,
# tls.key, ca.crt) with it; this script then keeps that Secret. The certificate of this
# script is valid for a year; to renew it, delete the Secret and run the script again.
set -euo pipefail

space=otel-callbacks
here=$(cd "$(dirname "$0")" && pwd)
for tool in kubectl openssl; do
  command -v "$tool" >/dev/null || { echo "secrets: $tool is not on the PATH" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 077

there() { kubectl --namespace "$space" get "$1" "$2" --output name >/dev/null 2>&1; }
make() { kubectl --namespace "$1" create "${@:2}" --dry-run=client --output yaml | kubectl apply --server-side -f -; }

case ${1:-} in
  app)
    app=${2:?the namespace of your apps}
    there secret otel-gateway-token || { echo "secrets: run it without arguments first" >&2; exit 1; }
    kubectl --namespace "$space" get secret otel-gateway-token \
      --output 'jsonpath={.data.token}' | base64 -d >"$work/token"
    kubectl --namespace "$space" get secret otel-gateway-tls \
      --output 'jsonpath={.data.ca\.crt}' | base64 -d >"$work/ca.crt"
    make "$app" secret generic otel-gateway-token --from-file=token="$work/token"
    make "$app" configmap otel-gateway-ca --from-file=ca.crt="$work/ca.crt"
    kubectl label namespace "$app" otel-callbacks/send=true --overwrite
    exit
    ;;
  dev | '') ;;
  *) sed -n '2,12p' "$0"; exit 2 ;;
esac

kubectl apply --server-side -f "$here/base/namespace.yaml"

if ! there secret otel-gateway-token; then
  # Without a line end, which would be part of the token.
  openssl rand -hex 32 | tr -d '\n' >"$work/token"
  openssl rand -hex 32 | tr -d '\n' >"$work/user-salt"
  make "$space" secret generic otel-gateway-token \
    --from-file="$work/token" --from-file="$work/user-salt"
fi

if ! there secret otel-gateway-tls; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 366 \
    -subj "/CN=otel-callbacks authority" -keyout "$work/ca.key" -out "$work/ca.crt" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
    -subj "/CN=otel-gateway" -keyout "$work/tls.key" -out "$work/tls.csr" 2>/dev/null
  names="DNS:otel-gateway,DNS:otel-gateway.$space,DNS:otel-gateway.$space.svc"
  names="$names,DNS:otel-gateway.$space.svc.cluster.local"
  openssl x509 -req -in "$work/tls.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" \
    -CAcreateserial -days 365 -out "$work/tls.crt" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$names") 2>/dev/null
  make "$space" secret generic otel-gateway-tls --from-file="$work/tls.crt" \
    --from-file="$work/tls.key" --from-file="$work/ca.crt"
fi

if [ "${1:-}" = dev ]; then
  # There is no login and no TLS, but the mounts require the Secrets.
  there secret kafka-client || make "$space" secret generic kafka-client
  there secret opensearch-jaeger || make "$space" secret generic opensearch-jaeger \
    --from-literal=username= --from-literal=password= --from-literal=ca.crt=
fi
