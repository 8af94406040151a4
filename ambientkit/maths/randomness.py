"""Keyed random generators: the one place where randomness comes from.

A generator is a pure function of (seed, purpose, rank, step, row), so a run resumes to the same bits without a saved
generator state, and sampling in the middle changes nothing in training. torch's global generator is never touched.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Generator, Tensor

_MASK = 0xFFFFFFFF
Mixed = TypeVar("Mixed", int, Tensor)
_global = threading.RLock()
"""Held by the thread that has torch's global generator, which all threads of a process share."""


def _unlocked() -> None:
    global _global
    _global = threading.RLock()


if hasattr(os, "register_at_fork"):  # the thread that held it is not there in the child
    os.register_at_fork(after_in_child=_unlocked)


@lru_cache(maxsize=16)  # a batch asks for the same key once for every row
def _hashed(seed: int, purpose: str, rank: int, step: int) -> int:
    key = f"{seed}\x1f{purpose}\x1f{rank}\x1f{step}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "little")


def derive_seed(seed: int, purpose: str, *, rank: int = 0, step: int = 0, row: int = 0) -> int:
    """A 32-bit seed for one key.

    (seed, purpose, rank, step) is hashed; the row is then added and mixed by a bijection of 32-bit integers. So two
    rows below 2**32 never share a seed under the same key, although torch's CPU generator looks at 32 bits only.

    Source: the mixing step is the 32-bit finaliser of MurmurHash3 (public domain, A. Appleby).
    """
    return _mixed((_hashed(seed, purpose, rank, step) + row) & _MASK)


def derive_seeds(seed: int, purpose: str, rows: Tensor, *, rank: int = 0, step: int = 0) -> Tensor:
    """`derive_seed` of many rows (n,) at once; int64 (n,)."""
    return _mixed((_hashed(seed, purpose, rank, step) + rows.long()) & _MASK)


def _mixed(value: Mixed) -> Mixed:
    # A product of two numbers of 32 bits may leave the 63 bits of a tensor's integers; its low 32 bits, which are all
    # that is used, are right still.
    value = ((value ^ (value >> 16)) * 0x85EBCA6B) & _MASK
    value = ((value ^ (value >> 13)) * 0xC2B2AE35) & _MASK
    return value ^ (value >> 16)


def keyed_generator(
    seed: int, purpose: str, *, rank: int = 0, step: int = 0, row: int = 0, device: str | torch.device = "cpu"
) -> Generator:
    """A fresh `torch.Generator` for the key (seed, purpose, rank, step, row); equal keys give equal streams."""
    return Generator(device).manual_seed(derive_seed(seed, purpose, rank=rank, step=step, row=row))


@contextmanager
def isolated_global_generator(seed: int, purpose: str, *, rank: int = 0, step: int = 0) -> Iterator[None]:
    """Run code that insists on torch's global generator (weight init, dropout) on a keyed stream, and put the old state
    back. Other threads that ask for it wait."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with _global, torch.random.fork_rng(devices=devices):
        own = derive_seed(seed, purpose, rank=rank, step=step)
        # Not `torch.manual_seed`: it would also leave the seed behind for GPUs that wake up later, and takes as long as
        # the noise of 64 small pictures.
        for generator in (torch.default_generator, *(torch.cuda.default_generators[device] for device in devices)):
            generator.manual_seed(own)
        if torch.backends.mps.is_available():
            torch.mps.manual_seed(own)
        yield
