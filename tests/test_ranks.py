"""Several processes, one run: the same numbers as one process, one queue, one writer; and a kill within an epoch."""

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hiclr.errors import InputError
from hiclr.pretraining import PRESETS, PretrainConfig, prepare_run, pretrain
from hiclr.pretraining.epoch import Epoch
from hiclr.pretraining.feed import Feed
from hiclr.pretraining.memory import largest_that_fits, out_of_memory, what_fits
from hiclr.pretraining.methods import growing
from hiclr.pretraining.ranks import Ranks, synchronise
from hiclr.runs import Run, load_run, pick_device
from tests.faults.processes import Done, start
from tests.test_pretraining import TINY, TINY_STGCN, assert_equal, clips, rows, train, weights

HERE = Path(__file__).parent.parent


def train_on_a_rank(
    folder: Path, config: PretrainConfig, epochs: int = 99, before: Callable[[], object] | None = None
) -> int:
    """What each process does; what is wrong stands on stderr, as the command line has it."""
    torch.set_num_threads(1)
    if before is not None:
        before()
    data = clips()
    try:
        list(itertools.islice(pretrain(data, config, prepare_run(folder, config, data)), epochs))
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def launch(
    folder: Path,
    config: PretrainConfig,
    *more: Any,
    ranks: int = 2,
    check: bool = True,
    work: Callable[..., int] = train_on_a_rank,
) -> list[Done]:
    """So many processes that train on the same clips, set up as torchrun would: it takes ten seconds itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    size = str(ranks)
    env = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    env["TORCHELASTIC_RUN_ID"] = "test"
    running = [
        start(work, folder, config, *more, env=env | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(ranks)
    ]
    done = [process.wait() for process in running]
    if check:
        assert [each.code for each in done] == [0] * ranks, done
    return done


def losses(run: Run) -> list[float]:
    return [row[name] for row in run.metrics() for name in ("loss", "info_nce", "consistency_1", "consistency_2")]


@pytest.mark.parametrize(
    "more",
    [
        {"views": "small", "encoder": "tcn"},  # with augmentations that mix clips
        {"views": "paper", "encoder": "tcn", "learn_mask": True},  # without, and with a value beside the networks
    ],
    ids=lambda more: more["views"],
)
def test_two_processes_with_half_the_batch_each_equal_one(tmp_path: Path, more: dict[str, Any]) -> None:
    config = replace(TINY, epochs=7, sync_norm=True, optimiser="sgd", lr=0.01, queue_size=16, **more)
    launch(tmp_path / "two", config)
    one, two = train(tmp_path / "one", config), load_run(tmp_path / "two")
    assert two.metrics()[-1]["step"] == 21
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    theirs, ours = weights(two)["model"], weights(one)["model"]
    assert torch.equal(theirs["queue.ids"], ours["queue.ids"]), "keys come back in the order of the batch"
    assert torch.allclose(theirs["queue.keys"], ours["queue.keys"], atol=1e-4)
    if config.learn_mask:
        assert float(ours["mask_value"]) != 0
        assert float(theirs["mask_value"]) == pytest.approx(float(ours["mask_value"]), rel=1e-4)
    assert two.environment["ranks"] == 2


def in_64_bit() -> None:
    """Everything that is computed: in 32 bit the rounding of ST-GCN grows from step to step, also between two threads
    and one."""
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign,assignment]
    batch = Feed.batch
    Feed.batch = lambda self, indices: batch(self, indices).double()  # type: ignore[method-assign]


def test_two_processes_equal_one_for_st_gcn_too(tmp_path: Path) -> None:
    config = replace(
        TINY_STGCN, epochs=3, frames=8, channels=4, sync_norm=True, optimiser="sgd", lr=0.01, queue_size=16, knn_every=0
    )
    for ranks in (1, 2):
        launch(tmp_path / str(ranks), config, 99, in_64_bit, ranks=ranks)
    one, two = (load_run(tmp_path / str(ranks)) for ranks in (1, 2))
    assert two.metrics()[-1]["step"] == 9
    assert losses(two) == pytest.approx(losses(one), rel=1e-9)
    assert weights(one)["model"]["encoder.blocks.0.temporal.weight"].dtype == torch.float64


def test_two_processes_that_left_go_on_to_the_same_numbers(tmp_path: Path) -> None:
    config = replace(TINY, epochs=3, dropout=0.2)
    launch(tmp_path / "whole", config)
    launch(tmp_path / "parts", config, 1)
    assert len(load_run(tmp_path / "parts").metrics()) == 1
    launch(tmp_path / "parts", config)
    whole, parts = load_run(tmp_path / "whole"), load_run(tmp_path / "parts")
    assert rows(parts) == rows(whole)
    assert_equal(weights(parts), weights(whole))


def test_a_fault_of_the_first_process_ends_all_with_one_message(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text("{}\n")
    for done in launch(tmp_path / "run", TINY, check=False):
        assert done.code == 1
        assert "no config.json" in done.err


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    class Two:
        global_rank, world_size, device = 0, 2, torch.device("cpu")

    with pytest.raises(InputError, match=r"7 clips .* 2 processes.* 6, say"):
        Ranks(Two(), 7)  # type: ignore[arg-type]


def test_several_devices_are_a_matter_of_torchrun() -> None:
    for name in ("cuda:0,1", "2"):
        with pytest.raises(InputError, match="torchrun --nproc-per-node=2 -m hiclr pretrain"):
            pick_device(name)


def test_synchronised_norms_keep_their_weights_and_their_evaluation() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm1d(4))
    network[:2](torch.randn(5, 3, 2, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x = torch.randn(2, 3, 4, 4)
    wanted = network[:2].eval()(x)
    synchronise(network)
    assert_equal(dict(network.state_dict()), before)
    assert torch.equal(network[:2](x), wanted)


def die_within_the_second_epoch() -> None:
    """By SIGKILL, right after the first save within it."""
    save = Run.save

    def dying(self: Run, state: Any, epoch: int, steps: int = 0, **more: Any) -> None:
        save(self, state, epoch, steps, **more)
        if epoch == 1 and steps == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    Run.save = dying  # type: ignore[method-assign]


def goes_on_after_a_kill(tmp_path: Path, config: PretrainConfig) -> None:
    """A run that is killed within its second epoch and goes on equals one that was left alone, to the bit."""
    whole = train(tmp_path / "whole", config)
    killed = start(train_on_a_rank, tmp_path / "parts", config, 99, die_within_the_second_epoch)
    assert killed.wait().code == -signal.SIGKILL
    assert len(load_run(tmp_path / "parts").metrics()) == 1
    parts = train(tmp_path / "parts", config)
    assert rows(parts) == rows(whole)
    assert_equal(weights(parts), weights(whole))


@pytest.mark.parametrize("encoder", ["stgcn", "dsta", "tcn"])
def test_killed_within_an_epoch_a_run_goes_on_to_the_same_bits(tmp_path: Path, encoder: Any) -> None:
    config = replace(TINY, encoder=encoder, epochs=4, mining_epoch=2, dropout=0.3, save_minutes=0)
    goes_on_after_a_kill(tmp_path, config)


# --- a batch that does not fit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_memory_that_ran_out_is_told_from_other_faults(error: Exception, is_memory: bool) -> None:
    assert out_of_memory(error) == is_memory


@pytest.mark.parametrize("room", [1, 2, 3, 40, 100, 127])
def test_the_largest_batch_that_fits_is_found_to_an_eighth(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gc.collect", lambda: 0)  # of a test process it takes a fifth of a second
    tried = []

    def work(count: int) -> None:
        tried.append(count)
        if count > room:
            raise torch.OutOfMemoryError("out of memory")

    found = largest_that_fits(work, 128)
    if room < 2:
        assert found is None
    else:
        assert found is not None
        assert 7 / 8 * room - 1 <= found <= room
    assert len(tried) <= 10


def test_on_several_processes_nothing_is_tried_and_what_to_do_is_said() -> None:
    def never(count: int) -> None:
        raise AssertionError(f"the others would wait for this one for ever: {count}")

    said = what_fits(never, 128, 4)
    assert "without torchrun, with --batch-size 32 and another --out" in said
    assert "4 times as many clips fit on 4 processes" in said


def full_on_the_second_rank() -> None:
    """A graphics card whose memory somebody else has taken."""
    healthy = growing.growing_loss

    def tight(*args: Any, **kwargs: Any) -> Any:
        if os.environ["RANK"] == "1":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return healthy(*args, **kwargs)

    growing.growing_loss = tight


def test_memory_that_runs_out_on_one_of_two_processes_ends_both_and_is_said(tmp_path: Path) -> None:
    other, full = launch(tmp_path / "run", replace(TINY, encoder="tcn"), 99, full_on_the_second_rank, check=False)
    assert full.code == 1
    assert "Process 1: Epoch 1: a step of 8 clips does not fit" in full.err
    assert "with --batch-size 4 and another --out, names it; 2 times as many" in full.err
    assert other.code != 0
    latest = load_run(tmp_path / "run").latest()
    assert latest is not None
    assert latest[1] == 0


def test_a_batch_that_does_not_fit_is_said_and_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy, room = growing.growing_loss, 5

    def tight(branches: Any, *args: Any, **kwargs: Any) -> Any:
        if len(branches[0]) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return healthy(branches, *args, **kwargs)

    config = replace(TINY, epochs=2)
    monkeypatch.setattr(growing, "growing_loss", tight)
    with pytest.raises(InputError, match=r"Epoch 1: a step of 8 clips does not fit .* fits is 5: --batch-size 5"):
        train(tmp_path / "run", config)
    latest = load_run(tmp_path / "run").latest()
    assert latest is not None
    assert latest[1] == 0
    monkeypatch.undo()
    assert rows(train(tmp_path / "run", config)) == rows(train(tmp_path / "whole", config))


def test_the_paper_preset_saves_within_its_long_epochs() -> None:
    assert 0 < PRESETS["paper"].save_minutes <= 10


NAN_ON_ONE = """
import sys
import numpy as np
import hiclr.pretraining.feed as feed
from tests.test_pretraining import clips

feed._RESIDENT_BYTES = 0  # as a set that is too large to be kept: clips are looked at when they are read
from hiclr.pretraining import PretrainConfig, prepare_run, pretrain
from hiclr.__main__ import main
import hiclr.commands.train as train

data = clips()
data.x[5, 0, 3, 4, 0] = np.nan
train.open_set = lambda _: data
sys.exit(main(["pretrain", "--data", "x", "--out", sys.argv[1], "--epochs", "1", "--batch-size", "8", "--knn-every",
               "0", "--frames", "16", "--channels", "8", "--features", "8", "--device", "cpu", "--save-minutes", "9"]))
"""


def test_a_faulty_clip_on_any_process_is_named_by_the_first(tmp_path: Path) -> None:
    script = tmp_path / "faulty.py"
    script.write_text(NAN_ON_ONE)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(
        [*command, str(tmp_path / "run")],
        cwd=HERE, env={**os.environ, "PYTHONPATH": str(HERE)}, check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.count("Positions that are NaN or infinite in clip000005") == 1
    assert "Connection closed" not in done.stderr


def test_a_save_within_an_epoch_on_another_kind_of_device_can_be_gone_on_with() -> None:
    epoch = Epoch(0, 3, torch.device("cpu"))
    epoch.values = [{"loss": torch.tensor(1.0)}, {"loss": torch.tensor(2.0)}]
    state = epoch.state()
    state["draws"] = {name: torch.zeros(16, dtype=torch.uint8) for name in state["draws"]}  # as a GPU's generator has
    state["device"] = "cuda"
    again = Epoch(0, 3, torch.device("cpu"))
    again.load(state)
    assert again.steps == 2
    fresh = Epoch(0, 3, torch.device("cpu"))
    for name, draws in again.draws.items():
        assert torch.rand(1, generator=draws) != torch.rand(1, generator=fresh.draws[name]), (
            "not the epoch's first draws"
        )


def test_a_compiler_that_fails_backwards_is_left_out_and_nothing_else_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def compile_badly(self: nn.Module, **_: Any) -> None:
        def call(*args: Any) -> Any:
            if torch.is_grad_enabled():
                raise RuntimeError("no such kernel\nand more")
            return self._call_impl(*args)

        self._compiled_call_impl = call

    monkeypatch.setattr(nn.Module, "compile", compile_badly)
    compiled = train(tmp_path / "compiled", replace(TINY, compile="default", epochs=1))
    assert "torch.compile does not work here (no such kernel): going on without it." in caplog.text
    plain = train(tmp_path / "plain", replace(TINY, epochs=1))
    assert rows(compiled) == rows(plain)
    assert_equal(weights(compiled)["model"], weights(plain)["model"])
