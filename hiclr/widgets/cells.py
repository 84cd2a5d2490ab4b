"""Which widget a notebook cell shows: when the cell runs again, what it showed before is closed.

ipywidgets keep every widget alive that was ever made, here and in the browser; a cell that is run thirty times would
leave thirty workbenches, which listen and take memory.
"""

from collections.abc import Iterator
from typing import Any

import ipywidgets

__all__ = ["cell_id", "occupy", "parts"]

_shown: dict[str, Any] = {}  # what each cell shows


def cell_id() -> str | None:
    """The id of the cell that runs; None outside a notebook, or where the front end does not say it."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return None
    asked: dict[str, Any] = getattr(get_ipython(), "get_parent", dict)() or {}
    found = asked.get("metadata", {}).get("cellId")
    return found if isinstance(found, str) else None


def occupy(widget: Any) -> None:
    """Note that the running cell shows this widget, and close what it showed before, unless that is shown elsewhere."""
    cell = cell_id()
    if cell is None:
        return
    before = _shown.get(cell)
    _shown[cell] = widget
    if before is not None and before is not widget and not _elsewhere(before):
        before.free()


def _elsewhere(widget: Any) -> bool:
    return any(shown is widget for shown in _shown.values())


def parts(widget: Any) -> Iterator[Any]:
    """A widget and all that it consists of, layouts and styles included; without what another cell shows by itself."""
    seen, waiting = {id(widget)}, [widget]
    while waiting:
        part = waiting.pop()
        yield part
        for value in part.trait_values().values():
            for found in value if isinstance(value, list | tuple) else (value,):
                if isinstance(found, ipywidgets.Widget) and id(found) not in seen and not _elsewhere(found):
                    seen.add(id(found))
                    waiting.append(found)
