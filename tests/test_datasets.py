"""SkeletonSet, sets on disk, preprocessing and streams."""

import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from hiclr.datasets import (
    RELEASED_CODE,
    Preprocess,
    SkeletonSet,
    bones,
    centre,
    convert,
    diagnose,
    motion,
    open_set,
    presence,
    report_text,
    resample,
    save_set,
    synthetic,
    to_stream,
    turn,
)
from hiclr.datasets.base import MappedRows
from hiclr.errors import InputError
from hiclr.pretraining import PretrainConfig
from hiclr.skeleton import KINECT_20_SDK, NTU_25, Layout, find_pairs, match_layout


def positions(n: int = 6, frames: int = 8, joints: int = 25, persons: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3, frames, joints, persons)).astype(np.float32)


def small_set(n: int = 6, joints: int = 25) -> SkeletonSet:
    layout = NTU_25 if joints == 25 else KINECT_20_SDK
    return SkeletonSet.from_arrays(
        positions(n, joints=joints),
        np.arange(n) % 3,
        layout=layout,
        classes=("sit", "stand", "wave", "never seen"),
        names=[f"clip {i} é" for i in range(n)],
        test=np.arange(n) >= n // 2,
        ids={"subject": np.arange(n)},
        length=np.full(n, 8),
        synthetic=True,
        source="made here",
        preprocessing=("centre frame",),
    )


# --- layouts ----------------------------------------------------------------------------------------------------------


def test_mirror_twice_is_the_identity():
    order = np.array(NTU_25.mirror)
    assert (order[order] == np.arange(25)).all()
    assert NTU_25.joints[order[NTU_25.joints.index("elbow_l")]] == "elbow_r"


def test_pairs_are_found_by_common_spellings():
    joints = ["LeftArm", "RightArm", "left_hip", "right_hip", "LHip", "RHip", "nose", "hip.L", "hip.R", "lower"]
    assert find_pairs(joints) == ((0, 1), (2, 3), (4, 5), (7, 8))


@pytest.mark.parametrize(
    ("parents", "words"),
    [((0, 2, 1), "loop"), ((0, 0, 2), "one root"), ((0, 0, 5), "outside"), ((0, 0), "2 parents")],
)
def test_what_is_no_tree_is_refused(parents: tuple[int, ...], words: str):
    with pytest.raises(InputError, match=words):
        Layout("mine", ("a", "b", "c"), parents, (), 0)


def test_a_known_tree_is_recognised():
    parents = [-1 if v == parent else parent for v, parent in enumerate(KINECT_20_SDK.parents)]
    assert match_layout(KINECT_20_SDK.joints, parents) is KINECT_20_SDK


# --- the set ----------------------------------------------------------------------------------------------------------


def test_a_set_from_two_arrays():
    clips = SkeletonSet.from_arrays(positions(4).astype(np.float64), ["b", "a", "b", "c"])
    assert (clips.classes, clips.y.tolist()) == (("a", "b", "c"), [1, 0, 1, 2])
    assert clips.x.dtype == np.float32


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (positions()[..., 0], range(6), ("(N, 3, T, V, M)", "(6, 3, 8, 25)", "x[..., None]")),
        (positions().transpose(0, 2, 3, 4, 1), range(6), ("(6, 8, 25, 2, 3)", "x.transpose(0, 4, 1, 2, 3)")),
        (positions(joints=20), range(6), ("20 joints", "25")),
        (positions(), range(5), ("(6,)", "(5,)")),
        (positions(), [0, 1, 2, 0, 1, -1], ("-1", "clip 5")),
        (positions(), [0.5] * 6, ("integers or words",)),
    ],
)
def test_wrong_arrays_get_a_sentence(x: np.ndarray, y: list[int], words: tuple[str, ...]):
    with pytest.raises(InputError) as refused:
        SkeletonSet.from_arrays(x, list(y))
    assert all(word in str(refused.value) for word in words)


def test_a_data_loader_takes_it():
    x, y = next(iter(DataLoader(small_set(), batch_size=4)))
    assert (tuple(x.shape), y.tolist()) == ((4, 3, 8, 25, 2), [0, 1, 2, 0])


def test_a_split_leaves_both_parts_something():
    train, test = small_set().split()
    assert set(train.names).isdisjoint(test.names)
    clips = small_set()
    with pytest.raises(InputError, match="leaves no clip"):
        SkeletonSet.from_arrays(clips.x, clips.y, test=[False] * 6).split()
    with pytest.raises(InputError, match="no protocol 'cross-view'"):
        clips.split("cross-view")


def test_what_a_page_shows_is_escaped():
    clips = SkeletonSet.from_arrays(positions(2), [0, 1], source="<script>alert(1)</script>")
    assert "<script>" not in clips._repr_html_()


# --- on disk ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["set.npz", "set"])
@pytest.mark.parametrize("joints", [25, 20])
def test_a_set_comes_back_whole(tmp_path: Path, name: str, joints: int):
    before = small_set(joints=joints)
    save_set(before, tmp_path / name)
    after = open_set(tmp_path / name)
    assert after.fingerprint == before.fingerprint
    for field in ("classes", "names", "layout", "source", "synthetic", "preprocessing"):
        assert getattr(after, field) == getattr(before, field)
    np.testing.assert_array_equal(after.protocols["test"], before.protocols["test"])
    np.testing.assert_array_equal(after.ids["subject"], before.ids["subject"])
    assert [p.name for p in tmp_path.iterdir()] == [name]  # no leftovers


def test_a_folder_stays_on_the_disk(tmp_path: Path):
    save_set(small_set(), tmp_path / "set")
    save_set(small_set(4), tmp_path / "set")  # written again in one go
    clips = open_set(tmp_path / "set")
    train, _ = clips.split()
    assert len(clips) == 4
    assert isinstance(clips.x, np.memmap)
    assert isinstance(train.x, MappedRows)
    np.testing.assert_array_equal(train.clips([1]).numpy(), small_set(4).x[[1]])
    assert train.fingerprint == small_set(4).split()[0].fingerprint


def test_a_mapped_file_cut_short_is_refused(tmp_path: Path):
    save_set(small_set(), tmp_path / "set")
    path = tmp_path / "set" / "x.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"x\.npy"):
        open_set(tmp_path / "set")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": positions(), "y": np.zeros(6, int)}, ("'x'", "X", "(N, 3, T, V, M)")),
        ({"x": positions()}, ("'y'", "(N,)")),
        ({"x": positions(joints=7), "y": np.zeros(6, int)}, ("7 joints", "joint_names", "parents")),
        ({"x": positions(), "y": np.zeros(6, int), "layout": np.array("mine")}, ("'mine'", "joint_names", "ntu25")),
        ({"x": positions(), "y": np.zeros(6, int), "test_subjects": np.array([1])}, ("'subject'",)),
        ({"x": np.where(np.arange(6)[:, None, None, None, None] == 3, np.nan, positions()), "y": np.zeros(6, int)},
         ("clip000003", "frame 0", "spine_base", "nan")),
    ],
)  # fmt: skip
def test_a_faulty_npz_gets_a_sentence(tmp_path: Path, arrays: dict[str, np.ndarray], words: tuple[str, ...]):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError) as refused:
        open_set(tmp_path / "bad.npz")
    assert all(word in str(refused.value) for word in ("bad.npz", *words))
    report = diagnose(tmp_path / "bad.npz")
    assert not report["ok"]


# --- what is no set, or not in the order that is wanted ---------------------------------------------------------------


def npy_bytes(x: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, x)
    return file.getvalue()


def zip_bytes(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in members.items():
            packed.writestr(name.replace("__", "/").replace("_", "."), content)
    return file.getvalue()


WHOLE = zip_bytes(x_npy=npy_bytes(positions()), y_npy=npy_bytes(np.arange(6)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy_bytes(positions()), "is a single array, a .npy under the name of an npz.*np.savez"),
        (zip_bytes(a_skeleton=b"0", b_skeleton=b"0"), r"is a zip without arrays \(in it: a.skeleton, b.skele"),
        (zip_bytes(set__x_npy=b"", set__y_npy=b""), r"is a zip of a folder \(set/x.npy\). Unpack it"),
        (zip_bytes(x_npy=b"\x93NUMPY torn", y_npy=npy_bytes(np.arange(6))), "'x' cannot be read .*Copy or download"),
        (b"", "is empty, 0 bytes"),
        (b"<!DOCTYPE html><p>404", "is a web page"),
        (b"\x80\x04K\x05.", "is a pickle, .* refused"),
        (b"\x1f\x8b\x08", "is packed with gzip"),
        (b"\x89HDF\r\n", "is an HDF5 file"),
        (b"x y z", "is no npz"),
        (WHOLE[:-40], "is no whole npz"),
        (WHOLE[:3000] + b"?" + WHOLE[3001:], "cannot be read .*CRC"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["open", "prepare", "doctor"])
def test_a_wrong_container_is_named_plainly(tmp_path: Path, content: bytes, words: str, command: str):
    (tmp_path / "set.npz").write_bytes(content)
    if command == "doctor":
        said = diagnose(tmp_path / "set.npz")["faults"][0]["what"]
        assert re.search(f"set.npz.* ?{words}", said)
        return
    with pytest.raises(InputError, match=f"set.npz.* ?{words}"):
        open_set(tmp_path / "set.npz") if command == "open" else convert(tmp_path / "set.npz", tmp_path / "out")


def test_what_lies_beside_the_arrays_of_an_npz_is_no_matter(tmp_path: Path):
    (tmp_path / "set.npz").write_bytes(WHOLE)
    with zipfile.ZipFile(tmp_path / "set.npz", "a") as packed:
        packed.writestr("readme.txt", "mine")
    np.testing.assert_array_equal(open_set(tmp_path / "set.npz").x, positions())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("{", "no JSON"), ("[1, 2]", r"must hold an object.*it holds \[1, 2\]"), ("7", "must hold an object"),
        ("[" * 10**5, "no JSON"), ('{"classes": [["a"], ["b", "c"]]}', "'classes' must hold a number, a text or"),
        ('{"fps": {}}', "'fps' must hold"),
    ],
)  # fmt: skip
def test_a_meta_json_that_is_none_is_named(tmp_path: Path, said: str, words: str):
    save_set(small_set(), tmp_path / "set")
    (tmp_path / "set" / "meta.json").write_text(said)
    with pytest.raises(InputError, match=f"set/meta.json.*{words}"):
        open_set(tmp_path / "set")


def test_a_meta_json_may_say_what_files_may(tmp_path: Path):
    save_set(small_set(), tmp_path / "set")
    said = {"fps": 25, "styles": ["calm"], "mine": {"any": ["thing"]}}
    (tmp_path / "set" / "meta.json").write_text(json.dumps(said), encoding="utf-8-sig")
    clips = open_set(tmp_path / "set")
    assert (clips.fps, clips.styles) == (25, ("calm",))


@pytest.mark.parametrize("read", [open_set, lambda path: convert(path, path.with_name("out"))])
def test_a_folder_that_lacks_something_is_named(tmp_path: Path, read: Callable[[Path], object]):
    save_set(small_set(), tmp_path / "set")
    np.save(tmp_path / "set" / "y.npy", np.arange(5))
    with pytest.raises(InputError, match=r"set: y must have shape \(6,\), one label for each clip of x; it has \(5,\)"):
        read(tmp_path / "set")
    np.save(tmp_path / "set" / "y.npy", np.eye(6, 3, dtype=int))
    with pytest.raises(InputError, match=r"One column for each class\? y\.argmax\(axis=1\)"):
        read(tmp_path / "set")
    (tmp_path / "set" / "y.npy").unlink()
    with pytest.raises(InputError, match=r"set has x\.npy and no y\.npy\..*zeros will do"):
        read(tmp_path / "set")
    (tmp_path / "set" / "x.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match=r"set/x\.npy is no npy file, or not a whole one"):
        read(tmp_path / "set")


LINE = r"x(?:\.reshape\([^)]*\))?(?:\.transpose\([^)]*\))?(?:\[[^\]]*\])?(?= makes| brings|\. |\.$)"


@pytest.mark.parametrize(
    ("shape", "order"),
    [
        ((6, 3, 8, 25), "nctv"), ((6, 8, 25, 3), "ntvc"), ((6, 8, 3, 25), "ntcv"), ((3, 8, 25, 2), "ctvm"),
        ((8, 25, 3), "tvc"), ((3, 8, 25), "ctv"), ((6, 8, 75), "nt(vc)"), ((6, 8, 150), "nt(mvc)"),
        ((6, 2, 8, 25, 3), "nmtvc"), ((6, 8, 25, 2, 3), "ntvmc"), ((6, 8, 2, 25, 3), "ntmvc"),
        ((6, 8, 25, 3, 2), "ntvcm"), ((6, 2, 3, 8, 25), "nmctv"), ((3, 6, 8, 25, 2), "cntvm"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["arrays", "set.npz", "set"])
def test_the_line_that_brings_axes_to_their_order_does(tmp_path: Path, shape: tuple[int, ...], order: str, name: str):
    wanted = positions()  # (6, 3, 8, 25, 2), of which there is as much as the shape has
    wanted = wanted[: 6 if "n" in order else 1, ..., : 2 if "m" in order else 1]
    axes = order.replace("(", "").replace(")", "")
    x = np.einsum(wanted, [0, 1, 2, 3, 4], ["nctvm".index(axis) for axis in axes]).reshape(shape)
    y = np.zeros(len(wanted), int)
    with pytest.raises(InputError) as refused:
        if name == "arrays":
            SkeletonSet.from_arrays(x, y)
        elif name == "set":
            (tmp_path / "set").mkdir()
            np.save(tmp_path / "set" / "x.npy", x)
            np.save(tmp_path / "set" / "y.npy", y)
            open_set(tmp_path / "set")
        else:
            np.savez(tmp_path / "set.npz", x=x, y=y)
            open_set(tmp_path / "set.npz")
    said = str(refused.value)
    assert "(N, 3, T, V, M)" in said
    assert str(shape) in said
    hint = re.search(
        r"x(?:\.reshape\([^)]*\))?(?:\.transpose\([^)]*\))?(?:\[[^\]]*\])?(?= (?:makes|brings)|\. |\.$)", said
    )
    assert hint, said
    np.testing.assert_array_equal(eval(hint[0], {"x": x}), wanted)  # noqa: S307 - our own line


def test_joints_that_changed_places_are_seen(tmp_path: Path):
    for axis in (2, 4):
        x = np.ascontiguousarray(positions().swapaxes(3, axis))
        np.savez(tmp_path / "set.npz", x=x, y=np.arange(6))
        for read in (lambda: open_set(tmp_path / "set.npz"), lambda x=x: SkeletonSet.from_arrays(x, np.arange(6))):
            with pytest.raises(InputError, match=rf"Axis {axis} has 25: x\.swapaxes\(3, {axis}\)"):
                read()


@pytest.mark.parametrize("dtype", ["f8", "i4", "f2", "u1", ">f4"])
@pytest.mark.parametrize("name", ["set.npz", "set"])
def test_positions_of_another_type_are_converted_and_said(tmp_path: Path, dtype: str, name: str):
    x = (positions() * 100).astype(np.int8).astype(dtype)
    (tmp_path / "set").mkdir()
    np.save(tmp_path / "set" / "x.npy", x)
    np.save(tmp_path / "set" / "y.npy", np.arange(6))
    np.savez(tmp_path / "set.npz", x=x, y=np.arange(6))
    with pytest.warns(UserWarning, match=r"x is \w+[\w ]* and is read as float32"):
        clips = open_set(tmp_path / name)
    assert clips.x.dtype == np.float32
    np.testing.assert_array_equal(clips.clips(range(6)).numpy(), x.astype(np.float32))
    report = convert(tmp_path / name, tmp_path / "out.npz")
    assert "and is read as float32" in report["notes"][0]
    np.testing.assert_array_equal(open_set(tmp_path / "out.npz").x, x.astype(np.float32))


def test_numbers_beyond_float32_are_named_not_warned_of(tmp_path: Path):
    np.savez(tmp_path / "set.npz", x=positions(2).astype(np.float64) * 1e200, y=np.arange(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for read in (open_set, lambda path: convert(path, tmp_path / "out.npz")):
            with pytest.raises(InputError, match="2 clips hold positions that are not finite"):
                read(tmp_path / "set.npz")


def test_clips_of_unequal_length_are_told_to_be_padded(tmp_path: Path):
    ragged = np.empty(2, dtype=object)
    ragged[:] = [positions()[0], positions()[1, :, :4]]
    (tmp_path / "set").mkdir()
    np.save(tmp_path / "set" / "x.npy", ragged, allow_pickle=True)
    np.save(tmp_path / "set" / "y.npy", np.arange(2))
    np.savez(tmp_path / "set.npz", x=ragged, y=np.arange(2))
    for read in (
        lambda: open_set(tmp_path / "set"), lambda: open_set(tmp_path / "set.npz"),
        lambda: convert(tmp_path / "set", tmp_path / "out"), lambda: SkeletonSet.from_arrays(ragged, [0, 1]),
        lambda: SkeletonSet.from_arrays(list(ragged), [0, 1]),
    ):  # fmt: skip
        with pytest.raises(InputError, match=r"one array of numbers .* shorter clips end in zeros, and `length`"):
            read()


def test_one_of_a_thing_is_not_said_as_many(tmp_path: Path):
    clips = SkeletonSet.from_arrays(positions(1, frames=1, persons=1), [0])
    assert "clip 1 frame, 25 joints (ntu25), 1 person;" in repr(clips)
    save_set(clips, tmp_path / "set.npz")
    said = report_text(convert(tmp_path / "set.npz", tmp_path / "out.npz"))
    assert said.startswith("1 clip, 1 class, 1 frame: ")
    broken = replace(clips, x=np.full_like(clips.x, np.nan))
    with pytest.raises(InputError, match="1 clip holds positions"):
        save_set(broken, tmp_path / "nan.npz")
    with pytest.raises(InputError, match=r"indices 0\.\.0 into the 1 class;"):
        SkeletonSet.from_arrays(clips.x, [3], classes=["a"])


def test_objects_are_refused_not_unpickled(tmp_path: Path):
    np.savez(tmp_path / "bad.npz", x=positions(), y=np.array([{}] * 6, dtype=object))
    with pytest.raises(InputError, match="'y' holds Python objects"):
        open_set(tmp_path / "bad.npz")


def test_labels_below_0_are_said_to_start_at_0():
    with pytest.raises(InputError, match=r"labels that start at 0; clip 1 \(clip000001\) has -1"):
        SkeletonSet.from_arrays(np.ones((3, 3, 2, 25, 1)), [0, -1, 1])


def test_labels_counted_from_one_or_in_words(tmp_path: Path):
    np.savez(tmp_path / "one.npz", x=positions(4), y=np.array([1, 2, 3, 1]), classes=np.array(["a", "b", "c"]))
    with pytest.warns(UserWarning, match="labels start at 1"):
        assert open_set(tmp_path / "one.npz").y.tolist() == [0, 1, 2, 0]
    np.savez(tmp_path / "bare.npz", x=positions(4), y=np.array([1, 2, 3, 1]))
    with pytest.warns(UserWarning, match="labels start at 1"):
        bare = open_set(tmp_path / "bare.npz")
    assert (bare.y.tolist(), bare.classes) == ([0, 1, 2, 0], ("1", "2", "3"))  # no class 0 that nobody made
    np.savez(tmp_path / "more.npz", x=positions(4), y=np.array([1, 2, 3, 1]), classes=np.array(["a", "b", "c", "d"]))
    assert open_set(tmp_path / "more.npz").y.tolist() == [1, 2, 3, 1]  # "a" has no clip
    np.savez(tmp_path / "words.npz", x=positions(4), y=np.array(["c", "a", "b", "d"]))
    assert open_set(tmp_path / "words.npz").y.tolist() == [2, 0, 1, 3]


def test_an_impossible_length_is_counted_again_and_said(tmp_path: Path):
    x = positions()
    x[2, :, 5:] = 0
    np.savez(tmp_path / "set.npz", x=x, y=np.zeros(6, int), length=np.array([8, 8, 0, -1, 8, 40]))
    with pytest.warns(UserWarning, match="clip000002 says 0, clip000003 says -1"):
        clips = open_set(tmp_path / "set.npz")
    assert clips.length is not None
    assert clips.length.tolist() == [8, 8, 5, 8, 8, 40]
    report = diagnose(tmp_path / "set.npz")
    assert "clip000002" in report["faults"][0]["what"]
    assert any("clip000005" in note for note in report["notes"])  # 40 of 8 frames: the length before resampling


def test_an_array_larger_than_memory_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive, archive.open("x.npy", "w") as member:
        shape = (2**30, 3, 64, 25, 2)  # 37 TiB, said by a file of a hundred bytes
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with pytest.raises(InputError, match=r"bad\.npz.*'x'"):
        open_set(tmp_path / "bad.npz")


def test_positions_of_any_order_and_type_are_read_and_left_alone(tmp_path: Path):
    (tmp_path / "set").mkdir()
    wanted = positions()
    np.save(tmp_path / "set" / "x.npy", np.asfortranarray(wanted.astype(np.float64)))
    np.save(tmp_path / "set" / "y.npy", np.zeros(6, int))
    (tmp_path / "set" / "x.npy").chmod(0o400)
    before = (tmp_path / "set" / "x.npy").read_bytes()
    clips = open_set(tmp_path / "set")
    np.testing.assert_array_equal(np.asarray(clips.x), wanted)
    clips.clips([0, 1]).zero_()
    convert(tmp_path / "set", tmp_path / "out.npz", preprocess="released")
    assert (tmp_path / "set" / "x.npy").read_bytes() == before


def test_a_written_file_has_the_permissions_of_any_other(tmp_path: Path):
    save_set(small_set(), tmp_path / "set.npz")
    (tmp_path / "other").touch()
    assert (tmp_path / "set.npz").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_set(small_set(), tmp_path / "set.npz")
    before = (tmp_path / "set.npz").read_bytes()

    def full(*args: object, **arrays: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)  # after x has been written
    with pytest.raises(OSError, match="No space"):
        save_set(small_set(4), tmp_path / "set.npz")
    assert (tmp_path / "set.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]


def test_what_is_no_set_is_never_replaced(tmp_path: Path):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "S001C001P001R001A001.skeleton").write_text("the only copy")
    (tmp_path / "notes").write_text("mine")
    for target in (raw, tmp_path / "notes"):
        with pytest.raises(InputError, match="would be lost"):
            save_set(small_set(), target)
        with pytest.raises(InputError, match="would be lost"):  # before it reads the source
            convert(tmp_path / "notes", target)
    assert (raw / "S001C001P001R001A001.skeleton").read_text() == "the only copy"
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_prepared_folder_is_replaced_unless_something_was_put_in(tmp_path: Path):
    (tmp_path / "set").mkdir()
    for count in (6, 9):  # into an empty folder, then over a set
        save_set(small_set(count), tmp_path / "set")
        assert len(open_set(tmp_path / "set")) == count
    (tmp_path / "set" / "thesis.txt").write_text("years")
    with pytest.raises(InputError, match=r"thesis\.txt"):
        save_set(small_set(), tmp_path / "set")
    assert len(open_set(tmp_path / "set")) == 9
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_folder_with_a_position_that_is_none_is_refused(tmp_path: Path):
    clips = small_set()
    x = np.array(clips.x)
    x[2, 1, 3, 4, 0] = np.nan
    broken = SkeletonSet.from_arrays(x, clips.y, names=clips.names)
    for target in (tmp_path / "set", tmp_path / "set.npz"):
        with pytest.raises(InputError, match="clip 2 é: frame 3, joint 4"):
            save_set(broken, target)
        assert not target.exists()
    (tmp_path / "own").mkdir()
    np.save(tmp_path / "own" / "x.npy", x)
    np.save(tmp_path / "own" / "y.npy", clips.y)
    with pytest.raises(InputError, match="frame 3, joint 4"):
        open_set(tmp_path / "own")


def test_a_named_layout_stands_in_for_joint_names(tmp_path: Path):
    np.savez(tmp_path / "set.npz", x=positions(4, joints=20), y=np.arange(4))
    report = convert(tmp_path / "set.npz", tmp_path / "out.npz", layout="kinect20-sdk")
    assert report["layout"] == "kinect20-sdk"
    assert open_set(tmp_path / "out.npz").layout is KINECT_20_SDK
    with pytest.raises(InputError, match="'kinect-7' is not known"):
        convert(tmp_path / "set.npz", tmp_path / "out.npz", layout="kinect-7")


def test_a_turn_is_recorded_only_where_there_are_shoulders():
    layout = Layout("two", ("a", "b"), (0, 0), (), 0)
    assert Preprocess(5).steps(layout) == ("centre frame", "resample 5")
    assert Preprocess(5).steps(NTU_25) == ("centre frame", "resample 5", "turn first")


def test_the_doctor_finds_a_clip_that_trains_and_tests(tmp_path: Path):
    x = positions()
    x[4] = x[1]
    np.savez(tmp_path / "set.npz", x=x, y=np.array([0, 1, 2, 0, 1, 3]), test=np.arange(6) >= 3)
    report = diagnose(tmp_path / "set.npz")
    assert [fault["where"] for fault in report["faults"]] == ["clip000001 = clip000004"]
    assert any("tested and never trained: 3" in note for note in report["notes"])
    x[5, ..., 1] = x[4, ..., 0] = 0  # another clip now: nothing to find but an unseen class
    np.savez(tmp_path / "set.npz", x=x, y=np.array([0, 1, 2, 0, 1, 3]), test=np.arange(6) >= 3)
    assert diagnose(tmp_path / "set.npz")["ok"]


def test_styles_are_looked_up_in_subject(tmp_path: Path):
    arrays = {"x": positions(), "y": np.zeros(6, int), "subject": np.arange(6), "test_styles": np.array([1, 4])}
    np.savez(tmp_path / "set.npz", **arrays)
    clips = open_set(tmp_path / "set.npz")
    assert clips.protocols["cross-style"].tolist() == [False, True, False, False, True, False]


def test_converting_a_set_applies_the_steps(tmp_path: Path):
    save_set(small_set(), tmp_path / "a.npz")
    report = convert(tmp_path / "a.npz", tmp_path / "b.npz", frames=5)
    assert (report["clips"], report["frames"]) == (6, 5)
    assert open_set(tmp_path / "b.npz").preprocessing == ("centre frame", "resample 5")
    with pytest.raises(InputError, match="no known format"):
        convert(tmp_path, tmp_path / "c.npz")


# --- preprocessing ----------------------------------------------------------------------------------------------------


def test_centring_moves_everybody_by_the_main_person():
    x = torch.from_numpy(positions())
    x[0, :, 3, :, 0] = 0  # the main person is away in one frame: the second one is centred there
    out = centre(x, 20)
    assert not out[1, :, :, 20, 0].any()
    assert not out[0, :, 3, 20, 1].any()
    assert not out[0, :, 3, :, 0].any()
    torch.testing.assert_close(out[1, :, 2, 4, 1], x[1, :, 2, 4, 1] - x[1, :, 2, 20, 0])
    torch.testing.assert_close(centre(x, 20, "first")[1, :, 2, 4, 1], x[1, :, 2, 4, 1] - x[1, :, 0, 20, 0])


def test_turning_lays_the_shoulders_along_x():
    out = turn(torch.from_numpy(positions()), (4, 8))
    line = out[:, :, 0, 8, 0] - out[:, :, 0, 4, 0]  # from left to right
    assert (line[:, 0] > 0).all()
    torch.testing.assert_close(line[:, 2], torch.zeros(6), atol=1e-6, rtol=0)


def test_turning_each_frame_lays_all_shoulders_along_x():
    x = torch.from_numpy(positions())
    out = turn(x, (4, 8), "frame")
    line = out[:, :, :, 8] - out[:, :, :, 4]
    assert (line[:, 0] >= 0).all()
    torch.testing.assert_close(line[:, 2], torch.zeros_like(line[:, 2]), atol=1e-6, rtol=0)
    torch.testing.assert_close(out.norm(dim=1), x.norm(dim=1))  # a turn keeps every length
    torch.testing.assert_close(out[:, 1], x[:, 1])


def test_centring_each_person_takes_their_distance_away():
    x = torch.from_numpy(positions())
    x[0, :, 3, :, 1] = 0
    out = centre(x, 20, "person")
    assert not out[:, :, :, 20].any()
    assert not out[0, :, 3, :, 1].any()
    torch.testing.assert_close(out[1, :, 2, 4, 1], x[1, :, 2, 4, 1] - x[1, :, 2, 20, 1])


def released_preprocessing(x: np.ndarray, frames: int) -> np.ndarray:
    """(3, T, 25, 2) of valid frames, step by step, one frame and person at a time; feeder/NTUDatasets.py's facts."""
    x = x.astype(np.float64) - x[:, :, 20:21]
    at = np.clip((np.arange(frames) + 0.5) * x.shape[1] / frames - 0.5, 0, x.shape[1] - 1)
    low = np.minimum(at.astype(int), x.shape[1] - 2)
    x = x[:, low] + (at - low)[None, :, None, None] * (x[:, low + 1] - x[:, low])
    for person in range(2):
        across = x[:, :, 8, person] - x[:, :, 4, person]
        sign = -1 if across[2].sum() >= 0 else 1
        for frame in range(frames):
            distance = np.sqrt(across[0, frame] ** 2 + across[2, frame] ** 2)
            angle = sign * np.arccos(across[0, frame] / (distance + 1e-4))
            matrix = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
            x[:, frame, :, person] = matrix @ x[:, frame, :, person]
    return x


def test_released_preprocessing_is_the_release_s():
    x = positions()
    out = RELEASED_CODE.apply(torch.from_numpy(x), NTU_25).numpy()
    expected = np.stack([released_preprocessing(clip, 50) for clip in x])
    np.testing.assert_allclose(out, expected, atol=2e-5)


def test_resampling_takes_the_valid_frames_only():
    x = torch.zeros(1, 3, 6, 1, 1)
    x[0, :, :4] = torch.tensor([1.0, 2, 3, 4]).view(4, 1, 1)
    # pixel centres: two new frames lie in the middle of frames 0-1 and 2-3
    assert resample(x, 2)[0, 0, :, 0, 0].tolist() == [1.5, 3.5]
    assert resample(x, 4)[0, 0, :, 0, 0].tolist() == [1, 2, 3, 4]


def test_one_frame_becomes_many_equal_ones():
    x = torch.zeros(1, 3, 4, 25, 1)
    x[0, :, 0] = 1.5
    assert (resample(x, 50) == 1.5).all()
    assert not motion(resample(x, 50)).any()


def test_nobody_glides_in_from_the_origin():
    x = torch.ones(1, 3, 40, 25, 2)
    x[0, :, :20, :, 1] = x[0, :, 31:, :, 1] = 0
    out = resample(x, 50)[0, 0, :, 0, 1]
    assert set(out.tolist()) == {0.0, 1.0}
    assert not (motion(x)[..., 1] != 0).any()


def test_preprocessing_twice_changes_nothing():
    steps = Preprocess(16)
    once = steps.apply(torch.from_numpy(positions()), NTU_25)
    torch.testing.assert_close(steps.apply(once, NTU_25), once, atol=1e-6, rtol=0)
    assert steps.steps() == ("centre frame", "resample 16", "turn first")


def test_presence_is_a_joint_away_from_the_origin():
    x = torch.zeros(1, 3, 2, 25, 2)
    x[0, 1, 1, 3, 0] = 0.1
    assert presence(x).tolist() == [[[False, False], [True, False]]]


# --- streams ----------------------------------------------------------------------------------------------------------


def test_streams_by_hand():
    x = torch.zeros(1, 3, 3, 2, 1)
    x[0, 0, :, 0, 0], x[0, 0, :, 1, 0] = torch.tensor([1.0, 2, 4]), torch.tensor([3.0, 3, 3])
    assert bones(x, [0, 0])[0, 0, :, :, 0].tolist() == [[0, 2], [0, 1], [0, -1]]
    assert motion(x)[0, 0, :, 0, 0].tolist() == [1, 2, 0]
    layout = Layout("two", ("a", "b"), (0, 0), (), 0)
    assert torch.equal(to_stream(x, "bone", layout), bones(x, [0, 0]))
    with pytest.raises(InputError, match="joint, bone, motion, joint-motion, bone-motion"):
        to_stream(x, "colour", layout)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 joints"):
        bones(x, [0, 0, 1])


def test_the_motion_of_bones_is_the_way_of_a_bone_in_time():
    layout = Layout("stick", ("root", "tip"), (0, 0), (), 0)
    x = torch.zeros(1, 3, 4, 2, 2)
    x[0, 0, :, 0, 0] = torch.tensor([1.0, 2.0, 4.0, 4.0])  # root, first person
    x[0, 0, :, 1, 0] = torch.tensor([2.0, 4.0, 7.0, 7.5])  # tip: the bone is 1, 2, 3, 3.5
    x[0, 1, :2, :, 1] = 1.0  # the second person, both joints at one place, leaves after two frames
    seen = to_stream(x, "bone-motion", layout)
    assert seen[0, 0, :, 1, 0].tolist() == [1, 1, 0.5, 0]
    assert not seen[0, 0, :, 0, 0].any() and not seen[..., 1].any()
    torch.testing.assert_close(seen[..., :1], motion(bones(x, layout.parents))[..., :1])
    assert torch.equal(to_stream(x, "joint-motion", layout), motion(x))
    assert torch.equal(to_stream(x, "motion", layout), motion(x))


def test_a_run_on_joint_motion_is_a_run_on_motion():
    assert PretrainConfig(stream="joint-motion") == PretrainConfig(stream="motion")
    assert PretrainConfig.from_dict(PretrainConfig(stream="bone-motion").to_dict()).stream == "bone-motion"
    with pytest.raises(InputError, match="joint, bone, motion"):
        PretrainConfig(stream="colour")  # type: ignore[arg-type]


def test_words_are_numbered_as_the_given_classes_are():
    clips = SkeletonSet.from_arrays(positions(3), ["wave l", "kick", "wave r"], classes=["wave l", "wave r", "kick"])
    assert clips.y.tolist() == [0, 2, 1]
    with pytest.raises(InputError, match="'hop', which is not among the classes: kick"):
        SkeletonSet.from_arrays(positions(2), ["hop", "kick"], classes=["kick"])


@pytest.mark.parametrize("shoulders", [None, (1, 2)])
@pytest.mark.parametrize("name", ["set", "set.npz"])
def test_every_field_of_a_layout_is_kept(tmp_path: Path, shoulders: tuple[int, int] | None, name: str):
    layout = Layout("mine", ("hip", "shoulder_l", "shoulder_r", "arm"), (0, 0, 0, 1), ((1, 2),), 3, shoulders)
    clips = SkeletonSet.from_arrays(positions(4, joints=4), np.arange(4), layout=layout)
    save_set(clips, tmp_path / name)
    assert open_set(tmp_path / name).layout == layout
    other = replace(clips, layout=replace(layout, shoulders=None if shoulders else (1, 2)))
    assert clips.fingerprint != other.fingerprint


def test_a_set_is_not_written_onto_itself(tmp_path: Path):
    save_set(small_set(), tmp_path / "a.npz")
    with pytest.raises(InputError, match="the source itself"):
        convert(tmp_path / "a.npz", tmp_path / "a.npz", frames=5)


def test_no_split_is_said_in_words():
    with pytest.raises(InputError, match=r"has no train and test part\. Give the test part"):
        SkeletonSet.from_arrays(positions(3), np.arange(3)).split_indices()


def test_a_set_says_its_rate_where_it_is_known(tmp_path: Path):
    clips = synthetic(subjects=2, cameras=1, frames=32)
    assert clips.fps == pytest.approx(15)  # 64 frames are at 30 a second
    for name in ("set", "set.npz"):
        save_set(clips, tmp_path / name)
        assert open_set(tmp_path / name).fps == clips.fps
    assert convert(tmp_path / "set.npz", tmp_path / "same.npz")["frames"] == 32
    assert open_set(tmp_path / "same.npz").fps == clips.fps
    convert(tmp_path / "set.npz", tmp_path / "stretched.npz", frames=20)
    assert open_set(tmp_path / "stretched.npz").fps is None  # each clip by a factor of its own
    np.savez(tmp_path / "bare.npz", x=clips.x[:2], y=[0, 1])
    assert open_set(tmp_path / "bare.npz").fps is None
    for bad, said in ((-1.0, "above 0"), ([1, 2], "one value: a number")):
        np.savez(tmp_path / "bad.npz", x=clips.x[:2], y=[0, 1], fps=bad)
        with pytest.raises(InputError, match=said):
            open_set(tmp_path / "bad.npz")
