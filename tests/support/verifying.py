"""What the tests of `ambientkit verify` share: judgements of toy parts, and the command in a process of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ambientkit.verification import run_pair
from ambientkit.verification.plan import Pair
from tests.support import forked
from tests.support import toy_parts as toys

ALPHA = 5e-4
BIASED = '''
from ambientkit.batch import Term
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.hookspecs import hookimpl
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import uniform


class Forgetful(Objective):
    """Tweedie that forgets what expect() is for: it takes the noisy rows for clean ones."""

    name = "forgetful"
    claims = frozenset({"stationary-at-oracle"})

    def loss(self, denoiser, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        sigma = log_uniform(uniform(floor, tools.generator), floor, tools.levels.sigma_max)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        error = denoiser(view.x, view.sigma, **view.cond) - batch.x_n
        return {"forgetful": Term(error.square().flatten(1).mean(1), sigma)}


@hookimpl
def register_objectives():
    return [Forgetful]
'''


def judge(part, check=None, **more):
    """The result of one check on an objective, at level ALPHA."""
    return run_pair(Pair("objective", part, check or toys.Mean()), 0, ALPHA, **more)


def ambientkit(
    *arguments: str, cwd: Path, path: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own. path: where plug-ins lie."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **({"PYTHONPATH": str(path)} if path else {}), **variables}
    return forked.run(["-m", "ambientkit", *arguments], cwd=cwd, env=environment, encoding="utf-8")
