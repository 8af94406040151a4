"""The method where the answer is known: eight modes in the plane, radius 1.5, std .1, seen through noise sigma_n = .2.

    python examples/mixture_table.py [--steps 4000] [--seeds 0,1,2] [--arms clean,naive,...] [--json FILE]

Trains each arm with the same network, budget and seed, and prints for each
- the sliced 2-Wasserstein distance of 20,000 samples to the true law, with the distance of a perfect sample beside it,
- the std of the samples within a mode (true: .100),
- the root mean square error of the denoiser against the exact one, by level.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from ambientkit.builtin.heun import Heun
from ambientkit.builtin.mixture import Mixture
from ambientkit.config import Source, merge, resolve
from ambientkit.data import Observations, survey
from ambientkit.interfaces import Denoiser, Levels
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.statistics import sliced_wasserstein
from ambientkit.registry import load
from ambientkit.sample import step_grid
from ambientkit.train import build, steps
from ambientkit.train.run import accelerator_for

ARMS = {
    "clean": {"objective": "denoising", "corruption": {"sigma_n": 0.0}},
    "naive": {"objective": "naive"},
    "tweedie": {"objective": "tweedie"},
    "tweedie-consistency": {"objective": "tweedie-consistency"},
}
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.4)
SAMPLES = 20_000


def base(args: argparse.Namespace, seed: int) -> dict:
    """What all arms share."""
    return {
        "data": {"name": "mixture", "n": 20_000},
        "corruption": {"name": "gaussian", "sigma_n": args.sigma_n},
        "model": {"name": "mlp", "width": 128, "depth": 3},
        "batch_size": 256,
        "end_step": args.steps,
        "optimizer": {"lr": 1e-3},
        "seed": seed,
        "device": "cpu",
    }


def train(settings: list[Source], title: str) -> Denoiser:
    """The EMA denoiser of one arm."""
    config = resolve(merge(settings), load())
    observations = Observations(config.data.rows(), config.corruption, config.seed)
    seen = survey(observations, config.corruption, config.levels.as_levels(), config.sigma_data)
    run = build(config, seen.signal, observations, accelerator_for(config))
    for _ in tqdm(steps(run), total=config.end_step, desc=title, leave=False, disable=None):
        pass
    return run.teacher


def balanced_sample(law: GaussianMixture, seed: int) -> torch.Tensor:
    """A sample with equally many points in each mode: a reference without the noise of the counts."""
    means = law.means.repeat_interleave(SAMPLES // len(law.means), 0)
    return means + law.covariances[0, 0, 0].sqrt() * standard_normal(means, keyed_generator(seed, "reference"))


def std_in_mode(points: torch.Tensor, law: GaussianMixture) -> float:
    """Std within the modes."""
    nearest = torch.cdist(points, law.means).min(1).indices
    return float((points - law.means[nearest]).square().mean().sqrt())


def spread(values: list[float]) -> str:
    """Mean and range."""
    if not values:
        return ""
    return f"{statistics.mean(values):.3f}" + (f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else "")


@torch.no_grad()
def measure(denoiser: Denoiser, law: GaussianMixture) -> dict:
    """All figures of one denoiser; every arm gets the same points, noise and directions."""
    sigmas = step_grid(64, Levels()).float()
    x = standard_normal(torch.empty(SAMPLES, 2), keyed_generator(0, "start")) * float(sigmas[0])
    samples = Heun().sample(denoiser, x, sigmas.unsqueeze(1).expand(-1, SAMPLES), [], {}).double()
    clean, exact, errors = law.sample(4000, keyed_generator(0, "held-out")).float(), law.denoiser(), {}
    for level in LEVELS:
        x = clean + level * standard_normal(clean, keyed_generator(0, "noise"))
        sigma = torch.full((len(x),), level)
        errors[level] = float((denoiser(x, sigma) - exact(x, sigma)).square().mean().sqrt())
    distance = sliced_wasserstein(samples, balanced_sample(law, 0), keyed_generator(0, "directions"))
    return {"sliced_w2": distance, "std_in_mode": std_in_mode(samples, law), "rms": errors}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", default="0", help="seeds, separated by commas: noise, weights and batches of all arms")
    parser.add_argument("--sigma-n", type=float, default=0.2)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)  # networks this small are slower on two

    law = Mixture().law()
    figures: dict[str, list[dict]] = {"perfect denoiser": [measure(law.denoiser(), law)]}
    for seed in map(int, args.seeds.split(",")):
        for arm in args.arms.split(","):
            denoiser = train([Source(base(args, seed)), Source(ARMS[arm])], f"{arm}, seed {seed}")
            figures.setdefault(arm, []).append(measure(denoiser, law))
            if args.json:
                args.json.write_text(json.dumps(figures, indent=1))
    table = Table(title=f"sigma_n {args.sigma_n:g}, {args.steps} steps, seeds {args.seeds}: mean, and range in brackets")
    for heading in ("arm", "sliced W2", "over clean", "std in mode", *(f"rms at {level:g}" for level in LEVELS)):
        table.add_column(heading, justify="left" if heading == "arm" else "right", no_wrap=True)
    for arm, found in figures.items():
        distances, ratios = [one["sliced_w2"] for one in found], []
        if arm in ARMS and "clean" in figures:
            ratios = [one["sliced_w2"] / clean["sliced_w2"] for one, clean in zip(found, figures["clean"], strict=True)]
        errors = [f"{statistics.mean(one['rms'][level] for one in found):.4f}" for level in LEVELS]
        table.add_row(arm, spread(distances), spread(ratios), f"{statistics.mean(one['std_in_mode'] for one in found):.3f}", *errors)
    (Console() if sys.stdout.isatty() else Console(width=150)).print(table)


if __name__ == "__main__":
    main()
