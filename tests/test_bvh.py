"""BVH files: positions worked by hand, the faults that exporters make, the Bandai files where they lie beside us."""

import json
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reading import SHARED, clips_and_faults, write_all

from hiclr.datasets import convert, open_set
from hiclr.datasets.readers.bvh import FORMAT, layout_of
from hiclr.datasets.readers.bvh_motion import read_figure, read_motion
from hiclr.datasets.readers.plan import Options, Plan, RawClip
from hiclr.datasets.readers.tree import open_tree
from hiclr.datasets.readers.units import METRES
from hiclr.errors import InputError
from hiclr.skeleton import BANDAI_21, match_layout

HEAD = """HIERARCHY
ROOT Hips
{
  OFFSET 0 90 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Chest
  {
    OFFSET 0 30 0
    CHANNELS 2 Xrotation Zrotation
    JOINT Hand
    {
      OFFSET 0 10 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {
        OFFSET 0 5 0
      }
    }
  }
}
"""
REST = "0 90 0 0 0 0 0 0 0 0 0"
WIDTH = 11


def bvh(*rows: str, head: str = HEAD, said: int | None = None, frame_time: str = "0.0333333") -> str:
    return f"{head}MOTION\nFrames: {len(rows) if said is None else said}\nFrame Time: {frame_time}\n" + "\n".join(
        [*rows, ""]
    )


def positions(text: str) -> np.ndarray:
    """(T, V, 3) in the file's unit."""
    return read_motion(text.encode(), "x.bvh").positions


def plan_of(path: Path, **options: Any) -> Plan:
    return FORMAT.find(open_tree(path), Options(**options))


def faults_of(tmp_path: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_motion(text.encode(), "x.bvh")
    return str(caught.value)


def test_rotations_multiply_in_the_order_of_each_joints_line():
    # Hips turned by 90 degrees about z: its y axis lies along -x, so Chest is 30 to the left.
    # Chest: Rx(90) Rz(90) takes (0, 10, 0) to (-10, 0, 0), Hips' turn takes that to (0, -10, 0).
    row = "1 2 3 90 0 0 90 90 0 0 0"
    np.testing.assert_allclose(positions(bvh(row))[0], [[1, 2, 3], [-29, 2, 3], [-29, -8, 3]], atol=1e-5)
    # the other way round Rz(90) Rx(90) takes it to (0, 0, 10), which Hips' turn leaves
    other = HEAD.replace("2 Xrotation Zrotation", "2 Zrotation Xrotation")
    np.testing.assert_allclose(positions(bvh(row, head=other))[0], [[1, 2, 3], [-29, 2, 3], [-29, 2, 13]], atol=1e-5)


def test_a_position_channel_replaces_the_offset_and_nothing_else():
    head = HEAD.replace("OFFSET 0 10 0", "OFFSET 4 10 6").replace("3 Zrotation Xrotation Yrotation", "1 Yposition")
    np.testing.assert_allclose(positions(bvh("0 0 0 0 0 0 0 0 1", head=head))[0, 2], [4, 31, 6])


def test_a_joint_without_channels_follows_its_parent():
    head = HEAD.replace("      CHANNELS 3 Zrotation Xrotation Yrotation\n", "")
    np.testing.assert_allclose(positions(bvh("0 0 0 90 0 0 0 0", head=head))[0, 2], [-40, 0, 0], atol=1e-5)


def test_blanks_line_ends_and_exponents_make_no_difference():
    plain = bvh("1.5 90 -2 10 20 30 0 0 0 -0.000012 5", REST)
    odd = plain.replace("1.5 90", "1.5e0\t 9e1").replace("-0.000012", "-1.2e-05").replace(" {", "\t{  ")
    odd = "\ufeff" + odd.replace("JOINT Hand\n    {", "joint Hand {").replace("\n", "  \n") + "\n \n"
    for text in (odd, odd.replace("\n", "\r\n"), plain.replace("\n", "\r")):
        np.testing.assert_array_equal(positions(text), positions(plain))


def test_a_frame_may_be_spread_over_whole_lines():
    row = "1 2 3 90 0 0 90 90 0 0 0"
    np.testing.assert_array_equal(
        positions(bvh(row.replace(" 90 90", "\n90 90"), REST, said=2)), positions(bvh(row, REST))
    )


def test_long_clips_are_the_short_ones_one_after_the_other():
    rng = np.random.default_rng(0)
    rows = [" ".join(f"{v:.4f}" for v in rng.uniform(-90, 90, WIDTH)) for _ in range(7000)]  # more than one block
    whole = positions(bvh(*rows))
    np.testing.assert_array_equal(whole[6000:6010], positions(bvh(*rows[6000:6010])))


def test_more_frames_than_said_are_read_and_fewer_are_not(tmp_path: Path):
    more = read_motion(bvh(*[REST] * 6, said=5).encode(), "more.bvh")
    assert len(more.positions) == 6
    assert more.notes == ("it says 5 frames, 6 are there: all of them are read",)
    assert "it says 5 frames, 3 are there" in faults_of(tmp_path, bvh(*[REST] * 3, said=5))
    torn = bvh(*[REST] * 4, "1 2 3 4 5", said=5)
    assert "line 28 (frame 4): 11 values are wanted, 5 are there" in faults_of(tmp_path, torn)
    assert "line 26 (frame 2): 11 values are wanted, more than 11 are there" in faults_of(
        tmp_path, bvh(REST, REST, REST + " 7", REST)
    )
    assert "line 25 (frame 1): 11 values are wanted, 10 are there" in faults_of(
        tmp_path, bvh(REST, REST[:-2], REST, REST)
    )
    assert "no frame" in faults_of(tmp_path, bvh())


def test_what_is_no_number_is_named_by_frame_and_channel(tmp_path: Path):
    said = faults_of(tmp_path, bvh(REST, "0 nan 0 0 -nan(ind) 0 0 0 0 0 0"))
    assert "line 25 (frame 1): Hips Yposition is 'nan', Hips Xrotation is '-nan(ind)', which is not finite" in said
    assert "decimal comma" in faults_of(tmp_path, bvh(REST.replace("90", "90,5")))
    assert "Hips Yposition is '9_0', which is no number" in faults_of(tmp_path, bvh(REST.replace("90", "9_0")))
    assert "1e400" in faults_of(tmp_path, bvh(REST.replace("90", "1e400")))


@pytest.mark.parametrize("frame_time", ["0", "-0.1", "nan", "0,0333", "x"])
def test_a_rate_that_is_none_stays_unknown(frame_time: str):
    motion = read_motion(bvh(REST, frame_time=frame_time).encode(), "x.bvh")
    assert motion.frame_time is None
    assert "rate is not known" in motion.notes[0]
    assert read_motion(bvh(REST).encode(), "x.bvh").frame_time == 0.0333333


def test_a_second_root_is_left_out_and_said():
    twice = HEAD + HEAD.removeprefix("HIERARCHY\n").replace("Hips", "Hips2").replace("Chest", "Chest2").replace(
        "Hand", "Hand2"
    )
    row = "1 2 3 90 0 0 90 90 0 0 0"
    motion = read_motion(bvh(f"{row} {REST}", head=twice).encode(), "x.bvh")
    np.testing.assert_array_equal(motion.positions, positions(bvh(row)))
    assert motion.notes == ("it has 2 roots: 'Hips' is read, 'Hips2' left out",)


def test_a_scenes_root_moves_the_body_and_is_no_joint(tmp_path: Path):
    inner = HEAD.removeprefix("HIERARCHY\n").replace("ROOT", "JOINT")
    head = "HIERARCHY\nROOT joint_Root\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation " + (
        f"Xrotation Yrotation\n{inner}}}\n"
    )
    row = "1 2 3 90 0 0 90 90 0 0 0"
    motion = read_motion(bvh(f"100 0 0 0 0 0 {row}", head=head).encode(), "x.bvh")
    assert motion.figure.names == ("Hips", "Chest", "Hand")
    np.testing.assert_allclose(motion.positions, positions(bvh(row)) + np.float32([100, 0, 0]), atol=1e-4)
    plan = plan_of(write_all(tmp_path, {"x.bvh": bvh(f"100 0 0 0 0 0 {row}", head=head)}))
    assert any("'joint_Root' carries the scene" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("HIERARCHY", "%USAGE: read(file)", "should begin with HIERARCHY"),
        ("ROOT Hips\n", "", "ROOT or MOTION should stand here"),
        ("CHANNELS 2", "CHANNELS 3", "should stand here, not 'JOINT'"),
        ("CHANNELS 2", "CHANNELS 99999999", "the number of channels, 0 to 9"),
        ("Xrotation Zrotation\n    JOINT", "Xrotation Zscale\n    JOINT", "not 'Zscale'"),
        ("OFFSET 0 30 0", "OFFSET 0 nan 0", "the offset's y should stand here, not 'nan'"),
        ("    OFFSET 0 30 0\n", "", "'Chest' has no OFFSET"),
        ("Hand", "Chest", "'Chest' occurs twice"),
        ("}\n  }\n}\n", "}\n  }\n", "'Hips' is not closed"),
        ("MOTION", "MOTIO", "should stand here"),
        ("Frames: 1", "Frames: one", "'Frames: <a whole number>' should stand here"),
        ("Frame Time: 0.0333333\n", "", "'Frame Time: <seconds>' should stand here"),
    ],
)
def test_what_is_wrong_with_a_hierarchy_is_said(tmp_path: Path, old: str, new: str, said: str):
    text = bvh(REST)
    assert old in text
    assert said in faults_of(tmp_path, text.replace(old, new, 1))


def test_a_file_cut_anywhere_in_its_head_is_refused():
    text = bvh(REST).encode()
    for stop in range(text.index(b"Frame Time: 0.") + 13):
        with pytest.raises(InputError, match=r"x\.bvh"):
            read_motion(text[:stop], "x.bvh")


def test_deep_and_wide_trees_end_in_a_word():
    deep = "HIERARCHY\n" + "".join(
        f"{'JOINT' if i else 'ROOT'} j{i} {{ OFFSET 0 1 0 CHANNELS 1 Xrotation\n" for i in range(100_000)
    )
    with pytest.raises(InputError, match="more than 256 joints"):
        read_figure(deep.encode(), "x.bvh")


def still_joints(frames: int) -> bytes:
    """256 joints, of which one has a channel: two bytes for each frame."""
    below = "".join(f"JOINT j{i} {{ OFFSET 0 1 0 }}\n" for i in range(255))
    head = f"HIERARCHY\nROOT Hips {{ OFFSET 0 1 0 CHANNELS 1 Xrotation\n{below}}}\n"
    return bvh(*["0"] * frames, head=head).encode()


def test_joints_without_channels_take_no_more_memory_than_their_positions():
    content = still_joints(4000)
    tracemalloc.start()
    try:
        size = read_motion(content, "x.bvh").positions.nbytes  # 12 MB
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * size


def test_a_file_may_not_ask_for_more_than_its_size_explains():
    with pytest.raises(InputError, match=r"x\.bvh has more than 4,\d{3} frames of 256 joints"):
        read_motion(still_joints(20_000), "x.bvh")


@pytest.mark.parametrize(("factor", "unit"), [(0.01, "metres"), (1.0, "centimetres"), (10.0, "millimetres")])
def test_metres_come_out_of_any_unit_and_the_guess_is_said(tmp_path: Path, factor: float, unit: str):
    row = np.array([100, 90, 0, 0, 0, 0, 0, 0, 0, 0, 0]) * factor
    head = HEAD
    for offset in ("0 30 0", "0 10 0", "0 5 0"):  # 45 cm of bones
        numbers = " ".join(repr(float(v) * factor) for v in offset.split())
        head = head.replace(f"OFFSET {offset}", f"OFFSET {numbers}")
    plan = plan_of(write_all(tmp_path, {"x.bvh": bvh(" ".join(map(repr, row.tolist())), head=head)}))
    clip = plan.read(plan.found[0])
    assert clip.x.shape == (3, 1, 3, 1)
    assert clip.x.dtype == np.float32
    np.testing.assert_allclose(clip.x[:, 0, :, 0].T, [[1, 0.9, 0], [1, 1.2, 0], [1, 1.3, 0]], atol=1e-6)
    assert f"{unit} are assumed" in plan.notes[0]


@pytest.mark.parametrize(
    ("word", "metres"), [("m", 1.0), ("cm", 0.01), ("mm", 0.001), ("in", 0.0254), ("0.3048", 0.3048)]
)
def test_a_unit_that_is_given_is_not_guessed(tmp_path: Path, word: str, metres: float):
    text = bvh("1 2 3 90 0 0 90 90 0 0 0")
    source = write_all(tmp_path / "raw", {"x.bvh": text})
    report = convert(source, tmp_path / "set.npz", units=word)
    clip = np.asarray(open_set(tmp_path / "set.npz").x[0])[..., 0].transpose(1, 2, 0)
    np.testing.assert_array_equal(clip, positions(text) * np.float32(metres))  # "m": the file's own numbers
    assert "as --units says" in report["notes"][0]
    assert not report["dropped"]
    assert "are assumed" in convert(source, tmp_path / "guessed.npz")["notes"][0]


@pytest.mark.parametrize("word", ["feet", "0", "-1", "nan", "inf", ""])
def test_what_is_no_unit_is_refused(tmp_path: Path, word: str):
    source = write_all(tmp_path / "raw", {"x.bvh": bvh(REST)})
    with pytest.raises(InputError, match=r"is no unit\. Wanted: auto, m, cm, mm, in, or the metres"):
        convert(source, tmp_path / "set.npz", units=word)


def test_positions_beyond_any_room_are_refused(tmp_path: Path):
    _, faults = clips_and_faults(plan_of(write_all(tmp_path, {"x.bvh": bvh(REST, REST.replace("90", "9e300"))})))
    assert "frame 1, joint 'Hips' lies inf m away" in faults["x"]


def test_bandai_names_give_class_style_and_protocol(tmp_path: Path):
    names = ["dataset-2_walk-turn-left_active_001", "dataset-2_run_elderly_002", "dataset-2_run_normal_003"]
    plan = plan_of(write_all(tmp_path, {f"{name}.bvh": bvh(REST) for name in names} | {"other.bvh": bvh(REST)}))
    assert plan.classes is not None
    assert {found.name: plan.classes[int(found.label)] for found in plan.found} == {
        names[0]: "walk-turn-left", names[1]: "run", names[2]: "run",
    }  # fmt: skip
    assert {found.name: found.ids["style"] for found in plan.found} == {names[0]: 0, names[1]: 1, names[2]: 5}
    test = plan.protocols(plan.found)["cross-style"]
    assert [found.name for found, tested in zip(plan.found, test, strict=True) if tested] == [names[1]]
    assert [skipped.file for skipped in plan.skipped] == ["other.bvh"]


def test_other_styles_are_numbered_and_make_no_protocol(tmp_path: Path):
    files = {f"dataset-2_run_{style}_001.bvh": bvh(REST) for style in ("elderly", "angry", "normal")}
    plan = plan_of(write_all(tmp_path, files))
    assert [found.ids["style"] for found in plan.found] == [0, 1, 2]
    assert not plan.protocols(plan.found)
    assert "style: 0 is 'angry', 1 is 'elderly', 2 is 'normal'" in plan.notes


def test_a_pattern_gives_class_and_ids(tmp_path: Path):
    files = {f"{name}.bvh": bvh(REST) for name in ("S02_kick_1", "S10_jump_1", "S02_jump_2", "calibration")}
    plan = plan_of(write_all(tmp_path, files), pattern=r"S(?P<subject>\d+)_(?P<class>[a-z]+)")
    assert plan.classes == ("jump", "kick")
    assert [(found.name, found.label, found.ids) for found in plan.found] == [
        ("S02_jump_2", 0, {"subject": 2}), ("S02_kick_1", 1, {"subject": 2}), ("S10_jump_1", 0, {"subject": 10}),
    ]  # fmt: skip
    assert plan.skipped[0].file == "calibration.bvh"
    with pytest.raises(InputError, match="no regular expression"):
        plan_of(tmp_path, pattern="(")
    with pytest.raises(InputError, match="needs a group"):
        plan_of(tmp_path, pattern="x")
    with pytest.raises(InputError, match="no name of a BVH file fits"):
        plan_of(tmp_path, pattern="(?P<class>zzz)")


def test_numbers_as_classes_are_in_the_order_of_their_size(tmp_path: Path):
    plan = plan_of(write_all(tmp_path, {f"a{i}.bvh": bvh(REST) for i in (1, 2, 10)}), pattern=r"a(?P<class>\d+)")
    assert plan.classes == ("1", "2", "10")


def test_without_a_pattern_folders_are_classes_or_there_is_one(tmp_path: Path):
    plan = plan_of(write_all(tmp_path, {"walk/001.bvh": bvh(REST), "run/001.bvh": bvh(REST), "run/note.txt": "x"}))
    assert plan.classes == ("run", "walk")
    assert [(found.name, found.label) for found in plan.found] == [("run/001", 0), ("walk/001", 1)]
    assert any("folder's name" in note for note in plan.notes)
    assert [(skipped.file, skipped.harmless) for skipped in plan.skipped] == [("run/note.txt", True)]
    one = plan_of(tmp_path / "run")
    assert one.classes == ("all",)
    assert any("no class is known" in note for note in one.notes)


def test_the_first_whole_file_rules_the_joints(tmp_path: Path):
    shorter = HEAD.replace("Chest", "Back")
    files = {"a.bvh": b"", "b.bvh": bvh(REST), "c.bvh": bvh(REST, head=shorter), "d.bvh": bvh(REST, REST)}
    clips, faults = clips_and_faults(plan_of(write_all(tmp_path, files)))
    assert {name: clip.x.shape for name, clip in clips.items()} == {"b": (3, 1, 3, 1), "d": (3, 2, 3, 1)}
    assert "a.bvh is empty" in faults["a"]
    assert "c.bvh has 'Back' as joint 1, not 'Chest' as b.bvh" in faults["c"]


def test_a_layout_given_chooses_joints_by_name(tmp_path: Path):
    given = match_layout(["Hand", "Hips"], [1, -1], "two")
    plan = plan_of(write_all(tmp_path, {"x.bvh": bvh("0 90 0 0 0 0 0 0 0 0 0")}), layout=given)
    assert plan.layout is given
    np.testing.assert_allclose(plan.read(plan.found[0]).x[1, 0, :, 0], [1.3, 0.9], atol=1e-6)
    with pytest.raises(InputError, match="has no joint 'Spine', which layout 'bandai21' wants"):
        plan_of(tmp_path, layout=BANDAI_21)


def test_shoulders_and_centre_are_guessed_from_the_names():
    lines = ["HIERARCHY", "ROOT Hips {", "OFFSET 0 0 0", "JOINT Spine1 {", "OFFSET 0 1 0"]
    for side in ("Left", "Right"):
        lines += [f"JOINT {side}Shoulder {{ OFFSET 1 0 0", f"JOINT {side}Arm {{ OFFSET 1 0 0",
                  f"JOINT {side}ForeArm {{ OFFSET 1 0 0 CHANNELS 1 Xrotation }} }} }}"]  # fmt: skip
    layout = layout_of(read_figure("\n".join([*lines, "} }"]).encode(), "x.bvh"))
    assert layout.shoulders is not None
    assert [layout.joints[v] for v in (layout.centre, *layout.shoulders)] == ["Spine1", "LeftArm", "RightArm"]
    plain = layout_of(read_figure(HEAD.encode(), "x.bvh"))
    assert (plain.centre, plain.shoulders, plain.pairs) == (0, None, ())


def test_a_zip_file_is_read_from_the_inside_and_a_plan_travels(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "moves.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("in/walk.bvh", bvh(REST, REST))
        packed.writestr("__MACOSX/in/._walk.bvh", b"\0\5\26\7")
    plan = plan_of(tmp_path / "moves.zip")
    assert [found.name for found in plan.found] == ["walk"]
    again = pickle.loads(pickle.dumps(plan.read))  # noqa: S301 - our own, as for another process
    np.testing.assert_array_equal(again(plan.found[0]).x, plan.read(plan.found[0]).x)


def test_only_bvh_files_are_found(tmp_path: Path):
    assert not FORMAT.detects(open_tree(write_all(tmp_path, {"notes.txt": "HIERARCHY of needs", "x.skeleton": "1"})))
    with pytest.raises(InputError, match=r"no file whose name ends in \.bvh"):
        plan_of(tmp_path)
    assert FORMAT.detects(open_tree(write_all(tmp_path, {"deep/in/A.BVH": bvh(REST)})))


def case(name: str) -> tuple[dict[str, Any], dict[str, RawClip], dict[str, str]]:
    path = SHARED / "cases" / name
    if not path.is_dir():
        pytest.skip(f"no cases beside the project: {path} (HICLR_SHARED names another place)")
    expected = json.loads((path / "expected.json").read_text(encoding="utf-8"))
    return expected["values"], *clips_and_faults(plan_of(path))


@pytest.mark.real
@pytest.mark.parametrize("name", ["B02", "B06"])
def test_reported_files_have_the_positions_that_they_should(name: str):
    values, clips, faults = case(name)
    assert not faults
    for clip in clips.values():
        found = clip.x[..., 0].transpose(1, 2, 0) * 100
        np.testing.assert_allclose(found, values["positions_in_file_units"], atol=1e-4)  # float32 metres
    same = plan_of(SHARED / "cases" / name, units=METRES)
    for clip in clips_and_faults(same)[0].values():
        found = clip.x[..., 0].transpose(1, 2, 0)
        np.testing.assert_allclose(found, values["positions_in_file_units"], rtol=1e-6, atol=2e-6)


@pytest.mark.real
def test_reported_counts_are_said():
    _, clips, faults = case("B04")
    assert set(clips) == {"one_more"}
    assert "5 frames, 6 are there" in clips["one_more"].notes[0]
    assert "9 values are wanted, 5 are there" in faults["cut_line"]
    assert "5 frames, 3 are there" in faults["two_short"]


@pytest.mark.real
def test_reported_rates_roots_and_numbers():
    values, clips, faults = case("B08")
    for name, key in (("time_zero", "time_zero_positions"), ("two_roots", "two_roots_positions_of_first")):
        np.testing.assert_allclose(clips[name].x[..., 0].transpose(1, 2, 0) * 100, values[key], atol=1e-4)
    assert all(f"frame {frame}" in faults["nan"] and channel in faults["nan"] for frame, channel in values["nan_at"])


@pytest.mark.real
def test_the_bandai_files_hold_what_the_prepared_set_holds():
    """The prepared set is these positions in metres, read between frames at 64 even times, rounded to 1/4096 m."""
    packed, prepared = SHARED / "data/raw/bandai2_bvh_sample.zip", SHARED / "data/bandai2.npz"
    if not packed.exists() or not prepared.exists():
        pytest.skip(f"no {packed.name} and {prepared.name} beside the project")
    plan = plan_of(packed)
    assert plan.layout is BANDAI_21
    with np.load(prepared) as file:
        names, x, y, style, length = (file[key] for key in ("names", "x", "y", "subject", "length"))
    place = {str(name): i for i, name in enumerate(names)}
    compared = [found for found in plan.found if found.name in place][::3]
    assert len(compared) > 50
    for found in compared:
        i, clip = place[found.name], plan.read(found).x[..., 0]
        assert (found.label, found.ids["style"], clip.shape[1]) == (y[i], style[i], length[i])
        times = np.linspace(0, clip.shape[1] - 1, 64)
        before = np.floor(times).astype(int)
        after, part = np.minimum(before + 1, clip.shape[1] - 1), (times - before)[:, None]
        between = clip[:, before] * (1 - part) + clip[:, after] * part
        np.testing.assert_allclose(x[i, ..., 0], between, atol=0.5 / 4096 + 1e-6)
