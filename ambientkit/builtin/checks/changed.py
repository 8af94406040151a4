"""Parts around another part that do one thing differently: what a check's control is made of."""

from __future__ import annotations

from abc import abstractmethod

import torch
from pydantic import InstanceOf
from torch import Tensor, nn

from ambientkit.batch import Batch, View
from ambientkit.interfaces import Corruption, Denoiser, Levels, Model, Signal


class ChangedModel(Model):
    """The network of a model with another denoiser."""

    inner: InstanceOf[Model]

    @abstractmethod
    def answer(self, right: Denoiser, x: Tensor, sigma: Tensor, cond: dict[str, Tensor]) -> Tensor:
        """What the denoiser answers in place of `right(x, sigma, **cond)`."""

    @property
    def classes(self) -> int | None:
        """The inner model's."""
        return self.inner.classes

    def level_range(self) -> Levels | None:
        """The inner model's."""
        return self.inner.level_range()

    def network(self, signal: Signal) -> nn.Module:
        """The inner model's."""
        return self.inner.network(signal)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """The inner model's, with another answer."""
        right = self.inner.denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return self.answer(right, x, sigma, cond)

        return denoise


class OfClassZero(ChangedModel):
    """A model that takes classes, all of whose rows are of class 0: as one that takes none."""

    name = "of-class-0"

    @property
    def classes(self) -> int | None:
        """None."""
        return None

    def network(self, signal: Signal) -> nn.Module:
        """The inner model's, for labelled rows."""
        return self.inner.network(_labelled(signal))

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """The inner model's, for labelled rows."""
        return super().denoiser(network, _labelled(signal))

    def answer(self, right: Denoiser, x: Tensor, sigma: Tensor, cond: dict[str, Tensor]) -> Tensor:
        """The inner model's for class 0."""
        return right(x, sigma, **cond, class_cond=torch.zeros(len(x), dtype=torch.int64, device=x.device))


def _labelled(signal: Signal) -> Signal:
    return Signal(signal.shape, signal.sigma_data, {**signal.conds, "class_cond": ()})


def without_classes(model: Model) -> Model:
    """The model itself, or where it takes classes, so that it refuses rows without, the model of class 0."""
    return model if model.classes is None else OfClassZero(inner=model)


class ChangedCorruption(Corruption):
    """A corruption that observes or degrades differently; `expect` and `floor` are the inner one's."""

    inner: InstanceOf[Corruption]

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return self.inner.expect(x_0_hat, view, batch)

    def floor(self, batch: Batch) -> Tensor:
        """The inner corruption's."""
        return self.inner.floor(batch)
