"""Attacks on models whose memory is known, and draws under a mask beside the exact posterior."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.memorisation import attack, inpaint
from tests.memorisation.support import digits, remembers, trained

LEVEL = 1e-4
"""False-alarm rate of each statistical test here."""
X = digits()
TRAIN, HELD, OTHER = X[:40], X[40:140], X[140:180]
QUICK = {"draws": 2, "steps": 12, "particles": 16, "device": "cpu"}


@pytest.mark.parametrize(("kind", "level"), [("noise", 1.0), ("mask", 0.75), ("box", 0.6)])
def test_a_model_that_remembers_its_rows_is_found_and_one_that_remembers_others_is_not(
    tmp_path, kind: str, level: float
) -> None:
    found = attack(
        trained(tmp_path / "a", remembers(TRAIN)), train=TRAIN, heldout=HELD, kind=kind, level=level, **QUICK
    )
    assert stats.ks_2samp(found.distance, found.null).pvalue < LEVEL  # the control: the next test can reject
    assert found.listed.double().mean() >= 0.9
    assert found.auc > 0.9
    other = attack(
        trained(tmp_path / "b", remembers(OTHER)), train=TRAIN, heldout=HELD, kind=kind, level=level, **QUICK
    )
    # Training and held-out rows of a model that has seen neither: exchangeable, so that p-values are uniform.
    assert stats.ks_2samp(other.distance, other.null).pvalue > LEVEL
    assert stats.binomtest(int((other.p_values <= 0.05).sum()), 40, 0.05 + 0.03, alternative="greater").pvalue > LEVEL


def test_what_comes_back_is_the_row_itself_where_the_model_remembers_it(tmp_path) -> None:
    found = attack(
        trained(tmp_path / "a", remembers(TRAIN)), train=TRAIN, heldout=HELD, level=0.5, n=10, null=20, **QUICK
    )
    originals, corrupted, draws = found.shown["training"]
    assert (corrupted - originals).std() > 0.45
    assert (draws[:, 0] - originals).abs().max() < 0.05
    assert len(found.rows) == 10
    assert found.p_values.min() >= 1 / 21 - 1e-12
    assert found.to_dict()["listed"] == found.rows[found.listed].tolist()
    assert "listed as memorised" in str(found)
    again = attack(
        trained(tmp_path / "b", remembers(TRAIN)),
        train=TRAIN,
        heldout=HELD,
        level=0.5,
        n=10,
        null=20,
        batch_size=3,
        **QUICK,
    )
    assert torch.allclose(again.distance, found.distance, atol=1e-5)  # whatever the batch


def test_what_cannot_be_attacked_is_refused_before_the_work(tmp_path) -> None:
    run = trained(tmp_path / "a", remembers(TRAIN))
    for changes, words in (
        ({"heldout": torch.cat([HELD, TRAIN[3:4].flip(-1)])}, "held-out row 100 is training row 3"),
        ({"heldout": HELD[:10]}, "at least 19 held-out rows"),
        ({"heldout": HELD[..., :7]}, "shape"),
        ({"level": 80.0}, "below sigma_max 80"),
        ({"kind": "mask", "level": 1.0}, "less than 1"),
        ({"kind": "smudge"}, "there is no such attack"),
        ({"sampler": "heun"}, "reverse kernel"),
        ({"fdr": float("nan")}, "fdr nan: should be above 0 and below 1"),
        ({"p_level": 2.0}, "p_level 2: should be above 0 and below 1"),
        ({"train": TRAIN[..., :7]}, "neither is resized"),
    ):
        with pytest.raises(InputError, match=words):
            attack(run, **{"train": TRAIN, "heldout": HELD, **QUICK, **changes})
    with pytest.raises(InputError, match="is no run"):
        attack(TRAIN, train=TRAIN, heldout=HELD)


# --- under a mask ---------------------------------------------------------------------------------------------------

LAW = GaussianMixture(
    [0.5, 0.5], [[-1.0, -1.0], [1.0, 0.6]], [[[0.16, 0.05], [0.05, 0.09]], [[0.12, -0.04], [-0.04, 0.25]]]
)


def conditional_cdf(values: torch.Tensor, x: float) -> torch.Tensor:
    """P(x_2 <= value | x_1 = x) under LAW, in closed form."""
    variance, joint = LAW.covariances[:, 0, 0], LAW.covariances[:, 0, 1]
    weight = LAW.weights * torch.exp(-((x - LAW.means[:, 0]) ** 2) / (2 * variance)) / variance.sqrt()
    weight = weight / weight.sum()
    mean = LAW.means[:, 1] + joint / variance * (x - LAW.means[:, 0])
    std = (LAW.covariances[:, 1, 1] - joint**2 / variance).sqrt()
    return (weight * torch.special.ndtr((values.unsqueeze(1) - mean) / std)).sum(1)


def draws_of_x_2(x: float, particles: int, steps: int = 120, n: int = 300) -> torch.Tensor:
    point = torch.tensor([[x, 0.0]], dtype=torch.float64)
    seen = torch.tensor([[True, False]])
    found = inpaint(
        LAW.denoiser(),
        point,
        seen,
        torch.zeros(1),
        Levels(0.002, 30.0),
        draws=n,
        particles=particles,
        steps=steps,
        batch_size=1 << 16,
    )
    assert torch.equal(found[..., 0], torch.full((1, n), x, dtype=torch.float64))
    return found[0, :, 1]


@pytest.mark.parametrize("x", [-0.5, 1.2])
@pytest.mark.slow
def test_draws_under_a_mask_follow_the_exact_posterior(x: float) -> None:
    u = conditional_cdf(draws_of_x_2(x, particles=48), x)
    assert stats.kstest(u, "uniform").pvalue > LEVEL


@pytest.mark.slow
def test_without_weights_they_do_not_follow_it_and_more_particles_take_the_bias_away() -> None:
    few, many = (stats.kstest(conditional_cdf(draws_of_x_2(0.4, particles), 0.4), "uniform") for particles in (1, 48))
    assert few.pvalue < LEVEL  # the control: one particle is the replacement method
    assert many.statistic < few.statistic / 3  # between the two components, the worst place: 0.39 and 0.11
