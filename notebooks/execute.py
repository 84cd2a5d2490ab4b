"""Execute the five notebooks in order; print the result table and where everything is.

    python notebooks/execute.py [--in-place]

Settings come from HICLR_DATA, HICLR_OUT, HICLR_QUICK, HICLR_EPOCHS and HICLR_SEED. Executed copies go into the run
folder; with --in-place they also replace the notebooks here. A failing cell is named, and the exit code is 1.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from hiclr.errors import InputError
from hiclr.evaluation import table
from hiclr.pretraining import prepare_run
from hiclr.workbook import Workbook

HOME = Path(__file__).resolve().parent
HOURS = 72  # a full run on a large set is long; a cell that waits for nothing does not exist


class CellError(Exception):
    """A cell that failed, in one line."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def absolute_paths() -> None:
    """Paths are relative to the caller's folder, and the kernels run in another."""
    for key in ("HICLR_DATA", "HICLR_OUT"):
        value = os.environ.get(key, "")
        if value and value != "synthetic":
            os.environ[key] = str(Path(value).expanduser().resolve())


def without_bars(notebook: NotebookNode) -> None:
    """Leave out progress bars: they are widgets for who watches, and have no picture for who reads."""
    view = "application/vnd.jupyter.widget-view+json"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if view not in o.get("data", {}) or "image/png" in o["data"]]


def execute(path: Path, target: Path) -> None:
    """Execute one notebook and write the copy, also when a cell failed.

    Raises:
        CellError: which cell, and the last line of its error.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=HOURS * 3600,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # a line per notebook, not the kernel's remarks on its own transport
        resources={"metadata": {"path": str(HOME)}},
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise CellError(f"{path.name}, {failed_cell(notebook)}: {last_line(error)}") from error
    finally:
        without_bars(notebook)
        notebook.metadata.pop("widgets", None)
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)


def failed_cell(notebook: NotebookNode) -> str:
    """The number of the cell that failed, counted from 1 over all cells; else the last that began."""
    begun = 0
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and cell.execution_count is not None:
            begun = number
        if any(output.output_type == "error" for output in cell.get("outputs", ())):
            return f"cell {number}"
    return f"after cell {begun}"


def last_line(error: Exception) -> str:
    if isinstance(error, CellExecutionError):
        return f"{error.ename}: {error.evalue}"
    return str(error).strip().splitlines()[-1]


def notebooks(book: Workbook) -> list[Path]:
    """Those to execute: the last one needs clips that training never saw."""
    every = sorted(HOME.glob("0*.ipynb"))
    if book.clips().protocols:
        return every
    say(
        f"{book.name}: the set has no test part, so {every[-1].name} is left out and there will be no accuracies. "
        "To have them, give the npz a key test (N,) bool, or test_subjects with subject (N,)."
    )
    return every[:-1]


def report(folder: Path, evaluated: bool) -> str:
    """The result table, and where everything is."""
    places = {"notebooks": "notebooks/", "figures": "figures/", "metrics": "metrics.jsonl"}
    lines = [f"{what:<10} {folder / place}" for what, place in places.items()]
    if not evaluated:
        return "\n".join(["Not evaluated: the set has no test part.", "", *lines])
    result = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return "\n".join([table(result), "", f"{'results':<10} {folder / 'results.json'}", *lines])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--in-place", action="store_true", help="write the executed notebooks back, to be committed")
    arguments = parser.parse_args()
    absolute_paths()
    try:
        book = Workbook.from_environment()
        folder = book.folder.resolve()
        # another set's run is refused before anything is written
        run = prepare_run(folder, book.config(), book.train())
        say(f"{book.name}: {len(book.train()):,} training clips, {book.config().epochs} epochs")
        paths = notebooks(book)
        if not run.finished:
            say(f"03_pretraining trains; from another terminal: {sys.executable} -m hiclr watch {folder}")
        for path in paths:
            start = time.perf_counter()
            copy = folder / "notebooks" / path.name
            execute(path, copy)
            say(f"{path.name:<28} {time.perf_counter() - start:6.1f} s")
            if arguments.in_place:
                path.write_bytes(copy.read_bytes())
    except (CellError, InputError) as error:
        say(str(error))
        return 1
    print(report(folder, evaluated=bool(book.clips().protocols)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
