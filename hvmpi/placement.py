"""Which job goes to which rank: the cores of the hosts, and where a job had better not go again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hvmpi.campaign.jobs import Kind
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.ready import Ready
from hvmpi.settings import Settings

__all__ = ["Placement"]


@dataclass
class _Host:
    """A host of the campaign: its ranks, and how many of its cores jobs use."""

    name: str
    cores: int
    ranks: set[int] = field(default_factory=set)
    idle: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    used: int = 0

    @property
    def free(self) -> int:
        return self.cores - self.used

    @property
    def runs_jobs(self) -> bool:
        return self.idle != self.ranks


@dataclass(frozen=True)
class _Running:
    job: int
    attempt: int
    cores: int


class Placement:
    """The ranks that work for a campaign, and what runs where.

    Parameters
    ----------
    ledger : Ledger
    settings : Settings
    cores : mapping of Kind to int
        Cores of a job, for the kinds of those that are not done.

    Notes
    -----
    Cores are counted if ``host-cores`` is given, with athena, and where a job uses several; else
    a rank is a job. The ready job of the lowest number goes first. One that no host has cores free
    for keeps the host that lacks the fewest from being filled by those behind it, or it might
    never start; one that waits for another host does not hold up others.

    A host that is held for want of memory starts a job only while it runs none of ours: another
    of ours will end, but what else fills it may stay.
    """

    def __init__(self, ledger: Ledger, settings: Settings, cores: Mapping[Kind, int]) -> None:
        self._ledger = ledger
        self._host_cores = settings.host_cores
        largest = max(cores.values(), default=1)
        self._counted = (
            settings.host_cores is not None or settings.engine == "athena" or largest > 1
        )
        self._cores = cores if self._counted else {}
        self._hosts: dict[str, _Host] = {}
        self._host_of: dict[int, _Host] = {}
        self._running: dict[int, _Running] = {}
        self._held: dict[int, str] = {}

    @property
    def held(self) -> str:
        """Say which hosts are held, as the end of a sentence; empty where none is."""
        reasons = [self._held[min(ranks)] for ranks in self._holding().values()]
        return "".join(f"; no new jobs: {reason}" for reason in reasons)

    def _holding(self) -> dict[str, set[int]]:
        """Give the ranks that find their host too full, by host; what silent ones said is old."""
        if not self._held:
            return {}
        held = {host.name: host.ranks & self._held.keys() for host in self._hosts.values()}
        return {name: ranks for name, ranks in held.items() if ranks}

    def hold(self, rank: int, reason: str) -> None:
        """Take into account that a rank finds its host too full; with no reason, not any more."""
        self._held.pop(rank, None)
        if reason:
            self._held[rank] = reason

    @property
    def empty(self) -> bool:
        """Whether no rank works here."""
        return not self._host_of

    @property
    def silent(self) -> bool:
        """Whether no rank that works here gives a sign of life."""
        return not any(host.ranks for host in self._hosts.values())

    def host(self, rank: int) -> str:
        """Give the name of a rank's host."""
        return self._host_of[rank].name

    def take_in(self, rank: int, name: str, cores: int) -> str:
        """Take in a rank that is ready for jobs.

        Parameters
        ----------
        rank : int
        name : str
            Of its host.
        cores : int
            Those that it may use there.

        Returns
        -------
        str
            Why it cannot be used; empty when it can.
        """
        host = self._hosts.get(name)
        found = max(cores, host.cores if host else 0)
        has = self._host_cores or found
        kind = max(self._cores, key=self._cores.__getitem__, default=None)
        if kind is not None and has < self._cores[kind]:
            return (
                f"{name} has {has} core{'s' * (has != 1)}, {kind.name.lower()} jobs need "
                f"{self._cores[kind]} (cores of the tags, host-cores)"
            )
        if host is None:
            host = self._hosts[name] = _Host(name, has)
        # Where mpirun binds ranks to cores, one may see less of its host than another.
        host.cores = has
        host.ranks.add(rank)
        host.idle.add(rank)
        self._host_of[rank] = host
        return ""

    def leave(self, rank: int) -> None:
        """Forget a rank."""
        self._held.pop(rank, None)
        host = self._host_of.pop(rank, None)
        if host is None:
            return
        running = self._running.pop(rank, None)
        host.used -= running.cores if running else 0
        for ranks in (host.ranks, host.idle, host.silent):
            ranks.discard(rank)
        if not host.ranks and not host.silent:
            del self._hosts[host.name]

    def knows(self, rank: int) -> bool:
        """Say whether a rank works here, silent or not."""
        return rank in self._host_of

    def running(self, rank: int) -> tuple[int, int] | None:
        """Give the job and the attempt that a rank runs, or ran when it fell silent."""
        running = self._running.get(rank)
        return None if running is None else (running.job, running.attempt)

    def silence(self, rank: int) -> None:
        """Give a rank nothing more; its payload may still be there, so its cores stay taken."""
        host = self._host_of[rank]
        host.silent.add(rank)
        host.ranks.discard(rank)
        host.idle.discard(rank)

    def revive(self, rank: int) -> None:
        """Take into account that a silent rank was heard again."""
        host = self._host_of[rank]
        host.silent.discard(rank)
        host.ranks.add(rank)
        if rank not in self._running:
            host.idle.add(rank)

    def started(self, rank: int, job: int, attempt: int) -> None:
        """Take into account that a rank runs a job."""
        host = self._host_of[rank]
        cores = self._cores.get(self._ledger.kind(job), 0)
        host.idle.discard(rank)
        host.used += cores
        self._running[rank] = _Running(job, attempt, cores)

    def ended(self, rank: int, job: int, attempt: int) -> None:
        """Take into account that a rank does not run that job any more."""
        running = self._running.get(rank)
        if running is None or (running.job, running.attempt) != (job, attempt):
            return
        del self._running[rank]
        host = self._host_of[rank]
        host.used -= running.cores
        if rank in host.ranks:
            host.idle.add(rank)

    def choose(self, fits: Callable[[Kind], bool] = lambda _: True) -> tuple[int, int] | None:
        """Give a job that can start and a rank for it; None where there is no such pair.

        Parameters
        ----------
        fits : callable
            Says whether jobs of a kind may start at all now.
        """
        kept = {name for name in self._holding() if self._hosts[name].runs_jobs}
        if not any(host.idle and host.name not in kept for host in self._hosts.values()):
            return None
        for ready in self._ledger.ready():
            if not fits(ready.kind):
                continue
            need = self._cores.get(ready.kind, 0)
            hosts = [host for host in self._allowed(ready) if host.idle and host.name not in kept]
            fit = [host for host in hosts if host.free >= need]
            if fit:
                return ready.job, self._rank(ready.job, fit)
            if hosts:
                kept.add(max(hosts, key=lambda host: host.free).name)
        return None

    def _allowed(self, ready: Ready) -> Sequence[_Host]:
        """List the hosts that a job did not fail on, or at least not last."""
        hosts = [host for host in self._hosts.values() if host.ranks]
        avoid = [self._ledger.hosts[host] for host in ready.avoid]
        return (
            [host for host in hosts if host.name not in avoid]
            or [host for host in hosts if host.name not in avoid[-1:]]
            or hosts
        )

    def _rank(self, job: int, hosts: Sequence[_Host]) -> int:
        """Take the lowest rank that did not fail this job before, when there is one."""
        last = self._ledger.last_rank(job)
        idle = {rank for host in hosts for rank in host.idle}
        return min(idle - {last} or idle)
