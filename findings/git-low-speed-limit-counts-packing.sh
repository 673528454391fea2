#!/usr/bin/env bash
# git: http.lowSpeedLimit ends a healthy fetch whose host takes long to pack, and the host's keepalives do not help.
#
# http.lowSpeedLimit and http.lowSpeedTime read as a bound on a transfer that has become slow. curl also counts the time
# in which the host enumerates and compresses objects and has nothing to send, and the keepalives that upload-pack sends in
# it (5 bytes each, uploadpack.keepAlive) are far below any limit that makes sense. Each try begins anew, so a repository
# that takes longer to pack than lowSpeedTime is never fetched. Without the limit the same fetch succeeds. Seen with git
# 2.39.5 (libcurl 7.88.1).
#
# Uses the git and the go that are installed: git-http-backend behind Go's net/http/cgi, and uploadpack.packObjectsHook for
# the time that packing takes.
set -euo pipefail
work="$(mktemp -d)"
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null LC_ALL=C
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com
git version
git init -q -b main "$work/repo"
git -C "$work/repo" commit -q --allow-empty -m one

# A host that packs for 8 s, and sends a keepalive each second meanwhile.
printf '#!/bin/sh\nsleep 8\nexec "$@"\n' >"$work/slow"
chmod +x "$work/slow"
printf '[uploadpack]\n\tpackObjectsHook = %s\n\tkeepAlive = 1\n' "$work/slow" >"$work/gitconfig"
mkdir "$work/host"
cat >"$work/host/main.go" <<'GO'
package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	panic(http.Serve(l, &cgi.Handler{Path: os.Args[1], Env: []string{
		"GIT_PROJECT_ROOT=" + os.Args[2], "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.Args[3],
	}}))
}
GO
(cd "$work/host" && go mod init host 2>/dev/null && go build -o host .)
"$work/host/host" "$(git --exec-path)/git-http-backend" "$work" "$work/gitconfig" >"$work/address" 2>"$work/log" &
server=$!
for _ in $(seq 100); do [[ -s "$work/address" ]] && break; sleep 0.1; done
url="http://$(cat "$work/address")/repo"
fail=0

expect() { # expect works|fails NAME OPTION...
	local want="$1" name="$2" got=works began=$SECONDS
	shift 2
	git init -q --bare "$work/copy.git"
	git -C "$work/copy.git" "$@" fetch -q "$url" main >"$work/out" 2>&1 || got=fails
	rm -rf "$work/copy.git"
	printf '%-44s %s after %ss\n' "$name" "$got" "$((SECONDS - began))"
	sed 's/^/    /' "$work/out"
	[[ "$got" == "$want" ]] || fail=1
}

expect works 'no limit' -c http.lowSpeedLimit=0
expect fails 'lowSpeedLimit 1000, lowSpeedTime 4' -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=4
exit "$fail"
