"""Compare with arrays that the authors' released code produced: `python -m hiclr.parity DIR`.

The folder holds five files, with whatever numbers: st_gcn.npz, dsta.npz, hiclr_loss.npz, augment.npz, streams.npz.
Inputs and weights are read from them, run through this package, and the results compared with the results in them.
A wrong number shows when it is a result, or when it is an input that moves a result by more than the tolerance. Some
inputs move none and cannot show: a weight behind a unit that is never active, an edge importance where the graph has
no edge.
"""

import sys
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from hiclr.augmentations import AxisMask, Blur, Rotate, Shear, TemporalCrop, rotation_matrix, transfer_statistics
from hiclr.datasets.streams import bones, motion
from hiclr.encoders import load_released, spatial_partition
from hiclr.errors import InputError
from hiclr.losses import growing_loss
from hiclr.skeleton import NTU_25

__all__ = ["Reference", "Row", "compare", "main", "relative_error"]

ENCODER = 3e-6
"""For outputs of a network. 1e-4 is what is asked for; float32 sums in another order differ by 4e-7."""
TIGHT = 1e-5
"""For losses, gradients, augmentations and streams."""
EXACT = 0.0


@dataclass(frozen=True)
class Row:
    """One quantity compared.

    Args:
        file: the file it comes from.
        name: its key there, or what was compared.
        error: largest relative error, see `relative_error`.
        tolerance: the largest error that passes.
    """

    file: str
    name: str
    error: float
    tolerance: float = TIGHT

    @property
    def ok(self) -> bool:
        """Whether it passes; NaN does not."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        verdict = "ok" if self.ok else "DIFFERS"
        within = f"within {self.tolerance:.0e}" if self.tolerance else "exactly"
        return f"{self.file:<15} {self.name:<32} {self.error:8.1e}  {within:<13} {verdict}"


def relative_error(got: Tensor, wanted: Tensor) -> float:
    """max |got - wanted| / max |wanted|; infinite for another shape, NaN where a number is not finite."""
    if got.shape != wanted.shape:
        return float("inf")
    got, wanted = got.detach().double(), wanted.detach().double()
    off, scale = (got - wanted).abs().max().item(), wanted.abs().max().item()
    if scale == 0:
        return 0.0 if off == 0 else float("inf")
    return off / scale


class Reference:
    """One of the files, opened; every fault in it is a sentence.

    Args:
        folder: where the five files lie.
        name: the file.

    Raises:
        InputError: the file is missing or not readable as npz.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        if not (folder / name).is_file():
            raise InputError(f"{folder} has no file {name}. Give the folder with the five reference files.")
        try:
            with np.load(folder / name, allow_pickle=False) as arrays:
                self.arrays = {key: arrays[key] for key in arrays.files}
        except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            raise InputError(f"{folder / name} is not readable as npz ({error}). Copy the file again.") from error

    def __call__(self, key: str, axes: int | None = None) -> Tensor:
        """The array under `key`; half precision comes as float32.

        Raises:
            InputError: no such key, no numbers in it, or another number of axes than wanted.
        """
        if key not in self.arrays:
            raise InputError(f"{self.name} has no array {key!r}. Write the file again, with every array.")
        array = self.arrays[key]
        if array.dtype.kind not in "fiu":
            raise InputError(f"{self.name}: {key!r} must hold numbers, its type is {array.dtype}.")
        if axes is not None and array.ndim != axes:
            raise InputError(f"{self.name}: {key!r} must have {axes} axes, it has shape {array.shape}.")
        value = torch.from_numpy(np.array(array))
        return value if array.dtype.kind in "iu" else value.float()

    def number(self, key: str, low: float, high: float) -> float:
        """The single number under `key`, between `low` and `high`.

        Raises:
            InputError: as for an array, or out of range.
        """
        value = self(key, axes=0)
        number = float(self.arrays[key])
        if not low <= value.item() <= high:
            raise InputError(f"{self.name}: {key!r} must lie in [{low:g}, {high:g}], it is {number:g}.")
        return number

    def row(self, key: str, got: Tensor, tolerance: float = TIGHT) -> Row:
        """Compare `got` with the array under `key`."""
        return Row(self.name, key, relative_error(got, self(key)), tolerance)

    def parameters(self) -> dict[str, Tensor]:
        """Every array under "param/", by the name after it."""
        return {key.removeprefix("param/"): self(key) for key in self.arrays if key.startswith("param/")}


def _stgcn(file: Reference) -> Iterator[Row]:
    graph = spatial_partition(NTU_25)
    yield file.row("adjacency", graph, EXACT)
    yield file.row("param/A", graph, EXACT)
    state = file.parameters()
    yield _counters(file, state)
    yield from _network(file, *load_released(state | {"A": graph}))


def _dsta(file: Reference) -> Iterator[Row]:
    state = file.parameters()
    yield _counters(file, state)
    yield from _network(file, *load_released(state))


def _counters(file: Reference, state: dict[str, Tensor]) -> Row:
    """Every batch norm of a network sees every batch, so their counters agree; no output depends on them."""
    counters = [int(v) for name, v in state.items() if name.endswith("num_batches_tracked") and v.dim() == 0]
    agree = bool(counters) and min(counters) == max(counters) >= 0
    return Row(file.name, "batch counters agree", 0.0 if agree else float("inf"), EXACT)


def _network(file: Reference, encoder: nn.Module, head: nn.Module) -> Iterator[Row]:
    with torch.no_grad():
        features = encoder(file("x", axes=5))
        yield file.row("features", features, ENCODER)
        yield file.row("output", head(features), ENCODER)
        yield Row(
            file.name, "output, from its features", relative_error(head(file("features", 2)), file("output")), ENCODER
        )


def _losses(file: Reference) -> Iterator[Row]:
    temperature = file.number("temperature", 1e-6, 1e6)
    names = {"total": "loss", "info_nce": "info_nce", "hier_1": "consistency_1", "hier_2": "consistency_2"}
    for kind, mining in (("plain", None), ("mined", 1)):
        branches = {key: file(key, axes=2).requires_grad_() for key in ("q", "q1", "q2")}
        # the reference's gradients are those before the embeddings are normalised
        unit = [normalize(z, dim=1) for z in branches.values()]
        terms = growing_loss(unit, file("k", axes=2), file("queue", axes=2), temperature, mining=mining)
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        for theirs, ours in names.items():
            yield file.row(f"{kind}/{theirs}", terms[ours])
        for key, z in branches.items():
            yield file.row(f"{kind}/grad_{key}", z.grad if z.grad is not None else torch.zeros_like(z))


def _augment(file: Reference) -> Iterator[Row]:
    x = file("x", axes=4)[None]
    on = torch.ones(1, dtype=torch.bool)
    yield file.row("flip_permutation", torch.tensor(NTU_25.mirror), EXACT)
    shear = Shear.from_released(file("shear/s", axes=1)[None])
    yield file.row("shear/out", Shear().apply(x, shear)[0])
    start = torch.tensor([file.number("crop/start", 0, 2 * (x.shape[2] // 6))])
    yield file.row("crop/out", TemporalCrop().apply(x, {"start": start})[0])
    turn = rotation_matrix(file("rotate/degrees_xyz", axes=1)[None])
    yield file.row("rotate/out", Rotate().apply(x, {"matrix": turn})[0])
    sigma = torch.tensor([file.number("blur/sigma", 1e-3, 1e3)])
    yield file.row("blur/out", Blur(normalise=False).apply(x, {"on": on, "sigma": sigma})[0])
    axis = torch.tensor([int(file.number("axis_mask/axis", 0, 2))])
    yield file.row("axis_mask/out", AxisMask().apply(x, {"on": on, "axis": axis})[0])
    content, style = file("adain/content", axes=5), file("adain/style", axes=5)
    yield file.row("adain/out_TV", transfer_statistics(content, style, over="TV"))
    yield file.row("adain/out_V", transfer_statistics(content, style, over="V"))


def _streams(file: Reference) -> Iterator[Row]:
    x = file("x", axes=5)
    yield file.row("bone", bones(x, torch.tensor(NTU_25.parents)))
    yield file.row("motion", motion(x))


_FILES: dict[str, Callable[[Reference], Iterator[Row]]] = {
    "st_gcn.npz": _stgcn,
    "dsta.npz": _dsta,
    "hiclr_loss.npz": _losses,
    "augment.npz": _augment,
    "streams.npz": _streams,
}


def _rows(folder: Path, files: Collection[str]) -> Iterator[Row]:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder. Give the folder with {', '.join(_FILES)}.")
    for name in files:
        try:
            yield from _FILES[name](Reference(folder, name))
        except InputError:
            raise
        except (IndexError, RuntimeError, ValueError) as error:
            raise InputError(f"The arrays of {name} do not fit together: {error}.") from error


def compare(folder: Path | str, files: Collection[str] = tuple(_FILES)) -> list[Row]:
    """A row for every quantity of the five files.

    Args:
        folder: holds st_gcn.npz, dsta.npz, hiclr_loss.npz, augment.npz and streams.npz.
        files: those of them to look at.

    Raises:
        InputError: a file or an array is missing, or has a shape that cannot be.
    """
    return list(_rows(Path(folder), files))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each quantity; 0 when all pass, 1 when one differs or the folder is at fault, 2 wrong usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) != 1 or given[0].startswith("-"):
        print("usage: python -m hiclr.parity DIR", file=sys.stderr)
        return 2
    failed = 0
    try:
        for row in _rows(Path(given[0]), _FILES):
            print(row, flush=True)
            failed += not row.ok
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    if failed:
        print(f"{failed} quantities differ from the reference.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
