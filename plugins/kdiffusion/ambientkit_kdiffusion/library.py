"""The one place that imports k_diffusion: late, since it takes seconds, and with what it needs to run on this
machine."""

from __future__ import annotations

import os
import warnings
from types import ModuleType

import torch

from ambientkit.errors import InputError


def k_diffusion() -> ModuleType:
    """The module k_diffusion, imported at the first call. Raises InputError where it cannot be imported.

    Without CUDA its torch.compile is off unless the environment says otherwise: on a CPU compiling takes half a minute
    and gains nothing. The variable has to be set before the import.
    """
    if not torch.cuda.is_available():
        os.environ.setdefault("K_DIFFUSION_USE_COMPILE", "0")
    try:
        # Under the device "meta", on which a network is described, torch 2.6 cannot import its compiler.
        with torch.device("cpu"), warnings.catch_warnings():
            # Of its dependencies clip and jsonmerge; a user can do nothing about either.
            warnings.filterwarnings("ignore", "pkg_resources is deprecated")
            warnings.filterwarnings("ignore", "jsonschema.RefResolver is deprecated")
            import k_diffusion
    except ImportError as error:
        raise InputError(
            f"k-diffusion cannot be imported ({error}): install ambientkit-kdiffusion together with what it requires, "
            "k-diffusion==0.1.1.post1 and setuptools<81"
        ) from error
    return k_diffusion
