"""Corruptions that measure through operators."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import SerializeAsAny
from torch import Tensor

from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.maths.ambient import top_up
from ambientkit.maths.noise import standard_normal
from ambientkit.operators import Operator
from ambientkit.operators.blur import Blur
from ambientkit.operators.downsample import Downsample
from ambientkit.operators.fourier import Fourier, as_complex, as_pairs
from tests.verification.sixth_kit.marks import Marked, marked

WRONG: Marked = []
RIGHT: Marked = []


Given = Mapping[str, Tensor]


class Ramp(Blur):
    """A one-sided point spread function along the last axis: 0.5, 0.3, 0.2 to the right."""

    name = "ramp"

    def forward(self, x: Tensor, given: Given) -> Tensor:
        return 0.5 * x + 0.3 * x.roll(1, -1) + 0.2 * x.roll(2, -1)

    def adjoint(self, y: Tensor, given: Given) -> Tensor:
        return 0.5 * y + 0.3 * y.roll(-1, -1) + 0.2 * y.roll(-2, -1)


@marked(RIGHT, "an operator of one's own, one-sided, with its transpose")
class OneSidedBlur(Linear):
    name = "six-one-sided-blur"
    operator: SerializeAsAny[Operator] = Ramp()
    sigma_n: float = 0.1


@marked(RIGHT, "k-space of four coils, lines missing, noisy")
class FourCoils(Linear):
    name = "six-four-coils"
    operator: SerializeAsAny[Operator] = Fourier(coils=4)
    kind: str = "columns"
    missing: float = 0.4
    centre: float = 0.2
    sigma_n: tuple[float, float] = (0.0, 0.2)


class Convolved(Ramp):
    name = "convolved"

    def adjoint(self, y: Tensor, given: Given) -> Tensor:
        return self.forward(y, given)


@marked(WRONG, "the transpose of a one-sided blur convolves again, instead of correlating")
class NotCorrelated(Linear):
    name = "six-not-correlated"
    operator: SerializeAsAny[Operator] = Convolved()


class Inverse(Ramp):
    name = "inverse"

    def adjoint(self, y: Tensor, given: Given) -> Tensor:
        n = y.shape[-1]
        kernel = torch.zeros(n, dtype=y.dtype)
        kernel[:3] = torch.tensor([0.5, 0.3, 0.2], dtype=y.dtype)
        return torch.fft.irfft(torch.fft.rfft(y) / torch.fft.rfft(kernel), n=n)


@marked(WRONG, "the inverse stands where the transpose should")
class InverseForTranspose(Linear):
    name = "six-inverse"
    operator: SerializeAsAny[Operator] = Inverse()


class NotConjugated(Fourier):
    name = "not-conjugated"

    def adjoint(self, y: Tensor, given: Given) -> Tensor:
        k = torch.fft.ifftshift(as_complex(y), dim=(-2, -1))
        pictures = torch.fft.fftshift(torch.fft.ifft2(k, norm="ortho"), dim=(-2, -1)) * self._maps(y, given)
        both = as_pairs(pictures.sum(1, keepdim=True))
        return both[:, :1] if self.real else both


@marked(WRONG, "the maps of the coils are not conjugated in the transpose")
class CoilsNotConjugated(Linear):
    name = "six-coils-not-conjugated"
    operator: SerializeAsAny[Operator] = NotConjugated(coils=4)


class NoShift(Fourier):
    name = "no-shift"

    def adjoint(self, y: Tensor, given: Given) -> Tensor:
        pictures = torch.fft.fftshift(torch.fft.ifft2(as_complex(y), norm="ortho"), dim=(-2, -1))
        both = as_pairs((pictures * self._maps(y, given).conj()).sum(1, keepdim=True))
        return both[:, :1] if self.real else both


@marked(WRONG, "an ifftshift is missing in the transpose")
class ShiftMissing(Linear):
    name = "six-shift-missing"
    operator: SerializeAsAny[Operator] = NoShift()


class Backward(Fourier):
    name = "backward"

    def adjoint(self, y: Tensor, given: Given) -> Tensor:
        return super().adjoint(y, given) / (y.shape[-1] * y.shape[-2]) ** 0.5


@marked(WRONG, "the transpose has the norm of another convention, 1/sqrt(HW) too small")
class WrongNorm(Linear):
    name = "six-wrong-norm"
    operator: SerializeAsAny[Operator] = Backward()


class Unscaled(Downsample):
    name = "unscaled"

    def adjoint(self, y: Tensor, given: Given) -> Tensor:
        return super().adjoint(y, given) * self.factor


@marked(WRONG, "upsampling repeats values, without the factor of the transpose")
class UpsampledUnscaled(Linear):
    name = "six-upsampled"
    operator: SerializeAsAny[Operator] = Unscaled()


class Offset(Ramp):
    name = "offset"

    def forward(self, x: Tensor, given: Given) -> Tensor:
        return super().forward(x, given) + 0.05


@marked(WRONG, "the operator adds the dark current: it is affine, not linear")
class DarkCurrent(Linear):
    name = "six-dark-current"
    operator: SerializeAsAny[Operator] = Offset()


class Saturating(Ramp):
    name = "saturating"

    def forward(self, x: Tensor, given: Given) -> Tensor:
        return 1.5 * torch.tanh(super().forward(x, given) / 1.5)


@marked(WRONG, "the operator saturates: it is not linear")
class Saturates(Linear):
    name = "six-saturates"
    operator: SerializeAsAny[Operator] = Saturating()


@marked(WRONG, "expect mixes in the back-projection A^T y where the measurements belong")
class MixesBackProjection(Linear):
    name = "six-mixes-back-projection"
    operator: SerializeAsAny[Operator] = Ramp()
    sigma_n: float = 0.2

    def expect(self, x_0_hat, view, batch):
        told = {**view.cond, "measured": view.x.reshape(batch.x_n.shape)}
        return super().expect(x_0_hat, view._replace(cond=told), batch)


@marked(WRONG, "hidden measurements are expected as x_0_hat, without A")
class WithoutOperator(Linear):
    name = "six-without-operator"
    operator: SerializeAsAny[Operator] = Ramp()

    def expect(self, x_0_hat, view, batch):
        whole = super().expect(x_0_hat, view, batch)
        hidden = batch.cond["sampled"] & ~view.cond["sampled"]
        return torch.where(hidden, x_0_hat.reshape(whole.shape), whole)


@marked(WRONG, "the missing noise is added to A^T y, as to a picture, not to the measurements")
class NoiseInPicture(Linear):
    name = "six-noise-in-picture"
    operator: SerializeAsAny[Operator] = Ramp()
    sigma_n: float = 0.2

    def _view(self, batch, sigma, shown, generator):
        view = super()._view(batch, self.floor(batch).clamp(min=1e-6), shown, generator)
        return view._replace(x=top_up(view.x, batch.sigma_n, sigma, generator), sigma=sigma)


@marked(WRONG, "the view shows every measurement of the row")
class ShowsEvery(Linear):
    name = "six-shows-every"

    def degrade(self, batch, sigma, generator):
        return self.show(batch, sigma, generator)


@marked(WRONG, "the condition `measured` holds the row's measurements, less noisy than the view")
class MeasuredTooWell(Linear):
    name = "six-measured-too-well"
    sigma_n: float = 0.1

    def _view(self, batch, sigma, shown, generator):
        view = super()._view(batch, sigma, shown, generator)
        return view._replace(cond={**view.cond, "measured": torch.where(shown, batch.x_n, 0.0)})


@marked(WRONG, "complex noise: half of the variance in each part, the whole declared")
class HalfInEach(Linear):
    name = "six-half-in-each"
    operator: SerializeAsAny[Operator] = Fourier()
    sigma_n: float = 0.2

    def observe(self, x_0, row, generator):
        clean = Linear.observe(self.model_copy(update={"sigma_n": 0.0}), x_0, row, generator)
        noise = self.sigma_n / 2**0.5 * standard_normal(clean.x_n, generator)
        x_n = torch.where(clean.cond["sampled"], clean.x_n + noise, 0.0)
        return clean._replace(x_n=x_n, sigma_n=torch.full_like(clean.sigma_n, self.sigma_n))


@marked(WRONG, "the coverage of each measurement, missing ones too, counts")
class CountsAll(Linear):
    name = "six-counts-all"
    missing: float = 0.4

    def weight(self, view, batch, cap, hidden):
        weight = super().weight(view, batch, cap, hidden)
        return weight.clamp(min=float(weight[weight > 0].min()))
