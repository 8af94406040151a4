"""The checks `null-attack` and `finds-memory`: an attack treats all rows alike, and finds what is remembered."""

from __future__ import annotations

import math

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.builtin.checks.attempts import refuses_first, says_what_was_done
from ambientkit.builtin.checks.labelled import global_state
from ambientkit.builtin.checks.remembered import HELD_OUT, Listening, Remembered, pictures
from ambientkit.errors import InputError
from ambientkit.interfaces import Case, Check, Measured, Part
from ambientkit.memorisation_parts import Attack, Attempt, Target

SIDE, REMEMBERED = 12, 40
LEVEL_OFF = 0.2
"""Of the std of noise, measured on 864 values: 8 standard deviations."""
NOISY = 0.75
"""Noise of rows, in units of the level that clean ones are restored from: added on top in full, the std is 1.25 times
the level."""


class NullAttack(Check):
    """On a model that has seen neither, training rows and held-out rows come back alike: p-values are uniform.

    The model is the law of 40 other pictures. The distances of 500 training and 500 held-out rows, attacked under the
    keys that `attack` gives them, are two samples of one law. A row's distance is the same alone, and comes from the
    generators of the rows; that of a flat row is a number. A point that is restored from a level, or denoised at it,
    has noise of that level, that of rows which have noise themselves counted in. Of a model that knows one row alone,
    what comes back is that row, or what was shown of the row attacked. The picture that it is said to have been shown
    holds nothing that was hidden, all of its answers count, and a field that does not suit is refused before it is
    asked (`attempts`).
    """

    name = "null-attack"
    source = "exchangeability, which conformal p-values rest on: arXiv 2104.08279"
    kind = "attack"
    claim = "blind"
    null_law = "two-sample Kolmogorov-Smirnov; exact for a row alone"
    detects = (
        "distances of one side that are 20 % smaller; answers that are mixed with the row attacked; another level than "
        "that of the noise"
    )
    meaning = "The attack calls rows memorised of a model that has never seen them: its p-values mean nothing."
    quick = True

    rows: int = Field(500, ge=50)
    """Rows on each side."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The Kolmogorov-Smirnov statistic of both sides."""
        from scipy import stats

        assert isinstance(part, Attack)
        target = Remembered(pictures(case, "others", REMEMBERED, SIDE), case.seed)
        x, world = pictures(case, "rows", 6, SIDE), global_state()
        kept = x.clone()
        together, alone = distances(part, x, 0, target), distances(part, x[3:4], 3, target)
        if global_state() != world or not torch.allclose(together[3:4], alone, rtol=1e-4):
            why = "a row's distance depends on the other rows, or numbers are drawn from a global generator"
            return Measured(math.inf, 0.0, len(x), why)
        if not torch.equal(x, kept):
            return Measured(math.inf, 0.0, len(x), "the rows that are attacked are changed in place")
        only = pictures(case, "only", 1, SIDE)
        back = part.attempt(x, torch.arange(len(x)), Remembered(only, case.seed)).draws
        why = (
            self._other_level(part, x, case, only)
            or says_what_was_done(part, x, target)
            or refuses_first(part, x, target)
        )
        if why:
            return Measured(math.inf, 0.0, len(x), why)
        off = torch.minimum((back - only).abs(), (back - x.unsqueeze(1)).abs())
        if not bool((off < 1e-3).all()):
            why = "what is said to come back is not what the model gave: it holds something of the row attacked"
            return Measured(float(off.max()), 0.0, len(x), why)
        flat = distances(part, torch.full_like(x[:2], 0.3), 0, target)
        if not bool(flat.isfinite().all()):
            return Measured(math.inf, 0.0, len(x), "a flat row has a distance that is no number")
        x, y = pictures(case, "rows", 2 * self.rows, SIDE).split(self.rows)
        a, b = distances(part, x, 0, target), distances(part, y, HELD_OUT, target)
        found = stats.ks_2samp(a.numpy(), b.numpy())
        return Measured(float(found.statistic), float(found.pvalue), self.rows)

    def _other_level(self, part: Attack, x: Tensor, case: Case, rows: Tensor) -> str:
        """The fault of points that are restored from a level, or denoised at it, and do not carry noise of that level,
        in words, else empty: that of the rows, and fresh noise, by which they differ sqrt 2 times as much between keys.
        Points that are the same under other keys hold no noise: these may be denoised, and so may noisy rows at the
        level of fresh noise alone, which restores nothing. Rows of much noise may be refused."""
        top = 0.0
        for share in (0.0, NOISY):
            sigma_n, asked = share * top, list[list[tuple[Tensor, float, bool]]]()
            for first in (0, 10_000):
                target = Listening(rows, case.seed, sigma_n=sigma_n)
                try:
                    part.attempt(x, torch.arange(len(x)) + first, target)
                except InputError:
                    if share == 0:
                        raise
                    return ""
                asked.append(target.by_level())
            for (one, level, denoised), (other, again, _) in zip(*asked, strict=False):
                if one.shape != other.shape or level != again or (denoised and (sigma_n or torch.equal(one, other))):
                    continue
                top = max(top, level)
                found = math.hypot(float((one - other).double().square().mean().sqrt()) / 2**0.5, sigma_n)
                if abs(found / level - 1) > LEVEL_OFF:
                    done = "denoised" if denoised else "restored"
                    of = f", of which the rows have {sigma_n:.3g}," if sigma_n else ""
                    return f"points with noise of std {found:.3g}{of} are {done} as if it were {level:.3g}"
            if not top:
                break
        return ""

    def control(self, part: Part) -> Part:
        """The same attack, which brings the rows of the first keys a fifth nearer."""
        assert isinstance(part, Attack)
        return _Peeking(inner=part)


class FindsMemory(Check):
    """Of a model that gives back 40 rows and nothing else, these rows come back nearer than rows that it has not seen.

    The area under the curve of training rows (40) against held-out rows (200), tested to be at least 0.75. A quarter of
    the training rows must lie nearer than all but 5 % of the held-out ones: an attack with few distances lists no row.
    """

    name = "finds-memory"
    source = "area and its error: Hanley and McNeil (1982), from memory"
    kind = "attack"
    claim = "blind"
    null_law = "N(0, 1) of (AUC - 0.75) over its error at 0.75, one-sided"
    detects = "an area of 0.5"
    meaning = (
        "The attack does not see a model that gives back its training rows exactly: a clean result of it means nothing."
    )
    quick = True

    def measure(self, part: Part, case: Case) -> Measured:
        """The standard score of the area below 0.75."""
        assert isinstance(part, Attack)
        rows = pictures(case, "remembered", REMEMBERED, SIDE)
        others = pictures(case, "held-out", 200, SIDE)
        target = Remembered(rows, case.seed)
        a, b = distances(part, rows, 0, target), distances(part, others, HELD_OUT, target)
        area = float(((a.unsqueeze(1) < b).double() + (a.unsqueeze(1) == b).double() / 2).mean())
        listed = float(((b <= a.unsqueeze(1)).double().mean(1) <= LISTED).double().mean())
        if listed < SHARE:
            why = f"{listed:.0%} of the rows that come back lie nearer than all but {LISTED:.0%} of the others"
            return Measured(area, 0.0, len(a), why)
        score = (area - LEAST) / area_error(LEAST, len(a), len(b))
        return Measured(area, float(torch.special.ndtr(torch.tensor(score, dtype=torch.float64))), len(a))

    def control(self, part: Part) -> Part:
        """The same attack, whose answers are handed to the wrong rows."""
        assert isinstance(part, Attack)
        return _Mixed(inner=part)


LEAST = 0.75
LISTED, SHARE = 0.05, 0.25
"""A row is listed where so few held-out rows come as near; right attacks list 0.8 and more of the rows, in 3 seeds."""


def area_error(area: float, m: int, n: int) -> float:
    """Standard error of an area under the curve of m against n rows, for exponential scores."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    return ((area * (1 - area) + (m - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (m * n)) ** 0.5


def distances(part: Attack, x: Tensor, first: int, target: Target) -> Tensor:
    """(B,) float64, of rows keyed from `first` on: what the attack says, or to the nearest draw in pixels."""
    attempt = part.attempt(x, torch.arange(len(x)) + first, target)
    if attempt.distance is not None:
        return attempt.distance.double()
    return (attempt.draws - x.unsqueeze(1)).flatten(2).double().square().mean(2).sqrt().amin(1)


class _Peeking(Attack):
    """An attack that looks at the keys: wrong on purpose."""

    name = "peeking-control"

    inner: InstanceOf[Attack]

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        """Nearer by a fifth where the key is small."""
        found = self.inner.attempt(x, keys, target)
        nearer = torch.where(keys < HELD_OUT, 0.8, 1.0).to(x)
        shape = (-1, *[1] * x.ndim)
        draws = x.unsqueeze(1) + nearer.reshape(shape) * (found.draws - x.unsqueeze(1))
        return Attempt(found.corrupted, draws, None if found.distance is None else nearer * found.distance)


class _Mixed(Attack):
    """An attack whose answers belong to other rows: wrong on purpose."""

    name = "mixed-control"

    inner: InstanceOf[Attack]

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        """Rows asked in the reversed order."""
        found = self.inner.attempt(x.flip(0), keys, target)
        there = (found.draws - x.unsqueeze(1)).flatten(2).double().square().mean(2).sqrt().amin(1)
        return Attempt(found.corrupted, found.draws, None if found.distance is None else there)
