"""The doctor: each fault is planted into a clean set and must be found where it was put; the clean set stays silent."""

import dataclasses
import os
import pickle
import re
import tracemalloc
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hiclr.__main__ import main
from hiclr.datasets import SkeletonSet, diagnose, diagnosis_text, save_set, synthetic
from hiclr.datasets.doctor import diagnose_set, examine
from hiclr.datasets.doctor.bodies import Facts
from hiclr.datasets.doctor.counts import count_findings, missing_parts
from hiclr.datasets.doctor.sources import PlanSource
from hiclr.datasets.doctor.twins import name_twins
from hiclr.datasets.readers.ntu import PUBLISHED
from hiclr.datasets.readers.ntu_missing import missing_names
from hiclr.datasets.readers.plan import Found, Plan, RawClip, Skipped
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25

SHARED = Path(os.environ.get("HICLR_SHARED", Path(__file__).parents[2] / "shared"))
AT = 5  # the clip that a fault is planted into
ELBOW, WRIST = NTU_25.joints.index("elbow_l"), NTU_25.joints.index("wrist_l")


@cache
def clean() -> SkeletonSet:
    """32 clips of 4 people, one or two at once, nothing lost by the sensor."""
    return synthetic(subjects=4, cameras=2, actions=("wave left hand", "clap slowly", "kick right",
                     "walk towards each other"), dropout=0.0)  # fmt: skip


def planted(change: Callable[[np.ndarray], None], **more: Any) -> SkeletonSet:
    x = np.array(clean().x)
    change(x)
    return dataclasses.replace(clean(), x=x, **more)


def found(clips: SkeletonSet) -> dict[str, dict[str, Any]]:
    """kind -> finding."""
    return {finding["kind"]: finding for finding in diagnose_set(clips)["findings"]}


def two_persons() -> int:
    return next(i for i, label in enumerate(clean().y) if clean().classes[label] == "walk towards each other")


def test_a_clean_set_is_silent():
    report = diagnose_set(clean())
    assert report["findings"] == []
    assert report["ok"]
    assert diagnosis_text(report).splitlines()[-1] == "Nothing to fix."
    assert "+y up" in report["summary"]["bodies"]


def test_a_clean_set_on_disk_is_read_in_blocks_and_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_set(clean(), tmp_path / "set")
    monkeypatch.setattr("hiclr.datasets.doctor.sources._BYTES", 2**17)  # a clip or two in each block
    assert diagnose(tmp_path / "set")["findings"] == []


# --- planted into one clip: the change, the kind, fault or note, words that name the place and the number -------------


def not_a_number(x: np.ndarray) -> None:
    x[AT, 1, 3, WRIST, 0] = np.nan
    x[AT, 0, 4, WRIST, 0] = np.inf


def nobody(x: np.ndarray) -> None:
    x[AT] = 0


def gap(x: np.ndarray) -> None:
    x[AT, :, 4:9] = 0


def lost_joint(x: np.ndarray) -> None:
    x[AT, :, 4:9, WRIST, 0] = 0


def frozen(x: np.ndarray) -> None:
    there = x[AT].any(axis=(0, 2, 3))
    x[AT, :, there] = x[AT, :, 0]


def jump(x: np.ndarray) -> None:
    x[AT, 0, 7, WRIST, 0] += 1.0


def spike(x: np.ndarray) -> None:
    x[AT, 0, 7, WRIST, 0] += 0.4  # half of what is a jump, but back in the next frame


def held(x: np.ndarray) -> None:
    last = int(np.flatnonzero(x[AT].any(axis=(0, 2, 3)))[-1])
    x[AT, :, last // 2 : last + 1] = x[AT, :, last // 2, None]


def side_exchange(x: np.ndarray) -> None:
    x[AT, :, 9:] = x[AT, :, 9:, list(NTU_25.mirror)].transpose(1, 2, 0, 3)


def millimetres(x: np.ndarray) -> None:
    x[AT] *= 1000


def far_joint(x: np.ndarray) -> None:
    x[AT, 0, 4:9, WRIST, 0] += 12


def giant(x: np.ndarray) -> None:
    x[AT] *= 4


def lying(x: np.ndarray) -> None:
    x[AT] = x[AT, [1, 0, 2]]


def mirrored(x: np.ndarray) -> None:
    x[AT, 0] *= -1


PLANTED = [
    (not_a_number, "not finite", "fault", ("frame 3", "wrist_l", "nan", "2 in all, the last in frame 4")),
    (nobody, "empty clip", "fault", ()),
    (gap, "empty frames", "note", ("frame 4", "first of 5 of")),
    (lost_joint, "lost joints", "note", ("frame 4", "wrist_l", "5 times")),
    (frozen, "frozen", "fault", ("equal frames",)),
    (jump, "jump", "note", ("frame 7", "wrist_l", " m from")),
    (spike, "jump", "note", ("frame 7", "wrist_l", " m from")),
    (held, "held frames", "note", ("frame ", "equal frames (of ")),
    (side_exchange, "left-right exchange", "fault", ("frame 9", "as a whole", " m apart")),
    (millimetres, "scale", "fault", (" m",)),
    (far_joint, "far joint", "fault", (" m",)),
    (giant, "body size", "note", (" m",)),
    (lying, "axes", "note", ()),
    (mirrored, "mirrored", "note", ()),
]


@pytest.mark.parametrize(("change", "kind", "severity", "words"), PLANTED, ids=lambda v: getattr(v, "__name__", None))
def test_a_planted_fault_is_named_by_clip_and_place(
    change: Callable[[np.ndarray], None], kind: str, severity: str, words: tuple[str, ...]
):
    clips = planted(change)
    finding = found(clips)[kind]
    assert finding["severity"] == severity
    assert finding["count"] == 1
    assert all(word in finding["where"] for word in (clips.names[AT], *words)), finding["where"]
    report = diagnose_set(clips)
    assert report["ok"] == (severity == "note")
    text = diagnosis_text(report)
    assert clips.names[AT] in text
    assert not re.search(r"\b1 (?:clips|frames|files|persons|people|bodies|classes|kinds|faults|pairs|times)\b", text)
    assert text.endswith("1 fault of 1 kind (see FAULT)." if severity == "fault" else "Nothing to fix.")


def test_one_fault_is_one_finding():
    """A joint without a position, or without any, is no jump to the origin and back."""
    for change, kind in ((not_a_number, "not finite"), (lost_joint, "lost joints"), (spike, "jump"), (gap, None)):
        assert list(found(planted(change))) == [kind or "empty frames"]


def test_a_clip_without_any_position_is_named_as_that():
    def all_nan(x: np.ndarray) -> None:
        x[AT][:, x[AT].any(axis=(0, 2, 3))] = np.nan

    assert list(found(planted(all_nan))) == ["not finite"]


def test_a_pause_and_a_clip_stretched_from_few_frames_are_no_held_frames():
    def pause(x: np.ndarray) -> None:
        x[AT, :, 4:8] = x[AT, :, 4, None]

    assert found(planted(pause)) == {}

    def stretched(x: np.ndarray) -> None:
        x[AT] = x[AT][:, np.arange(x.shape[2]) // 22]  # three frames, each drawn out

    length = np.full(len(clean()), 200)
    length[AT] = 3
    clips = planted(stretched, length=length, preprocessing=("resample 64",))
    assert "held frames" not in found(clips)
    assert "held frames" in found(dataclasses.replace(clips, length=np.full(len(clean()), 200)))


def test_a_hand_mixed_up_in_one_of_a_few_clips_is_the_sensors_note_and_in_many_a_fault():
    def one_pair(x: np.ndarray, clips: list[int]) -> None:
        both = [WRIST, NTU_25.mirror[WRIST]]
        for clip in clips:
            x[clip, :, 9:, both, 0] = x[clip, :, 9:, both[::-1], 0]

    finding = found(planted(partial(one_pair, clips=[AT])))["left-right exchange"]
    assert finding["severity"] == "note"
    assert "wrist_l / wrist_r" in finding["where"]
    assert found(planted(partial(one_pair, clips=[3, 4, AT])))["left-right exchange"]["severity"] == "fault"


def test_a_mirrored_clip_is_named_in_a_mirrored_set_too():
    def all_but_one(x: np.ndarray) -> None:
        x[np.arange(len(x)) != AT, 0] *= -1

    notes = [f for f in diagnose_set(planted(all_but_one))["findings"] if f["kind"] == "mirrored"]
    assert [clean().names[AT] in finding["where"] for finding in notes] == [False, True]


@pytest.mark.parametrize(("every", "words"), [(3, "these are mirrored"), (2, "mirrored")])
def test_a_set_merged_of_two_conventions_is_said_and_the_fewer_are_named(every: int, words: str):
    def some(x: np.ndarray) -> None:
        x[::every, 0] *= -1

    def others(x: np.ndarray) -> None:
        x[np.arange(len(x)) % every > 0, 0] *= -1

    finding = found(planted(some))["mirrored"]
    assert "two conventions in one set" in finding["what"]
    assert words in finding["what"]
    if every == 3:
        assert {place["clip"] for place in finding["places"]} == set(clean().names[::3])
        opposite = found(planted(others))["mirrored"]
        assert "these are not mirrored" in opposite["what"]
        assert {place["clip"] for place in opposite["places"]} == set(clean().names[::3])


@pytest.mark.parametrize("noise", ["of each frame", "of each clip"])
def test_feet_that_point_anywhere_are_no_two_conventions(noise: str):
    def anywhere(x: np.ndarray) -> None:
        rng, frames = np.random.default_rng(0), x.shape[2] if noise == "of each frame" else 1
        for joint in (NTU_25.joints.index("foot_l"), NTU_25.joints.index("foot_r")):
            ankle = NTU_25.parents[joint]
            way = rng.normal(0, 0.1, (len(x), 3, frames, x.shape[4])) * (x[:, :, :, ankle] != 0)
            x[:, :, :, joint] = x[:, :, :, ankle] + way

    assert "mirrored" not in found(planted(anywhere))


def test_a_whole_set_in_another_unit_is_one_fault():
    for factor, unit in ((1000, "millimetres"), (100, "centimetres")):
        report = diagnose_set(planted(lambda x, f=factor: np.multiply(x, f, out=x)))
        assert [(fault["kind"], unit in fault["what"]) for fault in report["faults"]] == [("scale", True)]
    assert "normalised" in found(planted(lambda x: np.multiply(x, 0.1, out=x)))["scale"]["what"]


@pytest.mark.parametrize(
    ("order", "signs", "do"),
    [
        ((0, 2, 1), (1, -1, 1), "(x, z, -y)"),
        ((0, 1, 2), (1, -1, -1), "(x, -y, -z)"),
        ((1, 0, 2), (1, -1, 1), "(-y, x, z)"),
    ],
)
def test_an_axis_that_is_not_up_is_guessed_with_the_turn_that_mends_it(
    order: tuple[int, ...], signs: tuple[int, ...], do: str
):
    def turn(x: np.ndarray) -> None:
        x[:] = x[:, list(order)] * np.array(signs, dtype=np.float32)[:, None, None, None]

    turned = planted(turn)
    finding = found(turned)["axes"]
    assert do in finding["do"]
    assert finding["severity"] == "fault"
    names = dict(zip("xyz", np.moveaxis(np.array(turned.x), 1, 0), strict=True))
    parts = [-names[word[1]] if word[0] == "-" else names[word] for word in do.strip("()").split(", ")]
    mended = dataclasses.replace(turned, x=np.stack(parts, axis=1))
    assert "axes" not in found(mended)
    assert "mirrored" not in found(mended)  # a turn, no mirror image


@pytest.mark.parametrize("share", [0.7, 0.05])
def test_an_axis_that_is_up_in_some_clips_only_is_a_note(share: float):
    def turn(x: np.ndarray) -> None:
        some = np.arange(len(x)) < share * len(x)
        x[some] = x[some][:, [0, 2, 1]]

    assert found(planted(turn))["axes"]["severity"] == "note"


def test_two_clips_of_somebody_lying_are_no_other_axes():
    x = np.array(clean().x[[AT, AT + 1]])[:, [1, 0, 2]]
    assert found(SkeletonSet.from_arrays(x, clean().y[:2], classes=clean().classes))["axes"]["severity"] == "note"


def test_a_mirrored_set_and_a_flat_one_are_said():
    def mirror(x: np.ndarray) -> None:
        x[:, 0] *= -1

    def flatten(x: np.ndarray) -> None:
        x[:, 2] = 0

    report = diagnose_set(planted(mirror))
    assert report["ok"]
    assert any("mirror image" in note for note in report["notes"])
    assert "plane" in found(planted(flatten))["axes"]["what"]


# --- two persons ------------------------------------------------------------------------------------------------------


def test_persons_who_change_places_are_found_centred_or_not():
    clip = two_persons()

    def exchange(x: np.ndarray) -> None:
        x[clip, :, 9:] = x[clip, :, 9:, :, ::-1]

    def centred(x: np.ndarray) -> None:
        exchange(x)
        there = x[clip].any(axis=(0, 2))[None, :, None]
        x[clip] = (x[clip] - x[clip, :, :, [NTU_25.centre], :1].transpose(1, 2, 0, 3)) * there

    for change in (exchange, centred):
        finding = found(planted(change))["swapped persons"]
        assert finding["severity"] == "fault"
        assert f"{clean().names[clip]}: frame 9" in finding["where"]


def test_a_person_who_goes_on_in_the_other_slot_is_found():
    def exchange(x: np.ndarray) -> None:
        x[AT, :, 9:, :, 1] = x[AT, :, 9:, :, 0]
        x[AT, :, 9:, :, 0] = 0

    assert not clean().x[AT, ..., 1].any()
    assert f"{clean().names[AT]}: frame 9" in found(planted(exchange))["swapped persons"]["where"]


def test_one_person_twice_is_a_fault_and_nearly_so_a_note():
    def twice(x: np.ndarray) -> None:
        x[AT, ..., 1] = x[AT, ..., 0]

    def nearly(x: np.ndarray) -> None:
        there = x[AT, ..., 0].any(axis=(0, 2))
        x[AT, :, there, :, 1] = x[AT, :, there, :, 0] + np.float32(0.002)

    assert found(planted(twice))["duplicate person"]["severity"] == "fault"
    assert found(planted(nearly))["duplicate person"]["severity"] == "note"


def test_what_happens_to_one_clip_of_a_thousand_is_the_sensors_note():
    clips = clean()
    rows = np.repeat(np.arange(len(clips)), 8)
    x = np.array(clips.x[rows]) + np.random.default_rng(0).normal(0, 0.01, (len(rows), 3, 1, 1, 1)).astype(np.float32)
    x *= np.asarray(clips.x[rows]) != 0
    side_exchange(x)
    many = SkeletonSet.from_arrays(x, clips.y[rows], classes=clips.classes)
    assert found(many)["left-right exchange"]["severity"] == "note"


# --- twins ------------------------------------------------------------------------------------------------------------


def across() -> tuple[int, int]:
    test = next(iter(clean().protocols.values()))
    return int(np.flatnonzero(~test)[0]), int(np.flatnonzero(test)[-1])


@pytest.mark.parametrize("change", ["equal", "rounded", "moved"])
def test_a_clip_that_trains_and_tests_is_found_when_it_was_rounded_or_moved(change: str):
    one, two = across()

    def copy(x: np.ndarray) -> None:
        x[two] = x[one]
        if change == "rounded":
            x[two] = x[two].astype(np.float16)
        if change == "moved":
            x[two] += np.float32([0.5, 0, 1])[:, None, None, None] * (x[two] != 0)

    assert clean().length is not None
    length = np.array(clean().length)
    length[two] = length[one]
    finding = found(planted(copy, length=length))["overlap"]
    assert finding["severity"] == "fault"
    assert clean().names[one] in finding["where"]
    assert clean().names[two] in finding["where"]


def test_of_many_equal_clips_each_that_has_a_partner_across_the_split_is_named():
    test = next(iter(clean().protocols.values()))
    train, tested = np.flatnonzero(~test)[:2].tolist(), np.flatnonzero(test)[-2:].tolist()

    def copy(x: np.ndarray) -> None:
        x[[*train, *tested]] = x[train[0]]

    length = np.array(clean().length)
    length[[*train, *tested]] = length[train[0]]
    where = found(planted(copy, length=length))["overlap"]["where"]
    assert all(clean().names[clip] in where for clip in (*train, *tested))


def test_another_take_is_no_twin():
    one, two = across()

    def similar(x: np.ndarray) -> None:
        noise = np.random.default_rng(0).normal(0, 0.01, x[one].shape)
        x[two] = x[one] + noise * (x[one] != 0)

    assert clean().length is not None
    length = np.array(clean().length)
    length[two] = length[one]
    assert not {"overlap", "twins"} & set(found(planted(similar, length=length)))


def test_names_of_copies():
    assert name_twins(["a", "b", "a (1)", "b.skeleton", "c"]) == [(0, 2), (1, 3)]
    assert name_twins(["x/S001C001P001R001A001", "y/S001C001P001R001A001.skeleton"]) == [(0, 1)]
    assert name_twins(["wave (1)", "wave (2)", "walk/001", "run/001", "a_1", "a_2"]) == []
    one, two = across()
    names = list(clean().names)
    names[two] = f"{names[one]} (1)"
    assert found(dataclasses.replace(clean(), names=tuple(names)))["overlap"]["severity"] == "fault"


def test_persons_on_both_sides_of_a_split_by_person_are_a_fault():
    ids = {**clean().ids, "subject": np.zeros(len(clean()), dtype=np.int64)}
    finding = found(dataclasses.replace(clean(), ids=ids))["overlap"]
    assert (finding["severity"], finding["where"]) == ("fault", "subject 0")
    assert "1 subject both in the train and in the test part" in finding["what"]


# --- labels and lengths -----------------------------------------------------------------------------------------------


def test_an_absurd_interval_is_named_beside_its_class():
    length = np.full(len(clean()), 10)
    length[AT] = 170
    clips = dataclasses.replace(clean(), length=length, preprocessing=("resample 64",))
    report = diagnose_set(clips)
    assert report["ok"]
    assert any("170 frames" in note and "has 10" in note and clips.names[AT] in note for note in report["notes"])
    length = np.full(len(clean()), 10)
    length[AT] = 40  # one who waits
    assert "absurd length" not in found(dataclasses.replace(clips, length=length))


def test_positions_after_the_end_are_a_fault():
    assert clean().length is not None
    length = np.array(clean().length)
    length[AT] -= 5
    finding = found(dataclasses.replace(clean(), length=length))["length"]
    assert (finding["severity"], finding["where"]) == ("fault", clean().names[AT])


def test_gaps_and_balance_of_classes():
    classes = (*clean().classes, "never seen")
    assert found(dataclasses.replace(clean(), classes=classes))["label gaps"]["where"] == "never seen"
    y = np.zeros(len(clean()), dtype=np.int64)
    assert "all clips are of one class" in found(dataclasses.replace(clean(), y=y))["one class"]["what"]
    y[:2] = 1
    assert "30 clips" in found(dataclasses.replace(clean(), y=y))["class balance"]["what"]


@pytest.mark.parametrize(
    ("labels", "ok", "words"),
    [
        (np.array([0, 1, 2, 1]), True, None),
        (np.array([1, 2, 3, 1]), True, "labels start at 1"),
        (np.array([0, 1, 3, 1]), True, "no clip in 1 of 4 classes: 2"),
        (np.array([0, -1, 2, 1]), False, "no whole number from 0 to 1,040 in 1 label of 4: entry 1: -1"),
        (np.array([0, 1, 10**9]), False, "entry 2: 1000000000"),
        (np.array([0.0, np.nan]), False, "entry 1: nan"),
        (np.array(["walk", "run"]), True, None),
        (np.array([{}, 1], dtype=object), False, "entry 0: a dict"),
        (np.zeros((4, 3)), False, "shape (4, 3)"),
    ],
)
def test_a_label_file(tmp_path: Path, labels: np.ndarray, ok: bool, words: str | None):
    np.save(tmp_path / "train_label.npy", labels, allow_pickle=True)
    report = diagnose(tmp_path / "train_label.npy")
    assert report["ok"] == ok
    text = diagnosis_text(report)
    assert words in text if words else "note" not in text


NTU_NAMES = [f"S001C001P00{person}R001A00{action}" for person in (1, 2) for action in (1, 2, 3)]


def label_pickle(place: Path, content: Any, name: str = "train_label.pkl") -> Path:
    (place / name).write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return place / name


@pytest.mark.parametrize("name", ["train_label.pkl", "y.pkl"])  # the second might be clips, for all its name says
@pytest.mark.parametrize("content", [(NTU_NAMES, [0, 1, 2] * 2), (NTU_NAMES, np.array([0, 1, 2] * 2)), [0, 1, 2]])
def test_a_label_pickle_is_read_without_running_anything(tmp_path: Path, content: Any, name: str):
    report = diagnose(label_pickle(tmp_path, content, name))
    assert report["findings"] == []
    assert report["summary"]["labels"].startswith("6, with the names" if isinstance(content, tuple) else "3")


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        ((NTU_NAMES, [0, 1, -1, 0, 1, 2]), "labels", f"{NTU_NAMES[2]}: -1"),
        ((NTU_NAMES, [0, 1, "walk", 0, 1, 2]), "labels", "words and others are mixed: 1 of 6 labels"),
        ((NTU_NAMES, [0, 1, 2]), "names", "6 names and 3 labels"),
        ((["S001C002P005R002A008", *NTU_NAMES[1:]], [7, 1, 2, 0, 1, 2]), "missing list", "S001C002P005R002A008"),
        ((NTU_NAMES, []), "labels", "no labels"),
        ({"labels": [0]}, "unreadable", "a (names, labels) pair is wanted"),
    ],
)
def test_what_is_wrong_in_a_label_pickle_is_named(tmp_path: Path, content: Any, kind: str, words: str):
    report = diagnose(label_pickle(tmp_path, content))
    assert [fault["kind"] for fault in report["faults"]] == [kind]
    assert words in diagnosis_text(report)


def test_a_label_that_does_not_fit_the_action_in_the_name_is_named(tmp_path: Path):
    path = label_pickle(tmp_path, (NTU_NAMES, [0, 1, 2, 0, 1, 1]))
    assert f"{NTU_NAMES[5]}: label 1, most of A003 have 2" in diagnosis_text(diagnose(path))
    clips = clean()
    names = tuple(f"S001C001P{i:03d}R001A{label + 1:03d}" for i, label in enumerate(clips.y))
    assert "mislabelled" not in found(dataclasses.replace(clips, names=names))
    wrong = np.where(np.arange(len(clips)) == AT, (clips.y + 1) % 4, clips.y)
    assert names[AT] in found(dataclasses.replace(clips, names=names, y=wrong))["mislabelled"]["where"]


def test_labels_that_follow_another_scheme_than_the_names_are_a_note(tmp_path: Path):
    names = [f"S001C001P00{person}R001A001" for person in range(1, 7)]
    report = diagnose(label_pickle(tmp_path, (names, [0, 1, 2, 3, 4, 5])))  # who it is, not what is done
    assert report["ok"]
    assert "labels are not the actions" in " ".join(report["notes"])


class _Calls:
    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.made = (function, args)

    def __reduce__(self) -> Any:
        return self.made


class _Builds(_Calls):
    def __reduce__(self) -> Any:
        return (*self.made, {"state": 1})  # and BUILD


TERABYTE = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01\x8a\x06\x00\x00\x00\x00\x00"
    b"\x01\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x01atb."
)


@pytest.mark.parametrize("name", ["train_label.pkl", "ntu60_3danno.pkl"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda marker: (["a"], [0, _Calls(os.system, f"touch {marker}")]), "asks for posix.system"),
        (lambda marker: {"annotations": [_Calls(exec, f"open({str(marker)!r}, 'w')")]}, "asks for builtins.exec"),
        (lambda _: _Builds(np.prod, [1, 2]), "asks for numpy.prod"),
        (lambda _: TERABYTE, "(1099511627776,)"),
    ],
)
def test_a_hostile_pickle_is_refused_by_name_and_nothing_is_run(
    tmp_path: Path, content: Callable[[Path], Any], words: str, name: str, capsys: pytest.CaptureFixture[str]
):
    path = label_pickle(tmp_path, content(tmp_path / "marker"), name)
    assert main(["doctor", str(label_pickle(tmp_path, [0, 1], "good_label.pkl"))]) == 0  # all is imported now
    tracemalloc.start()
    assert main(["doctor", str(path)]) == 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    said = capsys.readouterr()
    assert name in said.out
    assert words.replace("posix", os.name) in said.out
    assert not (tmp_path / "marker").exists()
    assert peak < 2**24


def test_a_pickle_of_clips_is_looked_at_as_a_set(tmp_path: Path):
    clips = clean()
    x = np.array(clips.x)
    side_exchange(x)
    annotations = [
        {"frame_dir": name, "label": int(label), "total_frames": int(length),
         "keypoint": one[:, :length].transpose(3, 1, 2, 0)}
        for name, label, length, one in zip(clips.names, clips.y, clips.length, x, strict=True)  # type: ignore[arg-type]
    ]  # fmt: skip
    split = {"xsub_train": list(clips.names[:20]), "xsub_val": list(clips.names[20:])}
    path = label_pickle(tmp_path, {"split": split, "annotations": annotations}, "anno.pkl")
    report = diagnose(path)
    assert report["summary"]["protocol xsub"] == "20 train / 12 test"
    assert [(fault["kind"], clips.names[AT] in fault["where"]) for fault in report["faults"]] == [
        ("left-right exchange", True)
    ]


# --- what the files do not say ----------------------------------------------------------------------------------------


def arrays(place: Path, factor: float = 1.0) -> Path:
    """A folder of prepared arrays, and another of their labels."""
    clips = clean()
    data, labels = place / "data", place / "labels"
    data.mkdir()
    labels.mkdir()
    np.save(data / "train_position.npy", np.asarray(clips.x) * np.float32(factor))
    np.save(labels / "train_label.npy", clips.y)
    return data


def test_the_options_of_prepare_are_those_of_the_doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = arrays(tmp_path, factor=1000)
    assert "no labels beside it" in diagnose(data)["faults"][0]["what"]
    report = diagnose(data, labels=str(tmp_path / "labels"))
    assert [fault["kind"] for fault in report["faults"]] == ["scale"]
    report = diagnose(data, labels=str(tmp_path / "labels"), units="mm", format="arrays", layout="ntu25")
    assert report["ok"]
    assert "millimetres are in the files" in " ".join(report["notes"])
    assert main(["doctor", str(data), "--labels", str(tmp_path / "labels"), "--units", "mm"]) == 0
    assert capsys.readouterr().out.endswith("Nothing to fix.\n")


def test_a_set_in_millimetres_is_looked_at_in_metres(tmp_path: Path):
    save_set(planted(lambda x: np.multiply(x, 1000, out=x)), tmp_path / "set.npz")
    assert not diagnose(tmp_path / "set.npz")["ok"]
    assert diagnose(tmp_path / "set.npz", units="mm")["ok"]


@pytest.mark.parametrize(
    ("source", "option", "value"),
    [
        ("set", "labels", "y.npy"),
        ("set", "pattern", "(?P<class>.)"),
        ("set", "format", "bvh"),
        ("set", "layout", "coco17"),
        ("set", "layout", "nobody's"),
        ("set", "units", "furlong"),
        ("synthetic", "units", "mm"),
        ("arrays", "pattern", "(?P<class>.)"),
    ],
)
def test_an_option_that_does_nothing_is_refused_as_prepare_does(
    tmp_path: Path, source: str, option: str, value: str, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "set.npz"
    save_set(clean(), path)
    path = {"set": path, "synthetic": Path("synthetic"), "arrays": arrays(tmp_path)}[source]
    said = []
    for more in (["doctor", str(path)], ["prepare", str(path), "--out", str(tmp_path / "out.npz")]):
        assert main([*more, f"--{option}", value]) == 1
        answer = capsys.readouterr()
        assert answer.out == ""
        said.append(answer.err)
    assert said[0] == said[1]
    assert value in said[0] or "Leave --" in said[0]


def test_an_option_on_a_file_of_labels_is_refused(tmp_path: Path):
    path = label_pickle(tmp_path, [0, 1])
    with pytest.raises(InputError, match=r"--units does nothing for .*train_label\.pkl, which is a file of labels"):
        diagnose(path, units="mm")


# --- counts -----------------------------------------------------------------------------------------------------------


def test_the_missing_lists_fall_into_train_and_test_as_published():
    """What falls where follows from the counts with 532 and with 535 names that both are met in papers."""
    parts = missing_parts(sorted(missing_names()))
    assert sum(parts["ntu60-xsub"]) == sum(parts["ntu60-xview"]) == 302
    assert sum(parts["ntu120-xsub"]) == sum(parts["ntu120-xset"]) == 535
    assert np.add(PUBLISHED["ntu120-xsub"], parts["ntu120-xsub"]).sum() == 114_480  # all files there are
    assert np.add(PUBLISHED["ntu60-xsub"], parts["ntu60-xsub"]).tolist() == [40_320, 16_560]  # 20 and 20 persons
    assert np.add(PUBLISHED["ntu60-xview"], parts["ntu60-xview"]).tolist() == [37_920, 18_960]  # cameras 2, 3 and 1
    later = missing_parts([f"S028C00{camera}P087R001A061" for camera in (1, 2, 3)])
    assert (later["ntu120-xsub"], later["ntu120-xset"]) == ((0, 3), (3, 0))  # 50,922 and 54,471


def counted(protocol: str, train: int, test: int, names: list[str] | None = None) -> dict[str, Any]:
    mask = np.arange(train + test) >= train
    names = [f"clip{i}" for i in range(train + test)] if names is None else names
    facts = Facts("ntu", NTU_25, names, np.zeros(len(names), dtype=np.int64), ("A001",), protocols={protocol: mask})
    return {finding.kind: finding.to_dict("ntu") for finding in count_findings(facts)}


@pytest.mark.parametrize("protocol", PUBLISHED)
def test_published_counts_are_nothing_to_speak_of(protocol: str):
    assert counted(protocol, *PUBLISHED[protocol]) == {}


@pytest.mark.parametrize(
    ("protocol", "more", "severity", "words"),
    [
        ("ntu120-xsub", (0, 3), "note", "532 names"),
        ("ntu120-xset", (3, 0), "note", "532 names"),
        ("ntu120-xsub", (3, 0), "note", "compare only nearly"),  # three others
        ("ntu60-xsub", (229, 73), "note", "not left out"),
        ("ntu60-xsub", (-8_469, 0), "fault", "extract or download"),  # half an archive
        ("ntu60-xsub", (-40_000, -16_000), "note", "on a part"),  # a sample
    ],
)
def test_counts_that_differ(protocol: str, more: tuple[int, int], severity: str, words: str):
    train, test = np.add(PUBLISHED[protocol], more).tolist()
    finding = counted(protocol, train, test)["counts"]
    assert finding["severity"] == severity
    assert words in finding["what"] + finding["do"]
    assert f"{test:,}" in finding["what"] or "part" in finding["do"]


@pytest.mark.parametrize("protocol", ["pku1-xsub", "xsub"])
def test_prepared_clips_of_pku_are_counted_beside_the_published_ones(protocol: str):
    def names(count: int) -> list[str]:
        return [f"{i // 20:04d}-{'LMR'[i % 3]}_{i:05d}" for i in range(count)]

    assert counted(protocol, 18_841, 2_704, names(21_545)) == {}
    few = counted(protocol, 18_840, 2_700, names(21_540))["counts"]
    assert (few["severity"], "published 18,841 and 2,704" in few["what"]) == ("note", True)
    half = counted(protocol, 10_000, 1_000, names(11_000))["counts"]
    assert (half["severity"], "11,000 of the 21,545" in half["what"]) == ("fault", True)


def test_where_no_count_was_published_none_is_made_up():
    names = [f"{i // 20:04d}-L_{i:05d}" for i in range(100)]
    assert counted("pku1-xview", 60, 40, names) == counted("cross-view", 60, 40, names) == {}


def test_a_set_with_a_published_protocol_is_counted():
    clips = dataclasses.replace(clean(), protocols={"ntu60-xsub": np.arange(len(clean())) % 2 == 0})
    assert "32 of the 56,578 published clips" in found(clips)["counts"]["what"]


def test_clips_of_the_missing_list_are_named_but_for_the_three_of_later():
    old = [f"S028C00{camera}P087R001A061" for camera in (1, 2, 3)]
    train, test = PUBLISHED["ntu120-xsub"]
    names = [*(f"clip{i}" for i in range(train + test)), *old]
    assert set(counted("ntu120-xsub", train, test + 3, names)) == {"counts"}
    names[-1] = "S001C002P005R002A008"
    finding = counted("ntu120-xsub", train, test + 3, names)["missing list"]
    assert (finding["severity"], names[-1] in finding["where"]) == ("fault", True)


# --- raw files through a reader's plan --------------------------------------------------------------------------------


def read_one(found: Found, faulty: str) -> RawClip:
    if found.name == faulty:
        raise InputError(f"{found.name}.txt ends in frame 3 of 8. Download it again.")
    (index,) = found.place
    length = int(clean().length[index])  # type: ignore[index]
    return RawClip(np.array(clean().x[index][:, :length]), ("a chair dropped",) if index == 1 else ())


def plan(faulty: str = "") -> Plan:
    clips = clean()
    rows = [
        Found(name, clips.classes[label], (i,), {"subject": int(subject)})
        for i, (name, label, subject) in enumerate(zip(clips.names, clips.y, clips.ids["subject"], strict=True))
    ]
    return Plan(
        "clips in text", NTU_25, tuple(rows), partial(read_one, faulty=faulty), persons=2,
        protocols=lambda found: {"cross-subject": np.array([f.ids["subject"] >= 3 for f in found])},
        skipped=(Skipped("notes.txt", "no clip", harmless=True),), notes=("Frames count from 0.",),
    )  # fmt: skip


@pytest.mark.parametrize("many", [100, 10])  # 10: read by other processes
def test_raw_files_are_looked_at_through_their_plan(monkeypatch: pytest.MonkeyPatch, many: int):
    monkeypatch.setattr("hiclr.datasets.doctor.sources._MANY", many)
    monkeypatch.setattr("hiclr.datasets.doctor.sources._BATCH", 5)  # clips of many lengths, in several blocks
    summary, findings = examine(PlanSource(plan()))
    assert summary["clips"].startswith("32 of 32 found")
    assert {finding.severity for finding in findings} == {"note"}
    text = " ".join(finding.text("clips") for finding in findings)
    assert all(words in text for words in ("notes.txt", "Frames count from 0", "a chair dropped"))
    faulty = clean().names[AT]
    summary, findings = examine(PlanSource(plan(faulty)))
    assert summary["clips"].startswith("31 of 32 found")
    assert [faulty in f.what and "frame 3 of 8" in f.what for f in findings if f.severity == "fault"] == [True]


def test_a_plan_of_which_nothing_can_be_read_is_a_fault_with_the_reason():
    one = dataclasses.replace(plan(), found=plan().found[:1])
    broken = dataclasses.replace(one, read=partial(read_one, faulty=one.found[0].name))
    summary, findings = examine(PlanSource(broken))
    assert summary == {"clips": "0 of 1 found (clips in text)"}
    assert ["frame 3 of 8" in f.what for f in findings if f.severity == "fault"] == [True]


def read_torn(found: Found) -> RawClip:
    (index,) = found.place
    if index % 4 == 0:
        raise InputError(f"{found.name}.txt says {index + 40} frames, {index + 3} are there. Download it again.")
    if index == 1:
        raise InputError(f"{found.name}.txt is empty.")
    return read_one(found, "")


def test_many_unreadable_files_are_one_finding_for_each_kind_of_reason():
    parts = (Skipped(f"{i}.part", "a download that did not end") for i in range(7))
    skipped = (*parts, Skipped("a.md", "no clip", harmless=True))
    torn = dataclasses.replace(plan(), read=read_torn, skipped=skipped)
    source = PlanSource(torn)
    summary, findings = examine(source)
    assert summary["clips"].startswith("23 of 32 found")
    faults = {f.what: f for f in findings if f.severity == "fault"}
    assert [f.count for f in faults.values()] == [8, 1, 7]
    torn_ones, empty, unfinished = faults.values()
    assert torn_ones.what.startswith("8 files or clips cannot be read")
    assert [place.clip for place in torn_ones.places] == [clean().names[i] for i in range(0, 32, 4)]
    assert all("frames, " in place.seen for place in torn_ones.places)
    assert f"{clean().names[1]}.txt is empty" in empty.text("clips")
    assert empty.text("clips").count(clean().names[1]) == 1  # a file that the reason names is not named again
    assert "0.part, 1.part, 2.part, 3.part, 4.part, and 2 more" in unfinished.text("clips")
    assert all(f.do for f in faults.values())


def test_the_last_line_counts_faults_and_kinds():
    def line(*counts: int) -> str:
        rows = [{"kind": str(c), "severity": "fault", "what": "x", "do": "", "where": "y", "places": [], "count": c}
                for c in counts]  # fmt: skip
        return diagnosis_text({"summary": {}, "findings": rows, "faults": rows}).splitlines()[-1]

    assert line(1) == "Something must be fixed: 1 fault of 1 kind (see FAULT)."
    assert line(1000, 8, 1) == "Something must be fixed: 1,009 faults of 3 kinds (see FAULT)."
    assert line() == "Nothing to fix."


def test_many_left_out_files_and_notes_are_one_line_each():
    skipped = tuple(Skipped(f"{i}.md", "its name is no clip's", harmless=True) for i in range(9))
    notes = tuple(f"'clip{i}' overlaps 'clip{i + 1}' by {i} frames" for i in range(9))
    _, findings = examine(PlanSource(dataclasses.replace(plan(), skipped=skipped, notes=notes)))
    assert {f.kind: f.count for f in findings} == {"left out": 9, "reader": 9, "mended": 1}
    text = "\n".join(f.text("clips") for f in findings)
    assert "9 files or clips are left out" in text
    assert "0.md, 1.md, 2.md, 3.md, 4.md, and 4 more" in text
    assert "9 notes of one kind" in text


def test_two_raw_clips_of_one_name_are_a_fault_as_prepare_refuses_them():
    whole = plan()
    twice = dataclasses.replace(whole, found=(*whole.found, whole.found[3]))
    faults = [f for f in examine(PlanSource(twice))[1] if f.severity == "fault"]
    assert ("names", whole.found[3].name) in {(f.kind, f.where("clips")) for f in faults}


def test_long_raw_clips_come_in_small_blocks(monkeypatch: pytest.MonkeyPatch):
    one = max(clean().length.tolist()) * 25 * 2 * 3 * 4  # type: ignore[union-attr]
    monkeypatch.setattr("hiclr.datasets.doctor.sources._BYTES", 3 * one)
    monkeypatch.setattr("hiclr.datasets.doctor.sources._FIRST", 2)
    source = PlanSource(plan())
    blocks = [block.raw.nbytes for block in source.blocks()]
    assert max(blocks) <= 4 * one
    assert source.looked == source.count == 32


# --- a set of any size ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["set", "set.npz"])
def test_a_large_set_passes_through_a_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: pytest.CaptureFixture[str]
):
    clips = clean()
    rows = np.repeat(np.arange(len(clips)), 20)
    save_set(SkeletonSet.from_arrays(clips.x[rows], clips.y[rows], classes=clips.classes), tmp_path / name)
    whole = 4 * int(np.prod(clips.x.shape)) * 20
    del rows
    monkeypatch.setattr("hiclr.datasets.doctor.sources._BYTES", 2**18)
    tracemalloc.start()
    report = diagnose(tmp_path / name, progress=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report["summary"]["clips"] == "640"
    assert peak < whole / 4, f"{peak:,} of {whole:,} bytes"
    said = capsys.readouterr()
    assert "looking: 100%" in said.err
    assert "640/640" in said.err
    assert said.out == ""


def test_nobody_watching_no_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    save_set(clean(), tmp_path / "set")
    assert main(["doctor", str(tmp_path / "set")]) == 0
    assert "looking" not in capsys.readouterr().err


# --- real sets --------------------------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("bandai2.npz", {"length"}),
        ("bandai2_ntu25.npz", {"length"}),
        ("msr_action3d.npz", {"length", "mirrored", "left-right exchange", "jump"}),
        ("utkinect.npz", {"length", "absurd length"}),
        ("raw/ntu", {"counts", "label gaps", "protocols"}),
    ],
)
def test_good_recordings_have_notes_and_no_faults(name: str, kinds: set[str]):
    place = SHARED / "data" / name
    if not place.exists():
        pytest.skip(f"no recordings beside the project: {place} (HICLR_SHARED names another place)")
    assert {(f["kind"], f["severity"]) for f in diagnose(place)["findings"]} == {(kind, "note") for kind in kinds}


# --- the report -------------------------------------------------------------------------------------------------------


def test_many_equal_findings_are_one_line():
    def everywhere(x: np.ndarray) -> None:
        x[:, 0, 0, 0, 0] = np.nan

    report = diagnose_set(planted(everywhere))
    assert len(report["faults"]) == 1
    assert report["faults"][0]["count"] == len(clean())
    assert "and 27 more" in report["faults"][0]["where"]
    assert len(report["faults"][0]["places"]) == len(clean())
    assert len([line for line in diagnosis_text(report).splitlines() if line.startswith("FAULT")]) == 1
