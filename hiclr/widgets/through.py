"""The explorer with a slider over the epochs of training."""

import html
from typing import Any

import ipywidgets

from hiclr.datasets.preprocessing import Preprocess
from hiclr.evaluation import THROUGH, Through
from hiclr.figures import through as still
from hiclr.figures.style import Figure
from hiclr.widgets.explorer import Explorer
from hiclr.widgets.picture import Pictured

__all__ = ["ThroughTraining"]

_MILLISECONDS = 700  # between two epochs that play


class ThroughTraining(Pictured, ipywidgets.VBox):  # type: ignore[misc]
    """Maps of a few clips at saved epochs: a slider goes through training, points keep their colour and what is picked.

    Args:
        through: of `evaluation.through_training`.
        preprocess: applied to a clip before it is played.
        title: of the maps and of the still picture.
    """

    def __init__(self, through: Through, preprocess: Preprocess | None = None, title: str = "Through training") -> None:
        self._through, self._title = through, title
        last = through.epochs[-1]
        self.explorer = Explorer(
            self._maps(last), clips=through.clips, preprocess=preprocess, title=title, features=self._features(last)
        )
        words = [("before training" if epoch == 0 else f"epoch {epoch}", epoch) for epoch in through.epochs]
        self.epoch = ipywidgets.SelectionSlider(
            options=words, value=last, description="through", layout={"width": "min(100%, 520px)"}
        )
        self.play = ipywidgets.Play(
            min=0, max=len(words) - 1, value=len(words) - 1, interval=_MILLISECONDS, show_repeat=False
        )
        self.numbers = ipywidgets.HTML()
        super().__init__([ipywidgets.HBox([self.play, self.epoch]), self.numbers, self.explorer])
        self._say(last)
        self.epoch.observe(self._show, "value")
        self.play.observe(self._go_on, "value")

    def _maps(self, epoch: int) -> dict[str, Any]:
        return {branch: found[epoch] for branch, found in self._through.maps.items()}

    def _features(self, epoch: int) -> dict[str, Any]:
        return {branch: self._through.features[epoch][branch] for branch in self._through.maps}

    def _go_on(self, change: dict[str, Any]) -> None:
        self.epoch.value = self._through.epochs[change["new"]]

    def _show(self, change: dict[str, Any]) -> None:
        epoch = change["new"]
        self.explorer.place(self._maps(epoch), self._features(epoch))
        self._say(epoch)
        self.play.value = self._through.epochs.index(epoch)

    def _say(self, epoch: int) -> None:
        """The numbers of the epoch, of every branch."""
        at = self._through.measured.index(epoch)
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *THROUGH))
        rows = "".join(
            f"<tr><th>{html.escape(branch)}</th>" + "".join(f"<td>{found[name][at]:.3f}</td>" for name in THROUGH)
            for branch, found in self._through.numbers.items()
        )
        self.numbers.value = f"<table data-epoch='{epoch}' style='text-align: right'><tr>{head}</tr>{rows}</table>"

    def describe(self) -> str:
        shown = ", ".join(map(str, self._through.epochs))
        return f"{self.explorer.describe()}, at the epochs {shown}"

    def picture(self) -> Figure:
        """Maps of a few epochs, and the numbers of all."""
        return still.through_training(self._through, self._title)
