"""Weights files whose metadata are damaged or hostile: refused by name, before anything of their size is allocated."""

from __future__ import annotations

import copy
import json
import struct
import time
from pathlib import Path

import pytest
import torch

from ambientkit.checkpoint.weights import save_weights
from ambientkit.config import Source, dump, resolve
from ambientkit.errors import InputError
from ambientkit.interfaces import Signal
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.registry import load
from ambientkit.sample import load_run
from ambientkit.sample.load import WEIGHTS


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> bytes:
    config = resolve(Source({"data": "digits", "model": {"name": "mlp", "width": 16, "depth": 2}}), load())
    signal = Signal((1, 8, 8), 0.5)
    with isolated_global_generator(0, "test"):
        network = config.model.network(signal)
    file = tmp_path_factory.mktemp("run") / WEIGHTS
    metadata = {
        "config": dump(config),
        "signal": {"shape": [1, 8, 8], "sigma_data": 0.5, "conds": {}},
        "step": 3,
        "data": {"units": {"mapping": None, "layout": "N..."}, "sigma_n": [0.2, 0.2]},
    }
    save_weights(file, network, metadata)
    return file.read_bytes()


def changed(content: bytes, folder: Path, key: str, path: tuple[str, ...], value: object) -> Path:
    """The file with one value of its metadata replaced."""
    size = struct.unpack("<Q", content[:8])[0]
    header = copy.deepcopy(json.loads(content[8 : 8 + size]))
    tree = json.loads(header["__metadata__"][key])
    holder = {"": tree}
    place, name = holder, ""
    for word in path:
        place, name = place[name], word
    place[name] = value
    header["__metadata__"][key] = json.dumps(holder[""])
    text = json.dumps(header).encode()
    file = folder / "changed.safetensors"
    file.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
    return file


@pytest.mark.parametrize(
    ("key", "path", "value", "complaint"),
    [
        ("config", ("model", "width"), 10**9, r"do not fit this model: .* misshaped \(blocks"),
        ("config", ("model", "width"), 10**18, "cannot be built|do not fit this model"),
        ("config", ("model", "depth"), 10**7, "a network of more than .* tensors, but the file has"),
        ("config", ("model", "depth"), 3, "missing"),
        ("signal", ("shape",), [1, -8, 8], "shape should be a list of whole numbers above 0"),
        ("signal", ("shape",), [1, 8, 0], "shape should be a list of whole numbers above 0"),
        ("signal", ("shape",), [1, 2**40, 2**40], "shape"),
        ("signal", ("shape",), "abc", "shape should be a list of whole numbers above 0, not abc"),
        ("signal", ("shape",), [1, 8.0, 8], "shape should be a list"),
        ("signal", ("shape",), [], "shape"),
        ("signal", ("sigma_data",), 0.0, "sigma_data should be above 0 and finite"),
        ("signal", ("sigma_data",), -1.0, "sigma_data should be above 0 and finite"),
        ("signal", ("sigma_data",), float("nan"), "sigma_data should be above 0 and finite"),
        ("signal", ("conds",), {"class_cond": [-1]}, r"conds\.class_cond should be a list"),
        ("signal", ("conds",), 3, "its metadata are not those"),
        ("step", (), -1, "step -1"),
        ("step", (), "many", "its metadata are not those"),
        ("data", ("sigma_n",), [0.3, -0.2], "sigma_n"),
        ("data", ("sigma_n",), [0.3, float("inf")], "sigma_n"),
        ("config", (), [], "do not fit this model"),
    ],
)
def test_metadata_that_cannot_be_true_are_refused_by_name_at_once(written, tmp_path, key, path, value, complaint):
    file = changed(written, tmp_path, key, path, value)
    began = time.monotonic()
    with pytest.raises(InputError, match=complaint) as refused:
        load_run(file, load())
    assert str(file) in str(refused.value)
    assert time.monotonic() - began < 20


def test_the_file_as_it_was_is_read_to_the_bit(written, tmp_path):
    file = changed(written, tmp_path, "step", (), 4)
    run = load_run(file, load())
    assert (run.step, run.signal.shape, run.path) == (4, (1, 8, 8), file)
    assert run.device == torch.device("cpu")
    assert all(
        tensor.device.type == "cpu" and bool(tensor.isfinite().all()) for tensor in run.network.state_dict().values()
    )
