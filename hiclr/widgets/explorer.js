// Maps of clips side by side: what is pointed at, picked or lassoed in one is marked in all.
//
// Pans and zooms are the reader's and stay here; a pick goes to the kernel, which shows the clip.

import { View, counted, element, mixed, numbers } from "./page.js";

const NEAR = 10; // CSS pixels within which the pointer means a point
const TITLE = 24; // CSS pixels above each map
const GAP = 8;
const NARROWEST = 220; // CSS pixels of one map; below that the maps wrap into rows
const BEYOND = 0.35; // of its size that a map is painted beyond its edges, to be there when it is panned
const PI2 = 2 * Math.PI;

/** The outline of a marker of `size` around (x, y); areas are about equal. */
function outline(g, marker, x, y, size) {
  const corners = {
    "^": [[0, -1.25], [1.15, 0.8], [-1.15, 0.8]],
    v: [[0, 1.25], [1.15, -0.8], [-1.15, -0.8]],
    s: [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
    D: [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]],
  }[marker];
  g.beginPath();
  if (!corners) return g.arc(x, y, size, 0, PI2);
  for (const [dx, dy] of corners) g.lineTo(x + dx * size, y + dy * size);
  return g.closePath();
}

/** One marker, drawn once and then copied for each point. */
function sprite(colour, marker, size, ratio) {
  const canvas = document.createElement("canvas");
  const half = Math.ceil(1.4 * size * ratio) + 1;
  canvas.width = canvas.height = 2 * half;
  const g = canvas.getContext("2d");
  outline(g, marker, half, half, size * ratio);
  g.fillStyle = colour;
  g.globalAlpha = 0.85;
  g.fill();
  return canvas;
}

/** Is (x, y) inside the closed path? Counts crossings to the right of it. */
function inside(path, x, y) {
  let odd = false;
  for (let i = 0, j = path.length - 1; i < path.length; j = i++) {
    const [[xi, yi], [xj, yj]] = [path[i], path[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}

/** One map: its points in its own coordinates, and the part of it that is in sight. */
class Chart {
  constructor(points, title) {
    this.points = points;
    this.title = title;
    this.layer = document.createElement("canvas");
    const [x, y] = [0, 1].map((axis) => points.filter((_, i) => i % 2 === axis));
    const range = (values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
    [this.x, this.y] = [range(x), range(y)];
    this.reset();
  }

  reset() {
    this.middle = [(this.x[0] + this.x[1]) / 2, (this.y[0] + this.y[1]) / 2];
    this.zoom = 1;
    this.stale = true;
  }

  put(left, top, width, height) {
    Object.assign(this, { left, top, width, height });
    const fit = Math.min((width - 30) / (this.x[1] - this.x[0] || 1), (height - 30) / (this.y[1] - this.y[0] || 1));
    this.fit = fit > 0 && Number.isFinite(fit) ? fit : 1;
  }

  get scale() { return this.fit * this.zoom; }

  /** Pixels, within this map, of point i. Both axes have one scale; y is up. */
  at(i) {
    return [
      this.width / 2 + (this.points[2 * i] - this.middle[0]) * this.scale,
      this.height / 2 - (this.points[2 * i + 1] - this.middle[1]) * this.scale,
    ];
  }

  has(x, y) {
    return x >= this.left && x < this.left + this.width && y >= this.top && y < this.top + this.height;
  }

  /** Pixels by which the map was panned since it was painted. */
  drift() {
    return [(this.painted[0] - this.middle[0]) * this.scale, (this.middle[1] - this.painted[1]) * this.scale];
  }

  pan(dx, dy) {
    this.middle = [this.middle[0] - dx / this.scale, this.middle[1] + dy / this.scale];
  }

  zoomAt(x, y, factor) {
    const before = this.scale;
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.3), 200);
    this.stale = true;
    const shift = 1 / before - 1 / this.scale;
    this.middle[0] += (x - this.left - this.width / 2) * shift;
    this.middle[1] -= (y - this.top - this.height / 2) * shift;
  }

  nearest(x, y, open) {
    let [best, least] = [-1, NEAR * NEAR];
    const { points, scale } = this;
    const [mx, my] = [(x - this.left - this.width / 2) / scale + this.middle[0], this.middle[1] - (y - this.top - this.height / 2) / scale];
    for (let i = 0; i < points.length / 2; i++) {
      const far = ((points[2 * i] - mx) ** 2 + (points[2 * i + 1] - my) ** 2) * scale * scale;
      if (far < least && open(i)) [best, least] = [i, far];
    }
    return best;
  }
}

class ExplorerView extends View {
  constructor(model, el) {
    super(model, el, "sk-scatter", "ArrowLeft ArrowRight Escape");
    this.tip = element("div", "sk-tip", { "aria-hidden": "true" });
    this.legend = element("div", "sk-legend", { role: "group", "aria-label": "Classes; press to show some of them alone" });
    this.status = element("div", "sk-status", { "aria-live": "polite" });
    this.note = element("span", "sk-note");
    this.root.append(this.tip, this.legend, this.status);
    this.hovered = -1;
    this.alone = new Set(); // classes shown alone; none means all
    this.selected = new Set();
    this.listen();
    this.load();
    this.draw();
  }

  listen() {
    const { canvas } = this;
    this.watch("revision", () => { this.load(); this.draw(); });
    for (const name of ["picked", "height"]) this.watch(name, () => this.later());
    this.on(canvas, "pointerdown", (event) => this.press(event));
    this.on(canvas, "pointermove", (event) => this.move(event));
    this.on(canvas, "pointerup", (event) => this.lift(event));
    this.on(canvas, "pointercancel", () => { this.held = null; this.later(); });
    this.on(canvas, "pointerleave", () => this.hover(-1));
    this.on(canvas, "dblclick", (event) => this.home(event));
    this.on(canvas, "wheel", (event) => this.wheel(event), { passive: false });
    this.on(canvas, "keydown", (event) => this.key(event));
  }

  load() {
    const { model } = this;
    const [panels, count] = [model.get("panels"), model.get("count")];
    const xy = numbers(model, "xy", Float32Array);
    this.fault = !panels || !count ? "no map" : xy.length !== 2 * panels * count ? "the map does not fit its size" : "";
    this.count = this.fault ? 0 : count;
    this.labels = numbers(model, "labels", Uint8Array);
    [this.names, this.classes] = [model.get("names"), model.get("classes")];
    const titles = model.get("titles");
    this.charts = Array.from({ length: this.fault ? 0 : panels }, (_, p) =>
      new Chart(xy.subarray(2 * p * count, 2 * (p + 1) * count), titles[p] ?? ""));
    this.canvas.setAttribute("aria-label",
      `${counted(this.count, "clip")} in ${panels === 1 ? "1 map" : `${panels} maps side by side`}: ` +
      `${titles.join(", ")}. ${this.synthetic()}` +
      "Click a point to play its clip, arrow keys go to the next.");
    this.mark(this.note);
    this.stale = true;
    this.dark = undefined;
  }

  paintLegend() {
    this.legend.replaceChildren(this.note);
    const present = new Set(this.labels);
    this.classes.forEach((name, c) => {
      if (!present.has(c)) return;
      const button = element("button", "sk-class", { type: "button", "aria-pressed": String(this.alone.has(c)) });
      const mark = sprite(this.palette[c], this.model.get("markers")[c], 5, 2);
      mark.className = "sk-mark";
      mark.setAttribute("aria-hidden", "true");
      const text = element("span", "");
      text.textContent = name;
      button.append(mark, text);
      this.on(button, "click", () => {
        if (!this.alone.delete(c)) this.alone.add(c);
        this.paintLegend();
        this.stale = true;
        this.later();
      });
      this.legend.append(button);
    });
  }

  open(i) { return !this.alone.size || this.alone.has(this.labels[i]); }

  lit(i) { return this.open(i) && (!this.selected.size || this.selected.has(i)); }

  where(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return { x, y, panel: this.charts.findIndex((chart) => chart.has(x, y)) };
  }

  press(event) {
    const at = this.where(event);
    if (at.panel < 0 || event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.held = { ...at, moved: false, lasso: event.shiftKey ? [[at.x, at.y]] : null };
  }

  move(event) {
    const at = this.where(event);
    const { held } = this;
    if (!held) {
      this.hover(at.panel < 0 ? -1 : this.charts[at.panel].nearest(at.x, at.y, (i) => this.open(i)), at);
      return;
    }
    held.moved ||= Math.hypot(at.x - held.x, at.y - held.y) > 4;
    if (!held.moved) return;
    if (held.lasso) held.lasso.push([at.x, at.y]);
    else {
      this.charts[held.panel].pan(at.x - held.x, at.y - held.y);
      [held.x, held.y] = [at.x, at.y];
    }
    this.hover(-1);
    this.later();
  }

  lift(event) {
    const { held } = this;
    this.held = null;
    if (!held) return;
    if (held.lasso && held.moved) this.select(held);
    else if (!held.moved) {
      const at = this.where(event);
      const index = this.charts[held.panel].nearest(at.x, at.y, (i) => this.open(i));
      if (index >= 0) this.pick(index, held.panel);
    }
    this.later();
  }

  select({ lasso, panel }) {
    const chart = this.charts[panel];
    const chosen = [];
    for (let i = 0; i < this.count; i++) {
      const [x, y] = chart.at(i);
      if (this.open(i) && inside(lasso, x + chart.left, y + chart.top)) chosen.push(i);
    }
    this.tellSelected(chosen);
  }

  tellSelected(chosen) {
    this.selected = new Set(chosen);
    this.stale = true;
    this.send("selected", new DataView(Int32Array.from(chosen).buffer));
    this.later();
  }

  pick(index, panel) {
    const n = (this.model.get("picked").n ?? 0) + 1; // counts, so that the same point can be picked twice
    this.send("picked", { index, panel, n });
    this.status.textContent = this.text(index);
    this.later();
  }

  text(i) {
    const name = this.names[i] ?? `clip ${i}`;
    const label = this.classes[this.labels[i]];
    return label === undefined ? name : `${name} · ${label}`;
  }

  hover(index, at) {
    if (index >= 0) {
      const far = at.x > this.canvas.clientWidth / 2;
      this.tip.textContent = this.text(index);
      Object.assign(this.tip.style, {
        display: "block", top: `${at.y + 14}px`,
        left: far ? "" : `${at.x + 14}px`, right: far ? `${this.canvas.clientWidth - at.x + 14}px` : "",
      });
    } else this.tip.style.display = "none";
    if (index === this.hovered) return;
    this.hovered = index;
    this.canvas.style.cursor = index >= 0 ? "pointer" : "";
    this.send("hovered", index);
    this.later();
  }

  wheel(event) {
    const at = this.where(event);
    if (at.panel < 0) return;
    event.preventDefault();
    this.charts[at.panel].zoomAt(at.x, at.y, Math.exp(-0.002 * event.deltaY));
    this.hover(-1);
    this.later();
  }

  home(event) {
    const at = this.where(event);
    if (at.panel < 0 || this.charts[at.panel].nearest(at.x, at.y, (i) => this.open(i)) >= 0) return;
    this.charts[at.panel].reset();
    this.later();
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      const { index = 0, panel = 0 } = this.model.get("picked");
      for (let k = 1; k <= this.count; k++) {
        const next = (((index + step * k) % this.count) + this.count) % this.count;
        if (!this.lit(next)) continue;
        this.pick(next, panel);
        break;
      }
    } else if (event.key === "Escape") this.tellSelected([]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  draw() {
    this.settle();
    if (this.closed) return;
    const size = this.tiles(this.charts.length, NARROWEST);
    const theme = this.theme();
    this.place(size);
    const state = JSON.stringify([size, theme]);
    this.darken(theme.dark);
    for (const chart of this.charts) {
      if (state !== this.state || this.stale || this.worn(chart)) this.paintPoints(chart, size.ratio);
    }
    [this.state, this.stale] = [state, false];
    this.clear(size, theme);
    if (this.fault) this.write(this.fault, GAP, 7, size.width, theme);
    for (const chart of this.charts) this.drawChart(chart, theme);
    if (this.held?.lasso) this.drawLasso(this.held.lasso, theme);
    this.report();
  }

  /** Put each map into its tile, below its title. */
  place({ columns, width, height }) {
    const each = (columns * width - GAP * (columns + 1)) / columns;
    this.charts.forEach((chart, p) =>
      chart.put(GAP + (p % columns) * (each + GAP), Math.floor(p / columns) * height + TITLE, each, height - TITLE - GAP));
  }

  /** Dark paper needs lighter classes; the hues stay those of the figures. */
  darken(dark) {
    if (dark === this.dark) return;
    this.dark = dark;
    const palette = this.model.get("palette");
    this.palette = dark ? palette.map((colour) => mixed(colour, 72, "#fff")) : palette;
    this.paintLegend();
  }

  /** Paint the points once, on a layer larger than the map: a pan then moves a picture, not 20,000 points. */
  paintPoints(chart, ratio) {
    const { layer, points } = chart;
    const [left, top] = [Math.ceil(BEYOND * chart.width * ratio), Math.ceil(BEYOND * chart.height * ratio)];
    [layer.width, layer.height] = [Math.round(chart.width * ratio) + 2 * left, Math.round(chart.height * ratio) + 2 * top];
    Object.assign(chart, { painted: [...chart.middle], beyond: [left / ratio, top / ratio], stale: false });
    const g = layer.getContext("2d");
    const size = Math.min(Math.max(90 / Math.sqrt(this.count), 1.7), 4.2) * Math.min(Math.max(chart.zoom, 1) ** 0.35, 2.2);
    const markers = this.model.get("markers");
    const sprites = this.palette.map((colour, c) => sprite(colour, markers[c], size, ratio));
    const scale = chart.scale * ratio;
    const [x0, y0] = [layer.width / 2 - chart.middle[0] * scale, layer.height / 2 + chart.middle[1] * scale];
    for (const bright of this.alone.size || this.selected.size ? [false, true] : [true]) {
      g.globalAlpha = bright ? 1 : 0.1;
      for (let i = 0; i < this.count; i++) {
        if (this.lit(i) !== bright) continue;
        const [x, y] = [x0 + points[2 * i] * scale, y0 - points[2 * i + 1] * scale];
        if (x < -9 || y < -9 || x > layer.width + 9 || y > layer.height + 9) continue;
        const image = sprites[this.labels[i]];
        g.drawImage(image, Math.round(x - image.width / 2), Math.round(y - image.height / 2));
      }
    }
  }

  /** Has a pan gone beyond what was painted, or has it ended? */
  worn(chart) {
    const [dx, dy] = chart.drift();
    return chart.stale || Math.abs(dx) > chart.beyond[0] || Math.abs(dy) > chart.beyond[1] || (!this.held && (dx || dy));
  }

  drawChart(chart, theme) {
    const { g } = this;
    this.write(chart.title, chart.left + 2, chart.top - TITLE + 7, chart.width - 4, theme);
    g.save();
    g.translate(chart.left, chart.top);
    g.beginPath();
    g.rect(0, 0, chart.width, chart.height);
    g.clip();
    const [dx, dy] = chart.drift();
    const [bx, by] = chart.beyond;
    g.drawImage(chart.layer, dx - bx, dy - by, chart.width + 2 * bx, chart.height + 2 * by);
    const { index = -1 } = this.model.get("picked");
    if (index >= 0 && index < this.count) this.ring(chart, index, 9, 2.5, theme);
    if (this.hovered >= 0 && this.hovered < this.count) this.ring(chart, this.hovered, 7, 1.5, theme);
    g.restore();
    g.globalAlpha = 0.25;
    g.strokeStyle = theme.ink;
    g.lineWidth = 1;
    g.strokeRect(chart.left + 0.5, chart.top + 0.5, chart.width - 1, chart.height - 1);
    g.globalAlpha = 1;
  }

  /** The point once more, above the others, with a ring of ink on a ring of paper. */
  ring(chart, i, radius, width, theme) {
    const { g } = this;
    const [x, y] = chart.at(i);
    const label = this.labels[i];
    outline(g, this.model.get("markers")[label], x, y, 0.55 * radius);
    g.fillStyle = this.palette[label];
    g.fill();
    for (const [colour, extra] of [[theme.paper, 2.5], [theme.ink, 0]]) {
      g.beginPath();
      g.arc(x, y, radius, 0, PI2);
      g.strokeStyle = colour;
      g.lineWidth = width + extra;
      g.stroke();
    }
  }

  drawLasso(path, theme) {
    const { g } = this;
    g.beginPath();
    for (const [x, y] of path) g.lineTo(x, y);
    g.closePath();
    g.setLineDash([5, 4]);
    g.strokeStyle = theme.ink;
    g.lineWidth = 1.5;
    g.stroke();
    g.setLineDash([]);
  }

  /** What tests read, after drawing. */
  report() {
    this.tell({
      picked: this.model.get("picked").index ?? -1,
      hovered: this.hovered,
      selected: this.selected.size,
      zooms: this.charts.map((chart) => chart.zoom.toFixed(3)).join(" "),
    });
  }
}

function render({ model, el }) {
  const view = new ExplorerView(model, el);
  return () => view.close();
}

export { inside };
export default { render };
