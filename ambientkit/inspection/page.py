"""The inspection as one page of HTML that needs nothing else: pictures inside, light and dark, no script, no network."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from ambientkit.inspection.finding import Finding
from ambientkit.inspection.quick import Array
from ambientkit.inspection.report import verdict
from ambientkit.units import to_uint8

PICTURES = 12
STYLE = """
:root{color-scheme:light dark;--ink:#1d2327;--paper:#fff;--line:#c9d1d6;--bar:#2b6cb0;--fine:#1a6d2f;--doubt:#8a5a00;--violated:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaed;--paper:#14181b;--line:#3c464d;--bar:#7fb2e5;--fine:#79c98b;--doubt:#e3b25b;--violated:#ff8f86}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;border-bottom:1px solid var(--line);padding:.35rem .6rem .35rem 0}
.fine{color:var(--fine)}.doubt{color:var(--doubt)}.violated{color:var(--violated);font-weight:600}
.rows{display:flex;flex-wrap:wrap;gap:.5rem}.rows img{width:8rem;height:8rem;object-fit:contain;image-rendering:pixelated;background:#888}
figure{margin:0}svg{width:100%;max-width:40rem;height:auto}rect{fill:var(--bar)}text{fill:var(--ink);font-size:11px}
"""


def page(facts: dict[str, Any], findings: Sequence[Finding], x: Array) -> str:
    """The whole page. x: rows (n, *S) in data units."""
    worst = verdict(list(findings))
    tests = "".join(
        f'<tr><th scope="row">{_(f.name)}</th><td class="{str(f.verdict).split()[0]}">{_(f.verdict)}</td>'
        f"<td>{_(f.reason)} {_(f.remedy)}</td></tr>"
        for f in findings
    )
    shown = {k: v for k, v in facts.items() if k != "sigma_n_estimated_by_row" and v is not None}
    rows = "".join(f'<tr><th scope="row">{_(k.replace("_", " "))}</th><td>{_(_told(v))}</td></tr>' for k, v in shown.items())
    levels = facts.get("sigma_n_estimated_by_row")
    parts = [
        f"<h1>{_(facts['data'])}: <span class={str(worst).split()[0]!r}>{_(worst)}</span></h1>",
        f"<h2>The noise model</h2><table><caption>Tests of white Gaussian noise of the declared level</caption>{tests}</table>",
        f"<h2>What is there</h2><table>{rows}</table>",
        _pictures(x),
        "<h2>Values</h2>" + histogram(x.ravel(), "values in units of [-1, 1]"),
    ]
    if levels:
        parts.append("<h2>Noise level by row</h2>" + histogram(np.asarray(list(levels.values())), "estimated noise std of each row"))
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{_(facts['data'])}: {_(worst)}</title><style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def _(text: object) -> str:
    return html.escape(str(text))


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list):
        return ", ".join(_told(v) for v in value[:20]) or "none"
    return str(value)


def _pictures(x: Array) -> str:
    """The first rows as pictures; the first channel where they are neither grey nor colour."""
    if x.ndim != 4:
        return ""
    tags = []
    for i, row in enumerate(x[:PICTURES]):
        low, high, std = float(row.min()), float(row.max()), float(row.std())
        text = f"row {i} of those looked at: values {low:.3g} to {high:.3g}, std {std:.3g}"
        tags.append(f'<figure><img alt="{_(text)}" src="data:image/png;base64,{_png(row)}"></figure>')
    return f'<h2>Rows</h2><p>Fixed scale: -1 is black, 1 is white; values beyond are cut for display only.</p><div class="rows">{"".join(tags)}</div>'


def _png(row: Array) -> str:
    import io

    from PIL import Image

    pixels = to_uint8(row)
    buffer = io.BytesIO()
    Image.fromarray(np.moveaxis(pixels, 0, -1) if len(pixels) == 3 else pixels[0]).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def histogram(values: Array, what: str, bins: int = 60) -> str:
    """A histogram as inline SVG with a text that tells it."""
    counts, edges = np.histogram(values, bins)
    most = max(int(counts.max()), 1)
    bars = "".join(
        f'<rect x="{10 + i * 10}" y="{110 - 100 * c / most:.1f}" width="9" height="{100 * c / most:.1f}"/>'
        for i, c in enumerate(counts)
        if c
    )
    quartiles = ", ".join(f"{q:.4g}" for q in np.quantile(values, [0.25, 0.5, 0.75]))
    told = f"Histogram of {what}: {edges[0]:.4g} to {edges[-1]:.4g}, quartiles {quartiles}"
    return (
        f'<figure><svg viewBox="0 0 620 130" role="img" aria-label="{_(told)}"><title>{_(told)}</title>{bars}'
        f'<text x="10" y="125">{edges[0]:.4g}</text><text x="610" y="125" text-anchor="end">{edges[-1]:.4g}</text></svg>'
        f"<figcaption>{_(told)}</figcaption></figure>"
    )
