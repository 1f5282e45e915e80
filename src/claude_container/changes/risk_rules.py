"""Which names of files are a risk by themselves: the ones that programs look for and act on."""

from __future__ import annotations

import re
import unicodedata

from claude_container.changes.paths import fold, is_of_git
from claude_container.terminal import visible

_HOOKS = (
    "applypatch-msg|pre-applypatch|post-applypatch|pre-commit|pre-merge-commit|prepare-commit-msg"
    "|commit-msg|post-commit|pre-rebase|post-checkout|post-merge|pre-push|post-rewrite"
    "|reference-transaction|fsmonitor-watchman|post-index-change|sendemail-validate"
)
# (kind, why, confirm, names in any folder, names seen from the root): the first that fits
# counts. What runs by itself, at the next commit or the next start of claude, is to be
# confirmed; what a person starts, or what asks by itself, is only shown. Names are
# folded, so they are in small letters.
_RULES = (
    (
        "hooks",
        "hooks run at the next commit, merge or push",
        True,
        rf"\.(husky|githooks|git-hooks|hooks)/|({_HOOKS})(\.\w+)?$"
        r"|\.?lefthook(-local)?\.(ya?ml|toml|json)$|\.(huskyrc|lintstagedrc)[^/]*$"
        r"|\.pre-commit-(config|hooks)\.ya?ml$|\.overcommit\.yml$",
        None,
    ),
    ("hooks", "a folder that often holds hooks", False, None, r"hooks/"),
    (
        "claude",
        "claude runs what it names, without asking, wherever this folder is trusted",
        True,
        r"\.claude/(settings[^/]*\.json$|hooks/|plugins/)|\.mcp\.json$|\.claude-plugin/",
        None,
    ),
    (
        "claude",
        "instructions that an agent will follow",
        False,
        r"\.claude(/|$)|(claude(\.local)?|agents|gemini)\.md$|\.cursor(rules$|/)",
        r"\.github/copilot-instructions\.md$",
    ),
    (
        "ci",
        "runs at the next push, where the secrets of your CI are",
        False,
        r"jenkinsfile[^/]*$|azure-pipelines[^/]*\.ya?ml$|action\.ya?ml$",
        r"\.(github|gitea|forgejo)/(workflows|actions)/|\.gitlab-ci\.ya?ml$|\.gitlab/ci/"
        r"|\.(circleci|buildkite|teamcity|woodpecker|semaphore|azure-pipelines)/"
        r"|\.?(travis|drone|cirrus|woodpecker|appveyor)\.ya?ml$"
        r"|(bitbucket-pipelines|cloudbuild|buildspec)\.ya?ml$",
    ),
    ("ci", "says who has to review what", False, None, r"(\.github/|\.gitlab/|docs/)?codeowners$"),
    (
        "session",
        "says how the next session of this repository is made",
        False,
        r"\.claude-container\.toml$",
        None,
    ),
    (
        "session",
        "names ignored files that it asks to have in the next session",
        False,
        None,
        r"\.worktreeinclude$",
    ),
    (
        "container",
        "a container is made from it",
        False,
        r"\.devcontainer(/|\.json$)|(docker|container)file(\.[^/]*)?$|[^/]*\.dockerfile$"
        r"|(docker-)?compose[^/]*\.ya?ml$",
        None,
    ),
    (
        "editor",
        "an editor or shell may run what it names when it opens the folder",
        False,
        r"\.vscode/(tasks|settings|launch|mcp)\.json$|[^/]*\.code-workspace$|\.idea/"
        r"|\.(envrc|exrc|nvimrc|nvim\.lua|vimrc|dir-locals\.el|mise\.toml|zed/[^/]*\.json)$",
        None,
    ),
    (
        "install",
        "says where packages come from, or runs when they are installed",
        False,
        r"\.(npmrc|yarnrc(\.yml)?|pnpmfile\.c?js)$|pip\.conf$|\.cargo/config(\.toml)?$",
        None,
    ),
    ("attributes", "git-lfs sends and takes files where it says", True, None, r"\.lfsconfig$"),
)
_NEVER = r"(?!)"


def _pattern(anywhere: str | None, root: str | None) -> re.Pattern[str]:
    # Nothing is tried but where a name begins: there can be a million paths.
    return re.compile(rf"(?:^|/)(?:{anywhere or _NEVER})|\A(?:{root or _NEVER})")


_PATTERNS = tuple(_pattern(*rule[3:]) for rule in _RULES)
_ANY = _pattern(*("|".join(filter(None, column)) for column in list(zip(*_RULES, strict=True))[3:]))

# Any other name is as plain as it looks.
_SUSPECT = re.compile(
    r"""[^ -~]|[<>:"|?*\\]|[ .](/|$)|(^|/)(\.git|git~1|con|prn|aux|nul|com\d|lpt\d)""",
    re.IGNORECASE,
)
_DEVICE = re.compile(r"(^|/)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])[ .]*(\.[^/]*)?(/|$)")
_WINDOWS = re.compile(r'[<>:"|?*\\]')
_ENDING = re.compile(r"[ .](/|$)")
_WORD = re.compile(r"[^\W\d_]+")


def of_path(folded: str) -> tuple[str, str, bool] | None:
    """(kind, why, confirm) of a file with this name (folded), or None."""
    if not _ANY.search(folded):
        return None
    at = next(at for at, pattern in enumerate(_PATTERNS) if pattern.search(folded))
    return _RULES[at][:3]


def odd(path: str) -> tuple[str, bool] | None:
    """(why, confirm) of a new file whose name is not what it seems to be, or None."""
    if not _SUSPECT.search(path):
        return None
    if is_of_git(path):
        return "some systems take it for git's own folder", True
    if visible(path) != path:
        return "has characters that do not show, or that reorder others", False
    if not path.isascii() and any(map(_mixed, _WORD.findall(path))):
        return "mixes letters of two scripts that look alike", False
    if _ENDING.search(path):
        return "ends in a dot or blank, which Windows omits", False
    if _DEVICE.search(fold(path)):
        return "is a device on Windows", False
    if _WINDOWS.search(path):
        return "cannot be on Windows", False
    return None


def _mixed(word: str) -> bool:
    """Latin together with Cyrillic or Greek, in one word."""
    scripts = {unicodedata.name(letter, "").partition(" ")[0] for letter in word}
    return "LATIN" in scripts and bool(scripts & {"CYRILLIC", "GREEK"})
