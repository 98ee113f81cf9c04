"""What a run has made so far, as it lies on disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hvmpi.campaign.paths import PRODUCTS, RunPaths

__all__ = ["Product", "products_of"]


@dataclass(frozen=True, slots=True)
class Product:
    """The files of one kind.

    Attributes
    ----------
    name : str
    files : int
    size : int
        Bytes, of those files.
    directory : Path
    more : bool
        Whether there are more files, which were not looked at.
    """

    name: str
    files: int
    size: int
    directory: Path
    more: bool


def products_of(directory: Path, settings: Mapping[str, Any], most: int) -> Iterator[Product]:
    """Look for the products of a run, kind by kind; those of which there is none are left out.

    Parameters
    ----------
    directory : Path
        The run's.
    settings : mapping
        As ``status.h5`` has them.
    most : int
        Files of a kind that are looked at: those of a million jobs take their time.
    """
    paths = RunPaths.of(directory, evnt_dir=settings["evnt-dir"], aod_dir=settings["aod-dir"])
    for name in PRODUCTS:
        if name == "evnt" and settings["verb"] == "reconstruct":
            continue
        folder = paths.product_directory(name)
        files = list(islice(_files(folder, name), most + 1))
        if files:
            size = sum(file.stat().st_size for file in files[:most])
            yield Product(name, min(len(files), most), size, folder, len(files) > most)


def _files(folder: Path, product: str) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            # Derivations lie beside what they were derived from.
            is_of_it = name.startswith("DAOD_") == (product == "daod")
            is_of_it &= not name.startswith(".") and not name.endswith(".json")
            if is_of_it and entry.is_file():
                yield entry
