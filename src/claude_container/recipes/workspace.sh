# shellcheck shell=sh
# What is done in a session's workspace for the host, by a throw-away container of the
# default image: no network, no capability, as the session's user.
#
# The tree and its .git are an agent's. Whatever they make git do happens in here, and
# only git's wire protocol leaves.
set -eu
verb=$1
shift
export HOME=/tmp/home GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 GIT_OPTIONAL_LOCKS=0 LC_ALL=C.UTF-8
# Hooks and the like would only be in the way here.
quiet() { git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c gc.auto=0 "$@"; }
fail() {
    printf '✗ %s\n' "$1" >&2
    exit 95
}

# Run within what is left of the time that a look has before somebody stops waiting.
limited() {
    left=$((until - $(date +%s)))
    [ "$left" -gt 0 ] && timeout "$left" "$@"
}
# Whatever .gitmodules says: what is in a submodule is lost with the rest.
status() { # FLAGS OF GIT
    limited git -c core.fsmonitor=false "$@" status --porcelain -z --no-renames --untracked-files=normal --ignore-submodules=none
}
rows() { tr -cd '\0' | wc -c; }

# How many paths are uncommitted, which are then in /tmp/status; -1 where git cannot tell.
# First come rows of what no commit of the workspace could take: "-- WHERE: what".
pending() {
    until=$(($(date +%s) + 40))
    if ! status >/tmp/status; then
        : >/tmp/status
        echo -1
        return
    fi
    elsewhere >/tmp/elsewhere
    cat /tmp/elsewhere /tmp/status >/tmp/all
    mv /tmp/all /tmp/status
    rows </tmp/status
}

# Linked worktrees with work in them, and submodules with branches of their own.
elsewhere() {
    for own in .git/worktrees/*/; do
        tree=$(sed 's|/\.git$||' "$own/gitdir" 2>/dev/null) && [ -d "$tree" ] || continue
        # One that is not ignored is a row already.
        ! tr '\0' '\n' </tmp/status | grep -qxF "?? ${tree#/workspace/}/" || continue
        count=unknown
        ! status --git-dir="$own" --work-tree="$tree" >/tmp/own 2>/dev/null || count=$(rows </tmp/own)
        [ "$count" = 0 ] || printf -- '-- %s: %s uncommitted\0' "$tree" "$count"
    done
    # Not by `git submodule`: those of other branches are there, too.
    find .git/modules -type d \( -name refs -o -name logs \) -exec test -e {}/../HEAD \; -prune -o -name HEAD -exec dirname {} \; 2>/dev/null | while IFS= read -r own; do
        at() { GIT_WORK_TREE=. git --git-dir="$own" rev-parse --quiet --verify "$1" 2>/dev/null || :; }
        # shellcheck disable=SC2046
        count=$(GIT_WORK_TREE=. limited git --git-dir="$own" rev-list --count --branches $(at refs/stash) --not $(at HEAD) --remotes --tags 2>/dev/null) || count=unknown
        [ "$count" = 0 ] || printf -- '-- %s: %s commits on other branches\0' "$own" "$count"
    done
}

# Commits that no ref holds, and by what they are known: older stashes, detached worktrees.
unheld() {
    git log -g --format='%H %gd' refs/stash -- 2>/dev/null | tail -n +2
    for own in .git/worktrees/*/; do
        ! git --git-dir="$own" symbolic-ref --quiet HEAD >/dev/null 2>&1 || continue
        commit=$(git --git-dir="$own" rev-list --max-count=1 HEAD ${head:+--not "$head"} 2>/dev/null) || continue
        [ -z "$commit" ] || echo "$commit ${own#.git/}HEAD"
    done
}

# A bare repository that borrows the workspace's objects and has only the refs that are
# to be seen: the agent's configuration, replace refs, grafts and hooks do not count in it.
view() {
    export GIT_NO_REPLACE_OBJECTS=1
    cd /workspace
    objects=$(git rev-parse --path-format=absolute --git-path objects) || fail "git finds no repository in the workspace"
    git init --quiet --bare --template= --object-format="$(git rev-parse --show-object-format)" /tmp/view
    mkdir -p /tmp/view/objects/info
    printf '%s\n' "$objects" >/tmp/view/objects/info/alternates
    shallow=$(git rev-parse --git-path shallow)
    [ ! -s "$shallow" ] || cp "$shallow" /tmp/view/shallow
    if ! head=$(git rev-parse --verify --quiet 'HEAD^{commit}'); then
        ! git rev-parse --verify --quiet HEAD || fail "git cannot read the commit at HEAD"
        head=
    fi
    branch=$(git symbolic-ref --quiet HEAD) || branch=
    git for-each-ref --count=1000 --format='%(objectname) %(refname)' refs/heads >/tmp/heads || fail "git cannot list the branches"
    {
        cat /tmp/heads
        case $branch in
            refs/heads/*) [ -z "$head" ] || echo "$head $branch" ;;
            *) branch= ;;
        esac
    } | sort -u -k 2 >/tmp/view/packed-refs
    if [ -n "$branch" ]; then
        echo "ref: $branch" >/tmp/view/HEAD
    elif [ -n "$head" ]; then
        echo "$head" >/tmp/view/HEAD
    fi
}

# For our own look one more ref, a commit: its parents are HEAD and whatever else holds
# commits, and its file tells their names and what is uncommitted.
look() {
    git for-each-ref --format='%(objectname) %(refname)' ${head:+--no-merged="$head"} >/tmp/refs || fail "git cannot list the refs"
    { grep -v ' refs/claude-container/' /tmp/refs || :; unheld; } >/tmp/others
    # What is no commit (a tag of a file) has nothing to lose.
    head -n 100 /tmp/others | sed 's/ .*/^{commit}/' | git cat-file --batch-check='%(objectname)' >/tmp/ids
    head -n 100 /tmp/others | cut -d ' ' -f 2- | paste -d ' ' /tmp/ids - | grep -v ' missing ' >/tmp/kept || :
    {
        echo "${branch#refs/heads/}"
        tail -n +101 /tmp/others | wc -l
        cat /tmp/kept
        echo
    } >/tmp/look
    pending >>/tmp/look
    head -c 100000 /tmp/status >>/tmp/look
    export GIT_DIR=/tmp/view
    blob=$(git hash-object -w --stdin </tmp/look)
    tree=$(printf '100644 blob %s\tlook\n' "$blob" | git mktree)
    commit=$({
        echo "tree $tree"
        { echo "$head" && cat /tmp/kept; } | sed -n 's/^\([0-9a-f][0-9a-f]*\).*/parent \1/p'
        printf '%s look <look> 0 +0000\n' author committer
        printf '\nlook\n'
    } | git hash-object -w -t commit --stdin)
    echo "$commit refs/claude-container/look" >>/tmp/view/packed-refs
    unset GIT_DIR
}

case $verb in
create) # SUBMODULE PATHS; stdin: a tar of .git and of what else comes along
    cd /workspace
    tar -xpf -
    for path in . "$@"; do
        cd "/workspace/$path"
        own=$(git rev-parse --absolute-git-dir)
        GIT_LFS_SKIP_SMUDGE=1 quiet reset --quiet --hard
        # Large files whose content came along take the place of their pointers.
        [ ! -d "$own/lfs/objects" ] || quiet lfs checkout >/dev/null
        # Files with other line endings than git gives them.
        if [ -d "$own/as-they-are" ]; then
            cp -Rp "$own/as-they-are/." .
            (cd "$own/as-they-are" && find . ! -type d -print0) | quiet update-index -z --stdin
            rm -r "$own/as-they-are"
        fi
    done
    ;;
git-upload-pack) # [look]
    view
    [ "${1:-}" != look ] || look
    cd /
    exec git upload-pack --strict /tmp/view
    ;;
git-receive-pack)
    cd /
    exec git -c core.hooksPath=/dev/null -c gc.auto=0 -c receive.autogc=false receive-pack /workspace
    ;;
count) # BASE: how many commits are not in it, how many paths are uncommitted, the newest commits
    cd /workspace
    export GIT_NO_REPLACE_OBJECTS=1
    base=$(git rev-parse --verify --quiet "$1^{commit}") || base=
    head=
    unheld | cut -d ' ' -f 1 >/tmp/unheld
    timeout 40 git rev-list --count --all --stdin ${base:+--not "$base"} </tmp/unheld | tr '\n' '\0'
    pending | tr '\n' '\0'
    timeout 40 git log -z --no-show-signature --max-count=10 --format='%h %<(200,trunc)%s' --all ${base:+--not "$base"} | head -c 10000
    ;;
size) # of all that is in the workspace, in KiB
    du -sk /workspace 2>/dev/null | cut -f 1
    ;;
commit) # MESSAGE: all that is uncommitted, if anything is
    cd /workspace
    # `add` would take the markers of a conflict for its resolution.
    [ -z "$(git ls-files --unmerged | head -c 1)" ] || fail "a merge there is in conflict: tell Claude to resolve it first"
    quiet add --all
    [ -e "$(git rev-parse --git-path MERGE_HEAD)" ] || ! quiet diff --cached --quiet --no-ext-diff || exit 0
    quiet commit --quiet --no-verify --message "$1"
    ;;
large) # IDS: of the git-lfs objects of these ids the content, behind a line of id and size
    cd /workspace/.git/lfs/objects
    for id in "$@"; do
        file=$(printf '%.2s/%.2s/%s' "$id" "${id#??}" "$id")
        [ ! -f "$file" ] || { echo "$id $(stat -L -c %s "$file")" && cat "$file"; }
    done
    ;;
merge) # what the host pushed to refs/claude-container/host, as BRANCH of it
    cd /workspace
    before=$(git rev-parse HEAD)
    if quiet merge --quiet --no-verify --message "Merge $1 of the host" refs/claude-container/host >/tmp/said 2>&1; then
        after=$(git rev-parse HEAD)
        if [ "$before" = "$after" ]; then
            echo current
        elif [ "$after" = "$(git rev-parse refs/claude-container/host)" ]; then
            echo fast-forward
        else
            echo merged
        fi
    elif [ -e "$(git rev-parse --git-path MERGE_HEAD)" ]; then
        echo conflict
        git diff --name-only --diff-filter=U -z
    else
        echo refused
        cat /tmp/said
    fi
    ;;
esac
