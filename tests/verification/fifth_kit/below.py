"""Objectives of the fifth kit that work at or below sigma_n: consistency and Stein's estimate, wrong."""

import torch

from ambientkit.batch import Term
from ambientkit.maths.weights import edm_weight
from tests.verification.fifth_kit.objectives import CON, SU, anchors, ends, part, sure


@part("anchor-with-gradient", CON, "gradient flows into the anchor too", below="by consistency")
def w39(self, denoiser, batch, tools):
    found = anchors(denoiser, batch, tools)
    if found is None:
        e = batch.x_n.new_zeros(0)
        return {"k": Term(e, e)}
    _, view, s = found
    x1, x2 = ends(denoiser, view, s, tools)
    c = denoiser(view.x, view.sigma, **view.cond)
    v = (denoiser(x1, s, **view.cond) - c) * (denoiser(x2, s, **view.cond) - c)
    return {"k": Term(edm_weight(s, tools.signal.sigma_data) * v.flatten(1).mean(1), s)}


@part("one-draw-squared", CON, "|h(x_s) - c|^2 of one draw: penalises the spread of h (blur)", below="by consistency")
def w40(self, denoiser, batch, tools):
    found = anchors(denoiser, batch, tools)
    if found is None:
        e = batch.x_n.new_zeros(0)
        return {"k": Term(e, e)}
    _, view, s = found
    (x1,) = ends(denoiser, view, s, tools, 1)
    with torch.no_grad():
        c = denoiser(view.x, view.sigma, **view.cond)
    return {
        "k": Term(
            edm_weight(s, tools.signal.sigma_data) * (denoiser(x1, s, **view.cond) - c).square().flatten(1).mean(1), s
        )
    }


@part("ends-told-upper-level", CON, "the ends are given the level of the anchor", below="by consistency")
def w41(self, denoiser, batch, tools):
    found = anchors(denoiser, batch, tools)
    if found is None:
        e = batch.x_n.new_zeros(0)
        return {"k": Term(e, e)}
    _, view, s = found
    x1, x2 = ends(denoiser, view, s, tools)
    with torch.no_grad():
        c = denoiser(view.x, view.sigma, **view.cond)
    v = (denoiser(x1, view.sigma, **view.cond) - c) * (denoiser(x2, view.sigma, **view.cond) - c)
    return {"k": Term(edm_weight(s, tools.signal.sigma_data) * v.flatten(1).mean(1), s)}


@part("negative-clamped", CON, "negative products are set to 0", below="by consistency")
def w42(self, denoiser, batch, tools):
    found = anchors(denoiser, batch, tools)
    if found is None:
        e = batch.x_n.new_zeros(0)
        return {"k": Term(e, e)}
    _, view, s = found
    x1, x2 = ends(denoiser, view, s, tools)
    with torch.no_grad():
        c = denoiser(view.x, view.sigma, **view.cond)
    v = (denoiser(x1, s, **view.cond) - c) * (denoiser(x2, s, **view.cond) - c)
    return {"k": Term(edm_weight(s, tools.signal.sigma_data) * v.flatten(1).mean(1).clamp(min=0), s)}


@part("sure-once", SU, "the divergence counts once, not twice")
def w43(self, denoiser, batch, tools):
    return sure(denoiser, batch, tools, factor=1.0)


@part("sure-sigma", SU, "sigma times the divergence, not sigma^2")
def w44(self, denoiser, batch, tools):
    return sure(denoiser, batch, tools, power=1)


@part("sure-probe-of-ones", SU, "probe of ones: sums the whole Jacobian, not its trace")
def w45(self, denoiser, batch, tools):
    return sure(denoiser, batch, tools, probe="ones")


@part("sure-not-topped-up", SU, "noise by pixel is not topped up to the row's level that the denoiser is told")
def w46(self, denoiser, batch, tools):
    return sure(denoiser, batch, tools, top=False)
