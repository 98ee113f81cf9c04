"""Hosts that are looked at: nobody works unseen, nobody waits for ever, and a look always ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hvmpi import __version__
from hvmpi.engine import Check, Engine
from hvmpi.errors import SetupError
from hvmpi.messages import Hello
from hvmpi.preflight import Examination, Hosts, Standing, faults, misfit

from .conftest import wait_for

GOOD, BAD = Check("memory", True, "64 GB"), Check("scratch", False, "full")
TIMEOUT_S = 30.0
FOREVER_S = 2 * TIMEOUT_S


class Looking:
    """An engine of which only the look at a host is asked for."""

    def __init__(self, look: Callable[[float], Iterator[Check]]) -> None:
        self.examine = look


def examination(look: Callable[[float], Iterator[Check]], timeout: float) -> Examination:
    return Examination(cast(Engine, Looking(look)), timeout)


def found(look: Callable[[float], Iterator[Check]], timeout: float = 60.0) -> tuple[Check, ...]:
    """Wait for what a look finds."""
    one = examination(look, timeout)
    wait_for(lambda: one.poll() is not None)
    return one.poll() or ()


# One look


def test_what_was_found_is_given_when_all_was_looked_at() -> None:
    go_on = threading.Event()
    asked = []

    def look(timeout: float) -> Iterator[Check]:
        asked.append(timeout)
        yield GOOD
        go_on.wait(60.0)
        yield BAD

    one = examination(look, 60.0)
    assert one.poll() is None
    go_on.set()
    wait_for(lambda: one.poll() is not None)
    assert one.poll() == (GOOD, BAD)
    # So that it ends by itself before it is given up.
    assert asked[0] < 60.0


@pytest.mark.parametrize(
    ("before", "said"), [([], "nothing answered"), ([GOOD], "not everything answered")]
)
def test_a_look_that_hangs_is_given_up(before: list[Check], said: str) -> None:
    release = threading.Event()

    def look(_: float) -> Iterator[Check]:
        yield from before
        release.wait(60.0)

    checks = found(look, 0.1)
    assert checks[:-1] == tuple(before)
    assert checks[-1] == Check("preflight", False, f"{said} in 0.1 s")
    release.set()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SetupError("uproot is not installed"), "uproot is not installed"),
        (OSError(28, "No space left on device", "/scratch"), "No space left on device"),
        (ZeroDivisionError("a fault"), "broke off with ZeroDivisionError: a fault"),
        (ValueError("embedded null byte"), "ValueError"),
    ],
)
def test_a_host_whose_look_breaks_off_is_not_fit(error: Exception, said: str) -> None:
    def look(_: float) -> Iterator[Check]:
        yield GOOD
        raise error

    checks = found(look)
    assert checks[0] == GOOD
    assert said in faults(checks)


def test_faults_are_one_sentence() -> None:
    assert faults([]) == faults([GOOD]) == ""
    assert faults([BAD, GOOD, BAD, Check("tmp", False, "full")]) == "scratch, tmp: full"


# Who fits to the master


@pytest.mark.parametrize(
    ("version", "late_s", "said"),
    [
        (__version__, 0.0, ""),
        (__version__, 4.0, ""),
        (__version__, -4.0, ""),
        (__version__, 7.0, "the clock of tev1 is +7 s off"),
        (__version__, -3600.0, "the clock of tev1 is -3600 s off"),
        ("0.0.1", 0.0, f"tev1 has hvmpi 0.0.1, not {__version__}"),
        ("", 9.0, f"tev1 has hvmpi of another version, not {__version__}"),
    ],
)
def test_another_version_or_clock_does_not_fit(version: str, late_s: float, said: str) -> None:
    now = time.time()
    why = misfit(Hello("tev1", 1, "", 8, version, now + late_s), now)
    assert why.startswith(said)
    assert bool(why) == bool(said)


# All hosts


def test_one_rank_looks_and_the_others_wait() -> None:
    hosts = Hosts(TIMEOUT_S)
    standings = [hosts.arrived(rank, f"tev{rank % 2}", 0.0) for rank in range(6)]
    assert standings == [Standing.LOOKS] * 2 + [Standing.WAITS] * 4
    assert hosts.answered("tev0", "") == [0, 2, 4]
    assert hosts.answered("tev1", "no CVMFS") == [1, 3, 5]
    assert hosts.arrived(6, "tev0", 1.0) is Standing.FIT
    assert hosts.arrived(7, "tev1", 1.0) is Standing.UNFIT
    assert hosts.reason("tev1") == "no CVMFS"
    # What comes late changes nothing.
    assert hosts.answered("tev1", "") == []
    assert hosts.reason("tev1") == "no CVMFS"


def test_another_rank_looks_where_the_first_left_and_has_its_own_time() -> None:
    hosts = Hosts(TIMEOUT_S)
    for rank in (1, 2, 3):
        hosts.arrived(rank, "tev0", 0.0)
    assert hosts.left(2, 10.0) is None
    assert hosts.left(1, FOREVER_S) == 3
    assert hosts.overdue(FOREVER_S + 1.0) == []
    assert hosts.overdue(2 * FOREVER_S) == ["tev0"]
    assert hosts.answered("tev0", "") == [3]


def test_a_host_that_all_have_left_is_looked_at_by_who_comes_next() -> None:
    hosts = Hosts(TIMEOUT_S)
    hosts.arrived(1, "tev0", 0.0)
    assert hosts.left(1, 1.0) is None
    assert hosts.overdue(FOREVER_S) == []
    assert hosts.arrived(2, "tev0", FOREVER_S) is Standing.LOOKS
    assert hosts.overdue(FOREVER_S + 1.0) == []


class RanksAndHosts(RuleBasedStateMachine):
    """Ranks that come and go, and hosts that answer or do not."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts = Hosts(TIMEOUT_S)
        self.now = 0.0
        self.of: dict[int, str] = {}
        self.examiners: dict[str, int] = {}
        self.waiting: set[int] = set()
        self.verdicts: dict[str, str] = {}

    @rule(host=st.sampled_from("abc"))
    def arrive(self, host: str) -> None:
        rank = len(self.of)
        standing = self.hosts.arrived(rank, host, self.now)
        self.of[rank] = host
        if host in self.verdicts:
            good = not self.verdicts[host]
            assert standing is (Standing.FIT if good else Standing.UNFIT)
            return
        assert (standing is Standing.WAITS) == (host in self.examiners)
        self.waiting.add(rank)
        if standing is Standing.LOOKS:
            self.examiners[host] = rank

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        rank = data.draw(st.sampled_from(sorted(self.waiting)))
        host = self.of[rank]
        instead = self.hosts.left(rank, self.now)
        self.waiting.discard(rank)
        others = {one for one in self.waiting if self.of[one] == host}
        if self.examiners[host] != rank:
            assert instead is None
        elif others:
            assert instead in others
            self.examiners[host] = instead
        else:
            assert instead is None
            del self.examiners[host]

    @precondition(lambda self: self.examiners)
    @rule(data=st.data(), reason=st.sampled_from(["", "no CVMFS"]))
    def answer(self, data: st.DataObject, reason: str) -> None:
        self._answered(data.draw(st.sampled_from(sorted(self.examiners))), reason)

    @rule()
    def wait(self) -> None:
        self.now += FOREVER_S
        overdue = self.hosts.overdue(self.now)
        assert sorted(overdue) == sorted(self.examiners)
        for host in overdue:
            self._answered(host, "did not answer")

    def _answered(self, host: str, reason: str) -> None:
        told = self.hosts.answered(host, reason)
        assert set(told) == {rank for rank in self.waiting if self.of[rank] == host}
        assert len(told) == len(set(told))
        self.waiting.difference_update(told)
        del self.examiners[host]
        self.verdicts[host] = reason

    @invariant()
    def whoever_waits_has_one_that_looks(self) -> None:
        assert {self.of[rank] for rank in self.waiting} == set(self.examiners)
        assert set(self.examiners.values()) <= self.waiting
        assert all(self.hosts.reason(host) == why for host, why in self.verdicts.items())


RanksAndHosts.TestCase.settings = settings(max_examples=50, deadline=None)
TestRanksAndHosts = RanksAndHosts.TestCase
