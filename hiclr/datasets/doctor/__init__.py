"""`doctor`: what is in a file or folder, and what is wrong with it.

One file for each kind of check; each says what it saw, where, and what to do. A fault must be fixed; a note is worth
knowing. What sensors do now and then is a note.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.containers import is_folder
from hiclr.datasets.doctor.bodies import Check
from hiclr.datasets.doctor.counts import count_findings
from hiclr.datasets.doctor.finding import SHOWN, Finding, Place, sentence
from hiclr.datasets.doctor.label_files import LABEL_FILES, is_label_pickle, look_at_labels
from hiclr.datasets.doctor.labels import action_findings, class_findings, length_findings, protocol_findings
from hiclr.datasets.doctor.moving import Doubles, Jumps, PersonExchanges, SideExchanges
from hiclr.datasets.doctor.shape import Orientation, Scale
from hiclr.datasets.doctor.sources import PlanSource, SetSource, Source
from hiclr.datasets.doctor.twins import Twins, name_findings
from hiclr.datasets.doctor.values import Absent, Frozen, NotFinite
from hiclr.datasets.readers import find_format
from hiclr.datasets.readers.plan import OptionError, Options, check_options
from hiclr.datasets.readers.tree import open_tree
from hiclr.datasets.reading import (
    check_layout,
    check_set_options,
    check_synthetic_options,
    choose_format,
    find_clips,
    open_source_set,
    read_options,
)
from hiclr.datasets.synthetic import synthetic
from hiclr.datasets.wording import counted
from hiclr.errors import InputError

__all__ = ["Finding", "Place", "diagnose", "diagnose_set", "diagnosis_text", "examine"]

_SEVERITY = {"fault": "FAULT", "note": "note"}


def diagnose(
    path: Path | str,
    *,
    format: str | None = None,  # noqa: A002 - the contract's word
    layout: str | None = None,
    pattern: str | None = None,
    labels: str | None = None,
    units: str = "auto",
    progress: bool = False,
) -> dict[str, Any]:
    """Look at a set, at raw files or at a file of labels.

    Clips pass through a little memory, whatever their number.

    Args:
        path: the set, the files, or the word "synthetic".
        format: as in `convert`, like the next four.
        layout: name of the joints' layout, or a layout file.
        pattern: what a clip's name says.
        labels: where the labels lie.
        units: of the positions.
        progress: a bar on stderr, with the time that is left.

    Returns:
        Plain values: "path", "ok" (nothing must be fixed), "summary" {label: text}, "faults" [{"kind", "where",
        "what", "do", "count", "places"}] that must be fixed, "notes" [text] that are good to know, "findings": faults
        and notes alike as {"kind", "severity", "where", "what", "do", "count", "places" [{"clip", "frame", "joint",
        "person", "seen"}]}, at most the first 1000 places of each.

    Raises:
        InputError: an option that does nothing for this source, or says what is not so. What is wrong with the files
            is in the report.
    """
    options = read_options(layout, pattern, labels, units)
    try:
        summary, findings = _look_at(str(path), format, options, progress)
    except OptionError:
        raise
    except InputError as error:
        findings = [Finding("unreadable", "fault", str(error), "put this right first: nothing more could be looked at")]
        summary = {}
    return _report(str(path), summary, findings)


def diagnose_set(clips: SkeletonSet) -> dict[str, Any]:
    """Look at a set in memory; the report is that of `diagnose`."""
    return _report(clips.source, *examine(SetSource(clips)))


def _report(path: str, summary: dict[str, str], findings: Sequence[Finding]) -> dict[str, Any]:
    findings = sorted(findings, key=lambda finding: finding.severity != "fault")
    rows = [finding.to_dict(path) for finding in findings]
    return {
        "path": path,
        "ok": not any(finding.severity == "fault" for finding in findings),
        "summary": summary,
        "faults": [row for row in rows if row["severity"] == "fault"],
        "notes": [finding.text(path) for finding in findings if finding.severity == "note"],
        "findings": rows,
    }


def _look_at(path: str, name: str | None, options: Options, progress: bool) -> tuple[dict[str, str], list[Finding]]:
    place = Path(path)
    if path == "synthetic":
        check_synthetic_options(options, name)
        clips = synthetic()
        check_layout(clips.layout, options, path)
        return examine(SetSource(clips), progress)
    if not place.exists():
        raise InputError(f"There is no {place}.")
    if is_folder(place) or place.suffix == ".npz":
        return _look_at_set(place, name, options, progress)
    return _look_at_files(place, name, options, progress)


def _look_at_set(
    path: Path, name: str | None, options: Options, progress: bool
) -> tuple[dict[str, str], list[Finding]]:
    check_set_options(options, name, path)
    opened = open_source_set(path, options, check=False)
    check_layout(opened.clips.layout, options, str(path))
    summary, found = examine(SetSource(opened.clips), progress)
    first = [Finding("length", "fault", fault, "give the true lengths") for fault in opened.faults]
    return summary, [*first, *found, *(Finding("read as", "note", note) for note in opened.notes)]


def _look_at_files(
    path: Path, name: str | None, options: Options, progress: bool
) -> tuple[dict[str, str], list[Finding]]:
    tree = open_tree(path)
    kind = find_format(tree, name)
    if LABEL_FILES.fullmatch(path.name) and (kind is None or is_label_pickle(kind, tree)):
        return look_at_labels(tree, options, name)
    kind = choose_format(tree, name)
    check_options(options, kind.known, f"files of the format {kind.name}")
    plan = find_clips(kind, tree, options)
    check_layout(plan.layout, options, str(path))
    return examine(PlanSource(plan), progress)


def examine(source: Source, progress: bool = False) -> tuple[dict[str, str], list[Finding]]:
    """(what it is, all findings). Each block of clips is read once and seen by all checks."""
    scale, orientation = Scale(), Orientation()
    checks: list[Check] = [
        NotFinite(), Absent(), Frozen(), scale, orientation, Jumps(), SideExchanges(), PersonExchanges(), Doubles(),
        Twins(),
    ]  # fmt: skip
    bar = tqdm(total=source.count, unit="clip", desc="looking", disable=not progress)
    with bar, np.errstate(all="ignore"):  # what is not finite is found, and no news to numpy
        for block in source.blocks():
            for check in checks:
                check.look(block)
            bar.update(source.looked - bar.n)
        bar.update(source.looked - bar.n)  # those that could not be read make no block
    found = source.findings()
    if source.readable:
        facts = source.facts()
        found += [finding for check in checks for finding in check.findings(facts)]
        found += [*name_findings(facts), *count_findings(facts), *length_findings(facts), *action_findings(facts)]
        found += [*class_findings(facts.y, list(facts.classes)), *protocol_findings(facts)]
    words = {"bodies": ", ".join(filter(None, (scale.summary(), orientation.summary())))}
    return source.summary() | {k: v for k, v in words.items() if v}, found


def diagnosis_text(report: dict[str, Any]) -> str:
    """The report of `diagnose` for people: what it is, a line for each fault and each note, what is to be done."""
    lines = [f"{label}: {text}" for label, text in report["summary"].items()]
    lines += [f"{_SEVERITY[row['severity']]}: {sentence(row)}" for row in report["findings"]]
    if any(row["count"] > SHOWN and row["places"] for row in report["findings"]):
        lines.append(f"(Of many places the first {SHOWN} are shown; --json lists up to 1,000 of each kind.)")
    return "\n".join([*lines, _verdict(report["faults"])])


def _verdict(faults: Sequence[dict[str, Any]]) -> str:
    """The last line: faults are counted by their places, kinds by their lines."""
    if not faults:
        return "Nothing to fix."
    times = counted(sum(fault["count"] for fault in faults), "fault")
    return f"Something must be fixed: {times} of {counted(len(faults), 'kind')} (see FAULT)."
