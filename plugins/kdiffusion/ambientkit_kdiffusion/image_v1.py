"""The model `image_v1`: k-diffusion's convolutional U-Net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import one_hot

from ambientkit.errors import InputError
from ambientkit.interfaces import Signal
from ambientkit.proposal import Proposal
from ambientkit_kdiffusion import proposals
from ambientkit_kdiffusion.model import KDiffusionModel, check_classes
from ambientkit_kdiffusion.sizes import check_multiple, patch_for

PRESETS: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    "tiny": ((1, 1, 1), (32, 64, 64), 64),
    "small": ((2, 2, 2), (64, 128, 128), 256),
    "base": ((2, 4, 4), (128, 256, 256), 512),
}
"""name -> (depths, channels, mapping_out)."""
FINEST = 32  # a preset's first stage has at most this many cells along a side; larger pictures are cut into patches
ATTENDED = 16  # stages with at most this many cells along a side have self-attention

PerStage = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]


class ImageV1(KDiffusionModel):
    """k-diffusion's U-Net with self-attention in its coarse stages; pictures need not be square.

    Parameters for rows of 1 x 28 x 28: tiny 0.53 million, small 5.2 million, base 38.8 million. Each stage after the
    first halves the picture, so height and width must be multiples of patch_size 2^(stages - 1), and twice that or
    more. Takes the condition `class_cond` (an integer label, 0 to num_classes - 1) where `num_classes` is given; the
    label num_classes stands for "no class". The network gets it as its `mapping_cond`: a vector of num_classes
    numbers, 1 at the label, and all 0 for none. The augmentation wrapper of a k-diffusion configuration is kept, and
    without augmentation.
    """

    name = "image_v1"

    depths: PerStage | None = None
    """Residual blocks of each stage, finest first."""
    channels: PerStage | None = None
    """Channels of each stage."""
    patch_size: int | None = Field(None, ge=1)
    """Pixels along the side of a patch: the network works on patches as one cell."""

    num_classes: int | None = Field(None, ge=1)
    """Classes of the condition `class_cond`."""

    @model_validator(mode="after")
    def _stages_agree(self) -> ImageV1:
        if self.config is None:
            depths, channels, _ = self._stages()
            if len(depths) != len(channels):
                raise ValueError(
                    f"depths and channels need one value a stage, but are {list(depths)} and {list(channels)}"
                )
        return self

    def _stages(self) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        depths, channels, mapping_out = PRESETS[self.preset or "tiny"]
        return self.depths or depths, self.channels or channels, mapping_out

    def _from_preset(self, shape: tuple[int, int, int]) -> dict[str, Any]:
        colours, *size = shape
        depths, channels, mapping_out = self._stages()
        patch = self.patch_size or patch_for(self.name, (size[0], size[1]), FINEST, halvings=len(depths) - 1)
        model = {
            "type": self.name,
            "input_channels": colours,
            "input_size": size,
            "patch_size": patch,
            "mapping_out": mapping_out,
            "depths": list(depths),
            "channels": list(channels),
            "self_attn_depths": [max(size) / (patch * 2**stage) <= ATTENDED for stage in range(len(depths))],
            "dropout_rate": self.dropout_rate or 0.0,
            "mapping_cond_dim": self.num_classes or 0,
            "augment_wrapper": False,
        }
        return {"model": model}

    @classmethod
    def proposal(cls, shape: tuple[int, ...], conds: Mapping[str, tuple[int, ...]], rows: int) -> Proposal | None:
        """See `proposals.u_net`."""
        return proposals.u_net(shape, conds, rows)

    def null_cond(self, name: str) -> float | None:
        """The label num_classes."""
        return self.num_classes if name == "class_cond" else None

    def _inputs(self, x: Tensor, cond: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self.num_classes is None:
            return dict(cond)
        return {"mapping_cond": one_hot(cond["class_cond"], self.num_classes + 1)[:, : self.num_classes].to(x)}

    def _check(self, resolved: dict[str, Any], shape: tuple[int, int, int], signal: Signal) -> None:
        model = resolved["model"]
        check_classes(self.name, self.num_classes, signal)
        wanted = (
            [key for key in ("mapping_cond_dim", "unet_cond_dim", "cross_cond_dim") if model[key]]
            if self.config
            else []
        )
        if wanted:
            raise InputError(
                f"config of model {self.name!r} asks for conditions ({', '.join(wanted)}), which no data set here "
                "carries"
            )
        halvings = len(model["depths"]) - 1 - model["skip_stages"]
        multiple = model["patch_size"] * 2**halvings
        check_multiple(self.name, shape[1:], (multiple, multiple), least=2 if halvings > 0 else 1)
