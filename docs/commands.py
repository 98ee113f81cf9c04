"""The reference of the command line, of the code itself: verbs, options, exit codes."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
from collections.abc import Iterable, Sequence
from unittest.mock import patch

from tables import code, plain, table

from hvmpi import errors
from hvmpi.cli import NEEDS_MPI, VERBS
from hvmpi.option import Option
from hvmpi.options import BY_NAME, OPTIONS
from hvmpi.site import SITE_OPTIONS

__all__ = ["exit_codes", "options", "parser_of", "site", "verbs"]


def parser_of(verb: str) -> argparse.ArgumentParser:
    """Give the parser that a verb makes: the one that its ``--help`` shows."""
    shown: list[argparse.ArgumentParser] = []
    show = patch.object(argparse.ArgumentParser, "print_help", lambda self: shown.append(self))
    with show, contextlib.suppress(SystemExit):
        importlib.import_module(f"hvmpi.verbs.{verb}").main(["--help"])
    return shown[0]


def verbs() -> str:
    """Make a section a verb: what it does, what it takes, an example."""
    return "\n".join(_section(verb, what) for verb, what in VERBS.items())


def _section(verb: str, what: str) -> str:
    parser = parser_of(verb)
    own = [action for action in parser._actions if _is_own(action)]
    takes_options = len(own) < len(parser._actions) - 1
    lines = [f"## {verb}\n", f"{plain(_sentence(parser.description or what))}\n"]
    words = ["python -m hvmpi", verb, *_positionals(own), "[options]"]
    example = (parser.epilog or "").removeprefix("example: ")
    lines.append("```\n" + " ".join(words) + (f"\n{example}" if example else "") + "\n```\n")
    if verb in NEEDS_MPI:
        lines.append("Ranks are started by `mpirun`; without it one rank does all.\n")
    if own:
        lines.append(table(("argument", "default", "meaning"), map(_argument, own)))
    if takes_options:
        lines.append("And the [options of a campaign](options.md).\n")
    return "\n".join(lines)


def _is_own(action: argparse.Action) -> bool:
    names = {word.lstrip("-") for word in action.option_strings}
    return not names & {*BY_NAME, "help"}


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text[0].upper() + text[1:].rstrip(".") + "."


def _positionals(actions: Iterable[argparse.Action]) -> list[str]:
    return [
        f"[{name}]" if action.nargs in ("?", "*") else name + "..." * (action.nargs == "+")
        for action in actions
        if not action.option_strings
        for name in [str(action.metavar or action.dest).upper()]
    ]


def _argument(action: argparse.Action) -> tuple[str, str, str]:
    name = ", ".join(map(code, action.option_strings)) or code(
        str(action.metavar or action.dest).upper()
    )
    if action.option_strings and action.nargs != 0:
        value = action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper()
        name += f" {code(value)}"
    meaning = (action.help or "").replace("%%", "%")
    if action.choices and not meaning:
        meaning = "one of " + ", ".join(map(str, action.choices))
    said = "(default" in meaning or action.default in (None, False, "", argparse.SUPPRESS)
    return name, "" if said else code(action.default), plain(meaning)


def options() -> str:
    """Make a table a group of options: the long options and keys of a config."""
    groups = dict.fromkeys(option.group for option in OPTIONS)
    parts = []
    for group in groups:
        parts.append(f"## {group[0].upper()}{group[1:].split(' (')[0]}\n")
        members = [option for option in OPTIONS if option.group == group]
        parts.append(_options_table(members, with_environment=True))
    return "\n".join(parts)


def site() -> str:
    """Make the table of the keys of a site."""
    return _options_table(SITE_OPTIONS, with_environment=False)


def _options_table(members: Sequence[Option], *, with_environment: bool) -> str:
    head = ["key", "value", "default", "meaning"]
    if with_environment:
        head = ["option, variable", "value", "default", "rerun", "meaning"]
    return table(head, (_option(option, with_environment) for option in members))


def _option(option: Option, with_environment: bool) -> list[str]:
    row = [code(option.name), plain(_values(option)), _default(option)]
    if with_environment:
        row[0] += f"<br>{code(option.variable)}"
        row.append("yes" if option.scheduling else "")
    return [*row, plain(option.help)]


def _values(option: Option) -> str:
    kinds = {
        "int": "whole number",
        "float": "number",
        "str": "text",
        "path": "path",
        "bool": "true, false",
        "list": "list of texts",
    }
    if option.choices:
        several = "some of " if option.kind == "list" else ""
        return several + ", ".join(option.choices)
    limits = [
        f"at least {option.minimum:g}" if option.minimum is not None else "",
        f"above {option.above:g}" if option.above is not None else "",
        f"at most {option.maximum:.0f}" if (option.maximum or 1e9) < 1e9 else "",
    ]
    words = [f"or {word}" for word in option.words]
    return ", ".join(filter(None, [kinds[option.kind], *limits, *words]))


def _default(option: Option) -> str:
    if option.default is None or option.default == ():
        return ""
    if option.kind == "bool":
        return code(str(option.default).lower())
    if option.kind == "list":
        return code(", ".join(option.default))
    return code(f"{option.default:g}" if option.kind == "float" else option.default)


def exit_codes() -> str:
    """Make the table of the errors and of the code that each leads to."""
    kinds = [getattr(errors, name) for name in errors.__all__]
    rows = [
        (code(kind.exit_code), code(kind.__name__), plain(inspect.getdoc(kind) or ""))
        for kind in sorted(kinds, key=lambda kind: kind.exit_code)
    ]
    return table(("code", "error", "meaning"), rows)
