"""Clips side by side as an animated GIF: drawn with Pillow, without a screen or a browser."""

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import font_manager
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hiclr.errors import InputError
from hiclr.figures.camera import HOME, Camera, Place, place_of, to_pixels
from hiclr.figures.poses import check_clip
from hiclr.figures.style import INK, LIMBS, QUIET, RULE, label, numbers, pale, titled
from hiclr.skeleton import Layout

__all__ = ["Film", "film"]

_TILE = (300, 320)  # pixels of one view
_TITLE = 24  # of them for its title
_SMOOTH = 2  # drawn this much larger and then shrunk
_COLUMNS = 4
_MOST = 200  # frames
_FASTEST = 25.0  # frames a second: many viewers slow down what is faster
_TRAIL = 4  # past poses
_COLOURS = 96


class Film(NamedTuple):
    """What is filmed besides the clips.

    Args:
        hidden: (T, V, M) for each clip, the share of each joint that is masked.
        vectors: (3, T, V, M) for each clip, metres: arrows instead of limbs, each from its joint.
        from_parent: arrows start at the joint's parent instead.
        ghost: the first clip, pale, under the others.
        trail: the poses just before, pale.
        people: a colour for each person, "#rrggbb"; by side when empty.
        place: what is looked at; fitted to the first clip when left out.
        camera: from where.
    """

    hidden: Sequence[Any] | NDArray[Any] = ()
    vectors: Sequence[Any] | NDArray[Any] = ()
    from_parent: bool = False
    ghost: bool = False
    trail: bool = False
    people: Sequence[str] = ()
    place: Place | None = None
    camera: Camera = HOME


def film(
    clips: Sequence[Any] | NDArray[Any],
    layout: Layout,
    titles: Sequence[str] = (),
    *,
    fps: float = 30.0,
    synthetic: bool = False,
    options: Film | None = None,
) -> bytes:
    """An animated GIF of W clips, on one clock and from one camera; as the player shows them, on white.

    Args:
        clips: W clips (3, T, V, M) in metres, y up, of one shape.
        layout: the V joints.
        titles: a text above each.
        fps: frames a second. More than 25 are thinned out, and so are more than 200 frames.
        synthetic: say so in the first title.
        options: what else is drawn.

    Raises:
        InputError: no clip, or clips of another shape.
    """
    given = options or Film()
    arrays = [check_clip(clip, layout) for clip in clips]
    if not arrays or len({x.shape for x in arrays}) > 1:
        raise InputError("A film needs at least one clip, and all of one shape (3, T, V, M).")
    place = given.place or place_of(arrays[0], layout)
    frames = arrays[0].shape[1]
    rate = float(np.clip(fps, 0.1, _FASTEST))
    count = int(np.clip(round(frames * rate / max(fps, 0.1)), 1, _MOST))
    shown = np.unique(np.linspace(0, frames - 1, count).round().astype(int))
    scene = _Scene(arrays, layout, given, place)
    names = [*titles, *[""] * len(arrays)][: len(arrays)]
    names[0] = titled(names[0], synthetic, 40)
    pictures = [scene.frame(int(t), names) for t in shown]
    return _gif(pictures, 1000 * frames / max(fps, 0.1) / len(shown))


def _gif(pictures: list[Image.Image], milliseconds: float) -> bytes:
    """Frames in one palette, so that nothing flickers."""
    sheet = Image.new("RGB", (pictures[0].width, pictures[0].height * min(len(pictures), 4)))
    for i, at in enumerate(np.linspace(0, len(pictures) - 1, min(len(pictures), 4)).astype(int)):
        sheet.paste(pictures[at], (0, i * pictures[0].height))
    palette = sheet.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1)
    colours = np.array(palette.getpalette()).reshape(-1, 3)
    colours[colours.min(axis=1) > 246] = 255  # the paper's: let it be white
    palette.putpalette(colours.flatten().tolist())
    flat = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    out = io.BytesIO()
    duration = max(10 * round(milliseconds / 10), 20)  # hundredths of a second are what the format knows
    flat[0].save(out, "gif", save_all=True, append_images=flat[1:], duration=duration, loop=0, optimize=False)
    return out.getvalue()


class _Scene:
    """The projected clips, and what each frame of them looks like."""

    def __init__(self, clips: Sequence[NDArray[Any]], layout: Layout, options: Film, place: Place) -> None:
        self.layout, self.options = layout, options
        self.size = (_SMOOTH * _TILE[0], _SMOOTH * (_TILE[1] - _TITLE))
        self.clips = [x.transpose(1, 3, 2, 0) for x in clips]  # (T, M, V, 3)
        self.here = [(x != 0).any(axis=(2, 3)) for x in self.clips]  # (T, M)
        flat = [to_pixels(x, place, options.camera, self.size) for x in self.clips]
        self.points, self.scale = [points for points, _ in flat], flat[0][1]
        self.hidden = [numbers(mask).transpose(0, 2, 1) for mask in options.hidden]
        self.head = next((v for v, name in enumerate(layout.joints) if name.lower() == "head"), -1)
        self.tips = self._arrow_tips(place)
        self.floor = self._floor(place)
        self.width = float(np.clip(0.034 * place.radius * self.scale, 2 * _SMOOTH, 9 * _SMOOTH))
        self.font = ImageFont.truetype(font_manager.findfont("DejaVu Sans:bold"), 13 * _SMOOTH)

    def _starts(self) -> list[int]:
        return list(self.layout.parents) if self.options.from_parent else list(range(self.layout.num_joints))

    def _arrow_tips(self, place: Place) -> list[NDArray[np.float64]]:
        """Where arrows end; NaN where a vector is zero and there is none."""
        tips = []
        for x, vectors in zip(self.clips, self.options.vectors, strict=False):
            way = numbers(vectors).transpose(1, 3, 2, 0)
            ends, _ = to_pixels(x[:, :, self._starts()] + way, place, self.options.camera, self.size)
            tips.append(np.where((way != 0).any(axis=-1, keepdims=True), ends, np.nan))
        return tips

    def _floor(self, place: Place) -> NDArray[np.float64]:
        """(L, 2, 4): the lines of a grid of half metres, or of what suits the size."""
        step = next((s for s in (0.1, 0.25, 0.5, 1, 2, 5, 10) if 2 * place.radius / s <= 8), place.radius / 2)
        count = int(np.ceil(1.6 * place.radius / step))
        along = np.arange(-count, count + 1) * step
        x0, z0 = (round(place.target[i] / step) * step for i in (0, 2))
        ends = [[(x0 + a, place.floor, z0 - count * step), (x0 + a, place.floor, z0 + count * step)] for a in along]
        ends += [[(x0 - count * step, place.floor, z0 + a), (x0 + count * step, place.floor, z0 + a)] for a in along]
        return to_pixels(np.array(ends), place, self.options.camera, self.size)[0]

    def frame(self, t: int, titles: Sequence[str]) -> Image.Image:
        columns = min(len(self.clips), _COLUMNS)
        rows = -(-len(self.clips) // columns)
        sheet = Image.new("RGB", (columns * _TILE[0], rows * _TILE[1]), "white")
        for i in range(len(self.clips)):
            tile = Image.new("RGB", (self.size[0], _SMOOTH * _TILE[1]), "white")
            body = Image.new("RGB", self.size, "white")
            self._draw(ImageDraw.Draw(body), i, t)
            tile.paste(body, (0, _SMOOTH * _TITLE))
            ImageDraw.Draw(tile).text((10 * _SMOOTH, 6 * _SMOOTH), label(titles[i], 40), INK, font=self.font)
            small = tile.resize(_TILE, Image.Resampling.LANCZOS)
            sheet.paste(small, ((i % columns) * _TILE[0], (i // columns) * _TILE[1]))
        return sheet

    def _draw(self, pen: Any, i: int, t: int) -> None:
        for line in self.floor:
            pen.line([tuple(p[:2]) for p in line], fill=pale(RULE, 0.7), width=_SMOOTH)
        if self.options.trail:
            step = max(round(len(self.clips[i]) / 24), 1)
            for past in range(_TRAIL, 0, -1):
                if t - past * step >= 0:
                    self._trace(pen, i, t - past * step, pale(INK, 0.4 * (_TRAIL + 1 - past) / (_TRAIL + 1)))
        if self.options.ghost and i:
            self._trace(pen, 0, t, pale(INK, 0.28))
        persons = np.flatnonzero(self.here[i][t])
        for m in sorted(persons, key=lambda m: self.points[i][t, m, 0, 2]):
            self._body(pen, i, t, int(m))

    def _trace(self, pen: Any, i: int, t: int, colour: str) -> None:
        for m in np.flatnonzero(self.here[i][t]):
            for child, parent in self.layout.bones:
                ends = self.points[i][t, m, [child, parent], :2]
                pen.line([tuple(p) for p in ends], fill=colour, width=max(round(0.7 * self.width), 1))

    def _colour(self, side: Any, person: int) -> str:
        if self.options.people:
            return self.options.people[person % len(self.options.people)]
        colour = LIMBS[side].colour
        return pale(colour, 0.48) if person else colour

    def _body(self, pen: Any, i: int, t: int, m: int) -> None:
        points = self.points[i][t, m]
        masked = self.hidden[i][t, m] if len(self.hidden) else np.zeros(len(points))
        arrows = len(self.tips) > 0
        for child, parent in sorted(self.layout.bones, key=lambda bone: points[list(bone), 2].sum()):
            ends = [tuple(points[v, :2]) for v in (child, parent)]
            side = self.layout.sides[child]
            colour = self._colour(side, m)
            if arrows or max(masked[child], masked[parent]) >= 1:
                pen.line(ends, fill=pale(QUIET if arrows else colour, 0.45), width=_SMOOTH)
                continue
            colour = pale(colour, 1 - 0.6 * max(masked[child], masked[parent]))
            thick = self.width * points[[child, parent], 3].mean()
            pen.line(ends, fill="white", width=round(thick + 2.5 * _SMOOTH))
            pen.line(ends, fill=colour, width=round(thick))
            if side == "right":
                pen.line(ends, fill="white", width=max(round(thick - 2.4 * _SMOOTH), 1))
        if arrows:
            self._arrows(pen, i, t, m)
            return
        for v, (x, y, _, near) in enumerate(points):
            if v == self.head:
                continue
            colour = self._colour(self.layout.sides[v], m)
            hollow = masked[v] > 0 or self.layout.sides[v] == "right"
            self._dot(pen, x, y, 0.62 * self.width * near + _SMOOTH * masked[v], colour, hollow)
        self._face(pen, i, t, m, float(masked[self.head]))

    def _dot(self, pen: Any, x: float, y: float, radius: float, colour: str, hollow: bool) -> None:
        box = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(box, fill="white" if hollow else colour, outline=colour, width=_SMOOTH)

    def _face(self, pen: Any, i: int, t: int, m: int, masked: float) -> None:
        """The head as a circle whose size follows its own bone."""
        bone = next((b for b in self.layout.bones if b[0] == self.head), None)
        if bone is None or masked >= 1:
            return
        ends, (head, neck) = self.clips[i][t, m, list(bone)], self.points[i][t, m, list(bone)]
        radius = max(0.5 * float(np.linalg.norm(ends[0] - ends[1])) * self.scale * head[3], 2.0 * _SMOOTH)
        way = head[:2] - neck[:2]
        x, y = head[:2] + way * min(0.35 * radius / max(float(np.hypot(*way)), 1e-6), 1.0)
        box = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(box, fill="white", outline=self._colour("middle", m), width=max(round(0.75 * self.width), 1))

    def _arrows(self, pen: Any, i: int, t: int, m: int) -> None:
        start, tips = self.points[i][t, m][self._starts()], self.tips[i][t, m]
        for v in np.flatnonzero(np.isfinite(tips[:, 0])):
            colour = self._colour(self.layout.sides[v], m)
            pen.line([tuple(start[v, :2]), tuple(tips[v, :2])], fill=colour, width=max(round(0.7 * self.width), 1))
            self._dot(pen, tips[v, 0], tips[v, 1], 0.6 * self.width, colour, False)
