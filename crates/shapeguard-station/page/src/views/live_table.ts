// One row of the live list.
import { picture, verdict, type App } from "../app";
import type { Summary } from "../contract";
import { h, row, type Child } from "../dom";
import { FEEDBACK_WORDS, NONE, count, short, time } from "../words";

export const COLUMNS: Child[] = [h("span", { class: "unseen" }, "Picture"), "Verdict", "Score", "Part", "Feedback", "Time"];

export function inspectionRow(app: App, one: Summary, signal: AbortSignal): HTMLTableRowElement {
  const link = h("a", { class: "whole-row", href: `#/inspections/${encodeURIComponent(one.id)}` }, verdict(one.verdict));
  const judged = one.score !== null && one.threshold !== null;
  const element = row(
    picture(app, one.links.thumbnail, "", signal, "thumbnail"),
    [link, h("span", { class: "soft small" }, one.reason ?? remark(one))],
    judged ? [h("span", { class: "number" }, short(one.score)), scoreBar(one.score!, one.threshold!)] : NONE,
    [h("span", {}, partName(one)), h("span", { class: "soft small" }, one.serial ? `Serial ${one.serial}` : "no serial")],
    one.feedback ? FEEDBACK_WORDS[one.feedback] : h("span", { class: "soft" }, NONE),
    h("time", { datetime: one.received_at }, time(one.received_at)),
  );
  element.dataset.id = one.id;
  return element;
}

function remark(one: Summary): string {
  const parts = [
    one.regions > 0 && count(one.regions, "defect region"),
    one.warnings > 0 && count(one.warnings, "warning"),
  ];
  return parts.filter(Boolean).join(", ");
}

/** The model, and the kind of part where that has a name of its own. */
export function partName(one: { model: string; category: string | null }): string {
  return one.category === null || one.category === one.model ? one.model : `${one.model} · ${one.category}`;
}

/** A score on a scale whose middle is the threshold; twice the threshold and beyond fill it. */
export function scoreBar(score: number, threshold: number): HTMLElement {
  const share = Math.min(1, Math.max(0, score / (2 * threshold)));
  return h(
    "span",
    { class: `score-bar ${score > threshold ? "over" : ""}`, "aria-hidden": "true" },
    h("span", { style: { width: `${(100 * share).toFixed(1)}%` } }),
  );
}
