"""hiclr: self-supervised learning on 3D skeleton actions, on the method HiCLR (arXiv 2211.13466).

Rooms, in the order in which data flows; no room imports from one further down:

    skeleton       joints, trees, left-right pairs: `Layout`
    datasets       files -> `SkeletonSet` (N, 3, T, V, M); preprocessing, streams, the synthetic set
    augmentations  sample, then apply; `GrowingViews`: basic, normal, strong
    encoders       ST-GCN and its graph, a light temporal network, projection heads
    losses         pure functions: InfoNCE, directed consistency
    momentum       key encoder and queue: the one state of the method
    runs           a run is a folder: settings, environment, metrics, two generations of checkpoint
    pretraining    settings, one step, one loop that yields a row per epoch
    features       frozen encoder -> arrays, computed once
    models         trained models by folder or file: `hiclr.load`, exports, weights that authors released
    evaluation     kNN, linear probe, floors, clusters; fine-tuning, few labels, transfer, robustness
    ablation       a grid of settings, its runs in a queue, means and paired differences over seeds
    workbook       what the notebooks share: clips, settings, the run folder
    figures        pictures, each a function that returns a figure
    widgets        the interactive ones for JupyterLab
    reporting      results as one HTML page, or as tables for a paper
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hiclr.models import load, load_released_file

# Threads that wait must not spin: beside another busy process that made steps 5 to 25 times slower. OpenMP reads this
# when torch is first imported; what the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

__all__ = ["__version__", "load", "load_released_file"]


def __getattr__(name: str) -> Any:
    """`hiclr.load` and `hiclr.load_released_file`, imported when first used: torch takes seconds."""
    if name in ("load", "load_released_file"):
        from hiclr import models

        return getattr(models, name)
    raise AttributeError(f"module 'hiclr' has no attribute {name!r}")
