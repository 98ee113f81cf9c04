"""The site: read from a config or a file of its own, a default below what is said elsewhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from hvmpi.errors import ConfigError
from hvmpi.settings import Settings, load, load_run, scheduling, to_toml, with_scheduling
from hvmpi.site import SITE_OPTIONS, Site, make_site, read_site, site_table

from .conftest import THREE_JOBS, Place, shell

DEFAULT = make_site({}, str)

WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown": ({"contaner": "el9"}, ["'contaner'", "of a site", "'container'"]),
    "number": ({"container": 9}, ["container wants a text", "9"]),
    "empty": ({"setup-script": ""}, ["setup-script wants a path"]),
    "text for a list": ({"binds": "/data"}, ["binds wants a list of texts"]),
    "numbers in a list": ({"cvmfs": [1]}, ["cvmfs wants a list of texts"]),
    "a true number": ({"nice": True}, ["nice wants a whole number", "True"]),
    "nice 20": ({"nice": 20}, ["nice", "at most 19"]),
    "cores 0": ({"cores": 0}, ["cores", "at least 1"]),
    "memory below 0": ({"memory-gb": -1.0}, ["memory-gb", "at least 0"]),
    "room nan": ({"scratch-gb": float("nan")}, ["scratch-gb", "nan"]),
    "no assignment": ({"environment": ["A"]}, ["environment wants NAME=VALUE", "'A'"]),
    "no name": ({"environment": ["A-B=1"]}, ["environment wants NAME=VALUE"]),
    "zero byte": ({"environment": ["A=\0"]}, ["environment wants NAME=VALUE"]),
    "no variable": ({"pass-environment": ["A=1"]}, ["pass-environment wants the name"]),
    "bind with a colon": ({"binds": ["/a:/b"]}, ["binds wants a path", "colon", "'/a:/b'"]),
    "bind from here": ({"binds": ["data"]}, ["binds wants a path from /"]),
    "cvmfs from here": ({"cvmfs": ["cvmfs"]}, ["cvmfs wants a path from /"]),
    "image is an option": ({"container": "--writable"}, ["container wants", "--writable"]),
    "runtime": ({"container-runtime": "docker"}, ["wants apptainer, singularity", "'docker'"]),
    "a table": ({"container": {"a": 1}}, ["container wants a text"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_key_of_a_config_is_told_with_its_line(place: Place, case: str) -> None:
    table, wanted = WRONG[case]
    path = place.root / "c.toml"
    # A key of the same name above the table is not meant.
    path.write_text('nice = 3\nengine = "noop"\n' + tomli_w.dumps({"site": table}))
    before = place.tree()
    answer = place.hvmpi("plan", "run", "-c", "c.toml")
    assert answer.code == 2
    assert place.tree() == before
    where = "c.toml" if case == "a table" else "c.toml, line 4"
    assert answer.complaint.startswith(f"{where}: "), answer.complaint
    assert all(part in answer.complaint for part in wanted), answer.complaint


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_key_of_a_file_is_told(place: Place, case: str) -> None:
    table, wanted = WRONG[case]
    (place.root / "site.toml").write_text(tomli_w.dumps(table))
    answer = place.hvmpi("plan", "run", "--engine=noop", "--site-file=site.toml")
    assert answer.code == 2
    assert all(part in answer.complaint for part in ["site.toml", *wanted]), answer.complaint
    assert not place.run_dir.exists()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, ["cannot be read (No such file or directory)"]),
        (b"container = ", ["is not TOML"]),
        (b'container = "\xff"', ["is not TOML"]),
        (b"site = 3", ["no key 'site'"]),
        (b"nice = 3\n[site]\nnice = 4", ["no key 'site'"]),
    ],
)
def test_a_site_file_that_cannot_be_read(
    place: Place, text: bytes | None, wanted: list[str]
) -> None:
    path = place.root / "site.toml"
    if text is not None:
        path.write_bytes(text)
    answer = place.hvmpi("plan", "run", "--engine=noop", f"--site-file={path}")
    assert answer.code == 2
    assert all(part in answer.complaint for part in [str(path), *wanted]), answer.complaint


@pytest.mark.parametrize("text", ["site = 3\n", "[[site]]\nnice = 3\n"])
def test_a_site_is_a_table(place: Place, text: str) -> None:
    (place.root / "c.toml").write_text(text)
    answer = place.hvmpi("plan", "run", "-c", "c.toml", "--engine=noop")
    assert answer.code == 2
    assert "c.toml, line 1: the site is a table, under a line [site]" in answer.complaint


def test_two_sites_are_one_too_many(place: Place) -> None:
    (place.root / "site.toml").write_text("nice = 3\n")
    (place.root / "c.toml").write_text('site-file = "site.toml"\n[site]\nnice = 4\n')
    answer = place.hvmpi("plan", "run", "-c", "c.toml", "--engine=noop")
    assert answer.code == 2
    assert "c.toml, line 1: site-file is given, and c.toml has a [site] table" in answer.complaint


def test_a_site_file_of_the_command_line_takes_the_place_of_the_configs_site(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.root / "site.toml").write_text('container = "el9"\n')
    assert resolved(place, SAYS, "", "--site-file=site.toml").site == make_site(
        {"container": "el9"}, str
    )
    monkeypatch.setenv("HVMPI_SITE_FILE", "site.toml")
    assert resolved(place, SAYS).site.container == "el9"


# What it says


def test_a_file_may_have_the_header_or_not(tmp_path: Path) -> None:
    table = {"container": "el9", "binds": ["/data"], "nice": 3}
    path = tmp_path / "site.toml"
    path.write_text(tomli_w.dumps(table))
    plain = read_site(path)
    path.write_text(tomli_w.dumps({"site": table}))
    assert read_site(path) == plain == make_site(table, str)
    assert (plain.container, plain.binds, plain.nice) == ("el9", ("/data",), 3)


def test_variables_are_those_of_conditions_and_the_sites_own() -> None:
    proxies = {"frontier-server": "(x)", "http-proxy": "http://a"}
    site = make_site(proxies | {"environment": ["http_proxy=http://b", "A=x=y\nz", "B="]}, str)
    assert site.variables() == {
        "FRONTIER_SERVER": "(x)",
        "http_proxy": "http://b",
        "A": "x=y\nz",
        "B": "",
    }
    assert DEFAULT.variables() == {}


WORDS = st.text("abc/'\"$ ü", min_size=1).map("x{}".format)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "environment": st.lists(st.tuples(NAMES, WORDS | st.just("a\nb")).map("=".join)),
    "pass-environment": st.lists(NAMES),
    "binds": st.lists(WORDS.map("/{}".format)),
    "cvmfs": st.lists(WORDS.map("/{}".format)),
    "container-runtime": st.sampled_from(["atlas", "singularity", "/x y/apptainer"]),
    "nice": st.integers(0, 19),
    "cores": st.integers(1, 10_000),
    "scratch-gb": st.floats(0, 1e6) | st.integers(0, 1000),
    "memory-gb": st.floats(0, 1e6),
}
TABLES = st.fixed_dictionaries(
    {}, optional={option.name: VALUES.get(option.name, WORDS) for option in SITE_OPTIONS}
)


@given(TABLES)
def test_a_site_is_written_and_read_again(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, Any]
) -> None:
    site = make_site(table, str)
    path = tmp_path_factory.mktemp("site") / "site.toml"
    path.write_text(tomli_w.dumps(site_table(site)), encoding="utf-8")
    assert read_site(path) == site
    asked = dataclasses.replace(load("run", []), site=site)
    (path.parent / "settings.toml").write_text(to_toml(asked), encoding="utf-8")
    assert load_run(path.parent).site == site
    assert with_scheduling(load("run", []), scheduling(asked)).site == site


def test_defaults_are_not_written() -> None:
    assert site_table(DEFAULT) == {}


# Its say in the settings


def resolved(place: Place, site: str, top: str = "", *words: str) -> Settings:
    (place.root / "c.toml").write_text(f"{top}\n[site]\n{site}\n")
    return load("run", ["-c", "c.toml", *words])


SAYS = 'scratch = "/big"\nnice = 5\ncores = 7'


def test_a_site_is_a_default_below_all_else(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def values(*given: str) -> tuple[Any, ...]:
        found = resolved(place, SAYS, *given)
        return found.tmp_dir, found.nice, found.host_cores

    assert values() == ("/big", 5, 7)
    assert values("nice = 6") == ("/big", 6, 7)
    assert values("nice = 6", "--nice=8", "--tmp-dir=/t") == ("/t", 8, 7)
    monkeypatch.setenv("HVMPI_HOST_CORES", "3")
    assert values("host-cores = 4") == ("/big", 5, 3)
    plain = load("run", [])
    assert resolved(place, "").nice == plain.nice


def test_a_niceness_of_0_of_a_site_counts(place: Place) -> None:
    assert resolved(place, "nice = 0").nice == 0


def test_a_path_of_a_site_is_from_where_hvmpi_is_started(place: Place) -> None:
    found = resolved(place, 'scratch = "s"\nsetup-script = "setup.sh"')
    assert found.tmp_dir == str(place.root / "s")
    assert found.site.setup_script == str(place.root / "setup.sh")


def test_the_environment_may_name_the_site_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.root / "site.toml").write_text(SAYS)
    monkeypatch.setenv("HVMPI_SITE_FILE", "site.toml")
    assert load("run", []).nice == 5


def test_what_a_start_may_change_reaches_the_workers(place: Place) -> None:
    run = resolved(place, SAYS)
    now = resolved(place, 'container = "el9"\nnice = 2')
    there = with_scheduling(run, scheduling(now))
    assert there.site == now.site
    assert (there.nice, there.tmp_dir, there.host_cores) == (2, None, None)
    assert there.seed == run.seed


# A rerun


def rerun(place: Place, *words: str) -> Settings:
    return load("rerun", [place.run().timestamp, *words])


@pytest.fixture
def failed(three: Place) -> Place:
    """A run that is not done, of a config with a site."""
    site = f'container = "el9"\n{SAYS.replace("/big", "big")}\n'
    (three.root / "c.toml").write_text(f"[site]\n{site}")
    assert three.hvmpi(*THREE_JOBS, *shell("exit 3"), "-c", "c.toml").code == 1
    (three.root / "c.toml").unlink()
    return three


def test_a_rerun_is_at_the_site_of_its_run(failed: Place) -> None:
    again = rerun(failed)
    assert again.site.container == "el9"
    assert (again.nice, again.tmp_dir) == (5, str(failed.root / "big"))
    assert rerun(failed, "--nice=1").nice == 1


def test_a_rerun_may_be_at_another_site(failed: Place) -> None:
    (failed.root / "other.toml").write_text('container = "centos7"\nnice = 9\n')
    again = rerun(failed, "--site-file=other.toml")
    assert again.site == make_site({"container": "centos7", "nice": 9}, str)
    assert again.nice == 9
    assert rerun(failed, "--site-file=other.toml", "--nice=1").nice == 1
    assert scheduling(again)["site"] == {"container": "centos7", "nice": 9}
    (failed.root / "c.toml").write_text('engine = "noop"\n[site]\nnice = 3\n')
    again = rerun(failed, "-c", "c.toml")
    assert again.site == make_site({"nice": 3}, str)
    assert again.nice == 3


def test_a_rerun_with_a_site_that_is_wrong_changes_nothing(failed: Place) -> None:
    (failed.root / "other.toml").write_text("nice = 99\n")
    before = failed.tree()
    answer = failed.hvmpi("rerun", failed.run().timestamp, "--site-file=other.toml")
    assert answer.code == 2
    assert "other.toml: nice" in answer.complaint
    assert failed.tree() == before


def test_a_site_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT.nice = 3  # type: ignore[misc]
    assert isinstance(DEFAULT, Site)


def test_where_a_key_stands_is_said() -> None:
    with pytest.raises(ConfigError, match=r"^here of x: "):
        make_site({"x": 1}, "here of {}".format)
