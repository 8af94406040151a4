"""Training as the benchmarks do it: in this process, with its output in a file, and again from where it was stopped."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any


def train_run(home: Path, tree: dict[str, Any]) -> None:
    """Train the run folder `home` to its end, from its last checkpoint where it was begun; nothing where it is finished.

    tree: the configuration of a run that is begun, which HOME.json keeps; HOME.log keeps what is printed.
    """
    from ambientkit.checkpoint.status import read_status
    from ambientkit.config.request import Request
    from ambientkit.run.train import run

    status = read_status(home)
    if status is not None and status.state == "finished":
        return
    home.parent.mkdir(parents=True, exist_ok=True)
    settings = home.with_suffix(".json")
    settings.write_text(json.dumps(tree))
    begun = (home / "config.yaml").exists()
    request = Request(
        flags={},
        data=None,
        sigma_n=None,
        config=() if begun else (settings,),
        settings=(),
        output_dir=home,
        resume="latest" if begun else None,
        dry_run=False,
        skip_preflight=True,
    )
    with open(home.with_suffix(".log"), "a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        run(request)
