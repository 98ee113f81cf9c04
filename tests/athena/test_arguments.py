"""Arguments of transforms: the lists that are shipped, and how a value becomes words."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.athena.arguments import (
    FRAMEWORKS,
    Argument,
    Value,
    arguments_of,
    major_release,
    words,
)
from hvmpi.errors import ConfigError

REFERENCE = Path(__file__).parents[3] / "shared/reference"
ONE, MANY, FLAG = Argument("argInt", ""), Argument("argSubstepList", "+"), Argument("", "0")
MAYBE, ANY = Argument("argSubstepBool", "?"), Argument("argSubstepBool", "*")


@pytest.mark.parametrize(
    ("release", "major"),
    [
        ("AtlasProduction,19.2.3.7", 19),
        ("19.2.4.14,AtlasProduction,slc6", 19),
        ("AtlasProd1,20.7.5.1.1", 20),
        ("21.6.99,AthGeneration", 21),
        ("Athena,22.0.40,notest,here", 22),
        ("Athena, 23.0.53", 23),
        ("AthGeneration,23.6.26", 23),
        ("Athena,main,latest", None),
        ("Athena,main--GAUDI-main,r2024-01-01T2101", None),
        ("Athena,r19.2", None),
    ],
)
def test_the_release_is_found_among_the_options_of_asetup(release: str, major: int | None) -> None:
    assert major_release(release) == major


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_shipped_lists_are_the_reference(framework: str) -> None:
    path = REFERENCE / f"athena_arguments_{framework}.json"
    if not path.exists():
        pytest.skip("the reference is not here")
    for transform, known in json.loads(path.read_text()).items():
        name = f"{transform.removesuffix('.py')}.py"
        assert arguments_of(name, framework).keys() == known.keys()


def test_generate_tf_takes_the_names_of_gen_tf() -> None:
    assert arguments_of("Generate_tf.py", "2022") == arguments_of("Gen_tf.py", "2022")


def test_an_unknown_transform_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'Simu_tf\.py' is unknown \(did you mean 'Sim_tf\.py'"):
        arguments_of("Simu_tf.py", "2024")


@pytest.mark.parametrize(
    ("value", "argument", "wanted"),
    [
        ("3", ONE, ["--x=3"]),
        ("-1", MANY, ["--x=-1"]),
        ("--y", MANY, ["--x=--y"]),
        ("", ONE, ["--x="]),
        ("a=b c", None, ["--x=a=b c"]),
        (("a",), ONE, ["--x=a"]),
        (("a", "b"), MANY, ["--x", "a", "b"]),
        (("-1", "-.5", ""), MANY, ["--x", "-1", "-.5", ""]),
        (True, FLAG, ["--x"]),
        (False, FLAG, []),
        (True, ANY, ["--x"]),
        (True, MAYBE, ["--x"]),
        (False, MAYBE, ["--x=False"]),
        (True, ONE, ["--x=True"]),
        (False, MANY, ["--x=False"]),
        (True, None, ["--x"]),
        (False, None, []),
    ],
)
def test_a_value_becomes_words(value: Value, argument: Argument | None, wanted: list[str]) -> None:
    assert words("x", value, argument) == wanted


@pytest.mark.parametrize(
    ("value", "argument", "why"),
    [
        ((), MANY, "x has no value"),
        ("a\0", None, "x: no command can hold a zero byte"),
        (("a", "b\0"), MANY, "zero byte"),
        ("yes", FLAG, "x takes no value; write true"),
        (("1", "2"), ONE, "x takes one value, not 2"),
        (("1", "2"), MAYBE, "x takes one value, not 2"),
        (("1", "-"), MANY, "'-', one of several values"),
        (("--y", "1"), None, "'--y', one of several values"),
        (("1", "-1e3"), MANY, "'-1e3', one of several values"),
    ],
)
def test_what_would_arrive_as_something_else_is_refused(
    value: Value, argument: Argument | None, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        words("x", value, argument)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(TEXT, min_size=1, max_size=4))
def test_argparse_reads_what_was_meant_or_it_is_refused(texts: list[str]) -> None:
    """As the framework's own parser is one of argparse."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--x", nargs="+")
    parser.add_argument("--y")
    try:
        said = words("x", tuple(texts), MANY)
    except ConfigError:
        assert any(text.startswith("-") for text in texts)
        return
    found = parser.parse_args([*said, "--y=1"])
    assert found.x == texts
    assert found.y == "1"
