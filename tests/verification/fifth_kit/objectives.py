"""Objectives of the fifth kit: OBJECTIVES_RIGHT, OBJECTIVES_WRONG = [(class, why)]."""

import torch
import torch.nn.functional as F

from ambientkit.batch import Term, View, take
from ambientkit.errors import InputError
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import geometric_grid, log_uniform, truncated_lognormal
from ambientkit.maths.noise import per_row, standard_normal, uniform
from ambientkit.maths.weights import edm_weight

TW = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "levels-above-floor", "detached-anchor"})
SCALED = TW | {"x_0-scale"}
CON = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "value-unbiased", "detached-anchor"})
SU = frozenset({"stationary-at-oracle", "noise-by-pixel", "views-in-law", "detached-anchor"})
RIGHT, WRONG = [], []


def part(name, claims, why=None, below="", fields=None):
    def deco(fn):
        body = {
            "__doc__": why or name,
            "__module__": __name__,
            "name": name,
            "claims": claims,
            "loss": fn,
            "source": "kit 5",
            "below_sigma_n": below,
        }
        cls = type(Objective)("K" + name.title().replace("-", ""), (Objective,), body)
        (RIGHT if why is None else WRONG).append((cls, why or ""))
        return cls

    return deco


def levels(batch, tools, top=None):
    floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
    return log_uniform(uniform(floor, tools.generator), floor, top or tools.levels.sigma_max)


def plain(denoiser, batch, tools, *, sigma=None, view=None, x_0_hat=None, expect=None, loss=None, weight=None):
    """The docs' skeleton with places to break it."""
    sigma = levels(batch, tools) if sigma is None else sigma
    view = tools.corruption.degrade(batch, sigma, tools.generator) if view is None else view
    x_0_hat = (denoiser(view.x, view.sigma, **view.cond) if x_0_hat is None else x_0_hat(view)).to(batch.x_n.dtype)
    residual = (tools.corruption.expect(x_0_hat, view, batch) if expect is None else expect(x_0_hat, view)) - batch.x_n
    w = edm_weight(sigma, tools.signal.sigma_data) if weight is None else weight(sigma)
    one = residual.square().flatten(1).mean(1) if loss is None else loss(residual)
    return {"k": Term(w * one, sigma)}


# ---------------------------------------------------------------- right
@part("right-plain", TW)
def r1(self, denoiser, batch, tools):
    return plain(denoiser, batch, tools)


@part("right-weighted", SCALED)
def r2(self, denoiser, batch, tools):
    floor = tools.corruption.floor(batch)
    sigma = truncated_lognormal(
        uniform(floor, tools.generator), floor.clamp(min=tools.levels.sigma_min), tools.levels.sigma_max, -0.5, 1.4
    )
    view = tools.corruption.degrade(batch, sigma, tools.generator)
    h = denoiser(view.x, view.sigma, **view.cond).to(batch.x_n.dtype)
    rho = tools.corruption.expect(h, view, batch) - batch.x_n
    a = tools.corruption.slope(view, batch)
    noise = (a * per_row(batch.sigma_n, batch.x_n)) ** 2
    at_0 = tools.corruption.expect(torch.zeros_like(h), view, batch)
    vain = (a * batch.x_n + at_0 - batch.x_n) ** 2
    f = tools.corruption.weight(view, batch, torch.full_like(sigma, 30.0), torch.ones_like(sigma))
    return {
        "k": Term(edm_weight(sigma, tools.signal.sigma_data) * (f * (rho**2 - noise - vain)).flatten(1).mean(1), sigma)
    }


@part("right-eps", TW)
def r3(self, denoiser, batch, tools):
    """mean(((c / sigma) eps_hat - z)^2), z drawn here."""
    sigma = levels(batch, tools)
    s, n = per_row(sigma, batch.x_n), per_row(batch.sigma_n, batch.x_n)
    c = (s**2 - n**2).clamp(min=0).sqrt()
    z = standard_normal(batch.x_n, tools.generator)
    x_t = batch.x_n + c * z
    eps = (x_t - denoiser(x_t, sigma, **batch.cond).to(x_t.dtype)) / s
    return {"k": Term((c / s * eps - z).square().flatten(1).mean(1), sigma)}


def anchors(denoiser, batch, tools, max_hop=0.4):
    if "reverse-kernel" not in tools.sampler.claims:
        raise InputError("draws from the reverse kernel are needed")
    floor = tools.corruption.floor(batch)
    batch = take(batch, (floor > tools.levels.sigma_min).nonzero().squeeze(1))
    top = tools.corruption.floor(batch)
    if len(top) == 0:
        return None
    view = tools.corruption.degrade(batch, top, tools.generator)
    with torch.no_grad():
        sigma_t = log_uniform(uniform(top, tools.generator), tools.levels.sigma_min, top)
        x = tools.sampler.sample(tools.teacher, view.x, geometric_grid(top, sigma_t, 4), tools.generator, view.cond)
        u = uniform(top, tools.generator)
        sigma_s = sigma_t * torch.exp(-u * torch.log(sigma_t / tools.levels.sigma_min).clamp(min=0, max=max_hop))
    return batch, View(x, sigma_t, view.cond), sigma_s


def ends(denoiser, view, sigma_s, tools, times=2):
    grid = torch.stack([view.sigma, sigma_s])
    with torch.no_grad():
        return [tools.sampler.sample(denoiser, view.x, grid, tools.generator, view.cond) for _ in range(times)]


@part("right-two-draws", CON, below="by consistency")
def r4(self, denoiser, batch, tools):
    """2 <h(x_s1) - c, sg[h(x_s2) - c]>; the value is halved as the product."""
    found = anchors(denoiser, batch, tools)
    if found is None:
        e = batch.x_n.new_zeros(0)
        return {"k": Term(e, e)}
    b, view, sigma_s = found
    x1, x2 = ends(denoiser, view, sigma_s, tools)
    with torch.no_grad():
        c = denoiser(view.x, view.sigma, **view.cond).to(b.x_n.dtype)
    h1 = denoiser(x1, sigma_s, **view.cond).to(b.x_n.dtype)
    h2 = denoiser(x2, sigma_s, **view.cond).to(b.x_n.dtype)
    return {"k": Term(edm_weight(sigma_s, tools.signal.sigma_data) * ((h1 - c) * (h2 - c)).flatten(1).mean(1), sigma_s)}


def sure(denoiser, batch, tools, *, factor=2.0, power=2, probe="normal", top=None):
    floor = tools.corruption.floor(batch)
    batch = take(batch, (floor > tools.levels.sigma_min).nonzero().squeeze(1))
    sigma = tools.corruption.floor(batch)
    if len(sigma) == 0:
        e = batch.x_n.new_zeros(0)
        return {"k": Term(e, e)}
    view = (
        tools.corruption.degrade(batch, sigma, tools.generator) if top is None else View(batch.x_n, sigma, batch.cond)
    )
    v = standard_normal(view.x, tools.generator) if probe == "normal" else torch.ones_like(view.x)
    x = view.x.detach().requires_grad_()
    with torch.enable_grad():
        h = denoiser(x, sigma, **view.cond).to(x.dtype)
        (jv,) = torch.autograd.grad((h * v).sum(), x, create_graph=True)
    risk = (h - view.x) ** 2 + per_row(sigma, x) ** power * factor * v * jv
    return {"k": Term(edm_weight(sigma, tools.signal.sigma_data) * risk.flatten(1).mean(1), sigma)}


@part("right-sure-normal", SU)
def r5(self, denoiser, batch, tools):
    return sure(denoiser, batch, tools)


@part("right-shared-level", TW)
def r6(self, denoiser, batch, tools):
    """One draw of u for the whole batch; levels row by row above the row's floor."""
    floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
    u = uniform(floor[:1], tools.generator).expand(len(floor))
    return plain(denoiser, batch, tools, sigma=log_uniform(u, floor, tools.levels.sigma_max))


@part("right-two-terms", TW)
def r7(self, denoiser, batch, tools):
    """Low and high levels as two terms, each of all rows."""
    floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
    mid = (floor * tools.levels.sigma_max).sqrt()
    low = plain(denoiser, batch, tools, sigma=log_uniform(uniform(floor, tools.generator), floor, mid))["k"]
    high = plain(
        denoiser, batch, tools, sigma=log_uniform(uniform(floor, tools.generator), mid, tools.levels.sigma_max)
    )["k"]
    return {"low": low, "high": high}


# ---------------------------------------------------------------- wrong: formulas
def mix(x0, view, batch, b):
    return (1 - b) * x0 + b * view.x


@part("b-not-squared", TW, "b = sigma_n / sigma, not its square")
def w01(self, denoiser, batch, tools):
    return plain(
        denoiser, batch, tools, expect=lambda h, v: mix(h, v, batch, per_row(batch.sigma_n, h) / per_row(v.sigma, h))
    )


@part("compares-with-x-n", TW, "D is compared with x_n itself: the noise is learned")
def w02(self, denoiser, batch, tools):
    return plain(denoiser, batch, tools, expect=lambda h, v: h)


@part("batch-level-mean", TW, "b from the mean sigma_n of the batch: wrong for rows of other levels and for clean rows")
def w03(self, denoiser, batch, tools):
    return plain(
        denoiser, batch, tools, expect=lambda h, v: mix(h, v, batch, (batch.sigma_n.mean() / per_row(v.sigma, h)) ** 2)
    )


@part("huber", TW, "Huber's loss: its minimum is between median and mean")
def w04(self, denoiser, batch, tools):
    return plain(
        denoiser,
        batch,
        tools,
        loss=lambda r: F.huber_loss(r, torch.zeros_like(r), reduction="none", delta=0.1).flatten(1).mean(1),
    )


@part("root-of-mean", TW, "per-row root of the mean square (an unsquared norm): minimum is a geometric median")
def w05(self, denoiser, batch, tools):
    return plain(denoiser, batch, tools, loss=lambda r: r.square().flatten(1).mean(1).add(1e-8).sqrt())


@part(
    "adaptive-weight",
    TW,
    "value / (sg[value] + 0.1): weight depends on the residual, so rows with large noise count less",
)
def w06(self, denoiser, batch, tools):
    def f(r):
        v = r.square().flatten(1).mean(1)
        return v / (v.detach() + 0.1)

    return plain(denoiser, batch, tools, loss=f)


@part(
    "clipped-estimate",
    TW,
    "x_0_hat clamped to [-1, 1] before the loss: no gradient beyond, data there are never learned",
)
def w07(self, denoiser, batch, tools):
    return plain(denoiser, batch, tools, x_0_hat=lambda v: denoiser(v.x, v.sigma, **v.cond).clamp(-1, 1))


@part("sum-not-mean", SCALED, "sum over the values of a row where the mean is due: d times too large")
def w08(self, denoiser, batch, tools):
    return plain(denoiser, batch, tools, loss=lambda r: r.square().flatten(1).sum(1))


@part("no-inverse-a", SCALED, "claims the scale of x_0 but lacks the factor 1 / a^2")
def w09(self, denoiser, batch, tools):
    return plain(denoiser, batch, tools)


@part("sigma-data-half", SCALED, "edm weight with sigma_data = 0.5 whatever the data")
def w10(self, denoiser, batch, tools):
    floor = tools.corruption.floor(batch)
    sigma = truncated_lognormal(
        uniform(floor, tools.generator), floor.clamp(min=tools.levels.sigma_min), tools.levels.sigma_max, -0.5, 1.4
    )
    view = tools.corruption.degrade(batch, sigma, tools.generator)
    h = denoiser(view.x, view.sigma, **view.cond).to(batch.x_n.dtype)
    rho = tools.corruption.expect(h, view, batch) - batch.x_n
    a = tools.corruption.slope(view, batch)
    noise = (a * per_row(batch.sigma_n, batch.x_n)) ** 2
    vain = (a * batch.x_n + tools.corruption.expect(torch.zeros_like(h), view, batch) - batch.x_n) ** 2
    f = tools.corruption.weight(view, batch, torch.full_like(sigma, 30.0), torch.ones_like(sigma))
    return {"k": Term(edm_weight(sigma, 0.5) * (f * (rho**2 - noise - vain)).flatten(1).mean(1), sigma)}


@part("output-decay", TW, "a second term 0.01 |D|^2 pulls the estimate to 0")
def w11(self, denoiser, batch, tools):
    kept = []

    def call(v):
        kept.append(denoiser(v.x, v.sigma, **v.cond))
        return kept[0]

    found = plain(denoiser, batch, tools, x_0_hat=call)["k"]
    return {"k": found, "decay": Term(0.01 * kept[0].square().flatten(1).mean(1), found.sigma)}


@part("b-in-tenths", TW, "b rounded to tenths, as from a table")
def w12(self, denoiser, batch, tools):
    return plain(
        denoiser,
        batch,
        tools,
        expect=lambda h, v: mix(
            h, v, batch, ((per_row(batch.sigma_n, h) / per_row(v.sigma, h)) ** 2 * 10).round() / 10
        ),
    )


# ---------------------------------------------------------------- wrong: levels
@part("only-above-20", TW, "levels from max(floor, 20) up: nothing below 20 is trained")
def w13(self, denoiser, batch, tools):
    floor = tools.corruption.floor(batch).clamp(min=20.0)
    return plain(
        denoiser, batch, tools, sigma=log_uniform(uniform(floor, tools.generator), floor, tools.levels.sigma_max)
    )


@part("hole-in-the-middle", TW, "no level between 0.5 and 5: two ranges that do not meet")
def w14(self, denoiser, batch, tools):
    floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
    u, which = uniform(floor, tools.generator), uniform(floor, tools.generator)
    low = log_uniform(u, floor, torch.maximum(floor, torch.full_like(floor, 0.5)))
    high = log_uniform(u, torch.maximum(floor, torch.full_like(floor, 5.0)), tools.levels.sigma_max)
    return plain(denoiser, batch, tools, sigma=torch.where(which < 0.5, low, high))


@part("own-range", TW, "0.002 to 80 written into the part: tools.levels ignored")
def w15(self, denoiser, batch, tools):
    floor = tools.corruption.floor(batch).clamp(min=0.002)
    return plain(denoiser, batch, tools, sigma=log_uniform(uniform(floor, tools.generator), floor, 80.0))


@part("ten-times-too-high", TW, "levels up to 10 sigma_max")
def w16(self, denoiser, batch, tools):
    return plain(denoiser, batch, tools, sigma=levels(batch, tools, top=10 * tools.levels.sigma_max))


@part("clamped-on-floor", TW, "levels of the whole law, those below the floor put onto it: no gradient there")
def w17(self, denoiser, batch, tools):
    floor = tools.corruption.floor(batch)
    u = uniform(floor, tools.generator)
    sigma = torch.maximum(truncated_lognormal(u, tools.levels.sigma_min, tools.levels.sigma_max, -1.2, 1.2), floor)
    return plain(denoiser, batch, tools, sigma=sigma)


@part("clean-rows-high", TW, "clean rows get the levels of noisy ones: never seen below 0.3, though they can be")
def w18(self, denoiser, batch, tools):
    floor = tools.corruption.floor(batch)
    floor = torch.where(floor > 0, floor, torch.full_like(floor, 0.3))
    return plain(
        denoiser, batch, tools, sigma=log_uniform(uniform(floor, tools.generator), floor, tools.levels.sigma_max)
    )


@part("reports-log-sigma", TW, "the term's level is log(sigma)")
def w19(self, denoiser, batch, tools):
    t = plain(denoiser, batch, tools)["k"]
    return {"k": Term(t.value, t.sigma.log())}


@part("stops-short", TW, "never above 2: upper half of the range unlearned (sigma_max taken as 2)")
def w20(self, denoiser, batch, tools):
    floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
    return plain(
        denoiser,
        batch,
        tools,
        sigma=log_uniform(
            uniform(floor, tools.generator), floor, torch.maximum(floor * 1.1, torch.full_like(floor, 2.0))
        ),
    )


# ---------------------------------------------------------------- wrong: calls of the denoiser
@part("conds-forgotten", TW, "the row's conditions are not handed on")
def w21(self, denoiser, batch, tools):
    return plain(denoiser, batch, tools, x_0_hat=lambda v: denoiser(v.x, v.sigma))


@part("conds-of-neighbour", TW, "conditions rolled by one row")
def w22(self, denoiser, batch, tools):
    return plain(
        denoiser, batch, tools, x_0_hat=lambda v: denoiser(v.x, v.sigma, **{k: c.roll(1, 0) for k, c in v.cond.items()})
    )


@part("told-missing-noise", TW, "the denoiser is told sqrt(sigma^2 - sigma_n^2), what was added, not sigma")
def w23(self, denoiser, batch, tools):
    def call(v):
        f = tools.corruption.floor(batch)
        return denoiser(v.x, (v.sigma**2 - f**2).clamp(min=1e-6).sqrt(), **v.cond)

    return plain(denoiser, batch, tools, x_0_hat=call)


@part("target-is-teacher", SU, "target is the EMA teacher's estimate: learns nothing of the data")
def w24(self, denoiser, batch, tools):
    sigma = levels(batch, tools)
    v = tools.corruption.degrade(batch, sigma, tools.generator)
    with torch.no_grad():
        t = tools.teacher(v.x, v.sigma, **v.cond)
    h = denoiser(v.x, v.sigma, **v.cond)
    return {"k": Term(edm_weight(sigma, tools.signal.sigma_data) * (h - t).square().flatten(1).mean(1), sigma)}


@part("teacher-answers", TW, "the teacher is called in place of the denoiser: no gradient")
def w25(self, denoiser, batch, tools):
    return plain(denoiser, batch, tools, x_0_hat=lambda v: tools.teacher(v.x, v.sigma, **v.cond))


@part("half-the-values", TW, "x_0_hat of the second half of the values of a row is detached")
def w26(self, denoiser, batch, tools):
    def call(v):
        h = denoiser(v.x, v.sigma, **v.cond)
        k = h.shape[-1] // 2
        return torch.cat([h[..., :k], h[..., k:].detach()], dim=-1)

    return plain(denoiser, batch, tools, x_0_hat=call)
