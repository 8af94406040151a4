"""A run knows the operator of its rows from every folder and after a move, and takes no other one for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ambientkit as ak
from ambientkit.errors import InputError
from ambientkit.export import export
from ambientkit.operators import Operator, answers, operator_of

MATRIX = np.random.default_rng(0).standard_normal((12, 16)) / 4
KERNEL = np.asarray([[0.0, 0.1, 0.0], [0.1, 0.5, 0.2], [0.0, 0.05, 0.05]])
SETTINGS = {"model": {"name": "mlp", "width": 8, "depth": 1}, "objective": "tweedie", "batch_size": 8, "device": "cpu"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    rng = np.random.default_rng(1)
    x_0 = np.cumsum(rng.uniform(-0.3, 0.3, (40, 16)), -1)
    np.save("a.npy", MATRIX)
    np.save("k.npy", KERNEL)
    np.save("y.npy", (x_0 @ MATRIX.T + 0.05 * rng.standard_normal((40, 12))).astype(np.float32))
    np.save("x.npy", (x_0.reshape(40, 1, 4, 4) + 0.05 * rng.standard_normal((40, 1, 4, 4))).astype(np.float32))
    return folder


def data(rows: str | Path) -> dict[str, object]:
    return {"name": "array", "path": str(Path(rows).absolute()), "layout": "N...", "sigma_n": 0.05}


def trained(operator: dict[str, object], rows: str, **more: object) -> ak.Run:
    corruption = {"name": "linear", "operator": operator, "allow_unseen": True}
    return ak.train(
        data(rows), corruption=corruption, output_dir="run", skip_preflight=True, **{"end_step": 2, **SETTINGS, **more}
    )


CASES = {
    "matrix": ({"name": "matrix", "path": "a.npy", "shape": [1, 4, 4]}, "y.npy", "a.npy", MATRIX),
    "blur": ({"name": "blur", "kernel": "k.npy"}, "x.npy", "k.npy", KERNEL),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_finds_its_operator_from_other_folders_and_beside_it_after_a_move(
    case: str, project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    operator, rows, file, values = CASES[case]
    caplog.set_level("NOTE", "ambientkit")
    run = trained(operator, rows)
    expected = run.restore(data(rows), n=3).mean
    run.export(out=project.parent / "taken" / "one.safetensors")
    assert f"{file}, which the operator reads, is not in it" in caplog.text
    y = data(rows)
    monkeypatch.chdir(project.parent)
    np.save(file, values[::-1])  # of the same name, in another folder
    assert (ak.Run("project/run").restore(y, n=3).mean == expected).all()
    Path(file).unlink()
    project.rename("moved")
    y = data(f"moved/{rows}")
    Path("moved", file).unlink()
    with pytest.raises(InputError, match=f"{file}: there is no such file.* beside"):
        _ = ak.Run("moved/run").trained
    for place in ("moved/run", "taken"):
        np.save(Path(place) / file, values)
    for place in ("moved/run", "taken/one.safetensors"):
        assert (ak.Run(place).restore(y, n=3).mean == expected).all()
    assert ak.train(y, resume="moved/run", end_step=3).step == 3


@pytest.mark.parametrize("case", CASES)
def test_another_operator_of_the_same_name_is_refused(case: str, project: Path) -> None:
    operator, rows, file, values = CASES[case]
    trained(operator, rows)
    for other in (values[::-1], values * 1.01, values.astype(np.float32)):
        np.save(file, other)
        if other.dtype == np.float32:  # the same, but for rounding
            assert ak.Run("run").trained.step == 2
            continue
        for use in (lambda: ak.Run("run").trained, lambda: ak.train(resume="run", end_step=3, skip_preflight=True)):
            with pytest.raises(InputError, match=f"operator {case}: is another one than the run was trained through"):
                use()


def test_an_export_says_which_maps_rows_brought(project: Path) -> None:
    """Without them samples were drawn under an operator of no maps."""
    run = replace(trained(*CASES["matrix"][:2]).trained, maps=("coils",))
    export(run, out="one.safetensors")
    assert ak.Run("one.safetensors").trained.maps == ("coils",)


def test_what_rests_on_the_reverse_process_is_not_measured_where_it_is_none(project: Path) -> None:
    """By hand the residual of an exact denoiser, "0 for an exact denoiser", was 8e55 for a matrix of 7 x 9."""
    with pytest.raises(InputError, match=r"samples are those of x_0 only where A\^T A = I.*rest on the same"):
        trained(*CASES["matrix"][:2]).verify(rows=8)


def test_answers_tell_operators_apart_that_differ_in_one_value_and_in_the_order_of_measurements() -> None:
    def of(values: np.ndarray) -> list[float]:
        found = answers(operator_of({"name": "matrix", "values": values.tolist(), "shape": [16]}), (16,))
        assert found is not None
        return found

    one = MATRIX.copy()
    one[3, 5] += 0.1
    for other in (one, MATRIX[::-1], MATRIX[:-1], MATRIX[:, ::-1], -MATRIX):
        assert not np.allclose(of(MATRIX), of(other) + [0.0] * (len(of(MATRIX)) - len(of(other))), rtol=1e-4)


class Gains(Operator):
    """An operator that has no answer without the maps of a row."""

    name = "gains"
    per_row = frozenset({"gains"})

    def forward(self, x, given):
        return x * given["gains"]

    def adjoint(self, y, given):
        return y * given["gains"]


def test_an_operator_that_rows_bring_maps_to_is_asked_nothing_without_them() -> None:
    assert answers(Gains(), (1, 4, 4)) is None
