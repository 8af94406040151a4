"""Objectives at the noise of the data, on recorrupted rows, and on rows with missing values, that are wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Denoiser, Objective, Tools
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.eighth_kit.bases import rows_mean, signs

RISK = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "detached-anchor"})


class Risk(Objective):
    """SURE with a probe of random signs, in pieces."""

    name = "eight-risk-base"
    source = "Stein (1981); arXiv 2305.13128"
    claims = RISK

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """A value for each row with noise."""
        batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        sigma = tools.corruption.floor(batch)
        if len(sigma) == 0:
            return {"risk": Term(batch.x_n.new_zeros(0), sigma)}
        view = self.view(batch, sigma, tools)
        probe = self.probe(view.x, tools)
        answer, along = self.answers(denoiser, view, probe)
        risk = self.risk(answer, along, view, per_row(sigma, view.x) ** 2, batch)
        return {"risk": Term(edm_weight(sigma, tools.signal.sigma_data) * rows_mean(risk), sigma)}

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        """At the floor of each row."""
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def probe(self, x: Tensor, tools: Tools) -> Tensor:
        """v."""
        return signs(x, tools)

    def answers(self, denoiser: Denoiser, view: View, probe: Tensor) -> tuple[Tensor, Tensor]:
        """D and v . J v, value by value."""
        x = view.x.detach().requires_grad_()
        with torch.enable_grad():
            answer = denoiser(x, view.sigma, **view.cond).to(x.dtype)
            (slope,) = torch.autograd.grad((answer * probe).sum(), x, create_graph=True)
        return answer, slope * probe

    def risk(self, answer: Tensor, along: Tensor, view: View, square: Tensor, batch: Batch) -> Tensor:
        """Value by value."""
        return (answer - view.x) ** 2 + 2 * square * along - square


class OneDivergence(Risk):
    """The divergence once where Stein's identity has it twice."""

    name = "eight-one-divergence"

    def risk(self, answer: Tensor, along: Tensor, view: View, square: Tensor, batch: Batch) -> Tensor:
        return (answer - view.x) ** 2 + square * along - square


class ConstantDivergence(Risk):
    """The divergence is taken without a graph: what is left learns the noise."""

    name = "eight-constant-divergence"

    def answers(self, denoiser: Denoiser, view: View, probe: Tensor) -> tuple[Tensor, Tensor]:
        answer, along = super().answers(denoiser, view, probe)
        return answer, along.detach()


class UniformProbe(Risk):
    """A probe uniform on (-1, 1), whose second moment is a third."""

    name = "eight-uniform-probe"

    def probe(self, x: Tensor, tools: Tools) -> Tensor:
        return 2 * uniform(x, tools.generator) - 1


class CoarseDifference(Risk):
    """The derivative as a difference over a whole sigma_n: off wherever D is not straight."""

    name = "eight-coarse-difference"

    def answers(self, denoiser: Denoiser, view: View, probe: Tensor) -> tuple[Tensor, Tensor]:
        step = 1.5 * per_row(view.sigma, view.x)
        answer = denoiser(view.x, view.sigma, **view.cond).to(view.x.dtype)
        ahead = denoiser(view.x + step * probe, view.sigma, **view.cond).to(view.x.dtype)
        return answer, probe * (ahead - answer) / step


class NotTopped(Risk):
    """Noise by pixel is not topped up: x_n is taken as it is, with the row's largest level."""

    name = "eight-not-topped"

    def view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        return View(batch.x_n, sigma, batch.cond)


class ProbeIsNoise(Risk):
    """The probe is the row itself less its mean, to save a draw: it depends on what it should probe."""

    name = "eight-probe-of-row"

    def probe(self, x: Tensor, tools: Tools) -> Tensor:
        return torch.where(x > x.mean(), torch.ones_like(x), -torch.ones_like(x))


class Recorrupted(Objective):
    """Recorrupted to recorrupted: D(x_n + k e) against x_n - e / k, e of the row's noise."""

    name = "eight-recorrupted-base"
    source = "arXiv 2102.02234, eq. 10"
    claims = RISK

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """A value for each row with noise."""
        batch = take(batch, (tools.corruption.floor(batch) > tools.levels.sigma_min).nonzero().squeeze(1))
        floor = tools.corruption.floor(batch)
        if len(floor) == 0:
            return {"pair": Term(batch.x_n.new_zeros(0), floor)}
        view = tools.corruption.degrade(batch, floor, tools.generator)
        x_n, e = view.x, per_row(floor, view.x) * standard_normal(view.x, tools.generator)
        k = 0.3 + 0.7 * uniform(floor, tools.generator)
        seen, target, sigma = self.pair(x_n, e, per_row(k, x_n), k, floor)
        rho = denoiser(seen, sigma, **view.cond).to(x_n.dtype) - target
        return {"pair": Term(edm_weight(sigma, tools.signal.sigma_data) * rows_mean(rho**2), sigma)}

    def pair(self, x_n: Tensor, e: Tensor, k: Tensor, row_k: Tensor, floor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is seen, what it is compared with, and the level of what is seen."""
        return x_n + k * e, x_n - e / k, floor * (1 + row_k**2).sqrt()


class ToldOwnLevel(Recorrupted):
    """The denoiser is told sigma_n, where it sees sigma_n sqrt(1 + k^2)."""

    name = "eight-told-own-level"

    def pair(self, x_n: Tensor, e: Tensor, k: Tensor, row_k: Tensor, floor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x_n + k * e, x_n - e / k, floor


class NoisyTarget(Recorrupted):
    """Noisier to noisy without its correction: x_n is the target, and its noise is learnt in part."""

    name = "eight-noisy-target"

    def pair(self, x_n: Tensor, e: Tensor, k: Tensor, row_k: Tensor, floor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x_n + k * e, x_n, floor * (1 + row_k**2).sqrt()


class OnMasks(Tweedie):
    """`tweedie` as it is, in pieces."""

    name = "eight-masks-base"

    hidden_power: float = 0.6
    """As the built-in one had it."""

    def _value(self, denoiser: Denoiser, batch: Batch, view: View, cap: Tensor, tools: Tools) -> Tensor:
        answer = denoiser(view.x, view.sigma, **self.told(view, batch)).to(batch.x_n.dtype)
        rho = tools.corruption.expect(answer, view, batch) - batch.x_n
        hidden = (edm_weight(view.sigma, tools.signal.sigma_data) * tools.signal.sigma_data**2) ** -self.hidden_power
        factor = self.counted(tools.corruption.weight(view, batch, cap, hidden), view, batch)
        return self._lambda(view.sigma, tools.signal.sigma_data) * self.mean(
            factor * self.error(rho, answer, batch), factor
        )

    def told(self, view: View, batch: Batch) -> dict[str, Tensor]:
        """Conditions."""
        return view.cond

    def counted(self, factor: Tensor, view: View, batch: Batch) -> Tensor:
        """What errors count."""
        return factor

    def error(self, rho: Tensor, answer: Tensor, batch: Batch) -> Tensor:
        """Value by value."""
        return rho**2

    def mean(self, value: Tensor, factor: Tensor) -> Tensor:
        """(B,)."""
        return rows_mean(value)


class TellsMaskOfRow(OnMasks):
    """The denoiser is told the mask of the row, where the view shows less: zeros are taken for values."""

    name = "eight-tells-mask-of-row"

    def told(self, view: View, batch: Batch) -> dict[str, Tensor]:
        return batch.cond


class ZeroIsData(OnMasks):
    """Errors count everywhere: where nothing was measured the answer is drawn to 0."""

    name = "eight-zero-is-data"

    def counted(self, factor: Tensor, view: View, batch: Batch) -> Tensor:
        return torch.where(factor > 0, factor, torch.ones_like(factor))

    def error(self, rho: Tensor, answer: Tensor, batch: Batch) -> Tensor:
        return torch.where(batch.x_n == 0, answer - batch.x_n, rho) ** 2


class ShownAlone(OnMasks):
    """Errors of what the view hides do not count: nothing says what lies under a mask."""

    name = "eight-shown-alone"

    def counted(self, factor: Tensor, view: View, batch: Batch) -> Tensor:
        mask = view.cond.get("mask")
        return factor if mask is None else factor * mask.to(factor.dtype)


class OverMeasured(OnMasks):
    """The mean is over what counts in each row, so that values of sparse rows weigh more than the claim says."""

    name = "eight-over-measured"

    def mean(self, value: Tensor, factor: Tensor) -> Tensor:
        return value.flatten(1).sum(1) / (factor > 0).flatten(1).sum(1).clamp(min=1)


class ShowsAll(OnMasks):
    """Views hide nothing more (`show` in place of `degrade`), so that no answer under a mask is ever compared."""

    name = "eight-shows-all"

    def _views(self, batch: Batch, sigma: Tensor, draws, tools: Tools):
        view = tools.corruption.show(batch, sigma, tools.generator)
        return view, torch.full_like(sigma, self.cap)


class FilledIn(OnMasks):
    """What the view hides is filled with the mean of what it shows, before a network that was told it is 0."""

    name = "eight-filled-in"

    def _views(self, batch: Batch, sigma: Tensor, draws, tools: Tools):
        view, cap = super()._views(batch, sigma, draws, tools)
        mask = view.cond.get("mask")
        if mask is None:
            return view, cap
        shown = mask.expand_as(view.x).to(view.x.dtype)
        mean = (view.x * shown).flatten(1).sum(1) / shown.flatten(1).sum(1).clamp(min=1)
        return view._replace(x=view.x + (1 - shown) * per_row(mean, view.x)), cap


PARTS = (
    OneDivergence, ConstantDivergence, UniformProbe, CoarseDifference, NotTopped, ProbeIsNoise,
    ToldOwnLevel, NoisyTarget, TellsMaskOfRow, ZeroIsData, ShownAlone,
    OverMeasured, ShowsAll, FilledIn,
)  # fmt: skip
