"""Every key of an interchange file with every kind of wrong value: a set, or one sentence that names the key."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hiclr.__main__ import main
from hiclr.datasets import SkeletonSet, open_set, save_set
from hiclr.datasets.files import open_folder, open_npz
from hiclr.errors import InputError

CLIPS, JOINTS = 4, 5


def good() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(CLIPS, 3, 6, JOINTS, 1)).astype(np.float32),
        "y": np.array([0, 1, 0, 1]),
        "subject": np.array([1, 1, 2, 2]),
        "camera": np.array([1, 2, 1, 2]),
        "setup": np.array([1, 1, 1, 1]),
        "length": np.array([6, 5, 6, 6]),
        "names": np.array(["a", "b", "c", "d"]),
        "classes": np.array(["walk", "sit"]),
        "joint_names": np.array(["hip", "left hand", "right hand", "left shoulder", "right shoulder"]),
        "parents": np.array([-1, 3, 4, 0, 0]),
        "pairs": np.array([[1, 2], [3, 4]]),
        "centre": np.array(0),
        "shoulders": np.array([3, 4]),
        "layout": np.array("mine"),
        "source": np.array("somewhere"),
        "synthetic": np.array(False),
        "preprocessing": np.array(["centre first"]),
        "fps": np.array(30.0),
        "test_subjects": np.array([2]),
        "test_cameras": np.array([2]),
    }


WRONG: dict[str, Any] = {
    "nothing": np.array([]),
    "a number": np.array(7),
    "a fraction": np.array(0.5),
    "not a number": np.array(np.nan),
    "text": np.array("word"),
    "bytes": np.array(b"\xff\xfe"),
    "a column": np.arange(CLIPS)[:, None],
    "a row": np.arange(CLIPS)[None],
    "fractions": np.linspace(0, 1, CLIPS),
    "joint fractions": np.full(JOINTS, 0.5),
    "negative": np.full(CLIPS, -3),
    "negative joints": np.full(JOINTS, -3),
    "far": np.full(JOINTS, 99),
    "huge": np.full(CLIPS, 2**63, dtype=np.uint64),
    "too many": np.arange(40),
    "words": np.array(["x"] * CLIPS),
    "joint words": np.array(["x"] * JOINTS),
    "three axes": np.zeros((2, 2, 2), dtype=int),
    "complex": np.array([1j] * CLIPS),
    "times": np.array(["2020-01-01"] * CLIPS, dtype="datetime64[D]"),
    "a record": np.zeros(CLIPS, dtype=[("a", int)]),
    "odd pairs": np.array([[1, 2, 3]]),
    "a joint twice": np.array([[1, 2], [2, 3]]),
    "yes": np.array(True),
}


@pytest.mark.parametrize("key", [*good(), "test", "protocol.mine", "test_setups", "test_styles"])
@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_value_is_a_set_or_a_sentence(key: str, kind: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **{**good(), key: WRONG[kind]})
    try:
        clips = open_npz(tmp_path / "set.npz").clips
        _ = clips.summary(), clips.fingerprint, clips.layout.bones
    except InputError as error:
        assert len(str(error)) < 600
        assert "set.npz" in str(error)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("subject", np.arange(4)[:, None], r"subject must hold whole numbers of shape \(4,\); .* of shape \(4, 1\)"),
        ("length", np.arange(4)[None], r"length must hold whole numbers of shape \(4,\)"),
        ("parents", np.full(5, 0.5), r"parents must hold whole numbers of shape \(5,\); .* the first is 0\.5"),
        ("parents", np.array([1, 1, 1, 4, 5]), r"counted from 1: give parents - 1"),
        ("pairs", np.array([1, 2]), r"pairs must hold whole numbers of shape \(P, 2\)"),
        ("centre", np.array([1, 2]), r"centre must hold one value: whole numbers"),
        ("centre", np.array(9), r"set\.npz.*joint index 9 is outside 0\.\.4"),
        ("synthetic", np.array("no"), "synthetic must hold one value: yes or no"),
        ("test", np.array([0, 1, 2, 0]), r"test must hold yes or no of shape \(4,\)"),
        ("classes", np.array([1.5, 2.5]), "classes must hold text"),
        ("fps", np.array([30, 30]), "fps must hold one value: a number"),
        ("test_subjects", np.array(["P1"]), "test_subjects must hold whole numbers"),
    ],
)  # fmt: skip
def test_the_key_what_is_wanted_and_what_came_are_named(key: str, value: Any, words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **{**good(), key: value})
    with pytest.raises(InputError, match=words):
        open_npz(tmp_path / "set.npz")


@pytest.mark.parametrize("command", ["prepare", "doctor"])
def test_the_commands_say_it_without_a_traceback(command: str, tmp_path: Path, capsys: Any) -> None:
    np.savez(tmp_path / "set.npz", **{**good(), "pairs": np.array(["a", "b"])})
    more = ["--out", str(tmp_path / "out.npz")] if command == "prepare" else []
    assert main([command, str(tmp_path / "set.npz"), *more]) == 1
    said = capsys.readouterr()
    assert "pairs must hold whole numbers" in said.out + said.err
    assert "Traceback" not in said.err


def test_whole_numbers_may_be_written_as_fractions_and_single_values_in_a_list(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **{**good(), "subject": np.array([1.0, 1.0, 2.0, 2.0]), "centre": np.array([3])})
    clips = open_npz(tmp_path / "set.npz").clips
    assert clips.ids["subject"].tolist() == [1, 1, 2, 2]
    assert clips.layout.centre == 3


@pytest.mark.parametrize(
    ("key", "meant"), [("subjects", "subject"), ("Length", "length"), ("test_subject", "test_subjects")]
)
def test_a_misspelt_key_is_named_with_what_was_meant(key: str, meant: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **good(), **{key: np.arange(4)})
    assert f"the key {key!r} is not read; was {meant!r} meant?" in " ".join(open_npz(tmp_path / "set.npz").notes)


def test_a_key_of_somebody_elses_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **good(), weather=np.zeros(3))
    assert open_npz(tmp_path / "set.npz").notes[-1].endswith("the key 'weather' is not read.")


def test_ids_that_nobody_has_are_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **{**good(), "test_subjects": np.array([2, 40, 41])})
    assert "test_subjects names 40, 41, which no clip has as its subject" in " ".join(
        open_npz(tmp_path / "set.npz").notes
    )


def test_without_labels_zeros_are_offered(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", **{key: value for key, value in good().items() if key != "y"})
    with pytest.raises(InputError, match="zeros will do"):
        open_npz(tmp_path / "set.npz")


@pytest.mark.parametrize("name", ["set.npz", "folder"])
def test_a_written_set_has_its_first_test_part_where_every_program_looks(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "source.npz", **good())
    clips = open_set(str(tmp_path / "source.npz"))
    assert list(clips.protocols) == ["cross-subject", "cross-view"]
    save_set(clips, tmp_path / name)
    if name == "folder":
        test, again = np.load(tmp_path / name / "test.npy"), open_folder(tmp_path / name).clips
    else:
        test, again = np.load(tmp_path / name)["test"], open_npz(tmp_path / name).clips
    assert test.tolist() == [False, False, True, True]
    assert list(again.protocols) == list(clips.protocols), "and it is no protocol more"
    assert again.fingerprint == clips.fingerprint


def test_other_subjects_are_another_set() -> None:
    made = SkeletonSet.from_arrays(np.ones((4, 3, 6, 25, 1)), [0, 0, 1, 1], ids={"subject": np.arange(4)})
    other = SkeletonSet.from_arrays(np.ones((4, 3, 6, 25, 1)), [0, 0, 1, 1], ids={"subject": np.arange(4)[::-1]})
    assert made.fingerprint != other.fingerprint
