"""Models that are wrong."""

from __future__ import annotations

import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ambientkit.interfaces import Denoiser, Levels, Model, Signal
from ambientkit.maths.noise import per_row
from tests.verification.ninth_kit.nets import Edm, Net

Coefficients = tuple[Tensor, Tensor, Tensor, Tensor]


class LogTen(Edm):
    """c_noise of the decimal logarithm."""

    name = "nine-net-log10"

    def coefficients(self, sigma: Tensor, std: float) -> Coefficients:
        """log10(sigma) / 4."""
        *others, _ = super().coefficients(sigma, std)
        return (*others, sigma.log10() / 4)


class VarianceAsStd(Edm):
    """sigma_data^2 twice in the skip."""

    name = "nine-net-skip-of-variance"

    def coefficients(self, sigma: Tensor, std: float) -> Coefficients:
        """std^2 / (sigma^2 + std) ."""
        _, c_out, c_in, c_noise = super().coefficients(sigma, std)
        return std**2 / (sigma**2 + std), c_out, c_in, c_noise


class UnitData(Edm):
    """The output's scale is that of data of std 1."""

    name = "nine-net-out-of-unit-data"

    def coefficients(self, sigma: Tensor, std: float) -> Coefficients:
        """sigma / sqrt(sigma^2 + 1)."""
        c_skip, _, c_in, c_noise = super().coefficients(sigma, std)
        return c_skip, sigma / (sigma**2 + 1).sqrt(), c_in, c_noise


class ConsistencySkip(Edm):
    """The boundary of consistency models: sigma - epsilon in the place of sigma."""

    name = "nine-net-consistency-boundary"

    def coefficients(self, sigma: Tensor, std: float) -> Coefficients:
        """With epsilon 0.002."""
        _, _, c_in, c_noise = super().coefficients(sigma, std)
        ahead = sigma - 0.002
        return (
            std**2 / (ahead**2 + std**2),
            std * ahead / (sigma**2 + std**2).sqrt(),
            c_in,
            c_noise,
        )


class ClampedLevel(Edm):
    """Levels beyond 50 are taken for 50, in silence."""

    name = "nine-net-level-clamped"

    def coefficients(self, sigma: Tensor, std: float) -> Coefficients:
        """Of levels in [0.01, 50]."""
        return super().coefficients(sigma.clamp(0.01, 50.0), std)


class ClipsInSampling(Edm):
    """Outside of training the estimate is clipped to [-1, 1]."""

    name = "nine-net-clips-in-sampling"

    def denoised(self, network: nn.Module, x: Tensor, sigma: Tensor, std: float, cond: dict[str, Tensor]) -> Tensor:
        """D, clipped unless the network is in training mode."""
        answer = super().denoised(network, x, sigma, std, cond)
        return answer if network.training else answer.clamp(-1, 1)


class Coarse(Edm):
    """Everything in bfloat16, x too."""

    name = "nine-net-bfloat16-skip"

    def denoised(self, network: nn.Module, x: Tensor, sigma: Tensor, std: float, cond: dict[str, Tensor]) -> Tensor:
        """The skip in half precision."""
        return super().denoised(network, x.to(torch.bfloat16).to(x.dtype), sigma, std, cond)


class Cached(Edm):
    """Coefficients are kept for the next call, by the first level."""

    name = "nine-net-cached-coefficients"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """D, with a dictionary of coefficients."""
        kept: dict[tuple[int, float], Coefficients] = {}

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            key = (len(x), float(sigma[0]) if len(x) else 0.0)
            if key not in kept or kept[key][0].dtype != x.dtype:
                kept[key] = self.coefficients(sigma.to(x.dtype), signal.sigma_data)
            c_skip, c_out, c_in, c_noise = kept[key]
            answer = network((per_row(c_in, x) * x).flatten(1), c_noise).reshape(x.shape).to(x.dtype)
            return per_row(c_skip, x) * x + per_row(c_out, x) * answer

        return denoise


class EpsUnscaled(Edm):
    """An epsilon network of the VP family: x is taken for x_vp."""

    name = "nine-net-eps-of-vp"
    claims = frozenset({"denoiser-contract", "eps-form"})

    def denoised(self, network: nn.Module, x: Tensor, sigma: Tensor, std: float, cond: dict[str, Tensor]) -> Tensor:
        """(x - s F) / alpha of x_vp = alpha x, with s for sigma."""
        sigma = sigma.to(x.dtype)
        alpha = per_row(1 / (1 + sigma**2).sqrt(), x)
        answer = network((alpha * x).flatten(1), sigma.log() / 4).reshape(x.shape).to(x.dtype)
        return x - per_row(sigma, x) * alpha * answer


class VUnscaled(Edm):
    """v of the VP family: alpha x - s F, where x is not x_vp."""

    name = "nine-net-v-of-x"
    claims = frozenset({"denoiser-contract", "v-form"})

    def denoised(self, network: nn.Module, x: Tensor, sigma: Tensor, std: float, cond: dict[str, Tensor]) -> Tensor:
        """alpha x - s F."""
        sigma = sigma.to(x.dtype)
        alpha = per_row(1 / (1 + sigma**2).sqrt(), x)
        answer = network((alpha * x).flatten(1), sigma.log() / 4).reshape(x.shape).to(x.dtype)
        return alpha * x - alpha * per_row(sigma, x) * answer


class FlowReversed(Edm):
    """A flow of which t = 1 is the data: x_flow - (1 - t) F."""

    name = "nine-net-flow-reversed"
    claims = frozenset({"denoiser-contract", "flow-form"})

    def denoised(self, network: nn.Module, x: Tensor, sigma: Tensor, std: float, cond: dict[str, Tensor]) -> Tensor:
        """x + (1 - t) v."""
        sigma = sigma.to(x.dtype)
        t = per_row(sigma / (1 + sigma), x)
        answer = network(((1 - t) * x).flatten(1), sigma / (1 + sigma)).reshape(x.shape).to(x.dtype)
        return (1 - t) * x - (1 - t) * answer


class FunctionalDropout(Edm):
    """Dropout of the functional kind, which does not know that training is over."""

    name = "nine-net-dropout-always"

    class Dropping(Net):
        """Always."""

        def inner(self, hidden: Tensor) -> Tensor:
            """F.dropout."""
            return F.dropout(hidden, 0.1)

    net = Dropping


class BatchCentred(Edm):
    """Hidden values are centred over the batch in training."""

    name = "nine-net-centred-in-training"

    class Centring(Net):
        """In training mode."""

        def inner(self, hidden: Tensor) -> Tensor:
            """Less the batch's mean."""
            return hidden - hidden.mean(0) if self.training and len(hidden) > 1 else hidden

    net = Centring


class RunningMax(Edm):
    """A buffer with the largest input so far, by which inputs are divided."""

    name = "nine-net-running-max"

    class Running(Net):
        """Moves in each call."""

        def __init__(self, size: int, classes: int | None = None, width: int = 24) -> None:
            super().__init__(size, classes, width)
            self.largest: Tensor
            self.register_buffer("largest", torch.ones(()))

        def inner(self, hidden: Tensor) -> Tensor:
            """Over the largest."""
            if hidden.numel():
                self.largest.copy_(torch.maximum(self.largest, hidden.detach().abs().max().to(self.largest.dtype)))
            return hidden / self.largest

    net = Running


class Lazy(Edm):
    """A layer whose parameters appear with the first call."""

    name = "nine-net-lazy"

    class Waiting(Net):
        """LazyLinear."""

        def __init__(self, size: int, classes: int | None = None, width: int = 24) -> None:
            super().__init__(size, classes, width)
            self.first = nn.LazyLinear(width)

    net = Waiting


class LateTable(Edm):
    """A table that is made in the first call and kept as a parameter."""

    name = "nine-net-late-parameter"

    class Late(Net):
        """Grows."""

        def inner(self, hidden: Tensor) -> Tensor:
            """With a bias that is made when it is first needed."""
            if not hasattr(self, "late"):
                self.late = nn.Parameter(torch.zeros(hidden.shape[1]))
            return hidden + self.late

    net = Late


class KeepsHidden(Edm):
    """Keeps the last hidden values, for a loss on features."""

    name = "nine-net-keeps-hidden"

    class Keeping(Net):
        """With its graph."""

        def inner(self, hidden: Tensor) -> Tensor:
            """Unchanged."""
            self.last_hidden = hidden
            return hidden

    net = Keeping


_MADE: dict[int, nn.Module] = {}


class Shared(Edm):
    """The network of a size is made once."""

    name = "nine-net-made-once"

    def made(self, size: int) -> nn.Module:
        """From a dictionary."""
        if size not in _MADE:
            _MADE[size] = Net(size)
        return _MADE[size]


class Seeded(Edm):
    """Seeds torch's global generator, so that its networks are reproducible."""

    name = "nine-net-seeds-the-world"

    def made(self, size: int) -> nn.Module:
        """torch.manual_seed(0)."""
        torch.manual_seed(0)
        return Net(size)


class FrozenByClock(Edm):
    """Frozen random features that are drawn anew by the clock."""

    name = "nine-net-frozen-by-clock"

    def made(self, size: int) -> nn.Module:
        """A base of its own seed."""
        net = Net(size)
        g = torch.Generator().manual_seed(time.perf_counter_ns() % 2**31)
        with torch.no_grad():
            net.first.weight.copy_(torch.randn(net.first.weight.shape, generator=g) / size**0.5)
        net.first.weight.requires_grad_(False)
        return net


class EvalInDenoiser(Edm):
    """`denoiser` puts the network into evaluation mode."""

    name = "nine-net-eval-in-denoiser"

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """And leaves it there."""
        network.eval()
        return super().denoiser(network, signal)


class FreezesInDenoiser(Edm):
    """Each call turns gradients off for what is a view of the teacher."""

    name = "nine-net-inference-mode"

    def denoised(self, network: nn.Module, x: Tensor, sigma: Tensor, std: float, cond: dict[str, Tensor]) -> Tensor:
        """No gradient in evaluation mode, where objectives may need one."""
        if network.training:
            return super().denoised(network, x, sigma, std, cond)
        with torch.no_grad():
            return super().denoised(network, x, sigma, std, cond)


class RangeForgotten(Edm):
    """A range of levels that ends below its start."""

    name = "nine-net-range-in-steps"

    def level_range(self) -> Levels | None:
        """In steps of a schedule, not in levels."""
        return Levels(0.0, 999.0)


class WholePicture(Edm):
    """The input is normalised by the row's own std, and the answer is not told of it."""

    name = "nine-net-normalised-input"

    def denoised(self, network: nn.Module, x: Tensor, sigma: Tensor, std: float, cond: dict[str, Tensor]) -> Tensor:
        """c_in x over the std of c_in x."""
        c_skip, c_out, c_in, c_noise = self.coefficients(sigma.to(x.dtype), std)
        y = (per_row(c_in, x) * x).flatten(1)
        y = y / y.std(1, keepdim=True, unbiased=False).clamp(min=1e-3)
        answer = network(y, c_noise).reshape(x.shape).to(x.dtype)
        return per_row(c_skip, x) * x + per_row(c_out, x) * answer


class TimeTable(Edm):
    """The level is told as one of 20 steps, while any level is taken."""

    name = "nine-net-twenty-levels"

    def coefficients(self, sigma: Tensor, std: float) -> Coefficients:
        """c_noise of the nearest step."""
        *others, c_noise = super().coefficients(sigma, std)
        low, high = math.log(0.002) / 4, math.log(80) / 4
        step = ((c_noise - low) / (high - low) * 19).round() / 19
        return (*others, low + step * (high - low))


PARTS: tuple[type[Model], ...] = (
    LogTen,
    VarianceAsStd,
    UnitData,
    ConsistencySkip,
    ClampedLevel,
    ClipsInSampling,
    Coarse,
    Cached,
    EpsUnscaled,
    VUnscaled,
    FlowReversed,
    FunctionalDropout,
    BatchCentred,
    RunningMax,
    Lazy,
    LateTable,
    KeepsHidden,
    Shared,
    Seeded,
    FrozenByClock,
    EvalInDenoiser,
    FreezesInDenoiser,
    RangeForgotten,
    WholePicture,
    TimeTable,
)
