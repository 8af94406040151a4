"""`report --watch`: the page follows the run, reloads itself meanwhile, and is at rest when the run is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ambientkit.checkpoint.lock import run_lock
from ambientkit.checkpoint.names import WEIGHTS
from ambientkit.checkpoint.status import RunStatus
from ambientkit.errors import InputError
from ambientkit.report import watch, write_report
from tests.support.report_run import train

pytestmark = pytest.mark.slow
RELOADS = '<meta http-equiv="refresh" content="7">'
OPTIONS = {"n": 8, "steps": 3, "rows": 8, "device": "cpu", "watch": True, "every": 7}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("watch") / "one")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy that may be changed, which says that it is at work."""
    copy = Path(shutil.copytree(trained, tmp_path / "one"))
    RunStatus("running", 6, 60).write(copy)
    return copy


@pytest.fixture
def minutes(monkeypatch):
    """Runs what happens in each pause in place of waiting; a list to be filled."""
    happens: list = []

    def sleep(seconds: float) -> None:
        assert seconds == 7
        happens.pop(0)()

    monkeypatch.setattr(watch.watch, "__defaults__", (sleep,))
    return happens


def logged(run: Path, step: int) -> None:
    with (run / "metrics.jsonl").open("a") as log:
        log.write(json.dumps({"step": step, "terms": {"tweedie": 1.0}, "by_level": {}}) + "\n")


def test_the_page_follows_a_run_to_its_end_and_draws_only_from_new_weights(run, minutes, tmp_path, monkeypatch) -> None:
    pages: list[str] = []
    drawn: list[int] = []
    real = write_report.__globals__["collect"]
    monkeypatch.setitem(
        write_report.__globals__, "collect", lambda *args, **kwargs: drawn.append(1) or real(*args, **kwargs)
    )
    out = tmp_path / "page.html"
    held = run_lock(run)
    held.__enter__()

    def after(change):
        return lambda: (pages.append(out.read_text()), change())

    def end() -> None:
        held.__exit__(None, None, None)
        RunStatus("finished", 60, 60).write(run)

    minutes += [after(lambda: logged(run, 9)), after(lambda: (run / WEIGHTS).touch()), after(end)]
    write_report(run, out, **OPTIONS)
    assert [RELOADS in page for page in [*pages, out.read_text()]] == [True, True, True, False]
    assert "step 6 of 60 (still training)" in pages[0]
    assert "step 9 of 60 (still training)" in pages[1]
    assert "finished, 60 steps" in out.read_text()
    assert len(drawn) == 2  # of the first page, and of the weights that were written anew


def test_an_interrupt_ends_the_watching_and_leaves_a_page_at_rest(run, minutes, tmp_path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    minutes.append(interrupt)
    with run_lock(run):
        written = write_report(run, tmp_path / "page.html", **OPTIONS)
    page = written.path.read_text()
    assert "refresh" not in page
    assert "still training" in page


def test_a_run_without_weights_is_waited_for_and_one_that_ended_without_is_refused(run, minutes, tmp_path) -> None:
    out = tmp_path / "page.html"
    weights = (run / WEIGHTS).read_bytes()
    (run / WEIGHTS).unlink()
    held = run_lock(run)
    held.__enter__()
    minutes.append(lambda: (run / WEIGHTS).write_bytes(weights))
    minutes.append(lambda: (held.__exit__(None, None, None), (run / WEIGHTS).unlink()))
    with pytest.raises(InputError, match="has no weights yet"):
        write_report(run, out, **OPTIONS)
    assert "still training" in out.read_text()
    assert "refresh" not in out.read_text()


def test_without_watching_a_page_never_reloads_itself(run, tmp_path) -> None:
    with run_lock(run):
        written = write_report(run, tmp_path / "page.html", **(OPTIONS | {"watch": False}))
    assert "refresh" not in written.path.read_text()


def test_a_pause_that_is_too_short_is_refused(run, tmp_path) -> None:
    with pytest.raises(InputError, match="--every 0"):
        write_report(run, tmp_path / "page.html", **(OPTIONS | {"every": 0}))
