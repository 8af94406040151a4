"""What the experiment shows: the table, the verdict, the picture of quality against memory, and galleries of
attacked rows."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from arms import ARMS, Size, split
from measuring import DEVICE, HIDDEN, has_diverged, noise_level

from ambientkit.errors import AmbientError
from ambientkit.memorisation import Attack, attack
from ambientkit.sample.picture import grid

DIVERGED = "diverged"
"""Key of a point that could not be measured, with the reason."""
FACTS = ("data", "rows", "seed", "arm", "step")
QUALITY = {
    "fid": "Frechet distance in pixels",
    "kid": "KID in pixels",
    "recognised": "recognised (share)",
    "fid[lenet]": "Frechet distance in LeNet (clothes)",
}
MEMORY = {
    "ratio, p <= 0.01": "copies among samples (share, p <= 0.01)",
    "train gap": "train gap of samples",
    "mask auc": "AUC, 75 % masked",
}
COLUMNS = (
    "fid",
    "kid",
    "recognised",
    "fid[lenet]",
    "out of range",
    "ratio, p <= 0.01",
    "ratio below 1/3",
    "train gap",
    "noise auc",
    "mask auc",
    "mask share",
)
Values = dict[str, tuple[float, float]]
"""Measure -> (mean over seeds, standard error, nan for one seed)."""


def summary(points: list[dict[str, Any]]) -> dict[tuple[str, int, str, int], tuple[int, Values]]:
    """(data, rows, arm, step) -> (seeds, values), of those that were measured."""
    grouped = defaultdict(list)
    for point in points:
        if DIVERGED in point:
            continue
        grouped[point["data"], point["rows"], point["arm"], point["step"]].append(point)
    found = {}
    for key, several in sorted(grouped.items()):
        values = {name: [float(one[name]) for one in several] for name in several[0] if name not in FACTS}
        found[key] = (
            len(several),
            {
                name: (statistics.fmean(v), statistics.stdev(v) / len(v) ** 0.5 if len(v) > 1 else float("nan"))
                for name, v in values.items()
            },
        )
    return found


def table(points: list[dict[str, Any]]) -> str:
    """Tab-separated, one line for each arm and step; then a line for each seed that diverged."""
    lines = ["\t".join(("data", "rows", "arm", "step", "seeds", *COLUMNS))]
    for (data, rows, arm, step), (seeds, values) in summary(points).items():
        cells = [
            f"{values[n][0]:.3g}" + (f"+-{values[n][1]:.2g}" if seeds > 1 else "") if n in values else ""
            for n in COLUMNS
        ]
        lines.append("\t".join((data, str(rows), arm, str(step), str(seeds), *cells)))
    lines += [
        f"diverged, and not in the lines above: {p['data']}, {p['rows']} rows, {p['arm']}, step {p['step']}, seed "
        f"{p['seed']}: {p[DIVERGED]}"
        for p in points
        if DIVERGED in p
    ]
    return "\n".join(lines)


def better(a: Values, b: Values, quality: str, memory: str) -> bool:
    """Whether arm a is better than b on both axes: beyond two standard errors of the difference on one of them, and not
    worse in the mean on the other. With one seed errors are unknown, and means alone are compared."""
    gains = []
    for name in (quality, memory):
        (x, dx), (y, dy) = a[name], b[name]
        error = (dx**2 + dy**2) ** 0.5
        gain = x - y if name == "recognised" else y - x
        gains.append((gain, gain - (2 * error if error == error else 0.0)))
    return min(gain for gain, _ in gains) >= 0 and max(beyond for _, beyond in gains) > 0


def _measured(names: Iterable[str], several: Iterable[Values]) -> list[str]:
    """The measures that all of several points have."""
    known = list(several)
    return [name for name in names if all(name in values for values in known)]


def verdict(points: list[dict[str, Any]]) -> str:
    """For each pair of axes: clean points that a point of each noisy arm beats on both, and the other way round."""
    lines, found = [], summary(points)
    for data, rows in dict.fromkeys(key[:2] for key in found):
        here = {key[2:]: values for key, (_, values) in found.items() if key[:2] == (data, rows)}
        clean = {step: values for (arm, step), values in here.items() if arm == "clean"}
        for quality in _measured(QUALITY, here.values()):
            for memory in MEMORY:
                for arm in dict.fromkeys(arm for arm, _ in here if arm != "clean"):
                    own = {step: values for (name, step), values in here.items() if name == arm}
                    beaten = [s for s, v in clean.items() if any(better(o, v, quality, memory) for o in own.values())]
                    lost = [s for s, v in own.items() if any(better(c, v, quality, memory) for c in clean.values())]
                    lines.append(
                        f"{data}, {rows} rows, {quality} against {memory}: {arm} beats clean training stopped at "
                        f"{beaten or 'no step'}; clean training beats {arm} at {lost or 'no step'}"
                    )
    return "\n".join(lines)


def pareto(points: list[dict[str, Any]], file: Path) -> None:
    """Quality against memory, a curve for each arm through the steps at which it is stopped; bars of one standard error
    over seeds. Towards the lower left is better, for the share recognised towards the lower right."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = summary(points)
    lines = []
    for data, rows in dict.fromkeys(key[:2] for key in found):
        here = {key[2:]: values for key, (_, values) in found.items() if key[:2] == (data, rows)}
        lines += [(f"{data}, {rows} rows", here, quality) for quality in _measured(QUALITY, here.values())]
    shape = (len(lines), len(MEMORY))
    figure, axes = plt.subplots(*shape, figsize=(4.2 * shape[1], 3.4 * shape[0]), squeeze=False)
    titled: set[str] = set()
    for (title, here, quality), places in zip(lines, axes, strict=True):
        for axis, memory in zip(places, MEMORY, strict=True):
            for number, arm in enumerate(ARMS):  # an arm has one colour and mark in all pictures
                own = [values for (name, _), values in here.items() if name == arm]
                if own:
                    (x, dx), (y, dy) = (zip(*(one[name] for one in own), strict=True) for name in (quality, memory))
                    mark = "osD^vx*P"[number % 8]
                    axis.errorbar(x, y, dy, dx, marker=mark, color=f"C{number}", capsize=2, label=arm, lw=1)
            axis.set(xlabel=QUALITY[quality], ylabel=MEMORY[memory], title=title)
            shown = [values[quality][0] for values in here.values()]
            if quality.startswith("fid") and max(shown) > 3 * min(shown):
                axis.set_xscale("log")
        if title not in titled:
            places[0].legend(fontsize=7)
            titled.add(title)
    figure.tight_layout()
    figure.savefig(file, dpi=80)
    plt.close(figure)


def gallery(out: Path, size: Size, data: str, rows: int, seed: int, arms: list[str], file: Path) -> str:
    """Training rows, what the model was shown, and what each arm gave back, for noise and masks; lines of p-values.

    The rows shown are the first ones attacked; the two extreme corruptions are those of the measurements.
    """
    x, held, _ = split(data, rows, seed)
    shown, lines = [], [f"{data}, {rows} rows, seed {seed}: p-values of the rows shown, then the share with p <= 0.05"]
    for kind, level in (("noise", noise_level(x)), ("mask", HIDDEN)):
        found: dict[str, Attack] = {}
        for arm in arms:
            path = out / f"{data}-{rows}-{arm}-s{seed}" / "checkpoints" / f"checkpoint_{size.end_step}"
            if path.is_dir():
                try:
                    found[arm] = attack(
                        path, train=x, heldout=held, kind=kind, level=level, n=size.attacked, null=2 * size.attacked,
                        draws=size.draws, steps=size.steps, particles=size.particles, seed=seed, device=DEVICE,
                    )  # fmt: skip
                except AmbientError as error:
                    if not has_diverged(error):
                        raise
                    lines.append(f"{kind} {level:g}, {arm}: diverged")
        for arm, one in found.items():
            values = ", ".join(f"{p:.3f}" for p in one.p_values[:8].tolist())
            lines.append(f"{kind} {level:g}, {arm}: {values}; {one.share:.2f} of {len(one.rows)}")
        if found:
            original, corrupted, _ = next(iter(found.values())).shown["training"]
            nearest = [_nearest(one.shown["training"][0], one.shown["training"][2]) for one in found.values()]
            shown += [original, corrupted, *nearest]
    if not shown:
        return ""
    drawn = grid(torch.cat(shown).clamp(-1, 1), len(shown[0]))
    assert drawn is not None
    drawn.resize((drawn.width * 4, drawn.height * 4), resample=0).save(file)
    names = ", ".join(found)
    return "\n".join([*lines, f"lines of the picture: rows, corrupted, {names}; noise, then mask"])


def _nearest(rows: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """Of the draws of each row the one that counts."""
    best = (draws - rows.unsqueeze(1)).flatten(2).square().sum(2).argmin(1)
    return draws[torch.arange(len(rows)), best]
