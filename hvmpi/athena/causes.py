"""Causes of failures of athena's steps: the one table of what they mean and ask for.

A journal's reason begins with the code of a row, so that it alone is enough to find the advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hvmpi.athena.logs import Sign
from hvmpi.campaign.jobs import FailureClass, Outcome

__all__ = [
    "ATHENA_KILLED",
    "BAD_OUTPUT",
    "BY_ATHENA_CODE",
    "BY_EXIT_CODE",
    "BY_SIGN",
    "KILLED",
    "LONG_OUTPUT",
    "NO_OUTPUT",
    "NO_REPORT",
    "NO_VERDICT",
    "OVER_CODES",
    "SETUP_NOT_DONE",
    "SHORT_OUTPUT",
    "Cause",
    "advice_for",
]


@dataclass(frozen=True, slots=True)
class Cause:
    """One row of the table.

    Attributes
    ----------
    code : str
        What a reason begins with.
    outcome : Outcome
    failure : FailureClass
    sentence : str
        It goes on after the step's name.
    advice : str
        What to do, in one sentence.
    told : bool
        Whether messages of report and log may stand in the reason: some hold numbers that differ
        from job to job.
    """

    code: str
    outcome: Outcome
    failure: FailureClass
    sentence: str
    advice: str
    told: bool = True


_BAD_INPUT = Outcome.BAD_INPUT
_SETUP = Outcome.SETUP_FAILED
_PAYLOAD = Outcome.PAYLOAD_FAILED
_OUTPUT = Outcome.OUTPUT_INVALID
_PASSING = FailureClass.PASSING
_RESOURCES = FailureClass.RESOURCES
_ONCE_MORE = FailureClass.ONCE_MORE
_PERMANENT = FailureClass.PERMANENT
_FILES = FailureClass.CHECK_THE_FILES

_MEND_TAG = "Mend the argument in the tag; `plan` prints the command to try by hand."
_MEND_INPUT = "Look whether the input is there, whole and readable on that host, then rerun."
_READ_LOG = "Read the log; if it fails again at the same place, the cause is in tag or release."
_DISK = "Look at room and health of the scratch disk of that host, then rerun."
_SITE = "Look whether CVMFS and the release answer on that host: `doctor` does; then rerun."
_DATABASE = "Look at the site's Frontier and squid (or DBRelease); when they answer, rerun."
_STORAGE = "Look at the file system that holds inputs and scratch on that host, then rerun."

BY_EXIT_CODE: Mapping[int, Cause] = MappingProxyType(
    {
        1: Cause("NEEDCHECK", _PAYLOAD, _ONCE_MORE, "asks to be looked at", _READ_LOG),
        2: Cause("TRF_USAGE", _SETUP, _PERMANENT, "was given an argument unknown to it", _MEND_TAG),
        3: Cause(
            "TRF_SETUP",
            _SETUP,
            _PERMANENT,
            "could not set its transform up",
            "Name a release in the tag that has the transform.",
        ),
        4: Cause("TRF_ARG_CONV_FAIL", _SETUP, _PERMANENT, "got a value of wrong type", _MEND_TAG),
        5: Cause("TRF_ARG_OUT_OF_RANGE", _SETUP, _PERMANENT, "got a value out of range", _MEND_TAG),
        7: Cause("TRF_ARG_ERROR", _SETUP, _PERMANENT, "got an argument that is wrong", _MEND_TAG),
        8: Cause(
            "TRF_ARG_DATASET", _SETUP, _PERMANENT, "got inputs of different datasets", _MEND_TAG
        ),
        9: Cause(
            "TRF_INPUT_FILE_ERROR", _BAD_INPUT, _FILES, "could not use its input", _MEND_INPUT
        ),
        10: Cause("TRF_10", _SETUP, _PERMANENT, "refused what it was given", _MEND_TAG),
        11: Cause("TRF_OUTPUT_FILE_ERROR", _OUTPUT, _ONCE_MORE, "could not make its output", _DISK),
        12: Cause(
            "TRF_GRAPH_ERROR", _SETUP, _PERMANENT, "could not make its graph of substeps", _MEND_TAG
        ),
        13: Cause(
            "TRF_EXECUTION_PATH_ERROR",
            _SETUP,
            _PERMANENT,
            "knows no way from its inputs to its outputs",
            "Check input and outputs of the tag: --showPath shows what the transform would run.",
        ),
        14: Cause("TRF_KEY_ERROR", _SETUP, _PERMANENT, "missed a key in itself", _MEND_TAG),
        15: Cause(
            "TRF_NOEVENTS",
            _BAD_INPUT,
            _PERMANENT,
            "found no events: its input is empty, or skipEvents passes its end",
            "Count the events of the input; skipEvents is for the first step of a chain only.",
            told=False,
        ),
        16: Cause(
            "TRF_ARG_CHOICES_FAIL", _SETUP, _PERMANENT, "got a value that is no choice", _MEND_TAG
        ),
        17: Cause("TRF_ARG_MISSING", _SETUP, _PERMANENT, "misses an argument", _MEND_TAG),
        18: Cause(
            "TRF_REDUCTION_CONFIG_ERROR",
            _SETUP,
            _PERMANENT,
            "cannot be configured for its derivation",
            "Name a format of the derivation in the tag that its release has.",
        ),
        19: Cause(
            "TRF_GRAPH_STEERING_ERROR", _SETUP, _PERMANENT, "cannot follow its steering", _MEND_TAG
        ),
        35: Cause("TRF_INTERNAL_REPORT_ERROR", _PAYLOAD, _ONCE_MORE, "could not report", _READ_LOG),
        36: Cause(
            "TRF_METADATA_CALL_FAIL", _PAYLOAD, _ONCE_MORE, "could not read metadata", _MEND_INPUT
        ),
        37: Cause("TRF_RUNTIME_ERROR", _PAYLOAD, _ONCE_MORE, "failed at run time", _READ_LOG),
        38: Cause(
            "TRF_EXEC_VALIDATION_EVENTCOUNT",
            _OUTPUT,
            _ONCE_MORE,
            "made another number of events than it had to",
            "Read the log for events that were lost; a filter needs the rule `filter` in its tag.",
            told=False,
        ),
        39: Cause(
            "TRF_DBRELEASE_PROBLEM",
            _SETUP,
            _PASSING,
            "could not set up the DBRelease",
            "Look whether CVMFS has the DBRelease of the tag on that host, then rerun.",
        ),
        52: Cause(
            "TRF_FILEMERGE_PROBLEM", _OUTPUT, _ONCE_MORE, "could not merge its outputs", _READ_LOG
        ),
        64: Cause("TRF_EXEC", _PAYLOAD, _ONCE_MORE, "failed in a substep", _READ_LOG),
        65: Cause("TRF_EXEC_FAIL", _PAYLOAD, _ONCE_MORE, "failed in athena", _READ_LOG),
        66: Cause(
            "TRF_EXEC_VALIDATION_FAIL",
            _OUTPUT,
            _ONCE_MORE,
            "ran, but its output is missing or corrupt",
            _DISK,
        ),
        67: Cause(
            "TRF_EXEC_TIMEOUT",
            _PAYLOAD,
            _PASSING,
            "ran into a time limit of its transform",
            "Look whether that host is slow or its services hang, then rerun.",
        ),
        68: Cause("TRF_EXEC_LOGERROR", _PAYLOAD, _ONCE_MORE, "has errors in its log", _READ_LOG),
        69: Cause(
            "TRF_EXEC_SETUP_FAIL", _SETUP, _PASSING, "could not set a substep's release up", _SITE
        ),
        70: Cause(
            "TRF_EXEC_SETUP_WRAPPER", _SETUP, _PASSING, "could not write a substep's script", _DISK
        ),
        71: Cause("TRF_LOGFILE_FAIL", _PAYLOAD, _PASSING, "could not use a substep's log", _DISK),
        72: Cause(
            "TRF_AMI_ERROR",
            _SETUP,
            _PASSING,
            "could not ask AMI",
            "Name the arguments in the tag in place of an AMI tag, or rerun when AMI answers.",
        ),
        73: Cause(
            "TRF_EXEC_RUNARGS_ERROR",
            _SETUP,
            _PERMANENT,
            "could not write the arguments of a substep",
            _MEND_TAG,
        ),
        74: Cause(
            "TRF_INPUT_FILE_VALIDATION_FAIL",
            _BAD_INPUT,
            _FILES,
            "found its input corrupt",
            _MEND_INPUT,
        ),
        75: Cause(
            "TRF_OUTPUT_FILE_VALIDATION_FAIL",
            _OUTPUT,
            _ONCE_MORE,
            "found its output corrupt",
            _DISK,
        ),
        126: Cause("TRF_NOT_EXECUTABLE", _SETUP, _ONCE_MORE, "could not start", _SITE),
        127: Cause(
            "TRF_NOT_FOUND",
            _SETUP,
            _ONCE_MORE,
            "did not find its transform",
            "Name a release in the tag that has the transform.",
        ),
        250: Cause(
            "TRF_UNEXPECTED_TRF_EXCEPTION", _PAYLOAD, _ONCE_MORE, "met an exception", _READ_LOG
        ),
        251: Cause(
            "TRF_UNEXPECTED_OTHER_EXCEPTION",
            _BAD_INPUT,
            _FILES,
            "met an exception, as it does with an input that cannot be read",
            _MEND_INPUT,
        ),
        252: Cause("TRF_INTERNAL", _PAYLOAD, _ONCE_MORE, "failed in itself", _READ_LOG),
        253: Cause("TRF_UNKNOWN", _PAYLOAD, _ONCE_MORE, "failed for an unknown reason", _READ_LOG),
    }
)
"""By the exit code of the transform."""

NO_VERDICT = frozenset({1, 37, 64, 65, 68, 250, 252, 253})
"""Codes of the transform behind which athena's own code or the log may know more."""

_ATHENA_OPTIONS = "Mend job options or arguments in the tag; the log names the line."
BY_ATHENA_CODE: Mapping[int, Cause] = MappingProxyType(
    {
        1: Cause("ATHENA_OPTION", _PAYLOAD, _PERMANENT, "met an unknown option", _ATHENA_OPTIONS),
        2: Cause(
            "ATHENA_INCLUDE", _PAYLOAD, _PERMANENT, "did not find an include", _ATHENA_OPTIONS
        ),
        3: Cause("ATHENA_IMPORT", _PAYLOAD, _PERMANENT, "could not import", _ATHENA_OPTIONS),
        4: Cause(
            "ATHENA_INPUT_FILE", _PAYLOAD, _FILES, "had trouble with an input file", _MEND_INPUT
        ),
        5: Cause("ATHENA_OUTPUT_FILE", _PAYLOAD, _FILES, "had trouble with an output file", _DISK),
        6: Cause(
            "ATHENA_HISTOGRAM_FILE", _PAYLOAD, _FILES, "had trouble with a histogram file", _DISK
        ),
        7: Cause(
            "ATHENA_DATABASE",
            _PAYLOAD,
            _PASSING,
            "did not get what it needs from a database",
            _DATABASE,
        ),
        8: Cause("ATHENA_EXCEPTION", _PAYLOAD, _ONCE_MORE, "met an unknown exception", _READ_LOG),
        9: Cause(
            "ATHENA_CONFIGURATION", _PAYLOAD, _PERMANENT, "could not be configured", _ATHENA_OPTIONS
        ),
        33: Cause("ATHENA_INITIALIZE", _PAYLOAD, _ONCE_MORE, "failed in initialize", _READ_LOG),
        65: Cause("ATHENA_EXECUTE", _PAYLOAD, _ONCE_MORE, "failed in execute", _READ_LOG),
        81: Cause("ATHENA_ENDRUN", _PAYLOAD, _ONCE_MORE, "failed in endRun", _READ_LOG),
        97: Cause("ATHENA_FINALIZE", _PAYLOAD, _ONCE_MORE, "failed in finalize", _READ_LOG),
        127: Cause(
            "ATHENA_NOT_FOUND",
            _PAYLOAD,
            _ONCE_MORE,
            "did not find athena",
            "Check the release of the tag, and whether CVMFS is whole on that host.",
        ),
    }
)
"""By the code of athena itself."""

_SAME_SEED = (
    "Another attempt has the same seed and meets it again: give up the job, or change release."
)
BY_SIGN: Mapping[Sign, Cause] = MappingProxyType(
    {
        Sign.NO_SPACE: Cause(
            "NO_SPACE",
            _SETUP,
            _RESOURCES,
            "ran out of disk space",
            "Make room on the scratch disk, or name another one in [site], then rerun.",
        ),
        Sign.NO_MEMORY: Cause(
            "NO_MEMORY",
            Outcome.OUT_OF_MEMORY,
            _RESOURCES,
            "ran out of memory",
            "Run fewer jobs a host, give the jobs more memory, or make them smaller.",
        ),
        Sign.SETUP: Cause("SETUP", _SETUP, _PASSING, "could not set its release up", _SITE),
        Sign.CONTAINER: Cause(
            "CONTAINER",
            _SETUP,
            _PASSING,
            "could not mount its container",
            "Try the container by hand on that host; `doctor` names the hosts that cannot.",
        ),
        Sign.FRONTIER: Cause("FRONTIER", _PAYLOAD, _PASSING, "did not reach Frontier", _DATABASE),
        Sign.DATABASE_LOCKED: Cause(
            "DATABASE_LOCKED", _PAYLOAD, _PASSING, "met a locked database file", _STORAGE
        ),
        Sign.FILE_SYSTEM: Cause(
            "FILE_SYSTEM", _PAYLOAD, _PASSING, "could not read or write a file", _STORAGE
        ),
        Sign.CRASH: Cause("ATHENA_CRASHED", _PAYLOAD, _ONCE_MORE, "crashed", _SAME_SEED),
        Sign.GEANT4: Cause("G4EXCEPTION", _PAYLOAD, _ONCE_MORE, "met a G4Exception", _SAME_SEED),
        Sign.TRACEBACK: Cause(
            "PYTHON_TRACEBACK",
            _PAYLOAD,
            _ONCE_MORE,
            "ended in a Python exception",
            "When it comes again, mend job options or arguments in the tag: it stays.",
        ),
    }
)
"""By the sign in the log; `Sign.FRONTIER_WARNING` is looked at as `Sign.FRONTIER`."""

OVER_CODES = tuple(sign for sign in BY_SIGN if BY_SIGN[sign].failure in (_PASSING, _RESOURCES))
"""Signs that say more than any exit code, the most telling first."""

KILLED = Cause(
    "TRF_SIGNAL",
    _PAYLOAD,
    _PASSING,
    "was killed from outside by",
    "Look who ended it: an administrator, a batch system, or the kernel for want of memory.",
)
ATHENA_KILLED = Cause("ATHENA_SIGNAL", _PAYLOAD, _PASSING, KILLED.sentence, KILLED.advice)
NO_REPORT = Cause(
    "NO_REPORT",
    _OUTPUT,
    _ONCE_MORE,
    "ended well but left no whole jobReport.json",
    "Read the transform's log; if it is as it should be, look at the scratch disk.",
)
SHORT_OUTPUT = Cause(
    "SHORT_OUTPUT",
    _OUTPUT,
    _ONCE_MORE,
    "made fewer events than it had to",
    "Read the log for events that were lost; a filter needs the rule `filter` in its tag.",
)
LONG_OUTPUT = Cause(
    "LONG_OUTPUT",
    _OUTPUT,
    _ONCE_MORE,
    "made more events than it was to",
    "Check skipEvents and maxEvents in the tag: later steps take all events of the one before.",
)
NO_OUTPUT = Cause(
    "NO_OUTPUT",
    _OUTPUT,
    _ONCE_MORE,
    "ended well but made no",
    "Check type and name of the outputs in the tag; `plan` prints the command to try by hand.",
)
BAD_OUTPUT = Cause("BAD_OUTPUT", _OUTPUT, _ONCE_MORE, "made an output that is bad", _DISK)
SETUP_NOT_DONE = Cause("SETUP_FAILED", _SETUP, _PASSING, "could not be set up", _SITE)

_BY_CODE: Mapping[str, Cause] = MappingProxyType(
    {
        row.code: row
        for row in (
            *BY_EXIT_CODE.values(),
            *BY_ATHENA_CODE.values(),
            *BY_SIGN.values(),
            KILLED,
            ATHENA_KILLED,
            NO_REPORT,
            SHORT_OUTPUT,
            LONG_OUTPUT,
            NO_OUTPUT,
            BAD_OUTPUT,
            SETUP_NOT_DONE,
        )
    }
)

_BY_OUTCOME: Mapping[Outcome, str] = MappingProxyType(
    {
        Outcome.BAD_INPUT: _MEND_INPUT,
        Outcome.TIMED_OUT: "Allow more time, or make the jobs smaller.",
        Outcome.OUT_OF_MEMORY: BY_SIGN[Sign.NO_MEMORY].advice,
        Outcome.WORKER_LOST: "Look whether the host is up; the job is run again elsewhere.",
        Outcome.INTERRUPTED: "Rerun: the job was stopped with the run.",
    }
)
_BY_CLASS: Mapping[FailureClass, str] = MappingProxyType(
    {
        FailureClass.NONE: _READ_LOG,
        _PASSING: "Rerun; if it stays, look at that host and at the services of the site.",
        _RESOURCES: "Give the jobs more room, memory or time, or make them smaller.",
        _ONCE_MORE: _READ_LOG,
        _PERMANENT: "Mend the tag or the config: another attempt ends the same way.",
        _FILES: _MEND_INPUT,
    }
)


def advice_for(
    reason: str,
    outcome: Outcome = Outcome.NONE,
    failure: FailureClass = FailureClass.NONE,
) -> str:
    """Say what to do about a failure that stands in a journal, in one sentence.

    Parameters
    ----------
    reason : str
        What begins with the code of a row has that row's advice.
    outcome : Outcome
    failure : FailureClass
        These decide for other reasons: the outcome where it says enough, else the class.
    """
    row = _BY_CODE.get(reason.partition(":")[0])
    if row is not None:
        return row.advice
    if outcome in _BY_OUTCOME and failure in (FailureClass.NONE, _RESOURCES):
        return _BY_OUTCOME[outcome]
    return _BY_CLASS[failure]
