#!/usr/bin/env bash
# git: safe.directory given by -c or by GIT_CONFIG_COUNT does not reach the process that serves a file:// remote.
#
# git's documentation calls both "protected configuration", which safe.directory is read from, and they do work for a
# repository that a command opens itself. A fetch of a file:// remote starts git-upload-pack, and git removes both from
# the environment of that process: the remote is refused for "dubious ownership", and the advice that git prints with it
# (git config --global) has no effect where GIT_CONFIG_GLOBAL points elsewhere. A file that GIT_CONFIG_GLOBAL names does
# reach that process. Seen with git 2.39.5.
#
# Uses only the git that is installed. GIT_TEST_ASSUME_DIFFERENT_OWNER, of git's own tests, makes every repository one of
# another owner, so that this needs no second user.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null HOME="$work" LC_ALL=C
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com
git version
git init -q -b main "$work/repo"
git -C "$work/repo" commit -q --allow-empty -m one
export GIT_TEST_ASSUME_DIFFERENT_OWNER=1
cd "$work"
fail=0

expect() { # expect works|refused NAME COMMAND...
	local want="$1" name="$2" got=works
	shift 2
	"$@" >"$work/out" 2>&1 || got=refused
	if [[ "$got" == refused ]] && ! grep -q 'dubious ownership' "$work/out"; then
		got="failed otherwise: $(head -1 "$work/out")"
	fi
	printf '%-62s %s\n' "$name" "$got"
	[[ "$got" == "$want" ]] || fail=1
}

expect works 'git -c safe.directory=*, opening the repository itself' git -c 'safe.directory=*' -C repo log -1
expect refused 'git -c safe.directory=*, file:// remote' git -c 'safe.directory=*' ls-remote "file://$work/repo"
expect refused 'GIT_CONFIG_COUNT with safe.directory=*, file:// remote' \
	env GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory 'GIT_CONFIG_VALUE_0=*' git ls-remote "file://$work/repo"
printf '[safe]\n\tdirectory = *\n' >"$work/gitconfig"
expect works 'a file named by GIT_CONFIG_GLOBAL, file:// remote' env GIT_CONFIG_GLOBAL="$work/gitconfig" git ls-remote "file://$work/repo"
exit "$fail"
