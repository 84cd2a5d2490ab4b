// Maps of the same clips at several stages of training: a slider goes through them.
//
// All stages lie in the browser, so that a move of the slider is drawn at once; the kernel is told where it stands.

import { element, numbers } from "./page.js";
import { ExplorerView } from "./explorer.js";

const PACE = 700; // ms between two stages that play
const STAGED = { xy: "stage_xy", density: "stage_density" }; // what differs between stages, and where all of it lies

/** The model as the maps see it: what differs between stages is that of the one shown. */
function staged(model) {
  const part = (name) => {
    const all = model.get(name);
    const size = all.byteLength / model.get("stages").length;
    return new DataView(all.buffer, all.byteOffset + size * model.get("stage"), size);
  };
  const own = { get: (name) => (STAGED[name] ? part(STAGED[name]) : model.get(name)) };
  for (const name of ["set", "on", "off", "save_changes"]) own[name] = (...given) => model[name](...given);
  return own;
}

/** Least and largest coordinate of each axis of map p, over all stages. */
function reach(all, panels, count, p) {
  const ends = [[Infinity, -Infinity], [Infinity, -Infinity]];
  for (let from = 2 * p * count; from < all.length; from += 2 * panels * count) {
    for (let k = 0; k < 2 * count; k++) {
      const [end, value] = [ends[k % 2], all[from + k]];
      if (value < end[0]) end[0] = value;
      if (value > end[1]) end[1] = value;
    }
  }
  return ends;
}

class ThroughView extends ExplorerView {
  constructor(model, el) { super(staged(model), el); }

  listen() {
    this.bar = element("div", "sk-stages");
    this.playing = element("button", "sk-button", { type: "button" });
    this.slider = element("input", "sk-range sk-stage", { type: "range", min: "0", step: "1", "aria-label": "Stage of training" });
    this.word = element("output", "sk-word");
    this.table = element("table", "sk-numbers");
    this.bar.append(this.playing, this.slider, this.word);
    this.root.prepend(this.bar, this.table);
    super.listen();
    this.on(this.playing, "click", () => (this.timer ? this.stop() : this.play()));
    this.on(this.slider, "input", () => { this.stop(); this.go(Number(this.slider.value)); });
    this.watch("stage", () => { this.load(); this.draw(); });
    this.stop();
  }

  get last() { return this.model.get("stages").length - 1; }

  go(stage) { if (stage !== this.model.get("stage")) this.send("stage", stage); }

  /** From here to the last stage; from the first one where this is the last. */
  play() {
    if (this.model.get("stage") === this.last) this.go(0);
    this.timer = setInterval(() => {
      this.go(Math.min(this.model.get("stage") + 1, this.last));
      if (this.model.get("stage") === this.last) this.stop();
    }, PACE);
    this.sayPlaying();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = 0;
    this.sayPlaying();
  }

  sayPlaying() {
    this.playing.textContent = this.timer ? "❚❚" : "▶";
    this.playing.setAttribute("aria-label", this.timer ? "Pause" : "Play through training");
  }

  /** One frame for all stages, so that a clip can be followed; what the reader has zoomed to stays. */
  load() {
    const before = this.charts ?? [];
    super.load();
    const all = numbers(this.model, STAGED.xy, Float32Array);
    this.charts.forEach((chart, p) => {
      [chart.x, chart.y] = reach(all, this.charts.length, this.count, p);
      chart.reset();
      if (before[p] && before[p].zoom !== 1) Object.assign(chart, { zoom: before[p].zoom, middle: before[p].middle });
    });
    this.say();
  }

  /** Where the slider stands, and the numbers of that stage. */
  say() {
    const { model, slider, table } = this;
    const [stage, words] = [model.get("stage"), model.get("stages")];
    slider.max = this.last;
    slider.value = stage;
    slider.setAttribute("aria-valuetext", words[stage]);
    this.word.textContent = words[stage];
    const { columns, branches, values } = model.get("numbers");
    const row = (name, cells, kind) => {
      const made = element("tr", "");
      [["th", name], ...cells.map((text) => [kind, text])].forEach(([tag, text]) => {
        const cell = element(tag, "");
        cell.textContent = text;
        made.append(cell);
      });
      return made;
    };
    table.replaceChildren(row("", columns, "th"), ...branches.map((name, b) => row(name, values[stage][b], "td")));
  }

  /** Near clips are those of the stage that is shown; until the kernel has said them, none. */
  get current() { return (this.model.get("near") ?? {}).stage === this.model.get("stage"); }

  ringed(p) { return this.current ? super.ringed(p) : []; }

  paintNear() {
    super.paintNear();
    this.near.style.visibility = this.current ? "" : "hidden"; // it keeps its place: what is below must not jump
  }

  tell(values) { super.tell({ ...values, stage: this.model.get("stage") }); }

  close() {
    this.stop();
    super.close();
  }
}

export default {
  render({ model, el }) {
    const view = new ThroughView(model, el);
    return () => view.close();
  },
};
