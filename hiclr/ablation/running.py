"""The queue of an ablation: hands the runs to processes, one each, and goes on whatever happens to one of them."""

import queue
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress

import torch

from hiclr.ablation.clock import Clock
from hiclr.ablation.crew import Event, Worker, how_it_ended
from hiclr.ablation.earlier import EARLIER
from hiclr.ablation.study import Study, Trial
from hiclr.datasets.spool import cores
from hiclr.datasets.wording import counted, duration
from hiclr.pretraining import progress
from hiclr.runs import Row, load_run, pick_device

__all__ = ["devices_of", "run_study"]

RETRIES = 1  # of a run whose process died
_SAVING = 120.0  # seconds that a process may take to end its step and save
_SHOWN = 160  # letters of what a run failed with
_STATUS = 60.0  # seconds without news after which it is said what is under way

Tell = Callable[[str], None]


def devices_of(name: str) -> list[str]:
    """The devices that runs are spread over: every GPU for "auto" and "cuda", else the one named; the CPU where there
    is none.

    Raises:
        InputError: no name of a device.
    """
    kind = pick_device(name).type
    if kind != "cuda" or ":" in name:
        return [kind if kind != "cuda" else name]
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def run_study(
    study: Study, data: str, jobs: int | None = None, device: str = "auto", tell: Tell = lambda _: None
) -> list[Row]:
    """Train and evaluate what is not yet there: each run in one of several processes, a core or a GPU for each.

    Finished runs are left alone, half ones go on where they were. A run that fails is written down and the others go
    on; one whose process dies is tried once more.

    Args:
        study: what to run.
        data: what the processes open: the set of the study.
        jobs: processes at once; when left out one per GPU, or per core.
        device: "auto", "cpu", "cuda", "cuda:1", …; with several GPUs each process has its own.
        tell: takes a line of progress.

    Returns:
        The rows of results.jsonl: one per run.

    Raises:
        InputError: the folder holds something else, or another process works on it.
        KeyboardInterrupt: stopped; everything is saved, and the same call goes on.
    """
    devices = devices_of(device)
    study.open()
    with study.locked():
        work = _Work(study, data, devices, jobs, tell)
        if study.aside:
            tell(
                f"results.jsonl had {counted(study.aside, 'row')} of runs that this grid has not, or has not here: "
                f"kept in {study.folder / EARLIER}, with what they were of."
            )
        try:
            with closing(work):
                work.run()
        except KeyboardInterrupt:
            rows = study.write(work.failed)
            done = sum("error" not in row for row in rows)
            raise KeyboardInterrupt(
                f"Stopped; {done} of {counted(len(study.trials), 'run')} are done and the others saved as far as they "
                "were. The same command goes on from there."
            ) from None
        return study.write(work.failed)


class _Work:
    """What is waiting, what is under way, what failed."""

    def __init__(self, study: Study, data: str, devices: Sequence[str], jobs: int | None, tell: Tell) -> None:
        self.study, self.data, self.devices, self.tell = study, data, devices, tell
        self.waiting = [trial for trial in study.trials if study.row(trial) is None]
        self.total = len(study.trials)
        self.failed: dict[Trial, str] = {}
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.workers: list[Worker] = []
        wanted = (len(devices) if devices[0].startswith("cuda") else cores()) if jobs is None else jobs
        self.jobs = max(1, min(wanted, len(self.waiting)))
        # one thread on a CPU whatever the number of processes, so that a run goes on bit for bit under another one
        self.threads = 1 if devices[0] == "cpu" else max(1, cores() // self.jobs)
        self.lost: dict[Trial, int] = {}
        self.epochs: dict[Trial, int] = {}
        self.clock = Clock({variant.name: variant.config.epochs for variant in study.grid.variants})
        for row in study.write({}):
            self.clock.learn(row["variant"], row["seconds"], row["epochs"])

    def run(self) -> None:
        """Until every run is through or has failed."""
        there = self.total - len(self.waiting)
        found = f"{counted(there, 'run')} finished before" if there else "none finished before"
        each = f"{counted(self.jobs, 'process', 'processes')} on {', '.join(self.devices)}"
        self.tell(f"{self.study.grid.name}: {counted(self.total, 'run')}, {found}; {each}.")
        for number in range(self.jobs if self.waiting else 0):
            self._start(number)
        epochs = {trial: _epochs_done(trial) for trial in self.waiting}
        all_of_them = sum(trial.config.epochs for trial in self.waiting)
        with closing(progress(all_of_them, sum(epochs.values()), unit="epoch")) as self.bar:
            heard = time.monotonic()
            while any(worker.trial for worker in self.workers):
                with suppress(queue.Empty):
                    self._take(*self.events.get(timeout=1.0))
                if time.monotonic() - heard > _STATUS:
                    self.tell(self._status())
                    heard = time.monotonic()

    def _start(self, number: int) -> None:
        device = self.devices[number % len(self.devices)]
        worker = Worker(number, self.study.folder, self.data, self.study.split, device, self.threads, self.events)
        self.workers.append(worker)
        self._give(worker)

    def _give(self, worker: Worker) -> None:
        """The next run for a process; its end where none waits."""
        if not self.waiting:
            worker.trial = None
            worker.close()
            return
        trial = self.waiting.pop(0)
        self.epochs[trial] = _epochs_done(trial)
        self.clock.start(str(trial), self.epochs[trial])
        worker.give(trial)

    def _take(self, worker: Worker, news: dict[str, object]) -> None:
        trial = worker.trial
        if trial is None:
            return
        if "epoch" in news:
            epoch = int(str(news["epoch"]))
            self.bar.update(epoch - self.epochs[trial])
            self.epochs[trial] = epoch
            self.clock.tick(str(trial), trial.variant, epoch)
            return
        self.clock.end(str(trial), trial.variant)
        self.epochs.pop(trial)
        if "gone" in news:
            worker.trial = None
            self.workers.remove(worker)
            self._died(worker, trial, how_it_ended(int(str(news["gone"]))))
            if self.waiting:
                self._start(worker.number)
            return
        worker.trial = None
        self._through(trial, str(news["failed"]) if "failed" in news else None, worker)
        self._give(worker)

    def _died(self, worker: Worker, trial: Trial, how: str) -> None:
        self.lost[trial] = self.lost.get(trial, 0) + 1
        if self.lost[trial] <= RETRIES:
            self.tell(f"{trial}: its process {how}; tried again.")
            self.waiting.insert(0, trial)
        else:
            self._through(trial, f"Its process {how}, {self.lost[trial]} times.", worker)

    def _through(self, trial: Trial, error: str | None, worker: Worker) -> None:
        if error is None and self.study.row(trial) is None:
            error = "It was trained, and its results are not in its folder: is the disk full, or not to be written?"
        if error is not None:
            self.failed[trial] = error
        rows = self.study.write(self.failed)
        row = next((row for row in rows if (row["variant"], row["seed"]) == (trial.variant, trial.seed)), {})
        if "error" in row:
            said = f"failed: {str(error)[:_SHOWN]}… (all of it in results.jsonl and log/{worker.log.name})"
        else:
            said = f"linear {row['linear']:.1f} %, kNN {row['knn_1']:.1f} % of the test clips"
        self.tell(f"[{len(rows)}/{self.total}] {trial}: {said}{self._left()}")

    def _left(self) -> str:
        runs = {str(trial): (trial.variant, self.epochs.get(trial, 0)) for trial in [*self.waiting, *self.epochs]}
        left = self.clock.left(runs, self.jobs) if runs else None
        return f"; about {duration(left)} left" if left else ""

    def _status(self) -> str:
        running = ", ".join(f"{trial}: epoch {done}/{trial.config.epochs}" for trial, done in self.epochs.items())
        return f"under way: {running}; {counted(len(self.waiting), 'run')} waiting{self._left()}"

    def close(self) -> None:
        """Let every process save and end; a second interruption ends them at once."""
        for worker in self.workers:
            worker.close()
        try:
            for worker in self.workers:
                worker.wait(_SAVING)
        except KeyboardInterrupt:
            for worker in self.workers:
                worker.kill()
            raise


def _epochs_done(trial: Trial) -> int:
    if not (trial.folder / "config.json").is_file():
        return 0
    return len(load_run(trial.folder).metrics())
