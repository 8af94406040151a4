"""The objective `detail-moments`: consistency, and below sigma_n the second moments of fine detail that noisy rows know
exactly."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.hops import ENDS, Hops, hops, repeated
from ambientkit.interfaces import Denoiser, Memory, Objective, Tools
from ambientkit.maths.blocks import BANDS, BLOCK, band_of, coefficients
from ambientkit.maths.noise import per_row, uniform

MEANS, SLOPES = 6, 3
"""Classes of blocks: by the mean of the noisy block, and by how fast the means change about it."""
EDGES = (0.3, 0.7, 1.2, 1.9, 2.8)
"""Of log(sigma_n / sigma_s): classes of levels."""
READY = 100
"""Coefficients from which a running mean counts."""
KEPT = 1000
"""Calls for which the noisy rows' own energies are kept."""


class DetailMoments(Objective):
    """`consistency`, and the energy of fine detail pinned to the energy that the noisy rows show.

    f is an AC coefficient of the orthonormal DCT of a block of 4 x 4 pixels, m the mean of the block. The noise of f is
    independent of that of all means, and x_s lies between x_0 and x_n in the chain, so that for the exact denoiser,
    every sigma_s <= sigma_n and any function phi of the means m(x_n)

        E[f(D(x_s)) f(x_s) phi] = E[f(x_0)^2 phi] = E[(f(x_n)^2 - sigma_n^2) phi].

    It is held in two parts, in the mean over each class of blocks, band of f and class of levels: the gain of D,
    E[(f(D) - f(x_s)) f(x_s)] = -sigma_s^2, and the law of the ends, E[f(x_s)^2] - sigma_s^2 = E[f(x_n)^2] - sigma_n^2.
    Running means of both defects, of earlier calls alone, push f(D) f(x_s) down where there is too much energy and up
    where there is too little:

        loss = mean_f 2 (gain g / (v + sigma_s^2) + law h / ((v + sigma_s^2) sigma_n^2)) f(D(x_s)) f(x_s)

    with g the mean of (f(D) - f(x_s)) f(x_s) + sigma_s^2 over sigma_s^2, h the excess in the law, and v the energy of a
    class and band, measured on the first rows. At the exact denoiser g and h are 0 in the mean and independent of the
    rows of the call, so that the mean gradient is 0. D is called as often as by `consistency`. Rows that are no
    pictures of 4 x 4 pixels, and noise per pixel, have consistency alone.
    """

    name = "detail-moments"
    source = "second moments and Stein's identity in conditional form: docs/method.md; hops: as `consistency`"
    claims = frozenset(
        {
            "stationary-at-oracle",
            "stationary-in-detail",
            "noise-by-pixel",
            "views-in-law",
            "value-unbiased",
            "detached-anchor",
            "half-backward",
        }
    )
    below_sigma_n = (
        "by making the estimates of neighbouring levels agree, and their detail as strong as the "
        "noisy rows show (consistency and second moments)"
    )

    fraction: float = Field(3 / 16, gt=0, le=1)
    """Share of the batch's rows used."""
    from_observation: float = Field(0.3, ge=0, le=1)
    """Share of the anchors at (x_n, sigma_n); the others lie below it."""
    max_hop: float = Field(0.5, gt=0)
    """The hop log(sigma_t / sigma_s) is uniform on [0, max_hop]."""
    chain_steps: int = Field(2, ge=1)
    """Steps of the teacher's chain from sigma_n to an anchor below it."""
    gain: float = Field(1.0, ge=0)
    """Weight of the gain of D."""
    law: float = Field(1.0, ge=0)
    """Weight of the law of the ends."""
    lowest: float = Field(0.25, ge=0, le=1)
    """Lowest level at which the law of the ends pushes, in units of sigma_n."""
    window: int = Field(100, ge=1)
    """Calls that a running mean of the defects looks back."""

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """Two terms, `consistency` and `detail`, with a value for each row used; of rows that are no pictures the first
        alone.

        Raises InputError where the sampler is not one of the reverse kernel, for which the property does not hold.
        """
        found = hops(
            self.name,
            denoiser,
            batch,
            tools,
            fraction=self.fraction,
            from_observation=self.from_observation,
            max_hop=self.max_hop,
            chain_steps=self.chain_steps,
        )
        if found is None:
            empty = batch.x_n.new_zeros(0)
            return {"consistency": Term(empty, empty)}
        terms = {"consistency": found.martingale(tools)}
        if batch.x_n.ndim == 4 and min(batch.x_n.shape[2:]) >= BLOCK and batch.sigma_n.ndim == 1:
            terms["detail"] = Term(self._detail(found, batch, tools), found.sigma_s)
        return terms

    def _detail(self, found: Hops, batch: Batch, tools: Tools) -> Tensor:
        """(n,), the value for each row used."""
        shift = self._shift(batch, tools)
        x, d = coefficients(found.ends, shift), coefficients(found.x_0_hat, shift)
        with torch.no_grad():
            memory, band = tools.memory, band_of().to(x.device)
            usable = batch.sigma_n > tools.levels.sigma_min
            rows, sigma_n = coefficients(batch.x_n[usable], shift), batch.sigma_n[usable]
            square, means = rows**2 - per_row(sigma_n, rows) ** 2, _means(batch.x_n[usable], shift)
            if not memory:
                self._begin(means, square, band, memory)
            top = repeated(found.batch.sigma_n)
            s, top = per_row(repeated(found.sigma_s), x), per_row(top, x)
            of_block = repeated(_classes(*_means(found.batch.x_n, shift), memory))
            level = torch.bucketize(torch.log(top / s).contiguous(), x.new_tensor(EDGES))
            bin_of = (of_block[..., None, None] * (BANDS + 1) + band) * (len(EDGES) + 1) + level
            v = memory["energy"].flatten()[of_block[..., None, None] * (BANDS + 1) + band]
            push = self._push(memory, bin_of, v, s, top)
            self._remember(memory, means, square, band, bin_of, ((d - x) * x + s**2) / s**2, x**2 - s**2)
        # A block has BLOCK^2 - 1 coefficients that count, and the one of its mean, which has no push.
        value = (2 * push * d * x).flatten(1).mean(1) * (BLOCK**2 / (BLOCK**2 - 1))
        return value.unflatten(0, (ENDS, -1)).mean(0)

    def _shift(self, batch: Batch, tools: Tools) -> tuple[int, int]:
        """Where the blocks begin in this call, as far as a whole block is left."""
        u = uniform(torch.empty(2, device=batch.x_n.device), tools.generator)
        room = [min(BLOCK, size - BLOCK + 1) for size in batch.x_n.shape[2:]]
        return int(u[0] * room[0]), int(u[1] * room[1])

    def _begin(self, means: tuple[Tensor, Tensor], square: Tensor, band: Tensor, memory: Memory) -> None:
        """Room for the running means. Edges of the classes and scales of the energies are those of the first rows for
        good, and these rows count in nothing else."""
        for name, value, classes in zip(("means", "slopes"), means, (MEANS, SLOPES), strict=True):
            shares = torch.linspace(0, 1, classes + 1)[1:-1].to(value)
            memory[name] = torch.quantile(value.flatten()[: 10**6], shares)
        shape = (MEANS * SLOPES, BANDS + 1)
        bins = (_classes(*means, memory)[..., None, None] * (BANDS + 1) + band).expand_as(square)
        total, count = _sums(square, bins, shape), _sums(torch.ones_like(square), bins, shape)
        memory["energy"] = (total / count.clamp(min=1)).clamp(min=0)
        for name in ("rows", "rows.n"):
            memory[name] = torch.zeros_like(total)
        for name in ("gain", "law", "n"):
            memory[name] = total.new_zeros(*shape, len(EDGES) + 1)
        memory["begun"] = torch.zeros((), dtype=torch.int64)

    def _push(self, memory: Memory, bin_of: Tensor, v: Tensor, s: Tensor, top: Tensor) -> Tensor:
        """What f(D) f(x_s) is weighted with, 0 where too little is known, and for the mean of a block."""
        n = memory["n"]
        count, ready = n.clamp(min=1), n > READY
        wanted = (memory["rows"] / memory["rows.n"].clamp(min=1)).unsqueeze(2)
        gain = torch.where(ready, memory["gain"] / count, 0.0)
        law = torch.where(ready & (memory["rows.n"].unsqueeze(2) > READY), memory["law"] / count - wanted, 0.0)
        gain[:, 0], law[:, 0] = 0.0, 0.0
        high = (s >= self.lowest * top).to(s.dtype)
        own = self.gain * gain.flatten()[bin_of] + self.law * high * law.flatten()[bin_of] / top**2
        return own / (v + s**2)

    def _remember(
        self,
        memory: Memory,
        means: tuple[Tensor, Tensor],
        square: Tensor,
        band: Tensor,
        bin_of: Tensor,
        gain: Tensor,
        law: Tensor,
    ) -> None:
        """Take this call into the running means, but for the very first, whose rows have set the scales."""
        memory["begun"] += 1
        if int(memory["begun"]) == 1:
            return
        shape = tuple(memory["rows"].shape)
        bins = (_classes(*means, memory)[..., None, None] * (BANDS + 1) + band).expand_as(square)
        for name, value in (("rows", square), ("rows.n", torch.ones_like(square))):
            memory[name].mul_(1 - 1 / KEPT).add_(_sums(value, bins, shape))
        shape = tuple(memory["n"].shape)
        for name, value in (("gain", gain), ("law", law), ("n", torch.ones_like(law))):
            memory[name].mul_(1 - 1 / self.window).add_(_sums(value, bin_of, shape))


def _means(pictures: Tensor, shift: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(n, blocks) twice, in the order of `coefficients`: the mean of each block, and the larger of the changes of the
    means from one neighbour to the other, along rows and along columns."""
    mean = F.avg_pool2d(pictures[:, :, shift[0] :, shift[1] :], BLOCK)
    wide = F.pad(mean, (1, 1, 1, 1), mode="replicate")
    along, across = wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2], wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]
    return mean.flatten(1), torch.maximum(along.abs(), across.abs()).flatten(1)


def _classes(mean: Tensor, slope: Tensor, memory: Memory) -> Tensor:
    """(n, blocks): the class of each block."""
    of_mean, of_slope = (torch.bucketize(value, memory[name]) for name, value in (("means", mean), ("slopes", slope)))
    return of_mean * SLOPES + of_slope


def _sums(values: Tensor, bins: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Values summed by their bins."""
    total = values.new_zeros(torch.Size(shape).numel())
    return total.index_add_(0, bins.flatten(), values.flatten()).reshape(shape)
