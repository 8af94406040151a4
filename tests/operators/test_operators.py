"""Operators: transposes, scales, what they leave unsaid, and rows that bring their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator

from ambientkit.batch import Batch, take
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.config.pairs import refuse_pairs
from ambientkit.data.hidden_share import apart
from ambientkit.data.observations import Observations
from ambientkit.data.survey import survey
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from ambientkit.operators import identifiability, operator_of
from ambientkit.operators.fourier import as_complex, as_pairs
from ambientkit.registry import load, spec_of
from tests.support.noisy_sets import clothes


class Cumulative:
    """An operator that knows numpy alone: sums along rows of a picture."""

    def forward(self, x):
        return np.cumsum(x, axis=-1)

    def adjoint(self, y):
        return np.flip(np.cumsum(np.flip(y, -1), axis=-1), -1).copy()


class Physics:
    """What `operator: deepinv` asks of a physics, without the library."""

    def A(self, x):
        return 2.0 * x[..., ::2]

    def A_adjoint(self, y):
        return torch.stack([2.0 * y, torch.zeros_like(y)], dim=-1).flatten(-2)


CUMULATIVE, PHYSICS = Cumulative(), Physics()
HERE = "tests.operators.test_operators"
COILS = torch.randn(2, 6, 6, 8, generator=Generator().manual_seed(3), dtype=torch.float64)
CASES = [
    ({"name": "blur", "width": 0.7}, (2, 6, 8), {}),
    ({"name": "blur"}, (7,), {}),
    ({"name": "downsample", "factor": 2}, (3, 6, 8), {}),
    ({"name": "fourier"}, (2, 6, 8), {}),
    ({"name": "fourier", "real": True}, (1, 5, 7), {}),
    ({"name": "fourier", "coils": 4}, (2, 6, 8), {}),
    ({"name": "fourier"}, (2, 6, 8), {"coils": COILS}),
    ({"name": "matrix", "shape": [3], "values": [[1, 2, 3], [0, 1, -1]]}, (3,), {}),
    ({"name": "python", "object": f"{HERE}:CUMULATIVE"}, (1, 6, 8), {}),
    ({"name": "deepinv", "physics": f"{HERE}:PHYSICS"}, (1, 6, 8), {}),
]


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31))
@pytest.mark.parametrize(("spec", "shape", "given_"), CASES, ids=lambda value: str(value)[:40])
def test_the_adjoint_is_the_transpose_and_the_gradient_is_the_adjoint(spec, shape, given_, seed: int) -> None:
    operator, g = operator_of(spec), Generator().manual_seed(seed)
    x = torch.randn(2, *shape, generator=g, dtype=torch.float64).requires_grad_()
    z = torch.randn(2, *shape, generator=g, dtype=torch.float64)
    seen = operator.forward(x, given_)
    y = torch.randn(seen.shape, generator=g, dtype=torch.float64)
    back = operator.adjoint(y, given_)
    assert back.shape == x.shape
    assert float((seen * y).sum().detach()) == pytest.approx(float((x * back).sum().detach()), rel=1e-9, abs=1e-9)
    assert torch.allclose(operator.forward(x + 2 * z, given_), seen + 2 * operator.forward(z, given_), atol=1e-10)
    (gradient,) = torch.autograd.grad((seen * y).sum(), x)
    assert torch.allclose(gradient, back, atol=1e-10)


@pytest.mark.parametrize(
    ("spec", "shape"), [({"name": "fourier"}, (2, 6, 8)), ({"name": "fourier", "coils": 3}, (2, 5, 6))]
)
def test_the_transform_keeps_lengths_so_that_white_noise_stays_white(spec, shape) -> None:
    operator, x = operator_of(spec), torch.randn(3, *shape, generator=Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(operator.adjoint(operator.forward(x, {}), {}), x, atol=1e-10)


def test_complex_rows_are_pairs_of_channels_and_come_back() -> None:
    x = torch.randn(3, 4, 5, 6, generator=Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(as_pairs(as_complex(x)), x)
    assert as_complex(x).shape == (3, 2, 5, 6)


def test_lines_that_no_row_has_are_named_by_frequency_and_refused() -> None:
    corruption = Linear(operator={"name": "fourier"}, kind="columns", missing=0.5, centre=0.2)
    x_0 = torch.randn(64, 2, 8, 8, generator=Generator().manual_seed(0))
    rows = corruption.observe(x_0, torch.arange(64), Generator().manual_seed(1))
    assert corruption.unseen(rows) == ""
    sampled = rows.cond["sampled"].clone()
    sampled[..., 1] = False  # the column of frequency -3
    lost = corruption.unseen(rows._replace(cond={"sampled": sampled}))
    assert "16 directions" in lost
    assert "3)" in lost
    assert corruption.model_copy(update={"allow_unseen": True}).unseen(rows._replace(cond={"sampled": sampled})) == ""


def test_lines_that_no_row_has_together_are_counted_where_none_follows_from_others() -> None:
    corruption = Linear(operator={"name": "fourier"}, kind="columns", missing=0.5)
    x_0 = torch.randn(160, 2, 8, 8, generator=Generator().manual_seed(0))
    rows = corruption.observe(x_0, torch.arange(160), Generator().manual_seed(1))
    sampled = (torch.arange(8) % 2 == torch.arange(160)[:, None] % 2).reshape(160, 1, 1, 8).expand(160, 1, 8, 8)
    assert corruption.apart(rows) == 0
    assert apart(corruption, rows) == ""
    two = rows._replace(cond={"sampled": sampled})
    assert corruption.unseen(two) == ""
    assert "51% of the pairs of measurements" in apart(corruption, two)
    assert apart(corruption.model_copy(update={"allow_unseen": True}), two) == ""
    coils = torch.randn(160, 4, 8, 8, generator=Generator().manual_seed(2)) / 2
    y = corruption.operator.forward(x_0, {"coils": coils})  # two coils: lines of one follow from those of the other
    both = rows._replace(x_n=torch.where(sampled, y, 0.0), cond={"sampled": sampled, "coils": coils})
    assert corruption.apart(both) == 0


def test_a_blur_that_keeps_some_frequency_alone_has_a_condition_and_one_that_drops_it_says_which(tmp_path) -> None:
    whole = torch.ones(4, 1, 8, 8, dtype=torch.bool)
    mild = identifiability(operator_of({"name": "blur", "width": 0.5}), whole, {}, (1, 8, 8))
    assert mild is not None
    assert mild.lost == 0
    assert 1 < mild.condition < 1e4
    np.save(tmp_path / "box.npy", np.full((1, 2), 0.5))  # the mean of two neighbours: 0 at the highest frequency
    box = identifiability(operator_of({"name": "blur", "kernel": tmp_path / "box.npy"}), whole, {}, (1, 8, 8))
    assert box is not None
    assert box.lost == 8
    assert all(kx == 4 for _, kx in box.frequencies)


def test_rows_with_coils_of_their_own_are_measured_and_seen_through_them() -> None:
    operator = operator_of({"name": "fourier"})
    corruption = Linear(operator=operator, kind="columns", missing=0.3, sigma_n=0.1)
    x_0 = torch.randn(2, 2, 6, 8, generator=Generator().manual_seed(0), dtype=torch.float64)
    y = operator.forward(x_0, {"coils": COILS})
    sampled = torch.rand(2, 1, 1, 8, generator=Generator().manual_seed(1)).expand(2, 1, 6, 8) < 0.7
    batch = Batch(
        torch.where(sampled, y, 0.0), torch.zeros(2).double(), torch.arange(2), {"sampled": sampled, "coils": COILS}
    )
    view = corruption.show(batch, torch.full((2,), 1e-9).double(), Generator().manual_seed(2))
    assert "coils" not in view.cond
    assert torch.allclose(view.x, operator.adjoint(batch.x_n, {"coils": COILS}), atol=1e-6)
    assert torch.allclose(corruption.expect(x_0, view, batch), batch.x_n, atol=1e-6)
    one = take(batch, torch.tensor([1]))
    assert torch.allclose(
        corruption.expect(x_0[1:], corruption.show(one, torch.tensor([1e-9]).double(), Generator()), one),
        batch.x_n[1:],
        atol=1e-6,
    )
    assert corruption.unseen(batch) == "" or "directions" in corruption.unseen(batch)


def test_a_configuration_names_an_operator_and_gives_it_back() -> None:
    registry = load()
    part = registry.build(
        "corruption", {"name": "linear", "operator": {"name": "downsample", "factor": 3}, "sigma_n": 0.1}
    )
    assert registry.build("corruption", spec_of(part)) == part
    for wrong, said in (
        ("blurr", "no operator 'blurr'"),
        ({"name": "blur", "width": -1}, "operator blur: width"),
        ({"name": "python", "object": "nowhere:x"}, "cannot be imported"),
    ):
        with pytest.raises(InputError, match=said):
            registry.build("corruption", {"name": "linear", "operator": wrong})


def test_consistency_is_refused_on_measured_rows() -> None:
    refuse_pairs([Tweedie()], Linear())
    with pytest.raises(InputError, match=r"'consistency' is biased .* 'serves-operators'"):
        refuse_pairs([Consistency()], Linear())


def test_the_scale_of_what_the_network_sees_is_judged_and_not_that_of_measurements(caplog) -> None:
    scanner = Linear(operator={"name": "fourier", "real": True}, missing=0.3)
    x_0 = 0.5 * torch.randn(32, 1, 32, 32, generator=Generator().manual_seed(0)) + 0.5
    rows = scanner.observe(x_0, torch.arange(32), Generator().manual_seed(1))
    assert rows.x_n.abs().max() > 12  # the mean of a picture, times its side

    def warned(corruption, batch) -> bool:
        caplog.clear()
        survey(
            Observations([take(batch, torch.tensor(i)) for i in range(32)], corruption, 0), corruption, Levels(), 0.5
        )
        return "far beyond" in caplog.text

    assert not warned(scanner, rows)
    assert warned(scanner, scanner.observe(100 * x_0, torch.arange(32), Generator().manual_seed(1)))


def test_a_line_that_one_row_of_many_measures_through_coils_of_its_own_is_not_lost() -> None:
    operator, n = operator_of({"name": "fourier"}), 200
    coils = torch.randn(n, 2, 4, 4, generator=Generator().manual_seed(0), dtype=torch.float64)
    coils[:, 0] += 3  # nearly one even coil, so that columns stay apart
    coils /= coils.square().sum(1, keepdim=True).sqrt()
    sampled = torch.ones(n, 1, 4, 4, dtype=torch.bool)
    sampled[..., 1] = False
    none = identifiability(operator, sampled, {"coils": torch.ones(n, 2, 4, 4).double() * coils[:1]}, (2, 4, 4))
    sampled[7] = True
    found = identifiability(operator, sampled, {"coils": torch.ones(n, 2, 4, 4).double() * coils[:1]}, (2, 4, 4))
    assert none is not None
    assert found is not None
    assert (none.lost > 0, found.lost) == (True, 0)


def test_maps_of_coils_that_are_all_zero_are_named_as_such() -> None:
    batch = Batch(torch.ones(2, 4, 4, 4), torch.full((2,), 0.1), torch.arange(2), {"coils": torch.zeros(2, 4, 4, 4)})
    with pytest.raises(InputError, match="it measures nothing of row 0, through the maps that it brings"):
        Linear(operator={"name": "fourier"}, missing=0.0, allow_unseen=True).clean_std(batch)


@pytest.mark.parametrize("operator", ["blur", "wide", "downsample", "fourier"])
@pytest.mark.parametrize("missing", [0.0, 0.5])
@pytest.mark.parametrize("sigma_n", [0.0, 0.1])
def test_the_std_of_clean_clothes_is_known_through_an_operator(operator: str, missing: float, sigma_n: float) -> None:
    """Measured on 400 test pictures: 0.90 to 1.09 of their root mean square; as for white rows it was 1.5 to 5.1."""
    spec: dict[str, object] = {"name": operator} | {
        "blur": {"width": 0.5},
        "wide": {"name": "blur", "width": 1.5},
        "downsample": {"factor": 2},
        "fourier": {"real": True},
    }[operator]
    x_0 = torch.from_numpy(clothes())
    corruption = Linear(operator=spec, missing=missing, sigma_n=sigma_n, allow_unseen=True)
    batch = corruption.observe(x_0, torch.arange(len(x_0)), Generator().manual_seed(0))
    assert corruption.clean_std(batch) == pytest.approx(float(x_0.square().mean().sqrt()), rel=0.15)


def test_the_std_of_white_rows_is_known_through_an_invertible_operator() -> None:
    x_0 = 0.5 * torch.randn(300, 1, 8, 8, generator=Generator().manual_seed(0))
    corruption = Linear(operator={"name": "blur", "width": 0.5}, missing=0.0)
    batch = corruption.observe(x_0, torch.arange(300), Generator().manual_seed(1))
    assert corruption.clean_std(batch) == pytest.approx(0.5, rel=0.05)
    blank = batch._replace(x_n=torch.zeros_like(batch.x_n))
    assert corruption.clean_std(blank) == 0.0


@pytest.mark.parametrize("rank", [32, 64])
def test_measurements_that_hold_noise_alone_do_not_change_the_std_of_clean_rows(rank: int, tmp_path) -> None:
    """As k-space of an operator that leaves its lines out by itself: least squares went on in rounding errors, and
    found 4e6 in place of 0.5. Noise that an inverse would enlarge counts as little."""
    rng = np.random.default_rng(0)
    turned = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    gains = np.ones(64) if rank < 64 else np.where(np.arange(64) < 60, 1.0, 1e-4)
    np.save(tmp_path / "a.npy", np.where(np.arange(64) < rank, gains, 0.0)[:, None] * turned)
    scanner = Linear(operator={"name": "matrix", "path": tmp_path / "a.npy", "shape": (1, 8, 8)}, sigma_n=0.1)
    x_0 = 0.5 * torch.randn(300, 1, 8, 8, generator=Generator().manual_seed(0))
    batch = scanner.observe(x_0, torch.arange(300), Generator().manual_seed(1))
    measured = rank if rank < 64 else 60
    assert scanner.clean_std(batch) == pytest.approx(0.5 * (measured / 64) ** 0.5, rel=0.05)
