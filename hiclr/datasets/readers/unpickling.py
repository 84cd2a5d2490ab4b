"""Pickles from strangers: read by a machine of our own that knows containers, text, numbers and numpy arrays.

A pickle is a program for a small stack machine. Python's own machine imports whatever the program names and calls it.
This one imports nothing: a name is looked up in a table of exact (module, name) pairs, each of which stands for a few
lines here, and every other name is refused. Arrays are not built while the program runs; their bytes are left where
they lie in the file (a `Span`), so that a file of gigabytes can be looked through and its clips read one by one, and
no number in a file can ask for memory that the file does not fill.

Source: the opcodes are documented in Python's `pickletools`; what numpy writes, in its `__reduce__` methods.
"""

import codecs
import io
import math
import pickle
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.damage import DAMAGED_ZIP, is_readable
from hiclr.datasets.keys import text_refused
from hiclr.datasets.readers.spans import open_buffered, read_at
from hiclr.datasets.readers.tree import Tree
from hiclr.errors import InputError

__all__ = ["Span", "StoredArray", "safe_load", "safe_loads", "scan"]

# A step costs a microsecond and some 80 bytes at most; what costs more counts for several. NTU 120 with its 113,945
# clips, keypoints and scores takes 9 million, one for each 500 bytes; labels take few, but hardly any bytes either.
_MOST_STEPS = 12_000_000
_FREE_STEPS = 2_000_000
_BYTES_A_STEP = 32
_MOST_ARRAYS = 2**28  # bytes of all arrays together where they are read at once
_LONGEST_TEXT = 512  # bytes; what is longer is no name but the content of an array
_LONGEST_NUMBER = 16  # bytes
_LONGEST_AXIS = 2**40
_DEEPEST = 50

_BROKEN: tuple[type[Exception], ...] = (*DAMAGED_ZIP, TypeError, OverflowError)

Kind = Literal["bytes", "utf8", "escaped", "unicode-escaped"]


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes that a pickle holds, not read yet.

    Args:
        offset: where they begin in the file.
        length: as they are written.
        kind: how they are written. As "utf8" each byte is one character U+0000 to U+00FF; the other two are the text
            forms of protocol 0.
    """

    offset: int
    length: int
    kind: Kind = "bytes"


@dataclass(frozen=True, slots=True)
class StoredArray:
    """A numpy array in a pickle, not read yet.

    Args:
        dtype: as numpy writes it: "<f4".
        shape: of the array.
        fortran: the first axis runs fastest.
        content: where its bytes lie; a few bytes are at hand.
    """

    dtype: str
    shape: tuple[int, ...]
    fortran: bool
    content: Span | bytes

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def read(self, tree: Tree, name: str) -> NDArray[Any]:
        """The array, from the file that was scanned.

        Raises:
            InputError: the file is shorter now, or damaged.
        """
        if isinstance(self.content, bytes):
            return self.of(self.content, tree.place(name))
        raw = read_at(tree, name, self.content.offset, self.content.length)
        return self.of(_decode(raw, self.content.kind, tree.place(name)), tree.place(name))

    def of(self, content: bytes, place: str) -> NDArray[Any]:
        """The array of these bytes."""
        if len(content) != self.size:
            raise InputError(
                f"{place}: an array of shape {self.shape} takes {self.size:,} bytes, {len(content):,} are there."
            )
        found = np.frombuffer(content, dtype=self.dtype).reshape(self.shape, order="F" if self.fortran else "C")
        if not is_readable(found):
            raise InputError(text_refused(place, "an array of text"))
        return found


def safe_loads(content: bytes, name: str) -> Any:
    """What a pickle holds: None, numbers, text, bytes, lists, tuples, dicts, sets and numpy arrays.

    Strings of Python 2 become text (UTF-8, or Latin-1 where they are none); arrays of objects become lists.

    Args:
        content: the pickle.
        name: its name, for messages.

    Raises:
        InputError: it names any other global (nothing of it is kept then), is damaged, or is too large.
    """
    graph = _Machine(io.BytesIO(content), len(content), name).run()
    return _Settling(name, content).settle(graph)


def safe_load(tree: Tree, name: str) -> Any:
    """As `safe_loads`, of a file of at most 256 MiB.

    Raises:
        InputError: as `safe_loads`; the file cannot be read.
    """
    return safe_loads(tree.read(name), tree.place(name))


def scan(tree: Tree, name: str) -> Any:
    """As `safe_load`, of a file of any size; each array is a `StoredArray`, to be read later.

    Raises:
        InputError: as `safe_load`.
    """
    with open_buffered(tree, name) as file:
        graph = _Machine(file, tree.size(name), tree.place(name)).run()
    return _Settling(tree.place(name)).settle(graph)


def _decode(raw: bytes, kind: Kind, place: str) -> bytes:
    """Bytes as they are meant, from bytes as they are written."""
    try:
        if kind == "utf8":
            return raw.decode("utf-8", "surrogatepass").encode("latin-1")
        if kind == "unicode-escaped":
            return raw.decode("raw-unicode-escape").encode("latin-1")
        if kind == "escaped":
            return codecs.escape_decode(raw)[0]
    except (UnicodeError, ValueError) as error:
        raise InputError(f"{place}: the bytes of an array are damaged ({error}).") from error
    return raw


class _FaultError(Exception):
    """Why a pickle is refused."""


class _OldText(str):
    """A string of Python 2 that is no plain ASCII: text or bytes, only its use tells."""

    __slots__ = ("raw",)
    raw: bytes


@dataclass(slots=True)
class _Dtype:
    """What is known of a numpy type. Only plain numbers, text and objects are."""

    code: str  # kind and bytes: "f4"
    order: str = "|"

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (8, 9) or state[1] not in ("<", ">", "|", "="):
            raise _FaultError("it holds a numpy type that is no plain number, text or object")
        if any(part is not None for part in state[2:5]):
            raise _FaultError("it holds a numpy array of records")
        self.order = "|" if state[1] == "=" else str(state[1])

    @property
    def text(self) -> str:
        """As numpy reads it."""
        kind, width = self.code[0], int(self.code[1:])
        return f"{self.order}{kind}{width}"

    @property
    def width(self) -> int:
        """Bytes of one value."""
        return int(self.code[1:]) * (4 if self.code[0] == "U" else 1)


@dataclass(slots=True)
class _Array:
    """A numpy array that the program makes; its state comes later."""

    stored: StoredArray | None = None
    objects: list[Any] | None = None

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise _FaultError("it holds a numpy array in a form that is not known")
        shape, dtype, fortran, content = state[-4:]
        self.fill(content, dtype, shape, bool(fortran) if isinstance(fortran, bool | int) else False)

    def fill(self, content: Any, dtype: Any, shape: Any, fortran: bool) -> None:
        if not isinstance(dtype, _Dtype):
            raise _FaultError("it holds a numpy array without a type")
        if not isinstance(shape, tuple) or len(shape) > 16 or not all(type(n) is int and n >= 0 for n in shape):
            raise _FaultError("it holds a numpy array without a shape")
        if any(n >= _LONGEST_AXIS for n in shape):
            raise _FaultError(f"it asks for an array of shape {shape}, more than any file holds")
        count = math.prod(shape)
        if dtype.code[0] == "O":
            if not isinstance(content, list) or len(content) != count or len([n for n in shape if n != 1]) > 1:
                raise _FaultError(f"it holds a numpy array of objects of shape {shape}")
            self.objects = content
            return
        content = _content(content)
        length = content.length if isinstance(content, Span) else len(content)
        exact = isinstance(content, bytes) or content.kind == "bytes"
        needed = count * dtype.width
        if length < needed or (exact and length != needed) or (count and not dtype.width):
            raise _FaultError(f"an array of shape {shape} takes {needed:,} bytes, {length:,} are there")
        self.stored = StoredArray(dtype.text, shape, fortran, content)


def _content(value: Any) -> Span | bytes:
    """The bytes of an array or a number; those of Python 2 come as text."""
    if isinstance(value, Span | bytes):
        return value
    if isinstance(value, _OldText):
        return value.raw
    if isinstance(value, str):
        return value.encode("latin-1")
    raise _FaultError("it holds a numpy array without its bytes")


# ---- the names that are admitted, and what each stands for here -----------------------------------------------------


def _reconstruct(args: tuple[Any, ...]) -> Any:
    if len(args) != 3 or args[0] is not _ndarray:
        raise _FaultError("it holds an array of a class of its own")
    return _Array()


def _ndarray(_: tuple[Any, ...]) -> Any:
    raise _FaultError("it makes a numpy array in a form that is not known")


def _dtype(args: tuple[Any, ...]) -> Any:
    code = args[0] if args else None
    found = re.fullmatch(r"([<>|=]?)([biufSUO])(\d{1,6})", code) if isinstance(code, str) else None
    widths = {"b": "1", "i": "1248", "u": "1248", "f": ("2", "4", "8", "16")}
    if found is None or found[3] not in widths.get(found[2], (found[3],)):
        raise _FaultError("it holds a numpy type that is no plain number, text or object")
    return _Dtype(f"{found[2]}{int(found[3])}", found[1].replace("=", "") or "|")


def _scalar(args: tuple[Any, ...]) -> Any:
    if len(args) != 2 or not isinstance(args[0], _Dtype) or args[0].code[0] == "O":
        raise _FaultError("it holds a numpy number in a form that is not known")
    dtype, content = args[0], _content(args[1])
    if isinstance(content, Span) or len(content) != dtype.width or not dtype.width:
        raise _FaultError("it holds a numpy number of the wrong size")
    found = np.frombuffer(content, dtype=dtype.text)
    if not is_readable(found):
        raise _FaultError("it holds text of characters that do not exist")
    return found[0].item()


def _frombuffer(args: tuple[Any, ...]) -> Any:
    if len(args) != 4 or args[3] not in ("C", "F"):
        raise _FaultError("it holds a numpy array in a form that is not known")
    array = _Array()
    array.fill(args[0], args[1], args[2], args[3] == "F")
    return array


def _encode(args: tuple[Any, ...]) -> Any:
    """How Python 3 writes bytes for Python 2: as text of the characters U+0000 to U+00FF."""
    if len(args) != 2 or args[1] not in ("latin1", "latin-1"):
        raise _FaultError("it encodes text otherwise than as latin1")
    return _content(args[0])


def _dict(args: tuple[Any, ...]) -> Any:
    made: dict[Any, Any] = {}
    pairs = args[0] if args else []
    if len(args) > 1 or not isinstance(pairs, list):
        raise _FaultError("it makes a dict in a form that is not known")
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise _FaultError("it makes a dict of what are no pairs")
        made[_key(pair[0])] = pair[1]
    return made


def _set(args: tuple[Any, ...]) -> Any:
    if len(args) > 1 or (args and not isinstance(args[0], list)):
        raise _FaultError("it makes a set in a form that is not known")
    return {_key(value) for value in (args[0] if args else [])}


def _no_bytes(args: tuple[Any, ...]) -> Any:
    if args:
        raise _FaultError("it makes bytes in a form that is not known")
    return b""


_GLOBALS: dict[tuple[str, str], Callable[[tuple[Any, ...]], Any]] = {
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): _dict,
    ("builtins", "dict"): _dict,
    ("__builtin__", "dict"): _dict,
    ("builtins", "set"): _set,
    ("__builtin__", "set"): _set,
    ("builtins", "frozenset"): _set,
    ("__builtin__", "frozenset"): _set,
    ("builtins", "bytes"): _no_bytes,
    ("__builtin__", "bytes"): _no_bytes,
}
_ADMITTED = frozenset(_GLOBALS.values())


def _key(value: Any) -> Any:
    """A key of a dict: text or a number. The hash of nested tuples could take for ever, or the whole stack."""
    if isinstance(value, str):
        return str(value)
    if value is None or (isinstance(value, int) and abs(value) < 2**60):
        return value
    raise _FaultError(f"a key of a dict or a member of a set is no text or number but {type(value).__name__}")


# ---- the machine ----------------------------------------------------------------------------------------------------


class _Machine:
    """Runs a pickle. It never looks at what it was not told by `_GLOBALS`."""

    def __init__(self, file: IO[bytes], size: int, name: str) -> None:
        self.file, self.size, self.name, self.at = file, size, name, 0
        self.steps = 0
        # 4: no opcode takes less than a byte, but some count for several
        self.most_steps = min(_MOST_STEPS, 4 * size + 1000, _FREE_STEPS + size // _BYTES_A_STEP)
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: list[Any] = []
        self.scattered: dict[int, Any] = {}  # what was stored under a number out of order

    def run(self) -> Any:
        """The object that the pickle describes; see `_Settling`."""
        try:
            return self._run()
        except _FaultError as fault:
            raise InputError(f"{self.name} is refused: {fault} (near byte {self.at:,}).") from fault
        except _BROKEN as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{self.name} is no whole pickle (near byte {self.at:,}: {error}). Copy or download it again."
            ) from error

    def _run(self) -> Any:
        if not self.size:
            raise InputError(f"{self.name} is empty (0 bytes). Copy or download it again.")
        read, steps = self.file.read, _STEPS
        while True:
            code = read(1)
            self.at += 1
            if code == b".":
                return self.pop()
            step = steps.get(code)
            if step is None:
                raise _FaultError(_unknown(code, self))
            step(self)
            self.spend(1)

    def spend(self, steps: int) -> None:
        """Count steps. Raise _FaultError where the program makes more than any known set of its size has."""
        self.steps += steps
        if self.steps > self.most_steps:
            raise _FaultError(f"it takes more than the {self.most_steps:,} steps that a file of its size may take")

    def take(self, count: int) -> bytes:
        """The next bytes of the program."""
        if not 0 <= count <= self.size - self.at:
            raise EOFError(f"{count:,} bytes are promised, {max(self.size - self.at, 0):,} follow")
        found = self.file.read(count)
        self.at += count
        if len(found) != count:
            raise EOFError("it ends too early")
        return found

    def skip(self, count: int) -> None:
        """Go past some bytes without reading them."""
        if not 0 <= count <= self.size - self.at:
            raise EOFError(f"{count:,} bytes are promised, {max(self.size - self.at, 0):,} follow")
        self.file.seek(count, 1)
        self.at += count

    def line(self) -> tuple[bytes, Span]:
        """The next line: its start, and where it lies without its end."""
        self.spend(1)  # it takes as long as two other steps
        start = part = self.file.readline(2**16)
        length = len(start)
        while not part.endswith(b"\n"):
            part = self.file.readline(2**16)
            if not part:
                raise EOFError("a line has no end")
            length += len(part)
        offset = self.at
        self.at += length
        return start.rstrip(b"\n"), Span(offset, length - 1)

    def number(self, form: str) -> int:
        """A whole number of the program."""
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def pop(self) -> Any:
        """What lies on top."""
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise IndexError("nothing on the stack")
        return self.stack.pop()

    def push(self, value: Any) -> None:
        """Put on top."""
        self.stack.append(value)

    def top(self, kind: type) -> Any:
        """What lies on top and stays there."""
        if not isinstance(self.stack[-1], kind):
            raise _FaultError(f"it fills {type(self.stack[-1]).__name__} as if it were {kind.__name__}")
        return self.stack[-1]

    def marked(self) -> list[Any]:
        """All above the last mark."""
        mark = self.marks.pop()
        found = self.stack[mark:]
        del self.stack[mark:]
        return found

    def recall(self, index: int) -> None:
        """Put on top what was stored."""
        self.push(self.scattered[index] if index in self.scattered else self.memo[index])

    def store(self, index: int) -> None:
        """Store what lies on top."""
        if index == len(self.memo):
            self.memo.append(self.stack[-1])
        elif 0 <= index < len(self.memo):
            self.memo[index] = self.stack[-1]
        elif 0 <= index < 2**32:
            self.scattered[index] = self.stack[-1]
        else:
            raise ValueError(f"{index} is no place to store at")

    def literal(self, count: int, kind: Kind = "bytes") -> Span | bytes:
        """Bytes of the program; those of an array are left where they are."""
        if count <= _LONGEST_TEXT:
            return self.take(count)
        span = Span(self.at, count, kind)
        self.skip(count)
        return span

    def text(self, count: int) -> None:
        """Put text on top."""
        found = self.literal(count, "utf8")
        if isinstance(found, Span):
            self.push(found)
            return
        text = found.decode("utf-8", "surrogatepass")
        if not text.isascii():  # four bytes for each of its letters, perhaps
            self.spend(len(text) // 20)
        self.push(text)

    def old_text(self, found: Span | bytes) -> None:
        """Put a string of Python 2 on top."""
        if isinstance(found, bytes) and not found.isascii():
            self.spend(4 + len(found) // 20)  # it is kept as text and as bytes
        self.push(found if isinstance(found, Span) else _old_text(found))

    def find(self, module: Any, name: Any) -> None:
        """Put on top what a name stands for.

        Raises:
            _FaultError: it is not admitted.
        """
        if not isinstance(module, str) or not isinstance(name, str):
            raise _FaultError("it names a global by what is no text")
        found = _GLOBALS.get((str(module), str(name)))
        if found is None:
            raise _FaultError(_foreign(f"{module}.{name}"))
        self.push(found)


def _foreign(name: str) -> str:
    shown = "".join(c if c.isprintable() else "?" for c in name[:100])
    return (
        f"it asks for {shown}, which is not allowed because it could run code. Nothing of it is kept. Only lists, "
        "dicts, text, numbers and numpy arrays are read: save those again with pickle.dump or numpy.save"
    )


def _unknown(code: bytes, machine: "_Machine") -> str:
    if not code:
        return "it ends too early. Copy or download it again"
    if code == pickle.INST:
        module, name = machine.line()[0], machine.line()[0]
        return _foreign(f"{module.decode('latin-1')}.{name.decode('latin-1')}")
    if code in (pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.OBJ, pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2):
        return f"it makes objects of classes (opcode {code!r}), which is not allowed"
    return f"{code!r} is no known opcode of a pickle"


def _old_text(raw: bytes) -> str:
    if raw.isascii():
        return raw.decode("ascii")
    try:
        made = _OldText(raw.decode("utf-8"))
    except UnicodeDecodeError:
        made = _OldText(raw.decode("latin-1"))
    made.raw = raw
    return made


def _int_line(machine: _Machine) -> None:
    raw, span = machine.line()
    if span.length > 40:
        raise _FaultError(f"a number of {span.length} digits")
    if raw in (b"00", b"01"):
        machine.push(raw == b"01")
    else:
        machine.push(int(raw.rstrip(b"L")))


def _long_int(machine: _Machine, count: int) -> None:
    if not 0 <= count <= _LONGEST_NUMBER:
        raise _FaultError(f"a number of {count:,} bytes")
    machine.push(int.from_bytes(machine.take(count), "little", signed=True))


def _float_line(machine: _Machine) -> None:
    machine.push(float(machine.line()[0][:100]))


def _string_line(machine: _Machine) -> None:
    raw, span = machine.line()
    if span.length < 2 or raw[:1] not in (b"'", b'"'):
        raise ValueError("a string without quotes")
    if span.length > _LONGEST_TEXT:
        machine.push(Span(span.offset + 1, span.length - 2, "escaped"))
    else:
        machine.old_text(_decode(raw[1:-1], "escaped", machine.name))


def _unicode_line(machine: _Machine) -> None:
    raw, span = machine.line()
    if span.length > _LONGEST_TEXT:
        machine.push(Span(span.offset, span.length, "unicode-escaped"))
    else:
        machine.push(raw.decode("raw-unicode-escape"))


def _global_line(machine: _Machine) -> None:
    module, name = machine.line()[0], machine.line()[0]
    machine.find(module[:200].decode("utf-8", "replace"), name[:200].decode("utf-8", "replace"))


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.find(module, name)


def _reduce(machine: _Machine) -> None:
    args, function = machine.pop(), machine.pop()
    if not callable(function) or function not in _ADMITTED or not isinstance(args, tuple):
        raise _FaultError("it calls what is no admitted function")
    # a list or a text may be copied each time
    machine.spend(3 + sum(len(arg) if isinstance(arg, list) else len(arg) // 80 for arg in args if _has_length(arg)))
    machine.push(function(args))


def _has_length(value: Any) -> bool:
    return isinstance(value, list | str)


def _build(machine: _Machine) -> None:
    state, target = machine.pop(), machine.stack[-1]
    if not isinstance(target, _Array | _Dtype):
        raise _FaultError(f"it sets the state of {type(target).__name__}, which is not allowed")
    target.build(state)


def _append(machine: _Machine) -> None:
    value = machine.pop()
    machine.top(list).append(value)


def _appends(machine: _Machine) -> None:
    values = machine.marked()
    machine.top(list).extend(values)


def _set_item(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.top(dict)[_key(key)] = value


def _pairs(values: list[Any]) -> dict[Any, Any]:
    return {_key(key): value for key, value in zip(values[::2], values[1::2], strict=True)}


def _set_items(machine: _Machine) -> None:
    values = machine.marked()
    machine.top(dict).update(_pairs(values))


def _set_of(machine: _Machine, values: list[Any]) -> None:
    machine.spend(3)  # an empty set takes 216 bytes
    machine.push({_key(value) for value in values})


def _add_items(machine: _Machine) -> None:
    values = machine.marked()
    machine.top(set).update(_key(value) for value in values)


def _tuple(machine: _Machine, count: int) -> None:
    values = [machine.pop() for _ in range(count)]
    machine.push(tuple(reversed(values)))


def _pop(machine: _Machine) -> None:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.pop()


def _version(machine: _Machine) -> None:
    version = machine.number("<B")
    if version > 5:
        raise _FaultError(f"it has protocol {version}, known are 0 to 5")


def _get_line(machine: _Machine) -> None:
    machine.recall(int(machine.line()[0][:20]))


def _put_line(machine: _Machine) -> None:
    machine.store(int(machine.line()[0][:20]))


_STEPS: dict[bytes, Callable[[_Machine], Any]] = {
    pickle.PROTO: _version,
    pickle.FRAME: lambda m: m.take(8),  # how much Python would read ahead; it does not matter here
    pickle.MARK: lambda m: m.marks.append(len(m.stack)),
    pickle.POP: _pop,
    pickle.POP_MARK: lambda m: m.marked(),
    pickle.DUP: lambda m: m.push(m.stack[-1]),
    pickle.NONE: lambda m: m.push(None),
    pickle.NEWTRUE: lambda m: m.push(True),
    pickle.NEWFALSE: lambda m: m.push(False),
    pickle.INT: _int_line,
    pickle.LONG: _int_line,
    pickle.BININT: lambda m: m.push(m.number("<i")),
    pickle.BININT1: lambda m: m.push(m.number("<B")),
    pickle.BININT2: lambda m: m.push(m.number("<H")),
    pickle.LONG1: lambda m: _long_int(m, m.number("<B")),
    pickle.LONG4: lambda m: _long_int(m, m.number("<i")),
    pickle.FLOAT: _float_line,
    pickle.BINFLOAT: lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    pickle.STRING: _string_line,
    pickle.BINSTRING: lambda m: m.old_text(m.literal(m.number("<i"))),
    pickle.SHORT_BINSTRING: lambda m: m.old_text(m.literal(m.number("<B"))),
    pickle.UNICODE: _unicode_line,
    pickle.BINUNICODE: lambda m: m.text(m.number("<I")),
    pickle.SHORT_BINUNICODE: lambda m: m.text(m.number("<B")),
    pickle.BINUNICODE8: lambda m: m.text(m.number("<Q")),
    pickle.BINBYTES: lambda m: m.push(m.literal(m.number("<I"))),
    pickle.SHORT_BINBYTES: lambda m: m.push(m.literal(m.number("<B"))),
    pickle.BINBYTES8: lambda m: m.push(m.literal(m.number("<Q"))),
    pickle.BYTEARRAY8: lambda m: m.push(m.literal(m.number("<Q"))),
    pickle.READONLY_BUFFER: lambda _: None,  # bytes never change here
    pickle.EMPTY_LIST: lambda m: m.push([]),
    pickle.EMPTY_TUPLE: lambda m: m.push(()),
    pickle.EMPTY_DICT: lambda m: m.push({}),
    pickle.EMPTY_SET: lambda m: _set_of(m, []),
    pickle.LIST: lambda m: m.push(m.marked()),
    pickle.TUPLE: lambda m: m.push(tuple(m.marked())),
    pickle.DICT: lambda m: m.push(_pairs(m.marked())),
    pickle.FROZENSET: lambda m: _set_of(m, m.marked()),
    pickle.TUPLE1: lambda m: m.push((m.pop(),)),
    pickle.TUPLE2: lambda m: _tuple(m, 2),
    pickle.TUPLE3: lambda m: _tuple(m, 3),
    pickle.APPEND: _append,
    pickle.APPENDS: _appends,
    pickle.SETITEM: _set_item,
    pickle.SETITEMS: _set_items,
    pickle.ADDITEMS: _add_items,
    pickle.GET: _get_line,
    pickle.BINGET: lambda m: m.recall(m.number("<B")),
    pickle.LONG_BINGET: lambda m: m.recall(m.number("<I")),
    pickle.PUT: _put_line,
    pickle.BINPUT: lambda m: m.store(m.number("<B")),
    pickle.LONG_BINPUT: lambda m: m.store(m.number("<I")),
    pickle.MEMOIZE: lambda m: m.store(len(m.memo)),
    pickle.GLOBAL: _global_line,
    pickle.STACK_GLOBAL: _stack_global,
    pickle.REDUCE: _reduce,
    pickle.BUILD: _build,
}


_FEW = 4
_PLAIN = (type(None), bool, int, float, str, bytes)


def _is_settled(value: Any) -> bool:
    """A few plain values in a list or a tuple, or none: nothing to do, and to note it would take more than it takes."""
    if isinstance(value, set):
        return True
    if isinstance(value, list | tuple):
        return len(value) <= _FEW and all(type(entry) in _PLAIN for entry in value)
    return isinstance(value, dict) and not value


class _Settling:
    """From what the machine leaves to plain values: each object once, however often it is referred to."""

    def __init__(self, name: str, whole: bytes | None = None) -> None:
        self.name, self.whole = name, whole
        self.done: dict[int, Any] = {}  # by identity of the old
        self.kept: list[Any] = []  # the old ones that are not what became of them: no new one may take their identity
        self.bytes = 0
        self.read: dict[Span, bytes] = {}

    def settle(self, value: Any, depth: int = 0) -> Any:
        """A plain value."""
        if isinstance(value, _OldText):
            return str(value)
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return value
        if _is_settled(value):
            return value
        if id(value) in self.done:
            return self.done[id(value)]
        if depth > _DEEPEST:
            raise InputError(f"{self.name} is refused: its lists lie more than {_DEEPEST} deep in each other.")
        if isinstance(value, list | dict):
            self.done[id(value)] = value  # in place, so that a list may hold itself
        made = self._settle_one(value, depth + 1)
        if made is not value:
            self.done[id(value)] = made
            self.kept.append(value)
        return made

    def _settle_one(self, value: Any, depth: int) -> Any:
        if isinstance(value, list):
            value[:] = [self.settle(entry, depth) for entry in value]
            return value
        if isinstance(value, dict):
            for key, entry in value.items():
                value[key] = self.settle(entry, depth)
            return value
        if isinstance(value, tuple):
            return tuple(self.settle(entry, depth) for entry in value)
        if isinstance(value, Span):
            return value if self.whole is None else self._content(value)
        if isinstance(value, _Array):
            return self._array(value, depth)
        raise InputError(f"{self.name} is refused: it holds a numpy type or a function where a value belongs.")

    def _array(self, array: _Array, depth: int) -> Any:
        if array.objects is not None:
            return self.settle(array.objects, depth)
        stored = array.stored
        if stored is None:
            raise InputError(f"{self.name} is refused: it holds a numpy array without content.")
        if self.whole is None:
            return stored
        content = stored.content
        return stored.of(self._content(content) if isinstance(content, Span) else content, self.name)

    def _content(self, span: Span) -> bytes:
        if self.whole is None or span in self.read:
            return self.read[span]
        self.bytes += span.length
        if self.bytes > _MOST_ARRAYS:
            raise InputError(f"{self.name} is refused: its arrays take more than {_MOST_ARRAYS:,} bytes.")
        raw = self.whole[span.offset : span.offset + span.length]
        self.read[span] = _decode(raw, span.kind, self.name)
        return self.read[span]
