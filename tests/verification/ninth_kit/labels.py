"""Models with classes that are wrong."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ambientkit.interfaces import Model, Signal
from tests.verification.ninth_kit.nets import Labelled, Net


class LabelsFrozen(Labelled):
    """The embedding of the label gets no gradient."""

    name = "nine-net-labels-without-gradient"

    class Still(Net):
        """Under no_grad."""

        def told(self, label: Tensor) -> Tensor:
            """Detached."""
            return super().told(label).detach()

    net = Still


class NullMissing(Labelled):
    """One row too few in the embedding: no room for the null label."""

    name = "nine-net-no-room-for-null"

    class Short(Net):
        """classes rows."""

        def __init__(self, size: int, classes: int | None = None, width: int = 24) -> None:
            super().__init__(size, classes, width)
            self.label = None if classes is None else nn.Embedding(classes, width)

    net = Short


class NullIsLast(Labelled):
    """Labels are clamped to those that there are."""

    name = "nine-net-null-is-last-class"

    class Clamping(Net):
        """min(label, classes - 1)."""

        def told(self, label: Tensor) -> Tensor:
            """Of a label below classes."""
            assert self.label is not None
            return self.label(label.clamp(max=self.label.num_embeddings - 2))

    net = Clamping


class NullIsZero(Labelled):
    """The null label is the first class."""

    name = "nine-net-null-is-first-class"

    def null_cond(self, name: str) -> float | None:
        """0."""
        return 0 if name == "class_cond" else None


class LabelsInTraining(Labelled):
    """Labels are read in training mode only."""

    name = "nine-net-labels-in-training"

    class Reading(Net):
        """In training mode."""

        def told(self, label: Tensor) -> Tensor:
            """Or nothing."""
            return super().told(label) if self.training else torch.zeros_like(super().told(label))

    net = Reading


class LabelOfFirst(Labelled):
    """The label of the first row speaks for the batch."""

    name = "nine-net-label-of-first-row"

    class First(Net):
        """label[:1]."""

        def told(self, label: Tensor) -> Tensor:
            """Of the first."""
            return super().told(label[:1])

    net = First


class GuidedInside(Labelled):
    """Guidance of its own in evaluation mode."""

    name = "nine-net-guides-inside"

    def denoised(self, network: nn.Module, x: Tensor, sigma: Tensor, std: float, cond: dict[str, Tensor]) -> Tensor:
        """D_0 + 2 (D_c - D_0)."""
        answer = super().denoised(network, x, sigma, std, cond)
        if network.training or self.num_classes is None:
            return answer
        null = torch.full_like(cond["class_cond"], self.num_classes)
        other = super().denoised(network, x, sigma, std, {"class_cond": null})
        return other + 2 * (answer - other)


class PopsConditions(Labelled):
    """Takes the label out of the conditions that it is given."""

    name = "nine-net-takes-condition-away"

    def network(self, signal: Signal) -> nn.Module:
        """And from the signal."""
        made = super().network(signal)
        if isinstance(signal.conds, dict):
            signal.conds.pop("class_cond", None)
        return made


PARTS: tuple[type[Model], ...] = (
    LabelsFrozen,
    NullMissing,
    NullIsLast,
    NullIsZero,
    LabelsInTraining,
    LabelOfFirst,
    GuidedInside,
    PopsConditions,
)
