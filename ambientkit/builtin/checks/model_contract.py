"""The check `model-contract`: networks that learn, in the modes and dtypes they are given, from the conditions they
take."""

from __future__ import annotations

import contextlib
import copy
import math

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from ambientkit.builtin.checks.changed import ChangedModel, without_classes
from ambientkit.builtin.checks.formula import is_one_in_both_modes, remembers_no_call
from ambientkit.builtin.checks.labelled import Broken, global_state, require
from ambientkit.builtin.checks.offered import (
    distinguishes_levels,
    fresh_or_refused,
    keeps_its_offers,
    knows_its_levels,
    reaches_odd_sides,
    reads_its_mask,
    takes_unlike_sides,
)
from ambientkit.builtin.checks.outcome import exact
from ambientkit.builtin.checks.reach import (
    call_of,
    gradient_is_that_of_the_answer,
    learns_from_the_start,
    learns_in_its_parameters,
    learns_what_is_hidden,
    nothing_detached,
    reaches_every_direction,
    reaches_every_pixel,
    tensor_of,
)
from ambientkit.interfaces import CONTRACT, Case, Check, Denoiser, Measured, Model, Part, Signal
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator

SHAPES: tuple[tuple[int, ...], ...] = ((2,), (1, 16, 16), (3, 32, 32), (1, 64, 64))
"""Of rows, one of which a model should take."""
CONDS: dict[str, tuple[int, ...]] = {"shift": (3,)}


class ModelContract(Check):
    """A model keeps the contract of `Model` and `Denoiser`: for rows of every shape it takes, with conditions if it
    takes any.

    A fresh network each time, whose parameters differ and nearly all of which are reached by the gradient, from the
    start; a denoiser of the very network it was given, that leaves its mode, its parameters and the inputs as they are,
    answers in shape and dtype of x (float32; float64 where the network can be cast), row by row, for 1 row too, in
    evaluation mode twice the same, and in training mode the same after any rows. What it makes of its network's answers
    depends on no earlier call, and is one while training and after it (`formula`). The network is given different
    numbers for levels a fourth apart. Each level, condition and class has a say in its own row, while training too, and
    `null_cond` is no class. The gradient with respect to x is that of the answer; all that is learnt is a parameter;
    every direction of a picture can be learnt, and is seen, and what a mask hides can be learnt at low levels too. A
    mask that is taken is read. A shape or condition that the model does not take is refused with InputError by
    `network`, and it takes what it is proposed for (see `offered`).
    """

    name = "model-contract"
    source = "the contracts of `Model` and `Denoiser`"
    kind = "model"
    claim = CONTRACT
    null_law = "exact: nothing wrong beyond rounding"
    detects = (
        "a missing gradient, a level or condition without effect or of another row, a wrong shape, dtype or "
        "mode, a path that is detached, a network that is not the one given, a memory of earlier calls, conditions "
        "that count otherwise once training is over, hidden values that stay 0, a mask that is not read, rows that are "
        "neither answered nor refused"
    )
    meaning = (
        "The network does not learn what it should, or the run does not train, average and save the network "
        "that it asks."
    )
    quick = True

    def measure(self, part: Part, case: Case) -> Measured:
        """0, or infinity with what is wrong."""
        assert isinstance(part, Model)
        whole, part, taken = part, without_classes(part), 0
        try:
            knows_its_levels(whole)
            for shape in (
                SHAPES[:2] if self._takes(part, case, SHAPES[0]) or self._takes(part, case, SHAPES[1]) else SHAPES[2:]
            ):
                if self._takes(part, case, shape):
                    taken += 1
                    _Tried(part, case, Signal(shape, 0.7)).all()
            plain = next((shape for shape in SHAPES if self._takes(part, case, shape)), None)
            require(plain is not None, "no shape of rows that was tried is taken: " + ", ".join(map(str, SHAPES)))
            self._conditions(part, case, plain or ())
            self._masks(part, case, plain or ())
            self._classes(whole, case, plain or ())
            takes_unlike_sides(part, case.seed)
            reaches_odd_sides(part, lambda network: stirred(network, case), case.seed)
            keeps_its_offers(whole, SHAPES, case.seed)
        except Broken as error:
            return Measured(math.inf, 0.0, max(taken, 1), str(error))
        return exact(0.0, 0.0, taken)

    def control(self, part: Part) -> Part:
        """The same model, whose network is called without gradient."""
        assert isinstance(part, Model)
        return _Frozen(inner=part)

    def _conditions(self, part: Model, case: Case, shape: tuple[int, ...]) -> None:
        """A vector, or else an integer, as a condition: the first that the model takes."""
        refused: Exception | None = None
        for conds in (CONDS, {"label": ()}):
            signal = Signal(shape, 0.7, conds)
            if _network(part, case, signal) is None:
                continue
            try:
                return _Tried(part, case, signal).conditions()
            except Broken:
                raise
            except Exception as error:  # a network may need a condition of another shape than its model has looked at
                refused = refused or error
        if refused is not None:
            raise refused

    def _masks(self, part: Model, case: Case, shape: tuple[int, ...]) -> None:
        """Of a model that takes a mask, of values or of measurements: it is read, and what is hidden can be learnt."""
        own = (1, *shape[1:]) if len(shape) > 1 else shape
        signal = Signal(shape, 0.7, {"mask": own})
        network = _network(part, case, signal)
        if network is not None:
            reads_its_mask(part, stirred(network, case), signal)
            anything = _network(part, case, Signal(shape, 0.7, {"anything": own})) is not None
            learns_what_is_hidden(network, lambda net: part.denoiser(net, signal), shape, own, takes_anything=anything)
        signal = Signal(shape, 0.7, {"sampled": own, "measured": shape})
        network = _network(part, case, signal)
        if network is not None:
            reads_its_mask(part, stirred(network, case), signal)

    def _classes(self, part: Model, case: Case, shape: tuple[int, ...]) -> None:
        """Of a model that takes classes: four."""
        if "num_classes" not in type(part).model_fields:
            return
        try:
            four = type(part)(**{**{name: getattr(part, name) for name in part.model_fields_set}, "num_classes": 4})
        except ValidationError:  # fields that exclude classes
            return
        null, signal = four.null_cond("class_cond"), Signal(shape, 0.7, {"class_cond": ()})
        network = _network(four, case, signal)
        require(
            (null is None and network is None) or (null is not None and float(torch.as_tensor(null)) == 4),
            f"null_cond gives {null} for class_cond, not num_classes: a row without a class would be one of a class, "
            "or have nothing to stand for it",
        )
        if network is not None:
            _Tried(four, case, signal).classes(4)

    def _takes(self, part: Model, case: Case, shape: tuple[int, ...]) -> bool:
        return _network(part, case, Signal(shape, 0.7)) is not None


def _network(part: Model, case: Case, signal: Signal, index: int = 0) -> nn.Module | None:
    """A fresh network, or None where the model refuses the signal."""
    return fresh_or_refused(part, signal, case.seed, "verify.model-contract", index)


def stirred(network: nn.Module, case: Case) -> nn.Module:
    """The network with its parameters moved at random, so that none is 0, in evaluation mode."""
    with isolated_global_generator(case.seed, "verify.model-contract.stir"), torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.default_generator).to(parameter))
    return network.eval()


class _Tried:
    """One model on one kind of rows."""

    def __init__(self, part: Model, case: Case, signal: Signal) -> None:
        self.part, self.case, self.signal = part, case, signal
        fresh = _network(part, case, signal)
        require(fresh is not None, "network refuses rows that it took before: it changes the signal, or what it knows")
        assert fresh is not None
        self.fresh = fresh
        self.network = stirred(copy.deepcopy(fresh), case)
        self.n = 3
        generator = keyed_generator(case.seed, "verify.model-contract.x")
        self.sigma = torch.tensor([0.3, 1.1, 4.0])
        self.x = torch.randn(self.n, *signal.shape, generator=generator) * self.sigma.reshape(
            -1, *[1] * len(signal.shape)
        )
        self.cond: dict[str, Tensor] = {}

    def ask(self, denoiser: Denoiser, x: Tensor, sigma: Tensor, **cond: Tensor) -> Tensor:
        given = [x.clone(), sigma.clone(), *(value.clone() for value in cond.values())]
        world = global_state()
        answer = denoiser(x, sigma, **cond)
        require(all(map(torch.equal, given, [x, sigma, *cond.values()])), "the denoiser changes what it is given")
        require(global_state() == world, "in evaluation mode the denoiser draws from a global generator, or seeds it")
        require(answer.shape == x.shape, f"answers of shape {tuple(answer.shape)} to points of shape {tuple(x.shape)}")
        require(answer.dtype == x.dtype, f"answers in {answer.dtype} to points in {x.dtype}")
        require(bool(answer.isfinite().all()), "answers are not finite")
        return answer

    def all(self) -> None:
        self.fresh_each_time()
        denoiser = self.kept_as_it_is()
        self.learns()
        learns_from_the_start(self.fresh, lambda net: self.part.denoiser(net, self.signal), self.x)
        with torch.no_grad():
            answer = self.ask(denoiser, self.x, self.sigma)
            self.alike(answer, self.ask(denoiser, self.x, self.sigma), "in evaluation mode two answers differ")
            self.alike(answer, self.ask(denoiser, self.x, self.sigma.double()), "levels in float64 change the answers")
            single = torch.cat([self.ask(denoiser, self.x[i : i + 1], self.sigma[i : i + 1]) for i in range(self.n)])
            self.alike(answer, single, "a row's answer depends on the others")
            wide = self.sigma.clone()
            for level in (0.002, 0.05, 80.0):
                wide[1] = level
                other = self.ask(denoiser, self.x, wide)
                self.alike(answer[::2], other[::2], "a row's answer depends on another row's level")
        remembers_no_call(self.part, self.network, self.signal, self.x, self.sigma)
        self.level_matters(denoiser)
        distinguishes_levels(self.part, self.network, denoiser, self.x[:1])
        gradient_is_that_of_the_answer(
            self.network, lambda wide: self.part.denoiser(wide, self.signal), self.x, self.sigma
        )
        reaches_every_pixel(self.network, denoiser(self.x, self.sigma))
        call = call_of(self.network, lambda: denoiser(self.x, self.sigma))
        if call is not None:
            reaches_every_direction(self.network, *call)
        if all(parameter.dtype == torch.float32 for parameter in self.network.parameters()):
            wide_network = copy.deepcopy(self.network).double()
            with (
                torch.no_grad(),
                contextlib.suppress(RuntimeError),
            ):  # a network need not run in float64, but if it does, x stays what it is
                self.ask(self.part.denoiser(wide_network, self.signal), self.x.double(), self.sigma.double())

    def fresh_each_time(self) -> None:
        other = _network(self.part, self.case, self.signal, 1)
        require(other is not None and other is not self.fresh, "network gives the same network twice")
        assert other is not None
        own = {parameter.data_ptr() for parameter in self.fresh.parameters() if parameter.numel()}
        require(
            own.isdisjoint(p.data_ptr() for p in other.parameters() if p.numel()), "two fresh networks share parameters"
        )
        alike = all(map(torch.equal, self.fresh.parameters(), other.parameters()))
        require(not alike, "two networks begin with the same parameters for every seed, or have none")
        world = global_state()
        with isolated_global_generator(self.case.seed, "verify.model-contract"):
            again = self.part.network(self.signal)
        require(
            all(map(torch.equal, self.fresh.parameters(), again.parameters())), "the same seed gives other parameters"
        )
        require(
            global_state()[1:] == world[1:],
            "network draws from numpy's or Python's generator, which the run does not seed",
        )

    def kept_as_it_is(self) -> Denoiser:
        network = self.network
        for training in (True, False):
            network.train(training)
            flags = [parameter.requires_grad for parameter in network.parameters()]
            values = [parameter.detach().clone() for parameter in network.parameters()]
            denoiser = self.part.denoiser(network, self.signal)
            with torch.no_grad(), isolated_global_generator(self.case.seed, "verify.model-contract.mode"):
                answer = denoiser(self.x, self.sigma)
            require(
                answer.shape == self.x.shape, f"answers of shape {tuple(answer.shape)} to points {tuple(self.x.shape)}"
            )
            modes = {module.training for module in network.modules()}
            require(modes == {training}, "the denoiser switches the network between training and evaluation")
            require(
                flags == [parameter.requires_grad for parameter in network.parameters()],
                "the denoiser freezes parameters",
            )
            require(
                all(map(torch.equal, values, network.parameters())), "the denoiser changes the network's parameters"
            )
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1.5)
            moved = denoiser(self.x, self.sigma)
            for parameter in network.parameters():
                parameter.div_(1.5)
        require(not torch.allclose(moved, answer), "the denoiser does not ask the network that it was given")
        return denoiser

    def level_matters(self, denoiser: Denoiser) -> None:
        """The level, which the network is given besides its input, changes its answer to the same input."""
        levels = torch.tensor([0.002, 0.3, 0.05, 1.1, 80.0, 4.0])
        call = call_of(self.network, lambda: self.ask(denoiser, self.x[torch.arange(6) % self.n], levels))
        if call is None:
            return
        (y, *rest), named = call

        def rolled(value: object) -> object:
            return value.roll(1, 0) if isinstance(value, Tensor) and value.ndim and len(value) == len(y) else value

        require(
            any(rolled(value) is not value for value in [*rest, *named.values()]), "the network is not given the level"
        )
        with torch.no_grad():
            one = tensor_of(self.network(y, *rest, **named))
            other = tensor_of(
                self.network(y, *map(rolled, rest), **{name: rolled(value) for name, value in named.items()})
            )
        require(float((one - other).abs().max()) > 1e-6, "the level that the network is given has no effect")

    def learns(self) -> None:
        network = copy.deepcopy(self.network)
        target = [parameter for parameter in network.parameters() if parameter.requires_grad]
        require(bool(target), "the network has no parameter that can be trained")
        denoiser = self.part.denoiser(network, self.signal)
        with isolated_global_generator(self.case.seed, "verify.model-contract.learn"):
            answer = denoiser(self.x, self.sigma)
        require(answer.requires_grad, "no gradient reaches the network")
        learns_in_its_parameters(network, answer)
        nothing_detached(network.eval(), denoiser, self.x, self.sigma)
        weights = torch.randn(answer.shape, generator=keyed_generator(self.case.seed, "verify.model-contract.weights"))
        grads = torch.autograd.grad((answer * weights).sum(), target, allow_unused=True)
        total = sum(parameter.numel() for parameter in target)
        reached = sum(int(grad.ne(0).any()) * grad.numel() for grad in grads if grad is not None)
        require(reached >= 0.9 * total, f"the gradient reaches only {reached / total:.0%} of the network's parameters")
        x = self.x.clone().requires_grad_()
        answer = denoiser(x, self.sigma)
        (slope,) = torch.autograd.grad(answer[0].sum(), x, allow_unused=True)
        require(slope is not None, "the answer has no derivative by x: the input is detached")
        require(
            bool((slope[1:] == 0).all()) and bool((slope[0] != 0).any()),
            "a row's answer depends on another row's points",
        )
        network.train()
        with isolated_global_generator(self.case.seed, "verify.model-contract.learn"):
            answer = denoiser(x, self.sigma)
        (slope,) = torch.autograd.grad(answer[0].sum(), x)
        require(
            bool((slope[1:] == 0).all()),
            "while training a row's answer depends on the other rows, as with batch normalisation",
        )
        self.forgets(network)

    def forgets(self, network: nn.Module) -> None:
        """While training, an answer does not depend on the rows of earlier calls: it is the same after one call of two,
        so that what changes with the number of calls, as a spectral norm does, is left out."""
        answers = []
        for own, before in ((copy.deepcopy(network), self.x), (network, 2 * self.x + per_row(self.sigma, self.x))):
            denoiser = self.part.denoiser(own.train(), self.signal)
            for x in (before, self.x):
                with torch.no_grad(), isolated_global_generator(self.case.seed, "verify.model-contract.forgets"):
                    answer = denoiser(x, self.sigma)
            answers.append(answer)
        self.alike(answers[0], answers[1], "while training, the answers depend on the rows of earlier calls")

    def conditions(self) -> None:
        """Each number of a condition has a say, with its sign, in its own row alone."""
        name, shape = next(iter(self.signal.conds.items()))
        one = torch.arange(self.n) % 2 if shape == () else torch.linspace(-1, 1, 3 * self.n).reshape(self.n, 3)
        others = [torch.where(torch.arange(self.n) == 0, 1 - one, one)] if shape == () else []
        for place in range(math.prod(shape) if shape else 0):
            other = one.clone()
            other[0, place] += 0.7
            others.append(other)
        if shape:
            others.append(torch.cat([-one[:1], one[1:]]))
        denoiser = self.part.denoiser(self.network, self.signal)
        with torch.no_grad():
            first = self.ask(denoiser, self.x, self.sigma, **{name: one})
            for other in others:
                second = self.ask(denoiser, self.x, self.sigma, **{name: other})
                says = not torch.allclose(first[0], second[0], rtol=1e-6)
                require(says, "a condition that the model takes, one of its numbers, or their sign has no effect")
                self.alike(first[1:], second[1:], "a row's answer depends on another row's condition")
            alone = self.ask(denoiser, self.x[:1], self.sigma[:1], **{name: one[:1]})
        nothing_detached(self.network, denoiser, self.x, self.sigma, **{name: one})
        remembers_no_call(self.part, self.network, self.signal, self.x, self.sigma, **{name: one})
        is_one_in_both_modes(self.part, self.network, self.signal, self.x, self.sigma, **{name: one})
        self.heard_in_training(denoiser, self.x, self.sigma, name, one, others[0])
        self.alike(first[:1], alone, "a row's answer depends on another row's condition")

    def classes(self, count: int) -> None:
        """Each of the classes, and "no class", has an answer of its own."""
        denoiser = self.part.denoiser(self.network, self.signal)
        label = torch.arange(count + 1)
        x, sigma = self.x[:1].expand(count + 1, *self.signal.shape).contiguous(), self.sigma[:1].repeat(count + 1)
        with torch.no_grad():
            found = self.ask(denoiser, x, sigma, class_cond=label).flatten(1)
        nothing_detached(self.network, denoiser, x, sigma, class_cond=label)
        remembers_no_call(self.part, self.network, self.signal, x, sigma, class_cond=label)
        is_one_in_both_modes(self.part, self.network, self.signal, x, sigma, class_cond=label)
        self.heard_in_training(denoiser, x, sigma, "class_cond", label, label.roll(1))
        apart = (found.unsqueeze(0) - found.unsqueeze(1)).abs().amax(2) + torch.eye(count + 1)
        require(bool((apart > 1e-6).all()), "two classes, or a class and none, have the same answer")

    def heard_in_training(
        self, denoiser: Denoiser, x: Tensor, sigma: Tensor, name: str, one: Tensor, other: Tensor
    ) -> None:
        """In training mode too a condition has a say: with equal draws, another one gives another answer."""
        self.network.train()
        answers = []
        for value in (one, other):
            with torch.no_grad(), isolated_global_generator(self.case.seed, "verify.model-contract.heard"):
                answers.append(denoiser(x, sigma, **{name: value}))
        self.network.eval()
        heard = not torch.allclose(answers[0], answers[1], rtol=1e-6)
        require(heard, "while training, a condition that the model takes has no effect")

    def alike(self, one: Tensor, other: Tensor, otherwise: str) -> None:
        require(bool(torch.allclose(one, other, rtol=1e-3, atol=1e-3 * float(one.abs().max()))), otherwise)


class _Frozen(ChangedModel):
    """A model that does not learn: wrong on purpose."""

    name = "frozen-control"

    def answer(self, right: Denoiser, x: Tensor, sigma: Tensor, cond: dict[str, Tensor]) -> Tensor:
        """The inner model's, without gradient."""
        with torch.no_grad():
            return right(x, sigma, **cond)
