"""Wrong objectives: levels below the noise of the data."""

from __future__ import annotations

import torch

from ambientkit.batch import Batch, Term, View, take
from ambientkit.builtin.objectives.detail_moments import DetailMoments
from ambientkit.builtin.objectives.posterior_buffer import PosteriorBuffer
from ambientkit.builtin.objectives.sure import Sure
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import per_row, uniform
from ambientkit.maths.weights import edm_weight

from .bases import Down, made, numbers


class LoneSquare(Down):
    """A batch of one row has one pair, whose defect is squared. Breaks: an unbiased estimate of the squared defect."""

    name = "kit14-square-of-one-row"

    def product(self, first, second):
        return super().product(first, first if len(first) == 1 else second)


class OwnObservation(Down):
    """Anchors at the noise of a row are its x_n as it is, without the noise that quieter pixels lack. Breaks:
    noise-by-pixel: one level in a view."""

    name = "kit14-anchor-as-observed"

    def start(self, batch, floor, tools):
        view = super().start(batch, floor, tools)
        return view if batch.cond else view._replace(x=batch.x_n)


class FirstConditions(Down):
    """Where clean rows are left out, the conditions are cut to the number of rows. Breaks: conditions of the row."""

    name = "kit14-conditions-cut"

    def chosen(self, batch, noisy):
        found = take(batch, noisy)
        return found._replace(cond={name: value[: len(noisy)] for name, value in batch.cond.items()})


class BareHops(Down):
    """Hops are made without the conditions of whole numbers. Breaks: conditions are handed to the denoiser."""

    name = "kit14-hops-without-labels"

    def pair(self, denoiser, anchor, sigma_s, tools):
        bare = {name: value for name, value in anchor.cond.items() if value.ndim > 1}
        return super().pair(denoiser, anchor._replace(cond=bare), sigma_s, tools)


class BelowRange(Down):
    """Hops go on below sigma_min. Breaks: the range of levels at which the denoiser will be asked."""

    name = "kit14-hops-below-range"

    def lower(self, anchor, tools):
        return anchor.sigma * torch.exp(-0.4 * numbers(anchor.x, tools.generator))


class FloorOfMean(Down):
    """Anchors of all rows lie below the mean noise of the batch, and those of quieter rows start where the others do.
    Breaks: from an observation at its own level."""

    name = "kit14-anchors-below-mean"

    def anchor(self, batch, tools):
        own = tools.corruption.floor(batch)
        view = self.start(batch, own, tools)
        mean = own.mean().expand_as(own)
        sigma = torch.minimum(log_uniform(numbers(batch.x_n, tools.generator), tools.levels.sigma_min, mean), own)
        low = (sigma < own).nonzero().squeeze(1)
        if len(low) == 0:
            return view
        x = view.x.clone()
        x[low] = self.chain(view, torch.maximum(mean, own), sigma, low, tools)
        return View(x, sigma, view.cond)


class GradientToAnchor(Down):
    """The anchor's answer keeps its gradient for batches of one row. Breaks: no gradient reaches any other level."""

    name = "kit14-gradient-to-anchor-of-one"

    def known(self, denoiser, anchor, tools):
        with torch.set_grad_enabled(len(anchor.x) == 1):
            return super().known(denoiser, anchor, tools)


class BufferForgets(PosteriorBuffer):
    """A draw is denoised under the labels of the rows at hand. Breaks: conditions travel with the row."""

    name = "kit14-buffer-other-labels"

    def loss(self, denoiser, batch, tools):
        def asked(x, sigma, /, **cond):
            own = {
                k: batch.cond[k][torch.arange(len(x)) % len(batch.row)] if v.ndim == 1 else v for k, v in cond.items()
            }
            return denoiser(x, sigma, **own)

        return super().loss(asked, batch, tools)


class BufferFull(PosteriorBuffer):
    """Once the buffer is full nothing is drawn any more. Breaks: a draw is kept for the next `keep` calls."""

    name = "kit14-buffer-full"
    keep: int = 4

    def _draw(self, denoiser, batch, tools):
        if int(tools.memory["drawn"]) < len(tools.memory["sigma_n"]):
            super()._draw(denoiser, batch, tools)


class BufferEmpty(PosteriorBuffer):
    """Places that hold nothing yet are denoised as well: rows of 0. Breaks: draws of p(x_0 | x_n)."""

    name = "kit14-buffer-of-nothing"

    def _draw(self, denoiser, batch, tools):
        super()._draw(denoiser, batch, tools)
        memory = tools.memory
        empty = memory["sigma_n"] == 0
        memory["sigma_n"][empty] = float(memory["sigma_n"].max())
        memory["drawn"] += int(empty.sum())


class ProbeOfColour(Sure):
    """One probe for all channels of a picture. Breaks: v . grad (v . D) is the divergence only where signs are
    independent."""

    name = "kit14-probe-of-pixels"

    def loss(self, denoiser, batch, tools):
        floor = tools.corruption.floor(batch)
        batch = take(batch, (floor > tools.levels.sigma_min).nonzero().squeeze(1))
        sigma = tools.corruption.floor(batch)
        if len(sigma) == 0:
            return {"sure": Term(batch.x_n.new_zeros(0), sigma)}
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        signs = view.x[:, :1] if view.x.ndim == 4 else view.x
        probe = ((uniform(signs, tools.generator) < 0.5).to(view.x.dtype) * 2 - 1).expand_as(view.x)
        return {"sure": self.risk(denoiser, view, probe, tools)}

    def risk(self, denoiser, view, probe, tools):
        x = view.x.detach().requires_grad_()
        with torch.enable_grad():
            x_0_hat = denoiser(x, view.sigma, **view.cond).to(x.dtype)
            (slope,) = torch.autograd.grad((x_0_hat * probe).sum(), x, create_graph=True)
        risk = (x_0_hat - view.x) ** 2 + per_row(view.sigma, x) ** 2 * (2 * probe * slope - 1)
        return Term(edm_weight(view.sigma, tools.signal.sigma_data) * risk.flatten(1).mean(1), view.sigma)


class WideDifference(ProbeOfColour):
    """The divergence is a difference over half of sigma. Breaks: the derivative of D."""

    name = "kit14-wide-difference"

    def risk(self, denoiser, view, probe, tools):
        sigma = per_row(view.sigma, view.x)
        sign = torch.where(uniform(view.x, tools.generator) < 0.5, -torch.ones_like(view.x), torch.ones_like(view.x))
        x_0_hat = denoiser(view.x, view.sigma, **view.cond).to(view.x.dtype)
        moved = denoiser(view.x + 0.5 * sigma * sign, view.sigma, **view.cond).to(view.x.dtype)
        risk = (x_0_hat - view.x) ** 2 + sigma**2 * (2 * sign * (moved - x_0_hat) / (0.5 * sigma) - 1)
        return Term(edm_weight(view.sigma, tools.signal.sigma_data) * risk.flatten(1).mean(1), view.sigma)


class DetailOfMean(DetailMoments):
    """After the first call the batch's noise is taken for its mean. Breaks: a level for each row."""

    name = "kit14-detail-mean-noise"

    def loss(self, denoiser, batch, tools):
        if tools.memory and batch.sigma_n.ndim == 1:
            batch = Batch(batch.x_n, batch.sigma_n.mean().expand_as(batch.sigma_n), batch.row, batch.cond)
        return super().loss(denoiser, batch, tools)


WRONG = made(
    LoneSquare,
    OwnObservation,
    FirstConditions,
    BareHops,
    BelowRange,
    FloorOfMean,
    GradientToAnchor,
    BufferForgets,
    BufferFull,
    BufferEmpty,
    ProbeOfColour,
    WideDifference,
    DetailOfMean,
)
