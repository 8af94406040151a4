"""What `few_rows.py` compares: how an arm trains. Everything else is the same within a comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Arm:
    """How an arm trains."""

    settings: dict[str, Any] = field(default_factory=dict)
    clean: bool = False
    """Whether it sees clean rows."""
    beside: tuple[str, str] = ("naive", "clean")
    """The arms of the same network that it is compared with."""


def recipe(tweedie: dict[str, Any], weight: float = 0.5) -> dict[str, Any]:
    """The default recipe with other fields of `tweedie`."""
    return {
        "objective": [
            {"objective": {"name": "tweedie", **tweedie}},
            {"objective": "consistency", "weight": weight, "start": 0.1, "ramp": 0.05, "every": 4},
        ]
    }


def model(name: str, **fields: Any) -> dict[str, Any]:
    """A network by name."""
    return {"model": {"name": name, **fields}}


def transformer(**fields: Any) -> dict[str, Any]:
    """The network of `quality.py` for digits."""
    return model("image_transformer_v1", patch_size=2, width=64, **fields)


CONVOLUTIONS = model("image_v1", channels=[32, 64], depths=[1, 1])
BESIDE = ("naive-transformer", "clean-transformer")
ARMS = {
    "clean": Arm({"objective": "denoising"}, clean=True),
    "naive": Arm({"objective": "naive"}),
    "default": Arm(),
    "near.2": Arm(recipe({"near": 0.2})),
    "near0": Arm(recipe({"near": 0.0})),
    "near-ratio3": Arm(recipe({"near_ratio": 3.0})),
    "wd1": Arm({"optimizer": {"weight_decay": 1.0}}),
    "mlp64": Arm(model("mlp", width=64)),
    "mlp32": Arm(model("mlp", width=32, depth=2)),
    "clean-transformer": Arm({"objective": "denoising", **transformer()}, clean=True, beside=BESIDE),
    "naive-transformer": Arm({"objective": "naive", **transformer()}, beside=BESIDE),
    "transformer": Arm(transformer(), beside=BESIDE),
    "transformer-near0": Arm({**recipe({"near": 0.0}), **transformer()}, beside=BESIDE),
    "transformer-near.1": Arm({**recipe({"near": 0.1}), **transformer()}, beside=BESIDE),
    "transformer-ratio3": Arm({**recipe({"near_ratio": 3.0}), **transformer()}, beside=BESIDE),
    "transformer-drop.1": Arm(transformer(dropout_rate=0.1), beside=BESIDE),
    "transformer-near0-drop.1": Arm({**recipe({"near": 0.0}), **transformer(dropout_rate=0.1)}, beside=BESIDE),
    "clean-image_v1": Arm(
        {"objective": "denoising", **CONVOLUTIONS}, clean=True, beside=("naive-image_v1", "clean-image_v1")
    ),
    "naive-image_v1": Arm({"objective": "naive", **CONVOLUTIONS}, beside=("naive-image_v1", "clean-image_v1")),
    "image_v1": Arm(CONVOLUTIONS, beside=("naive-image_v1", "clean-image_v1")),
    "unet2d": Arm(model("unet2d", channels=[32, 64])),
}
"""Arms without a name of a network train the default one, `mlp`."""
