"""What a command has to say: as data for `--json`, as text otherwise."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from hiclr.runs import launched_ranks

__all__ = ["Answer", "tell"]


@dataclass(frozen=True)
class Answer:
    """The end of a command.

    Args:
        data: plain values, printed as one JSON object with `--json`.
        text: printed without it.
        code: exit code; 1 where the input is at fault although the command itself went through.
    """

    data: Mapping[str, Any]
    text: str
    code: int = 0


def tell(text: str) -> None:
    """A line of progress: always on stderr, so that stdout holds the answer alone; of several processes one speaks."""
    if launched_ranks()[0] == 0:
        tqdm.write(text, file=sys.stderr)  # above a bar that is running
