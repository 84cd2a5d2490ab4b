"""Tables for a paper: Markdown and LaTeX."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hiclr.reporting.results import Evaluated
from hiclr.reporting.tables import remarks
from hiclr.reporting.tex import PROVIDE, needs_unicode, tex
from hiclr.workbook import Table

__all__ = ["latex", "markdown"]

_MARKS = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]<>#|~"})
_NUMBER = re.compile(r"[-+]?[\d.,]+( \(.*\)| ± .*)?|-?")
_WIDE = 40  # letters of a cell from which on its column breaks lines

_USE = r"% Tables for a document with \usepackage{booktabs}: \input this file there."
_LACKING = r"""
% pdflatex has no font for some letters of these names: it shows the nearest plain ones, or code points as [U+8D70].
% xelatex and lualatex show the letters themselves, with \usepackage{fontspec} \setmainfont{a font that has them}."""


def _line(text: str) -> str:
    """Text of a stranger's file as one line."""
    return " ".join(str(text).split())


def _cells(row: Sequence[Any]) -> list[str]:
    return [_line(f"{value:.2f}" if isinstance(value, float) else value) for value in row]


def _said(evaluated: Sequence[Evaluated]) -> Iterator[tuple[str, list[str]]]:
    """(title, sentences) of all results, each as one line and under the name of its run."""
    for one in evaluated:
        for title, lines in remarks(one):
            of = f"{title}: {one.result['run']}, {one.result['protocol']}"
            yield _line(of), [_line(line) for line in lines]


def markdown(made: Sequence[Table], evaluated: Sequence[Evaluated] = ()) -> str:
    """Tables as Markdown; what could be read as markup is escaped.

    Args:
        made: the tables.
        evaluated: results whose `remarks` follow them.
    """
    parts = []
    for table in made:
        head, *body = ([c.translate(_MARKS) for c in _cells(row)] for row in (table.columns, *table.rows))
        lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]
        parts.append("\n".join([f"**{_line(table.title).translate(_MARKS)}**", "", *lines]))
    for title, lines in _said(evaluated):
        items = [f"- {line.translate(_MARKS)}" for line in lines]
        parts.append("\n".join([f"**{title.translate(_MARKS)}**", "", *items]))
    return "\n\n".join(parts) + "\n"


def latex(made: Sequence[Table], evaluated: Sequence[Evaluated] = ()) -> str:
    """Tables as LaTeX for the package booktabs, to be compiled by pdflatex, xelatex or lualatex; every sign of TeX's
    own is escaped, and a comment says where pdflatex lacks letters.

    Args:
        made: the tables.
        evaluated: results whose `remarks` follow them.
    """
    parts = [_latex(table) for table in made]
    for title, lines in _said(evaluated):
        items = [f"\\item {tex(line)}" for line in lines]
        parts.append("\n".join([f"\\paragraph{{{tex(title)}}}", r"\begin{itemize}", *items, r"\end{itemize}"]))
    lacking = f"{_LACKING}\n{PROVIDE}" if any(map(needs_unicode, parts)) else ""
    return "\n\n".join([_USE + lacking, *parts]) + "\n"


def _latex(table: Table) -> str:
    cells = [_cells(row) for row in (table.columns, *table.rows)]
    head, *body = (f"{' & '.join(map(tex, row))} \\\\" for row in cells)
    kinds = "".join(map(_column, zip(*cells[1:], strict=True))) if table.rows else "l" * len(table.columns)
    return "\n".join([
        r"\begin{table}", r"\centering", f"\\caption{{{tex(_line(table.title))}}}", f"\\begin{{tabular}}{{{kinds}}}",
        r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ])  # fmt: skip


def _column(cells: Sequence[str]) -> str:
    """How a column stands: numbers on the right, long text in lines of its own."""
    if all(map(_NUMBER.fullmatch, cells)):
        return "r"
    return r"p{0.35\linewidth}" if max(map(len, cells)) > _WIDE else "l"
