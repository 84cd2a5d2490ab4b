"""The notebooks: committed as executed from top to bottom, and executable on a small set of one's own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from hiclr.augmentations import CropResize, GrowingViews, Scale, Shear, TemporalCrop, Yaw, code
from hiclr.datasets import SkeletonSet, save_set, synthetic
from hiclr.datasets.doctor import diagnose_set
from hiclr.errors import InputError
from hiclr.evaluation import RECIPES
from hiclr.pretraining import PRESETS, prepare_run
from hiclr.workbook import CLIPS_SEEN, Table, Workbook, doctor_page

HOME = Path(__file__).parent.parent
NOTEBOOKS = sorted((HOME / "notebooks").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"


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


def run_cells(number: int, starts: tuple[str, ...], **names: Any) -> None:
    """Execute the cells of a notebook that begin so, with these names."""
    sources = ["".join(cell["source"]) for cell in code_cells(NOTEBOOKS[number - 1])]
    for start in starts:
        (source,) = (source for source in sources if source.startswith(start))
        exec(source, names)  # noqa: S102 - our own cells


@dataclass(frozen=True)
class Lifts:
    """Lifts everybody by `height` at full strength, and by `jump` all at once on the way or from the beginning."""

    height: float = 0.1
    jump: float = 0.0
    at: float = 0.5
    after_stream: ClassVar[bool] = False

    def sample(self, shape: tuple[int, ...], strength: float, _: torch.Generator) -> dict[str, torch.Tensor]:
        return {"up": torch.full((shape[0],), strength * self.height + self.jump * (strength >= self.at))}

    def apply(self, x: torch.Tensor, params: dict[str, torch.Tensor]) -> torch.Tensor:
        return x + params["up"].view(-1, 1, 1, 1, 1)


@pytest.mark.parametrize("view", [0, 1, 2])
@pytest.mark.parametrize(
    ("made", "said"),
    [
        (Lifts(), ""),
        (Lifts(jump=0.05), "jumps by"),
        (Lifts(jump=0.05, at=1.0), "jumps by"),
        (Lifts(jump=0.1, at=0), "identity"),
    ],
)
def test_the_second_notebook_checks_every_augmentation_of_every_set(view: int, made: Lifts, said: str):
    sets: list[list[Any]] = [[Shear()], [Yaw()], [Scale()]]
    sets[view].append(made)
    names = {"torch": torch, "code": code, "book": Workbook(), "ladders": {}, "views": GrowingViews(sets)}
    x = torch.randn(5, 3, 8, 25, 1, generator=torch.Generator().manual_seed(0))
    starts = ("some = x[:4]", "every = {code(op)")
    if not said:
        run_cells(2, starts, x=x, **names)
        return
    with pytest.raises(AssertionError, match=f"Lifts.*{said}"):
        run_cells(2, starts, x=x, **names)


@pytest.mark.parametrize("gap", [slice(0, 20), slice(12, 17), slice(30, 50)])
def test_people_who_come_and_go_are_no_jump_in_the_second_notebook(gap: slice):
    x = torch.randn(4, 3, 1, 25, 2, generator=torch.Generator().manual_seed(0))
    x = x + 0.1 * torch.sin(torch.arange(50) / 5).view(1, 1, 50, 1, 1)
    x[..., gap, :, 1] = 0
    x[0, :, gap] = 0
    names = {"torch": torch, "code": code, "book": Workbook(), "ladders": {}, "x": x}
    sets = GrowingViews([[TemporalCrop()], [Shear()], [CropResize(least=0.3)]])
    run_cells(2, ("some = x[:4]", "every = {code(op)"), views=sets, **names)


def test_the_first_notebook_finds_what_is_on_both_sides(capsys: pytest.CaptureFixture[str]):
    clips = synthetic(subjects=4, cameras=1, frames=32)
    test = clips.protocols["cross-subject"]

    def check(clips: SkeletonSet) -> None:
        run_cells(1, ("report = diagnose_set(clips)",), clips=clips, diagnose_set=diagnose_set)

    check(clips)
    assert "nothing on both sides" in capsys.readouterr().out
    twins = np.array(clips.x)
    twins[np.flatnonzero(test)[0]] = twins[np.flatnonzero(~test)[0]]
    with pytest.raises(AssertionError, match=r"train and test are not apart: 1 pair.* the same positions"):
        check(replace(clips, x=twins, length=None))
    moved = test.copy()
    moved[np.flatnonzero(~test)[0]] = True
    with pytest.raises(AssertionError, match=r"not apart|is on both sides"):
        check(replace(clips, protocols={"cross-subject": moved}))


def test_a_table_is_text_whatever_it_holds():
    table = Table("<b>", ["name", "n"], [["<i>a</i>", 1200], ["b " * 60, 0.25]])
    page = table._repr_html_()
    assert "<i>" not in page and "&lt;i&gt;a&lt;/i&gt;" in page and "&lt;b&gt;" in page
    assert ">1,200</td>" in page and ">0.2</td>" in page
    assert max(map(len, repr(table).splitlines())) < 80 and "1,200" in repr(table)


def test_the_doctors_page_names_faults_first():
    clips = synthetic(subjects=4, cameras=1, frames=32)
    broken = np.array(clips.x)
    broken[3, 0, 5, 7, 0] = np.nan
    page = doctor_page(replace(clips, x=broken))
    assert "1 kind of fault" in page.title and "nothing to fix" in doctor_page(clips).title
    kinds = [row[0] for row in page.rows]
    assert kinds[:2] == ["seen", "FAULT"] and set(kinds[2:]) <= {"note"}
    assert clips.names[3] in page.rows[1][3] and page.rows[1][4]


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
    assert set(result["linear"]) == {"top1", "top5"} and set(result["knn"]) == {"1", "5", "20"}
    assert {"raw_1nn", "random_linear", "random_knn_1"} <= set(result["baseline"])
    assert result["synthetic"] is True and result["epochs"] == 1

    copies = sorted((tmp_path / "run" / "notebooks").glob("*.ipynb"))
    assert [path.name for path in copies] == [path.name for path in NOTEBOOKS]
    for path in copies:
        check_executed(path)
    assert len(list((tmp_path / "run" / "figures").glob("*.png"))) >= 10
    assert "pretrained encoder" in done.stdout and str(tmp_path / "run") in done.stdout


def test_clips_without_a_test_part_are_trained_on_and_not_evaluated(tmp_path: Path):
    clips = synthetic(subjects=2, cameras=1, frames=32)
    save_set(replace(clips, protocols={}), tmp_path / "mine.npz")
    done = execute(DATA=str(tmp_path / "mine.npz"), OUT=str(tmp_path / "run"), EPOCHS="1")
    assert done.returncode == 0, done.stderr
    assert "no test part, so 05_evaluation.ipynb is left out" in done.stderr.splitlines()[1]
    assert "Not evaluated" in done.stdout
    assert not (tmp_path / "run" / "results.json").exists()
    assert len(list((tmp_path / "run" / "notebooks").glob("*.ipynb"))) == 4


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


def test_the_supervised_encoder_is_cut_short_in_a_quick_run(tiny: Path):
    clips, config = Workbook(str(tiny)).labelled()
    assert len(clips) == 64
    # a step takes all 64 clips and an epoch 10 steps: 20,000 // 640 epochs
    assert (config.epochs, config.least_steps, config.batch_size) == (31, 10, 64)
    assert Workbook(str(tiny), epochs=2).labelled()[1].epochs == 2
    assert Workbook(str(tiny), quick=False).labelled()[1] == RECIPES["small"]


def test_runs_of_other_seeds_are_found_in_the_folders_beside(tiny: Path, tmp_path: Path):
    def made(name: str, **settings: Any) -> None:
        book = Workbook(str(tiny), epochs=1, out=tmp_path / name, **settings)
        train = book.train() if name != "other clips" else book.test()
        run = prepare_run(book.folder, book.config(), train)
        with run.locked():
            run.save({"model": {}}, epoch=0 if name == "unfinished" else 1)

    for name, seed in {"own": 0, "again": 0, "third": 3, "first": 1, "other clips": 4, "unfinished": 5}.items():
        made(name, seed=seed)
    prepare_run(tmp_path / "longer", replace(PRESETS["small"], epochs=2, seed=6), Workbook(str(tiny)).train())
    (tmp_path / "no run").mkdir()
    (tmp_path / "no run" / "config.json").write_text("{", encoding="utf-8")
    found = Workbook(str(tiny), epochs=1, out=tmp_path / "own").other_seeds()
    assert [(run.path.name, run.config["seed"]) for run in found] == [("first", 1), ("third", 3)]


def test_three_streams_have_a_folder_each(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trained: list[tuple[str, Path]] = []

    def pretend(_: SkeletonSet, config: Any, run: Any) -> list[Any]:
        trained.append((config.stream, run.path.relative_to(tmp_path / "run")))
        return []

    monkeypatch.setattr("hiclr.workbook.pretrain", pretend)
    book = Workbook(str(tiny), epochs=1, out=tmp_path / "run")
    runs = book.streams()
    assert [run.config["stream"] for run in runs] == ["joint", "bone", "motion"]
    wanted = [("joint", Path()), ("bone", Path("streams/bone")), ("motion", Path("streams/motion"))]
    assert trained == wanted
    with runs[0].locked():
        runs[0].append({"epoch": 1, "seconds": 90.0})
    assert "about 3 min here (2 runs of 1 epoch)" in book.streams_take()

    # a short epoch is 20 steps of 64 of the 64 clips, at the pace that the run had: 3 of them at 640 clips/s
    with runs[0].locked():
        runs[0].append({"epoch": 2, "seconds": 2.0, "clips_per_s": 640.0})
    assert "about 6 s here (3 short runs of 1 epoch)" in book.streams_take(short=True)
    trained.clear()
    book.streams(short=True)
    assert trained == [(stream, Path("first-look") / rest) for stream, rest in wanted]


def test_short_runs_are_tried_on_what_they_did_not_see(tiny: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hiclr.workbook.LOOKED_AT", 10)
    book = Workbook(str(tiny))
    few, (train, test) = book.few(), book.clips().split()
    assert [len(part) for part in few.split()] == [10, 10]
    assert set(few.split()[0].names) <= set(train.names) and set(few.split()[1].names) <= set(test.names)
    assert few.names[0] == book.clips().names[0] and few.split()[1].names[-1] == test.names[-1]


def test_the_first_look_is_short_and_gives_way_to_the_run(tiny: Path, tmp_path: Path):
    book = Workbook(str(tiny), epochs=1, out=tmp_path / "run")
    short = book.first_look()
    assert (short.path, short.finished, len(short.metrics())) == (tmp_path / "run" / "first-look", True, 1)
    assert book.first_look().metrics() == short.metrics(), "trained once"
    begun = prepare_run(book.folder, book.config(), book.train())  # as the program does that executes the notebooks
    assert book.first_look().path == short.path
    with begun.locked():
        begun.append({"epoch": 1})
    assert book.first_look().path == begun.path
