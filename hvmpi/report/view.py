"""What all plots of a run have in common: curves, what stands above, the end of a caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hvmpi.openchain.processes import E_CM
from hvmpi.report.reference import Component, Reference
from hvmpi.report.samples import Curve, Samples
from hvmpi.report.selection import Selection

__all__ = ["View", "view_of"]

_MOST_CURVES = 6


@dataclass(frozen=True)
class View:
    """What plots are made of.

    Attributes
    ----------
    curves : tuple of Curve
        Those that are drawn.
    mu : float
    remark : str
        Stands above each plot.
    used : str
        How much of the run was looked at.
    components : mapping of str to tuple of Component
        The reference of each curve that it applies to, by the curve's name.
    reference_version : str
    same_chain : bool
        Whether the reference was made with the chain of this run.
    """

    curves: tuple[Curve, ...]
    mu: float
    remark: str
    used: str
    components: Mapping[str, tuple[Component, ...]]
    reference_version: str
    same_chain: bool

    @property
    def about_reference(self) -> str:
        """Say what the bands are."""
        chain = "" if self.same_chain else ", with another version of the chain than this run"
        return (
            "Bands: the reference, the same samples made and validated before with hvmpi "
            f"{self.reference_version}{chain}, and its error."
        )

    def caption(self, what: str, sentences: Sequence[str]) -> str:
        """Return a caption: what is shown, the numbers, how much of the run was looked at."""
        return " ".join([what, *(f"{sentence}." for sentence in sentences), self.used])


def view_of(samples: Samples, selection: Selection, reference: Reference) -> tuple[View, list[str]]:
    """Return the view of a run, and notes on what is not in it."""
    curves, notes = samples.curves, []
    if len(curves) > _MOST_CURVES:
        left_out = curves[_MOST_CURVES - 1 : -1]
        curves = (*curves[: _MOST_CURVES - 1], curves[-1])
        names = ", ".join(curve.name for curve in left_out)
        notes.append(f"No plot has room for more than {_MOST_CURVES} samples; left out: {names}.")
    components = {}
    for curve in curves:
        found = reference.of([sample.asked for sample in curve.samples], samples.mu)
        if isinstance(found, str):
            notes.append(f"No reference is drawn of {curve.name}: {found}.")
        else:
            components[curve.name] = found
    kind = "AODs" if selection.product == "aod" else "training files"
    used = (
        f"Looked at: {samples.files:,} of {selection.files:,} {kind}, {samples.events:,} of "
        f"{selection.events:,} events."
    )
    pile_up = rf"$\mu$ = {samples.mu:g}" if samples.mu else "no pile-up"
    return View(
        curves,
        samples.mu,
        rf"$\sqrt{{s}}$ = {E_CM / 1000.0:g} TeV, {pile_up}",
        used,
        components,
        reference.made["hvmpi_version"],
        samples.provenance.get("settings_hash") == reference.made["settings_hash"],
    ), notes
