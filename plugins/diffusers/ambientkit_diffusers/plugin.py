"""Registers the parts of this package with ambientkit."""

from __future__ import annotations

from ambientkit.hookspecs import hookimpl
from ambientkit_diffusers.exporter import DiffusersFolder, DiffusersLoRA, KohyaLoRA
from ambientkit_diffusers.latents import Latents
from ambientkit_diffusers.models import DiffusersUNet, SDXLLoRA
from ambientkit_diffusers.unet2d import UNet2D


@hookimpl
def register_models():
    return [UNet2D, DiffusersUNet, SDXLLoRA]


@hookimpl
def register_datasets():
    return [Latents]


@hookimpl
def register_exporters():
    return [DiffusersFolder, DiffusersLoRA, KohyaLoRA]
