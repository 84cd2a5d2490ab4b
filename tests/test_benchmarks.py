"""The benchmarks in small on the CPU: each part gives its numbers, the levers compute the same sums, time is kept."""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import evaluation, gpu, levers
from benchmarks.profile import Clock, percent, profile
from hiclr.encoders.stgcn import GraphConvolution
from tests.test_pretraining import TINY

HOME = Path(__file__).parent.parent


def test_the_gpu_benchmark_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "gpu.json"
    words = ["--device", "cpu", "--clips", "8", "--batch", "4", "--channels", "4", "--features", "8", "--out", str(out)]
    monkeypatch.chdir(HOME)
    monkeypatch.setattr(sys, "argv", ["gpu", *words, "--parts", "bf16"])
    assert gpu.main() == 0
    found = json.loads(out.read_text())["ways"]["bf16"]
    assert found["ms_a_step"] > 0
    assert found["hours_for_300_epochs"] > 0
    monkeypatch.setattr(sys, "argv", ["gpu", *words, "--parts", "bf16", "resume", "--minutes", "0"])
    assert gpu.main() == 0
    found = json.loads(out.read_text())
    assert found["ways"]["bf16"] == found["resume"] == {"failed": "no time was left"}


def test_the_other_parts_of_the_gpu_benchmark_in_small():
    given = argparse.Namespace(device="cpu", clips=8, batch=4, channels=4, features=8)
    wanted = {"epochs_after_the_cut": 2, "cut_and_straight_differ_by": 0, "two_runs_differ_by": 0}
    assert gpu.parts()["resume, deterministic"](given) == wanted
    assert gpu.parts()["beside the CPU"](given) == {"augmentations_m": 0, "features_relative": 0}


def test_a_part_that_hangs_is_ended_with_all_it_started_and_one_that_fails_says_why(tmp_path: Path):
    pid = tmp_path / "pid"
    hangs = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); open(sys.argv[1], 'w').write(str(p.pid))"
    start = time.monotonic()
    assert gpu.answer_of([sys.executable, "-c", f"{hangs}; p.wait()", str(pid)], 2) == {
        "failed": "no answer within 2 s"
    }
    assert time.monotonic() - start < 30
    limit = time.monotonic() + 20  # the signal is sent, the process ends in its own time
    while alive(int(pid.read_text())) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not alive(int(pid.read_text()))
    said = [sys.executable, "-c", "print('hello'); print('{\"ms\": 1}')"]
    assert gpu.answer_of(said, 30) == {"ms": 1}
    assert "such" in gpu.answer_of([sys.executable, "-c", "raise RuntimeError('no such kernel')"], 30)["failed"]


def alive(pid: int) -> bool:
    """Whether a process runs: one that ended and was not asked for yet does not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_part_within_a_part_is_counted_once(monkeypatch: pytest.MonkeyPatch):
    clock, now = Clock(torch.device("cpu")), [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def passing(seconds: float) -> None:
        now[0] += seconds

    inner = clock.around("inner", passing)

    def outer() -> None:
        passing(1)
        inner(2)
        passing(4)

    clock.around("outer", outer)()
    assert clock.seconds == {"inner": 2, "outer": 5}


def test_the_parts_of_a_step_are_all_met_and_add_up():
    parts = profile(replace(TINY, epochs=2, batch_size=4, knn_every=0), 1)
    assert set(parts) == {
        "reading clips", "augmentation: draws", "augmentation: applied", "query forwards", "key forward", "loss",
        "backward", "norm of the gradient", "optimiser", "momentum update", "queue", "everything else", "step",
    }  # fmt: skip
    assert sum(parts.values()) == pytest.approx(2 * parts["step"], abs=1e-3)
    assert all(seconds > 0 for seconds in parts.values())
    assert percent(parts)["step"] == 100


@pytest.mark.parametrize("other", [levers.mix_first, levers.channels_first])
def test_the_other_graph_convolutions_are_the_same_sum(other: object, monkeypatch: pytest.MonkeyPatch):
    bench = levers.Bench(2, channels=4, features=8)
    graph, adjacency = bench.encoder.blocks[4].graph, bench.encoder.adjacency
    graph.bias.data.normal_()
    x = torch.randn(2, 5, 25, 4)
    wanted = graph(x, adjacency)
    monkeypatch.setattr(GraphConvolution, "forward", other)
    torch.testing.assert_close(graph(x, adjacency), wanted)


def test_a_lever_is_judged_by_the_middle_half_of_its_rounds(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def taking(*seconds: float) -> levers.Work:
        each = iter(seconds)
        return lambda: now.__setitem__(0, now[0] + next(each))

    found = levers.measure(levers.Lever("l", "t", taking(9, 2, 2, 3, 4, 2), taking(9, 1, 1, 1, 1, 1)), 5)
    assert (found["times"], found["middle_half"], found["verdict"]) == (2, [2, 3], "pays")
    assert (found["off_ms"], found["on_ms"]) == (2000, 1000)
    assert levers.verdict(0.9, 1.1) == "no difference found"
    assert levers.verdict(0.8, 0.9) == "costs"


def test_composed_linear_maps_are_the_same_up_to_rounding():
    lever = levers.linear_maps()
    torch.testing.assert_close(lever.on(), lever.off(), rtol=1e-5, atol=1e-5)


def test_levers_in_small():
    bench = levers.Bench(2, channels=4, features=8)
    tried = [*levers.in_the_encoder(bench), levers.in_one_pass(bench), *levers.around_the_encoder(bench)]
    tried.append(levers.linear_maps())
    for lever in tried:
        assert levers.measure(lever, 1)["off_ms"] > 0
    assert len({lever.name for lever in tried}) == len(tried)


def test_the_benchmark_of_evaluation_in_small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(evaluation, "TRAIN", 240)
    monkeypatch.setattr(evaluation, "TEST", 80)
    monkeypatch.setattr(evaluation, "CLASSES", 4)
    found = evaluation.rows()
    names = [name.split(", ")[0] for name in found]
    assert names[0] == "linear,knn with floors"
    assert {"knn", "linear-hiclr", "linear-sgd", "retrieval", "calibration"} <= set(names)
    assert all(row["median_s"] >= 0 for row in found.values())
