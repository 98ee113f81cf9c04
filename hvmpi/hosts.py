"""The machines of a campaign: what a host file lists, which is this one, what it may use."""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from hvmpi.cgroups import control_groups
from hvmpi.errors import InputError

__all__ = [
    "Host",
    "find_silent",
    "is_this_machine",
    "read_hostfile",
    "remote_shell",
    "usable_cores",
]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_WITH_SLOTS = re.compile(r"([^:]+):(\d+)")
_ANSWER_S = 15.0
_ASKED_AT_ONCE = 32
_SETTING = re.compile(r"([A-Za-z_-]+)\s*=\s*([^\s=]+)")


@dataclass(frozen=True, slots=True)
class Host:
    """A line of a host file.

    Parameters
    ----------
    name : str
        Name or address.
    slots : int or None
        Ranks that it takes; None where the line says nothing: a rank a core.
    """

    name: str
    slots: int | None = None


def read_hostfile(path: Path) -> tuple[Host, ...]:
    """Read a host file: ``NAME``, ``NAME slots=RANKS`` or ``NAME:RANKS`` a line, ``#`` comments.

    Parameters
    ----------
    path : Path
        The host file.

    Returns
    -------
    tuple of Host
        In the file's order; a name that stands twice is there twice.

    Raises
    ------
    InputError
        If the file cannot be read, names no host, has the line ends of another system, or holds
        a line of another form; names file and line.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        msg = f"the host file {str(path)!r} cannot be read ({error.strerror})"
        raise InputError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"the host file {str(path)!r} is no text; write one host a line"
        raise InputError(msg) from error
    hosts = []
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{str(path)!r}, line {number}"
        if "\r" in line:
            msg = f"{where}: the line ends as on Windows, which mpirun refuses; run dos2unix on it"
            raise InputError(msg)
        words = line.partition("#")[0].strip()
        if words:
            hosts.append(_parse(words, where))
    if not hosts:
        msg = f"the host file {str(path)!r} names no host; write one a line, such as 'localhost'"
        raise InputError(msg)
    return tuple(hosts)


def _parse(words: str, where: str) -> Host:
    name, rest = [*words.split(maxsplit=1), ""][:2]
    slots = None
    if match := _WITH_SLOTS.fullmatch(name):
        name, slots = match[1], int(match[2])
    if not _NAME.fullmatch(name):
        msg = f"{where}: {name!r} is no host name; write NAME or NAME slots=RANKS"
        raise InputError(msg)
    settings = dict(_SETTING.findall(rest))
    if _SETTING.sub("", rest).strip() or set(settings) - {"slots", "max_slots", "max-slots"}:
        msg = f"{where}: {rest.strip()!r} is not understood; write NAME or NAME slots=RANKS"
        raise InputError(msg)
    for value in settings.values():
        if not (value.isascii() and value.isdigit()):
            msg = f"{where}: {value!r} is no number of slots; write {name} slots=RANKS"
            raise InputError(msg)
    if "slots" in settings:
        slots = int(settings["slots"])
    if slots == 0:
        msg = f"{where}: no rank can start in 0 slots; leave the line out or give it a slot"
        raise InputError(msg)
    return Host(name, slots)


def is_this_machine(name: str) -> bool:
    """Tell whether a name or an address means the machine that asks.

    Parameters
    ----------
    name : str
        As a host file has it. It is looked up only if it is none of the machine's own names; one
        that nobody knows is another machine's.
    """
    own = socket.gethostname()
    if name in {"localhost", own, own.partition(".")[0]}:
        return True
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(name, None)}
    except OSError:
        return False
    if any(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found):
        return True
    mine = {card.address for cards in psutil.net_if_addrs().values() for card in cards}
    return bool(found & mine)


def remote_shell(environ: Mapping[str, str]) -> list[str]:
    """Find the command that mpirun reaches other machines with: ssh, or what was put in its place.

    Parameters
    ----------
    environ : mapping of str to str
        The variables by which Open MPI is told, and ``HVMPI_SSH``; in a job of Slurm mpirun takes
        srun by itself.
    """
    names = ("PRTE_MCA_plm_ssh_agent", "OMPI_MCA_plm_ssh_agent", "HVMPI_SSH")
    given = next(filter(None, map(environ.get, names)), "")
    if not given and environ.get("SLURM_JOB_ID"):
        return ["srun", "--overlap", "--mpi=none", "--nodes=1", "--ntasks=1", "--nodelist"]
    given = given or "ssh"
    # Open MPI takes several, of which the first that is there counts.
    command = shlex.split(given.partition(":")[0])
    if Path(command[0]).name == "ssh":
        command += ["-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    return command


def find_silent(names: Iterable[str], shell: Sequence[str]) -> set[str]:
    """Find the hosts that do not answer; this machine always does.

    Parameters
    ----------
    names : iterable of str
        As a host file has them.
    shell : sequence of str
        A command that runs another on a host: `remote_shell`.
    """
    others = sorted({name for name in names if not is_this_machine(name)})
    if not others:
        return set()
    with ThreadPoolExecutor(min(len(others), _ASKED_AT_ONCE)) as pool:
        answers = pool.map(lambda name: _answers(name, shell), others)
        return {name for name, answered in zip(others, answers, strict=True) if not answered}


def _answers(name: str, shell: Sequence[str]) -> bool:
    try:
        asked = subprocess.run(
            [*shell, name, "true"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_ANSWER_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def usable_cores(root: Path = Path("/")) -> int:
    """Count the cores that this process may use: its affinity, and its control group's quota.

    Parameters
    ----------
    root : Path
        Where ``proc`` and the control groups' file systems are found.

    Returns
    -------
    int
        At least 1; a part of a core that the quota leaves over is not counted.

    Notes
    -----
    Quotas are those of "Control Group v2" (``cpu.max``) and "CFS Bandwidth Control"
    (``cpu.cfs_quota_us``) in the kernel's documentation; the strictest of all levels holds.
    """
    cores = len(os.sched_getaffinity(0))
    found = control_groups("cpu", root / "proc", root).values()
    quotas = [quota for groups in found for group in groups if (quota := _quota(group)) is not None]
    return max(1, min([cores, *(int(quota) for quota in quotas)]))


def _quota(group: Path) -> float | None:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return None
    return None if quota in {"max", "-1"} else int(quota) / int(period)
