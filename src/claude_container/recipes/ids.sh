# shellcheck shell=sh
# In front of the scripts that give files to the host's user, or become them.

# The id in here that is the host user's own: rootless engines map it to 0, most
# others to itself. An id that the map lacks is kept (idmapped mounts translate it).
inside() { # MAP ID
    while read -r first outside count; do
        if [ "$2" -ge "$outside" ] && [ "$2" -lt $((outside + count)) ]; then
            echo $((first + $2 - outside))
            return
        fi
    done <"$1"
    echo "$2"
}

# In place of this shell, a command with no privilege left; WHO is setpriv's flags for that.
unprivileged() { # SETPRIV WHO COMMAND
    setpriv=$1
    shift
    exec "$setpriv" --no-new-privs --inh-caps=-all --ambient-caps=-all --bounding-set=-all "$@"
}
