"""Products as ROOT and Parquet files, made block by block."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from hvmpi.analysis.opening import assemble
from hvmpi.analysis.sources import Sources, joined
from hvmpi.errors import SetupError, UsageError
from hvmpi.files import write_whole
from hvmpi.libraries import refuse_without
from hvmpi.step import refuse_to_overwrite

__all__ = ["Converted", "Format", "convert", "format_of"]


class Format(StrEnum):
    """What a product can be converted to; files are called by these suffixes."""

    ROOT = "root"
    PARQUET = "parquet"


_LIBRARIES = {Format.ROOT: ("awkward", "uproot"), Format.PARQUET: ("awkward", "pyarrow")}


@dataclass(frozen=True, slots=True)
class Converted:
    """What was converted.

    Attributes
    ----------
    what : str
        What a row is.
    rows, files : int
    size : int
        Bytes of what was written.
    """

    what: str
    rows: int
    files: int
    size: int


def format_of(output: Path, named: str | None = None) -> Format:
    """Say what to convert to: what was named, or what the output's suffix says.

    Raises
    ------
    UsageError
        If that is no format.
    """
    wanted = named or output.suffix.removeprefix(".")
    try:
        return Format(wanted)
    except ValueError:
        choices = ", ".join(f".{one}" for one in Format)
        msg = f"'{output}' does not say its format; end it with one of {choices}, or name --format"
        raise UsageError(msg) from None


def convert(
    inputs: Sequence[Path],
    output: Path,
    to: Format,
    *,
    collections: Sequence[str] = (),
    force: bool = False,
) -> Converted:
    """Convert products of one kind to one file, which appears whole or not at all.

    Parameters
    ----------
    inputs : sequence of Path
        AOD, HITS, RDO or training files.
    output : Path
    to : Format
    collections : sequence of str, optional
        Those to be converted; without any, all.
    force : bool
        Whether an `output` that is there may be replaced.

    Raises
    ------
    InputError
        If an input is missing, damaged, of another kind or version.
    UsageError
        If `output` is there or one of the inputs, or there is no such collection.
    SetupError
        If a library is not installed, or the output cannot be written.
    """
    refuse_without("convert", *_LIBRARIES[to])
    refuse_to_overwrite(inputs, [output])
    if output.exists() and not force:
        msg = f"'{output}' is there already; name another file, or --force to replace it"
        raise UsageError(msg)
    sources = Sources(inputs)
    unknown = [name for name in collections if name not in sources.kind.collections]
    if unknown:
        msg = (
            f"there is no collection {unknown[0]!r} in {sources.kind.schema}; it has "
            f"{', '.join(sources.kind.collections)}"
        )
        raise UsageError(msg)
    chosen = tuple(dict.fromkeys(collections)) or sources.kind.collections
    write = {Format.ROOT: _write_root, Format.PARQUET: _write_parquet}[to]
    try:
        with write_whole(output) as beside:
            write(beside, sources, chosen)
        size = output.stat().st_size
    except OSError as error:
        msg = f"cannot write '{output}': {error.strerror or error}"
        raise SetupError(msg) from error
    return Converted(sources.kind.rows, len(sources), len(sources.files), size)


def _arrays(sources: Sources, collections: Sequence[str]) -> Iterator[Any]:
    """Yield all rows as awkward arrays that are in memory, a block at a time."""
    columns = sources.kind.columns(collections)
    for block in sources.blocks():
        rows = sum(len(piece) for _, piece in block)
        yield assemble(sources.kind, collections, rows, joined(block, columns), sources.about)


# --- Parquet ---------------------------------------------------------------------------------


def _write_parquet(path: Path, sources: Sources, collections: Sequence[str]) -> None:
    import awkward as ak

    # As plain Arrow types, for whoever reads it. Units, normalisation and provenance are attrs.
    ak.to_parquet_row_groups(_arrays(sources, collections), str(path), extensionarray=False)


# --- ROOT ------------------------------------------------------------------------------------


def _write_root(path: Path, sources: Sources, collections: Sequence[str]) -> None:
    import uproot

    title = sources.kind.schema
    arrays = _arrays(sources, collections)
    # uproot would put the host's address and the time into the file's name for itself.
    name = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(sources.about["provenance"], sort_keys=True))
    with path.open("w+b") as stream, uproot.recreate(stream, uuid_function=lambda: name) as file:
        tree = file.mktree(sources.kind.rows, _branches(next(arrays)), title)
        for array in arrays:
            tree.extend(_branches(array))
        file.mktree("normalisation", sources.about["normalisation"], title)
        for about in ("units", "meanings"):
            file[about] = json.dumps(_by_branch(sources.about[about], collections))
        file["provenance"] = json.dumps(sources.about["provenance"])


def _branches(array: Any) -> dict[str, Any]:
    """Give what uproot makes branches of."""
    branches: dict[str, Any] = {}
    for name in array.fields:
        values = array[name]
        if values.fields and values.ndim == 1:
            branches |= {f"{name}_{field}": values[field] for field in values.fields}
        else:
            # Of lists uproot calls the columns NAME_COLUMN, and their lengths, once, nNAME.
            branches[name] = values
    return branches


def _by_branch(about: dict[str, dict[str, str]], collections: Sequence[str]) -> dict[str, str]:
    own = about.get("events", {})
    return own | {
        f"{name}_{field}": text for name in collections for field, text in about[name].items()
    }
