"""What the compression in use costs a product, over none at all: CPU time and bytes.

The parts are those of ``benchmarks/formats.py``, which compares many more settings and sizes of
chunks: this is the one that products are written with (`hvmpi.hdf5.COMPRESSION`).
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec

from benchmarks.figures import Figure, Measured, Measurement, skipped
from hvmpi.hdf5 import COMPRESSION

TITLE = "compression of products"


def measure(given: Measurement) -> Measured:
    """Write products with and without."""
    if find_spec("benchmarks.formats") is None:
        return Measured((skipped(TITLE, "skipped: there is no benchmarks/formats.py"),))
    formats = importlib.import_module("benchmarks.formats")
    events = given.size(50, 5)
    settings = formats.Setting("in use", dict(COMPRESSION)), formats.Setting("none", {})
    figures = []
    paths = formats.products(given.scratch, events)
    for product in ("aod", "train"):
        arrays, chunks = formats.arrays_of(paths[product])
        again = given.scratch / "again.h5"
        taken: dict[str, list[float]] = {setting.name: [] for setting in settings}
        bytes_: dict[str, int] = {}
        formats.write(again, arrays, chunks, settings[0])
        for _ in range(given.pairs):
            for setting in settings:
                taken[setting.name].append(sum(formats.write(again, arrays, chunks, setting)))
                bytes_[setting.name] = again.stat().st_size
        ours, plain = (taken[setting.name] for setting in settings)
        sizes = " and ".join(f"{bytes_[s.name] / events / 1e3:.1f}" for s in settings)
        figures.append(
            Figure(
                f"{product} file of {events} events written as it is, CPU time",
                "without compression",
                tuple(a / b for a, b in zip(ours, plain, strict=True)),
                note=f"{1e3 * min(ours) / events:.2f} ms an event; {sizes} kB an event",
            )
        )
    return Measured(tuple(figures))
