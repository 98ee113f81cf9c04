"""The mpirun that starts the ranks: whose it is, and how each family wants to be asked."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hvmpi.errors import SetupError
from hvmpi.hosts import Host, is_this_machine, read_hostfile, usable_cores

__all__ = ["Launcher", "are_here_only", "count_ranks", "find_launcher"]


@dataclass(frozen=True, slots=True)
class Launcher:
    """An mpirun.

    Parameters
    ----------
    path : Path
    family : str
        ``openmpi`` or ``hydra`` (MPICH and those built on it).
    survives : bool
        Whether a job can outlive its ranks: ULFM, in Open MPI from 5.0 on.
    """

    path: Path
    family: str
    survives: bool = False

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
            if self.survives:
                command += ["--with-ft", "ulfm"]
            for name in names:
                command += ["-x", name]
        else:
            command += ["-bind-to", "none", "-genvall"]
        return [*command, sys.executable, "-P", "-m", "hvmpi", *argv]

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Make the environment of this mpirun.

        A site's leads mpi4py to the library of that MPI. Left alone, mpi4py takes the first that
        it finds, the wheel's before all: every rank would then be rank 0 of 1.
        """
        if agent := environ.get("HVMPI_SSH"):
            variable = {"openmpi": "PRTE_MCA_plm_ssh_agent", "hydra": "HYDRA_LAUNCHER_EXEC"}
            environ = {variable[self.family]: agent, **environ}
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
    def hostfile(self, path: Path | None, hosts: Sequence[Host]) -> Iterator[Path]:
        """Give a host file in this mpirun's own form: `path`, or one that is there meanwhile.

        Parameters
        ----------
        path : Path or None
        hosts : sequence of Host
            Those that are to be used.

        Notes
        -----
        Open MPI 5 takes ``NAME:SLOTS`` for a name, Hydra knows no ``slots=`` and no comments.
        """
        if path is not None and self._reads(path) and tuple(hosts) == read_hostfile(path):
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

    def _reads(self, path: Path) -> bool:
        lines = [line.partition("#")[0] for line in path.read_text().splitlines()]
        return self.family == "openmpi" and not any(":" in line for line in lines)

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
        version = re.search(r"Open MPI\) (\d+)", says)
        return Launcher(path, "openmpi", survives=version is not None and int(version[1]) >= 5)
    if "HYDRA" in says or "Intel(R) MPI" in says:
        return Launcher(path, "hydra")
    msg = f"{str(path)!r} is neither Open MPI's nor Hydra's (MPICH); put another first in PATH"
    raise SetupError(msg)


def are_here_only(hosts: Sequence[Host]) -> bool:
    """Tell whether all hosts are this machine."""
    return all(is_this_machine(name) for name in {host.name for host in hosts})


def count_ranks(hosts: Sequence[Host], *, allocated: bool = False) -> int | None:
    """Count the ranks to start: on this machine alone one more than its usable cores.

    The master sleeps while the workers' payloads compute, so it needs no core of its own.

    Parameters
    ----------
    hosts : sequence of Host
    allocated : bool
        Whether a batch system gave them: then one more than the tasks that were asked for.

    Returns
    -------
    int or None
        One a slot where machines are listed; None if some line leaves its slots to mpirun.
    """
    slots = [host.slots for host in hosts if host.slots is not None]
    if allocated:
        return sum(slots) + 1
    if are_here_only(hosts):
        return usable_cores() + 1
    return sum(slots) if len(slots) == len(hosts) else None
