"""An ablation on disk: the runs of a grid over seeds, and their results in one file.

study.json                 the grid, seeds and data
results.jsonl              one row per run: accuracies on the test part, or what it failed with
earlier.jsonl              rows that were there and that the grid no longer asks for, see `put_aside`
<variant>/seed-<n>/        the run folders
log/worker-<n>.txt         what the processes said
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from hiclr.ablation.earlier import put_aside
from hiclr.ablation.grid import Grid
from hiclr.datasets import SkeletonSet
from hiclr.errors import InputError
from hiclr.evaluation import results_path
from hiclr.evaluation.floors import RAW, UNTRAINED
from hiclr.pretraining import PretrainConfig, check_trainable, describe
from hiclr.runs import Row, load_run, write_atomically, write_json
from hiclr.runs.differences import CHANGE_NO_WEIGHT, data_differences, differences
from hiclr.runs.writing import json_bytes, plain, read_json

__all__ = ["FLOORS", "MEASURES", "Study", "Trial", "read_study"]

MEASURES = {
    "linear": ("linear", "top1"),
    "knn_1": ("knn", "1"),
    "knn_20": ("knn", "20"),
}
"""What is compared -> where `evaluate` has it."""
FLOORS = (RAW, *(floor for floor, like in UNTRAINED.items() if like in MEASURES.values()))
"""What that has to beat, as `evaluate` names it."""


@dataclass(frozen=True)
class Trial:
    """One run of a study.

    Args:
        variant: its name.
        seed: of the run.
        folder: of the run.
        config: its settings.
    """

    variant: str
    seed: int
    folder: Path
    config: PretrainConfig

    def __str__(self) -> str:
        return f"{self.variant}, seed {self.seed}"


class Study:
    """The runs of a grid over seeds, in one folder.

    Args:
        folder: made when missing.
        grid: what is compared.
        seeds: of each variant.
        clips: a set with a train and a test part.
        split: the set's protocol; its first when left out.

    `aside` is the number of rows that were put aside so far, see `put_aside`.

    Raises:
        InputError: no test part, or settings that no run on these clips could have.
    """

    def __init__(
        self, folder: Path | str, grid: Grid, seeds: Sequence[int], clips: SkeletonSet, split: str | None = None
    ) -> None:
        self.folder, self.grid, self.seeds, self.clips, self.split = Path(folder), grid, tuple(seeds), clips, split
        self.train, test = clips.split(split)
        self.aside = 0
        for variant in grid.variants:
            try:
                check_trainable(variant.config, self.train)
            except InputError as error:
                raise InputError(f"Variant {variant.name!r}: {error}") from error
        self.data = {
            "source": clips.source,
            "synthetic": clips.synthetic,
            "fingerprint": clips.fingerprint,
            "protocol": clips.protocol if split is None else split,
            "train": len(self.train),
            "test": len(test),
            "classes": clips.num_classes,
        }

    @property
    def trials(self) -> list[Trial]:
        """All runs, seed by seed, so that variants can be compared before all seeds are through."""
        return [
            Trial(v.name, seed, self.folder / v.slug / f"seed-{seed}", replace(v.config, seed=seed))
            for seed in self.seeds
            for v in self.grid.variants
        ]

    def open(self) -> None:
        """Make the folder, or take the one that is there.

        Raises:
            InputError: it holds runs with other settings or other data (what differs is named; nothing is
                changed), or may not be written.
        """
        for trial in self.trials:
            self._check_same(trial)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {self.folder} cannot be made ({error.strerror or error}).") from error

    def _check_same(self, trial: Trial) -> None:
        if not (trial.folder / "config.json").is_file():
            return
        run = load_run(trial.folder)
        kept = trial.config.kept(run.config).to_dict()
        changed = differences(plain(kept), plain(trial.config.to_dict()), CHANGE_NO_WEIGHT)
        if not changed and run.data.get("fingerprint") != self.train.fingerprint:
            changed = data_differences(run.data, plain(describe(self.train)))
        if changed:
            raise InputError(
                f"{trial.folder} was made by another grid or from other data: {'; '.join(changed)}. "
                "Give the same ones, or choose another --out."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who runs this study, and say in study.json what it is.

        Raises:
            InputError: somebody else does; what is there is left as it is.
        """
        lock = FileLock(self.folder / "lock", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{self.folder} is being worked on by another process. Wait for it, or stop it.") from None
        try:
            self.aside += put_aside(self.folder, self._finished(), tuple(MEASURES))
            about = {**self.grid.to_dict(), "seeds": list(self.seeds), "data": self.data}
            write_json(self.folder / "study.json", about)
            yield
        finally:
            lock.release()

    def row(self, trial: Trial) -> Row | None:
        """What a finished and evaluated run gave; None for any other."""
        if not (trial.folder / "config.json").is_file():
            return None
        run = load_run(trial.folder)
        path = results_path(run, self.clips, self.split)
        result = read_json(path) if path.is_file() else {}
        data = {
            "fingerprint": self.data["fingerprint"],
            "protocol": self.data["protocol"],
            "epoch": trial.config.epochs,
        }
        if any(result.get(key) != value for key, value in data.items()):
            return None
        if not all(key in result.get(protocol, {}) for protocol, key in MEASURES.values()):
            return None
        trained = run.environment
        return {
            "variant": trial.variant,
            "seed": trial.seed,
            **{name: result[protocol][key] for name, (protocol, key) in MEASURES.items()},
            **{name: result["baseline"].get(name) for name in FLOORS},
            "epochs": trial.config.epochs,
            "seconds": round(sum(row["seconds"] for row in run.metrics()), 1),
            "time": result["time"],
            "commit": trained.get("commit"),
            "environment": {key: value for key, value in trained.items() if key not in ("commit", "continued")},
        }

    def _finished(self) -> list[Row]:
        return [row for row in map(self.row, self.trials) if row is not None]

    def write(self, failed: Mapping[Trial, str]) -> list[Row]:
        """Put the rows of all runs that are through, and of those that failed, into results.jsonl; the rows."""
        rows = []
        for trial in self.trials:
            row = self.row(trial)
            if row is None and trial in failed:
                row = {"variant": trial.variant, "seed": trial.seed, "error": failed[trial]}
            rows += [] if row is None else [row]
        self.aside += put_aside(self.folder, rows, tuple(MEASURES))
        write_atomically(self.folder / "results.jsonl", b"".join(json_bytes(row) for row in rows))
        return rows


def read_study(folder: Path | str) -> tuple[dict[str, Any], list[Row]]:
    """(what study.json holds, the rows of results.jsonl) of an ablation's folder, finished or not.

    Raises:
        InputError: the folder is none.
    """
    place = Path(folder)
    if not (place / "study.json").is_file():
        raise InputError(f"{place} holds no study.json; it is made by `hiclr ablate GRID.toml --out {place}`.")
    path = place / "results.jsonl"
    lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines() if path.is_file() else ()
    try:
        return read_json(place / "study.json"), [json.loads(line) for line in lines]
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}). The same `hiclr ablate` command writes it again.") from error
