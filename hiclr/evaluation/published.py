"""What papers report on the public benchmarks, and why another number may come out. None of it was measured here."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hiclr.datasets import SkeletonSet
from hiclr.datasets.readers.clips import PUBLISHED_SPLITS, official_protocol
from hiclr.evaluation.longer import SEMI
from hiclr.evaluation.notes import OTHER_CLIPS
from hiclr.pretraining import PRESETS
from hiclr.skeleton import NTU_25

__all__ = ["BENCHMARKS", "PUBLISHED", "SOURCES", "PublishedValue", "benchmark_of", "expected", "expected_fused"]

BENCHMARKS = {
    "ntu60-xsub": "NTU RGB+D 60, cross-subject",
    "ntu60-xview": "NTU RGB+D 60, cross-view",
    "ntu120-xsub": "NTU RGB+D 120, cross-subject",
    "ntu120-xset": "NTU RGB+D 120, cross-setup",
    "pku1-xsub": "PKU-MMD part I, cross-subject",
    "pku2-xsub": "PKU-MMD part II, cross-subject",
}
"""Benchmark -> its name in words."""

SOURCES = {
    "HiCLR": "HiCLR (arXiv 2211.13466), tables 1 and 2",
    "HiCLR code": "README of JHang2020/HiCLR",
    "AimCLR code": "README of Levigty/AimCLR",
    "CrosSCLR code": "README of LinguoLi/CrosSCLR",
    "ActCLR code": "README of LanglandsLin/ActCLR",
    "SkeleMixCLR code": "README of czhaneva/SkeleMixCLR",
    "UmURL code": "README of HuiGuanLab/UmURL",
    "AimCLR-v2 code": "README of Levigty/AimCLR-v2",
    "STARS code": "README of TaatiTeam/STARS",
    "PCM3": "tables of PCM3 (ACM MM 2023), its authors' page",
    "DiMoP": "tables of the DiMoP paper",
    "list": "README of Yingfei-Wu's list of self-supervised methods for skeletons",
    "SLiM": "model card of JeonghyeokDo/SLiM",
    "papers": "the methods' own papers, as collected for this project",
    "notes": "reading notes on TranCLR (CVPR 2026), second-hand",
}
"""Short name of a source -> what it is."""

JOINT, BONE, MOTION, THREE, UNSAID = "joint", "bone", "motion", "three streams", "not said"


@dataclass(frozen=True)
class PublishedValue:
    """One cell of somebody's table.

    Args:
        protocol: "linear", "knn", "finetune", "semi 1 %", "transfer" …
        method: whose.
        stream: what its encoder saw: joint, bone, motion, three streams fused; "not said".
        benchmark: a key of `BENCHMARKS`.
        value: in %.
        source: a key of `SOURCES`.
    """

    protocol: str
    method: str
    stream: str
    benchmark: str
    value: float
    source: str


_NO = math.nan  # not published, or not found
_Row = tuple[str, str, str, tuple[float, ...]]

# Method, stream, source, then a value for each benchmark in the order of BENCHMARKS: NTU 60 cross-subject and
# cross-view, NTU 120 cross-subject and cross-setup, PKU-MMD I and II; trailing gaps are left out.
_TABLES: dict[str, tuple[_Row, ...]] = {
    "linear": (
        ("HiCLR", THREE, "HiCLR", (80.4, 85.5, 70.0, 70.4)),
        ("HiCLR", THREE, "PCM3", (_NO, _NO, _NO, _NO, _NO, 53.8)),
        ("HiCLR", JOINT, "HiCLR code", (77.30,)),
        ("HiCLR", BONE, "HiCLR code", (75.59,)),
        ("HiCLR", MOTION, "HiCLR code", (70.29,)),
        ("HiCLR, released weights", THREE, "HiCLR code", (80.94,)),
        ("HiCLR, Transformer", UNSAID, "HiCLR", (78.8, 83.1, 67.3, 69.9)),
        ("AimCLR", THREE, "HiCLR", (78.9, 83.8, 68.2, 68.8)),
        ("AimCLR", THREE, "PCM3", (_NO, _NO, _NO, _NO, _NO, 38.5)),
        ("AimCLR", JOINT, "AimCLR code", (74.34, 79.68, _NO, _NO, 83.43)),
        ("AimCLR", BONE, "AimCLR code", (71.87, 77.02, _NO, _NO, 82.03)),
        ("AimCLR", MOTION, "AimCLR code", (68.68, 71.83, _NO, _NO, 72.00)),
        ("AimCLR, released weights", THREE, "AimCLR code", (79.18, 84.02, _NO, _NO, 87.79)),
        ("CrosSCLR", THREE, "CrosSCLR code", (77.8, 83.4, 67.9, 66.7)),
        ("ISC", UNSAID, "HiCLR", (76.3, 85.2, 67.9, 67.1)),
        ("GL-Transformer", UNSAID, "HiCLR", (76.3, 83.8, 66.0, 68.7)),
        ("SLiM", JOINT, "SLiM", (87.9, 93.2)),
        ("PCM3", THREE, "PCM3", (87.4, 93.1, 80.0, 81.2, _NO, 58.2)),
        ("STARS", JOINT, "STARS code", (87.1, 90.9, 79.9, 80.8, _NO, 52.7)),
        ("DiMoP", JOINT, "DiMoP", (86.8, 91.9, 80.7, 81.8, 93.2)),
        ("MS-CLR", JOINT, "list", (86.6, 93.2, 74.3, 73.8)),
        ("MacDiff", JOINT, "list", (86.4, 91.0, 79.4, 80.2)),
        ("MacDiff", JOINT, "DiMoP", (_NO, _NO, _NO, _NO, 92.8)),
        ("IGM", JOINT, "list", (86.2, 91.2, 80.0, 81.4)),
        ("USDRL", JOINT, "list", (85.2, 91.7, 76.6, 78.1, _NO, 54.4)),
        ("MAMP", JOINT, "list", (84.9, 89.1, 78.6, 79.1, _NO, 53.8)),
        ("MAMP", JOINT, "DiMoP", (_NO, _NO, _NO, _NO, 92.2)),
        ("UmURL, one model", THREE, "UmURL code", (84.2, 90.9, 75.2, 76.3)),
        ("CMD", THREE, "PCM3", (84.1, 90.9, 74.7, 76.1, _NO, 52.6)),
        ("ActCLR", THREE, "ActCLR code", (84.3, 88.8, 74.3, 75.7)),
        ("ActCLR", JOINT, "ActCLR code", (80.9, 86.7, 69.0, 70.5)),
        ("SkeleMixCLR+", JOINT, "SkeleMixCLR code", (80.7, 85.5, 69.0, 68.2)),
        ("PSTL", JOINT, "DiMoP", (77.3, 81.8, 69.2, 67.7, 88.4)),
        ("PSTL", THREE, "DiMoP", (79.1, 83.8, _NO, _NO, 89.2)),
        ("HaLP", JOINT, "PCM3", (79.7, 86.8, 71.1, 72.2, _NO, 43.5)),
        ("AimCLR++", THREE, "AimCLR-v2 code", (80.9, 85.4, _NO, _NO, 90.4, 41.2)),
        ("TranCLR", JOINT, "notes", (_NO, _NO, 74.3)),
        ("TranCLR", THREE, "notes", (_NO, _NO, 78.8)),
    ),
    "knn": (
        ("LongT-GAN", UNSAID, "papers", (39.1, 48.1, 31.5, 35.5)),
        ("ISC", UNSAID, "papers", (62.5, 82.6, 50.6, 52.3)),
        ("CRRL", UNSAID, "papers", (60.7, 75.2)),
        ("HaLP", UNSAID, "papers", (65.8, 83.6, 55.8, 59.0)),
        ("CMD", UNSAID, "papers", (70.6, 85.4, 58.3, 60.9)),
        ("UmURL, one model", THREE, "papers", (72.0, 88.9, 59.5, 62.2)),
        ("PCM3", UNSAID, "PCM3", (73.7, 88.8, 63.1, 66.8)),
        ("TranCLR", UNSAID, "notes", (74.6, _NO, 59.1)),
        ("STARS", JOINT, "STARS code", (79.9, 88.6, 67.6, 67.7)),
    ),
    "finetune": (
        ("HiCLR", THREE, "HiCLR", (88.3, 93.2, 82.1, 83.7)),
        ("HiCLR, Transformer", THREE, "HiCLR", (90.4, 95.7, 85.6, 87.5)),
        ("CrosSCLR", THREE, "HiCLR", (86.2, 92.5, 80.5, 80.4)),
        ("AimCLR", THREE, "HiCLR", (86.9, 92.8, 80.1, 80.9)),
        ("Hi-TRS", THREE, "HiCLR", (90.0, 95.7, 85.3, 87.4)),
        ("ST-GCN without pretraining", THREE, "DiMoP", (85.2, 91.4, 77.2, 77.1)),
    ),
    "semi 1 %": (
        ("AimCLR", THREE, "DiMoP", (54.8,)),
        ("ActCLR", THREE, "DiMoP", (64.8,)),
        ("HaLP", UNSAID, "papers", (46.6,)),
        ("USDRL", UNSAID, "papers", (57.3,)),
        ("SkeletonMAE", JOINT, "papers", (54.4,)),
        ("MAMP", JOINT, "DiMoP", (66.0,)),
        ("MacDiff", JOINT, "papers", (65.6,)),
        ("DiMoP", JOINT, "DiMoP", (70.1,)),
    ),
    "semi 10 %": (
        ("AimCLR", THREE, "DiMoP", (78.2,)),
        ("ActCLR", THREE, "DiMoP", (81.7,)),
        ("HaLP", UNSAID, "papers", (72.6,)),
        ("USDRL", UNSAID, "papers", (80.2,)),
        ("SkeletonMAE", JOINT, "papers", (80.6,)),
        ("MAMP", JOINT, "DiMoP", (88.0,)),
        ("MacDiff", JOINT, "papers", (88.2,)),
        ("DiMoP", JOINT, "DiMoP", (88.4,)),
    ),
    "transfer": (
        *(
            (f"{method}, from NTU {size}", JOINT, "papers", (*[_NO] * 5, value))
            for method, both in {
                "SkeletonMAE": (58.4, 61.0),
                "MAMP": (70.6, 73.2),
                "MacDiff": (72.2, 73.4),
                "S-JEPA": (71.4, 74.2),
                "DiMoP": (72.4, 73.9),
            }.items()
            for size, value in zip((60, 120), both, strict=True)
        ),
    ),
    "calibration error": (
        ("ActCLR", UNSAID, "notes", (5.25, _NO, 5.71, 5.63)),
        ("TranCLR", UNSAID, "notes", (0.98, _NO, 0.78, 0.65)),
    ),
}

PUBLISHED: tuple[PublishedValue, ...] = tuple(
    PublishedValue(protocol, method, stream, benchmark, value, source)
    for protocol, rows in _TABLES.items()
    for method, stream, source, values in rows
    for benchmark, value in zip(BENCHMARKS, values, strict=False)
    if not math.isnan(value)
)
"""Every published value; HiCLR has no published kNN, few-label, transfer or calibration figures."""

# protocol of a table -> what of ours is measured alike: (protocol, measure)
_OURS = {
    "linear": tuple((f"linear{name}", "top1") for name in ("", "-hiclr", "-actclr", "-mamp", "-sgd")),
    "knn": (("knn", "1"),),
    "finetune": (("finetune", "top1"),),
    "semi 1 %": tuple((name, "1 % top1") for name in SEMI),
    "semi 10 %": tuple((name, "10 % top1") for name in SEMI),
    "transfer": (("transfer", "top1"),),
    "calibration error": (("calibration", "ece"),),
}  # fmt: skip

_CLASSES = {60: "ntu60", 120: "ntu120", 51: "pku1", 41: "pku2"}
_NEARLY = 0.9  # of the published clips: what lists of missing clips can explain
_COMPARED = ("frames", "batch_size", "method", "branches", "views", "encoder", "channels", "features", "persons",
             "queue_size", "temperature", "momentum", "mining_epoch", "optimiser", "lr")  # fmt: skip
_EPOCHS = {"pku2-xsub": 1500}  # HiCLR's configuration for it


def benchmark_of(clips: SkeletonSet, split: str | None = None) -> str | None:
    """Which public benchmark a split of a set is, a key of `BENCHMARKS`; None where it is none.

    Told by the name of the split and of the clips; else by the classes, with the joints of Kinect v2. Generated clips
    are no benchmark whatever their names.

    Args:
        clips: the set.
        split: one of its protocols; the first when left out.
    """
    name = clips.protocol if split is None else split
    if name is None or clips.synthetic:
        return None
    called = name if name in BENCHMARKS else official_protocol(name, clips.names, clips.source)
    if called not in BENCHMARKS and clips.layout.joints == NTU_25.joints:
        called = f"{_CLASSES.get(clips.num_classes)}-{called}"
    return called if called in BENCHMARKS else None


def expected(result: Mapping[str, Any], config: Mapping[str, Any], benchmark: str) -> dict[str, Any]:
    """What papers report on a benchmark beside what was measured, and what may explain the difference.

    Args:
        result: of `hiclr.evaluation.evaluate`.
        config: the settings of the run.
        benchmark: a key of `BENCHMARKS`.

    Returns:
        "benchmark", "title", "rows" (for each "protocol", "stream", "method", "published" and "ours" in %, of which
        exactly one is a number and the other None, and "source") and "reasons" (sentences).
    """
    rows = []
    for protocol in _TABLES:
        theirs = _theirs(protocol, benchmark)
        rows += [*_ours(protocol, result), *theirs] if theirs else []
    alone = (
        f"Stream: this run sees {result['stream']} alone. Values of three streams are sums of the scores of three runs "
        "(`hiclr fuse`), whose weights published code chooses on the test part."
    )
    return {
        "benchmark": benchmark,
        "title": BENCHMARKS[benchmark],
        "rows": rows,
        "reasons": list(_reasons(result, config, benchmark, alone)),
    }


def expected_fused(result: Mapping[str, Any], config: Mapping[str, Any], benchmark: str) -> dict[str, Any]:
    """The same of runs whose scores were added: linear probes alone.

    Args:
        result: of `hiclr.evaluation.evaluate_fusion`.
        config: the settings of the first of the runs.
        benchmark: a key of `BENCHMARKS`.
    """
    streams, runs = ([str(one[key]) for one in result["streams"]] for key in ("stream", "run"))
    together = THREE if sorted(streams) == sorted((JOINT, BONE, MOTION)) else " + ".join(streams)
    ours = [_row("linear", str(one["stream"]), "measured here (linear)", None, one["top1"],
                 f"run {one['run']}, epoch {one['epoch']}") for one in result["streams"]]  # fmt: skip
    for name, one in result["fusion"].items():
        weights = " ".join(f"{weight:.2f}" for weight in one["weights"])
        ours.append(
            _row("linear", together, f"measured here ({name} weights)", None, one["top1"], f"weights {weights}")
        )
    fused = (
        f"Fusion: ours adds the scores of {', '.join(runs)} with equal weights, or with weights chosen on clips held "
        "out of train; published code chooses them on the test part."
    )
    least = {**result, "epoch": min(one["epoch"] for one in result["streams"]), "linear": {}}
    return {
        "benchmark": benchmark,
        "title": BENCHMARKS[benchmark],
        "rows": [*ours, *_theirs("linear", benchmark)],
        "reasons": list(_reasons(least, config, benchmark, fused)),
    }


def _theirs(protocol: str, benchmark: str) -> list[dict[str, Any]]:
    found = [value for value in PUBLISHED if (value.protocol, value.benchmark) == (protocol, benchmark)]
    return [_row(v.protocol, v.stream, v.method, v.value, None, SOURCES[v.source]) for v in _sorted(found)]


def _sorted(values: Sequence[PublishedValue]) -> list[PublishedValue]:
    """The method of this package first, then from high to low."""
    return sorted(values, key=lambda value: (not value.method.startswith("HiCLR"), -value.value))


def _row(
    protocol: str, stream: str, method: str, published: float | None, ours: float | None, source: str
) -> dict[str, Any]:
    return {"protocol": protocol, "stream": stream, "method": method, "published": published, "ours": ours,
            "source": source}  # fmt: skip


def _ours(protocol: str, result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, measure in _OURS[protocol]:
        if measure in result.get(name, {}):
            said = f"run {result['run']}, epoch {result['epoch']}, seed {result['seed']}"
            yield _row(protocol, str(result["stream"]), f"measured here ({name})", None, result[name][measure], said)


def _reasons(result: Mapping[str, Any], config: Mapping[str, Any], benchmark: str, of_streams: str) -> Iterator[str]:
    """Why another number may come out, what weighs most first."""
    yield from _of_data(result, benchmark)
    wanted = _EPOCHS.get(benchmark, PRESETS["paper"].epochs)
    if result["epoch"] < wanted:
        yield f"Epochs: the encoder is that of epoch {result['epoch']}; the paper's is that of epoch {wanted}."
    paper = PRESETS["paper"].to_dict()
    changed = [name for name in _COMPARED if config.get(name, paper[name]) != paper[name]]
    other = [f"{name} {config[name]} ({paper[name]})" for name in changed]
    if other:
        yield f"Settings that differ from the paper's, which stand in brackets: {', '.join(other)}."
    yield of_streams
    yield (
        "Test peeking: published code keeps the best test epoch of the probe; ours is the last epoch, and nothing is "
        f"chosen on the test part.{_peeked(result)}"
    )
    if "linear" in result and "linear-hiclr" not in result:
        yield (
            "Probe: `linear` is a logistic regression on standardised features; HiCLR's own probe (SGD, learning rate "
            "3, batch 128) is the protocol linear-hiclr, that of ActCLR (batch 1024) linear-actclr."
        )
    yield "Luck: ours is one seed, and few papers say how far another one moves a value."


def _of_data(result: Mapping[str, Any], benchmark: str) -> Iterator[str]:
    classes = result["data"]["classes"]
    count = next(number for number, name in _CLASSES.items() if benchmark.startswith(f"{name}-"))
    if classes != count:
        yield f"Classes: {classes} here and {count} published, another task: these values are not comparable."
    published = PUBLISHED_SPLITS.get(benchmark)
    here = (result["data"]["train"], result["data"]["test"])
    if published is not None and here != published:
        near = all(_NEARLY < mine / theirs < 1 / _NEARLY for mine, theirs in zip(here, published, strict=True))
        yield (
            f"Clips: {here[0]:,} train and {here[1]:,} test; published are {published[0]:,} and {published[1]:,}. "
            + ("`hiclr doctor` says which list of missing clips explains it." if near else "This is another set.")
        )
    yield from (f"Pretraining: {note}" for note in result.get("notes", ()) if note.startswith(OTHER_CLIPS))


def _peeked(result: Mapping[str, Any]) -> str:
    best = [
        f"{name} {found['best_on_test']:.2f} instead of {found['top1']:.2f}"
        for name, found in ((name, result.get(name, {})) for name, _ in _OURS["linear"])
        if "best_on_test" in found
    ]
    return f" Chosen like that, ours would be: {', '.join(best)}." if best else ""
