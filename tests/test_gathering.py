"""Graph convolution by two products: its formula, its gradient, in 32 bit and bfloat16, for few and many channels."""

import pytest
import torch
from torch import Tensor

from hiclr.encoders import gathering
from hiclr.encoders.gathering import gather_and_mix


def inputs(channels: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """x (F, V, C), edges (K, V, W) that differ by sender and receiver, weight, bias."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, 3, channels), (2, 3, 3), (2, 6, channels), (2, 6)]
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def by_definition(x: Tensor, edges: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mixed = torch.einsum("koc,fvc->fkvo", weight, x) + bias[:, None]
    return torch.einsum("kvw,fkvo->fwo", edges, mixed)


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_it_is_the_graph_convolution_with_its_gradient(
    channels: int, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_AT_ONCE", 500)  # bytes: some of the frames
    if elsewhere:
        monkeypatch.setattr(gathering, "by_hand", lambda _: False)
    values = inputs(channels)
    torch.testing.assert_close(gather_and_mix(*values), by_definition(*values))
    assert torch.autograd.gradcheck(gather_and_mix, values)


@pytest.mark.parametrize("channels", [2, 5])
def test_in_bfloat16_it_is_rounded_and_no_more(channels: int) -> None:
    values = inputs(channels, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = gather_and_mix(*values)
    assert out.dtype == torch.bfloat16
    wanted = by_definition(*values)
    assert (out - wanted).norm() < 0.01 * wanted.norm()
    owed = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad(out, values, owed.to(out.dtype))
    for one, other in zip(found, torch.autograd.grad(wanted, values, owed), strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.02 * other.norm()


def test_what_is_gathered_is_not_kept() -> None:
    kept: list[tuple[int, ...]] = []
    values = inputs(5, torch.float32)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(tuple(x.shape)) or x, lambda x: x):
        gather_and_mix(*values)
    assert (4, 3, 5) in kept
    assert (4, 3, 10) not in kept
