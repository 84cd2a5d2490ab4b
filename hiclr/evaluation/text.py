"""The answer of an evaluation as text."""

from collections.abc import Iterator, Mapping
from typing import Any

from hiclr.evaluation.floors import RAW, UNTRAINED
from hiclr.evaluation.names import RANDOM_ENCODER, RAW_DISTANCES, figure_name
from hiclr.evaluation.notes import few_people
from hiclr.evaluation.protocols import TOP
from hiclr.evaluation.rows import interval

__all__ = ["table"]

_COLUMNS = {"linear top-1": ("linear", "top1"), "linear top-5": ("linear", "top5"),
            "kNN k=1": ("knn", "1"), "kNN k=20": ("knn", "20")}  # fmt: skip
_WIDTH = 25


def table(result: Mapping[str, Any]) -> str:
    """The answer of `evaluate` as text: what was measured on what, then a row for the encoder and for each floor."""
    data, baseline, count = result["data"], result["baseline"], int(result["data"]["test"])
    columns = [name for name, (protocol, key) in _COLUMNS.items() if protocol in result and (
        key != f"top{TOP}" or data["classes"] > TOP)]  # fmt: skip
    untrained = {like: floor for floor, like in UNTRAINED.items()}
    rows = {
        _title(result): {name: result[_COLUMNS[name][0]][_COLUMNS[name][1]] for name in columns},
        RANDOM_ENCODER: {name: baseline.get(untrained.get(_COLUMNS[name], "")) for name in columns},
        RAW_DISTANCES: {"kNN k=1": baseline[RAW]},
        "chance": {name: result["chance"]["uniform"] for name in columns if name != "linear top-5"},
    }
    if "kNN k=1" not in columns:
        columns = [*columns, "kNN k=1"]
    synthetic = " (synthetic)" if result["synthetic"] and result["source"] != "synthetic" else ""
    lines = [
        f"{result['run']}: epoch {result['epoch']} of {result['epochs']}, seed {result['seed']}, "
        f"{result['stream']} stream",
        f"{result['source']}{synthetic}, protocol {result['protocol']}: "
        f"{data['train']:,} train / {data['test']:,} test clips, {data['classes']} classes",
        "",
        " " * 20 + "".join(f"{name:>{_WIDTH}}" for name in columns),
    ]
    for title, values in rows.items():
        measured = None if title == "chance" else count
        lines.append(f"{title:<20}" + "".join(_cell(values.get(name), measured) for name in columns))
    lines += _further(result)
    lines += ["", f"%, with the 95 % interval of {count:,} test {'clip' if count == 1 else 'clips'}; one seed. "
              f"Majority class: {result['chance']['majority']:.2f} %."]  # fmt: skip
    if {"knn", "retrieval", "few-shot", "one-shot"} & set(result):
        lines.append("Neighbours are found by cosine on the encoder's features, before its projection head.")
    lines += [f"Note: {note}" for note in result["notes"]]
    if "expected" in result:
        lines += ["", expected_text(result["expected"])]
    return "\n".join(line.rstrip() for line in lines)


def expected_text(found: Mapping[str, Any]) -> str:
    """What `expected` gives as text: published values, ours in a column of their own, reasons for a difference."""
    lines = [f"Expected against got: {found['title']}, top-1 in % (a calibration error in %)", "",
             f"{'protocol':<18}{'stream':<15}{'':<34}{'published':>9}{'ours':>9}  source"]  # fmt: skip
    for row in found["rows"]:
        published, ours = ("" if row[key] is None else f"{row[key]:.2f}" for key in ("published", "ours"))
        cells = f"{row['protocol']:<18}{row['stream']:<15}{row['method']:<34}{published:>9}{ours:>9}"
        lines.append(f"{cells}  {row['source']}")
    return "\n".join([*lines, "", "Why ours may differ", *(f"- {reason}" for reason in found["reasons"])])


def _further(result: Mapping[str, Any]) -> list[str]:
    """A line for each figure that has no column, and the intervals over people."""
    columns = set(_COLUMNS.values())
    rows = [row for row in result.get("rows", []) if (row["protocol"], row["measure"]) not in columns]
    known = "" if result["data"]["classes"] > TOP else f"top{TOP}"  # of so few classes it is always right
    rows = [row for row in rows if row["protocol"] != "baseline" and row["measure"] != known]
    names = [figure_name(row["protocol"], row["measure"]) for row in rows]
    width = max([34, *map(len, names)])
    lines = [f"{name:<{width}}{_values(row, result)}" for name, row in zip(names, rows, strict=True)]
    people = [f"{name} {bounds[0]:.1f} to {bounds[1]:.1f}" for name, bounds in _over_subjects(result)]
    lines = ["", *lines] if lines else []
    if people:
        lines += ["", f"Over whole subjects, not clips: {', '.join(people)}. {few_people(result)}"]
    return lines


def _values(row: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    bounds = "" if row["interval"] is None else f"  {row['interval'][0]:.1f} to {row['interval'][1]:.1f}"
    best = result[row["protocol"]].get("best_on_test") if row["measure"] == "top1" else None
    peeked = "" if best is None else (
        f"; best on test, as published code reports: {best:.2f} (epoch {result[row['protocol']]['best_epoch']})"
    )  # fmt: skip
    return f"{row['value']:>9.2f}{bounds}{peeked}"


def _over_subjects(result: Mapping[str, Any]) -> Iterator[tuple[str, list[float]]]:
    for name, (protocol, key) in _COLUMNS.items():
        found = result.get("statistics", {}).get(protocol, {}).get(key, {})
        if found.get("over_subjects") is not None:
            yield name, found["over_subjects"]


def _title(result: Mapping[str, Any]) -> str:
    return "pretrained encoder" if result["epoch"] else "untrained (epoch 0)"


def _cell(value: float | None, count: int | None) -> str:
    if value is None:
        return f"{'-':>{_WIDTH}}"
    low, high = interval(value, count) if count else (0.0, 0.0)
    bounds = f"{low:.1f} to {high:.1f}" if count else ""
    return f"{value:>9.2f}  {bounds:<{_WIDTH - 11}}"
