"""`pretrain`: train an encoder, or go on with it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from hiclr.commands.answer import Answer, tell
from hiclr.datasets import SkeletonSet, open_set
from hiclr.datasets.wording import counted, duration
from hiclr.encoders import use_encoder
from hiclr.pretraining import PRESETS, PretrainConfig, prepare_run, pretrain
from hiclr.pretraining.model import views_of
from hiclr.runs import Row, Run, check_device, loss_terms
from hiclr.skeleton import NTU_25

__all__ = ["Preset", "Pretrain"]

Preset = Literal["small", "paper"]
_NOTHING = 0.98  # of ln(1+K)


@dataclass(frozen=True)
class Pretrain:
    """Train an encoder without labels, on the train part of a set; the same command again goes on.

    A finished run is left alone, and a run with other settings or other data is refused. Every setting of the
    preset is a flag.
    """

    data: Path
    """A prepared set (npz or folder), any file or folder that `prepare` reads, or the word synthetic."""
    out: Path
    """The run folder; made when missing."""
    preset: Preset = "small"
    """Where the settings start from: small (up to a few thousand clips, a CPU will do) or paper."""
    split: str | None = None
    """Train on the train part of this split of the set, cross-subject say; its first when left out."""
    json: bool = False
    """Print one JSON object on stdout and nothing else there."""
    config: Annotated[PretrainConfig, tyro.conf.arg(name="")] = field(default_factory=lambda: PRESETS["small"])

    def __post_init__(self) -> None:
        # wrong usage whatever the data are: not found out after minutes of reading
        views_of(self.config, NTU_25)
        if ":" in self.config.encoder:
            use_encoder(self.config.encoder)
        check_device(self.config.device)

    def run(self) -> Answer:
        """Train; one line for each epoch on stderr."""
        train, part = train_part(open_set(str(self.data)), self.split)
        run = prepare_run(self.out, self.config, train)
        latest = run.latest()
        done, epochs = 0 if latest is None else latest[1], self.config.epochs
        if done >= epochs:
            return _answer(run, f"{self.out} is finished ({counted(epochs, 'epoch')}): left as it is.", part)
        tell(f"Training on {part}." if not done else f"Going on after epoch {done} of {epochs}, with {part}.")
        for row in pretrain(train, self.config, run):
            tell(epoch_line(row, epochs))
        return _answer(run, f"Done: {counted(epochs, 'epoch')}. The run is in {self.out}.{_learned(run)}", part)


def _learned(run: Run) -> str:
    """What to say where the loss is still that of an encoder that tells nothing apart."""
    last = run.metrics()[-1]
    if last.get("info_nce") is None or last["ln_k"] is None or last["info_nce"] < _NOTHING * last["ln_k"]:
        return ""
    return (
        f" It learned next to nothing: the InfoNCE is {last['info_nce']:.2f}, and {last['ln_k']:.2f} is that of blind "
        "guessing. A small set needs the small preset or more epochs; `hiclr doctor` says whether the clips are whole."
    )


def train_part(clips: SkeletonSet, split: str | None) -> tuple[SkeletonSet, str]:
    """The clips to train on, never those of a test part, and words for them."""
    if not clips.protocols and split is None:
        return clips, f"all {counted(len(clips), 'clip')} of {clips.source} (the set has no test part)"
    train, _ = clips.split(split)
    name = clips.protocol if split is None else split
    return train, f"the {counted(len(train), 'train clip')} of {clips.source}, split {name}"


def epoch_line(row: Row, epochs: int) -> str:
    """One epoch in a line: the loss, what was learned, how long the rest takes.

    Of a method with an InfoNCE that is set against ln(1+K); of any other all terms are given.
    """
    knn = "" if row.get("knn_1") is None else f"  kNN on watched clips {row['knn_1']:.1f} %"
    left = row["seconds"] * (epochs - row["epoch"])
    rate = f", {row['clips_per_s']:,.0f} clips/s" if "clips_per_s" in row else ""
    return (
        f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  {loss_words(row)}{knn}  "
        f"{row['seconds']:.1f} s{rate}, {duration(left)} left"
    )


def loss_words(row: Row) -> str:
    """The loss of an epoch and what it is made of, in words."""
    words = f"loss {row['loss']:.3f}"
    if row.get("info_nce") is not None and row.get("ln_k") is not None:
        return f"{words}  InfoNCE {row['info_nce']:.3f} (nothing learned: {row['ln_k']:.2f})"
    return "  ".join([words, *(f"{name} {row[name]:.3f}" for name in loss_terms([row]) if row[name] is not None)])


def _answer(run: Run, text: str, part: str) -> Answer:
    rows = run.metrics()
    data: dict[str, Any] = {
        "run": str(run.path),
        "epochs": run.config["epochs"],
        "trained_on": part,
        "last": rows[-1] if rows else None,
    }
    return Answer(data, text)
