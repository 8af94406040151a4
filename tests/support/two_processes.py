"""What test_engine_processes.py looks at, run by torchrun in two processes: each writes what it has seen to
DIR/RANK.safetensors."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import nn

from ambientkit.checkpoint.weights import to_bytes
from ambientkit.training import steps
from ambientkit.training.gradients import average_gradients
from ambientkit.training.loop import _accumulate
from tests.support.engine import ByRow, bits, make

PARTS = ([slice(0, 1), slice(1, 2)], [slice(2, 3), slice(3, 4)])


def gradient(run, parts):
    """Gradients of the rows 0 to 3 in float64, of which this process takes `parts`, by name; unused and half-used
    parameters too."""
    batch = run.observations.__getitems__([0, 1, 2, 3])
    batch = batch._replace(x_n=batch.x_n.double())
    micro = [type(batch)(batch.x_n[i], batch.sigma_n[i], batch.row[i], {}) for i in parts]
    loss, _, _ = _accumulate(run, micro)
    average_gradients(run.accelerator, run.network.parameters())
    return loss, {name: p.grad for name, p in run.bare_network.named_parameters() if p.grad is not None}


class Parted(nn.Module):
    """Adds a parameter that one process uses, and one that none uses."""

    def __init__(self, network, used):
        super().__init__()
        self.network, self.some, self.none = network, nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
        self.used = used

    def forward(self, y, c_noise):
        return self.network(y, c_noise) * (self.some if self.used else 1)


def main(folder: Path) -> None:
    run = make(ByRow(), batch_size=4)
    rank = run.accelerator.process_index
    run.network.double()
    loss, grads = gradient(run, PARTS[rank])
    tensors = {"loss": loss, **{f"grad.{name}": value for name, value in grads.items()}}

    parted = make(ByRow(), batch_size=4)
    parted.network = Parted(parted.network, used=rank == 0)
    parted.denoiser = parted.config.model.denoiser(parted.network, parted.signal)
    parted.average = type(parted.average)(parted.network, 2 / 3, 1.0, 0.99)
    parted.optimizer = torch.optim.AdamW(parted.network.parameters(), lr=1e-3)
    for step in steps(parted):
        if step.step == 3:
            break
    tensors |= {"parted.some": parted.network.some.detach(), "parted.none": parted.network.none.detach()}

    noisy = make(grad_accum_steps=2, end_step=8, optimizer={"schedule": "cosine", "warmup_steps": 2})
    tensors |= {f"begin.{name}": value for name, value in bits(noisy).items()}
    rates = []
    for step in steps(noisy):
        rates.append(step.lr)
        if step.step == 1:
            tensors["levels"] = step.values["tweedie"].sigma
        if step.step == 3:
            saved = noisy.state()
    tensors |= {f"end.{name}": value for name, value in bits(noisy).items()}
    again = make(grad_accum_steps=2, end_step=8, optimizer={"schedule": "cosine", "warmup_steps": 2})
    again.restore(saved, "here")
    for _ in steps(again):
        pass
    tensors |= {f"again.{name}": value for name, value in bits(again).items()}

    buffer = {"name": "posterior-buffer", "fraction": 0.5, "refresh": 0.125, "keep": 5, "steps": 3}
    changes = {"objective": [{"objective": "tweedie"}, {"objective": buffer, "start": 1}], "end_step": 9}
    kept = make(**changes)
    for step in steps(kept):
        if step.step == 4:
            half = kept.state()
    resumed = make(**changes)
    resumed.restore(half, "here")
    for _ in steps(resumed):
        pass
    for name, ended in (("kept", kept), ("resumed", resumed)):
        memory = ended.memories["objective.1.posterior-buffer"]
        tensors |= {f"{name}.{key}": value for key, value in bits(ended).items()}
        tensors |= {f"{name}.memory.{key}": value for key, value in memory.items()}
    metadata = {"rates": rates, "processes": json.loads(saved["state.json"])["counters"]["processes"]}
    (folder / f"{rank}.safetensors").write_bytes(to_bytes(tensors, metadata))
    noisy.accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
