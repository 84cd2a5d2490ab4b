"""The one state of the method: an encoder that follows slowly, and a queue of its keys."""

from collections.abc import Iterable
from copy import deepcopy
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from hiclr.errors import InputError

__all__ = ["HiCLRModel", "Queue", "update_momentum"]


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


class HiCLRModel(nn.Module):
    """Query encoder and head that learn, key encoder and head that follow, and the queue.

    Args:
        encoder: (N, 3, T, V, M) -> (N, D).
        head: (N, D) -> (N, dim).
        queue_size: K.
        dim: width of the embedding.

    The key encoder starts as a true copy of the query encoder: the release copies, then draws both anew. It keeps
    batch-norm statistics of its own, from its own forward passes.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, queue_size: int, dim: int = 128) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.key_encoder, self.key_head = deepcopy(encoder), deepcopy(head)
        self.queue = Queue(queue_size, dim)
        for parameter in chain(self.key_encoder.parameters(), self.key_head.parameters()):
            parameter.requires_grad_(False)

    def features(self, x: Tensor) -> Tensor:
        """(N, 3, T, V, M) -> (N, D): what evaluation reads."""
        return self.encoder(x)  # type: ignore[no-any-return]

    def project(self, x: Tensor) -> Tensor:
        """(N, 3, T, V, M) -> (N, dim) float32 of unit norm: what the loss compares."""
        return normalize(self.head(self.encoder(x)).float(), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """The same as `project`."""
        return self.project(x)

    @torch.no_grad()
    def project_key(self, x: Tensor) -> Tensor:
        """As `project`, through the key encoder and without gradient."""
        return normalize(self.key_head(self.key_encoder(x)).float(), dim=1)

    def update_key(self, momentum: float) -> None:
        """Let the key encoder and its head follow by one step; see `update_momentum`."""
        update_momentum(self.key_encoder, self.encoder, momentum)
        update_momentum(self.key_head, self.head, momentum)

    def learning_parameters(self) -> Iterable[nn.Parameter]:
        """The parameters an optimiser gets: encoder and head, not their followers."""
        return chain(self.encoder.parameters(), self.head.parameters())
