"""Keeps what was measured, and writes tables and pictures of ``docs/performance.md`` from it.

What stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` in the page is replaced. NAME
is ``figures`` (all rows), ``missed`` (goals that are not reached), ``made`` (on what, when), or
``BENCHMARK.TABLE``. Pictures are ``docs/performance/goals.svg`` and ``BENCHMARK_PLOT.svg``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from benchmarks.figures import Bars, Figure, Goal, Measured, Plot, measured_from
from benchmarks.machine import ROOT, told
from hvmpi.files import write_whole

__all__ = ["FIGURES", "PAGE", "filled", "keep", "markdown", "write"]

PAGE = ROOT / "docs" / "performance.md"
FIGURES = ROOT / "docs" / "performance" / "figures.json"

_BLOCK = re.compile(r"(<!-- begin (?P<name>[\w.]+) -->\n).*?(<!-- end (?P=name) -->)", re.DOTALL)
_COLOURS = ("#3f90da", "#bd1f01", "#94a4a2", "#832db6", "#ffa90e", "#a96b59")
"""Told apart by the colour-blind, too (M. A. Petroff, arXiv:2107.02270)."""


def keep(name: str, result: dict[str, Any]) -> None:
    """Put the result of one benchmark in the place of its last."""
    kept = _kept() | {name: result}
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(FIGURES) as beside:
        beside.write_text(json.dumps(_rounded(kept), indent=1, sort_keys=True) + "\n")


def _kept() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return kept


def write(names: Sequence[str]) -> None:
    """Write pictures, and the tables of the page, of all that is kept."""
    kept = _kept()
    results = {name: kept[name] for name in names if name in kept}
    _draw(results)
    text = filled(PAGE.read_text(encoding="utf-8"), results)
    with write_whole(PAGE) as beside:
        beside.write_text(text, encoding="utf-8")


def filled(text: str, results: dict[str, Any]) -> str:
    """Return a page with its blocks filled."""
    measured = {name: measured_from(result["measured"]) for name, result in results.items()}
    return _BLOCK.sub(
        lambda block: block[1] + _content(block["name"], results, measured) + block[3], text
    )


def _content(name: str, results: dict[str, Any], measured: dict[str, Measured]) -> str:
    every = [(of, figure) for of, one in measured.items() for figure in one.figures]
    headings = ("benchmark", "what", "against", "measured", "goal", "reached")
    if name == "figures":
        return markdown(headings, [_row(of, figure) for of, figure in every])
    if name == "missed":
        missed = [(of, figure) for of, figure in every if figure.reached is False]
        return markdown(headings, [_row(*one) for one in missed]) if missed else "None.\n"
    if name == "made":
        return "".join(f"- `{of}`: {told(result['made'])}\n" for of, result in results.items())
    of, _, table = name.partition(".")
    for own in measured[of].tables if of in measured else ():
        if own.name == table:
            return markdown(own.columns, own.rows)
    return f"*Not measured: `./run_benchmarks.sh {of}` does.*\n"


def _row(of: str, figure: Figure) -> list[str]:
    what = figure.what + (f" ({figure.note})" if figure.note else "")
    answer = figure.answer.replace("NO", "**no**") if figure.reached is False else figure.answer
    return [f"`{of}`", what, figure.against, figure.text, figure.goal_text, answer]


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(
        f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n" for cells in lines
    )


# Pictures


def _draw(results: dict[str, Any]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update(
        {
            "axes.prop_cycle": mpl.cycler(color=_COLOURS),
            "figure.constrained_layout.use": True,
            "svg.hashsalt": "hvmpi",
        }
    )
    measured = {name: measured_from(result["measured"]) for name, result in results.items()}
    ratios = [
        (f"{of}: {figure.what} / {figure.against}".rstrip(" /"), figure)
        for of, one in measured.items()
        for figure in one.figures
        if figure.goal and figure.values
    ]
    if ratios:
        _goals(ratios)
    for of, one in measured.items():
        for plot in one.plots:
            _curves(of, plot)
        for bars in one.bars:
            _bars(of, bars)


def _save(figure: Any, name: str) -> None:
    import matplotlib.pyplot as plt

    path = FIGURES.parent / f"{name}.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path) as beside:
        # No time: the same numbers give the same picture.
        figure.savefig(beside, format="svg", metadata={"Date": None})
    plt.close(figure)


def _goals(rows: Sequence[tuple[str, Figure]]) -> None:
    """Draw how far each figure is from its goal: right of the line is better than asked for."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9.0, 0.5 + 0.36 * len(rows)))
    for place, (_, one) in enumerate(rows):
        goal = one.goal
        assert goal is not None
        far = [_times(value, goal) for value in one.values]
        colour = _COLOURS[0] if one.reached else _COLOURS[1]
        axes.plot([min(far), max(far)], [place, place], color=colour, lw=2)
        axes.plot([_times(one.median, goal)], [place], "o", color=colour)
    axes.axvline(1.0, color="black", lw=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [name[:90] for name, _ in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("times better than the goal")
    _save(figure, "goals")


def _times(value: float, goal: Goal) -> float:
    """Say how many times better than its goal a value is."""
    # A start may take no longer than what it is compared with.
    value = max(value, 1e-3 * goal.bound)
    return value / goal.bound if goal.least else goal.bound / value


def _curves(of: str, plot: Plot) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.0))
    for curve in plot.curves:
        axes.plot(curve.x, curve.y, "o-", ms=4, label=curve.name)
    if plot.log_x:
        axes.set_xscale("log")
    if plot.log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0.0)
    axes.set(xlabel=plot.x_label, ylabel=plot.y_label)
    axes.legend(frameon=False)
    _save(figure, f"{of}_{plot.name}")


def _bars(of: str, bars: Bars) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 0.8 + 0.3 * len(bars.parts)))
    axes.barh(range(len(bars.parts)), list(bars.parts.values()), color=_COLOURS[0])
    axes.set_yticks(range(len(bars.parts)), list(bars.parts))
    axes.invert_yaxis()
    axes.set_xlabel(bars.x_label)
    _save(figure, f"{of}_{bars.name}")


def _rounded(value: Any) -> Any:
    # More than six figures would be noise.
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
