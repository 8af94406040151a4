"""What an objective teaches: every row, in every direction of its pixels, and by itself alone.

Exact probes for `objective-contract`, on labelled pictures (see `labelled`) and a denoiser that is wrong in every
pixel.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ambientkit.batch import Batch, take
from ambientkit.builtin.checks.labelled import (
    SIGNAL,
    OneStep,
    asked_of,
    centre_of,
    labelled,
    may_lower_contrast,
    require,
)
from ambientkit.builtin.checks.probe import gradients_by_call, on_clean_rows
from ambientkit.errors import InputError
from ambientkit.interfaces import Case, Memory, Objective, Signal, Tools
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator

SMALL = (2, 3, 4)
ROWS = 16
CALLS = 400
"""An objective may use one row in sixteen, drawn at random: that none is missed then has probability 1e-10."""
ENOUGH = 4 * 24
"""Gradients whose rank is taken: four times the number of pixels."""
UNLIKE = (0.05, 0.3)
"""Noise of the rows of a batch in turn."""
LEFT_OUT = 1e-4
"""Smallest singular value over the largest, below which a direction is left out: rounding leaves 4e-8. Hops over a
ratio of levels of 0.7 leave 8e-4, as their gradients at low levels are nearly all means."""
FAR = 30.0
"""How many times as wrong as usual the denoiser is at the one row: its value is then far above the others'."""
STRANGERS = 100
"""Number of the first row that is put beside a known one."""


class Answers:
    """A denoiser of labelled pictures that is wrong by `error(number)` times a number for each pixel and level; it
    keeps what it was asked with gradient."""

    def __init__(self, error: Callable[[Tensor], Tensor], lowered: bool) -> None:
        self._error, self._lowered = error, lowered
        self.asked: list[tuple[Tensor, Tensor]] = []

    def __call__(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        number = asked_of(x, sigma, cond, shape=SMALL, lowered=self._lowered, filled=True)
        centre = centre_of(x, number)
        level = per_row(sigma.float(), x)
        wrong = level / (1 + level) * (0.5 * torch.tanh(x - centre) + 0.3 * torch.sin(3 * level.log()) + 0.2)
        answer = centre + per_row(self._error(number).float(), x) * wrong
        if torch.is_grad_enabled():
            zero = torch.zeros_like(answer, requires_grad=True)
            self.asked.append((number, zero))
            answer = answer + zero
        return answer

    def teacher(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        """The same without gradient; nothing is kept."""
        with torch.no_grad():
            return self(x, sigma, **cond)


def teaches_every_row_and_direction(part: Objective, case: Case) -> None:
    """Rows of odd and even number, at each place of a batch in turn, all get a gradient in some call, and the gradients
    with respect to the denoiser's answers span all directions of a picture: means and contrasts, every channel.

    Raises Broken. The smallest singular value of the gradients, each of length 1, is compared with the largest. They
    follow the noise of the views: of views far above the noise it is about 1/3 of it, unless a direction is left out.
    Quiet and noisy rows of one batch are all used in some call.
    """
    for noise in (0.3, 0.03):
        level = torch.zeros(ROWS) if on_clean_rows(case) else torch.full((ROWS,), noise)
        taught, found = _taught(part, case, level)
        require(bool(taught.any()), f"no row of noise {noise} gets a gradient")
        require(bool(taught.all()), "some rows never get a gradient, wherever they stand in a batch")
        sizes = torch.linalg.svdvals(torch.stack(found).double())
        require(
            len(found) >= ENOUGH and bool(sizes[-1] > LEFT_OUT * sizes[0]),
            "some directions never get a gradient, such as the mean of a picture, or all but its mean",
        )

    if not on_clean_rows(case):
        taught, _ = _taught(part, case, torch.tensor(UNLIKE).repeat(ROWS // 2))
        require(
            bool(taught.all()), "rows that are quieter, or noisier, than others of their batch never get a gradient"
        )


def _taught(part: Objective, case: Case, level: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Which of the rows got a gradient in some call, and all gradients at length 1; calls end where that is enough."""
    taught, found = torch.zeros(ROWS, dtype=torch.bool), list[Tensor]()
    memory: Memory = {}
    for index in range(CALLS):
        batch = labelled(level, keyed_generator(case.seed, "verify.taught", step=index), SMALL)
        asked = take(batch, torch.arange(ROWS).roll(5 * index))
        for number, gradient in _gradients(
            part, case, Answers(torch.ones_like, may_lower_contrast(part)), asked, index, memory
        ):
            there = gradient.flatten(1).norm(dim=1) > 0
            taught[number[there].long() - 1] = True
            found += [one / one.norm() for one in gradient.flatten(1)[there]]
        if bool(taught.all()) and len(found) >= ENOUGH:
            break
    return taught, found


def teaches_each_row_by_itself(part: Objective, case: Case) -> None:
    """What one row, at which the denoiser is far off, teaches is the same, to rounding, beside rows that the denoiser
    knows exactly, and beside others where it is off twice as far: no threshold, rank or weight is taken over the
    batch. Raises Broken."""
    level = torch.zeros(6) if on_clean_rows(case) else torch.tensor([0.3, 0.2, 0.4, 0.3, 0.25, 0.35])
    generator = keyed_generator(case.seed, "verify.taught.alone")
    batch, others = labelled(level, generator, SMALL), labelled(level, generator, SMALL, STRANGERS)
    for place in (0, 5):
        beside = torch.arange(6) != place
        mixed = Batch(
            torch.where(per_row(beside.float(), batch.x_n) > 0, others.x_n, batch.x_n),
            batch.sigma_n,
            torch.where(beside, others.row, batch.row),
            {
                name: torch.where(beside.reshape(-1, *[1] * (value.ndim - 1)), others.cond[name], value)
                for name, value in batch.cond.items()
            },
        )
        known, far = (_of_one(part, case, mixed, place, size) for size in (0.0, 2 * FAR))
        require(
            torch.allclose(known, far, rtol=1e-3, atol=1e-6 + 1e-4 * float(known.abs().max())),
            "what a row teaches depends on the other rows of the batch: on their values, or their order by size",
        )


def teaches_a_row_alone(part: Objective, case: Case) -> None:
    """A batch of one row teaches something in some call of a run, or is refused. Raises Broken."""
    memory: Memory = {}
    level = torch.zeros(1) if on_clean_rows(case) else torch.full((1,), 0.3)
    for index in range(CALLS):
        batch = labelled(level, keyed_generator(case.seed, "verify.taught.single", step=index), SMALL)
        probe = Answers(torch.ones_like, may_lower_contrast(part))
        try:
            found = _gradients(part, case, probe, batch, index, memory, refuse=True)
        except InputError:
            return
        if any(bool(gradient.any()) for _, gradient in found):
            return
    require(False, "a batch of one row teaches nothing, and is not refused")


def _of_one(part: Objective, case: Case, batch: Batch, place: int, others: float) -> Tensor:
    """(*SMALL), the gradient of one loss, summed over its questions about the row at `place`, where the denoiser is off
    by FAR; it is off by `others` at strangers."""

    def error(number: Tensor) -> Tensor:
        return torch.where(number < STRANGERS, FAR, others)

    total = torch.zeros(SMALL)
    for number, gradient in _gradients(part, case, Answers(error, may_lower_contrast(part)), batch, 0, {}):
        total = total + gradient[number == place + 1].sum(0)
    return total


def _gradients(
    part: Objective, case: Case, probe: Answers, batch: Batch, index: int, memory: Memory, *, refuse: bool = False
) -> list[tuple[Tensor, Tensor]]:
    """The row numbers (N,) and gradients (N, *SMALL) for each question of one loss; none for a batch that is
    refused, or InputError with `refuse`."""
    tools = Tools(
        case.tools.corruption,
        OneStep(),
        probe.teacher,
        Signal(SMALL, SIGNAL.sigma_data, SIGNAL.conds),
        keyed_generator(case.seed, "verify.taught.loss", step=index),
        case.tools.levels,
        memory,
    )
    try:
        values = [term.value.sum() for term in part.loss(probe, batch, tools).values() if term.value.requires_grad]
    except InputError:
        if refuse:
            raise
        return []
    if not values or not probe.asked:
        return []
    total = torch.stack(values).sum()
    return [(number, grad) for (number, _), grad in gradients_by_call(total, probe.asked)]
