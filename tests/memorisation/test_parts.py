"""Attacks, similarities and measures of third parties get the calibration for free; a model trained elsewhere is
asked as a function."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.memorisation import attack, memorization
from ambientkit.memorisation_parts import (
    Attack,
    Attempt,
    MemoryMeasure,
    Neighbourhood,
    Similarity,
    Target,
    TrainingRows,
)
from ambientkit.registry import Entry, Registry, load
from tests.memorisation.support import digits, remembers

LEVEL = 1e-4
"""False-alarm rate of each statistical test here."""
X = digits(3)
TRAIN, HELD, OTHER = X[:40], X[40:240], X[240:280]
QUICK = {"train": TRAIN, "heldout": HELD, "draws": 2, "steps": 8, "particles": 8, "device": "cpu"}


class UpperHalf(Attack):
    """The lower half of a picture is hidden: an attack of a third party."""

    name = "upper-half"

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        seen = torch.zeros_like(x, dtype=torch.bool)
        seen[..., :4, :] = True
        return Attempt(torch.where(seen, x, 0.0), target.inpainted(x, seen, keys))


class Blocks(Similarity):
    """Means of blocks of 2 x 2 pixels: a similarity of a third party."""

    name = "blocks"

    def view(self, rows: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(rows, 2)


class MeanRatio(MemoryMeasure):
    """The mean ratio of the two nearest distances: a measure of a third party."""

    name = "mean-ratio"
    title = "mean ratio"
    means = "smaller for copies"

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        found = (judged.distance[:, 0] / judged.distance[:, 1]).unsqueeze(1)
        return found, found[:0]

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        return float(judged.mean())


class Short(MemoryMeasure):
    """A measure that forgets rows."""

    name = "short"
    title = "short"
    means = "nothing"

    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        return judged.distance[1:], judged.distance[:0]

    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        return 0.0


def with_parts(*parts: tuple[str, type]) -> Registry:
    known = [entry for entry in load().entries() if entry.kind != "check"]
    return Registry([*known, *(Entry(kind, part, "theirs", "1") for kind, part in parts)])


def test_an_attack_of_a_third_party_gets_p_values_a_list_and_a_page() -> None:
    registry = with_parts(("attack", UpperHalf), ("similarity", Blocks))
    found = attack(remembers(TRAIN), kind="upper-half", similarity="blocks", registry=registry, **QUICK)
    assert stats.ks_2samp(found.distance, found.null).pvalue < LEVEL  # the control: the next line can reject
    other = attack(remembers(OTHER), kind="upper-half", similarity="blocks", registry=registry, **QUICK)
    assert stats.ks_2samp(other.distance, other.null).pvalue > LEVEL
    assert found.listed.double().mean() > 0.9
    assert found.facts["similarity"] == "blocks"
    assert "upper-half" in str(found)
    assert found.html().count("<img ") == 2
    assert attack(remembers(TRAIN), kind=UpperHalf(), similarity=Blocks(), **QUICK).distance.equal(found.distance)


@pytest.mark.slow
def test_a_measure_of_a_third_party_gets_an_interval_and_the_figure_of_held_out_rows() -> None:
    registry = with_parts(("memory-measure", MeanRatio))
    samples = torch.cat([X[300:360], TRAIN[:30] + 0.01])
    found = memorization(samples, train=TRAIN, heldout=HELD, shift=0, registry=registry).measure("mean ratio")
    assert found.value < found.heldout - 0.2
    assert found.interval is not None
    assert found.interval[0] < found.value < found.interval[1]
    assert found.n == 90
    with pytest.raises(InputError, match="measure 'short'"):
        memorization(samples, train=TRAIN, heldout=HELD, shift=0, registry=with_parts(("memory-measure", Short)))


def test_the_loss_sees_rows_that_a_model_remembers_and_no_others() -> None:
    found, other = (attack(remembers(rows), kind="loss", level=0.3, **QUICK) for rows in (TRAIN, OTHER))
    assert found.auc > 0.95
    assert stats.ks_2samp(other.distance, other.null).pvalue > LEVEL


def test_a_function_that_denoises_is_attacked_and_sampled_like_a_run() -> None:
    """A model trained elsewhere, wrapped in three lines."""
    asked = []

    def theirs(x: Tensor, sigma: Tensor) -> Tensor:
        asked.append(float(sigma.max()))
        return remembers(TRAIN)(x, sigma)

    found = attack(theirs, kind="noise", level=1.0, levels=(0.01, 20.0), n=20, null=60, **QUICK)
    assert found.auc > 0.9
    assert "theirs" in found.head[0]
    assert max(asked) <= 1.0
    drawn = memorization(theirs, train=TRAIN, heldout=HELD, n=40, steps=8, levels=(0.01, 20.0), device="cpu")
    assert drawn.measure("ratio below 1/3").value > 0.9
    assert max(asked) == pytest.approx(20.0)
    with pytest.raises(InputError, match="--train: a function does not say"):
        attack(theirs, heldout=HELD)
    with pytest.raises(InputError, match=r"should return E\[x_0"):
        attack(lambda x, sigma: x[:, 0], **QUICK)
    with pytest.raises(InputError, match="0 < sigma_min < sigma_max"):
        attack(theirs, levels=(1.0, 0.5), **QUICK)


def test_samples_that_run_away_are_told_where_they_are_measured(caplog: pytest.LogCaptureFixture) -> None:
    asked = {"train": TRAIN, "heldout": HELD, "n": 20, "steps": 2, "levels": (0.01, 20.0), "device": "cpu"}
    memorization(remembers(TRAIN), **asked)
    assert "reach beyond" not in caplog.text
    memorization(lambda x, sigma: torch.full_like(x, 90.0), **asked)
    assert "20 of 20 reach beyond 50, up to 90" in caplog.text


def test_an_unknown_name_a_level_too_many_and_rows_of_another_shape_are_refused() -> None:
    class Half(Attack):
        """An attack that loses rows."""

        name = "half"

        def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
            return Attempt(x, x[::2].unsqueeze(1))

    for changes, words in (
        ({"kind": "smudge"}, "no such attack. Known: box, loss, mask, noise"),
        ({"kind": "mask{level: 1.5}"}, "less than 1"),
        ({"kind": Half(), "level": 0.5}, "given as a part"),
        ({"kind": Half()}, "of all 40 rows"),
        ({"similarity": "smell"}, "there is none of this name. Similarities: correlation, pixels"),
    ):
        with pytest.raises(InputError, match=words):
            attack(remembers(TRAIN), **{**QUICK, **changes})
