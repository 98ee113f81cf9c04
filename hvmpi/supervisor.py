"""Starts a campaign under mpirun, again where that is lost, and answers for how it ended.

``./run_chain.sh`` hands over to ``python -m hvmpi.supervisor``. Verbs that only look, and a single
rank, run without mpirun. The exit code is the journal's: mpirun's own proves nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from hvmpi.allocation import find_allocated
from hvmpi.campaign.journal import Completion, find_completion
from hvmpi.campaign.lock import break_lock
from hvmpi.campaign.pulse import Pulse
from hvmpi.campaign.run import LAUNCH_ID, RESTART
from hvmpi.cli import NEEDS_MPI, find_verb
from hvmpi.conductor import refuse_early
from hvmpi.errors import HvmpiError, UsageError
from hvmpi.hosts import Host, find_silent, read_hostfile, remote_shell
from hvmpi.launcher import are_here_only, count_ranks, find_launcher
from hvmpi.master import NO_WORKER
from hvmpi.mpirun import Mpirun
from hvmpi.options import OPTIONS
from hvmpi.ranks import launched_ranks
from hvmpi.report.at_end import report_at_end
from hvmpi.settings import Settings, load
from hvmpi.terminal import TERMINAL, find_terminal
from hvmpi.view.status import show_status
from hvmpi.view.text import say
from hvmpi.wallclock import limit_s

__all__ = ["Supervisor", "main"]

CHECKOUT = Path(__file__).resolve().parent.parent
DEMO = ("-c", str(CHECKOUT / "configs" / "demo.toml"))

EXIT_CUT_SHORT = 3
ENDED_BY_MPIRUN = "the master got SIGTERM"
"""What mpirun without ULFM sends when a rank dies; a stop of ours comes as another signal."""

_LONGEST_PAUSE_S = 60.0
_MOST_FRUITLESS = 8
_MOST_BEFORE = 3
"""The same before the run has begun: what cannot start must not take long to say so."""
_OWN_CODES = (1, 2, 3)
"""What a rank ends with that has said what is wrong."""
_LONG_S = 600.0
"""A start that lasted so long did not come to nothing, even if no job was done in it."""
_TRIAL_BYTES = 1 << 16
_PLANNINGS = 3.0
"""Times as long as here planning may take on rank 0."""
_SILENCE_S = 600.0
"""How long to wait for a host that answers, where none does."""


@dataclass(frozen=True, slots=True)
class _Launch:
    """The options of run_chain.sh itself, and the arguments of hvmpi.

    Parameters
    ----------
    asked_ranks : int or None
    hostfile : Path or None
        None where none was named, or a batch system gave the hosts.
    argv : tuple of str
    hosts : tuple of Host
    """

    asked_ranks: int | None
    hostfile: Path | None
    argv: tuple[str, ...]
    hosts: tuple[Host, ...] = ()

    @property
    def ranks(self) -> int | None:
        """Ranks to start; None leaves it to mpirun."""
        return self.asked_ranks or count_ranks(self.hosts, allocated=self.hostfile is None)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="run_chain.sh", add_help=False, allow_abbrev=False)
    parser.add_argument("--ranks", metavar="N", help="ranks to start; 1 needs no mpirun")
    parser.add_argument("--hostfile", type=Path, metavar="FILE", help="machines to run on")
    return parser


def _read_arguments(argv: Sequence[str]) -> _Launch:
    own, rest = _parser().parse_known_args(list(argv))
    ranks = None
    if own.ranks is not None:
        if not (own.ranks.isascii() and own.ranks.isdigit() and int(own.ranks) > 0):
            msg = f"--ranks {own.ranks}: give a whole number of ranks, 1 or more"
            raise UsageError(msg)
        ranks = int(own.ranks)
    return _Launch(ranks, own.hostfile, tuple(rest or DEMO))


def _with_hosts(launch: _Launch) -> _Launch:
    """Take the hosts of the file that was named, else of the batch job, else of `hostfile`."""
    if launch.hostfile is None and (allocated := find_allocated(os.environ)):
        return replace(launch, hosts=allocated)
    path = launch.hostfile or CHECKOUT / "hostfile"
    return replace(launch, hostfile=path, hosts=read_hostfile(path))


class Supervisor:
    """One campaign, from its first mpirun to its completion record.

    Parameters
    ----------
    launch : _Launch
    settings : Settings
    environ : mapping of str to str
    planned_s : float
        Seconds that planning took here: on rank 0 it takes as long before the run begins.
    """

    def __init__(
        self,
        launch: _Launch,
        settings: Settings,
        environ: Mapping[str, str],
        planned_s: float = 0.0,
    ) -> None:
        self._launch = launch
        self._settings = settings
        self._start_s = settings.start_timeout + _PLANNINGS * planned_s
        self._time_limit = limit_s(settings.time_limit, environ)
        self._hosts = launch.hosts
        self._launcher = find_launcher(environ)
        self._launcher.check(self._hosts)
        self._environ = self._launcher.environment(environ)
        self._environ.pop(RESTART, None)
        # A rank 0 on another machine cannot look at it.
        terminal = find_terminal(environ)
        self._environ[TERMINAL] = terminal.words if terminal else ""
        self._run_dir = Path(settings.run_dir)
        self._directory: Path | None = None
        self._began = time.monotonic()
        self._mpirun = Mpirun()

    def run(self) -> int:
        """Run the campaign to its end; returns the exit code.

        Raises
        ------
        HvmpiError
            If mpirun cannot be started, or the journal cannot be read.
        """
        with self._mpirun:
            return self._run()

    def _run(self) -> int:
        argv, hosts, environ = self._launch.argv, self._hosts, self._environ
        restarts = fruitless = 0
        while True:
            started = time.monotonic()
            pulse, how, code = self._start(argv, hosts, environ)
            completion = find_completion(self._run_dir, pulse.launch) if pulse.begun else None
            if completion is not None and not self._goes_on(completion, pulse):
                return self._finish(completion)
            if self._directory is None and code in _OWN_CODES and not self._some_are_silent():
                return self._give_up(how, code)
            how = completion.reason if completion else how
            came_to_nothing = pulse.jobs_done == 0 and time.monotonic() - started < _LONG_S
            fruitless = fruitless + 1 if came_to_nothing else 0
            why_not = self._why_not_again(restarts, fruitless)
            if why_not is None:
                self._mpirun.pause(min(2.0 ** max(fruitless - 1, 0), _LONGEST_PAUSE_S))
                hosts = self._await_hosts()
                why_not = self._why_not_again(restarts, fruitless)
                if why_not is None and not hosts:
                    why_not = "none of the hosts answers"
            if why_not is not None:
                return self._give_up("; ".join(filter(None, (how, why_not))), code)
            if pulse.holder is not None and self._directory is not None:
                # On another host it may have lost us alone: it stops when it looks at its lock.
                break_lock(self._directory / "lock.json", pulse.holder)
            restarts += 1
            without = _without(self._hosts, hosts)
            which = f"{restarts} of {self._settings.max_restarts}"
            _tell(f"{how}: restart {which}{without}")
            argv = self._again()
            environ = {**self._environ_again(), RESTART: f"restart {which}{without}: {how}"}

    def _finish(self, completion: Completion) -> int:
        """Make the report, if it is wanted; gives the exit code, whatever becomes of that."""
        if self._settings.report:
            cut_short = completion.exit_code == EXIT_CUT_SHORT
            report_at_end(completion.directory, in_a_hurry=cut_short)
        return completion.exit_code

    def _start(
        self, argv: Sequence[str], hosts: Sequence[Host], environ: Mapping[str, str]
    ) -> tuple[Pulse, str, int]:
        """Run one mpirun to its end; give its signs of life, how it ended and its exit code."""
        launch_id = uuid.uuid4().hex
        environ = {**environ, LAUNCH_ID: launch_id}
        timestamp = self._directory.name if self._directory else self._settings.timestamp
        lease = self._settings.lease
        pulse = Pulse(self._run_dir, launch_id, timestamp, lease=lease, start=self._start_s)
        names = _exported(environ)
        with self._launcher.hostfile(self._launch.hostfile, hosts) as hostfile:
            command = self._launcher.command(hostfile, self._ranks(hosts), argv, names)
            code, killed = self._mpirun.run(command, environ, pulse.look)
        pulse.look()
        if pulse.begun:
            self._directory = pulse.directory
        how = f"mpirun was killed, as {killed}" if killed else _how_ended(code)
        return pulse, how, code

    def _ranks(self, hosts: Sequence[Host]) -> int | None:
        """Count the ranks to start on what is left of the hosts, each as full as at first."""
        ranks = self._launch.ranks
        if ranks is None or tuple(hosts) == self._hosts:
            return ranks
        slots = [host.slots for host in self._hosts]
        if None in slots:
            return max(1, math.ceil(ranks * len(hosts) / len(slots)))
        left = sum(host.slots or 0 for host in hosts)
        return max(1, math.ceil(ranks * left / sum(host.slots or 0 for host in self._hosts)))

    @staticmethod
    def _goes_on(completion: Completion, pulse: Pulse) -> bool:
        """Tell whether a master whose workers were lost gave up what others can go on with."""
        reason = completion.reason
        return completion.exit_code == EXIT_CUT_SHORT and (
            reason in (NO_WORKER, ENDED_BY_MPIRUN)
            or (reason.startswith(NO_WORKER) and pulse.jobs_done > 0)
        )

    def _why_not_again(self, restarts: int, fruitless: int) -> str | None:
        """Say why mpirun is not started again; None when it is."""
        if self._mpirun.asked_to_stop:
            return ""
        if restarts >= self._settings.max_restarts:
            return f"max-restarts ({restarts}) is used up" * bool(restarts)
        if fruitless >= (_MOST_FRUITLESS if self._directory else _MOST_BEFORE):
            return f"no job was done in {fruitless} starts"
        if self._directory is not None and (problem := _why_unwritable(self._directory)):
            return problem
        left = self._time_left()
        return "the time-limit is reached" if left is not None and left <= 0 else None

    def _time_left(self) -> float | None:
        limit = self._time_limit
        return None if limit is None else limit - (time.monotonic() - self._began)

    def _await_hosts(self) -> tuple[Host, ...]:
        """Give the hosts that answer; wait for one where none does, but not for ever."""
        deadline = time.monotonic() + _SILENCE_S
        pause = 1.0
        while True:
            answering = self._answering()
            if answering or self._mpirun.asked_to_stop or time.monotonic() > deadline:
                return answering
            self._mpirun.pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _answering(self) -> tuple[Host, ...]:
        silent = find_silent({host.name for host in self._hosts}, remote_shell(self._environ))
        return tuple(host for host in self._hosts if host.name not in silent)

    def _some_are_silent(self) -> bool:
        """Tell whether what did not start may start without hosts that do not answer."""
        return 0 < len(self._answering()) < len(self._hosts)

    def _again(self) -> tuple[str, ...]:
        """Give the arguments that take the run up again, with the settings it was begun with."""
        argv = self._launch.argv
        if not self._settings.timestamp and self._directory is not None:
            argv = ("rerun", self._directory.name, f"--run-dir={self._run_dir}")
        left = self._time_left()
        return argv if left is None else (*argv, f"--time-limit={left:.3f}")

    def _environ_again(self) -> dict[str, str]:
        """Leave to the run's own settings what they were begun with."""
        if self._settings.timestamp:
            return self._environ
        variables = {option.variable for option in OPTIONS}
        return {name: value for name, value in self._environ.items() if name not in variables}

    def _give_up(self, reason: str, code: int) -> int:
        """Say why no more is started, and what to do; of a run that began show the table too."""
        if self._directory is None:
            if self._mpirun.asked_to_stop:
                _tell("stopped before the run began")
                return EXIT_CUT_SHORT
            _tell(f"{reason}, before the run began; see what mpirun says above")
            return code if 0 < code < 256 else 1
        timestamp = self._directory.name
        with contextlib.suppress(HvmpiError):  # cut short before its first snapshot
            show_status(self._directory)
        _tell(
            f"run {timestamp} was cut short ({reason}); what is done is in "
            f"{str(self._directory)!r}, and `rerun {timestamp}` does the rest"
        )
        return EXIT_CUT_SHORT


def _exported(environ: Mapping[str, str]) -> list[str]:
    """List the variables that ranks on other machines need too."""
    return [name for name in environ if name.startswith(("HVMPI_", "MPI4PY_"))]


def _how_ended(code: int) -> str:
    return f"mpirun ended by signal {-code}" if code < 0 else f"mpirun ended with exit code {code}"


def _why_unwritable(directory: Path) -> str:
    """Say why no journal can be written in a run's directory: a full disk, one gone read-only."""
    try:
        with tempfile.TemporaryFile(dir=directory) as trial:
            trial.write(bytes(_TRIAL_BYTES))
            os.fsync(trial.fileno())
    except OSError as error:
        return f"its directory cannot be written ({error.strerror}): make room or mend it first"
    return ""


def _without(hosts: Sequence[Host], answering: Sequence[Host]) -> str:
    there = {host.name for host in answering}
    silent = list(dict.fromkeys(host.name for host in hosts if host.name not in there))
    if not silent:
        return ""
    verb = "does" if len(silent) == 1 else "do"
    return f", without {', '.join(silent)}, which {verb} not answer"


def _tell(sentence: str) -> None:
    say(f"hvmpi: {sentence}", sys.stderr)


def _become_hvmpi(argv: Sequence[str]) -> NoReturn:
    sys.stdout.flush()
    command = [sys.executable, "-P", "-m", "hvmpi", *argv]
    os.execv(command[0], command)  # noqa: S606 - no shell is what is wanted


def _launch_doctor(launch: _Launch) -> int:
    """Have a rank on each host look at it; here mpirun's exit code is rank 0's."""
    launcher = find_launcher(os.environ)
    launcher.check(launch.hosts)
    environ = launcher.environment(os.environ)
    names = _exported(environ)
    with launcher.hostfile(launch.hostfile, launch.hosts) as hostfile, Mpirun() as mpirun:
        command = launcher.command(hostfile, launch.ranks, launch.argv, names)
        code, _ = mpirun.run(command, environ)
    return code if code >= 0 else EXIT_CUT_SHORT


def _start(launch: _Launch) -> int:
    verb = find_verb(launch.argv)
    if {"-h", "--help"} & set(launch.argv):
        print(_parser().format_help(), flush=True)
        _become_hvmpi(launch.argv)
    if verb not in NEEDS_MPI | {"doctor"} or {"-V", "--version"} & set(launch.argv):
        _become_hvmpi(launch.argv)
    if verb == "doctor":
        launch = _with_hosts(launch)
        if are_here_only(launch.hosts):
            _become_hvmpi(launch.argv)
        return _launch_doctor(launch)
    named = launch.argv[0] == verb
    settings = load(verb, launch.argv[1:] if named else launch.argv)
    if not (named or settings.config or settings.timestamp) and settings.samples_are_default:
        # Options alone are meant for the demo, not for 100,000 events of the defaults.
        return _start(replace(launch, argv=(*DEMO, *launch.argv)))
    if settings.test or launched_ranks() > 1:
        # Of a container, say, that another mpirun or srun started once a rank.
        _become_hvmpi(launch.argv)
    launch = _with_hosts(launch)
    if launch.ranks == 1:
        _become_hvmpi(launch.argv)
    began = time.monotonic()
    refuse_early(settings)
    planned_s = time.monotonic() - began
    return Supervisor(launch, settings, os.environ, planned_s).run()


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``./run_chain.sh`` from here on; returns the exit code."""
    try:
        return _start(_read_arguments(sys.argv[1:] if argv is None else argv))
    except HvmpiError as error:
        _tell(f"error: {error}")
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output left; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        _tell("interrupted before the run began")
        return EXIT_CUT_SHORT


if __name__ == "__main__":
    sys.exit(main())
