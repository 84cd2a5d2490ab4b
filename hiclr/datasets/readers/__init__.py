"""Readers of raw files. A new format is one module here and one line in `FORMATS`."""

from hiclr.datasets.readers import arrays, bvh, kinect, ntu, pku, pyskl
from hiclr.datasets.readers.plan import Format

__all__ = ["FORMATS", "Format"]

# asked in this order: those that look at names before those that look into files
FORMATS: tuple[Format, ...] = (ntu.FORMAT, bvh.FORMAT, arrays.FORMAT, pyskl.FORMAT, pku.FORMAT, kinect.FORMAT)
