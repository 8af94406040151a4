"""Configurations that stand for more than they show."""

from __future__ import annotations

import time

import pytest

import ambientkit as ak
from ambientkit.config import load_file
from ambientkit.config.files import DEEPEST, LARGEST, from_settings, too_large
from ambientkit.config.inline import split_fields
from ambientkit.errors import InputError


def bomb(levels: int = 9) -> str:
    """Lists of nine aliases of lists of nine aliases, and so on: a few hundred bytes that stand for 9^levels values."""
    text, last = "a: &a [x,x,x,x,x,x,x,x,x]\n", "a"
    for name in "bcdefghij"[: levels - 1]:
        text += f"{name}: &{name} [{','.join(['*' + last] * 9)}]\n"
        last = name
    return text


def test_a_bomb_of_aliases_is_refused_at_once(tmp_path) -> None:
    (tmp_path / "bomb.yaml").write_text(bomb())
    began = time.monotonic()
    with pytest.raises(InputError, match=f"bomb.yaml: stands for more than {LARGEST:,} values"):
        load_file(tmp_path / "bomb.yaml")
    assert time.monotonic() - began < 20  # a second on an idle machine; written out it would take hours


@pytest.mark.parametrize("depth", [DEEPEST + 2, 400, 600, 100_000])
def test_deep_nesting_is_refused(tmp_path, depth) -> None:
    (tmp_path / "deep.yaml").write_text("a: " + "[" * depth + "]" * depth)
    with pytest.raises(InputError, match="nested more than"):
        load_file(tmp_path / "deep.yaml")
    with pytest.raises(InputError, match="nested more than"):
        from_settings(["a=" + "[" * depth + "]" * depth])
    with pytest.raises(InputError, match=r"nested|should be written"):
        split_fields("array{path: " + "[" * depth + "]" * depth + "}")


def _refused(tree: object) -> str:
    """Why a tree is too large; empty where it is not."""
    try:
        too_large(tree, "here")
    except InputError as error:
        return str(error)
    return ""


def test_what_a_configuration_holds_is_not_too_large_and_one_value_or_level_more_is() -> None:
    assert _refused({"a": [{"b": list(range(1000))}] * 50}) == ""
    values: list[object] = [0] * (LARGEST - 1)  # and the list itself
    assert _refused(values) == ""
    assert _refused([*values, 0]).startswith(f"here: stands for more than {LARGEST:,} values")
    nested: object = 0
    for _ in range(DEEPEST):
        nested = [nested]
    assert _refused(nested) == ""
    assert _refused([nested]).startswith(f"here: is nested more than {DEEPEST} levels deep")


def test_text_that_is_too_long_for_a_name_is_no_path_and_no_error_of_the_system() -> None:
    fields = "array{path: x.npy, sigma_n: " + "[" * 600 + "]" * 600 + "}"
    with pytest.raises(InputError, match=r"nested more than 50 levels deep|the fields should be written"):
        ak.inspect(fields)
    with pytest.raises(InputError, match=r"nested more than 50 levels deep|the fields should be written"):
        ak.evaluate(fields, reference="digits", clean=True)
    for text in ("x" * 5000, "x\0y"):
        with pytest.raises(InputError, match="is neither a data set nor an existing path"):
            ak.inspect(text)
        with pytest.raises(InputError, match="should be a number, LOW,HIGH, an existing file"):
            ak.configure("digits", sigma_n=text)


def test_a_mapping_of_fields_without_the_name_of_a_data_set_is_told_what_it_lacks() -> None:
    with pytest.raises(InputError, match="needs the name of the data set too"):
        ak.inspect({"path": "x.npy"})


@pytest.mark.parametrize("number", ["0_0.6", "1_0", "2024_12", "1_0.5"])
def test_a_number_with_an_underscore_at_an_odd_place_is_refused(tmp_path, number):
    """Case: YAML reads 0_0.6 as 0.6, and 1_0 as 10."""
    file = tmp_path / "run.yaml"
    file.write_text(f"model: mlp\nend_step: {number}\n")
    with pytest.raises(InputError, match=rf"run.yaml:2: .*{number} is no plain number; write it without"):
        load_file(file)
    with pytest.raises(InputError, match=r"set end_step: .*quote it if it is a text"):
        from_settings([f"end_step={number}"])
    file.write_text(f"key: '{number}'\nend_step: 10_000\nother: -1_000_000.5\n")
    assert load_file(file).tree == {"key": number, "end_step": 10_000, "other": -1_000_000.5}
    assert from_settings(["end_step=10_000"])[0].tree == {"end_step": 10_000}
