"""Which picture sizes a network takes, and the patch a preset chooses for a size."""

from __future__ import annotations

from ambientkit.errors import InputError
from ambientkit.interfaces import Signal


def picture(name: str, signal: Signal) -> tuple[int, int, int]:
    """(channels, height, width) of the rows. Raises InputError where they are not pictures."""
    if len(signal.shape) != 3 or 0 in signal.shape:
        raise InputError(
            f"model {name!r} takes pictures of shape (channels, height, width), but the rows have shape "
            f"{tuple(signal.shape)}: "
            "choose a model for plain rows, such as 'mlp'"
        )
    channels, height, width = signal.shape
    return channels, height, width


def patch_for(name: str, size: tuple[int, int], side: int, halvings: int) -> int:
    """The smallest square patch that leaves at most `side` patches along the longer side, and a size that can be halved
    `halvings` times.

    A patch of p pixels needs height and width to be multiples of p 2^halvings. Patches up to twice the smallest
    sensible one are tried. Raises InputError, naming the multiple, where none fits.
    """
    least = -(-max(size) // side)
    step = 2**halvings
    for patch in range(least, 2 * least + 1):
        if all(length % (patch * step) == 0 for length in size):
            return patch
    multiple = least * step
    fewest = 2 if halvings else 1  # the coarsest stage needs two cells
    down, up = (
        tuple(max(part, fewest) * multiple for part in parts)
        for parts in (_parts(size, multiple), _parts(size, multiple, up=True))
    )
    crop = f"crop them to {down[0]} x {down[1]}, or " if down[0] <= size[0] and down[1] <= size[1] else ""
    raise InputError(
        f"model {name!r} needs pictures whose height and width are multiples of {multiple} at this size, but the "
        "rows are "
        f"{size[0]} x {size[1]}: {crop}pad them to {up[0]} x {up[1]}, or give a patch_size that suits"
    )


def check_multiple(name: str, size: tuple[int, int], multiple: tuple[int, int], least: int) -> None:
    """Height and width must be multiples of `multiple`, and `least` times it or more. Raises InputError naming the
    allowed ones."""
    for axis, length, step in zip(("height", "width"), size, multiple, strict=True):
        if length % step or length < least * step:
            raise InputError(
                f"model {name!r} as configured needs a {axis} that is a multiple of {step} and at least "
                f"{least * step}, but the rows are "
                f"{size[0]} x {size[1]}: crop or pad them, or choose another patch_size"
            )


def _parts(size: tuple[int, int], multiple: int, up: bool = False) -> list[int]:
    return [(length + (multiple - 1 if up else 0)) // multiple for length in size]
