"""The checks of models by form: the network that answers exactly in the claimed form makes the denoiser exact."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from ambientkit.builtin.checks.answered import Answering
from ambientkit.builtin.checks.changed import ChangedModel, without_classes
from ambientkit.builtin.checks.outcome import exact, largest
from ambientkit.interfaces import Case, Check, Denoiser, Measured, Model, Part
from ambientkit.maths.forms import Form, from_x_0, vp_coefficients
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.randomness import keyed_generator

LOW = (0.002, 0.003, 0.005, 0.01)
"""Levels at which a factor such as sigma, taken from 1 - alpha^2 in float32, has lost its digits."""
TOLERANCE = 1e-3
HIGHEST = 400.0
"""A level of models that name no range."""


class FormCheck(Check):
    """A network that answers exactly in the form gives D = E[x_0 | x].

    The network's output is replaced by the exact answer for independent normal pixels of std sigma_data, whose E[x_0 |
    x] is sigma_data^2 x / (sigma^2 + sigma_data^2): as it is, or over its std, whichever the model reads. Levels from
    0.01 to 50, and 400 where no range is named, two stds of the data. At levels from 0.002 the factor of the answer is
    compared by itself, at x = 0.
    """

    source = (
        "ambientkit.maths.forms: eps arXiv 2006.11239, eq. 4; v arXiv 2202.00512, appendix D; flow arXiv "
        "2210.02747, eq. 20-23"
    )
    kind = "model"
    null_law = "exact: relative tolerance 1e-3"
    detects = "a sign, a factor or a level of another form"
    meaning = "A network trained in this form, here or elsewhere, gives wrong pictures under this model."
    quick = True

    form: ClassVar[Form]
    """What the network answers with."""

    def measure(self, part: Part, case: Case) -> Measured:
        """The largest error of D over the size of x_0, the better of the two scalings."""
        assert isinstance(part, Model)
        part = without_classes(part)
        errors = {False: 0.0, True: 0.0}
        sigma = torch.tensor([0.01, 0.1, 0.5, 1.0, 3.0, 50.0, *([HIGHEST] if part.level_range() is None else [])])
        for sigma_data in (0.5, 1.4):
            model = Answering(part, case, sigma_data)
            like = torch.empty(len(sigma), *model.signal.shape)
            g = keyed_generator(case.seed, "verify.form")
            x = sigma_data * standard_normal(like, g) + per_row(sigma, like) * standard_normal(like, g)
            right = per_row(sigma_data**2 / (sigma**2 + sigma_data**2), x) * x
            answer = from_x_0(right.double(), x.double(), sigma.double(), self.form).to(x.dtype)
            std = per_row(self._std(sigma, sigma_data), x)
            factor = self._factor(torch.tensor(LOW))
            origin = torch.zeros(len(LOW), *model.signal.shape)
            zero, one = (model(origin, torch.tensor(LOW), origin + fill)[0] for fill in (0, 1))
            gain = (one - zero).double() / per_row(factor, origin)
            for scaled in errors:
                wanted = per_row(self._std(torch.tensor(LOW), sigma_data).double(), origin) if scaled else 1.0
                errors[scaled] = max(errors[scaled], largest([gain / wanted - 1]))
                target = answer / std if scaled else answer
                found, asked = model(x, sigma, target)
                off = found - right if asked is not None else torch.full_like(x, math.inf)
                errors[scaled] = max(errors[scaled], largest([off / (sigma_data * per_row(1 + 1e-3 * sigma, x))]))
            if min(errors.values()) > TOLERANCE:
                break
        return exact(min(errors.values()), TOLERANCE, 2 * len(sigma))

    def _factor(self, sigma: Tensor) -> Tensor:
        """What the network's answer is multiplied by, (B,), float64: D is linear in it."""
        sigma = sigma.double()
        at_0 = torch.zeros_like(sigma).unsqueeze(1)
        return 1 / from_x_0(at_0 + 1, at_0, sigma, self.form).squeeze(1)

    def control(self, part: Part) -> Part:
        """The same model, asked at half the level."""
        assert isinstance(part, Model)
        return _HalfLevel(inner=part)

    def _std(self, sigma: Tensor, sigma_data: float) -> Tensor:
        """Of the target, (B,)."""
        if self.form == "v":
            alpha, s = vp_coefficients(sigma)
            return torch.hypot(alpha, s * sigma_data)
        return torch.full_like(sigma, {"x_0": sigma_data, "eps": 1.0, "flow": math.hypot(1.0, sigma_data)}[self.form])


class EpsForm(FormCheck):
    """The network answers with the noise z: D = x - sigma F."""

    name = "eps-form"
    claim = "eps-form"
    form = "eps"


class VForm(FormCheck):
    """The network answers with v = alpha z - s x_0 of the variance-preserving form: D = alpha^2 x - s F."""

    name = "v-form"
    claim = "v-form"
    form = "v"


class FlowForm(FormCheck):
    """The network answers with the velocity z - x_0 of the flow: D = (x - sigma F) / (1 + sigma)."""

    name = "flow-form"
    claim = "flow-form"
    form = "flow"


class CleanForm(FormCheck):
    """The network answers with x_0 itself: D = F."""

    name = "x_0-form"
    claim = "x_0-form"
    form = "x_0"


class _HalfLevel(ChangedModel):
    """A model that takes each level for half of it: wrong on purpose."""

    name = "half-level-control"

    def answer(self, right: Denoiser, x: Tensor, sigma: Tensor, cond: dict[str, Tensor]) -> Tensor:
        """The inner model's at half the level, a tenth larger."""
        return 1.1 * right(x, 0.5 * sigma, **cond)
