"""What a batch system gave to the job that this process is part of: hosts, and time."""

from __future__ import annotations

import re
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from hvmpi.errors import InputError, SetupError
from hvmpi.hosts import Host

__all__ = ["find_allocated", "time_left"]

_ANSWER_S = 30.0
_TIME = "give --time-limit SECONDS"
_NAME = re.compile(r"[\w.-]+")
_TASKS = re.compile(r"(\d+)(?:\(x(\d+)\))?")
_SPAN = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")
"""Of time, as Slurm and PBS write it: DAYS-HOURS:MINUTES:SECONDS, MINUTES:SECONDS."""


def find_allocated(environ: Mapping[str, str]) -> tuple[Host, ...]:
    """Find the hosts that Slurm or PBS gave to this job, a slot a task; none outside of one.

    HTCondor is not asked: what starts a job there writes a host file (`configs/batch`).

    Raises
    ------
    InputError, SetupError
        If what the batch system says cannot be read, or it does not answer.
    """
    if job := environ.get("SLURM_JOB_ID"):
        return _slurm_hosts(job, environ)
    if nodes := environ.get("PBS_NODEFILE"):
        return _pbs_hosts(Path(nodes))
    return ()


def time_left(environ: Mapping[str, str]) -> float | None:
    """Ask the batch system for the seconds until it ends this job; None where it sets no end.

    Parameters
    ----------
    environ : mapping of str to str
        Of a process of the job.

    Raises
    ------
    SetupError
        If it does not answer.
    """
    if job := environ.get("SLURM_JOB_ID"):
        if (end := environ.get("SLURM_JOB_END_TIME", "")).isdigit():
            return int(end) - time.time()
        asked = ("squeue", "--noheader", f"--jobs={job}", "--format=%L")
        return _seconds(_ask(*asked, instead=_TIME))
    if job := environ.get("PBS_JOBID"):
        says = _ask("qstat", "-f", job, instead=_TIME)
        limit, used = (
            _seconds(found[1]) if (found := re.search(rf"{of}\.walltime = (\S+)", says)) else None
            for of in ("Resource_List", "resources_used")
        )
        return limit - (used or 0.0) if limit is not None else None
    return None


def _slurm_hosts(job: str, environ: Mapping[str, str]) -> tuple[Host, ...]:
    nodes = environ.get("SLURM_JOB_NODELIST", "")
    names = [nodes] if _NAME.fullmatch(nodes) else _names_of(nodes)
    # Where tasks were not asked for there is one a node.
    given = environ.get("SLURM_TASKS_PER_NODE") or f"1(x{len(names)})"
    found = [_TASKS.fullmatch(part) for part in given.split(",")]
    tasks = [int(one[1]) for one in found if one for _ in range(int(one[2] or 1))]
    if not names or len(tasks) != len(names):
        msg = (
            f"Slurm job {job} has the nodes {nodes!r} and on them {given!r} tasks, which do not "
            "match; name a host file with --hostfile"
        )
        raise InputError(msg)
    return tuple(map(Host, names, tasks))


def _names_of(nodes: str) -> list[str]:
    """Spell out a list of nodes: tev[01-03]."""
    instead = "name a host file with --hostfile"
    return _ask("scontrol", "show", "hostnames", nodes, instead=instead).split()


def _pbs_hosts(path: Path) -> tuple[Host, ...]:
    """Read PBS's list of nodes, a line a task."""
    try:
        names = Counter(path.read_text().split())
    except OSError as error:
        msg = (
            f"the list of hosts {str(path)!r}, which PBS_NODEFILE names, cannot be read "
            f"({error.strerror}); name a host file with --hostfile"
        )
        raise InputError(msg) from error
    if not names:
        msg = f"{str(path)!r}, which PBS_NODEFILE names, is empty; name a host file with --hostfile"
        raise InputError(msg)
    return tuple(Host(name, tasks) for name, tasks in names.items())


def _ask(*command: str, instead: str) -> str:
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWER_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = ""
        if isinstance(error, subprocess.CalledProcessError):
            said = error.stderr.strip().partition("\n")[0]
        msg = (
            f"{' '.join(command)} does not tell of this job ({said or error}); "
            f"see that it runs on the nodes of the batch system, or {instead}"
        )
        raise SetupError(msg) from error
    return answer.stdout


def _seconds(text: str) -> float | None:
    """Read a span of time; None for a word, such as UNLIMITED."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
