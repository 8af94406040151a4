"""Captions as a pipeline's own text encoders read them: loaded, asked, and unloaded."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any

import torch
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit_diffusers.conditions import POOLED, PROMPT
from ambientkit_diffusers.files import component, read_json, variant_of
from ambientkit_diffusers.library import diffusers, quietly, transformers

UNUSED = ("unet", "transformer", "vae", "safety_checker", "image_encoder")
"""Components of pipelines that encode no captions."""


class TextEncoders:
    """The text encoders and tokenizers of a pipeline folder, in float32, for the length of a `with` block.

    `encode` is the `encode_prompt` of the folder's own pipeline class, so that a caption means here what it means
    there: for SDXL the two encoders' last states but one, side by side, and the pooled state of the second. Source:
    diffusers, StableDiffusionXLPipeline.encode_prompt.
    """

    def __init__(self, path: Path, device: str | torch.device = "cpu") -> None:
        self._path, self._device = path, torch.device(device)
        self._pipeline: Any = None
        self._others: list[str] = []

    def __enter__(self) -> TextEncoders:
        """Load them. Raises InputError with the command that fetches them where they are not there."""
        index = read_json(self._path / "model_index.json") if self._path.is_dir() else {}
        component(self._path, "text_encoder", "text encoders")
        transformers()
        without = {name: None for name in UNUSED if name in index}
        without |= {name: None for name, kind in index.items() if kind == [None, None]}  # left out by its owner
        try:
            with quietly():
                self._pipeline = (
                    diffusers()
                    .DiffusionPipeline.from_pretrained(
                        self._path,
                        **without,
                        variant=variant_of(self._path / "text_encoder"),
                        dtype=torch.float32,
                        local_files_only=True,
                        **(
                            {"add_watermarker": False}
                            if index.get("_class_name") == "StableDiffusionXLPipeline"
                            else {}
                        ),
                    )
                    .to(self._device)
                )
        except (OSError, ValueError, RuntimeError, TypeError) as error:
            raise InputError(
                f"{self._path}: its text encoders cannot be read ({' '.join(str(error).split())[:300]})"
            ) from None
        asked = inspect.signature(self._pipeline.encode_prompt).parameters.values()
        self._others = [one.name for one in asked if one.name in ("prompt_2", "prompt_3") and one.default is one.empty]
        if "text_encoder_3" in index and self._pipeline.text_encoder_3 is None:  # zeros, whose width the network says
            told = read_json(self._path / "transformer" / "config.json")
            self._pipeline.transformer = SimpleNamespace(config=SimpleNamespace(**told))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unload them, also from the device."""
        self._pipeline = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.no_grad()
    def encode(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """name -> (len(captions), ...), float32, on the CPU. An empty caption is encoded as any other."""
        answer = self._pipeline.encode_prompt(
            list(captions),
            device=self._device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
            **dict.fromkeys(self._others),  # None: the same caption for every encoder
        )
        found = {PROMPT: answer[0]} | ({POOLED: answer[2]} if len(answer) > 2 else {})
        return {name: value.float().cpu() for name, value in found.items()}

    def empty_prompt(self) -> dict[str, Tensor]:
        """name -> what stands for no caption, of a row's shape: zeros where the pipeline says
        `force_zeros_for_empty_prompt`, as SDXL does, otherwise the encoding of ""."""
        nothing = {name: value[0] for name, value in self.encode([""]).items()}
        zeros = bool(self._pipeline.config.get("force_zeros_for_empty_prompt", False))
        return {name: torch.zeros_like(value) if zeros else value for name, value in nothing.items()}
