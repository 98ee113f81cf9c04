"""Job reports of transforms: what ``jobReport.json`` says of a step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

__all__ = ["LEVELS", "Executor", "JobReport", "LoggedError", "ReportedFiles", "read_report"]

LEVELS = ("CATASTROPHE", "FATAL", "CRITICAL", "ERROR")
"""Levels of log messages that tell of a failure, the worst first."""

_LARGEST = 256 * 1024 * 1024
# JSON may hold whole numbers that no float can, infinities and nan.
_HUGE = 1e300


@dataclass(frozen=True, slots=True)
class LoggedError:
    """One entry of an executor's account of its log.

    Attributes
    ----------
    level : str
        One of `LEVELS`.
    message : str
    first_line : int
        Line of ``log.SUBSTEP``, counted from 1; 0 where it is not known.
    """

    level: str
    message: str
    first_line: int = 0


@dataclass(frozen=True, slots=True)
class Executor:
    """What the report says of one substep.

    Attributes
    ----------
    name : str
        Its log is ``log.NAME``.
    rc : int or None
        Exit code of athena, 128 and the signal where it was killed; None where it did not run.
    status_ok : bool or None
    error_message : str
    substep : str
        The short name that arguments go by: ``s``, ``RAWtoALL``...
    errors : tuple of LoggedError
        The worst first, then in the order of the log.
    """

    name: str
    rc: int | None = None
    status_ok: bool | None = None
    error_message: str = ""
    substep: str = ""
    errors: tuple[LoggedError, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportedFiles:
    """The files of one argument.

    Attributes
    ----------
    type : str
        ``HITS``, ``AOD``, ``DAOD_PHYS``...; empty where the report does not say.
    argument : str
        ``outputHITSFile``...
    files : tuple of (str, int or None)
        Base name and number of events of each.
    entries : int or None
        Events of all of them; None where the report does not say.
    """

    type: str
    argument: str
    files: tuple[tuple[str, int | None], ...] = ()
    entries: int | None = None


@dataclass(frozen=True, slots=True)
class JobReport:
    """A transform's account of itself.

    Attributes
    ----------
    exit_code : int
    acronym : str
        ``OK``, ``TRF_EXEC_FAIL``...
    message : str
        Why it failed, in one line.
    executors : tuple of Executor
    inputs, outputs : tuple of ReportedFiles
    cpu_s, wall_s : float or None
        Seconds.
    max_rss_kb : int or None
        Largest resident memory of all substeps in kB; None where prmon did not run.
    """

    exit_code: int
    acronym: str = ""
    message: str = ""
    executors: tuple[Executor, ...] = ()
    inputs: tuple[ReportedFiles, ...] = ()
    outputs: tuple[ReportedFiles, ...] = ()
    cpu_s: float | None = None
    wall_s: float | None = None
    max_rss_kb: int | None = None

    @property
    def input_entries(self) -> int | None:
        """Events of the first input whose number is known."""
        return next((group.entries for group in self.inputs if group.entries is not None), None)

    def output(self, name: str) -> tuple[tuple[str, int | None], ...]:
        """Give name and number of events of the outputs of a type or an argument."""
        return tuple(
            file
            for group in self.outputs
            if name in (group.type, group.argument)
            for file in group.files
        )

    def failed_executor(self) -> Executor | None:
        """Give the first executor that failed; one whose code says so comes before others."""
        ran_badly = (executor for executor in self.executors if executor.rc)
        not_well = (executor for executor in self.executors if executor.status_ok is False)
        return next(ran_badly, None) or next(not_well, None)


def read_report(path: Path) -> JobReport | None:
    """Read a job report.

    Parameters
    ----------
    path : Path
        ``jobReport.json`` of any version; what it lacks is left open.

    Returns
    -------
    JobReport or None
        None where there is none, or none to rely on: torn, not JSON, without an exit code.
    """
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    report = _mapping(content)
    exit_code = _whole(report.get("exitCode"))
    if exit_code is None:
        return None
    message, extra = _line(report.get("exitMsg")), _line(report.get("exitMsgExtra"))
    if extra and extra not in message:
        message = f"{message}: {extra}" if message else extra
    files, resources = _mapping(report.get("files")), _mapping(report.get("resource"))
    used = _mapping(resources.get("transform"))
    substeps = [_mapping(used) for used in _mapping(resources.get("executor")).values()]
    return JobReport(
        exit_code=exit_code,
        acronym=_line(report.get("exitAcronym")),
        message=message,
        executors=tuple(_executor(_mapping(one)) for one in _items(report.get("executor"))),
        inputs=tuple(_files(_mapping(one)) for one in _items(files.get("input"))),
        outputs=tuple(_files(_mapping(one)) for one in _items(files.get("output"))),
        cpu_s=_time("cpuTime", used, substeps),
        wall_s=_time("wallTime", used, substeps),
        max_rss_kb=max(_resident(substeps), default=None),
    )


def _executor(content: dict[str, Any]) -> Executor:
    log = _mapping(_mapping(content.get("logfileReport")).get("details"))
    errors = []
    for level in LEVELS:
        entries = [_mapping(entry) for entry in _items(log.get(level))]
        found = [
            LoggedError(level, _line(entry.get("message")), _whole(entry.get("firstLine")) or 0)
            for entry in entries
        ]
        errors += sorted(found, key=lambda entry: entry.first_line)
    status, rc = content.get("statusOK"), _whole(content.get("rc"))
    return Executor(
        name=_line(content.get("name")),
        # The framework's own sign for a substep that never ran.
        rc=None if rc == -1 else rc,
        status_ok=status if isinstance(status, bool) else None,
        error_message=_line(content.get("errMsg")),
        substep=_line(_mapping(content.get("exeConfig")).get("substep")),
        errors=tuple(errors),
    )


def _files(content: dict[str, Any]) -> ReportedFiles:
    files = []
    for one in _items(content.get("subFiles")):
        file = _mapping(one)
        name = PurePosixPath(_line(file.get("name"))).name
        files.append((name, _entries(file)))
    known = [entries for _, entries in files if entries is not None]
    entries = _entries(content)
    if entries is None and known and len(known) == len(files):
        entries = sum(known)
    if len(files) == 1 and not known:
        files = [(files[0][0], entries)]
    return ReportedFiles(
        type=_line(content.get("type")),
        argument=_line(content.get("argName")),
        files=tuple(files),
        entries=entries,
    )


def _entries(content: dict[str, Any]) -> int | None:
    entries = _whole(content.get("nentries"))
    return entries if entries is not None and entries >= 0 else None


def _time(name: str, used: dict[str, Any], substeps: list[dict[str, Any]]) -> float | None:
    whole = _number(used.get(name))
    if whole is not None:
        return whole
    parts = [part for part in (_number(one.get(name)) for one in substeps) if part is not None]
    return sum(parts) if parts else None


def _resident(substeps: list[dict[str, Any]]) -> Iterator[int]:
    for one in substeps:
        largest = _mapping(_mapping(one.get("memory")).get("Max"))
        # Before prmon the key was maxRSS.
        rss = _number(largest.get("rss", largest.get("maxRSS")))
        if rss is not None and rss > 0:
            yield round(rss)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _line(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -_HUGE < value < _HUGE else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
