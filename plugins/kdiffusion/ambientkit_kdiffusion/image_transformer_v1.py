"""The model `image_transformer_v1`: k-diffusion's vision transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.interfaces import Signal
from ambientkit.proposal import Proposal
from ambientkit_kdiffusion import proposals
from ambientkit_kdiffusion.json_config import sections
from ambientkit_kdiffusion.model import KDiffusionModel, check_classes
from ambientkit_kdiffusion.sizes import check_multiple, patch_for

HEAD = 64  # features of a head: a constant of the network
PRESETS = {"tiny": (64, 4, 8), "small": (192, 6, 16), "base": (384, 12, 16)}
"""name -> (width, depth, most patches along a side)."""

Positive = Annotated[int, Field(ge=1)]


class ImageTransformerV1(KDiffusionModel):
    """k-diffusion's transformer on square patches, with rotary positions; pictures need not be square.

    Parameters for rows of 1 x 28 x 28: tiny 0.31 million (patch 4), small 3.8 million (patch 2), base 27.4 million
    (patch 2). The patch of a preset grows with the picture, so that tiny sees at most 8 x 8 patches and the others 16 x
    16. Takes the condition `class_cond` (an integer label, 0 to num_classes - 1) where `num_classes` is given; the
    label num_classes stands for "no class".
    """

    name = "image_transformer_v1"

    width: int | None = Field(None, ge=HEAD, multiple_of=HEAD)
    """Features of a patch."""
    depth: int | None = Field(None, ge=1)
    """Transformer blocks."""
    patch_size: Positive | tuple[Positive, Positive] | None = None
    """Pixels of a patch, or (height, width). Must divide the picture."""
    num_classes: int | None = Field(None, ge=1)
    """Classes of the condition `class_cond`."""

    def _from_preset(self, shape: tuple[int, int, int]) -> dict[str, Any]:
        channels, *size = shape
        width, depth, side = PRESETS[self.preset or "tiny"]
        patch = self.patch_size or patch_for(self.name, (size[0], size[1]), side, halvings=0)
        model = {
            "type": self.name,
            "input_channels": channels,
            "input_size": size,
            "patch_size": [patch, patch] if isinstance(patch, int) else list(patch),
            "width": self.width or width,
            "depth": self.depth or depth,
            "dropout_rate": self.dropout_rate or 0.0,
        }
        return {"model": model, "dataset": {"num_classes": self.num_classes or 0}}

    @classmethod
    def proposal(cls, shape: tuple[int, ...], conds: Mapping[str, tuple[int, ...]], rows: int) -> Proposal | None:
        """See `proposals.transformer`."""
        return proposals.transformer(shape, conds, rows)

    def null_cond(self, name: str) -> float | None:
        """The label num_classes, which k-diffusion keeps for it."""
        classes = self.num_classes if self.config is None else sections(self.config)["dataset"]["num_classes"]
        return (classes or None) if name == "class_cond" else None

    def _inputs(self, x: Tensor, cond: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(cond)

    def _check(self, resolved: dict[str, Any], shape: tuple[int, int, int], signal: Signal) -> None:
        model, classes = resolved["model"], resolved["dataset"]["num_classes"]
        if model["width"] % HEAD:
            raise InputError(f"model {self.name!r} needs a width that is a multiple of {HEAD}, not {model['width']}")
        height, width = model["patch_size"]
        check_multiple(self.name, shape[1:], (height, width), least=1)
        check_classes(self.name, classes, signal)
