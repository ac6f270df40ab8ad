// @ts-check
/**
 * Particles that go along a flow field, drawn over the frames of its clip. All of it happens here:
 * nothing is asked of the kernel once the field and the frames are there.
 *
 * The field does not change, so that the way of each particle is computed once; time only says how
 * far along it is drawn.
 *
 * @typedef {object} State
 * @property {DataView[]} frames JPEGs
 * @property {number[]} numbers the number of each frame in its clip
 * @property {number} shown which frame is shown first, counted from 0
 * @property {DataView} field u of all cells row by row, then v, float32, pixels of the frame
 * @property {[number, number]} grid columns and rows of the field
 * @property {[number, number]} span width and height of a frame, in pixels of the flow
 * @property {number} gain how many times as far as the skin a particle goes
 * @property {string} label what is seen, for those who do not see it
 * @property {string} caption
 *
 * @typedef {{ get: <K extends keyof State>(name: K) => State[K] }} Model
 * @typedef {{ points: Float32Array, offset: number }} Way x and y in turn; where in time it begins
 */

const SEEDS = 26; // particles along the longer side
const STEPS = 24; // points of a way
const PERIOD_MS = 2400;
const TAIL = 0.35; // of a way
const HEAD = 0.9; // its radius, of the thickness of the way
const LEAST = 0.04; // a way shorter than this share of the longest is left out
const PAINT = /** @type {[string, number][]} */ ([
  ["rgb(20, 20, 20)", 3.4],
  ["rgb(255, 214, 64)", 1.5],
]);

/**
 * @param {{ model: Model, el: HTMLElement }} context
 * @returns {() => void} what takes it down again
 */
function render({ model, el }) {
  const [width, height] = model.get("span");
  const numbers = model.get("numbers");
  const ways = waysOf(model);
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", model.get("label"));
  canvas.style.aspectRatio = `${width} / ${height}`;
  const button = document.createElement("button");
  button.type = "button";
  const slider = document.createElement("input");
  slider.type = "range";
  slider.max = String(numbers.length - 1);
  slider.value = String(model.get("shown"));
  const frame = document.createElement("label");
  const reading = document.createElement("output");
  reading.setAttribute("aria-hidden", "true"); // the slider says it itself
  frame.append("Frame ", slider, reading);
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  const particles = document.createElement("label");
  particles.append(box, " Particles");
  const controls = document.createElement("div");
  controls.append(button, frame, particles);
  const caption = document.createElement("p");
  caption.textContent = model.get("caption");
  el.classList.add("hmrm-particles");
  for (const control of [button, slider, box]) {
    control.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes the arrow keys
  }
  el.append(canvas, controls, caption);

  /** @type {ImageBitmap[]} */
  let pictures = [];
  let gone = false;
  let playing = !calm.matches;
  let visible = false;
  let request = 0;
  let time = 0.5 * PERIOD_MS; // a still picture shows ways, not beginnings
  let before = 0;

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const wide = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const high = Math.max(1, Math.round((wide * height) / width));
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    const context = canvas.getContext("2d");
    if (!context) return;
    const picture = pictures[Number(slider.value)];
    if (picture) context.drawImage(picture, 0, 0, wide, high);
    if (box.checked) drawWays(context, ways, time / PERIOD_MS, wide / width, ratio);
  }

  /** @param {number} now */
  function step(now) {
    time += Math.min(now - before, 100);
    before = now;
    draw();
    request = requestAnimationFrame(step);
  }

  function settle() {
    cancelAnimationFrame(request);
    request = 0;
    const moving = playing && visible && box.checked;
    button.textContent = playing ? "Pause" : "Play";
    button.setAttribute("aria-label", playing ? "Pause the particles" : "Play the particles");
    button.disabled = !box.checked || ways.length === 0;
    reading.textContent = ` ${numbers[Number(slider.value)]}`;
    slider.setAttribute("aria-valuetext", `frame ${numbers[Number(slider.value)]}`);
    if (moving && ways.length) {
      before = performance.now();
      request = requestAnimationFrame(step);
    } else {
      draw();
    }
  }

  async function load() {
    const decoded = await Promise.all(model.get("frames").map(decode));
    if (gone) {
      decoded.forEach((picture) => picture.close());
      return;
    }
    pictures = decoded;
    settle();
  }

  function toggle() {
    playing = !playing;
    settle();
  }

  function onCalm() {
    playing = playing && !calm.matches;
    settle();
  }

  const seen = new IntersectionObserver((entries) => {
    visible = entries[entries.length - 1].isIntersecting;
    settle();
  });
  const resized = new ResizeObserver(draw);
  seen.observe(canvas);
  resized.observe(canvas);
  button.addEventListener("click", toggle);
  slider.addEventListener("input", settle);
  box.addEventListener("change", settle);
  calm.addEventListener("change", onCalm);
  settle();
  load();
  return () => {
    gone = true;
    cancelAnimationFrame(request);
    seen.disconnect();
    resized.disconnect();
    calm.removeEventListener("change", onCalm);
    pictures.forEach((picture) => picture.close());
  };
}

/**
 * @param {DataView} bytes
 * @returns {Promise<ImageBitmap>}
 */
function decode(bytes) {
  // a copy: the view may lie in the buffer of a whole message
  const content = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength).slice();
  return createImageBitmap(new Blob([content], { type: "image/jpeg" }));
}

/**
 * The ways of particles that begin on a shaken grid, the same ones every time.
 *
 * @param {Model} model
 * @returns {Way[]}
 */
function waysOf(model) {
  const [width, height] = model.get("span");
  const gain = model.get("gain");
  const motion = sampler(model);
  const random = numbersFrom(1);
  const apart = Math.max(width, height) / SEEDS;
  /** @type {(Way & { length: number })[]} */
  const ways = [];
  for (let top = 0; top + apart <= height + 1e-6; top += apart) {
    for (let left = 0; left + apart <= width + 1e-6; left += apart) {
      const points = new Float32Array(2 * (STEPS + 1));
      let x = left + random() * apart;
      let y = top + random() * apart;
      const [fromX, fromY] = [x, y];
      for (let n = 0; n <= STEPS; n += 1) {
        points[2 * n] = x;
        points[2 * n + 1] = y;
        const [u, v] = motion(x, y);
        x += (gain * u) / STEPS;
        y += (gain * v) / STEPS;
      }
      ways.push({ points, offset: random(), length: Math.hypot(x - fromX, y - fromY) });
    }
  }
  const longest = ways.reduce((most, way) => Math.max(most, way.length), 0);
  return ways.filter((way) => way.length > LEAST * longest);
}

/**
 * The motion at a place, between the cells of the field.
 *
 * @param {Model} model
 * @returns {(x: number, y: number) => [number, number]}
 */
function sampler(model) {
  const [columns, rows] = model.get("grid");
  const [width, height] = model.get("span");
  const view = model.get("field");
  /** @param {number} index */
  const value = (index) => view.getFloat32(4 * index, true);
  return (x, y) => {
    const column = Math.max(0, Math.min(columns - 1, (x / width) * columns - 0.5));
    const row = Math.max(0, Math.min(rows - 1, (y / height) * rows - 0.5));
    const [left, top] = [Math.floor(column), Math.floor(row)];
    const [right, bottom] = [Math.min(left + 1, columns - 1), Math.min(top + 1, rows - 1)];
    const [across, down] = [column - left, row - top];
    /** @param {number} plane */
    const mixed = (plane) => {
      const first = plane * columns * rows;
      const upper = value(first + top * columns + left) * (1 - across)
        + value(first + top * columns + right) * across;
      const lower = value(first + bottom * columns + left) * (1 - across)
        + value(first + bottom * columns + right) * across;
      return upper * (1 - down) + lower * down;
    };
    return [mixed(0), mixed(1)];
  };
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Way[]} ways
 * @param {number} turns how often a whole way was gone since the beginning
 * @param {number} scale pixels of the canvas per pixel of the flow
 * @param {number} ratio device pixels per pixel of the page
 */
function drawWays(context, ways, turns, scale, ratio) {
  context.lineCap = "round";
  context.lineJoin = "round";
  for (const [colour, thickness] of PAINT) {
    context.strokeStyle = colour;
    context.fillStyle = colour;
    context.lineWidth = thickness * ratio;
    for (const { points, offset } of ways) {
      const head = ((turns + offset) % 1) * (1 + TAIL);
      const first = Math.round(Math.max(0, head - TAIL) * STEPS);
      const last = Math.round(Math.min(1, head) * STEPS);
      if (last <= first) continue;
      context.beginPath();
      context.moveTo(points[2 * first] * scale, points[2 * first + 1] * scale);
      for (let n = first + 1; n <= last; n += 1) {
        context.lineTo(points[2 * n] * scale, points[2 * n + 1] * scale);
      }
      context.stroke();
      context.beginPath(); // the head is thicker, so that the direction is seen at rest as well
      context.arc(points[2 * last] * scale, points[2 * last + 1] * scale, HEAD * thickness * ratio, 0, 7);
      context.fill();
    }
  }
}

/**
 * Numbers from 0 to 1 that look like chance and are the same for the same seed (mulberry32).
 *
 * @param {number} seed
 * @returns {() => number}
 */
function numbersFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export default { render };
