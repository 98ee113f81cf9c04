"""The first network on training files: how well it tells decays in the calorimeter from QCD jets.

    python docs/validation/network.py TRAIN... [--pile-up TRAIN...] [--pdf]

Runs ``python -m hvmpi train`` for decays with 1.2 m < L_xy < 4.2 m, on files without and with
pile-up, and sets its numbers beside the goals. Every QCD jet counts once, unless it says "by
cross-section".
"""

from __future__ import annotations

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


def compare(study: Study, found: dict[str, Any], where: str) -> None:
    """Set the areas under the ROC curves beside the goals."""
    network, cut = found["network"], found["cut"]
    # Pile-up has no goal of its own for the area.
    study.goal(
        f"network{where}: AUC",
        "at least 0.99",
        with_error(network["auc"], network["auc_error"]),
        network["auc"] >= 0.99,
        ".4f",
    )
    study.goal(
        f"network{where}: AUC above that of the cut",
        f"above {cut['auc']:.4f}",
        with_error(network["auc"], network["auc_error"]),
        network["auc"] > cut["auc"],
        ".4f",
    )


def table(study: Study, name: str, found: dict[str, Any]) -> None:
    """Give the efficiency of QCD jets at each efficiency of signal."""
    rows: list[list[Cell]] = []
    for network, cut in zip(found["network"]["points"], found["cut"]["points"], strict=True):
        row: list[Cell] = [100.0 * network["at_least"]]
        for point in (network, cut):
            qcd, weighted = point["qcd"], point["qcd_by_cross_section"]
            row.append(within(qcd["value"], (qcd["low"], qcd["high"])))
            row.append(with_error(weighted["value"], weighted["error"]) if weighted else None)
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


def main(argv: Sequence[str]) -> None:
    """Fit, compare."""
    options = parser(__doc__)
    options.add_argument("files", nargs="+", type=Path, metavar="TRAIN")
    options.add_argument("--pile-up", nargs="+", type=Path, metavar="TRAIN", default=[])
    given = options.parse_args(argv)
    study = Study("network", given.output, given.pdf)
    for files, where, name in (
        (given.files, "", ""),
        (given.pile_up, " with pile-up", "_pile_up"),
    ):
        if not files:
            continue
        with tempfile.TemporaryDirectory() as directory:
            found = train(files, Path(directory))
            kinds = ("png", "pdf") if given.pdf else ("png",)
            for picture in (f"{one}.{kind}" for one in PICTURES for kind in kinds):
                stem, _, kind = picture.partition(".")
                with write_whole(given.output / f"network{name}_{stem}.{kind}") as beside:
                    beside.write_bytes((Path(directory) / picture).read_bytes())
        study.made |= {
            f"events{name}": found["events"],
            f"classifier{name}": found["classifier"]["name"],
        }
        compare(study, found, where)
        table(study, name, found)
    study.finish()


if __name__ == "__main__":
    main(sys.argv[1:])
