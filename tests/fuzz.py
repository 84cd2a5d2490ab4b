"""Fuzzing of every reader: small whole files are damaged, and whatever opens them must give a clean set or say why not.

    python -m tests.fuzz [--count 20000] [--seed 0] [--formats ntu,zip] [--workers 2] [--keep data/fuzz] [--only 1234]

A try is a failure where anything else than InputError comes out, where it takes more than 5 seconds of the processor
(or 20 on the clock) or 1 GB, where a file is written outside the try's own folder or a program is started, where
positions that open are no positions, where a report is no JSON, or where the process dies. The files of each failure
are kept in a folder with what happened.
Everything hangs on the seed and the number of the try: `--seed S --only N` makes the same try again.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import scipy.spatial  # noqa: F401 - the doctor imports it late; no try is to pay for that

sys.path.insert(0, str(Path(__file__).parent))  # as pytest does

from mutations import ODD_NAMES, mutate, packed_as_zip
from samples import RAW, SAMPLES, Sample

from hiclr.datasets import SkeletonSet, convert, diagnose, diagnosis_text, open_set, report_text
from hiclr.datasets.layout_files import read_layout
from hiclr.datasets.readers.unpickling import safe_loads
from hiclr.errors import InputError

__all__ = ["BROKEN", "FORMATS", "Bench", "Outcome", "Tries", "Try", "fuzz", "make_try", "table"]

FORMATS = (*SAMPLES, "zip")
SECONDS = 5.0
MEMORY = 2**30  # bytes that a try may take beside what the process has
_WAITED = 4 * SECONDS  # on the clock: others may be at work on the machine
_STUCK = 2 * _WAITED  # after which a process that does not even hear the alarm is ended
_FAR = 1e4  # metres


@dataclass(frozen=True)
class Try:
    """Damaged files and how to read them.

    Args:
        format: of `FORMATS`, or a word for the table.
        label: what to call it: seed and number.
        files: name -> content.
        place: which of them to open; "" is the folder.
        way: "open", "convert", "diagnose", "layout" or "pickle"; a word of `BROKEN`, for tests of the fuzzer itself.
        options: of `convert`.
    """

    format: str
    label: str
    files: Mapping[str, bytes]
    place: str
    way: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a try.

    Args:
        kind: "opened", "refused" or "failure".
        said: the reason, or what happened.
        seconds: of the processor that it took.
        bytes: it took at most beside what the process had.
    """

    kind: str
    said: str = ""
    seconds: float = 0.0
    bytes: int = 0


# ---- making tries ----------------------------------------------------------------------------------------------------


def make_try(seed: int, number: int, formats: Sequence[str] = FORMATS) -> Try:
    """The try of this number; formats take turns, and each has tries of its own whatever others there are."""
    name = formats[number % len(formats)]
    rng = np.random.default_rng([seed, number // len(formats), FORMATS.index(name)])
    sample = _zipped(rng) if name == "zip" else SAMPLES[name][rng.integers(len(SAMPLES[name]))]
    files, place = dict(sample.files), sample.place
    target = sorted(files)[rng.integers(len(files))]
    files[target] = mutate(files[target], rng, target)
    if place == "" and rng.random() < 0.05:
        files[_renamed(target, rng)] = files.pop(target)
    options = _OPTIONS[rng.integers(len(_OPTIONS))] if rng.random() < 0.4 else {}
    way = sample.ways[rng.integers(len(sample.ways))]
    return Try(name, f"seed {seed}, number {number}", files, place, way, options)


_OPTIONS: tuple[dict[str, Any], ...] = (
    {"units": "mm"},
    {"preprocess": "released"},
    {"frames": 7},
    {"preprocess": "released-code", "frames": 20},
)


def _zipped(rng: np.random.Generator) -> Sample:
    files = RAW[list(RAW)[rng.integers(len(RAW))]]()
    return Sample({"set.zip": packed_as_zip([(f"deep/{name}", content) for name, content in files.items()])}, "set.zip")


def _renamed(name: str, rng: np.random.Generator) -> str:
    """A name that a disk can hold."""
    path = PurePosixPath(name)
    odd = ODD_NAMES[rng.integers(len(ODD_NAMES))].replace("/", "_") or "_"
    new = path.with_name(odd) if rng.random() < 0.5 and odd != "." else path.with_name(f"{odd}{path.suffix}")
    return new.as_posix()


# ---- one try, in a process of its own --------------------------------------------------------------------------------


class _TooSlowError(BaseException):
    """The alarm; not an Exception, so that nothing catches it."""


class _Fault(Exception):  # noqa: N818 - it is what is looked for
    """What is wrong with what came out."""


_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.truncate", "os.chmod")
_PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pickle.find_class", "socket.connect")


@dataclass
class _Watch:
    """Of what the process does outside its folder; Python tells it before it is done."""

    folder: str = ""
    seen: list[str] = field(default_factory=list)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.folder:
            return
        if event in _PROGRAMS and threading.current_thread() is threading.main_thread():  # a pool has one for answers
            self.seen.append(f"{event}{args[:2]!r}")
        elif event == "open":
            if isinstance(args[2], int) and args[2] & _WRITES:
                self.look(event, args[0])
        elif event in _CHANGES:
            for path in args[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
                self.look(event, path, args[-1])

    def look(self, event: str, path: Any, beside: Any = -1) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        within = f"/proc/self/fd/{beside}" if isinstance(beside, int) and beside >= 0 else ""
        whole = os.path.realpath(os.path.join(within, os.fsdecode(path)))  # noqa: PTH118
        if not whole.startswith(self.folder + os.sep) and whole != os.devnull:
            self.seen.append(f"{event} of {whole!r}")


def _serve(pipe: connection.Connection, folder: str) -> None:
    """Make tries until there are no more."""
    tempfile.tempdir, sys.dont_write_bytecode = folder, True
    signal.signal(signal.SIGALRM, _ring)
    signal.signal(signal.SIGPROF, _ring)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    watch = _Watch()
    sys.addaudithook(watch)
    _one(
        Try("", "", SAMPLES["ntu"][0].files, "", "convert"), Path(folder), watch
    )  # what is imported late, and torch's own memory
    size = _status("VmSize") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    while (todo := pipe.recv()) is not None:
        pipe.send(_one(todo, Path(folder), watch))


def _ring(*_: Any) -> None:
    raise _TooSlowError


def _status(key: str) -> int:
    """Bytes of memory of this process."""
    with contextlib.suppress(OSError, StopIteration), Path("/proc/self/status").open() as file:
        return int(next(line for line in file if line.startswith(key)).split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _one(todo: Try, folder: Path, watch: _Watch) -> Outcome:
    source = folder / "source"
    for name, content in todo.files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = _status("VmRSS"), time.process_time()
    watch.folder, watch.seen = os.path.realpath(folder), []
    signal.setitimer(signal.ITIMER_REAL, _WAITED)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)
            kind, said = _WAYS[todo.way](source / todo.place, folder / "out", todo)
    except InputError as error:
        kind, said = "refused", str(error)
    except _TooSlowError:
        kind, said = "failure", f"more than {SECONDS:g} s\n{traceback.format_exc()}"
    except BaseException as error:
        kind, said = "failure", f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.setitimer(signal.ITIMER_PROF, 0)
    watch.folder, took = "", time.process_time() - start
    peak = max(_status("VmHWM") - before, 0)
    if watch.seen and kind != "failure":
        kind, said = "failure", f"outside its folder: {'; '.join(watch.seen)}\n{said}"
    if kind != "failure" and peak > MEMORY:
        kind, said = "failure", f"{peak / 2**20:,.0f} MB\n{said}"
    if kind == "refused" and not said.strip():
        kind, said = "failure", "refused without a word"
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return Outcome(kind, said[:8000], took, peak)


def _open(path: Path, _: Path, __: Try) -> tuple[str, str]:
    clips = open_set(path)
    wrong = _no_position(clips)
    if wrong and diagnose(path)["ok"]:
        raise _Fault(f"open_set gives {wrong}, and the doctor finds nothing")
    _check_set(clips)
    return "opened", wrong


def _convert(path: Path, out: Path, todo: Try) -> tuple[str, str]:
    report = convert(path, out / ("made.npz" if len(todo.files) % 2 else "made"), **todo.options)
    _check_json(report)
    report_text(report).encode("utf-8", "replace")
    made = sorted(file.name for file in out.iterdir())
    if len([name for name in made if name in ("made", "made.npz")]) != 1 or any("partial" in name for name in made):
        raise _Fault(f"it leaves {made}")
    clips = open_set(out / ("made.npz" if "made.npz" in made else "made"))
    if wrong := _no_position(clips):
        raise _Fault(f"a conversion gives {wrong}")
    if len(clips) != report["clips"]:
        raise _Fault(f"{len(clips)} clips are there, the report has {report['clips']}")
    _check_set(clips)
    return "opened", ""


def _diagnose(path: Path, _: Path, __: Try) -> tuple[str, str]:
    report = diagnose(path)
    _check_json(report)
    diagnosis_text(report).encode("utf-8", "replace")
    return ("opened", "") if report["ok"] else ("refused", " ".join(str(fault) for fault in report["faults"]))


def _layout(path: Path, _: Path, __: Try) -> tuple[str, str]:
    layout = read_layout(path)
    if not layout.joints or len(layout.joints) != len(layout.parents):
        raise _Fault(f"{layout}")
    return "opened", ""


def _pickle(path: Path, _: Path, __: Try) -> tuple[str, str]:
    safe_loads(path.read_bytes(), path.name)
    return "opened", ""


def _raise() -> None:
    raise RecursionError("as a reader might")


BROKEN: dict[str, Callable[[], Any]] = {
    "raise": _raise,
    "warn": lambda: np.log(np.zeros(1)),
    "loop": lambda: all(True for _ in iter(int, 1)),
    "wait": lambda: time.sleep(60),
    "fill": lambda: bytes(2 * MEMORY),
    "die": lambda: os._exit(3),
    "write": lambda: Path(tempfile.gettempdir()).parent.joinpath("hiclr-fuzz.tmp").open("a"),
    "run": lambda: os.system("true"),  # noqa: S605
}
"""What a reader must not do, for the fuzzer's own test."""


def _broken(_: Path, __: Path, todo: Try) -> tuple[str, str]:
    BROKEN[todo.way]()
    return "opened", ""


_WAYS: dict[str, Callable[[Path, Path, Try], tuple[str, str]]] = {
    **dict.fromkeys(BROKEN, _broken),
    "open": _open,
    "convert": _convert,
    "diagnose": _diagnose,
    "layout": _layout,
    "pickle": _pickle,
}


def _check_json(report: dict[str, Any]) -> None:
    try:
        json.dumps(report, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise _Fault(f"a report is no JSON: {error}") from error


def _no_position(clips: SkeletonSet) -> str:
    x = np.asarray(clips.x[:])
    if np.isfinite(x).all() and np.abs(x).max() < _FAR:
        return ""
    return f"positions up to {np.abs(x).max()}"


def _check_set(clips: SkeletonSet) -> None:
    if len(clips.y) != len(clips) or clips.y.min() < 0 or clips.y.max() >= clips.num_classes:
        raise _Fault(f"labels {clips.y} of {clips.num_classes} classes")
    if any(mask.shape != (len(clips),) or mask.dtype != bool for mask in clips.protocols.values()):
        raise _Fault(f"protocols {clips.protocols}")
    _ = repr(clips), clips._repr_html_(), clips.fingerprint


# ---- many tries ------------------------------------------------------------------------------------------------------


class _Worker:
    """A process that makes one try after the other; it may die of one."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # torch's threads do not live through a fork
        self.folder = tempfile.mkdtemp(prefix="hiclr-fuzz-")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.folder))  # it has children of its own
        self.process.start()
        theirs.close()
        self.lives = True
        self.todo: Try | None = None
        self.since = 0.0

    def give(self, todo: Try) -> None:
        self.todo, self.since = todo, time.monotonic()
        self.pipe.send(todo)

    def take(self) -> Outcome | None:
        """The outcome; None where it is still at it."""
        try:
            if self.pipe.poll():
                outcome: Outcome = self.pipe.recv()
                return outcome
        except (EOFError, OSError):
            self.process.join(10)
            self.lives = False
            return Outcome("failure", f"the process died, exit code {self.process.exitcode}", self.took)
        if self.took > _STUCK and self.process.is_alive() and self.todo is not None and self.begun:
            self.process.kill()
            self.process.join()
            self.lives = False
            return Outcome("failure", f"stuck: it does not hear the alarm after {SECONDS:g} s", self.took)
        return None

    @property
    def begun(self) -> bool:
        """It is past its imports, which may take long on a busy machine."""
        return (Path(self.folder) / "source").exists() or self.took > 10 * _STUCK

    @property
    def took(self) -> float:
        return time.monotonic() - self.since

    def replaced(self) -> "_Worker":
        self.end()
        return _Worker()

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self.pipe.send(None)
        self.pipe.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        shutil.rmtree(self.folder, ignore_errors=True)


class Bench:
    """Processes that make tries; a context, since they must be ended."""

    def __init__(self, workers: int = 2) -> None:
        self.free, self.busy = [_Worker() for _ in range(workers)], list[_Worker]()

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in (*self.free, *self.busy):
            worker.end()

    def run(self, tries: Iterable[Try]) -> Iterator[tuple[Try, Outcome]]:
        """Each try with its outcome, as they come; a process that dies is one, and another takes its place."""
        left = iter(tries)
        while True:
            while self.free and (todo := next(left, None)) is not None:
                self.free[-1].give(todo)
                self.busy.append(self.free.pop())
            if not self.busy:
                return
            connection.wait([worker.pipe for worker in self.busy], timeout=1)
            for worker in list(self.busy):
                outcome = worker.take()
                if outcome is not None:
                    self.busy.remove(worker)
                    self.free.append(worker if worker.lives else worker.replaced())
                    assert worker.todo is not None
                    yield worker.todo, outcome


@dataclass
class Tries:
    """A line of the table."""

    count: int = 0
    opened: int = 0
    refused: int = 0
    failures: int = 0
    seconds: float = 0.0
    bytes: int = 0

    def add(self, outcome: Outcome) -> None:
        """One more."""
        self.count += 1
        self.opened += outcome.kind == "opened"
        self.refused += outcome.kind == "refused"
        self.failures += outcome.kind == "failure"
        self.seconds, self.bytes = max(self.seconds, outcome.seconds), max(self.bytes, outcome.bytes)


def fuzz(
    bench: Bench, tries: Iterable[Try], keep: Path | None = None, tell: Callable[[str], None] = print
) -> dict[str, Tries]:
    """Format -> what became of its tries; failures are told, and their files kept."""
    lines: dict[str, Tries] = {}
    for todo, outcome in bench.run(tries):
        lines.setdefault(todo.format, Tries()).add(outcome)
        if outcome.kind == "failure":
            where = "" if keep is None else f" Its files: {_keep(keep, todo, outcome)}."
            what = outcome.said.strip().splitlines()[0][:300]
            tell(f"FAILURE {todo.format} ({todo.way} {todo.place or 'the folder'}, {todo.label}): {what}{where}")
    return lines


def _keep(folder: Path, todo: Try, outcome: Outcome) -> Path:
    into = folder / f"{todo.format} {todo.label}".replace(", ", "-").replace(" ", "-")
    for name, content in todo.files.items():
        (into / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (into / "source" / name).write_bytes(content)
    how = f"{todo.way} of {todo.place or 'the folder'}, options {dict(todo.options)}, {todo.label}\n\n{outcome.said}\n"
    (into / "what-happened.txt").write_text(how, encoding="utf-8", errors="replace")
    return into


def table(lines: Mapping[str, Tries]) -> str:
    """For people; the last line is the sum."""
    whole = Tries()
    rows = []
    for name, line in [*lines.items(), ("all", whole)]:
        if line is not whole:
            for key in ("count", "opened", "refused", "failures"):
                setattr(whole, key, getattr(whole, key) + getattr(line, key))
            whole.seconds, whole.bytes = max(whole.seconds, line.seconds), max(whole.bytes, line.bytes)
        rows.append(
            f"{name:12}{line.count:>10,}{line.opened:>9,}{line.refused:>9,}{line.failures:>9,}"
            f"{line.seconds:>11.2f}{line.bytes / 2**20:>9.1f}"
        )
    return "\n".join(
        [
            f"{'format':12}{'mutations':>10}{'opened':>9}{'refused':>9}{'failures':>9}{'slowest s':>11}{'peak MB':>9}",
            *rows,
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; exit code 1 where a failure was found."""
    asked = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    asked.add_argument("--count", type=int, default=20_000, help="tries, over all formats")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--formats", default=",".join(FORMATS), help="with commas between")
    asked.add_argument("--workers", type=int, default=2)
    asked.add_argument("--keep", type=Path, default=Path("data/fuzz"), help="where the files of failures go")
    asked.add_argument("--only", type=int, help="the one try of this number; give the same --seed and --formats")
    given = asked.parse_args(arguments)
    formats = tuple(given.formats.split(","))
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        asked.error(f"there is no format {unknown[0]}; there are {', '.join(FORMATS)}")
    numbers = range(given.count) if given.only is None else [given.only]
    start = time.monotonic()
    with Bench(given.workers) as bench:
        lines = fuzz(bench, (make_try(given.seed, number, formats) for number in numbers), given.keep)
    print(table({name: lines[name] for name in formats if name in lines}))
    print(f"seed {given.seed}, {time.monotonic() - start:,.0f} s")
    failures = sum(line.failures for line in lines.values())
    if failures:
        again = "" if formats == FORMATS else f" --formats {','.join(formats)}"
        print(f"again: python -m tests.fuzz --seed {given.seed}{again} --only NUMBER")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
