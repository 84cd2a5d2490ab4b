"""Maps of several branches that can be laid side by side: one start, one frame, computed once."""

import hashlib
import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.errors import InputError
from hiclr.evaluation.clusters import Embedding, clamp_perplexity, layout_start, solve_tsne
from hiclr.evaluation.knn import check_finite
from hiclr.pretraining.process import progress
from hiclr.runs import write_atomically

__all__ = ["sample_note", "tsne_maps"]

_CODE = 1  # raised when the arithmetic below changes: what was kept is then made again

_say = logging.getLogger(__name__)


def tsne_maps(
    features: Mapping[str, NDArray[Any]], seed: int = 0, perplexity: float = 30.0, keep: Path | None = None
) -> dict[str, Embedding]:
    """A t-SNE map for each branch, in one frame: the same clip starts at the same place in all of them.

    Every map starts from the two first principal components of the first branch (of the first that has some, where an
    encoder gives all clips the same features), and is turned (or mirrored, never stretched) onto the first map at the
    end. Where a clip has moved between two maps is then more than chance, but still only a picture: t-SNE itself may
    tear a group apart.

    Args:
        features: name -> (N, D) of the same N clips in the same order, N at least 3; D may differ.
        seed: of the solver.
        perplexity: about the number of neighbours that count; taken smaller for few clips, see the result.
        keep: a folder in which each map is kept under its content: features, start, settings and versions.

    Raises:
        InputError: no branch, branches of different N, fewer than 3 clips, or features that are not finite.

    Source: van der Maaten and Hinton, JMLR 2008; a shared start: Kobak and Berens, 2019.
    """
    if not features:
        raise InputError("There is nothing to map: give name -> (N, D) features.")
    first, count = next(iter(features)), len(next(iter(features.values())))
    for name, array in features.items():
        if len(array) != count:
            raise InputError(
                f"All branches must hold the same clips; {first!r} has {count:,}, {name!r} {len(array):,}."
            )
        check_finite(array, f"features of {name!r}")
    perplexity = clamp_perplexity(perplexity, count)
    starts = ((name, layout_start(array)) for name, array in features.items())
    origin, start = next(((name, places) for name, places in starts if places.any()), (first, np.zeros((count, 2))))
    found: dict[str, Embedding] = {}
    with progress(len(features), 0, unit="map", delay=2) as bar:
        for name, array in features.items():
            method, points = _kept(array, start, seed, perplexity, keep)
            if found:
                points = _turned(points, found[first].points)
            found[name] = Embedding(points, perplexity, seed, method, f"PCA of {origin}")
            bar.update()
    return found


def _turned(points: NDArray[np.float32], onto: NDArray[np.float32]) -> NDArray[np.float32]:
    """Points turned or mirrored about their middle so that they lie nearest to others."""
    from scipy.linalg import orthogonal_procrustes

    centred = points - points.mean(axis=0)
    turn, _ = orthogonal_procrustes(centred.astype(np.float64), (onto - onto.mean(axis=0)).astype(np.float64))
    return np.asarray(centred @ turn + onto.mean(axis=0), dtype=np.float32)


def _kept(
    array: NDArray[Any], start: NDArray[np.float64], seed: int, perplexity: float, keep: Path | None
) -> tuple[str, NDArray[np.float32]]:
    """(method, points) from the folder where they are there; damaged ones are made again."""
    key = _key(array, start, seed, perplexity)
    path = None if keep is None else keep / f"map-{key[:32]}.npz"
    if path is not None and path.exists():
        try:
            with np.load(path, allow_pickle=False) as kept:
                if str(kept["key"]) == key and kept["points"].shape == (len(array), 2):
                    return str(kept["method"]), kept["points"]
        except Exception as error:  # a damaged zip raises nearly anything
            _say.warning("%s is damaged (%s): the map is computed again.", path.name, error)
    method, solved = solve_tsne(array, seed, perplexity, start)
    points = np.asarray(solved, dtype=np.float32)
    if path is not None:
        buffer = io.BytesIO()
        np.savez(buffer, points=points, method=np.array(method), key=np.array(key))
        try:
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, buffer.getvalue())
        except (OSError, InputError) as error:  # a full disk, or somebody else's run
            _say.warning("This map is not kept for another time: %s", error)
    return method, points


def _key(array: NDArray[Any], start: NDArray[np.float64], seed: int, perplexity: float) -> str:
    import sklearn

    settings = {"seed": seed, "perplexity": perplexity, "code": _CODE, "sklearn": sklearn.__version__, "fast": _fast()}
    settings |= {"shape": array.shape, "dtype": str(array.dtype)}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for part in (array, start):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _fast() -> str:
    """The version of openTSNE; "" where it is not installed."""
    try:
        import openTSNE
    except ImportError:
        return ""
    return str(openTSNE.__version__)


def sample_note(shown: int, total: int) -> str:
    """What a title says of a sample: "20,000 of 37,646 clips, the same share of each class"; "" of all clips."""
    return f"{shown:,} of {total:,} clips, the same share of each class" if shown < total else ""
