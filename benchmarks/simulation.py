"""A campaign whose master is real and whose workers are not: thousands of ranks in one process.

The master is `hvmpi.master.Master` with its journal on disk, its ledger and its snapshots; what it
sends and receives is encoded and decoded as over MPI. Its workers answer each job with a report
at once. Only what happens within the master's own calls is counted as its time; MPI itself is not
in it, which `benchmarks.tasks` measures.

Run: ``python -m benchmarks.simulation [JOBS] [RANKS]``, for a profile of what the master does.
"""

from __future__ import annotations

import cProfile
import hashlib
import pstats
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import BenchmarkError
from hvmpi import __version__
from hvmpi.campaign.jobs import Job, JobState, Outcome, Output, StepResult
from hvmpi.campaign.plan import make_plan
from hvmpi.campaign.run import begin_run
from hvmpi.channel import LocalChannel
from hvmpi.engine import make_engine
from hvmpi.master import Master
from hvmpi.messages import Assign, Goodbye, Hello, Report, Stop, Welcome
from hvmpi.settings import load

__all__ = ["Simulation", "Spent", "make_event_files"]

_RANKS_A_HOST = 64
_WALL_S = 12.0
_CONTENT = b"0\n"
_SHA256 = hashlib.sha256(_CONTENT).hexdigest()


@dataclass(frozen=True, slots=True)
class Spent:
    """What the master has used so far.

    Attributes
    ----------
    jobs : int
        Done.
    cpu_s, wall_s : float
        Within its own calls.
    """

    jobs: int
    cpu_s: float
    wall_s: float


def make_event_files(directory: Path, files: int, events: int) -> None:
    """Write event files of the noop engine, of so many events each."""
    directory.mkdir(parents=True)
    for batch in range(1, files + 1):
        first = (batch - 1) * events + 1
        text = "".join(f"{number}\n" for number in range(first, first + events))
        (directory / f"304795.{events}.{batch}.evnt.txt").write_text(text)


class Simulation:
    """A campaign of jobs that do nothing.

    Parameters
    ----------
    place : Path
        A new directory for event files and run.
    jobs : int
    ranks : int
        Workers.
    events : int
        In a job.
    products : int
        Files that each job makes and that the master publishes.
    """

    def __init__(
        self, place: Path, jobs: int, ranks: int, events: int = 1, products: int = 0
    ) -> None:
        files = max(jobs // 10_000, 1)
        make_event_files(place / "evnt", files, jobs // files * events)
        words = ["--engine=noop", f"--evnt-dir={place / 'evnt'}", f"--job-size={events}"]
        # Simulations pause while others run.
        words += [f"--run-dir={place / 'runs'}", "--lease=86400"]
        settings = load("reconstruct", words)
        engine = make_engine(settings)
        self._products = products
        self.run = begin_run(settings, engine, make_plan(settings, engine))
        self.jobs = len(self.run.ledger.jobs)
        boxes: list[deque[tuple[int, bytes]]] = [deque() for _ in range(ranks + 1)]
        self._workers = [LocalChannel(rank, boxes) for rank in range(1, ranks + 1)]
        self._boxes = boxes
        self._master = Master(self.run, LocalChannel(0, boxes), lambda _: None)
        self._cpu_s = self._wall_s = 0.0
        self._timed(self._master.begin)
        self._answer()

    @property
    def directory(self) -> Path:
        """The run's directory."""
        return self.run.paths.directory

    @property
    def done(self) -> int:
        """The jobs that are done."""
        return int(self.run.ledger.counts[JobState.DONE])

    def work(self, jobs: int) -> Spent:
        """Go on until so many jobs are done; give what the master has used since it began."""
        wanted = min(jobs, self.jobs)
        while self.done < wanted and not self._master.over:
            self._timed(self._master.step)
            self._answer()
        if self.done < wanted:
            msg = f"the simulated campaign ended with {self.done} jobs done of {wanted}"
            raise BenchmarkError(msg)
        return Spent(self.done, self._cpu_s, self._wall_s)

    def end(self) -> Spent:
        """Do the rest, with the last snapshot and the completion record."""
        while not self._master.over:
            self._timed(self._master.step)
            self._answer()
        self._timed(self._master.end)
        self.run.close()
        return Spent(self.done, self._cpu_s, self._wall_s)

    def _timed(self, call: object) -> None:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        call()  # type: ignore[operator]
        self._cpu_s += time.process_time() - cpu_s
        self._wall_s += time.perf_counter() - wall_s

    def _answer(self) -> None:
        """Let the workers that got something answer."""
        for worker in self._workers:
            if not self._boxes[worker.rank]:
                continue
            for _, message in worker.receive():
                if isinstance(message, Welcome):
                    host = f"node{worker.rank // _RANKS_A_HOST:04d}"
                    hello = Hello(host, 1, "", _RANKS_A_HOST, __version__, time.time())
                    worker.send(0, hello)
                elif isinstance(message, Assign):
                    worker.send(0, self._report(message.job))
                elif isinstance(message, Stop):
                    worker.send(0, Goodbye())

    def _report(self, job: Job) -> Report:
        step = StepResult("chain", _WALL_S, _WALL_S, 281.5, 0)
        return Report(
            job.number,
            job.attempt,
            Outcome.DONE,
            "",
            _WALL_S,
            0,
            0,
            job.events,
            outputs=tuple(self._bring(job, number) for number in range(self._products)),
            steps=(step,),
        )

    def _bring(self, job: Job, number: int) -> Output:
        """Put a file beside its final place, as a worker does."""
        paths = self.run.paths
        final = paths.product("aod", f"{job.stem}.{number}", "aod.txt")
        part = paths.part(final, job.attempt)
        part.write_bytes(_CONTENT)
        return Output("aod", paths.stored(part), paths.stored(final), len(_CONTENT), _SHA256)


def main(argv: list[str]) -> None:
    """Print where the master's time goes."""
    jobs, ranks = (int(word) for word in (argv + ["50000", "1000"][len(argv) :]))
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as directory:
        simulation = Simulation(Path(directory) / "run", jobs, ranks)
        profile.enable()
        spent = simulation.work(jobs)
        profile.disable()
        simulation.end()
    print(f"{spent.jobs} jobs, {1e6 * spent.cpu_s / spent.jobs:.0f} us a job, while profiled")
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main(sys.argv[1:])
