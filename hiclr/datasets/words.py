"""Words that messages of several modules need."""

__all__ = ["counted"]


def counted(count: int, thing: str, things: str | None = None) -> str:
    """ "1 clip", "2,000 clips"; `things` where the plural is not made by an s."""
    return f"{count:,} {thing if count == 1 else things or f'{thing}s'}"
