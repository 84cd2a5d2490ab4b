"""Encoders: the graph, ST-GCN against a plain double loop, persons, heads, released names."""

import math
import re
import subprocess
import sys
from typing import Any

import pytest
import torch
from released_arithmetic import dsta_weights
from torch import Generator, Tensor, nn

from hiclr.encoders import (
    DSTA,
    RELEASES,
    STGCN,
    TCN,
    Persons,
    SkeletonEncoder,
    attention_drop,
    hops_from,
    linear_head,
    load_released,
    load_weights,
    map_released,
    projection_head,
    released_names,
    spatial_partition,
)
from hiclr.encoders.dsta import JointAttention
from hiclr.encoders.stgcn import Block, GraphConvolution
from hiclr.errors import InputError
from hiclr.skeleton import BANDAI_21, LAYOUTS, NTU_25, Layout

CHAIN = Layout("chain", ("a", "b", "c", "d"), (0, 0, 1, 2), (), centre=0)


def clips(count: int, persons: int = 2, frames: int = 16, layout: Layout = NTU_25, seed: int = 0) -> Tensor:
    generator = Generator().manual_seed(seed)
    return 0.5 * torch.randn(count, 3, frames, layout.num_joints, persons, generator=generator)


def small(layout: Layout = NTU_25, **settings: object) -> STGCN:
    torch.manual_seed(0)
    return STGCN(layout, **{"channels": 4, "features": 12, "dropout": 0.0, **settings}).eval()  # type: ignore[arg-type]


# the graph


def test_hops_count_bones() -> None:
    assert hops_from(CHAIN, 0) == (0, 1, 2, 3)
    assert hops_from(CHAIN, 2) == (2, 1, 0, 1)


def test_a_chain_is_divided_as_worked_out_by_hand() -> None:
    # a-b-c-d with centre a; the mean over a joint and its neighbours has weights 1/2 at the ends, 1/3 inside
    itself, farther, nearer = spatial_partition(CHAIN, reach=None)
    half, third = 1 / 2, 1 / 3
    torch.testing.assert_close(itself, torch.diag(torch.tensor([half, third, third, half])))
    wanted = torch.zeros(4, 4)
    wanted[1, 0], wanted[2, 1], wanted[3, 2] = half, third, third  # from the outer joint to the inner one
    torch.testing.assert_close(farther, wanted)
    wanted = torch.zeros(4, 4)
    wanted[0, 1], wanted[1, 2], wanted[2, 3] = third, third, half
    torch.testing.assert_close(nearer, wanted)


def test_beyond_its_reach_the_released_graph_sees_no_direction() -> None:
    full, released = spatial_partition(CHAIN, reach=None), spatial_partition(CHAIN)
    torch.testing.assert_close(released[2, 1, 2], full[2, 1, 2])  # b is one bone from the centre, c is beyond
    assert released[2, 2, 3] == 0 and released[1, 2, 3] == full[2, 2, 3]  # c and d are both beyond


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
@pytest.mark.parametrize("reach", [1, 2, None])
def test_every_joint_takes_a_mean_over_itself_and_its_neighbours(layout: Layout, reach: int | None) -> None:
    partition = spatial_partition(layout, reach)
    torch.testing.assert_close(partition.sum(dim=(0, 1)), torch.ones(layout.num_joints))
    assert int((partition > 0).sum()) == 3 * layout.num_joints - 2  # V times itself, 2 (V - 1) ends of bones
    assert int(((partition > 0).sum(dim=0) > 1).sum()) == 0  # no edge lies in two groups


# ST-GCN


def test_graph_convolution_equals_its_formula() -> None:
    torch.manual_seed(0)
    layer = GraphConvolution(2, 5, 3, 4)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    adjacency, x = spatial_partition(CHAIN), torch.randn(2, 3, 4, 2)
    wanted = torch.zeros(2, 3, 4, 5)
    for k in range(3):
        for v in range(4):
            for w in range(4):
                weighted = layer.importance[k, v, w] * adjacency[k, v, w]
                wanted[:, :, w] += (weighted * (x[:, :, v] @ layer.weight[k].t() + layer.bias[k])).detach()
    torch.testing.assert_close(layer(x, adjacency), wanted)


@pytest.mark.parametrize(("stride", "frames"), [(1, 10), (2, 5)])
def test_a_block_equals_the_released_order_of_layers(stride: int, frames: int) -> None:
    torch.manual_seed(0)
    block = Block(4, 6, 3, 4, kernel=3, stride=stride).eval()
    x, adjacency = torch.randn(2, 4, 10, 4), spatial_partition(CHAIN)
    mixed = torch.einsum("kov,nvtj->nkotj", block.graph.weight, x) + block.graph.bias[:, :, None, None]
    h = torch.einsum("nkotv,kvw->notw", mixed, adjacency * block.graph.importance)
    h = block.norm_temporal(block.temporal(block.norm_graph(h).relu()))
    assert block.shortcut is not None
    out = block(x.contiguous(memory_format=torch.channels_last), adjacency)
    torch.testing.assert_close(out, (h + block.shortcut(x[:, :, ::stride])).relu())
    assert out.shape == (2, 6, frames, 4)


def test_the_sizes_are_those_of_the_release() -> None:
    encoder = STGCN(NTU_25, channels=16, features=256)
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(
        0.821e6, rel=1e-3
    )  # published: 0.85 M, head in
    assert encoder(clips(2, frames=50)).shape == (2, encoder.features)


def test_the_ten_blocks_have_the_widths_strides_and_shortcuts_of_the_release() -> None:
    encoder = STGCN(NTU_25, channels=4, features=20, dropout=0.3)
    shapes: list[tuple[int, ...]] = []
    for block in encoder.blocks:
        block.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:3])))
    encoder.eval()(clips(1, 1, frames=50))
    assert shapes == [(4, 50)] * 4 + [(8, 25)] * 3 + [(16, 13)] * 2 + [(20, 13)]
    kinds = [type(block.shortcut).__name__ for block in encoder.blocks]
    wanted = {0: "NoneType", 4: "Sequential", 7: "Sequential", 9: "Sequential"}
    assert kinds == [wanted.get(i, "Identity") for i in range(10)]
    assert [block.dropout.p for block in encoder.blocks] == [0.0] + [0.3] * 9


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_any_layout_frames_and_persons(layout: Layout) -> None:
    encoder = small(layout)
    for persons, frames in ((1, 8), (3, 11)):
        assert encoder(clips(2, persons, frames, layout)).shape == (2, 12)


def test_clips_do_not_mix_in_evaluation_mode() -> None:
    encoder, x = small(), clips(5)
    torch.testing.assert_close(encoder(x)[2:3], encoder(x[2:3]))


@pytest.mark.parametrize("persons", ["present", "all"])
def test_gradients_reach_every_parameter(persons: str) -> None:
    encoder = small(persons=persons).train()
    encoder(clips(4)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in encoder.parameters())


def test_default_weights_keep_the_features_and_released_ones_lose_them() -> None:
    x = clips(16, persons=1)
    torch.manual_seed(0)
    spread = STGCN(NTU_25, features=64).eval()(x).std(dim=0).mean()
    lost = STGCN(NTU_25, features=64, init="released").eval()(x).std(dim=0).mean()
    assert 0.01 < spread < 100
    assert lost < 1e-4


def test_a_short_mixed_precision_run_stays_near_full_precision() -> None:
    encoder, x = small(channels=16, features=64), clips(4)
    with torch.autocast("cpu", torch.bfloat16):
        near = encoder(x).float()
    full = encoder(x)
    assert (near - full).abs().max() < 0.05 * full.abs().max()


# persons


def test_absent_persons_cost_nothing_and_change_nothing() -> None:
    encoder, x = small(), clips(6)
    x[:4, ..., 1] = 0
    rows: list[int] = []
    encoder.blocks[0].register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    features = encoder(x)
    assert rows == [4 + 2 * 2]
    torch.testing.assert_close(features[:4], encoder(x[:4, ..., :1]))
    each = torch.stack([encoder(x[4:, ..., [m]]) for m in (0, 1)])
    torch.testing.assert_close(features[4:], each.mean(dim=0))


def test_a_person_counts_wherever_it_is_stored() -> None:
    encoder, x = small(), clips(3)
    x[..., 0] = 0
    torch.testing.assert_close(encoder(x), encoder(x.flip(-1)))


def test_the_released_mean_takes_absent_persons_in() -> None:
    encoder, x = small(persons="all"), clips(2)
    x[..., 1] = 0
    nobody = encoder(torch.zeros_like(x[..., :1]))
    torch.testing.assert_close(encoder(x), (encoder(x[..., :1]) + nobody) / 2)


def test_a_clip_without_anybody_has_the_features_of_zeros() -> None:
    encoder, x = small(), clips(3)
    x[1] = 0
    features = encoder(x)
    assert features.isfinite().all()
    torch.testing.assert_close(features[1:2], encoder(torch.zeros_like(x[:1, ..., :1])))


# refusals, heads, weights


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kernel": 8}, "odd"),
        ({"features": 0}, "at least 1"),
        ({"dropout": 1.0}, "dropout"),
        ({"persons": "some"}, "present, all"),
        ({"init": "zero"}, "default, released"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        small(**settings)


def test_clips_of_another_layout_are_refused_by_shape() -> None:
    with pytest.raises(InputError, match=r"25, M.*ntu25.*\(2, 3, 16, 21, 2\)"):
        small()(clips(2, layout=BANDAI_21))


def test_heads_have_the_widths_and_layers_asked_for() -> None:
    assert projection_head(6, 5, 4)(torch.zeros(3, 6)).shape == (3, 4)
    assert [type(layer).__name__ for layer in projection_head(6, 5, 4, norm=True)] == [
        "Linear",
        "BatchNorm1d",
        "ReLU",
        "Linear",
    ]
    assert linear_head(6, 2)(torch.zeros(3, 6)).shape == (3, 2)
    with pytest.raises(InputError, match="hidden"):
        projection_head(6, 0, 4)


def released_state(mlp: bool = False) -> dict[str, Tensor]:
    """A state dict under the release's names, from one of ours; written out again, independently of the reader."""
    torch.manual_seed(1)
    encoder = STGCN(NTU_25, channels=2, features=9)
    head = projection_head(9, 9, 7) if mlp else linear_head(9, 7)
    state = {"A": encoder.adjacency}
    state |= {f"data_bn.{k}": v for k, v in encoder.norm.state_dict().items()}
    for i, block in enumerate(encoder.blocks):
        theirs = f"st_gcn_networks.{i}"
        parts = {"tcn.0": block.norm_graph, "tcn.2": block.temporal, "tcn.3": block.norm_temporal}
        parts |= {} if block.shortcut is None else {"residual": block.shortcut}
        state |= {f"{theirs}.{name}.{k}": v for name, part in parts.items() for k, v in part.state_dict().items()}
        state[f"{theirs}.gcn.conv.weight"] = block.graph.weight.flatten(0, 1)[:, :, None, None].detach()
        state[f"{theirs}.gcn.conv.bias"] = block.graph.bias.flatten().detach()
        state[f"edge_importance{i + 1}"] = block.graph.importance.detach()
    layers = {"fc.0": head[0], "fc.2": head[2]} if mlp else {"fc": head[0]}
    state |= {f"{name}.{k}": v for name, layer in layers.items() for k, v in layer.state_dict().items()}
    for name, value in state.items():
        if name != "A" and value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5)
    return {name: value.clone() for name, value in state.items()}


@pytest.mark.parametrize("mlp", [False, True])
def test_released_weights_arrive_entry_by_entry(mlp: bool) -> None:
    state = released_state(mlp)
    encoder, head = load_released(state)
    assert encoder.persons == "all" and not encoder.training and not head.training
    edges = encoder.blocks[9].graph.importance
    torch.testing.assert_close(edges.detach(), state["edge_importance10"])
    weight = state["st_gcn_networks.4.gcn.conv.weight"]
    torch.testing.assert_close(encoder.blocks[4].graph.weight[1].detach(), weight[4:8, :, 0, 0])
    assert head(encoder(clips(2))).shape == (2, 7)
    assert len(head) == (3 if mlp else 1)


def test_prefixes_of_wrappers_and_of_whole_checkpoints_are_accepted() -> None:
    state = released_state()
    wanted = released_names(state)
    whole = {f"encoder_q.{k}": v for k, v in state.items()} | {f"encoder_k.{k}": v for k, v in state.items()}
    whole |= {"queue": torch.zeros(7, 8), "queue_ptr": torch.zeros(1), "mask_param": torch.zeros(1)}
    for wrapped in ({f"module.{k}": v for k, v in state.items()}, whole, {f"module.{k}": v for k, v in whole.items()}):
        assert released_names(wrapped).keys() == wanted.keys()


def peers_state(prefix: str, add: float = 0.0, nested: bool = False) -> dict[str, Tensor]:
    """The names of AimCLR, SkeletonCLR and CrosSCLR: edges in a list from 0; `nested`: a head that ends in a head."""
    state = {re.sub(r"importance(\d+)", lambda n: f"importance.{int(n[1]) - 1}", name): value
             for name, value in released_state(mlp=True).items()}  # fmt: skip
    if nested:
        parts = [f"{index}.{part}" for index in (0, 2) for part in ("weight", "bias")]
        state |= {f"fc.2.{part}": state[f"fc.{part}"] for part in parts}
        del state["fc.2.weight"], state["fc.2.bias"]
    return {f"{prefix}.{name}": value + add if name == "data_bn.bias" else value for name, value in state.items()}


def test_weights_of_aimclr_and_skeletonclr_arrive_as_those_of_hiclr() -> None:
    state = peers_state("encoder_q")
    whole = state | peers_state("encoder_k") | {"queue": torch.zeros(7, 8), "queue_ptr": torch.zeros(1)}
    found = map_released(whole)
    assert RELEASES[found.release].title == "AimCLR or SkeletonCLR" and found.stream is None
    assert set(found.names) == set(state) and set(found.names) | set(found.left) == set(whole)
    assert found.names["encoder_q.edge_importance.9"] == "encoder.blocks.9.graph.importance"
    assert found.left["queue"] == "queue of keys"
    assert f"{len(state)} entries taken, {len(whole) - len(state)} left" in found.text()
    assert "encoder_q.A -> encoder.adjacency\n" in found.text()
    (encoder, head), (same, _) = load_released(whole), load_released(released_state(mlp=True))
    torch.testing.assert_close(encoder(clips(2)), same(clips(2)))
    assert len(head) == 3


def test_each_stream_of_crossclr_is_one_encoder_of_the_file() -> None:
    whole = peers_state("encoder_q") | peers_state("encoder_q_motion", 1, nested=True)
    whole |= peers_state("encoder_q_bone", 2, nested=True) | peers_state("encoder_k_bone", 3, nested=True)
    whole |= {f"queue{stream}": torch.zeros(7, 8) for stream in ("", "_motion", "_ptr_motion", "_bone", "_ptr_bone")}
    for stream, name, add, layers in ((None, "joint", 0, 3), ("joint-motion", "motion", 1, 5), ("bone", "bone", 2, 5)):
        found = map_released(whole, stream)  # type: ignore[arg-type]
        assert (found.release, found.stream) == ("crossclr", name)
        encoder, head = load_released(whole, stream=stream)  # type: ignore[arg-type]
        torch.testing.assert_close(encoder.norm.bias.detach(), whole["encoder_q.data_bn.bias"] + add)
        assert head(encoder(clips(2))).shape == (2, 7) and len(head) == layers
    two = {name: value for name, value in whole.items() if not name.startswith("encoder_q_bone")}
    with pytest.raises(InputError, match="no bone stream; they hold joint, motion"):
        map_released(two, "bone")
    with pytest.raises(InputError, match=r"1 of \d+ names are unknown \(encoder_q_other\.A\)"):
        map_released(whole | {"encoder_q_other.A": torch.zeros(1)})


def test_two_names_of_one_thing_are_refused() -> None:
    state = released_state()
    with pytest.raises(InputError, match=r"1 of \d+ names are unknown \(edge_importance\.3\)"):
        map_released(state | {"edge_importance.3": state["edge_importance4"]})


def test_a_renamed_prefix_is_refused_with_counts_and_examples() -> None:
    state = {f"backbone.{k}": v for k, v in released_state().items()}
    with pytest.raises(InputError, match=rf"{len(state)} of {len(state)} names are unknown \(backbone\.A, "):
        load_released(state)


def test_missing_and_misshapen_entries_are_refused_with_counts_and_examples() -> None:
    state = released_state()
    del state["st_gcn_networks.3.tcn.2.bias"], state["data_bn.weight"]
    state["edge_importance2"] = torch.ones(3, 20, 20)
    with pytest.raises(InputError) as refusal:
        load_released(state)
    text = str(refusal.value)
    assert "2 missing" in text and "encoder.norm.weight" in text and "encoder.blocks.3.temporal.bias" in text
    assert re.search(r"1 of another shape \(.*\(3, 25, 25\), got \(3, 20, 20\)", text)
    with pytest.raises(InputError, match="incomplete"):
        load_released({"A": state["A"]})


def test_weights_for_another_graph_are_refused() -> None:
    state = released_state()
    state["A"][0, 0, 0] = 0.9
    with pytest.raises(InputError, match="another graph"):
        load_released(state)


def test_own_weights_load_all_or_nothing() -> None:
    source, target = small(), small(channels=5)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    with pytest.raises(InputError, match="of another shape"):
        load_weights(target, source.state_dict())
    with pytest.raises(InputError, match=r"0 of \d+ entries match; \d+ missing \(.*\); \d+ unknown \(wrong\."):
        load_weights(target, {f"wrong.{k}": v for k, v in before.items()})
    assert all(torch.equal(v, before[k]) for k, v in target.state_dict().items())
    torch.manual_seed(5)
    again = STGCN(NTU_25, 4, 12)
    load_weights(again, {f"module.{k}": v for k, v in source.state_dict().items()})
    torch.testing.assert_close(again.eval()(clips(2)), source(clips(2)))


# TCN


@pytest.mark.parametrize("network", [TCN, DSTA])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_every_layout_length_and_number_of_persons_is_taken(layout: Layout, network: type[TCN | DSTA]) -> None:
    encoder = network(layout, channels=8, features=12).eval()
    for persons, frames in ((1, 16), (2, 7), (1, 1)):
        features = encoder(clips(3, persons, frames, layout))
        assert features.shape == (3, encoder.features)
        assert bool(torch.isfinite(features).all())
    with pytest.raises(InputError, match=r"wants clips \(N, 3, T"):
        encoder(clips(3, layout=layout)[:, :, :, 1:])


def test_the_tcn_sees_positions_and_velocities_by_hand() -> None:
    """One joint-coordinate through unit weights: batch norm, four convolutions and the mean leave a sum."""
    torch.manual_seed(0)
    encoder = TCN(CHAIN, channels=1, features=1, kernel=1).eval()
    with torch.no_grad():
        for layer in encoder.layers:
            if isinstance(layer, nn.Conv1d):
                layer.weight.fill_(1)
            if isinstance(layer, nn.BatchNorm1d):
                layer.eps = 0.0
    encoder.norm.eps = 0.0
    x = torch.zeros(1, 3, 5, 4, 1)
    x[0, 0, :, 0, 0] = torch.tensor([1.0, 2, 4, 7, 11])
    # position plus velocity: 2 4 7 11 11; every second frame, then every second again: 2, 11
    assert encoder(x).item() == pytest.approx(6.5)
    x[0, 0, 3:, 0, 0] = 0  # absent from the fourth frame on: no velocity into nowhere
    assert encoder(x).item() == pytest.approx(1)  # 2 4 4 0 0 -> 2, 0


def test_an_absent_second_person_changes_nothing_for_the_tcn() -> None:
    x, encoder = clips(4, persons=1), TCN(NTU_25, channels=8, features=12).eval()
    two = torch.cat([x, torch.zeros_like(x)], dim=4)
    torch.testing.assert_close(encoder(two), encoder(x))
    torch.testing.assert_close(TCN(NTU_25, 8, 12, persons="all").eval()(two).shape, encoder(x).shape)


def test_tcn_settings_at_fault_are_sentences() -> None:
    for bad in ({"channels": 0}, {"kernel": 4}, {"persons": "some"}):
        with pytest.raises(InputError):
            TCN(NTU_25, **bad)  # type: ignore[arg-type]


# DSTA


def test_the_dsta_has_the_published_number_of_weights() -> None:
    encoder, classifier = DSTA(NTU_25), linear_head(256, 60)
    count = sum(value.numel() for part in (encoder, classifier) for value in part.parameters())
    assert round(count / 1e6, 2) == 1.56


def test_joint_attention_by_hand() -> None:
    """One channel, two joints, one map: shared + scale tanh(q k), columns gather."""
    attend = JointAttention(channels=1, width=1, maps=1, joints=2)
    with torch.no_grad():
        attend.compare.weight.copy_(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1))  # q = x', k = 2 x'
        attend.compare.bias.zero_()
        attend.shared.copy_(torch.tensor([[0.5, 0.0], [0.25, 1.0]]).view(1, 1, 2, 2))
        attend.scale.fill_(3)
    x = torch.tensor([0.1, 0.2]).view(1, 1, 1, 2)
    seen = torch.tensor([0.1, 0.2 + math.sin(1)])  # the joint's number as a sine in channel 0
    wanted = attend.shared[0, 0] + 3 * torch.tanh(seen[:, None] * 2 * seen)
    torch.testing.assert_close(attend.attention(x)[0, 0], wanted)
    torch.testing.assert_close(attend(x).flatten(), torch.tensor([0.1, 0.2]) @ wanted)


def test_an_absent_second_person_changes_nothing_for_the_dsta() -> None:
    x, encoder = clips(4, persons=1), DSTA(NTU_25, channels=4, features=12).eval()
    torch.testing.assert_close(encoder(torch.cat([x, torch.zeros_like(x)], dim=4)), encoder(x))


def test_every_weight_of_the_dsta_takes_part() -> None:
    torch.manual_seed(0)
    encoder = DSTA(NTU_25, channels=4, features=12)
    encoder(clips(4)).square().sum().backward()
    silent = [name for name, p in encoder.named_parameters() if p.grad is None or not bool(p.grad.ne(0).any())]
    # a bias before a batch norm is taken away by it again
    assert [name for name in silent if not name.endswith(".0.bias")] == []


def test_released_transformer_weights_arrive_with_their_sizes() -> None:
    torch.manual_seed(0)
    state = dsta_weights(channels=4, features=7, outputs=5, maps=2)
    constants = {"graph_layers.0.atts": torch.zeros(1, 2, 25, 25), "graph_layers.0.pes.pe": torch.zeros(1, 4, 50, 25)}
    encoder, head = load_released({f"module.encoder_q.{k}": v for k, v in (state | constants).items()})
    assert isinstance(encoder, DSTA) and encoder.features == 7 and encoder.blocks[0].attend.maps == 2
    torch.testing.assert_close(
        encoder.blocks[4].around_feed[0].weight.detach(), state["graph_layers.4.downs2.0.weight"]
    )
    assert head(encoder(clips(2))).shape == (2, 5)
    del state["graph_layers.3.alphas"]
    with pytest.raises(InputError, match=r"1 missing \(encoder\.blocks\.3\.attend\.scale\)"):
        load_released(state)
    with pytest.raises(InputError, match=r"no weights of the released Transformer: 1 of"):
        load_released(state | {"graph_layers.3.beta": torch.zeros(1)})


def test_dsta_settings_at_fault_are_sentences() -> None:
    for bad in ({"channels": 3}, {"maps": 0}, {"kernel": 4}, {"persons": "some"}):
        with pytest.raises(InputError):
            DSTA(NTU_25, **bad)  # type: ignore[arg-type]


def test_strided_shortcuts_do_not_corrupt_memory() -> None:
    """Three threads and 8 channels: a strided 1x1 convolution wrote past its memory here, and the process died."""
    script = (
        "import torch\nfrom hiclr.encoders import STGCN\nfrom hiclr.skeleton import NTU_25\n"
        "torch.set_num_threads(3)\nnet = STGCN(NTU_25, channels=8, features=8)\n"
        "for _ in range(20):\n    net(torch.randn(8, 3, 16, 25, 1)).sum().backward()\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(("kind", "persons"), [(STGCN, "present"), (DSTA, "present"), (TCN, "present"), (TCN, "all")])
def test_an_exported_encoder_gives_the_same_features_for_any_number_of_clips(kind: Any, persons: Persons) -> None:
    torch.manual_seed(0)
    encoder = kind(NTU_25, channels=4, features=128 if kind is STGCN else 8, persons=persons).eval()
    x = clips(5, persons=2)
    x[1, ..., 1] = 0  # one person
    x[2] = 0  # nobody
    program = torch.export.export(encoder, (x[:3],), dynamic_shapes={"x": {0: torch.export.Dim("clips")}}).module()
    with torch.no_grad():
        for some in (x, x[:3], x[1:2]):
            torch.testing.assert_close(program(some), encoder(some), rtol=1e-4, atol=1e-5)


# maps


@pytest.mark.parametrize("network", [STGCN, DSTA, TCN])
def test_the_features_are_the_mean_of_the_map(network: type[STGCN | DSTA | TCN]) -> None:
    torch.manual_seed(0)
    encoder, x = network(NTU_25, channels=4, features=12).eval(), clips(3)
    x[0, ..., 1] = 0
    joints = 1 if network is TCN else 25
    assert encoder.has_map
    assert encoder.feature_map(torch.randn(2, 18, 25, 3)).shape == (2, 12, 5, joints)
    largest = encoder(x, lambda rows: encoder.feature_map(rows).amax(dim=(2, 3)))
    alone = encoder(x[..., :1], lambda rows: encoder.feature_map(rows).amax(dim=(2, 3)))
    torch.testing.assert_close(largest[0], alone[0])  # persons are met one by one, absent ones not at all
    torch.testing.assert_close(encoder(x), encoder(x, lambda rows: encoder.feature_map(rows).mean(dim=(2, 3))))


def test_an_encoder_without_a_map_says_so() -> None:
    class Mean(SkeletonEncoder):
        def encode(self, rows: Tensor) -> Tensor:
            return rows.mean(dim=(1, 2))

    encoder, x = Mean(NTU_25, 3, "present"), clips(2, persons=1)
    assert not encoder.has_map
    torch.testing.assert_close(encoder(x), x.mean(dim=(2, 3, 4)))


# a drop of what stands out


def test_the_drop_by_hand() -> None:
    # mean 2, squares 1 1 1 9, variance 12 / 3 = 4: sigmoid(1/16 + 1/2) = 0.637 three times, sigmoid(9/16 + 1/2) = 0.743
    h = torch.tensor([[1.0, 1.0], [1.0, 5.0]]).view(1, 1, 2, 2)
    third = 4 / 3
    torch.testing.assert_close(attention_drop(h, 0.7)[0, 0], torch.tensor([[third, third], [third, 0.0]]))
    # the second joint's mean is 0.690: at 0.68 it goes, and what is left is doubled; then the value itself goes
    torch.testing.assert_close(attention_drop(h, 0.68)[0, 0], torch.tensor([[2 * third, 0.0], [2 * third, 0.0]]))
    assert torch.equal(attention_drop(h, 1.0), h)
    assert not attention_drop(h, 0.6).any()
    twice = attention_drop(h, 0.7, lambda counts: counts + torch.tensor([4, 4]))  # another process dropped nothing
    torch.testing.assert_close(twice[0, 0], torch.tensor([[8 / 7, 8 / 7], [8 / 7, 0.0]]))


def test_the_drop_gives_a_gradient_to_what_is_left_alone() -> None:
    h = torch.randn(3, 4, 5, 6, generator=Generator().manual_seed(0)).requires_grad_()
    left = attention_drop(h)
    left.sum().backward()
    assert 0 < (left == 0).float().mean() < 0.9
    assert torch.equal(h.grad == 0, left == 0)
    over_time = torch.randn(3, 4, 5, 1, generator=Generator().manual_seed(0))
    assert 0 < (attention_drop(over_time) == 0).float().mean() < 0.5  # a map without joints loses single values
