"""The check `corruption-contract`: shapes, dtypes, conditions and randomness of a corruption, on small pictures in
float32."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.checks.changed import ChangedCorruption
from ambientkit.builtin.checks.labelled import (
    SHAPE,
    Broken,
    NoHalf,
    conditions,
    copied,
    global_state,
    labelled,
    require,
    same,
)
from ambientkit.builtin.checks.outcome import exact
from ambientkit.builtin.checks.said import (
    names_what_nobody_sees,
    says_nothing_of_whole_rows,
    slope_is_that_of_expect,
    width_is_that_of_clean_rows,
)
from ambientkit.builtin.checks.shown import is_a_view, shows_as_a_view
from ambientkit.builtin.checks.transpose import measured_shape
from ambientkit.interfaces import CONTRACT, Case, Check, Corruption, Measured, Part
from ambientkit.maths.noise import RandomSource, per_row
from ambientkit.maths.randomness import keyed_generator

SHAPES = (SHAPE, (2, 5, 7), (1, 5, 7), (1, 8, 8), (2, 8, 8))
"""Of pictures, of which a corruption that measures through an operator should take one."""


class CorruptionContract(Check):
    """A corruption keeps the contract of `Corruption` on its own observations of pictures and of plain rows, in float32
    and float64, and far from [-1, 1].

    `observe` keeps the clean rows, their numbers, shape and dtype. `degrade` gives views of shape, dtype and conditions
    of the batch at the levels asked for, (B,); `expect` and `floor`, (B,), answer in shape and dtype, and a gradient
    passes through `expect`. None changes what it is given, draws from a global generator, or gives numbers that are not
    finite, from the floor of each row up to 20, for 1 row and for 5. `slope` is the derivative of `expect`, `weight`
    undoes it, `clean_std` leaves out noise and missing values, `unseen` names what no row has, and `show` shows all
    (see `said`), as a view that keeps what views keep.
    """

    name = "corruption-contract"
    source = "the contract of `Corruption`"
    kind = "corruption"
    claim = CONTRACT
    null_law = "exact: nothing wrong"
    detects = (
        "a wrong shape, dtype or condition, rows that are exchanged, a batch that is changed, randomness "
        "from elsewhere, a missing gradient"
    )
    meaning = "The corruption does not do what objectives rely on: it fails, or does something else, for some batches."
    quick = True

    def measure(self, part: Part, case: Case) -> Measured:
        """0, or infinity with what is wrong."""
        assert isinstance(part, Corruption)
        try:
            linear = _measures(part)
            own = measured_shape(part, SHAPES) if linear else SHAPE
            vectors = measured_shape(part, ((3,),)) if linear else (3,)
            problems = [(5, own, torch.float32), (1, own, torch.float32), (5, vectors, torch.float64)]
            if not linear:
                problems.append((4, (1, *SHAPE[1:]), torch.float32))
            require(own is not None or vectors is not None, f"no shape of rows that was tried is taken: {SHAPES}")
            for index, (rows, shape, dtype) in enumerate(problems):
                if shape is None:
                    continue
                batch = self._observed(part, case, rows, shape, dtype, index)
                self._used(part, case, batch, index)
            if "gaussian-noise" in part.claims:
                for index, batch in enumerate(self._others(case)):
                    self._used(part, case, batch, 10 + index)
            width_is_that_of_clean_rows(part, case)
            names_what_nobody_sees(part, case)
            says_nothing_of_whole_rows(part, case)
        except Broken as error:
            return Measured(math.inf, 0.0, 8, str(error))
        return exact(0.0, 0.0, 8)

    def control(self, part: Part) -> Part:
        """The same corruption, which loses the conditions."""
        assert isinstance(part, Corruption)
        return _Losing(inner=part)

    def _observed(
        self, part: Corruption, case: Case, rows: int, shape: tuple[int, ...], dtype: torch.dtype, index: int
    ) -> Batch:
        row = 700 - 3 * torch.arange(rows)
        x_0 = 20 * torch.rand(rows, *shape, generator=self._key(case, "x_0", index)).to(dtype)
        kept, numbers, world = x_0.clone(), row.clone(), global_state()
        with NoHalf() as precision:
            batch = part.observe(x_0, row, self._key(case, "observe", index))
        require(not precision.found, "rows are computed with in half precision")
        require(global_state() == world, "observe draws from a global generator, or seeds it")
        require(torch.equal(x_0, kept) and torch.equal(row, numbers), "observe changes the clean rows or their numbers")
        again = part.observe(x_0.clone(), row, self._key(case, "observe", index))
        require(again.cond is not batch.cond, "two observations share one dictionary of conditions")
        right = batch.x_n.shape == x_0.shape or (_measures(part) and len(batch.x_n) == rows)
        require(right and batch.x_n.dtype == dtype, "observations have another shape or dtype than the clean rows")
        require(torch.equal(batch.row, row), "observe does not keep the numbers of the rows")
        require(batch.sigma_n.is_floating_point() and bool((batch.sigma_n >= 0).all()), "sigma_n is no level")
        if batch.sigma_n.ndim > 1 or (batch.sigma_n.ndim == 1 and len(batch.sigma_n) not in (1, rows)):
            right = batch.sigma_n.ndim == batch.x_n.ndim and all(
                own in (1, size) for own, size in zip(batch.sigma_n.shape, batch.x_n.shape, strict=True)
            )
            require(right, f"sigma_n of shape {tuple(batch.sigma_n.shape)} is neither (B,) nor broadcasts to the rows")
        require(batch.cond.keys() <= part.carries, "observe adds conditions that `carries` does not name")
        own = {name: value for name, value in batch.cond.items() if name in part.carries}
        return batch._replace(cond={**conditions(torch.arange(1, rows + 1)), **own})

    def _others(self, case: Case) -> list[Batch]:
        """Noise per row with clean rows; per pixel, one pattern for all rows, given for each and once; (B, 1, 1, 1);
        one number for all; and one row as noisy as the data are wide."""
        g = self._key(case, "others", 0)
        pattern = torch.linspace(0.05, 0.6, math.prod(SHAPE)).reshape(SHAPE).expand(4, *SHAPE).contiguous()
        mixed = labelled(torch.tensor([0.0, 0.3, 0.0, 0.012, 3.0]), g)
        by_pixel = labelled(pattern, g)
        shared = labelled(pattern, g)._replace(sigma_n=pattern[:1])
        column = labelled(torch.tensor([0.1, 0.5, 1.5]).reshape(3, 1, 1, 1), g)
        scalar = labelled(torch.full((3,), 0.25), g)._replace(sigma_n=torch.tensor(0.25))
        return [mixed, by_pixel, shared, column, scalar]

    def _used(self, part: Corruption, case: Case, batch: Batch, index: int) -> None:
        kept, world, n = copied(batch), global_state(), len(batch.x_n)
        floor = part.floor(batch)
        require(isinstance(floor, Tensor) and floor.shape == (n,), f"floor has shape {tuple(floor.shape)}, not (B,)")
        require(bool(floor.isfinite().all() and (floor >= 0).all()), "floor is no level")
        require(floor.dtype == batch.sigma_n.dtype, f"floor is {floor.dtype} for levels in {batch.sigma_n.dtype}")
        for factor, least in ((1.0, 0.01), (1.7, 0.02), (1.0, 20.0)):
            sigma = (factor * floor).clamp(min=least)
            asked = sigma.clone()
            with NoHalf() as precision:
                view = part.degrade(batch, sigma, self._key(case, "degrade", index))
                part.expect(view.x.clone(), view, batch)
            require(not precision.found, "rows in float32 are computed with in half precision")
            if factor > 1:  # above the floor something is added
                shows_as_a_view(part, batch, sigma, self._key(case, "show", index))
                again, other = (part.degrade(batch, sigma, self._key(case, "degrade", i)) for i in (index, index + 50))
                require(torch.equal(view.x, again.x), "equal generators give different views")
                fresh = not torch.equal(view.x, other.x) or not bool(view.x.any())
                require(fresh, "another generator gives the same view: the noise of a row would be one for good")
            require(same(batch, kept) and torch.equal(sigma, asked), "degrade changes the batch or the levels")
            is_a_view(part, view, kept, sigma, "a view")
            self._expected(part, batch, view)
            require(same(batch, kept), "expect changes the batch")
            self._of_its_own_view(part, case, batch, view, index)
        require(global_state() == world, "degrade, expect or floor draws from a global generator, or seeds it")

    def _of_its_own_view(self, part: Corruption, case: Case, batch: Batch, view: View, index: int) -> None:
        before = part.expect(view.x.clone(), view, batch).detach()
        part.degrade(batch, 1.5 * view.sigma, self._key(case, "degrade", index + 90))
        after = part.expect(view.x.clone(), view, batch).detach()
        require(torch.equal(before, after), "expect answers otherwise once another view was made")

    def _expected(self, part: Corruption, batch: Batch, view: View) -> None:
        x_0_hat = (view.x + 0.1).detach().requires_grad_()
        given, seen = x_0_hat.detach().clone(), view.x.clone()
        answer = part.expect(0 + x_0_hat, view, batch)
        right = answer.shape == batch.x_n.shape and answer.dtype == batch.x_n.dtype
        require(right, f"expect answers with {tuple(answer.shape)} in {answer.dtype}")
        require(bool(answer.isfinite().all()), "expect gives numbers that are not finite")
        hopeless = per_row(view.sigma, answer) <= per_row(part.floor(batch), answer)  # at the floor a may be 0
        if part.carries:  # values that were not measured say nothing of x_0
            hopeless = hopeless | (part.slope(view, batch) == 0)
            told = [
                batch.cond[name] for name in part.carries & batch.cond.keys() if batch.cond[name].dtype == torch.bool
            ]
            nothing = bool(told) and not any(bool(mask.any()) for mask in told)  # by chance, of a few small rows
            silent = bool(hopeless.all()) and bool((view.sigma > part.floor(batch)).any())
            require(nothing or not silent, "expect says nothing")
        grads = torch.autograd.grad(answer.sum(), x_0_hat, allow_unused=True)[0] if answer.requires_grad else None
        moved = torch.zeros_like(given) if grads is None else grads
        reached = moved.abs() > 0
        if "linear" in part.claims:  # a measurement is no value of x_0: any part of x_0 may be hidden
            passes = bool(reached.any()) or bool(hopeless.all())
        else:
            passes = bool(reached[~hopeless.expand_as(answer)].all())
        require(passes, "no gradient passes through expect")
        slope_is_that_of_expect(part, view, batch, moved)
        frozen = given.clone()
        part.expect(frozen, view, batch)
        require(torch.equal(frozen, given) and torch.equal(view.x, seen), "expect changes what it is given")

    def _key(self, case: Case, purpose: str, index: int) -> Generator:
        return keyed_generator(case.seed, f"verify.corruption-contract.{purpose}", step=index)


def _measures(part: Corruption) -> bool:
    """Whether it measures through an operator, which may take few shapes of rows; of a control, what is changed."""
    return "linear" in (part.inner if isinstance(part, ChangedCorruption) else part).claims


class _Losing(ChangedCorruption):
    """A corruption that loses conditions: wrong on purpose."""

    name = "losing-control"

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The inner corruption's."""
        return self.inner.observe(x_0, row, generator)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The inner corruption's view without conditions, but for what it carries itself."""
        view = self.inner.degrade(batch, sigma, generator)
        return view._replace(cond={name: value for name, value in view.cond.items() if name in self.inner.carries})
