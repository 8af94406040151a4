"""The check `masked-expect`: what a denoiser implies for a masked observation, and what its errors count."""

from __future__ import annotations

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, View, take
from ambientkit.builtin.checks.masked import SHAPE, by_pixel, masked_case, masked_rows
from ambientkit.builtin.checks.outcome import all_normal, all_of, exact, largest, scores_within
from ambientkit.builtin.checks.travel import key
from ambientkit.interfaces import Case, Check, Corruption, Measured, Part
from ambientkit.maths.noise import RandomSource, per_row


class MaskedExpect(Check):
    """`expect` turns the exact E[x_0 | A~ x_t] into the exact E[x_n | A~ x_t, A]: for values shown, hidden and missing.

    Levels are those of rows, and of pixels. The answer is computed in another way: given what is shown at level sigma,
    x_0 + sigma_n z is a measurement of the mixture that shares its noise with x_t, and of a value that is hidden it is
    x_0 and noise that is not observed.
    """

    name = "masked-expect"
    source = "arXiv 2404.10177, Lemma 3.1; Bishop (2006), eq. 2.81-2.82"
    kind = "corruption"
    claim = "masked"
    null_law = "exact: tolerance 1e-8"
    detects = "any other mix, a value taken for shown or measured that is not"
    meaning = "What a denoiser implies for the observation is wrong: objectives are biased with this corruption."
    quick = True

    rows: int = Field(60, ge=8)
    """Pictures of four values each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest error."""
        assert isinstance(part, Corruption)
        own = masked_case(case, part)
        rows = masked_rows(own, "masked-expect", self.rows)
        few = take(rows, torch.arange(self.rows // 3))
        errors = [self._off(part, own, batch) for batch in (rows, by_pixel(few, key(case, "masked-expect.levels")))]
        return exact(largest(errors), 1e-8, self.rows)

    def _off(self, part: Corruption, case: Case, batch: Batch) -> Tensor:
        n = len(batch.x_n)
        sigma = part.floor(batch).clamp(min=0.05) * (1.02 + torch.arange(n) % 5)
        view = part.degrade(batch, sigma, key(case, "masked-expect.degrade"))
        x_0_hat = case.oracle(view.x, sigma, **view.cond)
        found = part.expect(x_0_hat, view, batch).double()
        return found - torch.stack([self._one(case, view, batch, row) for row in range(n)]).reshape(found.shape)

    def _one(self, case: Case, view: View, batch: Batch, row: int) -> Tensor:
        """E[x_n | view] of a row, by conditioning the joint normal law of (x_n, x_t) of each component."""
        law, d = case.law, case.law.dimension
        shown, seen = view.cond["mask"][row].flatten(), batch.cond["mask"][row].flatten()
        s, n = float(view.sigma[row]), batch.sigma_n[row].flatten().expand(d)
        x_t, eye = view.x[row].flatten()[shown], torch.eye(d, dtype=torch.float64)
        total = law.covariances[:, shown][:, :, shown] + s**2 * torch.eye(int(shown.sum()), dtype=torch.float64)
        across = (law.covariances + n.square() * eye)[:, :, shown]  # of x_n with x_t: they share the noise of x_n
        off = (x_t - law.means[:, shown]).unsqueeze(2)
        means = law.means + (across @ torch.linalg.solve(total, off)).squeeze(2)
        log = law.weights.log() - 0.5 * (off * torch.linalg.solve(total, off)).sum((1, 2)) - 0.5 * torch.logdet(total)
        return torch.where(seen, torch.softmax(log, 0) @ means, 0.0)

    def control(self, part: Part) -> Part:
        """The same corruption, whose answer is 1 % too large."""
        assert isinstance(part, Corruption)
        return _Altered(inner=part, factor=1.01)


class MaskedWeight(Check):
    """The weighted squared error against x_n is, in the mean over what was measured, that of x_0.

    |h - x_0|^2 is meant, hidden values counting `hidden`. With x_n noise-free, h = x_0 + c and 1/a^2 = 1: the mean of
    weight (h - x_n)^2 over many rows is c^2 value by value, `hidden` c^2 for values that views hide. Where noise is
    there, per row or per pixel, the weight of a shown value is min(1/a^2, cap). Masks are those of the corruption
    itself, as the chance of a value to be measured is its own.
    """

    name = "masked-weight"
    source = "arXiv 2210.01696, weighting by 1 - K; docs/masks.md"
    kind = "corruption"
    claim = "masked"
    null_law = "normal scores of the mean of each value (Bonferroni), exact for values shown"
    detects = "a weight wrong by 5 %, such as without the chance of being measured"
    meaning = (
        "Hidden values count more or less than shown ones: the minimum is the same, but a network of finite "
        "size errs most where it counts least."
    )
    quick = True

    rows: int = Field(20_000, ge=1000)
    """Pictures of four values each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The most suspicious of the tests."""
        assert isinstance(part, Corruption)
        own, hidden = masked_case(case, part), 0.5
        n = self.rows
        x_0 = own.law.sample(n, key(case, "masked-weight.law")).reshape(n, *SHAPE)
        batch = part.observe(x_0, torch.arange(n), key(case, "masked-weight.observe"))
        sigma = part.floor(batch).clamp(min=0.05) * 1.5
        view = part.degrade(batch, sigma, key(case, "masked-weight.degrade"))
        cap = torch.full_like(sigma, 25.0)
        weight = part.weight(view, batch, cap, torch.full_like(sigma, hidden)).double().expand_as(x_0)
        shown, seen = view.cond["mask"].expand_as(x_0), batch.cond["mask"].expand_as(x_0)
        a = 1 - (per_row(batch.sigma_n, x_0) / per_row(sigma, x_0)).square()
        level = 1 / a.expand_as(x_0).square().clamp(min=1 / 25)
        tests = [exact(largest([(weight / level - 1)[shown], weight[~seen], self._by_pixel(part, own)]), 1e-9, n)]
        places = []
        for value in range(x_0[0].numel()):
            out = ~shown.flatten(1)[:, value]
            if out.any():
                of_hidden = weight.flatten(1)[out, value]
                places.append(
                    scores_within(of_hidden.mean() - hidden, of_hidden.std() / len(of_hidden) ** 0.5, 0.01 * hidden)
                )
        return all_of([*tests, all_normal(torch.stack(places), n)])

    def _by_pixel(self, part: Corruption, case: Case) -> Tensor:
        """Relative errors of the weights of values shown, where each pixel has a level of its own."""
        batch = by_pixel(masked_rows(case, "masked-weight", 60), key(case, "masked-weight.levels"))
        sigma = part.floor(batch).clamp(min=0.05) * 1.5
        view = part.degrade(batch, sigma, key(case, "masked-weight.by-pixel"))
        ones = torch.ones_like(sigma)
        weight = part.weight(view, batch, 25.0 * ones, 0.5 * ones).double().expand_as(batch.x_n)
        a = 1 - (batch.sigma_n / per_row(sigma, batch.x_n)).square()
        return (weight * a.square().clamp(min=1 / 25) - 1)[view.cond["mask"].expand_as(weight)]

    def control(self, part: Part) -> Part:
        """The same corruption, whose weights are a tenth too large."""
        assert isinstance(part, Corruption)
        return _Altered(inner=part, weigh=1.1)


class _Altered(Corruption):
    """A corruption with other factors in `expect` and `weight`: wrong on purpose."""

    name = "altered-control"
    carries = frozenset({"mask"})

    inner: InstanceOf[Corruption]
    factor: float = 1.0
    weigh: float = 1.0

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The inner corruption's."""
        return self.inner.observe(x_0, row, generator)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The inner corruption's."""
        return self.inner.degrade(batch, sigma, generator)

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """The inner corruption's, times `factor`."""
        return self.factor * self.inner.expect(x_0_hat, view, batch)

    def floor(self, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return self.inner.floor(batch)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """The inner corruption's, times `weigh`."""
        return self.weigh * self.inner.weight(view, batch, cap, hidden)
