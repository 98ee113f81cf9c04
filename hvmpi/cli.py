"""The command line: collects the verbs and finds the one that is meant."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import hvmpi
from hvmpi.errors import UsageError
from hvmpi.option import nearest
from hvmpi.ranks import launched_rank

__all__ = ["MPIRUN", "NEEDS_MPI", "VERBS", "find_verb", "main"]

MPIRUN = "mpirun --with-ft ulfm -hostfile hostfile python -m hvmpi"
"""How examples start it."""

VERBS: dict[str, str] = {
    "run": "generate events and reconstruct them (also when no verb is given)",
    "generate": "make event files",
    "reconstruct": "run the jobs of existing event files",
    "plan": "print what a campaign would do, run nothing",
    "rerun": "run the jobs of an earlier run that are not done",
    "status": "how far a run is, what failed and why",
    "verify": "prove that every event of a run is in one product, or say why it is not",
    "diagnose": "the failures of a run, most frequent first, with the ends of their logs",
    "report": "a page about a run: what ran where, what failed and why, and its physics",
    "clean": "remove logs and temporary files of a run, or all that it made",
    "job": "one job by hand, no MPI",
    "merge": "one training file of those of several runs",
    "train": "fit a first network to training files and say how well it tells signal from QCD",
    "doctor": "look at each host for what a campaign needs, and run nothing",
    "init": "write a config, a host file and a batch script for a new campaign",
    "completion": "print what lets a shell complete verbs, options and runs",
}

NEEDS_MPI = frozenset({"run", "generate", "reconstruct", "rerun"})
"""The verbs that mpirun is started for."""

_USES_MPI = NEEDS_MPI | {"doctor"}
"""Those that several ranks may carry out."""


def find_verb(argv: Sequence[str]) -> str:
    """Give the verb of a command line: its first word, or ``run`` where that is an option.

    Raises
    ------
    UsageError
        If the first word is no verb.
    """
    if not argv or argv[0].startswith("-"):
        return "run"
    if argv[0] not in VERBS:
        msg = (
            f"there is no verb {argv[0]!r}{nearest(argv[0], list(VERBS))}; "
            "see python -m hvmpi --help"
        )
        raise UsageError(msg)
    return argv[0]


def main(argv: Sequence[str]) -> int:
    """Carry out a command line; returns the exit code.

    Raises
    ------
    HvmpiError
        If it cannot be done.
    """
    # Of several ranks one speaks; a verb that only looks is nothing for the others.
    first_rank = launched_rank() in (None, 0)
    try:
        verb = find_verb(argv)
        only_looks = verb not in _USES_MPI or {"-h", "--help", "-V", "--version"} & set(argv)
    except UsageError:
        only_looks = True
        if first_rank:
            raise
    if only_looks and not first_rank:
        return 0
    if argv and argv[0] in ("-h", "--help"):
        return _show_help()
    if argv and argv[0] in ("-V", "--version"):
        return _show_version()
    module = importlib.import_module(f"hvmpi.verbs.{verb}")
    code: int = module.main(argv[1:] if argv and argv[0] == verb else argv)
    return code


def _show_help() -> int:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {what}" for verb, what in VERBS.items())
    print(
        f"usage: {MPIRUN} [VERB] -c CONFIG [options]\n\n"
        f"{hvmpi.__doc__}\n\nverbs:\n{verbs}\n\n"
        "python -m hvmpi VERB --help tells the options of a verb; "
        "python -m hvmpi --version tells what is installed.\n\n"
        "exit codes: 0 every job done; 1 some failed for good; 2 the command line, a config or an\n"
        "input is wrong; 3 ended before the end: rerun does the rest.\n\n"
        f"example: {MPIRUN} -c configs/demo.toml"
    )
    return 0


def _show_version() -> int:
    from hvmpi.versions import all_versions

    for name, version in all_versions().items():
        print(f"{name} {version}")
    return 0
