"""Pythia 8 makes the events of one batch and writes them to an event file, HepMC3 Asciiv3.

A batch depends on (seed, run number, batch) and the settings of its sample, on nothing else: the
same inputs give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hvmpi.errors import ConfigError, InputError, RunError, SetupError
from hvmpi.files import sha256_of, write_whole
from hvmpi.openchain.eventdata import hash_of_settings, provenance
from hvmpi.openchain.hepmc import from_hepevt_arguments
from hvmpi.openchain.processes import Process
from hvmpi.openchain.pythia import Generator, PythiaEvent, check_settings
from hvmpi.stopwatch import Part, spent_on

__all__ = ["EventWriter", "GenerationSummary", "check_settings", "generate", "generator_seed"]

SCHEMA, SCHEMA_VERSION = "hvmpi.evnt", 1
"""What the event file's run information says of itself."""

LARGEST_SEED = 900_000_000
"""Of Pythia's random numbers."""

_SIZE_LINE = b"\nA size %015d\n"

BUFFER = 1 << 20
"""Bytes that gather before they go to the disk."""

PRECISION = 12
"""Digits after the point of the numbers in an event file."""


@dataclass(frozen=True, slots=True)
class GenerationSummary:
    """What a batch came to.

    Attributes
    ----------
    events, first_event : int
    seed : int
        Of the generator.
    cross_section_pb, cross_section_error_pb : float
        The batch's estimate, at leading order, with B(Phi -> s s) = 1. In ``whss`` it holds the
        W's decay to an electron. In ``gghss`` it is that of a Standard Model Higgs boson of this
        mass in the narrow-width approximation: where Phi's width is forced to 5 GeV, the
        coupling to gluons that Pythia scales along is set back.
    n_tried, n_accepted : int
    sum_weights : float
        Of the nominal weights.
    """

    events: int
    first_event: int
    seed: int
    cross_section_pb: float
    cross_section_error_pb: float
    n_tried: int
    n_accepted: int
    sum_weights: float


def generate(
    process: Process, *, seed: int, batch: int, output: Path, events: int | None = None
) -> GenerationSummary:
    """Generate a batch and write its event file.

    Parameters
    ----------
    process : Process
        The sample.
    seed : int
        The campaign's.
    batch : int
        From 1: batch B holds the event numbers from (B - 1) * batch_size + 1 on.
    output : Path
        The event file; it appears whole or not at all.
    events : int, optional
        How many to make, the whole batch if not said.

    Raises
    ------
    ConfigError
        When Pythia does not accept a setting.
    InputError
        When the batch's LHE file cannot be read or holds too few events.
    RunError
        When Pythia does not start, or cannot make events.
    """
    wanted = process.batch_size if events is None else events
    if not 1 <= wanted <= process.batch_size:
        raise ConfigError(
            f"sample {process.name}: {wanted} events do not fit a batch of {process.batch_size}"
        )
    if batch < 1:
        raise ConfigError(f"sample {process.name}: batch {batch} is none; they count from 1")
    first_event = (batch - 1) * process.batch_size + 1
    random_seed = generator_seed(seed, process.run_number, batch)
    lhe = _lhe_file(process, batch)
    with spent_on(Part.LOAD):
        generator = Generator(process, random_seed, lhe)
    weights: list[float] = []
    with (
        spent_on(Part.WRITE),
        write_whole(output) as beside,
        EventWriter(beside, process, seed, batch) as writer,
    ):
        for event in spent_on(Part.PYTHIA).each(generator.events(wanted)):
            if not weights:
                writer.begin(generator.weight_names)
            writer.write(first_event + len(weights), event)
            weights.append(event.weights[0])
        if len(weights) < wanted:
            lost = f" ({generator.failures} more could not be made)" if generator.failures else ""
            raise InputError(
                f"{lhe} is at its end after {len(weights)} events{lost}, and batch {batch} of "
                f"sample {process.name} needs {wanted}: lower batch-size or give a longer file"
            )
    return GenerationSummary(
        events=wanted,
        first_event=first_event,
        seed=random_seed,
        cross_section_pb=event.cross_section,
        cross_section_error_pb=event.cross_section_error,
        n_tried=event.tried,
        n_accepted=event.accepted,
        sum_weights=math.fsum(weights),
    )


def generator_seed(seed: int, run_number: int, batch: int) -> int:
    """Give the seed of a batch's random numbers, 1 to 900 000 000.

    Hashed, not added: neighbouring seeds, run numbers and batches have nothing in common.
    """
    text = f"hvmpi generation {seed} {run_number} {batch}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    return 1 + number % LARGEST_SEED


class _File:
    """A file for pyhepmc to write to; holds on to the errors that pyhepmc would drop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._error: OSError | None = None
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            self._error = error
            self.check()

    def write(self, lines: bytes) -> int:
        left = memoryview(lines)
        try:
            while left and self._error is None:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._error = error
        return len(lines)

    def flush(self) -> None:
        """Do nothing: every write goes through."""

    def check(self) -> None:
        if self._error is not None:
            raise RunError(f"{self._path} cannot be written: {self._error.strerror}")

    def close(self) -> None:
        self._file.close()
        self.check()


class EventWriter:
    """Writes Pythia's events to one event file.

    Parameters
    ----------
    path : Path
    process : Process
    seed : int
        The campaign's.
    batch : int
    """

    @spent_on(Part.LOAD)
    def __init__(self, path: Path, process: Process, seed: int, batch: int) -> None:
        try:
            import pyhepmc
        except ImportError as error:
            raise SetupError(
                f"{error.name} is not installed: pip install 'hvmpi[openchain]'"
            ) from None
        from pyhepmc.io import WriterAscii, pyiostream

        self._hepmc = pyhepmc
        self._writer_type = WriterAscii
        self._path = path
        self._run_number = process.run_number
        self._run = pyhepmc.GenRunInfo()
        for name, value in _run_attributes(process, seed, batch).items():
            self._run.attributes[name] = value
        self._event = pyhepmc.GenEvent(self._run, pyhepmc.Units.GEV, pyhepmc.Units.MM)
        # Through Python's file, as HepMC3 takes no name that is not UTF-8.
        self._file = _File(path)
        self._stream = pyiostream(self._file, BUFFER)
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
            self._stream.flush()
        self._file.close()
        self._note_size()

    def _note_size(self) -> None:
        # Readers may leap to an event where the file is as it was written, which its size tells.
        with self._path.open("r+b") as file:
            place = file.read(BUFFER).find(_SIZE_LINE % 0)
            if place >= 0:
                file.seek(place)
                file.write(_SIZE_LINE % self._path.stat().st_size)

    def begin(self, weight_names: list[str]) -> None:
        """Write the header, which names the weights that each event will have."""
        self._run.weight_names = weight_names
        self._writer = self._writer_type(self._stream, self._run)
        self._writer.precision = PRECISION

    def write(self, number: int, made: PythiaEvent) -> None:
        """Write an event with its weights, cross-section and counts."""
        event = self._event
        event.from_hepevt(number, *from_hepevt_arguments(made.record), fortran=False)
        event.weights = made.weights
        cross_section = self._hepmc.GenCrossSection()
        cross_section.set_cross_section(
            made.cross_section, made.cross_section_error, made.accepted, made.tried
        )
        event.cross_section = cross_section
        pdf = self._hepmc.GenPdfInfo()
        pdf.parton_id1, pdf.parton_id2 = made.partons
        pdf.x1, pdf.x2 = made.x
        pdf.xf1, pdf.xf2 = made.xf
        pdf.scale = made.factorization_scale
        event.pdf_info = pdf
        attributes = event.attributes
        attributes["run_number"] = self._run_number
        attributes["event_scale"] = made.scale
        attributes["alphaQCD"] = made.alpha_s
        attributes["alphaQED"] = made.alpha_em
        self._writer.write_event(event)
        self._file.check()


def _lhe_file(process: Process, batch: int) -> Path | None:
    if not process.lhe:
        return None
    if batch > len(process.lhe):
        raise ConfigError(
            f"sample {process.name}: batch {batch} has no LHE file, lhe names {len(process.lhe)}"
        )
    path = Path(process.lhe[batch - 1])
    try:
        with path.open("rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if gzipped != (path.suffix == ".gz"):
        raise InputError(
            f"{path} is {'' if gzipped else 'not '}gzipped, and Pythia goes by its name: rename it"
        )
    return path


def _run_attributes(process: Process, seed: int, batch: int) -> dict[str, str | int]:
    inputs = {Path(path).name: sha256_of(Path(path)) for path in process.lhe[batch - 1 : batch]}
    made = provenance(seed=seed, settings_hash=hash_of_settings(process.physics()), inputs=inputs)
    masses = {
        name: repr(mass)
        for name, mass in (("m_phi", process.m_phi), ("m_s", process.m_s))
        if mass is not None
    }
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "sample": process.name,
        "process": process.process,
        "run_number": process.run_number,
        "batch": batch,
        "batch_size": process.batch_size,
        "size": "0" * 15,
        **masses,
        "provenance": json.dumps(made, sort_keys=True),
    }
