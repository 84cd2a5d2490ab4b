"""The house: who may import whom, and what must not be needed."""

import ast
import importlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent / "hiclr"

ORDER = (
    "skeleton",
    "datasets",
    "augmentations",
    "encoders",
    "losses",
    "momentum",
    "runs",
    "pretraining",
    "features",
    "models",
    "evaluation",
    "ablation",
    "workbook",
    "figures",
    "widgets",
    "reporting",
    "parity",
    "commands",
    "__main__",
)
ANYONE = ("errors", "hiclr")  # what fails, and the version
CORE = [room for room in ORDER if room not in ("figures", "widgets")]
NOTEBOOKS = (
    "plotly",
    "ipywidgets",
    "matplotlib",
    "anywidget",
    "pandas",
    "IPython",
    "openTSNE",
    "jupyterlab",
    "traitlets",
)
LATE = {"lightning_fabric", "torch._dynamo", "sklearn", "scipy"}
"""Each takes a second or two to import: done where it is used, or every command would wait for all of them."""

MODULES = sorted(path for path in HOME.rglob("*.py") if path != HOME / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(HOME).parts[0].removesuffix(".py")


def imported_modules(tree: ast.AST, package: list[str]) -> set[str]:
    """Full names of the modules of hiclr that a source imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            # `from hiclr import runs` names a room, `from hiclr.runs import Run` something in it
            found |= {f"{base}.{alias.name}" for alias in node.names} if base == "hiclr" else {base}
    return {name for name in found if name.split(".")[0] == "hiclr"}


def imported_rooms(source: str, package: list[str]) -> set[str]:
    names = imported_modules(ast.parse(source), package)
    rooms = {name.split(".")[1] if "." in name else "hiclr" for name in names}
    return {room if (HOME / room).is_dir() or (HOME / f"{room}.py").exists() else "hiclr" for room in rooms}


def wrong_way(source: str, room: str, package: list[str]) -> set[str]:
    allowed = {*ORDER[: ORDER.index(room) + 1], *ANYONE}
    return imported_rooms(source, package) - allowed


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(HOME)))
def test_no_room_imports_from_one_to_its_right(path: Path):
    room = room_of(path)
    if room in ANYONE:
        assert not imported_rooms(path.read_text(encoding="utf-8"), ["hiclr"])
        return
    package = ["hiclr", *path.relative_to(HOME).parts[:-1]]
    assert not wrong_way(path.read_text(encoding="utf-8"), room, package)


@pytest.mark.parametrize(
    "source",
    [
        "from hiclr.features import extract",
        "from hiclr import features",
        "import hiclr.features",
        "from ..features import extract",
        "from .. import features",
        "def f():\n    from hiclr.features import extract",
    ],
)
def test_an_import_from_the_right_is_seen_however_it_is_written(source: str):
    assert wrong_way(source, "losses", ["hiclr", "losses"]) == {"features"}
    assert not wrong_way(source, "evaluation", ["hiclr", "evaluation"])


def test_every_module_belongs_to_a_room():
    assert {room_of(path) for path in MODULES} <= {*ORDER, *ANYONE}


def test_there_is_no_room_for_leftovers():
    words = ("util", "helper", "common", "misc")
    assert not [path.name for path in HOME.rglob("*") if path.stem.strip("_").rstrip("s") in words]


@pytest.mark.parametrize("room", ORDER)
def test_what_a_room_shows_exists(room: str):
    module = importlib.import_module(f"hiclr.{room}")
    shown = getattr(module, "__all__", [])
    assert len(set(shown)) == len(shown)
    assert not [name for name in shown if not hasattr(module, name)]


def test_the_core_works_without_the_notebook_packages_and_imports_what_is_slow_late():
    script = f"""
        import importlib, sys
        for name in {NOTEBOOKS!r}:
            sys.modules[name] = None  # as if it were not installed, for `import` and for `find_spec`
        for room in {CORE!r}:
            importlib.import_module(f"hiclr.{{room}}")
        print("all there", *sorted(sys.modules.keys() & {LATE!r}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, cwd=HOME.parent, check=False
    )
    assert done.stdout.strip() == "all there", done.stderr


def test_waiting_threads_do_not_spin_unless_the_user_says_so():
    say = "import hiclr, os; print(os.environ['OMP_WAIT_POLICY'])"
    for given, wanted in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
        environment |= {} if given is None else {"OMP_WAIT_POLICY": given}
        done = subprocess.run([sys.executable, "-c", say], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == wanted
