"""Right objectives that call the denoiser in their own way."""

from __future__ import annotations

import torch
from torch.utils.checkpoint import checkpoint

from ambientkit.batch import take
from ambientkit.maths.noise import per_row, standard_normal
from tests.verification.seventeenth_kit.bases import WHOLE, Above, Below, Split, Stein

from .bases import Asked, Ends, Noised, Views, cut, final


class FourViews(Views):
    """Four views of each row at one level, asked about in one call."""

    name = "kit18-four-views-in-one-call"
    times: int = 4
    """Views of a row."""


class BothSigns(Views):
    """Each row is seen with its noise and with the noise negative, where the corruption is symmetric."""

    name = "kit18-both-signs-of-the-noise"

    def several(self, batch, sigma, tools):
        if "symmetric-degrade" not in tools.corruption.claims:
            return super().several(batch, sigma, tools)
        view = self.view(batch, sigma, tools)
        both = cut(view, torch.arange(len(sigma), device=sigma.device).repeat(2))
        return both._replace(x=torch.cat([view.x, 2 * batch.x_n - view.x]))


class ToMultiplesOfEight(Asked):
    """The batch is filled up to a multiple of eight rows by its own rows; the filling is not counted."""

    name = "kit18-filled-up-to-eight-by-rows"

    def order(self, view, tools):
        n = len(view.x)
        return torch.arange(-(-n // 8) * 8, device=view.x.device) % max(n, 1)


class FilledWithNothing(Above):
    """The batch is filled up to a multiple of eight rows by zeros at level 1; the filling is not counted."""

    name = "kit18-filled-up-to-eight-by-zeros"
    claims = WHOLE - {"views-in-law"}

    def ask(self, denoiser, view, batch):
        more = -len(view.x) % 8
        cond = {key: torch.cat([value, value[:1].expand(more, *value.shape[1:])]) for key, value in view.cond.items()}
        x = torch.cat([view.x, view.x.new_zeros(more, *view.x.shape[1:])])
        return denoiser(x, torch.cat([view.sigma, view.sigma.new_ones(more)]), **cond)[: len(view.x)]


class InRandomOrder(Asked):
    """The rows are asked in a random order, and put back."""

    name = "kit18-asked-in-random-order"

    def order(self, view, tools):
        return numbers_like(view.x, tools).argsort()


class ByLevel(Asked):
    """The rows are asked from the highest level to the lowest, and put back."""

    name = "kit18-asked-by-level"

    def order(self, view, tools):
        return view.sigma.argsort(descending=True, stable=True)


class Twice(Asked):
    """The batch is asked twice over in one call, and the first answers count."""

    name = "kit18-each-row-asked-twice"

    def order(self, view, tools):
        return torch.arange(len(view.x), device=view.x.device).repeat(2)


class FirstWithoutGradient(Above):
    """The value comes from a call without gradient, and its gradient from a second call at the same points."""

    name = "kit18-value-first-gradient-later"

    def ask(self, denoiser, view, batch):
        with torch.no_grad():
            seen = super().ask(denoiser, view, batch)
        again = super().ask(denoiser, view, batch)
        return seen + (again - again.detach())


class NoAutocast(Above):
    """The denoiser is asked with autocast off, whatever is on outside."""

    name = "kit18-autocast-off"

    def ask(self, denoiser, view, batch):
        with torch.autocast(view.x.device.type, enabled=False):
            return super().ask(denoiser, view, batch)


class ChunksMadeAgain(Above):
    """The denoiser is asked five rows at a time, and each chunk is made again in the backward pass."""

    name = "kit18-checkpointed-chunks-of-five"

    def ask(self, denoiser, view, batch):
        def asked(x, sigma, cond):
            return denoiser(x, sigma, **cond)

        parts = [
            checkpoint(asked, *cut(view, slice(first, first + 5)), use_reentrant=False, preserve_rng_state=False)
            for first in range(0, len(view.x), 5)
        ]
        return torch.cat(parts) if parts else super().ask(denoiser, view, batch)


class RowByRow(Above):
    """The denoiser is asked one row at a time, from the last to the first."""

    name = "kit18-one-row-at-a-time-backwards"

    def ask(self, denoiser, view, batch):
        parts = [super(RowByRow, self).ask(denoiser, cut(view, [i]), batch) for i in reversed(range(len(view.x)))]
        return torch.cat(parts[::-1]) if parts else super().ask(denoiser, view, batch)


class Rolled(Noised):
    """The second half of the rows has the noise of the first, rolled by one value."""

    name = "kit18-shared-noise-rolled"

    def noise(self, like, tools):
        z = standard_normal(like[: (len(like) + 1) // 2], tools.generator)
        return torch.cat([z, z.flatten(1).roll(1, 1).reshape(z.shape)])[: len(like)]


class Reflected(Noised):
    """All rows share one draw of noise, each reflected at a random plane of its own and in a random sign."""

    name = "kit18-one-draw-reflected"
    claims = WHOLE - {"views-in-law"}  # the rows of a batch share their noise

    def noise(self, like, tools):
        z = standard_normal(like[:1], tools.generator).flatten(1)
        normal = standard_normal(like, tools.generator).flatten(1)
        normal = normal / normal.norm(dim=1, keepdim=True).clamp(min=1e-12)
        sign = (numbers_like(like, tools) < 0.5).to(z).unsqueeze(1) * 2 - 1
        return (sign * (z - 2 * (z * normal).sum(1, keepdim=True) * normal)).reshape(like.shape)


class Scaled(Noised):
    """The noise is a direction on the sphere times an independent length of the chi law."""

    name = "kit18-direction-and-length"

    def noise(self, like, tools):
        first, second = (standard_normal(like, tools.generator).flatten(1) for _ in range(2))
        return (first / first.norm(dim=1, keepdim=True) * second.norm(dim=1, keepdim=True)).reshape(like.shape)


class TwoCallsSplit(Split):
    """Clean rows and noisy rows are asked in calls of their own."""

    name = "kit18-clean-and-noisy-in-two-calls"

    def ask(self, denoiser, view, batch):
        noisy = per_row(batch.sigma_n, batch.x_n).expand_as(batch.x_n).flatten(1).amax(1) > 0
        x_0_hat = torch.zeros_like(view.x)
        for own in (noisy, ~noisy):
            if bool(own.any()):
                found = super().ask(denoiser, cut(view, own), batch).to(view.x.dtype)
                x_0_hat = x_0_hat.index_put((own.nonzero().squeeze(1),), found)
        return x_0_hat


class FourFreeEnds(Ends):
    """Four ends with noise of their own; the value is the mean product of two different defects."""

    name = "kit18-u-statistic-of-four-ends"

    def source(self, tools):
        return tools.generator


class ThreePairs(Ends):
    """Three pairs of ends with opposite noise; the value is the mean product of two different pairs."""

    name = "kit18-three-pairs-of-ends"
    count: int = 6
    """Ends of an anchor."""

    def groups(self, x_0_hat, rows):
        return super().groups(x_0_hat, rows).unflatten(0, (2, 3)).mean(0)


class EndsInTwoCalls(Below):
    """The denoiser is asked about the ends seven at a time."""

    name = "kit18-ends-seven-at-a-time"

    def ask(self, denoiser, ends, anchor, sigma_s, batch):
        sigma = sigma_s.repeat(4)
        cond = {key: value.repeat(4, *[1] * (value.ndim - 1)) for key, value in anchor.cond.items()}
        parts = [
            denoiser(ends[own], sigma[own], **{key: value[own] for key, value in cond.items()})
            for own in (slice(first, first + 7) for first in range(0, len(ends), 7))
        ]
        return torch.cat(parts).to(batch.x_n.dtype)


class AnchorsAtTheRows(Below):
    """All anchors are the rows at their floor, and rows are taken from the last to the first."""

    name = "kit18-anchors-at-the-rows-alone"

    def anchors(self, denoiser, batch, tools):
        return self.first(batch, tools)

    def loss(self, denoiser, batch, tools):
        return super().loss(denoiser, take(batch, torch.arange(len(batch.x_n)).flip(0).to(batch.row.device)), tools)


class BySquares(Below):
    """The product of two defects as the difference of two squares: of half their sum, and of half their difference."""

    name = "kit18-product-as-two-squares"

    def product(self, first, second):
        return (((first + second) / 2).square() - ((first - second) / 2).square()).flatten(1).mean(1)


class OneValueAtATime(Stein):
    """The probe is one random value, times the root of their number."""

    name = "kit18-stein-one-value"

    def probe(self, x, tools):
        flat = x.flatten(1)
        here = torch.zeros_like(flat)
        place = (numbers_like(x, tools) * flat.shape[1]).long().clamp(max=flat.shape[1] - 1)
        return here.scatter(1, place.unsqueeze(1), flat.shape[1] ** 0.5).reshape(x.shape)


class OnTheSphere(Stein):
    """The probe lies on the sphere of radius root d."""

    name = "kit18-stein-probe-on-the-sphere"

    def probe(self, x, tools):
        z = standard_normal(x, tools.generator).flatten(1)
        return (z / z.norm(dim=1, keepdim=True) * z.shape[1] ** 0.5).reshape(x.shape)


class Expanded(Stein):
    """The risk with its square multiplied out, and x^2 - sigma^2, which no network changes, left out."""

    name = "kit18-stein-multiplied-out"

    def risk(self, x_0_hat, x, divergence, level):
        return x_0_hat * (x_0_hat - 2 * x) + 2 * level**2 * divergence


def numbers_like(x, tools):
    """(B,), uniform draws."""
    return torch.rand(len(x), generator=tools.generator, dtype=x.dtype, device=tools.generator.device).to(x)


RIGHT = final(globals())
