"""Distances between features: what the libraries say when they are asked directly, and what must hold of any such
distance."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from ambientkit.errors import InputError
from ambientkit.evaluation import fid, kid, precision_recall, sliced
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator


class Flat(torch.nn.Module):
    """A network of the tests' own, for the libraries to be asked directly."""

    num_features = 6

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def features(n: int, key: str, shift: float = 0.0) -> Tensor:
    g = keyed_generator(0, key)
    mix = torch.randn(6, 6, generator=keyed_generator(0, "mix"), dtype=torch.float64)
    return torch.randn(n, 6, generator=g, dtype=torch.float64) @ mix + shift


def test_fid_is_that_of_torchmetrics_and_of_the_closed_form() -> None:
    a, b = features(300, "a"), features(200, "b", 0.5)
    metric = FrechetInceptionDistance(Flat()).set_dtype(torch.float64)
    metric.update(a.reshape(300, 2, 3), real=True)
    metric.update(b.reshape(200, 2, 3), real=False)
    score = fid(a, b, extractor="flat")
    assert score.value == float(metric.compute())
    assert (score.title, score.n) == ("fid[flat]", (300, 200))
    # commuting covariances: |m_1 - m_2|^2 + |s_1 - s_2|^2
    scaled = 2 * a + 1
    m, s = a.mean(0), torch.cov(a.T).trace()
    assert score.value != pytest.approx(0, abs=0.1)
    assert fid(a, scaled).value == pytest.approx(float((m + 1).square().sum() + s), rel=1e-6)


def test_a_set_is_at_distance_0_from_itself_and_shuffling_or_swapping_changes_nothing() -> None:
    a, b = features(300, "a"), features(300, "b", 0.3)
    shuffled = a[torch.randperm(300, generator=keyed_generator(0, "shuffle"))]
    assert fid(a, shuffled).value == pytest.approx(0, abs=1e-6)
    assert fid(a, b).value == pytest.approx(fid(b, a).value, rel=1e-6)
    g = keyed_generator(0, "s")
    assert sliced(a, shuffled, g).value == pytest.approx(0, abs=1e-9)
    precision, recall = precision_recall(a, shuffled)
    assert (precision.value, recall.value) == (1.0, 1.0)


def test_kid_is_that_of_torchmetrics_keyed_by_the_seed_and_leaves_the_global_generator_alone() -> None:
    a, b = features(120, "a"), features(90, "b", 0.5)
    metric = KernelInceptionDistance(Flat(), subsets=7, subset_size=40).set_dtype(torch.float64)
    metric.update(a.reshape(120, 2, 3), real=True)
    metric.update(b.reshape(90, 2, 3), real=False)
    with isolated_global_generator(3, "evaluate.kid"):
        mean, spread = metric.compute()
    score = kid(a, b, subsets=7, subset_size=40, seed=3)
    assert (score.value, score.spread) == (float(mean), float(spread))
    assert kid(a, b, subsets=7, subset_size=40, seed=4).value != score.value


def test_kid_of_all_rows_is_the_unbiased_estimate_and_is_not_cut_at_0() -> None:
    a, b = features(30, "a"), features(30, "b")
    k = lambda x, y: (x @ y.T / 6 + 1) ** 3  # noqa: E731
    off = lambda m: (m.sum() - m.diagonal().sum()) / (30 * 29)  # noqa: E731
    expected = float(off(k(a, a)) + off(k(b, b)) - 2 * k(a, b).mean())
    assert kid(a, b).value == pytest.approx(expected, rel=1e-9)
    values = [kid(features(30, f"a{i}"), features(30, f"b{i}")).value for i in range(12)]
    assert min(values) < 0 < max(values)


def test_precision_and_recall_tell_a_part_from_the_whole_as_defined() -> None:
    whole = torch.cat([features(100, "a"), features(100, "b", 40.0)])
    half = features(100, "c")
    precision, recall = precision_recall(whole, half)
    assert precision.value > 0.8
    assert 0.3 < recall.value <= 0.5

    def inside(points: Tensor, centres: Tensor) -> float:
        radius = torch.cdist(centres, centres).kthvalue(4).values
        return float((torch.cdist(points, centres) <= radius).any(1).double().mean())

    assert precision.value == pytest.approx(inside(half, whole))
    assert recall.value == pytest.approx(inside(whole, half))


@pytest.mark.parametrize("n", [2, 5, 6, 7, 50])
def test_fewer_rows_than_features_give_a_finite_value_with_a_warning_in_its_note(n: int) -> None:
    score = fid(features(n, "a"), features(n, "b"))
    assert score.value > -1e-6
    assert score.value < float("inf")
    assert ("cannot fill 6 dimensions" in str(score)) == (n <= 6)
    assert "biased upwards" in score.note


def test_what_cannot_be_compared_is_refused() -> None:
    a = features(10, "a")
    with pytest.raises(InputError, match="at least 2 rows"):
        fid(a, a[:1])
    with pytest.raises(InputError, match="at least 2 rows"):
        kid(a[:1], a)
    with pytest.raises(InputError, match="at least 4 rows"):
        precision_recall(a, a[:3])
    with pytest.raises(InputError, match=r"\(10, 6\) and \(10, 5\)"):
        fid(a, a[:, :5])
    with pytest.raises(InputError, match="not finite"):
        kid(a, a / 0)


@pytest.mark.parametrize(
    ("package", "function"), [("torchmetrics.image.fid", fid), ("torch_fidelity.metric_prc", precision_recall)]
)
def test_a_library_that_is_not_installed_is_named_with_the_command(monkeypatch, package, function) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"pip install 'ambientkit\[evaluate\]'"):
        function(features(10, "a"), features(10, "b"))
