// Gives names to what a screen reader would call "slider" or "image" only, and leaves the arrow
// keys to the controls that need them: JupyterLab would move from cell to cell.

const ARROWED = "select, canvas, .noUi-handle, input[type=radio]";

function nameSlider(slider) {
  const label = slider.querySelector(".widget-label").textContent;
  const handles = slider.querySelectorAll(".noUi-handle");
  handles.forEach((handle, n) => {
    const end = handles.length > 1 ? [", from", ", to"][n] : "";
    handle.setAttribute("aria-label", label + end);
  });
  const readout = slider.querySelector(".widget-readout");
  readout?.setAttribute("role", "textbox");
  readout?.setAttribute("aria-label", `${label}, typed`);
}

function attend(viewer, pictures) {
  viewer.querySelectorAll(".widget-slider").forEach(nameSlider);
  for (const group of viewer.querySelectorAll(".widget-toggle-buttons")) {
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", group.querySelector(".widget-label").textContent);
  }
  for (const button of viewer.querySelectorAll(".widget-toggle-button")) {
    button.setAttribute("aria-pressed", button.classList.contains("mod-active"));
  }
  for (const control of viewer.querySelectorAll(ARROWED)) {
    control.dataset.lmSuppressShortcuts = "true";
  }
  for (const [mark, words] of Object.entries(pictures)) {
    viewer.querySelectorAll(`.${mark}`).forEach((image) => (image.alt = words));
  }
}

function render({ model, el }) {
  let viewer = null;
  let waiting = 0;
  const observer = new MutationObserver(() => attend(viewer, model.get("pictures")));
  const begin = () => {
    viewer = el.closest(".hmrm-viewer");
    if (!viewer) {
      waiting = setTimeout(begin, 100); // not on the page yet
      return;
    }
    attend(viewer, model.get("pictures"));
    observer.observe(viewer, { childList: true, subtree: true, attributeFilter: ["class"] });
  };
  begin();
  return () => {
    clearTimeout(waiting);
    observer.disconnect();
  };
}

export default { render };
