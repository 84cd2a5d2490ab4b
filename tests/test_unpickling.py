"""Pickles from strangers: what is admitted comes back equal, the rest is refused before it runs or takes memory."""

import collections
import pickle
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reading import case

from hiclr.datasets.readers.tree import open_tree
from hiclr.datasets.readers.unpickling import Span, StoredArray, safe_load, safe_loads, scan
from hiclr.errors import InputError

RNG = np.random.default_rng(0)
ARRAYS = {
    "float32": RNG.normal(size=(3, 4, 5)).astype(np.float32),
    "float16": RNG.normal(size=7).astype(np.float16),
    "fortran": np.asfortranarray(RNG.normal(size=(3, 400))),
    "big endian": np.arange(1000, dtype=">i4"),
    "bool": np.array([True, False]),
    "bytes": np.array([b"ab", b"c"]),
    "text": np.array(["a\u00fc", "\u4e2d"]),
    "no dimension": np.array(3),
    "empty": np.zeros((0, 3)),
    "long": np.arange(5000).astype(np.uint8),
}
PLAIN = {
    "numbers": [1, 2.5, -3, 2**40, -(2**60), 0, 255, 256, 65536, float("inf")],
    "others": (None, True, False, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    "text": ["", "S001C001P001R001A001", "\u00e9", "\u4e2d", "a\nb\\"],
    "bytes": [b"", b"abc", b"\x00\xff", b"z" * 5000],
    "sets": {1, 2},
    "deeper": {"a": [{"b": [1]}], 3: "c"},
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_to_the_last_bit(name: str, protocol: int):
    array = ARRAYS[name]
    found = safe_loads(pickle.dumps([array, array], protocol=protocol), "a.pkl")[0]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_come_back_equal(name: str, protocol: int):
    assert safe_loads(pickle.dumps(PLAIN[name], protocol=protocol), "a.pkl") == PLAIN[name]


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_numbers_ordered_dicts_and_arrays_of_objects_become_plain(protocol: int):
    given = {
        "label": np.int64(7),
        "name": np.str_("S001"),
        "split": collections.OrderedDict(train=["a"], val=["b"]),
        "objects": np.array(["a", 1], dtype=object),
    }
    found = safe_loads(pickle.dumps(given, protocol=protocol), "a.pkl")
    assert found == {"label": 7, "name": "S001", "split": {"train": ["a"], "val": ["b"]}, "objects": ["a", 1]}
    assert type(found["label"]) is int
    assert type(found["name"]) is str


def python2(names: list[bytes], labels: bytes) -> bytes:
    """A (names, int64 labels) pair as Python 2 wrote it: byte strings, numpy.core, data as a byte string."""
    strings = b"".join(b"U" + bytes([len(name)]) + name for name in names)
    dtype = b"cnumpy\ndtype\n(U\x02i8K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    shape = b"(K\x01K" + bytes([len(labels) // 8]) + b"\x85"
    data = b"T" + struct.pack("<i", len(labels)) + labels
    return b"\x80\x02](" + strings + b"e" + array + shape + dtype + b"\x89" + data + b"tb\x86."


@pytest.mark.parametrize(("written", "name"), [(b"na\xe9", "na\u00e9"), ("na\u00e9".encode(), "na\u00e9")])
@pytest.mark.parametrize("count", [2, 120])  # its bytes are as short as a name, or too long for one
def test_strings_of_python_2_are_text_as_names_and_bytes_as_numbers(written: bytes, name: str, count: int):
    labels = np.resize(np.array([200, 255, 300]), count)
    names, found = safe_loads(python2([b"plain", written], labels.tobytes()), "a.pkl")
    assert names == ["plain", name]
    assert all(type(word) is str for word in names)
    np.testing.assert_array_equal(found, labels)


class Payload:
    """Pickles as a call."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> Any:
        return self.call


class Plain:
    """An object of a class of ours."""


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(("function", "called"), [(exec, "exec"), (eval, "eval"), (np.prod, "prod")])
def test_what_could_run_code_is_refused_by_name_and_does_not_run(
    function: Any, called: str, deep: bool, protocol: int, tmp_path: Path
):
    marker = tmp_path / "ran"
    bad = Payload(function, f"open({str(marker)!r}, 'w')")
    content = pickle.dumps((["a", "b"], [0, bad]) if deep else bad, protocol=protocol)
    with pytest.raises(InputError, match=rf"train_label\.pkl is refused.*{called}"):
        safe_loads(content, "train_label.pkl")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (pickle.dumps(Path("a")), "pathlib"),
        (pickle.dumps(Plain()), "Plain"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0bndarray.foo\x93.", r"ndarray\.foo"),  # dotted names reach into modules
        (b"(ios\nsystem\n.", r"os\.system"),  # INST
        (b"cos\nsystem\n(S'true'\ntR.", r"os\.system"),
        (b"\x80\x02}cnumpy\nndarray\nb.", "sets the state"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "objects of classes"),  # NEWOBJ
        (b"Pid\n.", "objects of classes"),  # PERSID
        (b"\x80\x02K\x01)R.", "calls what"),
        (b"\x80\x02cnumpy\nndarray\n.", "a function where a value belongs"),
        (pickle.dumps(np.zeros(2, dtype="f4,i4")), "plain number"),
        (pickle.dumps(np.datetime64("2020-01-01")), "plain number"),
        (b"\x80\x02}((K\x01K\x02tK\x03u.", "key of a dict"),
    ],
)
def test_other_programs_are_refused_with_a_reason(content: bytes, word: str):
    with pytest.raises(InputError, match=word) as caught:
        safe_loads(content, "a.pkl")
    assert "a.pkl" in str(caught.value)


def huge_array(shape: bytes) -> bytes:
    """A numpy array of 8 bytes that says another shape."""
    usual = pickle.dumps(np.zeros(1), protocol=4)
    own = b"(K\x01K\x01\x85"
    assert usual.count(own) == 1
    return usual.replace(own, b"(K\x01" + shape)


INT_MAX = b"J\xff\xff\xff\x7f"
HOSTILE = {
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"abc.",
    "negative string": b"T" + struct.pack("<i", -5) + b".",
    "text": b"\x80\x04X" + struct.pack("<I", 2**32 - 1) + b".",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"K\x01",
    "number": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01.",
    "digits": b"L" + b"9" * 100_000 + b"L\n.",
    "array": huge_array(INT_MAX + b"\x85"),
    "array of many axes": huge_array(b"(" + INT_MAX * 8 + b"t"),
    "array of nothing": huge_array(INT_MAX + b"\x85").replace(b"f8", b"S0"),
    "array of long text": huge_array(b"K\x01\x85").replace(b"\x8c\x02f8", b"\x8c\x07U999999"),
    "deep": b"]" * 100_000 + b"a" * 99_999 + b".",
    "deep tuples": b")" + b"\x85" * 100_000 + b".",
    "deep key": b"}" + b")" + b"\x85" * 100_000 + b"K\x01s.",
    "copies": b"\x80\x02](" + b"K\x01K\x02\x86" * 5000 + b"eq\x00" + b"c__builtin__\ndict\nh\x00\x85R" * 2500 + b".",
    "nothing": b"",
    "no pickle": b"PK\x03\x04 no pickle at all",
    "cut": pickle.dumps(np.arange(1000.0))[:-100],
}


def peak_of(content: bytes) -> int:
    """Bytes taken at most while a pickle is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"a\.pkl"):
            safe_loads(content, "a.pkl")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", HOSTILE)
def test_what_promises_more_than_it_holds_is_refused_in_little_memory(name: str):
    assert peak_of(HOSTILE[name]) < 2**20 + 200 * len(HOSTILE[name])


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.startswith("array")])
def test_an_array_that_lies_is_refused_before_anybody_reads_it(name: str, tmp_path: Path):
    (tmp_path / "a.pkl").write_bytes(HOSTILE[name])
    with pytest.raises(InputError, match=r"a\.pkl is refused.*bytes"):
        scan(open_tree(tmp_path / "a.pkl"), "a.pkl")


def test_lists_that_hold_each_other_take_no_more_memory_than_their_lines():
    doubled = b"".join(b"q" + bytes([i]) + b"](h" + bytes([i]) + b"h" + bytes([i]) + b"e" for i in range(40))
    tracemalloc.start()
    found = safe_loads(b"\x80\x02]" + doubled + b".", "a.pkl")  # 2**40 lists, were each written out
    itself = safe_loads(b"]q\x00h\x00a(h\x00" + b"h\x00" * 1000 + b"e.", "a.pkl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[0] is found[1]
    assert itself[0] is itself
    assert peak < 2**20


def test_a_number_of_a_place_costs_nothing():
    assert safe_loads(b"]r\xff\xff\xff\xff.", "a.pkl") == []


def test_arrays_stay_in_the_file_until_they_are_asked_for(tmp_path: Path):
    arrays = [RNG.normal(size=(2, 50, 25, 3)).astype(np.float16) for _ in range(200)]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"all": arrays, "few": np.arange(3)}))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(tmp_path / "a.pkl", "inside/a.pkl")
    for tree, name in ((open_tree(tmp_path / "a.pkl"), "a.pkl"), (open_tree(tmp_path / "a.zip"), "inside/a.pkl")):
        tracemalloc.start()
        found = scan(tree, name)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < sum(array.nbytes for array in arrays) / 4
        assert all(isinstance(stored, StoredArray) and isinstance(stored.content, Span) for stored in found["all"])
        for at in (3, 7, 199, 0):  # forwards and back again
            np.testing.assert_array_equal(found["all"][at].read(tree, name), arrays[at])
        np.testing.assert_array_equal(found["few"].read(tree, name), np.arange(3))


@pytest.mark.parametrize("protocol", range(6))
def test_stored_arrays_read_back_whatever_the_protocol(protocol: int, tmp_path: Path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(ARRAYS, protocol=protocol))
    tree = open_tree(tmp_path / "a.pkl")
    for name, stored in scan(tree, "a.pkl").items():
        np.testing.assert_array_equal(stored.read(tree, "a.pkl"), ARRAYS[name])


@pytest.mark.real
def test_reported_pickle_that_runs_code():
    folder, expected = case("K01")
    for file in ("train_label.pkl", "deep/train_label.pkl"):
        with pytest.raises(InputError, match=r"train_label\.pkl is refused"):
            safe_load(open_tree(folder), file)
    assert not (Path(tempfile.gettempdir()) / expected["values"]["marker_file"].split()[0]).exists()


@pytest.mark.real
def test_reported_pickles_of_python_2():
    folder, expected = case("K03")
    names, labels = safe_load(open_tree(folder), "train_label.pkl")
    assert (names, labels) == (expected["values"]["names"], expected["values"]["labels"])
    _, labels = safe_load(open_tree(folder), "array/train_label.pkl")
    assert labels.tolist() == expected["values"]["labels_of_array_file"]
