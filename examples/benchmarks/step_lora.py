"""What a training step of a LoRA costs, as a ratio to diffusers' own step on the same network and batch.

    python examples/benchmarks/step_lora.py [--batch-size 8] [--side 16] [--rounds 6] [--json FILE]

diffusers' step is that of its script for SDXL (train_text_to_image_lora_sdxl.py, epsilon, no SNR weighting): latents,
noise, a time for each row, `add_noise`, the U-Net, the mean squared error, backward, clipping, AdamW, its schedule. It
keeps no average and holds no row out. Beside it stand `tweedie` and `tweedie-consistency`, as `ambientkit train` steps,
on a tiny SDXL with random weights under the same adapter. Seconds are those of the processor (all threads), which other
programs on the machine do not lengthen; arms are taken in turn, a round is as many steps as the recipe takes to come
round, and ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from ambientkit_diffusers.conditions import POOLED, PROMPT, TIME_IDS, time_ids
from ambientkit_diffusers.library import diffusers
from ambientkit_diffusers.models import SDXLLoRA
from ambientkit_diffusers.tiny import write_tiny_sdxl
from stopped import stoppable
from torch.utils.data import Dataset

import ambientkit as ak
from ambientkit.batch import Batch
from ambientkit.checkpoint.folder import write_file
from ambientkit.interfaces import Signal
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator

LEVELS = {"sigma_min": 0.0292, "sigma_max": 14.6}
CONDS = {PROMPT: (77, 64), POOLED: (32,), TIME_IDS: (6,)}
ROUND, WARM_UP, END_STEP = 4, 1, 100_000
AT_MOST = {"tweedie": 1.05, "tweedie-consistency": 1.5}


class Latents(Dataset):
    """Noisy latents, as a data set of latents gives them."""

    def __init__(self, side: int) -> None:
        g = keyed_generator(0, "latents")
        self.rows = torch.randn(256, 4, side, side, generator=g)
        self.cond = {name: torch.randn(256, *shape, generator=g) for name, shape in CONDS.items()}
        self.cond[TIME_IDS] = time_ids((64, 64), (0, 0), (64, 64)).repeat(256, 1)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        cond = {name: value[index] for name, value in self.cond.items()}
        return Batch(self.rows[index], torch.tensor(0.5), torch.tensor(index), cond)


def model(path: Path) -> SDXLLoRA:
    return SDXLLoRA(path=path, rank=4, base_dtype="float32")


def ours(objective: str, path: Path, args: argparse.Namespace) -> Callable[[], object]:
    """One step of `ambientkit train`, in the part of the run where every term is on."""
    config = ak.configure(
        Latents(args.side),
        objective=objective,
        model=model(path),
        levels=LEVELS,
        batch_size=args.batch_size,
        end_step=END_STEP,
        sigma_data=1.0,
        device="cpu",
    )
    training = ak.build(config)
    training.step = END_STEP // 2
    found = iter(ak.steps(training))
    return lambda: next(found)


def plain(path: Path, args: argparse.Namespace) -> Callable[[], object]:
    """diffusers' own step."""
    rows = Latents(args.side)
    signal = Signal((4, args.side, args.side), 1.0, CONDS)
    with isolated_global_generator(0, "init"):
        network = model(path).network(signal).train()
    trained = [value for value in network.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    noising = diffusers().DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    g = keyed_generator(0, "plain")

    def step() -> None:
        index = torch.randint(len(rows), (args.batch_size,), generator=g)
        x, cond = rows.rows[index], {name: value[index] for name, value in rows.cond.items()}
        noise = torch.randn(x.shape, generator=g)
        times = torch.randint(1000, (len(x),), generator=g)
        answer = network(
            noising.add_noise(x, noise, times),
            times,
            encoder_hidden_states=cond[PROMPT],
            added_cond_kwargs={"text_embeds": cond[POOLED], "time_ids": cond[TIME_IDS]},
            return_dict=False,
        )[0]
        torch.nn.functional.mse_loss(answer.float(), noise).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()

    return step


def measure(args: argparse.Namespace) -> dict[str, list[float]]:
    """Processor seconds of a step of each arm, in each round; every other round goes through the arms backwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_tiny_sdxl(Path(folder) / "tiny-sdxl")
        arms = {"diffusers": plain(path, args), **{name: ours(name, path, args) for name in AT_MOST}}
        seconds: dict[str, list[float]] = {name: [] for name in arms}
        for round_ in range(args.rounds + WARM_UP):
            for name in list(arms)[:: 1 if round_ % 2 else -1]:
                began = time.process_time()
                for _ in range(ROUND):
                    arms[name]()
                if round_ >= WARM_UP:
                    seconds[name].append((time.process_time() - began) / ROUND)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=8, help="rows of a step")
    parser.add_argument("--side", type=int, default=16, help="cells along a side of the latents")
    parser.add_argument("--rounds", type=int, default=6, help="counted rounds, at least 2")
    parser.add_argument("--json", type=Path, help="write the figures there, as a list of rows")
    args = parser.parse_args()
    seconds, rows = measure(args), []
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(times, seconds["diffusers"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        limit = f", at most {AT_MOST[name]:g}" if name in AT_MOST else ""
        print(f"{name}: {1000 * statistics.median(times):.1f} ms, ratio {middle:.3f} ({low:.3f} to {high:.3f}){limit}")
        rows.append({"arm": name, "measure": "ratio to diffusers", "value": middle, "seed": 0})
    if args.json:
        write_file(args.json, json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    stoppable(main)
