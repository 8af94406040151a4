"""Wrong objectives of other forms: Stein's risk estimate, predictions of noise and of velocity, detail, denoising."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term, View, take
from ambientkit.builtin.objectives.denoising import Denoising
from ambientkit.builtin.objectives.detail_moments import DetailMoments
from ambientkit.builtin.objectives.sure import Sure
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.interfaces import Denoiser, Memory, Objective, Tools
from ambientkit.maths.levels import truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight


class OwnSure(Objective):
    """Stein's risk estimate with a probe of random signs. Right: parts below change it."""

    name = "seven-own-sure"
    source = "Stein (1981), theorem 1"
    claims = Sure.claims

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term with a value for each noisy row."""
        floor = tools.corruption.floor(batch)
        batch = take(batch, (floor > tools.levels.sigma_min).nonzero().squeeze(1))
        sigma = tools.corruption.floor(batch)
        if len(sigma) == 0:
            return {self.name: Term(sigma, sigma)}
        view = self._view(batch, sigma, tools)
        x = view.x.detach().requires_grad_()
        probe = self._probe(x, tools)
        with torch.enable_grad():
            x_0_hat = denoiser(x, sigma, **view.cond).to(x.dtype)
            slope = self._slope(x_0_hat, x, probe, sigma, view, denoiser)
        risk = (x_0_hat - view.x) ** 2 + self._square(batch, sigma) * (self._times() * probe * slope - 1)
        return {self.name: Term(edm_weight(sigma, tools.signal.sigma_data) * risk.flatten(1).mean(1), sigma)}

    def _view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        return tools.corruption.degrade(batch, sigma, tools.generator)

    def _probe(self, x: Tensor, tools: Tools) -> Tensor:
        return (uniform(x, tools.generator) < 0.5).to(x.dtype) * 2 - 1

    def _slope(self, x_0_hat, x, probe, sigma, view, denoiser) -> Tensor:
        (slope,) = torch.autograd.grad((x_0_hat * probe).sum(), x, create_graph=True)
        return slope

    def _square(self, batch: Batch, sigma: Tensor) -> Tensor:
        return per_row(sigma, batch.x_n) ** 2

    def _times(self) -> float:
        return 2.0


class SureOnce(OwnSure):
    """The divergence counts once, where Stein's estimate has it twice."""

    name = "seven-sure-once"

    def _times(self) -> float:
        return 1.0


class SureDetached(OwnSure):
    """The divergence is computed without its graph, so that the gradient is that of copying the row."""

    name = "seven-sure-detached"

    def _slope(self, x_0_hat, x, probe, sigma, view, denoiser) -> Tensor:
        return super()._slope(x_0_hat, x, probe, sigma, view, denoiser).detach()


class SureOwnLevels(OwnSure):
    """Noise per pixel is not topped up: the denoiser is told the highest level, and Stein's term has each pixel's."""

    name = "seven-sure-own-levels"

    def _view(self, batch: Batch, sigma: Tensor, tools: Tools) -> View:
        return View(batch.x_n, sigma, batch.cond)

    def _square(self, batch: Batch, sigma: Tensor) -> Tensor:
        return per_row(batch.sigma_n, batch.x_n) ** 2


class SureWide(OwnSure):
    """The derivative is a one-sided difference over a whole sigma_n, far beyond where the denoiser is straight."""

    name = "seven-sure-wide"

    def _slope(self, x_0_hat, x, probe, sigma, view, denoiser) -> Tensor:
        step = per_row(sigma, x)
        beside = denoiser(view.x + step * probe, sigma, **view.cond).to(x.dtype)
        return (beside - x_0_hat) / step


class SureUniformProbe(OwnSure):
    """The probe is drawn uniform on [-1, 1], whose variance is a third."""

    name = "seven-sure-uniform-probe"

    def _probe(self, x: Tensor, tools: Tools) -> Tensor:
        return uniform(x, tools.generator) * 2 - 1


class SureOneSign(OwnSure):
    """One sign is drawn for each row, so that all derivatives between two values count, not those of the divergence."""

    name = "seven-sure-one-sign"

    def _probe(self, x: Tensor, tools: Tools) -> Tensor:
        sign = super()._probe(x.flatten(1)[:, :1], tools)
        return per_row(sign.squeeze(1), x).expand_as(x)


class EpsPlain(Objective):
    """Predicts the added noise z by eps_hat = (x_t - D) / sigma alone, without the factor c / sigma of noisy rows."""

    name = "seven-eps-plain"
    source = "arXiv 2006.11239, eq. 14"
    claims = frozenset(
        {"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor", "detached-anchor"}
    )

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term with a value for every row."""
        floor = tools.corruption.floor(batch)
        u = uniform(torch.empty_like(floor), tools.generator)
        low = floor.clamp(min=tools.levels.sigma_min)
        sigma = truncated_lognormal(u, low, tools.levels.sigma_max, -1.2, 1.2)
        z, sigma_t = standard_normal(batch.x_n, tools.generator), per_row(sigma, batch.x_n)
        c = (sigma_t**2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()
        x_t = batch.x_n + c * z
        x_0_hat = denoiser(x_t, sigma, **batch.cond).to(x_t.dtype)
        value = self._error(x_0_hat, x_t, batch, z, c, sigma_t, floor).square().flatten(1).mean(1)
        return {self.name: Term(value, sigma)}

    def _error(self, x_0_hat, x_t, batch, z, c, sigma_t, floor) -> Tensor:
        return (x_t - x_0_hat) / sigma_t - z


class EpsRowRatio(EpsPlain):
    """The factor c / sigma is that of the row's highest level, also where noise is given per pixel."""

    name = "seven-eps-row-ratio"

    def _error(self, x_0_hat, x_t, batch, z, c, sigma_t, floor) -> Tensor:
        ratio = (1 - (per_row(floor, x_t) / sigma_t) ** 2).clamp(min=0).sqrt()
        return ratio * (x_t - x_0_hat) / sigma_t - z


class VelocityOfRows(EpsPlain):
    """The target is the velocity alpha z' - s x_n, z' the noise added to the noisy row and scaled by sigma."""

    name = "seven-velocity-of-rows"

    def _error(self, x_0_hat, x_t, batch, z, c, sigma_t, floor) -> Tensor:
        alpha = (1 + sigma_t**2) ** -0.5
        answered = alpha * (x_t - x_0_hat) / sigma_t - sigma_t * alpha * x_0_hat
        return answered - (alpha * c * z / sigma_t - sigma_t * alpha * batch.x_n)


class FlowOfRows(EpsPlain):
    """The target is the velocity z - x_n of a flow from the noisy row, whose end is not the clean row."""

    name = "seven-flow-of-rows"

    def _error(self, x_0_hat, x_t, batch, z, c, sigma_t, floor) -> Tensor:
        return (x_t - x_0_hat) / sigma_t - x_0_hat - ((x_t - batch.x_n) / sigma_t - batch.x_n)


class DetailUpwards(DetailMoments):
    """The gain pushes the wrong way: where detail is too strong it is made stronger."""

    name = "seven-detail-upwards"

    def _push(self, memory: Memory, bin_of: Tensor, v: Tensor, s: Tensor, top: Tensor) -> Tensor:
        return -super()._push(memory, bin_of, v, s, top)


class DetailWithoutRows(DetailMoments):
    """The law of the ends is held to no energy at all: that of the noisy rows is not taken off."""

    name = "seven-detail-without-rows"

    def _push(self, memory: Memory, bin_of: Tensor, v: Tensor, s: Tensor, top: Tensor) -> Tensor:
        rows = memory["rows"]
        return super()._push({**memory, "rows": torch.zeros_like(rows)}, bin_of, v, s, top)


class DetailNoisyEnergy(DetailMoments):
    """The energy of the rows is remembered with that of their noise."""

    name = "seven-detail-noisy-energy"

    def _remember(self, memory, means, square, band, bin_of, gain, law) -> None:
        noise = float(law.detach().abs().mean())
        super()._remember(memory, means, square + noise, band, bin_of, gain, law)


class DenoisingAbsolute(Denoising):
    """Clean rows are denoised with the absolute error, whose minimum is a median."""

    name = "seven-denoising-absolute"
    claims = Denoising.claims - {"x_0-scale"}

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term."""
        if (tools.corruption.floor(batch) > 0).any():
            return super().loss(denoiser, batch, tools)
        u = uniform(torch.empty(len(batch.x_n)), tools.generator)
        sigma = truncated_lognormal(u, tools.levels.sigma_min, tools.levels.sigma_max, self.p_mean, self.p_std)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        error = (denoiser(view.x, sigma, **view.cond).to(batch.x_n.dtype) - batch.x_n).abs().flatten(1).mean(1)
        return {self.name: Term(error / sigma, sigma)}


class DenoisingTakesNoisy(Denoising):
    """Rows below a noise level of 0.3 are let pass as clean enough, though it says that it refuses noisy rows."""

    name = "seven-denoising-takes-noisy"

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """One term."""
        floor = tools.corruption.floor(batch)
        if bool((floor < 0.3).all()):
            batch = batch._replace(sigma_n=torch.zeros_like(batch.sigma_n))
        return super().loss(denoiser, batch, tools)


class MirrorAboutOther(Tweedie):
    """The mirror of a view is taken about the other row of its couple, whose observation it is not."""

    name = "seven-mirror-about-other"

    def _views(self, batch, sigma, draws, tools):
        view, cap = super()._views(batch, sigma, draws, tools)
        n = len(batch.x_n)
        about = batch.x_n[(draws.couple + 2).clamp(max=n - 1)]
        second = per_row((draws.paired & (draws.here % 2 == 1)).to(batch.x_n.dtype), batch.x_n) > 0
        return view._replace(x=torch.where(second, view.x - 2 * batch.x_n + 2 * about, view.x)), cap


class PairsConditions(Tweedie):
    """Every second row is told the condition of the row before it, also where the two are no pair."""

    name = "seven-pairs-conditions-of-first"

    def _views(self, batch, sigma, draws, tools):
        view, cap = super()._views(batch, sigma, draws, tools)
        cond = {name: value[draws.couple.clamp(max=len(value) - 1)] for name, value in view.cond.items()}
        return view._replace(cond=cond), cap


PARTS = (
    SureOnce,
    SureDetached,
    SureOwnLevels,
    SureWide,
    SureUniformProbe,
    SureOneSign,
    EpsPlain,
    EpsRowRatio,
    VelocityOfRows,
    FlowOfRows,
    DetailUpwards,
    DetailWithoutRows,
    DetailNoisyEnergy,
    DenoisingAbsolute,
    DenoisingTakesNoisy,
    MirrorAboutOther,
    PairsConditions,
)
