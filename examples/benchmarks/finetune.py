"""Does a LoRA learn clean pictures of new classes from noisy rows alone? A small U-Net of diffusers, on a CPU.

    python examples/benchmarks/finetune.py [--quick] [--dir runs/finetune] [--json FILE] [--seeds 3] [--sigma-n 0.4]

A U-Net is trained first on clean clothes (Fashion-MNIST, averaged to 8 x 8, without shoes and bags) and exported for
diffusers. Over that folder, frozen, `diffusers-unet` trains adapters on *noisy* shoes and bags, which the base has
never
seen: as if they were clean (`naive`), by `tweedie`, and by `tweedie-consistency`; one arm has them clean. Samples of
each arm are compared with shoes and bags of the test set: in full, down to the lowest level, and for `tweedie` also
truncated at sigma_n with a last denoising. Figures that are there in --dir are not made again.

    fid[pixels]       Frechet distance of the pixels
    patch distance    sliced W2 of windows of 4 x 4 pixels
    residual noise    root of the mean square under Immerkaer's mask beyond that of clean pictures, data units: noise
    left
    error below       mean squared denoising error at 0.25 and 0.5 sigma_n on test rows, times 1e4
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from stopped import stoppable
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

import ambientkit as ak
from ambientkit.builtin.data.fashion_mnist import FashionMNIST
from ambientkit.builtin.extractors.pixels import Pixels
from ambientkit.checkpoint.folder import write_file
from ambientkit.evaluation import denoiser_error, extract, fid, high_frequency, patch_distance
from ambientkit.interfaces import Denoiser, Levels, Sampler
from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import load
from ambientkit.sample import draw_all, step_grid

NEW = (5, 7, 8, 9)
"""Sandals, sneakers, bags, boots: what the base has not seen."""
SIDE, BATCH, STEPS = 8, 32, 18
"""Pixels along a side, rows of a step, steps of the sampler."""
FULL = {"base_steps": 600, "steps": 400, "rows": 4000, "samples": 256}
QUICK = {"base_steps": 20, "steps": 10, "rows": 200, "samples": 64}
ARMS = {"naive": "naive", "tweedie": "tweedie", "tweedie-consistency": "tweedie-consistency", "clean": "denoising"}
"""Arm -> objective."""
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "conv_shortcut"]
MEASURES = ("fid[pixels]", "patch distance", "residual noise", "error below")


def clothes(split: str, new: bool, most: int | None = None) -> Tensor:
    """Pictures (N, 1, 8, 8) in [-1, 1], of the new classes or of the others."""
    data = FashionMNIST(split=split)
    labels, rows = data.labels(), data.rows()
    chosen = [index for index, label in enumerate(labels.tolist()) if (label in NEW) == new][:most]
    return adaptive_avg_pool2d(torch.stack([rows[index].x_0 for index in chosen]), SIDE)


def base(args: argparse.Namespace) -> Path:
    """The folder of the base, trained on clean clothes and written for diffusers."""
    folder = args.dir / "base"
    if not (folder / "unet").is_dir():
        run = ak.train(
            clothes("train", new=False, most=4 * args.rows),
            clean=True,
            sigma_n=0.0,
            output_dir=args.dir / "base-run",
            objective="denoising",
            model={"name": "unet2d", "channels": [32, 32], "layers_per_block": 1},
            hold_out=0.0,
            skip_preflight=True,
            save_every=args.base_steps,
            **common(args.base_steps, 2e-3, 0),
        )
        run.export("diffusers", folder)
    return folder


def common(steps: int, lr: float, seed: int) -> dict[str, Any]:
    """What all runs share."""
    return {"end_step": steps, "batch_size": BATCH, "lr": lr, "seed": seed, "device": "cpu"}


def tuned(arm: str, seed: int, args: argparse.Namespace) -> Denoiser:
    """The averaged denoiser of an arm: an adapter over the base, trained on noisy rows of the new classes."""
    sigma_n = 0.0 if arm == "clean" else args.sigma_n
    rows = clothes("train", new=True, most=args.rows)
    noise = torch.randn(rows.shape, generator=keyed_generator(seed, "noise of the rows"))
    training = ak.build(
        ak.configure(
            rows + sigma_n * noise,
            sigma_n=sigma_n,
            objective=ARMS[arm],
            model={
                "name": "diffusers-unet",
                "path": str(base(args)),
                "rank": args.rank,
                "alpha": args.rank,
                "targets": TARGETS,
            },
            **common(args.steps, args.lr, seed),
        )
    )
    for _ in ak.steps(training):
        pass
    return training.teacher


def sampled(denoiser: Denoiser, args: argparse.Namespace, seed: int, stop: float | None = None) -> Tensor:
    """Samples from pure noise; stop: the level at which one last denoising ends it."""
    sigmas = step_grid(STEPS, Levels())
    if stop is not None:
        sigmas = torch.cat([sigmas[sigmas > stop], sigmas.new_tensor([stop, 0.0])])
    sampler = load().build(Sampler, "heun")
    return draw_all(denoiser, sampler, (1, SIDE, SIDE), args.samples, sigmas=sigmas, seed=seed, batch_size=250)


def judged(samples: Tensor, clean: Tensor) -> dict[str, float]:
    """Distances of samples from clean rows."""
    features = [extract(Pixels(), rows) for rows in (clean, samples)]
    return {
        "fid[pixels]": float(fid(*features)),
        "patch distance": float(patch_distance(clean, samples, keyed_generator(0, "patches"))),
        "residual noise": max(0.0, float(high_frequency(samples)) ** 2 - float(high_frequency(clean)) ** 2) ** 0.5,
    }


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each arm, seed and measure."""
    clean = clothes("test", new=True)
    half, other = clean[::2], clean[1::2]
    found: dict[tuple[str, int], dict[str, float]] = {("clean test rows", 0): judged(other[: args.samples], half)}
    below = [0.25 * args.sigma_n, 0.5 * args.sigma_n]
    for arm, seed in [(arm, seed) for seed in range(args.seeds) for arm in ARMS if arm != "clean" or seed == 0]:
        kept = args.dir / f"{arm}-{args.sigma_n:g}-{seed}.json"
        if not kept.is_file():
            denoiser = tuned(arm, seed, args)
            errors = denoiser_error(denoiser, half[:500], below, keyed_generator(0, "noise"))
            figures = {arm: judged(sampled(denoiser, args, seed), half)}
            figures[arm]["error below"] = 1e4 * statistics.fmean(error.rms**2 for error in errors)
            if arm == "tweedie":
                figures["tweedie, truncated"] = judged(sampled(denoiser, args, seed, args.sigma_n), half)
            write_file(kept, json.dumps(figures).encode())
        found |= {(name, seed): figures for name, figures in json.loads(kept.read_text()).items()}
        print(f"seed {seed}, {arm}: {kept.read_text()}", flush=True)
    untuned = ak.load(args.dir / "base-run").trained.denoiser
    found["the base itself", 0] = judged(sampled(untuned, args, 0), half)
    return [
        {"arm": arm, "seed": seed, "measure": name, "value": value, "sigma_n": args.sigma_n, "steps": args.steps}
        for (arm, seed), figures in found.items()
        for name, value in figures.items()
    ]


def show(rows: list[dict[str, Any]]) -> None:
    """The mean over the seeds, and the range of them."""
    table = Table(title=f"sigma_n {rows[0]['sigma_n']:g}, {rows[0]['steps']} steps")
    for heading in ("arm", *MEASURES):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for arm in dict.fromkeys(row["arm"] for row in rows):
        cells = []
        for name in MEASURES:
            values = [row["value"] for row in rows if (row["arm"], row["measure"]) == (arm, name)]
            spread = f" ({min(values):.3g} to {max(values):.3g})" if len(values) > 1 else ""
            cells.append(f"{statistics.fmean(values):.3g}{spread}" if values else "")
        table.add_row(arm, *cells)
    Console(width=None if Console().is_terminal else 150).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("runs/finetune"), help="where runs are kept")
    parser.add_argument("--json", type=Path, help="write the figures there, as a list of rows")
    parser.add_argument("--quick", action="store_true", help=f"to see that it works: {QUICK} where not given")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of rows, noise, adapters and samples")
    parser.add_argument("--sigma-n", type=float, default=0.4, help="noise of the rows, data units")
    parser.add_argument("--rank", type=int, default=16, help="rank of the adapters")
    parser.add_argument("--lr", type=float, default=2e-3, help="learning rate of the adapters")
    for name in FULL:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"{FULL[name]} where not given")
    args = parser.parse_args()
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    rows = measure(args)
    show(rows)
    if args.json:
        write_file(args.json, json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    stoppable(main, goes_on=True)
