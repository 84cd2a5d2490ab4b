"""`export` and `import`: models that are passed on, and those that authors released."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from hiclr.commands.answer import Answer
from hiclr.models import import_released
from hiclr.runs import load_run

__all__ = ["Export", "Import"]


@dataclass(frozen=True)
class Export:
    """Write a run's newest weights into a folder to pass on: model.safetensors, config.json, a model card."""

    run_folder: Annotated[Positional[Path], arg(name="run", metavar="RUN")]
    """The run folder that pretrain made."""
    out: Path
    """The folder: new, empty, or an earlier export, which is written over."""
    licence: str | None = None
    """The licence of the data, for the card."""
    json: bool = False
    """Print one JSON object on stdout and nothing else there."""

    def run(self) -> Answer:
        """Write; nothing else is ever written over."""
        run = load_run(self.run_folder)
        run.export(self.out, self.licence)
        model = load_run(self.out)
        latest = model.latest()
        entries, epoch = (0, 0) if latest is None else (len(latest[0]["model"]), latest[1])
        data = {"out": str(self.out), "entries": entries, "epoch": epoch, "stream": run.config.get("stream")}
        text = f"{entries} entries of epoch {epoch} in {self.out}; README.md is its card. `hiclr evaluate` takes it."
        return Answer(data, text)


@dataclass(frozen=True)
class Import:
    """Turn weights that the authors of HiCLR, AimCLR, SkeletonCLR or CrosSCLR released into a folder that evaluate
    and embed take. No code in the file is run."""

    file: Positional[Path]
    """The state dict as it was downloaded (.pt)."""
    out: Path
    """The folder: new, empty, or an earlier one of this kind, which is written over."""
    stream: Literal["joint", "bone", "motion"] | None = None
    """Which stream the weights are of: a file of CrosSCLR holds several, others do not say it. Joint when left out."""
    json: bool = False
    """Print one JSON object on stdout and nothing else there."""

    def run(self) -> Answer:
        """Read strictly, write, and report what became what."""
        data = import_released(self.file, self.out, self.stream)
        lines = [data["report"], *data["notes"], f"They expect: {data['expects']}; evaluate and embed see to it.",
                 f"Written into {self.out}."]  # fmt: skip
        return Answer({key: value for key, value in data.items() if key != "report"}, "\n".join(lines))
