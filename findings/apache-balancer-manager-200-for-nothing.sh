#!/usr/bin/env bash
# Apache httpd: the balancer manager answers 200 to changes that it ignores.
#
# Package:  apache2-bin 2.4.71 from Debian 12 (pinned below), downloaded and unpacked into a temporary folder.
# Expected: a change that is not made is answered with an error (4xx).
# Seen:     without the page's nonce, without a Referer of the page itself, and with a load factor outside 1 to 100, a POST is
#           answered with 200 and the usual page, and nothing has changed.
# Matters:  a program that sets weights there has to read the page again; the status says nothing.
#
# Needs: Debian 12 (or its package sources), apt-get, dpkg-deb, python3, curl. Runs on loopback ports that are free.
# Exits 0 while Apache behaves so, 1 once it does not.
set -euo pipefail

VERSION="${APACHE_VERSION:-2.4.71-1~deb12u1}"
dir="$(mktemp -d)"
apache=(true)
trap '"${apache[@]}" -k stop 2>/dev/null || true; sleep 1; rm -rf "$dir"' EXIT

(cd "$dir" && apt-get download -qq -o APT::Sandbox::User="$(id -un)" "apache2-bin=$VERSION" libapr1 libaprutil1 && for deb in *.deb; do dpkg-deb -x "$deb" .; done)
export LD_LIBRARY_PATH="$(echo "$dir"/usr/lib/*-linux-gnu)"
apache=("$dir/usr/sbin/apache2" -f "$dir/conf")
"${apache[0]}" -v | sed -n 1p

free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
front="$(free)" one="$(free)" other="$(free)"
manager="http://127.0.0.1:$front/balancer-manager"
worker="http://127.0.0.1:$one"

{
	for module in mpm_event authz_core proxy proxy_http proxy_balancer lbmethod_byrequests slotmem_shm; do
		echo "LoadModule ${module}_module $dir/usr/lib/apache2/modules/mod_$module.so"
	done
	cat <<CONF
ServerName localhost
PidFile $dir/pid
ErrorLog $dir/error.log
DefaultRuntimeDir $dir
Mutex file:$dir
Listen 127.0.0.1:$front
<Location /balancer-manager>
  SetHandler balancer-manager
</Location>
<Proxy balancer://app>
  BalancerMember $worker loadfactor=7
  BalancerMember http://127.0.0.1:$other loadfactor=1
</Proxy>
ProxyPass /app balancer://app/
CONF
} >"$dir/conf"
"${apache[@]}" -k start
for _ in $(seq 50); do curl -sf "$manager" >/dev/null && break; sleep 0.1; done

# The page of a worker has its load factor in a field of its form.
nonce() { curl -s "$manager" | grep -o 'nonce=[-0-9a-f]*' | sed -n '1s/nonce=//p'; }
factor() {
	curl -sG "$manager" -e "$manager" --data-urlencode "b=app" --data-urlencode "w=$worker" --data-urlencode "nonce=$(nonce)" |
		grep -o "name='w_lf'[^>]*" | sed "s/.*value='\\([0-9.]*\\)'.*/\\1/"
}
change() { # further arguments for curl; prints the status
	curl -s -o /dev/null -w '%{http_code}' "$manager" --data-urlencode "b=app" --data-urlencode "w=$worker" "$@"
}

began="$(factor)"
echo "load factor at the start          → $began"
bad=0
try() { # what, load factor afterwards, arguments
	local status now
	status="$(change "${@:3}")"
	now="$(factor)"
	printf '%-33s → HTTP %s, load factor %s\n' "$1" "$status" "$now"
	[[ "$status" == 200 && "$now" == "$2" ]] || bad=1
}
try "no nonce" "$began" -e "$manager" -d w_lf=50
try "no Referer" "$began" -d w_lf=50 -d "nonce=$(nonce)"
try "load factor 0" "$began" -e "$manager" -d w_lf=0 -d "nonce=$(nonce)"
try "load factor 101" "$began" -e "$manager" -d w_lf=101 -d "nonce=$(nonce)"
try "all as it should be" "50.00" -e "$manager" -d w_lf=50 -d "nonce=$(nonce)"

if [[ "$bad" -eq 0 ]]; then
	echo "still so: 200 says nothing"
else
	echo "changed: this finding no longer holds"
	exit 1
fi
