"""The corruption `microscope`: pictures blurred by the aperture and the pixels of a microscope, with noise."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from ambientkit.batch import Batch, View
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.hookspecs import hookimpl
from ambientkit.interfaces import Corruption
from ambientkit.maths.noise import RandomSource
from ambientkit.operators import Operator


class Optics(Operator):
    """A x = x * PSF, periodic: an incoherent, aberration-free lens with a round pupil, and square pixels.

    Its transfer function is H(f) = (2 / pi) (acos q - q sqrt(1 - q^2)) sinc(f_x p) sinc(f_y p), q = |f| / f_c, and 0
    above f_c = 2 NA / wavelength; p is the side of a pixel. H is real and even, so that A^T = A.
    """

    name = "optics"
    wavelength: float = Field(520.0, gt=0)
    """Of the light, nm."""
    aperture: float = Field(0.8, gt=0, le=1.7)
    """Numerical aperture NA of the objective."""
    pixel: float = Field(325.0, gt=0)
    """Side of a camera pixel in the specimen, nm: that of the chip over the magnification."""

    def transfer(self, height: int, width: int) -> Tensor:
        """(H, W / 2 + 1), float64, in the layout of `torch.fft.rfft2`."""
        y = torch.fft.fftfreq(height, dtype=torch.float64).unsqueeze(1)  # cycles per pixel
        x = torch.fft.rfftfreq(width, dtype=torch.float64)
        q = (torch.hypot(y, x) * self.wavelength / (2 * self.aperture * self.pixel)).clamp(max=1)
        return 2 / math.pi * (q.acos() - q * (1 - q**2).sqrt()) * torch.sinc(y) * torch.sinc(x)

    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """What the camera would see without noise; rows of one axis are lines of pixels."""
        picture = x if x.ndim > 2 else x.unsqueeze(1)
        size = picture.shape[-2:]
        return torch.fft.irfft2(torch.fft.rfft2(picture) * self.transfer(*size).to(x), s=size).reshape(x.shape)

    adjoint = forward


class Microscope(Corruption):
    """x_n = A x_0 + sigma_n z: A the optics of a wide-field microscope, z the noise of its camera, white.

    All but A is that of the corruption `linear`: each view hides another share `drop` of the pixels, and what they were
    is what the objective learns from. The aperture stops fine detail: where the pixels could show it, no row tells of
    it, and training is refused unless `allow_unseen`.
    """

    name = "microscope"
    source = "J. Goodman, Introduction to Fourier Optics, section 6.3; views: as `linear`"
    claims = Linear.claims
    carries = Linear.carries

    wavelength: float = Field(520.0, gt=0)
    """Of the light, nm."""
    aperture: float = Field(0.8, gt=0, le=1.7)
    """Numerical aperture of the objective."""
    pixel: float = Field(325.0, gt=0)
    """Side of a pixel in the specimen, nm: that of the chip over the magnification."""
    sigma_n: float = Field(0.1, ge=0)
    """Std of the noise, data units."""
    drop: float = Field(0.2, gt=0, lt=1)
    """Share of the pixels that a view hides."""
    allow_unseen: bool = False
    """Whether to train where no row tells of some frequencies."""

    @property
    def operator(self) -> Optics:
        """A, which restoring and sampling ask for."""
        return Optics(wavelength=self.wavelength, aperture=self.aperture, pixel=self.pixel)

    def _linear(self) -> Linear:
        return Linear(operator=self.operator, sigma_n=self.sigma_n, drop=self.drop, allow_unseen=self.allow_unseen)

    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """x_n = A x_0 + sigma_n z, every pixel sampled."""
        return self._linear().observe(x_0, row, generator)

    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A^T y_t, y_t noisier and with fewer pixels. Raises ValueError for a level below a row's own noise."""
        return self._linear().degrade(batch, sigma, generator)

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """A^T y_t with every pixel."""
        return self._linear().show(batch, sigma, generator)

    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """a A x_0_hat + b y_t where a pixel is shown, A x_0_hat where it is hidden."""
        return self._linear().expect(x_0_hat, view, batch)

    def slope(self, view: View, batch: Batch) -> Tensor:
        """a where a pixel is shown, 1 where it is hidden."""
        return self._linear().slope(view, batch)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """min(1 / a^2, cap) where a pixel is shown; elsewhere `hidden` over the chance of that."""
        return self._linear().weight(view, batch, cap, hidden)

    def floor(self, batch: Batch) -> Tensor:
        """(B,), sigma_n."""
        return self._linear().floor(batch)

    def unseen(self, batch: Batch) -> str:
        """The frequencies that the aperture stops, though the pixels could show them."""
        return self._linear().unseen(batch)

    def clean_std(self, batch: Batch) -> float:
        """Of x_0, by what A shows of it."""
        return self._linear().clean_std(batch)


@hookimpl
def register_corruptions() -> list[type[Corruption]]:
    """The corruption of this package."""
    return [Microscope]
