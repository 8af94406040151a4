"""The checks of a corruption that measures rows through an operator, and the problem they are measured on."""

from __future__ import annotations

import dataclasses
import math

import torch
from pydantic import Field, InstanceOf
from torch import Generator, Tensor

from ambientkit.batch import Batch, View, take
from ambientkit.builtin.checks.labelled import Broken
from ambientkit.builtin.checks.masked import SHAPE, law
from ambientkit.builtin.checks.outcome import all_normal, all_of, exact, largest, mean_zero_by_kind, square_score
from ambientkit.builtin.checks.own_operators import rows_keep_their_operator
from ambientkit.builtin.checks.probe import (
    GROUP,
    by_group,
    gradient,
    in_groups,
    mean_value,
    observations,
    own_theta,
    terms,
)
from ambientkit.builtin.checks.stationarity import Shifted
from ambientkit.builtin.checks.transpose import measured_shape, shows_through_the_transpose
from ambientkit.builtin.checks.travel import key, sources
from ambientkit.interfaces import Case, Check, Corruption, Denoiser, Measured, Objective, Part, Signal
from ambientkit.maths.linear_posterior import LinearPosterior
from ambientkit.maths.noise import RandomSource, per_row

ROWS, VIEWS = 60, 1500
"""Rows; views of a row at most, until each of its measurements was hidden in one."""
OF_ALL, FEW = 60, 20
"""Views of all rows; of those in which something was never hidden till then so many are followed further."""


def shape_of(corruption: Corruption) -> tuple[int, ...]:
    """Of rows of four values: pictures of two pixels a side, or complex ones where real ones come back as complex."""
    return measured_shape(corruption, (SHAPE, (2, 1, 2), (2, 2, 1), (4,))) or SHAPE


def dense(corruption: Corruption) -> Tensor:
    """(M, d), the operator that `observe` measures pictures of four values through: what unit pictures add to nothing,
    with the same noise and the same measurements missing."""
    basis = torch.eye(4, dtype=torch.float64).reshape(4, *shape_of(corruption))
    found = None
    for seed in range(64):  # until each measurement was there once
        one, none = (
            corruption.observe(x, torch.arange(4), Generator().manual_seed(seed))
            for x in (basis, torch.zeros_like(basis))
        )
        columns = (one.x_n - none.x_n).flatten(1)
        seen = one.cond["sampled"].expand_as(one.x_n).flatten(1)
        found = torch.zeros_like(columns) if found is None else found
        found = torch.where(seen, columns, found)
    assert found is not None
    return found.T


def exact_denoiser(operator: Tensor) -> Denoiser:
    """E[x_0 | A^T y_t], for a view whose condition "sampled" says which measurements y_t shows."""

    def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        shown = cond["sampled"].expand_as(cond["measured"]).flatten(1).double()
        gram = torch.einsum("mi,bm,mj->bij", operator, shown, operator)
        return LinearPosterior(law(), gram, x.flatten(1), sigma).mean().reshape(x.shape).to(x.dtype)

    return denoise


def measured_case(case: Case, corruption: Corruption) -> Case:
    """The same case on pictures that a corruption measures."""
    mixture = law()
    points = mixture.sample(20_000, Generator().manual_seed(0))
    denoiser, shape = exact_denoiser(dense(corruption)), shape_of(corruption)
    tools = dataclasses.replace(
        case.tools,
        corruption=corruption,
        teacher=denoiser,
        signal=Signal(shape, float(points.std(unbiased=False))),
    )

    def observe(n: int, generator: Generator) -> Batch:
        return corruption.observe(mixture.sample(n, generator).reshape(n, *shape), torch.arange(n), generator)

    return dataclasses.replace(case, oracle=denoiser, observe=observe, tools=tools, law=mixture)


class OperatorViews(Check):
    """Views of measured rows: a part of what was measured, another one in each call, at the level asked for, through
    the transpose of the operator.

    The operator is what `observe` does to unit pictures, and x_n - A x_0 white noise of std sigma_n. y_t is 0 where it
    is hidden, x_n and white noise elsewhere; the denoiser sees A^T y_t, of larger pictures too (`transpose`), with A of
    the row where rows bring their own (`own_operators`). `show` gives all that was measured, and `unseen` names what
    nobody has.
    """

    name = "operator-views"
    source = "docs/masks.md"
    kind = "corruption"
    claim = "linear"
    null_law = "exact: tolerance 1e-9; normal scores of the noise (Bonferroni)"
    detects = (
        "an adjoint that is not the transpose, or has another scale; a view of what was not measured; noise off by 10 %"
    )
    meaning = "The denoiser is shown something else than what the objective assumes: the result is biased."
    quick = True

    rows: int = Field(400, ge=100)
    """Pictures of four values each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """Infinity with the fault, the largest error, or the largest normal score."""
        assert isinstance(part, Corruption)
        operator = dense(part)
        x_0 = law().sample(self.rows, key(case, "operator-views.rows")).reshape(self.rows, *shape_of(part))
        own_sources = sources(part, case, "operator-views.observe", self.rows)
        batch = part.observe(x_0, torch.arange(self.rows), own_sources)
        sigma = part.floor(batch).clamp(min=0.05) * (1.05 + torch.arange(self.rows) % 3)
        view, other = (part.degrade(batch, sigma, key(case, "operator-views.degrade", i)) for i in (0, 1))
        if not {"sampled", "measured"} <= view.cond.keys():
            return Measured(math.inf, 0.0, self.rows, 'no "sampled" or no "measured" in the conditions of the view')
        y_t, seen = view.cond["measured"], batch.cond["sampled"].expand_as(batch.x_n)
        shown = view.cond["sampled"].expand_as(y_t)
        done = ~seen.clone()
        for i in range(VIEWS):
            left = (~done.flatten(1).all(1)).nonzero().squeeze(1)
            if len(left) == 0:
                break
            if i == OF_ALL:
                done[left[FEW:]] = True
                left = left[:FEW]
            some = part.degrade(take(batch, left), sigma[left], key(case, "operator-views.more", i)).cond["sampled"]
            done[left] |= ~some.expand_as(done[left])
        try:
            shows_through_the_transpose(part, case)
            rows_keep_their_operator(part, case)
        except Broken as error:
            return Measured(math.inf, 0.0, self.rows, str(error))
        nothing = batch._replace(cond={**batch.cond, "sampled": torch.zeros_like(batch.cond["sampled"])})
        silent = not getattr(part, "allow_unseen", False) and not part.unseen(take(nothing, torch.arange(4)))
        whole = getattr(part, "kind", "") == "boxes" and not bool(shown.any())  # a large box covers all four values
        faults = (
            (silent, "of rows of which nothing was measured nothing is said to be unseen"),
            (bool((shown & ~seen).any()), "a view shows what was not measured"),
            (
                not whole and torch.equal(shown, other.cond["sampled"].expand_as(y_t)),
                "two views of a row hide the same",
            ),
            (not bool(done.all()), "some measurement is never hidden"),
        )
        for wrong, why in faults:
            if wrong:
                return Measured(math.inf, 0.0, self.rows, why)
        whole = part.show(batch, sigma, key(case, "operator-views.show"))
        back = view.x.flatten(1) - y_t.flatten(1) @ operator
        level = per_row(batch.sigma_n, y_t).expand_as(y_t)
        added = (y_t - batch.x_n) / (per_row(sigma, y_t) ** 2 - level**2).sqrt()
        own = batch.x_n - (x_0.flatten(1) @ operator.T).reshape(batch.x_n.shape)
        if not {"sampled", "measured"} <= whole.cond.keys():
            return Measured(math.inf, 0.0, self.rows, 'no "sampled" or no "measured" in the conditions of `show`')
        measured = whole.cond["measured"]
        back_whole = whole.x.flatten(1) - measured.flatten(1) @ operator
        gap = (per_row(sigma, y_t) ** 2 - level**2).sqrt()
        errors = [
            back,
            back_whole,
            measured[~seen],
            y_t[~shown],
            (whole.cond["sampled"].expand_as(y_t) != seen).double(),
            own[seen & (level == 0)],
        ]
        noisy = seen & (level > 0)
        scores = [
            *_white(added[shown]),
            *_white(((measured - batch.x_n) / gap)[seen]),
            *_white(own[noisy] / level[noisy]),
            *_white(self._added(part, batch, case)),
        ]
        return all_of([exact(largest(errors), 1e-9, self.rows), *([all_normal(scores, self.rows)] if scores else [])])

    def _added(self, part: Corruption, batch: Batch, case: Case) -> Tensor:
        """What views add over the std that they should, where each measurement has a level of its own."""
        generator = key(case, "operator-views.levels")
        level = 0.05 + 0.3 * torch.rand(batch.x_n.shape, generator=generator, dtype=torch.float64)
        batch = batch._replace(sigma_n=level)
        sigma = part.floor(batch) * 1.2
        view = part.degrade(batch, sigma, generator)
        added = (view.cond["measured"] - batch.x_n) / (per_row(sigma, level) ** 2 - level**2).sqrt()
        return added[view.cond["sampled"].expand_as(added)]

    def control(self, part: Part) -> Part:
        """The same corruption, whose views are twice as large."""
        assert isinstance(part, Corruption)
        return _Altered(inner=part, view=2.0)


def _white(e: Tensor) -> list[float]:
    """Normal scores of the mean and of the mean square of noise that should be N(0, 1); none of no noise."""
    return [float(e.mean()) * len(e) ** 0.5, float(square_score(e))] if len(e) else []


class OperatorExpect(Check):
    """`expect` turns the exact E[x_0 | y_t] into the exact E[x_n | y_t], and `weight` counts each measurement once in
    the mean.

    Levels are those of rows, and of measurements. The answer is computed in another way: by conditioning the joint
    normal law of x_n and y_t of each component.
    Weights of hidden measurements average to `hidden` over what was measured.
    """

    name = "operator-expect"
    source = "arXiv 2404.10177, Lemma 3.1; Bishop (2006), eq. 2.81-2.82; arXiv 2210.01696"
    kind = "corruption"
    claim = "linear"
    null_law = "exact: tolerance 1e-8; normal scores of mean weights (Bonferroni)"
    detects = "any other mix, another operator than that of `observe`, a weight wrong by 5 %"
    meaning = "What a denoiser implies for the measurements is wrong: objectives are biased with this corruption."
    quick = True

    rows: int = Field(20_000, ge=1000)
    """Rows whose weights are averaged."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest error, or the largest normal score."""
        assert isinstance(part, Corruption)
        own, operator = measured_case(case, part), dense(part)
        batch = own.observe(self.rows, key(case, "operator-expect.observe"))
        sigma = part.floor(batch).clamp(min=0.05) * (1.05 + torch.arange(self.rows) % 5)
        view = part.degrade(batch, sigma, key(case, "operator-expect.degrade"))
        few = Batch(
            batch.x_n[:ROWS], batch.sigma_n[:ROWS], batch.row[:ROWS], {k: v[:ROWS] for k, v in batch.cond.items()}
        )
        some = View(view.x[:ROWS], sigma[:ROWS], {k: v[:ROWS] for k, v in view.cond.items()})
        found = part.expect(own.oracle(some.x, some.sigma, **some.cond), some, few).double().flatten(1)
        right = torch.stack([self._one(operator, some, few, row) for row in range(ROWS)])
        cap, hidden = torch.full_like(sigma, 25.0), torch.full_like(sigma, 0.5)
        weight = part.weight(view, batch, cap, hidden).double().expand_as(batch.x_n).flatten(1)
        shown = view.cond["sampled"].expand_as(batch.x_n).flatten(1)
        seen = batch.cond["sampled"].expand_as(batch.x_n).flatten(1)
        a = (
            (1 - (per_row(batch.sigma_n, batch.x_n) / per_row(sigma, batch.x_n)).square())
            .expand_as(batch.x_n)
            .flatten(1)
        )
        level = 1 / a.square().clamp(min=1 / 25)
        scores = []
        for place in range(weight.shape[1]):
            own_weights = weight[~shown[:, place], place]
            if len(own_weights) > 100:
                off = (own_weights.mean() - 0.5).abs() - 0.005
                scores.append(off.clamp(min=0) / (own_weights.std() / len(own_weights) ** 0.5).clamp(min=1e-12))
        errors = [found - right, (weight / level - 1)[shown], weight[~seen], *self._by_measurement(part, own, few)]
        tests = [exact(largest(errors), 1e-8, ROWS)]
        return all_of([*tests, all_normal(torch.stack(scores), self.rows)] if scores else tests)

    def _by_measurement(self, part: Corruption, case: Case, batch: Batch) -> list[Tensor]:
        """The errors of `expect` and `weight` where each measurement has a level of its own, as if it was known."""
        generator, operator = key(case, "operator-expect.levels"), dense(part)
        level = 0.05 + 0.3 * torch.rand(batch.x_n.shape, generator=generator, dtype=torch.float64)
        batch = batch._replace(sigma_n=level)
        sigma = part.floor(batch).clamp(min=0.05) * 1.3
        view = part.degrade(batch, sigma, generator)
        found = part.expect(case.oracle(view.x, sigma, **view.cond), view, batch).double().flatten(1)
        right = torch.stack([self._one(operator, view, batch, row) for row in range(len(batch.x_n))])
        weight = part.weight(view, batch, torch.full_like(sigma, 25.0), torch.full_like(sigma, 0.5)).double()
        a = 1 - (level / per_row(sigma, level)).square()
        off = weight.expand_as(a) * a.square().clamp(min=1 / 25) - 1
        return [found - right, off[view.cond["sampled"].expand_as(off)]]

    def _one(self, operator: Tensor, view: View, batch: Batch, row: int) -> Tensor:
        mixture, n = law(), batch.sigma_n[row].flatten().expand(len(operator))
        shown = view.cond["sampled"].expand_as(view.cond["measured"])[row].flatten()
        seen = batch.cond["sampled"].expand_as(batch.x_n)[row].flatten()
        y_t, means = view.cond["measured"][row].flatten()[shown], mixture.means @ operator.T
        whole = operator @ mixture.covariances @ operator.T
        s = float(view.sigma[row]) ** 2 * torch.eye(int(shown.sum()), dtype=torch.float64)
        total = whole[:, shown][:, :, shown] + s
        across = (whole + torch.diag(n.square()))[:, :, shown]
        off = (y_t - means[:, shown]).unsqueeze(2)
        solved = torch.linalg.solve(total, off)
        log = mixture.weights.log() - 0.5 * (off * solved).sum((1, 2)) - 0.5 * torch.logdet(total)
        return torch.where(seen, torch.softmax(log, 0) @ (means + (across @ solved).squeeze(2)), 0.0)

    def control(self, part: Part) -> Part:
        """The same corruption, whose answer is 1 % too large."""
        assert isinstance(part, Corruption)
        return _Altered(inner=part, factor=1.01)


class StationarityUnderOperators(Check):
    """`stationarity` on rows measured through operators: a Fourier transform in part, a general matrix, and a blur.

    With noise and without; the measurements of the blur lie over the picture.

    The exact denoiser is E[x_0 | y_t] of the mixture under the operator, in closed form.
    """

    name = "stationarity-under-operators"
    source = "as `stationarity`; the exact denoiser: Bishop (2006), eq. 2.113-2.117"
    kind = "objective"
    claim = "serves-operators"
    null_law = "F(p, n - p) of Hotelling's T^2, of all batches and of each kind (Bonferroni)"
    detects = "a mean gradient of 0.9 standard deviations of one batch's"
    meaning = "On rows measured through an operator, training would not end at E[x_0 | y_t]."
    quick = True

    batches: int = Field(180, ge=84)
    """Independent gradients; a few more where they are no multiple of 12."""
    batch_size: int = Field(256, ge=2)
    """Rows in each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """F statistic and p-value of the mean gradient. Deterministic in `case.seed`."""
        assert isinstance(part, Objective)
        cases = [measured_case(case, corruption) for corruption in case.partial if "linear" in corruption.claims]

        def once(index: int, groups: int) -> Tensor:
            own = cases[index % len(cases)]
            theta = torch.zeros(groups, 12, dtype=torch.float64, requires_grad=True)
            batch = in_groups(observations(own, groups * self.batch_size, index), own, index, groups)
            value = mean_value(terms(part, _pushed(own.oracle, theta), batch, own, index))
            return groups * gradient(value, theta)

        return mean_zero_by_kind(by_group(once, self.batches, len(cases)), len(cases))

    def control(self, part: Part) -> Part:
        """The same objective, shown a denoiser that is wrong by 0.5 log sigma."""
        assert isinstance(part, Objective)
        return Shifted(inner=part)


def _pushed(oracle: Denoiser, theta: Tensor) -> Denoiser:
    """oracle + sum_k theta_k phi_k of position, level and what is shown, for theta (G, K) of each group."""

    def probed(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        low = torch.exp(-((sigma / 0.3) ** 2)).reshape(-1, 1)
        level = (sigma / (1 + sigma)).reshape(-1, 1)
        share = cond["sampled"].flatten(1).double().mean(1, keepdim=True)
        flat = x.double().flatten(1)
        ramp = torch.linspace(-1, 1, flat.shape[1], dtype=torch.float64).expand_as(flat)
        bends = [
            torch.ones_like(flat),
            ramp,
            torch.tanh(flat),
            share * ramp,
            torch.tanh(flat.sum(1, keepdim=True)) * ramp,
            share * flat,
        ]
        phi = torch.stack([bend * band * level for bend in bends for band in (low, 1 - low)])
        own = own_theta(theta, len(x), cond.get(GROUP))
        return oracle(x, sigma, **cond) + torch.einsum("kbd,bk->bd", phi, own).reshape(x.shape).to(x.dtype)

    return probed


class _Altered(Corruption):
    """A corruption with other factors in `expect` and in its views: wrong on purpose."""

    name = "altered-measurements-control"
    carries = frozenset({"sampled", "measured"})

    inner: InstanceOf[Corruption]
    factor: float = 1.0
    view: float = 1.0

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """The inner corruption's."""
        return self.inner.observe(x_0, row, generator)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The inner corruption's, its picture times `view`."""
        found = self.inner.degrade(batch, sigma, generator)
        return found._replace(x=self.view * found.x)

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """The inner corruption's, times `factor`."""
        return self.factor * self.inner.expect(x_0_hat, view, batch)

    def floor(self, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return self.inner.floor(batch)

    def slope(self, view: View, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return self.inner.slope(view, batch)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """The inner corruption's."""
        return self.inner.weight(view, batch, cap, hidden)

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The inner corruption's."""
        return self.inner.show(batch, sigma, generator)
