"""Files in fastMRI's layout, from inspection to restored slices, by the commands alone."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import torch

from ambientkit.operators import operator_of
from ambientkit.operators.fourier import as_complex, as_pairs
from tests.support.verifying import ambientkit

pytestmark = pytest.mark.slow
SIDE, LEVEL, SCALE = 16, 0.05, 3e-5
"""Pixels, noise std after scaling, and the size of the file's values."""


def write(folder) -> torch.Tensor:
    """Eight volumes of four slices, each with columns of its own left out; the slices, (32, 2, H, W)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    slices = []
    for volume in range(8):
        lines = rng.random(SIDE) < 0.5
        lines[6:10] = True
        found = []
        for _ in range(4):
            a, b, r = (*rng.uniform(-0.4, 0.4, 2), rng.uniform(0.3, 0.6))
            found.append(np.exp(0.5j * x) * (((x - a) ** 2 + (y - b) ** 2) < r**2) * rng.uniform(0.5, 1.0))
        pictures = torch.from_numpy(np.stack(found)).unsqueeze(1)
        kspace = as_complex(operator_of("fourier").forward(as_pairs(pictures), {}))[:, 0].numpy()
        noise = LEVEL * (rng.standard_normal(kspace.shape) + 1j * rng.standard_normal(kspace.shape))
        with h5py.File(folder / f"file{volume}.h5", "w") as file:
            file["kspace"] = (SCALE * (kspace + noise) * lines).astype(np.complex64)
            file["mask"] = lines.astype(np.float32)
            file["reconstruction_rss"] = np.abs(pictures[:, 0].numpy())  # as fastMRI has it; not read
        slices.append(as_pairs(pictures))
    return torch.cat(slices).float()


def test_files_of_fastmri_are_inspected_trained_on_and_restored(tmp_path) -> None:
    (tmp_path / "scans").mkdir()
    clean = write(tmp_path / "scans")
    data = f"kspace{{path: {tmp_path / 'scans'}, sigma_n: {LEVEL}, scale: {SCALE}}}"
    seen = ambientkit("inspect", data, "--json", "seen.json", cwd=tmp_path)
    assert seen.returncode == 0, seen.stdout + seen.stderr
    facts = json.loads((tmp_path / "seen.json").read_text())["facts"]
    assert facts["rows"] == 32
    assert 0.1 < facts["missing"] < 0.6
    few = ("--model", "mlp", "--set", "model.width=32", "--end-step", "60", "--batch-size", "16", "--device", "cpu")
    word = "linear{operator: fourier, kind: columns, missing: 0.4, centre: 0.25}"
    few += ("--objective", "tweedie", "--lr", "3e-3", "--hold-out", "0", "--output-dir", "run")
    few += ("--skip-preflight",)  # half a minute; tests/operators/test_adjoint.py has what it asks of an operator
    trained = ambientkit("train", "--data", data, "--corruption", word, *few, cwd=tmp_path)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    restored = ambientkit("sample", "run", "--from", data, "--draws", "0", "--out", "out", cwd=tmp_path)
    assert restored.returncode == 0, restored.stdout + restored.stderr
    mean = torch.from_numpy(np.load(tmp_path / "out" / "mean.npy")).float()
    assert mean.shape == clean.shape
    assert mean.isfinite().all()
    assert float((mean - clean).square().mean()) < float(clean.square().mean())  # better than nothing, after 60 steps
    drawn = ambientkit("sample", "run", "--n", "2", "--steps", "3", "--masks", "2", "--out", "drawn", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    assert json.loads((tmp_path / "drawn" / "samples.json").read_text())["masks"] == 2
    again = ambientkit("sample", "run", "--n", "2", "--steps", "3", "--out", "drawn", cwd=tmp_path)
    assert again.returncode == 2
