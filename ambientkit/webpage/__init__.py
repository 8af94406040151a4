"""Pages of HTML that need nothing else: pictures and charts inside, light and dark, no script, no network."""

from ambientkit.webpage.charts import Series, bars, colour_bar, curves, histogram
from ambientkit.webpage.page import figures_page, picture_uri, render

__all__ = ["Series", "bars", "colour_bar", "curves", "figures_page", "histogram", "picture_uri", "render"]
