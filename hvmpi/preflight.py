"""Whether hosts are fit: one rank of each looks, its other ranks wait, a bad host is left out."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from hvmpi import __version__
from hvmpi.engine import Check, Engine
from hvmpi.errand import Errand
from hvmpi.errors import HvmpiError
from hvmpi.messages import Hello

__all__ = ["Examination", "Hosts", "Standing", "faults", "misfit"]

_CLOCK_S = 5.0
"""Larger differences, and times of files and journals mean nothing to other hosts."""

_GRACE_S = 5.0


def faults(checks: Sequence[Check]) -> str:
    """Say in one sentence what is wrong with a host; nothing where it is fit."""
    names: dict[str, list[str]] = {}
    for check in checks:
        if not check.good:
            names.setdefault(check.found, []).append(check.name)
    # What fails for one cause is told once.
    return "; ".join(f"{', '.join(dict.fromkeys(of))}: {found}" for found, of in names.items())


def misfit(hello: Hello, now: float) -> str:
    """Say why a rank cannot work with this master: another version, another clock.

    Parameters
    ----------
    hello : Hello
    now : float
        This host's clock, Unix seconds.
    """
    if hello.version != __version__:
        return f"{hello.host} has hvmpi {hello.version or 'of another version'}, not {__version__}"
    difference = hello.time - now
    if abs(difference) > _CLOCK_S:
        return f"the clock of {hello.host} is {difference:+.0f} s off; mend it (chrony, ntp)"
    return ""


class Examination:
    """A look at this host that may hang, beside what else this process does.

    Parameters
    ----------
    engine : Engine
    timeout : float
        Seconds after which it is over, whatever it waits for.
    """

    def __init__(self, engine: Engine, timeout: float) -> None:
        self._engine = engine
        self._timeout = timeout
        self._checks: list[Check] = []
        self._errand = Errand(self._look, timeout)

    def _look(self) -> None:
        # What is looked at must be over a little before this is.
        try:
            for check in self._engine.examine(0.9 * self._timeout):
                self._checks.append(check)
        except (HvmpiError, OSError) as error:
            self._checks.append(Check("preflight", False, str(error)))
        except Exception as error:
            # Nothing may pass for a host that is fit because the look at it broke off.
            why = f"broke off with {type(error).__name__}: {error}"
            self._checks.append(Check("preflight", False, why))

    def poll(self) -> tuple[Check, ...] | None:
        """Give what was found when it is over."""
        if not self._errand.over():
            return None
        found = tuple(self._checks)
        try:
            self._errand.result()
        except TimeoutError:
            looked = "not everything answered" if found else "nothing answered"
            return (*found, Check("preflight", False, f"{looked} in {self._timeout:g} s"))
        return tuple(self._checks)


class Standing(enum.Enum):
    """What is to become of a rank that said that it is there."""

    LOOKS = "looks"
    """It is the one that looks at its host."""
    WAITS = "waits"
    """Another rank looks at its host."""
    FIT = "fit"
    UNFIT = "unfit"


@dataclass
class _Host:
    """A host that is looked at: by whom, since when, who waits, and what came of it."""

    examiner: int
    asked_at: float
    waiting: list[int] = field(default_factory=list)
    reason: str | None = None


class Hosts:
    """The hosts of a run as the master knows them: looked at, fit, or not.

    Parameters
    ----------
    timeout : float
        Seconds that a host has to answer.
    """

    def __init__(self, timeout: float) -> None:
        # Its own time limit ends the look first, unless the rank itself hangs.
        self._patience = timeout + _GRACE_S
        self._hosts: dict[str, _Host] = {}

    def arrived(self, rank: int, host: str, now: float) -> Standing:
        """Take a rank in and say what is to become of it."""
        known = self._hosts.get(host)
        if known is None or (known.reason is None and not known.waiting):
            self._hosts[host] = _Host(rank, now, [rank])
            return Standing.LOOKS
        if known.reason is None:
            known.waiting.append(rank)
            return Standing.WAITS
        return Standing.UNFIT if known.reason else Standing.FIT

    def reason(self, host: str) -> str:
        """Say what is wrong with a host that was looked at."""
        return self._hosts[host].reason or ""

    def answered(self, host: str, reason: str) -> list[int]:
        """Take what is wrong with a host (nothing: it is fit); give the ranks that waited."""
        known = self._hosts[host]
        if known.reason is not None:
            return []
        known.reason = reason
        return known.waiting

    def left(self, rank: int, now: float) -> int | None:
        """Take a rank out; give the one that is to look at its host in its place."""
        for host in self._hosts.values():
            if host.reason is None and rank in host.waiting:
                host.waiting.remove(rank)
                if host.examiner == rank and host.waiting:
                    host.examiner, host.asked_at = host.waiting[0], now
                    return host.examiner
        return None

    def overdue(self, now: float) -> list[str]:
        """List the hosts that have not answered in their time."""
        return [
            name
            for name, host in self._hosts.items()
            if host.reason is None and host.waiting and now - host.asked_at > self._patience
        ]
