"""How the plug-in imports its libraries."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from ambientkit_diffusers import library


def test_a_library_is_imported_on_the_cpu_where_a_network_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch 2.6 raises while it imports its compiler under the device "meta"."""
    seen = []

    def imported(name: str) -> ModuleType:
        seen.append((name, torch.empty(0).device.type))
        return ModuleType(name)

    monkeypatch.setattr(library.importlib, "import_module", imported)
    with torch.device("meta"):
        library.diffusers()
        assert torch.empty(0).device.type == "meta"
    assert seen == [("diffusers", "cpu")]
