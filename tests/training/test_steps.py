"""One optimiser step: what is skipped, what precision it is taken in, at which rate, and what memory costs it."""

from __future__ import annotations

import json
import math
from functools import partial

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from ambientkit.checkpoint.weights import from_bytes
from ambientkit.config import Source, resolve
from ambientkit.config.run import OptimizerConfig
from ambientkit.data import Observations, survey
from ambientkit.errors import InputError, RunError
from ambientkit.interfaces import Objective
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.registry import load
from ambientkit.training import build, steps
from ambientkit.training.memory import checkpoint_blocks
from ambientkit.training.metrics import Window, memory_mb
from ambientkit.training.optim import lr_factor
from tests.support.engine import SMALL, ByRow, bits, make, same


class Broken(Objective):
    """By row, but not a number in the steps (from 1) that `at` holds."""

    name = "broken"
    at: frozenset[int]
    gradient_only: bool = False

    def loss(self, denoiser, batch, tools):
        _calls.append(1)
        broken = len(_calls) in self.at
        if broken and not self.gradient_only:  # the network answers with what is no number
            batch = batch._replace(x_n=batch.x_n * math.nan)
        term = ByRow().loss(denoiser, batch, tools)["a"]
        if broken and self.gradient_only:  # sqrt has an infinite slope at 0: the loss is fine, its gradient is not
            term = term._replace(value=(term.value - term.value.detach()).sqrt() + 1)
        return {"a": term}


_calls: list[int] = []


@pytest.fixture(autouse=True)
def _from_step_1():
    _calls.clear()


@pytest.fixture
def fresh_accelerate():
    """accelerate keeps the precision of a process for good."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


# --- not finite -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gradient_only", [False, True])
def test_a_step_that_is_not_finite_is_skipped_and_counted(gradient_only):
    """Case C-23: weights, optimiser and average stay as they were, the schedule and the data go on."""
    run, window = make(Broken(at=frozenset({3, 4}), gradient_only=gradient_only), end_step=6), Window()
    before, rates = {}, []
    for step in steps(run):
        window.add(step)
        rates.append(step.lr)
        if step.step == 3:
            before = bits(run)
            assert step.skipped
            assert run.skipped_in_a_row == 1
        if step.step == 4:
            assert same(before, bits(run))
            assert run.average.n_averaged == 2
        if step.step == 5:
            assert not step.skipped
            assert not same(before, bits(run))
    assert run.average.n_averaged == 4
    assert (run.skipped, run.skipped_in_a_row) == (2, 0)
    assert rates == sorted(set(rates))  # the warm-up rises in every step
    line = window.line(step)
    assert line["skipped"] == 2
    assert math.isfinite(line["loss"])
    assert math.isfinite(line["grad_norm"])


def test_too_many_in_a_row_stop_the_run_with_advice_and_finite_weights():
    """Case C-24."""
    run = make(Broken(at=frozenset(range(3, 99))), max_bad_steps=4, end_step=50)
    with pytest.raises(
        RunError, match=r"steps 3 to 6: the loss \(nan\).*4 steps in a row \(max_bad_steps\).*of step 2\. Lower --lr"
    ):
        list(steps(run))
    assert run.step == 6
    tensors, _ = from_bytes(run.state()["model.safetensors"], "here")
    assert all(value.isfinite().all() for value in tensors.values())


def test_a_resumed_run_goes_on_counting():
    run = make(Broken(at=frozenset({1, 2, 3, 4})), max_bad_steps=4)
    for step in steps(run):
        if step.step == 2:
            break
    again = make(Broken(at=frozenset({3, 4})), max_bad_steps=4)
    again.restore(run.state(), "here")
    assert again.skipped == 2
    with pytest.raises(RunError, match="steps 1 to 4"):
        list(steps(again))


def test_weights_that_are_not_finite_are_never_saved():
    run = make()
    next(steps(run))
    with torch.no_grad():
        run.bare_network.decode.bias[0] = math.inf
    with pytest.raises(RunError, match=r"step 1: weight 'decode.bias' is not finite; nothing is saved"):
        run.state()


def test_a_window_of_skipped_steps_has_no_mean():
    run, window = make(Broken(at=frozenset({1}))), Window()
    step = next(steps(run))
    window.add(step)
    line = json.loads(json.dumps(window.line(step), allow_nan=False))
    assert line["loss"] is None
    assert line["skipped"] == 1


def test_a_step_in_which_every_weight_is_zero_changes_nothing_but_the_count():
    """Case C-17, in one process."""
    late = [{"objective": "tweedie", "start": 2}]
    run = make(objective=late, end_step=3)
    begin = bits(run)
    found = [(bits(run), step) for step in steps(run)]
    assert all(torch.equal(found[1][0][name], begin[name]) for name in begin if not name.startswith("ema."))
    assert not same(found[2][0], found[1][0])


# --- precision ------------------------------------------------------------------------------------------------------


def test_in_bf16_the_network_computes_in_bf16_and_the_algebra_in_float32(fresh_accelerate):
    """Case C-27: what the network is told of the noise level is not rounded."""
    run = make(mixed_precision="bf16", end_step=3)
    inner, told = [], []
    run.bare_network.encode.register_forward_hook(lambda module, given, output: inner.append(output.dtype))
    run.bare_network.register_forward_pre_hook(lambda module, given: told.append([value.dtype for value in given]))
    for step in steps(run):
        assert step.loss.dtype == torch.float32
        assert step.values["tweedie"].value.dtype == step.values["tweedie"].sigma.dtype == torch.float32
    assert set(inner) == {torch.bfloat16}
    assert all(dtypes == [torch.float32, torch.float32] for dtypes in told)
    assert all(value.dtype == torch.float32 for value in bits(run).values() if value.is_floating_point())


def in_fp16(scale, **changes):
    """A run whose network computes in float16 on the CPU: torch can, but accelerate switches it on for GPUs only, so it
    is done here by hand."""
    config = resolve(Source({**SMALL, **changes}), load())
    accelerator = Accelerator(cpu=True, mixed_precision="fp16")
    accelerator.native_amp = True
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    observations = Observations(config.data.rows(), config.corruption, config.seed)
    signal = survey(observations, config.corruption, config.levels.as_levels(), config.sigma_data).signal
    return build(config, signal, observations, accelerator)


def test_in_fp16_the_gradients_are_scaled_back_before_they_are_clipped(fresh_accelerate):
    """The network computes in float16, the algebra in float32; norms and weights are those of float32 up to
    rounding."""
    exact = make(end_step=6)
    norms = [float(step.grad_norm) for step in steps(exact)]
    expected, inner = bits(exact), []
    AcceleratorState._reset_state()
    run = in_fp16(2.0**12, end_step=6)
    run.bare_network.encode.register_forward_hook(lambda module, given, output: inner.append(output.dtype))
    for step, norm in zip(steps(run), norms, strict=True):
        assert step.loss.dtype == torch.float32
        assert not step.skipped
        assert float(step.grad_norm) == pytest.approx(norm, rel=0.02)
    assert set(inner) == {torch.float16}
    found = bits(run)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=5e-3)
    assert not same(found, expected)


def test_in_fp16_a_scale_that_is_too_large_skips_steps_until_it_fits_and_is_part_of_a_checkpoint(fresh_accelerate):
    run = in_fp16(2.0**30, end_step=40, max_bad_steps=30)
    seen = []
    for step in steps(run):
        seen.append(step.skipped)
        if step.step == 5:
            saved, scale = run.state(), run.accelerator.scaler.get_scale()
    assert all(seen[:8])
    assert 8 < sum(seen) < 30  # the scale may be too large again once it fits
    assert scale == 2.0**30 / 2 ** sum(seen[:5])
    again = in_fp16(2.0**30, end_step=40, max_bad_steps=30)
    again.restore(saved, "here")
    assert again.accelerator.scaler.get_scale() == scale
    assert [step.skipped for step in steps(again)] == seen[5:]
    assert same(bits(again), bits(run))


def test_fp16_without_a_gpu_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(InputError, match="fp16 needs a GPU; use bf16"):
        make(mixed_precision="fp16")


# --- memory and compilation -----------------------------------------------------------------------------------------


class Stack(nn.Module):
    """Blocks with dropout."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 32)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(32, 32), nn.GELU(), nn.Dropout(0.3)) for _ in range(3))

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return x


def noted(sizes, tensor):
    sizes.append(tensor.numel())
    return tensor


@pytest.mark.parametrize("alone", [False, True])
def test_recomputed_activations_give_the_same_gradients_also_with_dropout(alone):
    """Case C-15. alone: a network without a list of blocks is recomputed as a whole."""
    found, kept = [], []
    for checkpointed in (False, True):
        with isolated_global_generator(0, "net"):
            network = nn.Sequential(nn.Linear(4, 32), nn.Dropout(0.3), nn.Linear(32, 32)) if alone else Stack()
        names = list(network.state_dict())
        if checkpointed:
            checkpoint_blocks(network)
        sizes: list[int] = []
        with isolated_global_generator(1, "step"):
            with torch.autograd.graph.saved_tensors_hooks(partial(noted, sizes), lambda t: t):
                loss = (network(torch.ones(64, 4)) - 1).square().mean()
            loss.backward()
        found.append([p.grad for p in network.parameters()])
        kept.append(sum(sizes))
        assert list(network.state_dict()) == names
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    assert kept[1] < kept[0]


def test_a_checkpointed_run_is_the_same_run():
    plain, lean = make(end_step=6), make(end_step=6, checkpointing=True)
    losses = [[float(step.loss) for step in steps(run)] for run in (plain, lean)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert bits(plain).keys() == bits(lean).keys()
    assert hasattr(lean.bare_network.blocks[0].forward, "func")
    assert not hasattr(lean.teacher, "func")


def test_a_compiled_run_saves_the_names_of_a_plain_one(monkeypatch):
    """Case C-18. The backend is one that compiles nothing, which is enough for names."""
    compiled = []
    original = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: (compiled.append(self), original(self, backend="eager"))[1])
    plain, fast = make(end_step=4), make(end_step=4, compile=True)
    for run in (plain, fast):
        list(steps(run))
    assert compiled == [fast.bare_network]
    assert fast.bare_network._compiled_call_impl is not None
    torch.compiler.reset()
    names = [set(from_bytes(run.state()["model.safetensors"], "here")[0]) for run in (plain, fast)]
    assert names[0] == names[1]
    for run, other in ((plain, fast), (fast, plain)):
        run.restore(other.state(), "here")
    torch.testing.assert_close(bits(plain), bits(fast), rtol=1e-4, atol=1e-5)


def test_a_network_that_cannot_be_compiled_is_told_without_a_traceback(tmp_path, monkeypatch, capsys):
    from ambientkit.cli import main
    from tests.support.engine import FLAGS

    def failing(module, inputs):
        raise OSError("there is no C++ compiler")

    original = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self: original(self, backend=failing))
    monkeypatch.setattr("sys.argv", ["ambientkit", "train", *FLAGS, "--compile", "--output-dir", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        main()
    torch.compiler.reset()
    assert end.value.code == 1
    err = capsys.readouterr().err
    assert "--compile: torch.compile cannot compile this network here" in err
    assert "there is no C++ compiler" in err
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "failed"


def test_the_memory_of_this_process_is_known():
    assert 50 < memory_mb(torch.device("cpu")) < 1e6


# --- rates ----------------------------------------------------------------------------------------------------------


def test_the_rate_follows_its_schedule():
    """Against the formulas written out; warm-up counts optimiser steps."""
    constant = OptimizerConfig(warmup_steps=4)
    assert [lr_factor(constant, step, 20) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    cosine = OptimizerConfig(schedule="cosine", warmup_steps=4)
    assert [lr_factor(cosine, step, 20) for step in (0, 4, 12, 20, 25)] == pytest.approx([0.2, 1, 0.5, 0, 0], abs=1e-12)
    root = OptimizerConfig(schedule="inverse-sqrt", warmup_steps=0, decay_start=100)
    assert [lr_factor(root, step, 20) for step in (0, 100, 400, 10_000)] == pytest.approx([1, 1, 0.5, 0.1])
    assert lr_factor(OptimizerConfig(schedule="inverse-sqrt", warmup_steps=9), 36, 20) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "sgd", "momentum": 0.9, "lr": 0.01},
        {"name": "sgd"},
        {"schedule": "cosine"},
        {"schedule": "inverse-sqrt", "warmup_steps": 2},
    ],
)
def test_every_optimiser_and_schedule_resumes_to_the_same_bits(optimizer):
    """Case C-01."""
    whole, first, second = (
        make(optimizer=optimizer, end_step=8, num_workers=workers)
        for workers in (0, 0, 4 if "momentum" in optimizer else 0)
    )
    log = [(float(step.loss), step.lr) for step in steps(whole)]
    for step in steps(first):
        if step.step == 5:
            break
    second.restore(first.state(), "here")
    assert [(float(step.loss), step.lr) for step in steps(second)] == log[5:]
    assert same(bits(second), bits(whole))


def test_the_optimiser_is_the_one_named():
    run = make(optimizer={"name": "sgd", "momentum": 0.9, "lr": 0.1, "weight_decay": 0.5})
    assert type(run.bare_optimizer) is torch.optim.SGD
    group = run.bare_optimizer.param_groups[0]
    assert (group["initial_lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.9, 0.5)
    assert type(make().bare_optimizer) is torch.optim.AdamW
