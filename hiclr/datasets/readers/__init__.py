"""Readers of raw files. A new format is one module here and one line in `FORMATS`."""

from hiclr.datasets.readers import ntu
from hiclr.datasets.readers.plan import Format

__all__ = ["FORMATS", "Format"]

FORMATS: tuple[Format, ...] = (
    ntu.FORMAT,
)  # asked in this order: those that look at names before those that look into files
