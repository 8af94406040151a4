"""The model `unet2d`: sizes, refusals, and the checks of what it claims."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch
from ambientkit_diffusers.unet2d import UNet2D

from ambientkit.errors import InputError
from ambientkit.interfaces import Signal
from ambientkit.registry import load
from ambientkit.testing import parametrize_with_checks


@parametrize_with_checks([UNet2D(channels=(32, 32), layers_per_block=1)])
@pytest.mark.slow
def test_the_model_has_the_properties_it_claims(part, check):
    check(part)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 16), (1, 28, 28)], ids=str)
def test_the_denoiser_is_asked_on_the_shape_and_dtype_of_the_rows(shape, drawn):
    signal = Signal(shape, 0.5)
    model = UNet2D(channels=(32, 32), layers_per_block=1)
    denoiser = model.denoiser(drawn(model, signal), signal)
    x = torch.zeros(2, *shape)
    answer = denoiser(x, torch.tensor([0.1, 2.0], dtype=torch.float64))
    assert (answer.shape, answer.dtype) == (x.shape, x.dtype)


def test_the_parameter_counts_in_the_docstring_are_right():
    stated = dict(re.findall(r"(tiny|small|base) ([\d.]+) million", " ".join(UNet2D.__doc__.split())))
    assert list(stated) == ["tiny", "small", "base"]
    for preset, millions in stated.items():
        with torch.device("meta"):
            network = UNet2D(preset=preset).network(Signal((1, 28, 28), 0.5))
        assert f"{sum(parameter.numel() for parameter in network.parameters()) / 1e6:.1f}" == millions


@pytest.mark.parametrize(
    ("model", "signal", "message"),
    [
        (UNet2D(), Signal((2,), 0.5), r"takes pictures of shape \(channels, height, width\)"),
        (UNet2D(), Signal((1, 8, 10), 0.5), "multiples of 4, but the rows are 8 x 10"),
        (UNet2D(), Signal((1, 8, 8), 0.5, {"class_cond": ()}), "takes no class_cond, .*or give num_classes"),
        (UNet2D(num_classes=3), Signal((1, 8, 8), 0.5), "needs one integer label per row"),
        (UNet2D(num_classes=3), Signal((1, 8, 8), 0.5, {"class_cond": (), "angle": ()}), "takes no angle"),
    ],
)
def test_what_does_not_fit_is_refused(model, signal, message):
    with pytest.raises(InputError, match=message):
        model.network(signal)


def test_a_label_is_a_condition_and_one_stands_for_no_class(drawn):
    signal = Signal((1, 8, 8), 0.5, {"class_cond": ()})
    model = UNet2D(
        channels=(64, 64), layers_per_block=1, num_classes=10
    )  # of 32 channels each is a group of its own, and its shift is normalised away
    denoiser = model.denoiser(drawn(model, signal), signal)
    x, sigma = torch.ones(3, 1, 8, 8), torch.full((3,), 0.5)
    with torch.no_grad():
        first, second = (denoiser(x, sigma, class_cond=torch.tensor(labels)) for labels in ([0, 1, 10], [0, 2, 10]))
    torch.testing.assert_close(first[[0, 2]], second[[0, 2]])
    assert not torch.allclose(first[1], second[1])
    assert (model.null_cond("class_cond"), UNet2D().null_cond("class_cond")) == (10, None)


def test_channels_that_the_normalisation_cannot_take_are_refused():
    with pytest.raises(InputError, match="multiple of 32"):
        load().build("model", {"name": "unet2d", "channels": [40]})


@pytest.mark.slow
def test_registering_the_parts_does_not_import_diffusers():
    code = "import sys, ambientkit_diffusers.plugin; sys.exit('diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
