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
    own_network: bool = False
    """Whether it trains the network that `quality.py` has for the data; `settings` may add fields."""
    levels_by_rows: bool = False
    """Whether its noise levels are those that suit the rows, as where a run names no model."""


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


def transformer(settings: dict[str, Any] | None = None, clean: bool = False) -> Arm:
    """An arm with the network of `quality.py`."""
    return Arm(settings or {}, clean, BESIDE, own_network=True)


BESIDE = ("naive-transformer", "clean-transformer")
NO_PAIRS = {"near": 0.0}
"""Fields of `tweedie`: no pairs next to sigma_n."""
CONVOLUTIONS = model("image_v1", channels=[32, 64], depths=[1, 1])
ARMS = {
    "clean": Arm({"objective": "denoising"}, clean=True),
    "naive": Arm({"objective": "naive"}),
    "default": Arm(),
    "near.2": Arm(recipe({"near": 0.2})),
    "near0": Arm(recipe(NO_PAIRS)),
    "near-ratio3": Arm(recipe({"near_ratio": 3.0})),
    "wd1": Arm({"optimizer": {"weight_decay": 1.0}}),
    "near0-wd1": Arm({**recipe(NO_PAIRS), "optimizer": {"weight_decay": 1.0}}),
    "near0-mlp64": Arm({**recipe(NO_PAIRS), **model("mlp", width=64)}),
    "mlp64": Arm(model("mlp", width=64)),
    "mlp32": Arm(model("mlp", width=32, depth=2)),
    "clean-transformer": transformer({"objective": "denoising"}, clean=True),
    "naive-transformer": transformer({"objective": "naive"}),
    "transformer": transformer(),
    "transformer-proposed": Arm(
        {"model": {"positions": "learned"}}, beside=BESIDE, own_network=True, levels_by_rows=True
    ),
    "transformer-proposed-few-rows": Arm(
        {"objective": "few-rows", "model": {"positions": "learned"}},
        beside=BESIDE,
        own_network=True,
        levels_by_rows=True,
    ),
    "transformer-detail": transformer({"objective": "tweedie-detail"}),
    "transformer-near0": transformer(recipe(NO_PAIRS)),
    "transformer-near.1": transformer(recipe({"near": 0.1})),
    "transformer-ratio3": transformer(recipe({"near_ratio": 3.0})),
    "transformer-drop.1": transformer({"model": {"dropout_rate": 0.1}}),
    "transformer-near0-drop.1": transformer({**recipe(NO_PAIRS), "model": {"dropout_rate": 0.1}}),
    "transformer-near0-wd1": transformer({**recipe(NO_PAIRS), "optimizer": {"weight_decay": 1.0}}),
    "transformer-near0-width32": transformer({**recipe(NO_PAIRS), "model": {"width": 32}}),
    "transformer-near0-flip": transformer({**recipe(NO_PAIRS), "augment": ["flip-horizontal"]}),
    "transformer-flip": transformer({"augment": ["flip-horizontal"]}),
    "clean-image_v1": Arm(
        {"objective": "denoising", **CONVOLUTIONS}, clean=True, beside=("naive-image_v1", "clean-image_v1")
    ),
    "naive-image_v1": Arm({"objective": "naive", **CONVOLUTIONS}, beside=("naive-image_v1", "clean-image_v1")),
    "image_v1": Arm(CONVOLUTIONS, beside=("naive-image_v1", "clean-image_v1")),
    "image_v1-near0": Arm({**recipe(NO_PAIRS), **CONVOLUTIONS}, beside=("naive-image_v1", "clean-image_v1")),
    "unet2d": Arm(model("unet2d", channels=[32, 64])),
}
"""Arms without a name of a network train the default one, `mlp`."""
