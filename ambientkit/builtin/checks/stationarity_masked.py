"""The checks `stationarity-under-masks` and `scale-under-masks`: objectives on rows with missing values."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field, InstanceOf
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.labelled import Broken
from ambientkit.builtin.checks.masked import masked_case
from ambientkit.builtin.checks.masked_questions import asks_with_the_view
from ambientkit.builtin.checks.outcome import all_normal, mean_zero_by_kind, scores_within
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
from ambientkit.interfaces import Case, Check, Corruption, Denoiser, Measured, Objective, Part, Tools
from ambientkit.maths.weights import HIDDEN, edm_weight, hidden_factor


class StationarityUnderMasks(Check):
    """`stationarity` on rows with missing values: pixels, columns and boxes of pictures, with and without noise.

    The exact denoiser is E[x_0 | A~ x_t, A~], in closed form; the probe directions depend on what the view shows and on
    its mask, for values shown and hidden. Masks keep their dtype, and no value that a view hides reaches the denoiser
    (`masked_questions`).
    """

    name = "stationarity-under-masks"
    source = "as `stationarity`; the exact denoiser: Bishop (2006), eq. 2.113-2.117"
    kind = "objective"
    claim = "serves-masks"
    null_law = "F(p, n - p) of Hotelling's T^2, of all batches and of each kind (Bonferroni)"
    detects = "a mean gradient of 0.9 standard deviations of one batch's; views that hide nothing of what was measured"
    meaning = (
        "On rows with missing values, training would not end at E[x_0 | A~ x_t]: use the objective on whole rows only."
    )
    quick = True

    batches: int = Field(160, ge=96)
    """Independent gradients; a few more where they are no multiple of 16."""
    batch_size: int = Field(256, ge=2)
    """Rows in each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """F statistic and p-value of the mean gradient. Deterministic in `case.seed`."""
        assert isinstance(part, Objective)
        cases = [masked_case(case, corruption) for corruption in case.partial if "masked" in corruption.claims]
        try:
            for index, own in enumerate(cases):
                asks_with_the_view(part, own, index)
        except Broken as error:
            return Measured(math.inf, 0.0, len(cases), str(error))

        def once(index: int, groups: int) -> Tensor:
            own = cases[index % len(cases)]
            theta = torch.zeros(groups, 12, dtype=torch.float64, requires_grad=True)
            batch = in_groups(observations(own, groups * self.batch_size, index), own, index, groups)
            value = mean_value(terms(part, pushed(own.oracle, theta), batch, own, index))
            return groups * gradient(value, theta)

        return mean_zero_by_kind(by_group(once, self.batches, len(cases)), len(cases))

    def control(self, part: Part) -> Part:
        """The same objective, shown a denoiser that is wrong by 0.5 log sigma."""
        assert isinstance(part, Objective)
        return Shifted(inner=part)


def pushed(oracle: Denoiser, theta: Tensor) -> Denoiser:
    """oracle + sum_k theta_k phi_k for theta (G, K) of each group, phi_k of what is shown and of the mask: per value,
    for shown and for hidden ones, at low and at high levels."""

    def probed(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        shown = cond["mask"].expand_as(x).to(x.dtype)
        low = torch.exp(-((sigma / 0.3) ** 2)).reshape(-1, *[1] * (x.ndim - 1))
        level = (sigma / (1 + sigma)).reshape(low.shape)
        mean = torch.tanh((shown * x).flatten(1).sum(1)).reshape(low.shape)
        phi = []
        for place in (shown * level, 1 - shown):
            for band in (low, 1 - low):
                phi += [
                    place * band,
                    place * band * mean,
                    place * band * torch.linspace(-1, 1, x[0].numel()).to(x).reshape(x[0].shape),
                ]
        own = own_theta(theta, len(x), cond.get(GROUP))
        return oracle(x, sigma, **cond) + torch.einsum("kb...,bk->b...", torch.stack(phi).double(), own).to(x.dtype)

    return probed


class ScaleUnderMasks(Check):
    """On rows with missing values an error costs in the mean lambda delta^2 for each value of x_0, lambda by the power
    `hidden_power` where it is hidden.

    For a value shown it is lambda(sigma), for one that is hidden lambda(sigma)^(1 - p) lambda(infinity)^p, p the
    objective's field `hidden_power`, that of the corruption where it is None; 1, 3/4, 3/5 or that of the corruption
    where there is no such field. So all values of x_0 count, although a part of
    them was never measured. lambda is the EDM weight, a >= 0.2.
    """

    name = "scale-under-masks"
    source = "weight: arXiv 2206.00364, table 1; hidden values: arXiv 2210.01696; docs/masks.md"
    kind = "objective"
    claim = "scale-under-masks"
    null_law = "normal scores of mean costs within 1 % (Bonferroni)"
    detects = "hidden values that do not count, or with a weight wrong by 10 %"
    meaning = (
        "Errors of hidden values count too little or too much: the minimum is the same, but a network of "
        "finite size errs there."
    )
    quick = True

    batches: int = Field(8, ge=2)
    """Batches of each kind of mask whose places are independent."""
    batch_size: int = Field(2000, ge=100)
    """Rows in each."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest normal score of what shown and hidden values cost, against what they should."""
        assert isinstance(part, Objective)
        scores, n = [], 0
        for corruption in [corruption for corruption in case.partial if "masked" in corruption.claims][:3]:
            own = masked_case(case, corruption)
            found: dict[bool, list[Tensor]] = {True: [], False: []}
            for index in range(self.batches):
                answers: dict[bytes, Tensor] = {}
                for of_shown, own_costs in found.items():
                    own_costs.append(self._costs(part, own, index, of_shown, answers))
            if not any(costs.shape[1] for own_costs in found.values() for costs in own_costs):
                continue  # rows of this kind are left out
            for of_shown, own_costs in found.items():
                cost, share, factor = torch.cat(own_costs, dim=1)
                n += len(cost)
                if len(cost) < 2:  # no question in the range that is compared
                    return Measured(math.inf, 0.0, n)
                powers = [0.0] if of_shown else _powers(part, corruption)
                scores.append(min((_score(cost * factor**-power, share) for power in powers), key=torch.abs))
        return all_normal(torch.stack(scores), n) if scores else Measured(math.inf, 0.0, 0)

    def _costs(self, part: Objective, case: Case, index: int, of_shown: bool, answers: dict[bytes, Tensor]) -> Tensor:
        """(3, n): cost over what one value costs at lambda(sigma), the share of the values that the view shows (or
        hides), and what a hidden value counts against that at power 1; for rows with a >= 0.2 of which it shows (or
        hides) something.

        answers: points and the exact answers to them, which are the same for every size of the error, and kept.
        """
        batch, places = observations(case, self.batch_size, index), []

        def exact(x: Tensor, sigma: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
            points = x.detach().cpu().numpy().tobytes()
            if points not in answers:
                answers[points] = case.oracle(x, sigma, **cond)
            return answers[points]

        def at(size: float) -> list[Term]:
            def probed(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
                shown = cond["mask"].expand_as(x)
                if torch.is_grad_enabled():
                    places.append((sigma.detach().double(), (shown == of_shown).flatten(1).double().mean(1)))
                return exact(x, sigma, cond) + size * (shown == of_shown).to(x.dtype)

            return terms(part, probed, batch, case, index)

        below, here, above = at(-0.5), at(0.0), at(0.5)
        if not below and not here and not above:
            return torch.zeros(3, 0, dtype=torch.float64)
        value = [torch.cat([term.value for term in found]).double() for found in (below, here, above)]
        sigma = torch.cat([term.sigma for term in here]).double()
        places = _joined(places, len(sigma))
        if any(len(share) != len(sigma) for _, share in places):
            return torch.full((3, 1), float("inf"), dtype=torch.float64)
        # Of several views of a row, in the mean.
        share = torch.stack([_in_order_of(sigma, level, share) for level, share in places]).mean(0)
        clear = (sigma > 1.12 * 0.4) & (share > 0)
        cost = ((value[0] + value[2]) / 2 - value[1]) / (0.25 * edm_weight(sigma, case.tools.signal.sigma_data))
        return torch.stack([cost, share, hidden_factor(sigma, case.tools.signal.sigma_data, 1.0)])[:, clear]

    def control(self, part: Part) -> Part:
        """The same objective with values a fifth larger."""
        assert isinstance(part, Objective)
        return _Larger(inner=part)


def _joined(places: list[tuple[Tensor, Tensor]], n: int) -> list[tuple[Tensor, Tensor]]:
    """Questions about fewer than n rows, joined with those that follow: an objective may ask in chunks."""
    found: list[tuple[Tensor, Tensor]] = []
    for level, share in places:
        if found and len(found[-1][0]) + len(level) <= n:
            found[-1] = (torch.cat([found[-1][0], level]), torch.cat([found[-1][1], share]))
        else:
            found.append((level, share))
    return found


def _in_order_of(sigma: Tensor, level: Tensor, share: Tensor) -> Tensor:
    """The shares of questions at these levels in the order of values at levels sigma, where both are the same levels:
    several terms may have a part of the rows each. As they are otherwise."""
    here, there = sigma.argsort(), level.argsort()
    if not torch.equal(sigma[here], level[there]):
        return share
    return torch.empty_like(share).index_copy_(0, here, share[there])


def _powers(part: Objective, corruption: Corruption) -> list[float]:
    """The powers that an objective may mean: the one it says, that of the corruption if it says None, or one of those
    in use where it has no such field."""
    if not hasattr(part, "hidden_power"):
        return [1.0, 0.75, HIDDEN, corruption.hidden_power]
    return [corruption.hidden_power if part.hidden_power is None else part.hidden_power]


def _score(cost: Tensor, share: Tensor) -> Tensor:
    """The normal score of a mean cost that is the mean share, within 1 % of it. Not of the mean of their ratios: given
    several views of a row, a share says something of the masks of the others."""
    off = (cost - share) / share.mean()
    return scores_within(off.mean(), off.std() / len(off) ** 0.5, 0.01)


class _Larger(Objective):
    """An objective with values a fifth larger: wrong on purpose."""

    name = "larger-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's terms, times 1.2."""
        found = self.inner.loss(denoiser, batch, tools)
        return {name: Term(1.2 * term.value, term.sigma) for name, term in found.items()}
