"""18, 19: a terminal without UTF-8, names in any script, and paths that were not made for a shell."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_cli import inside, one_message, the_object
from test_conversion import ntu_folder

from hiclr.datasets import SkeletonSet, open_set, save_set
from hiclr.pretraining import describe
from hiclr.runs import load_run

from .processes import hiclr
from .tiny import CONFIG, FLAGS, assert_same, clips, rows, saved, split

HOME = Path(__file__).parents[2]
CLASSES = ("喝水", "يشرب الماء", "🏃 run")
NAME = "动作 تجربة 🏃"

COMMANDS = """
import json, os, sys
from hiclr.__main__ import main
codes = []
for command in json.loads(sys.stdin.buffer.read()):
    command = [os.fsdecode(word.encode()) for word in command]  # as a shell hands them over
    print(f"<{command[0]}>", flush=True)
    codes.append(main(command))
sys.exit(max(codes))
"""


def speak(folder: Path) -> tuple[Path, list[list[str]]]:
    """A set with classes in three scripts, and what is done with it."""
    data = folder / f"{NAME}.npz"
    split(replace(clips(), classes=CLASSES), data)
    run = str(folder / f"run {NAME}")
    return data, [
        ["pretrain", "--data", str(data), "--out", run, *FLAGS, "--json"],
        ["evaluate", run, "--data", str(data), "--json"],
        ["doctor", str(data), "--json"],
        ["evaluate", run, "--data", str(data)],
        ["doctor", str(data)],
        ["embed", run, "--data", str(data), "--out", str(folder / f"{NAME} features.npz")],
        ["prepare", str(data), "--out", str(folder / f"{NAME} again")],
    ]


def same_numbers(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key in ("linear", "knn", "baseline", "data", "fingerprint")}


def test_a_system_without_utf_8_gives_the_same_results(tmp_path: Path):
    _, commands = speak(tmp_path)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    env |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS], input=json.dumps(commands).encode(), capture_output=True, check=False,
        cwd=HOME, env={**env, "PYTHONPATH": str(HOME)}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    said = done.stdout.decode("ascii")  # a byte outside of it would be a fault
    assert b"Traceback" not in done.stderr
    trained, evaluated, seen = (json.loads(line) for line in said.splitlines() if line.startswith("{"))
    assert trained["last"]["epoch"] == CONFIG.epochs
    assert seen["ok"]

    (tmp_path / "utf-8").mkdir()
    _, again = speak(tmp_path / "utf-8")
    assert the_object(inside(*again[0]))["last"]["loss"] == trained["last"]["loss"]
    assert same_numbers(the_object(inside(*again[1]))) == same_numbers(evaluated)
    one, other = (load_run(Path(given[0][4])) for given in (commands, again))
    assert one.data["classes"] == list(CLASSES)
    assert one.data["fingerprint"] == other.data["fingerprint"]
    assert_same(one.path, other.path)
    assert open_set(commands[-1][3]).classes == CLASSES
    assert inside(*commands[0]).returncode == 0, "the run is the same one under another locale"


def test_names_from_files_are_the_same_text_under_any_locale():
    word = "动作 🏃"
    as_ascii = word.encode().decode("ascii", "surrogateescape")  # what Python makes of a file's name without UTF-8
    names = [f"clip{i:06d}" for i in range(24)]
    one, other = (
        SkeletonSet.from_arrays(
            clips().x, clips().y, names=[text, *names[1:]], classes=[text, "b", "c"], source=text, layout=clips().layout
        )
        for text in (word, as_ascii)
    )
    assert (other.names[0], other.classes[0], other.source) == (word, word, word)
    assert describe(one) == describe(other)
    torn = SkeletonSet.from_arrays(clips().x, clips().y, names=["\ud83c", *names[1:]], layout=clips().layout)
    assert describe(torn)["fingerprint"], "half a character is no end of it"


ODD = {
    "spaces": "a  b ",
    "shell": "#$&;|*?~!`(){}[]<>^=%20",
    "quotes": "'single' \"double\" \\",
    "percent": "100%d %s %%",
    "newline": "two\nlines",
    "dash": "-rf",
    "brackets": "[bold]{0}<b>",
    "long": "x" * 200,
    "long and wide": "动" * 66,
    "as long as may be": "x" * 251,
}


@pytest.mark.parametrize("name", ODD.values(), ids=ODD.keys())
def test_odd_names_of_folders_and_files_work(name: str, data: Path, tmp_path: Path):
    home = tmp_path / name
    home.mkdir()
    source, run = home / f"{name[:245]}.npz" if len(name.encode()) < 252 else home / "set.npz", home / name
    source.write_bytes(data.read_bytes())
    done = inside("pretrain", "--data", source, "--out", run, *FLAGS)
    assert done.returncode == 0, done.stderr
    assert saved(run) == CONFIG.epochs
    assert inside("evaluate", run, "--data", source, "--json").returncode == 0
    done = inside("embed", run, "--data", source, "--out", home / "features" / source.name)
    assert done.returncode == 0, done.stderr
    assert inside("doctor", source).returncode == 0
    done = inside("prepare", source, "--out", home / f"{name[:200]} again")
    assert done.returncode == 0 or "File name too long" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert not [path.name for path in home.rglob(".*")]


def test_content_counts_and_not_the_path(data: Path, tmp_path: Path):
    run = tmp_path / "run"
    assert inside("pretrain", "--data", data, "--out", run, *FLAGS).returncode == 0
    (tmp_path / "link.npz").symlink_to(data)
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real" / "copy.npz").write_bytes(data.read_bytes())
    (tmp_path / "linked run").symlink_to(run, target_is_directory=True)
    for again in (tmp_path / "link.npz", tmp_path / "folder" / "copy.npz"):
        done = inside("pretrain", "--data", again, "--out", tmp_path / "linked run", *FLAGS)
        assert done.returncode == 0, done.stderr
        assert "left as it is" in done.stdout


def test_a_mapped_set_behind_links_is_trained_on(whole: Path, tmp_path: Path):
    save_set(clips(), tmp_path / "set")
    (tmp_path / "link").symlink_to(tmp_path / "set", target_is_directory=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "way").symlink_to(tmp_path / "out", target_is_directory=True)
    done = hiclr("pretrain", "--data", tmp_path / "link", "--out", tmp_path / "way" / "run", *FLAGS).wait()
    assert done.code == 0, done.err
    assert rows(tmp_path / "out" / "run") == rows(whole)


def test_a_loop_of_links_is_one_clear_refusal(data: Path, tmp_path: Path):
    loop, other = tmp_path / "loop", tmp_path / "other"
    loop.symlink_to(other)
    other.symlink_to(loop)
    one_message(inside("pretrain", "--data", loop, "--out", tmp_path / "run", *FLAGS), "loop")
    one_message(inside("pretrain", "--data", data, "--out", loop, *FLAGS), "loop")
    one_message(inside("pretrain", "--data", data, "--out", loop / "run", *FLAGS), "loop")
    one_message(inside("evaluate", loop, "--data", data), "loop")
    one_message(inside("doctor", loop), "loop")
    one_message(inside("prepare", loop, "--out", tmp_path / "set"), "loop")
    one_message(inside("prepare", data, "--out", loop), "loop")
    one_message(inside("prepare", data, "--out", loop / "set.npz"), "loop")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_links_to_its_own_parent_is_read_once(tmp_path: Path):
    raw = ntu_folder(tmp_path / "raw", 6)
    (raw / "back").symlink_to(raw.parent, target_is_directory=True)
    (raw / "self").symlink_to("self")
    found = the_object(hiclr_json("prepare", raw, "--out", tmp_path / "set"))
    assert found["clips"] == 5  # one of the six is torn


def hiclr_json(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return inside(*args, "--json")
