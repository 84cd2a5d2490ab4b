"""Two encoders side by side: which clips they share, which got other neighbours, and that each of them plays."""

import numpy as np
import pytest

pytest.importorskip("anywidget", reason="the notebook packages are not installed")

from matplotlib.text import Text
from test_finetune import TINY, swinging
from test_widgets import some_clips

from hiclr.errors import InputError
from hiclr.features import Features
from hiclr.pretraining import prepare_run, pretrain
from hiclr.widgets import Comparison, comparison


def features_at(names: tuple[str, ...], *degrees: float) -> Features:
    angles = np.deg2rad(degrees)
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return Features({"clean": x}, np.zeros(len(names), int), names)


def compared(monkeypatch: pytest.MonkeyPatch, **more: object) -> Comparison:
    """Clips 0 to 5 of classes a, b, a, b, a, b; the two nearest of each count. Only clip 4 has moved, from 60 to 3."""
    monkeypatch.setattr(comparison, "NEIGHBOURS", 2)
    names = some_clips().names
    first = features_at((*names, "only here"), 0, 61, 2, 62, 60, 63, 30)
    order = [5, 4, 3, 2, 1, 0]
    second = features_at(tuple(names[i] for i in order), *[[0, 61, 2, 62, 3, 63][i] for i in order])
    return Comparison(first, second, some_clips(), ("before", "after"), **more)


def test_clips_are_matched_by_name_and_those_that_changed_are_listed(monkeypatch: pytest.MonkeyPatch):
    shown = compared(monkeypatch)
    # nearest before: 0: 2, 4   1: 3, 4   2: 0, 4   3: 1, 5   4: 1, 3   5: 3, 1     (angles 0, 61, 2, 62, 60, 63)
    # and after:      0: 2, 4   1: 3, 5   2: 4, 0   3: 1, 5   4: 2, 0   5: 3, 1     (clip 4 at 3)
    assert shown.said == (
        "6 clips matched by name; 1 only in the first, 0 only in the second; "
        "from before to after 25% of a clip's 2 nearest clips change"
    )
    assert [(one.clip, one.name, one.note) for one in shown.changed] == [
        (4, some_clips().names[4], "2 of 2 are others; of its class 0 → 2"),
        (1, some_clips().names[1], "1 of 2 are others; of its class 1 → 2"),
    ]
    assert list(shown.changed[0].near["before"]) == [1, 3] and list(shown.changed[0].near["after"]) == [2, 0]
    assert shown.scatter.featured["title"] == "other neighbours in after"
    assert [row[0] for row in shown.scatter.featured["rows"]] == [4, 1]
    assert shown.scatter.titles == ["before", "after"]
    caption = compared(monkeypatch, note="6 of 9 clips").scatter.caption
    assert caption.startswith("before and after, 6 of 9 clips · t-SNE")
    (share,) = [n for n, each in enumerate(shown.scatter.colourings) if each["name"] == "neighbours changed"]
    assert not shown.scatter.colourings[share]["words"]
    assert np.frombuffer(shown.scatter.measures, "<f4")[-6:].tolist() == [0, 0.5, 0, 0, 1, 0]


def test_of_clips_that_changed_as_much_the_wider_surroundings_decide(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(comparison, "NEIGHBOURS", 1)
    monkeypatch.setattr(comparison, "_WIDER", 2)
    names = some_clips().names
    pair = features_at(names, 0, 1, 3, 60, 61, 63), features_at(names, 0, 3, 1, 60, 80, 1.5)
    shown = Comparison(*pair, some_clips())
    # nearest and next before: 0: 1, 2   1: 0, 2   2: 1, 0   3: 4, 5   4: 3, 5   5: 4, 3
    # and after:               0: 2, 5   1: 5, 2   2: 5, 0   3: 4, 1   4: 3, 1   5: 2, 0
    # the nearest of 0, 1, 2 and 5 is another; of the two nearest 0, 1 and 2 keep one, 5 keeps none
    assert [one.clip for one in shown.changed] == [5, 0, 1, 2]


def test_a_line_of_the_list_plays_its_clip_and_rings_neighbours_in_both_maps(monkeypatch: pytest.MonkeyPatch):
    shown = compared(monkeypatch)
    assert shown.picked["index"] == 4  # the first of the list
    shown.scatter.set_state({"picked": {"index": 1, "panel": 0, "n": 5}})  # what a press on a line sends
    assert shown.player.titles == [f"{some_clips().names[1]} · b"]
    assert np.array_equal(shown.player.clips[0], some_clips().x[1])
    near = shown.scatter.near
    assert (near["of"], near["space"]) == (1, "before")
    assert [ids[:2] for ids in near["each"]] == [[3, 4], [3, 5]]
    assert near["each"][0] == [index for index, _ in near["rows"]]


def test_clips_that_cannot_be_played_are_counted_and_none_is_refused(monkeypatch: pytest.MonkeyPatch):
    names = some_clips().names
    pair = features_at(names, *range(6)), features_at(names, *range(6))
    shown = Comparison(*pair, some_clips(4), ("same", "same"))
    assert shown.said.startswith("6 clips matched by name; 2 of them are not among the clips that are played")
    assert shown.scatter.titles == ["same", "same (2)"]
    assert shown.changed == [] and shown.scatter.featured["rows"] == []
    assert "no clip to point out" in [text.get_text() for text in shown.picture().findobj(Text)]
    with pytest.raises(InputError, match="3 clips or more that both know: 2 clips matched by name; 4 only in the"):
        Comparison(pair[0], features_at(names[:2], 0, 1), some_clips())


def test_the_picture_numbers_the_clips_and_reads_nothing_as_mathematics(monkeypatch: pytest.MonkeyPatch):
    link = r"$\href{http://example.org}{x}$"
    shown = compared(monkeypatch, title=link)
    figure = shown.picture()
    figure.png()
    words = [text for text in figure.findobj(Text) if text.get_text()]
    assert [text.get_text() for text in words if text.get_text() in "12"] == ["1", "2", "1", "2"]
    (listed,) = [text.get_text() for text in words if some_clips().names[4] in text.get_text()]
    assert "of its class 0 → 2" in listed
    assert link in figure.get_suptitle()
    assert not any(text.get_parse_math() for text in words)
    assert "Comparison of before and after: 6 clips" in repr(shown)


def test_two_runs_or_one_beside_its_untrained_self(tmp_path):
    train, clips = swinging().split()
    run = prepare_run(tmp_path / "one", TINY, train)
    list(pretrain(train, TINY, run))
    shown = Comparison.of_runs(run, None, clips, "cpu")
    assert shown.scatter.titles == ["one, untrained", "one"]
    assert "18 clips matched by name; " in shown.said and len(shown.changed) > 0
    same = Comparison.of_runs(run, run, clips, "cpu")
    assert same.scatter.titles == ["one", "one (2)"] and same.changed == []
