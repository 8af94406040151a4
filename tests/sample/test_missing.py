"""Which estimate stands for missing values of a restored mean is chosen by the noisy rows alone."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import ambientkit as ak
from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.sample.batches import Batches
from ambientkit.sample.missing import FEWEST, choose_filling, filled_rows

SIGMA_N, SIZE, ROWS = 0.2, 24, 48


def waves(rows: int = ROWS) -> Tensor:
    """Smooth pictures (rows, 1, SIZE, SIZE) in [-1, 1]."""
    y, x = torch.meshgrid(*[torch.arange(SIZE, dtype=torch.float64)] * 2, indexing="ij")
    phase = 6 * torch.rand(rows, 2, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return ((y / 9 + phase[:, 0]).sin() * (x / 7 + phase[:, 1]).cos()).unsqueeze(1)


def batch_of(x_0: Tensor, seen: Tensor, sigma_n: float = SIGMA_N) -> Batch:
    z = torch.randn(x_0.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x_n = torch.where(seen, x_0 + sigma_n * z, 1e3)  # what is missing is not read
    return Batch(x_n, torch.full((len(x_0),), sigma_n, dtype=torch.float64), torch.arange(len(x_0)), {"mask": seen})


def masks(share: float, rows: int = ROWS) -> Tensor:
    return torch.rand(rows, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) >= share


def network(x_0: Tensor, off: float):
    """Right where something is seen, `off` where nothing is; for all rows at once."""

    def denoiser(x: Tensor, sigma: Tensor, /, mask: Tensor) -> Tensor:
        return torch.where(mask, x_0, x_0 + off)

    return denoiser


@pytest.mark.parametrize(("off", "neighbours"), [(0.0, False), (0.5, True)])
def test_the_nearer_estimate_is_chosen_and_both_errors_are_those_against_the_truth(
    off: float, neighbours: bool
) -> None:
    x_0, seen = waves(), masks(0.05)
    found = choose_filling(network(x_0, off), batch_of(x_0, seen), Mask(), 0.01, 0, Batches(ROWS))
    assert found is not None
    assert found.neighbours is neighbours
    assert found.values == int((seen & ~seen.roll(1, 0)).sum()) > 1000
    # 4 standard errors of the mean of (e + sigma z)^2 - sigma^2 over these values, in units of sigma^2
    for got, true in ((found.own, off / SIGMA_N), (found.beside, 0.0)):
        assert abs(got**2 - true**2) < 4 * ((2 + 4 * max(true, 0.3) ** 2) / found.values) ** 0.5
    assert ("neighbours:" in found.told()) is neighbours


def test_too_few_hidden_values_and_masks_that_are_all_alike_leave_no_choice() -> None:
    x_0 = waves()
    alike = masks(0.05)[:1].expand(ROWS, -1, -1, -1)
    assert choose_filling(network(x_0, 0.5), batch_of(x_0, alike), Mask(), 0.01, 0, Batches(ROWS)) is None
    few = torch.ones_like(alike).clone()
    few.view(ROWS, -1)[: FEWEST - 1, 5] = False
    few.view(ROWS, -1)[0, 5] = True
    assert choose_filling(network(x_0, 0.5), batch_of(x_0, few), Mask(), 0.01, 0, Batches(ROWS)) is None


def test_rows_without_noise_are_judged_in_units_of_the_data() -> None:
    x_0 = waves()
    found = choose_filling(network(x_0, 0.5), batch_of(x_0, masks(0.05), 0.0), Mask(), 0.01, 0, Batches(ROWS))
    assert found is not None
    assert found.own == pytest.approx(0.5, rel=1e-6)
    assert not found.noisy
    assert "noise" not in found.told()


def test_missing_values_are_filled_by_channel_and_the_others_stay() -> None:
    x = torch.rand(3, 2, 6, 7, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    shared = torch.ones(3, 1, 6, 7, dtype=torch.bool)
    shared[0, 0, 2, 3] = shared[2, 0, 0, 0] = False
    own = torch.ones(3, 2, 6, 7, dtype=torch.bool)
    own[1, 1, 4, 4] = False
    own[2, 0] = False  # nothing of this channel was seen
    for seen in (shared, own):
        out = filled_rows(x, seen)
        gone = ~seen.expand_as(x)
        assert torch.equal(out[~gone], x[~gone])
    at = filled_rows(x, shared)
    around = (x[0, :, 1, 3] + x[0, :, 3, 3] + x[0, :, 2, 2] + x[0, :, 2, 4]) / 4
    assert torch.allclose(at[0, :, 2, 3], around)
    assert torch.allclose(at[2, :, 0, 0], (x[2, :, 0, 1] + x[2, :, 1, 0]) / 2)
    out = filled_rows(x, own)
    assert torch.equal(out[2, 0], x[2, 0])
    assert out[1, 1, 4, 4] != x[1, 1, 4, 4]


def test_restored_means_say_which_estimate_they_hold_and_any_part_restored_alone_is_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Case: two in a hundred pixels were flagged; a network that had hardly learned to fill them was as far off there
    as the noise."""
    x_0, seen = waves().numpy(), masks(0.05).numpy()
    rows = np.where(seen, x_0 + SIGMA_N * np.random.default_rng(0).standard_normal(x_0.shape), np.nan)
    np.save(tmp_path / "rows.npy", rows.astype(np.float32))
    data = {"name": "array", "path": tmp_path / "rows.npy", "layout": "NCHW", "sigma_n": SIGMA_N, "missing": "mask"}
    run = ak.train(
        data,
        corruption={"name": "mask", "missing": 0.05},
        model={"name": "mlp", "width": 8, "depth": 1},
        end_step=4,
        batch_size=16,
        device="cpu",
        skip_preflight=True,
        output_dir=tmp_path / "run",
    )
    with caplog.at_level(logging.INFO, "ambientkit"):
        some = run.restore(data, draws=2, steps=2, n=5)
    assert "missing values of the restored means are" in caplog.text
    every = run.restore(data, draws=2, steps=2)
    assert torch.equal(some.mean, every.mean[:5])
    run.restore(data, draws=2, steps=2, out=tmp_path / "out", batch_size=3)
    assert np.isfinite(np.load(tmp_path / "out" / "mean.npy")).all()
    assert json.loads((tmp_path / "out" / "restored.json").read_text())["particles"] == 1
