"""Weights of a network as a safetensors file with the run's configuration in its metadata, and the strict way back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from ambientkit.checkpoint.base import NONE, Base, kept
from ambientkit.checkpoint.folder import FORMAT_VERSION, write_file
from ambientkit.checkpoint.sharded import shard, whole
from ambientkit.errors import InputError
from ambientkit.text import listed


def to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None) -> bytes:
    """Tensors as a safetensors file; metadata values are stored as JSON texts."""
    # Clones: safetensors refuses tensors that share memory.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return _sorted_header(
        save(
            plain,
            {key: json.dumps(value) for key, value in {"format_version": FORMAT_VERSION, **(metadata or {})}.items()},
        )
    )


def _sorted_header(content: bytes) -> bytes:
    """The same file with its metadata in order: safetensors writes them in an order that changes from call to call."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[end:]


def _value(text: str) -> Any:
    """A metadata value: JSON where it is, else the text itself (other libraries write {"format": "pt"})."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def from_bytes(content: bytes, where: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a safetensors file. Raises InputError naming `where` for a malformed file or non-finite
    weights."""
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = {key: _value(text) for key, text in header.get("__metadata__", {}).items()}
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: not a valid safetensors file ({' '.join(str(error).split())[:200]})") from None
    version = metadata.pop("format_version", FORMAT_VERSION)  # the first files had none
    if version != FORMAT_VERSION:
        raise InputError(
            f"{where}: format {version!r} is not known to this version of ambientkit, which reads {FORMAT_VERSION}"
        )
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(f"{where}: tensor {name!r} holds values that are not finite")
    return tensors, metadata


def save_weights(path: Path, network: nn.Module, metadata: Mapping[str, Any], base: Base = NONE) -> None:
    """Write a network's weights to `path`, whole or not at all, as `weights_file`."""
    write_file(path, weights_file(network, metadata, base))


def weights_file(network: nn.Module, metadata: Mapping[str, Any], base: Base = NONE) -> bytes:
    """A network's weights as a safetensors file. Of a frozen base the metadata hold the digest, and the file no
    tensor."""
    return to_bytes(kept(network, base), {**metadata, **base.entry()})


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a weights file. Raises InputError naming the file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return from_bytes(content, str(path))


def check_fit(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise InputError listing every tensor that is missing, surplus, misshaped, or not of floating point (as in
    quantised files), for a network. own: its tensors, also on the device "meta"."""
    both = own.keys() & tensors.keys()
    misshaped = {
        f"{name} {tuple(tensors[name].shape)} for {tuple(own[name].shape)}"
        for name in both
        if own[name].shape != tensors[name].shape
    }
    other = {
        f"{name} {str(tensors[name].dtype).removeprefix('torch.')}"
        for name in both
        if own[name].is_floating_point() and not tensors[name].is_floating_point()
    }
    problems = []
    for word, names in (
        ("missing", own.keys() - tensors.keys()),
        ("surplus", tensors.keys() - own.keys()),
        ("misshaped", misshaped),
        ("not of floating point", other),
    ):
        if names:
            problems.append(f"{len(names)} {word} ({listed(sorted(names), limit=20)})")
    if problems:
        raise InputError(f"{where}: the weights do not fit this model: {'; '.join(problems)}")


def fill(network: nn.Module, tensors: Mapping[str, Tensor], where: str, base: Base = NONE) -> None:
    """Load tensors into a network, strictly. Raises InputError listing every missing, surplus and misshaped tensor;
    nothing is loaded then.

    base: the frozen parameters of the network, which need not be given; where they are, as in a file of another
    program, it must be the same. Of a network whose weights are sharded over processes all must call it."""
    own = network.state_dict()
    for name in sorted(base.names & tensors.keys()):
        frozen = whole(own[name])
        if not torch.equal(tensors[name].to(frozen), frozen):
            raise InputError(f"{where}: tensor {name!r} is frozen in this model, but has other values in this file")
    tensors = {name: value for name, value in tensors.items() if name not in base.names}
    check_fit(kept(network, base), tensors, where)
    with torch.no_grad():
        network.load_state_dict({name: shard(value, own[name]) for name, value in tensors.items()}, strict=not base)
