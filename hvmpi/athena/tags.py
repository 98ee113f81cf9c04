"""Tags: one step of athena each, a transform with its release and arguments, in a TOML file."""

from __future__ import annotations

import enum
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hvmpi.athena.arguments import (
    FRAMEWORKS,
    Arguments,
    Value,
    arguments_of,
    major_release,
    words,
)
from hvmpi.errors import ConfigError
from hvmpi.option import nearest

__all__ = ["PLACEHOLDERS", "SAMPLE_PLACEHOLDERS", "EventRule", "Tag", "fill", "read_tag"]

PLACEHOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "job": "number of the job in the campaign, from 1",
        "seed": "seed of the job: of a generation unique in its sample, 0 to 30081**2 - 1",
        "first_event": "event number of the job's first event",
        "max_events": "events of the job in the first step of a chain, -1 (all) in later ones",
        "skip_events": "events to pass over in the first step of a chain, 0 in later ones",
        "run_number": "run number of the sample",
        "batch": "number of the event file in its sample, from 1; 0 of a foreign one",
        "job_config": "job options of the sample, as its job-config says",
        "cores": "cores of the tag",
        "sample": "name of the sample",
        "process": "its process",
        "m_phi": "its mass of Phi, GeV",
        "m_s": "its mass of the s, GeV",
        "ctau": "its mean proper decay length of the s, mm",
    }
)
"""What may stand in braces in a value of a tag, and what it is filled with."""

_PLACEHOLDER = re.compile(r"\{\{([A-Za-z_]\w*)\}\}|\{([A-Za-z_]\w*)\}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_TYPE = re.compile(r"EVNT|HITS|RDO|ESD|AOD|DAOD_[A-Za-z0-9]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ARGUMENT = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_TRANSFORM = re.compile(r"[A-Za-z0-9_]+\.py")
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,+:/=-]*")
_IMAGE = re.compile(r"[^-\s\0][^\n\0]*")
_OLD_RELEASES = 21
_UNFILTERED = ("DAOD_PHYS", "DAOD_PHYSLITE")


class EventRule(enum.Enum):
    """How many events a step must deliver of those that it read."""

    EXACT = "exact"
    TOLERANCE = "tolerance"
    FILTER = "filter"


@dataclass(frozen=True)
class Tag:
    """One step of athena.

    Attributes
    ----------
    name : str
    path : Path
        The file that it was read from.
    transform : str
        ``Sim_tf.py``.
    release : str
        The options of asetup.
    input : str
        Type of what it reads; empty for a generation.
    outputs : tuple of str
        Types of what it writes: ``HITS``, ``AOD``, ``DAOD_PHYS``...
    arguments : mapping of str to Value
        Placeholders not filled.
    environment : mapping of str to str
    cores : int
    container : str
        Image to run in; empty: what the site says.
    events : EventRule
    tolerance : float
        Share of the events that may get lost.
    framework : str
        Version of the framework that its arguments are checked against.
    """

    name: str
    path: Path
    transform: str
    release: str
    input: str
    outputs: tuple[str, ...]
    arguments: Mapping[str, Value]
    environment: Mapping[str, str] = field(default_factory=dict)
    cores: int = 1
    container: str = ""
    events: EventRule = EventRule.EXACT
    tolerance: float = 0.0
    framework: str = FRAMEWORKS[-1]

    @property
    def is_generation(self) -> bool:
        """Whether it makes event files."""
        return not self.input

    @property
    def is_old(self) -> bool:
        """Whether its release is one of 19 to 21, whose arguments no list has."""
        major = major_release(self.release)
        return major is not None and major <= _OLD_RELEASES

    def known_arguments(self) -> Arguments:
        """Give the arguments that its transform is known to take; nothing of an unknown one."""
        try:
            return arguments_of(self.transform, self.framework)
        except ConfigError:
            return {}

    def argument_of(self, output: str) -> str:
        """Name the argument that an output's file name is given with."""
        direct = f"output{output}File"
        derived = output.startswith("DAOD_") and direct not in self.known_arguments()
        return "outputDAODFile" if derived else direct

    def filters(self, output: str) -> bool:
        """Say whether a type of its output may hold any number of events."""
        return self.events is EventRule.FILTER and output not in _UNFILTERED

    def low(self, events: int, output: str) -> int:
        """Give the fewest events that a type of its output must hold, of those that it read."""
        if self.filters(output):
            return 0
        lost = self.tolerance if self.events is EventRule.TOLERANCE else 0.0
        # Rounded down, as the framework does: 9 of 10 pass where 0.5 % may get lost.
        return int(events * (1.0 - lost) + 1e-9)

    def identity(self) -> dict[str, Any]:
        """Give what decides what it makes, as plain values."""
        return {
            "transform": self.transform,
            "release": self.release,
            "arguments": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in self.arguments.items()
            },
            "environment": dict(self.environment),
            "container": self.container,
        }

    def placeholders(self) -> dict[str, str]:
        """Give the placeholders that it has, each with the argument or variable that has it."""
        found: dict[str, str] = {}
        for name, text in _texts(self):
            for match in _PLACEHOLDER.finditer(text):
                if match[2] is not None:
                    found.setdefault(match[2], name)
        return found

    def check_arguments(self) -> list[str]:
        """Compare its arguments with those that its transform takes.

        Returns
        -------
        list of str
            What is to be told of a release that no list is for, a sentence each.

        Raises
        ------
        ConfigError
            If the transform is unknown, does not take an argument, or not such a value.
        """
        try:
            known = arguments_of(self.transform, self.framework)
        except ConfigError as error:
            msg = (
                f"tag {self.name!r} ({self.path}): {error}; "
                "mend the tag, or say --no-argument-check if the release has it"
            )
            raise ConfigError(msg) from None
        notices = []
        for name in self.arguments:
            if name in known:
                continue
            what = (
                f"tag {self.name!r} ({self.path}): {self.transform} of {self.framework} "
                f"has no argument {name!r}{nearest(name, list(known))}"
            )
            if not self.is_old:
                msg = f"{what}; mend the tag, or say --no-argument-check if the release has it"
                raise ConfigError(msg)
            notices.append(f"{what}; no list of release {self.release} is there to tell")
        return notices


SAMPLE_PLACEHOLDERS = frozenset({"job_config", "process", "m_phi", "m_s", "ctau"})
"""Those that a sample fills only where it says something."""


def fill(text: str, values: Mapping[str, object]) -> str:
    """Put values in the place of the placeholders of a text; ``{{job}}`` becomes ``{job}``.

    Raises
    ------
    KeyError
        Of the placeholder that nothing fills.
    """

    def replaced(match: re.Match[str]) -> str:
        if match[1] is not None:
            return f"{{{match[1]}}}"
        return str(values[match[2]])

    return _PLACEHOLDER.sub(replaced, text)


# Reading

_KEYS = {
    "name": str,
    "transform": str,
    "release": str,
    "input": str,
    "output": list,
    "cores": int,
    "container": str,
    "events": str,
    "tolerance": float,
    "framework": str,
    "arguments": dict,
    "environment": dict,
}
_NEEDED = ("name", "transform", "release", "output", "arguments")
_TYPES = {str: "a text", list: "a list of texts", int: "a whole number", float: "a number"}


def read_tag(path: Path) -> Tag:
    """Read a tag and check it by itself.

    Raises
    ------
    ConfigError
        If it cannot be read, lacks a key or has an unknown one, or a value is wrong; names file
        and key.
    """
    values = _read(path)
    for key in values:
        if key not in _KEYS:
            msg = f"tag {path}: there is no key {key!r}{nearest(key, list(_KEYS))}"
            raise ConfigError(msg)
    for key in _NEEDED:
        if key not in values:
            msg = f"tag {path}: the key {key!r} is missing"
            raise ConfigError(msg)
    for key, value in values.items():
        _check_type(path, key, value)
    if values["name"] != path.stem:
        msg = f"tag {path}: its name is {values['name']!r}; name the file {values['name']}.toml"
        raise ConfigError(msg)
    tag = _tag(path, values)
    _check(tag)
    return tag


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"tag {path} cannot be read ({error.strerror})"
        raise ConfigError(msg) from None
    except UnicodeDecodeError:
        msg = f"tag {path} is not TOML: it is not a text in UTF-8"
        raise ConfigError(msg) from None
    except tomllib.TOMLDecodeError as error:
        msg = f"tag {path} is not TOML: {error}"
        raise ConfigError(msg) from None


def _check_type(path: Path, key: str, value: Any) -> None:
    wanted = _KEYS[key]
    if wanted is dict:
        if not isinstance(value, dict):
            msg = f"tag {path}: {key} is a table, under a line [{key}]"
            raise ConfigError(msg)
        return
    fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
    fits = fits and not isinstance(value, bool)
    if wanted is list and fits:
        fits = bool(value) and all(isinstance(entry, str) for entry in value)
    if not fits:
        msg = f"tag {path}: {key} wants {_TYPES[wanted]}, not {value!r}"
        raise ConfigError(msg)


def _tag(path: Path, values: dict[str, Any]) -> Tag:
    outputs = tuple(values["output"])
    release = values["release"]
    major = major_release(release)
    framework = FRAMEWORKS[0] if major is not None and major <= 22 else FRAMEWORKS[-1]
    rule, tolerance = _rule(path, values, outputs)
    return Tag(
        name=values["name"],
        path=path,
        transform=values["transform"],
        release=release,
        input=values.get("input", ""),
        outputs=outputs,
        arguments={n: _value(path, n, v) for n, v in values["arguments"].items()},
        environment={n: _text(path, n, v) for n, v in values.get("environment", {}).items()},
        cores=values.get("cores", 1),
        container=values.get("container", ""),
        events=rule,
        tolerance=tolerance,
        framework=values.get("framework", framework),
    )


def _rule(path: Path, values: dict[str, Any], outputs: Sequence[str]) -> tuple[EventRule, float]:
    """Take what athena does by itself where the tag does not say otherwise."""
    filtered = any(output.startswith("DAOD_") and output not in _UNFILTERED for output in outputs)
    usual = "filter" if filtered else "tolerance" if "HITS" in outputs else "exact"
    name = values.get("events", usual)
    try:
        rule = EventRule(name)
    except ValueError:
        there = ", ".join(rule.value for rule in EventRule)
        msg = f"tag {path}: events is {name!r}; there are {there}"
        raise ConfigError(msg) from None
    if "tolerance" in values and rule is not EventRule.TOLERANCE:
        msg = f"tag {path}: tolerance is given, and events is {name!r}; leave one of them out"
        raise ConfigError(msg)
    tolerance = float(values.get("tolerance", 0.005 if rule is EventRule.TOLERANCE else 0.0))
    if not 0.0 <= tolerance < 1.0:
        msg = f"tag {path}: tolerance is a share of the events, from 0 to below 1, not {tolerance}"
        raise ConfigError(msg)
    return rule, tolerance


def _value(path: Path, name: str, value: Any) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, list):
        return tuple(_text(path, name, entry) for entry in value)
    return _text(path, name, value)


def _text(path: Path, name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        msg = f"tag {path}: {name} wants a text, a number, or a list of these, not {value!r}"
        raise ConfigError(msg)
    return str(value)


def _check(tag: Tag) -> None:
    for key, value, pattern in (
        ("name", tag.name, _NAME),
        ("transform", tag.transform, _TRANSFORM),
        ("release", tag.release, _RELEASE),
        *(("output", output, _TYPE) for output in tag.outputs),
        *((("input", tag.input, _TYPE),) if tag.input else ()),
        *((("container", tag.container, _IMAGE),) if tag.container else ()),
        *(("the name of an argument", name, _ARGUMENT) for name in tag.arguments),
        *(("the name of a variable", name, _VARIABLE) for name in tag.environment),
    ):
        if not pattern.fullmatch(value):
            msg = f"tag {tag.path}: {key} cannot be {value!r}; it has the form {pattern.pattern}"
            raise ConfigError(msg)
    for number, output in enumerate(tag.outputs):
        if output == tag.input or output in tag.outputs[:number]:
            why = "is its input too" if output == tag.input else "is named twice"
            msg = f"tag {tag.path}: {output} of output {why}; take it out"
            raise ConfigError(msg)
    if tag.is_generation and tag.outputs != ("EVNT",):
        msg = f"tag {tag.path}: the key 'input' is missing; only a generation, of EVNT, has none"
        raise ConfigError(msg)
    if tag.cores < 1:
        msg = f"tag {tag.path}: cores must be at least 1, not {tag.cores}"
        raise ConfigError(msg)
    if tag.framework not in FRAMEWORKS:
        msg = f"tag {tag.path}: framework is {tag.framework!r}; there are {', '.join(FRAMEWORKS)}"
        raise ConfigError(msg)
    _check_values(tag)


def _check_values(tag: Tag) -> None:
    for name, text in tag.environment.items():
        if "\0" in text:
            msg = f"tag {tag.path}: {name}: no variable can hold a zero byte"
            raise ConfigError(msg)
    known = tag.known_arguments()
    taken = {f"input{tag.input}File", *map(tag.argument_of, tag.outputs)}
    for name, value in tag.arguments.items():
        if name in taken:
            msg = f"tag {tag.path}: {name} is given by hvmpi; take it out of [arguments]"
            raise ConfigError(msg)
        try:
            words(name, value, known.get(name))
        except ConfigError as error:
            msg = f"tag {tag.path}: {error}"
            raise ConfigError(msg) from None
    for placeholder, name in tag.placeholders().items():
        if placeholder not in PLACEHOLDERS:
            msg = (
                f"tag {tag.path}: {name} has {{{placeholder}}}, which nothing fills"
                f"{nearest(placeholder, list(PLACEHOLDERS))}; there are "
                f"{', '.join(PLACEHOLDERS)}; {{{{{placeholder}}}}} stands for itself"
            )
            raise ConfigError(msg)
    _check_formats(tag)


def _texts(tag: Tag) -> Iterator[tuple[str, str]]:
    """Give all texts of arguments and environment, with their names."""
    yield from tag.environment.items()
    for name, value in tag.arguments.items():
        if not isinstance(value, bool):
            yield from ((name, text) for text in ((value,) if isinstance(value, str) else value))


def _check_formats(tag: Tag) -> None:
    """See that a derivation makes the types that the tag says."""
    formats: list[str] = []
    for name in ("formats", "reductionConf"):
        value = tag.arguments.get(name, ())
        formats += [] if isinstance(value, bool) else [value] if isinstance(value, str) else value
    derived = any(tag.argument_of(output) == "outputDAODFile" for output in tag.outputs)
    if not formats and not derived:
        return
    made = {f"DAOD_{one}" for one in formats}
    said = {output for output in tag.outputs if output.startswith("DAOD_")}
    if made != said:
        msg = (
            f"tag {tag.path}: its derivation makes {', '.join(sorted(made)) or 'nothing'} "
            "(formats, or reductionConf), "
            f"its output says {', '.join(sorted(said)) or 'none of these'}"
        )
        raise ConfigError(msg)
