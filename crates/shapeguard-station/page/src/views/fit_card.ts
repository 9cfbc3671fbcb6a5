// One fit: how far it is, what came of it.
import { actionButton, fault, type App } from "../app";
import { histogram } from "../charts";
import type { Fit } from "../contract";
import { h, type Child } from "../dom";
import { manageOnly } from "../session";
import { NONE, capital, count, percent, rate, short, shortDigest } from "../words";

const STATES: Record<Fit["state"], string> = {
  collecting: "Scans are being uploaded",
  waiting: "Waiting for its turn",
  fitting: "Learning",
  done: "✓ Done",
  failed: "✕ Failed",
  stopped: "Stopped",
};

export function fitCard(app: App, fit: Fit, gone: () => void): HTMLElement {
  const faults = h("div", {});
  const running = fit.state === "waiting" || fit.state === "fitting";
  const remove = actionButton(running ? "Stop" : "Remove from the list", faults, async () => {
    await app.api.delete(`/v1/fits/${encodeURIComponent(fit.id)}`);
    gone();
  });
  return h(
    "section",
    { class: `card fit ${fit.state}`, "aria-label": `Fit of ${fit.model}` },
    h("div", { class: "list-head" }, h("h2", {}, fit.model, h("span", { class: "soft" }, ` ${STATES[fit.state]}`)), manageOnly(remove, app.status.role)),
    h("p", { class: "soft" }, `Preset ${fit.preset}, false-reject rate ${percent(fit.false_reject_rate)}, ${count(fit.scans, "good scan")}`),
    running && progress(fit),
    fit.error !== null && fault(new Error(fit.error)),
    fit.result && result(app, fit, faults),
    fit.skipped.length > 0 && skipped(fit),
    faults,
  );
}

function progress(fit: Fit): HTMLElement {
  const known = fit.state === "fitting" && fit.total > 0;
  const bar = h("progress", { "aria-label": `Fit of ${fit.model}`, max: fit.total || 1, value: known ? fit.done : null });
  const text = known ? `${capital(fit.stage?.replaceAll("_", " ") ?? "at work")}, ${fit.done} of ${fit.total}` : (fit.stage ?? NONE);
  return h("p", { class: "progress-line" }, bar, h("span", {}, text));
}

function result(app: App, fit: Fit, faults: HTMLElement): Child {
  const { sha256, category } = fit.result!;
  const place = `#/models/${encodeURIComponent(fit.model)}`;
  const activate = actionButton(
    `Activate for ${fit.model}`,
    faults,
    async () => {
      await app.api.post(`/v1/models/${encodeURIComponent(fit.model)}/activate`, { sha256 });
      app.announce(`The new version of ${fit.model} is active now.`);
      location.hash = place;
    },
    "primary",
  );
  return [
    h("p", {}, "Threshold ", h("strong", {}, short(category.threshold.score)), `, ${rate(category.threshold)}.`),
    histogram(category.good_scores, category.threshold.score, [], category.name),
    h("p", { class: "soft" }, "Version ", h("code", { title: sha256 }, shortDigest(sha256)), " is kept but inspects nothing until it is activated."),
    h("p", { class: "row-form" }, manageOnly(activate, app.status.role), h("a", { class: "button", href: place }, "See the model")),
  ];
}

function skipped(fit: Fit): HTMLElement {
  const items = fit.skipped.map(({ scan, reason }) => h("li", {}, h("strong", {}, scan), `: ${reason}`));
  return h("details", { open: true }, h("summary", {}, `${count(fit.skipped.length, "scan")} skipped`), h("ul", {}, items));
}
