"""The extractor `lenet`: a small network trained here, on clean clothes with their labels."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ambientkit.builtin.data.fashion_mnist import SIDE, FashionMNIST
from ambientkit.builtin.extractors.networks import by_chunks, load_tensors
from ambientkit.errors import InputError, RunError
from ambientkit.interfaces import Extractor
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator

EPOCHS, BATCH, LR = 2, 256, 2e-3

logger = logging.getLogger("ambientkit")


class LeNet(Extractor):
    """A LeNet taught to distinguish the ten kinds of clothes of clean Fashion-MNIST: the 64 values before its last
    layer.

    An extractor of the domain, for rows 1 x 28 x 28 in [-1, 1]. It is trained when first asked, for two epochs on the
    60,000 labelled rows (seconds), by one thread and keyed generators, so that one kind of machine always finds the
    same weights; they are kept in a file.
    """

    name = "lenet"
    source = "LeCun et al. (1998), Proc. IEEE 86 (11), section II; trained on arXiv 1708.07747"

    seed: int = Field(0, ge=0)
    """Seed of its weights and of the order of the rows."""
    weights: Path | None = None
    """A .safetensors file: read where it exists, otherwise written after training. By default below XDG_CACHE_HOME
    (~/.cache)."""
    folder: Path | None = None
    """Where Fashion-MNIST is, as for the data set `fashion-mnist`; with `weights` only, since what is trained on it is
    kept."""

    @model_validator(mode="after")
    def _kept_by_name(self) -> LeNet:
        if self.folder is not None and self.weights is None:
            raise ValueError("folder: give weights too, the file in which a network trained on these rows is kept")
        return self

    def features(self, pictures: Tensor) -> Tensor:
        """(N, 1, 28, 28) to (N, 64), float32. Raises InputError for other shapes, and where neither weights nor data
        are there."""
        return by_chunks(pictures, self._network(pictures)[:-1])  # type: ignore[index]

    def class_probabilities(self, pictures: Tensor) -> Tensor:
        """(N, 1, 28, 28) to (N, 10), float32: how likely the network takes each picture for each kind of clothes.
        Raises InputError as `features` does."""
        return by_chunks(pictures, self._network(pictures)).softmax(1)

    def _network(self, pictures: Tensor) -> nn.Sequential:
        if tuple(pictures.shape[1:]) != (1, SIDE, SIDE):
            raise InputError(
                f"extractor 'lenet': reads rows of shape (1, {SIDE}, {SIDE}), not {tuple(pictures.shape[1:])}"
            )
        return trained(self.seed, self.weights or _cached(self.seed), self.folder, str(pictures.device))


@cache
def trained(seed: int, weights: Path, folder: Path | None, device: str = "cpu") -> nn.Sequential:
    """The network, from its file or trained and written there. Raises InputError where the file is unfit or the data
    are missing."""
    if weights.suffix != ".safetensors":
        raise InputError(f"extractor 'lenet': weights: should be a .safetensors file, but is {weights}")
    with isolated_global_generator(seed, "extractor.lenet"):
        network = _layers()
    if weights.is_file():
        try:
            network.load_state_dict(load_tensors(weights, "lenet"))
        except RuntimeError as error:
            raise InputError(
                f"extractor 'lenet': {weights}: does not fit the network ({' '.join(str(error).split())[:200]})"
            ) from None
    else:
        data = FashionMNIST(folder=folder)
        labels = data.labels()
        rows = data.rows()
        logger.info("extractor lenet: training on %d labelled rows; kept in %s", len(labels), weights)
        _train(network, torch.stack([rows[i].x_0 for i in range(len(labels))]), labels, seed)
        _write(weights, network)
    return network.to(torch.device(device)).eval().requires_grad_(False)


def _layers() -> nn.Sequential:
    first = [nn.Conv2d(1, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2, 2), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*first, nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10))


def _train(network: nn.Module, x: Tensor, labels: Tensor, seed: int) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR)
    with one_thread(), torch.enable_grad():
        for epoch in range(EPOCHS):
            order = torch.randperm(len(x), generator=keyed_generator(seed, "extractor.lenet.order", step=epoch))
            for index in order.split(BATCH):
                loss = nn.functional.cross_entropy(network(x[index]), labels[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order, on any number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cached(seed: int) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ambientkit" / f"lenet-fashion-mnist-{seed}.safetensors"


def _write(path: Path, network: nn.Module) -> None:
    """Whole or not at all."""
    from safetensors.torch import save_file

    aside = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(network.state_dict(), aside)
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise RunError(f"{path}: the weights of extractor 'lenet' cannot be written ({error.strerror})") from error
