"""``job``: one job by hand, without MPI and without a run."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hvmpi.campaign.event_files import look_at
from hvmpi.campaign.jobs import Job, Kind, Outcome
from hvmpi.campaign.paths import AttemptPaths
from hvmpi.engine import Engine, Inputs, StepOutput, make_engine
from hvmpi.errors import InputError, RunError, SetupError, StoppedError, UsageError
from hvmpi.execution import Execution
from hvmpi.files import publish_mode, rename_beside, sync_directory, sync_file
from hvmpi.guardian import Guardian
from hvmpi.memory import job_memory
from hvmpi.payload import PayloadResult
from hvmpi.servers import Servers
from hvmpi.settings import Settings, load
from hvmpi.verbs.arguments import VerbParser

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    parser = VerbParser(
        prog="python -m hvmpi job",
        description="one job by hand; the options of reconstruct are understood too",
        epilog="example: python -m hvmpi job 304795.25.1.evnt.hepmc3 -n 10 --output-dir aod",
        allow_abbrev=False,
    )
    parser.add_argument("evnt", type=Path, metavar="EVNT", help="the event file")
    parser.add_argument("-n", "--num-events", type=int, default=-1, help="-1: all that follow")
    parser.add_argument("-s", "--skip-events", type=int, default=0, help="events to pass over")
    parser.add_argument(
        "--number",
        type=int,
        metavar="JOB",
        help="of the job in the campaign that it is to repeat: seeds of athena depend on it "
        "(default: by the events that are passed over)",
    )
    parser.add_argument("--output-dir", type=Path, default=Path())
    parser.add_argument("--log-file", type=Path, help="gets what the steps say (default: stdout)")
    parser.add_argument("--tmp-dir", type=Path, help="working files go here")
    given, rest = parser.parse_known_args(argv)
    settings = load("reconstruct", rest)
    engine = make_engine(settings)
    missing = engine.preflight()
    if missing:
        raise SetupError("; ".join(missing))
    _check_library(settings, engine)
    job = _job(given, settings, engine)
    if not given.output_dir.is_dir():
        msg = f"output-dir {str(given.output_dir)!r} is no directory"
        raise UsageError(msg)
    _refuse_to_overwrite(job, settings, engine, given.output_dir)
    try:
        # The payload runs in there: a relative path would mean another place to it.
        tmp = Path(tempfile.mkdtemp(prefix="hvmpi-job-", dir=given.tmp_dir)).absolute()
    except OSError as error:
        msg = f"tmp-dir {str(given.tmp_dir)!r} cannot be written ({error.strerror})"
        raise UsageError(msg) from error
    try:
        for path in _run(job, given, settings, engine, tmp):
            print(path)
    except RunError:
        # What a step left for people stays, and the error says where.
        shutil.rmtree(tmp / "work" if any(_left(tmp)) else tmp, ignore_errors=True)
        raise
    except BaseException:
        shutil.rmtree(tmp, ignore_errors=True)
        raise
    shutil.rmtree(tmp, ignore_errors=True)
    return 0


def _job(given: Any, settings: Settings, engine: Engine) -> Job:
    if not given.evnt.is_file():
        msg = f"event file {str(given.evnt)!r} is not there"
        raise InputError(msg)
    found = look_at(given.evnt.absolute(), settings, engine)
    file = found.file
    if file.reason:
        raise InputError(file.reason)
    left = file.events - given.skip_events
    if given.skip_events < 0 or left <= 0:
        msg = f"-s {given.skip_events}: {str(given.evnt)!r} holds {file.events} events"
        raise UsageError(msg)
    if given.num_events == 0 or given.num_events < -1:
        msg = f"-n {given.num_events}: give a number of events, or -1 for all"
        raise UsageError(msg)
    events = left if given.num_events == -1 else min(given.num_events, left)
    if given.number is not None and given.number < 0:
        msg = f"--number {given.number}: jobs are numbered from 0"
        raise UsageError(msg)
    # Pieces of one size of an event file have numbers, and so seeds, of their own.
    own = given.skip_events // events
    return Job(
        number=own if given.number is None else given.number,
        kind=Kind.RECONSTRUCTION,
        attempt=1,
        event_file=file,
        skip_events=given.skip_events,
        first_event=int(found.all_numbers()[given.skip_events]),
        events=events,
        job_size=events,
    )


def _inputs(job: Job, settings: Settings) -> Inputs:
    library = Path(settings.pileup_library) if settings.pileup_library else None
    return Inputs(Path(job.event_file.path), library, training=Path())


def _check_library(settings: Settings, engine: Engine) -> None:
    if settings.makes_library:
        msg = (
            f"a job by hand makes no minimum-bias library: with --pileup-mu {settings.pileup_mu:g} "
            "name one with --pileup-library"
        )
        raise UsageError(msg)
    if settings.pileup_library:
        engine.check_library(Path(settings.pileup_library), settings.pileup_mu)


def _refuse_to_overwrite(job: Job, settings: Settings, engine: Engine, directory: Path) -> None:
    nowhere = AttemptPaths(logs=Path(), tmp=Path())
    for step in engine.steps(job, _inputs(job, settings), nowhere):
        for output in step.outputs:
            final = _final(output, directory)
            if output.product in settings.keep and final.exists():
                msg = f"{str(final)!r} is there already; name another --output-dir"
                raise UsageError(msg)


def _run(job: Job, given: Any, settings: Settings, engine: Engine, tmp: Path) -> list[Path]:
    paths = AttemptPaths(logs=tmp / "logs", tmp=tmp / "work")
    paths.logs.mkdir()
    paths.tmp.mkdir()
    deadline = time.monotonic() + settings.job_timeout
    guardian = Guardian()
    # One job has nothing to gain from libraries that stay loaded.
    servers = Servers(guardian, nice=settings.nice, cold=True)
    outputs: list[StepOutput] = []
    try:
        for step in engine.steps(job, _inputs(job, settings), paths):
            log = given.log_file.absolute() if given.log_file else paths.step_log(step.name)
            try:
                execution = Execution(
                    step,
                    paths,
                    servers=servers,
                    timeout=max(deadline - time.monotonic(), 0.0),
                    log=log,
                    memory_mb=job_memory(settings),
                )
                result = _result(execution)
            except OSError as error:
                msg = f"{step.name} cannot be started ({error.strerror}: {error.filename})"
                raise SetupError(msg) from error
            if given.log_file is None:
                print(log.read_text(errors="replace"), end="")
            if result.stopped:
                msg = f"job {job.stem} was interrupted in {step.name}"
                raise StoppedError(msg)
            verdict = engine.check(job, step, result.exit_code)
            lack = execution.lack_of_memory(result)
            if result.lost:
                msg = f"job {job.stem} failed: the process that started {step.name} was killed"
                raise RunError(msg)
            ended = result.timed_out or lack
            if ended or verdict.outcome is not Outcome.DONE:
                late = "it took longer than job-timeout" if result.timed_out else ""
                why = late or lack or verdict.reason
                see = [log] if given.log_file else []
                see += [paths.logs / verdict.where] if any(_left(tmp)) else []
                msg = f"job {job.stem} failed: {why}" + "".join(f"; see {path}" for path in see)
                raise RunError(msg)
            outputs += step.outputs if verdict.outputs is None else verdict.outputs
    finally:
        servers.dismiss()
        guardian.dismiss()
    # Not before the last step: what one makes another may read.
    return [_publish(o, given.output_dir) for o in outputs if o.product in settings.keep]


def _left(tmp: Path) -> list[Path]:
    """List the folders of what steps left for people."""
    return [path for path in (tmp / "logs").iterdir() if path.is_dir()]


def _result(execution: Execution) -> PayloadResult:
    before = signal.signal(signal.SIGTERM, lambda *_: execution.stop())
    try:
        while (result := execution.poll()) is None:
            time.sleep(0.02)
    except KeyboardInterrupt:
        execution.stop()
        while execution.poll() is None:
            time.sleep(0.02)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    return result


def _final(output: StepOutput, directory: Path) -> Path:
    return directory / (output.name or output.path.name)


def _publish(output: StepOutput, directory: Path) -> Path:
    final = _final(output, directory)
    part = directory / f".{final.name}.part"
    shutil.move(output.path, part)
    sync_file(part)
    part.chmod(publish_mode())
    rename_beside(part, final)
    sync_directory(directory)
    return final
