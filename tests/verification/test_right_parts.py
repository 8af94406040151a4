"""Right parts that checks rejected at some seeds, and parts like them that are wrong and have to be rejected still."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from ambientkit.builtin.checks.copies_seen import BlurProof
from ambientkit.builtin.checks.corruption_contract import CorruptionContract
from ambientkit.builtin.checks.further_mask import FurtherMask
from ambientkit.builtin.checks.measured import OperatorViews
from ambientkit.builtin.checks.outcome import square_score
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.mutants.linear import HalfInEach
from ambientkit.operators.fourier import Fourier
from ambientkit.registry import load
from ambientkit.verification import case_for, reproducible

LEVEL = 1e-5


def p_value(check, part, seed: int) -> float:
    with reproducible(seed):
        return check.measure(part, case_for(part, seed=seed)).p_value


class Spares(Mask):
    """A mask whose views never hide the first value: nothing says what lies there."""

    def degrade(self, batch, sigma, generator):
        """The mask's views, which show the first value wherever it was measured."""
        view = super().degrade(batch, sigma, generator)
        shown = view.cond["mask"].clone()
        shown[..., :1, :1] = batch.cond["mask"][..., :1, :1]
        x = torch.where(view.cond["mask"], view.x, torch.where(shown, batch.x_n, 0.0))
        return view._replace(x=x, cond={**view.cond, "mask": shown})


@pytest.mark.parametrize("seed", [16, 6, 13])
def test_values_that_a_view_rarely_hides_are_hidden_now_and_then(seed: int) -> None:
    assert p_value(FurtherMask(), Mask(drop=0.05, sigma_n=0.2), seed) > LEVEL
    assert p_value(OperatorViews(rows=150), Linear(kind="rows", drop=0.1, centre=0.4), seed) > LEVEL


def test_a_value_that_no_view_hides_is_found() -> None:
    part = Spares(drop=0.3, sigma_n=0.2)
    found = FurtherMask().measure(part, case_for(part, seed=0))
    assert found.p_value < LEVEL
    assert "never hidden" in found.why


def test_a_batch_of_which_nothing_was_measured_asks_nothing() -> None:
    part = Mask(kind="rows", missing=0.5849313239259295, drop=0.06381911954577678, sigma_n=0.22082966723737402)
    assert p_value(CorruptionContract(), part, 34) > LEVEL


@pytest.mark.parametrize("seed", [1, 11])
def test_blur_may_move_a_measure_by_a_little(seed: int) -> None:
    assert p_value(BlurProof(), load().build("memory-measure", "ratio"), seed) > LEVEL
    assert p_value(BlurProof(), load().build("memory-measure", "mifid"), seed) < LEVEL


@pytest.mark.parametrize("z", [-4.5, 4.5])
@pytest.mark.parametrize("n", [100, 500])
def test_the_score_of_a_mean_square_has_the_tails_of_chi_squared(n: int, z: float) -> None:
    low, high = 1e-3, 10.0
    for _ in range(60):  # the mean square at which the score is z
        middle = (low + high) / 2
        low, high = (middle, high) if square_score(torch.full((n,), middle**0.5, dtype=float)) < z else (low, middle)
    tail = stats.chi2.sf(n * middle, n) if z > 0 else stats.chi2.cdf(n * middle, n)
    assert 0.9 < tail / stats.norm.sf(abs(z)) <= 1


def test_noise_of_measurements_is_that_which_they_declare() -> None:
    right, wrong = Linear(operator=Fourier(), sigma_n=0.2), HalfInEach()
    assert p_value(OperatorViews(), right, 0) > LEVEL
    assert p_value(OperatorViews(), wrong, 0) < LEVEL
    clean = Linear(operator=Fourier(), sigma_n=0.0)
    assert p_value(OperatorViews(), clean, 0) > LEVEL
