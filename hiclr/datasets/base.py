"""`SkeletonSet`: a dataset is arrays, a layout and named splits."""

import hashlib
import html
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from hiclr.datasets.keys import whole_numbers, yes_or_no
from hiclr.datasets.rows import Ids, MappedRows, Positions, StoredRows, blocks, read_rows
from hiclr.datasets.shapes import joints_wanted, reshaped, wrong_joints
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.skeleton import LAYOUTS, NTU_25, Layout

__all__ = ["Ids", "MappedRows", "Positions", "SkeletonSet"]

_SHAPE = "(N, 3, T, V, M): clips, coordinates, frames, joints, persons"
_ONE_ARRAY = (
    "Wanted is one array of numbers (N, 3, T, V, M): shorter clips end in zeros, and `length` says how long each is."
)


def take_rows(x: Positions, rows: Ids) -> Positions:
    """Rows of positions: copied when they are in memory, left on disk when they are mapped."""
    if isinstance(x, MappedRows):
        return MappedRows(x.base, x.rows[rows])
    if isinstance(x, StoredRows):
        return x[rows]
    return MappedRows(x, rows) if isinstance(x, np.memmap) else x[rows]


def _text(value: Any) -> str:
    """A name as text; what Python makes of a file's name where the system's encoding lacks its letters, undone."""
    try:
        return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:  # half a character of UTF-16
        return str(value).encode("utf-8", "replace").decode("utf-8")


def _places(words: list[str], classes: list[str]) -> Ids:
    """The number of each word among the classes."""
    unknown = [word for word in words if word not in classes]
    if unknown:
        raise InputError(f"y holds {unknown[0]!r}, which is not among the classes: {', '.join(classes[:10])}.")
    return np.array([classes.index(word) for word in words], dtype=np.int64)


def _float32(x: Any) -> Positions:
    """Positions as float32; what is not in memory stays where it is, and a memory map of float32 one."""
    if isinstance(x, MappedRows | StoredRows):
        return x
    try:
        array = np.asanyarray(x)
    except (ValueError, TypeError) as error:  # lists of unequal lengths, a tensor of another device
        raise InputError(f"x is no array ({error}). {_ONE_ARRAY}") from error
    if array.dtype.kind not in "fiu":
        raise InputError(f"x must hold numbers, its type is {array.dtype}. {_ONE_ARRAY}")
    with np.errstate(over="ignore"):  # infinite then, and named where positions are checked
        made: Positions = array.astype(np.float32, copy=False)
    return made


def _layout(given: Layout | str | None, shape: tuple[int, ...]) -> Layout:
    if isinstance(given, str):
        if given not in LAYOUTS:
            raise InputError(
                f"layout {given!r} is not known (known: {', '.join(LAYOUTS)}). Give one of them, or a Layout."
            )
        return LAYOUTS[given]
    if given is None and len(shape) == 5 and shape[1] == 3 and shape[3] != NTU_25.num_joints:
        raise InputError(joints_wanted(shape))
    return NTU_25 if given is None else given


@dataclass(frozen=True, eq=False)
class SkeletonSet(Dataset[tuple[Tensor, int]]):
    """N clips of skeletons with their labels and splits.

    Make one with `SkeletonSet.from_arrays(x, y, layout=...)` or `hiclr.datasets.open_set(path)`.

    Args:
        x: (N, 3, T, V, M) float32 in metres, y up; a read-only memory map is welcome. An absent person, and the
            frames after a clip's end, are exactly zero.
        y: (N,) int64, indices into `classes`.
        layout: the V joints.
        classes: the name of each class; also the classes that no clip has.
        names: N unique names; results of several streams or runs are joined by them.
        ids: optional (N,) whole numbers by name: "subject", "camera", "setup", "view", "style", "replication", or a
            name of your own.
        length: (N,) int64, frames of each clip in its source file; may exceed T when `x` was resampled.
        protocols: name -> (N,) bool, True for the test part. Order matters: the first is the default.
        source: where the set came from, for titles (a file name, not a path).
        synthetic: True for generated clips: said wherever the set is shown.
        preprocessing: the steps that were applied to `x`, in order.
        fps: frames a second of `x`; None where it is not known, or where clips were resampled to one length.
        styles: the names of the styles that ids count, where there are such names.

    Raises:
        InputError: naming the argument, the shape wanted and the shape that came.
    """

    x: Positions
    y: Ids
    layout: Layout
    classes: tuple[str, ...]
    names: tuple[str, ...]
    ids: Mapping[str, Ids] = field(default_factory=dict)
    length: Ids | None = None
    protocols: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    source: str = "arrays"
    synthetic: bool = False
    preprocessing: tuple[str, ...] = ()
    fps: float | None = None
    styles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_positions()
        if len(self.names) != len(self.x):
            raise InputError(f"names must hold one for each of the {len(self.x)} clips of x; it has {len(self.names)}.")
        self._check_labels()
        per_clip: dict[str, NDArray[Any]] = {}
        for field_name, typed in (("ids", whole_numbers), ("protocols", yes_or_no)):
            given = getattr(self, field_name)
            kept = {str(key): typed(value, f"{field_name}[{key!r}]") for key, value in given.items()}
            object.__setattr__(self, field_name, kept)
            per_clip |= {f"{field_name}[{key!r}]": value for key, value in kept.items()}
        if self.length is not None:
            per_clip["length"] = whole_numbers(self.length, "length")
            object.__setattr__(self, "length", per_clip["length"])
        for key, value in per_clip.items():
            if value.shape != (len(self.x),):
                raise InputError(
                    f"{key} must have shape ({len(self.x)},), one for each clip of x; it has {value.shape}."
                )
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise InputError(f"fps must be a number of frames a second above 0, or None; it is {self.fps}.")
        if len(set(self.names)) != len(self.names):
            twice = Counter(self.names).most_common(1)[0][0]
            raise InputError(f"names must be unique, {twice!r} occurs more than once. Rename or drop one of the clips.")

    def _check_positions(self) -> None:
        shape = self.x.shape
        if len(shape) != 5 or shape[1] != 3:
            raise InputError(f"x must have shape {_SHAPE}; it has shape {shape}.{reshaped(shape)}")
        if 0 in shape:
            raise InputError(f"x must have shape {_SHAPE} with at least one of each; it has shape {shape}.")
        if shape[3] != self.layout.num_joints:
            raise InputError(wrong_joints(shape, self.layout))
        if self.x.dtype != np.float32:
            raise InputError(f"x must be float32, it is {self.x.dtype}. Convert it with x.astype(np.float32).")

    def _check_labels(self) -> None:
        if self.y.shape != (len(self.x),):
            flat = ""
            if self.y.ndim == 2:
                flat = " One column for each class? y.argmax(axis=1)." if self.y.shape[1] > 1 else " Give y[:, 0]."
            raise InputError(
                f"y must have shape ({len(self.x)},), one label for each clip of x; it has {self.y.shape}.{flat}"
            )
        outside = np.flatnonzero((self.y < 0) | (self.y >= len(self.classes)))
        if len(outside):
            first, classes = int(outside[0]), counted(len(self.classes), "class", "classes")
            if self.y[first] < 0:
                raise InputError(
                    f"y must hold labels that start at 0; clip {first} ({self.names[first]}) has {int(self.y[first])}. "
                    "Leave such clips out, or count the classes anew: np.unique(y, return_inverse=True)[1]."
                )
            raise InputError(
                f"y must hold indices 0..{len(self.classes) - 1} into the {classes}; "
                f"clip {first} ({self.names[first]}) has {int(self.y[first])}."
            )

    @classmethod
    def from_arrays(
        cls,
        x: Positions | NDArray[Any],
        y: Sequence[Any] | NDArray[Any],
        *,
        layout: Layout | str | None = None,
        classes: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        test: NDArray[np.bool_] | Sequence[bool] | None = None,
        **more: Any,
    ) -> "SkeletonSet":
        """A set from plain arrays.

            clips = SkeletonSet.from_arrays(x, ["wave", "sit", ...], layout="kinect20-sdk", test=subjects > 30)

        Args:
            x: (N, 3, T, V, M), any type of numbers; metres, y up, absent persons zero.
            y: (N,) integers 0..C-1, or words (then classes are the words in sorted order).
            layout: the V joints, or the name of a known layout; NTU's 25 when left out.
            classes: C names; "0".."C-1" when left out.
            names: N unique clip names; numbered when left out.
            test: (N,) bool, the test part, stored as protocol "test".
            more: any other argument of `SkeletonSet`.

        Raises:
            InputError: as `SkeletonSet`, or labels that are no integers or words.
        """
        x = _float32(x)
        labels = np.asarray(y)
        if labels.dtype == object:  # a column of a table
            labels = np.asarray(labels.tolist())
        if labels.dtype.kind in "US":
            texts = np.char.decode(labels, "utf-8", "replace") if labels.dtype.kind == "S" else labels
            words, labels = np.unique(texts, return_inverse=True)
            if classes is None:
                classes = tuple(str(word) for word in words)
            else:  # the given order counts, not the alphabet's
                labels = _places(words.tolist(), list(map(str, classes)))[labels]
        elif labels.dtype.kind not in "iu":
            raise InputError(f"y must hold integers or words, its type is {labels.dtype}.")
        highest = int(labels.max(initial=0))
        if classes is None and highest > 10 * len(labels) + 1000:
            raise InputError(f"y must hold indices 0..C-1 of the classes; the largest label is {highest}.")
        if test is not None:
            more["protocols"] = {"test": test, **more.get("protocols", {})}
        if "source" in more:
            more["source"] = _text(more["source"])
        return cls(
            x=x,
            y=labels.astype(np.int64),
            layout=_layout(layout, x.shape),
            classes=tuple(str(i) for i in range(highest + 1)) if classes is None else tuple(map(_text, classes)),
            names=tuple(f"clip{i:06d}" for i in range(len(x))) if names is None else tuple(map(_text, names)),
            **more,
        )

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Clip (3, T, V, M) and its label."""
        return torch.from_numpy(read_rows(self.x, index)), int(self.y[index])

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Many clips in one read; used by `torch.utils.data.DataLoader`."""
        return list(zip(self.clips(np.asarray(indices)), self.y[indices].tolist(), strict=True))

    def clips(self, indices: NDArray[Any] | Sequence[int] | slice) -> Tensor:
        """(len(indices), 3, T, V, M) float32, a copy: a mapped file is never written."""
        return torch.from_numpy(np.ascontiguousarray(read_rows(self.x, indices)))

    @property
    def num_classes(self) -> int:
        """C, classes without clips included."""
        return len(self.classes)

    @property
    def protocol(self) -> str | None:
        """The default protocol: the first, or None."""
        return next(iter(self.protocols), None)

    def subset(self, indices: NDArray[Any] | Sequence[int]) -> "SkeletonSet":
        """The clips at these indices, or where this mask is True, in this order; classes stay as they are."""
        at = self._at(np.asarray(indices))
        return replace(
            self,
            x=take_rows(self.x, at),
            y=self.y[at],
            names=tuple(self.names[i] for i in at),
            ids={key: value[at] for key, value in self.ids.items()},
            length=None if self.length is None else self.length[at],
            protocols={key: value[at] for key, value in self.protocols.items()},
        )

    def _at(self, indices: NDArray[Any]) -> Ids:
        if indices.dtype == bool:
            if indices.shape != (len(self),):
                raise InputError(f"a mask of clips must have shape ({len(self)},), it has {indices.shape}.")
            return np.flatnonzero(indices)
        at = whole_numbers(indices, "indices of clips")
        if at.size and not -len(self) <= at.min() <= at.max() < len(self):
            wrong = at.max() if at.max() >= len(self) else at.min()
            raise InputError(f"there is no clip {wrong}: the set has {counted(len(self), 'clip')}.")
        return at

    def split_indices(self, protocol: str | None = None) -> tuple[Ids, Ids]:
        """(train, test) indices of a protocol; the first protocol when none is named.

        Raises:
            InputError: no such protocol, or one of its parts is empty.
        """
        name = self.protocol if protocol is None else protocol
        if name is None or not self.protocols:
            raise InputError(
                f"{self.source} has no train and test part. Give the test part as `test` (N,) bool, or as "
                "`test_subjects`, `test_cameras`, `test_setups` or `test_styles`."
            )
        if name not in self.protocols:
            raise InputError(
                f"{self.source} has no protocol {name!r}; it has: {', '.join(self.protocols)}. Take one of these."
            )
        test = np.asarray(self.protocols[name], dtype=bool)
        if test.all() or not test.any():
            part = "train" if test.all() else "test"
            raise InputError(f"protocol {name!r} of {self.source} leaves no clip in its {part} part.")
        return np.flatnonzero(~test), np.flatnonzero(test)

    def split(self, protocol: str | None = None) -> tuple["SkeletonSet", "SkeletonSet"]:
        """(train, test) sets of a protocol; see `split_indices`."""
        train, test = self.split_indices(protocol)
        return self.subset(train), self.subset(test)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of positions, labels, subjects, names and layout, in hex: equal wherever the same content lies."""
        digest = self.begin_fingerprint()
        for _, block in blocks(self.x):
            digest.update(np.ascontiguousarray(block).tobytes())
        return digest.hexdigest()

    def begin_fingerprint(self) -> "hashlib._Hash":
        """The fingerprint before the positions, for who reads those anyway: update it with their bytes in order."""
        digest = hashlib.sha256()
        joints = self.layout
        layout = [joints.joints, joints.parents, joints.pairs, joints.centre, joints.shoulders]
        digest.update(json.dumps([list(self.x.shape), self.names, self.classes, layout]).encode())
        digest.update(np.ascontiguousarray(self.y).tobytes())
        if "subject" in self.ids:  # whole subjects are held out of training
            digest.update(np.ascontiguousarray(self.ids["subject"]).tobytes())
        return digest

    def summary(self) -> dict[str, str]:
        """What the set holds, as label -> text; the one source of `repr` and of the notebook view."""
        count, _, frames, joints, persons = self.x.shape
        rows = {
            "clips": f"{count:,}" + (" (synthetic)" if self.synthetic else ""),
            "clip": f"{counted(frames, 'frame')}, {counted(joints, 'joint')} ({self.layout.name}), "
            f"{counted(persons, 'person')}",
            "classes": f"{self.num_classes}",
        }
        rows |= {f"{key}s": f"{len(np.unique(value))}" for key, value in self.ids.items()}
        for name, test in self.protocols.items():
            rows[f"protocol {name}"] = f"{int((~test).sum()):,} train / {int(test.sum()):,} test"
        rows["preprocessing"] = ", ".join(self.preprocessing) or "none recorded"
        return rows

    def __repr__(self) -> str:
        return f"SkeletonSet {self.source!r}: " + "; ".join(f"{k} {v}" for k, v in self.summary().items())

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(key)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for key, value in self.summary().items()
        )
        # a viewer would set what stands between two $ as a formula
        return (
            f"<div class='tex2jax_ignore mathjax_ignore'><b>SkeletonSet</b> {html.escape(self.source)}"
            f"<table>{cells}</table></div>"
        )
