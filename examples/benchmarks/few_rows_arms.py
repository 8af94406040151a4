"""What `few_rows.py` compares: how an arm trains. Everything else is the same within a comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Arm:
    """How an arm trains."""

    settings: dict[str, Any] = field(default_factory=dict)
    clean: bool = False
    """Whether it sees clean rows."""
    rows: Callable[[Any], Any] | None = None
    """What becomes of the observations before they are trained on."""
    objective: Callable[[], Any] | None = None
    change: Callable[[dict[str, Any]], dict[str, Any]] | None = None


def _tc(tweedie: dict[str, Any] | None = None, weight: float = 0.5, start: float = 0.1) -> list[dict[str, Any]]:
    return [
        {"objective": {"name": "tweedie", **(tweedie or {})}},
        {"objective": "consistency", "weight": weight, "start": start, "ramp": 0.05, "every": 4},
    ]


def model(name: str, **fields: Any) -> dict[str, Any]:
    return {"model": {"name": name, **fields}}


TRANSFORMER = model("image_transformer_v1", patch_size=2, width=64)
COSINE = {"optimizer": {"lr": 1e-3, "schedule": "cosine"}}

ARMS = {
    "clean": Arm({"objective": "denoising"}, clean=True),
    "naive": Arm({"objective": "naive"}),
    "default": Arm(),
    "near.2": Arm({"objective": _tc({"near": 0.2})}),
    "near0": Arm({"objective": _tc({"near": 0.0})}),
    "near-ratio3": Arm({"objective": _tc({"near_ratio": 3.0})}),
    "wd.1": Arm({"optimizer": {"weight_decay": 0.1}}),
    "wd1": Arm({"optimizer": {"weight_decay": 1.0}}),
    "mlp64": Arm(model("mlp", width=64)),
    "mlp32": Arm(model("mlp", width=32, depth=2)),
    "transformer": Arm(TRANSFORMER),
    "transformer-drop.1": Arm(model("image_transformer_v1", patch_size=2, width=64, dropout_rate=0.1)),
    "transformer-drop.3": Arm(model("image_transformer_v1", patch_size=2, width=64, dropout_rate=0.3)),
    "transformer-small2": Arm(model("image_transformer_v1", patch_size=2, width=64, depth=2)),
    "transformer-p1": Arm(model("image_transformer_v1", patch_size=1, width=64)),
    "clean-transformer": Arm({"objective": "denoising", **TRANSFORMER}, clean=True),
    "naive-transformer": Arm({"objective": "naive", **TRANSFORMER}),
    "image_v1": Arm(model("image_v1", channels=[32, 64], depths=[1, 1])),
    "image_v1-drop.1": Arm(model("image_v1", channels=[32, 64], depths=[1, 1], dropout_rate=0.1)),
    "image_v1-drop.3": Arm(model("image_v1", channels=[32, 64], depths=[1, 1], dropout_rate=0.3)),
    "unet2d": Arm(model("unet2d", channels=[32, 64])),
    "unet2d-drop.2": Arm(model("unet2d", channels=[32, 64], dropout=0.2)),
}
