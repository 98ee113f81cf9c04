"""What a rank has done beside its work."""

from __future__ import annotations

import threading
import time

import pytest

from hvmpi.errand import Errand


def wait_for(errand: Errand[str]) -> None:
    deadline = time.monotonic() + 60
    while not errand.over():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_an_errand_gives_what_came_of_it() -> None:
    going = threading.Event()
    errand = Errand(lambda: "done" if going.wait(60) else "never", 60)
    assert not errand.over()
    going.set()
    wait_for(errand)
    assert errand.result() == "done"


def test_an_errand_raises_what_its_work_raised() -> None:
    def fail() -> str:
        raise PermissionError("no")

    errand = Errand(fail, 60)
    wait_for(errand)
    with pytest.raises(PermissionError, match="no"):
        errand.result()


def test_an_errand_that_hangs_is_given_up() -> None:
    hangs = threading.Event()
    errand = Errand(lambda: str(hangs.wait(60)), 0.05)
    wait_for(errand)
    with pytest.raises(TimeoutError, match=r"in 0\.05 s"):
        errand.result()
    hangs.set()
