"""`prepare` and `doctor`: from files to a set, and what is wrong with files."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from hiclr.commands.answer import Answer
from hiclr.datasets import Preprocess, convert, diagnose, diagnosis_text, report_text
from hiclr.errors import InputError

__all__ = ["Doctor", "Prepare"]


@dataclass(frozen=True)
class Reading:
    """What the files do not say themselves; an option on what they say is refused."""

    format: str | None = None
    """The format of raw files, where looking does not tell it."""
    layout: str | None = None
    """The name of the joints' layout, or a layout file (TOML or JSON: names, parents, pairs, centre)."""
    pattern: str | None = None
    """A regular expression on a clip's name with groups, (?P<class>...) and, where there are any, subject, camera,
    style: for BVH files, which do not say their class."""
    labels: str | None = None
    """The labels of arrays (.npy), or of UTKinect, where they do not lie beside the data: a file, or a folder of them.
    An option on what the files say themselves is refused."""
    units: str = "auto"
    """Of the positions in files that do not say it: m, cm, mm, in, or the metres in one unit of the files (0.0254).
    auto: guessed from the bones of BVH files, metres elsewhere; the report says it. Metres come out."""


@dataclass(frozen=True)
class Prepare:
    """Convert any known format to a set: positions, labels, names, protocols.

    Interrupted or killed and given again, the same command goes on where it stopped with raw files, and begins anew
    with a source that is a set already; nothing half made ever has the name of OUT.
    """

    source: Positional[Path]
    """A file or a folder; its format is found by looking."""
    out: Path
    """PATH.npz, or a folder of .npy files that is read from the disk as needed."""
    frames: int | None = None
    """Resample the valid frames of each clip to this many."""
    preprocess: Literal["released", "released-code", "none"] = "none"
    """released: centred, turned and brought to 50 frames (or --frames) as published, the shoulders along x in every
    frame; released-code: with the published code's own arithmetic, which turns some frames the wrong way, for weights
    trained on its data; none: positions as in the file."""
    json: bool = False
    """Print one JSON object on stdout and nothing else there."""
    reading: Annotated[Reading, tyro.conf.arg(name="")] = field(default_factory=Reading)

    def __post_init__(self) -> None:
        Preprocess(self.frames)  # wrong usage, whatever the source is

    def run(self) -> Answer:
        """Convert; what was skipped is named with its reason, of many some of each kind and the file that lists all."""
        report = convert(
            self.source,
            self.out,
            frames=self.frames,
            preprocess=self.preprocess,
            progress=sys.stderr.isatty(),
            **vars(self.reading),
        )
        return Answer(report, report_text(report))


@dataclass(frozen=True)
class Doctor:
    """Say what is in a file or a folder, and every fault in it with what to do."""

    path: Positional[Path]
    """What to look at: a set, raw files, a folder or a zip of them, a file of labels (.npy or a pickle)."""
    json: bool = False
    """Print one JSON object on stdout and nothing else there."""
    reading: Annotated[Reading, tyro.conf.arg(name="")] = field(default_factory=Reading)

    def run(self) -> Answer:
        """Look; exit code 1 where something must be fixed."""
        if not self.path.exists() and str(self.path) != "synthetic":
            raise InputError(f"There is no {self.path}.")
        report = diagnose(self.path, progress=sys.stderr.isatty(), **vars(self.reading))
        return Answer(report, diagnosis_text(report), 0 if report["ok"] else 1)
