"""The one state of the method: an encoder that follows slowly, and a queue of its keys."""

import torch
from torch import Tensor, nn

from hiclr.errors import InputError

__all__ = ["Queue", "update_momentum"]


class Queue(nn.Module):
    """The newest K keys with the ids of their clips; all of it is in the state dict.

    Args:
        capacity: K.
        dim: D, the width of a key.

    Raises:
        InputError: a size below 1.

    Source: the dictionary of MoCo (arXiv 1911.05722). Unlike there, slots that were never filled are never used
    (random keys in them make the loss rise while the queue fills), and a batch of any size fits.
    """

    def __init__(self, capacity: int, dim: int) -> None:
        super().__init__()
        if capacity < 1 or dim < 1:
            raise InputError(f"A queue wants a capacity and a width of at least 1; got {capacity} and {dim}.")
        self.keys: Tensor
        self.ids: Tensor
        self.pointer: Tensor
        self.filled: Tensor
        self.register_buffer("keys", torch.zeros(dim, capacity))
        self.register_buffer("ids", torch.full((capacity,), -1, dtype=torch.int64))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    @property
    def capacity(self) -> int:
        """K."""
        return self.keys.shape[1]

    @torch.no_grad()
    def enqueue(self, keys: Tensor, ids: Tensor) -> None:
        """Store keys (N, D) with clip ids (N,) int64 over the oldest ones; of more than K, the last K are kept.

        Raises:
            InputError: keys of another width, or not one id for each.
        """
        if keys.dim() != 2 or keys.shape[1] != self.keys.shape[0] or ids.shape != keys.shape[:1]:
            raise InputError(
                f"The queue wants keys (N, {self.keys.shape[0]}) and ids (N,); "
                f"got {tuple(keys.shape)} and {tuple(ids.shape)}."
            )
        count = len(keys)
        kept = min(count, self.capacity)
        steps = torch.arange(count - kept, count, device=self.keys.device)
        slots = (self.pointer + steps) % self.capacity
        self.keys[:, slots] = keys[count - kept :].detach().to(self.keys).t()
        self.ids[slots] = ids[count - kept :].to(self.ids)
        self.pointer.add_(count).remainder_(self.capacity)
        self.filled.add_(count).clamp_(max=self.capacity)

    def stored(self) -> tuple[Tensor, Tensor]:
        """(keys (D, filled), ids (filled,)), views of the filled slots. Both empty before the first `enqueue`."""
        filled = int(self.filled)
        return self.keys[:, :filled], self.ids[:filled]


@torch.no_grad()
def update_momentum(key: nn.Module, query: nn.Module, momentum: float) -> None:
    """`key <- momentum key + (1 - momentum) query`, in place, for every parameter; buffers stay as they are.

    In place, because a compiled or captured step holds on to the parameters' storage.

    Raises:
        InputError: momentum outside [0, 1], or modules of different parameters.
    """
    if not 0 <= momentum <= 1:
        raise InputError(f"The momentum must be in [0, 1]; it is {momentum}.")
    followers: list[Tensor] = list(key.parameters())
    leaders: list[Tensor] = list(query.parameters())
    if [p.shape for p in followers] != [p.shape for p in leaders]:
        raise InputError("The key encoder and the query encoder must have the same parameters.")
    if followers:
        torch._foreach_lerp_(followers, leaders, 1 - momentum)
