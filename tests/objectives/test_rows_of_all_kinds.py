"""Every objective, on what real data may hold: clean rows among noisy ones, noise by pixel, conditions, and batches of
an odd number of rows."""

from __future__ import annotations

import pytest
import torch

from ambientkit.batch import Batch
from ambientkit.config import Source, resolve
from ambientkit.errors import InputError
from ambientkit.interfaces import Data
from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import load
from ambientkit.training import build, steps
from tests.support.engine import SMALL, bits, same
from tests.support.shares import some

OBJECTIVES = [
    "tweedie",
    "consistency",
    "posterior-buffer",
    "sure",
    "split-levels",
    "naive",
    "tweedie-consistency",
    "tweedie-consistency-buffer",
    "tweedie-detail",
    "few-rows",
    "samples-first",
]


class Mixed(Data):
    """Observations of a point of the plane; `levels` are taken in turn. A condition for each row."""

    name = "mixed"
    levels: tuple[float, ...] = (0.0, 0.3, 0.1)
    by_pixel: bool = False
    conditions: bool = False
    n: int = 21

    def rows(self):
        generator = keyed_generator(0, "mixed")
        found = []
        for i in range(self.n):
            level = torch.tensor(self.levels[i % len(self.levels)])
            sigma_n = level * torch.tensor([1.0, 0.5]) if self.by_pixel else level
            x_n = 0.5 * torch.randn(2, generator=generator) + sigma_n * torch.randn(2, generator=generator)
            found.append(
                Batch(x_n, sigma_n, torch.tensor(i), {"class_cond": torch.tensor(i % 3)} if self.conditions else {})
            )
        return found


def run(objective, batch_size, **fields):
    classes = {"num_classes": 3} if fields.get("conditions") else {}
    tree = {
        **SMALL,
        "objective": objective,
        "batch_size": batch_size,
        "end_step": 8,
        "model": {"name": "mlp", "width": 8, "depth": 1, **classes},
    }
    if fields.get("conditions"):
        tree["cond_dropout"] = 0.2
    config = resolve(Source({**tree, "sigma_data": 0.5}), load()).model_copy(update={"data": Mixed(**fields)})
    training = build(config)
    return training, list(steps(training))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("batch_size", some([1, 5, 16], [5]), ids=lambda n: f"{n} rows")
@pytest.mark.parametrize(
    "fields",
    [{}, {"by_pixel": True}, {"conditions": True}, {"conditions": True, "by_pixel": True}, {"levels": (0.3,)}],
    ids=["clean rows", "by pixel", "conditions", "conditions by pixel", "all noisy"],
)
def test_every_objective_takes_rows_of_all_kinds(objective, batch_size, fields):
    training, done = run(objective, batch_size, **fields)
    assert training.skipped == 0
    assert len(done) == 8
    for step in done:
        assert step.loss.isfinite()
        for name, term in step.values.items():
            assert term.value.shape == term.sigma.shape, name
            assert term.value.isfinite().all(), name
            assert (term.sigma > 0).all(), name
    fresh = build(training.config)
    assert not same(bits(training), bits(fresh))  # something was learnt
    again, _ = run(objective, batch_size, **fields)
    assert same(bits(training), bits(again))


@pytest.mark.parametrize("batch_size", [1, 5], ids=lambda n: f"{n} rows")
@pytest.mark.parametrize("fields", [{}, {"conditions": True}], ids=["plain", "conditions"])
def test_denoising_takes_clean_rows_of_all_kinds_and_names_a_noisy_one(batch_size, fields):
    _, done = run("denoising", batch_size, levels=(0.0,), **fields)
    assert all(step.loss.isfinite() for step in done)
    with pytest.raises(InputError, match=r"row \d+ has sigma_n > 0"):
        run("denoising", batch_size, **fields)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_set_of_clean_rows_alone_ends_in_finite_steps(objective):
    _, done = run(objective, 5, levels=(0.0,))
    assert all(step.loss.isfinite() for step in done)
