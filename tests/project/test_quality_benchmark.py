"""`examples/benchmarks/quality.py`: it trains what was asked, goes on where figures lie already, and computes the gap
closed."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.slow

SCRIPTS = ROOT / "examples" / "benchmarks"


@pytest.fixture
def quality(monkeypatch):
    """The script as a module, with arms that train for a few steps."""
    return script(monkeypatch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder in which the script has trained its arms."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as monkeypatch:
        rows(script(monkeypatch), folder)
    return folder


@pytest.fixture
def done(trained, tmp_path) -> Path:
    """A copy of it."""
    return shutil.copytree(trained, tmp_path / "done")


def script(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    names = ("quality_arms", "quality_measures", "quality_pictures", "quality")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
    arms, measures = sys.modules["quality_arms"], sys.modules["quality_measures"]
    monkeypatch.setattr(measures, "QUICK_POINTS", 400)
    small = {"end_step": 12, "batch_size": 16, "model": {"name": "mlp", "width": 16}}
    monkeypatch.setitem(arms.DATA, "mixture", replace(arms.DATA["mixture"], quick=small))
    return sys.modules["quality"]


def rows(quality, folder: Path, *more: str) -> list[dict]:
    """What the script writes for three arms."""
    out = folder / "figures.json"
    asked = ["--quick", "--data", "mixture", "--arms", "clean,naive,truncated,tweedie-consistency", "--jobs", "1"]
    kept = ["--folder", str(folder / "runs"), "--json", str(out), "--markdown", str(folder / "tables.md")]
    quality.main([*asked, *kept, *more])
    return json.loads(out.read_text())


def test_every_arm_has_figures_and_the_gap_is_that_of_its_definition(done):
    found = json.loads((done / "figures.json").read_text())
    assert set(found[0]) == {"data", "sigma_n", "arm", "seed", "measure", "value"}
    assert {row["arm"] for row in found} == {
        "perfect",
        "maximum-likelihood",
        "clean",
        "naive",
        "truncated",
        "tweedie-consistency",
    }
    by = {(row["arm"], row["measure"]): row["value"] for row in found}
    name = "denoising error below sigma_n"
    levels = [by["naive", f"denoising error at {share:g} sigma_n"] for share in (0.1, 0.25, 0.5, 0.75)]
    assert by["naive", name] == pytest.approx(sum(levels) / 4)
    gap = (by["naive", name] - by["tweedie-consistency", name]) / (by["naive", name] - by["clean", name])
    assert by["tweedie-consistency", f"gap closed: {name}"] == pytest.approx(gap)
    assert by["clean", f"gap closed: {name}"] == 1
    assert by["perfect", name] < 1e-12
    assert ("truncated", name) not in by  # it denoises as `tweedie` does; only its samples differ
    assert "| tweedie-consistency |" in (done / "tables.md").read_text()


def test_figures_that_are_there_are_not_made_again_and_a_begun_run_goes_on(quality, done, monkeypatch):
    first = json.loads((done / "figures.json").read_text())
    monkeypatch.setattr(quality, "train", lambda unit: pytest.fail(f"{unit} was trained again"))
    assert rows(quality, done) == first


def test_an_unknown_arm_is_refused_with_those_that_are_known(quality, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        rows(quality, tmp_path, "--arms", "clean,tweedy")
    assert stopped.value.code == 2
    assert "tweedy is not known; known are clean, naive" in capsys.readouterr().err


def test_what_fails_is_named_and_the_rest_is_told(quality, tmp_path, monkeypatch, capsys):
    right = quality.train

    def fails(unit):
        if unit.arm == "naive":
            raise RuntimeError("out of luck")
        right(unit)

    monkeypatch.setattr(quality, "train", fails)
    with pytest.raises(SystemExit) as stopped:
        rows(quality, tmp_path)
    assert stopped.value.code == 1
    captured = capsys.readouterr()
    assert "naive" in captured.err
    assert "out of luck" in captured.err
    assert "tweedie-consistency" in captured.out


def test_a_table_tells_the_seeds_of_an_arm_that_has_not_all_of_them(quality):
    one = {"data": "mixture", "sigma_n": 0.2, "measure": "sliced W2"}
    found = [{**one, "arm": "naive", "seed": seed, "value": value} for seed, value in ((0, 1.0), (1, 2.0))]
    found += [{**one, "arm": "sure", "seed": 0, "value": 3.0}]
    text = quality.markdown(found)
    assert "| naive | 1.5 (1 to 2) |" in text
    assert "| sure (seed 0) | 3 |" in text


def measured(arm: str, *values: float, sigma_n: float = 0.2) -> list[dict]:
    one = {"data": "mixture", "sigma_n": sigma_n, "arm": arm}
    return [{**one, "measure": "sliced W2", "seed": seed, "value": value} for seed, value in enumerate(values)]


def with_gaps(rows: list[dict]) -> list[dict]:
    """The rows and the gap closed of each, as `rows_of` has it."""
    by = {(row["sigma_n"], row["arm"], row["seed"]): row["value"] for row in rows}
    gaps = []
    for row in rows:
        naive, clean = (by.get((row["sigma_n"], end, row["seed"])) for end in ("naive", "clean"))
        if naive is not None and clean is not None and naive != clean:
            value = (naive - row["value"]) / (naive - clean)
            gaps.append({**row, "measure": f"gap closed: {row['measure']}", "value": value})
    return rows + gaps


ARM = "tweedie-consistency"


@pytest.mark.parametrize(
    ("naive", "clean", "arm", "cell"),
    [
        ((2.0, 2.2), (1.0, 1.2), (1.1, 1.3), "1.2 (1.1 to 1.3); 90 %"),
        ((1.36, 1.35), (1.35, 1.36), (3.4,), "3.4; -"),  # the range of both ends is their distance
        ((1.9, 1.9), (1.5, 1.5), (12.0, 22.0), "17 (12 to 22); -"),  # the arm's own range is larger
        ((1.9,), (1.5,), (12.0,), "12; -2525 %"),  # one seed and nothing to compare with: the ratio as it is
        ((1.5,), (1.5,), (1.4,), "1.4; -"),  # no division by zero
    ],
)
def test_a_gap_whose_denominator_is_noise_is_a_dash(quality, naive, clean, arm, cell):
    found = with_gaps(measured("naive", *naive) + measured("clean", *clean) + measured(ARM, *arm))
    assert f"| {ARM + ' (seed 0)' * (len(arm) < len(naive))} | {cell} |" in quality.markdown(found)


def test_the_range_of_another_noise_level_stands_in_where_there_is_one_seed(quality):
    found = with_gaps(measured("naive", 1.03) + measured("clean", 1.0) + measured(ARM, 2.0))
    assert f"| {ARM} | 2; -3233 % |" in quality.markdown(found)
    other = with_gaps(measured("naive", 2.0, 2.1, sigma_n=0.3) + measured("clean", 1.0, 1.05, sigma_n=0.3))
    assert f"| {ARM} | 2; - |" in quality.markdown(found + other)


def test_rows_of_equal_ends_have_no_gap(quality, tmp_path):
    """The JSON has no ratio either, where naive and clean are equal."""
    units = [quality.Unit("mixture", 0.2, arm, 0, tmp_path, False) for arm in ("naive", "clean", "sure")]
    for unit in units:
        unit.figures.parent.mkdir(parents=True, exist_ok=True)
        unit.figures.write_text(json.dumps({"figures": {"sliced W2": 1.0 + (unit.arm == "sure")}}))
    assert [row["measure"] for row in quality.rows_of(units)] == ["sliced W2"] * 3


def test_tables_replace_those_between_the_marks_of_a_page(quality, done):
    page = done / "tables.md"
    page.write_text(f"# Tables\n\n{quality.BEGIN}old\n{quality.END}\nAfter.\n")
    rows(quality, done)
    text = page.read_text()
    assert text.startswith(f"# Tables\n\n{quality.BEGIN}**mixture")
    assert text.endswith(f"|\n{quality.END}\nAfter.\n")
    assert "old" not in text


RECORDED = ROOT / "docs" / "quality-tables.md"


def recorded(text: str) -> dict[str, list[list[str]]]:
    """The tables of docs/quality-tables.md: title -> lines of cells, the headings first."""
    found: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"\*\*(.+, sigma_n .+)\*\*", line):
            title = match[1]
            found[title] = []
        elif line.startswith("|") and found and "---" not in line:
            found[title].append([cell.strip() for cell in line.strip().strip("|").split("|")])
    return found


def seeds(label: str) -> int:
    """The number of seeds that a title or the label of an arm names."""
    return len((re.search(r"seeds? ([0-9, ]+)", label) or re.search("(0)", "0"))[1].split(","))


def of_cell(cell: str, n: int) -> list[float]:
    """Values of `n` seeds with the mean and the range of a cell, as far as its digits go."""
    mean, *ends = map(float, re.findall(r"-?[0-9.]+(?:e[-+][0-9]+)?", cell.partition(";")[0]))
    return [*ends, 3 * mean - sum(ends)][: max(n, 3)] if ends else [mean] * n


def gaps_of_noise(quality, text: str) -> Iterator[tuple[str, str, str, bool]]:
    """Title, label, cell and whether its gap should be a dash, of every cell with a gap, by the numbers on the page."""
    tables = recorded(text)
    ranges: dict[tuple[str, str], float] = {}
    for title, (heads, *lines) in tables.items():
        for line in lines:
            for head, cell in zip(heads[1:], line[1:], strict=True):
                if line[0] in ("naive", "clean") and cell:
                    values, key = of_cell(cell, seeds(title)), (title.partition(",")[0], head)
                    ranges[key] = max(ranges.get(key, 0.0), max(values) - min(values))
    for title, (heads, *lines) in tables.items():
        by = {line[0]: line for line in lines}
        for line in lines:
            n = seeds(line[0]) if "(seed" in line[0] else seeds(title)
            for column, cell in enumerate(line):
                if ";" in cell:
                    naive, clean = (of_cell(by[end][column], seeds(title)) for end in ("naive", "clean"))
                    elsewhere = ranges[title.partition(",")[0], heads[column]]
                    yield title, line[0], cell, quality.denominator_is_noise(naive, clean, of_cell(cell, n), elsewhere)


def test_the_page_of_tables_keeps_the_rule_of_the_dash(quality):
    found = list(gaps_of_noise(quality, RECORDED.read_text()))
    assert len(found) > 50
    assert any(dash for *_, dash in found)
    assert [(title, arm, cell) for title, arm, cell, dash in found if dash != cell.endswith("; -")] == []


def test_the_page_of_tables_keeps_its_marks(quality):
    assert quality.put(RECORDED.read_text(), "new\n").count("new\n") == 1
    assert quality.put(RECORDED.read_text(), "new\n") != "new\n"
