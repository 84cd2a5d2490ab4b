"""The queue and the key encoder."""

import pytest
import torch
from torch import Tensor, nn

from hiclr.encoders import STGCN, projection_head
from hiclr.errors import InputError
from hiclr.losses import growing_loss
from hiclr.momentum import Queue, update_momentum
from hiclr.pretraining import PretrainConfig
from hiclr.pretraining.methods import HiCLR
from hiclr.skeleton import NTU_25


def numbered(first: int, count: int) -> tuple[Tensor, Tensor]:
    """Keys that spell their id in both entries."""
    ids = torch.arange(first, first + count)
    return ids[:, None].float().expand(count, 2), ids


def test_only_filled_slots_are_given_out() -> None:
    queue = Queue(5, 2)
    keys, ids = queue.stored()
    assert keys.shape == (2, 0) and ids.shape == (0,)
    queue.enqueue(*numbered(1, 3))
    keys, ids = queue.stored()
    assert ids.tolist() == [1, 2, 3] and keys.tolist() == [[1, 2, 3], [1, 2, 3]]
    assert queue.capacity == 5


def test_a_batch_that_does_not_divide_the_capacity_wraps() -> None:
    queue = Queue(5, 2)
    for first in (1, 4, 7):
        queue.enqueue(*numbered(first, 3))
    keys, ids = queue.stored()
    assert ids.tolist() == [6, 7, 8, 9, 5]  # slots 0..4; 1..4 are overwritten, oldest first
    assert keys[0].tolist() == ids.tolist()  # ids stay beside their keys
    assert int(queue.filled) == queue.capacity


@pytest.mark.parametrize("before", [0, 2])
def test_of_a_batch_above_the_capacity_the_newest_are_kept(before: int) -> None:
    queue = Queue(4, 2)
    queue.enqueue(*numbered(100, before))
    queue.enqueue(*numbered(1, 11))
    assert sorted(queue.stored()[1].tolist()) == [8, 9, 10, 11]
    queue.enqueue(*numbered(12, 1))
    assert sorted(queue.stored()[1].tolist()) == [9, 10, 11, 12]


def test_the_state_dict_holds_all_of_the_queue() -> None:
    queue, other = Queue(5, 2), Queue(5, 2)
    queue.enqueue(*numbered(1, 7))
    other.load_state_dict(queue.state_dict())
    for each in (queue, other):
        each.enqueue(*numbered(8, 2))
    assert all(torch.equal(a, b) for a, b in zip(queue.stored(), other.stored(), strict=True))
    assert not list(queue.parameters())


def test_stored_keys_carry_no_gradient() -> None:
    queue = Queue(4, 2)
    queue.enqueue(torch.ones(2, 2, requires_grad=True) * 2, torch.tensor([0, 1]))
    assert not queue.stored()[0].requires_grad


def test_what_does_not_fit_the_queue_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(N, 2\).*\(3, 4\)"):
        Queue(5, 2).enqueue(torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match=r"ids"):
        Queue(5, 2).enqueue(torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(InputError, match="at least 1"):
        Queue(0, 2)


def test_the_key_follows_by_the_formula_in_place() -> None:
    key, query = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    nn.init.constant_(key.weight, 1.0)
    nn.init.constant_(query.weight, 3.0)
    storage = key.weight.data_ptr()
    update_momentum(key, query, 0.75)
    assert key.weight.tolist() == [[1.5, 1.5]]  # .75 x 1 + .25 x 3
    update_momentum(key, query, 0.0)
    assert torch.equal(key.weight, query.weight)
    update_momentum(key, query, 1.0)
    assert key.weight.data_ptr() == storage
    assert query.weight.tolist() == [[3.0, 3.0]]


def test_wrong_momentum_and_other_networks_are_refused() -> None:
    with pytest.raises(InputError, match="momentum"):
        update_momentum(nn.Linear(2, 1), nn.Linear(2, 1), 1.5)
    with pytest.raises(InputError, match="same parameters"):
        update_momentum(nn.Linear(2, 1), nn.Linear(3, 1), 0.5)


CONFIG = PretrainConfig(projection=4, queue_size=16)


def model() -> HiCLR:
    torch.manual_seed(0)
    return HiCLR(CONFIG, NTU_25, STGCN(NTU_25, 2, 8, kernel=3), projection_head(8, 8, 4), 24)


def clips(count: int = 6) -> Tensor:
    return torch.randn(count, 3, 8, 25, 1)


def test_the_key_encoder_starts_as_a_true_copy_of_its_own() -> None:
    net, x = model(), clips()
    net.eval()
    torch.testing.assert_close(net.project_key(x), net.project(x).detach())
    with torch.no_grad():
        next(net.encoder.parameters()).add_(1)
        net.head[0].weight.add_(1)
    assert not torch.allclose(net.project_key(x), net.project(x).detach())


def test_projections_are_unit_vectors_in_float32_even_under_autocast() -> None:
    net, x = model(), clips()
    with torch.autocast("cpu", torch.bfloat16):
        z, key = net.project(x), net.project_key(x)
    for each in (z, key):
        assert each.dtype == torch.float32
        torch.testing.assert_close(each.norm(dim=1), torch.ones(6))
    assert net.features(x).shape == (6, 8)


def test_a_step_gives_gradients_to_the_query_side_alone() -> None:
    net, x = model().train(), clips()
    net.queue.enqueue(net.project_key(x), torch.arange(6))
    key = net.project_key(x)
    assert not key.requires_grad
    growing_loss([net.project(x) for _ in range(3)], key, net.queue.stored()[0], 0.1)["loss"].backward()
    assert all(p.grad is not None for p in net.learning_parameters())
    assert all(p.grad is None for part in (net.key_encoder, net.key_head) for p in part.parameters())
    learning = {id(p) for p in net.learning_parameters()}
    assert learning == {id(p) for p in net.parameters() if p.requires_grad}


def test_update_key_moves_encoder_and_head_but_no_statistics() -> None:
    net = model().train()
    for _ in range(2):
        net.project(clips())  # moves the query encoder's running statistics only
    assert not torch.equal(net.key_encoder.norm.running_mean, net.encoder.norm.running_mean)
    with torch.no_grad():
        for parameter in net.learning_parameters():
            parameter.add_(1)
    net.update_key(0.5)
    pairs = zip(net.learning_parameters(), [*net.key_encoder.parameters(), *net.key_head.parameters()], strict=True)
    for query, key in pairs:
        torch.testing.assert_close(query - key, torch.full_like(query, 0.5))
    assert not net.key_encoder.norm.running_mean.any()  # its own, from its own passes: none yet
    net.project_key(clips())
    assert net.key_encoder.norm.running_mean.any()


def test_a_model_is_rebuilt_from_its_state_dict() -> None:
    net = model()
    net.queue.enqueue(net.project_key(clips()), torch.arange(6))
    net.update_key(0.3)
    torch.manual_seed(9)
    other = HiCLR(CONFIG, NTU_25, STGCN(NTU_25, 2, 8, kernel=3), projection_head(8, 8, 4), 24)
    other.load_state_dict(net.state_dict())
    x = clips()
    for each in (net.eval(), other.eval()):
        each.eval()
    torch.testing.assert_close(net.project_key(x), other.project_key(x))
    assert torch.equal(net.queue.stored()[1], other.queue.stored()[1])
