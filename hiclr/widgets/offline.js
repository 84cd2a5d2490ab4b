// In a saved page: what the kernel does for the explorer, with the clips that lie in the page.

import { element } from "./page.js";

const host = document.getElementById("host");
const [scatter, player] = [modelOf(held.scatter), modelOf(held.player)];
const said = element("p", "sk-missing", { role: "status" });

/** Clips side by side as the player wants them: (W, T, M, V, 3) with one scale, shorter ones filled up with absence. */
function stacked(views) {
  const joints = views[0].shape[2];
  const [frames, persons] = [0, 1].map((axis) => Math.max(...views.map((view) => view.shape[axis])));
  const scale = Math.max(...views.map((view) => view.scale));
  const out = new Int16Array(views.length * frames * persons * joints * 3);
  const masks = new Uint8Array(views.some((view) => view.hidden) ? out.length / 3 : 0);
  views.forEach(({ shape: [t, m], scale: own, positions, hidden }, w) => {
    const [stored, masked] = [new Int16Array(bytes(positions).buffer), hidden && new Uint8Array(bytes(hidden).buffer)];
    for (let row = 0; row < t * m; row++) {
      const [from, to] = [row * joints, ((w * frames + Math.floor(row / m)) * persons + (row % m)) * joints];
      for (let k = 0; k < joints * 3; k++) out[3 * to + k] = Math.round((stored[3 * from + k] * own) / scale);
      if (masked) masks.set(masked.subarray(from, from + joints), to);
    }
  });
  const [positions, hidden] = [out, masks].map((array) => new DataView(array.buffer));
  return { shape: [views.length, frames, persons, joints], scale, positions, hidden };
}

const titleOf = (i) => `${scatter.get("names")[i]} · ${scatter.get("classes")[new Uint8Array(scatter.get("labels").buffer)[i]]}`;

/** Play views of clips as the first of them has its place. */
function play(views, place) {
  const titles = views.map(({ title }) => title);
  for (const [key, value] of Object.entries({ ...stacked(views), titles, place })) player.set(key, value);
  player.set("revision", player.get("revision") + 1);
}

/** Are these clips in the page? If not, it is said. */
function here(indices) {
  const missing = indices.filter((i) => !held.clips[i]);
  said.textContent = missing.length ? `${titleOf(missing[0])}: this clip is not in the page.` : "";
  return !missing.length;
}

/** Say which clips are near to the picked one, in the maps as they stand. */
function pointOut() {
  const { index, panel = 0 } = scatter.get("picked");
  const stage = scatter.get("stage");
  const near = held.clips[index]?.near[stage ?? 0] ?? [];
  const own = held.each ? { each: near.map((rows) => rows.map(([i]) => i)) } : {};
  scatter.set("near", { of: index, space: scatter.get("titles")[panel], rows: near[panel] ?? [], stage, ...own });
}

function show() {
  const { index } = scatter.get("picked");
  if (here([index])) {
    const { views, of, place } = held.clips[index];
    play(views, place);
    if (views.length < of) said.textContent = "Its views are not in the page.";
  }
  pointOut();
}

scatter.on("change:picked", show);
scatter.on("change:stage", pointOut);
scatter.on("change:beside", () => {
  const both = [scatter.get("picked").index, scatter.get("beside").index];
  if (here(both)) play(both.map((i) => held.clips[i].views[0]), held.clips[both[0]].place);
});
show();
fronts[held.front].render({ model: scatter, el: host });
host.append(said);
fronts.player.render({ model: player, el: host });
