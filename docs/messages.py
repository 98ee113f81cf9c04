"""Every message of an error that hvmpi may end with: found in the code, explained by a table.

A message is what stands in the code, with `…` for what is filled in; `troubleshooting.toml`
explains them by fragments. Run as a script, this prints all of them, with a ! before those that no
entry explains.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tables import code, plain, table

from hvmpi import errors
from hvmpi.athena import causes
from hvmpi.campaign.jobs import FailureClass, Outcome
from hvmpi.verbs.diagnose import advice

__all__ = [
    "Entry",
    "Message",
    "athena_causes",
    "entries",
    "entry_of",
    "explained",
    "messages",
    "outcomes",
    "stands_in",
    "unexplained",
]

_CHECKOUT = Path(__file__).parents[1]
_HOLE = "…"
_SHELL = re.compile(r"\bdie \"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_SHELL_HOLE = re.compile(r"\$\{[^}]*\}|\$\w+|\$\((?:[^()]|\([^)]*\))*\)")


@dataclass(frozen=True, slots=True)
class Message:
    """One place in the code that says why hvmpi ends.

    Attributes
    ----------
    where : str
        File and line.
    kind : str
        Name of the error.
    text : str
        What it says; `…` for what is filled in.
    """

    where: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be said of some messages.

    Attributes
    ----------
    topic : str
    find : tuple of str
        Fragments: a message in which one of them stands is meant.
    shown : str
        Stands for messages that are all filled in.
    cause, cure : str
    """

    topic: str
    find: tuple[str, ...]
    shown: str
    cause: str
    cure: str


def stands_in(fragment: str, message: Message) -> bool:
    """Whether a fragment is part of a message, or of its file and all of it."""
    whole = f"{message.where.partition(':')[0]}:{message.text}"
    return fragment in message.text or fragment == whole


@cache
def messages() -> tuple[Message, ...]:
    """Return all messages, by file and line."""
    trees = {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted((_CHECKOUT / "hvmpi").rglob("*.py"))
    }
    kinds = set(errors.__all__)
    for tree in trees.values():
        kinds |= {node.name for node in ast.walk(tree) if _is_kind(node, kinds)}
    found = [
        Message(f"{path.relative_to(_CHECKOUT)}:{line}", kind, text)
        for path, tree in trees.items()
        for line, kind, text in sorted(set(_raised(tree, kinds)))
    ]
    shell = (_CHECKOUT / ".setup.sh").read_text(encoding="utf-8")
    found += [
        Message(".setup.sh:0", "set-up", _SHELL_HOLE.sub(_HOLE, text[1]))
        for text in _SHELL.finditer(shell)
        if text[1] != "$*"
    ]
    return tuple(found)


def _is_kind(node: ast.AST, kinds: set[str]) -> bool:
    return isinstance(node, ast.ClassDef) and any(
        isinstance(base, ast.Name) and base.id in kinds for base in node.bases
    )


def _raised(tree: ast.Module, kinds: set[str]) -> Iterator[tuple[int, str, str]]:
    scopes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for scope in [*scopes, tree]:
        said = {
            (node.lineno, target.id): node.value
            for node in ast.walk(scope)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in _own_nodes(scope):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            if node.func.id in kinds:
                for text in _texts(_resolved(node.args[0], node.lineno, said)):
                    yield node.lineno, node.func.id, text


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Walk through a function or module, but not into the functions within."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, ast.FunctionDef):
            yield from _own_nodes(node)


def _resolved(argument: ast.expr, line: int, said: Mapping[tuple[int, str], ast.expr]) -> ast.expr:
    """Return what a name was last given above a line."""
    if not isinstance(argument, ast.Name):
        return argument
    above = [at for at, name in said if name == argument.id and at < line]
    return said[max(above), argument.id] if above else argument


def _texts(said: ast.expr) -> list[str]:
    """Return what an expression may say; `…` for what is filled in."""
    if isinstance(said, ast.IfExp):
        return [*_texts(said.body), *_texts(said.orelse)]
    if isinstance(said, ast.Constant) and isinstance(said.value, str):
        return [said.value]
    if isinstance(said, ast.JoinedStr):
        return [re.sub(f"{_HOLE}+", _HOLE, "".join(_texts(part)[0] for part in said.values))]
    return [_HOLE]


@cache
def entries() -> tuple[Entry, ...]:
    """Return the entries of `troubleshooting.toml`."""
    topics = tomllib.loads((Path(__file__).parent / "troubleshooting.toml").read_text("utf-8"))
    return tuple(
        Entry(topic["name"], tuple(one["find"]), one.get("shown", ""), one["cause"], one["cure"])
        for topic in topics["topic"]
        for one in topic["entry"]
    )


def entry_of(message: Message) -> Entry | None:
    """Return the entry with the longest fragment that stands in a message."""
    fitting = [
        (len(fragment), -number, entry)
        for number, entry in enumerate(entries())
        for fragment in entry.find
        if stands_in(fragment, message)
    ]
    return max(fitting, key=lambda one: one[:2])[2] if fitting else None


def unexplained() -> list[Message]:
    """Return the messages that no entry tells of."""
    return [message for message in messages() if entry_of(message) is None]


def explained() -> str:
    """Make a section a topic: messages, their cause and cure."""
    said: dict[Entry, dict[str, None]] = {entry: {} for entry in entries()}
    for message in messages():
        if message.text != _HOLE and (entry := entry_of(message)) is not None:
            said[entry][message.text] = None
    parts = []
    for topic in dict.fromkeys(entry.topic for entry in entries()):
        own = [entry for entry in entries() if entry.topic == topic]
        told = (_told(entry, said[entry]) for entry in own)
        parts += [f"### {topic}\n", "\n---\n\n".join(told)]
    return "\n".join(parts)


def _told(entry: Entry, texts: Iterable[str]) -> str:
    lines = [f"- {code(text)}\n" for text in (*texts, entry.shown) if text]
    return f"{''.join(lines)}\n**Cause.** {entry.cause}\n\n**Cure.** {entry.cure}\n"


def _with_code(text: str) -> str:
    parts = text.split("`")
    return "".join(code(part) if number % 2 else plain(part) for number, part in enumerate(parts))


def outcomes() -> str:
    """Make the tables of how attempts end and of what that asks for."""
    of_outcome = [
        (code(outcome.name.lower()), _with_code(advice(outcome, FailureClass.NONE, "")))
        for outcome in Outcome
        if outcome not in (Outcome.NONE, Outcome.DONE)
    ]
    of_class = [
        (code(kind.name.lower()), _with_code(advice(Outcome.PAYLOAD_FAILED, kind, "")))
        for kind in FailureClass
        if kind is not FailureClass.NONE
    ]
    head = ("what to do",)
    return table(("outcome", *head), of_outcome) + "\n" + table(("class", *head), of_class)


def athena_causes() -> str:
    """Make the table of reasons that steps of athena fail for."""
    return table(
        ("reason", "a step that", "class", "what to do"),
        (
            (
                code(cause.code),
                plain(cause.sentence),
                code(cause.failure.name.lower()),
                _with_code(cause.advice),
            )
            for cause in sorted(set(_causes()), key=lambda cause: cause.code)
        ),
    )


def _causes() -> Iterable[causes.Cause]:
    for name in causes.__all__:
        value = getattr(causes, name)
        if isinstance(value, causes.Cause):
            yield value
        elif isinstance(value, Mapping):
            yield from (cause for cause in value.values() if isinstance(cause, causes.Cause))
        elif isinstance(value, tuple):
            yield from (cause for cause in value if isinstance(cause, causes.Cause))


if __name__ == "__main__":
    for message in messages():
        mark = "  " if entry_of(message) else "! "
        print(f"{mark}{message.where} {message.kind}: {message.text}")
