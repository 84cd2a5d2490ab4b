"""What is made again in place of being kept: the same gradients to the bit, and it is not kept."""

import pytest
import torch
from torch import Tensor, nn

from hiclr.encoders import STGCN, kept
from hiclr.encoders.kept import made_again
from hiclr.encoders.stgcn import Block
from hiclr.skeleton import NTU_25


def double(x: Tensor) -> Tensor:
    return (2 * x).exp_()


def test_it_is_made_once_for_all_who_kept_it_and_forgotten() -> None:
    x, made = torch.randn(3, 4, requires_grad=True), []

    def make() -> Tensor:
        made.append(double(x))
        return made[-1]

    value = double(x)
    wanted = torch.autograd.grad((value.sin() + value.t()[1:].cos().sum()).sum(), x)
    value = 2 * x
    with made_again(value, make):
        value = value.exp_()
        out = (value.sin() + value.t()[1:].cos().sum()).sum()
    del value
    assert made == []
    for times in (1, 2):
        assert torch.equal(*torch.autograd.grad(out, x, retain_graph=True), *wanted)
        assert len(made) == times


def test_nothing_is_done_where_no_gradient_comes_and_in_16_bits() -> None:
    with made_again(torch.randn(3, requires_grad=True).bfloat16(), lambda: pytest.fail("made again")) as entered:
        assert entered is None
    with torch.no_grad(), made_again(torch.randn(3), lambda: pytest.fail("made again")) as entered:
        assert entered is None


@pytest.mark.parametrize("precise", [True, False])
def test_an_encoder_has_the_same_gradient_to_the_bit(precise: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network, x = STGCN(NTU_25, channels=4, features=12).train(), torch.randn(2, 3, 18, 25, 1)

    def gradients() -> list[Tensor]:
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not precise):
            loss = network(x).square().mean()
        return [*torch.autograd.grad(loss, list(network.parameters()))]

    found = gradients()
    monkeypatch.setattr(kept, "by_hand", lambda _: False)
    assert all(torch.equal(one, other) for one, other in zip(found, gradients(), strict=True))


@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_keeps_four_maps(stride: int) -> None:
    """The input, what the graph convolution and the temporal one give, and the result; and no map of the shortcut."""
    torch.manual_seed(0)
    block = Block(8, 8, 3, 25, kernel=3, stride=stride, dropout=0.5)
    x = torch.randn(2, 8, 24, 25).to(memory_format=torch.channels_last).requires_grad_()
    sizes: dict[int, int] = {}

    def note(kept: Tensor) -> Tensor:
        sizes[kept.untyped_storage().data_ptr()] = kept.untyped_storage().nbytes()
        return kept

    with torch.autograd.graph.saved_tensors_hooks(note, lambda kept: kept):
        block(x, torch.rand(3, 25, 25))
    maps = [size for size in sizes.values() if size > 4 * x.numel() // 3]
    assert len(maps) == 4 + (stride == 2)  # and the frames that are left


def test_a_norm_of_another_kind_is_left_alone() -> None:
    class Other(nn.BatchNorm2d):
        pass

    torch.manual_seed(0)
    block = Block(8, 8, 3, 25, kernel=3)
    block.norm_graph.__class__ = Other
    x = torch.randn(2, 8, 12, 25).to(memory_format=torch.channels_last).requires_grad_()
    block(x, torch.rand(3, 25, 25)).sum().backward()
    assert x.grad is not None
