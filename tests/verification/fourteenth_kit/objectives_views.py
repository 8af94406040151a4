"""Wrong objectives: the points that are asked about, and the conditions beside them."""

from __future__ import annotations

import torch

from ambientkit.batch import take
from ambientkit.maths.ambient import tweedie_mix
from ambientkit.maths.noise import per_row, standard_normal, uniform

from .bases import OfClean, TopUp, made, numbers


class LevelOfRowInMix(TopUp):
    """The residual takes the largest noise of a row for all of its pixels. Breaks: b = sigma_n^2 / sigma^2, value by
    value."""

    name = "kit14-mix-by-row-level"

    def rho(self, x_0_hat, view, batch, tools):
        if batch.cond or batch.x_n.shape != view.x.shape:
            return super().rho(x_0_hat, view, batch, tools)
        return tweedie_mix(x_0_hat, view.x, view.sigma, tools.corruption.floor(batch)) - batch.x_n


class MirrorAveraged(TopUp):
    """The answer on a picture is averaged with that on its mirror image. Breaks: the minimum is E[x_0 | x_t] for any
    law, not for symmetric ones alone."""

    name = "kit14-mirror-averaged"

    def ask(self, denoiser, view, batch, tools):
        found = denoiser(view.x, view.sigma, **view.cond)
        if view.x.ndim != 4 or view.cond:
            return found
        return (found + denoiser(view.x.flip(-1), view.sigma, **view.cond).flip(-1)) / 2


class FlippedRows(OfClean):
    """Pictures are flipped at random within the loss. Breaks: every point is m + sigma e of the row's own m."""

    name = "kit14-flips-within"

    def rows(self, batch):
        if batch.x_n.ndim != 4:
            return batch.x_n
        odd = per_row((batch.row % 2).to(batch.x_n.dtype), batch.x_n) > 0
        return torch.where(odd, batch.x_n.flip(-1), batch.x_n)


class TurnedTall(OfClean):
    """Pictures higher than wide are turned, so that the network sees one orientation. Breaks: x_t (B, *S)."""

    name = "kit14-tall-turned"

    def ask(self, denoiser, x_t, sigma, batch, tools):
        if x_t.ndim != 4 or x_t.shape[2] <= x_t.shape[3]:
            return super().ask(denoiser, x_t, sigma, batch, tools)
        return denoiser(x_t.mT.contiguous(), sigma, **batch.cond).mT


class ChannelsFound(OfClean):
    """Pictures whose last axis is 3 long, and the first is not, are taken for channels last. Breaks: S is (C, H, W)."""

    name = "kit14-channels-last-guessed"

    def ask(self, denoiser, x_t, sigma, batch, tools):
        if x_t.ndim != 4 or x_t.shape[1] in (1, 3) or x_t.shape[3] not in (1, 3):
            return super().ask(denoiser, x_t, sigma, batch, tools)
        return denoiser(x_t.permute(0, 3, 1, 2).contiguous(), sigma, **batch.cond).permute(0, 2, 3, 1)


class ScaleGuessed(OfClean):
    """A batch without a negative value is taken for [0, 1], and stretched. Breaks: data units, [-1, 1], in any
    batch."""

    name = "kit14-scale-guessed"

    def rows(self, batch):
        return batch.x_n * 2 - 1 if bool((batch.x_n >= 0).all()) else batch.x_n


class OffsetNoise(OfClean):
    """A tenth of the noise is one number for each channel of a picture. Breaks: e is white."""

    name = "kit14-offset-noise"

    def noise(self, x_0, sigma, tools):
        z = standard_normal(x_0, tools.generator)
        if x_0.ndim == 4:
            z = (z + 0.1 * standard_normal(x_0[:, :, :1, :1], tools.generator)) / 1.01**0.5
        return per_row(sigma, x_0) * z


class GreyNoise(OfClean):
    """All channels of a colour picture get one noise. Breaks: e is white, channel by channel."""

    name = "kit14-grey-noise-in-colour"

    def noise(self, x_0, sigma, tools):
        z = standard_normal(x_0, tools.generator)
        if x_0.ndim == 4 and x_0.shape[1] == 3:
            z = z[:, :1].expand_as(z)
        return per_row(sigma, x_0) * z


class Perturbed(OfClean):
    """The input gets a tenth more noise than told, against exposure bias. Breaks: x_t = m + sigma e."""

    name = "kit14-input-perturbed"

    def noise(self, x_0, sigma, tools):
        return 1.1 * super().noise(x_0, sigma, tools)


class LabelsDropped(TopUp):
    """Labels are dropped in a tenth of the rows, for guidance. Breaks: conditions are handed to the denoiser
    unchanged; `cond_dropout` drops them."""

    name = "kit14-labels-dropped"

    def ask(self, denoiser, view, batch, tools):
        keep = numbers(view.x, tools.generator) >= 0.1
        cond = {
            name: torch.where(keep, value, torch.zeros_like(value)) if value.ndim == 1 else value
            for name, value in view.cond.items()
        }
        return denoiser(view.x, view.sigma, **cond)


class FloatsOnly(TopUp):
    """Conditions of whole numbers are not passed on. Breaks: each condition is handed to the denoiser."""

    name = "kit14-conditions-of-floats"

    def ask(self, denoiser, view, batch, tools):
        cond = {k: v for k, v in view.cond.items() if v.is_floating_point() or v.dtype == torch.bool}
        return denoiser(view.x, view.sigma, **cond)


class TwoViewsMixed(TopUp):
    """Two views of each row in one call, of which the conditions are repeated in another order. Breaks: conditions of
    the row."""

    name = "kit14-conditions-interleaved"

    def ask(self, denoiser, view, batch, tools):
        cond = {
            name: value.repeat_interleave(2, 0) if value.ndim == 1 else torch.cat([value, value])
            for name, value in view.cond.items()
        }
        both = denoiser(torch.cat([view.x, view.x]), view.sigma.repeat(2), **cond)
        return both.unflatten(0, (2, -1)).mean(0)


class LongestFirst(TopUp):
    """Rows are taken in the order of their noise, but their conditions stay as they were. Breaks: conditions of the
    row."""

    name = "kit14-sorted-without-conditions"

    def used(self, batch, tools):
        order = tools.corruption.floor(batch).argsort(descending=True, stable=True)
        found = take(batch, order)
        return found._replace(cond={**found.cond, **{k: v for k, v in batch.cond.items() if v.ndim == 1}})


class CleanRaised(TopUp):
    """The noise of clean rows is raised to sigma_min in place. Breaks: the batch is left as it was."""

    name = "kit14-clean-raised-in-place"

    def used(self, batch, tools):
        if batch.sigma_n.ndim == 1 and not batch.cond:
            batch.sigma_n.clamp_(min=tools.levels.sigma_min)
        return batch


class MaskWrittenBack(TopUp):
    """The mask of the view is written into the batch, to save memory. Breaks: the batch is left as it was."""

    name = "kit14-mask-written-back"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        if "mask" in view.cond:
            batch.cond["mask"] = view.cond["mask"]
        return view


class SeenPasted(TopUp):
    """What a masked view shows is pasted over the answer before it is judged. Breaks: an error costs lambda delta^2 for
    each value of x_0, seen ones too."""

    name = "kit14-seen-pasted"

    def ask(self, denoiser, view, batch, tools):
        found = super().ask(denoiser, view, batch, tools)
        return torch.where(view.cond["mask"], view.x, found) if "mask" in view.cond else found


class LowerMaskKept(TopUp):
    """Values are dropped at random from masked views once more, and the mask is left as it was. Breaks: the denoiser is
    given the mask of what it sees."""

    name = "kit14-drops-untold"

    def view(self, batch, sigma, tools):
        view = super().view(batch, sigma, tools)
        if "mask" not in view.cond:
            return view
        return view._replace(x=torch.where(uniform(view.x, tools.generator) < 0.05, torch.zeros_like(view.x), view.x))


class EvenSides(OfClean):
    """Pictures of odd sides are cut to even ones for the loss. Breaks: mean(c^2) over all values."""

    name = "kit14-even-sides"

    def value(self, error, sigma, tools):
        if error.ndim == 4:
            error = error[..., : error.shape[2] // 2 * 2 or 1, : error.shape[3] // 2 * 2 or 1]
        return super().value(error, sigma, tools)


class FirstChannels(OfClean):
    """Of pictures with more than three channels the first three count. Breaks: mean(c^2) over all values."""

    name = "kit14-three-channels"

    def value(self, error, sigma, tools):
        return super().value(error[:, :3] if error.ndim == 4 else error, sigma, tools)


WRONG = made(
    LevelOfRowInMix,
    MirrorAveraged,
    FlippedRows,
    TurnedTall,
    ChannelsFound,
    ScaleGuessed,
    OffsetNoise,
    GreyNoise,
    Perturbed,
    LabelsDropped,
    FloatsOnly,
    TwoViewsMixed,
    LongestFirst,
    CleanRaised,
    MaskWrittenBack,
    SeenPasted,
    LowerMaskKept,
    EvenSides,
    FirstChannels,
)
