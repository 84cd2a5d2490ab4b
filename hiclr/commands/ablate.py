"""`ablate`: train and evaluate the variants of a grid over several seeds, and compare them."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from hiclr.ablation import Study, markdown, read_grid, read_study, run_study, summarise
from hiclr.commands.answer import Answer, tell
from hiclr.commands.train import Preset
from hiclr.datasets import open_set
from hiclr.encoders import use_encoder
from hiclr.errors import InputError
from hiclr.runs import check_device, write_atomically

__all__ = ["Ablate"]


@dataclass(frozen=True)
class Ablate:
    """Compare settings: every variant of a grid with several seeds, trained, evaluated, and put into one table.

    The same command again goes on: finished runs are left alone, half ones go on exactly. A run that fails is
    reported and the others go on. Rows that another grid left in the folder are kept in its earlier.jsonl. Accuracies
    are those of the test part, of settings fixed beforehand.
    """

    grid: Positional[Path]
    """A TOML file: [base], [[variant]], [product]; see benchmarks/grids."""
    data: Path
    """A prepared set with a train and a test part (npz or folder), or the word synthetic."""
    out: Path
    """The folder of the runs, of results.jsonl and of table.md; made when missing."""
    seeds: int = 5
    """Number of seeds: 0, 1, 2, …; the same ones for every variant, so that differences are paired."""
    epochs: int | None = None
    """Instead of what [base] says."""
    preset: Preset | None = None
    """Instead of what [base] says: small (up to a few thousand clips, a CPU will do) or paper."""
    jobs: int | None = None
    """Processes at once; when left out one for each GPU, or for each core of the CPU."""
    split: str | None = None
    """Which train and test part of the set, cross-subject say; its first protocol when left out."""
    encoder: tuple[str, ...] = ()
    """package.module:Name of each encoder of your own that the grid names. Its code is run."""
    device: str = "auto"
    """auto (all GPUs, or the CPU), cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print one JSON object on stdout and nothing else there."""

    def __post_init__(self) -> None:
        check_device(self.device)
        for name in self.encoder:
            use_encoder(name)
        for name in ("seeds", "jobs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name} must be at least 1; it is {value}.")

    def run(self) -> Answer:
        """Run what is not there yet; exit code 1 where a run failed."""
        grid = read_grid(self.grid, self.epochs, self.preset)
        study = Study(self.out, grid, range(self.seeds), open_set(str(self.data)), self.split)
        run_study(study, str(self.data), self.jobs, self.device, tell)
        summary = summarise(*read_study(self.out))
        text = markdown(summary)
        write_atomically(self.out / "table.md", f"{text}\n".encode())
        tell(f"Kept as {self.out / 'table.md'} and {self.out / 'results.jsonl'}.")
        return Answer({"out": str(self.out), **summary}, text, 1 if summary["failed"] else 0)
