"""One clip through every view of a ladder with one draw: what the workbench shows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from hiclr.augmentations import GrowingViews, JointMask, Params
from hiclr.datasets.streams import Stream, to_stream
from hiclr.skeleton import Layout

__all__ = ["View", "bend"]


class View(NamedTuple):
    """One row of the workbench.

    Args:
        pose: (3, T, V, M) joint positions, before what acts on the stream itself.
        values: (3, T, V, M) what the encoder would get: the stream, with joints masked.
        unmasked: (3, T, V, M) the same with no joint masked: where a masked joint would be.
        hidden: (T, V, M) the share of each joint that is masked.
        draw: the parameters of each augmentation, in order.
        inside: what happens to the clip inside the networks, for a batch of one.
    """

    pose: Tensor
    values: Tensor
    unmasked: Tensor
    hidden: Tensor
    draw: list[Params]
    inside: Params


def bend(
    clips: Tensor, views: GrowingViews, strengths: Sequence[Sequence[float]], seed: int, stream: Stream, layout: Layout
) -> list[View]:
    """The first clip as it is, then as each view shows it.

    All views share their draws, so that each shows what its set adds to the one before; and each augmentation has a
    generator of its own, so that switching one off leaves the others' draws alone.

    Args:
        clips: (N, 3, T, V, M); the clips after the first are partners for what mixes clips.
        views: the ladder.
        strengths: of each augmentation, set by set.
        seed: of the draws.
        stream: which one the encoder would get.
        layout: the V joints.
    """
    drawn = [
        [
            op.sample(tuple(clips.shape), strength, _generator(seed, number, place))
            for place, (op, strength) in enumerate(zip(ops, each, strict=True))
        ]
        for number, (ops, each) in enumerate(zip(views.sets, strengths, strict=True))
    ]
    values = to_stream(clips[:1], stream, layout)[0]
    original = View(clips[0], values, values, torch.zeros(values.shape[1:]), [], {})
    draws = [[params for rung in drawn[: view + 1] for params in rung] for view in range(len(views))]
    return [original, *(_view(clips, views, view, draw, stream, layout) for view, draw in enumerate(draws))]


def _generator(seed: int, number: int, place: int) -> Generator:
    state = np.random.SeedSequence([seed, number, place]).generate_state(1, np.uint64)
    return Generator().manual_seed(int(state[0]) >> 1)


def _view(clips: Tensor, views: GrowingViews, view: int, draw: list[Params], stream: Stream, layout: Layout) -> View:
    poses: list[Tensor] = []
    streams: list[Tensor] = []

    def made(x: Tensor) -> Tensor:
        poses.append(x)
        streams.append(to_stream(x, stream, layout))
        return streams[-1]

    every, inside = views.make_view(view, clips, draw, made)
    values = every[0]
    steps = list(zip(views.chain(view), draw, strict=True))
    masks = [params["mask"][0] for op, params in steps if isinstance(op, JointMask)]
    shown = values
    if masks:
        lifted = [{**p, "mask": 0 * p["mask"]} if isinstance(op, JointMask) else p for op, p in steps]
        shown = views.apply_view(view, clips, lifted, made)[0]
    masked = _masked(poses[0][0], streams[0][0], values, shown, masks)
    return View(poses[0][0], values, *masked, draw, _first(inside))


def _first(inside: Params) -> Params:
    return {name: value[:1] for name, value in inside.items()}


def _masked(pose: Tensor, stream: Tensor, values: Tensor, shown: Tensor, masks: list[Tensor]) -> tuple[Tensor, Tensor]:
    """(where each joint of a view would be with no mask (3, T, V, M), how much of it is masked (T, V, M)).

    What is zero in the stream by right, as the root's bone is, is not masked.
    """
    left = torch.ones(values.shape[1:])
    for mask in masks:
        left = left * (1 - mask[:, :, None])
    there = (pose != 0).any(0)
    gone = (values == 0).all(0) & (stream != 0).any(0)  # also by an augmentation that is not known here
    hidden = torch.where(gone, 1.0, 1 - left) * there.any(1, keepdim=True)
    return torch.where(gone & (left == 1), pose, shown), hidden
