"""The check `model-contract`: networks that learn, in the modes and dtypes they are given, from the conditions they
take."""

from __future__ import annotations

import contextlib
import copy
import math

import torch
from torch import Tensor, nn

from ambientkit.builtin.checks.changed import ChangedModel
from ambientkit.builtin.checks.labelled import Broken, global_state, require
from ambientkit.builtin.checks.outcome import exact
from ambientkit.errors import InputError
from ambientkit.interfaces import CONTRACT, Case, Check, Denoiser, Measured, Model, Part, Signal
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator

SHAPES: tuple[tuple[int, ...], ...] = ((2,), (1, 16, 16), (3, 32, 32), (1, 64, 64))
"""Of rows, one of which a model should take."""
CONDS: dict[str, tuple[int, ...]] = {"shift": (3,)}


class ModelContract(Check):
    """A model keeps the contract of `Model` and `Denoiser`: for rows of every shape it takes, with conditions if it takes any.

    A fresh network each time, whose parameters differ and nearly all of which are reached by the gradient; a denoiser
    of the very network it was given, that leaves its mode, its parameters and the inputs as they are, answers in shape
    and dtype of x (float32; float64 where the network can be cast), row by row, for 1 row too, and in evaluation mode
    twice the same. Each level and condition has a say in its own row. A shape or condition that the model does not take
    is refused with InputError by `network`.
    """

    name = "model-contract"
    source = "the contracts of `Model` and `Denoiser`"
    kind = "model"
    claim = CONTRACT
    null_law = "exact: nothing wrong beyond rounding"
    detects = "a missing gradient, a level or condition without effect or of another row, a wrong shape, dtype or mode, a network that is not the one given"
    meaning = "The network does not learn what it should, or the run does not train, average and save the network that it asks."
    quick = True

    def measure(self, part: Part, case: Case) -> Measured:
        """0, or infinity with what is wrong."""
        assert isinstance(part, Model)
        taken = 0
        try:
            for shape in (
                SHAPES[:2] if self._takes(part, case, SHAPES[0]) or self._takes(part, case, SHAPES[1]) else SHAPES[2:]
            ):
                if self._takes(part, case, shape):
                    taken += 1
                    _Tried(part, case, Signal(shape, 0.7)).all()
            plain = next((shape for shape in SHAPES if self._takes(part, case, shape)), None)
            require(plain is not None, "no shape of rows that was tried is taken: " + ", ".join(map(str, SHAPES)))
            self._conditions(part, case, plain or ())
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

    def _takes(self, part: Model, case: Case, shape: tuple[int, ...]) -> bool:
        return _network(part, case, Signal(shape, 0.7)) is not None


def _network(part: Model, case: Case, signal: Signal, index: int = 0) -> nn.Module | None:
    """A fresh network, or None where the model refuses the signal."""
    try:
        with isolated_global_generator(case.seed, "verify.model-contract", step=index):
            return part.network(signal)
    except InputError:
        return None


def stirred(network: nn.Module, case: Case) -> nn.Module:
    """The network with its parameters moved at random, so that none is 0, in evaluation mode."""
    with isolated_global_generator(case.seed, "verify.model-contract.stir"), torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.default_generator).to(parameter))
    return network.eval()


def tensor_of(output: object) -> Tensor:
    """What a network answers: a tensor, or the first one of a tuple or of a record such as those of diffusers."""
    if isinstance(output, Tensor):
        return output
    values = (
        list(output.values()) if isinstance(output, dict) else list(output) if isinstance(output, tuple | list) else []
    )
    return next(value for value in values if isinstance(value, Tensor))


class _Tried:
    """One model on one kind of rows."""

    def __init__(self, part: Model, case: Case, signal: Signal) -> None:
        self.part, self.case, self.signal = part, case, signal
        fresh = _network(part, case, signal)
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
        self.level_matters(denoiser)
        self.learns()
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
        require(not alike, "two networks begin with the same parameters whatever the seed, or have none")
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
        """What the network is told besides its input, the level, changes its answer to the same input."""
        calls: list[tuple[tuple, dict]] = []
        hook = self.network.register_forward_pre_hook(
            lambda module, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
        )
        try:
            with torch.no_grad():
                levels = torch.tensor([0.002, 0.3, 0.05, 1.1, 80.0, 4.0])
                self.ask(denoiser, self.x[torch.arange(6) % self.n], levels)
        finally:
            hook.remove()
        if len(calls) != 1:
            return
        (y, *rest), named = calls[0]

        def rolled(value: object) -> object:
            return value.roll(1, 0) if isinstance(value, Tensor) and value.ndim and len(value) == 6 else value

        require(
            any(rolled(value) is not value for value in [*rest, *named.values()]), "the network is not told the level"
        )
        with torch.no_grad():
            one = tensor_of(self.network(y, *rest, **named))
            other = tensor_of(
                self.network(y, *map(rolled, rest), **{name: rolled(value) for name, value in named.items()})
            )
        require(float((one - other).abs().max()) > 1e-6, "what the network is told of the level has no effect")

    def learns(self) -> None:
        network = copy.deepcopy(self.network)
        target = [parameter for parameter in network.parameters() if parameter.requires_grad]
        require(bool(target), "the network has no parameter that can be trained")
        denoiser = self.part.denoiser(network, self.signal)
        with isolated_global_generator(self.case.seed, "verify.model-contract.learn"):
            answer = denoiser(self.x, self.sigma)
        require(answer.requires_grad, "no gradient reaches the network")
        weights = torch.randn(answer.shape, generator=keyed_generator(self.case.seed, "verify.model-contract.weights"))
        grads = torch.autograd.grad((answer * weights).sum(), target, allow_unused=True)
        total = sum(parameter.numel() for parameter in target)
        reached = sum(int(grad.ne(0).any()) * grad.numel() for grad in grads if grad is not None)
        require(reached >= 0.9 * total, f"the gradient reaches only {reached / total:.0%} of the network's parameters")
        x = self.x.clone().requires_grad_()
        answer = denoiser(x, self.sigma)
        (slope,) = torch.autograd.grad(answer[0].sum(), x)
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

    def conditions(self) -> None:
        """Each condition has a say in its own row alone."""
        name, shape = next(iter(self.signal.conds.items()))
        one = torch.arange(self.n) % 2 if shape == () else torch.linspace(-1, 1, 3 * self.n).reshape(self.n, 3)
        other = one.clone()
        other[0] = 1 - one[0] if shape == () else one[0] + 0.7
        denoiser = self.part.denoiser(self.network, self.signal)
        with torch.no_grad():
            first, second = (self.ask(denoiser, self.x, self.sigma, **{name: value}) for value in (one, other))
            alone = self.ask(denoiser, self.x[:1], self.sigma[:1], **{name: one[:1]})
        require(not torch.allclose(first[0], second[0], rtol=1e-6), "a condition that the model takes has no effect")
        self.alike(first[1:], second[1:], "a row's answer depends on another row's condition")
        self.alike(first[:1], alone, "a row's answer depends on another row's condition")

    def alike(self, one: Tensor, other: Tensor, otherwise: str) -> None:
        require(bool(torch.allclose(one, other, rtol=1e-3, atol=1e-3 * float(one.abs().max()))), otherwise)


class _Frozen(ChangedModel):
    """A model that does not learn: wrong on purpose."""

    name = "frozen-control"

    def answer(self, right: Denoiser, x: Tensor, sigma: Tensor, cond: dict[str, Tensor]) -> Tensor:
        """The inner model's, without gradient."""
        with torch.no_grad():
            return right(x, sigma, **cond)
