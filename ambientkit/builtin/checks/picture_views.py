"""The check `picture-views`: on pictures, what an objective asks about is white noise of the level it says round the
row."""

from __future__ import annotations

import dataclasses
import math

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.in_place import pictures_lie_as_they_are
from ambientkit.builtin.checks.labelled import (
    SHAPE,
    SIGNAL,
    SPACING,
    Broken,
    OneStep,
    asked_of,
    copied,
    labelled,
    require,
    same,
)
from ambientkit.builtin.checks.outcome import all_normal, all_of, mean_zero_by_kind, square_scores
from ambientkit.builtin.checks.probe import DOUBTED, GROUPS, alike_in_a_call, calls_for, on_clean_rows
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Objective, Part, Signal, Tools
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator

Question = tuple[Tensor, Tensor, Tensor]
"""The rows that are asked about, (N,), the levels, (N,), and the noise over its level, (N, *S)."""


PATTERN = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
"""What all pictures have in common beside their number, so that one that is moved or mirrored shows."""


class PictureViews(Check):
    """On known pictures m, every point that an objective asks about is m + sigma e with e white: one number per pixel,
    row and channel.

    The denoiser is exact, D = m. Two rows may share e with opposite signs. Over all questions of one loss are averaged:
    e; e^2 - 1, the same at low levels, and there of clean rows alone; the products of e with that of the next pixel, of
    the row below and of the next channel; the squared sum over a picture; and the products of e of different rows.
    Their mean is 0, of the last at most 0; each loss is one sample.
    In every third batch clean, quiet and very noisy rows are mixed. Where noise per pixel is claimed, another third has
    one level per pixel, the same pattern in all rows. Half of the batches bring no conditions; none is changed. On
    `MANY` black pictures of `LARGE` pixels e^2 - 1, averaged over the questions about a row, has mean 0 over the rows,
    and is that of white noise in each question, to the teacher too, and of pictures without conditions; and so has on
    square ones e^2 along the width less that along the height, where the noise is per pixel and grows along the width.
    In each call the mean of e over the rows is 0, value by value, and no picture is turned, mirrored or moved
    (`in_place`).
    """

    name = "picture-views"
    source = "moments of white noise; D = m for a known point"
    kind = "objective"
    claim = "views-in-law"
    null_law = "F(8, n - 8) of Hotelling's T^2, of all batches and of each kind, and Student's t (Bonferroni)"
    detects = (
        "noise that is shared by pixels, channels or rows; a level that is wrong by 0.5 % everywhere, or by 5 % "
        "somewhere; rounded values; pictures that are mirrored or moved in some calls; levels of pixels whose "
        "sides are exchanged"
    )
    meaning = "The network is trained on pictures whose noise is not the white noise that a sampler will show it."
    quick = True

    batches: int = Field(90, ge=45)
    """Independent losses; a few more where they are no multiple of 12."""
    batch_size: int = Field(48, ge=8)
    """Rows in each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """F statistic and p-value of the moments."""
        assert isinstance(part, Objective)
        scores: list[Tensor] = []
        try:
            calls = self._calls(part, case, calls_for(self.batches), GROUPS, scores)
            if sum(map(len, calls)) < self.batches / 2:
                return Measured(math.inf, 0.0, sum(map(len, calls)), "the denoiser is not asked")
            found = _judged(calls)
            if found.p_value < DOUBTED and _go_together(calls):
                found = _judged(self._calls(part, case, calls_for(self.batches, groups=1), 1, scores))
        except Broken as error:
            return Measured(math.inf, 0.0, self.batches, str(error))
        tests = [found, size_of_noise(part, case)]
        tests += [size_without_conditions(part, case, by_pixel=False), pictures_lie_as_they_are(part, case)]
        if "noise-by-pixel" in part.claims and not on_clean_rows(case):
            tests += [place_of_noise(part, case), size_without_conditions(part, case, by_pixel=True)]
        if scores:
            tests.append(all_normal(torch.cat(scores), len(scores))._replace(why=AWAY))
        return all_of(tests)

    def control(self, part: Part) -> Part:
        """The same objective, whose questions are asked at 1.5 times their level."""
        assert isinstance(part, Objective)
        return _Misplaced(inner=part)

    def _calls(self, part: Objective, case: Case, count: int, groups: int, scores: list[Tensor]) -> list[Tensor]:
        """The moments (n, 9) of the first `groups` groups in each of `count` calls. Raises Broken.

        scores: gets the normal scores of the means of values in each call.
        """
        calls = []
        for index in range(count):
            asked: list[Question] = []
            batch = picture_batch(part, case, GROUPS * self.batch_size, index)
            kept = copied(batch)
            clean = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).amax(1) == 0
            part.loss(self._watched(asked), batch, self._tools(case, index))
            require(same(batch, kept), "the batch is changed")
            found = []
            if asked:
                number, level, e = (torch.cat(each) for each in zip(*asked, strict=True))
                own = group_of(number, len(batch.x_n), case, index)[:groups]
                found = [_moments(clean, number[i], level[i], e[i]) for i in own if i.any()]
                scores += _means_of_values(number, e)
            calls.append(torch.stack(found) if found else torch.zeros(0, 9, dtype=torch.float64))
        return calls

    def _tools(self, case: Case, index: int) -> Tools:
        return picture_tools(case, self._watched([]), index)

    def _watched(self, asked: list[Question]) -> Denoiser:
        def watched(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            number = asked_of(x - PATTERN.to(x.dtype), sigma, cond, conditioned=False)  # that is for the contract
            centre = per_row(SPACING * number.double(), x) + PATTERN
            level = sigma.detach().double()
            require(_unlike(x), "the denoiser is asked about points that are rounded to steps")
            asked.append((number, level, (x.detach().double() - centre) / per_row(level, x)))
            return (centre + 0.0 * x).to(x.dtype)

        return watched


FEWEST = 24
"""Rows of a call of which values are averaged."""
MANY, FEW, LARGE, SQUARE = 64, 16, (3, 64, 64), (3, 12, 12)
"""Rows, rows without conditions, and shape of the pictures on which the size of the noise is measured to half a per
cent; and of those on which sides may be exchanged unseen."""


def size_of_noise(part: Objective, case: Case) -> Measured:
    """Student's t of the mean of e^2 - 1 over rows, each the mean over its pixels and questions; and the normal score
    of each question, which no other dilutes. What the teacher is asked counts."""
    generator = keyed_generator(case.seed, "verify.picture-views.large")
    sigma_n = torch.zeros(MANY) if on_clean_rows(case) else 0.1 + 0.4 * torch.rand(MANY, generator=generator)
    return _mean_of_squares(part, case, labelled(sigma_n, generator, LARGE), torch.ones(LARGE), 1.0)


def size_without_conditions(part: Objective, case: Case, by_pixel: bool) -> Measured:
    """The normal score of the mean of e^2 in each question about `FEW` pictures that bring no conditions, of a level
    each, or of one for each pixel."""
    generator = keyed_generator(case.seed, "verify.picture-views.bare", step=int(by_pixel))
    level = torch.zeros(FEW) if on_clean_rows(case) else 0.1 + 0.4 * torch.rand(FEW, generator=generator)
    if by_pixel:
        level = torch.linspace(0.1, 0.5, math.prod(LARGE)).reshape(LARGE).expand(FEW, *LARGE)
    z = torch.randn(FEW, *LARGE, generator=generator)
    batch = Batch(per_row(level, z) * z, level, torch.arange(FEW), {})
    squares: list[Tensor] = []

    def watched(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        squares.append(x.detach().double().square().flatten(1).mean(1) / sigma.detach().double() ** 2)
        return 0.0 * x

    signal = Signal(LARGE, SIGNAL.sigma_data)
    part.loss(watched, batch, dataclasses.replace(picture_tools(case, watched, 998), signal=signal))
    if not squares:
        return Measured(0.0, 1.0, 0)
    return all_normal(square_scores(torch.cat(squares), math.prod(LARGE)), FEW)


def place_of_noise(part: Objective, case: Case) -> Measured:
    """On square pictures whose noise grows along the width: Student's t of the mean of e^2, weighted by how far a pixel
    lies to the right, less how far below. An exchange of both sides shows on no other pictures."""
    generator = keyed_generator(case.seed, "verify.picture-views.square")
    ramp = torch.linspace(0.1, 0.5, SQUARE[-1])
    batch = labelled(ramp.expand(2 * MANY, *SQUARE).contiguous(), generator, SQUARE)
    return _mean_of_squares(part, case, batch, (ramp - ramp.unsqueeze(1)).expand(SQUARE) / ramp.mean(), 0.0)


def _mean_of_squares(part: Objective, case: Case, batch: Batch, weight: Tensor, mean: float) -> Measured:
    """Student's t of the mean over rows of weight e^2 less `mean`, each the mean over its pixels and questions. Rows
    are independent, questions about one row need not be. An objective that asks about too few rows, or hides which,
    says nothing here."""
    shape = tuple(batch.x_n.shape[1:])
    batch = batch._replace(x_n=batch.x_n - SPACING * per_row(batch.cond["label"].float(), batch.x_n))
    asked: list[tuple[Tensor, Tensor]] = []

    def watched(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        if "label" in cond and cond["label"].shape == sigma.shape:
            square = (weight * x.detach().square()).flatten(1).mean(1).double() / sigma.detach().double() ** 2
            asked.append((cond["label"], square - mean))
        return 0.0 * x

    tools = dataclasses.replace(
        picture_tools(case, watched, 999), signal=Signal(shape, SIGNAL.sigma_data, SIGNAL.conds)
    )
    part.loss(watched, batch, tools)
    if not asked:
        return Measured(0.0, 1.0, 0)
    label, off = (torch.cat(each) for each in zip(*asked, strict=True))
    _, row, times = label.unique(return_inverse=True, return_counts=True)
    means = torch.zeros(len(times), dtype=torch.float64).index_add_(0, row, off) / times
    means = means.mul(1e5).round().unique() / 1e5  # rows that share noise up to its sign are one
    if len(means) < 8:
        return Measured(0.0, 1.0, len(means))
    from scipy import stats

    score = float(means.mean() / (means.std() / len(means) ** 0.5).clamp(min=1e-300))
    found = Measured(score, 2 * float(stats.t.sf(abs(score), len(means) - 1)), len(means))
    return found if mean == 0 else all_of([found, all_normal(square_scores(off + 1, weight.numel()), len(means))])


def picture_batch(part: Objective, case: Case, rows: int, index: int) -> Batch:
    """Noisy observations in float64 of pictures `SPACING` times their number plus `PATTERN`: of 0.1 to 0.5; in every
    third batch clean, quiet and very noisy ones; in another third, where the part claims noise per pixel, one pattern
    of levels. Half of the batches of each kind bring no conditions."""
    generator = keyed_generator(case.seed, "verify.picture-views", step=index)
    sigma_n = 0.1 + 0.4 * torch.rand(rows, generator=generator)
    if on_clean_rows(case):
        sigma_n = torch.zeros(rows)
    elif index % 3 == 1:
        sigma_n = torch.where(torch.arange(rows) % 3 < 2, 0.0, sigma_n * torch.where(sigma_n > 0.35, 6.0, 0.12))
    elif "noise-by-pixel" in part.claims and index % 3 == 2:
        sigma_n = torch.linspace(0.1, 0.5, math.prod(SHAPE)).reshape(SHAPE).expand(rows, *SHAPE)
    batch = labelled(sigma_n, generator)
    cond = {} if index // 3 % 2 else batch.cond
    return batch._replace(x_n=batch.x_n.double() + PATTERN, sigma_n=batch.sigma_n.double(), cond=cond)


def group_of(number: Tensor, rows: int, case: Case, index: int) -> Tensor:
    """(GROUPS, n), which questions about rows of these numbers belong to each group. The rows 1 to `rows` are dealt to
    the groups at random: an objective may use the first ones alone."""
    dealt = torch.randperm(rows, generator=keyed_generator(case.seed, "verify.groups", step=index)) % GROUPS
    own = dealt[(number.long() - 1).clamp(0, rows - 1)]
    return own == torch.arange(GROUPS).unsqueeze(1)


def picture_tools(case: Case, teacher: Denoiser, index: int) -> Tools:
    """The tools of an objective on these pictures: an exact sampler, and a fresh generator."""
    generator = keyed_generator(case.seed, "verify.picture-views.loss", step=index)
    return Tools(case.tools.corruption, OneStep(), teacher, SIGNAL, generator, case.tools.levels)


def _of_kinds(calls: list[Tensor]) -> list[list[Tensor]]:
    """The calls of each kind; an objective may leave rows of one kind out."""
    return [own for kind in range(3) if (own := [call for call in calls[kind::3] if len(call)])]


def _judged(calls: list[Tensor]) -> Measured:
    """Whether the moments (n, 9) of each call have mean 0, and the last one, products of different rows, none above 0:
    rows may share noise with opposite signs, which makes the mean over a batch steadier."""
    kinds = [torch.cat(own) for own in _of_kinds(calls)]
    turns = torch.stack([torch.stack(turn) for turn in zip(*kinds, strict=False)])  # (turns, kinds, 9)
    return all_of(
        [mean_zero_by_kind(turns[..., :-1].flatten(0, 1), len(kinds)), *(_not_above_0(own[:, -1]) for own in kinds)]
    )


def _go_together(calls: list[Tensor]) -> bool:
    """Whether the groups of a call are no independent samples, as where rows share noise up to its sign."""
    kinds = _of_kinds(calls)
    if any(len(call) != GROUPS for own in kinds for call in own) or len({len(own) for own in kinds}) > 1:
        return False
    return alike_in_a_call([call for turn in zip(*kinds, strict=True) for call in turn], len(kinds))


def _not_above_0(values: Tensor) -> Measured:
    """Student's t of the mean of independent values, one-sided: whether it is above 0."""
    from scipy import stats

    score = float(values.mean() / (values.std() / len(values) ** 0.5).clamp(min=1e-300))
    return Measured(score, float(stats.t.sf(score, len(values) - 1)), len(values))


AWAY = "in some call the noise of a value has another mean than 0 over the rows: pictures are mirrored or moved there"


def _means_of_values(number: Tensor, e: Tensor) -> list[Tensor]:
    """The normal scores of the mean noise of each value over the rows of one call, by Student's t; none of few rows.
    Questions about one row, which need not be independent, are averaged."""
    from scipy import stats

    _, row, times = number.unique(return_inverse=True, return_counts=True)
    if len(times) < FEWEST:
        return []
    means = torch.zeros(len(times), e[0].numel(), dtype=e.dtype).index_add_(0, row, e.flatten(1)) / times.unsqueeze(1)
    t = means.mean(0) / (means.std(0) / len(times) ** 0.5).clamp(min=1e-300)
    return [torch.as_tensor(-stats.norm.ppf(stats.t.sf(t.abs(), len(times) - 1).clip(1e-300)))]


def _unlike(x: Tensor) -> bool:
    """Whether the values within a row differ, as those of continuous noise do in float64: of rounded ones many are the
    same."""
    ordered = x.detach().flatten(1).sort(1).values
    return float((ordered.diff(dim=1) == 0).double().mean()) < 0.01


def _moments(clean: Tensor, number: Tensor, level: Tensor, e: Tensor) -> Tensor:
    """(9,), each with mean 0 for white unit noise of its own in each row."""
    _, row = number.unique(return_inverse=True)
    by_row = torch.zeros(int(row.max()) + 1, *e.shape[1:], dtype=e.dtype).index_add_(0, row, e)
    others = (by_row.sum(0).square() - by_row.square().sum(0)).mean() / len(
        e
    )  # products of different rows alone: one row may be asked twice
    pixels, square = e[0].numel(), e.square().flatten(1).mean(1) - 1
    low = square / (1 + (level / 0.2) ** 2)
    return torch.stack(
        [
            e.mean(),
            square.mean(),
            low.mean(),
            torch.where(clean[number.long() - 1], low, 0.0).mean(),
            (e[..., 1:] * e[..., :-1]).mean(),
            (e[..., 1:, :] * e[..., :-1, :]).mean(),
            (e[:, 1:] * e[:, :-1]).mean(),
            (e.flatten(1).sum(1).square() / pixels - 1).mean(),
            others,
        ]
    )


class _Misplaced(Objective):
    """An objective that gives the denoiser another level: wrong on purpose."""

    name = "misplaced-pictures-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's terms, for another denoiser."""
        return self.inner.loss(lambda x, sigma, /, **cond: denoiser(x, 1.5 * sigma, **cond), batch, tools)
