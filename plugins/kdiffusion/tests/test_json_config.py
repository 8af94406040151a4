"""k-diffusion's own JSON configurations: the keys that are read, and those that are refused."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from ambientkit_kdiffusion.image_transformer_v1 import ImageTransformerV1
from ambientkit_kdiffusion.image_v1 import ImageV1
from ambientkit_kdiffusion.library import k_diffusion
from torch import nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Model, Signal
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.registry import load

both = pytest.mark.parametrize("kind", [ImageV1, ImageTransformerV1], ids=lambda kind: kind.name)
MINIMAL = {
    "image_v1": {
        "type": "image_v1",
        "input_channels": 1,
        "mapping_out": 32,
        "depths": [1, 1],
        "channels": [32, 32],
        "self_attn_depths": [False, True],
    },
    "image_transformer_v1": {
        "type": "image_transformer_v1",
        "input_channels": 1,
        "patch_size": [2, 2],
        "depth": 1,
        "width": 64,
    },
}


def written(tmp_path, kind: type[Model], *, dataset=None, **changes) -> str:
    model = {key: value for key, value in {**MINIMAL[kind.name], **changes}.items() if value is not ...}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model": model} | ({} if dataset is None else {"dataset": dataset})))
    return str(path)


@both
def test_a_minimal_configuration_builds_what_k_diffusion_builds_from_it(kind, tmp_path, built, rows):
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
def test_sigma_data_is_the_configuration_s_where_it_states_one(kind, tmp_path, built, rows):
    signal = Signal((1, 8, 8), 0.5)
    x, sigma = rows(signal.shape)
    stated, silent = kind(config=written(tmp_path, kind, sigma_data=0.2)), kind(config=written(tmp_path, kind))
    network = built(silent, signal)
    with torch.no_grad():
        for model, sigma_data in ((stated, 0.2), (silent, 0.5)):
            assert torch.equal(
                model.denoiser(network, signal)(x, sigma),
                k_diffusion().Denoiser(network, sigma_data=sigma_data)(x, sigma),
            )


@both
def test_the_content_is_kept_so_that_a_stored_run_does_not_need_the_file(kind, tmp_path, built):
    path = written(tmp_path, kind)
    model = kind(config=path)
    (tmp_path / "config.json").unlink()
    assert kind(**model.model_dump(mode="json")) == model
    assert model.network is not None
    built(model, Signal((1, 8, 8), 0.5))


def test_labels_of_a_configuration_need_labels_of_the_data(tmp_path, built):
    model = ImageTransformerV1(config=written(tmp_path, ImageTransformerV1, dataset={"num_classes": 10}))
    assert built(model, Signal((1, 8, 8), 0.5, {"class_cond": ()})).class_emb.num_embeddings == 11
    with pytest.raises(InputError, match="class_cond"):
        model.network(Signal((1, 8, 8), 0.5))


@both
def test_what_a_configuration_states_and_nothing_reads_is_named_in_a_warning(kind, tmp_path, built):
    path = written(tmp_path, kind, sigma_max=80, dropuot_rate=0.1, dataset={"type": "imagefolder", "num_classes": 0})
    with pytest.warns(UserWarning, match=r"dataset\.type, model\.dropuot_rate, model\.sigma_max$"):
        built(kind(config=path), Signal((1, 8, 8), 0.5))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        built(kind(config=written(tmp_path, kind)), Signal((1, 8, 8), 0.5))
    assert [str(one.message) for one in said if "of the k-diffusion configuration" in str(one.message)] == []


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
def test_a_configuration_that_contradicts_the_data_or_lacks_something_is_refused(kind, changes, match, tmp_path, built):
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
def test_a_configuration_that_no_network_here_suits_is_refused(kind, changes, match, tmp_path, built):
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
