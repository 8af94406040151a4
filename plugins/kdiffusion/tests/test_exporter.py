"""`ambientkit export --format k-diffusion`: k-diffusion's own functions read the file and give the same denoiser, bit
for bit."""

from __future__ import annotations

import json

import pytest
import torch
from ambientkit_kdiffusion.library import k_diffusion
from safetensors import safe_open
from safetensors.torch import load_file

from ambientkit.checkpoint.names import WEIGHTS
from ambientkit.checkpoint.weights import save_weights
from ambientkit.config import Source, dump, resolve
from ambientkit.errors import InputError
from ambientkit.export.write import export, finished_of
from ambientkit.interfaces import Signal
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.registry import load
from ambientkit.sample import load_run

UNET = {
    "type": "image_v1",
    "input_channels": 1,
    "input_size": [8, 8],
    "mapping_out": 32,
    "depths": [1, 1],
    "channels": [32, 32],
}
UNET |= {"self_attn_depths": [True, True], "loss_config": "karras"}
MODELS = {
    "transformer": ({"name": "image_transformer_v1", "depth": 1}, (1, 8, 8)),
    "transformer-classes": ({"name": "image_transformer_v1", "depth": 1, "num_classes": 3, "patch_size": 2}, (1, 8, 8)),
    "transformer-wide-rows": ({"name": "image_transformer_v1", "depth": 1, "patch_size": [2, 4]}, (3, 8, 16)),
    "unet-classes": ({"name": "image_v1", "depths": [1, 1], "channels": [32, 32], "num_classes": 3}, (1, 8, 8)),
    "unet-with-dropout": ({"name": "image_v1", "depths": [1, 1], "channels": [32, 32], "dropout_rate": 0.3}, (1, 8, 8)),
    "unet-of-a-configuration": (
        {
            "name": "image_v1",
            "config": {
                "model": {
                    **UNET,
                    "augment_wrapper": True,
                    "has_variance": True,
                    "sigma_data": 0.7,
                    "dropout_rate": 0.1,
                },
                "dataset": {"type": "imagefolder", "location": "/data/of/somebody/pictures"},
            },
        },
        (1, 8, 8),
    ),
}


def write_run(folder, model, shape):
    """A run of an untrained network, all of whose values are drawn."""
    config = resolve(
        Source({"data": "digits", "model": model, "levels": {"sigma_min": 0.01, "sigma_max": 20.0}}), load()
    )
    signal = Signal(shape, 0.37, {"class_cond": ()} if "num_classes" in model else {})
    with isolated_global_generator(0, "test"):
        network = config.model.network(signal)
        for parameter in network.parameters():
            parameter.data = torch.randn(parameter.shape) * 0.1
    metadata = {
        "config": dump(config),
        "signal": {"shape": shape, "sigma_data": 0.37, "conds": dict(signal.conds)},
        "step": 10_000,
    }
    folder.mkdir()
    save_weights(folder / WEIGHTS, network, metadata)
    return folder


@pytest.mark.filterwarnings("ignore:of the k-diffusion configuration these are not used")
@pytest.mark.parametrize(("model", "shape"), MODELS.values(), ids=MODELS)
def test_k_diffusion_reads_the_same_denoiser_bit_for_bit(tmp_path, model, shape):
    folder = write_run(tmp_path / "run", model, shape)
    file = tmp_path / "out.safetensors"
    export(folder, "k-diffusion", file)
    K = k_diffusion()  # from here on with nothing of ambientkit
    with isolated_global_generator(0, "test"):
        config = K.config.load_config(file)
        network = K.config.make_model(config).eval().requires_grad_(False)
    network.load_state_dict(load_file(file))
    theirs = K.config.make_denoiser_wrapper(config)(network)
    ours = load_run(folder, load()).denoiser
    x = torch.randn(4, *shape, generator=keyed_generator(0, "x"))
    cond = {"class_cond": torch.tensor([0, 1, 2, 3])} if "num_classes" in model else {}
    given = {"mapping_cond": torch.eye(4)[:, :3]} if cond and model["name"] == "image_v1" else cond
    for sigma in (torch.logspace(-2, 1, 4), torch.full((4,), 0.5)):
        expected = ours(x, sigma, **cond)
        assert expected.std() > 0.01
        assert torch.equal(theirs(x, sigma, **given), expected)
        assert torch.equal(
            K.Denoiser(network, sigma_data=config["model"]["sigma_data"])(x, sigma, **given), expected
        )  # as in its sample.py
    assert (config["model"]["sigma_min"], config["model"]["sigma_max"]) == (0.01, 20.0)
    assert config["model"]["input_size"] == list(shape[1:])
    assert "somebody" not in json.dumps(safe_open(file, "pt").metadata())


@pytest.mark.touches_global_generator  # the lines that are shown draw as a user's would
@pytest.mark.parametrize("model", ["transformer-classes", "unet-classes"])
def test_the_lines_that_are_shown_draw_samples(tmp_path, model):
    folder = write_run(tmp_path / "run", *MODELS[model])
    file = tmp_path / "o'ut \"of.safetensors"
    shown = str(export(folder, "k-diffusion", file)).partition("with that library alone:")[2]
    assert "ambientkit" not in shown
    found: dict = {}
    exec(shown.replace("karras(32", "karras(2"), found)
    assert found["samples"].shape == (4, 1, 8, 8)
    assert found["samples"].isfinite().all()


def test_the_same_run_gives_the_same_file(tmp_path):
    folder = write_run(tmp_path / "run", *MODELS["transformer"])
    for name in ("a", "b"):
        export(folder, "k-diffusion", tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_another_model_is_refused_with_the_forms_that_can_and_nothing_is_written(tmp_path):
    folder = write_run(tmp_path / "run", {"name": "mlp", "width": 8, "depth": 1}, (1, 8, 8))
    with pytest.raises(
        InputError,
        match=r"its model 'mlp' cannot be written as --format k-diffusion\. Forms that can express it: ambientkit$",
    ):
        export(folder, "k-diffusion")
    assert [path.name for path in folder.iterdir()] == [WEIGHTS]


def test_the_file_must_end_in_safetensors_by_which_k_diffusion_knows_it(tmp_path):
    folder = write_run(tmp_path / "run", *MODELS["transformer"])
    with pytest.raises(
        InputError, match=r"out\.pth: the form k-diffusion is one file whose name ends in \.safetensors"
    ):
        export(folder, "k-diffusion", tmp_path / "out.pth")
    assert finished_of(load_run(folder, load())).levels == (0.01, 20.0)


@pytest.mark.parametrize("more", [{"positions": "learned"}, {"canvas": [8, 8]}])
def test_what_k_diffusion_has_not_is_refused_with_the_forms_that_can(tmp_path, more):
    write_run(tmp_path / "run", {"name": "image_transformer_v1", "depth": 1, **more}, (1, 8, 8))
    with pytest.raises(InputError, match="Forms that can express it: ambientkit"):
        export(tmp_path / "run", "k-diffusion", tmp_path / "file.safetensors")
