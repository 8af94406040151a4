"""k-diffusion's networks and samplers as parts of ambientkit, and `AmbientDenoiser` for k-diffusion's own scripts.

Importing this package does not import k_diffusion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ambientkit_kdiffusion.denoiser import AmbientDenoiser

__all__ = ["AmbientDenoiser"]


def __getattr__(name: str) -> Any:
    if name == "AmbientDenoiser":
        from ambientkit_kdiffusion.denoiser import AmbientDenoiser

        return AmbientDenoiser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
