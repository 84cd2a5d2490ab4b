"""One augmentation out of several, drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from hiclr.augmentations.base import ActsInside, MixesClips, Op, Params, Shape, check_call
from hiclr.errors import InputError

__all__ = ["OneOf", "mixes_clips", "own_params"]


@dataclass(frozen=True)
class OneOf(ActsInside):
    """One of several options, drawn at each call of `sample` and the same for all its clips.

    Args:
        options: each an augmentation or several that are applied one after the other; all act on the stream.

    Raises:
        InputError: fewer than two options, or one that acts on the positions.

    Source: the random choice among strong augmentations in the first version of the HiCLR release.
    """

    options: tuple[tuple[Op, ...], ...]
    after_stream: ClassVar[bool] = True

    def __init__(self, options: Sequence[Op | Sequence[Op]]) -> None:
        several = tuple(tuple(option) if isinstance(option, Sequence) else (option,) for option in options)
        object.__setattr__(self, "options", several)
        early = [type(op).__name__ for ops in several for op in ops if not op.after_stream]
        if len(several) < 2 or early:
            came = f"{early[0]} acts on the positions" if early else f"{len(several)} came"
            raise InputError(f"OneOf wants two options or more, all of which act on the stream; {came}.")

    def parts(self) -> Iterator[tuple[int, str, Op]]:
        """(option, the start of its parameters' names, augmentation) for every augmentation."""
        for i, ops in enumerate(self.options):
            for j, op in enumerate(ops):
                yield i, f"{i}.{j}.", op

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"chosen": (N,) int64, the same number N times} and the parameters of every option."""
        check_call(shape, strength)
        chosen = torch.randint(len(self.options), (1,), generator=generator, device=generator.device)
        params = {"chosen": chosen.expand(shape[0])}
        for _, start, op in self.parts():
            params |= {start + name: value for name, value in op.sample(shape, strength, generator).items()}
        return params

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) of the stream -> the same shape; x is not modified."""
        made = [x] * len(self.options)
        for option, start, op in self.parts():
            made[option] = op.apply(made[option], own_params(params, start))
        chosen = params["chosen"].to(x.device).view(-1, 1, 1, 1, 1)
        out = made[0]
        for option in range(1, len(made)):  # no look at what was chosen: a GPU would have to be waited for
            out = torch.where(chosen == option, made[option], out)
        return out

    @property
    def within(self) -> frozenset[str]:
        """Where any of the options acts inside the networks."""
        return frozenset().union(*(op.within for *_, op in self.parts() if isinstance(op, ActsInside)))

    def inside(self, x: Tensor, params: Params) -> Params:
        """What the chosen option does inside; zeros where only another one does something."""
        found: Params = {}
        made, chosen = [x] * len(self.options), params["chosen"].to(x.device)
        for option, start, op in self.parts():
            own = own_params(params, start)
            told = op.inside(made[option], own) if isinstance(op, ActsInside) else {}
            for name, value in told.items():
                on = (chosen == option).view(-1, *[1] * (value.dim() - 1))
                found[name] = torch.where(on, value, found.get(name, torch.zeros_like(value)))
            made[option] = op.apply(made[option], own)
        return found


def own_params(params: Params, start: str) -> Params:
    """The parameters whose names begin with `start`, without it."""
    return {name.removeprefix(start): value for name, value in params.items() if name.startswith(start)}


def mixes_clips(op: Op) -> bool:
    """Whether an augmentation takes something from another clip of the batch."""
    return isinstance(op, MixesClips) or (isinstance(op, OneOf) and any(mixes_clips(part) for *_, part in op.parts()))
