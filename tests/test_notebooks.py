"""The notebooks: committed as executed from top to bottom, and executable on a small set of one's own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hiclr.datasets import save_set, synthetic
from hiclr.errors import InputError
from hiclr.pretraining import PRESETS
from hiclr.workbook import CLIPS_SEEN, Workbook

HOME = Path(__file__).parent.parent
NOTEBOOKS = sorted((HOME / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"

pytestmark = pytest.mark.xdist_group("notebooks")


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def check_executed(path: Path) -> None:
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    widgets = [output["data"] for output in outputs if WIDGET in output.get("data", {})]
    assert all("image/png" in data for data in widgets), "a widget without a picture beside it"
    assert path.stat().st_size < 1_000_000


def test_there_are_five():
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_was_executed_from_top_to_bottom(path: Path):
    check_executed(path)
    text = path.read_text(encoding="utf-8")
    assert str(HOME) not in text and str(Path.home()) + "/" not in text, "a path of the machine it was executed on"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short_and_one_holds_the_settings(path: Path):
    sources = ["".join(cell["source"]) for cell in code_cells(path)]
    assert max(source.count("\n") + 1 for source in sources) <= 15
    assert [source.startswith("# settings") for source in sources] == [True] + [False] * (len(sources) - 1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("set") / "tiny.npz"
    save_set(synthetic(subjects=4, cameras=2, frames=32), path)
    return path


def execute(**settings: str) -> subprocess.CompletedProcess[str]:
    names = ("DATA", "OUT", "QUICK", "EPOCHS", "SEED")
    environment = {**os.environ, **{f"HICLR_{name}": settings.get(name, "") for name in names}}
    command = [sys.executable, str(HOME / "notebooks" / "execute.py")]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=HOME, check=False)


def test_all_five_run_on_a_set_of_ones_own(tiny: Path, tmp_path: Path):
    before = [path.read_bytes() for path in NOTEBOOKS]
    done = execute(DATA=str(tiny), OUT=str(tmp_path / "run"), EPOCHS="1")
    assert done.returncode == 0, done.stderr
    assert [path.read_bytes() for path in NOTEBOOKS] == before, "the sources are not to be touched"

    result = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert result["data"] == {"train": 64, "test": 64, "classes": 16}  # 16 actions × 4 subjects × 2 cameras, halved
    assert set(result["linear"]) == {"top1", "top5"} and set(result["knn"]) == {"1", "20"}
    assert {"raw_1nn", "random_linear", "random_knn_1"} <= set(result["baseline"])
    assert result["synthetic"] is True and result["epochs"] == 1

    copies = sorted((tmp_path / "run" / "notebooks").glob("*.ipynb"))
    assert [path.name for path in copies] == [path.name for path in NOTEBOOKS]
    for path in copies:
        check_executed(path)
    assert len(list((tmp_path / "run" / "figures").glob("*.png"))) >= 10
    assert "pretrained encoder" in done.stdout and str(tmp_path / "run") in done.stdout


def test_a_failing_cell_is_named(tmp_path: Path):
    done = execute(DATA=str(tmp_path / "nothing.npz"), OUT=str(tmp_path / "run"))
    assert done.returncode == 1
    assert "nothing.npz" in done.stderr and "Traceback" not in done.stderr


def test_a_notebook_is_not_held_up_by_an_error_in_a_cell(tmp_path: Path):
    nbformat = pytest.importorskip("nbformat")
    sys.path.insert(0, str(HOME / "notebooks"))
    try:
        import execute as program
    finally:
        sys.path.pop(0)
    cells = [
        nbformat.v4.new_markdown_cell("text"),
        nbformat.v4.new_code_cell("x = 1"),
        nbformat.v4.new_code_cell("1 / 0"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "09_bad.ipynb")
    with pytest.raises(program.CellError, match=r"09_bad\.ipynb, cell 3: ZeroDivisionError: division by zero"):
        program.execute(tmp_path / "09_bad.ipynb", tmp_path / "copy.ipynb")
    assert (tmp_path / "copy.ipynb").exists()


def test_the_environment_comes_before_the_cell(monkeypatch: pytest.MonkeyPatch):
    for name in ("DATA", "OUT", "QUICK", "EPOCHS", "SEED"):
        monkeypatch.setenv(f"HICLR_{name}", "")
    assert Workbook.from_environment(seed=3) == Workbook(seed=3)
    monkeypatch.setenv("HICLR_QUICK", "0")
    monkeypatch.setenv("HICLR_EPOCHS", "7")
    assert Workbook.from_environment(seed=3) == Workbook(seed=3, quick=False, epochs=7)
    monkeypatch.setenv("HICLR_EPOCHS", "seven")
    with pytest.raises(InputError, match="EPOCHS must be a whole number"):
        Workbook.from_environment()


def test_epochs_follow_the_number_of_training_clips(tiny: Path):
    book = Workbook(str(tiny))
    assert len(book.train()) == 64
    assert CLIPS_SEEN // 64 > 60
    assert book.config().epochs == PRESETS["small"].epochs == 60  # the most
    assert Workbook(str(tiny), quick=False).config().epochs == 240  # a small set: four times as long
    assert Workbook(str(tiny), epochs=5).config().epochs == 5
    assert book.config().batch_size == PRESETS["small"].batch_size
    assert book.name == "tiny-small-e60-seed0"
    assert book.folder == HOME / "data" / "runs" / book.name
