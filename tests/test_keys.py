"""Every key of an interchange file with every kind of wrong value: a set, or one sentence that names the key."""

import dataclasses
import json
import tempfile
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hiclr.__main__ import main
from hiclr.datasets import SkeletonSet, convert, diagnose, open_set, save_set
from hiclr.datasets.files import open_folder, open_npz
from hiclr.datasets.keys import _KEYS, IDS, PER_ID, PER_PROTOCOL, SPLITS, file_of, key_of
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25, Layout

CLIPS, JOINTS = 4, 5


def good() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(CLIPS, 3, 6, JOINTS, 1)).astype(np.float32),
        "y": np.array([0, 1, 0, 1]),
        "subject": np.array([1, 1, 2, 2]),
        "camera": np.array([1, 2, 1, 2]),
        "setup": np.array([1, 1, 1, 1]),
        "view": np.array([3, 2, 1, 2]),
        "style": np.array([0, 1, 0, 1]),
        "replication": np.array([1, 1, 2, 2]),
        "id.actor": np.array([7, 7, 9, 9]),
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
        "protocol.mine": np.array([False, False, False, True]),
        "protocol.a/b: 50 % <é>": np.array([True, False, False, False]),
        "protocols": np.array(["mine", "a/b: 50 % <é>"]),
        "styles": np.array(["calm", "wild"]),
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


@pytest.mark.parametrize("key", [*good(), "test", "test_setups", "test_styles"])
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
        ("parents", np.full(5, 0.5), r"parents must hold whole numbers of shape \(5,\); .* the first .* is 0\.5"),
        ("parents", np.array([1, 1, 1, 4, 5]), r"counted from 1: give parents - 1"),
        ("pairs", np.array([1, 2]), r"pairs must hold whole numbers of shape \(P, 2\)"),
        ("centre", np.array([1, 2]), r"centre must hold one value: whole numbers"),
        ("centre", np.array(9), r"set\.npz.*joint index 9 is outside 0\.\.4"),
        ("synthetic", np.array("no"), "synthetic must hold one value: yes or no"),
        ("test", np.array([0, 1, 2, 0]), r"test must hold yes or no of shape \(4,\); .* does not fit is 2\."),
        ("subject", np.array([1, 2, np.nan, 0.5]), r"subject must hold whole numbers .* does not fit is nan\."),
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
    np.savez(tmp_path / "source.npz", **{key: value for key, value in good().items() if not key.startswith("proto")})
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


# --- written and opened again -----------------------------------------------------------------------------------------

FORMS = ("set.npz", "set")


def differences(one: SkeletonSet, other: SkeletonSet, but: tuple[str, ...] = ()) -> list[str]:
    """Fields that two sets do not share; of protocols the order too."""
    found = []
    for field in dataclasses.fields(SkeletonSet):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name in ("ids", "protocols"):
            same = set(a) == set(b) and all(np.array_equal(a[key], b[key]) for key in a)
            same = same and (field.name == "ids" or list(a) == list(b))
        elif field.name in ("x", "y", "length"):
            same = (a is None) == (b is None) and np.array_equal(np.asarray(a), np.asarray(b))
        else:
            same = a == b
        if not same and field.name not in but:
            found.append(f"{field.name}: {a!r} became {b!r}")
    return found


def written_twice(clips: SkeletonSet, folder: Path, first: str, second: str) -> SkeletonSet:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of what is written nothing is worth a word when it is read
        save_set(clips, folder / f"one-{first}")
        save_set(open_set(folder / f"one-{first}"), folder / f"two-{second}")
        return open_set(folder / f"two-{second}")


def test_the_file_that_holds_every_key_of_the_table_does():
    about_the_file = {"format", "fingerprint", "test", "test_setups", "test_styles"}
    assert set(_KEYS) - about_the_file <= set(good())


@pytest.mark.parametrize(("first", "second"), list(product(FORMS, FORMS)))
def test_every_key_comes_back_in_both_forms_and_across(first: str, second: str, tmp_path: Path):
    np.savez(tmp_path / "source.npz", **good())
    clips = open_set(tmp_path / "source.npz")
    assert set(clips.ids) == {*IDS, "actor"}
    assert clips.ids["actor"].tolist() == [7, 7, 9, 9]
    assert list(clips.protocols) == ["mine", "a/b: 50 % <é>", "cross-subject", "cross-view"]
    assert (clips.styles, clips.fps, clips.source) == (("calm", "wild"), 30.0, "somewhere")
    again = written_twice(clips, tmp_path, first, second)
    assert not differences(clips, again)
    if second == "set":
        said = json.loads((tmp_path / "two-set" / "meta.json").read_text())
        assert said == {"format": "hiclr", "fingerprint": clips.fingerprint}


NAME = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\x7f") | st.sampled_from("/\\:*?\"<>|%. "),
    min_size=1, max_size=12,
)  # fmt: skip
NAMES = st.lists(NAME, unique_by=lambda name: name.casefold(), max_size=4)


@st.composite
def sets(draw: st.DrawFn) -> SkeletonSet:
    """Any fields that a set can have."""
    count, joints = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    whole = st.lists(st.integers(-(2**62), 2**62), min_size=count, max_size=count)
    ids = draw(st.lists(st.sampled_from(IDS), unique=True)) + draw(NAMES)
    masks = st.lists(st.booleans(), min_size=count, max_size=count)
    pairs = ((0, 1),) if draw(st.booleans()) else ()
    layout = Layout(
        draw(NAME), tuple(f"joint {v}" for v in range(joints)), tuple(max(v - 1, 0) for v in range(joints)), pairs,
        draw(st.integers(0, joints - 1)), draw(st.sampled_from([None, (0, 1), (1, 0)])),
    )  # fmt: skip
    return SkeletonSet.from_arrays(
        np.arange(count * 6 * joints, dtype=np.float32).reshape(count, 3, 2, joints, 1),
        draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)),
        layout=layout,
        classes=draw(st.lists(NAME, min_size=3, max_size=4, unique=True)),
        names=draw(st.lists(NAME, min_size=count, max_size=count, unique=True)),
        ids={name: draw(whole) for name in dict.fromkeys(ids)},
        protocols={name: draw(masks) for name in draw(NAMES)},
        length=draw(st.none() | st.lists(st.integers(1, 99), min_size=count, max_size=count)),
        source=draw(NAME),
        synthetic=draw(st.booleans()),
        preprocessing=tuple(draw(st.lists(NAME, max_size=2))),
        fps=draw(st.none() | st.floats(0.1, 1e6)),
        styles=tuple(draw(st.lists(NAME, max_size=2))),
    )


@given(sets(), st.sampled_from(FORMS), st.sampled_from(FORMS))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_set_holds_comes_back(clips: SkeletonSet, first: str, second: str):
    with tempfile.TemporaryDirectory() as folder:
        assert not differences(clips, written_twice(clips, Path(folder), first, second))


@given(NAME | st.sampled_from(["%41", "a.npy", "..", "a%2Fb", "con"]))
def test_the_name_of_a_file_tells_its_key(name: str):
    for key in (PER_PROTOCOL + name, PER_ID + name):
        assert key_of(file_of(key)) == key
        assert not set('/\\:*?"<>|') & set(file_of(key))


@pytest.mark.parametrize("first", FORMS)
@pytest.mark.parametrize("second", FORMS)
def test_prepare_and_the_doctor_see_every_id_and_protocol(first: str, second: str, tmp_path: Path):
    x = np.random.default_rng(0).normal(size=(CLIPS, 3, 6, 25, 1)).astype(np.float32)
    own = {key: value for key, value in good().items() if key not in ("joint_names", "parents", "pairs", "centre")}
    own = {key: value for key, value in own.items() if key not in ("shoulders", "layout", "test_subjects")}
    np.savez(tmp_path / "source.npz", **{**own, "x": x})
    clips = open_set(tmp_path / "source.npz")
    save_set(clips, tmp_path / f"one-{first}")
    convert(tmp_path / f"one-{first}", tmp_path / f"two-{second}")
    assert not differences(clips, open_set(tmp_path / f"two-{second}"))
    convert(tmp_path / f"two-{second}", tmp_path / f"three-{first}", preprocess="released")
    prepared = open_set(tmp_path / f"three-{first}")
    assert not differences(clips, prepared, but=("x", "preprocessing", "fps"))
    assert prepared.preprocessing[0] == "centre first"
    assert "resample 50" in prepared.preprocessing
    summary = diagnose(tmp_path / f"three-{first}")["summary"]
    assert {f"{key}s" for key in (*IDS, "actor")} <= set(summary)
    assert [key for key in summary if key.startswith("protocol ")] == [f"protocol {name}" for name in clips.protocols]


@pytest.mark.parametrize("name", FORMS)
def test_a_part_of_a_set_keeps_its_ids_and_the_order_of_its_protocols(name: str, tmp_path: Path):
    np.savez(tmp_path / "source.npz", **good())
    save_set(open_set(tmp_path / "source.npz"), tmp_path / name)
    clips = open_set(tmp_path / name)
    train, test = clips.split("cross-view")
    save_set(train, tmp_path / f"train-{name}")
    again = open_set(tmp_path / f"train-{name}")
    assert {key: value.tolist() for key, value in again.ids.items()} == {
        key: value[[0, 2]].tolist() for key, value in clips.ids.items()
    }
    assert list(again.protocols) == list(test.protocols) == list(clips.protocols)
    assert clips.subset([3, 1]).ids["actor"].tolist() == [9, 7]


def test_a_folder_of_an_older_version_has_the_default_first_that_its_test_part_is(tmp_path: Path):
    clips = SkeletonSet.from_arrays(
        np.ones((4, 3, 2, 25, 1)), [0, 1, 0, 1], protocols={"xview": [0, 0, 0, 1], "xsub": [1, 0, 0, 0]}
    )
    save_set(clips, tmp_path / "set")
    (tmp_path / "set" / "protocols.npy").unlink()
    assert list(open_set(tmp_path / "set").protocols) == ["xview", "xsub"]  # not that of the alphabet


def test_whole_numbers_for_each_clip_are_ids_whatever_they_are_called(tmp_path: Path):
    np.savez(tmp_path / "set.npz", **good(), scene=np.arange(4), takes=np.array([5, 5, 6, 6], dtype=np.uint8))
    with pytest.warns(UserWarning, match=r"the key 'scene' has a whole number for each clip and is read as ids"):
        clips = open_set(tmp_path / "set.npz")
    assert clips.ids["takes"].tolist() == [5, 5, 6, 6]
    save_set(clips, tmp_path / "again.npz")
    opened = open_npz(tmp_path / "again.npz")
    assert (opened.clips.ids["scene"].tolist(), opened.notes) == ([0, 1, 2, 3], ())


def test_ids_and_protocols_of_other_types_are_brought_to_theirs_or_refused():
    x = np.ones((2, 3, 2, 25, 1))
    clips = SkeletonSet.from_arrays(x, [0, 1], ids={"actor": [3.0, 4.0]}, protocols={"mine": [0, 1]})
    assert clips.ids["actor"].dtype == np.int64
    assert clips.summary()["protocol mine"] == "1 train / 1 test"
    for more, words in (
        ({"ids": {"actor": ["anna", "bo"]}}, r"ids\['actor'\] must hold whole numbers.*np\.unique\(words"),
        ({"protocols": {"mine": [0, 2]}}, r"protocols\['mine'\] must hold True or False"),
        ({"ids": {"actor": [[1], [2]]}}, r"ids\['actor'\] must have shape \(2,\).*it has \(2, 1\)"),
        ({"length": [1.5, 2]}, "length must hold whole numbers"),
    ):
        with pytest.raises(InputError, match=words):
            SkeletonSet.from_arrays(x, [0, 1], **more)


@pytest.mark.parametrize(
    ("protocols", "form", "words"),
    [
        (["a\nb"], "set.npz", "protocol 'a\\\\nb': a name must be one line"),
        ([""], "set", "protocol '': a name must be one line"),
        (["\udc80"], "set", "a name must be one line"),
        (["x" * 250], "set", "would need a file name of 263 bytes, 255 are possible"),
        (["XSub", "xsub"], "set", "protocol 'xsub' and protocol 'XSub' .* differ in capitals only"),
    ],
)
def test_a_name_that_cannot_be_stored_is_refused_before_anything_is_written(
    protocols: list[str], form: str, words: str, tmp_path: Path
):
    masks = {name: [False, True] for name in protocols}
    clips = SkeletonSet.from_arrays(np.ones((2, 3, 2, 25, 1)), [0, 1], protocols=masks)
    with pytest.raises(InputError, match=words):
        save_set(clips, tmp_path / form)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FORMS)
def test_a_long_name_and_names_of_ids_like_keys_are_kept(name: str, tmp_path: Path):
    protocols = {"é" * 100: [True, False], "a.npy": [False, True], "a": [True, False]}
    ids = {"x": [1, 2], "y": [3, 4], "length": [5, 6], "test": [7, 8], "protocol.a": [9, 9]}
    clips = SkeletonSet.from_arrays(np.ones((2, 3, 2, 25, 1)), [0, 1], protocols=protocols, ids=ids)
    save_set(clips, tmp_path / name)
    assert not differences(clips, open_set(tmp_path / name))


@pytest.mark.parametrize("key", SPLITS)
@pytest.mark.parametrize("command", ["prepare", "doctor"])
def test_a_test_part_that_names_nobody_is_an_error(key: str, command: str, tmp_path: Path, capsys: Any):
    np.savez(tmp_path / "set.npz", **{**good(), key: np.array([40, 41])})
    ids = SPLITS[key][0][0]
    with pytest.raises(InputError, match=f"{key} names 40, 41, which no clip has as its {ids}; there are "):
        open_set(tmp_path / "set.npz")
    more = ["--out", str(tmp_path / "out")] if command == "prepare" else []
    assert main([command, str(tmp_path / "set.npz"), *more]) == 1
    said = capsys.readouterr()
    assert f"{key} names 40, 41" in said.out + said.err


def test_an_empty_list_of_test_subjects_is_an_error(tmp_path: Path):
    np.savez(tmp_path / "set.npz", **{**good(), "test_subjects": np.array([], dtype=int)})
    with pytest.raises(InputError, match=r"test_subjects is empty.*there are 1, 2\. Mend the list, or leave"):
        open_set(tmp_path / "set.npz")


def test_protocols_that_are_not_there_are_named(tmp_path: Path):
    np.savez(tmp_path / "set.npz", **{**good(), "protocols": np.array(["mine", "gone"])})
    with pytest.raises(InputError, match=r"protocols names 'gone', and there is no key 'protocol\.gone'"):
        open_set(tmp_path / "set.npz")


@pytest.mark.parametrize("name", FORMS)
def test_a_known_tree_with_another_centre_or_other_pairs_stays_as_it_is(name: str, tmp_path: Path):
    for change in ({"centre": 0}, {"pairs": ()}, {"name": "mine"}, {"shoulders": None}):
        layout = dataclasses.replace(NTU_25, **change)
        save_set(SkeletonSet.from_arrays(np.ones((2, 3, 2, 25, 1)), [0, 1], layout=layout), tmp_path / name)
        assert open_set(tmp_path / name).layout == layout


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("parents", np.zeros(25, dtype=np.int64) - np.eye(1, 25, dtype=np.int64)[0]),
        ("joint_names", np.array([f"j{i}" for i in range(25)])),
        ("pairs", np.array([[1, 2]])),
        ("centre", np.array(3)),
    ],
)
def test_half_a_layout_of_25_joints_is_not_passed_over(tmp_path: Path, key: str, other: np.ndarray):
    x = np.random.default_rng(0).normal(size=(4, 3, 5, 25, 1)).astype(np.float32)
    path = tmp_path / "set.npz"
    np.savez(path, x=x, y=np.arange(4) % 2, **{key: other})
    with pytest.raises(InputError, match=rf"set\.npz: {key} of the 25 joints is not NTU's"):
        open_set(path)
    own = {"parents": np.array(NTU_25.parents), "joint_names": np.array(NTU_25.joints), "pairs": np.array(NTU_25.pairs)}
    own["centre"] = np.array(NTU_25.centre)
    np.savez(path, x=x, y=np.arange(4) % 2, **{key: own[key]})
    assert open_set(path).layout == NTU_25
