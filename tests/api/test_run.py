"""What can be done with a trained run from Python: every method of `Run`, and the other public functions, as a notebook
calls them."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import ambientkit as ak
from tests.support import forked

pytestmark = pytest.mark.slow

FEW = {"n": 16, "steps": 2, "repeats": 1, "extractors": ["pixels"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of three steps, the file it was trained on, and its clean rows."""
    folder = tmp_path_factory.mktemp("run")
    y, x = np.mgrid[:8, :8] / 8
    clean = np.stack([0.5 * np.sin(2 * y + x + i) for i in range(64)])[:, None].astype("f4")
    np.save(folder / "noisy.npy", clean + 0.2 * np.random.default_rng(0).standard_normal(clean.shape).astype("f4"))
    run = ak.train(
        folder / "noisy.npy",
        sigma_n=0.2,
        model={"name": "mlp", "width": 8, "depth": 1},
        end_step=3,
        batch_size=16,
        device="cpu",
        output_dir=folder / "run",
        skip_preflight=True,
        allow="noise",
    )
    exported = run.export(out=folder / "exported.safetensors").path
    return SimpleNamespace(folder=folder, run=run, clean=clean, data=folder / "noisy.npy", exported=exported)


@pytest.fixture(params=["folder", "checkpoint", "exported"])
def run(request, made):
    """The run as each of the three things that can be loaded."""
    path = {
        "folder": made.run.path,
        "checkpoint": made.run.path / "checkpoints" / "checkpoint_3",
        "exported": made.exported,
    }
    return ak.load(path[request.param], device="cpu")


@pytest.fixture(autouse=True)
def nothing_printed(capfd):
    """No function prints, whatever the streams are; what it warns of is logged, and only warnings reach a program that
    set up no logging."""
    yield
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_public_functions_take_a_run_where_they_take_its_folder(made):
    assert ak.status(made.run).to_dict() == made.run.status().to_dict()
    assert ak.evaluate(made.run, **FEW).to_dict() == ak.evaluate(made.run.path, **FEW).to_dict()


def test_samples_are_the_same_from_whatever_was_loaded(run, made):
    assert torch.equal(run.sample(4, steps=2, seed=1), made.run.sample(4, steps=2, seed=1))
    assert run.sample(2, steps=2, units="data").shape == (2, 1, 8, 8)


def test_rows_are_restored_from_a_file_an_array_a_tensor_and_with_a_level_for_each(run, made):
    x = np.load(made.data)[:3]
    of_file = run.restore(made.data, sigma_n=0.2, n=3, draws=2, steps=2)
    for noisy in (x, torch.from_numpy(x)):
        found = run.restore(noisy, sigma_n=0.2, draws=2, steps=2)
        assert torch.equal(found.draws, of_file.draws)
        assert torch.equal(found.mean, of_file.mean)
    levels = run.restore(x, sigma_n=np.array([0.2, 0.3, 0.4]), draws=0).sigma
    assert levels.tolist() == pytest.approx([0.2, 0.3, 0.4])
    assert repr(of_file) == "Restored(3 rows of shape (1, 8, 8), 2 draws each)"


def test_what_is_written_into_folders_is_what_is_returned(run, made, tmp_path):
    assert np.array_equal(np.load(run.sample(4, steps=2, out=tmp_path / "s").path), run.sample(4, steps=2).numpy())
    found = run.restore(np.load(made.data)[:3], sigma_n=0.2, draws=2, steps=2, out=tmp_path / "r")
    assert (found.n, found.arrays) == (3, ("mean", "draws", "std"))
    assert run.sample(4, steps=2, out=tmp_path / "s").there_before


def test_results_are_records_that_print_and_that_a_notebook_shows(run, made, tmp_path):
    other = made.clean + 0.2 * np.random.default_rng(1).standard_normal(made.clean.shape).astype("f4")
    found = [
        run.evaluate(made.clean, clean=True, **FEW),
        run.verify(other, sigma_n=0.2, rows=4),
        run.export(out=tmp_path / "again.safetensors"),
    ]
    if run.path != made.exported:
        found += [run.report(tmp_path / "page.html", n=4, steps=2, rows=4), run.card(), run.status()]
    for record in found:
        assert str(record).strip()
        assert record._repr_html_().startswith("<")
        assert isinstance(record.to_dict(), dict)
    assert "exported.safetensors" in run._repr_html_() if run.path == made.exported else "finished" in run._repr_html_()


def test_what_a_weights_file_alone_does_not_have_is_told(made, tmp_path):
    elsewhere = ak.load(made.exported, device="cpu")
    for work in (elsewhere.status, elsewhere.card, lambda: elsewhere.report(tmp_path / "page.html")):
        with pytest.raises(ak.InputError, match="give the folder that `ambientkit train` wrote"):
            work()
    assert (elsewhere.step, elsewhere.signal.shape, elsewhere.ended.state) == (3, (1, 8, 8), "finished")


def test_rows_that_an_exported_file_cannot_reach_are_named(made):
    elsewhere = ak.load(made.exported, device="cpu")
    for work in (lambda: elsewhere.evaluate(**FEW), lambda: elsewhere.verify(rows=4)):
        with pytest.raises(
            ak.InputError,
            match=r"exported\.safetensors: the rows that it was trained on \(array\) cannot be read: noisy\.npy: "
            r"no such",
        ):
            work()


def test_what_an_export_of_a_run_is_called_where_nobody_says_it(made):
    found = made.run.export(force=True)
    assert found.path == made.run.path / "export" / "ambientkit.safetensors"


def test_messages_name_the_argument_at_fault(run, made):
    far, x = (made.clean + 1) * 127.5, made.clean
    with pytest.raises(ak.InputError, match=r"^reference: the values \(float32\) go from"):
        run.evaluate(far, clean=True, **FEW)
    with pytest.raises(ak.InputError, match=r"^subject: the values"):
        ak.evaluate(far, reference=x, clean=True, extractors=["pixels"])
    with pytest.raises(ak.InputError, match=r"^noisy: nothing says how noisy the rows are"):
        run.restore(x)
    with pytest.raises(ak.InputError, match=r"^noisy: the values"):
        run.restore(far, sigma_n=0.2)
    with pytest.raises(ak.InputError, match=r"^data: the values"):
        ak.inspect(far)
    with pytest.raises(ak.InputError, match=r"rows of shape \(1, 7, 9\), but the run was trained on \(1, 8, 8\)"):
        run.restore(np.random.default_rng(0).standard_normal((3, 1, 7, 9)), sigma_n=0.2)
    for n in (0, -4):
        with pytest.raises(ak.InputError, match=f"n {n}"):
            run.sample(n)
    with pytest.raises(ak.InputError, match="onnx"):
        run.export("onnx")
    with pytest.raises(ak.InputError, match="nothing"):
        ak.load(made.folder / "nothing")


def test_floats_of_0_to_1_are_told_of_whichever_side_they_are(made, caplog):
    unit = (made.clean + 1) / 2
    ak.evaluate(unit, reference=made.clean, clean=True, extractors=["pixels"], repeats=1)
    ak.evaluate(made.clean, reference=unit, clean=True, extractors=["pixels"], repeats=1)
    warned = [record.getMessage() for record in caplog.records if "all values lie in [0" in record.getMessage()]
    assert [text.split(":")[0] for text in warned] == ["subject", "reference"]


def test_another_level_for_the_run_s_own_rows_is_told(made, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    made.run.restore(made.data, sigma_n=0.4, n=2, draws=0)
    assert "was trained on these rows with sigma_n 0.2; they are restored with sigma_n 0.4 now" in caplog.text
    with pytest.raises(ak.InputError, match="the run was trained on these rows; give others, or leave data out"):
        made.run.verify(made.data, sigma_n=0.4, rows=4)
    monkeypatch.chdir(made.folder)
    caplog.clear()
    made.run.restore("noisy.npy", sigma_n=0.2, n=2, draws=0)  # as they were trained on
    assert "they are restored with" not in caplog.text
    assert "the run trained on rows of the reference" in str(made.run.evaluate("noisy.npy", sigma_n=0.3, **FEW))


def test_an_array_is_inspected_copied_and_its_parts_are_listed(made, tmp_path):
    assert ak.inspect(np.load(made.data), sigma_n=0.2)._repr_html_()
    copy = ak.corrupt(made.clean, tmp_path / "copy", sigma=(0.1, 0.2))
    assert (copy.rows, copy.path) == (64, tmp_path / "copy")
    found = ak.parts()
    assert len(found) > 30
    assert {entry.part.name for entry in found} >= {"tweedie", "heun", "mlp"}
    assert "tweedie" in found._repr_html_()


@pytest.mark.thorough
def test_a_script_without_a_main_guard_may_verify_a_class_of_its_own(tmp_path):
    (tmp_path / "script.py").write_text(
        "import ambientkit as ak\n"
        "from ambientkit.builtin.objectives.tweedie import Tweedie\n"
        "class Mine(Tweedie):\n"
        "    '''Tweedie of another name.'''\n"
        "    name = 'mine'\n"
        "    source = 'none'\n"
        "found = ak.verify(Mine(), quick=True)\n"
        "assert found.passed, found\n"
    )
    done = forked.run(["script.py"], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
