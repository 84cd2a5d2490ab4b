"""The summary of an ablation as a table: Markdown, which a terminal shows aligned, and a pandas frame."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hiclr.ablation.summary import LEVEL
from hiclr.datasets.wording import counted, duration
from hiclr.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MEASURE_NAMES", "frame", "markdown", "provenance"]

MEASURE_NAMES = {
    "linear": "Linear probe, top-1",
    "knn_1": "Nearest neighbour, k = 1",
    "knn_20": "Nearest neighbours, k = 20",
}
_COLUMNS = ("variant", "n", "mean ± sd", "difference (95 % interval)", "p, paired t", "p, Holm", "p, signs",
            "to the reference")  # fmt: skip


def markdown(summary: Mapping[str, Any], measures: Sequence[str] = ("linear", "knn_1")) -> str:
    """Tables of these measures, and in words what they are of.

    Args:
        summary: of `summarise`.
        measures: names out of `MEASURE_NAMES`.

    Raises:
        InputError: an unknown measure.
    """
    parts = [f"# {summary['grid']}", *([summary["about"]] if summary["about"] else [])]
    for measure in measures:
        entries = _entries(summary, measure)
        parts += [f"## {MEASURE_NAMES[measure]}: accuracy on the test part, %", _aligned(_COLUMNS, map(_row, entries))]
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in provenance(summary))])


def frame(summary: Mapping[str, Any], measure: str = "linear") -> "pd.DataFrame":
    """The table of a measure as a pandas frame, indexed by variant, with numbers as numbers.

    Raises:
        InputError: an unknown measure.
    """
    import pandas as pd

    rows = []
    for entry in _entries(summary, measure):
        d = entry["difference"] or {}
        rows.append({
            "variant": entry["variant"], "n": entry["n"], "mean": entry["mean"], "sd": entry["sd"],
            "difference": d.get("mean"), "low": d.get("low"), "high": d.get("high"), "pairs": d.get("n"),
            "p (paired t)": d.get("p_t"), "p (Holm)": d.get("p_holm"), "p (signs)": d.get("p_signs"),
            "to the reference": d.get("verdict", "the reference"),
        })  # fmt: skip
    table = pd.DataFrame(rows).set_index("variant")
    return table.astype({name: float for name in table.columns if name not in ("n", "to the reference")})


def provenance(summary: Mapping[str, Any]) -> list[str]:
    """What the numbers are of, and what they are not: a sentence each."""
    data, runs = summary["data"], summary["runs"]
    what = "synthetic clips, which say nothing about real people" if data["synthetic"] else "real clips"
    most = max((entry["n"] for entry in summary["measures"]["linear"]), default=0)
    lines = [
        f"Data: {data['source']} ({what}), protocol {data['protocol']}: {counted(data['train'], 'train clip')}, "
        f"{counted(data['test'], 'test clip')} (one is {100 / data['test']:.2f} points), "
        f"{counted(data['classes'], 'class', 'classes')}.",
        f"Settings: preset {summary['preset']}{_settings(summary['base'])}; seeds "
        f"{', '.join(map(str, summary['seeds']))}. Reference: {summary['reference']}.",
        "Measured here, on these data; none of it is a number of the paper.",
        "Test accuracy of settings that were fixed beforehand, after the last epoch. Nothing was chosen on the test "
        "part; choosing the best row would do so, and calls for a held-out part of the training clips.",
        f"sd: over seeds. Differences: seed by seed to the reference, with a paired t test, Holm's correction for "
        f"{counted(max(len(summary['variants']) - 1, 0), 'comparison')} ({LEVEL:g} is the level of the last column), "
        f"and the exact test of all signs{_least(most)}. The choice of test clips is the same everywhere and in no "
        "interval.",
    ]
    if runs["done"] < runs["wanted"]:
        lines.append(f"Not complete: {runs['done']} of {counted(runs['wanted'], 'run')} are there.")
    lines += [f"Failed: {row['variant']}, seed {row['seed']}: {row['error']}" for row in summary["failed"]]
    lines += [f"Untrained encoder: linear {low}{high} %." for low, high in _random(summary)]
    return [*lines, *_made(summary)]


def _least(seeds: int) -> str:
    return f", which cannot be below {2 / 2**seeds:.3g} with {seeds} seeds" if seeds > 1 else ""


def _entries(summary: Mapping[str, Any], measure: str) -> list[dict[str, Any]]:
    if measure not in MEASURE_NAMES:
        raise InputError(f"There is no measure {measure!r}; there are: {', '.join(MEASURE_NAMES)}.")
    return list(summary["measures"][measure])


def _settings(base: Mapping[str, Any]) -> str:
    return f" with {', '.join(f'{key} {value}' for key, value in base.items())}" if base else ""


def _random(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    values = [floors["random_linear"] for floors in summary["floors"].values() if floors["random_linear"] is not None]
    if not values:
        return []
    low, high = f"{min(values):.1f}", f"{max(values):.1f}"
    return [(low, "" if low == high else f" to {high}")]


def _made(summary: Mapping[str, Any]) -> list[str]:
    """Commit, time and machine."""
    if not summary["time"]:
        return []
    seconds = [value for value in summary["seconds"].values() if value is not None]
    machines = [
        f"{env.get('device')}, {env.get('system')} {env.get('machine')}, {counted(env.get('threads', 1), 'thread')}, "
        f"torch {env.get('torch')}, hiclr {env.get('hiclr')}"
        for env in summary["environments"]
    ]
    span = f"{duration(min(seconds))} to {duration(max(seconds))}"
    return [
        f"Commit {', '.join(summary['commits']) or 'not known'}; {summary['time'][0]} to {summary['time'][1]}; "
        f"{'; '.join(dict.fromkeys(machines))}. Training took {span} a run."
    ]


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    d = entry["difference"]
    sd = "" if entry["sd"] is None else f" ± {entry['sd']:.1f}"
    mean = "-" if entry["mean"] is None else f"{entry['mean']:.1f}{sd}"
    if d is None:
        return entry["variant"], str(entry["n"]), mean, "-", "-", "-", "-", "the reference"
    difference = "-" if d["mean"] is None else f"{d['mean']:+.1f}"
    if d["low"] is not None:
        difference += f" ({d['low']:+.1f} to {d['high']:+.1f})"
    return (entry["variant"], str(entry["n"]), mean, difference, _p(d["p_t"]), _p(d["p_holm"]), _p(d["p_signs"]),
            d["verdict"])  # fmt: skip


def _p(value: float | None) -> str:
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _aligned(head: Sequence[str], rows: Any) -> str:
    cells = [list(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])
