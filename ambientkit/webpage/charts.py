"""Charts as inline SVG: described in words, their numbers in a table, and no colour that alone carries anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ambientkit.webpage.axis import Axis
from ambientkit.webpage.bins import histogram_edges

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH, HEIGHT = 400, 270
GREYS = 64
"""Fields of a grey scale."""
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 12, 46
INSIDE = 8
"""Between the ends of the axes and the outermost values."""
COLOURS = 6
DASHES = ("", "7 4", "2 3", "9 3 2 3")
MARKS = 24
"""Marks along a curve at most: more of them hide it."""
BAR = 42
"""Height of a bar with the text above it."""


@dataclass(frozen=True, slots=True)
class Series:
    """One curve of a chart. Two curves of one chart should differ in their marks or their dashes: colour alone shows
    nobody anything."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    """As many as x; values that are not finite are in the table alone."""
    error: Sequence[float] | None = None
    """Standard errors of y, in its units; a bar reaches two of them to each side."""
    style: int = 0
    """Number of its colour and its mark, of which there are six."""
    dash: int = 0
    """Number of its dashes, of which there are four; 0 is a whole line."""


def curves(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """A figure: the curves over two axes, a legend, and the numbers in a table that can be opened.

    Each curve is drawn as marks joined by a line, with bars of two standard errors to each side where it has them: for
    a quantity by noise level, say, `curves("Tweedie loss", [Series("rows of the run", sigma, mean, error)], "noise
    level sigma", "loss", log_x=True)`. log_x, log_y: a logarithmic axis, which needs values above 0; otherwise that
    axis is linear. A linear vertical axis whose values have one sign begins at 0. Values that are not finite are left
    out of the picture, and shown in the table. marks: values of x with a name, drawn as upright lines where they lie
    within the axis, such as a noise level. The chart is described in words for those who do not see it. The figure is
    HTML with its SVG inside, for `render` or `figures_page`, whose style it needs.
    """
    from markupsafe import Markup

    points = [(x, y, e) for s in series for x, y, e in _points(s)]
    if not points:
        return Markup('<p class="note">{}: there is nothing to draw yet.</p>').format(title)
    log_x, log_y = log_x and min(x for x, _, _ in points) > 0, log_y and min(y for _, y, _ in points) > 0
    lows, highs = [y - 2 * e for _, y, e in points], [y + 2 * e for _, y, e in points]
    if log_y:
        smallest = min(y for _, y, _ in points) / 2
        lows = [max(low, smallest) for low in lows]
    elif min(lows) >= 0 or max(highs) <= 0:
        lows, highs = [*lows, 0.0], [*highs, 0.0]
    across = Axis(
        min(x for x, _, _ in points), max(x for x, _, _ in points), LEFT + INSIDE, WIDTH - RIGHT - INSIDE, log=log_x
    )
    up = Axis(min(lows), max(highs), HEIGHT - BOTTOM - INSIDE, TOP + INSIDE, log=log_y)
    drawn = Markup("").join(_curve(s, across, up) for s in series)
    inside = [(x, name) for x, name in marks if across.low <= x <= across.high]
    told = "; ".join([*map(_told, series), *(f"marked: {name} at {number(x)}" for x, name in inside)])
    drawn += _upright(inside, across, TOP, HEIGHT - BOTTOM)
    return Markup(
        '<figure><figcaption><strong>{}</strong></figcaption><svg class="chart" viewBox="0 0 {} {}" role="img" '
        'aria-label="{}">'
        "<title>{}</title><desc>{}</desc>{}{}</svg>"
        "{}<details><summary>Numbers: {}</summary>{}</details></figure>"
    ).format(
        title,
        WIDTH,
        HEIGHT,
        f"{title}. {told}.",
        title,
        told,
        _frame(across, up, x_label, y_label),
        drawn,
        _legend(series),
        title,
        _table(title, series, x_label),
    )


def bars(title: str, values: Sequence[tuple[str, float]]) -> Markup:
    """A figure: named values >= 0 as horizontal bars from 0, each under its name and its number. The longest bar is as
    wide as the chart.

    A value that is not finite, or below 0, has its number and no bar.
    """
    from markupsafe import Markup

    most = max((value for _, value in values if math.isfinite(value)), default=0.0)
    drawn = Markup("")
    for place, (name, value) in enumerate(values):
        top = TOP + place * BAR
        share = value / most if most > 0 and math.isfinite(value) else 0.0
        drawn += Markup('<text x="{}" y="{}">{}: {}</text>').format(RIGHT, top + 12, name, number(value))
        if share > 0:
            width = share * (WIDTH - 2 * RIGHT)
            drawn += Markup('<rect class="bar" x="{}" y="{}" width="{:.1f}" height="12"/>').format(
                RIGHT, top + 18, width
            )
    told = "; ".join(f"{name}: {number(value)}" for name, value in values)
    return Markup(
        '<figure><figcaption><strong>{}</strong></figcaption><svg class="chart" viewBox="0 0 {} {}" role="img" '
        'aria-label="{}">'
        "<title>{}</title>{}</svg></figure>"
    ).format(title, WIDTH, 2 * TOP + BAR * len(values), f"{title}. {told}.", title, drawn)


def _upright(marks: Sequence[tuple[float, str]], across: Axis, top: float, bottom: float) -> Markup:
    """Named upright lines; the names stand below one another, on the side where there is room."""
    from markupsafe import Markup

    drawn = Markup("")
    for place, (value, name) in enumerate(marks):
        x = across.at(value)
        left = x > (LEFT + WIDTH - RIGHT) / 2
        drawn += Markup(
            '<line class="axis" x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}" stroke-dasharray="4 3"/>'
            '<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>'
        ).format(x, top, x, bottom, x - 4 if left else x + 4, top + 12 + 14 * place, "end" if left else "start", name)
    return drawn


WIDEST = 4.0
"""A mark is drawn where the bars and it are together at most so many times as wide as the bars."""


def histogram(
    values: Any,
    what: str,
    bins: int = 60,
    *,
    marks: Sequence[tuple[float, str]] = (),
    x_label: str = "",
    span: tuple[float, float] | None = None,
) -> Markup:
    """A figure: how often the values of an array of any shape occur, in `bins` bins of equal width at most
    (`histogram_edges`). marks: values with a name, drawn as upright lines unless they lie so far out that the bars
    would shrink to a line; x_label: below the axis, by default `what`; span: what the axis shows at least, for charts
    that are compared.

    Its caption and its text for those who do not see it name the ends, the quartiles and how many values lie beyond the
    bins. The values should be finite.
    """
    import numpy as np
    from markupsafe import Markup

    values = np.asarray(values).ravel()
    counts, edges = np.histogram(values, histogram_edges(values, bins))
    beyond, low, high = values.size - int(counts.sum()), float(values.min()), float(values.max())
    most = max(int(counts.max()), 1)
    room = WIDEST * float(edges[-1] - edges[0])
    drawn = [(x, name) for x, name in marks if edges[-1] - room <= x <= edges[0] + room]
    ends = [float(edges[0]), float(edges[-1]), *(x for x, _ in drawn), *(span or ())]
    across = Axis(
        min(ends),
        max(ends),
        LEFT + INSIDE,
        WIDTH - RIGHT - INSIDE,
        log=False,
    )
    up = Axis(0, 100 * most / max(values.size, 1), HEIGHT - BOTTOM, TOP + INSIDE, log=False)
    bars = Markup("").join(
        Markup('<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            across.at(edges[i]),
            up.at(100 * c / values.size),
            max(across.at(edges[i + 1]) - across.at(edges[i]) - 0.5, 0.7),
            HEIGHT - BOTTOM - up.at(100 * c / values.size),
        )
        for i, c in enumerate(counts)
        if c
    )
    quartiles = ", ".join(f"{q:.4g}" for q in np.quantile(values, [0.25, 0.5, 0.75]))
    told = f"Histogram of {what}: {low:.4g} to {high:.4g}, quartiles {quartiles}"
    if beyond:
        told += f"; {beyond:,} of {values.size:,} values lie beyond the bars"
    told += "".join(
        f"; {name} at {number(x)}" + ("" if (x, name) in drawn else ", beyond the chart") for x, name in marks
    )
    frame = _frame(across, up, x_label or what, "% of the values")
    return Markup(
        '<figure><svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}"><title>{}</title>{}{}{}</svg>'
        "<figcaption>{}</figcaption></figure>"
    ).format(WIDTH, HEIGHT, told, told, frame, bars, _upright(drawn, across, TOP, HEIGHT - BOTTOM), told)


def colour_bar(low: float, high: float, unit: str) -> Markup:
    """A figure: the grey values of a picture from black to white, with the values that they stand for."""
    from markupsafe import Markup

    across = Axis(low, high, RIGHT, WIDTH - RIGHT, log=False)
    ticks = Markup("").join(
        Markup(
            '<line class="axis" x1="{0:.1f}" y1="16" x2="{0:.1f}" y2="21"/><text x="{0:.1f}" y="34" '
            'text-anchor="middle">{1}</text>'
        ).format(across.at(value), _short(value))
        for value in across.ticks()
        if RIGHT + 8 <= across.at(value) <= WIDTH - RIGHT - 8
    )
    # Single fields, not a gradient: its name would have to be another one for each bar of a page.
    width = (WIDTH - 2 * RIGHT) / GREYS
    greys = Markup("").join(
        Markup('<rect x="{:.1f}" y="2" width="{:.2f}" height="14" fill="#{}"/>').format(
            RIGHT + place * width, width + 0.1, 3 * f"{round(255 * place / (GREYS - 1)):02x}"
        )
        for place in range(GREYS)
    )
    told = f"Scale: black {number(low)}, white {number(high)} {unit}"
    return Markup(
        '<figure class="scale"><svg class="chart" viewBox="0 0 {} 38" role="img" aria-label="{}"><title>{}</title>{}'
        '<rect x="{}" y="2" width="{}" height="14" fill="none" '
        'stroke="currentColor"/>{}</svg><figcaption>{}</figcaption></figure>'
    ).format(WIDTH, told, told, greys, RIGHT, WIDTH - 2 * RIGHT, ticks, told)


def number(value: float | None) -> str:
    """A value for a table or an axis."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if math.isfinite(value) and abs(value) < 1e7 and value == round(value) else f"{value:.4g}"


def _points(series: Series) -> list[tuple[float, float, float]]:
    errors = series.error if series.error is not None else [0.0] * len(series.x)
    return [
        (x, y, e)
        for x, y, e in zip(series.x, series.y, errors, strict=True)
        if math.isfinite(x) and math.isfinite(y) and math.isfinite(e)
    ]


def _told(series: Series) -> str:
    found = _points(series)
    if not found:
        return f"{series.name}: no values"
    values = [y for _, y, _ in found]
    (first, a, _), (last, b, _) = found[0], found[-1]
    return (
        f"{series.name}: {number(a)} at {number(first)}, {number(b)} at {number(last)}, least "
        f"{number(min(values))}, most {number(max(values))}"
    )


def _frame(across: Axis, up: Axis, x_label: str, y_label: str) -> Markup:
    from markupsafe import Markup

    parts = []
    for value in up.ticks():
        y = up.at(value)
        parts.append(
            Markup('<line class="grid" x1="{}" y1="{:.1f}" x2="{}" y2="{:.1f}"/>').format(LEFT, y, WIDTH - RIGHT, y)
        )
        parts.append(
            Markup('<text x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(LEFT - 5, y + 4, _short(value))
        )
    base, last = HEIGHT - BOTTOM, -math.inf
    for value in across.ticks():
        x, text = across.at(value), _short(value)
        parts.append(
            Markup('<line class="axis" x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}"/>').format(x, base, x, base + 4)
        )
        if x - 4 * len(text) > last:  # labels of a logarithmic axis may be closer than they are wide
            last = x + 4 * len(text)
            parts.append(Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(x, base + 17, text))
    parts.append(Markup('<line class="axis" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(LEFT, base, WIDTH - RIGHT, base))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(middle, HEIGHT - 8, x_label))
    high = (TOP + base) / 2
    parts.append(
        Markup('<text transform="translate(13 {}) rotate(-90)" text-anchor="middle">{}</text>').format(high, y_label)
    )
    return Markup("").join(parts)


def _short(value: float) -> str:
    return f"{value:g}" if abs(value) < 10_000 else f"{value / 1000:g}k" if abs(value) < 1e7 else f"{value:.3g}"


def _curve(series: Series, across: Axis, up: Axis) -> Markup:
    from markupsafe import Markup

    found = _points(series)
    places = [(across.at(x), up.at(y)) for x, y, _ in found]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [
        Markup('<polyline class="curve" points="{}" stroke-dasharray="{}"/>').format(
            path, DASHES[series.dash % len(DASHES)]
        )
    ]
    for (x, _), (_, y, error) in zip(places, found, strict=True):
        if error > 0:
            parts.append(
                Markup('<line class="error" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
                    x, up.at(y - 2 * error), x, up.at(y + 2 * error)
                )
            )
    every = math.ceil(len(places) / MARKS) or 1
    parts += [_mark(series.style, x, y) for x, y in places[::every]]
    return Markup('<g class="c{}">{}</g>').format(series.style % COLOURS, Markup("").join(parts))


def _mark(style: int, x: float, y: float, r: float = 4) -> Markup:
    """A shape of its own for each look: circle, square, triangle, diamond, triangle on its head, cross."""
    from markupsafe import Markup

    shapes = (
        None,
        [(-r, -r), (r, -r), (r, r), (-r, r)],
        [(0, -r - 1), (r + 1, r), (-r - 1, r)],
        [(0, -r - 1), (r + 1, 0), (0, r + 1), (-r - 1, 0)],
        [(0, r + 1), (r + 1, -r), (-r - 1, -r)],
        [(-r, -2), (-2, -2), (-2, -r), (2, -r), (2, -2), (r, -2), (r, 2), (2, 2), (2, r), (-2, r), (-2, 2), (-r, 2)],
    )
    shape = shapes[style % len(shapes)]
    if shape is None:
        return Markup('<circle class="mark" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(x, y, r)
    return Markup('<polygon class="mark" points="{}"/>').format(
        " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in shape)
    )


def _legend(series: Sequence[Series]) -> Markup:
    from markupsafe import Markup

    items = Markup("").join(
        Markup(
            '<li><svg class="c{}" viewBox="0 0 48 14" aria-hidden="true"><line class="curve" x1="0" y1="7" x2="48" '
            'y2="7" stroke-dasharray="{}"/>'
            "{}</svg>{}</li>"
        ).format(s.style % COLOURS, DASHES[s.dash % len(DASHES)], _mark(s.style, 24, 7), s.name)
        for s in series
    )
    return Markup('<ul class="legend">{}</ul>').format(items)


def _table(title: str, series: Sequence[Series], x_label: str) -> Markup:
    """One line for each x, a column (two, where there are standard errors) for each curve."""
    from markupsafe import Markup

    columns: list[tuple[str, dict[float, float]]] = []
    for s in series:
        columns.append((s.name, dict(zip(s.x, s.y, strict=True))))
        if s.error is not None:
            columns.append((f"{s.name}: standard error", dict(zip(s.x, s.error, strict=True))))
    head = Markup("").join(
        Markup('<th scope="col">{}</th>').format(name) for name in [x_label, *(name for name, _ in columns)]
    )
    rows = Markup("").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            number(x), Markup("").join(Markup("<td>{}</td>").format(number(values.get(x))) for _, values in columns)
        )
        for x in sorted({x for s in series for x in s.x})
    )
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="Numbers: {}"><table '
        'class="numbers"><caption>{}</caption>'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(title, title, head, rows)
