"""Learning from rows with missing pixels, lines or boxes: how far training closes the gap between filling with zeros
and clean rows.

Each arm trains the same network for the same number of steps, and restores the same held-out rows of which the same
pixels are missing, in one call of the denoiser. Arms:

    clean          whole rows; a step shows of them what `ambient` sees of its own
    zero-fill      missing pixels are 0, and the rows are taken for clean ones
    interpolated   missing pixels are filled harmonically between those that are there, and the rows taken for clean
    ones
    published      a further mask that is drawn once for each row, every measured value weighted alike
    ambient        `tweedie` on the corruption `mask`: a fresh further mask, hidden values weighted by their chance

    python examples/benchmarks/masks.py --out runs/masks --missing 0.4 --seeds 0 1 2
    python examples/benchmarks/masks.py --out runs/masks --kind boxes --noise 0.1
    python examples/benchmarks/masks.py --out runs/u-net --data photo-patches --network u-net --steps 2000
    python examples/benchmarks/masks.py --out runs/half --arms ambient --hidden-power 0.5
    python examples/benchmarks/masks.py --out runs/masks --table
    python examples/benchmarks/masks.py --out runs/masks --picture docs/img/masks.png

A run that is there is not trained again; runs of another network or power need a folder of their own. The picture shows
the first held-out rows, whichever they are. The network is k-diffusion's transformer, or its U-Net: `mlp`, which sees
pictures as plain rows, learns to fill gaps slowly.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from stopped import stoppable
from torch import Tensor
from torch.utils.data import Dataset

import ambientkit as ak
from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.interfaces import Corruption, Data
from ambientkit.maths.ambient import capped_inverse_square
from ambientkit.maths.masks import Kind, draw_mask
from ambientkit.maths.noise import RandomSource, per_row
from ambientkit.maths.randomness import keyed_generator
from ambientkit.maths.statistics import sliced_wasserstein
from ambientkit.registry import load
from ambientkit.sample import draw_all, step_grid
from ambientkit.training import steps

ARMS = ("clean", "zero-fill", "interpolated", "published", "ambient")
LOWEST = 0.02
"""Level at which noise-free rows are restored."""
SIZES = {"fashion-mnist": 8000, "photo-patches": 8000}
HELD_OUT = 512
SHOWN = 8
"""Held-out rows that are kept for the picture: the first ones."""
SETTINGS = {
    "model": {"name": "image_transformer_v1", "width": 64, "depth": 2, "patch_size": 4},
    "optimizer": {"lr": 1e-3, "schedule": "cosine"},
    "batch_size": 32,
}
U_NET = {
    "model": {"name": "image_v1", "preset": "tiny", "patch_size": 2},
    "optimizer": {"lr": 2e-3, "schedule": "cosine"},
    "batch_size": 16,
}
NETWORKS = {"transformer": SETTINGS, "u-net": U_NET}


class PublishedForm(Corruption):
    """Masks as in the published form: a further mask that is drawn once for each row, and all measured values alike."""

    name = "published-form"
    source = "arXiv 2305.19256, and what its code does"
    claims = frozenset({"masked", "row-generators"})
    carries = frozenset({"mask"})

    kind: Kind = "pixels"
    missing: float = 0.4
    drop: float = 0.1

    @property
    def _mask(self) -> Mask:
        return Mask(kind=self.kind, missing=self.missing, drop=self.drop)

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """As `mask`."""
        return self._mask.observe(x_0, row, generator)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A~ x_t with a mask that is a function of the row."""
        kept = [keyed_generator(0, "published-form", row=int(row)) for row in batch.row]
        frozen = batch.cond["mask"] & draw_mask(batch.x_n, self.kind, self.drop, kept)
        return self._mask.show(batch._replace(cond={**batch.cond, "mask": frozen}), sigma, generator)

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """As `mask`."""
        return self._mask.expect(x_0_hat, view, batch)

    def floor(self, batch: Batch) -> Tensor:
        """As `mask`."""
        return self._mask.floor(batch)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """min(1/a^2, cap) for every measured value."""
        a = self.slope(view, batch)
        return torch.where(batch.cond["mask"], capped_inverse_square(a, per_row(cap, a)), torch.zeros_like(a))

    def clean_std(self, batch: Batch) -> float:
        """As `mask`."""
        return self._mask.clean_std(batch)

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """As `mask`."""
        return self._mask.show(batch, sigma, generator)


class FreshMask(Mask):
    """Of whole rows a view shows what it would of rows masked like those of the other arms."""

    name = "fresh-mask"

    first: float
    """The share that those miss, before `drop`."""

    @property
    def hidden_power(self) -> float:
        """As of rows that miss as much."""
        return Mask(kind=self.kind, missing=self.first).hidden_power

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A~ x_t under a mask of the data and a further one, both drawn anew."""
        shown = draw_mask(batch.x_n, self.kind, self.first, generator)
        shown = shown & draw_mask(batch.x_n, self.kind, self.drop, generator)
        shown = shown.expand_as(batch.cond["mask"])
        return self.show(batch._replace(cond={**batch.cond, "mask": shown}), sigma, generator)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """min(1/a^2, cap) for values that are shown, `hidden` for the others: all of them are known."""
        a = self.slope(view, batch)
        known = capped_inverse_square(a, per_row(cap, a))
        return torch.where(view.cond["mask"], known, per_row(hidden.to(a.dtype), a))


class Rows(Dataset[Batch]):
    """Observations in memory."""

    def __init__(self, x_n: Tensor, sigma_n: float, mask: Tensor | None) -> None:
        self.x_n, self.sigma_n, self.mask = x_n, torch.tensor(sigma_n), mask

    def __len__(self) -> int:
        return len(self.x_n)

    def __getitem__(self, index: int) -> Batch:
        cond = {} if self.mask is None else {"mask": self.mask[index]}
        return Batch(self.x_n[index], self.sigma_n, torch.tensor(index), cond)


@cache
def pictures(name: str, split: str, n: int) -> Tensor:
    """Clean rows (n, 1, H, W) in [-1, 1]."""
    rows = load().build(Data, {"name": name, "split": split}).rows()
    return torch.stack([rows[i].x_0 for i in range(min(n, len(rows)))])


def measured(x_0: Tensor, kind: Kind, missing: float, noise: float, seed: int) -> tuple[Tensor, Tensor]:
    """The measured values of rows, 0 where they are missing, and the mask."""
    g = keyed_generator(seed, "benchmark.masks")
    mask = drawn(x_0, kind, missing, g)
    return torch.where(mask, x_0 + noise * torch.randn(x_0.shape, generator=g), 0.0), mask


def drawn(x_0: Tensor, kind: Kind, hidden: float, g: torch.Generator) -> Tensor:
    """Masks of the shape of x_0, which the channels of a picture share, as those that a step hides do."""
    return draw_mask(x_0, kind, hidden, g).expand_as(x_0).contiguous()


def interpolated(x: Tensor, mask: Tensor, sweeps: int = 60) -> Tensor:
    """Missing pixels filled harmonically: each is the mean of its four neighbours, by sweeps from the mean of the
    row."""
    shown = mask.float()
    mean = (x * shown).sum((1, 2, 3), keepdim=True) / shown.sum((1, 2, 3), keepdim=True).clamp(min=1)
    filled = torch.where(mask, x, mean)
    for _ in range(sweeps):
        p = torch.nn.functional.pad(filled, (1, 1, 1, 1), mode="replicate")
        around = (p[:, :, 1:-1, 2:] + p[:, :, 1:-1, :-2] + p[:, :, 2:, 1:-1] + p[:, :, :-2, 1:-1]) / 4
        filled = torch.where(mask, x, around)
    return filled


def patches(x: Tensor, n: int = 20_000) -> Tensor:
    """Patches of 5 x 5 pixels at keyed places."""
    cut = x.unfold(2, 5, 1).unfold(3, 5, 1).reshape(-1, 25)
    return cut[torch.randint(len(cut), (n,), generator=keyed_generator(0, "benchmark.patches"))]


def run(
    arm: str, data: str, kind: Kind, missing: float, noise: float, seed: int, asked: argparse.Namespace
) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Train an arm: what is measured of the rows that it restores and draws, and the first of them. Of what was
    `asked`, the number of steps, the share that a step hides, the network and the power of hidden values."""
    end_step, drop, network = asked.steps, asked.drop, asked.network
    began = time.process_time()
    x_0 = pictures(data, "train", SIZES[data])
    x_n, mask = measured(x_0, kind, missing, noise, seed)
    told = arm in ("clean", "published", "ambient")
    corruption: object = {"name": "gaussian"}
    if arm == "clean":
        corruption = FreshMask(kind=kind, missing=0.0, drop=drop, first=missing)
        train = Rows(x_0, 0.0, torch.ones_like(mask))
    elif arm == "ambient":
        corruption, train = Mask(kind=kind, missing=missing, drop=drop), Rows(x_n, noise, mask)
    elif arm == "published":
        corruption, train = PublishedForm(kind=kind, missing=missing, drop=drop), Rows(x_n, noise, mask)
    else:
        train = Rows(x_n if arm == "zero-fill" else interpolated(x_n, mask), noise, None)
    objective: object = "tweedie" if told else "naive"
    if told and asked.hidden_power is not None:
        objective = {"name": "tweedie", "hidden_power": asked.hidden_power}
    settings = NETWORKS[network]
    config = ak.configure(train, corruption=corruption, objective=objective, seed=seed, end_step=end_step, **settings)
    training = ak.build(config)
    for _ in steps(training):
        pass
    test = pictures(data, "test", HELD_OUT)
    y, seen = measured(test, kind, missing, noise, 1000 + seed)
    filled = interpolated(y, seen) if arm == "interpolated" else y
    level = torch.full((len(test),), max(noise, LOWEST))
    with torch.no_grad():
        restored = training.teacher(filled, level, **({"mask": seen} if told else {}))
    # Samples: under one mask of the kind that training shows, kept for a whole chain.
    g = keyed_generator(seed, "benchmark.samples")
    fixed = drawn(test, kind, missing, g) & drawn(test, kind, drop, g)
    samples = draw_all(
        training.teacher,
        Heun(),
        tuple(test.shape[1:]),
        len(test),
        sigmas=step_grid(16, config.levels.as_levels()),
        seed=seed,
        cond={"mask": fixed} if told else {},
        refuse=False,
    )
    error = restored - test
    distance = {
        name: sliced_wasserstein(patches(rows), patches(test), keyed_generator(0, "benchmark.slices"), 64)
        for name, rows in (("restored", restored), ("samples", samples))
    }
    shown = {"clean": test, "measured": y, "mask": seen, "restored": restored, "samples": samples}
    found: dict[str, object] = {
        "arm": arm,
        "data": data,
        "kind": kind,
        "missing": missing,
        "noise": noise,
        "seed": seed,
        "end_step": end_step,
        "network": network,
        "drop": drop,
        "hidden_power": asked.hidden_power,
        "rms_hidden": float(error[~seen].square().mean().sqrt()),
        "rms_all": float(error.square().mean().sqrt()),
        "rms_filled": float((filled - test).square().mean().sqrt()),
        "sliced_w2_patches": distance,
        "cpu_seconds": time.process_time() - began,
    }
    return found, {name: rows[:SHOWN] for name, rows in shown.items()}


def table(folder: Path) -> str:
    """The runs of a folder: rms of restored rows, mean over seeds, and the share of the gap that is closed."""
    found = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    lines = [
        "| data | kind | missing | noise | seeds | arm | rms hidden | rms all | gap closed | patch sliced W2: "
        "restored | samples |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]

    def setting(one: dict[str, Any]) -> tuple[Any, ...]:
        return one["data"], one["kind"], one["missing"], one["noise"]

    for key in sorted({setting(one) for one in found}):
        own = [one for one in found if setting(one) == key]

        def mean(arm: str, name: str, own: list = own) -> float:  # type: ignore[type-arg]
            values = [one[name] for one in own if one["arm"] == arm]
            return float(np.mean(values)) if values else float("nan")

        def distance(arm: str, name: str, own: list = own) -> float:  # type: ignore[type-arg]
            values = [one["sliced_w2_patches"][name] for one in own if one["arm"] == arm]
            return float(np.mean(values))

        for arm in [arm for arm in ARMS if any(one["arm"] == arm for one in own)]:
            seeds = sorted(one["seed"] for one in own if one["arm"] == arm)
            worst, best = mean("zero-fill", "rms_all"), mean("clean", "rms_all")
            closed = (worst - mean(arm, "rms_all")) / (worst - best)
            spread = np.ptp([one["rms_all"] for one in own if one["arm"] == arm]) if len(seeds) > 1 else float("nan")
            around = f" ± {spread / 2:.4f}" if np.isfinite(spread) else ""
            lines.append(
                f"| {key[0]} | {key[1]} | {key[2]:g} | {key[3]:g} | {len(seeds)} | {arm} | "
                f"{mean(arm, 'rms_hidden'):.4f} | {mean(arm, 'rms_all'):.4f}{around} | {closed:.0%} | "
                f"{distance(arm, 'restored'):.3f} | "
                f"{distance(arm, 'samples'):.3f} |"
            )
    return "\n".join(lines)


def results(folder: Path, data: str, kind: Kind, missing: float, noise: float, arm: str, seed: int) -> Path:
    """The file of the results of a run."""
    return folder / f"{data}-{kind}-{missing:g}-{noise:g}-{arm}-{seed}.json"


def kept_rows(file: Path) -> Path:
    """Where the first rows of a run are, beside its results."""
    return file.with_suffix(".safetensors")


def picture(folder: Path, data: str, kind: Kind, missing: float, noise: float, seed: int, out: Path) -> None:
    """The first held-out rows: clean, what is there of them, and restored by each arm, one line each."""
    import matplotlib.pyplot as plt

    lines: dict[str, Tensor] = {}
    for arm in ARMS:
        file = kept_rows(results(folder, data, kind, missing, noise, arm, seed))
        if not file.is_file():
            continue
        rows = load_file(file)
        if not lines:
            lines = {"whole row": rows["clean"], "what is there": rows["measured"]}
        lines[arm] = rows["restored"]
    figure, axes = plt.subplots(len(lines), SHOWN, figsize=(SHOWN, 1.05 * len(lines)), squeeze=False)
    for (name, rows), line in zip(lines.items(), axes, strict=True):
        for row, axis in zip(rows, line, strict=True):
            axis.imshow((row.permute(1, 2, 0).squeeze(2).clamp(-1, 1) + 1) / 2, cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    figure.subplots_adjust(left=0.17, right=0.99, top=0.99, bottom=0.01, wspace=0.05, hspace=0.05)
    figure.savefig(out, dpi=100)
    plt.close(figure)


def main() -> None:
    """Train what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/masks"), help="folder of the results")
    parser.add_argument("--data", choices=sorted(SIZES), default="fashion-mnist")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--kind", choices=get_args(Kind), default="pixels", help="what is missing together")
    parser.add_argument("--missing", nargs="+", type=float, default=[0.4], help="shares of missing pixels")
    parser.add_argument("--noise", nargs="+", type=float, default=[0.0], help="noise std of what is there")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--network", choices=sorted(NETWORKS), default="transformer")
    parser.add_argument("--drop", type=float, default=0.1, help="share that a step hides on top")
    parser.add_argument("--hidden-power", type=float, help="of hidden values by level, in place of the default")
    parser.add_argument("--picture", type=Path, help="draw the first held-out rows of the first setting, train nothing")
    parser.add_argument("--table", action="store_true", help="print the results, and train nothing")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if not asked.table and asked.picture is None:
        for seed in asked.seeds:
            for missing in asked.missing:
                for noise in asked.noise:
                    for arm in asked.arms:
                        file = results(asked.out, asked.data, asked.kind, missing, noise, arm, seed)
                        if not file.is_file():
                            found, shown = run(arm, asked.data, asked.kind, missing, noise, seed, asked)
                            save_file({name: rows.contiguous() for name, rows in shown.items()}, kept_rows(file))
                            file.write_text(json.dumps(found, indent=1) + "\n")
    if asked.picture is not None:
        picture(asked.out, asked.data, asked.kind, asked.missing[0], asked.noise[0], asked.seeds[0], asked.picture)
    print(table(asked.out))


if __name__ == "__main__":
    stoppable(main, goes_on=True)
