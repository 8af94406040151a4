"""The package as a plug-in: its parts, and the cost of importing it."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from ambientkit_kdiffusion import plugin

from ambientkit.registry import load, spec_of

SAMPLERS = {
    "sample_euler",
    "sample_euler_ancestral",
    "sample_heun",
    "sample_dpm_2",
    "sample_dpm_2_ancestral",
    "sample_lms",
    "sample_dpmpp_2s_ancestral",
    "sample_dpmpp_sde",
    "sample_dpmpp_2m",
    "sample_dpmpp_2m_sde",
    "sample_dpmpp_3m_sde",
}


def registered() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for entry in load().entries():
        if entry.package == "ambientkit-kdiffusion":
            found.setdefault(entry.kind, set()).add(entry.part.name)
    return found


def test_the_installed_package_registers_its_parts_under_k_diffusion_s_own_names():
    assert registered() == {
        "model": {"image_v1", "image_transformer_v1"},
        "sampler": SAMPLERS,
        "exporter": {"k-diffusion"},
    }


def test_every_keyword_of_a_k_diffusion_sampler_is_a_field_with_the_same_default():
    from ambientkit_kdiffusion.library import k_diffusion

    ours = {"model", "x", "sigmas", "extra_args", "callback", "disable", "noise_sampler"}
    for part in plugin.register_samplers():
        keywords = inspect.signature(getattr(k_diffusion().sampling, part.name)).parameters
        theirs = {name: word.default for name, word in keywords.items() if name not in ours}
        mine = {name: field.default for name, field in part.model_fields.items()}
        if "s_tmax" in mine:
            assert theirs.pop("s_tmax") == float("inf")
            assert mine.pop("s_tmax") is None
        assert mine == theirs, part.name


def test_no_sampler_on_a_grid_of_levels_is_left_out():
    from ambientkit_kdiffusion.library import k_diffusion

    sampling = k_diffusion().sampling
    on_a_grid = {
        name
        for name in dir(sampling)
        if name.startswith("sample_") and "sigmas" in inspect.signature(getattr(sampling, name)).parameters
    }
    assert on_a_grid == SAMPLERS


@pytest.mark.parametrize("part", [*plugin.register_models(), *plugin.register_samplers()], ids=lambda part: part.name)
def test_a_part_is_rebuilt_from_its_specification(part):
    kind = "model" if part in plugin.register_models() else "sampler"
    assert load().build(kind, spec_of(part())) == part()


@pytest.mark.slow
def test_importing_the_plug_in_and_asking_the_registry_does_not_import_k_diffusion():
    code = (
        "import sys\nimport ambientkit_kdiffusion.plugin\nfrom ambientkit.registry import load\n"
        "part = load().build('model', 'image_v1')\nload().build('sampler', 'sample_heun')\n"
        "assert 'image_v1' in load().names('model')\nprint('k_diffusion' in sys.modules, 'clip' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["False", "False"], done.stdout + done.stderr


@pytest.mark.parametrize(("before", "after"), [("", "0"), pytest.param("1", "1", marks=pytest.mark.thorough)])
@pytest.mark.slow
def test_without_cuda_compiling_is_off_unless_the_environment_says_otherwise(before, after):
    code = (
        "import os, torch\ntorch.cuda.is_available = lambda: False\n"
        f"os.environ.pop('K_DIFFUSION_USE_COMPILE', None)\nif {before!r}: os.environ['K_DIFFUSION_USE_COMPILE'] = "
        f"{before!r}\n"
        "from ambientkit_kdiffusion.library import "
        "k_diffusion\nk_diffusion()\nprint(os.environ['K_DIFFUSION_USE_COMPILE'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr) == (after, "")


def test_a_broken_k_diffusion_is_reported_with_what_to_install(monkeypatch):
    from ambientkit_kdiffusion.library import k_diffusion

    from ambientkit.errors import InputError

    monkeypatch.setitem(sys.modules, "k_diffusion", None)
    with pytest.raises(InputError, match="setuptools<81"):
        k_diffusion()
