"""Which network a run gets that names none: for pictures the transformer, and for large ones the U-Net."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ambientkit.errors import InputError
from ambientkit.proposal import Proposal
from ambientkit_kdiffusion.sizes import patch_for

LARGEST = 32
"""Pixels along a side from which pictures are large."""
PATCH, SIDE = 4, 8
"""The smallest patch, and the patches along a side."""
SMALLEST = 8
"""Pixels of the shorter side below which rows are no pictures, unless a patch divides them."""
FINEST, HALVINGS = 32, 2
"""Cells along a side of the U-Net's first stage at most, and how often its stages halve them."""
FEW = 1000
"""Rows below which a narrower network is proposed."""
MEMORISED = 10_000
"""Rows below which the recipe `few-rows` is proposed for small pictures: within the steps proposed the default
memorises them. On larger ones it was worse (docs/decisions/0055)."""
TRAINING = {
    "end_step": 2500,
    "batch_size": 64,
    "optimizer": {"lr": 2e-3, "schedule": "cosine"},
}
"""The rate falls to 0 at the end: without that samples are worse (see docs/notebook.md)."""
SMALL = 16
"""Patches of a picture up to which the network is shallow and its batches large: there a step takes time by the number
of its operations rather than by their size."""
SHALLOW = {"depth": 2}
SMALL_BATCH = {"end_step": 6000, "batch_size": 16, "optimizer": {"lr": 2e-3, "schedule": "cosine"}}
"""The U-Net learns more from many steps of few rows than from as much time of 64 (docs/notebook.md)."""
LARGE_BATCH = {"end_step": 2200, "batch_size": 128, "optimizer": {"lr": 3e-3, "schedule": "cosine"}}


def transformer(shape: tuple[int, ...], conds: Mapping[str, tuple[int, ...]], rows: int) -> Proposal | None:
    """`image_transformer_v1` for pictures of up to 32 pixels along a side, on a canvas where no patch of 4 or more
    divides them; None for others."""
    if not _plain_picture(shape, conds) or max(shape[1:]) > LARGEST:
        return None
    patch, canvas = _patch(shape), None
    if patch is None:
        if min(shape[1:]) < SMALLEST:
            return None
        patch, canvas = _on_canvas(shape)
    width = 64 if rows < FEW else 128
    small = math.prod(canvas or shape[1:]) // patch**2 <= SMALL
    fields = {"patch_size": patch, "width": width, **(SHALLOW if small else {}), "positions": "learned"}
    training = {**TRAINING, **(LARGE_BATCH if small else {})}
    if small and rows < MEMORISED:
        training["objective"] = "few-rows"
    why = "a transformer on patches generalises from fewer noisy pictures than a perceptron does"
    if canvas is not None:
        fields["canvas"] = list(canvas)
        why += f"; no patch divides {shape[1]} x {shape[2]}, so it sees {canvas[0]} x {canvas[1]}"
    return Proposal(20, why, fields, training, levels_by_rows=True)


def u_net(shape: tuple[int, ...], conds: Mapping[str, tuple[int, ...]], rows: int) -> Proposal | None:
    """`image_v1` for larger pictures, on a canvas where its stages cannot halve them; None for others."""
    if not _plain_picture(shape, conds) or max(shape[1:]) <= LARGEST or min(shape[1:]) < SMALLEST:
        return None
    fields: dict[str, Any] = {"preset": "tiny"}
    why = "a U-Net restores pictures of more than 32 pixels better than a transformer does in the same time"
    try:
        patch_for("image_v1", (shape[1], shape[2]), FINEST, HALVINGS)
    except InputError:
        step = -(-max(shape[1:]) // FINEST) * 2**HALVINGS
        fields["canvas"] = [max(2, -(-side // step)) * step for side in shape[1:]]
        why += f"; its stages cannot halve {shape[1]} x {shape[2]}, so it sees {fields['canvas'][0]} x " + str(
            fields["canvas"][1]
        )
    return Proposal(20, why, fields, SMALL_BATCH, levels_by_rows=True)


def _plain_picture(shape: tuple[int, ...], conds: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether rows are pictures, and carry nothing but a mask of what was measured, which is one more channel."""
    return len(shape) == 3 and 0 not in shape and conds.keys() <= {"mask"}


def _wanted(shape: tuple[int, ...]) -> tuple[int, range]:
    """The patch of PATCH pixels or more with which the larger side has SIDE patches, and those that are near it."""
    wanted = max(PATCH, -(-max(shape[1:]) // SIDE))
    return wanted, range(max(PATCH, -(-wanted // 2)), 2 * wanted)


def _patch(shape: tuple[int, ...]) -> int | None:
    """The patch of PATCH pixels or more that divides the picture into SIDE patches along its larger side, or as near
    to it as a size can be that divides both sides: 4 for pictures of 44 x 44, whose next larger is 11. None where none
    is between half and twice that size."""
    _, height, width = shape
    wanted, near = _wanted(shape)
    sizes = [n for n in near if height % n == 0 == width % n]
    return min(sizes, key=lambda n: abs(math.log(n / wanted)), default=None)


def _on_canvas(shape: tuple[int, ...]) -> tuple[int, tuple[int, int]]:
    """The patch, and the smallest canvas that it divides: near the patch wanted, and with little canvas beside the
    picture."""
    _, height, width = shape
    wanted, near = _wanted(shape)

    def canvas(n: int) -> tuple[int, int]:
        return -(-height // n) * n, -(-width // n) * n

    patch = min(near, key=lambda n: abs(math.log(n / wanted)) + math.log(math.prod(canvas(n)) / (height * width)))
    return patch, canvas(patch)
