"""Loading weights all or nothing: a network that kept its random start because names did not match is never silent."""

from collections.abc import Mapping

from torch import Tensor, nn

from hiclr.errors import InputError

__all__ = ["load_weights", "strip_module"]

_SHOWN = 3


def strip_module(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop the `module.` that data-parallel wrappers put before every name, when all names have it."""
    if state and all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): value for name, value in state.items()}
    return dict(state)


def examples(names: list[str]) -> str:
    """The first few names, for a message."""
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def load_weights(module: nn.Module, state: Mapping[str, Tensor], source: str = "The checkpoint") -> None:
    """Copy every entry of `state` into `module`; names and shapes must agree exactly, but for a leading `module.`.

    Args:
        module: takes the weights; untouched when they are refused.
        state: name -> tensor.
        source: how a refusal calls the weights, as the start of a sentence.

    Raises:
        InputError: how many entries match, are missing, are unknown or have another shape, with examples of each.
    """
    state = strip_module(state)
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in state]
    unknown = [name for name in state if name not in wanted]
    common = [name for name in wanted if name in state]
    misfits = [
        f"{name}: wanted {tuple(wanted[name].shape)}, got {tuple(state[name].shape)}"
        for name in common
        if wanted[name].shape != state[name].shape
    ]
    if missing or unknown or misfits:
        kinds = {"missing": missing, "unknown": unknown, "of another shape": misfits}
        faults = "; ".join(f"{len(names)} {kind} ({examples(names)})" for kind, names in kinds.items() if names)
        raise InputError(
            f"{source} does not fit the network: "
            f"{len(common) - len(misfits)} of {len(wanted)} entries match; {faults}. "
            "Nothing was loaded. Use the settings the weights were made with, and names as they were saved."
        )
    module.load_state_dict(state)
