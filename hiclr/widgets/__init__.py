"""Interactive parts for JupyterLab: a player of clips, the workbench of augmentations, the explorer of maps.

Each is a list of traits (what goes to the browser), a `.js` file beside it that draws, and arrays as bytes. What is
shown is computed by the other rooms; every widget leaves a still picture beside itself in the saved notebook.
"""

try:
    import anywidget  # noqa: F401
    import ipywidgets  # noqa: F401
except ImportError as error:
    raise ImportError(
        'Widgets need anywidget and ipywidgets. Install them with: pip install "hiclr[notebooks]"'
    ) from error

from hiclr.widgets.bench import AugmentationBench
from hiclr.widgets.comparison import Comparison
from hiclr.widgets.confusions import Confusions
from hiclr.widgets.explorer import Explorer
from hiclr.widgets.player import Player
from hiclr.widgets.through import ThroughTraining

__all__ = ["AugmentationBench", "Comparison", "Confusions", "Explorer", "Player", "ThroughTraining"]
