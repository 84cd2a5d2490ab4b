// One map of clips: where its points are, which of them is meant, and the markers that stand for them.

const NEAR = 10; // CSS pixels within which the pointer means a point
const TURN = 2 * Math.PI;
const PLUS = [[0.4, 1.2], [0.4, 0.4], [1.2, 0.4]]; // a quarter of it
for (let k = 0; k < 9; k++) PLUS.push([PLUS[k][1], -PLUS[k][0]]);

/** The outline of a marker of `size` around (x, y); areas are about equal. */
export function outline(g, marker, x, y, size) {
  const corners = {
    "^": [[0, -1.25], [1.15, 0.8], [-1.15, 0.8]],
    v: [[0, 1.25], [1.15, -0.8], [-1.15, -0.8]],
    s: [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
    D: [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]],
    P: PLUS,
    X: PLUS.map(([x, y]) => [0.71 * (x - y), 0.71 * (x + y)]),
  }[marker];
  g.beginPath();
  if (!corners) return g.arc(x, y, size, 0, TURN);
  for (const [dx, dy] of corners) g.lineTo(x + dx * size, y + dy * size);
  return g.closePath();
}

/** One marker, drawn once and then copied for each point. */
export function sprite(colour, marker, size, ratio) {
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
export function inside(path, x, y) {
  let odd = false;
  for (let i = 0, j = path.length - 1; i < path.length; j = i++) {
    const [[xi, yi], [xj, yj]] = [path[i], path[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}

/** One map: its points in its own coordinates, and the part of it that is in sight. */
export class Chart {
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
  at(i) { return this.place(this.points[2 * i], this.points[2 * i + 1]); }

  /** Pixels, within this map, of the map's (x, y). */
  place(x, y) {
    return [this.width / 2 + (x - this.middle[0]) * this.scale, this.height / 2 - (y - this.middle[1]) * this.scale];
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
