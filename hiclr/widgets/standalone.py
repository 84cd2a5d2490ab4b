"""A widget as one HTML page that runs without a kernel and without a network."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from hiclr.widgets.scripts import script, style

__all__ = ["as_json", "held", "linked", "standalone"]

# What the page may do: run and style itself, and offer its picture to be saved. Nothing is asked for elsewhere.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

# The part of a widget's model that a front end uses; it has no `send`, so that buttons which need a kernel are hidden.
_MODEL = """
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const modelOf = (held) => {
  const state = { ...held.values };
  for (const [key, text] of Object.entries(held.bytes)) state[key] = bytes(text);
  const handlers = {};
  return {
    get: (key) => state[key],
    set(key, value) { state[key] = value; for (const act of handlers[`change:${key}`] ?? []) act(); },
    on(name, act) { (handlers[name] ??= []).push(act); },
    off(name, act) { handlers[name] = (handlers[name] ?? []).filter((other) => other !== act); },
    save_changes() {},
  };
};
const held = JSON.parse(document.getElementById("state").textContent);
"""
_START = 'render({ model: modelOf(held), el: document.getElementById("host") });\n'

_LOOKS = """
body { margin: 16px auto; max-width: 1400px; padding: 0 16px; font: 14px system-ui, sans-serif; color: #212121; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: 10px; background: #8881; border-radius: 6px; }
@media (prefers-color-scheme: dark) { body { color: #e4e4e4; background: #161616; } }
"""


def standalone(name: str, state: Mapping[str, Any], title: str, remarks: str = "") -> str:
    """The page of a front end with its state inside.

    Args:
        name: of the front end.
        state: what the widget would send to a browser: plain values and bytes.
        title: of the page.
        remarks: text below the picture, shown as it is.
    """
    return document([name], [script(name) + _MODEL + _START], held(state), title, remarks)


def linked(state: Mapping[str, Any], title: str, remarks: str = "", maps: str = "explorer") -> str:
    """The page of the explorer with a player below it; `offline.js` answers in the kernel's place.

    Args:
        state: what that script reads: "scatter" and "player" as of `held`, and the clips.
        title: of the page.
        remarks: text below the picture, shown as it is.
        maps: the front end that draws the maps.
    """
    given = "(globalThis.fronts ??= {})."
    fronts = [script(name).replace("export default ", f"{given}{name} = ") for name in (maps, "player")]
    return document(["explorer", "player"], [*fronts, _MODEL + script("offline")], state, title, remarks)


def held(state: Mapping[str, Any]) -> dict[str, Any]:
    """A widget's state as plain values and bytes in base64."""
    kept = {k: v for k, v in state.items() if not k.startswith("_") and k not in ("layout", "tabbable", "tooltip")}
    binary = {k: base64.b64encode(v).decode() for k, v in kept.items() if isinstance(v, bytes | memoryview)}
    return {"values": {k: v for k, v in kept.items() if k not in binary}, "bytes": binary}


def as_json(data: Any) -> str:
    """Data as it stands in a page, in ASCII; no text in it can end the script that holds it."""
    return json.dumps(data).replace("<", "\\u003c")


def document(names: Sequence[str], modules: Sequence[str], data: Mapping[str, Any], title: str, remarks: str) -> str:
    """A page with the styles of some front ends, data as JSON, and modules that run in their order."""
    text = f"<pre>{html.escape(remarks)}</pre>" if remarks else ""
    styles = "".join(style(name) for name in names)
    scripts = "".join(f'<script type="module">\n{module}</script>\n' for module in modules)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{styles}{_LOOKS}</style>\n</head>\n<body>\n"
        f'<div id="host"></div>\n{text}\n'
        f'<script type="application/json" id="state">{as_json(data)}</script>\n'
        f"{scripts}</body>\n</html>\n"
    )
