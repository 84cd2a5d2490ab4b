"""Augmentations: what each one promises for every draw, and numbers worked by hand."""

import hashlib
import io
import math
import warnings
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

import hiclr.augmentations as room
from hiclr.augmentations import (
    RECIPES,
    VIEWS,
    AxisMask,
    Blur,
    CropResize,
    DropAddEdges,
    Exaggerate,
    Flip,
    GrowingViews,
    JointMask,
    Mirror,
    Noise,
    OneOf,
    Op,
    Params,
    PoseMix,
    Rotate,
    Scale,
    Shear,
    SkeleAdaIN,
    TemporalCrop,
    Yaw,
    adain_views,
    arrange,
    code,
    mean_pose,
    paper_views,
    rotation_matrix,
    small_views,
    transfer_statistics,
)
from hiclr.augmentations.choosing import mixes_clips
from hiclr.datasets import SkeletonSet
from hiclr.datasets.streams import motion, to_stream
from hiclr.errors import InputError
from hiclr.pretraining import PretrainConfig, views_of
from hiclr.skeleton import BANDAI_21, LAYOUTS, NTU_25

JOINTS = NTU_25.num_joints
OPS: list[Op] = [
    TemporalCrop(),
    CropResize(),
    Shear(),
    Rotate(),
    Rotate(signed=True),
    Yaw(),
    Scale(),
    Flip(NTU_25),
    Mirror(NTU_25),
    Noise(),
    Blur(),
    Blur(normalise=False),
    AxisMask(),
    JointMask(),
    JointMask(0.2, per_frame=False),
    JointMask(per_clip=False),
    JointMask(value=0.5),
    SkeleAdaIN(),
    SkeleAdaIN("V", rolled=True),
    Exaggerate(),
    PoseMix(),
    OneOf([JointMask(), (JointMask(0.2), SkeleAdaIN())]),
]
RELEASED: list[Op] = [Noise(everybody=True), JointMask(value=0.5, everybody=True), SkeleAdaIN(everybody=True)]


def name(op: Op) -> str:
    return code(op)


every = pytest.mark.parametrize("op", [*OPS, *RELEASED], ids=name)
presence_aware = pytest.mark.parametrize("op", OPS, ids=name)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def clips(count: int = 6, frames: int = 18, seed: int = 0) -> Tensor:
    """Random positions; the second person is absent from every other clip."""
    x = torch.randn(count, 3, frames, JOINTS, 2, generator=seeded(seed))
    x[::2, ..., 1] = 0
    return x


def drawn(op: Op, x: Tensor, strength: float = 1.0, seed: int = 1) -> Params:
    return op.sample(tuple(x.shape), strength, seeded(seed))


def augmented(op: Op, x: Tensor, strength: float = 1.0, seed: int = 1) -> Tensor:
    return op.apply(x, drawn(op, x, strength, seed))


def ramp(frames: int) -> Tensor:
    """(1, 3, T, 1, 1), every coordinate the number of its frame, counted from 100: nobody is absent."""
    return torch.arange(100.0, 100 + frames).view(1, 1, -1, 1, 1).expand(1, 3, -1, 1, 1).contiguous()


def along_time(x: Tensor) -> list[float]:
    return x[0, 0, :, 0, 0].tolist()


# what every augmentation promises


@every
def test_a_draw_depends_on_its_generator_alone(op: Op):
    x, before = clips(), torch.get_rng_state()
    first, again, other = drawn(op, x), drawn(op, x), drawn(op, x, seed=2)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
    op.apply(x, first)
    assert torch.equal(torch.get_rng_state(), before)


@every
def test_a_draw_has_one_entry_for_each_clip(op: Op):
    for count in (1, 5):
        assert {len(value) for value in drawn(op, clips(count)).values()} == {count}


@every
def test_applying_keeps_shape_and_input_and_shares_no_memory(op: Op):
    x = clips()
    before = x.clone()
    out = augmented(op, x)
    assert torch.equal(x, before)
    assert out.shape == x.shape
    assert out.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()
    assert not torch.equal(out, x)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_strength_0_is_exactly_the_identity_in_every_precision(op: Op, dtype: torch.dtype):
    x = clips().to(dtype)
    x[1, :, 5:9, :, 0] = 0  # also where somebody is absent for a while
    out = augmented(op, x, strength=0)
    assert out.dtype == dtype
    assert torch.equal(out, x)


@every
def test_precision_is_kept(op: Op):
    x = clips()
    wanted = augmented(op, x)
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.bfloat16, 0.1)):
        out = augmented(op, x.to(dtype))
        assert out.dtype == dtype
        torch.testing.assert_close(out.float(), wanted, rtol=tolerance, atol=tolerance)


@every
def test_one_draw_is_continuous_in_strength(op: Op):
    x = clips()
    for strength in torch.linspace(0, 0.999, 12).tolist():
        here, near = augmented(op, x, strength), augmented(op, x, strength + 1e-4)
        assert float((here - near).abs().max()) < 0.05  # coordinates reach 4


@every
def test_strength_keeps_the_direction(op: Op):
    x = clips()
    whole, half = ({key.split(".")[-1]: value for key, value in drawn(op, x, s).items()} for s in (1.0, 0.5))
    if isinstance(op, Exaggerate):  # what strength scales is the logarithm of the factor
        whole, half = ({"degrees": params["factor"].log()} for params in (whole, half))
    still = [key for key in whole if key in ("on", "axis", "sigma", "partner", "chosen")]
    assert all(torch.equal(whole[key], half[key]) for key in still)
    moved = dict.fromkeys(("degrees", "noise", "mask", "amount"), 0.0)
    moved |= {"start": x.shape[2] // 6 if isinstance(op, TemporalCrop) else 0, "kept": 1, "factor": 1}
    for key, rest in moved.items():
        if key in whole and not (isinstance(op, CropResize) and key == "start"):  # a product of two that move
            torch.testing.assert_close((half[key] - rest) * 2, whole[key] - rest)
    assert set(whole) <= {*still, *moved, "matrix"}


@every
def test_clips_of_a_batch_do_not_mix(op: Op):
    if mixes_clips(op):
        pytest.skip("it mixes clips by design")
    x = clips()
    params = drawn(op, x)
    alone = op.apply(x[2:3], {key: value[2:3] for key, value in params.items()})
    torch.testing.assert_close(op.apply(x, params)[2:3], alone, rtol=1e-6, atol=1e-6)


@presence_aware
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_an_absent_person_stays_exactly_zero(op: Op, strength: float):
    x = clips()
    out = augmented(op, x, strength)
    assert not out[::2, ..., 1].any()
    assert out[1::2, ..., 1].any()


@presence_aware
def test_nobody_glows_into_frames_without_it(op: Op):
    x = clips(64)
    x[..., 1] = 0
    x[:, :, 5:11, :, 1] = 1 + torch.rand(64, 3, 6, JOINTS, generator=seeded(3))
    out = augmented(op, x)[..., 1]
    there = (out != 0).flatten(3).any(dim=3).any(dim=1)  # (64, T)
    if not isinstance(op, TemporalCrop | CropResize):  # these move in time
        assert not out[:, :, :5].any()
        assert not out[:, :, 11:].any()
        return
    # between two frames there is the person as it was in one of them or between them, never half of it
    assert float(out.permute(0, 2, 1, 3)[there].min()) >= 1
    assert bool((~there).any())


@every
def test_motionless_and_short_clips_stay_finite(op: Op):
    for frames in (1, 2, 50):
        x = clips(16, 1).expand(-1, -1, frames, -1, -1).contiguous()
        out = augmented(op, x)
        assert bool(torch.isfinite(out).all())
        assert bool(torch.isfinite(motion(out)).all())
        if isinstance(op, TemporalCrop | CropResize) or op == Blur():
            torch.testing.assert_close(out, x, rtol=1e-5, atol=1e-5)
            assert float(motion(out).abs().max()) < 1e-5


@every
def test_mixed_precision_around_it_changes_nothing(op: Op):
    x = clips()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = augmented(op, x)
    assert torch.equal(out, augmented(op, x))


@every
def test_parameters_come_to_the_device_of_the_clips(op: Op):
    x = clips()
    out = op.apply(x.to("meta"), drawn(op, x))  # an operation between meta and cpu is refused by torch
    assert (out.device.type, out.shape) == ("meta", x.shape)


@pytest.mark.gpu
@every
def test_a_gpu_gives_the_same(op: Op):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    x = clips()
    params = drawn(op, x)
    torch.testing.assert_close(op.apply(x.cuda(), params).cpu(), op.apply(x, params), rtol=1e-4, atol=1e-4)
    there = op.sample(tuple(x.shape), 1.0, Generator("cuda").manual_seed(0))
    assert {value.device.type for value in there.values()} == {"cuda"}
    assert op.apply(x.cuda(), there).isfinite().all()
    torch.testing.assert_close(op.apply(x, there), op.apply(x.cuda(), there).cpu(), rtol=1e-4, atol=1e-4)
    assert torch.equal(op.apply(x.cuda(), drawn(op, x, 0)).cpu(), x)


@every
def test_it_is_an_op_and_its_code_makes_it_again(op: Op):
    assert isinstance(op, Op)
    assert eval(code(op), vars(room) | {"LAYOUTS": LAYOUTS}) == op  # noqa: S307


@every
@pytest.mark.parametrize(("shape", "strength", "words"), [
    ((2, 3, 4, 25, 1), 1.01, "strength must be in \\[0, 1\\]"),
    ((2, 3, 4, 25, 1), -0.1, "strength must be in \\[0, 1\\]"),
    ((2, 3, 4, 25, 1), math.nan, "strength must be in \\[0, 1\\]"),
    ((3, 4, 25, 1), 1.0, "\\(N, 3, T, V, M\\)"),
    ((2, 4, 3, 25, 1), 1.0, "\\(N, 3, T, V, M\\)"),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(op: Op, shape: tuple[int, ...], strength: float, words: str):
    with pytest.raises(InputError, match=words):
        op.sample(shape, strength, seeded())


# one draw for each clip: 64 copies of one clip


def kinds(op: Op, frames: int = 50) -> tuple[int, int]:
    """(different results, unchanged results) of 64 copies of a clip."""
    copies = torch.randn(1, 3, frames, JOINTS, 1, generator=seeded(5)).repeat(64, 1, 1, 1, 1)
    out = augmented(op, copies).flatten(1)
    return len(out.unique(dim=0)), int((out == copies.flatten(1)).all(dim=1).sum())


@pytest.mark.parametrize(
    "op", [CropResize(), Shear(), Rotate(), Yaw(), Scale(), JointMask(), JointMask(0.2, per_frame=False)], ids=name
)
def test_every_clip_gets_a_draw_of_its_own(op: Op):
    assert kinds(op) == (64, 0)


@pytest.mark.parametrize("op", [Noise(), Blur(), Blur(normalise=False)], ids=name)
def test_about_half_the_clips_are_left_alone_and_the_others_all_differ(op: Op):
    different, unchanged = kinds(op)
    assert 17 <= unchanged <= 47
    assert different == 64 - unchanged + 1


@pytest.mark.parametrize(("op", "changes"), [(Flip(NTU_25), 1), (Mirror(NTU_25), 1), (AxisMask(), 3)], ids=str)
def test_choices_among_few_are_made_for_each_clip(op: Op, changes: int):
    different, unchanged = kinds(op)
    assert 17 <= unchanged <= 47
    assert different == changes + 1


def test_a_crop_starts_at_any_of_the_whole_frames():
    starts = drawn(TemporalCrop(), torch.empty(4000, 3, 50, 1, 1))["start"]
    assert set(starts.tolist()) == set(range(17))  # T // 6 = 8 frames at each end
    assert kinds(TemporalCrop())[0] > 10


@pytest.mark.parametrize("kind", [Flip, Mirror])
def test_probability_0_and_1(kind: type[Flip]):
    x = clips()
    assert torch.equal(augmented(kind(NTU_25, 0.0), x), x)
    assert bool(drawn(kind(NTU_25, 1.0), x)["on"].all())


# numbers worked by hand


def point(*at: float) -> Tensor:
    return torch.tensor(at, dtype=torch.float32).view(1, 3, 1, 1, 1)


def test_a_shear_moves_a_point_where_the_formula_says():
    matrix = torch.tensor([[[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])  # x' = x + 0.5 y
    assert Shear().apply(point(1, 2, 3), {"matrix": matrix}).flatten().tolist() == [2.0, 2.0, 3.0]


def test_the_six_numbers_of_the_released_shear():
    params = Shear.from_released(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]))
    assert params["matrix"].tolist() == [[[1, 1, 4], [2, 1, 5], [3, 6, 1]]]
    # 1 + 1 * 10 + 4 * 100,  2 * 1 + 10 + 5 * 100,  3 * 1 + 6 * 10 + 100
    assert Shear().apply(point(1, 10, 100), params).flatten().tolist() == [411, 512, 163]


def test_shears_fill_their_bounds():
    matrix = drawn(Shear(0.3), torch.empty(3000, 3, 1, 1, 1), 0.5)["matrix"]
    assert torch.equal(matrix.diagonal(dim1=1, dim2=2), torch.ones(3000, 3))
    slant = (matrix - torch.eye(3)).flatten(1)[:, [1, 2, 3, 5, 6, 7]]
    assert float(slant.abs().max()) <= 0.15
    assert bool((slant.amin(dim=0) < -0.14).all())
    assert bool((slant.amax(dim=0) > 0.14).all())


@pytest.mark.parametrize(
    ("degrees", "start", "end"),
    [
        ((90, 0, 0), (0, 0, 1), (0, 1, 0)),
        ((0, 90, 0), (1, 0, 0), (0, 0, 1)),
        ((0, 0, 90), (0, 1, 0), (1, 0, 0)),
        ((90, 90, 0), (0, 0, 1), (0, 1, 0)),  # z to y, which y leaves alone: x comes first
        ((0, 90, 90), (1, 0, 0), (0, 0, 1)),  # x to z, which z leaves alone: z comes last
        ((0, 0, 30), (0, 2, 0), (1, 3**0.5, 0)),
    ],
)
def test_rotations(degrees: tuple[float, ...], start: tuple[float, ...], end: tuple[float, ...]):
    params = {"matrix": rotation_matrix(torch.tensor([degrees], dtype=torch.float32))}
    torch.testing.assert_close(Rotate().apply(point(*start), params), point(*end))


def test_a_rotation_keeps_lengths_and_handedness():
    matrix = drawn(Rotate(signed=True), torch.empty(100, 3, 1, 1, 1))["matrix"].double()
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(3).double().expand(100, 3, 3), rtol=0, atol=1e-6)
    torch.testing.assert_close(matrix.det(), torch.ones(100).double())


@pytest.mark.parametrize("signed", [False, True])
def test_one_axis_turns_far_and_two_a_little(signed: bool):
    degrees = drawn(Rotate(signed=signed), torch.empty(3000, 3, 1, 1, 1))["degrees"]
    far = degrees.abs() > 1
    assert int(far.sum(dim=1).max()) == 1
    assert 29 < float(degrees.max()) <= 30
    lowest = float(degrees.min())
    assert -30 <= lowest < -29 if signed else 0 <= lowest < 0.01
    assert bool((far.sum(dim=0) > 800).all())  # about a third each


def test_yaw_turns_about_the_vertical_alone():
    x = clips()
    params = drawn(Yaw(40), x)
    out = Yaw(40).apply(x, params)
    torch.testing.assert_close(out[:, 1], x[:, 1])
    torch.testing.assert_close(out[:, ::2].norm(dim=1), x[:, ::2].norm(dim=1))
    angle = torch.atan2(out[1, 2, 0, 0, 0], out[1, 0, 0, 0, 0]) - torch.atan2(x[1, 2, 0, 0, 0], x[1, 0, 0, 0, 0])
    torch.testing.assert_close(torch.cos(angle), torch.cos(torch.deg2rad(params["degrees"][1, 0])))
    wide = drawn(Yaw(40), torch.empty(1000, 3, 1, 1, 1))["degrees"]
    assert 39 < float(wide.max()) <= 40
    assert -40 <= float(wide.min()) < -39


def test_scale_changes_size_alone():
    assert Scale().apply(point(1, 2, 3), {"factor": torch.tensor([1.5])}).flatten().tolist() == [1.5, 3.0, 4.5]
    factor = drawn(Scale(0.2), torch.empty(1000, 3, 1, 1, 1))["factor"]
    assert 0.8 <= float(factor.min()) < 0.81
    assert 1.19 < float(factor.max()) <= 1.2


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        (0.0, [1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (2.0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        (4.0, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 10]),
        (1.5, [0, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5]),
        (3.25, [1.25, 2.25, 3.25, 4.25, 5.25, 6.25, 7.25, 8.25, 9.25, 10.25, 11, 10.75]),
    ],
)
def test_a_crop_of_the_mirrored_clip(start: float, wanted: list[float]):
    out = TemporalCrop().apply(ramp(12), {"start": torch.tensor([start])})
    assert [value - 100 for value in along_time(out)] == wanted


def test_crop_and_resize():
    params = {"kept": torch.tensor([0.5]), "start": torch.tensor([0.25])}
    assert along_time(CropResize().apply(ramp(5), params)) == [101, 101.5, 102, 102.5, 103]
    many = drawn(CropResize(0.4), torch.empty(3000, 3, 1, 1, 1))
    assert 0.4 <= float(many["kept"].min()) < 0.41
    assert float(many["start"].min()) >= 0
    assert float((many["kept"] + many["start"]).max()) <= 1 + 1e-6


def test_a_blurred_impulse_is_the_kernel():
    x = torch.zeros(1, 3, 31, 1, 1)
    x[:, :, 15] = 1
    x[:, 2] = 1  # somebody is there in every frame
    params = {"on": torch.tensor([True]), "sigma": torch.tensor([1.8])}
    taps = [math.exp(-((t - 15) ** 2) / (2 * 1.8**2)) if abs(t - 15) <= 7 else 0.0 for t in range(31)]
    released = Blur(normalise=False).apply(x, params)
    assert along_time(released) == pytest.approx(taps, abs=1e-6)
    assert float(released[0, 2, 15, 0, 0]) == pytest.approx(sum(taps), rel=1e-6)  # the quirk: scaled up
    assert float(released[0, 2, 0, 0, 0]) == pytest.approx((sum(taps) + 1) / 2, rel=1e-6)  # and faded at the ends
    normalised = Blur().apply(x, params)
    assert along_time(normalised)[8:23] == pytest.approx([tap / sum(taps) for tap in taps[8:23]], abs=1e-6)
    torch.testing.assert_close(normalised[:, 2], x[:, 2])


def test_a_blur_is_narrow_or_off_as_drawn():
    x = clips(2)
    narrow = Blur().apply(x, {"on": torch.tensor([True, False]), "sigma": torch.tensor([0.1, 2.0])})
    torch.testing.assert_close(narrow, x)  # exp(-50) of the neighbours
    half = Blur().apply(x, {"on": torch.ones(2) > 0, "sigma": torch.full((2,), 2.0), "amount": torch.full((2,), 0.5)})
    whole = Blur().apply(x, {"on": torch.ones(2) > 0, "sigma": torch.full((2,), 2.0)})
    torch.testing.assert_close(half, (x + whole) / 2)


def numbered(joints: int) -> Tensor:
    """(1, 3, 2, V, 2), joint v at (v + 1, 10 v, 100 v); the second person a thousand further."""
    one = (torch.arange(joints) * torch.tensor([[1.0], [10.0], [100.0]])).view(1, 3, 1, joints, 1)
    one = one + torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1, 1)
    return torch.cat([one, one + 1000], dim=4).repeat(1, 1, 2, 1, 1)


ON = {"on": torch.tensor([True])}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_flip_swaps_and_mirror_also_negates(layout: Any):
    x = numbered(layout.num_joints)
    flipped, mirrored = Flip(layout).apply(x, ON), Mirror(layout).apply(x, ON)
    for left, right in layout.pairs:
        assert torch.equal(flipped[..., left, :], x[..., right, :])
        assert torch.equal(flipped[..., right, :], x[..., left, :])
    middle = [v for v, side in enumerate(layout.sides) if side == "middle"]
    assert torch.equal(flipped[..., middle, :], x[..., middle, :])
    assert torch.equal(mirrored[:, 1:], flipped[:, 1:])
    assert torch.equal(mirrored[:, 0], -flipped[:, 0])
    assert not torch.equal(mirrored, flipped)
    for op in (Flip(layout), Mirror(layout)):
        assert torch.equal(op.apply(op.apply(x, ON), ON), x)


def test_half_a_flip_is_half_way():
    x = numbered(JOINTS)
    (left, right), amount = NTU_25.pairs[0], {"amount": torch.tensor([0.25])}
    out = Flip(NTU_25).apply(x, ON | amount)
    torch.testing.assert_close(out[..., left, :], 0.75 * x[..., left, :] + 0.25 * x[..., right, :])
    assert float(Mirror(NTU_25).apply(x, ON | amount)[0, 0, 0, NTU_25.root, 0]) == pytest.approx((0.75 - 0.25) * 21)


def test_flip_refuses_other_joints():
    with pytest.raises(InputError, match=r"21 joints of layout 'bandai21'.*have 25"):
        Flip(BANDAI_21).sample((2, 3, 4, 25, 1), 1.0, seeded())
    with pytest.raises(InputError, match=r"Mirror swaps the 21 joints.*have 25"):
        Mirror(BANDAI_21).apply(clips(1), ON)


def test_noise_is_what_was_drawn_where_somebody_is():
    x = clips(2)
    params = drawn(Noise(), x) | {"on": torch.tensor([True, False])}
    out = Noise().apply(x, params)
    torch.testing.assert_close(out[0, ..., 0], x[0, ..., 0] + params["noise"][0, ..., 0])
    assert torch.equal(out[1], x[1])
    assert torch.equal(Noise(everybody=True).apply(x, params)[0], x[0] + params["noise"][0])  # the quirk


def test_noise_has_the_deviation_asked_for():
    noise = drawn(Noise(0.02), torch.empty(20, 3, 50, 20, 1), 0.5)["noise"]  # 60,000 numbers
    assert float(noise.std()) == pytest.approx(0.01, rel=0.02)
    assert abs(float(noise.mean())) < 5 * 0.01 / 60_000**0.5


def test_axis_mask():
    params = {"on": torch.tensor([True]), "axis": torch.tensor([1])}
    assert AxisMask().apply(point(1, 2, 3), params).flatten().tolist() == [1, 0, 3]
    faded = AxisMask().apply(point(1, 2, 3), params | {"amount": torch.tensor([0.25])})
    assert faded.flatten().tolist() == [1, 1.5, 3]
    axes = drawn(AxisMask(), torch.empty(3000, 3, 1, 1, 1))["axis"]
    assert bool((axes.bincount() > 850).all())
    assert len(axes.bincount()) == 3


@pytest.mark.parametrize(
    ("ratio", "joints", "hidden"), [(0.1, 25, 2), (0.2, 25, 5), (0.29, 100, 29), (0.01, 20, 1), (0, 20, 0), (1, 20, 20)]
)
def test_so_many_joints_are_hidden(ratio: float, joints: int, hidden: int):
    mask = JointMask(ratio).sample((3, 3, 7, joints, 2), 1.0, seeded())["mask"]
    assert torch.equal(mask.sum(dim=2), torch.full((3, 7), float(hidden)))


def test_masks_per_frame_and_per_clip():
    shape = (8, 3, 10, JOINTS, 2)
    mask = JointMask().sample(shape, 1.0, seeded())["mask"]
    assert mask.shape == (8, 10, JOINTS)
    assert len(mask.flatten(0, 1).unique(dim=0)) > 60  # of 300 pairs
    assert JointMask(per_frame=False).sample(shape, 1.0, seeded())["mask"].shape == (8, 1, JOINTS)
    batch = JointMask(per_clip=False).sample(shape, 1.0, seeded())["mask"]
    assert torch.equal(batch, batch[:1].expand(8, -1, -1))
    assert len(batch[0].unique(dim=0)) > 1
    often = JointMask(0.2).sample((1, 3, 5000, JOINTS, 1), 1.0, seeded())["mask"].mean(dim=1)
    assert float((often - 0.2).abs().max()) < 0.03  # every joint alike


def test_hidden_joints_become_the_value_in_all_persons():
    x = clips(2)
    mask = torch.zeros(2, 1, JOINTS)
    mask[:, :, 3] = 1
    assert not JointMask().apply(x, {"mask": mask})[:, :, :, 3].any()
    out = JointMask(value=0.5).apply(x, {"mask": mask})
    assert bool((out[1, :, :, 3] == 0.5).all())
    assert not out[0, :, :, 3, 1].any()  # absent
    assert torch.equal(out[..., :3, :], x[..., :3, :])
    assert bool((JointMask(value=0.5, everybody=True).apply(x, {"mask": mask})[:, :, :, 3] == 0.5).all())
    half = JointMask(value=0.5).apply(x, {"mask": mask / 2})
    torch.testing.assert_close(half[1, :, :, 3], x[1, :, :, 3] / 2 + 0.25)


def test_the_value_can_be_learned():
    x, value = clips(2), torch.zeros((), requires_grad=True)
    op = JointMask(value=value)
    params = drawn(op, x)
    op.apply(x, params).sum().backward()
    masked = params["mask"].sum(dim=(1, 2)) * 3 * torch.tensor([1.0, 2.0])  # coordinates, persons there
    assert float(value.grad) == pytest.approx(float(masked.sum()))


def test_movements_grow_about_the_mean_pose():
    x = ramp(5)  # 100..104, mean 102
    out = Exaggerate().apply(x, {"factor": torch.tensor([2.0])})
    assert along_time(out) == [98, 100, 102, 104, 106]
    assert float(mean_pose(x)[0, 0, 0, 0, 0]) == 102
    x = torch.cat([x, torch.zeros(1, 3, 2, 1, 1)], dim=2)  # absent frames do not count
    assert along_time(Exaggerate().apply(x, {"factor": torch.tensor([0.5])})) == [101, 101.5, 102, 102.5, 103, 0, 0]


def test_halving_a_movement_is_as_likely_as_doubling_it():
    factor = Exaggerate(0.5).sample((20000, 3, 1, 1, 1), 1.0, seeded())["factor"]
    assert float(factor.log().mean()) == pytest.approx(0, abs=0.02)
    assert float(factor.log().std()) == pytest.approx(0.5, rel=0.05)
    assert 1 / 3.5 < float(factor.min()) < float(factor.max()) < 3.5


def test_the_mean_pose_comes_from_another_clip_and_the_movement_stays():
    x = torch.cat([ramp(5), ramp(5).flip(2) + 20])  # means 102 and 122
    out = PoseMix().apply(x, {"partner": torch.tensor([1, 0]), "amount": torch.tensor([1.0, 0.25])})
    assert along_time(out) == [120, 121, 122, 123, 124]
    assert along_time(out[1:]) == [119, 118, 117, 116, 115]
    torch.testing.assert_close(motion(out), motion(x))
    assert torch.equal(augmented(PoseMix(), x[:1]), x[:1])  # alone it is its own partner
    x = clips(2)  # clip 0 has no second person: the one of clip 1 keeps its pose
    out = PoseMix().apply(x, {"partner": torch.tensor([1, 0]), "amount": torch.ones(2)})
    assert torch.equal(out[1, ..., 1], x[1, ..., 1])
    torch.testing.assert_close(mean_pose(out)[..., 0], mean_pose(x).flip(0)[..., 0])


def test_statistics_move_from_one_clip_to_another():
    content = torch.tensor([0.0, 2.0]).view(1, 1, 1, 2, 1).expand(1, 3, 1, 2, 1)  # mean 1, variance 2
    style = torch.tensor([10.0, 14.0]).view(1, 1, 1, 2, 1).expand(1, 3, 1, 2, 1)  # mean 12, variance 8
    for over in ("TV", "V"):
        out = transfer_statistics(content, style, over)
        assert out[0, 0].flatten().tolist() == pytest.approx([10, 14], abs=1e-4)
    x, y = torch.randn(4, 3, 9, 5, 2, generator=seeded()), 3 + 2 * torch.randn(4, 3, 9, 5, 2, generator=seeded(1))
    for over, axes in (("TV", (2, 3)), ("V", (3,))):
        out = transfer_statistics(x, y, over)
        torch.testing.assert_close(out.mean(axes), y.mean(axes), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(out.std(axes), y.std(axes), rtol=1e-3, atol=1e-3)


def test_style_comes_from_another_clip():
    x = torch.randn(5, 3, 9, 4, 1, generator=seeded()) * torch.arange(1.0, 6).view(-1, 1, 1, 1, 1)
    params = drawn(SkeleAdaIN(), x)
    partner = params["partner"]
    assert bool((partner != torch.arange(5)).all())
    torch.testing.assert_close(SkeleAdaIN().apply(x, params), transfer_statistics(x, x[partner]), rtol=1e-4, atol=1e-4)
    rolled = SkeleAdaIN(rolled=True).sample((50, 3, 1, 1, 1), 1.0, seeded())["partner"]
    assert len(((rolled - torch.arange(50)) % 50).unique()) == 1
    free = SkeleAdaIN().sample((50, 3, 1, 1, 1), 1.0, seeded())["partner"]
    assert len(((free - torch.arange(50)) % 50).unique()) > 10
    alone = x[:1]
    assert torch.equal(augmented(SkeleAdaIN(), alone), alone)


def test_absent_frames_do_not_count_as_style():
    x = torch.randn(2, 3, 8, 6, 1, generator=seeded()) + 5
    longer = torch.cat([x, torch.zeros_like(x)], dim=2)  # absent in the second half
    params = {"partner": torch.tensor([1, 0]), "amount": torch.ones(2)}
    out = SkeleAdaIN().apply(longer, params)
    torch.testing.assert_close(out[:, :, :8], SkeleAdaIN().apply(x, params), rtol=1e-4, atol=1e-4)
    assert not out[:, :, 8:].any()
    quirk = SkeleAdaIN(everybody=True).apply(longer, params)
    torch.testing.assert_close(quirk, transfer_statistics(longer, longer.flip(0)), rtol=1e-4, atol=1e-4)


def test_the_spread_is_that_of_a_sample_however_long_each_clip_is():
    x = torch.randn(2, 3, 4, 2, 1, generator=seeded()) + 5
    x[1, :, 1:] = 0  # 8 points of the first clip, 2 of the second
    out = SkeleAdaIN().apply(x, {"partner": torch.tensor([1, 0]), "amount": torch.ones(2)})
    torch.testing.assert_close(out[0].std((1, 2)), x[1, :, 0].std(1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(out[1, :, 0].std(1), x[0].std((1, 2)), rtol=1e-3, atol=1e-3)


def test_a_person_whom_the_partner_lacks_keeps_its_own_style():
    x = clips(2)  # clip 0 has no second person
    out = SkeleAdaIN().apply(x, {"partner": torch.tensor([1, 0]), "amount": torch.ones(2)})
    assert torch.equal(out[1, ..., 1], x[1, ..., 1])
    assert not torch.equal(out[1, ..., 0], x[1, ..., 0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Shear(-1), "Shear: amplitude must be at least 0"),
        (lambda: Rotate(large=-1), "Rotate: large"),
        (lambda: Rotate(small=math.nan), "Rotate: small"),
        (lambda: Yaw(-5), "Yaw: degrees"),
        (lambda: Scale(1.5), r"Scale: amplitude must be in \[0, 1\], got 1.5"),
        (lambda: Flip(NTU_25, 1.1), "Flip: probability"),
        (lambda: Mirror(NTU_25, -0.1), "Mirror: probability"),
        (lambda: Noise(-0.01), "Noise: deviation"),
        (lambda: Noise(probability=2), "Noise: probability"),
        (lambda: AxisMask(2), "AxisMask: probability"),
        (lambda: Blur(taps=14), "taps must be odd"),
        (lambda: Blur(least=0), "0 < least <= most"),
        (lambda: Blur(least=3, most=2), "least 3 and most 2"),
        (lambda: Blur(probability=-1), "Blur: probability"),
        (lambda: TemporalCrop(0), "TemporalCrop: padding must be at least 1"),
        (lambda: CropResize(-0.1), "CropResize: least"),
        (lambda: JointMask(1.2), "JointMask: ratio"),
        (lambda: transfer_statistics(clips(1), clips(1), "T"), "TV or V, got 'T'"),  # type: ignore[arg-type]
    ],
)
def test_settings_at_fault_are_named(make: Any, words: str):
    with pytest.raises(InputError, match=words):
        make()


# growing views


@dataclass(frozen=True)
class Note:
    """Adds its number and then multiplies by ten, so that the digits tell the order."""

    digit: int
    after_stream: bool = False  # type: ignore[misc]

    def sample(self, shape: tuple[int, ...], strength: float, generator: Generator) -> Params:  # noqa: ARG002
        return {"strength": torch.full((shape[0],), strength, dtype=torch.float64)}

    def apply(self, x: Tensor, params: Params) -> Tensor:  # noqa: ARG002
        return x * 10 + self.digit


def test_views_grow_and_what_acts_on_the_stream_comes_last():
    views = GrowingViews([[Note(1), Note(2, True)], [Note(3)], [Note(4), Note(5, True)]])
    x = torch.zeros(1, 3, 1, 1, 1, dtype=torch.float64)
    seen = [
        views.apply_view(i, x, views.draw_view(i, tuple(x.shape), seeded()), lambda x: x * 10 + 9) for i in range(3)
    ]
    assert [int(view[0, 0, 0, 0, 0]) for view in seen] == [192, 1392, 134925]
    assert [int(view[0, 0, 0, 0, 0]) for view in views(x, seeded())] == [12, 132, 13425]


def test_each_set_has_a_strength():
    views = GrowingViews([[Note(1), Note(2)], [Note(3)]], strengths=[0.25, 0.5])
    draws = views.draw((1, 3, 1, 1, 1), seeded())
    assert [[float(params["strength"]) for params in draw] for draw in draws] == [[0.25, 0.25], [0.25, 0.25, 0.5]]


def test_any_number_of_sets():
    for count in range(1, 6):
        views = GrowingViews([[Shear()]] * count)
        assert len(views) == len(views.names) == len(set(views.names)) == len(views.strengths) == count
        assert len(views(clips(), seeded())) == count
    assert GrowingViews([[Shear()]] * 2).names == ("basic", "normal")
    named = GrowingViews([[Shear()], []], names=["a", "b"])
    assert named.names == ("a", "b")


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_views_replay_and_are_drawn_afresh(make: Any):
    x, views = clips(), make(NTU_25, 3)
    first, again = views(x, seeded()), views(x, seeded())
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], views(x, seeded(1))[0])
    draws = views.draw(tuple(x.shape), seeded())
    for weaker, stronger in pairwise(draws):
        shared = zip(weaker, stronger, strict=False)
        assert all(any(not torch.equal(a[key], b[key]) for key in a) for a, b in shared)


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_a_saved_draw_replays_on_another_stream(make: Any):
    x, views, file = clips(), make(NTU_25, 3), io.BytesIO()
    draw = views.draw_view(2, tuple(x.shape), seeded())
    torch.save(draw, file)
    file.seek(0)
    again = torch.load(file, weights_only=True)
    for stream in ("joint", "bone", "motion"):
        first = views.apply_view(2, x, draw, lambda x, stream=stream: to_stream(x, stream, NTU_25))
        second = views.apply_view(2, x, again, lambda x, stream=stream: to_stream(x, stream, NTU_25))
        assert torch.equal(first, second)


def test_joints_are_hidden_in_the_stream():
    x, views = clips(), paper_views(NTU_25)
    draw = views.draw_view(2, tuple(x.shape), seeded())
    hidden = draw[-1]["mask"][:, None, :, :, None].expand(-1, 3, -1, -1, 2) > 0
    for stream in ("bone", "motion"):  # a joint hidden before would leave its neighbours' values behind
        out = views.apply_view(2, x, draw, lambda x, stream=stream: to_stream(x, stream, NTU_25))
        assert not out[hidden].any()
        assert out[~hidden].any()


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_strength_0_of_a_set_leaves_the_weaker_view(make: Any):
    x, whole = clips(), make(NTU_25, 3)
    views = GrowingViews(whole.sets, strengths=[0, 0, 0])
    assert all(torch.equal(view, x) for view in views(x, seeded()))
    views = GrowingViews(whole.sets, strengths=[1, 0, 0])
    basic = views.apply_view(0, x, views.draw_view(0, tuple(x.shape), seeded()))
    strong = views.apply_view(2, x, views.draw_view(2, tuple(x.shape), seeded()))
    assert torch.equal(basic, strong)


def test_the_paper_has_these_three_sets():
    views = paper_views(NTU_25)
    assert views.sets == (
        (TemporalCrop(6), Shear(0.5)),
        (
            Flip(NTU_25, 0.5),
            Rotate(30, 1, signed=False),
            Noise(0.01, 0.5, everybody=False),
            Blur(15, 0.1, 2, 0.5, normalise=True),
            AxisMask(0.5),
        ),
        (JointMask(0.1, per_frame=True, per_clip=True, value=0, everybody=False),),
    )
    assert (views.names, views.strengths) == (("basic", "normal", "strong"), (1, 1, 1))
    released = [op for ops in paper_views(NTU_25, released=True).sets for op in ops]
    assert [op for op in released if op not in views.chain(2)] == [
        Noise(everybody=True),
        Blur(normalise=False),
        JointMask(per_clip=False, everybody=True, learned=True),
    ]


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_recipes_fit_every_layout_and_number_of_branches(make: Any, layout: Any):
    x = torch.randn(4, 3, 10, layout.num_joints, 2, generator=seeded())
    most = 4 if make is adain_views else 3
    for branches in range(1, most + 1):
        views = make(layout, branches)
        assert [view.shape for view in views(x, seeded())] == [x.shape] * branches
        assert views.sets == make(layout, most).sets[:branches]
    for branches in (0, most + 1):
        with pytest.raises(InputError, match=f"branches must be 1..{most} with these views, got {branches}"):
            make(layout, branches)


def test_every_ladder_has_a_setting():
    (choices,) = (get_args(kind) for name, kind in get_type_hints(PretrainConfig).items() if name == "views")
    assert set(choices) == set(RECIPES) == set(VIEWS) - {"adain"}
    for name in choices:
        assert views_of(PretrainConfig(views=name), NTU_25) == VIEWS[name](NTU_25, 3)
    assert views_of(PretrainConfig(strong=("adain", "mask"), branches=4), NTU_25) == adain_views(NTU_25, 4)
    old = PretrainConfig(branches=4).to_dict() | {"views": "adain"}
    del old["strong"]
    assert views_of(PretrainConfig.from_dict(old), NTU_25) == adain_views(NTU_25, 4)


def test_strong_sets_are_kinds_all_of_several_or_one_of_several():
    def strong(*words: str, views: str = "paper") -> tuple[tuple[Op, ...], ...]:
        return views_of(PretrainConfig(views=views, strong=words, branches=2 + len(words)), NTU_25).sets[2:]

    mask, adain = JointMask(), SkeleAdaIN()
    assert strong("mask", "adain") == ((mask,), (adain,))
    assert strong("adain+mask") == ((adain, mask),)
    assert strong("adain | adain + mask") == ((OneOf([adain, (adain, mask)]),),)
    assert strong() == ()
    rolled = SkeleAdaIN(rolled=True, everybody=True)
    released = JointMask(per_clip=False, everybody=True, learned=True)
    assert strong("adain", "mask", views="released") == ((rolled,), (released,))
    assert strong("mask|adain", views="small") == ((OneOf([JointMask(0.2, per_frame=False), adain]),),)
    with pytest.raises(InputError, match=r"strong must name mask, .*in 'mask\+blur' it names 'blur'"):
        strong("mask+blur")


def test_one_of_several_is_drawn_for_the_whole_batch():
    x, op = clips(), OneOf([Note(1, True), [Note(2, True), Note(3, True)], Note(4, True)])
    found = []
    for seed in range(24):
        params = drawn(op, x, seed=seed)
        option = int(params["chosen"][0])
        assert params["chosen"].tolist() == [option] * len(x)
        wanted = (x * 10 + 1, (x * 10 + 2) * 10 + 3, x * 10 + 4)[option]
        assert torch.equal(op.apply(x, params), wanted)
        found.append(option)
    assert set(found) == {0, 1, 2}
    for options in ([JointMask()], [JointMask(), Shear()]):
        with pytest.raises(InputError, match="two options or more, all of which act on the stream"):
            OneOf(options)


def test_sets_are_added_in_any_order_and_several_at_once():
    a, b, c = [Note(1)], [Note(2), Note(3)], [Note(4)]

    def chains(views: GrowingViews) -> list[list[int]]:
        return [[op.digit for op in views.chain(view)] for view in range(len(views))]  # type: ignore[attr-defined]

    whole = arrange([a, b, c], 3)
    assert (chains(whole), whole.names) == ([[1], [1, 2, 3], [1, 2, 3, 4]], ("basic", "normal", "strong"))
    disordered = arrange([a, b, c], 2, order=(2, 0, 1))
    assert (chains(disordered), disordered.names) == ([[4], [4, 1]], ("strong", "basic"))
    plain = arrange([a, b, c], 1, merge=(3,))
    assert (chains(plain), plain.names) == ([[1, 2, 3, 4]], ("basic+normal+strong",))
    without_normal = arrange([a, b, c], 1, order=(0, 2, 1), merge=(2,))
    assert (chains(without_normal), without_normal.names) == ([[1, 4]], ("basic+strong",))
    jump = arrange([a, b, c], 2, merge=(1, 2))
    assert (chains(jump), jump.names) == ([[1], [1, 2, 3, 4]], ("basic", "normal+strong"))
    apart = arrange([a, b, c], 1, merge=(2, 1), key_apart=True)
    assert (chains(apart), list(apart.queries)) == ([[1, 2, 3], [1, 2, 3, 4]], [1])
    assert list(whole.queries) == [0, 1, 2]
    assert arrange([[]] * 6, 6).names == ("basic", "normal", "strong", "strongest", "strong 3", "strong 4")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"order": (0, 1)}, r"order must hold each of 0..2 once, for 3 sets; it is \(0, 1\)"),
        ({"order": (0, 1, 1)}, "each of 0..2 once"),
        ({"merge": (2, 2)}, r"sum to at most 3, the sets; it is \(2, 2\)"),
        ({"merge": (0, 3)}, "numbers from 1"),
        ({"merge": (3,)}, "branches must be 1..1 with these views, got 3"),
        ({"key_apart": True}, "branches must be 1..2 with these views, got 3"),
    ],
)
def test_sets_that_cannot_be_arranged_are_sentences(more: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        views_of(PretrainConfig(**more), NTU_25)


def test_skeleadain_is_the_strong_set_and_the_mask_above_it_stays_hidden():
    views, paper = adain_views(NTU_25, 4), paper_views(NTU_25)
    assert views.names == ("basic", "normal", "strong", "strongest")
    assert views.sets == (*paper.sets[:2], (SkeleAdaIN(),), paper.sets[2])
    x = clips()
    draw = views.draw_view(3, tuple(x.shape), seeded())
    hidden = draw[-1]["mask"][:, None, :, :, None].expand(-1, 3, -1, -1, 2) > 0
    assert not views.apply_view(3, x, draw)[hidden].any()


def test_views_at_fault_are_sentences():
    for sets, more in (([], {}), ([[Shear()]], {"names": ["a", "b"]}), ([[Shear()]], {"strengths": [1, 1]})):
        with pytest.raises(InputError, match="one name and one strength"):
            GrowingViews(sets, **more)
    with pytest.raises(InputError, match=r"the strength of normal must be in \[0, 1\], got 1.5"):
        GrowingViews([[Shear()], [Scale()]], strengths=[1, 1.5])
    x, views = clips(), small_views(NTU_25)
    for view in (-1, 3):
        with pytest.raises(InputError, match=f"view must be in 0..2 .*got {view}"):
            views.draw_view(view, tuple(x.shape), seeded())
    draw = views.draw_view(1, tuple(x.shape), seeded())
    with pytest.raises(InputError, match="'strong' of these 6 clips needs a draw for 8 augmentations"):
        views.apply_view(2, x, draw)
    with pytest.raises(InputError, match=r"this draw is for 7 augmentations, 6 clips"):
        views.apply_view(1, x[:2], draw)


@pytest.mark.parametrize(
    "views",
    [
        paper_views(BANDAI_21, released=True),
        small_views(NTU_25, 2),
        views_of(PretrainConfig(strong=("mask|adain+mask",), merge=(2, 1), branches=1, key_apart=True), NTU_25),
    ],
    ids=["paper", "small", "apart"],
)
def test_views_can_be_pasted(views: GrowingViews):
    weaker = GrowingViews(views.sets, views.names, [0.5] * len(views), views.first_query)
    assert eval(weaker.code(), vars(room) | {"LAYOUTS": LAYOUTS}) == weaker  # noqa: S307
    assert weaker != views


def test_code_names_what_differs_from_the_defaults():
    assert code(Blur(normalise=False)) == "Blur(normalise=False)"
    assert code(Flip(NTU_25)) == "Flip(layout=LAYOUTS['ntu25'])"
    assert code(Shear()) == "Shear()"


def test_a_read_only_map_stays_as_it_is(tmp_path: Path):
    path = tmp_path / "x.npy"
    np.save(path, clips(8).numpy())
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    kept = SkeletonSet.from_arrays(np.load(path, mmap_mode="r"), np.zeros(8, dtype=np.int64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            x = kept.clips(np.arange(8))
            for op in (*OPS, *RELEASED):
                augmented(op, x)
            for make in VIEWS.values():
                make(NTU_25, 3)(x, seeded())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_every_public_augmentation_is_tested_here():
    public = {kind for kind in vars(room).values() if isinstance(kind, type) and hasattr(kind, "after_stream")}
    assert public - {Op, DropAddEdges} == {type(op) for op in OPS}  # edges: test_edges.py
    assert all(f.name != "after_stream" for kind in public - {Op} for f in fields(kind))
