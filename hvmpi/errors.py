"""The errors of hvmpi: one base, one sentence each, and the exit code that each leads to."""

from __future__ import annotations

__all__ = [
    "BadEventFileError",
    "ConfigError",
    "HvmpiError",
    "InputError",
    "JournalError",
    "PlanningError",
    "RunError",
    "SetupError",
    "StoppedError",
    "UsageError",
]


class HvmpiError(Exception):
    """The base: says what happened, where, what to do, and which log to read."""

    exit_code = 1


class UsageError(HvmpiError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class ConfigError(HvmpiError):
    """A config file, or a value in it, is wrong; names file, line or key."""

    exit_code = 2


class InputError(HvmpiError):
    """An input (event files, a run directory, a product file) is missing or wrong."""

    exit_code = 2


class BadEventFileError(InputError):
    """An event file that is empty, truncated, not HepMC3, or shorter than its name says."""


class PlanningError(InputError):
    """A run that has begun is looked at before its jobs are known."""


class SetupError(HvmpiError):
    """Something that a step needs is not there: a library, a command, room on a disk."""

    exit_code = 2


class RunError(HvmpiError):
    """A payload could not do its work."""


class StoppedError(HvmpiError):
    """It was asked to stop before its end."""

    exit_code = 3


class JournalError(HvmpiError):
    """The journal of a run cannot be read or written."""

    exit_code = 3
