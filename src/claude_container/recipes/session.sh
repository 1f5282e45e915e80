#!/bin/sh
# shellcheck disable=SC2154
# The user's half of a launch, with no privilege left: seed the state, then become
# claude. What lies in the state and the workspace may be an agent's; it can harm
# no more here than claude itself could.
set -eu
# Sets session, state, workspace, project, continue, git, agent, ld_*.
# shellcheck disable=SC1091
. /run/claude-container/launch

trap 'exit 96' INT
fail() {
    printf '✗ %s\nhint: %s\n' "$1" "$2" >&2
    exit 95
}

# The image's PATH may lead into the workspace: it is for claude, and not for what
# is called here with the token's pipe still open.
image_path=$1 what=$2
shift 2
if [ -n "$agent" ] && [ "$what" != create ] && ! [ -w "$agent" ]; then
    echo "⚠ without ssh: the agent's socket cannot be used by uid $(id -u) in this container" >&2
fi
become() { # PROGRAM ARGUMENTS
    export PATH="$image_path"
    # Empty until now: see LOADER in sessions/payload.py.
    [ -z "$ld_library_path" ] || export LD_LIBRARY_PATH="$ld_library_path"
    [ -z "$ld_preload" ] || export LD_PRELOAD="$ld_preload"
    [ -z "$ld_audit" ] || export LD_AUDIT="$ld_audit"
    # With the variables of devcontainer.json, which are for no program of ours.
    [ ! -f /run/claude-container/env ] || exec /bin/sh /run/claude-container/env "$@"
    exec "$@"
}
if [ "$what" = create ]; then
    create() { # LABEL COMMAND
        label=$1 code=0
        shift
        printf '→ %s\n' "$label" >&2
        (become "$@") </dev/null >&2 || code=$?
        [ "$code" = 0 ] || fail "${label%%:*} failed with exit code $code" \
            "what it said is above; to do without it: --devcontainer none"
    }
    # shellcheck disable=SC1091
    . /run/claude-container/post_create
    exit
fi
[ "$what" != command ] || become "$@"
if [ "$git" = yes ] && ! [ -e "$workspace/.git" ]; then
    fail "there is no repository in session $session any more" \
        "look around in it: claude-container shell $session"
fi
# No settings file may choose where the token goes (see sessions/pins.py).
export CLAUDE_CONFIG_DIR="$state" CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST=1
# Else a configuration from elsewhere would have it ask whether the workspace is trusted.
export CLAUDE_CODE_SANDBOXED=1

claude=$(PATH=$image_path && command -v claude) || fail "the image has no claude" \
    "install it in the Dockerfile, or leave out --image and the Dockerfile to use the default image"
# A repository's own program of that name must not be handed the token.
for path in "$claude" "$(readlink -f "$claude")"; do
    case $path in
        "$workspace"/* | "$state"/* | [!/]* | "") fail "claude is found in the workspace ($claude)" "take that folder out of the image's PATH" ;;
    esac
done

# Without these Claude asks on its screen, with "No, exit" chosen. A file that has
# none of it may come from a copied ~/.claude.json: what it says otherwise stays.
config=$state/.claude.json
if ! grep -q '"' "$config" 2>/dev/null; then
    cat /run/claude-container/seed.json >"$config"
fi
if ! grep -q '"hasCompletedOnboarding": *true' "$config"; then
    sed -i -e 's/"hasCompletedOnboarding": *false/"hasCompletedOnboarding":true/' \
        -e '1s/^ *{/{"hasCompletedOnboarding":true,/' "$config"
fi

# The last conversation, by its name: on a terminal `--continue` takes none that began
# with -p (2.1.330).
if [ "$continue" != no ]; then
    last=
    for file in "$state/projects/$project"/*-*-*-*-*.jsonl; do
        grep -qs '"type":"user"' "$file" || continue
        if [ -z "$last" ] || [ "$file" -nt "$last" ]; then last=$file; fi
    done
    if [ -n "$last" ]; then
        last=${last##*/}
        set -- --resume "${last%.jsonl}" "$@"
    elif [ "$continue" = yes ]; then
        fail "there is nothing to continue in session $session" "leave out --continue to begin"
    fi
fi

# Ctrl-Z: Claude stops its process group and waits for a shell's `fg` (2.1.330).
# There is no shell in here to go back to, so it is woken at once.
if [ -t 0 ]; then
    (
        trap '' TSTP
        trap - INT
        while sleep 1 && read -r _ _ run_state _ </proc/$$/stat; do
            [ "$run_state" != T ] || kill -CONT -$$
        done
    ) 2>/dev/null 3<&- &
fi
become "$claude" "$@"
