"""The one place that imports diffusers, transformers and peft: late, since it takes seconds."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch

from ambientkit.errors import InputError


def diffusers() -> ModuleType:
    """The module diffusers, imported at the first call. Raises InputError where it cannot be imported."""
    return _imported("diffusers", "diffusers>=0.42")


def transformers() -> ModuleType:
    """The module transformers, for text encoders. Raises InputError where it cannot be imported."""
    return _imported("transformers", "transformers>=5")


def peft() -> ModuleType:
    """The module peft, for adapters. Raises InputError where it cannot be imported."""
    return _imported("peft", "peft>=0.21")


@contextmanager
def quietly() -> Iterator[None]:
    """No progress bars of diffusers and transformers inside: reading from the disk takes a second or two."""
    logs = [importlib.import_module(f"{name}.utils.logging") for name in ("diffusers", "transformers") if _there(name)]
    for log in logs:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in logs:
            log.enable_progress_bar()


def _there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _imported(name: str, requirement: str) -> ModuleType:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        # Under the device "meta", on which a network is described, torch 2.6 cannot import its compiler.
        with torch.device("cpu"):
            return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"{name} cannot be imported ({error}): install ambientkit-diffusers together with what it requires: "
            f"pip install '{requirement}'"
        ) from error
