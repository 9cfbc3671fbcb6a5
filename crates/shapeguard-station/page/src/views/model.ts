// One model: how good parts and recent inspections score, what operators said, and its versions.
import { actionButton, card, facts, fault, title, type App, type View } from "../app";
import { histogram } from "../charts";
import type { Category, CategoryFeedback, Model, ModelVersion, Page } from "../contract";
import { fill, h, row, table, type Child } from "../dom";
import { manageExplanation, manageOnly } from "../session";
import { NONE, bytes, capital, count, rate, short, shortDigest, time } from "../words";
import { uploadForm } from "./model_upload";
import { driftWord } from "./models";

/** As many recent inspections as the chart shows. */
const RECENT = 200;
const ORIGINS: Record<ModelVersion["origin"], string> = { folder: "models folder", upload: "upload", fit: "fitted here" };

export const modelView: View = async (main, app, signal, name) => {
  const path = `/v1/models/${encodeURIComponent(name)}`;
  const parts = h("div", { class: "stack-cards" });
  const faults = h("div", {});
  const show = async () => {
    const [model, feedback] = await Promise.all([
      app.api.get<Model>(path, signal),
      app.api.get<{ categories: CategoryFeedback[] }>(`${path}/feedback`, signal),
    ]);
    const charts = await Promise.all(model.categories.map((category) => categoryCard(app, model, category, signal)));
    fill(parts, charts, feedbackCard(feedback.categories), versionsCard(app, model, refresh));
  };
  const refresh = () => {
    fill(faults);
    show().catch((error: unknown) => {
      if (!signal.aborted) fill(faults, fault(error, refresh));
    });
  };
  await show();
  app.events.on("models", (event) => event.name === name && refresh(), signal);
  app.events.on("drift", (event) => event.model === name && refresh(), signal);
  app.events.onReconnect(refresh, signal);
  const upload = card(
    "Upload a version",
    h("p", { class: "soft" }, "The file is checked first; it becomes the active version, and the present one is kept."),
    uploadForm(app, () => name, null, refresh),
  );
  const recent = h("a", { class: "button", href: `#/?model=${encodeURIComponent(name)}` }, "Its inspections");
  fill(main, h("div", { class: "inspection-head" }, title(name, "Model"), recent), manageExplanation(app.status.role), faults, parts, upload);
};

async function categoryCard(app: App, model: Model, category: Category, signal: AbortSignal): Promise<HTMLElement> {
  const query = new URLSearchParams({ model: model.name, category: category.name, limit: String(RECENT) });
  const { inspections } = await app.api.get<Page>(`/v1/inspections?${query}`, signal);
  const drift = model.drift.find((one) => one.category === category.name);
  const facing: [string, Child][] = [
    ["Threshold", h("span", { class: "number" }, short(category.threshold.score))],
    ["Good scans", `${category.training_scans} to learn from, ${category.validation_scans} for validation`],
    ["Drift", driftWord(model, category.name)],
  ];
  if (drift && drift.state !== "collecting") facing.push(["Recent scores", superiority(drift.superiority)]);
  return card(
    `Scores of ${category.name}`,
    h("p", { class: "soft" }, `${capital(rate(category.threshold))}.`),
    drift?.state === "alarm" && h("p", { class: "note-box alarm" }, drift.message ?? "Recent good scores have drifted."),
    h("div", { class: "chart-and-facts" }, histogram(category.good_scores, category.threshold.score, inspections, category.name), facts(facing)),
  );
}

/** How often a recent score is higher than one of the good scans: a half where nothing has changed. */
function superiority(share: number): string {
  return `higher than the good scans' in ${Math.round(100 * share)} of 100 comparisons; 50 is no drift`;
}

function feedbackCard(categories: CategoryFeedback[]): HTMLElement {
  const said = categories.filter(({ counts }) => counts.false_reject + counts.missed + counts.confirmed > 0);
  const heading = "What operators’ feedback says";
  if (said.length === 0) return card(heading, h("p", { class: "soft" }, "Nothing yet. Feedback is given on an inspection’s page."));
  const rows = said.map((one) =>
    row(
      one.name,
      one.counts.false_reject,
      one.counts.missed,
      one.counts.confirmed,
      short(one.threshold),
      one.to_accept_all_good === null ? NONE : short(one.to_accept_all_good),
      one.to_catch_all_defects === null ? NONE : short(one.to_catch_all_defects),
    ),
  );
  const columns = ["Kind of part", "False rejects", "Missed", "Confirmed", "Threshold", "To accept all good", "To catch all defects"];
  return card(
    heading,
    h("p", { class: "soft" }, "How the threshold would have to move for the parts that operators spoke of. Nothing is moved by it: fit again, or fit for another false-reject rate."),
    table("Feedback per kind of part", columns, rows, "figures"),
    said.map((one) => {
      const { threshold, false_rejects, missed } = one.least_errors ?? {};
      if (threshold === undefined) return null;
      const errors = (rejects: number, misses: number) => `${count(rejects, "false reject")} and ${misses} missed`;
      const now = errors(one.at_current.false_rejects, one.at_current.missed);
      return h("p", {}, h("strong", {}, one.name), `: fewest errors at ${short(threshold)}, ${errors(false_rejects!, missed!)}; at present ${now}.`);
    }),
  );
}

function versionsCard(app: App, model: Model, refresh: () => void): HTMLElement {
  const faults = h("div", {});
  const { role } = app.status;
  const path = `/v1/models/${encodeURIComponent(model.name)}`;
  const rows = model.versions.map((version) => {
    const activate = actionButton("Activate", faults, async () => {
      await app.api.post(`${path}/activate`, { sha256: version.sha256 });
      app.announce(`Version ${shortDigest(version.sha256)} is active now.`);
      refresh();
    });
    activate.setAttribute("aria-label", `Activate version ${shortDigest(version.sha256)}`);
    return row(
      h("code", { title: version.sha256 }, shortDigest(version.sha256)),
      time(version.added_at),
      ORIGINS[version.origin],
      bytes(version.bytes),
      version.program_version,
      version.activated_at === null ? "never" : time(version.activated_at),
      version.active ? h("strong", {}, "✓ Active") : manageOnly(activate, role),
    );
  });
  const rollback = actionButton("Roll back to the version that was active before", faults, async () => {
    const now = await app.api.post<Model>(`${path}/rollback`);
    app.announce(`Rolled back: version ${shortDigest(now.active)} is active now.`);
    refresh();
  });
  const before = model.versions.some((version) => !version.active && version.activated_at !== null);
  rollback.disabled = !before;
  const columns = ["Version", "Added", "From", "Size", "Program", "Last activated", h("span", { class: "unseen" }, "State")];
  return card("Versions", table(`Versions of ${model.name}`, columns, rows, "figures"), h("p", {}, manageOnly(rollback, role)), faults);
}
