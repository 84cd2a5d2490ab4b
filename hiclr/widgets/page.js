// What the front ends share: a canvas that fits its cell, follows the theme and takes its listeners along when it goes.
//
// Texts reach the page through textContent and fillText alone: names from files are never read as markup.

/** A bytes trait as numbers of `Type`; copied first, since a view may start at an odd address. */
export function numbers(model, name, Type) {
  const bytes = model.get(name);
  if (!bytes) return new Type(0);
  const whole = bytes.byteLength - (bytes.byteLength % Type.BYTES_PER_ELEMENT);
  return new Type(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + whole));
}

export function element(tag, className, attributes = {}) {
  const made = document.createElement(tag);
  made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** "1 clip", "2 clips" */
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

export const mixed = (colour, percent, other) => `color-mix(in srgb, ${colour} ${percent}%, ${other})`;

/** ipywidgets leave the handles of their sliders without a name; each gets that of its label, or of its switch. */
export function nameSliders(host) {
  for (const handle of host.querySelectorAll(".noUi-handle:not([aria-label])")) {
    const slider = handle.closest(".widget-slider");
    const beside = slider?.parentElement?.querySelector(".widget-checkbox");
    const label = slider?.querySelector(".widget-label")?.textContent.trim() || beside?.textContent.trim();
    if (label) handle.setAttribute("aria-label", label);
  }
}

export class View {
  /** `keys` are the shortcuts of the canvas, as aria-keyshortcuts names them. */
  constructor(model, el, canvasClass, keys) {
    this.model = model;
    this.root = element("div", "sk-root", { "data-lm-suppress-shortcuts": "true" });
    this.canvas = element("canvas", canvasClass, { tabindex: "0", role: "img", "aria-keyshortcuts": keys });
    this.g = this.canvas.getContext("2d");
    this.root.append(this.canvas);
    el.append(this.root);
    this.draws = 0;
    this.closing = new AbortController();
    this.observers = [];
    this.watched = [];
    this.observe(new ResizeObserver(() => this.draw()), this.root);
    // a theme arrives after its attribute has changed, when its style sheet is loaded
    const themed = () => { this.later(); setTimeout(() => this.later(), 400); };
    this.observe(new MutationObserver(themed), document.body, {
      attributes: true, attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "class"],
    });
    this.on(window.matchMedia("(prefers-color-scheme: dark)"), "change", themed);
  }

  get closed() { return this.closing.signal.aborted; }

  on(target, name, action, options = {}) {
    target.addEventListener(name, action, { signal: this.closing.signal, ...options });
  }

  observe(observer, target, options) {
    observer.observe(target, options);
    this.observers.push(observer);
  }

  watch(name, action, kind = "change") {
    this.model.on(`${kind}:${name}`, action);
    this.watched.push([`${kind}:${name}`, action]);
  }

  /** What has to be said of generated clips: to who listens, and in a note to who looks. */
  synthetic() {
    return this.model.get("synthetic") ? "Synthetic clips. " : "";
  }

  mark(note) {
    note.textContent = this.model.get("synthetic") ? "synthetic" : "";
  }

  /** Set a trait, here and in the kernel. */
  send(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  /** Draw once, before the next picture of the page, however often this is called. */
  later() {
    if (this.waiting || this.closed) return;
    this.waiting = requestAnimationFrame(() => this.draw());
  }

  settle() {
    cancelAnimationFrame(this.waiting);
    this.waiting = 0;
  }

  theme() {
    const style = getComputedStyle(this.root);
    const [red, green, blue] = (style.backgroundColor.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
    const dark = 0.3 * red + 0.59 * green + 0.11 * blue < 128;
    return { ink: style.color, paper: style.backgroundColor, font: style.fontFamily || "sans-serif", dark };
  }

  /** Fit the canvas to the cell: `count` tiles, as many in a row as are at least `narrowest` CSS pixels wide. */
  tiles(count, narrowest) {
    const width = Math.max(this.root.clientWidth, 120);
    const fitting = Math.min(Math.max(Math.floor(width / narrowest), 1), Math.max(count, 1));
    const rows = Math.ceil(Math.max(count, 1) / fitting);
    const columns = Math.ceil(Math.max(count, 1) / rows); // 4 tiles in a space for 3: two rows of 2
    const height = this.model.get("height");
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * ratio), Math.round(height * rows * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) {
      [this.canvas.width, this.canvas.height] = [w, h];
      this.canvas.style.height = `${height * rows}px`;
    }
    return { columns, rows, height, width: width / columns, ratio };
  }

  clear(size, theme) {
    const { g } = this;
    g.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
    g.fillStyle = theme.paper;
    g.fillRect(0, 0, size.width * size.columns, size.height * size.rows);
  }

  /** A title, cut with an ellipsis where it would leave its tile. */
  write(text, x, y, width, theme) {
    const { g } = this;
    g.font = `600 13px ${theme.font}`;
    g.textBaseline = "top";
    g.fillStyle = theme.ink;
    g.fillText(this.cut(text, width), x, y);
  }

  /** A text in the canvas's font, cut with an ellipsis where it is wider. */
  cut(text, width) {
    let shown = text;
    while (shown.length > 1 && this.g.measureText(shown).width > width) shown = `${shown.slice(0, -2)}…`;
    return shown;
  }

  /** Data attributes for tests, written after drawing; only those that changed, so that they can be observed. */
  tell(values) {
    for (const [key, value] of Object.entries({ ...values, draws: ++this.draws, revision: this.model.get("revision") })) {
      if (this.canvas.dataset[key] !== String(value)) this.canvas.dataset[key] = value;
    }
  }

  close() {
    this.closing.abort();
    this.settle();
    for (const [name, action] of this.watched) this.model.off(name, action);
    for (const observer of this.observers) observer.disconnect();
    this.root.remove();
  }
}
