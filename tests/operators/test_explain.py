"""Whether rows can have come through an operator: right operators explain theirs, wrong ones do not."""

from __future__ import annotations

import pytest
import torch

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator


def normal(*shape: int, key: str = "x") -> torch.Tensor:
    return standard_normal(torch.empty(*shape), keyed_generator(0, key))


def rows(corruption: Linear, x: torch.Tensor, seed: int = 0) -> Batch:
    return corruption.observe(x, torch.arange(len(x)), keyed_generator(seed, "rows"))


RIGHT = [
    ({"name": "fourier", "real": True}, 1),
    ({"name": "fourier", "coils": 4}, 2),
    ({"name": "blur", "width": 1.5}, 1),
    ({"name": "downsample", "factor": 2}, 1),
]


@pytest.mark.parametrize(("operator", "channels"), RIGHT)
@pytest.mark.parametrize("missing", [0.0, 0.5])
@pytest.mark.parametrize("sigma_n", [0.0, 0.3])
def test_rows_that_came_through_an_operator_are_explained_by_it(operator, channels, missing, sigma_n) -> None:
    corruption = Linear(operator=operator, missing=missing, sigma_n=sigma_n)
    for seed in range(5):
        batch = rows(corruption, normal(2, channels, 12, 10, key=str(seed)), seed)
        assert corruption.unexplained(batch) < 0.01


def test_complex_rows_taken_for_real_ones_are_not_explained() -> None:
    batch = rows(Linear(operator={"name": "fourier"}, sigma_n=0.1, missing=0.0), normal(2, 2, 12, 10))
    share = Linear(operator={"name": "fourier", "real": True}, missing=0.0).unexplained(batch)
    assert share == pytest.approx(0.5, abs=0.1)  # white complex rows: half of them is imaginary


def test_lines_whose_mirror_images_are_missing_say_nothing() -> None:
    """Half of k-space can be that of some real picture, whatever it holds."""
    batch = rows(Linear(operator={"name": "fourier"}, missing=0.0), normal(2, 2, 12, 10))
    seen = torch.zeros_like(batch.x_n, dtype=torch.bool)
    seen[..., 1:5] = True
    half = batch._replace(x_n=torch.where(seen, batch.x_n, 0.0), cond={"sampled": seen})
    assert Linear(operator={"name": "fourier", "real": True}).unexplained(half) < 1e-3


def test_maps_of_other_coils_do_not_explain_rows() -> None:
    corruption = Linear(operator={"name": "fourier", "coils": 4}, missing=0.0, sigma_n=0.05)
    batch = rows(corruption, normal(2, 2, 12, 10))
    maps = normal(2, 8, 12, 10, key="maps")
    assert corruption.unexplained(batch._replace(cond={**batch.cond, "coils": maps})) > 0.4


def test_noise_larger_than_declared_is_at_odds_too_and_what_is_declared_is_not() -> None:
    corruption = Linear(operator={"name": "fourier", "coils": 4}, missing=0.0, sigma_n=0.5)
    batch = rows(corruption, normal(2, 2, 12, 10))
    assert corruption.unexplained(batch) == 0
    assert corruption.unexplained(batch._replace(sigma_n=torch.full_like(batch.sigma_n, 0.05))) > 0.05
