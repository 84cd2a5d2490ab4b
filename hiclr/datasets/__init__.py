"""Datasets: files become a `SkeletonSet`, prepared once, the same for every method."""

from pathlib import Path

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.conversion import convert, report_text
from hiclr.datasets.doctor import diagnose, diagnosis_text
from hiclr.datasets.files import is_folder, open_folder, open_npz, save_set
from hiclr.datasets.preprocessing import RELEASED, Preprocess, centre, presence, resample, turn
from hiclr.datasets.readers import FORMATS
from hiclr.datasets.streams import Stream, bones, motion, to_stream
from hiclr.datasets.synthetic import synthetic
from hiclr.errors import InputError

__all__ = [
    "RELEASED",
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
    "synthetic",
    "to_stream",
    "turn",
]


def open_set(path: Path | str) -> SkeletonSet:
    """A set by its path: an npz, a folder of `.npy`, or the word "synthetic".

    Raises:
        InputError: nothing there, or nothing that is known; what is wrong and what to do.
    """
    if str(path) == "synthetic":
        return synthetic()
    place = Path(path)
    if not place.exists():
        raise InputError(f"There is no {place}. Give an npz, a folder made by `hiclr prepare`, or the word synthetic.")
    if is_folder(place):
        return open_folder(place)
    if place.suffix == ".npz":
        return open_npz(place)
    for kind in FORMATS:
        if kind.detects(place):
            return kind.read(place, None, False).clips
    raise InputError(f"{place} is no prepared set (an npz, or a folder with x.npy). `hiclr prepare` makes one.")
