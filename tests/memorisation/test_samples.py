"""Measures beside the papers' formulas written out, calibration on fresh rows, and planted copies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from ambientkit.builtin.data.in_memory import InMemory
from ambientkit.errors import InputError
from ambientkit.evaluation import fid
from ambientkit.interfaces import Extractor
from ambientkit.maths import copying as m
from ambientkit.maths.copying import mann_whitney_z
from ambientkit.maths.randomness import keyed_generator
from ambientkit.memorisation import memorization, nearest
from ambientkit.registry import load
from tests.memorisation.support import digits
from tests.support.shares import some

LEVEL = 1e-4
"""False-alarm rate of each statistical test here."""
X = digits(1)
TRAIN, HELD, FRESH = X[:150], X[150:850], X[850:1150]


def noise(like: torch.Tensor, key: int = 0) -> torch.Tensor:
    return torch.randn(like.shape, generator=keyed_generator(key, "test.samples"))


def measured(samples: torch.Tensor, **more):
    return memorization(samples, train=TRAIN, heldout=HELD, **{"shift": 0, "device": "cpu", **more})


# --- formulas -------------------------------------------------------------------------------------------------------


def test_the_measures_are_those_of_the_papers_on_a_small_set() -> None:
    train, held, made = torch.randn(3, 12, 2, generator=keyed_generator(3, "test.samples"), dtype=torch.float64)
    d = torch.cdist(made, train)
    near = nearest(made, train)
    assert torch.allclose(near.distance[:, 0] * 2**0.5, d.min(1).values)
    first, second = d.sort(1).values[:, :2].T
    assert m.share_of_third(near.distance) == pytest.approx(float((first / second < 1 / 3).double().mean()))
    among = torch.cdist(train, train).fill_diagonal_(torch.inf)
    authentic = [bool(d[j].min() > among[int(d[j].argmin())].min()) for j in range(12)]
    own = nearest(train, train, 1, exclude=torch.arange(12)).distance[:, 0]
    assert m.authenticity(near.distance[:, 0], own[near.row[:, 0]]) == pytest.approx(np.mean(authentic))
    h = torch.cdist(held, train).min(1).values
    u = sum(float(a > b) + float(a == b) / 2 for a in d.min(1).values for b in h)
    expected = (u - 72) / (12 * 12 * 25 / 12) ** 0.5
    assert m.data_copying(d.min(1).values, h, torch.zeros(12), torch.zeros(12), 1) == pytest.approx(expected)
    statistic = stats.mannwhitneyu(d.min(1).values, h, use_continuity=False, method="asymptotic").statistic
    assert statistic == pytest.approx(u)


def test_mifid_is_that_of_torchmetrics_and_copies_make_it_larger() -> None:
    pytest.importorskip("torchmetrics")
    from torchmetrics.image.mifid import MemorizationInformedFrechetInceptionDistance as Theirs

    a, b = torch.randn(2, 200, 8, generator=keyed_generator(4, "test.samples"), dtype=torch.float64)
    metric = Theirs(torch.nn.Identity())
    metric.update(a, real=True)
    metric.update(b, real=False)
    assert m.mifid(a, b) == pytest.approx(float(metric.compute()))
    copies = a + 0.1 * b
    assert m.mifid(a, copies) / float(fid(a, copies)) > 1.5 * m.mifid(a, b) / float(fid(a, b))
    low, high = m.jackknife(lambda x: m.mifid(a, x), b, seed=0)
    assert low < m.mifid(a, b) < high


def test_a_bootstrap_interval_covers_a_mean_as_often_as_it_says() -> None:
    held = 0
    for at in range(150):
        x = noise(torch.empty(60), key=100 + at)
        low, high = m.bootstrap(lambda x: float(x.mean()), x, seed=at, resamples=200)
        held += low <= 0 <= high
    assert stats.binomtest(held, 150, 0.94).pvalue > LEVEL  # percentile intervals are a little short at n = 60
    assert m.bootstrap(lambda x: 0.0, torch.zeros(1), seed=0) is None


# --- calibration ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fresh_rows_are_no_copies_at_the_stated_rate() -> None:
    found = measured(FRESH)
    null = m.ratios(found.heldout_neighbours.distance)
    own = m.ratios(found.neighbours.distance)
    assert stats.ks_2samp(own, null).pvalue > LEVEL  # exchangeable with the held-out rows: uniform p-values
    assert found.listed.sum() == 0
    gap = found.measure("train gap")
    assert gap.interval[0] <= 0.0 <= gap.interval[1] + 0.05
    assert abs(mann_whitney_z(own, null)) < stats.norm.isf(LEVEL / 2)
    worse = measured(torch.cat([FRESH[:200], TRAIN[:100] + 0.05 * noise(TRAIN[:100])]))  # the control
    assert stats.ks_2samp(m.ratios(worse.neighbours.distance), null).pvalue < LEVEL
    assert worse.measure("train gap").interval[0] > 0


@pytest.mark.parametrize("model", ["constant", "blurry", "naive-noisy"])
def test_poor_models_are_not_called_memorisers(model: str) -> None:
    smooth = torch.nn.functional.avg_pool2d(FRESH, 3, 1, 1, count_include_pad=False)
    made = {
        "constant": TRAIN.mean(0, keepdim=True).expand(200, -1, -1, -1) + 1e-4 * noise(FRESH[:200]),
        "blurry": smooth,
        "naive-noisy": FRESH + 0.4 * noise(FRESH),
    }[model]
    found = measured(made)
    assert found.listed.sum() == 0
    assert found.measure("ratio, p <= 0.01").value <= 0.02
    assert found.measure("ratio below 1/3").value <= 0.01


PLANTED = {
    "exact": (lambda x: x, {}, 1.0),
    "mirrored": (lambda x: x.flip(-1), {}, 1.0),
    "shifted": (lambda x: torch.roll(x, (2, 0), (2, 3)), {"shift": 2}, 0.9),
    "brighter": (lambda x: 0.8 * x + 0.4, {"similarity": "correlation"}, 0.9),
    "lightly noised": (lambda x: x + 0.1 * noise(x), {}, 0.9),
}
"""name -> (what is done to a training row, arguments, the least share that must be listed)."""


@pytest.mark.slow
@pytest.mark.parametrize("name", some(PLANTED, ["mirrored", "lightly noised"]))
def test_planted_copies_among_fresh_samples_are_listed(name: str) -> None:
    change, more, least = PLANTED[name]
    planted = change(TRAIN[:30])
    found = measured(torch.cat([FRESH[:170], planted]), **more)
    assert found.listed[170:].double().mean() >= least
    assert found.listed[:170].sum() <= 8  # a tenth of the list at most, in expectation
    exact = found.neighbours.row[170:, 0] == torch.arange(30)
    assert exact[found.listed[170:]].double().mean() > 0.95
    control = measured(
        torch.cat([FRESH[:170], change(HELD[:30])]), **more
    )  # the same of rows that are none of the training rows
    assert control.listed[170:].double().mean() < least / 2


def test_duplicates_in_the_data_do_not_hide_a_copy() -> None:
    train = torch.cat([TRAIN, TRAIN[:20].flip(-1), TRAIN[:20]])
    found = memorization(torch.cat([FRESH[:100], TRAIN[:20]]), train=train, heldout=HELD, shift=0, device="cpu")
    assert found.facts["train_groups"] == 150
    assert found.listed[100:].all()
    ungrouped = nearest(TRAIN[:20], train, 2)
    assert (ungrouped.distance[:, 1] == 0).all()  # what the second neighbour would be


class Halves(Extractor):
    """The upper half of a picture."""

    name = "halves"
    source = "here"

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures[..., :4, :].flatten(1)


@pytest.mark.slow
def test_rows_may_be_compared_in_the_features_of_any_extractor() -> None:
    copies = torch.cat([TRAIN[:25, :, :4], FRESH[:25, :, 4:]], dim=2)  # of the upper half alone
    made = torch.cat([FRESH[100:250], copies])
    found = measured(made, similarity=Halves(), registry=load().including([Halves]))
    assert found.facts["similarity"] == "features of halves"
    assert found.listed[150:].all()
    assert not measured(made).listed[150:].all()  # as whole pictures they are no copies
    with pytest.raises(InputError, match="several parts"):
        measured(made, similarity="patches")


def test_what_cannot_be_measured_is_refused() -> None:
    for changes, words in (
        ({"heldout": HELD[:50]}, "at least 99 held-out rows"),
        ({"heldout": torch.cat([HELD, TRAIN[:1]])}, "held-out row 700 is training row 0"),
        ({"train": TRAIN[..., :6]}, "shape"),
        ({"level": 1.5}, "below 1"),
        ({"shift": 4}, "less than half"),
        ({"train": None}, "give the training rows"),
    ):
        with pytest.raises(InputError, match=words):
            memorization(FRESH, **{"train": TRAIN, "heldout": HELD, "device": "cpu", **changes})
    with pytest.raises(InputError, match="noise level"):
        memorization(FRESH, train=InMemory.of(TRAIN.numpy(), 0.2), heldout=HELD, device="cpu")
    with pytest.raises(InputError, match="should be 20 or more"):
        measured(FRESH[:10])


def test_the_record_prints_and_keeps_everything() -> None:
    found = measured(torch.cat([FRESH[:50], TRAIN[:5]]), n=55)
    assert "ratio below 1/3" in str(found)
    plain = found.to_dict()
    assert len(plain["p_values"]) == 55
    assert plain["listed"] == found.listed.nonzero().squeeze(1).tolist()
    assert {one["name"] for one in plain["measures"]} >= {
        "C_T",
        "authenticity",
        "train gap",
        "mifid",
        "ratio below 1/3",
    }
    with pytest.raises(KeyError, match="there are"):
        found.measure("fid")
