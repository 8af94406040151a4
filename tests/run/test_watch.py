"""Evaluations during training: they change no bit of a run, are never written twice, and are shown where a user
looks."""

from __future__ import annotations

import json

import pytest
import torch

from ambientkit.checkpoint.lines import append_line, read_lines
from ambientkit.config import Source, resolve
from ambientkit.config.portable import portable
from ambientkit.errors import InputError
from ambientkit.registry import load
from ambientkit.run.watch import Evaluation
from ambientkit.training import steps
from tests.support.engine import FLAGS, SMALL, SMALL_MODEL, command, contents, finish, log, make
from tests.support.ranks import TWO

pytestmark = pytest.mark.slow

EVALUATE = ["--evaluate-every", 3, "--set", "evaluate_n=32", "--evaluate-data", "mixture{n: 90, seed: 5}"]
WORKER = ["--set", "num_workers=1"]
DIGITS = ["--data", "digits{split: train}", *SMALL_MODEL, "--skip-preflight"]


def evaluations(folder):
    """The lines, without what depends on the clock."""
    found, unreadable = read_lines(folder / "evaluations.jsonl")
    assert unreadable == 0
    return [{key: value for key, value in line.items() if key not in ("time", "seconds")} for line in found]


@pytest.mark.parametrize("extra", [[], ["--grad-accum-steps", 2]])
def test_evaluations_change_no_bit_of_a_run_stopped_and_resumed_or_not(ambientkit, tmp_path, extra):
    """Weights, their average, the optimiser, the log: the files of two checkpoints; once a worker reads the rows."""
    train = ["train", *FLAGS, *extra, "--save-every", 4, "--end-step", 8]
    for name, given in (("quiet", []), ("busy", [*EVALUATE, *(WORKER if extra else [])]), ("broken", EVALUATE)):
        status, _, err = ambientkit(*train, *given, "--output-dir", tmp_path / name)
        assert status == 0, err
    status, _, err = ambientkit("train", "--resume", tmp_path / "broken" / "checkpoints" / "checkpoint_4")
    assert status == 0, err
    assert not (tmp_path / "quiet" / "evaluations.jsonl").exists()
    for name in ("busy", "broken"):
        for step in (4, 8):
            quiet, busy = (contents(tmp_path / folder, step) for folder in ("quiet", name))
            del quiet["average"], busy["average"]  # its metadata say how the run was configured
            assert quiet == busy
    assert evaluations(tmp_path / "busy") == evaluations(tmp_path / "broken")
    assert [line["step"] for line in evaluations(tmp_path / "broken")] == [3, 6, 8]


def test_a_run_killed_between_an_evaluation_and_its_save_evaluates_once(ambientkit, tmp_path):
    """What a later step left is cut, and so is a line that was half written."""
    train = ["train", *FLAGS, *EVALUATE, "--save-every", 6, "--end-step", 12]
    for name in ("whole", "killed"):
        assert ambientkit(*train, "--output-dir", tmp_path / name)[0] == 0
    path = tmp_path / "killed" / "evaluations.jsonl"
    with path.open("a") as lines:
        lines.write('{"format_version": 1, "step": 12, "da')
    (tmp_path / "killed" / "checkpoints" / "checkpoint_12" / "manifest.json").unlink()
    status, out, _ = ambientkit("train", "--resume", tmp_path / "killed")
    assert status == 0
    assert "at step 6 of 12" in out
    assert evaluations(tmp_path / "killed") == evaluations(tmp_path / "whole")


def test_a_run_that_ends_within_an_evaluation_does_it_when_it_goes_on(ambientkit, tmp_path, monkeypatch):
    """The evaluation comes before the save of its step: a checkpoint says that it is there."""
    train = ["train", *FLAGS, *EVALUATE, "--save-every", 3, "--end-step", 9]
    assert ambientkit(*train, "--output-dir", tmp_path / "whole")[0] == 0
    right = Evaluation.line

    def fails(self):
        if self._training.step == 6:
            raise RuntimeError("the machine went down")
        return right(self)

    monkeypatch.setattr(Evaluation, "line", fails)
    monkeypatch.delenv("AMBIENTKIT_DEBUG", raising=False)
    assert ambientkit(*train, "--output-dir", tmp_path / "broken")[0] == 1
    monkeypatch.setattr(Evaluation, "line", right)
    status, out, _ = ambientkit("train", "--resume", tmp_path / "broken")
    assert status == 0
    assert "at step 3 of 9" in out
    assert evaluations(tmp_path / "broken") == evaluations(tmp_path / "whole")
    assert contents(tmp_path / "broken", 9) == contents(tmp_path / "whole", 9)


def test_evaluations_may_begin_change_and_end_when_a_run_is_resumed(ambientkit, tmp_path):
    assert ambientkit("train", *FLAGS, "--end-step", 4, "--output-dir", tmp_path)[0] == 0
    for end, given in ((6, EVALUATE), (8, ["--evaluate-every", 1]), (10, ["--evaluate-every", 0])):
        status, _, err = ambientkit("train", "--resume", tmp_path, "--end-step", end, *given)
        assert status == 0, err
    assert [line["step"] for line in evaluations(tmp_path)] == [6, 7, 8]
    assert [line["step"] for line in log(tmp_path)] == [2, 4, 6, 8, 10]


def test_two_processes_evaluate_once_and_train_to_the_same_bits(tmp_path):
    for name, given in (("quiet", []), ("busy", EVALUATE)):
        run = ["train", *FLAGS, "--end-step", 6, "--save-every", 3, *given, "--output-dir", tmp_path / name]
        status, out, err = finish(command(*run, program=(*TWO, "-m", "ambientkit")))
        assert status == 0, (out, err)
    quiet, busy = (contents(tmp_path / name, 6) for name in ("quiet", "busy"))
    del quiet["average"], busy["average"]
    assert quiet == busy
    assert [line["step"] for line in evaluations(tmp_path / "busy")] == [3, 6]


# --- what is measured -----------------------------------------------------------------------------------------------


def config(**changes):
    return resolve(
        Source({**SMALL, "evaluate_every": 1, "evaluate_n": 400, "data": {"name": "mixture", "n": 4000}, **changes}),
        load(),
    )


def test_a_perfect_denoiser_is_at_the_floor_and_a_useless_one_is_not():
    """The exact denoiser of the mixture in the place of the average: distances as those of other rows, the least
    Tweedie loss of the three."""
    run = make(data={"name": "mixture", "n": 4000}, evaluate_every=1, evaluate_n=400)
    evaluation = Evaluation(run, load())
    found = {}
    for name, teacher in (
        ("exact", run.config.data.law().denoiser()),
        ("identity", lambda x, sigma, **cond: x),
        ("zero", lambda x, sigma, **cond: 0 * x),
    ):
        run.teacher = teacher
        found[name] = evaluation.line()
    for score in found["exact"]["scores"]:
        assert score["value"] < 2.5 * score["floor"]
    for name in ("identity", "zero"):
        assert all(score["value"] > 4 * score["floor"] for score in found[name]["scores"])
        assert found[name]["tweedie_mean"] > 1.1 * found["exact"]["tweedie_mean"]
        assert all(
            a > 0.98 * b for a, b in zip(found[name]["tweedie"]["mean"], found["exact"]["tweedie"]["mean"], strict=True)
        )


def test_rows_that_the_run_does_not_train_on_are_held_out_and_have_noise_of_their_own():
    """A network that has learned its rows by heart is told by the loss on others; the noise differs also where the rows
    are the same."""
    own, other = ({"name": "digits", "split": split} for split in ("train", "test"))
    run = make(data=own, evaluate_every=1, evaluate_n=64)
    held_out = make(data=own, evaluate_every=1, evaluate_n=64, evaluate_data=other)
    lines = [Evaluation(one, load()).line() for one in (run, held_out)]
    assert [line["held_out"] for line in lines] == [False, True]
    assert [line["n"] for line in lines] == [64, 64]
    assert [score["name"] for score in lines[0]["scores"]] == ["patch-w2", "pixel-statistics"]
    same = make(data=own, evaluate_every=1, evaluate_n=64, evaluate_data={"name": "digits", "split": "all"})
    seen, trained = (Evaluation(one, load())._batch for one in (same, run))
    row = int(seen.row[0])
    assert row == int(trained.row[0]) == 0
    assert not torch.equal(seen.x_n[0], trained.x_n[0])


def test_the_lines_follow_the_network(ambientkit):
    run = make(
        data={"name": "mixture", "n": 4000},
        evaluate_every=1,
        end_step=300,
        batch_size=64,
        optimizer={"lr": 5e-3, "warmup_steps": 5},
    )
    evaluation = Evaluation(run, load())
    first = evaluation.line()
    assert {key: value for key, value in first.items() if key not in ("time", "seconds")} == {
        key: value for key, value in evaluation.line().items() if key not in ("time", "seconds")
    }
    for _ in steps(run):
        pass
    last = evaluation.line()
    assert all(
        b < a for a, b in list(zip(first["tweedie"]["mean"], last["tweedie"]["mean"], strict=True))[:3]
    )  # below the spread of the data
    assert last["scores"][0]["name"] == "sliced-w2"
    assert last["scores"][0]["value"] < 0.7 * first["scores"][0]["value"]
    assert all(b["floor"] == a["floor"] for a, b in zip(first["scores"], last["scores"], strict=True))


def test_an_evaluation_that_fails_is_told_and_ends_nothing(ambientkit, tmp_path, monkeypatch):
    def diverged(*_, **__):
        raise InputError("the samples are not finite")

    monkeypatch.setattr("ambientkit.run.watch.draw_all", diverged)
    status, _, err = ambientkit("train", *FLAGS, *EVALUATE, "--end-step", 4, "--output-dir", tmp_path)
    assert status == 0
    assert "warning: step 3: the evaluation failed: the samples are not finite" in err
    assert [line["error"] for line in evaluations(tmp_path)] == ["the samples are not finite"] * 2
    status, out, _ = ambientkit("status", tmp_path)
    assert status == 0
    assert "last evaluation:   step 4: could not be measured: the samples are not finite" in out


# --- where a user sees it -------------------------------------------------------------------------------------------


def test_evaluations_are_shown_while_the_run_goes_by_status_and_in_the_report(ambientkit, tmp_path):
    evaluate = ["--evaluate-every", 3, "--set", "evaluate_n=32", "--evaluate-data", "digits{split: test}"]
    status, out, err = ambientkit("train", *DIGITS, *evaluate, "--end-step", 6, "--output-dir", tmp_path / "run")
    assert status == 0, err
    assert out.count("evaluation at step ") == 2
    status, told, _ = ambientkit("status", tmp_path / "run")
    shown = next(line for line in told.splitlines() if "last evaluation" in line)
    assert "step 6: tweedie " in shown
    assert "patch-w2 " in shown
    assert shown.endswith("; 32 held-out rows")
    facts = json.loads(ambientkit("status", tmp_path / "run", "--json")[1])
    assert facts["evaluation"]["step"] == 6
    status, _, err = ambientkit(
        "report", tmp_path / "run", "-n", 4, "--steps", 2, "--rows", 4, "--device", "cpu", "--out", tmp_path / "r.html"
    )
    assert status == 0, err
    page = (tmp_path / "r.html").read_text()
    assert "Evaluations during training" in page
    for title in ("Tweedie loss, geometric mean over levels, over steps", "patch-w2 to rows of the data, over steps"):
        assert f"<strong>{title}</strong>" in page
    append_line(tmp_path / "run" / "evaluations.jsonl", {"step": 7, "error": "the samples are not finite"})
    assert ambientkit("status", tmp_path / "run")[0] == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["--evaluate-data", "mixture", "--set", "evaluate_data.n=64"],
            "evaluate_data 'mixture': these are the rows that the run trains on",
        ),
        (
            ["--evaluate-data", "digits"],
            "evaluate_data 'digits': its rows have shape (1, 8, 8), those trained on shape (2,)",
        ),
        (["--evaluate-data", "mixture{n: 10}"], "evaluate_data 'mixture': 10 rows; an evaluation needs 16 or more"),
        (["--evaluate-data", "nothing"], "--evaluate-data nothing: is neither a data set nor an existing path"),
        (["--set", "evaluate_data.name=mixtur"], "evaluate_data.name: "),
        (["--set", "evaluate_n=3"], "evaluate_n: "),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_written(ambientkit, tmp_path, given, message):
    status, _, err = ambientkit("train", *FLAGS, "--evaluate-every", 2, *given, "--output-dir", tmp_path / "run")
    assert status == 2
    assert message in err
    assert not (tmp_path / "run").exists()


def test_rows_of_unknown_noise_are_refused_with_the_way_to_say_it(ambientkit, tmp_path):
    import numpy as np

    g = torch.Generator().manual_seed(0)
    np.save(tmp_path / "x.npy", torch.randn(64, 1, 8, 8, generator=g).numpy())
    evaluate = ["--evaluate-every", 2, "--evaluate-data", tmp_path / "x.npy"]
    status, _, err = ambientkit("train", *DIGITS, *evaluate, "--end-step", 2, "--output-dir", tmp_path / "run")
    assert status == 2
    assert "nothing says how noisy these rows are; give --set evaluate_data.sigma_n=LEVEL" in err
    status, _, err = ambientkit(
        "train",
        *DIGITS,
        *evaluate,
        "--set",
        "evaluate_data.sigma_n=0.2",
        "--end-step",
        2,
        "--output-dir",
        tmp_path / "run",
    )
    assert status == 0, err


def test_the_path_of_held_out_rows_stays_out_of_what_is_given_away(tmp_path):
    path = tmp_path / "secret" / "x.npy"
    given = config(evaluate_data={"name": "array", "path": str(path), "sigma_n": 0.2})
    assert portable(given)["evaluate_data"]["path"] == "x.npy"
    assert portable(config())["evaluate_data"] is None
