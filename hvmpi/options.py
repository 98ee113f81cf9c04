"""Every option of a campaign, in one table: name, type, range, default, help."""

from __future__ import annotations

import math

from hvmpi.option import Option

__all__ = ["BY_NAME", "OPTIONS", "SAMPLE_OPTIONS", "least_pileup_events"]


def least_pileup_events(mu: float) -> int:
    """Give the fewest events of a minimum-bias library: ten times the mean of a crossing.

    With fewer the same ones would meet again and again.
    """
    # 10 * 1.1 is a hair above 11.
    return math.ceil(round(10.0 * mu, 6))


_WHAT = "what is made"
_SAMPLE = "the sample (or [[sample]] tables in the config)"
_WHERE = "where things are"
_HOW = "how jobs are run"

_MAX_INT4 = 2**31 - 1

OPTIONS: tuple[Option, ...] = (
    Option(
        "engine",
        "str",
        "openchain",
        "what runs the steps: openchain (Pythia 8, ACTS), athena (the transforms of its tags), or "
        "noop (makes nothing; for measuring and testing the scheduler)",
        _WHAT,
        choices=("openchain", "athena", "noop"),
    ),
    Option("seed", "int", 1, "seed of the campaign", _WHAT, minimum=0, maximum=2**63 - 1),
    Option(
        "job-size",
        "int",
        50,
        "events in a job; auto: by the time that events take (times-from, else a guess), fewer "
        "towards the end of the campaign",
        _WHAT,
        minimum=1,
        maximum=_MAX_INT4,
        words=("auto",),
    ),
    Option(
        "keep",
        "list",
        ("evnt", "aod", "train"),
        "products to keep, as far as the engine makes them (repeat, or separate by commas)",
        _WHAT,
        choices=("evnt", "hits", "rdo", "esd", "aod", "daod", "train"),
    ),
    Option(
        "fused",
        "bool",
        True,
        "run a job's steps in one process (the same events come out step by step)",
        _WHAT,
    ),
    Option(
        "renumber",
        "bool",
        False,
        "give new event numbers to found event files, in the order of their names",
        _WHAT,
    ),
    Option(
        "tags",
        "list",
        (),
        "the steps of athena, in their order: NAME of tags/NAME.toml beside the config, or a path",
        _WHAT,
    ),
    Option(
        "argument-check",
        "bool",
        True,
        "refuse tags that name arguments unknown to their transform",
        _WHAT,
    ),
    Option(
        "train-unmatched",
        "bool",
        False,
        "write the jets of signal samples to the training file that no s belongs to, too",
        _WHAT,
    ),
    Option(
        "pileup-mu",
        "float",
        0.0,
        "mean number of minimum-bias interactions a crossing that are overlaid",
        _WHAT,
        minimum=0,
        maximum=200,
    ),
    Option(
        "pileup-events",
        "int",
        1000,
        "events of the minimum-bias library that the campaign makes; at least ten times pileup-mu",
        _WHAT,
        minimum=1,
        maximum=_MAX_INT4,
    ),
    Option("name", "str", None, "the sample's name in tables and products", _SAMPLE, sample=True),
    Option(
        "process",
        "str",
        None,
        "whss, gghss, darkshower, qcd or lhe (default: whss)",
        _SAMPLE,
        sample=True,
    ),
    Option(
        "run-number",
        "int",
        None,
        "run number; a mass point of hss_points.csv gives masses and lifetime (default: 304795)",
        _SAMPLE,
        minimum=1,
        maximum=_MAX_INT4,
        sample=True,
    ),
    Option(
        "num-batches",
        "int",
        20,
        "event files to generate",
        _SAMPLE,
        minimum=1,
        maximum=10_000_000,
        sample=True,
    ),
    Option(
        "batch-size",
        "int",
        5000,
        "events in a generated event file",
        _SAMPLE,
        minimum=1,
        maximum=_MAX_INT4,
        sample=True,
    ),
    Option("m-phi", "float", None, "mass of Phi, GeV", _SAMPLE, above=0, sample=True),
    Option("m-s", "float", None, "mass of the s, GeV", _SAMPLE, above=0, sample=True),
    Option(
        "ctau",
        "float",
        None,
        "mean proper decay length of the s, mm",
        _SAMPLE,
        minimum=0,
        sample=True,
    ),
    Option(
        "decays",
        "list",
        None,
        "decays of the s and their shares in percent, e.g. --decays 'bb 85' --decays 'cc 15'",
        _SAMPLE,
        sample=True,
    ),
    Option(
        "pt-hat-min", "float", None, "lower edge of a qcd slice, GeV", _SAMPLE, above=0, sample=True
    ),
    Option(
        "pt-hat-max", "float", None, "upper edge of a qcd slice, GeV", _SAMPLE, above=0, sample=True
    ),
    Option(
        "lhe",
        "list",
        (),
        "Les Houches event files of an lhe sample, one a batch (repeat the option)",
        _SAMPLE,
        sample=True,
    ),
    Option(
        "job-config",
        "str",
        None,
        "athena: job options of the generation: a file, a directory with mc*.py, or a DSID",
        _SAMPLE,
        sample=True,
    ),
    Option(
        "pythia",
        "list",
        (),
        "a further Pythia setting, e.g. --pythia 'Tune:pp = 14' (repeat the option)",
        _SAMPLE,
        sample=True,
    ),
    Option(
        "run-dir",
        "path",
        "runs",
        "directory of the runs, seen by all hosts",
        _WHERE,
        scheduling=True,
    ),
    Option(
        "evnt-dir",
        "path",
        None,
        "event files: read by reconstruct, written by generate and run (default: in the run)",
        _WHERE,
    ),
    Option(
        "pileup-library",
        "path",
        None,
        "minimum-bias library made before, library/minbias.EVENTS.hits.h5 of a run (default: the "
        "campaign makes one)",
        _WHERE,
    ),
    Option(
        "times-from",
        "path",
        None,
        "directory of an earlier run of the same samples: what its jobs took says which start "
        "first, and how large they are with job-size auto",
        _WHERE,
        scheduling=True,
    ),
    Option("aod-dir", "path", None, "products, by timestamp (default: in the run)", _WHERE),
    Option(
        "site-file",
        "path",
        None,
        "what athena finds where, a TOML with the keys of a [site] table",
        _WHERE,
        scheduling=True,
    ),
    Option("log-dir", "path", None, "logs, by timestamp (default: in the run)", _WHERE),
    Option(
        "tmp-dir",
        "path",
        None,
        "working directories of jobs, by timestamp; may be local to a node (default: in the run)",
        _WHERE,
        scheduling=True,
    ),
    Option("keep-logs", "bool", False, "keep the logs of done jobs too", _WHERE, scheduling=True),
    Option(
        "cold",
        "bool",
        False,
        "start Python and load its libraries anew for each step (the same comes out, later)",
        _HOW,
        scheduling=True,
    ),
    Option(
        "profile",
        "bool",
        False,
        "note where the time of each step goes, for status --profile",
        _HOW,
        scheduling=True,
    ),
    Option(
        "report",
        "bool",
        True,
        "make the report page when the campaign has ended, as the verb report does",
        _HOW,
        scheduling=True,
    ),
    Option(
        "max-attempts",
        "int",
        2,
        "attempts of a job that fails by itself",
        _HOW,
        minimum=1,
        maximum=1000,
        scheduling=True,
    ),
    Option(
        "max-lost",
        "int",
        10,
        "attempts of a job that may be lost to machines, networks and file systems, besides",
        _HOW,
        minimum=0,
        maximum=1000,
        scheduling=True,
    ),
    Option(
        "retry-pause",
        "float",
        0.5,
        "seconds by which the pause grows before a job is tried again that was lost to its host's "
        "surroundings",
        _HOW,
        minimum=0,
        maximum=86400,
        scheduling=True,
    ),
    Option(
        "job-timeout",
        "float",
        86400.0,
        "seconds that an attempt may take",
        _HOW,
        above=0,
        scheduling=True,
    ),
    Option(
        "job-memory",
        "int",
        None,
        "MB that an attempt may use, all its processes together (default: 2000 in the open chain, "
        "any with athena)",
        _HOW,
        minimum=1,
        maximum=_MAX_INT4,
        scheduling=True,
    ),
    Option(
        "host-memory",
        "float",
        90.0,
        "percent of a host's memory (or its control group's) above which its ranks start no job",
        _HOW,
        above=0,
        maximum=100,
        scheduling=True,
    ),
    Option(
        "lease",
        "float",
        60.0,
        "seconds without a sign of life after which a rank's job goes to another",
        _HOW,
        minimum=1,
        scheduling=True,
    ),
    Option(
        "time-limit",
        "float",
        None,
        "seconds after which the campaign ends, to be taken up again by rerun; auto: when the "
        "batch system ends this job",
        _HOW,
        above=0,
        words=("auto",),
        scheduling=True,
    ),
    Option(
        "max-restarts",
        "int",
        20,
        "times that run_chain.sh starts mpirun again after a machine or the master was lost",
        _HOW,
        minimum=0,
        maximum=10_000,
        scheduling=True,
    ),
    Option(
        "start-timeout",
        "float",
        120.0,
        "seconds in which the ranks must have begun the run, or run_chain.sh starts them again",
        _HOW,
        above=0,
        scheduling=True,
    ),
    Option(
        "host-cores",
        "int",
        None,
        "cores of a host that jobs may use at once (default: with athena those that it has)",
        _HOW,
        minimum=1,
        maximum=100_000,
        scheduling=True,
    ),
    Option(
        "preflight-timeout",
        "float",
        300.0,
        "seconds in which a host must have been looked at, or it is left out",
        _HOW,
        above=0,
        scheduling=True,
    ),
    Option(
        "duplicates",
        "bool",
        True,
        "start a second attempt of a job that takes suspiciously long on a rank that has nothing "
        "else to do; the first answer counts",
        _HOW,
        scheduling=True,
    ),
    Option(
        "nice",
        "int",
        10,
        "niceness of the payloads",
        _HOW,
        minimum=0,
        maximum=19,
        scheduling=True,
    ),
    Option(
        "progress",
        "str",
        "auto",
        "how far the run is, told meanwhile: bar (redrawn in a terminal), line (after 10 s, later "
        "once a minute) or none; auto: a bar where one is sure to work, else lines",
        _HOW,
        choices=("auto", "bar", "line", "none"),
        scheduling=True,
    ),
    Option(
        "noop-command",
        "list",
        (),
        "what a noop job runs, one word each time the option is given; {job}, {attempt}, "
        "{first_event}, {events}, {input}, {library}, {output} and {train} are filled in",
        _HOW,
    ),
)

BY_NAME: dict[str, Option] = {option.name: option for option in OPTIONS}
SAMPLE_OPTIONS: tuple[Option, ...] = tuple(option for option in OPTIONS if option.sample)
