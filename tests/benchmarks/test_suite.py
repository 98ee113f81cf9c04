"""The benchmark suite: one that fails does not end the others, the page is what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import page, suite
from benchmarks.figures import Figure, Measured, Table, at_most, measured_from, skipped
from benchmarks.simulation import Simulation

MADE = {
    "cpu": "a CPU",
    "cores": 2,
    "memory_gb": 8.0,
    "kernel": "6",
    "python": "3.12",
    "date": "now",
    "commit": "abc",
    "load": 0.1,
    "seconds": 3.0,
}


def result(*figures: Figure, tables: tuple[Table, ...] = ()) -> dict[str, Any]:
    measured = Measured(figures, tables=tables).as_dict()
    return {"made": MADE, "failed": False, "measured": measured}


@pytest.mark.parametrize(
    ("name", "limit", "reason"),
    [
        ("planning", 0.01, "failed: not done in 0.01 s"),
        ("nonsense", 60.0, "there is no benchmark 'nonsense'"),
    ],
)
def test_a_benchmark_that_fails_has_a_row_that_says_why(
    name: str, limit: float, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "BENCHMARKS", {name: (name, limit)})
    kept = suite._in_its_own_process(name, tmp_path, quick=True)
    (figure,) = measured_from(kept["measured"]).figures
    assert kept["failed"]
    assert reason in figure.answer


def test_the_page_holds_what_was_measured_and_what_was_missed() -> None:
    good, bad = Figure("good", "x", (1.0,), at_most(2.0)), Figure("bad", "x", (3.0,), at_most(2.0))
    left_out = skipped("left | out", "skipped: not here")
    table = Table("costs", ("what",), (("a cost",),))
    blocks = ("figures", "missed", "made", "one.costs", "two.costs")
    text = (
        "# P\n" + "".join(f"<!-- begin {b} -->\nold\n<!-- end {b} -->\n" for b in blocks) + "end\n"
    )
    filled = page.filled(text, {"one": result(good, bad, left_out, tables=(table,))})
    parts = dict(zip(blocks, filled.split("<!-- begin ")[1:], strict=True))
    assert "old" not in filled
    assert filled.endswith("end\n")
    assert "| `one` | bad | x | 3 | at most 2 | **no** |" in parts["figures"]
    assert "| left / out |" in parts["figures"]
    assert "bad" in parts["missed"]
    assert "good" not in parts["missed"]
    assert "2 cores of a CPU" in parts["made"]
    assert "| a cost |" in parts["one.costs"]
    assert "Not measured" in parts["two.costs"]
    assert page.filled(filled, {"one": result(good, bad, left_out, tables=(table,))}) == filled


def test_a_run_of_one_benchmark_changes_its_rows_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "FIGURES", tmp_path / "figures.json")
    page.keep("one", result(Figure("a", values=(1.0,))))
    page.keep("two", result(Figure("b", values=(2.0,))))
    page.keep("one", result(Figure("c", values=(3.0,))))
    kept = {name: measured_from(one["measured"]).figures[0] for name, one in page._kept().items()}
    assert {name: figure.what for name, figure in kept.items()} == {"one": "c", "two": "b"}


def test_all_that_the_page_asks_for_is_there() -> None:
    blocks = {match["name"] for match in page._BLOCK.finditer(page.PAGE.read_text())}
    assert {"figures", "missed", "made"} <= blocks
    assert {block.partition(".")[0] for block in blocks if "." in block} <= set(suite.BENCHMARKS)


@pytest.mark.parametrize("products", [0, 2])
def test_a_simulated_campaign_does_each_job_once(products: int, tmp_path: Path) -> None:
    simulation = Simulation(tmp_path / "run", jobs=50, ranks=7, products=products)
    half, whole = simulation.work(25), simulation.end()
    assert 25 <= half.jobs <= whole.jobs == 50
    assert 0.0 < half.wall_s < whole.wall_s
    assert simulation.run.ledger.jobs["attempts"].tolist() == [1] * 50
    published = list((simulation.directory / "aod").glob("*.txt"))
    assert len(published) == 50 * products
