// Clips that were taken for another class, in the cells of a confusion matrix: a click on a cell lists its clips.

import { counted, element } from "./page.js";
import { Chart } from "./chart.js";
import { ExplorerView } from "./explorer.js";

const [LINE, BESIDE] = [12, 12]; // CSS pixels: height of a name, and what is free beside it
const [WIDEST, HIGHEST] = [0.35, 0.45]; // share of the matrix that its names may take
const FREE = 15; // CSS pixels that a chart keeps free at its edges

/** A matrix that fills its place. Its points are given as (column, -row), each less than half a cell beside it. */
class Grid extends Chart {
  constructor(points, title, rows, columns, longest) {
    super(points, title);
    Object.assign(this, { given: points, rows, columns, longest });
  }

  put(left, top, width, height) {
    if (width !== this.width || height !== this.height) this.fill(width, height);
    super.put(left, top, width, height);
  }

  /** Points in pixels, names to the left and above: a scale of 1 shows the whole matrix. */
  fill(width, height) {
    const [row, column] = this.longest; // CSS pixels of the longest names
    this.names = Math.min(row + BESIDE, WIDEST * width);
    this.across = (width - this.names) / this.columns;
    this.level = this.across >= column + BESIDE; // there is room to write them level
    this.head = this.level ? LINE + BESIDE : Math.min(column + BESIDE, HIGHEST * height);
    this.down = (height - this.head) / this.rows;
    this.points = this.given.map((value, k) =>
      (k % 2 ? (value - 0.5) * this.down - this.head : (value + 0.5) * this.across + this.names));
    [this.x, this.y] = [[FREE, width - FREE], [FREE - height, -FREE]];
    this.reset();
  }

  /** [row, column] of clip i. */
  cell(i) { return [Math.round(-this.given[2 * i + 1]), Math.round(this.given[2 * i])]; }

  /** [row, column] below a point of the canvas; they may lie outside the matrix. */
  below(x, y) {
    const [column, row] = [
      (x - this.left - this.width / 2) / this.scale + this.middle[0] - this.names,
      (y - this.top - this.height / 2) / this.scale - this.middle[1] - this.head,
    ];
    return [Math.floor(row / this.down), Math.floor(column / this.across)];
  }

  /** Left, top, width and height, within this map, of a cell. */
  box([row, column]) {
    const [left, top] = this.place(this.names + column * this.across, -this.head - row * this.down);
    return [left, top, this.across * this.scale, this.down * this.scale];
  }
}

class ConfusionsView extends ExplorerView {
  listen() {
    this.clips = element("div", "sk-list sk-cell", { role: "group", "aria-label": "Clips of the cell" });
    super.listen();
    this.near.before(this.clips);
    this.watch("picked", () => this.paintCell());
  }

  load() {
    super.load();
    [this.rows, this.columns] = [this.model.get("rows"), this.model.get("columns")];
    this.g.font = this.font(this.theme());
    const longest = [this.rows, this.columns].map((names) => Math.max(...names.map((name) => this.g.measureText(name).width)));
    this.charts = this.charts.map(({ points, title }) => new Grid(points, title, this.rows.length, this.columns.length, longest));
    this.cells = new Map(); // "row column" -> clips
    for (let i = 0; i < this.count; i++) {
      const key = this.charts[0].cell(i).join(" ");
      this.cells.set(key, [...(this.cells.get(key) ?? []), i]);
    }
    this.most = Math.max(...[...this.cells.values()].map((clips) => clips.length));
    this.paintCell();
  }

  font(theme) { return `${LINE}px ${theme.font}`; }

  within(cell) { return this.cells.get(cell.join(" ")) ?? []; }

  get picked() {
    const { index = -1 } = this.model.get("picked");
    return index >= 0 && index < this.count ? this.charts[0].cell(index) : null;
  }

  words([row, column], clips) { return `${this.rows[row]} taken for ${this.columns[column]}: ${counted(clips.length, "clip")}`; }

  /** The clips of the picked one's cell; each plays. */
  paintCell() {
    const cell = this.picked;
    const clips = cell ? this.within(cell) : [];
    this.list(this.clips, cell ? this.words(cell, clips) : "", clips.map((i) =>
      ({ i, sign: "▶", title: "play this clip", text: this.name(i).replace(/: taken for .*/s, ""), kind: "", act: () => this.pick(i, 0) })));
  }

  lift(event) {
    const { held } = this;
    const { n } = this.model.get("picked");
    super.lift(event);
    if (!held || held.moved || this.model.get("picked").n !== n) return;
    const first = this.within(this.charts[held.panel].below(held.x, held.y)).find((i) => this.open(i));
    if (first !== undefined) this.pick(first, held.panel);
  }

  hover(index, at) {
    super.hover(index, at);
    if (index >= 0 || !at || at.panel < 0) return;
    const cell = this.charts[at.panel].below(at.x, at.y);
    const clips = this.within(cell);
    if (clips.length) this.showTip(this.words(cell, clips), at);
  }

  drawChart(chart, theme) {
    const { g } = this;
    g.save();
    g.translate(chart.left, chart.top);
    g.beginPath();
    g.rect(0, 0, chart.width, chart.height);
    g.clip();
    this.drawCells(chart, theme);
    this.drawNames(chart, theme);
    g.restore();
    super.drawChart(chart, theme);
  }

  /** The darker the more clips; a stroke through what is no confusion, a frame around the picked cell. */
  drawCells(chart, theme) {
    const { g } = this;
    g.fillStyle = g.strokeStyle = theme.ink;
    for (const [key, clips] of this.cells) {
      g.globalAlpha = 0.05 + (0.17 * clips.length) / this.most;
      g.fillRect(...chart.box(key.split(" ").map(Number)));
    }
    this.drawLines(chart);
    g.globalAlpha = 1;
    g.lineWidth = 2;
    if (!this.picked) return;
    const [left, top, width, height] = chart.box(this.picked);
    g.strokeRect(left + 1, top + 1, width - 2, height - 2);
  }

  drawLines(chart) {
    const { g, rows, columns } = this;
    const [[left, top], [right, bottom]] = [chart.box([0, 0]), chart.box([rows.length, columns.length])];
    const line = (...ends) => ends.forEach(([x, y], k) => (k ? g.lineTo(x, y) : g.moveTo(x, y)));
    g.beginPath();
    for (let row = 0; row <= rows.length; row++) {
      const [, y] = chart.box([row, 0]);
      line([left, y], [right, y]);
    }
    for (let column = 0; column <= columns.length; column++) {
      const [x] = chart.box([0, column]);
      line([x, top], [x, bottom]);
    }
    rows.forEach((name, row) => {
      const column = columns.indexOf(name);
      if (column < 0) return;
      const [x, y, width, height] = chart.box([row, column]);
      line([x, y], [x + width, y + height]);
    });
    g.globalAlpha = 0.2;
    g.lineWidth = 1;
    g.stroke();
  }

  /** Names of rows and columns; of many, every so many. */
  drawNames(chart, theme) {
    const { g } = this;
    const [left, top, width, height] = chart.box([0, 0]);
    const each = (step) => Math.max(Math.ceil((LINE + 2) / step), 1);
    g.font = this.font(theme);
    g.fillStyle = theme.ink;
    g.textBaseline = "middle";
    g.textAlign = "right";
    for (let row = 0; row < chart.rows; row += each(height)) {
      g.fillText(this.cut(this.rows[row], chart.names - BESIDE + 1), left - 6, top + (row + 0.5) * height);
    }
    g.textAlign = chart.level ? "center" : "left";
    for (let column = 0; column < chart.columns; column += chart.level ? 1 : each(width)) {
      g.save();
      g.translate(left + (column + 0.5) * width, top - 6);
      if (!chart.level) g.rotate(-Math.PI / 2);
      g.fillText(this.cut(this.columns[column], (chart.level ? width : chart.head) - BESIDE + 1), 0, chart.level ? -2 : 0);
      g.restore();
    }
    g.textAlign = "left";
  }

  tell(values) {
    const [{ names, head, across, down } = {}] = this.charts; // no map: the data does not fit, and that is said
    super.tell({ ...values, cell: (this.picked ?? []).join(" "), grid: [names, head, across, down].join(" ") });
  }
}

export default {
  render({ model, el }) {
    const view = new ConfusionsView(model, el);
    return () => view.close();
  },
};
