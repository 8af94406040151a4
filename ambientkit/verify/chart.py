"""A small chart, drawn without a plotting library: curves with error bars over a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from ambientkit.verify.trained import Curve
from ambientkit.webpage.axis import Axis

PAPER, INK, FAINT = (255, 255, 255), (40, 40, 40), (215, 215, 215)
COLOURS = ((31, 98, 168), (200, 80, 30), (60, 140, 60))
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 16, 46


def chart(curves: Sequence[tuple[str, Curve]], x_label: str, *, log_y: bool = False, size: tuple[int, int] = (460, 320)) -> Image.Image:
    """Each curve as points joined by a line, with bars of two standard errors to each side; sigma on a logarithmic axis.

    log_y: a logarithmic vertical axis too, for values that are positive. The name of each curve stands in its colour at the top.
    """
    width, height = size
    page = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=13)
    lows = [m - 2 * e for _, c in curves for m, e in zip(c.mean, c.error, strict=True)]
    highs = [m + 2 * e for _, c in curves for m, e in zip(c.mean, c.error, strict=True)]
    if log_y:
        smallest = min(m for _, c in curves for m in c.mean) / 2
        lows = [max(low, smallest) for low in lows]
    else:
        lows, highs = [*lows, 0.0], [*highs, 0.0]
    sigmas = [sigma for _, c in curves for sigma in c.sigma]
    x_axis = Axis(min(sigmas), max(sigmas), LEFT, width - RIGHT, log=True)
    y_axis = Axis(min(lows), max(highs), height - BOTTOM, TOP + 18 * len(curves), log=log_y)

    for value in y_axis.ticks():
        y = y_axis.at(value)
        pen.line([(LEFT, y), (width - RIGHT, y)], fill=FAINT)
        pen.text((LEFT - 6, y), f"{value:.3g}", fill=INK, font=font, anchor="rm")
    for value in x_axis.ticks():
        x = x_axis.at(value)
        pen.line([(x, height - BOTTOM), (x, height - BOTTOM + 5)], fill=INK)
        pen.text((x, height - BOTTOM + 8), f"{value:g}", fill=INK, font=font, anchor="ma")
    pen.line([(LEFT, height - BOTTOM), (width - RIGHT, height - BOTTOM)], fill=INK)
    pen.text(((LEFT + width - RIGHT) / 2, height - 6), x_label, fill=INK, font=font, anchor="ms")

    for number, (name, curve) in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        pen.text((LEFT + 6, 6 + 18 * number), name, fill=colour, font=font)
        places = [(x_axis.at(s), y_axis.at(m)) for s, m in zip(curve.sigma, curve.mean, strict=True)]
        pen.line(places, fill=colour, width=2)
        for (x, y), mean, error in zip(places, curve.mean, curve.error, strict=True):
            pen.line([(x, y_axis.at(mean - 2 * error)), (x, y_axis.at(mean + 2 * error))], fill=colour)
            pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
    return page


def bars(values: Sequence[tuple[str, float]], size: tuple[int, int] = (460, 320)) -> Image.Image:
    """Named values >= 0 as horizontal bars, each with its number."""
    width, height = size
    page = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=13)
    top, step = max((value for _, value in values), default=0.0) or 1.0, (height - TOP) // max(len(values), 1)
    for number, (name, value) in enumerate(values):
        y = TOP + number * step
        pen.text((16, y), f"{name}: {value:.3g}", fill=INK, font=font)
        pen.rectangle([16, y + 20, 16 + (width - 32) * value / top, y + 20 + step // 3], fill=COLOURS[0])
    return page
