"""Pictures larger than the rows trained on: tiles are blended without seams, and draws agree where they overlap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.interfaces import Levels
from ambientkit.sample import Batches, restore
from ambientkit.sample.tiled import TiledDenoiser, needs_tiles
from tests.support.sampling import ok, write_run

TILE, OVERLAP = 32, 16
LEVELS = Levels(0.01, 5.0)


class Local:
    """A denoiser that looks `radius` pixels far, and does not know where in the picture it is; beyond the edge is 0."""

    def __init__(self, radius: int) -> None:
        self.kernel = torch.randn(1, 1, 2 * radius + 1, 2 * radius + 1, generator=torch.Generator().manual_seed(3)) / (
            4 * radius + 2
        )
        self.radius, self.most, self.seen = radius, 0, {}

    def __call__(self, x, sigma, /, **cond):
        self.most, self.seen = max(self.most, len(x)), {name: tuple(value.shape) for name, value in cond.items()}
        level = sigma.reshape(-1, 1, 1, 1)
        found = torch.tanh(conv2d(x, self.kernel, padding=self.radius))
        return found * (1 + cond["mask"] if "mask" in cond else 1) / (1 + level)


def picture(*size, rows=2):
    return torch.randn(rows, 1, *size, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("size", [(71, 64), (32, 90), (33, 49)])
def test_tiles_of_a_local_denoiser_are_the_whole_picture(size):
    """What looks no further than a quarter of the overlap sees in a tile all that it sees in the whole."""
    local, x, sigma = Local(OVERLAP // 4), picture(*size), torch.tensor([0.3, 0.7])
    tiled = TiledDenoiser(local, (TILE, TILE), (OVERLAP, OVERLAP), Batches(3))
    torch.testing.assert_close(tiled(x, sigma), local(x, sigma), rtol=1e-5, atol=1e-6)
    assert local.most == max(3, len(x))


def test_one_that_looks_further_differs_at_the_seams_so_the_comparison_can_fail():
    local, x, sigma = Local(OVERLAP), picture(71, 64), torch.tensor([0.3, 0.7])
    tiled = TiledDenoiser(local, (TILE, TILE), (OVERLAP, OVERLAP), Batches(8))
    assert (tiled(x, sigma) - local(x, sigma)).abs().max() > 0.05


def test_conditions_along_the_picture_are_cut_with_it_and_others_are_not():
    local, x = Local(2), picture(48, 40)
    cond = {"mask": (picture(48, 40) > 0).float(), "label": torch.tensor([1, 2])}
    tiled = TiledDenoiser(local, (TILE, TILE), (OVERLAP, OVERLAP), Batches(4))
    found = tiled(x, torch.tensor([0.3, 0.3]), **cond)
    assert local.seen == {"mask": (4, 1, TILE, TILE), "label": (4,)}
    torch.testing.assert_close(found, local(x, torch.tensor([0.3, 0.3]), **cond), rtol=1e-5, atol=1e-6)


def test_draws_of_a_picture_in_tiles_are_those_of_the_whole():
    """One noise field for the whole picture, keyed by its row: tiles change nothing but what the network sees."""
    local, x = Local(OVERLAP // 4), picture(70, 53)
    batch = Batch(x, torch.tensor([0.4, 0.2]), torch.tensor([7, 11]), {})
    tiled = TiledDenoiser(local, (TILE, TILE), (OVERLAP, OVERLAP), Batches(5))
    whole, parts = (
        restore(denoiser, batch, Gaussian(), StochasticHeun(), LEVELS, draws=2, steps=6, batch_size=2)
        for denoiser in (local, tiled)
    )
    torch.testing.assert_close(parts.draws, whole.draws, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-4, atol=1e-5)


def test_which_rows_are_restored_in_tiles():
    assert needs_tiles((1, 64, 32), (1, 32, 32))
    assert needs_tiles((1, 8, 64, 64), (1, 8, 32, 32))
    for shape in ((1, 32, 32), (3, 64, 64), (1, 64, 31), (64,), (1, 1, 64, 64)):
        assert not needs_tiles(shape, (1, 32, 32))


def test_a_command_restores_large_pictures_in_tiles_and_says_so(sample, tmp_path):
    """The posterior mean of N(.2, .5^2) under noise .3 is a function of each pixel alone."""
    run = write_run(tmp_path / "run", shape=(1, 8, 8))
    x = 0.2 + 0.58 * np.random.default_rng(1).standard_normal((3, 29, 20))
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    data = f"array{{path: {tmp_path / 'x.npy'}, layout: NHW, value_range: [-1, 1]}}"
    told = ok(sample(run, "--from", data, "--sigma-n", 0.3, "--draws", 2, "--steps", 4, "--out", tmp_path / "out"))
    assert (
        "rows of shape (1, 29, 20) are restored in 28 tiles of the shape trained on, (1, 8, 8), which overlap by 4"
        in told
    )
    mean = np.load(tmp_path / "out" / "mean.npy")
    np.testing.assert_allclose(mean, 0.2 + 0.25 / 0.34 * (x - 0.2), atol=1e-5)
    assert np.load(tmp_path / "out" / "draws.npy").shape == (3, 2, 29, 20)
    for overlap, why in ((5, "should be from 0 to half a tile, 4 pixels"), (0, None)):
        answer = sample(
            *(run, "--from", data, "--sigma-n", 0.3, "--draws", 0, "--tile-overlap", overlap),
            *("--out", tmp_path / f"out{overlap}"),
        )
        assert answer[0] == (2 if why else 0)
        assert (why or "") in answer[2]
    np.testing.assert_allclose(np.load(tmp_path / "out0" / "mean.npy"), mean, atol=1e-5)
    few = f"array{{path: {tmp_path / 'x.npy'}, layout: N..., value_range: [-1, 1]}}"
    assert "but the run was trained on (1, 8, 8)" in sample(run, "--from", few, "--sigma-n", 0.3)[2]
