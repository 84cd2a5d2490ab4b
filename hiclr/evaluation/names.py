"""What figures are called where people read them: in answers, tables, figures, cards."""

from hiclr.evaluation.corruptions import CORRUPTIONS
from hiclr.evaluation.floors import RAW, UNTRAINED

__all__ = ["LOST", "RANDOM_ENCODER", "RAW_DISTANCES", "figure_name"]

RANDOM_ENCODER, RAW_DISTANCES = "random encoder", "raw 1-NN"
"""What floors are called where people read of them."""

LOST = "drop "
"""How the measure of a kind of damage begins: the mean change in points over its severities."""

_CALIBRATION = {
    "ece": "ECE of the linear probe",
    "aece": "adaptive ECE of the linear probe",
    "ece_before": "ECE, probe on part of train",
    "aece_before": "adaptive ECE, probe on part of train",
    "ece_after": "ECE, part of train, temperature fitted",
    "aece_after": "adaptive ECE, part of train, temperature fitted",
}
_PROBES = {
    "linear": "linear",
    "linear-hiclr": "linear, HiCLR's SGD",
    "linear-actclr": "linear, ActCLR's SGD",
    "linear-mamp": "linear, MAMP's SGD",
    "linear-sgd": "linear, SGD, chosen rate",
    "knn": "kNN",
    "knn-projection": "kNN on projections",
}


def figure_name(protocol: str, measure: str) -> str:
    """What a row of results is called where people read it: ("knn", "5") is "kNN, k = 5", and ("baseline",
    "random_knn_5") is "random encoder, kNN, k = 5"."""
    if (protocol, measure) == ("baseline", RAW):
        return RAW_DISTANCES
    if protocol == "baseline" and measure in UNTRAINED:
        return f"{RANDOM_ENCODER}, {figure_name(*UNTRAINED[measure])}"
    if protocol == "calibration":
        return _CALIBRATION.get(measure, measure)
    if protocol == "robustness" and measure.removeprefix(LOST) in CORRUPTIONS:
        return f"points lost, {CORRUPTIONS[measure.removeprefix(LOST)].title}"
    if measure.isdigit():
        measure = f"k = {measure}"
    elif measure.startswith("top") and measure[3:].isdigit():
        measure = f"top-{measure[3:]}"
    return f"{_PROBES.get(protocol, protocol)}, {measure}"
