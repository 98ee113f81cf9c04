"""The arguments of every verb, as a shell that completes them wants to know them."""

from __future__ import annotations

import argparse
import enum
import importlib
from dataclasses import dataclass
from pathlib import Path

from hvmpi.command_line import campaign_parser
from hvmpi.options import BY_NAME
from hvmpi.settings import CAMPAIGN_VERBS
from hvmpi.verbs.arguments import DESCRIBE, Described

__all__ = ["Argument", "Values", "arguments_of", "parser_of"]

_UNDERSTOOD_TOO = {"job": "reconstruct"}
"""Verbs that take the options of another."""


class Values(enum.StrEnum):
    """What stands behind an option, or in the place of a positional argument."""

    NOTHING = "@nothing"
    ANYTHING = "@anything"
    FILE = "@file"
    DIRECTORY = "@directory"
    RUN = "@run"


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a verb.

    Attributes
    ----------
    names : tuple of str
        ``-c`` and ``--config``; empty where it is positional.
    values : Values
    choices : tuple of str
        The words that there are; empty for others.
    help : str
    """

    names: tuple[str, ...]
    values: Values
    choices: tuple[str, ...]
    help: str

    @property
    def is_option_of_campaigns(self) -> bool:
        """Whether it is one of `hvmpi.options.OPTIONS`."""
        return any(name[2:] in BY_NAME for name in self.names)


def parser_of(verb: str) -> argparse.ArgumentParser:
    """Give the parser of a verb."""
    if verb in CAMPAIGN_VERBS:
        parser: argparse.ArgumentParser = campaign_parser(verb)
        return parser
    try:
        importlib.import_module(f"hvmpi.verbs.{verb}").main(DESCRIBE)
    except Described as answer:
        return answer.parser
    msg = f"the verb {verb} has no VerbParser"
    raise TypeError(msg)


def arguments_of(verb: str) -> list[Argument]:
    """List the arguments of a verb."""
    own = [_argument(action) for action in parser_of(verb)._actions]
    if verb not in _UNDERSTOOD_TOO:
        return own
    known = {name for argument in own for name in argument.names}
    return own + [
        argument
        for argument in arguments_of(_UNDERSTOOD_TOO[verb])
        if argument.is_option_of_campaigns and not known & set(argument.names)
    ]


def _argument(action: argparse.Action) -> Argument:
    names = tuple(action.option_strings)
    option = next((BY_NAME[name[2:]] for name in names if name[2:] in BY_NAME), None)
    choices = tuple(map(str, action.choices or ()))
    if option is not None and not choices:
        choices = option.choices or option.words
    help_text = "" if action.help in (None, argparse.SUPPRESS) else str(action.help)
    return Argument(names, _values(action, choices), choices, help_text.replace("%%", "%"))


def _values(action: argparse.Action, choices: tuple[str, ...]) -> Values:
    if action.nargs == 0:
        return Values.NOTHING
    if choices:
        return Values.ANYTHING
    if action.metavar in ("TIMESTAMP", "TIMESTAMP|auto"):
        return Values.RUN
    if action.dest.endswith("_dir") or action.metavar == "DIR":
        return Values.DIRECTORY
    if action.type is Path or action.metavar in ("FILE", "PATH"):
        return Values.FILE
    return Values.ANYTHING
