"""What a reader is: it looks through files for clips, then reads them one by one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.readers.tree import Tree
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = [
    "Format",
    "Found",
    "OptionError",
    "Options",
    "Plan",
    "RawClip",
    "Skipped",
    "Unit",
    "check_options",
    "common_ids",
    "number_labels",
]


class OptionError(InputError):
    """An option that does not fit the source: not the files are at fault, but what was said about them."""


@dataclass(frozen=True)
class Skipped:
    """A file, or an entry of one, that did not become a clip, and why; `harmless` when nobody has to do anything."""

    file: str
    reason: str
    harmless: bool = False


@dataclass(frozen=True)
class RawClip:
    """One clip as it was read.

    Args:
        x: (3, T, V, M) float32, metres, T its own frames; absent persons are exactly zero.
        notes: what was dropped or mended, in words.
        fps: frames a second, where the file or its format says it.
    """

    x: NDArray[np.float32]
    notes: tuple[str, ...] = ()
    fps: float | None = None


@dataclass(frozen=True)
class Found:
    """A clip that a reader knows of and has not read yet. It is sent to other processes.

    Args:
        name: unique in the set.
        label: its class, a number from 0 or a word.
        place: where it lies, for the reader that found it.
        ids: whole numbers by name: subject, camera, setup, view, style.
        file: what to call it in a report, where its name does not tell which file it is.
    """

    name: str
    label: int | str
    place: tuple[Any, ...]
    ids: Mapping[str, int] = field(default_factory=dict)
    file: str = ""

    @property
    def called(self) -> str:
        """What to call it in a report."""
        return self.file or self.name


@dataclass(frozen=True)
class Plan:
    """Everything that is known of a source before its clips are read.

    Args:
        source: what it is, in a word or two, for reports.
        layout: the V joints.
        found: the clips, in the order they will have.
        read: one clip; a module-level function or a `partial` of one, since other processes call it. It raises
            InputError, whose text becomes the reason why the clip is skipped.
        persons: M.
        classes: names of all classes; where left out, words are sorted and numbers are called by themselves.
        protocols: (the clips that could be read) -> name -> (n,) bool, True is test.
        published: protocol -> (train, test) clips as published.
        skipped: what was seen to be no clip without reading it.
        notes: what a user should know.
    """

    source: str
    layout: Layout
    found: tuple[Found, ...]
    read: Callable[[Found], RawClip]
    persons: int = 1
    classes: tuple[str, ...] | None = None
    protocols: Callable[[Sequence[Found]], dict[str, NDArray[np.bool_]]] = lambda _: {}
    published: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unit:
    """A unit of length: metres in one of it, and its name in the plural."""

    metres: float
    name: str


@dataclass(frozen=True)
class Options:
    """What a user may have to say about files that do not say it themselves.

    Args:
        layout: the joints.
        pattern: a regular expression on the clip's name with groups "class" and, where there are any, "subject",
            "camera", "style".
        labels: a file of labels, where it does not lie beside the data.
        units: of the positions in files that do not say it; None: guessed, and the guess is said.
    """

    layout: Layout | None = None
    pattern: str | None = None
    labels: str | None = None
    units: Unit | None = None


@dataclass(frozen=True)
class Format:
    """A kind of files.

    Args:
        name: as given to `--format`.
        detects: looks at names (and, where they do not tell, at the first bytes) of files; must be quick.
        find: the plan. It raises InputError when there is no clip in it.
        known: what the files say themselves, so that an option on it would do nothing: field of `Options` -> where they
            say it, in a sentence.
    """

    name: str
    detects: Callable[[Tree], bool]
    find: Callable[[Tree, Options], Plan]
    known: Mapping[str, str] = field(default_factory=dict)


def check_options(options: Options, known: Mapping[str, str], source: str) -> None:
    """Refuse what would do nothing; nobody should believe that it did.

    Args:
        options: what the user gave.
        known: as in `Format`.
        source: what the files are, in a few words.

    Raises:
        OptionError: naming the option and where the files say it themselves.
    """
    for name, where in known.items():
        if getattr(options, name) is not None:
            raise OptionError(f"--{name} does nothing for {source}: {where}. Leave --{name} out.")


def number_labels(
    clips: Sequence[Found], known: Sequence[Found], classes: tuple[str, ...] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as numbers.

    Args:
        clips: whose labels are wanted.
        known: whose labels tell the classes where those are not given: words are sorted, numbers are called by
            themselves.
        classes: their names, or None.

    Returns:
        (labels from 0, names of the classes).
    """
    if classes is None and all(isinstance(clip.label, int) for clip in known):
        classes = tuple(map(str, range(max(int(clip.label) for clip in known) + 1)))
    elif classes is None:
        classes = tuple(sorted({str(clip.label) for clip in known}))
    index = {name: number for number, name in enumerate(classes)}
    y = [clip.label if isinstance(clip.label, int) else index[clip.label] for clip in clips]
    return np.array(y, dtype=np.int64), classes


def common_ids(clips: Sequence[Found]) -> dict[str, NDArray[np.int64]]:
    """The ids that every clip has, (n,) each."""
    keys = [key for key in clips[0].ids if all(key in clip.ids for clip in clips)]
    return {key: np.array([clip.ids[key] for clip in clips], dtype=np.int64) for key in keys}
