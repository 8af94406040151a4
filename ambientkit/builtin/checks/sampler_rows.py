"""The check `sampler-rows`: what a sampler does to a row depends on that row's own point, levels, condition and
generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field, InstanceOf
from torch import Generator, Tensor

from ambientkit.builtin.checks.outcome import exact, largest
from ambientkit.builtin.checks.travel import at_level, carry, column_grids, key
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Part, Sampler
from ambientkit.maths.noise import RandomSource
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator

LEVELS = (((2.0, 0.7), (0.0, 0.2)), ((80.0, 0.04, 2.0), (4.0, 0.003, 0.1)))
"""Where rows begin and end, in turn: some at 0; and at levels of all sizes, where a limit for the largest shows."""


class SamplerRows(Check):
    """With a list of generators, row i is the same alone, in another batch and in another order; torch's global
    generator has no effect.

    Rows have different levels, some end at 0, and different conditions. A sampler that draws must also draw something
    else from other generators, and differently for rows of the same start. All comparisons are exact, up to the
    rounding of batched sums.
    """

    name = "sampler-rows"
    source = "the contract of `Sampler`; docs/decisions/0002"
    kind = "sampler"
    claim = "row-generators"
    null_law = "exact: tolerance 1e-6 of the size of the points"
    detects = "any dependence on other rows, on their order, or on torch's global generator"
    meaning = (
        "A sample depends on the batch it was drawn in, so that the same seed gives other pictures for "
        "another batch size."
    )
    quick = True

    rows: int = Field(6, ge=4)
    """Rows of the batch."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest difference between two ways of drawing one row."""
        assert isinstance(part, Sampler)
        error = max(self._in_a_batch(part, case, *levels) for levels in LEVELS)
        return exact(max(error, self._one_start(part, case)), 1e-6, self.rows)

    def _in_a_batch(self, part: Sampler, case: Case, start: tuple[float, ...], end: tuple[float, ...]) -> float:
        """The largest difference for rows that go from these levels to those."""
        sigmas = column_grids(start, end, 4, self.rows)
        x = at_level(case.law, sigmas[0], key(case, "sampler-rows.start"))
        shift = torch.linspace(-0.2, 0.2, self.rows, dtype=torch.float64)

        def conditional(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return case.oracle(x, sigma) + cond["shift"].unsqueeze(1)

        def run(index: Sequence[int], purpose: str = "rows") -> Tensor:
            sources = [keyed_generator(case.seed, f"verify.sampler-rows.{purpose}", row=row) for row in index]
            with torch.no_grad(), isolated_global_generator(case.seed, f"verify.sampler-rows.{len(index)}.{index[0]}"):
                where = torch.tensor(index)
                return part.sample(conditional, x[where], sigmas[:, where], sources, {"shift": shift[where]})

        everyone = list(range(self.rows))
        together, again = run(everyone), run(everyone)
        shuffled = everyone[::-1]
        errors = [together - again, together[shuffled] - run(shuffled), together[1:3] - run([1, 2])]
        errors += [together[row : row + 1] - run([row]) for row in everyone]
        return largest(errors)

    def control(self, part: Part) -> Part:
        """The same sampler, whose rows are moved a little towards each other."""
        assert isinstance(part, Sampler)
        return _Mixing(inner=part)

    def _one_start(self, part: Sampler, case: Case) -> float:
        """For a batch generator: equal states give equal results for any state of the global generator, and rows get
        noise of their own."""
        start = torch.full((self.rows, case.law.dimension), 0.3, dtype=torch.float64)
        sigmas = torch.tensor([1.0, 0.8, 0.6], dtype=torch.float64).unsqueeze(1).expand(3, self.rows)

        def run(index: int, world: str) -> Tensor:
            generator: Generator = key(case, "sampler-rows.batch", index)
            with isolated_global_generator(case.seed, f"verify.sampler-rows.{world}"):
                return carry(part, case.oracle, start, sigmas, generator)

        one, same, other = run(0, "a"), run(0, "b"), run(1, "a")
        if not torch.equal(one, same):
            return max(largest([one - same]), 1.0)
        draws = not torch.equal(one, other)
        alike = len(torch.unique(one, dim=0)) < self.rows
        deterministic = "reverse-kernel" not in part.claims
        return 1.0 if (draws and alike) or not (draws or deterministic) else 0.0


class _Mixing(Sampler):
    """A sampler whose rows meet: wrong on purpose."""

    name = "mixing-control"

    inner: InstanceOf[Sampler]

    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """The inner sampler's points, 1 % of the way to their mean."""
        found = self.inner.sample(denoiser, x, sigmas, generator, cond)
        return 0.99 * found + 0.01 * found.mean(0, keepdim=True)
