"""The model card of a run: what stands in it, and that no word of anybody else is ever replaced."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import ModelCard

from ambientkit.export.card import signed, untouched, write_card
from ambientkit.registry import load
from ambientkit.sample import load_run
from tests.support.finished import write_run

SCORES = {
    "format": 1,
    "step": 10_000,
    "n": 64,
    "reference": {"name": "array", "path": "/data/of/somebody/clean.npy"},
    "reference_is": "clean",
    "scores": [
        {"group": "clean", "name": "fid", "extractor": "pixels", "value": 12.345678, "spread": 0.5, "floor": 1.25},
        {"group": "clean", "name": "noise-left", "extractor": None, "value": None, "spread": None, "floor": None},
    ],
}


def card_of(folder) -> str:
    trained = load_run(folder, load())
    assert write_card(folder, trained, load()) == ""
    return (folder / "README.md").read_text()


def test_training_ends_with_a_card_that_says_how_the_noise_is_known(tmp_path, ambientkit):
    folder = tmp_path / "run"
    given = ("--set", "model.width=8", "--set", "model.depth=1", "--batch-size", 4, "--set", "sample_n=1")
    status, _, err = ambientkit(
        "train", "--end-step", 2, *given, "--skip-preflight", "--output-dir", folder, "--device", "cpu", "--seed", 5
    )
    assert status == 0, err
    text = (folder / "README.md").read_text()
    assert (
        "std sigma_n 0.2 in units of [-1, 1] (25.5 in 0..255); simulated: white Gaussian noise was added "
        "to each clean row" in text
    )
    assert "step 2 of 2; 8 rows seen (batches of 4)." in text
    assert "**Seed:** 5," in text
    assert "torch 2." in text
    assert "`tweedie`, weight 1" in text
    assert untouched(text)


@pytest.mark.parametrize(
    ("noise", "sigma_n", "words"),
    [
        (
            "declared",
            (0.3, 0.3),
            "std sigma_n 0.3 in units of [-1, 1] (2.4 in file units); declared by who trained it",
        ),
        (
            "estimated",
            (0.1, 0.3),
            "std sigma_n 0.1 to 0.3 in units of [-1, 1] (0.8 to 2.4 in file units); estimated from the rows",
        ),
        ("unknown", (0.1, 0.1), "how it is known was not kept"),
        ("declared", (0.0, 0.0), "**Noise:** none (sigma_n 0)."),
    ],
)
def test_the_level_and_how_it_is_known_are_stated(tmp_path, noise, sigma_n, words):
    assert words in card_of(write_run(tmp_path / "run", noise=noise, sigma_n=sigma_n))


def test_a_level_of_counts_is_no_level_of_the_file(tmp_path):
    counts = {"kind": "counts", "low": 100.0, "high": 500.0, "gain": 2.0, "offset": 100.0, "read_std": 3.0}
    write_run(tmp_path / "run", units={"mapping": counts, "layout": "NHW"})
    assert "in units of [-1, 1], of counts after their transform; " in card_of(tmp_path / "run")


def test_the_hub_s_own_library_reads_it(tmp_path):
    card_of(write_run(tmp_path / "run"))
    card = ModelCard.load(tmp_path / "run" / "README.md")
    assert card.data.library_name == "ambientkit"
    assert card.data.pipeline_tag == "unconditional-image-generation"
    assert "trained-on-noisy-data" in card.data.tags
    card_of(write_run(tmp_path / "clean", sigma_n=(0.0, 0.0)))
    assert "trained-on-noisy-data" not in ModelCard.load(tmp_path / "clean" / "README.md").data.tags


def test_scores_in_the_run_folder_are_shown_with_spread_and_floor(tmp_path, ambientkit):
    folder = write_run(tmp_path / "run")
    assert "None were found in the run folder" in card_of(folder)
    (folder / "a.json").write_text(json.dumps(SCORES))
    (folder / "b.json").write_text(json.dumps({**SCORES, "step": 500}))
    (folder / "versions.json").write_text(json.dumps({"format_version": 1, "torch": "9.9"}))
    (folder / "c.json").write_text("{ half")
    status, out, _ = ambientkit("card", folder)
    assert (status, "the scores of 2 evaluation(s)" in out) == (0, True)
    text = (folder / "README.md").read_text()
    assert "`a.json`, step 10000, 64 samples, against clean rows of array (clean.npy):" in text
    assert "| fid[pixels] (clean) | 12.35 | 0.5 | 1.25 |" in text
    assert "| noise-left (clean) | - | - | - |" in text
    assert text.count("these are not the weights here, which are of step 10000") == 1
    assert "torch 9.9" in text


def test_limits_follow_from_the_run(tmp_path):
    usual = card_of(write_run(tmp_path / "a", sigma_n=(0.3, 0.3)))
    assert (
        "levels below sigma_n = 0.3. There the network is extrapolated, by making the estimates of neighbouring "
        "levels agree" in usual
    )
    drawing = card_of(write_run(tmp_path / "drawing", objective="tweedie-consistency-buffer", sigma_n=(0.3, 0.3)))
    assert "from whole rows that the network itself drew" in drawing
    assert "below about 0.1 (sigma_n / 3)" in usual
    assert "Do not base medical, legal or safety decisions" in usual
    plain = card_of(write_run(tmp_path / "b", objective="tweedie"))
    assert "`ambientkit sample RUN --sigma-min sigma-n` stops above them" in plain
    clean = card_of(write_run(tmp_path / "c", sigma_n=(0.0, 0.0)))
    assert "sigma_n =" not in clean
    assert "Do not base medical" in clean
    assert "**The run is not finished**" in card_of(write_run(tmp_path / "d", step=3))
    assert "not finished" not in usual


def test_a_card_that_somebody_changed_is_left_as_it_is_and_that_is_said(tmp_path, ambientkit):
    folder = write_run(tmp_path / "run")
    path = folder / "README.md"
    card_of(folder)
    card_of(folder)  # ours may be written again
    for mine in (path.read_text().replace("## Limits", "## My limits"), path.read_text() + "More.\n", "# Mine\n", ""):
        path.write_text(mine)
        status, _, err = ambientkit("card", folder)
        assert status == 2
        assert f"{path}: was written or changed by somebody else, and is left as it is" in err
        assert path.read_text() == mine
    path.write_bytes(b"\xff\xfe\x00")
    assert "is left as it is" in write_card(folder, load_run(folder, load()), load())
    assert ambientkit("card", folder, "--force")[0] == 0
    assert untouched(path.read_text())


def test_the_mark_counts_every_character():
    text = signed("one\ntwo\n")
    assert untouched(text)
    assert not untouched(text.replace("two", "twO"))
    assert not untouched(signed("a") + signed("b")[:-3])


def test_a_card_names_no_path_and_no_secret(tmp_path):
    place = tmp_path / "somebody"
    data = {"name": "array", "path": str(place / "scans.npy"), "sigma_n": 0.3, "layout": "NHW"}
    folder = write_run(place / "run", data, init_from=str(place / "older"))
    (folder / "a.json").write_text(json.dumps(SCORES))
    text = card_of(folder)
    assert "scans.npy" in text
    assert "somebody" not in text
    assert str(tmp_path) not in text


def test_a_folder_without_a_run_is_refused(tmp_path, ambientkit):
    status, _, err = ambientkit("card", tmp_path)
    assert (status, "there is no such file" in err) == (2, True)
    assert list(tmp_path.iterdir()) == []
