"""Convolution through frequencies and dropout by 16 bits: the same sums, the same odds, the same gradients."""

import pytest
import torch
from torch import Tensor, nn

from hiclr.encoders import STGCN, temporal
from hiclr.encoders.temporal import Dropout, TemporalConvolution
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


@pytest.mark.parametrize("case", ["narrow", "strided", "double", "bfloat16", "long"])
def test_other_convolutions_are_left_to_torch(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through frequencies they would cost more, or in bfloat16 be rounded more."""
    monkeypatch.setattr(temporal, "_convolve_by_frequency", lambda *_: pytest.fail("went through frequencies"))
    convolution = TemporalConvolution(64 if case == "narrow" else 128, 128, 9, stride=2 if case == "strided" else 1)
    x = torch.randn(1, convolution.in_channels, 200 if case == "long" else 13, 1)
    if case == "double":
        convolution, x = convolution.double(), x.double()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=case == "bfloat16"):
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
