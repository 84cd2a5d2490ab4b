"""`doctor`: what is in a file or folder, and what is wrong with it.

One file for each kind of check; each says what it saw, where, and what to do. A fault must be fixed; a note is worth
knowing. What sensors do now and then is a note.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.doctor.bodies import Check
from hiclr.datasets.doctor.counts import count_findings
from hiclr.datasets.doctor.finding import Finding, Place
from hiclr.datasets.doctor.labels import (
    class_findings,
    label_findings,
    length_findings,
    protocol_findings,
    read_labels,
)
from hiclr.datasets.doctor.moving import Doubles, Jumps, PersonExchanges, SideExchanges
from hiclr.datasets.doctor.shape import Orientation, Scale
from hiclr.datasets.doctor.sources import PlanSource, SetSource, Source
from hiclr.datasets.doctor.twins import Twins, name_findings
from hiclr.datasets.doctor.values import Absent, Frozen, NotFinite
from hiclr.datasets.files import Opened, is_folder, open_folder, open_npz
from hiclr.datasets.readers import FORMATS, find_format
from hiclr.datasets.readers.plan import Options
from hiclr.datasets.readers.tree import open_tree
from hiclr.datasets.synthetic import synthetic
from hiclr.errors import InputError

__all__ = ["Finding", "Place", "diagnose", "diagnose_set", "diagnosis_text", "examine"]


def diagnose(path: Path | str) -> dict[str, Any]:
    """Look at a set, at raw files or at a file of labels.

    Returns:
        Plain values: "path", "ok" (nothing must be fixed), "summary" {label: text}, "faults" [{"kind", "where",
        "what", "do", "count", "places"}] that must be fixed, "notes" [text] that are good to know, "findings": faults
        and notes alike as {"kind", "severity", "where", "what", "do", "count", "places" [{"clip", "frame", "joint",
        "person", "seen"}]}, at most the first 1000 places of each.
    """
    try:
        summary, findings = _look_at(path)
    except InputError as error:
        findings = [Finding("unreadable", "fault", str(error), "mend or leave out what is named")]
        summary = {}
    return _report(str(path), summary, findings)


def diagnose_set(clips: SkeletonSet) -> dict[str, Any]:
    """Look at a set in memory; the report is that of `diagnose`."""
    return _report(clips.source, *examine(SetSource(clips)))


def _report(path: str, summary: dict[str, str], findings: Sequence[Finding]) -> dict[str, Any]:
    rows = [finding.to_dict(path) for finding in findings]
    return {
        "path": path,
        "ok": not any(finding.severity == "fault" for finding in findings),
        "summary": summary,
        "faults": [row for row in rows if row["severity"] == "fault"],
        "notes": [finding.text(path) for finding in findings if finding.severity == "note"],
        "findings": rows,
    }


def _look_at(path: Path | str) -> tuple[dict[str, str], list[Finding]]:
    if str(path) == "synthetic":
        return examine(SetSource(synthetic()))
    place = Path(path)
    if not place.exists():
        raise InputError(f"There is no {place}.")
    if is_folder(place):
        return _look_at_opened(open_folder(place, check=False))
    if place.suffix == ".npz":
        return _look_at_opened(open_npz(place, check=False))
    tree = open_tree(place)
    kind = find_format(tree)
    if kind is not None:
        return examine(PlanSource(kind.find(tree, Options())))
    if place.suffix in (".npy", ".pkl"):
        y = read_labels(place)
        return {"labels": f"{len(y):,}"}, label_findings(y)
    known = ", ".join(kind.name for kind in FORMATS)
    raise InputError(f"{place} is of no known format (known: npz, folder of npy, labels in npy, {known}).")


def _look_at_opened(opened: Opened) -> tuple[dict[str, str], list[Finding]]:
    summary, found = examine(SetSource(opened.clips))
    first = [Finding("length", "fault", fault, "give the true lengths") for fault in opened.faults]
    return summary, [*first, *found, *(Finding("read as", "note", note.rstrip(".")) for note in opened.notes)]


def examine(source: Source) -> tuple[dict[str, str], list[Finding]]:
    """(what it is, all findings: faults first). Each block of clips is read once and seen by all checks."""
    scale, orientation = Scale(), Orientation()
    checks: list[Check] = [
        NotFinite(), Absent(), Frozen(), scale, orientation, Jumps(), SideExchanges(), PersonExchanges(), Doubles(),
        Twins(),
    ]  # fmt: skip
    for block in source.blocks():
        for check in checks:
            check.look(block)
    facts = source.facts()
    found = [*source.findings(), *(finding for check in checks for finding in check.findings(facts))]
    found += [*name_findings(facts), *count_findings(facts), *length_findings(facts)]
    found += [*class_findings(facts.y, list(facts.classes)), *protocol_findings(facts)]
    words = {"bodies": ", ".join(filter(None, (scale.summary(), orientation.summary())))}
    return source.summary() | {k: v for k, v in words.items() if v}, sorted(found, key=lambda f: f.severity != "fault")


def diagnosis_text(report: dict[str, Any]) -> str:
    """The report of `diagnose` for people: what it is, faults, notes."""
    lines = [f"{label}: {text}" for label, text in report["summary"].items()]
    for fault in report["faults"]:
        do = f" ({fault['do']})" if fault["do"] else ""
        lines.append(f"FAULT {fault['where']}: {fault['what']}{do}")
    lines += [f"note: {note}" for note in report["notes"]]
    faults = len(report["faults"])
    return "\n".join([*lines, "Nothing to fix." if report["ok"] else f"Something must be fixed ({faults} kinds)."])
