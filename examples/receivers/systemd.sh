#!/bin/sh
# DEPLOY_SCRIPT of adnanh-webhook/hooks.yaml for a systemd service: the hook checks the signature, this script the fence.
# /opt/checkout/current, which the service runs, becomes the folder of the version.
set -eu
version="$1" fence="$2" service="${DEPLOY_SERVICE:-checkout}" state="${DEPLOY_STATE:-/var/lib/deploy}"
answer() { printf '{"status":"%s"}\n' "$1" && exit 0; }
exec 9>"$state/lock" && flock 9
if [ "$fence" -lt "$(cat "$state/fence" 2>/dev/null || echo 0)" ]; then answer outdated; fi
echo "$fence" >"$state/fence"
case "$version" in '' | .* | *[!A-Za-z0-9._+-]*) answer failed ;; esac
folder="${DEPLOY_ROOT:-/opt}/$service"
[ -d "$folder/$version" ] || answer failed
ln -sfn "$folder/$version" "$folder/current"
systemctl restart "$service" >&2 && systemctl is-active "$service" >&2 || answer failed
answer deployed
