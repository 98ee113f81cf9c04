"""The execution of a step: its directory and files, its payload, and what it leaves for people."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from hvmpi.campaign.paths import AttemptPaths
from hvmpi.engine import Step
from hvmpi.environment import child_environment
from hvmpi.files import write_private
from hvmpi.payload import Payload, PayloadResult
from hvmpi.servers import PayloadServer, Servers

__all__ = ["Execution"]


class Execution:
    """A step under way.

    Parameters
    ----------
    step : Step
    paths : AttemptPaths
        Both directories must be there.
    servers : Servers
        Start it.
    timeout : float
        Seconds until it is ended.
    log : Path, optional
        Gets what it says; the step's own log unless given.
    memory_mb : int, optional
        What its processes may use together until it is ended.
    all_logs : Path, optional
        Directory of all logs, if that of a step that ends well without a word is of no use: making
        and removing it takes longer than starting a process.

    Attributes
    ----------
    lost : OSError or None
        Why something that the step leaves could not be kept.

    Raises
    ------
    OSError
        If its directory or a file cannot be made, or its program cannot be started.
    """

    def __init__(
        self,
        step: Step,
        paths: AttemptPaths,
        *,
        servers: Servers,
        timeout: float,
        log: Path | None = None,
        memory_mb: int | None = None,
        all_logs: Path | None = None,
    ) -> None:
        self._step = step
        self._directory = step.directory or paths.tmp
        self._logs = paths.logs
        self._memory_mb = memory_mb
        self.lost: OSError | None = None
        if step.leaves:
            # A report of an execution before this one must not be taken for its own.
            shutil.rmtree(paths.logs / step.name, ignore_errors=True)
        if step.directory is not None:
            shutil.rmtree(step.directory, ignore_errors=True)
            step.directory.mkdir(mode=0o700, parents=True)
        for path, text in step.files.items():
            write_private(path, text)
        environment = (
            step.environment
            if step.isolated
            else child_environment(paths.tmp, step.environment, servers.inherited)
        )
        warm = step.warm if servers.serves_warm(step.warm) else None
        self._log = log or paths.step_log(step.name)
        server = servers.for_step(warm, environment) if warm else servers.for_programs()
        self._blank = server.blank_log(all_logs) if all_logs else ""
        self._payload = Payload(
            step.argv,
            environment=environment,
            directory=self._directory,
            log=self._log,
            timeout=timeout,
            server=server,
            blank=self._blank,
            memory_mb=memory_mb,
            warm=warm,
        )

    def wakes(self) -> tuple[PayloadServer, ...]:
        """Give what can be read when there is something to `poll` for, where that is known."""
        return self._payload.wakes()

    def poll(self) -> PayloadResult | None:
        """Give the result when it is over and what it leaves is in its place.

        Raises
        ------
        OSError
            If its program could not be started.
        """
        result = self._payload.poll()
        if result is not None:
            if result.lost and self._blank:
                with contextlib.suppress(OSError):
                    self._log.parent.mkdir(0o700, parents=True, exist_ok=True)
                    Path(self._blank).rename(self._log)
            self._keep()
        return result

    def lack_of_memory(self, result: PayloadResult) -> str:
        """Say how memory ended it; empty where something else did."""
        if result.over_mb:
            return (
                f"{self._step.name} used {result.over_mb:.0f} MB, "
                f"job-memory is {self._memory_mb} MB"
            )
        if result.kernel_killed:
            return f"{self._step.name} was killed by the kernel: its host ran out of memory"
        return ""

    def stop(self) -> None:
        """Ask it to end; it is killed if it does not."""
        self._payload.stop()

    def _keep(self) -> None:
        found = {path for pattern in self._step.leaves for path in self._directory.glob(pattern)}
        for path in sorted(found):
            # A link would point to nothing where it is brought, or to what is not the step's.
            if path.is_symlink() or not path.is_file():
                continue
            kept = self._logs / self._step.name / path.relative_to(self._directory)
            try:
                _move(path, kept)
            except OSError as error:
                self.lost = self.lost or error


def _move(path: Path, kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    # Across file systems it is a copy, which could be cut short.
    beside = kept.with_name(f".{kept.name}.part")
    try:
        shutil.move(path, beside)
        beside.replace(kept)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
