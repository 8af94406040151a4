"""Attacks: training rows are corrupted beyond recognition, and the model is asked what they were. Held-out rows,
treated alike, are the null."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ambientkit.config.datapath import DataLike
from ambientkit.config.inline import split_fields
from ambientkit.errors import InputError
from ambientkit.evaluation.setup import need_counts
from ambientkit.interfaces import Extractor, Levels, Part, Sampler
from ambientkit.maths.conformal import conformal_p_values, listed, listing, need_levels, need_null_rows
from ambientkit.maths.copying import bootstrap, mann_whitney_z
from ambientkit.maths.randomness import keyed_generator
from ambientkit.memorisation.lent import Lent
from ambientkit.memorisation.sides import Alike, sides, similarity_of
from ambientkit.memorisation.subject import subject_of
from ambientkit.memorisation_parts import Attack as AttackPart
from ambientkit.memorisation_parts import Attempt, Similarity
from ambientkit.processes import device_of
from ambientkit.registry import Registry, load
from ambientkit.sample.restore import need_kernel
from ambientkit.seeds import check_seed
from ambientkit.tables import Record, Table, number

Over = Literal["nearest", "mean"]
ATTACKED, NULL = 100, 400
"""Training rows and held-out rows attacked, where nothing else is said."""
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
        """The settings of an attack, and the rows that come back."""
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
    kind: str | Mapping[str, Any] | AttackPart = "noise",
    level: float | None = None,
    draws: int = 8,
    n: int | None = None,
    null: int | None = None,
    similarity: str | Mapping[str, Any] | Similarity | Extractor = "pixels",
    over: Over = "nearest",
    p_level: float = 0.05,
    fdr: float = 0.1,
    steps: int | None = None,
    sampler: str | Mapping[str, Any] | Part = "stochastic-heun",
    particles: int = 64,
    levels: tuple[float, float] | None = None,
    seed: int = 0,
    batch_size: int = 256,
    device: str | torch.device = "auto",
    registry: Registry | None = None,
) -> Attack:
    """Attack training rows, and held-out rows alike: by default they are corrupted extremely, the model restores each
    `draws` times, and what counts is how near the draws come.

    subject: a `Run` or `Trained`, the path of a run, of its weights or of a checkpoint; or a function D(x, sigma) of
    points (B, *S) and levels (B,) that returns E[x_0 | x], of a model trained elsewhere, with its range of `levels`,
    (0.002, 80) by default. train: the rows it was trained on, by default its own data without the noise that was
    simulated on them, and without the rows that it held out. heldout: rows of the same law that it has not seen. n,
    null: rows of each that are attacked, chosen at random: 100 and 400, or all there are. sigma_n: declared noise of
    both, where they are files that do not say.

    kind: a registered attack by name, as 'NAME{field: value}', or a part; level: its field of that name. "noise":
    x_0 + level z, restored by the run's own reverse process (`sample.restore`); a std in units of [-1, 1], by default 4
    times that of the data, below sigma_max. "mask": a random share `level` of the pixels of each row is hidden; "box":
    a
    square of that share of the picture, at a random place; by default 0.75; restored by `inpaint`, with `particles`.
    "loss": no restoration, but the error of the denoiser at one level.

    similarity: as for `memorization`, but without moves and mirroring: a draw is compared with its own original. over:
    "nearest" of the draws (extraction), or their "mean". p_level: of the share; fdr: of the list. Raises InputError for
    rows of another shape, unit or noise level, held-out rows that are training rows, too few of them, a level out of
    range, a conditional run, and a sampler that does not draw from the reverse kernel. Source: restoration as an
    attack, arXiv 2404.10177, abstract; p-values: `conformal_p_values`.
    """
    check_seed(seed)
    need_counts(draws=(draws, 1), n=(n, 1), null=(null, 1), steps=(steps, 1), particles=(particles, 1))
    need_counts(batch_size=(batch_size, 1))
    registry, place = registry or load(), device_of(device)
    asked = subject_of(subject, registry, place, Levels(*levels) if levels is not None else None)
    if asked is None:
        what = os.fspath(subject) if isinstance(subject, str | os.PathLike) else "the samples"
        raise InputError(f"{what}: is no run; an attack asks the model itself. For samples there is `memorization`")
    if over not in get_args(Over):
        raise InputError(f"attack: over {over!r}: should be one of {', '.join(get_args(Over))}")
    need_levels(p_level=p_level, fdr=fdr)
    way = attack_of(kind, level, registry)
    part = registry.build(Sampler, sampler)
    need_kernel(part, draws)
    own, held = sides(train, heldout, sigma_n, asked, registry)
    x, rows = _some(own.x, n or ATTACKED, seed, "train")
    y, _ = _some(held.x, null or NULL, seed, "heldout")
    need_null_rows(len(y), p_level)
    alike = similarity_of(similarity, tuple(x.shape[1:]), 0, False, place, registry)
    lent = Lent(
        asked.denoiser,
        asked.levels,
        asked.said(own.x, own.sigma_n),
        own.sigma_n,
        draws,
        part,
        steps,
        particles,
        seed,
        batch_size,
        place,
    )
    found = {}
    for side, originals in (("training", x), ("held-out", y)):
        # The same treatment, with randomness of their own: under the null the two are exchangeable.
        keys = torch.arange(len(originals)) + (0 if side == "training" else 1 << 30)
        attempt = checked(way, way.attempt(originals, keys, lent), originals, asked.name)
        distance = attempt.distance
        if distance is None:
            distance = _distance(alike, originals, attempt.draws, over)
        shown = (originals[:SHOWN], attempt.corrupted[:SHOWN].cpu(), attempt.draws[:SHOWN].cpu())
        found[side] = (distance.double().cpu(), shown)
    distance, reference = found["training"][0], found["held-out"][0]
    p = conformal_p_values(-distance, -reference)
    told = f"{way.name}{{{', '.join(f'{name}={value:g}' for name, value in _numbers(way).items())}}}".replace("{}", "")
    facts = {
        "subject": asked.name,
        "kind": way.name,
        "attack": told,
        "corruption_level": _numbers(way).get("level"),
        "draws": draws,
        "steps": steps,
        "sampler": part.name,
        "particles": particles,
        "similarity": alike.told,
        "over": over,
        "train": own.what,
        "train_rows": len(own.x),
        "train_held_out": own.held_out,
        "heldout": held.what,
        "heldout_rows": len(y),
        "sigma_n": own.sigma_n,
        "level": p_level,
        "fdr": fdr,
        "seed": seed,
    }
    how = (
        f"distance in {alike.told}, {over} of the draws"
        if attempt.distance is None
        else f"distance by the attack itself, of {draws} draws"
    )
    head = (
        f"{asked.told}: {len(x)} of {len(own.x)} training rows of {own.what}; null: {len(y)} held-out rows of "
        f"{held.what}",
        *own.told,
        f"attack {told}; {draws} draws of each; {how}",
    )
    return Attack(
        facts,
        head,
        own.numbers[rows],
        distance,
        reference,
        p,
        listed(p, fdr),
        {side: pictures for side, (_, pictures) in found.items()},
    )


def attack_of(kind: str | Mapping[str, Any] | AttackPart, level: float | None, registry: Registry) -> AttackPart:
    """The attack of a name, of 'NAME{field: value}', or itself, with its field `level` set where one is given. Raises
    InputError for an unknown one, and for a level that it does not have."""
    if isinstance(kind, AttackPart):
        if level is not None:
            raise InputError(f"level: the attack {kind.name!r} is given as a part; say its level there")
        return kind
    if isinstance(kind, str):
        name, fields = split_fields(kind)
        kind = {"name": name, **fields}
    spec = dict(kind)
    name = str(spec.get("name"))
    known = registry.names("attack")
    if name not in known:
        raise InputError(f"--kind {name}: there is no such attack. Known: {', '.join(known)}")
    if level is not None:
        if "level" not in registry.find("attack", name).part.model_fields:
            raise InputError(f"--level: the attack {name!r} has no level")
        spec["level"] = level
    return registry.build(AttackPart, spec)


def _numbers(part: AttackPart) -> dict[str, float]:
    return {name: value for name, value in part.model_dump().items() if isinstance(value, int | float)}


def checked(way: AttackPart, attempt: Attempt, x: Tensor, name: str) -> Attempt:
    """An attempt that can be judged. Raises InputError for one whose rows are missing or not finite."""
    n, shape = len(x), tuple(x.shape[1:])
    if (
        attempt.corrupted.shape != x.shape
        or attempt.draws.ndim != x.ndim + 1
        or tuple(attempt.draws.shape[2:]) != shape
    ):
        raise InputError(
            f"attack {way.name!r}: for rows {tuple(x.shape)} it should give rows and draws (B, K, *S), but gave "
            f"{tuple(attempt.corrupted.shape)} and {tuple(attempt.draws.shape)}"
        )
    if len(attempt.draws) != n or (attempt.distance is not None and tuple(attempt.distance.shape) != (n,)):
        raise InputError(f"attack {way.name!r}: should give draws, and distances if any, of all {n} rows")
    if not bool(attempt.draws.isfinite().all()) or (
        attempt.distance is not None and not bool(attempt.distance.isfinite().all())
    ):
        raise InputError(f"{name}: its restorations are not finite; the run has diverged, or the steps are too few")
    return attempt


def _some(x: Tensor, n: int, seed: int, purpose: str) -> tuple[Tensor, Tensor]:
    """(rows, their numbers): n at random, in order."""
    chosen = torch.randperm(len(x), generator=keyed_generator(seed, f"memorisation.attack.{purpose}"))[:n].sort().values
    return x[chosen], chosen


def _distance(alike: Alike, x: Tensor, restored: Tensor, over: Over) -> Tensor:
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
