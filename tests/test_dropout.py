"""Dropout by bits: torch's odds, the same gradients, and the end of a block in one pass."""

import pytest
import torch
from torch import Tensor

from hiclr.encoders import dropout
from hiclr.encoders.dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("last", [False, True])
def test_dropout_drops_its_share_and_keeps_the_mean(rate: float, last: bool) -> None:
    torch.manual_seed(0)
    x = torch.ones(64, 15, 17, 25)
    x = x.to(memory_format=torch.channels_last) if last else x
    y = Dropout(rate)(x)
    dropped = float((y == 0).float().mean())
    assert abs(dropped - rate) < 5 * (rate * (1 - rate) / x.numel()) ** 0.5
    assert abs(float(y.mean()) - 1) < 0.01
    assert y[y != 0].unique().tolist() == pytest.approx([1 / (1 - rate)], rel=1e-4)
    by_place = (y == 0).float().mean(dim=0)
    assert by_place.std() == pytest.approx((rate * (1 - rate) / 64) ** 0.5, rel=0.1), "places are dropped alike"


def test_dropout_passes_gradients_where_it_kept() -> None:
    torch.manual_seed(0)
    x = torch.ones(5, 3, 7, requires_grad=True)  # an odd number of values
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_dropout_is_drawn_from_the_global_generator() -> None:
    x, dropout = torch.ones(4, 8, 6, 5), Dropout(0.5)
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(dropout(x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_dropout_leaves_alone_what_is_evaluated_or_not_dropped() -> None:
    x = torch.randn(4, 8, 6, 5)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
    sliced = torch.ones(4, 8, 6, 10)[..., ::2]
    assert 0.3 < float((Dropout(0.5)(sliced) == 0).float().mean()) < 0.7


def maps(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, shortcut = torch.randn(2, 2, 3, 2, 5, generator=generator).to(dtype)
    return tuple(each.contiguous(memory_format=torch.channels_last).requires_grad_() for each in (x, shortcut))  # type: ignore[return-value]


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_added_to_a_shortcut_it_drops_what_it_drops_alone(rate: float, dtype: torch.dtype) -> None:
    x, shortcut = maps(dtype)
    owed = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = []
    for way in (Dropout(rate).add_relu, lambda x, shortcut: (Dropout(rate)(x) + shortcut).relu()):
        torch.manual_seed(2)
        out = way(x.clone(), shortcut)
        found.append((out, *torch.autograd.grad(out, [x, shortcut], owed)))
    rounding = {"atol": 0.02, "rtol": 0.02} if dtype == torch.bfloat16 else {"atol": 1e-6, "rtol": 1e-6}
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, **rounding)
    assert found[0][0].is_contiguous(memory_format=torch.channels_last)


def test_its_gradient_is_right_and_laid_out_as_the_values_are() -> None:
    def work(x: Tensor, shortcut: Tensor) -> Tensor:
        torch.manual_seed(0)
        out: Tensor = dropout._AddRelu.apply(x.clone(), shortcut, 0.5)
        return out

    assert torch.autograd.gradcheck(work, maps(torch.float64))
    x, shortcut = maps()
    owed = torch.ones(x.shape)  # in torch's default layout
    for gradient in torch.autograd.grad(work(x, shortcut), [x, shortcut], owed):
        assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_shortcuts_that_lie_elsewise_are_added_too() -> None:
    x, shortcut = maps()
    for drop in (Dropout(0.5), Dropout(0.5).eval()):
        torch.manual_seed(0)
        wanted = (drop(x) + shortcut).relu()
        torch.manual_seed(0)
        torch.testing.assert_close(drop.add_relu(x.clone(), shortcut.contiguous()), wanted)
