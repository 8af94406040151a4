"""Which seeds there are: one rule for all that is random."""

from __future__ import annotations

from ambientkit.errors import InputError

LARGEST = 2**63 - 1
"""The largest seed, of 64 bits with a sign."""


def check_seed(seed: int) -> None:
    """Raise InputError for a seed that is no whole number from 0 to LARGEST."""
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= seed.__index__() <= LARGEST:
        raise InputError(f"--seed {seed}: should be a whole number from 0 to {LARGEST} (2^63 - 1)")
