"""Right models, of which a mistake may take one step in its place."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Model
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import SEEN, TOLD, beside


class Layers(nn.Module):
    """F(y, c_noise, label): flat rows with their masks (B, d + told), to (B, d)."""

    def __init__(self, size, told, width, classes):
        super().__init__()
        self.first = nn.Linear(size + told, width)
        self.level = nn.Linear(4, width)
        self.middle = nn.Linear(width, width)
        self.last = nn.Linear(width, size)
        self.labels = nn.Embedding(classes, width) if classes else None

    def forward(self, y, c_noise, label=None):
        c_noise = c_noise.to(self.first.weight.dtype)
        seen = torch.stack([c_noise, c_noise.cos(), c_noise.sin(), (3 * c_noise).sin()], dim=1)
        hidden = self.first(y.to(self.first.weight.dtype)) + self.level(seen)
        if self.labels is not None and label is not None:
            hidden = hidden + self.labels(label)
        hidden = hidden + self.middle(nn.functional.silu(hidden))
        return self.last(nn.functional.silu(hidden))


class Plain(Model):
    """EDM's preconditioning of a small network on flat rows; with classes if `num_classes` is given."""

    source = "arXiv 2206.00364, eq. 7 and table 1"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    width: int = Field(32, ge=1)
    """Channels between the layers."""
    num_classes: int | None = Field(None, ge=1)
    """Labels of `class_cond`; the number itself stands for none."""

    def null_cond(self, name):
        return self.num_classes if name == "class_cond" else None

    def network(self, signal):
        wanted = {} if self.num_classes is None else {"class_cond": ()}
        others = {name: tuple(shape) for name, shape in signal.conds.items() if name not in SEEN}
        if others != wanted:
            raise InputError(f"model {self.name!r} takes {wanted or 'no conditions'}, but the data carry {others}")
        told = sum(math.prod(shape) for name, shape in signal.conds.items() if name in TOLD)
        return self.layers(math.prod(signal.shape), told)

    def layers(self, size, told):
        return Layers(size, told, self.width, self.rows_of_labels())

    def rows_of_labels(self):
        return None if self.num_classes is None else self.num_classes + 1

    def label(self, cond):
        if self.num_classes is None:
            return None
        if "class_cond" not in cond:
            raise InputError(f"model {self.name!r} needs class_cond")
        return cond["class_cond"]

    def answer(self, network, y, c_noise, cond):
        """F in the dtype and shape of y."""
        label = self.label(cond)
        extra = () if label is None else (label,)
        return network(beside(y.flatten(1), cond), c_noise, *extra).to(y.dtype).reshape(y.shape)

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            return self.denoised(network, x, sigma.to(x.dtype), signal.sigma_data, cond)

        return denoise

    def denoised(self, network, x, sigma, sigma_data, cond):
        c_skip, c_out, c_in = (per_row(c, x) for c in self.coefficients(sigma, self.std(sigma_data)))
        if "mask" in cond:
            shown = cond["mask"].bool()
            x = torch.where(shown, x, 0.0)
            c_out = torch.where(shown, c_out, self.out_of_hidden(c_out, sigma_data))
        if "sampled" in cond:
            c_out = torch.full_like(c_out, sigma_data)
        return c_skip * x + c_out * self.answer(network, c_in * x, self.told(sigma), cond)

    def std(self, sigma_data):
        return sigma_data

    def told(self, sigma):
        return sigma.log() / 4

    def out_of_hidden(self, c_out, sigma_data):
        return torch.full_like(c_out, sigma_data)

    def coefficients(self, sigma, sigma_data):
        total = sigma**2 + sigma_data**2
        return sigma_data**2 / total, sigma * sigma_data / total.sqrt(), 1 / total.sqrt()


class Formed(Plain):
    """A network of another form, fed x / sqrt(sigma^2 + sigma_data^2) and log(sigma) / 4; it takes no masks."""

    source = "arXiv 2006.11239, eq. 4; arXiv 2202.00512, appendix D; arXiv 2210.02747, eq. 20-23"

    def network(self, signal):
        if any(name in SEEN for name in signal.conds):
            raise InputError(f"model {self.name!r} takes no masks")
        return super().network(signal)

    def denoised(self, network, x, sigma, sigma_data, cond):
        wide = sigma.to(torch.promote_types(x.dtype, torch.float32))
        y = x.to(wide.dtype) / per_row(torch.hypot(wide, torch.full_like(wide, sigma_data)), x)
        answer = self.answer(network, y.to(x.dtype), self.told(wide).to(x.dtype), cond).to(wide.dtype)
        return self.x_0(answer, x.to(wide.dtype), per_row(wide, x)).to(x.dtype)

    def x_0(self, answer, x, sigma):
        raise NotImplementedError


class Eps(Formed):
    """D = x - sigma F."""

    claims = frozenset({"denoiser-contract", "eps-form"})

    def x_0(self, answer, x, sigma):
        return x - sigma * answer


class Velocity(Formed):
    """D = alpha^2 x - s F."""

    claims = frozenset({"denoiser-contract", "v-form"})

    def x_0(self, answer, x, sigma):
        alpha = 1 / (1 + sigma**2).sqrt()
        return alpha**2 * x - sigma * alpha * answer


class Straight(Formed):
    """D = (x - sigma F) / (1 + sigma)."""

    claims = frozenset({"denoiser-contract", "flow-form"})

    def x_0(self, answer, x, sigma):
        return (x - sigma * answer) / (1 + sigma)


class Direct(Formed):
    """D = F."""

    claims = frozenset({"x_0-form"})

    def x_0(self, answer, x, sigma):
        return answer
