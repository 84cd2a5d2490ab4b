"""A player of skeleton clips: several side by side, on one clock and with one camera."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray
from torch import Tensor

from hiclr.errors import InputError
from hiclr.figures import skeletons
from hiclr.figures.camera import HOME, Camera, Place, place_of
from hiclr.figures.film import Film, film
from hiclr.figures.style import LIMBS, Figure, class_colour, label
from hiclr.skeleton import Layout
from hiclr.widgets.picture import Pictured
from hiclr.widgets.scripts import script, style
from hiclr.widgets.standalone import standalone

__all__ = ["Clip", "Packed", "Player", "checked", "masked_zeros", "pack", "pack_masks"]

Clip = Tensor | NDArray[np.float32]

_PLAYED = 30.0  # frames a second that are played of clips whose rate is not known
_LARGEST = 32767  # of an int16
_PEOPLE = [class_colour(index) for index in (0, 4, 2, 3)]


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


def checked(clips: Sequence[Clip], layout: Layout) -> list[NDArray[np.float32]]:
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


def _stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """(W, T, M, V, 3), shorter clips and clips with fewer persons filled up with absence."""
    frames = max(x.shape[1] for x in arrays)
    persons = max(x.shape[3] for x in arrays)
    out = np.zeros((len(arrays), frames, persons, arrays[0].shape[2], 3), dtype=np.float32)
    for row, x in zip(out, arrays, strict=True):
        row[: x.shape[1], : x.shape[3]] = x.transpose(1, 3, 2, 0)
    return out


def _alike(arrays: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """(W, 3, T, V, M), filled up as in `_stacked`."""
    return _stacked(arrays).transpose(0, 4, 1, 3, 2)


def pack(clips: Sequence[Clip], layout: Layout) -> Packed:
    """Clips as int16: half the bytes of float32, and wrong by at most half of `scale`.

    Args:
        clips: W clips (3, T, V, M) in metres; T and M may differ.
        layout: the V joints.

    Raises:
        InputError: no clip, another shape, or a number that is not finite.
    """
    x = _stacked(checked(clips, layout))
    scale = float(np.abs(x).max()) / _LARGEST or 1.0
    data = np.rint(x / scale).astype("<i2").tobytes()
    return Packed(data, scale, list(x.shape[:4]))


def pack_masks(masks: Sequence[NDArray[Any]]) -> bytes:
    """Masks (T, V, M) as bytes for the browser, in the order (W, T, M, V); empty where no joint is masked.

    255 is all of a joint and nothing less is; 0 is none of it.
    """
    shares = _stacked([np.repeat(mask[None], 3, axis=0).astype(np.float32) for mask in masks])[..., 0]
    masked = np.where(shares >= 1, 255, np.ceil(254 * shares.clip(0, 1))).astype(np.uint8)
    return masked.tobytes() if masked.any() else b""


def masked_zeros(clips: Sequence[NDArray[np.float32]], layout: Layout) -> list[NDArray[np.bool_]]:
    """(T, V, M) each: joints at exactly zero of a person who is there. The centre joint is zero by right."""
    masks = []
    for x in clips:
        zero = (x == 0).all(axis=0)
        mask = zero & ~zero.all(axis=1, keepdims=True)
        mask[:, layout.centre] = False
        masks.append(mask)
    return masks


class Player(Pictured, anywidget.AnyWidget):  # type: ignore[misc]
    """Plays clips side by side in 3D: drag turns, the wheel zooms, a double-click resets, space plays, arrows step.

    Left limbs are filled, right limbs outlined; persons after the first are paler, or each has a colour; absent persons
    are not drawn; masked joints are hollow, joints masked in part are filled the paler. A joint is named under the
    pointer. Below: speed, loop, a ghost of the first view over the others, a trail of past poses, and what can be
    saved. The camera is the reader's: no update moves it.

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
    loop = traitlets.Bool(True).tag(sync=True)
    ghost = traitlets.Bool(False).tag(sync=True)  # the first view, pale, over the others
    onion = traitlets.Int(0, min=0, max=8).tag(sync=True)  # past poses that are drawn too
    tint = traitlets.Enum(["side", "person"], "side").tag(sync=True)  # what the colours tell apart
    people = traitlets.List(traitlets.Unicode()).tag(sync=True)
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
            people=_PEOPLE,
            fps=_PLAYED if fps is None else float(fps),
            timed=fps is not None,
            synthetic=synthetic,
            playing=playing,
            height=height,
        )
        self.update(clips, titles, refit=True)
        self.remarks: Callable[[], str] = str
        self.on_msg(self._answer)

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
        arrays = checked(clips, self._layout)
        titles = self._titles(titles, len(arrays))
        masks = masked_zeros(arrays, self._layout) if hidden is None else list(hidden)
        self._check_like(arrays, "hidden", [mask[None] for mask in masks], 1)
        arrows = [] if vectors is None else checked(vectors, self._layout)
        self._check_like(arrays, "vectors", arrows or arrays, 3)
        packed = pack(arrays, self._layout)
        drawn = pack(arrows, self._layout) if arrows else Packed(b"", 1.0, [])
        with self.hold_sync():
            self.shape, self.scale, self.positions = packed.shape, packed.scale, packed.data
            self.hidden = pack_masks(masks)
            self.vectors, self.vector_scale, self.vector_origin = drawn.data, gain * drawn.scale, vectors_from
            self.titles = titles
            if refit:
                self.place = place_of(arrays[0], self._layout)._asdict()
            self.revision += 1
        self._clips, self._masks, self._arrows = arrays, masks, [gain * x for x in arrows]

    def page(self) -> str:
        """One HTML page that plays these clips with no kernel and no network; `remarks()` is its text."""
        return standalone("player", self.get_state(), self.describe(), self.remarks())

    def film(self, camera: Camera = HOME) -> bytes:
        """The clips as an animated GIF, seen from `camera`, at the player's speed."""
        options = Film(
            hidden=_alike([np.repeat(mask[None], 3, axis=0) for mask in self._masks])[:, 0],
            vectors=_alike(self._arrows) if self._arrows else (),
            from_parent=self.vector_origin == "parent",
            ghost=self.ghost,
            trail=self.onion > 0,
            people=self.people if self.tint == "person" else (),
            place=Place(**self.place),
            camera=camera,
        )
        rate, said = self.fps * self.speed, self.synthetic
        return film(_alike(self._clips), self._layout, self.titles, fps=rate, synthetic=said, options=options)

    def save(self, path: Path | str) -> Path:
        """Write the clips as `.html` (plays anywhere), `.gif` (animated) or `.png` (the still picture).

        No MP4 is written: none of the libraries that are needed anyway brings an encoder. `ffmpeg -i clips.gif
        clips.mp4` makes one.

        Raises:
            InputError: another ending.
        """
        target = Path(path)
        if target.suffix not in (".html", ".gif", ".png"):
            raise InputError(f"A player is saved as .html, .gif or .png; {target.name!r} ends in none of them.")
        if target.suffix == ".html":
            target.write_text(self.page(), encoding="utf-8")
        else:
            target.write_bytes(self.film() if target.suffix == ".gif" else self.picture().png())
        return target

    def _answer(self, _: Any, content: dict[str, Any], __: Any) -> None:
        """Make the file that the browser asks for. An error is shown there, and raised for who looks on here."""
        try:
            if content.get("want") == "gif":
                data, kind = self.film(_camera(content.get("camera"))), "image/gif"
            elif content.get("want") == "html":
                data, kind = self.page().encode(), "text/html"
            else:
                return
        except Exception as error:
            self.send({"error": f"{type(error).__name__}: {error}"})
            raise
        self.send({"file": f"skeletons.{content['want']}", "type": kind}, [data])

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
        named = enumerate(zip(self.titles, _alike(self._clips), strict=True))
        rows = {title or f"view {i + 1}": x for i, (title, x) in named}
        return skeletons.ladder(rows, self._layout, synthetic=self.synthetic)


def _camera(asked: Any) -> Camera:
    """What the browser says its camera is; the first look where it says nothing of use."""
    try:
        return Camera(*(float(asked[name]) for name in Camera._fields))
    except (TypeError, KeyError, ValueError):
        return HOME
