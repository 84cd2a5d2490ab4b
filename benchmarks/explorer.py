"""From a click on a point to its playing clip, and how fast large maps pan: the explorer in JupyterLab and Chromium.

    python -m benchmarks.explorer

Five maps of 20,000 points each; a click plays the clip (64 frames, two persons) below, beside one draw of each of the
paper's three views, which are made for that click, and for comparison alone. The time of a click runs from
the pointer's event in the page to the end of the first animation frame after the clip was drawn. While the maps are
dragged, what is counted are the pictures that were drawn. Kernel, server and browser share this machine. Written to
benchmarks/results/explorer.json.
"""

import argparse
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.lab import CHROMIUM, FLAGS, jupyter_lab, open_notebook
from benchmarks.latency import percentiles
from hiclr.runs import environment

RESULTS = Path(__file__).parent / "results" / "explorer.json"
POINTS, MAPS, CLICKS, SECONDS = 20_000, 5, 40, 4
HEIGHT = 320  # CSS pixels of a row of maps

CELL = """
import numpy as np
from hiclr.augmentations import paper_views
from hiclr.datasets import Preprocess, synthetic
from hiclr.widgets import Explorer
from hiclr.widgets.explorer import shown_from
clips = synthetic(subjects=2, cameras=1, frames=64)
rng = np.random.default_rng(0)
look_up = shown_from(clips, Preprocess(64), {views})
y = rng.integers(0, 16, {points})
maps = {{name: rng.normal(0, 1, ({points}, 2)) + 3 * np.stack([y % 4, y // 4], 1) for name in "abcde"}}
features = {{name: rng.normal(0, 1, ({points}, 256)).astype(np.float32) for name in maps}}
explorer = Explorer(maps, y, clips.classes, lambda i: look_up(i % len(clips)), clips.layout, features=features)
explorer
"""
WATCH = """() => {
  window.took = []; window.began = 0; window.pictures = 0;
  document.addEventListener("pointerdown", (event) => { window.began = event.timeStamp; }, true);
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => {
    window.took.push(performance.now() - window.began);
  }))).observe(document.querySelector("canvas.sk-player"), { attributes: true, attributeFilter: ["data-revision"] });
  const [scatter, what] = [document.querySelector("canvas.sk-scatter"), { attributeFilter: ["data-draws"] }];
  new MutationObserver(() => { window.pictures += 1; }).observe(scatter, what);
}"""


def first_map(box: Any) -> dict[str, float]:
    """Where the first of the maps is: five of them lie in one row, or in two where the cell is narrower."""
    rows = round(box["height"] / HEIGHT)
    return {**box, "width": box["width"] / math.ceil(MAPS / rows), "height": HEIGHT}


def clicks(page: Any, box: Any) -> dict[str, float]:
    """One click at a time in the first map, each when the one before has been seen."""
    page.evaluate("window.took.length = 0")
    seen = 0
    for number in range(CLICKS + 2):
        across, down = 0.3 + 0.4 * (number % 7) / 7, 0.3 + 0.4 * (number % 5) / 5
        page.mouse.click(box["x"] + box["width"] * across, box["y"] + box["height"] * down)
        page.wait_for_function(f"window.took.length > {seen}", polling="raf")
        seen = page.evaluate("window.took.length")
        page.wait_for_timeout(30)
    took: list[float] = page.evaluate("window.took")
    return percentiles(took[2:])  # the first ones warm up


def panning(page: Any, box: Any) -> dict[str, float]:
    """The first map is dragged about as fast as the mouse can."""
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 8, y + 8)
    page.evaluate("window.pictures = 0; window.began = performance.now(); 0")
    moves = 0
    while page.evaluate("performance.now() - window.began") < 1000 * SECONDS:
        page.mouse.move(x + 30 * (moves % 3 - 1), y + 20 * (moves % 5 - 2), steps=4)
        moves += 1
    pictures, milliseconds = page.evaluate("[window.pictures, performance.now() - window.began]")
    page.mouse.up()
    return {"pictures_per_s": round(1000 * pictures / milliseconds, 1), "pictures": pictures}


def opened(browser: Any, lab: Any, name: str, views: str) -> tuple[Any, Any]:
    """A page with the explorer in a notebook of its own, and where its first map is."""
    page = browser.new_page(viewport={"width": 1500, "height": 1100})
    open_notebook(lab, page, name, (CELL.format(points=POINTS, views=views),))
    page.wait_for_selector("canvas.sk-player[data-revision]")
    scatter = page.locator("canvas.sk-scatter")
    scatter.scroll_into_view_if_needed()
    page.evaluate(WATCH)
    return page, first_map(scatter.bounding_box())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=RESULTS)
    out = parser.parse_args().out
    from playwright.sync_api import sync_playwright

    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as home, jupyter_lab(Path(home)) as lab, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page, box = opened(browser, lab, "views", "paper_views(clips.layout)")
        rows = {"click to clip beside its views": clicks(page, box), "panning": panning(page, box)}
        page.close()
        rows["click to clip alone"] = clicks(*opened(browser, lab, "alone", "None"))
        version = browser.version
        browser.close()
    load = {"before": before, "after": os.getloadavg()[0]}
    machine = {**environment("cpu"), "cores": os.cpu_count(), "chromium": version}
    result = {"points": POINTS, "maps": MAPS, "machine": machine, "load": load, "rows": rows}
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, row in rows.items():
        print(f"{name:<32} {row}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
