"""The model `mlp`: a residual network on flattened rows, for mixtures and small pictures.

Its network may answer in any form and take the noise level in any schedule. A schedule (alpha, s) puts x = x_0 + sigma
z at alpha x = alpha x_0 + s z, s = alpha sigma; the network is fed alpha x over its std, sqrt(alpha^2 sigma_data^2 +
s^2), and the schedule's own time:

    sees   alpha                      c_noise
    ve     1                          log(sigma) / 4
    vp     1 / sqrt(1 + sigma^2)      4 phi / pi - 1, phi = atan(sigma): alpha = cos(phi), s = sin(phi)
    flow   1 / (1 + sigma)            2 t - 1, t = sigma / (1 + sigma): alpha = 1 - t, s = t

Over their std the three inputs are equal, up to rounding: what a schedule changes is the variable that the network must
resolve. The network's output F is a target over its std, and becomes x_0_hat in float32 at least
(`ambientkit.maths.forms`):

    predicts   target                 its std                              x_0_hat
    edm        (see `MLP`)            1                                    c_skip x + c_out F
    x_0        x_0                    sigma_data                           std F
    eps        z                      1                                    x - sigma std F
    v          alpha z - s x_0        sqrt(alpha^2 + s^2 sigma_data^2)     x / (1 + sigma^2) - sigma / sqrt(1 + sigma^2)
    std F, alpha of vp
    flow       z - x_0                sqrt(1 + sigma_data^2)               (x - sigma std F) / (1 + sigma)

A flow network answers z - x_0 under any schedule. The v of any schedule is alpha (z - sigma x_0), so that v over
its std is the same in all three, and one formula serves them. Nothing is divided by alpha, s, sigma or 1 - t. Sources:
edm arXiv 2206.00364, table 1; eps arXiv 2006.11239, eq. 4; v and phi arXiv 2202.00512, section 4 and appendix D; flow
arXiv 2210.02747, eq. 20-23.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Model, Signal
from ambientkit.maths.forms import Form, flow_input, flow_time, to_x_0, vp_coefficients, vp_input
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import SEEN, TOLD, beside, denoised, edm_preconditioning
from ambientkit.proposal import Proposal


class _Claims:
    """What a model claims by its form and schedule; the class itself, what EDM's does.

    x_0 comes without "denoiser-contract", whose limit no formula gives to a network that answers with x_0 itself.
    """

    def __get__(self, model: MLP | None, owner: type[MLP]) -> frozenset[str]:
        if model is None or (model.predicts, model.sees) == ("edm", "ve"):
            return frozenset({"denoiser-contract", "edm-preconditioned"})
        return frozenset() if model.predicts == "x_0" else frozenset({"denoiser-contract"})


class MLP(Model):
    """A residual multilayer perceptron on flattened rows of any shape; EDM preconditioning, or any form and schedule.

    D(x, sigma) = c_skip x + c_out F(c_in x, c_noise), or for another form and schedule skip x + out std F(alpha x / std
    of alpha x, c_noise) by the tables of this module, so that F sees and answers numbers of unit variance. With
    `features` > 0 the input is joined by that many random Fourier features of itself, which a smooth network needs to
    fit sharp modes. With `predicts: x_0` it claims nothing: that D(x, sigma) -> x as sigma -> 0 is learned there, where
    all others have it built in.
    Rows that are seen in part bring a mask (`maths.precondition.TOLD`), which joins the input: values that it hides are
    not read, and F answers with their x_0 over its std.
    """

    name = "mlp"
    source = "preconditioning: arXiv 2206.00364, eq. 7; features: arXiv 2006.10739; forms: ambientkit.maths.forms"
    claims = _Claims()

    width: int = Field(256, ge=1)
    """Channels of each layer."""
    depth: int = Field(3, ge=1)
    """Residual blocks of two layers each."""
    features: int = Field(0, ge=0)
    """Random Fourier features of the input; 0 for none."""
    feature_scale: float = Field(3.0, gt=0)
    """Std of their frequencies, in units of 1 / std of the preconditioned input."""
    predicts: Literal["edm", "x_0", "eps", "v", "flow"] = "edm"
    """What the network answers with, in units of its std: EDM's mixture of x_0 and z, x_0, z, alpha z - s x_0, or z -
    x_0."""
    sees: Literal["ve", "vp", "flow"] = "ve"
    """The schedule of its input and of the time it is given: log sigma, VP's angle, or t of the flow."""
    num_classes: int | None = Field(None, ge=1)
    """Classes of the condition `class_cond`, labels 0 to num_classes - 1; num_classes stands for none."""

    def null_cond(self, name: str) -> float | None:
        """The label num_classes."""
        return self.num_classes if name == "class_cond" else None

    @classmethod
    def proposal(cls, shape: tuple[int, ...], conds: Mapping[str, tuple[int, ...]], rows: int) -> Proposal:
        """As it is, for rows of every shape, where no other model offers itself."""
        if len(shape) == 3:
            return Proposal(0, "no other model offers itself for such pictures; one made for pictures learns more")
        return Proposal(0, f"rows of shape {tuple(shape)} are no pictures")

    def network(self, signal: Signal) -> nn.Module:
        """A fresh network F for rows of `signal.shape`. Raises InputError for conditions that it does not take, or that
        it lacks."""
        wanted = {} if self.num_classes is None else {"class_cond": ()}
        told = {name: shape for name, shape in signal.conds.items() if name in TOLD}
        others = {name: shape for name, shape in signal.conds.items() if name not in SEEN}
        if told and (self.predicts, self.sees) != ("edm", "ve"):
            raise InputError(
                f"model 'mlp' takes a {' and a '.join(told)} with predicts: edm and sees: ve only, as hidden "
                "values stand at the level infinity"
            )
        if others != wanted:
            takes = (
                f"one label per row, class_cond (), as num_classes is {self.num_classes}" if wanted else "no conditions"
            )
            carried = ", ".join(f"{name} {tuple(shape)}" for name, shape in sorted(signal.conds.items())) or "none"
            hint = "" if wanted else ": give num_classes for labels named class_cond, or choose another model"
            raise InputError(f"model 'mlp' takes {takes}, but the data carry {carried}{hint}")
        return _Perceptron(
            math.prod(signal.shape),
            self.width,
            self.depth,
            self.features,
            self.feature_scale,
            self.num_classes,
            sum(map(math.prod, told.values())),
        )

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """D(x, sigma) for x (B, *S), sigma (B,)."""

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            if self.num_classes is not None and "class_cond" not in cond:
                raise InputError(f"model 'mlp' with num_classes {self.num_classes} needs class_cond, one label per row")
            label = () if self.num_classes is None else (cond["class_cond"],)

            def answered(y: Tensor, c_noise: Tensor) -> Tensor:
                return network(beside(y.flatten(1), cond), c_noise, *label).to(x.dtype).reshape(x.shape)

            if (self.predicts, self.sees) == ("edm", "ve"):
                return denoised(answered, x, sigma, signal.sigma_data, cond)
            c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            if self.sees == "ve":
                output = answered(per_row(c.c_in, x) * x, c.c_noise)
            else:
                output = answered(*_seen(x, sigma, signal.sigma_data, self.sees))
            if self.predicts == "edm":
                return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * output
            level = _wide(sigma, x)
            target = per_row(_target_std(level, signal.sigma_data, self.predicts), x) * output
            return to_x_0(target, x, level, self.predicts).to(x.dtype)

        return denoise


def _seen(x: Tensor, sigma: Tensor, sigma_data: float, schedule: Literal["vp", "flow"]) -> tuple[Tensor, Tensor]:
    """(y, c_noise) in the dtype of x: the schedule's input over its std, (B, *S), and its time on [-1, 1], (B,)."""
    sigma = _wide(sigma, x)
    if schedule == "vp":
        alpha, s = vp_coefficients(sigma)
        seen, time = vp_input(x, sigma), sigma.atan() * (2 / math.pi)
    else:
        alpha, s = 1 / (1 + sigma), flow_time(sigma)
        seen, time = flow_input(x, sigma), s
    std = torch.hypot(alpha * sigma_data, s)
    return (seen / per_row(std, x)).to(x.dtype), (2 * time - 1).to(x.dtype)


def _target_std(sigma: Tensor, sigma_data: float, form: Form) -> Tensor:
    """(B,), the std of what a network of a form answers with, for data of std sigma_data. For v of the VP schedule, as
    `to_x_0` takes it."""
    if form == "v":
        alpha, s = vp_coefficients(sigma)
        return torch.hypot(alpha, s * sigma_data)
    return torch.full_like(sigma, {"x_0": sigma_data, "eps": 1.0, "flow": math.hypot(1.0, sigma_data)}[form])


def _wide(sigma: Tensor, x: Tensor) -> Tensor:
    """The levels in the dtype of x, but in float32 at least."""
    return sigma.to(torch.promote_types(x.dtype, torch.float32))


class _Perceptron(nn.Module):
    """F(y, c_noise, label): y (B, d + `told`), c_noise (B,), label (B,) where there are classes, to (B, d). The last
    `told` values of y are masks, of which no features are made."""

    def __init__(
        self,
        size: int,
        width: int,
        depth: int,
        features: int,
        feature_scale: float,
        classes: int | None = None,
        told: int = 0,
    ) -> None:
        super().__init__()
        self.frequencies: Tensor
        self.noise_frequencies: Tensor
        self.register_buffer("frequencies", torch.randn(size, features) * feature_scale)
        self.register_buffer("noise_frequencies", 2.0 ** torch.linspace(-2, 3, 16))
        self.encode = nn.Linear(size + told + 2 * features, width)
        self.encode_noise = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(depth)
        )
        self.decode = nn.Linear(width, size)
        nn.init.zeros_(self.decode.weight)
        nn.init.zeros_(self.decode.bias)
        if classes is not None:
            self.encode_class = nn.Embedding(classes + 1, width)

    def forward(self, y: Tensor, c_noise: Tensor, label: Tensor | None = None) -> Tensor:
        phase = y[:, : len(self.frequencies)] @ self.frequencies
        hidden = self.encode(torch.cat([y, phase.cos(), phase.sin()], dim=1))
        phase = c_noise.unsqueeze(1) * self.noise_frequencies
        noise = self.encode_noise(torch.cat([phase.cos(), phase.sin()], dim=1))
        if label is not None:
            noise = noise + self.encode_class(label)
        for block in self.blocks:
            hidden = hidden + block(hidden + noise)
        return self.decode(nn.functional.silu(hidden))
