"""Convolution through frequencies: the same sums, the same gradients."""

import pytest
import torch
from torch import Tensor, nn

from hiclr.encoders import STGCN, temporal
from hiclr.encoders.temporal import TemporalConvolution
from hiclr.skeleton import NTU_25

LENGTHS = [(1, 1), (1, 9), (2, 3), (4, 9), (5, 5), (12, 9), (13, 9), (50, 9)]


def direct(convolution: TemporalConvolution, x: Tensor) -> Tensor:
    """The same convolution by its definition, in 64 bit."""
    out: Tensor = nn.functional.conv2d(
        x.double(), convolution.weight.double(), convolution.bias.double(), padding=convolution.padding
    )
    return out


@pytest.mark.parametrize(("frames", "kernel"), LENGTHS)
def test_the_way_through_frequencies_is_the_same_convolution(frames: int, kernel: int) -> None:
    torch.manual_seed(0)
    convolution = TemporalConvolution(128, 136, kernel)
    x = torch.randn(3, 128, frames, 2)
    assert convolution._by_frequency(x) == (frames <= 128)
    wanted = direct(convolution, x)
    assert (convolution(x) - wanted).abs().max() < 2e-6 * wanted.abs().max()


def test_its_gradients_are_those_of_the_convolution() -> None:
    torch.manual_seed(0)
    convolution = TemporalConvolution(128, 128, 9)
    found, wanted = [], []
    for gradients, work in ((found, convolution), (wanted, lambda x: direct(convolution, x))):
        torch.manual_seed(1)
        x = torch.randn(2, 128, 13, 3, requires_grad=True)
        (work(x) * torch.randn(2, 128, 13, 3)).sum().backward()
        gradients += [x.grad, convolution.weight.grad.clone(), convolution.bias.grad.clone()]
        convolution.zero_grad()
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() < 1e-5 * other.abs().max()


def test_the_gradient_is_right_whatever_is_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporal, "_AT_ONCE", 2)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 2, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(temporal._ByFrequency.apply, (x, weight))


def test_in_bfloat16_it_is_rounded_at_most_three_times_as_much() -> None:
    torch.manual_seed(0)
    convolution = TemporalConvolution(128, 128, 9)
    x = torch.randn(4, 128, 13, 5).relu_().to(memory_format=torch.channels_last).requires_grad_()
    owed, errors = torch.randn(4, 128, 13, 5), []
    wanted = torch.autograd.grad(direct(convolution, x), [x, convolution.weight], owed.double())
    for way in (TemporalConvolution.forward, nn.Conv2d.forward):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = way(convolution, x)
        assert out.dtype == torch.bfloat16
        found = torch.autograd.grad(out, [x, convolution.weight], owed.to(out.dtype))
        errors.append([float((a - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True)])
        errors[-1].append(float(((out - direct(convolution, x)).norm() / out.norm()).detach()))
    for through, plain in zip(*errors, strict=True):
        assert through < 3 * plain < 0.03


@pytest.mark.parametrize("case", ["narrow", "strided", "double", "long"])
def test_other_convolutions_are_left_to_torch(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through frequencies they would cost more."""
    monkeypatch.setattr(temporal, "_convolve_by_frequency", lambda *_: pytest.fail("went through frequencies"))
    convolution = TemporalConvolution(64 if case == "narrow" else 128, 128, 9, stride=2 if case == "strided" else 1)
    x = torch.randn(1, convolution.in_channels, 200 if case == "long" else 13, 1)
    if case == "double":
        convolution, x = convolution.double(), x.double()
    convolution(x)


def test_the_last_block_of_the_paper_goes_through_frequencies(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = STGCN(NTU_25).eval()
    x = torch.randn(2, 3, 50, 25, 1)
    found, through = network(x), []
    way = temporal._convolve_by_frequency
    monkeypatch.setattr(temporal, "_convolve_by_frequency", lambda *values: through.append(1) or way(*values))
    network(x)
    monkeypatch.setattr(TemporalConvolution, "_by_frequency", lambda *_: False)
    assert through == [1]
    assert torch.allclose(found, network(x), rtol=1e-4, atol=1e-6)
