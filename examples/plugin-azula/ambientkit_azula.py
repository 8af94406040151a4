"""The model `azula-unet`: the U-Net of azula, under EDM's preconditioning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator
from torch import Tensor, nn

from ambientkit.errors import InputError
from ambientkit.hookspecs import hookimpl
from ambientkit.interfaces import Denoiser, Model, Signal
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import edm_preconditioning
from ambientkit.proposal import Proposal

PerStage = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]


class AzulaUNet(Model):
    """azula's modulated U-Net: D(x, sigma) = c_skip x + c_out F(c_in x, e), e a sine encoding of log(sigma) / 4.

    azula's `KarrasDenoiser` is the same for data of std 1; here the coefficients know sigma_data. Each stage after the
    first halves the picture, so that height and width must be multiples of 2^(stages - 1). Takes no conditions.
    """

    name = "azula-unet"
    source = "azula (F. Rozet); preconditioning: arXiv 2206.00364, table 1"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    channels: PerStage = (32, 64, 128)
    """Channels of each stage, finest first."""
    blocks: PerStage = (2, 2, 2)
    """Residual blocks of each stage."""
    features: int = Field(64, ge=2, multiple_of=2)
    """Numbers that give the network its noise level."""

    @model_validator(mode="after")
    def _stages_agree(self) -> AzulaUNet:
        if len(self.channels) != len(self.blocks):
            raise ValueError("channels and blocks need one value per stage")
        return self

    def network(self, signal: Signal) -> nn.Module:
        """A fresh network. Raises InputError for rows that are no pictures of such a size, and for conditions."""
        if signal.conds:
            raise InputError(f"model 'azula-unet' takes no conditions, but the data carry {sorted(signal.conds)}")
        multiple = 2 ** (len(self.channels) - 1)
        if len(signal.shape) != 3 or any(side % multiple for side in signal.shape[1:]):
            raise InputError(
                f"model 'azula-unet' takes pictures (C, H, W) whose sides are multiples of {multiple}, not "
                f"{tuple(signal.shape)}: give fewer stages, or another model"
            )
        return Modulated(signal.shape[0], self)

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """D(x, sigma) for x (B, C, H, W), sigma (B,)."""

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            c = edm_preconditioning(sigma.to(x.dtype), signal.sigma_data)
            output = network(per_row(c.c_in, x) * x, c.c_noise).to(x.dtype)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * output

        return denoise

    @classmethod
    def proposal(cls, shape: tuple[int, ...], conds: Mapping[str, tuple[int, ...]], rows: int) -> Proposal | None:
        """Not offered: who wants it names it."""
        return None


class Modulated(nn.Module):
    """F(y, c_noise): azula's U-Net, modulated by a sine encoding of the level through two layers."""

    def __init__(self, colours: int, model: AzulaUNet) -> None:
        super().__init__()
        from azula.nn.layers import SineEncoding  # inside: listing the parts stays quick
        from azula.nn.unet import UNet

        size = model.features
        self.level = nn.Sequential(SineEncoding(size, omega=100), nn.Linear(size, size), nn.SiLU())
        self.unet = UNet(colours, colours, hid_channels=model.channels, hid_blocks=model.blocks, mod_features=size)

    def forward(self, y: Tensor, c_noise: Tensor) -> Tensor:
        return self.unet(y, self.level(100 * c_noise))


@hookimpl
def register_models() -> list[type[Model]]:
    """The model of this package."""
    return [AzulaUNet]
