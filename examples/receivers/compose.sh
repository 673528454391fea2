#!/bin/sh
# DEPLOY_SCRIPT of adnanh-webhook/hooks.yaml for Docker Compose: the hook checks the signature, this script the fence.
# The project's compose.yaml has images such as example.com/checkout:${VERSION} and a health check.
set -eu
version="$1" fence="$2" state="${DEPLOY_STATE:-/var/lib/deploy}"
answer() { printf '{"status":"%s"}\n' "$1" && exit 0; }
exec 9>"$state/lock" && flock 9
if [ "$fence" -lt "$(cat "$state/fence" 2>/dev/null || echo 0)" ]; then answer outdated; fi
echo "$fence" >"$state/fence"
case "$version" in '' | .* | *[!A-Za-z0-9._-]*) answer failed ;; esac
cd "${DEPLOY_ROOT:-/srv/checkout}"
echo "VERSION=$version" >.env
docker compose up --detach --wait >&2 || answer failed
answer deployed
