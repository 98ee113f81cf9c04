"""``convert`` on the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import awkward as ak
import pytest
import uproot

import hvmpi
from tests.conftest import Place, RunOnDisk


@pytest.mark.parametrize("words", [[], ["TIMESTAMP"], ["RUN"], ["RUN/aod"], ["RUN/aod/*.aod.h5"]])
def test_a_run_in_the_ways_it_can_be_named(
    place: Place, finished_run: RunOnDisk, words: list[str]
) -> None:
    run = finished_run.directory
    named = [
        word.replace("RUN", str(run)).replace("TIMESTAMP", finished_run.timestamp) for word in words
    ]
    where = f"--run-dir={run.parent}"
    answer = place.hvmpi("convert", *named, where, "-o", "all.root", "--collections=jets")
    assert (answer.code, answer.err) == (0, "")
    size = (place.root / "all.root").stat().st_size
    assert answer.out == f"all.root: 24 events of 4 files, {size / 1e6:.1f} MB, root\n"
    with uproot.open(place.root / "all.root") as file:
        assert file["events"].num_entries == 24


def test_training_files_of_a_run(place: Place, finished_run: RunOnDisk) -> None:
    words = [finished_run.timestamp, f"--run-dir={finished_run.directory.parent}"]
    answer = place.hvmpi("convert", *words, "--product=train", "-o", "x", "--format=parquet")
    assert (answer.code, answer.err) == (0, "")
    assert " of 1 file, " in answer.out
    jets = hvmpi.open(finished_run.directory, product="train").jets
    assert ak.from_parquet(place.root / "x").jets.pt.to_list() == jets.pt.to_list()


def test_what_is_refused(
    place: Place, finished_run: RunOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished_run.directory
    aod = min((run / "aod").glob("*.h5"))
    (place.root / "there.root").write_text("there")
    for words, said in (
        ([aod], "-o"),
        ([aod, "-o", "x.roo"], "'x.roo' does not say its format"),
        ([aod, "-o", "there.root"], "'there.root' is there already"),
        ([aod, "-o", aod, "--format=root", "--force"], "is named twice"),
        ([aod, "-o", "gone/x.root"], "cannot write 'gone/x.root'"),
        ([aod, "-o", "x.root", "--collections=jets,jest"], "no collection 'jest'"),
        ([aod, run / "train/train.h5", "-o", "x.root"], "expected hvmpi.aod version 2"),
        ([run / "journal.jsonl", "-o", "x.root"], "is not a whole HDF5 file"),
        (["gone.aod.h5", "-o", "x.root"], "there is no file 'gone.aod.h5'"),
        (["*.aod.h5", "-o", "x.root"], "no file matches '*.aod.h5'"),
        (["-o", "x.root"], "there is no run in '"),
        (["20200101000000", "-o", "x.root", f"--run-dir={run.parent}"], "no run '20200101000000'"),
    ):
        before = place.tree()
        answer = place.hvmpi("convert", *words)
        assert answer.code == 2
        assert said in answer.complaint
        assert place.tree() == before
    for library, output in (("uproot", "x.root"), ("pyarrow", "x.parquet")):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, library, None)
            answer = place.hvmpi("convert", aod, "-o", output)
        assert answer.code == 2
        assert answer.complaint == f"{library} is not installed: pip install 'hvmpi[convert]'"
    assert not Path("x.root").exists()
