"""Failures of athena's steps: exit code, job report and logs made into one name."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hvmpi.athena.causes import (
    ATHENA_KILLED,
    BAD_OUTPUT,
    BY_ATHENA_CODE,
    BY_EXIT_CODE,
    BY_SIGN,
    KILLED,
    LONG_OUTPUT,
    NO_OUTPUT,
    NO_REPORT,
    NO_VERDICT,
    OVER_CODES,
    SETUP_NOT_DONE,
    SHORT_OUTPUT,
    Cause,
    advice_for,
)
from hvmpi.athena.logs import LogLine, Sign, first_errors
from hvmpi.athena.reports import JobReport, LoggedError
from hvmpi.campaign.jobs import FailureClass, Outcome

__all__ = [
    "Failure",
    "advice_for",
    "bad_output",
    "classify",
    "no_output",
    "setup_failed",
    "short_output",
]

_LONGEST = 300
# Shorter names of files may be words of a message.
_NAME = 8
_FROM_OUTSIDE = frozenset(
    {"SIGHUP", "SIGINT", "SIGKILL", "SIGTERM", "SIGXCPU", "SIGUSR1", "SIGUSR2"}
)

# What differs from job to job though the cause is the same, and what stands in its place.
_DIFFERS = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"\b0[xX][0-9a-fA-F]+", "0x..."),
        (r"\b[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\b", "..."),
        (r"(/(?:var/)?tmp)/[^\s'\",:;)\]]+", r"\1/..."),
        (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?", "..."),
        (r"\b\d\d:\d\d:\d\d\b", "..."),
        (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?![\w.])", "..."),
        (r"(?<![\w.])[-+]?\d+\.\d+(?:[eE][-+]?\d+)?(?![\d.])", "N"),
        (
            r"(?i)\b((?:event|evt|run|lumi|pid|process|thread|slot|seed|job|entry|attempt)\w*?"
            r"[ #:=\[(]*)\d+",
            r"\1N",
        ),
        (r"\d{5,}", "N"),
    )
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a step's failure is.

    Attributes
    ----------
    outcome : Outcome
    failure : FailureClass
        What is to be thought of another attempt.
    reason : str
        One line, the same for the same cause in another job.
    where : str
        Log and line that tell of it, relative to the folder of the logs:
        ``s2608/log.EVNTtoHITS:1234``; empty where none does.
    advice : str
        What to do, in one sentence.
    """

    outcome: Outcome
    failure: FailureClass
    reason: str
    where: str
    advice: str


@dataclass(frozen=True, slots=True)
class _Found:
    """A cause, what is to be added to its sentence, and the line that it was seen in."""

    cause: Cause
    detail: str = ""
    line: LogLine | None = None


def classify(
    *,
    step: str,
    exit_code: int,
    report: JobReport | None,
    logs: Sequence[Path],
    logs_root: Path,
    private: Sequence[str] = (),
) -> Failure:
    """Name the failure of a transform.

    Parameters
    ----------
    step : str
        Name of the tag.
    exit_code : int
        What the shell saw; negative: killed by that signal. 0 is a failure without a report, or
        with one whose own code is not 0.
    report : JobReport or None
    logs : sequence of Path
        Logs of athena, ``log.SUBSTEP``, and that of the transform: the first are believed first.
    logs_root : Path
        What `Failure.where` is relative to.
    private : sequence of str
        Directories, files and names that only this job has; ``...`` stands in their place.
    """
    seen = first_errors(logs)
    found = _find(exit_code, report, seen)
    cause, told, line = found.cause, "", found.line
    if line is not None:
        told = line.text
    else:
        told, line = _telling(cause, report, seen, logs)
    words = f"{step} {cause.sentence}{found.detail}"
    return _failure(
        cause,
        f"{words}: {told}" if told and cause.told else words,
        where=_where(line, logs_root),
        private=private,
    )


def short_output(step: str, got: int, low: int, expected: int, what: str = "events") -> Failure:
    """Name the failure of a step that made too few events, or too many.

    Parameters
    ----------
    step : str
    got : int
        Events in the output.
    low, expected : int
        The least and the most that it may hold.
    what : str
        What was counted: ``events of HITS``.
    """
    # What it got differs from job to job and would not group.
    if got > expected:
        return _failure(LONG_OUTPUT, f"{step} made more than {expected} {what}")
    if got == 0:
        return _failure(SHORT_OUTPUT, f"{step} made none of {expected} {what}")
    of_all = "" if low == expected else f" of {expected}"
    return _failure(SHORT_OUTPUT, f"{step} made fewer than {low}{of_all} {what}")


def no_output(step: str, what: str) -> Failure:
    """Name the failure of a step that ended well without an output of type `what`."""
    return _failure(NO_OUTPUT, f"{step} {NO_OUTPUT.sentence} {what}")


def bad_output(step: str, why: str, private: Sequence[str] = ()) -> Failure:
    """Name the failure of a step whose output cannot be used."""
    return _failure(BAD_OUTPUT, f"{step} {BAD_OUTPUT.sentence}: {why}", private=private)


def setup_failed(step: str, why: str, where: str = "", private: Sequence[str] = ()) -> Failure:
    """Name the failure of a step whose release, container or surroundings could not be set up."""
    words = f"{step} {SETUP_NOT_DONE.sentence}: {why}"
    return _failure(SETUP_NOT_DONE, words, where=where, private=private)


def _failure(cause: Cause, words: str, *, where: str = "", private: Sequence[str] = ()) -> Failure:
    reason = f"{cause.code}: {_alike(words, private)}"
    if len(reason) > _LONGEST:
        reason = f"{reason[: _LONGEST - 3]}..."
    advice = advice_for(reason, cause.outcome, cause.failure)
    return Failure(cause.outcome, cause.failure, reason, where, advice)


def _find(exit_code: int, report: JobReport | None, seen: Mapping[Sign, LogLine]) -> _Found:
    for sign in OVER_CODES:
        if sign in seen:
            return _Found(BY_SIGN[sign], line=seen[sign])
    if exit_code == 0 and report is None:
        return _Found(NO_REPORT)
    reported = report.exit_code if report else 0
    code = _as_shell(exit_code or reported)
    if killer := _signal_of(code) or _signal_of(reported):
        return _Found(KILLED, f" {killer}")
    cause = BY_EXIT_CODE.get(code)
    if cause is None:
        acronym = report.acronym if report else ""
        known = re.fullmatch(r"[A-Z][A-Z0-9_]*", acronym)
        cause = Cause(
            acronym if known else f"TRF_{code}",
            Outcome.PAYLOAD_FAILED,
            FailureClass.ONCE_MORE,
            f"ended with the unknown code {code}",
            "",
        )
    elif code not in NO_VERDICT:
        return _Found(cause)
    return _in_athena(report, seen) or _Found(cause)


def _in_athena(report: JobReport | None, seen: Mapping[Sign, LogLine]) -> _Found | None:
    """Ask athena's own code and its log, the surer sign first."""
    executor = report.failed_executor() if report else None
    code = _as_shell(executor.rc or 0) if executor else 0
    killer = _signal_of(code)
    if killer in _FROM_OUTSIDE:
        return _Found(ATHENA_KILLED, f" {killer}")
    for sign in (Sign.CRASH, Sign.GEANT4):
        if sign in seen:
            return _Found(BY_SIGN[sign], line=seen[sign])
    if killer:
        return _Found(BY_SIGN[Sign.CRASH], f" with {killer}")
    if Sign.FRONTIER_WARNING in seen:
        return _Found(BY_SIGN[Sign.FRONTIER], line=seen[Sign.FRONTIER_WARNING])
    cause, detail = BY_ATHENA_CODE.get(code), f" (athena's code {code})"
    if cause is not None and cause.failure is not FailureClass.ONCE_MORE:
        return _Found(cause, detail)
    if Sign.TRACEBACK in seen:
        return _Found(BY_SIGN[Sign.TRACEBACK], line=seen[Sign.TRACEBACK])
    if cause is None and code:
        sentence = "failed in athena"
        cause = Cause(
            f"ATHENA_{code}", Outcome.PAYLOAD_FAILED, FailureClass.ONCE_MORE, sentence, ""
        )
    return _Found(cause, detail) if cause else None


def _telling(
    cause: Cause,
    report: JobReport | None,
    seen: Mapping[Sign, LogLine],
    logs: Sequence[Path],
) -> tuple[str, LogLine | None]:
    """Choose the message that says why, and the line of a log to point at."""
    line = next((one for sign, one in seen.items() if sign is not Sign.TRANSFORM), None)
    if line is None or line.sign in (Sign.FATAL, Sign.ERROR):
        # The transform leaves out what its tag tells it to ignore.
        line = _reported(report, logs) or line
    executor = report.failed_executor() if report else None
    says = (executor.error_message if executor else "") or (report.message if report else "")
    if cause.outcome is not Outcome.PAYLOAD_FAILED and report and report.message:
        return report.message, line
    if line is not None:
        return line.text, line
    line = seen.get(Sign.TRANSFORM)
    return says or (line.text if line else ""), line


def _reported(report: JobReport | None, logs: Sequence[Path]) -> LogLine | None:
    for executor in report.executors if report else ():
        names = {f"log.{executor.name}", f"log.{executor.substep}"}
        log = next((log for log in logs if log.name in names), None)
        if log is not None and executor.errors:
            return _entry(executor.errors[0], log)
    return None


def _entry(error: LoggedError, log: Path) -> LogLine:
    sign = Sign.ERROR if error.level == "ERROR" else Sign.FATAL
    return LogLine(log, error.first_line, error.message, sign)


def _where(line: LogLine | None, root: Path) -> str:
    if line is None:
        return ""
    inside = line.path.is_relative_to(root)
    name = str(line.path.relative_to(root)) if inside else line.path.name
    return f"{name}:{line.number}" if line.number else name


def _as_shell(code: int) -> int:
    return 128 - code if code < 0 else code


def _signal_of(code: int) -> str:
    """Name the signal that a shell's exit code stands for; empty where it is none."""
    if not 128 < code <= 128 + 64:
        return ""
    try:
        return signal.Signals(code - 128).name
    except ValueError:
        return f"signal {code - 128}"


def _alike(text: str, private: Sequence[str]) -> str:
    """Leave out of a text what would differ for the same cause in another job."""
    for own in sorted(_forms(private), key=len, reverse=True):
        text = text.replace(own, "...")
    for pattern, instead in _DIFFERS:
        text = pattern.sub(instead, text)
    return " ".join(text.split())


def _forms(private: Sequence[str]) -> set[str]:
    forms = set()
    for own in private:
        forms.add(own.rstrip("/"))
        path = Path(own)
        if path.is_absolute():
            # Athena may say where a link leads to, transforms say the bare name of a file.
            forms.add(str(path.resolve()))
            if len(path.name) >= _NAME and re.search(r"[.\d]", path.name):
                forms.add(path.name)
    return {form for form in forms if len(form) > 2}
