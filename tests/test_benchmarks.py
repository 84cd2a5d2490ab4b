"""The benchmark of everything on a GPU, in small on the CPU: each part gives its numbers, and a failure is kept."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.gpu import tried

HOME = Path(__file__).parent.parent


def test_the_gpu_benchmark_in_small(tmp_path: Path):
    out = tmp_path / "gpu.json"
    words = [
        "--device",
        "cpu",
        "--clips",
        "16",
        "--batch",
        "4",
        "--channels",
        "8",
        "--ways",
        "bf16",
        "--out",
        str(out),
    ]
    subprocess.run([sys.executable, "-m", "benchmarks.gpu", *words], cwd=HOME, check=True, timeout=300)
    found = json.loads(out.read_text())
    assert set(found["ways"]) == {"bf16"}
    for way in found["ways"].values():
        assert way["ms_a_step"] > 0
        assert way["hours_for_300_epochs"] > 0
    parts = found["a step of bf16, part by part, s"]
    assert parts["augmentation"] < parts["step"]
    assert found["resume"] == {"epochs_after_the_cut": 2, "cut_and_straight_differ_by": 0, "two_runs_differ_by": 0}
    assert found["beside the CPU"] == {"augmentations_m": 0, "features_relative": 0}
    assert found["evaluation"]["linear_s"] > 0


def test_a_part_that_fails_keeps_its_message():
    def fails() -> dict[str, object]:
        raise RuntimeError("no such kernel")

    assert tried(fails) == {"failed": "RuntimeError: no such kernel"}
    assert tried(lambda: {"seconds": 1}) == {"seconds": 1}
