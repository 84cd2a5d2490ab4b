"""What a user may have to say about a source, and what is refused of it: the same for `prepare` and `doctor`."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from hiclr.datasets.files import Opened, stream_set
from hiclr.datasets.layout_files import read_layout
from hiclr.datasets.readers import FORMATS, Format, find_format
from hiclr.datasets.readers.ntu import NAME, NtuName
from hiclr.datasets.readers.plan import OptionError, Options, Plan, check_options
from hiclr.datasets.readers.tree import Tree
from hiclr.datasets.readers.units import read_unit, said_unit, scaled
from hiclr.datasets.rows import ChangedRows
from hiclr.errors import InputError
from hiclr.skeleton import LAYOUTS, Layout

__all__ = [
    "FROM_ONE",
    "check_given",
    "check_layout",
    "check_no_set_inside",
    "check_set_options",
    "check_synthetic_options",
    "choose_format",
    "find_clips",
    "open_source_set",
    "read_options",
]

FROM_ONE = "labels start at 1"
"""In the note on labels that were counted from 0 instead."""

_SET = {
    "labels": "its labels are y in it",
    "pattern": "its labels are y in it, and who and which camera are subject and camera",
}
_SYNTHETIC = {
    "labels": "it is made with its labels",
    "pattern": "it is made with its labels",
    "units": "it is made in metres",
}


def read_options(layout: str | None, pattern: str | None, labels: str | None, units: str) -> Options:
    """The options of a command line: `layout` is a name or a layout file, `units` as in `read_unit`.

    Raises:
        InputError: no such layout, no such unit.
    """
    return Options(None if layout is None else _layout(layout), pattern, labels, read_unit(units))


def _layout(word: str) -> Layout:
    if word in LAYOUTS:
        return LAYOUTS[word]
    if Path(word).is_file():
        return read_layout(Path(word))
    raise InputError(f"layout {word!r} is not known (known: {', '.join(LAYOUTS)}), and there is no file of that name.")


def choose_format(tree: Tree, name: str | None) -> Format:
    """The format of raw files: the one that was named, or the first that knows them by looking.

    Raises:
        InputError: there is none.
    """
    kind = find_format(tree, name)
    if kind is None:
        check_no_set_inside(tree)
        known = ", ".join(kind.name for kind in FORMATS)
        raise InputError(
            f"{tree.path} is of no known format (asked for: {name or 'any'}; known: npz, folder of npy, {known})."
        )
    return kind


def check_no_set_inside(tree: Tree) -> None:
    """Refuse a zip file of prepared sets, which are read from the disk only.

    Raises:
        InputError: naming the first of them.
    """
    inside = [name for name in tree.names if name.lower().endswith(".npz") or PurePosixPath(name).name == "x.npy"]
    if tree.zipped and inside:
        folder = not inside[0].lower().endswith(".npz")
        give = "the folder of that file" if folder else inside[0]
        raise InputError(f"{tree.place(inside[0])} is a set in a zip file. Unpack {tree.path.name} and give {give}.")


def find_clips(kind: Format, tree: Tree, options: Options) -> Plan:
    """What a reader finds, with labels from 0: numbers from 1 that no file names are counted from 0, and it is said.

    As in an npz a class 0 that no clip has would be made up. Clips with NTU's names keep their labels where these are
    the actions less 1: then A001 is what a part of the set lacks.

    Raises:
        InputError: as `Format.find`.
    """
    plan = kind.find(tree, options)
    labels = [found.label for found in plan.found if isinstance(found.label, int)]
    if plan.classes is not None or not labels or len(labels) < len(plan.found) or min(labels) != 1:
        return plan
    names = ((found, NtuName.from_match(NAME.search(found.name))) for found in plan.found)
    actions = [(found.label, name.action) for found, name in names if name is not None]
    if 2 * sum(label == action - 1 for label, action in actions) > len(plan.found):
        return plan
    note = f"{tree.path.name}: {FROM_ONE} (1 to {max(labels)}, no label 0); 1 is read as the first class."
    shifted = tuple(replace(found, label=label - 1) for found, label in zip(plan.found, labels, strict=True))
    classes = tuple(map(str, range(1, max(labels) + 1)))
    return replace(plan, found=shifted, classes=classes, notes=(*plan.notes, note))


def open_source_set(path: Path, options: Options, check: bool = True) -> Opened:
    """A prepared set, read from the disk block by block, in metres; see `stream_set`."""
    opened = stream_set(path, options.layout, check)
    if options.units is None:
        return opened
    x = ChangedRows(opened.clips.x, partial(scaled, metres=options.units.metres))
    return replace(opened, clips=replace(opened.clips, x=x), notes=(*opened.notes, said_unit(options.units)))


def check_set_options(options: Options, name: str | None, path: Path) -> None:
    """Refuse what does nothing for a prepared set, `--format` too.

    Raises:
        OptionError: naming the option.
    """
    check_given(options, name, ("set", "npz"), _SET, f"{path}, which is a prepared set")


def check_synthetic_options(options: Options, name: str | None) -> None:
    """Refuse what does nothing for the synthetic set.

    Raises:
        OptionError: naming the option.
    """
    check_given(options, name, ("synthetic",), _SYNTHETIC, "the synthetic set")


def check_given(
    options: Options, name: str | None, names: tuple[str, ...], known: Mapping[str, str], source: str
) -> None:
    """Refuse what would do nothing where no reader is asked.

    Args:
        options: what the user gave.
        name: what `--format` says.
        names: those that the format of the source has.
        known: as in `Format`.
        source: what it is, in a few words.

    Raises:
        OptionError: naming the option.
    """
    if name is not None and name not in names:
        raise OptionError(f"--format {name} does nothing for {source}. Leave --format out.")
    check_options(options, known, source)


def check_layout(layout: Layout, options: Options, source: str) -> None:
    """Refuse joints that are not those the user named.

    Raises:
        OptionError: with both names.
    """
    wanted = options.layout
    if wanted is not None and (wanted.name, wanted.joints) != (layout.name, layout.joints):
        raise OptionError(f"{source} has the joints of {layout.name!r}, not of {wanted.name!r}.")
