"""The model `image_transformer_v1`: k-diffusion's vision transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

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

PLACE_STD = 0.02
"""Of the vectors of places at the beginning, as usual for vision transformers."""

Positive = Annotated[int, Field(ge=1)]


class Placed(nn.Module):
    """A projection of patches, (B, h, w, d) to (B, h, w, width), with a learned vector added to each place."""

    def __init__(self, projection: nn.Linear, height: int, width: int) -> None:
        super().__init__()
        self.projection = projection
        self.place = nn.Parameter(torch.randn(height * width, projection.out_features) * PLACE_STD)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches in the order of the rows of the picture."""
        projected: Tensor = self.projection(patches)
        return projected + self.place


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
    positions: Literal["rotary", "learned"] | None = None
    """"learned" adds a vector of its own to each patch (arXiv 2010.11929, eq. 1) beside the rotary positions, which say
    nothing of where a patch is in the picture. "rotary", k-diffusion's network as it is, where it is not given."""
    num_classes: int | None = Field(None, ge=1)
    """Classes of the condition `class_cond`."""

    def network(self, signal: Signal) -> nn.Module:
        """k-diffusion's inner model F for rows (channels, height, width), with positions as asked for.

        Raises InputError where shape, conditions or configuration do not fit.
        """
        network = super().network(signal)
        if self.positions == "learned":
            (height, width), seen = network.patch_in.patch_size, self.size(signal)
            network.in_proj = Placed(network.in_proj, seen[0] // height, seen[1] // width)
        return network

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
