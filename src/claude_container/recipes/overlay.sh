#!/bin/sh
# What root does for a session of --dir: make the layer for its changes, lay it over the
# user's folder where the engine cannot, and see that it lies.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
lower=$1 changes=$2 merged=$3 laid_by=$4 verb=$5
fail() {
    printf '✗ %s\n' "$1" >&2
    exit 95
}
lay() {
    [ "$laid_by" = container ] || return 0
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$changes/upper,workdir=$changes/work" "$merged"
}
laid() { # is what was mounted there last an overlay?
    found=
    while read -r _ _ _ _ point _ rest; do
        # Any number of other fields come before the kind, up to a "-".
        [ "$point" != "$merged" ] || found=${rest#*- }
    done </proc/self/mountinfo
    case $found in overlay\ *) ;; *) fail "no overlay is laid over the folder" ;; esac
}
listed() { # FOLDER: what is at its top
    ls -A "$1" | head -n 10000 | cksum
}

case $verb in
make) # its top has the owner and mode of the folder's, since these are what is seen
    mkdir -p "$changes/upper" "$changes/work"
    chown "$(stat -c %u:%g "$lower")" "$changes/upper"
    chmod "$(stat -c %a "$lower")" "$changes/upper"
    ;;
check) # that the user's folder is seen, and not one that only has the same path
    lay
    laid
    [ "$(listed "$lower")" = "$(listed "$merged")" ] || fail "another folder is seen in its place"
    ;;
enter) # and put the layers themselves out of claude's sight
    lay
    laid
    [ "$laid_by" != container ] || umount "$lower" "$changes"
    ;;
look) # HOST_IDS PROGRAM: what differs, as git's upload-pack serves it; nothing can be written
    [ "$laid_by" != container ] || mount -t overlay overlay -o "ro,lowerdir=$changes/upper:$lower" "$merged"
    laid
    # shellcheck disable=SC2016
    unprivileged setpriv --reuid "$(inside /proc/self/uid_map "${6%:*}")" \
        --regid "$(inside /proc/self/gid_map "${6#*:}")" --clear-groups \
        /bin/sh -euc '
            export HOME=/tmp/home GIT_CONFIG_GLOBAL=/dev/null LC_ALL=C.UTF-8
            git init --quiet --bare --template= /tmp/view
            python3 -I -c "$@" </dev/null | git -C /tmp/view fast-import --quiet --done >&2
            exec git upload-pack --strict /tmp/view
        ' look "$7" "$lower" "$changes/upper" "$merged" "$changes/brought" "$8"
    ;;
brought) # stdin: ids and paths that a merge brought, for layers.py
    cat >>"$changes/brought"
    ;;
esac
