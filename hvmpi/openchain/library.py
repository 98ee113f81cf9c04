"""Pile-up libraries: minimum-bias HITS, made once, and the noise that they make."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hvmpi.errors import UsageError
from hvmpi.openchain import chain, pileup_noise, readout
from hvmpi.openchain.eventdata import Product
from hvmpi.openchain.generation import generate
from hvmpi.openchain.pileup import PROCESS
from hvmpi.openchain.processes import resolve
from hvmpi.openchain.schemas import HITS
from hvmpi.sample import SampleOptions

__all__ = ["NoiseSummary", "make_library", "measure_noise"]


def make_library(output: Path, *, seed: int, events: int) -> chain.StepSummary:
    """Generate minimum-bias events and simulate them.

    Parameters
    ----------
    output : Path
        HITS; appear whole or not at all.
    seed : int
        The campaign's.
    events : int
        How many.

    Raises
    ------
    UsageError
        If no events are asked for.
    RunError
        If Pythia cannot make them.
    SetupError
        If the library cannot be written.
    """
    if events < 1:
        raise UsageError(f"a library of {events} events is none; give 1 or more")
    process = resolve(
        SampleOptions(name=PROCESS, process=PROCESS, num_batches=1, batch_size=events)
    )
    with tempfile.TemporaryDirectory(dir=output.absolute().parent) as directory:
        evnt = Path(directory) / "minbias.evnt.hepmc3"
        generate(process, seed=seed, batch=1, output=evnt)
        return chain.simulate(evnt, output, seed=seed)


@dataclass(frozen=True, slots=True)
class NoiseSummary:
    """What was measured.

    Attributes
    ----------
    events : int
        Of the library.
    """

    events: int


def measure_noise(library: Path, output: Path) -> NoiseSummary:
    """Measure the table of `pileup_noise` on a library, and write it.

    Raises
    ------
    InputError
        If the library is none.
    """
    with Product(library, HITS) as product:
        events = len(product)
        deposits = product["deposits"].table()
        made = product.provenance
    energy = readout.visible(deposits, np.random.Generator(np.random.Philox(0)))
    table = pileup_noise.measure(deposits["cell"], energy, events, readout.pulse_weights())
    comment = (
        f"Noise of pile-up at mu = 1, measured on {events} minimum-bias events: seed"
        f" {made['seed']}, settings {made['settings_hash'][:12]}, event file"
        f" {made['inputs']['evnt'][:12]}."
    )
    pileup_noise.write(table, output, comment)
    return NoiseSummary(events)
