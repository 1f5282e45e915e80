#!/bin/sh
# shellcheck disable=SC2154
# Become the user of this container, as entrypoint.sh made them out, with no privilege
# left. Also what `shell` and `exec` enter a running session by.
set -eu
here=/run/claude-container
# Sets tools.
# shellcheck disable=SC1091
. "$here/launch"
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
{
    read -r uid
    read -r gid
    read -r home
    read -r user
    read -r image_path
    read -r shell
} <"$here/user"
[ "$uid" != 0 ] || export IS_SANDBOX=1
export HOME="$home" USER="$user" LOGNAME="$user"
[ ! -x "$shell" ] || export SHELL="$shell"
# By its path: busybox's shell runs its own setpriv, whatever the PATH.
unprivileged "${tools:+$tools/bin/}setpriv" --reuid "$uid" --regid "$gid" --init-groups \
    "$here/session" "$image_path" "$@"
