"""Numbers and values in sentences for people."""

from typing import Any

__all__ = ["counted", "duration", "shown"]


def counted(count: int, thing: str, things: str = "") -> str:
    """ "1 clip", "2,000 clips"; `things` is the plural of a word that takes more than an s."""
    return f"{count:,} {thing if count == 1 else things or f'{thing}s'}"


def shown(value: Any) -> str:
    """What somebody put where a label should be: as it is where it is short, else what kind of thing it is."""
    plain = value is None or isinstance(value, bool | int | float | str)
    return repr(value)[:40] if plain else f"a {type(value).__name__}"


def duration(seconds: float) -> str:
    """Seconds in the unit that is read most easily."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
