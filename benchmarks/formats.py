"""What products cost in time and bytes, by compression and size of their chunks.

The arrays of real products (AOD, RDO, HITS, training file) are taken into memory, written anew with
each setting and read back, in turns; medians of CPU time with the least and the most. Creating the
datasets is timed apart from the rest, as it does not depend on the setting.

Run: ``python benchmarks/formats.py [EVENTS] [REPETITIONS]``; docs/formats.md says what was chosen.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hvmpi.openchain import chain
from hvmpi.openchain.generation import generate
from hvmpi.openchain.processes import resolve
from hvmpi.sample import SampleOptions
from hvmpi.training.extraction import extract

SEED = 1
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Setting:
    """How datasets are stored.

    Attributes
    ----------
    name : str
    filters : dict
        Of ``create_dataset``.
    rows : int
        Of a chunk; 0: those that the product has now.
    """

    name: str
    filters: Mapping[str, Any]
    rows: int = 0


def _gzip(level: int, *, shuffle: bool) -> dict[str, Any]:
    return {"compression": "gzip", "compression_opts": level, "shuffle": shuffle}


SETTINGS = (
    Setting("none", {}),
    Setting("lzf", {"compression": "lzf"}),
    Setting("lzf, shuffle", {"compression": "lzf", "shuffle": True}),
    *(Setting(f"gzip {level}", _gzip(level, shuffle=False)) for level in (1, 4)),
    *(Setting(f"gzip {level}, shuffle", _gzip(level, shuffle=True)) for level in (1, 4, 9)),
    *(
        Setting(f"gzip {level}, shuffle, chunks of {rows}", _gzip(level, shuffle=True), rows)
        for level in (1, 4)
        for rows in (512, 1024, 2048, 4096, 16384)
    ),
)


def products(scratch: Path, events: int) -> dict[str, Path]:
    """Make the products of some signal events."""
    evnt = scratch / "events.hepmc3"
    options = SampleOptions("formats", "gghss", run_number=304795, batch_size=events)
    generate(resolve(options), seed=SEED, batch=1, output=evnt)
    paths = {name: scratch / f"{name}.h5" for name in ("aod", "rdo", "hits", "train")}
    chain.run(evnt, paths["aod"], seed=SEED, hits=paths["hits"], rdo=paths["rdo"])
    extract(paths["aod"], paths["train"])
    return paths


def arrays_of(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, tuple[int, ...]]]:
    """Return every chunked array of a product, and its chunk."""
    arrays, chunks = {}, {}

    def take(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.chunks:
            arrays[name], chunks[name] = node[()], node.chunks

    with h5py.File(path) as file:
        file.visititems(take)
    return arrays, chunks


def write(
    path: Path, arrays: Arrays, chunks: Mapping[str, tuple[int, ...]], setting: Setting
) -> tuple[float, float]:
    """Write arrays; give the CPU seconds for creating the datasets, and for the rest."""
    start = time.process_time()
    with h5py.File(path, "w", libver="v110") as file:
        made = {}
        for name, values in arrays.items():
            rows, *more = chunks[name]
            if setting.rows:
                # As many bytes, where a row holds many values.
                rows = max(1, setting.rows * rows // max(chunk[0] for chunk in chunks.values()))
            made[name] = file.create_dataset(
                name,
                shape=values.shape,
                maxshape=(None, *values.shape[1:]),
                chunks=(rows, *more),
                dtype=values.dtype,
                **setting.filters,
            )
        created = time.process_time()
        for name, values in arrays.items():
            made[name][...] = values
    return created - start, time.process_time() - created


def read(path: Path, names: Sequence[str]) -> float:
    """Read all arrays; give the CPU seconds."""
    start = time.process_time()
    with h5py.File(path) as file:
        for name in names:
            file[name][()]
    return time.process_time() - start


def spread(values: Sequence[float]) -> str:
    """Show the median, with the least and the most."""
    return f"{statistics.median(values):8.2f} ({min(values):.2f} to {max(values):.2f})"


def main(argv: Sequence[str]) -> None:
    """Measure, and print a table a product."""
    events = int(argv[0]) if argv else 100
    repetitions = int(argv[1]) if len(argv) > 1 else 5
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        for product, path in products(scratch, events).items():
            arrays, chunks = arrays_of(path)
            taken: dict[str, list[tuple[float, float]]] = {s.name: [] for s in SETTINGS}
            created, size = [], {}
            for _ in range(repetitions):
                for setting in SETTINGS:
                    again = scratch / "again.h5"
                    creating, writing = write(again, arrays, chunks, setting)
                    size[setting.name] = again.stat().st_size
                    taken[setting.name].append((writing, read(again, list(arrays))))
                    created.append(creating)
            raw = sum(values.nbytes for values in arrays.values())
            print(
                f"\n{product}: {events} events, {len(arrays)} arrays, {raw / events / 1e3:.1f} kB"
                f" an event; creating them takes {1e3 * np.median(created):.1f} ms\n"
                f"{'setting':32} {'write, ms an event':>26} {'read, ms an event':>26}"
                f" {'kB an event':>12}"
            )
            for name, both in taken.items():
                write_ms, read_ms = (
                    [1e3 * s / events for s in one] for one in zip(*both, strict=True)
                )
                print(
                    f"{name:32} {spread(write_ms):>26} {spread(read_ms):>26}"
                    f" {size[name] / events / 1e3:12.1f}"
                )


if __name__ == "__main__":
    main(sys.argv[1:])
