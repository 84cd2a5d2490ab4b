"""The workbench beyond its sliders: switches, ladders, subjects, numbers, what an encoder says, what is exported."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest
import torch

from hiclr.augmentations import GrowingViews, JointMask, Noise, Rotate, Scale, paper_views, small_views, whole_ladder
from hiclr.datasets import SkeletonSet, synthetic
from hiclr.datasets.preprocessing import Preprocess
from hiclr.errors import InputError
from hiclr.evaluation.branches import Branches, Seen
from hiclr.pretraining import PRESETS, PretrainConfig, prepare_run, preprocess_of, pretrain, views_of
from hiclr.runs import Run
from hiclr.skeleton import LAYOUTS, NTU_25

pytest.importorskip("anywidget", reason="the notebook packages are not installed")

from hiclr.widgets import AugmentationBench, Player, cells
from hiclr.widgets.bench import OWN
from hiclr.widgets.readouts import Readout, plain_table, table

CONFIG = replace(
    PRESETS["small"], epochs=1, least_steps=1, batch_size=8, frames=16, channels=8, features=8, projection=8,
    device="cpu", knn_every=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def clips() -> SkeletonSet:
    return synthetic(subjects=2, cameras=1, frames=16, actions=["clap fast", "kick right", "clap slowly", "kick left"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, clips: SkeletonSet) -> Run:
    run = prepare_run(tmp_path_factory.mktemp("bench") / "run", CONFIG, clips)
    list(pretrain(clips, CONFIG, run))
    return run


def rigid() -> GrowingViews:
    return GrowingViews([[Rotate()], [Scale(0.5)], [Noise(0.05, probability=1.0), JointMask(0.2, per_frame=False)]])


# ---------------------------------------------------------------- choosing


def test_a_switch_takes_one_augmentation_out_and_leaves_the_rest(clips: SkeletonSet):
    bench = AugmentationBench(clips, rigid(), preprocess_of(CONFIG))
    strong, basic = bench.views["strong"].clone(), bench.views["basic"].clone()
    bench.switches["Rotate"].value = False
    assert torch.equal(bench.views["basic"], bench.views["original"])
    assert bench.strengths["Rotate"] == 1.0, "the slider keeps its place"
    assert "switched off" in bench._panel.notes["Rotate"].value
    bench.switches["Rotate"].value = True
    assert torch.equal(bench.views["basic"], basic) and torch.equal(bench.views["strong"], strong)


def test_a_subject_narrows_the_clips(clips: SkeletonSet):
    bench = AugmentationBench(clips, rigid())
    everybody = [index for _, index in bench.clip.options]
    bench.subject.value = int(clips.ids["subject"][everybody[-1]])
    own = [index for _, index in bench.clip.options]
    assert own and set(own) < set(everybody)
    assert set(clips.ids["subject"][own]) == {bench.subject.value}
    assert bench.clip.value == own[0]
    bench.action.value = (bench.action.value + 1) % clips.num_classes
    assert clips.ids["subject"][bench.clip.value] == bench.subject.value == clips.ids["subject"][own[0]]
    assert clips.y[bench.clip.value] == bench.action.value
    nameless = AugmentationBench(replace(clips, ids={}), rigid())
    assert [name for name, _ in nameless.subject.options] == ["any"]


def test_a_ladder_is_chosen_by_name_and_the_given_one_comes_back(clips: SkeletonSet):
    bench = AugmentationBench(clips, rigid())
    assert bench.ladder.value == OWN
    old = bench.sliders["Rotate"]
    bench.ladder.value = "adain"
    assert list(bench.views) == ["original", "basic", "normal", "strong", "strongest"]
    assert bench.player.shape[0] == 5 and bench.player.titles[-1] == "strongest"
    assert old.comm is None, "the old sliders are closed"
    assert not torch.equal(bench.views["strong"], bench.views["normal"]), "SkeleAdaIN has a partner"
    revision = bench.player.revision
    bench.strengths["SkeleAdaIN"] = 0.5
    assert bench.player.revision == revision + 1
    bench.ladder.value = OWN
    assert list(bench.sliders) == ["Rotate", "Scale", "Noise", "JointMask"]
    assert AugmentationBench(clips, paper_views(clips.layout, 2)).ladder.value == "paper"


# ---------------------------------------------------------------- numbers


def test_numbers_are_those_of_the_poses(clips: SkeletonSet):
    bench = AugmentationBench(clips, rigid(), preprocess_of(CONFIG))
    basic, normal, strong = bench.readouts.values()
    assert basic.bones == pytest.approx(0, abs=1e-3) and basic.joints > 1
    factor = float(bench._views[2].draw[1]["factor"])
    assert normal.bones == pytest.approx(100 * abs(factor - 1), rel=1e-3)
    assert normal.speeds == pytest.approx(basic.speeds, abs=0.1)
    assert strong.speeds > normal.speeds + 1, "noise shakes"
    assert (basic.hidden, strong.hidden) == (0, pytest.approx(100 * 5 / 25))
    for stream in ("bone", "motion", "bone-motion"):
        bench.stream.value = stream
        assert bench.readouts["basic"].hidden == 0, "the root's bone and the last frame's motion are zero by right"
        assert bench.readouts["strong"].hidden == pytest.approx(100 * 5 / 25)
    bench.strengths["basic"] = 0.0
    assert bench.readouts["basic"] == Readout(0, 0, 0, 0)
    assert ">0.0</td>" in bench.numbers.value


def test_the_encoder_says_more_the_further_a_view_goes(clips: SkeletonSet, run: Run):
    bench = AugmentationBench(clips, rigid(), run=run)
    assert bench.views["original"].shape[1] == CONFIG.frames, "prepared as the run's clips were"
    for master in bench.masters:
        bench.strengths[master] = 0.0
    for row in bench.readouts.values():
        assert row.seen is not None
        assert (row.seen.cosine, row.seen.drift) == pytest.approx((1, 0), abs=1e-5)
    bench.strengths["normal"] = 1.0
    seen = [row.seen for row in bench.readouts.values()]
    assert seen[1].cosine < seen[0].cosine - 1e-6 and seen[0].cosine == pytest.approx(1, abs=1e-5)
    assert seen[1].drift > 0 and seen[1].label == clips.y[seen[1].nearest]
    assert seen[1].nearest != bench.clip.value
    assert clips.classes[seen[1].label] in bench.numbers.value
    before = seen[2]
    bench.stream.value = "bone"  # what is drawn; the encoder sees the stream it was trained on
    assert bench.readouts["strong"].seen == pytest.approx(before, abs=1e-5)


def test_in_a_loop_the_picture_does_not_wait_for_the_encoder(clips: SkeletonSet, run: Run):
    bench = AugmentationBench(clips, rigid(), run=run)

    async def drag() -> tuple[int, bool, bool]:
        asked: list[int] = []
        healthy = bench._branches.see
        bench._branches.see = lambda *args: (asked.append(1), healthy(*args))[1]  # type: ignore[method-assign]
        for strength in (0.9, 0.8, 0.7):
            bench.strengths["basic"] = strength
        late = bench._readouts[0].seen is None
        await asyncio.sleep(0.3)
        return len(asked), late, bench._readouts[0].seen is not None

    assert asyncio.run(drag()) == (1, True, True)


def test_an_error_of_the_encoder_is_shown_and_the_picture_stays(clips: SkeletonSet, run: Run):
    bench = AugmentationBench(clips, rigid(), run=run)

    def fail(*_: Any) -> Any:
        raise RuntimeError("no <memory>")

    bench._branches.see = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="no <memory>"):
        bench.strengths["basic"] = 0.5
    assert "no &lt;memory&gt;" in bench.message.value
    assert bench.player.revision > 1 and bench.player.positions


def test_a_run_and_clips_must_go_together(clips: SkeletonSet, run: Run):
    with pytest.raises(InputError, match="Leave preprocess out"):
        AugmentationBench(clips, rigid(), Preprocess(frames=9), run=run)
    assert AugmentationBench(clips, rigid(), preprocess_of(CONFIG), run=Branches(run, clips)).readouts["basic"].seen
    msr = LAYOUTS["kinect20-msr"]
    other = SkeletonSet.from_arrays(np.ones((2, 3, 4, msr.num_joints, 1)), [0, 1], layout=msr)
    with pytest.raises(InputError, match="must agree"):
        AugmentationBench(other, rigid(), run=run)


def test_tables_are_text_whatever_names_hold():
    rows = [Readout(1.0, 2.0, 3.0, 4.0)]
    page = table(["<b>"], rows, ["<i>"], 0, "<u>")
    assert "<b>" not in page and "&lt;b&gt;" in page and "<u>" not in page
    plain = plain_table(["basic"], rows, ["a"], 0).splitlines()
    assert len({len(line) for line in plain}) == 1
    assert plain[1].split() == ["basic", "1.0", "2.0", "3.0", "4.0"]


def test_a_method_without_a_queue_has_no_drift():
    seen = Readout(1.0, 2.0, 3.0, 4.0, Seen(0.5, float("nan"), 0, 0))
    assert plain_table(["basic"], [seen], ["a"], 0).splitlines()[1].split() == [
        "basic", "1.0", "2.0", "3.0", "4.0", "0.500", "–", "✓", "a",
    ]  # fmt: skip


def test_a_sweep_is_drawn_in_the_widget_and_given_back(clips: SkeletonSet, run: Run):
    bench = AugmentationBench(clips, rigid(), run=run)
    figure = bench.sweep(count=4, strengths=(0, 1))
    assert set(bench.similarities) == {"basic", "normal", "strong", *bench.sliders}
    assert "data:image/png;base64," in bench._swept.value and "order of the ladder" in bench._swept.value
    assert "4 clips and its 95 % interval" in figure.get_supxlabel()
    with pytest.raises(InputError, match="run's folder"):
        AugmentationBench(clips, rigid()).sweep()


# ---------------------------------------------------------------- what is taken away


def test_code_makes_the_ladder_with_the_sliders_strengths(clips: SkeletonSet):
    bench = AugmentationBench(clips, small_views(clips.layout))
    bench.strengths["basic"] = 0.5
    bench.strengths["Yaw"] = 0.4
    bench.switches["Shear"].value = False
    bench.strengths["strong"] = 0.3
    names: dict[str, Any] = {"LAYOUTS": LAYOUTS}
    exec("from hiclr.augmentations import *", names)  # noqa: S102 - the line that the text area shows
    made = eval(bench.code(), names)  # noqa: S307 - our own text
    assert made.sets == small_views(clips.layout).sets
    assert made.each_strength() == [(0.5, 0.5, 0.5, 0.2, 0.0, 0.5), (1.0,), (0.3,)]
    again = AugmentationBench(clips, made)
    for view, other in zip(again.views.values(), bench.views.values(), strict=True):
        torch.testing.assert_close(view, other)


def test_settings_are_fields_of_a_run_and_say_where_they_do_not_reach(clips: SkeletonSet):
    bench = AugmentationBench(clips, paper_views(clips.layout))
    assert bench.settings() == {"views": "paper", "branches": 3, "stream": "joint"}
    bench.strengths["normal"] = 0.5
    bench.stream.value = "bone"
    made = PretrainConfig.from_dict(bench.settings())
    assert (made.views, made.branches, made.stream, made.strengths) == ("paper", 3, "bone", (1.0, 0.5, 1.0))
    assert bench.flags() == "--views paper --branches 3 --stream bone --strengths 1.0 0.5 1.0"
    for name in ("adain", "small", "released"):
        bench.ladder.value = name
        config = PretrainConfig.from_dict(bench.settings())
        assert views_of(config, clips.layout).sets == whole_ladder(name, clips.layout).sets
    bench.ladder.value = "paper"
    bench.strengths["Rotate"] = 0.5
    with pytest.raises(InputError, match="in normal they differ: take the code"):
        bench.settings()
    with pytest.raises(InputError, match="has no name"):
        AugmentationBench(clips, rigid()).settings()


def test_the_text_areas_are_written_when_they_are_open(clips: SkeletonSet):
    bench = AugmentationBench(clips, paper_views(clips.layout))
    assert bench._code.value == ""
    bench._opened.selected_index = 0
    assert "GrowingViews(" in bench._code.value and '"views": "paper"' in bench._settings.value
    bench.strengths["Rotate"] = 0.25
    assert "0.25" in bench._code.value and "take the code" in bench._settings.value


def test_a_saved_page_says_what_it_shows(clips: SkeletonSet, tmp_path: Path):
    bench = AugmentationBench(clips, rigid())
    text = bench.player.save(tmp_path / "views.html").read_text(encoding="utf-8")
    assert "GrowingViews(" in text and "bones %" in text and "Augmentation workbench" in text


# ---------------------------------------------------------------- what goes when a cell runs again


def test_a_cell_that_runs_thirty_times_keeps_one_workbench(clips: SkeletonSet, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cells, "_shown", {})
    monkeypatch.setattr(cells, "cell_id", lambda: "one")
    monkeypatch.setattr(AugmentationBench, "picture", lambda _: NO_PICTURE)
    live = ipywidgets.widgets.widget._instances
    counts = []
    for _ in range(30):
        bench = AugmentationBench(clips, rigid())
        bench._repr_mimebundle_()
        counts.append(len(live))
    assert counts[1:] == [counts[1]] * 29
    assert bench.player.comm is not None
    slider = bench.sliders["Rotate"]
    bench.free()
    assert slider.comm is None and len(live) < counts[1] - 40


def test_what_another_cell_shows_stays(clips: SkeletonSet, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cells, "_shown", {})
    cell = ["a"]
    monkeypatch.setattr(cells, "cell_id", lambda: cell[0])
    first = Player([np.ones((3, 2, 25, 1), np.float32)], NTU_25)
    first._repr_mimebundle_()
    first._repr_mimebundle_()  # shown again by the same cell
    cell[0] = "b"
    first._repr_mimebundle_()
    cell[0] = "a"
    Player([np.ones((3, 2, 25, 1), np.float32)], NTU_25)._repr_mimebundle_()
    assert first.comm is not None
    cell[0] = "b"
    Player([np.ones((3, 2, 25, 1), np.float32)], NTU_25)._repr_mimebundle_()
    assert first.comm is None


def test_outside_a_notebook_nothing_is_closed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cells, "_shown", {})
    assert cells.cell_id() is None
    cells.occupy(object())
    assert cells._shown == {}


class NoPicture:
    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return b"", {}


NO_PICTURE = NoPicture()
