"""What `quality.py` compares: the data with their settings, and the arms. Everything but the arm is the same within a
comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TAU = 0.1
"""Std within a mode of the mixture."""

BUFFER = [
    {"objective": "tweedie", "stop": 0.4},
    {"objective": {"name": "tweedie", "fraction": 0.6}, "start": 0.4},
    {"objective": "posterior-buffer", "start": 0.4, "ramp": 0.05},
]
"""As in the recipe `tweedie-consistency-buffer`, without consistency."""


NO_PAIRS = {"name": "tweedie", "near": 0.0}
CONSISTENCY = {"objective": "consistency", "weight": 0.5, "start": 0.1, "ramp": 0.05, "every": 4}
"""As in the recipe `tweedie-consistency`."""


def late_pairs(start: float) -> list[dict[str, Any]]:
    """The default recipe with pairs of views next to sigma_n from this share of the run on alone."""
    return [{"objective": NO_PAIRS, "stop": start}, {"objective": "tweedie", "start": start}, CONSISTENCY]


def without_pairs() -> list[dict[str, Any]]:
    """The default recipe without pairs of views next to sigma_n."""
    return [{"objective": NO_PAIRS}, CONSISTENCY]


@dataclass(frozen=True)
class Arm:
    """How an arm trains, and how it is used. An arm with `trained_as` shares the run of another one."""

    settings: dict[str, Any] = field(default_factory=dict)
    truncated: bool = False
    """Sampling stops at sigma_n, with one last denoising there."""
    trained_as: str | None = None
    knows: str = "noisy rows"
    """Its knowledge of the clean data."""


ARMS = {
    "clean": Arm({"objective": "denoising", "corruption": {"sigma_n": 0.0}}, knows="clean rows: the ceiling"),
    "naive": Arm({"objective": "naive"}),
    "tweedie": Arm({"objective": "tweedie"}),
    "truncated": Arm(truncated=True, trained_as="tweedie"),
    "tweedie-consistency": Arm({"objective": "tweedie-consistency"}),
    "samples-first": Arm({"objective": "samples-first"}),
    "late-pairs": Arm({"objective": late_pairs(0.6)}),
    "no-pairs": Arm({"objective": without_pairs()}),
    "clean-around-1": Arm(
        {"objective": {"name": "denoising", "p_mean": 0.0}, "corruption": {"sigma_n": 0.0}},
        knows="clean rows",
    ),
    "tweedie-detail": Arm({"objective": "tweedie-detail"}),
    "buffer": Arm({"objective": BUFFER}),
    "buffer+consistency": Arm({"objective": "tweedie-consistency-buffer"}),
    "sure": Arm({"objective": "sure"}),
    "clean-1%": Arm({"objective": "tweedie-consistency", "corruption": {"clean_share": 0.01}}, knows="1 % clean rows"),
}
"""`tweedie-consistency` is the default recipe as shipped, `samples-first` the recipe for samples from noise;
`late-pairs` is the default with pairs of views next to sigma_n in the last 40 % of a run alone, `no-pairs` without
them, `clean-around-1` clean training with the levels of `samples-first`, `buffer+consistency` the recipe
`tweedie-consistency-buffer`."""


@dataclass(frozen=True)
class DataSet:
    """One data set: the training settings of all its arms, and the data held out."""

    settings: dict[str, Any]
    levels: tuple[float, ...]
    """Noise levels compared by default, units of [-1, 1]."""
    held_out: dict[str, Any] | None = None
    """None for the mixture, whose law is known."""
    extractor: str | dict[str, Any] | None = None
    quick: dict[str, Any] = field(default_factory=dict)


def _transformer(patch: int, width: int) -> dict[str, Any]:
    return {"name": "image_transformer_v1", "patch_size": patch, "width": width}


_MIXTURE = {
    "data": {"name": "mixture", "n": 100_000, "std": TAU},
    "batch_size": 256,
    "end_step": 16_000,
    "optimizer": {"lr": 1e-3, "schedule": "cosine"},
}
_QUICK_MIXTURE = {"data": {"n": 5000}, "end_step": 300}
_PICTURES = {"batch_size": 64, "optimizer": {"lr": 1e-3, "schedule": "cosine"}}
_MULTIPLES_OF_TAU = tuple(multiple * TAU for multiple in (1, 2, 3, 5))

DATA = {
    "mixture": DataSet(
        {**_MIXTURE, "model": {"name": "mlp", "width": 128, "depth": 3}},
        _MULTIPLES_OF_TAU,
        quick=_QUICK_MIXTURE,
    ),
    "mixture-fourier": DataSet(
        {**_MIXTURE, "model": {"name": "mlp", "width": 128, "depth": 3, "features": 64}},
        _MULTIPLES_OF_TAU,
        quick=_QUICK_MIXTURE,
    ),
    "digits": DataSet(
        {**_PICTURES, "data": {"name": "digits", "split": "train"}, "model": _transformer(2, 64), "end_step": 2000},
        (0.1, 0.2, 0.4),
        {"name": "digits", "split": "test"},
        "pixels",
        quick={"end_step": 60},
    ),
    "fashion-mnist": DataSet(
        {**_PICTURES, "data": "fashion-mnist", "model": _transformer(4, 64), "end_step": 2000},
        (0.1, 0.2, 0.4),
        {"name": "fashion-mnist", "split": "test"},
        "lenet",
        quick={"end_step": 20},
    ),
    "photo-patches": DataSet(
        {**_PICTURES, "data": "photo-patches", "model": _transformer(4, 64), "end_step": 2000},
        (0.1, 0.2, 0.4),
        {"name": "photo-patches", "split": "test"},
        {"name": "efficientnet-lite0", "size": 64},
        quick={"end_step": 20},
    ),
}
