"""The one place that imports diffusers: late, since it takes seconds."""

from __future__ import annotations

from types import ModuleType

from ambientkit.errors import InputError


def diffusers() -> ModuleType:
    """The module diffusers, imported at the first call. Raises InputError where it cannot be imported."""
    try:
        import diffusers
    except ImportError as error:
        raise InputError(
            f"diffusers cannot be imported ({error}): install ambientkit-diffusers together with what it requires, diffusers>=0.42"
        ) from error
    return diffusers
