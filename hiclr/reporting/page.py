"""Everything that was measured as one HTML page: tables and pictures inside, no script, nothing from elsewhere."""

import base64
import html
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import hiclr
from hiclr.reporting.results import Evaluated
from hiclr.reporting.tables import confused_table, remarks, tables
from hiclr.workbook import Table

if TYPE_CHECKING:
    from hiclr.figures import Figure

__all__ = ["page"]

# A page that may show pictures it holds and style itself, and nothing else: a name out of a file can run nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_LOOKS = """
body { margin: 24px auto; max-width: 1100px; padding: 0 16px; font: 14px/1.45 system-ui, sans-serif; color: #222;
       background: #fff; }
h1 { font-size: 22px; } h2 { font-size: 18px; margin-top: 2em; border-top: 1px solid #ddd; padding-top: 1em; }
table { border-collapse: collapse; margin: .4em 0 1.6em; display: block; overflow-x: auto; }
td, th { padding: 3px 12px 3px 0; border-bottom: 1px solid #e4e4e4; font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { max-width: 26em; }
img { max-width: 100%; height: auto; display: block; margin: 1em 0; }
li { margin: .25em 0; }
@media print { h2 { break-before: page; } }
"""


def page(evaluated: Sequence[Evaluated], title: str = "Evaluation") -> str:
    """The page as text; whatever comes out of files is escaped.

    Args:
        evaluated: one or more results.
        title: of the page.

    Raises:
        ImportError: matplotlib is not installed.
    """
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(_lead(evaluated))}</p>"]
    several = len(evaluated) > 1
    for one in evaluated:  # before any number
        parts += [_list(f"{said}: {one.result['run']}" if several else said, lines) for said, lines in remarks(one)]
    parts += [table._repr_html_() for table in tables(evaluated)]
    for one in evaluated:
        result = one.result
        parts.append(f"<h2>{html.escape(str(result['run']))}, {html.escape(str(result['protocol']))}</h2>")
        parts += [_picture(figure, words) for words, figure in _figures(one)]
        parts += [table._repr_html_() for table in _more(one) if table.rows]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_LOOKS}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<p>hiclr {html.escape(hiclr.__version__)}</p>\n</body>\n</html>\n"
    )


def _lead(evaluated: Sequence[Evaluated]) -> str:
    words = "Accuracies of frozen features unless a protocol says otherwise; the weights are those of the newest epoch."
    if any(one.result["synthetic"] for one in evaluated):
        words += " Clips are synthetic where a table says so: those numbers say nothing about real people."
    return words


def _list(title: str, lines: Sequence[str]) -> str:
    return f"<b>{html.escape(title)}</b><ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"


def _picture(figure: "Figure", words: str) -> str:
    data = base64.b64encode(figure.png()).decode()
    return f'<img alt="{html.escape(words, quote=True)}" src="data:image/png;base64,{data}">'


def _figures(one: Evaluated) -> Iterator[tuple[str, "Figure"]]:
    """(in words, the picture) of what was measured."""
    from hiclr import figures  # matplotlib is needed for a page alone

    result, synthetic = one.result, bool(one.result["synthetic"])
    if "linear" in result or "knn" in result:
        yield "results beside their floors", figures.evaluation.result_bars(result)
    kept = one.predictions
    if kept is not None and "linear/top1" in kept.classes:
        pair = kept.y, kept.classes["linear/top1"], one.classes
        yield "confusion of classes", figures.evaluation.confusion(*pair, "Linear probe", synthetic=synthetic)
        yield "accuracy of each class", figures.evaluation.per_class(*pair, synthetic=synthetic)
    if "calibration" in result:
        yield "reliability diagram", figures.evaluation.reliability(result["calibration"], synthetic=synthetic)
    if "robustness" in result and result["robustness"]["curves"]:
        curves = {str(result["run"]): result["robustness"]}
        yield "accuracy under damage", figures.robustness.robustness(curves, "Under damage", synthetic=synthetic)
    rows = one.run.metrics()
    if rows:
        yield "course of pretraining", figures.curves.training(rows, "Pretraining", synthetic=synthetic)


def _more(one: Evaluated) -> Iterator[Table]:
    """Tables of one run alone."""
    if one.predictions is not None and "linear/top1" in one.predictions.classes:
        yield confused_table(one)
    found = one.result["statistics"].get("linear", {}).get("top1")
    if found is not None:
        columns = ("", "accuracy, %")
        yield Table("Linear probe, by class", columns, [[k, _two(v)] for k, v in found["per_class"].items()])
        yield Table("Linear probe, by subject", columns, [[k, _two(v)] for k, v in found["per_subject"].items()])
    seconds = one.result.get("seconds", {})
    yield Table("How long it took", ("protocol", "seconds"), [[k, _two(v)] for k, v in seconds.items()])


def _two(value: Any) -> str:
    return f"{value:.2f}"
