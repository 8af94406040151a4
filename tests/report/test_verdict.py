"""The verdict at the top of a report, and the parts of a page that mark levels and scales."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import ambientkit as ak
from ambientkit.report.content import Restorations
from ambientkit.report.verdict import judge
from ambientkit.run.going import Going
from ambientkit.webpage import Series, colour_bar, curves, histogram


def said(
    left: float, *, answer: str = "yes", state: str = "finished", distance: float = 1.0, step: int = 9
) -> tuple[str, str]:
    """The verdict on smooth samples with noise of std `left` where the data have 0.2."""
    generator = torch.Generator().manual_seed(0)
    smooth = torch.linspace(-0.5, 0.5, 32).expand(8, 1, 32, 32)
    noise = torch.randn(smooth.shape, generator=generator)
    run = SimpleNamespace(
        status=SimpleNamespace(going=Going(answer, "a reason"), state=state, step=step, end_step=9),
        trained=SimpleNamespace(sigma_n=(0.2, 0.2)),
    )
    restored = Restorations([], (0, 1), (0, 1), "file units", 0.4, smooth + 0.02 * noise)
    report = SimpleNamespace(verdict="", grade="fine", restored=restored, figures={"distance": (distance, 1.0)})
    judge(run, smooth + left * noise, report)
    return report.verdict, report.grade


def test_noise_that_is_left_in_samples_is_named_with_what_to_do() -> None:
    text, look = said(0.15)
    assert look == "violated"
    assert "train longer" in text
    assert "times as much as restored rows hold" in text
    assert said(0.06)[1] == "doubt"
    text, look = said(0.01)
    assert look == "fine"
    assert "look clean" in text
    assert "40% of the noise" in text


def test_a_run_that_does_not_go_well_or_differs_or_is_not_finished_is_said() -> None:
    assert "does not go well: a reason" in said(0.01, answer="no")[0]
    assert said(0.01, answer="no")[1] == "violated"
    assert said(0.01, answer="not clear")[1] == "doubt"
    assert "is not clear: a reason" in said(0.01, answer="not clear")[0]
    early = said(0.15, step=5)[0]  # what has stopped a run is no lack of steps
    assert "--sigma-min auto, or get more rows" in early
    assert "train longer" not in early
    assert "not finished" in said(0.01, state="running")[0]
    assert said(0.01, distance=5.0)[1] == "doubt"


def test_levels_are_marked_and_scales_have_their_values() -> None:
    chart = str(
        curves("t", [Series("a", [0.1, 10], [1, 2])], "sigma", "y", log_x=True, marks=[(0.2, "sigma_n"), (99, "out")])
    )
    assert "sigma_n" in chart
    assert ">out<" not in chart
    assert "marked: sigma_n at 0.2" in chart  # for those who do not see it
    bar = str(colour_bar(97, 585, "file units"))
    assert "black 97, white 585 file units" in bar
    drawn = str(histogram(np.linspace(0, 1, 50), "values", marks=[(2.0, "end")]))
    assert ">end<" in drawn
    assert "; end at 2" in drawn
    far = str(histogram(np.linspace(0, 1, 50), "values", marks=[(-1.0, "start"), (65535.0, "end")]))
    assert ">start<" in far
    assert ">end<" not in far
    assert "; end at 65,535, beyond the chart" in far
    assert "% of the values" in drawn


@pytest.mark.slow
def test_rows_with_missing_values_are_restored_for_the_page_too(tmp_path) -> None:
    """Case: the mask was taken for a condition, and the page said that nothing could be restored."""
    run = ak.train(
        "digits",
        **{"corruption": {"name": "mask", "missing": 0.1, "sigma_n": 0.3}, "model": {"name": "mlp", "width": 8}},
        **{"end_step": 1, "batch_size": 4, "skip_preflight": True, "device": "cpu", "output_dir": tmp_path / "run"},
    )
    run.report(tmp_path / "page.html", n=4, steps=2, rows=4)
    page = (tmp_path / "page.html").read_text()
    assert "Nothing was restored" not in page
    assert "posterior mean" in page
