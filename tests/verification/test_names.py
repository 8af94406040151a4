"""How parts are named to `ambientkit verify`: by name, kind and fields, or by the file that defines them."""

from __future__ import annotations

import json
import sys

import pytest

from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.errors import InputError
from ambientkit.registry import load
from ambientkit.verification.select import select
from tests.support import forked
from tests.support.verifying import BIASED, ambientkit

pytestmark = pytest.mark.slow


def test_parts_are_named_alone_or_with_their_kind_and_fields_and_a_recipe_stands_for_its_objectives():
    registry = load()
    assert select(["tweedie"], registry) == [Tweedie()]
    assert select(["objective:tweedie{near: 0.25, cap: 9}"], registry) == [Tweedie(near=0.25, cap=9)]
    assert select(["tweedie{near: 0.25}", "tweedie{near: 0.25}"], registry) == [Tweedie(near=0.25)]
    assert select([Tweedie(near=0.25), Tweedie, "tweedie"], registry) == [Tweedie(near=0.25), Tweedie()]
    for text in ("tweedie-consistency", "recipe:tweedie-consistency"):
        assert [part.name for part in select([text], registry)] == ["tweedie", "consistency"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tweedy", "there is no part 'tweedy'; did you mean 'tweedie'?"),
        ("sampler:huen", "there is no sampler 'huen'; did you mean 'heun'?"),
        ("objectve:tweedie", "there is no kind of part 'objectve'; did you mean 'objective'?"),
        ("tweedie{near:0.25}", "with a space after each colon"),
        ("tweedie{near: 0.25", "'tweedie{near: 0.25' is not a part"),
        ("tweedie{naer: 0.25}", "did you mean 'near'?"),
        ("tweedie{near: 7}", "objective.near: should be less than or equal to 1, but is 7"),
    ],
)
def test_what_cannot_be_named_is_refused_with_the_nearest_name(text, complaint):
    with pytest.raises(InputError) as caught:
        select([text], load())
    assert complaint in str(caught.value)


def test_a_file_stands_for_the_parts_it_defines_without_being_installed(tmp_path):
    body = BIASED.replace(
        "@hookimpl", "from ambientkit.interfaces import Mutant\nclass Not(Mutant, Forgetful): name = 'not'\n\n@hookimpl"
    )
    (tmp_path / "aktest_mine.py").write_text(body)
    done = ambientkit("verify", "aktest_mine.py", "--quick", "--json", "out.json", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert {result["part"]["name"] for result in results} == {"forgetful"}
    (failed,) = [result for result in results if result["check"]["name"] == "stationarity"]
    assert failed["verdict"] == "failed"
    again = forked.run(["-c", failed["snippet"]], cwd=tmp_path)
    assert f"statistic={failed['measured']['statistic']}," in again.stdout, again.stderr


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (None, "there is no such file"),
        ("x = 1", "defines no part"),
        ("1 / 0", r"cannot be run \(ZeroDivisionError: division by zero\)"),
        ("import sys; sys.exit(3)", r"cannot be run \(SystemExit: 3\)"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused(tmp_path, body, complaint, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "aktest_useless", raising=False)
    if body is not None:
        (tmp_path / "aktest_useless.py").write_text(body)
    with pytest.raises(InputError, match=complaint):
        select([str(tmp_path / "aktest_useless.py")], load())


def test_a_file_does_not_take_the_place_of_a_module(tmp_path):
    (tmp_path / "json.py").write_text("")
    with pytest.raises(InputError, match="a module of this name exists already"):
        select([str(tmp_path / "json.py")], load())
