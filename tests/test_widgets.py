"""The widgets from Python's side, and their front ends in a plain page with a fake model."""

import base64
import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from browsing import CHECKSUM, FAKE_MODEL, MOUNT, WIDGETS, chromium, served, state_of, strangers, until
from matplotlib.collections import LineCollection
from PIL import Image, ImageSequence
from torch import Generator, Tensor

from hiclr import augmentations as ops
from hiclr.augmentations import GrowingViews, paper_views
from hiclr.datasets import SkeletonSet, synthetic
from hiclr.datasets.preprocessing import Preprocess
from hiclr.errors import InputError
from hiclr.evaluation import THROUGH, Through
from hiclr.figures.camera import Camera, place_of, to_pixels
from hiclr.figures.style import label
from hiclr.skeleton import NTU_25, Layout

pytest.importorskip("anywidget", reason="the notebook packages are not installed")

from hiclr.widgets import AugmentationBench, Confusions, Explorer, Player, ThroughTraining
from hiclr.widgets.colouring import by_group, by_number, density
from hiclr.widgets.explorer import Scatter
from hiclr.widgets.export import explorer_page
from hiclr.widgets.player import pack
from hiclr.widgets.scripts import script, style
from hiclr.widgets.words import words

# A body of six joints: root, head, and a hand and a foot on each side.
SIX = Layout(
    "six",
    ("root", "head", "hand_l", "hand_r", "foot_l", "foot_r"),
    (0, 0, 0, 0, 0, 0),
    ((2, 3), (4, 5)),
    centre=0,
    shoulders=(2, 3),
)
POSE = [(0, 1, 0), (0, 1.6, 0), (-0.5, 1, 0), (0.5, 1, 0), (-0.2, 0, 0), (0.2, 0, 0)]  # left at -x: it faces -z


def standing(frames: int = 8, persons: int = 1) -> np.ndarray:
    """(3, T, 6, M): POSE, walking 1 cm a frame along x; persons after the first are absent."""
    clip = np.zeros((3, frames, 6, persons), dtype=np.float32)
    clip[..., 0] = np.array(POSE, dtype=np.float32).T[:, None]
    clip[0, :, :, 0] += 0.01 * np.arange(frames, dtype=np.float32)[:, None]
    return clip


def unpacked(player: Player) -> np.ndarray:
    """(W, T, M, V, 3) metres, as the browser reads them."""
    return np.frombuffer(player.positions, "<i2").reshape(*player.shape, 3) * player.scale


# ---------------------------------------------------------------- player


def test_positions_travel_as_int16_in_the_stated_order():
    clip = np.zeros((3, 2, 6, 2), dtype=np.float32)
    clip[1, 1, 4, 0] = -2.0
    clip[2, 0, 3, 1] = 1.0
    packed = pack([clip], SIX)
    assert packed.shape == [1, 2, 2, 6]
    assert packed.scale == pytest.approx(2.0 / 32767)
    units = np.frombuffer(packed.data, "<i2").reshape(1, 2, 2, 6, 3)
    assert units[0, 1, 0, 4].tolist() == [0, -32767, 0]
    assert units[0, 0, 1, 3].tolist() == [0, 0, round(32767 / 2)]
    assert np.count_nonzero(units) == 2


def test_packing_loses_less_than_half_a_unit():
    clip = np.random.default_rng(0).normal(size=(3, 9, 6, 2)).astype(np.float32)
    player = Player([clip], SIX)
    assert np.abs(unpacked(player)[0] - clip.transpose(1, 3, 2, 0)).max() <= 0.5 * player.scale * 1.0001


def test_clips_of_other_length_and_persons_are_filled_up_with_absence():
    player = Player([standing(4), torch.from_numpy(standing(6, persons=2))], SIX)
    assert player.shape == [2, 6, 2, 6]
    assert not unpacked(player)[0, 4:].any()
    assert not unpacked(player)[:, :, 1].any()


def test_an_update_is_one_message_and_raises_the_revision(monkeypatch: pytest.MonkeyPatch):
    player = Player([standing()], SIX, titles=["a"])
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(player, "_send", lambda message, **_: sent.append(message))
    before = player.revision
    player.update([standing(5), standing(5)], ["a", "<b>"])
    assert player.revision == before + 1
    assert [m["method"] for m in sent] == ["update"]
    assert {"shape", "titles", "revision"} <= set(sent[0]["state"])
    assert [path for m in sent for path in m["buffer_paths"]] == [["positions"]]
    assert player.titles == ["a", "<b>"]


def test_the_camera_is_fitted_once():
    player = Player([standing()], SIX)
    place = dict(player.place)
    assert place["target"] == pytest.approx((0.035, 0.8, 0.0))  # the middle of x -0.5..0.57, y 0..1.6
    assert place["floor"] == 0.0
    assert place["radius"] == pytest.approx(1.12 * 0.8)
    player.update([3 * standing()])
    assert player.place == place
    player.update([3 * standing()], refit=True)
    assert player.place["radius"] == pytest.approx(3 * place["radius"])


@pytest.mark.parametrize("degrees", [0, 60, 200])
def test_the_first_look_is_from_the_front(degrees: float):
    """Left at -x and right at +x, y up, right-handed: the body faces -z, turned by `degrees` about y."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    clip = np.einsum("ij,jtvm->itvm", turn, standing(1)).astype(np.float32)
    facing = place_of(clip, SIX).facing
    front = turn @ np.array([0, 0, -1])
    assert (np.sin(facing), np.cos(facing)) == pytest.approx((front[0], front[2]), abs=1e-6)


def test_two_persons_are_seen_from_the_side():
    clip = standing(persons=2)
    clip[..., 1] = clip[..., 0] + np.array([0, 0, 2], dtype=np.float32)[:, None, None]  # behind one another along z
    facing = place_of(clip, SIX).facing
    assert abs(np.sin(facing)) == pytest.approx(1)  # seen along x


def test_a_clip_without_anyone_still_has_a_place():
    assert place_of(np.zeros((3, 4, 6, 2), dtype=np.float32), SIX).radius == 1.0


def test_masked_joints_are_marked_and_the_centre_is_not():
    clip = standing(2)
    clip[:, :, 3] = 0
    clip -= clip[:, :, :1]  # centred: the root is zero by right
    clip[:, :, 3] = 0
    player = Player([clip], SIX)
    assert np.frombuffer(player.hidden, np.uint8).reshape(player.shape).nonzero()[3].tolist() == [3, 3]
    player.update([standing(2)])
    assert player.hidden == b""


@pytest.mark.parametrize(
    ("clips", "said"),
    [
        ([], "at least one clip"),
        ([np.zeros((2, 3, 6, 1))], r"\(3, T, V, M\)"),
        ([np.zeros((3, 4, 7, 1))], "7 joints.*'six' has 6"),
        ([np.full((3, 4, 6, 1), np.nan)], "not finite"),
    ],
)
def test_a_clip_that_cannot_be_shown_is_refused_and_the_picture_stays(clips: list[np.ndarray], said: str):
    player = Player([standing()], SIX)
    before = (player.positions, player.revision)
    with pytest.raises(InputError, match=said):
        player.update(clips)
    assert (player.positions, player.revision) == before


def test_titles_and_masks_must_fit_the_clips():
    player = Player([standing()], SIX)
    with pytest.raises(InputError, match="there came 1 clip and 2 titles"):
        player.update([standing()], ["a", "b"])
    with pytest.raises(InputError, match="hidden must have the shapes"):
        player.update([standing()], hidden=[np.zeros((8, 5, 1), dtype=bool)])
    with pytest.raises(InputError, match="vectors must have the shapes"):
        player.update([standing()], vectors=[standing(), standing()])


def test_vectors_travel_with_their_own_scale():
    player = Player([standing()], SIX)
    vectors = np.full((3, 8, 6, 1), 0.01, dtype=np.float32)
    player.update([standing()], vectors=[vectors], vectors_from="parent", gain=4)
    units = np.frombuffer(player.vectors, "<i2")
    assert units * player.vector_scale == pytest.approx(0.04)
    assert player.vector_origin == "parent"
    player.update([standing()])
    assert player.vectors == b""


# ---------------------------------------------------------------- what is saved


def frames_of(gif: bytes) -> list[np.ndarray]:
    picture = Image.open(io.BytesIO(gif))
    return [np.array(frame.convert("RGB"), dtype=np.int64) for frame in ImageSequence.Iterator(picture)]


def test_a_film_moves_on_white_and_holds_every_view():
    player = Player([standing(6), standing(6, persons=2)], SIX, ["one", "two"], fps=5)
    frames = frames_of(player.film())
    assert len(frames) == 6
    assert frames[0].shape == (320, 600, 3)
    assert Image.open(io.BytesIO(player.film())).info["duration"] == 200
    assert all((frame == 255).all(axis=2).mean() > 0.5 for frame in frames)
    assert np.abs(frames[5] - frames[0])[40:, :300].any() and np.abs(frames[5] - frames[0])[40:, 300:].any()
    turned = frames_of(player.film(Camera(2.0, 0.5, 1.5)))[0]
    assert np.abs(turned - frames[0]).mean() > 0.5


def test_a_film_shows_ghost_trail_masks_arrows_and_persons():
    clip = standing(8, persons=2)
    clip[..., 1] = clip[..., 0] + np.array([0.4, 0, 0.2], dtype=np.float32)[:, None, None]
    player = Player([clip, 1.2 * clip], SIX)
    last = [frames_of(player.film())[-1]]
    for name, value in (("ghost", True), ("onion", 4), ("tint", "person")):
        setattr(player, name, value)
        last.append(frames_of(player.film())[-1])
    mask = np.zeros((8, 6, 2))
    mask[:, 3] = 1.0
    player.update([clip, 1.2 * clip], hidden=[mask, mask])
    last.append(frames_of(player.film())[-1])
    player.update([clip, 1.2 * clip], vectors=[0.1 * clip, 0 * clip], vectors_from="parent")
    last.append(frames_of(player.film())[-1])
    assert all((a != b).any() for a, b in pairwise(last))


def test_thin_films_keep_their_length():
    player = Player([standing(300)], SIX, fps=60)
    gif = Image.open(io.BytesIO(player.film()))
    assert gif.n_frames <= 200
    assert sum(f.info["duration"] for f in ImageSequence.Iterator(gif)) == pytest.approx(5000, rel=0.1)


def test_the_film_and_the_player_see_the_same(tmp_path: Path):
    """A metre at the target is as long as the player's lens makes it, and the eye is on the same side."""
    place = place_of(standing(), SIX)
    points = np.array(place.target) + np.array([(0, 0, 0), (0, 0.5, 0), (0.5, 0, 0)])
    at, scale = to_pixels(points, place, Camera(0.0, 0.0, 1.0), (400, 400), perspective=False)
    assert scale == pytest.approx(200 / place.radius)
    assert at[0, :2] == pytest.approx([200, 200])
    assert at[1, :2] == pytest.approx([200, 200 - 0.5 * scale])
    assert at[2, :2] == pytest.approx([200 - 0.5 * scale, 200])  # it faces -z, so its right, +x, is on the left


def test_files_are_made_for_the_browser_and_errors_are_sent_and_raised(monkeypatch: pytest.MonkeyPatch):
    player, sent = Player([standing(3)], SIX), []
    monkeypatch.setattr(player, "send", lambda content, buffers=None: sent.append((content, buffers)))
    player._answer(None, {"want": "gif", "camera": {"yaw": 0, "pitch": "x"}}, [])
    player._answer(None, {"want": "html"}, [])
    player._answer(None, {"want": "else"}, [])
    assert [content for content, _ in sent] == [
        {"file": "skeletons.gif", "type": "image/gif"},
        {"file": "skeletons.html", "type": "text/html"},
    ]
    assert sent[0][1][0].startswith(b"GIF89a") and b"<!DOCTYPE html>" in sent[1][1][0]
    monkeypatch.setattr(player, "film", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        player._answer(None, {"want": "gif"}, [])
    assert sent[2][0]["error"].startswith("ZeroDivisionError")


def test_a_player_is_saved_by_the_ending_of_the_name(tmp_path: Path):
    player = Player([standing(2)], SIX, ["one"])
    assert player.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert player.save(tmp_path / "a.gif").read_bytes().startswith(b"GIF89a")
    page = player.save(tmp_path / "a.html").read_text(encoding="utf-8")
    assert "http" not in re.sub(r"http-equiv", "", page)
    with pytest.raises(InputError, match="none of them"):
        player.save(tmp_path / "a.mp4")


# ---------------------------------------------------------------- the still picture


def bundle(widget: Any) -> dict[str, Any]:
    data, metadata = widget._repr_mimebundle_()
    assert metadata["image/png"]["alt"]
    return data


@pytest.mark.parametrize("kind", ["player", "players", "bench", "explorer"])
def test_every_widget_leaves_a_picture_beside_itself(kind: str):
    made = {
        "player": lambda: Player([standing()], SIX, ["one"]),
        "players": lambda: Player([standing(), standing(5, 2)], SIX, ["one", "one"]),
        "bench": lambda: AugmentationBench(some_clips(), ladder()),
        "explorer": lambda: explorer(),
    }[kind]()
    data = bundle(made)
    assert "application/vnd.jupyter.widget-view+json" in data
    png = base64.b64decode(data["image/png"])
    assert png.startswith(b"\x89PNG")
    assert len(png) < 200_000
    assert " at 0x" not in data["text/plain"]
    assert "children=" not in data["text/plain"]


# ---------------------------------------------------------------- workbench


@dataclass(frozen=True)
class Lift:
    """Moves the hands up by strength x a drawn height in 0.5..1 m: a result that can be worked out by hand."""

    after_stream: ClassVar[bool] = False

    def sample(self, shape: tuple[int, ...], strength: float, generator: Generator) -> dict[str, Tensor]:
        return {"height": strength * (0.5 + 0.5 * torch.rand(shape[0], generator=generator))}

    def apply(self, x: Tensor, params: dict[str, Tensor]) -> Tensor:
        x = x.clone()
        x[:, 1, :, 2:4] += params["height"].view(-1, 1, 1, 1) * (x[:, :, :, 2:4] != 0).any(1)
        return x


@dataclass(frozen=True)
class HideFeet:
    """Masks both feet at any strength but 0."""

    after_stream: ClassVar[bool] = True

    def sample(self, shape: tuple[int, ...], strength: float, _: Generator) -> dict[str, Tensor]:
        return {"on": torch.full((shape[0],), strength > 0)}

    def apply(self, x: Tensor, params: dict[str, Tensor]) -> Tensor:
        x = x.clone()
        x[:, :, :, 4:] *= ~params["on"].view(-1, 1, 1, 1, 1)
        return x


@dataclass(frozen=True)
class Fails(Lift):
    """Raises above half strength."""

    def sample(self, shape: tuple[int, ...], strength: float, generator: Generator) -> dict[str, Tensor]:
        if strength > 0.5:
            raise RuntimeError("too <strong>")
        return super().sample(shape, strength, generator)


def some_clips(count: int = 6) -> SkeletonSet:
    """Clip i stands i times 10 cm higher; classes a, b, a, b, ..."""
    x = np.stack([standing() + np.array([0, 0.1 * i, 0], dtype=np.float32)[:, None, None, None] for i in range(count)])
    return SkeletonSet.from_arrays(x, np.arange(count) % 2, layout=SIX, classes=("a", "b"))


def ladder() -> GrowingViews:
    return GrowingViews([[Lift()], [Lift()], [HideFeet()]])


def lifted(bench: AugmentationBench, view: str) -> float:
    """Height of the left hand in a view over that in the original, metres."""
    return float(bench.views[view][1, 0, 2, 0] - bench.views["original"][1, 0, 2, 0])


def test_each_view_adds_its_set_to_the_one_before():
    bench = AugmentationBench(some_clips(), ladder(), index=1)
    assert list(bench.views) == ["original", "basic", "normal", "strong"]
    assert torch.equal(bench.views["original"], torch.from_numpy(some_clips().x[1]))
    assert 0.5 <= lifted(bench, "basic") <= 1.0
    added = lifted(bench, "normal") - lifted(bench, "basic")
    assert 0.5 <= added <= 1.0
    assert added != lifted(bench, "basic")  # each augmentation has a draw of its own
    assert lifted(bench, "strong") == lifted(bench, "normal")
    assert not bench.views["strong"][:, :, 4:].any()
    assert bench.player.shape == [4, 8, 1, 6]


def test_a_slider_keeps_the_draw():
    bench = AugmentationBench(some_clips(), ladder())
    whole, revision = lifted(bench, "basic"), bench.player.revision
    bench.strengths["basic"] = 0.5
    assert lifted(bench, "basic") == pytest.approx(whole / 2, abs=1e-6)
    assert bench.player.revision == revision + 1
    assert unpacked(bench.player)[1, 0, 0, 2, 1] == pytest.approx(1.0 + whole / 2, abs=1e-3)
    bench.sliders["Lift"].value = 0.5
    assert lifted(bench, "basic") == pytest.approx(whole / 4, abs=1e-6)
    bench.strengths["basic"] = 1.0
    bench.strengths["Lift"] = 1.0
    assert lifted(bench, "basic") == pytest.approx(whole, abs=1e-6)


def test_strength_zero_shows_the_original_everywhere():
    bench = AugmentationBench(some_clips(), ladder())
    for name in ("basic", "normal", "strong"):
        bench.strengths[name] = 0.0
    assert all(torch.equal(view, bench.views["original"]) for view in bench.views.values())


def test_switching_one_off_leaves_the_draw_of_the_others():
    bench = AugmentationBench(some_clips(), ladder())
    added = lifted(bench, "normal") - lifted(bench, "basic")
    bench.strengths["Lift"] = 0.0
    assert lifted(bench, "basic") == 0.0
    assert lifted(bench, "normal") == pytest.approx(added, abs=1e-6)


def test_a_new_draw_is_another_one_and_a_seed_brings_it_back():
    bench = AugmentationBench(some_clips(), ladder(), seed=3)
    first = lifted(bench, "basic")
    bench.draw.click()
    assert bench.seed.value == 4
    assert lifted(bench, "basic") != first
    bench.seed.value = 3
    assert lifted(bench, "basic") == first


def test_a_clip_is_chosen_by_class_by_name_and_by_next():
    bench = AugmentationBench(some_clips(), ladder(), index=2)
    assert bench.action.value == 0
    bench.next.click()
    assert bench.clip.value == 4
    bench.next.click()
    assert bench.clip.value == 0
    bench.action.value = 1
    assert bench.clip.value == 1
    bench.clip.value = 5
    assert float(bench.views["original"][1, 0, 0, 0]) == pytest.approx(1.5)
    assert bench.player.place["floor"] == pytest.approx(0.5)


def test_the_clip_is_preprocessed_first():
    bench = AugmentationBench(some_clips(), ladder(), Preprocess(frames=4, centre="frame", turn="none"))
    assert bench.views["original"].shape == (3, 4, 6, 1)
    assert not bench.views["original"][:, :, 0].any()


def test_streams_are_drawn_as_vectors_on_the_view_before_masking():
    bench = AugmentationBench(some_clips(), ladder())
    joints = bench.views["basic"]
    bench.stream.value = "bone"
    assert torch.allclose(bench.views["basic"], joints - joints[:, :, :1])
    vectors = np.frombuffer(bench.player.vectors, "<i2").reshape(4, 8, 1, 6, 3) * bench.player.vector_scale
    assert vectors[1, 0, 0, 1] == pytest.approx([0, 0.6, 0], abs=1e-3)
    assert not vectors[3, :, :, 4:].any()  # masked
    assert unpacked(bench.player)[3, 0, 0, 4].any()  # but its place is known
    bench.stream.value = "motion"
    assert bench.views["original"][0, 0, 0, 0] == pytest.approx(0.01, abs=1e-6)
    bench.stream.value = "joint"
    assert bench.player.vectors == b""


def test_a_masked_joint_is_drawn_hollow_where_it_would_be():
    bench = AugmentationBench(some_clips(), ladder())
    hidden = np.frombuffer(bench.player.hidden, np.uint8).reshape(bench.player.shape)
    assert np.unique(np.argwhere(hidden)[:, [0, 3]], axis=0).tolist() == [[3, 4], [3, 5]]
    assert unpacked(bench.player)[3, 0, 0, 4, 0] == pytest.approx(-0.2, abs=1e-3)


def test_a_masked_joint_stays_in_its_place_at_every_strength():
    """The encoder's joint slides to the origin; in the picture it keeps its place and loses its filling."""
    bench = AugmentationBench(some_clips(), GrowingViews([[], [], [ops.JointMask(0.5, per_frame=False)]]))
    places, fillings, pictures = [], [], []
    for strength in (0.0, 0.01, 0.5, 0.99, 1.0):
        bench.strengths["strong"] = strength
        places.append(unpacked(bench.player)[3])
        hidden = np.frombuffer(bench.player.hidden or bytes(4 * 8 * 6), np.uint8).reshape(bench.player.shape)
        fillings.append(int(hidden[3].max()))
        assert (hidden[3] > 0).sum() == (8 * 3 if strength else 0)
        pictures.append(bench.picture())
    assert all(np.array_equal(place, places[0]) for place in places)
    assert fillings == [0, 3, 127, 252, 255]
    drawn = [[c.get_segments() for c in p.findobj(LineCollection) if c.get_gid() == "bones"] for p in pictures]
    assert all(np.allclose(a, b) for picture in drawn for a, b in zip(picture, drawn[0], strict=True))
    assert not bench.views["strong"][:, :, hidden[3, 0, 0] > 0].any()


def test_seconds_are_shown_of_a_known_rate_alone():
    player = Player([standing()], SIX)
    assert (player.fps, player.timed) == (30, False)
    player = Player([standing()], SIX, fps=12.5)
    assert (player.fps, player.timed) == (12.5, True)
    assert not AugmentationBench(some_clips(), ladder()).player.timed
    assert not explorer().player.timed
    timed, points = replace(some_clips(), fps=25.0), np.zeros((6, 2), dtype=np.float32)
    stretched = Preprocess(frames=4, centre="frame", turn="none")
    for steps, wanted in ((None, (25, True)), (stretched, (30, False))):
        players = [AugmentationBench(timed, ladder(), steps).player]
        players.append(Explorer({"a": points}, clips=timed, preprocess=steps).player)
        assert [(player.fps, player.timed) for player in players] == [wanted] * 2


def test_generated_clips_are_called_so_on_every_live_widget():
    clips = replace(some_clips(), synthetic=True)
    points = np.zeros((6, 2), dtype=np.float32)
    shown = Explorer({"a": points}, clips=clips)
    for widget in (AugmentationBench(clips, ladder()).player, shown.player, shown.scatter):
        assert widget.synthetic is True
    assert "synthetic" in repr(shown) and "synthetic" in repr(shown.player)
    assert not AugmentationBench(some_clips(), ladder()).player.synthetic
    assert not explorer().scatter.synthetic


def test_one_of_a_kind_is_singular():
    assert repr(Player([standing(1)], SIX)) == "Skeleton player, 1 view, 1 frame, 6 joints"
    assert repr(Explorer({"a": np.zeros((1, 2))}, clips=some_clips(1))) == "Explorer of 1 clip, 1 map: a"


def test_an_error_in_a_callback_is_shown_and_raised_and_the_picture_stays():
    bench = AugmentationBench(some_clips(), GrowingViews([[Fails()], [], []], strengths=(0.5, 1, 1)))
    before = (bench.player.positions, bench.player.revision)
    with pytest.raises(RuntimeError, match="too <strong>"):
        bench.strengths["basic"] = 0.9
    assert "RuntimeError: too &lt;strong&gt;" in bench.message.value
    assert (bench.player.positions, bench.player.revision) == before
    bench.strengths["basic"] = 0.4
    assert bench.message.value == ""


def test_strengths_have_names_and_bounds():
    bench = AugmentationBench(some_clips(), ladder())
    assert list(bench.strengths) == ["basic", "normal", "strong", "Lift", "Lift 2", "HideFeet"]
    with pytest.raises(InputError, match="no strength 'Shear'"):
        bench.strengths["Shear"] = 0.5
    with pytest.raises(InputError, match=r"0\.\.1"):
        bench.strengths["Lift"] = 1.5
    with pytest.raises(InputError, match=r"0\.\.5"):
        AugmentationBench(some_clips(), ladder(), index=6)


@pytest.mark.parametrize("stream", ["joint", "bone", "motion"])
def test_the_papers_views_run_in_the_workbench(stream: str):
    x = torch.randn(2, 3, 20, 25, 2, generator=Generator().manual_seed(0)).numpy()
    x[:, :, :, :, 1] = 0
    bench = AugmentationBench(
        SkeletonSet.from_arrays(x, np.array([0, 0]), layout=NTU_25, classes=("a",)), paper_views(NTU_25)
    )
    bench.stream.value = stream
    for name in bench.strengths:
        bench.strengths[name] = 0.3
    assert all(torch.isfinite(view).all() for view in bench.views.values())
    assert not any(view[..., 1].any() for view in bench.views.values())
    assert all("></small>" not in note.value for note in bench._panel.notes.values())


ONE = torch.ones(1)
SAID = [
    (ops.Rotate(), {"degrees": torch.tensor([[0.0, 22.04, -0.5]])}, "22° about y, others up to 0.5°"),
    (ops.Yaw(), {"degrees": torch.tensor([[-90.0]])}, "−90° about y"),
    (
        ops.Shear(),
        {"matrix": torch.tensor([[[1.0, 0.3, 0.1], [0.0, 1.0, 0.0], [-0.4, 0.0, 1.0]]])},
        "largest: z −0.40 x, x +0.30 y",
    ),
    (ops.Scale(), {"factor": torch.tensor([1.125])}, "size × 1.12"),
    (ops.TemporalCrop(), {"start": torch.tensor([2.5])}, "starts 2.5 frames earlier"),  # 30 // 6 = 5 is no shift
    (ops.TemporalCrop(), {"start": torch.tensor([6])}, "starts 1 frame later"),
    (ops.TemporalCrop(), {"start": torch.tensor([5])}, "no shift"),
    (
        ops.CropResize(),
        {"start": torch.tensor([0.1]), "kept": torch.tensor([0.5])},
        "10 % to 60 % of the clip",
    ),
    (
        ops.Noise(),
        {"on": ONE.bool(), "noise": torch.tensor([[-0.01, 0.01]])},
        "14.1 mm at each coordinate",
    ),  # 1 cm x √2
    (ops.Noise(), {"on": ~ONE.bool(), "noise": torch.zeros(1, 9)}, "off in this draw"),
    (ops.Blur(), {"on": ONE.bool(), "sigma": 1.26 * ONE, "amount": 0.5 * ONE}, "sigma 1.3 frames, 50 % blended in"),
    (ops.AxisMask(), {"on": ONE.bool(), "axis": torch.tensor([2]), "amount": 0.75 * ONE}, "z shrunk to 25 %"),
    (ops.Flip(SIX), {"on": ONE.bool(), "amount": ONE}, "left and right changed places, 100 % of the way"),
    (ops.Mirror(SIX), {"on": ONE.bool(), "amount": 0.5 * ONE}, "mirror image, 50 % of the way"),
    (ops.JointMask(), {"mask": torch.tensor([[[0, 1.0, 0, 0, 1, 0]]])}, "head, foot_l hidden"),
    (
        ops.JointMask(),
        {"mask": torch.tensor([[[0, 0.25]] * 2])},
        "1 joint faded to 75 % in each frame",
    ),
    (ops.JointMask(), {"mask": torch.zeros(1, 1, 6)}, "no joint hidden"),
    (ops.SkeleAdaIN(), {"partner": torch.tensor([1]), "amount": 0.5 * ONE}, "50 % of another clip's style"),
    (ops.PoseMix(), {"partner": torch.tensor([1]), "amount": 0.5 * ONE}, "50 % of another clip's mean pose"),
    (ops.Exaggerate(), {"factor": 1.5 * ONE}, "movements × 1.50"),
    (
        ops.DropAddEdges(),
        {"drop": torch.tensor([[0.04, 0.08]]), "add": torch.tensor([[0.02]]), "amount": 0.5 * ONE},
        "in the encoder, not seen here: 3 % of its edges dropped, 1 % of the free places filled",
    ),
    (
        ops.OneOf([ops.JointMask(), (ops.SkeleAdaIN("V"), ops.SkeleAdaIN())]),
        {"chosen": torch.tensor([1]), "0.0.mask": torch.zeros(1, 1, 6), "1.0.amount": 0.5 * ONE, "1.1.amount": ONE},
        "50 % of another clip's style; 100 % of another clip's style",
    ),
    (Lift(), {"height": torch.tensor([0.5]), "many": torch.zeros(1, 9)}, "height 0.5"),
]


@pytest.mark.parametrize(("op", "params", "text"), SAID, ids=lambda value: value if isinstance(value, str) else "")
def test_what_was_drawn_is_said_in_words(op: Any, params: dict[str, Tensor], text: str):
    assert words(op, params, 30, SIX) == text


def test_a_style_is_taken_from_a_clip_of_another_class():
    bench = AugmentationBench(some_clips(), GrowingViews([[ops.SkeleAdaIN(over="TV")], [], []]), index=2)
    # clip 1, of the other class, stands 10 cm lower: its mean is taken on
    assert float((bench.views["basic"] - bench.views["original"])[1].mean()) == pytest.approx(-0.1, abs=1e-4)
    bench.strengths["SkeleAdaIN"] = 0.0
    assert torch.equal(bench.views["basic"], bench.views["original"])


# ---------------------------------------------------------------- explorer


def explorer(**more: Any) -> Explorer:
    clips = some_clips()
    x = np.arange(6, dtype=np.float64)
    return Explorer({"basic": np.stack([x, x % 2], axis=1), "strong": np.stack([-x, x], axis=1)}, clips=clips, **more)


def test_a_pick_plays_that_very_clip():
    shown = explorer()
    shown.pick(3)
    assert torch.equal(torch.from_numpy(shown.player.clips[0]), torch.from_numpy(some_clips().x[3]))
    assert shown.player.titles == [f"{some_clips().names[3]} · b"]
    assert shown.picked["index"] == 3
    assert shown.player.place["floor"] == pytest.approx(0.3)


def test_a_pick_from_the_browser_arrives():
    shown = explorer()
    shown.scatter.set_state({"picked": {"index": 4, "panel": 1, "n": 1}})
    assert shown.picked == {"index": 4, "panel": 1, "n": 1}
    assert shown.player.clips[0][1, 0, 0, 0] == pytest.approx(1.4)


def test_a_lasso_from_the_browser_arrives_as_indices():
    shown = explorer()
    assert shown.selected.tolist() == []
    shown.scatter.set_state({"selected": memoryview(np.array([5, 2], dtype="<i4").tobytes())})
    assert shown.selected.tolist() == [5, 2]


def test_a_function_may_give_several_clips():
    shown = Explorer(
        {"basic": np.zeros((2, 2))}, [0, 1], ["a", "b"], lambda i: {"clean": standing(), "strong": standing(3 + i)}, SIX
    )
    assert shown.player.titles == ["clip 0 · a", "strong"]
    shown.pick(1)
    assert shown.player.shape == [2, 8, 1, 6]


def test_an_error_at_a_click_is_shown_and_raised():
    def broken(index: int) -> np.ndarray:
        if index:
            raise OSError("<disk> gone")
        return standing()

    shown = Explorer({"basic": np.zeros((2, 2))}, [0, 1], ["a", "b"], broken, SIX)
    with pytest.raises(OSError, match="gone"):
        shown.pick(1)
    assert "OSError: &lt;disk&gt; gone" in shown.message.value
    shown.pick(0)
    assert shown.message.value == ""


def test_maps_travel_as_float32():
    shown = explorer()
    xy = np.frombuffer(shown.scatter.xy, "<f4").reshape(2, 6, 2)
    assert xy[1].tolist() == [[-i, i] for i in range(6)]
    assert list(shown.scatter.labels) == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"maps": {}}, "at least one map"),
        ({"maps": {"a": np.zeros((2, 3))}}, r"must have shape \(2, 2\)"),
        ({"maps": {"a": np.full((2, 2), np.nan)}}, "not finite"),
        ({"labels": [0, 2]}, r"indices 0\.\.1"),
        ({"names": ["x"]}, "for 2 there came 1"),
        ({"classes": [str(i) for i in range(257)]}, "up to 256"),
    ],
)
def test_maps_that_do_not_fit_are_refused(change: dict[str, Any], said: str):
    good = {"maps": {"a": np.zeros((2, 2))}, "labels": [0, 1], "classes": ["a", "b"], "names": ["x", "y"]}
    with pytest.raises(InputError, match=said):
        Scatter(**(good | change))


def test_an_explorer_says_what_it_lacks():
    with pytest.raises(InputError, match="or a SkeletonSet"):
        Explorer({"a": np.zeros((2, 2))}, [0, 1], ["a", "b"], lambda _: standing())
    with pytest.raises(InputError, match=r"0\.\.5"):
        explorer().pick(6)


def seen(**more: Any) -> Explorer:
    """Six clips whose features point to other neighbours than the maps do: 0 lies with 5 and 3, 1 with 4 and 2."""
    angles = np.deg2rad([0, 90, 75, 15, 88, 1])
    features = {"strong": np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array([[1], [9], [1], [5], [1], [2]])}
    return explorer(features=features, **more)


def test_neighbours_are_those_of_the_features_by_cosine():
    shown = seen()
    assert shown.neighbours(0, panel=0) == []  # no features of this map
    shown.pick(0, panel=1)
    near = shown.scatter.near
    assert (near["of"], near["space"]) == (0, "strong")
    assert [index for index, _ in near["rows"]] == [5, 3, 2, 4, 1]
    assert near["rows"][0][1] == pytest.approx(np.cos(np.deg2rad(1)), abs=1e-6)
    shown.scatter.set_state({"beside": {"index": 3, "n": 1}})
    assert [title.split(" · ")[0] for title in shown.player.titles] == [some_clips().names[i] for i in (0, 3)]
    assert torch.equal(torch.from_numpy(shown.player.clips[1]), torch.from_numpy(some_clips().x[3]))
    with pytest.raises(InputError, match="no clip 9"):
        shown.scatter.beside = {"index": 9, "n": 2}
    assert "no clip 9" in shown.message.value


def test_a_selection_says_what_it_is_made_of():
    shown = explorer(groups={"camera": [1, 1, 3, 3, 3, 3], "length": np.linspace(1, 2, 6)}, predicted=np.zeros(6, int))
    shown.select([4, 0, 2])
    assert shown.selected.tolist() == [0, 2, 4]
    assert shown.make_up() == {
        "class": {"a": 3},
        "camera": {"3": 2, "1": 1},
        "prediction": {"a": 3},
        "correctness": {"right": 3},
    }
    assert list(shown.scatter.codes[:6]) == [0, 0, 1, 1, 1, 1]
    assert np.frombuffer(shown.scatter.measures, "<f4")[-1] == 2
    assert [(each["name"], len(each["words"])) for each in shown.scatter.colourings] == [
        ("camera", 2),
        ("length", 0),
        ("prediction", 2),
        ("correctness", 2),
    ]
    with pytest.raises(InputError, match=r"0\.\.5"):
        shown.select([6])


def test_a_clip_plays_beside_one_of_the_same_name():
    shown = explorer(names=["same"] * 6)
    shown.scatter.set_state({"beside": {"index": 2, "n": 1}})
    assert shown.player.titles == ["same · a"] * 2
    assert [clip[1, 0, 0, 0] for clip in shown.player.clips] == pytest.approx([1.0, 1.2])


def test_names_that_are_cut_to_the_same_stay_two():
    classes = [f"{'long ' * 20}{side}{' name' * 20}" for side in ("left", "right")]
    shown = explorer(classes=classes)
    shown.select([0, 1, 2])
    first, second = shown.scatter.classes
    assert second == f"{first} (2)"
    assert shown.make_up()["class"] == {first: 2, second: 1}
    assert by_group("who", [None, 1, None]).words == ("1", "None")


def test_density_is_highest_where_points_crowd():
    points = np.concatenate([np.random.default_rng(0).normal(size=(40, 2)) * 0.01, [[5, 5], [9, 0]]])
    crowd = density(points)
    assert len(set(density(np.zeros((6, 2))).tolist())) == 1
    assert crowd[:40].min() > crowd[40:].max()
    assert (crowd.min(), crowd.max()) == (0, 1)


def test_a_clip_is_played_beside_a_draw_of_each_view():
    shown = explorer(views=ladder())
    assert shown.player.shape[0] == 4
    assert shown.player.titles[1:] == list(ladder().names)
    shown.pick(2)
    first = shown.player.clips
    shown.pick(4)
    shown.pick(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, shown.player.clips, strict=True))
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features": {"basic": np.zeros((5, 2))}}, r"must have shape \(6, D\)"),
        ({"predicted": np.zeros(5, int)}, "must hold 6 classes"),
        ({"groups": {"camera": [1, 2]}}, "a value for each of 6 clips"),
        ({"moves": ("basic", "key")}, "two of the maps"),
    ],
)
def test_what_does_not_fit_the_maps_is_refused(change: dict[str, Any], said: str):
    with pytest.raises(InputError, match=said):
        explorer(**change)


# ---------------------------------------------------------------- what must never be


@pytest.mark.parametrize("name", ["player", "explorer", "through", "confusions", "offline"])
def test_no_script_reads_text_as_markup_or_loads_anything(name: str):
    source = script(name)
    assert "class View" in source
    assert source.count("export default") == (name != "offline")
    markup, loading = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", r"https?:|\bimport\b|fetch\("
    assert not re.findall(rf"{markup}|{loading}|\beval\b|new Function", source)


def test_a_missing_package_is_said_with_the_line_that_installs_it():
    script = "import sys; sys.modules['anywidget'] = None\nimport hiclr.widgets"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "hiclr[notebooks]"' in done.stderr


# ---------------------------------------------------------------- front ends, in a page


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found, served(WIDGETS) as address:
        yield found, address


@pytest.fixture
def mount(browser: Any) -> Iterator[Any]:
    """mount(name, widget) -> a page in which its front end runs; in the end, nothing must have gone wrong."""
    found, address = browser
    opened = []

    def start(name: str, widget: Any, width: int = 800, dark: bool = False, ratio: float = 1.0) -> Any:
        page = found.new_page(
            viewport={"width": width + 40, "height": 700},
            color_scheme="dark" if dark else "light",
            device_scale_factor=ratio,
        )
        opened.append((page, *strangers(page)))
        looks = name if (WIDGETS / f"{name}.css").is_file() else "explorer"
        page.goto(f"{address}/page.css")
        page.set_content(f"<style>{style(looks)}</style><div id='host' style='width: {width}px'></div>")
        page.evaluate(FAKE_MODEL + "; 0")
        page.evaluate(MOUNT, [name, *state_of(widget)])
        return page

    yield start
    for page, errors, requests in opened:
        page.close()
        assert errors == []
        assert requests == []


def canvas(page: Any) -> Any:
    return page.locator("canvas[role=img]")


def data(page: Any) -> dict[str, str]:
    found: dict[str, str] = canvas(page).evaluate("(canvas) => ({ ...canvas.dataset })")
    return found


def checksum(page: Any) -> int:
    found: int = canvas(page).evaluate(CHECKSUM)
    return found


def send(page: Any, player: Player) -> None:
    """Give the page's model what the Python one holds now, as one message does."""
    state, buffers = state_of(player)
    page.evaluate(
        """([state, buffers]) => {
          for (const [key, text] of Object.entries(buffers)) state[key] = model.bytes(text);
          Object.assign(model.state, state);
          for (const act of model.handlers["change:revision"]) act();
        }""",
        [state, buffers],
    )


def still(*clips: np.ndarray, **more: Any) -> Player:
    return Player(clips or (standing(),), SIX, playing=False, **more)


@pytest.mark.browser
def test_the_lens_has_equal_axes_and_looks_at_the_front(mount: Any):
    page = mount("player", still())
    spots = page.evaluate(
        """() => {
          const place = { target: [0, 0, 0], radius: 1, floor: -1, facing: Math.PI };
          const lens = front.lens({ yaw: 0, pitch: 0, zoom: 1 }, place, 400, 420, 20, false);
          return [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]].map((p) => {
            const out = [0, 0, 0, 0];
            lens.project(...p, out, 0);
            return out;
          });
        }"""
    )
    centre, right, up, away = spots
    assert centre[:2] == pytest.approx([200, 220])  # 20 pixels are the title's
    # 1 m is half of the smaller side, 200 pixels; from the side of -z, +x lies to the left: as if facing the person
    assert right[:2] == pytest.approx([100, 220])
    assert up[:2] == pytest.approx([200, 120])
    assert away[:2] == pytest.approx([200, 220])
    assert away[2] == pytest.approx(-0.5)  # farther from the eye


@pytest.mark.browser
def test_an_update_is_drawn_and_the_camera_stays(mount: Any):
    player = still()
    page = mount("player", player)
    assert data(page)["revision"] == "1"
    box = canvas(page).bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 120, steps=3)
    page.mouse.up()
    page.mouse.wheel(0, -200)
    page.wait_for_function("Number(document.querySelector('canvas').dataset.zoom) > 1.2")
    turned, before = data(page), checksum(page)
    assert float(turned["yaw"]) == pytest.approx(0.45 - 0.6, abs=0.02)
    assert float(turned["pitch"]) == pytest.approx(0.16 + 0.2, abs=0.02)
    player.update([1.3 * standing()])
    send(page, player)
    after = data(page)
    assert after["revision"] == "2"
    assert checksum(page) != before
    assert all(after[key] == turned[key] for key in ("yaw", "pitch", "zoom"))
    canvas(page).dblclick()
    assert (data(page)["yaw"], data(page)["zoom"]) == ("0.4500", "1.0000")


@pytest.mark.browser
def test_it_plays_pauses_and_stops_when_closed(mount: Any):
    page = mount("player", Player([standing(400)], SIX, fps=60))
    page.wait_for_function("Number(document.querySelector('canvas').dataset.frame) > 5")
    page.locator(".sk-play").click()
    assert page.evaluate("model.state.playing") is False
    assert page.evaluate("model.sent") == 1
    frame = data(page)["frame"]
    page.wait_for_timeout(120)
    assert data(page)["frame"] == frame
    page.locator(".sk-play").click()
    page.wait_for_function(f"document.querySelector('canvas').dataset.frame !== '{frame}'")
    left = page.evaluate(
        """async () => {
          const old = document.querySelector("canvas");
          close_widget();
          const draws = old.dataset.draws;
          model.set("revision", 9);
          await new Promise((done) => setTimeout(done, 120));
          return [old.dataset.draws === draws, host.childElementCount, Object.values(model.handlers).flat().length];
        }"""
    )
    assert left == [True, 0, 0]


@pytest.mark.browser
def test_keys_step_and_play(mount: Any):
    page = mount("player", still())
    canvas(page).focus()
    for key, frame in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 7), ("ArrowRight", 0)):
        page.keyboard.press(key)
        assert data(page)["frame"] == str(frame), key
    assert page.locator(".sk-time").text_content() == "1 / 8"
    page.keyboard.press(" ")
    assert page.evaluate("model.state.playing") is True
    page.keyboard.press("ArrowRight")
    assert page.evaluate("model.state.playing") is False  # who steps wants to look
    assert "space" in canvas(page).get_attribute("aria-label").lower()


@pytest.mark.browser
def test_seconds_follow_the_rate(mount: Any):
    page = mount("player", still(fps=4))
    canvas(page).focus()
    page.keyboard.press("End")
    assert page.locator(".sk-time").text_content() == "8 / 8 · 1.75 s"


NAMED = """() => [...host.querySelectorAll("canvas, button, input, select, [role]:not([role=alert])")]
  .filter((part) => !part.hasAttribute("aria-hidden"))
  .map((part) => [part.className, (part.getAttribute("aria-label") ?? part.textContent).trim()])"""


@pytest.mark.browser
@pytest.mark.parametrize("name", ["player", "explorer"])
def test_every_part_has_a_name_for_who_listens(mount: Any, name: str):
    page = mount(name, still(synthetic=True) if name == "player" else corners(synthetic=True))
    parts = page.evaluate(NAMED)
    assert len(parts) >= 5
    assert all(said and said != "▶" and said != "⟲" for _, said in parts), parts
    assert "Synthetic clips." in canvas(page).get_attribute("aria-label")
    assert page.locator(".sk-note").text_content() == "synthetic"
    page = mount(name, still() if name == "player" else corners())
    assert "ynthetic" not in canvas(page).get_attribute("aria-label")
    assert not page.locator(".sk-note").is_visible()


# Compared in the page: a million numbers as text take a minute on their way here.
PIXELS = "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.map((v) => v >> 2)"
APART = "(a, b) => a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0)"


@pytest.mark.browser
def test_a_mask_fades_in(mount: Any):
    """From hardly to all: no step of the picture is larger than a third of the whole way."""
    player = still(height=400)
    page = mount("player", player)
    page.evaluate(f"window.seen = []; window.pixels = {PIXELS}; 0")
    for share in (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0):
        mask = np.zeros((8, 6, 1))
        mask[:, 1:3] = share
        player.update([standing()], hidden=[mask])
        send(page, player)
        page.evaluate("seen.push(pixels(document.querySelector('canvas'))); 0")
    way = page.evaluate(f"({APART})(seen.at(-1), seen[0])")
    steps = page.evaluate(f"seen.slice(1).map((now, i) => ({APART})(now, seen[i]))")
    assert len(steps) == 6 and way > 0 and max(steps) < way / 2
    assert steps[0] < way / 5 and steps[-1] < way / 5


@pytest.mark.browser
def test_a_joint_is_named_under_the_pointer(mount: Any):
    clip = standing(persons=2)
    mask = np.zeros((8, 6, 2))
    mask[:, 3] = 1.0
    player = still(clip, clip)
    player.update([clip, clip], hidden=[0 * mask, mask])
    page = mount("player", player)
    place = player.place
    spots = page.evaluate(
        """([place, points]) => {
          const lens = front.lens({ yaw: 0.45, pitch: 0.16, zoom: 1 }, place, 399, 300, 30, true);
          return points.map((p) => { const out = [0, 0, 0, 0]; lens.project(...p, out, 0); return out; });
        }""",
        [place, POSE],
    )
    box = canvas(page).bounding_box()
    for view, joint, said in ((0, 3, "hand_r · person 1 · (0.50, 1.00, 0.00) m"), (1, 3, "hand_r · person 1 · masked")):
        page.mouse.move(box["x"] + 399 * view + spots[joint][0] + 3, box["y"] + spots[joint][1] - 3)
        wait_for(page, hovered=f"{view} 0 {joint}")
        assert page.locator(".sk-tip").text_content().startswith(said)
    page.mouse.move(box["x"] + 5, box["y"] + 290)
    wait_for(page, hovered="")
    assert not page.locator(".sk-tip").is_visible()


@pytest.mark.browser
def test_ghost_trail_and_persons_are_switched_and_keep_the_camera(mount: Any):
    clip, beside = standing(persons=2), standing()
    clip[..., 1] = clip[..., 0] + np.array([0.4, 0, 0.2], dtype=np.float32)[:, None, None]
    page = mount("player", still(clip, 1.2 * clip))
    page.locator(".sk-scrub").fill("7")
    pictures = [checksum(page)]
    for name, trait, value in (("ghost", "ghost", True), ("onion", "onion", 4), ("tint", "tint", "person")):
        page.locator(f".sk-{name}").click()
        assert page.evaluate(f"model.state.{trait}") == value
        assert page.locator(f".sk-{name}").get_attribute("aria-pressed") == "true"
        pictures.append(checksum(page))
    assert len(set(pictures)) == 4
    assert page.locator(".sk-key").text_content() == "person 1person 2"
    for name in ("ghost", "onion", "tint"):
        page.locator(f".sk-{name}").click()
    page.mouse.move(0, 0)
    assert (checksum(page), data(page)["yaw"], data(page)["frame"]) == (pictures[0], "0.4500", "7")
    page = mount("player", still(beside))
    assert [page.locator(f".sk-{name}").is_visible() for name in ("ghost", "onion", "tint")] == [False, True, False]


@pytest.mark.browser
def test_without_the_loop_it_stops_at_the_end_and_begins_again(mount: Any):
    player = still(fps=60)
    page = mount("player", player)
    page.locator(".sk-loop").click()
    assert page.evaluate("model.state.loop") is False
    page.locator(".sk-play").click()
    wait_for(page, frame=7)
    page.wait_for_function("model.state.playing === false")
    assert data(page)["frame"] == "7"
    page.locator(".sk-play").click()
    page.wait_for_function("Number(document.querySelector('canvas').dataset.frame) < 7")


@pytest.mark.browser
def test_the_picture_is_saved_and_files_are_asked_for(mount: Any):
    page = mount("player", still())
    with page.expect_download() as got:
        page.locator(".sk-png").click()
    assert Path(got.value.path()).read_bytes().startswith(b"\x89PNG")
    page.locator(".sk-gif").click()
    assert page.evaluate("model.asked") == [{"want": "gif", "camera": {"yaw": 0.45, "pitch": 0.16, "zoom": 1}}]
    assert page.locator(".sk-gif").is_disabled()
    arrive = "(content) => model.handlers['msg:custom'].forEach((act) => act(content, [model.bytes('R0lG')]))"
    page.evaluate(arrive, {"error": MARKUP})
    assert page.locator(".sk-alert").text_content() == MARKUP
    assert page.locator("img").count() == 0
    with page.expect_download() as got:
        page.evaluate(arrive, {"file": "skeletons.gif", "type": "image/gif"})
    assert (got.value.suggested_filename, Path(got.value.path()).read_bytes()) == ("skeletons.gif", b"GIF")
    assert page.locator(".sk-alert").text_content() == ""
    assert page.locator(".sk-gif").is_enabled()


@pytest.mark.browser
def test_a_saved_page_plays_from_a_file(browser: Any, tmp_path: Path):
    player = Player([standing(200), 1.1 * standing(200)], SIX, ["one", MARKUP], synthetic=True)
    player.remarks = lambda: MARKUP + "</script>"
    target = player.save(tmp_path / "page.html")
    page = browser[0].new_page()
    errors, requests = strangers(page)
    page.context.set_offline(True)
    page.goto(target.as_uri())
    until(page, "Number(document.querySelector('canvas').dataset.frame) > 3")
    before = data(page)
    assert page.locator("pre").text_content() == MARKUP + "</script>"
    assert [page.locator(f".sk-{name}").is_visible() for name in ("png", "gif", "html")] == [True, False, False]
    page.locator(".sk-play").click()
    page.locator(".sk-ghost").click()
    canvas(page).focus()
    page.keyboard.press("End")
    until(page, "document.querySelector('canvas').dataset.frame === '199'")
    assert data(page)["yaw"] == before["yaw"]
    page.context.set_offline(False)
    page.close()
    assert errors == []
    assert requests == [target.as_uri()]


@pytest.mark.browser
def test_the_scene_stands_still_while_time_goes(mount: Any):
    clip = standing()
    clip[:, [0, 1, 5, 6, 7]] = 0  # nobody is there at first and in the end
    page = mount("player", still(clip, 2 * clip))
    pictures = {}
    for frame in (0, 3, 7):
        page.locator(".sk-scrub").fill(str(frame))
        pictures[frame] = checksum(page)
    assert pictures[0] == pictures[7] != pictures[3]


@pytest.mark.browser
def test_a_saved_explorer_plays_its_clips_from_a_file(browser: Any, tmp_path: Path):
    shown = seen(
        names=["<script>alert(1)</script>", MARKUP, r"$\href{x}{y}$", "d", "e", "f"], title="</script>" + MARKUP
    )
    shown.pick(1, panel=1)
    target = shown.save(tmp_path / "page.html")
    assert target.stat().st_size < 300_000
    page = browser[0].new_page(viewport={"width": 840, "height": 700})
    errors, requests = strangers(page)
    page.context.set_offline(True)
    page.goto(target.as_uri())
    page.wait_for_selector("canvas.sk-player[data-revision]")
    scatter, player = page.locator("canvas.sk-scatter"), page.locator("canvas.sk-player")
    assert scatter.get_attribute("data-picked") == "1"
    scatter.focus()
    page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('canvas.sk-player').ariaLabel.includes('href')")
    assert r"$\href{x}{y}$ · a" in player.get_attribute("aria-label")
    box = scatter.bounding_box()
    width = (box["width"] - 24) / 2  # clip 0 of "strong" lies at (0, 0), right below
    scale = min((width - 30) / 5, (box["height"] - 62) / 5)
    x, y = 2.5 * scale, -2.5 * scale
    page.mouse.click(box["x"] + 16 + width * 1.5 + x, box["y"] + 24 + (box["height"] - 32) / 2 - y)
    until(page, "document.querySelector('canvas.sk-scatter').dataset.near === '5 3 2 4 1'")
    page.locator(".sk-near button").first.click()
    until(page, "document.querySelector('canvas.sk-player').ariaLabel.includes('f · b')")
    assert "<script>alert(1)</script> · a" in player.get_attribute("aria-label")
    assert page.locator("pre").text_content().startswith("This page holds all 6 clips")
    page.context.set_offline(False)
    page.close()
    assert errors == []
    assert requests == [target.as_uri()]


# In a saved page: `models` are those that its front ends were given.
KEEP_MODELS = """
globalThis.models = {};
globalThis.fronts = new Proxy({}, {
  set(kept, name, { render }) {
    kept[name] = { render(given) { models[name] = given.model; render(given); } };
    return true;
  },
});
"""


@pytest.mark.browser
def test_a_saved_explorer_plays_a_clip_beside_its_views(browser: Any, tmp_path: Path):
    shown = explorer(views=ladder())
    shown.pick(3)
    wanted = unpacked(shown.player)
    room = len(explorer_page(shown, 1).html) - 200  # the views of one clip do not fit, the one that comes last
    kept = explorer_page(shown, room / 1e6)
    assert kept[1:] == (6, 5)
    (target := tmp_path / "page.html").write_bytes(kept.html)
    page = browser[0].new_page()
    errors, requests = strangers(page)
    page.add_init_script(KEEP_MODELS)
    page.context.set_offline(True)
    page.goto(target.as_uri())
    page.wait_for_selector("canvas.sk-player[data-revision]")
    assert "5 of them beside their views" in page.locator("pre").text_content()
    name = some_clips().names[3]
    assert f"4 views: {name} · b, {', '.join(ladder().names)}" in page.locator(".sk-player").get_attribute("aria-label")
    played = "((name, Type) => [...new Type(models.player.get(name).buffer)])"
    shape, scale = page.evaluate("[models.player.get('shape'), models.player.get('scale')]")
    assert shape == list(wanted.shape[:4])
    metres = np.reshape(page.evaluate(f"{played}('positions', Int16Array)"), wanted.shape) * scale
    assert np.abs(metres - wanted).max() < 1e-4
    hidden = page.evaluate(f"{played}('hidden', Uint8Array)")
    assert bytes(hidden) == shown.player.hidden and 255 in hidden
    page.locator(".sk-scatter").focus()
    alone = []
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        said = page.locator(".sk-missing").text_content()
        label = page.locator(".sk-player").get_attribute("aria-label")
        assert ("1 view:" in label) == (said == "Its views are not in the page.")
        alone.append("1 view:" in label)
    assert sum(alone) == 1
    page.context.set_offline(False)
    page.close()
    assert errors == []
    assert requests == [target.as_uri()]


def test_a_page_is_never_larger_than_asked_and_holds_what_fits(tmp_path: Path):
    shown = seen(views=ladder(), title="Füße · “маршрут”", names=[f"{'ü' * i} </b> {i}" for i in range(6)])
    shown.pick(4)
    shown.feature("listed", [(5, "· <i>")])
    every, bare = explorer_page(shown, 1), explorer_page(shown, 1, "never")
    assert every[1:] == (6, 6) and b"all 6 clips, each beside its views" in every.html
    assert bare[1:] == (6, 0) and b"all 6 clips, without their views." in bare.html
    least = len(explorer_page(shown, 1, "never").html)
    step = (len(every.html) - least) // 6
    for views, low, high in (("spare", 6, 0), ("always", 1, 1)):
        before = (7, 7)
        for size in range(len(every.html), len(every.html) - 5 * step, -731):
            page = explorer_page(shown, size / 1e6, views)
            assert size - 2 * step < len(page.html) <= size
            assert before >= page[1:] >= (low, high)
            before = page[1:]
        assert before < (6, 6)
    few = explorer_page(shown, (least - 2500) / 1e6)
    assert 0 < few.clips < 6 and few.beside == 0
    said = f"{few.clips} of 6 clips, without their views: there was no room for them. A point without its clip says so"
    assert said in few.html.decode()
    assert re.findall(r'"(\d)": {"place"', few.html.decode())[:2] == ["4", "5"]  # the picked one, and what is listed
    saved = shown.save(tmp_path / "page.html", len(every.html) / 1e6)
    assert saved.read_bytes() == every.html
    for none in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="a number above 0"):
            shown.save(tmp_path / "none.html", none)
    with pytest.raises(InputError, match="Not one clip fits"):
        shown.save(tmp_path / "none.html", 0.001)
    with pytest.raises(InputError, match="spare, always, never"):
        shown.save(tmp_path / "none.html", views="some")
    with pytest.raises(InputError, match=r"\.html, \.svg or \.png"):
        shown.save(tmp_path / "x.gif")
    assert "<svg" in shown.save(tmp_path / "maps.svg").read_text(encoding="utf-8")


def test_a_page_counts_those_clips_that_have_something_beside_them():
    clips = some_clips()

    def look_up(i: int) -> Any:
        return {"clip": clips.x[i], "again": clips.x[i]} if i % 2 else clips.x[i]

    shown = Explorer({"a": np.eye(6)[:, :2]}, clips.y, clips.classes, look_up, clips.layout)
    every = explorer_page(shown, 1)
    assert every[1:] == (6, 3) and b"all 6 clips, each beside its views" in every.html
    few = explorer_page(shown, (len(every.html) - 200) / 1e6)
    assert few[1:] == (6, 2) and b"all 6 clips, 2 of them beside their views" in few.html


def test_sixteen_bits_of_a_scale_are_finer_than_half_precision():
    clips = synthetic(subjects=2, cameras=1, frames=16)
    x = clips.clips([0, 31]).numpy()
    packed = pack(list(x), clips.layout)
    whole = np.frombuffer(packed.data, "<i2").reshape(*packed.shape, 3) * packed.scale  # (W, T, M, V, 3)
    own = np.moveaxis(x, (0, 2, 4, 3, 1), (0, 1, 2, 3, 4))
    half = np.abs(own.astype(np.float16) - own).max()
    assert np.abs(whole - own).max() < 1e-4 < 10 * np.abs(whole - own).max() < half  # metres


@pytest.mark.browser
def test_scrubbing_and_speed(mount: Any):
    page = mount("player", still())
    page.locator(".sk-scrub").fill("5")
    assert data(page)["frame"] == "5"
    page.locator(".sk-speed").select_option("0.25")
    assert page.evaluate("model.state.speed") == 0.25


@pytest.mark.browser
def test_an_absent_person_is_not_drawn(mount: Any):
    alone, with_nobody = standing(), standing(persons=2)
    both = standing(persons=2)
    both[..., 1] = both[..., 0] + np.array([0.4, 0, 0.2], dtype=np.float32)[:, None, None]
    pictures = [checksum(mount("player", still(clip))) for clip in (alone, with_nobody, both)]
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.browser
def test_left_and_right_differ_without_colour(mount: Any):
    """The same body with all limbs left, and with all limbs right, in one colour: filled limbs have more ink."""
    ink = {}
    for side in ("left", "right"):
        player = still(height=500)
        player.colours = {"left": "#555555", "right": "#555555"}
        player.sides = [side] * 6
        ink[side] = canvas(mount("player", player, width=500)).evaluate(
            """(canvas) => {
              const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
              return pixels.filter((value, i) => i % 4 === 0 && value < 100).length;
            }"""
        )
    assert ink["left"] > 1.5 * ink["right"], ink


@pytest.mark.browser
def test_it_fits_narrow_cells_and_sharp_screens(mount: Any):
    page = mount("player", still(*[standing()] * 4, height=200), width=800, ratio=2.0)
    size = "(canvas) => [canvas.width, canvas.height, canvas.clientHeight]"
    assert canvas(page).evaluate(size) == [2 * 798, 2 * 200, 200]  # a border of one pixel on each side
    page.evaluate("host.style.width = '402px'")
    page.wait_for_function("document.querySelector('canvas').clientHeight === 400")
    assert canvas(page).evaluate(size) == [2 * 400, 2 * 400, 400]


@pytest.mark.browser
def test_themes_change_paper_and_ink(mount: Any):
    corner = "(canvas) => [...canvas.getContext('2d').getImageData(3, canvas.height - 3, 1, 1).data].slice(0, 3)"
    assert min(canvas(mount("player", still())).evaluate(corner)) > 200
    page = mount("player", still(), dark=True)
    assert max(canvas(page).evaluate(corner)) < 90
    page.evaluate("document.documentElement.style.setProperty('--jp-layout-color0', '#ffeedd')")
    page.evaluate("document.body.setAttribute('data-jp-theme-light', 'true')")
    page.wait_for_function(f"({corner})(document.querySelector('canvas'))[0] > 200")


@pytest.mark.browser
def test_data_that_does_not_fit_is_said_not_drawn(mount: Any):
    page = mount("player", still())
    page.evaluate("model.state.shape = [1, 9, 1, 6]; model.set('revision', 7)")
    assert data(page)["revision"] == "7"


@pytest.mark.browser
def test_vectors_and_masks_change_the_picture(mount: Any):
    player = still()
    page = mount("player", player)
    pictures = [checksum(page)]
    mask = np.zeros((8, 6, 1), dtype=bool)
    mask[:, 3] = True
    for change in ({"hidden": [mask]}, {"vectors": [0.1 * standing()]}, {"projection": "orthographic"}):
        player.projection = change.pop("projection", "perspective")
        player.update([standing()], **change)
        send(page, player)
        pictures.append(checksum(page))
    assert len(set(pictures)) == 4


MARKUP = "<img src=x onerror=alert(1)>"


@pytest.mark.browser
def test_names_are_text_whatever_they_hold(mount: Any):
    page = mount("player", still(titles=[MARKUP]))
    assert MARKUP in canvas(page).get_attribute("aria-label")
    assert page.locator("img").count() == 0
    scripted, link = "<script>alert(1)</script>", r"$\href{javascript:alert(1)}{x}$"
    maps = {MARKUP: np.zeros((1, 2))}
    scatter = Scatter(maps, [0], [MARKUP], [scripted], colourings=[by_group(link, [MARKUP])], caption=link)
    scatter.near = {"of": 0, "space": scripted, "rows": [[0, 1.0]]}
    scatter.featured = {"title": MARKUP, "rows": [[0, link]]}
    page = mount("explorer", scatter)
    assert page.locator(".sk-legend .sk-class").text_content() == MARKUP
    hover(page, 0.0, 0.0)
    assert page.locator(".sk-tip").text_content() == f"{scripted} · {MARKUP} · {link} {MARKUP}"
    assert page.locator(".sk-near").text_content().startswith(f"nearest in {scripted}, by cosine")
    assert page.locator(".sk-featured button").text_content() == f"▶ {scripted} · {MARKUP} {link}"
    assert page.locator(".sk-caption").text_content() == link
    assert page.locator("#host img, #host script, #host a").count() == 0


# A map of 5 points in the corners and the middle of a square of side 2, twice: the second is mirrored.
CORNERS = np.array([(-1, -1), (1, -1), (-1, 1), (1, 1), (0, 0)], dtype=np.float32)


def corners(**more: Any) -> Scatter:
    maps = {"a": CORNERS, "b": CORNERS * (-1, 1)}
    return Scatter(maps, [0, 0, 1, 1, 2], ["one", "two", "three"], list("vwxyz"), **more)


def spot(page: Any, x: float, y: float, panel: int = 0, panels: int = 2) -> tuple[float, float]:
    """Page coordinates of a map's (x, y): a frame of 8 pixels, a title of 24, 15 pixels to the outermost points."""
    box = canvas(page).bounding_box()
    width, height = (box["width"] - 8 * (panels + 1)) / panels, box["height"] - 32
    scale = min(width - 30, height - 30) / 2
    return box["x"] + 8 + panel * (width + 8) + width / 2 + x * scale, box["y"] + 24 + height / 2 - y * scale


def hover(page: Any, x: float, y: float, panel: int = 0, panels: int = 1) -> None:
    at = spot(page, x, y, panel, panels)
    page.mouse.move(at[0] - 3, at[1])
    page.mouse.move(*at)


def wait_for(page: Any, **wanted: Any) -> None:
    for key, value in wanted.items():
        page.wait_for_function(f"document.querySelector('canvas').dataset.{key} === '{value}'")


@pytest.mark.browser
@pytest.mark.parametrize("panel", [0, 1])
def test_a_click_picks_the_point_and_rings_it_in_every_map(mount: Any, panel: int):
    page = mount("explorer", corners())
    halves = """(canvas) => [0, 1].map((half) => {
      const w = canvas.width / 2;
      const pixels = canvas.getContext("2d").getImageData(half * w, 0, w, canvas.height).data;
      return pixels.reduce((sum, value) => (31 * sum + value) | 0, 0);
    })"""
    before = canvas(page).evaluate(halves)
    page.mouse.click(*spot(page, 1, -1, panel))
    index = [1, 0][panel]
    assert page.evaluate("model.state.picked") == {"index": index, "panel": panel, "n": 1}
    wait_for(page, picked=index)
    page.mouse.move(0, 0)
    wait_for(page, hovered=-1)
    assert all(a != b for a, b in zip(before, canvas(page).evaluate(halves), strict=True))
    page.mouse.click(*spot(page, 1, -1, panel))
    assert page.evaluate("model.state.picked.n") == 2
    sent = page.evaluate("model.sent")
    page.mouse.click(*spot(page, 0.5, 0.3, panel))  # nothing there
    assert page.evaluate("[model.state.picked.n, model.sent - 1]") == [2, sent]  # the one message: hovers nothing


@pytest.mark.browser
def test_a_hover_says_name_and_class(mount: Any):
    page = mount("explorer", corners())
    hover(page, -1, 1, panel=0, panels=2)
    wait_for(page, hovered=2)
    assert page.locator(".sk-tip").text_content() == "x · two"
    assert page.evaluate("model.state.hovered") == 2


@pytest.mark.browser
def test_a_lasso_takes_what_lies_inside(mount: Any):
    page = mount("explorer", corners())
    page.keyboard.down("Shift")
    path = [(-1.1, -0.4), (0.3, -0.4), (0.3, 1.1), (-1.1, 1.1)]  # the corner (-1, 1) and the middle
    page.mouse.move(*spot(page, *path[0]))
    page.mouse.down()
    for point in path[1:]:
        page.mouse.move(*spot(page, *point), steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    wait_for(page, selected=2)
    assert page.evaluate("[...new Int32Array(model.state.selected.buffer)]") == [2, 4]
    page.keyboard.press("Escape")
    canvas(page).focus()
    page.keyboard.press("Escape")
    wait_for(page, selected=0)


@pytest.mark.browser
def test_the_legend_shows_some_classes_alone(mount: Any):
    page = mount("explorer", corners())
    page.locator(".sk-class", has_text="two").click()
    assert page.locator(".sk-class[aria-pressed=true]").all_text_contents() == ["two"]
    page.mouse.click(*spot(page, -1, -1))  # of class one: closed
    assert page.evaluate("model.state.picked") == {}
    canvas(page).focus()
    page.keyboard.press("ArrowRight")  # the first of class two
    assert page.evaluate("model.state.picked.index") == 2
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("model.state.picked.index") == 2


@pytest.mark.browser
def test_points_are_searched_coloured_filtered_and_their_neighbours_play(mount: Any):
    colourings = [by_group("subject", [1, 1, 2, 2, 2]), by_number("confidence", [0.5, 1, np.nan, 0.25, 0.125])]
    scatter = corners(colourings=colourings, moves=("a", "b"), caption="five")
    scatter.picked = {"index": 0, "panel": 1, "n": 0}
    scatter.near = {"of": 0, "space": "b", "rows": [[1, 0.9], [4, 0.5]]}
    page = mount("explorer", scatter)
    assert page.locator(".sk-near button").all_text_contents() == ["✓ w · one 0.900", "✕ z · three 0.500"]
    assert page.locator(".sk-heading").first.text_content() == "nearest in b, by cosine: 1 of 2 of its class"
    assert data(page)["near"] == "1 4"
    page.locator(".sk-wrong").click()
    assert page.evaluate("model.state.beside") == {"index": 4, "n": 1}
    hover(page, 1, 1, panel=0, panels=2)
    assert page.locator(".sk-tip").text_content() == "y · two · subject 2 · confidence 0.250"

    pictures = [checksum(page)]
    page.locator(".sk-arrows").click()
    for colour in ("subject", "confidence", "density"):
        pictures.append(checksum(page))
        page.locator(".sk-colour").select_option(colour)
        wait_for(page, colour=colour)
    assert len({*pictures, checksum(page)}) == 5
    assert page.locator(".sk-ramp").get_attribute("aria-label") == "density, low to high"

    page.locator(".sk-colour").select_option("subject")
    page.locator(".sk-class", has_text="2").first.click()
    page.locator(".sk-colour").select_option("class")
    wait_for(page, colour="class")
    assert page.locator(".sk-chip").text_content() == "subject: 2 ✕"
    page.mouse.click(*spot(page, -1, -1))  # of subject 1: closed
    assert page.evaluate("model.state.picked.index") == 0

    page.locator(".sk-search").fill("X")
    wait_for(page, selected=1)
    assert page.evaluate("[...new Int32Array(model.state.selected.buffer)]") == [2]
    page.locator(".sk-search").press("Enter")
    assert page.evaluate("model.state.picked.index") == 2
    page.locator(".sk-all").click()
    wait_for(page, selected=0)
    assert page.locator(".sk-chip").count() == 0
    page.evaluate("model.set('selected', new DataView(Int32Array.from([0, 1, 2]).buffer))")  # as Python does
    wait_for(page, selected=3)
    assert page.locator(".sk-makeup div").all_text_contents() == [
        "selected 3 clips",
        "class: one (2), two (1)",
        "subject: 1 (2), 2 (1)",
    ]


@pytest.mark.browser
def test_each_map_rings_clips_of_its_own_where_it_has_some(mount: Any):
    scatter = corners()
    scatter.picked = {"index": 0, "panel": 0, "n": 0}
    scatter.near = {"of": 0, "space": "a", "rows": [[1, 0.9], [4, 0.5]], "each": [[1, 4], [2, 9]]}
    page = mount("explorer", scatter)
    wait_for(page, near="1 4", rings="1 4 | 2")  # there is no clip 9
    rung = checksum(page)
    page.evaluate("model.set('near', { of: 0, space: 'a', rows: [[1, 0.9], [4, 0.5]] })")
    wait_for(page, rings="1 4 | 1 4")
    assert checksum(page) != rung


@pytest.mark.browser
def test_no_ring_stays_from_another_clip_and_no_filter_is_lost_on_other_maps(mount: Any):
    scatter = corners()
    scatter.picked = {"index": 0, "panel": 0, "n": 0}
    scatter.near = {"of": 0, "space": "a", "rows": [[1, 0.9], [4, 0.5]]}
    page = mount("explorer", scatter)
    wait_for(page, rings="1 4 | 1 4")
    page.mouse.click(*spot(page, 1, 1))
    wait_for(page, picked=3, rings=" | ")  # until the kernel answers
    page.evaluate("model.set('near', { of: 3, space: 'a', rows: [[2, 0.9]] })")
    wait_for(page, rings="2 | 2")

    page.locator(".sk-class", has_text="two").first.click()
    pressed = page.locator(".sk-legend .sk-class[aria-pressed=true]")
    page.evaluate("model.set('revision', 2)")  # as of `place`: other maps of the same clips
    wait_for(page, revision=2)
    assert pressed.all_text_contents() == ["two"]
    page.evaluate("model.state.classes = ['one', '2', 'three']; model.set('revision', 3)")
    wait_for(page, revision=3)
    assert pressed.count() == 0


@pytest.mark.browser
def test_a_long_name_is_found_whole_and_shown_without_its_middle(mount: Any):
    names = [f"{'here/' * 20}take {i}{'/there' * 20}" for i in range(5)]
    page = mount("explorer", Scatter({"a": CORNERS}, [0, 0, 1, 1, 2], ["one", "two", "three"], names))
    page.locator(".sk-search").fill(names[3].replace(" ", "  "))
    wait_for(page, selected=1)
    assert page.evaluate("[...new Int32Array(model.state.selected.buffer)]") == [3]
    hover(page, 1, 1)
    shown = page.locator(".sk-tip").text_content().removesuffix(" · two")
    assert len(shown) == 60 and shown == label(names[3], 60)


@pytest.mark.browser
def test_classes_of_one_colour_differ_in_their_marks(mount: Any):
    count = 120
    classes = [str(i) for i in range(count)]
    page = mount("explorer", Scatter({"a": np.zeros((count, 2))}, np.arange(count), classes, classes))
    marks = page.locator(".sk-mark").evaluate_all("(all) => all.map((mark) => mark.toDataURL())")
    assert len(marks) == len(set(marks)) == count


@pytest.mark.browser
def test_the_arrow_to_the_picked_clip_shows_its_head(mount: Any):
    scatter = corners(moves=("a", "b"))
    scatter.picked = {"index": 0, "panel": 0, "n": 0}
    page = mount("explorer", scatter)
    assert page.locator(".sk-arrows").get_attribute("title") == "Arrows from a to b"
    box = canvas(page).bounding_box()
    x, y = (round(at - edge) for at, edge in zip(spot(page, 1, -1, 1), (box["x"], box["y"]), strict=True))
    ink = """(canvas, [x, y]) => {
      const { data } = canvas.getContext("2d").getImageData(x, y - 10, 1, 21);
      return data.filter((value, i) => i % 4 === 0 && value < 140).length;
    }"""
    head, shaft = (canvas(page).evaluate(ink, [x - back, y]) for back in (19, 60))  # it comes from the left
    assert head > 1.9 * shaft > 0


@pytest.mark.browser
def test_maps_zoom_at_the_pointer_and_pan(mount: Any):
    page = mount("explorer", corners())
    at = spot(page, 1, 1)
    page.mouse.move(*at)
    page.mouse.wheel(0, -400)
    page.wait_for_function("Number(document.querySelector('canvas').dataset.zooms.split(' ')[0]) > 2")
    assert data(page)["zooms"].split()[1] == "1.000"
    page.mouse.click(*at)  # the point under the pointer stayed there
    assert page.evaluate("model.state.picked.index") == 3
    page.mouse.move(at[0] - 60, at[1] + 60)
    page.mouse.down()
    page.mouse.move(at[0] - 100, at[1] + 90, steps=4)
    page.mouse.up()
    page.mouse.click(at[0] - 40, at[1] + 30)
    assert page.evaluate("model.state.picked") == {"index": 3, "panel": 0, "n": 2}
    page.mouse.dblclick(at[0] - 90, at[1] + 40)
    wait_for(page, zooms="1.000 1.000")


@pytest.mark.browser
def test_twenty_thousand_points_are_drawn_and_panned(mount: Any):
    rng = np.random.default_rng(0)
    count = 20_000
    maps = {name: rng.normal(size=(count, 2)) for name in ("a", "b", "c")}
    labels = rng.integers(0, 10, count)
    names = [f"clip {i}" for i in range(count)]
    page = mount("explorer", Scatter(maps, labels, [str(i) for i in range(10)], names))
    start = time.perf_counter()
    box = canvas(page).bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    for step in range(30):
        page.mouse.move(box["x"] + 100 + step, box["y"] + 100 + step)
    page.mouse.up()
    assert time.perf_counter() - start < 10  # a frame in 17 ms on a quiet machine; this is for the worst
    assert int(data(page)["draws"]) > 2


@pytest.mark.browser
def test_a_map_that_does_not_fit_is_said_and_closing_frees_all(mount: Any):
    page = mount("explorer", corners())
    page.evaluate("model.state.count = 9; model.set('revision', 5)")
    assert data(page)["revision"] == "5"
    assert page.evaluate("(close_widget(), [host.childElementCount, Object.values(model.handlers).flat().length])") == [
        0,
        0,
    ]


def trained() -> Through:
    """Six clips at three epochs: clip i goes from (i, 0) by (i, i) to (i, 2i); clip 0 first has 1 nearest, then 5."""
    x = np.arange(6, dtype=np.float32)
    epochs = (0, 5, 10)
    maps = {epoch: np.stack([x, k * x], axis=1) for k, epoch in enumerate(epochs)}
    angles = [0.1 * x, 0.1 * np.where(x < 3, x, 9 - x), 0.1 * np.where(x > 0, 6 - x, 0)]
    features = {e: {"clean": np.stack([np.cos(a), np.sin(a)], axis=1)} for e, a in zip(epochs, angles, strict=True)}
    numbers = {"clean": {name: np.arange(4) + n / 8 for n, name in enumerate(THROUGH)}}
    return Through(epochs, (0, 5, 7, 10), some_clips(), features, {"clean": maps}, numbers)


@pytest.mark.browser
def test_a_slider_goes_through_training_without_the_kernel(mount: Any):
    shown = ThroughTraining(trained())
    page = mount("through", shown.scatter)
    slider = page.locator(".sk-stage")

    def numbers() -> list[str]:
        found: list[str] = page.locator(".sk-numbers td").all_text_contents()
        return found

    wait_for(page, stage=2, near="5 4 3 2 1")
    assert numbers() == [f"{3 + n / 8:.3f}" for n in range(5)]  # of epoch 10, the fourth that has numbers
    last = checksum(page)
    slider.fill("0")
    wait_for(page, stage=0)
    assert page.locator(".sk-word").text_content() == "before training"
    assert numbers() == [f"{n / 8:.3f}" for n in range(5)]
    assert slider.get_attribute("aria-valuetext") == "before training"
    assert data(page)["rings"] == ""  # the kernel has not said yet what is near at this epoch
    assert checksum(page) != last
    # a click where clip 5 lies: right below, in a frame that holds all epochs
    box = canvas(page).bounding_box()
    width, height = box["width"] - 16, box["height"] - 32
    scale = min((width - 30) / 5, (height - 30) / 10)
    page.mouse.click(box["x"] + 8 + width / 2 + 2.5 * scale, box["y"] + 24 + height / 2 + 5 * scale)
    assert page.evaluate("model.state.picked.index") == 5
    page.evaluate("model.set('near', { of: 5, space: 'clean', rows: [[4, 1]], stage: 0 })")  # what the kernel answers
    wait_for(page, rings="4")

    handle = slider.bounding_box()
    page.mouse.move(handle["x"] + 8, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    for share in (0.2, 0.9, 0.4, 0.8, 0.52):  # a quick drag, there and back
        page.mouse.move(handle["x"] + share * handle["width"], handle["y"] + handle["height"] / 2)
    page.mouse.up()
    wait_for(page, stage=1)
    assert page.evaluate("model.state.stage") == 1
    assert page.locator(".sk-word").text_content() == "epoch 5"
    assert numbers() == [f"{1 + n / 8:.3f}" for n in range(5)]

    page.locator(".sk-stages button").click()
    wait_for(page, stage=2)
    assert page.locator(".sk-stages button").get_attribute("aria-label") == "Play through training"  # it has stopped
    assert page.evaluate("(close_widget(), host.childElementCount)") == 0


@pytest.mark.browser
def test_a_saved_page_goes_through_training(browser: Any, tmp_path: Path):
    shown = ThroughTraining(trained())
    target = shown.save(tmp_path / "page.html")
    page = browser[0].new_page()
    errors, requests = strangers(page)
    page.goto(target.as_uri())
    scatter = "document.querySelector('canvas.sk-scatter').dataset"
    for stage in (2, 0, 1):
        page.locator(".sk-stage").fill(str(stage))
        shown.epoch = (0, 5, 10)[stage]
        near = " ".join(str(i) for i, _ in shown.neighbours(0))
        until(page, f"{scatter}.stage === '{stage}' && {scatter}.rings === '{near}'")
    page.close()
    assert errors == []
    assert requests == [target.as_uri()]


def confused() -> Confusions:
    """Clips 0, 2 and 4 of class 0 and 5 of class 1 are taken for class 2, clip 1 of class 1 for class 0; 3 is right."""
    clips = some_clips()
    three = SkeletonSet.from_arrays(clips.x, clips.y, layout=SIX, classes=("a", MARKUP, "c"), names=list("uvwxyz"))
    return Confusions(three, np.array([2, 0, 2, 1, 2, 2]))


def test_a_class_that_the_set_has_not_is_refused():
    for other in (-1, 2):
        with pytest.raises(InputError, match=r"indices 0\.\.1 into the classes"):
            Confusions(some_clips(), np.array([0, 1, 0, 1, 0, other]))


@pytest.mark.browser
def test_a_click_on_a_cell_lists_its_clips_and_plays_one(mount: Any):
    shown = confused()
    page = mount("confusions", shown.scatter)
    listed = page.locator(".sk-cell")

    def click(row: int, column: int) -> None:
        """In the lower right of a cell, where no point lies: columns are of one width, with names to their left."""
        box = canvas(page).bounding_box()
        names, head, across, down = page.evaluate(
            "[...host.querySelector('canvas').dataset.grid.split(' ')].map(Number)"
        )
        x, y = box["x"] + 8 + names + (column + 0.96) * across, box["y"] + 24 + head + (row + 0.94) * down
        page.mouse.move(x - 2, y)
        page.mouse.move(x, y)
        page.mouse.click(x, y)

    wait_for(page, cell="0 1")  # the largest, with rows a, b and columns a, c
    assert listed.text_content() == "a taken for c: 3 clips▶ u▶ w▶ y"
    click(1, 1)
    wait_for(page, cell="1 1", picked=4)
    assert page.locator(".sk-tip").text_content() == f"{MARKUP} taken for c: 1 clip"
    assert listed.text_content() == f"{MARKUP} taken for c: 1 clip▶ z"
    click(0, 0)  # of class a, and right: nothing is here
    assert page.evaluate("model.state.picked.index") == 4
    click(0, 1)
    wait_for(page, cell="0 1", picked=0)
    listed.locator("button", has_text="y").click()
    wait_for(page, picked=3)  # of those that are wrong; clip 4 of all
    shown.scatter.set_state({"picked": page.evaluate("model.state.picked")})
    assert shown.player.titles == ["y · a, taken for c"]
    assert np.array_equal(shown.player.clips[0], some_clips().x[4])
    before = checksum(page)
    page.locator(".sk-legend .sk-class", has_text=MARKUP).click()  # this class alone
    wait_for(page, hovered=-1)
    assert checksum(page) != before
    click(0, 1)  # the other class is closed
    assert page.evaluate("model.state.picked.index") == 3
    assert page.locator("#host img, #host script").count() == 0
    page.evaluate("model.state.count = 9; model.set('revision', 9)")  # data that does not fit is said
    wait_for(page, revision=9, cell="")


@pytest.mark.browser
def test_a_saved_confusion_matrix_plays_from_a_file(browser: Any, tmp_path: Path):
    target = confused().save(tmp_path / "page.html")
    page = browser[0].new_page()
    errors, requests = strangers(page)
    page.goto(target.as_uri())
    page.locator(".sk-cell button", has_text="w").click()
    until(page, "document.querySelector('.sk-player').ariaLabel.includes('w · a, taken for c')")
    page.close()
    assert errors == []
    assert requests == [target.as_uri()]
