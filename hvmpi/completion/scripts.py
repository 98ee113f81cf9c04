"""Scripts that let bash, zsh and fish complete the command line."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from importlib import resources

from hvmpi.cli import VERBS
from hvmpi.completion.arguments import Argument, Values, arguments_of

__all__ = ["SCRIPTS"]


def _data(name: str) -> str:
    return resources.files("hvmpi.completion").joinpath("data", name).read_text(encoding="utf-8")


def _bash() -> str:
    return _for_bash() + _data("register.bash")


def _zsh() -> str:
    return _for_bash() + _data("register.zsh")


def _fish() -> str:
    lines = [
        f"__hvmpi_complete -n __hvmpi_has_no_word -f -a {verb} -d {_quoted_for_fish(what)}"
        for verb, what in VERBS.items()
    ]
    of_verbs: dict[Argument, list[str]] = {}
    for verb in VERBS:
        for argument in arguments_of(verb):
            of_verbs.setdefault(argument, []).append(verb)
    lines += [_line_for_fish(argument, verbs) for argument, verbs in of_verbs.items()]
    script = _data("complete.fish").replace("@VERBS@", " ".join(VERBS))
    return script.replace("@ARGUMENTS@", "\n".join(lines))


SCRIPTS: dict[str, Callable[[], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
"""What makes the script of each shell."""


def _for_bash() -> str:
    """Write what bash and zsh have in common: a function that tells of a verb and its option."""
    arguments = {verb: arguments_of(verb) for verb in VERBS}
    options: dict[str, list[str]] = {}
    values: dict[str, list[str]] = {}
    for verb, those in arguments.items():
        names = " ".join(name for argument in those for name in argument.names)
        options.setdefault(names, []).append(verb)
        for argument in those:
            told = " ".join(argument.choices) or argument.values
            for name in argument.names or ("",):
                values.setdefault(told, []).append(f"{verb}:{name}")
    lines = [
        f"_hvmpi_verbs={shlex.quote(' '.join(VERBS))}",
        "",
        "# Set `options` to those of a verb, and `values` to what stands behind one of them, or to",
        "# what the verb takes without an option.",
        "_hvmpi_arguments() {",
        "    options= values=",
        "    case $1 in",
        *(_case(verbs, "options", names) for names, verbs in options.items()),
        "    esac",
        "    case $1:$2 in",
        *(_case(places, "values", told) for told, places in values.items()),
        "    esac",
        "}",
    ]
    return _data("complete.bash").replace("@ARGUMENTS@", "\n".join(lines))


def _case(patterns: Iterable[str], name: str, value: str) -> str:
    return f"        {'|'.join(patterns)}) {name}={shlex.quote(value)} ;;"


def _line_for_fish(argument: Argument, verbs: Iterable[str]) -> str:
    words = [f"-n '__hvmpi_is {' '.join(verbs)}'"]
    words += [
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in argument.names
    ]
    exclusive = "-x" if argument.names else "-f"
    if argument.choices:
        words.append(f"{exclusive} -a {shlex.quote(' '.join(argument.choices))}")
    elif argument.values is not Values.NOTHING:
        words.append(_FOR_FISH[argument.values].format(exclusive=exclusive))
    if argument.help:
        words.append(f"-d {_quoted_for_fish(argument.help)}")
    return f"__hvmpi_complete {' '.join(words)}"


_FOR_FISH = {
    Values.RUN: "{exclusive} -a '(__hvmpi_runs)'",
    Values.DIRECTORY: "{exclusive} -a '(__fish_complete_directories)'",
    Values.FILE: "-r -F",
    Values.ANYTHING: "{exclusive}",
}


def _quoted_for_fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
