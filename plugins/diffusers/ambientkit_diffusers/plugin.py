"""Registers the parts of this package with ambientkit."""

from __future__ import annotations

from ambientkit.hookspecs import hookimpl
from ambientkit_diffusers.exporter import DiffusersFolder
from ambientkit_diffusers.unet2d import UNet2D


@hookimpl
def register_models():
    return [UNet2D]


@hookimpl
def register_exporters():
    return [DiffusersFolder]
