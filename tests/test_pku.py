"""PKU-MMD: videos, label lines and split lists as text."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from reading import all_said, assert_said, case, positions, read_all, whole

from hiclr.datasets.readers.pku import ACTIONS, FORMAT
from hiclr.datasets.readers.plan import Options, RawClip
from hiclr.datasets.readers.tree import open_tree
from hiclr.errors import InputError
from hiclr.skeleton import BANDAI_21


def video(frames: int = 60, seed: int = 0) -> np.ndarray:
    """(T, 2, 25, 3) float32; the second person is not there."""
    x = np.random.default_rng(seed).normal(size=(frames, 2, 25, 3)).astype(np.float32)
    x[:, 1] = 0
    return x


def write(
    folder: Path, name: str, x: np.ndarray | None, labels: str | None, data: str = "Data", label: str = "Label"
) -> Path:
    """The two files of a video."""
    for inside in (data, label):
        (folder / inside).mkdir(parents=True, exist_ok=True)
    if x is not None:
        lines = (" ".join(repr(float(v)) for v in frame.ravel()) for frame in x)
        (folder / data / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if labels is not None:
        (folder / label / f"{name}.txt").write_text(labels, encoding="utf-8")
    return folder


def test_an_interval_holds_both_its_ends_counted_from_one(tmp_path: Path):
    x = video()
    plan, clips = read_all(FORMAT, write(tmp_path, "0002-L", x, "3,10,20,1\n51,1,60,2\n1,60,60\n"))
    assert [found.label for found in plan.found] == [2, 50, 0]
    assert (len(ACTIONS), plan.classes) == (51, ACTIONS)
    for found, rows in zip(plan.found, (slice(9, 20), slice(0, 60), slice(59, 60)), strict=True):
        np.testing.assert_array_equal(positions(clips, found.name), x[rows].transpose(3, 0, 2, 1))
    assert "count from 1, both ends included" in all_said(plan, clips)


def test_an_interval_inside_another_is_a_clip_of_its_own(tmp_path: Path):
    _, clips = read_all(FORMAT, write(tmp_path, "A01N02-M", video(), "3,10,40,1\n4,20,30,1\n"))
    assert [positions(clips, name).shape[1] for name in clips] == [31, 11]


def test_an_interval_keeps_its_length_where_nobody_is_there_at_its_end(tmp_path: Path):
    x = video()
    x[15:20] = 0
    _, clips = read_all(FORMAT, write(tmp_path, "0002-L", x, "3,10,20,1\n"))
    np.testing.assert_array_equal(positions(clips, "0002-L_001"), x[9:20].transpose(3, 0, 2, 1))


@pytest.mark.parametrize(
    "layout", [("Data", "Label"), ("skeleton", "label"), ("b/PKU_Skeleton_Renew", "a/Train_Label_PKU_final")]
)
def test_folders_are_told_apart_by_what_is_in_them(layout: tuple[str, str], tmp_path: Path):
    for name in ("0002-L", "0003-R"):
        write(tmp_path, name, video(), "\n\n 4.0 , 5 , 8 , 1 \r\n", *layout)
    plan, clips = read_all(FORMAT, tmp_path)
    assert whole(clips) == ["0002-L_003", "0003-R_003"]
    assert [found.ids["camera"] for found in plan.found] == [1, 3]


SPLIT = "Training videos:\n0002-L, 0002-M, \n\nValidataion videos: \n0002-R, 0777-R, \n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_split_lists_become_protocols(end: str, tmp_path: Path):
    for name in ("0002-L", "0002-M", "0002-R", "0003-L"):
        write(tmp_path, name, video(), "1,2,8,1\n2,9,12,1\n")
    (tmp_path / "Split").mkdir()
    (tmp_path / "Split" / "cross-view.txt").write_bytes(SPLIT.replace("\n", end).encode())
    (tmp_path / "cross_subject.txt").write_text("Training videos:\n0003-L\nValidation videos:\n0002-L,0002-M,0002-R\n")
    plan, clips = read_all(FORMAT, tmp_path)
    masks = {name: mask.tolist() for name, mask in plan.protocols(plan.found).items()}
    assert masks["pku1-xview"] == [False] * 4 + [True] * 4
    assert masks["pku1-xsub"] == [True] * 6 + [False] * 2
    assert plan.published == {"pku1-xsub": (18_841, 2_704)}
    said = all_said(plan, clips)
    assert "0777-R" in said
    assert "pku1-xview leaves out 1 video, counted as test: 0003-L" in said


def test_part_two_has_protocols_of_its_own(tmp_path: Path):
    for name in ("A01N01-L", "A26N13-R"):
        write(tmp_path, name, video(), "1,2,8,1\n")
    (tmp_path / "cross_subject_v2.txt").write_text("Training videos:\nA01N01-L\n\nTesting videos:\nA26N13-R\n")
    plan, _ = read_all(FORMAT, tmp_path)
    assert {name: mask.tolist() for name, mask in plan.protocols(plan.found).items()} == {"pku2-xsub": [False, True]}
    assert plan.published == {"pku2-xsub": (5_332, 1_613)}


def test_every_bad_line_is_named_with_its_number(tmp_path: Path):
    labels = (
        "3,10,20,1\n\n7,30,25,1\n9,50,75,1\n0,5,9,2\n52,5,9,2\n5,0,4,1\n5,2.5,4,1\n5;2;4\nnan,1,2\n5,-3,4\n1,1,99999\n"
    )
    plan, clips = read_all(FORMAT, write(tmp_path, "0002-L", video(), labels))
    assert whole(clips) == ["0002-L_001"]
    said = all_said(plan, clips)
    for words in (
        "line 3 (7,30,25,1): it ends at frame 25, before its start at frame 30",
        "line 4: it ends at frame 75 (it starts at 50), but Data/0002-L.txt has 60 frames",
        "line 5 (0,5,9,2): action 0",
        "line 6 (52,5,9,2): action 52",
        "line 7 (5,0,4,1): it starts at frame 0; the first frame is 1",
        "line 8 (5,2.5,4,1): '2.5' is no whole number",
        "line 9 (5;2;4): action,start,end,confidence is wanted",
        "line 10 (nan,1,2): 'nan'",
        "line 11 (5,-3,4): it starts at frame -3",
        "line 12 (1,1,99999)",
    ):
        assert words in said
    assert "line 2" not in said  # it is blank


def test_videos_labels_and_splits_without_partners_are_named(tmp_path: Path):
    write(tmp_path, "0002-L", video(), "1,2,8,1\n")
    write(tmp_path, "0003-M", video(), None)
    write(tmp_path, "0009-L", None, "1,2,8,1\n")
    write(tmp_path, "F001V001C003", video(), None)
    (tmp_path / "notes.txt").write_text("hello")
    plan, clips = read_all(FORMAT, tmp_path)
    assert whole(clips) == ["0002-L_001"]
    reasons = {skipped.file: skipped for skipped in plan.skipped}
    assert "no label file" in reasons["Data/0003-M.txt"].reason
    assert "no video" in reasons["Label/0009-L.txt"].reason
    assert "fits none of" in reasons["Data/F001V001C003.txt"].reason
    assert not reasons["Data/F001V001C003.txt"].harmless
    assert reasons["notes.txt"].harmless
    with pytest.raises(InputError, match=r"0003-M\.txt"):
        FORMAT.find(open_tree(tmp_path / "Data" / "0003-M.txt"), Options())


def test_a_bad_frame_costs_the_clips_that_hold_it(tmp_path: Path):
    write(tmp_path, "0002-L", video(), "1,1,10,1\n1,11,20,1\n1,21,30,1\n1,31,40,1\n")
    path = tmp_path / "Data" / "0002-L.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[14] = " ".join(lines[14].split()[:149])
    lines[24] = " ".join(["nan", *lines[24].split()[1:]])
    lines[34] = " ".join(["one", *lines[34].split()[1:]])
    path.write_text("\n".join(lines), encoding="utf-8")
    _, clips = read_all(FORMAT, tmp_path)
    assert whole(clips) == ["0002-L_001"]
    assert "line 15: a frame has 150 numbers, 149 are there" in str(clips["0002-L_002"])
    assert "frames 21 to 30: frame 4, joint 0 (spine_base) of person 0 is nan" in str(clips["0002-L_003"])
    assert "line 35" in str(clips["0002-L_004"])


def test_a_file_that_was_mended_is_read_anew(tmp_path: Path):
    write(tmp_path, "0002-L", video(5), "1,1,10,1\n")
    assert "has 5 frames" in str(read_all(FORMAT, tmp_path)[1]["0002-L_001"])
    write(tmp_path, "0002-L", video(20), None)
    assert whole(read_all(FORMAT, tmp_path)[1]) == ["0002-L_001"]


def test_a_zip_file_is_read_from_the_inside(tmp_path: Path):
    x = video()
    write(tmp_path / "plain", "0002-L", x, "3,10,20,1\n")
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for file in (tmp_path / "plain").rglob("*.txt"):
            packed.write(file, file.relative_to(tmp_path / "plain"))
    _, clips = read_all(FORMAT, tmp_path / "set.zip")
    np.testing.assert_array_equal(positions(clips, "0002-L_001"), x[9:20].transpose(3, 0, 2, 1))


def test_other_joints_than_those_of_the_set_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="'ntu25'"):
        FORMAT.find(open_tree(write(tmp_path, "0002-L", video(), "1,1,2\n")), Options(layout=BANDAI_21))


def test_other_text_is_left_to_others(tmp_path: Path):
    for name in ("a01_s01_e01_skeleton3D.txt", "joints_s01_e01.txt", "actionLabel.txt", "2002-X.txt", "0002-L.npy"):
        (tmp_path / name).write_text("1 2 3")
    assert not FORMAT.detects(open_tree(tmp_path))


@pytest.mark.real
def test_reported_label_lines():
    folder, expected = case("P02")
    plan, clips = read_all(FORMAT, folder)
    assert_said(expected, all_said(plan, clips))
    found = {(f.label, *f.place[3:]) for f in plan.found if isinstance(clips[f.name], RawClip)}
    good = [*expected["values"]["good"], expected["values"]["one_frame_line"]]
    assert found == {(action - 1, start, end) for action, start, end in good}
    for clip in plan.found:
        if clip.name in whole(clips):
            assert positions(clips, clip.name).shape[1] == clip.place[4] - clip.place[3] + 1


@pytest.mark.real
def test_reported_files_without_partners():
    folder, expected = case("P03")
    plan, clips = read_all(FORMAT, folder)
    assert_said(expected, all_said(plan, clips))
    assert len(whole(clips)) == expected["values"]["clips"]
    cameras = {f.name.rsplit("_", 1)[0]: "?LMR"[f.ids["camera"]] for f in plan.found}
    assert cameras == expected["values"]["views"]
