"""Figures: true proportions, one colour for one class, any text shown as text, nothing left behind."""

import io
import json
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text
from PIL import Image

from hiclr.datasets import SkeletonSet
from hiclr.errors import InputError
from hiclr.evaluation import Embedding
from hiclr.figures import curves, embeddings, evaluation, overview, skeletons, strength, style
from hiclr.figures.style import class_colour
from hiclr.skeleton import BANDAI_21, LAYOUTS, NTU_25, Layout

HOSTILE = (
    "<script>alert(1)</script>",
    "$\\href{javascript:x}{y}$",
    "$\\frac{1}{",
    "line\nbreak\ttab",
    "=cmd()",
    "<b>&amp;",
)


def clip(layout: Layout = NTU_25, frames: int = 12, persons: int = 1) -> np.ndarray:
    """A standing person who sways, (3, T, V, M); the second person stands one metre to the side."""
    pose = skeletons.standing_pose(layout)
    x = np.repeat(pose[:, None, :, None], frames, axis=1).repeat(persons, axis=3)
    x[0] += np.linspace(0, 0.2, frames)[:, None, None] * x[1]
    x[0] += np.arange(persons)
    return x


def skeleton_set(classes: tuple[str, ...] = ("a", "b", "c"), **more: Any) -> SkeletonSet:
    count = 2 * len(classes)
    x = np.stack([clip()] * count).astype(np.float32)
    y = np.arange(count) % len(classes)
    more = {"ids": {"subject": np.arange(count) % 3}, "length": np.full(count, 12), **more}
    return SkeletonSet.from_arrays(x, y, classes=classes, test=np.arange(count) < len(classes), **more)


def rows(epochs: int = 4, **more: Any) -> list[dict[str, Any]]:
    row = {"info_nce": 5.0, "consistency_1": 4.0, "consistency_2": 4.5, "ln_k": 6.0, "knn_1": 50.0, **more}
    return [{"epoch": epoch + 1, **row} for epoch in range(epochs)]


RESULTS = {
    "run": "first", "source": "set.npz", "seed": 0, "protocol": "cross-subject", "synthetic": False,
    "data": {"train": 300, "test": 100, "classes": 10}, "linear": {"top1": 80.0, "top5": 99.0},
    "knn": {"1": 70.0, "20": 65.0}, "chance": {"uniform": 10.0},
    "baseline": {"raw_1nn": 60.0, "random_linear": 50.0, "random_knn_1": 40.0, "random_knn_20": 30.0},
}  # fmt: skip


def pointed_out(index: int, text: str) -> embeddings.Changed:
    return embeddings.Changed(index, text, f"{text} 8 of 8", {text: [9, 10], f"{text} 2": [11]})


def every_figure(text: str = "title") -> dict[str, Callable[[], style.Figure]]:
    """Each public function that gives a matplotlib figure, with `text` wherever text from outside goes."""
    classes = (text, f"{text} 2", f"{text} 3")
    clips = skeleton_set(classes, source=text)
    y = np.arange(30) % 3
    xy = np.random.default_rng(0).normal(size=(30, 2))
    layout = Layout("odd", tuple(f"{text} {name}" for name in NTU_25.joints), NTU_25.parents, NTU_25.pairs, 20, (4, 8))
    return {
        "strip": lambda: skeletons.strip(clip(), NTU_25, 4, text),
        "contact_sheet": lambda: skeletons.contact_sheet(clips),
        "ladder": lambda: skeletons.ladder({text: clip(), "strong": clip()}, NTU_25, 3, text),
        "layout_figure": lambda: skeletons.layout_figure(layout, title=text),
        "counts": lambda: overview.counts(clips),
        "lengths": lambda: overview.lengths(clips),
        "moved": lambda: strength.moved([0, 1], {text: [0, 1]}, text),
        "bone_lengths": lambda: overview.bone_lengths(clips),
        "training": lambda: curves.training(rows(), text, chance=10),
        "compare": lambda: curves.compare({text: rows(), "other": rows()}, text),
        "tsne_panels": lambda: embeddings.tsne_panels({text: xy}, y, classes, text),
        "tsne_panels_by": lambda: embeddings.tsne_panels_by({text: xy}, [classes[c] for c in y], text, text),
        "changed_panels": lambda: embeddings.changed_panels(
            {text: xy, f"{text} 2": xy[:, ::-1]}, y, classes, [pointed_out(i, text) for i in range(8)], text
        ),
        "confusion": lambda: evaluation.confusion(y, y[::-1], classes, text),
        "per_class": lambda: evaluation.per_class(y, y[::-1], classes, text),
        "result_bars": lambda: evaluation.result_bars({**RESULTS, "run": text, "source": text}),
    }


NAMES = list(every_figure())


def texts(figure: style.Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_text()]


def unseen_ticks(axis: Any) -> list[Text]:
    """Labels of ticks beyond an axis' ends: matplotlib keeps them and draws them not."""
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]


def bones(figure: style.Figure) -> list[LineCollection]:
    return [c for c in figure.findobj(LineCollection) if c.get_gid() == "bones"]


def linear(colour: str) -> np.ndarray:
    value = np.array(to_rgb(colour))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Linear sRGB to OKLab (Ottosson, 2020)."""
    lms = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
           [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
    lab = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
           [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip
    return np.cbrt(rgb @ np.array(lms).T) @ np.array(lab).T


# Machado, Oliveira and Fernandes, 2009, full severity, on linear RGB.
VISION = {
    "normal": np.eye(3),
    "deuteranope": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                             [-0.011820, 0.042940, 0.968881]]),
    "protanope": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                           [-0.003882, -0.048116, 1.051998]]),
}  # fmt: skip


def nearest_pair(colours: list[str], vision: str) -> float:
    seen = oklab(np.clip(np.stack([linear(c) for c in colours]) @ VISION[vision].T, 0, 1))
    distance = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    return float(distance[np.triu_indices(len(colours), 1)].min())


@pytest.mark.parametrize("vision", VISION)
def test_classes_are_told_apart_also_by_the_colour_blind(vision: str) -> None:
    assert nearest_pair(style.class_colours(10), vision) > 0.07
    assert nearest_pair(style.class_colours(20), vision) > 0.055
    assert nearest_pair([limb.colour for limb in style.LIMBS.values()], vision) > 0.2


def test_limbs_are_told_apart_in_grey() -> None:
    light = sorted(oklab(linear(limb.colour))[0] for limb in style.LIMBS.values())
    assert min(np.diff(light)) > 0.15


def test_all_classes_of_the_largest_set_have_a_look_of_their_own() -> None:
    looks = {(style.class_colour(i), style.class_marker(i)) for i in range(120)}
    assert len(looks) == 120


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_shows_itself_and_leaves_nothing(name: str) -> None:
    settings = {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}
    figure = every_figure()[name]()
    png, look = figure._repr_png_()
    assert {key: matplotlib.rcParams[key] for key in settings} == settings
    assert not Gcf.get_all_fig_managers()
    picture = Image.open(io.BytesIO(png))
    assert len(png) < 150_000
    assert look["width"] <= 912 < 1.6 * look["width"]  # readable in a notebook cell, and not lost in it
    assert picture.width == pytest.approx(1.5 * look["width"], abs=2)
    assert picture.convert("RGB").getpixel((0, picture.height - 1)) == (255, 255, 255)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_data_is_text(name: str, text: str) -> None:
    figure = every_figure(text)[name]()
    figure.png()  # mathtext that is broken would raise here
    shown = [t for t in texts(figure) if style.label(text, 14) in t.get_text() or style.label(text) in t.get_text()]
    assert shown or name in ("tsne_panels", "tsne_panels_by", "layout_figure", "per_class")  # cut shorter there
    assert all(not t.get_parse_math() for t in texts(figure) if not t.get_text().replace(".", "").isdigit())
    outside = [t for t in texts(figure) if "\t" in t.get_text()]
    assert not outside


@pytest.mark.parametrize("name", NAMES)
def test_no_text_leaves_the_picture(name: str) -> None:
    figure = every_figure("a class with a long name of many words")[name]()
    figure.png()
    width, height = figure.get_size_inches() * figure.dpi
    outside = {id(text) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for text in unseen_ticks(axis)}
    for text in texts(figure):
        if text.get_visible() and id(text) not in outside:
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, text.get_text()


def test_synthetic_is_said_once() -> None:
    assert style.titled("a set", True) == "a set (synthetic)"
    assert style.titled("synthetic: 9 clips", True) == "synthetic: 9 clips"
    assert style.titled("", True) == "(synthetic)"
    assert style.titled("a set") == "a set"


def test_hidden_signs_in_names_become_spaces() -> None:
    assert style.label("a\nb\x00c\u202ed") == "a b c d"
    assert style.label("x" * 50, 10) == "xxxxxx…xxx"
    assert style.label("$a$<b>") == "$a$<b>"


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_a_pose_is_upright_and_never_stretched(layout: Layout) -> None:
    figure = skeletons.strip(clip(layout), layout, 5, view=0)
    axes = figure.axes[0]
    assert axes.get_aspect() == 1
    assert not axes.xaxis_inverted() and not axes.yaxis_inverted()
    drawn = bones(figure)
    assert [len(c.get_segments()) for c in drawn] == [layout.num_joints - 1] * 5
    first = np.array(drawn[0].get_segments())
    true = clip(layout)[:2, 0, :, 0]
    lengths = sorted(float(np.hypot(*(true[:, child] - true[:, parent]))) for child, parent in layout.bones)
    assert sorted(np.linalg.norm(first[:, 0] - first[:, 1], axis=1)) == pytest.approx(lengths)
    figure.png()
    box, (x0, x1), (y0, y1) = axes.get_window_extent(), axes.get_xlim(), axes.get_ylim()
    assert box.width / (x1 - x0) == pytest.approx(box.height / (y1 - y0))


def test_left_and_right_have_their_colours() -> None:
    figure = skeletons.strip(clip(), NTU_25, 1, view=0)
    (drawn,) = bones(figure)
    for segment, colour in zip(drawn.get_segments(), drawn.get_colors(), strict=True):
        x = segment[:, 0] - figure.axes[0].get_xlim()[0]
        middle = np.mean([s[:, 0].mean() for s in drawn.get_segments()]) - figure.axes[0].get_xlim()[0]
        far = x[np.abs(x - middle).argmax()] - middle
        if abs(far) > 0.15:  # the drawn person faces us, so its left is on the picture's right
            assert to_hex(colour) == style.LIMBS["left" if far > 0 else "right"].colour


def test_the_projection_turns_about_the_vertical() -> None:
    point = np.array([1.0, 2.0, 0.0])
    assert skeletons.project(point, 0) == pytest.approx([1, 2, 0])
    assert skeletons.project(point, 90) == pytest.approx([0, 2, -1])  # x to the right turns away from the viewer
    assert skeletons.project(np.array([0.0, 0.0, 1.0]), 90) == pytest.approx([1, 0, 0])


@pytest.mark.parametrize("degrees", [0, 70, 180, -100])
def test_the_front_view_shows_the_face(degrees: float) -> None:
    turned = skeletons.project(clip(), degrees)
    again = skeletons.project(turned, skeletons.front(turned, NTU_25))
    left, right = (again[:, 0, NTU_25.joints.index(f"shoulder_{side}"), 0] for side in "lr")
    assert left[0] > right[0] and left[2] == pytest.approx(right[2])
    toes = again[2, 0, NTU_25.joints.index("foot_l"), 0] - again[2, 0, NTU_25.joints.index("ankle_l"), 0]
    assert toes > 0


@pytest.mark.parametrize("degrees", [0, 90, 200])
def test_two_persons_are_seen_beside_each_other(degrees: float) -> None:
    x = skeletons.project(clip(persons=2), degrees)  # one metre apart
    figure = skeletons.strip(x, NTU_25, 1)
    second, first = bones(figure)  # the first person is drawn last, on top
    feet = [np.array(c.get_segments())[..., 0].mean() for c in (first, second)]
    assert feet[1] - feet[0] == pytest.approx(np.cos(np.radians(30)))


def test_an_absent_person_is_not_drawn() -> None:
    x = clip(persons=2)
    x[:, 6:, :, 1] = 0
    assert len(bones(skeletons.strip(x, NTU_25, 12))) == 6 * 2 + 6
    x[:, 3:] = 0  # frames after the end show nothing either
    figure = skeletons.strip(x, NTU_25, 12)
    assert len(bones(figure)) == 3 * 2
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "figure",
    [
        lambda: skeletons.strip(clip(persons=2), NTU_25, 6),
        lambda: skeletons.ladder({"a": clip(persons=2)}, NTU_25, 6),
        lambda: skeletons.ladder({"thin": clip(persons=2) * [[[[1, 0]]]], "wide": clip(persons=2)}, NTU_25, 6),
    ],
)
def test_poses_stand_apart(figure: Callable[[], style.Figure]) -> None:
    drawn = bones(figure())[-12:]
    spans = []
    for i in range(6):
        points = np.concatenate([np.array(c.get_segments()).reshape(-1, 2) for c in drawn[2 * i : 2 * i + 2]])
        spans.append((points[:, 0].min(), points[:, 0].max()))
    assert all(right < left for (_, right), (left, _) in pairwise(spans))


def test_a_wide_clip_of_a_contact_sheet_shows_fewer_poses() -> None:
    x = np.stack([clip(persons=2)] * 3).astype(np.float32)
    x[:2, ..., 1] = 0
    x[2, 0, ..., 1] += 1.5
    figure = skeletons.contact_sheet(SkeletonSet.from_arrays(x, [0, 1, 2]), view=0)
    drawn = [[c for c in axes.collections if c.get_gid() == "bones"] for axes in figure.axes]
    assert [len(collections) for collections in drawn[:2]] == [3, 3] and len(drawn[2]) in (2, 4)  # two persons a pose
    for axes, collections in zip(figure.axes, drawn, strict=True):
        points = np.concatenate([np.array(c.get_segments()).reshape(-1, 2) for c in collections])
        assert axes.get_xlim()[0] <= points[:, 0].min() and points[:, 0].max() <= axes.get_xlim()[1]


def test_the_ladder_keeps_one_scale_and_shows_masked_joints_hollow() -> None:
    x = clip()
    masked = x.copy()
    for joint in ("elbow_l", "wrist_l"):
        masked[:, :, NTU_25.joints.index(joint)] = 0
    figure = skeletons.ladder({"original": x, "half": 0.5 * x, "masked": masked}, NTU_25, 4)
    drawn = bones(figure)
    assert len(drawn) == 3 * 4
    size = [np.ptp(np.array(c.get_segments())[..., 1]) for c in drawn]
    assert size[4] == pytest.approx(size[0] / 2)
    # Masked joints are where the original has them: the row is the first one, moved down; their bones are dotted.
    down = np.array(drawn[8].get_segments()) - np.array(drawn[0].get_segments())
    assert down == pytest.approx(np.broadcast_to(down[0, 0], down.shape), abs=1e-9)
    dotted = [sum(dash[1] is not None for dash in c.get_linestyle()) for c in drawn]
    assert dotted == [0] * 8 + [3] * 4  # upper arm, forearm, hand
    hollow = [c for c in figure.findobj(PathCollection) if len(c.get_offsets()) == 2]
    assert len(hollow) == 4 and all(to_hex(c.get_facecolor()[0]) == "#ffffff" for c in hollow)


def test_a_class_has_one_colour_in_every_figure() -> None:
    clips = skeleton_set(("one", "two", "three"))
    colours = style.class_colours(3)
    bars = [to_hex(p.get_facecolor()) for p in overview.counts(clips).axes[0].patches[:3]]
    right = [
        to_hex(p.get_facecolor()) for p in evaluation.per_class([0, 1, 2], [0, 1, 2], clips.classes).axes[0].patches
    ]
    map_ = embeddings.tsne_panels({"m": np.eye(3)[:, :2]}, [0, 1, 2], clips.classes)
    legend = [to_hex(h.get_color()) for h in map_.legends[0].legend_handles]
    sheet = [to_hex(axes.lines[-1].get_color()) for axes in skeletons.contact_sheet(clips).axes[:3]]
    assert bars == right == legend == sheet == colours
    subset = embeddings.tsne_panels({"m": np.eye(2)}, [1, 2], clips.classes)  # fewer classes: the same colours
    assert [to_hex(h.get_color()) for h in subset.legends[0].legend_handles] == colours[1:]


def test_png_keeps_the_colours_of_small_dots() -> None:
    classes = tuple(f"class {i}" for i in range(20))
    picture = Image.open(io.BytesIO(skeletons.contact_sheet(skeleton_set(classes)).png())).convert("RGB")
    seen = np.unique(np.asarray(picture).reshape(-1, 3), axis=0).astype(int)
    for colour in style.class_colours(20):
        wanted = 255 * np.array(to_rgb(colour))
        assert np.abs(seen - wanted).max(axis=1).min() <= 16, colour


@pytest.mark.parametrize("name", ["contact_sheet", "counts", "lengths", "bone_lengths"])
def test_a_synthetic_set_is_named_so(name: str) -> None:
    clips = skeleton_set(synthetic=True)
    make = {"contact_sheet": skeletons.contact_sheet, **{k: getattr(overview, k) for k in overview.__all__}}[name]
    assert "(synthetic)" in make(clips).get_suptitle()
    assert "(synthetic)" in make(clips, title="my title").get_suptitle()
    assert "(synthetic)" not in make(skeleton_set()).get_suptitle()


def test_synthetic_is_said_where_only_numbers_are_given() -> None:
    y, classes = [0, 1, 0], ("a", "b")
    xy = np.zeros((3, 2))
    for figure in (
        skeletons.strip(clip(), NTU_25, synthetic=True),
        skeletons.ladder({"a": clip()}, NTU_25, synthetic=True),
        curves.training(rows(), synthetic=True),
        curves.compare({"a": rows()}, synthetic=True),
        embeddings.tsne_panels({"a": xy}, y, classes, synthetic=True),
        embeddings.tsne_panels_by({"a": xy}, y, synthetic=True),
        embeddings.changed_panels({"a": xy}, y, classes, [], synthetic=True),
        evaluation.confusion(y, y, classes, synthetic=True),
        evaluation.per_class(y, y, classes, synthetic=True),
        evaluation.result_bars({**RESULTS, "synthetic": True}),
    ):
        assert "(synthetic)" in figure.get_suptitle()


def test_curves_draw_each_term_and_the_line_of_nothing_learned() -> None:
    run = rows(6)
    for row in run[1:]:
        row["knn_1"] = None
    run[2]["consistency_1"] = None  # NaN is stored as null
    figure = curves.training(run, chance=12.5)
    losses, nearest = figure.axes
    lines = {line.get_label(): line for line in losses.lines}
    assert list(lines) == ["InfoNCE", "consistency 1", "consistency 2", "learned nothing: ln(1+K)"]
    assert lines["learned nothing: ln(1+K)"].get_linestyle() == "--"
    assert set(lines["learned nothing: ln(1+K)"].get_ydata()) == {6.0}
    assert list(lines["consistency 1"].get_xdata()) == [1, 2, 4, 5, 6]
    assert list(nearest.lines[0].get_xdata()) == [1]
    assert nearest.lines[1].get_label() == "chance, 12.5 %" and set(nearest.lines[1].get_ydata()) == {12.5}
    curves.training(rows(1, knn_1=None)).png()


def test_maps_say_their_settings_and_keep_their_shape() -> None:
    maps = {"basic": Embedding(np.eye(3)[:, :2].astype(np.float32), 7.0, 3, "scikit-learn"), "strong": np.ones((3, 2))}
    figure = embeddings.tsne_panels(maps, [0, 1, 1], ("a", "b"), "features")
    assert figure.get_suptitle() == "features   N = 3, perplexity 7, seed 3"
    assert [axes.get_title("left") for axes in figure.axes] == ["basic", "strong"]
    assert all(axes.get_aspect() == 1 for axes in figure.axes)
    many = embeddings.tsne_panels({"m": np.zeros((9000, 2))}, np.zeros(9000, dtype=int), ("a",))
    assert sum(len(c.get_offsets()) for c in many.findobj(PathCollection)) == 3000
    assert "N = 9,000 (3,000 points drawn)" in many.get_suptitle()
    title = "a-set-with-a-long-name-paper-e300-seed0, 20,000 of 30,000 clips, the same share of each class"
    long = embeddings.tsne_panels(maps, [0, 1, 1], ("a", "b"), title, synthetic=True)
    assert long.get_suptitle().split("\n")[-1] == "N = 3, perplexity 7, seed 3"
    long.png()
    assert long.texts[0].get_window_extent().x1 < long.bbox.width  # nothing is cut off


def test_a_picked_clip_is_ringed_in_every_map_and_its_nearest_by_shape() -> None:
    maps = {name: np.arange(8.0).reshape(4, 2) for name in ("clean", "strong")}
    plain = embeddings.tsne_panels(maps, [0, 1, 1, 0], ("a", "b"))
    figure = embeddings.tsne_panels(
        maps, [0, 1, 1, 0], ("a", "b"), ringed=embeddings.Ringed(1, "one · b", [2, 0], "clean")
    )
    said = figure.legends[0].get_title().get_text()
    assert (
        said == "Filled ring: one · b. Its 2 nearest in clean: 1 of its class (circles), 1 of another (dashed squares)."
    )
    assert plain.legends[0].get_title().get_text() == ""
    for axes, before in zip(figure.axes, plain.axes, strict=True):
        (middle,) = axes.lines
        assert middle.get_xydata().tolist() == [[2.0, 3.0]] and middle.get_markerfacecolor() == class_colour(1)
        same, other = axes.collections[len(before.collections) :]
        assert (same.get_offsets().tolist(), other.get_offsets().tolist()) == ([[4.0, 5.0]], [[0.0, 1.0]])
        assert len(same.get_paths()[0]) > len(other.get_paths()[0])  # a circle; a square
        assert other.get_linestyle()[0][1] is not None and same.get_linestyle()[0][1] is None
    figure.png()


def test_confusion_counts_and_names_the_worst() -> None:
    true, predicted = [0] * 10 + [1] * 4 + [2] * 2, [0] * 7 + [1] * 3 + [1] * 3 + [0] + [2] * 2
    figure = evaluation.confusion(true, predicted, ("cat", "dog", "owl", "never"))
    share = np.asarray(figure.axes[0].images[0].get_array())
    assert share[0] == pytest.approx([0.7, 0.3, 0, 0]) and share[1] == pytest.approx([0.25, 0.75, 0, 0])
    assert not share[3].any()
    assert "cat taken for dog: 3 of 10 (30 %)\ndog taken for cat: 1 of 4 (25 %)" in figure.get_supxlabel()
    assert figure.get_suptitle().endswith("75.0 % of 16 clips (50.5 to 89.8)")  # 12 of 16; Wilson's bounds
    assert len(figure.axes[0].patches) == 2


def test_result_bars_stand_beside_their_floors() -> None:
    figure = evaluation.result_bars(RESULTS)
    axes = figure.axes[0]
    names = [t.get_text() for t in axes.get_yticklabels()]
    assert names == ["pretrained", "random encoder", "raw 1-NN", *["pretrained", "random encoder"] * 2, "pretrained"]
    assert [bar.get_width() for bar in axes.patches] == [70, 40, 60, 65, 30, 80, 50, 99]
    # Wilson, 70 of 100: half-width 1.96 / (1 + 1.96²/100) * sqrt(0.21/100 + 1.96²/40000) = 0.0882
    whisker = axes.lines[0].get_xdata()
    assert (whisker[1] - whisker[0]) / 2 == pytest.approx(
        100 * 1.96 / 1.038416 * np.sqrt(0.0021 + 0.00009604), abs=0.01
    )
    chance = [line for line in axes.lines if list(line.get_xdata()) == [10.0, 10.0]]
    assert len(chance) == 7  # not at top-5, where guessing five times is not 10 %
    assert figure.get_suptitle() == "first · set.npz · cross-subject · seed 0"


def test_bone_lengths_are_the_bodies() -> None:
    figure = overview.bone_lengths(skeleton_set())
    pose = clip()[:, :, :, 0]
    expected = [100 * np.linalg.norm(pose[:, :, c] - pose[:, :, p], axis=0).mean() for c, p in NTU_25.bones]
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [float(line.get_xdata()[0]) for line in dots] == pytest.approx(expected, rel=1e-5)


def test_counts_split_train_and_test() -> None:
    axes = overview.counts(skeleton_set(("a", "b", "c", "d"))).axes
    assert [bar.get_width() for bar in axes[0].patches] == [1] * 8  # four classes: one train, one test clip each
    assert axes[1].get_title("left") == "clips per subject"


def test_player_is_small_equal_and_escaped() -> None:
    figure = skeletons.player_3d(clip(persons=2, frames=80), NTU_25, "<img onerror=x> $y$", synthetic=True)
    plain = figure.to_plotly_json()
    assert len(figure.frames) == 24 and len(figure.to_json()) < 300_000
    assert figure.layout.title.text == "&lt;img onerror=x&gt; $y$ (synthetic)"
    assert len(figure.data) == 6  # left, right, middle of two persons
    scene = figure.layout.scene
    metres = [np.ptp(scene[f"{axis}axis"].range) / scene.aspectratio[axis] for axis in "xyz"]
    assert metres == pytest.approx([metres[0]] * 3, rel=1e-3)
    assert all(len(frame.data) == 6 for frame in figure.frames)
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == ["▶ play", "❚❚ pause"]
    assert len(figure.layout.sliders[0].steps) == 24
    bones_drawn = sum(sum(v is None for v in trace.x) for trace in figure.data[:3])
    assert bones_drawn == NTU_25.num_joints - 1
    json.dumps(plain, default=str)


def test_player_points_up_and_keeps_left_on_the_left() -> None:
    x = np.zeros((3, 1, 21, 1))
    x[:, 0, 4, 0] = 0.25, 1.5, 0.5  # the head alone, root at the origin
    trace = skeletons.player_3d(x, BANDAI_21).data[2]
    assert (trace.x[0], trace.y[0], trace.z[0]) == (0.25, -0.5, 1.5) or (trace.x[-3], trace.y[-3], trace.z[-3]) == (
        0.25,
        -0.5,
        1.5,
    )


def test_no_plotly_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(ImportError, match=r'pip install "hiclr\[notebooks\]"'):
        skeletons.player_3d(clip(), NTU_25)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: skeletons.strip(np.zeros((3, 4, 20, 1)), NTU_25), "(3, T, 25, M)"),
        (lambda: skeletons.strip(np.full((3, 4, 25, 1), np.nan), NTU_25), "not finite"),
        (lambda: skeletons.ladder({}, NTU_25), "at least one view"),
        (lambda: skeletons.ladder({"a": clip(), "b": clip(frames=3)}, NTU_25), "one shape"),
        (lambda: skeletons.layout_figure(NTU_25, np.zeros((3, 20))), "(3, 25)"),
        (lambda: skeletons.contact_sheet(skeleton_set(), []), "at least one clip"),
        (lambda: curves.training([]), "no epoch yet"),
        (lambda: curves.compare({}), "no run"),
        (lambda: curves.compare({"late": []}), "late"),
        (lambda: embeddings.tsne_panels({}, [0], ["a"]), "no map"),
        (lambda: embeddings.tsne_panels({"m": np.zeros((2, 2))}, [0], ["a"]), "(1, 2)"),
        (lambda: embeddings.tsne_panels({"m": np.zeros((1, 2))}, [3], ["a"]), "one is 3"),
        (lambda: evaluation.confusion([], [], ["a"]), "at least 1"),
        (lambda: evaluation.confusion([0], [0, 0], ["a"]), "(2,)"),
        (lambda: evaluation.result_bars({"data": {"test": 3}}), "Run evaluate first"),
        (lambda: overview.lengths(skeleton_set(length=None)), "no `length`"),
    ],
)
def test_wrong_input_is_told_in_a_sentence(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(InputError) as error:
        call()
    assert words in str(error.value) and str(error.value).endswith(".")


def test_empty_clips_still_give_a_picture() -> None:
    empty = np.zeros((3, 4, 25, 2))
    skeletons.strip(empty, NTU_25).png()
    skeletons.ladder({"a": empty}, NTU_25).png()
    skeletons.player_3d(empty, NTU_25)
    flat = clip()
    flat[1] = 0  # one coordinate masked
    skeletons.strip(flat, NTU_25).png()


def test_player_leaves_out_who_is_absent() -> None:
    x = clip(frames=6, persons=2)
    x[:, 4:, :, 1] = 0
    frames = skeletons.player_3d(x, NTU_25).frames
    shown = [sum(len(trace.x) > 0 for trace in frame.data) for frame in frames]
    assert shown == [6] * 4 + [3] * 2


def test_a_joint_masked_for_a_while_lies_between_where_it_is_before_and_after() -> None:
    x, wrist = clip(frames=9), NTU_25.joints.index("wrist_l")
    flat = x * np.array([1, 0.1, 1])[:, None, None, None]  # a view whose bones are not the original's
    masked = flat.copy()
    masked[:, 4, wrist] = 0
    whole, mended = (bones(skeletons.ladder({"a": x, "b": view}, NTU_25, 9)) for view in (flat, masked))
    for one, other in zip(whole[9:], mended[9:], strict=True):
        assert np.array(other.get_segments()) == pytest.approx(np.array(one.get_segments()), abs=1e-9)


def test_a_joint_masked_in_part_is_paler_and_stays_in_place() -> None:
    x, share = clip(), np.zeros((12, 25, 1))
    share[:, 6] = 0.5
    figure = skeletons.ladder({"a": x, "b": x}, NTU_25, 2, hidden={"b": share})
    drawn = bones(figure)
    down = np.array(drawn[2].get_segments()) - np.array(drawn[0].get_segments())
    assert down == pytest.approx(np.broadcast_to(down[0, 0], down.shape), abs=1e-9)
    (face,) = {to_hex(c.get_facecolor()[0]) for c in figure.findobj(PathCollection) if len(c.get_offsets()) == 1}
    assert face == style.pale(style.LIMBS["left"].colour, 0.5)
    with pytest.raises(InputError, match=r"hidden\['b'\] must have shape \(T, V, M\), here \(12, 25, 1\)"):
        skeletons.ladder({"a": x, "b": x}, NTU_25, hidden={"b": share[1:]})


def test_a_clip_too_wide_shows_its_poses_over_each_other_the_earlier_ones_paler() -> None:
    x = np.stack([clip()] * 9 + [clip(persons=2)[..., :1]]).astype(np.float32)
    x = np.concatenate([x, np.zeros_like(x)], axis=4)
    x[9, ..., 1] = x[9, ..., 0]
    x[9, 0, ..., 1] += np.linspace(4, 3, 12)[:, None]
    figure = skeletons.contact_sheet(SkeletonSet.from_arrays(x, list(range(10))), view=0)
    alphas = [c.get_alpha() for c in figure.axes[9].collections if c.get_gid() == "bones"]
    assert len(alphas) == 6 and sorted(set(alphas)) == alphas[:0] + sorted(set(alphas))
    firsts = alphas[1::2]  # the first person is drawn last, on top
    assert firsts == sorted(firsts) and firsts[-1] == 1 and firsts[0] < 0.3
    assert "paler: earlier" in [t.get_text() for t in texts(figure)]


def test_a_nose_beside_eyes_has_no_disc_over_it() -> None:
    sizes = {}
    for name in ("coco17", "ntu25"):
        layout = LAYOUTS[name]
        dots = [c for c in skeletons.layout_figure(layout).findobj(PathCollection) if len(c.get_offsets()) > 1]
        sizes[name] = float(max(np.max(c.get_sizes()) for c in dots) / min(np.min(c.get_sizes()) for c in dots))
    assert sizes["coco17"] == 1 < sizes["ntu25"]


def test_120_classes_are_readable_and_empty_ones_left_out() -> None:
    many = tuple(f"action number {i}" for i in range(120))
    figure = overview.counts(skeleton_set(many))
    assert figure.get_figheight() < 11
    labels = [t.get_text() for axes in figure.axes for t in axes.get_yticklabels()]
    assert [t for t in labels if t.startswith("action")] == list(many)
    figure.png()
    boxes = [t.get_window_extent() for t in figure.axes[0].get_yticklabels()]
    assert all(abs(a.y0 - b.y0) > 0.8 * a.height for a, b in pairwise(boxes))

    few = SkeletonSet.from_arrays(np.stack([clip()] * 4).astype(np.float32), [7, 7, 90, 90], classes=many)
    figure = overview.counts(few)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == [many[7], many[90]]
    assert "118 without a clip are left out" in figure.axes[0].get_title(loc="left")
    hundreds = overview.counts(skeleton_set(tuple(f"c{i}" for i in range(200))))
    assert hundreds.get_figheight() < 7 and not hundreds.axes[0].get_xticklabels()


def test_the_legend_of_lengths_lies_beside_the_bars() -> None:
    figure = overview.lengths(skeleton_set())
    assert figure.axes[0].get_legend() is None and len(figure.legends) == 1


def test_bone_sizes_are_those_of_the_body() -> None:
    clips = skeleton_set()
    clips.x[1] *= 2  # subject 1 has this clip and one of the usual size
    sizes = {(size.parent, size.child): size for size in overview.bone_sizes(clips)}
    pose, parent, child = skeletons.standing_pose(NTU_25), 4, 5
    x = clips.x[0, :, :, :, 0]
    true = 100 * np.linalg.norm(x[:, :, child] - x[:, :, parent], axis=0)
    size = sizes[NTU_25.joints[parent], NTU_25.joints[child]]
    assert pose.shape == (3, 25) and size.mean == pytest.approx(true.mean() * 7 / 6, rel=1e-4)
    assert size.between == pytest.approx(np.std([1, 1.5, 1]) * true.mean(), rel=1e-4)
    assert size.within == pytest.approx(true.std() * 7 / 6, rel=1e-3)
    with pytest.raises(InputError, match="Nobody is present"):
        overview.bone_sizes(SkeletonSet.from_arrays(np.zeros((2, 3, 4, 25, 1), dtype=np.float32), [0, 1]))


def test_every_augmentation_has_its_curve() -> None:
    figure = strength.moved([0, 0.5, 1], {"Shear()": [0, 0.1, 0.2], "Yaw()": [0, 0, 0.4]}, synthetic=True)
    lines = [axes.lines[0].get_ydata().tolist() for axes in figure.axes if axes.lines]
    assert lines == [[0, 10, 20], [0, 0, 40]] and "(synthetic)" in figure.get_suptitle()
    with pytest.raises(InputError, match="one number for each of the 3 strengths"):
        strength.moved([0, 0.5, 1], {"a": [0, 1]})


def test_a_layout_wider_than_high_stays_between_its_names() -> None:
    names = ("chest", "head", "elbow_l", "elbow_r", "hand_l", "hand_r", "belt")
    upper = Layout("upper7", names, (0, 0, 0, 0, 2, 3, 0), ((2, 3), (4, 5)), 6)
    figure = skeletons.layout_figure(upper)
    axes, (drawn,) = figure.axes[0], bones(figure)
    points = np.array(drawn.get_segments()).reshape(-1, 2)
    named = [text.xy[0] for text in axes.texts]
    assert min(named) < points[:, 0].min() and points[:, 0].max() < max(named)
    assert axes.get_ylim()[0] < points[:, 1].min() and points[:, 1].max() < axes.get_ylim()[1]
    figure.png()
    box = axes.get_window_extent()
    scale = box.width / np.ptp(axes.get_xlim())
    assert scale == pytest.approx(box.height / np.ptp(axes.get_ylim()))
    assert box.height > 0.7 * figure.get_figheight() * figure.dpi  # not a strip between empty bands
