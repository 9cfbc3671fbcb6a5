// One inspection: the verdict in words, the picture with its score map, the cloud, the defect regions, and the feedback.
import { card, facts, fault, message, title, verdict, type App, type View } from "../app";
import type { Inspection } from "../contract";
import { fill, h, row, table, type Child } from "../dom";
import { neighbours } from "../neighbours";
import { EXPERT_WORDS, NONE, capital, comparison, millimetres, pValue, percent, seconds, short, shortDigest, time } from "../words";
import { cloudPanel } from "./inspection_cloud";
import { feedbackCard } from "./inspection_feedback";
import { picturePanel } from "./inspection_picture";
import { partName } from "./live_table";

export const inspectionView: View = async (main, app, signal, id) => {
  const path = `/v1/inspections/${encodeURIComponent(id)}`;
  const inspection = await app.api.get<Inspection>(path, signal);
  const feedback = h("div", {});
  const showFeedback = (one: Inspection) => fill(feedback, feedbackCard(app, one, showFeedback));
  showFeedback(inspection);
  const { pictures, regions } = lookAt(app, inspection, signal);
  fill(
    main,
    h("div", { class: "inspection-head" }, title(partTitle(inspection), "Inspection"), paging(app, inspection, signal)),
    verdictCard(inspection),
    pictures,
    h(
      "div",
      { class: "columns" },
      h("div", { class: "stack-cards" }, regions, aboutCard(inspection)),
      h("div", { class: "stack-cards" }, feedback, timingCard(inspection)),
    ),
  );
  app.events.on(
    "feedback",
    async (event) => {
      if (event.id !== id) return;
      try {
        showFeedback(await app.api.get<Inspection>(path, signal));
      } catch (error) {
        if (!signal.aborted) feedback.append(fault(error));
      }
    },
    signal,
  );
};

function partTitle(one: Inspection): string {
  return one.serial === null ? partName(one) : `${partName(one)}, serial ${one.serial}`;
}

/** Links to the neighbours in the live list's filter; j and k go there too. */
function paging(app: App, one: Inspection, signal: AbortSignal): HTMLElement {
  const back = h("a", { class: "button", href: `#/${app.filter.size > 0 ? `?${app.filter}` : ""}` }, "List");
  const link = (text: string, key: string) => h("a", { class: "button", "aria-disabled": "true", "aria-keyshortcuts": key }, text);
  const newer = link("◀ Newer", "k");
  const older = link("Older ▶", "j");
  const point = (to: HTMLAnchorElement, id: string | null) => {
    if (id === null) return;
    to.href = `#/inspections/${encodeURIComponent(id)}`;
    to.removeAttribute("aria-disabled");
  };
  const look = () =>
    neighbours(app.api, one, app.filter, signal).then(
      (found) => {
        point(newer, found.newer);
        point(older, found.older);
      },
      (error: unknown) => {
        if (!signal.aborted) newer.title = older.title = message(error);
      },
    );
  void look();
  // The newest inspection gets a newer one as soon as the next part comes.
  app.events.on("inspection", () => newer.href === "" && void look(), signal);
  addEventListener(
    "keydown",
    (event) => {
      const target = event.target as HTMLElement;
      if (target.matches("input:not([type=range], [type=radio], [type=checkbox]), textarea, select")) return;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const to = event.key === "j" ? older : event.key === "k" ? newer : null;
      if (to && to.href !== "") location.href = to.href;
    },
    { signal },
  );
  const keys = h("span", { class: "soft small keys" }, "keys ", h("kbd", {}, "k"), " ", h("kbd", {}, "j"));
  return h("nav", { class: "paging", "aria-label": "Other inspections" }, back, newer, older, keys);
}

function verdictCard(one: Inspection): HTMLElement {
  const judged = one.score !== null && one.threshold !== null;
  const words: Child[] = judged
    ? [
        h("p", { class: "hero-score" }, "Score ", h("strong", {}, short(one.score)), `: ${comparison(one.score!, one.threshold!)}.`),
        one.p_value !== null && h("p", {}, `${capital(pValue(one.p_value))}.`),
        thresholdWords(one),
      ]
    : [h("p", { class: "hero-reason" }, one.reason ?? "No reason was given."), h("p", { class: "soft" }, "A scan that cannot be judged is never called good.")];
  return h(
    "section",
    { class: `verdict-card card ${one.verdict}`, "aria-label": "Verdict" },
    verdict(one.verdict, "large"),
    h("div", { class: "verdict-words" }, words),
    one.shares ? expertShares(one) : null,
    one.warnings.length > 0 && h("ul", { class: "warnings" }, one.warnings.map((text) => h("li", {}, h("strong", {}, "Warning: "), text))),
  );
}

function thresholdWords(one: Inspection): HTMLElement | null {
  if (one.false_reject_rate === null) return null;
  const basis = one.threshold_basis === "validation" ? "" : "approximately ";
  return h("p", { class: "soft" }, `The threshold rejects ${basis}${percent(one.false_reject_rate)} of good parts.`);
}

/** What part of the defect regions each expert accounts for, and each one's own score. */
function expertShares(one: Inspection): HTMLElement {
  const experts = (["sdf", "rgb"] as const).map((expert) =>
    h(
      "div",
      { class: "share" },
      h("span", {}, EXPERT_WORDS[expert]),
      h("span", { class: "number" }, percent(one.shares![expert])),
      h("span", { class: `share-bar ${expert}`, "aria-hidden": "true" }, h("span", { style: { width: `${100 * one.shares![expert]}%` } })),
      h("span", { class: "soft small" }, one.scores ? `score ${short(one.scores[expert])}` : ""),
    ),
  );
  return h("div", { class: "shares" }, h("h2", { class: "small-head" }, "What found it"), experts);
}

/** The picture and the cloud side by side, and the table of their regions; a row shows its box in the picture. */
function lookAt(app: App, one: Inspection, signal: AbortSignal): { pictures: HTMLElement; regions: HTMLElement } {
  const picture = picturePanel(app, one, signal);
  const pictures = h("div", { class: "pictures" }, picture.element, cloudPanel(app, one, signal));
  const rows = one.regions.map((region, i) => {
    const main = region.shares.sdf >= region.shares.rgb ? ("sdf" as const) : ("rgb" as const);
    const cells = row(
      h("strong", {}, i + 1),
      region.area_mm2 === null ? `${region.pixels} px` : short(region.area_mm2),
      millimetres(region.xyz_m),
      short(region.peak),
      `${main === "sdf" ? "Shape" : "Colour"} ${percent(region.shares[main])}`,
    );
    cells.addEventListener("pointerenter", () => picture.highlight(i));
    cells.addEventListener("pointerleave", () => picture.highlight(null));
    return cells;
  });
  const columns = ["No.", "Size, mm²", "Location x, y, z, mm", "Peak", "Expert"];
  const content = rows.length > 0 ? table("Defect regions", columns, rows, "figures") : h("p", { class: "soft" }, one.verdict === "not-judged" ? "None: the scan was not judged." : "No region stands out.");
  const note = rows.length > 0 && h("p", { class: "soft small" }, "Locations are in the camera's frame: x right, y down, z away from the camera.");
  return { pictures, regions: card("Defect regions", content, note) };
}

function aboutCard(one: Inspection): HTMLElement {
  const pairs: [string, Child][] = [
    ["Received", h("time", { datetime: one.received_at }, time(one.received_at))],
    ["Model", h("a", { href: `#/models/${encodeURIComponent(one.model)}` }, one.model)],
    ["Version", h("code", { title: one.model_sha256 }, shortDigest(one.model_sha256))],
    ["Kind of part", one.category ?? NONE],
    ["Serial", one.serial ?? NONE],
    ["Scan", one.scan_size ? `${one.scan_size[1]} × ${one.scan_size[0]} pixels` : NONE],
    ["Patches", one.patches ?? NONE],
  ];
  if (one.routing) {
    const { confidence, nearest_category, distance } = one.routing;
    pairs.push(["Recognised as", `${nearest_category}, confidence ${percent(confidence)}, distance ${short(distance)}`]);
  }
  for (const [key, value] of Object.entries(one.meta)) pairs.push([key, value]);
  pairs.push(["Inspection", h("code", {}, one.id)]);
  return card("About this scan", facts(pairs));
}

function timingCard(one: Inspection): HTMLElement | null {
  if (!one.seconds) return null;
  const stages = Object.entries(one.seconds);
  const longest = Math.max(...stages.map(([, s]) => s));
  const rows = stages.map(([stage, s]) =>
    row(stage.replaceAll("_", " "), seconds(s), h("span", { class: "time-bar", "aria-hidden": "true" }, h("span", { style: { width: `${(100 * s) / longest}%` } }))),
  );
  return card("Time", table("Time of each stage", ["Stage", "Time", h("span", { class: "unseen" }, "Share")], rows, "figures"));
}
