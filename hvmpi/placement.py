"""Which job goes to which rank: the cores of the hosts, and where a job had better not go again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hvmpi.campaign.jobs import Kind
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.ready import Ready
from hvmpi.loads import Loads
from hvmpi.settings import Settings

__all__ = ["Given", "Placement"]


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
        return len(self.idle) < len(self.ranks)


@dataclass(slots=True)
class Given:
    """An attempt that a rank has: the first of its attempts runs, the others wait behind it.

    Attributes
    ----------
    job, attempt : int
    kind : Kind
    cores : int
    since : float
        Unix seconds: when it came to the front, before that when it was given or asked back.
    asked_back : bool
        Whether the rank was told to give it back.
    """

    job: int
    attempt: int
    kind: Kind
    cores: int
    since: float
    asked_back: bool = False


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

    A rank that has a job may be given more ahead (`choose_ahead`), which it begins as soon as the
    one before has ended. Not where cores are counted, as the next job may need more of them than
    the one that ends gives free; not on a host that is held; and no job that had better avoid a
    host, as it waits for an idle rank of another.
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
        self._working: set[str] = set()
        self._with_idle: dict[str, _Host] = {}
        self._given: dict[int, deque[Given]] = {}
        self._loads = Loads()
        self._ahead: dict[int, None] = {}
        self._touched: set[int] = set()
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

    def hold(self, rank: int, reason: str) -> list[tuple[int, Given]]:
        """Take into account that a rank finds its host too full; with no reason, not any more.

        Returns
        -------
        list of (int, Given)
            What its host's ranks are to give back: it would start as others of ours run.
        """
        self._held.pop(rank, None)
        if not reason:
            return []
        self._held[rank] = reason
        host = self._host_of.get(rank)
        ranks = sorted(host.ranks) if host else []
        return [(other, given) for other in ranks for given in self._ask_back(other)]

    @property
    def empty(self) -> bool:
        """Whether no rank works here."""
        return not self._host_of

    @property
    def silent(self) -> bool:
        """Whether no rank that works here gives a sign of life."""
        return not self._working

    @property
    def has_idle(self) -> bool:
        """Whether a rank has nothing to do."""
        self._see_touched()
        return bool(self._with_idle)

    @property
    def ahead(self) -> int:
        """Jobs that wait at a rank until those before them have ended."""
        self._see_touched()
        return sum(len(self._given[rank]) - 1 for rank in self._ahead)

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
        self._host_of[rank] = host
        self._given[rank] = deque()
        self._bring_in(rank, host)
        return ""

    def leave(self, rank: int) -> None:
        """Forget a rank."""
        self._held.pop(rank, None)
        host = self._host_of.pop(rank, None)
        if host is None:
            return
        host.used -= sum(given.cores for given in self._given.pop(rank))
        host.silent.discard(rank)
        self._withhold(rank, host)
        if not host.ranks and not host.silent:
            del self._hosts[host.name]

    def knows(self, rank: int) -> bool:
        """Say whether a rank works here, silent or not."""
        return rank in self._host_of

    def given(self, rank: int) -> list[Given]:
        """Give the attempts that a rank has, or had when it fell silent: the first one runs."""
        return list(self._given.get(rank, ()))

    def running_first(self) -> list[tuple[int, Given]]:
        """Give what each rank runs."""
        return [(rank, row[0]) for rank, row in self._given.items() if row]

    def not_given_back(self, since: float) -> list[tuple[int, Given]]:
        """Give what ranks were asked to give back before a time, Unix seconds, and still have."""
        self._see_touched()
        return [
            (rank, given)
            for rank in self._ahead
            for given in list(self._given[rank])[1:]
            if given.asked_back and given.since < since
        ]

    def rank_of(self, job: int, attempt: int) -> int | None:
        """Give the rank that has an attempt; None where none does."""
        for rank, row in self._given.items():
            if any((given.job, given.attempt) == (job, attempt) for given in row):
                return rank
        return None

    def silence(self, rank: int) -> None:
        """Give a rank nothing more; its payload may still be there, so its cores stay taken."""
        host = self._host_of[rank]
        host.silent.add(rank)
        self._withhold(rank, host)

    def _withhold(self, rank: int, host: _Host) -> None:
        host.ranks.discard(rank)
        host.idle.discard(rank)
        if not host.idle:
            self._with_idle.pop(host.name, None)
        if not host.ranks:
            self._working.discard(host.name)
        self._ahead.pop(rank, None)
        self._loads.drop(rank)

    def revive(self, rank: int) -> None:
        """Take into account that a silent rank was heard again."""
        host = self._host_of[rank]
        host.silent.discard(rank)
        self._bring_in(rank, host)

    def _bring_in(self, rank: int, host: _Host) -> None:
        host.ranks.add(rank)
        self._working.add(host.name)
        self._see(rank, len(self._given[rank]))

    def started(self, rank: int, job: int, attempt: int) -> None:
        """Take into account that a rank has another job, which it runs after those before."""
        kind = self._ledger.kind(job)
        cores = self._cores.get(kind, 0)
        self._host_of[rank].used += cores
        row = self._given[rank]
        row.append(Given(job, attempt, kind, cores, time.time()))
        self._touched.add(rank)

    def ended(self, rank: int, job: int, attempt: int) -> None:
        """Take into account that a rank does not have that job any more."""
        row = self._given.get(rank)
        if not row:
            return
        given = row[0]
        if given.job == job and given.attempt == attempt:
            row.popleft()
            if row:
                row[0].since = time.time()
        else:
            found = [one for one in row if (one.job, one.attempt) == (job, attempt)]
            if not found:
                return
            given = found[0]
            row.remove(given)
        host = self._host_of[rank]
        host.used -= given.cores
        self._touched.add(rank)

    def _see_touched(self) -> None:
        """Bring the books up to date of the ranks that have more jobs or fewer than before."""
        for rank in self._touched:
            host = self._host_of.get(rank)
            if host is not None and rank in host.ranks:
                self._see(rank, len(self._given[rank]))
        self._touched.clear()

    def _see(self, rank: int, load: int) -> None:
        self._loads.put(rank, load)
        if load > 1:
            self._ahead[rank] = None
            return
        self._ahead.pop(rank, None)
        host = self._host_of[rank]
        if load:
            host.idle.discard(rank)
            if not host.idle:
                self._with_idle.pop(host.name, None)
        else:
            host.idle.add(rank)
            self._with_idle[host.name] = host

    def choose(self, fits: Callable[[Kind], bool] = lambda _: True) -> tuple[int, int] | None:
        """Give a job that can start and an idle rank for it; None where there is no such pair.

        Parameters
        ----------
        fits : callable
            Says whether jobs of a kind may start at all now.
        """
        self._see_touched()
        if not self._with_idle:
            return None
        kept = self._kept()
        for ready in self._ledger.ready():
            if not fits(ready.kind):
                continue
            if not (kept or self._counted or ready.avoid):
                lightest = self._loads.lightest(self._last(ready.job))
                return (ready.job, lightest[1]) if lightest else None
            need = self._cores.get(ready.kind, 0)
            hosts = [host for host in self._allowed(ready) if host.name not in kept]
            fit = [host for host in hosts if host.free >= need]
            if fit:
                return ready.job, self._rank(ready.job, fit)
            if hosts:
                kept.add(max(hosts, key=lambda host: host.free).name)
        return None

    def _kept(self) -> set[str]:
        """Give the names of the hosts that get nothing more while something of ours runs there."""
        return {name for name in self._holding() if self._hosts[name].runs_jobs}

    def idle_beside(
        self, rank: int, kind: Kind, but: set[int] | frozenset[int] = frozenset()
    ) -> int | None:
        """Give an idle rank for a second attempt of what a rank runs, on another host if it can be.

        Parameters
        ----------
        rank : int
        kind : Kind
            Of the job.
        but : set of int
            Ranks that are not to be taken.
        """
        self._see_touched()
        kept, need = self._kept(), self._cores.get(kind, 0)
        hosts = [
            host for host in self._with_idle.values() if host.name not in kept and host.free >= need
        ]
        own = self._host_of.get(rank)
        ranks = [(host is own, rank) for host in hosts for rank in host.idle - but]
        return min(ranks)[1] if ranks else None

    def choose_ahead(
        self, most: Callable[[Kind], int], fits: Callable[[Kind, Sequence[Kind]], bool]
    ) -> tuple[list[int], int] | None:
        """Give jobs, and the rank that is to begin them when it has done what it has.

        Parameters
        ----------
        most : callable
            Gives the jobs of a kind that a rank may have.
        fits : callable
            Says whether a job of a kind may start behind others.
        """
        self._see_touched()
        lightest = None if self._counted else self._loads.lightest()
        if lightest is None or lightest[0] == 0:
            return None
        for ready in self._ledger.ready():
            if ready.avoid:
                continue
            last = self._last(ready.job)
            load, rank = (self._loads.lightest(last) if last >= 0 else None) or lightest
            room = most(ready.kind) - load
            if room < 1 or (self._held and self._host_of[rank].name in self._holding()):
                return None
            before = [given.kind for given in self._given[rank]]
            jobs: list[int] = []
            for job in self._ledger.first_ready(ready, room):
                if self._last(job) == rank or not fits(ready.kind, before):
                    break
                jobs.append(job)
                before.append(ready.kind)
            return (jobs, rank) if jobs else None
        return None

    def to_give_back(self, since: float) -> list[tuple[int, Given]]:
        """Choose what an idle rank had better begin: half of what waits longest behind a job.

        Parameters
        ----------
        since : float
            Unix seconds; what runs must have been begun before.
        """
        self._see_touched()
        if not self._ahead or not self._with_idle.keys() - self._kept():
            return []
        for rank in self._ahead:
            if self._given[rank][0].since < since and (wanted := self._ask_back(rank, half=True)):
                return [(rank, given) for given in wanted]
        return []

    def _ask_back(self, rank: int, *, half: bool = False) -> list[Given]:
        """Give the last of the attempts that wait at a rank, and remember that they were asked."""
        row = self._given.get(rank, deque())
        waiting = [given for given in list(row)[1:] if not given.asked_back]
        wanted = waiting[len(waiting) // 2 :] if half else waiting
        for given in wanted:
            given.asked_back, given.since = True, time.time()
        return wanted

    def _allowed(self, ready: Ready) -> Sequence[_Host]:
        """List hosts with idle ranks: those that a job did not fail on, or at least not last."""
        avoid = [self._ledger.hosts[host] for host in ready.avoid]
        for avoided in (avoid, avoid[-1:], []):
            if sum(name in self._working for name in avoided) < len(self._working):
                return [host for name, host in self._with_idle.items() if name not in avoided]
        return []

    def _last(self, job: int) -> int:
        return self._ledger.last_rank(job)

    def _rank(self, job: int, hosts: Sequence[_Host]) -> int:
        """Take the lowest rank that did not fail this job before, when there is one."""
        idle = {rank for host in hosts for rank in host.idle}
        return min(idle - {self._last(job)} or idle)
