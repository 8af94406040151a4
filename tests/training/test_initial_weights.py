"""Fine-tuning: from which files a run may begin, and that it begins with all of a file or not at all."""

from __future__ import annotations

import json
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file, save_model

from ambientkit.checkpoint import initial_weights
from ambientkit.checkpoint.weights import load_weights, save_weights
from ambientkit.errors import InputError
from ambientkit.maths.randomness import isolated_global_generator
from tests.support.engine import FLAGS, bits, make


def test_a_run_begins_with_the_average_of_another_and_says_so(ambientkit, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert ambientkit("train", *FLAGS, "--end-step", 4, "--output-dir", first)[0] == 0
    status, out, err = ambientkit(
        "train", *FLAGS, "--end-step", 1, "--lr", "1e-30", "--init-from", first, "--output-dir", second
    )
    assert status == 0, err
    assert f"weights to begin with: {first}/model_ema.safetensors, " in out
    given, found = (load_weights(folder / "model_ema.safetensors")[0] for folder in (first, second))
    for name, value in given.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-7)
    assert f"init_from: {first}" in (second / "config.yaml").read_text()
    for place in (first / "checkpoints" / "checkpoint_4", first / "model_ema.safetensors"):
        tensors, _ = initial_weights(place)
        assert {name: value.tolist() for name, value in tensors.items()} == {
            name: value.tolist() for name, value in given.items()
        }


def test_weights_go_into_the_network_and_into_its_average():
    donor, run = make(seed=5), make(seed=1)
    run.begin_with(donor.bare_network.state_dict(), "here")
    for name, value in donor.bare_network.state_dict().items():
        assert torch.equal(run.bare_network.state_dict()[name], value)
        assert torch.equal(run.average.module.state_dict()[name], value)


def test_what_does_not_fit_is_listed_to_the_last_tensor_and_nothing_is_loaded(ambientkit, tmp_path):
    """Case C-18."""
    tensors = make(model={"name": "mlp", "width": 8, "depth": 2}).bare_network.state_dict()
    del tensors["decode.bias"]
    save_file(tensors, tmp_path / "other.safetensors", metadata={"format": "pt"})
    status, _, err = ambientkit(
        "train", *FLAGS, "--init-from", tmp_path / "other.safetensors", "--output-dir", tmp_path / "run"
    )
    assert status == 2
    assert "1 missing (decode.bias)" in err
    assert (
        "6 surplus (blocks.1.0.bias, blocks.1.0.weight, blocks.1.1.bias, blocks.1.1.weight, blocks.1.3.bias, "
        "blocks.1.3.weight)" in err
    )
    assert "misshaped (" in err
    assert "encode.weight (8, 2) for (16, 2)" in err
    assert not (tmp_path / "run").exists()
    run = make()
    before = bits(run)
    with pytest.raises(InputError, match="do not fit"):
        run.begin_with(tensors, "here")
    assert all(torch.equal(before[name], value) for name, value in bits(run).items())


def test_a_pth_of_k_diffusions_training_is_read_without_running_anything(tmp_path):
    """Its keys are those of k-diffusion's train.py; the average is taken before the raw weights."""
    state, average = {"w": torch.ones(2)}, {"w": torch.full((2,), 3.0)}
    content = {
        "config": {"model": {}},
        "model": state,
        "model_ema": average,
        "opt": {"state": {}},
        "epoch": 1,
        "step": 2,
        "elapsed": 0.5,
    }
    torch.save(content, tmp_path / "a.pth")
    assert initial_weights(tmp_path / "a.pth")[0]["w"].tolist() == [3, 3]
    del content["model_ema"]
    torch.save(content, tmp_path / "b.pth")
    assert initial_weights(tmp_path / "b.pth")[0]["w"].tolist() == [1, 1]
    torch.save(state, tmp_path / "c.pt")
    assert initial_weights(tmp_path / "c.pt")[0]["w"].tolist() == [1, 1]


def test_a_pth_that_would_run_code_is_refused(tmp_path):
    """Cases H-01 and H-02."""
    canary = tmp_path / "CANARY"

    class Bomb:
        def __reduce__(self):
            return (open, (str(canary), "w"))

    torch.save({"model_ema": {"w": torch.ones(1)}, "extra": Bomb()}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.pth").write_text("hello")
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("a.txt", "b")
    for name in ("zip", "plain", "empty", "text", "other"):
        with pytest.raises(InputError, match=rf"{name}\.pth: refused: it does not hold tensors only"):
            initial_weights(tmp_path / f"{name}.pth")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nothing.pth", {"model": {}}, "holds no weights"),
        ("list.pth", [1, 2], "holds no weights"),
        ("nan.pth", {"model": {"w": torch.tensor([float("nan")])}}, "'w' holds values that are not finite"),
    ],
)
def test_a_pth_without_usable_weights_is_refused(tmp_path, name, content, message):
    torch.save(content, tmp_path / name)
    with pytest.raises(InputError, match=message):
        initial_weights(tmp_path / name)


def test_a_file_that_is_not_there_or_of_another_format_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"--init-from .*gone: there is no such file"):
        initial_weights(tmp_path / "gone")
    with pytest.raises(InputError, match=r"--init-from .*model_ema\.safetensors: there is no such file"):
        initial_weights(tmp_path)
    save_weights(tmp_path / "new.safetensors", torch.nn.Identity(), {"format_version": 999})
    with pytest.raises(InputError, match=r"new\.safetensors: format 999 is not known"):
        initial_weights(tmp_path / "new.safetensors")


def test_a_resumed_run_does_not_begin_with_other_weights(ambientkit, tmp_path):
    assert ambientkit("train", *FLAGS, "--end-step", 1, "--output-dir", tmp_path)[0] == 0
    status, _, err = ambientkit("train", "--resume", tmp_path, "--init-from", "elsewhere", "--end-step", 2)
    assert status == 2
    assert "init_from: None in the run, '" in err
    assert "elsewhere' now" in err


def test_k_diffusions_inference_file_begins_a_run_of_its_network(tmp_path):
    """As its convert_for_inference.py writes it: the inner model's tensors, and the configuration in the metadata."""
    k_diffusion = pytest.importorskip("ambientkit_kdiffusion.library").k_diffusion()
    config = {
        "model": {
            "type": "image_transformer_v1",
            "input_channels": 1,
            "input_size": [8, 8],
            "patch_size": [4, 4],
            "width": 64,
            "depth": 1,
        }
    }
    run = make(data={"name": "digits"}, model={"name": "image_transformer_v1", "config": config}, objective="tweedie")
    full = k_diffusion.config.load_config(config)
    with isolated_global_generator(3, "init"):
        inner = k_diffusion.config.make_model(full)
    save_model(inner, str(tmp_path / "k.safetensors"), metadata={"config": json.dumps(full, indent=4)})
    tensors, file = initial_weights(tmp_path / "k.safetensors")
    run.begin_with(tensors, file)
    assert len(tensors) == len(inner.state_dict()) > 10
    assert all(torch.equal(value, inner.state_dict()[name]) for name, value in run.bare_network.state_dict().items())
