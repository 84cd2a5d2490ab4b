"""The synthetic set: a body that holds together, motions that tell the classes apart, honest splits."""

import time
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.preprocessing import Preprocess
from hiclr.datasets.synthetic import ACTIONS, LIMITS, synthetic
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25

JOINT = {name: v for v, name in enumerate(NTU_25.joints)}


@cache
def clean() -> SkeletonSet:
    """Four subjects seen by a sensor without noise or losses."""
    return synthetic(subjects=4, seed=1, noise=0.0, dropout=0.0)


@cache
def usual() -> SkeletonSet:
    return synthetic()


def main_person(data: SkeletonSet, clip: int) -> NDArray[np.float64]:
    """(length, 25, 3) of the first person, valid frames only."""
    assert data.length is not None
    x = np.asarray(data.x[clip], dtype=np.float64)
    return x[:, : data.length[clip], :, 0].transpose(1, 2, 0)


def clips_of(data: SkeletonSet, name: str) -> NDArray[np.int64]:
    return np.flatnonzero(data.y == data.classes.index(name))


def test_shapes_and_words():
    data = synthetic(subjects=3, repetitions=2, cameras=2, frames=20)
    assert data.x.shape == (len(ACTIONS) * 3 * 2 * 2, 3, 20, 25, 2)
    assert data.synthetic and data.source == "synthetic" and data.layout is NTU_25
    assert np.isfinite(data.x).all()
    assert len(ACTIONS) >= 12 and sum(action.together for action in ACTIONS) == 2
    assert set(np.unique(data.y)) == set(range(len(ACTIONS)))


def test_a_seed_fixes_every_byte():
    first, again, other = (synthetic(subjects=2, cameras=1, seed=seed) for seed in (3, 3, 4))
    assert first.x.tobytes() == again.x.tobytes() and first.fingerprint == again.fingerprint
    assert first.length is not None and other.length is not None
    assert first.x.tobytes() != other.x.tobytes() and not np.array_equal(first.length, other.length)


def test_a_choice_of_actions_leaves_their_clips_as_they_were():
    chosen = synthetic(subjects=2, cameras=1, actions=["sit down", "wave left hand"])
    whole = synthetic(subjects=2, cameras=1)
    assert chosen.classes == ("sit down", "wave left hand")
    for name in chosen.classes:
        assert np.array_equal(chosen.x[clips_of(chosen, name)], whole.x[clips_of(whole, name)])


def test_bones_keep_their_length():
    """Without noise every bone of a subject is as long in each frame of each of his clips."""
    data, of = clean(), {}
    for clip in range(len(data)):
        person = main_person(data, clip)
        if not ACTIONS[data.y[clip]].together:  # there, either of the two may come first
            bones = np.stack([person[:, child] - person[:, parent] for child, parent in NTU_25.bones], axis=1)
            of.setdefault(int(data.ids["subject"][clip]), []).append(np.linalg.norm(bones, axis=-1))
    lengths = {subject: np.concatenate(found) for subject, found in of.items()}
    assert len(lengths) == 4
    for found in lengths.values():
        assert np.ptp(found, axis=0).max() < 1e-5  # metres: float32 at 4 m
    assert not np.allclose(lengths[1][0], lengths[2][0], rtol=0.01)


def bend_of(person: NDArray[np.float64], joints: tuple[str, str, str]) -> tuple[NDArray[np.float64], ...]:
    """(frames,) degrees by which a limb is bent in its middle joint, and (frames, 3) the axis it is bent about."""
    first, middle, last = (person[:, JOINT[joint]] for joint in joints)
    upper, lower = middle - first, last - middle
    axis = np.cross(upper, lower)
    return np.degrees(np.arctan2(np.linalg.norm(axis, axis=-1), (upper * lower).sum(-1))), axis


def test_knees_bend_backwards_within_their_limits():
    """Thigh down (-y) turned into shin backwards (+z) turns about -x, with x the direction to the right hip."""
    data, most = clean(), 0.0
    for clip in range(0, len(data), 3):
        person = main_person(data, clip)
        to_the_right = person[:, JOINT["hip_r"]] - person[:, JOINT["hip_l"]]
        for side in ("_l", "_r"):
            bend, axis = bend_of(person, ("hip" + side, "knee" + side, "ankle" + side))
            most = max(most, bend.max())
            assert ((axis * to_the_right).sum(-1)[bend > 3] < 0).all()
    assert 80 < most < LIMITS["knee_l"][1] + 0.1


def test_elbows_keep_their_limits():
    data, most = clean(), 0.0
    for clip in range(0, len(data), 3):
        person = main_person(data, clip)
        for side in ("_l", "_r"):
            most = max(most, bend_of(person, ("shoulder" + side, "elbow" + side, "wrist" + side))[0].max())
    assert 100 < most < LIMITS["elbow_l"][1] + 0.1


def test_arms_fold_forwards():
    """A forearm before the body, with a hanging upper arm, lies on the side to which the toes point."""
    data = clean()
    for clip in clips_of(data, "clap slowly"):
        person = main_person(data, clip)[-1]  # by then every clip has taken up the gesture
        toes = sum(person[JOINT["foot" + s]] - person[JOINT["ankle" + s]] for s in ("_l", "_r"))
        for side in ("_l", "_r"):
            assert (person[JOINT["wrist" + side]] - person[JOINT["elbow" + side]]) @ (toes * [1, 0, 1]) > 0


def test_right_hand_on_the_right():
    """Who faces the camera has the right shoulder at larger x, as in NTU's files; 45 degrees do not change that."""
    data = clean()
    alone = np.array([not ACTIONS[label].together for label in data.y])
    across = data.x[alone, 0, 0, JOINT["shoulder_r"], 0] - data.x[alone, 0, 0, JOINT["shoulder_l"], 0]
    assert (across > 0).mean() > 0.98


def test_a_second_person_only_where_two_act():
    data = usual()
    second = (data.x[..., 1] != 0).any(axis=(1, 2, 3))
    assert np.array_equal(second, np.array([ACTIONS[label].together for label in data.y]))


def test_frames_after_the_end_are_zero_and_none_before():
    data = usual()
    assert data.length is not None
    there = (data.x[..., 0] != 0).any(axis=1).all(axis=2)  # (N, T): every joint
    assert np.array_equal(there, np.arange(64) < data.length[:, None])
    assert not data.x.transpose(0, 2, 1, 3, 4)[~there].any()
    assert data.length.min() >= 38 and len(np.unique(data.length)) > 10


def test_protocols_share_no_subject_and_no_camera():
    data = usual()
    train, test = data.split("cross-subject")
    assert data.protocol == "cross-subject"
    assert not set(train.ids["subject"]) & set(test.ids["subject"]) and len(train) == len(test)
    train, test = data.split("cross-view")
    assert set(test.ids["camera"]) == {1} and 1 not in train.ids["camera"]
    assert "cross-view" not in synthetic(subjects=2, cameras=1).protocols


def test_partners_come_from_the_same_half():
    """In a clip of two, both bodies belong to train, or both to test: told by their thighs."""
    data = synthetic(subjects=6, cameras=1, noise=0.0, dropout=0.0)
    thigh = np.linalg.norm(data.x[:, :, 0, JOINT["knee_l"]] - data.x[:, :, 0, JOINT["hip_l"]], axis=1)  # (N, 2)
    alone = np.array([not ACTIONS[label].together for label in data.y])
    test = data.protocols["cross-subject"]
    for part in (test, ~test):
        known = np.unique(thigh[part & alone, 0].round(4))
        both = thigh[part & ~alone].ravel()
        assert np.abs(both[:, None] - known[None]).min(axis=1).max() < 2e-4


def test_reversed_actions_run_backwards():
    data = clean()
    for name, sign in (("sit down", -1), ("stand up", 1)):
        for clip in clips_of(data, name):
            person = main_person(data, clip)
            above = person[:, JOINT["spine_base"], 1] - person[:, JOINT["foot_l"], 1]
            assert sign * (above[-1] - above[0]) > 0.15  # metres that the pelvis rises


def test_mirrored_actions_swap_the_moving_side():
    data = clean()
    for name, moving, still in (("wave left hand", "_l", "_r"), ("wave right hand", "_r", "_l")):
        for clip in clips_of(data, name):
            person = main_person(data, clip)
            elbow = {
                side: np.linalg.norm(person[:, JOINT["wrist" + side]] - person[:, JOINT["shoulder" + side]], axis=-1)
                for side in ("_l", "_r")
            }
            late = slice(len(person) // 2, None)  # both arms may move slowly, one goes to and fro
            jerk = {side: np.abs(np.diff(value[late], n=2)).mean() for side, value in elbow.items()}
            assert jerk[moving] > 1.5 * jerk[still]


def test_fast_actions_repeat_more_often():
    data = clean()

    def claps(clip: int) -> int:
        person = main_person(data, clip)
        apart = np.linalg.norm(person[:, JOINT["hand_l"]] - person[:, JOINT["hand_r"]], axis=-1)
        steps = np.sign(np.diff(apart))
        return int((np.diff(steps) != 0).sum())  # turning points

    slow = [claps(clip) for clip in clips_of(data, "clap slowly")]
    fast = [claps(clip) for clip in clips_of(data, "clap fast")]
    assert np.median(fast) > 1.7 * np.median(slow)


def test_hands_meet_to_shake():
    data = clean()
    assert data.length is not None
    for clip in clips_of(data, "shake hands"):
        hands = data.x[clip, :, data.length[clip] // 2 : data.length[clip], JOINT["hand_r"]]  # (3, frames, 2)
        assert np.linalg.norm(hands[..., 0] - hands[..., 1], axis=0).mean() < 0.2


def test_two_walk_up_to_each_other():
    data = clean()
    assert data.length is not None
    for clip in clips_of(data, "walk towards each other"):
        heads = data.x[clip][:, [0, data.length[clip] - 1], JOINT["spine_base"]]  # (3, 2, 2)
        before, after = np.linalg.norm(heads[..., 0] - heads[..., 1], axis=0)
        assert before > after + 0.5 and 0.3 < after < 1.6


def test_the_standing_foot_stays():
    """While somebody waves, the lower foot moves by less than a few centimetres a frame and both stay on one floor."""
    data = clean()
    for clip in clips_of(data, "wave right hand"):
        feet = main_person(data, clip)[:, [JOINT["foot_l"], JOINT["foot_r"]]]
        lowest = feet[..., 1].argmin(axis=1)
        steps = np.linalg.norm(np.diff(feet, axis=0), axis=-1)[np.arange(len(feet) - 1), lowest[:-1]]
        assert steps.mean() < 0.01 and np.abs(feet[:, 0, 1] - feet[:, 1, 1]).mean() < 0.08


def test_noise_and_losses_change_the_sensor_only():
    noisy = synthetic(subjects=4, seed=1, noise=0.01, dropout=0.0)
    apart = noisy.x - clean().x
    assert 0.005 < apart[noisy.x != 0].std() < 0.025  # metres
    lossy = synthetic(subjects=4, seed=1, noise=0.0, dropout=1.0)
    changed = (lossy.x != clean().x).any(axis=(1, 4))  # (N, T, V)
    assert 0.0 < changed.mean() < 0.2 and changed.any(axis=(1, 2)).mean() > 0.9


def test_one_nearest_neighbour_on_raw_positions_is_neither_lost_nor_done():
    """35 to 75 % by cosine and by distance: the poses alone do not tell the motions."""
    data = usual()
    train, test = data.split_indices("cross-subject")
    x = Preprocess(frames=32).apply(data.clips(slice(None)), data.layout).flatten(1)
    y = torch.from_numpy(data.y)
    unit = torch.nn.functional.normalize(x)
    for nearest in ((unit[test] @ unit[train].T).argmax(1), torch.cdist(x[test], x[train]).argmin(1)):
        accuracy = (y[train][nearest] == y[test]).float().mean().item()
        assert 0.35 < accuracy < 0.75


def test_it_takes_seconds():
    start = time.process_time()
    synthetic()
    assert time.process_time() - start < 5


@pytest.mark.parametrize("wrong", [{"subjects": 1}, {"cameras": 0}, {"frames": 3}, {"repetitions": 0}, {"seed": -1}])
def test_too_small_numbers_are_named(wrong: dict[str, int]):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} must be at least"):
        synthetic(**wrong)


def test_unknown_actions_are_named():
    with pytest.raises(InputError, match="fly"):
        synthetic(actions=["fly"])
