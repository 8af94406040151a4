"""Noise of pixels in latents: an encoder that keeps it white passes, each departure is named, and `train` heeds it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ambientkit_diffusers.latents import Latents
from ambientkit_diffusers.pixel_noise import Response, findings, respond
from PIL import Image
from torch.nn.functional import avg_pool2d, pixel_unshuffle

import ambientkit as ak
from ambientkit.batch import Batch
from ambientkit.errors import InputError
from ambientkit.maths.randomness import keyed_generator

NOISE = 0.2


def pictures(n=4):
    """Smooth pictures (3, 32, 32), so that what depends on the content has something to depend on."""
    g = keyed_generator(0, "pictures")
    coarse = torch.rand(n, 3, 4, 4, generator=g) * 2 - 1
    return list(torch.nn.functional.interpolate(coarse, 32, mode="bilinear"))


def kept(x):
    """Every value once: white noise stays white, of the same level."""
    return pixel_unshuffle(x[None], 2)[0]


def judged(encode, seed=0):
    found = respond(lambda x, number: encode(x), pictures(), NOISE, keyed_generator(seed, "noise"))
    return found, {one.name: str(one.verdict) for one in findings(found, NOISE)}


def test_an_encoder_that_keeps_noise_white_passes_at_twenty_seeds():
    # At 5 standard errors a figure fails in 6e-7 of the cases; 20 seeds of 6 figures: 7e-5.
    for seed in range(20):
        found, verdicts = judged(kept, seed)
        assert set(verdicts.values()) == {"fine"}, (seed, found)
        assert found.level == pytest.approx(NOISE, rel=5 * (2 * found.values * 7 / 8) ** -0.5)


@pytest.mark.parametrize(
    ("name", "encode"),
    [
        ("correlation", lambda x: avg_pool2d(kept(x)[None], 3, 1, 1)[0]),
        ("channels", lambda x: kept(x) + 0.5 * kept(x).roll(1, 0)),
        ("channels", lambda x: kept(x) * torch.linspace(0.5, 1.5, 12).reshape(-1, 1, 1)),
        ("signal-dependence", lambda x: kept(x) * (1 + (avg_pool2d(x[None], 9, 1, 4)[0].mean(0)[::2, ::2]) * 2)),
        ("tails", lambda x: kept(x) ** 3),
        ("level", lambda x: kept(x) ** 2),
    ],
    ids=["blurred", "channels mixed", "channels scaled", "by content", "cubed", "squared"],
)
def test_each_departure_from_white_noise_is_named(name, encode):
    _, verdicts = judged(encode)
    assert verdicts[name] == "violated"


def test_what_is_measured_is_kept_to_the_last_bit():
    found, _ = judged(kept)
    assert Response.unpacked(found.packed()) == found


@pytest.fixture
def noisy(tmp_path: Path, tiny_sdxl: Path) -> Latents:
    """Noisy pictures with captions, as latents."""
    home = tmp_path / "pictures"
    home.mkdir()
    for index, picture in enumerate(pictures(3)):
        x = torch.nn.functional.interpolate(picture[None], 64, mode="bilinear")[0]
        x = x + NOISE * torch.randn(x.shape, generator=keyed_generator(0, "noise", row=index))
        values = ((x.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).numpy().astype(np.uint8)
        Image.fromarray(values).save(home / f"{index}.png")
        (home / f"{index}.txt").write_text("a face")
    return Latents(path=home, pipeline=tiny_sdxl, pixel_noise=NOISE, cache=tmp_path / "store", device="cpu")


@pytest.mark.slow
def test_noisy_pictures_are_observations_whose_noise_inspect_measures_and_train_refuses(noisy, tmp_path, caplog):
    rows = noisy.rows()
    row = rows[0]
    assert isinstance(row, Batch)
    assert float(row.sigma_n) == pytest.approx(rows.response.level)
    assert noisy.rows().response == rows.response  # from the store
    shown = str(ak.inspect(noisy))
    assert "the noise of neighbouring cells is correlated by" in shown
    assert "has std" in shown
    with pytest.raises(InputError, match=r"violated. .* depends on the content(.|\n)*allow signal-dependence"):
        ak.train(
            noisy,
            model={"name": "sdxl-lora", "path": str(noisy.pipeline), "scheduler": {"_class_name": "EDMEulerScheduler"}},
            end_step=1,
            batch_size=1,
            output_dir=tmp_path / "run",
            device="cpu",
        )


@pytest.mark.slow
def test_noise_that_is_added_is_known_and_other_noise_is_asked_for(noisy):
    (added,) = Latents(**{**dict(noisy), "pixel_noise": None, "noise_timestep": 100}).rows().noise_findings()
    assert str(added).startswith("noise: fine. white noise of std 0.34")
    (unknown,) = Latents(**{**dict(noisy), "pixel_noise": None}).rows().noise_findings()
    assert str(unknown.verdict) == "not tested"
    assert "give its std as pixel_noise" in unknown.reason


def test_pictures_are_noisy_already_or_noise_is_added(noisy):
    with pytest.raises(ValueError, match="give one"):
        Latents(**{**dict(noisy), "noise_timestep": 10})
