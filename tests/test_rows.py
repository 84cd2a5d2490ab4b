"""Rows of a mapped file: read from the file itself, equal to what the map shows, and not counted as memory."""

import subprocess
import sys
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from hiclr.datasets import SkeletonSet, open_set, save_set
from hiclr.datasets.rows import MappedFile, MappedRows, read_rows
from hiclr.errors import InputError


@pytest.fixture
def positions(tmp_path: Path) -> np.memmap:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(9, 3, 4, 5, 2)).astype(np.float32))
    return MappedFile(tmp_path / "x.npy")


INDICES = [0, -1, slice(None), slice(2, 7), slice(8, 1, -3), slice(0, 0), np.array([5, 0, 5, 8]), [1, 2], np.arange(0)]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_rows_are_those_of_the_map(positions: np.memmap, index: object):
    rows = read_rows(positions, index)
    assert not isinstance(rows, np.memmap)
    np.testing.assert_array_equal(rows, np.asarray(positions[index]))
    chosen = np.array([8, 6, 4, 2, 0, 1, 3, 5, 7])
    mapped = MappedRows(positions, chosen)
    np.testing.assert_array_equal(mapped[index], np.asarray(positions)[chosen][index])


def test_a_part_of_a_map_and_an_array_in_memory_are_read_as_they_are(positions: np.memmap):
    np.testing.assert_array_equal(read_rows(positions[3:], [0, 1]), np.asarray(positions)[3:5])
    np.testing.assert_array_equal(read_rows(np.asarray(positions), [4]), np.asarray(positions)[4:5])
    big_endian = np.asarray(positions).astype(">f4")
    np.save(Path(positions.filename).with_name("big.npy"), big_endian)
    mapped = MappedFile(Path(positions.filename).with_name("big.npy"))
    np.testing.assert_array_equal(read_rows(mapped, [3, 1]), np.asarray(positions)[[3, 1]])


def test_a_row_that_is_not_there_is_an_error_as_in_an_array(positions: np.memmap):
    with pytest.raises(IndexError):
        read_rows(positions, [9])


def test_a_file_cut_while_it_is_open_is_named(positions: np.memmap):
    path = Path(positions.filename)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    for rows in ([8], [0, 7]):
        with pytest.raises(InputError, match=r"x\.npy was cut after it was opened"):
            read_rows(positions, rows)


def test_a_file_that_is_written_into_while_it_is_open_is_named(positions: np.memmap):
    with Path(positions.filename).open("r+b") as file:
        file.seek(200)
        file.write(b"1234")
    with pytest.raises(InputError, match=r"x\.npy was written into after it was opened"):
        read_rows(positions, [0])


def numbered(value: float, clips: int = 6) -> SkeletonSet:
    """All positions of clip i are value + i."""
    x = np.broadcast_to(value + np.arange(clips, dtype=np.float32)[:, None, None, None, None], (clips, 3, 4, 25, 1))
    return SkeletonSet.from_arrays(x, np.arange(clips) % 2, test=np.arange(clips) % 3 == 0)


def test_a_set_that_is_replaced_while_it_is_open_keeps_its_rows(tmp_path: Path):
    save_set(numbered(0), tmp_path / "set")
    opened = open_set(tmp_path / "set")
    save_set(numbered(100), tmp_path / "set")
    assert opened.clips([3, 1])[:, 0, 0, 0, 0].tolist() == [3, 1]
    assert float(opened[2][0].max()) == 2
    assert opened.fingerprint == numbered(0).fingerprint
    assert open_set(tmp_path / "set").fingerprint == numbered(100).fingerprint


def test_what_is_made_of_a_map_is_an_array_like_any_other(positions: MappedFile):
    for made in (positions[2:4], positions[[0, 1]], positions + 1, positions.max(axis=0)):
        assert type(made) is np.ndarray
    assert isinstance(positions.max(), np.float32)
    assert type(ForkingPickler.loads(ForkingPickler.dumps(positions[2:4]))) is np.ndarray


def test_a_mapped_set_is_sent_to_another_process_without_its_positions(tmp_path: Path):
    x = np.random.default_rng(0).normal(size=(60, 3, 20, 25, 2)).astype(np.float32)  # 720 kB
    save_set(SkeletonSet.from_arrays(x, np.arange(60) % 3, test=np.arange(60) < 20), tmp_path / "set")
    clips = open_set(tmp_path / "set")
    for part, wanted in ((clips, x), (clips.split()[0], x[20:])):
        sent = ForkingPickler.dumps(part)
        assert len(sent) < 10_000
        there = ForkingPickler.loads(sent)
        assert isinstance(there.x, np.memmap | MappedRows)
        np.testing.assert_array_equal(there.clips(range(len(wanted))).numpy(), wanted)
    sent = ForkingPickler.dumps(clips)
    save_set(numbered(0), tmp_path / "set")
    with pytest.raises(InputError, match=r"x\.npy was replaced or removed while it was in use"):
        ForkingPickler.loads(sent)
    whole = ForkingPickler.loads(ForkingPickler.dumps(clips))  # its file has no name any more
    assert type(whole.x) is np.ndarray
    np.testing.assert_array_equal(whole.x, x)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_of_a_data_loader_read_a_mapped_set(tmp_path: Path, context: str):
    save_set(numbered(0, 12), tmp_path / "set")
    train, _ = open_set(tmp_path / "set").split()
    loader = DataLoader(train, batch_size=3, num_workers=2, multiprocessing_context=context)
    x, y = zip(*loader, strict=True)
    assert np.concatenate(x)[:, 0, 0, 0, 0].tolist() == [1, 2, 4, 5, 7, 8, 10, 11]
    assert np.concatenate(y).tolist() == [1, 0, 0, 1, 1, 0, 0, 1]


EPOCH = """
import sys
import numpy as np
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from hiclr.datasets import open_set

def mapped():
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("RssFile"))

clips = open_set(sys.argv[1])
before = mapped()
for start in range(0, len(clips), 50):
    clips.clips(np.arange(start, start + 50))
print(mapped() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is read from /proc")
def test_an_epoch_through_a_mapped_set_leaves_no_pages_behind(tmp_path: Path):
    x = np.random.default_rng(0).normal(size=(400, 3, 50, 25, 2)).astype(np.float32)  # 12 MB
    save_set(SkeletonSet.from_arrays(x, np.arange(400) % 4), str(tmp_path / "set"))
    ran = subprocess.run(
        [sys.executable, "-c", EPOCH, str(tmp_path / "set")], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(ran.stdout) < 2000, "kB of mapped pages after an epoch over 12 MB"
