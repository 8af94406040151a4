"""Physics of deepinv as they are: transposes, rows of each layout of measurements, training and restoration."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

import ambientkit as ak
from ambientkit.batch import Batch, take
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.errors import InputError
from ambientkit.operators import flaw, operator_of

pytestmark = pytest.mark.slow

SIDE = 8
SHAPES = {"blur": 1, "inpainting": 1, "downsampling": 1, "tomography": 1, "sensing": 1, "mri": 2, "coils": 2}
"""Physics -> channels of its pictures."""
LYING = {"blur", "inpainting", "mri"}
"""Those whose measurements lie over pictures."""


@pytest.fixture(scope="module", autouse=True)
def scanners():
    """A user's module `scanners` that holds one physics of each kind."""
    physics = pytest.importorskip("deepinv").physics
    lines = (torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) > 0.4).float()
    maps = torch.ones(1, 3, SIDE, SIDE, dtype=torch.complex64) / 3**0.5
    one, two = (1, SIDE, SIDE), (2, SIDE, SIDE)
    kernel = physics.functional.blur.gaussian_blur(sigma=(0.5, 0.5))
    module = ModuleType("scanners")
    module.__dict__.update(
        blur=physics.BlurFFT(img_size=one, filter=kernel),
        inpainting=physics.Inpainting(img_size=one, mask=0.7),
        downsampling=physics.Downsampling(img_size=one, factor=2, filter=None),
        tomography=physics.Tomography(angles=12, img_width=SIDE, circle=False, normalize=True),
        sensing=physics.CompressedSensing(m=40, img_size=one),
        mri=physics.MRI(mask=lines, img_size=two),
        coils=physics.MultiCoilMRI(mask=lines, coil_maps=maps, img_size=two),
    )
    sys.modules["scanners"] = module
    yield
    del sys.modules["scanners"]


class Rows(Dataset[Batch]):
    def __init__(self, rows: Batch) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows.x_n)

    def __getitem__(self, index: int) -> Batch:
        return take(self.rows, torch.tensor(index))


@pytest.mark.parametrize("name", SHAPES)
def test_its_adjoint_is_the_transpose(name: str) -> None:
    operator = operator_of({"name": "deepinv", "physics": f"scanners:{name}"})
    g = torch.Generator().manual_seed(1)
    x = torch.randn(3, SHAPES[name], SIDE, SIDE, generator=g)
    y = operator.forward(x, {})
    v = torch.randn(y.shape, generator=g)
    assert float((y * v).sum()) == pytest.approx(float((x * operator.adjoint(v, {})).sum()), rel=1e-3, abs=1e-3)


def measured(name: str) -> tuple[Linear, Batch]:
    scanner = Linear(operator={"name": "deepinv", "physics": f"scanners:{name}"}, sigma_n=0.1, missing=0.2)
    x_0 = torch.randn(32, SHAPES[name], SIDE, SIDE, generator=torch.Generator().manual_seed(2)).cumsum(-1) / 8
    return scanner, scanner.observe(x_0, torch.arange(32), torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", SHAPES)
def test_a_view_tells_pictures_what_was_measured(name: str) -> None:
    """Measurements of another layout are carried back: brighter coverage where more was measured, 0 where nothing."""
    scanner, rows = measured(name)
    view = scanner.degrade(rows, torch.full((32,), 0.5), torch.Generator().manual_seed(4))
    assert view.x.shape == (32, SHAPES[name], SIDE, SIDE)
    assert ("coverage" in view.cond) == (name not in LYING)
    if "coverage" in view.cond:
        assert view.cond["coverage"].shape == view.x.shape
        none = rows._replace(cond={"sampled": torch.zeros_like(rows.cond["sampled"])})
        assert not scanner.show(none, torch.full((32,), 0.5), torch.Generator()).cond["coverage"].any()


@pytest.mark.parametrize("name", ["blur", "tomography", "coils"])
def test_a_run_trains_on_its_measurements_and_restores_them(name: str, tmp_path) -> None:
    scanner, rows = measured(name)
    run = ak.train(
        Rows(rows),
        corruption=scanner.model_copy(update={"allow_unseen": True}),
        objective="tweedie",
        model="image_transformer_v1{width: 64, depth: 1, patch_size: 4}",
        end_step=2,
        batch_size=8,
        hold_out=0,
        device="cpu",
        output_dir=tmp_path / "run",
        skip_preflight=True,
        allow=["noise"],
    )
    found = run.restore(Rows(take(rows, torch.arange(4))), draws=0)
    assert found.mean.shape == (4, SHAPES[name], SIDE, SIDE)
    assert np.isfinite(found.mean.numpy()).all()
    assert (tmp_path / "run" / "samples" / "before_and_after.png").is_file()


def test_a_stacked_physics_is_refused_and_serves_as_the_page_joins_it() -> None:
    page = (Path(__file__).parents[2] / "docs" / "masks.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(# scanner.py\n.*?)```", page, re.S)
    assert code
    names: dict = {}
    exec(code[1].replace("32", str(SIDE)), names)
    sys.modules["scanners"].__dict__.update(joined=names["physics"], several=names["physics"].whole)
    x = torch.zeros(2, 3, SIDE, SIDE)
    with pytest.raises(InputError, match=r"TensorList: .* Wrap a stacked physics"):
        operator_of({"name": "deepinv", "physics": "scanners:several"}).forward(x, {})
    operator = operator_of({"name": "deepinv", "physics": "scanners:joined"})
    y = operator.forward(x, {})
    assert y.shape == (2, 3 * (SIDE // 2) ** 2 + SIDE**2)
    assert flaw(operator, x, y, {}) == ""
