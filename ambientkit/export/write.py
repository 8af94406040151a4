"""A trained network as one file or folder, for ambientkit elsewhere or for another library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambientkit.checkpoint.names import EXPORT
from ambientkit.checkpoint.own import refuse_own
from ambientkit.checkpoint.replace import replacing
from ambientkit.checkpoint.target import as_path, check_place, is_stream, refuse_broken
from ambientkit.checkpoint.weights import weights_file
from ambientkit.config.portable import portable
from ambientkit.errors import InputError, RunError, nearest
from ambientkit.interfaces import Exporter, Finished, Model
from ambientkit.messages import note
from ambientkit.operators import files_of
from ambientkit.registry import Registry, load
from ambientkit.sample import Trained, load_run
from ambientkit.sample.load import run_of
from ambientkit.sample.suited import restores_alone, sample_command
from ambientkit.tables import Record

OWN = "ambientkit"
"""The form that `ambientkit sample FILE` reads. It takes every model, and is no translation, so it is no part."""
PACKAGES = {
    "k-diffusion": "ambientkit-kdiffusion",
    **dict.fromkeys(("diffusers", "diffusers-lora", "kohya-lora"), "ambientkit-diffusers"),
}
"""Forms that are known to come with a plug-in of this repository."""


@dataclass(frozen=True, slots=True)
class Exported(Record):
    """What `export` has written."""

    form: str
    path: Path
    """A file, or a folder where the form is one."""
    step: int
    """Of the averaged weights."""
    size: int
    """Bytes."""
    snippet: str
    """How it is used: Python for the library of the form, or the command that samples our own file."""

    def blocks(self) -> list[str]:
        """The files that were written, and how they are used."""
        written = f"{self.form}: {self.path}, step {self.step}, {self.size / 1e6:.3g} MB"
        if self.form == OWN:
            return [written, f"next: {self.snippet}"]
        return [written, f"\nTo sample it with that library alone:\n\n{self.snippet}"]

    def to_dict(self) -> dict[str, Any]:
        """Everything, the path as text."""
        return {
            "form": self.form,
            "path": str(self.path),
            "step": self.step,
            "size": self.size,
            "snippet": self.snippet,
        }


def export(
    run: str | Path | Trained,
    form: str = OWN,
    out: str | Path | None = None,
    *,
    force: bool = False,
    registry: Registry | None = None,
) -> Exported:
    """Write the averaged weights of a run for ambientkit elsewhere, or for another library, which then needs nothing of
    ambientkit.

    run: its folder, its weights file, one of its checkpoints, or the run as `load_run` gives it. form: "ambientkit"
    (one file that `load_run` reads) or the name of an exporter. out: the file or folder to write, RUN/export/FORM where
    it is not given; a denoiser of no run folder needs it; of a form that is one file, a name without a suffix is the
    folder in which FORM.safetensors is written. force: replace an earlier export. The paths of this machine
    are not in what is written. Nothing is written before everything that can be checked has been, and what was there
    stays until the new is whole.

    Raises InputError for a form that is not there or cannot express the model, for a run without whole weights and for
    a target that is taken or of a wrong name, and RunError where the disk refuses.
    """
    registry = load() if registry is None else registry
    exporter = exporter_of(form, registry)
    trained = run if isinstance(run, Trained) else load_run(Path(run), registry)
    folder, called = None if trained.path is None else run_of(trained.path), trained.called
    if exporter is not None and not exporter.takes(trained.config.model):
        raise InputError(
            f"{called}: its model {trained.config.model.name!r} cannot be written as --format {exporter.name}. "
            f"Forms that can express it: {', '.join(forms(trained.config.model, registry))}"
        )
    given = None if out is None else as_path(out, "--out")
    target = _target(folder, given, form, ".safetensors" if exporter is None else exporter.suffix, force)
    if trained.step < trained.config.end_step and not trained.kept_after:
        note(
            f"{called}: these are the weights of step {trained.step} of {trained.config.end_step}; the run is not "
            "finished"
        )
    if needed := files_of(trained.config.corruption):
        note(
            f"{target}: {', '.join(file.name for file in needed)}, which the operator reads, is not in it: take it "
            "along, in the same folder"
        )
    finished = finished_of(trained)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{target}: cannot be written ({error.strerror})") from error
    with replacing(target, suffix=target.suffix, check=_only_replaces(target)) as path:
        if exporter is None:
            path.write_bytes(weights_file(finished.network, own_metadata(trained), trained.base))
        else:
            exporter.write(finished, path)
    use = (
        sample_command(target, restores_alone(trained))
        if exporter is None
        else exporter.snippet(finished, str(target)).rstrip()
    )
    return Exported(form, target, trained.step, _size(target), use)


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
    return registry.build(Exporter, form)


def forms(model: Model, registry: Registry) -> list[str]:
    """The forms that can express a model."""
    parts = [registry.build(Exporter, name) for name in registry.names("exporter")]
    return [OWN, *(part.name for part in parts if part.takes(model))]


def finished_of(trained: Trained) -> Finished:
    """What an exporter is given."""
    assert trained.network is not None
    return Finished(trained.config.model, trained.network, trained.signal, trained.config.levels.as_levels())


def own_metadata(trained: Trained) -> dict[str, object]:
    """What our own form says beside the weights: all that the run's file says, without the paths of this machine."""
    signal = trained.signal
    data: dict[str, Any] | None = None
    if trained.sigma_n is not None:
        data = {
            "units": trained.units.plain(),
            "sigma_n": list(trained.sigma_n),
            "noise": trained.noise,
            **({"latents": True} if trained.latents else {}),
            "maps": list(trained.maps),
            "operator": trained.operator,
        }
        if (
            trained.fingerprint is not None
        ):  # so that rows of the same name elsewhere are not taken for those it was trained on
            data["fingerprint"] = {key: trained.fingerprint[key] for key in ("rows", "how", "sha256")}
    return {
        "config": portable(trained.config),
        "signal": {"shape": signal.shape, "sigma_data": signal.sigma_data, "conds": dict(signal.conds)},
        "step": trained.step,
        "data": data,
    }


def _target(folder: Path | None, out: Path | None, form: str, suffix: str, force: bool) -> Path:
    """Where to write. Raises InputError for a name that the form cannot have, and for one that is taken."""
    if out is None and folder is None:
        raise InputError("--out: give the file or folder to write; this denoiser belongs to no run folder")
    target = out if out is not None else Path(folder or "") / EXPORT / f"{form}{suffix}"
    if suffix and not target.suffix and not target.is_file():
        target = target / f"{form}{suffix}"
    if suffix and target.suffix != suffix:
        raise InputError(
            f"--out {target}: the form {form} is one file whose name ends in {suffix}, by which it is recognised"
        )
    refuse_own(target, "--out", folder=not suffix)
    refuse_broken(target.parent if suffix else target, "--out")
    if not (target.exists() or target.is_symlink()):
        check_place(target, "--out")
        return target
    if not force:
        raise InputError(
            f"--out {target}: is there already, and is left as it is; give another name, or --force to replace it"
        )
    if is_stream(target):
        raise InputError(f"--out {target}: is a device, a pipe or a socket; give a file")
    if bool(suffix) == target.is_dir():
        raise InputError(
            f"--out {target}: --force replaces an earlier export, but this is {'a folder' if suffix else 'a file'}"
        )
    check_place(target, "--out")
    return target


def _only_replaces(old: Path) -> Callable[[Path], None]:
    """A check that raises InputError where the folder `old` holds anything that the new one does not write: it may be
    no export at all."""

    def check(new: Path) -> None:
        if not old.is_dir():
            return
        names = [
            {str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir()} for folder in (old, new)
        ]
        if surplus := sorted(names[0] - names[1]):
            shown = ", ".join(surplus[:5]) + (" and more" if len(surplus) > 5 else "")
            raise InputError(
                f"--out {old}: holds files that an export does not write ({shown}); nothing is replaced. Give "
                "another name"
            )

    return check


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
