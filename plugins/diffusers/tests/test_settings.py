"""The ready settings of examples/sdxl, from a folder of pictures to a LoRA that diffusers reads, on the tiny SDXL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ambientkit as ak
from ambientkit.maths.randomness import keyed_generator

pytestmark = pytest.mark.slow

SETTINGS = Path(__file__).parents[3] / "examples" / "sdxl"


@pytest.mark.parametrize("name", [pytest.param("ffhq", marks=pytest.mark.thorough), "laion"])
def test_settings_run_from_pictures_to_a_lora(name: str, tiny_sdxl: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(4):
        noise = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((36, 32)).save(pictures / f"{index}.png")
        (pictures / f"{index}.txt").write_text("face")
    own = {"path": str(pictures), "pipeline": str(tiny_sdxl), "size": 32, "cache": str(tmp_path / "store")}
    run = ak.train(
        config=[
            SETTINGS / f"{name}.yaml",
            {"data": own, "model": {"path": str(tiny_sdxl)}, "end_step": 2, "sample_n": 1, "sigma_data": 0.5},
        ],
        output_dir=tmp_path / "run",
        device="cpu",
        skip_preflight=True,
    )
    assert run.ended.state == "finished"
    drawn = run.sample(1, prompt="face", guidance=5.0, steps=2)
    assert drawn.shape == (1, 4, 16, 16)
    assert drawn.isfinite().all()
    exported = run.export("diffusers-lora", tmp_path / "lora")
    from diffusers import StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_sdxl, local_files_only=True, add_watermarker=False)
    pipeline.load_lora_weights(exported.path)
    pipeline.set_progress_bar_config(disable=True)
    with torch.no_grad():
        drawn = pipeline("face", num_inference_steps=1, output_type="np", generator=keyed_generator(0, "picture"))
        (picture,) = drawn.images
    assert picture.shape == (64, 64, 3)
