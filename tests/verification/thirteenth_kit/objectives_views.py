"""Wrong objectives: views, conditions, draws, and what an objective may leave behind."""

from __future__ import annotations

import torch

from ambientkit.batch import Term, View, take
from ambientkit.maths.noise import per_row, standard_normal

from .bases import Ambient, made, missing


class TwoStages(Ambient):
    """Noise comes in two stages, and the second tops up from sigma_n again in place of the level between. Breaks: x_t
    has noise of std sigma."""

    name = "kit13-two-stages"

    def seen(self, batch, sigma, tools):
        floor = tools.corruption.floor(batch)
        middle = tools.corruption.degrade(batch, (floor + sigma) / 2, tools.generator)
        return tools.corruption.degrade(batch._replace(x_n=middle.x), sigma, tools.generator)


class OneNoiseForChannels(Ambient):
    """One noise picture is drawn and spread over the channels. Breaks: e white, one number per pixel and channel."""

    name = "kit13-noise-for-channels"

    def seen(self, batch, sigma, tools):
        z = standard_normal(batch.x_n[:, :1], tools.generator).expand_as(batch.x_n)
        return View(batch.x_n + missing(batch, sigma) * z, sigma, batch.cond)


class OneNoiseForBatch(Ambient):
    """One noise picture for all rows of a batch. Breaks: e white, one number per row."""

    name = "kit13-noise-for-batch"

    def seen(self, batch, sigma, tools):
        z = standard_normal(batch.x_n[:1], tools.generator).expand_as(batch.x_n)
        return View(batch.x_n + missing(batch, sigma) * z, sigma, batch.cond)


class MirrorOfNeighbour(Ambient):
    """The second of an antithetic pair mirrors about the row before it in the batch. Breaks: x_t = x_0 + sigma z of its
    own row."""

    name = "kit13-mirror-of-neighbour"

    def seen(self, batch, sigma, tools):
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        odd = torch.arange(len(sigma)) % 2 == 1
        second = odd.reshape(-1, *[1] * (batch.x_n.ndim - 1))
        return view._replace(x=torch.where(second, 2 * batch.x_n.roll(1, 0) - view.x, view.x))


class Clipped(Ambient):
    """Views are clipped to [-3, 3], as pictures before they are shown. Breaks: x_t = x_0 + sigma z."""

    name = "kit13-clipped-views"

    def seen(self, batch, sigma, tools):
        view = super().seen(batch, sigma, tools)
        return view._replace(x=view.x.clamp(-3, 3))


class ScaledTwice(Ambient):
    """Hands the denoiser c_in x, which its model scales again. Breaks: x_t = x_0 + sigma z is what D is asked about."""

    name = "kit13-scaled-twice"

    def asked(self, denoiser, view, batch, tools):
        c_in = torch.hypot(view.sigma, torch.full_like(view.sigma, tools.signal.sigma_data)) ** -1
        return denoiser(per_row(c_in, view.x) * view.x, view.sigma, **view.cond)


class NoConditions(Ambient):
    """Calls the denoiser without the conditions. Breaks: hands the row's conditions on to the denoiser."""

    name = "kit13-no-conditions"

    def asked(self, denoiser, view, batch, tools):
        told = {name: value for name, value in view.cond.items() if name in tools.corruption.carries}
        return denoiser(view.x, view.sigma, **told)


class ShuffledWithoutCond(Ambient):
    """Shuffles rows and levels of noise for the step, and leaves the conditions in the old order. Breaks: the row's
    conditions."""

    name = "kit13-shuffled-without-cond"
    claims = Ambient.claims - {"serves-masks", "scale-under-masks"}

    def loss(self, denoiser, batch, tools):
        order = torch.randperm(len(batch.x_n), generator=tools.generator)
        return super().loss(denoiser, take(batch, order)._replace(cond=batch.cond), tools)


class MeanOfPixels(Ambient):
    """A level per pixel is averaged over the row before noise is added. Breaks: degrade is elementwise in sigma_n."""

    name = "kit13-mean-of-pixels"
    claims = Ambient.claims - {"serves-masks", "scale-under-masks"}

    def seen(self, batch, sigma, tools):
        level = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).mean(1)
        return View(
            batch.x_n + missing(batch._replace(sigma_n=level), sigma) * standard_normal(batch.x_n, tools.generator),
            sigma,
            batch.cond,
        )


class FloorInMix(Ambient):
    """b is taken of the row's largest level. Breaks: b = sigma_n^2 / sigma^2 elementwise."""

    name = "kit13-floor-in-mix"
    claims = Ambient.claims - {"serves-masks", "scale-under-masks"}

    def residual(self, x_0_hat, view, batch, tools):
        b = per_row((tools.corruption.floor(batch) / view.sigma) ** 2, view.x)
        return (1 - b) * x_0_hat + b * view.x - batch.x_n


class TransposedLevels(Ambient):
    """A level per pixel comes transposed, (W, H) for (H, W), which a square picture does not show. Breaks: the noise of
    each pixel is its own."""

    name = "kit13-transposed-levels"
    claims = Ambient.claims - {"serves-masks", "scale-under-masks"}

    def loss(self, denoiser, batch, tools):
        level = batch.sigma_n
        if level.ndim == 4 and level.shape[-1] == level.shape[-2]:
            batch = batch._replace(sigma_n=level.transpose(-1, -2))
        return super().loss(denoiser, batch, tools)


class CentresRows(Ambient):
    """Takes the mean of the batch off the rows, in place. Breaks: leaves the batch as it is."""

    name = "kit13-centres-rows"

    def loss(self, denoiser, batch, tools):
        mean = batch.x_n.mean()
        batch.x_n.sub_(mean)
        try:
            return super().loss(denoiser, batch, tools)
        finally:
            batch.x_n.add_(mean)


class GlobalNoise(Ambient):
    """torch.randn_like for the noise. Breaks: no part draws from torch's global generator."""

    name = "kit13-global-noise"

    def seen(self, batch, sigma, tools):
        view = super().seen(batch, sigma, tools)
        x = batch.x_n + missing(batch, sigma) * torch.randn_like(batch.x_n)
        return view._replace(x=torch.where(view.cond["mask"], x, 0.0) if "mask" in view.cond else x)


class Reseeded(Ambient):
    """Seeds the generator with 0 in each call, so that losses of two runs compare. Breaks: z is fresh."""

    name = "kit13-reseeded"

    def loss(self, denoiser, batch, tools):
        tools.generator.manual_seed(0)
        return super().loss(denoiser, batch, tools)


_KEPT: dict[tuple[int, ...], torch.Tensor] = {}


class CachedNoise(Ambient):
    """Keeps the noise of the first call for each shape of a batch, to save draws. Breaks: z is fresh, a part is
    stateless."""

    name = "kit13-cached-noise"
    claims = Ambient.claims - {"serves-masks", "scale-under-masks"}

    def seen(self, batch, sigma, tools):
        key = tuple(batch.x_n.shape)
        if key not in _KEPT:
            _KEPT[key] = standard_normal(batch.x_n, tools.generator)
        return View(batch.x_n + missing(batch, sigma) * _KEPT[key].to(batch.x_n), sigma, batch.cond)


class ScalarTerm(Ambient):
    """Returns the mean over the batch. Breaks: one value per row used."""

    name = "kit13-scalar-term"

    def loss(self, denoiser, batch, tools):
        (found,) = super().loss(denoiser, batch, tools).values()
        return {"ambient": Term(found.value.mean(), found.sigma.mean())}


class Squeezed(Ambient):
    """Squeezes all axes of size 1 before the mean, so that a batch of one row loses its rows. Breaks: any number of
    rows."""

    name = "kit13-squeezed"

    def reduced(self, value, view, batch):
        value = value.squeeze()
        return value.flatten(1).mean(1) if value.ndim > 1 else value


class NaNForClean(Ambient):
    """Divides the residual by sigma_n, and multiplies again, so that clean rows give nan. Breaks: some of the rows are
    clean."""

    name = "kit13-nan-for-clean"

    def residual(self, x_0_hat, view, batch, tools):
        level = per_row(batch.sigma_n, batch.x_n)
        return (tools.corruption.expect(x_0_hat, view, batch) - batch.x_n) / level * level


class MaskOfRow(Ambient):
    """Tells the denoiser the mask of the row, where the view hides more. Breaks: hands the mask of the view."""

    name = "kit13-mask-of-row"

    def asked(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma, **{**view.cond, **batch.cond})


class HiddenAsZeros(Ambient):
    """Counts values that were never measured, against the 0 that stands for them. Breaks: those that were not measured
    count nothing."""

    name = "kit13-hidden-as-zeros"

    def value(self, x_0_hat, view, batch, tools):
        if "mask" not in view.cond:
            return super().value(x_0_hat, view, batch, tools)
        scaled = super().value(x_0_hat, view, batch, tools)
        return torch.where(batch.cond["mask"], scaled, x_0_hat**2)


class MeanOfSeen(Ambient):
    """Divides by the number of measured values, which the weight makes up for already. Breaks: each value of x_0 counts
    lambda delta^2 in the mean."""

    name = "kit13-mean-of-seen"

    def reduced(self, value, view, batch):
        if "mask" not in batch.cond:
            return value.flatten(1).mean(1)
        count = batch.cond["mask"].expand_as(value).flatten(1).sum(1).clamp(min=1)
        return value.flatten(1).sum(1) / count


class NoChance(Ambient):
    """Hidden values weigh 1, not over the chance that they were measured. Breaks: each value of x_0 counts lambda
    delta^2 in the mean."""

    name = "kit13-no-chance"

    def factor(self, view, batch, tools):
        found = super().factor(view, batch, tools)
        if "mask" not in view.cond:
            return found
        hidden = (batch.cond["mask"] & ~view.cond["mask"]).expand_as(found)
        return torch.where(hidden, torch.ones_like(found), found)


WRONG = made(
    TwoStages,
    OneNoiseForChannels,
    OneNoiseForBatch,
    MirrorOfNeighbour,
    Clipped,
    ScaledTwice,
    NoConditions,
    ShuffledWithoutCond,
    MeanOfPixels,
    FloorInMix,
    TransposedLevels,
    CentresRows,
    GlobalNoise,
    Reseeded,
    CachedNoise,
    ScalarTerm,
    Squeezed,
    NaNForClean,
    MaskOfRow,
    HiddenAsZeros,
    MeanOfSeen,
    NoChance,
)
