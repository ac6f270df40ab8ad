// What a widget shows, and what keeps a reader from it. Each function is given the widget's root.

async function fingerprint(root) {
  const digest = async (bytes) => {
    const hash = await crypto.subtle.digest("SHA-256", bytes);
    return Array.from(new Uint8Array(hash).slice(0, 8), (b) => b.toString(16)).join("");
  };
  const words = (text) => digest(new TextEncoder().encode(text));
  const shown = [];
  for (const part of root.querySelectorAll("img, canvas, svg")) {
    if (!part.getClientRects().length) continue;
    if (part.tagName === "IMG") {
      const answer = await fetch(part.src).catch(() => null);
      shown.push(answer ? await digest(await answer.arrayBuffer()) : "empty");
    } else if (part.tagName === "CANVAS") shown.push(await words(part.toDataURL()));
    else shown.push(await words(part.outerHTML));
  }
  return shown.join(" ");
}

async function otherPictures([root, before, patience_s]) {
  const end = performance.now() + 1000 * patience_s;
  while ((await fingerprint(root)) === before) {
    if (performance.now() > end) throw new Error("the pictures stay as they are");
    await new Promise((done) => setTimeout(done, 100));
  }
}

function visible(e) {
  return e.checkVisibility({checkVisibilityCSS: true});
}

function reachable(root) {
  const controls = root.querySelectorAll("select, input, button, textarea, [role=slider]");
  return Array.from(controls).filter(
    (e) => visible(e) && !e.disabled && !e.closest(".js-plotly-plot"));
}

function nameless(root) {
  return reachable(root).filter((e) => {
    const label = e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent;
    return !(label || e.title || "").trim();
  }).map((e) => e.outerHTML);
}

function focusFirst(root) {
  reachable(root)[0]?.focus();
}

// Whether the focus is in the widget; what it has reached is kept for `unreached`.
function reach(root) {
  root.reached ??= new Set();
  const here = document.activeElement;
  if (root.contains(here)) root.reached.add(here);
  return root.contains(here);
}

function unreached(root) {
  return reachable(root).filter((e) => !root.reached?.has(e)).map((e) => e.outerHTML.slice(0, 200));
}

function tooWide(root) {
  const scrolls = (e) => e !== root && (
    ["auto", "scroll"].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  return Array.from(root.querySelectorAll("*")).filter((e) => {
    const box = e.getBoundingClientRect();
    return box.width && box.right > document.documentElement.clientWidth + 1
      && !scrolls(e.parentElement);
  }).map((e) => e.outerHTML.slice(0, 150));
}

function cutOff(root) {
  return Array.from(root.querySelectorAll("label, button")).filter((e) => {
    const words = document.createRange(), style = getComputedStyle(e);
    words.selectNodeContents(e);
    const room = e.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    return e.clientWidth && visible(e) && words.getBoundingClientRect().width > room + 1;
  }).map((e) => e.textContent);
}

function shortSliders(root) {
  return Array.from(root.querySelectorAll(".widget-hslider .noUi-target"))
    .filter((e) => visible(e) && e.clientWidth < 130)
    .map((e) => `${e.closest(".widget-hslider").textContent}: ${e.clientWidth} px`);
}
