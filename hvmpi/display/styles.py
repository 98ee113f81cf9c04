"""What a display draws, by kind, and how: one table for picture and page."""

from __future__ import annotations

from dataclasses import dataclass

from hvmpi.display.detector import Part
from hvmpi.openchain.jets import RADIUS
from hvmpi.openchain.missing import MIN_JET_PT_GEV
from hvmpi.report.plot import COLOURS, INK

__all__ = ["AREAS", "PARTS", "RIM", "STYLES", "Style"]

_BLUE, _ORANGE, _GREEN, _PURPLE, _RED, _GREY = COLOURS


@dataclass(frozen=True, slots=True)
class Style:
    """How one kind of object is drawn.

    Attributes
    ----------
    key : str
    title : str
        What a reader calls it.
    light, dark : str
        Colours on white and on black.
    width : float
        Of lines, points.
    dashed : bool
    opacity : float
        Of lines, and of areas unless a shape has its own; an area's outline is not drawn.
    shown : bool
        Before the reader chooses.
    """

    key: str
    title: str
    light: str
    dark: str
    width: float = 1.0
    dashed: bool = False
    opacity: float = 1.0
    shown: bool = True


# In the order in which they are drawn.
STYLES = {
    style.key: style
    for style in (
        Style(
            "soft_jets",
            f"jets below {MIN_JET_PT_GEV:g} GeV",
            "#b8860b",
            "#ffe066",
            opacity=0.1,
            shown=False,
        ),
        Style("jets", f"jets, R = {RADIUS:g}", "#d4a800", "#ffe066", opacity=0.24),
        Style("em", "EM energy, by layer", _GREEN, "#41d98a"),
        Style("had", "hadronic energy, by layer", _ORANGE, "#ff9d3c"),
        Style("em_towers", "EM energy, towers of ET", _GREEN, "#41d98a", opacity=0.9),
        Style("had_towers", "hadronic energy, towers of ET", _ORANGE, "#ff9d3c", opacity=0.9),
        Style("other_tracks", "other tracks", _GREY, "#8b98a5", 0.6, opacity=0.75),
        Style("tracks", "tracks of the primary vertex", _BLUE, "#6cb8f5", 0.9),
        Style("large_radius", "tracks, large-radius pass", _PURPLE, "#d49bff", 1.2),
        Style("electrons", "electrons", "#008b8b", "#3fe0d0", 2.0),
        Style("muons", "muons", _RED, "#ff6b5e", 2.0),
        Style("missing_et", "missing ET", INK, "#f2f5f8", 1.6, dashed=True),
        Style("products", "true decay products", "#d6006e", "#ff5cb0", 1.1, dashed=True),
        Style("long_lived", "true long-lived particles", "#d6006e", "#ff5cb0", 1.8),
        Style("vertices", "primary vertex", INK, "#f2f5f8"),
    )
}

AREAS = frozenset({"jets", "soft_jets", "em", "had", "em_towers", "had_towers"})
"""Those that are areas; all others are lines and marks."""

PARTS: dict[Part, tuple[str, str]] = {
    Part.BEAM_PIPE: ("#7f8c8d", "#7f8c9a"),
    Part.PIXEL: ("#a9bfd6", "#3f5a78"),
    Part.STRIP: ("#bccbdb", "#34495f"),
    Part.DEAD: ("#f1f1ef", "#1b1f24"),
    Part.EM: ("#e3f1e8", "#16301f"),
    Part.TILE: ("#fbeedf", "#35230f"),
    Part.HEC: ("#fbeedf", "#35230f"),
    Part.FORWARD: ("#f0ead9", "#2b2716"),
}
"""Colours of the detector on white and on black; sensors and beam pipe are lines."""

RIM = ("#b9c0c7", "#3a434d")
"""Edges of areas of the detector."""
