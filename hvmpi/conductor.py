"""Makes a campaign out of settings: rank 0 plans and masters it, all other ranks work."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from hvmpi import worker
from hvmpi.campaign.plan import make_plan
from hvmpi.campaign.replay import replay
from hvmpi.campaign.run import LAUNCH_ID, Run, begin_run, paths_of, refuse_places, resume_run
from hvmpi.channel import MpiChannel, dismiss, local_pair
from hvmpi.engine import Engine, make_engine
from hvmpi.errors import SetupError
from hvmpi.hosts import usable_cores
from hvmpi.master import NO_WORKER, serve
from hvmpi.ranks import leave, leave_some_behind, world
from hvmpi.report.at_end import report_at_end
from hvmpi.settings import Settings, load
from hvmpi.view.failures import hosts_left_out
from hvmpi.view.plan import show_plan, show_rest
from hvmpi.view.progress import show_progress
from hvmpi.view.status import show_status
from hvmpi.view.text import flush, say_if_heard

__all__ = ["conduct", "refuse_early"]

EXIT_CUT_SHORT = 3


def conduct(verb: str, argv: Sequence[str]) -> int:
    """Carry out a verb of `hvmpi.settings.CAMPAIGN_VERBS` on this rank.

    Returns
    -------
    int
        The exit code: rank 0's counts.
    """
    comm = world()
    channel = MpiChannel(comm) if comm is not None else None
    if channel is not None and channel.rank != 0:
        if not worker.serve(channel):
            # Without the master MPI_Finalize would wait for ever.
            leave(EXIT_CUT_SHORT)
        return 0
    try:
        settings = load(verb, argv)
        engine = make_engine(settings)
        run = _prepare(settings, engine, channel)
        if run is not None:
            return _master(run, channel)
    except BaseException:
        if channel is not None:
            dismiss(channel, "there is nothing to do")
        raise
    if channel is not None:
        dismiss(channel, "there is nothing to do")
    return 0


def _prepare(settings: Settings, engine: Engine, channel: MpiChannel | None) -> Run | None:
    """Plan and begin a run, or take one up again; None when only the plan was asked for."""
    for notice in (*settings.notices, *engine.notices):
        _say(notice)
    if settings.timestamp and not settings.test:
        _check_preflight(engine)
        return resume_run(settings, engine)
    if settings.timestamp:
        paths = paths_of(Path(settings.run_dir) / settings.timestamp, settings)
        show_rest(replay(paths.journal), paths, settings, engine)
        return None
    workers = 1 if channel is None else max(channel.size - 1, 1)
    if settings.test and channel is None:
        workers = usable_cores()
    plan = make_plan(settings, engine, workers)
    if settings.test:
        if settings.job_size == "auto":
            _say(f"job-size auto: jobs as for {workers} workers; mpirun tells how many there are")
        show_plan(plan, settings, engine)
        return None
    _check_preflight(engine)
    return begin_run(settings, engine, plan)


def _check_preflight(engine: Engine) -> None:
    missing = engine.preflight()
    if missing:
        raise SetupError("; ".join(missing))


def _master(run: Run, channel: MpiChannel | None) -> int:
    _greet(run)
    try:
        with show_progress(run.settings.progress, run) as progress:
            if channel is None:
                ours, theirs = local_pair()
                ending = serve(run, ours, progress, worker.Worker(theirs))
            else:
                ending = serve(run, channel, progress)
    finally:
        run.close()
    # The campaign is over, whether or not somebody still reads what is said of it.
    with contextlib.suppress(OSError):
        show_status(run.paths.directory)
    _say_why_deserted(run)
    # Under the supervisor it is made when the ranks have left, which are not to wait for it.
    if run.settings.report and not os.environ.get(LAUNCH_ID):
        report_at_end(run.paths.directory, in_a_hurry=ending.exit_code == EXIT_CUT_SHORT)
    flush()
    if channel is None:
        return ending.exit_code
    # Under the supervisor the completion record answers, and mpirun has nothing to complain of.
    code = 0 if os.environ.get(LAUNCH_ID) else ending.exit_code
    if ending.left_behind:
        leave_some_behind(code)
    return code


def _greet(run: Run) -> None:
    broken = run.lock.broken
    if broken is not None:
        _say(f"the lock of process {broken.pid} on {broken.host}, which is no more, was broken")
    for file in run.ledger.event_files:
        if file.reason:
            _say(f"put aside: {file.reason}")
    if run.settings.time_limit == "auto" and run.time_limit_s is None:
        _say("time-limit auto: no batch system sets an end to this, so there is none")
    done = len(run.ledger.jobs) - run.ledger.unfinished
    before = f", {done} of them done before" if done else ""
    _say(
        f"run {run.paths.timestamp}: {len(run.ledger.jobs)} jobs{before}, in {run.paths.directory}"
    )


def _say_why_deserted(run: Run) -> None:
    """Say in one sentence what to do where the run ended because no worker was left."""
    ledger = run.ledger
    if ledger.ended is None or not ledger.ended.reason.startswith(NO_WORKER):
        return
    if len(ledger.left_out) < len(run.left_out) or not ledger.left_out:
        _say(f"{ledger.ended.reason}; what is not done is left for a rerun")
        return
    why = "; ".join(hosts_left_out((rank.host, rank.reason) for rank in ledger.left_out))
    config = ["-c", run.settings.config] if run.settings.config else []
    doctor = shlex.join(["python", "-m", "hvmpi", "doctor", *config])
    _say(f"no host is fit: {why}; {doctor} looks at them without running anything")


def _say(line: str) -> None:
    say_if_heard(f"hvmpi: {line}")


def refuse_early(settings: Settings) -> None:
    """Raise what would be refused later, before ranks are started.

    Raises
    ------
    HvmpiError
        If the campaign cannot be planned, something is not installed, or the run is in progress.
    """
    engine = make_engine(settings)
    _check_preflight(engine)
    if not settings.timestamp:
        make_plan(settings, engine)
    refuse_places(settings, engine)
