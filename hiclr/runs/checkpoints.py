"""Two generations of checkpoint, each with its SHA-256 beside it: one is whole at any moment."""

import hashlib
import io
import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hiclr.errors import InputError
from hiclr.runs.writing import write_atomically

__all__ = ["SLOTS", "Checkpoints"]

SLOTS = ("checkpoint-a.pt", "checkpoint-b.pt")

_say = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of a run folder.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next_slot: str | None = None

    def save(self, state: Mapping[str, Any], epoch: int, steps: int = 0, later: int = 0) -> None:
        """Write a checkpoint over the older of the two generations.

        Args:
            state: nested dict of tensors, numbers and strings: what `torch.load(weights_only=True)` reads back.
            epoch: epochs done.
            steps: steps done of the next one. The generation with the higher numbers is the newer one.
            later: bytes that checkpoints after this one take more; of the first one only, which asks for the room.

        Raises:
            InputError: a tensor is not finite, or the folder is full; the other generation is untouched.
        """
        bad = next(_not_finite(state), None)
        if bad is not None:
            raise InputError(f"{bad} holds NaN or infinity after epoch {epoch}: no checkpoint of it is written.")
        buffer = io.BytesIO()
        torch.save({"epoch": epoch, "steps": steps, "state": dict(state)}, buffer)
        data = buffer.getvalue()
        if epoch == steps == 0:
            self._must_fit(len(data) + later)
        if self._next_slot is None:
            newest = max(self._read_slots()[0], default=((-1, 0), SLOTS[1], {}), key=lambda entry: entry[0])
            self._next_slot = _other(newest[1])
        target = self.path / self._next_slot
        digest = hashlib.sha256(data).hexdigest()
        # The digest goes first: a crash between the two leaves a pair that does not match, beside one that does.
        write_atomically(target.with_suffix(".pt.sha256"), f"{digest}  {target.name}\n".encode())
        write_atomically(target, data)
        if hashlib.sha256(target.read_bytes()).hexdigest() != digest:
            raise InputError(f"{target} does not hold what was written into it; the storage is at fault.")
        self._next_slot = _other(target.name)

    def latest(self) -> tuple[dict[str, Any], int] | None:
        """(state, epoch) of the newest checkpoint that is whole, tensors on the CPU; None when none was written.

        A damaged newest generation is named in the log and the one before it is taken.

        Raises:
            InputError: checkpoints exist and none is whole.
        """
        good, damaged = self._read_slots()
        for fault in damaged:
            _say.warning("%s", fault)
        if not good:
            if damaged:
                raise InputError(
                    f"No checkpoint of {self.path} is usable. {' '.join(damaged)} "
                    "Put a copy back, or start again in a new folder; nothing was overwritten."
                )
            return None
        (epoch, _), slot, state = max(good, key=lambda entry: entry[0])
        if damaged:
            _say.warning("Taking %s (epoch %d) instead.", slot, epoch)
        self._next_slot = _other(slot)
        return state, epoch

    @property
    def begun(self) -> bool:
        """Whether there is a whole checkpoint that a step led to."""
        return any(number > (0, 0) for number, _, _ in self._read_slots()[0])

    def _must_fit(self, size: int) -> None:
        free = shutil.disk_usage(self.path).free
        if free < 3 * size:
            raise InputError(
                f"{self.path} is too small: a checkpoint takes {size:,} bytes, three times that is needed, "
                f"{free:,} are free. Choose another folder."
            )

    def _read_slots(self) -> tuple[list[tuple[tuple[int, int], str, dict[str, Any]]], list[str]]:
        """The whole generations as ((epoch, steps), file, state), and a sentence for each damaged one."""
        good, damaged = [], []
        for slot in SLOTS:
            if (self.path / slot).exists():
                try:
                    number, state = _read_checkpoint(self.path / slot)
                    good.append((number, slot, state))
                except Exception as error:  # a torn file raises nearly anything
                    damaged.append(f"{slot} is damaged ({error}).")
        return good, damaged


def _other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]


def _read_checkpoint(path: Path) -> tuple[tuple[int, int], dict[str, Any]]:
    data = path.read_bytes()
    beside = path.with_suffix(".pt.sha256")
    wanted = beside.read_text(encoding="utf-8").split()[0] if beside.exists() else ""
    if hashlib.sha256(data).hexdigest() != wanted:
        raise InputError("its SHA-256 is not the one beside it" if wanted else f"{beside.name} is missing")
    content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return (int(content["epoch"]), int(content.get("steps", 0))), content["state"]


def _not_finite(value: Any, name: str = "state") -> Iterator[str]:
    """Names of the tensors in a nested state that hold NaN or infinity."""
    if isinstance(value, Tensor):
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            yield name
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _not_finite(entry, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            yield from _not_finite(entry, f"{name}.{index}")
