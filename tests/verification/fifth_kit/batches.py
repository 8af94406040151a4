"""Objectives of the fifth kit that mix up batches, shapes, randomness and state."""

import torch

from ambientkit.batch import Term, View
from ambientkit.maths.noise import per_row, standard_normal, uniform
from tests.verification.fifth_kit.objectives import TW, levels, part, plain


@part("one-value-for-all", TW, "the batch's mean repeated for each row: loss by level is false")
def w27(self, denoiser, batch, tools):
    t = plain(denoiser, batch, tools)["k"]
    return {"k": Term(t.value.mean().expand(len(t.sigma)), t.sigma)}


@part("zero-second-half", TW, "values of the second half of the batch are left at 0 (an index that stops too early)")
def w28(self, denoiser, batch, tools):
    t = plain(denoiser, batch, tools)["k"]
    v = t.value.clone()
    v[len(v) // 2 :] = 0
    return {"k": Term(v, t.sigma)}


@part("odd-batch-fails", TW, "chunks the batch into two halves of one size: fails at an odd number of rows")
def w29(self, denoiser, batch, tools):
    t = plain(denoiser, batch, tools)["k"]
    a, b = t.value.chunk(2)
    return {"k": Term(torch.cat([(a + b) / 2, (a + b) / 2]), t.sigma)}


@part("batch-centred", TW, "residual less its mean over the batch: the mean error is never trained")
def w30(self, denoiser, batch, tools):
    return plain(denoiser, batch, tools, loss=lambda r: (r - r.mean(0, keepdim=True)).square().flatten(1).mean(1))


@part("row-centred", TW, "residual less the mean of its row: the brightness of a picture is never trained")
def w31(self, denoiser, batch, tools):
    return plain(
        denoiser,
        batch,
        tools,
        loss=lambda r: (r - r.flatten(1).mean(1).reshape(-1, *[1] * (r.ndim - 1))).square().flatten(1).mean(1),
    )


@part("borders-left-out", TW, "the outermost pixels of a picture do not count")
def w32(self, denoiser, batch, tools):
    return plain(
        denoiser, batch, tools, loss=lambda r: (r[..., 1:-1, 1:-1] if r.ndim == 4 else r).square().flatten(1).mean(1)
    )


@part("first-channel-only", TW, "only the first channel of pictures counts")
def w33(self, denoiser, batch, tools):
    return plain(denoiser, batch, tools, loss=lambda r: (r[:, :1] if r.ndim == 4 else r).square().flatten(1).mean(1))


@part("nan-for-clean", TW, "floor^(1-u) of clean rows is 0 * inf: NaN for rows that are clean")
def w34(self, denoiser, batch, tools):
    floor = tools.corruption.floor(batch)
    u = uniform(floor, tools.generator)
    sigma = floor * torch.exp(u * torch.log(tools.levels.sigma_max / floor))
    return plain(denoiser, batch, tools, sigma=sigma)


@part("changes-batch", TW, "adds noise to the batch in place: x_n is another one afterwards")
def w35(self, denoiser, batch, tools):
    found = plain(denoiser, batch, tools)
    batch.x_n.mul_(0.999)
    return found


# ---------------------------------------------------------------- wrong: randomness, state
@part("global-noise", TW, "noise from torch's global generator")
def w36(self, denoiser, batch, tools):
    sigma = levels(batch, tools)
    c = (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()
    return plain(
        denoiser, batch, tools, sigma=sigma, view=View(batch.x_n + c * torch.randn_like(batch.x_n), sigma, batch.cond)
    )


@part("one-noise", TW, "one z for all rows of the batch")
def w37(self, denoiser, batch, tools):
    sigma = levels(batch, tools)
    c = (per_row(sigma, batch.x_n) ** 2 - per_row(batch.sigma_n, batch.x_n) ** 2).clamp(min=0).sqrt()
    z = standard_normal(batch.x_n[:1], tools.generator).expand_as(batch.x_n)
    return plain(denoiser, batch, tools, sigma=sigma, view=View(batch.x_n + c * z, sigma, batch.cond))


@part("same-noise-each-step", TW, "a generator of its own with a fixed seed: the same z and levels in every step")
def w38(self, denoiser, batch, tools):
    import dataclasses

    return plain(denoiser, batch, dataclasses.replace(tools, generator=torch.Generator().manual_seed(1)))
