#!/bin/sh
# shellcheck disable=SC2154
# The user's half of a launch, with no privilege left: seed the state, then become
# claude. What lies in the state and the workspace may be an agent's; it can harm
# no more here than claude itself could.
set -eu
# Sets session, state, workspace, project, continue.
# shellcheck disable=SC1091
. /run/claude-container/launch

fail() {
    printf '✗ %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

PATH=$1
shift
export PATH CLAUDE_CONFIG_DIR="$state"

claude=$(command -v claude) || fail "the image has no claude" \
    "install it in the Dockerfile, or leave --image and the Dockerfile away to use the default image"
# A repository's own program of that name must not be handed the token.
case $claude in "$workspace"/*) fail "claude is found in the workspace ($claude)" "take that folder out of the image's PATH" ;; esac

# Without these Claude asks on its screen, with "No, exit" chosen.
if [ ! -s "$state/.claude.json" ]; then
    cat /run/claude-container/seed.json >"$state/.claude.json"
fi

if [ "$continue" = yes ]; then
    set -- --continue "$@"
    ls "$state/projects/$project"/*.jsonl >/dev/null 2>&1 ||
        fail "there is nothing to continue in session $session" "leave --continue away to begin"
fi
exec "$claude" "$@"
