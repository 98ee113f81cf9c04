"""Pythia 8 as hvmpi uses it: settings that are checked, events as arrays.

``pythia8mc`` gives whole event records through ``nextBatch``, as awkward arrays. Their buffers are
taken as they lie: a loop over particles in Python costs more than generating them.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.errors import ConfigError, InputError, RunError, SetupError
from hvmpi.openchain.hepmc import Record
from hvmpi.openchain.processes import PHI, Process

__all__ = ["Generator", "PythiaEvent", "check_settings"]

FAILURES_IN_A_ROW = 100
"""So many failed events one after another mean that the settings cannot work."""

BUNCH = 25
"""Events taken from Pythia at a time: each time costs as much as a third of an event."""

MB_TO_PB = 1.0e9
"""Pythia's cross-sections are in millibarn, HepMC3's in picobarn."""

# Print:quiet would silence errors as well.
_SILENCE = (
    "Init:showProcesses = off",
    "Init:showMultipartonInteractions = off",
    "Init:showChangedSettings = off",
    "Init:showChangedParticleData = off",
    "Next:numberCount = 0",
    "Next:numberShowLHA = 0",
    "Next:numberShowInfo = 0",
    "Next:numberShowProcess = 0",
    "Next:numberShowEvent = 0",
)

_ON = ("on", "true", "yes", "ok", "1")
_OFF = ("off", "false", "no", "0")
_PARTICLE_NUMBERS = ("m0", "mwidth", "mmin", "mmax", "tau0")
_PARTICLE_SWITCHES = ("isresonance", "maydecay", "doexternaldecay", "isvisible", "doforcewidth")


def check_settings(process: Process) -> None:
    """Read a sample's settings into Pythia, without starting it.

    Raises
    ------
    ConfigError
        When Pythia does not know a setting of the user's, or what it is set to.
    SetupError
        When Pythia is not installed.
    """
    with _silent():
        _configured(process)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Send what Pythia's C++ prints nowhere: our own sentence follows."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(nowhere)
        os.close(kept)


@dataclass(frozen=True, slots=True)
class PythiaEvent:
    """An event as Pythia made it.

    Attributes
    ----------
    record : Record
    weights : list of float
        The nominal one first.
    partons, x, xf : tuple
        PDG codes of the two partons that met, their shares of the momentum, and their densities.
    factorization_scale, scale : float
        GeV.
    alpha_s, alpha_em : float
        At `scale`.
    cross_section, cross_section_error : float
        The estimate up to here, pb.
    tried, accepted : int
        Points of phase space up to here. Pythia counts them by the bunch of events; within a
        bunch they are shared out evenly.
    """

    record: Record
    weights: list[float]
    partons: tuple[int, int]
    x: tuple[float, float]
    xf: tuple[float, float]
    factorization_scale: float
    scale: float
    alpha_s: float
    alpha_em: float
    cross_section: float
    cross_section_error: float
    tried: int
    accepted: int


class Generator:
    """A Pythia that has been started.

    Parameters
    ----------
    process : Process
    seed : int
        Of its random numbers, 1 to 900 000 000.
    lhe : Path, optional
        The batch's Les Houches event file.

    Attributes
    ----------
    failures : int
        Events that Pythia could not finish so far.

    Raises
    ------
    ConfigError, SetupError
        As `check_settings`.
    InputError
        When Pythia does not start with the LHE file.
    RunError
        When it does not start otherwise.
    """

    def __init__(self, process: Process, seed: int, lhe: Path | None = None) -> None:
        self._pythia = _configured(process)
        for line in ("Random:setSeed = on", f"Random:seed = {seed}"):
            _read(self._pythia, process, line)
        if lhe is not None:
            # Not by readString, which takes a name's first word only.
            self._pythia.settings.word("Beams:LHEF", str(lhe))
        started = self._pythia.init()
        if self._pythia.settings.mode("Random:seed") != seed:
            raise RunError(f"sample {process.name}: Pythia did not take the seed {seed}")
        if not started and lhe is not None:
            raise InputError(
                f"sample {process.name}: Pythia cannot begin with {str(lhe)!r}: it is missing, "
                "empty, or no Les Houches event file"
            )
        if not started:
            raise RunError(
                f"sample {process.name}: Pythia does not start with these settings; "
                "its own words stand above in this log"
            )
        self.failures = 0
        # Pythia counts Phi's other decays as lost; here it always decays to s s.
        phi = process.process in ("whss", "gghss")
        self._open = self._pythia.particleData.resOpenFrac(PHI) if phi else 1.0
        if process.process == "gghss" and self._pythia.particleData.doForceWidth(PHI):
            # A forced width scales all partial ones with it, that to the two gluons of the
            # production too.
            forced = self._pythia.particleData.mWidth(PHI)
            self._open *= forced / sm_width(self._pythia.particleData.m0(PHI))

    @property
    def weight_names(self) -> list[str]:
        """Names of an event's weights, the nominal one first."""
        return list(self._pythia.infoPython().weightNameVector())

    def events(self, wanted: int) -> Iterator[PythiaEvent]:
        """Give so many events; fewer when the LHE file is at its end before.

        Raises
        ------
        RunError
            When Pythia fails too often in a row.
        """
        made = failed_in_a_row = 0
        tried = accepted = 0
        while made < wanted:
            bunch = self._pythia.nextBatch(min(BUNCH, wanted - made), "none").layout
            there = np.asarray(bunch.index.data)
            rows = there[there >= 0].tolist()
            failures = len(there) - len(rows)
            info = self._pythia.infoPython()
            counts = (
                _shared(tried, info.nTried(), len(rows)),
                _shared(accepted, info.nAccepted(), len(rows)),
            )
            scale = MB_TO_PB / self._open
            cross_section = info.sigmaGen() * scale, info.sigmaErr() * scale
            for row, tried, accepted in zip(rows, *counts, strict=True):
                yield _event(bunch.content, row, cross_section, tried, accepted)
            made += len(rows)
            if failures and info.atEndOfFile():
                return
            self.failures += failures
            failed_in_a_row = 0 if rows else failed_in_a_row + failures
            if failed_in_a_row >= FAILURES_IN_A_ROW:
                raise RunError(
                    f"Pythia failed to make an event {failed_in_a_row} times in a row; "
                    "its own words stand above in this log"
                )


@cache
def sm_width(mass: float) -> float:
    """Give the width, GeV, that Pythia computes for a Standard Model Higgs boson of a mass in GeV.

    Raises
    ------
    RunError
        When Pythia does not start.
    """
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    for line in (*_SILENCE, "HiggsSM:gg2H = on", "PartonLevel:all = off", f"{PHI}:m0 = {mass!r}"):
        pythia.readString(line)
    if not pythia.init():
        raise RunError(f"Pythia does not start with a Higgs boson of {mass:g} GeV")
    return float(pythia.particleData.mWidth(PHI))


def _shared(before: int, after: int, events: int) -> list[int]:
    """Give the running count after each of some events, in even steps from `before`."""
    return [before + (after - before) * (i + 1) // events for i in range(events)]


def _event(
    bunch: Any, row: int, cross_section: tuple[float, float], tried: int, accepted: int
) -> PythiaEvent:
    info = bunch.content("info")

    def value(name: str) -> Any:
        return info.content(name).data[row].item()

    weights = info.content("weights")
    start, stop = weights.offsets.data[row : row + 2]
    return PythiaEvent(
        record=_record(bunch.content("prt"), row),
        weights=weights.content.data[start:stop].tolist(),
        partons=(value("id1"), value("id2")),
        x=(value("x1"), value("x2")),
        xf=(value("pdf1"), value("pdf2")),
        factorization_scale=math.sqrt(value("Q2Fac")),
        scale=math.sqrt(value("Q2Ren")),
        alpha_s=value("alphaS"),
        alpha_em=value("alphaEM"),
        cross_section=cross_section[0],
        cross_section_error=cross_section[1],
        tried=tried,
        accepted=accepted,
    )


def _record(particles: Any, row: int) -> Record:
    start, stop = (int(edge) for edge in particles.offsets.data[row : row + 2])
    if stop - start < 2:
        raise RunError("Pythia made an event without particles: a setting turns all of it off")
    fields = particles.content
    # Line 0 is the system as a whole; Pythia's index 0 as a mother means none.
    lines = slice(start + 1, stop)

    def column(name: str) -> npt.NDArray[Any]:
        return np.asarray(fields.content(name).data[lines])

    momentum = fields.content("p")
    px, py, pz, e = (
        np.asarray(momentum.content(name).data[lines]) for name in ("px", "py", "pz", "e")
    )
    displaced = fields.content("vProd")
    index = np.asarray(displaced.index.data[lines])
    position = np.zeros((4, stop - start - 1))
    there = index >= 0
    for coordinate, name in zip(position, ("px", "py", "pz", "e"), strict=True):
        coordinate[there] = np.asarray(displaced.content.content(name).data)[index[there]]
    return Record(
        pid=column("id"),
        status=column("status"),
        mother1=column("mother1") - 1,
        mother2=column("mother2") - 1,
        px=px,
        py=py,
        pz=pz,
        e=e,
        m=column("m"),
        x=position[0],
        y=position[1],
        z=position[2],
        t=position[3],
    )


def _configured(process: Process) -> Any:
    try:
        # Pythia's bindings load awkward themselves, when it is too late for a clear word.
        import awkward  # noqa: F401
        import pythia8mc
    except ImportError as error:
        raise SetupError(f"{error.name} is not installed: pip install 'hvmpi[openchain]'") from None
    pythia = pythia8mc.Pythia("", False)
    for line in (*_SILENCE, *process.settings):
        _read(pythia, process, line)
    return pythia


def _read(pythia: Any, process: Process, line: str) -> None:
    if not pythia.readString(line) or not _is_meaningful(pythia.settings, line):
        raise ConfigError(
            f"sample {process.name}: pythia = {line!r} is not accepted by Pythia: "
            "no such setting or particle, or not a value that it can have"
        )


def _is_meaningful(settings: Any, line: str) -> bool:
    """Tell whether a setting that Pythia took is more than half understood.

    Pythia takes every word for "off" in a flag, and for 0 in a particle's mass.
    """
    key, _, text = (part.strip() for part in line.partition("="))
    value = text.lower()
    if settings.isFlag(key):
        return value in _ON + _OFF
    if settings.isMode(key):
        return bool(settings.mode(key) == _number(value))
    if settings.isParm(key):
        return bool(settings.parm(key) == _number(value))
    number, _, name = key.lower().partition(":")
    if number.isdigit() and name in _PARTICLE_NUMBERS:
        return math.isfinite(_number(value))
    if number.isdigit() and name in _PARTICLE_SWITCHES:
        return value in _ON + _OFF
    return True


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
