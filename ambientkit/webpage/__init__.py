"""Pages of HTML that need nothing else: pictures and charts inside, light and dark, no script, no network."""

from ambientkit.webpage.charts import Series, curves, histogram
from ambientkit.webpage.page import picture_uri, render

__all__ = ["Series", "curves", "histogram", "picture_uri", "render"]
