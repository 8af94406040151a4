"""`ambientkit evaluate`: samples of the right law score near the floor, others do not, and what does not fit is refused
before work starts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ambientkit import load as load_run
from ambientkit import train
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.evaluation.judge import Judge
from ambientkit.evaluation.ranking import ranked
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import load

pytestmark = pytest.mark.slow

SIGMA_N = 0.4


def waves(n: int, key: str, side: int = 12) -> Tensor:
    """Smooth pictures in [-0.9, 0.9], float32."""
    u = torch.rand((n, 1, 3), generator=keyed_generator(0, key))
    y, x = torch.meshgrid(*[torch.linspace(0, 1, side)] * 2, indexing="ij")
    return 0.9 * (4 * u[..., 0, None, None] * x + 4 * u[..., 1, None, None] * y + 6.28 * u[..., 2, None, None]).sin()


def noise(x: Tensor, sigma: float, key: str) -> Tensor:
    return x + sigma * standard_normal(x, keyed_generator(0, key))


def save(path: Path, x: Tensor) -> Path:
    np.save(path, x.numpy())
    return path


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, Path]:
    """Clean and noisy rows of one law, and samples: right ones, ones with noise left, and the noisy rows repeated as if
    learned by heart."""
    noisy = noise(waves(400, "reference"), SIGMA_N, "n")
    return {
        "clean": save(tmp_path / "clean.npy", waves(400, "reference")),
        "noisy": save(tmp_path / "noisy.npy", noisy),
        "right": save(tmp_path / "right.npy", waves(150, "samples")),
        "wrong": save(tmp_path / "wrong.npy", noise(waves(150, "samples"), 0.3, "w")),
        "by-heart": save(tmp_path / "heart.npy", noisy[:150]),
    }


@pytest.fixture
def report(ambientkit, tmp_path: Path):
    """Runs `evaluate`; returns its scores by (group, name) and the whole document."""

    def call(*arguments: object) -> tuple[dict[tuple[str, str], dict[str, Any]], dict[str, Any]]:
        file = tmp_path / "report.json"
        status, _, err = ambientkit("evaluate", *arguments, "--json", file)
        assert (status, err) == (0, "")
        document = json.loads(file.read_text())
        return {(line["group"], line["name"]): line for line in document["scores"]}, document

    return call


DISTANCES = ("fid", "sliced-w2", "pixel-statistics", "patch-w2", "spectrum-db")


def test_samples_of_the_law_of_clean_rows_score_near_the_floor_and_noise_left_in_them_shows(report, sets) -> None:
    arguments = ("--reference", sets["clean"], "--sigma-n", 0, "--extractor", "pixels")
    right, document = report(sets["right"], *arguments)
    wrong, _ = report(sets["wrong"], *arguments)
    assert document["reference_is"] == "clean"
    assert {group for group, _ in right} == {"clean"}
    for name in DISTANCES:
        line = right["clean", name]
        assert line["value"] < 2 * line["floor"], name
    for name in ("fid", "patch-w2", "spectrum-db"):
        assert wrong["clean", name]["value"] > 2.5 * right["clean", name]["value"], name
    assert wrong["clean", "precision"]["value"] < 0.5 < right["clean", "precision"]["value"]
    noisy, clean = (lines["clean", "high-frequency"]["value"] for lines in (wrong, right))
    assert math.sqrt(noisy**2 - clean**2) == pytest.approx(0.3, rel=0.05)
    assert right["clean", "high-frequency"]["floor"] == pytest.approx(clean, rel=0.2)


def test_without_clean_rows_the_re_noised_samples_are_compared_with_noisy_ones(report, sets) -> None:
    arguments = ("--reference", sets["noisy"], "--sigma-n", SIGMA_N, "--extractor", "pixels")
    right, document = report(sets["right"], *arguments)
    heart, _ = report(sets["by-heart"], *arguments)
    assert document["reference_is"] == "noisy"
    assert {group for group, _ in right} == {"proximal"}
    for name in DISTANCES:
        assert right["proximal", name]["value"] < 2 * right["proximal", name]["floor"], name
    for name in ("patch-w2", "spectrum-db"):
        assert heart["proximal", name]["value"] > 2.5 * right["proximal", name]["value"], name
    assert right["proximal", "residual-noise"]["value"] == pytest.approx(SIGMA_N, rel=0.1)
    assert heart["proximal", "residual-noise"]["value"] == pytest.approx(SIGMA_N * math.sqrt(2), rel=0.1)


def test_levels_by_row_of_the_reference_are_those_that_the_samples_get(report, sets, tmp_path: Path) -> None:
    levels = torch.linspace(0.05, 0.8, 400)
    clean = waves(400, "reference")
    save(tmp_path / "mixed.npy", clean + levels[:, None, None, None] * standard_normal(clean, keyed_generator(0, "m")))
    np.save(tmp_path / "levels.npy", levels.numpy())
    arguments = ("--reference", tmp_path / "mixed.npy", "--sigma-n", tmp_path / "levels.npy", "--extractor", "pixels")
    lines, _ = report(sets["right"], *arguments)
    line = lines["proximal", "residual-noise"]
    assert line["value"] == pytest.approx(line["floor"], rel=0.15)
    assert lines["proximal", "sliced-w2"]["value"] < 2 * lines["proximal", "sliced-w2"]["floor"]


def test_noise_is_simulated_on_a_clean_data_set_where_a_level_is_asked_for(report, tmp_path: Path) -> None:
    from ambientkit.builtin.data.digits import Digits

    rows = Digits().rows()
    samples = save(tmp_path / "digits.npy", torch.stack([rows[i].x_0 for i in range(100)]))
    lines, _ = report(samples, "--reference", "digits", "--sigma-n", "0.5", "--extractor", "pixels")
    assert {group for group, _ in lines} == {"proximal"}
    assert lines["proximal", "patch-w2"]["value"] < 2 * lines["proximal", "patch-w2"]["floor"]


def test_the_same_command_gives_the_same_numbers_and_says_what_fixes_them(ambientkit, report, sets) -> None:
    arguments = (
        sets["right"],
        "--reference",
        sets["clean"],
        "--sigma-n",
        0,
        "--extractor",
        "pixels",
        "--extractor",
        "patches{size: 6}",
    )
    first, document = report(*arguments)
    again, _ = report(*arguments)
    assert first == again
    other, _ = report(*arguments, "--seed", 1)
    assert other["clean", "fid"]["value"] != first["clean", "fid"]["value"]
    assert document["repeats_are"] == "random halves of the samples"
    assert document["extractors"] == [{"name": "pixels"}, {"name": "patches", "size": 6, "stride": 4}]
    assert len(first["clean", "fid"]["values"]) == 3
    assert first["clean", "fid"]["spread"] == pytest.approx(np.std(first["clean", "fid"]["values"], ddof=1))
    _, out, _ = ambientkit("evaluate", *arguments)
    for words in (
        "fid[pixels]",
        "fid[patches{size=6, stride=4}]",
        "150 of 150",
        "3 random halves of the samples, about that of all of them under other seeds",
        "biased upwards",
        "the reference itself",
    ):
        assert words in out
    assert "precision[patches" not in out, "windows of one picture are each other's neighbours"


def test_one_repeat_has_no_spread(report, sets) -> None:
    lines, _ = report(
        sets["right"], "--reference", sets["clean"], "--sigma-n", 0, "--extractor", "pixels", "--repeats", 1
    )
    assert lines["clean", "fid"]["spread"] is None


# ---- a run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """A run of a few steps on noisy digits, with three checkpoints."""

    folder = tmp_path_factory.mktemp("evaluate") / "run"
    return train(
        "digits", sigma_n=0.3, end_step=60, save_every=20, device="cpu", output_dir=folder, skip_preflight=True
    ).path


SHORT = ("--n", 60, "--steps", 4, "--extractor", "pixels", "--device", "cpu")


def test_a_run_is_compared_with_its_own_noisy_rows_where_nothing_else_is_given(ambientkit, report, run_folder) -> None:
    lines, document = report(run_folder, *SHORT)
    assert {group for group, _ in lines} == {"proximal"}
    assert (document["step"], document["seeds"], document["n"]) == (60, [0, 1, 2], 60)
    assert document["sampler"] == {"name": "heun"}
    assert document["denoiser_error"] == []
    line = lines["proximal", "fid"]
    assert line["value"] == pytest.approx(np.mean(line["values"]))
    assert len(set(line["values"])) == 3
    _, out, _ = ambientkit("evaluate", run_folder, *SHORT)
    assert "rows of the run's own noisy rows (digits), which it trained on\n" in out
    assert "the 180 rows that it held out are `--reference held-out`" in out
    assert "sample seeds 0 to 2" in out


def test_a_run_beside_clean_rows_is_measured_both_ways_with_its_denoiser_and_its_restorations(
    report, run_folder
) -> None:
    lines, document = report(run_folder, "--reference", "digits", *SHORT)
    assert {group for group, _ in lines} == {"clean", "proximal"}
    errors = document["denoiser_error"]
    levels = load_run(run_folder).config.levels
    ends = [errors[0]["sigma"], errors[-1]["sigma"]]
    assert ends == pytest.approx([levels.sigma_min, levels.sigma_max])
    assert errors[0]["rms"] < 1.5 * levels.sigma_min < errors[-1]["rms"] < 2
    (score,) = document["restoration"]  # 8 x 8 pixels are too few for ssim
    assert score["name"] == "psnr"
    assert score["x_n"] == pytest.approx(10 * math.log10(4 / 0.3**2), abs=0.2)
    assert score["restored"] > score["x_n"] - 1


def test_the_samples_of_a_seed_are_those_that_sample_writes(ambientkit, report, run_folder, tmp_path: Path) -> None:
    ambientkit(
        "sample", run_folder, "-n", 60, "--steps", 4, "--seed", 5, "--out", tmp_path / "drawn", "--device", "cpu"
    )
    arguments = ("--reference", "digits", "--seed", 5, "--extractor", "pixels")
    drawn, document = report(tmp_path / "drawn", *arguments)
    fresh, _ = report(run_folder, *arguments, "--n", 60, "--steps", 4, "--repeats", 1, "--device", "cpu")
    for name in ("fid", "high-frequency", "precision"):
        assert fresh["clean", name]["value"] == pytest.approx(drawn["clean", name]["value"], rel=1e-4)
        assert fresh["clean", name]["floor"] == drawn["clean", name]["floor"]
    assert document["samples"]["drawn"]["seed"] == 5


def test_a_run_whose_own_rows_are_gone_is_still_compared_with_others(ambientkit, report, sets, tmp_path: Path) -> None:
    train(
        sets["noisy"],
        sigma_n=SIGMA_N,
        end_step=4,
        device="cpu",
        output_dir=tmp_path / "run",
        skip_preflight=True,
        allow="noise",
    )
    sets["noisy"].unlink()
    status, out, err = ambientkit("evaluate", tmp_path / "run", "--reference", sets["clean"], "--sigma-n", 0, *SHORT)
    assert status == 0
    assert "cannot be read, so that nothing is compared with it" in err
    assert "clean: samples against clean rows" in out
    assert "proximal:" not in out
    status, _, err = ambientkit("evaluate", tmp_path / "run", *SHORT)
    assert status == 2
    assert "noisy.npy" in err


def test_restored_rows_are_compared_with_the_clean_rows_under_them_row_by_row(ambientkit, sets, tmp_path: Path) -> None:
    folder, clean = tmp_path / "restored", waves(400, "reference")[:30]
    folder.mkdir()
    mean, draws = noise(clean, 0.1, "mean"), torch.stack([noise(clean, 0.2, f"draw{i}") for i in range(4)], 1)
    for name, rows in (
        ("mean", mean),
        ("draws", draws),
    ):  # in the units and axes of a user's file: 100 (x + 1), channels last
        np.save(folder / f"{name}.npy", np.moveaxis(100 * (rows.numpy() + 1), -3, -1))
    units = {"mapping": {"kind": "range", "low": 0.0, "high": 200.0}, "layout": "NHWC"}
    (folder / "restored.json").write_text(json.dumps({"finished": True, "units": units}))
    status, out, err = ambientkit(
        "evaluate", folder, "--reference", sets["clean"], "--sigma-n", 0, "--json", tmp_path / "r.json"
    )
    assert (status, err) == (0, "")
    document = json.loads((tmp_path / "r.json").read_text())
    scores = {(one["name"], one["of"]): one["value"] for one in document["scores"]}
    assert scores["psnr", "posterior mean"] == pytest.approx(10 * math.log10(4 / 0.1**2), abs=0.2)
    assert scores["psnr", "one draw"] == pytest.approx(10 * math.log10(4 / 0.2**2), abs=0.2)
    assert scores["ssim", "one draw"] < scores["ssim", "posterior mean"] < 1
    assert document["calibration"]["error_of_mean"] == pytest.approx(0.1, rel=0.05)
    assert document["calibration"]["std_of_draws"] == pytest.approx(0.2, rel=0.05)
    assert "row by row" in out
    for arguments, message in (
        ((), "give --reference, the clean rows"),
        (("--reference", sets["noisy"], "--sigma-n", 0.4), "these rows are noisy"),
        (("--reference", "digits"), r"(30, 1, 8, 8), but"),
    ):
        status, _, err = ambientkit("evaluate", folder, *arguments)
        assert status == 2
        assert message in err


def test_checkpoints_are_ranked_from_the_same_seeds(ambientkit, run_folder, tmp_path: Path) -> None:
    file = tmp_path / "ranks.json"
    status, out, _ = ambientkit("evaluate", run_folder, *SHORT, "--all-checkpoints", "--json", file)
    assert status == 0
    document = json.loads(file.read_text())
    assert document["ranked_by"] == "proximal fid[pixels]"
    assert sorted(one["step"] for one in document["checkpoints"]) == [20, 40, 60]
    means = [np.mean(one["values"]) for one in document["checkpoints"]]
    assert means == sorted(means)
    assert f"step {document['checkpoints'][0]['step']} is first on average" in out
    ambientkit("evaluate", run_folder, *SHORT, "--json", tmp_path / "last.json")
    last = next(one for one in document["checkpoints"] if one["step"] == 60)
    lines = {line["name"]: line for line in json.loads((tmp_path / "last.json").read_text())["scores"]}
    assert last["values"] == pytest.approx(lines["fid"]["values"]), "the last checkpoint is the run itself"


def test_ranks_are_by_seed_and_the_order_is_by_mean() -> None:
    found = ranked({10: [3.0, 1.0, 3.0], 20: [2.0, 2.0, 1.0], 30: [9.0, 9.0, 9.0]})
    assert [(one.step, one.ranks) for one in found] == [(20, (1, 2, 1)), (10, (2, 1, 2)), (30, (3, 3, 3))]


# ---- what does not fit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--reference", "digits"], "SUBJECT nowhere: is neither a data set nor an existing path"),
        (["right"], "is no run: give --reference"),
        (
            ["right", "--reference", "digits"],
            r"rows of shape \(1, 8, 8\), but .*right.npy has \(1, 12, 12\); neither is resized",
        ),
        (
            ["right", "--reference", "clean"],
            r"nothing says how noisy these rows are\. Give --sigma-n LEVEL .* or --sigma-n 0 for clean rows",
        ),
        (["right", "--reference", "noisy", "--sigma-n", "-1"], "should be finite and 0 or more"),
        (["right", "--reference", "digits", "--sigma-n", "levels.npy"], "its noise is simulated; give a number"),
        (["right", "--reference", "clean", "--sigma-n", "0", "--extractor", "lnet"], "did you mean 'lenet'"),
        (["right", "--reference", "clean", "--sigma-n", "0", "--extractor", "patches{size: 13}"], "at least 13 x 13"),
        (
            ["right", "--reference", "clean", "--sigma-n", "0", "--extractor", "inception{weights: no.pth}"],
            "nothing is downloaded",
        ),
        (
            ["right", "--reference", "clean", "--sigma-n", "0", "--json", "no-folder/x.json"],
            "a file in a folder that exists",
        ),
        (["right", "--reference", "clean", "--sigma-n", "0", "--all-checkpoints"], "should be the folder of a run"),
        (["right", "--reference", "clean", "--sigma-n", "0", "--sampler", "hein"], "did you mean 'heun'"),
        (["few", "--reference", "clean", "--sigma-n", "0"], "the subject has 5 rows; at least 8"),
        (["right", "--reference", "few", "--sigma-n", "0"], "the reference has 5 rows; at least 8"),
        (["empty", "--reference", "digits"], "no image found"),
        (["run", "--sigma-n", "0.3"], "--sigma-n declares the noise of --reference"),
        (["run", "--all-checkpoints", "--repeats", "1"], "--all-checkpoints needs --repeats 2"),
        (["run", "--reference", "clean", "--sigma-n", "0"], r"rows of shape \(1, 12, 12\), but .*run has \(1, 8, 8\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_status_2_before_anything_is_drawn(
    ambientkit, sets, run_folder, tmp_path: Path, monkeypatch, arguments, message
) -> None:
    import re

    monkeypatch.setattr(Heun, "sample", lambda *_, **__: pytest.fail("samples were drawn"))
    (tmp_path / "empty").mkdir()
    places = {
        **sets,
        "run": run_folder,
        "few": save(tmp_path / "few.npy", waves(5, "few")),
        "empty": tmp_path / "empty",
    }
    np.save(tmp_path / "levels.npy", np.ones(3))
    monkeypatch.chdir(tmp_path)
    status, out, err = ambientkit("evaluate", *(places.get(one, one) for one in arguments))
    assert status == 2
    assert re.search(message, err), err
    assert "Traceback" not in err + out


def test_a_reference_that_is_short_and_another_number_type_are_told(ambientkit, sets, tmp_path: Path) -> None:
    folder = tmp_path / "png"
    folder.mkdir()
    for index, one in enumerate(waves(40, "png")):
        Image.fromarray(((one[0].numpy() + 1) * 127.5).round().astype(np.uint8)).save(folder / f"{index:03}.png")
    _, out, _ = ambientkit("evaluate", sets["right"], "--reference", folder, "--sigma-n", 0, "--extractor", "pixels")
    assert "the reference has only 40 rows for 150 samples" in out
    assert "one side is stored as float32, the other as uint8" in out
    assert "40 rows cannot fill 144 dimensions" in out


def test_rows_that_are_no_pictures_have_the_distances_that_need_none(report, tmp_path: Path) -> None:
    points = torch.randn((300, 2), generator=keyed_generator(0, "points"))
    a, b = save(tmp_path / "a.npy", points[:100] / 4), save(tmp_path / "b.npy", points[100:] / 4)
    lines, document = report(
        f"array{{path: {a}, layout: N...}}", "--reference", f"array{{path: {b}, layout: N..., clean: true}}"
    )
    assert document["extractors"] == [{"name": "pixels"}]
    assert {name for _, name in lines} == {"fid", "kid", "precision", "recall", "sliced-w2", "pixel-statistics"}


def test_a_folder_of_unfinished_samples_is_refused(ambientkit, tmp_path: Path) -> None:
    (tmp_path / "samples.json").write_text('{"finished": false}')
    status, _, err = ambientkit("evaluate", tmp_path, "--reference", "digits")
    assert status == 2
    assert "not finished" in err
    (tmp_path / "samples.json").write_text("{")
    status, _, err = ambientkit("evaluate", tmp_path, "--reference", "digits")
    assert status == 2
    assert "samples.json: cannot be read" in err


def test_features_of_a_choice_of_rows_are_those_of_the_rows() -> None:
    judge = Judge((load().build("extractor", "patches"), load().build("extractor", "pixels")))  # type: ignore[arg-type]
    x = waves(10, "read")
    index = torch.tensor([7, 1, 1])
    taken, direct = judge.read(x).take(index), judge.read(x[index])
    assert torch.equal(taken.rows, direct.rows)
    for one, other in zip(taken.features, direct.features, strict=True):
        assert torch.equal(one, other)
