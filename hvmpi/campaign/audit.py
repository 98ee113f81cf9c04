"""Proves from the journal and the products that no event is lost or made twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hvmpi.campaign import journal
from hvmpi.campaign.contents import Contents
from hvmpi.campaign.event_files import Manifest, read_manifest
from hvmpi.campaign.jobs import JobState, Kind
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.lock import Holder, living_master
from hvmpi.campaign.paths import PRODUCTS, SUFFIXES, RunPaths, manifest
from hvmpi.campaign.replay import fold
from hvmpi.campaign.run import edited_settings, paths_of, published_products, unpublished
from hvmpi.engine import Engine, Inputs, make_engine
from hvmpi.files import sha256_of
from hvmpi.settings import Settings, load_run

__all__ = ["Audit", "audit"]


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found.

    Attributes
    ----------
    faults : tuple of str
        A sentence each; empty when all is as the journal says.
    remarks : tuple of str
        Events that steps lost as they may, a sentence a job.
    not_done : tuple of str
        Jobs that are not done, with the reason; of a run in progress those that failed for good.
    files, events : int
        Products that were read, and events in them.
    jobs, done : int
    master : Holder or None
        Who works on the run now: what it has not journaled as published was not looked at.
    """

    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    not_done: tuple[str, ...] = ()
    files: int = 0
    events: int = 0
    jobs: int = 0
    done: int = 0
    master: Holder | None = None


def audit(directory: Path) -> Audit:
    """Read a run's journal and every product that it names again.

    Raises
    ------
    HvmpiError
        If the journal or the settings cannot be read; names file and line.
    OSError
        If a directory of the run cannot be read.
    """
    master = living_master(directory / "lock.json")
    if master is not None and not journal.is_planned(directory / "journal.jsonl"):
        return Audit(master=master)
    settings = load_run(directory)
    engine = make_engine(settings)
    paths = paths_of(directory, settings)
    book = _Book(paths.journal)
    ledger = fold(journal.read_entries(paths.journal), paths.journal, book.watch)
    contents = Contents(engine, ledger, book.irregular)
    promised = _Promised(settings, engine, paths, ledger)
    faults = [*book.faults, *filter(None, [edited_settings(ledger, settings)])]
    faults += _plan_faults(settings, engine, ledger)
    files = 0
    owners: dict[Path, int] = {}
    # The merge is behind all that it joins, in the journal too.
    for accepted in book.published.values():
        faults += promised.miscounted(accepted)
        for product in promised.missing(accepted):
            contents.miss(product)
            faults.append(f"job {accepted.job} is done, and the journal names no {product} of it")
        for product, _, path, size, sha256 in accepted.outputs:
            final = paths.resolve(path)
            other = owners.setdefault(final, accepted.job)
            if other != accepted.job:
                faults.append(f"{final} is named as made by job {other} and by job {accepted.job}")
            if product == "evnt" and "evnt" not in settings.keep:
                continue
            files += 1
            problem = _changed(final, sha256, size)
            if problem:
                contents.miss(product)
                faults.append(problem)
            else:
                faults += contents.check(accepted.job, product, final)
    if "evnt" in settings.keep and settings.verb != "reconstruct":
        faults += _event_file_faults(paths, ledger)
    if ledger.library is not None:
        problem = _changed(Path(ledger.library.path), ledger.library.sha256)
        faults += [f"pileup-library {problem}"] if problem else []
    # A master that began meanwhile makes files that the journal did not name before.
    master = master or living_master(paths.lock)
    if master is None:
        faults += _strays(paths, ledger, published_products(settings, engine))
        # Where lines are missing, a good file may seem to be nobody's.
        faults += [] if book.faults else _foreign(paths, ledger, owners)
    return Audit(
        faults=tuple(faults),
        remarks=tuple(_losses(ledger)),
        not_done=tuple(_not_done(ledger, in_progress=master is not None)),
        files=files,
        events=contents.events,
        jobs=len(ledger.jobs),
        done=ledger.counts[JobState.DONE],
        master=master,
    )


# The journal


@dataclass
class _Book:
    """What the journal tells that its ledger does not keep, and what it tells wrongly.

    Attributes
    ----------
    path : Path
    faults : list of str
    published : dict of int to journal.Accepted
        What made each done job's products.
    irregular : set of int
        Event files whose event numbers do not simply follow from the first.
    """

    path: Path
    faults: list[str] = field(default_factory=list)
    published: dict[int, journal.Accepted] = field(default_factory=dict)
    irregular: set[int] = field(default_factory=set)

    def watch(self, ledger: Ledger, number: int, entry: journal.Entry) -> None:
        """Compare a line with what those before it left."""
        problem = ""
        if (number == 1) != isinstance(entry, journal.RunBegun):
            problem = (
                "it is not run_begun, so nobody knows what wrote the journal"
                if number == 1
                else "the run begins a second time"
            )
        elif isinstance(entry, journal.JobsPlanned):
            if entry.numbers:
                self.irregular.add(entry.event_file)
        elif isinstance(entry, journal.Accepted | journal.Failed):
            problem = self._not_under_way(ledger, entry)
        elif isinstance(entry, journal.Published | journal.Withdrawn):
            problem = self._not_accepted(ledger, entry)
        elif isinstance(entry, journal.Ended):
            problem = _miscounted(ledger, entry)
        if problem:
            self.faults.append(f"line {number} of the journal {str(self.path)!r}: {problem}")

    def _not_under_way(self, ledger: Ledger, entry: journal.Accepted | journal.Failed) -> str:
        before = ledger.accepted.get(entry.job) or self.published.get(entry.job)
        second = before is not None and isinstance(entry, journal.Accepted)
        if entry.attempt in ledger.running_attempts(entry.job) and not second:
            return ""
        if before is not None:
            return (
                f"attempt {entry.attempt} of job {entry.job} is {entry.type}, and attempt "
                f"{before.attempt} was accepted before"
            )
        return f"attempt {entry.attempt} of job {entry.job} is {entry.type} and was not under way"

    def _not_accepted(self, ledger: Ledger, entry: journal.Published | journal.Withdrawn) -> str:
        accepted = ledger.accepted.get(entry.job)
        if accepted is None:
            return f"job {entry.job} is {entry.type}, and none of its attempts was accepted"
        if isinstance(entry, journal.Published):
            self.published[entry.job] = accepted
        if accepted.attempt != entry.attempt:
            return (
                f"attempt {entry.attempt} of job {entry.job} is {entry.type}, and attempt "
                f"{accepted.attempt} was accepted"
            )
        return ""


def _miscounted(ledger: Ledger, entry: journal.Ended) -> str:
    said = (entry.done, entry.failed, entry.left)
    counts = ledger.counts
    found = (counts[JobState.DONE], counts[JobState.FAILED], ledger.unfinished)
    if said == found:
        return ""
    return "the run ended with {} jobs done, {} failed and {} left".format(*said) + (
        ", the lines before it tell of {}, {} and {}".format(*found)
    )


# The plan


def _plan_faults(settings: Settings, engine: Engine, ledger: Ledger) -> Iterator[str]:
    """Compare the plan with the settings, and its jobs with its event files."""
    jobs = ledger.jobs
    if settings.verb != "reconstruct":
        asked = sum(sample.num_batches for sample in settings.samples)
        if asked != len(ledger.event_files):
            yield (
                f"settings.toml asks for {asked} event files, the journal plans "
                f"{len(ledger.event_files)}"
            )
    if settings.verb == "generate":
        return
    read = jobs[jobs["kind"] == Kind.RECONSTRUCTION]
    covered = Counter[int]()
    for row, events in zip(read["event_file"].tolist(), read["events"].tolist(), strict=True):
        covered[row] += events
    for row, file in enumerate(ledger.event_files):
        if covered[row] != file.events and not (file.reason and not covered[row]):
            yield f"of the {file.events} events of {file.path} jobs are to read {covered[row]}"
    merges = jobs["events"][jobs["kind"] == Kind.MERGE].tolist()
    wanted = "train" in settings.keep and "train" in engine.products and len(read) > 0
    if merges != [covered.total()] * wanted:
        yield (
            f"the jobs have {covered.total()} events, and the merge of their training files is "
            f"planned for {', '.join(map(str, merges)) or 'none'}"
        )


class _Promised:
    """What the journal must name of each done job."""

    def __init__(self, settings: Settings, engine: Engine, paths: RunPaths, ledger: Ledger) -> None:
        self._settings = settings
        self._engine = engine
        self._paths = paths
        self._ledger = ledger
        self._of_kind: dict[Kind, Counter[str]] = {
            Kind.GENERATION: Counter(["evnt"]),
            Kind.LIBRARY: Counter(["library"]),
            Kind.MERGE: Counter(["merged"]),
        }

    def missing(self, accepted: journal.Accepted) -> list[str]:
        """List the products of a done job that the journal does not name."""
        job = self._ledger.job(accepted.job)
        if job.kind not in self._of_kind:
            inputs = Inputs.of(job, self._paths, self._settings)
            steps = self._engine.steps(job, inputs, self._paths.attempt(job.number, 1))
            self._of_kind[job.kind] = Counter(
                output.product
                for step in steps
                for output in step.outputs
                if output.product in self._settings.brought
            )
        named = Counter(output[0] for output in accepted.outputs)
        return list((self._of_kind[job.kind] - named).elements())

    def miscounted(self, accepted: journal.Accepted) -> list[str]:
        """Say that a done job lost events that its engine does not let it lose."""
        planned = self._ledger.job(accepted.job).events
        told = self._engine.may_lose_events and accepted.reason
        if accepted.events_out == planned or (told and accepted.events_out < planned):
            return []
        return [f"job {accepted.job} is done with {accepted.events_out} events of {planned}"]


def _losses(ledger: Ledger) -> Iterator[str]:
    jobs = ledger.jobs
    for row in jobs[(jobs["state"] == JobState.DONE) & (jobs["events_out"] < jobs["events"])]:
        if row["reason"] >= 0:
            yield f"job {row['job']}: {ledger.reasons[row['reason']]}"


# Files


def _changed(path: Path, sha256: str, size: int | None = None) -> str:
    try:
        if not path.is_file():
            return f"{path} is no file" if path.exists() else f"{path} is missing"
        if size is not None and path.stat().st_size != size:
            return f"{path} has {path.stat().st_size} bytes, the journal says {size}"
        if sha256_of(path) != sha256:
            return f"{path} was changed: its SHA-256 is not the journal's"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    return ""


def _event_file_faults(paths: RunPaths, ledger: Ledger) -> Iterator[str]:
    """Look at event files that were made before, and at the manifests of all."""
    jobs = ledger.jobs
    generated = dict(jobs[jobs["kind"] == Kind.GENERATION][["event_file", "state"]].tolist())
    settings_of: dict[str, dict[str, Path]] = {}
    for row, file in enumerate(ledger.event_files):
        if generated.get(row, JobState.DONE) != JobState.DONE:
            continue
        path = paths.resolve(file.path)
        problem = "" if row in generated else _changed(path, file.sha256, file.size)
        if problem:
            yield problem
        if not file.sha256:
            continue
        made = read_manifest(path)
        if made is None:
            yield f"{manifest(path)}, the manifest of an event file, is missing or cannot be read"
            continue
        settings_of.setdefault(file.sample, {}).setdefault(made.settings_hash, manifest(path))
        known = Manifest(
            settings_hash=made.settings_hash,
            sha256=file.sha256,
            size=file.size,
            events=file.events,
            first_event=file.first_event,
            run_number=file.run_number,
            batch=file.batch,
            sample=file.sample,
        )
        for name, value in asdict(known).items():
            found = getattr(made, name)
            if found != value:
                yield f"{manifest(path)} says {name} {found}, the journal says {value}"
    for sample, places in settings_of.items():
        if len(places) > 1:
            some = " and ".join(map(str, list(places.values())[:2]))
            yield f"{some} tell of different settings, and are both of sample {sample}"


def _strays(paths: RunPaths, ledger: Ledger, products: Iterable[str]) -> list[str]:
    accepted = {paths.resolve(output.part) for output in unpublished(ledger)}
    return [
        f"{part} was left by an attempt that was not accepted; rerun removes it"
        for product in products
        for part in paths.parts(product)
        if part not in accepted
    ]


def _foreign(paths: RunPaths, ledger: Ledger, published: Iterable[Path]) -> list[str]:
    """Find files that no job made, in the directories that are the run's alone.

    Who reads all that is in there would take their events twice.
    """
    ours = {*published, *(paths.resolve(output.path) for output in unpublished(ledger))}
    for file in ledger.event_files:
        ours |= {paths.resolve(file.path), manifest(paths.resolve(file.path))}
    directories = {
        directory
        for directory in map(paths.product_directory, PRODUCTS)
        if directory.is_relative_to(paths.directory) or directory.is_relative_to(paths.products)
    }
    found = [
        path
        for directory in sorted(directories)
        if directory.is_dir()
        for path in sorted(directory.glob("[!.]*"))
        if path not in ours and path not in directories
    ]
    stems = {ledger.job(number).stem: number for number in range(len(ledger.jobs) * bool(found))}
    return [_whose(path, stems) for path in found]


def _whose(path: Path, stems: dict[str, int]) -> str:
    endings = (f".{suffix}" for suffixes in SUFFIXES.values() for suffix in suffixes.values())
    names = {path.name.removesuffix(ending) for ending in endings}
    for stem in names & stems.keys():
        return (
            f"{path} is called after job {stems[stem]}, and no line of the journal says that it "
            "made this file"
        )
    return f"{path} is not of this run, no line of the journal names it: take it away"


# What is not done


def _not_done(ledger: Ledger, *, in_progress: bool) -> Iterator[str]:
    for file in ledger.event_files:
        if file.reason:
            yield file.reason
    states = ledger.jobs["state"]
    chosen = states == JobState.FAILED if in_progress else states != JobState.DONE
    for row in ledger.jobs[chosen]:
        kind = Kind(int(row["kind"])).name.lower()
        state = JobState(int(row["state"])).name.lower()
        reason = ledger.reasons[row["reason"]] if row["reason"] >= 0 else _without_reason(state)
        yield f"job {row['job']} ({kind}, {row['events']} events) is {state}: {reason}"


def _without_reason(state: str) -> str:
    return "the journal ends before its attempt does" if state == "running" else "not tried yet"
