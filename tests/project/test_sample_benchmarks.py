"""`recognised.py` and `generation.py`: what they count, which runs they share, and that figures are not made twice."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support import ROOT

SCRIPTS = ROOT / "examples" / "benchmarks"


def script(name: str, monkeypatch):
    """A script as a module, with those it imports."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.syspath_prepend(str(SCRIPTS.parent))
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def recognised(monkeypatch):
    return script("recognised", monkeypatch)


@pytest.fixture
def generation(monkeypatch):
    return script("generation", monkeypatch)


@pytest.mark.slow
def test_the_classifier_is_sure_of_scans_it_has_not_seen_and_of_no_noise(recognised):
    recogniser = recognised.Recogniser()
    held = recogniser.judge(recognised.scans()[recogniser.others])
    assert held["sure"] == pytest.approx(0.76, abs=0.03)
    assert held["rarest"] > 0.8
    assert held["commonest"] < 1.2
    noise = recogniser.judge(np.random.default_rng(0).standard_normal((500, 1, 8, 8)).clip(-1, 1))
    assert noise["sure"] < 0.02
    one = recogniser.judge(np.repeat(recognised.scans()[recogniser.others][:1], 20, axis=0))
    assert (one["rarest"], one["commonest"]) == (0, 10)


def test_figures_that_are_there_are_taken_and_the_table_has_mean_and_range(recognised, tmp_path, capsys):
    args = argparse.Namespace(folder=tmp_path, sigma_n=0.3, end_step=None, samples=1000)
    for seed, sure in ((0, 0.5), (1, 0.6)):
        figures = {"sure": sure, "rarest": 0.5, "commonest": 1.5, "step": 9}
        (tmp_path / f"default-0.3-default-seed{seed}-1000.json").write_text(json.dumps(figures))
    rows = [{"arm": "default", "seed": seed, **recognised.perform("default", seed, args, None)} for seed in (0, 1)]
    assert "| default | 0, 1 | 55 % (50 % to 60 %) | 0.50 | 1.50 |" in recognised.table(rows)


def test_arms_share_the_runs_that_are_the_same(generation, tmp_path):
    def unit(arm, sigma_n=0.2, by_class=False):
        return generation.Unit(arm, sigma_n, 0, "small", by_class, tmp_path)

    assert unit("truncated").home == unit("tweedie").home
    assert unit("truncated").figures(0) != unit("tweedie").figures(0)
    assert unit("clean", 0.2).home == unit("clean", 0.4).home
    assert unit("clean", 0.2).figures(0) != unit("clean", 0.4).figures(0)
    assert unit("naive", 0.2).home != unit("naive", 0.4).home
    assert len({unit(arm).home for arm in (*generation.OBJECTIVES, *generation.TRUNCATED)}) == len(
        generation.OBJECTIVES
    )
    assert unit("clean-truncated", 0.2).home == unit("clean", 0.4).home
    assert generation.settings(unit("clean-truncated"), "cpu") == generation.settings(unit("clean"), "cpu")
    settings = generation.settings(unit("default", by_class=True), "cpu")
    assert (settings["data"]["labelled"], settings["model"]["num_classes"]) == (True, 10)
    assert generation.settings(unit("clean"), "cpu")["corruption"]["sigma_n"] == 0
    plain = {arm: generation.settings(unit(arm), "cpu") for arm in ("naive", "default")}
    assert plain["naive"] | {"objective": ""} == plain["default"] | {"objective": ""}


@pytest.mark.slow
def test_every_scale_is_a_configuration_whose_network_can_be_built(generation, tmp_path):
    from ambientkit.config import Source, resolve
    from ambientkit.interfaces import Signal
    from ambientkit.maths.randomness import isolated_global_generator
    from ambientkit.registry import load

    for scale in generation.SCALES:
        unit = generation.Unit("default", 0.2, 0, scale, False, tmp_path)
        config = resolve(Source(generation.settings(unit, "cpu")), load())
        with isolated_global_generator(0, "scales"):
            network = config.model.network(Signal((1, 28, 28), 0.7))
        count = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        assert 1 < count < 5 if scale in ("full", "medium", "small") else count < 1


def test_tables_and_gallery_come_from_the_figures_that_lie_there(generation, tmp_path, capsys):
    folder = tmp_path / "runs"
    units = [generation.Unit(arm, 0.2, 0, "tiny", False, folder) for arm in (*generation.REFERENCES, "clean", "naive")]
    for place, unit in enumerate(units):
        for seed in (0, 1):
            unit.figures(seed).parent.mkdir(parents=True, exist_ok=True)
            unit.figures(seed).write_text(json.dumps({"n": 64, "fid[lenet]": place + seed}))
            np.save(unit.samples(seed), np.full((24, 1, 28, 28), place / 4, np.float32))
    rows = generation.collect(units, [0, 1])
    assert {row["arm"] for row in rows} == {"train-rows", "noisy-rows", "clean", "naive"}
    text = generation.table(rows, "tiny", False)
    assert "unconditional, sigma_n 0.2, scale tiny, 64 samples" in text
    assert "| naive | 3.5 (3 to 4) |" in text
    generation.gallery(units, 0, tmp_path / "pictures")
    assert Image.open(tmp_path / "pictures" / "fashion-mnist-0.2-generated.png").width > 400


def test_an_unknown_arm_is_refused_before_anything_is_done(generation, recognised, tmp_path, capsys):
    for module in (generation, recognised):
        with pytest.raises(SystemExit) as stopped:
            module.main(["--arms", "cleen", "--folder", str(tmp_path / "none")])
        assert stopped.value.code == 2
        assert "known are" in capsys.readouterr().err
    assert not Path(tmp_path / "none").exists()
