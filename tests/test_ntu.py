"""Raw NTU files: written by a writer of our own and read again; the faults that real folders have."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hiclr.datasets import convert, diagnose, open_set
from hiclr.datasets.readers.ntu import read_skeleton
from hiclr.datasets.readers.ntu_missing import missing_names
from hiclr.errors import InputError

NAME = "S001C001P001R001A001"
Body = tuple[int, np.ndarray]  # tracking id, (25, 3)


def write(path: Path, frames: Sequence[Sequence[Body]], said: int | None = None, newline: str = "\n") -> Path:
    """The format of the Kinect v2 recordings, line by line."""
    lines = [str(len(frames) if said is None else said)]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for identity, joints in bodies:
            lines += [f"{identity} 0 1 1 1 1 0 0.1 -0.2 2", "25"]
            lines += [" ".join(repr(float(v)) for v in joint) + " 1 2 3 4 0 0 0 1 2" for joint in joints]
    path.write_bytes((newline.join(lines) + newline).encode())
    return path


def walk(rng: np.random.Generator, frames: int, step: float = 0.05) -> np.ndarray:
    """(T, 25, 3) someone upright who moves."""
    body = rng.normal(size=(25, 3)) * (0.1, 0.6, 0.1)
    return (body + np.cumsum(rng.normal(size=(frames, 25, 3)) * step, axis=0)).astype(np.float32)


def alone(points: np.ndarray, identity: int = 7) -> list[list[Body]]:
    return [[(identity, frame)] for frame in points]


def test_what_is_written_is_read_to_the_last_digit(tmp_path: Path):
    one, two = walk(np.random.default_rng(0), 12), walk(np.random.default_rng(1), 12, step=0.01)
    clip = read_skeleton(
        write(tmp_path / f"{NAME}.skeleton", [[(2, b), (1, a)] for a, b in zip(one, two, strict=True)])
    )
    np.testing.assert_array_equal(clip.x[..., 0], one.transpose(2, 0, 1))  # who moves more comes first
    np.testing.assert_array_equal(clip.x[..., 1], two.transpose(2, 0, 1))


def test_a_person_follows_the_tracking_id_through_a_change_of_slots(tmp_path: Path):
    one, two = walk(np.random.default_rng(0), 12), walk(np.random.default_rng(1), 12)
    frames = [[(1, a), (2, b)] if t < 6 else [(2, b), (1, a)] for t, (a, b) in enumerate(zip(one, two, strict=True))]
    x = read_skeleton(write(tmp_path / f"{NAME}.skeleton", frames)).x
    assert {x[..., 0].tobytes(), x[..., 1].tobytes()} == {p.transpose(2, 0, 1).tobytes() for p in (one, two)}


def test_a_person_who_comes_and_goes_is_exactly_zero_outside(tmp_path: Path):
    one, two = walk(np.random.default_rng(0), 12), walk(np.random.default_rng(1), 12)
    frames = [[(1, one[t]), (2, two[t])] if 4 <= t < 8 else [(1, one[t])] for t in range(12)]
    x = read_skeleton(write(tmp_path / f"{NAME}.skeleton", frames)).x
    there = (x[..., 1] != 0).any(axis=(0, 2))
    assert there.tolist() == [4 <= t < 8 for t in range(12)]


def test_a_chair_is_dropped_and_said(tmp_path: Path):
    person, chair = walk(np.random.default_rng(0), 12), walk(np.random.default_rng(1), 1)[0]
    clip = read_skeleton(write(tmp_path / f"{NAME}.skeleton", [[(1, chair), (2, frame)] for frame in person]))
    np.testing.assert_array_equal(clip.x[..., 0], person.transpose(2, 0, 1))
    assert not clip.x[..., 1].any()
    assert "body 1 dropped as false: static" in clip.notes[0]


def test_a_chair_that_trembles_is_dropped_where_one_person_acts(tmp_path: Path):
    rng = np.random.default_rng(0)
    wave = np.repeat(walk(rng, 1), 30, axis=0)
    wave[:, [9, 10, 11, 23, 24]] += 0.3 * np.sin(np.arange(30) / 4)[:, None, None]
    chair = walk(rng, 1) + rng.normal(size=(30, 25, 3)) * 0.003
    frames = [[(1, c), (2, w)] for c, w in zip(chair.astype(np.float32), wave.astype(np.float32), strict=True)]
    one = read_skeleton(write(tmp_path / "S001C001P001R001A023.skeleton", frames))
    assert not one.x[..., 1].any()
    assert "body 1 dropped as false: static" in one.notes[0]
    two = read_skeleton(write(tmp_path / "S001C001P001R001A055.skeleton", frames))  # who is hugged may stand still
    np.testing.assert_array_equal(two.x[..., 1], chair.astype(np.float32).transpose(2, 0, 1))


def test_someone_lying_is_kept_rather_than_a_chair(tmp_path: Path):
    lying = walk(np.random.default_rng(0), 12)[:, :, [1, 0, 2]]  # wider than high
    chair = walk(np.random.default_rng(1), 1)[0]
    clip = read_skeleton(write(tmp_path / f"{NAME}.skeleton", [[(1, chair), (2, frame)] for frame in lying]))
    np.testing.assert_array_equal(clip.x[..., 0], lying.transpose(2, 0, 1))
    assert not clip.x[..., 1].any()


def moving(frames: int, metres: float = 0.25) -> np.ndarray:
    """(T, 25, 3) someone upright whose joints go up and down smoothly, each in a time of its own."""
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (25, 3)) + np.arange(frames)[:, None, None] / 6
    return walk(rng, 1, step=0.0) + metres * np.sin(phase)


def frames_of(*bodies: np.ndarray) -> list[list[Body]]:
    """Bodies 1, 2, ... in every frame."""
    return [[(i + 1, body[t].astype(np.float32)) for i, body in enumerate(bodies)] for t in range(len(bodies[0]))]


@pytest.mark.parametrize("falls_after", [0, 11])
def test_who_falls_or_exercises_lying_is_kept_beside_a_bystander(tmp_path: Path, falls_after: int):
    upright = moving(44)
    actor = np.where(np.arange(44)[:, None, None] < falls_after, upright, upright[:, :, [1, 0, 2]])
    sway = np.cumsum(np.random.default_rng(1).normal(0, 0.01, (44, 1, 3)), axis=0)
    frames = frames_of(actor, moving(1) + sway + [1.2, 0, 0])
    clip = read_skeleton(write(tmp_path / "S001C001P001R001A043.skeleton", frames))
    np.testing.assert_array_equal(clip.x[..., 0], actor.astype(np.float32).transpose(2, 0, 1))
    assert not any("body 1 dropped" in note for note in clip.notes)


def test_something_wide_that_trembles_or_moves_no_more_than_a_person_is_dropped(tmp_path: Path):
    still, wide = moving(44, metres=0.05), moving(44)[:, :, [1, 0, 2]]
    flicker = wide[:1] + np.random.default_rng(1).normal(0, 0.3, (44, 25, 3)) * (1, 0.1, 1)
    for person, thing in ((still, flicker), (moving(44, metres=0.22), wide)):
        clip = read_skeleton(write(tmp_path / f"{NAME}.skeleton", frames_of(thing, person)))
        np.testing.assert_array_equal(clip.x[..., 0], person.astype(np.float32).transpose(2, 0, 1))
        assert "body 1 dropped as false: spread wider than high" in clip.notes[0]


def test_a_second_person_who_hardly_moves_is_said_where_two_act(tmp_path: Path):
    path = tmp_path / "S001C001P001R001A055.skeleton"
    said = read_skeleton(write(path, frames_of(moving(30), moving(30, metres=0.01) + np.array([1, 0, 0])))).notes
    assert ["body 2 is kept as person 2" in note for note in said] == [True]
    assert read_skeleton(write(path, frames_of(moving(30), moving(30, metres=0.1) + np.array([1, 0, 0])))).notes == ()


def test_a_body_found_again_under_another_id_goes_on(tmp_path: Path):
    points = walk(np.random.default_rng(0), 20, step=0.01)
    frames = [[(1 if t < 9 else 2, points[t])] if t != 9 else [] for t in range(20)]
    clip = read_skeleton(write(tmp_path / f"{NAME}.skeleton", frames))
    there = [t for t in range(20) if t != 9]
    np.testing.assert_array_equal(clip.x[..., 0][:, there], points[there].transpose(2, 0, 1))
    assert not clip.x[:, 9].any()
    assert clip.notes == ("bodies 1+2 read as one person",)


def test_two_bodies_under_one_tracking_id_are_two_persons_and_a_body_written_twice_is_one(tmp_path: Path):
    path, one = tmp_path / "S001C001P001R001A055.skeleton", moving(20)
    two = moving(20, metres=0.2) + np.array([1, 0, 0])
    clip = read_skeleton(write(path, [[(7, body) for _, body in frame] for frame in frames_of(one, two)]))
    np.testing.assert_array_equal(clip.x[..., 0], one.astype(np.float32).transpose(2, 0, 1))
    np.testing.assert_array_equal(clip.x[..., 1], two.astype(np.float32).transpose(2, 0, 1))
    assert clip.notes == ("frame 0 has another body under the tracking id 7: it is read as 7#2",)
    clip = read_skeleton(write(path, [[(7, body) for _, body in frame] for frame in frames_of(one, one)]))
    assert not clip.x[..., 1].any()
    assert clip.notes == ()


def test_a_body_of_zeros_is_absent_and_a_file_of_nothing_else_is_no_clip(tmp_path: Path):
    nobody, person = np.zeros((12, 25, 3)), moving(12)
    clip = read_skeleton(write(tmp_path / f"{NAME}.skeleton", frames_of(nobody, person)))
    np.testing.assert_array_equal(clip.x[..., 0], person.astype(np.float32).transpose(2, 0, 1))
    assert clip.notes == ("body 1 is zero in all its frames: absent",)
    path = write(tmp_path / f"{NAME}.skeleton", [[(0, n), (0, p)] for n, p in zip(nobody, person, strict=True)])
    assert read_skeleton(path).notes == ()  # under one id: no second body
    person[4:8] = 0  # lost for some frames under its own id: no motion to the origin and back
    assert read_skeleton(write(tmp_path / f"{NAME}.skeleton", frames_of(person, moving(12)))).notes == ()
    zero = write(tmp_path / "S001C001P002R001A001.skeleton", frames_of(nobody))
    report = convert(tmp_path, tmp_path / "set.npz")
    assert [skipped["file"] for skipped in report["skipped"]] == [zero.name]
    assert "nobody is there, all 12 frames are zero" in report["skipped"][0]["reason"]


def test_somebody_else_elsewhere_is_another_person(tmp_path: Path):
    points = walk(np.random.default_rng(0), 20, step=0.01)
    points[10:] += np.float32([1.5, 0, 0])
    frames = [[(1 if t < 10 else 2, points[t])] for t in range(20)]
    x = read_skeleton(write(tmp_path / f"{NAME}.skeleton", frames)).x
    there = (x != 0).any(axis=(0, 2))
    assert sorted(column.tolist() for column in there.T) == [[t >= 10 for t in range(20)], [t < 10 for t in range(20)]]


@pytest.mark.parametrize("values", [1, 3, 11])
def test_a_last_line_cut_in_two_is_no_joint(tmp_path: Path, values: int):
    path = write(tmp_path / f"{NAME}.skeleton", alone(walk(np.random.default_rng(0), 3)))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], " ".join(lines[-1].split()[:values])]))
    with pytest.raises(InputError, match="says 3 frames, 2 whole and a torn one are there"):
        read_skeleton(path)
    path.write_text("\n".join(lines[:-28]))  # cut between two frames: none is torn
    with pytest.raises(InputError, match="says 3 frames, 2 are there"):
        read_skeleton(path)


def test_what_a_number_does_not_fit_is_named_by_line_or_joint(tmp_path: Path):
    path = write(tmp_path / f"{NAME}.skeleton", alone(walk(np.random.default_rng(0), 2)))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:6], "1 2", *lines[7:]]))
    with pytest.raises(InputError, match="line 7: a joint has 12 values, 2 are there"):
        read_skeleton(path)
    path.write_text("\n".join([*lines[:6], "nan" + " 0" * 11, *lines[7:]]))
    with pytest.raises(InputError, match="frame 0, joint 2 of body 7: nan"):
        read_skeleton(path)
    path.write_text("\n".join(["1", *lines[1:]]))
    assert "goes on for 28 lines after the 1 frames" in read_skeleton(path).notes[0]


def test_an_action_that_does_not_exist_stops_nobody(tmp_path: Path):
    for name in (NAME, "S001C001P001R001A000", "S001C001P001R001A121"):
        write(tmp_path / f"{name}.skeleton", alone(walk(np.random.default_rng(0), 3)))
    with pytest.warns(UserWarning, match="action 121"):
        clips = open_set(tmp_path)
    assert clips.names == (NAME,)


def test_a_protocol_with_two_parts_comes_first(tmp_path: Path):
    for name in ("S001C001P001R001A001", "S001C002P001R001A001"):  # one performer, two cameras
        write(tmp_path / f"{name}.skeleton", alone(walk(np.random.default_rng(0), 3)))
    clips = open_set(tmp_path)
    assert list(clips.protocols) == ["ntu60-xview", "ntu60-xsub"]
    assert len(clips.split()[0]) == 1


def test_what_is_left_out_on_purpose_is_no_fault(tmp_path: Path):
    source = tmp_path / "raw"
    source.mkdir()
    whole = write(source / f"{NAME}.skeleton", alone(walk(np.random.default_rng(0), 9)))
    (source / "S001C002P005R002A008.skeleton").write_bytes(whole.read_bytes())  # on the published list
    (source / "notes.txt").write_text("no clip")
    report = diagnose(source)
    assert report["ok"]
    assert all(any(name in note for note in report["notes"]) for name in ("notes.txt", "S001C002P005R002A008"))
    (source / f"{NAME}.skeleton.part").write_bytes(b"")  # a download that stopped: somebody has to look
    assert not diagnose(source)["ok"]


def test_a_part_of_the_archive_is_said(tmp_path: Path):
    source = write(tmp_path / f"{NAME}.skeleton", alone(walk(np.random.default_rng(0), 9)))
    notes = convert(source, tmp_path / "set.npz")["notes"]
    assert any("1 of the 56,578 published clips" in note for note in notes)


def test_line_ends_and_blank_lines_do_not_matter(tmp_path: Path):
    points = alone(walk(np.random.default_rng(0), 5))
    plain = read_skeleton(write(tmp_path / "a.skeleton", points)).x
    dos = write(tmp_path / "b.skeleton", points, newline="\r\n")
    dos.write_bytes(b"\xef\xbb\xbf" + dos.read_bytes() + b"\r\n\r\n")
    np.testing.assert_array_equal(read_skeleton(dos).x, plain)


@pytest.mark.parametrize(
    ("content", "words"),
    [("", ("empty",)), ("0\n", ("0 frames",)), ("two\n", ("number of frames",)), ("1\n0\n", ("no body",))],
)
def test_an_unusable_file_is_refused_by_name(tmp_path: Path, content: str, words: tuple[str, ...]):
    path = tmp_path / f"{NAME}.skeleton"
    path.write_text(content)
    with pytest.raises(InputError) as refused:
        read_skeleton(path)
    assert all(word in str(refused.value) for word in (NAME, *words))


def test_a_file_cut_short_is_named_and_the_rest_converts(tmp_path: Path):
    source = tmp_path / "raw"
    source.mkdir()
    whole = write(source / f"{NAME}.skeleton", alone(walk(np.random.default_rng(0), 9)))
    torn = source / "S001C002P002R001A004.skeleton"
    torn.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    (source / "notes.txt").write_text("no clip")
    (source / "S001C002P005R002A008.skeleton").write_bytes(whole.read_bytes())  # on the published list
    report = convert(source, tmp_path / "set.npz")
    reasons = {skipped["file"]: skipped["reason"] for skipped in report["skipped"]}
    assert report["clips"] == 1
    assert "9 frames" in reasons[torn.name]
    assert "Download it again" in reasons[torn.name]
    assert "name" in reasons["notes.txt"]
    assert "published list" in reasons["S001C002P005R002A008.skeleton"]
    assert not diagnose(source)["ok"]
    assert open_set(tmp_path / "set.npz").names == (NAME,)


@pytest.mark.parametrize("value", ["1e6", "1e39", "nan", "-inf"])  # 1e39 is no float32
def test_a_file_with_an_absurd_position_does_not_spoil_the_set(tmp_path: Path, value: str):
    points = walk(np.random.default_rng(0), 5)
    write(tmp_path / f"{NAME}.skeleton", alone(points))
    bad = write(tmp_path / "S001C001P002R001A001.skeleton", alone(points))
    lines = bad.read_text().splitlines()
    lines[4] = " ".join([value, *lines[4].split()[1:]])  # frames, bodies, body, joints, then the first joint
    bad.write_text("\n".join(lines))
    report = convert(tmp_path, tmp_path / "set.npz")
    assert [skipped["file"] for skipped in report["skipped"]] == [bad.name]
    assert "frame 0, joint 0" in report["skipped"][0]["reason"]
    assert open_set(tmp_path / "set.npz").names == (NAME,)


def test_many_files_convert_after_torch_had_threads(tmp_path: Path):
    """In a process of its own: a parent's threads are no help to forked readers, which then wait forever."""
    script = """
import sys, torch
from hiclr.datasets import convert
torch.set_num_threads(2)
torch.randn(3_000_000).exp().sum()
print(convert(sys.argv[1], sys.argv[2], preprocess="released")["clips"])
"""
    raw = tmp_path / "raw"
    raw.mkdir()
    content = write(tmp_path / "one", alone(walk(np.random.default_rng(0), 120))).read_bytes()
    for i in range(200):
        (raw / f"S001C001P{i % 40 + 1:03d}R{i // 40 + 1:03d}A001.skeleton").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", script, raw, tmp_path / "set.npz"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parent.parent,
    )
    assert done.stdout.strip() == "200", done.stderr


def test_the_missing_list_holds_what_was_published():
    names = missing_names()
    assert len(names) == 535
    assert sum(int(name[17:20]) <= 60 for name in names) == 302
    assert {f"S028C00{camera}P087R001A061" for camera in (1, 2, 3)} <= names


def test_protocols_follow_performer_camera_and_setup(tmp_path: Path):
    source = tmp_path / "raw"
    source.mkdir()
    for name in ("S001C001P001R001A001", "S001C002P003R001A002", "S002C003P004R001A003"):
        write(source / f"{name}.skeleton", alone(walk(np.random.default_rng(0), 4)))
    clips = open_set(source)
    assert clips.protocols["ntu60-xsub"].tolist() == [False, True, False]  # 1 and 4 train, 3 tests
    assert clips.protocols["ntu60-xview"].tolist() == [True, False, False]  # cameras 2 and 3 train
    assert (clips.y.tolist(), clips.num_classes) == ([0, 1, 2], 60)
    write(source / "S018C001P045R001A061.skeleton", alone(walk(np.random.default_rng(0), 4)))
    clips = open_set(source)
    assert clips.protocols["ntu120-xsub"].tolist() == [False, True, False, False]
    assert clips.protocols["ntu120-xset"].tolist() == [True, True, False, False]  # even setups train
    assert clips.num_classes == 120


def test_released_preprocessing_is_recorded(tmp_path: Path):
    source = write(tmp_path / f"{NAME}.skeleton", alone(walk(np.random.default_rng(0), 9)))
    convert(source, tmp_path / "set", preprocess="released")
    clips = open_set(tmp_path / "set")
    assert clips.preprocessing == ("centre person", "resample 50", "turn frame")
    assert clips.x.shape == (1, 3, 50, 25, 2)
    assert clips.length is not None
    assert clips.length.tolist() == [9]
    assert not clips.x[0, :, :, 20, 0].any()  # the upper spine is the origin of every frame


@pytest.mark.real
def test_real_files_keep_their_positions(tmp_path: Path):
    source = Path(__file__).parents[2] / "shared" / "data" / "raw" / "ntu"
    if not source.is_dir():
        pytest.skip("no real NTU files beside the project")
    clips = open_set(source)
    for name, clip, length in zip(clips.names, clips.x, clips.length if clips.length is not None else (), strict=True):
        numbers = {line for line in (source / f"{name}.skeleton").read_text().splitlines() if line.count(" ") == 11}
        known = {tuple(np.float32(line.split()[:3])) for line in numbers}
        for frame in (0, int(length) // 2, int(length) - 1):
            assert all(tuple(joint) in known for joint in clip[:, frame, :, 0].T)
