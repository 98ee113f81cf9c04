"""Every path of a run, a job and an attempt: built here, nowhere else."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from hvmpi.errors import InputError, UsageError
from hvmpi.option import nearest

__all__ = [
    "MERGED_STEM",
    "PRODUCTS",
    "SUFFIXES",
    "AttemptPaths",
    "RunPaths",
    "create_run",
    "event_file_stem",
    "find_run",
    "is_timestamp",
    "job_folder",
    "job_stem",
    "library_stem",
    "list_runs",
    "manifest",
    "plots_of",
    "product_name",
]

PRODUCTS = ("evnt", "library", "hits", "rdo", "esd", "aod", "daod", "train")
"""The kinds of files that have a directory of their own in a run."""

SUFFIXES: dict[str, dict[str, str]] = {
    "openchain": {
        "evnt": "evnt.hepmc3",
        "hits": "hits.h5",
        "rdo": "rdo.h5",
        "aod": "aod.h5",
        "train": "train.h5",
        "library": "hits.h5",
        "merged": "h5",
    },
    "athena": {
        "evnt": "evnt.pool.root",
        "hits": "HITS.pool.root",
        "rdo": "RDO.pool.root",
        "esd": "ESD.pool.root",
        "aod": "aod.pool.root",
        "daod": "pool.root",
    },
    "noop": {
        "evnt": "evnt.txt",
        "aod": "aod.txt",
        "train": "train.txt",
        "library": "hits.txt",
        "merged": "txt",
    },
}
"""How the names of an engine's products end."""

_BESIDE = {"merged": "train", "daod": "aod"}
"""Products that lie in the directory of others."""

MERGED_STEM = "train"
"""What the name of the campaign's one training file begins with; none of a job's is like it."""

_TIMESTAMP = re.compile(r"\d{14}")


@dataclass(frozen=True, slots=True)
class AttemptPaths:
    """The places of one attempt of one job.

    Attributes
    ----------
    logs : Path
        One log a step, kept when the attempt fails.
    tmp : Path
        Working directory of the payload, gone when the job is over.
    """

    logs: Path
    tmp: Path

    def step_log(self, step: str) -> Path:
        """Give the log file of a step."""
        return self.logs / self.log_name(step)

    @staticmethod
    def log_name(step: str) -> str:
        """Name the log file of a step."""
        return f"{step}.log"

    def step_report(self, step: str) -> Path:
        """Give the file in which a step says what it delivered, or why it could not."""
        return self.logs / f"{step}.json"


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The places of one run; `evnt`, `aod`, `logs` and `tmp` may lie outside of its directory."""

    directory: Path
    evnt: Path
    products: Path
    logs: Path
    tmp: Path

    @classmethod
    def of(
        cls,
        directory: Path,
        *,
        evnt_dir: str | None = None,
        aod_dir: str | None = None,
        log_dir: str | None = None,
        tmp_dir: str | None = None,
    ) -> RunPaths:
        """Lay out the run in `directory`, with what the settings put elsewhere."""
        name = directory.name
        return cls(
            directory=directory,
            evnt=Path(evnt_dir) if evnt_dir else directory / "evnt",
            products=Path(aod_dir) / name if aod_dir else directory,
            logs=Path(log_dir) / name if log_dir else directory / "logs",
            tmp=Path(tmp_dir) / name if tmp_dir else directory / "tmp",
        )

    @property
    def timestamp(self) -> str:
        """The run's name."""
        return self.directory.name

    @property
    def settings(self) -> Path:
        """The resolved settings, usable as a config file."""
        return self.directory / "settings.toml"

    @property
    def journal(self) -> Path:
        """One line for every change of state."""
        return self.directory / "journal.jsonl"

    @property
    def status(self) -> Path:
        """The HDF5 snapshot."""
        return self.directory / "status.h5"

    @property
    def report(self) -> Path:
        """The page about the run, made when it has ended and by ``report``."""
        return self.directory / "report.html"

    @property
    def lock(self) -> Path:
        """Held by the master of the run."""
        return self.directory / "lock.json"

    @property
    def token(self) -> Path:
        """Written by the master, read by each rank: proof that both see the same directory."""
        return self.directory / ".token"

    def product_directory(self, product: str) -> Path:
        """Give the directory of the published files of one kind (``evnt``, ``aod``...)."""
        if product == "evnt":
            return self.evnt
        directory = _BESIDE.get(product, product)
        if directory == "aod" and self.products != self.directory:
            return self.products
        return self.products / directory

    def product(self, product: str, stem: str, suffix: str) -> Path:
        """Give the final place of a product."""
        return self.product_directory(product) / product_name(stem, suffix)

    def part(self, final: Path, attempt: int) -> Path:
        """Give the place beside `final` to which an attempt brings its output.

        Outside of the run's directory other runs may make files of the same name at the same time.
        """
        own = "" if final.is_relative_to(self.directory) else f".{self.timestamp}"
        return final.with_name(f".{final.name}{own}.attempt{attempt}.part")

    def parts(self, product: str) -> list[Path]:
        """List what attempts of this run left beside the places of a product."""
        directory = self.product_directory(product)
        own = "" if directory.is_relative_to(self.directory) else f".{self.timestamp}"
        return sorted(directory.glob(f".*{own}.attempt*.part"))

    def job_logs(self, number: int) -> Path:
        """Give the directory of the logs of all attempts of a job."""
        return self.logs / job_folder(number)

    def attempt(self, number: int, attempt: int) -> AttemptPaths:
        """Give the places of one attempt."""
        # A path made of one text costs a fifth of one made of four paths.
        folder = job_folder(number)
        return AttemptPaths(
            logs=Path(f"{self.logs}/{folder}/attempt{attempt}"),
            tmp=Path(f"{self.tmp}/{folder}.attempt{attempt}"),
        )

    def stored(self, path: Path) -> str:
        """Write a path as the journal does: relative when inside of the run's directory."""
        try:
            return str(path.relative_to(self.directory))
        except ValueError:
            return str(path)

    def resolve(self, stored: str) -> Path:
        """Undo `stored`."""
        return self.directory / stored


def job_folder(number: int) -> str:
    """Name what a job has for itself: ``NNNN/jobNNNNNNNN``, a thousand of them in a directory."""
    return f"{number // 1000:04d}/job{number:08d}"


def product_name(stem: str, suffix: str) -> str:
    """Name the file of a product."""
    return f"{stem}.{suffix}"


def event_file_stem(run_number: int, batch_size: int, batch: int) -> str:
    """Name a generated event file's products: ``RUN.BATCHSIZE.BATCH``."""
    return f"{run_number}.{batch_size}.{batch}"


def job_stem(event_file_stem: str, job_size: int, skip_events: int) -> str:
    """Name the products of a job that reads an event file; the last one of a file may be short."""
    return f"{event_file_stem}.{job_size}.{skip_events}"


def library_stem(events: int) -> str:
    """Name a library of minimum-bias events."""
    return f"minbias.{events}"


def manifest(event_file: Path) -> Path:
    """Give the file that says how an event file was made: beside it, one more suffix."""
    return event_file.with_name(event_file.name + ".json")


def plots_of(report: Path) -> Path:
    """Give the directory of a report's plots as files: beside it."""
    return report.with_name("plots")


def create_run(run_dir: Path, now: float | None = None) -> Path:
    """Make the directory of a new run, named by the UTC second; a name in use takes the next.

    Raises
    ------
    UsageError
        If the directory cannot be written.
    """
    start = time.time() if now is None else now
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = (
            f"run-dir {str(run_dir)!r} cannot be made ({error.strerror}); choose another --run-dir"
        )
        raise UsageError(msg) from error
    for second in range(100_000):
        name = time.strftime("%Y%m%d%H%M%S", time.gmtime(start + second))
        try:
            (run_dir / name).mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            msg = (
                f"run-dir {str(run_dir)!r} cannot be written ({error.strerror}); "
                "choose another --run-dir"
            )
            raise UsageError(msg) from error
        return (run_dir / name).resolve()
    msg = f"run-dir {str(run_dir)!r} has no free timestamp near the present"
    raise UsageError(msg)


def list_runs(run_dir: Path) -> list[str]:
    """List the timestamps of the runs in a directory, oldest first."""
    try:
        names = [entry.name for entry in os.scandir(run_dir) if entry.is_dir()]
    except OSError:
        return []
    return sorted(filter(is_timestamp, names))


def is_timestamp(word: str) -> bool:
    """Whether a word is one by which runs are called."""
    return _TIMESTAMP.fullmatch(word) is not None


def find_run(run_dir: Path, timestamp: str | None) -> Path:
    """Give the directory of a run, the newest when no timestamp is named.

    Raises
    ------
    InputError
        If there is no such run; names the newest ones that there are.
    """
    runs = list_runs(run_dir)
    if timestamp is None:
        # Of a start that was killed at once a directory may be left in which nothing began.
        runs = [name for name in runs if (run_dir / name / "journal.jsonl").exists()] or runs
        if not runs:
            msg = f"there is no run in {str(run_dir)!r}; name another directory with --run-dir"
            raise InputError(msg)
        return (run_dir / runs[-1]).resolve()
    if timestamp not in runs:
        there = f"the newest there are {', '.join(runs[-3:])}" if runs else "it holds no run"
        meant = nearest(timestamp, runs)
        msg = f"there is no run {timestamp!r} in {str(run_dir)!r}{meant}; {there}"
        raise InputError(msg)
    return (run_dir / timestamp).resolve()
