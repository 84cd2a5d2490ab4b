"""A Chromium for tests, and a page in which a widget's front end runs without JupyterLab."""

import base64
import functools
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lab import CHROMIUM, FLAGS

WIDGETS = Path(__file__).parent.parent / "hiclr" / "widgets"

# The part of a widget's model that a front end may use; `handlers` and `sent` are for the tests.
FAKE_MODEL = """
window.fakeModel = (state, buffers) => {
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  for (const [key, text] of Object.entries(buffers)) state[key] = bytes(text);
  const handlers = {};
  const model = {
    state, handlers, bytes, sent: 0, asked: [],
    get: (key) => state[key],
    set(key, value) { state[key] = value; for (const act of handlers[`change:${key}`] ?? []) act(); },
    on(name, act) { (handlers[name] ??= []).push(act); },
    off(name, act) { handlers[name] = (handlers[name] ?? []).filter((other) => other !== act); },
    save_changes() { model.sent += 1; },
    send(content) { model.asked.push(JSON.parse(JSON.stringify(content))); },
  };
  return model;
};
"""
MOUNT = """async ([name, state, buffers]) => {
  const module = await import(`/${name}.js`);
  window.model = fakeModel(state, buffers);
  window.front = module;
  window.host = document.getElementById("host");
  window.close_widget = module.default.render({ model, el: host });
}"""
CHECKSUM = """(canvas) => {
  const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  let sum = 0;
  for (const pixel of pixels) sum = (31 * sum + pixel) >>> 0;
  return sum;
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser; skips with a reason where there is none."""
    if CHROMIUM is None:
        pytest.skip("no chromium and no chromium-browser on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder at an address of 127.0.0.1."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def state_of(widget: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """What a widget sends to a browser: (values, bytes as base64)."""
    state = {k: v for k, v in widget.get_state().items() if not k.startswith("_") and k not in ("layout", "tabbable")}
    buffers = {k: base64.b64encode(bytes(v)).decode() for k, v in state.items() if isinstance(v, bytes | memoryview)}
    return {k: v for k, v in state.items() if k not in buffers}, buffers


def until(page: Any, condition: str, seconds: float = 30) -> None:
    """Wait for a condition from here: a page that forbids `eval` lets no condition wait inside it."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"in {seconds} s it has not come to: {condition}"
        page.wait_for_timeout(20)


def strangers(page: Any) -> tuple[list[str], list[str]]:
    """Two lists that fill while the page lives: errors, and requests to other machines."""
    errors: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: (errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def look(request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "about:")):
            requests.append(request.url)

    page.on("request", look)
    return errors, requests
