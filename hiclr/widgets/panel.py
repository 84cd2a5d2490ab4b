"""The sliders of a ladder: a master for each set; for each augmentation a switch, a slider, and its draw in words."""

import html
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from itertools import islice
from typing import Any

import ipywidgets

from hiclr.augmentations import GrowingViews, Params, code
from hiclr.errors import InputError
from hiclr.evaluation.branches import named_ops
from hiclr.skeleton import Layout
from hiclr.widgets.words import words

__all__ = ["Panel", "Strengths"]

_SWITCH = "110px"
_HANDLE = "#1670b8"


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


def _slider(value: float, description: str = "", tooltip: str = "") -> Any:
    return ipywidgets.FloatSlider(
        value,
        min=0.0,
        max=1.0,
        step=0.01,
        description=description,
        tooltip=tooltip,
        readout_format=".2f",
        layout={"flex": "1 1 0", "min_width": "120px", "width": "auto"},
        style={"description_width": _SWITCH},
    )


class Panel:
    """Sliders and switches of one ladder. The strength of an augmentation is its master times its own, or 0 when off.

    Args:
        views: the ladder; its strengths are where the sliders begin.

    Attributes:
        masters: a slider for each set, by its name.
        sliders: a slider for each augmentation, by its name.
        switches: a checkbox for each augmentation.
        box: all of it, a column for each set.
    """

    def __init__(self, views: GrowingViews) -> None:
        self.views = views
        names = iter(named_ops(views).items())
        self.rungs = [list(islice(names, len(ops))) for ops in views.sets]
        self.masters = {}
        self.sliders, self.switches, self.notes = {}, {}, {}
        for set_name, given, rung in zip(views.names, views.strengths, self.rungs, strict=True):
            own = given if isinstance(given, tuple) else (1.0,) * len(rung)
            self.masters[set_name] = _slider(1.0 if isinstance(given, tuple) else given, set_name)
            for (name, op), strength in zip(rung, own, strict=True):
                self.sliders[name] = _slider(strength, tooltip=f"strength of {code(op)}")
                self.switches[name] = ipywidgets.Checkbox(
                    True,
                    description=name,
                    indent=False,
                    tooltip="on or off",
                    layout={"width": _SWITCH, "flex": "0 0 auto"},
                )
                self.notes[name] = ipywidgets.HTML(
                    layout={"margin": f"-5px 0 0 {_SWITCH}", "padding": "0 0 0 6px", "min_height": "16px"}
                )
        self.strengths = Strengths({**self.masters, **self.sliders})
        self.box = self._columns()

    def _columns(self) -> Any:
        columns = []
        for master, rung in zip(self.masters.values(), self.rungs, strict=True):
            master.style.handle_color = _HANDLE
            rows = [ipywidgets.HBox([master], layout={"width": "100%"})]
            for name, _ in rung:
                both = [self.switches[name], self.sliders[name]]
                rows += [ipywidgets.HBox(both, layout={"width": "100%", "align_items": "center"}), self.notes[name]]
            columns.append(ipywidgets.VBox(rows, layout={"padding": "0 10px 0 0"}))
        grid = {"width": "100%", "grid_template_columns": "repeat(auto-fit, minmax(300px, 1fr))"}
        return ipywidgets.GridBox(columns, layout=grid)

    def listen(self, act: Callable[[Any], None]) -> None:
        """Call `act` whenever a slider or switch has moved."""
        for control in (*self.masters.values(), *self.sliders.values(), *self.switches.values()):
            control.observe(act, "value")

    def each_strength(self) -> list[tuple[float, ...]]:
        """The strength of each augmentation, set by set."""
        return [
            tuple(float(master.value * self.sliders[name].value * self.switches[name].value) for name, _ in rung)
            for master, rung in zip(self.masters.values(), self.rungs, strict=True)
        ]

    def as_set(self) -> GrowingViews:
        """The ladder with the strengths as they stand: one number for a set where all of it has the same."""
        rounded = [tuple(round(s, 4) for s in each) for each in self.each_strength()]
        given = [each[0] if len(set(each)) == 1 else each for each in rounded]
        bare = [1.0 if not rung else strength for rung, strength in zip(self.rungs, given, strict=True)]
        return GrowingViews(self.views.sets, self.views.names, bare)

    def say(self, draw: Sequence[Params], frames: int, layout: Layout) -> None:
        """Put what was drawn into words, under the sliders."""
        every = [named for rung in self.rungs for named in rung]
        for (name, op), params in zip(every, draw, strict=True):
            said = words(op, params, frames, layout) if self.switches[name].value else "switched off"
            self.notes[name].value = f"<small style='display: block; line-height: 1.2'>{html.escape(said)}</small>"
