"""Registers the parts of this package with ambientkit."""

from __future__ import annotations

from ambientkit.hookspecs import hookimpl
from ambientkit_diffusers.exporter import DiffusersFolder, DiffusersLoRA, KohyaLoRA
from ambientkit_diffusers.latents import Latents
from ambientkit_diffusers.models import DiffusersUNet, SDXLLoRA
from ambientkit_diffusers.unet2d import UNet2D


@hookimpl
def register_models():
    """Networks of diffusers: trained from a configuration, fine-tuned, or under an adapter."""
    return [UNet2D, DiffusersUNet, SDXLLoRA]


@hookimpl
def register_datasets():
    """Captioned pictures as latents."""
    return [Latents]


@hookimpl
def register_exporters():
    """Folders and files that diffusers, and tools that read kohya's keys, take."""
    return [DiffusersFolder, DiffusersLoRA, KohyaLoRA]
