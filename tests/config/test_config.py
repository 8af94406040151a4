"""Configurations: merged in order, checked with the place of every mistake, and the same after a round trip."""

from __future__ import annotations

import pytest

import ambientkit as ak
from ambientkit.config import Source, dump, load_file, merge, resolve
from ambientkit.config.files import from_settings
from ambientkit.config.run import differences, to_yaml
from ambientkit.errors import InputError
from ambientkit.registry import load


def read(tmp_path, text, *settings):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return resolve(merge([load_file(path), *from_settings(settings)]), load())


def test_the_defaults_are_a_whole_configuration():
    config = resolve(Source({}), load())
    assert (config.data.name, config.model.name) == ("digits", "mlp")
    assert config.objective[0].objective.name == "tweedie"
    assert {entry.objective.name for entry in config.objective} > {"tweedie"}
    assert "reverse-kernel" in config.sampler.claims


def test_what_is_written_to_a_run_folder_reads_back_as_the_same_run(tmp_path):
    config = read(tmp_path, "end_step: 5\nobjective: {name: tweedie, cap: 3}\ncorruption: {sigma_n: [0.1, 0.2]}\n")
    assert read(tmp_path, to_yaml(dump(config))) == config
    assert differences(dump(config), dump(resolve(Source({}), load())))[0].path == "corruption.sigma_n"


def test_later_sources_win_key_by_key(tmp_path):
    (tmp_path / "base.yaml").write_text("optimizer: {lr: 1e-3, weight_decay: 0.5}\nmodel: {name: mlp, width: 8}\n")
    (tmp_path / "more.json").write_text('{"optimizer": {"lr": 2e-3}, "model": {"depth": 2}}')
    config = resolve(
        merge(
            [load_file(tmp_path / "base.yaml"), load_file(tmp_path / "more.json"), *from_settings(["model.width=16"])]
        ),
        load(),
    )
    assert (config.optimizer.lr, config.optimizer.weight_decay) == (2e-3, 0.5)
    assert config.model.model_dump()["width"] == 16
    assert config.model.model_dump()["depth"] == 2


def test_another_part_does_not_inherit_the_fields_of_the_one_it_replaces(tmp_path):
    config = read(tmp_path, "objective: {name: tweedie, cap: 3}\n", "objective={name: naive}")
    assert config.objective[0].objective.name == "naive"


def test_model_and_objective_may_be_written_in_one_word():
    config = ak.configure("digits", sigma_n=0.3, model="mlp{width: 16, depth: 1}", objective="tweedie{near: 0.5}")
    assert (config.model.width, config.model.depth) == (16, 1)
    assert [entry.objective.near for entry in config.objective] == [0.5]
    with pytest.raises(InputError, match="unknown key 'widht'"):
        ak.configure("digits", sigma_n=0.3, model="mlp{widht: 16}")


def test_one_number_inside_a_recipe_can_be_set(tmp_path):
    config = read(
        tmp_path,
        "{}",
        "objective.name=tweedie-consistency",
        "objective.terms.1.weight=0.3",
        "objective.terms.1.objective.fraction=0.5",
    )
    assert config.objective[1].weight == 0.3
    assert config.objective[1].objective.model_dump()["fraction"] == 0.5
    assert config.objective[0].weight == 1.0


def test_weights_come_in_as_fractions_of_the_run_or_in_steps(tmp_path):
    text = "objective:\n- {objective: tweedie}\n- {objective: consistency, weight: 0.1, start: %s, ramp: %s}\n"
    by_share, by_step = (read(tmp_path, text % pair).objective[1] for pair in (("0.2", "0.1"), ("20", "10")))
    for step in (0, 19, 20, 25, 30, 99):
        assert by_share.weight_at(step, 100) == by_step.weight_at(step, 100)
    assert by_step.weight_at(19, 100) == 0
    assert 0 < by_step.weight_at(20, 100) < by_step.weight_at(25, 100) < by_step.weight_at(30, 100) == 0.1


def test_a_term_of_every_fourth_step_has_no_weight_in_the_others(tmp_path):
    entry = read(tmp_path, "objective:\n- {objective: tweedie, weight: 0.5, start: 2, every: 4}\n").objective[0]
    assert [entry.weight_at(step, 100) for step in range(9)] == [0, 0, 0, 0, 0.5, 0, 0, 0, 0.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("end_step: 1\nlr: 3\n", r"run\.yaml:2: lr: unknown key 'lr'"),
        ("batch_sise: 3\n", r"run\.yaml:1: batch_sise: .*did you mean 'batch_size'"),
        ("optimizer:\n  weight_decy: 3\n", r"run\.yaml:2: optimizer\.weight_decy: .*did you mean 'weight_decay'"),
        ("seed: 1\nend_step: 1\nseed: 2\n", r"run\.yaml:3: has the key 'seed' twice, first at line 1; keep one"),
        (
            "a: 1\nb:\n- c: 1\n  d: 2\n\n  c: hf_hidden\n",
            r"run\.yaml:6: has the key 'c' twice, first at line 3; keep one$",
        ),
        (
            "format_version: 999\n",
            r"run\.yaml:1: format_version: 999 is not known to this version of ambientkit, which reads 1",
        ),
        (
            "optimizer: {name: adagrad}\n",
            r"run\.yaml:1: optimizer\.name: should be 'adamw', 'sgd', .*, but is 'adagrad'",
        ),
        (
            "optimizer: {name: sgd, betas: [0.8, 0.9]}\n",
            r"run\.yaml:1: optimizer: betas belongs to adamw, but sgd was chosen",
        ),
        ("a:\n\t- b\n", r"run\.yaml:2: not valid YAML"),
        ("", "holds nothing"),
        ("- 1\n", "should hold a mapping"),
        ("end_step: .nan\n", r"run\.yaml:1: end_step: .*finite"),
        ("end_step: -5\n", r"run\.yaml:1: end_step: .*greater than or equal to 1, but is -5"),
        ("end_step: soon\n", r"run\.yaml:1: end_step: .*'soon'"),
        ("model:\n  name: mlp\n  widht: 4\n", r"run\.yaml:3: model\.widht: .*did you mean 'width'"),
        ("objective: twedie\n", r"run\.yaml:1: objective: there is no objective 'twedie'; did you mean 'tweedie'\?"),
        ("objective: []\n", "empty list"),
        (
            "objective:\n- {objective: tweedie, wieght: 1}\n",
            r"run\.yaml:2: objective\.0\.wieght: .*did you mean 'weight'",
        ),
        ("objective:\n- {objective: tweedie-consistency}\n", "recipe lists objectives only"),
        ("levels: {sigma_min: 2, sigma_max: 1}\n", "must be below"),
        ("levels: {sigma_min: 1.0e-300}\n", r"levels\.sigma_min: .*greater than or equal to 0\.000001"),
        ("levels: {sigma_max: 1.0e+300}\n", r"levels\.sigma_max: .*less than or equal to 1000000"),
        ("levels: {sigma_max: .inf}\n", r"levels\.sigma_max: .*finite"),
        ("seed: 2020-01-01\n", r"run\.yaml:1: seed should be a number"),
    ],
)
def test_mistakes_are_reported_with_file_line_and_nearest_name(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_yaml_tags_run_nothing(tmp_path):
    """Case H-07."""
    canary = tmp_path / "CANARY"
    with pytest.raises(InputError):
        read(
            tmp_path,
            f"seed: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{canary}']]\n",
        )
    assert not canary.exists()


@pytest.mark.parametrize("setting", ["end_step", "=3", "a..b=1", "end_step=[1"])
def test_settings_that_cannot_be_read_are_refused(setting):
    with pytest.raises(InputError, match="--set"):
        from_settings([setting])


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.yaml: there is no such"):
        load_file(tmp_path / "gone.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.yaml: cannot be read as UTF-8"):
        load_file(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        ({"optimizer": {"lr": True}}, "optimizer.lr"),
        ({"optimizer": {"betas": [0.9, False]}}, "optimizer.betas"),
        ({"end_step": True}, "end_step"),
        ({"sigma_data": True}, "sigma_data"),
        ({"optimizer": {"decay_start": True, "schedule": "inverse-sqrt"}}, "optimizer.decay_start"),
        ({"corruption": {"name": "gaussian", "sigma_n": True}}, "corruption.sigma_n"),
        ({"corruption": {"name": "gaussian", "sigma_n": [0, True]}}, "corruption.sigma_n"),
        ({"model": {"name": "mlp", "width": True}}, "model.width"),
        ({"objective": [{"objective": "tweedie", "weight": True}]}, "objective.0.weight"),
        ({"objective": [{"objective": "tweedie", "stop": False}]}, "objective.0.stop"),
    ],
)
def test_true_and_false_are_no_numbers(tree, place):
    with pytest.raises(InputError, match=rf"{place}: should be a number, not true or false"):
        resolve(Source(tree), load())


def test_true_and_false_are_what_switches_take():
    assert resolve(Source({"checkpointing": True, "compile": False}), load()).checkpointing is True
