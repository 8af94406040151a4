"""Dead pixels of restored rows: no row teaches a network what is there, so their neighbours say it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ambientkit as ak
from ambientkit.maths.harmonic import filled


def trained(data, folder):
    """A run of four steps on rows with missing pixels."""
    return ak.train(
        data,
        corruption={"name": "mask", "missing": 0.05, "allow_unseen": True},
        objective="tweedie",
        model={"name": "mlp", "width": 8, "depth": 1},
        end_step=4,
        batch_size=8,
        output_dir=folder,
        skip_preflight=True,
        device="cpu",
    )


def test_they_are_the_mean_of_their_neighbours_in_the_mean_and_in_every_draw(tmp_path) -> None:
    """Case: hot pixels of a camera came back with an error of 162 counts; their neighbours' mean had 10."""
    dead = [(2, 5), (7, 0)]
    rng = np.random.default_rng(0)
    rows = (0.5 * np.sign(rng.standard_normal((40, 1, 1))) + 0.2 * rng.standard_normal((40, 8, 8))).astype("float32")
    for line, column in dead:
        rows[:, line, column] = 1e4
    np.save(tmp_path / "rows.npy", rows)
    data = {"name": "array", "path": str(tmp_path / "rows.npy"), "layout": "NHW", "value_range": [-1, 1]}
    run = trained({**data, "sigma_n": 0.2, "dead": [list(one) for one in dead], "missing": "mask"}, tmp_path / "run")
    found = run.restore(run.config.data, n=6, draws=3, steps=3)
    assert torch.equal(filled(found.mean, dead), found.mean)
    assert torch.allclose(found.mean[:, 0, 2, 5], found.mean[:, 0, [1, 3, 2, 2], [5, 5, 4, 6]].mean(1), atol=1e-6)
    assert torch.allclose(found.draws[..., 7, 0], found.draws[..., [6, 7], [0, 1]].mean(-1), atol=1e-6)
    assert torch.allclose(found.std, found.draws.std(1), atol=1e-6)


def test_pixels_that_the_files_flag_in_every_row_are_dead_as_well(tmp_path) -> None:
    """Case: a line of a detector that its mask flags came back as what an untaught network made of it."""
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    flags = np.zeros((8, 8), np.uint8)
    flags[3, 2:5], flags[6, 2] = 1, 1
    by_row = np.broadcast_to(flags, (40, 8, 8)).copy()
    by_row[:, 0] = rng.random((40, 8)) < 0.1  # missing now and then
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rows"] = (0.5 * np.sign(rng.standard_normal((40, 1, 1))) + 0.2 * rng.standard_normal((40, 8, 8))).astype(
            "f4"
        )
        file["bad"] = by_row
    data = {"name": "hdf5", "path": str(tmp_path / "a.h5"), "key": "rows", "layout": "NHW", "value_range": [-1, 1]}
    run = trained({**data, "sigma_n": 0.2, "flags": "bad", "missing": "mask"}, tmp_path / "run")
    found = run.restore(run.config.data, n=6, draws=3, steps=3)
    dead = [(3, 2), (3, 3), (3, 4), (6, 2)]
    assert torch.allclose(filled(found.mean, dead), found.mean, atol=1e-6)
    assert torch.allclose(found.mean[:, 0, 6, 2], found.mean[:, 0, [5, 7, 6, 6], [2, 2, 1, 3]].mean(1), atol=1e-6)
    assert torch.allclose(filled(found.draws, dead), found.draws, atol=1e-6)
