"""Names of any alphabet in LaTeX: escaped so that pdflatex compiles them, and said where it lacks letters."""

import shutil
import subprocess
from pathlib import Path

import pytest

from hiclr.reporting import latex
from hiclr.reporting.tex import PROVIDE, needs_unicode, tex
from hiclr.workbook import Table

pdflatex = shutil.which("pdflatex")
OWN = "\\{}$&#^_~%[]*`|<>\"'"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("50 % of a_b & c#1", r"50 \% of a\_b \& c\#1"),
        ("\\{}$^~", r"\textbackslash{}\{\}\$\textasciicircum{}\textasciitilde{}"),
        ("é Ñ ế ï", r"\'{e} \~{N} \'{\^{e}} " + r"\"{\i}"),
        ("e\u0301", r"\'{e}"),  # the accent as a letter of its own
        ("3 ± 1 µm · π", r"3 $\pm$ 1 $\mu$m $\cdot$ $\pi$"),
        ("a--b", "a-{}-b"),
        ("[1]", "{[}1{]}"),
        ("Sięga", r"Si\unicodeor{ę}{e}ga"),
        ("ＡＢ", r"\unicodeor{ＡＢ}{AB}"),
        ("走路 a", r"\unicodeor{走路}{{[}U+8D70 U+8DEF{]}} a"),
        ("\x07\ud800", "{[}U+0007 U+D800{]}"),  # nothing to show under any program
        ("}\u0301", r"\}" + "\\unicodeor{\u0301}{{[}U+0301{]}}"),  # a brace takes no accent
    ],
)
def test_what_a_text_becomes(text: str, written: str):
    assert tex(text) == written


def test_letters_that_pdflatex_lacks_are_said():
    plain, chinese = (latex([Table("t", ("", "n"), [[name, "1"]])]) for name in ("é ± µ", "走路"))
    assert PROVIDE not in plain and not needs_unicode(plain) and "xelatex" not in plain
    assert chinese.index("% xelatex and lualatex show") < chinese.index(PROVIDE) < chinese.index("走路")


def test_numbers_stand_on_the_right_and_long_text_breaks():
    rows = [["a", "12.30 (1.0 to 2.0)", "1.50", "x" * 41], ["b", "-", "", "y"]]
    assert r"\begin{tabular}{lrrp{0.35\linewidth}}" in latex([Table("t", ("", "a", "b", "c"), rows)])


@pytest.mark.skipif(pdflatex is None, reason="pdflatex is not installed")
def test_any_name_compiles(tmp_path: Path):
    letters = [*map(chr, range(0x250)), *map(chr, range(0x370, 0x400)), *map(chr, range(0x2000, 0x2070)), *OWN]
    rows = [["x".join(letters[i : i + 16]), "[1] *"] for i in range(0, len(letters), 16)]
    rows += [["走路, تصفيق, Привет, 👨\u200d👩\u200d👧, ạ́", "*"], [OWN, "".join(f"{sign}\u0301" for sign in OWN)]]
    parts = [rows[i : i + 20] for i in range(0, len(rows), 20)]
    made = latex([Table(f"{OWN} 走路 é", ("[", "*"), part) for part in parts])
    (tmp_path / "made.tex").write_text(made, encoding="utf-8")
    (tmp_path / "whole.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs}\begin{document}\listoftables\input{made}\end{document}"
    )
    for _ in range(2):  # the list of tables is read the second time
        done = subprocess.run(
            [str(pdflatex), "-halt-on-error", "-interaction=nonstopmode", "whole"],
            cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "whole.log").read_text(errors="replace")
    assert "Missing character" not in log and (tmp_path / "whole.pdf").stat().st_size > 10_000
