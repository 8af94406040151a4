"""One check on one part: the measurement, its control, and the verdict; and a whole plan of them, in one or more
processes."""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.interfaces import Case, Check, Measured, Part
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.operators.blur import Blur
from ambientkit.operators.fourier import Fourier
from ambientkit.operators.matrix import Matrix
from ambientkit.processes import worker_pool
from ambientkit.verification.case import make_case
from ambientkit.verification.plan import Pair, Plan

MATRIX = ((1.0, 0.4, 0.0, -0.3), (0.0, 0.8, 0.5, 0.2), (-0.6, 0.0, 0.9, 0.1))
"""Three measurements of four values: the rest no row measures."""
PARTIAL = (
    Mask(missing=0.4, drop=0.3),
    Mask(missing=0.2, drop=0.3, sigma_n=(0.1, 0.4)),
    Mask(kind="columns", missing=0.3, drop=0.4, sigma_n=(0.0, 0.3)),
    Mask(kind="boxes", missing=0.3, drop=0.3, sigma_n=0.2),
    Linear(operator=Fourier(real=True), missing=0.3, drop=0.3),
    Linear(operator=Matrix(shape=(1, 2, 2), values=MATRIX), missing=0.3, drop=0.4, sigma_n=(0.1, 0.4)),
    Linear(operator=Blur(width=0.6), missing=0.3, drop=0.3, sigma_n=0.2),
)
"""The kinds of rows seen in part that objectives are measured on in turn."""


class Verdict(enum.StrEnum):
    """What a check says of a part. A check that does not reject a wrong part is inconclusive, never passed."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Result:
    """A check's measurement of a part, the same of its control, and the verdict at level `alpha`."""

    pair: Pair
    verdict: Verdict
    alpha: float
    measured: Measured | None = None
    """None where measuring raised."""
    control: Measured | None = None
    """None where it was not measured, or raised."""
    error: str = ""
    """The exception, in one line."""
    seconds: float = 0.0

    @property
    def part(self) -> str:
        """The part's name."""
        return self.pair.part.name

    @property
    def check(self) -> str:
        """The check's name."""
        return self.pair.check.name

    def __str__(self) -> str:
        found = [f"{self.part}: {self.check} {self.verdict}"]
        if self.measured:
            found.append(
                f"statistic {self.measured.statistic:.3g}, p {self.measured.p_value:.2g}, n {self.measured.n}, "
                f"level {self.alpha:.2g}"
            )
            found += [self.measured.why] if self.measured.why else []
        if self.control:
            found.append(f"control p {self.control.p_value:.2g}")
        if self.error:
            found.append(self.error)
        return "; ".join(found).replace("; ", " (", 1) + (")" if len(found) > 1 else "")


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Within the block, one thread, gradients on, and torch's global generator keyed by the seed; all are as before
    afterwards.

    Sums over threads depend on their number in the last digits. A part must not draw from the global generator; one
    that does gets the same numbers each time all the same. A part that leaves gradients switched off spoils no other
    part's measurement.
    """
    with isolated_global_generator(seed, "verify.global"), torch.enable_grad():
        threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)


def case_for(part: Part, seed: int = 0) -> Case:
    """The case a part is measured on: rows of built-in Gaussian noise, one level per row in [0.1, 0.4]; clean rows for
    "needs-clean-data"."""
    case = make_case(Gaussian(sigma_n=(0.1, 0.4)), seed, clean="needs-clean-data" in part.claims)
    return replace(case, partial=PARTIAL)


def run_check(
    check: Check,
    part: Part,
    case: Case,
    alpha: float,
    *,
    kind: str | None = None,
    controls: bool = True,
    explain: bool = True,
) -> Result:
    """Measure a part and its control. alpha: the level of this one check. A part or check that raises has failed;
    nothing is raised here.

    A control that is not rejected, or cannot be measured, makes the check inconclusive, unless the part itself has
    failed. controls: False leaves the control out, and so no part can pass. explain: measure the control of a part that
    has failed too, for who reads it.
    """
    pair = Pair(kind or check.kind, part, check, explain)
    began = time.perf_counter()
    measured, error = None, ""
    if not explain and fewer_samples(check) is not check:  # what a part does not claim it mostly fails, and clearly
        measured, error = _measure(fewer_samples(check), part, case)
    if measured is None or not 0 <= measured.p_value < alpha:
        measured, error = _measure(check, part, case)
    if measured is None or not alpha <= measured.p_value <= 1:
        if measured is not None and not 0 <= measured.p_value <= 1:
            error = f"its p-value is {measured.p_value}: the numbers of the part are not finite"
        # The control is of interest to who reads a failure, but cannot change the verdict.
        control = (
            _measure_control(check, part, case, alpha)[0] if controls and explain and measured is not None else None
        )
        return Result(pair, Verdict.FAILED, alpha, measured, control, error, time.perf_counter() - began)
    control, error = _measure_control(check, part, case, alpha) if controls else (None, "its control was not measured")
    rejected = control is not None and 0 <= control.p_value < alpha
    verdict = Verdict.PASSED if rejected else Verdict.INCONCLUSIVE
    if not rejected and not error:
        error = "the control, which is wrong on purpose, was not rejected"
    return Result(pair, verdict, alpha, measured, control, error, time.perf_counter() - began)


def _measure(check: Check, part: Part, case: Case) -> tuple[Measured | None, str]:
    try:
        with reproducible(case.seed):
            return check.measure(part, case), ""
    except (Exception, SystemExit) as error:  # a part must not be able to end the run
        return None, one_line(error)


def _measure_control(check: Check, part: Part, case: Case, alpha: float) -> tuple[Measured | None, str]:
    """A control is far off, and rejected with fewer samples: the whole size is tried only where it is not."""
    error = ""
    for size in (fewer_samples(check), check):
        try:
            with reproducible(case.seed):
                found = size.measure(size.control(part), case)
        except (Exception, SystemExit) as raised:
            error = f"the control raised {one_line(raised)}"
            continue
        if size is check or 0 <= found.p_value < alpha:
            return found, ""
    return None, error


def fewer_samples(check: Check) -> Check:
    """The check with a third of its `batches` or `rows`, as far as their bounds allow; itself where it has none."""
    sizes = {
        name: max([math.ceil(getattr(check, name) / 3), *(item.ge for item in info.metadata if hasattr(item, "ge"))])
        for name, info in type(check).model_fields.items()
        if name in ("batches", "rows")
    }
    return check.model_copy(update=sizes) if any(size < getattr(check, name) for name, size in sizes.items()) else check


def one_line(error: BaseException) -> str:
    """An exception as "Type: message", on one line of at most 300 characters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300].rstrip(": ")


def run_pair(pair: Pair, seed: int, alpha: float, controls: bool = True) -> Result:
    """Make the case of a pair and run its check; see `run_check`."""
    try:
        with reproducible(seed):
            case = case_for(pair.part, seed)
    except (Exception, SystemExit) as error:
        return Result(pair, Verdict.FAILED, alpha, error=one_line(error))
    return run_check(pair.check, pair.part, case, alpha, kind=pair.kind, controls=controls, explain=pair.claimed)


def run_plan(plan: Plan, seed: int = 0, *, processes: int = 1, controls: bool = True) -> Iterator[Result]:
    """The results of a plan, in its order, as they come. The numbers do not depend on `processes`.

    With more than one process, parts and checks travel to fresh interpreters, so their classes must be importable
    there.
    """
    if processes <= 1 or len(plan.pairs) < 2:
        for pair in plan.pairs:
            yield run_pair(pair, seed, plan.level, controls)
        return
    with worker_pool(processes) as pool:
        futures = [pool.submit(run_pair, pair, seed, plan.level, controls) for pair in plan.pairs]
        for pair, future in zip(plan.pairs, futures, strict=True):
            try:
                yield future.result()
            except BrokenProcessPool:  # some part has killed its process, and with it all that were waiting
                yield _alone(pair, seed, plan.level, controls)


def _alone(pair: Pair, seed: int, alpha: float, controls: bool) -> Result:
    try:
        with worker_pool(1) as pool:
            return pool.submit(run_pair, pair, seed, alpha, controls).result()
    except BrokenProcessPool:
        return Result(pair, Verdict.FAILED, alpha, error="the process that measured it died")
