"""docs/troubleshooting.md knows every error that we can show, and none that there is not.

A message is what an error class of ours is called with, read off the source; what is put in
while it runs is `…` here and on the page. An entry begins with the messages that it is about.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import claude_container
from claude_container.errors import ClaudeContainerError

ROOT = Path(claude_container.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "troubleshooting.md"
# The program that the demo mends.
NOT_SHOWN = "demo/repo/"
SOURCES = [
    path
    for path in sorted(ROOT.rglob("*.py"))
    if not path.relative_to(ROOT).as_posix().startswith(NOT_SHOWN)
]
_ENTRY = re.compile(r"^- ((?:`[^`]+`[,\s]*(?:or\s+)?)+):", re.MULTILINE)


def classes(trees: list[ast.Module]) -> set[str]:
    """The names of ClaudeContainerError and all that derive from it."""
    derived = {ClaudeContainerError.__name__}
    found = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while True:
        more = {node.name for node in found if derived & {name(base) for base in node.bases}}
        if more <= derived:
            return derived
        derived |= more


def name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def texts(node: ast.expr, within: ast.AST) -> Iterator[str]:
    """What an expression can be; nothing where it is another error's own words."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            parts = [part.value if isinstance(part, ast.Constant) else "…" for part in values]
            yield "".join(map(str, parts))
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts(body, within)
            yield from texts(orelse, within)
        case ast.Name(id=variable):
            for each in ast.walk(within):
                if isinstance(each, ast.Assign) and variable in map(name, each.targets):
                    yield from texts(each.value, within)


def messages() -> dict[str, str]:
    """Every message, and where it is."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    ours = classes(list(trees.values()))
    found: dict[str, str] = {}
    for path, tree in trees.items():
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for within in [tree, *functions]:
            for node in ast.walk(within):
                for said in _said(node, ours):
                    # In a module as a whole a variable has too many meanings.
                    if within is tree and isinstance(said, ast.Name):
                        continue
                    for text in texts(said, within):
                        found.setdefault(text.replace("……", "…"), f"{path.name}:{said.lineno}")
    for script in sorted((ROOT / "recipes").glob("*.sh")):
        for text in re.findall(r'\bfail "((?:[^"\\]|\\.)*)"', script.read_text(encoding="utf-8")):
            found[re.sub(r"\$(?:\w+|\{[^}]*\})", "…", text)] = script.name
    # Others' own words, with ours about the place.
    return {text: place for text, place in found.items() if re.search(r"\w", text)}


def _said(node: ast.AST, ours: set[str]) -> Iterator[ast.expr]:
    match node:
        case ast.Call(func=func, args=[first, *_]) if name(func) in ours:
            yield first
        case ast.Call(func=func, args=[_, meaning, *_]) if name(func) == "Meaning":
            yield meaning
        # What fails if a step fails, handed on to where it is raised.
        case ast.Call(keywords=keywords):
            yield from (word.value for word in keywords if word.arg == "what")


MESSAGES = messages()


def entries() -> set[str]:
    return {
        re.sub(r"\s+", " ", message)
        for entry in _ENTRY.findall(PAGE.read_text(encoding="utf-8"))
        for message in re.findall(r"`([^`]+)`", entry)
    }


def test_every_message_has_an_entry() -> None:
    """An entry's form: a list's item, "- `message`: what it means, and what to do"."""
    assert {text: place for text, place in MESSAGES.items() if text not in entries()} == {}


def test_every_entry_is_about_a_message() -> None:
    assert entries() - set(MESSAGES) == set()


def test_messages_are_found_wherever_they_are_made() -> None:
    """In a call, a table, a variable, a keyword, and in a script."""
    assert {
        "the disk is full",
        "docker does not let this user in",
        "this repository knows no session … any more",
        "… gave no answer in … s",
        "the image has no claude",
    } <= set(MESSAGES)
