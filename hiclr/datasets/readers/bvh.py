"""Folders of BVH files: the class from the file's name, the joints from the first whole file.

A name `dataset-2_<class>_<style>_<n>` of the Bandai set is known; any other gives its class through a pattern of the
user's, or by the folder in which the file lies. How a file itself is read stands in `bvh_motion`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.positions import no_positions
from hiclr.datasets.readers.bvh_motion import Figure, Motion, read_motion
from hiclr.datasets.readers.names import IDS, clip_names, folder_classes, match_names, number_words, sort_words
from hiclr.datasets.readers.plan import Format, Found, Options, Plan, RawClip, Skipped, Unit
from hiclr.datasets.readers.tree import Tree
from hiclr.datasets.readers.units import scaled
from hiclr.errors import InputError
from hiclr.skeleton import Layout, find_pairs, match_layout

__all__ = ["FORMAT", "layout_of"]

_BANDAI = r"^dataset-2_(?P<class>[^_]+)_(?P<style>[^_]+)_\d+$"
_CLASSES = (
    "raise-up-both-hands", "raise-up-left-hand", "raise-up-right-hand", "run", "walk", "walk-turn-left",
    "walk-turn-right", "wave-both-hands", "wave-left-hand", "wave-right-hand",
)  # fmt: skip
_STYLES = ("active", "elderly", "exhausted", "feminine", "masculine", "normal", "youthful")
_TEST_STYLES = tuple(_STYLES.index(style) for style in ("elderly", "exhausted", "youthful"))
_HIGHEST_RATE = 1e5
_ARMS = (
    re.compile(r"up(per)?[_.]?arm|shldr", re.IGNORECASE),
    re.compile(r"(?<!fore)(?<!lower)(?<!lower[_.])arm", re.IGNORECASE),
    re.compile(r"shoulder", re.IGNORECASE),
)


@dataclass(frozen=True)
class _Named:
    """What the names of the files say."""

    found: list[Found]
    classes: tuple[str, ...] | None
    skipped: list[Skipped]
    notes: list[str]
    cross_style: bool = False


def _detects(tree: Tree) -> bool:
    return any(_is_bvh(name) for name in tree.names)


def _is_bvh(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() == ".bvh" and not path.name.startswith("._")  # what a Mac adds to a zip file


def _find(tree: Tree, options: Options) -> Plan:
    files = [name for name in tree.names if _is_bvh(name)]
    if not files:
        raise InputError(f"{tree.path.name} holds no file whose name ends in .bvh.")
    named = _named(files, options.pattern)
    if not named.found:
        raise InputError(f"{tree.path.name}: no name of a BVH file fits. {named.skipped[0].file}: "
                         f"{named.skipped[0].reason}.")  # fmt: skip
    ruling, motion = _first_whole(tree, [str(clip.place[0]) for clip in named.found], options.layout)
    figure = motion.figure
    layout = options.layout or layout_of(figure)
    unit = options.units or motion.unit
    bones = f"the bones from {figure.names[0]!r} to the farthest end add up to {motion.reach:.4g} in {ruling}"
    makes = f"which makes {motion.reach * unit.metres:.2f} m; metres come out"
    if options.units is None:
        said = f"the unit is not in the files: {unit.name} are assumed, since {bones}, {makes}; --units gives another"
    else:
        said = f"{unit.name} are in the files, as --units says: {bones}, {makes}"
    notes = [said, *named.notes]
    if figure.scene is not None:
        notes.append(f"{figure.scene!r} carries the scene and is left out: it is no joint of the body")
    others = [Skipped(name, "its name does not end in .bvh", harmless=True) for name in tree.names if not _is_bvh(name)]
    same = None if options.layout else ruling
    return Plan(
        "BVH",
        layout,
        tuple(named.found),
        partial(_read, tree=tree, layout=layout, ruling=same, given=options.units, first=(ruling, unit)),
        classes=named.classes,
        protocols=_cross_style if named.cross_style else _no_protocol,
        skipped=(*named.skipped, *others),
        notes=tuple(notes),
    )


def _named(files: Sequence[str], pattern: str | None) -> _Named:
    names = clip_names(files)
    groups = match_names(list(names.values()), _BANDAI if pattern is None else pattern)
    if pattern is None and not groups:
        labels, how = folder_classes(files)
        note = f"{how}; a pattern of the names with a group (?P<class>...) gives other classes"
        return _with_classes(files, names, labels, {}, [], [note])
    wanted = "dataset-2_<class>_<style>_<n>, as others here do" if pattern is None else f"the pattern {pattern}"
    reason = f"its name does not follow {wanted}"
    skipped = [Skipped(file, reason) for file in files if names[file] not in groups]
    kept = [file for file in files if names[file] in groups]
    labels = {file: groups[names[file]]["class"] for file in kept}
    ids, notes = _ids(kept, {file: groups[names[file]] for file in kept})
    named = _with_classes(kept, names, labels, ids, skipped, notes, bandai=pattern is None)
    if pattern is not None or not {groups[names[file]]["style"] for file in kept} <= set(_STYLES):
        return named
    tested = {clip.ids["style"] in _TEST_STYLES for clip in named.found}
    return replace(named, cross_style=tested == {True, False})


def _ids(files: Sequence[str], groups: dict[str, dict[str, str]]) -> tuple[dict[str, dict[str, int]], list[str]]:
    """(file -> numbers by name, which number stands for which word)."""
    ids: dict[str, dict[str, int]] = {file: {} for file in files}
    notes = []
    for key in IDS:
        words = {file: groups[file][key] for file in files if key in groups[file]}
        numbers = number_words(list(words.values()), _STYLES if key == "style" else ())
        for file, word in words.items():
            ids[file][key] = numbers[word]
        if any(word != str(number) for word, number in numbers.items() if not word.isdigit()):
            notes.append(f"{key}: " + ", ".join(f"{number} is {word!r}" for word, number in list(numbers.items())[:50]))
    return ids, notes


def _with_classes(
    files: Sequence[str],
    names: dict[str, str],
    labels: dict[str, str],
    ids: dict[str, dict[str, int]],
    skipped: list[Skipped],
    notes: list[str],
    bandai: bool = False,
) -> _Named:
    words = set(labels.values())
    classes = _CLASSES if bandai and words <= set(_CLASSES) else sort_words(words)
    place = {word: i for i, word in enumerate(classes)}
    found = [Found(names[file], place[labels[file]], (file,), ids.get(file, {})) for file in files]
    return _Named(found, classes, skipped, notes)


def _no_protocol(_: Sequence[Found]) -> dict[str, NDArray[np.bool_]]:
    return {}


def _cross_style(found: Sequence[Found]) -> dict[str, NDArray[np.bool_]]:
    """The styles that the Bandai set keeps for the test."""
    return {"cross-style": np.array([clip.ids["style"] in _TEST_STYLES for clip in found], dtype=bool)}


def _first_whole(tree: Tree, files: Sequence[str], layout: Layout | None) -> tuple[str, Motion]:
    """(the first file that can be read, what it holds)."""
    reasons = []
    for file in files:
        try:
            motion = read_motion(tree.read(file), tree.place(file))
            _selection(motion.figure, layout or layout_of(motion.figure), tree.place(file), None)
        except InputError as error:
            reasons.append(str(error))
        else:
            return file, motion
    raise InputError(f"No BVH file of {tree.path.name} can be read. {' '.join(reasons[:10])}")


def _read(
    found: Found, *, tree: Tree, layout: Layout, ruling: str | None, given: Unit | None, first: tuple[str, Unit]
) -> RawClip:
    """One clip in metres.

    Args:
        found: the clip.
        tree: where it lies.
        layout: the joints.
        ruling: the file whose joints all others must have; None where the user gave the joints.
        given: the unit that the user said; None: each file's own is guessed.
        first: (the first whole file, its unit).
    """
    file = str(found.place[0])
    motion = read_motion(tree.read(file), tree.place(file))
    chosen = _selection(motion.figure, layout, tree.place(file), ruling)
    unit = given or motion.unit
    x = scaled(motion.positions[:, chosen], unit.metres)
    far = no_positions(x)
    if far is not None:
        frame, joint = (int(i) for i in np.argwhere(far)[0][:2])
        way = np.abs(x[frame, joint]).max()
        raise InputError(
            f"{tree.place(file)}: frame {frame}, joint {layout.joints[joint]!r} lies {way:.3g} m away, which is no "
            "position. Export it again."
        )
    notes = motion.notes
    if unit != first[1]:
        notes = (*notes, f"its bones suggest {unit.name}, those of {first[0]} {first[1].name}")
    return RawClip(np.ascontiguousarray(x.transpose(2, 0, 1)[..., None]), notes, _rate(motion.frame_time))


def _rate(frame_time: float | None) -> float | None:
    """Frames a second to two digits, as they are meant (0.0333333 is 30); None where no recording can have so many."""
    if frame_time is None or not 1 / _HIGHEST_RATE <= frame_time <= _HIGHEST_RATE:
        return None
    return round(1 / frame_time, 2) or None


def _selection(figure: Figure, layout: Layout, file: str, ruling: str | None) -> list[int]:
    """Which of the body's joints the layout's are.

    Raises:
        InputError: they are not there, or not the same as in the ruling file.
    """
    if ruling is not None:
        parents = tuple(v if parent == -1 else parent for v, parent in enumerate(figure.parents))
        if (figure.names, parents) != (layout.joints, layout.parents):
            raise InputError(
                f"{file} {_difference(figure, layout)} {ruling}, which rules here. Prepare it in a folder of its own."
            )
    place = {name: i for i, name in enumerate(figure.names)}
    lost = [joint for joint in layout.joints if joint not in place]
    if lost:
        raise InputError(
            f"{file} has no joint {lost[0]!r}, which layout {layout.name!r} wants; it has: {', '.join(place)[:300]}."
        )
    return [place[joint] for joint in layout.joints]


def _difference(figure: Figure, layout: Layout) -> str:
    if len(figure.names) != layout.num_joints:
        return f"has {len(figure.names)} joints, not the {layout.num_joints} of"
    v = next((v for v, name in enumerate(figure.names) if name != layout.joints[v]), None)
    if v is None:
        return "hangs its joints together otherwise than"
    return f"has {figure.names[v][:60]!r} as joint {v}, not {layout.joints[v]!r} as"


def layout_of(figure: Figure) -> Layout:
    """The body's joints as a layout: a known one, or a new one.

    Left and right are told by the names. The shoulders are the first pair whose names say upper arm, arm or shoulder;
    the centre is the joint where their two branches meet. Without them the centre is the root.

    Raises:
        InputError: the names or parents make no layout.
    """
    known = match_layout(figure.names, figure.parents) if _distinct(find_pairs(figure.names)) else None
    if known is not None and not known.name.startswith("custom-"):
        return known
    pairs = _disjoint(find_pairs(figure.names))
    parents = tuple(v if parent == -1 else parent for v, parent in enumerate(figure.parents))
    shoulders = next((pair for arm in _ARMS for pair in pairs if arm.search(figure.names[pair[0]])), None)
    centre = 0 if shoulders is None else _meeting(parents, *shoulders)
    return Layout(f"bvh{len(parents)}", figure.names, parents, pairs, centre, shoulders)


def _distinct(pairs: Sequence[tuple[int, int]]) -> bool:
    return len(set(chain(*pairs))) == 2 * len(pairs)


def _disjoint(pairs: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Pairs without those that share a joint with an earlier one."""
    kept: list[tuple[int, int]] = []
    for pair in pairs:
        if _distinct([*kept, pair]):
            kept.append(pair)
    return tuple(kept)


def _meeting(parents: Sequence[int], one: int, other: int) -> int:
    """The nearest joint above both."""
    above = {one}
    while parents[one] != one:
        one = parents[one]
        above.add(one)
    while other not in above:
        other = parents[other]
    return other


FORMAT = Format(
    "bvh",
    _detects,
    _find,
    {"labels": "the name of each file says its class, or the folder it lies in; --pattern tells how to read the name"},
)
