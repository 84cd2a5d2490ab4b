"""The front ends: each is one module for the browser, made of its own file and of what all share."""

import re
from pathlib import Path

__all__ = ["script", "style"]

_HERE = Path(__file__).parent
_SHARED = re.compile(r'^import \{[^}]*\} from "\./page\.js";\n', re.MULTILINE)


def script(name: str) -> str:
    """The module `name`.js with `page.js` inside: a widget's module can import nothing that lies beside it."""
    shared = (_HERE / "page.js").read_text(encoding="utf-8")
    own = (_HERE / f"{name}.js").read_text(encoding="utf-8")
    return re.sub(r"^export ", "", shared, flags=re.MULTILINE) + _SHARED.sub("", own)


def style(name: str) -> str:
    """The style sheet `name`.css after `page.css`."""
    return "".join((_HERE / f"{part}.css").read_text(encoding="utf-8") for part in ("page", name))
