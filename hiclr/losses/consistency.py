"""Directed consistency: the weaker view teaches the stronger one, never the reverse."""

from torch import Tensor

from hiclr.errors import InputError

__all__ = ["consistency"]


def consistency(strong: Tensor, weak: Tensor) -> Tensor:
    """Draw the stronger view's similarity distribution to the weaker view's; scalar, in nats.

        L = -(1/N) sum_n sum_k p_nk log q_nk,   p = softmax(weak), q = softmax(strong)

    Args:
        strong: (N, 1+K) logits, cosine / temperature, column 0 the positive key. Takes the gradient.
        weak: (N, 1+K) logits of the weaker view; detached here, so no caller can forget.

    Raises:
        InputError: shapes differ.

    Note: cross-entropy, so its minimum is the entropy of p, not 0; the gradient is that of KL(p || q).
    Source: HiCLR (arXiv 2211.13466).
    """
    if strong.shape != weak.shape:
        raise InputError(f"The stronger view has logits {tuple(strong.shape)}, the weaker {tuple(weak.shape)}.")
    return -(weak.detach().softmax(dim=1) * strong.log_softmax(dim=1)).sum(dim=1).mean()
