"""What each process is: its run numbers, masses, lifetime, decays, and its settings for Pythia.

Needs neither Pythia nor HepMC, so that a campaign can be planned where they are not installed.
"""

from __future__ import annotations

import csv
import difflib
import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NoReturn

from hvmpi.errors import ConfigError
from hvmpi.files import sha256_of
from hvmpi.sample import SampleOptions

__all__ = ["PHI", "PROCESSES", "Decay", "Process", "resolve", "run_numbers"]

S, PHI = 35, 25
"""PDG codes of the long-lived scalar and of the (heavy) Higgs boson that decays to two of them."""

DARK_PION, DARK_RHO, DARK_QUARK, ZV = 4900111, 4900113, 4900101, 4900023
"""PDG codes of Pythia's hidden valley."""

FORCED_WIDTH = 5.0
"""Width of Phi above `SM_WIDTH_UP_TO`, GeV, as in the samples that these replace."""

SM_WIDTH_UP_TO = 125.0
"""Up to this mass, GeV, Phi has the width of the Standard Model's Higgs boson."""

WINDOW_WIDTHS = 15.0
"""Phi is generated within so many forced widths of its mass (MadGraph's default ``bwcutoff``)."""

WINDOW_SM = 1.0
"""The same for the width of the Standard Model, in GeV: hundreds of widths."""


SHARE = 1e-3
"""Of Phi -> s s, the only decay, as Pythia is told: a large one would change Phi's width."""


@dataclass(frozen=True, slots=True)
class _Channel:
    """A decay of the long-lived particle: products, least mass (GeV), Pythia's matrix element."""

    products: tuple[int, int]
    threshold: float
    me_mode: int


# Quarks need the mass of two of the lightest hadrons that hold them (PDG 2024). Mode 91 showers
# and hadronizes; every other mode makes bare hadrons of the quarks.
_CHANNELS: Mapping[str, _Channel] = {
    "bb": _Channel((5, -5), 10.56, 91),
    "cc": _Channel((4, -4), 3.74, 91),
    "ss": _Channel((3, -3), 1.0, 91),
    "uu": _Channel((2, -2), 0.5, 91),
    "dd": _Channel((1, -1), 0.5, 91),
    "gg": _Channel((21, 21), 1.0, 91),
    "tautau": _Channel((15, -15), 3.554, 0),
    "mumu": _Channel((13, -13), 0.2114, 0),
    "ee": _Channel((11, -11), 0.0011, 0),
    "gammagamma": _Channel((22, 22), 0.0, 0),
}

_REST = "gg"
"""Takes what a list of decays leaves to 100 %: the loop decay comes next for a Higgs-like s."""

_HIGGS_LIKE = (("bb", 85.0), ("cc", 5.0), ("tautau", 8.0), (_REST, 2.0))


@dataclass(frozen=True, slots=True)
class _Kind:
    """One process: its Pythia settings, table of points, default run number, keys and decays."""

    settings: tuple[str, ...]
    table: str | None
    default_run_number: int
    keys: tuple[str, ...]
    default_decays: tuple[tuple[str, float], ...] = ()


_MASS_KEYS = ("m_phi", "m_s", "ctau", "decays")

PROCESSES: Mapping[str, _Kind] = {
    "whss": _Kind(
        ("HiggsSM:ffbar2HW = on", "24:onMode = off", "24:onIfAny = 11"),
        "hss_points.csv",
        304795,
        _MASS_KEYS,
        (("bb", 100.0),),
    ),
    "gghss": _Kind(("HiggsSM:gg2H = on",), "hss_points.csv", 304795, _MASS_KEYS, _HIGGS_LIKE),
    "darkshower": _Kind(
        ("HiddenValley:ffbar2Zv = on",),
        "darkshower_points.csv",
        500001,
        _MASS_KEYS,
        (("bb", 100.0),),
    ),
    "qcd": _Kind(("HardQCD:all = on",), "qcd_slices.csv", 600002, ("pt_hat_min", "pt_hat_max")),
    "lhe": _Kind(("Beams:frameType = 4",), None, 304795, ("lhe", "decays"), _HIGGS_LIKE),
    # The luminous region: 45 mm long, in time too.
    "minbias": _Kind(
        (
            "SoftQCD:inelastic = on",
            "Beams:allowVertexSpread = on",
            "Beams:sigmaVertexX = 0.01",
            "Beams:sigmaVertexY = 0.01",
            "Beams:sigmaVertexZ = 45.0",
            "Beams:sigmaTime = 45.0",
        ),
        None,
        700001,
        (),
    ),
}
"""The processes by name; ``whss`` is the default, as it is what the first users make."""

_COLUMNS = {
    "m_phi": "m_phi_gev",
    "m_s": "m_s_gev",
    "ctau": "mean_ctau_mm",
    "pt_hat_min": "pt_hat_min_gev",
    "pt_hat_max": "pt_hat_max_gev",
}

_OURS = ("random:", "beams:lhef", "beams:frametype", "main:numberofevents")
"""Settings of Pythia that hvmpi itself makes; a user's would break seeds and event numbers."""

# A14 with NNPDF2.3 LO (ATL-PHYS-PUB-2014-021; the parton densities come with Pythia), but with the
# coupling of the final-state shower that LEP asks for (Monash 2013, arXiv:1404.5630): with A14's
# own 0.127, s -> b b at the mass of the Z makes 1.1 charged particles too few. A ``Tune:pp`` of
# the user's, also 21, brings its own coupling.
_TUNE = ("Tune:pp = 21", "TimeShower:alphaSvalue = 0.1365")

E_CM = 13000.0
"""Energy of the proton beams together, GeV."""


@dataclass(frozen=True, slots=True)
class Decay:
    """A decay channel and its share in percent."""

    channel: str
    share: float

    def __str__(self) -> str:
        return f"{self.channel} {self.share:g}"


@dataclass(frozen=True, slots=True)
class Process:
    """A sample with nothing left open.

    Attributes
    ----------
    name, process : str
    run_number, batch_size, num_batches : int
    m_phi, m_s : float or None
        Masses, GeV; None where the process has none of its own (``qcd``, ``lhe``).
    ctau : float or None
        Mean proper decay length of the long-lived particle, mm.
    decays : tuple of Decay
        Decays of the long-lived particle; the shares add up to 100.
    pt_hat_min, pt_hat_max : float or None
        The slice of ``qcd``, GeV.
    lhe : tuple of str
        One Les Houches event file a batch.
    pythia : tuple of str
        The user's own settings, read last.
    """

    name: str
    process: str
    run_number: int
    batch_size: int
    num_batches: int
    m_phi: float | None = None
    m_s: float | None = None
    ctau: float | None = None
    decays: tuple[Decay, ...] = ()
    pt_hat_min: float | None = None
    pt_hat_max: float | None = None
    lhe: tuple[str, ...] = ()
    pythia: tuple[str, ...] = ()

    @property
    def settings(self) -> tuple[str, ...]:
        """Pythia's settings in the order to be read, without the seed and the LHE file."""
        kind = PROCESSES[self.process]
        lines = [*_TUNE, *kind.settings]
        if self.process != "lhe":
            lines += ["Beams:idA = 2212", "Beams:idB = 2212", f"Beams:eCM = {E_CM!r}"]
        if self.process in ("whss", "gghss"):
            lines += self._phi_settings() + self._long_lived_settings(S)
        elif self.process == "darkshower":
            lines += self._dark_settings() + self._long_lived_settings(DARK_PION)
        elif self.process == "qcd":
            lines += [
                f"PhaseSpace:pTHatMin = {self.pt_hat_min!r}",
                f"PhaseSpace:pTHatMax = {self.pt_hat_max!r}",
            ]
        else:
            lines += self._long_lived_settings(S)
        return (*lines, *self.pythia)

    def physics(self) -> dict[str, object]:
        """Give what decides the events of a batch, LHE files apart, as plain JSON."""
        return {
            "process": self.process,
            "run_number": self.run_number,
            "batch_size": self.batch_size,
            "pythia": list(self.settings),
        }

    def identity(self) -> dict[str, object]:
        """Give all that decides the events of a batch apart from seed and batch, as plain JSON.

        LHE files stand by what they hold (SHA-256), not by where they lie.
        """
        return self.physics() | {"lhe": [sha256_of(Path(path)) for path in self.lhe]}

    def _phi_settings(self) -> list[str]:
        assert self.m_phi is not None  # noqa: S101 - resolve() gives every mass
        assert self.m_s is not None  # noqa: S101
        forced = self.m_phi > SM_WIDTH_UP_TO
        window = WINDOW_WIDTHS * FORCED_WIDTH if forced else WINDOW_SM
        lowest = max(self.m_phi - window, 2.0 * self.m_s)
        lines = [
            f"{PHI}:m0 = {self.m_phi!r}",
            f"{PHI}:mMin = {lowest!r}",
            f"{PHI}:mMax = {self.m_phi + window!r}",
            # oneChannel would take away the coupling to gluons and with it the cross-section.
            f"{PHI}:onMode = off",
            f"{PHI}:addChannel = 1 {SHARE!r} 100 {S} {S}",
            f"{PHI}:onIfMatch = {S} {S}",
        ]
        if forced:
            lines += [f"{PHI}:doForceWidth = on", f"{PHI}:mWidth = {FORCED_WIDTH!r}"]
        return lines

    def _dark_settings(self) -> list[str]:
        # Dark quarks and the confinement scale at twice, vector mesons at four times the mass of
        # the pion: the ratios of arXiv:1502.05409, table 1.
        assert self.m_s is not None  # noqa: S101
        quark, rho = 2.0 * self.m_s, 4.0 * self.m_s
        return [
            f"{ZV}:m0 = {self.m_phi!r}",
            f"{ZV}:onMode = off",
            f"{ZV}:onIfAny = {DARK_QUARK}",
            f"{DARK_QUARK}:m0 = {quark!r}",
            f"{DARK_RHO}:m0 = {rho!r}",
            f"{DARK_RHO}:oneChannel = 1 1.0 0 {DARK_PION} {DARK_PION}",
            "HiddenValley:Ngauge = 3",
            "HiddenValley:nFlav = 1",
            "HiddenValley:FSR = on",
            "HiddenValley:alphaOrder = 1",
            f"HiddenValley:Lambda = {quark!r}",
            f"HiddenValley:pTminFSR = {1.1 * quark!r}",
            "HiddenValley:fragment = on",
        ]

    def _long_lived_settings(self, pdg: int) -> list[str]:
        lines = [f"{pdg}:isResonance = off", f"{pdg}:mWidth = 0.0", f"{pdg}:mayDecay = on"]
        if self.m_s is not None:
            lines.insert(0, f"{pdg}:m0 = {self.m_s!r}")
        if self.ctau is not None:
            lines.append(f"{pdg}:tau0 = {self.ctau!r}")
        verb = "oneChannel"
        for decay in self.decays:
            channel = _CHANNELS[decay.channel]
            products = " ".join(map(str, channel.products))
            lines.append(f"{pdg}:{verb} = 1 {decay.share / 100.0!r} {channel.me_mode} {products}")
            verb = "addChannel"
        return lines


def resolve(options: SampleOptions) -> Process:
    """Fill in what a user left open, from the process's table, and check the whole.

    A run number picks a row of the table; masses, lifetime and slice given beside it override the
    row. A run number of the user's own is welcome when it leaves nothing open.

    Raises
    ------
    ConfigError
        With the key, its value, and how to mend it.
    """
    name = options.process or "whss"
    if name not in PROCESSES:
        _refuse(options, "process", name, f"is none of {', '.join(PROCESSES)}", PROCESSES)
    kind = PROCESSES[name]
    _check_keys(options, name, kind)
    _check_counts(options)
    run_number, point = _point(options, name, kind)
    m_phi, m_s, ctau = (point.get(key) for key in ("m_phi", "m_s", "ctau"))
    _check_point(options, name, point)
    return Process(
        name=options.name,
        process=name,
        run_number=run_number,
        batch_size=options.batch_size,
        num_batches=options.num_batches,
        m_phi=m_phi,
        m_s=m_s,
        ctau=ctau,
        decays=_decays(options, kind, m_s) if "decays" in kind.keys else (),
        pt_hat_min=point.get("pt_hat_min"),
        pt_hat_max=point.get("pt_hat_max"),
        lhe=_lhe(options) if name == "lhe" else (),
        pythia=_pythia(options),
    )


def run_numbers(process: str) -> tuple[int, ...]:
    """Give the run numbers of a process's table, in its order; none for ``lhe``."""
    return tuple(_table(PROCESSES[process].table))


@functools.cache
def _table(name: str | None) -> Mapping[int, Mapping[str, float]]:
    if name is None:
        return {}
    text = resources.files("hvmpi.openchain").joinpath("data", name).read_text("utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {
        int(row["run_number"]): {
            key: float(row[column]) for key, column in _COLUMNS.items() if column in row
        }
        for row in rows
    }


def _refuse(
    options: SampleOptions, key: str, value: object, why: str, names: Iterable[str] = ()
) -> NoReturn:
    near = difflib.get_close_matches(str(value), list(names), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    spelled = key.replace("_", "-")
    raise ConfigError(f"sample {options.name}: {spelled} = {value} {why}{hint}")


def _check_keys(options: SampleOptions, name: str, kind: _Kind) -> None:
    given = {
        "m_phi": options.m_phi,
        "m_s": options.m_s,
        "ctau": options.ctau,
        "decays": options.decays,
        "pt_hat_min": options.pt_hat_min,
        "pt_hat_max": options.pt_hat_max,
        "lhe": options.lhe or None,
    }
    for key, value in given.items():
        if value is not None and key not in kind.keys:
            known = ", ".join(known.replace("_", "-") for known in kind.keys)
            _refuse(options, key, value, f"means nothing to process {name}, which knows {known}")


def _check_counts(options: SampleOptions) -> None:
    for key in ("num_batches", "batch_size"):
        value = getattr(options, key)
        if value < 1:
            _refuse(options, key, value, "is not a positive number")
    if options.run_number is not None and not 0 < options.run_number < 2**31:
        _refuse(options, "run_number", options.run_number, "is not between 1 and 2147483647")


def _point(
    options: SampleOptions, name: str, kind: _Kind
) -> tuple[int, Mapping[str, float | None]]:
    table = _table(kind.table)
    keys = [key for key in kind.keys if key in _COLUMNS]
    given = {key: getattr(options, key) for key in keys if getattr(options, key) is not None}
    run_number = options.run_number
    if run_number is None:
        matching = [
            number
            for number, row in table.items()
            if len(given) == len(keys) > 0 and all(row[key] == given[key] for key in keys)
        ]
        run_number = matching[0] if matching else kind.default_run_number
    row: Mapping[str, float] = table.get(run_number, {})
    missing = [key for key in keys if key not in given and key not in row]
    if missing:
        nearest = min(table, key=lambda number: abs(number - run_number))
        keys_text = ", ".join(key.replace("_", "-") for key in missing)
        _refuse(
            options,
            "run_number",
            run_number,
            f"is in no table of process {name} (the nearest is {nearest}): "
            f"take one of the table or set {keys_text} as well",
        )
    return run_number, {key: given.get(key, row.get(key)) for key in keys}


def _check_point(options: SampleOptions, name: str, point: Mapping[str, float | None]) -> None:
    for key, value in point.items():
        if value is None or not math.isfinite(value):
            _refuse(options, key, value, "is not a finite number")
        if key == "ctau":
            if value < 0.0:
                _refuse(options, key, value, "is negative; a proper decay length in mm is not")
        elif value <= 0.0 and key != "pt_hat_min":
            _refuse(options, key, value, "is not a positive number of GeV")
        if key in ("m_phi", "pt_hat_max") and value > E_CM:
            _refuse(options, key, value, f"is beyond the {E_CM:g} GeV of the beams")
    m_phi, m_s = point.get("m_phi"), point.get("m_s")
    if m_phi is not None and m_s is not None:
        # A dark shower starts from two quarks of twice the pion's mass each.
        least = (4.0 if name == "darkshower" else 2.0) * m_s
        if least > m_phi:
            _refuse(
                options,
                "m_s",
                f"{m_s:g}",
                f"is too heavy for m-phi = {m_phi:g}: at most {m_phi * m_s / least:g} GeV",
            )
    low, high = point.get("pt_hat_min"), point.get("pt_hat_max")
    if low is not None and high is not None:
        if low < 1.0:
            # The cross-section of HardQCD diverges towards zero.
            _refuse(options, "pt_hat_min", low, "is under 1 GeV, where dijets have no meaning")
        if low >= high:
            _refuse(options, "pt_hat_min", low, f"leaves no slice below pt-hat-max = {high:g}")


def _decays(options: SampleOptions, kind: _Kind, m_s: float | None) -> tuple[Decay, ...]:
    if options.decays is None:
        return _default_decays(kind, m_s)
    shares: dict[str, float] = {}
    for text in options.decays:
        words = text.split()
        if len(words) != 2:
            _refuse(options, "decays", repr(text), 'is not of the form "bb 85"')
        channel, share_text = words
        if channel not in _CHANNELS:
            _refuse(options, "decays", repr(text), f"is none of {', '.join(_CHANNELS)}", _CHANNELS)
        try:
            share = float(share_text)
        except ValueError:
            share = math.nan
        if not 0.0 < share <= 100.0:
            _refuse(options, "decays", repr(text), "has no share between 0 and 100 percent")
        if channel in shares:
            _refuse(options, "decays", repr(text), f"gives {channel} a second time")
        if not _is_open(channel, m_s):
            least = _CHANNELS[channel].threshold
            _refuse(
                options, "decays", repr(text), f"needs m-s above {least:g} GeV, it is {m_s:g} GeV"
            )
        shares[channel] = share
    total = math.fsum(shares.values())
    if not shares:
        _refuse(options, "decays", "[]", 'is empty; give channels and shares such as "bb 100"')
    if total > 100.0 + 1e-9:
        _refuse(options, "decays", list(options.decays), f"adds up to {total:g} %, above 100 %")
    if total < 100.0 - 1e-9:
        if not _is_open(_REST, m_s):
            _refuse(
                options,
                "decays",
                list(options.decays),
                f"leaves {100.0 - total:g} % to {_REST}, which m-s = {m_s:g} GeV does not allow",
            )
        shares[_REST] = shares.get(_REST, 0.0) + 100.0 - total
    return tuple(Decay(channel, share) for channel, share in shares.items())


def _default_decays(kind: _Kind, m_s: float | None) -> tuple[Decay, ...]:
    # Light s: what is closed is left out and the others share its part, bb alone giving way to
    # what a Higgs-like s does below the bb threshold.
    for shares in (kind.default_decays, _HIGGS_LIKE, (("gammagamma", 100.0),)):
        allowed = [(channel, share) for channel, share in shares if _is_open(channel, m_s)]
        if allowed:
            break
    total = math.fsum(share for _, share in allowed)
    return tuple(Decay(channel, 100.0 * share / total) for channel, share in allowed)


def _is_open(channel: str, m_s: float | None) -> bool:
    return m_s is None or m_s > _CHANNELS[channel].threshold


def _lhe(options: SampleOptions) -> tuple[str, ...]:
    if not options.lhe:
        _refuse(options, "lhe", "[]", "is empty; process lhe needs one LHE file a batch")
    if len(options.lhe) < options.num_batches:
        _refuse(
            options,
            "num_batches",
            options.num_batches,
            f"needs as many LHE files, and lhe names {len(options.lhe)}",
        )
    for path in options.lhe:
        if not Path(path).is_file():
            _refuse(options, "lhe", path, "is no file")
    return options.lhe


def _pythia(options: SampleOptions) -> tuple[str, ...]:
    for line in options.pythia:
        key, separator, value = line.partition("=")
        if not separator or not key.strip() or not value.strip() or "\n" in line:
            _refuse(options, "pythia", repr(line), 'is not of the form "Key:name = value"')
        if key.replace(" ", "").lower().startswith(_OURS):
            _refuse(options, "pythia", repr(line), "is set by hvmpi itself; leave it out")
    return options.pythia
