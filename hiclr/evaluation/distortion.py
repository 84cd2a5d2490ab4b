"""How far a view has left its clip: bones, joints and speeds. Numbers of the poses alone, without an encoder."""

import torch
from torch import Tensor

from hiclr.datasets.preprocessing import presence
from hiclr.datasets.streams import motion
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["bone_change", "displacement", "spectrum_change"]


def _both(view: Tensor, original: Tensor) -> Tensor:
    """(N, T, M) float: who is there in both.

    Raises:
        InputError: the shapes differ.
    """
    if view.shape != original.shape or view.dim() != 5:
        raise InputError(
            f"A view and its clips must have one shape (N, 3, T, V, M); they have {tuple(view.shape)} and "
            f"{tuple(original.shape)}."
        )
    return (presence(view) & presence(original)).to(original.dtype)


def bone_change(view: Tensor, original: Tensor, layout: Layout) -> Tensor:
    """Mean change of the length of a bone, as a share of the mean length of a bone of the clip.

    Args:
        view: (N, 3, T, V, M) metres.
        original: (N, 3, T, V, M) metres, the clips that the view was made from.
        layout: the V joints.

    Returns:
        (N,), 0 for a rotation; over bones, frames and persons who are there in both. 0 where nobody is.

    Raises:
        InputError: the shapes differ.
    """
    both = _both(view, original)[:, :, None]  # (N, T, 1, M)
    child, parent = (list(end) for end in zip(*layout.bones, strict=True))
    before, after = ((x[:, :, :, child] - x[:, :, :, parent]).norm(dim=1) * both for x in (original, view))
    change: Tensor = (after - before).abs().sum(dim=(1, 2, 3)) / before.sum(dim=(1, 2, 3)).clamp(min=1e-9)
    return change


def displacement(view: Tensor, original: Tensor) -> Tensor:
    """Mean way from a joint to where the view has it in the same frame.

    Args:
        view: (N, 3, T, V, M) metres.
        original: (N, 3, T, V, M) metres.

    Returns:
        (N,) metres, over joints, frames and persons who are there in both.

    Raises:
        InputError: the shapes differ.
    """
    both = _both(view, original)
    ways = (view - original).norm(dim=1) * both[:, :, None]
    mean: Tensor = ways.sum(dim=(1, 2, 3)) / (both.sum(dim=(1, 2)) * view.shape[3]).clamp(min=1)
    return mean


def spectrum_change(view: Tensor, original: Tensor) -> Tensor:
    """The share of the movement that went to other frequencies.

    The power spectrum of the joints' velocities, summed over coordinates, joints and persons and divided by its sum;
    half the summed absolute difference between the view's and the clip's. So a movement at another pace, smoothed or
    shaken counts; one of another size does not, which is what `displacement` tells.

    Args:
        view: (N, 3, T, V, M) metres.
        original: (N, 3, T, V, M) metres.

    Returns:
        (N,), 0 the same spectrum, 1 no frequency in common. Where one of both does not move at all it is 1, where
        neither does it is 0.

    Raises:
        InputError: the shapes differ.
    """
    both = _both(view, original)[:, None, :, None]
    old, new = (_spectrum(x * both) for x in (original, view))
    return (new - old).abs().sum(dim=1) / 2 + (new.sum(dim=1) - old.sum(dim=1)).abs() / 2


def _spectrum(x: Tensor) -> Tensor:
    """(N, F): the share of each frequency in the power of the velocities; zeros where nothing moves."""
    power = torch.fft.rfft(motion(x)[:, :, :-1].double(), dim=2).abs().square().sum(dim=(1, 3, 4))
    total = power.sum(dim=1, keepdim=True)
    return torch.where(total > 1e-12, power / total.clamp(min=1e-12), 0.0)
