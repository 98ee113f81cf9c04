"""What figures were measured on: the machine, its load, the code."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

import hvmpi

__all__ = ["conditions", "told"]

ROOT = Path(__file__).resolve().parents[1]


def conditions() -> dict[str, Any]:
    """Describe the machine and the code, now."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "hvmpi": hvmpi.__version__,
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "load": round(os.getloadavg()[0], 2),
    }


def told(made: dict[str, Any]) -> str:
    """Say it in one line."""
    return (
        f"{made['cores']} cores of {made['cpu']}, {made['memory_gb']:g} GB, Linux {made['kernel']},"
        f" Python {made['python']}; {made['date']}, commit {made['commit']}, load before "
        f"{made['load']:g}, {made['seconds']:g} s"
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    """Give the commit, and whether anything but what the suite itself writes is changed."""
    changes = ["status", "--porcelain", "--untracked-files=no", "--", ":/", ":!docs/performance*"]
    try:
        commit, changed = (
            subprocess.run(
                ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (["rev-parse", "--short=10", "HEAD"], changes)
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + " with changes" * bool(changed)
