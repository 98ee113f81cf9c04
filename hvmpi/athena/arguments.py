"""The arguments of athena's transforms: which there are, and how a value is written on a command.

The lists in ``data/`` were read off the transform framework of 2022 and 2024: for each transform
the names of its arguments, their kinds, and how many values they take.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from hvmpi.errors import ConfigError
from hvmpi.option import nearest

__all__ = ["FRAMEWORKS", "Argument", "Arguments", "Value", "arguments_of", "major_release", "words"]

Value = str | bool | tuple[str, ...]
"""What a tag gives an argument: a text, texts, or a flag."""

FRAMEWORKS = ("2022", "2024")
"""The versions of the framework whose arguments are known."""

_ALIASES = {"Generate_tf": "Gen_tf"}
_NUMBER = re.compile(r"-\d+|-\d*\.\d+")
_RELEASE = re.compile(r"(?:^|,)\s*(\d+)\.\d+(?:\.\d+)*\s*(?=,|$)")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a transform.

    Attributes
    ----------
    kind : str
        What the framework makes of its value: ``argInt``, ``argSubstepList``...
    values : str
        How many it takes, as argparse has it: empty (one), ``0``, ``?``, ``*`` or ``+``.
    """

    kind: str
    values: str

    @property
    def is_flag(self) -> bool:
        """Whether it stands for itself, without a value."""
        return self.values == "0"

    @property
    def takes_none(self) -> bool:
        """Whether it may stand without a value."""
        return self.values in ("0", "?", "*")

    @property
    def takes_many(self) -> bool:
        """Whether it takes several values."""
        return self.values in ("*", "+")


Arguments = Mapping[str, Argument]


@functools.cache
def _lists(framework: str) -> dict[str, dict[str, Argument]]:
    text = (files("hvmpi.athena") / f"data/arguments_{framework}.json").read_text()
    return {
        transform: {name: _argument(entry) for name, entry in known.items()}
        for transform, known in json.loads(text).items()
    }


def _argument(entry: str) -> Argument:
    kind, _, values = entry.partition(" nargs=")
    return Argument(kind, values)


def major_release(release: str) -> int | None:
    """Give the first number of a release: 19 of ``AtlasProduction,19.2.3.7``; None: a nightly."""
    match = _RELEASE.search(release)
    return int(match[1]) if match else None


def arguments_of(transform: str, framework: str) -> Arguments:
    """Give the arguments of a transform.

    Parameters
    ----------
    transform : str
        ``Sim_tf.py``; ``Generate_tf.py`` takes those of ``Gen_tf.py``.
    framework : str
        One of `FRAMEWORKS`.

    Raises
    ------
    ConfigError
        If there is no such transform.
    """
    known = _lists(framework)
    name = transform.removesuffix(".py")
    name = _ALIASES.get(name, name)
    if name not in known:
        there = [f"{one}.py" for one in (*known, *_ALIASES)]
        msg = (
            f"transform {transform!r} is unknown{nearest(transform, there)}; "
            f"there are {', '.join(sorted(there))}"
        )
        raise ConfigError(msg)
    return known[name]


def words(name: str, value: Value, argument: Argument | None) -> list[str]:
    """Write an argument as words of a command; a value arrives as it is, whatever it holds.

    Parameters
    ----------
    name : str
    value : str, bool or tuple of str
        True is the bare name where that is understood, else the text ``True``.
    argument : Argument or None
        None: nothing is known of it.

    Raises
    ------
    ConfigError
        If the argument does not take such a value.
    """
    if isinstance(value, bool):
        return _flag(name, value, argument)
    values = (value,) if isinstance(value, str) else value
    _check(name, values, argument)
    if len(values) == 1:
        # Stuck to its name, a value may begin with a dash.
        return [f"--{name}={values[0]}"]
    return [f"--{name}", *values]


def _flag(name: str, value: bool, argument: Argument | None) -> list[str]:
    if argument is None or argument.is_flag:
        return [f"--{name}"] if value else []
    if value and argument.takes_none:
        return [f"--{name}"]
    return [f"--{name}={value}"]


def _check(name: str, values: Sequence[str], argument: Argument | None) -> None:
    if not values:
        msg = f"{name} has no value; leave it out, or give it one"
        raise ConfigError(msg)
    if any("\0" in value for value in values):
        msg = f"{name}: no command can hold a zero byte"
        raise ConfigError(msg)
    if argument is not None and argument.is_flag:
        msg = f"{name} takes no value; write true"
        raise ConfigError(msg)
    if len(values) == 1:
        return
    if argument is not None and not argument.takes_many:
        msg = f"{name} takes one value, not {len(values)}"
        raise ConfigError(msg)
    for value in values:
        if value.startswith("-") and not _NUMBER.fullmatch(value):
            msg = f"{name}: {value!r}, one of several values, would be taken for an argument"
            raise ConfigError(msg)
