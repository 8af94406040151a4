"""Conditions that are dropped in some rows of a step, for guidance: which rows, in favour of what, and where that is
refused."""

from __future__ import annotations

import pytest
import scipy.stats
import torch
from torch import nn

from ambientkit.batch import Batch, Clean, Term, take
from ambientkit.builtin.models.mlp import MLP
from ambientkit.config import Source, resolve
from ambientkit.data import drop_conditions, null_values
from ambientkit.errors import InputError
from ambientkit.interfaces import Data, Model, Objective
from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import load
from ambientkit.training import build, steps
from tests.support.engine import SMALL, bits, same


class Labelled(Data):
    """Points of the plane, each about the place of its class, 0 to 2."""

    name = "labelled"
    n: int = 40

    def rows(self):
        generator = keyed_generator(0, "labelled")
        label = torch.arange(self.n) % 3
        x = torch.stack([label - 1.0, torch.zeros(self.n)], dim=1) + 0.1 * torch.randn(self.n, 2, generator=generator)
        return [Clean(one, {"class_cond": k}) for one, k in zip(x, label, strict=True)]


class Seen(Objective):
    """By row, and remembers what it saw."""

    name = "seen"

    def loss(self, denoiser, batch, tools):
        _seen.append((batch.row.tolist(), batch.cond["class_cond"].tolist()))
        sigma = torch.full_like(batch.x_n[:, 0], 0.5)
        return {"a": Term(denoiser(batch.x_n, sigma, **batch.cond).square().mean(1), sigma)}


_seen: list = []


def config(objective=None, **changes):
    found = resolve(
        Source(
            {
                **SMALL,
                "objective": "tweedie",
                "model": {"name": "mlp", "width": 8, "depth": 1, "num_classes": 3},
                **changes,
            }
        ),
        load(),
    )
    found = found.model_copy(update={"data": Labelled()})
    if objective is not None:
        found = found.model_copy(
            update={"objective": (found.objective[0].model_copy(update={"objective": objective}),)}
        )
    return found


def batch(n, labels=(1, 2)):
    return Batch(
        torch.zeros(n, 2), torch.zeros(n), torch.arange(n), {"a": torch.arange(n) % 2 + 1, "b": torch.ones(n, 2, 3)}
    )


NULL = {"a": torch.tensor(7), "b": torch.zeros(2, 3)}


def test_rows_are_dropped_with_the_probability_independently_and_with_all_conditions_at_once():
    """10,000 rows in 40 steps: binomial counts; steps and neighbours independent. False alarms: 1e-6 each."""
    n, many, p = 10_000, 40, 0.1
    dropped = torch.stack(
        [drop_conditions(batch(n), NULL, p, seed=3, step=step).cond["a"] == 7 for step in range(many)]
    )
    other = torch.stack(
        [(drop_conditions(batch(n), NULL, p, seed=3, step=step).cond["b"] == 0).all(2).all(1) for step in range(many)]
    )
    assert torch.equal(dropped, other)
    assert scipy.stats.binomtest(int(dropped.sum()), n * many, p).pvalue > 1e-6
    by_row = scipy.stats.chisquare(
        torch.bincount(dropped.sum(0).clamp(max=9), minlength=10).numpy(), _binomial(many, p) * n
    )
    assert by_row.pvalue > 1e-6  # a row that is always or never dropped would show here
    assert scipy.stats.binomtest(int((dropped[:, 1:] & dropped[:, :-1]).sum()), (n - 1) * many, p * p).pvalue > 1e-6
    assert scipy.stats.binomtest(int((dropped[1:] & dropped[:-1]).sum()), n * (many - 1), p * p).pvalue > 1e-6
    assert scipy.stats.binomtest(int(dropped.sum()), n * many, 0.11).pvalue < 1e-6  # the control


def _binomial(n, p):
    chances = scipy.stats.binom.pmf(range(10), n, p)
    chances[9] = 1 - chances[:9].sum()
    return chances


def test_whether_a_row_is_dropped_depends_on_the_row_the_step_and_the_seed_alone():
    whole = drop_conditions(batch(500), NULL, 0.5, seed=3, step=9)
    index = torch.randperm(500, generator=keyed_generator(0, "p"))[:77]
    part = drop_conditions(take(batch(500), index), NULL, 0.5, seed=3, step=9)
    assert torch.equal(part.cond["a"], whole.cond["a"][index])
    for seed, step in ((4, 9), (3, 10)):
        assert not torch.equal(drop_conditions(batch(500), NULL, 0.5, seed, step).cond["a"], whole.cond["a"])


def test_objectives_see_the_label_of_no_class_in_the_share_asked_for():
    _seen.clear()
    run = build(config(Seen(), cond_dropout=0.3, end_step=60, batch_size=40))
    list(steps(run))
    labels = torch.tensor([label for _, found in _seen for label in found])
    assert scipy.stats.binomtest(int((labels == 3).sum()), len(labels), 0.3).pvalue > 1e-6
    assert all(label in (3, row % 3) for rows, found in _seen for row, label in zip(rows, found, strict=True))


def test_without_dropout_nothing_changes_and_with_it_a_run_resumes_to_the_same_bits():
    plain, again = build(config()), build(config(cond_dropout=0.0))
    list(steps(plain)), list(steps(again))
    assert same(bits(plain), bits(again))
    whole, half = build(config(cond_dropout=0.5)), build(config(cond_dropout=0.5))
    list(steps(whole))
    assert not same(bits(plain), bits(whole))
    found = iter(steps(half))
    for _ in range(5):
        next(found)
    later = build(config(cond_dropout=0.5))
    later.restore(half.state(), "here")
    list(steps(later))
    assert same(bits(whole), bits(later))


class Blind(Model):
    """A model that says nothing of what stands for no condition."""

    name = "blind"

    def network(self, signal):
        return nn.Embedding(4, 2)

    def denoiser(self, network, signal):
        return lambda x, sigma, /, class_cond: x + network(class_cond)


class Vector(Blind):
    """A model whose condition is a vector with a value of its own for none."""

    name = "vector"
    wrong: bool = False

    def null_cond(self, name):
        return torch.full((2,) if self.wrong else (3,), 0.25)


def test_what_stands_for_no_condition():
    assert null_values(MLP(num_classes=5), {"class_cond": torch.tensor([1, 2])}) == {"class_cond": torch.tensor(5)}
    zero = null_values(Blind(), {"angle": torch.ones(2, dtype=torch.float64)})["angle"]
    assert (float(zero), zero.dtype) == (0.0, torch.float64)
    assert null_values(Vector(), {"text": torch.ones(2, 3)})["text"].tolist() == [0.25] * 3
    with pytest.raises(
        InputError, match=r"model 'vector': null_cond\('text'\) has shape \(2,\), but rows carry \(3,\)"
    ):
        null_values(Vector(wrong=True), {"text": torch.ones(2, 3)})


def test_dropout_without_conditions_or_without_a_label_for_none_is_refused_before_any_step():
    with pytest.raises(InputError, match=r"cond_dropout: 0\.1 was asked for, but the data carry no conditions"):
        build(resolve(Source({**SMALL, "cond_dropout": 0.1}), load()))
    with pytest.raises(
        InputError, match="model 'blind' does not say which value of 'class_cond' stands for no condition"
    ):
        build(config(cond_dropout=0.1).model_copy(update={"model": Blind()}))
    for share in (1, -0.1):
        with pytest.raises(InputError, match="cond_dropout: should be"):
            config(cond_dropout=share)


def test_the_perceptron_knows_classes_and_refuses_other_conditions():
    run = build(config(end_step=3))
    list(steps(run))
    x, sigma = torch.zeros(4, 2), torch.full((4,), 0.5)
    answers = run.denoiser(x, sigma, class_cond=torch.tensor([0, 1, 3, 3])).detach()
    assert not torch.allclose(answers[0], answers[1])
    assert torch.equal(answers[2], answers[3])
    with pytest.raises(InputError, match="needs class_cond, one label per row"):
        run.denoiser(x, sigma)
    with pytest.raises(InputError, match=r"takes no conditions, but the data carry class_cond \(\): give num_classes"):
        build(config(model={"name": "mlp"}))
    with pytest.raises(InputError, match="takes one label per row, class_cond"):
        build(config().model_copy(update={"data": load().build("data", "mixture")}))
