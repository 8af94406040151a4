"""Models: a small network under EDM's preconditioning, and under VP's, flow's, eps' and v's forms, each with one
fault."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Model
from ambientkit.maths.noise import per_row
from tests.verification.second_kit.edm import EDM, Edm, Net
from tests.verification.variants import variants


class Eps(Model):
    """VP eps: D = x - sigma F(x / sqrt(1 + sigma^2), t), t = atan(sigma)."""

    name = "kit2-eps"
    claims = frozenset({"denoiser-contract", "eps-form"})
    fault: ClassVar[str] = ""

    def network(self, signal):
        return Net(signal.shape, signal.conds)

    def denoiser(self, network, signal):
        f = self.fault

        def denoise(x, sigma, /, **cond):
            s = sigma.to(x.dtype)
            alpha = 1 / (1 + s**2).sqrt()
            if f == "alpha-square":
                alpha = alpha**2
            y = per_row(alpha, x) * x
            if f == "unscaled":
                y = x
            if f == "multiplied":
                y = x * (1 + per_row(s, x) ** 2).sqrt()
            t = s.atan()
            if f == "time-flow-t":
                t = s / 10
            F = network(y, t, **cond).to(x.dtype)
            S = per_row(s, x)
            if f == "plus":
                return x + S * F  # F may learn the other sign, so only a claim by form tells
            if f == "of-input":
                return y - S * F
            if f == "over-alpha":
                return x - S * F / per_row(alpha, x)
            if f == "s-for-sigma":
                return x - S * per_row(alpha, x) * F
            if f == "variance":
                return x - S**2 * F
            if f == "root":
                return x - S.sqrt() * F
            return x - S * F

        return denoise


EPS = {
    "alpha-square": "alpha squared in the input",
    "unscaled": "the input unscaled",
    "multiplied": "the input over alpha",
    "of-input": "x_0 from the scaled input",
    "over-alpha": "eps over alpha",
    "s-for-sigma": "s for sigma",
    "variance": "sigma^2 for sigma",
    "root": "root of sigma",
}


class V(Model):
    """VP v: D = x / (1 + sigma^2) - sigma / sqrt(1 + sigma^2) F(alpha x, 1000 t)."""

    name = "kit2-v"
    claims = frozenset({"denoiser-contract", "v-form"})
    fault: ClassVar[str] = ""

    def network(self, signal):
        return Net(signal.shape, signal.conds)

    def denoiser(self, network, signal):
        f = self.fault

        def denoise(x, sigma, /, **cond):
            s = per_row(sigma.to(x.dtype), x)
            alpha = 1 / (1 + s**2).sqrt()
            b = s * alpha
            F = network(alpha * x, 1000 * sigma.to(x.dtype).atan() * 2 / math.pi, **cond)
            y = alpha * x
            if f == "swapped":
                return b * y - alpha * F
            if f == "of-x":
                return alpha * x - b * F
            if f == "eps-formula":
                return x - s * F
            if f == "plus-and-swapped":
                return alpha * F + b * y
            if f == "alpha-forgotten":
                return y - b * F
            if f == "flow-formula":
                return (x - s * F) / (1 + s)
            if f == "sigma-for-s":
                return alpha * y - s * F
            return alpha * y - b * F

        return denoise


V_FAULTS = {
    "swapped": "alpha and s exchanged",
    "of-x": "alpha x for alpha^2 x",
    "eps-formula": "eps' formula on v's input and time",
    "plus-and-swapped": "alpha and s exchanged, and a sign",
    "alpha-forgotten": "alpha forgotten",
    "sigma-for-s": "sigma for s",
}


class Flow(Model):
    """Flow: D = x_f - t F(x_f, t), x_f = x / (1 + sigma), t = sigma / (1 + sigma)."""

    name = "kit2-flow"
    claims = frozenset({"denoiser-contract", "flow-form"})
    fault: ClassVar[str] = ""

    def network(self, signal):
        return Net(signal.shape, signal.conds)

    def denoiser(self, network, signal):
        f = self.fault

        def denoise(x, sigma, /, **cond):
            s = sigma.to(x.dtype)
            t = s / (1 + s)
            told = {"told-sigma": s, "told-reversed": 1 - t, "told-thousand": (1000 * t).round()}.get(f, t)
            T = per_row(t, x)
            y = (1 - T) * x
            if f == "vp-input":
                y = x / (1 + per_row(s, x) ** 2).sqrt()
            F = network(y, told, **cond)
            if f == "one-minus":
                return y - (1 - T) * F
            if f == "of-x":
                return x - T * F
            if f == "sigma-for-t":
                return y - per_row(s, x) * F
            if f == "velocity-only":
                return -F
            return y - T * F

        return denoise


FLOW = {
    "vp-input": "VP's input with flow's formula",
    "one-minus": "1 - t for t",
    "sigma-for-t": "sigma for t",
    "velocity-only": "the velocity for x_0",
    "told-thousand": "told a rounded t",
}


WRONG = [*variants(Edm, EDM), *variants(Eps, EPS), *variants(V, V_FAULTS), *variants(Flow, FLOW)]


class PointsOnly(Model):
    """EDM on plain rows only, without conditions."""

    name = "kit2-points-only"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    def network(self, signal):
        if len(signal.shape) != 1:
            raise InputError("takes plain rows (d,)")
        if signal.conds:
            raise InputError("takes no conditions")
        return Net(signal.shape, {})

    def denoiser(self, network, signal):
        return Edm().denoiser(network, signal)


class Zero(Model):
    """EDM whose last layer starts at zero, as most do, and whose network has dropout while training."""

    name = "kit2-zero"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    def network(self, signal):
        net = Net(signal.shape, signal.conds)
        nn.init.zeros_(net.last.weight)
        nn.init.zeros_(net.last.bias)
        return net

    def denoiser(self, network, signal):
        return Edm().denoiser(network, signal)


RIGHT = [Edm, Eps, V, Flow, PointsOnly, Zero]

NOT_WRONG = {
    "kit2-edm-autocast": "the output of a network in half precision, widened before it is used: what mixed "
    "precision does",
    "kit2-edm-transposed": "a dense network whose pixels come in another order is a dense network",
    "kit2-eps-unscaled": "raw input is hard to learn from, but an exact network exists, and older ones are fed so",
    "kit2-flow-told-thousand": "a discrete time",
}
