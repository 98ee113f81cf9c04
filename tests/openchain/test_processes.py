from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import math
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.errors import ConfigError
from hvmpi.openchain.processes import PROCESSES, Process, resolve, run_numbers
from hvmpi.sample import SampleOptions

CHANNELS = ("bb", "cc", "ss", "uu", "dd", "gg", "tautau", "mumu", "ee", "gammagamma")


def sample(process: str | None = "gghss", **options: object) -> Process:
    return resolve(SampleOptions("signal", process, **options))  # type: ignore[arg-type]


def refusal(process: str | None = "gghss", **options: object) -> str:
    with pytest.raises(ConfigError) as caught:
        sample(process, **options)
    sentence = str(caught.value)
    assert sentence.startswith("sample signal: ")
    assert "\n" not in sentence
    return sentence


def shares(process: Process) -> dict[str, float]:
    return {decay.channel: decay.share for decay in process.decays}


def test_needs_neither_pythia_nor_hepmc() -> None:
    code = (
        "import sys; sys.modules.update(pythia8mc=None, pyhepmc=None, awkward=None, h5py=None);"
        "from hvmpi.openchain.processes import resolve; from hvmpi.sample import SampleOptions;"
        "print(resolve(SampleOptions('a', 'gghss')).run_number)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "304795\n"


def test_all_36_points() -> None:
    text = resources.files("hvmpi.openchain").joinpath("data", "hss_points.csv").read_text()
    assert text.startswith("# ")
    assert "Source" in text
    rows = list(csv.DictReader(line for line in text.splitlines() if line[0] != "#"))
    assert len(rows) == len(run_numbers("gghss")) == len(run_numbers("whss")) == 36
    for row in rows:
        made = sample("whss", run_number=int(row["run_number"]))
        assert made.m_phi == float(row["m_phi_gev"])
        assert made.m_s == float(row["m_s_gev"])
        assert made.ctau == float(row["mean_ctau_mm"])


def test_run_numbers_of_different_tables_differ() -> None:
    tables = [set(run_numbers(name)) for name in ("gghss", "darkshower", "qcd")]
    assert sum(map(len, tables)) == len(set.union(*tables))


def test_qcd_slices_touch_from_20_gev_to_a_few_tev() -> None:
    slices = [sample("qcd", run_number=number) for number in run_numbers("qcd")]
    assert slices[0].pt_hat_min == 20.0
    assert slices[-1].pt_hat_max is not None
    assert slices[-1].pt_hat_max >= 3000.0
    for lower, upper in itertools.pairwise(slices):
        assert lower.pt_hat_max == upper.pt_hat_min


@pytest.mark.parametrize(
    ("process", "number"),
    [("whss", 304795), ("gghss", 304795), ("darkshower", 500001), ("qcd", 600002)],
)
def test_default_run_number(process: str, number: int) -> None:
    assert sample(process).run_number == number


def test_default_process_is_whss() -> None:
    assert sample(None).process == "whss"


def test_default_decays() -> None:
    assert shares(sample("gghss")) == {"bb": 85.0, "cc": 5.0, "tautau": 8.0, "gg": 2.0}
    assert shares(sample("whss")) == {"bb": 100.0}


@pytest.mark.parametrize("process", ["whss", "gghss"])
def test_default_decays_leave_out_what_is_closed(process: str) -> None:
    decays = shares(sample(process, run_number=304794))
    assert set(decays) == {"cc", "tautau", "gg"}
    assert math.fsum(decays.values()) == pytest.approx(100.0)
    assert decays["tautau"] / decays["cc"] == pytest.approx(8.0 / 5.0)


def test_masses_given_beside_a_run_number_override_the_table() -> None:
    made = sample(run_number=304795, m_s=30.0)
    assert (made.run_number, made.m_phi, made.m_s, made.ctau) == (304795, 125.0, 30.0, 760.0)


def test_point_of_the_table_given_by_its_masses_has_its_run_number() -> None:
    assert sample(m_phi=600.0, m_s=150.0, ctau=3140.0).run_number == 304817
    assert sample("qcd", pt_hat_min=400.0, pt_hat_max=800.0).run_number == 600004


def test_own_run_number_with_nothing_left_open() -> None:
    made = sample(run_number=123, m_phi=300.0, m_s=91.2, ctau=10.0)
    assert made.run_number == 123


def test_unknown_process_suggests_the_nearest() -> None:
    sentence = refusal("gghs")
    assert "process = gghs" in sentence
    assert "did you mean gghss?" in sentence


def test_unknown_run_number_names_the_nearest_and_what_else_to_set() -> None:
    sentence = refusal(run_number=304790, m_phi=125.0)
    assert "run-number = 304790" in sentence
    assert "304794" in sentence
    assert "m-s, ctau" in sentence


@pytest.mark.parametrize(
    ("process", "options", "words"),
    [
        ("gghss", {"m_phi": 0.0}, ["m-phi = 0.0"]),
        ("gghss", {"m_s": -1.0}, ["m-s = -1.0"]),
        ("gghss", {"m_s": math.nan}, ["m-s = nan"]),
        ("gghss", {"m_s": 70.0}, ["m-s = 70", "at most 62.5"]),
        ("gghss", {"ctau": -1.0}, ["ctau = -1.0", "negative"]),
        ("gghss", {"m_phi": 14000.0}, ["m-phi = 14000.0", "13000"]),
        ("gghss", {"num_batches": 0}, ["num-batches = 0"]),
        ("gghss", {"batch_size": -5}, ["batch-size = -5"]),
        ("gghss", {"run_number": 0}, ["run-number = 0"]),
        ("gghss", {"pt_hat_min": 20.0}, ["pt-hat-min = 20.0", "process gghss"]),
        ("gghss", {"lhe": ("x.lhe",)}, ["lhe", "process gghss"]),
        ("qcd", {"m_s": 3.0}, ["m-s = 3.0", "process qcd"]),
        ("qcd", {"pt_hat_min": 80.0, "pt_hat_max": 60.0}, ["pt-hat-min = 80.0", "60"]),
        ("qcd", {"pt_hat_min": 0.0, "pt_hat_max": 60.0}, ["pt-hat-min = 0.0"]),
        ("darkshower", {"m_s": 300.0}, ["m-s = 300", "at most 250"]),
        ("gghss", {"decays": ()}, ["decays", "empty"]),
        ("gghss", {"decays": ("bb",)}, ["'bb'", '"bb 85"']),
        ("gghss", {"decays": ("bb x",)}, ["'bb x'"]),
        ("gghss", {"decays": ("bb nan",)}, ["'bb nan'"]),
        ("gghss", {"decays": ("bb -3",)}, ["'bb -3'"]),
        ("gghss", {"decays": ("bbb 3",)}, ["'bbb 3'", "bb"]),
        ("gghss", {"decays": ("bb 3", "bb 4")}, ["'bb 4'", "second time"]),
        ("gghss", {"decays": ("bb 85", "cc 20")}, ["105 %"]),
        ("gghss", {"run_number": 304794, "decays": ("bb 85",)}, ["'bb 85'", "10.56", "8 GeV"]),
        ("gghss", {"m_s": 0.5, "decays": ("mumu 50",)}, ["50 %", "gg"]),
        ("lhe", {}, ["lhe", "empty"]),
        ("lhe", {"lhe": ("/nowhere.lhe",), "num_batches": 1}, ["/nowhere.lhe", "no file"]),
        ("lhe", {"lhe": ("a.lhe",), "num_batches": 2}, ["num-batches = 2", "names 1"]),
        ("gghss", {"pythia": ("Tune:pp",)}, ["'Tune:pp'"]),
        ("gghss", {"pythia": ("Random:seed = 3",)}, ["'Random:seed = 3'", "leave it out"]),
    ],
)
def test_refused_with_key_and_value(
    process: str, options: dict[str, object], words: list[str]
) -> None:
    sentence = refusal(process, **options)
    for word in words:
        assert word in sentence


@given(
    st.lists(
        st.tuples(st.sampled_from(CHANNELS), st.floats(0.01, 10.0)),
        min_size=1,
        max_size=len(CHANNELS),
        unique_by=lambda pair: pair[0],
    )
)
def test_given_decays_keep_their_shares_and_gg_takes_the_rest(
    given_: list[tuple[str, float]],
) -> None:
    made = shares(sample(decays=tuple(f"{channel} {share!r}" for channel, share in given_)))
    assert math.fsum(made.values()) == pytest.approx(100.0)
    for channel, share in given_:
        if channel != "gg":
            assert made[channel] == share


def test_rest_of_decays_that_add_up_is_nothing() -> None:
    assert shares(sample(decays=("bb 33.3", "cc 33.3", "tautau 33.4"))).keys() == {
        "bb",
        "cc",
        "tautau",
    }


@pytest.mark.parametrize("process", ["whss", "gghss", "darkshower", "qcd"])
def test_identity_is_plain_and_changes_with_all_that_decides_the_events(process: str) -> None:
    made = sample(process)
    identity = made.identity()
    assert json.loads(json.dumps(identity)) == identity
    changes: dict[str, object] = {
        "run_number": 7,
        "batch_size": 7,
        "pythia": ("PartonLevel:MPI = off",),
    }
    if process == "qcd":
        changes |= {"pt_hat_max": 161.0}
    else:
        changes |= {"m_s": 19.0, "m_phi": 130.0, "ctau": 1.0}
    for key, value in changes.items():
        assert dataclasses.replace(made, **{key: value}).identity() != identity, key  # type: ignore[arg-type]
    for key, value in {"name": "other", "num_batches": 99}.items():
        assert dataclasses.replace(made, **{key: value}).identity() == identity, key  # type: ignore[arg-type]


def test_identity_of_lhe_goes_by_the_contents(tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in ("a.lhe", "b.lhe", "c.lhe"))
    first.write_text("events")
    second.write_text("events")
    other.write_text("other events")
    made = [sample("lhe", lhe=(str(path),), num_batches=1) for path in (first, second, other)]
    assert made[0].identity() == made[1].identity() != made[2].identity()


@pytest.mark.parametrize("m_phi", [100.0, 125.0])
def test_width_of_the_standard_model_up_to_125_gev(m_phi: float) -> None:
    assert not any("Width = on" in line for line in sample(m_phi=m_phi).settings)


def test_width_of_5_gev_above() -> None:
    settings = sample(m_phi=125.1).settings
    assert "25:doForceWidth = on" in settings
    assert "25:mWidth = 5.0" in settings


def test_users_settings_are_read_last() -> None:
    assert sample(pythia=("Tune:pp = 14",)).settings[-1] == "Tune:pp = 14"


def test_every_process_is_known_by_its_name() -> None:
    assert list(PROCESSES) == ["whss", "gghss", "darkshower", "qcd", "lhe", "minbias"]
