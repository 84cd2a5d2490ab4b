"""The still picture beside a widget: what a reader without a live kernel sees."""

import base64
from typing import Any

import ipywidgets

from hiclr.figures.style import Figure, label
from hiclr.widgets.cells import occupy, parts

__all__ = ["Pictured"]


class Pictured:
    """Adds `image/png` to what a widget puts into its cell.

    A live notebook shows the widget; a saved one, its HTML export and code hosts show the picture. Notebooks are
    to be saved without widget state: with it, an export would load the widget manager from elsewhere. Shown in a cell,
    it takes the place of what an earlier run of that cell showed, which is closed.
    """

    def picture(self) -> Figure:
        """The still picture, as it stands now."""
        raise NotImplementedError

    def describe(self) -> str:
        """One line: the alternative text of the picture."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.describe()

    def free(self) -> None:
        """Close the widget with all its parts, here and in the browser."""
        for part in list(parts(self)):
            ipywidgets.Widget.close(part)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        if data is None:
            return bundle
        occupy(self)
        picture, size = self.picture()._repr_png_()
        data = {**data, "image/png": base64.b64encode(picture).decode(), "text/plain": self.describe()}
        return data, {**metadata, "image/png": {**size, "alt": label(self.describe(), 200)}}
