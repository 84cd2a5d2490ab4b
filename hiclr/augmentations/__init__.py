"""Augmentations: sample, then apply. A new one is one class in the right file and one line where it is used."""

from hiclr.augmentations.base import ActsInside, MixesClips, Op, Params, Shape, code
from hiclr.augmentations.choosing import OneOf
from hiclr.augmentations.edges import DropAddEdges
from hiclr.augmentations.growing import Draw, GrowingViews
from hiclr.augmentations.masking import JointMask
from hiclr.augmentations.mixing import SkeleAdaIN, transfer_statistics
from hiclr.augmentations.posture import Exaggerate, PoseMix, mean_pose
from hiclr.augmentations.recipes import (
    RECIPES,
    VIEWS,
    Recipe,
    adain_views,
    arrange,
    paper_views,
    released_views,
    small_views,
    whole_ladder,
)
from hiclr.augmentations.spatial import AxisMask, Flip, Mirror, Noise, Rotate, Scale, Shear, Yaw, rotation_matrix
from hiclr.augmentations.temporal import Blur, CropResize, TemporalCrop

__all__ = [
    "RECIPES",
    "VIEWS",
    "ActsInside",
    "AxisMask",
    "Blur",
    "CropResize",
    "Draw",
    "DropAddEdges",
    "Exaggerate",
    "Flip",
    "GrowingViews",
    "JointMask",
    "Mirror",
    "MixesClips",
    "Noise",
    "OneOf",
    "Op",
    "Params",
    "PoseMix",
    "Recipe",
    "Rotate",
    "Scale",
    "Shape",
    "Shear",
    "SkeleAdaIN",
    "TemporalCrop",
    "Yaw",
    "adain_views",
    "arrange",
    "code",
    "mean_pose",
    "paper_views",
    "released_views",
    "rotation_matrix",
    "small_views",
    "transfer_statistics",
    "whole_ladder",
]
