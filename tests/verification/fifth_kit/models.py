"""Models of the fifth kit."""

import copy
import math

import torch
from pydantic import Field
from torch import nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Model
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import edm_preconditioning

E = frozenset({"denoiser-contract", "edm-preconditioned"})
D = frozenset({"denoiser-contract"})
RIGHT, WRONG = [], []


class Layers(nn.Module):
    def __init__(self, size, width=48, classes=None, hook=None, inner=None):
        super().__init__()
        self.first, self.last = nn.Linear(size + 1, width), nn.Linear(width, size)
        self.label = nn.Embedding(classes + 1, width) if classes else None
        self.inner = inner

    def forward(self, y, c_noise, label=None):
        h = self.first(torch.cat([y, c_noise.unsqueeze(1)], dim=1))
        if self.label is not None:
            h = h + self.label(label)
        if self.inner is not None:
            h = self.inner(h)
        return self.last(torch.tanh(h))


class Base(Model):
    """Two layers on flattened rows."""

    num_classes: int | None = Field(None, ge=1)
    """Classes."""

    def null_cond(self, name):
        return self.num_classes if name == "class_cond" else None

    def network(self, signal):
        wanted = {} if self.num_classes is None else {"class_cond": ()}
        if dict(signal.conds) != wanted:
            raise InputError(f"takes conditions {wanted}, but the data carry {dict(signal.conds)}")
        return Layers(math.prod(signal.shape), 48, self.num_classes)

    def labels(self, cond):
        return () if self.num_classes is None else (cond["class_cond"],)

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            out = (
                network((per_row(c.c_in, x) * x).flatten(1), c.c_noise, *self.labels(cond)).reshape(x.shape).to(x.dtype)
            )
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * out

        return denoise


def part(name, claims, why=None):
    def deco(cls):
        body = {k: v for k, v in vars(cls).items() if not k.startswith("__")}
        made = type(Model)(
            "K" + name.title().replace("-", ""),
            (Base,),
            {**body, "__doc__": why or name, "__module__": __name__, "name": name, "claims": claims, "source": "kit 5"},
        )
        (RIGHT if why is None else WRONG).append((made, why or ""))
        return made

    return deco


def edm(name, why, fn, claims=E):
    """A wrong denoiser by fn(self, network, signal, x, sigma, cond)."""

    class body:
        def denoiser(self, network, signal):
            return lambda x, sigma, /, **cond: fn(self, network, signal, x, sigma, cond)

    part(name, claims, why)(body)


def run(self, network, y, t, x, cond):
    return network(y.flatten(1), t, *self.labels(cond)).reshape(x.shape).to(x.dtype)


@part("right-two-layers", E)
class _:
    pass


@part("right-eps-vp", D)
class _:
    """x_vp = x / sqrt(1 + sigma^2), answers with z, told log(sigma) / 4."""

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            s = per_row(sigma.to(x.dtype), x)
            out = run(self, network, x / (1 + s**2).sqrt(), sigma.to(x.dtype).log() / 4, x, cond)
            return x - s * out

        return denoise


@part("right-flow", D)
class _:
    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            s = per_row(sigma.to(x.dtype), x)
            t = (sigma / (1 + sigma)).to(x.dtype)
            out = run(self, network, x / (1 + s), t, x, cond)
            return (x - s * out) / (1 + s)

        return denoise


@part("right-narrow", E)
class _:
    def network(self, signal):
        Base.network(self, signal)
        return Layers(math.prod(signal.shape), 5, self.num_classes, inner=nn.LayerNorm(5))


edm(
    "raw-input",
    "the network sees x, not c_in x",
    lambda self, n, g, x, s, c: (
        lambda k: per_row(k.c_skip, x) * x + per_row(k.c_out, x) * run(self, n, x, k.c_noise, x, c)
    )(edm_preconditioning(s.to(x.dtype), g.sigma_data)),
)
edm(
    "out-by-sigma",
    "c_out = sigma",
    lambda self, n, g, x, s, c: (
        lambda k: (
            per_row(k.c_skip, x) * x + per_row(s.to(x.dtype), x) * run(self, n, per_row(k.c_in, x) * x, k.c_noise, x, c)
        )
    )(edm_preconditioning(s.to(x.dtype), g.sigma_data)),
)
edm(
    "sigma-data-half",
    "sigma_data = 0.5 whatever the data",
    lambda self, n, g, x, s, c: (
        lambda k: per_row(k.c_skip, x) * x + per_row(k.c_out, x) * run(self, n, per_row(k.c_in, x) * x, k.c_noise, x, c)
    )(edm_preconditioning(s.to(x.dtype), 0.5)),
)
edm(
    "log-not-quartered",
    "told log sigma, not log(sigma) / 4",
    lambda self, n, g, x, s, c: (
        lambda k: (
            per_row(k.c_skip, x) * x + per_row(k.c_out, x) * run(self, n, per_row(k.c_in, x) * x, 4 * k.c_noise, x, c)
        )
    )(edm_preconditioning(s.to(x.dtype), g.sigma_data)),
)
edm(
    "level-of-first-row",
    "the first row's level for all",
    lambda self, n, g, x, s, c: (
        lambda k: per_row(k.c_skip, x) * x + per_row(k.c_out, x) * run(self, n, per_row(k.c_in, x) * x, k.c_noise, x, c)
    )(edm_preconditioning(s[:1].expand(len(x)).to(x.dtype), g.sigma_data)),
)
edm(
    "told-first-level",
    "coefficients by row, but the network is told the first row's time",
    lambda self, n, g, x, s, c: (
        lambda k: (
            per_row(k.c_skip, x) * x
            + per_row(k.c_out, x) * run(self, n, per_row(k.c_in, x) * x, k.c_noise[:1].expand(len(x)), x, c)
        )
    )(edm_preconditioning(s.to(x.dtype), g.sigma_data)),
)
edm(
    "eps-without-sigma",
    "x - output, where sigma times the output is due",
    lambda self, n, g, x, s, c: (
        x - run(self, n, x / (1 + per_row(s.to(x.dtype), x) ** 2).sqrt(), s.to(x.dtype).log() / 4, x, c)
    ),
    D,
)
edm(
    "eps-vp-unscaled",
    "an eps network of the VP form fed x itself",
    lambda self, n, g, x, s, c: x - per_row(s.to(x.dtype), x) * run(self, n, x, s.to(x.dtype).log() / 4, x, c),
    D,
)
edm(
    "flow-told-sigma",
    "a flow network told sigma, not t = sigma / (1 + sigma)",
    lambda self, n, g, x, s, c: (
        (x - per_row(s.to(x.dtype), x) * run(self, n, x / (1 + per_row(s.to(x.dtype), x)), s.to(x.dtype), x, c))
        / (1 + per_row(s.to(x.dtype), x))
    ),
    D,
)
edm(
    "flow-undivided",
    "flow's x_0 = x_flow - t v with x_flow left undivided",
    lambda self, n, g, x, s, c: (
        x
        - per_row((s / (1 + s)).to(x.dtype), x)
        * run(self, n, x / (1 + per_row(s.to(x.dtype), x)), (s / (1 + s)).to(x.dtype), x, c)
    ),
    D,
)
edm(
    "v-other-sign",
    "v with the sign of its other convention",
    lambda self, n, g, x, s, c: (
        lambda q: (
            x / (1 + q**2) + q / (1 + q**2).sqrt() * run(self, n, x / (1 + q**2).sqrt(), s.to(x.dtype).atan(), x, c)
        )
    )(per_row(s.to(x.dtype), x)),
    D,
)


def _nograd(self, n, g, x, s, c):
    k = edm_preconditioning(s.to(x.dtype), g.sigma_data)
    return (
        per_row(k.c_skip, x) * x + per_row(k.c_out, x) * run(self, n, per_row(k.c_in, x) * x, k.c_noise, x, c).detach()
    )


edm("output-detached", "the network's output is detached: nothing is trained", _nograd)
edm(
    "clamped",
    "x_0_hat clamped to [-1, 1]",
    lambda self, n, g, x, s, c: (
        lambda k: (
            per_row(k.c_skip, x) * x + per_row(k.c_out, x) * run(self, n, per_row(k.c_in, x) * x, k.c_noise, x, c)
        ).clamp(-1, 1)
    )(edm_preconditioning(s.to(x.dtype), g.sigma_data)),
)
edm(
    "float32-always",
    "float32 out of float64 in",
    lambda self, n, g, x, s, c: (
        lambda k: (
            per_row(k.c_skip, x) * x + per_row(k.c_out, x) * run(self, n, per_row(k.c_in, x) * x, k.c_noise, x, c)
        ).float()
    )(edm_preconditioning(s.to(x.dtype), g.sigma_data)),
)
edm(
    "level-table",
    "levels are rounded to 12 table entries, without a level_range or interpolation",
    lambda self, n, g, x, s, c: (
        lambda k: per_row(k.c_skip, x) * x + per_row(k.c_out, x) * run(self, n, per_row(k.c_in, x) * x, k.c_noise, x, c)
    )(edm_preconditioning(torch.exp((s.to(x.dtype).log()).round()), g.sigma_data)),
)
edm(
    "low-levels-alike",
    "sigma clamped to at least 0.05: all lower levels are one",
    lambda self, n, g, x, s, c: (
        lambda k: per_row(k.c_skip, x) * x + per_row(k.c_out, x) * run(self, n, per_row(k.c_in, x) * x, k.c_noise, x, c)
    )(edm_preconditioning(s.to(x.dtype).clamp(min=0.05), g.sigma_data)),
)


def _inplace(self, n, g, x, s, c):
    k = edm_preconditioning(s.to(x.dtype), g.sigma_data)
    skip = per_row(k.c_skip, x) * x
    x.mul_(per_row(k.c_in, x))
    return skip + per_row(k.c_out, x) * run(self, n, x, k.c_noise, x, c)


edm("changes-input", "x is scaled in place", _inplace)
edm(
    "centred-input",
    "each picture's mean is taken off before the network and never given back",
    lambda self, n, g, x, s, c: (
        lambda k: (
            per_row(k.c_skip, x) * x
            + per_row(k.c_out, x)
            * run(
                self,
                n,
                per_row(k.c_in, x) * (x - x.flatten(1).mean(1).reshape(-1, *[1] * (x.ndim - 1))),
                k.c_noise,
                x,
                c,
            )
        )
    )(edm_preconditioning(s.to(x.dtype), g.sigma_data)),
)


def _evals(self, n, g, x, s, c):
    n.eval()
    k = edm_preconditioning(s.to(x.dtype), g.sigma_data)
    return per_row(k.c_skip, x) * x + per_row(k.c_out, x) * run(self, n, per_row(k.c_in, x) * x, k.c_noise, x, c)


edm("puts-into-eval", "each call puts the network into evaluation mode", _evals)


@part("copy-of-network", E, "the denoiser keeps a deep copy of the network: training never reaches it")
class _:
    def denoiser(self, network, signal):
        return Base.denoiser(self, copy.deepcopy(network), signal)


@part("label-shifted", E, "labels are shifted by one: class 0 is told as 1, none overflows into 0")
class _:
    def labels(self, cond):
        return () if self.num_classes is None else ((cond["class_cond"] + 1) % (self.num_classes + 1),)


@part("label-ignored", E, "takes num_classes but every row is told class 0")
class _:
    def labels(self, cond):
        return () if self.num_classes is None else (torch.zeros_like(cond["class_cond"]),)


@part("null-is-class-0", E, "no class is class 0: guidance and dropout push towards it")
class _:
    def null_cond(self, name):
        return 0 if name == "class_cond" else None


@part("batch-norm", E, "batch normalisation: a row's estimate depends on the others")
class _:
    def network(self, signal):
        Base.network(self, signal)
        return Layers(
            math.prod(signal.shape), 48, self.num_classes, inner=nn.BatchNorm1d(48, track_running_stats=False)
        )


class Dropped(nn.Module):
    def forward(self, h):
        return nn.functional.dropout(h, 0.1, training=True)


@part("dropout-always", E, "dropout also in evaluation mode: two calls differ")
class _:
    def network(self, signal):
        Base.network(self, signal)
        return Layers(math.prod(signal.shape), 48, self.num_classes, inner=Dropped())


class Deaf(Layers):
    def forward(self, y, c_noise, label=None):
        return super().forward(y, torch.zeros_like(c_noise), label)


@part("deaf-to-time", E, "the network throws its time away")
class _:
    def network(self, signal):
        Base.network(self, signal)
        return Deaf(math.prod(signal.shape), 48, self.num_classes)


class Zeros(Layers):
    def __init__(self, size, width, classes):
        super().__init__(size, width, classes)
        for p in (self.first.weight, self.first.bias, self.last.weight, self.last.bias):
            nn.init.zeros_(p)


@part("all-zero", E, "all weights start at zero: only the last bias is ever trained")
class _:
    def network(self, signal):
        Base.network(self, signal)
        return Zeros(math.prod(signal.shape), 48, self.num_classes)


@part("seeds-torch", E, "network() seeds torch's global generator")
class _:
    def network(self, signal):
        torch.manual_seed(0)
        return Base.network(self, signal)


@part("two-values-only", E, "built for points: the shape is written in")
class _:
    def network(self, signal):
        Base.network(self, signal)
        return Layers(2, 48, self.num_classes)
