"""Rows and masks as a program's own `Dataset` or array brings them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import ambientkit as ak
from ambientkit.batch import Batch, Clean
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.data.array import Array
from ambientkit.builtin.data.dataset import Given
from ambientkit.config.noise import with_noise
from ambientkit.data.identity import fingerprint
from ambientkit.data.observations import Observations
from ambientkit.data.survey import survey
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from ambientkit.registry import load

G = torch.Generator().manual_seed(0)
X = 0.5 * torch.randn(64, 1, 8, 8, generator=G)
SEEN = torch.rand(64, 1, 8, 8, generator=G) > 0.3


class Own(Dataset):
    def __init__(self, x: Tensor = X, mask: Tensor = SEEN, level: float = 0.1) -> None:
        self.x, self.mask, self.level = x, mask.clone(), level

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Batch:
        return Batch(self.x[index], torch.tensor(self.level), torch.tensor(index), {"mask": self.mask[index]})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@pytest.mark.parametrize("hidden", [0.0, 99.0, float("nan"), float("inf")])
def test_what_lies_under_a_mask_is_not_read_and_values_and_masks_of_any_type_are_the_same(dtype, hidden) -> None:
    whole = Observations(Own(torch.where(SEEN, X, 0.0)), Mask(), 0).__getitems__([3, 5])
    given = Own(torch.where(SEEN, X, hidden).to(dtype), SEEN.to(torch.uint8 if hidden else dtype))
    found = Observations(given, Mask(), 0).__getitems__([3, 5])
    assert found.x_n.dtype == torch.float32
    assert torch.allclose(found.x_n, whole.x_n, atol=2e-3)
    assert found.cond["mask"].dtype == torch.bool
    assert torch.equal(found.cond["mask"], whole.cond["mask"])


@pytest.mark.parametrize(
    ("x", "mask", "said"),
    [
        (X, 0.5 * SEEN, "row 5 .* its mask holds 0.5: 1"),
        (X, 255 * SEEN.to(torch.uint8), "its mask holds 255"),
        (X, torch.where(SEEN, 1.0, torch.nan), "its mask holds nan"),
        (X, SEEN[:, 0], r"its mask has shape \(8, 8\), and its values have \(1, 8, 8\)"),
        (X, SEEN[..., :4], r"its mask has shape \(1, 8, 4\)"),
        (X.repeat(1, 3, 1, 1), SEEN.repeat(1, 2, 1, 1), r"its mask has shape \(2, 8, 8\)"),
        (X.to(torch.complex64), SEEN, "row 5 .*complex64: complex values are two channels"),
        ((99 * X).int(), SEEN, "row 5 .*int32: map its values"),
    ],
)
def test_other_masks_and_numbers_are_refused_by_row(x: Tensor, mask: Tensor, said: str) -> None:
    rows = Own(x, mask)
    rows.mask[0] = 1
    with pytest.raises(InputError, match=said):
        Observations(rows, Mask(), 0).__getitems__([5])


def test_clean_rows_of_another_type_are_read_as_float32_or_refused() -> None:
    class Pictures(Dataset):
        def __init__(self, x: Tensor) -> None:
            self.x = x

        def __len__(self) -> int:
            return len(self.x)

        def __getitem__(self, index: int) -> Clean:
            return Clean(self.x[index], {})

    assert Observations(Pictures(X.double()), Gaussian(), 0)[0].x_n.dtype == torch.float32
    with pytest.raises(InputError, match="x_0 holds complex64"):
        Observations(Pictures(X.to(torch.complex64)), Gaussian(), 0)[0]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_a_mask_of_any_type_is_not_left_unused(dtype: torch.dtype) -> None:
    with pytest.raises(InputError, match="which corruption 'gaussian' does not use"):
        survey(Observations(Own(mask=SEEN.to(dtype)), Gaussian(), 0), Gaussian(), Levels(), None)


def test_inspect_refuses_a_mask_of_other_values() -> None:
    with pytest.raises(InputError, match=r"its mask holds 0\.5"):
        ak.inspect(Own(mask=0.5 * SEEN))


def test_rows_that_differ_in_masks_or_levels_alone_are_other_rows() -> None:
    """A run restored its own rows, with their masks and levels, in their place."""
    known = {Given.of(rows).sha256 for rows in (Own(), Own(), Own(mask=~SEEN), Own(level=0.2))}
    assert len(known) == 3


def test_a_condition_may_be_a_plain_number() -> None:
    class Labelled(Own):
        def __init__(self, label: int) -> None:
            super().__init__()
            self.label = label

        def __getitem__(self, index: int) -> Batch:
            return super().__getitem__(index)._replace(cond={"class_cond": self.label})  # type: ignore[dict-item]

    assert Given.of(Labelled(1)).sha256 != Given.of(Labelled(2)).sha256


class Told(Own):
    """Rows with further conditions, the same for all."""

    def __init__(self, **more: Tensor) -> None:
        super().__init__()
        self.more = more

    def __getitem__(self, index: int) -> Batch:
        row = super().__getitem__(index)
        return row._replace(cond={**row.cond, **self.more})


def test_rows_that_differ_in_names_shapes_or_types_of_conditions_are_other_rows() -> None:
    """All of them hold the same bytes in the same order."""
    three = torch.tensor([1.0, 2.0, 3.0])
    others = [
        Told(n=three[:1], o=three[1:]),
        Told(n=three[:2], o=three[2:]),
        Told(p=three[:2], q=three[2:]),
        Told(n=three),
        Told(n=three[None]),
        Told(n=three.view(torch.int32)),
    ]
    assert len({Given.of(rows).sha256 for rows in others}) == len(others)
    half = Told(n=three.bfloat16())
    assert len(fingerprint(Given.of(half), half)["sha256"]) == 64


def test_a_run_loaded_again_restores_the_rows_of_its_own_dataset(tmp_path: Path) -> None:
    """They were refused as not given."""
    settings = {"model": {"name": "mlp", "width": 8, "depth": 1}, "objective": "tweedie", "batch_size": 8}
    trained = ak.train(
        Own(), corruption={"name": "mask", "missing": 0.3}, end_step=1, skip_preflight=True, device="cpu",
        output_dir=tmp_path / "run", **settings,
    )  # fmt: skip
    known = trained.restore(Own(), n=2, draws=0)
    found = ak.Run(tmp_path / "run").restore(Own(), n=2, draws=0)
    assert torch.equal(found.mean, known.mean)
    assert found.fresh is not None


def test_a_level_that_is_no_tensor_is_refused() -> None:
    class Numbers(Own):
        def __getitem__(self, index: int) -> Batch:
            return super().__getitem__(index)._replace(sigma_n=0.1)  # type: ignore[arg-type]

    with pytest.raises(InputError, match="row 0 holds a float in its Batch"):
        Given.of(Numbers())


def test_an_array_whose_mask_would_be_lost_is_refused() -> None:
    values = np.ma.masked_array(X.numpy(), ~SEEN.numpy())
    with pytest.raises(InputError, match=r"values of this array are masked.*values.filled\(numpy.nan\)"):
        ak.inspect(values, sigma_n=0.1)
    assert ak.inspect(np.ma.masked_array(X.numpy(), False), sigma_n=0.1).findings


class Stream(IterableDataset):
    def __iter__(self):
        return iter(torch.zeros(4, 1, 8, 8))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (DataLoader(TensorDataset(torch.zeros(4, 1, 8, 8))), "of type DataLoader, .*; give its dataset, or a path"),
        (Stream(), "of type Stream, which stands for no data; give its rows as an array"),
        (tuple(np.zeros((4, 1, 8, 8))), r"of type tuple, .*; give its rows as an array or a tensor \(N, "),
        (3, "of type int, which stands for no data; give its rows as an array"),
        (torch.zeros(4, 1, 8, 8).to_sparse(), "cannot be read as one array of numbers"),
        (torch.zeros(4, 1, 8, 8, device="meta"), "cannot be read as one array of numbers"),
    ],
    ids=["loader", "stream", "tuple", "number", "sparse", "meta"],
)
def test_an_object_that_stands_for_no_data_is_refused_by_its_type(data, said):
    for call in (ak.inspect, ak.configure):
        with pytest.raises(InputError, match=f"^data: {said}"):
            call(data, sigma_n=0.3)


class Rows(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        return torch.zeros(1, 8, 8)


@pytest.mark.parametrize("level", [-1, float("nan"), float("inf")])
def test_a_level_of_rows_in_memory_that_is_none_is_refused_by_name(level):
    for data in (np.zeros((4, 1, 8, 8)), Rows(), Array(path="rows.npy")):
        with pytest.raises(InputError, match=r"^sigma_n: should be .*, but is (-1.0|nan|inf)$"):
            with_noise(data, level, Gaussian(), load())


@pytest.mark.parametrize(
    ("data", "field"),
    [(np.zeros((40, 8, 8), np.int16), "value_range"), (np.zeros((300, 2), np.float32), "layout")],
    ids=["range", "axes"],
)
def test_a_message_that_asks_for_a_field_says_how_rows_in_memory_get_it(data, field):
    for call in (ak.inspect, ak.train):
        with pytest.raises(InputError, match=rf"Give {field}|give {field}") as refused:
            call(data, sigma_n=0.3)
        assert f"InMemory.of(data, sigma_n, {field}=...)" in str(refused.value).splitlines()[-1]
