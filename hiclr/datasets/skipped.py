"""Lists of skipped files: short where people read them, whole in a file beside the set."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from hiclr.datasets.readers.plan import Skipped

__all__ = ["list_path", "reason_kind", "shortened", "write_list"]

_EACH = 10  # files of one kind of reason that are shown
_KINDS = 20
_OWN = re.compile(r"'[^']*'|\"[^\"]*\"|\S*\d\S*")  # what differs between files that have the same thing wrong with them


def list_path(out: Path) -> Path:
    """Where the whole list of a set lies."""
    return out.with_name(f"{out.name}.skipped.txt")


def shortened(skipped: Sequence[Skipped], between: str = ": ") -> tuple[list[str], bool]:
    """(a line for each file, of many the first ten of each kind of reason and how many more, whether any is left out).

    Reasons are of one kind where they differ in names and numbers only; `between` stands between file and reason.
    """
    kinds: dict[str, list[Skipped]] = {}
    for one in skipped:
        kinds.setdefault(reason_kind(one.file, one.reason), []).append(one)
    lines, unshown = [], 0
    for number, members in enumerate(kinds.values()):
        if number >= _KINDS:
            unshown += len(members)
            continue
        lines += [_line(one, between) for one in members[:_EACH]]
        if len(members) > _EACH:
            lines.append(f"... and {len(members) - _EACH:,} more for such a reason as {members[_EACH - 1].file}")
    if unshown:
        lines.append(f"... and {unshown:,} more for {len(kinds) - _KINDS:,} other reasons")
    return lines, any(line.startswith("...") for line in lines)


def write_list(skipped: Sequence[Skipped], out: Path) -> Path | None:
    """The whole list beside a set where `shortened` leaves some out; None, and an older list gone, where not."""
    path = list_path(out)
    if not shortened(skipped)[1]:
        path.unlink(missing_ok=True)
        return None
    path.write_text("".join(f"{_line(one)}\n" for one in skipped), encoding="utf-8", errors="backslashreplace")
    return path


def _line(one: Skipped, between: str = ": ") -> str:
    return " ".join(f"{one.file}{between}{one.reason}".splitlines())


def reason_kind(file: str, reason: str) -> str:
    """The reason without names and numbers: equal for files that have the same thing wrong with them."""
    for name in (file, PurePosixPath(file).name):
        reason = reason.replace(name, "#")
    return _OWN.sub("#", reason)
