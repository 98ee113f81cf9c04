"""From samples to event files to jobs: all that is decided before a run begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hvmpi.campaign import journal
from hvmpi.campaign.durations import measured_in
from hvmpi.campaign.event_files import Manifest, find_event_files, read_manifest
from hvmpi.campaign.jobs import EventFile, Kind
from hvmpi.campaign.partition import PACES, Stretch, alike, by_time
from hvmpi.campaign.paths import SUFFIXES, event_file_stem
from hvmpi.engine import Engine, Sample
from hvmpi.errors import ConfigError, InputError
from hvmpi.options import least_pileup_events
from hvmpi.settings import Settings

__all__ = ["Plan", "PlannedFile", "PlannedLibrary", "event_files_hash", "make_plan"]

_SHARE_OF_TIMEOUT = 0.25
"""What a job may take of ``job-timeout`` by plan, as events differ and hosts too."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """An event file and the jobs that are planned for it.

    Attributes
    ----------
    file : EventFile
    generated : bool
        Whether a job of this campaign makes it.
    reconstructed : bool
        Whether jobs of this campaign read it.
    numbers : ndarray of int64 or None
        Event number of each event, where they do not follow from the file's first.
    stretches : tuple of Stretch
        How it is cut into the jobs that read it.
    """

    file: EventFile
    generated: bool
    reconstructed: bool
    numbers: npt.NDArray[np.int64] | None = None
    stretches: tuple[Stretch, ...] = ()

    def first_numbers(self, part: Stretch) -> list[int]:
        """Give the event number of each job's first event; nothing where they simply follow."""
        if self.numbers is None:
            return []
        numbers: list[int] = self.numbers[part.skip : part.skip + part.events][
            :: part.job_size
        ].tolist()
        return numbers


@dataclass(frozen=True, slots=True)
class PlannedLibrary:
    """The minimum-bias events that are overlaid.

    Attributes
    ----------
    events : int
    path : str
        Where it was made before; empty where a job of this campaign makes it.
    sha256 : str
        Empty before it is made.
    """

    events: int
    path: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Plan:
    """What a campaign is to do.

    Attributes
    ----------
    samples : tuple of Sample
    files : tuple of PlannedFile
    library : PlannedLibrary or None
        None without pile-up.
    merged : bool
        Whether the jobs' training files are merged into one.
    """

    samples: tuple[Sample, ...]
    files: tuple[PlannedFile, ...]
    library: PlannedLibrary | None = None
    merged: bool = False

    @property
    def put_aside(self) -> tuple[EventFile, ...]:
        """The event files that are not fit for use."""
        return tuple(planned.file for planned in self.files if planned.file.reason)

    def entries(self) -> Iterator[journal.Entry]:
        """Give the plan as the journal keeps it."""
        jobs = 0
        for entry in self._entries():
            yield entry
            if isinstance(entry, journal.JobsPlanned):
                jobs += -(-entry.events // entry.job_size)
        yield journal.PlanComplete(len(self.files), jobs)

    def _entries(self) -> Iterator[journal.Entry]:
        rows = 0
        before_all: list[int] = []
        if self.library is not None and self.library.path:
            yield journal.LibraryListed(**asdict(self.library))
        elif self.library is not None:
            yield _one_job(Kind.LIBRARY, -1, self.library.events)
            before_all, rows = [rows], rows + 1
        reconstructed: list[int] = []
        for event_file, planned in enumerate(self.files):
            file = planned.file
            yield _listed(file)
            after = list(before_all)
            if planned.generated:
                yield _one_job(Kind.GENERATION, event_file, file.events)
                after.append(rows)
                rows += 1
            for part in planned.stretches:
                yield journal.JobsPlanned(
                    Kind.RECONSTRUCTION,
                    event_file,
                    part.job_size,
                    part.events,
                    after,
                    planned.first_numbers(part),
                    part.skip,
                )
                reconstructed.append(rows)
                rows += 1
        if self.merged:
            events = sum(planned.file.events for planned in self.files if planned.reconstructed)
            yield _one_job(Kind.MERGE, -1, events, reconstructed)


def _listed(file: EventFile) -> journal.EventFileListed:
    return journal.EventFileListed(
        path=file.path,
        sample=file.sample,
        run_number=file.run_number,
        batch=file.batch,
        events=file.events,
        first_event=file.first_event,
        stem=file.stem,
        size=file.size,
        sha256=file.sha256,
        number_from=file.number_from,
        reason=file.reason,
    )


def _one_job(
    kind: Kind, event_file: int, events: int, after: Sequence[int] = ()
) -> journal.JobsPlanned:
    return journal.JobsPlanned(kind, event_file, events, events, list(after), numbers=[])


def event_files_hash(sample: Sample, seed: int) -> str:
    """Hash all that decides the events of a sample's batches, besides the batch."""
    return digest({"sample": dict(sample.identity), "batch-size": sample.batch_size, "seed": seed})


def digest(values: Any) -> str:
    """Hash plain values."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), default=list)
    return hashlib.sha256(text.encode()).hexdigest()


def make_plan(settings: Settings, engine: Engine, workers: int = 1) -> Plan:
    """Decide on event files and jobs.

    Parameters
    ----------
    settings : Settings
    engine : Engine
    workers : int
        Ranks that will run jobs, for ``job-size = "auto"``.

    Raises
    ------
    ConfigError
        If a sample cannot be, or the library of minimum-bias events would be too small.
    InputError
        If there are no event files where they should be, or they do not belong together; if
        ``pileup-library`` is not fit for use, or ``times-from`` is no run.
    """
    samples: tuple[Sample, ...] = ()
    if settings.verb == "reconstruct":
        files = _found_files(settings, engine)
    else:
        samples = engine.samples(settings)
        _check_run_numbers(samples)
        files = _generated_files(settings, engine, samples)
    reconstructed = any(planned.reconstructed for planned in files)
    return Plan(
        samples,
        tuple(_cut(files, settings, workers)),
        library=_library(settings, engine) if reconstructed and settings.pileup_mu else None,
        merged=reconstructed and "train" in settings.keep and "train" in engine.products,
    )


def _cut(files: Sequence[PlannedFile], settings: Settings, workers: int) -> Iterator[PlannedFile]:
    """Cut the event files that are to be read into jobs."""
    read = [planned for planned in files if planned.reconstructed]
    if settings.job_size == "auto":
        stretches = _cut_by_time([planned.file for planned in read], settings, workers)
    else:
        stretches = (alike(planned.file.events, settings.job_size) for planned in read)
    for planned in files:
        yield replace(planned, stretches=next(stretches)) if planned.reconstructed else planned


def _cut_by_time(
    files: Sequence[EventFile], settings: Settings, workers: int
) -> Iterator[tuple[Stretch, ...]]:
    pace = PACES[settings.engine]
    guess = pace.event_s + pace.pileup_s * settings.pileup_mu
    before = measured_in(Path(settings.times_from)) if settings.times_from else None
    longest_s = min(pace.longest_s, _SHARE_OF_TIMEOUT * settings.job_timeout)
    return by_time(
        [
            (
                file.events,
                (before and before.event_s(Kind.RECONSTRUCTION, file.run_number)) or guess,
            )
            for file in files
        ],
        workers=workers,
        longest_s=longest_s,
        shortest_s=min(pace.shortest_s, longest_s),
    )


def _library(settings: Settings, engine: Engine) -> PlannedLibrary:
    path, mu = settings.pileup_library, settings.pileup_mu
    if path is not None:
        found = engine.check_library(Path(path), mu)
        return PlannedLibrary(found.events, path, found.sha256)
    least = least_pileup_events(mu)
    if settings.pileup_events < least:
        msg = (
            f"pileup-events must be at least {least} for pileup-mu {mu:g}, "
            f"not {settings.pileup_events}"
        )
        raise ConfigError(msg)
    return PlannedLibrary(settings.pileup_events)


def _check_run_numbers(samples: Sequence[Sample]) -> None:
    seen: dict[int, str] = {}
    for sample in samples:
        if sample.run_number in seen:
            msg = (
                f"samples {seen[sample.run_number]!r} and {sample.name!r} both have run number "
                f"{sample.run_number}; give one of them another run-number"
            )
            raise ConfigError(msg)
        seen[sample.run_number] = sample.name


def _found_files(settings: Settings, engine: Engine) -> list[PlannedFile]:
    return [
        PlannedFile(
            found.file,
            generated=False,
            reconstructed=not found.file.reason,
            numbers=found.event_numbers,
        )
        for found in find_event_files(settings, engine)
    ]


# Files that this campaign makes


def _generated_files(
    settings: Settings, engine: Engine, samples: Sequence[Sample]
) -> list[PlannedFile]:
    directory = Path(settings.evnt_dir) if settings.evnt_dir else None
    reconstructed = settings.verb == "run"
    files = []
    for sample in samples:
        wanted = event_files_hash(sample, settings.seed)
        for batch in range(1, sample.num_batches + 1):
            stem = event_file_stem(sample.run_number, sample.batch_size, batch)
            name = f"{stem}.{SUFFIXES[engine.name]['evnt']}"
            file = EventFile(
                path=str(directory / name) if directory else str(Path("evnt") / name),
                sample=sample.name,
                run_number=sample.run_number,
                batch=batch,
                events=sample.batch_size,
                first_event=(batch - 1) * sample.batch_size + 1,
                stem=stem,
            )
            made = _made_before(directory / name, wanted) if directory else None
            if made is None:
                files.append(PlannedFile(file, generated=True, reconstructed=reconstructed))
            else:
                ready = replace(file, events=made.events, size=made.size, sha256=made.sha256)
                files.append(PlannedFile(ready, generated=False, reconstructed=reconstructed))
    return files


def _made_before(path: Path, wanted: str) -> Manifest | None:
    """Read the manifest of a file of a planned name; None when there is no such file."""
    if not path.exists():
        return None
    mend = "name another --evnt-dir, or move the file away"
    made = read_manifest(path)
    if made is None:
        msg = f"event file {str(path)!r} is in the way: it has no readable manifest; {mend}"
        raise InputError(msg)
    if made.settings_hash != wanted:
        msg = f"event file {str(path)!r} is in the way: other settings made it; {mend}"
        raise InputError(msg)
    problem = made.differs(path)
    if problem:
        msg = f"event file {str(path)!r} is in the way: {problem}; {mend}"
        raise InputError(msg)
    return made
