"""`ambientkit export`: a trained network as one file or folder, for ambientkit elsewhere or for another library."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ambientkit.checkpoint import save_weights
from ambientkit.config.portable import portable
from ambientkit.errors import InputError, RunError, nearest
from ambientkit.interfaces import Exporter, Finished, Model
from ambientkit.registry import Registry, load
from ambientkit.sample import Trained, load_run
from ambientkit.sample.load import WEIGHTS, run_of

OWN = "ambientkit"
"""The form that `ambientkit sample FILE` reads. It takes every model, and is no translation, so it is no part."""
PACKAGES = {"k-diffusion": "ambientkit-kdiffusion", "diffusers": "ambientkit-diffusers"}
"""Forms that are known to come with a plug-in of this repository."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """The flags as given."""

    run: Path
    form: str = OWN
    out: Path | None = None
    force: bool = False


def run(request: ExportRequest) -> None:
    """The whole command. Nothing is written before everything that can be checked has been."""
    registry = load()
    exporter = exporter_of(request.form, registry)
    trained = trained_of(request.run)
    if exporter is not None and not exporter.takes(trained.config.model):
        raise InputError(
            f"{request.run}: its model {trained.config.model.name!r} cannot be written as --format {exporter.name}. "
            f"Forms that can express it: {', '.join(forms(trained.config.model, registry))}"
        )
    target = _target(request, exporter)
    if trained.step < trained.config.end_step:
        print(
            f"note: {request.run}: these are the weights of step {trained.step} of {trained.config.end_step}; the run is not finished",
            file=sys.stderr,
        )
    finished = finished_of(trained)
    with _aside(target, request.force) as path:
        if exporter is None:
            save_weights(path, finished.network, own_metadata(trained), trained.base)
        else:
            exporter.write(finished, path)
    print(f"{request.form}: {target}, step {trained.step}, {_size(target)}")
    if exporter is None:
        print(f"next: ambientkit sample {shlex.quote(str(target))}")
    else:
        print(f"\nTo sample it with that library alone:\n\n{exporter.snippet(finished, str(target)).rstrip()}")


def exporter_of(form: str, registry: Registry) -> Exporter | None:
    """The exporter of a form; None for our own. Raises InputError listing what there is."""
    if form == OWN:
        return None
    known = [OWN, *registry.names("exporter")]
    if form not in known:
        lines = [f"--format {form}: there is no such form{nearest(form, known) or '.'} Known: {', '.join(known)}"]
        if form in PACKAGES:
            lines.append(f"{form} comes with the package {PACKAGES[form]}, which is not installed or failed to load")
        raise InputError("\n".join([*lines, *(str(problem) for problem in registry.problems if problem.fatal)]))
    part = registry.build(Exporter, form)
    return part


def forms(model: Model, registry: Registry) -> list[str]:
    """The forms that can express a model."""
    parts = [registry.build(Exporter, name) for name in registry.names("exporter")]
    return [OWN, *(part.name for part in parts if isinstance(part, Exporter) and part.takes(model))]


def trained_of(path: Path) -> Trained:
    """The averaged weights of a run. Raises InputError where there are none, or no whole ones."""
    return load_run(path, load())


def finished_of(trained: Trained) -> Finished:
    """What an exporter is given."""
    assert trained.network is not None
    return Finished(trained.config.model, trained.network, trained.signal, trained.config.levels.as_levels())


def own_metadata(trained: Trained) -> dict[str, object]:
    """What our own form says beside the weights: all that the run's file says, without the paths of this machine."""
    signal = trained.signal
    data = None
    if trained.sigma_n is not None:
        data = {"units": trained.units.plain(), "sigma_n": list(trained.sigma_n), "noise": trained.noise}
    return {
        "config": portable(trained.config),
        "signal": {"shape": signal.shape, "sigma_data": signal.sigma_data, "conds": dict(signal.conds)},
        "step": trained.step,
        "data": data,
    }


def _target(request: ExportRequest, exporter: Exporter | None) -> Path:
    """Where to write. Raises InputError for a name that the form cannot have, and for one that is taken."""
    suffix = ".safetensors" if exporter is None else exporter.suffix
    beside = run_of(request.run)
    target = request.out or beside / "export" / f"{request.form}{suffix}"
    if suffix and target.suffix != suffix:
        raise InputError(f"--out {target}: the form {request.form} is one file whose name ends in {suffix}, by which it is recognised")
    if request.out is not None and target.resolve() == (beside / WEIGHTS).resolve():
        raise InputError(f"--out {target}: this is the run's own file; give another name")
    if not (target.exists() or target.is_symlink()):
        return target
    if not request.force:
        raise InputError(f"--out {target}: is there already, and is left as it is; give another name, or --force to replace it")
    if bool(suffix) == target.is_dir():
        raise InputError(f"--out {target}: --force replaces an earlier export, but this is {'a folder' if suffix else 'a file'}")
    return target


@contextmanager
def _aside(target: Path, force: bool) -> Iterator[Path]:
    """A path beside the target, which takes the target's place once it is written and on disk; after an error the target is as before."""
    path = target.with_name(f".{target.name.removesuffix(target.suffix)}.tmp-{os.getpid()}{target.suffix}")
    old = path.with_name(f"{path.name}-old")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield path
        for file in [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]:
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
        if target.is_dir():
            _check_replaceable(target, path)
            os.rename(target, old)  # a folder that is not empty cannot be replaced in one step
        os.replace(path, target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise RunError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _check_replaceable(old: Path, new: Path) -> None:
    """Raise InputError where a folder holds anything that the new one does not write: it may be no export at all."""
    names = [{str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir()} for folder in (old, new)]
    if surplus := sorted(names[0] - names[1]):
        shown = ", ".join(surplus[:5]) + (" and more" if len(surplus) > 5 else "")
        raise InputError(f"--out {old}: holds files that an export does not write ({shown}); nothing is replaced. Give another name")


def _size(path: Path) -> str:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:.3g} MB"
