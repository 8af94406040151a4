"""Pictures to latents and back, by a pipeline's own VAE, in float32."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Generator, Tensor

from ambientkit_diffusers.files import component, read_json, variant_of
from ambientkit_diffusers.library import diffusers, quietly


class Autoencoder:
    """The VAE in the folder `vae` of a pipeline, for the length of a `with` block; always in float32.

    SDXL's VAE overflows half precision, which gives NaN and black pictures. Latents are (z - shift_factor)
    scaling_factor, by its configuration.
    """

    def __init__(self, path: Path, device: str | torch.device = "cpu") -> None:
        self._path, self._device = path, torch.device(device)
        self._vae: Any = None

    def __enter__(self) -> Autoencoder:
        """Load it. Raises InputError with the command that fetches it where it is not there."""
        folder = component(self._path, "vae", "VAE")
        with quietly():
            vae = diffusers().AutoencoderKL.from_pretrained(
                folder, dtype=torch.float32, variant=variant_of(folder), local_files_only=True
            )
        self._vae = vae.to(self._device).eval().requires_grad_(False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unload it, also from the device."""
        self._vae = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.no_grad()
    def encode(self, pictures: Tensor, generators: Sequence[Generator]) -> Tensor:
        """Latents (B, C, h, w), float32, on the CPU, of pictures (B, 3, H, W) in [-1, 1]; one generator per row, on the
        CPU, for the VAE's draw. Not checked for values that are not finite: the caller knows the files."""
        law = self._vae.encode(pictures.to(self._device, torch.float32)).latent_dist
        drawn = law.sample(generator=list(generators)).cpu()
        return (drawn - self._shift) * self._scaling

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (B, 3, H, W), float32, on the CPU, about [-1, 1], not clipped, of latents (B, C, h, w), one at a
        time."""
        z = latents.to(self._device, torch.float32) / self._scaling + self._shift
        return torch.cat([self._vae.decode(one, return_dict=False)[0].cpu() for one in z.split(1)])

    @property
    def _scaling(self) -> float:
        return float(self._vae.config.scaling_factor)

    @property
    def _shift(self) -> float:
        return float(getattr(self._vae.config, "shift_factor", None) or 0.0)


def pixels_per_cell(path: Path) -> int:
    """How many pixels along a side one cell of a latent stands for: 2^(stages - 1), by the VAE's configuration; 8 for
    SDXL. Raises InputError with the command that fetches it where it is not there."""
    config = read_json(component(path, "vae", "VAE") / "config.json")
    return int(2 ** (len(config.get("block_out_channels", (0,) * 4)) - 1))
