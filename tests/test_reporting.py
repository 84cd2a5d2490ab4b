"""A report: what is in it, that it needs nothing else, and that no name out of a file is markup."""

import html
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from hiclr.__main__ import main
from hiclr.commands import report
from hiclr.datasets import SkeletonSet, save_set
from hiclr.errors import InputError
from hiclr.evaluation import LONGER, PROTOCOLS, Predictions, evaluate
from hiclr.evaluation.names import figure_name
from hiclr.evaluation.published import expected
from hiclr.figures import evaluation as drawn
from hiclr.pretraining import PRESETS, prepare_run, pretrain
from hiclr.reporting import Evaluated, confused_table, latex, load_evaluated, markdown, page, tables
from hiclr.reporting.tables import SECTIONS
from hiclr.runs import Run, load_run
from hiclr.skeleton import NTU_25
from hiclr.widgets import Confusions
from hiclr.widgets.confusions import cells

TINY = replace(
    PRESETS["small"], epochs=1, batch_size=8, least_steps=1, frames=8, channels=8, features=8, projection=8,
    knn_every=0, device="cpu",
)  # fmt: skip
EVIL = ("<script>alert(1)</script>", "a|b_c$%", "</td>&amp;\\")


def moving() -> SkeletonSet:
    rng = np.random.default_rng(0)
    y = np.arange(36) % 3
    x = rng.normal(0, 0.3, (36, 3, 8, 25, 1)) + y[:, None, None, None, None] * 0.2
    return SkeletonSet.from_arrays(
        x, y, layout=NTU_25, source="<b>mine</b>", classes=EVIL, test=np.arange(36) // 3 % 3 == 2,
        ids={"subject": np.arange(36) // 6},
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("reports")
    train, _ = moving().split()
    made = []
    for seed in (0, 1):
        run = prepare_run(folder / f"seed_{seed}", replace(TINY, seed=seed), train)
        list(pretrain(train, replace(TINY, seed=seed), run))
        evaluate(run, moving(), ["linear", "knn", "calibration"], device="cpu")
        made.append(run)
    return made


@pytest.fixture(scope="module")
def evaluated(runs: list[Run]) -> list[Evaluated]:
    return [one for run in runs for one in load_evaluated(run)]


@pytest.fixture(scope="module")
def whole(evaluated: list[Evaluated]) -> str:
    return page(evaluated[:1], "<i>two</i>")


def test_the_page_holds_its_pictures_and_asks_for_nothing(whole: str):
    pictures = re.findall(r'src="data:image/png;base64,([A-Za-z0-9+/=]+)"', whole)
    assert len(pictures) == 5  # bars, confusion, classes, reliability, pretraining
    assert len(re.findall("<img ", whole)) == len(pictures) == len(re.findall('<img alt="[^"]+"', whole))
    assert not re.search(r"<script|<link|https?://|@import|url\(|javascript:|\son\w+=", whole)
    assert "default-src 'none'" in whole


def test_the_page_says_what_a_reader_must_know(whole: str, evaluated: list[Evaluated]):
    notes = evaluated[0].result["notes"]
    assert notes and all(f"<li>{html.escape(note)}</li>" in whole for note in notes)


def test_no_name_is_markup(whole: str):
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in whole and "&lt;i&gt;two&lt;/i&gt;" in whole
    for text in ("<script>", "<b>mine", "<i>two", "</td>&amp;\\"):
        assert text not in whole


def test_the_tables_hold_the_results_floors_and_what_they_are_of(evaluated: list[Evaluated]):
    made = {table.title.split(":")[0].split(",")[0]: table for table in tables(evaluated)}
    first, second = (one.result for one in evaluated)
    rows = {row[0]: row[1:] for row in made["Probes and neighbours on frozen features"].rows}
    assert [cell.split()[0] for cell in rows["linear, top-1"]] == [
        f"{r['linear']['top1']:.2f}" for r in (first, second)
    ]
    assert rows["linear, top-1"][0].endswith("({:.1f} to {:.1f})".format(*first["intervals"]["linear"]["top1"]))
    assert "linear, top-5" not in rows  # of three classes
    floors = {row[0]: row[1:] for row in made["Floors in %"].rows}
    assert list(floors)[:3] == ["raw 1-NN", "random encoder, linear, top-1", "random encoder, kNN, k = 1"]
    assert floors["raw 1-NN"][0] == f"{first['baseline']['raw_1nn']:.2f}" and floors["chance, uniform"][0] == "33.33"
    what = {row[0]: row[1:] for row in made["What the numbers are of"].rows}
    assert what["fingerprint"] == [first["fingerprint"][:12], second["fingerprint"][:12]]
    assert what["seed"] == ["0", "1"] and what["test clips"] == ["12", "12"] and what["fingerprint"][0]
    both = [first["linear"]["top1"], second["linear"]["top1"]]
    spread = {row[0]: row[1] for row in made["Mean and standard deviation over 2 seeds"].rows}
    assert spread["linear, top-1"] == f"{np.mean(both):.2f} ± {np.std(both, ddof=1):.2f}"
    (test,) = made["Paired test of the linear probe"].rows
    assert float(test[1]) == pytest.approx(both[1] - both[0], abs=0.01)


_BEGINNINGS = tuple(name for _, names in SECTIONS for name in names)


def test_figures_stand_by_kind_with_the_floors_after_the_first(evaluated: list[Evaluated]):
    row = evaluated[0].result["rows"][0]
    kinds = ("linear-mamp", "retrieval", "one-shot", "semi-hiclr", "finetune", "transfer", "calibration", "robustness")
    more = [{**row, "protocol": kind, "measure": "drop noise" if kind == "robustness" else "top1"} for kind in kinds]
    found = {**evaluated[0].result, "rows": [*evaluated[0].result["rows"], *more], "fingerprint": "another"}
    one = replace(evaluated[0], result=found)
    titles = [table.title.split(",")[0].split(":")[0] for table in tables([one])]
    assert titles[:7] == [
        "What the numbers are of", "Probes and neighbours on frozen features", "Floors in %",
        "Retrieval and few examples", "Trained on with labels", "Calibration", "Robustness",
    ]  # fmt: skip
    shown = [r[0] for table in tables([one]) if "whole subjects" not in table.title for r in table.rows]
    assert all(shown.count(figure_name(each["protocol"], each["measure"])) == 1 for each in more)  # none is left out
    assert set(PROTOCOLS) | set(LONGER) == {name for name in (*PROTOCOLS, *LONGER) if name.startswith(_BEGINNINGS)}
    assert "not to be compared" in tables([evaluated[1], one])[0].title
    assert "not to be compared" not in tables(evaluated)[0].title


def test_a_page_says_first_what_must_be_known(evaluated: list[Evaluated]):
    found = {**evaluated[0].result, "notes": ["It is not above its floors."]}
    whole = page([replace(evaluated[0], result=found)])
    assert whole.index("It is not above its floors.") < whole.index("What the numbers are of")
    spread = next(table for table in tables(evaluated) if "whole subjects" in table.title)
    people = len(found["statistics"]["linear"]["top1"]["per_subject"])
    assert spread.title.endswith(
        f"Drawn from {people} people such an interval is too narrow: take the wider of the two."
    )


def test_nothing_that_is_cut_looks_whole(evaluated: list[Evaluated]):
    commit = "0123456789abcdef0123456789abcdef01234567"
    found = {**evaluated[0].result, "environment": {"commit": f"{commit}-dirty"}, "source": "s" * 41}
    what = {row[0]: row[1] for row in tables([replace(evaluated[0], result=found)])[0].rows}
    assert what["commit"] == f"{commit[:12]}-dirty" and what["source"] == "s" * 39 + "…"


def test_what_must_be_known_and_why_it_differs_stand_in_every_form(evaluated: list[Evaluated]):
    notes = ["50 % of <b>a_b</b>\nare new"]
    found = {**evaluated[0].result, "notes": notes}
    found["expected"] = expected(found, evaluated[0].run.config, "ntu60-xsub")
    one = replace(evaluated[0], result=found)
    text, tex = markdown([], [one]), latex([], [one])
    assert "\n- 50 % of \\<b\\>a\\_b\\</b\\> are new\n" in text
    assert "\n\\item 50 \\% of $<$b$>$a\\_b$<$/b$>$ are new\n" in tex
    for said in (text, tex):
        assert "Why ours may differ from published values" in said and "Test peeking" in said


def test_tables_for_a_paper_escape_what_is_theirs(evaluated: list[Evaluated]):
    made = tables(evaluated)
    text = markdown(made)
    assert r"\<b\>mine\</b\>" in text and r"seed\_0" in text
    for block in text.split("\n\n"):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1, "every row has the columns of its head"
    tex = latex(made)
    assert r"seed\_0" in tex and "\\%" in tex and r"$\pm$" in tex and r"$<$b$>$mine" in tex
    assert tex.startswith("% Tables for a document with \\usepackage{booktabs}")
    assert not re.search(r"(?<!\\)[%#_]", tex.split("\n", 1)[1])
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == len(made)


def test_confused_clips_are_named_the_largest_confusion_first(evaluated: list[Evaluated]):
    names, y = tuple(f"c{i}" for i in range(8)), np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([1, 1, 1, 0, 1, 2, 2, 2])
    kept = Predictions(names, y, None, {"linear/top1": predicted}, "")
    table = confused_table(replace(evaluated[0], predictions=kept), most=2)
    assert table.rows == [[EVIL[0], EVIL[1], "3 of 4", "c0, c1, …"], [EVIL[1], EVIL[2], "1 of 2", "c5"]]
    with pytest.raises(InputError, match="'knn/1'"):
        confused_table(replace(evaluated[0], predictions=kept), "knn/1")


def test_a_wrong_clip_lies_in_its_cell_and_apart_from_others():
    true, predicted = np.array([0] * 30 + [2]), np.array([1] * 30 + [0])
    places = cells(true, predicted)
    assert np.abs(places[:30] - (1, 0)).max() < 0.5  # column 1, row 0
    assert places[30].tolist() == [0, -2]
    apart = np.linalg.norm(places[:30, None] - places[None, :30], axis=2) + np.eye(30)
    assert apart.min() > 0.08


def test_clips_that_were_confused_can_be_played():
    clips = moving()
    predicted = clips.y.copy()
    predicted[[4, 7]] = (clips.y[[4, 7]] + 1) % 3
    shown = Confusions(clips, predicted)
    assert shown.scatter.count == 2
    assert shown.scatter.names[0].startswith(clips.names[4]) and "taken for" in shown.scatter.names[0]
    true, taken = ([clips.classes[c] for c in np.unique(of[[4, 7]])] for of in (clips.y, predicted))
    assert (shown.scatter.rows, shown.scatter.columns) == (true, taken)
    pictured = {text.get_text() for text in shown.picture().findobj(Text)}
    assert any(clips.names[4] in text and "taken for" in text for text in pictured)
    with pytest.raises(InputError, match="nothing is confused"):
        Confusions(clips, clips.y)


def test_published_values_keep_to_their_column(evaluated: list[Evaluated]):
    one = evaluated[0]
    found = {**one.result, "expected": expected(one.result, one.run.config, "ntu60-xsub")}
    table = tables([replace(one, result=found)])[-1]
    ours = [row for row in table.rows if row[4]]
    assert table.columns[3:5] == ("published, %", "ours, %")
    assert [row[4] for row in ours] == [f"{one.result[p][k]:.2f}" for p, k in
                                        (("linear", "top1"), ("knn", "1"), ("calibration", "ece"))]  # fmt: skip
    assert all(bool(row[3]) != bool(row[4]) for row in table.rows)
    assert "80.40" in {row[3] for row in table.rows}


def test_the_command_writes_and_says_where(
    runs: list[Run], whole: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(report, "page", lambda *_: whole)  # drawing it once is enough
    files = [tmp_path / "new" / name for name in ("r.html", "r.md", "r.tex")]
    paths = [str(run.path) for run in runs]
    flags = [text for pair in zip(("--out", "--markdown", "--latex"), map(str, files), strict=True) for text in pair]
    assert main(["report", *paths, *flags, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["written"] == [str(file) for file in files] and answer["runs"] == ["seed_0", "seed_1"]
    assert [file.read_text()[:9] for file in files] == ["<!DOCTYPE", "**What th", "% Tables "]
    with pytest.raises(SystemExit, match="2"):
        main(["report", paths[0]])  # nothing to write
    assert main(["report", paths[0], "--out", str(tmp_path)]) == 1
    assert "is a folder" in capsys.readouterr().err


def test_with_data_it_measures_first(runs: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    save_set(moving(), tmp_path / "mine.npz")
    out = tmp_path / "r.md"
    args = ["--data", str(tmp_path / "mine.npz"), "--protocol", "retrieval", "--device", "cpu"]
    assert main(["report", str(runs[1].path), *args, "--markdown", str(out)]) == 0
    assert "retrieval, mAP" in out.read_text() and "retrieval, mAP" in capsys.readouterr().out


def test_nothing_measured_yet_and_torn_files_are_sentences(runs: list[Run], tmp_path: Path):
    empty = prepare_run(tmp_path / "empty", TINY, moving().split()[0])
    with pytest.raises(InputError, match="holds no results"):
        load_evaluated(empty)
    with pytest.raises(InputError, match="no results on 'cross-view'"):
        load_evaluated(runs[0], "cross-view")
    for text, said in (("{", "cannot be read"), ("[]", "older version"), ('{"linear": 1}', "older version")):
        (empty.path / "results.json").write_text(text)
        with pytest.raises(InputError, match=said):
            load_evaluated(load_run(empty.path))


def test_every_run_without_results_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    empty = [prepare_run(tmp_path / name, TINY, moving().split()[0]).path for name in ("first", "second")]
    assert main(["report", *map(str, empty), "--markdown", str(tmp_path / "r.md")]) == 1
    said = capsys.readouterr().err
    assert all(f"{path} holds no results" in said for path in empty)


def test_the_reliability_diagram_draws_each_bin_where_it_is():
    table = {"low": [0.4, 0.8], "high": [0.6, 1], "count": [3, 9], "confidence": [0.5, 0.9], "accuracy": [0.25, 1]}
    found: dict[str, Any] = {"reliability": table, "ece": 13.7, "reliability_after": table, "ece_after": 1.2}
    figure = drawn.reliability(found, synthetic=True)
    assert len(figure.axes) == 2 and "ECE 13.7 %" in figure.axes[0].get_title("left")
    bars = [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in figure.axes[0].patches]
    np.testing.assert_allclose(bars, [(40, 20, 25), (80, 20, 100)])
    assert "synthetic" in figure.get_suptitle()
    with pytest.raises(InputError, match="no reliability diagram"):
        drawn.reliability({})
    assert Image.open(io.BytesIO(figure.png())).width > 500


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (("knn", "5"), "kNN, k = 5"),
        (("linear", "top1"), "linear, top-1"),
        (("linear-mamp", "top5"), "linear, MAMP's SGD, top-5"),
        (("calibration", "aece_after"), "adaptive ECE, part of train, temperature fitted"),
        (("retrieval", "recall@1"), "retrieval, recall@1"),
        (("baseline", "raw_1nn"), "raw 1-NN"),
        (("baseline", "random_knn_20"), "random encoder, kNN, k = 20"),
        (("chance", "uniform"), "chance, uniform"),
    ],
)
def test_rows_have_names_that_can_be_read(row: tuple[str, str], name: str):
    assert figure_name(*row) == name
