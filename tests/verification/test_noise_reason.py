"""What the check of simulated noise says of noise that is not white."""

from __future__ import annotations

import pytest
import torch

from ambientkit.builtin.checks.white import white_normal


@pytest.mark.parametrize(
    ("axis", "said"),
    [(-1, "of pixels side by side correlates"), (-2, "pixels one above the other"), (1, "channels"), (0, "rows")],
)
def test_correlated_noise_is_named_with_its_direction(axis: int, said: str) -> None:
    z = torch.randn(200, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, level = torch.randn(z.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64), torch.ones(200)
    assert white_normal(z, x, level).why == ""
    found = white_normal(0.8 * z + 0.6 * z.roll(1, axis), x, level)
    assert found.p_value < 1e-5
    assert said in found.why
