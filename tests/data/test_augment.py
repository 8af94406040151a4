"""Augmentation keeps the law of the noise, moves maps of levels along, and is the same after a resume and in any
worker."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from ambientkit.batch import Batch, Clean
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.data import Augmented, KeyedBatches, Observations, Visit
from ambientkit.data.augment import KNOWN, check
from ambientkit.data.observations import whole
from ambientkit.errors import InputError
from ambientkit.registry import load


class Coded(Dataset[Batch]):
    """Rows whose pixels all differ, with a level by pixel that is a function of the pixel."""

    def __init__(self, n: int = 6, height: int = 6, width: int = 6, by_pixel: bool = True) -> None:
        self.x = torch.arange(n * 2 * height * width, dtype=torch.float32).reshape(n, 2, height, width)
        self.by_pixel = by_pixel

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Batch:
        level = self.x[index] / 1000 if self.by_pixel else torch.tensor(0.25)
        return Batch(self.x[index], level, torch.tensor(int(index)), {})


def observations(**fields: int | bool) -> Observations:
    return Observations(Coded(**fields), Gaussian(), 0)  # type: ignore[arg-type]


def visits(rows: int, epoch: int) -> list[int]:
    return [Visit(row, epoch) for row in range(rows)]


@given(
    st.integers(0, 50),
    st.sets(st.sampled_from(["flip-horizontal", "flip-vertical", "quarter-turns", "crop=4x4"]), min_size=1),
)
def test_pixels_move_and_their_levels_move_along(epoch: int, names: set[str]) -> None:
    batch = Augmented(observations(), sorted(names), seed=1).__getitems__(visits(6, epoch))
    assert torch.equal(batch.sigma_n, batch.x_n / 1000)
    plain = Coded().x
    for i in range(6):
        kept = set(plain[i].flatten().tolist())
        found = batch.x_n[i].flatten().tolist()
        assert len(set(found)) == len(found)
        assert set(found) <= kept
        if "crop=4x4" not in names:
            assert set(found) == kept


def test_all_eight_poses_of_a_square_are_taken_about_equally_often() -> None:
    data = Augmented(observations(n=1), ["flip-horizontal", "quarter-turns"], seed=0)
    seen: dict[bytes, int] = {}
    for epoch in range(800):
        key = data.__getitems__(visits(1, epoch)).x_n.numpy().tobytes()
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 8
    assert min(seen.values()) > 60  # 100 expected, std 9.4


def test_every_window_of_a_crop_is_reached() -> None:
    data = Augmented(observations(n=1), ["crop=4x5"], seed=0)
    corners = {float(data.__getitems__(visits(1, epoch)).x_n[0, 0, 0, 0]) for epoch in range(200)}
    assert corners == {6.0 * y + x for y in range(3) for x in range(2)}


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "NHW"])
@pytest.mark.parametrize("levels", ["one", "by pixel"])
def test_a_window_of_a_large_picture_is_read_alone_and_holds_what_the_whole_holds(tmp_path, layout, levels) -> None:
    """Rows in files: only the window is mapped to [-1, 1]; its values and levels are those of the whole row there."""
    rng = np.random.default_rng(0)
    rows = {"NCHW": (5, 2, 40, 30), "NHWC": (5, 40, 30, 2), "NHW": (5, 40, 30)}[layout]
    values = rng.normal(size=rows)
    np.save(tmp_path / "x.npy", values.astype(np.float32))
    np.save(tmp_path / "sigma.npy", rng.uniform(0.1, 0.2, rows).astype(np.float32))
    sigma_n = 0.1 if levels == "one" else str(tmp_path / "sigma.npy")
    spec = {"name": "array", "path": str(tmp_path / "x.npy"), "layout": layout, "sigma_n": sigma_n}
    stored = load().build("data", {**spec, "value_range": [-2, 2]}).rows()  # type: ignore[attr-defined]
    whole = Observations(stored, Gaussian(), 0)
    cut = Augmented(whole, ["crop=16x8"], seed=3)
    found = cut.__getitems__(visits(5, 2))
    for i, index in enumerate(visits(5, 2)):
        where = cut._window(cut._drawn(index))
        assert torch.equal(found.x_n[i], whole[i].x_n[where])
        if levels == "by pixel":
            assert torch.equal(found.sigma_n[i], whole[i].sigma_n[where])
    assert found.row.tolist() == list(range(5))


def test_a_window_of_a_clean_picture_has_the_noise_of_the_whole() -> None:
    """The noise of a row is drawn once, on the whole of it: two windows that overlap agree there."""

    class Pictures(Dataset[Clean]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Clean:
            return Clean(torch.zeros(1, 20, 20), {})

    whole = Observations(Pictures(), Gaussian(sigma_n=0.3), 0)
    cut = Augmented(whole, ["crop=12x12"], seed=3)
    for epoch in range(4):
        for index in visits(2, epoch):
            assert torch.equal(cut[index].x_n, whole[int(index)].x_n[cut._window(cut._drawn(index))])


def test_white_noise_stays_white_and_of_its_level() -> None:
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((64, 1, 16, 16))).float()

    class Noise(Coded):
        def __init__(self) -> None:
            self.x, self.by_pixel = noise, False

    batch = Augmented(Observations(Noise(), Gaussian(), 0), [*KNOWN[:3], "crop=12x12"], seed=0).__getitems__(
        visits(64, 3)
    )
    x = batch.x_n
    assert float(x.std()) == pytest.approx(1, abs=0.03)
    assert abs(float((x[..., 1:] * x[..., :-1]).mean())) < 0.03
    assert torch.equal(batch.sigma_n, torch.full((64,), 0.25))


def test_a_pose_is_a_function_of_seed_epoch_and_row() -> None:
    data = Augmented(observations(), KNOWN[:3], seed=1)
    once, again = data.__getitems__(visits(6, 4)), data.__getitems__(visits(6, 4)[::-1])
    assert torch.equal(once.x_n, again.x_n.flip(0))
    assert not torch.equal(once.x_n, data.__getitems__(visits(6, 5)).x_n)
    assert not torch.equal(once.x_n, Augmented(observations(), KNOWN[:3], seed=2).__getitems__(visits(6, 4)).x_n)


def test_workers_and_resumed_runs_see_the_same_poses() -> None:
    data = Augmented(observations(), KNOWN[:3], seed=1)

    def batches(workers: int, start: int, count: int) -> list[torch.Tensor]:
        order = KeyedBatches(6, 4, seed=1, start=start)
        loader = DataLoader(
            data, batch_sampler=order, num_workers=workers, collate_fn=whole, generator=torch.Generator()
        )
        return [batch.x_n for _, batch in zip(range(count), loader)]

    alone = batches(0, 0, 6)
    assert all(torch.equal(a, b) for a, b in zip(alone, batches(2, 0, 6)))
    assert all(torch.equal(a, b) for a, b in zip(alone[4:], batches(0, 4, 2)))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("rotate", "quarter-turns do not"),
        ("random-resized-crop", "resampling"),
        ("elastic", "interpolate"),
        ("color-jitter", "level"),
        ("gaussian-blur", "filtering"),
        ("mixup", "law"),
        ("cutout", "law"),
        ("jpeg", "compression"),
        ("pad", "no noise"),
        ("flip-horizontl", "did you mean 'flip-horizontal'"),
        ("crop=0x4", "is unknown"),
        ("crop=4", "is unknown"),
    ],
)
def test_what_would_change_the_noise_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        check(name)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["crop=7x7"], "larger than the rows, 6x8"),
        (["quarter-turns"], "square"),
        (["crop=4x4", "crop=3x3"], "one crop at a time"),
    ],
)
def test_what_does_not_fit_the_rows_is_refused(names: list[str], why: str) -> None:
    with pytest.raises(InputError, match=why):
        Augmented(observations(width=8), names, seed=0)
    Augmented(observations(width=8), ["crop=6x6", "quarter-turns"], seed=0)
