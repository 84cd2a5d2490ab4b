"""A player of skeleton clips: several side by side, on one clock and with one camera."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray
from torch import Tensor

from hiclr.errors import InputError
from hiclr.figures import skeletons
from hiclr.figures.style import LIMBS, Figure, label
from hiclr.skeleton import Layout
from hiclr.widgets.picture import Pictured
from hiclr.widgets.scripts import script, style

__all__ = ["Clip", "Packed", "Place", "Player", "pack", "place_of"]

Clip = Tensor | NDArray[np.float32]

_PLAYED = 30.0  # frames a second that are played of clips whose rate is not known
_LARGEST = 32767  # of an int16
_MARGIN = 1.12  # the picture is this much larger than the clip it is fitted to


class Packed(NamedTuple):
    """Views as bytes for the browser.

    Args:
        data: little-endian int16 in the order (W, T, M, V, 3); an absent person is all zeros.
        scale: metres of one unit.
        shape: [W, T, M, V].
    """

    data: bytes
    scale: float
    shape: list[int]


class Place(NamedTuple):
    """Where the camera looks: fitted once, so that an update never moves the picture.

    Args:
        target: the point in the middle of the picture, metres.
        radius: half the height of what is shown, metres.
        floor: height of the floor, metres.
        facing: the side to look from, radians about y, 0 being +z.
    """

    target: tuple[float, float, float]
    radius: float
    floor: float
    facing: float


def _checked(clips: Sequence[Clip], layout: Layout) -> list[NDArray[np.float32]]:
    """The clips as arrays (3, T, V, M).

    Raises:
        InputError: none given, another shape than the layout's, or a number that is not finite.
    """
    if not len(clips):
        raise InputError("A player needs at least one clip of shape (3, T, V, M); the list is empty.")
    arrays = [np.asarray(c.detach().cpu() if isinstance(c, Tensor) else c, dtype=np.float32) for c in clips]
    for i, x in enumerate(arrays):
        if x.ndim != 4 or x.shape[0] != 3 or 0 in x.shape:
            raise InputError(
                f"Clip {i} must have shape (3, T, V, M): coordinates, frames, joints, persons; it has shape {x.shape}."
            )
        if x.shape[2] != layout.num_joints:
            raise InputError(
                f"Clip {i} has {x.shape[2]} joints, layout {layout.name!r} has {layout.num_joints}. "
                "Give the layout of these joints."
            )
        if not np.isfinite(x).all():
            frame = int(np.argwhere(~np.isfinite(x))[0, 1])
            raise InputError(f"Clip {i} holds a number that is not finite (frame {frame}); it has no picture.")
    return arrays


def _stacked(arrays: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(W, T, M, V, 3), shorter clips and clips with fewer persons filled up with absence."""
    frames = max(x.shape[1] for x in arrays)
    persons = max(x.shape[3] for x in arrays)
    out = np.zeros((len(arrays), frames, persons, arrays[0].shape[2], 3), dtype=np.float32)
    for row, x in zip(out, arrays, strict=True):
        row[: x.shape[1], : x.shape[3]] = x.transpose(1, 3, 2, 0)
    return out


def pack(clips: Sequence[Clip], layout: Layout) -> Packed:
    """Clips as int16: half the bytes of float32, and wrong by at most half of `scale`.

    Args:
        clips: W clips (3, T, V, M) in metres; T and M may differ.
        layout: the V joints.

    Raises:
        InputError: no clip, another shape, or a number that is not finite.
    """
    x = _stacked(_checked(clips, layout))
    scale = float(np.abs(x).max()) / _LARGEST or 1.0
    data = np.rint(x / scale).astype("<i2").tobytes()
    return Packed(data, scale, list(x.shape[:4]))


def _hidden(clips: Sequence[NDArray[np.float32]], layout: Layout) -> list[NDArray[np.bool_]]:
    """(T, V, M) each: joints at exactly zero of a person who is there. The centre joint is zero by right."""
    masks = []
    for x in clips:
        zero = (x == 0).all(axis=0)
        mask = zero & ~zero.all(axis=1, keepdims=True)
        mask[:, layout.centre] = False
        masks.append(mask)
    return masks


def _facing(x: NDArray[np.float32], layout: Layout) -> float:
    """The side to look from first: that of the first person's front; with two persons, across the line between them."""
    here = (x != 0).any(axis=(0, 2))  # (T, M)
    both = np.flatnonzero(here[:, :2].all(axis=1)) if here.shape[1] > 1 else np.array([], dtype=int)
    alone = np.flatnonzero(here[:, 0])
    if len(both):
        one, two = x[:, both[0], :, 0].mean(axis=1), x[:, both[0], :, 1].mean(axis=1)
        across = two - one
    elif layout.pairs and len(alone):
        left, right = np.array(layout.pairs).T
        across = (x[:, alone[0], right, 0] - x[:, alone[0], left, 0]).sum(axis=1)  # the front is up × across
    else:
        across = np.array([1.0, 0.0, 0.0])  # as sensors give it: who faces the sensor looks along -z
    return float(np.arctan2(across[2], -across[0])) if across[[0, 2]].any() else np.pi


def place_of(clip: Clip, layout: Layout) -> Place:
    """Where to look, to see all of a clip from the front.

    Args:
        clip: (3, T, V, M) metres, y up.
        layout: the V joints.

    Raises:
        InputError: as `pack`.
    """
    x = _checked([clip], layout)[0]
    there = (x != 0).any(axis=(0, 2))  # (T, M)
    points = x.transpose(1, 3, 2, 0)[there].reshape(-1, 3)
    if not len(points):
        return Place((0.0, 0.0, 0.0), 1.0, -1.0, np.pi)
    low, high = points.min(axis=0), points.max(axis=0)
    across = float(np.hypot(*(high - low)[[0, 2]]))
    radius = _MARGIN * max(float(high[1] - low[1]), across, 1e-3) / 2
    middle = (low + high) / 2
    return Place((float(middle[0]), float(middle[1]), float(middle[2])), radius, float(low[1]), _facing(x, layout))


class Player(Pictured, anywidget.AnyWidget):  # type: ignore[misc]
    """Plays clips side by side in 3D: drag turns, the wheel zooms, a double-click resets, space plays, arrows step.

    Left limbs are filled, right limbs outlined; persons after the first are paler; absent persons are not drawn;
    masked joints are hollow, joints masked in part are filled the paler. The camera is the reader's: no update moves
    it.

    Args:
        clips: W clips (3, T, V, M) in metres, y up.
        layout: the V joints.
        titles: one text for each clip; shown as it is, never as markup.
        fps: frames a second of the clips, where it is known: then the time is shown in seconds. When left out, frames
            are counted, and 30 of them are played a second.
        playing: play at once.
        height: CSS pixels of a row of views.
        synthetic: say so below the picture, and in the still one.

    Raises:
        InputError: no clip, clips of another shape, or not one title for each.
    """

    _esm: ClassVar[str] = script("player")
    _css: ClassVar[str] = style("player")

    positions = traitlets.Bytes().tag(sync=True)
    vectors = traitlets.Bytes().tag(sync=True)
    hidden = traitlets.Bytes().tag(sync=True)
    shape = traitlets.List(traitlets.Int(), [0, 0, 0, 0]).tag(sync=True)
    scale = traitlets.Float(1.0).tag(sync=True)
    vector_scale = traitlets.Float(1.0).tag(sync=True)
    vector_origin = traitlets.Enum(["joint", "parent"], "joint").tag(sync=True)
    bones = traitlets.List().tag(sync=True)
    sides = traitlets.List(traitlets.Unicode()).tag(sync=True)
    joints = traitlets.List(traitlets.Unicode()).tag(sync=True)
    head = traitlets.Int(-1).tag(sync=True)
    colours = traitlets.Dict().tag(sync=True)
    titles = traitlets.List(traitlets.Unicode()).tag(sync=True)
    place = traitlets.Dict().tag(sync=True)
    projection = traitlets.Enum(["perspective", "orthographic"], "perspective").tag(sync=True)
    fps = traitlets.Float(_PLAYED).tag(sync=True)
    timed = traitlets.Bool(False).tag(sync=True)  # fps is the clips' own, and not only the pace of playing
    synthetic = traitlets.Bool(False).tag(sync=True)
    speed = traitlets.Float(1.0).tag(sync=True)
    playing = traitlets.Bool(True).tag(sync=True)
    height = traitlets.Int(300).tag(sync=True)
    revision = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        clips: Sequence[Clip],
        layout: Layout,
        titles: Sequence[str] | None = None,
        fps: float | None = None,
        *,
        playing: bool = True,
        height: int = 300,
        synthetic: bool = False,
    ) -> None:
        self._layout = layout
        super().__init__(
            bones=[list(bone) for bone in layout.bones],
            sides=list(layout.sides),
            joints=list(layout.joints),
            head=next((v for v, name in enumerate(layout.joints) if name.lower() == "head"), -1),
            colours={side: LIMBS[side].colour for side in ("left", "right")},
            fps=_PLAYED if fps is None else float(fps),
            timed=fps is not None,
            synthetic=synthetic,
            playing=playing,
            height=height,
        )
        self.update(clips, titles, refit=True)

    @property
    def clips(self) -> list[NDArray[np.float32]]:
        """The W clips shown, (3, T, V, M) metres."""
        return list(self._clips)

    def update(
        self,
        clips: Sequence[Clip],
        titles: Sequence[str] | None = None,
        *,
        refit: bool = False,
        hidden: Sequence[NDArray[Any]] | None = None,
        vectors: Sequence[Clip] | None = None,
        vectors_from: str = "joint",
        gain: float = 1.0,
    ) -> None:
        """Show other clips, in one message: half an update is never drawn.

        Args:
            clips: W clips (3, T, V, M).
            titles: W texts; kept when left out and W is the same.
            refit: also fit the picture to the first clip. The camera's angles and zoom stay the reader's.
            hidden: W masks (T, V, M), True where a joint is masked, or the share of it that is; by default joints at
                exactly zero.
            vectors: W clips (3, T, V, M) of vectors to draw instead of the limbs (a bone or motion stream).
            vectors_from: where a vector starts: at its "joint", or at the "parent" of that joint.
            gain: length at which a vector is drawn, 1 being its own.

        Raises:
            InputError: as for the class; or masks or vectors of another number or shape than the clips. Then nothing
                has changed.
        """
        arrays = _checked(clips, self._layout)
        titles = self._titles(titles, len(arrays))
        masks = _hidden(arrays, self._layout) if hidden is None else list(hidden)
        self._check_like(arrays, "hidden", [mask[None] for mask in masks], 1)
        arrows = [] if vectors is None else _checked(vectors, self._layout)
        self._check_like(arrays, "vectors", arrows or arrays, 3)
        packed = pack(arrays, self._layout)
        drawn = pack(arrows, self._layout) if arrows else Packed(b"", 1.0, [])
        shares = _stacked([np.repeat(mask[None], 3, axis=0).astype(np.float32) for mask in masks])[..., 0]
        # 255 is all of a joint and nothing less is; 0 is none of it
        masked = np.where(shares >= 1, 255, np.ceil(254 * shares.clip(0, 1))).astype(np.uint8)
        with self.hold_sync():
            self.shape, self.scale, self.positions = packed.shape, packed.scale, packed.data
            self.hidden = masked.tobytes() if masked.any() else b""
            self.vectors, self.vector_scale, self.vector_origin = drawn.data, gain * drawn.scale, vectors_from
            self.titles = titles
            if refit:
                self.place = place_of(arrays[0], self._layout)._asdict()
            self.revision += 1
        self._clips = arrays

    def _titles(self, titles: Sequence[str] | None, count: int) -> list[str]:
        if titles is None:
            return list(self.titles) if len(self.titles) == count else [""] * count
        if len(titles) != count:
            came = f"{count} clip{'s' * (count != 1)} and {len(titles)} title{'s' * (len(titles) != 1)}"
            raise InputError(f"There must be one title for each clip; there came {came}.")
        return [label(title, 80) for title in titles]

    def _check_like(self, clips: list[Any], name: str, others: list[Any], first: int) -> None:
        wanted = [(first, *x.shape[1:]) for x in clips]
        came = [x.shape for x in others]
        if wanted != came:
            raise InputError(f"{name} must have the shapes of the clips, {wanted}; they have {came}.")

    def describe(self) -> str:
        views, frames, _, joints = self.shape
        named = ": " + ", ".join(title for title in self.titles if title) if any(self.titles) else ""
        counts = ((views, "view"), (frames, "frame"), (joints, "joint"))
        said = ", ".join(f"{count} {noun}{'s' * (count != 1)}" for count, noun in counts)
        return f"Skeleton player{' (synthetic)' * self.synthetic}, {said}{named}"

    def picture(self) -> Figure:
        """The clips as rows of poses."""
        if len(self._clips) == 1:
            return skeletons.strip(self._clips[0], self._layout, title=self.titles[0], synthetic=self.synthetic)
        stacked = _stacked(self._clips).transpose(0, 4, 1, 3, 2)
        rows = {title or f"view {i + 1}": x for i, (title, x) in enumerate(zip(self.titles, stacked, strict=True))}
        return skeletons.ladder(rows, self._layout, synthetic=self.synthetic)
