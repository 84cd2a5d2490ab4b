"""Text files of the first Kinect: worked by hand, damaged, and the real ones where they lie beside us."""

import json
import pickle
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reading import SHARED, clips_and_faults, write_all

from hiclr.datasets.readers.kinect import FORMAT, MSR_ACTIONS, UT_ACTIONS, read_intervals
from hiclr.datasets.readers.plan import Options, Plan
from hiclr.datasets.readers.tree import open_tree
from hiclr.errors import InputError
from hiclr.skeleton import BANDAI_21, KINECT_20_MSR, KINECT_20_SDK

MSR = "a03_s02_e01_skeleton3D.txt"
LABELS = """s01_e01
walk: 10 14
sitDown: 20 24
throw:  30 30
s02_e01
walk: 10 12
"""


def body(rng: np.random.Generator, frames: int) -> np.ndarray:
    """(T, 20, 3) in six decimals, as the files have them."""
    return rng.normal(size=(frames, 20, 3)).round(6)


def msr(points: np.ndarray) -> str:
    return "".join(
        " ".join(f"{v:.6f}" for v in joint) + (" 1.000000\n" if joint.any() else " 0.000000\n")
        for frame in points
        for joint in frame
    )


def ut(numbers: Sequence[int], points: np.ndarray) -> str:
    return "".join(
        f"{number}   " + "  ".join(f"{v:.6f}" for v in frame.ravel()) + "  \n"
        for number, frame in zip(numbers, points, strict=True)
    )


def plan_of(path: Path, **options: Any) -> Plan:
    return FORMAT.find(open_tree(path), Options(**options))


def as_clip(points: np.ndarray) -> np.ndarray:
    return points.transpose(2, 0, 1)[..., None].astype(np.float32)


def test_msr_files_are_read_to_the_last_digit_without_their_empty_frames(tmp_path: Path):
    points = body(np.random.default_rng(0), 7)
    points[[1, 3, 4]] = 0
    plan = plan_of(write_all(tmp_path, {MSR: msr(points)}))
    clip = plan.read(plan.found[0])
    np.testing.assert_array_equal(clip.x, as_clip(points[[0, 2, 5, 6]]))
    assert clip.notes == ("3 of 7 frames are all zero and dropped",)
    assert plan.layout is KINECT_20_MSR
    assert plan.classes == MSR_ACTIONS
    found = plan.found[0]
    assert (found.name, found.label, dict(found.ids)) == ("a03_s02_e01", 2, {"subject": 2})


def test_the_class_of_an_msr_file_is_in_its_name(tmp_path: Path):
    write_all(tmp_path, {MSR: msr(body(np.random.default_rng(0), 1))})
    with pytest.raises(InputError, match="--labels does nothing for MSR-Action3D files: the number after a"):
        plan_of(tmp_path, labels="actionLabel.txt")


def test_line_ends_marks_and_blank_lines_make_no_difference(tmp_path: Path):
    text = msr(body(np.random.default_rng(0), 2))
    forms = {1: text, 2: "\ufeff" + text.replace("\n", "\r\n") + "\r\n\r\n", 3: text.replace("\n", "\r").strip()}
    write_all(tmp_path, {f"a01_s01_e0{i}_skeleton3D.txt": t for i, t in forms.items()})
    clips, _ = clips_and_faults(plan_of(tmp_path))
    assert len(clips) == 3
    for clip in clips.values():
        np.testing.assert_array_equal(clip.x, clips["a01_s01_e01"].x)


def test_damaged_msr_files_are_named_with_what_was_wanted(tmp_path: Path):
    text = msr(body(np.random.default_rng(0), 7))
    lines = text.splitlines(keepends=True)
    damaged = {
        "cut": "".join(lines[:127]),
        "zero": msr(np.zeros((2, 20, 3))),
        "script": "%USAGE: read(file)\nfunction s = read(file)\n",
        "empty": "",
        "short": "".join([*lines[:5], "1 2 3\n", *lines[6:]]),
        "nan": "".join([*lines[:45], "1 nan 3 1\n", *lines[46:]]),
        "far": "".join([*lines[:45], "1 2 99999 1\n", *lines[46:]]),
    }
    files = {f"a01_s01_e{i:02d}_skeleton3D.txt": text for i, text in enumerate(damaged.values())}
    clips, faults = clips_and_faults(plan_of(write_all(tmp_path, files | {MSR: text})))
    assert list(clips) == ["a03_s02_e01"]  # the others stop nobody
    said = dict(zip(damaged, faults.values(), strict=True))
    assert "127 lines, which is no multiple of the 20 joints" in said["cut"]
    assert "all 2 frames are zero" in said["zero"]
    assert "line 1: four numbers, x y z and confidence, are wanted" in said["script"]
    assert "is empty" in said["empty"]
    assert "line 6: four numbers" in said["short"]
    assert "3 words are there" in said["short"]
    assert "frame 2, joint 5 (hip_l): nan is no position" in said["nan"]
    assert "99999.0 is no position" in said["far"]
    assert all(file in text for file, text in zip(files, faults.values(), strict=True))


def test_what_is_no_msr_clip_is_listed(tmp_path: Path):
    text = msr(body(np.random.default_rng(0), 1))
    files = {MSR: text, f"again/{MSR}": text, "a21_s01_e01_skeleton3D.txt": text, "a03_s02_e01_skeleton.txt": text,
             "a03_s02_e01_skeleton3D (1).txt": text, "readme.txt": "hello"}  # fmt: skip
    plan = plan_of(write_all(tmp_path, files))
    assert len(plan.found) == 1
    reasons = {skipped.file: (skipped.reason, skipped.harmless) for skipped in plan.skipped}
    assert len(reasons) == 5
    assert "action 21, known are 1 to 20" in reasons["a21_s01_e01_skeleton3D.txt"][0]
    assert "screen coordinates" in reasons["a03_s02_e01_skeleton.txt"][0]
    assert not reasons["a03_s02_e01_skeleton3D (1).txt"][1]
    assert reasons["readme.txt"][1]


def test_even_subjects_are_the_test_part(tmp_path: Path):
    text = msr(body(np.random.default_rng(0), 1))
    plan = plan_of(write_all(tmp_path, {f"a01_s{i:02d}_e01_skeleton3D.txt": text for i in range(1, 11)}))
    assert plan.protocols(plan.found)["cross-subject"].tolist() == [i % 2 == 0 for i in range(1, 11)]
    assert plan.protocols(plan.found[3:4])["cross-subject"].tolist() == [True]


def test_utkinect_intervals_count_both_ends_and_repeated_frames_once(tmp_path: Path):
    numbers = [8, 10, 12, 12, 14, 16, 20, 22, 24, 30]
    points = body(np.random.default_rng(0), len(numbers))
    points[7] = 0
    plan = plan_of(write_all(tmp_path, {"joints_s01_e01.txt": ut(numbers, points), "actionLabel.txt": LABELS}))
    clips, faults = clips_and_faults(plan)
    assert not faults
    np.testing.assert_array_equal(clips["s01_e01_walk"].x, as_clip(points[[1, 2, 4]]))
    np.testing.assert_array_equal(clips["s01_e01_sitDown"].x, as_clip(points[[6, 8]]))
    np.testing.assert_array_equal(clips["s01_e01_throw"].x, as_clip(points[[9]]))
    assert clips["s01_e01_sitDown"].notes == ("1 of 3 frames are all zero and dropped",)
    assert plan.layout is KINECT_20_SDK
    assert [UT_ACTIONS[int(found.label)] for found in plan.found] == ["walk", "sitDown", "throw"]
    assert plan.published == {"cross-subject": (100, 99)}
    assert [(skipped.file, skipped.reason) for skipped in plan.skipped] == [
        ("joints_s02_e01.txt", "not there; actionLabel.txt names 1 action in it")
    ]


def test_intervals_that_are_none_are_named_by_line():
    text = "s01_e01\nwalk: 10 14\npush: 30 20\ncarry:  NaN NaN\nwalk: 1 2\nthrow 3 4\n\npull: -3 4\n"
    intervals, skipped = read_intervals("walk: 1 2\n" + text, "actionLabel.txt")
    assert [str(interval) for interval in intervals] == ["s01_e01 walk 10-14"]
    reasons = [skip.reason for skip in skipped]
    assert "line 1: 'sSS_eEE', then 'action: start end' are wanted" in reasons[0]
    assert "line 4: s01_e01_push ends (20) before it starts (30)" in reasons[1]
    assert "line 5: s01_e01_carry goes from NaN to NaN" in reasons[2]
    assert "line 6: s01_e01_walk a second time" in reasons[3]
    assert "line 7: " in reasons[4]
    assert "line 9: s01_e01_pull goes from -3 to 4" in reasons[5]
    assert [skip.harmless for skip in skipped] == [False, False, True, False, False, False]
    with pytest.raises(InputError, match="more than 2,000 actions"):
        read_intervals("word\n" * 5000, "actionLabel.txt")


def test_intervals_that_can_hardly_be_meant_are_said(tmp_path: Path):
    labels = "".join(f"s{i:02d}_e01\npush: 100 110\n" for i in range(3, 9))
    labels += "s01_e01\npush: 100 400\nthrow: 200 240\npull: 400 420\nwalk: 500 600\n"
    text = ut([100, 210, 300, 410, 550], body(np.random.default_rng(0), 5))
    notes = " ".join(plan_of(write_all(tmp_path, {"joints_s01_e01.txt": text, "actionLabel.txt": labels})).notes)
    assert "s01_e01 push 100-400 is 301 frames long where the median push has 11" in notes
    assert "s01_e01 push 100-400 contains s01_e01 throw 200-240" in notes
    assert "overlap or touch: s01_e01 push 100-400 and s01_e01 pull 400-420;" in notes
    assert "walk" not in notes


def test_damaged_recordings_cost_the_clips_that_they_touch(tmp_path: Path):
    lines = ut([10, 12, 20, 22, 30], body(np.random.default_rng(0), 5)).splitlines(keepends=True)

    def faults(*damaged: str) -> dict[str, str]:
        write_all(tmp_path, {"joints_s01_e01.txt": "".join(damaged), "actionLabel.txt": LABELS})
        return clips_and_faults(plan_of(tmp_path))[1]

    assert not faults(*lines)
    torn = faults(*lines[:2], lines[2][:300], "\n", *lines[3:])
    assert list(torn) == ["s01_e01_sitDown"]
    assert "joints_s01_e01.txt, line 3: a frame number and 20 times x y z are wanted" in torn["s01_e01_sitDown"]
    assert "frame 12 comes after frame 20" in faults(*lines[:1], lines[2], lines[1], *lines[3:])["s01_e01_walk"]
    missing = faults(*lines[:2], *lines[4:])
    assert "frames 20 to 24 are wanted, joints_s01_e01.txt has frames 10 to 30" in missing["s01_e01_sitDown"]
    assert len(faults("function f\n", *lines)) == 3
    assert "is empty" in faults("")["s01_e01_walk"]
    assert (
        "nan is no position"
        in faults(lines[0], lines[1].replace(lines[1].split()[7], "nan"), *lines[2:])["s01_e01_walk"]
    )


def test_a_line_of_msr_that_is_dropped_or_doubled_is_noticed_wherever_it_stands(tmp_path: Path):
    lines = msr(body(np.random.default_rng(0), 3)).splitlines(keepends=True)
    changed = [lines[:i] + lines[i + 1 :] for i in range(60)] + [[*lines[:i], lines[i], *lines[i:]] for i in range(60)]
    write_all(tmp_path, {f"a01_s01_e{i:02d}_skeleton3D.txt": "".join(c) for i, c in enumerate(changed[:60])})
    write_all(tmp_path, {f"a02_s01_e{i:02d}_skeleton3D.txt": "".join(c) for i, c in enumerate(changed[60:])})
    clips, faults = clips_and_faults(plan_of(tmp_path))
    assert not clips
    assert all(f"has {59 if name.startswith('a01') else 61} lines" in said for name, said in faults.items())


NUMBERS = [10, 12, 14, 16, 20, 22, 24, 30]
WITHIN = {"s01_e01_walk": (0, 1, 2), "s01_e01_sitDown": (4, 5, 6), "s01_e01_throw": (7,)}  # lines of each clip


@pytest.fixture
def recording(
    tmp_path: Path,
) -> tuple[np.ndarray, list[str], Callable[[list[str]], tuple[dict[str, Any], dict[str, str]]]]:
    """(positions, lines, what comes of other lines)."""
    points = body(np.random.default_rng(0), len(NUMBERS))

    def read(lines: list[str]) -> Any:
        write_all(tmp_path, {"joints_s01_e01.txt": "".join(lines), "actionLabel.txt": LABELS})
        return clips_and_faults(plan_of(tmp_path))

    return points, ut(NUMBERS, points).splitlines(keepends=True), read


def test_lines_of_a_recording_that_change_places_are_noticed_by_their_numbers(recording: Any):
    _, lines, read = recording
    for one in range(len(lines)):
        for other in range(one + 1, len(lines)):
            changed = lines.copy()
            changed[one], changed[other] = lines[other], lines[one]
            clips, faults = read(changed)
            assert not clips
            assert all("comes after frame" in said for said in faults.values())


def test_a_line_of_a_recording_that_is_doubled_counts_once_or_is_noticed(recording: Any):
    points, lines, read = recording
    for one in range(len(lines)):
        for place in range(len(lines) + 1):
            clips, faults = read([*lines[:place], lines[one], *lines[place:]])
            if place in (one, one + 1):
                assert not faults
                for name, rows in WITHIN.items():
                    np.testing.assert_array_equal(clips[name].x, as_clip(points[list(rows)]))
            else:
                assert not clips
                assert all("comes after frame" in said for said in faults.values())


def test_a_line_of_a_recording_that_is_dropped_costs_that_frame_alone(recording: Any):
    points, lines, read = recording  # real recordings leave out every other frame and more: none is missed
    for dropped in range(len(lines)):
        clips, faults = read(lines[:dropped] + lines[dropped + 1 :])
        for name, rows in WITHIN.items():
            left = [row for row in rows if row != dropped]
            if left:
                np.testing.assert_array_equal(clips[name].x, as_clip(points[left]))
            else:
                assert "frames 30 to 30 are wanted" in faults[name]


def test_labels_may_lie_elsewhere_and_must_be_somewhere(tmp_path: Path):
    text = ut([10, 12], body(np.random.default_rng(0), 2))
    home = write_all(tmp_path / "joints", {"joints_s02_e01.txt": text})
    with pytest.raises(InputError, match=r"holds no actionLabel\.txt"):
        plan_of(home)
    write_all(tmp_path, {"labels.txt": LABELS})
    plan = plan_of(home, labels=str(tmp_path / "labels.txt"))
    assert [found.name for found in plan.found] == ["s02_e01_walk"]
    with pytest.raises(InputError, match="There is no label file"):
        plan_of(home, labels=str(tmp_path / "none.txt"))
    write_all(home, {"actionLabel.txt": "s09_e09\nwalk: 1 2\n"})
    with pytest.raises(InputError, match="names no action of the recordings"):
        plan_of(home)


def test_actions_of_another_list_are_classes_in_sorted_order(tmp_path: Path):
    labels = "s01_e01\nwalk: 10 10\ndance: 12 12\n"
    text = ut([10, 12], body(np.random.default_rng(0), 2))
    plan = plan_of(write_all(tmp_path, {"joints_s01_e01.txt": text, "actionLabel.txt": labels}))
    assert plan.classes == ("dance", "walk")
    assert [found.label for found in plan.found] == [1, 0]
    assert not plan.published


def test_notes_and_other_text_files_are_nothing(tmp_path: Path):
    files = {"notes.txt": "a01", "a01_s01_e01_skeleton.txt": "1", "0002-L.txt": "1 2 3", "joints.txt": "1",
             "a1_s1_e1_skeleton3D.txt": "1", "actionLabel.txt": LABELS}  # fmt: skip
    tree = open_tree(write_all(tmp_path, files))
    assert not FORMAT.detects(tree)
    with pytest.raises(InputError, match="holds neither"):
        FORMAT.find(tree, Options())


def test_the_two_sets_are_not_mixed_and_a_layout_must_fit(tmp_path: Path):
    text = msr(body(np.random.default_rng(0), 1))
    write_all(tmp_path, {MSR: text})
    assert plan_of(tmp_path, layout=KINECT_20_SDK).layout is KINECT_20_SDK
    with pytest.raises(InputError, match="has 21 joints, these files have 20"):
        plan_of(tmp_path, layout=BANDAI_21)
    write_all(tmp_path, {"joints_s01_e01.txt": ""})
    with pytest.raises(InputError, match="Prepare each from a folder of its own"):
        plan_of(tmp_path)


def test_a_zip_file_is_read_from_the_inside_and_a_plan_travels(tmp_path: Path):
    points = body(np.random.default_rng(0), 3)
    with zipfile.ZipFile(tmp_path / "ut.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("set/joints/joints_s02_e01.txt", ut([10, 11, 12], points))
        packed.writestr("set/actionLabel.txt", LABELS)
        packed.writestr("__MACOSX/set/joints/._joints_s02_e01.txt", b"\0\5")
    plan = plan_of(tmp_path / "ut.zip")
    read = pickle.loads(pickle.dumps(plan.read))  # noqa: S301 - our own, as for another process
    np.testing.assert_array_equal(read(plan.found[0]).x, as_clip(points))


@pytest.mark.real
def test_reported_files_are_read_or_named():
    path = SHARED / "cases" / "V01"
    if not path.is_dir():
        pytest.skip(f"no cases beside the project: {path} (HICLR_SHARED names another place)")
    values = json.loads((path / "expected.json").read_text(encoding="utf-8"))["values"]
    plan = plan_of(path)
    clips, faults = clips_and_faults(plan)
    assert list(clips) == values["good"]
    x = clips[values["good"][0]].x[..., 0]
    assert x.shape[1] == values["frames_with_body"]
    np.testing.assert_allclose(x[:, 0, 0], values["frame0_joint0"], atol=1e-5)
    np.testing.assert_allclose(x[:, -1, 19], values["last_frame_joint19"], atol=1e-5)
    assert "127 lines" in faults["a03_s03_e01"]
    assert len(faults) == 3


@pytest.mark.real
@pytest.mark.parametrize(("name", "count"), [("msr_action3d", 7), ("utkinect", 32)])
def test_the_real_files_hold_what_the_prepared_sets_hold(name: str, count: int):
    """The prepared sets are these positions, read between frames at 64 even times; MSR's rounded to 1/4096 m."""
    raw, prepared = SHARED / "data/raw" / name, SHARED / "data" / f"{name}.npz"
    if not raw.is_dir() or not prepared.exists():
        pytest.skip(f"no raw/{name} and {prepared.name} beside the project")
    plan = plan_of(raw)
    with np.load(prepared) as file:
        names, x, y, subject, length = (file[key] for key in ("names", "x", "y", "subject", "length"))
    place = {str(name).removesuffix("_skeleton3D.txt"): i for i, name in enumerate(names)}
    compared = [found for found in plan.found if found.name in place]
    assert len(compared) >= count
    for found in compared:
        i, clip = place[found.name], plan.read(found).x[..., 0]
        assert (found.label, found.ids["subject"], clip.shape[1]) == (y[i], subject[i], length[i])
        times = np.linspace(0, clip.shape[1] - 1, 64)
        before = np.floor(times).astype(int)
        after, part = np.minimum(before + 1, clip.shape[1] - 1), (times - before)[:, None]
        between = clip[:, before] * (1 - part) + clip[:, after] * part
        np.testing.assert_allclose(x[i, ..., 0], between, atol=0.5 / 4096 + 1e-6)
