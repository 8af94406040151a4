"""The parts of a report: nearest rows are the nearest, the log's means are its means, and a chart tells in words what
it draws."""

from __future__ import annotations

import json
import math
import re
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from ambientkit.batch import Batch
from ambientkit.checkpoint.lock import run_lock
from ambientkit.checkpoint.names import LOCK
from ambientkit.checkpoint.status import RunStatus
from ambientkit.errors import InputError
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import load
from ambientkit.report import nearest_rows, read_history
from ambientkit.report.collect import spectra
from ambientkit.report.run import ReportedRun
from ambientkit.run.status import status
from ambientkit.sample import load_run
from ambientkit.webpage import Series, bars, curves, figures_page, histogram, picture_uri
from ambientkit.webpage.axis import Axis
from ambientkit.webpage.bins import histogram_edges
from tests.support.finished import write_run


def normal(*shape: int, key: str = "x") -> torch.Tensor:
    return standard_normal(torch.empty(*shape), keyed_generator(0, key))


def blocks(rows: torch.Tensor, size: int):
    for first in range(0, len(rows), size):
        yield torch.arange(first, min(first + size, len(rows))), rows[first : first + size]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_nearest_row_is_that_of_least_distance_however_the_rows_are_cut(size: int) -> None:
    samples, rows = normal(5, 2, 3, 3), normal(40, 2, 3, 3, key="rows")
    rows[33] = samples[2] + 0.01
    found = nearest_rows(samples, blocks(rows, size))
    every = (samples[:, None] - rows[None]).double().square().flatten(2).mean(2).sqrt()
    assert found.row.tolist() == every.argmin(1).tolist()
    assert torch.allclose(found.distance, every.amin(1))
    assert found.row[2] == 33
    assert float(found.distance[2]) == pytest.approx(0.01, rel=1e-4)


def test_a_copy_is_at_distance_zero_and_of_equal_rows_the_first_counts() -> None:
    samples = 1000 + normal(1, 4)  # far from 0, where a^2 + b^2 - 2ab would lose the difference
    rows = torch.cat([samples + 1, samples, samples])
    found = nearest_rows(samples, blocks(rows, 1))
    assert (int(found.row), float(found.distance)) == (1, 0.0)


def test_rows_of_another_shape_and_no_rows_are_errors() -> None:
    with pytest.raises(InputError, match="shape"):
        nearest_rows(normal(2, 4), [(torch.arange(3), normal(3, 5))])
    with pytest.raises(InputError, match="no rows"):
        nearest_rows(normal(2, 4), [])
    with pytest.raises(InputError, match="not finite"):
        nearest_rows(normal(2, 4), [(torch.arange(1), torch.full((1, 4), math.nan))])


def line(step: int, value: float, levels: dict[str, tuple[float, int]], skipped: int = 0) -> str:
    by_level = {"tweedie": {edge: {"mean": mean, "n": n} for edge, (mean, n) in levels.items()}}
    return (
        json.dumps({"step": step, "terms": {"tweedie": value}, "by_level": by_level, "skipped_steps": skipped}) + "\n"
    )


def test_the_history_has_the_terms_and_the_levels_of_each_third_weighted_by_their_counts(tmp_path) -> None:
    file = tmp_path / "metrics.jsonl"
    lines = [line(10 * k, float(k), {"0.1": (float(k), k), "1": (5.0, 1)}) for k in range(1, 7)]
    file.write_text("".join(lines) + '{"step": 70, "ter')
    found = read_history(file)
    assert found.terms == {"tweedie": ([10, 20, 30, 40, 50, 60], [1, 2, 3, 4, 5, 6])}
    sigmas, means = found.levels["tweedie"]["first third"]
    assert sigmas == pytest.approx([0.1 * 10**0.125, 10**0.125])
    assert means == pytest.approx([(1 + 4) / 3, 5])
    assert found.levels["tweedie"]["last third"][1] == pytest.approx([(25 + 36) / 11, 5])
    assert (found.lines, found.block, found.unreadable, found.skipped) == (6, 1, 1, 0)


def test_a_long_log_is_averaged_in_blocks_and_an_absent_one_is_empty(tmp_path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(line(k, float(k), {}, skipped=k // 50) for k in range(1, 131)))
    found = read_history(file)
    steps, means = found.terms["tweedie"]
    assert found.block == 3
    assert (steps[:2], means[:2]) == ([3, 6], [2, 5])
    assert (steps[-1], means[-1]) == (130, 130)
    assert found.skipped == 2
    assert read_history(tmp_path / "none").lines == 0


def places(svg: str) -> list[tuple[float, float]]:
    return [
        tuple(map(float, pair.split(",")))
        for pair in re.search(r'<polyline class="curve" points="([^"]*)"', svg)[1].split()
    ]  # type: ignore[index, misc]


def test_a_chart_draws_what_its_table_and_its_words_say() -> None:
    text = str(curves("<loss>", [Series("a&b", [1, 2, 3], [4.0, 8.0, 2.0], [0.5, 0.5, 0.5])], "step", "value"))
    assert "<loss>" not in text
    assert "a&b:" not in text
    assert (
        '<svg class="chart" viewBox="0 0 400 270" role="img" aria-label="&lt;loss&gt;. a&amp;b: 4 at 1, 2 at 3, '
        'least 2, most 8.">' in text
    )
    assert "<title>&lt;loss&gt;</title><desc>a&amp;b: 4 at 1" in text
    assert '<tr><th scope="row">2</th><td>8</td><td>0.5</td></tr>' in text
    (x1, y1), (x2, y2), (x3, y3) = places(text)
    assert x1 < x2 < x3
    assert y2 < y1 < y3  # upwards is less in SVG
    assert text.count('class="error"') == 3
    height = (y3 - y2) / 6  # of a unit
    bars = re.findall(r'class="error" x1="[\d.]+" y1="([\d.]+)" x2="[\d.]+" y2="([\d.]+)"', text)
    assert all(float(low) - float(high) == pytest.approx(2 * height, rel=0.02) for low, high in bars)


def test_values_that_are_not_finite_are_in_the_table_alone_and_nothing_at_all_is_said_in_words() -> None:
    text = str(curves("t", [Series("a", [1, 2, 3], [1.0, math.nan, 2.0])], "step", "value"))
    assert len(places(text)) == 2
    assert "<td>nan</td>" in text
    assert "nothing to draw" in str(curves("t", [Series("a", [1], [math.nan])], "step", "value"))


def test_curves_differ_in_more_than_their_colour() -> None:
    text = str(curves("t", [Series(str(k), [1, 2], [k, k + 1], style=k, dash=k) for k in range(6)], "x", "y"))
    legend = text[text.index('<ul class="legend">') :]
    looks = re.findall(r'stroke-dasharray="([^"]*)"/><(?:circle|polygon) class="mark" ((?:points|cx)="[^"]*")', legend)
    assert len(set(looks)) == 6
    assert len({mark for _, mark in looks}) == 6


def test_a_logarithmic_axis_is_one_only_for_values_above_zero() -> None:
    def heights(values: list[float]) -> list[float]:
        return [y for _, y in places(str(curves("t", [Series("a", [1, 2, 3], values)], "x", "y", log_y=True)))]

    low, middle, high = heights([1, 10, 100])
    assert low - middle == pytest.approx(middle - high, abs=0.2)
    low, middle, high = heights([-10, 0, 100])
    assert low - middle == pytest.approx((middle - high) / 10, abs=0.3)


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(0.94, 0.98, True), (1.9, 2.4, True), (0.002, 80, True), (-0.02, 0.01, False), (5, 5, False)],
)
def test_every_axis_has_two_ticks_or_more_and_none_outside(low: float, high: float, log: bool) -> None:
    axis = Axis(low, high, 0, 100, log=log)
    assert 2 <= len(axis.ticks()) <= 12
    assert low == high or all(low <= tick <= high for tick in axis.ticks())


def test_a_histogram_tells_its_ends_and_quartiles() -> None:
    text = str(histogram(torch.linspace(0, 1, 101).numpy(), "<values>"))
    assert 'role="img" aria-label="Histogram of &lt;values&gt;: 0 to 1, quartiles 0.25, 0.5, 0.75"' in text


def test_histograms_that_are_compared_have_one_axis() -> None:
    def ticks(low: float, high: float) -> set[str]:
        text = str(histogram(np.linspace(low, high, 50), "v", span=(0, 10)))
        return set(re.findall(r'text-anchor="middle">([\d.]+)<', text))

    assert ticks(0, 1) == ticks(6, 10) > {"2", "8"}


def test_bins_of_whole_numbers_hold_equally_many_of_them() -> None:
    """Case: 60 bins over 684 grey values showed a comb, because some held 11 of them and others 12."""
    values = np.arange(140, 824)
    for given in (values, ((values.astype(np.float32) - 203) / 635.5 - 1).astype(np.float32) * 635.5 + 838.5):
        counts, edges = np.histogram(given, histogram_edges(given, 60))
        assert len(counts) <= 60
        assert set(counts[:-1]) == {12}
        assert edges[0] == pytest.approx(139.5, abs=0.01)
        assert counts.sum() == len(values)
    assert np.histogram(np.repeat([0.0, 1.0], 5), histogram_edges(np.repeat([0.0, 1.0], 5), 60))[0].tolist() == [5, 5]
    assert len(histogram_edges(np.full(9, 2.0), 60)) == 2
    spread = np.random.default_rng(0).normal(size=2000)
    assert len(histogram_edges(spread, 60)) == 61


def test_single_values_far_out_do_not_press_all_others_into_one_bin() -> None:
    values = np.append(np.random.default_rng(0).normal(size=5000), [1e4, -1e5])
    counts, edges = np.histogram(values, histogram_edges(values, 60))
    assert (counts > 50).sum() > 8
    assert np.ptp(edges) < 30
    text = str(histogram(values, "values"))
    assert "-1e+05 to 1e+04" in text
    assert "2 of 5,002 values lie beyond the bars" in text


def test_a_picture_is_an_address_that_holds_it() -> None:
    assert picture_uri(b"abc") == "data:image/png;base64,YWJj"


def test_bars_are_as_long_as_their_values_and_tell_them() -> None:
    text = str(bars("<std>", [("a&b", 0.5), ("none", 0.0), ("lost", math.nan), ("most", 2.0)]))
    assert 'aria-label="&lt;std&gt;. a&amp;b: 0.5; none: 0; lost: nan; most: 2."' in text
    widths = [float(width) for width in re.findall(r'<rect class="bar"[^>]* width="([0-9.]+)"', text)]
    assert len(widths) == 2
    assert widths[1] == pytest.approx(4 * widths[0])
    assert all(f">{said}</text>" in text for said in ("a&amp;b: 0.5", "none: 0", "lost: nan", "most: 2"))
    assert "<rect" not in str(bars("t", [("none", 0.0)]))


def test_a_page_of_figures_is_whole_and_escapes_what_is_no_figure() -> None:
    page = figures_page("<t>", [bars("b", [("x", 1.0)])], said=["a < b"], footer="by <hand>")
    assert page.startswith("<!doctype html>")
    assert "<h1>&lt;t&gt;</h1>" in page
    assert "<p>a &lt; b</p>" in page
    assert "by &lt;hand&gt;" in page
    assert "<figure><figcaption><strong>b</strong>" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)


@pytest.mark.parametrize(
    ("state", "step", "said"),
    [
        ("finished", 6000, "finished, 6,000 steps"),
        ("finished", 4000, "finished early, step 4,000 of 6,000"),
        ("running", 4000, "unfinished, step 4,000 of 6,000 (still training)"),
        ("unfinished", 4000, "unfinished, step 4,000 of 6,000 (time limit reached)"),
        ("failed", 4000, "unfinished, step 4,000 of 6,000 (failed)"),
    ],
)
def test_the_state_of_a_run_is_told_in_words(tmp_path, state, step, said) -> None:
    RunStatus(state, step, 6000).write(tmp_path)
    (tmp_path / LOCK).touch()
    with run_lock(tmp_path) if state == "running" else nullcontext():
        now = status(tmp_path)
    trained = load_run(write_run(tmp_path / "run"), load())
    assert ReportedRun(tmp_path, "run", now, trained, "cpu").state == said


def test_spectra_of_right_samples_agree_with_what_noisy_rows_tell_and_blurred_ones_do_not() -> None:
    """Correlated pictures under noise .4: their spectrum less .16 is that of clean ones, band by band."""

    def clean(key: str) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(normal(64, 1, 18, 18, key=key), 3, stride=1)

    given = Batch(clean("a") + 0.4 * normal(64, 1, 16, 16, key="noise"), torch.full((64,), 0.4), torch.arange(64), {})
    blurred = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(clean("b"), (1, 1, 1, 1), "circular"), 3, stride=1)
    for samples, right in ((clean("b"), True), (blurred, False), (clean("b") + 0.2 * normal(64, 1, 16, 16), False)):
        (_, noisy), (_, told), (_, drawn) = spectra(given, samples)
        apart = [(a - b) / math.hypot(c, d) for a, b, c, d in zip(told.power, drawn.power, told.error, drawn.error)]
        assert (max(map(abs, apart)) < 5) == right
        assert min(noisy.power) > 0.1
    assert spectra(Batch(given.x_n.flatten(1), given.sigma_n, given.row, {}), None) == []
    assert [name for name, _ in spectra(given, None)] == ["noisy rows", "clean rows, as the noisy ones imply"]
