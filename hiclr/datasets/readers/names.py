"""What the names of files say: clips, classes and numbers by a pattern, or classes by folder."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from hiclr.errors import InputError

__all__ = ["IDS", "clip_names", "folder_classes", "match_names", "number_words", "sort_words"]

IDS = ("subject", "camera", "setup", "view", "style")
"""Groups of a pattern that become numbers beside the label."""


def clip_names(files: Sequence[str]) -> dict[str, str]:
    """A name for each file: without folder and ending where no two are then alike, otherwise with its folder."""
    stems = {file: PurePosixPath(file).stem for file in files}
    if len(set(stems.values())) == len(files):
        return stems
    paths = {file: PurePosixPath(file).with_suffix("").as_posix() for file in files}
    return paths if len(set(paths.values())) == len(files) else {file: file for file in files}


def match_names(names: Sequence[str], pattern: str) -> dict[str, dict[str, str]]:
    """The named groups of a regular expression in each name; a name in which it is not found is left out.

    Raises:
        InputError: it is no regular expression, or has no group "class".
    """
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"The pattern {pattern!r} is no regular expression: {error}.") from error
    if "class" not in expression.groupindex:
        raise InputError(
            f"The pattern {pattern!r} needs a group that gives the class, (?P<class>...); groups "
            f"{', '.join(IDS)} are welcome."
        )
    found = {name: match.groupdict(default="") for name in names if (match := expression.search(name))}
    return {name: groups for name, groups in found.items() if groups["class"]}


def number_words(words: Sequence[str], known: Sequence[str] = ()) -> Mapping[str, int]:
    """Words as whole numbers: as themselves where all are numbers, as places among `known` where all are known,
    otherwise as places in sorted order."""
    if _are_numbers(words):
        return {word: int(word) for word in words}
    order = known if set(words) <= set(known) else sorted(set(words))
    return {word: i for i, word in enumerate(order)}


def sort_words(words: Iterable[str]) -> tuple[str, ...]:
    """Each once, in sorted order; numbers by their size."""
    each = sorted(set(words))
    return tuple(sorted(each, key=int) if _are_numbers(each) else each)


def _are_numbers(words: Iterable[str]) -> bool:
    return all(word.isascii() and word.isdigit() and len(word) < 16 for word in words)


def folder_classes(files: Sequence[str]) -> tuple[dict[str, str], str]:
    """(a class for each file, how it was found in words): its folder where there are several, otherwise one for all."""
    folders = {file: PurePosixPath(file).parent.name for file in files}
    if len(set(folders.values())) > 1:
        return {file: folder or "top" for file, folder in folders.items()}, "the folder's name is taken as the class"
    return dict.fromkeys(files, "all"), "no class is known, so all clips have one, 'all'"
