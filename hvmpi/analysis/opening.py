"""Products as awkward arrays, read when they are looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from hvmpi.analysis.kinds import Kind
from hvmpi.analysis.sources import Names, Piece, Sources, find_files, joined
from hvmpi.libraries import refuse_without

if TYPE_CHECKING:
    import awkward as ak

__all__ = ["assemble", "open_products"]


def open_products(paths: Names, *, product: str = "aod") -> ak.Array:
    """Open products as one awkward array; a column is read when it is looked at.

    Reading a column reads it, and what says where events begin, from all files, and nothing else.

    Parameters
    ----------
    paths : str, path or iterable of them
        Files (AOD, HITS, RDO or training files, of one kind), patterns with ``*``, which are
        sorted, directories, or directories of runs.
    product : str
        What is meant of a run: ``aod``, ``train``, ``hits`` or ``rdo``.

    Returns
    -------
    ak.Array
        Of a product a record an event: ``run_number``, ``event_number``, ``weight``, and a list of
        records a collection (``events.jets.pt``). Of training files a record a jet: ``jets``, and
        lists of its ``tracks`` and ``clusters``, without what is not ``valid``.
        References (``clusters.jet``, ``tracks.truth``) are rows within the event, -1: none.
        Its ``attrs`` hold ``units`` and ``meanings``, by collection and column, and the files'
        ``normalisation`` and ``provenance``.

    Raises
    ------
    InputError
        If nothing matches, or a file is missing, damaged, of another kind or version, or not what
        it was when it was opened, as is seen when a column is read; names it. (awkward makes an
        `AttributeError` of it, with the sentence in it, in ``events.jets.pt``.)
    SetupError
        If awkward is not installed.

    Examples
    --------
    >>> events = hvmpi.open("runs/20261124120000/aod/*.aod.h5")
    >>> leading = ak.firsts(events.jets.pt)
    """
    sources = Sources(find_files(paths, product))
    kind = sources.kind
    columns = {
        column: partial(_read, sources.pieces, column) for column in kind.columns(kind.collections)
    }
    return assemble(kind, kind.collections, len(sources), columns, sources.about)


def _read(pieces: Sequence[Piece], column: str) -> NDArray[Any]:
    return joined(pieces, [column])[column]


def assemble(
    kind: Kind,
    collections: Iterable[str],
    rows: int,
    columns: Mapping[str, Any],
    about: Mapping[str, Any],
) -> ak.Array:
    """Make an awkward array of columns, or of what reads them.

    Raises
    ------
    SetupError
        If awkward is not installed.
    """
    refuse_without("convert", "awkward")
    import awkward

    form = kind.form(collections)
    return awkward.from_buffers(form, rows, columns, buffer_key="{form_key}", attrs=dict(about))
