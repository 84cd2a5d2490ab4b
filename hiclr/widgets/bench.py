"""The augmentation workbench: one clip, one draw, and a slider for the strength of each augmentation."""

import asyncio
import base64
import html
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import torch
from torch import Tensor

from hiclr.augmentations import VIEWS, GrowingViews, whole_ladder
from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.preprocessing import Preprocess
from hiclr.errors import InputError
from hiclr.evaluation.branches import Branches, named_ops, summary, sweep
from hiclr.figures import skeletons, strength
from hiclr.figures.style import Figure, label
from hiclr.pretraining import PretrainConfig, views_of
from hiclr.runs import Run
from hiclr.widgets.bending import View, bend
from hiclr.widgets.cells import parts
from hiclr.widgets.panel import Panel, Strengths
from hiclr.widgets.picture import Pictured
from hiclr.widgets.player import Player
from hiclr.widgets.readouts import Readout, measure, plain_table, table

__all__ = ["AugmentationBench"]

STREAMS = ("joint", "bone", "motion", "bone-motion")
OWN = "as given"
"""What the ladder is called that was given and has no name."""
EVERYBODY = -1
# a step of one frame is too short to be seen at its own length
_GAIN = {
    "joint": 1.0,
    "bone": 1.0,
    "motion": 8.0,
    "bone-motion": 8.0,
}
_SEEDS = 2**31
_AFTER = 0.03  # seconds from a picture to what the encoder makes of it: the picture must not wait for it
_SWEPT = tuple(i / 5 for i in range(6))
_IMPORTS = "from hiclr.augmentations import *\nfrom hiclr.skeleton import LAYOUTS\n\nviews = "


class AugmentationBench(Pictured, ipywidgets.VBox):  # type: ignore[misc]
    """Feel what strength means: the original and each view side by side, bent at once by sliders.

    Each set has a master slider, each augmentation a switch and a slider of its own; the product is its strength.
    Moving a slider keeps the draw, so the pose moves continuously; "new draw" changes it. All views share their draws,
    so that each row shows what its set adds to the row before (in training each view is drawn afresh). Below the
    picture stand numbers: how far bones, joints and speeds have left the clip, and, with a run, what its encoder makes
    of each view.

    The same from Python, with or without a front end: `bench.strengths["normal"] = 0.5`, `bench.readouts`,
    `bench.sweep()`, `bench.code()`, `bench.player.save("views.html")`.

    Args:
        clips: the set to choose clips from.
        views: the ladder; its sets, names and strengths. Named ladders can be chosen instead.
        preprocess: applied to the clip first, as in training; that of the run when left out.
        index: the first clip shown.
        seed: of the draws.
        run: a run, its folder, or its `Branches`: then the encoder's readouts and the sweep are there.
        fps: frames a second of the clips as shown, where it is known: then the player shows seconds.
        height: CSS pixels of the players.

    Raises:
        InputError: no such clip; a run without a checkpoint, of another layout, or that prepares clips otherwise.
    """

    def __init__(
        self,
        clips: SkeletonSet,
        views: GrowingViews,
        preprocess: Preprocess | None = None,
        index: int = 0,
        seed: int = 0,
        *,
        run: Run | Branches | Path | str | None = None,
        fps: float | None = None,
        height: int = 300,
    ) -> None:
        if not 0 <= index < len(clips):
            raise InputError(f"index must be in 0..{len(clips) - 1}, it is {index}.")
        self._set, self._layout = clips, clips.layout
        self._branches = run if isinstance(run, Branches) or run is None else Branches(run, clips)
        self._preprocess = _agreed(preprocess, self._branches)
        self._given, self._panel = views, Panel(views)
        self._waiting: asyncio.TimerHandle | None = None
        self._make_choices(index, seed)
        self._load()
        self._views = self._compute()
        fps = clips.fps if fps is None and self._preprocess is None else fps  # preprocessed clips are stretched
        shown = [self._clip[0]] * len(self._views)
        self.player = Player(shown, self._layout, self._names, fps, height=height, synthetic=clips.synthetic)
        self.player.remarks = self._remarks
        self.message = ipywidgets.HTML(layout={"width": "100%"})
        self.numbers = ipywidgets.HTML(layout={"width": "100%"})
        self._place = ipywidgets.VBox([self._panel.box], layout={"width": "100%"})
        rows = [*self._bars(), self.message, self.player, self.numbers, self._place, self._drawer()]
        super().__init__(rows, layout={"width": "100%"})
        self._show()
        self._look()
        self._listen()

    # what is on the page

    def _make_choices(self, index: int, seed: int) -> None:
        clips = self._set
        present = [(label(clips.classes[c], 40), int(c)) for c in np.unique(clips.y)]
        wide, narrow = {"width": "auto", "max_width": "340px"}, {"width": "110px"}
        action = int(clips.y[index])
        self.action = ipywidgets.Dropdown(options=present, value=action, description="class", layout=wide)
        self.subject = ipywidgets.Dropdown(
            options=self._subjects_of(action), value=EVERYBODY, description="subject", layout={"width": "170px"}
        )
        self.clip = ipywidgets.Dropdown(
            options=self._clips_of(action, EVERYBODY), value=index, description="clip", layout=wide
        )
        self.next = ipywidgets.Button(description="next clip", icon="step-forward", layout=narrow)
        count = len(self._given)
        name = next((n for n in VIEWS if whole_ladder(n, self._layout).sets[:count] == self._given.sets), OWN)
        self._begun = name
        names = list(VIEWS) if name != OWN else [OWN, *VIEWS]
        self.ladder = ipywidgets.Dropdown(options=names, value=name, description="ladder", layout={"width": "190px"})
        self.stream = ipywidgets.ToggleButtons(options=STREAMS, value="joint", style={"button_width": "auto"})
        self.seed = ipywidgets.BoundedIntText(
            seed, min=0, max=_SEEDS - 1, description="draw", layout={"width": "180px"}
        )
        self.draw = ipywidgets.Button(description="new draw", icon="random", layout=narrow)

    def _subjects_of(self, action: int) -> list[tuple[str, int]]:
        own = np.unique(self._set.ids["subject"][self._set.y == action]) if "subject" in self._set.ids else ()
        return [("any", EVERYBODY), *((str(s), int(s)) for s in own)]

    def _clips_of(self, action: int, subject: int) -> list[tuple[str, int]]:
        chosen = self._set.y == action
        if subject != EVERYBODY:
            chosen = chosen & (self._set.ids["subject"] == subject)
        return [(label(self._set.names[i], 40), int(i)) for i in np.flatnonzero(chosen)]

    def _bars(self) -> list[Any]:
        wrapped = {"display": "flex", "flex_flow": "row wrap", "align_items": "center", "width": "100%"}
        whose = [self.subject] if "subject" in self._set.ids else []
        return [
            ipywidgets.Box([self.action, *whose, self.clip, self.next], layout=wrapped),
            ipywidgets.Box([self.ladder, self.stream, self.seed, self.draw], layout=wrapped),
        ]

    def _drawer(self) -> Any:
        """What is opened when it is wanted: the settings to take away, and the sweep."""
        wide = {"width": "100%", "height": "190px"}
        self._code = ipywidgets.Textarea(layout=wide, description="code")
        self._settings = ipywidgets.Textarea(layout={**wide, "height": "80px"}, description="settings")
        self._sweep = ipywidgets.Button(
            description="sweep",
            icon="line-chart",
            disabled=self._branches is None,
            tooltip="how like the clean clips the views are to the encoder, against strength",
            layout={"width": "110px"},
        )
        self._told = ipywidgets.HTML(
            "100 clips, each augmentation alone and each view, at six strengths"
            if self._branches
            else "needs a run: <code>AugmentationBench(…, run=…)</code>"
        )
        self._swept = ipywidgets.HTML(layout={"width": "100%"})
        asked = ipywidgets.HBox([self._sweep, self._told], layout={"align_items": "center"})
        self._opened = ipywidgets.Accordion(
            [ipywidgets.VBox([self._code, self._settings]), ipywidgets.VBox([asked, self._swept])],
            titles=("Code and settings", "Sweep: similarity against strength"),
            selected_index=None,
            layout={"width": "auto"},
        )
        return self._opened

    def _listen(self) -> None:
        self._panel.listen(self._guarded(self._refresh))
        for control, action in (
            (self.stream, self._refresh),
            (self.seed, self._refresh),
            (self.ladder, self._change_ladder),
            (self.action, self._change_action),
            (self.subject, self._change_subject),
            (self.clip, self._change_clip),
        ):
            control.observe(self._guarded(action), "value")
        self._opened.observe(self._guarded(self._write_code), "selected_index")
        self.next.on_click(self._guarded(self._next_clip))
        self.draw.on_click(self._guarded(self._new_draw))
        self._sweep.on_click(self._guarded(self.sweep))

    def _guarded(self, action: Callable[[], Any]) -> Callable[..., None]:
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
        if self._panel.views.mixes_clips:
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
        self._look_later()

    def _change_action(self) -> None:
        before, options = self.subject.value, self._subjects_of(self.action.value)
        self.subject.options = options
        self.subject.value = before if before in dict(options).values() else EVERYBODY
        self._change_subject()

    def _change_subject(self) -> None:
        if self.subject.value is not None:
            self.clip.options = self._clips_of(self.action.value, self.subject.value)  # chooses the first of them

    def _change_clip(self) -> None:
        if self.clip.value is None:
            return
        self._load()
        self._views = self._compute()
        self._show(refit=True)
        self._look_later()

    def _change_ladder(self) -> None:
        before, name = self._panel, self.ladder.value
        self._panel = Panel(self._given if name == self._begun else whole_ladder(name, self._layout))
        try:
            self._load()
            self._refresh()
        except Exception:
            self._panel = before
            self._load()
            raise
        self._panel.listen(self._guarded(self._refresh))
        self._place.children = (self._panel.box,)
        for part in parts(before.box):
            ipywidgets.Widget.close(part)

    def _next_clip(self) -> None:
        own = [i for _, i in self.clip.options]
        self.clip.value = own[(own.index(self.clip.value) + 1) % len(own)]

    def _new_draw(self) -> None:
        self.seed.value = (self.seed.value + 1) % _SEEDS

    def _compute(self) -> list[View]:
        strengths = self._panel.each_strength()
        return bend(self._clip, self._panel.views, strengths, self.seed.value, self.stream.value, self._layout)

    @property
    def _names(self) -> tuple[str, ...]:
        return ("original", *self._panel.views.names)

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
        self._readouts = measure(self._views, self._layout)  # the picture is on its way
        self._write_numbers()
        self._panel.say(self._views[-1].draw, self._clip.shape[2], self._layout)
        self._write_code()

    # numbers

    def _write_numbers(self) -> None:
        branches = self._branches
        if branches is None:
            note = "With run=… also what a run's encoder makes of each view."
        else:
            kept, epochs = int(branches.run.config.get("epochs", 0)), branches.epochs
            note = f"Encoder: {branches.run.path.name}, {epochs} of {kept} epochs. ✓ the nearest clip is of this class."
        own, classes = int(self._set.y[self.clip.value]), self._set.classes
        self.numbers.value = table(self._panel.views.names, self._readouts, classes, own, note)

    def _look_later(self) -> None:
        """Ask the encoder once the picture is on its way; at once where no loop runs that could do it later."""
        if self._branches is None or self._waiting is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._look()
            return
        self._waiting = loop.call_later(_AFTER, self._guarded(self._look))

    def _look(self) -> None:
        """What the encoder makes of every view, on the run's own stream."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        branches = self._branches
        if branches is None or not self._views:
            return
        views = self._views
        if self.stream.value != branches.config.stream:
            strengths = self._panel.each_strength()
            views = bend(
                self._clip, self._panel.views, strengths, self.seed.value, branches.config.stream, self._layout
            )
        values = [view.values[None] for view in views]
        seen = branches.see(values[0][0], torch.cat(values[1:]), self.clip.value, [v.inside for v in views[1:]])
        self._readouts = [row._replace(seen=one) for row, one in zip(self._readouts, seen, strict=True)]
        self._write_numbers()

    @property
    def readouts(self) -> dict[str, Readout]:
        """The numbers of each view by its name, as they are now."""
        if self._branches is not None and any(row.seen is None for row in self._readouts):
            self._look()
        return dict(zip(self._panel.views.names, self._readouts, strict=True))

    def sweep(self, count: int = 100, strengths: Sequence[float] = _SWEPT, seed: int | None = None) -> Figure:
        """How like the clean clips the views are to the run's encoder, against strength; also shown in the widget.

        Args:
            count: clips, evenly over the classes.
            strengths: where to measure, in [0, 1].
            seed: of the draws; the one that is chosen when left out.

        Raises:
            InputError: there is no run, or a strength outside [0, 1].
        """
        if self._branches is None:
            raise InputError("A sweep asks a run's encoder: AugmentationBench(clips, views, run=the run's folder).")
        views = self._panel.views

        def tell(done: int, of: int) -> None:
            self._told.value = f"{done} of {of} measured"

        drawn = self.seed.value if seed is None else seed
        found = sweep(self._branches, self._set, views, strengths, count, drawn, tell)
        order, kept = summary(found, views.names)
        self.similarities = found
        said = f"{order}: {'in' if kept else 'NOT in'} the order of the ladder"
        self._told.value = html.escape(f"at full strength {said}")
        title = f"Cosine to the clean clip: {self.ladder.value} ladder, {self._branches.epochs} epochs trained"
        alone = {name: found[name] for name in named_ops(views)}
        figure = strength.similarity(
            strengths, {name: found[name] for name in views.names}, alone, title, synthetic=self._set.synthetic
        )
        png = base64.b64encode(figure.png()).decode()
        self._swept.value = f"<img style='max-width: 100%' alt='{html.escape(said)}' src='data:image/png;base64,{png}'>"
        return figure

    # what is taken away

    @property
    def strengths(self) -> Strengths:
        """By name, of a set ("normal") or of one augmentation ("Rotate"); setting one moves its slider."""
        return self._panel.strengths

    @property
    def masters(self) -> dict[str, Any]:
        """The slider of each set."""
        return self._panel.masters

    @property
    def sliders(self) -> dict[str, Any]:
        """The slider of each augmentation."""
        return self._panel.sliders

    @property
    def switches(self) -> dict[str, Any]:
        """The checkbox of each augmentation."""
        return self._panel.switches

    @property
    def views(self) -> dict[str, Tensor]:
        """What the encoder would get, by name: (3, T, V, M) each, the original first."""
        return {name: view.values for name, view in zip(self._names, self._views, strict=True)}

    def code(self) -> str:
        """The ladder with these strengths as a Python expression; with `from hiclr.augmentations import *`, LAYOUTS."""
        return self._panel.as_set().code()

    def settings(self) -> dict[str, Any]:
        """The ladder with these strengths as settings of a run: fields of `PretrainConfig`.

        Raises:
            InputError: settings cannot say it: a ladder without a name, or one set with several strengths.
        """
        if self.ladder.value == OWN:
            raise InputError(f"Settings name a ladder ({', '.join(VIEWS)}); this one has no name: take the code.")
        strengths = self._panel.as_set().strengths
        mixed = [n for n, s in zip(self._panel.views.names, strengths, strict=True) if isinstance(s, tuple)]
        if mixed:
            raise InputError(
                f"Settings hold one strength for each set; in {', '.join(mixed)} they differ: take the code."
            )
        made: dict[str, Any] = {"views": self.ladder.value, "branches": len(strengths), "stream": self.stream.value}
        if self.ladder.value == "adain":
            made |= {"views": "paper", "strong": ["adain", "mask"][: len(strengths) - 2]}
        made |= {} if all(s == 1 for s in strengths) else {"strengths": list(strengths)}
        if views_of(PretrainConfig.from_dict(made), self._layout).sets != self._panel.views.sets:
            raise InputError("Settings make other sets of augmentations than these: take the code.")
        return made

    def flags(self) -> str:
        """The same as flags of `hiclr pretrain`."""
        pairs = self.settings().items()
        return " ".join(f"--{k} {' '.join(map(str, v)) if isinstance(v, list) else v}" for k, v in pairs)

    def _write_code(self) -> None:
        if self._opened.selected_index != 0:
            return
        self._code.value = f"{_IMPORTS}{self.code()}\n"
        self._settings.value = self._settings_text()

    def _settings_text(self) -> str:
        try:
            return f"{json.dumps(self.settings())}\nhiclr pretrain … {self.flags()}"
        except InputError as error:
            return str(error)

    def _remarks(self) -> str:
        """What stands below the picture in a saved page."""
        chosen = f"{self.describe()}\n\n"
        own = int(self._set.y[self.clip.value])
        rows = plain_table(self._panel.views.names, list(self.readouts.values()), self._set.classes, own)
        return f"{chosen}{rows}\n\n{_IMPORTS}{self.code()}\n\n{self._settings_text()}"

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

    def free(self) -> None:
        """Close the workbench with all its parts, and let go of the clips and the encoder."""
        if self._waiting is not None:
            self._waiting.cancel()
        self._branches, self._views = None, []
        super().free()


def _agreed(given: Preprocess | None, branches: Branches | None) -> Preprocess | None:
    """How clips are prepared: as the run's were, where there is one.

    Raises:
        InputError: something else was asked for.
    """
    if branches is None:
        return given
    if given is not None and given != branches.preprocess:
        raise InputError(
            f"The encoder of {branches.run.path.name} was trained on clips prepared with {branches.preprocess}; "
            f"asked for is {given}. Leave preprocess out."
        )
    return branches.preprocess
