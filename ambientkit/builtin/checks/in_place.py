"""Whether the pictures that an objective asks about lie as they are: not turned, mirrored, moved or with their sides
exchanged, in a few rows either. A probe for `picture-views`."""

from __future__ import annotations

import torch
from torch import Tensor

from ambientkit.builtin.checks.labelled import SIGNAL, SPACING, OneStep, asked_of, labelled
from ambientkit.builtin.checks.outcome import all_normal, all_of
from ambientkit.builtin.checks.probe import on_clean_rows
from ambientkit.builtin.checks.travel import key
from ambientkit.interfaces import Case, Measured, Objective, Signal, Tools
from ambientkit.maths.noise import per_row

SHAPES = ((3, 12, 12), (2, 9, 13))
"""Square pictures, whose sides may be exchanged unseen, and others."""
ROWS = 128
MOVED = "some pictures that the denoiser is asked about are turned, mirrored or moved"


def pictures_lie_as_they_are(part: Objective, case: Case) -> Measured:
    """The normal scores of e along P' - P, for each question and each way P' in which the picture P could lie: a
    picture that lies so has a score of |P' - P| / sigma, 17 at sigma 0.5 on square ones."""
    return all_of([_lie(part, case, shape) for shape in SHAPES])


def _lie(part: Objective, case: Case, shape: tuple[int, ...]) -> Measured:
    generator = key(case, "in-place.rows", shape[-1])
    pattern = torch.rand(shape, generator=generator, dtype=torch.float64) - 0.5
    ways = torch.stack([other - pattern for other in _other_ways(pattern)]).flatten(1)
    ways = ways / ways.norm(dim=1, keepdim=True)
    noise = torch.zeros(ROWS) if on_clean_rows(case) else 0.1 + 0.4 * torch.rand(ROWS, generator=generator)
    batch = labelled(noise, generator, shape)
    batch = batch._replace(x_n=batch.x_n.double() + pattern, sigma_n=batch.sigma_n.double())
    scores: list[Tensor] = []

    def watched(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        number = asked_of(x - pattern.to(x.dtype), sigma, cond, shape=shape, conditioned=False)
        centre = per_row(SPACING * number.double(), x) + pattern
        e = (x.detach().double() - centre) / per_row(sigma.detach().double(), x)
        scores.append((e.flatten(1) @ ways.T).flatten())
        return (centre + 0.0 * x).to(x.dtype)

    tools = Tools(
        case.tools.corruption,
        OneStep(),
        watched,
        Signal(shape, SIGNAL.sigma_data, SIGNAL.conds),
        key(case, "in-place.loss", shape[-1]),
        case.tools.levels,
    )
    part.loss(watched, batch, tools)
    if not scores:
        return Measured(0.0, 1.0, 0)
    return all_normal(torch.cat(scores), ROWS)._replace(why=MOVED)


def _other_ways(picture: Tensor) -> list[Tensor]:
    """The picture mirrored, turned, moved by a pixel, and, where it is square, on its side."""
    found = [picture.flip(-1), picture.flip(-2), picture.flip((-2, -1)), picture.roll(1, -1), picture.roll(1, -2)]
    if picture.shape[-1] == picture.shape[-2]:
        found += [found_on_side.mT for found_on_side in (picture, *found[:3])]
    return found
