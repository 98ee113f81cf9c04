"""Kills and stops parts of campaigns at random, and proves that no event is lost or made twice.

    python benchmarks/chaos.py [--runs 200] [--seed 1] [--at-once 1] [--only N]
    python benchmarks/chaos.py --crashes [--jobs 10000] [--seed 1]

A run is a campaign of short jobs, started as ``run_chain.sh`` starts it, with three ranks. One of
its processes is killed -9 or stopped (and perhaps let go on) at a random moment, of the start or
after the first line of the journal. ``rerun`` follows where the exit code asks for it, or where the
one process died that would have given it: before the run began, the same command again. Then
``verify`` must pass, every event be in the training file once, and no process be left. Meanwhile
another process, this one, opens ``status.h5`` again and again.

With ``--crashes``: one campaign of which 1 % of the attempts crash and 0.1 % hang. All jobs must
be done, with exactly the attempts that follow from the seed.

Ends with 1 if anything was otherwise. All that is random follows from ``--seed``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import psutil

from hvmpi import session
from hvmpi.campaign import journal
from hvmpi.campaign.status import read_status
from hvmpi.errors import HvmpiError

__all__ = ["Blow", "Crashes", "Result", "Trial", "Victim", "crash", "draw", "run_trial"]

RANKS = 3
BATCHES, BATCH_SIZE, JOB_SIZE = 2, 20, 2
LEASE_S = 2.0
JOB_TIMEOUT_S = 5.0
LATEST_BLOW_S = 3.5
"""A campaign that nobody disturbs takes about as long."""
EARLY = 0.25
"""Of the runs, those that are struck before or while their ranks start."""
START_S = 2.5
START_TIMEOUT_S = 15.0
LIMIT_S = 300.0
LEAVE_S = 20.0
EXIT_CUT_SHORT = 3

HALF_BY_HALF = """
pause=0.$(printf %03d $((25 + ($1 * 7919 + $2 * 104729) % 125)))
sleep $pause || exit
echo "$3" > "$5" || exit
sleep $pause || exit
i=$3
while [ $((i += 1)) -lt $(($3 + $4)) ]; do echo $i >> "$5" || exit; done
"""
"""A job of 0.05 to 0.3 s; its output, the numbers of its events, is incomplete half of the time."""

AS_DOOMED = """
if [ -e "$6/$1.$2" ]; then . "$6/$1.$2"; fi
echo "$3" > "$5"
"""
CRASHES = ("kill -SEGV $$", 'echo half > "$5"; kill -KILL $$', "exit 7")
HANG = "sleep 600"


class Victim(Enum):
    """Which process is struck."""

    WORKER = "worker"
    PAYLOAD = "payload"
    MASTER = "master"
    MPIRUN = "mpirun"
    GUARDIAN = "guardian"
    SERVER = "payload server"
    SUPERVISOR = "supervisor"


class Blow(Enum):
    """What is done to it."""

    KILL = "killed"
    PAUSE = "stopped a while"
    STOP = "stopped for good"


@dataclass(frozen=True, slots=True)
class Trial:
    """One run, as drawn.

    Attributes
    ----------
    number : int
    victim : Victim
    blow : Blow
    early : bool
        Whether the moment counts from the start, not from the first line of the journal.
    after_s : float
        Seconds.
    pause_s : float
        Seconds until a process that was stopped a while goes on.
    choice : float
        Which of several, 0 to 1.
    """

    number: int
    victim: Victim
    blow: Blow
    early: bool
    after_s: float
    pause_s: float
    choice: float


@dataclass
class Result:
    """How a run went.

    Attributes
    ----------
    hit : bool
        Whether the victim was there at its moment, or within a second of it.
    reruns, restarts : int
    problems : list of str
        Empty if all is well.
    wall_s : float
    opens, errors : int
        Times that the status file was opened by another process, and times that it failed.
    oldest_s : float
        The most that had passed since the status was written, when it was read while the campaign
        ran.
    """

    trial: Trial
    hit: bool = False
    reruns: int = 0
    restarts: int = 0
    problems: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    opens: int = 0
    errors: int = 0
    oldest_s: float = 0.0


def draw(seed: int, number: int) -> Trial:
    """Draw a run: the victims take turns, all else is random."""
    random_ = random.Random(f"{seed} {number}")
    victim = list(Victim)[number % len(Victim)]
    blows, weights = [Blow.KILL, Blow.PAUSE], [0.6, 0.25]
    if victim is not Victim.SUPERVISOR:
        # A supervisor that is stopped waits for whoever stopped it, as any program of a shell.
        blows, weights = [*blows, Blow.STOP], [*weights, 0.15]
    (blow,) = random_.choices(blows, weights)
    late = (Victim.PAYLOAD, Victim.GUARDIAN, Victim.SERVER)
    early = random_.random() < EARLY and victim not in late
    return Trial(
        number,
        victim,
        blow,
        early,
        after_s=random_.uniform(0.0, START_S if early else LATEST_BLOW_S),
        pause_s=random_.uniform(0.2, 3 * LEASE_S),
        choice=random_.random(),
    )


# Campaigns


def _environment() -> dict[str, str]:
    launchers = ("OMPI_", "PMIX_", "PRTE_", "PMI", "HYDRA_", "SLURM_", "HVMPI_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(launchers)}
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return kept | root | {"HVMPI_REPORT": "false"}


def _supervise(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start what ``run_chain.sh`` hands over to; what it says is added to ``said``."""
    supervisor = [sys.executable, "-P", "-m", "hvmpi.supervisor", f"--ranks={RANKS}"]
    with (folder / "said").open("ab") as said:
        return subprocess.Popen(
            [*supervisor, f"--hostfile={folder / 'hostfile'}", *words],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _campaign(script: str, *added: str) -> list[str]:
    filled = ("{job}", "{attempt}", "{first_event}", "{events}", "{train}")
    command = ("/bin/sh", "-c", script, "sh", *filled, *added)
    return ["run", "--engine=noop", *(f"--noop-command={word}" for word in command)]


def _verify(run: Path) -> list[str]:
    """Prove that every event is there once: by ``verify``, and by the numbers themselves."""
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "hvmpi", "verify", run.name, f"--run-dir={run.parent}"],
        cwd=run.parent.parent,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    said = (shown.stdout + shown.stderr).strip().splitlines()
    problems = [f"verify: {line}" for line in said[:5]] if shown.returncode else []
    settings = read_status(run).attributes["settings"]
    (sample,) = settings["sample"]
    wanted = range(1, sample["num-batches"] * sample["batch-size"] + 1)
    for what, files in (
        ("training files", (run / "train").glob("?*.train.txt")),
        ("merged file", (run / "train").glob("train.txt")),
    ):
        made = Counter(int(word) for file in files for word in file.read_text().split())
        if made != Counter(wanted):
            lost, extra = Counter(wanted) - made, made - Counter(wanted)
            problems.append(
                f"the {what} lack {sorted(lost)[:5]}, hold too much {sorted(extra)[:5]}"
            )
    accepted: Counter[int] = Counter()
    for entry in journal.read_entries(run / "journal.jsonl"):
        if isinstance(entry, journal.Accepted):
            accepted[entry.job] += 1
        elif isinstance(entry, journal.Withdrawn):
            accepted[entry.job] -= 1
    twice = [job for job, times in accepted.items() if times > 1]
    return problems + [f"jobs {twice} were accepted more than once"] * bool(twice)


# The victims


def _is_guardian(process: psutil.Process) -> bool:
    return session.__file__.rsplit("/", 1)[-1] in " ".join(process.cmdline()[-1:])


def _find(victim: Victim, supervisor: psutil.Process) -> list[psutil.Process]:
    """List the processes of a kind, in an order that a seed can choose from."""
    with contextlib.suppress(psutil.Error):
        if victim is Victim.SUPERVISOR:
            return [supervisor]
        launchers = [one for one in supervisor.children() if "-hostfile" in one.cmdline()]
        if victim is Victim.MPIRUN:
            return launchers
        ranks: dict[int, psutil.Process] = {}
        for rank in (child for launcher in launchers for child in launcher.children()):
            with contextlib.suppress(psutil.Error, KeyError):
                ranks[int(rank.environ()["OMPI_COMM_WORLD_RANK"])] = rank
        if victim is Victim.MASTER:
            return [rank for number, rank in ranks.items() if number == 0]
        workers = [rank for number, rank in sorted(ranks.items()) if number > 0]
        if victim is Victim.WORKER:
            return workers
        children = [child for worker in workers for child in worker.children()]
        if victim is Victim.GUARDIAN:
            return [child for child in children if _is_guardian(child)]
        servers = [child for child in children if not _is_guardian(child)]
        if victim is Victim.SERVER:
            return servers
        return [one for server in servers for one in server.children(recursive=True)]
    return []


@contextlib.contextmanager
def _known(supervisor: psutil.Process) -> Iterator[set[psutil.Process]]:
    """Collect the processes of a campaign as they come."""
    found = {supervisor}
    over = threading.Event()

    def collect() -> None:
        while not over.wait(0.25):
            with contextlib.suppress(psutil.Error):
                found.update(supervisor.children(recursive=True))

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _alive(processes: set[psutil.Process]) -> list[psutil.Process]:
    left = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
    return left


def _until(what: Callable[[], object], seconds: float, pause: float = 0.01) -> bool:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def _strike(trial: Trial, started: subprocess.Popen[bytes], run_dir: Path) -> psutil.Process | None:
    """Kill or stop the victim at its moment; give it if it was there."""
    supervisor = psutil.Process(started.pid)

    def begun() -> bool:
        return started.poll() is not None or any(
            path.stat().st_size > 0 for path in run_dir.glob("*/journal.jsonl")
        )

    if not trial.early:
        _until(begun, LIMIT_S)
    time.sleep(trial.after_s)
    deadline = time.monotonic() + 1.0
    while started.poll() is None and time.monotonic() < deadline:
        if found := _find(trial.victim, supervisor):
            victim = found[int(trial.choice * len(found))]
            with contextlib.suppress(psutil.Error):
                victim.kill() if trial.blow is Blow.KILL else victim.suspend()
                return victim
    return None


# The reader of the status


class _Reader(threading.Thread):
    """Opens the status of a run again and again."""

    def __init__(self, run_dir: Path, result: Result) -> None:
        super().__init__(daemon=True)
        self._run_dir = run_dir
        self._result = result
        self.over = threading.Event()

    def run(self) -> None:
        """Read until it is over."""
        there = False
        while not self.over.wait(0.02):
            for path in self._run_dir.glob("*/status.h5"):
                there = True
                self._read(path)
            if there and not list(self._run_dir.glob("*/status.h5")):
                self._result.errors += 1

    def _read(self, path: Path) -> None:
        self._result.opens += 1
        try:
            attributes = read_status(path).attributes
        except HvmpiError as error:
            self._result.errors += 1
            self._result.problems.append(f"reader: {error}")
            return
        if attributes["state"] == "running":
            age = time.time() - attributes["updated"]
            self._result.oldest_s = max(self._result.oldest_s, age)


# One run


def run_trial(trial: Trial, folder: Path) -> Result:
    """Carry out a run in an empty directory, and see what came of it."""
    folder.mkdir(parents=True)
    (folder / "hostfile").write_text("localhost\n")
    run_dir = folder / "runs"
    # The supervisor tries whether it can make one, and removes it: it would be seen to vanish.
    run_dir.mkdir()
    result = Result(trial)
    reader = _Reader(run_dir, result)
    began = time.monotonic()
    words = (f"--num-batches={BATCHES}", f"--batch-size={BATCH_SIZE}", f"--job-size={JOB_SIZE}")
    limits = (
        f"--lease={LEASE_S:g}",
        f"--job-timeout={JOB_TIMEOUT_S:g}",
        f"--start-timeout={START_TIMEOUT_S:g}",
        f"--run-dir={run_dir}",
    )
    command = [*_campaign(HALF_BY_HALF), *words, *limits]
    reader.start()
    try:
        started = _supervise(folder, *command)
        with _known(psutil.Process(started.pid)) as processes:
            victim = _strike(trial, started, run_dir)
            result.hit = victim is not None
            if victim is not None and trial.blow is Blow.PAUSE:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    # Not beyond the end: it may be what we wait for.
                    started.wait(trial.pause_s)
                with contextlib.suppress(psutil.Error):
                    victim.resume()
            code = _wait(started, result)
            if victim is not None and trial.blow is Blow.STOP:
                with contextlib.suppress(psutil.Error):
                    victim.resume()
            _see_all_leave(processes, result)
        died = code == -signal.SIGKILL and trial.victim is Victim.SUPERVISOR
        runs = _begun(run_dir)
        if code == EXIT_CUT_SHORT or died:
            result.reruns += 1
            rerun = ("rerun", runs[0].name, f"--run-dir={run_dir}") if runs else command
            again = _supervise(folder, *rerun)
            with _known(psutil.Process(again.pid)) as processes:
                code = _wait(again, result)
                _see_all_leave(processes, result)
        if code:
            result.problems.append(f"exit code {code}")
        runs = _begun(run_dir)
        if len(runs) == 1:
            resumed = journal.read_entries(runs[0] / "journal.jsonl")
            resumptions = sum(isinstance(entry, journal.Resumed) for entry in resumed)
            result.restarts = max(resumptions - result.reruns, 0)
            result.problems += _verify(runs[0])
        else:
            result.problems.append(f"there are {len(runs)} runs")
    except (OSError, HvmpiError, ValueError) as error:
        result.problems.append(f"{type(error).__name__}: {error}")
    finally:
        reader.over.set()
        reader.join()
    result.wall_s = time.monotonic() - began
    return result


def _begun(run_dir: Path) -> list[Path]:
    """List the runs whose plan was written: in others there is nothing that could be lost."""
    return [
        path.parent for path in sorted(run_dir.glob("*/journal.jsonl")) if journal.is_planned(path)
    ]


def _wait(started: subprocess.Popen[bytes], result: Result) -> int:
    try:
        return started.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        result.problems.append(f"it went on for more than {LIMIT_S:g} s")
        started.kill()
        return started.wait()


def _see_all_leave(processes: set[psutil.Process], result: Result) -> None:
    """Wait for the end of all that belonged to a campaign."""
    if _until(lambda: not _alive(processes), LEAVE_S, pause=0.05):
        return
    for process in _alive(processes):
        with contextlib.suppress(psutil.Error):
            what = " ".join(process.cmdline())[:120]
            result.problems.append(f"process {process.pid} was left ({process.status()}): {what}")
            process.kill()


# Crashes


@dataclass(frozen=True, slots=True)
class Crashes:
    """How a campaign of jobs went that crash and hang.

    Attributes
    ----------
    jobs, crashed, hung : int
        Jobs of the reconstruction, and attempts of them that were to end so.
    attempts : int
        Those that were made.
    most : int
        Attempts of the job that had the most.
    wall_s : float
    problems : tuple of str
    """

    jobs: int
    crashed: int
    hung: int
    attempts: int
    most: int
    wall_s: float
    problems: tuple[str, ...]


def _doom(seed: int, job: int, attempt: int) -> str:
    """Say what befalls an attempt: the line of a script, or nothing."""
    digest = hashlib.sha256(f"{seed} {job} {attempt}".encode()).digest()
    share = int.from_bytes(digest[:8]) / 2**64
    if share < 0.001:
        return HANG
    return CRASHES[digest[8] % len(CRASHES)] if share < 0.011 else ""


def _was_given_back(attempt: Any) -> bool:
    """Tell whether an attempt waited behind another, and went to an idle rank before it began."""
    return bool(attempt["outcome"] == "interrupted" and attempt["wall_s"] == 0.0)


def crash(jobs: int, seed: int, folder: Path) -> Crashes:
    """Run a campaign of which 1 % of the attempts crash and 0.1 % hang."""
    folder.mkdir(parents=True)
    (folder / "hostfile").write_text("localhost\n")
    doomed = folder / "doomed"
    doomed.mkdir()
    batches = max(jobs // 1000, 1)
    words = (f"--num-batches={batches}", f"--batch-size={jobs // batches}", "--job-size=1")
    limits = (f"--job-timeout={JOB_TIMEOUT_S:g}", "--max-attempts=6", f"--run-dir={folder}/runs")
    # A second attempt of what hangs would end before its time is over.
    limits = (*limits, "--no-duplicates")
    expected: dict[tuple[int, int], str] = {}
    # With those that make the event files, and join the training files.
    for job in range(jobs + batches + 1):
        for attempt in itertools.count(1):
            if not (doom := _doom(seed, job, attempt)):
                break
            (doomed / f"{job}.{attempt}").write_text(f"{doom}\n")
            expected[job, attempt] = "timed_out" if doom == HANG else "payload_failed"
    began = time.monotonic()
    started = _supervise(folder, *_campaign(AS_DOOMED, str(doomed)), *words, *limits)
    code = started.wait()
    wall_s = time.monotonic() - began
    (run,) = (folder / "runs").iterdir()
    status = read_status(run)
    # Only the jobs of the reconstruction run the command that can crash.
    doomable = set(status.jobs["job"][status.jobs["kind"] == "reconstruction"].tolist())
    problems = [f"exit code {code}"] * bool(code)
    outcomes: dict[int, list[str]] = {job: [] for job in doomable}
    for row in status.attempts:
        job, outcome = int(row["job"]), str(row["outcome"])
        if job not in doomable or _was_given_back(row):
            continue
        outcomes[job].append(outcome)
        wanted = expected.get((job, int(row["attempt"])), "done")
        if outcome != wanted:
            problems.append(f"job {job} attempt {row['attempt']}: {outcome}, expected {wanted}")
    not_done = int((status.jobs["state"] != "done").sum())
    problems += [f"{not_done} jobs are not done"] * bool(not_done)
    ended = [outcome for attempts in outcomes.values() for outcome in attempts]
    return Crashes(
        jobs=len(doomable),
        crashed=ended.count("payload_failed"),
        hung=ended.count("timed_out"),
        attempts=len(ended),
        most=max(map(len, outcomes.values())),
        wall_s=wall_s,
        problems=tuple(problems + _verify(run)),
    )


# What is printed


def _table(results: Sequence[Result]) -> Iterator[str]:
    yield (
        f"{'victim':<15}{'what':<18}{'runs':>5}{'hit':>5}{'rerun':>6}{'restarts':>9}"
        f"{'verified':>9}{'median s':>9}{'worst s':>8}{'opens':>8}{'errors':>7}{'oldest s':>9}"
    )
    groups = [
        (
            victim.value,
            blow.value,
            [r for r in results if r.trial.victim is victim if r.trial.blow is blow],
        )
        for victim in Victim
        for blow in Blow
    ]
    for victim_name, blow_name, group in [*groups, ("all", "", list(results))]:
        if group:
            walls = [one.wall_s for one in group]
            yield (
                f"{victim_name:<15}{blow_name:<18}{len(group):>5}{sum(r.hit for r in group):>5}"
                f"{sum(r.reruns for r in group):>6}{sum(r.restarts for r in group):>9}"
                f"{sum(not r.problems for r in group):>9}{statistics.median(walls):>9.1f}"
                f"{max(walls):>8.1f}{sum(r.opens for r in group):>8}"
                f"{sum(r.errors for r in group):>7}{max(r.oldest_s for r in group):>9.1f}"
            )


def _run_all(numbers: Sequence[int], seed: int, at_once: int, root: Path) -> int:
    def one(number: int) -> Result:
        trial = draw(seed, number)
        result = run_trial(trial, root / f"{number:04d}")
        when = f"{trial.after_s:.2f} s" + " of the start" * trial.early
        what = f"run {number}: {trial.victim.value} {trial.blow.value} after {when}"
        ended = "; ".join(result.problems) or ("verified" if result.hit else "verified, not hit")
        print(f"{what}: {ended} ({result.wall_s:.1f} s)", file=sys.stderr, flush=True)
        if not result.problems:
            shutil.rmtree(root / f"{number:04d}", ignore_errors=True)
        return result

    with ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(one, numbers))
    print("\n".join(_table(results)))
    failed = [result.trial.number for result in results if result.problems or result.errors]
    for number in failed:
        print(
            f"run {number} failed; it is in {root / f'{number:04d}'}; repeat it: "
            f"python benchmarks/chaos.py --seed {seed} --only {number}"
        )
    return 1 if failed else 0


def _crash(jobs: int, seed: int, root: Path) -> int:
    crashes = crash(jobs, seed, root / "crashes")
    print(
        f"{crashes.jobs} jobs in {crashes.wall_s:.1f} s ({crashes.jobs / crashes.wall_s:.0f}/s): "
        f"{crashes.crashed} attempts crashed, {crashes.hung} hung, {crashes.attempts} attempts, "
        f"at most {crashes.most} of a job"
    )
    for problem in crashes.problems[:20]:
        print(f"failed: {problem}")
    print("as expected" if not crashes.problems else f"it is in {root / 'crashes'}")
    return 1 if crashes.problems else 0


def main(argv: Sequence[str]) -> int:
    """Run what is asked for; returns 1 if anything was lost, made twice or left."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="N", help="repeat this one run")
    parser.add_argument("--at-once", type=int, default=1, help="runs at the same time")
    parser.add_argument("--crashes", action="store_true", help="jobs that crash and hang instead")
    parser.add_argument("--jobs", type=int, default=10_000, help="of --crashes")
    parser.add_argument("--keep", type=Path, help="work here; what failed stays (default: /tmp)")
    given = parser.parse_args(argv)
    root = Path(tempfile.mkdtemp(prefix="hvmpi-chaos-", dir=given.keep))
    if given.crashes:
        code = _crash(given.jobs, given.seed, root)
    else:
        numbers = range(given.runs) if given.only is None else [given.only]
        code = _run_all(numbers, given.seed, given.at_once, root)
    if not code:
        shutil.rmtree(root)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
