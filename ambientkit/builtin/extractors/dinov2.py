"""The extractor `dinov2`: a vision transformer that was trained without labels, from a file of the user's."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ambientkit.builtin.extractors.networks import by_chunks, colour, load_tensors
from ambientkit.errors import InputError
from ambientkit.interfaces import Extractor
from ambientkit.maths.randomness import isolated_global_generator

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures in [0, 1], which the network was trained with (arXiv 2304.07193, appendix)."""
SIZES = {384: "small", 768: "base", 1024: "large", 1536: "giant"}
"""Values of a token -> the network of that width."""
PATCH = 14


class DINOv2(Extractor):
    """DINOv2, ViT-S/B/L/g with patches of 14 pixels: its class token, 384 to 1,536 values, from a local file of
    weights.

    The network is that of timm, the size follows from the file: one of timm's (vit_large_patch14_dinov2.lvd142m,
    model.safetensors), or Meta's dinov2_vitl14_pretrain converted to .safetensors; with registers too. Pictures are
    resized to `size` (bicubic, antialiased) and shifted to ImageNet's mean and std; values are neither cut nor rounded.
    Published values (FD-DINOv2) are those of ViT-L on 8-bit pictures of 224.
    """

    name = "dinov2"
    source = "arXiv 2304.07193; as a feature space for samples: arXiv 2306.04675"

    weights: Path
    """A .safetensors file; nothing is downloaded."""
    size: int = Field(224, ge=PATCH, le=1022, multiple_of=PATCH)
    """Side of the pictures that the network sees, pixels; a multiple of 14."""

    def features(self, pictures: Tensor) -> Tensor:
        """(N, C, H, W), C = 1 or 3, to (N, F), float32. Raises InputError for other shapes, and for a missing or unfit
        file."""
        coloured = colour(pictures, self.name)
        network = _network(self.weights.absolute(), self.size, str(pictures.device))
        mean, std = (torch.tensor(values, device=pictures.device).reshape(3, 1, 1) for values in (MEAN, STD))

        def run(chunk: Tensor) -> Tensor:
            if chunk.shape[2:] != (self.size, self.size):
                chunk = interpolate(chunk, (self.size, self.size), mode="bicubic", align_corners=False, antialias=True)
            return network(((chunk + 1) / 2 - mean) / std)

        return by_chunks(coloured, run)


@cache
def _network(path: Path, size: int, device: str) -> nn.Module:
    if path.suffix != ".safetensors":
        raise InputError(f"extractor 'dinov2': weights: should be a .safetensors file, but is {path.name}")
    tensors = load_tensors(path, "dinov2")
    try:
        import timm
        from timm.models.vision_transformer import checkpoint_filter_fn
    except ImportError as error:
        raise InputError(
            f"extractor 'dinov2': {error.name} is not installed; it comes with: pip install 'ambientkit[dinov2]'"
        ) from None
    token = tensors.get("cls_token")
    width = token.shape[-1] if token is not None else 0
    if width not in SIZES or "pos_embed" not in tensors:
        raise InputError(
            f"extractor 'dinov2': {path}: holds no DINOv2 in timm's or Meta's names (cls_token, pos_embed, "
            "blocks.0...); take model.safetensors of "
            "timm's vit_large_patch14_dinov2.lvd142m, or of another size"
        )
    registers = "_reg4" if {"reg_token", "register_tokens"} & tensors.keys() else ""
    with isolated_global_generator(0, "extractor"):  # the fresh weights are overwritten
        network: Any = timm.create_model(
            f"vit_{SIZES[width]}_patch14{registers}_dinov2", pretrained=False, num_classes=0, img_size=size
        )
    try:
        # It brings Meta's names to timm's, and the embeddings of places to this size.
        network.load_state_dict(checkpoint_filter_fn(dict(tensors), network))
    except (RuntimeError, KeyError, ValueError) as error:
        raise InputError(
            f"extractor 'dinov2': {path}: does not fit the network ({' '.join(str(error).split())[:200]})"
        ) from None
    return network.to(torch.device(device)).eval().requires_grad_(False)
