"""Calls of networks whose weights are sharded over the processes: one that any process makes, all make.

Torch's `fully_shard` gathers the weights of a block in its forward pass, and again in its backward pass, and then
scatters its gradient: each is an exchange that all processes must take part in, in one order. An objective calls its
denoiser as often as its rows ask for, so that processes disagree about the number of calls, their order, and which of
them have gradients. Here they agree, at the one place where objectives get their denoisers:

- Before each call a process says which call it wants: of which denoiser, with or without a gradient; 0 for none. The
  highest number wins. Who wants it makes its call; every other process makes an empty one, of one row of its own, and
  asks again. When all want none, all are through.
- An answer with a gradient is cut off from the network: autograd sees one node for each call, whose backward pass is
  that of the network. Its order is that of autograd, the latest call first. Every such call, empty ones and ones that
  the loss does not use included, gets a gradient, which may be 0: so all processes make equally many backward passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ambientkit.batch import View
from ambientkit.errors import RunError
from ambientkit.interfaces import Denoiser
from ambientkit.maths.randomness import isolated_global_generator


class _Lent(NamedTuple):
    denoiser: Denoiser
    network: nn.Module
    trained: bool


@dataclass(slots=True)
class _Call:
    """A call with a gradient."""

    number: int
    together: Together
    denoiser: Denoiser
    names: tuple[str, ...]
    leaves: tuple[Tensor, ...] = ()
    answer: Tensor | None = None


class Together:
    """The denoisers of sharded networks, given out so that all processes call them together.

    settle: called after each piece of work with the networks that were called; it gives back what torch still holds of
    their gathered weights. example: a row of this process at a level of its own, for empty calls; taken once.
    """

    def __init__(
        self, device: torch.device, settle: Callable[[Iterable[nn.Module]], None], example: Callable[[], View]
    ) -> None:
        self._device, self._settle, self._example = device, settle, example
        self._seen: View | None = None
        self._lent: list[_Lent] = []
        self._called: set[int] = set()
        self._answers: list[Tensor] = []
        self._open = self._broken = False
        self._awaited = 0
        self._anchor = torch.zeros((), device=device, requires_grad=True)

    def lend(self, denoiser: Denoiser, network: nn.Module) -> Denoiser:
        """The denoiser of a sharded network, to be called within `work`."""
        number = len(self._lent)
        trained = any(parameter.requires_grad for parameter in network.parameters())
        self._lent.append(_Lent(denoiser, network, trained))

        def lent(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            asked = torch.is_grad_enabled() and (
                trained or any(value.requires_grad for value in (x, sigma, *cond.values()))
            )
            if not self._open:
                raise RunError("a denoiser of sharded weights was called outside of a step, in which all must call it")
            wish = 1 + 2 * number + asked
            while (turn := self._agree(wish)) != wish:
                self._empty(turn)
            return self._made(turn, x, sigma, cond)

        return lent

    @contextmanager
    def work(self) -> Iterator[None]:
        """Within the block the denoisers may be called, by each process as often as it likes. All processes must enter
        it together, and leave it together."""
        self._open = True
        try:
            yield
            while turn := self._agree(0):
                self._empty(turn)
        finally:
            self._open = False

    def end(self) -> None:
        """Forget the answers that no gradient was asked for, and the weights that were gathered."""
        self._answers.clear()
        self._settle([self._lent[number].network for number in sorted(self._called)])
        self._called.clear()

    def backward(self, loss: Tensor) -> None:
        """The gradient of a loss of this process by the calls since the last one, as `loss.backward()`, averaged over
        processes. All processes must call it, also where the loss has no gradient here."""
        answers, self._answers = self._answers, []
        roots, gradients = list(answers), [torch.zeros_like(answer) for answer in answers]
        if loss.requires_grad:
            roots.append(loss)
            gradients.append(torch.ones_like(loss))
        self._awaited = len(answers)
        try:
            if roots:
                torch.autograd.backward(roots, gradients)
        finally:
            self._awaited = 0
        self.end()

    def _agree(self, wish: int) -> int:
        if self._broken:
            raise RunError("a call of the sharded weights was broken off, so that processes no longer agree")
        told = torch.tensor([wish], device=self._device)
        torch.distributed.all_reduce(told, op=torch.distributed.ReduceOp.MAX)
        return int(told)

    def _empty(self, turn: int) -> None:
        """Take part in a call of others, without a share in the result: in evaluation mode, so that no statistics and
        no random numbers of this process notice."""
        network = self._lent[(turn - 1) // 2].network
        self._seen = self._seen or self._example()
        modes = [(module, module.training) for module in network.modules()]
        network.eval()
        try:
            with isolated_global_generator(0, "empty call"), torch.set_grad_enabled(turn % 2 == 0):
                self._made(turn, self._seen.x, self._seen.sigma, self._seen.cond)
        finally:
            for module, mode in modes:
                module.training = mode

    def _made(self, turn: int, x: Tensor, sigma: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        which, with_gradient = divmod(turn - 1, 2)
        denoiser = self._lent[which].denoiser
        self._called.add(which)
        self._broken = True
        try:
            if with_gradient:
                call = _Call(len(self._answers), self, denoiser, tuple(cond))
                answer: Tensor = _Apart.apply(call, self._anchor, x, sigma, *cond.values())
                self._answers.append(answer)
            else:
                with torch.no_grad():
                    answer = denoiser(x, sigma, **cond)
        except RuntimeError as error:
            if "DTensor" not in str(error):
                raise
            raise RunError(
                "the weights of a block of this network are used without calling the block, so that FSDP cannot gather "
                "them; name the classes to shard by --fsdp_transformer_layer_cls_to_wrap, or give "
                f"--fsdp_auto_wrap_policy NO_WRAP ({' '.join(str(error).split())[:200]})"
            ) from error
        self._broken = False
        return answer

    def take(self, number: int) -> None:
        """Let the backward pass of a call begin. Raises RunError where it is not its turn."""
        if not self._awaited:
            raise RunError(
                "an objective takes a gradient of the denoiser in its own loss, which is not possible with fully "
                "sharded weights (FSDP 2); start it without, or with --fsdp_version 1"
            )
        self._awaited -= 1
        if number != self._awaited:
            raise RunError("the backward passes of sharded calls came out of order, which no other process would share")


class _Apart(torch.autograd.Function):
    """A call of a denoiser as one node of autograd."""

    @staticmethod
    def forward(ctx: Any, call: _Call, anchor: Tensor, *given: Tensor) -> Tensor:
        """The answer, (B, *S). The anchor is there so that it has a gradient."""
        # x always has one: with and without, torch scatters the gradients of the blocks in another order.
        leaves = [value.detach().requires_grad_(place == 0 or value.requires_grad) for place, value in enumerate(given)]
        with torch.enable_grad():
            x, sigma, *cond = leaves
            answer = call.denoiser(x, sigma, **dict(zip(call.names, cond, strict=True)))
        call.leaves, call.answer = tuple(leaves), answer
        ctx.call = call
        return answer.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """The gradient by what was given; that by the weights is left in them."""
        call: _Call = ctx.call
        call.together.take(call.number)
        assert call.answer is not None  # a call has one backward pass
        torch.autograd.backward([call.answer], list(gradients))
        found = [leaf.grad for leaf in call.leaves]
        call.leaves, call.answer = (), None
        return None, None, *found
