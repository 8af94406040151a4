"""The attacks `mask` and `box`: a row of which a part is hidden, completed."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.memorisation_parts import Attack, Attempt, Target


class Mask(Attack):
    """A random share of the pixels of each row is hidden, in all channels alike, and drawn by a particle filter."""

    name = "mask"
    source = "arXiv 2305.19256, section 5.3; draws: arXiv 2206.04119, algorithm 2"
    claims = frozenset({"blind"})

    level: float = Field(0.75, gt=0, lt=1)
    """Share of the pixels that is hidden."""

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        """Draws given the pixels that are seen. Raises InputError for rows that have noise."""
        _need_clean(self.name, target)
        size = x[0, :1].numel() if x.ndim == 4 else x[0].numel()
        hidden = min(max(round(self.level * size), 1), size - 1)
        masks = []
        for generator in target.generators("memorisation.attack.mask", keys):
            shape = (1, *x.shape[2:]) if x.ndim == 4 else x.shape[1:]
            order = torch.rand(shape, generator=generator).flatten().argsort()
            seen = torch.ones(size, dtype=torch.bool)
            seen[order[:hidden]] = False
            masks.append(seen.reshape(shape))
        return _completed(x, torch.stack(masks).expand(x.shape), keys, target)


class Box(Attack):
    """A box of that share of the picture is hidden, at a random place, and drawn by a particle filter."""

    name = "box"
    source = "arXiv 2305.19256, section 5.3; draws: arXiv 2206.04119, algorithm 2"
    claims = frozenset({"blind"})

    level: float = Field(0.75, gt=0, lt=1)
    """Share of the picture that is hidden."""

    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        """Draws given what lies outside the box. Raises InputError for rows that have noise or are no pictures."""
        _need_clean(self.name, target)
        if x.ndim != 4:
            raise InputError(f"--kind box: needs pictures (C, H, W), not rows of shape {tuple(x.shape[1:])}; use mask")
        high, wide = x.shape[2:]
        tall, broad = (min(max(round(side * self.level**0.5), 1), side) for side in (high, wide))
        tall = tall if tall * broad < high * wide else tall - 1
        seen = torch.ones((len(x), 1, high, wide), dtype=torch.bool)
        for one, generator in zip(seen, target.generators("memorisation.attack.mask", keys), strict=True):
            top, left = (
                int(torch.randint(side - own + 1, (), generator=generator))
                for side, own in ((high, tall), (wide, broad))
            )
            one[:, top : top + tall, left : left + broad] = False
        return _completed(x, seen.expand(x.shape), keys, target)


def _completed(x: Tensor, seen: Tensor, keys: Tensor, target: Target) -> Attempt:
    return Attempt(torch.where(seen, x, torch.zeros_like(x)), target.inpainted(x, seen, keys))


def _need_clean(name: str, target: Target) -> None:
    if target.sigma_n:
        raise InputError(
            f"--kind {name}: these rows have noise of level {target.sigma_n:.4g}; masks are for clean rows, use "
            f"--kind noise"
        )
