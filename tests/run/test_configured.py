"""A run that names no model gets the one that suits its rows; one that names any is what it always was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ambientkit as ak
from ambientkit.builtin.models.mlp import MLP
from ambientkit.config import Source, dump, load_file, resolve
from ambientkit.config.request import Request
from ambientkit.interfaces import Denoiser, Model, Signal
from ambientkit.proposal import Proposal
from ambientkit.registry import Entry, Registry, load
from ambientkit.run.configured import configured, proposed
from ambientkit.run.folder import CONFIG

FIELDS = {"width": 8, "depth": 1}


class Eager(Model):
    """A perceptron under another name that wants small pictures."""

    name = "eager"
    source = "this test"

    width: int = 16
    depth: int = 3

    @classmethod
    def proposal(cls, shape, conds, rows):
        if len(shape) != 3 or conds:
            return None
        return Proposal(100, f"wants {rows}", FIELDS, {"end_step": 7, "optimizer": {"lr": 3e-3, "schedule": "cosine"}})

    def network(self, signal: Signal) -> torch.nn.Module:
        return MLP(width=self.width, depth=self.depth).network(signal)

    def denoiser(self, network: torch.nn.Module, signal: Signal) -> Denoiser:
        return MLP(width=self.width, depth=self.depth).denoiser(network, signal)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load().including([Eager])


def pictures(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, 1, 6, 6)).astype("f4")


def request(*, data=None, settings=(), sigma_n=None, config=(), **flags) -> Request:
    given = {(name,): (f"--{name}", value) for name, value in flags.items()}
    return Request(data=data, settings=settings, flags=given, sigma_n=sigma_n, config=config)


def test_a_model_that_is_named_in_any_way_changes_nothing_else(registry, tmp_path):
    (tmp_path / "run.yaml").write_text("model: mlp\n")
    today = dump(resolve(Source({}), load()))
    assert today["model"]["name"] == "mlp"
    assert dump(configured(request(model="mlp"), registry, None).config) == today
    assert dump(configured(request(config=(tmp_path / "run.yaml",)), registry, None).config) == today
    narrow = dump(configured(request(settings=("model.width=16",)), registry, None).config)
    assert narrow == {**today, "model": {**today["model"], "width": 16}}


def test_points_are_trained_as_ever(registry):
    assert dump(configured(request(data="mixture"), registry, None).config) == dump(
        resolve(Source({"data": "mixture"}), load())
    )


def test_what_is_proposed_holds_but_for_what_is_given(registry):
    found = configured(request(data=pictures(), sigma_n=0.2), registry, None)
    config = found.config
    assert (config.model.name, config.model.width, config.end_step, config.optimizer.lr) == ("eager", 8, 7, 3e-3)
    assert found.chosen.startswith(
        "model: eager (width 8, depth 1), chosen for 40 rows of shape (1, 6, 6): wants 40. "
        "Trained for 7 steps of 64 rows, rate 0.003, cosine"
    )
    assert len(found.rows) == 40
    given = request(data=pictures(), sigma_n=0.2, end_step=9, settings=("optimizer.lr=1e-4",))
    other = configured(given, registry, None).config
    assert (other.end_step, other.optimizer.lr, other.optimizer.schedule) == (9, 1e-4, "cosine")


def test_without_a_model_for_pictures_the_perceptron_is_taken_and_that_is_said():
    alone = Registry([Entry("model", MLP, "ambientkit", "0")])
    name, proposal = proposed(alone, (1, 8, 8), {}, 100)
    assert (name, proposal.fields, proposal.training) == ("mlp", {}, {})
    assert "one made for pictures learns more" in proposal.why


def test_of_equal_wishes_the_first_by_name_wins_in_any_order():
    class Other(Eager):
        """The same wish."""

        name = "also"

    for order in ([Eager, Other, MLP], [MLP, Other, Eager]):
        asked = Registry([Entry("model", part, "x", "0") for part in order])
        assert proposed(asked, (1, 6, 6), {}, 5)[0] == "also"
        assert proposed(asked, (3,), {}, 5)[0] == "mlp"


def test_the_choice_is_said_and_stored_and_a_resumed_run_keeps_it(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", logger="ambientkit")
    rows = pictures()
    folder = tmp_path / "run"
    more = {"sigma_n": 0.2, "output_dir": folder, "skip_preflight": True, "device": "cpu", "batch_size": 16}
    monkeypatch.setattr("ambientkit.run.configured.proposed", lambda *_: ("mlp", Proposal(9, "small", FIELDS)))
    begun = ak.train(rows, end_step=2, **more)
    assert (begun.config.model.name, begun.config.model.width) == ("mlp", 8)
    assert load_file(folder / CONFIG).tree["model"]["width"] == 8
    assert "model: mlp (width 8, depth 1), chosen for 40 rows" in caplog.text
    monkeypatch.setattr("ambientkit.run.configured.proposed", lambda *_: pytest.fail("chosen again"))
    went_on = ak.train(rows, end_step=4, **more)
    assert (went_on.step, went_on.config.model) == (4, begun.config.model)


def test_a_dry_run_prints_the_choice_as_a_configuration_to_use_again(capsys, monkeypatch, tmp_path):
    from ambientkit.api.training import dry_run_text

    text = dry_run_text(Request(data="digits", sigma_n="0.3"))
    (tmp_path / "again.yaml").write_text(text)
    assert capsys.readouterr().out == ""
    assert dry_run_text(Request(config=(tmp_path / "again.yaml",))) == text
