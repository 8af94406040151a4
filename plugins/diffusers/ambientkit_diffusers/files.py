"""Folders of diffusers' pipelines on the disk: found or refused by name, never fetched."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from ambientkit.errors import InputError

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
"""The files that the message on missing weights names."""


def component(path: Path, name: str, needed_by: str) -> Path:
    """The folder of a component of a pipeline ("unet", "vae", "text_encoder", ...), which holds its config.json.

    Raises InputError with the command that fetches the weights where it is not there.
    """
    folder = path / name
    config = "scheduler_config.json" if name == "scheduler" else "config.json"
    if not (folder / config).is_file():
        raise InputError(
            f"{needed_by}: {folder / config} is not there: {path} should be the folder of a pipeline of diffusers. "
            f"Weights are never fetched by ambientkit; {fetched_by(path)}"
        )
    return folder


def network_folder(path: Path, needed_by: str) -> Path:
    """The folder of a pipeline's denoising network: `unet`, or `transformer`. Raises InputError as `component` does."""
    there = (path / "transformer" / "config.json").is_file() and not (path / "unet" / "config.json").is_file()
    return component(path, "transformer" if there else "unet", needed_by)


def fetched_by(path: Path) -> str:
    """What fetches a pipeline's weights into a folder: the command for SDXL's, as one set of safetensors files in
    float16."""
    wanted = ("*.json", "*.txt", "*.fp16.safetensors")
    included = " ".join(f"--include {shlex.quote(one)}" for one in wanted)
    return (
        f"fetch those of SDXL with: hf download {SDXL} {included} --local-dir {shlex.quote(str(path))}"
        " (those of another pipeline by its own name)"
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds a mapping. Raises InputError naming it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: should hold a mapping, but holds {type(found).__name__}")
    return found


def variant_of(folder: Path) -> str | None:
    """The variant of the weights in the folder of a component: None for plain files, "fp16" where only such are
    there."""
    names = [file.name for file in folder.glob("*.safetensors*")]
    plain = any(name.startswith(("diffusion_pytorch_model.safetensors", "model.safetensors")) for name in names)
    return "fp16" if names and not plain and all(".fp16" in name for name in names) else None
