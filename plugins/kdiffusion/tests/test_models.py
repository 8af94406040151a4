"""k-diffusion's networks as models: presets by size, its own JSON configurations, its own preconditioning, and clear
refusals."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from ambientkit_kdiffusion.image_transformer_v1 import ImageTransformerV1
from ambientkit_kdiffusion.image_v1 import ImageV1
from ambientkit_kdiffusion.library import k_diffusion

from ambientkit.errors import InputError
from ambientkit.interfaces import Model, Signal
from ambientkit.maths.precondition import edm_preconditioning
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.registry import load

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 32, 64), (1, 48, 16)]
both = pytest.mark.parametrize("kind", [ImageV1, ImageTransformerV1], ids=lambda kind: kind.name)


@both
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("preset", [None, "tiny", "small", "base"])
def test_each_preset_builds_for_each_size_and_is_asked_on_its_shape(kind, preset, shape, built, rows):
    signal = Signal(shape, 0.5)
    model = kind() if preset is None else kind(preset=preset)
    network = built(model, signal)
    if preset in (None, "tiny"):  # the larger ones are run once, below
        x, sigma = rows(shape)
        assert model.denoiser(network, signal)(x, sigma).shape == x.shape
    count = sum(parameter.numel() for parameter in network.parameters())
    low, high = {None: (2e5, 1e6), "tiny": (2e5, 1e6), "small": (3e6, 8e6), "base": (2e7, 6e7)}[preset]
    assert low < count < high


@both
def test_the_parameter_counts_in_the_docstring_are_right(kind):
    stated = dict(re.findall(r"(tiny|small|base) ([\d.]+) million", " ".join(kind.__doc__.split())))
    with isolated_global_generator(0, "count"):
        networks = {preset: kind(preset=preset).network(Signal((1, 28, 28), 0.5)) for preset in stated}
    counts = {preset: sum(p.numel() for p in network.parameters()) / 1e6 for preset, network in networks.items()}
    assert set(stated) == {"tiny", "small", "base"}
    assert {preset: f"{count:.{len(stated[preset].partition('.')[2])}f}" for preset, count in counts.items()} == stated


@both
@pytest.mark.parametrize("preset", ["small", "base"])
def test_the_larger_presets_give_finite_estimates(kind, preset, built, rows):
    signal = Signal((3, 16, 16), 0.5)
    model = kind(preset=preset)
    x, sigma = rows(signal.shape)
    with torch.no_grad():
        assert model.denoiser(built(model, signal), signal)(x, sigma).isfinite().all()


@both
def test_the_denoiser_is_k_diffusion_s_own_preconditioning_of_the_inner_model(kind, built, rows):
    signal = Signal((1, 8, 8), 0.4)
    network = built(kind(), signal)
    x, sigma = rows(signal.shape, 3)
    c = edm_preconditioning(sigma.double(), 0.4)
    c_skip, c_out, c_in = (value.float().reshape(-1, 1, 1, 1) for value in (c.c_skip, c.c_out, c.c_in))
    with torch.no_grad():
        estimate = kind().denoiser(network, signal)(x, sigma)
        torch.testing.assert_close(estimate, c_skip * x + c_out * network(c_in * x, sigma))
        assert torch.equal(estimate, k_diffusion().Denoiser(network, sigma_data=0.4)(x, sigma))
        assert torch.equal(estimate, kind().denoiser(network, signal)(x, sigma.double())), (
            "levels in float64 must change nothing"
        )


@both
def test_several_calls_and_one_backward_reach_every_parameter(kind, built, rows):
    """As the consistency objective calls it; a parameter without gradient would stop a distributed run."""
    signal = Signal((1, 8, 8), 0.5)
    network = built(kind(), signal).train()
    denoiser = kind().denoiser(network, signal)
    x, sigma = rows(signal.shape)
    (denoiser(x, sigma) * denoiser(x, 0.9 * sigma)).mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@both
def test_the_same_seed_gives_the_same_weights_and_a_copy_gives_the_same_estimates(kind, built, rows):
    signal = Signal((1, 8, 8), 0.5)
    network = built(kind(), signal)
    x, sigma = rows(signal.shape)
    for other in (built(kind(), signal), copy.deepcopy(network)):
        assert torch.equal(kind().denoiser(network, signal)(x, sigma), kind().denoiser(other, signal)(x, sigma))


@both
def test_dropout_disturbs_training_only(kind, built, rows):
    """k-diffusion's 2-D attention drops weights in evaluation too, from torch's global generator; that is repaired
    here."""
    signal = Signal((1, 8, 8), 0.5)
    model = kind(dropout_rate=0.5)
    network = built(model, signal)
    denoiser = model.denoiser(network, signal)
    x, sigma = rows(signal.shape)
    before = torch.get_rng_state()
    assert torch.equal(denoiser(x, sigma), denoiser(x, sigma))
    assert torch.equal(before, torch.get_rng_state())
    network.train()
    with isolated_global_generator(0, "dropout"):
        assert not torch.equal(denoiser(x, sigma), denoiser(x, sigma))


def test_attention_still_drops_weights_in_training(built):
    from ambientkit_kdiffusion.repair import TrainingDropout

    network = built(ImageV1(dropout_rate=0.3), Signal((1, 8, 8), 0.5))
    found = [module for module in network.modules() if isinstance(module, TrainingDropout)]
    assert len(found) == 6
    assert {module.p for module in found} == {0.0}
    network.train()
    assert {module.p for module in found} == {0.3}


@both
def test_single_values_of_a_preset_can_be_changed(kind, built, rows):
    signal = Signal((1, 8, 8), 0.5)
    fields = {"patch_size": 2} | (
        {"depths": [1, 2], "channels": [32, 96]} if kind is ImageV1 else {"width": 128, "depth": 1}
    )
    model = kind(**fields)
    network = built(model, signal)
    x, sigma = rows(signal.shape)
    assert model.denoiser(network, signal)(x, sigma).shape == x.shape
    if kind is ImageV1:
        assert (network.patch_size, network.channels) == (2, [32, 96])
    else:
        assert (list(network.patch_in.patch_size), network.in_proj.out_features, len(network.blocks)) == (
            [2, 2],
            128,
            1,
        )


def test_a_patch_of_the_transformer_may_be_oblong(built, rows):
    model = ImageTransformerV1(patch_size=(1, 4))
    signal = Signal((1, 5, 32), 0.5)
    x, sigma = rows(signal.shape)
    assert model.denoiser(built(model, signal), signal)(x, sigma).shape == x.shape


# ---- sizes


@both
@pytest.mark.parametrize("size", [(33, 47), (17, 90), (1, 32), (31, 31)])
def test_a_size_that_does_not_fit_is_refused_with_the_allowed_multiple(kind, size):
    with pytest.raises(InputError, match=rf"multiples of \d+ .* {size[0]} x {size[1]}: .*pad them to \d+ x \d+"):
        kind().network(Signal((1, *size), 0.5))


@both
@pytest.mark.parametrize("size", [(33, 47), (17, 90), (31, 31)])
def test_the_sizes_that_the_refusal_proposes_do_fit(kind, size, built, rows):
    with pytest.raises(InputError) as refusal:
        kind().network(Signal((1, *size), 0.5))
    proposals = re.findall(r"them to (\d+) x (\d+)", str(refusal.value))
    assert proposals
    for height, width in proposals:
        signal = Signal((1, int(height), int(width)), 0.5)
        x, sigma = rows(signal.shape, 1)
        assert kind().denoiser(built(kind(), signal), signal)(x, sigma).shape == x.shape


@both
def test_a_patch_size_that_does_not_divide_is_refused(kind):
    with pytest.raises(InputError, match="a height that is a multiple of"):
        kind(patch_size=3).network(Signal((1, 28, 28), 0.5))


def test_a_picture_too_small_for_the_stages_is_refused():
    with pytest.raises(InputError, match="at least 8"):
        ImageV1().network(Signal((1, 4, 4), 0.5))


@both
@pytest.mark.parametrize("shape", [(2,), (8, 8), (1, 1, 8, 8), (1, 0, 8)], ids=str)
def test_rows_that_are_no_pictures_are_refused(kind, shape):
    with pytest.raises(InputError, match=r"\(channels, height, width\)"):
        kind().network(Signal(shape, 0.5))


# ---- conditions


@both
def test_a_label_is_a_condition(kind, built, rows):
    signal = Signal((1, 8, 8), 0.5, {"class_cond": ()})
    model = kind(num_classes=10)
    denoiser = model.denoiser(built(model, signal), signal)
    x, sigma = rows(signal.shape, 3)
    first, second = (denoiser(x, sigma, class_cond=torch.tensor(labels)) for labels in ([0, 1, 10], [0, 2, 10]))
    assert torch.equal(first[[0, 2]], second[[0, 2]])
    assert not torch.allclose(first[1], second[1])


@both
def test_the_label_that_stands_for_no_class(kind):
    assert kind(num_classes=10).null_cond("class_cond") == 10
    assert kind(num_classes=10).null_cond("angle") is None
    assert kind().null_cond("class_cond") is None


def test_the_unet_is_told_nothing_by_the_label_that_stands_for_no_class(built, rows):
    signal = Signal((1, 8, 8), 0.5, {"class_cond": ()})
    model = ImageV1(num_classes=4)
    network = built(model, signal)
    x, sigma = rows(signal.shape, 2)
    found = model.denoiser(network, signal)(x, sigma, class_cond=torch.tensor([4, 4]))
    expected = ImageV1().denoiser(network, Signal((1, 8, 8), 0.5))(
        x, sigma
    )  # k-diffusion's network without its mapping_cond
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "conds", "match"),
    [
        (ImageTransformerV1(), {"class_cond": ()}, "or give num_classes"),
        (ImageTransformerV1(num_classes=10), {}, "the data do not carry it"),
        (ImageTransformerV1(num_classes=10), {"class_cond": (3,)}, r"carry it with shape \(3,\)"),
        (ImageTransformerV1(num_classes=10), {"class_cond": (), "angle": ()}, "takes no angle"),
        (ImageV1(), {"class_cond": ()}, "takes no class_cond"),
        (ImageV1(num_classes=10), {}, "the data do not carry it"),
    ],
)
def test_other_conditions_are_refused(model, conds, match):
    with pytest.raises(InputError, match=match):
        model.network(Signal((1, 8, 8), 0.5, conds))


def test_learned_positions_are_the_only_way_to_tell_a_place():
    """Without them equal patches are embedded alike in every place; with them each has a vector of its own."""
    with isolated_global_generator(0, "positions"):
        network = ImageTransformerV1(patch_size=4, positions="learned").network(Signal((1, 8, 8), 0.5))
        plain = ImageTransformerV1(patch_size=4).network(Signal((1, 8, 8), 0.5))
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in plain.parameters()) + 4 * 64
    patches = torch.zeros(1, 4, 16)
    apart = network.in_proj(patches).detach()
    assert plain.in_proj(patches).abs().max() == 0
    assert (apart[0, 0] - apart[0, 1]).abs().max() > 0
    assert torch.equal(apart[0], network.in_proj.place.detach())
    out = network(torch.zeros(2, 1, 8, 8), torch.ones(2))
    assert out.shape == (2, 1, 8, 8)


def test_a_configuration_says_everything_positions_too():
    config = {
        "model": {"type": "image_transformer_v1", "input_channels": 1, "input_size": [8, 8], "patch_size": [4, 4]}
    }
    with pytest.raises(ValueError, match="positions"):
        ImageTransformerV1(config=config, positions="learned")


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ({"name": "image_transformer_v1", "patch_size": 4, "positions": "learned", "canvas": [12, 16]}, (2, 11, 13)),
        ({"name": "image_v1", "preset": "tiny", "canvas": [12, 16]}, (2, 11, 13)),
    ],
)
def test_pictures_on_a_canvas_are_seen_beside_zeros_and_cut_out_again(spec, shape, rows):
    """The network without a canvas gives the same for the picture with zeros beside it."""
    signal = Signal(shape, 0.5)
    model = load().build(Model, spec)
    with isolated_global_generator(0, "canvas"):
        network = model.network(signal)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    whole = load().build(Model, {key: value for key, value in spec.items() if key != "canvas"})
    larger = Signal((2, 12, 16), 0.5)
    with isolated_global_generator(0, "canvas"):
        plain = whole.network(larger)
    plain.load_state_dict(network.state_dict())  # by the same names
    x, sigma = rows(shape)
    found = model.denoiser(network.eval(), signal)(x, sigma)
    wanted = whole.denoiser(plain.eval(), larger)(torch.nn.functional.pad(x, (0, 3, 0, 1)), sigma)
    assert found.shape == x.shape
    torch.testing.assert_close(found, wanted[..., :11, :13])
    assert found.std() > 0.1


def test_a_canvas_smaller_than_the_rows_is_refused():
    model = load().build(Model, {"name": "image_transformer_v1", "patch_size": 4, "canvas": [8, 16]})
    with pytest.raises(InputError, match="canvas is 8 x 16, but the rows are 11 x 13"):
        model.network(Signal((1, 11, 13), 0.5))
