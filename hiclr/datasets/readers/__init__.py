"""Readers of raw files. A new format is one module here and one line in `FORMATS`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hiclr.datasets.preprocessing import Preprocess
from hiclr.datasets.readers.folder import Conversion, read_ntu
from hiclr.datasets.readers.ntu import has_skeletons

__all__ = ["FORMATS", "Conversion", "Format"]


@dataclass(frozen=True)
class Format:
    """A kind of raw files.

    Args:
        name: as given to `--format`.
        detects: looks at a file or folder.
        read: (path, preprocessing or None, progress wanted) -> set and report.
    """

    name: str
    detects: Callable[[Path], bool]
    read: Callable[[Path, Preprocess | None, bool], Conversion]


FORMATS: tuple[Format, ...] = (Format("ntu", has_skeletons, read_ntu),)
