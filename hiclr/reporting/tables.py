"""Results as tables: one column for each run, a row for each figure."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hiclr.errors import InputError
from hiclr.evaluation import compare, confusion_counts, most_confused, over_seeds
from hiclr.evaluation.floors import RAW, UNTRAINED
from hiclr.evaluation.names import figure_name
from hiclr.evaluation.notes import few_people
from hiclr.evaluation.protocols import TOP
from hiclr.reporting.results import Evaluated
from hiclr.workbook import Table

__all__ = ["confused_table", "expected_table", "figures_table", "floors_table", "remarks", "subjects_table", "tables"]

_TESTED = "linear/top1"
_OVER_CLIPS = ", with the 95 % interval over test clips"
SECTIONS = (
    (f"Probes and neighbours on frozen features, in %{_OVER_CLIPS}", ("linear", "knn")),
    (f"Retrieval and few examples, in %{_OVER_CLIPS} (few-shot: over episodes)", ("retrieval", "few-shot", "one-shot")),
    (f"Trained on with labels, in %{_OVER_CLIPS} where that is one training", ("finetune", "semi", "transfer")),
    ("Calibration: the expected error of the confidence in %, less is better", ("calibration",)),
    ("Robustness: clean clips in %, and the points that damage costs in the mean", ("robustness",)),
)
"""Of the figures: title, and how the names of the protocols begin that stand there."""
_KEYS = {
    **{key: key for key in ("stream", "seed")}, "epoch": "epoch of the weights", "epochs": "epochs of the run",
    "source": "source", "protocol": "train and test part", "synthetic": "synthetic", "fingerprint": "fingerprint",
    "time": "time",
}  # fmt: skip
_LONG = 40  # letters of a cell
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,}")  # its first digits tell it from others; results.json has all


def tables(evaluated: Sequence[Evaluated]) -> list[Table]:
    """All tables of some results, those that hold something.

    Args:
        evaluated: one or more; they need not be of the same clips, and what compares them is left out where they are
            not.
    """
    first, *others = (_section(evaluated, *section) for section in SECTIONS)
    made = [what_table(evaluated), first, floors_table(evaluated), *others, subjects_table(evaluated)]
    made += [table for table in (_seeds(evaluated), _tests(evaluated)) if table is not None]
    made += [table for table in map(expected_table, evaluated) if table is not None]
    return [table for table in made if table.rows]


def _names(evaluated: Sequence[Evaluated]) -> list[str]:
    """Of the columns: the run, with the split where one run has several."""
    runs = [str(one.result["run"]) for one in evaluated]
    several = len(set(runs)) < len(runs)
    return [f"{run} · {one.result['protocol']}" if several else run for run, one in zip(runs, evaluated, strict=True)]


def what_table(evaluated: Sequence[Evaluated]) -> Table:
    rows: list[list[Any]] = [
        [title, *(_word(one.result.get(key)) for one in evaluated)] for key, title in _KEYS.items()
    ]
    rows += [[f"{part} clips", *(f"{one.result['data'][part]:,}" for one in evaluated)] for part in ("train", "test")]
    rows += [["classes", *(str(one.result["data"]["classes"]) for one in evaluated)]]
    rows += [["commit", *(_word(one.result["environment"].get("commit")) for one in evaluated)]]
    unlike = len({(one.result["fingerprint"], str(one.result.get("parts"))) for one in evaluated}) > 1
    warning = ": columns of other clips are not to be compared" if unlike else ""
    return Table(f"What the numbers are of{warning}", ["", *_names(evaluated)], rows)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "-" if value is None else _DIGEST.sub(r"\1", str(value))
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"


def _measured(evaluated: Sequence[Evaluated]) -> list[tuple[str, str]]:
    """(protocol, measure) of every figure of any of them, in order; of few classes top-5 is always right."""
    found = {(row["protocol"], row["measure"]): None for one in evaluated for row in one.result["rows"]}
    few = max(one.result["data"]["classes"] for one in evaluated) <= TOP
    return [key for key in found if key[0] != "baseline" and not (few and key[1].endswith(f"top{TOP}"))]


def _row(one: Evaluated, key: tuple[str, str]) -> dict[str, Any] | None:
    rows = (row for row in one.result["rows"] if (row["protocol"], row["measure"]) == key)
    return next(rows, None)


def figures_table(evaluated: Sequence[Evaluated], only: str | None = None) -> Table:
    """Every figure with its interval; of one protocol alone where that is named."""
    return _section(evaluated, f"Results in %{_OVER_CLIPS}", () if only is None else (only,))


def _section(evaluated: Sequence[Evaluated], title: str, protocols: tuple[str, ...]) -> Table:
    """The figures of protocols whose names begin like one of these; of all where there are none."""

    def cell(row: dict[str, Any] | None) -> str:
        if row is None:
            return "-"
        return f"{row['value']:.2f}" + (
            "" if row["interval"] is None else " ({:.1f} to {:.1f})".format(*row["interval"])
        )

    keys = [key for key in _measured(evaluated) if key[0].startswith(protocols or "")]
    rows = [[figure_name(*key), *(cell(_row(one, key)) for one in evaluated)] for key in keys]
    return Table(title, ["", *_names(evaluated)], rows)


def subjects_table(evaluated: Sequence[Evaluated]) -> Table:
    """The interval of each accuracy when whole subjects are drawn instead of clips."""
    rows = []
    for key in _measured(evaluated):
        found = [_row(one, key) for one in evaluated]
        bounds = [None if row is None else row["over_subjects"] for row in found]
        if any(bounds):
            rows.append([figure_name(*key), *("-" if b is None else f"{b[0]:.1f} to {b[1]:.1f}" for b in bounds)])
    said = " ".join(dict.fromkeys(filter(None, (few_people(one.result) for one in evaluated))))
    return Table(f"95 % interval over whole subjects, in %{said and f'. {said}'}", ["", *_names(evaluated)], rows)


def floors_table(evaluated: Sequence[Evaluated]) -> Table:
    """Raw distances, the untrained encoder and chance."""
    known = {name for one in evaluated for name in one.result["baseline"]}
    names = [name for name in (RAW, *UNTRAINED) if name in known]
    rows = [
        [figure_name("baseline", name), *(_number(one.result["baseline"].get(name)) for one in evaluated)]
        for name in names
    ]
    rows += [[figure_name("chance", kind), *(_number(one.result["chance"][kind]) for one in evaluated)]
             for kind in ("uniform", "majority")]  # fmt: skip
    return Table("Floors in %: what a result has to beat", ["", *_names(evaluated)], rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _seeds(evaluated: Sequence[Evaluated]) -> Table | None:
    """Mean and standard deviation, where the results differ in their seed alone."""
    keys = ("fingerprint", "protocol", "parts", "stream", "epoch")
    of = {tuple(str(one.result.get(key)) for key in keys) for one in evaluated}
    settings = [{k: v for k, v in one.run.config.items() if k != "seed"} for one in evaluated]
    seeds = {one.result["seed"] for one in evaluated}
    if len(of) != 1 or len(seeds) != len(evaluated) or len(evaluated) < 2 or any(s != settings[0] for s in settings):
        return None
    rows = []
    for key in _measured(evaluated):
        found = [row["value"] for row in (_row(one, key) for one in evaluated) if row is not None]
        if len(found) == len(evaluated):
            spread = over_seeds(found)
            rows.append([figure_name(*key), f"{spread.mean:.2f} ± {spread.sd:.2f}"])
    return Table(f"Mean and standard deviation over {len(evaluated)} seeds, in %", ["", "mean ± sd"], rows)


def _tests(evaluated: Sequence[Evaluated]) -> Table | None:
    """Each run against the first one, clip by clip."""
    first, names, rows = evaluated[0].predictions, _names(evaluated), []
    for name, one in list(zip(names, evaluated, strict=True))[1:]:
        try:
            if first is None or one.predictions is None:
                continue
            test = compare(first, one.predictions, _TESTED)
        except InputError:  # other clips, or no linear probe
            continue
        bounds = "-" if test.over_clips is None else "{:+.1f} to {:+.1f}".format(*(100 * b for b in test.over_clips))
        rows.append([f"{name} - {names[0]}", f"{100 * test.difference:+.2f}", bounds, f"{test.p:.2g}",
                     f"{test.only_second} / {test.only_first}"])  # fmt: skip
    columns = ("runs", "difference in points", "95 % interval over clips", "p (McNemar)", "right in one alone")
    return Table("Paired test of the linear probe", columns, rows) if rows else None


def confused_table(one: Evaluated, measure: str = _TESTED, pairs: int = 3, most: int = 4) -> Table:
    """The largest confusions, with the names of some of their clips.

    Args:
        one: results with predictions.
        measure: of the predictions, "protocol/measure".
        pairs: of classes, at most.
        most: names of each, at most.

    Raises:
        InputError: there are no such predictions.
    """
    kept = one.predictions
    if kept is None or measure not in kept.classes:
        raise InputError(f"There are no predictions of {measure!r}: evaluate the run with that protocol first.")
    predicted, names = kept.classes[measure], np.array(kept.names)
    counts = confusion_counts(kept.y, predicted, len(one.classes))
    rows = []
    for true, taken in most_confused(counts, pairs):
        which = names[(kept.y == true) & (predicted == taken)]
        words = ", ".join([*which[:most], *(["…"] if len(which) > most else [])])
        rows.append([one.classes[true], one.classes[taken], f"{len(which)} of {counts[true].sum()}", words])
    return Table("Most confused", ("true", "taken for", "clips", "names"), rows)


def remarks(one: Evaluated) -> Iterator[tuple[str, list[str]]]:
    """(title, sentences) that belong to the numbers: what a reader must know, and why they may differ from published
    ones."""
    if one.result["notes"]:
        yield "What a reader must know", list(one.result["notes"])
    if "expected" in one.result:
        yield "Why ours may differ from published values", list(one.result["expected"]["reasons"])


def expected_table(one: Evaluated) -> Table | None:
    """Published values beside ours, on a public benchmark; each in a column of its own."""
    found = one.result.get("expected")
    if found is None:
        return None
    rows = [
        [row["protocol"], row["stream"], row["method"], *("" if row[key] is None else f"{row[key]:.2f}"
         for key in ("published", "ours")), row["source"]]
        for row in found["rows"]
    ]  # fmt: skip
    columns = ("protocol", "stream", "", "published, %", "ours, %", "source")
    return Table(f"Expected against got: {found['title']}, {one.result['run']}", columns, rows)
