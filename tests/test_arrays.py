"""Arrays as CrosSCLR, AimCLR and HiCLR prepare them."""

import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reading import all_said, assert_said, case, positions, read_all, whole

from hiclr.datasets import convert, diagnose, open_set
from hiclr.datasets.readers.arrays import FORMAT
from hiclr.datasets.readers.plan import Options, Unit
from hiclr.datasets.readers.tree import open_tree
from hiclr.errors import InputError
from hiclr.skeleton import BANDAI_21, KINECT_20_MSR

NAMES = [f"S001C00{1 + i % 3}P00{1 + i // 3}R001A00{1 + i % 2}" for i in range(6)]


def some(count: int = 6, frames: int = 10, joints: int = 25, seed: int = 0) -> np.ndarray:
    """(N, 3, T, V, 2) of float32."""
    return np.random.default_rng(seed).normal(size=(count, 3, frames, joints, 2)).astype(np.float32)


def write(
    folder: Path, x: np.ndarray, names: list[str] | None = None, part: str = "train", kind: str = "position"
) -> Path:
    """An array of positions and its pair of names and labels, label 0, 1, 0, 1, ... by name."""
    folder.mkdir(parents=True, exist_ok=True)
    names = NAMES[: len(x)] if names is None else names
    np.save(folder / f"{part}_{kind}.npy", x)
    labels = [NAMES.index(name.removesuffix(".skeleton")) % 2 for name in names]
    (folder / f"{part}_label.pkl").write_bytes(pickle.dumps((names, labels)))
    return folder


def test_clips_come_back_to_the_last_bit(tmp_path: Path):
    x = some()
    plan, clips = read_all(FORMAT, write(tmp_path, x))
    assert [found.name for found in plan.found] == NAMES
    assert [found.label for found in plan.found] == [0, 1, 0, 1, 0, 1]
    assert plan.layout.name == "ntu25"
    for row, name in zip(x, NAMES, strict=True):
        np.testing.assert_array_equal(positions(clips, name), row)
    assert plan.found[4].ids == {"subject": 2, "camera": 2, "setup": 1}


@pytest.mark.parametrize("given", ["<f8", "<f2", ">f4", "<i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_number_type_and_order_is_read_as_float32(given: str, order: Any, tmp_path: Path):
    x = np.asarray(some() * 10).astype(given).copy(order=order)
    plan, clips = read_all(FORMAT, write(tmp_path, x))
    before = (tmp_path / "train_position.npy").read_bytes()
    for row, name in zip(x, NAMES, strict=True):
        assert positions(clips, name).dtype == np.float32
        np.testing.assert_array_equal(positions(clips, name), row.astype(np.float32))
    assert f"train_position.npy is {np.dtype(given)}; it is read as float32" in all_said(plan, clips)
    assert (tmp_path / "train_position.npy").read_bytes() == before


def labelled(folder: Path, names: list[str], labels: list[int], end: str) -> Path:
    """The same clips with these labels: in an array, by a pair or alone, or in a pickle of PYSKL."""
    x = some(len(names))
    folder.mkdir()
    if end == "pyskl":
        annotations = [
            {"frame_dir": name, "label": label, "keypoint": row.transpose(3, 1, 2, 0)}
            for name, label, row in zip(names, labels, x, strict=True)
        ]
        (folder / "set.pkl").write_bytes(pickle.dumps({"split": {}, "annotations": annotations}))
        return folder
    np.save(folder / "train_position.npy", x)
    if end == "npy":
        np.save(folder / "train_label.npy", np.array(labels))
    else:
        (folder / "train_label.pkl").write_bytes(pickle.dumps((names, labels)))
    return folder


@pytest.mark.filterwarnings("ignore:.*labels start at 1")
@pytest.mark.parametrize("end", ["npy", "pkl", "pyskl"])
@pytest.mark.parametrize(
    ("names", "labels", "first", "classes"),
    [
        (["a", "b", "c", "d"], [1, 2, 3, 1], 1, ("1", "2", "3")),
        (["a", "b", "c", "d"], [0, 2, 3, 1], 0, ("0", "1", "2", "3")),
        (["a", "b", "c", "d"], [2, 3, 4, 2], 0, ("0", "1", "2", "3", "4")),
        ([f"S001C001P001R001A00{i}" for i in (1, 2, 3, 4)], [1, 2, 3, 4], 1, ("1", "2", "3", "4")),
        ([f"S001C001P001R001A00{i}" for i in (2, 3, 4, 5)], [1, 2, 3, 4], 0, ("0", "1", "2", "3", "4")),
        ([f"S001C001P001R001A00{i}" for i in (9, 3, 7, 5)], [1, 2, 3, 4], 1, ("1", "2", "3", "4")),
    ],
)
def test_labels_from_1_are_counted_from_0_and_said(
    end: str, names: list[str], labels: list[int], first: int, classes: tuple[str, ...], tmp_path: Path
):
    if end == "npy" and names[0] != "a":
        pytest.skip("labels alone have no names")
    raw = labelled(tmp_path / "raw", names, labels, end)
    report, looked = convert(raw, tmp_path / "set.npz"), diagnose(raw)
    for opened in (open_set(raw), open_set(tmp_path / "set.npz")):
        assert opened.y.tolist() == [label - first for label in labels]
        assert opened.classes == classes
    assert looked["summary"]["classes"] == str(len(classes))
    for notes in (report["notes"], looked["notes"]):
        assert any(f"labels start at 1 (1 to {max(labels)}, no label 0)" in note for note in notes) == (first == 1)
    if first:
        with pytest.warns(UserWarning, match="labels start at 1"):
            open_set(raw)


def test_a_folder_for_each_protocol_is_one_set(tmp_path: Path):
    x = some()
    for folder, test in (("xsub", [3, 4, 5]), ("xview", [0, 3])):
        for part, rows in (("train", [i for i in range(6) if i not in test]), ("val", test)):
            write(tmp_path / folder, x[rows], [f"{NAMES[i]}.skeleton" for i in rows], part)
    plan, clips = read_all(FORMAT, tmp_path)
    assert len(plan.found) == 6
    found = {
        name: {clip.name for clip, test in zip(plan.found, mask, strict=True) if test}
        for name, mask in plan.protocols(plan.found).items()
    }
    assert found == {"ntu60-xsub": set(NAMES[3:]), "ntu60-xview": {NAMES[0], NAMES[3]}}
    assert plan.published["ntu60-xsub"] == (40_091, 16_487)
    for row, name in zip(x, NAMES, strict=True):
        np.testing.assert_array_equal(positions(clips, name), row)


@pytest.mark.parametrize(
    ("fault", "reason"), [("labels", "other labels"), ("clips", "other clips"), ("part", "missing")]
)
def test_a_folder_that_is_no_protocol_of_the_same_clips_is_named(fault: str, reason: str, tmp_path: Path):
    x = some()
    for folder in ("xsub", "xview"):
        write(tmp_path / folder, x[:3], NAMES[:3], "train")
        write(tmp_path / folder, x[3:], NAMES[3:], "val")
    label = tmp_path / "xview" / "train_label.pkl"
    if fault == "labels":
        label.write_bytes(pickle.dumps((NAMES[:3], [1, 1, 1])))
    elif fault == "clips":
        for part in ("train", "val"):
            (tmp_path / "xview" / f"{part}_label.pkl").write_bytes(
                pickle.dumps(([f"{part}{i}" for i in range(3)], [0] * 3))
            )
    else:
        label.unlink()
    plan, clips = read_all(FORMAT, tmp_path)
    assert list(clips) == NAMES
    assert list(plan.protocols(plan.found)) == ["ntu60-xsub"]
    assert any("xview" in skipped.file and reason in skipped.reason for skipped in plan.skipped)


def test_the_labels_of_the_50_frame_arrays_have_no_names(tmp_path: Path):
    for part in ("train", "val"):
        np.save(tmp_path / f"{part}_position.npy", some(3))
        np.save(tmp_path / f"{part}_motion.npy", some(3))
        np.save(tmp_path / f"{part}_label.npy", np.array([[2], [0], [1]]))  # (N, 1), as the published code writes it
    plan, clips = read_all(FORMAT, tmp_path)
    assert [found.label for found in plan.found] == [2, 0, 1] * 2
    assert plan.protocols(plan.found)["test"].tolist() == [False] * 3 + [True] * 3
    assert any("motion" in skipped.file and skipped.harmless for skipped in plan.skipped)
    assert len(clips) == 6


def test_padding_is_no_part_of_a_clip_and_absent_persons_are_zero(tmp_path: Path):
    x = some(2)
    x[0, :, 7:] = 0
    x[1, ..., 1] = 0
    _, clips = read_all(FORMAT, write(tmp_path, x, kind="data"))
    assert positions(clips, NAMES[0]).shape[1] == 7
    assert not positions(clips, NAMES[1])[..., 1].any()


def test_one_person_is_added_where_the_axis_is_missing(tmp_path: Path):
    x = some()[..., 0]
    plan, clips = read_all(FORMAT, write(tmp_path, x))
    assert plan.persons == 1
    assert "(6, 3, 10, 25) without persons: one person was added" in all_said(plan, clips)
    np.testing.assert_array_equal(positions(clips, NAMES[1])[..., 0], x[1])


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (np.array([2, 0, 1, 2, 0, 1]), [2, 0, 1, 2, 0, 1]),
        (np.array([2.0, 0, 1, 2, 0, 1]), [2, 0, 1, 2, 0, 1]),
        (np.eye(3)[[2, 0, 1, 2, 0, 1]], [2, 0, 1, 2, 0, 1]),
        (np.array(["sit", "go", "eat"] * 2), ["sit", "go", "eat"] * 2),
        (np.array([2, 0, 1, 2, 0, 1], dtype=object), [2, 0, 1, 2, 0, 1]),
        (np.array(["sit", "go", "eat"] * 2, dtype=object), ["sit", "go", "eat"] * 2),
    ],
    ids=["whole", "float", "one hot", "words", "objects", "word objects"],
)
def test_labels_as_npy(values: np.ndarray, wanted: list[int | str], tmp_path: Path):
    np.save(tmp_path / "train_data.npy", some())
    np.save(tmp_path / "train_label.npy", values, allow_pickle=True)
    plan, clips = read_all(FORMAT, tmp_path)
    assert [found.label for found in plan.found] == wanted
    assert ("train_label.npy holds Python objects" in all_said(plan, clips)) == (values.dtype == object)


def test_objects_that_run_code_are_refused_in_npy_too(tmp_path: Path):
    np.save(tmp_path / "train_data.npy", some())
    np.save(tmp_path / "train_label.npy", np.array([0] * 6, dtype=object), allow_pickle=True)
    content = (tmp_path / "train_label.npy").read_bytes()
    (tmp_path / "train_label.npy").write_bytes(content[:128] + b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match=r"train_label\.npy is refused: it asks for os\.system"):
        FORMAT.find(open_tree(tmp_path), Options())


def test_labels_may_lie_elsewhere(tmp_path: Path):
    for folder in ("xsub", "xview"):
        write(tmp_path / "labels" / folder, some())
        (tmp_path / "arrays" / folder).mkdir(parents=True)
        moved = tmp_path / "labels" / folder / "train_position.npy"
        moved.rename(tmp_path / "arrays" / folder / "train_position.npy")
    one = tmp_path / "arrays" / "xsub"
    with pytest.raises(InputError, match="--labels"):
        FORMAT.find(open_tree(one), Options())
    label = tmp_path / "labels" / "xsub" / "train_label.pkl"
    assert [found.name for found in FORMAT.find(open_tree(one), Options(labels=str(label))).found] == NAMES
    both = open_tree(tmp_path / "arrays")
    assert len(FORMAT.find(both, Options(labels=str(tmp_path / "labels"))).found) == 12
    with pytest.raises(InputError, match="one file, but there are 2 arrays"):
        FORMAT.find(both, Options(labels=str(label)))
    alone = write(tmp_path / "alone", some()) / "train_position.npy"
    assert [found.name for found in FORMAT.find(open_tree(alone), Options()).found] == NAMES  # those beside it


def test_an_array_that_lies_in_fortran_order_in_a_zip_file_is_refused_once(tmp_path: Path):
    folder = write(tmp_path / "set", np.asfortranarray(some()))
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        for file in sorted(folder.iterdir()):
            packed.write(file, file.name)
    with pytest.raises(InputError, match=r"train_position\.npy lies in Fortran order") as refused:
        convert(tmp_path / "set.zip", tmp_path / "made")
    assert str(refused.value).count("Fortran") == 1
    assert convert(folder, tmp_path / "made")["clips"] == 6


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_file_is_read_from_the_inside(compression: int, tmp_path: Path):
    x = some()
    write(tmp_path / "plain", x)
    with zipfile.ZipFile(tmp_path / "set.ZIP", "w", compression) as packed:
        for file in (tmp_path / "plain").iterdir():
            packed.write(file, f"xsub/{file.name}")
    _, clips = read_all(FORMAT, tmp_path / "set.ZIP")
    for row, name in zip(x, NAMES, strict=True):
        np.testing.assert_array_equal(positions(clips, name), row)


def test_arrays_are_in_metres_unless_another_unit_is_given(tmp_path: Path):
    write(tmp_path, some())
    plan, clips = read_all(FORMAT, tmp_path)
    assert "metres are assumed" in plan.notes[-1]
    inches = Options(units=Unit(0.0254, "inches"))
    given, scaled = read_all(FORMAT, tmp_path, inches)
    assert given.notes[-1] == "inches are in the files, as --units says; metres come out"
    for name in NAMES:
        np.testing.assert_array_equal(positions(scaled, name), positions(clips, name) * np.float32(0.0254))


def test_joints_that_nothing_names_are_asked_for(tmp_path: Path):
    write(tmp_path, some(joints=20))
    with pytest.raises(InputError, match=r"20 joints.*--layout kinect20-msr or kinect20-sdk"):
        FORMAT.find(open_tree(tmp_path), Options())
    assert read_all(FORMAT, tmp_path, Options(layout=KINECT_20_MSR))[0].layout == KINECT_20_MSR
    with pytest.raises(InputError, match="20 joints, layout 'bandai21' has 21"):
        FORMAT.find(open_tree(tmp_path), Options(layout=BANDAI_21))


def test_a_faulty_file_stops_no_other(tmp_path: Path):
    write(tmp_path / "good", some())
    write(tmp_path / "bad", some())
    (tmp_path / "bad" / "train_label.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    plan, clips = read_all(FORMAT, tmp_path)
    assert list(clips) == NAMES
    assert "bad/train_label.pkl is refused: it asks for os.system" in all_said(plan, clips)


def given(x: np.ndarray, names: list[str] = NAMES, labels: Any = (0, 1, 0, 1, 0, 1)) -> tuple[Any, ...]:
    return x, list(names), list(labels)


FAULTS = {
    "axes": (given(np.moveaxis(some(), 1, -1)), r"\(6, 10, 25, 2, 3\).*np\.moveaxis\(x, 4, 1\)"),
    "count": (given(some(5)), "6 labels.*5 clips"),
    "names": (given(some(), names=NAMES[:5]), "5 names and 6 labels"),
    "negative": (given(some(), labels=[0, 1, 0, 1, 0, -1]), "label 5 is -1"),
    "part of a number": (given(some(), labels=[0, 1.5, 0, 1, 0, 1]), r"label 1 is 1\.5"),
    "mixed": (given(some(), labels=[0, "sit", 0, 1, 0, 1]), "numbers and words"),
    "complex": (given(some().astype(complex)), "must hold numbers"),
    "objects": (given(np.array([None] * 6)), "Python objects"),
    "no clip": (given(some(0), names=[], labels=[]), "at least one of each"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_cannot_be_read_is_said_with_what_to_do(name: str, tmp_path: Path):
    (x, names, labels), message = FAULTS[name]
    np.save(tmp_path / "train_data.npy", x, allow_pickle=True)
    (tmp_path / "train_label.pkl").write_bytes(pickle.dumps((names, labels)))
    with pytest.raises(InputError, match=message) as caught:
        FORMAT.find(open_tree(tmp_path), Options())
    assert "train_" in str(caught.value)


def test_a_file_cut_short_and_a_head_that_lies_are_named(tmp_path: Path):
    content = (write(tmp_path, some()) / "train_position.npy").read_bytes()
    lying = content.replace(b"(6, 3, 10, 25, 2), }  ", b"(6, 3, 10**9, 25, 2),}").replace(b"10**9", b"99999")
    assert len({len(content), len(lying)}) == 1
    for bad in (content[:-10], lying):
        (tmp_path / "train_position.npy").write_bytes(bad)
        with pytest.raises(InputError, match=r"train_position\.npy ends too early.*Copy or download"):
            FORMAT.find(open_tree(tmp_path), Options())


def test_a_clip_that_is_none_is_named_by_frame_and_joint(tmp_path: Path):
    x = some().astype(np.float64)
    x[1, 2, 4, 3, 0], x[2], x[3, 0, 0, 0, 0] = np.nan, 0, 1e300
    _, clips = read_all(FORMAT, write(tmp_path, x))
    assert "frame 4, joint 3 (head) of person 0 is nan" in str(clips[NAMES[1]])
    assert "nobody is there" in str(clips[NAMES[2]])
    assert "frame 0, joint 0 (spine_base)" in str(clips[NAMES[3]])
    assert positions(clips, NAMES[4]).shape == (3, 10, 25, 2)


@pytest.mark.parametrize(
    "names", [["x.npy", "y.npy"], ["S001C001P001R001A001.skeleton"], ["a.npy", "b.npy"], ["mini.pkl"]]
)
def test_other_folders_are_left_to_others(names: list[str], tmp_path: Path):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert not FORMAT.detects(open_tree(tmp_path))


@pytest.mark.real
def test_reported_pickle_that_runs_code():
    folder, expected = case("K01")
    with pytest.raises(InputError) as caught:
        FORMAT.find(open_tree(folder), Options())
    assert_said(expected, str(caught.value))
    assert not (Path(tempfile.gettempdir()) / expected["values"]["marker_file"].split()[0]).exists()


@pytest.mark.real
@pytest.mark.parametrize("name", ["R01", "R02", "R05", "K03"])
def test_reported_cases(name: str):
    folder, expected = case(name)
    values = expected["values"]
    plan, clips = read_all(FORMAT, folder)
    assert_said(expected, all_said(plan, clips))
    names, labels = [found.name for found in plan.found], [found.label for found in plan.found]
    assert names[:6] == values.get("names", names[:6])
    assert labels == values.get("labels", labels[:6]) + values.get("labels_of_array_file", [])
    shape = values.get("shape_after", values.get("shape", [6, 3, 10, 25, 2]))
    assert positions(clips, names[0]).shape == tuple(shape[1:])
    for key, clip, frame in (("clip4_xyz_frame7_joint12", 4, 7), ("clip1_xyz_frame9_joint12", 1, 9)):
        if key in values:
            np.testing.assert_allclose(positions(clips, names[clip])[:, frame, 11, 0], values[key], atol=1e-5)
    if "sum_of_clip5" in values:
        assert abs(positions(clips, names[5]).sum() - values["sum_of_clip5"]) < values["tolerance_of_sum"]


def test_positions_are_judged_when_they_are_metres(tmp_path: Path):
    write(tmp_path, some() * 1e6)  # farther than 10 km, were they metres
    _, clips = read_all(FORMAT, tmp_path)
    assert whole(clips) == []
    _, clips = read_all(FORMAT, tmp_path, Options(units=Unit(1e-6, "micrometres")))
    assert whole(clips) == NAMES
    np.testing.assert_allclose(positions(clips, NAMES[0]), some()[0], rtol=1e-5)
    _, clips = read_all(FORMAT, tmp_path, Options(units=Unit(0.1, "decimetres")))
    assert whole(clips) == []
    assert "no position" in str(clips[NAMES[0]])
