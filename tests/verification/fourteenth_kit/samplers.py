"""Wrong samplers."""

from __future__ import annotations

import torch

from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.reverse import reverse_moments

from .bases import made

LAST: dict[tuple[int, ...], torch.Tensor] = {}


class Drawn(Sampler):
    """Ancestral steps, one a level."""

    source = "arXiv 2006.11239, eq. 6-7"
    claims = frozenset({"reverse-kernel", "exact-for-points", "order-1", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x_0_hat = self.ask(denoiser, x, t, cond).to(x.dtype)
            mean, std = reverse_moments(x, x_0_hat, t, s)
            x = mean + std.to(x.dtype) * self.noise(x, generator)
        return x

    def ask(self, denoiser, x, sigma, cond):
        return denoiser(x, sigma, **cond)

    def noise(self, x, generator):
        return standard_normal(x, generator)


class Flowed(Sampler):
    """Heun's rule for dx/dsigma, one step a level."""

    source = "arXiv 2206.00364, algorithm 1"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            x = self.step(denoiser, x, t, s, cond)
        return x

    def slope(self, denoiser, x, sigma, cond):
        return (x - denoiser(x, sigma, **cond).to(x.dtype)) / per_row(sigma, x)

    def step(self, denoiser, x, t, s, cond):
        first, move = self.slope(denoiser, x, t, cond), per_row(s - t, x)
        ahead, inside = x + move * first, s > 0
        if not bool(inside.any()):
            return ahead
        second = self.second(denoiser, ahead, torch.where(inside, s, t), cond)
        return torch.where(per_row(inside.to(x.dtype), x) > 0, x + move * (first + second) / 2, ahead)

    def second(self, denoiser, ahead, level, cond):
        return self.slope(denoiser, ahead, level, cond)


class SlightlyMore(Drawn):
    """Noise of std 1.003, EDM's S_noise. Breaks: std sigma_s sqrt(1 - r)."""

    name = "kit14-s-noise"

    def noise(self, x, generator):
        return 1.003 * super().noise(x, generator)


class Thresholded(Drawn):
    """Estimates of pictures are drawn in at their 99 % quantile, as dynamic thresholding does. Breaks: E[D(x_s) | x_t]
    = D(x_t)."""

    name = "kit14-dynamic-threshold"

    def ask(self, denoiser, x, sigma, cond):
        found = super().ask(denoiser, x, sigma, cond)
        if x.ndim != 4:
            return found
        bound = found.abs().flatten(1).quantile(0.99, dim=1).clamp(min=1)
        bound = per_row(bound, found)
        return torch.maximum(torch.minimum(found, bound), -bound)


class GreyDraws(Drawn):
    """Channels of a picture share their noise. Breaks: a draw from p(x_s | x_t)."""

    name = "kit14-channels-share-draws"

    def noise(self, x, generator):
        z = super().noise(x, generator)
        return z[:, :1].expand_as(z) if x.ndim == 4 else z


class InChunks(Drawn):
    """More than 256 rows are carried in chunks, each with the generator as it was at first. Breaks: independent
    draws."""

    name = "kit14-chunks-alike"

    def sample(self, denoiser, x, sigmas, generator, cond):
        if len(x) <= 256 or not isinstance(generator, torch.Generator):
            return super().sample(denoiser, x, sigmas, generator, cond)
        state, found = generator.get_state(), []
        for i in range(0, len(x), 256):
            generator.set_state(state)
            part = slice(i, i + 256)
            one = {name: value[part] for name, value in cond.items()}
            found.append(super().sample(denoiser, x[part], sigmas[:, part], generator, one))
        return torch.cat(found)


class TailByHalf(Drawn):
    """Chunks of 64 rows, of which each is given the first chunk's conditions. Breaks: conditions of the row."""

    name = "kit14-chunks-first-conditions"

    def sample(self, denoiser, x, sigmas, generator, cond):
        if len(x) <= 64 or not isinstance(generator, torch.Generator):
            return super().sample(denoiser, x, sigmas, generator, cond)
        found = []
        for i in range(0, len(x), 64):
            part = slice(i, i + 64)
            one = {name: value[: len(x[part])] for name, value in cond.items()}
            found.append(super().sample(denoiser, x[part], sigmas[:, part], generator, one))
        return torch.cat(found)


class SeedOfPoints(Drawn):
    """Noise is seeded by the sum of the points, so that results can be repeated. Breaks: draws from the generator that
    is given."""

    name = "kit14-seeded-by-points"

    def noise(self, x, generator):
        own = torch.Generator().manual_seed(int(x.double().sum().abs() * 1e6) % 2**31)
        return torch.randn(x.shape, generator=own, dtype=x.dtype)


class DenoisedAtEnd(Drawn):
    """Where a grid ends below 0.05 the end is the estimate there. Breaks: points that follow the law at
    sigmas[-1]."""

    name = "kit14-denoised-at-low-end"

    def sample(self, denoiser, x, sigmas, generator, cond):
        x = super().sample(denoiser, x, sigmas, generator, cond)
        last = sigmas[-1]
        if bool(((last > 0) & (last < 0.05)).all()):
            return denoiser(x, last, **cond).to(x.dtype)
        return x


class MeanFirst(Drawn):
    """Above 40 the estimate is put to 0, which saves calls. Breaks: every level of the grid but the last is visited."""

    name = "kit14-zero-above-forty"

    def ask(self, denoiser, x, sigma, cond):
        if bool((sigma > 40).all()):
            return torch.zeros_like(x)
        return super().ask(denoiser, x, sigma, cond)


class SkipsShort(Drawn):
    """Steps of less than 2 % are left out. Breaks: every level is visited; the point lies at its level."""

    name = "kit14-short-steps-skipped"

    def sample(self, denoiser, x, sigmas, generator, cond):
        levels = [sigmas[0]]
        for one in sigmas[1:-1]:
            if bool((one < 0.98 * levels[-1]).all()):
                levels.append(one)
        return super().sample(denoiser, x, torch.stack([*levels, sigmas[-1]]), generator, cond)


class Guided(Drawn):
    """With labels, estimates are pushed by half of what the label changes. Breaks: a draw of the denoiser that is
    given."""

    name = "kit14-guides-itself"

    def ask(self, denoiser, x, sigma, cond):
        found = super().ask(denoiser, x, sigma, cond)
        if "class_cond" not in cond:
            return found
        bare = denoiser(x, sigma, **{**cond, "class_cond": torch.zeros_like(cond["class_cond"])})
        return found + 0.5 * (found - bare)


class HalfLevels(Flowed):
    """The level is handed over in bfloat16. Breaks: the levels of the grid are visited."""

    name = "kit14-sampler-levels-in-half"

    def slope(self, denoiser, x, sigma, cond):
        return (x - denoiser(x, sigma.bfloat16().to(sigma.dtype), **cond).to(x.dtype)) / per_row(sigma, x)


class SecondBare(Flowed):
    """The second call of a step is made without the conditions. Breaks: conditions are handed to the denoiser."""

    name = "kit14-second-call-bare"

    def second(self, denoiser, ahead, level, cond):
        return self.slope(denoiser, ahead, level, {})


class InPlaceOnce(Flowed):
    """A single step writes into the points that it was given. Breaks: x is left as it was."""

    name = "kit14-single-step-in-place"

    def sample(self, denoiser, x, sigmas, generator, cond):
        found = super().sample(denoiser, x, sigmas, generator, cond)
        return found if len(sigmas) > 2 or x.requires_grad or found.requires_grad else x.copy_(found)


class NoGradForPlain(Flowed):
    """Gradients are switched off where the points need none. Breaks: a gradient passes to the denoiser's answers where
    grad mode is on."""

    name = "kit14-no-grad-for-plain-points"

    def sample(self, denoiser, x, sigmas, generator, cond):
        with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad):
            return super().sample(denoiser, x, sigmas, generator, cond)


class SortedByLevel(Flowed):
    """Rows are put in the order of their levels, but not the conditions. Breaks: conditions of the row."""

    name = "kit14-sorted-rows-without-conditions"

    def sample(self, denoiser, x, sigmas, generator, cond):
        order = sigmas[0].argsort(stable=True)
        back = order.argsort()
        return super().sample(denoiser, x[order], sigmas[:, order], generator, cond)[back]


class StopsWhenStill(Flowed):
    """Stops once a step moves no value by more than 0.01. Breaks: every level of the grid but the last is visited."""

    name = "kit14-stops-when-still"

    def sample(self, denoiser, x, sigmas, generator, cond):
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            before, x = x, self.step(denoiser, x, t, s, cond)
            if float((x - before).abs().max()) < 0.01:
                break
        return x


class Bashforth(Sampler):
    """Adams and Bashforth's rule with 3/2 and -1/2, which is for equal steps. Breaks: order 2, on grids of other
    steps."""

    name = "kit14-bashforth-of-equal-steps"
    source = "Hairer, Norsett and Wanner (1993), section III.1"
    claims = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})

    def sample(self, denoiser, x, sigmas, generator, cond):
        last = None
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            slope = (x - denoiser(x, t, **cond).to(x.dtype)) / per_row(t, x)
            x, last = x + per_row(s - t, x) * (slope if last is None else 1.5 * slope - 0.5 * last), slope
        return x


class Remembers(Bashforth):
    """The same rule for any steps, of which the last slope is kept for the next call of that shape. Breaks: stateless;
    the first step of a call knows none before."""

    name = "kit14-slope-of-last-call"

    def sample(self, denoiser, x, sigmas, generator, cond):
        last, before = LAST.get(tuple(x.shape)), None
        for t, s in zip(sigmas[:-1], sigmas[1:], strict=True):
            slope = (x - denoiser(x, t, **cond).to(x.dtype)) / per_row(t, x)
            w = per_row((t - s) / (before - t) / 2 if before is not None else torch.full_like(t, 0.05), x)
            x, last, before = x + per_row(s - t, x) * (slope if last is None else slope + w * (slope - last)), slope, t
        LAST[tuple(x.shape)] = last.detach()
        return x


class OneRowFlat(Flowed):
    """A batch of one row comes back without its axis where it has no channels. Breaks: (B, *S)."""

    name = "kit14-one-row-squeezed"

    def sample(self, denoiser, x, sigmas, generator, cond):
        found = super().sample(denoiser, x, sigmas, generator, cond)
        return found.squeeze(0) if x.ndim == 2 else found


WRONG = made(
    SlightlyMore,
    Thresholded,
    GreyDraws,
    InChunks,
    TailByHalf,
    SeedOfPoints,
    DenoisedAtEnd,
    MeanFirst,
    SkipsShort,
    Guided,
    HalfLevels,
    SecondBare,
    InPlaceOnce,
    NoGradForPlain,
    SortedByLevel,
    StopsWhenStill,
    Bashforth,
    Remembers,
    OneRowFlat,
)
