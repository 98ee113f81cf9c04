"""Who was heard when."""

from __future__ import annotations

from hvmpi.leases import Leases


def test_who_is_not_heard_for_a_lease_is_given_up_once() -> None:
    leases = Leases(3.0)
    for rank in (1, 2):
        assert not leases.heard(rank)
    given_up = []
    for second in range(10):
        leases.heard(2)
        given_up += leases.expired(float(second))
    assert given_up == [1]
    assert leases.silent == {1}


def test_who_is_heard_again_is_there_again() -> None:
    leases = Leases(1.0)
    leases.heard(1)
    gone = [rank for tenth in range(30) for rank in leases.expired(tenth / 10)]
    assert gone == [1]
    assert leases.heard(1)
    assert leases.silent == set()
    assert not leases.heard(1)
    assert leases.expired(3.0) == []


def test_own_silence_is_not_that_of_others() -> None:
    """As after a SIGSTOP of this process: their messages may wait to be read."""
    leases = Leases(60.0)
    leases.heard(1)
    assert leases.expired(0.0) == []
    assert leases.expired(3600.0) == []


def test_nothing_more_is_expected_of_who_left() -> None:
    leases = Leases(1.0)
    leases.heard(1)
    leases.forget(1)
    assert [rank for second in range(5) for rank in leases.expired(float(second))] == []
    assert leases.silent == set()
