"""One run on disk, begun from a plan or taken up again: its journal, ledger, lock and status."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hvmpi import __version__
from hvmpi.campaign import journal
from hvmpi.campaign.durations import Durations, measured_in
from hvmpi.campaign.jobs import JobState, Kind, Output
from hvmpi.campaign.ledger import Ledger
from hvmpi.campaign.lock import Lock, refuse_in_progress
from hvmpi.campaign.order import StartOrder
from hvmpi.campaign.paths import PRODUCTS, RunPaths, create_run, manifest
from hvmpi.campaign.plan import Plan, digest, event_files_hash
from hvmpi.campaign.replay import fold, replay
from hvmpi.campaign.snapshot import write_status
from hvmpi.engine import Engine
from hvmpi.errors import HvmpiError, InputError, JournalError, SetupError, UsageError
from hvmpi.files import sync_directory, write_whole
from hvmpi.settings import Settings, fixed, scheduling, to_dict, to_toml
from hvmpi.wallclock import limit_s

__all__ = [
    "LAUNCH_ID",
    "RESTART",
    "Run",
    "begin_run",
    "edited_settings",
    "paths_of",
    "published_products",
    "refuse_places",
    "resume_run",
    "unpublished",
]

LAUNCH_ID = "HVMPI_LAUNCH_ID"
"""Variable with the name of this start, for who waits for its completion record."""
RESTART = "HVMPI_RESTART"
"""Variable in which the supervisor says why it started mpirun again."""


def paths_of(directory: Path, settings: Settings) -> RunPaths:
    """Lay out a run as its settings say."""
    return RunPaths.of(
        directory,
        evnt_dir=settings.evnt_dir,
        aod_dir=settings.aod_dir,
        log_dir=settings.log_dir,
        tmp_dir=settings.tmp_dir,
    )


def published_products(settings: Settings, engine: Engine) -> list[str]:
    """List the kinds of files that the campaign puts into directories of their own."""
    wanted = {"aod", *settings.keep} - {"evnt"} if settings.verb != "generate" else set()
    if settings.verb != "reconstruct":
        wanted.add("evnt")
    if settings.verb != "generate" and settings.makes_library:
        wanted.add("library")
    return [product for product in engine.products if product in wanted]


class Run:
    """A run that this process is the master of.

    Attributes
    ----------
    settings : Settings
    paths : RunPaths
    ledger : Ledger
    journal : journal.Journal
    lock : Lock
    launch : str
        Name of this start, chosen by who started it.
    token : str
        What a rank must read in the run's directory.
    left_out : list of str
        Why ranks could not be used.
    looks_at_hosts : bool
        Whether hosts are to be examined before they get jobs.
    cores : dict of Kind to int
        Cores of a job, for the kinds of those that are not done.
    order : StartOrder
        In which order its jobs start.
    time_limit_s : float or None
        Seconds that this start has, from the beginning of this process.
    """

    def __init__(
        self, settings: Settings, paths: RunPaths, engine: Engine, ledger: Ledger, lock: Lock
    ) -> None:
        self.settings = settings
        self.paths = paths
        self.ledger = ledger
        self.lock = lock
        self.journal = journal.Journal(paths.journal)
        self.launch = _launch()
        self.token = secrets.token_hex(16)
        self.left_out: list[str] = []
        self.looks_at_hosts = engine.examines_hosts
        self.cores = {kind: engine.cores(kind) for kind in ledger.kinds_left()}
        self.order = StartOrder(ledger, _measured_before(settings))
        self.time_limit_s = limit_s(settings.time_limit, os.environ)
        self._hashes = (
            {
                sample.name: event_files_hash(sample, settings.seed)
                for sample in engine.samples(settings)
            }
            if settings.verb != "reconstruct"
            else {}
        )

    @property
    def scheduling(self) -> dict[str, Any]:
        """The settings of this start that may differ from the run's own."""
        return scheduling(self.settings)

    def event_files_hash(self, sample: str) -> str:
        """Hash what decides the events of a sample."""
        return self._hashes[sample]

    def write_token(self) -> None:
        """Write the token that ranks read."""
        self.paths.token.touch(0o600)
        self.paths.token.write_text(self.token)

    def write_status(self, state: str) -> float:
        """Write the snapshot; give the seconds that it took."""
        try:
            return write_status(
                self.paths.status, self.ledger, settings=to_dict(self.settings), state=state
            )
        except SetupError as error:
            msg = (
                f"the status cannot be written ({error}); "
                "make room or mend the file system, then rerun"
            )
            raise JournalError(msg) from error

    def drop_event_files(self) -> None:
        """Remove the event files that this run made and that are not to be kept."""
        if "evnt" in self.settings.keep or self.settings.verb != "run":
            return
        jobs = self.ledger.jobs
        for job in jobs[(jobs["kind"] == Kind.GENERATION) & (jobs["state"] == JobState.DONE)]:
            row = int(job["event_file"])
            if all(self.ledger.state(j) is JobState.DONE for j in self.ledger.jobs_of_file(row)):
                path = self.paths.resolve(self.ledger.event_files[row].path)
                for gone in (path, manifest(path)):
                    with contextlib.suppress(FileNotFoundError):
                        gone.unlink()

    def remove_leavings(self) -> None:
        """Remove what attempts left that were never accepted."""
        wanted = {self.paths.resolve(output.part) for output in unpublished(self.ledger)}
        for product in PRODUCTS:
            for part in self.paths.parts(product):
                if part not in wanted:
                    with contextlib.suppress(FileNotFoundError):
                        part.unlink()
        for blank in self.paths.logs.glob(".*.blank"):
            blank.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            shutil.rmtree(self.paths.tmp)

    def close(self) -> None:
        """Close the journal and give the run free."""
        self.journal.close()
        for directory in (self.paths.tmp, self.paths.logs):
            _remove_if_empty(directory)
        with contextlib.suppress(OSError):
            self.paths.token.unlink()
        self.lock.release()


def _measured_before(settings: Settings) -> Durations | None:
    if settings.times_from is None:
        return None
    try:
        return measured_in(Path(settings.times_from))
    except InputError:
        # A run that is taken up again must not need what it was planned by.
        if settings.sources.get("times-from") == "run":
            return None
        raise


def unpublished(ledger: Ledger) -> list[Output]:
    """List what was accepted and is not published yet: the next master does."""
    return [Output(*output) for accepted in ledger.accepted.values() for output in accepted.outputs]


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        for thousand in directory.iterdir():
            with contextlib.suppress(OSError):
                thousand.rmdir()
        directory.rmdir()


def _launch() -> str:
    return os.environ.get(LAUNCH_ID) or secrets.token_hex(16)


def _versions(engine: Engine) -> dict[str, str]:
    return {"hvmpi": __version__, **engine.versions()}


def _make_directories(paths: RunPaths, settings: Settings, engine: Engine) -> list[Path]:
    """Make the directories of products and logs; give those that are new."""
    products = published_products(settings, engine)
    made: list[Path] = []
    for directory in [*map(paths.product_directory, products), paths.logs]:
        try:
            made += _make(directory)
            problem = "" if os.access(directory, os.W_OK) else "cannot be written"
        except OSError as error:
            problem = f"cannot be made ({error.strerror})"
        if problem:
            _unmake(made)
            msg = f"{str(directory)!r} {problem}; choose another directory"
            raise UsageError(msg)
    return made


def _make(directory: Path) -> list[Path]:
    """Make a directory and those above it; give the new ones, the uppermost first."""
    new = [path for path in (directory, *directory.parents) if not path.exists()][::-1]
    directory.mkdir(parents=True, exist_ok=True)
    return new


def _unmake(directories: list[Path]) -> None:
    for directory in reversed(directories):
        with contextlib.suppress(OSError):
            directory.rmdir()


def begin_run(settings: Settings, engine: Engine, plan: Plan) -> Run:
    """Make the directory of a new run and journal its plan.

    Raises
    ------
    UsageError
        If a directory cannot be written.
    """
    run_dir = Path(settings.run_dir)
    new = [path for path in (run_dir, *run_dir.parents) if not path.exists()][::-1]
    directory = create_run(run_dir)
    paths = paths_of(directory, settings)
    try:
        return _begin(paths, settings, engine, plan)
    except (OSError, HvmpiError) as error:
        shutil.rmtree(directory, ignore_errors=True)
        _unmake(new)
        if isinstance(error, HvmpiError):
            raise
        msg = f"run-dir {str(run_dir)!r} cannot be written ({error.strerror}); choose another"
        raise UsageError(msg) from error


def _begin(paths: RunPaths, settings: Settings, engine: Engine, plan: Plan) -> Run:
    lock = Lock(paths.lock)
    _make_directories(paths, settings, engine)
    texts = {paths.settings: to_toml(settings)}
    texts |= {paths.directory / name: text for name, text in engine.documents().items()}
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        with write_whole(path, mode=0o600) as beside:
            beside.write_text(text, encoding="utf-8")
    begun = journal.RunBegun(
        schema=journal.SCHEMA,
        schema_version=journal.SCHEMA_VERSION,
        timestamp=paths.timestamp,
        time=time.time(),
        verb=settings.verb,
        command_line=_command_line(),
        versions=_versions(engine),
        settings_hash=digest(to_dict(settings)),
        launch=_launch(),
        fixed_hash=digest(fixed(settings)),
    )
    entries = [begun, *plan.entries()]
    run = Run(settings, paths, engine, fold(entries, paths.journal), lock)
    run.launch = begun.launch
    run.journal.append(*entries)
    run.journal.sync()
    sync_directory(paths.directory)
    run.write_token()
    return run


def _command_line() -> str:
    return shlex.join(["python", "-m", "hvmpi", *sys.argv[1:]])


def resume_run(settings: Settings, engine: Engine) -> Run:
    """Take an earlier run up again.

    Raises
    ------
    UsageError
        If it is in progress, or was made with other versions and that is not allowed.
    InputError
        If the library of minimum-bias events that it takes from elsewhere is another now.
    JournalError
        If its journal cannot be read.
    """
    directory = Path(settings.run_dir) / settings.timestamp
    paths = paths_of(directory, settings)
    lock = Lock(paths.lock)
    try:
        ledger, changed = _replayed(paths, settings, engine)
        _make_directories(paths, settings, engine)
        run = Run(settings, paths, engine, ledger, lock)
    except BaseException:
        lock.release()
        raise
    restart = os.environ.get(RESTART, "")
    reason = "the campaign ended while the job ran" + f" ({restart})" * bool(restart)
    if changed:
        reason += f"; versions changed: {changed}"
    resumed = journal.Resumed(
        time=time.time(),
        command_line=_command_line(),
        versions=_versions(engine),
        launch=run.launch,
        reason=reason,
        fresh=not restart,
    )
    run.journal.append(resumed)
    ledger.apply(resumed)
    run.journal.sync()
    run.remove_leavings()
    run.write_token()
    return run


def _replayed(paths: RunPaths, settings: Settings, engine: Engine) -> tuple[Ledger, str]:
    """Replay a run's journal; give it with the versions that changed, if that is allowed."""
    ledger = replay(paths.journal)
    changed = _changed_versions(ledger, _versions(engine))
    _check_versions(settings, changed)
    if not changed and (reason := edited_settings(ledger, settings)):
        raise UsageError(reason)
    _check_library(ledger, settings, engine)
    return ledger, changed


def edited_settings(ledger: Ledger, settings: Settings) -> str:
    """Say that a run's settings are not those that it was begun with; nothing if they are.

    Parameters
    ----------
    ledger : Ledger
    settings : Settings
        As its ``settings.toml`` has them now.
    """
    begun = ledger.begun
    if begun is None or begun.fixed_hash in ("", digest(fixed(settings))):
        return ""
    return (
        f"settings.toml of run {begun.timestamp} is not what the run was begun with, so its events "
        "would be of two kinds: put the old values back, or start a new run with the new ones"
    )


def _check_library(ledger: Ledger, settings: Settings, engine: Engine) -> None:
    before = ledger.library
    if before is None:
        return
    now = engine.check_library(Path(before.path), settings.pileup_mu)
    if now.sha256 != before.sha256:
        msg = (
            f"pileup-library {before.path!r} is not what it was when run {settings.timestamp} "
            "began: its SHA-256 is another; bring the old one back, or start a new run"
        )
        raise InputError(msg)


def refuse_places(settings: Settings, engine: Engine) -> None:
    """Raise what beginning or resuming a run would raise, and leave everything as it is.

    Raises
    ------
    HvmpiError
        If a directory cannot be made or written, the run is in progress, its journal cannot be
        read, or it was made with other versions.
    """
    run_dir = Path(settings.run_dir)
    if settings.timestamp:
        paths = paths_of(run_dir / settings.timestamp, settings)
        refuse_in_progress(paths.lock)
        _replayed(paths, settings, engine)
        return
    made: list[Path] = []
    try:
        made = _make(run_dir)
        with tempfile.TemporaryDirectory(dir=run_dir) as stand_in:
            _unmake(_make_directories(paths_of(Path(stand_in), settings), settings, engine))
    except OSError as error:
        msg = f"run-dir {str(run_dir)!r} cannot be written ({error.strerror}); choose another"
        raise UsageError(msg) from error
    finally:
        _unmake(made)


def _check_versions(settings: Settings, changed: str) -> None:
    if changed and not settings.allow_version_change:
        msg = (
            f"run {settings.timestamp} was made with {changed}; install those, or rerun "
            "with --allow-version-change"
        )
        raise UsageError(msg)


def _changed_versions(ledger: Ledger, versions: dict[str, str]) -> str:
    before = ledger.begun.versions if ledger.begun else {}
    return ", ".join(
        f"{name} {version} (now {versions.get(name, 'missing')})"
        for name, version in before.items()
        if versions.get(name) != version
    )
