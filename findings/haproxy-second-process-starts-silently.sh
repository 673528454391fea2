#!/usr/bin/env bash
# HAProxy: a second process with the same configuration starts without a word, and takes the runtime socket with it.
#
# Package:  haproxy 2.6.12 from Debian 12 (pinned below), downloaded and unpacked into a temporary folder.
# Expected: the second process fails to bind, as other servers do ("address already in use"), or at least warns.
# Seen:     it starts; both take connections of the same port (SO_REUSEPORT), but the path of "stats socket" now leads to the
#           second alone. A server that is put into maintenance there goes on to get about half of the traffic, through the
#           first process, which nobody can reach any more.
# Matters:  the runtime API then reports half the truth. "Pid" in "show info" changes once, and that is all there is to see.
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
python3 "$dir/server.py" "$one" one & pids+=($!)
python3 "$dir/server.py" "$other" other & pids+=($!)

cat >"$dir/cfg" <<CFG
global
  stats socket $dir/api level admin
  nbthread 1
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend front
  bind 127.0.0.1:$front
  default_backend app
backend app
  balance roundrobin
  server one 127.0.0.1:$one
  server other 127.0.0.1:$other
CFG

api() { python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall((sys.argv[2] + "\n").encode())
print("".join(iter(lambda: s.recv(65536).decode(), "")).strip())' "$dir/api" "$1"; }
pid() { api 'show info' | sed -n 's/^Pid: //p'; }

"$haproxy" -db -f "$dir/cfg" 2>"$dir/log1" & first=$!; pids+=("$first")
for _ in $(seq 50); do curl -sf "http://127.0.0.1:$front/" >/dev/null && break; sleep 0.1; done
before="$(pid)"
"$haproxy" -db -f "$dir/cfg" 2>"$dir/log2" & second=$!; pids+=("$second")
for _ in $(seq 50); do [[ "$(pid)" == "$second" ]] && break; sleep 0.1; done
after="$(pid)"
words="$(cat "$dir/log2")"
api 'set server app/one state maint' >/dev/null
served="$(for _ in $(seq 200); do curl -s "http://127.0.0.1:$front/"; done | grep -c '^one' || true)"

echo "Pid in show info                   → $before, then $after"
echo "what the second printed            → \"$words\""
echo "both still run                     → $(kill -0 "$first" "$second" && echo yes)"
echo "requests to a server in maintenance → $served of 200"

if [[ "$before" == "$first" && "$after" == "$second" && -z "$words" && "$served" -gt 10 ]] && kill -0 "$first" "$second"; then
	echo "still so: two processes share the port, and one of them cannot be reached"
else
	echo "changed: this finding no longer holds"
	exit 1
fi
