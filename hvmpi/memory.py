"""Memory: what a session's processes use, how full their host is, and whom the kernel killed."""

from __future__ import annotations

import functools
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

from hvmpi.cgroups import V1, V2, control_groups
from hvmpi.session import is_of, processes
from hvmpi.settings import Settings

__all__ = ["HoldBack", "HostMemory", "Meter", "Use", "job_memory", "memory_limit", "use_of_session"]

_PROC = Path("/proc")
_KB_PER_MB = 1024.0
_B_PER_MB = 1024.0 * 1024.0
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / _B_PER_MB

_DEFAULT_MB = {"openchain": 2000}
"""What an attempt may use where ``job-memory`` is not given, by engine; others have no limit."""

_FIRST_S = 0.05
_GROWTH = 1.5
_EVERY_S = 1.0
_YOUNG_S = 1.0
_MOST_SHARE = 0.02
"""Of a core that sampling may take: it takes the kernel 15 ms to count the pages of 1 GB."""
_CHANGE = 0.01
_RECOUNT_S = 10.0
_MARGIN = 1.1
"""The kernel keeps its counts of pages a core, and adds them up now and then."""


def job_memory(settings: Settings) -> int | None:
    """Give what an attempt may use, MB; None where there is no limit."""
    return memory_limit(settings.engine, settings.job_memory)


def memory_limit(engine: str, asked: int | None) -> int | None:
    """Give what an attempt may use, MB, where `asked` is what the settings say; None for any."""
    return _DEFAULT_MB.get(engine) if asked is None else asked


@dataclass(frozen=True, slots=True)
class Use:
    """Memory of the processes of a session.

    Attributes
    ----------
    together_mb : float
        What all use now: the sum of their PSS, where a page that several map counts once. RSS
        takes its place for a process whose PSS cannot be read.
    largest_mb : float
        The largest RSS that one of them ever had.
    """

    together_mb: float
    largest_mb: float


def use_of_session(session: int) -> Use:
    """Measure what the processes of a session use."""
    return _use(_processes(session))


class Meter:
    """The memory of a payload's session, from its first process's start to its end.

    Parameters
    ----------
    limit_mb : int, optional

    Attributes
    ----------
    over_mb : float
        What it used when it was seen above its limit; 0 where it never was.

    Notes
    -----
    The kernel's own record of a process's peak, ``ru_maxrss``, begins with that of the process
    that started it. Only what is above that is the session's. Below it samples tell, at
    intervals that grow from 0.05 s to a second, and in the first second every look at the first
    process. A sample reads the RSS of all; PSS, which is dear, is counted again when their sum has
    changed by 1 %, or after 10 s.
    """

    def __init__(self, limit_mb: int | None = None) -> None:
        self._session = 0
        self._limit_mb = limit_mb
        self._inherited_mb = 0.0
        self._peak_mb = 0.0
        self._interval = _FIRST_S
        self._began = time.monotonic()
        self._next = self._began + _FIRST_S
        self._resident_mb = 0.0
        self._counted = -_RECOUNT_S
        self._kills = [_oom_kills.lately(self._began)] * 2
        self.over_mb = 0.0

    def begin(self, session: int, starter: int) -> None:
        """Take samples from now on.

        Parameters
        ----------
        session : int
        starter : int
            The process that started its first process.
        """
        self._session = session
        self._inherited_mb = _largest_rss_mb(starter)

    def look(self) -> None:
        """Take a sample if it is time for one."""
        if not self._session:
            return
        now = time.monotonic()
        if now >= self._next:
            self._sample(now)
            self._interval = min(self._interval * _GROWTH, _EVERY_S)
            ended = time.monotonic()
            self._next = ended + max(self._interval, (ended - now) / _MOST_SHARE)
        elif now < self._began + _YOUNG_S:
            self._peak_mb = max(self._peak_mb, _largest_rss_mb(self._session))

    def _sample(self, now: float) -> None:
        self._kills = [self._kills[1], _oom_kills.lately(now)]
        processes = _processes(self._session)
        resident = sum(map(_rss_mb, processes))
        change = abs(resident - self._resident_mb)
        if change <= _CHANGE * self._resident_mb and now < self._counted + _RECOUNT_S:
            return
        self._resident_mb, self._counted = resident, now
        use = _use(processes)
        self._peak_mb = max(self._peak_mb, use.together_mb, use.largest_mb)
        if self._limit_mb is not None and not self.over_mb and use.together_mb > self._limit_mb:
            self.over_mb = use.together_mb

    def peak_mb(self, max_rss_kb: int) -> float:
        """Give the most memory that was seen.

        Parameters
        ----------
        max_rss_kb : int
            As `os.wait4` gave it for the first process.
        """
        claimed = max_rss_kb / _KB_PER_MB
        if not self._peak_mb or claimed > self._inherited_mb * _MARGIN:
            return max(claimed, self._peak_mb)
        return self._peak_mb

    def kernel_killed(self) -> bool:
        """Whether the kernel killed processes for want of memory since the last sample but one."""
        return _oom_kills.count() > self._kills[0]


@dataclass(frozen=True, slots=True)
class _Kind:
    """The names that a version of control groups gives to its files."""

    limit: str
    used: str
    reclaimable: str
    kills: str


_KINDS = {
    V1: _Kind(
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
        "memory.oom_control",
    ),
    V2: _Kind("memory.max", "memory.current", "inactive_file", "memory.events"),
}


@dataclass(frozen=True, slots=True)
class _Group:
    """A control group of memory."""

    directory: Path
    kind: _Kind

    def limit_mb(self) -> float | None:
        text = _read(self.directory / self.kind.limit).strip()
        return int(text) / _B_PER_MB if text.isdigit() else None

    def used_mb(self) -> float:
        text = _read(self.directory / self.kind.used).strip()
        used = int(text) if text.isdigit() else 0
        # Files that were read lately count as used, and go when their room is needed.
        idle = _value(self.directory / "memory.stat", self.kind.reclaimable) or 0
        return max(used - idle, 0) / _B_PER_MB

    def oom_kills(self) -> int | None:
        return _value(self.directory / self.kind.kills, "oom_kill")


class HostMemory:
    """How full the memory is that this process can have: its machine's and its control groups'.

    Parameters
    ----------
    proc : Path
        Where the kernel tells of itself.
    """

    def __init__(self, proc: Path = _PROC) -> None:
        self._meminfo = proc / "meminfo"
        self._groups = _groups(proc)

    def used_of_total_mb(self) -> tuple[float, float]:
        """Give the memory in use and all that there is, MB, where it is scarcest."""
        total = (_value(self._meminfo, "MemTotal:") or 0) / _KB_PER_MB
        free = (_value(self._meminfo, "MemAvailable:") or 0) / _KB_PER_MB
        found = [(total - free, total)]
        for group in self._groups:
            limit = group.limit_mb()
            if limit is not None and 0 < limit < total:
                found.append((group.used_mb(), limit))
        return max(found, key=lambda pair: pair[0] / max(pair[1], 1.0))


class HoldBack:
    """Says when a host becomes too full for new jobs, and when it is no more.

    Parameters
    ----------
    host : str
        Its name.
    percent : float
        Of its memory that may be in use.
    memory : HostMemory, optional
    """

    def __init__(self, host: str, percent: float, memory: HostMemory | None = None) -> None:
        self._host = host
        self._percent = percent
        self._memory = memory or HostMemory()
        self._next = 0.0
        self._full = False

    def poll(self) -> str | None:
        """Give why the host takes no new jobs, empty if it does again; None: as before.

        It looks once a second at most.
        """
        now = time.monotonic()
        if now < self._next:
            return None
        self._next = now + _EVERY_S
        used, total = self._memory.used_of_total_mb()
        full = used > total * self._percent / 100.0
        if full == self._full:
            return None
        self._full = full
        if not full:
            return ""
        return (
            f"{self._host} uses {used:.0f} MB of {total:.0f} MB, host-memory is {self._percent:g} %"
        )


class _OomKills:
    """The count of processes that the kernel killed for want of memory.

    Short payloads follow each other faster than it changes: it is read once a second.
    """

    def __init__(self) -> None:
        self._read_at, self._count = -math.inf, 0

    def count(self) -> int:
        """Give the count as of now."""
        self._read_at, self._count = time.monotonic(), self._read()
        return self._count

    def lately(self, now: float) -> int:
        """Give the count as it was within the last second."""
        return self.count() if now > self._read_at + _EVERY_S else self._count

    def _read(self) -> int:
        for group in _groups(_PROC)[:1]:
            kills = group.oom_kills()
            if kills is not None:
                return kills
        # The topmost group keeps no account of its own: it is the machine's.
        return _value(_PROC / "vmstat", "oom_kill") or 0


_oom_kills = _OomKills()


def _processes(session: int) -> list[str]:
    return [str(pid) for pid in processes() if is_of(pid, session)]


def _use(processes: list[str]) -> Use:
    together = sum(map(_pss_mb, processes))
    return Use(together, max(map(_largest_rss_mb, processes), default=0.0))


def _pss_mb(pid: str) -> float:
    # Another user's, a kernel before 4.14, or a process that is gone.
    pss = _value(_PROC / pid / "smaps_rollup", "Pss:")
    return _rss_mb(pid) if pss is None else pss / _KB_PER_MB


def _rss_mb(pid: str) -> float:
    words = _read(_PROC / pid / "statm").split()
    return int(words[1]) * _PAGE_MB if len(words) > 1 else 0.0


def _largest_rss_mb(pid: str | int) -> float:
    return (_value(_PROC / str(pid) / "status", "VmHWM:") or 0) / _KB_PER_MB


@functools.cache
def _groups(proc: Path) -> tuple[_Group, ...]:
    """List this process's control groups of memory, of the version that limits it."""
    found = control_groups("memory", proc)
    version = V1 if V1 in found else V2
    return tuple(_Group(directory, _KINDS[version]) for directory in found.get(version, ()))


def _value(path: Path, name: str) -> int | None:
    """Read the number behind a name at the beginning of a line."""
    for line in _read(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name and words[1].isdigit():
            return int(words[1])
    return None


def _read(path: Path) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        parts = []
        while part := os.read(handle, 65536):
            parts.append(part)
        return b"".join(parts).decode("utf-8", "surrogateescape")
    except OSError:
        # It went while we read.
        return ""
    finally:
        os.close(handle)
