"""The truth table of the tests of the noise model: what keeps it passes, what breaks it is found and named."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits

from ambientkit.batch import Batch
from ambientkit.errors import InputError
from ambientkit.inspection import Finding, NoiseVerdict, look, model_findings, refuse
from ambientkit.inspection.details import details, noise_std
from ambientkit.inspection.document import document, inspect_rows
from ambientkit.inspection.estimate import estimate, estimate_rows
from ambientkit.inspection.noise import _channels
from ambientkit.inspection.page import page
from ambientkit.units.ranges import ValueRange
from tests.support.noisy_sets import clothes, innocent, level, normal, photos, textures, violations

INNOCENT = dict(innocent())
VIOLATIONS = {name: (test, case) for name, test, case in violations()}


def violated(findings: list[Finding]) -> dict[str, float | None]:
    return {f.name: f.statistic for f in findings if f.verdict is NoiseVerdict.VIOLATED}


@pytest.mark.parametrize("name", INNOCENT)
def test_noise_that_keeps_the_model_raises_no_alarm(name: str) -> None:
    x, sigma_n = INNOCENT[name]
    assert violated(model_findings(x, sigma_n)) == {}


@cache
def findings(name: str) -> list[Finding]:
    """All findings on a set of rows that violates the model."""
    x, sigma_n = VIOLATIONS[name][1]
    return list(model_findings(x, sigma_n))


@pytest.mark.parametrize("name", VIOLATIONS)
def test_noise_that_breaks_the_model_is_found_by_the_test_made_for_it(name: str) -> None:
    found = violated(findings(name))
    assert VIOLATIONS[name][0] in found, found


def test_the_truth_table_is_as_large_as_promised() -> None:
    assert len(INNOCENT) >= 24
    assert len(VIOLATIONS) >= 24
    assert {test for test, _ in VIOLATIONS.values()} >= {
        *(
            "saturation",
            "quantisation",
            "correlation",
            "signal-dependence",
            "tails",
            "level",
            "symmetry",
            "channels",
            "units",
        ),
    }


def test_every_violation_says_what_to_do() -> None:
    for name in VIOLATIONS:
        for finding in findings(name):
            if finding.verdict is NoiseVerdict.VIOLATED:
                assert len(finding.remedy) > 20


def test_magnitude_images_are_told_what_they_are() -> None:
    clean = (photos() + 1) / 2
    both = clean + 0.15 * (normal(clean) + 1j * normal(clean, 6))
    x = 2 * np.abs(both) - 1
    assert any(
        "Rician" in f.remedy for f in model_findings(x, level(x, 0.3), zero=-1.0) if f.verdict is NoiseVerdict.VIOLATED
    )


def test_flat_blocks_are_chosen_without_a_look_at_the_details() -> None:
    found = details(normal(photos()), level(photos(), 1.0))
    chosen = found.flat(1.0)
    for part in (found.horizontal, found.vertical, found.diagonal):
        assert part[chosen].std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("sigma", [0.05, 0.2, 0.5, 2.0])
def test_the_level_of_a_data_set_is_estimated_better_than_by_the_wavelet_alone(sigma: float) -> None:
    from skimage.restoration import estimate_sigma

    ours, theirs = [], []
    for clean in (photos(), clothes()):
        x = clean + sigma * normal(clean)
        guess = estimate(x)
        ours.append(abs(np.log(guess.sigma / sigma)))
        theirs.append(abs(np.log(np.median([np.mean([estimate_sigma(p) for p in row]) for row in x]) / sigma)))
        assert guess.sigma == pytest.approx(sigma, rel=0.06)
        assert 0 < guess.error < 0.1 * sigma
    assert sum(ours) < sum(theirs)


def test_rows_of_different_levels_are_told_apart() -> None:
    clean = photos()
    by_row = np.linspace(0.05, 0.5, len(clean))
    found, error = estimate_rows(clean + by_row[:, None, None, None] * normal(clean), len(clean))
    assert np.corrcoef(found, by_row)[0, 1] > 0.99
    assert np.median(np.abs(found / by_row - 1)) < 0.05
    assert 0 < error < 0.05


def test_rows_that_are_no_pictures_have_no_estimate() -> None:
    with pytest.raises(InputError, match="at least 8 x 8"):
        estimate([np.zeros(16)])


def test_noise_of_texture_without_flat_areas_is_not_judged() -> None:
    x = textures("grass") + 0.02 * normal(textures("grass"))
    names = {f.name for f in model_findings(x, level(x, 0.02)) if f.verdict is NoiseVerdict.UNTRIED}
    assert {"tails", "symmetry"} <= names


@pytest.mark.parametrize("seed", range(8))
def test_texture_that_strong_noise_hides_is_not_taken_for_correlated_noise(seed: int) -> None:
    """Case: 1,000 scans of digits, and a copy of each with noise as strong as the strokes."""
    x = load_digits().images[np.random.default_rng(seed).permutation(1797)[:1000], None] / 8 - 1
    rows = np.concatenate([x, x + 0.8 * np.random.default_rng(100 + seed).standard_normal(x.shape)])
    assert violated(model_findings(rows, np.repeat([0.0, 0.8], 1000)[:, None, None, None])) == {}


@pytest.mark.parametrize("declared", [False, True])
def test_smooth_texture_is_no_proof_of_correlated_noise_where_no_level_is_declared(declared: bool) -> None:
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    angles, periods = draw.uniform(0, np.pi, 24), draw.uniform(5, 20, 24)
    waves = np.stack([0.7 * np.sin(2 * np.pi * (np.cos(a) * y + np.sin(a) * x) / p) for a, p in zip(angles, periods)])[
        :, None
    ]
    if not declared:
        (finding,) = [f for f in model_findings(waves, None) if f.name == "correlation"]
        assert finding.verdict is NoiseVerdict.DOUBT
        assert "texture of clean pictures" in finding.reason
        assert violated(model_findings(waves, None)) == {}
    else:  # with a level that is known, smooth noise is found on the same pictures
        noise = gaussian_filter(normal(waves), (0, 0, 0.8, 0.8))
        found = violated(model_findings(waves + 0.3 * noise / noise.std(), level(waves, 0.3)))
        assert found.keys() & {"correlation", "level"}


def test_a_channel_without_details_shares_no_noise() -> None:
    x = 0.2 * normal(photos())
    x[:, 1] = 0.25
    found = details(x, level(x, 0.2))
    said = _channels(found, found.usable, few=False)
    assert said.verdict is NoiseVerdict.FINE, said
    assert said.statistic is not None
    assert said.statistic < 0.1


class Observed(torch.utils.data.Dataset):
    """Rows with one level."""

    def __init__(self, x: np.ndarray, sigma_n: float) -> None:
        self.x, self.sigma_n = torch.from_numpy(x).float(), torch.tensor(sigma_n)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Batch:
        return Batch(self.x[index], self.sigma_n, torch.tensor(index), {})


def test_the_quick_form_stops_a_run_unless_each_violation_is_allowed_by_name() -> None:
    clean = clothes()
    good, bad = Observed(clean + 0.3 * normal(clean), 0.3), Observed(np.clip(clean + 0.3 * normal(clean), -1, 1), 0.3)
    refuse(look(good).findings)
    found = look(bad).findings
    with pytest.raises(InputError, match="--allow saturation") as caught:
        refuse(found)
    assert "saturation: violated" in str(caught.value)
    refuse(found, [f.name for f in found])
    with pytest.raises(InputError):
        refuse(found, ["tails"])


def test_the_page_stands_alone_and_tells_its_pictures_in_words() -> None:
    clean = clothes()
    facts, findings, x = inspect_rows(Observed(clean + 0.3 * normal(clean), 0.3), "<clothes>")
    text = page(facts, findings, x)
    assert "channels the first is shown" not in text
    assert "Of 2 channels the first is shown." in page(facts, findings, np.concatenate([x, x], 1)[:, :2])
    assert text.count("<img ") == text.count('<img alt="row ') == 12
    assert "prefers-color-scheme: dark" in text
    assert text.count('role="img" aria-label="Histogram of') == 2
    assert "<script" not in text
    assert "://" not in text
    assert "<clothes>" not in text
    assert "&lt;clothes&gt;" in text


def test_rows_that_the_fixed_scale_cannot_show_are_stretched_and_the_page_says_so() -> None:
    x = 0.1 * normal(np.zeros((4, 1, 16, 16)))
    told = {}
    for name, rows in {"fits": 3 * x, "dark": 0.01 * x - 0.99, "beyond": 100 * x + 500}.items():
        facts, findings, looked_at = inspect_rows(Observed(rows, 0.1), name)
        text = page(facts, findings, looked_at, ValueRange(0, 65535))
        told[name] = ("Fixed scale" in text, "file units; values beyond are cut" in text)
        assert "0 and 65535 stand for -1 and 1" in str(ValueRange(0, 65535))
        assert "ValueRange(" not in text
    assert told == {"fits": (True, False), "dark": (False, True), "beyond": (False, True)}


def test_the_document_holds_only_what_json_can_hold() -> None:
    import json

    facts, findings, _ = inspect_rows(Observed(np.zeros((4, 1, 8, 8)), 0.3), "zeros")
    found = json.loads(json.dumps(document(facts, findings), allow_nan=False))
    assert found["verdict"] == "violated"
    assert found["facts"]["constant_rows"] == [0, 1, 2, 3]
    assert found["facts"]["repeated_rows"] == 3


def test_an_estimate_starts_from_all_blocks_and_ends_in_flat_ones() -> None:
    clean = textures("brick")
    x = clean + 0.2 * normal(clean)
    found = details(x, None)
    assert noise_std(found)[0] == pytest.approx(0.2, rel=0.05)


def test_areas_of_one_value_give_no_number_that_is_none() -> None:
    counts = np.random.default_rng(0).poisson(0.05, (16, 1, 32, 32)) / 127.5 - 1
    found = model_findings(counts, level(counts, 0.2))
    assert all(f.statistic is None or np.isfinite(f.statistic) for f in found)
    assert {f.name: f.verdict for f in found}["symmetry"] is NoiseVerdict.UNTRIED


def smooth(n: int = 40) -> np.ndarray:
    """(n, 1, 32, 32): pictures without noise or edges."""
    y, x = np.mgrid[:32, :32] / 32
    return np.stack([0.5 * np.sin(3 * y + 2 * x + i) for i in range(n)])[:, None]


@pytest.mark.parametrize("shape", [(40, 1, 32, 1), (40, 1, 1, 32)], ids=["lines", "columns"])
@pytest.mark.parametrize("rounded", [False, True])
def test_lines_with_offsets_of_their_own_do_not_look_clean(shape: tuple[int, ...], rounded: bool) -> None:
    x = smooth() + 0.05 * np.random.default_rng(0).standard_normal(shape)
    (found,) = model_findings(np.round(x * 127.5) / 127.5 if rounded else x, None)
    assert (found.name, found.verdict) == ("correlation", NoiseVerdict.DOUBT)
    assert found.statistic == pytest.approx(0.05, rel=0.1)


def test_smooth_and_ruled_pictures_look_clean() -> None:
    contrast = 0.4 + 0.2 * np.random.default_rng(0).random((40, 1, 1, 1))
    ruled = np.sign(np.sin(np.pi * np.mgrid[:32, :32][0] / 4 + 0.1)) * contrast  # lines four pixels wide
    for x in (smooth(), np.round(smooth() * 127.5) / 127.5, ruled):
        (found,) = model_findings(x, None)
        assert (found.name, found.verdict) == ("noise", NoiseVerdict.FINE)


def test_noise_is_not_said_to_be_even_where_flat_areas_are_of_one_brightness() -> None:
    """A dark ground, and small bright cells full of detail: nobody can see the noise of what is bright."""
    rng = np.random.default_rng(0)
    x = np.full((60, 1, 64, 64), -0.9)
    x[..., 20:44, 20:44] += 1.2 + 0.3 * rng.standard_normal((60, 1, 12, 12)).repeat(2, -1).repeat(2, -2)
    x += 0.02 * rng.standard_normal(x.shape)
    found = {f.name: f.verdict for f in model_findings(x, np.full((60, 1, 1, 1), 0.02))}
    assert found["signal-dependence"] is NoiseVerdict.UNTRIED
    even = smooth() + 0.1 * rng.standard_normal((40, 1, 32, 32))
    found = {f.name: f.verdict for f in model_findings(even, np.full((40, 1, 1, 1), 0.1))}
    assert found["signal-dependence"] is NoiseVerdict.FINE
