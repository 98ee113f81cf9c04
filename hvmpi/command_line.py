"""The command line of a campaign, with its environment and config: what was given, and where."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import configargparse

from hvmpi.cli import MPIRUN
from hvmpi.config import CampaignConfig
from hvmpi.errors import ConfigError, UsageError
from hvmpi.option import Option, nearest
from hvmpi.options import BY_NAME, OPTIONS

__all__ = ["Given", "campaign_parser", "parse", "place_of"]


_YES_OR_NO = ("true", "yes", "on", "1", "false", "no", "off", "0")


class _Parser(configargparse.ArgumentParser):  # type: ignore[misc]
    """An argument parser whose complaints are errors of ours."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


EXAMPLES = {
    "run": f"{MPIRUN} -c configs/demo.toml",
    "generate": f"{MPIRUN} generate --process gghss -b 1000 -n 8",
    "reconstruct": f"{MPIRUN} reconstruct --evnt-dir evnt -b 20",
    "plan": "python -m hvmpi plan run -c configs/demo.toml",
    "rerun": f"{MPIRUN} rerun 20261124120000",
    "doctor": "python -m hvmpi doctor -c configs/demo.toml",
}

_HELP = {
    "run": "generate events and reconstruct them: a job starts when its own event file is there",
    "generate": "make event files only",
    "reconstruct": "run the jobs of existing event files",
    "plan": "find and count event files, print the totals, the jobs, and the commands of one job",
    "rerun": "run the jobs of an earlier run that are not done",
    "doctor": "look at each host for what a campaign needs, and run nothing",
}


def campaign_parser(verb: str, planned: str = "run") -> configargparse.ArgParser:
    """Make the parser of a verb that takes the options of a campaign.

    Parameters
    ----------
    verb : str
    planned : str
        With ``plan``: the verb whose short options are meant.
    """
    parser = _Parser(
        prog=f"python -m hvmpi {verb}",
        description=_HELP[verb],
        epilog=f"example: {EXAMPLES[verb]}",
        allow_abbrev=False,
        add_config_file_help=False,
        add_env_var_help=False,
        config_file_parser_class=CampaignConfig,
        formatter_class=argparse.HelpFormatter,
    )
    parser.add_argument("-c", "--config", is_config_file=True, metavar="FILE", help="a campaign")
    if verb == "rerun":
        parser.add_argument("timestamp", metavar="TIMESTAMP", help="the run")
    if verb == "plan":
        parser.add_argument(
            "of", nargs="?", choices=["run", "generate", "reconstruct"], help="the verb to plan"
        )
    elif verb in ("run", "generate", "reconstruct"):
        parser.add_argument(
            "-t", "--test", action="store_true", help="print the plan and run nothing"
        )
        parser.add_argument(
            "-r",
            "--rerun",
            metavar="TIMESTAMP|auto",
            default="",
            help="run again what is not done; auto: in the newest run of the same settings if it "
            "was cut short, else in a new one",
        )
    if verb in ("run", "generate", "reconstruct", "plan"):
        parser.add_argument(
            "--all", action="store_true", dest="show_all", help="of a plan, print each job"
        )
        parser.add_argument(
            "--job",
            type=int,
            default=-1,
            dest="show_job",
            metavar="N",
            help="of a plan, print the commands of this job",
        )
    if verb in ("run", "reconstruct", "generate", "rerun"):
        parser.add_argument(
            "--allow-version-change",
            action="store_true",
            help="rerun with other versions than the run was made with",
        )
    groups: dict[str, Any] = {}
    for option in OPTIONS:
        group = groups.setdefault(option.group, parser.add_argument_group(option.group))
        _add_option(group, option, _short(planned if verb == "plan" else verb, option.name))
    return parser


def _short(verb: str, name: str) -> list[str]:
    of = "reconstruct" if verb == "reconstruct" else "run"
    shorts = {
        ("run", "batch-size"): ["-b"],
        ("run", "num-batches"): ["-n"],
        ("reconstruct", "job-size"): ["-b"],
    }
    return shorts.get((of, name), [])


def _add_option(group: Any, option: Option, short: list[str]) -> None:
    given: dict[str, Any] = {
        "dest": option.field,
        "help": option.help
        if option.default is None
        else f"{option.help} (default: {_shown(option)})",
        "env_var": option.variable,
        "default": None,
    }
    if option.kind == "bool":
        given["action"] = argparse.BooleanOptionalAction
    elif option.kind == "list":
        given["action"] = "append"
        given["metavar"] = "TEXT"
    else:
        given["metavar"] = "|".join([option.kind.upper(), *option.words])
    given["help"] = given["help"].replace("%", "%%")
    group.add_argument(*short, f"--{option.name}", **given)


def _shown(option: Option) -> str:
    if option.kind == "list":
        return ", ".join(option.default) or "none"
    if option.kind == "bool":
        return "yes" if option.default else "no"
    return f"{option.default:g}" if option.kind == "float" else str(option.default)


@dataclass(frozen=True)
class Given:
    """What one command line, with its environment and config, says."""

    arguments: argparse.Namespace
    values: dict[str, Any]
    sources: dict[str, str]
    config: CampaignConfig


def parse(verb: str, argv: Sequence[str], planned: str = "run") -> Given:
    """Read a command line, the environment, and the config that is named.

    Raises
    ------
    HvmpiError
        If something in them is unknown or of the wrong type.
    """
    parser = campaign_parser(verb, planned)
    config: CampaignConfig = parser._config_file_parser
    _check_config_path(argv)
    environment = {name: value for name, value in os.environ.items() if value != ""}
    _check_switches(environment)
    arguments, rest = parser.parse_known_args(list(argv), env_vars=environment)
    if rest:
        known = [name for action in parser._actions for name in action.option_strings]
        word = rest[0]
        if not word.startswith("-"):
            msg = f"the argument {word!r} is not understood; see python -m hvmpi {verb} --help"
        else:
            msg = (
                f"there is no option {word.split('=')[0]!r}{nearest(word, known)}; "
                f"see python -m hvmpi {verb} --help"
            )
        raise UsageError(msg)
    sources = _sources(parser, argv)
    values: dict[str, Any] = {}
    for option in OPTIONS:
        raw = getattr(arguments, option.field)
        if raw is None:
            values[option.name] = option.default
            if option.kind == "path" and option.default is not None:
                values[option.name] = str(Path(option.default).absolute())
            continue
        values[option.name] = option.convert(raw, place_of(sources[option.name], option, config))
    return Given(arguments, values, sources, config)


def _check_switches(environment: Mapping[str, str]) -> None:
    """Refuse variables of switches that configargparse would refuse in words of its own."""
    for option in OPTIONS:
        value = environment.get(option.variable, "true") if option.kind == "bool" else "true"
        if value.lower() not in _YES_OR_NO:
            where = place_of("environment", option, CampaignConfig())
            raise ConfigError(f"{where}: {option.name} wants true or false, not {value!r}")


def _check_config_path(argv: Sequence[str]) -> None:
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("-c", "--config")
    try:
        path = finder.parse_known_args(list(argv))[0].config
    except argparse.ArgumentError:
        return
    if path is None:
        return
    try:
        Path(path).read_text(encoding="utf-8")
    except OSError as error:
        msg = f"config {path!r} cannot be read ({error.strerror}); name another with -c"
        raise ConfigError(msg) from None
    except UnicodeDecodeError:
        msg = f"config {path!r} is not TOML: it is not a text in UTF-8"
        raise ConfigError(msg) from None


def _sources(parser: Any, argv: Sequence[str]) -> dict[str, str]:
    sources = {option.name: "default" for option in OPTIONS}
    for source, settings in parser.get_source_to_settings_dict().items():
        if source.startswith("config_file"):
            names, label = [key for key in settings if key in BY_NAME], "config"
        elif source == "environment_variables":
            variables = {option.variable: option.name for option in OPTIONS}
            names, label = [variables[key] for key in settings if key in variables], "environment"
        else:
            continue
        sources.update(dict.fromkeys(names, label))
    given = {word.split("=")[0] for word in argv if word.startswith("-")}
    for action in parser._actions:
        stuck = any(
            word.startswith(name) and len(name) == 2 and not word.startswith("--")
            for word in argv
            for name in action.option_strings
        )
        if given & set(action.option_strings) or stuck:
            sources.update(
                {option.name: "command line" for option in OPTIONS if option.field == action.dest}
            )
    return sources


def place_of(source: str, option: Option, config: CampaignConfig) -> str:
    """Say where a value came from, as errors begin."""
    if source == "config":
        return config.keys[option.name]
    if source == "environment":
        return f"environment variable {option.variable}"
    return f"command line, --{option.name}"
