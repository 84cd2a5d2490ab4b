// In a saved page: what the kernel does for the explorer, with the clips that lie in the page.

import { element } from "./page.js";

const host = document.getElementById("host");
const [scatter, player] = [modelOf(held.scatter), modelOf(held.player)];
const stored = new Int16Array(bytes(held.positions).buffer); // clip after clip, each (T, M, V, 3)
const said = element("p", "sk-missing", { role: "alert" });

/** Clips side by side as the player wants them: (W, T, M, V, 3) with one scale, shorter ones filled up with absence. */
function stack(clips) {
  const joints = clips[0].shape[2];
  const [frames, persons] = [0, 1].map((axis) => Math.max(...clips.map((clip) => clip.shape[axis])));
  const scale = Math.max(...clips.map((clip) => clip.scale));
  const out = new Int16Array(clips.length * frames * persons * joints * 3);
  clips.forEach(({ at, shape: [t, m], scale: own }, w) => {
    for (let frame = 0; frame < t; frame++) {
      for (let person = 0; person < m; person++) {
        const from = at + (frame * m + person) * joints * 3;
        const to = ((w * frames + frame) * persons + person) * joints * 3;
        for (let k = 0; k < joints * 3; k++) out[to + k] = Math.round((stored[from + k] * own) / scale);
      }
    }
  });
  return { shape: [clips.length, frames, persons, joints], scale, positions: new DataView(out.buffer) };
}

const titleOf = (i) => `${scatter.get("names")[i]} · ${scatter.get("classes")[new Uint8Array(scatter.get("labels").buffer)[i]]}`;

function play(indices) {
  const missing = indices.filter((i) => !held.clips[i]);
  said.textContent = missing.length ? `${titleOf(missing[0])}: this clip is not in the page.` : "";
  if (missing.length) return;
  const clips = indices.map((i) => held.clips[i]);
  for (const [key, value] of Object.entries(stack(clips))) player.set(key, value);
  player.set("hidden", new DataView(new ArrayBuffer(0)));
  player.set("titles", indices.map(titleOf));
  player.set("place", clips[0].place);
  player.set("revision", player.get("revision") + 1);
}

scatter.on("change:picked", () => {
  const { index, panel = 0 } = scatter.get("picked");
  play([index]);
  const near = held.near.map((each) => each[index] ?? []);
  const own = scatter.get("near").each ? { each: near.map((rows) => rows.map(([i]) => i)) } : {};
  scatter.set("near", { of: index, space: scatter.get("titles")[panel], rows: near[panel] ?? [], ...own });
});
scatter.on("change:beside", () => play([scatter.get("picked").index, scatter.get("beside").index]));
fronts.explorer({ model: scatter, el: host });
host.append(said);
fronts.player({ model: player, el: host });
