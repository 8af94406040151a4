"""What an objective keeps between steps, schedules of objectives, and the gradient of several: a resumed run is the
unbroken one."""

from __future__ import annotations

import json

import pytest
import torch

from ambientkit.config.run import ScheduledObjective
from ambientkit.interfaces import Tools
from ambientkit.maths.randomness import keyed_generator
from ambientkit.training import steps
from ambientkit.training.loop import _accumulate
from ambientkit.training.metrics import Window
from ambientkit.training.state import MEMORY
from tests.support.engine import make, same

BUFFER = {"name": "posterior-buffer", "fraction": 0.5, "refresh": 0.125, "keep": 5, "steps": 3}
OBJECTIVE = [
    {"objective": "tweedie"},
    {"objective": BUFFER, "start": 4, "ramp": 4, "every": 2},
    {"objective": {"name": "consistency", "fraction": 0.5}, "weight": 0.1, "start": 6, "every": 4},
]


def ran(run, window, upto=None):
    """Take steps; the log lines of every fifth and the sigma of every step."""
    lines = []
    for step in steps(run):
        window.add(step)
        if step.step % 5 == 0:
            lines.append(window.line(step))
            window.state = Window().state
        if step.step == upto:
            break
    return lines


@pytest.mark.parametrize("changes", [{}, {"grad_accum_steps": 2}])
def test_thirteen_and_twenty_seven_steps_are_forty(changes):
    """Weights, average, optimiser, memory, counters and log lines: the same bits. Step 13 lies between two calls of the
    buffer."""
    unbroken = make(objective=OBJECTIVE, end_step=40, **changes)
    lines = ran(unbroken, Window())
    first = make(objective=OBJECTIVE, end_step=40, **changes)
    window = Window()
    begun = ran(first, window, upto=13)
    files, log = first.state(), json.dumps(window.state)
    assert MEMORY in files
    second = make(objective=OBJECTIVE, end_step=40, **changes)
    second.restore(files, "here")
    assert begun + ran(second, Window(json.loads(log))) == lines
    ended, again = unbroken.state(), second.state()
    assert ended.keys() == again.keys()
    for name in ended:
        assert ended[name] == again[name], name
    assert int(second.memories["objective.1.posterior-buffer"]["drawn"]) == 18 * 2 * changes.get("grad_accum_steps", 1)


def test_a_run_that_forgets_its_memory_is_another_run():
    """The control of the test above: without the file the draws are others."""
    unbroken = make(objective=OBJECTIVE, end_step=40)
    ran(unbroken, Window())
    first = make(objective=OBJECTIVE, end_step=40)
    ran(first, Window(), upto=13)
    files = first.state()
    del files[MEMORY]
    second = make(objective=OBJECTIVE, end_step=40)
    second.restore(files, "here")
    ran(second, Window())
    assert not same(dict(unbroken.bare_network.state_dict()), dict(second.bare_network.state_dict()))


def test_a_run_without_memory_writes_no_file_of_it():
    run = make(objective=[{"objective": "tweedie"}])
    for step in steps(run):
        if step.step == 2:
            break
    assert MEMORY not in run.state()


def test_entries_of_one_objective_have_memories_of_their_own():
    run = make(objective=[{"objective": BUFFER}, {"objective": {**BUFFER, "keep": 2}}], end_step=6)
    for _ in steps(run):
        pass
    shapes = {key: len(memory["sigma_n"]) for key, memory in run.memories.items()}
    assert shapes == {"objective.0.posterior-buffer": 10, "objective.1.posterior-buffer": 4}
    assert {key.split("/")[1] for key in run.memory_of_all()} == set(shapes)


def weights(end_step=40, **fields):
    entry = ScheduledObjective(objective=make().config.objective[0].objective, **fields)
    return [entry.weight_at(step, end_step) for step in range(end_step)]


def test_an_objective_comes_in_rises_and_goes_by_steps():
    found = weights(weight=2.0, start=10, ramp=4, stop=30)
    assert found[:10] == [0.0] * 10
    assert found[10:15] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert found[14:30] == [2.0] * 16
    assert found[30:] == [0.0] * 10


def test_an_objective_comes_in_rises_and_goes_by_fractions_of_the_run():
    assert weights(weight=2.0, start=0.25, ramp=0.1, stop=0.75) == weights(weight=2.0, start=10, ramp=4, stop=30)
    assert weights(start=0, stop=1) == [1.0] + [0.0] * 39
    assert weights(start=0, stop=1.0) == weights() == [1.0] * 40
    assert weights(stop=0) == [0.0] * 40


def test_an_objective_of_every_fourth_step_keeps_its_edges():
    found = weights(start=10, stop=30, every=4)
    assert [step for step, weight in enumerate(found) if weight] == [12, 16, 20, 24, 28]


def test_a_stopped_objective_is_not_asked_any_more():
    run = make(objective=[{"objective": "tweedie"}, {"objective": BUFFER, "stop": 4}], end_step=8)
    assert [set(step.terms) for step in steps(run)] == [{"tweedie", "posterior"}] * 4 + [{"tweedie"}] * 4


def test_backward_through_each_objective_in_turn_has_the_gradient_of_the_summed_loss():
    """In float64, all terms on, two micro-steps of unlike size: against one backward of the sum written out."""

    def prepared():
        run = make(objective=[{**entry, "start": 0, "ramp": 0, "every": 1} for entry in OBJECTIVE])
        run.network.double()
        run.average.double()
        batch = run.observations.__getitems__(list(range(16)))
        batch = batch._replace(x_n=batch.x_n.double(), sigma_n=batch.sigma_n.double())
        return run, [
            type(batch)(batch.x_n[i], batch.sigma_n[i], batch.row[i], {}) for i in (slice(0, 10), slice(10, 16))
        ]

    run, micro = prepared()
    loss, means, _ = _accumulate(run, micro)
    found = [parameter.grad.clone() for parameter in run.network.parameters()]

    other, micro = prepared()
    total, memories = 0.0, {}
    for index, batch in enumerate(micro):
        for place, entry in enumerate(other.config.objective):
            key = f"objective.{place}.{entry.objective.name}"
            config, memory = other.config, memories.setdefault(key, {})
            generator = keyed_generator(config.seed, key, step=index)
            lent = (
                config.corruption,
                config.sampler,
                other.teacher,
                other.signal,
                generator,
                config.levels.as_levels(),
                memory,
            )
            terms = entry.objective.loss(other.denoiser, batch, Tools(*lent))
            total = total + len(batch.x_n) / 16 * entry.weight * sum(term.value.mean() for term in terms.values())
    total.backward()
    assert set(means) == {"tweedie", "posterior", "consistency"}
    torch.testing.assert_close(loss.double(), total.detach(), rtol=1e-6, atol=0)
    for one, parameter in zip(found, other.network.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, rtol=1e-10, atol=1e-12)
