"""What test_sharded.py looks at, run by torchrun in two or four processes: weights that FSDP 2 shards over them, beside
whole ones."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate import PartialState

from ambientkit.batch import Term
from ambientkit.checkpoint.sharded import is_sharded, local
from ambientkit.checkpoint.weights import from_bytes
from ambientkit.errors import RunError
from ambientkit.interfaces import Objective
from ambientkit.training import build, steps
from ambientkit.training.launched import FSDP, RESHARD, VERSION
from ambientkit.training.sharded import library
from tests.support.engine import make
from tests.training.test_frozen_base import config

RECIPE = {
    "objective": "tweedie-consistency",
    "model": {"name": "mlp", "width": 16, "depth": 2},
    "optimizer": {"lr": 1e-2, "warmup_steps": 2, "max_grad_norm": 0.5},
    "end_step": 10,
}


class Uneven(Objective):
    """The first process has no usable row and makes no call; each other one calls the network more often than the one
    before it, also without a gradient, on an answer, on no rows, and the teacher; the last answers do not matter."""

    name = "uneven"

    def loss(self, denoiser, batch, tools):
        rank = torch.distributed.get_rank()
        sigma = torch.full_like(batch.sigma_n, 0.5)
        if rank == 0:
            return {"a": Term(sigma[:0], sigma[:0])}
        with torch.no_grad():
            aim = tools.teacher(batch.x_n, sigma) + denoiser(batch.x_n, 2 * sigma)
        x = denoiser(batch.x_n, sigma)
        for _ in range(rank):
            x = denoiser(x + tools.teacher(x, sigma), 0.5 * sigma)
        denoiser(batch.x_n[:0], sigma[:0])
        denoiser(batch.x_n, sigma).detach()
        return {"a": Term((x - aim - 1).square().flatten(1).mean(1), sigma)}


class Own(Objective):
    """Takes a gradient in its own loss."""

    name = "own"

    def loss(self, denoiser, batch, tools):
        x = batch.x_n.clone().requires_grad_()
        (slope,) = torch.autograd.grad(denoiser(x, batch.sigma_n).sum(), x, create_graph=True)
        return {"a": Term(slope.square().mean(1), batch.sigma_n)}


class NotFinite(Objective):
    """Gives the last process, in the second step, a loss that is not finite."""

    name = "not-finite"

    def loss(self, denoiser, batch, tools):
        tools.memory["calls"] = tools.memory.get("calls", torch.tensor(0)) + 1
        bad = tools.memory["calls"] == 2 and torch.distributed.get_rank() == torch.distributed.get_world_size() - 1
        value = denoiser(batch.x_n, batch.sigma_n).square().flatten(1).mean(1)
        return {"a": Term(value * (float("inf") if bad else 1), batch.sigma_n)}


def frozen(only: Objective | None, **changes):
    """A run of which a part of the network is frozen."""
    return build(config())


def run_of(sharded: bool, only: Objective | None = None, reshard: str = "true", made=make, **changes):
    """A run at step 0, with its weights sharded or not."""
    asked = {FSDP: str(sharded).lower(), VERSION: "2", RESHARD: reshard}
    os.environ |= asked
    try:
        return made(only, **{**RECIPE, **changes})
    finally:
        for name in asked:
            del os.environ[name]


def apart(a: dict[str, bytes], b: dict[str, bytes]) -> float:
    """The largest difference between the tensors of two checkpoints, each by its largest value; all else is equal."""
    assert a.keys() == b.keys(), (a.keys(), b.keys())
    worst = 0.0
    for name in a:
        if not name.endswith(".safetensors"):
            mine, its = json.loads(a[name]), json.loads(b[name])
            assert mine == its, (name, mine, its)
            continue
        (mine, _), (its, _) = from_bytes(a[name], name), from_bytes(b[name], name)
        assert mine.keys() == its.keys(), (name, mine.keys() ^ its.keys())
        for key, value in mine.items():
            assert value.shape == its[key].shape, (name, key)
            if value.numel():
                own, other = value.double(), its[key].double()
                worst = max(worst, float((own - other).abs().max() / own.abs().max().clamp(min=1e-3)))
    return worst


def files_of(run) -> dict[str, bytes]:
    """The files of a checkpoint; only the main process has any."""
    whole = run.whole()
    return run.state(whole) if run.accelerator.is_main_process else {}


def compare(found: dict[str, object], name: str, only: Objective | None = None, resume: bool = False, **changes):
    """Train whole and sharded, and note how far their files and norms are apart; resume each from the other's."""
    reshard = changes.pop("reshard", "true")
    plain, sharded = (run_of(which, only, reshard, **changes) for which in (False, True))
    norms, saved = 0.0, []
    for a, b in zip(steps(plain), steps(sharded), strict=True):
        norms = max(norms, abs(float(a.grad_norm) / float(b.grad_norm) - 1))
        if a.step == 4 and resume:
            saved = [files_of(plain), files_of(sharded)]
    ends = [files_of(plain), files_of(sharded)]
    if plain.accelerator.is_main_process:
        found[f"{name}: apart"] = max(apart(*ends), norms)
    for way, again, files in zip(
        ("whole from sharded", "sharded from whole"),
        [run_of(which, only, reshard, **changes) for which in (False, True)] if resume else [],
        saved[::-1],
        strict=False,
    ):
        told = [files]
        torch.distributed.broadcast_object_list(told)
        again.restore(told[0], "here")
        for _ in steps(again):
            pass
        end = files_of(again)
        if end:
            found[f"{name}: {way}: apart"] = apart(ends[0], end)
    return sharded


def end(folder: Path, found: dict[str, object]) -> None:
    """Write what this process has found, and leave the group."""
    state = PartialState()
    rank, world = state.process_index, state.num_processes
    state.destroy_process_group()
    (folder / f"{rank}.json").write_text(json.dumps({**found, "world": world}))


def main(folder: Path, asked: list[str]) -> None:
    library()  # as in a run that is sharded from its beginning
    found: dict[str, object] = {}
    if "networks" in asked:
        compare(found, "frozen base", made=frozen)
        if find_spec("ambientkit_kdiffusion"):
            model = {"name": "image_transformer_v1", "width": 64, "depth": 2}
            changes = {"model": model, "data": {"name": "digits"}, "batch_size": 4, "end_step": 4}
            # Not adamw: it divides by gradients that are nothing but rounding, and enlarges it.
            sgd = {"name": "sgd", "lr": 1e-2, "momentum": 0.9}
            compare(found, "transformer", Uneven(), optimizer=sgd, **changes)
        return end(folder, found)
    run = compare(found, "recipe", resume=True)
    held = [list(run.network.parameters()), list(run.average.module.parameters())]
    for weights in held:
        assert all(map(is_sharded, weights)), [type(weight) for weight in weights]
    with torch.no_grad():
        found["shares"] = [sum(local(weight).numel() for weight in weights) for weights in held]
        found["shares"] += [
            sum(
                local(value).numel()
                for one in run.bare_optimizer.state.values()
                for value in one.values()
                if value.ndim
            )
        ]
        found["whole"] = sum(weight.numel() for weight in held[0])
    compare(found, "uneven", Uneven())
    if "more" in asked:
        compare(found, "uneven, kept until the step", Uneven(), reshard="false")
        compare(
            found,
            "uneven, sgd, micro-steps, recomputed",
            Uneven(),
            optimizer={"name": "sgd", "lr": 1e-2},
            grad_accum_steps=2,
            checkpointing=True,
        )
        buffer = {"name": "posterior-buffer", "fraction": 0.5, "refresh": 0.125, "keep": 5, "steps": 3}
        compare(found, "buffer", objective=[{"objective": "tweedie"}, {"objective": buffer, "start": 1}])
        run = run_of(True, NotFinite(), end_step=4)
        found["skipped"] = [step.skipped for step in steps(run)]
        try:
            next(steps(run_of(True, Own())))
        except RunError as error:
            found["own"] = str(error)
    end(folder, found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
