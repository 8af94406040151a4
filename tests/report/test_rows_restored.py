"""Rows that masks and operators measured: what a report shows of their restoration, and says of its certainty."""

from __future__ import annotations

import re
from html import unescape

import pytest

import ambientkit as ak

TINY = {"model": {"name": "mlp", "width": 16, "depth": 1}, "end_step": 2, "objective": "tweedie", "device": "cpu"}


def page_of(tmp_path, corruption: dict[str, object]) -> str:
    run = ak.train("digits", corruption=corruption, output_dir=tmp_path / "run", skip_preflight=True, **TINY)
    written = run.report(tmp_path / "page.html", n=8, steps=2)
    return unescape(re.sub(r"\s+", " ", re.sub(r"data:image/[^\"]+", "", written.path.read_text())))


def test_samples_of_rows_seen_in_part_are_drawn_under_masks_of_their_own(tmp_path, monkeypatch) -> None:
    """Case: the report and the picture of a training asked the network about whole points, with the masks of rows."""
    from ambientkit.report import samples
    from ambientkit.run import demo
    from ambientkit.sample.partial import UnderMasks

    asked = []
    for module in (samples, demo):

        def draw(denoiser, *given, _draw=module.draw_all, **more):
            asked.append((type(denoiser), set(more["cond"])))
            return _draw(denoiser, *given, **more)

        monkeypatch.setattr(module, "draw_all", draw)
    page = page_of(tmp_path, {"name": "mask", "missing": 0.3, "sigma_n": 0.1})
    assert len(asked) >= 3  # of the training, full and truncated
    assert {kind for kind, _ in asked} == {UnderMasks}
    assert all(names == {"mask.0"} for _, names in asked)
    assert "Full samples" in page
    assert page.count("the data's rows are seen in part") == 2


def test_of_an_operator_that_draws_no_samples_the_report_says_so_and_shows_its_rows(tmp_path) -> None:
    """Cases: an internal error; rows that "cannot be read", because measurements have another shape than pictures."""
    operator = {"name": "downsample", "factor": 2}
    page = page_of(tmp_path, {"name": "linear", "operator": operator, "sigma_n": 0.1, "allow_unseen": True})
    assert "Full samples" not in page
    assert "Operator 'downsample': samples are those of x_0 only where A^T A = I, as for fourier: rows are" in page
    assert "cannot be read" not in page
    assert "rows as they were measured, carried back" in restored(page)
    assert "gives no finite samples" not in page


def restored(page: str) -> str:
    return page[page.index('<h2 id="restored">') : page.index('<h2 id="samples">')]


def test_rows_measured_through_an_operator_have_a_mean_and_no_uncertainty(tmp_path) -> None:
    page = restored(page_of(tmp_path, {"name": "linear", "operator": {"name": "blur", "width": 0.6}, "sigma_n": 0.1}))
    assert "have a mean alone: how sure it is, is not known" in page
    assert "rows as they were measured, carried back" in page
    assert "posterior mean" in page
    assert "draws" not in page.split("</p>", 1)[1]
    assert "(uncertainty)" not in page


@pytest.mark.parametrize("sigma_n", [0.0, 0.1])
def test_masked_rows_have_their_draws_with_noise_and_without(tmp_path, sigma_n: float) -> None:
    page = page_of(tmp_path, {"name": "mask", "missing": 0.3, "sigma_n": sigma_n})
    assert "there is nothing to restore" not in page
    assert "std of 4 draws" in restored(page)
    assert "(uncertainty)" in restored(page)
    assert ("of the noise is expected" in page) is (sigma_n > 0)
