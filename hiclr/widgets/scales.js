// What points are coloured by: words, each with its colour and marker, or numbers on a ramp.

import { element, numbers } from "./page.js";

const STEPS = 24; // colours of a ramp
export const UNKNOWN = STEPS; // the code of a number that is not known

const RAMPS = { light: [[201, 214, 232], [8, 48, 107]], dark: [[52, 66, 92], [178, 222, 255]] };
const GREY = "#8c8c8c";

/** The colours of a ramp, low to high, then that of what is not known. */
export function shade(dark) {
  const [low, high] = RAMPS[dark ? "dark" : "light"];
  const colour = (share) => `rgb(${low.map((value, c) => Math.round(value + share * (high[c] - value))).join(" ")})`;
  return [...Array.from({ length: STEPS }, (_, k) => colour(k / (STEPS - 1))), GREY];
}

/** Codes of numbers on a ramp; NaN is not known. */
function stepped(values, low, high) {
  const wide = high - low || 1;
  return Uint8Array.from(values, (value) =>
    (Number.isNaN(value) ? UNKNOWN : Math.min(Math.max(Math.floor((STEPS * (value - low)) / wide), 0), STEPS - 1)));
}

/** The class, what the kernel gave beside it, and how crowded a map is. */
export function readScales(model, labels) {
  const count = labels.length;
  const [codes, measures, crowd] = [numbers(model, "codes", Uint8Array), numbers(model, "measures", Float32Array), numbers(model, "density", Float32Array)];
  let [words, figures] = [0, 0];
  const own = { name: "class", words: model.get("classes"), palette: model.get("palette"), markers: model.get("markers"), codes: labels };
  const given = (model.get("colourings") ?? []).map((each) => {
    if (each.words.length) {
      words += 1;
      return { ...each, codes: codes.subarray((words - 1) * count, words * count) };
    }
    figures += 1;
    const values = measures.subarray((figures - 1) * count, figures * count);
    const kept = stepped(values, each.low, each.high);
    return { name: each.name, low: each.low, high: each.high, values, steps: () => kept };
  });
  if (!count || crowd.length % count) return [own, ...given];
  const kept = Array.from({ length: crowd.length / count }, (_, p) => stepped(crowd.subarray(p * count, (p + 1) * count), 0, 1));
  return [own, ...given, ...(kept.length ? [{ name: "density", low: 0, high: 1, steps: (p) => kept[p] }] : [])];
}

const rounded = (value) => (Number.isInteger(value) ? String(value) : value.toPrecision(3));

/** What a scale says of clip i. */
export function told(scale, i) {
  if (!scale.words) return scale.values && !Number.isNaN(scale.values[i]) ? `${scale.name} ${rounded(scale.values[i])}` : "";
  const word = scale.words[scale.codes[i]];
  return word === undefined || ["class", "correctness"].includes(scale.name) ? word : `${scale.name} ${word}`;
}

/** A ramp with its ends, for the legend. */
export function swatch({ name, low, high }, palette) {
  const [bar, from, to] = [element("span", "sk-ramp", { role: "img", "aria-label": `${name}, low to high` }), element("span", ""), element("span", "")];
  bar.style.background = `linear-gradient(to right, ${palette[0]}, ${palette[STEPS - 1]})`;
  [from.textContent, to.textContent] = name === "density" ? ["sparse", "crowded"] : [`${name} ${rounded(low)}`, rounded(high)];
  return [from, bar, to];
}
