"""`report`: what runs came to, as one page or as tables for a paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from hiclr.commands.answer import Answer, tell
from hiclr.commands.measure import protocol_names
from hiclr.datasets import open_set
from hiclr.encoders import use_encoder
from hiclr.errors import InputError
from hiclr.evaluation import evaluate
from hiclr.reporting import Evaluated, latex, load_evaluated, markdown, page, tables
from hiclr.runs import Run, check_device, load_run, write_atomically

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """Write what runs came to: one HTML page with tables and figures inside, or tables for a paper."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(name="run", metavar="RUN...")]
    """The run folders."""
    data: Path | None = None
    """Evaluate the runs on this set first; left out, the results that are in the run folders are taken."""
    out: Path | None = None
    """The page to write, as one HTML file that needs nothing else."""
    markdown: Path | None = None
    """Write the tables as Markdown."""
    latex: Path | None = None
    """Write the tables as LaTeX (booktabs)."""
    protocol: str = "linear,knn,retrieval,calibration"
    """What to measure with --data; see evaluate."""
    split: str | None = None
    """Only this train and test part; with --data the set's first when left out."""
    encoder: tuple[str, ...] = ()
    """package.module:Name of each encoder of your own that the runs have, for --data. Its code is run."""
    device: str = "auto"
    """auto (the GPU where there is one), cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print one JSON object on stdout and nothing else there."""

    def __post_init__(self) -> None:
        check_device(self.device)
        for name in self.encoder:
            use_encoder(name)
        protocol_names(self.protocol)
        if not self.runs:
            raise InputError("report needs at least one run folder.")
        if self.out is None and self.markdown is None and self.latex is None:
            raise InputError("report needs --out FILE.html, --markdown FILE.md or --latex FILE.tex.")

    def run(self) -> Answer:
        """Measure where data are given, then write."""
        targets = [path for path in (self.out, self.markdown, self.latex) if path is not None]
        for path in targets:
            if path.is_dir():
                raise InputError(f"{path} is a folder; name a file in it to write.")
        evaluated = self._evaluated()
        made = tables(evaluated)
        if self.out is not None:
            _write(self.out, _page(evaluated))
        if self.markdown is not None:
            _write(self.markdown, markdown(made, evaluated))
        if self.latex is not None:
            _write(self.latex, latex(made, evaluated))
        data: dict[str, Any] = {
            "runs": [one.result["run"] for one in evaluated],
            "tables": [table.title for table in made],
            "written": [str(path) for path in targets],
        }
        return Answer(data, "\n".join([*map(repr, made), "", *(f"Written: {path}" for path in targets)]))

    def _evaluated(self) -> list[Evaluated]:
        runs = [load_run(path) for path in self.runs]
        split = self.split
        if self.data is not None:
            clips = open_set(str(self.data))
            for run in runs:
                evaluate(run, clips, protocol_names(self.protocol), self.split, self.device, tell)
            split = clips.protocol if self.split is None else self.split
        return _all_evaluated(runs, split)


def _all_evaluated(runs: Sequence[Run], split: str | None) -> list[Evaluated]:
    """The results that are there; of several runs without, all are named at once."""
    found: list[Evaluated] = []
    missing: list[str] = []
    for run in runs:
        try:
            found += load_evaluated(run, split)
        except InputError as error:
            missing.append(str(error))
    if missing:
        raise InputError("\n".join(missing))
    return found


def _page(evaluated: list[Evaluated]) -> str:
    try:
        return page(evaluated, ", ".join(dict.fromkeys(str(one.result["run"]) for one in evaluated)))
    except ImportError as error:
        raise InputError(f"{error} --markdown and --latex need no figures.") from error


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode("utf-8", "backslashreplace"))  # of a file name that is no UTF-8
