"""All plots of a report drawn, on as many cores as there are."""

from __future__ import annotations

import multiprocessing
import tempfile
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from hvmpi.errors import SetupError
from hvmpi.hosts import usable_cores
from hvmpi.report.plot import Drawn, Plot, draw

__all__ = ["draw_all", "missing_libraries"]

_LIBRARIES = ("matplotlib", "hist", "scipy")

_FORMATS = ("png", "pdf", "svg")


def missing_libraries() -> list[str]:
    """Give those that plots need and that are not installed."""
    return [library for library in _LIBRARIES if find_spec(library) is None]


def draw_all(plots: Sequence[Plot]) -> list[Drawn]:
    """Draw plots.

    Raises
    ------
    SetupError
        If one cannot be drawn.
    """
    with tempfile.TemporaryDirectory(prefix="hvmpi-report-") as directory:
        scratch = Path(directory)
        _draw_side_by_side(plots, scratch)
        return [
            Drawn(
                plot,
                (scratch / f"{number}.png").read_bytes(),
                (scratch / f"{number}.pdf").read_bytes(),
                (scratch / f"{number}.svg").read_text(encoding="utf-8"),
            )
            for number, plot in enumerate(plots)
        ]


def _draw_side_by_side(plots: Sequence[Plot], scratch: Path) -> None:
    # Loaded once, and what it finds of fonts.
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401

    processes = []
    cores = max(min(usable_cores(), len(plots)), 1)
    context = multiprocessing.get_context("fork")
    for share in range(cores):
        own = range(share, len(plots), cores)
        process = context.Process(target=_draw_some, args=(plots, own, scratch))
        with warnings.catch_warnings():
            # Threads of numerical libraries, which wait for work, and get none in the children.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        processes.append(process)
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        msg = "a plot of the report cannot be drawn; see what is said above"
        raise SetupError(msg)


def _draw_some(plots: Sequence[Plot], numbers: range, scratch: Path) -> None:
    for number in numbers:
        drawn = draw(plots[number])
        (scratch / f"{number}.png").write_bytes(drawn.png)
        (scratch / f"{number}.pdf").write_bytes(drawn.pdf)
        (scratch / f"{number}.svg").write_text(drawn.svg, encoding="utf-8")
