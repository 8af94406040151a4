"""What a run was made with."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

import torch

PACKAGES = ("ambientkit", "torch", "accelerate", "numpy", "k-diffusion", "safetensors", "pydantic")


def versions() -> dict[str, str | None]:
    """Versions of Python, the packages that matter and of every plug-in, and the device."""
    plugins = {point.dist.name for point in metadata.entry_points(group="ambientkit") if point.dist}
    found: dict[str, str | None] = {"python": sys.version.split()[0], "platform": platform.platform()}
    for package in sorted({*PACKAGES, *plugins}):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    found["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return found
