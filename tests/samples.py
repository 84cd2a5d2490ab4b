"""Small whole files of every format that is read, made here: what the fuzzer damages."""

import io
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hiclr.skeleton import KINECT_20_SDK

__all__ = ["RAW", "SAMPLES", "Files", "Sample"]

Files = Mapping[str, bytes]

_SETS = ("open", "convert", "diagnose")


@dataclass(frozen=True)
class Sample:
    """Whole files and how they are read.

    Args:
        files: name -> content, in folders where the name says so.
        place: which of them to open; "" is the folder with all of them.
        ways: how; see `fuzz`.
    """

    files: Files
    place: str = ""
    ways: tuple[str, ...] = _SETS


def _body(seed: int, frames: int, joints: int = 25) -> np.ndarray:
    """(T, V, 3) float32: someone upright, in metres, who moves."""
    rng = np.random.default_rng(seed)
    rest = rng.normal(size=(joints, 3)) * (0.2, 0.6, 0.1) + (0, 0, 3)
    return (rest + np.cumsum(rng.normal(size=(frames, joints, 3)) * 0.02, axis=0)).astype(np.float32)


def _numbers(values: Any) -> str:
    return " ".join(f"{v:.6g}" for v in np.ravel(values))


def _npy(array: Any) -> bytes:
    made = io.BytesIO()
    np.save(made, array, allow_pickle=True)
    return made.getvalue()


def _skeleton(seed: int, frames: int, bodies: int) -> bytes:
    people = [_body(seed + i, frames) for i in range(bodies)]
    lines = [str(frames)]
    for frame in range(frames):
        lines.append(str(bodies))
        for number, person in enumerate(people):
            lines += [f"7205759403793{number} 0 1 1 1 1 0 0.1 -0.2 2", "25"]
            lines += [f"{_numbers(joint)} 1 2 3 4 0 0 0 1 2" for joint in person[frame]]
    return "\r\n".join([*lines, ""]).encode()


def _ntu() -> Files:
    names = ("S001C001P001R001A001", "S001C002P002R001A050", "sub/S018C003P003R001A061")
    return {f"{name}.skeleton": _skeleton(i, 3, 1 + i % 2) for i, name in enumerate(names)}


def _pku() -> Files:
    files = {"Split/cross-view.txt": b"Training videos:\n0002-L,\n\nValidataion videos:\n0003-M\n"}
    for i, (video, labels) in enumerate({"0002-L": "3,1,4,1\n4,2,9,2\n", "0003-M": "1,2,12\n51,12,12,1\n"}.items()):
        x = np.stack([_body(i, 12), np.zeros((12, 25, 3))], axis=1)
        files[f"Data/{video}.txt"] = "".join(f"{_numbers(frame)}\n" for frame in x).encode()
        files[f"Label/{video}.txt"] = labels.encode()
    return files


def _positions(clips: int, seed: int, frames: int = 4, persons: int = 2) -> np.ndarray:
    """(N, 3, T, 25, M) float32; only the first person is there."""
    x = np.zeros((clips, 3, frames, 25, persons), dtype=np.float32)
    for i in range(clips):
        x[i, ..., 0] = _body(seed + i, frames).transpose(2, 0, 1)
    return x


def _arrays() -> Files:
    names = [f"S001C00{2 - i // 3}P00{i}R001A00{1 + i % 2}.skeleton" for i in range(5)]
    files = {}
    for protocol in ("xsub", "xview"):
        files |= {
            f"{protocol}/train_position.npy": _npy(_positions(3, seed=0)),
            f"{protocol}/train_label.pkl": pickle.dumps((names[:3], [0, 1, 0]), protocol=2),
            f"{protocol}/val_position.npy": _npy(np.asfortranarray(_positions(2, seed=3).astype(np.float64))),
            f"{protocol}/val_label.pkl": pickle.dumps((names[3:], np.array([1, 0])), protocol=4),
        }
    return files


def _arrays_npy() -> Files:
    return {
        "train_data.npy": _npy(_positions(3, seed=0, persons=1)[..., 0]),
        "train_label.npy": _npy(np.array([0, 1, 2])),
        "val_data.npy": _npy(_positions(2, seed=3)),
        "val_label.npy": _npy(np.array([0, 1], dtype=object)),
    }


def _pyskl() -> Files:
    names = [f"S001C00{1 + i}P00{1 + i}R001A00{1 + i % 2}" for i in range(4)]
    annotations = [
        {
            "frame_dir": name,
            "label": np.int64(i % 2) if i else i,
            "img_shape": (1080, 1920),
            "total_frames": 4,
            "keypoint": np.stack([_body(10 * i + m, 4) for m in range(1 + i)]).astype(np.float16 if i else np.float32),
        }
        for i, name in enumerate(names)
    ]
    content = {"split": {"xsub_train": names[:2], "xsub_val": names[2:]}, "annotations": annotations[:3]}
    return {
        "ntu60_3danno.pkl": pickle.dumps(content, protocol=4),
        "old.pickle": pickle.dumps(annotations[3:], protocol=0),
    }


_HIERARCHY = """HIERARCHY
ROOT joint_Root
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Hips
  {
    OFFSET 0 90 0
    CHANNELS 6 Xposition Yposition Zposition Yrotation Xrotation Zrotation
    JOINT LeftArm
    {
      OFFSET 20 40 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {
        OFFSET 30 0 0
      }
    }
    JOINT RightArm
    {
      OFFSET -20 40 0
      CHANNELS 3 Zrotation Xrotation Yrotation
    }
  }
}
"""


def _motion(seed: int, frames: int) -> bytes:
    rng = np.random.default_rng(seed)
    rows = "".join(f"0 0 0 0 0 0 0 90 0 {_numbers(rng.uniform(-90, 90, 9))}\n" for _ in range(frames))
    return f"{_HIERARCHY}MOTION\nFrames: {frames}\nFrame Time: 0.0333333\n{rows}".encode()


def _bvh() -> Files:
    names = ("dataset-2_walk_active_001", "dataset-2_run_elderly_002", "dataset-2_walk_normal_003")
    return {f"{name}.bvh": _motion(i, 4) for i, name in enumerate(names)}


def _msr() -> Files:
    files = {}
    for i, name in enumerate(("a01_s01_e01", "a20_s02_e03")):
        lines = (f"{_numbers(joint)} 1.0\n" for frame in _body(i, 3, 20) for joint in frame)
        files[f"{name}_skeleton3D.txt"] = "".join(lines).encode()
    return files


def _utkinect() -> Files:
    labels = "s01_e01\nwalk: 10 14\nsitDown: 20  24\ncarry: NaN NaN\nthrow: 22 30\ns02_e01\nwalk: 10 30\n"
    files = {"actionLabel.txt": labels.encode()}
    numbers = (10, 12, 12, 14, 20, 22, 24, 30)
    for i, name in enumerate(("joints_s01_e01.txt", "joints_s02_e01.txt")):
        frames = zip(numbers, _body(i, len(numbers), 20), strict=True)
        files[name] = "".join(f"{n}   {_numbers(frame)}  \n" for n, frame in frames).encode()
    return files


def _interchange(joints: int) -> dict[str, np.ndarray]:
    x = np.zeros((5, 3, 6, joints, 1), dtype=np.float32)
    for i in range(len(x)):
        x[i, ..., 0] = _body(i, 6, joints).transpose(2, 0, 1)
    x[4, :, 4:] = 0
    keys: dict[str, Any] = {
        "x": x,
        "y": [0, 1, 2, 0, 1],
        "subject": [1, 2, 3, 1, 2],
        "camera": [1, 2, 3, 1, 2],
        "length": [6, 6, 6, 6, 4],
        "names": [f"clip{i}" for i in range(5)],
        "classes": ["wave", "run", "sit"],
        "test_subjects": [2],
        "fps": 30.0,
    }
    if joints != 25:
        keys["joint_names"], keys["parents"] = KINECT_20_SDK.joints, KINECT_20_SDK.parents
        keys["pairs"], keys["layout"] = KINECT_20_SDK.pairs, KINECT_20_SDK.name
    return {key: np.asarray(value) for key, value in keys.items()}


def _npz(joints: int) -> bytes:
    made = io.BytesIO()
    (np.savez if joints == 25 else np.savez_compressed)(made, **_interchange(joints))
    return made.getvalue()


def _folder() -> Files:
    files = {f"{key}.npy": _npy(value) for key, value in _interchange(20).items() if key != "classes"}
    meta = {"format": "hiclr", "fingerprint": "0" * 64, "classes": ["wave", "run", "sit"]}
    return {**files, "meta.json": json.dumps(meta).encode()}


_LAYOUT: dict[str, Any] = {
    "name": "upper7",
    "names": ["chest", "head", "arm_l", "arm_r", "hand_l", "hand_r", "belt"],
    "parents": ["chest", 0, "chest", "chest", "arm_l", "arm_r", "chest"],
    "pairs": [["arm_l", "arm_r"], ["hand_l", 5]],
    "centre": "belt",
    "shoulders": ["arm_l", "arm_r"],
}


def _layouts() -> Files:
    toml = "".join(f"{key} = {json.dumps(value)}\n" for key, value in _LAYOUT.items())
    return {"upper.toml": toml.encode(), "upper.json": json.dumps(_LAYOUT, indent=1).encode()}


def _labels() -> Files:
    return {
        "y.npy": _npy(np.array([0, 1, 2, 0, 1, 2])),
        "words.npy": _npy(np.array(["run", "walk", "run"])),
        "y.pkl": pickle.dumps((["a", "b"], [0, 1])),
    }


def _pickles() -> Files:
    rng = np.random.default_rng(0)
    content = {
        "plain": [1, 2.5, 2**40, (None, True, (), (1,), (1, 2)), "", "é中", "a\nb\\", b"\x00\xff", b"z" * 600, {1, 2}],
        "arrays": [rng.normal(size=(3, 4)), np.asfortranarray(rng.normal(size=(3, 4))), np.array(["aü", "中"]),
                   np.array([b"ab"]), np.array(["a", 1], dtype=object), np.arange(70, dtype=">i4"), np.int64(7)],
        "deeper": {"a": [{"b": [1]}], 3: "c"},
    }  # fmt: skip
    return {f"protocol{protocol}.pkl": pickle.dumps(content, protocol=protocol) for protocol in range(6)}


RAW: Mapping[str, Callable[[], Files]] = {
    "ntu": _ntu,
    "pku": _pku,
    "arrays": _arrays,
    "arrays-npy": _arrays_npy,
    "pyskl": _pyskl,
    "bvh": _bvh,
    "msr": _msr,
    "utkinect": _utkinect,
}
"""Raw files by format; a zip file holds one of these."""


def _each(files: Files, *ways: str) -> list[Sample]:
    return [Sample({name: content}, name, ways) for name, content in files.items()]


SAMPLES: Mapping[str, list[Sample]] = {
    **{name: [Sample(make())] for name, make in RAW.items()},
    "npz": [Sample({"set.npz": _npz(joints)}, "set.npz") for joints in (25, 20)],
    "folder": [Sample(_folder())],
    "layout": _each(_layouts(), "layout"),
    "labels": _each(_labels(), "diagnose"),
    "pickle": _each(_pickles(), "pickle"),
}
"""Format -> samples; that of zip files is made by the fuzzer, out of `RAW`."""
