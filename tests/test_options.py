"""The table of options: its own consistency, and the ranges."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.errors import ConfigError
from hvmpi.option import Option, nearest
from hvmpi.options import BY_NAME, OPTIONS, SAMPLE_OPTIONS, least_pileup_events
from hvmpi.sample import SampleOptions
from hvmpi.settings import Settings


def test_names_are_unique_and_spelled_alike() -> None:
    assert len(BY_NAME) == len(OPTIONS)
    for option in OPTIONS:
        assert option.name == option.name.lower().replace("_", "-")
        assert option.variable == "HVMPI_" + option.name.upper().replace("-", "_")
        assert option.help


def test_every_option_is_a_field_and_every_field_of_a_sample_an_option() -> None:
    of_settings = {field.name for field in dataclasses.fields(Settings)}
    of_sample = {field.name for field in dataclasses.fields(SampleOptions)}
    assert {option.field for option in SAMPLE_OPTIONS} == of_sample
    assert {option.field for option in OPTIONS if not option.sample} <= of_settings


def test_defaults_are_stated_once() -> None:
    for field in dataclasses.fields(SampleOptions):
        if field.default is not dataclasses.MISSING:
            assert field.default == BY_NAME[field.name.replace("_", "-")].default


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_a_default_is_a_legal_value(option: Option) -> None:
    if option.default is not None and option.kind != "path":
        assert option.convert(option.default, "here") == option.default


@given(st.integers(-(2**70), 2**70))
def test_ranges_hold_exactly(number: int) -> None:
    option = BY_NAME["job-size"]
    if 1 <= number <= 2**31 - 1:
        assert option.convert(str(number), "here") == number
    else:
        with pytest.raises(ConfigError, match=r"^here: job-size must be at least 1"):
            option.convert(str(number), "here")


@pytest.mark.parametrize("text", ["", " ", "ten", "1e3", "0x10", "1.0", "1,000", "٣x", "nan"])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^here: seed wants a whole number, not "):
        BY_NAME["seed"].convert(text, "here")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "1e999"])
def test_what_is_no_length(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^here: ctau must be"):
        BY_NAME["ctau"].convert(text, "here")


@pytest.mark.parametrize("text", ["", "a\0b"])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^here: run-dir wants a path"):
        BY_NAME["run-dir"].convert(text, "here")


@given(st.integers(0, 2000))
def test_a_library_holds_ten_events_for_each_interaction(tenths: int) -> None:
    assert least_pileup_events(tenths / 10) == tenths
    assert least_pileup_events(tenths / 10 + 0.01) == tenths + 1


def test_nearest() -> None:
    assert nearest("job-sise", list(BY_NAME)) == " (did you mean 'job-size'?)"
    assert nearest("flavour", list(BY_NAME)) == ""
