"""Training: the same bits however often it is stopped, and nothing that happens between two steps changes it."""

from __future__ import annotations

import json
import signal
import time

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ambientkit.config import Source, resolve
from ambientkit.data import Observations, survey
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.registry import load
from ambientkit.sample import draw, step_grid
from ambientkit.training import build, steps
from ambientkit.training.accelerator import accelerator_for
from ambientkit.training.average import WarmedUpAverage, ema_decay
from tests.support.engine import MIXTURE, command, finish

pytestmark = pytest.mark.slow

SMALL = {
    "data": {"name": "mixture", "n": 40},
    "model": {"name": "mlp", "width": 16, "depth": 1},
    "batch_size": 16,
    "end_step": 12,
    "device": "cpu",
    "objective": [
        {"objective": "tweedie"},
        {"objective": {"name": "consistency", "fraction": 0.5}, "weight": 0.1, "start": 3, "ramp": 4},
    ],
}


def make(**changes):
    config = resolve(Source({**SMALL, **changes}), load())
    observations = Observations(config.data.rows(), config.corruption, config.seed)
    signal = survey(observations, config.corruption, config.levels.as_levels(), config.sigma_data).signal
    return build(config, signal, observations, accelerator_for(config))


def bits(run):
    return {
        name: value.clone()
        for name, value in {
            **run.bare_network.state_dict(),
            **{f"ema.{k}": v for k, v in run.average.state_dict().items()},
        }.items()
    }


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("stop_after", [1, 4, 7])
@pytest.mark.parametrize("changes", [{}, {"grad_accum_steps": 2}, {"num_workers": 1}])
def test_a_run_stopped_anywhere_ends_in_the_same_bits(stop_after, changes):
    """40 rows in batches of 16: the stops lie in the middle of epochs, before, within and after the ramp. Weights, EMA,
    logs."""
    unbroken = make(**changes)
    log = [(float(step.loss), step.lr) for step in steps(unbroken)]
    first = make(**changes)
    for step in steps(first):
        if step.step == stop_after:
            break
    second = make(**changes)
    second.restore(first.state(), "here")
    assert second.step == stop_after
    assert [(float(step.loss), step.lr) for step in steps(second)] == log[stop_after:]
    assert same(bits(second), bits(unbroken))


def test_sampling_in_the_middle_changes_nothing():
    """Case C-08."""
    quiet, busy = make(), make()
    plain = [float(step.loss) for step in steps(quiet)]
    disturbed = []
    for step in steps(busy):
        disturbed.append(float(step.loss))
        list(
            draw(
                busy.teacher,
                busy.config.sampler,
                (2,),
                4,
                sigmas=step_grid(3, busy.config.levels.as_levels()),
                seed=step.step,
            )
        )
        with torch.random.fork_rng():
            torch.randn(7)
    assert plain == disturbed
    assert same(bits(quiet), bits(busy))


def test_another_seed_is_another_run():
    assert not same(bits(make(seed=0)), bits(make(seed=1)))


def test_accumulated_steps_have_the_gradient_of_the_joint_batch():
    """In float64, with denoising on clean rows and every draw replaced by one that depends on the row only."""
    from ambientkit.batch import Term
    from ambientkit.interfaces import Objective
    from ambientkit.training.loop import _accumulate

    class ByRow(Objective):
        name = "by-row"

        def loss(self, denoiser, batch, tools):
            sigma = 0.1 + 0.05 * batch.row.to(batch.x_n.dtype)
            return {"a": Term((denoiser(batch.x_n, sigma) - 1).square().mean(1), sigma)}

    def gradient(parts):
        run = make(grad_accum_steps=1, batch_size=4)
        object.__setattr__(
            run.config, "objective", (run.config.objective[0].model_copy(update={"objective": ByRow()}),)
        )
        run.network.double()
        batch = run.observations.__getitems__([0, 1, 2, 3])
        batch = batch._replace(x_n=batch.x_n.double())
        micro = [type(batch)(batch.x_n[i], batch.sigma_n[i], batch.row[i], {}) for i in parts]
        loss, means, _ = _accumulate(run, micro)
        return loss, means["a"], [p.grad.clone() for p in run.network.parameters()]

    whole, split = gradient([slice(0, 4)]), gradient([slice(0, 1), slice(1, 4)])
    torch.testing.assert_close(whole[0], split[0])
    torch.testing.assert_close(whole[1], split[1])
    for a, b in zip(whole[2], split[2], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_the_average_follows_its_formula_and_starts_as_a_copy():
    """Against the recursion of k-diffusion's EMAWarmup written out."""
    with isolated_global_generator(0, "net"):
        network = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64).requires_grad_(False)
    average, expected = WarmedUpAverage(network, 2 / 3, 1.0, 0.9), None
    for update in range(50):
        network.weight.fill_(float(torch.rand((), generator=keyed_generator(update, "w"))))
        decay = max(0.0, min(0.9, 1 - (1 + update) ** (-2 / 3)))
        expected = float(network.weight) if expected is None else decay * expected + (1 - decay) * float(network.weight)
        average.update()
    assert abs(float(average.module.weight) - expected) < 1e-12
    assert ema_decay(0, 2 / 3, 1.0, 0.9999) == 0.0
    assert ema_decay(10**9, 2 / 3, 1.0, 0.9999) == 0.9999


def test_the_average_is_that_of_torch_to_the_bit_with_its_buffers_and_whole_numbers():
    """`AveragedModel` is the reference; the weights change between updates as an optimiser changes them, in place."""
    with isolated_global_generator(0, "net"):
        network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    network.register_parameter("count", torch.nn.Parameter(torch.tensor([1, 2]), requires_grad=False))
    average = WarmedUpAverage(network, 2 / 3, 1.0, 0.9)
    expected = AveragedModel(
        network, multi_avg_fn=lambda own, its, n: get_ema_multi_avg_fn(ema_decay(int(n), 2 / 3, 1.0, 0.9))(own, its, n)
    )
    for update in range(6):
        with torch.no_grad():
            for value in (*network[0].parameters(), *network[1].parameters(), network[1].running_mean):
                value.add_(torch.randn(value.shape, generator=keyed_generator(update, "w")))
        average.update()
        expected.update_parameters(network)
    assert average.state_dict().keys() == expected.state_dict().keys()
    for name, value in expected.state_dict().items():
        assert torch.equal(average.state_dict()[name], value), name


TRAIN = ["train", *MIXTURE, "--set", "log_every=5", "--skip-preflight"]


def test_a_run_that_is_interrupted_saves_says_how_to_go_on_and_ends_like_an_undisturbed_one(tmp_path):
    whole = command(*TRAIN, "--end-step", "400", "--output-dir", str(tmp_path / "whole"))
    broken = command(*TRAIN, "--end-step", "400", "--output-dir", str(tmp_path / "broken"))
    metrics = tmp_path / "broken" / "metrics.jsonl"
    deadline = time.monotonic() + 90
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    broken.send_signal(signal.SIGINT)
    status, out, err = finish(broken)
    assert status == 130, (out, err)
    assert "go on with: ambientkit train --resume" in out
    status, out, err = finish(command(*TRAIN[:-1], "--resume", "latest", "--output-dir", str(tmp_path / "broken")))
    assert status == 0, err
    assert finish(whole)[0] == 0
    logs = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "broken")
    ]
    for log in logs:
        for line in log:
            for name in ("time", "examples_per_s", "eta_s", "memory_mb"):
                del line[name]
    assert logs[0] == logs[1]
    assert [line["step"] for line in logs[0]] == list(range(5, 401, 5))
    final = [
        (tmp_path / name / "checkpoints" / "checkpoint_400" / "average.safetensors").read_bytes()
        for name in ("whole", "broken")
    ]
    assert final[0] == final[1]
    assert "\r" not in out + err


def test_a_run_is_not_written_into_the_folder_of_its_own_data(ambientkit, tmp_path):
    """The pictures that it draws would be rows of the data from then on."""
    from PIL import Image

    (tmp_path / "data").mkdir()
    for index in range(8):
        picture = np.random.default_rng(index).normal(128, 30, (8, 8)).clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / "data" / f"{index}.png")
    out = tmp_path / "data" / "run"
    status, _, err = ambientkit(
        "train", "--data", tmp_path / "data", "--sigma-n", "0.2", "--end-step", 1, "--output-dir", out
    )
    assert status == 2
    assert f"--output-dir {out}: lies inside the data {tmp_path / 'data'}" in err
    assert not out.exists()
