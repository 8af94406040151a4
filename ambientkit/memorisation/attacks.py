"""Attacks: training rows are corrupted beyond recognition, and the model is asked what they were. Held-out rows,
treated alike, are the null."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.config.datapath import DataLike
from ambientkit.errors import InputError
from ambientkit.interfaces import Extractor, Part, Sampler
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.memorisation.inpaint import inpaint
from ambientkit.memorisation.measures import bootstrap, mann_whitney_z
from ambientkit.memorisation.pvalues import conformal_p_values, listed, listing, need_null_rows
from ambientkit.memorisation.samples import subject_of
from ambientkit.memorisation.sides import Similarity, sides, similarity_of
from ambientkit.processes import device_of
from ambientkit.registry import Registry, load
from ambientkit.sample import Trained
from ambientkit.sample.restore import need_kernel, restore
from ambientkit.tables import Record, Table, number

Kind = Literal["noise", "mask", "box"]
Over = Literal["nearest", "mean"]
ATTACKED, NULL = 100, 400
"""Training rows and held-out rows attacked, where nothing else is said."""
STEPS = {"noise": 32, "mask": 64, "box": 64}
SHOWN = 8
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Attack(Record):
    """Which training rows the model gives back, with p-values against held-out rows that were attacked in the same
    way."""

    facts: Mapping[str, Any]
    head: tuple[str, ...]
    rows: Tensor
    """(m,) int64, the training rows attacked."""
    distance: Tensor
    """(m,) float64, of each to its draws: to the nearest of them, or the mean; in units of the similarity."""
    null: Tensor
    """(n,) float64, of the held-out rows."""
    p_values: Tensor
    """(m,): the share of held-out rows that come back as near, or nearer."""
    listed: Tensor
    """(m,) bool, by Benjamini-Hochberg at the false-discovery rate of `facts`."""
    shown: Mapping[str, tuple[Tensor, Tensor, Tensor]]
    """For a page: "training" and "held-out" -> (originals (b, *S), corrupted (b, *S), draws (b, K, *S))."""

    @property
    def share(self) -> float:
        """Training rows whose p-value is at `level` or below; `level` is expected of a model that memorises nothing."""
        return float((self.p_values <= self.facts["level"]).double().mean())

    @property
    def auc(self) -> float:
        """Probability that a training row comes back nearer than a held-out row, ties as half: 0.5 where nothing is
        memorised."""
        return _auc(self.distance, self.null)

    def blocks(self) -> list[str | Table]:
        """What was done, how many come back, and which."""
        level, seed = self.facts["level"], self.facts["seed"]
        share = bootstrap(
            lambda a, b: float((conformal_p_values(-a, -b) <= level).double().mean()),
            self.distance,
            self.null,
            seed=seed,
        )
        auc = bootstrap(_auc, self.distance, self.null, seed=seed)
        rows = [
            (f"share with p <= {level:g}", number(self.share), _told(share), f"{level:g} or less"),
            ("AUC, training against held-out", number(self.auc), _told(auc), "0.5"),
            (
                "median distance, training rows",
                number(float(self.distance.median())),
                "-",
                number(float(self.null.median())),
            ),
        ]
        found: list[str | Table] = [
            *self.head,
            "",
            Table("", ("figure", "value", "95 % interval", "if nothing is memorised"), rows),
            "",
        ]
        which = self.listed.nonzero().squeeze(1)
        found.append(
            listing(
                len(which), len(self.rows), len(self.null), self.facts["fdr"], "training rows are listed as memorised"
            )
        )
        if len(which):
            order = which[self.distance[which].argsort()][:10].tolist()
            lines = [
                (str(int(self.rows[at])), number(float(self.distance[at])), number(float(self.p_values[at])))
                for at in order
            ]
            found.append(Table("the nearest of them", ("training row", "distance", "p"), lines))
        return found

    def html(self) -> str:
        """One page that needs nothing else: figures, histograms and pictures."""
        from ambientkit.memorisation.page import attack_page

        return attack_page(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures."""
        return {
            "format": FORMAT,
            **self.facts,
            "share": self.share,
            "auc": self.auc,
            "rows": self.rows.tolist(),
            "distance": self.distance.tolist(),
            "p_values": self.p_values.tolist(),
            "listed": self.rows[self.listed].tolist(),
            "null": self.null.tolist(),
        }


def attack(
    subject: Any,
    *,
    heldout: DataLike,
    train: DataLike | None = None,
    sigma_n: float | None = None,
    kind: Kind = "noise",
    level: float | None = None,
    draws: int = 8,
    n: int | None = None,
    null: int | None = None,
    similarity: str | Mapping[str, Any] | Extractor = "pixels",
    over: Over = "nearest",
    p_level: float = 0.05,
    fdr: float = 0.1,
    steps: int | None = None,
    sampler: str | Mapping[str, Any] | Part = "stochastic-heun",
    particles: int = 64,
    seed: int = 0,
    batch_size: int = 256,
    device: str | torch.device = "auto",
    registry: Registry | None = None,
) -> Attack:
    """Corrupt training rows extremely, let the model restore each `draws` times, and see how near the draws come;
    held-out rows alike.

    subject: a `Run` or `Trained`, or the path of a run, of its weights or of a checkpoint. train: the rows it was
    trained on, by default its own data without the noise that was simulated on them. heldout: rows of the same law that
    it has not seen. n, null: rows of each that are attacked, chosen at random: 100 and 400, or all there are. sigma_n:
    declared noise of both, where they are files that do not say.

    kind "noise": x_0 + level z, restored by the run's own reverse process (`sample.restore`); level is a std in units
    of [-1, 1], by default 4 times the std of the data, below sigma_max. "mask": a random share `level` of the pixels of
    each row is hidden; "box": a square of that share of the picture, at a random place; by default 0.75. Masks are
    restored by `inpaint`, with `particles`.

    similarity: "pixels", "correlation" or an `Extractor`, as for `memorization`, but without moves and mirroring: a
    draw is compared with its own original. over: "nearest" of the draws (extraction), or their "mean". p_level: of the
    share; fdr: of the list. Raises InputError for rows of another shape, unit or noise level, held-out rows that are
    training rows, too few of them, a level out of range, a conditional run, and a sampler that does not draw from the
    reverse kernel. Source: restoration as an attack, arXiv 2305.19256, section 5.3 (memorisation); p-values:
    `conformal_p_values`.
    """
    registry, place = registry or load(), device_of(device)
    trained, name = subject_of(subject, registry, place)
    if trained is None:
        raise InputError(f"{name}: is no run; an attack asks the model itself. For samples there is `memorization`")
    if kind not in get_args(Kind) or over not in get_args(Over) or draws < 1:
        raise InputError(
            f"attack: kind {kind!r} (noise, mask or box), over {over!r} (nearest or mean), {draws} draws (1 or more)"
        )
    part = registry.build(Sampler, sampler)
    need_kernel(part, draws)
    own, held = sides(train, heldout, sigma_n, trained, registry)
    level = _checked(trained, kind, level, own.sigma_n)
    x, rows = _some(own.x, n or ATTACKED, seed, "train")
    y, _ = _some(held.x, null or NULL, seed, "heldout")
    need_null_rows(len(y), p_level)
    alike = similarity_of(similarity, tuple(x.shape[1:]), 0, False, place, registry)
    steps = steps or STEPS[kind]
    found = {}
    for side, originals in (("training", x), ("held-out", y)):
        # The same treatment, with randomness of their own: under the null the two are exchangeable.
        keys = torch.arange(len(originals)) + (0 if side == "training" else 1 << 30)
        if kind == "noise":
            corrupted, restored = _denoised(
                trained, part, originals, keys, level, own.sigma_n, draws, steps, seed, batch_size, place
            )
        else:
            seen = _seen(originals, keys, kind, level, seed)
            corrupted = torch.where(seen, originals, torch.zeros_like(originals))
            grid = trained.config.levels.as_levels()
            restored = inpaint(
                trained.denoiser,
                originals,
                seen,
                keys,
                grid,
                draws=draws,
                particles=particles,
                steps=steps,
                seed=seed,
                batch_size=batch_size * 16,
                device=place,
            )
        if not bool(restored.isfinite().all()):
            raise InputError(
                f"{name}: what it restores is not finite; the run has diverged, or {steps} steps are too few"
            )
        found[side] = (
            _distance(alike, originals, restored, over),
            (originals[:SHOWN], corrupted[:SHOWN], restored[:SHOWN]),
        )
    distance, reference = found["training"][0], found["held-out"][0]
    p = conformal_p_values(-distance, -reference)
    facts = {
        "subject": name,
        "kind": kind,
        "corruption_level": level,
        "draws": draws,
        "steps": steps,
        "sampler": part.name if kind == "noise" else f"inpaint, {particles} particles",
        "similarity": alike.told,
        "over": over,
        "train": own.what,
        "train_rows": len(own.x),
        "heldout": held.what,
        "heldout_rows": len(y),
        "sigma_n": own.sigma_n,
        "level": p_level,
        "fdr": fdr,
        "seed": seed,
    }
    what = (
        f"noise of std {level:g}"
        if kind == "noise"
        else f"{level:.0%} of the pixels hidden ({'at random' if kind == 'mask' else 'a box'})"
    )
    head = (
        f"{name}, step {trained.step}: {len(x)} of {len(own.x)} training rows of {own.what}; null: {len(y)} "
        f"held-out rows of {held.what}",
        f"{what}; {draws} draws by {facts['sampler']}, {steps} steps; distance in {alike.told}, {over} of the draws",
    )
    return Attack(
        facts,
        head,
        rows,
        distance,
        reference,
        p,
        listed(p, fdr),
        {side: pictures for side, (_, pictures) in found.items()},
    )


def _checked(trained: Trained, kind: Kind, level: float | None, sigma_n: float) -> float:
    """The level of the corruption. Raises InputError where it is out of range."""
    if kind != "noise":
        level = 0.75 if level is None else level
        if not 0 < level < 1:
            raise InputError(f"--level {level:g}: the share of pixels that a mask hides; should be above 0 and below 1")
        if kind == "box" and len(trained.signal.shape) != 3:
            raise InputError(
                f"--kind box: needs pictures (C, H, W), not rows of shape {tuple(trained.signal.shape)}; use mask"
            )
        if sigma_n:
            raise InputError(
                f"--kind {kind}: these rows have noise of level {sigma_n:.4g}; masks are for clean rows, use "
                "--kind noise"
            )
        return level
    low, high = max(trained.config.levels.sigma_min, sigma_n), trained.config.levels.sigma_max
    level = min(4 * trained.signal.sigma_data, 0.99 * high) if level is None else level
    if not low < level < high:
        raise InputError(
            f"--level {level:g}: the std of the noise; should be above {low:.4g} and below sigma_max {high:g}"
        )
    return level


def _some(x: Tensor, n: int, seed: int, purpose: str) -> tuple[Tensor, Tensor]:
    """(rows, their numbers): n at random, in order."""
    chosen = torch.randperm(len(x), generator=keyed_generator(seed, f"memorisation.attack.{purpose}"))[:n].sort().values
    return x[chosen], chosen


def _denoised(
    trained: Trained,
    sampler: Sampler,
    x: Tensor,
    keys: Tensor,
    level: float,
    sigma_n: float,
    draws: int,
    steps: int,
    seed: int,
    batch_size: int,
    place: torch.device,
) -> tuple[Tensor, Tensor]:
    """(corrupted, restored), on the CPU."""
    generators = [keyed_generator(seed, "memorisation.attack.noise", row=key) for key in keys.tolist()]
    noisy = x + (level**2 - sigma_n**2) ** 0.5 * standard_normal(x, generators)
    batch = Batch(noisy.to(place), torch.full((len(x),), level, device=place), keys, {})
    found = restore(
        trained.denoiser,
        batch,
        Gaussian(),
        sampler,
        trained.config.levels.as_levels(),
        draws=draws,
        steps=steps,
        seed=seed,
        batch_size=batch_size,
    )
    return noisy, found.draws.cpu()


def _seen(x: Tensor, keys: Tensor, kind: Kind, level: float, seed: int) -> Tensor:
    """Which values are seen, (N, *S) bool; a pixel is seen in all channels or none."""
    shape = x.shape[1:] if x.ndim != 4 else (1, *x.shape[2:])
    masks = []
    for key in keys.tolist():
        generator = keyed_generator(seed, "memorisation.attack.mask", row=key)
        if kind == "mask":
            order = torch.rand(shape, generator=generator).flatten().argsort()
            hidden = torch.zeros(order.numel(), dtype=torch.bool)
            hidden[order[: min(max(round(level * order.numel()), 1), order.numel() - 1)]] = True
            masks.append(~hidden.reshape(shape))
        else:
            high, wide = shape[1:]
            tall, broad = (min(max(round(side * level**0.5), 1), side) for side in (high, wide))
            tall = tall if tall * broad < high * wide else tall - 1
            top, left = (
                int(torch.randint(side - own + 1, (), generator=generator))
                for side, own in ((high, tall), (wide, broad))
            )
            mask = torch.ones(shape, dtype=torch.bool)
            mask[:, top : top + tall, left : left + broad] = False
            masks.append(mask)
    return torch.stack(masks).expand(x.shape)


def _distance(alike: Similarity, x: Tensor, restored: Tensor, over: Over) -> Tensor:
    """(N,) float64: root mean square difference of each row to its draws, the least or the mean."""
    own = alike.view(x).flatten(1).double()
    each = torch.stack(
        [
            (alike.view(restored[:, k]).flatten(1).double() - own).square().mean(1).sqrt()
            for k in range(restored.shape[1])
        ],
        dim=1,
    )
    return each.amin(1) if over == "nearest" else each.mean(1)


def _auc(distance: Tensor, null: Tensor) -> float:
    m, n = len(distance), len(null)
    return 0.5 - mann_whitney_z(distance, null) * (m * n * (m + n + 1) / 12) ** 0.5 / (m * n)


def _told(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{number(interval[0])} to {number(interval[1])}"
