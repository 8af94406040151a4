"""Arrays that a configuration names: one array a file, and nothing behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.operators.base import COMPLEX


def behind(size: int) -> str:
    """The end of the message about bytes behind an array, which every reader of .npy files passes over."""
    return (
        f"{size:,} bytes follow its array, and would be lost: np.save was called more than once on one open file, or "
        "the header is false. Save one array, np.concatenate([...]), to a file of its own"
    )


def one_array(path: Path) -> NDArray[Any]:
    """The array of a .npy file, mapped into memory. Raises OSError, and ValueError where it is none, or not all that
    the file holds."""
    found: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(found, np.ndarray):
        raise ValueError(f"it is an .npz archive of {', '.join(found) or 'nothing'}: store one array by np.save")
    if isinstance(found, np.memmap) and (rest := path.stat().st_size - found.offset - found.nbytes) > 0:
        raise ValueError(behind(rest))
    return found


def real_array(path: Path) -> NDArray[np.float64]:
    """A .npy file of finite real numbers. Raises ValueError, as a validator must, with what was found in its place."""
    try:
        found = one_array(path)
    except FileNotFoundError:
        raise ValueError(
            f"{path}: there is no such file; one that a run or an export reads may lie beside its weights"
        ) from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as a .npy file ({error})") from None
    if found.dtype.kind == "c":
        raise ValueError(f"{path}: holds {found.dtype}, and real numbers are needed; {COMPLEX}")
    if found.dtype.kind not in "buif":
        raise ValueError(f"{path}: holds {found.dtype}, and numbers are needed")
    values: NDArray[np.float64] = np.array(found, dtype=np.float64, order="C")
    if bad := int((~np.isfinite(values)).sum()):
        raise ValueError(f"{path}: {bad} of {values.size} numbers are not finite")
    return values
