"""Config files: what is read, and that every fault is named with file, line and key."""

from __future__ import annotations

import io

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.config import CampaignConfig
from hvmpi.errors import ConfigError
from hvmpi.options import OPTIONS, SAMPLE_OPTIONS


def parse(text: str) -> tuple[CampaignConfig, dict[str, object]]:
    stream = io.StringIO(text)
    stream.name = "my.toml"
    config = CampaignConfig()
    return config, config.parse(stream)


def test_values_are_spelled_as_on_a_command_line() -> None:
    _, top = parse('seed = 3\nfused = false\njob-timeout = 2.5\nkeep = ["aod"]\nrun-dir = "x y"\n')
    assert top == {
        "seed": "3",
        "fused": "false",
        "job-timeout": "2.5",
        "keep": ["aod"],
        "run-dir": "x y",
    }


def test_it_knows_where_each_key_stands() -> None:
    config, _ = parse("# first\n\nseed = 3\n'job-size' = 4\n")
    assert config.keys == {"seed": "my.toml, line 3", "job-size": "my.toml, line 4"}


def test_samples_stay_apart() -> None:
    config, top = parse("seed = 1\n[[sample]]\nrun-number = 1\n\n[[ sample ]]\nrun-number = 2\n")
    assert top == {"seed": "1"}
    assert config.samples == [{"run-number": 1}, {"run-number": 2}]
    assert config.sample_places == [
        "my.toml, [[sample]] of line 2",
        "my.toml, [[sample]] of line 5",
    ]


NAMES = sorted(option.name for option in OPTIONS)


@given(st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True).filter(lambda k: k != "sample"))
def test_any_unknown_key_is_named(key: str) -> None:
    if key in NAMES:
        return
    for text in (f"{key} = 1\n", f"[{key}]\na = 1\n", f"{key}.a = 1\n"):
        with pytest.raises(ConfigError, match=rf"^my\.toml, line 1: there is no key '{key}'"):
            parse(text)


@given(st.data())
def test_a_misspelt_key_is_told_the_nearest(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in NAMES if len(name) > 5]))
    place = data.draw(st.integers(1, len(name) - 2))
    misspelt = name[:place] + name[place + 1 :]
    if misspelt in NAMES:
        return
    with pytest.raises(ConfigError, match=r"\(did you mean '[a-z-]+'\?\)$"):
        parse(f"{misspelt} = 1\n")


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("abc \"'\\n", max_size=5),
    st.lists(st.integers(), max_size=2),
    st.lists(st.text("abc", max_size=3), max_size=2),
    st.just({"a": 1}),
)
RIGHT = {
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "float": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "str": lambda v: isinstance(v, str),
    "path": lambda v: isinstance(v, str),
    "bool": lambda v: isinstance(v, bool),
    "list": lambda v: isinstance(v, list) and all(isinstance(entry, str) for entry in v),
}


@given(st.sampled_from(OPTIONS), VALUES, st.booleans())
def test_a_value_of_the_wrong_type_is_named(option: object, value: object, table: bool) -> None:
    in_table = table and option in SAMPLE_OPTIONS
    pair = {option.name: value}
    text = tomli_w.dumps({"sample": [pair]} if in_table else pair)
    if RIGHT[option.kind](value):
        parse(text)
        return
    with pytest.raises(ConfigError, match=rf"^my\.toml, .*{option.name} wants "):
        parse(text)


@pytest.mark.parametrize("text", ["seed = ", "= 3", "seed 3", "seed = 1\nseed = 2", "[[sample"])
def test_what_is_not_toml_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^config 'my\.toml' is not TOML: .* \(at "):
        parse(text)
