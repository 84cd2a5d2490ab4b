"""Faulty files made from whole ones: what damage, half downloads, wrong editors and hostile authors do."""

import io
import pickletools
import re
import struct
import warnings
import zipfile
from pathlib import PurePosixPath

import numpy as np

ODD = b"nan -nan(ind) inf 1e400 -1 0 99999999999999999999 1_0 1,5 { } \xff 0x1p3 %".split()
ODD_NUMBERS = b"-1 0 1 2 255 256 65535 2147483647 4294967296 9223372036854775808 1e38 3e38 1e-46 nan -inf 0.5".split()
ODD_NAMES = ("../x.npy", "/x.npy", "..\\x.npy", "", "a/../../b.txt", "\udcff.txt", "<img src=x>.txt", "n" * 200, "x\ny",
             "x.npy", "S001C001P001R001A001.skeleton", "con", ".", "meta.json")  # fmt: skip
ODD_SIZES = (0, 1, 2, 3, 255, 2**16 - 1, 2**31 - 1, 2**32 - 1)
_LARGEST = 2**18  # bytes that repeating may make


def mutate(content: bytes, rng: np.random.Generator, name: str = "") -> bytes:
    """One or two faults: bytes replaced, cut, lines swapped, dropped or doubled, words replaced.

    Args:
        content: of a whole file.
        rng: the same one gives the same faults.
        name: of the file; what it is by its ending gets faults in its structure too, which still opens it.
    """
    own = STRUCTURED.get(PurePosixPath(name).suffix)
    for _ in range(rng.integers(1, 3)):
        made = own(content, rng) if own is not None and rng.random() < 0.6 else None
        content = FAULTS[rng.integers(len(FAULTS))](content, rng) if made is None else made
    return content


# ---- any file --------------------------------------------------------------------------------------------------------


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
    return _replace(rb"[^\s]+", ODD, content, rng)


def _number(content: bytes, rng: np.random.Generator) -> bytes:
    return _replace(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", ODD_NUMBERS, content, rng)


def _replace(pattern: bytes, odd: list[bytes], content: bytes, rng: np.random.Generator) -> bytes:
    words = list(re.finditer(pattern, content))
    if not words:
        return content
    word = words[rng.integers(len(words))]
    return content[: word.start()] + odd[rng.integers(len(odd))] + content[word.end() :]


def _repeat(content: bytes, rng: np.random.Generator) -> bytes:
    """A stretch of it many times over."""
    start, stop = sorted(rng.integers(0, len(content) + 1, size=2))
    if rng.random() < 0.7:  # whole lines
        start, stop = content.rfind(b"\n", 0, start) + 1, content.find(b"\n", stop) + 1 or len(content)
    part = content[start:stop]
    times = min(int(2 ** rng.integers(1, 14)), _LARGEST // max(len(part), 1))
    return content[:stop] + part * times + content[stop:]


FAULTS = (_flip, _cut, _lines, _word, _number, _repeat)


# ---- npy -------------------------------------------------------------------------------------------------------------

_TYPES = ("<f4", ">f4", "<f8", "<f2", "<i8", "|b1", "|u1", "<U3", "|S4", "|O", "<M8[s]", "<c8", "V4", "<f16", "<U0",
          "[('a', '<f4')]", "f4,i4", "<U99999999", "junk")  # fmt: skip


def _npy(content: bytes, rng: np.random.Generator) -> bytes | None:
    """Another head, or values that are none."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, fortran, dtype = read(file)
    except Exception:  # no head any more
        return None
    data, sizes, kind = content[file.tell() :], list(map(int, shape)), dtype.str
    match rng.integers(8):
        case 0 if sizes:
            sizes[rng.integers(len(sizes))] = int(rng.choice([*ODD_SIZES, -1, 2**40, 2**62]))
        case 1:
            sizes = [sizes[i] for i in rng.permutation(len(sizes))] if rng.random() < 0.5 else [int(np.prod(sizes))]
        case 2:
            sizes = sizes[:-1] if rng.random() < 0.5 else [*sizes, 1]
        case 3:
            kind = _TYPES[rng.integers(len(_TYPES))]
        case 4:
            fortran = not fortran
        case 5:
            head = bytearray(content[: file.tell()])
            head[6:10] = bytes(rng.integers(0, 256, size=4, dtype=np.uint8))  # version and length of the head
            return bytes(head) + data
        case _ if dtype.kind in "fiu" and len(data) >= dtype.itemsize > 0:
            return content[: file.tell()] + _other_values(data, dtype, rng)
        case _:
            return None
    head = (
        f"{{'descr': {kind if kind[:1] == '[' else repr(kind)}, 'fortran_order': {fortran}, 'shape': {tuple(sizes)}}}"
    )
    head = head.ljust((len(head) + 11) // 64 * 64 + 53) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode("latin-1") + data


def _other_values(data: bytes, dtype: np.dtype, rng: np.random.Generator) -> bytes:
    rest = len(data) % dtype.itemsize
    values = np.frombuffer(data[: len(data) - rest], dtype).copy()
    odd = (np.nan, np.inf, -np.inf, 1e30, -1e6, 2e4, 1e-42, 0) if dtype.kind == "f" else (-1, 0, 1, 127, 2**31, 2**62)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = np.array(odd[rng.integers(len(odd))]).astype(dtype)
    where = slice(None) if rng.random() < 0.2 else rng.integers(0, len(values), size=rng.integers(1, 4))
    values[where] = value
    return values.tobytes() + data[len(data) - rest :]


# ---- zip and npz -----------------------------------------------------------------------------------------------------


def _zip(content: bytes, rng: np.random.Generator) -> bytes | None:
    """Other members, other names, or a directory that lies."""
    if rng.random() < 0.4:
        return _directory(content, rng)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            members = [(info.filename, packed.read(info)) for info in packed.infolist()]
    except Exception:  # no whole zip file any more
        return None
    at = int(rng.integers(max(len(members), 1)))
    if not members:
        return None
    match rng.integers(7):
        case 0:
            members[at] = (ODD_NAMES[rng.integers(len(ODD_NAMES))], members[at][1])
        case 1:
            members.insert(at, members[at])  # a second one of that name
        case 2:
            del members[at]
        case 3:
            members += [(f"{i}/{members[at][0]}", members[at][1][:100]) for i in range(int(2 ** rng.integers(1, 9)))]
        case 4:
            members.append((f"zeros/{members[at][0]}", bytes(2**22)))
        case _:
            members[at] = (members[at][0], mutate(members[at][1], rng, members[at][0]))
    return packed_as_zip(members, zipfile.ZIP_DEFLATED if rng.random() < 0.5 else zipfile.ZIP_STORED)


def packed_as_zip(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file of (name, content), names as they are: twice the same, outside, or no text at all."""
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", method) as packed:
        warnings.simplefilter("ignore")
        for name, inside in members:
            packed.writestr(zipfile.ZipInfo(name.encode("utf-8", "replace").decode()), inside, method)
    return made.getvalue()


def _directory(content: bytes, rng: np.random.Generator) -> bytes | None:
    """A field of a member's entry or of the end record: flags, method, sums, sizes, lengths, places, counts."""
    sign, size = [(b"PK\x01\x02", 46), (b"PK\x03\x04", 30), (b"PK\x05\x06", 22)][rng.integers(3)]
    starts = [found.start() for found in re.finditer(re.escape(sign), content)]
    starts = [start for start in starts if start + size <= len(content)]
    if not starts:
        return None
    at = starts[rng.integers(len(starts))] + 2 * int(rng.integers(2, size // 2))
    width = int(rng.choice([2, 4]))
    if rng.random() < 0.5:
        made = struct.pack("<I", int(rng.choice(ODD_SIZES)))[:width]
    else:
        made = bytes(rng.integers(0, 256, size=width, dtype=np.uint8))
    return content[:at] + made + content[at + width :]


# ---- pickles ---------------------------------------------------------------------------------------------------------

_SNIPPETS = (
    b"cos\nsystem\n(S'true'\ntR", b"cbuiltins\nexec\n", b"\x8c\x02os\x8c\x06system\x93", b"2" * 500, b"(" * 100,
    b"]" * 2000, b"N" * 1000, b"h\x00" * 300, b"\x8b\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 8, b"T\xff\xff\xff\x7f",
    b"\x95" + b"\xff" * 8, b"L" + b"9" * 5000 + b"L\n", b"q\xff", b"r\xff\xff\xff\xff", b"\x94" * 300, b"}", b")\x85",
    b"\x85" * 60, b"a", b"e", b"s", b"u", b"b", b"R", b"\x81", b"\x91", b"\x90", b"0" * 10, b"1", b".", b"\x97",
    b"G\x7f\xf8\0\0\0\0\0\0", b"X\x02\0\0\0\xed\xa0", b"X\x03\0\0\0\xed\xa0\x80", b"\x8d" + b"\xff" * 8,
    b"I01\n", b"F1e999\n",
)  # fmt: skip


def _pickle(content: bytes, rng: np.random.Generator) -> bytes | None:
    """Opcodes dropped, doubled, exchanged or put in; numbers replaced."""
    try:
        starts = [at for _, _, at in pickletools.genops(content)]
    except Exception:  # no whole pickle any more
        return None
    stops = [*starts[1:], len(content)]
    parts = [content[start:stop] for start, stop in zip(starts, stops, strict=True)]
    one, other = (int(at) for at in rng.integers(0, len(parts), size=2))
    match rng.integers(6):
        case 0:
            del parts[one]
        case 1:
            parts.insert(other, parts[one])
        case 2:
            parts[one], parts[other] = parts[other], parts[one]
        case 3:
            parts.insert(one, _SNIPPETS[rng.integers(len(_SNIPPETS))])
        case 4:
            numbers = [at for at, part in enumerate(parts) if part[:1] in (b"K", b"M", b"J", b"h", b"q") and part[1:]]
            if numbers:
                at = numbers[rng.integers(len(numbers))]
                width = len(parts[at]) - 1
                parts[at] = parts[at][:1] + struct.pack("<Q", int(rng.choice(ODD_SIZES)))[:width]
        case _:
            parts[one:other] = parts[one:other] * int(2 ** rng.integers(1, 6))
    return b"".join(parts)[: 2**22]


STRUCTURED = {".npy": _npy, ".npz": _zip, ".zip": _zip, ".pkl": _pickle}
