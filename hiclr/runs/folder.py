"""A run is a folder that says what it was and holds everything needed to go on exactly.

config.json                    the settings; another setting on the same folder is refused
data.json                      fingerprint and summary of the training set; other data are refused
environment.json               versions, device kind, threads, commit; no user, host or path
metrics.jsonl                  one row per epoch, append-only
progress.json                  how far the epoch under way is, for whoever looks on
checkpoint-a.pt, -b.pt         two generations, each with its SHA-256 beside it
not-finite.json                what was drawn for the clips of the step that stopped the run, where one did
lock, lock.pid                 one writer at a time; the second is there while it writes
"""

import html
import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from hiclr.errors import InputError
from hiclr.runs import owner
from hiclr.runs.checkpoints import SLOTS, Checkpoints
from hiclr.runs.differences import CHANGE_NO_WEIGHT, data_differences, differences
from hiclr.runs.environment import environment
from hiclr.runs.export import FORMAT, read_weights, write_export
from hiclr.runs.rows import Row
from hiclr.runs.snapshots import Snapshot, read_snapshots, write_snapshot
from hiclr.runs.writing import json_bytes, plain, read_json, write_json

__all__ = ["Exported", "Run", "load_run", "open_run", "watch"]

_EXACT = ("torch", "numpy", "threads", "device", "machine", "ranks")  # other values: the same up to rounding only

_say = logging.getLogger(__name__)


@dataclass
class Run:
    """One run folder. Make it with `open_run` (to train) or `load_run` (to read).

    Args:
        path: the folder.
        config: the settings, as in config.json.
        data: what the run was trained on: "fingerprint" and whatever else describes the set.
        environment: what the first start ran on; "continued" lists later starts elsewhere.
    """

    path: Path
    config: dict[str, Any]
    data: dict[str, Any]
    environment: dict[str, Any] = field(default_factory=dict)
    _lock: FileLock | None = field(default=None, repr=False)
    _checkpoints: Checkpoints | None = field(default=None, repr=False)

    @property
    def checkpoints(self) -> Checkpoints:
        """The two generations in the folder."""
        if self._checkpoints is None:
            self._checkpoints = Checkpoints(self.path)
        return self._checkpoints

    def metrics(self) -> list[Row]:
        """One row per epoch, in order; of rows that were written again after a resume, the later one.

        Any process may read while another writes: a last line that is not yet complete is left out.
        """
        rows: list[Row] = []
        path = self.path / "metrics.jsonl"
        for line in path.read_bytes().split(b"\n") if path.exists() else ():
            try:
                row = json.loads(line)
                epoch = row["epoch"]
            except (ValueError, TypeError, KeyError):
                continue  # a line torn by a crash; its epoch is run, and written, again
            while rows and rows[-1]["epoch"] >= epoch:
                rows.pop()
            rows.append(row)
        return rows

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row, with its "epoch", to metrics.jsonl; earlier lines are never touched."""
        if "epoch" not in row:
            raise InputError(f"a row of metrics needs its epoch; it has {sorted(row)}.")
        self._must_hold()
        path = self.path / "metrics.jsonl"
        try:
            _drop_torn_line(path)
            with path.open("ab") as file:
                file.write(json_bytes(row))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"{path} could not be extended ({error.strerror or error}).") from error

    def note(self, progress: Mapping[str, Any]) -> None:
        """Put down how far the epoch under way is; no error on a full disk, which a checkpoint finds out."""
        self._must_hold()
        beside = self.path / f".{owner.PROGRESS}.tmp"
        with suppress(OSError):
            beside.write_bytes(json_bytes(progress))
            beside.replace(self.path / owner.PROGRESS)

    def progress(self) -> dict[str, Any] | None:
        """How far the epoch under way is: "epoch" (the one under way, from 1), "step", "steps" (of all epochs),
        "clips_per_s", "seconds_left"; None where nobody writes this run."""
        if self.writer() is None:
            return None
        with suppress(OSError, ValueError):
            found = json.loads((self.path / owner.PROGRESS).read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else None
        return None

    def writer(self) -> str | None:
        """Who writes this run, as "process 12 on HOST"; None where nobody does, as far as can be told."""
        return owner.writer(self.path)

    def save(self, state: Mapping[str, Any], epoch: int, steps: int = 0, later: int = 0) -> None:
        """Write a checkpoint: `Checkpoints.save`, by the one process that may."""
        self._must_hold()
        self.checkpoints.save(state, epoch, steps, later)

    def latest(self) -> tuple[dict[str, Any], int] | None:
        """(state, epoch) of the newest checkpoint that is whole: `Checkpoints.latest`."""
        return self.checkpoints.latest()

    def trained(self) -> tuple[dict[str, Any], int]:
        """The same of a run that must have one.

        Raises:
            InputError: no checkpoint yet.
        """
        latest = self.latest()
        if latest is None:
            raise InputError(f"{self.path} holds no checkpoint yet; pretrain first.")
        return latest

    def keep(self, snapshot: Snapshot) -> None:
        """Write a snapshot, by the one process that may: `write_snapshot`."""
        self._must_hold()
        write_snapshot(self.path, snapshot)

    def snapshots(self) -> list[Snapshot]:
        """What the run keeps of its features through training, by epoch; none unless it was told to."""
        return read_snapshots(self.path)

    @property
    def finished(self) -> bool:
        """Whether the newest checkpoint is that of the last epoch."""
        latest = self.latest()
        return latest is not None and latest[1] >= int(self.config.get("epochs", math.inf))

    def export(self, folder: Path | str, licence: str | None = None) -> Path:
        """Write the newest weights, what they are and a model card into a folder to pass on; `hiclr.load` reads it.

        Args:
            folder: new, empty, or an earlier export, which is written over.
            licence: of the data, for the card.

        Returns:
            The folder.

        Raises:
            InputError: no checkpoint yet, or a folder that holds something else.
        """
        state, epoch = self.trained()
        write_export(Path(folder), state["model"], self._description(epoch, licence))
        return Path(folder)

    def _description(self, epoch: int, licence: str | None) -> dict[str, Any]:
        rows = [row for row in self.metrics() if row["epoch"] <= epoch]
        watched = [row for row in rows if row.get("knn_1") is not None]
        metrics = {"last": rows[-1] if rows else None, "best": max(watched, key=lambda row: row["knn_1"], default=None)}
        results = [read_json(path) for path in sorted(self.path.glob("results*.json"))]
        return {
            "run": self.path.resolve().name,
            "settings": {key: value for key, value in self.config.items() if key != "device"},
            "data": self.data,
            "environment": self.environment,
            "epoch": epoch,
            "metrics": metrics,
            "evaluation": [result for result in results if result.get("epoch") == epoch and "data" in result],
            "licence": licence,
        }

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only writer: `owned`."""
        with owner.owned(self.path) as lock:
            self._lock = lock
            try:
                yield
            finally:
                if self._lock is lock:
                    self._lock = None

    def _must_hold(self) -> None:
        if self._lock is not None and not owner.holds(self.path, self._lock):
            raise InputError(f"This loop no longer writes {self.path}: a later one of the same process took over.")

    def summary(self) -> dict[str, str]:
        """What the run is, as label -> text."""
        rows = self.metrics()
        done = rows[-1]["epoch"] if rows else 0
        text = {"epochs": f"{done} of {self.config.get('epochs', '?')}"}
        if rows:
            last = {k: v for k, v in rows[-1].items() if k in ("loss", "info_nce", "knn_1") and v is not None}
            text |= {key: f"{value:.3f}" for key, value in last.items()}
        for key in ("preset", "method", "views", "branches", "frames", "stream", "seed"):
            if key in self.config:
                text[key] = str(self.config[key])
        text["data"] = str(self.data.get("source", self.data.get("fingerprint", "?")))
        return text

    def __repr__(self) -> str:
        return f"Run {self.path.name!r}: " + "; ".join(f"{key} {value}" for key, value in self.summary().items())

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(key)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for key, value in self.summary().items()
        )
        return f"<b>Run</b> {html.escape(self.path.name)}<table>{cells}</table>"


class Exported(Run):
    """An exported model in the place of a run: to encode and to evaluate with, never to train.

    Its newest weights are the only ones, its metrics the last row.
    """

    description: dict[str, Any]

    @classmethod
    def open(cls, folder: Path, description: dict[str, Any]) -> "Exported":
        """The folder with this config.json."""
        try:
            model = cls(folder, dict(description["settings"]), description["data"], description["environment"])
            model.description = description
            model.description["epoch"] = int(description["epoch"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{folder / 'config.json'} is incomplete ({error!r}). Export the model again.") from error
        return model

    def latest(self) -> tuple[dict[str, Any], int]:
        """({"model": weights}, epoch).

        Raises:
            InputError: the weights are damaged or not those that config.json was written for.
        """
        return {"model": read_weights(self.path, self.description)}, self.description["epoch"]

    def metrics(self) -> list[Row]:
        """The last row of the run, where there was one."""
        last = self.description.get("metrics", {}).get("last")
        return [last] if last else []

    def writer(self) -> str | None:
        """Nobody."""
        return None

    def _description(self, epoch: int, licence: str | None) -> dict[str, Any]:
        own = super()._description(epoch, licence or self.description.get("licence"))
        names = [key for key in ("run", "metrics", "origin") if key in self.description]
        kept: dict[str, Any] = {key: self.description[key] for key in names}
        return {**own, **kept, "evaluation": own["evaluation"] or self.description.get("evaluation")}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Never: nothing is trained here."""
        self._must_hold()
        yield

    def _must_hold(self) -> None:
        raise InputError(f"{self.path} is an exported model: nothing is trained in it. Choose another run folder.")


def _drop_torn_line(path: Path) -> None:
    """Cut what a crash left after the last line end: the one exception to append-only, and no whole row."""
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        _say.warning("The last line of %s is incomplete (an earlier stop) and is dropped.", path.name)
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)


def open_run(path: Path | str, config: Mapping[str, Any], data: Mapping[str, Any]) -> Run:
    """The run in this folder: a new one, or the one that is there when its settings and data are these.

    Args:
        path: the folder; made when missing. Other files in it are left alone.
        config: the settings, plain values. Its "device" goes into environment.json.
        data: describes the training set; "fingerprint" decides, the rest makes a difference readable.

    Raises:
        InputError: another setting or other data (each difference as "field: old -> new"), checkpoints without
            their config.json, or a folder that may not be written.
    """
    folder = Path(path)
    settings: dict[str, Any] = plain(config)
    described: dict[str, Any] = plain(data)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The run folder {folder} cannot be made ({error.strerror or error}).") from error
    now = plain(environment(str(settings.get("device", "cpu"))))
    if not (folder / "config.json").exists():
        return _create(folder, settings, described, now)
    run = load_run(folder)
    if isinstance(run, Exported):
        run._must_hold()
    changed = differences(run.config, settings, CHANGE_NO_WEIGHT)
    if changed:
        raise InputError(
            f"{folder} holds a run with other settings: {'; '.join(changed)}. Use those, or choose a new run folder."
        )
    changed = data_differences(run.data, described)
    if changed:
        raise InputError(
            f"{folder} was trained on other data: {'; '.join(changed)}. Give the same data, or choose a new run folder."
        )
    run.config = settings
    _compare_environment(run, now)
    return run


def _create(folder: Path, config: dict[str, Any], data: dict[str, Any], now: dict[str, Any]) -> Run:
    orphans = [name for name in (*SLOTS, "metrics.jsonl") if (folder / name).exists()]
    if orphans:
        raise InputError(
            f"{folder} holds {', '.join(orphans)} but no config.json, so nobody can say what they are. "
            "Put config.json back, or choose a new run folder."
        )
    run = Run(folder, config, data, now)
    with run.locked():
        write_json(folder / "environment.json", now)
        write_json(folder / "data.json", data)
        write_json(folder / "config.json", config)  # last: a folder with it is a run
    return run


def _compare_environment(run: Run, now: dict[str, Any]) -> None:
    """Say, and write down, that a run goes on somewhere else."""
    past = [run.environment, *run.environment.get("continued", [])]
    before = {key: value for start in past for key, value in start.items() if key != "continued"}
    changed = differences(before, now, free=[key for key in {*before, *now} if key not in _EXACT])
    if changed and run.checkpoints.begun and not run.finished:
        _say.warning("The run goes on, but not bit-exact: %s.", "; ".join(changed))
        run.environment["continued"] = [*run.environment.get("continued", []), now]
        write_json(run.path / "environment.json", run.environment)


def load_run(path: Path | str) -> Run:
    """An existing run, to read; or an exported model, see `Exported`.

    Raises:
        InputError: the folder is no run, or one of its files cannot be read.
    """
    folder = Path(path)
    if not (folder / "config.json").is_file():
        what = "does not exist" if not folder.exists() else "holds no config.json"
        raise InputError(f"{folder} {what}; a run is the folder that `hiclr pretrain --out` made.")
    parts = {name: folder / f"{name}.json" for name in ("config", "data", "environment")}
    config, data, env = ({} if not file.exists() else read_json(file) for file in parts.values())
    return Exported.open(folder, config) if config.get("format") == FORMAT else Run(folder, config, data, env)


def watch(path: Path | str, seconds: float = 2.0) -> Iterator[list[Row]]:
    """The rows of a run that another process trains: all of them at once, and again whenever one is added.

    Reading disturbs nobody. Ends when the run is finished, or when the process that writes it is gone.

    Args:
        path: the run folder.
        seconds: between two looks.

    Yields:
        The rows so far, as `Run.metrics` gives them; `Run.progress` says how far the epoch under way is.

    Raises:
        InputError: the folder is no run.
    """
    run, shown = load_run(path), -1
    if isinstance(run, Exported):
        run._must_hold()
    while True:
        writing = run.writer() is not None  # asked first, so that a last row is not missed
        rows = run.metrics()
        if len(rows) != shown:
            shown = len(rows)
            yield rows
        if not writing or len(rows) >= int(run.config.get("epochs", 0)):
            return
        time.sleep(seconds)
