"""Starts a campaign under mpirun, and answers for how it ended.

``./run_chain.sh`` hands over to ``python -m hvmpi.supervisor``. Verbs that only look, and a single
rank, run without mpirun. The exit code is the journal's: mpirun's own proves nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil

from hvmpi.campaign.journal import find_completion, find_launch
from hvmpi.cli import NEEDS_MPI, find_verb
from hvmpi.conductor import refuse_early
from hvmpi.errors import HvmpiError, SetupError, UsageError
from hvmpi.hosts import Host, is_this_machine, read_hostfile, usable_cores
from hvmpi.settings import load
from hvmpi.view.status import show_status

__all__ = ["Launcher", "count_ranks", "find_launcher", "main", "run_mpirun"]

CHECKOUT = Path(__file__).resolve().parent.parent
DEMO = ("-c", str(CHECKOUT / "configs" / "demo.toml"))
LAUNCH_ID = "HVMPI_LAUNCH_ID"

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
ASK_RANKS = signal.SIGUSR1
"""What every mpirun hands on to the ranks as it is. Open MPI 5 makes of the others SIGTERM and,
0.2 s later, SIGKILL: too short to end payloads and to write the journal."""
PATIENCE_S = 20.0
"""How long ranks may take to stop before mpirun is told to end them, and then is killed."""

EXIT_CUT_SHORT = 3
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Launcher:
    """An mpirun.

    Parameters
    ----------
    path : Path
    family : str
        ``openmpi`` or ``hydra`` (MPICH and those built on it).
    """

    path: Path
    family: str

    def command(
        self, hostfile: Path, ranks: int | None, argv: Sequence[str], names: Sequence[str] = ()
    ) -> list[str]:
        """Build the command that starts hvmpi on ranks.

        Parameters
        ----------
        hostfile : Path
            In the form that this mpirun reads: see `hostfile`.
        ranks : int or None
            None leaves it to mpirun: one a slot.
        argv : sequence of str
            The arguments of hvmpi.
        names : sequence of str
            Variables of the environment that ranks on other machines need too.
        """
        command = [str(self.path), "-hostfile", str(hostfile)]
        if ranks is not None:
            command += ["-n", str(ranks)]
        if self.family == "openmpi":
            # Bound ranks bind their payloads: a threaded one would run on one core.
            command += ["--bind-to", "none", "--oversubscribe"]
            for name in names:
                command += ["-x", name]
        else:
            command += ["-bind-to", "none", "-genvall"]
        return [*command, sys.executable, "-P", "-m", "hvmpi", *argv]

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Make the environment of a site's mpirun: mpi4py is led to the library of that MPI.

        Left alone, mpi4py takes the first library that it finds, the wheel's before all: every
        rank would then be rank 0 of 1.
        """
        prefix = self.path.resolve().parent.parent
        named = "MPI4PY_LIBMPI" in environ or "MPI4PY_MPIABI" in environ
        if named or prefix == Path(sys.prefix).resolve():
            return dict(environ)
        names = {"openmpi": ["libmpi.so.40"], "hydra": ["libmpi.so.12", "libmpich.so.12"]}
        libraries = [
            str(path)
            for folder in ("lib", "lib64")
            for name in names[self.family]
            if (path := prefix / folder / name).exists()
        ]
        return {**environ, "MPI4PY_LIBMPI": os.pathsep.join([*libraries, *names[self.family]])}

    @contextlib.contextmanager
    def hostfile(self, path: Path, hosts: Sequence[Host]) -> Iterator[Path]:
        """Give a host file in this mpirun's own form: `path`, or one that is there meanwhile.

        Open MPI 5 takes ``NAME:SLOTS`` for a name, Hydra knows no ``slots=`` and no comments.
        """
        lines = [line.partition("#")[0] for line in path.read_text().splitlines()]
        if self.family == "openmpi" and not any(":" in line for line in lines):
            yield path.absolute()
            return
        with tempfile.NamedTemporaryFile("w", prefix="hvmpi-hostfile-") as translated:
            translated.writelines(map(self._line, hosts))
            translated.flush()
            yield Path(translated.name)

    def check(self, hosts: Sequence[Host]) -> None:
        """Raise `SetupError` where this mpirun cannot reach the hosts.

        Open MPI 5 sends its own path to other machines unquoted, in a line for their shell.
        """
        others = [host.name for host in hosts if not is_this_machine(host.name)]
        prefix = str(self.path.parent.parent)
        if self.family == "openmpi" and others and set(prefix) & set(" \t'\"$;&()"):
            msg = (
                f"Open MPI cannot start ranks on {others[0]!r} from {prefix!r}: its path holds a "
                "space or a sign of the shell; move it to a plainer one"
            )
            raise SetupError(msg)

    def _line(self, host: Host) -> str:
        if self.family == "hydra":
            return f"{host.name}:{host.slots or 1}\n"
        return f"{host.name} slots={host.slots}\n" if host.slots else f"{host.name}\n"


def find_launcher(environ: Mapping[str, str]) -> Launcher:
    """Find mpirun: the wheel's beside this Python, or the site's if ``HVMPI_MPI=system``.

    Raises
    ------
    SetupError
        If there is none, or one that is neither Open MPI nor built on Hydra.
    """
    own = Path(sys.prefix) / "bin"
    if environ.get("HVMPI_MPI") == "system":
        folders = [
            folder
            for folder in environ.get("PATH", os.defpath).split(os.pathsep)
            if folder and Path(folder).resolve() != own.resolve()
        ]
        found = shutil.which("mpirun", path=os.pathsep.join(folders))
        if found is None:
            msg = "HVMPI_MPI=system, but there is no mpirun in PATH; load the site's MPI first"
            raise SetupError(msg)
    else:
        found = shutil.which("mpirun", path=str(own))
        if found is None:
            msg = (
                f"there is no mpirun in {str(own)!r}; run ./run_chain.sh, which installs one, "
                "or set HVMPI_MPI=system for the site's"
            )
            raise SetupError(msg)
    path = Path(found).absolute()
    try:
        shown = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"{str(path)!r} does not run ({error}); see what `mpirun --version` says"
        raise SetupError(msg) from error
    says = shown.stdout + shown.stderr
    if "Open MPI" in says:
        return Launcher(path, "openmpi")
    if "HYDRA" in says or "Intel(R) MPI" in says:
        return Launcher(path, "hydra")
    msg = f"{str(path)!r} is neither Open MPI's nor Hydra's (MPICH); put another first in PATH"
    raise SetupError(msg)


def _is_here_only(hosts: Sequence[Host]) -> bool:
    return all(is_this_machine(name) for name in {host.name for host in hosts})


def count_ranks(hosts: Sequence[Host]) -> int | None:
    """Count the ranks to start: on this machine alone one more than its usable cores.

    The master sleeps while the workers' payloads compute, so it needs no core of its own.

    Returns
    -------
    int or None
        One a slot where machines are listed; None if some line leaves its slots to mpirun.
    """
    if _is_here_only(hosts):
        return usable_cores() + 1
    slots = [host.slots for host in hosts if host.slots is not None]
    return sum(slots) if len(slots) == len(hosts) else None


@dataclass(frozen=True, slots=True)
class _Launch:
    """The options of run_chain.sh itself, and the arguments of hvmpi."""

    ranks: int | None
    hostfile: Path
    argv: tuple[str, ...]


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
    return _Launch(ranks, own.hostfile or CHECKOUT / "hostfile", tuple(rest or DEMO))


class _Relay:
    """Hands the signals that come here on to mpirun, and sees that it obeys."""

    def __init__(self) -> None:
        self._mpirun: subprocess.Popen[bytes] | None = None
        self.asked: list[float] = []

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self._stop()

    def watch(self, mpirun: subprocess.Popen[bytes]) -> int:
        """Wait for mpirun, with the patience that there is."""
        self._mpirun = mpirun
        if self.asked:
            mpirun.send_signal(ASK_RANKS)
        while True:
            try:
                return mpirun.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                if self.asked and time.monotonic() - self.asked[-1] > PATIENCE_S:
                    self._stop()

    def _stop(self) -> None:
        self.asked.append(time.monotonic())
        if self._mpirun is None:
            return
        if len(self.asked) == 1:
            self._mpirun.send_signal(ASK_RANKS)
        elif len(self.asked) == 2:
            self._mpirun.terminate()
        else:
            _kill_tree(self._mpirun)


@contextlib.contextmanager
def _handled(relay: _Relay) -> Iterator[None]:
    before = {number: signal.signal(number, relay) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _kill_tree(mpirun: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(mpirun.pid)
        for process in [family, *family.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def run_mpirun(command: Sequence[str], environ: Mapping[str, str]) -> tuple[int, bool]:
    """Run mpirun to its end.

    A signal to stop reaches the ranks as SIGUSR1. Asked a second time, or after `PATIENCE_S`,
    mpirun is told to end them; a third time, all are killed. mpirun ends too if this process is
    killed.

    Returns
    -------
    int, bool
        mpirun's exit code (negative: the signal that ended it), and whether it was asked to stop.
    """
    relay = _Relay()
    with _handled(relay):
        try:
            # Of a session of its own: a Ctrl-C at the terminal would else come twice.
            mpirun = subprocess.Popen(
                command,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        except OSError as error:
            msg = f"{command[0]!r} cannot be started ({error.strerror})"
            raise SetupError(msg) from error
        try:
            return relay.watch(mpirun), bool(relay.asked)
        finally:
            if mpirun.poll() is None:
                _kill_tree(mpirun)


def _answer(run_dir: Path, launch_id: str, code: int, stopped: bool) -> int:
    """Tell from the journal how a launch ended; show the table that rank 0 could not print."""
    completion = find_completion(run_dir, launch_id)
    if completion is not None:
        return completion.exit_code
    launch = find_launch(run_dir, launch_id)
    if launch is None:
        if stopped:
            _tell("stopped before the run began")
            return EXIT_CUT_SHORT
        _tell(f"mpirun ended with exit code {code} before the run began; see what it says above")
        return code if 0 < code < 256 else 1
    with contextlib.suppress(HvmpiError):  # cut short before its first snapshot
        show_status(launch.directory)
    _tell(
        f"run {launch.timestamp} was cut short (mpirun's exit code {code}); what is done is in "
        f"{str(launch.directory)!r}, and `rerun {launch.timestamp}` does the rest"
    )
    return EXIT_CUT_SHORT


def _tell(sentence: str) -> None:
    print(f"hvmpi: {sentence}", file=sys.stderr, flush=True)


def _become_hvmpi(argv: Sequence[str]) -> NoReturn:
    sys.stdout.flush()
    command = [sys.executable, "-P", "-m", "hvmpi", *argv]
    os.execv(command[0], command)  # noqa: S606 - no shell is what is wanted


def _launch_doctor(launch: _Launch) -> int:
    """Have a rank on each host look at it; here mpirun's exit code is rank 0's."""
    hosts = read_hostfile(launch.hostfile)
    launcher = find_launcher(os.environ)
    launcher.check(hosts)
    environ = launcher.environment(os.environ)
    names = [name for name in environ if name.startswith(("HVMPI_", "MPI4PY_"))]
    with launcher.hostfile(launch.hostfile, hosts) as hostfile:
        ranks = launch.ranks or count_ranks(hosts)
        code, _ = run_mpirun(launcher.command(hostfile, ranks, launch.argv, names), environ)
    return code if code >= 0 else EXIT_CUT_SHORT


def _launch(launch: _Launch) -> int:
    verb = find_verb(launch.argv)
    if {"-h", "--help"} & set(launch.argv):
        print(_parser().format_help(), flush=True)
        _become_hvmpi(launch.argv)
    if verb == "doctor" and not _is_here_only(read_hostfile(launch.hostfile)):
        return _launch_doctor(launch)
    if verb not in NEEDS_MPI or {"-V", "--version"} & set(launch.argv):
        _become_hvmpi(launch.argv)
    named = launch.argv[0] == verb
    settings = load(verb, launch.argv[1:] if named else launch.argv)
    if not (named or settings.config or settings.timestamp) and settings.samples_are_default:
        # Options alone are meant for the demo, not for 100,000 events of the defaults.
        return _launch(replace(launch, argv=(*DEMO, *launch.argv)))
    hosts = read_hostfile(launch.hostfile)
    ranks = launch.ranks or count_ranks(hosts)
    if settings.test or ranks == 1:
        _become_hvmpi(launch.argv)
    refuse_early(settings)
    launcher = find_launcher(os.environ)
    launcher.check(hosts)
    launch_id = uuid.uuid4().hex
    environ = launcher.environment({**os.environ, LAUNCH_ID: launch_id})
    names = [name for name in environ if name.startswith(("HVMPI_", "MPI4PY_"))]
    with launcher.hostfile(launch.hostfile, hosts) as hostfile:
        command = launcher.command(hostfile, ranks, launch.argv, names)
        code, stopped = run_mpirun(command, environ)
    return _answer(Path(settings.run_dir), launch_id, code, stopped)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``./run_chain.sh`` from here on; returns the exit code."""
    try:
        return _launch(_read_arguments(sys.argv[1:] if argv is None else argv))
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
