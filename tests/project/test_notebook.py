"""The notebook of the examples runs from an empty folder."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support import ROOT

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


@pytest.mark.thorough
def test_the_notebook_runs_and_shows_tables_and_pictures(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("END_STEP", "4")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    for cell in notebook.cells:  # the calls as they are, on fewer samples
        cell.source = cell.source.replace("n=200", "n=32")
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


SIX_LINES = """
import numpy as np
clean = np.stack([np.sin(np.mgrid[:8, :8].sum(0) / 3 + i) / 2 for i in range(96)])[:, None].astype("f4")
np.save("clean.npy", clean)
np.save("noisy.npy", clean + 0.25 * np.random.default_rng(0).standard_normal(clean.shape).astype("f4"))
---
import ambientkit as ak
small = "image_transformer_v1{width: 64, depth: 1, patch_size: 4}"
run = ak.train("noisy.npy", sigma_n=0.25, model=small, end_step=3, output_dir="runs/mine")
run = ak.load("runs/mine")
---
run.sample(8, seed=0, steps=4).shape
---
post = run.restore("noisy.npy", n=4, draws=2, steps=4)
post.mean.shape, post.draws.shape, post.std.shape
---
run.evaluate(reference="clean.npy", clean=True, n=16, steps=4, repeats=2, extractors=["pixels"])
---
run.report("report.html"), run.export("k-diffusion", "out"), run.card()
"""
"""The front page of the package, one cell each: the data of an empty folder first."""


@pytest.mark.slow
@pytest.mark.thorough  # its blocks run in test_docs.py too
def test_the_front_page_runs_in_a_kernel_from_an_empty_folder(tmp_path) -> None:
    cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in SIX_LINES.split("---")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [[output.data for output in cell.outputs if "data" in output] for cell in notebook.cells]
    told = [output for cell in notebook.cells for output in cell.outputs if output.output_type == "stream"]
    assert all(output.name == "stderr" for output in told), told  # what it warns of is logged
    assert shown[2][0]["text/plain"] == "torch.Size([8, 1, 8, 8])"
    assert "(torch.Size([4, 1, 8, 8]), torch.Size([4, 2, 1, 8, 8])" in " ".join(shown[3][0]["text/plain"].split())
    assert "<table>" in shown[4][0]["text/html"]
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "out" / "k-diffusion.safetensors").is_file()
