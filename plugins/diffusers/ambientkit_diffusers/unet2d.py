"""The model `unet2d`: diffusers' `UNet2DModel` under EDM's preconditioning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor, nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Model, Signal
from ambientkit.maths.precondition import SEEN, beside, channels_beside, denoised
from ambientkit_diffusers.library import diffusers

PRESETS: dict[str, tuple[tuple[int, ...], int]] = {
    "tiny": ((32, 64, 64), 1),
    "small": ((64, 128, 128), 2),
    "base": ((128, 256, 256), 3),
}
"""name -> (channels of the stages, residual blocks in each)."""
GROUPS = 32  # of the group normalisation: channels are multiples of it
ATTENDED = 16  # stages with at most this many cells along a side have self-attention

Channels = Annotated[int, Field(ge=GROUPS, multiple_of=GROUPS)]


class UNet2D(Model):
    """diffusers' U-Net `UNet2DModel`, given c_noise = log(sigma) / 4, so that its EDM schedulers sample it.

    D(x, sigma) = c_skip x + c_out F(c_in x, c_noise). Parameters for rows of 1 x 28 x 28: tiny 1.2 million, small 6.8
    million, base 35.8 million. Each stage after the first halves the picture, so height and width must be multiples of
    2^(stages - 1). Takes the condition `class_cond` (an integer label, 0 to num_classes - 1) where `num_classes` is
    given; the label num_classes stands for "no class". Rows that are seen in part bring a mask, which joins the input
    as a further channel.
    """

    name = "unet2d"
    source = "diffusers, UNet2DModel; preconditioning arXiv 2206.00364, table 1"
    claims = frozenset({"denoiser-contract", "edm-preconditioned"})

    preset: Literal["tiny", "small", "base"] = "tiny"
    """Where the values come from that no other field gives."""
    channels: Annotated[tuple[Channels, ...], Field(min_length=1)] | None = None
    """Channels of each stage, finest first."""
    layers_per_block: int | None = Field(None, ge=1)
    """Residual blocks in each stage."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of features dropped while training."""
    num_classes: int | None = Field(None, ge=1)
    """Classes of the condition `class_cond`."""

    def null_cond(self, name: str) -> float | None:
        """The label num_classes."""
        return self.num_classes if name == "class_cond" else None

    def network(self, signal: Signal) -> nn.Module:
        """A fresh `UNet2DModel` for rows (channels, height, width). Raises InputError where shape or conditions do not
        fit."""
        return diffusers().UNet2DModel(**self._arguments(signal))

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """D(x, sigma) for x (B, C, H, W), sigma (B,)."""

        def denoise(x: Tensor, sigma: Tensor, /, class_cond: Tensor | None = None, **cond: Tensor) -> Tensor:
            def answered(y: Tensor, c_noise: Tensor) -> Tensor:
                answer = network(beside(y, cond), c_noise, class_labels=class_cond, return_dict=False)
                return answer if isinstance(answer, Tensor) else answer[0]  # diffusers' networks answer with a tuple

            return denoised(answered, x, sigma, signal.sigma_data, cond)

        return denoise

    def _check_conditions(self, signal: Signal) -> None:
        wanted = {} if self.num_classes is None else {"class_cond": ()}
        if surplus := sorted(set(signal.conds) - set(wanted) - set(SEEN)):
            hint = "leave it out" if wanted else "leave it out, or give num_classes where it is a 'class_cond'"
            raise InputError(f"model {self.name!r} takes no {', '.join(surplus)}, but the data carry it: {hint}")
        if wanted and signal.conds.get("class_cond") != ():
            raise InputError(
                f"model {self.name!r} is given num_classes {self.num_classes}, so it needs one integer label per "
                "row as condition 'class_cond'"
            )

    def _arguments(self, signal: Signal) -> dict[str, Any]:
        if len(signal.shape) != 3 or 0 in signal.shape:
            raise InputError(
                f"model {self.name!r} takes pictures of shape (channels, height, width), but the rows have shape "
                f"{tuple(signal.shape)}: "
                "choose a model for plain rows, such as 'mlp'"
            )
        self._check_conditions(signal)
        colours, height, width = signal.shape
        try:
            told = channels_beside(signal.conds, signal.shape)
        except ValueError as error:
            raise InputError(f"model {self.name!r}: {error}") from None
        channels, layers = PRESETS[self.preset]
        channels = self.channels or channels
        multiple = 2 ** (len(channels) - 1)
        if height % multiple or width % multiple:
            raise InputError(
                f"model {self.name!r} with {len(channels)} stages needs a height and width that are multiples of "
                f"{multiple}, but the rows are "
                f"{height} x {width}: crop or pad them, or give fewer channels"
            )
        attended = [max(height, width) / 2**stage <= ATTENDED for stage in range(len(channels))]
        return {
            "sample_size": height if height == width else (height, width),
            "in_channels": colours + told,
            "out_channels": colours,
            "block_out_channels": channels,
            "layers_per_block": self.layers_per_block or layers,
            "down_block_types": tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attended),
            "up_block_types": tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attended)),
            "attention_head_dim": GROUPS,
            "norm_num_groups": GROUPS,
            "dropout": self.dropout,
            "num_class_embeds": None if self.num_classes is None else self.num_classes + 1,
        }
