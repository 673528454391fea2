#!/usr/bin/env bash
# nginx: "nginx -s reload" returns 0 before anything has happened, also when the new configuration is never taken.
#
# Package:  nginx 1.22.1 from Debian 12 (pinned below), downloaded and unpacked into a temporary folder.
# Expected: after exit status 0 the new upstream weights hold; a configuration that cannot be used is an error.
# Seen:     1. requests that are sent after the command has returned are still answered by a server that the new configuration
#           marks "down", for some 10 to 150 ms.
#           2. with an additional "listen" on a port that is taken, "nginx -t" and "nginx -s reload" both exit with 0; the old
#           configuration stays for good, and only the error log says so ("bind() … failed").
# Matters:  a deployment that takes a server out by a reload and then calls it must ask for the truth, not for the exit status.
#
# Needs: Debian 12 (or its package sources), apt-get, dpkg-deb, python3, curl. Runs on loopback ports that are free.
# Exits 0 while nginx behaves so, 1 once it does not.
set -euo pipefail

VERSION="${NGINX_VERSION:-1.22.1-9+deb12u11}"
dir="$(mktemp -d)"
pids=()
trap '"${nginx[@]}" -s stop 2>/dev/null || true; kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT

(cd "$dir" && apt-get download -qq -o APT::Sandbox::User="$(id -un)" "nginx=$VERSION" && for deb in *.deb; do dpkg-deb -x "$deb" .; done)
nginx=("$dir/usr/sbin/nginx" -e "$dir/error.log" -p "$dir" -c "$dir/conf")
"${nginx[0]}" -v

free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
front="$(free)" one="$(free)" other="$(free)"

cat >"$dir/server.py" <<'PY'
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[2].encode() + b"\n")
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
PY
python3 "$dir/server.py" "$one" one & pids+=($!)
python3 "$dir/server.py" "$other" other & pids+=($!)

configure() { # the parameters of each server, and a further line for the server block
	cat >"$dir/conf" <<CONF
pid $dir/pid;
error_log $dir/error.log;
events {}
http {
  access_log off;
  client_body_temp_path $dir/t1; proxy_temp_path $dir/t2; fastcgi_temp_path $dir/t3; uwsgi_temp_path $dir/t4; scgi_temp_path $dir/t5;
  upstream app { server 127.0.0.1:$one $1; server 127.0.0.1:$other $2; }
  server { listen 127.0.0.1:$front; $3 location / { proxy_pass http://app; } }
}
CONF
}
ask() { curl -s "http://127.0.0.1:$front/"; }

configure "weight=1" "" ""
"${nginx[@]}"
for _ in $(seq 50); do ask >/dev/null && break; sleep 0.1; done

stale=0
for round in 1 2 3 4 5; do
	configure "down" "" ""
	"${nginx[@]}" -s reload 2>/dev/null
	early="$(for _ in 1 2 3 4 5; do ask; done | grep -c '^one' || true)"
	stale=$((stale + early))
	sleep 1
	late="$(for _ in 1 2 3 4 5; do ask; done | grep -c '^one' || true)"
	echo "round $round: answered by the server that is down: $early of 5 at once, $late of 5 a second later"
	[[ "$late" -eq 0 ]] || exit 1
	configure "" "" ""
	"${nginx[@]}" -s reload 2>/dev/null
	sleep 1
done

configure "down" "" "listen 127.0.0.1:$other;" # a port that is taken
test_status=0 reload_status=0
"${nginx[@]}" -t 2>/dev/null || test_status=$?
"${nginx[@]}" -s reload 2>/dev/null || reload_status=$?
sleep 4
kept="$(for _ in $(seq 10); do ask; done | grep -c '^one' || true)"
echo "a port that is taken: nginx -t exits with $test_status, nginx -s reload with $reload_status; the server that is down answers $kept of 10"
grep -m1 'bind()' "$dir/error.log" | sed "s|$dir|…|g"

if [[ "$stale" -gt 0 && "$test_status" -eq 0 && "$reload_status" -eq 0 && "$kept" -gt 0 ]]; then
	echo "still so: exit status 0 says nothing of the configuration that serves"
else
	echo "changed: this finding no longer holds"
	exit 1
fi
