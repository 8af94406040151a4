"""What a training step costs, as a ratio to the plain k-diffusion step of the same network and batch.

    python examples/benchmarks/step_cost.py [--model image_transformer_v1] [--batch-size 64] [--size 28] [--rounds 20]

The plain step is k-diffusion's own: `Denoiser.loss` on clean pictures, AdamW, `ema_update`, and a loader over a tensor. The arms are taken in turn,
round by round, so that a drift of the machine's speed hits all of them; the median of the ratios within a round is printed, with quartiles.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset, TensorDataset

from ambientkit.batch import Clean
from ambientkit.config import Source, resolve
from ambientkit.data import Observations, survey
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.registry import load
from ambientkit.train import build, steps
from ambientkit.train.run import accelerator_for

PERIOD = 4
"""Steps in a round: consistency runs in every fourth step."""
ARMS = ("denoising", "tweedie", "tweedie-consistency")


class Pictures(Dataset):
    """The rows of a tensor as clean rows."""

    def __init__(self, pictures: torch.Tensor) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Clean:
        return Clean(self.pictures[index], {})


def ours(objective: str, args: argparse.Namespace, pictures: torch.Tensor) -> Callable[[], object]:
    """One step of `ambientkit train`, loading included, in the part of the run where every term is on."""
    sigma_n = 0.0 if objective == "denoising" else 0.2
    tree = {"model": args.model, "objective": objective, "batch_size": args.batch_size, "device": "cpu", "corruption": {"sigma_n": sigma_n}}
    config = resolve(Source(tree), load())
    observations = Observations(Pictures(pictures), config.corruption, 0)
    run = build(
        config, survey(observations, config.corruption, config.levels.as_levels(), 0.5).signal, observations, accelerator_for(config)
    )
    run.step = config.end_step // 2
    iterator = steps(run)
    return lambda: float(next(iterator).loss)


def plain(args: argparse.Namespace, pictures: torch.Tensor) -> Callable[[], object]:
    """One step of k-diffusion's training loop, with torch's schedule (its own fails with this torch)."""
    from ambientkit_kdiffusion.library import k_diffusion

    K = k_diffusion()
    config = resolve(Source({"model": args.model, "device": "cpu"}), load())
    observations = Observations(Pictures(pictures), config.corruption, 0)
    signal = survey(observations, config.corruption, config.levels.as_levels(), 0.5).signal
    with isolated_global_generator(0, "init"):
        network = config.model.network(signal)
        average = config.model.network(signal)
    denoiser = K.layers.Denoiser(network, sigma_data=0.5)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    loader = DataLoader(
        TensorDataset(pictures), batch_size=args.batch_size, shuffle=True, drop_last=True, generator=keyed_generator(0, "plain")
    )
    batches, generator = iter(loader), keyed_generator(0, "noise")

    def step() -> float:
        nonlocal batches
        try:
            (x,) = next(batches)
        except StopIteration:
            batches = iter(loader)
            (x,) = next(batches)
        sigma = torch.exp(-1.2 + 1.2 * torch.randn(len(x), generator=generator))
        loss = denoiser.loss(x, torch.randn(x.shape, generator=generator), sigma).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        K.utils.ema_update(network, average, 0.999)
        return float(loss.detach())

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="image_transformer_v1")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    pictures = torch.rand(2048, 1, args.size, args.size, generator=keyed_generator(0, "pictures")) * 2 - 1
    arms = {"k-diffusion": plain(args, pictures), **{name: ours(name, args, pictures) for name in ARMS}}
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for round_ in range(args.rounds + 2):
        for name, step in arms.items():
            began = time.perf_counter()
            for _ in range(PERIOD):
                step()
            if round_ >= 2:  # the first two warm up
                seconds[name].append((time.perf_counter() - began) / PERIOD)
    table = Table(
        title=f"{args.model}, 1 x {args.size} x {args.size}, batch {args.batch_size}, {torch.get_num_threads()} thread(s), {args.rounds} rounds"
    )
    for heading in ("arm", "ms a step", "ratio to k-diffusion", "quartiles"):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(times, seconds["k-diffusion"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        table.add_row(name, f"{1000 * statistics.median(times):.1f}", f"{middle:.3f}", f"{low:.3f} to {high:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
