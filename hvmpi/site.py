"""What a site is like where athena runs: where things are, and how a release is set up there."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hvmpi.errors import ConfigError
from hvmpi.option import Option, nearest

__all__ = ["SITE_OPTIONS", "Site", "make_site", "read_site", "site_table"]

_GROUP = "the site"
_MAX_INT4 = 2**31 - 1

SITE_OPTIONS: tuple[Option, ...] = (
    Option(
        "atlas-local-root-base",
        "path",
        "/cvmfs/atlas.cern.ch/repo/ATLASLocalRootBase",
        "where ATLASLocalRootBase is",
        _GROUP,
    ),
    Option(
        "cvmfs",
        "list",
        ("/cvmfs/atlas.cern.ch",),
        "directories that must answer before a host gets jobs",
        _GROUP,
    ),
    Option(
        "setup-script",
        "path",
        None,
        "a script of the site that is sourced before atlasLocalSetup and asetup",
        _GROUP,
    ),
    Option("container", "str", None, "image that all steps run in whose tag names none", _GROUP),
    Option(
        "container-runtime",
        "str",
        "apptainer",
        "apptainer or singularity (by name or path), or atlas: ATLAS's own container set-up",
        _GROUP,
    ),
    Option("binds", "list", (), "further directories that a container must see", _GROUP),
    Option("frontier-server", "str", None, "value of FRONTIER_SERVER", _GROUP),
    Option("http-proxy", "str", None, "value of http_proxy: the squid", _GROUP),
    Option(
        "dbrelease",
        "str",
        None,
        "value of DBRelease for all tags that have that argument: a local one instead of CVMFS's",
        _GROUP,
    ),
    Option("environment", "list", (), "further variables of the steps, NAME=VALUE each", _GROUP),
    Option(
        "pass-environment",
        "list",
        (),
        "names of variables that the steps take over from the worker's environment",
        _GROUP,
    ),
    Option("scratch", "path", None, "working directories of jobs: tmp-dir", _GROUP),
    Option("scratch-gb", "float", 5.0, "room that must be free there, GB", _GROUP, minimum=0),
    Option("nice", "int", None, "niceness of the steps", _GROUP, minimum=0, maximum=19),
    Option(
        "cores", "int", None, "cores of a host that jobs may use: host-cores", _GROUP, minimum=1
    ),
    Option(
        "memory-gb",
        "float",
        2.0,
        "memory that a host must have for each core of a job, GB",
        _GROUP,
        minimum=0,
    ),
)
"""The keys of a ``[site]`` table."""

_BY_NAME = {option.name: option for option in SITE_OPTIONS}
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[^\0]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DIRECTORY = re.compile(r"/[^,:\0]*")
_RUNTIME = re.compile(r"atlas|(?:/[^\n\0]*/)?(?:apptainer|singularity)")
_WORD = re.compile(r"[^-\s\0][^\n\0]*")


@dataclass(frozen=True, slots=True)
class Site:
    """The values of `SITE_OPTIONS`, None where nothing was given."""

    atlas_local_root_base: str
    cvmfs: tuple[str, ...]
    setup_script: str | None
    container: str | None
    container_runtime: str
    binds: tuple[str, ...]
    frontier_server: str | None
    http_proxy: str | None
    dbrelease: str | None
    environment: tuple[str, ...]
    pass_environment: tuple[str, ...]
    scratch: str | None
    scratch_gb: float
    nice: int | None
    cores: int | None
    memory_gb: float

    def variables(self) -> dict[str, str]:
        """Give the variables that the site wants in every step."""
        named = {"FRONTIER_SERVER": self.frontier_server, "http_proxy": self.http_proxy}
        given = {name: value for name, value in named.items() if value is not None}
        return given | dict(text.split("=", 1) for text in self.environment)


def make_site(values: Mapping[str, Any], where: Callable[[str], str]) -> Site:
    """Make a site of the values of a table.

    Parameters
    ----------
    values : mapping
        By key.
    where : callable
        Says where a key stands, for errors.

    Raises
    ------
    ConfigError
        If a key is unknown or a value wrong.
    """
    found = {option.field: option.default for option in SITE_OPTIONS}
    for key, value in values.items():
        option = _BY_NAME.get(key)
        if option is None:
            msg = f"{where(key)}: there is no key {key!r} of a site{nearest(key, list(_BY_NAME))}"
            raise ConfigError(msg)
        option.check_toml(value, where(key))
        found[option.field] = option.convert(value, where(key))
    site = Site(**found)
    for key, texts, pattern, form in (
        ("environment", site.environment, _ASSIGNMENT, "NAME=VALUE"),
        ("pass-environment", site.pass_environment, _VARIABLE, "the name of a variable"),
        ("binds", site.binds, _DIRECTORY, "a path from / on without comma and colon"),
        ("cvmfs", site.cvmfs, _DIRECTORY, "a path from / on without comma and colon"),
        ("container", (site.container,), _WORD, "the name of an image"),
        (
            "container-runtime",
            (site.container_runtime,),
            _RUNTIME,
            "apptainer, singularity, a path to either, or atlas",
        ),
    ):
        for text in texts:
            if text is not None and not pattern.fullmatch(text):
                msg = f"{where(key)}: {key} wants {form}, not {text!r}"
                raise ConfigError(msg)
    return site


def read_site(path: Path) -> Site:
    """Read a file that holds the keys of a site.

    Raises
    ------
    ConfigError
        If it cannot be read, is not TOML, or a key or value is wrong.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"site-file {str(path)!r} cannot be read ({error.strerror})"
        raise ConfigError(msg) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        msg = f"site-file {str(path)!r} is not TOML: {error}"
        raise ConfigError(msg) from None
    # A [site] table in there means the same.
    inner = values.get("site")
    if isinstance(inner, dict) and len(values) == 1:
        values = inner
    return make_site(values, lambda _: str(path))


def site_table(site: Site) -> dict[str, Any]:
    """Give a site as the table of a config, defaults left out."""
    values = dataclasses.asdict(site)
    return {
        option.name: list(value) if isinstance(value, tuple) else value
        for option in SITE_OPTIONS
        if (value := values[option.field]) != option.default
    }
