// The scan's colour image with a score map over it and the defect regions outlined.
import { card, fault, type App } from "../app";
import type { Channel, Inspection } from "../contract";
import { fill, h } from "../dom";
import { boxInPercent, mapInScan, readMap } from "../map/geometry";
import { heatColour, paintMap } from "../map/heat";
import { EXPERT_WORDS, short } from "../words";

const START_OPACITY = 0.75;
/** The slider's steps; its numbers are shown with three digits. */
const STEPS = 400;

export interface PicturePanel {
  element: HTMLElement;
  /** Lets one region's box stand out. */
  highlight(region: number | null): void;
}

export function picturePanel(app: App, one: Inspection, signal: AbortSignal): PicturePanel {
  const canvas = h("canvas", { role: "img", "aria-label": description(one) });
  const boxes = one.scan_size ? one.regions.map((region, i) => box(boxInPercent(region, one.scan_size!), i + 1)) : [];
  const [rows, cols] = one.scan_size ?? [1, 1];
  const fit = h("div", { class: "stage-fit", style: { "--ratio": String(cols / rows) } }, canvas, boxes);
  const frame = h("div", { class: "stage" }, fit);
  const place = h("div", {});
  const element = card("Picture", frame, place);
  element.classList.add("panel");
  if (one.links.image === null) {
    fill(frame, h("p", { class: "empty" }, "The scan could not be read, so there is no picture."));
  } else {
    draw(app, one, canvas, place, boxes, signal).catch((error: unknown) => {
      if (!signal.aborted) fill(place, fault(error));
    });
  }
  return {
    element,
    highlight: (region) => boxes.forEach((outline, i) => outline.classList.toggle("lit", i === region)),
  };
}

function description(one: Inspection): string {
  const places = one.regions.length === 0 ? "no defect region" : `${one.regions.length} outlined`;
  return `Colour image of the part with its score map; defect regions: ${places}`;
}

function box(at: { left: number; top: number; width: number; height: number }, number: number): HTMLElement {
  const style = { left: `${at.left}%`, top: `${at.top}%`, width: `${at.width}%`, height: `${at.height}%` };
  // A number above a box at the picture's upper edge would be cut off.
  return h("div", { class: `region ${at.top < 8 ? "low" : ""}`, style, "aria-hidden": "true" }, h("span", {}, number));
}

/** Draws the picture and, where there are maps, the controls that it is drawn by. */
async function draw(
  app: App,
  one: Inspection,
  canvas: HTMLCanvasElement,
  place: HTMLElement,
  boxes: HTMLElement[],
  signal: AbortSignal,
): Promise<void> {
  const image = new Image();
  image.src = await app.api.picture(one.links.image!, signal);
  await image.decode();
  URL.revokeObjectURL(image.src);
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d")!;
  context.drawImage(image, 0, 0);
  const { map, links } = one;
  if (map === null || links.maps === null) return;

  const maps = new Map<Channel, Float32Array>();
  const load = async (channel: Channel) => {
    const values = maps.get(channel) ?? readMap(await app.api.bytes(links.maps![channel], signal), map.side);
    maps.set(channel, values);
    return values;
  };
  const fused = await load("fused");
  const layer = new OffscreenCanvas(map.side, map.side);
  const paint = async () => {
    const channel = controls.channel();
    const values = channel === "none" ? null : await load(channel);
    // Another map may have been chosen while this one came.
    if (channel !== controls.channel()) return;
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    if (values === null) return;
    const pixels = paintMap(values, map.good_peak, controls.from(), controls.opacity());
    layer.getContext("2d")!.putImageData(new ImageData(pixels, map.side, map.side), 0, 0);
    const at = mapInScan(map);
    const [rows, cols] = one.scan_size ?? [canvas.height, canvas.width];
    const [x, y] = [canvas.width / cols, canvas.height / rows];
    context.drawImage(layer, at.left * x, at.top * y, at.width * x, at.height * y);
  };
  const repaint = () =>
    paint().catch((error: unknown) => {
      if (!signal.aborted) fill(controls.faults, fault(error));
    });
  const highest = fused.reduce((most, value) => Math.max(most, value), 2 * map.good_peak);
  const controls = mapControls(highest, one.region_level ?? map.good_peak, map.good_peak, boxes, repaint);
  fill(place, controls.element);
  await paint();
}

function mapControls(highest: number, start: number, goodPeak: number, boxes: HTMLElement[], changed: () => void) {
  const channels = ["fused", "sdf", "rgb", "none"] as const;
  const radios = channels.map((channel) => {
    const radio = h("input", { type: "radio", name: "channel", value: channel, checked: channel === "fused" });
    return h("label", { class: "choice" }, radio, channel === "none" ? "None" : EXPERT_WORDS[channel]);
  });
  const opacity = h("input", { type: "range", id: "opacity", min: 0, max: 100, value: 100 * START_OPACITY });
  const from = h("input", { type: "range", id: "from", min: 0, max: highest, step: highest / STEPS, value: start });
  const opacityShown = h("output", { for: "opacity", class: "number" });
  const fromShown = h("output", { for: "from", class: "number" });
  const regions = h("input", { type: "checkbox", checked: true });
  const faults = h("div", {});
  const show = () => {
    opacityShown.textContent = `${opacity.value} %`;
    fromShown.textContent = short(from.valueAsNumber);
    from.setAttribute("aria-valuetext", `${short(from.valueAsNumber)}, regions from ${short(start)}`);
    for (const outline of boxes) outline.hidden = !regions.checked;
  };
  const reset = h("button", { type: "button", class: "quiet" }, "Reset");
  const form = h(
    "form",
    { class: "map-controls", "aria-label": "Score map" },
    h("fieldset", {}, h("legend", {}, "Score map"), radios),
    h("label", { for: "opacity" }, "Opacity"),
    opacity,
    opacityShown,
    h("label", { for: "from" }, "Hide below"),
    from,
    fromShown,
    h("div", { class: "wide" }, h("label", { class: "choice" }, regions, "Outline the regions"), reset),
  );
  form.addEventListener("input", () => {
    show();
    changed();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  reset.addEventListener("click", () => {
    form.reset();
    show();
    changed();
  });
  show();
  return {
    element: h("div", {}, form, legend(goodPeak), faults),
    faults,
    channel: () => new FormData(form).get("channel") as Channel | "none",
    opacity: () => opacity.valueAsNumber / 100,
    from: () => from.valueAsNumber,
  };
}

/** The colour scale, with what its middle means. */
function legend(goodPeak: number): HTMLElement {
  const stops = Array.from({ length: 11 }, (_, i) => `rgb(${heatColour(i / 10).join(" ")})`);
  return h(
    "div",
    { class: "scale" },
    h("i", { style: { background: `linear-gradient(90deg, ${stops.join(", ")})` } }),
    h("span", {}, "0"),
    h("span", {}, `${short(goodPeak)}: highest of good parts`),
    h("span", {}, `${short(2 * goodPeak)} or more`),
  );
}
