"""Datasets: files become a `SkeletonSet`, prepared once, the same for every method."""

import warnings
from pathlib import Path

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.containers import is_folder
from hiclr.datasets.conversion import convert, read_raw, report_text
from hiclr.datasets.doctor import diagnose, diagnosis_text
from hiclr.datasets.files import Opened, open_folder, open_npz
from hiclr.datasets.preprocessing import RELEASED, RELEASED_CODE, Preprocess, centre, presence, resample, turn
from hiclr.datasets.readers import FORMATS
from hiclr.datasets.readers.tree import open_tree
from hiclr.datasets.reading import FROM_ONE, check_no_set_inside
from hiclr.datasets.sampling import stratified_sample
from hiclr.datasets.saving import clear_leftovers, save_set
from hiclr.datasets.scratch import half_made
from hiclr.datasets.skipped import shortened
from hiclr.datasets.streams import STREAMS, Stream, bones, motion, to_stream
from hiclr.datasets.synthetic import synthetic
from hiclr.errors import InputError

__all__ = [
    "RELEASED",
    "RELEASED_CODE",
    "STREAMS",
    "Preprocess",
    "SkeletonSet",
    "Stream",
    "bones",
    "centre",
    "convert",
    "diagnose",
    "diagnosis_text",
    "motion",
    "open_set",
    "presence",
    "report_text",
    "resample",
    "save_set",
    "stratified_sample",
    "synthetic",
    "to_stream",
    "turn",
]


def open_set(path: Path | str) -> SkeletonSet:
    """A set by its path: an npz, a folder of `.npy`, the word "synthetic", or raw files of up to 1 GB of positions.

    What had to be read in a way of its own, and raw files that were left out, are said as a warning.

    Raises:
        InputError: nothing there, nothing that is known, or too much of it; what is wrong and what to do.
    """
    if str(path) == "synthetic":
        return synthetic()
    place = Path(path)
    clear_leftovers(place)
    if not place.exists():
        half = half_made(place)
        unfinished = f" {half} is a half of it: the `hiclr prepare` that made it goes on." if half.is_dir() else ""
        raise InputError(
            f"There is no {place}. Give an npz, a folder made by `hiclr prepare`, or the word synthetic.{unfinished}"
        )
    if is_folder(place):
        return _said(open_folder(place))
    if place.suffix == ".npz":
        return _said(open_npz(place))
    tree = open_tree(place)
    if any(kind.detects(tree) for kind in FORMATS):
        made = read_raw(place)
        left = shortened(made.skipped, " is left out: ")[0]
        return _said(Opened(made.clips, (*(note for note in made.notes if FROM_ONE in note), *left)))
    check_no_set_inside(tree)
    raise InputError(f"{place} is no prepared set (an npz, or a folder with x.npy). `hiclr prepare` makes one.")


def _said(opened: Opened) -> SkeletonSet:
    for line in (*opened.notes, *opened.faults):
        warnings.warn(line, stacklevel=3)
    return opened.clips
