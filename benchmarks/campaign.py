"""What a campaign takes, end to end, over the same steps in two bare loops; and by job size.

Four things run in turns, over the same 400 signal events:

- the campaign, job size 10: ``mpirun -n 3 python -m hvmpi run``, from nothing to ``train.h5``;
- two plain processes, no MPI, that import once and call the steps of these very jobs one after the
  other, half of the event files each; the first joins the training files when both are done. Their
  products are the campaign's, byte for byte, or the benchmark fails;
- the same two, but each event file in one call, with no jobs of 10 events: the same events in fewer
  files. This is what jobs cost in files opened, geometries looked up, and events looked for;
- the campaign with job size 100.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import BenchmarkError, Figure, Measured, Measurement, at_most
from benchmarks.launching import environment, hvmpi, the_run
from hvmpi.files import sha256_of

TITLE = "a campaign of signal events, end to end, two workers"

WORKERS = 2
RUN_NUMBER = 304795
SEED = 1
PROCESS = "gghss"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a campaign: event files, events in each, events in a job."""

    batches: int
    batch_size: int
    job_size: int


def measure(given: Measurement) -> Measured:
    """Measure campaigns against loops."""
    batches, batch_size = given.size((4, 100), (2, 20))
    jobs = Sizes(batches, batch_size, given.size(10, 5))
    whole = Sizes(batches, batch_size, batch_size)
    events = batches * batch_size
    walls: dict[str, list[float]] = {"campaign": [], "loops": [], "whole": [], "large": []}
    for pair in range(given.pairs):
        place = given.scratch / str(pair)
        runs = {
            "campaign": lambda at=place / "campaign": campaign(at, jobs),
            "loops": lambda at=place / "loops": loops(at, jobs),
            "whole": lambda at=place / "whole": loops(at, whole),
            "large": lambda at=place / "large": campaign(at, whole),
        }
        # Each is first, second... in its turn: none has the cold caches or the warm cores.
        names = list(runs)
        for name in names[pair % 4 :] + names[: pair % 4]:
            walls[name].append(runs[name]())
        _compare(place / "campaign", place / "loops")
        _compare(place / "large", place / "whole")
        shutil.rmtree(place)

    def ratio(ours: str, theirs: str) -> tuple[float, ...]:
        return tuple(a / b for a, b in zip(walls[ours], walls[theirs], strict=True))

    seconds = {name: min(taken) for name, taken in walls.items()}
    return Measured(
        (
            Figure(
                f"campaign of {events} events, job size {jobs.job_size}, wall time",
                "the same steps and products in two bare loops",
                ratio("campaign", "loops"),
                at_most(1.05),
                note=f"fastest: {seconds['campaign']:.1f} s against {seconds['loops']:.1f} s",
            ),
            Figure(
                "the same",
                "two bare loops over whole event files",
                ratio("campaign", "whole"),
                note=f"fastest: {seconds['campaign']:.1f} s against {seconds['whole']:.1f} s",
            ),
            Figure(
                f"the same, job size {jobs.job_size}",
                f"job size {whole.job_size}",
                ratio("campaign", "large"),
                at_most(1.05),
                note=f"fastest: {seconds['campaign']:.1f} s against {seconds['large']:.1f} s",
            ),
        )
    )


def campaign(place: Path, sizes: Sizes) -> float:
    """Run a campaign; give its seconds, start and end of mpirun included."""
    words = [
        "run",
        f"--process={PROCESS}",
        f"--run-number={RUN_NUMBER}",
        f"--num-batches={sizes.batches}",
        f"--batch-size={sizes.batch_size}",
        f"--job-size={sizes.job_size}",
        f"--seed={SEED}",
        "--keep=evnt,aod,train",
        f"--run-dir={place / 'runs'}",
        # On a machine that others use, the loops would have the better part of it.
        "--nice=0",
    ]
    ended = hvmpi(words, place, ranks=WORKERS + 1)
    for product in ("evnt", "aod", "train"):
        (the_run(place / "runs") / product).rename(place / product)
    return ended.wall_s


def loops(place: Path, sizes: Sizes) -> float:
    """Run the same steps in two plain processes; give their seconds."""
    for product in ("evnt", "aod", "train"):
        (place / product).mkdir(parents=True)
    merge = ["merge", str(place / "train"), "-o", str(place / "train" / "train.h5")]
    merge.append(f"--events={sizes.batches * sizes.batch_size}")
    (place / "merge").write_text(json.dumps(merge))
    share = sizes.batches // WORKERS
    lists = []
    for loop in range(WORKERS):
        lists.append(place / f"commands{loop}")
        steps = _steps(place, sizes, range(1 + loop * share, 1 + (loop + 1) * share))
        lists[-1].write_text(json.dumps(steps))
    began = time.perf_counter()
    processes = [_start(path, place) for path in lists]
    ends = [process.stdout.readline().strip() for process in processes]
    for process, word in zip(processes, ["merge", ""], strict=True):
        process.communicate(f"{word}\n")
    wall_s = time.perf_counter() - began
    if ends != ["done"] * WORKERS or any(process.returncode for process in processes):
        said = (place / "said").read_text().strip().splitlines()
        msg = f"a bare loop failed: {' / '.join(said[-3:])}"
        raise BenchmarkError(msg)
    return wall_s


def _start(commands: Path, place: Path) -> subprocess.Popen[str]:
    loop = Path(__file__).with_name("bare_loop.py")
    with (place / "said").open("a") as said:
        return subprocess.Popen(
            [sys.executable, "-P", str(loop), str(commands), str(place / "merge")],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )


def _steps(place: Path, sizes: Sizes, batches: range) -> list[list[str]]:
    """Name the steps that a campaign's jobs have, in its order."""
    steps = []
    for batch in batches:
        stem = f"{RUN_NUMBER}.{sizes.batch_size}.{batch}"
        event_file = place / "evnt" / f"{stem}.evnt.hepmc3"
        sample = [f"--name={PROCESS}", f"--process={PROCESS}", f"--run-number={RUN_NUMBER}"]
        sample += [f"--batch-size={sizes.batch_size}", f"--batch={batch}"]
        steps.append(["generate", *sample, "-o", str(event_file), f"--seed={SEED}"])
        for skip in range(0, sizes.batch_size, sizes.job_size):
            job = f"{stem}.{sizes.job_size}.{skip}"
            steps.append(
                [
                    "chain",
                    str(event_file),
                    f"--skip={skip}",
                    f"--events={sizes.job_size}",
                    f"--run-number={RUN_NUMBER}",
                    f"--input-sha256={{sha256:{event_file}}}",
                    *("-o", str(place / "aod" / f"{job}.aod.h5")),
                    *("--train", str(place / "train" / f"{job}.train.h5")),
                    f"--seed={SEED}",
                ]
            )
    return steps


def _compare(ours: Path, theirs: Path) -> None:
    """Refuse a comparison of what is not the same."""
    for product in ("evnt", "aod", "train"):
        first, second = (
            {path.name: sha256_of(path) for path in (place / product).glob("[!.]*.h*[!n]")}
            for place in (ours, theirs)
        )
        if not first or first != second:
            differ = sorted(dict(first.items() ^ second.items()))
            msg = f"the products differ: {product}: {', '.join(differ[:4]) or 'there are none'}"
            raise BenchmarkError(msg)
