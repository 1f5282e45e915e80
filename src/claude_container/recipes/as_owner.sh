# shellcheck shell=sh
# The root half of workspace.sh: run a script as the owner of the workspace, with no
# privilege left. The volume is made over to the host's user first if it is new.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
script=$1 host=$2
shift 2
# As in entrypoint.sh: the id in here that is the host user's own.
inside() { # MAP ID
    while read -r first outside count; do
        if [ "$2" -ge "$outside" ] && [ "$2" -lt $((outside + count)) ]; then
            echo $((first + $2 - outside))
            return
        fi
    done <"$1"
    echo "$2"
}
if [ "$1" = create ]; then
    chown "$(inside /proc/self/uid_map "${host%:*}"):$(inside /proc/self/gid_map "${host#*:}")" /workspace
fi
exec setpriv --reuid "$(stat -c %u /workspace)" --regid "$(stat -c %g /workspace)" --clear-groups \
    --no-new-privs --inh-caps=-all --ambient-caps=-all --bounding-set=-all \
    /bin/sh -c "$script" workspace "$@"
