"""From a slider's move to the changed picture: the workbench in JupyterLab and Chromium.

    python -m benchmarks.latency

Four players, T = 64, two persons. The time runs from the key's event in the page to the end of the first animation
frame after the new data was drawn, so it is an upper bound good to about two frames; kernel, server and browser share
this machine. Written to benchmarks/results/latency.json with the machine and its load: other work makes it longer.
"""

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.lab import CHROMIUM, FLAGS, jupyter_lab, open_notebook
from hiclr.datasets import synthetic
from hiclr.pretraining import PRESETS, prepare_run, pretrain
from hiclr.runs import environment

RESULTS = Path(__file__).parent / "results"
MOVES = 60
DRAG = 60  # pointer moves of a drag

CELL = """
from hiclr.augmentations import paper_views, small_views
from hiclr.datasets import Preprocess, synthetic
from hiclr.widgets import AugmentationBench
clips = synthetic(subjects=2, cameras=1, frames=64, actions=["shake hands", "kick right"])
run = {run!r}
views = small_views(clips.layout) if run else paper_views(clips.layout)
bench = AugmentationBench(clips, views, None if run else Preprocess(64), run=run or None)
bench.player.playing = {playing}
assert bench.player.shape == [4, 64, 2, 25], bench.player.shape
bench
"""

# Notes when a key or the pointer moved, and when what came of it had been on the screen for a frame.
WATCH = """() => {
  const canvas = document.querySelector("canvas.sk-player");
  window.took = []; window.drawn = []; window.moved = 0;
  const note = (event) => { window.moved = event.timeStamp; };
  document.addEventListener("keydown", note, true);
  document.addEventListener("pointermove", note, true);
  new MutationObserver(() => {
    const began = window.moved;
    requestAnimationFrame(() => setTimeout(() => {
      window.took.push(performance.now() - began);
      window.drawn.push(performance.now());
    }));
  }).observe(canvas, { attributes: true, attributeFilter: ["data-revision"] });
}"""


def percentiles(milliseconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(milliseconds, n=20, method="inclusive")
    row = {"median_ms": statistics.median(milliseconds), "p95_ms": cuts[18]}
    row |= {"least_ms": min(milliseconds), "most_ms": max(milliseconds)}
    return {key: round(value, 1) for key, value in row.items()} | {"moves": len(milliseconds)}


def keys(page: Any, name: str) -> dict[str, float]:
    """One move at a time, each when the one before has been seen."""
    handle = page.locator(".widget-slider", has=page.get_by_text(name, exact=True)).locator(".noUi-handle")
    handle.focus()
    page.evaluate("window.took.length = 0")
    for move in range(MOVES + 3):
        page.keyboard.press("ArrowLeft" if move % 40 < 20 else "ArrowRight")
        page.wait_for_function(f"window.took.length > {move}", polling="raf")
        page.wait_for_timeout(20)
    took: list[float] = page.evaluate("window.took")
    return percentiles(took[3:])  # the first ones warm up


def drag(page: Any, name: str) -> dict[str, float]:
    """The mouse drags the handle as fast as it can: how many pictures come, and how late the last one is."""
    slider = page.locator(".widget-slider", has=page.get_by_text(name, exact=True))
    box = slider.locator(".noUi-base").bounding_box()
    handle = slider.locator(".noUi-handle").bounding_box()
    y = handle["y"] + handle["height"] / 2
    page.mouse.move(handle["x"] + handle["width"] / 2, y)
    page.mouse.down()
    page.evaluate("window.drawn.length = 0; window.began = performance.now(); 0")
    for step in range(DRAG):
        page.mouse.move(box["x"] + box["width"] * (1 - (step + 1) / (DRAG + 1)), y)
    ended = page.evaluate("performance.now()")
    page.mouse.up()
    page.wait_for_timeout(1500)
    drawn, began = page.evaluate("[window.drawn, window.began]")
    late = max(drawn[-1] - ended, 0.0)
    row = {"moves": DRAG, "seconds": (ended - began) / 1000, "pictures": len(drawn), "last_after_the_end_ms": late}
    return {key: round(value, 2) for key, value in row.items()}


def measured(lab: Any, browser: Any, name: str, run: str, playing: bool) -> dict[str, Any]:
    """The keys and the drag in a notebook of its own."""
    page = browser.new_page(viewport={"width": 1300, "height": 1100})
    open_notebook(lab, page, name, (CELL.format(run=run, playing=playing),))
    page.wait_for_selector("canvas.sk-player[data-revision]")
    page.locator(".jp-CodeCell").last.evaluate("(cell) => cell.scrollIntoView()")
    page.evaluate(WATCH)
    row = {"keys": keys(page, "basic"), "drag": drag(page, "basic")}
    page.close()
    return row


def trained(folder: Path) -> str:
    """A run of the small preset on a few clips, with the 64 frames that are shown: its speed is that of any run."""
    clips = synthetic(subjects=4, cameras=1, frames=64)
    config = replace(PRESETS["small"], epochs=1, least_steps=1, frames=64, device="cpu", knn_every=0)
    list(pretrain(clips, config, prepare_run(folder, config, clips)))
    return str(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=RESULTS / "latency.json")
    out = parser.parse_args().out
    from playwright.sync_api import sync_playwright

    before = os.getloadavg()[0]
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as home:
        run = trained(Path(home) / "run")
        with jupyter_lab(Path(home)) as lab, sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            rows["paper ladder, paused"] = measured(lab, browser, "paused", "", playing=False)
            rows["paper ladder, playing"] = measured(lab, browser, "playing", "", playing=True)
            rows["small ladder with a run's encoder, playing"] = measured(lab, browser, "run", run, playing=True)
            version = browser.version
            browser.close()
    load = {"before": before, "after": os.getloadavg()[0]}  # processes that want a core, mean of the last minute
    machine = {**environment("cpu"), "cores": os.cpu_count(), "chromium": version}
    result = {"players": 4, "frames": 64, "persons": 2, "joints": 25, "machine": machine, "load": load, "rows": rows}
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, row in rows.items():
        print(f"{name:<46} {row['keys']}\n{'':<46} {row['drag']}")
    print(f"load {load}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
