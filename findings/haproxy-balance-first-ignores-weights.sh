#!/usr/bin/env bash
# HAProxy: a backend with "balance first" accepts weights at run time and ignores them.
#
# Package:  haproxy 2.6.12 from Debian 12 (pinned below), downloaded and unpacked into a temporary folder.
# Expected: "set server … weight 10" is refused, as it is with "balance static-rr" and "balance source", or has an effect.
# Seen:     it is accepted (an empty answer), "get weight" reports 10 of 100, and the server goes on to get every request
#           that fits into its maxconn.
# Matters:  whoever shifts traffic by weights is told that a canary has 10 %, and it has 100 %. Only the column "algo" of the
#           row BACKEND in "show stat", shown from level operator on, tells.
#
# Needs: Debian 12 (or its package sources), apt-get, dpkg-deb, python3, curl. Runs on loopback ports that are free.
# Exits 0 while HAProxy behaves so, 1 once it does not.
set -euo pipefail

VERSION="${HAPROXY_VERSION:-2.6.12-1+deb12u4}"
dir="$(mktemp -d)"
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT

(cd "$dir" && apt-get download -qq -o APT::Sandbox::User="$(id -un)" "haproxy=$VERSION" liblua5.3-0 && for deb in *.deb; do dpkg-deb -x "$deb" .; done)
export LD_LIBRARY_PATH="$(echo "$dir"/usr/lib/*-linux-gnu)"
haproxy="$dir/usr/sbin/haproxy"
"$haproxy" -v | sed -n 1p

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
python3 "$dir/server.py" "$one" canary & pids+=($!)
python3 "$dir/server.py" "$other" stable & pids+=($!)

cat >"$dir/cfg" <<CFG
global
  stats socket $dir/api level admin
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend front
  bind 127.0.0.1:$front
  default_backend app
backend app
  balance first
  server canary 127.0.0.1:$one weight 100 maxconn 100
  server stable 127.0.0.1:$other weight 100 maxconn 100
CFG
"$haproxy" -db -f "$dir/cfg" 2>"$dir/log" & pids+=($!)
for _ in $(seq 50); do curl -sf "http://127.0.0.1:$front/" >/dev/null && break; sleep 0.1; done

api() { python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall((sys.argv[2] + "\n").encode())
print("".join(iter(lambda: s.recv(65536).decode(), "")).strip())' "$dir/api" "$1"; }

answer="$(api 'set server app/canary weight 10')"
weight="$(api 'get weight app/canary')"
served="$(for _ in $(seq 100); do curl -s "http://127.0.0.1:$front/"; done | grep -c canary || true)"
echo "set server app/canary weight 10 → \"$answer\""
echo "get weight app/canary           → $weight"
echo "requests to canary              → $served of 100"

if [[ -z "$answer" && "$weight" == "10 (initial 100)" && "$served" -eq 100 ]]; then
	echo "still so: the weight is taken and ignored"
else
	echo "changed: this finding no longer holds"
	exit 1
fi
