"""The default recipe where it might break: half precision, clean and mixed rows, and rows as noisy as the range
allows."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from accelerate.state import AcceleratorState

from ambientkit.batch import Batch
from ambientkit.interfaces import Levels
from ambientkit.maths.randomness import keyed_generator
from ambientkit.training import steps
from ambientkit.training.state import MEMORY
from tests.objectives.test_posterior_buffer import CASE
from tests.support.engine import make
from tests.support.shares import some


@pytest.fixture(autouse=True)
def _fresh_accelerate():
    """accelerate keeps the precision of the first run of a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def all_on(end_step, **changes):
    """The default recipe with every term on in every step from the first on, on 40 rows of the mixture."""
    defaults = make(objective="tweedie-consistency-buffer").config.objective
    AcceleratorState._reset_state(reset_partial_state=True)
    entries = [
        {"objective": {"name": entry.objective.name, **entry.objective.model_dump()}, "weight": entry.weight}
        for entry in defaults
    ]
    return make(objective=entries, end_step=end_step, **changes)


def finished(run):
    """The steps of a run; nothing in it may be skipped or not finite."""
    found = list(steps(run))
    assert run.skipped == 0
    for step in found:
        assert bool(step.loss.isfinite())
        assert all(bool(mean.isfinite()) for mean in step.terms.values())
    assert all(bool(value.isfinite().all()) for value in run.bare_network.state_dict().values())
    for memory in run.memories.values():
        assert all(bool(value.isfinite().all()) for value in memory.values())
    return found


@pytest.mark.parametrize("seed", some(range(5), [0]))
def test_forty_steps_in_bf16_are_finite(seed):
    run = all_on(40, seed=seed, mixed_precision="bf16", model={"name": "mlp", "width": 16, "depth": 1}, batch_size=8)
    found = finished(run)
    assert len(found) == 40
    assert {"tweedie", "posterior", "consistency"} <= {name for step in found for name in step.terms}


def test_rows_of_all_levels_from_clean_to_a_half_go_together():
    found = finished(all_on(30, corruption={"name": "gaussian", "sigma_n": [0.0, 0.5]}))
    assert all(len(step.values["tweedie"].value) > 0 for step in found)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.slow
def test_any_share_of_clean_rows_gives_a_loss_that_falls(share):
    """With none noisy the terms below sigma_n are empty, and tweedie is ordinary denoising."""
    run = all_on(
        60,
        corruption={"name": "gaussian", "sigma_n": 0.2, "clean_share": share},
        optimizer={"lr": 3e-3, "warmup_steps": 0},
    )
    found = finished(run)
    losses = [float(step.terms["tweedie"]) for step in found]
    assert sum(losses[-20:]) < sum(losses[:20])
    below = [len(step.values[name].value) for step in found for name in ("posterior", "consistency")]
    assert (sum(below) == 0) == (share == 1.0)
    assert MEMORY in run.state()


def test_each_objective_alone_takes_clean_rows():
    """Its loss is finite and, where it has nothing to learn from such rows, empty: it never stops a run."""
    for entry in make(objective="tweedie-consistency-buffer").config.objective:
        AcceleratorState._reset_state(reset_partial_state=True)
        spec = {"name": entry.objective.name, **entry.objective.model_dump()}
        run = make(
            objective=[{"objective": spec}],
            end_step=5,
            corruption={"name": "gaussian", "sigma_n": 0.2, "clean_share": 1.0},
        )
        assert len(finished(run)) == 5


@pytest.mark.parametrize("below", [1e-2, 1e-4, 1e-6])
def test_a_row_just_below_the_highest_level_is_usable_by_every_objective(below):
    top = 0.5
    batch = CASE.observe(16, keyed_generator(0, "b"))
    noisy = torch.where(torch.arange(16) % 4 == 0, top * (1 - below), batch.sigma_n)
    batch = Batch(batch.x_n, noisy, batch.row, {})
    for entry in make(objective="tweedie-consistency-buffer").config.objective:
        tools = dataclasses.replace(CASE.tools, generator=keyed_generator(1, "o"), levels=Levels(0.01, top), memory={})
        for term in entry.objective.loss(CASE.oracle, batch, tools).values():
            assert len(term.value) > 0
            assert bool(term.value.isfinite().all())
            assert float(term.sigma.max()) <= top
