"""`watch`: look on while a run is trained elsewhere."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from hiclr.commands.answer import Answer, tell
from hiclr.commands.train import epoch_line
from hiclr.datasets.wording import counted, duration
from hiclr.errors import InputError
from hiclr.runs import Row, Run, load_run, watch

__all__ = ["Watch"]


@dataclass(frozen=True)
class Watch:
    """Follow a run that another process trains: one line for each epoch, the curves as a picture.

    Reading only: the training is not disturbed. Ends when the run is finished, or when nobody trains it any more.
    """

    folder: Positional[Path]
    """The run folder."""
    figure: Path | None = None
    """Draw the curves into this file (png, svg, pdf) and again after every epoch; needs the notebooks extra."""
    once: bool = False
    """Say how far it is and end."""
    json: bool = False
    """Print one JSON object on stdout and nothing else there."""

    def run(self) -> Answer:
        """Look on to the end."""
        run, rows, told = load_run(self.folder), [], 0
        epochs = int(run.config["epochs"])
        if self.figure is not None and importlib.util.find_spec("matplotlib") is None:
            raise InputError("--figure needs matplotlib: pip install 'hiclr[notebooks]', or leave it out.")
        for rows in watch(self.folder):
            for row in rows[told:]:
                tell(epoch_line(row, epochs))
            told = len(rows)
            if self.figure is not None and rows:
                _draw(run, rows, self.figure)
            if self.once:
                break
        under_way = run.progress()
        data = {"run": str(self.folder), "epochs": epochs, "done": len(rows), "progress": under_way,
                "last": rows[-1] if rows else None}  # fmt: skip
        return Answer(data, _words(len(rows), epochs, under_way, run))


def _words(done: int, epochs: int, under_way: dict[str, float] | None, run: Run) -> str:
    text = f"{run.path}: {done} of {counted(epochs, 'epoch')}"
    if done >= epochs:
        return f"{text}, finished."
    if run.writer() is None:
        return f"{text}; nobody trains it now. The same `hiclr pretrain` command goes on with it."
    if under_way is None:
        return f"{text}; {run.writer()} trains it."
    return (
        f"{text}; step {under_way['step']:,.0f} of {under_way['steps']:,.0f}, {under_way['clips_per_s']:,.0f} clips/s, "
        f"{duration(under_way['seconds_left'])} left."
    )


def _draw(run: Run, rows: list[Row], path: Path) -> None:
    from hiclr.figures import curves

    curves.training(rows, run.path.name, synthetic=bool(run.data.get("synthetic"))).savefig(path)
