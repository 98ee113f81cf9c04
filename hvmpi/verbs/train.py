"""``train``: fit a first network to training files and say how well it tells signal from QCD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hvmpi.errors import SetupError
from hvmpi.libraries import refuse_without
from hvmpi.training.features import DEFAULT, chosen_features
from hvmpi.training.network import NetworkOptions, fit, read_jets
from hvmpi.training.results import engines, numbers, summary_rows, write_numbers
from hvmpi.verbs.arguments import VerbParser
from hvmpi.verbs.stopping import nothing_left_by_sigterm
from hvmpi.view.table import print_table
from hvmpi.view.text import say

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Carry out the verb; returns the exit code."""
    given = _parser().parse_args(argv)
    options = NetworkOptions(
        seed=given.seed,
        features=chosen_features([name.strip() for name in given.features.split(",") if name]),
        min_lxy=given.min_lxy,
        max_lxy=given.max_lxy,
    )
    refuse_without("train", "sklearn", "matplotlib", "mplhep", "hist")
    directory = given.output or given.inputs[0].absolute().parent / "network"
    jets, books = read_jets(given.inputs, options)
    network = fit(jets, options)
    found = numbers(given.inputs, books, jets, network, options)
    from hvmpi.training.pictures import draw

    try:
        directory.mkdir(parents=True, exist_ok=True)
        simulated = " (open chain)" if engines(books) == {"openchain"} else ""
        with nothing_left_by_sigterm():
            draw(directory, network, f"Simulation{simulated}")
            write_numbers(directory, found, network)
    except OSError as error:
        msg = f"cannot write in {str(directory)!r} ({error.strerror or error})"
        raise SetupError(msg) from error
    _tell(found)
    say(f"{directory}: network.json, roc.csv, and as .png and .pdf roc, scores, importance")
    return 0


def _parser() -> VerbParser:
    parser = VerbParser(
        prog="python -m hvmpi train",
        description="fit a small network to training files, of signal jets whose s decays within "
        "a window and of QCD jets, and say how well it tells them apart",
        epilog="example: python -m hvmpi train runs/20261124120000/train/train.h5",
        allow_abbrev=False,
    )
    parser.add_argument("inputs", nargs="+", type=Path, metavar="TRAIN", help="training files")
    parser.add_argument(
        *("-o", "--output"),
        type=Path,
        metavar="DIR",
        help="numbers and pictures go here (default: network, beside the first file)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of fit and split (default: 1)")
    parser.add_argument(
        "--features",
        default="default",
        metavar="NAMES",
        help="what it looks at, separated by commas; default stands for "
        f"{', '.join(DEFAULT)}; more are the other columns of jets",
    )
    parser.add_argument(
        "--min-lxy", type=float, default=1200.0, metavar="MM", help="(default: 1200)"
    )
    parser.add_argument(
        "--max-lxy", type=float, default=4200.0, metavar="MM", help="(default: 4200)"
    )
    return parser


def _tell(found: Mapping[str, Any]) -> None:
    jets, network, cut = found["jets"], found["network"], found["cut"]
    print_table(
        ("JETS", "SIGNAL", "QCD"),
        [(use, str(jets[use]["signal"]), str(jets[use]["qcd"])) for use in jets],
        right=("SIGNAL", "QCD"),
    )
    print()
    print_table(
        ("SIGNAL", "QCD, NETWORK", "BY CROSS-SECTION", "QCD, CUT", "BY CROSS-SECTION "),
        summary_rows(found),
        right=("SIGNAL",),
    )
    print()
    for name, measured in (("network", network), ("cut", cut)):
        weighted = measured["auc_by_cross_section"]
        by_cross_section = "" if weighted is None else f", by cross-section {weighted:.4f}"
        print(
            f"AUC of the {name}: {measured['auc']:.4f} +- {measured['auc_error']:.4f}"
            f"{by_cross_section}"
        )
    print("most important: " + ", ".join(entry["feature"] for entry in found["importance"][:5]))
