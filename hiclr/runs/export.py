"""An exported model: a folder that is passed on. Weights without pickle, what they are, and a card for people.

model.safetensors   encoder and projection head
config.json         settings, layout and data, epochs, SHA-256 of the weights; it makes the folder an export
README.md           the model card
"""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor

from hiclr.errors import InputError
from hiclr.runs.card import model_card
from hiclr.runs.writing import json_bytes, read_json, write_atomically

__all__ = ["CONFIG", "FORMAT", "WEIGHTS", "is_export", "read_weights", "write_export"]

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FORMAT = "hiclr model"
_VERSION = 1
_PARTS = ("encoder.", "head.")


def is_export(folder: Path) -> bool:
    """Whether the folder's config.json is that of an exported model."""
    try:
        return read_json(folder / CONFIG).get("format") == FORMAT
    except InputError:
        return False


def write_export(folder: Path, state: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write the three files; a new folder appears whole or not at all, in an older export config.json comes last.

    Args:
        folder: new, empty, or an export, which is written over; other files in it stay.
        state: entries "encoder.…" and "head.…"; others, the key encoder and the queue, are left out.
        description: what config.json says besides format and weights; see `Run.export`.

    Raises:
        InputError: the folder holds something that is no export, or may not be written.
    """
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()
               if name.startswith(_PARTS)}  # fmt: skip
    data = tensor_bytes(tensors)
    weights = {"file": WEIGHTS, "sha256": hashlib.sha256(data).hexdigest(), "entries": len(tensors),
               "numbers": sum(value.numel() for value in tensors.values())}  # fmt: skip
    config = {"format": FORMAT, "version": _VERSION, **description, "weights": weights}
    files = {WEIGHTS: data, CARD: model_card(config).encode(), CONFIG: json_bytes(config, indent=2)}
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        _write_new(folder, files)
        return
    if not is_export(folder):
        raise InputError(f"{folder} is there and is no exported model: it is left as it is. Choose another folder.")
    if read_json(folder / CONFIG).get("weights") != weights:
        for kept in ("results*.json", "predictions*.npz", "results/*"):  # of the weights that were there before
            for measured in folder.glob(kept):
                measured.unlink()
    for name, content in files.items():
        write_atomically(folder / name, content)


def _write_new(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:40]}.", suffix=".tmp"))
    except OSError as error:
        raise _no_folder(folder, error) from error
    try:
        for name, content in files.items():
            write_atomically(beside / name, content)
        beside.chmod(0o755)  # mkdtemp lets nobody else in
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    except OSError as error:
        raise _no_folder(folder, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _no_folder(folder: Path, error: OSError) -> InputError:
    return InputError(f"{folder} cannot be made ({error.strerror or error}). Choose another folder.")


def read_weights(folder: Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The entries of model.safetensors, which must be the ones that config.json was written for.

    Raises:
        InputError: a version this one does not know, a missing or damaged file, or entries of something else.
    """
    if config.get("version") != _VERSION:
        raise InputError(f"{folder} is an export of version {config.get('version')}; this hiclr reads {_VERSION}.")
    path = folder / WEIGHTS
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}). Put it back, or export again.") from error
    told = config.get("weights")
    if not isinstance(told, Mapping) or hashlib.sha256(data).hexdigest() != told.get("sha256"):
        raise InputError(
            f"{path} is not the file that {CONFIG} beside it was written for: damaged, exchanged, or of an export that "
            "was interrupted. Export again."
        )
    try:
        tensors = read_tensors(data)
    except SafetensorError as error:
        raise InputError(f"{path} is no file of safetensors ({error}). Export again.") from error
    strange = [name for name in tensors if not name.startswith(_PARTS)]
    if strange:
        raise InputError(f"{path} holds entries of no encoder or head: {', '.join(strange[:3])}.")
    return tensors
