"""What the runs of an ablation say: means over seeds, and differences to the reference, seed by seed."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.ablation.study import FLOORS, MEASURES
from hiclr.errors import InputError
from hiclr.evaluation import over_seeds
from hiclr.runs import Row

__all__ = ["LEVEL", "over_runs", "paired_seeds", "summarise"]

LEVEL = 0.05
"""Of the tests; intervals are of 1 - LEVEL."""
_EXACT = 16  # pairs up to which all 2^n signs are gone through


def over_runs(values: Sequence[float]) -> dict[str, Any]:
    """Mean of values over seeds, and how sure it is.

    Returns:
        "n", "mean", "sd" (of a single run, with n - 1), "low" and "high" (95 % interval of the mean by Student's t);
        None where n is too small.
    """
    from scipy import stats

    if not values:
        return {"n": 0, "mean": None, "sd": None, "low": None, "high": None}
    mean, sd, _ = over_seeds(values)
    if sd is None:
        return {"n": 1, "mean": mean, "sd": None, "low": None, "high": None}
    half = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1)) * sd / math.sqrt(len(values))
    return {"n": len(values), "mean": mean, "sd": sd, "low": mean - half, "high": mean + half}


def paired_seeds(values: Sequence[float], reference: Sequence[float]) -> dict[str, Any]:
    """Differences of two variants whose runs share their seeds: entry i of both has seed i.

    Returns:
        `over_runs` of the differences; "p_t" (paired t test, two-sided; None where they do not vary or n < 2); and
        "p_signs": the exact test that goes through all 2^n signs of the differences and asks how many give a mean
        as far from 0. It assumes no normal distribution; with n pairs it cannot be below 2 / 2^n ("p_signs_least").

    Raises:
        InputError: not equally many values.
    """
    from scipy import stats

    if len(values) != len(reference):
        raise InputError(f"Pairs are wanted; there are {len(values)} values and {len(reference)} of the reference.")
    d = np.asarray(values, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    found = over_runs(d.tolist())
    n, sd = found["n"], found["sd"]
    p_t = float(2 * stats.t.sf(abs(found["mean"]) / (sd / math.sqrt(n)), n - 1)) if n > 1 and sd > 1e-9 else None
    return {**found, "p_t": p_t, "p_signs": _p_signs(d), "p_signs_least": 2.0 / 2**n if n > 1 else None}


def _p_signs(d: NDArray[np.float64]) -> float | None:
    from scipy import stats

    if len(d) < 2:
        return None
    if len(d) > _EXACT:
        return float(stats.wilcoxon(d).pvalue) if np.any(d) else 1.0
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(d))))
    return float((np.abs(signs @ d) >= abs(d.sum()) - 1e-9).mean())


def _holm(p: Mapping[str, float]) -> dict[str, float]:
    """Adjusted for their number.

    Source: Holm, 1979.
    """
    adjusted, most = {}, 0.0
    for rank, (name, value) in enumerate(sorted(p.items(), key=lambda pair: pair[1])):
        most = max(most, min(1.0, (len(p) - rank) * value))
        adjusted[name] = most
    return adjusted


def summarise(study: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """The table of an ablation as plain values.

    Args:
        study: what study.json holds.
        rows: of results.jsonl; of what `read_study` gives both.

    Returns:
        "grid", "about", "preset", "base", "reference", "seeds", "data" of the study, and

        "measures": {name: [variants ordered by effect]}: each {"variant", "values" {seed: %}, `over_runs`,
        "difference": `paired_seeds` to the reference over the seeds that both have, with "p_holm" (p_t adjusted for the
        number of variants) and "verdict" ("higher", "lower", "not told apart", …); None for the reference},
        "floors": {variant: means of the untrained encoder and of raw nearest neighbours},
        "runs": {"wanted", "done", "failed", "missing"}, "failed": the rows with an "error",
        "seconds": {variant: mean of a run}, "commits", "environments", "time": [first, last].
    """
    names = [variant["name"] for variant in study["variants"]]
    mine = [row for row in rows if row["variant"] in names and row["seed"] in study["seeds"]]
    good, failed = [row for row in mine if "error" not in row], [row for row in mine if "error" in row]
    wanted = len(names) * len(study["seeds"])
    return {
        **{key: study[key] for key in ("grid", "about", "preset", "base", "reference", "seeds", "data", "variants")},
        "measures": {measure: _ordered(names, study["reference"], good, measure) for measure in MEASURES},
        "floors": {name: _floors(name, good) for name in names},
        "runs": {
            "wanted": wanted, "done": len(good), "failed": len(failed), "missing": wanted - len(good) - len(failed)
        },
        "failed": failed,
        "seconds": {name: _mean([row["seconds"] for row in good if row["variant"] == name]) for name in names},
        "commits": sorted({str(row["commit"]) for row in good if row.get("commit")}),
        "environments": _different([row["environment"] for row in good]),
        "time": [min(row["time"] for row in good), max(row["time"] for row in good)] if good else [],
    }  # fmt: skip


def _ordered(names: Sequence[str], reference: str, rows: Sequence[Row], measure: str) -> list[dict[str, Any]]:
    """The variants, the largest difference to the reference first; those without a run last."""
    values = {name: {row["seed"]: float(row[measure]) for row in rows if row["variant"] == name} for name in names}
    found = []
    for name in names:
        both = sorted(set(values[name]) & set(values[reference]))
        difference = paired_seeds([values[name][s] for s in both], [values[reference][s] for s in both])
        seeds = sorted(values[name])
        found.append({
            "variant": name,
            "values": {str(seed): values[name][seed] for seed in seeds},
            **over_runs([values[name][seed] for seed in seeds]),
            "difference": None if name == reference else difference,
        })  # fmt: skip
    others = {entry["variant"]: entry["difference"] for entry in found if entry["difference"]}
    adjusted = _holm({name: d["p_t"] for name, d in others.items() if d["p_t"] is not None})
    for name, d in others.items():
        d["p_holm"] = adjusted.get(name)
        d["verdict"] = _verdict(d)
    return sorted(found, key=_effect)


def _effect(entry: Mapping[str, Any]) -> tuple[bool, float]:
    mean = 0.0 if entry["difference"] is None else entry["difference"]["mean"]
    return mean is None or entry["mean"] is None, -(mean or 0.0)


def _verdict(difference: Mapping[str, Any]) -> str:
    if difference["n"] < 2:
        return "one pair, no test" if difference["n"] else "no pair"
    if difference["p_holm"] is None or difference["p_holm"] >= LEVEL:
        return "not told apart"
    return "higher" if difference["mean"] > 0 else "lower"


def _floors(name: str, rows: Sequence[Row]) -> dict[str, float | None]:
    mine = [row for row in rows if row["variant"] == name]
    return {floor: _mean([row[floor] for row in mine if row.get(floor) is not None]) for floor in FLOORS}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _different(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for entry in entries:
        if entry not in found:
            found.append(entry)
    return found
