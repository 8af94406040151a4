"""Wrong models."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Signal
from ambientkit.maths.noise import per_row

from ..seventeenth_kit.bases_models import Eps, Plain, Small, V, Velocity


class SkipOfSums(Small):
    """c_skip = sigma_data^2 / (sigma + sigma_data)^2: the sum was squared."""

    name = "kit20-skip-over-a-squared-sum"

    def coefficients(self, sigma, std):
        _, out, into, told = super().coefficients(sigma, std)
        return std**2 / (sigma + std) ** 2, out, into, told


class SkipWithRoot(Small):
    """c_skip = sigma_data / sqrt(sigma^2 + sigma_data^2), the root of the right one."""

    name = "kit20-skip-with-a-root"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip.sqrt(), out, into, told


class SkipOfOne(Small):
    """D = x + c_out F: the skip is 1, as in a residual network."""

    name = "kit20-skip-of-one"

    def coefficients(self, sigma, std):
        _, out, into, told = super().coefficients(sigma, std)
        return torch.ones_like(sigma), out, into, told


class OutOfSums(Small):
    """c_out = sigma sigma_data / (sigma + sigma_data): stds were added, not variances."""

    name = "kit20-out-over-a-sum-of-stds"

    def coefficients(self, sigma, std):
        skip, _, into, told = super().coefficients(sigma, std)
        return skip, sigma * std / (sigma + std), into, told


class OutMore(Small):
    """c_out is a tenth too large, a constant of another program's targets."""

    name = "kit20-out-a-tenth-more"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, 1.1 * out, into, told


class InWithoutRoot(Small):
    """c_in = 1 / (sigma^2 + sigma_data^2), without the root."""

    name = "kit20-in-without-the-root"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, out, into**2, told


class InOfSums(Small):
    """c_in = 1 / (sigma + sigma_data), the scale of a flow."""

    name = "kit20-in-over-a-sum-of-stds"

    def coefficients(self, sigma, std):
        skip, out, _, told = super().coefficients(sigma, std)
        return skip, out, 1 / (sigma + std), told


class ToldBaseTwo(Small):
    """c_noise is a logarithm to the base 2 over 4."""

    name = "kit20-told-log-to-the-base-two"

    def coefficients(self, sigma, std):
        skip, out, into, _ = super().coefficients(sigma, std)
        return skip, out, into, sigma.log2() / 4


class ToldSigma(Small):
    """The network is told sigma itself."""

    name = "kit20-told-sigma"

    def coefficients(self, sigma, std):
        skip, out, into, _ = super().coefficients(sigma, std)
        return skip, out, into, sigma


class OfConsistencyModels(Small):
    """c_skip and c_out are those of consistency models, with sigma - 0.02 for sigma, and EDM's are claimed."""

    name = "kit20-coefficients-of-consistency-models"

    def coefficients(self, sigma, std):
        _, out, into, told = super().coefficients(sigma, std)
        less = sigma - 0.02
        return std**2 / (less**2 + std**2), out * less / sigma, into, told


class AcrossRows(Small):
    """An attention layer takes the rows of a batch for a sequence: each answer holds a tenth of all others."""

    name = "kit20-attends-across-rows"

    def call(self, network, y, told):
        found = super().call(network, y, told)
        return 0.9 * found + 0.1 * found.mean(0, keepdim=True)


class NoGradient(Small):
    """The denoiser is made under `no_grad`, left over from sampling."""

    name = "kit20-answers-without-gradient"

    def mixed(self, x, sigma, network, std):
        with torch.no_grad():
            return super().mixed(x, sigma, network, std)


class ScalesInPlace(Small):
    """The input is multiplied by c_in in place, and back, so that the caller's points are rounded anew, or lost."""

    name = "kit20-scales-its-input-in-place"

    def mixed(self, x, sigma, network, std):
        answer = super().mixed(x, sigma, network, std)
        x.data.mul_(per_row(self.coefficients(sigma, std)[2], x))
        return answer


class NoisyInput(Small):
    """A little noise is added to the input of the network in training and in sampling, a regularisation."""

    name = "kit20-input-with-noise"

    def call(self, network, y, told):
        return super().call(network, y + 0.1 * torch.randn_like(y), told)


class HalvesOfGuidance(Small):
    """The batch is taken for two halves, and the second one is told the levels of the first, as under guidance."""

    name = "kit20-second-half-told-the-first-half-s-levels"

    def mixed(self, x, sigma, network, std):
        half = len(sigma) // 2
        sigma = torch.cat([sigma[: len(sigma) - half], sigma[:half]])
        return super().mixed(x, sigma, network, std)


class EpsScaled(Eps):
    """D = x - sigma alpha F: the noise was scaled as in a variance-preserving view."""

    name = "kit20-eps-times-s"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, out / torch.hypot(torch.ones_like(sigma), sigma), into, told


class EpsOfPercent(Eps):
    """D = x - sigma F / 1.08: the noise was calibrated with another dispersion."""

    name = "kit20-eps-eight-percent-less"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, out / 1.08, into, told


class VAlphaTwice(V):
    """D = alpha^2 x - s alpha F: alpha counts twice in the second term."""

    name = "kit20-v-with-alpha-twice"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, out * into, into, told


class VOfFlow(V):
    """D = alpha^2 x - s F with alpha = 1 / (1 + sigma) and s = sigma alpha, which are those of a flow."""

    name = "kit20-v-with-a-flow-s-alpha"

    def coefficients(self, sigma, std):
        _, _, into, told = super().coefficients(sigma, std)
        alpha = 1 / (1 + sigma)
        return alpha**2, -sigma * alpha, into, told


class VelocitySquared(Velocity):
    """D = x / (1 + sigma) - sigma F / (1 + sigma)^2: the answer was scaled to the flow twice."""

    name = "kit20-velocity-over-the-square"

    def coefficients(self, sigma, std):
        skip, out, into, told = super().coefficients(sigma, std)
        return skip, out * into, into, told


class VelocityShifted(Velocity):
    """The shifted time of a published flow, 3 t / (1 + 2 t), takes the place of t in the formula too."""

    name = "kit20-velocity-with-a-shifted-time"

    def coefficients(self, sigma, std):
        skip, _, into, told = super().coefficients(sigma, std)
        time = 3 * told / (1 + 2 * told)
        return skip, -time, into, time


class MeanAddedBack(Plain):
    """The mean of the noisy row is added to the answer, as rows were centred by it in training."""

    name = "kit20-x-0-plus-the-mean-of-the-row"

    def mixed(self, x, sigma, network, std):
        return super().mixed(x, sigma, network, std) + per_row(x.flatten(1).mean(1), x)


class LayersOfClasses(nn.Module):
    """Layers that are told a number for each class, and for none, beside the level."""

    def __init__(self, inner, classes):
        super().__init__()
        self.inner, self.of_class = inner, nn.Embedding(classes + 1, 1)

    def forward(self, y, told, label):
        return self.inner(y, told + self.of_class(label).squeeze(1).to(told))


class WithClasses(Small):
    """A base: four classes and none."""

    name = "kit20-base-classes"

    num_classes: int = Field(4, ge=1)
    """Classes of the condition `class_cond`."""

    def network(self, signal):
        if dict(signal.conds) != {"class_cond": ()}:
            raise InputError(f"model {self.name!r} takes class_cond (), and nothing else")
        return LayersOfClasses(super().network(Signal(signal.shape, signal.sigma_data)), self.num_classes)

    def null_cond(self, name):
        return self.num_classes if name == "class_cond" else None

    def label(self, label):
        return label

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            label = self.label(cond["class_cond"])
            return self.mixed(x, sigma.to(x.dtype), lambda y, told: network(y, told, label), signal.sigma_data)

        return denoise


class NoClassIsLast(WithClasses):
    """The label for no class is the last class, as labels were counted from one."""

    name = "kit20-no-class-is-the-last"

    def null_cond(self, name):
        return self.num_classes - 1 if name == "class_cond" else None


class DropsLabels(WithClasses):
    """The denoiser itself puts a third of the labels to none, at random, in sampling as well."""

    name = "kit20-drops-labels-itself"

    def label(self, label):
        drop = torch.rand(len(label), device=label.device) < 1 / 3
        return torch.where(drop, torch.full_like(label, self.num_classes), label)


WRONG = [
    part()
    for part in (
        SkipOfSums,
        SkipWithRoot,
        SkipOfOne,
        OutOfSums,
        OutMore,
        InWithoutRoot,
        InOfSums,
        ToldBaseTwo,
        ToldSigma,
        OfConsistencyModels,
        AcrossRows,
        NoGradient,
        ScalesInPlace,
        NoisyInput,
        HalvesOfGuidance,
        EpsScaled,
        EpsOfPercent,
        VAlphaTwice,
        VOfFlow,
        VelocitySquared,
        VelocityShifted,
        MeanAddedBack,
        NoClassIsLast,
        DropsLabels,
    )
]
