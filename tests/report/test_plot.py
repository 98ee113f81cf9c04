"""Plots: the same bytes for the same numbers, and SVG that a page takes in."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from hvmpi.report.plot import INK, Plot, draw


def _paint(figure: Any) -> None:
    axes = figure.subplots()
    axes.plot([0.0, 1.0], [0.0, 1.0], label="line")
    axes.set_xlabel("$L_{xy}$ [mm]")
    axes.legend()


def _plot(name: str = "radius") -> Plot:
    return Plot(name, "Decay radius", "2 entries, none outside.", _paint)


def test_the_same_plot_gives_the_same_bytes() -> None:
    assert _bytes(draw(_plot())) == _bytes(draw(_plot()))


def _bytes(drawn: Any) -> tuple[bytes, bytes, str]:
    return drawn.png, drawn.pdf, drawn.svg


def test_svg_takes_the_colour_of_the_page_and_no_size_of_its_own() -> None:
    drawn = draw(_plot())
    root = ET.fromstring(drawn.svg)  # noqa: S314
    assert "width" not in root.attrib
    assert "height" not in root.attrib
    assert "viewBox" in root.attrib
    assert "currentColor" in drawn.svg
    assert INK not in drawn.svg


def test_two_plots_in_one_page_share_no_identifier() -> None:
    both = [ET.fromstring(draw(_plot(name)).svg) for name in ("one", "two")]  # noqa: S314
    ids = [
        {element.attrib["id"] for element in root.iter() if "id" in element.attrib} for root in both
    ]
    assert ids[0]
    assert not ids[0] & ids[1]
    for root, own in zip(both, ids, strict=True):
        used = {
            v[1:]
            for e in root.iter()
            for k, v in e.attrib.items()
            if k.endswith("href") and v.startswith("#")
        }
        assert used <= own


def test_files_are_written_as_png_and_pdf(tmp_path: Path) -> None:
    png, pdf = draw(_plot()).write(tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert pdf.read_bytes().startswith(b"%PDF")
