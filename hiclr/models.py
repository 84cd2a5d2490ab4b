"""Trained models by their folder or file: a run, an export, or weights that authors released."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from torch import Tensor, nn

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.preprocessing import RELEASED_CODE
from hiclr.datasets.streams import Stream, to_stream
from hiclr.encoders import RELEASES, ReleasedMap, SkeletonEncoder, load_released, load_weights, map_released
from hiclr.encoders.releases import TRANSFORMER
from hiclr.errors import InputError
from hiclr.features import extract, load_encoder
from hiclr.pretraining import PretrainConfig
from hiclr.pretraining.model import build_networks, describe_layout, layout_of, preprocess_of
from hiclr.runs import environment, load_run, write_export
from hiclr.skeleton import NTU_25, Layout

__all__ = ["TrainedModel", "import_released", "load", "load_released_file", "read_state_dict"]


@dataclass(frozen=True)
class TrainedModel:
    """A frozen encoder with all that clips need before it.

    Args:
        encoder: (N, 3, T, V, M) of the stream -> (N, D), in eval mode.
        config: its settings: frames, centre, turn and stream are what clips are prepared by.
        layout: the V joints.
    """

    encoder: SkeletonEncoder
    config: PretrainConfig
    layout: Layout

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """(N, 3, T, V, M) positions in metres, y up, absent persons zero -> (N, D)."""
        x = preprocess_of(self.config).apply(x, self.layout)
        return self.encoder(to_stream(x, self.config.stream, self.layout))  # type: ignore[no-any-return]

    def features(self, clips: SkeletonSet, device: str = "auto") -> NDArray[np.float32]:
        """(N, D) of every clip of a set, in its order; see `hiclr.features.extract`."""
        return extract(self.encoder, clips, self.config, device=device)


def load(folder: Path | str) -> TrainedModel:
    """The model of an exported folder, or of a run's newest checkpoint, on the CPU and in eval mode.

    Raises:
        InputError: neither of the two, damaged weights, or weights that do not fit their settings.
    """
    run = load_run(folder)
    encoder = load_encoder(run)
    return TrainedModel(encoder, PretrainConfig.from_dict(run.config), layout_of(run.data))  # type: ignore[arg-type]


def read_state_dict(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a file that torch or safetensors saved; no code in it is run.

    Args:
        path: a state dict, or a dict that holds one as "state_dict".

    Raises:
        InputError: no such file, one that cannot be read without running code, or one that holds no state dict.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # what is no file of torch raises nearly anything
        try:
            content = read_tensors(data)
        except SafetensorError:  # torch's own words are advice to switch its safeguard off
            raise InputError(
                f"{path} is no file of weights, is damaged, or cannot be read without running code in it. "
                "A state dict is wanted, as torch.save or safetensors write it."
            ) from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds no state dict (name -> tensor). Save the model's state_dict() alone.")
    return {str(name): value for name, value in state.items()}


def load_released_file(path: Path | str, stream: Stream | None = None, layout: Layout = NTU_25) -> TrainedModel:
    """Weights that the authors of HiCLR, AimCLR, SkeletonCLR or CrosSCLR released, ready to encode.

    They expect what the authors' preparation makes: 50 frames, each person centred, turned by the release's own
    arithmetic; the model's settings say so.

    Args:
        path: the file; see `read_state_dict`.
        stream: of the weights; a file of CrosSCLR holds several, the others do not say it. Joint when left out.
        layout: the joints the weights were trained on.

    Raises:
        InputError: as `read_state_dict`, `map_released`, `load_released`; or sizes that settings cannot name.
    """
    return _released(read_state_dict(path), stream, layout)[0]


def _released(
    state: Mapping[str, Tensor], stream: Stream | None, layout: Layout
) -> tuple[TrainedModel, nn.Sequential, ReleasedMap]:
    found = map_released(state, stream)
    encoder, head = load_released(state, layout, stream=stream)
    weights, transformer = encoder.state_dict(), found.network == TRANSFORMER
    config = PretrainConfig(
        stream=found.stream or stream or "joint",
        encoder="dsta" if transformer else "stgcn",
        channels=weights["lift.0.weight"].shape[0] if transformer else weights["blocks.0.graph.weight"].shape[1],
        features=encoder.features,
        projection=list(head.parameters())[-1].shape[0],
    )
    steps = {name: getattr(RELEASED_CODE, name) for name in ("frames", "centre", "turn")}
    config = replace(config, **steps)
    load_weights(build_networks(config, layout)[0], weights, "The released state dict")
    return TrainedModel(encoder, config, layout), head, found


def import_released(
    path: Path | str, out: Path | str, stream: Stream | None = None, layout: Layout = NTU_25
) -> dict[str, Any]:
    """Write released weights as an exported model, for `load`, `evaluate` and `embed`.

    Args:
        path: the file.
        out: the folder; see `write_export`.
        stream: see `load_released_file`.
        layout: the joints the weights were trained on.

    Returns:
        Plain values: "out", "release", "network", "stream", "names" (theirs -> ours), "left" (theirs -> why),
        "expects", "notes", "report" (in words).

    Raises:
        InputError: as `load_released_file` and `write_export`.
    """
    model, head, found = _released(read_state_dict(path), stream, layout)
    title = RELEASES[found.release].title
    notes = ["The file does not say how many epochs were trained, and on which clips; the authors' settings are 300."]
    if found.stream is None:
        notes.append(f"It does not say its stream either: {model.config.stream} is what it was imported as.")
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    origin = {"title": title, "file": Path(path).name, "sha256": digest, "notes": notes, "names": dict(found.names),
              "left": dict(found.left)}  # fmt: skip
    source = f"the authors of {title}"
    data = {"source": source, "synthetic": False, "layout": describe_layout(layout)}
    parts = {"encoder": model.encoder, "head": head}
    description = {
        "run": f"{title}, {found.network}, {model.config.stream}",
        "settings": {key: value for key, value in model.config.to_dict().items() if key != "device"},
        "data": data,
        "environment": environment("cpu"),
        "epoch": model.config.epochs,
        "metrics": {"last": None, "best": None},
        "evaluation": [],
        "licence": None,
        "origin": origin,
    }
    state = {f"{part}.{name}": value for part, net in parts.items() for name, value in net.state_dict().items()}
    write_export(Path(out), state, description)
    expects = f"{', '.join(preprocess_of(model.config).steps(layout))}, {model.config.stream} stream, metres, y up"
    return {
        "out": str(out),
        "release": title,
        "network": found.network,
        "stream": model.config.stream,
        "names": dict(found.names),
        "left": dict(found.left),
        "expects": expects,
        "notes": notes,
        "report": found.text(),
    }
