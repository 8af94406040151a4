"""What a training step costs in time and memory, as a ratio to the plain k-diffusion step of the same network and
batch.

    python examples/benchmarks/step.py [--quick] [--json FILE] [--recipe tweedie-consistency] [--device auto]
        [--model image_transformer_v1] [--batch-size 64] [--size 28] [--rounds 20]

The plain step is k-diffusion's own: `Denoiser.loss` on clean pictures, AdamW, `ema_update`, and a loader over a tensor.
Beside it stand `tweedie`, a recipe as shipped, and the published form of consistency (`PublishedForm`). With `--device
auto` all of it is done on the CPU, and again on the GPU where there is one.

Time: the arms are taken in turn, round by round, so that a drift of the machine's speed hits all of them. A round is as
many steps as the recipe takes to come round (the least common multiple of its `every`). The median over the rounds is
printed; of the ratios, taken within a round, with quartiles.

Memory: every arm is built afresh, and after one round the peak over another is taken of everything its tensors hold:
weights, average, optimiser, gradients, batch and activations. On the CPU it is the sum of the allocations and releases
that `torch.profiler` saw since before the arm was built, so it neither depends on the C library nor counts the scratch
space of kernels; on a GPU it is `torch.cuda.max_memory_allocated`, over what was allocated before the arm was built.
The second does not count what the caching allocator reserves beyond that.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from stopped import stoppable
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.data import DataLoader, Dataset, TensorDataset

from ambientkit.batch import Batch, Clean, Term
from ambientkit.checkpoint.folder import write_file
from ambientkit.config import RunConfig, ScheduledObjective, Source, resolve
from ambientkit.config.inline import split_fields
from ambientkit.data import Observations, survey
from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.ambient import inverse_square_of_a
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, uniform
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.maths.reverse import reverse_step
from ambientkit.maths.weights import edm_weight
from ambientkit.registry import load
from ambientkit.training import Training, build, steps
from ambientkit.training.accelerator import accelerator_for

SIGMA_N, SEED, END_STEP = 0.2, 0, 1_000_000
PLAIN, PUBLISHED = "k-diffusion", "published form"
WARM_UP = 2
"""Rounds that are not counted."""
FULL = {"batch_size": 64, "size": 28, "rounds": 20}
QUICK = {"batch_size": 16, "size": 28, "rounds": 5}
AT_MOST = {"tweedie": (1.02, 1.15), "recipe": (1.40, 1.15)}
"""What the project asks of time and of memory; for the recipe it aims at a time of 1.25."""

ROUND = "ambientkit.round"
"""What the measured round is called in a profile."""

Step = Callable[[], object]


class PublishedForm(Objective):
    """A re-implementation of the published pattern of computation, for its cost alone: consistency on every row of
    every step.

    As in the code of 2404.10177 with one hop and gradients (`with_grad`): the Tweedie estimate h(x_t) is the anchor,
    with its gradient; the hop asks the network at x_t again; two ends x_s', x_s'' are each asked with gradient; the
    loss is mean((h(x_s') - h(x_t)) (h(x_s'') - h(x_t))). With f for one forward and 2f for one backward that is 3f + f
    + 6f against 3f of a plain step. Published code that also keeps the gradient of the hop takes 2f more, and longer
    chains more still: this is its cheapest form.
    """

    name = "published-form"
    source = "arXiv 2404.10177, section 3.2"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The terms `tweedie` and `consistency`, with a value for every row."""
        sigma_data, x_n, levels = tools.signal.sigma_data, batch.x_n, tools.levels
        floor = tools.corruption.floor(batch)
        sigma = truncated_lognormal(uniform(floor, tools.generator), floor, levels.sigma_max, -1.2, 1.2).to(floor.dtype)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        anchor = denoiser(view.x, sigma, **view.cond)
        residual = tools.corruption.expect(anchor, view, batch) - x_n
        factor = inverse_square_of_a(per_row(sigma, x_n), per_row(batch.sigma_n, x_n), 25.0)
        tweedie = edm_weight(sigma, sigma_data) * (factor * residual**2).flatten(1).mean(1)

        sigma_s = sigma * torch.exp(-0.3 * uniform(sigma, tools.generator))
        with torch.no_grad():
            again = denoiser(view.x, sigma, **view.cond)
            ends = [reverse_step(view.x, again, sigma, sigma_s, tools.generator) for _ in range(2)]
        first, second = (denoiser(end, sigma_s, **view.cond) - anchor for end in ends)
        consistency = 0.1 * edm_weight(sigma_s, sigma_data) * (first * second).flatten(1).mean(1)
        return {"tweedie": Term(tweedie, sigma), "consistency": Term(consistency, sigma_s)}


class Pictures(Dataset):
    """The rows of a tensor as clean rows."""

    def __init__(self, pictures: torch.Tensor) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Clean:
        return Clean(self.pictures[index], {})


def configuration(objective: str, args: argparse.Namespace) -> RunConfig:
    """A run of an arm."""
    name, fields = split_fields(args.model)
    tree = {
        "model": {"name": name, **fields},
        "batch_size": args.batch_size,
        "device": args.device,
        "seed": SEED,
        "end_step": END_STEP,
    }
    corruption = {"sigma_n": 0.0 if objective == PLAIN else SIGMA_N}
    named = {"objective": args.recipe if objective == args.recipe else "tweedie", "corruption": corruption}
    config = resolve(Source({**tree, **named}), load())
    if objective == PUBLISHED:
        config = config.model_copy(update={"objective": (ScheduledObjective(objective=PublishedForm()),)})
    return config


def period_of(recipe: str, args: argparse.Namespace) -> int:
    """The steps after which a recipe comes round."""
    return math.lcm(*(entry.every for entry in configuration(recipe, args).objective))


def ours(objective: str, args: argparse.Namespace, pictures: torch.Tensor, runs: list[Training]) -> Step:
    """One step of `ambientkit train`, loading included, in the part of the run where every term is on."""
    config = configuration(objective, args)
    observations = Observations(Pictures(pictures), config.corruption, SEED)
    run = build(
        config,
        survey(observations, config.corruption, config.levels.as_levels(), 0.5).signal,
        observations,
        accelerator_for(config),
    )
    run.step = 3 * END_STEP // 4 // args.period * args.period
    for entry in config.objective:
        if not any(entry.weight_at(run.step + i, END_STEP) == entry.weight for i in range(args.period)):
            raise SystemExit(
                f"step.py: {entry.objective.name} of {objective} is not at its full weight three quarters through "
                "the run"
            )
    runs.append(run)
    iterator = steps(run)
    return lambda: float(next(iterator).loss)


def plain(args: argparse.Namespace, pictures: torch.Tensor) -> Step:
    """One step of k-diffusion's training loop, with torch's schedule (its own fails with this torch)."""
    from ambientkit_kdiffusion.library import k_diffusion

    K = k_diffusion()
    config, device = configuration(PLAIN, args), torch.device(args.device)
    observations = Observations(Pictures(pictures), config.corruption, SEED)
    signal = survey(observations, config.corruption, config.levels.as_levels(), 0.5).signal
    with isolated_global_generator(SEED, "init"):
        network = config.model.network(signal).to(device)
        average = config.model.network(signal).to(device)
    denoiser = K.layers.Denoiser(network, sigma_data=0.5)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    loader = DataLoader(
        TensorDataset(pictures),
        batch_size=args.batch_size,
        shuffle=True,
        drop_last=True,
        pin_memory=device.type == "cuda",
        generator=keyed_generator(SEED, "plain"),
    )
    batches, generator = iter(loader), keyed_generator(SEED, "noise", device=device)

    def step() -> float:
        nonlocal batches
        try:
            (x,) = next(batches)
        except StopIteration:
            batches = iter(loader)
            (x,) = next(batches)
        x = x.to(device, non_blocking=True)
        sigma = torch.exp(-1.2 + 1.2 * torch.randn(len(x), generator=generator, device=device))
        loss = denoiser.loss(x, torch.randn(x.shape, generator=generator, device=device), sigma).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        K.utils.ema_update(network, average, 0.999)
        return float(loss.detach())

    return step


def time_arms(arms: dict[str, Step], args: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of a step of each arm, in each round; every other round goes through the arms backwards."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for round_ in range(args.rounds + WARM_UP):
        for name in list(arms)[:: 1 if round_ % 2 else -1]:
            synchronize(args)
            began = time.perf_counter()
            for _ in range(args.period):
                arms[name]()
            synchronize(args)
            if round_ >= WARM_UP:
                seconds[name].append((time.perf_counter() - began) / args.period)
    return seconds


def synchronize(args: argparse.Namespace) -> None:
    """Wait for the GPU, where it is one."""
    if args.device != "cpu":
        torch.cuda.synchronize(args.device)


def peak_bytes(make: Callable[[], Step], args: argparse.Namespace) -> int:
    """The most that the tensors of an arm hold at a time, over a round that follows another; see the top of this
    file."""
    gc.collect()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler writes to stderr that it starts and stops
    if args.device != "cpu":
        before = torch.cuda.memory_allocated(args.device)
        two_rounds(make(), args)
        return torch.cuda.max_memory_allocated(args.device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        two_rounds(make(), args)
    assert seen.profiler is not None
    events = seen.profiler.kineto_results.events()
    (began,) = (event.start_ns() for event in events if event.name() == ROUND)
    held, peak = 0, 0
    for event in sorted((event for event in events if event.name() == "[memory]"), key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held) if event.start_ns() >= began else held
    return peak


def two_rounds(step: Step, args: argparse.Namespace) -> None:
    """A round to warm up, and one to measure."""
    for _ in range(args.period):
        step()
    gc.collect()
    if args.device != "cpu":
        torch.cuda.reset_peak_memory_stats(args.device)
    with record_function(ROUND):
        for _ in range(args.period):
            step()


def measure(args: argparse.Namespace) -> list[dict]:
    """Measure on one device, print a table, and return the rows of the JSON file."""
    accelerator_for(configuration(PLAIN, args))  # refuses a device that is not there
    args.period = period_of(args.recipe, args)
    pictures = torch.rand(2048, 1, args.size, args.size, generator=keyed_generator(SEED, "pictures")) * 2 - 1
    names, runs = ("tweedie", args.recipe, PUBLISHED), []
    makers: dict[str, Callable[[], Step]] = {PLAIN: lambda: plain(args, pictures)}
    makers |= {name: lambda name=name: ours(name, args, pictures, runs) for name in names}

    seconds = time_arms({name: make() for name, make in makers.items()}, args)
    if skipped := sum(run.skipped for run in runs):
        raise SystemExit(f"step.py: {skipped} steps were not finite and so left out, which makes the times too short")
    runs.clear()
    peaks = {name: peak_bytes(make, args) for name, make in makers.items()}
    runs.clear()

    where = args.device if args.device == "cpu" else torch.cuda.get_device_name(args.device)
    data = f"random pictures 1x{args.size}x{args.size}, {args.model}, batch {args.batch_size}, {where}"
    threads = f", {torch.get_num_threads()} thread(s)" if args.device == "cpu" else ""
    table = Table(title=f"{data}{threads}, {args.rounds} rounds of {args.period} step(s)")
    for heading in ("arm", "ms a step", f"ratio to {PLAIN}", "quartiles", "at most", "peak MB", "ratio", "at most"):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    rows = []
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(times, seconds[PLAIN], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        memory = peaks[name] / peaks[PLAIN]
        limits = AT_MOST.get("recipe" if name == args.recipe else name, ())
        limit, memory_limit = (f"{value:.2f}" for value in limits) if limits else ("", "")
        table.add_row(
            *(name, f"{1000 * statistics.median(times):.1f}", f"{middle:.3f}", f"{low:.3f} to {high:.3f}", limit),
            *(f"{peaks[name] / 1e6:.1f}", f"{memory:.3f}", memory_limit),
        )
        found = {
            "step seconds": statistics.median(times),
            f"ratio to {PLAIN}": middle,
            "peak bytes": peaks[name],
            "peak memory ratio": memory,
        }
        common = {"data": data, "sigma_n": 0.0 if name == PLAIN else SIGMA_N, "arm": name, "seed": SEED}
        rows += [{**common, "measure": what, "value": value} for what, value in found.items()]
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    return rows


def on_both(args: argparse.Namespace) -> list[dict]:
    """The same on the CPU and on the GPU, each in a process of its own: accelerate serves one kind of device in a
    process."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for device in ("cpu", "cuda"):
            file = Path(folder) / f"{device}.json"
            flags = [
                f"--{name.replace('_', '-')}={getattr(args, name)}"
                for name in ("model", "recipe", "batch_size", "size", "rounds")
            ]
            done = subprocess.run([sys.executable, __file__, *flags, "--device", device, "--json", str(file)])
            if done.returncode:
                raise SystemExit(done.returncode)
            rows += json.loads(file.read_text())
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default="image_transformer_v1", help="a network of k-diffusion, NAME or 'NAME{field: value}'"
    )
    parser.add_argument("--recipe", default="tweedie-consistency", help="the shipped recipe to measure")
    parser.add_argument(
        "--device", default="auto", help="auto (the CPU, and a GPU where there is one), cpu, cuda, or cuda:1"
    )
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--size", type=int, help="height and width of the pictures")
    parser.add_argument("--rounds", type=int, help="counted rounds, at least 2")
    parser.add_argument(
        "--quick", action="store_true", help=f"within two minutes on two cores: {QUICK} where not given"
    )
    parser.add_argument("--json", type=Path, help="write the figures there, as a list of rows")
    args = parser.parse_args()
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.rounds < 2:
        parser.error(f"--rounds must be at least 2, but is {args.rounds}")
    if args.json and not args.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no folder {args.json.parent}")
    if args.device == "auto" and torch.cuda.is_available():
        rows = on_both(args)
    else:
        args.device = "cpu" if args.device == "auto" else args.device
        try:
            rows = measure(args)
        except InputError as error:
            parser.error(str(error))
    if args.json:
        write_file(args.json, json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    stoppable(main)
