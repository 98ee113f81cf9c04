"""Warm steps of the open chain make what cold ones make, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Place

SAMPLE = ("--process=gghss", "--run-number=304795", "-n1", "-b4", "--job-size=2")
KEEP = "--keep=evnt,hits,rdo,aod,train"


def products(run: Path) -> dict[str, bytes]:
    """Give all that was published, by place."""
    files = [
        path
        for directory in ("evnt", "library", "hits", "rdo", "aod", "train")
        for path in (run / directory).glob("[!.]*")
        if path.suffix != ".json"
    ]
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    "words", [("--pileup-mu=0.2", "--pileup-events=20"), ("--no-fused",)], ids=["pile-up", "steps"]
)
def test_warm_and_cold_make_the_same(place: Place, words: tuple[str, ...]) -> None:
    made = []
    for name, how in (("warm", ()), ("cold", ("--cold",))):
        given = (*SAMPLE, KEEP, *words, *how, f"--run-dir={place.root / name}")
        assert place.hvmpi("run", *given).code == 0
        (run,) = (place.root / name).iterdir()
        made.append(products(run))
    warm, cold = made
    assert len(warm) >= 1 + 2 * 4 + 1
    assert warm.keys() == cold.keys()
    assert [name for name in warm if warm[name] != cold[name]] == []
