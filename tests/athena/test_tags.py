"""Tags: what a tag file may say, and the one sentence that answers any other."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.athena.tags import PLACEHOLDERS, EventRule, Tag, fill, read_tag
from hvmpi.errors import ConfigError

from ..conftest import Place
from .campaigns import TAGS, config, tag
from .site import StandIn

TEXTS: dict[str, tuple[str, list[str]]] = {
    "not TOML": ("name = ", ["is not TOML: Invalid value"]),
    "not UTF-8": ("", ["is not TOML", "UTF-8"]),
    "empty": ("\n", ["'name' is missing"]),
}
KEYS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown key": ({"relase": "x"}, ["'relase'", "'release'"]),
    "name of another": ({"name": "good"}, ["'good'", "good.toml"]),
    "name is a number": ({"name": 3}, ["name wants a text", "3"]),
    "release is a list": ({"release": ["a"]}, ["release wants a text"]),
    "release is a command": ({"release": "23.0.53; rm -rf x"}, ["release", "rm -rf x"]),
    "release with a substitution": ({"release": "$(id)"}, ["release", "$(id)"]),
    "release with a newline": ({"release": "23.0.53\n"}, ["release", r"'23.0.53\n'"]),
    "release is an option": ({"release": "--help"}, ["release", "--help"]),
    "empty release": ({"release": ""}, ["release", "''"]),
    "output is a text": ({"output": "HITS"}, ["output wants a list of texts", "'HITS'"]),
    "output is empty": ({"output": []}, ["output wants a list of texts"]),
    "output is unknown": ({"output": ["HITZ"]}, ["output", "'HITZ'"]),
    "output twice": ({"output": ["HITS", "HITS"]}, ["HITS", "twice"]),
    "output is its input": ({"output": ["EVNT", "HITS"]}, ["EVNT", "input too"]),
    "input is unknown": ({"input": "evnt"}, ["input", "'evnt'"]),
    "cores 0": ({"cores": 0}, ["cores", "at least 1", "0"]),
    "cores -2": ({"cores": -2}, ["cores", "at least 1"]),
    "cores true": ({"cores": True}, ["cores wants a whole number", "True"]),
    "cores 2.5": ({"cores": 2.5}, ["cores wants a whole number", "2.5"]),
    "container is a list": ({"container": ["el9"]}, ["container wants a text"]),
    "container is an option": ({"container": "--writable"}, ["container", "--writable"]),
    "container with a newline": ({"container": "el9\nid"}, ["container", r"el9\nid"]),
    "events unknown": ({"events": "most"}, ["events", "'most'", "exact, tolerance, filter"]),
    "tolerance of exact": (
        {"output": ["RDO"], "tolerance": 0.1},
        ["tolerance", "'exact'", "leave one"],
    ),
    "tolerance 1": ({"tolerance": 1}, ["tolerance", "below 1"]),
    "tolerance nan": ({"tolerance": float("nan")}, ["tolerance", "nan"]),
    "tolerance is a text": ({"tolerance": "5 %"}, ["tolerance wants a number", "'5 %'"]),
    "framework": ({"framework": "2019"}, ["framework", "'2019'", "2022, 2024"]),
    "transform with a path": ({"transform": "../Sim_tf.py"}, ["transform", "'../Sim_tf.py'"]),
    "transform unknown": ({"transform": "Sin_tf.py"}, ["'Sin_tf.py'", "'Sim_tf.py'"]),
    "arguments is a list": ({"arguments": ["a"]}, ["arguments is a table", "[arguments]"]),
    "environment is a text": ({"environment": "A=1"}, ["environment is a table"]),
    "variable": ({"environment": {"A-B": "1"}}, ["variable", "'A-B'"]),
    "variable with a zero byte": ({"environment": {"A": "x\0"}}, ["A:", "zero byte"]),
    "variable is a table": ({"environment": {"A": {"b": "c"}}}, ["A wants a text"]),
}
ARGUMENTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown": ({"jobNumbr": 3}, ["Sim_tf.py of 2024", "'jobNumbr'", "'jobNumber'"]),
    "not a name": ({"job number": 3}, ["argument", "'job number'"]),
    "with dashes": ({"--jobNumber": 3}, ["argument", "'--jobNumber'"]),
    "a table": ({"jobNumber": {"a": 1}}, ["jobNumber wants a text"]),
    "a list in a list": ({"preExec": [["a"]]}, ["preExec wants a text"]),
    "no value": ({"preExec": []}, ["preExec has no value"]),
    "zero byte": ({"preExec": "a\0b"}, ["preExec", "zero byte"]),
    "several for one": ({"jobNumber": [1, 2]}, ["jobNumber takes one value, not 2"]),
    "a value for a flag": ({"dumpPickle": "x", "showGraph": "yes"}, ["showGraph takes no value"]),
    "dash in several": ({"preExec": ["a", "-b"]}, ["preExec", "'-b'"]),
    "the input": ({"inputEVNTFile": "a.root"}, ["inputEVNTFile is given by hvmpi"]),
    "the output": ({"outputHITSFile": "a.root"}, ["outputHITSFile is given by hvmpi"]),
    "placeholder": ({"jobNumber": "{jobb}"}, ["jobNumber has {jobb}", "'job'", "{{jobb}}"]),
    "placeholder of capitals": ({"preExec": ["a", "{firstEvent}"]}, ["preExec has {firstEvent}"]),
    "the same events for all": ({"maxEvents": -1}, ["maxEvents", "'-1'", "{max_events}"]),
    "the same start for all": ({"skipEvents": 0}, ["skipEvents", "'0'", "{skip_events}"]),
}


def refused(place: Place, standin: StandIn, name: str, **settings: Any) -> str:
    """Plan with a tag; give the sentence that refuses it, which leaves nothing behind."""
    chosen = config(place, standin, ["mc15_gen", name], job_config="304795", **settings)
    before = place.tree()
    answer = place.hvmpi("plan", "run", "-c", chosen)
    assert answer.code == 2
    assert place.tree() == before
    assert not answer.out
    return answer.complaint


def rewritten(place: Place, keys: dict[str, Any]) -> Path:
    """Write the tag ``bad`` with other keys, those of None left out."""
    path = place.root / f"tags/{tag(place, 'bad')}.toml"
    values = tomllib.loads(path.read_text()) | keys
    path.write_text(tomli_w.dumps({k: v for k, v in values.items() if v is not None}))
    return path


@pytest.mark.parametrize("case", TEXTS)
def test_a_tag_that_cannot_be_read_is_refused(place: Place, standin: StandIn, case: str) -> None:
    text, wanted = TEXTS[case]
    (place.root / "tags").mkdir()
    path = place.root / "tags/bad.toml"
    path.write_bytes(text.encode() or b'name = "\xff"')
    said = refused(place, standin, "bad")
    assert all(part in said for part in [str(path), *wanted]), said


def test_a_tag_that_is_a_directory_is_refused(place: Place, standin: StandIn) -> None:
    (place.root / "tags/bad.toml").mkdir(parents=True)
    said = refused(place, standin, "./tags/bad.toml")
    assert "tags/bad.toml cannot be read (Is a directory)" in said


@pytest.mark.parametrize("key", ["name", "transform", "release", "output", "arguments"])
def test_a_tag_without_a_key_is_refused(place: Place, standin: StandIn, key: str) -> None:
    path = rewritten(place, {key: None})
    assert f"tag {path}: the key {key!r} is missing" in refused(place, standin, "bad")


def test_a_tag_without_input_is_a_generation_of_evnt_only(place: Place, standin: StandIn) -> None:
    rewritten(place, {"input": None})
    assert "the key 'input' is missing" in refused(place, standin, "bad")


@pytest.mark.parametrize("case", KEYS)
def test_a_tag_with_a_wrong_key_or_value_is_refused(
    place: Place, standin: StandIn, case: str
) -> None:
    keys, wanted = KEYS[case]
    path = rewritten(place, keys)
    said = refused(place, standin, "bad")
    assert all(part in said for part in [str(path), *wanted]), said


@pytest.mark.parametrize("case", ARGUMENTS)
def test_a_tag_with_a_wrong_argument_is_refused(place: Place, standin: StandIn, case: str) -> None:
    arguments, wanted = ARGUMENTS[case]
    tag(place, "bad", arguments=arguments)
    said = refused(place, standin, "bad")
    assert all(part in said for part in [str(place.root / "tags/bad.toml"), *wanted]), said


def test_a_placeholder_of_the_environment_that_nothing_fills_is_refused(
    place: Place, standin: StandIn
) -> None:
    tag(place, "bad", environment={"MINE": "{sede}"})
    assert "MINE has {sede}, which nothing fills (did you mean 'seed'?)" in (
        refused(place, standin, "bad")
    )


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({"arguments": {"formats": ["PHYS"]}}, ["makes DAOD_PHYS (formats", "says DAOD_EXOT15"]),
        ({"arguments": {}}, ["makes nothing", "formats", "DAOD_EXOT15"]),
        (
            {"arguments": {"formats": ["EXOT15", "PHYS"]}},
            ["makes DAOD_EXOT15, DAOD_PHYS", "says DAOD_EXOT15"],
        ),
        ({"arguments": {"formats": "EXOT15", "outputDAODFile": "x"}}, ["is given by hvmpi"]),
    ],
)
def test_formats_are_those_of_the_output(
    place: Place, standin: StandIn, keys: dict[str, Any], wanted: list[str]
) -> None:
    derivation = {"transform": "Derivation_tf.py", "output": ["DAOD_EXOT15"]}
    tag(place, "bad", **derivation, **keys)
    said = refused(place, standin, "bad", keep=["daod"])
    assert all(part in said for part in wanted), said


# Lists of arguments


@pytest.mark.parametrize(("release", "framework"), [("22.0.40", "2022"), ("23.0.53", "2024")])
def test_a_release_has_its_list_of_arguments(
    place: Place, standin: StandIn, release: str, framework: str
) -> None:
    tag(place, "bad", release=f"Athena,{release}", arguments={"truthStrateg": "MC12"})
    said = refused(place, standin, "bad")
    assert f"Sim_tf.py of {framework} has no argument 'truthStrateg'" in said
    assert "did you mean 'truthStrategy'?" in said
    assert "--no-argument-check" in said


def test_a_tag_chooses_its_list_itself(place: Place, standin: StandIn) -> None:
    tag(place, "bad", release="Athena,main", framework="2022", arguments={"x": 1})
    assert "Sim_tf.py of 2022 has no argument 'x'" in refused(place, standin, "bad")


@pytest.mark.parametrize("release", ["AtlasProduction,19.2.3.7", "20.7.5.1.1", "21.6.99,here"])
def test_unknown_arguments_of_an_old_release_are_told_and_taken(
    place: Place, standin: StandIn, release: str
) -> None:
    tag(place, "old", release=release, arguments={"jobNumbr": "3"})
    chosen = config(place, standin, ["mc15_gen", "old"], job_config="304795", keep=["hits"])
    answer = place.hvmpi("plan", "run", "-c", chosen)
    assert answer.code == 0, answer.err
    said = next(line for line in answer.out.splitlines() if "jobNumbr" in line)
    assert "Sim_tf.py of 2022 has no argument 'jobNumbr' (did you mean 'jobNumber'?)" in said
    assert "--jobNumbr=3" in answer.out


def test_without_the_check_any_argument_and_transform_is_taken(
    place: Place, standin: StandIn
) -> None:
    tag(place, "new", transform="FastChain_tf.py", arguments={"soon": ["a", "b"], "now": True})
    chosen = config(place, standin, ["mc15_gen", "new"], job_config="304795", keep=["hits"])
    assert place.hvmpi("plan", "run", "-c", chosen).code == 2
    answer = place.hvmpi("plan", "run", "-c", chosen, "--no-argument-check")
    assert answer.code == 0, answer.err
    assert "--soon a b --now\n" in answer.out.replace(" --skipEvents=0 --maxEvents=50", "")
    assert "soon" not in answer.out.partition("\nJOB")[0]


def test_the_refusal_of_an_unknown_transform_says_what_helps(
    place: Place, standin: StandIn
) -> None:
    tag(place, "bad", transform="FastChain_tf.py")
    assert "--no-argument-check" in refused(place, standin, "bad")


# What is read


@pytest.mark.parametrize("path", sorted(TAGS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_shipped_tags_are_right_for_their_releases(path: Path) -> None:
    one = read_tag(path)
    assert one.check_arguments() == []
    assert one.name == path.stem


def read(tmp_path: Path, **keys: Any) -> Tag:
    place = Place(tmp_path, {})
    return read_tag(place.root / f"tags/{tag(place, 'mine', **keys)}.toml")


def test_values_are_what_the_file_says(tmp_path: Path) -> None:
    arguments = {"CA": True, "imf": False, "jobNumber": 3, "preExec": ["a'\"\n", "{{b}}"]}
    one = read(tmp_path, arguments=arguments, environment={"A": 1.5, "B": "x\ny"})
    assert one.arguments == {
        "CA": True,
        "imf": False,
        "jobNumber": "3",
        "preExec": ("a'\"\n", "{{b}}"),
    }
    assert one.environment == {"A": "1.5", "B": "x\ny"}


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ({}, EventRule.TOLERANCE),
        ({"output": ["RDO", "AOD"]}, EventRule.EXACT),
        ({"events": "exact"}, EventRule.EXACT),
        ({"output": ["DAOD_PHYS"], "arguments": {"formats": "PHYS"}}, EventRule.EXACT),
        ({"output": ["DAOD_LLP1"], "arguments": {"formats": "LLP1"}}, EventRule.FILTER),
        (
            {"output": ["DAOD_PHYS", "DAOD_LLP1"], "arguments": {"formats": ["PHYS", "LLP1"]}},
            EventRule.FILTER,
        ),
    ],
)
def test_the_rule_of_events_is_athenas_own(
    tmp_path: Path, keys: dict[str, Any], rule: EventRule
) -> None:
    assert read(tmp_path, transform="Derivation_tf.py", **keys).events is rule


@pytest.mark.parametrize(
    ("events", "low"), [(0, 0), (1, 0), (9, 8), (10, 9), (50, 49), (200, 199), (1000, 995)]
)
def test_a_tolerance_is_rounded_as_the_framework_does(
    tmp_path: Path, events: int, low: int
) -> None:
    one = read(tmp_path)
    assert one.low(events, "HITS") == low
    assert dataclasses.replace(one, events=EventRule.EXACT).low(events, "HITS") == events


def test_a_filter_spares_the_formats_that_keep_all_events(tmp_path: Path) -> None:
    one = read(tmp_path, events="filter")
    assert one.low(50, "DAOD_LLP1") == 0
    assert one.low(50, "DAOD_PHYS") == one.low(50, "DAOD_PHYSLITE") == 50


# Placeholders


def test_doubled_braces_are_braces() -> None:
    assert fill("{{job}} {job} {} {0} { job } {'a': 1}", {"job": 7}) == (
        "{job} 7 {} {0} { job } {'a': 1}"
    )


def test_what_is_put_in_is_not_looked_at_again() -> None:
    assert fill("{sample}", {"sample": "{job}", "job": 7}) == "{job}"


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(sorted(PLACEHOLDERS)))
def test_a_text_between_braces_of_no_name_stays_as_it_is(text: str, name: str) -> None:
    plain = text.replace("{", "(").replace("}", ")")
    assert fill(f"{plain}{{{name}}}{plain}", {name: 3}) == f"{plain}3{plain}"


def test_a_placeholder_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="job"):
        fill("{job}", {})


def test_a_tag_of_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_tag(tmp_path / f"{'x' * 300}.toml")
