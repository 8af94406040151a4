"""Aspect-ratio buckets: less is cropped, size conditions are true, and a run of several shapes resumes to its bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ambientkit_diffusers.conditions import TIME_IDS
from ambientkit_diffusers.latents import Latents
from PIL import Image

import ambientkit as ak
from ambientkit.errors import InputError

SIZES = [(64, 64), (40, 90), (90, 40), (64, 70), (60, 64), (64, 64)]
"""(height, width) of the pictures."""


@pytest.fixture(scope="module")
def part(tiny_sdxl: Path, tmp_path_factory: pytest.TempPathFactory) -> Latents:
    home = tmp_path_factory.mktemp("buckets")
    (home / "pictures").mkdir()
    for index, (height, width) in enumerate(SIZES):
        coarse = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height)).save(home / "pictures" / f"{index}.png")
        (home / "pictures" / f"{index}.txt").write_text("a face")
    return Latents(
        path=home / "pictures", pipeline=tiny_sdxl, size=32, buckets=True, bucket_step=8, noise_timestep=100,
        cache=home / "store", device="cpu",
    )  # fmt: skip


@pytest.mark.slow
def test_a_picture_goes_into_the_bucket_of_its_ratio_and_says_its_sizes(part: Latents) -> None:
    rows = part.rows()
    assert rows.buckets is not None
    shapes = [tuple(rows[index].x_n.shape) for index in range(len(rows))]
    assert shapes[0] == shapes[3] == shapes[4] == (4, 16, 16)
    assert shapes[1] == (4, 12, 24)
    assert shapes[2] == (4, 24, 12)
    assert [rows.buckets[index] for index in range(6)] == [1, 0, 2, 1, 1, 1]
    # 40 x 90 covers 24 x 48 at a scale of 0.6: 24 x 54, of which the middle is taken.
    assert rows[1].cond[TIME_IDS].tolist() == [40, 90, 0, 3, 24, 48]


@pytest.mark.slow
def test_a_run_on_buckets_trains_and_resumes_to_the_same_bits(part: Latents, tiny_sdxl: Path) -> None:
    def build() -> ak.Training:
        return ak.build(
            ak.configure(
                part,
                model={"name": "sdxl-lora", "path": str(tiny_sdxl), "base_dtype": "float32"},
                objective=[{"objective": "tweedie"}, {"objective": {"name": "consistency", "fraction": 0.5}}],
                levels={"sigma_min": 0.0292, "sigma_max": 14.61},
                end_step=4,
                batch_size=2,
                hold_out=0.0,
                sigma_data=1.0,
                device="cpu",
            )
        )

    whole, half, again = build(), build(), build()
    assert whole.signal.shape == (4, 16, 16)
    seen = set()
    network = whole.bare_network
    handle = network.register_forward_pre_hook(lambda module, args: seen.add(tuple(args[0].shape[2:])))
    list(ak.steps(whole))
    handle.remove()
    assert len(seen) > 1  # several shapes were trained on
    first = iter(ak.steps(half))
    next(first), next(first)
    again.restore(half.state(), "here")
    list(ak.steps(again))
    right = whole.bare_network.state_dict()
    assert all(torch.equal(value, right[name]) for name, value in again.bare_network.state_dict().items())


@pytest.mark.slow
def test_a_folder_of_a_run_on_buckets_is_written_and_sampled(part: Latents, tiny_sdxl: Path, tmp_path: Path) -> None:
    run = ak.train(
        part,
        model={"name": "sdxl-lora", "path": str(tiny_sdxl)},
        levels={"sigma_min": 0.0292, "sigma_max": 14.61},
        end_step=2, batch_size=1, hold_out=0.5, sample_n=1, output_dir=tmp_path / "run", device="cpu",
        skip_preflight=True,
    )  # fmt: skip
    assert run.sample(1, prompt="a face", steps=2).shape == (1, 4, 16, 16)


def test_a_step_of_buckets_that_the_network_cannot_halve_is_refused(part: Latents) -> None:
    with pytest.raises(InputError, match="bucket_step: should be a multiple of 4 pixels, but is 9"):
        Latents(**{**dict(part), "bucket_step": 9}).rows()
