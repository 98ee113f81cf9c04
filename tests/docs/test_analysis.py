"""The page on analysis and its notebook do what they say, on a run of signal and QCD."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import awkward as ak
import matplotlib.pyplot as plt
import nbformat
import pytest
from nbclient import NotebookClient

from hvmpi.analysis.conversion import Format
from hvmpi.analysis.sources import PRODUCTS
from tests.conftest import Place, RunOnDisk, clean_environment

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("analysis", DOCS / "analysis.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_blocks_of_the_page(
    page: ModuleType, finished_run: RunOnDisk, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    left = page.run_blocks(finished_run.directory, tmp_path)
    plt.close("all")
    # The picture, and what was converted.
    written = {path.name for path in tmp_path.iterdir()} - {"runs"}
    assert written == {page.PICTURE, "events.root", "events.parquet", "jets.parquet"}
    assert (tmp_path / page.PICTURE).read_bytes().startswith(b"\x89PNG")
    assert f"(pictures/{page.PICTURE})" in page.PAGE.read_text()
    assert (DOCS / "pictures" / page.PICTURE).is_file()
    # What the blocks compute is so.
    assert len(left["events"]) == 24
    assert left["weight"].min() > 0
    assert ak.all(left["particle"].charge[left["events"].tracks.match > 0.9] != 0)
    assert ak.all(left["largest"] <= ak.sum(left["events"].clusters.e, axis=1))
    out = capfd.readouterr().out
    assert "24 events, " in out
    assert "events.root: 24 events of 4 files" in out


def test_the_page_tells_all_that_can_be_opened_and_made(page: ModuleType) -> None:
    text = page.PAGE.read_text()
    assert all(f'"{product}"' in text for product in PRODUCTS if product != "aod")
    assert all(f".{one}" in text for one in Format)


def test_the_notebook(finished_run: RunOnDisk, place: Place) -> None:
    path = DOCS / "analysis.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in codes)
    environment = {
        **clean_environment(),
        "HVMPI_RUN": str(finished_run.directory),
        "IPYTHONDIR": str(place.root / "ipython"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "JUPYTER_RUNTIME_DIR": str(place.root / "runtime"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        # Its debugger cannot see frozen modules, and says so.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": place.root}}
    )
    client.execute(env=environment)
    pictures = [
        output.data["image/png"]
        for cell in codes
        for output in cell.outputs
        if output.output_type == "display_data"
    ]
    assert len(pictures) == 3
    said = "".join(output.text for cell in codes for output in cell.outputs if "text" in output)
    assert "24 events, 12 of them QCD; pT of jets in GeV" in said
    assert said.endswith("True\n")
    assert "stderr" not in {output.get("name") for cell in codes for output in cell.outputs}, (
        "a warning"
    )
    assert (place.root / "events.root").is_file()
