"""`ambientkit report`: the page holds what the run's folder says, whole or not, and what cannot be is refused before
anything is drawn."""

from __future__ import annotations

import json
import logging
import math
import re
import shlex
import shutil
from html import unescape
from pathlib import Path

import pytest

from ambientkit.builtin.samplers.heun import Heun
from ambientkit.checkpoint.lock import run_lock
from ambientkit.checkpoint.names import PREFLIGHT
from ambientkit.checkpoint.status import RunStatus
from ambientkit.errors import InputError
from ambientkit.registry import Entry, Registry, load
from ambientkit.report import write_report
from ambientkit.report.page import SECTIONS
from ambientkit.verification import make_plan, run_plan
from ambientkit.verification.tables import document as verify_document
from tests.support import toy_parts as toys
from tests.support.report_run import QUICK, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    return train(tmp_path_factory.mktemp("report") / "one")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(trained, tmp_path / "one"))


@pytest.fixture
def report(ambientkit, tmp_path: Path):
    """Writes a report; the page."""

    def call(*arguments: object) -> str:
        out = tmp_path / "report.html"
        status, printed, err = ambientkit("report", *arguments, "--out", out, *QUICK)
        assert (status, err) == (0, "")
        assert printed.endswith(f"report: {out}\n")
        return out.read_text()

    return call


def section(page: str, name: str) -> str:
    return re.search(rf'<section aria-labelledby="{name}">(.*?)</section>', page, re.DOTALL)[1]  # type: ignore[index]


def pictures(text: str) -> list[str]:
    """The titles of the pictures, each of which must have its alternative text."""
    alternatives = re.findall(r'<img src="data:image/png;base64,[^"]+" alt="([^"]*)"', text)
    assert all(len(alternative) > 20 for alternative in alternatives)
    assert len(alternatives) == text.count("<img")
    return re.findall(r"</?img[^>]*>\s*<figcaption><strong>([^<]*)</strong>", text)


def test_the_page_has_every_section_and_every_picture_of_a_run_and_needs_nothing_else(run: Path, report) -> None:
    page = report(run)
    assert re.findall(r'<h2 id="([a-z]+)">', page) == list(SECTIONS)
    assert "finished, 6 steps" in page
    assert pictures(section(page, "samples")) == ["Noisy rows", "Truncated samples", "Full samples"]
    assert pictures(section(page, "progress")) == ["Step 3", "After the last step", "Step 3", "Step 6"]
    assert len(pictures(section(page, "nearest"))) == 1
    assert "<title>Loss term tweedie over steps</title>" in section(page, "loss")
    assert "<title>Loss term consistency by noise level</title>" in section(page, "loss")
    assert "<title>Consistency residual over sigma^2, +- 2 standard errors</title>" in section(page, "consistency")
    assert "residual-noise" in section(page, "metrics")
    assert "For this page measured on 8 rows of digits that the run held out, beside 8 that it trained on." in section(
        page, "verify"
    )
    assert "end_step: 6" in section(page, "configuration")
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert not re.findall(r"<script|@import|url\(|<iframe|<object|\son[a-z]+=", page)
    assert "tmp-" not in " ".join(path.name for path in run.parent.iterdir())


def test_truncated_samples_stop_at_the_noise_of_the_data_and_full_ones_at_the_lowest_level(
    run: Path, tmp_path: Path
) -> None:
    lowest = []

    class Recording(Heun):
        """The sampler of the report; notes the last levels of each drawing."""

        def sample(self, denoiser, x, sigmas, generator, cond):
            lowest.append((round(float(sigmas[-2, 0]), 6), float(sigmas[-1, 0])))
            return super().sample(denoiser, x, sigmas, generator, cond)

    others = [entry for entry in load().entries() if entry.part is not Heun]
    registry = Registry([*others, Entry("sampler", Recording, "tests", "1")])
    write_report(run, tmp_path / "report.html", n=8, steps=3, rows=8, device="cpu", registry=registry)
    assert lowest[:2] == [(0.002, 0.0), (0.2, 0.0)]
    assert set(lowest[2:]) == {(0.002, 0.0)}  # of the checkpoints


def test_the_function_writes_the_page_of_the_command_and_prints_nothing(
    run: Path, report, tmp_path: Path, capsys, monkeypatch
) -> None:
    page = report(run)
    capsys.readouterr()
    monkeypatch.setattr(logging.getLogger("ambientkit"), "handlers", [])  # which the command has added
    written = write_report(run, tmp_path / "other.html", n=8, steps=3, rows=8, device="cpu")
    assert capsys.readouterr() == ("", "")
    other = (tmp_path / "other.html").read_text()
    assert undated(other.replace("other.html", "report.html")) == undated(page)
    assert str(written) == f"report: {tmp_path / 'other.html'}"
    assert list(written.to_dict()["notes"]) == ["one"]
    assert any("Sought among all 1,797 rows" in line for line in written.notes["one"]["nearest"])


def undated(page: str) -> str:
    return re.sub(r"Written [0-9: -]+ UTC", "", page)


def test_the_same_command_writes_the_same_page_but_for_its_date_over_what_was_there(
    run: Path, report, tmp_path: Path
) -> None:
    (tmp_path / "report.html").write_text("<p>something older")
    first, second = (undated(report(run)) for _ in range(2))
    assert first == second
    assert first.startswith("<!doctype html>")


def test_the_commands_on_the_page_work(run: Path, report, ambientkit) -> None:
    lines = [
        shlex.split(unescape(line)) for line in re.findall(r"<pre[^>]*><code>(ambientkit [^<]*)</code>", report(run))
    ]
    again = next(words for words in lines if words[1] == "train")
    status, out, _ = ambientkit(*again[1:], "--dry-run")
    assert status == 0
    assert "end_step: 6" in out
    assert [words[1] for words in lines] == ["train", "sample", "verify"]


def test_several_runs_stand_side_by_side_in_one_chart_and_are_told_apart(run: Path, report, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "b" / "one"))
    (other / "versions.json").unlink()
    page = report(run, other)
    names = [f"{tmp_path.name}/one", "b/one"]
    assert [unescape(name) for name in re.findall(r"<h3>([^<]*)</h3>", section(page, "samples"))] == names
    loss = section(page, "loss")
    assert len(re.findall(r"<title>Loss term tweedie over steps</title>", loss)) == 1
    chart = loss[loss.index("Loss term tweedie over steps</title>") :]
    assert chart[: chart.index("</svg>")].count("<polyline") == 2
    assert len(pictures(section(page, "samples"))) == 6


def test_a_run_at_work_says_how_far_it_is_and_that_its_weights_are_older(run: Path, report) -> None:
    RunStatus("running", 6, 60).write(run)
    with (run / "metrics.jsonl").open("a") as log:
        log.write(json.dumps({"step": 9, "terms": {"tweedie": 1.0}, "by_level": {}}) + '\n{"step": 10, "te')
    with run_lock(run):
        page = report(run)
    assert "unfinished, step 9 of 60 (still training)" in page
    assert "those of the newest averaged weights, step 6" in page
    assert "1 log lines could not be read" in page
    assert "After the last step" not in page


def test_a_checkpoint_that_is_not_whole_is_left_out_and_said_so(run: Path, report) -> None:
    file = run / "checkpoints" / "checkpoint_3" / "average.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    (run / "samples" / "demo_00000003.png").write_bytes(b"no picture")
    page = report(run)
    assert pictures(section(page, "progress")) == ["After the last step", "Step 6"]
    assert "The checkpoint of step 3 is left out" in page
    assert "demo_00000003.png cannot be read" in page


def test_what_verify_and_evaluate_stored_is_shown_and_a_report_of_another_step_is_not(
    run: Path, report, ambientkit
) -> None:
    assert ambientkit("verify", "--run", run, "--rows", 12, "--device", "cpu")[0] == 0
    assert (
        ambientkit(
            "evaluate",
            run,
            "--n",
            20,
            "--repeats",
            2,
            "--steps",
            2,
            "--extractor",
            "pixels",
            "--json",
            run / "evaluate.json",
        )[0]
        == 0
    )
    stored = json.loads((run / "evaluate.json").read_text())
    fid = next(score for score in stored["scores"] if score["name"] == "fid")
    page = report(run)
    assert "From `ambientkit verify --run`: measured on 12 rows of digits that the run held out" in page
    assert "reference: digits, rows that the run trained on" in section(page, "metrics")
    assert "proximal, samples made as noisy as the rows: ambientkit evaluate, from evaluate.json" in section(
        page, "metrics"
    )
    assert f">fid[pixels]</th><td>{fid['value']:.4g}</td>" in section(page, "metrics")
    assert "(n = 12)" in section(page, "consistency")
    (run / "evaluate.json").write_text(json.dumps(stored | {"step": 3}))
    (run / "broken.json").write_text('{"subject": 1, "reference": 2, "scores": 3}')
    older = json.loads((run / "verify" / "report.json").read_text()) | {"step": 3}
    (run / "verify" / "report.json").write_text(json.dumps(older))
    page = report(run)
    assert "is of step 3, not of 6, and is left out" in page
    assert "(n = 8)" in section(page, "consistency")
    assert "from evaluate.json, step 3, which is not the step 6 of this page" in section(page, "metrics")
    assert "broken.json cannot be read as an evaluation" in section(page, "metrics")


def test_what_was_checked_before_step_1_is_shown(run: Path, report, capsys) -> None:
    verify = section(report(run), "verify")
    assert "Before step 1: Skipped, by --skip-preflight" in verify
    document = load_preflight()
    (run / PREFLIGHT).write_text(json.dumps(document))
    verify = section(report(run), "verify")
    assert (
        "Before step 1: 2 of 2 quick checks passed on the parts of this run, with at most 2e-05 false alarms in all"
        in unescape(verify)
    )
    assert '<th scope="row">toy</th><td>exact</td><td>1</td><td>passed</td>' in verify
    assert "<td>unchecked, it claims no property that a check tests</td>" in verify
    (run / PREFLIGHT).write_text(json.dumps(document | {"format": 99}))
    assert "format 99 is not known" in section(report(run), "verify")
    (run / PREFLIGHT).write_text("{")
    assert "preflight.json: cannot be read" in section(report(run), "verify")
    (run / PREFLIGHT).unlink()
    assert "Not kept: an early version began this run" in section(report(run), "verify")


def load_preflight() -> dict:
    """What `train` keeps of a run with two checks and a part without any."""
    registry = toys.registry(toys.Toy, toys.Silent, toys.Exact)
    plan = make_plan([toys.Toy(), toys.Toy(bias=0.0), toys.Silent()], [toys.Exact()], quick=True)
    return verify_document(plan, list(run_plan(plan)), registry, seed=0, quick=True)


def test_notes_that_all_runs_have_are_said_once(run: Path, report, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "two"))
    metrics = section(report(run, other), "metrics")
    assert metrics.count("residual-noise is the level of white noise") == 1
    assert metrics.count("For FID, KID and more: ambientkit evaluate") == 2  # each names its run


def test_points_of_the_plane_are_drawn_as_maps_and_clean_data_have_no_truncated_samples(report, tmp_path: Path) -> None:
    plane = train(tmp_path / "plane", "--data", "mixture", "--set", "data.n=64")
    page = report(plane)
    assert pictures(section(page, "samples")) == ["Noisy rows", "Truncated samples", "Full samples"]
    assert pictures(section(page, "nearest")) == []
    assert "patch-w2</th>" not in page
    clean = train(tmp_path / "clean", "--sigma-n", "0", "--objective", "denoising")
    page = report(clean)
    assert pictures(section(page, "samples")) == ["Noisy rows", "Full samples"]
    assert "No truncated samples: the data are clean" in page
    assert "Not measured: 0 rows have noise above" in page


def test_a_run_whose_data_are_gone_still_has_a_report(ambientkit, report, tmp_path: Path) -> None:
    assert ambientkit("corrupt", "digits", tmp_path / "noisy", "--sigma", "0.3")[0] == 0
    run = train(tmp_path / "run", "--data", str(tmp_path / "noisy"))
    shutil.rmtree(tmp_path / "noisy")
    page = report(run)
    assert pictures(section(page, "samples")) == ["Truncated samples", "Full samples"]
    for name in ("samples", "nearest", "metrics", "verify"):
        assert "What the run was trained on cannot be read" in section(page, name)


def test_names_are_texts_and_no_markup(run: Path, report, tmp_path: Path) -> None:
    page = report(run.rename(tmp_path / "<b>&run"))
    assert "<b>" not in page
    assert "Report: &lt;b&gt;&amp;run" in page


def test_what_cannot_be_is_refused_before_anything_is_drawn(run: Path, ambientkit, tmp_path: Path, monkeypatch) -> None:
    def refused(*arguments: object) -> str:
        status, _, err = ambientkit("report", *arguments)
        assert status == 2, err
        return err

    (tmp_path / "empty").mkdir()
    assert "holds no run" in refused(tmp_path / "empty")
    assert "holds no run" in refused(run, tmp_path / "missing")
    assert "is a file; give the folder of the run" in refused(run / "model_ema.safetensors")
    assert "named twice" in refused(run, run / ".." / run.name)
    assert "should be a file in a folder that exists" in refused(run, "--out", tmp_path / "missing" / "report.html")
    assert "should be a file in a folder that exists" in refused(run, "--out", tmp_path)
    assert "is the page itself" in refused(run, "--out", tmp_path / "a", "--pdf", tmp_path / "a")
    assert "--device nonsense: should be auto, cpu, cuda or a torch device" in refused(run, "--device", "nonsense")
    with pytest.raises(InputError, match="-n 3: should be at least 4"):
        write_report(run, tmp_path / "report.html", n=3)
    with pytest.raises(InputError, match="--every inf: should be at most 86400, a day"):
        write_report(run, tmp_path / "report.html", every=math.inf)
    with pytest.raises(InputError, match="no run to report on"):
        write_report([], tmp_path / "report.html")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert "apt-get install chromium" in refused(run, "--pdf", tmp_path / "a.pdf")
    (run / "model_ema.safetensors").unlink()
    RunStatus("failed", 2, 6, message="killed").write(run)
    assert "the run has no weights yet (failed, step 2 of 6)" in refused(run)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".html", ".pdf")]


def test_a_browser_that_fails_is_told_and_the_page_is_kept(run: Path, ambientkit, tmp_path: Path, monkeypatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "chromium").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    (programs / "chromium").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    out, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    status, _, err = ambientkit("report", run, "--out", out, "--pdf", pdf, *QUICK)
    assert status == 1
    assert "ended with status 3 (broken)" in err
    assert out.is_file()
    assert not pdf.exists()
