"""What a reader of the numbers must know."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hiclr.datasets import SkeletonSet
from hiclr.datasets.base import Ids
from hiclr.evaluation.floors import BESIDE, RAW
from hiclr.evaluation.names import figure_name
from hiclr.evaluation.statistics import ENOUGH_GROUPS
from hiclr.runs import Run

__all__ = ["BELOW", "OTHER_CLIPS", "below_floors", "few_people", "reading_notes"]

BELOW = "Pretraining is not above"
"""How the sentence of `below_floors` begins."""
OTHER_CLIPS = "The encoder was pretrained on other clips than this train part"
"""How that of other clips begins."""


def reading_notes(run: Run, clips: SkeletonSet, train: Ids, epoch: int) -> list[str]:
    """What the run and the clips alone tell: synthetic clips, a run that is not finished, clips that it has seen."""
    notes = []
    if clips.synthetic:
        notes.append("The clips are synthetic: the numbers say nothing about real people.")
    if epoch < int(run.config.get("epochs", epoch)):
        notes.append(f"The run is not finished: {epoch} of {run.config['epochs']} epochs.")
    if run.data.get("fingerprint") != clips.subset(train).fingerprint:
        notes.append(
            f"{OTHER_CLIPS} ({run.data.get('clips', '?')} clips of "
            f"{run.data.get('source', '?')}); it may have seen test clips, without their labels."
        )
    unseen = sorted(set(clips.y.tolist()) - set(clips.y[train].tolist()))
    if unseen:
        notes.append(
            f"No training clip has class {', '.join(clips.classes[c] for c in unseen)}: its test clips count as wrong."
        )
    twins = _twins(clips, train)
    if twins:
        notes.append(f"{twins} test clips are equal to a training clip in every number: they are found by any method.")
    return notes


def _twins(clips: SkeletonSet, train: Ids) -> int:
    """Number of clips outside the train part whose positions also occur in it."""
    hashes = np.empty(len(clips), dtype=np.int64)
    for start in range(0, len(clips), 1024):
        block = clips.clips(slice(start, start + 1024)).numpy()
        hashes[start : start + len(block)] = [hash(clip.tobytes()) for clip in block]
    outside = np.ones(len(clips), dtype=bool)
    outside[train] = False
    return int(np.isin(hashes[outside], hashes[train]).sum())


def below_floors(result: Mapping[str, Any]) -> list[str]:
    """A sentence for the figures of a trained encoder that cost as much without it, if there are any.

    Args:
        result: what `evaluate` found: its "epoch", "baseline" and a part for each protocol.
    """
    found = []
    for floor in (RAW, "random_linear", "random_knn_1"):  # more of k would say the same again
        protocol, measure = BESIDE[floor]
        ours, theirs = result.get(protocol, {}).get(measure), result["baseline"].get(floor)
        if result["epoch"] and ours is not None and theirs is not None and (ours < theirs or ours == theirs < 100):
            found.append(
                f"{figure_name(protocol, measure)} {ours:.2f} ({figure_name('baseline', floor)}: {theirs:.2f})"
            )
    if not found:
        return []
    return [
        f"{BELOW} what can be had without it: {'; '.join(found)}. More epochs are the first thing to try; if its "
        "curves have long been level, look at the augmentations and the layout (notebooks 02 and 03)."
    ]


def few_people(result: Mapping[str, Any]) -> str:
    """A sentence on intervals over subjects that are too few; empty where they are enough, or not known."""
    parts = [part for protocol in result.get("statistics", {}).values() for part in protocol.values()]
    count = max((len(part["per_subject"]) for part in parts), default=0)
    if not 0 < count < ENOUGH_GROUPS:
        return ""
    return f"Drawn from {count} people such an interval is too narrow: take the wider of the two."
