#!/usr/bin/env bash
# Deploys with nothing but curl, and waits for the end.
#
#   ROLLCALL_URL=http://localhost:8080 ROLLCALL_TOKEN=… examples/ci/curl.sh checkout v2 [key]
#
# Leaves with 0 when it completed and 1 when it did not. The key names this request: run again with the same one, it is the
# same deployment. Every request here may be repeated, so curl repeats it while the server is restarted.
set -euo pipefail

service="$1" version="$2" key="${3:-$(date +%s)-$$}"
url="${ROLLCALL_URL:-http://localhost:8080}"
call=(curl -sS --fail-with-body --retry 30 --retry-delay 1 --retry-all-errors --max-time 60)
if [[ -n "${ROLLCALL_TOKEN:-}" ]]; then
	call+=(-H "Authorization: Bearer $ROLLCALL_TOKEN")
fi

field() { sed -nE "s/.*\"$1\":\"?([^\",}]*).*/\1/p" <<<"$2"; }

answer="$("${call[@]}" "$url/deployments" -H "Idempotency-Key: $key" -H 'Content-Type: application/json' \
	-d "{\"service\":\"$service\",\"version\":\"$version\"}")"
id="$(sed -nE 's/.*"id":"([0-9a-f-]{36})".*/\1/p' <<<"$answer")"
echo "deployment $id"

while [[ "$answer" == *'"result":null'* ]]; do
	answer="$("${call[@]}" "$url/deployments/$id?wait=30s&after=$(field revision "$answer")")"
	echo "$(field state "$answer"): $(field reason "$answer")"
done
[[ "$answer" == *'"success":true'* ]]
