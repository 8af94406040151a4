"""k-diffusion's own JSON configuration: reading it, and what of it a network is built from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

_SHARED = {"type", "input_channels", "input_size", "patch_size", "dropout_rate", "sigma_data"}
_SHARED |= {"skip_stages", "has_variance", "augment_wrapper"}
_UNET = {"mapping_out", "depths", "channels", "self_attn_depths", "cross_attn_depths"}
_UNET |= {"mapping_cond_dim", "unet_cond_dim", "cross_cond_dim"}
READ = {"image_v1": _SHARED | _UNET, "image_transformer_v1": _SHARED | {"depth", "width", "d_ff"}}
"""The keys of the section `model` that matter here, by type of network."""


def _read(value: object) -> object:
    """A path to the content of the file; a mapping to itself, so that a stored run does not depend on the file."""
    if isinstance(value, Mapping):
        content: Any = dict(value)
    elif isinstance(value, str | Path):
        try:
            content = json.loads(Path(value).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"should be a k-diffusion JSON configuration that can be read ({error})") from None
    else:
        return value
    if not isinstance(content, dict) or not isinstance(content.get("model"), Mapping):
        raise ValueError("should be a k-diffusion JSON configuration, which has a section 'model'")
    return content


KDiffusionConfig = Annotated[dict[str, Any], BeforeValidator(_read)]
"""A field that takes the path of a k-diffusion JSON configuration, or its content, and holds the content."""


def sections(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a network is built from: the section `model`, and `dataset.num_classes`."""
    dataset = config.get("dataset")
    classes = dataset.get("num_classes", 0) if isinstance(dataset, Mapping) else 0
    return {"model": dict(config["model"]), "dataset": {"num_classes": classes}}


def unused(config: Mapping[str, Any]) -> list[str]:
    """Dotted names of what a configuration states and nothing here reads."""
    model = config["model"]
    dataset = config.get("dataset")
    names = [f"model.{key}" for key in model if key not in READ[model["type"]]]
    names += [f"dataset.{key}" for key in (dataset if isinstance(dataset, Mapping) else ()) if key != "num_classes"]
    return sorted(names + [key for key in config if key not in ("model", "dataset")])
