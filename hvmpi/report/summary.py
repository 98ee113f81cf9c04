"""A run in short: its state and key figures, its samples, products, versions and settings."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hvmpi.campaign.jobs import Kind
from hvmpi.campaign.overview import Overview
from hvmpi.campaign.products import Product, products_of
from hvmpi.campaign.standing import Standing
from hvmpi.campaign.status import StatusFile
from hvmpi.options import OPTIONS, SAMPLE_OPTIONS
from hvmpi.report.course import Course
from hvmpi.report.html import Markup, element, joined, table
from hvmpi.report.timeline import in_words

__all__ = ["SampleMade", "Summary", "utc"]

_MOST_FILES = 100_000
_MOST_SAMPLES = 100
_STATES = {
    "complete": "complete",
    "incomplete": "incomplete",
    "running": "in progress",
    "cut short": "cut short",
}
_IN_COLUMNS = ("name", "process", "run-number", "num-batches", "batch-size")
"""Options of a sample that its columns tell of."""


@dataclass(frozen=True, slots=True)
class SampleMade:
    """A sample: what was asked for, and what was made of it."""

    name: str
    process: str
    run_numbers: str
    given: str
    asked: int
    generated: int
    reconstructed: int


@dataclass(frozen=True)
class Summary:
    """A run in short.

    Attributes
    ----------
    directory : Path
    attributes : dict
        The root attributes of its status file.
    versions : dict of str to str
    ended : str
        Why it ended before its end; empty if it did not.
    launches : int
    overview : Overview
    samples : tuple of SampleMade
    products : tuple of Product
    """

    directory: Path
    attributes: dict[str, Any]
    versions: dict[str, str]
    ended: str
    launches: int
    overview: Overview
    samples: tuple[SampleMade, ...]
    products: tuple[Product, ...]

    @classmethod
    def of(cls, file: StatusFile) -> Summary:
        """Look through a status file, and at the directories of products."""
        directory, settings = file.path.parent, file.attributes["settings"]
        return cls(
            directory=directory,
            attributes=file.attributes,
            versions=file.versions,
            ended=file.ended,
            launches=file.launches,
            overview=Overview.of(file),
            samples=tuple(_samples(file)),
            products=tuple(products_of(directory, settings, _MOST_FILES)),
        )

    @property
    def state(self) -> str:
        """Its state, in words."""
        state: str = self.attributes["state"]
        return _STATES.get(state, state)

    @property
    def asked(self) -> int:
        """Events that were asked for."""
        return sum(sample.asked for sample in self.samples)

    @property
    def main_kind(self) -> Kind:
        """The jobs whose events count: generation where nothing is reconstructed."""
        only = self.attributes["settings"]["verb"] == "generate"
        return Kind.GENERATION if only else Kind.RECONSTRUCTION

    @property
    def made(self) -> int:
        """Events that were made of those asked for."""
        return self.overview.events[self.main_kind]

    def sentence(self, course: Course) -> str:
        """Say in one sentence how far it is."""
        states = self.overview.states
        done = states[Standing.DONE]
        what = "generated" if self.main_kind is Kind.GENERATION else "reconstructed"
        failed = f", {states[Standing.FAILED]:,} failed" if states[Standing.FAILED] else ""
        hosts = f" of {course.hosts:,} hosts" if course.hosts > 1 else ""
        ranks = f"{course.ranks:,} rank{'s' * (course.ranks != 1)}{hosts}"
        left = states.total() - done - states[Standing.FAILED]
        still = f", {left:,} left" if left else ""
        return (
            f"{self.made:,} of {self.asked:,} events {what}; {done:,} of {states.total():,} jobs "
            f"done{failed}{still}, in {in_words(course.clock.worked_s)} on {ranks}."
        )

    def content(self, course: Course) -> Markup:
        """Make the section."""
        pieces = [_tiles(self._figures(course)), self._about(course), _sample_table(self.samples)]
        if self.products:
            pieces.append(_product_table(self.products))
        pieces.append(_setting_table(self.attributes["settings"]))
        return joined(pieces)

    def _figures(self, course: Course) -> list[tuple[str, str]]:
        rate = self.made / course.clock.worked_s
        size = sum(product.size for product in self.products)
        more = any(product.more for product in self.products)
        states = self.overview.states
        used = f"{100 * course.cpu_s / course.busy_s:.0f} %" if course.busy_s else "-"
        busy = f"{100 * min(course.busy_s / course.there_s, 1.0):.0f} %" if course.there_s else "-"
        return [
            ("events made", f"{self.made:,}"),
            ("events a second", f"{rate:.3g}" if rate < 1000 else f"{rate:,.0f}"),
            ("jobs done", f"{states[Standing.DONE]:,}"),
            ("jobs failed", f"{states[Standing.FAILED]:,}"),
            ("time at work", in_words(course.clock.worked_s)),
            ("CPU / wall of jobs", used),
            ("ranks busy", busy),
            ("products", f"{'> ' * more}{_bytes(size)}"),
        ]

    def _about(self, course: Course) -> Markup:
        attributes, settings = self.attributes, self.attributes["settings"]
        states = ", ".join(
            f"{count:,} {state.name.lower()}"
            for state, count in self.overview.states.items()
            if count
        )
        starts = str(self.launches) if self.launches > 1 else ""
        versions = {"hvmpi": attributes["hvmpi_version"], **self.versions}
        rows = [
            ("Ended as", self.ended),
            ("Command", element("code", attributes["command_line"])),
            ("Started", utc(attributes["started"])),
            ("Starts", starts),
            ("Until", utc(attributes["updated"])),
            ("Engine", f"{settings['engine']}, seed {settings['seed']}"),
            ("Jobs", states),
            ("Attempts", f"{course.attempts:,}, {course.failed:,} of them failed"),
            ("Versions", ", ".join(f"{name} {number}" for name, number in versions.items())),
            ("Directory", element("code", str(self.directory))),
        ]
        pairs = [(element("dt", what), element("dd", text)) for what, text in rows if text]
        return element("dl", *(piece for pair in pairs for piece in pair), class_="about")


def utc(seconds: float) -> str:
    """Write a moment, Unix seconds."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _bytes(size: int) -> str:
    for unit, sign in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.3g} {sign}"
    return f"{size / 1e3:.3g} kB" if size >= 1000 else f"{size} bytes"


def _samples(file: StatusFile) -> Iterator[SampleMade]:
    settings = file.attributes["settings"]
    planned = file.decoded("event_files")
    made = {kind: np.zeros(len(planned), dtype=np.int64) for kind in Kind}
    for jobs in file.parts("jobs"):
        for kind in (Kind.GENERATION, Kind.RECONSTRUCTION):
            own = jobs[(jobs["kind"] == kind) & (jobs["state"] == Standing.DONE)]
            np.add.at(made[kind], own["event_file"], own["events_out"])
    asked_for = {sample["name"]: sample for sample in settings["sample"]}
    # Event files that were found may be of samples of their own.
    for name in dict.fromkeys(planned["sample"].tolist()):
        own = planned["sample"] == name
        sample = asked_for.get(name, {})
        run_numbers = sorted(set(planned["run_number"][own].tolist()))
        yield SampleMade(
            name=name,
            process=sample.get("process") or "",
            run_numbers=", ".join(map(str, run_numbers[:4])) + ", ..." * (len(run_numbers) > 4),
            given=_given(sample),
            asked=int(planned["events"][own].sum()),
            generated=int(made[Kind.GENERATION][own].sum()),
            reconstructed=int(made[Kind.RECONSTRUCTION][own].sum()),
        )


def _given(sample: dict[str, Any]) -> str:
    return ", ".join(
        f"{option.name} {_value(sample[option.name])}"
        for option in SAMPLE_OPTIONS
        if option.name not in _IN_COLUMNS and sample.get(option.name) not in (None, [])
    )


def _value(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return shlex.join(map(str, value)) if isinstance(value, list) else str(value)


def _tiles(figures: list[tuple[str, str]]) -> Markup:
    tiles = [element("div", element("dt", what), element("dd", value)) for what, value in figures]
    return element("dl", *tiles, class_="tiles")


def _sample_table(samples: tuple[SampleMade, ...]) -> Markup:
    columns = ["NAME", "PROCESS", "RUN", "ASKED", "GENERATED", "RECONSTRUCTED"]
    columns += ["GIVEN"] * any(sample.given for sample in samples)
    rows = [
        (
            sample.name,
            sample.process,
            sample.run_numbers,
            f"{sample.asked:,}",
            f"{sample.generated:,}",
            f"{sample.reconstructed:,}",
            sample.given,
        )[: len(columns)]
        for sample in samples[:_MOST_SAMPLES]
    ]
    made = table("Events by sample", columns, rows, right=columns[3:6])
    more = len(samples) - len(rows)
    return joined([made, element("p", f"... and {more} more samples.")] if more else [made])


def _product_table(products: tuple[Product, ...]) -> Markup:
    rows = [
        (
            product.name,
            f"{'> ' * product.more}{product.files:,}",
            f"{'> ' * product.more}{_bytes(product.size)}",
            element("code", str(product.directory)),
        )
        for product in products
    ]
    columns = ("KIND", "FILES", "SIZE", "DIRECTORY")
    return table("Products on disk", columns, rows, right=columns[1:3])


def _setting_table(settings: dict[str, Any]) -> Markup:
    rows = [
        (option.name, _value(settings.get(option.name)), _value(_plain(option.default)))
        for option in OPTIONS
        if not option.sample
        and option.name != "run-dir"
        # What an older hvmpi knew nothing of is as if it were the default.
        and settings.get(option.name, _plain(option.default)) != _plain(option.default)
    ]
    if not rows:
        return element("p", "All settings have their defaults.")
    return table("Settings that are not the defaults", ("KEY", "VALUE", "DEFAULT"), rows)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
