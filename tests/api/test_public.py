"""Every public function refuses arguments that do not fit by name, and its messages name arguments, where those of the
commands name flags."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ambientkit as ak
from ambientkit import messages
from ambientkit.errors import InputError
from ambientkit.public import public
from ambientkit.spelling import in_python
from ambientkit.tables import Record, Table

FUNCTIONS = [name for name in ak.__all__ if not isinstance(getattr(ak, name), type)]
METHODS = ["sample", "restore", "evaluate", "verify", "attack", "memorization", "report", "export", "card", "status"]


@pytest.mark.parametrize("name", [*FUNCTIONS, *(f"Run.{method}" for method in METHODS)])
def test_an_argument_that_there_is_not_is_refused_by_name_before_anything_is_done(name):
    function = getattr(ak.Run, name[4:]) if name.startswith("Run.") else getattr(ak, name)
    called = name if name.startswith("Run.") else f"ambientkit.{name}"
    with pytest.raises(InputError, match=f"^{called}: there is no argument 'zzz'. It takes"):
        function(None, zzz=1)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ak.Run.sample(None, 4, stps=2), "Run.sample: there is no argument 'stps'; did you mean 'steps'?"),
        (lambda: ak.Run.sample(None, 4, formt="png"), "'formt'; did you mean 'format'?"),
        (
            lambda: ak.Run.evaluate(None, repeat=2),
            "Run.evaluate: there is no argument 'repeat'; did you mean 'repeats'?",
        ),
        (
            lambda: ak.train("x.npy", sigma=0.2),
            "ambientkit.train: there is no argument 'sigma'; did you mean 'sigma_n'?",
        ),
        (lambda: ak.configure("digits", end_stp=2), "'end_stp'; did you mean 'end_step'?"),
        (lambda: ak.configure("digits", warmup_step=2), "'warmup_step'; did you mean 'warmup_steps'?"),
        (lambda: ak.Run.restore(None), "Run.restore: the argument 'noisy' is missing"),
        (lambda: ak.corrupt(sigma=1), "the arguments 'source', 'out' are missing"),
        (
            lambda: ak.Run.sample(None, 4, 2),
            "2 arguments were given without a name, but n alone may be; name the others",
        ),
        (lambda: ak.parts(1), "ambientkit.parts: an argument was given without a name, but it takes none"),
        (lambda: ak.load("runs/a", path="runs/b"), "path is given twice: by its place and by its name"),
    ],
)
def test_the_message_says_what_is_wrong_with_the_arguments(call, said):
    with pytest.raises(InputError) as refused:
        call()
    assert said in str(refused.value)


def test_the_signature_that_a_notebook_shows_has_every_option():
    assert {"n", "steps", "guidance", "format"} <= set(inspect.signature(ak.Run.sample).parameters)
    assert "registry" not in inspect.signature(ak.Run.sample).parameters
    assert {"sigma_n", "lr", "end_step"} <= set(inspect.signature(ak.train).parameters)
    assert inspect.signature(ak.train).parameters["end_step"].default == 10_000
    assert ak.Run.sample.__doc__.startswith("n samples")


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("--sigma-n 0.2: should be above 0", "sigma_n 0.2: should be above 0"),
        ("give another --out, or --force to replace it", "give another out, or force=True to replace it"),
        ("--from: is empty", "noisy: is empty"),
        ("give --set data.sigma_n=LEVEL", "give data.sigma_n=LEVEL"),
        ("(--no-stop-early goes on)", "(stop_early=False goes on)"),
        ("next: ambientkit train --data x.npy\nor --seed 2", "next: ambientkit train --data x.npy\nor seed 2"),
        ("see `ambientkit verify --run RUN`; or --rows", "see `ambientkit verify --run RUN`; or rows"),
        ("a -- b, x--y and 3--4 stay", "a -- b, x--y and 3--4 stay"),
    ],
)
def test_flags_become_arguments_and_commands_to_type_stay(flags, names):
    assert in_python(flags) == names
    assert in_python(names) == names


def test_an_error_names_arguments_in_python_and_flags_for_a_command():
    @public("f")
    def f(form):
        raise InputError(f"--format {form}: there is no such form")

    @public("g")
    def g(format):
        f(format)

    for call in (f, g):  # the innermost one that a program called has named its own argument
        with pytest.raises(InputError) as refused:
            call("x")
        assert str(refused.value) == "form x: there is no such form"
        assert refused.value.for_command() == "--format x: there is no such form"
    assert InputError("--lr").for_command() == "--lr"


def test_the_same_request_is_refused_with_the_argument_and_with_the_flag(ambientkit, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((30, 1, 4, 4), "f4"))
    with pytest.raises(InputError, match=r"^sigma_n loud: should be a number"):
        ak.inspect(tmp_path / "x.npy", sigma_n="loud")
    status, _, err = ambientkit("inspect", tmp_path / "x.npy", "--sigma-n", "loud")
    assert status == 2
    assert "error: --sigma-n loud: should be a number" in err


def test_messages_and_records_name_arguments_too(caplog):
    class Advice(Record):
        def blocks(self):
            return ["lower --lr", Table("by --seed", ("name",), [("--allow noise",)])]

        def to_dict(self):
            return {}

    assert str(Advice()).splitlines() == ["lower lr", "by seed", "name", "allow noise"]
    assert "--" not in Advice()._repr_html_()
    with caplog.at_level(logging.INFO, "ambientkit"):
        messages.warn("take more --steps")
    assert caplog.messages == ["take more steps"]
    assert caplog.records[0].as_command == "take more --steps"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 2.5}, "n should be a whole number, but is 2.5"),
        ({"n": "3"}, "n should be a whole number, but is '3'"),
        ({"n": True}, "n should be a whole number, but is True"),
        ({"steps": None}, "steps should be a whole number, but is None"),
        ({"guidance": "2"}, "guidance should be a number, but is '2'"),
        ({"progress": "no"}, "progress should be True or False, but is 'no'"),
        ({"schedule": None}, "schedule should be a text, but is None"),
        ({"out": 3}, "out should be a path, but is 3"),
    ],
)
def test_a_value_of_another_type_is_refused_by_the_name_of_its_argument(options, said):
    with pytest.raises(InputError, match=f"^Run.sample: {said}$"):
        ak.Run.sample(None, **options)
    with pytest.raises(InputError, match=r"^ambientkit.train: clean should be True or False, but is 'no'$"):
        ak.train("digits", clean="no")


def test_numbers_of_numpy_and_torch_are_those_of_python():
    @public("call")
    def call(n: int, level: Any = None, *, weight: float = 1.0, out: str | Path | None = None) -> tuple:
        return n, level, weight, out

    found = call(np.int64(3), torch.tensor(0.5), weight=np.float32(2), out=Path("a"))
    assert found == (3, 0.5, 2.0, Path("a"))
    assert [type(one) for one in found[:3]] == [int, float, float]
    assert call(np.array(3), np.arange(2))[1].shape == (2,)


@pytest.mark.parametrize(
    ("change", "back", "said"),
    [
        (
            lambda: torch.set_default_dtype(torch.float64),
            lambda: torch.set_default_dtype(torch.float32),
            r"torch's default number type is torch.float64; .* torch.set_default_dtype\(torch.float32\) before",
        ),
        (
            lambda: torch.set_default_device("meta"),
            lambda: torch.set_default_device(None),
            r"torch's default device is meta; .* torch.set_default_device\('cpu'\) before this call",
        ),
    ],
    ids=["number type", "device"],
)
def test_other_defaults_of_torch_are_refused_by_name(change, back, said):
    """They made `train` reject its own corruption, and `sample` end in a RuntimeError."""
    change()
    try:
        with pytest.raises(InputError, match=said):
            ak.Run.sample(None)
    finally:
        back()
