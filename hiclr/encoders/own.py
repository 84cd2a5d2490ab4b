"""Encoders of one's own, by the import path of what makes them."""

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["own_encoder", "own_source", "use_encoder"]

Make = Callable[[Layout], nn.Module]

_OWN: dict[str, Make] = {}


def use_encoder(make: Make | str) -> str:
    """Let runs of this process have an encoder of your own.

    A run's folder holds only the name: its code is never imported because a folder says so. So an encoder is named
    here (or on the command line) again by whoever goes on with a run, evaluates it or reads its features.

    Args:
        make: a class or function that makes an `nn.Module` of a layout, (N, 3, T, V, M) -> (N, D) for any N, T and M;
            or its import path "package.module:Name", whose code then runs.

    Returns:
        "package.module:Name", for the setting `encoder`. The setting `features` is D; `channels`, `dropout`, `persons`
        and `init` do not reach it.

    Raises:
        InputError: a path that cannot be imported, or that names nothing that can be called.
    """
    made = _imported(make) if isinstance(make, str) else make
    if not callable(made):
        raise InputError(f"An encoder of your own is a class or a function of a layout; {make!r} is neither.")
    name = make if isinstance(make, str) else f"{made.__module__}:{made.__qualname__}"
    _OWN[name] = made
    return name


def _imported(path: str) -> Make:
    module, _, name = path.partition(":")
    here = str(Path.cwd())
    sys.path.append(here)  # as `python -m hiclr` has it; the console script has not
    try:
        found: Make = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"The encoder {path!r} cannot be imported ({error}). It is given as package.module:Name, of a module that "
            "Python finds from this folder."
        ) from error
    finally:
        sys.path.remove(here)
    return found


def own_encoder(name: str, layout: Layout, features: int, frames: int) -> nn.Module:
    """The encoder that was made known under this name, tried on two clips of nobody.

    Args:
        name: "package.module:Name".
        layout: the V joints.
        features: D, as the settings have it.
        frames: T of the clips it is tried on.

    Raises:
        InputError: nobody made it known, or it is no module from clips to D features.
    """
    if name not in _OWN:
        raise InputError(
            f"{name!r} is an encoder of somebody's own, and its code is not run because a run's folder names it. Name "
            f"it yourself: --encoder {name} on the command line, or hiclr.encoders.use_encoder({name!r}) in Python."
        )
    encoder = _OWN[name](layout)
    if not isinstance(encoder, nn.Module):
        raise InputError(f"{name} must make an nn.Module of a layout; it made a {type(encoder).__name__}.")
    clips = torch.zeros(2, 3, frames, layout.num_joints, 2)
    training = encoder.training
    try:
        with torch.no_grad():
            found = encoder.eval()(clips)
    except Exception as error:  # whatever somebody's code raises
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"{name} fails on clips (N, 3, T, V, M) = {tuple(clips.shape)}: {what}") from error
    finally:
        encoder.train(training)
    shape = tuple(getattr(found, "shape", ()))
    if shape != (2, features):
        raise InputError(
            f"{name} must give (N, {features}) of clips (N, 3, T, V, M), as features is {features}; of "
            f"{tuple(clips.shape)} it gives {shape or type(found).__name__}. Set features to what it gives."
        )
    return encoder


def own_source(name: str) -> str:
    """The text of what makes an encoder of one's own, as far as it can be had: other text, other features."""
    try:
        return inspect.getsource(_OWN[name]) if name in _OWN else ""
    except (OSError, TypeError):
        return ""
