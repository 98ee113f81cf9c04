"""The open chain as an engine: the commands of its steps, and what they must have delivered."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import hvmpi
from hvmpi.campaign.jobs import Job, Kind, Outcome
from hvmpi.campaign.paths import SUFFIXES, AttemptPaths
from hvmpi.engine import (
    Check,
    EventCount,
    Inputs,
    LibraryCount,
    Sample,
    Step,
    StepOutput,
    Verdict,
    Warm,
    ended,
)
from hvmpi.errors import InputError, SetupError
from hvmpi.hdf5 import InputFile
from hvmpi.openchain import evnt
from hvmpi.openchain.processes import Process, resolve
from hvmpi.openchain.schemas import EVENTS
from hvmpi.options import SAMPLE_OPTIONS
from hvmpi.sample import SampleOptions
from hvmpi.settings import Settings
from hvmpi.versions import OPEN_CHAIN, library_versions

__all__ = ["OpenChainEngine"]

_PRELOAD = "hvmpi.openchain.preload"
_GENERATION, _CHAIN = (_PRELOAD, "generation"), (_PRELOAD, "chain")
_GLIBC = (2, 34)
_MODULES = {
    "pythia8mc": "pythia8mc",
    "awkward": "awkward",
    "pyhepmc": "pyhepmc",
    "pyacts": "acts",
}


class OpenChainEngine:
    """Pythia 8, HepMC3 and ACTS.

    Parameters
    ----------
    settings : Settings
    """

    name = "openchain"
    notices: tuple[str, ...] = ()
    examines_hosts = False
    may_lose_events = False
    products: tuple[str, ...] = ("evnt", "library", "hits", "rdo", "aod", "train")
    event_file_patterns: tuple[str, ...] = (
        "*.evnt.hepmc3",
        "*.hepmc3",
        "*.hepmc",
        "*.evnt.hepmc3.gz",
        "*.hepmc3.gz",
        "*.hepmc.gz",
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._options = {options.name: options for options in settings.samples}

    def documents(self) -> dict[str, str]:
        """Give none."""
        return {}

    def samples(self, settings: Settings) -> tuple[Sample, ...]:
        """Resolve the samples: run-number tables, masses, decays, Pythia's settings."""
        return tuple(self._sample(resolve(options)) for options in settings.samples)

    def _sample(self, process: Process) -> Sample:
        if process.pythia and not self.preflight():
            from hvmpi.openchain.pythia import check_settings

            check_settings(process)
        return Sample(
            name=process.name,
            process=process.process,
            run_number=process.run_number,
            num_batches=process.num_batches,
            batch_size=process.batch_size,
            options=self._options[process.name],
            identity=process.identity(),
        )

    def count_events(self, path: Path, expected: int | None) -> EventCount:
        """Count the events of a HepMC3 file."""
        summary = evnt.scan(path, expected)
        return EventCount(summary.event_numbers, summary.size, summary.run_number, summary.sample)

    def check_library(self, path: Path, mu: float) -> LibraryCount:
        """Look at a library of minimum-bias HITS."""
        missing = self.preflight()
        if missing:
            raise SetupError("; ".join(missing))
        from hvmpi.openchain.pileup import check_library

        try:
            return check_library(path, mu)
        except InputError as error:
            msg = f"pileup-library: {error}"
            raise InputError(msg) from error

    def steps(self, job: Job, inputs: Inputs, paths: AttemptPaths) -> tuple[Step, ...]:
        """Name the steps: one fused or one by one for a reconstruction, else one."""
        if job.kind is Kind.GENERATION:
            return (self._generate(job, paths),)
        if job.kind is Kind.LIBRARY:
            return (self._library(job, paths),)
        if job.kind is Kind.MERGE:
            return (self._merge(job, inputs, paths),)
        if self._settings.fused:
            return (self._chain(job, inputs, paths),)
        return self._one_by_one(job, inputs, paths)

    def _generate(self, job: Job, paths: AttemptPaths) -> Step:
        options = self._options[job.event_file.sample]
        output = self._output(job, "evnt", paths)
        words = [*_sample_words(options), f"--batch={job.event_file.batch}"]
        words += ["-o", str(output.path)]
        return self._step("generate", words, (output,), paths, _GENERATION)

    def _library(self, job: Job, paths: AttemptPaths) -> Step:
        output = self._output(job, "library", paths)
        words = [f"--events={job.events}", "-o", str(output.path)]
        return self._step("library", words, (output,), paths, _GENERATION, _CHAIN)

    def _merge(self, job: Job, inputs: Inputs, paths: AttemptPaths) -> Step:
        output = self._output(job, "merged", paths)
        words = [str(inputs.training), f"--events={job.events}", "-o", str(output.path)]
        return self._training_step("merge", words, output, paths)

    def _chain(self, job: Job, inputs: Inputs, paths: AttemptPaths) -> Step:
        aod = self._output(job, "aod", paths)
        outputs = [aod]
        words = [*self._events(job, inputs), "-o", str(aod.path), *self._pile_up(inputs)]
        for product in ("hits", "rdo", "train"):
            if product in self._settings.keep:
                output = self._output(job, product, paths)
                words += [f"--{product}", str(output.path)]
                outputs.append(output)
        if "train" in self._settings.keep and self._settings.train_unmatched:
            words.append("--train-unmatched")
        return self._step("chain", words, tuple(outputs), paths, _CHAIN, *self._library_of(inputs))

    def _one_by_one(self, job: Job, inputs: Inputs, paths: AttemptPaths) -> tuple[Step, ...]:
        hits, rdo, aod = (self._output(job, product, paths) for product in ("hits", "rdo", "aod"))
        # Only the first step passes events over: the others' inputs hold the job's own.
        simulate = [*self._events(job, inputs), "-o", str(hits.path)]
        digitize = [str(hits.path), "-o", str(rdo.path), *self._pile_up(inputs)]
        steps = [
            self._step("simulate", simulate, (hits,), paths, _CHAIN),
            self._step("digitize", digitize, (rdo,), paths, _CHAIN, *self._library_of(inputs)),
            self._step("reconstruct", [str(rdo.path), "-o", str(aod.path)], (aod,), paths, _CHAIN),
        ]
        if "train" in self._settings.keep:
            train = self._output(job, "train", paths)
            extract = [str(aod.path), "-o", str(train.path)]
            extract += ["--unmatched"] if self._settings.train_unmatched else []
            steps.append(self._training_step("extract", extract, train, paths))
        return tuple(steps)

    def _pile_up(self, inputs: Inputs) -> list[str]:
        if not self._settings.pileup_mu:
            return []
        return [f"--pileup-mu={self._settings.pileup_mu!r}", f"--pileup-library={inputs.library}"]

    def _library_of(self, inputs: Inputs) -> tuple[tuple[str, ...], ...]:
        """Name the library as what is to be loaded."""
        if not self._settings.pileup_mu:
            return ()
        words = (str(inputs.library), repr(self._settings.pileup_mu), str(self._settings.seed))
        return ((_PRELOAD, "library", *words),)

    def _events(self, job: Job, inputs: Inputs) -> list[str]:
        words = [
            str(inputs.event_file),
            f"--skip={job.skip_events}",
            f"--events={job.events}",
            f"--run-number={job.event_file.run_number}",
        ]
        if job.event_file.number_from >= 0:
            words.append(f"--number-from={job.first_event}")
        if job.event_file.sha256:
            words.append(f"--input-sha256={job.event_file.sha256}")
        return words

    def _output(self, job: Job, product: str, paths: AttemptPaths) -> StepOutput:
        return StepOutput(product, paths.tmp / f"{job.stem}.{SUFFIXES[self.name][product]}")

    def _step(
        self,
        name: str,
        words: list[str],
        outputs: tuple[StepOutput, ...],
        paths: AttemptPaths,
        *load: tuple[str, ...],
    ) -> Step:
        seeded = [*words, f"--seed={self._settings.seed}"]
        return self._step_of("hvmpi.openchain", name, seeded, outputs, paths, load)

    def _training_step(
        self, name: str, words: list[str], output: StepOutput, paths: AttemptPaths
    ) -> Step:
        return self._step_of("hvmpi.training", name, words, (output,), paths)

    def _step_of(
        self,
        module: str,
        name: str,
        words: list[str],
        outputs: tuple[StepOutput, ...],
        paths: AttemptPaths,
        load: tuple[tuple[str, ...], ...] = (),
    ) -> Step:
        report = paths.step_report(name)
        given = (name, *words, "--report", str(report))
        if self._settings.profile:
            given = (*given, "--profile")
        argv = (sys.executable, "-m", module, *given)
        warm = Warm(f"{module}.__main__", given, load)
        return Step(name, argv, _environment(), outputs, report, warm=warm)

    def check(self, job: Job, step: Step, exit_code: int) -> Verdict:
        """Compare what a step says of itself, its exit code, and its files."""
        said = _read_report(step)
        if exit_code:
            if exit_code > 0 and said is not None and said["outcome"] is not Outcome.DONE:
                return Verdict(said["outcome"], said["reason"])
            return Verdict(Outcome.PAYLOAD_FAILED, f"{step.name} {ended(exit_code)}")
        if said is None or said["outcome"] is not Outcome.DONE:
            reason = f"{step.name} ended well but left no report of it"
            return Verdict(Outcome.OUTPUT_INVALID, reason)
        missing = [output.path.name for output in step.outputs if not output.path.is_file()]
        if missing:
            reason = f"{step.name} ended well but made no {', '.join(missing)}"
            return Verdict(Outcome.OUTPUT_INVALID, reason)
        if said["events"] != job.events:
            reason = f"{step.name} delivered {said['events']} events of {job.events}"
            return Verdict(Outcome.OUTPUT_INVALID, reason)
        if job.has_event_file and said["first_event"] not in (None, job.first_event):
            reason = f"{step.name} began with event {said['first_event']}, not {job.first_event}"
            return Verdict(Outcome.OUTPUT_INVALID, reason)
        return Verdict(Outcome.DONE, events=job.events)

    def event_numbers(self, product: str, path: Path) -> npt.NDArray[np.int64] | None:
        """Read the event numbers of an event file or an HDF5 product."""
        if product == "evnt":
            return evnt.scan(path).event_numbers
        if product in ("train", "merged"):
            return None
        with InputFile(path) as file:
            return np.asarray(file.table("events", EVENTS)["event_number"], dtype=np.int64)

    def count(self, _product: str, _path: Path, /) -> int | None:
        """Count none: what has events has numbers."""
        return None

    def training_events(self, path: Path) -> list[tuple[int, int]]:
        """Read the ranges of events that a training file keeps in its books."""
        from hvmpi.training.files import TrainingFile

        with TrainingFile(path) as file:
            ranges = file.books.ranges[["run_number", "first_event", "last_event"]]
        return [
            (run_number, event)
            for run_number, first, last in ranges.tolist()
            for event in range(first, last + 1)
        ]

    def cores(self, _kind: Kind, /) -> int:
        """Use one."""
        return 1

    def examine(self, _timeout: float, /) -> tuple[Check, ...]:
        """Look at nothing more: what is installed tells."""
        return ()

    def preflight(self) -> list[str]:
        """Say what of the open chain is not installed here."""
        missing = [package for package, module in _MODULES.items() if find_spec(module) is None]
        if not missing:
            return []
        old = f" (it needs glibc {_GLIBC[0]}.{_GLIBC[1]} or newer)" if _old_glibc() else ""
        return [
            f"the open chain is not installed here, {', '.join(missing)} missing{old}: "
            "pip install 'hvmpi[openchain]'"
        ]

    def versions(self) -> dict[str, str]:
        """Give the versions of what makes events."""
        return library_versions((*OPEN_CHAIN, "numpy"))


def _sample_words(options: SampleOptions) -> list[str]:
    """Write a sample as the options of ``generate``."""
    words: list[str] = []
    for option in SAMPLE_OPTIONS:
        value = getattr(options, option.field)
        if value is None or option.name == "num-batches":
            continue
        texts = value if isinstance(value, tuple) else (value,)
        words.extend(f"--{option.name}={text}" for text in texts)
    return words


def _old_glibc() -> bool:
    name, version = platform.libc_ver()
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    return name == "glibc" and parts < _GLIBC


def _environment() -> dict[str, str]:
    # Where hvmpi runs from a checkout that is not installed, its payloads must find it too.
    root = str(Path(hvmpi.__file__).resolve().parent.parent)
    path = os.environ.get("PYTHONPATH", "")
    if root in path.split(os.pathsep) or "site-packages" in root:
        return {"PYTHONPATH": path} if path else {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (root, path)))}


def _read_report(step: Step) -> dict[str, Any] | None:
    if step.report is None:
        return None
    try:
        values = json.loads(step.report.read_text())
        return {
            "outcome": Outcome[str(values["outcome"]).upper()],
            "reason": str(values["reason"]),
            "events": int(values["events"]),
            "first_event": values["summary"].get("first_event"),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None
