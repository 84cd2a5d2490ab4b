"""How products are rounded and sums are ordered: switches of torch for the whole process, which are put back."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["arithmetic", "say_what_is_not_exact"]

_memory: Any = torch.utils.deterministic  # a module whose one attribute is a property
_say = logging.getLogger(__name__)


@contextmanager
def arithmetic(tf32: bool = False, deterministic: bool = False) -> Iterator[None]:
    """While entered, products of 32-bit numbers on a GPU are rounded, and its sums ordered, as said here.

    Args:
        tf32: products of matrices and of convolutions alike with 10 bits after the point, on GPUs that have it.
            Without, both are whole: torch's own default rounds those of convolutions alone.
        deterministic: kernels that add in the same order each time; an operation that has none is named in a warning
            of torch. Off, torch is left as it is: somebody else may have asked for it.

    Source: torch's notes on CUDA numerics and on reproducibility.
    """
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    try:
        with _fixed_order() if deterministic else _as_it_is():
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _fixed_order() -> Iterator[None]:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used; it needs it fixed
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        _memory.fill_uninitialized_memory,
        torch.backends.cudnn.benchmark,
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    _memory.fill_uninitialized_memory = False  # it would write every new tensor twice
    torch.backends.cudnn.benchmark = False  # which picks kernels by their time
    try:
        yield
    finally:
        enabled, warn_only, fill, benchmark = before
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        _memory.fill_uninitialized_memory = fill
        torch.backends.cudnn.benchmark = benchmark


def say_what_is_not_exact(device: torch.device, tf32: bool, deterministic: bool) -> None:
    """One line where a run's numbers depend on more than its settings, or a setting does nothing."""
    if device.type == "cuda" and not deterministic:
        _say.warning(
            "A GPU adds in no fixed order: a run that was stopped goes on, but to the same bits only with "
            "deterministic=True (--deterministic), which is slower."
        )
    if device.type != "cuda" and tf32:
        _say.warning("TF32 is of NVIDIA's GPUs: on this device products are those of 32 bit.")
