"""What the tests of readers share: find and read everything, damage files, find the reported cases."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hiclr.datasets.readers.plan import Format, Options, Plan, RawClip
from hiclr.datasets.readers.tree import open_tree
from hiclr.errors import InputError

SHARED = Path(os.environ.get("HICLR_SHARED", Path(__file__).parents[2] / "shared"))
CASES = SHARED / "cases"


def case(name: str) -> tuple[Path, dict[str, Any]]:
    """(folder, what is expected) of a reported case."""
    if not (CASES / name).is_dir():
        pytest.skip(f"no cases beside the project: {CASES} (HICLR_SHARED names another place)")
    found: dict[str, Any] = json.loads((CASES / name / "expected.json").read_text(encoding="utf-8"))
    return CASES / name, found


def write_all(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Files by name, in folders where the name says so; the folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read_all(kind: Format, path: Path, options: Options | None = None) -> tuple[Plan, dict[str, RawClip | str]]:
    """(plan, name -> clip or the reason why it is none)."""
    tree = open_tree(path)
    assert kind.detects(tree)
    return _read_found(kind.find(tree, options or Options()))


def clips_and_faults(plan: Plan) -> tuple[dict[str, RawClip], dict[str, str]]:
    """(clips by name, reasons by name)."""
    clips, faults = {}, {}
    for found in plan.found:
        try:
            clips[found.name] = plan.read(found)
        except InputError as error:
            faults[found.name] = str(error)
    return clips, faults


def _read_found(plan: Plan) -> tuple[Plan, dict[str, RawClip | str]]:
    clips: dict[str, RawClip | str] = {}
    for part in clips_and_faults(plan):
        clips |= part
    assert len(clips) == len(plan.found)  # no two of one name
    masks = plan.protocols(plan.found)
    assert all(mask.shape == (len(plan.found),) and mask.dtype == bool for mask in masks.values())
    return plan, clips


def positions(clips: dict[str, RawClip | str], name: str) -> np.ndarray:
    """(3, T, V, M) of a clip that could be read."""
    clip = clips[name]
    assert isinstance(clip, RawClip), clip
    return clip.x


def whole(clips: dict[str, RawClip | str]) -> list[str]:
    """Names of the clips that could be read."""
    return [name for name, clip in clips.items() if isinstance(clip, RawClip)]


def all_said(plan: Plan, clips: dict[str, RawClip | str]) -> str:
    """Everything that a report would hold."""
    parts = [*plan.notes, *(f"{skipped.file}: {skipped.reason}" for skipped in plan.skipped)]
    for name, clip in clips.items():
        parts += [f"{name}: {clip}"] if isinstance(clip, str) else [f"{name}: {note}" for note in clip.notes]
    return "\n".join(parts)


def assert_said(expected: dict[str, Any], text: str) -> None:
    """One alternative of each list stands in the text."""
    for words in expected["say"]:
        assert any(word.lower() in text.lower() for word in words), f"none of {words} in: {text}"
