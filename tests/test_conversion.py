"""Conversion at size: what is killed goes on, what is large passes through a little memory."""

import dataclasses
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reading import write_all
from samples import RAW

from hiclr.datasets import conversion, convert, open_set, report_text, rows, save_set, scratch, spool, synthetic
from hiclr.datasets.conversion import read_raw
from hiclr.datasets.layout_files import read_layout
from hiclr.datasets.preprocessing import RELEASED
from hiclr.datasets.readers import FORMATS
from hiclr.datasets.readers.plan import Format, Found, Plan, RawClip, Skipped
from hiclr.datasets.rows import NpyRows, blocks
from hiclr.datasets.skipped import shortened
from hiclr.datasets.spool import Spool, SpooledRows
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25, Layout
from tests.faults.processes import hiclr, until
from tests.test_ntu import alone, walk, write

HOME = Path(__file__).parent.parent
MOST = 130  # MB that the long set, which takes 217, may cost in memory: three blocks take 86


def ntu_folder(folder: Path, count: int, longest: int = 6) -> Path:
    """Clips of 1 to `longest` frames, the third one torn, one with a chair."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        frames = alone(walk(rng, 1 + (i * 7) % longest))
        if i == 4:
            frames = [[*bodies, (9, np.ones((25, 3), np.float32))] for bodies in alone(walk(rng, 5))]
        name = f"S001C{i % 3 + 1:03d}P{i // 3 % 40 + 1:03d}R{i // 120 + 1:03d}A{i % 60 + 1:03d}"
        path = write(folder / f"{name}.skeleton", frames)
        if i == 2:
            path.write_text(path.read_text()[:-200])
    return folder


def content(path: Path) -> dict[str, bytes]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files}


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- the spool --------------------------------------------------------------------------------------------------------


def made_up(found: Found) -> RawClip:
    frames, persons = found.place
    x = np.random.default_rng(frames).normal(size=(3, frames, 25, persons)).astype(np.float32)
    if found.label == 1:
        x[:, frames // 2 :] = 0  # nobody is there in the second half
    if found.name.startswith("bad"):
        raise ZeroDivisionError("a fault of the reader")
    if found.name.startswith("nan"):
        x[1, 0, 3] = np.nan
    return RawClip(x, ("a note",) if frames == 2 else ())


def plan(*clips: Found, persons: int = 2) -> Plan:
    return Plan("made up", NTU_25, clips, made_up, persons=persons)


def test_a_spool_gives_back_every_clip_padded_to_the_longest(tmp_path: Path):
    clips = [Found(f"c{t}", t % 2, (t, 1 + t % 2)) for t in (3, 8, 2, 5, 1)]
    made = Spool(tmp_path / "spool", plan(*clips), None)
    made.fill()
    kept = [(record, number) for _, record, number in made.records()]
    x = SpooledRows(made, kept)
    assert x.shape == (5, 3, 8, 25, 2)
    for row, clip in enumerate(clips):
        wanted = np.zeros((3, 8, 25, 2), np.float32)
        raw = made_up(clip).x
        wanted[:, : raw.shape[1], :, : raw.shape[3]] = raw
        np.testing.assert_array_equal(x[row], wanted)
    np.testing.assert_array_equal(x[[4, 0]], x[:][[4, 0]])
    assert [record.length for record, _ in kept] == [3, 8, 2, 5, 1]
    assert [record.notes for record, _ in kept] == [(), (), ("a note",), (), ()]
    made.close(remove=True)
    assert entries(tmp_path) == []


def test_whatever_a_reader_does_costs_one_clip(tmp_path: Path):
    clips = [Found("good", 0, (4, 1)), Found("bad", 0, (4, 1)), Found("nan", 0, (4, 1)), Found("three", 0, (4, 3))]
    made = Spool(tmp_path / "spool", plan(*clips), None)
    made.fill()
    reasons = {found.name: record.reason for found, record, _ in made.records()}
    made.close(remove=True)
    assert reasons["good"] == ""
    assert "ZeroDivisionError: a fault of the reader" in reasons["bad"]
    assert "frame 0, joint 3 is nan" in reasons["nan"]
    assert "(3, T, 25, 2) is wanted" in reasons["three"]


def test_processes_read_the_same_as_one(tmp_path: Path):
    clips = [Found(f"c{i}", i % 2, (1 + i % 9, 1)) for i in range(300)]
    found = []
    for workers in (1, 2):
        made = Spool(tmp_path / str(workers), plan(*clips), RELEASED)
        made.fill(workers)
        assert made.size == 1
        found.append(content(tmp_path / str(workers)))
        made.close(remove=True)
    assert len(found[0]) == 300 + 2  # a segment for each, the lock, what it is made of
    assert found[0] == found[1]


def test_two_at_one_spool_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scratch, "_WAIT", 0.1)
    held = Spool(tmp_path / "spool", plan(Found("c", 0, (1, 1))), None)
    script = "import sys; from filelock import FileLock; FileLock(sys.argv[1]).acquire(timeout=0)"
    args = [sys.executable, "-c", script, str(tmp_path / "spool" / "lock")]
    assert "Timeout" in subprocess.run(args, capture_output=True, text=True, check=False).stderr
    held.close(remove=True)


def test_somebody_elses_folder_is_no_spool(tmp_path: Path):
    source = ntu_folder(tmp_path / "raw", 3)
    (tmp_path / "set.partial").mkdir()
    (tmp_path / "set.partial" / "thesis.txt").write_text("years")
    with pytest.raises(InputError, match="in the way"):
        convert(source, tmp_path / "set")
    assert (tmp_path / "set.partial" / "thesis.txt").read_text() == "years"


# --- interrupted, killed, full ----------------------------------------------------------------------------------------


def killed(source: Path, out: Path, number: signal.Signals, *args: str) -> str:
    """Convert in a process of its own and end it when some segments are there; what it said.

    What SIGKILL does hangs on nothing that Python sets up: that process is forked, which is faster.
    """
    folder, limit = out.with_name(f"{out.name}.partial"), time.monotonic() + 60

    def begun() -> bool:
        return len(list(folder.glob("*.segment"))) >= 30

    if number == signal.SIGKILL:
        forked = hiclr("prepare", source, "--out", out, *args)
        until(begun, forked)
        forked.send(number)
        done = forked.wait()
        assert done.code == -number, "it was done before it could be ended"
        return done.err
    command = [sys.executable, "-m", "hiclr", "prepare", str(source), "--out", str(out), *args]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=HOME, env=env, stderr=subprocess.PIPE, text=True)
    while not begun() and time.monotonic() < limit:
        time.sleep(0.002)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode != 0, "it was done before it could be ended"
    return said


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ntu_folder(tmp_path_factory.mktemp("many") / "raw", 400)


@pytest.mark.parametrize(
    ("number", "target"),
    [(signal.SIGKILL, "set"), (signal.SIGKILL, "set.npz"), (signal.SIGTERM, "set"), (signal.SIGINT, "set.npz")],
)
def test_a_conversion_that_is_ended_goes_on_to_the_same_bytes(
    many: Path, tmp_path: Path, number: signal.Signals, target: str
):
    source = many
    (tmp_path / "whole").mkdir()
    whole = convert(source, tmp_path / "whole" / target, preprocess="released")
    assert entries(tmp_path / "whole") == [target]
    (tmp_path / "parts").mkdir()
    out = tmp_path / "parts" / target
    said = killed(source, out, number, "--preprocess", "released")
    assert entries(tmp_path / "parts") == [f"{target}.partial"]  # nothing half written has the target's name
    if number != signal.SIGKILL:
        assert "of 400 clips are read; the same command goes on from there" in said
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "parts").glob("*/*.segment")}
    assert 30 <= len(before) < 200
    report = convert(source, out, preprocess="released")
    went_on = re.match(r"Went on: (\d+) of 400 clips had been read before", report["notes"][0])
    assert went_on is not None
    # two clips a segment; readers that outlive a killed process may still end the one that each has in hand
    assert 0 <= int(went_on[1]) - 2 * len(before) <= 2 * 4
    assert content(out) == content(tmp_path / "whole" / target)
    assert entries(tmp_path / "parts") == [target]
    for key in ("clips", "protocols", "skipped", "dropped"):
        assert report[key] == whole[key]
    assert len(report["skipped"]) == 1
    assert "Download it again" in report["skipped"][0]["reason"]
    assert any("body 9 dropped as false" in dropped["what"] for dropped in report["dropped"])


@pytest.mark.parametrize("target", ["again", "again.npz"])
def test_a_set_that_was_killed_on_its_way_begins_anew_and_leaves_nothing(long_set: Path, tmp_path: Path, target: str):
    out = tmp_path / "here" / target
    convert(long_set, tmp_path / target)
    convert("synthetic", out)  # an old set of that name
    before = content(out)
    half = out.with_name(f"{target}.partial") / ("new.npz" if target == "again.npz" else "new/x.npy")
    process = hiclr("prepare", long_set, "--out", out)
    until(lambda: half.is_file() and half.stat().st_size > 2**20, process)
    process.send(signal.SIGKILL)
    assert process.wait().code == -signal.SIGKILL, "it was done before it could be killed"
    assert content(out) == before
    assert entries(out.parent) == [target, f"{target}.partial"]
    convert(long_set, out)
    assert content(out) == content(tmp_path / target)
    assert entries(out.parent) == [target]


def stop_after(count: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """The segment after so many of them ends in an error."""
    reading, done = spool._read_segment, []

    def failing(*args: Any) -> None:
        if len(done) == count:
            raise error
        done.append(args)
        reading(*args)

    monkeypatch.setattr(spool, "_read_segment", failing)


@pytest.mark.parametrize("change", ["content", "settings", "name"])
def test_clips_of_another_source_or_other_settings_are_not_mixed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
):
    source = ntu_folder(tmp_path / "raw", 6)
    with monkeypatch.context() as patched:
        stop_after(3, KeyboardInterrupt(), patched)
        with pytest.raises(KeyboardInterrupt, match="3 of 6 clips are read"):
            convert(source, tmp_path / "set")
    first = source / "S001C001P001R001A001.skeleton"
    if change == "content":
        write(first, alone(walk(np.random.default_rng(5), 4)))
    if change == "name":
        first.rename(source / "S001C001P002R001A001.skeleton")
    frames = 4 if change == "settings" else None
    report = convert(source, tmp_path / "set", frames=frames)
    assert "another source or other settings" in report["notes"][0]
    convert(source, tmp_path / "fresh", frames=frames)
    assert content(tmp_path / "set") == content(tmp_path / "fresh")


def test_a_full_disk_is_a_sentence_and_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = ntu_folder(tmp_path / "raw", 6)
    convert(source, tmp_path / "set")
    before = content(tmp_path / "set")
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patched:  # while reading
        stop_after(4, full, patched)
        with pytest.raises(InputError, match=r"No room is left.*4 of 6 clips are read"):
            convert(source, tmp_path / "set", frames=3)
    with monkeypatch.context() as patched:  # before writing
        patched.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
        with pytest.raises(InputError, match=r"0\.00 GB are free"):
            convert(source, tmp_path / "set", frames=3)
    with monkeypatch.context() as patched:  # while writing

        def full_here(*_: Any, **__: Any) -> None:
            raise full

        patched.setattr(np, "save", full_here)
        with pytest.raises(InputError, match="No room is left"):
            convert(source, tmp_path / "set", frames=3)
    assert content(tmp_path / "set") == before
    report = convert(source, tmp_path / "set", frames=3)
    assert "6 of 6 clips had been read before" in report["notes"][0]
    assert open_set(tmp_path / "set").x.shape[2] == 3
    assert entries(tmp_path) == ["raw", "set"]


def test_what_no_clip_comes_from_leaves_nothing(tmp_path: Path):
    source = tmp_path / "S001C001P001R001A001.skeleton"
    source.write_text("0\n")
    with pytest.raises(InputError, match="0 frames"):
        convert(source, tmp_path / "set")
    assert entries(tmp_path) == [source.name]  # a spool of it would only be in the way


# --- memory -----------------------------------------------------------------------------------------------------------

GROWTH = """
import resource, sys
from pathlib import Path
import numpy as np
from hiclr.datasets import convert
import hiclr.datasets.readers.ntu, torch
from hiclr.datasets.preprocessing import RELEASED
RELEASED.apply(torch.zeros(2, 3, 4, 25, 2), hiclr.datasets.readers.ntu.NTU_25)  # what torch itself takes
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
report = convert(sys.argv[1], sys.argv[2], {more})
print(report["clips"], peak() - before)
"""


def growth(source: Path, out: Path, **more: Any) -> tuple[int, int]:
    """(clips, MB that the peak of resident memory grew by) of a conversion in a process of its own."""
    given = ", ".join(f"{key}={value!r}" for key, value in more.items())
    done = subprocess.run(
        [sys.executable, "-c", GROWTH.format(more=given), str(source), str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=HOME,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    clips, grown = done.stdout.split()
    return int(clips), int(grown)


@pytest.fixture(scope="module")
def long_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short clips and one of 1,200 frames: padded, 300 of them take 217 MB."""
    folder = ntu_folder(tmp_path_factory.mktemp("long") / "raw", 301, longest=3)
    write(folder / "S001C001P040R003A001.skeleton", alone(walk(np.random.default_rng(0), 1200)))
    return folder


@pytest.fixture(scope="module")
def long_set(long_source: Path) -> Path:
    """The same, converted; only read from then on."""
    path = long_source.with_name("set")
    convert(long_source, path)
    return path


@pytest.mark.parametrize("target", ["set", "set.npz"])
def test_memory_does_not_grow_with_the_set(long_source: Path, tmp_path: Path, target: str):
    clips, grown = growth(long_source, tmp_path / target, workers=1)
    size = os.path.getsize(tmp_path / "set" / "x.npy" if target == "set" else tmp_path / target) / 2**20  # noqa: PTH202
    assert clips == 301
    assert size > 200
    assert grown < MOST


@pytest.mark.parametrize("target", ["again", "again.npz"])
def test_a_set_is_converted_again_without_being_held(long_set: Path, tmp_path: Path, target: str):
    clips, grown = growth(long_set, tmp_path / target)
    assert clips == 301
    assert grown < MOST
    if target == "again":
        assert content(tmp_path / "again")["x.npy"] == content(long_set)["x.npy"]
        return
    clips, grown = growth(tmp_path / "again.npz", tmp_path / "third")
    assert grown < MOST
    assert content(tmp_path / "third") == content(long_set)


OPENED = """
import resource, sys, tempfile
from pathlib import Path
from hiclr.datasets import open_set
def held(): return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) // 1024
before = held()
clips = open_set(sys.argv[1])
train, test = clips.subset(range(0, 300, 2)), clips.subset(range(1, 300, 2))
grown = held() - before
print(len(clips), grown, [path.name for path in Path(tempfile.gettempdir()).iterdir()], float(clips.x[299].max()) > 0)
assert (train.clips([0, 149]).numpy() == clips.x[[0, 298]]).all()  # the file has no name any more
"""


def test_raw_files_are_opened_without_being_held(long_source: Path, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OPENED, str(long_source)],
        capture_output=True,
        text=True,
        check=False,
        cwd=HOME,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    clips, grown, left, there = done.stdout.split()
    assert (clips, left, there) == ("301", "[]", "True")  # no file is left in the way, and the positions are there
    assert int(grown) < MOST


def test_raw_files_of_too_many_positions_are_to_be_prepared(
    long_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(conversion, "_MOST_RAW", 10**8)
    wanted = f"0.2 GB of positions.*hiclr prepare {long_source} --out {long_source}-set$"
    with pytest.raises(InputError, match=wanted):
        open_set(long_source)  # seen in the end: the long clip is not among those that are asked
    several = tmp_path / "a b"
    several.mkdir()
    for i in range(40):
        write(several / f"S001C001P{i + 1:03d}R001A001.skeleton", alone(walk(np.random.default_rng(i), 30)))
    monkeypatch.setattr(conversion, "_MOST_RAW", 40 * 30 * 3 * 25 * 2 * 4 - 1)
    monkeypatch.setattr(Spool, "fill", None)
    with pytest.raises(InputError, match=rf"--out '{several}-set'$"):
        open_set(several)  # before anything was read
    monkeypatch.undo()
    assert len(open_set(several)) == 40


def test_blocks_are_cut_by_bytes(monkeypatch: pytest.MonkeyPatch):
    x = np.arange(7 * 6, dtype=np.float32).reshape(7, 3, 1, 2, 1)
    monkeypatch.setattr(rows, "_BLOCK_BYTES", 3 * 24)
    cut = list(blocks(x))
    assert [(start, len(block)) for start, block in cut] == [(0, 3), (3, 3), (6, 1)]
    np.testing.assert_array_equal(np.concatenate([block for _, block in cut]), x)
    monkeypatch.setattr(rows, "_BLOCK_BYTES", 1)
    assert [len(block) for _, block in blocks(x)] == [1] * 7


# --- files and what is in them ----------------------------------------------------------------------------------------


def test_what_is_converted_is_what_save_set_writes(tmp_path: Path):
    source = ntu_folder(tmp_path / "raw", 12)
    convert(source, tmp_path / "set")
    save_set(read_raw(source).clips, tmp_path / "other")
    assert content(tmp_path / "set") == content(tmp_path / "other")
    assert (
        json.loads((tmp_path / "set" / "meta.json").read_text())["fingerprint"]
        == open_set(tmp_path / "set").fingerprint
    )


def test_an_npz_has_the_same_bytes_on_another_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = ntu_folder(tmp_path / "raw", 5)
    convert(source, tmp_path / "a.npz")
    monkeypatch.setattr(time, "time", lambda: 2e9)
    convert(source, tmp_path / "b.npz")
    assert content(tmp_path / "a.npz")["a.npz"] == content(tmp_path / "b.npz")["b.npz"]


def test_a_zip_file_is_read_from_the_inside(tmp_path: Path):
    source = ntu_folder(tmp_path / "raw", 12)
    with zipfile.ZipFile(tmp_path / "raw.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(source.iterdir()):
            packed.write(path, f"nturgb+d_skeletons/{path.name}")
    report = convert(tmp_path / "raw.zip", tmp_path / "set")
    assert [skipped["file"] for skipped in report["skipped"]] == [
        "raw.zip/nturgb+d_skeletons/S001C003P001R001A003.skeleton"
    ]
    convert(source, tmp_path / "other")
    assert content(tmp_path / "set")["x.npy"] == content(tmp_path / "other")["x.npy"]
    assert entries(tmp_path) == ["other", "raw", "raw.zip", "set"]


def test_a_set_inside_its_own_source_is_no_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = ntu_folder(tmp_path / "raw", 5)
    first = convert(source, source / "set")
    with monkeypatch.context() as patched:
        stop_after(2, KeyboardInterrupt(), patched)
        with pytest.raises(KeyboardInterrupt):
            convert(source, source / "set")
    again = convert(source, source / "set")
    assert "2 of 5 clips had been read before" in again["notes"][0]
    assert again["skipped"] == first["skipped"]


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "<f2"])
def test_rows_of_a_file_are_those_that_numpy_loads(tmp_path: Path, dtype: str):
    wanted = (np.random.default_rng(0).normal(size=(9, 3, 4, 5, 2)) * 100).astype(dtype)
    np.save(tmp_path / "x.npy", wanted)
    np.savez_compressed(tmp_path / "x.npz", y=np.arange(3), x=wanted)
    for x in (NpyRows(tmp_path / "x.npy"), NpyRows(tmp_path / "x.npz", "x.npy")):
        np.testing.assert_array_equal(x[4:7], wanted[4:7].astype(np.float32))
        np.testing.assert_array_equal(x[1], wanted[1].astype(np.float32))  # back again
        np.testing.assert_array_equal(x[[8, 0]], wanted[[8, 0]].astype(np.float32))
        assert x[:].dtype == np.float32


def test_rows_that_are_not_there_are_refused_before_they_are_asked_for(tmp_path: Path):
    np.save(tmp_path / "x.npy", np.zeros((4, 3, 2, 25, 1), np.float32))
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(whole[:-1])
    with pytest.raises(ValueError, match="are there"):
        NpyRows(tmp_path / "x.npy")


def test_many_notes_are_counted_and_the_first_shown(tmp_path: Path):
    source = tmp_path / "raw"
    source.mkdir()
    person, chair = walk(np.random.default_rng(0), 12), walk(np.random.default_rng(1), 1)[0]
    for i in range(25):
        write(source / f"S001C001P{i + 1:03d}R001A001.skeleton", [[(1, chair), (2, frame)] for frame in person])
    report = convert(source, tmp_path / "set")
    assert len(report["dropped"]) == 25
    assert sum("dropped as false" in note for note in report["notes"]) == 20
    assert any("25 notes of this kind on 25 clips" in note for note in report["notes"])


def test_progress_says_how_long_it_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    convert(ntu_folder(tmp_path / "raw", 5), tmp_path / "set", progress=True)
    said = capsys.readouterr().err
    assert "reading" in said
    assert "writing" in said
    assert "5/5" in said
    assert "clip/s" in said


@pytest.mark.parametrize("name", ["set.npz", "set"])
def test_clips_of_nobody_in_a_set_are_named(tmp_path: Path, name: str):
    clips = synthetic(subjects=2, cameras=1, actions=("kick right", "clap slowly"))
    x = np.array(clips.x)
    x[2] = 0
    save_set(dataclasses.replace(clips, x=x), tmp_path / name)
    report = convert(tmp_path / name, tmp_path / "again.npz", preprocess="released")
    assert f"nobody is in 1 clip, all frames are zero: {clips.names[2]}" in report["notes"]
    save_set(clips, tmp_path / name)
    assert not any("nobody" in note for note in convert(tmp_path / name, tmp_path / "again.npz")["notes"])


def test_a_set_in_another_unit_is_brought_to_metres(tmp_path: Path):
    x = np.random.default_rng(0).normal(size=(4, 3, 5, 25, 1)).astype(np.float32)
    np.savez(tmp_path / "mm.npz", x=x * 1000, y=np.arange(4))
    report = convert(tmp_path / "mm.npz", tmp_path / "set.npz", units="mm", frames=5)
    np.testing.assert_allclose(open_set(tmp_path / "set.npz").x[:], x, rtol=1e-5)
    assert "millimetres are in the files" in report["notes"][-1]


@pytest.mark.parametrize("save", [np.savez, lambda path, x, y: np.savez(path, x=np.asfortranarray(x), y=y)])
def test_a_set_is_judged_when_it_is_in_metres(tmp_path: Path, save: Any):
    x = np.random.default_rng(0).normal(size=(4, 3, 5, 25, 1)).astype(np.float32)
    save(tmp_path / "um.npz", x=x * 1e6, y=np.arange(4))
    with pytest.raises(InputError, match="over 10 km"):
        convert(tmp_path / "um.npz", tmp_path / "set.npz")
    with pytest.raises(InputError, match="over 10 km"):
        convert(tmp_path / "um.npz", tmp_path / "set.npz", units="0.1")
    convert(tmp_path / "um.npz", tmp_path / "set.npz", units="1e-6")
    np.testing.assert_allclose(open_set(tmp_path / "set.npz").x[:], x, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "fps"), [("ntu", 30), ("pku", 30), ("msr", 15), ("bvh", 30), ("utkinect", None), ("arrays-npy", None)]
)
def test_raw_files_say_how_many_frames_a_second_they_have(name: str, fps: float | None, tmp_path: Path):
    source = write_all(tmp_path / "raw", RAW[name]())
    convert(source, tmp_path / "set.npz")
    assert open_set(tmp_path / "set.npz").fps == fps
    assert open_set(source).fps == fps
    convert(source, tmp_path / "resampled.npz", frames=5)  # each clip by a factor of its own
    assert open_set(tmp_path / "resampled.npz").fps is None


@pytest.mark.parametrize(
    ("times", "fps", "said"),
    [
        (("0.04", "0.04", "0.0402"), 25, ""),
        (("0.04", "0.04", "0.008333"), None, "clips have 25 to 120 frames a second: the set has no rate"),
        (("0.04", "0", "0.04"), None, "clips have 25 to 25 frames a second, 1 clips do not say it"),
        (("1e-320", "1e300", "0"), None, ""),
    ],
)
def test_a_set_has_the_rate_that_all_its_clips_have(
    times: tuple[str, ...], fps: float | None, said: str, tmp_path: Path
):
    files = RAW["bvh"]()
    for name, seconds in zip(files, times, strict=True):
        content = files[name].replace(b"Frame Time: 0.0333333", f"Frame Time: {seconds}".encode())
        write_all(tmp_path / "raw", {name: content})
    report = convert(tmp_path / "raw", tmp_path / "set")
    assert open_set(tmp_path / "set").fps == fps
    assert (said in " ".join(report["notes"])) if said else "frames a second" not in " ".join(report["notes"])


def test_of_many_skipped_files_some_of_each_kind_are_shown_and_all_are_listed(tmp_path: Path):
    source, out = ntu_folder(tmp_path / "raw", 3), tmp_path / "set"
    for i in range(1, 41):
        (source / f"S002C001P{i:03d}R001A001.skeleton").write_text("0\n")
        (source / f"copy_{i}.skeleton").write_text("0\n")
    report = convert(source, out)
    assert len(report["skipped"]) == 81  # one is torn
    shown = report_text(report).splitlines()
    assert sum(line.startswith("skipped S002") for line in shown) == 10
    assert sum(line.startswith("skipped copy_") for line in shown) == 10
    assert sum(line.startswith("... and 30 more") for line in shown) == 2
    assert any("81 are skipped in all" in line and line.endswith("set.skipped.txt") for line in shown)
    whole = (tmp_path / "set.skipped.txt").read_text(encoding="utf-8").splitlines()
    assert whole == [f"{skipped['file']}: {skipped['reason']}" for skipped in report["skipped"]]
    for path in source.glob("copy_*"):
        path.unlink()
    for i in range(1, 41):
        (source / f"S002C001P{i:03d}R001A001.skeleton").unlink()
    assert convert(source, out)["skipped_list"] is None
    assert entries(tmp_path) == ["raw", "set"]  # no list of what is not so any more


def test_reasons_without_end_are_counted():
    words = [a + b for a in "abcdefghij" for b in "klmnopqrst"]
    lines, short = shortened([Skipped(f"{word}.bvh", f"{word}.bvh is {word[::-1]}") for word in words])
    assert short
    assert lines[-1] == "... and 80 more for 80 other reasons"
    lines, short = shortened([Skipped(f"{word}.bvh", f"{word}.bvh is empty") for word in words])
    assert [len(lines), lines[0], lines[-1][:16]] == [11, "ak.bvh: ak.bvh is empty", "... and 90 more "]


# --- options that would do nothing ----------------------------------------------------------------------------------

REFUSED = {
    "ntu": {"labels", "pattern", "units"},
    "pku": {"labels", "pattern", "units"},
    "pyskl": {"labels", "pattern"},
    "kinect": {"pattern", "units"},  # labels name those of UTKinect; test_kinect refuses them for MSR-Action3D
    "bvh": {"labels"},
    "arrays": {"pattern"},
}
GIVEN = {"labels": "labels.npy", "pattern": "(?P<class>x)", "units": "mm"}


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_an_option_on_what_the_files_say_themselves_is_refused(tmp_path: Path, kind: Format):
    source = ntu_folder(tmp_path / "raw", 3)
    assert set(kind.known) == REFUSED[kind.name]
    for name, where in kind.known.items():
        with pytest.raises(InputError, match=f"--{name} does nothing for files of the format {kind.name}") as caught:
            convert(source, tmp_path / "set", format=kind.name, **{name: GIVEN[name]})
        assert f"{where}. Leave --{name} out." in str(caught.value)
    assert entries(tmp_path) == ["raw"]


@pytest.mark.parametrize(
    ("source", "given"),
    [
        ("set.npz", {"labels": "y.npy"}),
        ("set.npz", {"pattern": "(?P<class>x)"}),
        ("set.npz", {"format": "ntu"}),
        ("synthetic", {"labels": "y.npy"}),
        ("synthetic", {"pattern": "(?P<class>x)"}),
        ("synthetic", {"units": "cm"}),
        ("synthetic", {"format": "bvh"}),
    ],
)
def test_a_set_needs_no_options_of_raw_files(tmp_path: Path, source: str, given: dict[str, Any]):
    np.savez(tmp_path / "set.npz", x=np.ones((4, 3, 2, 25, 1), np.float32), y=np.arange(4))
    path = source if source == "synthetic" else tmp_path / source
    with pytest.raises(InputError, match=rf"--{next(iter(given))} \w* ?does nothing for .*(set|npz)"):
        convert(path, tmp_path / "out.npz", **given)
    assert entries(tmp_path) == ["set.npz"]
    if source != "synthetic":
        assert convert(path, tmp_path / "out.npz", format="set")["clips"] == 4


# --- layouts in files -------------------------------------------------------------------------------------------------


def test_a_layout_file_names_the_joints(tmp_path: Path):
    (tmp_path / "arm.toml").write_text(
        'names = ["neck", "hand_l", "hand_r"]\nparents = ["neck", "neck", 0]\ncentre = "neck"\n', encoding="utf-8"
    )
    wanted = Layout("arm", ("neck", "hand_l", "hand_r"), (0, 0, 0), ((1, 2),), 0)
    assert read_layout(tmp_path / "arm.toml") == wanted
    (tmp_path / "arm.json").write_text('{"names": ["neck", "hand_l", "hand_r"], "parents": [-1, 0, 0]}')
    assert read_layout(tmp_path / "arm.json") == wanted
    np.savez(tmp_path / "set.npz", x=np.ones((4, 3, 2, 3, 1), np.float32), y=np.arange(4))
    report = convert(tmp_path / "set.npz", tmp_path / "out.npz", layout=str(tmp_path / "arm.toml"))
    assert report["layout"] == "arm"
    assert open_set(tmp_path / "out.npz").layout == wanted
    (tmp_path / "arm.json").write_text('{"names": ["neck", "hand_l"], "parents": ["nek", 0]}')
    with pytest.raises(InputError, match="nek"):
        read_layout(tmp_path / "arm.json")


@pytest.mark.parametrize("frames", [0, -3])
def test_clips_without_frames_are_refused_before_anything_is_looked_at(frames: int, tmp_path: Path):
    with pytest.raises(InputError, match=f"frames must be at least 1; it is {frames}"):
        convert(tmp_path / "nothing", tmp_path / "out.npz", frames=frames)
