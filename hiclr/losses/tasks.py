"""The loss of MS2L: three tasks on one encoder."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from hiclr.errors import InputError

__all__ = ["ms2l_loss", "pair_contrast"]


def pair_contrast(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Pick out a clip's other view among both views of all clips of the batch; scalar, in nats.

        L = -(1/2N) sum over all 2N rows of log softmax(cosine / temperature) at the row's partner

    A row is not compared with itself. ln(2N - 1) is the value of an encoder that tells nothing apart.

    Args:
        a: (N, D) of one view, of any length. Takes the gradient, as does b.
        b: (N, D) of the other view of the same clips.
        temperature: above 0.

    Raises:
        InputError: shapes differ, or the temperature is not above 0.

    Source: SimCLR (arXiv 2002.05709).
    """
    if a.dim() != 2 or a.shape != b.shape:
        raise InputError(f"Two views (N, D) of the same clips are wanted; they are {tuple(a.shape)}, {tuple(b.shape)}.")
    if not temperature > 0:
        raise InputError(f"The temperature must be above 0; it is {temperature}.")
    with torch.autocast(a.device.type, enabled=False):
        z = normalize(torch.cat([a, b]).float(), dim=1)
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        logits = (z @ z.t() / temperature).masked_fill(itself, -torch.inf)
        partner = torch.arange(len(z), device=z.device).roll(len(a))
        return cross_entropy(logits, partner)


def ms2l_loss(
    versions: Sequence[Tensor], temperature: float, motion_error: Tensor, jigsaw: Tensor, order: Tensor
) -> dict[str, Tensor]:
    """Every term of the loss by its name; loss = contrast + motion + jigsaw.

    Args:
        versions: embeddings (N, D) of the versions of the batch, of any length: as it is, with its end hidden, with
            its segments mixed up. Each is contrasted with their mean; take the gradient.
        temperature: of the contrast.
        motion_error: (n,) mean squared error of each clip's predicted coordinates, in the unit of the stream squared.
        jigsaw: (n, S!) logits of the order of the segments.
        order: (n,) int64, the orders themselves.

    Returns:
        "loss", "contrast" (nats), "motion" (the stream's unit squared) and "jigsaw" (nats).

    Raises:
        InputError: no version, shapes that do not fit, or a temperature that is not above 0.

    Source: MS2L (arXiv 2010.05599), whose release weighs the three alike.
    """
    if not versions:
        raise InputError("At least one version is wanted: the embeddings of the clips as they are.")
    mean = torch.stack(list(versions)).mean(dim=0)
    contrast = torch.stack([pair_contrast(version, mean, temperature) for version in versions]).mean()
    terms = {
        "contrast": contrast,
        "motion": motion_error.float().mean(),
        "jigsaw": cross_entropy(jigsaw.float(), order),
    }
    return {"loss": torch.stack(list(terms.values())).sum(), **terms}
