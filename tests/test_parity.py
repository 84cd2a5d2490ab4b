"""Parity: passes on any honest folder, fails when one number of it is changed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from released_arithmetic import write_reference

from hiclr.errors import InputError
from hiclr.parity import Reference, Row, compare, main, relative_error


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reference")
    write_reference(path)
    return path


def edited(folder: Path, target: Path, file: str, edit: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of the folder in which `edit` has changed the arrays of one file."""
    target.mkdir(exist_ok=True)
    for source in folder.iterdir():
        (target / source.name).unlink(missing_ok=True)
        (target / source.name).symlink_to(source)
    with np.load(folder / file) as arrays:
        kept = {key: arrays[key].copy() for key in arrays.files}
    edit(kept)
    (target / file).unlink()
    np.savez(target / file, **kept)
    return target


def differs(folder: Path, file: str) -> bool:
    """One quantity out of tolerance, or the folder refused: exit code 1 either way."""
    try:
        return any(not row.ok for row in compare(folder, [file]))
    except InputError:
        return True


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_any_folder_of_honest_numbers_passes(tmp_path: Path, seed: int) -> None:
    write_reference(tmp_path, seed)
    rows = compare(tmp_path)
    assert [row.name for row in rows if not row.ok] == []
    assert {row.file for row in rows} == {"st_gcn.npz", "dsta.npz", "hiclr_loss.npz", "augment.npz", "streams.npz"}


@pytest.mark.parametrize("file", ["st_gcn.npz", "dsta.npz", "hiclr_loss.npz", "augment.npz", "streams.npz"])
def test_one_changed_number_in_any_array_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    """Of arrays that are held: to write and read hundreds of files of hundreds of arrays takes half a minute."""
    with np.load(folder / file) as kept:
        arrays = {key: kept[key] for key in kept.files}
    monkeypatch.setattr(Reference, "__init__", lambda self, _, name: vars(self).update(name=name, arrays=arrays))
    assert not differs(folder, file)
    unseen = []
    for key, whole in list(arrays.items()):
        arrays[key] = whole.copy()
        arrays[key][(0,) * whole.ndim] += 1
        if not differs(folder, file):
            unseen.append(key)
        arrays[key] = whole
    assert unseen == []


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("st_gcn.npz", "features"),
        ("st_gcn.npz", "output"),
        ("hiclr_loss.npz", "plain/total"),
        ("hiclr_loss.npz", "mined/grad_q2"),
        ("augment.npz", "blur/out"),
        ("streams.npz", "motion"),
    ],
)
def test_a_result_is_held_to_its_tolerance_at_its_largest_number(
    folder: Path, tmp_path: Path, file: str, key: str
) -> None:
    for factor, seen in ((1 + 5e-5, True), (1 + 1e-7, False)):

        def change(arrays: dict[str, Any], factor: float = factor) -> None:
            place = np.unravel_index(np.abs(arrays[key]).argmax(), arrays[key].shape)
            arrays[key][place] *= factor

        assert differs(edited(folder, tmp_path / "changed", file, change), file) == seen


def test_relative_error_is_the_largest_difference_over_the_largest_number() -> None:
    assert relative_error(torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0])) == 0.25
    assert relative_error(torch.zeros(2), torch.zeros(2)) == 0
    assert relative_error(torch.ones(2), torch.zeros(2)) == float("inf")
    assert relative_error(torch.ones(2), torch.ones(3)) == float("inf")
    lost = relative_error(torch.tensor([float("nan"), 1.0]), torch.ones(2))
    assert not Row("f", "n", lost).ok


def test_the_exit_code_and_a_line_for_each_quantity(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(compare(folder))

    changed = edited(folder, tmp_path / "changed", "streams.npz", lambda a: a["bone"].__setitem__((0, 0, 0, 0, 0), 9))
    assert main([str(changed)]) == 1
    assert "DIFFERS" in capsys.readouterr().out
    assert main([]) == main(["a", "b"]) == 2


@pytest.mark.parametrize(
    ("file", "edit", "words"),
    [
        ("streams.npz", lambda a: a.pop("motion"), "streams.npz has no array 'motion'"),
        ("augment.npz", lambda a: a.pop("crop/start"), "augment.npz has no array 'crop/start'"),
        ("st_gcn.npz", lambda a: a.pop("param/A"), "no array 'param/A'"),
        ("st_gcn.npz", lambda a: a.pop("param/edge_importance10"), "1 missing (encoder.blocks.9.graph.importance)"),
        ("st_gcn.npz", lambda a: [a.pop(k) for k in list(a) if "num_batches" in k], "missing"),
        ("st_gcn.npz", lambda a: a.update({"param/new": np.ones(1)}), "names are unknown (new)"),
        ("hiclr_loss.npz", lambda a: a.update(queue=a["queue"][:3]), "queue"),
        ("hiclr_loss.npz", lambda a: a.update(temperature=np.array(0.0)), "temperature"),
        ("augment.npz", lambda a: a.update({"axis_mask/axis": np.array(3)}), "axis_mask/axis"),
        ("augment.npz", lambda a: a.update({"crop/start": np.array(7)}), "crop/start"),
        ("augment.npz", lambda a: a.update({"shear/s": a["shear/s"][:5]}), "augment.npz do not fit together"),
        ("augment.npz", lambda a: a.update({"adain/style": a["adain/style"][:, :, :9]}), "augment.npz"),
        (
            "dsta.npz",
            lambda a: a.update({"param/fc.bias": a["param/fc.bias"][:2]}),
            "1 of another shape (head.0.bias: wanted (5,), got (2,))",
        ),
        ("streams.npz", lambda a: a.update(x=a["x"][0]), "'x' must have 5 axes"),
        ("streams.npz", lambda a: a.update(x=np.array(["a"])), "must hold numbers"),
    ],
)
def test_a_folder_at_fault_is_a_sentence_and_exit_code_1(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    edit: Callable[[dict[str, Any]], object],
    words: str,
) -> None:
    assert main([str(edited(folder, tmp_path / "changed", file, edit))]) == 1
    assert words in capsys.readouterr().err


def test_files_missing_or_cut_short_are_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 1
    changed = edited(folder, tmp_path / "changed", "streams.npz", lambda _: None)
    whole = (changed / "streams.npz").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no archive at all"):
        (changed / "streams.npz").write_bytes(content)
        assert main([str(changed)]) == 1
        assert "streams.npz is not readable as npz" in capsys.readouterr().err
    (changed / "streams.npz").unlink()
    assert main([str(changed)]) == 1
    assert "has no file streams.npz" in capsys.readouterr().err


def test_it_runs_as_a_command(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "hiclr.parity", str(folder)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.real
def test_the_authors_own_arrays() -> None:
    where = os.environ.get("HICLR_REFERENCE")
    if where is None:
        pytest.skip("set HICLR_REFERENCE to the folder of the authors' arrays")
    assert [row.name for row in compare(where) if not row.ok] == []
