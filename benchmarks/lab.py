"""A JupyterLab of its own and a Chromium: what the browser tests and the latency benchmark run in."""

import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["CHROMIUM", "FLAGS", "PATIENCE", "Lab", "jupyter_lab", "open_notebook"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]
PATIENCE = 90_000  # milliseconds: other work may share the machine
START = 60  # seconds

SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}
READY = """() => {
  const context = window.jupyterapp?.shell?.currentWidget?.context;
  const kernel = context?.sessionContext?.session?.kernel;
  return context?.isReady && context.sessionContext.isReady
    && kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""
RUN = "() => { jupyterapp.commands.execute('notebook:run-all-cells') }"  # braces: not to be waited for
DONE = """() => [...document.querySelectorAll(".jp-CodeCell .jp-InputArea-prompt")]
  .every((prompt) => /\\[\\d+\\]/.test(prompt.textContent))"""


class Lab(NamedTuple):
    """A running JupyterLab and its folder of notebooks."""

    address: str
    token: str
    folder: Path


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def own_folders(home: Path) -> dict[str, str]:
    """An environment in which Jupyter touches nothing of the user's."""
    jupyter = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    places = (*jupyter, "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
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
            raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")
        time.sleep(0.1)


def stop(server: subprocess.Popen[bytes], port: int, token: str) -> None:
    """Ask the server to end, which ends its kernels; insist if it does not."""
    ask(port, "POST", "/api/shutdown", token)
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(10)


@contextmanager
def jupyter_lab(home: Path) -> Iterator[Lab]:
    """A server in a folder that is its own; stopped, with its kernels, in the end."""
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
        server = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "jupyterlab", *options],
            env=own_folders(home),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_for_server(port, token, server, log)
            yield Lab(address, token, folder)
        finally:
            stop(server, port, token)


def write_notebook(path: Path, *sources: str) -> None:
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
        for i, source in enumerate(sources)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(book), encoding="utf-8")


def open_notebook(lab: Lab, page: Any, name: str, sources: tuple[str, ...]) -> None:
    """Write a notebook of these cells, open it in the page, run it and wait until every cell has run."""
    write_notebook(lab.folder / f"{name}.ipynb", *sources)
    page.set_default_timeout(PATIENCE)
    page.goto(f"{lab.address}/lab/tree/{name}.ipynb?token={lab.token}&reset")
    page.wait_for_function(READY)
    page.evaluate(RUN)
    page.wait_for_function(DONE)
