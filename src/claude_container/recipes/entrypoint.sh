#!/bin/sh
# shellcheck disable=SC2154,SC3040
# The root half of a launch: make the user, take the token off the disk, drop every
# privilege. It asks an image for a POSIX sh and for the programs that look.sh looks for.
#
# Nothing here may read, write or run a file that the agent can change: the
# workspace and the state volume outlive a container. So PATH is the system's own
# until the privileges are gone, and the user's half (session.sh) does the rest.
set -eu
here=/run/claude-container
# Sets host_uid, host_gid, state, workspace, tools, lends_libc, overlay, lower, changes,
# agent, agent_is_roots, remote_user.
# shellcheck disable=SC1091
. "$here/launch"
image_path=${tools:+$tools/first:}$PATH${tools:+:$tools/bin}
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

trap 'exit 96' INT
fail() {
    printf '✗ %s\nhint: %s\n' "$1" "$2" >&2
    exit 95
}

# What the image lacks, read-only: claude, and bash, ps and setpriv (sessions/tools.py).
if [ -n "$tools" ]; then
    [ -e "$tools/whole" ] || fail "the volume with claude in it was just removed" "try again"
    if [ "$lends_libc" = yes ]; then
        {
            read -r loader
            read -r libc
        } <"$tools/libc"
        mkdir -p "${loader%/*}" "${libc%/*}"
        [ -e "$loader" ] || ln -s "$tools/lib/ld.so" "$loader"
        [ -e "$libc" ] || ln -s "$tools/lib" "$libc"
    fi
    [ -d /tmp ] || mkdir -m 1777 /tmp
fi

# A workspace that is an overlay; an agent must not work on nothing, thinking that it is all.
if [ -n "$overlay" ]; then
    /bin/sh "$here/overlay" "$lower" "$changes" "$workspace" "$overlay" enter ||
        fail "the overlay is not there" "was the session just deleted? begin it again"
    # We stand in what it was laid over.
    cd "$workspace"
fi

uid=$(inside /proc/self/uid_map "$host_uid")
gid=$(inside /proc/self/gid_map "$host_gid")

# The image's own user of that id, or a new one.
entry() { # FILE ID: the line of passwd or group with that id
    while IFS=: read -r name password id rest || [ -n "$name" ]; do
        [ "$id" != "$2" ] || { printf '%s\n' "$name:$password:$id:$rest" && return; }
    done <"$1"
}
add() { # FILE LINE: also after a last line that has no end
    [ -z "$(tail -c 1 "$1")" ] || echo >>"$1"
    printf '%s\n' "$2" >>"$1"
}
touch /etc/passwd /etc/group
[ -n "$(entry /etc/group "$gid")" ] || add /etc/group "claude-$gid:x:$gid:"
old_uid=$uid shell=
if [ -n "$remote_user" ]; then
    # The user that devcontainer.json names gets that id, and keeps its home and shell.
    user=
    while IFS=: read -r name password id _ rest || [ -n "$name" ]; do
        [ "$name" != "$remote_user" ] || { user=$name:$password:$uid:$gid:$rest old_uid=$id && break; }
    done </etc/passwd
    [ -n "$user" ] || fail "the image has no user $remote_user, whom devcontainer.json names" \
        "make it in the Dockerfile, or name another as remoteUser; --devcontainer none does without"
    # In front of the others: it is the first that counts, for a name and for an id.
    others=$(cat /etc/passwd)
    printf '%s\n' "$user" "$others" >/etc/passwd
    shell=${user##*:}
    case $shell in */nologin | */false) shell= ;; esac
else
    user=$(entry /etc/passwd "$uid")
fi
if [ -z "$user" ]; then
    user="claude-$uid:x:$uid:$gid:Claude:/home/claude:/bin/sh"
    [ -x /bin/bash ] && user="${user%/bin/sh}/bin/bash"
    add /etc/passwd "$user"
fi
home=${user%:*}
home=${home##*:}

# Below a mount point lies what is not ours: a folder of the host's.
mounts_below() { # FOLDER: the mount points in it, itself included
    while read -r _ _ _ _ point _; do
        case $point in *\\*) point=$(printf '%b' "$point") ;; esac
        case $point/ in "$1"/*) printf '%s\n' "$point" ;; esac
    done </proc/self/mountinfo
}
own() { # FOLDER [UID]: give all in it (or that id's) to the user, but for what is mounted below
    folder=$1 whose=${2:+-user $2}
    set --
    while IFS= read -r point; do
        [ -n "$point" ] && [ "$point" != "$folder" ] || continue
        # -path takes a pattern.
        set -- "$@" -path "$(printf '%s\n' "$point" | sed 's/[][*?\\]/\\&/g')" -prune -o
    done <<POINTS
$(mounts_below "$folder")
POINTS
    # -h: what a link points to is not ours to give away either.
    # shellcheck disable=SC2086
    find "$folder" "$@" $whose -exec chown -h "$uid:$gid" {} +
}
# The home of a user that got another id: what was theirs, in a folder of the image's own.
if [ "$old_uid" != "$uid" ] && [ "$old_uid" != 0 ] && [ -d "$home" ] && [ "$home" != / ] &&
    [ "$(readlink -f "$home")" = "$home" ] && [ "$(stat -c %d "$home")" = "$(stat -c %d /)" ]; then
    [ -z "$(find "$home" -user "$old_uid" | sed -n 2000p)" ] ||
        echo "→ giving the files in $home, which the image made for uid $old_uid, to uid $uid" >&2
    own "$home" "$old_uid"
fi
if [ "$uid$remote_user" != 0 ] && { [ ! -d "$home" ] || [ "$(stat -c %u "$home")" != "$uid" ]; }; then
    home=/home/claude
    mkdir -p "$home"
    mounts_below "$home" | grep -qx "$home" || chown "$uid:$gid" "$home"
fi
if [ "$(stat -c %u "$state")" != "$uid" ]; then
    if [ -z "$(ls -A "$state")" ]; then chown "$uid:$gid" "$state"; else own "$state"; fi
    chmod 0700 "$state"
fi

# Who commits, unless the image or the repository says otherwise.
grep -qs '^\[user\]' /etc/gitconfig || cat "$here/gitconfig" >>/etc/gitconfig
printf '[safe]\n\tdirectory = %s\n' "$workspace" >>/etc/gitconfig

# A company's certificate: added to what the image trusts, for every program in it.
if [ -s "$here/ca.crt" ]; then
    bundle=$here/ca.crt
    for system in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
        if [ -f "$system" ]; then
            cat "$here/ca.crt" >>"$system"
            bundle=$system
            break
        fi
    done
    export NODE_EXTRA_CA_CERTS="${NODE_EXTRA_CA_CERTS:-$here/ca.crt}"
    export SSL_CERT_FILE="${SSL_CERT_FILE:-$bundle}" REQUESTS_CA_BUNDLE="${REQUESTS_CA_BUNDLE:-$bundle}"
fi

# The ssh agent. A virtual machine's own socket is root's in there, and is made over to
# the user; any other is the user's on the host, and nothing of it may change.
if [ "$agent_is_roots" = yes ] && [ "$(stat -c %u "$agent")" != "$uid" ]; then
    chown "$uid" "$agent" || :
fi
if [ -f "$here/known_hosts" ]; then
    mkdir -p /etc/ssh
    touch /etc/ssh/ssh_known_hosts
    add /etc/ssh/ssh_known_hosts "$(cat "$here/known_hosts")"
fi

# An image's own variable of that name would be handed on.
unset token
token=
if [ -f "$here/token" ]; then
    token=$(cat "$here/token")
    rm -f "$here/token"
fi

printf '%s\n' "$uid" "$gid" "$home" "${user%%:*}" "$image_path" "$shell" >"$here/user"

# postCreateCommand, as the user. The token is in this process's memory alone, which no uid
# without its capabilities can read; and nothing that it started is there when claude comes.
if [ -f "$here/post_create" ]; then
    # Only in a process namespace of our own is everybody ours.
    [ "$PPID" = 1 ] || fail "postCreateCommand needs a container with its own processes" \
        "do without: --devcontainer none"
    code=0
    /bin/sh "$here/inside" create || code=$?
    kill -KILL -1 2>/dev/null || :
    case $code$1 in
        0*) ;;
        95command) echo "⚠ going on without it" >&2 ;;
        *) exit "$code" ;;
    esac
fi

# The token goes from a root-only file into an anonymous pipe: a named one, or a
# file, could be read again through /proc. A here-document is such a pipe in dash,
# busybox and bash from 5.1 on; older bash makes a file of it, hence the other way.
if [ -n "$token" ]; then
    if [ -n "${BASH_VERSION:-}" ]; then
        set +o posix
        eval 'exec 3< <(printf %s "$token")'
    else
        exec 3<<TOKEN
$token
TOKEN
    fi
    unset token
    case $(readlink /proc/self/fd/3) in
        pipe:*) export CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR=3 ;;
        *) fail "this image's /bin/sh cannot hand over the token" "use an image with dash, busybox or bash as /bin/sh" ;;
    esac
fi

exec /bin/sh "$here/inside" "$@"
