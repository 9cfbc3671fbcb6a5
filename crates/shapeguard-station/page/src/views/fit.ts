// Fitting: pick good scans, upload them, watch, look at the result, activate it.
import { card, fault, title, type App, type View } from "../app";
import type { Fit } from "../contract";
import { fill, h } from "../dom";
import { droppedFiles, pairFiles, pickedFiles, type PickedFile, type Scan } from "../pairing";
import { manageExplanation, manageOnly } from "../session";
import { count, percent } from "../words";
import { fitCard } from "./fit_card";

const PRESETS: [string, string][] = [
  ["default", "default: accurate and fast"],
  ["paper", "paper: as published, slower"],
  ["best", "best: most accurate, slowest"],
];
const RATES = [0.01, 0.02, 0.05, 0.1];
const USUAL_RATE = 0.05;
/** Names that the list of picked scans shows; more would bury the button. */
const NAMES_SHOWN = 6;

export const fitView: View = async (main, app, signal) => {
  const { fits } = await app.api.get<{ fits: Fit[] }>("/v1/fits", signal);
  const list = h("div", { class: "stack-cards" });
  const cards = new Map<string, HTMLElement>();
  const show = (fit: Fit) => {
    const fresh = fitCard(app, fit, () => {
      cards.get(fit.id)?.remove();
      cards.delete(fit.id);
    });
    const old = cards.get(fit.id);
    if (old) old.replaceWith(fresh);
    else list.prepend(fresh);
    cards.set(fit.id, fresh);
  };
  // What is being uploaded from this page has its progress in the form.
  fits.filter(({ state }) => state !== "collecting").reverse().forEach(show);
  app.events.on(
    "fit",
    (fit) => {
      if (fit.state === "collecting") return;
      show(fit);
      if (fit.state === "done" || fit.state === "failed") app.announce(`Fitting ${fit.model}: ${fit.state}.`);
    },
    signal,
  );
  app.events.onReconnect(() => {
    app.api.get<{ fits: Fit[] }>("/v1/fits", signal).then(({ fits }) => fits.filter(({ state }) => state !== "collecting").forEach(show), console.info);
  }, signal);
  fill(main, title("Fit a model", "Learn from good parts"), manageExplanation(app.status.role), fitForm(app, signal, show), list);
};

function fitForm(app: App, signal: AbortSignal, started: (fit: Fit) => void): HTMLElement {
  const { role } = app.status;
  let scans: Scan[] = [];
  const model = manageOnly(h("input", { id: "fit-name", required: true, pattern: "[A-Za-z0-9._\\-]+", autocomplete: "off", title: "Letters, digits, dot, hyphen and underscore" }), role);
  const preset = manageOnly(h("select", { id: "fit-preset" }, PRESETS.map(([value, text]) => h("option", { value }, text))), role);
  const rate = manageOnly(h("select", { id: "fit-rate" }, RATES.map((value) => h("option", { value, selected: value === USUAL_RATE }, percent(value)))), role);
  const folder = manageOnly(h("input", { id: "fit-folder", type: "file", webkitdirectory: true, multiple: true }), role);
  const found = h("div", { role: "status" });
  const start = manageOnly(h("button", { class: "primary" }, "Upload and start"), role);
  const progress = h("div", {});
  const faults = h("div", {});
  const take = (files: PickedFile[]) => {
    const pairing = pairFiles(files);
    scans = pairing.scans;
    fill(found, picked(pairing.scans, pairing.problems));
  };
  folder.addEventListener("change", () => take(pickedFiles(folder.files!)));
  const drop = h(
    "div",
    { class: "drop" },
    h("label", { for: "fit-folder" }, h("strong", {}, "Folder of good scans")),
    folder,
    h("p", { class: "soft" }, "Or drop files or a folder here. Known are ", h("code", {}, "xyz/NNN.tiff"), " with ", h("code", {}, "rgb/NNN.png"), ", and PCD, PLY or NPZ clouds with their own colours or an image of the same name beside."),
    found,
  );
  if (role === "manage") acceptDrops(drop, take, (error) => fill(faults, fault(error)), signal);

  const form = h(
    "form",
    { class: "fit-form" },
    h("div", {}, h("label", { for: "fit-name" }, "Name of the model"), model),
    h("div", {}, h("label", { for: "fit-preset" }, "Preset"), preset),
    h("div", {}, h("label", { for: "fit-rate" }, "Good parts that may be rejected"), rate),
    drop,
    h("div", { class: "wide" }, start, progress, faults),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fill(faults);
    if (scans.length === 0) return fill(faults, fault(new Error("No scan has been picked. Pick or drop a folder of good scans first.")));
    start.disabled = true;
    try {
      const settings = { model: model.value.trim(), preset: preset.value, false_reject_rate: Number(rate.value) };
      started(await uploadAndStart(app, settings, scans, progress, signal));
      form.reset();
      scans = [];
      fill(found);
    } catch (error) {
      if (!signal.aborted) fill(faults, fault(error));
    }
    fill(progress);
    start.disabled = false;
  });
  return card(null, form);
}

/** What of the picked files are scans, and what cannot be used. */
function picked(scans: Scan[], problems: { path: string; reason: string }[]): HTMLElement {
  const names = scans.slice(0, NAMES_SHOWN).map(({ name }) => name).join(", ");
  const more = scans.length > NAMES_SHOWN ? `, and ${scans.length - NAMES_SHOWN} more` : "";
  return h(
    "div",
    {},
    h("p", {}, h("strong", {}, `${count(scans.length, "scan")} found`), scans.length > 0 ? `: ${names}${more}.` : "."),
    problems.length > 0 && h("details", { open: scans.length === 0 }, h("summary", {}, `${count(problems.length, "file")} cannot be used`), h("ul", {}, problems.map(({ path, reason }) => h("li", {}, h("code", {}, path), ` ${reason}`)))),
  );
}

function acceptDrops(place: HTMLElement, take: (files: PickedFile[]) => void, failed: (error: unknown) => void, signal: AbortSignal): void {
  place.addEventListener("dragover", (event) => {
    event.preventDefault();
    place.classList.add("over");
  });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    if (event.dataTransfer) droppedFiles(event.dataTransfer.items).then(take, failed);
  });
  // A folder dropped beside the place would replace the page.
  for (const kind of ["dragover", "drop"] as const) addEventListener(kind, (event) => event.preventDefault(), { signal });
}

/** Uploads the scans one after the other and starts the fit. One that cannot be started is taken back. */
async function uploadAndStart(
  app: App,
  settings: { model: string; preset: string; false_reject_rate: number },
  scans: Scan[],
  place: HTMLElement,
  signal: AbortSignal,
): Promise<Fit> {
  const fit = await app.api.post<Fit>("/v1/fits", settings);
  const path = `/v1/fits/${encodeURIComponent(fit.id)}`;
  try {
    if (scans.length < fit.scans_needed) {
      throw new Error(
        `A false-reject rate of ${percent(settings.false_reject_rate)} needs ${fit.scans_needed} good scans, but ${count(scans.length, "scan was", "scans were")} picked. Pick more scans, or allow more good parts to be rejected.`,
      );
    }
    const bar = h("progress", { max: scans.length, value: 0, "aria-label": "Upload of scans" });
    const text = h("span", {});
    fill(place, h("p", { class: "progress-line" }, bar, text));
    for (const [i, { name, cloud, rgb }] of scans.entries()) {
      signal.throwIfAborted();
      text.textContent = `Uploading ${name}, ${i + 1} of ${scans.length}`;
      const body = new FormData();
      body.append("cloud", cloud.file);
      if (rgb) body.append("rgb", rgb.file);
      await app.api.upload<void>("PUT", `${path}/scans/${encodeURIComponent(name)}`, body, (share) => (bar.value = i + share));
    }
    return await app.api.post<Fit>(`${path}/start`);
  } catch (error) {
    await app.api.delete(path).catch(console.info);
    throw error;
  }
}
