"""Kinds of damage that readers met once with anything else than a reason; most were found by the fuzzer."""

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from mutations import packed_as_zip
from reading import write_all
from samples import RAW, SAMPLES

from hiclr.datasets import convert, diagnose, open_set
from hiclr.datasets.readers.plan import Skipped
from hiclr.datasets.readers.unpickling import safe_loads
from hiclr.datasets.skipped import write_list
from hiclr.errors import InputError

FOLDER = SAMPLES["folder"][0].files
STRANGE = np.frombuffer(b"a\0\0\0\xff\xff\xff\x7f", "<U2")  # its second character does not exist


def npy(array: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.save(made, array)
    return made.getvalue()


def npz(files: Mapping[str, bytes]) -> bytes:
    return packed_as_zip(list(files.items()), zipfile.ZIP_STORED)


def keys(**changed: bytes) -> dict[str, bytes]:
    """The arrays of a whole set, as files; some of them otherwise."""
    files = {name: content for name, content in FOLDER.items() if name.endswith(".npy")}
    files["classes.npy"] = npy(np.array(["wave", "run", "sit"]))
    return {**files, **{f"{key}.npy": content for key, content in changed.items()}}


def said(path: Path) -> str:
    """The reason against a set, the same from all that open it."""
    with pytest.raises(InputError) as opened:
        open_set(path)
    with pytest.raises(InputError) as converted:
        convert(path, path.parent / "made")
    report = diagnose(path)
    assert not report["ok"]
    assert report["faults"][0]["what"] == str(opened.value)
    assert str(converted.value) == str(opened.value)
    return str(opened.value)


OPEN_HEAD = b"\x93NUMPY\x01\x00\x46\x00" + b"{'descr': '<f4', (".ljust(69) + b"\n"  # a bracket that nobody closes
FEWER = npy(np.zeros((2, 3, 2, 20, 1), np.float32)).replace(b"(2, 3, 2, 20, 1)", b"(-2, 3, 2, 20, 1)")


@pytest.mark.parametrize("key", ["x", "y", "names"])
@pytest.mark.parametrize("content", [OPEN_HEAD, b"no array", STRANGE.tobytes()])
def test_a_member_that_is_no_array_is_named(key: str, content: bytes, tmp_path: Path):
    (tmp_path / "set.npz").write_bytes(npz(keys(**{key: content})))
    assert f"set.npz: '{key}'" in said(tmp_path / "set.npz")
    write_all(tmp_path / "set", keys(**{key: content}))
    assert f"set/{key}.npy" in said(tmp_path / "set")


def test_rows_of_a_negative_number_are_refused(tmp_path: Path):
    assert "set/x.npy" in said(write_all(tmp_path / "set", keys(x=FEWER)))


@pytest.mark.parametrize("key", ["y", "names", "joint_names", "classes", "layout", "subject"])
def test_characters_that_do_not_exist_are_refused_by_key(key: str, tmp_path: Path):
    (tmp_path / "set.npz").write_bytes(npz(keys(**{key: npy(np.resize(STRANGE, 5))})))
    assert f"set.npz: {key} holds characters that do not exist" in said(tmp_path / "set.npz")


def test_characters_that_do_not_exist_are_refused_in_labels_and_pickles(tmp_path: Path):
    np.save(tmp_path / "y.npy", STRANGE)
    assert "characters that do not exist" in diagnose(tmp_path / "y.npy")["faults"][0]["what"]
    arrays = RAW["arrays-npy"]()
    write_all(tmp_path / "raw", {**arrays, "train_label.npy": npy(np.resize(STRANGE, 3))})
    with pytest.warns(UserWarning, match="characters that do not exist"):
        open_set(tmp_path / "raw")
    written = "ab".encode("utf-32-le")
    scalar = b"\x80\x04cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\n\x8c\x02U2\x85RC\x08" + written + b"\x86R."
    assert safe_loads(scalar, "a.pkl") == "ab"
    for content in (scalar, pickle.dumps(np.array(["ab"]), protocol=4)):
        assert content.count(written) == 1
        with pytest.raises(InputError, match=r"a\.pkl.*characters that do not exist"):
            safe_loads(content.replace(written, STRANGE.tobytes()), "a.pkl")


def directory_changed(content: bytes, place: int, value: bytes) -> bytes:
    """Of the first member, at a place in its entry of the directory and in its own head."""
    made = bytearray(content)
    for sign, more in ((b"PK\x01\x02", 2), (b"PK\x03\x04", 0)):
        at = made.index(sign) + place + more
        made[at : at + len(value)] = value
    return bytes(made)


@pytest.mark.parametrize(("place", "value", "word"), [(8, b"\x63\0", "compression"), (6, b"\1\0", "encrypted")])
def test_a_member_that_cannot_be_unpacked_is_a_reason(place: int, value: bytes, word: str, tmp_path: Path):
    files = {"x.npy": keys().pop("x.npy"), **keys()}
    (tmp_path / "set.npz").write_bytes(directory_changed(npz(files), place, value))
    assert word in said(tmp_path / "set.npz")
    raw = RAW["arrays"]()
    packed = packed_as_zip([(f"a/{name.split('/')[1]}", raw[name]) for name in sorted(raw) if "xsub" in name])
    (tmp_path / "raw.zip").write_bytes(directory_changed(packed, place, value))
    with pytest.raises(InputError, match=word):
        convert(tmp_path / "raw.zip", tmp_path / "made")


def test_an_array_in_a_zip_file_whose_sum_is_wrong_is_named(tmp_path: Path):
    packed = bytearray(packed_as_zip(list(RAW["arrays-npy"]().items()), zipfile.ZIP_STORED))
    packed[packed.index(b"\x93NUMPY") + 300] ^= 1
    (tmp_path / "raw.zip").write_bytes(packed)
    report = convert(tmp_path / "raw.zip", tmp_path / "made")
    assert report["clips"] == 2  # of the other array
    assert any("Bad CRC-32 for file 'train_data.npy'" in skipped["reason"] for skipped in report["skipped"])


def test_a_member_without_a_name_is_a_reason(tmp_path: Path):
    (tmp_path / "raw.zip").write_bytes(packed_as_zip([("", b"1"), ("a.skeleton", b"1")]))
    for try_ in (open_set, lambda path: convert(path, tmp_path / "made")):
        with pytest.raises(InputError, match=r"raw\.zip is no whole zip file"):
            try_(tmp_path / "raw.zip")


@pytest.mark.parametrize("kind", ["ntu", "arrays-npy"])
def test_one_bomb_in_a_zip_file_costs_itself_alone(kind: str, tmp_path: Path):
    bomb = {"ntu": "S001C001P009R001A001.skeleton", "arrays-npy": "xview/train_position.npy"}[kind]
    packed = packed_as_zip([*RAW[kind]().items(), (bomb, bytes(2**23))])
    (tmp_path / "raw.zip").write_bytes(packed)
    report = convert(tmp_path / "raw.zip", tmp_path / "made")
    assert report["clips"] > 0
    reasons = [skipped["reason"] for skipped in report["skipped"] if "unpacks to 8,388,608 bytes" in skipped["reason"]]
    assert len(reasons) == 1
    assert not diagnose(tmp_path / "raw.zip")["ok"]


def test_members_that_are_too_much_together_are_refused(tmp_path: Path):
    packed = packed_as_zip([(f"{at}.skeleton", bytes(2**20)) for at in range(1100)])
    (tmp_path / "raw.zip").write_bytes(packed)
    with pytest.raises(InputError, match=r"raw\.zip unpacks to 1,153,433,600 bytes"):
        open_set(tmp_path / "raw.zip")


@pytest.mark.parametrize("inside", ["sets/a.npz", "sets/a/x.npy"])
def test_a_set_in_a_zip_file_is_named(inside: str, tmp_path: Path):
    (tmp_path / "raw.ZIP").write_bytes(packed_as_zip([(inside, b"1")]))
    for try_ in (open_set, lambda path: convert(path, tmp_path / "made")):
        with pytest.raises(InputError, match=rf"raw\.ZIP/{inside} is a set in a zip file\. Unpack raw\.ZIP"):
            try_(tmp_path / "raw.ZIP")
    assert "is a set in a zip file" in diagnose(tmp_path / "raw.ZIP")["faults"][0]["what"]


def test_a_bomb_is_told_from_padding(tmp_path: Path):
    x = np.zeros((40, 3, 300, 25, 2), np.float32)
    x[:, :, :60, :, 0] = np.random.default_rng(0).normal(size=(40, 3, 60, 25))
    np.savez_compressed(tmp_path / "padded.npz", x=x, y=np.arange(40))
    assert len(open_set(tmp_path / "padded.npz")) == 40
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((40, 3, 3000, 25, 2), np.float32), y=np.arange(40))
    assert "x.npy unpacks to 72,000,128 bytes" in said(tmp_path / "bomb.npz")


def test_numbers_that_are_none_are_named_without_a_word_of_numpy(tmp_path: Path):
    x = np.load(io.BytesIO(FOLDER["x.npy"]))
    x.view(np.uint32)[1, 0, 2, 3, 0] = 0x7F800001  # a NaN that numpy warns of in every sum
    write_all(tmp_path / "set", keys(x=npy(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(InputError, match=r"clip1: frame 2, joint 3 .* is nan"):
            convert(tmp_path / "set", tmp_path / "made", units="mm")
        assert not diagnose(tmp_path / "set")["ok"]


def test_the_list_of_skipped_files_holds_any_name(tmp_path: Path):
    name = "caf\udce9.txt"  # as a disk has it that writes Latin-1
    listed = write_list([Skipped(f"{i}{name}", "no clip") for i in range(20)], tmp_path / "set")
    assert listed is not None
    assert "0caf\\udce9.txt: no clip" in listed.read_text(encoding="utf-8")
    assert json.loads(json.dumps(name)) == name
