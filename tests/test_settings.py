"""Settings: where each value comes from, and that what is written is read again."""

from __future__ import annotations

import dataclasses
import shutil
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hvmpi.errors import ConfigError, UsageError
from hvmpi.option import Option
from hvmpi.options import OPTIONS
from hvmpi.sample import SampleOptions
from hvmpi.settings import Settings, load, load_run, to_toml
from hvmpi.site import make_site
from tests.conftest import QUIET, Place, shell

CONFIG = 'engine = "noop"\njob-size = 11\nseed = 12\nbatch-size = 13\nkeep = ["evnt"]\n'


@pytest.fixture
def config(place: Place) -> str:
    path = place.root / "my.toml"
    path.write_text(CONFIG)
    return f"--config={path}"


def test_defaults(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in QUIET:
        monkeypatch.delenv(name)
    asked = load("run", [])
    assert (asked.engine, asked.seed, asked.job_size, asked.max_attempts) == ("openchain", 1, 50, 2)
    assert asked.keep == ("evnt", "aod", "train")
    assert asked.run_dir == str(place.root / "runs")
    (sample,) = asked.samples
    assert (sample.batch_size, sample.num_batches, sample.run_number) == (5000, 20, None)
    assert set(asked.sources.values()) == {"default"}


def test_command_line_before_environment_before_config_before_default(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load("run", [config]).job_size == 11
    monkeypatch.setenv("HVMPI_JOB_SIZE", "21")
    monkeypatch.setenv("HVMPI_SEED", "22")
    asked = load("run", [config, "--job-size", "31"])
    assert (asked.job_size, asked.seed, asked.samples[0].batch_size) == (31, 22, 13)
    assert {name: asked.sources[name] for name in ("job-size", "seed", "batch-size", "nice")} == {
        "job-size": "command line",
        "seed": "environment",
        "batch-size": "config",
        "nice": "default",
    }


def test_an_empty_variable_is_none(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.root
    monkeypatch.setenv("HVMPI_JOB_SIZE", "")
    assert load("run", []).job_size == 50


@pytest.mark.parametrize("words", [["-b", "7"], ["-b7"], ["--batch-size=7"]])
def test_b_is_the_batch_size_in_run(config: str, words: list[str]) -> None:
    for verb in ("run", "generate"):
        asked = load(verb, [config, *words])
        assert (asked.samples[0].batch_size, asked.job_size) == (7, 11)
        assert asked.sources["batch-size"] == "command line"


def test_b_is_the_job_size_in_reconstruct(config: str) -> None:
    asked = load("reconstruct", [config, "-b", "7"])
    assert (asked.samples[0].batch_size, asked.job_size) == (13, 7)


def test_b_means_in_plan_what_it_means_in_the_verb_that_is_planned(place: Place) -> None:
    place.event_file("a", [1])
    for words in (["reconstruct", "--evnt-dir=evnt"], ["--evnt-dir=evnt"]):
        asked = load("plan", [*words, "-b", "7"])
        assert (asked.verb, asked.samples[0].batch_size, asked.job_size) == ("reconstruct", 5000, 7)
    for words in (["run"], ["generate"], []):
        asked = load("plan", [*words, "-b", "7", "-n", "3"])
        assert (asked.samples[0].batch_size, asked.job_size) == (7, 50)


def test_a_list_of_the_command_line_replaces_the_configs(config: str) -> None:
    assert load("run", [config, "--keep=aod", "--keep", "hits,rdo"]).keep == ("aod", "hits", "rdo")


def test_truths(place: Place) -> None:
    (place.root / "my.toml").write_text("fused = false\nkeep-logs = true\n")
    asked = load("run", ["-c", "my.toml"])
    assert (asked.fused, asked.keep_logs) == (False, True)
    asked = load("run", ["-c", "my.toml", "--fused", "--no-keep-logs"])
    assert (asked.fused, asked.keep_logs) == (True, False)


@pytest.mark.parametrize(("given_as", "is_fused"), [("true", True), ("false", False)])
def test_truths_of_the_environment(
    place: Place, monkeypatch: pytest.MonkeyPatch, given_as: str, is_fused: bool
) -> None:
    assert place.root
    monkeypatch.setenv("HVMPI_FUSED", given_as)
    assert load("run", []).fused is is_fused


def test_samples_of_a_config(place: Place) -> None:
    (place.root / "my.toml").write_text(
        'engine = "noop"\n'
        '[[sample]]\nprocess = "gghss"\nrun-number = 304794\nnum-batches = 3\n'
        'pythia = ["Tune:pp = 21"]\n'
        '[[sample]]\nname = "slice"\nprocess = "qcd"\npt-hat-min = 20\npt-hat-max = 40.5\n'
        '[[sample]]\nprocess = "gghss"\n'
    )
    first, second, third = load("run", ["-c", "my.toml"]).samples
    assert (first.name, first.run_number, first.num_batches) == ("gghss", 304794, 3)
    assert (first.batch_size, first.pythia) == (5000, ("Tune:pp = 21",))
    assert (second.name, second.pt_hat_min, second.pt_hat_max) == ("slice", 20.0, 40.5)
    assert third.name == "gghss2"


def test_the_shorthand_for_one_sample_is_the_same(place: Place) -> None:
    body = 'process = "gghss"\nrun-number = 304794\nbatch-size = 25\n'
    (place.root / "short.toml").write_text('engine = "noop"\n' + body)
    (place.root / "long.toml").write_text('engine = "noop"\n[[sample]]\n' + body)
    assert load("run", ["-c", "short.toml"]) == load("run", ["-c", "long.toml"])
    changed = load("run", ["-c", "long.toml", "--batch-size=7"])
    assert changed.samples[0].batch_size == 7


def test_paths_are_absolute(place: Place) -> None:
    asked = load("run", ["--evnt-dir=x y", "--aod-dir=../a", "--lhe=in.lhe"])
    assert asked.evnt_dir == str(place.root / "x y")
    assert Path(str(asked.aod_dir)).is_absolute()
    assert asked.samples[0].lhe == (str(place.root / "in.lhe"),)


@pytest.mark.parametrize("verb", ["run", "generate", "reconstruct", "plan", "rerun"])
def test_help_groups_options_and_shows_an_example(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        load(verb, ["--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    for group in ("what is made", "where things are", "how jobs are run"):
        assert f"{group}:" in text
    # `run` is also meant where no verb is given.
    wanted = "-m hvmpi" if verb == "run" else f"-m hvmpi {verb}"
    assert wanted in text.partition("example:")[2]
    for option in OPTIONS:
        assert f"--{option.name}" in text


def test_a_run_without_pile_up_can_be_a_config(place: Place) -> None:
    """It says how many events a library would have had, which is no wish for one."""
    (place.root / "settings.toml").write_text(to_toml(load("run", ["--engine=noop"])))
    assert "pileup-events" in (place.root / "settings.toml").read_text()
    assert load("run", ["-c", "settings.toml"]).pileup_mu == 0
    asked = load("run", ["-c", "settings.toml", "--pileup-mu=3"])
    assert (asked.pileup_mu, asked.pileup_events, asked.makes_library) == (3, 1000, True)


def test_a_library_made_before_is_not_made(place: Place) -> None:
    asked = load("run", ["--pileup-mu=3", "--pileup-library=x.hits.h5"])
    assert asked.pileup_library == str(place.root / "x.hits.h5")
    assert not asked.makes_library


# What is written is read again

TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), min_size=1
)
PATHS = st.text(string.ascii_letters + " '\"äß粒;$*[]", min_size=1).map(lambda name: f"/x/{name}")


def values_of(option: Option) -> st.SearchStrategy[Any]:
    if option.choices:
        choice = st.sampled_from(option.choices)
        return st.lists(choice, min_size=1).map(tuple) if option.kind == "list" else choice
    low = option.minimum if option.minimum is not None else option.above
    floats = st.floats(
        low,
        option.maximum,
        exclude_min=option.above is not None,
        allow_nan=False,
        allow_infinity=False,
    )
    return {
        "int": st.integers(
            int(low or 0), int(option.maximum) if option.maximum is not None else None
        ),
        "float": floats,
        "str": TEXTS,
        "path": PATHS,
        "bool": st.booleans(),
        "list": st.lists(TEXTS, max_size=3).map(tuple),
    }[option.kind]


def fields_of(*, sample: bool) -> dict[str, st.SearchStrategy[Any]]:
    fields = {}
    for option in OPTIONS:
        if option.sample is sample:
            values = values_of(option)
            optional = option.default is None and option.name != "name"
            fields[option.field] = st.none() | values if optional else values
    return fields


SAMPLE = st.builds(
    SampleOptions,
    **(
        fields_of(sample=True)
        | {
            "lhe": st.lists(PATHS, max_size=2).map(tuple),
            "job_config": st.none() | PATHS | st.just("304795"),
        }
    ),
)
SITE = st.builds(
    make_site,
    st.dictionaries(st.sampled_from(["setup-script", "scratch"]), PATHS)
    | st.fixed_dictionaries({"binds": st.just(["/data"]), "cores": st.integers(1, 99)}),
    st.just(str),
)
# What a run has with it, by name, and what it has taken in.
OWN = {"tags": st.lists(st.sampled_from(["s2608", "r7773"])).map(tuple), "site_file": st.none()}
SETTINGS = st.builds(
    Settings,
    verb=st.sampled_from(["run", "generate", "reconstruct"]),
    samples=st.lists(SAMPLE, min_size=1, max_size=3, unique_by=lambda s: s.name).map(tuple),
    site=SITE,
    **(fields_of(sample=False) | OWN),
)


@given(SETTINGS)
@settings(deadline=None)
def test_written_settings_are_read_again(
    tmp_path_factory: pytest.TempPathFactory, asked: Settings
) -> None:
    directory = tmp_path_factory.mktemp("run")
    (directory / "settings.toml").write_text(to_toml(asked), encoding="utf-8")
    assert load_run(directory) == asked


def test_the_settings_of_a_run_are_a_config(place: Place, config: str) -> None:
    words = [config, "--job-size=4", "-n2", "--fused", "--noop-command=a b", "--noop-command=c"]
    asked = load("run", words)
    (place.root / "settings.toml").write_text(to_toml(asked))
    assert load("run", ["-c", "settings.toml"]) == asked
    assert load_run(place.root) == asked


def test_a_run_without_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"settings\.toml"):
        load_run(tmp_path)


def test_settings_cannot_be_changed(place: Place) -> None:
    assert place.root
    with pytest.raises(dataclasses.FrozenInstanceError):
        load("run", []).seed = 3  # type: ignore[misc]


def test_an_option_is_never_abbreviated(place: Place) -> None:
    assert place.root
    with pytest.raises(UsageError, match="--job-siz"):
        load("run", ["--job-siz=3"])


CAMPAIGN = ("run", "--engine=noop", "-n1", "-b2")
GO_ON = (*CAMPAIGN, "--rerun=auto")


def test_rerun_auto_goes_on_with_what_was_cut_short(place: Place) -> None:
    assert place.hvmpi(*GO_ON, "--time-limit=0.001").code == 3
    (cut_short,) = place.runs()
    answer = place.hvmpi(*GO_ON, "--time-limit=600")
    assert answer.code == 0
    assert f"goes on with run {cut_short.timestamp}, which was cut short" in answer.out
    assert place.run().status().jobs["state"].tolist() == ["done", "done"]
    # What is done is done: the same again is a new run.
    assert place.hvmpi(*GO_ON).code == 0
    assert len(place.runs()) == 2


def test_rerun_auto_leaves_other_campaigns_alone(place: Place) -> None:
    assert place.hvmpi(*CAMPAIGN, "--seed=2", "--time-limit=0.001").code == 3
    assert place.hvmpi(*GO_ON).code == 0
    other, ours = place.runs()
    assert other.ledger().unfinished
    assert not ours.ledger().unfinished


def test_rerun_auto_does_not_try_again_what_failed_for_good(place: Place) -> None:
    fails = shell("exit 1")
    assert place.hvmpi(*GO_ON, *fails, "--max-attempts=1").code == 1
    assert place.hvmpi(*GO_ON, *fails, "--max-attempts=1").code == 1
    assert len(place.runs()) == 2


def test_rerun_auto_takes_a_run_up_whose_master_was_killed(place: Place) -> None:
    assert place.hvmpi(*GO_ON).code == 0
    journal = place.run().journal
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    assert place.hvmpi(*GO_ON).code == 0
    assert len(place.runs()) == 1


def test_rerun_auto_passes_over_a_start_that_had_no_plan(place: Place) -> None:
    assert place.hvmpi(*GO_ON, "--time-limit=0.001").code == 3
    (cut_short,) = place.runs()
    later = cut_short.directory.with_name(str(int(cut_short.timestamp) + 1))
    shutil.copytree(cut_short.directory, later)
    begun = cut_short.journal.read_bytes().splitlines(keepends=True)[0]
    (later / "journal.jsonl").write_bytes(begun)
    assert place.hvmpi(*GO_ON, "--time-limit=600").code == 0
    assert not cut_short.ledger().unfinished


def test_time_limit_auto_without_a_batch_system_is_told(place: Place) -> None:
    answer = place.hvmpi(*CAMPAIGN, "--time-limit=auto")
    assert answer.code == 0
    assert "no batch system sets an end" in answer.out
    assert place.hvmpi(*CAMPAIGN, "--time-limit=soon").code == 2
