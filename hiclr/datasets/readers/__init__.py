"""Readers of raw files. A new format is one module here and one line in `FORMATS`."""

from hiclr.datasets.readers import arrays, bvh, kinect, ntu, pku, pyskl
from hiclr.datasets.readers.plan import Format
from hiclr.datasets.readers.tree import Tree

__all__ = ["FORMATS", "Format", "find_format"]

# asked in this order: those that look at names before those that look into files
FORMATS: tuple[Format, ...] = (ntu.FORMAT, bvh.FORMAT, arrays.FORMAT, pyskl.FORMAT, pku.FORMAT, kinect.FORMAT)


def find_format(tree: Tree, name: str | None = None) -> Format | None:
    """The format of this name; without one, the first that knows the files by looking. None: there is none."""
    return next((kind for kind in FORMATS if kind.name == name or (name is None and kind.detects(tree))), None)
