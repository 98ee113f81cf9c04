"""Config files of campaigns: TOML, read by tomllib and checked key by key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

import configargparse

from hvmpi.errors import ConfigError
from hvmpi.option import nearest
from hvmpi.options import BY_NAME, SAMPLE_OPTIONS
from hvmpi.site import Site, make_site

__all__ = ["CampaignConfig"]

_SAMPLE_KEYS = {option.name: option for option in SAMPLE_OPTIONS}


class CampaignConfig(configargparse.ConfigFileParser):  # type: ignore[misc]
    """The config of a campaign, as ConfigArgParse reads it.

    Top-level keys go to the options of the same name; the ``[[sample]]`` tables stay here, since
    an option cannot hold them.

    Attributes
    ----------
    path : str
    samples : list of dict
        One a ``[[sample]]`` table, keys checked.
    keys : dict of str to str
        Where each top-level key stands, for errors: ``file, line 3``.
    sample_places : list of str
        Where each table stands.
    site : Site or None
        What the ``[site]`` table says; None without one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.path = ""
        self.samples: list[dict[str, Any]] = []
        self.keys: dict[str, str] = {}
        self.sample_places: list[str] = []
        self.site: Site | None = None

    def get_syntax_description(self) -> str:
        """Say what a config looks like, for ``--help``."""
        return "A config is TOML: each long option is a key of the same name."

    def parse(self, stream: Any) -> dict[str, Any]:
        """Read and check a config.

        Raises
        ------
        ConfigError
            If it is not TOML, or a key is unknown or of the wrong type; names file and line.
        """
        self.path = stream.name
        text = stream.read()
        values = _parse_toml(self.path, text)
        lines = text.splitlines()
        tables = values.pop("sample", None)
        if tables is not None:
            self._read_samples(tables, lines)
        site = values.pop("site", None)
        if site is not None:
            self.site = self._read_site(site, lines)
        top: dict[str, Any] = {}
        for key, value in values.items():
            where = _place(self.path, lines, key)
            option = BY_NAME.get(key)
            if option is None:
                raise _unknown_key(key, where, list(BY_NAME), "")
            option.check_toml(value, where)
            if option.sample and self.samples:
                msg = (
                    f"{where}: {key} stands beside [[sample]] tables; "
                    "write it into the tables that it is meant for"
                )
                raise ConfigError(msg)
            self.keys[key] = where
            top[key] = _as_word(value)
        return top

    def _read_site(self, table: Any, lines: Sequence[str]) -> Site:
        if not isinstance(table, dict):
            msg = f"{_place(self.path, lines, 'site')}: the site is a table, under a line [site]"
            raise ConfigError(msg)
        # The keys of a site may have the names of keys above its table.
        start = next((n for n, line in enumerate(lines) if re.match(r"\s*\[\s*site\s*\]", line)), 0)
        below = ["" if number < start else line for number, line in enumerate(lines)]
        return make_site(table, lambda key: _place(self.path, below, key))

    def _read_samples(self, tables: Any, lines: Sequence[str]) -> None:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            where = _place(self.path, lines, "sample")
            msg = f"{where}: samples are tables, each under a line [[sample]]"
            raise ConfigError(msg)
        for number, table in enumerate(tables, 1):
            place = _table_place(self.path, lines, number)
            for key, value in table.items():
                option = _SAMPLE_KEYS.get(key)
                if option is None:
                    raise _unknown_key(key, place, list(_SAMPLE_KEYS), " of a sample")
                option.check_toml(value, place)
            self.samples.append(table)
            self.sample_places.append(place)


def _as_word(value: Any) -> Any:
    """Spell a checked value as on a command line: ConfigArgParse takes nothing else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, list) else str(value)


def _parse_toml(path: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"config {path!r} is not TOML: {error}"
        raise ConfigError(msg) from None


def _place(path: str, lines: Sequence[str], key: str) -> str:
    pattern = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
    for number, line in enumerate(lines, 1):
        if pattern.match(line):
            return f"{path}, line {number}"
    return path


def _table_place(path: str, lines: Sequence[str], wanted: int) -> str:
    count = 0
    for number, line in enumerate(lines, 1):
        if re.match(r"\s*\[\[\s*sample\s*\]\]", line):
            count += 1
            if count == wanted:
                return f"{path}, [[sample]] of line {number}"
    return f"{path}, [[sample]] {wanted}"


def _unknown_key(key: str, where: str, known: Sequence[str], what: str) -> ConfigError:
    return ConfigError(f"{where}: there is no key {key!r}{what}{nearest(key, known)}")
