"""What the release computes, written once more and plainly: numpy and loops, nothing from the package.

It makes a reference folder of any numbers, so that `hiclr.parity` is tested where the authors' arrays are not at hand.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Arrays = dict[str, Any]

# NTU-25 counted from 1, each joint's neighbour nearer to the upper spine (joint 21)
INWARD = (
    "1-2 2-21 3-21 4-3 5-21 6-5 7-6 8-7 9-21 10-9 11-10 12-11 13-1 14-13 15-14 16-15 17-1 18-17 19-18 20-19 "
    "22-23 23-8 24-25 25-12"
)
BONES = [(int(a) - 1, int(b) - 1) for a, b in (bone.split("-") for bone in INWARD.split())]
FLIP = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 20, 23, 24, 21, 22]


def graph() -> Tensor:
    """(3, 25, 25): itself; neighbours not nearer to joint 21, as seen one bone far; nearer ones."""
    distance = [2] * 25
    distance[20] = 0
    for a, b in BONES:
        if 20 in (a, b):
            distance[a if b == 20 else b] = 1
    groups = np.zeros((3, 25, 25))
    for w in range(25):
        neighbours = [a for a, b in BONES if b == w] + [b for a, b in BONES if a == w]
        share = 1 / (1 + len(neighbours))
        groups[0, w, w] = share
        for v in neighbours:
            groups[2 if distance[v] < distance[w] else 1, v, w] = share
    return torch.from_numpy(groups).float()


def positive(*shape: int, low: float = 0.5, high: float = 1.5) -> Tensor:
    """Positive weights: no unit is ever inactive, every number counts."""
    return low + (high - low) * torch.rand(*shape)


def norm_entries(name: str, width: int) -> dict[str, Tensor]:
    """Those of a batch norm."""
    parts = {"weight": positive(width), "bias": positive(width), "running_var": positive(width)}
    parts |= {"running_mean": positive(width, low=0, high=0.1), "num_batches_tracked": torch.tensor(3)}
    return {f"{name}.{key}": value for key, value in parts.items()}


def norm(state: dict[str, Tensor], h: Tensor, name: str) -> Tensor:
    """Batch norm by the statistics that are kept."""
    mean, var, weight, bias = (state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(h, mean, var, weight, bias)


def weights(channels: int, features: int, outputs: int) -> dict[str, Tensor]:
    """A state dict of the ST-GCN under the release's names."""
    c = channels
    widths = [3, c, c, c, c, 2 * c, 2 * c, 2 * c, 4 * c, 4 * c, features]
    state = {"A": graph()} | {f"edge_importance{i}": positive(3, 25, 25) for i in range(1, 11)}
    state |= norm_entries("data_bn", 75)
    for i in range(10):
        into, out, name = widths[i], widths[i + 1], f"st_gcn_networks.{i}"
        state[f"{name}.gcn.conv.weight"] = positive(3 * out, into, 1, 1) / into
        state[f"{name}.gcn.conv.bias"] = positive(3 * out, high=1.0)
        state |= norm_entries(f"{name}.tcn.0", out) | norm_entries(f"{name}.tcn.3", out)
        state[f"{name}.tcn.2.weight"] = positive(out, out, 9, 1) / (9 * out)
        state[f"{name}.tcn.2.bias"] = positive(out, high=1.0)
        if i in (4, 7, 9):
            state[f"{name}.residual.0.weight"] = positive(out, into, 1, 1) / into
            state[f"{name}.residual.0.bias"] = positive(out, high=1.0)
            state |= norm_entries(f"{name}.residual.1", out)
    return state | {"fc.weight": positive(outputs, features), "fc.bias": positive(outputs)}


def stgcn(state: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """(features, output) in the release's order of operations."""

    n, c, t, v, m = x.shape
    h = norm(state, x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t), "data_bn")
    h = h.view(n, m, v, c, t).permute(0, 1, 3, 4, 2).reshape(n * m, c, t, v)
    for i in range(10):
        name, stride = f"st_gcn_networks.{i}", 2 if i in (4, 7) else 1
        shortcut = h if i else torch.zeros(())
        if f"{name}.residual.0.weight" in state:
            projected = F.conv2d(h, state[f"{name}.residual.0.weight"], state[f"{name}.residual.0.bias"], (stride, 1))
            shortcut = norm(state, projected, f"{name}.residual.1")
        mixed = F.conv2d(h, state[f"{name}.gcn.conv.weight"], state[f"{name}.gcn.conv.bias"])
        mixed = mixed.view(n * m, 3, -1, *mixed.shape[2:])
        h = torch.einsum("nkctv,kvw->nctw", mixed, state["A"] * state[f"edge_importance{i + 1}"])
        h = norm(state, h, f"{name}.tcn.0").relu()
        h = F.conv2d(h, state[f"{name}.tcn.2.weight"], state[f"{name}.tcn.2.bias"], (stride, 1), (4, 0))
        h = (norm(state, h, f"{name}.tcn.3") + shortcut).relu()
    features = h.mean(dim=(2, 3)).view(n, m, -1).mean(dim=1)
    return features, features @ state["fc.weight"].t() + state["fc.bias"]


DSTA_STRIDES = 1, 1, 2, 1, 2, 1, 1, 1


def dsta_weights(channels: int, features: int, outputs: int, maps: int = 3) -> dict[str, Tensor]:
    """A state dict of the Transformer under the release's names; comparisons small, so that no tanh is at its end."""
    c = channels
    widths = [c, c, c, 2 * c, 2 * c, 4 * c, 4 * c, 4 * c, features]
    state = {"proj.weight": positive(c, 3, 1, 1) / 3, "proj.bias": positive(c)} | norm_entries("input_map.0", c)

    def layer(name: str, out: int, into: int, kernel: int = 1) -> None:
        state[f"{name}.0.weight"] = 0.4 * positive(out, into, kernel, 1) / (into * kernel)
        state[f"{name}.0.bias"] = 0.1 * positive(out)
        state.update(norm_entries(f"{name}.1", out))
        state[f"{name}.1.bias"] *= 0.1

    for i in range(8):
        into, out, name, width = widths[i], widths[i + 1], f"graph_layers.{i}", c // 2 if i < 4 else c
        state[f"{name}.alphas"] = positive(1, maps, 1, 1) / 25
        state[f"{name}.attention0s"] = positive(1, maps, 25, 25) / 25
        state[f"{name}.in_nets.weight"] = 0.2 * positive(2 * maps * width, into, 1, 1) / (into * 2**i)
        state[f"{name}.in_nets.bias"] = 0.2 * positive(2 * maps * width)
        layer(f"{name}.out_nets", out, maps * into)
        layer(f"{name}.ff_nets", out, out)
        layer(f"{name}.out_nett", out, out, 7)
        if into != out or DSTA_STRIDES[i] != 1:
            layer(f"{name}.downs1", out, into)
            layer(f"{name}.downs2", out, into)
            layer(f"{name}.downt2", out, out)
    return state | {"fc.weight": positive(outputs, features), "fc.bias": positive(outputs)}


def dsta(state: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """(features, output) in the release's order of operations."""
    n, c, t, v, m = x.shape

    def layer(h: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.0.weight"]
        made = F.conv2d(h, weight, state[f"{name}.0.bias"], (stride, 1), (weight.shape[2] // 2, 0))
        return norm(state, made, f"{name}.1")

    h = F.conv2d(x.permute(0, 4, 1, 2, 3).reshape(n * m, c, t, v), state["proj.weight"], state["proj.bias"])
    h = F.leaky_relu(norm(state, h, "input_map.0"), 0.1)
    for i, stride in enumerate(DSTA_STRIDES):
        name, channels = f"graph_layers.{i}", h.shape[1]
        place = torch.zeros(channels, v)
        for joint in range(v):
            for k in range(channels):
                angle = joint / 10000 ** ((k - k % 2) / channels)
                place[k, joint] = np.cos(angle) if k % 2 else np.sin(angle)
        both = F.conv2d(h + place[:, None], state[f"{name}.in_nets.weight"], state[f"{name}.in_nets.bias"])
        maps = state[f"{name}.alphas"].shape[1]
        both = both.view(n * m, 2, maps, -1, h.shape[2], v)
        like = torch.einsum("rscta,rsctb->rsab", both[:, 0], both[:, 1]) / (both.shape[3] * h.shape[2])
        attention = torch.tanh(like) * state[f"{name}.alphas"] + state[f"{name}.attention0s"]
        gathered = torch.einsum("rcta,rsab->rsctb", h, attention).reshape(n * m, maps * channels, h.shape[2], v)
        changed = f"{name}.downs1.0.weight" in state
        y = F.leaky_relu((layer(h, f"{name}.downs1") if changed else h) + layer(gathered, f"{name}.out_nets"), 0.1)
        y = F.leaky_relu((layer(h, f"{name}.downs2") if changed else h) + layer(y, f"{name}.ff_nets"), 0.1)
        around = layer(y, f"{name}.downt2", stride) if changed else y
        h = F.leaky_relu(around + layer(y, f"{name}.out_nett", stride), 0.1)
    features = h.mean(dim=(2, 3)).view(n, m, -1).mean(dim=1)
    return features, features @ state["fc.weight"].t() + state["fc.bias"]


def losses(raw: dict[str, Tensor], k: Tensor, queue: Tensor, temperature: float, mined: bool) -> Arrays:
    """Terms of the loss and the gradients of its total, from probabilities rather than logits."""
    leaves = {name: z.clone().requires_grad_() for name, z in raw.items()}
    p = []
    for z in leaves.values():
        unit = z / z.norm(dim=1, keepdim=True)
        similarities = torch.cat([(unit * k).sum(dim=1, keepdim=True), unit @ queue], dim=1)
        p.append(torch.softmax(similarities / temperature, dim=1))
    chosen = torch.zeros_like(p[0])
    chosen[:, 0] = 1
    for row in range(len(k)) if mined else ():
        for each in p:
            chosen[row, 1 + int(each[row, 1:].argmax())] = 1
    terms = {"info_nce": (-(p[0].log() * chosen).sum(dim=1) / chosen.sum(dim=1)).mean()}
    for i in (1, 2):
        terms[f"hier_{i}"] = -(p[i - 1].detach() * p[i].log()).sum(dim=1).mean()
    total = terms["info_nce"] + (terms["hier_1"] + terms["hier_2"]) / 2
    total.backward()
    return terms | {"total": total} | {f"grad_{name}": leaf.grad for name, leaf in leaves.items()}


def shear(x: np.ndarray, s: np.ndarray) -> np.ndarray:
    """x' = S x for every point."""
    matrix = np.array([[1, s[0], s[3]], [s[1], 1, s[4]], [s[2], s[5], 1]])
    return np.einsum("ij,jtvm->itvm", matrix, x)


def crop(x: np.ndarray, start: int) -> np.ndarray:
    """T frames from `start` of the clip with T // 6 mirrored frames at each end."""
    frames = x.shape[1]
    pad = frames // 6
    order = [*reversed(range(pad)), *range(frames), *reversed(range(frames - pad, frames))]
    return x[:, order[start : start + frames]]


def rotate(x: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """About x, then y, then z; about x, a positive angle carries z towards y."""
    for axis, angle in enumerate(np.radians(degrees)):
        a, b = ((1, 2), (2, 0), (0, 1))[axis]
        x = x.copy()
        x[a], x[b] = np.cos(angle) * x[a] + np.sin(angle) * x[b], -np.sin(angle) * x[a] + np.cos(angle) * x[b]
    return x


def blur(x: np.ndarray, sigma: float) -> np.ndarray:
    """Fifteen taps, zeros beyond the ends, the sum of the taps not divided out."""
    out = np.zeros_like(x)
    for shift in range(-7, 8):
        for t in range(x.shape[1]):
            if 0 <= t + shift < x.shape[1]:
                out[:, t] += np.exp(-(shift**2) / (2 * sigma**2)) * x[:, t + shift]
    return out


def adain(content: np.ndarray, style: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Give content the mean and deviation of style along these axes."""

    def deviation(x: np.ndarray) -> np.ndarray:
        return np.sqrt(x.var(axis=axes, ddof=1, keepdims=True) + 1e-5)

    whitened = (content - content.mean(axis=axes, keepdims=True)) / deviation(content)
    return whitened * deviation(style) + style.mean(axis=axes, keepdims=True)


def _augment(rng: np.random.Generator, frames: int) -> Arrays:
    x = rng.normal(size=(3, frames, 25, 2))
    s, degrees = rng.uniform(-0.5, 0.5, 6), rng.uniform(1, 30, 3)
    start, sigma, axis = int(rng.integers(0, 2 * (frames // 6) + 1)), rng.uniform(0.5, 2), int(rng.integers(3))
    masked = x.copy()
    masked[axis] = 0
    content, style = rng.normal(size=(3, 3, frames, 25, 2)), rng.normal(1, 2, size=(3, 3, frames, 25, 2))
    return {
        "x": x,
        "flip_permutation": np.array(FLIP),
        "shear/s": s,
        "shear/out": shear(x, s),
        "crop/start": start,
        "crop/out": crop(x, start),
        "rotate/degrees_xyz": degrees,
        "rotate/out": rotate(x, degrees),
        "blur/sigma": sigma,
        "blur/out": blur(x, sigma),
        "axis_mask/axis": axis,
        "axis_mask/out": masked,
        "adain/content": content,
        "adain/style": style,
        "adain/out_TV": adain(content, style, (2, 3)),
        "adain/out_V": adain(content, style, (3,)),
    }


def _save(path: Path, arrays: Arrays) -> None:
    kept = {k: v.detach().numpy() if isinstance(v, Tensor) else np.asarray(v) for k, v in arrays.items()}
    np.savez(path, **{k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in kept.items()})


def write_reference(folder: Path, seed: int = 0) -> None:
    """The five files, small and random."""
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state, x = weights(channels=2, features=7, outputs=5), torch.rand(2, 3, 24, 25, 2)
        features, output = stgcn(state, x)
        raw = {name: F.normalize(torch.randn(8, 16), dim=1) for name in ("q", "q1", "q2")}
        k, queue = F.normalize(torch.randn(8, 16), dim=1), F.normalize(torch.randn(16, 40), dim=0)
        half = {k: v if v.dtype == torch.int64 else v.half() for k, v in dsta_weights(2, 7, 5).items()}
        attended, answer = dsta({name: value.float() for name, value in half.items()}, x)
    named = {f"param/{name}": value for name, value in state.items()}
    _save(folder / "st_gcn.npz", {"adjacency": graph(), "x": x, "features": features, "output": output} | named)
    named = {f"param/{name}": value for name, value in half.items()}
    _save(folder / "dsta.npz", {"x": x, "features": attended, "output": answer} | named)
    terms: Arrays = raw | {"k": k, "queue": queue, "temperature": 0.07}
    for kind in ("plain", "mined"):
        computed = losses(raw, k, queue, 0.07, mined=kind == "mined")
        terms |= {f"{kind}/{name}": value for name, value in computed.items()}
    _save(folder / "hiclr_loss.npz", terms)
    _save(folder / "augment.npz", _augment(rng, 20))
    clip = rng.normal(size=(2, 3, 12, 25, 2))
    bone, motion = np.zeros_like(clip), np.zeros_like(clip)
    for child, parent in BONES:
        bone[:, :, :, child] = clip[:, :, :, child] - clip[:, :, :, parent]
    motion[:, :, :-1] = clip[:, :, 1:] - clip[:, :, :-1]
    _save(folder / "streams.npz", {"x": clip, "bone": bone, "motion": motion})
