"""The physics of the report: of a campaign, of one with broken files, of few events."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hvmpi.campaign.status import StatusFile
from hvmpi.openchain.processes import Process, resolve
from hvmpi.report import physics, selection
from hvmpi.report.decays import decay_plots
from hvmpi.report.findings import Physics, joined
from hvmpi.report.jets import jet_plots
from hvmpi.report.performance import performance_plots
from hvmpi.report.plot import draw
from hvmpi.report.reference import pythia_hash, reference
from hvmpi.report.samples import Sample, Samples, read_samples
from hvmpi.report.selection import Selection, select
from hvmpi.report.variables import Quantity
from hvmpi.report.view import view_of
from hvmpi.sample import SampleOptions
from tests.conftest import Place, RunOnDisk, noop

NAMES = {
    *("ctau", "lxy", "mass_phi", "mass_s"),
    *("jet_pt", "jet_eta", "jet_emf", "jet_log_ratio"),
    *("track_efficiency", "track_d0", "track_z0", "track_relative_pt", "jet_response"),
}
"""Of the plots that a dozen events are enough for."""


def plots_of(run: Path) -> Physics:
    with StatusFile(run / "status.h5") as status:
        chosen = select(status)
    return physics.physics_plots(chosen)


@pytest.fixture
def run(finished_run: RunOnDisk, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may spoil."""
    copy = Path(shutil.copytree(finished_run.directory, tmp_path / finished_run.timestamp))
    for path in copy.rglob("*.h5"):
        path.chmod(0o600)
    return copy


def aods(run: Path, run_number: int) -> list[Path]:
    return sorted((run / "aod").glob(f"{run_number}.*.aod.h5"))


# --- a campaign ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(finished_run: RunOnDisk) -> Physics:
    return plots_of(finished_run.directory)


def test_all_that_is_asked_of_the_physics_is_shown(shown: Physics) -> None:
    assert {plot.name for plot in shown.plots} == NAMES
    # Of two samples with a reference too few jets for a width is all that can be missing.
    assert all("fewer than" in note for note in shown.notes)


def test_plots_can_be_drawn_and_do_not_name_the_collaboration(shown: Physics) -> None:
    for plot in shown.plots:
        drawn = draw(plot)
        assert drawn.png.startswith(b"\x89PNG")
        ET.fromstring(drawn.svg)  # noqa: S314
        assert "ATLAS" not in drawn.svg + plot.title + plot.caption


def test_captions_say_what_was_looked_at(shown: Physics) -> None:
    for plot in shown.plots:
        assert "Looked at: 4 of 4 AODs, 24 of 24 events." in plot.caption
        assert "the range" in plot.caption
    by_name = {plot.name: plot for plot in shown.plots}
    assert "signal: 24 decays" in by_name["ctau"].caption
    assert "reference" in by_name["track_efficiency"].caption


def test_captions_do_not_say_again_what_titles_say(shown: Physics) -> None:
    for plot in shown.plots:
        assert not plot.caption.startswith(plot.title)


def test_lifetime_is_what_was_asked_for(shown: Physics) -> None:
    (figure,) = [f for f in shown.figures if "mean proper lifetime" in f.quantity]
    assert figure.asked == "1720"
    mean, error = map(float, figure.measured.split(" ± "))
    assert error == pytest.approx(mean / 24**0.5, rel=1e-2)
    assert mean == pytest.approx(1720.0, abs=4.0 * error)
    assert "standard deviations" in figure.agreement


def test_masses_are_what_was_asked_for(shown: Physics) -> None:
    masses = {f.quantity: f for f in shown.figures if "median mass" in f.quantity}
    of_s = masses["signal: median mass of s (GeV)"]
    assert float(of_s.measured.split(" ± ")[0]) == pytest.approx(150.0, abs=1e-3)
    assert (of_s.measured, of_s.agreement) == ("150.000 ± less than 0.001", "within 0.001 GeV")
    of_phi = masses["signal: median mass of Phi (GeV)"]
    assert float(of_phi.measured.split(" ± ")[0]) == pytest.approx(600.0, abs=15.0)


def test_signal_and_qcd_stand_beside_each_other(shown: Physics) -> None:
    (of_jets,) = [plot for plot in shown.plots if plot.name == "jet_log_ratio"]
    assert "signal: " in of_jets.caption
    assert "QCD: " in of_jets.caption


def test_the_same_run_gives_the_same_bytes(finished_run: RunOnDisk) -> None:
    first, second = (
        [draw(plot) for plot in plots_of(finished_run.directory).plots[:3]] for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        assert (one.png, one.pdf, one.svg) == (other.png, other.pdf, other.svg)


# --- broken and missing files ----------------------------------------------------------------


def test_an_aod_that_is_gone_is_named_and_the_rest_is_shown(run: Path) -> None:
    gone = aods(run, 304815)[0]
    gone.unlink()
    found = plots_of(run)
    assert any(f"there is no file '{gone}'" in note for note in found.notes)
    assert {plot.name for plot in found.plots} >= NAMES - {"jet_response"}
    assert "3 of 4 AODs, 18 of 24 events" in found.plots[0].caption


def test_an_aod_that_is_cut_short_is_named(run: Path) -> None:
    cut = aods(run, 600003)[1]
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    notes = plots_of(run).notes
    assert any(f"Not in any plot: '{cut}' is not a whole HDF5 file" in note for note in notes)


@pytest.mark.parametrize(
    ("collection", "missing"),
    [
        ("tracks", {"track_efficiency", "track_d0", "track_z0", "track_relative_pt"}),
        ("truth_jets", {"jet_response"}),
        ("jets", {"jet_pt", "jet_eta", "jet_emf", "jet_log_ratio", "jet_response"}),
        ("muons", set()),
    ],
)
def test_without_a_collection_the_plots_of_it_are_left_out(
    run: Path, collection: str, missing: set[str]
) -> None:
    paths = [*aods(run, 304815), *aods(run, 600003)]
    for path in paths:
        with h5py.File(path, "r+") as file:
            del file[collection]
    found = plots_of(run)
    assert {plot.name for plot in found.plots} == NAMES - missing
    named = [note for note in found.notes if f"'{collection}/index'" in note]
    assert bool(named) == bool(missing)
    assert all(f"'{paths[0]}'" in note and "4 of 4 files" in note for note in named)


def test_links_that_point_nowhere_are_damage(run: Path) -> None:
    for path in aods(run, 304815):
        with h5py.File(path, "r+") as file:
            file["tracks/truth"][0] = 1_000_000
    notes = plots_of(run).notes
    assert any("'tracks/truth' points beyond its event" in note for note in notes)


def test_with_training_files_only_the_jets_are_shown(run: Path) -> None:
    whole = {plot.name: plot.caption for plot in plots_of(run).plots}
    _set(run, keep=["train"])
    shutil.rmtree(run / "aod")
    found = plots_of(run)
    assert {p.name for p in found.plots} == {"jet_pt", "jet_eta", "jet_emf", "jet_log_ratio"}
    assert any("they are in AODs, which this run did not keep" in note for note in found.notes)
    for plot in found.plots:
        assert plot.caption == whole[plot.name].replace("AODs", "training files")


def test_without_products_a_note_is_all(run: Path) -> None:
    _set(run, keep=["evnt"])
    assert plots_of(run) == Physics(
        notes=(
            "There are no plots of physics: the run kept neither AODs nor training files (keep).",
        )
    )


def _set(run: Path, **settings: Any) -> None:
    import json

    with h5py.File(run / "status.h5", "r+") as file:
        now = json.loads(file.attrs["settings"]) | settings
        file.attrs["settings"] = json.dumps(now)


def test_a_run_of_another_engine_has_a_note(three: Place) -> None:
    three.hvmpi("reconstruct", "--evnt-dir=evnt", "--job-size=2", *noop("touch", "{output}"))
    found = plots_of(three.run().directory)
    assert found.plots == ()
    assert "this run is one of noop" in found.notes[0]


# --- which files -----------------------------------------------------------------------------


def test_some_files_are_spread_over_all_samples(
    finished_run: RunOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "MOST_FILES", 2)
    with StatusFile(finished_run.directory / "status.h5") as status:
        chosen = select(status)
        samples = read_samples(chosen)
    assert (chosen.files, chosen.events, len(chosen.paths)) == (4, 24, 2)
    assert {sample.name: sample.events for sample in samples.samples} == {"signal": 6, "qcd": 6}


def test_files_of_a_million_jobs_are_spread_evenly() -> None:
    samples = np.repeat([b"a", b"b"], [900_000, 100_000])
    chosen = selection._spread(samples, np.full(1_000_000, 100))
    assert len(chosen) == selection.MOST_FILES
    assert (chosen < 900_000).sum() == 100
    assert chosen[0] == 0
    assert chosen[-1] == 999_999
    # Of large files there are fewer.
    assert len(selection._spread(samples, np.full(1_000_000, 5000))) == 4


# --- few entries, weights, and where the reference applies -----------------------------------

DEMO = resolve(
    SampleOptions(name="demo", process="gghss", run_number=304795, num_batches=1, batch_size=7)
)
SLICE = resolve(
    SampleOptions(name="slice", process="qcd", run_number=600002, num_batches=1, batch_size=7)
)


def sample(asked: Process, entries: int, **columns: float) -> Sample:
    """Return a sample with so many entries of everything."""
    random = np.random.default_rng(entries + 1)
    made = Sample(asked.name, asked.process, asked.run_number, asked, events=entries)

    def table(**values: Any) -> dict[str, np.ndarray[Any, Any]]:
        return {
            name: np.resize(np.asarray(value), entries)
            for name, value in ({"weight": 1.0} | values | columns).items()
        }

    lifetimes = random.exponential(asked.ctau or 1.0, entries)
    if asked.ctau:
        made.tables[Quantity.DECAYS] = [table(ctau=lifetimes, lxy=lifetimes, stretch=1.0)]
        made.tables[Quantity.RESONANCES] = [
            table(mass=[asked.m_s, asked.m_phi], is_phi=[False, True])
        ]
    made.tables[Quantity.JETS] = [
        table(pt=50.0, eta=0.1, emf=1.0, log10_EH_EEM=-0.5, label=1, run_number=asked.run_number)
    ]
    made.tables[Quantity.PARTICLES] = [table(radius=1.0, found=True)]
    made.tables[Quantity.TRACKS] = [
        table(pt=3.0, **{name: random.normal(size=entries) for name in ("d0", "z0", "relative_pt")})
    ]
    made.tables[Quantity.MATCHED_JETS] = [table(pt=50.0, response=random.normal(1.0, 0.1, entries))]
    return made


def shown_of(*samples: Sample, mu: float = 0.0) -> Physics:
    view, notes = view_of(
        Samples(samples, mu, {}, 1, ()), Selection("aod", (), 1, 1, {}, ()), reference()
    )
    return joined(
        [
            Physics(notes=tuple(notes)),
            *(make(view) for make in (decay_plots, jet_plots, performance_plots)),
        ]
    )


@pytest.mark.parametrize("entries", [0, 1, 2])
def test_few_entries_are_drawn_without_a_warning(entries: int) -> None:
    found = shown_of(sample(DEMO, entries), sample(SLICE, entries))
    assert bool(found.plots) == bool(entries)
    for plot in found.plots:
        draw(plot)
    assert not any("nan" in figure.measured for figure in found.figures)


def test_slices_of_qcd_count_by_their_cross_sections() -> None:
    fields = [(n, "f8") for n in ("sum_weights", "filter_efficiency", "cross_section_pb")]
    other = resolve(
        SampleOptions(name="hard", process="qcd", run_number=600003, num_batches=1, batch_size=7)
    )
    soft, hard = sample(SLICE, 30, eta=-1.0), sample(other, 30, eta=1.0)
    for one, cross_section in ((soft, 300.0), (hard, 100.0)):
        book = np.zeros(1, dtype=[("run_number", "i8"), *fields])
        book[0] = (one.run_number, 30.0, 1.0, cross_section)
        one.books[Quantity.JETS] = [book]
    (figure,) = [f for f in shown_of(soft, hard).figures if "eta of jets" in f.quantity]
    assert float(figure.measured.split()[0]) == pytest.approx(-0.5, abs=1e-6)


def test_where_the_reference_does_not_apply_it_is_left_out() -> None:
    assert any("pile-up" in note for note in shown_of(sample(DEMO, 50), mu=20.0).notes)
    own = resolve(
        SampleOptions(
            name="own", process="gghss", run_number=304795, num_batches=1, batch_size=7, ctau=100.0
        )
    )
    found = shown_of(sample(own, 50))
    assert any("other masses, lifetime or settings" in note for note in found.notes)
    assert not any("reference" in figure.asked for figure in found.figures)


def test_more_samples_than_there_is_room_for_are_named() -> None:
    many = [sample(DEMO, 5) for _ in range(7)]
    for number, one in enumerate(many):
        one.name = f"s{number}"
    notes = shown_of(*many, sample(SLICE, 5)).notes
    assert any("left out: s5, s6" in note for note in notes)


def test_a_name_is_no_formula() -> None:
    named = sample(DEMO, 20)
    named.name = "$x_{$ <b>"
    for plot in shown_of(named).plots[:2]:
        draw(plot)


def test_the_reference_says_what_it_was_made_of() -> None:
    made = reference().made
    assert {"made_by", "versions", "settings_hash", "seed", "events", "cpu_type"} <= set(made)
    assert pythia_hash(DEMO) in reference().components
