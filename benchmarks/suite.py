"""Runs the benchmarks, each in a process of its own, prints their table and writes the page.

    ./run_benchmarks.sh [--quick] [NAME...]

Without names all run. What was measured is kept in ``docs/performance/figures.json``, from which
``docs/performance.md`` and its pictures are made: a run of one benchmark changes its rows only.
With ``--quick`` everything is small, and nothing is written. A benchmark that fails or outlasts its
limit has a row that says so; the exit code is 1 then. A goal that is missed is no failure.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks import page
from benchmarks.figures import Figure, Measured, Measurement, measured_from, skipped
from benchmarks.machine import ROOT, conditions
from hvmpi.files import write_whole

__all__ = ["BENCHMARKS", "main"]

BENCHMARKS: dict[str, tuple[str, float]] = {
    "campaign": ("campaign", 900.0),
    "tasks": ("tasks", 600.0),
    "start": ("start", 180.0),
    "idle": ("idle", 120.0),
    "master": ("master", 420.0),
    "growth": ("growth", 420.0),
    "planning": ("planning", 240.0),
    "status": ("status", 420.0),
    "report": ("report", 600.0),
    "tail": ("tail", 480.0),
    "warm": ("warm", 300.0),
    "formats": ("compression", 240.0),
    "shares": ("shares", 180.0),
    "plan10k": ("plan10k", 420.0),
}
"""By name: the module in this directory, and the seconds that it may take at most."""

_PEERS = "HVMPI_BENCHMARK_PEERS"
_GRACE_S = 5.0


def main(argv: Sequence[str]) -> int:
    """Run benchmarks; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="./run_benchmarks.sh", description=__doc__.partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--quick", action="store_true", help="few and small; nothing is written")
    parser.add_argument("--page", action="store_true", help="only write the page anew")
    parser.add_argument("--one", type=Path, metavar="OUT", help=argparse.SUPPRESS)
    parser.add_argument("--shared", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    given = parser.parse_args(argv)
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    if given.one:
        return _measure(given.names[0], given.one, given.shared, quick=given.quick)
    if given.page:
        page.write(list(BENCHMARKS))
        return 0
    return _run(given.names or list(BENCHMARKS), quick=given.quick)


def _run(names: Sequence[str], *, quick: bool) -> int:
    console = Console(width=None if sys.stdout.isatty() else 100)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="hvmpi-benchmarks-") as directory:
        for number, name in enumerate(names, 1):
            console.print(f"{number} of {len(names)}: {name}", highlight=False)
            results[name] = _in_its_own_process(name, Path(directory), quick=quick)
            console.print(f"   {results[name]['made']['seconds']:g} s", highlight=False)
            if not quick:
                # At once: who stops the rest keeps what is done.
                page.keep(name, results[name])
    _show(console, results, quick=quick)
    if quick:
        console.print("quick: small and few, for a look whether all works; nothing is written")
    else:
        page.write(list(BENCHMARKS))
        console.print(f"written: {page.PAGE}")
    return int(any(result["failed"] for result in results.values()))


def _in_its_own_process(name: str, place: Path, *, quick: bool) -> dict[str, Any]:
    """Run one benchmark; whatever becomes of it, give a result."""
    limit = BENCHMARKS[name][1]
    out, said = place / f"{name}.json", place / f"{name}.said"
    shared = place / "shared"
    shared.mkdir(exist_ok=True)
    argv = [sys.executable, "-m", "benchmarks", name, f"--one={out}", f"--shared={shared}"]
    made = conditions()
    began = time.monotonic()
    with said.open("wb") as lines:
        process = subprocess.Popen(
            [*argv, *(["--quick"] if quick else [])],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        reason = ""
        try:
            code = process.wait(limit)
            if code:
                last = said.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
                reason = f"failed: {last[0][:300]}"
        except subprocess.TimeoutExpired:
            reason = f"failed: not done in {limit:g} s"
        finally:
            _end(process)
    made["seconds"] = round(time.monotonic() - began, 1)
    measured = Measured((skipped(title(name), reason),)).as_dict()
    if not reason:
        measured = json.loads(out.read_text())
    return {"made": made, "failed": bool(reason), "measured": measured}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what a benchmark may have left; its ranks are in its session."""
    for number, patience in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, 1.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
            if process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(patience)
            elif number == signal.SIGTERM:
                time.sleep(0.2)
    process.poll()


def title(name: str) -> str:
    """Give a benchmark's own line."""
    module = f"benchmarks.{BENCHMARKS[name][0]}"
    try:
        return str(importlib.import_module(module).TITLE)
    except (ImportError, AttributeError):
        return name


def _measure(name: str, out: Path, shared: Path, *, quick: bool) -> int:
    """Be the process of one benchmark."""
    module = f"benchmarks.{BENCHMARKS[name][0]}"
    if find_spec(module) is None:
        measured = Measured((skipped(name, "skipped: not written yet"),))
    else:
        peers = os.environ.get(_PEERS)
        # Beside the answer, so that it goes even if this process is killed.
        scratch = out.with_suffix(".scratch")
        scratch.mkdir()
        given = Measurement(scratch, shared, quick, Path(peers) if peers else None)
        measured = importlib.import_module(module).measure(given)
    with write_whole(out) as beside:
        beside.write_text(json.dumps(measured.as_dict()))
    return 0


def _show(console: Console, results: dict[str, Any], *, quick: bool) -> None:
    table = Table(
        title="quick" if quick else None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for heading, share in (("what", 40), ("against", 22), ("measured", 20), ("goal", 12)):
        table.add_column(heading, overflow="fold", ratio=share)
    table.add_column("reached", overflow="fold", min_width=8, max_width=28)
    for name, result in results.items():
        for figure in measured_from(result["measured"]).figures:
            table.add_row(*(Text(cell) for cell in row(figure, name)))
        table.add_section()
    console.print(table, highlight=False)


def row(figure: Figure, name: str) -> list[str]:
    """Write a figure as the cells of a table."""
    what = f"{name}: {figure.what}"
    return [what, figure.against, figure.text, figure.goal_text, figure.answer]
