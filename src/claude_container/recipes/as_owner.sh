# shellcheck shell=sh
# The root half of workspace.sh: run a script as the owner of the workspace, with no
# privilege left. The volume is made over to the host's user first if it is new.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
script=$1 host=$2
shift 2
if [ "$1" = create ]; then
    chown "$(inside /proc/self/uid_map "${host%:*}"):$(inside /proc/self/gid_map "${host#*:}")" /workspace
fi
unprivileged setpriv --reuid "$(stat -c %u /workspace)" --regid "$(stat -c %g /workspace)" \
    --clear-groups /bin/sh -c "$script" workspace "$@"
