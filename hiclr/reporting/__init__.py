"""What runs came to, for people who have no Python at hand: one page, or tables for a paper."""

from hiclr.reporting.page import page
from hiclr.reporting.paper import latex, markdown
from hiclr.reporting.results import Evaluated, load_evaluated
from hiclr.reporting.tables import (
    confused_table,
    expected_table,
    figures_table,
    floors_table,
    subjects_table,
    tables,
)

__all__ = ["Evaluated", "confused_table", "expected_table", "figures_table", "floors_table", "latex", "load_evaluated",
           "markdown", "page", "subjects_table", "tables"]  # fmt: skip
