"""Right corruptions, samplers and models in other ways."""

from __future__ import annotations

from typing import ClassVar

import torch

from ambientkit.batch import Batch
from ambientkit.interfaces import Sampler
from ambientkit.maths.masks import chance_of_hiding, chance_of_seen, draw_mask
from ambientkit.maths.noise import per_row, standard_normal, uniform

from .bases import made
from .bases_models import Direct, Eps, Layers, Plain, Straight, Velocity
from .bases_other import Drawn, Flow, FlowTwice, Holes, Multi, Walk, White
from .corruptions_partial import Turned


class RightByColour(White):
    """A level for each channel of a picture, told by pixel."""

    name = "kit15-right-by-colour"

    def observe(self, x_0, row, generator):
        if x_0.ndim != 4:
            return super().observe(x_0, row, generator)
        by_channel = torch.linspace(0.1, 0.3, x_0.shape[1], dtype=x_0.dtype, device=x_0.device)
        sigma_n = by_channel.reshape(1, -1, 1, 1).expand_as(x_0).contiguous()
        return Batch(x_0 + sigma_n * standard_normal(x_0, generator), sigma_n, row, {})


class RightTwoLevels(White):
    """Rows are clean or noisy at 0.3, by chance."""

    name = "kit15-right-two-levels"

    def levels(self, x_0, row, generator):
        u = uniform(x_0.new_empty(len(x_0), 1), generator).squeeze(1)
        return torch.where(u < 0.4, 0.0, 0.3).to(x_0)


class RightByRow(White):
    """A level for each row."""

    name = "kit15-right-by-row"

    sigma_n: float | tuple[float, float] = (0.1, 0.4)


class RightHoles(Holes):
    """Missing pixels with other shares."""

    name = "kit15-right-holes"


class RightLines(Holes):
    """Missing columns of a picture; in each row of more than one column a view hides others."""

    name = "kit15-right-columns"
    kind: ClassVar[str] = "columns"


class RightCamera(Holes):
    """Pixels that are missing more often on the left than on the right of a row."""

    name = "kit15-right-uneven-holes"

    def own_mask(self, x_0, generator):
        like = x_0[:, :1] if x_0.ndim > 2 else x_0
        u = uniform(torch.empty_like(like), generator)
        return u >= self.lost(like)

    def lost(self, like):
        return torch.linspace(0.5, 0.2, like.shape[-1], dtype=like.dtype, device=like.device).expand(like.shape[1:])

    def chance(self, a):
        like = a[:1, :1] if a.ndim > 2 else a[:1]
        q = 1 - self.lost(like).unsqueeze(0).double()
        return chance_of_seen(q, chance_of_hiding(a, self.kind, self.hidden_share))

    def further(self, batch, generator):
        return draw_mask(batch.x_n, self.kind, self.hidden_share, generator)


class RightTurned(Turned):
    """Sums and differences, of which a view hides some."""

    name = "kit15-right-turned"


class RightDrawn(Drawn):
    """The reverse kernel."""

    name = "kit15-right-drawn"


class RightFlow(Flow):
    """Euler on the probability flow."""

    name = "kit15-right-flow"


class RightFlowTwice(FlowTwice):
    """Heun on the probability flow."""

    name = "kit15-right-flow-twice"


class RightMulti(Multi):
    """DPM-Solver++(2M)."""

    name = "kit15-right-multistep"


class RightEta(Walk):
    """DDIM with eta = 0.5: half of the fresh noise, and the mean goes down to what is left."""

    name = "kit15-right-eta"
    source = "arXiv 2010.02502, eq. 12 and 16"
    claims = frozenset({"order-1", "final-law", "grid-levels", "row-generators"})

    def step(self, denoiser, x, sigma_t, sigma_s, generator, cond):
        x_0_hat = denoiser(x, sigma_t, **cond).to(x.dtype)
        t, s = per_row(sigma_t, x), per_row(sigma_s, x)
        up = 0.5 * s * (1 - (s / t) ** 2).clamp(min=0).sqrt()
        down = (s**2 - up**2).clamp(min=0).sqrt()
        ahead = x_0_hat + (down / t).to(x.dtype) * (x - x_0_hat)
        return ahead + up.to(x.dtype) * standard_normal(x, generator)


class RightHalves(Sampler):
    """Each step of the reverse kernel in two, by way of the geometric mean of its levels."""

    name = "kit15-right-halves"
    source = "arXiv 2006.11239, eq. 6-7"
    claims = Drawn.claims

    def sample(self, denoiser, x, sigmas, generator, cond):
        one = Drawn()
        for sigma_t, sigma_s in zip(sigmas[:-1], sigmas[1:], strict=True):
            middle = torch.where(sigma_s > 0, (sigma_t * sigma_s).sqrt(), sigma_t)
            x = one.step(denoiser, x, sigma_t, middle, generator, cond)
            x = one.step(denoiser, x, middle, sigma_s, generator, cond)
        return x


class RightEps(Eps):
    """A network of the noise."""

    name = "kit15-right-eps"


class RightVelocity(Velocity):
    """A network of v."""

    name = "kit15-right-v"


class RightStraight(Straight):
    """A network of the flow."""

    name = "kit15-right-flow-form"


class RightDirect(Direct):
    """A network of x_0."""

    name = "kit15-right-x_0"


class RightClasses(Plain):
    """EDM's form with classes."""

    name = "kit15-right-classes"

    num_classes: int | None = 7


class Deep(Layers):
    """With a layer norm."""

    def __init__(self, size, told, width, classes):
        super().__init__(size, told, width, classes)
        self.middle = torch.nn.Sequential(torch.nn.LayerNorm(width), self.middle)


class RightPlain(Plain):
    """EDM's form with a layer norm."""

    name = "kit15-right-plain"

    def layers(self, size, told):
        return Deep(size, told, self.width, self.rows_of_labels())


RIGHT = made(
    RightByColour,
    RightTwoLevels,
    RightByRow,
    RightHoles,
    RightLines,
    RightCamera,
    RightTurned,
    RightDrawn,
    RightFlow,
    RightFlowTwice,
    RightMulti,
    RightEta,
    RightHalves,
    RightEps,
    RightVelocity,
    RightStraight,
    RightDirect,
    RightClasses,
    RightPlain,
)
