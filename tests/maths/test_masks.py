"""Masks: their law, the chance that a hidden value was measured, and the oracle of what they show."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientkit.builtin.checks.masked import law, posterior
from ambientkit.maths.linear_posterior import LinearPosterior
from ambientkit.maths.masks import APART, Kind, chance_of_hiding, chance_of_seen, draw_mask, never_together
from ambientkit.maths.mixture import GaussianMixture

ROWS = 20_000


@pytest.mark.parametrize("kind", ["pixels", "rows", "columns", "boxes"])
@pytest.mark.parametrize("shape", [(3, 6, 8), (5,), (2, 7), (1, 3, 4, 5)])
def test_the_chance_of_hiding_a_value_is_that_of_the_draws(kind: str, shape: tuple[int, ...]) -> None:
    like = torch.zeros(ROWS, *shape)
    centre = 0.3 if kind in ("rows", "columns") else 0.0
    hidden = ~draw_mask(like, kind, 0.4, torch.Generator().manual_seed(0), centre)
    chance = chance_of_hiding(like, kind, 0.4, centre)
    assert torch.broadcast_shapes(chance.shape, like.shape) == like.shape
    # 5.2 standard errors of a share: false alarm 2e-7 for each of at most 60 values of 16 cases, 2e-4 in all.
    error = (chance * (1 - chance) / ROWS).sqrt()
    assert bool(((hidden.double().mean(0) - chance[0]).abs() <= 5.2 * error[0] + 1e-12).all())


@given(q=st.floats(0.01, 1), d=st.floats(0.01, 1))
def test_one_less_k_is_the_inverse_weight_of_splitting(q: float, d: float) -> None:
    """1 - K, K = (1 - q) / (1 - q q~), q~ = 1 - d: arXiv 2210.01696."""
    one_less_k = 1 - (1 - q) / (1 - q * (1 - d))
    found = chance_of_seen(torch.tensor(q, dtype=torch.float64), torch.tensor(d, dtype=torch.float64))
    assert float(found) == pytest.approx(one_less_k, abs=1e-12)


def test_the_weight_of_the_anchor() -> None:
    q, d = torch.tensor(0.6, dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64)
    assert float(chance_of_seen(q, d)) == pytest.approx(0.06 / 0.46)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), sigma=st.floats(0.05, 3))
def test_the_posterior_of_a_whole_row_is_that_of_the_mixture(seed: int, sigma: float) -> None:
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    level = torch.full((6,), sigma, dtype=torch.float64)
    found = LinearPosterior(law(), torch.eye(4).expand(6, 4, 4), x, level).mean()
    assert torch.allclose(found, law().posterior_mean(x, level), atol=1e-9)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), sigma=st.floats(0.05, 3), rows=st.integers(1, 7))
def test_the_posterior_under_an_operator_is_bayes_rule_in_measurement_space(seed: int, sigma: float, rows: int) -> None:
    """Component by component, m + C A^T (A C A^T + s^2 I)^-1 (y - A m), by another way than the code's."""
    g = torch.Generator().manual_seed(seed)
    a, y = (torch.randn(*s, generator=g, dtype=torch.float64) for s in ((rows, 4), (rows,)))
    mixture = law()
    total = a @ mixture.covariances @ a.T + sigma**2 * torch.eye(rows, dtype=torch.float64)
    off = y - mixture.means @ a.T
    means = mixture.means + torch.einsum("kij,kj->ki", mixture.covariances @ a.T @ torch.linalg.inv(total), off)
    normal = torch.distributions.MultivariateNormal(mixture.means @ a.T, total)
    weights = torch.softmax(mixture.weights.log() + normal.log_prob(y), 0)
    level = torch.tensor([sigma], dtype=torch.float64)
    found = LinearPosterior(mixture, (a.T @ a).unsqueeze(0), (a.T @ y).unsqueeze(0), level)
    assert torch.allclose(found.mean()[0], weights @ means, atol=1e-8)


def test_draws_of_the_posterior_have_its_mean_and_covariance() -> None:
    one = GaussianMixture([1.0], law().means[:1], law().covariances[:1])
    n = 20_000
    x = torch.tensor([0.3, 0.0, -0.2, 0.5], dtype=torch.float64).reshape(1, 1, 2, 2).expand(n, 1, 2, 2)
    mask = torch.tensor([True, False, True, False]).reshape(1, 1, 2, 2).expand_as(x)
    found = posterior(one, x, torch.full((n,), 0.2, dtype=torch.float64), {"mask": mask})
    draws = found.sample(torch.Generator().manual_seed(1))
    error = (draws - found.mean()).mean(0) / (found.covariances[0, 0].diagonal() / n).sqrt()
    assert float(error.abs().max()) < 5  # four normal scores: false alarm 2e-6
    assert torch.allclose(torch.cov(draws.T), found.covariances[0, 0], atol=0.01)


@pytest.mark.parametrize(("kind", "hidden"), [("pixels", 0.8), ("rows", 0.6), ("columns", 0.3), ("boxes", 0.25)])
@pytest.mark.parametrize("side", [2, 8, 40])
@pytest.mark.parametrize("rows", [1, 50, 1500])
def test_random_masks_keep_no_pairs_apart(kind: Kind, hidden: float, side: int, rows: int) -> None:
    """By the bound in `never_together` a pair of independent values is apart with probability 2e-9; in all cases here
    one of 5e-5 at most would be. Boxes of a quarter keep none apart by their geometry."""
    if kind == "boxes" and side == 2:
        hidden = 0.2  # one pixel of four
    masks = draw_mask(torch.zeros(rows, 1, side, side), kind, hidden, torch.Generator().manual_seed(0))
    assert never_together(masks.expand(rows, 1, side, side)) == 0.0


def test_complementary_masks_keep_pairs_apart_by_their_share() -> None:
    """Of n values in g groups, of which a row has one, a pair is apart with probability 1 - (n/g - 1) / (n - 1)."""
    rng = torch.Generator().manual_seed(0)
    board = (torch.arange(6)[:, None] + torch.arange(6)) % 2
    turn = torch.randint(0, 2, (400, 1, 1), generator=rng)
    assert never_together((board == turn).unsqueeze(1)) == pytest.approx(1 - 17 / 35)
    line = torch.randint(0, 4, (400, 1), generator=rng)
    lines = (torch.arange(40) - line) % 4 == 0
    lines[:, 18:22] = True  # those in the middle are in every row, and do not count
    assert never_together(lines) == pytest.approx(1 - 8 / 35)
    assert never_together(board.bool().expand(400, 6, 6)) == 0.0  # one mask for all: nothing but lost values
    assert never_together((board == turn)[:30]) == 0.0  # too few rows to show it
    large = (torch.arange(64)[:, None] + torch.arange(64)) % 2 == turn  # more values than are compared
    assert never_together(large) == pytest.approx(0.5, abs=0.02)
    assert never_together(large) > APART
