"""`ambientkit export --format diffusers`: diffusers' own classes read the folder, offline, and give the same denoiser
and the same pictures."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from ambientkit.checkpoint.names import WEIGHTS
from ambientkit.checkpoint.weights import save_weights
from ambientkit.config import Source, dump, resolve
from ambientkit.errors import InputError
from ambientkit.export import export
from ambientkit.interfaces import Signal
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.registry import load
from ambientkit.sample import load_run
from ambientkit.sample.schedule import levels

SHAPE = (1, 8, 8)
SIGMA_DATA, SIGMA_MIN, SIGMA_MAX = 0.37, 0.01, 20.0


@pytest.fixture(scope="module")
def write_run(drawn):
    def write_run(folder, shape=SHAPE, model="unet2d", **more):
        tree = {"data": "digits", "levels": {"sigma_min": SIGMA_MIN, "sigma_max": SIGMA_MAX}}
        fields = (
            {"channels": [32, 32], "layers_per_block": 1, "dropout": 0.2, **more}
            if model == "unet2d"
            else {"width": 8, "depth": 1}
        )
        config = resolve(Source({**tree, "model": {"name": model, **fields}}), load())
        signal = Signal(shape, SIGMA_DATA, {"class_cond": ()} if more else {})
        metadata = {
            "config": dump(config),
            "signal": {"shape": shape, "sigma_data": SIGMA_DATA, "conds": dict(signal.conds)},
            "step": 10_000,
        }
        folder.mkdir()
        save_weights(folder / WEIGHTS, drawn(config.model, signal), metadata)
        return folder

    return write_run


@pytest.fixture(scope="module")
def exported(write_run, tmp_path_factory):
    """(our denoiser, the folder)."""
    place = tmp_path_factory.mktemp("exported")
    folder = write_run(place / "run")
    export(folder, "diffusers", place / "out")
    return load_run(folder, load()).denoiser, place / "out"


def test_diffusers_classes_give_the_same_denoiser(exported):
    from diffusers import EDMEulerScheduler, UNet2DModel

    ours, folder = exported
    with isolated_global_generator(0, "test"):
        network = UNet2DModel.from_pretrained(folder, subfolder="unet").eval()
    scheduler = EDMEulerScheduler.from_pretrained(folder, subfolder="scheduler")
    x = torch.randn(4, *SHAPE, generator=keyed_generator(0, "x"))
    for sigma in (0.01, 0.3, 2.0, 20.0):
        level = torch.tensor(sigma)
        with torch.no_grad():
            output = network(scheduler.precondition_inputs(x, level), scheduler.precondition_noise(level)).sample
        theirs = scheduler.precondition_outputs(x, output, level)
        expected = ours(x, torch.full((4,), sigma))
        assert float((theirs - expected).abs().max()) < 1e-6 * max(1.0, float(expected.abs().max()))
        assert float(output.std()) > 0.01  # the network has a say


def test_the_pipeline_draws_what_euler_s_rule_draws_with_our_denoiser(exported):
    from diffusers import DiffusionPipeline

    ours, folder = exported
    with isolated_global_generator(0, "test"):
        pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        batch_size=3, num_inference_steps=6, generator=torch.Generator().manual_seed(5), output_type="pt"
    ).images
    x = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(5)) * (SIGMA_MAX**2 + 1) ** 0.5
    grid = levels("karras", 6, SIGMA_MAX, SIGMA_MIN).squeeze(1)
    for sigma_t, sigma_s in zip(grid[:-1], grid[1:], strict=True):
        slope = (x - ours(x, sigma_t.expand(3).float())) / per_row(sigma_t.expand(3).float(), x)
        x = x + float(sigma_s - sigma_t) * slope
    expected = (x / 2 + 0.5).clamp(0, 1)
    assert ((expected > 0) & (expected < 1)).float().mean() > 0.2  # not all of it is cut off
    torch.testing.assert_close(drawn, expected, atol=1e-4, rtol=0)


@pytest.mark.touches_global_generator  # the lines that are shown run as a user runs them
@pytest.mark.parametrize("more", [{}, {"num_classes": 3}], ids=["plain", "classes"])
def test_the_lines_that_are_shown_give_pictures(write_run, tmp_path, monkeypatch, more):
    monkeypatch.chdir(tmp_path)
    shown = str(export(write_run(tmp_path / "run", **more), "diffusers")).partition("with that library alone:")[2]
    assert "ambientkit" not in shown
    found: dict = {}
    exec(shown.replace("num_inference_steps=32", "num_inference_steps=2"), found)
    assert [picture.size for picture in found["pictures"]] == [(8, 8)] * 4
    assert (tmp_path / "picture.png").is_file()


def test_the_folder_holds_safetensors_and_json_without_paths_of_the_machine(exported):
    _, folder = exported
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    }
    for name in files - {"unet/diffusion_pytorch_model.safetensors"}:
        text = (folder / name).read_text()
        assert str(folder.parent) not in text
        assert "ambientkit" not in json.dumps(json.loads(text))
    assert load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")


def test_what_the_pipeline_cannot_draw_is_refused_and_nothing_is_written(write_run, tmp_path):
    with pytest.raises(InputError, match="draws square pictures only, and these are 8 x 16"):
        export(write_run(tmp_path / "wide", (1, 8, 16)), "diffusers", tmp_path / "out")
    with pytest.raises(
        InputError,
        match=r"its model 'mlp' cannot be written as --format diffusers\. Forms that can express it: ambientkit$",
    ):
        export(write_run(tmp_path / "mlp", model="mlp"), "diffusers", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlp", "wide"]
