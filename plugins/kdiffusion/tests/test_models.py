"""k-diffusion's networks as models: presets by size, its own JSON configurations, its own preconditioning, and clear refusals."""

from __future__ import annotations

import copy
import json
import re
import warnings

import pytest
import torch
from ambientkit_kdiffusion.image_transformer_v1 import ImageTransformerV1
from ambientkit_kdiffusion.image_v1 import ImageV1
from ambientkit_kdiffusion.library import k_diffusion
from torch import nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Model, Signal
from ambientkit.maths.precondition import edm_preconditioning
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.registry import load

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 32, 64), (1, 48, 16)]
MINIMAL = {
    "image_v1": {
        "type": "image_v1",
        "input_channels": 1,
        "mapping_out": 32,
        "depths": [1, 1],
        "channels": [32, 32],
        "self_attn_depths": [False, True],
    },
    "image_transformer_v1": {"type": "image_transformer_v1", "input_channels": 1, "patch_size": [2, 2], "depth": 1, "width": 64},
}
both = pytest.mark.parametrize("kind", [ImageV1, ImageTransformerV1], ids=lambda kind: kind.name)


def built(model: Model, signal: Signal) -> nn.Module:
    """A network whose zero-initialised weights are drawn too, so that its output depends on everything."""
    with isolated_global_generator(0, "test"):
        network = model.network(signal)
    generator = keyed_generator(0, "weights")
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1, generator=generator)
    return network.eval()


def rows(shape: tuple[int, ...], n: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, *shape, generator=keyed_generator(1, "rows")), torch.linspace(0.1, 5.0, n)


@both
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("preset", [None, "tiny", "small", "base"])
def test_each_preset_builds_for_each_size_and_is_asked_on_its_shape(kind, preset, shape):
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
def test_the_larger_presets_give_finite_estimates(kind, preset):
    signal = Signal((3, 16, 16), 0.5)
    model = kind(preset=preset)
    x, sigma = rows(signal.shape)
    with torch.no_grad():
        assert model.denoiser(built(model, signal), signal)(x, sigma).isfinite().all()


@both
def test_the_denoiser_is_k_diffusion_s_own_preconditioning_of_the_inner_model(kind):
    signal = Signal((1, 8, 8), 0.4)
    network = built(kind(), signal)
    x, sigma = rows(signal.shape, 3)
    c = edm_preconditioning(sigma.double(), 0.4)
    c_skip, c_out, c_in = (value.float().reshape(-1, 1, 1, 1) for value in (c.c_skip, c.c_out, c.c_in))
    with torch.no_grad():
        estimate = kind().denoiser(network, signal)(x, sigma)
        torch.testing.assert_close(estimate, c_skip * x + c_out * network(c_in * x, sigma))
        assert torch.equal(estimate, k_diffusion().Denoiser(network, sigma_data=0.4)(x, sigma))
        assert torch.equal(estimate, kind().denoiser(network, signal)(x, sigma.double())), "levels in float64 must change nothing"


@both
def test_several_calls_and_one_backward_reach_every_parameter(kind):
    """As the consistency objective calls it; a parameter without gradient would stop a distributed run."""
    signal = Signal((1, 8, 8), 0.5)
    network = built(kind(), signal).train()
    denoiser = kind().denoiser(network, signal)
    x, sigma = rows(signal.shape)
    (denoiser(x, sigma) * denoiser(x, 0.9 * sigma)).mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@both
def test_the_same_seed_gives_the_same_weights_and_a_copy_gives_the_same_estimates(kind):
    signal = Signal((1, 8, 8), 0.5)
    network = built(kind(), signal)
    x, sigma = rows(signal.shape)
    for other in (built(kind(), signal), copy.deepcopy(network)):
        assert torch.equal(kind().denoiser(network, signal)(x, sigma), kind().denoiser(other, signal)(x, sigma))


@both
def test_dropout_disturbs_training_only(kind):
    """k-diffusion's 2-D attention drops weights in evaluation too, from torch's global generator; that is repaired here."""
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


def test_attention_still_drops_weights_in_training():
    from ambientkit_kdiffusion.repair import TrainingDropout

    network = built(ImageV1(dropout_rate=0.3), Signal((1, 8, 8), 0.5))
    found = [module for module in network.modules() if isinstance(module, TrainingDropout)]
    assert len(found) == 6
    assert {module.p for module in found} == {0.0}
    network.train()
    assert {module.p for module in found} == {0.3}


@both
def test_single_values_of_a_preset_can_be_changed(kind):
    signal = Signal((1, 8, 8), 0.5)
    fields = {"patch_size": 2} | ({"depths": [1, 2], "channels": [32, 96]} if kind is ImageV1 else {"width": 128, "depth": 1})
    model = kind(**fields)
    network = built(model, signal)
    x, sigma = rows(signal.shape)
    assert model.denoiser(network, signal)(x, sigma).shape == x.shape
    if kind is ImageV1:
        assert (network.patch_size, network.channels) == (2, [32, 96])
    else:
        assert (list(network.patch_in.patch_size), network.in_proj.out_features, len(network.blocks)) == ([2, 2], 128, 1)


def test_a_patch_of_the_transformer_may_be_oblong():
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
def test_the_sizes_that_the_refusal_proposes_do_fit(kind, size):
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


def test_a_label_is_a_condition_of_the_transformer():
    signal = Signal((1, 8, 8), 0.5, {"class_cond": ()})
    model = ImageTransformerV1(num_classes=10)
    denoiser = model.denoiser(built(model, signal), signal)
    x, sigma = rows(signal.shape, 3)
    first, second = (denoiser(x, sigma, class_cond=torch.tensor(labels)) for labels in ([0, 1, 10], [0, 2, 10]))
    assert torch.equal(first[[0, 2]], second[[0, 2]])
    assert not torch.allclose(first[1], second[1])


@pytest.mark.parametrize(
    ("model", "conds", "match"),
    [
        (ImageTransformerV1(), {"class_cond": ()}, "or give num_classes"),
        (ImageTransformerV1(num_classes=10), {}, "the data do not carry it"),
        (ImageTransformerV1(num_classes=10), {"class_cond": (3,)}, r"carry it with shape \(3,\)"),
        (ImageTransformerV1(num_classes=10), {"class_cond": (), "angle": ()}, "takes no angle"),
        (ImageV1(), {"class_cond": ()}, "takes no class_cond"),
    ],
)
def test_other_conditions_are_refused(model, conds, match):
    with pytest.raises(InputError, match=match):
        model.network(Signal((1, 8, 8), 0.5, conds))


# ---- k-diffusion's JSON configurations


def written(tmp_path, kind: type[Model], *, dataset=None, **changes) -> str:
    model = {key: value for key, value in {**MINIMAL[kind.name], **changes}.items() if value is not ...}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model": model} | ({} if dataset is None else {"dataset": dataset})))
    return str(path)


@both
def test_a_minimal_configuration_builds_what_k_diffusion_builds_from_it(kind, tmp_path):
    path = written(tmp_path, kind)
    signal = Signal((1, 8, 8), 0.5)
    model = load().build("model", {"name": kind.name, "config": path})
    network = built(model, signal)
    library = k_diffusion().config
    with isolated_global_generator(0, "test"):
        theirs = library.make_model(library.load_config(path))
    assert {name: value.shape for name, value in network.state_dict().items()} == {
        name: value.shape for name, value in theirs.state_dict().items()
    }
    assert type(network) is type(theirs)
    theirs.load_state_dict(network.state_dict())
    x, sigma = rows(signal.shape)
    with torch.no_grad():
        expected = k_diffusion().Denoiser(theirs.eval(), sigma_data=0.5)(x, sigma)
        assert torch.equal(model.denoiser(network, signal)(x, sigma), expected)


@both
def test_sigma_data_is_the_configuration_s_where_it_states_one(kind, tmp_path):
    signal = Signal((1, 8, 8), 0.5)
    x, sigma = rows(signal.shape)
    stated, silent = kind(config=written(tmp_path, kind, sigma_data=0.2)), kind(config=written(tmp_path, kind))
    network = built(silent, signal)
    with torch.no_grad():
        for model, sigma_data in ((stated, 0.2), (silent, 0.5)):
            assert torch.equal(model.denoiser(network, signal)(x, sigma), k_diffusion().Denoiser(network, sigma_data=sigma_data)(x, sigma))


@both
def test_the_content_is_kept_so_that_a_stored_run_does_not_need_the_file(kind, tmp_path):
    path = written(tmp_path, kind)
    model = kind(config=path)
    (tmp_path / "config.json").unlink()
    assert kind(**model.model_dump(mode="json")) == model
    assert model.network is not None
    built(model, Signal((1, 8, 8), 0.5))


def test_labels_of_a_configuration_need_labels_of_the_data(tmp_path):
    model = ImageTransformerV1(config=written(tmp_path, ImageTransformerV1, dataset={"num_classes": 10}))
    assert built(model, Signal((1, 8, 8), 0.5, {"class_cond": ()})).class_emb.num_embeddings == 11
    with pytest.raises(InputError, match="class_cond"):
        model.network(Signal((1, 8, 8), 0.5))


@both
def test_what_a_configuration_states_and_nothing_reads_is_named_in_a_warning(kind, tmp_path):
    path = written(tmp_path, kind, sigma_max=80, dropuot_rate=0.1, dataset={"type": "imagefolder", "num_classes": 0})
    with pytest.warns(UserWarning, match=r"dataset\.type, model\.dropuot_rate, model\.sigma_max$"):
        built(kind(config=path), Signal((1, 8, 8), 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        built(kind(config=written(tmp_path, kind)), Signal((1, 8, 8), 0.5))


@both
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"input_channels": 3}, "says input_channels 3, but the rows have 1"),
        ({"input_size": [28, 28]}, r"says input_size \[28, 28\], but the rows are 8 x 8"),
        ({"input_size": 32}, "says input_size 32"),
        ({"input_channels": ...}, r"lacks model\.input_channels"),
        ({"dropout_rate": "much"}, "k-diffusion cannot build"),
    ],
)
def test_a_configuration_that_contradicts_the_data_or_lacks_something_is_refused(kind, changes, match, tmp_path):
    with pytest.raises(InputError, match=match):
        built(kind(config=written(tmp_path, kind, **changes)), Signal((1, 8, 8), 0.5))


@pytest.mark.parametrize(
    ("kind", "changes", "match"),
    [
        (ImageV1, {"unet_cond_dim": 2}, r"asks for conditions \(unet_cond_dim\)"),
        (ImageV1, {"depths": [1, 1, 1, 1], "channels": [32] * 4, "self_attn_depths": [False] * 4}, "at least 16"),
        (ImageV1, {"mapping_out": ...}, r"lacks model\.mapping_out"),
        (ImageTransformerV1, {"width": 100}, "multiple of 64, not 100"),
        (ImageTransformerV1, {"width": ...}, r"lacks model\.width"),
        (ImageTransformerV1, {"patch_size": [3, 2]}, "a height that is a multiple of 3"),
        (ImageTransformerV1, {"patch_size": 2}, "k-diffusion cannot build"),
    ],
)
def test_a_configuration_that_no_network_here_suits_is_refused(kind, changes, match, tmp_path):
    with pytest.raises(InputError, match=match):
        built(kind(config=written(tmp_path, kind, **changes)), Signal((1, 8, 8), 0.5))


@pytest.mark.parametrize("value", [-1.0, 0, "wide"])
def test_sigma_data_must_be_a_positive_number(value, tmp_path):
    model = ImageTransformerV1(config=written(tmp_path, ImageTransformerV1, sigma_data=value))
    with pytest.raises(InputError, match="sigma_data"):
        model.denoiser(nn.Identity(), Signal((1, 8, 8), 0.5))


@both
@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"preset": "tiny", "config": "FILE"}, "give either config, which says everything, or preset, but not both"),
        ({"dropout_rate": 0.1, "config": "FILE"}, "or dropout_rate, but not both"),
        ({"config": "nowhere.json"}, "No such file"),
        ({"config": "TEXT"}, "can be read"),
        ({"config": {"dataset": {}}}, "has a section 'model'"),
        ({"config": {"model": {"type": "image_transformer_v2"}}}, "config.model.type is 'image_transformer_v2'"),
        ({"config": {"model": {}}}, "config.model.type is None"),
        ({"config": 3}, "should be a valid dictionary"),
        ({"preset": "huge"}, "should be 'tiny', 'small' or 'base'"),
        ({"patch_size": 0}, "greater than or equal to 1"),
        ({"dropout": 0.1}, "unknown key 'dropout'; did you mean 'dropout_rate'"),
    ],
)
def test_wrong_fields_are_refused_in_one_sentence(kind, fields, match, tmp_path):
    if fields.get("config") == "FILE":
        fields = fields | {"config": written(tmp_path, kind)}
    if fields.get("config") == "TEXT":
        (tmp_path / "text.json").write_text("not json")
        fields = fields | {"config": str(tmp_path / "text.json")}
    with pytest.raises(InputError, match=match):
        load().build("model", {"name": kind.name, **fields})


def test_stages_that_disagree_are_refused():
    with pytest.raises(InputError, match=r"one value a stage, but are \[1, 1, 1\] and \[32, 64\]"):
        load().build("model", {"name": "image_v1", "channels": [32, 64]})
