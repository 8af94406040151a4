"""Wrong objectives whose mistake lies in levels, views, conditions or draws."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch, Term, View
from ambientkit.maths.levels import log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform

from .bases import Ambient, Covered, Scaled, made


def _missing(batch, sigma):
    return (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()


class DoubleNoise(Ambient):
    """Adds the whole of sigma to rows that are noisy already, and calls the view sigma."""

    name = "kit12-double-noise"

    def seen(self, batch, sigma, tools):
        z = standard_normal(batch.x_n, tools.generator)
        return View(batch.x_n + per_row(sigma, batch.x_n) * z, sigma, batch.cond)


class TotalLevel(Ambient):
    """Adds what is missing, but hands the denoiser hypot(sigma, sigma_n) as the level."""

    name = "kit12-total-level"

    def asked(self, denoiser, view, batch, tools):
        level = torch.hypot(view.sigma, tools.corruption.floor(batch))
        return denoiser(view.x, level, **view.cond)


class CNoise(Ambient):
    """Hands the denoiser c_noise = log(sigma) / 4 in place of the level."""

    name = "kit12-c-noise"

    def asked(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma.log() / 4, **view.cond)


class LinearTopUp(Ambient):
    """Tops up by sigma - sigma_n in place of the root of the difference of squares."""

    name = "kit12-linear-top-up"

    def seen(self, batch, sigma, tools):
        x = batch.x_n
        missing = (per_row(sigma, x) - per_row(batch.sigma_n, x)).clamp(min=0)
        return View(x + missing * standard_normal(x, tools.generator), sigma, batch.cond)


class UniformNoise(Ambient):
    """Tops up with uniform noise of unit variance in place of normal noise."""

    name = "kit12-uniform-noise"

    def seen(self, batch, sigma, tools):
        z = (2 * uniform(batch.x_n, tools.generator) - 1) * 3**0.5
        return View(batch.x_n + _missing(batch, sigma) * z, sigma, batch.cond)


class NoiseOfOneRow(Ambient):
    """Draws one noise picture in a call and adds it to every row."""

    name = "kit12-noise-of-one-row"

    def seen(self, batch, sigma, tools):
        z = standard_normal(batch.x_n[:1], tools.generator).expand_as(batch.x_n)
        return View(batch.x_n + _missing(batch, sigma) * z, sigma, batch.cond)


class NoiseOfOneChannel(Ambient):
    """Draws the noise of one channel and adds it to all channels of a picture."""

    name = "kit12-noise-of-one-channel"

    def seen(self, batch, sigma, tools):
        z = standard_normal(batch.x_n, tools.generator)
        if z.ndim == 4:
            z = z[:, :1].expand_as(z)
        return View(batch.x_n + _missing(batch, sigma) * z, sigma, batch.cond)


class OffsetNoise(Ambient):
    """Adds offset noise: a tenth of the noise is one number for each channel of a picture."""

    name = "kit12-offset-noise"

    def seen(self, batch, sigma, tools):
        x = batch.x_n
        z = standard_normal(x, tools.generator)
        if x.ndim > 2:
            flat = standard_normal(x.new_empty(x.shape[:2]), tools.generator)
            z = z + 0.1 * flat.reshape(*x.shape[:2], *[1] * (x.ndim - 2))
        else:
            z = z + 0.1 * standard_normal(x[:, :1], tools.generator)
        return View(x + _missing(batch, sigma) * z, sigma, batch.cond)


class InputPerturbation(Ambient):
    """Perturbs the input by a further 0.15 sigma, and keeps the level."""

    name = "kit12-input-perturbation"

    def seen(self, batch, sigma, tools):
        view = super().seen(batch, sigma, tools)
        more = 0.15 * per_row(sigma, view.x) * standard_normal(view.x, tools.generator)
        return view._replace(x=view.x + more)


class GlobalNoise(Ambient):
    """Draws the noise by torch.randn_like, from the global generator."""

    name = "kit12-global-noise"

    def seen(self, batch, sigma, tools):
        return View(batch.x_n + _missing(batch, sigma) * torch.randn_like(batch.x_n), sigma, batch.cond)


class GlobalLevels(Ambient):
    """Draws the levels by torch.rand, from the global generator."""

    name = "kit12-global-levels"

    def drawn(self, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        return log_uniform(torch.rand(len(floor)).to(floor), floor, tools.levels.sigma_max)


class FixedSeed(Ambient):
    """Seeds a generator of its own with 0 in each call, so that every call has the same noise."""

    name = "kit12-fixed-seed"

    def seen(self, batch, sigma, tools):
        own = torch.Generator(device=batch.x_n.device).manual_seed(0)
        return tools.corruption.degrade(batch, sigma, own)


class NoiseByRow(Ambient):
    """Keys the noise of a view by the number of the row, so that a row has the same z in every epoch."""

    name = "kit12-noise-by-row"

    def seen(self, batch, sigma, tools):
        own = [torch.Generator(device=batch.x_n.device).manual_seed(int(row)) for row in batch.row]
        return tools.corruption.degrade(batch, sigma, own)


class LevelOfBatch(Ambient):
    """Draws one level for the whole batch, above the noisiest row in it."""

    name = "kit12-level-of-batch"

    def drawn(self, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = uniform(floor[:1], tools.generator)
        return log_uniform(u, floor.amax().reshape(1), tools.levels.sigma_max).expand(len(floor)).contiguous()


class FloorOfFirst(Ambient):
    """Takes the floor of the first row for all rows."""

    name = "kit12-floor-of-first"

    def drawn(self, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        first = floor[:1].expand_as(floor)
        return log_uniform(uniform(torch.empty_like(floor), tools.generator), first, tools.levels.sigma_max)


class ClampedOnFloor(Ambient):
    """Draws log-normal levels over the whole range and lifts those below the noise of a row onto it."""

    name = "kit12-clamped-on-floor"

    def drawn(self, batch, tools):
        floor = tools.corruption.floor(batch)
        u = uniform(torch.empty_like(floor), tools.generator)
        free = truncated_lognormal(u, tools.levels.sigma_min, tools.levels.sigma_max, -1.2, 1.2)
        return torch.maximum(free, floor)


class BeyondTheTop(Ambient):
    """Draws sigma as hypot(sigma_n, log-normal), which passes sigma_max."""

    name = "kit12-beyond-the-top"

    def drawn(self, batch, tools):
        floor = tools.corruption.floor(batch)
        z = standard_normal(torch.empty_like(floor), tools.generator)
        return torch.hypot(floor, torch.exp(1.5 + 2.0 * z)).clamp(min=tools.levels.sigma_min)


class OwnRange(Ambient):
    """Has EDM's range of levels, 0.002 to 80, built in, whatever range the run has."""

    name = "kit12-own-range"

    def drawn(self, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=0.002)
        return log_uniform(uniform(torch.empty_like(floor), tools.generator), floor, 80.0)


class LevelsByPlace(Ambient):
    """Spreads the levels evenly over the batch by place, so that the first rows see low levels only."""

    name = "kit12-levels-by-place"

    def drawn(self, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        u = (torch.arange(len(floor)).to(floor) + uniform(torch.empty_like(floor), tools.generator)) / len(floor)
        return log_uniform(u, floor, tools.levels.sigma_max)


class NoCond(Ambient):
    """Calls the denoiser without the conditions of the row."""

    name = "kit12-no-cond"

    def asked(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma)


class OldMask(Covered):
    """Hands the denoiser the mask of the row in place of that of the view."""

    name = "kit12-old-mask"

    def asked(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma, **batch.cond)


class ZeroedCond(Ambient):
    """Puts 0 in the place of the conditions of a tenth of the rows, as for guidance without a classifier."""

    name = "kit12-zeroed-cond"

    def asked(self, denoiser, view, batch, tools):
        kept = uniform(view.sigma, tools.generator) >= 0.1
        cond = {
            name: torch.where(kept.reshape(-1, *[1] * (value.ndim - 1)), value, torch.zeros_like(value))
            for name, value in view.cond.items()
        }
        return denoiser(view.x, view.sigma, **cond)


class SortedRows(Ambient):
    """Sorts the views by level before the call, and forgets to sort their conditions."""

    name = "kit12-sorted-rows"

    def asked(self, denoiser, view, batch, tools):
        order = view.sigma.argsort()
        found = denoiser(view.x[order], view.sigma[order], **view.cond)
        return found[order.argsort()]


class FloatLabels(Ambient):
    """Turns every condition into the dtype of the rows, labels too."""

    name = "kit12-float-labels"

    def asked(self, denoiser, view, batch, tools):
        return denoiser(view.x, view.sigma, **{name: value.to(view.x.dtype) for name, value in view.cond.items()})


class NoiseInPlace(Ambient):
    """Adds the noise to the rows of the batch in place, and compares with a copy."""

    name = "kit12-noise-in-place"

    def loss(self, denoiser, batch, tools):
        before = batch.x_n.clone()
        sigma = self.drawn(batch, tools)
        x = batch.x_n.add_(_missing(batch, sigma) * standard_normal(batch.x_n, tools.generator))
        batch = batch._replace(x_n=before)
        view = View(x, sigma, batch.cond)
        value = self.square(self.asked(denoiser, view, batch, tools), view, batch, tools).flatten(1).mean(1)
        return {"term": Term(self.factor(sigma, tools) * value, sigma)}


class CondPopped(Ambient):
    """Takes the label out of the conditions of the batch by pop, and hands it on."""

    name = "kit12-cond-popped"

    def asked(self, denoiser, view, batch, tools):
        taken = {name: batch.cond.pop(name) for name in list(batch.cond)}
        return denoiser(view.x, view.sigma, **taken)


class MirroredAboutEstimate(Scaled):
    """Makes antithetic views about the estimate, 2 D - x_t, in place of 2 x_n - x_t."""

    name = "kit12-mirrored-about-estimate"

    def seen(self, batch, sigma, tools):
        view = super().seen(batch, sigma, tools)
        with torch.no_grad():
            mirrored = 2 * tools.teacher(view.x, view.sigma, **view.cond) - view.x
        odd = (torch.arange(len(sigma), device=sigma.device) % 2 == 1).reshape(-1, *[1] * (view.x.ndim - 1))
        return view._replace(x=torch.where(odd, mirrored, view.x))


class PairAtTwoLevels(Ambient):
    """Mirrors the noise of each even row into the next one without scaling it to the level of that row."""

    name = "kit12-pair-at-two-levels"

    def seen(self, batch, sigma, tools):
        view = super().seen(batch, sigma, tools)
        added = view.x - batch.x_n
        n = len(added) // 2 * 2
        x = view.x.clone()
        x[1:n:2] = batch.x_n[1:n:2] - added[0:n:2]
        return view._replace(x=x)


class FlowInput(Ambient):
    """Hands the denoiser the point of the flow, (1 - t) x_0 + t z, with the level t / (1 - t)."""

    name = "kit12-flow-input"

    def asked(self, denoiser, view, batch, tools):
        return denoiser(view.x / (1 + per_row(view.sigma, view.x)), view.sigma, **view.cond)


class BatchNormalised(Ambient):
    """Takes the mean of the batch off the rows, denoises, and adds it again."""

    name = "kit12-batch-normalised"

    def asked(self, denoiser, view, batch, tools):
        mean = batch.x_n.mean(0, keepdim=True)
        return denoiser(view.x - mean, view.sigma, **view.cond) + mean


class Mirror(Ambient):
    """Mirrors half of the pictures along their width as augmentation, and not their levels by pixel."""

    name = "kit12-mirror"

    def loss(self, denoiser, batch, tools):
        flip = uniform(batch.x_n.new_empty(len(batch.x_n)), tools.generator) < 0.5
        flip = flip.reshape(-1, *[1] * (batch.x_n.ndim - 1))
        x_n = torch.where(flip, batch.x_n.flip(-1), batch.x_n) if batch.x_n.ndim == 4 else batch.x_n
        return super().loss(denoiser, Batch(x_n, batch.sigma_n, batch.row, batch.cond), tools)


class Mixup(Ambient):
    """Mixes each row with another one of the batch (mixup), and keeps its noise level."""

    name = "kit12-mixup"

    def loss(self, denoiser, batch, tools):
        share = 0.3 * uniform(batch.x_n.new_empty(len(batch.x_n)), tools.generator)
        share = per_row(share, batch.x_n)
        return super().loss(denoiser, batch._replace(x_n=(1 - share) * batch.x_n + share * batch.x_n.roll(1, 0)), tools)


class ClippedRows(Ambient):
    """Clips noisy rows to [-1, 1] before they are used."""

    name = "kit12-clipped-rows"

    def loss(self, denoiser, batch, tools):
        return super().loss(denoiser, batch._replace(x_n=batch.x_n.clamp(-1, 1)), tools)


class EvenRows(Ambient):
    """Works on two halves of the batch as pairs, and fails for an odd number of rows."""

    name = "kit12-even-rows"

    def seen(self, batch, sigma, tools):
        half = standard_normal(batch.x_n[: len(sigma) // 2], tools.generator)
        return View(batch.x_n + _missing(batch, sigma) * torch.cat([half, -half]), sigma, batch.cond)


class OneLevelByPixel(Ambient):
    """Takes a level per pixel for its mean, in the top-up and the floor."""

    name = "kit12-one-level-by-pixel"

    def loss(self, denoiser, batch, tools):
        own = batch.sigma_n
        if own.ndim > 1:
            own = own.expand_as(batch.x_n).flatten(1).mean(1)
        return super().loss(denoiser, batch._replace(sigma_n=own), tools)


WRONG = made(globals())
