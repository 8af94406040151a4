"""Samplers of the fifth kit."""

import torch

from ambientkit.interfaces import Sampler
from ambientkit.maths.noise import per_row, standard_normal

DET1 = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})
DET2 = frozenset({"order-2", "final-law", "grid-levels", "row-generators"})
STO1 = frozenset({"reverse-kernel", "order-1", "final-law", "grid-levels", "row-generators"})
RIGHT, WRONG = [], []


def part(name, claims, why=None):
    def deco(fn):
        made = type(Sampler)(
            "K" + name.title().replace("-", ""),
            (Sampler,),
            {
                "__doc__": why or name,
                "__module__": __name__,
                "name": name,
                "claims": claims,
                "source": "kit 5",
                "sample": fn,
            },
        )
        (RIGHT if why is None else WRONG).append((made, why or ""))
        return made

    return deco


def slope(den, x, s, cond):
    return (x - den(x, s, **cond).to(x.dtype)) / per_row(s, x)


def pairs(sigmas):
    return zip(sigmas[:-1], sigmas[1:], strict=True)


@part("right-ddim", DET1)
def _(self, denoiser, x, sigmas, generator, cond):
    """x_s = D + (sigma_s / sigma_t) (x - D)."""
    for t, s in pairs(sigmas):
        d = denoiser(x, t, **cond).to(x.dtype)
        x = d + per_row(s / t, x) * (x - d)
    return x


@part("right-euler-maruyama", STO1)
def _(self, denoiser, x, sigmas, generator, cond):
    """The reverse SDE by Euler's rule in sigma^2: x + (t^2 - s^2) (D - x) / t^2 + sqrt(t^2 - s^2) z.

    No noise in a last step to 0.
    """
    for t, s in pairs(sigmas):
        v = per_row(t**2 - s**2, x)
        z = standard_normal(x, generator)
        x = (
            x
            - v * (x - denoiser(x, t, **cond).to(x.dtype)) / per_row(t, x) ** 2
            + torch.where(per_row(s, x) > 0, v.sqrt() * z, torch.zeros_like(x))
        )
    return x


@part("right-two-step", DET2)
def _(self, denoiser, x, sigmas, generator, cond):
    """DPM-Solver++(2M) in lambda = -log sigma; Euler in the first step and in one to 0."""
    old = h_old = None
    for t, s in pairs(sigmas):
        d = denoiser(x, t, **cond).to(x.dtype)
        ratio = s / t
        if old is None:
            use = d
        else:
            h = -torch.log(ratio.clamp(min=1e-30))
            r = per_row(h_old / h, x)
            two = (1 + 1 / (2 * r)) * d - old / (2 * r)
            use = torch.where(per_row(s, x) > 0, two, d)
        x = per_row(ratio, x) * x + per_row(1 - ratio, x) * use
        old, h_old = d, -torch.log(ratio.clamp(min=1e-30))
    return x


@part("right-midpoint", DET2)
def _(self, denoiser, x, sigmas, generator, cond):
    """Midpoint rule at the geometric mean; Euler in a step to 0."""
    for t, s in pairs(sigmas):
        k = slope(denoiser, x, t, cond)
        m = torch.where(s > 0, (t * s).sqrt(), t / 2)
        km = slope(denoiser, x + per_row(m - t, x) * k, m, cond)
        # k is exact for slopes linear in sigma between; correct for the place of m by linear interpolation at (t+s)/2
        mid = (t + s) / 2
        kk = k + (km - k) * per_row((mid - t) / (m - t), x)
        x = x + per_row(s - t, x) * torch.where(per_row(s, x) > 0, kk, k)
    return x


@part("stops-one-early", DET1, "the last step is left out")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in list(pairs(sigmas))[:-1]:
        x = x + per_row(s - t, x) * slope(denoiser, x, t, cond)
    return x


@part("asks-at-lower-level", DET1, "the denoiser is asked at the level of the end of the step")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        q = torch.where(s > 0, s, t)
        x = x + per_row(s - t, x) * (x - denoiser(x, q, **cond).to(x.dtype)) / per_row(t, x)
    return x


@part("noise-of-the-level", STO1, "noise sigma_s z without sqrt(1 - r)")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        r = per_row(s / t, x) ** 2
        x = r * x + (1 - r) * denoiser(x, t, **cond).to(x.dtype) + per_row(s, x) * standard_normal(x, generator)
    return x


@part("ratio-unsquared", STO1, "r = sigma_s / sigma_t in the mean, with the right noise")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        r = per_row(s / t, x)
        x = (
            r * x
            + (1 - r) * denoiser(x, t, **cond).to(x.dtype)
            + per_row(s, x) * (1 - r**2).clamp(min=0).sqrt() * standard_normal(x, generator)
        )
    return x


@part("flow-as-kernel", STO1, "deterministic, but claims the reverse kernel")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        x = x + per_row(s - t, x) * slope(denoiser, x, t, cond)
    return x


@part("conds-dropped", DET1, "conditions are not handed on")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        x = x + per_row(s - t, x) * slope(denoiser, x, t, {})
    return x


@part("conds-only-first-call", DET2, "Heun whose second call lacks the conditions")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        k = slope(denoiser, x, t, cond)
        a = x + per_row(s - t, x) * k
        inside = s > 0
        q = torch.where(inside, s, t)
        k2 = slope(denoiser, a, q, {})
        x = torch.where(per_row(inside.to(x.dtype), x) > 0, x + per_row(s - t, x) * (k + k2) / 2, a)
    return x


@part("levels-of-first-row", DET1, "the grid of the first row is used for all")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        t, s = t[:1].expand(len(x)), s[:1].expand(len(x))
        x = x + per_row(s - t, x) * slope(denoiser, x, t, cond)
    return x


@part("own-grid", DET1, "a grid of 40 levels of its own between the first and last level")
def _(self, denoiser, x, sigmas, generator, cond):
    ramp = torch.linspace(0, 1, 41, dtype=x.dtype).unsqueeze(1)
    end = sigmas[-1].clamp(min=1e-3)
    grid = sigmas[0] * (end / sigmas[0]) ** ramp
    for t, s in pairs(grid.to(x.dtype)):
        x = x + per_row(s - t, x) * slope(denoiser, x, t, cond)
    return x


@part("global-draws", STO1, "torch.randn_like")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        r = per_row(s / t, x) ** 2
        x = (
            r * x
            + (1 - r) * denoiser(x, t, **cond).to(x.dtype)
            + per_row(s, x) * (1 - r).clamp(min=0).sqrt() * torch.randn_like(x)
        )
    return x


@part("one-draw-for-all", STO1, "one z for all rows")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        r = per_row(s / t, x) ** 2
        g = generator if isinstance(generator, torch.Generator) else generator[0]
        z = (
            torch.randn(1, *x.shape[1:], generator=g, dtype=x.dtype)
            if not hasattr(generator, "generator")
            else standard_normal(x, generator)
        )
        x = r * x + (1 - r) * denoiser(x, t, **cond).to(x.dtype) + per_row(s, x) * (1 - r).clamp(min=0).sqrt() * z
    return x


@part("same-draw-each-step", STO1, "z is drawn once and used in every step")
def _(self, denoiser, x, sigmas, generator, cond):
    z = standard_normal(x, generator)
    for t, s in pairs(sigmas):
        r = per_row(s / t, x) ** 2
        x = r * x + (1 - r) * denoiser(x, t, **cond).to(x.dtype) + per_row(s, x) * (1 - r).clamp(min=0).sqrt() * z
    return x


@part("generator-0-of-list", STO1, "of a list of generators the first one is used for all rows")
def _(self, denoiser, x, sigmas, generator, cond):
    g = generator[0] if isinstance(generator, (list, tuple)) else generator
    for t, s in pairs(sigmas):
        r = per_row(s / t, x) ** 2
        x = (
            r * x
            + (1 - r) * denoiser(x, t, **cond).to(x.dtype)
            + per_row(s, x) * (1 - r).clamp(min=0).sqrt() * standard_normal(x, g)
        )
    return x


@part("denoises-at-end", DET1, "returns D at the last level in place of x there")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        x = x + per_row(s - t, x) * slope(denoiser, x, t, cond)
    last = torch.where(sigmas[-1] > 0, sigmas[-1], sigmas[-2])
    return denoiser(x, last, **cond).to(x.dtype)


@part("thresholds", DET1, "x_0_hat clamped to [-1, 1] in each step")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        d = denoiser(x, t, **cond).clamp(-1, 1)
        x = d + per_row(s / t, x) * (x - d)
    return x


@part("second-slope-at-old-level", DET2, "Heun's second slope asked and divided at sigma_t")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        k = slope(denoiser, x, t, cond)
        a = x + per_row(s - t, x) * k
        k2 = slope(denoiser, a, t, cond)
        x = torch.where(per_row((s > 0).to(x.dtype), x) > 0, x + per_row(s - t, x) * (k + k2) / 2, a)
    return x


@part("whole-batch-ends-at-0", DET2, "Heun: whether any row ends at 0 decides for all rows whether the step is Euler's")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        k = slope(denoiser, x, t, cond)
        a = x + per_row(s - t, x) * k
        if bool((s == 0).any()):
            x = a
        else:
            x = x + per_row(s - t, x) * (k + slope(denoiser, a, s, cond)) / 2
    return x


@part("turns-gradients-off", DET1, "set_grad_enabled(False) and never back")
def _(self, denoiser, x, sigmas, generator, cond):
    torch.set_grad_enabled(False)
    for t, s in pairs(sigmas):
        x = x + per_row(s - t, x) * slope(denoiser, x, t, cond)
    return x


@part("changes-start", DET1, "x += ... changes the caller's tensor")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        x += per_row(s - t, x) * slope(denoiser, x, t, cond)
    return x


@part("euler-as-second-order", DET2, "Euler's rule, claims order 2")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        x = x + per_row(s - t, x) * slope(denoiser, x, t, cond)
    return x


@part("five-percent-too-much", STO1, "noise std 1.05 of what is due (s_noise)")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        r = per_row(s / t, x) ** 2
        x = (
            r * x
            + (1 - r) * denoiser(x, t, **cond).to(x.dtype)
            + 1.05 * per_row(s, x) * (1 - r).clamp(min=0).sqrt() * standard_normal(x, generator)
        )
    return x


@part("adds-start-noise", DET1, "adds noise of the first level to x, as if it were a picture")
def _(self, denoiser, x, sigmas, generator, cond):
    x = x + per_row(sigmas[0], x) * standard_normal(x, generator)
    for t, s in pairs(sigmas):
        x = x + per_row(s - t, x) * slope(denoiser, x, t, cond)
    return x


_HISTORY = {}


@part("history-kept", DET2, "multistep history survives the call: the first step of the next call uses the last one's")
def _(self, denoiser, x, sigmas, generator, cond):
    for t, s in pairs(sigmas):
        d = denoiser(x, t, **cond).to(x.dtype)
        ratio = s / t
        h = -torch.log(ratio.clamp(min=1e-30))
        old = _HISTORY.get(tuple(x.shape))
        if old is None:
            use = d
        else:
            r = per_row((old[1] / h).to(x.dtype), x)
            use = torch.where(per_row(s, x) > 0, (1 + 1 / (2 * r)) * d - old[0].to(x.dtype) / (2 * r), d)
        x = per_row(ratio, x) * x + per_row(1 - ratio, x) * use
        _HISTORY[tuple(x.shape)] = (d.detach(), h)
    return x
