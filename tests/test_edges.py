"""What happens inside the networks: edges dropped and added, and the learned value of hidden joints."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from hiclr.augmentations import DropAddEdges, GrowingViews, JointMask, OneOf, Params, Shear, SkeleAdaIN
from hiclr.encoders import DSTA, STGCN, TCN, Inside, change_edges, encode_view, join_inside
from hiclr.encoders.graph import spatial_partition
from hiclr.encoders.persons import SkeletonEncoder
from hiclr.encoders.stgcn import GraphConvolution
from hiclr.errors import InputError
from hiclr.features import extract, features, load_encoder
from hiclr.pretraining import build_model, prepare_run, views_of
from hiclr.pretraining.batch import Batch
from hiclr.pretraining.epoch import Epoch
from hiclr.pretraining.training import Training
from hiclr.runs import load_run
from hiclr.skeleton import BANDAI_21, NTU_25, Layout
from tests.test_pretraining import TINY_STGCN, clips, rows, train, weights

SHAPE = (6, 3, 8, 25, 2)
EDGES = replace(TINY_STGCN, strong=("edges",))
FAST = replace(TINY_STGCN, views="paper", epochs=2, channels=4, frames=8, knn_every=0)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def positions(count: int = 6, layout: Layout = NTU_25) -> Tensor:
    """Random positions; the second person is absent from every other clip."""
    x = torch.randn(count, 3, 8, layout.num_joints, 2, generator=seeded())
    x[::2, ..., 1] = 0
    return x


def drawn(shape: tuple[int, ...] = SHAPE, strength: float = 1.0, op: DropAddEdges | None = None) -> Params:
    op = op or DropAddEdges()
    return op.inside(torch.zeros(1), op.sample(shape, strength, seeded()))


def encoder(kind: type[STGCN] | type[DSTA], layout: Layout = NTU_25) -> SkeletonEncoder:
    torch.manual_seed(0)
    return kind(layout, channels=4, features=6, dropout=0.0).eval()


both = pytest.mark.parametrize("kind", [STGCN, DSTA])

# the draw


def test_a_draw_of_edges_is_of_its_clip_and_strength_moves_nothing_but_its_amount():
    op = DropAddEdges(0.1, 0.05)
    whole, half = op.sample(SHAPE, 1.0, seeded()), op.sample(SHAPE, 0.5, seeded())
    assert all(torch.equal(whole[name], half[name]) for name in ("scores", "drop", "add"))
    assert (whole["amount"].tolist(), half["amount"].tolist()) == ([1.0] * 6, [0.5] * 6)
    assert whole["scores"].shape == (6, 10, 3, 25, 25)
    for name, most in (("drop", 0.1), ("add", 0.05)):
        assert whole[name].shape == (6, 10)
        assert 0 <= float(whole[name].min()) < 0.2 * most
        assert 0.8 * most < float(whole[name].max()) <= most
        assert len(whole[name].unique()) == 60, "one for each clip and layer"
    assert not torch.equal(whole["scores"][0], whole["scores"][1])
    assert not torch.equal(whole["scores"][:, 0], whole["scores"][:, 1])
    shared = DropAddEdges(per_clip=False).sample(SHAPE, 1.0, seeded())
    assert all(torch.equal(value[0], value[5]) and len(value) == 6 for value in shared.values())
    x = positions()
    assert op.apply(x, whole) is x
    for strength in (1.01, -0.1):
        with pytest.raises(InputError, match=r"strength must be in \[0, 1\]"):
            op.sample(SHAPE, strength, seeded())
    for wrong in ({"drop": 1.0}, {"add": -0.1}, {"layers": 0}):
        with pytest.raises(InputError, match="DropAddEdges"):
            DropAddEdges(**wrong)


# the arithmetic


def small_case(amount: float) -> tuple[Tensor, Inside]:
    """Rates .2 and .3. (0, 0) is dropped and .1 / .2 = .5 is above .3; (1, 0) has no edge and .05 / .2 is below."""
    scores = torch.tensor([[0.1, 0.5], [0.05, 0.9]]).view(1, 1, 1, 2, 2)
    inside = {"edges.scores": scores, "edges.drop": torch.tensor([[0.2]]), "edges.add": torch.tensor([[0.3]])}
    return torch.tensor([[[0.5, 0.25], [0.0, 0.25]]]), inside | {"edges.amount": torch.tensor([amount])}


def test_edges_change_as_worked_out_by_hand():
    graph, inside = small_case(1.0)
    # kept .25 / .8 = .3125 twice, sum .625; one edge of weight 1 more: everything times .625 / 1.625
    wanted = torch.tensor([[[[0, 0.3125], [1, 0.3125]]]]) * 0.625 / 1.625
    torch.testing.assert_close(change_edges(graph, inside, 0), wanted)
    # in attention the new edge weighs the mean, .625 / 4, and everything is times 4 / 5
    wanted = torch.tensor([[[[0, 0.3125], [0.625 / 4, 0.3125]]]]) * 0.8
    torch.testing.assert_close(change_edges(graph, inside, 0, signed=True), wanted)
    half = change_edges(graph, small_case(0.5)[1], 0, signed=True)
    torch.testing.assert_close(half, (graph + wanted) / 2)


@pytest.mark.parametrize("signed", [False, True])
def test_adding_keeps_the_sum_and_dropping_keeps_it_on_average(signed: bool):
    graph = torch.rand(3, 25, 25, generator=seeded(1)) - 0.2 if signed else spatial_partition(NTU_25)
    added = change_edges(graph, drawn((64, *SHAPE[1:]), op=DropAddEdges(0.0, 0.5)), 0, signed)
    torch.testing.assert_close(added.sum(dim=(1, 2, 3)), graph.sum().expand(64))
    assert ((added != 0).sum(dim=(1, 2, 3)) > int((graph != 0).sum())).all() or signed  # no room in full attention
    dropped = change_edges(graph, drawn((512, *SHAPE[1:]), op=DropAddEdges(0.5, 0.0)), 3, signed)
    sums = dropped.sum(dim=(1, 2, 3))
    assert float(sums.std()) > 0.01 * float(graph.sum())
    assert float(sums.mean()) == pytest.approx(float(graph.sum()), rel=0.02)
    share = 1 - (dropped != 0).float().sum(dim=(1, 2, 3)) / int((graph != 0).sum())
    assert float(share.mean()) == pytest.approx(0.25, abs=0.03)  # of U(0, 0.5)


def test_what_is_dropped_may_be_added_again_as_anything_that_is_not_there():
    # rates of exactly 1/2: an edge is there if not dropped, or added again: 1/2 + 1/4
    inside = drawn((256, 3, 1, 25, 1)) | {
        "edges.drop": torch.full((256, 10), 0.5),
        "edges.add": torch.full((256, 10), 0.5),
    }
    found = change_edges(torch.rand(3, 25, 25, generator=seeded()) + 0.1, inside, 0, signed=True)
    assert float((found != 0).float().mean()) == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("drop", [0.0, 0.05, 0.5])
def test_places_without_an_edge_get_one_at_the_rate_of_adding_whatever_is_dropped(drop: float):
    graph, add = spatial_partition(NTU_25), 0.05
    inside = drawn((64, *SHAPE[1:])) | {
        "edges.drop": torch.full((64, 10), drop),
        "edges.add": torch.full((64, 10), add),
    }
    added = change_edges(graph, inside, 0)[:, graph == 0] != 0
    assert float(added.float().mean()) == pytest.approx(add, abs=0.004)  # of 115,000 places: 6 standard errors


def test_a_graph_that_lost_everything_stays_finite():
    graph, inside = small_case(1.0)
    gone = inside | {"edges.scores": torch.zeros(1, 1, 1, 2, 2) + 0.15}
    for signed in (False, True):
        assert not change_edges(graph, gone, 0, signed).any()


def test_a_graph_for_each_row_is_that_graph_on_that_row():
    torch.manual_seed(0)
    layer = GraphConvolution(2, 5, 3, 25)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    graphs, x = torch.rand(4, 3, 25, 25), torch.randn(4, 6, 25, 2)
    wanted = torch.cat([layer(x[i : i + 1], graphs[i]) for i in range(4)])
    torch.testing.assert_close(layer(x, graphs), wanted)


# in the encoders


@both
@torch.no_grad()
def test_strength_0_is_the_identity_and_the_way_is_continuous(kind: type[STGCN]):
    network, x = encoder(kind), positions()
    plain = network(x)
    torch.testing.assert_close(network(x, inside=drawn(strength=0)), plain, rtol=1e-5, atol=1e-6)
    weights = network.adjacency if kind is STGCN else network.blocks[0].attend.shared[0]  # type: ignore[union-attr]
    changed = change_edges(weights, drawn(strength=0), 0)
    assert torch.equal(changed, weights.expand_as(changed))
    size = float(plain.abs().max())
    for strength in (0.0, 0.4, 0.9):
        step = network(x, inside=drawn(strength=strength + 1e-3)) - network(x, inside=drawn(strength=strength))
        assert 0 < float(step.abs().max()) < 0.05 * size
    assert float((network(x, inside=drawn()) - plain).abs().max()) > 1e-3 * size


@both
def test_a_clip_has_its_own_edges_in_every_layer_and_all_its_persons_share_them(kind: type[STGCN]):
    network, x, inside = encoder(kind), positions(), drawn()
    found = network(x, inside=inside)
    alone = [network(x[i : i + 1], inside={name: value[i : i + 1] for name, value in inside.items()}) for i in range(6)]
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-4, atol=1e-5)
    each = torch.stack([network(x[1::2, ..., [m]], inside={k: v[1::2] for k, v in inside.items()}) for m in (0, 1)])
    torch.testing.assert_close(found[1::2], each.mean(dim=0), rtol=1e-4, atol=1e-5)
    network.persons = "all"
    torch.testing.assert_close(network(x, inside=inside)[1::2], found[1::2], rtol=1e-4, atol=1e-5)
    for layer in range(network.edge_maps[0]):  # type: ignore[index]
        other = {name: value.clone() for name, value in inside.items()}
        other["edges.scores"][:, layer] = 1 - other["edges.scores"][:, layer]
        assert not torch.allclose(network(x, inside=other)[1::2], found[1::2], atol=1e-6), layer


@both
def test_edges_of_another_layout_and_too_few_layers_are_refused(kind: type[STGCN]):
    network = encoder(kind, BANDAI_21)
    x = positions(layout=BANDAI_21)
    assert network(x, inside=drawn((6, 3, 8, 21, 2))).isfinite().all()
    with pytest.raises(InputError, match=r"10 layers of 3 maps and 25 joints; .* layer 1, 3 maps and 21 joints"):
        network(x, inside=drawn())
    with pytest.raises(InputError, match=r"2 layers of 3 maps and 21 joints; .* layer 3"):
        network(x, inside=drawn((6, 3, 8, 21, 2), op=DropAddEdges(layers=2)))


@both
def test_gradients_pass_through_changed_edges(kind: type[STGCN]):
    network = encoder(kind).train()
    network(positions(), inside=drawn()).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in network.parameters())


def test_an_encoder_without_edges_is_refused_before_training(tmp_path: Path):
    with pytest.raises(InputError, match="TCN has no edges"):
        TCN(NTU_25, channels=4, features=4)(positions(), inside=drawn())
    with pytest.raises(InputError, match=r"drop and add edges \(strong: mask\|edges\), .* tcn has none. Take stgcn"):
        prepare_run(tmp_path / "run", replace(EDGES, encoder="tcn", strong=("mask|edges",)), clips())
    assert not (tmp_path / "run").exists()
    prepare_run(tmp_path / "run", replace(EDGES, encoder="tcn", branches=2), clips())  # the strong set is not drawn


# in views


def test_views_say_what_happens_inside_the_networks():
    mask, edges = JointMask(0.2, learned=True), DropAddEdges()
    views = GrowingViews([[Shear()], [edges], [mask]])
    assert views.within == {"edges", "hidden"}
    assert GrowingViews([[Shear()], [JointMask(), SkeleAdaIN()]]).within == frozenset()
    x = positions()
    made = [views.make_view(i, x, views.draw_view(i, SHAPE, seeded())) for i in range(3)]
    names = {f"edges.{name}" for name in ("scores", "drop", "add", "amount")}
    assert [set(inside) for _, inside in made] == [set(), names, names | {"hidden"}]
    x, inside = made[2]
    hidden = inside["hidden"]
    assert hidden.shape == (6, 8, 25, 2)
    assert hidden[1::2].sum(dim=2).unique().tolist() == [5.0], "a fifth of 25 joints in each frame"
    assert not hidden[::2, ..., 1].any(), "nobody is there"
    assert not x.permute(0, 2, 3, 4, 1)[hidden > 0].any()
    everybody = replace(mask, everybody=True)
    assert everybody.inside(x, mask.sample(SHAPE, 1.0, seeded()))["hidden"][::2, ..., 1].any()
    with pytest.raises(InputError, match="these sets do it 2 times"):
        GrowingViews([[edges], [edges]])
    with pytest.raises(InputError, match="a learned value starts at 0"):
        JointMask(value=0.5, learned=True)


def test_joints_hidden_twice_are_hidden_as_one_after_the_other_hides_them():
    ops = [JointMask(0.5, learned=True), JointMask(0.5, learned=True)]
    views, x = GrowingViews([[], ops], strengths=[1, 0.5]), positions()
    draw = views.draw_view(1, SHAPE, seeded())
    made, inside = views.make_view(1, x, draw)
    there = x[1::2]
    torch.testing.assert_close(made[1::2], there * (1 - inside["hidden"][1::2, None]))


def test_of_several_only_the_chosen_one_acts_inside():
    op, x = OneOf([(DropAddEdges(), JointMask(learned=True)), JointMask(learned=True), SkeleAdaIN()]), positions()
    assert op.within == {"edges", "hidden"}
    seen = set()
    for seed in range(12):
        params = op.sample(SHAPE, 1.0, seeded(seed))
        inside, chosen = op.inside(x, params), int(params["chosen"][0])
        assert bool(inside["edges.amount"].any()) == (chosen == 0)
        assert bool(inside["hidden"].any()) == (chosen < 2)
        hidden = inside["hidden"] > 0
        assert not op.apply(x, params).permute(0, 2, 3, 4, 1)[hidden].any()
        seen.add(chosen)
    assert seen == {0, 1, 2}


def test_views_in_one_pass_carry_zeros_where_nothing_happens_inside():
    one = {"hidden": torch.ones(2, 8, 25, 1)}
    joined = join_inside([{}, one, {"edges.amount": torch.ones(2)} | one])
    assert joined["hidden"].flatten(1).amax(dim=1).tolist() == [0, 0, 1, 1, 1, 1]
    assert joined["edges.amount"].tolist() == [0, 0, 0, 0, 1, 1]
    network, x = encoder(STGCN), positions()
    inside = drawn()
    both_ways = network(torch.cat([x, x]), inside=join_inside([{}, inside]))
    torch.testing.assert_close(both_ways[:6], network(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both_ways[6:], network(x, inside=inside), rtol=1e-4, atol=1e-5)


def test_the_release_drops_no_edge_in_its_graph_network_and_learns_its_mask():
    def strong(**more: Any) -> Any:
        return views_of(replace(TINY_STGCN, views="released", strong=("edges+mask",), **more), NTU_25).sets[2]

    edges, mask = strong()
    assert edges == DropAddEdges(0.0, 0.0, per_clip=False)
    assert mask == JointMask(per_clip=False, everybody=True, learned=True)
    assert strong(encoder="dsta", learn_mask=False) == (
        DropAddEdges(per_clip=False),
        JointMask(per_clip=False, everybody=True),
    )
    network, x = encoder(STGCN), positions()
    torch.testing.assert_close(network(x, inside=drawn(op=edges)), network(x), rtol=1e-5, atol=1e-6)
    learned = views_of(replace(TINY_STGCN, views="paper", learn_mask=True), NTU_25).sets[2]
    assert learned == (JointMask(learned=True),)


class Half:
    """One of two ranks, which hears nothing of the other."""

    size, share = 2, 4

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def own(self, value: Any) -> Any:
        return value[4 * self.rank : 4 * self.rank + 4]

    def agree(self, fault: str) -> None:
        assert not fault

    def gather(self, rows: Tensor) -> Tensor:
        return torch.cat([rows, rows])


@pytest.mark.parametrize("strong", [("edges+mask",), ("adain", "edges")])  # with its own clips, and with all of them
def test_two_ranks_tell_their_networks_what_one_would(strong: tuple[str, ...]):
    config = replace(FAST, encoder="stgcn", strong=strong, branches=2 + len(strong), learn_mask=True)
    training = Training(clips(8), config)
    told: list[dict[str, Tensor]] = []

    def embed(x: Tensor, inside: Inside | None = None) -> Tensor:
        told.append({"x": x, **(inside or {})})
        return x.flatten(1)[:, :2]

    for ranks in (training.ranks, Half(0), Half(1)):
        epoch = Epoch(0, 0, torch.device("cpu"))
        batch = Batch(replace(training.source, ranks=ranks), torch.arange(8), epoch)  # type: ignore[arg-type]
        batch.branches(embed)
    count = config.branches
    for whole, first, second in zip(told[:count], told[count : 2 * count], told[2 * count :], strict=True):
        assert whole.keys() == first.keys() == second.keys()
        for name, value in whole.items():
            torch.testing.assert_close(torch.cat([first[name], second[name]]), value)
    assert "edges.scores" in told[-1]


# the learned value


def test_the_gradient_of_the_mask_value_is_that_of_a_finite_difference():
    config = replace(TINY_STGCN, views="released", projection=6)
    model = build_model(config, NTU_25).double().eval()
    views, x = views_of(config, NTU_25), torch.randn(SHAPE, generator=seeded()).double()
    x, inside = views.make_view(2, x, views.draw_view(2, SHAPE, seeded()))
    inside = {name: value.double() for name, value in inside.items()}
    direction = torch.randn(6, 6, generator=seeded()).double()

    @torch.no_grad()
    def precise(value: float) -> float:  # `project` itself is in single precision
        filled = x + value * inside["hidden"][:, None]
        return float((normalize(model.head(model.encoder(filled)), dim=1) * direction).sum())

    for value in (0.0, 0.3):
        with torch.no_grad():
            model.mask_value.fill_(value)
        model.zero_grad()
        (model(x, inside).double() * direction).sum().backward()
        slope = (precise(value + 1e-6) - precise(value - 1e-6)) / 2e-6
        assert float(model.mask_value.grad) == pytest.approx(slope, rel=1e-4)
        assert abs(slope) > 1e-3


def test_the_mask_value_is_learned_saved_and_used_by_the_features_of_the_masked_view(tmp_path: Path):
    config, data = replace(FAST, views="released", epochs=1, lr=0.05), clips(16)
    run = train(tmp_path / "run", config, data)
    value = float(weights(run)["model"]["mask_value"])
    assert abs(value) > 1e-3
    found, network = features(load_run(run.path), data, ["normal", "strong"]), load_encoder(run.path)
    assert (extract(network, data, config, 1) == found["normal"]).all()
    assert not (extract(network, data, config, 2) == found["strong"]).all()
    assert (extract(network, data, config, 2, mask_value=value) == found["strong"]).all()


def test_the_value_of_a_view_that_only_teaches_has_a_gradient_of_0_for_several_processes_wait_for_it():
    training = Training(clips(8), replace(FAST, views="released", direction="strong_to_weak"))
    epoch = Epoch(0, 0, torch.device("cpu"))
    training.model.train()
    training._step(torch.arange(8), epoch)
    assert float(training.model.mask_value.grad) == 0
    assert all(weight.grad is not None for weight in training.model.learning_parameters())


@pytest.mark.parametrize("change", [{"views": "paper"}, {"views": "released", "branches": 2}])
def test_a_mask_value_that_nobody_uses_is_not_there(change: dict[str, Any]):
    model = build_model(replace(TINY_STGCN, **change), NTU_25)
    assert "mask_value" not in model.state_dict()
    before = len(list(model.learning_parameters()))
    model.learn_mask()
    assert "mask_value" in model.state_dict()
    assert len(list(model.learning_parameters())) == before + 1


def test_a_value_in_hidden_places_is_added_in_the_dtype_of_the_clips():
    x, hidden = positions(), torch.zeros(6, 8, 25, 2)
    hidden[:, 2, 3] = 0.5
    seen = encode_view(torch.nn.Identity(), x, {"hidden": hidden}, 2.0) - x
    assert seen.permute(0, 2, 3, 4, 1).flatten(0, 3).unique(dim=0).tolist() == [[0] * 3, [1] * 3]


# training


@pytest.mark.parametrize(
    ("network", "strong", "more"),
    [
        ("stgcn", ("adain", "edges", "mask"), {"learn_mask": True}),
        ("dsta", ("adain", "edges", "mask"), {"joint_views": True, "views": "released"}),
        ("stgcn", ("edges+adain|mask",), {"learn_mask": True, "order": (2, 0, 1)}),
    ],
)
def test_every_strong_kind_trains_two_epochs(
    network: Any, strong: tuple[str, ...], more: dict[str, Any], tmp_path: Path
):
    config = replace(FAST, encoder=network, strong=strong, branches=2 + len(strong), **more)
    run = train(tmp_path / "run", config, clips(16))
    assert len(rows(run)) == 2
    for row in rows(run):
        assert {f"consistency_{i}" for i in range(1, config.branches)} <= set(row)
        assert all(math.isfinite(value) for value in row.values() if value is not None)
    assert "mask_value" in weights(run)["model"]
