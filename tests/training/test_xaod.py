"""AODs and DAODs of athena: small ones made with uproot, with the branches of real ones.

uproot writes vectors of vectors only to RNTuples, so that a whole file is one of those; what a tree
holds is read the same.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from hvmpi.errors import InputError, SetupError, UsageError
from hvmpi.openchain.eventdata import Event, Table
from hvmpi.openchain.schemas import LAYERS
from hvmpi.training.__main__ import main
from hvmpi.training.athena import AthenaSample
from hvmpi.training.columns import DATASETS
from hvmpi.training.extraction import extract
from hvmpi.training.files import TrainingFile
from hvmpi.training.merging import merge
from hvmpi.training.xaod import SAMPLINGS, VARIABLES, Store, Variable
from tests.training.conftest import (
    event,
    particle,
    qcd_event,
    signal_event,
    toward,
    write_aod,
)

SAMPLE = AthenaSample(name="hss", process="gghss", m_phi=600.0, m_s=150.0)
FIRST_SAMPLING = {layer: SAMPLINGS.index(layer) for layer in LAYERS}
KEY = 802197236

Variables = dict[str, Any]


def by_direction(one: Event) -> Event:
    """Move what belongs to no jet away from all, and the softest jet: direction decides here."""
    clusters, jets = one.tables["clusters"], one.tables["jets"]
    lone, soft = clusters["jet"] < 0, jets["pt"] < 20.0
    eta = np.where(lone, 4.0, clusters["eta"]).astype("f4")
    moved = {
        "clusters": {**clusters, "eta": eta, "e": clusters["pt"] * np.cosh(eta)},
        "jets": {**jets, "phi": np.where(soft, -1.0, jets["phi"]).astype("f4")},
    }
    return replace(one, tables={**one.tables, **moved})


def jets_of(jets: Table) -> Variables:
    by_sampling = np.zeros((len(jets["pt"]), 28))
    for layer, sampling in FIRST_SAMPLING.items():
        by_sampling[:, sampling] = jets[f"e_{layer}"] * 1000.0
    return {
        **{name: jets[name] for name in ("eta", "phi")},
        "pt": jets["pt"] * 1000.0,
        "m": jets["mass"] * 1000.0,
        "EnergyPerSampling": by_sampling.tolist(),
        "Width": np.full(len(jets["pt"]), 0.3, dtype="f4"),
        "N90Constituents": np.full(len(jets["pt"]), 7, dtype="i4"),
        "Timing": np.full(len(jets["pt"]), -2.0, dtype="f4"),
    }


def tracks_of(tracks: Table) -> Variables:
    theta = 2.0 * np.arctan(np.exp(-tracks["eta"].astype(float)))
    charge = tracks["charge"].astype(float)
    return {
        **{name: tracks[name] for name in ("d0", "z0", "phi")},
        "theta": theta,
        "qOverP": charge * np.sin(theta) / (tracks["pt"] * 1000.0),
        "chiSquared": tracks["chi2"],
        "numberOfPixelHits": tracks["n_pixel"],
        "numberOfSCTHits": tracks["n_strip"],
        "numberOfPixelHoles": tracks["holes_pixel"],
        "numberOfSCTHoles": tracks["holes_strip"],
        "numberOfPixelSharedHits": tracks["shared"],
        "numberOfSCTSharedHits": tracks["shared"] * 0,
        # Those that are in the vertex pass it at z = 0.
        "vz": np.where(tracks["vertex_weight"] > 0.5, 1.0, 30.0),
    }


def clusters_of(clusters: Table) -> Variables:
    energies = np.stack([clusters[f"e_{layer}"] * 1000.0 for layer in LAYERS], axis=1)
    samplings = np.array([FIRST_SAMPLING[layer] for layer in LAYERS])
    order = np.argsort(samplings)
    there = (energies != 0.0)[:, order]
    pattern = (there * (1 << samplings[order])).sum(axis=1)
    return {
        "rawE": clusters["e"] * 1000.0,
        "rawEta": clusters["eta"],
        "rawPhi": clusters["phi"],
        "time": clusters["time"],
        "e_sampl": [e[kept].tolist() for e, kept in zip(energies[:, order], there, strict=True)],
        "samplingPattern": pattern.astype("u4"),
    }


def truth_of(truth: Table) -> tuple[Variables, Variables]:
    """Give particles and vertices; a vertex for each particle that others come of."""
    parents = sorted({parent for parent in truth["parent"].tolist() if parent >= 0})
    place = {parent: number for number, parent in enumerate(parents)}
    # Two ways to be linked to nothing: by the key, and to what was left out.
    nothing = {"prod": (0, 0), "decay": (KEY, 2**32 - 1)}
    linked = {"prod": truth["parent"].tolist(), "decay": list(range(len(truth["pdg_id"])))}
    particles = {
        "pdgId": truth["pdg_id"],
        "m": truth["mass"] * 1000.0,
        **{axis: truth[axis] * 1000.0 for axis in ("px", "py", "pz")},
    }
    for link, parents_of in linked.items():
        keys = [(KEY, place[row]) if row in place else nothing[link] for row in parents_of]
        particles[f"{link}VtxLink"] = [{"m_persKey": k, "m_persIndex": i} for k, i in keys]
    vertices = {axis: np.nan_to_num(truth[f"decay_{axis}"][parents]) for axis in ("x", "y", "z")}
    return particles, vertices


def branches(events: list[Event]) -> dict[str, ak.Array]:
    """Give what an AOD of athena holds of these events, by branch."""
    found: dict[str, list[Any]] = {}
    for one in events:
        particles, vertices = truth_of(one.tables["truth"])
        containers = {
            "AntiKt4EMTopoJetsAux": jets_of(one.tables["jets"]),
            "InDetTrackParticlesAuxDyn": tracks_of(one.tables["tracks"]),
            "CaloCalTopoClustersAuxDyn": clusters_of(one.tables["clusters"]),
            "TruthParticlesAux": particles,
            "TruthVerticesAux": vertices,
            "PrimaryVerticesAuxDyn": {"z": [99.0, 1.0], "vertexType": [3, 1]},
        }
        for container, variables in containers.items():
            for name, values in variables.items():
                found.setdefault(f"{container}:{name}", []).append(values)
        found.setdefault("EventInfoAuxDyn:eventNumber", []).append(one.event_number)
        found.setdefault("EventInfoAuxDyn:runNumber", []).append(284500)
        found.setdefault("EventInfoAuxDyn:mcChannelNumber", []).append(one.run_number)
        found.setdefault("EventInfoAuxDyn:mcEventWeights", []).append([one.weight, 9.0])
    counts = ("number", "Type", "Pattern", "N90")
    return {
        name: values if name.endswith("Link") else typed(values, name, counts)
        for name, values in ((name, ak.Array(values)) for name, values in found.items())
    }


def typed(values: ak.Array, name: str, counts: tuple[str, ...]) -> ak.Array:
    variable = name.partition(":")[2]
    if variable in ("eventNumber", "runNumber", "mcChannelNumber"):
        return ak.values_astype(values, np.uint64)
    whole = variable == "pdgId" or any(word in variable for word in counts)
    return ak.values_astype(values, np.int64 if whole else np.float32)


def write_xaod(path: Path, events: list[Event], *, without: tuple[str, ...] = ()) -> Path:
    kept = {name: values for name, values in branches(events).items() if name not in without}
    with uproot.recreate(path) as file:
        file.mkrntuple("EventData", ak.zip(kept, depth_limit=1))
    return path


def read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with TrainingFile(path) as train:
        return {name: train.read(name) for name in DATASETS}


@pytest.fixture
def events() -> list[Event]:
    return [by_direction(signal_event(1)), by_direction(signal_event(5, weight=0.5))]


MOMENTS = tuple(f"AntiKt4EMTopoJetsAux:{name}" for name in ("Width", "N90Constituents", "Timing"))


# --- what is read ----------------------------------------------------------------------------


def test_both_engines_files_give_the_same_rows(events: list[Event], tmp_path: Path) -> None:
    """Energies, directions and truth written the way of either are the same variables."""
    extract(write_aod(tmp_path / "ours.h5", events), tmp_path / "ours.train.h5")
    xaod = write_xaod(tmp_path / "AOD.pool.root", events, without=MOMENTS)
    summary = extract(xaod, tmp_path / "athena.train.h5", sample=SAMPLE)
    assert (summary.events, summary.first_event, summary.last_event) == (2, 1, 5)
    ours, athena = (read(tmp_path / f"{name}.train.h5") for name in ("ours", "athena"))
    assert athena["jets"]["n_towers"].tolist() == [-1, -1]
    for name, rows in ours.items():
        assert rows.shape == athena[name].shape
        for column in rows.dtype.names:
            if column != "n_towers":
                np.testing.assert_allclose(
                    athena[name][column], rows[column], rtol=2e-5, atol=1e-5, err_msg=column
                )


def test_its_books(events: list[Event], tmp_path: Path) -> None:
    xaod = write_xaod(tmp_path / "AOD.pool.root", events)
    extract(xaod, tmp_path / "train.h5", sample=SAMPLE)
    with TrainingFile(tmp_path / "train.h5") as train:
        (row,), books = train.books.normalisation, train.books
    assert (row["sample"], row["process"], row["settings_hash"]) == (b"hss", b"gghss", b"")
    assert (row["run_number"], row["m_phi"], row["m_s"]) == (304795, 600.0, 150.0)
    assert (row["events"], row["sum_weights"], row["sum_weights2"]) == (2, 1.5, 1.25)
    assert (row["n_tried"], row["batch"]) == (-1, -1)
    assert math.isnan(row["cross_section_pb"])
    assert books.ranges.tolist() == [(0, 304795, 1, 1), (0, 304795, 5, 5)]
    (source,) = books.provenance["sources"]
    assert (source["engine"], source["jets"]) == ("athena", "AntiKt4EMTopoJets")


def test_signal_of_athena_merges_with_background_of_ours(
    events: list[Event], qcd_aod: Path, tmp_path: Path
) -> None:
    extract(write_xaod(tmp_path / "a.root", events), tmp_path / "a.train.h5", sample=SAMPLE)
    extract(qcd_aod, tmp_path / "q.train.h5")
    summary = merge([tmp_path / "a.train.h5", tmp_path / "q.train.h5"], tmp_path / "all.h5")
    assert (summary.rows["signal"], summary.rows["qcd"]) == (2, 4)


def test_the_jets_own_variables_go_before_those_of_clusters(
    events: list[Event], tmp_path: Path
) -> None:
    extract(write_xaod(tmp_path / "AOD.root", events), tmp_path / "train.h5", sample=SAMPLE)
    rows = read(tmp_path / "train.h5")
    jet = rows["jets"][0]
    assert (jet["width"], jet["n90"], jet["time"]) == (pytest.approx(0.3), 7, -2.0)
    assert rows["clusters"]["valid"].any()


def test_with_neither_they_are_unknown(events: list[Event], tmp_path: Path) -> None:
    names = tuple(name for name in branches(events) if name.startswith("CaloCal"))
    xaod = write_xaod(tmp_path / "DAOD.root", events, without=(*names, *MOMENTS))
    extract(xaod, tmp_path / "train.h5", sample=SAMPLE)
    rows = read(tmp_path / "train.h5")
    jet = rows["jets"][0]
    assert (np.isnan(jet["width"]), jet["n90"], np.isnan(jet["time"])) == (True, -1, True)
    assert not rows["clusters"]["valid"].any()


WELCOME = (
    *("EventInfoAuxDyn:mcEventWeights", "EventInfoAuxDyn:mcChannelNumber"),
    *("InDetTrackParticlesAuxDyn:chiSquared", "InDetTrackParticlesAuxDyn:numberOfPixelHits"),
    *("InDetTrackParticlesAuxDyn:numberOfPixelSharedHits", "PrimaryVerticesAuxDyn:z"),
    *("CaloCalTopoClustersAuxDyn:time", "CaloCalTopoClustersAuxDyn:samplingPattern"),
)


def test_what_may_be_missing(events: list[Event], tmp_path: Path) -> None:
    xaod = write_xaod(tmp_path / "DAOD.root", events, without=(*WELCOME, *MOMENTS))
    extract(xaod, tmp_path / "train.h5", sample=SAMPLE)
    rows = read(tmp_path / "train.h5")
    assert rows["jets"]["runNumber"].tolist() == [284500, 284500]
    assert rows["jets"]["mcEventWeight"].tolist() == [1.0, 1.0]
    assert rows["jets"]["time"].tolist() == [0.0, 0.0]
    track, cluster = rows["tracks"][0, 0], rows["clusters"][0, 0]
    assert (np.isnan(track["chi2"]), track["n_pixel"], track["vertex_n"]) == (True, 0, 0)
    assert (np.isnan(cluster["time"]), np.isnan(cluster["l1hcal"])) == (True, True)
    assert cluster["pt"] > 0.0


def test_large_radius_tracks_are_tracks_too(events: list[Event], tmp_path: Path) -> None:
    found = branches(events)
    large = {
        name.replace("InDetTrack", "InDetLargeD0Track"): values
        for name, values in found.items()
        if name.startswith("InDetTrack")
    }
    with uproot.recreate(tmp_path / "AOD.root") as file:
        file.mkrntuple("EventData", ak.zip(found | large, depth_limit=1))
    extract(tmp_path / "AOD.root", tmp_path / "train.h5", sample=SAMPLE)
    rows = read(tmp_path / "train.h5")
    assert rows["jets"]["n_tracks"].tolist() == [4, 4]
    assert rows["tracks"]["pt"][0, :4] == pytest.approx([4.0, 4.0, 1.0, 1.0])


def test_a_container_of_truth_that_is_always_empty(tmp_path: Path) -> None:
    """Derivations of backgrounds have the container and none of its variables."""
    events = [by_direction(qcd_event(1))]
    found = {name: rows for name, rows in branches(events).items() if "Truth" not in name}
    for name in ("Particles", "Vertices"):
        found[f"TruthBSMWithDecay{name}Aux:"] = ak.Array([0])
    with uproot.recreate(tmp_path / "DAOD.root") as file:
        file.mkrntuple("EventData", ak.zip(found, depth_limit=1))
    extract(tmp_path / "DAOD.root", tmp_path / "train.h5", sample=SAMPLE)
    assert read(tmp_path / "train.h5")["jets"]["label"].tolist() == [0, 0]


def test_what_is_linked_to_nothing_is_no_decay_product(tmp_path: Path) -> None:
    truth = [particle(35, px=1.0, mass=20.0, **toward(0.0, 0.0, 2000.0))]
    truth += [particle(4, parent=0, mass=1.5), particle(6, mass=173.0)]
    # Lists that are always empty have no type to be written with.
    cluster, track = {"e": 9.0, "pt": 9.0, "e_em2": 9.0}, {"pt": 1.0, "charge": 1}
    one = event(1, truth=truth, jets=[{"pt": 50.0}], clusters=[cluster], tracks=[track])
    xaod = write_xaod(tmp_path / "AOD.root", [one])
    extract(xaod, tmp_path / "train.h5", sample=SAMPLE)
    assert read(tmp_path / "train.h5")["jets"]["llp_decay"].tolist() == [4]


def test_an_s_whose_decay_was_left_out_has_no_jet(tmp_path: Path) -> None:
    truth = [particle(25, mass=600.0), particle(35, parent=0, px=1.0, mass=20.0)]
    cluster, track = {"e": 9.0, "pt": 9.0, "e_em2": 9.0}, {"pt": 1.0, "charge": 1}
    one = event(1, truth=truth, jets=[{"pt": 50.0}], clusters=[cluster], tracks=[track])
    xaod = write_xaod(tmp_path / "AOD.root", [one])
    extract(xaod, tmp_path / "train.h5", unmatched=True)
    (jet,) = read(tmp_path / "train.h5")["jets"]
    assert (jet["label"], jet["llp_decay"]) == (-1, -1)


def test_other_jets_and_other_long_lived_particles(events: list[Event], tmp_path: Path) -> None:
    found = branches(events)
    others = {
        name.replace("EMTopo", "EMPFlow"): values * 1.001 if name.endswith(":pt") else values
        for name, values in found.items()
        if name.startswith("AntiKt4")
    }
    path = tmp_path / "AOD.root"
    with uproot.recreate(path) as file:
        file.mkrntuple("EventData", ak.zip(found | others, depth_limit=1))
    words = ["extract", str(path), "--process=gghss", "--jets=AntiKt4EMPFlowJets", "-o"]
    assert main([*words, str(tmp_path / "train.h5")]) == 0
    assert read(tmp_path / "train.h5")["jets"]["pt"].tolist() == pytest.approx([80.08] * 2)
    assert main([*words, str(tmp_path / "none.h5"), "--long-lived=36"]) == 0
    jets = read(tmp_path / "none.h5")["jets"]
    # Nothing in the events lives long then.
    assert jets["label"].tolist() == [0] * 4


# --- trees -----------------------------------------------------------------------------------


def write_tree(path: Path, events: list[Event], *, without: tuple[str, ...] = ()) -> Path:
    """Write the branches that a tree of uproot's can hold; others are left out."""
    kept: dict[str, ak.Array] = {}
    for name, values in branches(events).items():
        branch = name.replace(":", ".")
        if branch in without or values.ndim > 2:
            continue
        if name.endswith("Link"):
            kept |= {f"{branch}.{part}": values[part] for part in ("m_persKey", "m_persIndex")}
        else:
            kept[branch] = values
    with uproot.recreate(path) as file:
        file.mktree(
            "CollectionTree", {branch: values.type.content for branch, values in kept.items()}
        )
        file["CollectionTree"].extend(kept)
    return path


@pytest.mark.parametrize("kind", ["tracks", "clusters", "truth particles", "truth vertices"])
def test_a_tree_is_read_as_an_rntuple(events: list[Event], tmp_path: Path, kind: str) -> None:
    stores = [
        Store(write_tree(tmp_path / "tree.root", events), ""),
        Store(write_xaod(tmp_path / "tuple.root", events), ""),
    ]
    tree, rntuple = (store.table(kind, 0, 2) for store in stores)
    assert len(tree["event"]) > 0
    assert set(rntuple) - set(tree) <= {"e_sampl"}
    for name, values in tree.items():
        np.testing.assert_array_equal(values, rntuple[name])


# --- bad input -------------------------------------------------------------------------------

NEEDED = [
    *("AntiKt4EMTopoJetsAux:pt", "AntiKt4EMTopoJetsAux:EnergyPerSampling"),
    *("InDetTrackParticlesAuxDyn:qOverP", "EventInfoAuxDyn:eventNumber"),
    *("TruthParticlesAux:pdgId", "TruthParticlesAux:decayVtxLink", "TruthVerticesAux:z"),
]


@pytest.mark.parametrize("branch", NEEDED)
def test_what_must_not_be_missing_is_named(
    events: list[Event], tmp_path: Path, branch: str
) -> None:
    xaod = write_xaod(tmp_path / "DAOD.root", events, without=(branch,))
    name = branch.replace("Dyn", "").replace(":", ".")
    with pytest.raises(InputError, match=rf"DAOD.root' lacks .*{name}") as caught:
        extract(xaod, tmp_path / "train.h5", sample=SAMPLE)
    assert str(caught.value).count("Aux.") == (2 if "Link" in branch else 1)
    assert not (tmp_path / "train.h5").exists()


def test_every_needed_container_is_named(events: list[Event], tmp_path: Path) -> None:
    kept = ("AntiKt4", "EventInfo")
    names = tuple(name for name in branches(events) if not name.startswith(kept))
    xaod = write_xaod(tmp_path / "DAOD.root", events, without=names)
    with pytest.raises(InputError) as caught:
        extract(xaod, tmp_path / "train.h5")
    said = str(caught.value)
    assert "TruthParticles or TruthBSMWithDecayParticlesAux.pdgId" in said
    assert "InDetTrackParticlesAux.d0" in said
    assert "AntiKt4" not in said


def test_a_run_number_must_be_there(events: list[Event], tmp_path: Path) -> None:
    names = ("EventInfoAuxDyn:mcChannelNumber", "EventInfoAuxDyn:runNumber")
    xaod = write_xaod(tmp_path / "DAOD.root", events, without=names)
    with pytest.raises(InputError, match=r"lacks .* EventInfoAux.mcChannelNumber"):
        extract(xaod, tmp_path / "train.h5")


def test_jets_that_are_not_there(events: list[Event], tmp_path: Path) -> None:
    xaod = write_xaod(tmp_path / "AOD.root", events)
    with pytest.raises(InputError, match=r"lacks .*AntiKt10Aux.pt"):
        extract(xaod, tmp_path / "train.h5", sample=replace(SAMPLE, jets="AntiKt10"))


def test_a_root_file_that_is_no_aod(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "other.root") as file:
        file.mktree("ntuple", {"x": "float32"})
    with pytest.raises(InputError, match=r"has no CollectionTree and no EventData"):
        extract(tmp_path / "other.root", tmp_path / "train.h5")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.95])
def test_a_file_cut_short(events: list[Event], tmp_path: Path, share: float) -> None:
    xaod = write_xaod(tmp_path / "AOD.root", events)
    content = xaod.read_bytes()
    xaod.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"AOD.root'"):
        extract(xaod, tmp_path / "train.h5")
    assert not (tmp_path / "train.h5").exists()


def test_variables_of_different_lengths(events: list[Event], tmp_path: Path) -> None:
    found = branches(events)
    found["AntiKt4EMTopoJetsAux:eta"] = found["AntiKt4EMTopoJetsAux:eta"][:, :-1]
    with uproot.recreate(tmp_path / "AOD.root") as file:
        file.mkrntuple("EventData", ak.zip(found, depth_limit=1))
    with pytest.raises(InputError, match=r"AntiKt4EMTopoJets has variables of different lengths"):
        extract(tmp_path / "AOD.root", tmp_path / "train.h5")


def test_energies_that_do_not_fit_their_pattern(events: list[Event], tmp_path: Path) -> None:
    found = branches(events)
    pattern = "CaloCalTopoClustersAuxDyn:samplingPattern"
    found[pattern] = found[pattern] * 0 + 1
    with uproot.recreate(tmp_path / "AOD.root") as file:
        file.mkrntuple("EventData", ak.zip(found, depth_limit=1))
    with pytest.raises(InputError, match=r"do not fit its sampling patterns"):
        extract(tmp_path / "AOD.root", tmp_path / "train.h5")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"process": "h" * 13}, "more than 12 letters"),
        ({"m_phi": 0.0}, "m-phi must be a mass above 0 GeV"),
        ({"m_s": -1.0}, "m-s must be a mass above 0 GeV"),
        ({"m_s": math.inf}, "m-s must be"),
    ],
)
def test_what_cannot_be_a_sample(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        AthenaSample(**values)


def test_uproot_may_not_be_installed(
    events: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xaod = write_xaod(tmp_path / "AOD.root", events)
    monkeypatch.setitem(__import__("sys").modules, "uproot", None)
    with pytest.raises(SetupError, match=r"pip install 'hvmpi\[xaod\]'"):
        extract(xaod, tmp_path / "train.h5")


def test_every_variable_is_written_here() -> None:
    """What is read is what the files of these tests have, or an alternative of it."""
    written = {name.partition(":")[2].partition(".")[0] for name in branches([event(1)])}
    alternatives = {"calE", "calEta", "calPhi", "m_samplingPattern"}

    def base(variable: Variable) -> str:
        return variable.name.partition(".")[0]

    assert {base(variable) for variable in VARIABLES} - alternatives == written
