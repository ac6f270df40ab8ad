// @ts-check
/**
 * A picture on a canvas, with a cross on one of its points. A click or the arrow keys move the
 * cross where `pointing` is set.
 *
 * @typedef {object} State
 * @property {DataView} value a JPEG; empty for none
 * @property {[number, number]} size columns and rows of the grid that is pointed into
 * @property {[number, number] | null} point column and row of the cross
 * @property {boolean} pointing whether the reader moves the cross
 * @property {string} label what the picture shows
 *
 * @typedef {object} Model
 * @property {<K extends keyof State>(name: K) => State[K]} get
 * @property {<K extends keyof State>(name: K, value: State[K]) => void} set
 * @property {() => void} save_changes
 * @property {(events: string, callback: () => void) => void} on
 * @property {(events: string, callback: () => void) => void} off
 */

const HINT = "Click a point, or move the cross with the arrow keys (Shift: 10 px). Esc removes it.";
const FAR = 10; // pixels of a step with Shift
const GAP = 7; // from the point to the arms of the cross, in pixels of the page
const RIM = "rgb(20, 20, 20)";
const CORE = "rgb(255, 214, 64)";

/** @type {Record<string, [number, number]>} */
const STEPS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/**
 * @param {{ model: Model, el: HTMLElement }} context
 * @returns {() => void} what takes it down again
 */
function render({ model, el }) {
  const canvas = document.createElement("canvas");
  const hint = document.createElement("p");
  el.classList.add("hmrm-canvas");
  canvas.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes the arrow keys
  hint.textContent = HINT;
  hint.id = `hmrm-hint-${Math.random().toString(36).slice(2)}`;
  el.append(canvas, hint);

  /** @type {ImageBitmap | null} */
  let picture = null;
  let newest = 0; // pictures may be decoded out of turn

  async function load() {
    const turn = ++newest;
    const bytes = model.get("value");
    const shown = bytes.byteLength > 0;
    const type = "image/jpeg";
    // a copy: the view may lie in the buffer of a whole message
    const content = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength).slice();
    const decoded = shown ? await createImageBitmap(new Blob([content], { type })) : null;
    if (turn !== newest) {
      decoded?.close();
      return;
    }
    picture?.close();
    picture = decoded;
    canvas.hidden = !shown;
    hint.hidden = !shown || !model.get("pointing");
    draw();
  }

  function draw() {
    const [columns, rows] = model.get("size");
    const ratio = window.devicePixelRatio || 1;
    canvas.style.aspectRatio = `${columns} / ${rows}`;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round((canvas.width * rows) / columns));
    const context = canvas.getContext("2d");
    if (!context || !picture) return;
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const point = model.get("point");
    if (point) {
      const x = ((point[0] + 0.5) / columns) * canvas.width;
      const y = ((point[1] + 0.5) / rows) * canvas.height;
      drawCross(context, x, y, GAP * ratio, ratio);
    }
  }

  function describe() {
    const pointing = model.get("pointing");
    const [columns, rows] = model.get("size");
    const point = model.get("point");
    const where = point ? `Cross at column ${point[0]}, row ${point[1]}.` : "No point chosen.";
    canvas.setAttribute("role", pointing ? "application" : "img");
    canvas.setAttribute(
      "aria-label",
      pointing ? `${model.get("label")}, ${columns} by ${rows} pixels. ${where}` : model.get("label"),
    );
    if (!pointing) return;
    canvas.tabIndex = 0;
    canvas.setAttribute("aria-roledescription", "picture to point into");
    canvas.setAttribute("aria-describedby", hint.id);
  }

  function refresh() {
    describe();
    draw();
  }

  /** @param {[number, number] | null} point */
  function put(point) {
    const size = model.get("size");
    /** @param {0 | 1} axis */
    const inside = (axis) => Math.max(0, Math.min(size[axis] - 1, point ? point[axis] : 0));
    model.set("point", point && [inside(0), inside(1)]);
    model.save_changes();
  }

  /** @param {MouseEvent} event */
  function onClick(event) {
    if (!model.get("pointing")) return;
    const [columns, rows] = model.get("size");
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * columns;
    const y = ((event.clientY - box.top) / box.height) * rows;
    put([Math.floor(x), Math.floor(y)]);
    canvas.focus();
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const step = STEPS[event.key];
    if (!model.get("pointing") || (!step && event.key !== "Escape")) return;
    event.preventDefault();
    event.stopPropagation();
    if (!step) {
      put(null);
      return;
    }
    const [columns, rows] = model.get("size");
    const far = event.shiftKey ? FAR : 1;
    const point = model.get("point");
    put(
      point
        ? [point[0] + far * step[0], point[1] + far * step[1]]
        : [Math.floor(columns / 2), Math.floor(rows / 2)],
    );
  }

  const resized = new ResizeObserver(draw);
  resized.observe(el);
  canvas.addEventListener("click", onClick);
  canvas.addEventListener("keydown", onKey);
  model.on("change:value", load);
  model.on("change:size change:point change:label change:pointing", refresh);
  describe();
  load();
  return () => {
    newest += 1;
    resized.disconnect();
    picture?.close();
    model.off("change:value", load);
    model.off("change:size change:point change:label change:pointing", refresh);
  };
}

/**
 * A cross with a free middle, so that the point itself is seen.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} gap
 * @param {number} ratio device pixels per pixel of the page
 */
function drawCross(context, x, y, gap, ratio) {
  const { width, height } = context.canvas;
  for (const [colour, thickness] of /** @type {[string, number][]} */ ([
    [RIM, 3],
    [CORE, 1.25],
  ])) {
    context.strokeStyle = colour;
    context.lineWidth = thickness * ratio;
    context.beginPath();
    context.moveTo(0, y);
    context.lineTo(x - gap, y);
    context.moveTo(x + gap, y);
    context.lineTo(width, y);
    context.moveTo(x, 0);
    context.lineTo(x, y - gap);
    context.moveTo(x, y + gap);
    context.lineTo(x, height);
    context.moveTo(x + gap, y);
    context.arc(x, y, gap, 0, 2 * Math.PI);
    context.stroke();
  }
}

export default { render };
