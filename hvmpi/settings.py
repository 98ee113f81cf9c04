"""The settings of a campaign: command line > environment > config file > defaults."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tomli_w

from hvmpi.campaign.jobs import NEEDED
from hvmpi.campaign.journal import is_planned, was_cut_short
from hvmpi.campaign.paths import find_run, list_runs
from hvmpi.command_line import Given, parse, place_of
from hvmpi.config import CampaignConfig
from hvmpi.errors import ConfigError, HvmpiError, UsageError
from hvmpi.options import BY_NAME, OPTIONS, SAMPLE_OPTIONS
from hvmpi.sample import SampleOptions
from hvmpi.site import Site, make_site, read_site, site_table

__all__ = [
    "CAMPAIGN_VERBS",
    "Settings",
    "fixed",
    "load",
    "load_run",
    "scheduling",
    "to_dict",
    "to_toml",
    "with_scheduling",
]

GO_ON = "auto"
"""In the place of a timestamp: the newest run of the same settings, if it was cut short."""

CAMPAIGN_VERBS = ("run", "generate", "reconstruct", "plan", "rerun", "doctor")
"""The verbs that take the options of a campaign."""


@dataclass(frozen=True)
class Settings:
    """What a campaign is to do; fields are the options of `hvmpi.options.OPTIONS`.

    Attributes
    ----------
    verb : str
        ``run``, ``generate`` or ``reconstruct``.
    samples : tuple of SampleOptions
    site : Site
        What athena finds where.
    sources : dict of str to str
        Where each value came from.
    notices : tuple of str
        What a person should be told.
    test : bool
        Whether only the plan is asked for.
    timestamp : str
        The run to take up again; empty for a new one.
    allow_version_change : bool
        Whether a rerun may use other versions than the run.
    config : str
        The config file that was read; empty where none was.
    show_all, show_job : bool, int
        What `plan` prints: each job; the commands of that job (-1: of a telling one).
    """

    verb: str
    engine: str
    seed: int
    job_size: int | Literal["auto"]
    keep: tuple[str, ...]
    fused: bool
    renumber: bool
    tags: tuple[str, ...]
    argument_check: bool
    train_unmatched: bool
    pileup_mu: float
    pileup_events: int
    run_dir: str
    evnt_dir: str | None
    pileup_library: str | None
    times_from: str | None
    aod_dir: str | None
    site_file: str | None
    log_dir: str | None
    tmp_dir: str | None
    keep_logs: bool
    cold: bool
    profile: bool
    report: bool
    max_attempts: int
    max_lost: int
    retry_pause: float
    job_timeout: float
    job_memory: int | None
    host_memory: float
    lease: float
    time_limit: float | Literal["auto"] | None
    max_restarts: int
    start_timeout: float
    host_cores: int | None
    preflight_timeout: float
    duplicates: bool
    nice: int
    progress: str
    noop_command: tuple[str, ...]
    samples: tuple[SampleOptions, ...]
    site: Site = field(default_factory=lambda: make_site({}, str))
    sources: dict[str, str] = field(default_factory=dict, compare=False)
    notices: tuple[str, ...] = ()
    test: bool = False
    timestamp: str = ""
    allow_version_change: bool = False
    config: str = field(default="", compare=False)
    show_all: bool = False
    show_job: int = -1

    @property
    def makes_library(self) -> bool:
        """Whether jobs overlay minimum-bias events that this campaign itself makes."""
        return self.pileup_mu > 0 and self.pileup_library is None

    @property
    def brought(self) -> frozenset[str]:
        """The products of a job that are brought to the run: what is kept, and what others need."""
        return NEEDED.union(self.keep)

    @property
    def samples_are_default(self) -> bool:
        """Whether nothing was said of what is to be generated."""
        return all(self.sources.get(option.name) == "default" for option in SAMPLE_OPTIONS)


def _samples(given: Given) -> tuple[SampleOptions, ...]:
    config = given.config
    asked = [option for option in SAMPLE_OPTIONS if given.sources[option.name] != "default"]
    if len(config.samples) > 1 and asked:
        msg = (
            f"{place_of(given.sources[asked[0].name], asked[0], config)}: {config.path} has "
            f"{len(config.samples)} samples, and it is not clear which is meant; "
            "change it in the config"
        )
        raise UsageError(msg)
    tables = config.samples or [{}]
    samples = []
    for number, table in enumerate(tables):
        place = config.sample_places[number] if config.samples else ""
        values = {
            option.field: (
                given.values[option.name]
                if option in asked or option.name not in table
                else option.convert(table[option.name], place)
            )
            for option in SAMPLE_OPTIONS
        }
        values["lhe"] = tuple(str(Path(path).absolute()) for path in values["lhe"])
        job_config = values["job_config"]
        if job_config is not None and not job_config.isdecimal():
            values["job_config"] = str(Path(job_config).absolute())
        values["name"] = values["name"] or values["process"] or "whss"
        samples.append(SampleOptions(**values))
    _check_names(samples, tables, config)
    return _with_own_names(samples)


def _check_names(
    samples: list[SampleOptions], tables: list[dict[str, Any]], config: CampaignConfig
) -> None:
    seen: set[str] = set()
    for number, (sample, table) in enumerate(zip(samples, tables, strict=True)):
        if "name" in table and sample.name in seen:
            msg = f"{config.sample_places[number]}: another sample is named {sample.name!r} too"
            raise ConfigError(msg)
        seen.add(sample.name)


def _with_own_names(samples: list[SampleOptions]) -> tuple[SampleOptions, ...]:
    named: list[SampleOptions] = []
    taken: set[str] = set()
    for sample in samples:
        name, count = sample.name, 1
        while name in taken:
            count += 1
            name = f"{sample.name}{count}"
        taken.add(name)
        named.append(dataclasses.replace(sample, name=name))
    return tuple(named)


def load(verb: str, argv: Sequence[str]) -> Settings:
    """Resolve the settings of a campaign.

    Parameters
    ----------
    verb : str
        One of `CAMPAIGN_VERBS`.
    argv : sequence of str
        The words after the verb.

    Raises
    ------
    HvmpiError
        If anything that was given is wrong; names option, variable, or file, line and key.
    """
    given = parse(verb, argv)
    planned = _planned_verb(verb, given)
    if verb == "plan" and planned == "reconstruct":
        # Its -b is the job size.
        given = parse(verb, argv, planned)
    timestamp = getattr(given.arguments, "rerun", "") or getattr(given.arguments, "timestamp", "")
    goes_on = timestamp == GO_ON and verb != "rerun"
    if timestamp and not goes_on:
        return _load_rerun(given, timestamp)
    _check_pileup(given)
    site = _site(given)
    values = {option.field: given.values[option.name] for option in OPTIONS if not option.sample}
    settings = Settings(
        verb=planned,
        samples=_samples(given),
        site=site,
        sources=given.sources,
        config=given.config.path,
        test=verb == "plan" or getattr(given.arguments, "test", False),
        show_all=getattr(given.arguments, "show_all", False),
        show_job=getattr(given.arguments, "show_job", -1),
        **values,
    )
    if not goes_on or (found := _find_cut_short(settings)) is None:
        return settings
    notice = f"goes on with run {found}, which was cut short"
    return dataclasses.replace(_load_rerun(given, found), notices=(notice,))


def _find_cut_short(settings: Settings) -> str | None:
    """Find the newest run of the same settings, if it was cut short; give its timestamp."""
    run_dir = Path(settings.run_dir)
    wanted = fixed(settings)
    for timestamp in reversed(list_runs(run_dir)):
        journal = run_dir / timestamp / "journal.jsonl"
        # Of others, and of a start that was killed before it had a plan, nothing can be told.
        with contextlib.suppress(HvmpiError):
            if fixed(load_run(journal.parent)) == wanted and is_planned(journal):
                return timestamp if was_cut_short(journal) else None
    return None


_SITE_DEFAULTS = {"tmp-dir": "scratch", "nice": "nice", "host-cores": "cores"}
"""Options whose default is what the site says, where it says something."""


def _site(given: Given) -> Site:
    """Read what was said of the site; fill the options that it has a say in."""
    path = given.values["site-file"]
    chosen = given.sources["site-file"] in ("command line", "environment")
    if path is not None and given.config.site is not None and not chosen:
        where = place_of(given.sources["site-file"], BY_NAME["site-file"], given.config)
        msg = f"{where}: site-file is given, and {given.config.path} has a [site] table; keep one"
        raise ConfigError(msg)
    site = read_site(Path(path)) if path is not None else given.config.site
    if site is None:
        return make_site({}, str)
    for name, field_name in _SITE_DEFAULTS.items():
        value = getattr(site, field_name)
        if value is not None and given.sources[name] == "default":
            given.values[name] = value
            given.sources[name] = "site"
    return site


def _from_site(given: Given) -> list[str]:
    return [name for name in _SITE_DEFAULTS if given.sources[name] == "site"]


def scheduling(settings: Settings) -> dict[str, Any]:
    """Give the settings of a start that may differ from the run's own, as plain values."""
    values = {
        option.field: getattr(settings, option.field) for option in OPTIONS if option.scheduling
    }
    return {**values, "site": site_table(settings.site)}


def with_scheduling(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Put what `scheduling` gave in the place of a run's own."""
    return dataclasses.replace(settings, **{**values, "site": make_site(values["site"], str)})


def _check_pileup(given: Given) -> None:
    """Refuse what would have no effect, unless it is a default that a run wrote down."""
    asked = [
        BY_NAME[name]
        for name in ("pileup-library", "pileup-events")
        if given.sources[name] != "default" and given.values[name] != BY_NAME[name].default
    ]
    for option in asked:
        where = place_of(given.sources[option.name], option, given.config)
        if not given.values["pileup-mu"]:
            msg = (
                f"{where}: {option.name} is given, and pileup-mu is 0; give pileup-mu, the mean "
                "number of interactions a crossing, too"
            )
            raise ConfigError(msg)
    if len(asked) > 1:
        msg = (
            f"{where}: pileup-events is given, and pileup-library names one that was made before; "
            "leave one of them out"
        )
        raise ConfigError(msg)


def _planned_verb(verb: str, given: Given) -> str:
    if verb != "plan":
        return verb
    if given.arguments.of:
        return str(given.arguments.of)
    evnt_dir = given.values["evnt-dir"]
    holds_files = evnt_dir is not None and Path(evnt_dir).is_dir() and any(Path(evnt_dir).iterdir())
    return "reconstruct" if holds_files else "run"


def _load_rerun(given: Given, timestamp: str) -> Settings:
    directory = find_run(Path(given.values["run-dir"]), timestamp)
    run = load_run(directory)
    before = {**dataclasses.asdict(run), **_first_sample(run)}
    changes: dict[str, Any] = {}
    ignored: list[str] = []
    for option in OPTIONS:
        source, value = given.sources[option.name], given.values[option.name]
        if source == "default" or (option.scheduling and option.name == "run-dir"):
            continue
        if option.scheduling:
            changes[option.field] = value
        elif source == "command line" and value != before.get(option.field):
            msg = (
                f"command line, --{option.name}: run {timestamp} was made with "
                f"{before.get(option.field)!r}, and a rerun cannot change it; start a new run"
            )
            raise UsageError(msg)
        elif source != "command line":
            ignored.append(option.name)
    if given.values["site-file"] is not None or given.config.site is not None:
        changes["site"] = _site(given)
        changes |= {BY_NAME[name].field: given.values[name] for name in _from_site(given)}
    ignored += ["sample"] if given.config.samples else []
    notices = (
        (f"what is made is taken from run {timestamp}; ignored: {', '.join(ignored)}",)
        if ignored
        else ()
    )
    return dataclasses.replace(
        run,
        **changes,
        run_dir=str(directory.parent),
        sources={**run.sources, **given.sources},
        notices=notices,
        timestamp=timestamp,
        test=getattr(given.arguments, "test", False),
        show_all=getattr(given.arguments, "show_all", False),
        show_job=getattr(given.arguments, "show_job", -1),
        allow_version_change=given.arguments.allow_version_change,
    )


def _first_sample(settings: Settings) -> dict[str, Any]:
    return dataclasses.asdict(settings.samples[0]) if len(settings.samples) == 1 else {}


def load_run(directory: Path) -> Settings:
    """Read the settings that a run was made with.

    Raises
    ------
    ConfigError
        If its ``settings.toml`` cannot be read.
    """
    path = directory / "settings.toml"
    config = CampaignConfig()
    try:
        with path.open(encoding="utf-8") as stream:
            top = config.parse(stream)
            stream.seek(0)
            verb = stream.readline().removeprefix("# verb: ").strip()
    except OSError as error:
        msg = f"the settings {str(path)!r} of the run cannot be read ({error.strerror})"
        raise ConfigError(msg) from error
    sources = {option.name: "run" if option.name in top else "default" for option in OPTIONS}
    values = {
        option.name: option.convert(
            top[option.name] == "true" if option.kind == "bool" else top[option.name],
            config.keys[option.name],
        )
        if option.name in top
        else option.default
        for option in OPTIONS
    }
    given = Given(
        argparse.Namespace(),
        values,
        {**sources, **{option.name: "default" for option in SAMPLE_OPTIONS}},
        config,
    )
    fields = {option.field: values[option.name] for option in OPTIONS if not option.sample}
    return Settings(
        verb=verb,
        samples=_samples(given),
        site=config.site or make_site({}, str),
        sources=sources,
        config=str(path),
        **fields,
    )


def to_toml(settings: Settings) -> str:
    """Write settings as a config that gives them again."""
    top = {
        option.name: _plain(getattr(settings, option.field))
        for option in OPTIONS
        if not option.sample and getattr(settings, option.field) is not None
    }
    # The run has the tags and the site with it.
    top["tags"] = [Path(tag).name.removesuffix(".toml") for tag in settings.tags]
    top.pop("site-file", None)
    site = site_table(settings.site)
    samples = [
        {
            option.name: _plain(getattr(sample, option.field))
            for option in SAMPLE_OPTIONS
            if getattr(sample, option.field) is not None
        }
        for sample in settings.samples
    ]
    return f"# verb: {settings.verb}\n{_origins(settings)}" + tomli_w.dumps(
        {**top, **({"site": site} if site else {}), "sample": samples}
    )


def _origins(settings: Settings) -> str:
    """Say where the values came from that are not defaults."""
    by_source: dict[str, list[str]] = {}
    for name, source in settings.sources.items():
        if source != "default":
            by_source.setdefault(source, []).append(name)
    return "".join(
        f"# from the {source}: {', '.join(names)}\n" for source, names in by_source.items()
    )


def to_dict(settings: Settings) -> dict[str, Any]:
    """Give settings as plain values, keys spelled as in a config."""
    top = {
        option.name: _plain(getattr(settings, option.field))
        for option in OPTIONS
        if not option.sample
    }
    samples = [
        {option.name: _plain(getattr(sample, option.field)) for option in SAMPLE_OPTIONS}
        for sample in settings.samples
    ]
    site = site_table(settings.site)
    return {"verb": settings.verb, **top, "site": site, "sample": samples}


def fixed(settings: Settings) -> dict[str, Any]:
    """Give what no rerun may change, as plain values: all but where the run is, and scheduling."""
    changeable = {option.name for option in OPTIONS if option.scheduling} | {"run-dir", "site"}
    return {name: value for name, value in to_dict(settings).items() if name not in changeable}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
