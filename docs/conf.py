"""Sphinx configuration. Neither the build nor a page needs a network: no intersphinx, no MathJax; formulas become
MathML."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

from ambientkit.registry import load

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "ambientkit"
author = "the ambientkit developers"
project_copyright = "2026, the ambientkit developers"
version = release = installed_version("ambientkit")

# Before autodoc, which imports modules with TYPE_CHECKING set, under which pydantic cannot make the parts of plug-ins.
load()

extensions = ["myst_parser", "sphinx.ext.autodoc", "plain_docstrings", "part_list", "hook_list", "mathml"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"ambientkit {release}"
html_copy_source = False
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "exclude-members": "model_config, hookspec, hookimpl"}
smartquotes = False  # they would turn x_s'' into typography
