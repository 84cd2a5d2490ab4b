"""A widget as one HTML page that runs without a kernel and without a network."""

import base64
import html
import json
from collections.abc import Mapping
from typing import Any

from hiclr.widgets.scripts import script, style

__all__ = ["standalone"]

# What the page may do: run and style itself, and offer its picture to be saved. Nothing is asked for elsewhere.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

# The part of a widget's model that a front end uses; it has no `send`, so that buttons which need a kernel are hidden.
_MODEL = """
const held = JSON.parse(document.getElementById("state").textContent);
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const state = { ...held.values };
for (const [key, text] of Object.entries(held.bytes)) state[key] = bytes(text);
const handlers = {};
const model = {
  get: (key) => state[key],
  set(key, value) { state[key] = value; for (const act of handlers[`change:${key}`] ?? []) act(); },
  on(name, act) { (handlers[name] ??= []).push(act); },
  off(name, act) { handlers[name] = (handlers[name] ?? []).filter((other) => other !== act); },
  save_changes() {},
};
render({ model, el: document.getElementById("host") });
"""

_LOOKS = """
body { margin: 16px auto; max-width: 1400px; padding: 0 16px; font: 14px system-ui, sans-serif; color: #212121; }
pre { overflow-x: auto; padding: 10px; background: #8881; border-radius: 6px; }
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
    kept = {k: v for k, v in state.items() if not k.startswith("_") and k not in ("layout", "tabbable", "tooltip")}
    binary = {k: base64.b64encode(v).decode() for k, v in kept.items() if isinstance(v, bytes | memoryview)}
    data = json.dumps({"values": {k: v for k, v in kept.items() if k not in binary}, "bytes": binary})
    text = f"<pre>{html.escape(remarks)}</pre>" if remarks else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{style(name)}{_LOOKS}</style>\n</head>\n<body>\n"
        f'<div id="host"></div>\n{text}\n'
        f'<script type="application/json" id="state">{data.replace("<", chr(92) + "u003c")}</script>\n'
        f'<script type="module">\n{script(name)}{_MODEL}</script>\n</body>\n</html>\n'
    )
