"""Evaluation at the size of NTU RGB+D 60, cross-subject, on generated features: how long each protocol takes.

    python -m benchmarks.run evaluation

Features as an encoder with a ReLU gives them: 256 non-negative numbers that hang together, sixty classes that overlap.
`linear,knn` is what `evaluate --protocol linear,knn` does once features are there, floors on the untrained encoder
and statistics included; the raw floor is left out, for it reads clips, not features.
"""

import os
import resource
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from hiclr.evaluation import DEFAULT, PROTOCOLS, Part, measure
from hiclr.evaluation.rows import bounds_of, statistics_of

TRAIN, TEST, WIDTH, CLASSES = 40_091, 16_487, 256, 60
SUBJECTS = 20
_LEFT_OUT = ("one-shot", "knn-projection")  # the first needs names of NTU RGB+D 120, the second is kNN once more


def part(seed: int, overlap: float = 1.0) -> Part:
    """Features of the train and the test part, and who acts."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(WIDTH, WIDTH)) / np.sqrt(WIDTH) * (np.arange(1, WIDTH + 1) ** -0.7)[:, None]
    centres = rng.normal(size=(CLASSES, WIDTH))

    def some(count: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.integers(0, CLASSES, count)
        inner = 0.25 * centres[y] + overlap * rng.normal(size=(count, WIDTH))
        return np.maximum(3 * inner @ mix + 0.2, 0).astype(np.float32), y

    (train, y_train), (test, y_test) = some(TRAIN), some(TEST)
    who = [rng.integers(0, SUBJECTS, count) for count in (TRAIN, TEST)]
    return Part(train, y_train, test, y_test, CLASSES, subjects_train=who[0], subjects_test=who[1])


def once(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds of one call, the seconds of processor time in it, and how busy the machine was before."""
    load, start, processor = os.getloadavg()[0], time.perf_counter(), time.process_time()
    work()
    seconds = round(time.perf_counter() - start, 2)
    return {"median_s": seconds, "least_s": seconds, "most_s": seconds, "repeat": 1,
            "processor_s": round(time.process_time() - processor, 2), "load_before": round(load, 2)}  # fmt: skip


def asked_for(trained: Part, untrained: Part, names: Sequence[str]) -> None:
    """What `evaluate` does with features that are there."""
    found, _ = measure(trained, names, [])
    measure(untrained, names, [])
    for one in found.values():
        bounds_of(one, TEST)
        statistics_of(one, trained, [str(number) for number in range(CLASSES)])


def rows() -> dict[str, dict[str, float]]:
    """`linear,knn` with its floors first, then every protocol alone; the most memory so far with each."""
    size = f"{TRAIN:,} + {TEST:,} x {WIDTH}"
    one, untrained = part(0), part(1, 2.0)
    found = {f"linear,knn with floors, {size}": once(partial(asked_for, one, untrained, DEFAULT))}
    one = part(0)  # what the first has fitted does not help the others
    for name in PROTOCOLS:
        if name not in _LEFT_OUT:
            row = once(partial(measure, one, [name], []))
            found[f"{name}, {size}"] = row | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    return found
