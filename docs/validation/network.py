"""The first network on training files: how well it tells decays in the calorimeter from QCD jets.

    python docs/validation/network.py TRAIN... [--pile-up TRAIN...] [--pdf]

Runs ``python -m hvmpi train`` for decays with 1.2 m < L_xy < 4.2 m, on files without and with
pile-up, and sets its numbers beside the goals. Every QCD jet counts once, unless it says "by
cross-section".
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from study import Cell, Column, Study, parser, with_error, within

from hvmpi.files import write_whole

MIN_LXY_MM, MAX_LXY_MM = 1200.0, 4200.0
AT_SIGNAL = 0.9
PICTURES = ("roc", "scores", "importance")


def train(files: Sequence[Path], directory: Path) -> dict[str, Any]:
    """Fit; return what the verb wrote."""
    argv = [sys.executable, "-m", "hvmpi", "train", *map(str, files), "-o", str(directory)]
    argv += ["--min-lxy", f"{MIN_LXY_MM:g}", "--max-lxy", f"{MAX_LXY_MM:g}"]
    done = subprocess.run(argv, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    found: dict[str, Any] = json.loads((directory / "network.json").read_text(encoding="utf-8"))
    return found


def compare(study: Study, found: dict[str, Any]) -> None:
    """Set the area under the ROC curve beside the goals; there are none with pile-up."""
    auc, of_cut = found["network"]["auc"], found["cut"]["auc"]
    measured = with_error(auc, found["network"]["auc_error"])
    study.goal("network: AUC", "at least 0.99", measured, auc >= 0.99, ".4f")
    study.goal(
        "network: AUC, compared with that of the cut",
        f"above {of_cut:.4f}",
        measured,
        auc > of_cut,
        ".4f",
    )


def areas(study: Study, fitted: dict[str, dict[str, Any]]) -> None:
    """Give the areas under the ROC curves, and what passes of QCD at 90 % of signal."""
    rows: list[list[Cell]] = []
    for name, found in fitted.items():
        for what in ("network", "cut"):
            own = found[what]
            (point,) = [one for one in own["points"] if one["at_least"] == AT_SIGNAL]
            qcd = point["qcd"]
            rows.append(
                [
                    what,
                    "yes" if name else "no",
                    with_error(own["auc"], own["auc_error"]),
                    within(qcd["value"], (qcd["low"], qcd["high"])),
                    _by_cross_section(point),
                ]
            )
    study.table(
        "areas",
        [
            Column(""),
            Column("pile-up"),
            Column("AUC", ".4f"),
            Column("QCD efficiency at 90 % signal efficiency", ".2g"),
            Column("by cross-section", ".2g"),
        ],
        rows,
    )


def table(study: Study, name: str, found: dict[str, Any]) -> None:
    """Give the efficiency of QCD jets at each efficiency of signal."""
    rows: list[list[Cell]] = []
    for network, cut in zip(found["network"]["points"], found["cut"]["points"], strict=True):
        row: list[Cell] = [100.0 * network["at_least"]]
        for point in (network, cut):
            qcd = point["qcd"]
            row.append(within(qcd["value"], (qcd["low"], qcd["high"])))
            row.append(_by_cross_section(point))
        rows.append(row)
    study.table(
        f"efficiency{name}",
        [
            Column("signal efficiency, at least (%)", "g"),
            Column("QCD, network", ".2g"),
            Column("by cross-section", ".2g"),
            Column("QCD, cut", ".2g"),
            Column("by cross-section", ".2g"),
        ],
        rows,
    )
    jets = found["jets"]
    study.table(
        f"jets{name}",
        [Column("jets"), Column("signal", "d"), Column("QCD", "d")],
        [[use, jets[use]["signal"], jets[use]["qcd"]] for use in jets],
    )


def _by_cross_section(point: dict[str, Any]) -> Cell:
    share = point["qcd_by_cross_section"]
    # Of none that pass the error is not known.
    if share is None or not point["qcd"]["passed"]:
        return None
    return with_error(share["value"], share["error"])


def main(argv: Sequence[str]) -> None:
    """Fit, compare."""
    options = parser(__doc__)
    options.add_argument("files", nargs="+", type=Path, metavar="TRAIN")
    options.add_argument("--pile-up", nargs="+", type=Path, metavar="TRAIN", default=[])
    given = options.parse_args(argv)
    study = Study("network", given.output, given.pdf)
    fitted = {}
    for name, files in (("", given.files), ("_pile_up", given.pile_up)):
        if not files:
            continue
        with tempfile.TemporaryDirectory() as directory:
            fitted[name] = train(files, Path(directory))
            for one, kind in itertools.product(PICTURES, ("png", "pdf") if given.pdf else ("png",)):
                with write_whole(given.output / f"network{name}_{one}.{kind}") as beside:
                    beside.write_bytes((Path(directory) / f"{one}.{kind}").read_bytes())
        study.made |= {
            f"events{name}": fitted[name]["events"],
            f"classifier{name}": fitted[name]["classifier"]["name"],
        }
        table(study, name, fitted[name])
    compare(study, fitted[""])
    areas(study, fitted)
    study.finish()


if __name__ == "__main__":
    main(sys.argv[1:])
