"""Damaged and hostile files: a short run of the fuzzer, what it must notice, and files that are made to be too much."""

import io
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from fuzz import BROKEN, FORMATS, SECONDS, Bench, Outcome, Try, fuzz, make_try, table
from samples import RAW, SAMPLES

SIZE = 10_000_000  # bytes of a hostile file, about


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench(2) as made:
        yield made


def outcomes(bench: Bench, tries: Mapping[str, Try]) -> dict[str, Outcome]:
    """Of tries by name; the name is their label."""
    return {todo.label: outcome for todo, outcome in bench.run(replace(t, label=name) for name, t in tries.items())}


def one(files: Mapping[str, bytes], way: str = "convert", place: str = "") -> Try:
    return Try("hostile", "", files, place, way)


def assert_no_failure(found: Mapping[str, Outcome]) -> None:
    assert not {name: outcome.said[:500] for name, outcome in found.items() if outcome.kind == "failure"}


def test_whatever_is_damaged_every_reader_gives_a_clean_set_or_a_reason(bench: Bench):
    told: list[str] = []
    lines = fuzz(bench, (make_try(2, number) for number in range(20 * len(FORMATS))), tell=told.append)
    assert not told, "\n".join(told)
    assert set(lines) == set(FORMATS)
    for name, line in lines.items():
        assert line.opened + line.refused == line.count == 20, name
        assert line.refused, f"{name}: the damage is too small\n{table(lines)}"
        assert line.bytes < 2**28, f"{name} takes {line.bytes:,} bytes for a small file"
    assert sum(line.opened for line in lines.values()) > 80, f"the damage is too great\n{table(lines)}"


def test_whole_files_open(bench: Bench):
    tries = {
        f"{name} {number} {way}": Try(name, "", sample.files, sample.place, way)
        for name, samples in SAMPLES.items()
        for number, sample in enumerate(samples)
        for way in sample.ways
    }
    found = outcomes(bench, tries)
    assert_no_failure(found)
    refused = {name: outcome.said for name, outcome in found.items() if outcome.kind == "refused"}
    assert set(refused) <= {"labels 2 diagnose"}, refused  # a pickle of labels is not read by the doctor


def test_the_fuzzer_notices_what_a_reader_must_not_do_and_goes_on(bench: Bench):
    tries = {way: Try("broken", "", SAMPLES["layout"][0].files, "", way) for way in BROKEN if way != "wait"}
    found = outcomes(bench, tries)
    assert {name for name, outcome in found.items() if outcome.kind != "failure"} == set()
    said = {name: outcome.said.splitlines()[0] for name, outcome in found.items()}
    assert said["raise"] == "RecursionError: as a reader might"
    assert "divide by zero" in said["warn"]
    assert said["loop"] == f"more than {SECONDS:g} s"
    assert said["fill"].startswith("MemoryError")
    assert said["die"] == "the process died, exit code 3"
    assert "outside its folder: open of" in said["write"]
    assert "os.system" in said["run"]


def test_a_try_is_made_again_from_its_seed_and_number():
    for number in range(2 * len(FORMATS)):
        assert make_try(5, number) == make_try(5, number)
    alone = make_try(5, 3, ("bvh",))
    assert alone.files == make_try(5, 3 * len(FORMATS) + FORMATS.index("bvh")).files  # whatever other formats there are
    assert make_try(5, 3, ("bvh",)).files != make_try(6, 3, ("bvh",)).files


# ---- pickles that take little room and make much work ----------------------------------------------------------------


def filled(opcodes: bytes, before: bytes = b"](", after: bytes = b"e.") -> bytes:
    return before + opcodes * (SIZE // len(opcodes)) + after


CODEC = b"](c_codecs\nencode\nq\x00(X\xf4\x01\0\0" + b"a" * 500 + b"U\x06latin1tq\x010"
UNUSED = b"X" + struct.pack("<I", SIZE) + b"a" * SIZE + b"0"  # a large file may take more steps
PICKLES: dict[str, Callable[[], bytes]] = {
    "lists": lambda: filled(b"]"),
    "sets": lambda: filled(b"(\x91"),
    "tuples in tuples": lambda: filled(b"\x85", b")", b"."),
    "the same appended": lambda: filled(b"h\x00a", b"]q\x00", b"."),
    "lines": lambda: filled(b"S'\xff'\n"),
    "calls": lambda: filled(b"h\x00h\x01R", CODEC),
    "a huge number": lambda: b"\x8b" + struct.pack("<i", SIZE) + b"\x01" * SIZE + b".",
    "annotations that are none": lambda: b"}U\x0bannotations](" + b"N" * 2_000_000 + b"es" + UNUSED + b".",
    "labels without end": lambda: b"](" + b"]" * 2_000_000 + b"e" + UNUSED + b".",
}  # fmt: skip


def test_large_hostile_pickles_are_refused_soon_and_in_little_memory(bench: Bench):
    tries = {name: one({"annotations.pkl": make()}, "diagnose") for name, make in PICKLES.items()}
    label = one({"train_label.pkl": PICKLES["labels without end"]()}, "diagnose", "train_label.pkl")
    found = outcomes(bench, {**tries, "labels without end": label})
    assert_no_failure(found)
    assert {name for name, outcome in found.items() if outcome.kind == "opened"} == set()


# ---- other files that are made to be too much ------------------------------------------------------------------------


def zipped(members: Mapping[str, int | bytes]) -> bytes:
    """A zip file of these; a number stands for so many mebibytes of zeros."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, content in members.items():
            with packed.open(name, "w", force_zip64=True) as file:
                for part in [bytes(2**20)] * content if isinstance(content, int) else [content]:
                    file.write(part)
    return made.getvalue()


def npy_head(*shape: int) -> bytes:
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode()


def test_zip_files_that_unpack_to_too_much_are_refused_and_names_lead_nowhere(bench: Bench):
    skeleton = RAW["ntu"]()["S001C001P001R001A001.skeleton"]
    many = {f"{i}.skeleton": b"" for i in range(20_000)}
    names = (
        "../S001C001P001R001A001",
        "/S001C001P001R001A002",
        "a/../../S001C001P001R001A003",
        "..\\S001C001P001R001A004",
    )
    outside = zipped({f"{name}.skeleton": skeleton for name in names})
    position = {"train_position.npy": 100, "train_label.npy": b""}
    tries = {
        "members": one({"a.zip": zipped(many)}, "diagnose", "a.zip"),
        "pickles": one({"p.zip": zipped({f"{i}.pkl": b"" for i in range(20_000)})}, "diagnose", "p.zip"),
        "arrays": one({"q.zip": zipped({f"{i}/train_data.npy": b"" for i in range(20_000)})}, "diagnose", "q.zip"),
        "arrays in an npz": one({"b.npz": zipped({f"{i}.npy": b"" for i in range(20_000)})}, "open", "b.npz"),
        "zeros": one({"c.zip": zipped({"S001C001P001R001A001.skeleton": 100})}, "convert", "c.zip"),
        "zeros in an array": one({"d.zip": zipped(position)}, "convert", "d.zip"),
        "zeros in an npz": one({"e.npz": zipped({"x.npy": 100, "y.npy": b""})}, "convert", "e.npz"),
        "an npz that lies": one({"f.npz": zipped({"x.npy": npy_head(2**38, 3, 1, 25, 1)})}, "open", "f.npz"),
        "outside": one({"g.zip": outside}, "convert", "g.zip"),
        "outside, looked at": one({"h.zip": outside}, "diagnose", "h.zip"),
    }  # fmt: skip
    found = outcomes(bench, tries)
    assert_no_failure(found)
    assert {name for name, outcome in found.items() if outcome.kind == "opened"} <= {"outside", "outside, looked at"}
    assert "20,000 arrays" in found["arrays in an npz"].said
    assert "20,000 pickles" in found["pickles"].said
    assert "20,000 arrays" in found["arrays"].said
    for name in ("zeros", "zeros in an array", "zeros in an npz"):
        assert "unpacks to 104,857,600 bytes" in found[name].said


def test_text_that_makes_endless_work_out_of_little_is_refused(bench: Bench):
    joint = "0.2 0.3 0 0 0 0 0 0 0 0 0\n"  # after x: each body is a new one, far away from all before it
    bodies = "".join(f"1\n{i} 0 0 0 0 0 0 0 0 2\n25\n" + f"{i} {joint}" * 25 for i in range(3000))
    bvh = RAW["bvh"]()["dataset-2_walk_active_001.bvh"]
    video = RAW["pku"]()["Data/0002-L.txt"]
    nested = "".join(f"act{i}: {1 + i} {4000 - i}\n" for i in range(1900))
    utkinect = {"joints_s01_e01.txt": RAW["utkinect"]()["joints_s01_e01.txt"]}
    tries = {
        "ntu": one({"S001C001P001R001A001.skeleton": f"3000\n{bodies}".encode()}),
        "pku": one({"Data/0002-L.txt": video, "Label/0002-L.txt": b"1,1,12,1\n" * 30_000}),
        "utkinect": one({**utkinect, "actionLabel.txt": f"s01_e01\n{nested}".encode()}, "diagnose"),
        "lines": one({"S001C001P001R001A001.skeleton": b"1\n" * 2**23}),
        "blank": one({"a01_s01_e01_skeleton3D.txt": b"\n" * SIZE}),
        "bvh": one({"a.bvh": bvh.replace(b"Frames: 4", b"Frames: 1000000000")}),
    }  # fmt: skip
    found = outcomes(bench, tries)
    assert_no_failure(found)
    for name, reason in (
        ("ntu", "500 tracking ids"),
        ("pku", "500 actions at most"),
        ("utkinect", "200 actions of s01"),
    ):
        assert reason in found[name].said


def test_the_files_of_a_failure_are_kept_with_what_happened(bench: Bench, tmp_path: Path):
    told: list[str] = []
    fuzz(bench, [Try("broken", "seed 0, number 1", {"sub/upper.json": b"{}"}, "", "raise")], tmp_path, told.append)
    kept = tmp_path / "broken-seed-0-number-1"
    assert (kept / "source" / "sub" / "upper.json").read_bytes() == b"{}"
    assert "RecursionError" in (kept / "what-happened.txt").read_text()
    assert str(kept) in told[0]
