"""Objectives above the noise of the data, continued: pairs, other forms, clean rows, masks."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from ambientkit.batch import Term, take
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.errors import InputError
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight
from tests.verification.sixth_kit.above import CLAIMS, Plain
from tests.verification.sixth_kit.marks import Marked, marked

WRONG: Marked = []
RIGHT: Marked = []


class Pairs(Plain):
    """Rows two by two, the second of a pair mirrored."""

    def loss(self, denoiser, batch, tools):
        n = len(batch.x_n) - len(batch.x_n) % 2
        if n == 0:
            return super().loss(denoiser, batch, tools)
        first = torch.arange(n, device=batch.x_n.device) // 2
        batch = take(batch, first[::2].repeat(2))
        sigma = self.levels(take(batch, torch.arange(n // 2)), tools).repeat(2)
        view = self.mirrored(batch, self.view(batch, sigma, tools), tools)
        rho = self.residual(self.ask(denoiser, view, batch, tools), view, batch, tools)
        return {"loss": Term(self.value(rho, view, batch, tools), sigma)}

    def mirrored(self, batch, view, tools):
        raise NotImplementedError


@marked(WRONG, "the second of a pair is mirrored about 0 instead of x_n")
class MirroredAboutZero(Pairs):
    name = "six-mirrored-about-0"

    def mirrored(self, batch, view, tools):
        half = len(view.x) // 2
        return view._replace(x=torch.cat([view.x[:half], -view.x[:half]]))


@marked(WRONG, "the second of a pair is mirrored about x_t: 2 x_t - x_n")
class MirroredAboutView(Pairs):
    name = "six-mirrored-about-view"

    def mirrored(self, batch, view, tools):
        half = len(view.x) // 2
        return view._replace(x=torch.cat([view.x[:half], 2 * view.x[:half] - batch.x_n[:half]]))


@marked(WRONG, "the levels of a pair differ, though its noise is one draw")
class PairOfTwoLevels(Pairs):
    name = "six-pair-of-two-levels"

    def mirrored(self, batch, view, tools):
        half = len(view.x) // 2
        sigma = torch.cat([view.sigma[:half], view.sigma[:half].flip(0)])
        sigma = torch.maximum(sigma, self.floor(batch, tools))
        return view._replace(x=torch.cat([view.x[:half], 2 * batch.x_n[:half] - view.x[:half]]), sigma=sigma)


@marked(RIGHT, "every row comes as a pair, x_t and 2 x_n - x_t")
class AllPairs(Pairs):
    name = "six-all-pairs"

    def mirrored(self, batch, view, tools):
        half = len(view.x) // 2
        return view._replace(x=torch.cat([view.x[:half], 2 * batch.x_n[:half] - view.x[:half]]))


class NoiseForm(Plain):
    """The noise of the view is predicted: rho = (c / sigma) eps_hat - z."""

    claims = CLAIMS - {"noise-by-pixel"}

    def loss(self, denoiser, batch, tools):
        x_n, sigma = batch.x_n, self.levels(batch, tools)
        z, c = standard_normal(x_n, tools.generator), self.added(batch, sigma)
        x_t = x_n + c * z
        eps = (x_t - denoiser(x_t, sigma, **batch.cond).to(x_n.dtype)) / per_row(sigma, x_n)
        value = self.error(eps, z, c, per_row(sigma, x_n)).square().flatten(1).mean(1)
        return {"loss": Term(value, sigma)}

    def added(self, batch, sigma):
        return (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).sqrt()

    def error(self, eps, z, c, sigma):
        return c / sigma * eps - z


@marked(WRONG, "the predicted noise of the whole is compared with the noise that was added")
class WholeNoise(NoiseForm):
    name = "six-whole-noise"

    def error(self, eps, z, c, sigma):
        return eps - z


@marked(WRONG, "c z is compared with eps_hat where c / sigma eps_hat belongs to z")
class ScaledTarget(NoiseForm):
    name = "six-scaled-target"

    def error(self, eps, z, c, sigma):
        return sigma * eps - c * z


@marked(WRONG, "the sign of the noise is that of another convention")
class SignOfNoise(NoiseForm):
    name = "six-sign-of-noise"

    def error(self, eps, z, c, sigma):
        return c / sigma * eps + z


@marked(RIGHT, "the noise is predicted, unweighted, and noise per pixel served elementwise")
class NoisePredicted(NoiseForm):
    name = "six-noise-predicted"
    claims = CLAIMS


@marked(RIGHT, "rows drawn below their own noise are left out: rejection in place of truncation")
class Rejected(Plain):
    """Levels of EDM's density; rows whose level is below their noise are left out."""

    name = "six-rejected"

    def loss(self, denoiser, batch, tools):
        floor = tools.corruption.floor(batch)
        low = floor.new_tensor(tools.levels.sigma_min)
        sigma = log_uniform(uniform(floor, tools.generator), low, tools.levels.sigma_max)
        kept = (sigma > floor).nonzero().squeeze(1)
        batch, sigma = take(batch, kept), sigma[kept]
        if len(kept) == 0:
            return {"loss": Term(batch.x_n.new_zeros(0), sigma)}
        view = self.view(batch, sigma, tools)
        rho = self.residual(self.ask(denoiser, view, batch, tools), view, batch, tools)
        return {"loss": Term(self.value(rho, view, batch, tools), sigma)}


@marked(RIGHT, "one level for the whole batch, above the noisiest row; it claims no density")
class OneLevel(Plain):
    name = "six-one-level"
    claims = CLAIMS - {"levels-above-floor"}

    def levels(self, batch, tools):
        top = self.floor(batch, tools).max()
        u = uniform(top.expand(1), tools.generator)
        return log_uniform(u, top, tools.levels.sigma_max).expand(len(batch.x_n))


@marked(RIGHT, "levels from one draw, spread evenly over the batch, as in variational diffusion models")
class EvenLevels(Plain):
    name = "six-even-levels"

    def levels(self, batch, tools):
        floor = self.floor(batch, tools)
        u = uniform(torch.empty(1, device=floor.device), tools.generator)
        even = (u + torch.arange(len(floor), device=floor.device) / len(floor)) % 1
        return log_uniform(even, floor, tools.levels.sigma_max)


@marked(RIGHT, "the mean of two views of each row, and the weight computed by numpy")
class TwoViews(Plain):
    name = "six-two-views"

    def loss(self, denoiser, batch, tools):
        terms = {name: super(TwoViews, self).loss(denoiser, batch, tools)["loss"] for name in ("first", "second")}
        return {name: term._replace(value=term.value / 2) for name, term in terms.items()}

    def weight(self, view, batch, tools):
        sigma = view.sigma.detach().cpu().numpy()
        return torch.as_tensor(np.minimum(sigma**-2.0, 100.0)).to(view.sigma)


@marked(RIGHT, "a subclass of tweedie with another density and min-SNR, fields of its own")
class OwnTweedie(Tweedie):
    """Tweedie with all of its draws single, weighted by min-SNR."""

    name = "six-own-tweedie"
    near: float = Field(0.0, ge=0, le=1)
    weighting: str = "min-snr"
    p_mean: float = -0.4
    power: float = Field(1.0, gt=0)
    """Another field, not used by the base."""


class OnClean(Objective):
    """Denoising of clean rows, in steps that the others change."""

    source = "arXiv 2206.00364, eq. 2"
    claims = frozenset({"stationary-at-oracle", "views-in-law", "detached-anchor", "needs-clean-data"})

    def refuse(self, batch, tools):
        noisy = tools.corruption.floor(batch) > 0
        if noisy.any():
            raise InputError(f"clean rows are needed, but row {int(batch.row[noisy][0])} has noise: give sigma_n 0")

    def levels(self, batch, tools):
        u = uniform(batch.x_n.new_empty(len(batch.x_n)), tools.generator)
        return truncated_lognormal(u, tools.levels.sigma_min, tools.levels.sigma_max, -1.2, 1.2)

    def noise(self, batch, tools):
        return standard_normal(batch.x_n, tools.generator)

    def error(self, denoiser, batch, sigma, tools):
        x_t = batch.x_n + per_row(sigma, batch.x_n) * self.noise(batch, tools)
        return denoiser(x_t, sigma, **batch.cond).to(batch.x_n.dtype) - batch.x_n

    def loss(self, denoiser, batch, tools):
        self.refuse(batch, tools)
        sigma = self.levels(batch, tools)
        error = self.error(denoiser, batch, sigma, tools).square().flatten(1).mean(1)
        return {"loss": Term(edm_weight(sigma, tools.signal.sigma_data) * error, sigma)}


@marked(RIGHT, "clean rows, cosine times, and the v-loss of the VP form written for a denoiser")
class VLoss(OnClean):
    """|v_hat - v|^2, v = alpha z - s x_0: (1 + 1/sigma^2) |D - x_0|^2."""

    name = "six-v-loss"

    def levels(self, batch, tools):
        u = uniform(batch.x_n.new_empty(len(batch.x_n)), tools.generator).double()
        low, high = (torch.tensor(edge, dtype=torch.float64).atan() for edge in tools.levels)
        return torch.tan(low + u * (high - low)).to(batch.x_n.dtype)

    def loss(self, denoiser, batch, tools):
        self.refuse(batch, tools)
        sigma = self.levels(batch, tools)
        error = self.error(denoiser, batch, sigma, tools).square().flatten(1).mean(1)
        return {"loss": Term((1 + sigma**-2) * error, sigma)}


@marked(WRONG, "noisy rows are not refused, and taken for clean")
class TakesAll(OnClean):
    name = "six-takes-all"

    def refuse(self, batch, tools):
        pass


@marked(WRONG, "offset noise: a tenth of a draw per channel is added to the white noise")
class OffsetNoise(OnClean):
    name = "six-offset-noise"

    def noise(self, batch, tools):
        z = standard_normal(batch.x_n, tools.generator)
        if z.ndim < 4:
            return z + 0.1 * standard_normal(z[:, :1], tools.generator)
        return z + 0.1 * standard_normal(z[:, :, :1, :1], tools.generator)


@marked(WRONG, "input perturbation: a tenth more noise than the level told")
class Perturbed(OnClean):
    name = "six-perturbed"

    def noise(self, batch, tools):
        z = standard_normal(batch.x_n, tools.generator)
        return z + 0.1 * standard_normal(batch.x_n, tools.generator)


@marked(WRONG, "heavy-tailed noise of unit variance")
class HeavyTails(OnClean):
    name = "six-heavy-tails"

    def noise(self, batch, tools):
        z = standard_normal(batch.x_n, tools.generator)
        chi = sum(standard_normal(batch.x_n, tools.generator) ** 2 for _ in range(5)) / 5
        return z / chi.sqrt() * (3 / 5) ** 0.5


@marked(WRONG, "uniform noise of unit variance")
class UniformNoise(OnClean):
    name = "six-uniform-noise"

    def noise(self, batch, tools):
        return (uniform(batch.x_n, tools.generator) - 0.5) * 12**0.5


@marked(WRONG, "the denoiser is fed the variance-preserving x_t, which is its model's own business")
class FedVP(OnClean):
    name = "six-fed-vp"

    def error(self, denoiser, batch, sigma, tools):
        x_t = batch.x_n + per_row(sigma, batch.x_n) * self.noise(batch, tools)
        return denoiser(x_t / (1 + per_row(sigma, x_t) ** 2).sqrt(), sigma, **batch.cond) - batch.x_n


@marked(WRONG, "the view is mirrored as an augmentation, the target is not")
class FlippedView(OnClean):
    name = "six-flipped-view"

    def error(self, denoiser, batch, sigma, tools):
        x_t = batch.x_n + per_row(sigma, batch.x_n) * self.noise(batch, tools)
        flip = per_row(uniform(sigma, tools.generator), x_t) < 0.5
        return denoiser(torch.where(flip, x_t.flip(-1), x_t), sigma, **batch.cond) - batch.x_n


@marked(WRONG, "the noise of a row is scaled to unit std: no row has more or less of it than the level")
class NormedNoise(OnClean):
    name = "six-normed-noise"

    def noise(self, batch, tools):
        z = standard_normal(batch.x_n, tools.generator)
        scale = z.flatten(1).square().mean(1).sqrt()
        return z / per_row(scale, z)


@marked(WRONG, "the noise is that of the batch, less its mean over the batch")
class CentredNoise(OnClean):
    name = "six-centred-noise"

    def noise(self, batch, tools):
        z = standard_normal(batch.x_n, tools.generator)
        return z - z.mean(0, keepdim=True) if len(z) > 1 else z


@marked(WRONG, "the noise of a row is drawn without replacement from its neighbours': z and -z within one picture")
class FoldedNoise(OnClean):
    name = "six-folded-noise"

    def noise(self, batch, tools):
        z = standard_normal(batch.x_n, tools.generator)
        half = z.shape[-1] // 2
        return torch.cat([z[..., :half], -z[..., :half], z[..., 2 * half :]], dim=-1)


@marked(WRONG, "the mean square is taken of the mean error of a row: only the brightness is trained")
class MeanBeforeSquare(OnClean):
    name = "six-mean-before-square"

    def loss(self, denoiser, batch, tools):
        self.refuse(batch, tools)
        sigma = self.levels(batch, tools)
        error = self.error(denoiser, batch, sigma, tools).flatten(1).mean(1).square()
        return {"loss": Term(edm_weight(sigma, tools.signal.sigma_data) * error, sigma)}


@marked(WRONG, "the loss is of one channel: [:, 0] for what should have been all of them")
class FirstChannel(OnClean):
    name = "six-first-channel"

    def loss(self, denoiser, batch, tools):
        self.refuse(batch, tools)
        sigma = self.levels(batch, tools)
        error = self.error(denoiser, batch, sigma, tools)
        error = error[:, :1].square().flatten(1).mean(1)
        return {"loss": Term(edm_weight(sigma, tools.signal.sigma_data) * error, sigma)}


@marked(WRONG, "the values of a row are squeezed: a batch of one row yields a number without an axis")
class Squeezed(OnClean):
    name = "six-squeezed"

    def loss(self, denoiser, batch, tools):
        self.refuse(batch, tools)
        sigma = self.levels(batch, tools)
        error = self.error(denoiser, batch, sigma, tools).square().flatten(1).mean(1).squeeze()
        return {"loss": Term((edm_weight(sigma, tools.signal.sigma_data) * error).squeeze(), sigma)}


@marked(WRONG, "the weight is that of the EDM paper, with sigma_data 0.5 whatever the data, and x_0-scale claimed")
class FixedSigmaData(OnClean):
    name = "six-fixed-sigma-data"
    claims = OnClean.claims | {"x_0-scale"}

    def loss(self, denoiser, batch, tools):
        self.refuse(batch, tools)
        sigma = self.levels(batch, tools)
        error = self.error(denoiser, batch, sigma, tools).square().flatten(1).mean(1)
        return {"loss": Term(edm_weight(sigma, 0.5) * error, sigma)}


@marked(WRONG, "Term.sigma is the logarithm of the level, as c_noise")
class LogLevel(OnClean):
    name = "six-log-level"

    def loss(self, denoiser, batch, tools):
        term = super().loss(denoiser, batch, tools)["loss"]
        return {"loss": term._replace(sigma=term.sigma.log() / 4)}


@marked(WRONG, "the prediction is detached by .data")
class Detached(OnClean):
    name = "six-detached"

    def error(self, denoiser, batch, sigma, tools):
        return super().error(denoiser, batch, sigma, tools).data


@marked(WRONG, "min-SNR weights, and the scale of EDM claimed")
class OtherWeight(OnClean):
    name = "six-other-weight"
    claims = OnClean.claims | {"x_0-scale"}

    def loss(self, denoiser, batch, tools):
        self.refuse(batch, tools)
        sigma = self.levels(batch, tools)
        error = self.error(denoiser, batch, sigma, tools).square().flatten(1).mean(1)
        return {"loss": Term((sigma**-2).clamp(max=5 / tools.signal.sigma_data**2) * error, sigma)}
