// Plays W views of skeletons side by side, on one clock and with one orbit camera.
//
// The kernel sends positions once per update; the clock runs here, so playback needs no messages.
// This file draws and nothing else: what is drawn was computed in Python.

import { View, counted, element, mixed, nameSliders, numbers } from "./page.js";

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];
const HOME = { yaw: 0.45, pitch: 0.16, zoom: 1 };
const EYE = 5; // distance of the eye in radii: a mild perspective that keeps proportions readable
const NARROWEST = 170; // CSS pixels of one view; below that the views wrap into rows
const HEADROOM = 30; // CSS pixels above a clip, for its title
const TRAIL = 4; // past poses of an onion skin
const REACH = 12; // CSS pixels from the pointer to the joint it names
const REST = 100; // ms after a change of the clips in which no tick draws: the browser is left to the slider that moves
const PI2 = 2 * Math.PI;

/** What one update holds, or a sentence saying why it cannot be drawn. */
function read(model) {
  const [views, frames, persons, joints] = model.get("shape");
  const positions = numbers(model, "positions", Int16Array);
  const vectors = numbers(model, "vectors", Int16Array);
  const hidden = model.get("hidden"); // one byte a joint, 255 where all of it is masked, in the order of the positions; empty when none is
  const wanted = 3 * views * frames * persons * joints;
  const fault =
    !wanted ? "no clip" : positions.length !== wanted ? `${positions.length} numbers came, ${wanted} were wanted` : "";
  return {
    views, frames: Math.max(frames, 1), persons, joints, positions, fault,
    vectors: vectors.length === wanted ? vectors : null,
    hidden: hidden && 3 * hidden.byteLength === wanted ? new Uint8Array(hidden.buffer, hidden.byteOffset) : null,
    vectorScale: model.get("vector_scale"),
    fromParent: model.get("vector_origin") === "parent",
    scale: model.get("scale"),
    bones: model.get("bones"),
    sides: model.get("sides"),
    head: model.get("head"),
    names: model.get("joints") ?? [],
    titles: model.get("titles"),
    colours: model.get("colours"),
    people: model.get("people") ?? [],
    place: model.get("place"),
    perspective: model.get("projection") !== "orthographic",
  };
}

/** Maps metres to pixels of one view; `camera` is the reader's, `place` the clip's. */
function lens(camera, place, width, height, top, perspective) {
  const angle = place.facing + camera.yaw;
  const [sa, ca, sp, cp] = [Math.sin(angle), Math.cos(angle), Math.sin(camera.pitch), Math.cos(camera.pitch)];
  const pixels = (camera.zoom * Math.min(width, height - top)) / 2 / place.radius;
  const distance = EYE * place.radius;
  const [tx, ty, tz] = place.target;
  const [cx, cy] = [width / 2, top + (height - top) / 2];
  return {
    pixels,
    project(x, y, z, out, at) {
      const [px, py, pz] = [x - tx, y - ty, z - tz];
      const toward = px * sa + pz * ca; // along the floor, toward the eye
      const depth = toward * cp + py * sp;
      const near = perspective ? distance / Math.max(distance - depth, 0.2 * distance) : 1;
      out[at] = cx + (px * ca - pz * sa) * pixels * near;
      out[at + 1] = cy - (py * cp - toward * sp) * pixels * near;
      out[at + 2] = depth;
      out[at + 3] = near;
    },
  };
}

/** The floor, drawn once per camera: lines on whole steps, fading with distance. */
function paintFloor(g, view, place, ink) {
  const reach = 2 * place.radius;
  const step = [0.1, 0.25, 0.5, 1, 2, 5, 10].find((s) => reach / s <= 8) ?? reach / 4;
  const [tx, , tz] = place.target;
  const [x0, z0] = [Math.round(tx / step), Math.round(tz / step)];
  const count = Math.ceil(reach / step);
  const point = new Float64Array(8);
  const line = (xa, za, xb, zb) => {
    const far = Math.hypot((xa + xb) / 2 - tx, (za + zb) / 2 - tz) / reach;
    if (far >= 1) return;
    view.project(xa, place.floor, za, point, 0);
    view.project(xb, place.floor, zb, point, 4);
    g.globalAlpha = 0.22 * (1 - far);
    g.beginPath();
    g.moveTo(point[0], point[1]);
    g.lineTo(point[4], point[5]);
    g.stroke();
  };
  g.strokeStyle = ink;
  g.lineWidth = 1;
  for (let i = -count; i <= count; i++) {
    for (let j = -count; j < count; j++) {
      const [across, from, to] = [i * step, j * step, (j + 1) * step];
      line(x0 * step + across, z0 * step + from, x0 * step + across, z0 * step + to);
      line(x0 * step + from, z0 * step + across, x0 * step + to, z0 * step + across);
    }
  }
  g.globalAlpha = 1;
}

/** One person of one view in one frame; absent persons (all zero) are left out. */
class Body {
  constructor(data) {
    this.data = data;
    this.points = new Float64Array(4 * data.joints); // x, y, depth, nearness of each joint
    this.tips = new Float64Array(4 * data.joints); // the same for the end of each vector
    this.foot = new Float64Array(4 * data.joints); // and for the shadow
    this.masked = new Uint8Array(data.joints);
    this.order = data.bones.map((_, i) => i);
  }

  /** Project the joints; false when nobody is there. */
  place(view, lens, frame, person) {
    const { data, points, foot, masked } = this;
    this.start = (((view * data.frames + frame) * data.persons + person) * data.joints) * 3;
    let present = false;
    for (let v = 0; v < data.joints; v++) {
      const at = this.start + 3 * v;
      const [x, y, z] = [data.positions[at], data.positions[at + 1], data.positions[at + 2]];
      if (data.hidden) masked[v] = data.hidden[at / 3];
      present ||= x !== 0 || y !== 0 || z !== 0;
      lens.project(x * data.scale, y * data.scale, z * data.scale, points, 4 * v);
      lens.project(x * data.scale, data.place.floor, z * data.scale, foot, 4 * v);
    }
    return present;
  }

  /** The share of a bone that is masked: that of its end which is masked more. */
  share(child, parent) {
    return Math.max(this.masked[child], this.masked[parent]) / 255;
  }

  shadow(g, width, alpha) {
    const whole = new Path2D();
    g.lineWidth = width;
    for (const [child, parent] of this.data.bones) {
      const share = this.share(child, parent);
      const path = share ? new Path2D() : whole;
      path.moveTo(this.foot[4 * child], this.foot[4 * child + 1]);
      path.lineTo(this.foot[4 * parent], this.foot[4 * parent + 1]);
      if (!share) continue;
      g.globalAlpha = alpha * (1 - share);
      g.stroke(path);
    }
    g.globalAlpha = alpha;
    g.stroke(whole);
    g.globalAlpha = 1;
  }

  /** The limbs alone, as one pale line: a past pose, or another view's. What is masked is left out. */
  trace(g, colour, width, alpha) {
    const { data, points } = this;
    g.strokeStyle = colour;
    g.lineWidth = width;
    g.globalAlpha = alpha;
    g.beginPath();
    for (const [child, parent] of data.bones) {
      if (this.share(child, parent) === 1) continue;
      g.moveTo(points[4 * child], points[4 * child + 1]);
      g.lineTo(points[4 * parent], points[4 * parent + 1]);
    }
    g.stroke();
    g.globalAlpha = 1;
  }

  /** [joint, distance] of the joint nearest to a point of the view. */
  nearest(x, y) {
    let best = [-1, Infinity];
    for (let v = 0; v < this.data.joints; v++) {
      const far = Math.hypot(this.points[4 * v] - x, this.points[4 * v + 1] - y);
      if (far < best[1]) best = [v, far];
    }
    return best;
  }

  line(g, a, b, colour, width) {
    g.strokeStyle = colour;
    g.lineWidth = width;
    g.beginPath();
    g.moveTo(a[0], a[1]);
    g.lineTo(b[0], b[1]);
    g.stroke();
  }

  /** Far bones first. Left limbs are filled, right limbs outlined: told apart without colour too. */
  bones(g, colours, theme, width, faint) {
    const { data, points, order } = this;
    const depth = (i) => points[4 * data.bones[i][0] + 2] + points[4 * data.bones[i][1] + 2];
    order.sort((a, b) => depth(a) - depth(b));
    for (const i of order) {
      const [child, parent] = data.bones[i];
      const a = points.subarray(4 * child, 4 * child + 2);
      const b = points.subarray(4 * parent, 4 * parent + 2);
      const side = data.sides[child];
      const colour = colours[side];
      const thick = (width * (points[4 * child + 3] + points[4 * parent + 3])) / 2;
      const share = this.share(child, parent);
      if (faint || share) {
        g.globalAlpha = faint ? 0.3 : 0.45 * share;
        g.setLineDash(faint ? [] : [2, 4]);
        this.line(g, a, b, faint ? theme.ink : colour, Math.min(thick, 1.2));
        g.setLineDash([]);
        g.globalAlpha = faint ? 1 : 1 - share;
        if (faint || share === 1) { g.globalAlpha = 1; continue; }
      }
      this.line(g, a, b, theme.paper, thick + 2.5); // a rim, so that crossing limbs stay apart
      this.line(g, a, b, colour, thick);
      if (side === "right") this.line(g, a, b, theme.paper, Math.max(thick - 2.4, 0.8));
      g.globalAlpha = 1;
    }
  }

  joints(g, colours, theme, width) {
    const { data, points, masked } = this;
    for (let v = 0; v < data.joints; v++) {
      const colour = colours[data.sides[v]];
      const radius = 0.62 * width * points[4 * v + 3] + 0.4;
      g.beginPath();
      const share = masked[v] / 255;
      g.arc(points[4 * v], points[4 * v + 1], radius + 1.2 * share, 0, PI2);
      g.fillStyle = data.sides[v] === "right" ? theme.paper : mixed(colour, 100 * (1 - share), theme.paper);
      g.strokeStyle = colour;
      g.lineWidth = 1.2;
      g.fill();
      g.stroke();
    }
  }

  /** The head as a circle whose size follows its own bone, so that a scaled body keeps its looks. */
  face(g, colours, theme, width) {
    const { data, points } = this;
    const bone = data.bones.find(([child]) => child === data.head);
    const share = bone ? this.share(...bone) : 1;
    if (share === 1) return;
    const [h, n] = [4 * bone[0], 4 * bone[1]];
    const metres = (v) => this.start + 3 * v;
    let length = 0;
    for (let c = 0; c < 3; c++) {
      length += (data.positions[metres(bone[0]) + c] - data.positions[metres(bone[1]) + c]) ** 2;
    }
    const radius = Math.max(0.5 * Math.sqrt(length) * data.scale * this.pixels * points[h + 3], 2);
    const reach = Math.hypot(points[h] - points[n], points[h + 1] - points[n + 1]) || 1;
    const push = Math.min(radius * 0.35, reach) / reach;
    g.beginPath();
    g.arc(points[h] + (points[h] - points[n]) * push, points[h + 1] + (points[h + 1] - points[n + 1]) * push, radius, 0, PI2);
    g.globalAlpha = 1 - share;
    g.fillStyle = theme.paper;
    g.fill();
    g.strokeStyle = colours.middle;
    g.lineWidth = Math.max(0.75 * width, 1.2);
    g.stroke();
    g.globalAlpha = 1;
  }

  /** Vectors of a bone or motion stream, each from its joint or from that joint's parent. */
  vectors(g, lens, colours, theme, width) {
    const { data, points, tips } = this;
    const parent = new Int32Array(data.joints).map((_, v) => v);
    for (const [child, up] of data.bones) parent[child] = up;
    for (let v = 0; v < data.joints; v++) {
      const at = this.start + 3 * v;
      const [dx, dy, dz] = [data.vectors[at], data.vectors[at + 1], data.vectors[at + 2]];
      if (dx === 0 && dy === 0 && dz === 0) continue;
      const origin = this.start + 3 * (data.fromParent ? parent[v] : v);
      const s = data.vectorScale;
      lens.project(
        data.positions[origin] * data.scale + dx * s,
        data.positions[origin + 1] * data.scale + dy * s,
        data.positions[origin + 2] * data.scale + dz * s,
        tips, 4 * v,
      );
      const from = points.subarray(4 * (data.fromParent ? parent[v] : v), 4 * (data.fromParent ? parent[v] : v) + 2);
      this.arrow(g, from, tips.subarray(4 * v, 4 * v + 2), colours[data.sides[v]], 0.7 * width);
    }
  }

  arrow(g, a, b, colour, width) {
    const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
    const length = Math.hypot(dx, dy);
    this.line(g, a, b, colour, Math.max(width, 1.2));
    if (length < 3) return;
    const head = Math.min(2.2 * width + 2.5, 0.6 * length);
    const [ux, uy] = [(dx / length) * head, (dy / length) * head];
    g.fillStyle = colour;
    g.beginPath();
    g.moveTo(b[0], b[1]);
    g.lineTo(b[0] - ux - 0.45 * uy, b[1] - uy + 0.45 * ux);
    g.lineTo(b[0] - ux + 0.45 * uy, b[1] - uy - 0.45 * ux);
    g.fill();
  }
}

/** A button that says what it does; `text` stands on it. */
function button(name, text, label, title = label) {
  const made = element("button", `sk-button sk-${name}`, { type: "button", title, "aria-label": label });
  made.textContent = text;
  return made;
}

/** Buttons, slider and texts below the picture. */
function toolbar() {
  const bar = element("div", "sk-bar");
  const play = element("button", "sk-button sk-play", { type: "button" });
  const scrub = element("input", "sk-range sk-scrub", { type: "range", min: "0", step: "1", "aria-label": "Frame" });
  const time = element("span", "sk-time");
  const speed = element("select", "sk-speed", { "aria-label": "Speed", title: "Speed" });
  for (const value of SPEEDS) {
    const option = element("option", "", { value });
    option.textContent = `${value}×`;
    speed.append(option);
  }
  const loop = button("loop", "loop", "Loop: begin again at the end");
  const home = button("home", "⟲", "Reset the view", "Reset the view (or double-click it)");
  const ghost = button("ghost", "ghost", "Ghost: the first view, pale, over the others");
  const onion = button("onion", "trail", "Trail: the poses just before, pale");
  const tint = button("tint", "persons", "A colour for each person instead of each side");
  const png = button("png", "PNG", "Save this picture as PNG");
  const gif = button("gif", "GIF", "Save the whole clip as an animated GIF, seen from here");
  const html = button("html", "HTML", "Save a page that plays without a kernel or network");
  const key = element("span", "sk-key", { "aria-hidden": "true" });
  const note = element("span", "sk-note");
  const save = element("span", "sk-save", { role: "group", "aria-label": "Save" });
  save.append(png, gif, html);
  const alert = element("span", "sk-alert", { role: "alert" });
  bar.append(play, scrub, time, speed, loop, home, ghost, onion, tint, key, note, save, alert);
  return { bar, play, scrub, time, speed, loop, home, ghost, onion, tint, png, gif, html, key, note, alert };
}

/** What the colours mean: [swatch, colour, words] each; a swatch of a left limb is filled, of a right one outlined. */
function paintKey(key, entries) {
  key.replaceChildren();
  for (const [swatch, colour, words] of entries) {
    const mark = element("i", `sk-swatch sk-${swatch}`);
    mark.style.setProperty("--sk-colour", colour);
    const text = element("span", "");
    text.textContent = words;
    key.append(mark, text);
  }
}

/** Hand a file to whoever looks, as a download. */
function download(name, blob) {
  const link = element("a", "", { download: name, href: URL.createObjectURL(blob) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

class PlayerView extends View {
  constructor(model, el) {
    super(model, el, "sk-player", "Space ArrowLeft ArrowRight Home End");
    this.controls = toolbar();
    this.tip = element("div", "sk-tip");
    this.root.append(this.controls.bar, this.tip);
    this.floor = document.createElement("canvas");
    this.camera = { ...HOME };
    this.playhead = 0;
    this.drawn = -1; // the frame on the canvas
    this.renewed = -REST; // when what is played was last changed
    this.pointer = null;
    this.shown = true;
    this.tick = this.tick.bind(this);
    this.listen();
    this.load();
    this.wake();
    requestAnimationFrame(() => this.nameBeside()); // once it is in the page
  }

  /** The sliders that are shown with this player, also those that come later, are named for who cannot see them. */
  nameBeside() {
    const host = this.root.closest(".jp-OutputArea-output, .cell-output-ipywidget-background");
    if (!host || this.closed) return;
    nameSliders(host);
    this.observe(new MutationObserver(() => nameSliders(host)), host, { childList: true, subtree: true });
  }

  listen() {
    const { model, canvas, controls } = this;
    for (const name of ["revision", "projection"]) this.watch(name, () => { this.load(); this.draw(); this.renewed = performance.now(); });
    for (const name of ["speed", "fps", "timed", "height", "loop", "ghost", "onion"]) this.watch(name, () => this.draw());
    this.watch("tint", () => { this.load(); this.draw(); });
    this.watch("synthetic", () => { this.load(); this.draw(); });
    this.watch("playing", () => this.wake());
    this.on(controls.play, "click", () => this.send("playing", !model.get("playing")));
    this.on(controls.scrub, "input", () => this.seek(Number(controls.scrub.value)));
    this.on(controls.speed, "change", () => this.send("speed", Number(controls.speed.value)));
    this.on(controls.home, "click", () => this.reset());
    for (const name of ["loop", "ghost"]) this.on(controls[name], "click", () => this.send(name, !model.get(name)));
    this.on(controls.onion, "click", () => this.send("onion", model.get("onion") ? 0 : TRAIL));
    this.on(controls.tint, "click", () => this.send("tint", model.get("tint") === "person" ? "side" : "person"));
    this.listenToSaving();
    this.on(canvas, "dblclick", () => this.reset());
    this.on(canvas, "keydown", (event) => this.key(event));
    this.listenToPointers(canvas);
    this.observe(new IntersectionObserver(([entry]) => { this.shown = entry.isIntersecting; this.wake(); }), canvas);
  }

  /** The picture is saved here; what takes a kernel to make arrives as a message, or as what went wrong. */
  listenToSaving() {
    const { model, controls } = this;
    this.on(controls.png, "click", () => this.canvas.toBlob((blob) => download("skeletons.png", blob)));
    for (const kind of ["gif", "html"]) {
      if (typeof model.send !== "function") controls[kind].hidden = true; // no kernel: a saved page
      this.on(controls[kind], "click", () => {
        controls[kind].disabled = true;
        model.send({ want: kind, camera: this.camera });
      });
    }
    this.watch("custom", (content, buffers) => {
      for (const kind of ["gif", "html"]) controls[kind].disabled = false;
      controls.alert.textContent = content.error ?? "";
      if (content.file) download(content.file, new Blob([buffers[0]], { type: content.type }));
    }, "msg");
  }

  /** One finger or button turns, two fingers zoom. */
  listenToPointers(canvas) {
    const fingers = new Map();
    const spread = () => {
      const [a, b] = [...fingers.values()];
      return Math.hypot(a.x - b.x, a.y - b.y);
    };
    this.on(canvas, "pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      this.point(null);
    });
    this.on(canvas, "pointerleave", () => this.point(null));
    this.on(canvas, "pointermove", (event) => {
      const last = fingers.get(event.pointerId);
      if (!last) { this.point({ x: event.offsetX, y: event.offsetY }); return; }
      const before = fingers.size === 2 ? spread() : 0;
      const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (before) this.zoom(spread() / before);
      else if (fingers.size === 1) this.turn(-0.01 * dx, 0.01 * dy);
    });
    const lift = (event) => fingers.delete(event.pointerId);
    this.on(canvas, "pointerup", lift);
    this.on(canvas, "pointercancel", lift);
    this.on(canvas, "wheel", (event) => { event.preventDefault(); this.zoom(Math.exp(-0.0015 * event.deltaY)); }, { passive: false });
  }

  /** Where the pointer rests, to name the joint there; null: nowhere. */
  point(at) {
    if (at === null && this.pointer === null) return;
    this.pointer = at;
    this.later();
  }

  turn(yaw, pitch) {
    this.camera.yaw += yaw;
    this.camera.pitch = Math.min(Math.max(this.camera.pitch + pitch, -1.5), 1.5);
    this.draw();
  }

  zoom(factor) {
    this.camera.zoom = Math.min(Math.max(this.camera.zoom * factor, 0.2), 12);
    this.draw();
  }

  reset() {
    this.camera = { ...HOME };
    this.draw();
  }

  key(event) {
    const far = event.shiftKey ? 10 : 1;
    const action = {
      " ": () => this.send("playing", !this.model.get("playing")),
      ArrowLeft: () => this.seek(this.frame - far),
      ArrowRight: () => this.seek(this.frame + far),
      Home: () => this.seek(0),
      End: () => this.seek(this.data.frames - 1),
    }[event.key];
    if (!action || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  seek(frame) {
    const { frames } = this.data;
    this.playhead = ((frame % frames) + frames) % frames;
    if (this.model.get("playing")) this.send("playing", false);
    this.draw();
  }

  get frame() {
    return Math.floor(this.playhead) % this.data.frames;
  }

  load() {
    this.data = read(this.model);
    this.bodies = this.data.fault ? [] : Array.from({ length: this.data.persons }, () => new Body(this.data));
    this.playhead %= this.data.frames;
    const { views, frames, persons, titles } = this.data;
    this.canvas.setAttribute(
      "aria-label",
      `Skeleton player, ${counted(views, "view")}: ${titles.join(", ")}. ${this.synthetic()}${counted(frames, "frame")}, ` +
        `up to ${counted(persons, "person")}. Space plays and pauses, arrow keys step.`,
    );
    this.keyState = "";
    this.mark(this.controls.note);
  }

  wake() {
    this.draw();
    if (this.pending || !this.model.get("playing") || !this.shown || this.closed) return;
    if (this.model.get("loop") === false && this.frame === this.data.frames - 1) this.playhead = 0; // played to its end
    this.last = performance.now();
    this.pending = requestAnimationFrame(this.tick);
  }

  tick(now) {
    this.pending = 0;
    if (!this.model.get("playing") || !this.shown || this.closed) return;
    const seconds = Math.min(Math.max(now - this.last, 0) / 1000, 0.25); // after a stall go on, do not leap
    this.last = now;
    const next = this.playhead + seconds * this.model.get("fps") * this.model.get("speed");
    const over = next >= this.data.frames && this.model.get("loop") === false;
    this.playhead = over ? this.data.frames - 1 : next % this.data.frames;
    if (this.frame !== this.drawn && now - this.renewed > REST) this.draw();
    if (over) { this.send("playing", false); return; }
    this.pending = requestAnimationFrame(this.tick);
  }

  draw() {
    this.settle();
    if (this.closed) return;
    const { data } = this;
    this.drawn = this.frame;
    const size = this.tiles(data.views, NARROWEST);
    const theme = this.theme();
    this.clear(size, theme);
    if (data.fault) this.write(data.fault, 10, 8, size.width - 20, theme);
    else this.drawViews(size, theme);
    this.nameJoint(size);
    this.explain(theme);
    this.report();
  }

  /** The name of the joint under the pointer. */
  nameJoint(size) {
    const { tip, hit, data } = this;
    tip.style.display = hit ? "block" : "none";
    if (!hit) return;
    const share = Math.round((100 * hit.masked) / 255);
    const masked = share === 100 ? "masked" : share ? `masked by ${share} %` : "";
    const metres = hit.metres.map((value) => value.toFixed(2).replace("-", "−")).join(", ");
    const words = [data.names[hit.joint] ?? `joint ${hit.joint}`, data.persons > 1 ? `person ${hit.person + 1}` : "", masked];
    tip.textContent = [...words, `(${metres}) m`].filter(Boolean).join(" · ");
    const [left, top] = [(hit.view % size.columns) * size.width + hit.x, Math.floor(hit.view / size.columns) * size.height + hit.y];
    tip.style.left = `${Math.max(Math.min(left + 12, size.width * size.columns - tip.offsetWidth - 4), 2)}px`;
    tip.style.top = `${Math.max(top - 30, 2)}px`;
  }

  /** The joint of a view that is nearest to the pointer, if the pointer is there; ringed. */
  hitJoint(i, left, top, size, near, theme) {
    const { g, pointer, bodies, data } = this;
    if (!pointer || pointer.x < left || pointer.x >= left + size.width || pointer.y < top || pointer.y >= top + size.height) return;
    const [x, y] = [pointer.x - left, pointer.y - top];
    const found = near.map((person) => [person, ...bodies[person].nearest(x, y)]).sort((a, b) => a[2] - b[2])[0];
    if (!found || found[2] > REACH) return;
    const [person, joint] = found;
    const body = bodies[person];
    const at = body.start + 3 * joint;
    const metres = [0, 1, 2].map((c) => data.positions[at + c] * data.scale);
    this.hit = { view: i, person, joint, x: body.points[4 * joint], y: body.points[4 * joint + 1], masked: body.masked[joint], metres };
    g.beginPath();
    g.arc(this.hit.x, this.hit.y, 8, 0, PI2);
    g.strokeStyle = theme.ink;
    g.lineWidth = 1.5;
    g.stroke();
  }

  drawViews(size, theme) {
    const { g, data, camera } = this;
    this.hit = null;
    const view = lens(camera, data.place, size.width, size.height, HEADROOM, data.perspective);
    this.prepareFloor(view, size, theme);
    for (let i = 0; i < data.views; i++) {
      const [left, top] = [(i % size.columns) * size.width, Math.floor(i / size.columns) * size.height];
      g.save();
      g.translate(left, top);
      g.beginPath();
      g.rect(0, 0, size.width, size.height);
      g.clip();
      g.drawImage(this.floor, 0, 0, size.width, size.height);
      const near = this.drawBodies(i, view, theme);
      this.hitJoint(i, left, top, size, near, theme);
      this.write(data.titles[i] ?? "", 10, 8, size.width - 20, theme);
      if (i % size.columns) {
        g.globalAlpha = 0.15;
        g.fillStyle = theme.ink;
        g.fillRect(0, 0, 1, size.height);
      }
      g.restore();
    }
  }

  prepareFloor(view, size, theme) {
    const { camera, data, floor } = this;
    const state = JSON.stringify([camera, data.place, data.perspective, size, theme]);
    if (state === this.floorState) return;
    this.floorState = state;
    [floor.width, floor.height] = [Math.ceil(size.width * size.ratio), Math.ceil(size.height * size.ratio)];
    const g = floor.getContext("2d");
    g.setTransform(floor.width / size.width, 0, 0, floor.height / size.height, 0, 0);
    paintFloor(g, view, data.place, theme.ink);
  }

  drawBodies(i, view, theme) {
    const { g, data, bodies } = this;
    const width = Math.min(Math.max(0.034 * data.place.radius * view.pixels, 2), 9);
    g.lineCap = g.lineJoin = "round";
    this.drawTrail(i, view, theme, width);
    this.drawGhost(i, view, theme, width);
    const present = bodies.map((body, person) => body.place(i, view, this.frame, person));
    const near = bodies.map((_, person) => person).filter((person) => present[person]);
    near.sort((a, b) => bodies[a].points[2] - bodies[b].points[2]); // by the first joint's depth
    g.strokeStyle = theme.ink;
    for (const person of near) bodies[person].shadow(g, width, 0.1);
    for (const person of near) {
      const colours = this.tones(data.colours, theme, person);
      bodies[person].pixels = view.pixels;
      bodies[person].bones(g, colours, theme, width, data.vectors !== null);
      if (data.vectors) {
        bodies[person].vectors(g, view, colours, theme, width);
        continue;
      }
      bodies[person].joints(g, colours, theme, width);
      bodies[person].face(g, colours, theme, width);
    }
    return near;
  }

  /** Past poses, the paler the older; none from before the first frame. */
  drawTrail(i, view, theme, width) {
    const count = this.model.get("onion") ?? 0;
    const step = Math.max(Math.round(this.data.frames / 24), 1);
    for (let past = count; past > 0; past--) {
      const frame = this.frame - past * step;
      if (frame < 0) continue;
      this.bodies.forEach((body, person) => {
        if (!body.place(i, view, frame, person)) return;
        const { middle } = this.tones(this.data.colours, theme, person);
        body.trace(this.g, this.model.get("tint") === "person" ? middle : theme.ink, 0.7 * width, (0.4 * (count + 1 - past)) / (count + 1));
      });
    }
  }

  /** The first view under the others. */
  drawGhost(i, view, theme, width) {
    if (i === 0 || !this.model.get("ghost")) return;
    this.bodies.forEach((body, person) => {
      if (body.place(0, view, this.frame, person)) body.trace(this.g, theme.ink, width, 0.28);
    });
  }

  /** Limb colours: lighter on dark paper; persons after the first in a tone nearer to the paper. */
  tones({ left, right }, theme, person) {
    if (this.model.get("tint") === "person") {
      const own = this.data.people[person % this.data.people.length];
      const tone = theme.dark ? mixed(own, 78, "#fff") : own;
      return { left: tone, right: tone, middle: tone };
    }
    const own = theme.dark ? [mixed(left, 85, "#fff"), mixed(right, 62, "#fff")] : [left, right];
    const [l, r, m] = [...own, theme.ink].map((colour) => (person ? mixed(colour, theme.dark ? 62 : 48, theme.paper) : colour));
    return { left: l, right: r, middle: m };
  }

  /** The controls, and what tests read, after drawing. */
  report() {
    const { camera, controls, data, model, frame } = this;
    const playing = model.get("playing");
    controls.play.textContent = playing ? "❚❚" : "▶";
    controls.play.setAttribute("aria-label", playing ? "Pause" : "Play");
    controls.scrub.max = String(data.frames - 1);
    controls.scrub.value = String(frame);
    controls.speed.value = String(model.get("speed"));
    this.press(controls.loop, model.get("loop") !== false);
    this.press(controls.ghost, Boolean(model.get("ghost")), data.views < 2);
    this.press(controls.onion, Boolean(model.get("onion")), data.frames < 2);
    this.press(controls.tint, model.get("tint") === "person", data.persons < 2);
    const seconds = model.get("timed") ? ` · ${(frame / model.get("fps")).toFixed(2)} s` : "";
    const text = `${frame + 1} / ${data.frames}${seconds}`;
    controls.time.textContent = text;
    controls.scrub.setAttribute("aria-valuetext", text);
    const hovered = this.hit ? `${this.hit.view} ${this.hit.person} ${this.hit.joint}` : "";
    this.tell({ frame, hovered, yaw: camera.yaw.toFixed(4), pitch: camera.pitch.toFixed(4), zoom: camera.zoom.toFixed(4) });
  }

  /** The key, in the very tones of the picture; made anew when they change. */
  explain(theme) {
    const { data, model } = this;
    const by = model.get("tint") === "person" ? "person" : "side";
    if (this.keyState === `${by} ${theme.dark}`) return;
    this.keyState = `${by} ${theme.dark}`;
    const persons = Array.from({ length: data.persons }, (_, m) => ["left", this.tones(data.colours, theme, m).left, `person ${m + 1}`]);
    const sides = ["left", "right"].filter((side) => data.sides.includes(side));
    const tones = this.tones(data.colours, theme, 0);
    paintKey(this.controls.key, by === "person" ? persons : sides.map((side) => [side, tones[side], side]));
  }

  /** A button that stays pressed; hidden where it would change nothing. */
  press(control, on, useless = false) {
    control.setAttribute("aria-pressed", String(on));
    control.hidden = useless;
  }

  close() {
    super.close();
    cancelAnimationFrame(this.pending);
  }
}

function render({ model, el }) {
  const view = new PlayerView(model, el);
  return () => view.close();
}

export { lens };
export default { render };
