"""The corruption `mask`: what a row holds, what a view shows, what is trained on it, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator

import ambientkit as ak
from ambientkit.batch import Batch, Clean, take
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.objectives.sure import Sure
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.config.pairs import refuse_pairs
from ambientkit.data import drop_conditions, observed, survey
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels, Signal
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.operators.blur import Blur
from ambientkit.registry import load
from ambientkit.verification import case_for

PICTURES = torch.rand(40, 1, 6, 8, generator=Generator().manual_seed(0)) * 2 - 1
CLEAN = [Clean(one, {}) for one in PICTURES]


def batch(mask: Mask, n: int = 40) -> Batch:
    return mask.observe(PICTURES[:n], torch.arange(n), Generator().manual_seed(1))


def test_a_step_hides_something_else_each_time_and_never_shows_what_was_not_measured() -> None:
    mask, rows = Mask(sigma_n=0.1), batch(Mask(sigma_n=0.1))
    one, other = (mask.degrade(rows, torch.full((40,), 0.3), Generator().manual_seed(seed)) for seed in (2, 3))
    assert not torch.equal(one.cond["mask"], other.cond["mask"])
    for view in (one, other):
        assert not bool((view.cond["mask"] & ~rows.cond["mask"]).any())
        assert bool((view.x[~view.cond["mask"]] == 0).all())


def test_a_row_is_restored_from_all_that_was_measured() -> None:
    rows = batch(Mask(sigma_n=0.1))
    view = Mask().show(rows, torch.full((40,), 0.1), Generator().manual_seed(2))
    assert torch.equal(view.cond["mask"], rows.cond["mask"])
    assert torch.equal(view.x, rows.x_n)


def test_without_missing_values_the_loss_is_that_of_gaussian_noise_but_for_what_a_step_hides() -> None:
    """A mask that hides almost nothing gives, on the same noise, the loss of whole rows."""
    rows = Gaussian(sigma_n=0.2).observe(PICTURES.double(), torch.arange(40), Generator().manual_seed(1))
    whole = rows._replace(cond={"mask": torch.ones(40, 1, 6, 8, dtype=torch.bool)})
    mask, gaussian = Mask(missing=0.0, drop=1e-12), Gaussian()
    sigma, cap = torch.linspace(0.21, 2.0, 40, dtype=torch.float64), torch.full((40,), 25.0)
    one = mask.degrade(whole, sigma, [keyed_generator(0, "t", row=i) for i in range(40)])
    assert bool(one.cond["mask"].all())
    view = one._replace(cond={})
    for name in ("expect", "slope", "weight"):
        given = {"expect": (view.x + 0.1,), "slope": (), "weight": ()}[name]
        last = (cap, cap) if name == "weight" else ()
        found = getattr(mask, name)(*given, one, whole, *last)
        assert torch.equal(found, getattr(gaussian, name)(*given, view, rows, *last)), name


@pytest.mark.parametrize(("missing", "power"), [(0.1, 0.15), (0.3, 0.45), (0.8, 0.6)])
def test_hidden_values_count_by_the_share_that_is_missing_unless_a_power_is_given(missing: float, power: float) -> None:
    mask = Mask(missing=missing)
    case = case_for(Tweedie())
    tools = replace(case.tools, corruption=mask, signal=Signal((1, 6, 8), 0.5))

    def values(objective: Tweedie) -> torch.Tensor:
        own = replace(tools, generator=Generator().manual_seed(3))
        return objective.loss(lambda x, sigma, **cond: 0.5 * x, batch(mask), own)["tweedie"].value

    assert torch.equal(values(Tweedie()), values(Tweedie(hidden_power=power)))
    assert not torch.equal(values(Tweedie()), values(Tweedie(hidden_power=power + 0.05)))
    others = [Mask(missing=missing, kind="rows"), Linear(operator=Blur()), Gaussian()]
    assert [other.hidden_power for other in others] == [0.6, 0.6, 0.6]


def test_noise_per_pixel_counts_where_something_was_measured() -> None:
    rows = batch(Mask())
    level = torch.where(rows.cond["mask"], 0.1, 99.0)
    assert torch.equal(Mask().floor(rows._replace(sigma_n=level)), torch.full((40,), 0.1))
    with pytest.raises(ValueError, match="row 3"):
        Mask().degrade(take(rows._replace(sigma_n=level), torch.tensor([3])), torch.tensor([0.05]), Generator())


def test_what_no_row_has_is_named_and_refused() -> None:
    rows = batch(Mask())
    mask = rows.cond["mask"].clone()
    mask[:, 0, 2, 3] = False
    lost = rows._replace(cond={"mask": mask})
    assert "(0, 2, 3)" in Mask().unseen(lost)
    assert "1 of 48" in Mask().unseen(lost)
    assert Mask(allow_unseen=True).unseen(lost) == ""
    assert Mask().unseen(rows) == ""


def test_complementary_masks_are_named_and_refused() -> None:
    board = ((torch.arange(6)[:, None] + torch.arange(8)) % 2 == torch.arange(200)[:, None, None] % 2).unsqueeze(1)
    rows = Batch(torch.where(board, 1.0, 0.0), torch.zeros(200), torch.arange(200), {"mask": board})
    assert "51% of the pairs of values" in Mask().unseen(rows)
    assert "200 rows" in Mask().unseen(rows)
    assert Mask(allow_unseen=True).unseen(rows) == ""
    mixed = torch.where(
        torch.arange(200).reshape(-1, 1, 1, 1) < 100, board, torch.rand(board.shape, generator=Generator()) < 0.5
    )
    assert Mask().unseen(rows._replace(cond={"mask": mixed})) == ""


def test_the_std_of_the_data_is_that_of_what_was_measured() -> None:
    rows = batch(Mask(missing=0.8, sigma_n=0.3))
    seen = rows.cond["mask"]
    assert Mask().clean_std(rows) == pytest.approx(float(PICTURES[seen].std()), abs=0.1)
    found = survey(observed(CLEAN, Mask(), 0), Mask(), Levels(), None)
    assert found.signal.conds == {"mask": (1, 6, 8)}
    assert found.signal.sigma_data == pytest.approx(0.577, abs=0.05)


def test_masks_are_never_dropped_with_the_conditions_and_move_with_the_picture() -> None:
    rows = batch(Mask())
    kept = drop_conditions(rows._replace(cond={**rows.cond, "a": torch.ones(40)}), {"a": torch.tensor(0.0)}, 1.0, 0, 0)
    assert torch.equal(kept.cond["mask"], rows.cond["mask"])
    assert not kept.cond["a"].any()
    poses = observed(CLEAN, Mask(), 0, ("flip-horizontal", "crop=4x4"))
    moved = poses.__getitems__(list(range(40)))
    assert moved.cond["mask"].shape == (40, 1, 4, 4)
    assert torch.equal(moved.x_n != 0, moved.cond["mask"])


def test_an_objective_that_does_not_serve_masks_is_refused_by_train_and_verify() -> None:
    refuse_pairs([Tweedie()], Mask())
    refuse_pairs([Sure()], Gaussian())
    with pytest.raises(InputError, match=r"'sure' is biased .* 'serves-masks'"):
        refuse_pairs([Sure()], Mask())
    with pytest.raises(InputError, match="'sure' is biased"):
        ak.verify(["sure", "mask"], quick=True)
    config = ak.configure(PICTURES.numpy(), clean=True, corruption="mask", objective="sure", model="mlp")
    with pytest.raises(InputError, match="'sure' is biased"):
        ak.build(config)


def test_what_lies_under_the_mask_never_reaches_the_answer_of_a_model() -> None:
    signal = Signal((1, 6, 8), 0.5, {"mask": (1, 6, 8)})
    model = MLP(width=16, depth=1)
    with isolated_global_generator(0, "test"):
        network = model.network(signal)
    torch.nn.init.normal_(network.decode.weight, generator=Generator().manual_seed(0))
    denoiser = model.denoiser(network, signal)
    mask = torch.rand(40, 1, 6, 8, generator=Generator().manual_seed(5)) < 0.5
    sigma = torch.full((40,), 0.3)
    one = denoiser(PICTURES, sigma, mask=mask)
    other = denoiser(torch.where(mask, PICTURES, 1e6), sigma, mask=mask)
    assert torch.equal(one, other)
    assert bool((one[~mask] != 0).any())
    assert not torch.equal(one, denoiser(PICTURES, sigma, mask=~mask))


def test_a_right_part_passes_the_checks_of_masks() -> None:
    registry = load()
    for name in ("mask-law", "further-mask", "masked-expect", "masked-weight"):
        check = registry.build("check", name)
        for part in (Mask(), Mask(kind="boxes", sigma_n=0.2), Mask(kind="rows", centre=0.4, drop=0.2)):
            found = check.measure(part, case_for(part, 3))
            assert found.p_value > 1e-5, (name, part, found)
