"""Ablations: many settings, several seeds, one table.

grid = read_grid("benchmarks/grids/direction.toml")
run_study(Study("data/runs/direction", grid, range(5), clips), data)
print(markdown(summarise(*read_study("data/runs/direction"))))
"""

from hiclr.ablation.grid import Grid, Variant, read_grid
from hiclr.ablation.running import run_study
from hiclr.ablation.study import MEASURES, Study, Trial, read_study
from hiclr.ablation.summary import over_runs, paired_seeds, summarise
from hiclr.ablation.table import MEASURE_NAMES, frame, markdown, provenance

__all__ = [
    "MEASURES",
    "MEASURE_NAMES",
    "Grid",
    "Study",
    "Trial",
    "Variant",
    "frame",
    "markdown",
    "over_runs",
    "paired_seeds",
    "provenance",
    "read_grid",
    "read_study",
    "run_study",
    "summarise",
]
