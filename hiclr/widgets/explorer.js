// Maps of clips side by side: what is pointed at, picked or lassoed in one is marked in all.
//
// Pans and zooms are the reader's and stay here; a pick goes to the kernel, which shows the clip and says what is near.

import { View, counted, element, mixed, numbers } from "./page.js";
import { Chart, inside, outline, sprite } from "./chart.js";
import { UNKNOWN, readScales, shade, swatch, told } from "./scales.js";

const TITLE = 24; // CSS pixels above each map
const GAP = 8;
const NARROWEST = 220; // CSS pixels of one map; below that the maps wrap into rows
const BEYOND = 0.35; // of its size that a map is painted beyond its edges, to be there when it is panned
const PI2 = 2 * Math.PI;
const ARROWS = 300; // of a selection, at most
const RING = 9; // CSS pixels from the picked point to its ring
const LETTERS = 60; // of a clip's name, at most
const MOST = 6; // values of a selection that are counted by name
const SIGNS = { right: ["#0072b2", "✓", "the same class"], wrong: ["#d55e00", "✕", "another class"] };

/** Hand a picture to whoever looks, as a download. */
function hand(name, blob) {
  const link = element("a", "", { download: name, href: URL.createObjectURL(blob) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A long name without its middle; it is searched whole. */
function shortened(name) {
  const signs = [...name];
  const head = Math.floor((2 * (LETTERS - 1)) / 3);
  return signs.length <= LETTERS ? name : [...signs.slice(0, head), "…", ...signs.slice(head + 1 - LETTERS)].join("");
}

/** What stands above the legend. */
function tools() {
  const bar = element("div", "sk-tools");
  const colour = element("select", "sk-colour", { "aria-label": "Colour by" });
  const search = element("input", "sk-search", { type: "search", placeholder: "search names", "aria-label": "Search clips by name" });
  const button = (name, text, title) => {
    const made = element("button", `sk-button sk-${name}`, { type: "button", title, "aria-label": title });
    made.textContent = text;
    return made;
  };
  const arrows = button("arrows", "arrows", "Arrows from one map to another");
  const all = button("all", "show all", "End the selection and every filter");
  const png = button("png", "PNG", "Save these maps as PNG");
  const words = element("span", "");
  words.textContent = "colour by";
  bar.append(words, colour, search, arrows, all, png);
  return { bar, colour, search, arrows, all, png };
}

class ExplorerView extends View {
  constructor(model, el) {
    super(model, el, "sk-scatter", "ArrowLeft ArrowRight Escape");
    this.tools = tools();
    this.tip = element("div", "sk-tip", { "aria-hidden": "true" });
    this.legend = element("div", "sk-legend", { role: "group", "aria-label": "Colours; press to show some of them alone" });
    this.status = element("div", "sk-status", { "aria-live": "polite" });
    this.note = element("span", "sk-note");
    this.near = element("div", "sk-list sk-near", { role: "group", "aria-label": "Nearest clips" });
    this.featured = element("div", "sk-list sk-featured", { role: "group", "aria-label": "Listed clips" });
    this.makeUp = element("div", "sk-makeup", { "aria-live": "polite" });
    this.caption = element("div", "sk-caption");
    this.root.append(this.tip, this.tools.bar, this.legend, this.makeUp, this.near, this.featured, this.caption, this.status);
    this.hovered = -1;
    this.colour = 0; // which scale colours the points
    this.arrows = true;
    this.selected = new Set();
    this.listen();
    this.load();
    this.draw();
  }

  listen() {
    const { canvas } = this;
    this.watch("revision", () => { this.load(); this.draw(); });
    for (const name of ["picked", "height"]) this.watch(name, () => this.later());
    this.watch("selected", () => { this.readSelected(); this.later(); });
    this.watch("near", () => { this.paintNear(); this.later(); });
    this.watch("featured", () => this.paintFeatured());
    this.listenToTools();
    this.on(canvas, "pointerdown", (event) => this.press(event));
    this.on(canvas, "pointermove", (event) => this.move(event));
    this.on(canvas, "pointerup", (event) => this.lift(event));
    this.on(canvas, "pointercancel", () => { this.held = null; this.later(); });
    this.on(canvas, "pointerleave", () => this.hover(-1));
    this.on(canvas, "dblclick", (event) => this.home(event));
    this.on(canvas, "wheel", (event) => this.wheel(event), { passive: false });
    this.on(canvas, "keydown", (event) => this.key(event));
  }

  listenToTools() {
    const { colour, search, arrows, all, png } = this.tools;
    this.on(colour, "change", () => this.colourBy(Number(colour.value)));
    this.on(search, "input", () => this.find(search.value));
    this.on(search, "keydown", (event) => {
      if (event.key === "Enter") this.pickFirst();
      else if (event.key === "Escape") { search.value = ""; this.find(""); }
    });
    this.on(arrows, "click", () => { this.arrows = !this.arrows; this.later(); });
    this.on(all, "click", () => this.showAll());
    this.on(png, "click", () => this.canvas.toBlob((blob) => hand("maps.png", blob)));
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
    const [before, filters] = [this.scales ?? [], this.filters];
    this.scales = readScales(model, this.labels);
    this.colour = Math.min(this.colour, this.scales.length - 1);
    // of each scale, the codes that are shown alone, none for all; other maps of the same clips leave them as they are
    const same = (k) => before[k] && ["name", "words"].every((part) => String(before[k][part]) === String(this.scales[k][part]));
    this.filters = this.scales.map((_, k) => (same(k) ? filters[k] : new Set()));
    this.moves = (model.get("moves") ?? []).length === 2 ? model.get("moves") : null;
    this.paintTools();
    this.canvas.setAttribute("aria-label",
      `${counted(this.count, "clip")} in ${panels === 1 ? "1 map" : `${panels} maps side by side`}: ` +
      `${titles.join(", ")}. ${this.synthetic()}` +
      "Click a point to play its clip, arrow keys go to the next.");
    this.mark(this.note);
    this.caption.textContent = model.get("caption") ?? "";
    this.readSelected();
    this.paintNear();
    this.paintFeatured();
    this.stale = true;
    this.dark = undefined;
  }

  paintTools() {
    const { colour, arrows } = this.tools;
    colour.replaceChildren(...this.scales.map((scale, k) => {
      const option = element("option", "", { value: k });
      option.textContent = scale.name;
      return option;
    }));
    colour.value = this.colour;
    arrows.hidden = !this.moves;
    if (!this.moves) return;
    const [from, to] = this.moves.map((p) => this.model.get("titles")[p]);
    for (const name of ["title", "aria-label"]) arrows.setAttribute(name, `Arrows from ${from} to ${to}`);
  }

  colourBy(k) {
    this.colour = k;
    this.tools.colour.value = k;
    this.repaint();
  }

  repaint() {
    this.dark = undefined; // the colours are mixed again, and the legend painted
    this.stale = true;
    this.later();
  }

  showAll() {
    for (const filter of this.filters) filter.clear();
    this.tools.search.value = "";
    this.tellSelected([]);
    this.repaint();
  }

  /** The values of the scale in use, and a chip for each other scale that hides something. */
  paintLegend() {
    const scale = this.scales[this.colour];
    this.legend.replaceChildren(this.note);
    if (scale.words) this.paintWords(scale);
    else this.legend.append(...swatch(scale, this.palette));
    this.filters.forEach((filter, k) => {
      if (!filter.size || k === this.colour) return;
      const chip = element("button", "sk-class sk-chip", { type: "button", "aria-pressed": "true", title: "Show the others again" });
      chip.textContent = `${this.scales[k].name}: ${[...filter].map((code) => this.scales[k].words[code]).join(", ")} ✕`;
      this.on(chip, "click", () => { filter.clear(); this.repaint(); });
      this.legend.append(chip);
    });
  }

  paintWords(scale) {
    const [present, filter] = [new Set(scale.codes), this.filters[this.colour]];
    scale.words.forEach((name, c) => {
      if (!present.has(c)) return;
      const button = element("button", "sk-class", { type: "button", "aria-pressed": String(filter.has(c)) });
      const mark = sprite(this.palette[c], scale.markers[c], 5, 2);
      mark.className = "sk-mark";
      mark.setAttribute("aria-hidden", "true");
      const text = element("span", "");
      text.textContent = name;
      button.append(mark, text);
      this.on(button, "click", () => {
        if (!filter.delete(c)) filter.add(c);
        this.paintLegend();
        this.stale = true;
        this.later();
      });
      this.legend.append(button);
    });
  }

  /** What the kernel found nearest to the picked clip; each plays beside it. */
  paintNear() {
    const { rows = [], of = -1, space = "", each = null } = this.model.get("near") ?? {};
    this.each = each; // of each map the clips that it rings, where they are not those of the list
    this.nearest = rows.filter(([i]) => i >= 0 && i < this.count).map(([i]) => i);
    const right = this.nearest.filter((i) => this.labels[i] === this.labels[of]).length;
    this.list(this.near, rows.length ? `nearest in ${space}, by cosine: ${right} of ${rows.length} of its class` : "",
      rows.map(([i, cosine]) => {
        const [, sign, means] = SIGNS[this.kin(of, i)];
        return { i, sign, title: means, text: `${this.name(i)} · ${this.classes[this.labels[i]]} ${cosine.toFixed(3)}`, kind: this.kin(of, i),
          act: () => this.send("beside", { index: i, n: (this.model.get("beside")?.n ?? 0) + 1 }) };
      }));
  }

  /** The clips that map p rings as near; none while the kernel still looks for those of another clip. */
  ringed(p) {
    if (this.model.get("near")?.of !== this.model.get("picked").index) return [];
    return (this.each?.[p] ?? this.nearest).filter((i) => i >= 0 && i < this.count);
  }

  paintFeatured() {
    const { title = "", rows = [] } = this.model.get("featured") ?? {};
    this.list(this.featured, title, rows.map(([i, note]) =>
      ({ i, sign: "▶", title: "play this clip", text: `${this.text(i, false)} ${note}`, kind: "", act: () => this.pick(i, 0) })));
  }

  /** Is clip i of the class of clip `of`? */
  kin(of, i) { return this.labels[i] === this.labels[of] ? "right" : "wrong"; }

  list(place, title, entries) {
    const heading = element("span", "sk-heading");
    heading.textContent = title;
    place.replaceChildren(heading, ...entries.map(({ i, sign, title: means, text, kind, act }) => {
      const button = element("button", `sk-class ${kind && `sk-${kind}`}`, { type: "button", title: means });
      button.textContent = `${sign} ${text}`;
      this.on(button, "click", act);
      for (const [name, index] of [["pointerenter", i], ["pointerleave", -1]]) {
        this.on(button, name, () => { this.hovered = index; this.later(); });
      }
      return button;
    }));
    place.hidden = !entries.length;
  }

  open(i) { return this.filters.every((filter, k) => !filter.size || filter.has(this.scales[k].codes[i])); }

  get filtered() { return this.filters.some((filter) => filter.size); }

  lit(i) { return this.open(i) && (!this.selected.size || this.selected.has(i)); }

  readSelected() {
    this.selected = new Set(numbers(this.model, "selected", Int32Array));
    this.stale = true;
    this.paintMakeUp();
  }

  /** How many of the selected clips have each class, subject, camera. */
  paintMakeUp() {
    const parts = this.scales.filter((scale) => scale.words).map(({ name, words, codes }) => {
      const counts = new Map();
      for (const i of this.selected) counts.set(codes[i], (counts.get(codes[i]) ?? 0) + 1);
      const most = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
      const more = most.length > MOST ? `, and ${most.length - MOST} more` : "";
      return `${name}: ${most.slice(0, MOST).map(([code, n]) => `${words[code]} (${n})`).join(", ")}${more}`;
    });
    const size = this.selected.size;
    this.makeUp.replaceChildren(...(size ? [`selected ${counted(size, "clip")}`, ...parts] : []).map((text) => {
      const line = element("div", "");
      line.textContent = text;
      return line;
    }));
  }

  find(words) {
    const wanted = words.trim().replace(/\s+/g, " ").toLowerCase();
    const found = wanted ? this.names.flatMap((name, i) => (name.toLowerCase().includes(wanted) ? [i] : [])) : [];
    this.tellSelected(found);
    if (wanted && !found.length) this.makeUp.textContent = "no name holds this";
  }

  pickFirst() {
    const first = this.selected.values().next();
    if (!first.done) this.pick(first.value, this.model.get("picked").panel ?? 0);
  }

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
    this.send("selected", new DataView(Int32Array.from(chosen).buffer));
    this.readSelected();
    this.later();
  }

  pick(index, panel) {
    const n = (this.model.get("picked").n ?? 0) + 1; // counts, so that the same point can be picked twice
    this.send("picked", { index, panel, n });
    this.status.textContent = this.text(index);
    this.later();
  }

  name(i) { return shortened(this.names[i] ?? `clip ${i}`); }

  /** What is known of clip i, as one line. */
  text(i, whole = true) {
    return [this.name(i), ...(whole ? this.scales : this.scales.slice(0, 1)).map((scale) => told(scale, i))].filter(Boolean).join(" · ");
  }

  showTip(text, at) {
    const far = at.x > this.canvas.clientWidth / 2;
    this.tip.textContent = text;
    Object.assign(this.tip.style, {
      display: "block", top: `${at.y + 14}px`,
      left: far ? "" : `${at.x + 14}px`, right: far ? `${this.canvas.clientWidth - at.x + 14}px` : "",
    });
  }

  hover(index, at) {
    if (index >= 0) this.showTip(this.text(index), at);
    else this.tip.style.display = "none";
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
    this.tools.arrows.setAttribute("aria-pressed", String(this.arrows));
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
    const { palette } = this.scales[this.colour];
    this.palette = palette ? palette.map((colour) => (dark ? mixed(colour, 72, "#fff") : colour)) : shade(dark);
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
    const scaled = this.scales[this.colour];
    const codes = scaled.words ? scaled.codes : scaled.steps(this.charts.indexOf(chart));
    const sprites = this.palette.map((colour, c) => sprite(colour, scaled.markers?.[c] ?? "o", size, ratio));
    const scale = chart.scale * ratio;
    const [x0, y0] = [layer.width / 2 - chart.middle[0] * scale, layer.height / 2 + chart.middle[1] * scale];
    for (const bright of this.filtered || this.selected.size ? [false, true] : [true]) {
      g.globalAlpha = bright ? 1 : 0.1;
      for (let i = 0; i < this.count; i++) {
        if (this.lit(i) !== bright) continue;
        const [x, y] = [x0 + points[2 * i] * scale, y0 - points[2 * i + 1] * scale];
        if (x < -9 || y < -9 || x > layer.width + 9 || y > layer.height + 9) continue;
        const image = sprites[codes[i]];
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
    if (this.moves && this.arrows && this.charts[this.moves[1]] === chart) this.drawMoves(chart, index, theme);
    for (const i of this.ringed(this.charts.indexOf(chart))) this.frame(chart, i, this.kin(index, i), theme);
    if (index >= 0 && index < this.count) this.ring(chart, index, RING, 2.5, theme);
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
    const scale = this.scales[this.colour];
    const code = scale.words ? scale.codes[i] : scale.steps(this.charts.indexOf(chart))[i];
    outline(g, scale.markers?.[code] ?? "o", x, y, 0.55 * radius);
    g.fillStyle = this.palette[code];
    g.fill();
    for (const [colour, extra] of [[theme.paper, 2.5], [theme.ink, 0]]) {
      g.beginPath();
      g.arc(x, y, radius, 0, PI2);
      g.strokeStyle = colour;
      g.lineWidth = width + extra;
      g.stroke();
    }
  }

  /** A near clip: a circle where it is of the picked one's class, a dashed square where it is not. */
  frame(chart, i, kind, theme) {
    const { g } = this;
    const [x, y] = chart.at(i);
    const colour = theme.dark ? mixed(SIGNS[kind][0], 65, "#fff") : SIGNS[kind][0];
    for (const [stroke, width] of [[theme.paper, 4], [colour, 2]]) {
      outline(g, kind === "right" ? "o" : "s", x, y, 7);
      g.strokeStyle = stroke;
      g.lineWidth = width;
      g.setLineDash(kind === "wrong" && stroke === colour ? [3, 2] : []);
      g.stroke();
    }
    g.setLineDash([]);
  }

  /** Where the picked clip and those selected have come from, in the map that shares its frame with an earlier one. */
  drawMoves(chart, picked, theme) {
    const { g } = this;
    const before = this.charts[this.moves[0]].points;
    const chosen = [...this.selected].filter((i) => this.open(i));
    const every = Math.ceil(chosen.length / ARROWS) || 1;
    const shown = new Set(chosen.filter((_, k) => k % every === 0));
    if (picked >= 0 && picked < this.count) shown.add(picked);
    g.strokeStyle = g.fillStyle = theme.ink;
    for (const i of shown) {
      g.globalAlpha = i === picked ? 0.9 : 0.35;
      g.lineWidth = i === picked ? 1.8 : 1;
      this.arrow(chart.place(before[2 * i], before[2 * i + 1]), chart.at(i), i === picked ? RING + 3 : 0);
    }
    g.globalAlpha = 1;
  }

  /** An arrow that ends `short` pixels before its goal, so that a ring there does not cover its head. */
  arrow([xa, ya], goal, short) {
    const { g } = this;
    const length = Math.hypot(goal[0] - xa, goal[1] - ya);
    if (length < 4 + short) return;
    const [ux, uy] = [(goal[0] - xa) / length, (goal[1] - ya) / length];
    const [xb, yb] = [goal[0] - short * ux, goal[1] - short * uy];
    g.beginPath();
    g.moveTo(xa, ya);
    g.lineTo(xb, yb);
    g.stroke();
    g.beginPath();
    g.moveTo(xb, yb);
    g.lineTo(xb - 8 * ux - 3.5 * uy, yb - 8 * uy + 3.5 * ux);
    g.lineTo(xb - 8 * ux + 3.5 * uy, yb - 8 * uy - 3.5 * ux);
    g.fill();
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
      near: this.nearest.join(" "),
      rings: this.charts.map((_, p) => this.ringed(p).join(" ")).join(" | "),
      colour: this.scales[this.colour].name,
      arrows: this.moves ? String(this.arrows) : "",
      zooms: this.charts.map((chart) => chart.zoom.toFixed(3)).join(" "),
    });
  }
}

function render({ model, el }) {
  const view = new ExplorerView(model, el);
  return () => view.close();
}

export { ExplorerView, inside };
export default { render };
