"""The widgets in a real JupyterLab, from the mouse to the kernel and back."""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from browsing import CHECKSUM, chromium, strangers

for package in ("jupyterlab", "anywidget", "ipykernel"):
    pytest.importorskip(package, reason="the notebook packages are not installed")

pytestmark = pytest.mark.browser

PATIENCE = 90_000  # milliseconds: other work may share the machine
START = 60  # seconds

SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}
CAMERA = ("yaw", "pitch", "zoom", "frame")
READY = """() => {
  const context = window.jupyterapp?.shell?.currentWidget?.context;
  const kernel = context?.sessionContext?.session?.kernel;
  return context?.isReady && context.sessionContext.isReady
    && kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""
RUN = "() => { jupyterapp.commands.execute('notebook:run-all-cells') }"  # braces: not to be waited for
DONE = """() => [...document.querySelectorAll(".jp-CodeCell .jp-InputArea-prompt")]
  .every((prompt) => /\\[\\d+\\]/.test(prompt.textContent))"""

BENCH = """
from hiclr.augmentations import paper_views
from hiclr.datasets import Preprocess, synthetic
from hiclr.widgets import AugmentationBench
clips = synthetic(subjects=2, cameras=1, frames=32)
bench = AugmentationBench(clips, paper_views(clips.layout), Preprocess(32))
bench.player.playing = False
bench
"""
CLIPS = """
import json
from hiclr.datasets import synthetic
clips = synthetic(subjects=2, cameras=1, frames=32, actions=["clap fast", "kick right"])
print(json.dumps([clips.names, clips.y.tolist()]))
"""
EXPLORER = """
import numpy as np
from hiclr.widgets import Explorer
rank = np.arange(len(clips))
square = np.stack([rank % 2, rank // 2], axis=1) - np.array([0.5, (len(clips) // 2 - 1) / 2])
explorer = Explorer({"basic": square, "strong": square * [-1, 1]}, clips=clips)
explorer.player.playing = False
explorer
"""


class Lab(NamedTuple):
    """A running JupyterLab, its folder of notebooks, and a browser."""

    address: str
    token: str
    folder: Path
    browser: Any


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def own_folders(home: Path) -> dict[str, str]:
    """An environment in which Jupyter touches nothing of the user's."""
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    places += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    folders = {name: str(home / name.lower()) for name in places}
    for plugin, values in SETTINGS.items():
        path = Path(folders["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", f"{plugin}.jupyterlab-settings")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    paths = [str(Path(__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **folders, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def ask(port: int, method: str, path: str, token: str) -> int:
    """The status of the server's answer; 0 when there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers={"Authorization": f"token {token}"})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def wait_for_server(port: int, token: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START
    while ask(port, "GET", "/api/status", token) != 200:
        if time.monotonic() > end or server.poll() is not None:
            pytest.fail(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")
        time.sleep(0.1)


def stop(server: subprocess.Popen[bytes], port: int, token: str) -> None:
    """Ask the server to end, which ends its kernels; insist if it does not."""
    ask(port, "POST", "/api/shutdown", token)
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(10)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with chromium() as browser:
        home = tmp_path_factory.mktemp("lab")
        folder = home / "notebooks"
        folder.mkdir()
        port, token = free_port(), secrets.token_hex(16)
        address = f"http://127.0.0.1:{port}"
        options = [
            "--no-browser",
            "--allow-root",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={folder}",
            f"--IdentityProvider.token={token}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly",
            "--LabApp.news_url=None",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]
        log = home / "server.log"
        with log.open("wb") as out:
            server = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *options],
                env=own_folders(home),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                wait_for_server(port, token, server, log)
                yield Lab(address, token, folder, browser)
            finally:
                stop(server, port, token)


def write_notebook(path: Path, *sources: str) -> None:
    cells = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
        for i, source in enumerate(sources)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(book), encoding="utf-8")


@pytest.fixture
def run(lab: Lab, tmp_path: Path) -> Iterator[Any]:
    """run(name, sources) -> a page in which the notebook has run; in the end, nothing must have gone wrong."""
    opened = []

    def start(name: str, *sources: str) -> Any:
        write_notebook(lab.folder / f"{name}.ipynb", *sources)
        page = lab.browser.new_page(viewport={"width": 1300, "height": 1100})
        page.set_default_timeout(PATIENCE)
        opened.append((page, name, *strangers(page)))
        page.goto(f"{lab.address}/lab/tree/{name}.ipynb?token={lab.token}&reset")
        page.wait_for_function(READY)
        page.evaluate(RUN)
        page.wait_for_function(DONE)
        failed = page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']")
        assert failed.all_text_contents() == []
        page.wait_for_selector("canvas.sk-player[data-revision]")
        page.locator(".jp-CodeCell").last.evaluate("(cell) => cell.scrollIntoView()")
        return page

    yield start
    for page, name, errors, requests in opened:
        page.screenshot(path=tmp_path / f"{name}.png")
        page.close()
        assert errors == []
        assert requests == []


def data(page: Any, canvas: str) -> dict[str, str]:
    found: dict[str, str] = page.locator(canvas).evaluate("(canvas) => ({ ...canvas.dataset })")
    return found


def test_a_slider_moves_the_skeleton_and_not_the_camera(run: Any):
    page = run("bench", BENCH)
    picture = page.locator("canvas.sk-player")
    box = picture.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 130, steps=3)
    page.mouse.up()
    before, pixels = data(page, "canvas.sk-player"), picture.evaluate(CHECKSUM)
    assert before["yaw"] != "0.4500"

    slider = page.locator(".widget-slider", has=page.get_by_text("basic", exact=True))
    handle = slider.locator(".noUi-handle")
    handle.focus()
    for _ in range(4):
        handle.press("PageDown")
    page.wait_for_function(
        f"Number(document.querySelector('canvas.sk-player').dataset.revision) >= {int(before['revision']) + 1}"
    )
    page.wait_for_function("[...document.querySelectorAll('.widget-readout')].some((e) => e.textContent === '0.80')")
    after = data(page, "canvas.sk-player")
    assert picture.evaluate(CHECKSUM) != pixels
    assert {key: after[key] for key in CAMERA} == {key: before[key] for key in CAMERA}
    still = page.evaluate(
        "jupyterapp.shell.currentWidget.content.widgets[0].model.outputs.get(0).data['image/png'].length"
    )
    assert 1_000 < still < 300_000


def test_a_click_on_a_point_plays_that_very_clip(run: Any):
    page = run("explorer", CLIPS, EXPLORER)
    names, labels = json.loads(page.locator(".jp-OutputArea-output pre").first.text_content())
    index = labels.index(1)  # the first clip of the second class

    rows = len(names) // 2
    page.locator("canvas.sk-scatter").scroll_into_view_if_needed()
    box = page.locator("canvas.sk-scatter").bounding_box()
    width, height = (box["width"] - 24) / 2, box["height"] - 32  # frames of 8 pixels, a title of 24
    scale = min(width - 30, (height - 30) / (rows - 1 or 1))
    x, y = index % 2 - 0.5, index // 2 - (rows - 1) / 2
    before = int(data(page, "canvas.sk-player")["revision"])
    page.mouse.click(box["x"] + 8 + width / 2 + x * scale, box["y"] + 24 + height / 2 - y * scale)

    page.wait_for_function(f"document.querySelector('canvas.sk-scatter').dataset.picked === '{index}'")
    page.wait_for_function(f"document.querySelector('canvas.sk-player').dataset.revision === '{before + 1}'")
    assert f"{names[index]} · kick right" in page.locator("canvas.sk-player").get_attribute("aria-label")
