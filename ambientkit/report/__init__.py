"""The report on training runs: the content for each run, and the page."""

from ambientkit.report.content import Picture, Residual, RunReport, Table
from ambientkit.report.history import History, read_history
from ambientkit.report.nearest import Nearest, nearest_rows
from ambientkit.report.page import page
from ambientkit.report.write import WrittenReport, write_report

__all__ = [
    "History",
    "Nearest",
    "Picture",
    "Residual",
    "RunReport",
    "Table",
    "WrittenReport",
    "nearest_rows",
    "page",
    "read_history",
    "write_report",
]
