"""The notebook of the examples runs from an empty folder."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support import ROOT

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_and_shows_tables_and_pictures(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("END_STEP", "4")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [
        output.data
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "data" in output
    ]
    assert sum("image/png" in data for data in shown) == 2
    assert sum("<table>" in data.get("text/html", "") for data in shown) == 3
    assert (tmp_path / "runs" / "quickstart" / "model_ema.safetensors").is_file()
