"""ambientkit: train a diffusion model from noisy data only, and sample the clean distribution.

The public names are those in `__all__`; each is imported when it is first used, so that `import ambientkit` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ambientkit.api.parts import parts
    from ambientkit.api.run import Run, load
    from ambientkit.api.training import build, train
    from ambientkit.api.training import configure_run as configure
    from ambientkit.errors import AmbientError, CheckFailed, InputError, RunError
    from ambientkit.train import steps

_HOMES = {
    "train": "api.training:train",
    "load": "api.run:load",
    "Run": "api.run:Run",
    "configure": "api.training:configure_run",
    "build": "api.training:build",
    "steps": "train:steps",
    "parts": "api.parts:parts",
    "AmbientError": "errors:AmbientError",
    "InputError": "errors:InputError",
    "RunError": "errors:RunError",
    "CheckFailed": "errors:CheckFailed",
}
"""Public name -> module:name."""

__all__ = [
    "AmbientError",
    "CheckFailed",
    "InputError",
    "Run",
    "RunError",
    "build",
    "configure",
    "load",
    "parts",
    "steps",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("ambientkit")
    if name not in _HOMES:
        raise AttributeError(f"module 'ambientkit' has no attribute {name!r}; public are {', '.join(__all__)}")
    module, _, attribute = _HOMES[name].partition(":")
    value = globals()[name] = getattr(importlib.import_module(f"ambientkit.{module}"), attribute)
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
