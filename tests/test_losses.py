"""Losses: values worked out by hand, gradients where they belong and nowhere else."""

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from hiclr.errors import InputError
from hiclr.losses import (
    Direction,
    Distance,
    aimclr_loss,
    barlow_loss,
    consistency,
    embedding_consistency,
    growing_loss,
    info_nce,
    ms2l_loss,
    nearest_neighbours,
    nearest_to_teacher,
    own_keys,
    pair_contrast,
    pretext_top1,
    similarity_logits,
    vicreg_loss,
)


def units(*shape: int, seed: int = 0, dim: int = -1) -> Tensor:
    return normalize(torch.randn(*shape, generator=Generator().manual_seed(seed)), dim=dim)


def batch(count: int = 6, width: int = 8, capacity: int = 20) -> tuple[list[Tensor], Tensor, Tensor]:
    branches = [units(count, width, seed=i).requires_grad_() for i in range(3)]
    return branches, units(count, width, seed=7), units(width, capacity, seed=8, dim=0)


# one similarity, one loss


def test_logits_hold_the_own_key_first() -> None:
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    key = torch.tensor([[0.6, 0.8], [0.6, 0.8]])
    queue = torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    wanted = torch.tensor([[0.6, 1.0, 0.0, -1.0], [0.8, 0.0, 1.0, 0.0]]) / 0.5
    torch.testing.assert_close(similarity_logits(z, key, queue, 0.5), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_sharp_temperature_stays_finite_in_every_precision(dtype: torch.dtype) -> None:
    # z = key, queue = -key: -log(1 / (1 + 512 exp(-2/.07))) < 1e-3. The reverse: ln(512) + 2/.07 = 34.81
    key = torch.eye(4, dtype=dtype)
    easy_queue = -key[:1].t().expand(4, 512).contiguous()
    for z, queue, low, high in ((key[:1], easy_queue, 0.0, 1e-3), (-key[:1], easy_queue, 34.80, 34.82)):
        leaf = z.clone().requires_grad_()
        loss = info_nce(similarity_logits(leaf, key[:1], queue, 0.07))
        loss.backward()
        assert low <= loss.item() <= high
        assert leaf.grad is not None and leaf.grad.isfinite().all()
    assert math.log(512) + 2 / 0.07 == pytest.approx(34.81, abs=0.005)


def test_autocast_does_not_coarsen_the_logits() -> None:
    z, key, queue = units(4, 16), units(4, 16, seed=1), units(16, 9, seed=2, dim=0)
    with torch.autocast("cpu", torch.bfloat16):
        logits = similarity_logits(z, key, queue, 0.07)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits[:, 1:], z @ queue / 0.07)


def test_a_know_nothing_encoder_pays_ln_of_all_keys() -> None:
    assert info_nce(torch.zeros(3, 1 + 32768)).item() == pytest.approx(math.log(32769), rel=1e-6)


def test_several_positives_share_the_row_evenly() -> None:
    # softmax of (ln 4, ln 3, ln 2, ln 1) is (.4, .3, .2, .1)
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0]]).log()
    chosen = torch.tensor([[True, False, True, False]])
    assert info_nce(logits, chosen).item() == pytest.approx(-(math.log(0.4) + math.log(0.2)) / 2, rel=1e-6)
    assert info_nce(logits).item() == pytest.approx(-math.log(0.4), rel=1e-6)


def test_rows_weigh_the_same_however_many_positives_they_have() -> None:
    logits = torch.randn(2, 6, generator=Generator().manual_seed(0))
    chosen = torch.tensor([[True, False, False, False, False, False], [True, True, True, True, False, False]])
    each = [info_nce(logits[i : i + 1], chosen[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(info_nce(logits, chosen), (each[0] + each[1]) / 2)


def test_pretext_top1_counts_rows_whose_own_key_is_nearest() -> None:
    assert pretext_top1(torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [5.0, 4.0]])).item() == 0.75


# neighbours


def test_neighbours_are_the_union_over_branches() -> None:
    first = torch.tensor([[9.0, 3.0, 2.0, 1.0], [9.0, 1.0, 2.0, 3.0]])
    second = torch.tensor([[9.0, 1.0, 5.0, 2.0], [9.0, 1.0, 2.0, 7.0]])
    wanted = torch.tensor([[True, True, True, False], [True, False, False, True]])
    assert torch.equal(nearest_neighbours([first, second]), wanted)
    assert nearest_neighbours([first], top=99).all()
    assert torch.equal(nearest_neighbours([first[:, :1]]), torch.ones(2, 1, dtype=torch.bool))  # an empty queue


def test_own_older_keys_are_neither_negatives_nor_neighbours() -> None:
    ids, stored = torch.tensor([3, 5, -1]), torch.tensor([5, 3, -1])
    own = own_keys(ids, stored)
    assert own.tolist() == [[False, True, False], [True, False, False], [False, False, False]]
    z = units(3, 4).requires_grad_()
    logits = similarity_logits(z, z.detach(), z.detach().t().contiguous()[:, [1, 0, 2]], 0.1, own)
    probability = logits.softmax(dim=1)
    assert (probability[:, 1:][own] == 0).all()
    assert not nearest_neighbours([logits], top=3)[:, 1:][own].any()
    everyone = similarity_logits(z, z.detach(), z.detach().t(), 0.1, torch.ones(3, 3, dtype=torch.bool))
    assert torch.equal(nearest_neighbours([everyone]).sum(dim=1), torch.ones(3, dtype=torch.int64))
    assert consistency(everyone, everyone).item() == pytest.approx(0, abs=1e-6)  # only the key is left: certain


# consistency


def test_consistency_is_cross_entropy_of_the_weaker_view() -> None:
    weak = torch.tensor([[0.5, 0.3, 0.2]]).log()
    strong = torch.tensor([[0.25, 0.25, 0.5]]).log()
    wanted = -(0.8 * math.log(0.25) + 0.2 * math.log(0.5))
    assert consistency(strong, weak).item() == pytest.approx(wanted, rel=1e-6)


def test_consistency_moves_the_stronger_view_only() -> None:
    strong, weak = torch.randn(4, 9).requires_grad_(), torch.randn(4, 9).requires_grad_()
    consistency(strong, weak).backward()
    assert weak.grad is None
    assert strong.grad is not None
    # softmax cross-entropy: (q - p) / N
    torch.testing.assert_close(strong.grad, (strong.softmax(dim=1) - weak.softmax(dim=1)).detach() / 4)


def test_kl_is_less_by_the_entropy_and_has_the_same_gradient() -> None:
    weak = torch.tensor([[0.5, 0.3, 0.2]]).log()
    strong = torch.tensor([[0.25, 0.25, 0.5]]).log().requires_grad_()
    kl = consistency(strong, weak, "kl")
    wanted = 0.5 * math.log(0.5 / 0.25) + 0.3 * math.log(0.3 / 0.25) + 0.2 * math.log(0.2 / 0.5)
    assert kl.item() == pytest.approx(wanted, rel=1e-5)
    assert consistency(weak, weak, "kl").item() == pytest.approx(0, abs=1e-7)
    other = strong.detach().clone().requires_grad_()
    kl.backward(), consistency(other, weak).backward()
    torch.testing.assert_close(strong.grad, other.grad)


def test_embeddings_are_compared_without_any_key() -> None:
    strong = torch.tensor([[1.0, 0.0], [0.6, 0.8]]).requires_grad_()
    weak = torch.tensor([[0.6, 0.8], [0.6, 0.8]]).requires_grad_()
    # |1 - .6| + |0 - .8| = 1.2 over four coordinates; cosines .6 and 1
    assert embedding_consistency(strong, weak, "l1").item() == pytest.approx(0.3)
    loss = embedding_consistency(strong, weak, "cosine")
    assert loss.item() == pytest.approx(0.2)
    loss.backward()
    assert weak.grad is None and strong.grad is not None and strong.grad.any()


def test_the_teacher_chooses_the_keys_that_count() -> None:
    teacher = torch.tensor([[0.0, 1.0, 5.0, 3.0]])
    student = torch.tensor([[9.0, 8.0, 7.0, 6.0]])
    first, second = nearest_to_teacher(teacher, student, 2)
    assert first.tolist() == [[0, 5, 3]]
    assert second.tolist() == [[9, 7, 6]]
    every = nearest_to_teacher(teacher, student, 99)[1]
    assert sorted(every[0].tolist()) == [6, 7, 8, 9]
    assert nearest_to_teacher(teacher[:, :1], student[:, :1], 2)[0].tolist() == [[0]]  # an empty queue
    with pytest.raises(InputError, match="At least 1"):
        nearest_to_teacher(teacher, student, 0)


# the growing loss


def test_the_total_is_info_nce_plus_the_mean_of_the_steps() -> None:
    branches, key, queue = batch()
    terms = growing_loss(branches, key, queue, 0.1)
    assert list(terms) == ["loss", "info_nce", "consistency_1", "consistency_2"]
    torch.testing.assert_close(terms["loss"], terms["info_nce"] + (terms["consistency_1"] + terms["consistency_2"]) / 2)
    logits = [similarity_logits(z, key, queue, 0.1) for z in branches]
    torch.testing.assert_close(terms["consistency_2"], consistency(logits[2], logits[1]))


def test_one_branch_is_skeleton_clr() -> None:
    branches, key, queue = batch()
    terms = growing_loss(branches[:1], key, queue, 0.07)
    assert list(terms) == ["loss", "info_nce"]
    torch.testing.assert_close(terms["loss"], info_nce(similarity_logits(branches[0], key, queue, 0.07)))


def test_no_gradient_into_teacher_keys_or_queue() -> None:
    branches, key, queue = batch()
    key.requires_grad_(), queue.requires_grad_()
    terms = growing_loss(branches, key, queue, 0.1, mining=1)
    terms["loss"].backward()
    assert key.grad is None and queue.grad is None
    assert all(z.grad is not None and z.grad.any() for z in branches)
    for i, learner in ((1, 1), (2, 2)):
        fresh = [z.detach().clone().requires_grad_() for z in branches]
        growing_loss(fresh, key, queue, 0.1)[f"consistency_{i}"].backward()
        assert [z.grad is not None for z in fresh] == [j == learner for j in range(3)]


def test_a_sharper_teacher_is_the_weaker_view_at_its_own_temperature() -> None:
    branches, key, queue = batch()
    terms = growing_loss(branches, key, queue, 0.1, teacher_temperature=0.05)
    sharp = similarity_logits(branches[0], key, queue, 0.05)
    wanted = consistency(similarity_logits(branches[1], key, queue, 0.1), sharp)
    torch.testing.assert_close(terms["consistency_1"], wanted)
    torch.testing.assert_close(terms["info_nce"], growing_loss(branches, key, queue, 0.1)["info_nce"])


@pytest.mark.parametrize("distance", ["cross_entropy", "kl", "l1", "cosine"])
@pytest.mark.parametrize(
    ("direction", "learners"),
    [("weak_to_strong", [{1}, {2}]), ("strong_to_weak", [{0}, {1}]), ("symmetric", [{0, 1}, {1, 2}])],
)
def test_each_direction_moves_the_learner_and_never_the_teacher(
    direction: Direction, distance: Distance, learners: list[set[int]]
) -> None:
    for i, wanted in enumerate(learners, start=1):
        branches, key, queue = batch()
        key.requires_grad_(), queue.requires_grad_()
        growing_loss(branches, key, queue, 0.1, direction=direction, distance=distance)[f"consistency_{i}"].backward()
        assert {j for j, z in enumerate(branches) if z.grad is not None and z.grad.any()} == wanted
        assert key.grad is None and queue.grad is None


def test_reversed_is_the_ladder_taught_from_above_and_symmetric_the_mean() -> None:
    branches, key, queue = batch()
    one, two, both = (
        growing_loss(branches, key, queue, 0.1, direction=direction)
        for direction in ("weak_to_strong", "strong_to_weak", "symmetric")
    )
    logits = [similarity_logits(z, key, queue, 0.1) for z in branches]
    torch.testing.assert_close(two["consistency_1"], consistency(logits[0], logits[1]))
    torch.testing.assert_close(both["consistency_2"], (one["consistency_2"] + two["consistency_2"]) / 2)


def test_without_direction_every_branch_is_compared_with_the_key() -> None:
    branches, key, queue = batch()
    terms = growing_loss(branches, key, queue, 0.1, direction="none")
    assert list(terms) == ["loss", "info_nce", "info_nce_1", "info_nce_2"]
    each = [info_nce(similarity_logits(z, key, queue, 0.1)) for z in branches]
    torch.testing.assert_close(terms["loss"], each[0] + (each[1] + each[2]) / 2)


def test_terms_can_be_weighed() -> None:
    branches, key, queue = batch()
    terms = growing_loss(branches, key, queue, 0.1, weights=(0.3, 0.2))
    wanted = terms["info_nce"] + 0.3 * terms["consistency_1"] + 0.2 * terms["consistency_2"]
    torch.testing.assert_close(terms["loss"], wanted)
    with pytest.raises(InputError, match=r"3 branches have 2 terms above the first, not 3"):
        growing_loss(branches, key, queue, 0.1, weights=(1, 1, 1))


def test_teacher_and_student_have_temperatures_and_neighbours_of_their_own() -> None:
    branches, key, queue = batch()
    terms = growing_loss(branches, key, queue, 0.07, teacher_temperature=0.05, student_temperature=0.1, neighbours=4)
    teacher, student = (similarity_logits(z, key, queue, t) for z, t in zip(branches[:2], (0.05, 0.1), strict=True))
    wanted = consistency(*reversed(nearest_to_teacher(teacher, student, 4)))
    torch.testing.assert_close(terms["consistency_1"], wanted)
    torch.testing.assert_close(terms["info_nce"], growing_loss(branches, key, queue, 0.07)["info_nce"])


def test_a_second_queue_measures_the_last_term_alone() -> None:
    branches, key, queue = batch()
    other_key, other_queue = units(6, 8, seed=11), units(8, 5, seed=12, dim=0)
    ids = torch.arange(5)
    terms = growing_loss(branches, key, queue, 0.1, strong=(other_key, other_queue, ids))
    plain = growing_loss(branches, key, queue, 0.1)
    weak, strong = (similarity_logits(z, other_key, other_queue, 0.1) for z in branches[1:])
    torch.testing.assert_close(terms["consistency_2"], consistency(strong, weak))
    for name in ("info_nce", "consistency_1"):
        torch.testing.assert_close(terms[name], plain[name])
    own = growing_loss(
        branches, key, queue, 0.1, ids=torch.full((6,), 2), queue_ids=torch.full((20,), 9),
        strong=(other_key, other_queue, ids),
    )  # fmt: skip
    left = [0, 1, 3, 4]
    weak, strong = (similarity_logits(z, other_key, other_queue[:, left], 0.1) for z in branches[1:])
    torch.testing.assert_close(own["consistency_2"], consistency(strong, weak))


def test_ids_leave_out_what_the_clip_itself_put_in_the_queue() -> None:
    branches, key, queue = batch(count=2, capacity=3)
    ids, stored = torch.tensor([0, 1]), torch.tensor([8, 9, 9])
    plain = growing_loss(branches, key, queue, 0.1, ids=ids, queue_ids=stored)
    torch.testing.assert_close(plain["loss"], growing_loss(branches, key, queue, 0.1)["loss"])
    masked = growing_loss(branches, key, queue, 0.1, ids=ids, queue_ids=torch.tensor([0, 1, 9]))
    rows = [
        growing_loss([z[i : i + 1] for z in branches], key[i : i + 1], queue[:, left], 0.1)["loss"]
        for i, left in enumerate(([1, 2], [0, 2]))
    ]
    torch.testing.assert_close(masked["loss"], (rows[0] + rows[1]) / 2)


def test_an_empty_queue_gives_a_loss_of_zero_and_no_nan() -> None:
    branches, key, queue = batch()
    terms = growing_loss(branches, key, queue[:, :0], 0.1, mining=1)
    assert all(term.item() == pytest.approx(0, abs=1e-6) for term in terms.values())


def test_what_does_not_fit_is_refused() -> None:
    branches, key, queue = batch()
    z = branches[0]
    with pytest.raises(InputError, match=r"\(6, 8\), \(6, 4\) and \(8, 20\)"):
        similarity_logits(z, key[:, :4], queue, 0.1)
    with pytest.raises(InputError, match="temperature must be above 0"):
        similarity_logits(z, key, queue, 0.0)
    with pytest.raises(InputError, match="one branch"):
        growing_loss([], key, queue, 0.1)
    with pytest.raises(InputError, match="teacher's temperature"):
        growing_loss(branches, key, queue, 0.1, teacher_temperature=0.0)
    with pytest.raises(InputError, match="at least 1"):
        growing_loss(branches, key, queue, 0.1, mining=0)
    with pytest.raises(InputError, match="must agree"):
        info_nce(key, key[:2] > 0)
    with pytest.raises(InputError, match=r"\(6, 8\).*\(2, 8\)"):
        consistency(key, key[:2])


# AimCLR


def test_the_loss_of_aimclr_by_hand() -> None:
    east, north = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    found = aimclr_loss(east, north, east, key=east, queue=north.t(), temperature=1.0)
    # normal and dropped have logits (1, 0), extreme has (0, 1); p = (e, 1) / (1 + e)
    p, own, other = math.e / (1 + math.e), math.log(1 + 1 / math.e), math.log(1 + math.e)
    wanted = {
        "info_nce": own,
        "consistency_extreme": p * other + (1 - p) * own,
        "consistency_dropped": p * own + (1 - p) * other,
    }
    for name, value in wanted.items():
        assert found[name].item() == pytest.approx(value, rel=1e-6)
    assert found["loss"].item() == pytest.approx(own + (sum(wanted.values()) - own) / 2, rel=1e-6)
    mined = aimclr_loss(east, north, east, key=east, queue=north.t(), temperature=1.0, mining=1)
    assert mined["info_nce"].item() == pytest.approx((own + other) / 2, rel=1e-6)  # the only neighbour joins
    one = torch.tensor([4])
    masked = aimclr_loss(
        east, north, east, key=east, queue=north.t(), temperature=1.0, mining=1, ids=one, queue_ids=one
    )
    assert masked["info_nce"].item() == 0.0  # unless it is the clip itself


def test_the_normal_view_of_aimclr_teaches_and_does_not_learn_from_the_others() -> None:
    branches, key, queue = batch()
    leaves = [key.requires_grad_(), queue.requires_grad_()]
    loss = aimclr_loss(*branches, key, queue, 0.1, mining=1)
    taught = loss["consistency_extreme"] + loss["consistency_dropped"]
    normal, extreme, dropped = torch.autograd.grad(taught, branches, retain_graph=True, allow_unused=True)
    assert normal is None or not normal.any()
    assert extreme.any()
    assert dropped.any()
    given = torch.autograd.grad(loss["loss"], leaves, allow_unused=True)
    assert all(gradient is None for gradient in given)  # neither the key nor the queue


# without negatives

A = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
B = torch.tensor([[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [-1.0, -1.0]])


def test_the_barlow_loss_by_hand() -> None:
    # both columns of B are the first of A: C = ((1, 1), (0, 0)), so 1/2 and 1/2 of two coordinates
    found = barlow_loss(3 * A + 7, B, redundancy=0.1)  # scale and offset are taken out
    assert found["invariance"].item() == pytest.approx(0.5, abs=1e-4)
    assert found["redundancy"].item() == pytest.approx(0.5, abs=1e-4)
    assert found["loss"].item() == pytest.approx(0.55, abs=1e-4)
    assert barlow_loss(A, A)["loss"].item() == pytest.approx(0, abs=1e-6)


def test_the_vicreg_loss_by_hand() -> None:
    # two of eight differences are 2: mean 1; the sd is sqrt(4/3), above 1; B's columns vary together by 4/3, A's do not
    found = vicreg_loss(A, B)
    assert found["invariance"].item() == 1.0
    assert found["variance"].item() == 0.0
    assert found["covariance"].item() == pytest.approx(16 / 9, rel=1e-6)
    assert found["loss"].item() == pytest.approx(25 + 16 / 9, rel=1e-6)
    small = vicreg_loss(A / 2, A / 2)  # sd sqrt(1/3)
    assert small["variance"].item() == pytest.approx(1 - math.sqrt(1 / 3 + 1e-4), rel=1e-6)
    assert small["loss"].item() == pytest.approx(25 * small["variance"].item(), rel=1e-6)


def test_a_collapsed_batch_costs_and_gives_finite_gradients() -> None:
    for loss in (barlow_loss, vicreg_loss):
        z = torch.ones(4, 3, requires_grad=True)
        value = loss(z, z)["loss"]
        value.backward()
        assert value.item() > 0.9
        assert torch.isfinite(z.grad).all()


def test_statistics_stay_in_full_precision_under_autocast() -> None:
    a, b = 100 + torch.randn(64, 8), 100 + torch.randn(64, 8)
    for loss in (barlow_loss, vicreg_loss):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = loss(a, b)["loss"]
        assert mixed.dtype == torch.float32
        assert mixed.item() == loss(a, b)["loss"].item()


@pytest.mark.parametrize("loss", [barlow_loss, vicreg_loss])
@pytest.mark.parametrize("shapes", [((4, 2), (4, 3)), ((1, 2), (1, 2)), ((4,), (4,))])
def test_pairs_at_fault_are_refused(loss: Any, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(InputError, match=r"Two views \(N, D\)"):
        loss(*(torch.ones(shape) for shape in shapes))


# three tasks


def test_the_contrast_of_pairs_by_hand() -> None:
    # each row against three: its partner at cosine 1, two at 0; lengths do not matter
    eye = torch.eye(2)
    assert pair_contrast(2 * eye, 5 * eye, 1.0).item() == pytest.approx(math.log(1 + 2 / math.e), rel=1e-6)
    # partners at cosine 0, one other at 1
    assert pair_contrast(eye, eye.flip(0), 1.0).item() == pytest.approx(math.log(2 + math.e), rel=1e-6)
    assert pair_contrast(torch.ones(4, 3), torch.ones(4, 3), 0.9).item() == pytest.approx(math.log(7), rel=1e-6)


def test_the_three_tasks_of_ms2l_by_hand() -> None:
    eye, error = torch.eye(2), torch.tensor([0.5, 1.5])
    jigsaw, order = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]]), torch.tensor([1, 0])
    found = ms2l_loss([eye, 3 * eye], 1.0, error, jigsaw, order)
    assert found["contrast"].item() == pytest.approx(math.log(1 + 2 / math.e), rel=1e-6)
    assert found["motion"].item() == 1.0
    assert found["jigsaw"].item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, rel=1e-6)
    assert found["loss"].item() == pytest.approx(sum(v.item() for k, v in found.items() if k != "loss"), rel=1e-6)


def test_tasks_at_fault_are_refused() -> None:
    with pytest.raises(InputError, match="At least one version"):
        ms2l_loss([], 1.0, torch.ones(2), torch.ones(2, 2), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(InputError, match=r"Two views \(N, D\)"):
        pair_contrast(torch.ones(2, 3), torch.ones(3, 2), 1.0)
    with pytest.raises(InputError, match="above 0; it is 0"):
        pair_contrast(torch.ones(2, 3), torch.ones(2, 3), 0)
