"""PYSKL and MMAction2 pickles."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reading import all_said, assert_said, case, positions, read_all, whole

from hiclr.datasets.readers.plan import Options, Unit
from hiclr.datasets.readers.pyskl import FORMAT
from hiclr.datasets.readers.tree import open_tree
from hiclr.errors import InputError
from hiclr.skeleton import LAYOUTS

NAMES = [f"S001C00{1 + i % 3}P00{1 + i}R001A00{1 + i}" for i in range(4)]


def one(name: str, shape: tuple[int, ...] = (1, 10, 25, 3), seed: int = 0, **more: Any) -> dict[str, Any]:
    """An annotation."""
    keypoint = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return {"frame_dir": name, "label": 0, "total_frames": shape[1], "keypoint": keypoint, **more}


def write(path: Path, annotations: Any, protocol: int = 4, **splits: list[str]) -> Path:
    path.write_bytes(pickle.dumps({"split": splits, "annotations": annotations}, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64])
def test_clips_come_back_to_the_last_bit(protocol: int, given: type, tmp_path: Path):
    annotations = [one(name, (2, 10, 25, 3), seed=i, label=i) for i, name in enumerate(NAMES)]
    for annotation in annotations:
        annotation["keypoint"] = annotation["keypoint"].astype(given)
    plan, clips = read_all(FORMAT, write(tmp_path / "ntu.pkl", annotations, protocol))
    assert [(f.name, f.label) for f in plan.found] == [(name, i) for i, name in enumerate(NAMES)]
    assert plan.found[1].ids == {"subject": 2, "camera": 2, "setup": 1}
    for annotation in annotations:
        x = positions(clips, annotation["frame_dir"])
        np.testing.assert_array_equal(x, annotation["keypoint"].transpose(3, 1, 2, 0).astype(np.float32))


def test_splits_become_protocols(tmp_path: Path):
    annotations = [one(name, seed=i) for i, name in enumerate(NAMES)]
    path = write(
        tmp_path / "ntu60_3danno.pkl", annotations,
        xsub_train=NAMES[:2], xsub_val=NAMES[2:], xview_train=NAMES[1:], xview_val=[NAMES[0], "S009C001P001R001A001"],
    )  # fmt: skip
    plan, clips = read_all(FORMAT, path)
    masks = {name: mask.tolist() for name, mask in plan.protocols(plan.found).items()}
    assert masks == {"ntu60-xsub": [False, False, True, True], "ntu60-xview": [True, False, False, False]}
    assert plan.published["ntu60-xview"] == (37_646, 18_932)
    assert "S009C001P001R001A001" in all_said(plan, clips)


@pytest.mark.parametrize(
    ("splits", "wanted"),
    [
        ({"train": ["a", "b"], "val": ["c"]}, {"test": [False, False, True]}),
        ({"train": ["a"], "val": ["b"], "test": ["c"]}, {"test": [False, False, True]}),
        ({"train1": ["a"], "test1": ["b", "c"], "train2": ["b"], "test2": ["a"]},
         {"1": [False, True, True], "2": [True, False, False]}),
        ({"sub_train": ["a", "b", "c"], "sub_val": []}, {}),
    ],
)  # fmt: skip
def test_splits_of_other_names(splits: dict[str, list[str]], wanted: dict[str, list[bool]], tmp_path: Path):
    plan, _ = read_all(FORMAT, write(tmp_path / "a.pkl", [one(n, seed=i) for i, n in enumerate("abc")], **splits))
    assert {name: mask.tolist() for name, mask in plan.protocols(plan.found).items()} == wanted


def test_a_list_of_annotations_is_read_too(tmp_path: Path):
    for part, names in (("train", NAMES[:3]), ("val", NAMES[3:])):
        content = pickle.dumps([one(name, seed=i) for i, name in enumerate(names)])
        (tmp_path / f"ntu60_xsub_{part}.pkl").write_bytes(content)
    plan, _ = read_all(FORMAT, tmp_path)
    assert [f.name for f in plan.found] == NAMES
    assert [mask.tolist() for mask in plan.protocols(plan.found).values()] == [[False, False, False, True]]


def test_of_many_persons_those_who_move_most_stay_in_their_order(tmp_path: Path):
    annotation = one(NAMES[0], (4, 10, 25, 3))
    scale = np.array([1.0, 0.01, 0.0, 3.0]).reshape(4, 1, 1, 1)
    annotation["keypoint"] = (annotation["keypoint"] * scale + 1.0).astype(np.float32)
    plan, clips = read_all(FORMAT, write(tmp_path / "a.pkl", [annotation]))
    assert plan.persons == 2
    np.testing.assert_array_equal(positions(clips, NAMES[0]), annotation["keypoint"][[0, 3]].transpose(3, 1, 2, 0))
    assert "4 persons, persons 1, 2 are dropped" in all_said(plan, clips)


def test_a_length_that_is_not_there_is_said(tmp_path: Path):
    plan, clips = read_all(FORMAT, write(tmp_path / "a.pkl", [one("long", total_frames=12), one("right", seed=1)]))
    assert "long: total_frames says 12, keypoint has 10" in all_said(plan, clips)
    assert "right: total_frames" not in all_said(plan, clips)
    assert positions(clips, "long").shape[1] == 10


def test_two_coordinates_are_said_and_get_a_third_of_zero(tmp_path: Path):
    annotation = one("flat", (1, 10, 17, 2), keypoint_score=np.ones((1, 10, 17), dtype=np.float16))
    plan, clips = read_all(FORMAT, write(tmp_path / "ntu60_hrnet.pkl", [annotation]))
    x = positions(clips, "flat")
    np.testing.assert_array_equal(x[:2, ..., 0], annotation["keypoint"][0].transpose(2, 0, 1))
    assert not x[2].any()
    assert plan.layout.name == "coco17"
    for word in ("17 joints", "2 coordinates", "pixels", "coco17"):
        assert word in all_said(plan, clips)


def test_a_unit_is_for_positions_not_for_pixels(tmp_path: Path):
    annotation = one("a", (1, 10, 17, 3))
    path, inches = write(tmp_path / "a.pkl", [annotation]), Unit(0.0254, "inches")
    plan, clips = read_all(FORMAT, path, Options(layout=LAYOUTS["h36m17"], units=inches))
    wanted = annotation["keypoint"][0].transpose(2, 0, 1).astype(np.float32) * np.float32(0.0254)
    np.testing.assert_array_equal(positions(clips, "a")[..., 0], wanted)
    assert "inches are in the files" in plan.notes[0]
    with pytest.raises(InputError, match="are pixels of a picture"):
        FORMAT.find(open_tree(path), Options(layout=LAYOUTS["coco17"], units=inches))


def test_seventeen_joints_with_three_numbers_are_asked_for(tmp_path: Path):
    annotation = one("a", (1, 10, 17, 3))
    path = write(tmp_path / "a.pkl", [annotation])
    with pytest.raises(InputError, match=r"17 joints with 3 numbers.*coco17.*h36m17"):
        FORMAT.find(open_tree(path), Options())
    _, flat = read_all(FORMAT, path, Options(layout=LAYOUTS["coco17"]))
    assert not positions(flat, "a")[2].any()
    _, deep = read_all(FORMAT, path, Options(layout=LAYOUTS["h36m17"]))
    np.testing.assert_array_equal(positions(deep, "a")[..., 0], annotation["keypoint"][0].transpose(2, 0, 1))


def test_a_zip_file_is_read_from_the_inside(tmp_path: Path):
    annotations = [one(name, (2, 40, 25, 3), seed=i) for i, name in enumerate(NAMES)]
    write(tmp_path / "ntu.pkl", annotations)
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(tmp_path / "ntu.pkl", "ntu.pkl")
    _, clips = read_all(FORMAT, tmp_path / "set.zip")
    for annotation in annotations:
        x = positions(clips, annotation["frame_dir"])
        np.testing.assert_array_equal(x, annotation["keypoint"].transpose(3, 1, 2, 0))


def nan(shape: tuple[int, ...] = (1, 10, 25, 3)) -> np.ndarray:
    found = np.ones(shape, dtype=np.float32)
    found[0, 4, 3, 1] = np.nan
    return found


FAULTS = {
    "no name": (lambda: {"label": 0, "keypoint": np.ones((1, 2, 25, 3))}, "no frame_dir"),
    "no label": (lambda: {"frame_dir": "bad", "keypoint": np.ones((1, 2, 25, 3))}, "label should be a whole number"),
    "negative": (lambda: one("bad", label=-1), "it is -1"),
    "no keypoint": (lambda: {"frame_dir": "bad", "label": 0, "raw_file": "x"}, "raw_file"),
    "axes": (lambda: one("bad", (10, 75)), r"\(10, 75\)"),
    "joints": (lambda: one("bad", (1, 10, 17, 3)), "17 joints with 3 coordinates"),
    "nobody": (lambda: one("bad", keypoint=np.zeros((1, 10, 25, 3))), "nobody is there"),
    "empty": (lambda: one("bad", (1, 0, 25, 3)), r"\(1, 0, 25, 3\)"),
    "not finite": (lambda: one("bad", keypoint=nan()), r"frame 4, joint 3 \(head\)"),
    "twice": (lambda: one("a", seed=5), "second annotation"),
    "no dict": (lambda: [1, 2], "should be a dict"),
    "text": (lambda: one("bad", keypoint=np.array([["a"]])), "must hold numbers"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_annotation_is_named_and_stops_no_other(name: str, tmp_path: Path):
    make, message = FAULTS[name]
    plan, clips = read_all(FORMAT, write(tmp_path / "set.pkl", [one("a"), one("b", seed=1), make()]))
    assert [n for n, clip in clips.items() if not isinstance(clip, str)] == ["a", "b"]
    assert re.search(message, all_said(plan, clips))
    assert "set.pkl" in all_said(plan, clips)


def test_one_array_under_two_names_is_one_clip(tmp_path: Path):
    shared = one("a", (2, 50, 25, 3))
    plan, clips = read_all(FORMAT, write(tmp_path / "a.pkl", [shared, {**shared, "frame_dir": "b"}]))
    assert list(clips) == ["a"]
    assert "b: its keypoints are the very array of another clip" in all_said(plan, clips)


def test_a_pickle_that_runs_code_is_refused_and_stops_no_other(tmp_path: Path):
    (tmp_path / "bad.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(InputError, match=r"bad\.pkl is refused: it asks for os\.system"):
        FORMAT.find(open_tree(tmp_path), Options())
    write(tmp_path / "good.pkl", [one("a")])
    plan, clips = read_all(FORMAT, tmp_path)
    assert list(clips) == ["a"]
    assert "bad.pkl" in all_said(plan, clips)


def test_other_pickles_are_left_to_others(tmp_path: Path):
    (tmp_path / "train_label.pkl").write_bytes(pickle.dumps((["a"], [0])))
    (tmp_path / "train_data.npy").write_bytes(b"")
    assert not FORMAT.detects(open_tree(tmp_path))
    (tmp_path / "notes.pkl").write_bytes(pickle.dumps([1, 2]))
    assert not FORMAT.detects(open_tree(tmp_path))


@pytest.mark.real
def test_reported_lengths_persons_and_types():
    folder, expected = case("K06")
    values = expected["values"]
    plan, clips = read_all(FORMAT, folder)
    assert_said(expected, all_said(plan, clips))
    names = [found.name for found in plan.found]
    assert [positions(clips, name).shape[1] for name in names] == values["lengths"]
    assert [found.label for found in plan.found] == values["labels"]
    found = positions(clips, names[0])[:, 9, 11, 0]
    np.testing.assert_allclose(found, values["clip0_frame9_joint12"], atol=1e-5)
    assert "3 persons, person 2 is dropped" in all_said(plan, clips)


@pytest.mark.real
def test_reported_two_coordinates():
    folder, expected = case("K07")
    plan, clips = read_all(FORMAT, folder)
    assert_said(expected, all_said(plan, clips))
    assert (plan.layout.name, len(clips)) == ("coco17", 6)
    assert not positions(clips, plan.found[0].name)[2].any()


def test_positions_are_judged_when_they_are_metres(tmp_path: Path):
    far = one("a")
    far["keypoint"] = far["keypoint"] * np.float32(1e6)
    write(tmp_path / "a.pkl", [far])
    for unit, kept in ((None, []), (Unit(1e-6, "micrometres"), ["a"]), (Unit(0.1, "decimetres"), [])):
        _, clips = read_all(FORMAT, tmp_path, Options(units=unit))
        assert whole(clips) == kept


def test_names_in_bytes_are_read_as_text(tmp_path: Path):
    annotations = [one(name, seed=i) for i, name in enumerate(NAMES)]
    for annotation in annotations:
        annotation["frame_dir"] = annotation["frame_dir"].encode()
    plan, clips = read_all(FORMAT, write(tmp_path / "a.pkl", annotations, val=[name.encode() for name in NAMES[:1]]))
    assert whole(clips) == NAMES
    assert plan.protocols(plan.found)["test"].tolist() == [True, False, False, False]


def test_an_empty_pickle_is_named_as_that(tmp_path: Path):
    (tmp_path / "a.pkl").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.pkl is empty \(0 bytes\)"):
        FORMAT.find(open_tree(tmp_path / "a.pkl"), Options())
