"""Corruptions worked by hand, and what a robustness curve is made of."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from hiclr import figures
from hiclr.datasets import SkeletonSet, synthetic
from hiclr.errors import InputError
from hiclr.evaluation import linear_probe, rank_classes
from hiclr.evaluation.corruptions import CORRUPTIONS, PARTS, body_parts, drop_frames, refusals, swap_sides
from hiclr.evaluation.robustness import measure_robustness, pool_robustness, robustness_text
from hiclr.features import features, load_encoder, weights_digest
from hiclr.pretraining import PRESETS, prepare_run, pretrain
from hiclr.runs import Run
from hiclr.skeleton import BANDAI_21, COCO_17, H36M_17, KINECT_20_MSR, KINECT_20_SDK, LAYOUTS, NTU_25, Layout

NAMELESS = Layout("dots", tuple(f"dot{v}" for v in range(5)), (0, 0, 0, 0, 0), (), centre=0)
WAYS = ("uniform", "random", "block")


def dice(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def people(
    count: int = 3, frames: int = 20, persons: int = 1, layout: Layout = NTU_25, valid: int | None = None
) -> Tensor:
    """(N, 3, T, V, M) away from the origin; zero after `valid` frames."""
    x = 1 + torch.rand(count, 3, frames, layout.num_joints, persons, generator=dice(1))
    x[:, :, valid or frames :] = 0
    return x


def damaged(name: str, x: Tensor, severity: float, layout: Layout = NTU_25, seed: int = 0) -> Tensor:
    before = x.clone()
    out = CORRUPTIONS[name].damage(x, severity, layout, dice(seed))
    assert torch.equal(x, before)
    assert out.shape == x.shape
    return out


def zero_joints(x: Tensor) -> list[int]:
    """1-based, as RA-GCN counts."""
    return [v + 1 for v in range(x.shape[3]) if not x[:, :, :, v].any()]


def zero_frames(x: Tensor) -> list[int]:
    return [t for t in range(x.shape[2]) if not x[:, :, t].any()]


# --- parts and frames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "joints"),
    [
        (1, [5, 6, 7, 8, 22, 23]),
        (2, [9, 10, 11, 12, 24, 25]),
        (3, [22, 23, 24, 25]),
        (4, [13, 14, 15, 16, 17, 18, 19, 20]),
        (5, [1, 2, 3, 4, 21]),
    ],
)
def test_ra_gcns_parts_of_ntu(part: int, joints: list[int]):
    x = people()
    out = damaged("parts", x, part)
    assert zero_joints(out) == joints
    rest = [v for v in range(25) if v + 1 not in joints]
    assert torch.equal(out[:, :, :, rest], x[:, :, :, rest])


@pytest.mark.parametrize("layout", [KINECT_20_MSR, KINECT_20_SDK, BANDAI_21, COCO_17, H36M_17], ids=lambda x: x.name)
def test_parts_of_another_layout_go_by_its_names(layout: Layout):
    parts = {part: {layout.joints[v] for v in joints} for part, joints in body_parts(layout).items()}
    assert tuple(parts) == PARTS
    whole = parts["left arm"] | parts["right arm"] | parts["legs"] | parts["trunk"]
    assert whole == set(layout.joints)
    assert len(parts["left arm"]) == len(parts["right arm"]) >= 3
    assert parts["hands"] <= parts["left arm"] | parts["right arm"]
    assert len(parts["hands"]) == 2
    if layout is KINECT_20_SDK:
        assert parts["trunk"] == {"hip_center", "spine", "shoulder_center", "head"}
        assert parts["left arm"] == {"shoulder_l", "elbow_l", "wrist_l", "hand_l"}
    if layout is BANDAI_21:
        assert parts["right arm"] == {"Shoulder_R", "UpperArm_R", "LowerArm_R", "Hand_R"}
        assert parts["trunk"] == {"Hips", "Spine", "Chest", "Neck", "Head"}
    if layout is COCO_17:
        assert parts["hands"] == {"wrist_l", "wrist_r"}


def test_ntus_own_lists_are_what_the_names_say_too():
    renamed = Layout("other", tuple(f"{name}" if v else "pelvis" for v, name in enumerate(NTU_25.joints)),
                     NTU_25.parents, NTU_25.pairs, NTU_25.centre)  # fmt: skip
    by_name, listed = body_parts(renamed), body_parts(NTU_25)
    assert {part: set(by_name[part]) for part in PARTS if part != "hands"} == {
        part: set(listed[part]) for part in PARTS if part != "hands"
    }


def test_a_layout_without_names_or_sides_is_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"'dots' tells no left arm and no right arm .* joint names such as"):
        body_parts(NAMELESS)
    with pytest.raises(InputError, match="no left-right pairs"):
        swap_sides(people(layout=NAMELESS), 1.0, NAMELESS, dice())
    assert set(refusals(tuple(CORRUPTIONS), NAMELESS)) == {"parts", "swap"}
    assert not [layout.name for layout in LAYOUTS.values() if refusals(tuple(CORRUPTIONS), layout)]


@pytest.mark.parametrize(
    ("frames", "severity", "first", "last"),
    [(100, 10, 45, 54), (100, 50, 25, 74), (50, 50, 12, 36), (50, 10, 22, 26), (64, 50, 16, 47), (32, 20, 13, 18)],
)
def test_ra_gcns_frames_scaled_to_t(frames: int, severity: int, first: int, last: int):
    """At 100 frames its own: 50 - n/2 to 50 + n/2."""
    x = people(frames=frames)
    out = damaged("frames", x, severity)
    assert zero_frames(out) == list(range(first, last + 1))
    assert torch.equal(out[:, :, :first], x[:, :, :first])


# --- frames dropped ---------------------------------------------------------------------------------------------------


def line(count: int = 4, frames: int = 24, valid: int = 17) -> Tensor:
    """Everything moves on straight lines at one speed: x = start + t * speed."""
    start, speed = people(count, 1), torch.rand(count, 3, 1, 25, 1, generator=dice(2))
    x = start + speed * torch.arange(frames).view(1, 1, -1, 1, 1) / 10
    x[:, :, valid:] = 0
    return x


@pytest.mark.parametrize("way", WAYS)
def test_interpolation_restores_a_linear_motion(way: str):
    x = line()
    for dropped in (0.5, 0.75, 0.875):
        torch.testing.assert_close(drop_frames(x, dropped, way, True, dice()), x, atol=2e-6, rtol=0)  # type: ignore[arg-type]
        assert not torch.equal(drop_frames(x, dropped, way, False, dice()), x)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS)
def test_as_many_frames_are_left_in_each_way_and_closed_up(way: str):
    x = people(count=5, frames=20, valid=16)
    out = drop_frames(x, 0.75, way, False, dice())  # type: ignore[arg-type]
    assert zero_frames(out) == list(range(4, 20))  # 16 / 4 left
    for clip, whole in zip(out, x, strict=True):
        where = [t for frame in clip[:, :4].unbind(1) for t in range(16) if torch.equal(frame, whole[:, t])]
        assert len(where) == 4
        assert where == sorted(where)
        assert (where[0], where[-1]) == (0, 15)


def test_which_frames_are_left_by_hand():
    """9 frames, counted 1 to 9; half of them lost leaves 4 (4.5 rounds to the even number)."""
    x = torch.arange(1.0, 10.0).view(1, 1, 9, 1, 1).expand(1, 3, 9, 1, 1)

    def left(way: str, dropped: float) -> list[float]:
        found = drop_frames(x, dropped, way, False, dice())[0, 0, :, 0, 0]  # type: ignore[arg-type]
        return found[found > 0].tolist()

    assert left("uniform", 0.5) == [1, 4, 7, 9]  # steps of 8/3, rounded up
    assert left("uniform", 4 / 9) == [1, 3, 5, 7, 9]
    block = left("block", 0.5)
    gaps = [b - a for a, b in pairwise(block)]
    assert sorted(gaps) == [1, 1, 6]  # one gap of five frames
    assert left("random", 0.0) == left("block", 0.0) == left("uniform", 0.0) == list(range(1, 10))


def test_losing_more_frames_loses_those_as_well():
    x = torch.arange(1.0, 33.0).view(1, 1, 32, 1, 1).expand(2, 3, 32, 1, 1)
    few, many = (set(drop_frames(x, share, "random", False, dice())[1, 0].flatten().tolist()) for share in (0.5, 0.875))
    assert many < few


def test_clips_of_one_frame_and_of_nobody_stay_what_they_are():
    x = people(count=2, frames=6, valid=1)
    x[1] = 0
    for way in WAYS:
        for interpolate in (False, True):
            assert torch.equal(drop_frames(x, 0.875, way, interpolate, dice()), x)  # type: ignore[arg-type]


# --- noise, camera, sides, persons ------------------------------------------------------------------------------------


def test_noise_has_the_size_it_says_and_spares_the_absent():
    x = people(count=20, frames=30, persons=2, valid=20)
    x[:10, ..., 1] = 0
    moved = damaged("noise", x, 0.05) - x
    assert not moved[:10, ..., 1].any()
    assert not moved[:, :, 20:].any()
    assert moved[10:, :, :20].std() == pytest.approx(0.05, rel=0.03)
    torch.testing.assert_close(damaged("noise", x, 0.1) - x, 2 * moved, atol=1e-5, rtol=0)  # same way, twice as far


def test_the_camera_turns_about_the_vertical_or_tilts():
    x = torch.zeros(40, 3, 1, 25, 1)
    x[:, 0] = 1.0  # everybody at x = 1
    aside = damaged("yaw", x, 90)
    assert aside[:, 1].abs().max() == 0
    assert aside[:, 0].abs().max() < 1e-6
    assert sorted(set(aside[:, 2].round(decimals=5).flatten().tolist())) == [-1.0, 1.0]  # to the left or to the right
    assert torch.equal(damaged("pitch", x, 45), x)  # about x itself
    up = torch.zeros(40, 3, 1, 25, 1)
    up[:, 1] = 1.0
    assert damaged("pitch", up, 30)[:, 1].flatten().tolist() == pytest.approx([0.75**0.5] * 1000)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_left_and_right_swapped_twice_is_the_identity(share: float):
    x = people(frames=20, valid=16)
    once = swap_sides(x, share, NTU_25, dice())
    assert torch.equal(swap_sides(once, share, NTU_25, dice()), x)
    changed = [int((a != b).any(dim=0).any(dim=1).sum()) for a, b in zip(once, x, strict=True)]
    assert changed == [16 * share] * 3
    if share == 1:
        assert torch.equal(once[:, :, :, 4], x[:, :, :, 8])  # shoulder_l holds what shoulder_r was
        assert torch.equal(once[:, :, :, [0, 1, 2, 3, 20]], x[:, :, :, [0, 1, 2, 3, 20]])


def test_the_second_person_is_lost_and_nobody_else():
    x = people(persons=2, frames=20, valid=16)
    half, gone = damaged("second-person", x, 0.5), damaged("second-person", x, 1.0)
    assert torch.equal(half[..., 0], x[..., 0])
    assert [int((clip.abs().sum(dim=(0, 2)) > 0).sum()) for clip in half[..., 1]] == [8, 8, 8]
    assert not gone[..., 1].any()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_damage_depends_on_its_draws_alone_and_clips_do_not_mix(name: str):
    kind, x = CORRUPTIONS[name], people(count=6, persons=2, frames=24, valid=20)
    state = torch.get_rng_state()
    severity = kind.severities[1]
    first, again, other = (damaged(name, x, severity, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (not kind.drawn)
    assert not torch.equal(first, x)
    assert torch.equal(torch.get_rng_state(), state)
    changed = x.clone()
    changed[0] *= 2
    assert torch.equal(damaged(name, changed, severity)[1:], first[1:])


def test_only_the_published_occlusions_come_after_preprocessing():
    """The others happen to a body in front of a sensor: centring, turning and resampling see them."""
    assert [name for name, kind in CORRUPTIONS.items() if kind.stage == "input"] == ["parts", "frames"]


def test_severities_grow_and_have_words():
    for kind in CORRUPTIONS.values():
        assert list(kind.severities) == sorted(set(kind.severities))
        assert kind.severities[0] > 0
    assert [CORRUPTIONS["parts"].label(s) for s in (1, 5)] == ["left arm", "trunk"]
    assert CORRUPTIONS["drop-block"].label(0.875) == "87.5 %"
    assert CORRUPTIONS["noise"].label(0.05) == "0.05 m"


# --- curves -----------------------------------------------------------------------------------------------------------

TINY = replace(
    PRESETS["small"], epochs=3, batch_size=16, least_steps=1, frames=16, channels=16, features=16, projection=16,
    knn_every=0, device="cpu",
)  # fmt: skip


def acted(seed: int = 0) -> SkeletonSet:
    """Six people in front of one camera; the last two actions take two."""
    return synthetic(subjects=6, cameras=1, frames=16, seed=seed)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    train, _ = acted().split()
    run = prepare_run(tmp_path_factory.mktemp("robust") / "acted", TINY, train)
    list(pretrain(train, TINY, run))
    return run


@pytest.fixture(scope="module")
def result(run: Run) -> dict[str, Any]:
    return measure_robustness(run, acted(), draws=2, device="cpu")


def test_every_corruption_has_a_curve_with_a_band_and_one_number(result: dict[str, Any]):
    assert list(result["curves"]) == list(CORRUPTIONS)
    assert [note.split(" by ")[0] for note in result["notes"]] == ["This run turns clips"]
    assert result["curves"]["yaw"]["drop"] == pytest.approx(0, abs=2.1)
    for name, curve in result["curves"].items():
        kind = CORRUPTIONS[name]
        assert curve["severities"] == list(kind.severities)
        table = np.array(curve["accuracy"])
        assert table.shape == (len(kind.severities), 2 if kind.drawn else 1)
        assert curve["low"] == table.min(axis=1).tolist()
        assert curve["high"] == table.max(axis=1).tolist()
        assert curve["drop"] == pytest.approx(curve["clean"] - table.mean(), abs=0.01)
    drawn = [row for name, curve in result["curves"].items() for row in curve["accuracy"] if CORRUPTIONS[name].drawn]
    assert any(len(set(row)) > 1 for row in drawn)  # each draw has draws of its own
    noise = result["curves"]["noise"]
    assert noise["mean"][-1] < result["clean"]
    assert noise["clean"] == result["clean"]
    assert result["data"] == {"train": 48, "test": 48, "classes": 16}


def test_a_curve_can_be_worked_out_by_hand(result: dict[str, Any], run: Run):
    """Half the frames, evenly: the same as a set that was recorded so."""
    clips = acted()
    train, test = clips.split_indices()
    probe = linear_probe(features(run, clips, views=("clean",), device="cpu")["clean"][train], clips.y[train])
    x = drop_frames(clips.clips(test), 0.5, "uniform", False, dice()).numpy()
    slower = replace(clips.subset(test), x=x)
    found = rank_classes(probe, features(run, slower, views=("clean",), device="cpu")["clean"])[:, 0]
    wanted = 100 * float((found == slower.y).mean())
    assert result["curves"]["drop-uniform"]["mean"][0] == pytest.approx(wanted, abs=0.01)


def test_the_second_person_is_judged_on_clips_that_have_one(result: dict[str, Any], run: Run):
    clips = acted()
    train, test = clips.split_indices()
    both = (clips.clips(test)[..., 1] != 0).flatten(1).any(dim=1).numpy()
    two = int(both.sum())
    assert 0 < two < len(test)
    assert result["curves"]["second-person"]["clips"] == two
    x = features(run, clips, views=("clean",), device="cpu")["clean"]
    right = rank_classes(linear_probe(x[train], clips.y[train]), x[test])[:, 0] == clips.y[test]
    assert right[both].mean() != right.mean()
    assert result["curves"]["second-person"]["clean"] == round(100 * right[both].mean(), 2)
    assert result["curves"]["noise"]["clips"] == len(test)


def test_the_encoder_is_left_as_it_was_and_a_curve_is_the_same_twice(
    result: dict[str, Any], run: Run, monkeypatch: pytest.MonkeyPatch
):
    encoder = load_encoder(run)
    before = weights_digest(encoder)
    monkeypatch.setattr("hiclr.evaluation.robustness.load_encoder", lambda _: encoder)
    again = measure_robustness(run, acted(), ["noise", "swap"], draws=2, device="cpu")
    assert again["curves"] == {name: result["curves"][name] for name in ("noise", "swap")}
    assert weights_digest(encoder) == before


def test_occlusion_comes_after_preprocessing_and_noise_before(run: Run, monkeypatch: pytest.MonkeyPatch):
    """A hidden part is zero for the encoder; noise on the centre moves everything else."""
    seen: list[Tensor] = []
    real = torch.nn.Module.__call__

    class Watching(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return real(encoder, x)

    encoder = load_encoder(run)
    monkeypatch.setattr("hiclr.evaluation.robustness.load_encoder", lambda _: Watching())
    measure_robustness(run, acted(), ["parts", "noise"], draws=1, device="cpu")
    assert len(seen) == 5 + 4
    assert [zero_joints(x)[:2] for x in seen[:5]] == [[5, 6], [9, 10], [22, 23], [13, 14], [1, 2]]
    assert zero_joints(seen[5][..., :1]) == [21]  # the noisy centre went to the origin, and its noise to all others


def test_what_cannot_be_is_left_out_and_said_or_refused_by_name(tmp_path: Path):
    train, _ = alone().split()
    run = prepare_run(tmp_path / "alone", replace(TINY, epochs=1), train)
    list(pretrain(train, replace(TINY, epochs=1), run))
    few = measure_robustness(run, alone(), draws=1, device="cpu")
    assert not {"parts", "swap", "second-person"} & set(few["curves"])
    assert len(few["notes"]) == 3  # and none on turning: there are no shoulders
    assert "tells no left arm" in few["notes"][0]
    with pytest.raises(InputError, match="has a second person to lose"):
        measure_robustness(run, alone(), ["noise", "second-person"], device="cpu")
    with pytest.raises(InputError, match="no corruption 'rain'; there are: parts, frames"):
        measure_robustness(run, alone(), ["rain"], device="cpu")
    with pytest.raises(InputError, match="draws must be at least 1"):
        measure_robustness(run, alone(), draws=0, device="cpu")


def alone() -> SkeletonSet:
    x = people(count=24, frames=16, layout=NAMELESS).numpy()
    return SkeletonSet.from_arrays(x, np.arange(24) % 2, layout=NAMELESS, test=np.arange(24) >= 12)


def test_pooled_runs_widen_the_band(result: dict[str, Any]):
    worse = {**result, "run": "other", "seed": 7, "clean": result["clean"] - 10, "curves": {
        name: {**curve, "clean": curve["clean"] - 10, "accuracy": [[a - 4 for a in row] for row in curve["accuracy"]]}
        for name, curve in result["curves"].items()}}  # fmt: skip
    both = pool_robustness([result, worse])
    assert both["seed"] == [0, 7]
    assert both["clean"] == pytest.approx(result["clean"] - 5, abs=0.01)
    for name, curve in both["curves"].items():
        old = result["curves"][name]
        assert len(curve["accuracy"][0]) == 2 * len(old["accuracy"][0])
        assert curve["high"] == old["high"]
        assert curve["low"] == pytest.approx([low - 4 for low in old["low"]])
        assert curve["drop"] == pytest.approx(old["drop"] - 3, abs=0.02)  # clean fell by 10, damaged by 4: 6 less
    with pytest.raises(InputError, match="agree in protocol"):
        pool_robustness([result, {**result, "protocol": "cross-view"}])
    with pytest.raises(InputError, match="no results to pool"):
        pool_robustness([])


def test_the_table_has_a_row_for_each_with_its_number(result: dict[str, Any]):
    text = robustness_text(result)
    for curve in result["curves"].values():
        row = next(line for line in text.splitlines() if line.startswith(f"{curve['title']} "))
        assert f"{curve['drop']:.1f}" in row
        assert curve["labels"][-1] in row


# --- the figure -------------------------------------------------------------------------------------------------------


def test_the_figure_has_a_panel_for_each_and_draws_the_numbers(result: dict[str, Any]):
    picture = figures.robustness.robustness({"<b>first</b>": result, "second": result}, "$x$", synthetic=True)
    assert picture.get_suptitle() == "$x$ (synthetic)"
    panels = {axes.get_title(loc="left"): axes for axes in picture.axes if axes.get_title(loc="left")}
    assert len(panels) == len([name for name in CORRUPTIONS if not name.endswith("-interpolated")])
    noise, drop = panels["noise on every joint"], panels["one block of frames lost"]
    curve = result["curves"]["noise"]
    line = next(line for line in noise.lines if line.get_marker() == "o")
    assert line.get_ydata().tolist() == [curve["clean"], *curve["mean"]]
    band = noise.collections[0].get_paths()[0].vertices[:, 1]
    assert {*curve["low"], *curve["high"]} <= set(band.tolist())
    assert sum(line.is_dashed() for line in drop.lines if line.get_marker() == "o") == 2
    assert [tick.get_text() for tick in noise.get_xticklabels()] == ["clean", "0.01", "0.02", "0.05", "0.1"]
    words = [text.get_text() for legend in picture.legends for text in legend.get_texts()]
    assert words[:2] == ["<b>first</b>", "second"]
    assert picture.png()
    with pytest.raises(InputError, match="no curve to draw"):
        figures.robustness.robustness({})
