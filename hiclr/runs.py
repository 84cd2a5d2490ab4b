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

import hashlib
import html
import io
import json
import logging
import math
import os
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

import hiclr
from hiclr.errors import InputError

__all__ = [
    "Row",
    "Run",
    "environment",
    "launched_ranks",
    "load_run",
    "open_run",
    "pick_device",
    "watch",
    "write_atomically",
    "write_json",
]

Row = dict[str, Any]

_SLOTS = ("checkpoint-a.pt", "checkpoint-b.pt")
_FREE = ("device", "knn_every", "save_minutes")  # settings that change no weight: they may differ when a run goes on
_EXACT = ("torch", "numpy", "threads", "device", "machine", "ranks")  # other values: the same up to rounding only

_OWNER = "lock.pid"
_SILENT = 900  # seconds without a sign of life of a process on another machine
# what a writer that was killed leaves; results and features are written by others, at the same time perhaps
_WRITERS = ("checkpoint-*", "config.json", "data.json", "environment.json", "not-finite.json", _OWNER)

_LONG = 60  # characters of a value that a message shows

_say = logging.getLogger(__name__)
_held: dict[Path, FileLock] = {}  # the runs that this process writes; the latest holder is the valid one


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: temporary file in the same folder, fsync, rename.

    Raises:
        InputError: the folder is full or may not be written; an older file of that name is untouched.
    """
    temporary = None
    try:
        # 40 characters at most: with a name as long as the system allows there would be no room for more
        prefix = f".{path.name[:40]}."
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=prefix, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0
        raise InputError(
            f"{path.name} could not be written into {path.parent} ({error.strerror or error}): it takes "
            f"{len(data):,} bytes and {free:,} are free. What was there before is untouched."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system lets a folder be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(value: Any) -> Any:
    """The same value in JSON's types; a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, (np.generic, Tensor)):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically; NaN and infinities become null."""
    write_atomically(path, _json_bytes(value, indent=2))


def _json_bytes(value: Any, indent: int | None = None) -> bytes:
    """JSON with a line end, as UTF-8; a file name that is no text in the system's encoding as JSON's own escapes."""
    return (json.dumps(_plain(value), indent=indent, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}. Use a new folder, or put the file back.") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold one JSON object, it holds a {type(value).__name__}.")
    return value


def _commit() -> str | None:
    """The commit of the code that runs, "-dirty" when it was changed since; None outside a clone."""
    home, git = Path(hiclr.__file__).parent.parent, shutil.which("git")
    if git is None or not (home / ".git").exists():
        return None
    command = [git, "-C", str(home), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or None


def launched_ranks() -> tuple[int, int]:
    """(rank of this process, number of processes) as torchrun started them; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def pick_device(name: str, quiet: bool = False) -> torch.device:
    """The device of this name, or the CPU, which is said, where it is missing. "auto": the GPU where there is one.

    Raises:
        InputError: no name of a device.
    """
    if "," in name or name.isdecimal():
        raise InputError(
            f"device names one device; it is {name!r}. Several are used by several processes: "
            "torchrun --nproc-per-node=2 -m hiclr pretrain … (with --device cuda, or left out)."
        )
    kind, _, number = name.partition(":")
    kind = {"gpu": "cuda"}.get(kind, kind)
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind not in ("cpu", "cuda", "mps") or not (number or "0").isdecimal():
        raise InputError(f"device must be auto, cpu, cuda, cuda:1 or mps; it is {name!r}.")
    there = {
        "cpu": True,
        "cuda": torch.cuda.device_count() > int(number or 0),
        "mps": torch.backends.mps.is_available(),
    }
    if not there[kind]:
        if not quiet:
            _say.warning("There is no device %s here: computing on the CPU.", name)
        kind = "cpu"
    return torch.device(kind, int(number or 0)) if kind == "cuda" else torch.device(kind)


def environment(device: str = "cpu") -> dict[str, Any]:
    """What a result may depend on besides settings and data; no environment variables, user or host names."""
    used = pick_device(device, quiet=True)
    return {
        "hiclr": hiclr.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(used) if used.type == "cuda" else used.type,
        "system": platform.system(),
        "machine": platform.machine(),
        "ranks": launched_ranks()[1],
    }


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
    _next_slot: str | None = field(default=None, repr=False)

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
                file.write(_json_bytes(row))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"{path} could not be extended ({error.strerror or error}).") from error

    def note(self, progress: Mapping[str, Any]) -> None:
        """Put down how far the epoch under way is; no error on a full disk, which a checkpoint finds out."""
        self._must_hold()
        beside = self.path / ".progress.json.tmp"
        with suppress(OSError):
            beside.write_text(json.dumps(_plain(progress)) + "\n", encoding="utf-8")
            beside.replace(self.path / "progress.json")

    def progress(self) -> dict[str, Any] | None:
        """How far the epoch under way is: "epoch" (the one under way, from 1), "step", "steps" (of all epochs),
        "clips_per_s", "seconds_left"; None where nobody writes this run."""
        if self.writer() is None:
            return None
        with suppress(OSError, ValueError):
            found = json.loads((self.path / "progress.json").read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else None
        return None

    def writer(self) -> str | None:
        """Who writes this run, as "process 12 on HOST"; None where nobody does, as far as can be told.

        A process on another machine is taken to live for a quarter of an hour after its last sign.
        """
        with suppress(OSError, ValueError, IndexError):
            text = (self.path / _OWNER).read_text(encoding="utf-8").strip()
            _, number, _, host = text.split()
            if host == socket.gethostname():
                return text if _lives(int(number)) else None
            signs = (self.path / name for name in (_OWNER, "progress.json", "metrics.jsonl"))
            latest = max(sign.stat().st_mtime for sign in signs if sign.exists())
            return text if time.time() - latest < _SILENT else None
        return None

    def save(self, state: Mapping[str, Any], epoch: int, steps: int = 0, later: int = 0) -> None:
        """Write a checkpoint over the older of the two generations.

        Args:
            state: nested dict of tensors, numbers and strings: what `torch.load(weights_only=True)` reads back.
            epoch: epochs done.
            steps: steps done of the next one. The generation with the higher numbers is the newer one.
            later: bytes that checkpoints after this one take more; of the first one only, which asks for the room.

        Raises:
            InputError: a tensor is not finite, or the folder is full; the other generation is untouched.
        """
        self._must_hold()
        bad = next(_not_finite(state), None)
        if bad is not None:
            raise InputError(f"{bad} holds NaN or infinity after epoch {epoch}: no checkpoint of it is written.")
        buffer = io.BytesIO()
        torch.save({"epoch": epoch, "steps": steps, "state": dict(state)}, buffer)
        data = buffer.getvalue()
        if epoch == steps == 0:
            self._must_fit(len(data) + later)
        if self._next_slot is None:
            newest = max(self._read_slots()[0], default=((-1, 0), _SLOTS[1], {}), key=lambda entry: entry[0])
            self._next_slot = _other(newest[1])
        target = self.path / self._next_slot
        digest = hashlib.sha256(data).hexdigest()
        # The digest goes first: a crash between the two leaves a pair that does not match, beside one that does.
        write_atomically(target.with_suffix(".pt.sha256"), f"{digest}  {target.name}\n".encode())
        write_atomically(target, data)
        if hashlib.sha256(target.read_bytes()).hexdigest() != digest:
            raise InputError(f"{target} does not hold what was written into it; the storage is at fault.")
        self._next_slot = _other(target.name)

    def latest(self) -> tuple[dict[str, Any], int] | None:
        """(state, epoch) of the newest checkpoint that is whole, tensors on the CPU; None when none was written.

        A damaged newest generation is named in the log and the one before it is taken.

        Raises:
            InputError: checkpoints exist and none is whole.
        """
        good, damaged = self._read_slots()
        for fault in damaged:
            _say.warning("%s", fault)
        if not good:
            if damaged:
                raise InputError(
                    f"No checkpoint of {self.path} is usable. {' '.join(damaged)} "
                    "Put a copy back, or start again in a new folder; nothing was overwritten."
                )
            return None
        (epoch, _), slot, state = max(good, key=lambda entry: entry[0])
        if damaged:
            _say.warning("Taking %s (epoch %d) instead.", slot, epoch)
        self._next_slot = _other(slot)
        return state, epoch

    @property
    def begun(self) -> bool:
        """Whether there is a whole checkpoint that a step led to."""
        return any(number > (0, 0) for number, _, _ in self._read_slots()[0])

    @property
    def finished(self) -> bool:
        """Whether the newest checkpoint is that of the last epoch."""
        latest = self.latest()
        return latest is not None and latest[1] >= int(self.config.get("epochs", math.inf))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only writer. A loop of this very process that was left hanging (an interrupted cell) gives way.

        Raises:
            InputError: another process writes to this run; its process id is named.
        """
        key = self.path.resolve()
        if key in _held:
            _held.pop(key).release(force=True)
        lock = self._lock = _held[key] = _acquire(self.path)
        try:
            for name in _WRITERS:
                for leftover in self.path.glob(f".{name}.*.tmp"):
                    leftover.unlink(missing_ok=True)
            yield
        finally:
            if _held.get(key) is lock:
                _held.pop(key)
                for name in (_OWNER, "progress.json"):
                    with suppress(OSError):
                        (self.path / name).unlink(missing_ok=True)
                lock.release(force=True)
            if self._lock is lock:
                self._lock = None

    def _must_hold(self) -> None:
        if self._lock is not None and _held.get(self.path.resolve()) is not self._lock:
            raise InputError(f"This loop no longer writes {self.path}: a later one of the same process took over.")

    def _must_fit(self, size: int) -> None:
        free = shutil.disk_usage(self.path).free
        if free < 3 * size:
            raise InputError(
                f"{self.path} is too small: a checkpoint takes {size:,} bytes, three times that is needed, "
                f"{free:,} are free. Choose another folder."
            )

    def _read_slots(self) -> tuple[list[tuple[tuple[int, int], str, dict[str, Any]]], list[str]]:
        """The whole generations as ((epoch, steps), file, state), and a sentence for each damaged one."""
        good, damaged = [], []
        for slot in _SLOTS:
            if (self.path / slot).exists():
                try:
                    number, state = _read_checkpoint(self.path / slot)
                    good.append((number, slot, state))
                except Exception as error:  # a torn file raises nearly anything
                    damaged.append(f"{slot} is damaged ({error}).")
        return good, damaged

    def summary(self) -> dict[str, str]:
        """What the run is, as label -> text."""
        rows = self.metrics()
        done = rows[-1]["epoch"] if rows else 0
        text = {"epochs": f"{done} of {self.config.get('epochs', '?')}"}
        if rows:
            last = {k: v for k, v in rows[-1].items() if k in ("loss", "info_nce", "knn_1") and v is not None}
            text |= {key: f"{value:.3f}" for key, value in last.items()}
        for key in ("preset", "views", "branches", "frames", "stream", "seed"):
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


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True  # somebody else's
    except OSError:
        return False
    return True


def _other(slot: str) -> str:
    return _SLOTS[1 - _SLOTS.index(slot)]


def _read_checkpoint(path: Path) -> tuple[tuple[int, int], dict[str, Any]]:
    data = path.read_bytes()
    beside = path.with_suffix(".pt.sha256")
    wanted = beside.read_text(encoding="utf-8").split()[0] if beside.exists() else ""
    if hashlib.sha256(data).hexdigest() != wanted:
        raise InputError("its SHA-256 is not the one beside it" if wanted else f"{beside.name} is missing")
    content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return (int(content["epoch"]), int(content.get("steps", 0))), content["state"]


def _not_finite(value: Any, name: str = "state") -> Iterator[str]:
    """Names of the tensors in a nested state that hold NaN or infinity."""
    if isinstance(value, Tensor):
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            yield name
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _not_finite(entry, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            yield from _not_finite(entry, f"{name}.{index}")


def _drop_torn_line(path: Path) -> None:
    """Cut what a crash left after the last line end: the one exception to append-only, and no whole row."""
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        _say.warning("The last line of %s is incomplete (an earlier stop) and is dropped.", path.name)
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)


def _acquire(folder: Path) -> FileLock:
    lock, owner = FileLock(folder / "lock", thread_local=False), folder / _OWNER
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{folder} is being written by {_owner(owner)}. Wait for it, stop it, or choose another run folder."
        ) from None
    except OSError as error:
        raise InputError(f"{folder} may not be written ({error.strerror or error}). Choose another folder.") from error
    try:
        write_atomically(owner, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    except InputError:
        lock.release(force=True)
        raise
    return lock


def _owner(path: Path) -> str:
    """Who holds the lock, as it wrote down itself; it may not have come to that yet."""
    with suppress(OSError):
        return path.read_text(encoding="utf-8").strip()
    return "another process"


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], free: Collection[str]) -> list[str]:
    """Lines "field: old -> new" for every field that differs."""
    unset = "(not set)"
    keys = [*old, *(key for key in new if key not in old)]
    return [
        f"{key}: {_short(old.get(key, unset))} -> {_short(new.get(key, unset))}"
        for key in keys
        if key not in free and old.get(key, unset) != new.get(key, unset)
    ]


def _short(value: Any) -> str:
    """A value in a line: of a long list or mapping the number of entries."""
    text = str(value)
    if len(text) <= _LONG:
        return text
    return f"{len(value)} entries" if isinstance(value, list | tuple | Mapping) else f"{text[:_LONG]}…"


def _data_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What of the data changed, in words where a digest alone would say nothing."""
    if old.get("fingerprint") == new.get("fingerprint"):
        return []
    derived = ("fingerprint", "digest", "scale")  # they say that something changed, not what
    plain = [key for key in new if not str(key).endswith(derived)]
    found = _differences({k: old.get(k) for k in plain}, {k: new[k] for k in plain}, free=())
    if old.get("names_digest") != new.get("names_digest"):
        same = old.get("sorted_names_digest") == new.get("sorted_names_digest")
        found.append("clips: in another order" if same else "clips: other names")
    elif old.get("labels_digest") != new.get("labels_digest"):
        found.append("labels: at least one changed")
    elif old.get("subjects_digest") != new.get("subjects_digest"):
        found.append("subjects: at least one changed")
    return found or ["positions or layout: at least one value changed"]


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
    settings: dict[str, Any] = _plain(config)
    described: dict[str, Any] = _plain(data)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The run folder {folder} cannot be made ({error.strerror or error}).") from error
    now = _plain(environment(str(settings.get("device", "cpu"))))
    if not (folder / "config.json").exists():
        return _create(folder, settings, described, now)
    run = load_run(folder)
    changed = _differences(run.config, settings, _FREE)
    if changed:
        raise InputError(
            f"{folder} holds a run with other settings: {'; '.join(changed)}. Use those, or choose a new run folder."
        )
    changed = _data_differences(run.data, described)
    if changed:
        raise InputError(
            f"{folder} was trained on other data: {'; '.join(changed)}. Give the same data, or choose a new run folder."
        )
    run.config = settings
    _compare_environment(run, now)
    return run


def _create(folder: Path, config: dict[str, Any], data: dict[str, Any], now: dict[str, Any]) -> Run:
    orphans = [name for name in (*_SLOTS, "metrics.jsonl") if (folder / name).exists()]
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
    changed = _differences(before, now, free=[key for key in {*before, *now} if key not in _EXACT])
    if changed and run.begun and not run.finished:
        _say.warning("The run goes on, but not bit-exact: %s.", "; ".join(changed))
        run.environment["continued"] = [*run.environment.get("continued", []), now]
        write_json(run.path / "environment.json", run.environment)


def load_run(path: Path | str) -> Run:
    """An existing run, to read.

    Raises:
        InputError: the folder is no run, or one of its files cannot be read.
    """
    folder = Path(path)
    if not (folder / "config.json").is_file():
        what = "does not exist" if not folder.exists() else "holds no config.json"
        raise InputError(f"{folder} {what}; a run is the folder that `hiclr pretrain --out` made.")
    parts = {name: folder / f"{name}.json" for name in ("config", "data", "environment")}
    config, data, env = ({} if not file.exists() else _read_json(file) for file in parts.values())
    return Run(folder, config, data, env)


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
    while True:
        writing = run.writer() is not None  # asked first, so that a last row is not missed
        rows = run.metrics()
        if len(rows) != shown:
            shown = len(rows)
            yield rows
        if not writing or len(rows) >= int(run.config.get("epochs", 0)):
            return
        time.sleep(seconds)
