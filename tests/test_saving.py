"""Sets being written: killed, at the same time as others, cleared up after; and sets of many clips."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hiclr.datasets import SkeletonSet, convert, open_set, save_set
from hiclr.datasets.rows import MappedRows, StoredRows
from hiclr.datasets.saving import clear_leftovers
from hiclr.datasets.scratch import Scratch
from hiclr.errors import InputError
from hiclr.skeleton import KINECT_20_SDK, Layout, match_layout
from tests.faults.processes import Running, start, until
from tests.test_conversion import content, entries

HOME = Path(__file__).parent.parent


def numbered(value: float, clips: int = 6) -> SkeletonSet:
    return SkeletonSet.from_arrays(np.full((clips, 3, 4, 25, 1), value), np.arange(clips) % 2)


# --- killed half way --------------------------------------------------------------------------------------------------


class Rows(StoredRows):
    """Positions of which the second block never comes, where that is wanted."""

    def __init__(self, count: int, whole: bool) -> None:
        super().__init__((count, 3, 4, 25, 1))
        self.whole = whole

    def read(self, start: int, stop: int) -> np.ndarray:
        if start and not self.whole:
            wait_for_ever()
        return np.zeros((stop - start, *self.shape[1:]), np.float32)


def wait_for_ever() -> None:
    print("here", flush=True)
    time.sleep(600)


def save_and_stop(target: Path, where: str) -> None:
    """`half`: within the positions; `swap`: the old set is away, the new one has not its name yet."""
    moved = Path.replace

    def replace(self: Path, place: Path) -> Path:
        if self.name == "new":
            wait_for_ever()
        return moved(self, place)

    if where == "swap":
        Path.replace = replace  # type: ignore[method-assign]
    save_set(SkeletonSet.from_arrays(Rows(600, where == "swap"), np.zeros(600, int)), target)


@contextmanager
def stopped_while_saving(target: Path, where: str) -> Iterator[Running]:
    """A process that is writing a set, has come so far and stays there."""
    running = start(save_and_stop, target, where)
    try:
        until(lambda: running.files[0].read_text() == "here\n", running)
        yield running
    finally:
        kill(running)


def kill(running: Running) -> None:
    running.process.kill()
    running.process.join(60)
    assert running.process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("name", ["set", "set.npz"])
@pytest.mark.parametrize("then", ["save", "open"])
def test_what_a_killed_save_leaves_is_gone_with_the_next_of_that_name(tmp_path: Path, name: str, then: str):
    target = tmp_path / name
    save_set(numbered(1), target)
    save_set(numbered(2), tmp_path / "other")
    before = content(target)
    with stopped_while_saving(target, "half") as process:
        assert entries(tmp_path) == [f".{name}.partial", "other", name]  # under the final name is the old set
        assert open_set(target).fingerprint == numbered(1).fingerprint
        assert entries(tmp_path / f".{name}.partial") != ["lock"]  # the living one's is left alone
        kill(process)
    assert content(target) == before
    save_set(numbered(2), tmp_path / "other")
    assert f".{name}.partial" in entries(tmp_path)  # of another name
    if then == "save":
        save_set(numbered(3), target)
    assert open_set(target).fingerprint == numbered(3 if then == "save" else 1).fingerprint
    assert entries(tmp_path) == ["other", name]


@pytest.mark.parametrize("then", ["save", "open"])
def test_a_set_whose_place_was_being_taken_is_put_back(tmp_path: Path, then: str):
    target = tmp_path / "set"
    save_set(numbered(1), target)
    before = content(target)
    with stopped_while_saving(target, "swap") as process:
        assert entries(tmp_path) == [".set.partial"]
        kill(process)
    if then == "save":
        save_set(numbered(3), target)
        assert open_set(target).fingerprint == numbered(3).fingerprint
    else:
        assert open_set(target).fingerprint == numbered(1).fingerprint
        assert content(target) == before
    assert entries(tmp_path) == ["set"]


def test_a_save_that_fails_keeps_the_set_whose_place_was_being_taken(tmp_path: Path):
    save_set(numbered(1), tmp_path / "set")
    with stopped_while_saving(tmp_path / "set", "swap") as process:
        kill(process)
    clips = numbered(1)
    with pytest.raises(InputError, match="not finite"):
        save_set(SkeletonSet.from_arrays(np.full_like(clips.x, np.inf), clips.y), tmp_path / "set")
    assert open_set(tmp_path / "set").fingerprint == clips.fingerprint
    assert entries(tmp_path) == ["set"]


def test_prepare_puts_back_the_set_whose_place_was_being_taken(tmp_path: Path):
    save_set(numbered(1), tmp_path / "set")
    Scratch(tmp_path / "set.partial").close(remove=False)
    (tmp_path / "set").rename(tmp_path / "set.partial" / "old")  # as a process that was killed leaves it
    with pytest.raises(InputError, match=r"There is no .*set\.partial is a half of it: the `hiclr prepare`"):
        open_set(tmp_path / "set")
    np.savez(tmp_path / "nan.npz", x=np.full((2, 3, 4, 25, 1), np.nan, np.float32), y=np.arange(2))
    with pytest.raises(InputError, match="not finite"):
        convert(tmp_path / "nan.npz", tmp_path / "set")
    assert open_set(tmp_path / "set").fingerprint == numbered(1).fingerprint
    assert entries(tmp_path) == ["nan.npz", "set"]


def test_two_that_save_to_one_name_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hiclr.datasets.scratch._WAIT", 0.1)
    with stopped_while_saving(tmp_path / "set", "half"):
        with pytest.raises(InputError, match="is being written by another process"):
            save_set(numbered(1), tmp_path / "set")
        save_set(numbered(1), tmp_path / "set2")
    save_set(numbered(1), tmp_path / "set")
    assert entries(tmp_path) == ["set", "set2"]


def test_a_hidden_folder_of_somebody_else_is_left_alone(tmp_path: Path):
    save_set(numbered(1), tmp_path / "set")
    (tmp_path / ".set.partial").mkdir()
    (tmp_path / ".set.partial" / "thesis.txt").write_text("years")
    assert len(open_set(tmp_path / "set")) == 6
    with pytest.raises(InputError, match=r"\.set\.partial is in the way"):
        save_set(numbered(2), tmp_path / "set")
    assert (tmp_path / ".set.partial" / "thesis.txt").read_text() == "years"


def test_one_that_waits_gets_the_folder_that_the_other_takes_away(tmp_path: Path):
    for _ in range(20):
        first = Scratch(tmp_path / "half")
        first.close(remove=True)
        assert entries(tmp_path) == []
        second = Scratch(tmp_path / "half", wait=0)
        clear_leftovers(tmp_path / "half")  # a set called "half" has another folder
        assert entries(tmp_path / "half") == ["about.json", "lock"]
        second.close(remove=True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes where nobody may")
def test_a_folder_that_may_not_be_written_is_opened(tmp_path: Path):
    save_set(numbered(1), tmp_path / "set")
    (tmp_path / ".set.partial").mkdir()
    tmp_path.chmod(0o500)
    try:
        assert len(open_set(tmp_path / "set")) == 6
    finally:
        tmp_path.chmod(0o700)


# --- many clips -------------------------------------------------------------------------------------------------------

MANY = 120_000
LOOK = """
import sys, time
from pathlib import Path
import numpy as np
import hiclr.datasets as datasets

def held():
    rows = Path("/proc/self/status").read_text().splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith(("RssAnon", "RssFile"))) / 1024

before, began = held(), time.perf_counter()
clips = datasets.open_set(sys.argv[1])
took = time.perf_counter() - began
train, test = clips.split()
some = train.subset(np.arange(0, len(train), 7))
some.clips([0, 5])
kinds = (type(part.x).__name__ for part in (clips, train, some))
print(len(clips), len(train), len(test), took, held() - before, *kinds)
"""


def large_folder(folder: Path) -> Path:
    """As many clips as NTU RGB+D 120 has: 3.6 GB of positions that are zero and take no room on the disk."""
    names = [f"S{i % 32:03d}C{i % 3:03d}P{i % 106:03d}R001A{i % 120:03d}-{i}" for i in range(MANY)]
    small = SkeletonSet.from_arrays(np.zeros((2, 3, 50, 25, 2)), [0, 119], protocols={"xsub": [False, True]})
    save_set(small, folder)
    rows = np.arange(MANY)
    for key, array in (("y", rows % 120), ("names", names), ("subject", rows % 106), ("length", rows % 99 + 1)):
        np.save(folder / f"{key}.npy", np.asarray(array))
    for key in ("protocol.xsub", "test"):
        np.save(folder / f"{key}.npy", rows % 106 > 53)
    with (folder / "x.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (MANY, 3, 50, 25, 2)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + MANY * 3 * 50 * 25 * 2 * 4)
    return folder


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is read from /proc")
def test_a_set_of_the_size_of_ntu120_opens_at_once_and_is_split_without_being_read(tmp_path: Path):
    folder = large_folder(tmp_path / "set")
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(folder)], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HOME)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    clips, train, test, took, grown, *kinds = done.stdout.split()
    assert int(clips) == int(train) + int(test) == MANY
    assert float(took) < 2, "seconds"
    assert float(grown) < 150, "MB, of 3,600 of positions"
    assert kinds == ["MappedFile", "MappedRows", "MappedRows"]


def test_many_clips_of_one_name_are_said_at_once():
    names = [f"clip {i}" for i in range(MANY - 1)] + ["clip 119998"]
    began = time.perf_counter()
    with pytest.raises(InputError, match="names must be unique, 'clip 119998' occurs more than once"):
        SkeletonSet.from_arrays(np.zeros((MANY, 3, 1, 25, 1), np.float32), np.zeros(MANY, int), names=names)
    assert time.perf_counter() - began < 5


# --- from arrays ------------------------------------------------------------------------------------------------------


def test_three_lines_make_a_set_of_arrays_and_words():
    x = np.random.default_rng(0).normal(size=(4, 3, 8, 25, 1))
    clips = SkeletonSet.from_arrays(x, ["wave", "sit", "wave", "bow"], test=[False, False, True, True])
    assert (clips.classes, clips.y.tolist(), clips.layout.name) == (("bow", "sit", "wave"), [2, 1, 2, 0], "ntu25")
    train, test = clips.split()
    assert (len(train), len(test)) == (2, 2)


def test_the_joints_of_arrays_are_named_by_a_word_or_asked_for_with_an_example():
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 20, 1))
    named = SkeletonSet.from_arrays(x, ["wave", "sit"], layout="kinect20-sdk")
    assert named.layout is KINECT_20_SDK
    with pytest.raises(InputError, match=r"20 joints.*taken for the 25.*'kinect20-msr' or 'kinect20-sdk', or your own"):
        SkeletonSet.from_arrays(x, ["wave", "sit"])
    with pytest.raises(InputError, match=r"layout 'kinect' is not known .*kinect20-msr"):
        SkeletonSet.from_arrays(x, ["wave", "sit"], layout="kinect")
    with pytest.raises(InputError, match=r"20 joints .*, layout 'ntu25' has 25"):
        SkeletonSet.from_arrays(x, ["wave", "sit"], layout="ntu25")


def test_the_example_of_a_layout_works_as_it_stands():
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 3, 1))
    with pytest.raises(InputError) as asked:
        SkeletonSet.from_arrays(x, ["wave", "sit"])
    said = str(asked.value)
    example = said[said.index("match_layout(") : said.index(")", said.index("match_layout(")) + 1]
    layout = eval(example, {"match_layout": match_layout})  # noqa: S307 - our own line
    assert layout == Layout("custom-3", ("hip", "hand_l", "hand_r"), (0, 0, 0), ((1, 2),), 0)
    assert SkeletonSet.from_arrays(x, ["wave", "sit"], layout=layout).layout is layout


def test_labels_of_a_table_are_words_or_numbers():
    x = np.zeros((2, 3, 4, 25, 1))
    assert SkeletonSet.from_arrays(x, np.array(["b", "a"], dtype=object)).classes == ("a", "b")
    assert SkeletonSet.from_arrays(x, np.array([1, 0], dtype=object)).y.tolist() == [1, 0]


@pytest.mark.parametrize("mapped", [True, False])
def test_a_part_that_is_not_there_is_named(tmp_path: Path, mapped: bool):
    clips = numbered(1)
    if mapped:
        save_set(clips, tmp_path / "set")
        clips = open_set(tmp_path / "set")
    assert clips.subset([-1, 0]).names == ("clip000005", "clip000000")
    assert isinstance(clips.subset([-1]).x, MappedRows) == mapped
    for indices, words in (
        ([0, 6], "there is no clip 6: the set has 6 clips"),
        ([-7], "there is no clip -7"),
        ([True, False], r"a mask of clips must have shape \(6,\), it has \(2,\)"),
        ([0.5], "indices of clips must hold whole numbers"),
        ([1, 1], "'clip000001' occurs more than once"),
        ([], "with at least one of each"),
    ):
        with pytest.raises(InputError, match=words):
            clips.subset(indices)


# --- what a notebook shows --------------------------------------------------------------------------------------------


def test_a_notebook_shows_counts_per_protocol_and_every_word_escaped(tmp_path: Path):
    bad = "<script>alert(1)</script>"
    layout = Layout(f"{bad}layout", ("hip", "hand_l", "hand_r"), (0, 0, 0), ((1, 2),), 0)
    clips = SkeletonSet.from_arrays(
        np.zeros((3, 3, 4, 3, 1)), [0, 0, 1], layout=layout, classes=[bad, f"{bad}b"], source=f"{bad}source",
        names=[f"{bad}{i}" for i in range(3)], ids={f"{bad}id": [1, 2, 3]}, preprocessing=(f"{bad}step",),
        protocols={f"{bad}test": [False, False, True], "cross-view": [True, True, False]},
    )  # fmt: skip
    save_set(clips, tmp_path / "set")
    for shown in (clips._repr_html_(), open_set(tmp_path / "set")._repr_html_()):
        assert "<script" not in shown
        assert shown.count("&lt;script&gt;") == 5  # source, layout, ids, step, protocol
        assert ">2 train / 1 test<" in shown
        assert ">1 train / 2 test<" in shown
        assert "mathjax_ignore" in shown  # no formula is made of what stands between two $
