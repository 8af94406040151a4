"""The check `sampler-contract`: shapes, dtypes, conditions and randomness of a sampler, on small pictures in
float32."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import InstanceOf
from torch import Tensor

from ambientkit.builtin.checks.labelled import (
    SHAPE,
    SPACING,
    Broken,
    NoHalf,
    asked_of,
    conditions,
    global_state,
    require,
)
from ambientkit.builtin.checks.outcome import exact
from ambientkit.interfaces import CONTRACT, Case, Check, Denoiser, Measured, Part, Sampler
from ambientkit.maths.noise import RandomSource, per_row, standard_normal
from ambientkit.maths.randomness import keyed_generator

GREY = (1, SHAPE[2], SHAPE[1])
"""Higher than wide. An axis of one channel is lost where it is squeezed, and spread over all rows where it is not."""


PEAK = 90.0
"""What one pixel of a known picture has more, and another one less: answers may not be drawn in at a quantile."""
MANY = 130
"""Rows that may be carried in chunks of 64."""


def known(number: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The pictures (B, *shape) of these numbers, float32: constant but for two pixels."""
    found = (SPACING * number).float().reshape(-1, *[1] * len(shape)).repeat(1, *shape)
    found[:, 0, 0, 0] += PEAK
    found[:, -1, -1, -1] -= PEAK
    return found


class SamplerContract(Check):
    """A sampler keeps the contract of `Sampler` on pictures in float32 with conditions, each row with a grid of its
    own, for 1, 2 and 5 rows.

    The denoiser is asked at positive levels (B,) that lie between the ends of the row's grid, with the row's own
    conditions. Points, grid, conditions, grad mode and global generators are left as they were; shape and dtype are
    kept, rows stay in their places, and a gradient passes where it is on. A grid of one step is enough, and may end
    above 0. D = m is far outside of [-1, 1], with two values farther off than the others, so that nothing may be
    clipped; a row ends near its own m. One batch is of one channel, another one of many rows, with a class each.
    """

    name = "sampler-contract"
    source = "the contract of `Sampler`"
    kind = "sampler"
    claim = CONTRACT
    null_law = "exact: nothing wrong"
    detects = (
        "a wrong shape, dtype, level or condition, rows that are exchanged, points that are clipped or "
        "changed, randomness from elsewhere"
    )
    meaning = (
        "The sampler does not do what its callers rely on: it fails, or draws something else, for some "
        "batches or grids."
    )
    quick = True

    def measure(self, part: Part, case: Case) -> Measured:
        """0, or infinity with what is wrong."""
        assert isinstance(part, Sampler)
        problems = [(5, 6, True), (5, 2, False), (2, 3, False), (1, 4, True), (1, 2, True), (4, 3, False)]
        try:
            for index, (rows, levels, zero) in enumerate(problems):
                self._try(part, case, self._grid(rows, levels, zero), index, GREY if rows == 4 else SHAPE)
            self._many(part, case)
            if "reverse-kernel" in part.claims:
                self._stays(part, case)
        except Broken as error:
            return Measured(math.inf, 0.0, len(problems), str(error))
        return exact(0.0, 0.0, len(problems))

    def control(self, part: Part) -> Part:
        """The same sampler, which is not given the conditions."""
        assert isinstance(part, Sampler)
        return _Unconditional(inner=part)

    def _stays(self, part: Sampler, case: Case) -> None:
        """A hop between equal levels, as objectives send next to the lowest one, leaves a row where it is."""
        number, top = torch.arange(1, 5), torch.tensor([0.5, 0.002, 1.0, 20.0])
        sigmas = torch.stack([top, top * torch.tensor([1.0, 1.0, 0.8, 1.0])])
        centre = known(number, SHAPE)
        x = centre + per_row(top, centre) * standard_normal(centre, self._source(case, 90))
        asked = _asked(number, sigmas, torch.zeros(SHAPE))
        with torch.no_grad():
            found = part.sample(asked, x.clone(), sigmas, self._source(case, 91), conditions(number))
        off = ((found - x) / per_row(top, x))[[0, 1, 3]].abs()
        # Values of some hundreds have steps of 6e-5 in float32.
        right = bool(found.isfinite().all()) and bool((off * per_row(top[[0, 1, 3]], off) <= 1e-3 * (1 + top[3])).all())
        require(right, "a hop between equal levels moves a row, or gives numbers that are not finite")

    def _many(self, part: Sampler, case: Case) -> None:
        """Many rows, with a class and another condition each, go where those of their own conditions lie."""
        number = torch.arange(MANY) % 7 + 1
        sigmas = torch.tensor([2.0, 1.0, 0.5]).unsqueeze(1).repeat(1, MANY)

        def asked(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            renamed = {{"class_cond": "label"}.get(name, name): value for name, value in cond.items()}
            return known(asked_of(x, sigma, renamed), SHAPE)

        x = known(number, SHAPE)
        x = x + per_row(sigmas[0], x) * standard_normal(x, self._source(case, 92))
        own = conditions(number)
        with torch.no_grad():
            found = part.sample(
                asked, x, sigmas, self._source(case, 93), {"class_cond": own["label"], "style": own["style"]}
            )
        require(found.shape == x.shape, "the points of many rows come back in another shape")
        off = (found - known(number, SHAPE)).abs()
        reach = 40 * per_row(sigmas[-1], x) + 8 * per_row(sigmas[-2], x)
        require(bool((off <= reach).all()), "of many rows some do not end near their own known picture")

    def _grid(self, rows: int, levels: int, zero: bool) -> Tensor:
        top = torch.linspace(3.0, 0.8, rows)
        grid = top * (0.2 ** torch.linspace(0, 1, levels)).unsqueeze(1)
        if zero:
            grid[-1, ::2] = 0.0
        return grid

    def _try(self, part: Sampler, case: Case, sigmas: Tensor, index: int, shape: tuple[int, ...]) -> None:
        number = torch.arange(1, sigmas.shape[1] + 1).flip(0)
        generator = keyed_generator(case.seed, "verify.sampler-contract", step=index)
        centre = known(number, shape)
        x = centre + per_row(sigmas[0], centre) * standard_normal(centre, generator)
        cond, world = conditions(number), global_state()
        given = [x.clone(), sigmas.clone(), *(value.clone() for value in cond.values())]
        push = torch.zeros(shape, requires_grad=True)
        leaves: list[Tensor] = []
        with NoHalf() as precision:
            found = part.sample(_asked(number, sigmas, push, leaves), x, sigmas, self._source(case, index), cond)
        require(not precision.found, "points in float32 are computed with in half precision")
        require(torch.is_grad_enabled(), "gradients are left switched off")
        kept = [x, sigmas, *cond.values()]
        require(
            set(cond) == {"label", "style"} and all(map(torch.equal, given, kept)),
            "the points, the grid or the conditions are changed",
        )
        require(not x.requires_grad, "the points that were handed in carry a graph")
        require(global_state() == world, "numbers are drawn from a global generator, or it is seeded")
        require(isinstance(found, Tensor) and found.shape == x.shape, "the points come back in another shape")
        require(found.dtype == x.dtype, f"points in {x.dtype} come back in {found.dtype}")
        require(bool(found.isfinite().all()), "points come back that are not finite")
        require(
            found.requires_grad and bool((torch.autograd.grad(found.sum(), push, retain_graph=True)[0] != 0).all()),
            "no gradient reaches the denoiser",
        )
        reached = torch.autograd.grad(found.sum(), leaves, allow_unused=True)
        require(
            all(gradient is not None for gradient in reached),
            "no gradient reaches some of the denoiser's answers: a chain is cut",
        )
        # Wide enough for a sampler with more noise than its law has, as one of first order in a long last step:
        # that is for the checks of the law.
        reach = 40 * per_row(sigmas[-1], x) + 8 * per_row(sigmas[-2], x) + 0.01
        off = (found.detach() - centre).abs()
        require(
            bool((off <= reach).all()),
            "points do not end near a known picture: rows exchanged, points clipped, or worse",
        )
        # Where the last level is 0 and D is one picture, every rule ends on it, but for a random one of first order:
        # that may leave the noise of its last step.
        leaves_noise = "reverse-kernel" in part.claims and "exact-for-points" not in part.claims
        landed = off.flatten(1).amax(1)[sigmas[-1] == 0]
        require(
            leaves_noise or bool((landed <= 2e-3 * sigmas[-2][sigmas[-1] == 0] + 0.01).all()),
            "a row whose grid ends at 0 does not end on the known picture: noise is left, or added",
        )
        with torch.no_grad():
            again = part.sample(_asked(number, sigmas, push), x, sigmas, self._source(case, index), cond)
        require(
            torch.allclose(again, found, rtol=1e-6),
            "equal generators give different points, or without gradient others than with",
        )
        require(
            all(map(torch.equal, given, kept)), "without gradient the points, the grid or the conditions are changed"
        )

    def _source(self, case: Case, index: int) -> torch.Generator:
        return keyed_generator(case.seed, "verify.sampler-contract.noise", step=index)


def _asked(number: Tensor, sigmas: Tensor, push: Tensor, leaves: list[Tensor] | None = None) -> Denoiser:
    """The exact denoiser of known pictures, of the shape of `push`, for calls that the contract allows. leaves: gets a
    0 for each answer, which is added to it."""

    def asked(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        require(
            x.dtype == torch.float32, f"the denoiser is asked about points in {x.dtype} for points in torch.float32"
        )
        who = asked_of(x, sigma, cond, shape=tuple(push.shape))
        column = (number.unsqueeze(0) == who.unsqueeze(1)).double()
        require(
            bool((column.sum(1) == 1).all()),
            "the denoiser is asked about a point that is far from any that was handed in",
        )
        top, low = column @ sigmas[0].double(), column @ sigmas[-1].double()
        above = sigma.double() <= 1.5 * top  # a churn may raise a level a little before a step
        require(
            bool((above & (sigma.double() >= 0.999 * low)).all()),
            "the denoiser is asked at levels beyond the ends of the row's grid",
        )
        answer = known(who, tuple(push.shape)) + 0.0 * x + push
        if leaves is None:
            return answer
        leaves.append(torch.zeros_like(answer, requires_grad=True))
        return answer + leaves[-1]

    return asked


class _Unconditional(Sampler):
    """A sampler that loses the conditions: wrong on purpose."""

    name = "unconditional-control"

    inner: InstanceOf[Sampler]

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """The inner sampler's points."""
        return self.inner.sample(denoiser, x, sigmas, generator, {})
