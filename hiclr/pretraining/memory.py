"""When a batch does not fit: seen for what it is, and the largest one that fits."""

import gc
from collections.abc import Callable

import torch

__all__ = ["largest_that_fits", "out_of_memory"]


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or a CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = str(error).lower()
    return "out of memory" in words or "can't allocate memory" in words or "not enough memory" in words


def largest_that_fits(work: Callable[[int], None], too_many: int) -> int | None:
    """The largest n below `too_many` for which work(n) does not run out of memory, to an eighth; None when 2 do.

    Args:
        work: raises when n clips do not fit.
        too_many: known not to fit.
    """
    fits = too_many // 2
    while fits >= 2 and not _fits(work, fits):
        too_many, fits = fits, fits // 2
    if fits < 2:
        return None
    while too_many - fits > max(1, fits // 8):
        middle = (fits + too_many) // 2
        if _fits(work, middle):
            fits = middle
        else:
            too_many = middle
    return fits


def _fits(work: Callable[[int], None], count: int) -> bool:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        work(count)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return False
    return True
