"""Rows that masks and operators measured: what a report shows of their restoration, and says of its certainty."""

from __future__ import annotations

import re

import pytest

import ambientkit as ak

TINY = {"model": {"name": "mlp", "width": 16, "depth": 1}, "end_step": 2, "objective": "tweedie", "device": "cpu"}


def page_of(tmp_path, corruption: dict[str, object]) -> str:
    run = ak.train("digits", corruption=corruption, output_dir=tmp_path / "run", skip_preflight=True, **TINY)
    written = run.report(tmp_path / "page.html", n=8, steps=2)
    return re.sub(r"\s+", " ", re.sub(r"data:image/[^\"]+", "", written.path.read_text()))


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
