"""ambientkit: train a diffusion model from noisy data only, and sample the clean distribution.

The public names are those in `__all__`; each is imported when it is first used, so that `import ambientkit` loads no
torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ambientkit.api.inspecting import inspect
    from ambientkit.api.measuring import measure
    from ambientkit.api.parts import parts
    from ambientkit.api.run import Run, load
    from ambientkit.api.training import build, train
    from ambientkit.api.training import configure_run as configure
    from ambientkit.corrupting import corrupt
    from ambientkit.errors import AmbientError, CheckFailed, InputError, RunError
    from ambientkit.evaluation.compare import evaluate
    from ambientkit.evaluation.ranking import rank_checkpoints
    from ambientkit.evaluation.restored import compare_restored
    from ambientkit.export.card import renew_card
    from ambientkit.export.write import export as export_run
    from ambientkit.memorisation.attacks import attack
    from ambientkit.memorisation.samples import memorization
    from ambientkit.report.write import write_report
    from ambientkit.run.status import status
    from ambientkit.sample.files import draw_to_files
    from ambientkit.sample.restored_files import restore_to_files
    from ambientkit.scaffold.write import new_plugin
    from ambientkit.training import steps
    from ambientkit.verification.verifying import planned, verify

_HOMES = {
    "train": "api.training:train",
    "load": "api.run:load",
    "Run": "api.run:Run",
    "configure": "api.training:configure_run",
    "build": "api.training:build",
    "steps": "training:steps",
    "inspect": "api.inspecting:inspect",
    "corrupt": "corrupting:corrupt",
    "verify": "verification.verifying:verify",
    "planned": "verification.verifying:planned",
    "evaluate": "evaluation.compare:evaluate",
    "compare_restored": "evaluation.restored:compare_restored",
    "rank_checkpoints": "evaluation.ranking:rank_checkpoints",
    "draw_to_files": "sample.files:draw_to_files",
    "restore_to_files": "sample.restored_files:restore_to_files",
    "attack": "memorisation.attacks:attack",
    "memorization": "memorisation.samples:memorization",
    "new_plugin": "scaffold.write:new_plugin",
    "measure": "api.measuring:measure",
    "write_report": "report.write:write_report",
    "export_run": "export.write:export",
    "renew_card": "export.card:renew_card",
    "status": "run.status:status",
    "parts": "api.parts:parts",
    "AmbientError": "errors:AmbientError",
    "InputError": "errors:InputError",
    "RunError": "errors:RunError",
    "CheckFailed": "errors:CheckFailed",
}
"""Public name -> module:name."""

__all__ = [
    "AmbientError",
    "CheckFailed",
    "InputError",
    "Run",
    "RunError",
    "attack",
    "build",
    "compare_restored",
    "configure",
    "corrupt",
    "draw_to_files",
    "evaluate",
    "export_run",
    "inspect",
    "load",
    "measure",
    "memorization",
    "new_plugin",
    "parts",
    "planned",
    "rank_checkpoints",
    "renew_card",
    "restore_to_files",
    "status",
    "steps",
    "train",
    "verify",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("ambientkit")
    if name not in _HOMES:
        raise AttributeError(f"module 'ambientkit' has no attribute {name!r}; public are {', '.join(__all__)}")
    module, _, attribute = _HOMES[name].partition(":")
    value = getattr(importlib.import_module(f"ambientkit.{module}"), attribute)
    if not isinstance(value, type):
        from ambientkit.public import is_public, public

        value = value if is_public(value) else public(f"ambientkit.{name}")(value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
