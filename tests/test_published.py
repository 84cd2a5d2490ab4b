"""Published values: which set they belong to, never in our column, and why ours may differ."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from hiclr.datasets import SkeletonSet
from hiclr.evaluation import BENCHMARKS, PUBLISHED, benchmark_of, expected, expected_text
from hiclr.evaluation.notes import OTHER_CLIPS
from hiclr.evaluation.published import SOURCES, expected_fused
from hiclr.pretraining import PRESETS
from hiclr.skeleton import KINECT_20_SDK, NTU_25, Layout


def clips(
    names: tuple[str, ...], protocol: str, classes: int = 3, layout: Layout = NTU_25, source: str = "mine", **more: Any
) -> SkeletonSet:
    count = len(names)
    x = np.ones((count, 3, 2, layout.num_joints, 1), dtype=np.float32)
    return SkeletonSet.from_arrays(
        x, np.arange(count) % classes, layout=layout, source=source, names=names,
        classes=tuple(f"a{c}" for c in range(classes)), protocols={protocol: np.arange(count) == 0}, **more,
    )  # fmt: skip


PLAIN = tuple(f"clip {i}" for i in range(3))


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (clips(PLAIN, "ntu60-xsub"), "ntu60-xsub"),
        (clips(PLAIN, "ntu120-xset"), "ntu120-xset"),
        (clips(("S001C001P001R001A001", "S001C002P002R001A002"), "xview"), "ntu60-xview"),
        (clips(("S001C001P001R001A001", "S018C002P003R001A061"), "cross_subject"), "ntu120-xsub"),
        (clips(("0002-L", "0003-M"), "pku1-xsub"), "pku1-xsub"),
        (clips(PLAIN, "xsub", classes=60), "ntu60-xsub"),
        (clips(PLAIN, "cross-subject", classes=41), "pku2-xsub"),
        (clips(PLAIN, "xsub", classes=60, layout=KINECT_20_SDK), None),
        (clips(PLAIN, "xsub", classes=16), None),
        (clips(PLAIN, "mine", classes=60), None),
        (clips(PLAIN, "ntu60-xsub", synthetic=True), None),
    ],
)
def test_a_benchmark_is_told_by_names_or_classes(made: SkeletonSet, wanted: str | None):
    assert benchmark_of(made) == wanted
    if made.protocol is not None:
        assert benchmark_of(made, made.protocol) == wanted


def test_the_papers_own_values_are_there_with_their_source_and_stream():
    at = {(v.protocol, v.method, v.stream, v.benchmark): v.value for v in PUBLISHED}
    assert [at["linear", "HiCLR", "three streams", name] for name in tuple(BENCHMARKS)[:4]] == [80.4, 85.5, 70.0, 70.4]
    assert [at["linear", "HiCLR", s, "ntu60-xsub"] for s in ("joint", "bone", "motion")] == [77.30, 75.59, 70.29]
    assert at["finetune", "HiCLR", "three streams", "ntu120-xset"] == 83.7
    assert at["linear", "HiCLR", "three streams", "pku2-xsub"] == 53.8
    assert not [v for v in PUBLISHED if v.method.startswith("HiCLR") and v.protocol not in ("linear", "finetune")]
    assert all(v.benchmark in BENCHMARKS and v.source in SOURCES and 0 < v.value < 100 and v.stream for v in PUBLISHED)
    keys = [tuple(asdict(v).values())[:4] for v in PUBLISHED]
    assert len(set(keys)) == len(keys)


def counts(train: int, test: int, classes: int = 60) -> dict[str, int]:
    return {"train": train, "test": test, "classes": classes}


def result(**more: Any) -> dict[str, Any]:
    found = {
        "run": "mine",
        "epoch": 300,
        "seed": 0,
        "stream": "joint",
        "data": {"train": 40_091, "test": 16_487, "classes": 60},
    }
    return {**found, "linear": {"top1": 12.34}, "knn": {"1": 9.87}, **more}


def test_no_published_value_stands_in_our_column():
    config = PRESETS["paper"].to_dict()
    found = expected(result(), config, "ntu60-xsub")
    ours = [row for row in found["rows"] if row["ours"] is not None]
    assert [(row["protocol"], row["ours"], row["published"]) for row in ours] == [
        ("linear", 12.34, None), ("knn", 9.87, None),
    ]  # fmt: skip
    theirs = [row["published"] for row in found["rows"] if row["ours"] is None]
    assert sorted(theirs) == sorted(v.value for v in PUBLISHED if v.benchmark == "ntu60-xsub")
    assert all((row["ours"] is None) != (row["published"] is None) for row in found["rows"])
    nothing = expected(result(linear={}, knn={}), config, "ntu60-xsub")["rows"]
    assert nothing and not [row for row in nothing if row["ours"] is not None]
    lines = expected_text(found).splitlines()
    head = next(line for line in lines if "published" in line and "ours" in line)
    column = slice(head.index("ours") - 5, head.index("ours") + 4)
    shown = [line[column].strip() for line in lines[lines.index(head) + 1 : lines.index("") + 2 + len(found["rows"])]]
    assert [text for text in shown if text] == ["12.34", "9.87"]


def test_fused_streams_stand_beside_fused_ones():
    streams = [{"run": f"run {s}", "stream": s, "epoch": 300 - n, "top1": 40.0 + n}
               for n, s in enumerate(("joint", "bone", "motion"))]  # fmt: skip
    given: dict[str, Any] = {
        "streams": streams, "fusion": {"equal": {"weights": [1 / 3] * 3, "top1": 50.5}}, "data": counts(40_091, 16_487),
        "notes": [],
    }  # fmt: skip
    found = expected_fused(given, PRESETS["paper"].to_dict(), "ntu60-xsub")
    ours = [(row["stream"], row["ours"]) for row in found["rows"] if row["ours"] is not None]
    assert ours == [("joint", 40.0), ("bone", 41.0), ("motion", 42.0), ("three streams", 50.5)]
    assert {row["protocol"] for row in found["rows"]} == {"linear"}
    assert all((row["ours"] is None) != (row["published"] is None) for row in found["rows"])
    words = " ".join(found["reasons"])
    assert "epoch 298; the paper's is that of epoch 300" in words and "alone" not in words
    assert "run joint, run bone, run motion with equal weights" in words
    two = expected_fused({**given, "streams": streams[:2]}, PRESETS["paper"].to_dict(), "ntu60-xsub")
    assert "joint + bone" in {row["stream"] for row in two["rows"] if row["ours"] is not None}


def test_reasons_are_those_of_the_run():
    paper = PRESETS["paper"].to_dict()
    exact = " ".join(expected(result(), paper, "ntu60-xsub")["reasons"])
    assert "Clips:" not in exact and "Epochs:" not in exact and "Settings that differ" not in exact
    assert "joint alone" in exact and "Test peeking" in exact and "linear-hiclr" in exact
    config = replace(PRESETS["paper"], frames=64, batch_size=256).to_dict()
    probed = {"linear-hiclr": {"top1": 70.0, "best_on_test": 71.5}}
    other = expected(result(epoch=120, data=counts(40_000, 16_487), **probed), config, "ntu60-xsub")
    words = " ".join(other["reasons"])
    assert "frames 64 (50), batch_size 256 (128)" in words
    assert "epoch 120; the paper's is that of epoch 300" in words
    assert "40,000 train and 16,487 test; published are 40,091 and 16,487" in words
    assert "linear-hiclr 71.50 instead of 70.00" in words
    assert "list of missing clips" in words and "Pretraining" not in words and "Classes" not in words
    few = expected(
        result(data={"train": 4_000, "test": 1_600, "classes": 3}, notes=[f"{OTHER_CLIPS} (9 clips)."]),
        paper,
        "ntu60-xsub",
    )
    words = " ".join(few["reasons"])
    assert few["reasons"][0].startswith("Classes: 3 here and 60 published") and "This is another set." in words
    assert "Pretraining: The encoder was pretrained on other clips" in words and "missing" not in words
    assert "epoch 1500" in " ".join(expected(result(), paper, "pku2-xsub")["reasons"])
