"""Hard cases that people who do this job have reported: one tiny input each, beside the project, and what is right.

`expected.json` of a case says the outcome, exact values and words that the answer must hold.
"""

import json
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reading
import torch
from reading import CASES, assert_said

from hiclr.datasets import Preprocess, SkeletonSet, convert, diagnose, motion, open_set, report_text, resample
from hiclr.errors import InputError

SKELETONS = ("N02", "N05", "N06", "N08", "N09", "N12", "N13", "N15", "N17")
SETS = ("Z01", "Z02", "Z04", "Z06")
OTHERS = ("P02", "P03", "K01", "K03", "K06", "K07", "R01", "R02", "R05", "B02", "B04", "B06", "B08", "V01")

pytestmark = pytest.mark.real


def expected(name: str) -> dict[str, Any]:
    return reading.case(name)[1]


def prepared(case: str, tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any], SkeletonSet]:
    """What is expected, the report of prepare, and the set that it wrote."""
    wanted = expected(case)
    report = convert(CASES / case, tmp_path / "set.npz")
    return wanted, report, open_set(tmp_path / "set.npz")


def joint(clips: SkeletonSet, clip: int, frame: int, index: int, person: int = 0) -> np.ndarray:
    return np.asarray(clips.x[clip][:, frame, index, person])


def answers(path: Path) -> tuple[str, SkeletonSet | None]:
    """All that opening and the doctor say about a file, and the set where there is one."""
    said, clips = json.dumps(diagnose(path), ensure_ascii=False), None
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            clips = open_set(path)
        said += " ".join(str(warning.message) for warning in caught)
    except InputError as error:
        said += str(error)
    return said, clips


@pytest.mark.parametrize("case", SKELETONS)
def test_a_folder_of_raw_files_converts_and_says_what_it_must(case: str, tmp_path: Path):
    wanted, report, clips = prepared(case, tmp_path)
    assert_said(wanted, json.dumps(report))
    values = wanted["values"]
    assert len(clips) >= values.get("clips_min", values.get("good_files", values.get("clips", 1)))
    assert len(clips) <= values.get("clips_max", values.get("good_files", values.get("clips", 1)))
    assert clips.length is not None
    assert clips.length.min() >= 1
    assert np.isfinite(np.asarray(clips.x)).all()
    clip_files = {f"{name}.skeleton" for name in clips.names}
    named = clip_files | {skipped["file"] for skipped in report["skipped"]}
    assert {Path(file).name for file in wanted["files"]} <= named  # nothing goes without a word
    for key, value in values.items():  # frame23_joint12 and the like, of the first person, in NTU's numbers from 1
        if (at := re.fullmatch(r"frame(\d+)_joint(\d+)", key)) is not None:
            found = joint(clips, 0, int(at[1]), int(at[2]) - 1)
            np.testing.assert_allclose(found, value, atol=1e-5)
    if "length" in values:
        assert clips.length.tolist() == [values["length"]] * len(clips)


def test_slots_that_change_do_not_move_a_person(tmp_path: Path):
    wanted, _, clips = prepared("N05", tmp_path)
    x = np.asarray(clips.x[0])
    steps = np.linalg.norm(np.diff(x[:, :, 20], axis=1), axis=0)
    assert steps.max() <= wanted["values"]["largest_step_of_joint21_within_a_person"] + 1e-5
    found = sorted(joint(clips, 0, 15, 20, person)[0] for person in (0, 1))
    np.testing.assert_allclose(found, [-0.585, 0.585], atol=1e-5)


def test_a_copy_by_a_browser_is_no_clip(tmp_path: Path):
    wanted, report, clips = prepared("N09", tmp_path)
    assert clips.y.tolist() == [wanted["values"]["label_0based"]] * len(clips)
    reasons = {skipped["file"]: skipped["reason"] for skipped in report["skipped"]}
    assert {"S001C003P001R001A003.skeleton.part", "ntu_rgbd.skeleton", "readme.txt"} <= set(reasons)


def test_line_ends_make_no_difference(tmp_path: Path):
    _, _, clips = prepared("N12", tmp_path)
    for other in (1, 2):
        np.testing.assert_array_equal(clips.x[other], clips.x[0])


def test_one_frame_is_a_clip(tmp_path: Path):
    _, _, clips = prepared("N15", tmp_path)
    fifty = resample(clips.clips([0]), 50)
    assert (fifty == fifty[:, :, :1]).all()
    assert not motion(fifty).any()


def test_a_late_second_person_is_no_ghost(tmp_path: Path):
    wanted, _, clips = prepared("N17", tmp_path)
    first, last = wanted["values"]["person1_present_frames"]
    there = np.flatnonzero(np.asarray(clips.x[0])[..., 1].any(axis=(0, 2)))
    assert (there[0], there[-1], len(there)) == (first, last, last - first + 1)
    np.testing.assert_allclose(joint(clips, 0, 25, 20, 1), wanted["values"]["person1_frame25_joint21"], atol=1e-5)
    out = Preprocess(turn="frame").apply(clips.clips([0]), clips.layout)[0]
    way = torch.linalg.vector_norm(out[:, :, 20, 0] - out[:, :, 20, 1], dim=0)
    beside = way[out[..., 1].any(dim=2).any(dim=0)]  # where both are there, they are as far apart as in the file
    apart = np.linalg.norm(joint(clips, 0, 25, 20, 1) - joint(clips, 0, 25, 20, 0))
    assert (beside > 0.8 * apart).all()


@pytest.mark.parametrize("case", SETS)
def test_a_faulty_set_is_answered_in_words(case: str):
    wanted = expected(case)
    for file in sorted(name for name in wanted["files"] if name != "strings.npz"):
        said, _ = answers(CASES / case / file)
        assert file in said
        assert_said(wanted, said)


def test_labels_in_words_and_labels_from_one():
    values = expected("Z02")["values"]
    _, words = answers(CASES / "Z02" / "strings.npz")
    _, numbers = answers(CASES / "Z02" / "from_one.npz")
    assert words is not None
    assert numbers is not None
    assert (list(words.classes), words.y.tolist()) == (values["strings_order"], values["strings_labels"])
    assert (numbers.num_classes, numbers.y.tolist()) == (values["classes"], values["from_one_labels"])


def test_impossible_lengths_are_named_and_possible_ones_kept(tmp_path: Path):
    values = expected("Z04")["values"]
    said, clips = answers(CASES / "Z04" / "lengths.npz")
    assert clips is not None
    assert clips.length is not None
    assert dict(zip(clips.names, clips.length.tolist(), strict=True))["c5"] == values["good_lengths"]["c5"]
    assert clips.length.min() >= 1
    assert all(name in said for name in (*values["impossible"], *values["longer_than_T"]))
    assert not diagnose(CASES / "Z04" / "lengths.npz")["ok"]
    report = convert(CASES / "Z04" / "lengths.npz", tmp_path / "set.npz")
    assert all(name in " ".join(report["notes"]) for name in values["impossible"])


def test_what_is_not_finite_is_named_by_frame_and_joint():
    values = expected("Z06")["values"]
    said, clips = answers(CASES / "Z06" / "nan.npz")
    assert clips is None
    for name, frame, index in values["not_finite"]:
        assert f"{name}: frame {frame}, joint {index}" in said
    assert all(name in said for name in values["implausible"])


@pytest.mark.parametrize("case", OTHERS)
def test_other_formats_end_as_reported(case: str, tmp_path: Path):
    """The outcome and what is said; positions are compared in the tests of each reader."""
    wanted = expected(case)
    try:
        report = convert(CASES / case, tmp_path / "set")
        said = report_text(report)
        outcome = "load"
    except InputError as error:
        said, outcome = str(error), "refuse"
    assert outcome in wanted["outcome"]
    assert_said(wanted, said)
    assert not (Path(tempfile.gettempdir()) / "hiclr_case_K01_marker").exists()
