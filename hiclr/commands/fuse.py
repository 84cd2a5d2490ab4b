"""`fuse`: what several runs, one for each stream, are worth together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from hiclr.commands.answer import Answer
from hiclr.datasets import open_set
from hiclr.encoders import use_encoder
from hiclr.evaluation import evaluate_fusion, fusion_table
from hiclr.runs import check_device, load_run

__all__ = ["Fuse"]


@dataclass(frozen=True)
class Fuse:
    """Evaluate the runs of several streams together: their scores, joined by clip name, with equal weights and with
    weights chosen on clips held out of the train part."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(name="run", metavar="RUN...")]
    """The run folders: joint, bone and motion, say."""
    data: Path
    """A set with a train and a test part: npz, folder, or the word synthetic."""
    split: str | None = None
    """Which train and test part of the set, cross-subject say; its first protocol when left out."""
    weights: tuple[float, ...] | None = None
    """Show these weights too, one for each run (0.6 0.6 0.4 in AimCLR)."""
    encoder: tuple[str, ...] = ()
    """package.module:Name of each encoder of your own that the runs have. Its code is run."""
    device: str = "auto"
    """auto (the GPU where there is one), cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print one JSON object on stdout and nothing else there."""

    def __post_init__(self) -> None:
        check_device(self.device)
        for name in self.encoder:
            use_encoder(name)

    def run(self) -> Answer:
        """Measure; nothing is written but the features in each run's cache."""
        runs = [load_run(path) for path in self.runs]
        result = evaluate_fusion(runs, open_set(str(self.data)), self.split, self.weights, self.device)
        return Answer(result, fusion_table(result))
