"""What differs between two runs, as "field: old -> new"."""

from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["CHANGE_NO_WEIGHT", "data_differences", "differences"]

CHANGE_NO_WEIGHT = ("device", "knn_every", "save_minutes", "snapshots")
"""Settings that may differ when a run goes on."""

_LONG = 60  # characters of a value that a message shows


def differences(old: Mapping[str, Any], new: Mapping[str, Any], free: Collection[str]) -> list[str]:
    """Lines "field: old -> new" for every field that differs."""
    unset = "(not set)"
    keys = [*old, *(key for key in new if key not in old)]
    return [
        f"{key}: {_change(old.get(key, unset), new.get(key, unset))}"
        for key in keys
        if key not in free and old.get(key, unset) != new.get(key, unset)
    ]


def _change(old: Any, new: Any) -> str:
    before, after = _short(old), _short(new)
    if before != after:
        return f"{before} -> {after}"
    return f"{before}, not the same{'' if isinstance(old, str) else ' ones'}"


def _short(value: Any) -> str:
    """A value in a line: of a long list or mapping the number of entries."""
    text = str(value)
    if len(text) <= _LONG:
        return text
    return f"{len(value)} entries" if isinstance(value, list | tuple | Mapping) else f"{text[:_LONG]}…"


def data_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What of the data changed, in words where a digest alone would say nothing."""
    if old.get("fingerprint") == new.get("fingerprint"):
        return []
    derived = ("fingerprint", "digest", "scale")  # they say that something changed, not what
    plain = [key for key in new if not str(key).endswith(derived)]
    found = differences({k: old.get(k) for k in plain}, {k: new[k] for k in plain}, free=())
    if old.get("names_digest") != new.get("names_digest"):
        same = old.get("sorted_names_digest") == new.get("sorted_names_digest")
        found.append("clips: in another order" if same else "clips: other names")
    elif old.get("labels_digest") != new.get("labels_digest"):
        found.append("labels: at least one changed")
    elif old.get("subjects_digest") != new.get("subjects_digest"):
        found.append("subjects: at least one changed")
    return found or ["positions or layout: at least one value changed"]
