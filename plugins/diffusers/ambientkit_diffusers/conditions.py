"""What rows of latents carry: the names, shapes and units that the data sets, the models and the sampler of this
package share.

A row is a latent (C, h, w) in float32, `Autoencoder.encode` of a picture: (z - shift) scaling of the VAE's draw z, so
that its values have about unit spread. `Rows.decode` of a data set of latents is `Autoencoder.decode`. A row of SDXL
carries three conditions, those that its U-Net takes:

    name                    shape        what
    prompt_embeds           (L, D)       states of the text encoders, token by token; SDXL: (77, 2048)
    pooled_prompt_embeds    (P,)         the pooled state of the second encoder; SDXL: (1280,)
    time_ids                (6,)         original height and width, crop's top and left, target height and width, pixels

A row of Stable Diffusion 1 or 2 carries `prompt_embeds` alone, a row with a class `class_cond`, an integer label. A row
without a caption carries what stands for none, `empty_prompt` of the pipeline; there is no mask. The same conditions
are dropped in training (`cond_dropout`) and stand against the prompt in guidance; `time_ids` is never dropped, since it
holds for a picture with or without a caption. Source: arXiv 2307.01952, section 2.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

PROMPT = "prompt_embeds"
POOLED = "pooled_prompt_embeds"
TIME_IDS = "time_ids"
CLASS = "class_cond"

Size = tuple[int, int]
"""(height, width), pixels."""


def covering(original: Size, size: Size) -> Size:
    """The size to which a picture is brought so that it covers `size` in its own ratio; what is over is cropped."""
    scale = max(size[0] / original[0], size[1] / original[1])
    return max(round(original[0] * scale), size[0]), max(round(original[1] * scale), size[1])


def mirrored(ids: Tensor, horizontal: bool, vertical: bool) -> Tensor:
    """`time_ids` (6,) of a row that was mirrored after it was cut out: what was over on the right is then over on the
    left, and below above, as if the picture had been mirrored first."""
    original, crop, target = (tuple(pair) for pair in ids.long().reshape(3, 2).tolist())
    over = [long - short for long, short in zip(covering(original, target), target, strict=True)]
    flipped = (vertical, horizontal)
    top, left = (o - c if flip else c for o, c, flip in zip(over, crop, flipped, strict=True))
    return time_ids(original, (top, left), target).to(ids)


def time_ids(original: Size, crop: Size, target: Size) -> Tensor:
    """(6,), float32: the size of the picture before it was resized, the top and left edge of its crop after that, and
    the size trained at, each as (height, width). Source: arXiv 2307.01952, section 2.2."""
    return torch.tensor([*original, *crop, *target], dtype=torch.float32)
