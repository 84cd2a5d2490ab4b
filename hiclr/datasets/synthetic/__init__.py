"""The set that ships with the project: people drawn from a seed, moving as a chain of rigid bones.

An action is joint angles over time (`actions`), performed in a manner of one's own (`acting`) by a body (`body`) that
a sensor looks at (`sensor`); `make` puts it together. Every action has a partner that shares its poses and differs in
motion: a mirrored, a reversed or a faster one. Positions are in NTU's camera space: right-handed metres, y up, z away
from the camera, a person who faces it with the right hand at larger x.
"""

from hiclr.datasets.synthetic.actions import ACTIONS, LIMITS, Action
from hiclr.datasets.synthetic.make import synthetic

__all__ = ["ACTIONS", "LIMITS", "Action", "synthetic"]
