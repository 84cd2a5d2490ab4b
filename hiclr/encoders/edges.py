"""What happens to a view inside the networks: edges dropped and added, and a learned value in hidden places."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hiclr.errors import InputError

__all__ = ["Inside", "change_edges", "encode_view", "join_inside"]

Inside = Mapping[str, Tensor]
"""What an augmentation does inside the networks, each value with N as its first axis: "hidden" (N, T, V, M), and
"edges.scores", "edges.drop", "edges.add", "edges.amount" as `DropAddEdges` draws them. See `GrowingViews.make_view`."""


def encode_view(
    encoder: nn.Module, x: Tensor, inside: Inside | None = None, value: Tensor | float = 0.0, **more: Any
) -> Tensor:
    """The features of a view, with what happens inside the networks.

    Args:
        encoder: (N, 3, T, V, M) -> (N, D), and with edges as `inside`; see `edge_maps` of `SkeletonEncoder`.
        x: (N, 3, T, V, M), the view.
        inside: what an augmentation does inside.
        value: what a hidden joint becomes, a scalar.
        more: what else the encoder takes.

    Returns:
        (N, D).
    """
    inside = inside or {}
    if "hidden" in inside:
        x = x + (value * inside["hidden"][:, None]).to(x.dtype)
    edges = {name: drawn for name, drawn in inside.items() if name.startswith("edges.")}
    features: Tensor = encoder(x, inside=edges, **more) if edges else encoder(x, **more)
    return features


def join_inside(several: Sequence[Inside]) -> dict[str, Tensor]:
    """What happens inside several batches of as many clips, one after the other; zeros where nothing does."""
    like = {name: value for inside in several for name, value in inside.items()}
    return {
        name: torch.cat([inside.get(name, torch.zeros_like(value)) for inside in several])
        for name, value in like.items()
    }


def change_edges(weights: Tensor, inside: Inside, layer: int, signed: bool = False) -> Tensor:
    """Drop edges of one layer, scale up what is left as dropout does, and add edges, which keeps the sum.

    Args:
        weights: (S, V, V), or one for each row (R, S, V, V).
        inside: the draws of R rows.
        layer: which layer's draws.
        signed: False: weights of a graph, at least 0; an added edge weighs 1. True: attention; an added edge weighs
            what edges weigh on average, without gradient, and only where one was dropped there is room for it.

    Returns:
        (R, S, V, V).

    Raises:
        InputError: draws for fewer layers or maps, or other joints.

    Source: HiCLR (arXiv 2211.13466), in the release's arithmetic; there with one draw for the whole batch.
    """
    *_, maps, joints, _ = weights.shape
    scores = inside["edges.scores"]
    if scores.shape[1] <= layer or scores.shape[2] < maps or scores.shape[3] != joints:
        raise InputError(
            f"The draw of dropped and added edges is for {scores.shape[1]} layers of {scores.shape[2]} maps and "
            f"{scores.shape[3]} joints; the encoder wants layer {layer + 1}, {maps} maps and {joints} joints."
        )
    scores = scores[:, layer, :maps]
    drop, add, amount = (inside[f"edges.{name}"] for name in ("drop", "add", "amount"))
    drop, add, amount = (_over_maps(value) for value in (drop[:, layer], add[:, layer], amount))
    dropped = scores < drop
    kept = torch.where(dropped, 0.0, weights / (1 - drop))
    # where in its own part of [0, 1) a score lies is uniform again, and independent of the dropping
    again = torch.where(dropped, scores / drop.clamp(min=1e-12), (scores - drop) / (1 - drop))
    new = ((kept == 0) & (again < add)).to(kept.dtype)
    over = (1, 2, 3)
    total, added = kept.sum(dim=over, keepdim=True), new.sum(dim=over, keepdim=True)
    if signed:
        count = kept[0].numel()
        changed = (kept + new * (total / count).detach()) * (count / (count + added))
    else:
        changed = (kept + new) * (total / (total + added).clamp(min=1e-12))
    return torch.lerp(weights.expand_as(changed), changed.to(weights.dtype), amount.to(weights.dtype))


def _over_maps(value: Tensor) -> Tensor:
    return value.view(-1, 1, 1, 1)
