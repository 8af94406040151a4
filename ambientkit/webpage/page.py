"""From a template to a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def render(template: Path, **values: Any) -> str:
    """A page from a template, which extends base.html of this folder. Every value is escaped, unless it is `Markup`
    from `charts`.

    A name that the template uses and nobody gave is an error (jinja2.UndefinedError).
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([template.parent, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(style=_style(), **values)


def figures_page(title: str, figures: Sequence[Any], *, said: Sequence[str] = (), footer: str = "") -> str:
    """A page of figures side by side, for those that need no template of their own.

    figures: `Markup` from `curves`, `bars` or `histogram`; said: paragraphs above them, and footer: a line below, as
    plain text.
    """
    return render(HERE / "figures.html", title=title, figures=figures, said=said, footer=footer)


def picture_uri(png: bytes) -> str:
    """A PNG file as an address that holds the picture itself."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


@cache
def _style() -> Any:
    from markupsafe import Markup

    return Markup((HERE / "style.css").read_text(encoding="utf-8"))
