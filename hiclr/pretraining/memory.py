"""When a batch does not fit: seen for what it is, and the largest one that fits."""

import gc
from collections.abc import Callable

import torch

__all__ = ["largest_that_fits", "out_of_memory", "what_fits"]


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or a CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = str(error).lower()
    return "out of memory" in words or "can't allocate memory" in words or "not enough memory" in words


def what_fits(work: Callable[[int], None], batch: int, ranks: int) -> str:
    """A sentence on the batch size to take instead; empty where not even 2 clips fit.

    On several ranks nothing can be tried: the others wait within the step for this one. But a rank holds what one
    process alone would at its share of the batch, so that the search can be had there.

    Args:
        work: see `largest_that_fits`.
        batch: clips of a step over all ranks, known not to fit.
        ranks: how many there are.
    """
    if ranks > 1:
        share = batch // ranks
        return (
            f" The largest batch that fits is looked for on one process alone: the same command without torchrun, with "
            f"--batch-size {share} and another --out, names it; {ranks} times as many clips fit on {ranks} processes."
        )
    fits = largest_that_fits(work, batch)
    return "" if fits is None else f" The largest batch that fits is {fits}: --batch-size {fits}, in a new run."


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
