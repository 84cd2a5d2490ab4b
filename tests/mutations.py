"""Faulty files made from whole ones: what damage, half downloads and wrong editors do."""

import re

import numpy as np

ODD = b"nan -nan(ind) inf 1e400 -1 0 99999999999999999999 1_0 1,5 { } \xff 0x1p3 %".split()


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """One or two faults: bytes replaced, cut, lines swapped, dropped or doubled, words replaced."""
    for _ in range(rng.integers(1, 3)):
        content = FAULTS[rng.integers(len(FAULTS))](content, rng)
    return content


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for at in rng.integers(0, max(len(changed), 1), size=rng.integers(1, 4)):
        if changed:
            changed[at] = rng.integers(256) if rng.random() < 0.5 else b"0123456789.- "[rng.integers(13)]
    return bytes(changed)


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = sorted(rng.integers(0, len(content) + 1, size=2))
    return content[:start] if rng.random() < 0.5 else content[:start] + content[stop:]


def _lines(content: bytes, rng: np.random.Generator) -> bytes:
    lines = content.split(b"\n")
    one, other = rng.integers(0, len(lines), size=2)
    match rng.integers(3):
        case 0:
            lines[one], lines[other] = lines[other], lines[one]
        case 1:
            del lines[one]
        case _:
            lines.insert(other, lines[one])
    return b"\n".join(lines)


def _word(content: bytes, rng: np.random.Generator) -> bytes:
    words = list(re.finditer(rb"[^\s]+", content))
    if not words:
        return content
    word = words[rng.integers(len(words))]
    return content[: word.start()] + ODD[rng.integers(len(ODD))] + content[word.end() :]


FAULTS = (_flip, _cut, _lines, _word)
