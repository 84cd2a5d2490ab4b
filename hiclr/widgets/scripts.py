"""The front ends: each is one module for the browser, made of its own file and of what all share."""

import re
from pathlib import Path

__all__ = ["script", "style"]

_HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)
_GIVEN = re.compile(r"^export (default )?\{[^}]*\};\n", re.MULTILINE)  # a list of names, of no use inside one module


def script(name: str) -> str:
    """The module `name`.js with what it imports inside: a widget's module can import nothing that lies beside it."""
    parts: dict[str, str] = {}  # by name, in the order of need

    def read(part: str) -> None:
        source = (_HERE / f"{part}.js").read_text(encoding="utf-8")
        for needed in _IMPORT.findall(source):
            if needed not in parts:
                read(needed)
        parts[part] = _IMPORT.sub("", source)

    read(name)
    own = parts.pop(name)
    needed = (re.sub(r"^export ", "", _GIVEN.sub("", part), flags=re.MULTILINE) for part in parts.values())
    return "".join(needed) + own


def style(name: str) -> str:
    """The style sheet `name`.css after `page.css`."""
    return "".join((_HERE / f"{part}.css").read_text(encoding="utf-8") for part in ("page", name))
