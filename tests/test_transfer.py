"""Joints carried between layouts by their names, and what an encoder is worth on another set."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from reading import SHARED

from hiclr.datasets import SkeletonSet, centre, open_set, resample
from hiclr.errors import InputError
from hiclr.evaluation import FinetuneConfig, carry, finetune_text, linear_probe, map_joints, transfer_to
from hiclr.features import features
from hiclr.pretraining import PRESETS, prepare_run, pretrain
from hiclr.runs import Run
from hiclr.skeleton import (
    BANDAI_21,
    COCO_17,
    H36M_17,
    KINECT_20_MSR,
    KINECT_20_SDK,
    LAYOUTS,
    NTU_25,
    Layout,
    match_layout,
)

TINY = replace(
    PRESETS["small"], epochs=1, batch_size=8, least_steps=1, frames=8, channels=8, features=8, projection=8,
    knn_every=0, device="cpu",
)  # fmt: skip
QUICK = FinetuneConfig(epochs=2, batch_size=16, least_steps=2, lr=5e-3, look_every=2, augment=False)


def cased(layout: Layout, change: Any) -> Layout:
    return match_layout([change(name) for name in layout.joints], layout.parents, "renamed")


# --- names ------------------------------------------------------------------------------------------------------------


def test_two_kinects_have_the_same_joints_in_another_order():
    names = map_joints(KINECT_20_SDK, KINECT_20_MSR).names
    assert names.pop("neck") == "shoulder_center"  # MSR's neck is where the arms begin
    assert names == {name: name for name in KINECT_20_MSR.joints if name != "neck"}
    assert map_joints(KINECT_20_SDK, KINECT_20_MSR).said == ""


def test_ntu_to_kinect_leaves_out_what_kinect_lacks():
    found = map_joints(NTU_25, KINECT_20_SDK)
    assert found.names["hip_center"] == "spine_base"
    assert found.names["spine"] == "spine_mid"
    assert found.names["shoulder_center"] == "spine_shoulder"
    assert found.guessed == ()
    assert set(found.unused) == {"neck", "hand_tip_l", "thumb_l", "hand_tip_r", "thumb_r"}


def test_kinect_to_ntu_copies_the_nearest_joint_and_says_so():
    found = map_joints(KINECT_20_SDK, NTU_25)
    guessed = {NTU_25.joints[v]: found.names[NTU_25.joints[v]] for v in found.guessed}
    assert guessed == {
        "neck": "shoulder_center", "hand_tip_l": "hand_l", "thumb_l": "hand_l", "hand_tip_r": "hand_r",
        "thumb_r": "hand_r",
    }  # fmt: skip
    assert "Of the encoder's 25 joints 'kinect20-sdk' does not have 5: neck from shoulder_center, " in found.said


def test_an_animators_hand_begins_at_the_wrist():
    names = map_joints(BANDAI_21, NTU_25).names
    wanted = {
        "shoulder": "UpperArm", "elbow": "LowerArm", "wrist": "Hand", "hip": "UpperLeg", "knee": "LowerLeg",
        "ankle": "Foot", "foot": "Toes",
    }  # fmt: skip
    for here, there in wanted.items():
        assert (names[f"{here}_l"], names[f"{here}_r"]) == (f"{there}_L", f"{there}_R")
    assert (names["spine_base"], names["spine_shoulder"], names["neck"]) == ("Hips", "Chest", "Neck")


def test_where_a_layout_has_no_pelvis_it_lies_between_the_hips():
    found = map_joints(COCO_17, NTU_25)
    row = dict(zip(COCO_17.joints, found.weights[NTU_25.joints.index("spine_base")].tolist(), strict=True))
    assert {name: weight for name, weight in row.items() if weight} == {"hip_l": 0.5, "hip_r": 0.5}
    assert found.names["spine_mid"] == "hip_l + hip_r + shoulder_l + shoulder_r"
    assert found.names["head"] == "nose"
    assert map_joints(NTU_25, COCO_17).names["ear_l"] == "head"


@pytest.mark.parametrize("source", LAYOUTS.values(), ids=lambda layout: layout.name)
@pytest.mark.parametrize("target", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_left_stays_left_between_any_two_layouts(source: Layout, target: Layout):
    """Mirrored before or after: the same."""
    weights = map_joints(source, target).weights
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_array_equal(weights[list(target.mirror)][:, list(source.mirror)], weights)
    if source is target:
        np.testing.assert_array_equal(weights, np.eye(source.num_joints))


def sided(name: str, left: str, right: str) -> str:
    """ "knee_l" in another way of writing: `left` and `right` have {} where the joint stands."""
    way = {"_l": left, "_r": right}.get(name[-2:])
    return name if way is None else way.format(name[:-2])


@pytest.mark.parametrize(
    "way",
    ["{}_{}", "{}.{}", "Left {}|Right {}", "left{}|right{}", "{}Left|{}Right", "{}_L|{}_R", "l{}|r{}", "X:{}_l|X:{}_r"],
)
def test_the_way_names_are_written_does_not_matter(way: str):
    left, right = way.split("|") if "|" in way else (way.format("{}", "l"), way.format("{}", "r"))
    small = left[0] != "l" or left.startswith("left")
    layout = cased(H36M_17, lambda name: sided(name if small else name.title(), left, right))
    assert len(layout.pairs) == 6
    assert map_joints(layout, H36M_17).parts == tuple((v,) for v in range(17))


def test_joints_can_be_given_and_win():
    found = map_joints(KINECT_20_SDK, NTU_25, {"neck": "head", "hand_tip_l": "wrist_l"})
    assert (found.names["neck"], found.names["hand_tip_l"]) == ("head", "wrist_l")
    assert len(found.guessed) == 3
    with pytest.raises(InputError, match="joints names 'nek', which 'ntu25' does not have"):
        map_joints(KINECT_20_SDK, NTU_25, {"nek": "head"})
    with pytest.raises(InputError, match="joints names 'hed', which 'kinect20-sdk' does not have"):
        map_joints(KINECT_20_SDK, NTU_25, {"neck": "hed"})


def test_joints_without_names_are_refused_with_what_to_do():
    dots = Layout("dots", ("a", "b", "c"), (0, 0, 1), (), centre=0)
    with pytest.raises(
        InputError, match=r"Only 0 of the 25 joints .* Give the others as joints=\{'spine_base': ..."
    ) as told:
        map_joints(dots, NTU_25)
    assert "'dots' has: a, b, c" in str(told.value)
    own = Layout("own", ("a", "b", "c"), (0, 0, 0), (), centre=0)
    assert map_joints(dots, own).parts == ((0,), (1,), (2,))  # equal words are enough


# --- clips ------------------------------------------------------------------------------------------------------------


def kinect(count: int = 30) -> SkeletonSet:
    """Actions that differ in how fast the arms go; the second half of each clip's second person is absent."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % 3
    x = np.zeros((count, 3, 8, 20, 2)) + rng.normal(0, 0.3, (1, 3, 1, 20, 1))
    x[:, 1, :, 4:12] += np.sin(np.linspace(0, 6, 8) * (1 + y[:, None]))[:, :, None, None]
    x += rng.normal(0, 0.01, x.shape)
    x[:, :, 4:, :, 1] = 0
    return SkeletonSet.from_arrays(x, y, layout=KINECT_20_SDK, source="kinect", test=np.arange(count) >= 18)


def test_carried_clips_have_every_joint_where_the_map_says_and_nobody_new():
    clips = kinect()
    mapping = map_joints(KINECT_20_SDK, NTU_25)
    moved = carry(clips, mapping)
    x, old = moved.clips(slice(None)), clips.clips(slice(None))
    for v, part in enumerate(mapping.parts):
        torch.testing.assert_close(x[:, :, :, v], old[:, :, :, list(part)].mean(dim=3))
    assert not x[:, :, 4:, :, 1].any()
    assert (moved.layout, moved.names, moved.y.tolist()) == (NTU_25, clips.names, clips.y.tolist())
    assert list(moved.protocols) == list(clips.protocols)
    assert moved.x.dtype == np.float32
    with pytest.raises(InputError, match="This map starts from 'coco17'; kinect has 'kinect20-sdk'"):
        carry(clips, map_joints(COCO_17, NTU_25))


@pytest.mark.real
def test_a_set_that_others_carried_to_ntu_comes_out_the_same():
    """Centred, resampled to 50 frames: as that file is. Its hands and thumbs lie on the wrist, as ours."""
    places = [SHARED / "data" / name for name in ("bandai2.npz", "bandai2_ntu25.npz")]
    if not all(place.exists() for place in places):
        pytest.skip("the real sets are not here")
    ours, theirs = open_set(places[0]).subset(np.arange(12)), open_set(places[1])
    moved = carry(ours, map_joints(BANDAI_21, NTU_25))
    x = resample(centre(moved.clips(slice(None)), NTU_25.centre), 50)
    wanted = theirs.clips([theirs.names.index(name) for name in ours.names])
    assert float((x - wanted).norm(dim=1).mean()) < 0.005  # metres


# --- the protocol -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    x = np.random.default_rng(1).normal(0, 0.3, (16, 3, 8, 25, 1))
    train = SkeletonSet.from_arrays(x, np.arange(16) % 2, layout=NTU_25, source="first")
    run = prepare_run(tmp_path_factory.mktemp("transfer") / "first", TINY, train)
    list(pretrain(train, TINY, run))
    return run


def test_an_encoder_of_ntu_is_tuned_on_kinect(run: Run):
    result = transfer_to(run, kinect(), recipe=QUICK, device="cpu")
    assert (result["from"], result["source"]) == ("first", "kinect")
    assert (result["joints"]["from"], result["joints"]["to"]) == ("kinect20-sdk", "ntu25")
    assert result["joints"]["map"]["spine_base"] == "hip_center"
    assert "neck" in result["joints"]["guessed"]
    assert any("does not have 5" in note for note in result["notes"])
    assert result["data"] == {"train": 18, "test": 12, "classes": 3}
    moved = carry(kinect(), map_joints(KINECT_20_SDK, NTU_25))
    x = features(run, moved, views=("clean",), device="cpu")["clean"]
    probe = linear_probe(x[:18], moved.y[:18])
    assert result["linear"]["top1"] == pytest.approx(100 * probe.score(x[18:], moved.y[18:]), abs=0.01)
    assert {"finetune", "scratch"} <= set(result)
    assert "kinect, protocol test" in finetune_text(result)
    assert f"linear probe on frozen features: {result['linear']['top1']:.1f} %" in finetune_text(result)


def test_the_same_layout_is_taken_as_it_is(run: Run):
    x = np.random.default_rng(2).normal(0, 0.3, (16, 3, 8, 25, 1))
    second = SkeletonSet.from_arrays(x, np.arange(16) % 2, layout=NTU_25, source="second", test=np.arange(16) >= 10)
    result = transfer_to(run, second, recipe=QUICK, scratch=False, device="cpu")
    assert result["fingerprint"] == second.fingerprint
    found = features(run, second, views=("clean",), device="cpu")["clean"]
    known, asked = linear_probe(found[:10], second.y[:10]), linear_probe(found[10:], second.y[10:])
    wanted = known.score(found[10:], second.y[10:])
    assert wanted < asked.score(found[10:], second.y[10:])  # noise: a probe of the test clips would know better
    assert result["linear"]["top1"] == pytest.approx(100 * wanted, abs=0.01)
    assert result["joints"]["guessed"] == result["joints"]["unused"] == []
    assert not any("no transfer" in note for note in result["notes"])


def test_the_very_set_of_the_run_is_no_transfer(run: Run):
    x = np.random.default_rng(1).normal(0, 0.3, (16, 3, 8, 25, 1))
    both = np.concatenate([x, x[:4] + 1])
    again = SkeletonSet.from_arrays(both, np.arange(20) % 2, layout=NTU_25, source="first", test=np.arange(20) >= 16)
    result = transfer_to(run, again, recipe=QUICK, scratch=False, device="cpu")
    assert any("no transfer" in note for note in result["notes"])
