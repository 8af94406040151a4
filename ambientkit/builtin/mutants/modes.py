"""Models that are right in evaluation mode, or without classes, and wrong while they train or with them."""

from __future__ import annotations

import abc

import torch
from pydantic import Field
from torch import Tensor, nn

from ambientkit.builtin.models.mlp import MLP
from ambientkit.interfaces import Denoiser, Model, Mutant, Signal
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.precondition import edm_preconditioning
from ambientkit.maths.randomness import keyed_generator


class ClassMutant(Mutant, Model, abc.ABC):
    """A small `mlp` that takes classes."""

    mutant_of = "mlp"
    claims = MLP.claims

    num_classes: int | None = Field(None, ge=1)
    """Of the condition class_cond."""

    def null_cond(self, name: str) -> float | None:
        return self.num_classes if name == "class_cond" else None

    def network(self, signal: Signal) -> nn.Module:
        return MLP(width=32, num_classes=self.num_classes).network(signal)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        return MLP(width=32, num_classes=self.num_classes).denoiser(network, signal)


class NullIsClassZero(ClassMutant):
    """A model whose rows without a class are of class 0."""

    name = "mlp-null-is-class-0"
    wrong = "null_cond is 0, a class, where num_classes stands for none"

    def null_cond(self, name: str) -> float | None:
        return 0 if name == "class_cond" else None


class NoneHasNoLabel(ClassMutant):
    """A model that takes classes, and has no label for a row without one."""

    name = "mlp-none-has-no-label"
    wrong = "null_cond is None for a class, so that none can be left out, nor guidance be taken"

    def null_cond(self, name: str) -> float | None:
        return None


class LabelDetached(ClassMutant):
    """A model whose embedding of classes is drawn at random and never trained."""

    name = "mlp-label-detached"
    wrong = "the gradient to the embedding of classes is cut"

    def network(self, signal: Signal) -> nn.Module:
        network = super().network(signal)
        if self.num_classes is not None:
            network.get_submodule("encode_class").register_forward_hook(lambda module, args, output: output.detach())
        return network


class LabelsOnlyAfterTraining(ClassMutant):
    """A model that is not shown the classes while it trains."""

    name = "mlp-labels-only-after-training"
    wrong = "in training mode every row is of no class"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        right = super().denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            if network.training:
                cond = {name: torch.full_like(value, self.num_classes or 0) for name, value in cond.items()}
            return right(x, sigma, **cond)

        return denoise


class SkipOnlyAfterTraining(ClassMutant):
    """A model that is trained in one form and asked in another."""

    name = "mlp-skip-only-after-training"
    wrong = "in training mode c_skip x is left out"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        right = super().denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            skip = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data).c_skip
            return right(x, sigma, **cond) - float(network.training) * per_row(skip, x) * x

        return denoise


class NoisyInputInTraining(ClassMutant):
    """A model that adds noise to its network's input, while it trains."""

    name = "mlp-noisy-input-in-training"
    wrong = "in training mode the network sees c_in (x + 0.05 z): at low levels another x"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        right = super().denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            noise = standard_normal(x, keyed_generator(0, "verify.noisy-input"))
            off = 0.05 * noise * float(network.training)
            skip = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data).c_skip
            return right(x + off, sigma, **cond) - per_row(skip, x) * off

        return denoise


class DropsLabelsInTraining(ClassMutant):
    """A model that drops a label now and then by itself, while it trains."""

    name = "mlp-drops-labels-in-training"
    wrong = "in training mode the network gets no class for one row in eleven: that is `cond_dropout`'s to do"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        right = super().denoiser(network, signal)

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            if network.training and self.num_classes is not None:
                dropped = torch.arange(len(x)) % 11 == 9
                none = torch.full_like(cond["class_cond"], self.num_classes)
                cond = {**cond, "class_cond": torch.where(dropped, none, cond["class_cond"])}
            return right(x, sigma, **cond)

        return denoise


class DriftsInTraining(ClassMutant):
    """A model that takes a running mean of its input off, while it trains."""

    name = "mlp-drifts-in-training"
    wrong = "in training mode the answer depends on the rows of earlier calls"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        right = super().denoiser(network, signal)
        running = torch.zeros(())

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            if not network.training:
                return right(x, sigma, **cond)
            # Of the network's input, so that it counts at all levels alike.
            scale = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data).c_in
            running.mul_(0.9).add_(0.1 * (per_row(scale, x) * x).detach().mean())
            return right(x - running / per_row(scale, x), sigma, **cond)

        return denoise


MUTANTS: list[type[Mutant]] = [
    NullIsClassZero,
    NoneHasNoLabel,
    LabelDetached,
    LabelsOnlyAfterTraining,
    SkipOnlyAfterTraining,
    NoisyInputInTraining,
    DropsLabelsInTraining,
    DriftsInTraining,
]
"""Registered by `ambientkit.builtin.plugin`."""
