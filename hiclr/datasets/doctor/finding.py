"""What the doctor says: a finding is one kind of trouble, however often it occurs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

__all__ = ["SHOWN", "Finding", "Place", "Severity", "grouped", "sentence"]

Severity = Literal["fault", "note"]

SHOWN = 5  # places in a line for people
_KEPT = 1000  # places in the report for programs


@dataclass(frozen=True)
class Place:
    """Where something was seen: a clip or a file, and in it a frame, a joint and a person, from 0."""

    clip: str
    frame: int | None = None
    joint: str | None = None
    person: int | None = None
    seen: str = ""

    def __str__(self) -> str:
        parts = [] if self.frame is None else [f"frame {self.frame}"]
        parts += [] if self.joint is None else [f"joint {self.joint}"]
        parts += [] if self.person is None else [f"person {self.person}"]
        where = f"{self.clip}: {', '.join(parts)}" if parts else self.clip
        if not self.seen:
            return where
        return f"{where} is {self.seen}" if parts else f"{where}: {self.seen}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what is not known is left out."""
        known = {key: value for key, value in vars(self).items() if value is not None and value != ""}
        return dict(known)


@dataclass(frozen=True)
class Finding:
    """One kind of trouble in a source.

    Args:
        kind: a short name, for programs.
        severity: "fault" must be fixed; "note" is good to know.
        what: what was seen, with the numbers.
        do: what to do about it; may be empty for a note.
        places: the first of them.
        count: how often it was seen.
        named: the line for people names the places alone, without what was seen there.
    """

    kind: str
    severity: Severity
    what: str
    do: str = ""
    places: tuple[Place, ...] = ()
    count: int = 1
    named: bool = False

    def where(self, source: str) -> str:
        """The first places in one line; the source itself where the finding has none."""
        listed = [place.clip if self.named else str(place) for place in self.places[:SHOWN]]
        more = [f"and {self.count - len(listed):,} more"] if listed and self.count > len(listed) else []
        return ", ".join([*listed, *more]) or source

    def to_dict(self, source: str) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "where": self.where(source),
            "what": self.what,
            "do": self.do,
            "count": self.count,
            "places": [place.to_dict() for place in self.places],
        }

    def text(self, source: str) -> str:
        """One line for people."""
        return sentence(self.to_dict(source))


def sentence(row: Mapping[str, Any]) -> str:
    """A row of `Finding.to_dict` in one line: what was seen, where, what to do."""
    what, do = row["what"].rstrip("."), row["do"].rstrip(".")
    known = not row["places"] or row["where"] in what  # one place, named already
    line = what if known else f"{what}: {row['where']}"
    return " ".join(f"{line}. {do[:1].upper()}{do[1:]}.".splitlines()) if do else " ".join(f"{line}.".splitlines())


def grouped(kind: str, severity: Severity, what: str, do: str, places: Iterable[Place]) -> Finding:
    """One finding of many places of equal kind; of a million places no more are kept than are shown."""
    rest = iter(places)
    listed = tuple(islice(rest, _KEPT))
    return Finding(kind, severity, what, do, listed, len(listed) + sum(1 for _ in rest))
