"""The authors' released code on clips of ours, as its users run it. A process of its own: see `step` and `beside`.

    python -m benchmarks.released FOLDER CLIPS.npy --batch 128 [--part step]

FOLDER is a checkout of their code, which is not part of this project; its model, its loader with four workers and its
augmentations run as they are, with the settings of its own file for NTU60 cross-subject. Changed is only what needs
a GPU: `.cuda()` leaves tensors where they are, and keys enter the queue as on a single device.
"""

import argparse
import itertools
import json
import pickle
import resource
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

SETTINGS = "config/release/gcn_ntu60/pretext/pretext_hiclr_xsub_joint.yaml"


def without_gpu(model: Any) -> None:
    """What the released code asks of a GPU, on a CPU."""
    torch.Tensor.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]

    def enqueue(keys: torch.Tensor) -> None:
        at = int(model.queue_ptr)
        model.queue[:, at : at + len(keys)] = keys.T

    model._dequeue_and_enqueue = torch.no_grad()(enqueue)


def model_and_mask() -> tuple[Any, Any]:
    """Their model and their generator of masks, with the constants of their settings file."""
    from net.hiclr import HiCLR  # type: ignore[import-not-found]
    from processor.utils import Jointmask  # type: ignore[import-not-found]

    model = HiCLR(
        base_encoder="net.st_gcn.Model", pretrain=True, feature_dim=128, queue_size=32768, momentum=0.999,
        Temperature=0.07, mlp=True, in_channels=3, hidden_channels=16, hidden_dim=256, num_class=60, dropout=0.5,
        dropout_graph=0.0, add_graph=0.0, graph_args={"layout": "ntu-rgb+d", "strategy": "spatial"},
    )  # fmt: skip
    without_gpu(model)
    return model, Jointmask(mask_ratio=0.1, person_num=2, joint_num=25, channel_num=3)


def written_labels(clips: Path, folder: Path) -> str:
    """A file of labels beside these clips, as their feeders want it."""
    count = len(np.load(clips, mmap_mode="r"))
    labels = folder / "labels.pkl"
    labels.write_bytes(pickle.dumps(([str(i) for i in range(count)], [i % 60 for i in range(count)])))
    return str(labels)


def step(clips: Path, batch: int, folder: Path) -> list[float]:
    """Seconds of each step of pretraining, from their feeder behind torch's loader, as their processor sets it up."""
    from feeder.ntu_feeder import Feeder_triple  # type: ignore[import-not-found]

    feeder = Feeder_triple(str(clips), written_labels(clips, folder))
    batches = torch.utils.data.DataLoader(feeder, batch_size=batch, shuffle=True, num_workers=4, drop_last=True)
    return train(*model_and_mask(), batches)


def epoch(clips: Path, batch: int, folder: Path) -> list[float]:
    """Seconds of a whole epoch, its workers' start included; the second, as the first warms up."""
    from feeder.ntu_feeder import Feeder_triple

    feeder = Feeder_triple(str(clips), written_labels(clips, folder))
    batches = torch.utils.data.DataLoader(feeder, batch_size=batch, shuffle=True, num_workers=4, drop_last=True)
    return [sum(train(*model_and_mask(), batches, epochs=2)[-len(batches) :])]


def views(clips: Path, batch: int, folder: Path) -> list[float]:
    """Seconds that the views of a batch take, clip by clip in one process; their random mask comes later and is not
    among them."""
    from feeder.ntu_feeder import Feeder_triple

    feeder, seconds = Feeder_triple(str(clips), written_labels(clips, folder)), []
    for start in range(0, len(feeder) - batch + 1, batch):
        begun = time.perf_counter()
        _ = torch.utils.data.default_collate([feeder[i] for i in range(start, start + batch)])
        seconds.append(time.perf_counter() - begun)
    return seconds


def linear(clips: Path, batch: int, folder: Path) -> list[float]:
    """(an epoch of their linear evaluation over these clips, a test over them) in seconds."""
    from feeder.ntu_feeder import Feeder_single
    from net.hiclr import HiCLR

    model = HiCLR(
        base_encoder="net.st_gcn.Model", pretrain=False, in_channels=3, hidden_channels=16, hidden_dim=256,
        num_class=60, dropout=0.5, graph_args={"layout": "ntu-rgb+d", "strategy": "spatial"},
    ).eval()  # fmt: skip
    last = [p for name, p in model.encoder_q.named_parameters() if name in ("fc.weight", "fc.bias")]
    for p in model.encoder_q.parameters():
        p.requires_grad_(any(p is one for one in last))
    optimiser, cross_entropy = torch.optim.SGD(last, lr=3.0, momentum=0.9), torch.nn.CrossEntropyLoss()
    feeder = Feeder_single(str(clips), written_labels(clips, folder), -1, -1)
    start = time.perf_counter()
    for x, y in torch.utils.data.DataLoader(feeder, batch_size=batch, shuffle=True, num_workers=4):
        loss = cross_entropy(model(None, x.float()), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    trained = time.perf_counter()
    with torch.no_grad():
        for x, _ in torch.utils.data.DataLoader(feeder, batch_size=batch, num_workers=4):
            model(None, x.float())
    return [trained - start, time.perf_counter() - trained]


def train(model: Any, mask: Any, batches: Any, epochs: int = 1) -> list[float]:
    """Seconds of each step of these epochs, the waiting for its data included."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    cross_entropy, seconds, start = torch.nn.CrossEntropyLoss(), [], time.perf_counter()
    model.train()
    for views, _ in itertools.chain.from_iterable(itertools.repeat(batches, epochs)):
        query, key, normal, strong = (view.float() for view in views)
        found = model.forward_pretrain_wmask(
            im_q=query, im_k=key, im_q_1=normal, im_q_2=strong, mask=mask(query, query.shape[2])
        )
        logits, target, p1, p2, teacher1, teacher2 = found
        model.update_ptr(len(query))
        steps = [-(torch.log(p) * t).sum(dim=1).mean() for p, t in ((p1, teacher1), (p2, teacher2))]
        loss = cross_entropy(logits, target) + sum(steps) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    return seconds


PARTS = {"step": step, "epoch": epoch, "views": views, "linear": linear}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--part", default="step", choices=list(PARTS))
    given = parser.parse_args()
    sys.path.insert(0, str(given.folder.resolve()))
    for unused in ("h5py",):  # imported there for what is not done here
        sys.modules.setdefault(unused, types.ModuleType(unused))
    with tempfile.TemporaryDirectory() as folder:
        seconds = PARTS[given.part](given.clips, given.batch, Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": round(peak), "torch": torch.__version__}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
