"""Which of k-diffusion's networks a run gets that names none, and that it can be built."""

from __future__ import annotations

import pytest
from ambientkit_kdiffusion.image_transformer_v1 import ImageTransformerV1
from ambientkit_kdiffusion.image_v1 import ImageV1

from ambientkit.config import Source, resolve
from ambientkit.interfaces import Model, Signal
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.registry import load
from ambientkit.run.configured import proposed

PLACED = {"positions": "learned"}


@pytest.mark.parametrize(
    ("shape", "rows", "name", "fields"),
    [
        ((1, 8, 8), 1797, "image_transformer_v1", {"patch_size": 4, "width": 128, "depth": 2, **PLACED}),
        ((1, 8, 8), 250, "image_transformer_v1", {"patch_size": 4, "width": 64, "depth": 2, **PLACED}),
        ((1, 28, 28), 60_000, "image_transformer_v1", {"patch_size": 4, "width": 128, **PLACED}),
        ((3, 24, 32), 5000, "image_transformer_v1", {"patch_size": 4, "width": 128, **PLACED}),
        ((2, 20, 30), 5000, "image_transformer_v1", {"patch_size": 5, "width": 128, **PLACED}),
        ((1, 31, 31), 600, "image_transformer_v1", {"patch_size": 4, "width": 64, **PLACED, "canvas": [32, 32]}),
        ((3, 13, 29), 180, "image_transformer_v1", {"patch_size": 4, "width": 64, **PLACED, "canvas": [16, 32]}),
        ((3, 48, 64), 5000, "image_v1", {"preset": "tiny"}),
        ((1, 44, 44), 120, "image_v1", {"preset": "tiny", "canvas": [48, 48]}),
        ((2, 33, 45), 180, "image_v1", {"preset": "tiny", "canvas": [40, 48]}),
        ((1, 256, 256), 5000, "image_v1", {"preset": "tiny"}),
        ((1, 67, 90), 5000, "image_v1", {"preset": "tiny", "canvas": [72, 96]}),
    ],
)
def test_pictures_get_a_network_that_can_be_built(shape, rows, name, fields):
    found, proposal = proposed(load(), shape, {}, rows)
    assert (found, proposal.fields) == (name, fields)
    with isolated_global_generator(0, "proposals"):
        load().build(Model, {"name": found, **fields}).network(Signal(shape, 0.5))
    config = resolve(Source({"model": {"name": found, **fields}, **proposal.training}), load())
    assert config.optimizer.schedule == "cosine"


def test_few_rows_small_pictures_and_the_levels_of_the_rows():
    few, many = (proposed(load(), (1, 16, 16), {}, rows)[1] for rows in (9_999, 10_000))
    assert (few.training["objective"], few.training["batch_size"], few.levels_by_rows) == ("few-rows", 128, True)
    assert "objective" not in many.training
    assert (many.training["batch_size"], many.training["optimizer"]["lr"]) == (128, 3e-3)
    large = proposed(load(), (1, 28, 28), {}, 9_999)[1]
    assert ("objective" in large.training, large.training["batch_size"], large.levels_by_rows) == (False, 64, True)
    larger = proposed(load(), (1, 33, 33), {}, 100)[1]
    assert (larger.training["batch_size"], larger.levels_by_rows) == (16, True)


@pytest.mark.parametrize("shape", [(2,), (64,), (1, 8, 8, 8), (1, 7, 31), (1, 3, 256)])
def test_what_no_network_of_this_plug_in_suits_is_left_to_others(shape):
    assert proposed(load(), shape, {}, 1000)[0] == "mlp"


def test_a_mask_is_one_more_channel_of_the_network_that_pictures_get():
    for shape, name in (((1, 8, 8), "image_transformer_v1"), ((1, 256, 256), "image_v1")):
        found, proposal = proposed(load(), shape, {"mask": shape}, 1000)
        assert found == name
        with isolated_global_generator(0, "proposals"):
            load().build(Model, {"name": found, **proposal.fields}).network(Signal(shape, 0.5, conds={"mask": shape}))


def test_rows_with_conditions_are_left_to_the_user():
    for part in (ImageTransformerV1, ImageV1):
        assert part.proposal((1, 8, 8), {"class_cond": ()}, 1000) is None
        assert part.proposal((1, 256, 256), {"class_cond": ()}, 1000) is None
