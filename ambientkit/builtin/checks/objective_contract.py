"""The check `objective-contract`: shapes, dtypes, conditions, randomness and memory of an objective, on small pictures
in float32."""

from __future__ import annotations

import math

import torch
from pydantic import InstanceOf
from torch import Generator, Tensor

from ambientkit.batch import Batch, Term
from ambientkit.builtin.checks.affine import gradient_is_affine_in_the_data, noise_counts_as_its_level_says
from ambientkit.builtin.checks.coverage import no_hole_below, visits_below_the_noise, within_the_range_lent
from ambientkit.builtin.checks.kept import keeps_what_belongs_together
from ambientkit.builtin.checks.labelled import (
    SHAPE,
    SIGNAL,
    Broken,
    NoHalf,
    OneStep,
    asked_of,
    centre_of,
    copied,
    global_state,
    labelled,
    may_lower_contrast,
    require,
    same,
)
from ambientkit.builtin.checks.outcome import exact
from ambientkit.builtin.checks.own_noise import is_content_at_its_own_noise
from ambientkit.builtin.checks.probe import on_clean_rows
from ambientkit.builtin.checks.refused import refuses_noisy_rows
from ambientkit.builtin.checks.taught import (
    teaches_a_row_alone,
    teaches_each_row_by_itself,
    teaches_every_row_and_direction,
)
from ambientkit.errors import InputError
from ambientkit.interfaces import CONTRACT, Case, Check, Denoiser, Measured, Memory, Objective, Part, Signal, Tools
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator

GREY = (1, SHAPE[2], SHAPE[1])
"""Higher than wide. An axis of one channel is lost where it is squeezed, and rows meet then."""
MANY = 19
"""Rows, which fill no chunks of 4, 8 or 16, nor of 2 or 3."""
CALLS = 12
"""Calls with `MANY` rows: of a term on a share of them, a value that is often 0 is so in all of few calls by chance."""
LARGER = (4, 8, 9)
"""A border, and what comes after three channels, can be left out of larger pictures alone."""


class ObjectiveContract(Check):
    """An objective keeps the contract of `Objective` on pictures in float32 with conditions, for 1, 5, 6 and
    19 rows, some clean, some very noisy.

    Each term has one finite value per row in float32, and the level it was taken at, which the denoiser was asked at
    for that row; a value depends on one row alone, and carries a gradient unless it is 0. The denoiser is asked with
    the row's own conditions. The batch, the grad mode and the global generators are left as they were; equal generators
    give equal values, others do not; memory keeps its names and shapes, and what belongs together (`kept`). A batch
    that does not suit the objective, such as one of clean rows alone, may be refused with InputError, but not one of
    six noisy rows (or clean ones, for "needs-clean-data", which must refuse noisy ones). The check `taught` measures
    its effect on the network. Its levels lie in the range of the run, and those below the noise leave none out
    (`coverage`); the gradient of one that is stationary at the oracle is affine in the data, and at each level content
    with the noise that the level says (`affine`), at the noise of the rows too (`own_noise`).
    """

    name = "objective-contract"
    source = "the contract of `Objective`"
    kind = "objective"
    claim = CONTRACT
    null_law = "exact: nothing wrong"
    detects = (
        "a wrong shape, dtype or condition, rows that meet, a batch that is changed, randomness from elsewhere, a "
        "missing gradient"
        ", rows, pixels, means or levels that teach nothing, a loss that is no square, noise that "
        "counts otherwise than its level says, a divergence in part, the mean of no rows"
    )
    meaning = (
        "The objective does not do what the trainer relies on: it fails, or trains something else, on some batches."
    )
    quick = True

    def measure(self, part: Part, case: Case) -> Measured:
        """0, or infinity with what is wrong."""
        assert isinstance(part, Objective)
        try:
            for name, batch in self._batches(part, case):
                self._try(part, case, name, batch)
            self._clean_alone(part, case)
            refuses_noisy_rows(part, case)
            keeps_what_belongs_together(part, case)
            teaches_every_row_and_direction(part, case)
            teaches_each_row_by_itself(part, case)
            teaches_a_row_alone(part, case)
            if "stationary-at-oracle" in part.claims and "stationary-in-detail" not in part.claims:
                gradient_is_affine_in_the_data(part, case)
                noise_counts_as_its_level_says(part, case)
                is_content_at_its_own_noise(part, case)
            within_the_range_lent(part, case)
            if part.below_sigma_n:
                no_hole_below(part, case)
                visits_below_the_noise(part, case)
        except Broken as error:
            return Measured(math.inf, 0.0, 12, str(error))
        return exact(0.0, 0.0, 12)

    def control(self, part: Part) -> Part:
        """The same objective, which moves the batch a little in place."""
        assert isinstance(part, Objective)
        return _Moving(inner=part)

    def _batches(self, part: Objective, case: Case) -> list[tuple[str, Batch]]:
        levels = {"mixed": [0.0, 0.012, 0.2, 1.0, 3.0], "noisy": [0.3, 0.1, 0.6, 0.2, 1.5, 0.4], "single": [0.2]}
        levels["many"] = [0.1 + 0.02 * row for row in range(MANY)]
        found = []
        for index, (name, sigma_n) in enumerate(levels.items()):
            generator = keyed_generator(case.seed, "verify.objective-contract", step=index)
            level = torch.tensor(sigma_n)
            if on_clean_rows(case):
                level = torch.zeros_like(level)
            found.append((name, labelled(level, generator)))
            if name == "noisy":
                found.append(("of one channel", labelled(level, generator, GREY)))
                found.append(("larger", labelled(level, generator, LARGER)))
            if name == "noisy" and "noise-by-pixel" in part.claims:
                found.append(
                    ("per pixel", labelled(0.1 + torch.rand(len(level), *SHAPE, generator=generator), generator))
                )
        return found

    def _try(self, part: Objective, case: Case, name: str, batch: Batch) -> None:
        kept, world = copied(batch), global_state()
        memory: Memory = {}
        shapes: list[dict[str, tuple[int, ...]]] = []
        learnt, pixels = False, None
        silent: dict[str, Tensor] = {}
        for index in range(CALLS if name == "many" else 4):
            probe = _Probe(case, may_lower_contrast(part), tuple(batch.x_n.shape[1:]))
            try:
                with NoHalf() as precision:
                    found = part.loss(probe, batch, self._tools(case, probe, index, memory))
            except InputError:
                require(name in ("mixed", "single"), "rows that suit it are refused")
                return
            require(not precision.found, "rows in float32 are computed with in half precision")
            require(torch.is_grad_enabled(), "gradients are left switched off")
            require(same(batch, kept), "the batch is changed")
            require(global_state() == world, "numbers are drawn from a global generator, or it is seeded")
            taught = probe.judge(self._terms(found, batch))
            # Who falls silent after the first call does not learn; in single calls all rows may be left out by chance.
            learnt |= taught and index > 0
            for key, term in found.items():  # of a term on all rows: places that are 0 in every call
                still = term.value.detach() == 0
                silent[key] = silent[key] & still if key in silent and len(silent[key]) == len(still) else still
            pixels = probe.reached if pixels is None else pixels | probe.reached
            require(all(isinstance(value, Tensor) for value in memory.values()), "memory holds something but tensors")
            shapes.append({key: tuple(value.shape) for key, value in memory.items()})
            require(not any(value.requires_grad for value in memory.values()), "memory holds a graph")
        require(all(shape == shapes[0] for shape in shapes), "names or shapes in memory change from call to call")
        require(learnt or name in ("mixed", "single"), "no value carries a gradient")
        if name in ("noisy", "mixed", "many"):
            unused = any(bool(still.any()) and not bool(still.all()) for still in silent.values())
            require(not unused, "some values are 0 in each call: a row that is not used has no value")
        if name in ("noisy", "larger"):
            require(pixels is not None and bool(pixels.all()), "some pixels or channels never get a gradient")
        again, probe = self._fresh(part, case, batch, 0)
        other, moved = self._fresh(part, case, batch, 99)
        require(
            _equal(again, self._fresh(part, case, batch, 0)[0]), "equal generators and memory give different values"
        )
        drew = any(not bool(torch.isin(x, batch.x_n).all()) for x in probe.points)
        require(
            not (_equal(again, other) and drew and _alike(probe.points, moved.points)),
            "another generator gives the same values",
        )

    def _clean_alone(self, part: Objective, case: Case) -> None:
        """Rows that are all clean by chance: finite values of them, or none, or InputError."""
        batch = labelled(torch.zeros(3), keyed_generator(case.seed, "verify.objective-contract.clean"))
        for index in range(2):
            probe = _Probe(case, may_lower_contrast(part), tuple(batch.x_n.shape[1:]))
            try:
                found = part.loss(probe, batch, self._tools(case, probe, index, {}))
            except InputError:
                return
            self._terms(found, batch)

    def _fresh(self, part: Objective, case: Case, batch: Batch, index: int) -> tuple[list[Term], _Probe]:
        probe = _Probe(case, may_lower_contrast(part), tuple(batch.x_n.shape[1:]))
        return list(part.loss(probe, batch, self._tools(case, probe, index, {})).values()), probe

    def _tools(self, case: Case, probe: _Probe, index: int, memory: Memory) -> Tools:
        generator: Generator = keyed_generator(case.seed, "verify.objective-contract.loss", step=index)
        signal = Signal(probe.shape, SIGNAL.sigma_data, SIGNAL.conds)
        return Tools(case.tools.corruption, OneStep(), probe.teacher, signal, generator, case.tools.levels, memory)

    def _terms(self, found: dict[str, Term], batch: Batch) -> list[Term]:
        require(isinstance(found, dict) and len(found) > 0, "the returned value is no dict of named terms")
        for name, term in found.items():
            require(isinstance(name, str) and isinstance(term, Term), "the returned value is no dict of named terms")
            value, sigma = term.value, term.sigma
            require(
                value.ndim == 1 and len(value) <= len(batch.x_n),
                f"a term has values of shape {tuple(value.shape)}, not one per row",
            )
            require(sigma.shape == value.shape, "a term has levels of another shape than its values")
            require(value.dtype == batch.x_n.dtype, f"values are {value.dtype} for rows in {batch.x_n.dtype}")
            require(bool(value.isfinite().all() and sigma.isfinite().all()), "a value or a level is not finite")
            require(not sigma.requires_grad, "the levels of a term carry a graph")
        return list(found.values())


class _Probe:
    """A denoiser for the labelled rows, wrong in a way that no loss is content with; it writes down what it is
    asked."""

    def __init__(self, case: Case, lowered: bool, shape: tuple[int, ...]) -> None:
        self._case, self._lowered, self.shape = case, lowered, shape
        self.points: list[Tensor] = []
        self.reached = torch.zeros(shape, dtype=torch.bool)
        self._asked: list[tuple[Tensor, Tensor, Tensor]] = []

    def __call__(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        number, answer = self._answer(x, sigma, cond)
        self.points.append(x.detach().clone())
        if torch.is_grad_enabled():
            zero = torch.zeros_like(answer, requires_grad=True)
            self._asked.append((number, sigma.detach().clone(), zero))
            answer = answer + zero
        return answer

    def teacher(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        """The same denoiser, of which nothing is written down."""
        return self._answer(x, sigma, cond)[1].detach()

    def _answer(self, x: Tensor, sigma: Tensor, cond: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        require(x.dtype == torch.float32, f"the denoiser is asked about points in {x.dtype} for rows in torch.float32")
        number = asked_of(x, sigma, cond, shape=self.shape, lowered=self._lowered)
        levels = self._case.tools.levels
        inside = bool((sigma > 0.1 * levels.sigma_min).all() and (sigma < 10 * levels.sigma_max).all())
        require(inside, "the denoiser is asked at levels far out of the range of the run")
        centre = centre_of(x, number)
        level = per_row(sigma.float(), x)
        size = level / (1 + level)
        return number, centre + size * (0.5 * torch.tanh(x - centre) + 0.3 * torch.sin(3 * level.log()) + 0.2)

    def judge(self, terms: list[Term]) -> bool:
        """Whether any value carries a gradient. Raises Broken where one depends on several rows, or says another level
        than it was taken at."""
        asked = list(self._asked)  # a denoiser under checkpointing is asked again in the backward pass
        zeros, learnt = [zero for _, _, zero in asked], False
        for value, sigma in ((v, s) for term in terms for v, s in zip(term.value, term.sigma, strict=True)):
            if not value.requires_grad or not zeros:
                continue
            grads = torch.autograd.grad(value, zeros, allow_unused=True, retain_graph=True)
            rows, levels = [], []
            for grad, (number, level, _) in zip(grads, asked, strict=True):
                if grad is not None:
                    there = grad.flatten(1).abs().amax(1) > 0
                    self.reached |= (grad != 0).any(0)
                    rows += number[there].tolist()
                    levels.append(level[there].double())
            if not rows:
                require(float(value.detach()) == 0, "a value that is not 0 teaches nothing: it carries no gradient")
                continue
            learnt = True
            require(len(set(rows)) == 1, "a value depends on several rows")
            near = torch.isclose(torch.cat(levels), sigma.double(), rtol=1e-4, atol=0)
            require(bool(near.any()), "a term reports another level than the denoiser was asked at for the row")
        return learnt


def _equal(one: list[Term], other: list[Term]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.value, b.value) and torch.equal(a.sigma, b.sigma) for a, b in zip(one, other, strict=True)
    )


def _alike(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class _Moving(Objective):
    """An objective that changes its batch: wrong on purpose."""

    name = "moving-control"

    inner: InstanceOf[Objective]

    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """The inner objective's terms."""
        found = self.inner.loss(denoiser, batch, tools)
        batch.x_n.mul_(1.001)
        return found
