"""Parts around another part that do one thing differently: what a check's control is made of."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import InstanceOf
from torch import Tensor, nn

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Corruption, Denoiser, Model, Signal


class ChangedModel(Model):
    """The network of a model with another denoiser."""

    inner: InstanceOf[Model]

    @abstractmethod
    def answer(self, right: Denoiser, x: Tensor, sigma: Tensor, cond: dict[str, Tensor]) -> Tensor:
        """What the denoiser answers in place of `right(x, sigma, **cond)`."""

    def network(self, signal: Signal) -> nn.Module:
        """The inner model's."""
        return self.inner.network(signal)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """The inner model's, with another answer."""
        right = self.inner.denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return self.answer(right, x, sigma, cond)

        return denoise


class ChangedCorruption(Corruption):
    """A corruption that observes or degrades differently; `expect` and `floor` are the inner one's."""

    inner: InstanceOf[Corruption]

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return self.inner.expect(x_0_hat, view, batch)

    def floor(self, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return self.inner.floor(batch)
