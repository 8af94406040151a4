"""The extractor `inception`: the network of published FID values, from a file of the user's."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from ambientkit.builtin.extractors.networks import as_file, by_chunks, colour, load_tensors
from ambientkit.errors import InputError
from ambientkit.interfaces import Extractor
from ambientkit.maths.randomness import isolated_global_generator


class Inception(Extractor):
    """Inception v3 as TensorFlow published it in 2015, the network of FID: 2,048 values, from a local file of weights.

    It is the implementation of torch-fidelity, whose file is weights-inception-2015-12-05-6726825d.pth. As FID is
    defined on 8-bit pictures, values are cut to [-1, 1], rounded to 0..255 and resized to 299 as TensorFlow 1 did: it
    cannot see what 8 bits cannot hold.
    """

    name = "inception"
    source = "arXiv 1706.08500 (FID), arXiv 1512.00567; torch-fidelity 0.4.0"

    weights: Path
    """The file of weights, .pth or .safetensors; nothing is downloaded."""

    def features(self, pictures: Tensor) -> Tensor:
        """(N, C, H, W), C = 1 or 3, to (N, 2048), float32. Raises InputError for other shapes, and for a missing or
        unfit file."""
        coloured = colour(pictures, self.name)
        network = _network(self.weights.absolute(), str(pictures.device))

        def run(chunk: Tensor) -> Tensor:
            return network(((chunk.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))[0]

        return by_chunks(coloured, run)


@cache
def _network(path: Path, device: str) -> nn.Module:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise InputError(
            f"extractor 'inception': {error.name} is not installed; it comes with: pip install 'ambientkit[evaluate]'"
        ) from None
    tensors = load_tensors(path, "inception")
    try:
        with isolated_global_generator(0, "extractor"):  # the fresh weights are overwritten
            # It would unpickle any content of the file: it is handed a file of ours, with the tensors alone.
            network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=as_file(tensors)
            )
    except RuntimeError as error:
        raise InputError(
            f"extractor 'inception': {path}: does not fit the network ({' '.join(str(error).split())[:200]})"
        ) from None
    return network.to(torch.device(device))
