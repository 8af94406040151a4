"""What test_train_split.py looks at, run by torchrun in two processes: the optimiser split over them, beside one that
is whole in each."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
from torch import nn

from ambientkit.batch import Term
from ambientkit.interfaces import Objective
from ambientkit.training import steps
from ambientkit.training.launched import FSDP
from tests.support.engine import bits, make, same, threads_of_gloo

OPTIMIZERS = {
    "adamw": {"lr": 1e-2, "warmup_steps": 2, "max_grad_norm": 0.5},
    "sgd": {"name": "sgd", "lr": 1e-2, "momentum": 0.9, "weight_decay": 0.1},
}
OPTIMIZERS["sgd-plain"] = {"name": "sgd", "lr": 1e-2}


class Uneven(Objective):
    """Calls the network once in the first process and three times in the second, which a split network would wait for
    in vain."""

    name = "uneven"

    def loss(self, denoiser, batch, tools):
        rank = torch.distributed.get_rank()
        sigma = torch.full_like(batch.sigma_n, 0.5)
        value = sum((denoiser(batch.x_n + call, sigma) - 1).square().mean(1) for call in range(1 + 2 * rank))
        return {"a": Term(value, sigma)}


def run_of(split: bool, extra: bool = False, **changes):
    """A run at step 0, with the optimiser split or not."""
    os.environ[FSDP] = str(split).lower()
    try:
        return make(Uneven() if extra else None, **changes)
    finally:
        del os.environ[FSDP]


def same_files(a: dict[str, bytes], b: dict[str, bytes]) -> bool:
    return a.keys() == b.keys() and all(a[name] == b[name] for name in a)


def main(folder: Path) -> None:
    found: dict[str, object] = {}
    for name, optimizer in OPTIMIZERS.items():
        for extra in (False, True):
            kind = f"{name}{' uneven' if extra else ''}"
            plain, split = (run_of(which, extra, optimizer=optimizer, end_step=8) for which in (False, True))
            norms, saved = [], []
            for a, b in zip(steps(plain), steps(split), strict=True):
                norms.append([float(a.grad_norm), float(b.grad_norm)])
                if a.step == 3:
                    saved = [plain.state(), split.state()]
            found[f"{kind}: same weights and average"] = same(bits(plain), bits(split))
            found[f"{kind}: same files"] = same_files(plain.state(), split.state()) and same_files(*saved)
            found[f"{kind}: same norms"] = all(a == b for a, b in norms) and len(norms) == 8
            for which, files in (("split from whole", saved[0]), ("split from split", saved[1])):
                again = run_of(True, extra, optimizer=optimizer, end_step=8)
                again.restore(files, "here")
                for _ in steps(again):
                    pass
                found[f"{kind}: {which}: same files"] = same_files(again.state(), split.state())
            shares = [
                sum(p.numel() for group in run.bare_optimizer.param_groups for p in group["params"])
                for run in (plain, split)
            ]
            kept = sum(
                value.numel()
                for entries in split.bare_optimizer.state.values()
                for value in entries.values()
                if getattr(value, "ndim", 0)
            )
            found[f"{kind}: sizes"] = [*shares, kept]

    network = nn.ModuleDict({"a": nn.Linear(3, 1), "never": nn.Linear(2, 2)})
    run = run_of(True)
    from ambientkit.training.split import SplitOptimizer

    with torch.no_grad():
        for value in network.parameters():
            value.fill_(1.0)
    split = SplitOptimizer(network.parameters(), run.accelerator)
    optimizer = torch.optim.AdamW(split.shares, lr=0.1, weight_decay=0.5)
    split.attach(optimizer)
    network["a"].weight.grad = torch.ones(1, 3)
    optimizer.step()
    found["a weight without gradient is left alone, decay included"] = bool(
        (network["never"].weight == 1).all() and (network["a"].bias == 1).all()
    )
    found["one with a gradient is not"] = bool((network["a"].weight != 1).all())
    rank = run.accelerator.process_index
    run.accelerator.end_training()
    found["threads that outlive the group"] = threads_of_gloo()
    (folder / f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
