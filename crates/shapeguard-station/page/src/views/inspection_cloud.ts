// The scan's point cloud in 3D, with what to do where a browser cannot draw it.
import { card, fault, type App } from "../app";
import { readPly } from "../cloud/ply";
import type { Viewer } from "../cloud/viewer";
import type { Inspection } from "../contract";
import { fill, h } from "../dom";

const MAX_POINTS = 200_000;

export function cloudPanel(app: App, one: Inspection, signal: AbortSignal): HTMLElement {
  const canvas = h("canvas", {
    class: "cloud",
    tabindex: 0,
    role: "application",
    "aria-label": "Point cloud in 3D. Arrow keys turn it, plus and minus zoom, Home resets the view.",
  });
  const stage = h("div", { class: "stage" }, canvas);
  const controls = h("div", {});
  const element = card("Cloud in 3D", stage, controls);
  element.classList.add("panel");
  if (one.links.cloud === null) {
    fill(stage, h("p", { class: "empty" }, "The scan could not be read, so there is no cloud."));
    return element;
  }
  open(app, one, canvas, signal).then(
    (viewer) => {
      if (signal.aborted) return viewer.dispose();
      signal.addEventListener("abort", () => viewer.dispose());
      canvas.dataset.ready = "true";
      fill(controls, cloudControls(viewer, one.map !== null, one.regions.length > 0));
    },
    (error: unknown) => {
      if (!signal.aborted) fill(stage, fault(error));
    },
  );
  return element;
}

async function open(app: App, one: Inspection, canvas: HTMLCanvasElement, signal: AbortSignal): Promise<Viewer> {
  // A bundle of its own beside this one, under a name that the bundler must not follow.
  const bundle = new URL("viewer.js", import.meta.url).href;
  const [{ openViewer }, bytes] = await Promise.all([
    import(bundle) as Promise<typeof import("../cloud/viewer")>,
    app.api.bytes(`${one.links.cloud}?max_points=${MAX_POINTS}`, signal),
  ]);
  const cloud = readPly(bytes);
  const goodPeak = one.map?.good_peak ?? 0;
  try {
    return openViewer(canvas, cloud, one.regions, goodPeak, one.region_level ?? goodPeak);
  } catch (cause) {
    const remedy = "Switch on hardware acceleration, or use another browser.";
    throw new Error(`This browser cannot draw in 3D (WebGL 2 is off or missing). ${remedy}`, { cause });
  }
}

function cloudControls(viewer: Viewer, scored: boolean, marked: boolean): HTMLElement {
  const choice = (value: "score" | "own", text: string) => {
    const radio = h("input", { type: "radio", name: "colouring", value, checked: (value === "score") === scored });
    radio.addEventListener("change", () => viewer.colourBy(value));
    return h("label", { class: "choice" }, radio, text);
  };
  if (!scored) viewer.colourBy("own");
  const regions = h("input", { type: "checkbox", checked: true });
  regions.addEventListener("change", () => viewer.markRegions(regions.checked));
  return h(
    "form",
    { class: "map-controls", "aria-label": "Cloud" },
    h("fieldset", {}, h("legend", {}, "Colours"), scored && choice("score", "Score"), choice("own", "The part's own")),
    marked && h("div", { class: "wide" }, h("label", { class: "choice" }, regions, "Mark the regions")),
    h(
      "p",
      { class: "soft small wide" },
      "Drag to turn, right-drag to move, wheel to zoom after a click. Keys: arrows turn, ",
      h("kbd", {}, "+"),
      " ",
      h("kbd", {}, "−"),
      " zoom, ",
      h("kbd", {}, "Home"),
      " resets.",
    ),
  );
}
