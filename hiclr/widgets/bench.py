"""The augmentation workbench: one clip, one draw, and a slider for the strength of each augmentation."""

import html
from collections.abc import Iterator, MutableMapping
from typing import Any, NamedTuple

import ipywidgets
import numpy as np
import torch
from torch import Generator, Tensor

from hiclr.augmentations import GrowingViews, JointMask, Op, Params
from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.preprocessing import Preprocess
from hiclr.datasets.streams import to_stream
from hiclr.errors import InputError
from hiclr.figures import skeletons
from hiclr.figures.style import Figure, label
from hiclr.widgets.picture import Pictured
from hiclr.widgets.player import Player
from hiclr.widgets.words import words

__all__ = ["AugmentationBench", "Strengths", "View"]

STREAMS = ("joint", "bone", "motion")
_GAIN = {"joint": 1.0, "bone": 1.0, "motion": 8.0}  # a step of one frame is too short to be seen at its own length
_LABEL = "96px"
_SEEDS = 2**31


class View(NamedTuple):
    """One row of the workbench.

    Args:
        pose: (3, T, V, M) joint positions, before what acts on the stream itself.
        values: (3, T, V, M) what the encoder would get: the stream, with joints masked.
        unmasked: (3, T, V, M) the same with no joint masked: where a masked joint would be.
        hidden: (T, V, M) the share of each joint that is masked.
        draw: the parameters of each augmentation, in order.
    """

    pose: Tensor
    values: Tensor
    unmasked: Tensor
    hidden: Tensor
    draw: list[Params]


class Strengths(MutableMapping[str, float]):
    """The strengths by name, of a set ("normal") or of one augmentation ("Rotate"); setting one moves its slider."""

    def __init__(self, sliders: dict[str, Any]) -> None:
        self._sliders = sliders

    def _slider(self, name: str) -> Any:
        if name not in self._sliders:
            raise InputError(f"There is no strength {name!r}; there are: {', '.join(self._sliders)}.")
        return self._sliders[name]

    def __getitem__(self, name: str) -> float:
        return float(self._slider(name).value)

    def __setitem__(self, name: str, strength: float) -> None:
        if not 0 <= strength <= 1:
            raise InputError(f"A strength lies in 0..1, {strength} does not.")
        self._slider(name).value = float(strength)

    def __delitem__(self, name: str) -> None:
        raise TypeError("a strength can be set to 0, not removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._sliders)

    def __len__(self) -> int:
        return len(self._sliders)

    def __repr__(self) -> str:
        return repr({name: self[name] for name in self})


def _slider(name: str, value: float) -> Any:
    return ipywidgets.FloatSlider(
        value,
        min=0.0,
        max=1.0,
        step=0.01,
        description=name,
        readout_format=".2f",
        layout={"width": "100%"},
        style={"description_width": _LABEL},
    )


class AugmentationBench(Pictured, ipywidgets.VBox):  # type: ignore[misc]
    """Feel what strength means: the original and each view side by side, bent at once by sliders.

    Each set has a master slider, each augmentation one of its own; the product of the two is its strength. Moving a
    slider keeps the draw, so the pose moves continuously; "new draw" changes it. All views share their draws, so
    that each row shows what its set adds to the row before (in training each view is drawn afresh).

    The same from Python, with or without a front end: `bench.strengths["normal"] = 0.5`.

    Args:
        clips: the set to choose clips from.
        views: the ladder; its sets, names and strengths.
        preprocess: applied to the clip first, as in training.
        index: the first clip shown.
        seed: of the draws.
        fps: frames a second of the clips as shown, where it is known: then the player shows seconds.
        height: CSS pixels of the players.

    Raises:
        InputError: no such clip.
    """

    def __init__(
        self,
        clips: SkeletonSet,
        views: GrowingViews,
        preprocess: Preprocess | None = None,
        index: int = 0,
        seed: int = 0,
        *,
        fps: float | None = None,
        height: int = 300,
    ) -> None:
        if not 0 <= index < len(clips):
            raise InputError(f"index must be in 0..{len(clips) - 1}, it is {index}.")
        self._set, self._layout, self._preprocess = clips, clips.layout, preprocess
        self._growing, self._names = views, ("original", *views.names)
        self._make_sliders(views)
        self._make_choices(index, seed)
        self._load()
        self._views = self._compute()
        shown = [self._clip[0]] * len(self._names)
        fps = clips.fps if fps is None and preprocess is None else fps  # preprocessed clips are stretched
        self.player = Player(shown, self._layout, self._names, fps, height=height, synthetic=clips.synthetic)
        self.message = ipywidgets.HTML(layout={"width": "100%"})
        super().__init__([*self._bars(), self.message, self.player, self._columns()], layout={"width": "100%"})
        self._show()
        self._listen()

    # what is on the page

    def _make_sliders(self, views: GrowingViews) -> None:
        self.masters = {name: _slider(name, float(s)) for name, s in zip(views.names, views.strengths, strict=True)}
        self.sliders: dict[str, Any] = {}
        self._rungs: list[list[str]] = []  # the names of the augmentations of each set
        for ops in views.sets:
            rung = []
            for op in ops:
                name, count = type(op).__name__, 2
                while name in self.sliders or name in self.masters:
                    name, count = f"{type(op).__name__} {count}", count + 1
                self.sliders[name] = _slider(name, 1.0)
                rung.append(name)
            self._rungs.append(rung)
        note = {"margin": f"-5px 0 0 {_LABEL}", "min_height": "16px"}
        self._words = {name: ipywidgets.HTML(layout=note) for name in self.sliders}
        self.strengths = Strengths({**self.masters, **self.sliders})

    def _make_choices(self, index: int, seed: int) -> None:
        y = self._set.y
        present = [(label(self._set.classes[c], 40), int(c)) for c in np.unique(y)]
        wide, narrow = {"width": "auto", "max_width": "360px"}, {"width": "110px"}
        own = self._clips_of(int(y[index]))
        self.action = ipywidgets.Dropdown(options=present, value=int(y[index]), description="class", layout=wide)
        self.clip = ipywidgets.Dropdown(options=own, value=index, description="clip", layout=wide)
        self.next = ipywidgets.Button(description="next clip", icon="step-forward", layout=narrow)
        self.stream = ipywidgets.ToggleButtons(options=STREAMS, value="joint", style={"button_width": "70px"})
        self.seed = ipywidgets.BoundedIntText(
            seed, min=0, max=_SEEDS - 1, description="draw", layout={"width": "180px"}
        )
        self.draw = ipywidgets.Button(description="new draw", icon="random", layout=narrow)

    def _clips_of(self, action: int) -> list[tuple[str, int]]:
        return [(label(self._set.names[i], 40), int(i)) for i in np.flatnonzero(self._set.y == action)]

    def _bars(self) -> list[Any]:
        wrapped = {"display": "flex", "flex_flow": "row wrap", "align_items": "center", "width": "100%"}
        return [
            ipywidgets.Box([self.action, self.clip, self.next], layout=wrapped),
            ipywidgets.Box([self.stream, self.seed, self.draw], layout=wrapped),
        ]

    def _columns(self) -> Any:
        columns = []
        for master, rung in zip(self.masters.values(), self._rungs, strict=True):
            master.style.handle_color = "#1670b8"
            inner = [widget for name in rung for widget in (self.sliders[name], self._words[name])]
            columns.append(ipywidgets.VBox([master, *inner], layout={"padding": "0 10px 0 0"}))
        grid = {"width": "100%", "grid_template_columns": "repeat(auto-fit, minmax(250px, 1fr))"}
        return ipywidgets.GridBox(columns, layout=grid)

    def _listen(self) -> None:
        for slider in (*self.masters.values(), *self.sliders.values()):
            slider.observe(self._guarded(self._refresh), "value")
        self.stream.observe(self._guarded(self._refresh), "value")
        self.seed.observe(self._guarded(self._refresh), "value")
        self.action.observe(self._guarded(self._change_action), "value")
        self.clip.observe(self._guarded(self._change_clip), "value")
        self.next.on_click(self._guarded(self._next_clip))
        self.draw.on_click(self._guarded(self._new_draw))

    def _guarded(self, action: Any) -> Any:
        """An error in a callback would be seen nowhere: show it here, keep the picture, and raise it for who called."""

        def run(_: Any = None) -> None:
            try:
                action()
            except Exception as error:
                text = html.escape(f"{type(error).__name__}: {error}")
                self.message.value = f"<span role='alert' data-error='1'>{text}</span>"
                raise
            self.message.value = ""

        return run

    # what it does

    def _load(self) -> None:
        rows = [self.clip.value]
        if self._growing.mixes_clips:
            rows.append(self._partner(self.clip.value))
        x = self._set.clips(rows)
        self._clip = x if self._preprocess is None else self._preprocess.apply(x, self._layout)

    def _partner(self, index: int) -> int:
        """A clip of another class where there is one: whose style is taken."""
        others = np.flatnonzero(self._set.y != self._set.y[index])
        return int(others[0]) if len(others) else (index + 1) % len(self._set)

    def _refresh(self) -> None:
        self._views = self._compute()
        self._show()

    def _change_action(self) -> None:
        self.clip.options = self._clips_of(self.action.value)  # chooses the first of them

    def _change_clip(self) -> None:
        if self.clip.value is None:
            return
        self._load()
        self._views = self._compute()
        self._show(refit=True)

    def _next_clip(self) -> None:
        own = [i for _, i in self.clip.options]
        self.clip.value = own[(own.index(self.clip.value) + 1) % len(own)]

    def _new_draw(self) -> None:
        self.seed.value = (self.seed.value + 1) % _SEEDS

    def _compute(self) -> list[View]:
        values = to_stream(self._clip, self.stream.value, self._layout)[0]
        original = View(self._clip[0], values, values, torch.zeros(values.shape[1:]), [])
        return [original, *(self._view(view) for view in range(len(self._growing)))]

    def _view(self, view: int) -> View:
        """One view of the clip, with the sliders' strengths."""
        poses: list[Tensor] = []

        def stream(x: Tensor) -> Tensor:
            poses.append(x)
            return to_stream(x, self.stream.value, self._layout)

        places = [(number, place) for number, rung in enumerate(self._rungs[: view + 1]) for place in range(len(rung))]
        draw = [self._sample(number, place) for number, place in places]
        values = self._growing.apply_view(view, self._clip, draw, stream)[0]
        steps = list(zip(self._growing.chain(view), draw, strict=True))
        masks = [params["mask"][0] for op, params in steps if isinstance(op, JointMask)]
        lifted = [
            {**params, "mask": 0 * params["mask"]} if isinstance(op, JointMask) else params for op, params in steps
        ]
        shown = self._growing.apply_view(view, self._clip, lifted, stream)[0] if masks else values
        return View(poses[0][0], values, *_masked(poses[0][0], values, shown, masks), draw)

    def _sample(self, number: int, place: int) -> Params:
        op, name = self._growing.sets[number][place], self._rungs[number][place]
        return op.sample(tuple(self._clip.shape), self._strength(number, name), self._generator(number, place))

    def _strength(self, number: int, name: str) -> float:
        return float(list(self.masters.values())[number].value * self.sliders[name].value)

    def _generator(self, number: int, place: int) -> Generator:
        """A generator of its own for each augmentation, so that switching one off leaves the others' draws alone."""
        state = np.random.SeedSequence([self.seed.value, number, place]).generate_state(1, np.uint64)
        return Generator().manual_seed(int(state[0]) >> 1)

    def _show(self, refit: bool = False) -> None:
        stream = self.stream.value
        if stream == "joint":
            hidden = [view.hidden.numpy() for view in self._views]
            self.player.update([view.unmasked for view in self._views], self._names, refit=refit, hidden=hidden)
        else:
            self.player.update(
                [view.pose for view in self._views],
                self._names,
                refit=refit,
                vectors=[view.values for view in self._views],
                vectors_from="parent" if stream == "bone" else "joint",
                gain=_GAIN[stream],
            )
        for name, op, params in self._drawn():
            said = words(op, params, self._clip.shape[2], self._layout)
            self._words[name].value = f"<small style='display: block; line-height: 1.2'>{html.escape(said)}</small>"

    def _drawn(self) -> list[tuple[str, Op, Params]]:
        """(slider, augmentation, parameters) of all sets; every view has the same."""
        names = [name for rung in self._rungs for name in rung]
        return list(zip(names, self._growing.chain(len(self._rungs) - 1), self._views[-1].draw, strict=True))

    @property
    def views(self) -> dict[str, Tensor]:
        """What the encoder would get, by name: (3, T, V, M) each, the original first."""
        return {name: view.values for name, view in zip(self._names, self._views, strict=True)}

    def describe(self) -> str:
        strengths = ", ".join(f"{name} {slider.value:.2f}" for name, slider in self.masters.items())
        chosen = f"{self._set.names[self.clip.value]} ({self._set.classes[self.action.value]})"
        return f"Augmentation workbench: {chosen}, {self.stream.value} stream, draw {self.seed.value}, {strengths}"

    def picture(self) -> Figure:
        """The ladder: a row of poses for the original and each view."""
        joints = self.stream.value == "joint"
        rows = {
            name: view.unmasked if joints else view.pose for name, view in zip(self._names, self._views, strict=True)
        }
        hidden = {name: view.hidden for name, view in zip(self._names, self._views, strict=True)} if joints else None
        title = f"{self._set.names[self.clip.value]}, {self.stream.value} stream, draw {self.seed.value}"
        return skeletons.ladder(rows, self._layout, title=title, hidden=hidden, synthetic=self._set.synthetic)


def _masked(pose: Tensor, values: Tensor, shown: Tensor, masks: list[Tensor]) -> tuple[Tensor, Tensor]:
    """(where each joint of a view would be with no mask (3, T, V, M), how much of it is masked (T, V, M))."""
    left = torch.ones(values.shape[1:])
    for mask in masks:
        left = left * (1 - mask[:, :, None])
    there = (pose != 0).any(0)
    gone = (values == 0).all(0) & there  # also by an augmentation that is not known here
    hidden = torch.where(gone, 1.0, 1 - left) * there.any(1, keepdim=True)
    return torch.where(gone & (left == 1), pose, shown), hidden
