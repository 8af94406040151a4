"""The check `further-mask`: a view shows less of a row than was measured, another part each time, at the level it
says."""

from __future__ import annotations

import math

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, View, take
from ambientkit.builtin.checks.masked import by_pixel, masked_case, masked_rows
from ambientkit.builtin.checks.outcome import all_normal, square_score
from ambientkit.builtin.checks.travel import key
from ambientkit.interfaces import Case, Check, Corruption, Measured, Part
from ambientkit.maths.noise import RandomSource, per_row

VIEWS, MORE = 80, 25
"""Views of each row, and how often as many are drawn again of rows of which a value was hidden in none: after all of
them a right value is still missing once in 100,000 measurements if its chance to be hidden is 0.8 %, and never if it is
more."""


OBLONG, FEW = ((1, 4, 9), (3, 9, 4)), 2
"""Pictures that are wide and high, where a square does not reach all, and how many of them."""


class FurtherMask(Check):
    """The mask of a view lies within that of its row, differs from row to row and from call to call, and hides each
    measured value now and then.

    It shows x_n and noise up to the level. Values of the view that it does not show are 0. Whether a value is hidden
    says nothing of x_n. The floor is the largest sigma_n among the values measured of a row. `show` adds the same
    noise, to all that was measured. Values of wide and of high pictures, of one channel and of three, are hidden now
    and then too; and so are those of rows that bring no mask, where such rows are taken.
    """

    name = "further-mask"
    source = "arXiv 2305.19256, section 3; docs/masks.md"
    kind = "corruption"
    claim = "masked"
    null_law = "exact, and normal scores (Bonferroni)"
    detects = (
        "a mask that is drawn once for all, that of another row, or that never hides some value; added noise off by 5 %"
    )
    meaning = "Nothing is learnt of some hidden values, or it is learnt of values that were never measured."
    quick = True

    rows: int = Field(60, ge=20)
    """Pictures of four values each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """Infinity with what is wrong, or the largest normal score."""
        assert isinstance(part, Corruption)
        rows = masked_rows(masked_case(case, part), "further-mask", self.rows)
        batch = take(rows, torch.arange(self.rows).repeat(VIEWS))
        ratio = torch.rand(len(batch.x_n), generator=key(case, "further-mask.ratio"), dtype=torch.float64)
        sigma = part.floor(batch).clamp(min=0.05) * (1.05 + 2 * ratio)
        view = part.degrade(batch, sigma, key(case, "further-mask.degrade"))
        shown, seen = view.cond["mask"].expand_as(view.x), batch.cond["mask"]
        pixels = by_pixel(rows, key(case, "further-mask.levels"))
        own = torch.where(rows.cond["mask"], pixels.sigma_n, 0.0).flatten(1).amax(1)
        any_seen = rows.cond["mask"].flatten(1).any(1)
        floor, some = (
            batch.sigma_n,
            seen.flatten(1).any(1),
        )  # of a row of which nothing was measured, any floor is right
        faults = (
            (bool((shown & ~seen).any()), "a view shows what was not measured"),
            (bool((view.x[~shown] != 0).any()), "a view that hides a value still holds it"),
            (
                bool((part.floor(batch) - floor)[some].abs().max() > 1e-9),
                "the floor is not the largest sigma_n measured",
            ),
            (
                bool((part.floor(pixels) - own)[any_seen].abs().max() > 1e-9),
                "where noise is given per pixel, the floor is not the largest sigma_n of the values measured",
            ),
        )
        for wrong, why in faults:
            if wrong:
                return Measured(math.inf, 0.0, self.rows, why)
        # Only of rows of which much was measured: a further mask, such as a box, may hide all of a little.
        hidden = (seen & ~shown).unflatten(0, (VIEWS, self.rows))
        if _never_hidden(part, rows, hidden.any(0) | ~seen[: self.rows], case):
            return Measured(
                math.inf, 0.0, self.rows, "some measured value is never hidden: nothing says what lies there"
            )
        of_shapes: list[Tensor] = []
        for shape in OBLONG:
            whole_rows = _whole(part, case, shape)
            if _never_hidden(part, whole_rows, torch.zeros_like(whole_rows.x_n, dtype=torch.bool), case):
                why = f"on pictures of shape {shape} some value is never hidden: nothing says what lies there"
                return Measured(math.inf, 0.0, self.rows, why)
            several = take(whole_rows, torch.arange(FEW).repeat(VIEWS))
            above = 2 * part.floor(several).clamp(min=0.05)
            views = part.degrade(several, above, key(case, "further-mask.shapes"))
            if bool((views.x[~views.cond["mask"].expand_as(views.x)] != 0).any()):
                why = f"a view of a picture of shape {shape} that hides a value still holds it in some channel"
                return Measured(math.inf, 0.0, self.rows, why)
            of_shapes.append(_added(views, several))
        if _bare(part, _whole(part, case, OBLONG[0]), case):
            return Measured(math.inf, 0.0, self.rows, "views of rows without a mask hide nothing, or do not say what")
        e, x = _added(view, batch), batch.x_n[shown]
        product = _together(hidden, batch.x_n.unflatten(0, hidden.shape[:2]), shown.unflatten(0, hidden.shape[:2]))
        # Of few or small pictures, views that hide nearly all may show nothing.
        by_mean = [e, e * x, *([product] if bool((product != 0).any()) else [])]
        scores = [v.mean() / (v.std() / len(v) ** 0.5) for v in by_mean if len(v) > 1]
        by_square = [e, *of_shapes]
        whole = part.show(rows, sigma[: self.rows], key(case, "further-mask.show"))
        if bool((whole.x[~whole.cond["mask"].expand_as(whole.x)] != 0).any()):
            return Measured(math.inf, 0.0, self.rows, "a row that is shown holds values that were not measured")
        several = take(pixels, any_seen.nonzero().squeeze(1).repeat(10))
        sigma = part.floor(several) * 1.2
        e = _added(part.degrade(several, sigma, key(case, "further-mask.by-pixel")), several)
        by_square += [e, _added(whole, rows)]
        scores += [square_score(values) for values in by_square if len(values)]
        return all_normal(torch.stack(scores), len(e))

    def control(self, part: Part) -> Part:
        """The same corruption, whose views all hide the same."""
        assert isinstance(part, Corruption)
        return _Frozen(inner=part)


def _added(view: View, batch: Batch) -> Tensor:
    """What a view adds to the values that it shows, over the std that it should have."""
    std = (per_row(view.sigma, view.x) ** 2 - per_row(batch.sigma_n, view.x) ** 2).sqrt()
    return ((view.x - batch.x_n) / std)[view.cond["mask"].expand_as(view.x)]


def _together(hidden: Tensor, x: Tensor, shown: Tensor) -> Tensor:
    """(B,) for rows (V, B, *S), each seen V times: whether a measured value is hidden, times x_n, each less its mean at
    that place, summed over the row. Their mean is 0 where one says nothing of the other. Places may be hidden more
    often than others, values together, as lines are, and more of a row of which little was measured."""
    seen = hidden | shown
    n = seen.sum((0, 1)).clamp(min=1)
    off, around = (value - torch.where(seen, value, 0.0).sum((0, 1)) / n for value in (hidden.double(), x))
    return torch.where(seen, off * around, 0.0).flatten(2).sum((0, 2))


def _whole(part: Corruption, case: Case, shape: tuple[int, ...]) -> Batch:
    """Rows of which all was measured, of another shape."""
    generator = key(case, "further-mask.oblong")
    x_0 = torch.rand(FEW, *shape, generator=generator, dtype=torch.float64)
    batch = part.observe(x_0, torch.arange(FEW), generator)
    return batch._replace(x_n=x_0, cond={**batch.cond, "mask": torch.ones_like(batch.cond["mask"])})


def _bare(part: Corruption, rows: Batch, case: Case) -> bool:
    """Whether rows that bring no mask, if they are taken, are seen without one, or whole in all views."""
    several = take(rows._replace(cond={}), torch.arange(FEW).repeat(VIEWS))
    try:
        view = part.degrade(several, 2 * part.floor(several).clamp(min=0.05), key(case, "further-mask.bare"))
    except (KeyError, ValueError):
        return False
    return "mask" not in view.cond or bool(view.cond["mask"].all())


def _never_hidden(part: Corruption, rows: Batch, done: Tensor, case: Case) -> bool:
    """Whether further views leave some measured value shown in all of them; done: those that need no more."""
    for again in range(MORE):
        left = (~done.flatten(1).all(1)).nonzero().squeeze(1)
        if len(left) == 0:
            return False
        batch = take(rows, left.repeat(VIEWS))
        sigma = part.floor(batch).clamp(min=0.05) * 2
        shown = part.degrade(batch, sigma, key(case, "further-mask.more", again)).cond["mask"].expand_as(batch.x_n)
        done = done.clone()
        done[left] |= (~shown).unflatten(0, (VIEWS, len(left))).any(0)
    return not bool(done.all())


class _Frozen(Corruption):
    """A corruption that draws its further mask once for all: wrong on purpose."""

    name = "frozen-control"
    carries = frozenset({"mask"})

    inner: InstanceOf[Corruption]

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The inner corruption's."""
        return self.inner.observe(x_0, row, generator)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The inner corruption's view of each row, under a mask that depends on its number alone."""
        generators = [torch.Generator().manual_seed(int(row)) for row in batch.row]
        shown = self.inner.degrade(batch, sigma, generators).cond["mask"]
        whole = batch._replace(cond={**batch.cond, "mask": torch.ones_like(batch.cond["mask"])})
        view = self.inner.degrade(whole, sigma, generator)
        return view._replace(x=torch.where(shown, view.x, 0.0), cond={**view.cond, "mask": shown})

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return self.inner.expect(x_0_hat, view, batch)

    def floor(self, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return self.inner.floor(batch)
