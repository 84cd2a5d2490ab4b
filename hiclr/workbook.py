"""What the notebooks share: which clips, which settings, which folder; and tables. Any of them runs alone."""

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

import hiclr
from hiclr.datasets import SkeletonSet, open_set, stratified_sample
from hiclr.datasets.base import Ids
from hiclr.datasets.doctor import diagnose_set
from hiclr.datasets.wording import counted, duration
from hiclr.errors import InputError
from hiclr.evaluation import SEED_APART, FinetuneConfig, SpaceRow
from hiclr.evaluation.finetune import choose_recipe
from hiclr.evaluation.supervised import plan
from hiclr.pretraining import PRESETS, PretrainConfig, prepare_run, pretrain
from hiclr.runs import Run, load_run
from hiclr.runs.differences import data_differences, differences

__all__ = ["CLIPS_SEEN", "Table", "Workbook", "doctor_page", "spaces_page"]

CLIPS_SEEN = 120_000
"""Clips that a quick run trains on at most, repetitions counted: one to three minutes on 2 cores, for any set."""
SNAPSHOTS = 10  # of a run, about: notebook 04 goes through them
FULL = 4
"""How many times as long a full run of a small set is."""
LOOKED_AT, LOOKS = 1000, 3
"""Clips and epochs of the short run that notebook 02 looks through when there is no other yet."""
LABELLED, LABELS_SEEN = 2000, 20_000
"""Clips with labels that the supervised encoder of a quick run learns from at most, and how many with repetitions."""
MEASURED = 2000
"""Clips that the numbers beside the maps are taken on in a quick run, at most; a full one takes 5,000."""
LARGE = 10_000
"""From this many training clips on, a full run takes the paper's settings."""

_HOME = Path(hiclr.__file__).parent.parent


@dataclass(frozen=True)
class Workbook:
    """The settings of the five notebooks, and what follows from them.

    Args:
        data: what `open_set` takes: "synthetic", an npz or a folder; relative to where the notebook runs.
        quick: a few minutes on a CPU; else the paper's settings for a large set, a longer run for a small one.
        epochs: instead of what `quick` says.
        seed: of the run.
        out: the run folder; `data/runs/<name>` of the project when left out.
    """

    data: str = "synthetic"
    quick: bool = True
    epochs: int | None = None
    seed: int = 0
    out: Path | str | None = None

    @classmethod
    def from_environment(cls, **settings: Any) -> "Workbook":
        """These settings, with those of HICLR_DATA, HICLR_OUT, HICLR_QUICK, HICLR_EPOCHS and HICLR_SEED before them.

        Raises:
            InputError: a variable that is no number, or QUICK that is neither 0 nor 1.
        """
        return replace(cls(**settings), **_asked_for(os.environ))

    @property
    def full_length(self) -> bool:
        """Whether this is the run that the notebooks' own claims are about: synthetic clips, epochs not cut short."""
        return self.data == "synthetic" and self.epochs is None

    @property
    def preset(self) -> str:
        """The preset that the settings start from."""
        return "paper" if not self.quick and len(self.train()) >= LARGE else "small"

    @property
    def name(self) -> str:
        """The run in a word: set, preset, epochs, seed."""
        return f"{Path(self.data).stem}-{self.preset}-e{self.config().epochs}-seed{self.seed}"

    @property
    def folder(self) -> Path:
        """The run folder; also executed notebooks and figures are put there."""
        return Path(self.out) if self.out is not None else _HOME / "data" / "runs" / self.name

    def clips(self) -> SkeletonSet:
        """The whole set, opened once."""
        return _opened(self.data)

    def train(self) -> SkeletonSet:
        """The train part of the set's first protocol; all clips where it has none."""
        clips = self.clips()
        return clips.split()[0] if clips.protocols else clips

    def test(self) -> SkeletonSet:
        """The test part of the set's first protocol; all clips where it has none."""
        clips = self.clips()
        return clips.split()[1] if clips.protocols else clips

    def config(self) -> PretrainConfig:
        """The settings of the run."""
        epochs = PRESETS[self.preset].epochs
        if self.preset == "small":
            epochs = min(max(CLIPS_SEEN // len(self.train()), 2), epochs) * (1 if self.quick else FULL)
        epochs = epochs if self.epochs is None else self.epochs
        return replace(PRESETS[self.preset], epochs=epochs, seed=self.seed, snapshots=max(epochs // SNAPSHOTS, 1))

    def run(self) -> Run:
        """The run of these settings: as it is when it is finished, else trained to its end first.

        Raises:
            InputError: the folder holds a run with other settings or other clips.
        """
        return _trained(self.folder, self.config(), self.train())

    def other_seeds(self) -> list[Run]:
        """Finished runs in the folders beside this one's that differ from it in their seed alone, by rising seed."""
        own = self.run()
        found: dict[Any, Run] = {}
        for file in sorted(self.folder.resolve().parent.glob("*/config.json")):
            try:
                run = load_run(file.parent)
                same = not differences(own.config, run.config, SEED_APART) and not data_differences(own.data, run.data)
            except InputError:  # somebody else's folder
                continue
            if same and run.finished and run.config["seed"] != own.config["seed"]:
                found.setdefault(run.config["seed"], run)
        return [found[seed] for seed in sorted(found)]

    def measured(self, clips: SkeletonSet) -> SkeletonSet:
        """Those of the clips that the numbers beside the maps are taken on; the same share of each class."""
        return clips.subset(stratified_sample(clips.y, MEASURED if self.quick else 5000))

    def labelled(self) -> tuple[SkeletonSet, FinetuneConfig]:
        """Training clips and settings for the supervised encoder: cut short in a quick run."""
        train = self.train()
        if self.quick:
            train = train.subset(stratified_sample(train.y, LABELLED))
        config, _ = choose_recipe("small" if self.quick else None, len(train), "hiclr")
        most = config.epochs if self.epochs is None else min(config.epochs, self.epochs)
        batch, _, steps = plan(config, len(train))
        return train, replace(config, epochs=min(max(LABELS_SEEN // (batch * steps), 1), most) if self.quick else most)

    def few(self) -> SkeletonSet:
        """What short runs are made and tried on: up to 1,000 clips of the train part, and of the test part."""
        clips = self.clips()
        parts = clips.split_indices() if clips.protocols else (np.arange(len(clips)),)
        return clips.subset(np.sort(np.concatenate([_spread_out(at, LOOKED_AT) for at in parts])))

    def streams_take(self, short: bool = False) -> str:
        """How long the runs take that `streams` is going to train, from epochs that were trained here before.

        Args:
            short: see `streams`.
        """
        others = (one for one in self._streams(short) if one[0] != self.folder)
        missing = [config for place, config in others if not _finished(place)]
        if not missing:
            return "streams: the three runs are there; their probes take some seconds"
        each = self._short_epoch() if short else _middle(self.run().metrics(), "seconds")
        epochs = missing[0].epochs
        kind = "short run" if short else "run"
        return (
            f"streams: about {duration(max(len(missing) * epochs * each, 1))} here "
            f"({counted(len(missing), kind)} of {counted(epochs, 'epoch')})"
        )

    def streams(self, short: bool = False) -> list[Run]:
        """The runs of joints, bones and motion; those that are not there are trained, in `streams/` of the folder.

        Args:
            short: runs like `first_look`'s instead, on the train part of `few` and in `first-look/` of the folder:
                what fusion does, not what it can reach.
        """
        train = self._few_to_train() if short else self.train()
        return [_trained(place, config, train) for place, config in self._streams(short)]

    def _streams(self, short: bool) -> list[tuple[Path, PretrainConfig]]:
        """(folder, settings) of each stream's run."""
        folder, own = (self.folder / "first-look", self._short()) if short else (self.folder, self.config())
        return [
            (folder if own.stream == stream else folder / "streams" / stream, replace(own, stream=stream))
            for stream in ("joint", "bone", "motion")
        ]

    def _short(self) -> PretrainConfig:
        epochs = LOOKS if self.epochs is None else min(self.epochs, LOOKS)
        return replace(PRESETS["small"], epochs=epochs, seed=self.seed)

    def _few_to_train(self) -> SkeletonSet:
        few = self.few()
        return few.split()[0] if few.protocols else few

    def _short_epoch(self) -> float:
        """Seconds of an epoch of a short run: of one that was trained here, else from the pace of this run."""
        folder, config = self.folder / "first-look", self._short()
        if _finished(folder):
            return _middle(load_run(folder).metrics(), "seconds")
        pace = _middle(self.run().metrics(), "clips_per_s")
        return max(len(self._few_to_train()), config.least_steps * config.batch_size) / pace if pace else 0.0

    def studies(self) -> list[Path]:
        """Folders of `hiclr ablate`, finished or not: those in data/runs of the project, and those it comes with."""
        places = (_HOME / "data" / "runs", _HOME / "benchmarks" / "results")
        return [file.parent for place in places for file in sorted(place.glob("*/study.json"))]

    def first_look(self) -> Run:
        """A run to look at views through: this one where it has been trained already, else a short one of its own.

        The short one takes up to 1,000 of the training clips through three epochs of the small preset, in
        `first-look/` of the folder: long enough for an encoder that tells actions apart, and a matter of seconds.
        """
        if (self.folder / "config.json").exists():
            run = load_run(self.folder)
            if run.metrics():
                return run
        return _trained(self.folder / "first-look", self._short(), self._few_to_train())

    def save(self, figure: Any, name: str) -> Any:
        """Keep a figure as `figures/<name>.png` of the folder, and hand it back to be shown."""
        place = self.folder / "figures"
        place.mkdir(parents=True, exist_ok=True)
        figure.savefig(place / f"{name}.png", dpi=120)
        return figure


def _trained(folder: Path, config: PretrainConfig, train: SkeletonSet) -> Run:
    """The run in a folder, trained to its end where it is not."""
    run = prepare_run(folder, config, train)
    if not run.finished:
        for _ in pretrain(train, config, run):
            pass
    return run


def _finished(folder: Path) -> bool:
    return (folder / "config.json").exists() and load_run(folder).finished


def _middle(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    """Median over the epochs that have it; 0 where none has."""
    values = [row[key] for row in rows if row.get(key)]
    return float(np.median(values)) if values else 0.0


def _spread_out(indices: Ids, most: int) -> Ids:
    """At most so many of them, from first to last."""
    return indices[np.unique(np.linspace(0, len(indices) - 1, min(len(indices), most)).astype(np.int64))]


@cache
def _opened(data: str) -> SkeletonSet:
    return open_set(data)


def _asked_for(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the environment names; an empty variable is none."""
    given = {
        key: environment.get(f"HICLR_{key.upper()}", "").strip() for key in ("data", "out", "quick", "epochs", "seed")
    }
    found: dict[str, Any] = {key: value for key, value in given.items() if value}
    for key in {"epochs", "seed"} & set(found):
        if not found[key].isdecimal():
            raise InputError(f"{key.upper()} must be a whole number; it is {found[key]!r}.")
        found[key] = int(found[key])
    if "quick" in found:
        if found["quick"] not in ("0", "1"):
            raise InputError(f"QUICK must be 0 (full settings) or 1; it is {found['quick']!r}.")
        found["quick"] = found["quick"] == "1"
    return found


_WIDEST = 60  # letters of a cell in a terminal


@dataclass(frozen=True)
class Table:
    """A table that a notebook shows as one, and a terminal as aligned text. Cells are text, never markup.

    Args:
        title: above.
        columns: the headings.
        rows: a value for each column; numbers stand on the right, fractions with one decimal.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def _repr_html_(self) -> str:
        head = "".join(_cell("th", column, "left") for column in self.columns)
        body = "".join(
            f"<tr>{''.join(_cell('td', _written(v), 'left' if isinstance(v, str) else 'right') for v in row)}</tr>"
            for row in self.rows
        )
        return f"<b>{html.escape(self.title)}</b><table><tr>{head}</tr>{body}</table>"

    def __repr__(self) -> str:
        rows = [list(self.columns), *([_written(value) for value in row] for row in self.rows)]
        cells = ([wrap(cell, _WIDEST) or [""] for cell in row] for row in rows)
        lines = [line for row in cells for line in zip_longest(*row, fillvalue="")]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        padded = ("  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)
        return "\n".join([self.title, *padded])


def _cell(tag: str, text: str, side: str) -> str:
    return f"<{tag} style='text-align:{side};vertical-align:top'>{html.escape(text)}</{tag}>"


def _written(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def spaces_page(rows: Sequence[SpaceRow], clips: SkeletonSet, note: str = "") -> Table:
    """The numbers of each space: mean ± standard deviation over seeds, where there are several.

    Args:
        rows: as `measure_spaces` gives them.
        clips: what they were measured on.
        note: of a sample, what it is of; see `sample_note`.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    cells = [[row.name, *(_spread(row, column) for column in columns), len(row.seeds) or "—", row.note] for row in rows]
    trained = len(rows[-1].seeds)
    runs = f"mean ± standard deviation over the seeds of {trained} runs" if trained > 1 else "one run, so one seed"
    kind = "synthetic clip" if clips.synthetic else "clip"
    return Table(
        f"Geometry of the features, the same {counted(len(clips), kind)} in every row{note and f' ({note})'}; {runs}",
        ["", *columns, "seeds", ""],
        cells,
    )


def _spread(row: SpaceRow, column: str) -> str:
    if column not in row.values:
        return "—"
    mean, deviation = row.values[column]
    digits = 1 if column == "effective rank" else 3
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")


def doctor_page(clips: SkeletonSet) -> Table:
    """What the doctor says of a set: a row for each kind of trouble, faults first."""
    report = diagnose_set(clips)
    faults, notes = len(report["faults"]), len(report["notes"])
    words = [f"{faults} kind{'s' * (faults != 1)} of fault" if faults else "nothing to fix"]
    words += [f"{notes} note{'s' * (notes != 1)}"] if notes else []
    rows = [
        [found["severity"].upper() if found["severity"] == "fault" else found["severity"], found["kind"], found["what"],
         found["where"] if found["places"] else "", found["do"]]
        for found in report["findings"]
    ]  # fmt: skip
    bodies = report["summary"].get("bodies", "")
    measured = [["seen", "bodies", bodies, "", ""]] if bodies else []
    return Table(f"The doctor on {clips.source}: {', '.join(words)}", _DOCTOR, [*measured, *rows])


_DOCTOR = ("", "kind", "what", "where, first", "what to do")
