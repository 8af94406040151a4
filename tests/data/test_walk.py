"""Rows are corrupted once, in an order that only the seed and the step decide."""

from __future__ import annotations

import itertools
import pickle

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from ambientkit.batch import Batch, Clean, take
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.data.digits import Digits
from ambientkit.builtin.data.mixture import Mixture
from ambientkit.data import KeyedBatches, Observations, survey
from ambientkit.data.observations import whole
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Levels
from ambientkit.maths.randomness import keyed_generator


class Rows(Dataset):
    """A list of rows as a data set."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class OneGenerator(Corruption):
    """A third party's corruption that only knows one generator, and one per call."""

    name = "one-generator"

    def observe(self, x_0, row, generator):
        z = torch.randn(x_0.shape, generator=generator)
        return Batch(x_0 + 0.2 * z, torch.full((len(x_0),), 0.2), row, {})

    def degrade(self, batch, sigma, generator):
        raise AssertionError("not used here")

    def expect(self, x_0_hat, view, batch):
        raise AssertionError("not used here")

    def floor(self, batch):
        return batch.sigma_n


def observations(sigma_n=0.2, seed=0):
    return Observations(Digits().rows(), Gaussian(sigma_n=sigma_n), seed)


def test_a_row_has_one_noise_for_ever():
    """Case B-03: averaging 100 epochs of row 0 keeps the noise; fresh noise would leave a tenth of it."""
    data, clean = observations(0.4), Digits().rows()[0].x_0
    epochs = torch.stack([data[0].x_n for _ in range(100)])
    assert (epochs == epochs[0]).all()
    assert abs(float((epochs.mean(0) - clean).std()) - 0.4) < 0.1
    assert torch.equal(observations(0.4)[0].x_n, data[0].x_n)
    assert not torch.equal(observations(0.4, seed=1)[0].x_n, data[0].x_n)


def test_a_row_is_the_same_alone_and_in_any_batch():
    data = observations((0.1, 0.4))
    batch = data.__getitems__([5, 3, 1000])
    for place, row in enumerate([5, 3, 1000]):
        assert torch.equal(data[row].x_n, batch.x_n[place])
        assert data[row].sigma_n == batch.sigma_n[place]
    assert len(set(batch.sigma_n.tolist())) == 3


def test_a_corruption_that_knows_one_generator_is_called_row_by_row():
    data = Observations(Digits().rows(), OneGenerator(), 0)
    together, alone = data.__getitems__([4, 9]), data.__getitems__([9])
    assert torch.equal(together.x_n[1:], alone.x_n)


def test_observations_pass_through_unchanged_beside_clean_rows():
    noisy = Batch(torch.ones(1, 2, 2), torch.tensor(0.3), torch.tensor(1), {})
    data = Observations(Rows([Clean(torch.zeros(1, 2, 2), {}), noisy]), Gaussian(sigma_n=0.1), 0)
    batch = data.__getitems__([1, 0])
    assert torch.equal(batch.x_n[0], noisy.x_n)
    torch.testing.assert_close(batch.sigma_n, torch.tensor([0.3, 0.1]))


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing(workers):
    data = observations()
    loader = DataLoader(
        data,
        batch_sampler=KeyedBatches(len(data), 16, 0),
        num_workers=workers,
        collate_fn=whole,
        generator=keyed_generator(0, "loader"),
    )
    got = [batch.x_n for batch in itertools.islice(loader, 3)]
    order = list(itertools.islice(KeyedBatches(len(data), 16, 0), 3))
    for batch, rows in zip(got, order, strict=True):
        assert torch.equal(batch, data.__getitems__(rows).x_n)


def test_every_row_is_used_once_an_epoch_and_epochs_differ():
    stream = list(itertools.chain.from_iterable(itertools.islice(KeyedBatches(10, 4, seed=3), 5)))
    assert sorted(stream[:10]) == sorted(stream[10:20]) == list(range(10))
    assert stream[:10] != stream[10:20]


@pytest.mark.parametrize("start", [0, 1, 7])
def test_a_resumed_order_is_the_rest_of_the_unbroken_one(start):
    """Cases C-06 and C-07."""
    unbroken = list(itertools.islice(KeyedBatches(10, 4, seed=3), 12))
    assert list(itertools.islice(KeyedBatches(10, 4, seed=3, start=start), 5)) == unbroken[start : start + 5]


def test_ranks_share_an_epoch_without_overlap():
    ranks = [list(itertools.islice(KeyedBatches(24, 4, seed=3, rank=rank, world=3), 2)) for rank in range(3)]
    assert sorted(itertools.chain.from_iterable(itertools.chain.from_iterable(ranks))) == list(range(24))


def test_an_empty_set_or_batch_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        KeyedBatches(0, 4, 0)


def test_the_survey_finds_shape_level_and_std_of_the_clean_data():
    data = Observations(Mixture(n=4096).rows(), Gaussian(sigma_n=(0.1, 0.3)), 0)
    seen = survey(data, Gaussian(), Levels(), None)
    assert seen.signal.shape == (2,)
    assert abs(seen.signal.sigma_data - 1.0654) < 0.02  # sqrt(1.5^2 / 2 + .1^2)
    assert 0.1 <= seen.sigma_n[0] < 0.101
    assert survey(data, Gaussian(), Levels(), 0.5).signal.sigma_data == 0.5
    assert "12.7" in seen.describe_noise()


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "no rows"),
        ([Batch(torch.tensor([float("nan")]), torch.tensor(0.1), torch.tensor(0), {})], r"not finite.*\[0\]"),
        ([Batch(torch.zeros(1), torch.tensor(90.0), torch.tensor(0), {})], r"sigma_max = 80.*\[0\]"),
        ([Batch(torch.zeros(1), torch.tensor(-0.1), torch.tensor(0), {})], "negative"),
        (
            [Batch(torch.randn(4, generator=keyed_generator(0, "x")), torch.tensor(25.0), torch.tensor(0), {})],
            "other units",
        ),
        ([Batch(torch.zeros(s), torch.tensor(0.0), torch.tensor(0), {}) for s in (2, 3)], "one shape"),
    ],
)
def test_mistakes_in_the_data_are_found_before_the_first_step(items, message):
    with pytest.raises(InputError, match=message):
        survey(Observations(Rows(items), Gaussian(), 0), Gaussian(), Levels(), None)


def test_taking_rows_of_a_batch_takes_them_of_everything():
    batch = Batch(
        torch.arange(6.0).reshape(3, 2),
        torch.tensor([0.1, 0.2, 0.3]),
        torch.arange(3),
        {"label": torch.tensor([7, 8, 9])},
    )
    picked = take(batch, torch.tensor([2, 0, 2]))
    assert picked.x_n[:, 0].tolist() == [4, 0, 4]
    assert picked.cond["label"].tolist() == [9, 7, 9]
    torch.testing.assert_close(picked.sigma_n, torch.tensor([0.3, 0.1, 0.3]))
    assert take(batch._replace(sigma_n=torch.tensor(0.2)), torch.tensor([0])).sigma_n.ndim == 0


def test_observations_can_be_sent_to_spawned_workers():
    again = pickle.loads(pickle.dumps(observations()))
    assert torch.equal(again[3].x_n, observations()[3].x_n)
