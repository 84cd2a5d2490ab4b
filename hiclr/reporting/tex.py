"""Text of a stranger's file as LaTeX that any of its programs compiles.

pdflatex has fonts for Latin, some signs and Greek in formulas. Of other letters both forms are written,
\\unicodeor{the letters}{what stands for them}: xelatex and lualatex take the first, pdflatex the second.
"""

import re
import unicodedata
from itertools import groupby

__all__ = ["PROVIDE", "needs_unicode", "tex"]

PROVIDE = r"\providecommand{\unicodeor}[2]{\ifdefined\directlua#1\else\ifdefined\XeTeXrevision#1\else#2\fi\fi}"
"""Defines \\unicodeor; to stand before the first text that `needs_unicode`."""

_OWN = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{sign: f"${sign}$" for sign in "<>|"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "`": r"\`{}", "[": "{[}", "]": "{]}", "*": "{*}",  # "[" and "*" after a row's end would belong to it
}  # fmt: skip
_SIGNS = {
    "±": r"$\pm$", "·": r"$\cdot$", "×": r"$\times$", "÷": r"$\div$", "−": "$-$", "≤": r"$\leq$", "≥": r"$\geq$",
    "≠": r"$\neq$", "≈": r"$\approx$", "→": r"$\rightarrow$", "←": r"$\leftarrow$", "↔": r"$\leftrightarrow$",
    "∞": r"$\infty$", "°": r"$^\circ$", "²": "$^2$", "³": "$^3$", "µ": r"$\mu$", "–": r"\textendash{}",
    "—": r"\textemdash{}", "…": r"\dots{}", "‘": "`", "’": "'", "“": "``", "”": "''", "ß": r"\ss{}", "æ": r"\ae{}",
    "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}",
    "£": r"$\mathsterling$", "§": r"$\mathsection$", "¶": r"$\mathparagraph$", "©": "(c)", "¡": r"\textexclamdown{}",
    "¿": r"\textquestiondown{}",
}  # fmt: skip
_GREEK = {  # those that are no letters of Latin too
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta", "θ": "theta", "ι":
    "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "ς": "varsigma", "σ":
    "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta",
    "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_SIGNS |= {letter: f"$\\{name}$" for letter, name in _GREEK.items()}
# combining mark -> the accent that every font of pdflatex has
_ACCENTS = {
    0x300: "`", 0x301: "'", 0x302: "^", 0x303: "~", 0x304: "=", 0x306: "u", 0x307: ".", 0x308: '"', 0x30A: "r",
    0x30B: "H", 0x30C: "v", 0x323: "d", 0x327: "c", 0x331: "b",
}  # fmt: skip
_PLAIN = {"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th"}  # no mark of theirs can be taken off
_LETTER = re.compile("[^\\W_][\u0300-\u036f]*|.", re.DOTALL)


def tex(text: str) -> str:
    """The text with every sign of TeX's own escaped; letters that pdflatex lacks come in both forms."""
    letters = ((letter, _written(letter)) for letter in _LETTER.findall(unicodedata.normalize("NFC", text)))
    parts = []
    for lacking, group in groupby(letters, key=lambda pair: pair[1] is None):
        run = list(group)
        parts.append(_both([letter for letter, _ in run]) if lacking else "".join(str(found) for _, found in run))
    return re.sub("-(?=-)", "-{}", "".join(parts))  # no dash is made of two hyphens


def needs_unicode(written: str) -> bool:
    """Whether LaTeX that `tex` wrote has letters that pdflatex lacks."""
    return r"\unicodeor{" in written


def _written(letter: str) -> str | None:
    """A letter with its accents as pdflatex can have it."""
    if letter in _OWN:
        return _OWN[letter]
    if letter in _SIGNS:
        return _SIGNS[letter]
    if letter.isascii() and letter.isprintable():
        return letter
    base, *marks = list(unicodedata.normalize("NFD", letter))
    if not (base.isascii() and base.isalpha()) or any(ord(mark) not in _ACCENTS for mark in marks) or not marks:
        return None
    found = f"\\{base}" if base in "ij" and not {0x323, 0x327, 0x331} & set(map(ord, marks)) else base
    for mark in marks:
        found = f"\\{_ACCENTS[ord(mark)]}{{{found}}}"
    return found


def _both(letters: list[str]) -> str:
    """Letters that pdflatex lacks: as they are, and what stands for them there."""
    shown = "".join(sign for sign in "".join(letters) if sign.isprintable())  # no half of a pair, nothing invisible
    parts = []
    for named, group in groupby(letters, key=lambda letter: bool(_nearest(letter))):
        run = list(group)
        codes = " ".join(f"U+{ord(sign):04X}" for letter in run for sign in letter)
        parts.append("".join(map(_nearest, run)) if named else f"{{[}}{codes}{{]}}")
    return f"\\unicodeor{{{shown}}}{{{''.join(parts)}}}" if shown else "".join(parts)


def _nearest(letter: str) -> str:
    """ASCII that a reader takes for the letter: without its accents, a wide letter as a common one; or nothing."""
    decomposed = _PLAIN.get(letter[0], unicodedata.normalize("NFKD", letter))
    found = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    return found if found.isascii() and found.isalnum() else ""
