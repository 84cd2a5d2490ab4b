"""`evaluate` and `embed`: what a run's features are worth, and the features themselves."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from tyro.conf import Positional, arg

from hiclr.commands.answer import Answer, tell
from hiclr.datasets import open_set
from hiclr.encoders import use_encoder
from hiclr.errors import InputError
from hiclr.evaluation import DEFAULT, NOT_KEPT, TRANSFER, evaluate, named_protocols, results_path, table
from hiclr.features import features
from hiclr.runs import check_device, load_run, write_atomically

__all__ = ["Embed", "Evaluate", "protocol_names"]


def protocol_names(text: str) -> list[str]:
    """Names of protocols that stand in a row, apart.

    Raises:
        InputError: one that is none, or no name.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    named_protocols(names)
    return names


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a run's frozen encoder, beside a random encoder, raw distances and chance."""

    run_folder: Annotated[Positional[Path], arg(name="run", metavar="RUN")]
    """The run folder that pretrain made."""
    data: Path
    """A set with a train and a test part: npz, folder, or the word synthetic."""
    protocol: str = ",".join(DEFAULT)
    """What to measure, separated by commas: linear, knn, linear-hiclr, linear-actclr, linear-mamp, linear-sgd,
    knn-projection, retrieval, few-shot, one-shot, calibration; or all of these, where what does not fit the set is a
    note. By name alone, for each takes long and says how long: robustness, finetune, semi (1, 5 and 10 % of the
    labels, drawn as CMD does; semi-hiclr, semi-aimclr and semi-mamp draw as these do; from 10,000 training clips on
    each trains as its paper does, too), transfer (--data is another set, of any layout that has the encoder's
    joints)."""
    split: str | None = None
    """Which train and test part of the set, cross-subject say; its first protocol when left out."""
    encoder: str | None = None
    """package.module:Name, where the run has an encoder of your own: the setting that pretrain got. Its code is run."""
    device: str = "auto"
    """auto (the GPU where there is one), cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print one JSON object on stdout and nothing else there."""

    def __post_init__(self) -> None:
        check_device(self.device)  # a name that is none is wrong usage
        protocol_names(self.protocol)
        if self.encoder is not None:
            use_encoder(self.encoder)

    def run(self) -> Answer:
        """Measure; the answer is also kept in the run folder."""
        protocols = protocol_names(self.protocol)
        run, clips = load_run(self.run_folder), open_set(str(self.data))
        result = evaluate(run, clips, protocols, self.split, self.device, tell)
        if not any(note.startswith(NOT_KEPT) for note in result["notes"]):
            tell(f"Kept as {results_path(run, clips, self.split, TRANSFER in protocols)}.")
        return Answer(result, table(result))


@dataclass(frozen=True)
class Embed:
    """Write the features of every clip of a set, of clean clips and of each view, into an npz."""

    run_folder: Annotated[Positional[Path], arg(name="run", metavar="RUN")]
    """The run folder that pretrain made."""
    data: Path
    """A set of the run's joints: npz, folder, or the word synthetic."""
    out: Path
    """The npz to write: an (N, D) array for each view, y, names, classes, and test where the set has a test part."""
    encoder: str | None = None
    """package.module:Name, where the run has an encoder of your own: the setting that pretrain got. Its code is run."""
    device: str = "auto"
    """auto (the GPU where there is one), cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print one JSON object on stdout and nothing else there."""

    def __post_init__(self) -> None:
        check_device(self.device)  # a name that is none is wrong usage
        if self.encoder is not None:
            use_encoder(self.encoder)

    def run(self) -> Answer:
        """Encode and write."""
        if self.out.is_dir():
            raise InputError(
                f"--out is a file to write; {self.out} is a folder. Name one in it: {self.out / 'features.npz'}."
            )
        clips = open_set(str(self.data))
        found = features(load_run(self.run_folder), clips, device=self.device)
        arrays: dict[str, Any] = dict(found.arrays)
        arrays |= {"y": found.y, "names": np.array(found.names), "classes": np.array(found.classes)}
        if clips.protocol is not None:
            arrays["test"] = clips.protocols[clips.protocol]
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.out, buffer.getvalue())
        width = found["clean"].shape[1]
        data = {"out": str(self.out), "clips": len(found), "features": width, "views": list(found.arrays)}
        text = f"{len(found):,} clips x {width} features of {', '.join(found.arrays)} in {self.out}."
        return Answer(data, text)
