"""`ambientkit sample` with k-diffusion's parts: every sampler in few steps, and pictures of a class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ambientkit.checkpoint.weights import save_weights
from ambientkit.config import Source, dump, resolve
from ambientkit.errors import InputError
from ambientkit.interfaces import Signal
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.registry import load
from ambientkit.sample import draw_to_files, restore_to_files
from ambientkit.sample.load import WEIGHTS

SAMPLERS = ["heun", "ancestral", *(name for name in load().names("sampler") if name.startswith("sample_"))]


def write_run(folder, model, conds=None):
    """A run of an untrained network on pictures 1 x 8 x 8."""
    config = resolve(Source({"data": "digits", "model": model, "levels": {"sigma_max": 10.0}}), load())
    signal = Signal((1, 8, 8), 0.5, conds or {})
    with isolated_global_generator(0, "test"):
        network = config.model.network(signal)
        for parameter in network.parameters():  # the last layer is 0 at first, and the answer then knows no condition
            parameter.data = torch.randn(parameter.shape) * 0.1
    metadata = {
        "config": dump(config),
        "signal": {"shape": signal.shape, "sigma_data": 0.5, "conds": dict(signal.conds)},
        "step": 1,
    }
    folder.mkdir()
    save_weights(folder / WEIGHTS, network, metadata)
    return folder


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", ["karras", "geometric", "cosine"])
def test_every_sampler_and_schedule_gives_finite_samples_in_one_and_two_steps(tmp_path, sampler, schedule):
    """Case D-03."""
    folder = write_run(tmp_path / "run", {"name": "mlp", "width": 8, "depth": 1})
    for steps in (1, 2):
        out = tmp_path / str(steps)
        draw_to_files(folder, out, n=3, steps=steps, sampler=sampler, schedule=schedule, device="cpu")
        assert np.isfinite(np.load(out / "samples.npy")).all()


@pytest.mark.parametrize("sampler", ["ancestral", "sample_dpmpp_2m_sde", "sample_dpmpp_sde", "sample_euler_ancestral"])
def test_samplers_of_the_reverse_kernel_restore_and_others_are_refused(tmp_path, sampler):
    folder = write_run(tmp_path / "run", {"name": "mlp", "width": 8, "depth": 1})
    request = {"noisy": "digits", "sigma_n": 0.2, "n": 3, "draws": 2, "steps": 4, "device": "cpu"}
    restore_to_files(folder, sampler=sampler, out=tmp_path / "out", **request)
    draws = np.load(tmp_path / "out" / "draws.npy")
    assert np.isfinite(draws).all()
    assert np.abs(draws[:, 0] - draws[:, 1]).max() > 0.01
    restore_to_files(folder, sampler=sampler, batch_size=1, out=tmp_path / "single", **request)
    np.testing.assert_allclose(np.load(tmp_path / "single" / "draws.npy"), draws, atol=1e-4)
    with pytest.raises(InputError, match="'sample_heun' does not draw from the reverse kernel"):
        restore_to_files(folder, sampler="sample_heun", out=tmp_path / "no", **request)


def test_a_class_reaches_the_network(tmp_path):
    folder = write_run(
        tmp_path / "run", {"name": "image_transformer_v1", "num_classes": 3, "patch_size": 2}, {"class_cond": ()}
    )
    found = {}
    for classes in ("1", "2", "1,2"):
        draw_to_files(folder, tmp_path / classes, n=4, steps=2, classes=classes, device="cpu")
        found[classes] = np.load(tmp_path / classes / "samples.npy")
    assert np.abs(found["1"] - found["2"]).max() > 1e-3
    np.testing.assert_allclose(found["1,2"][0::2], found["1"][0::2], atol=1e-4)
    np.testing.assert_allclose(found["1,2"][1::2], found["2"][1::2], atol=1e-4)
    with pytest.raises(InputError, match="knows the classes 0 to 2, and 3 for none"):
        draw_to_files(folder, tmp_path / "no", classes=4, device="cpu")
    with pytest.raises(InputError, match="give --class N"):
        draw_to_files(folder, tmp_path / "no", device="cpu")
