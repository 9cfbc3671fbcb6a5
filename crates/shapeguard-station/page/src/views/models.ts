// The models, each with its kinds of parts, their thresholds, and how they drift.
import { card, title, type App, type View } from "../app";
import type { Category, Model } from "../contract";
import { fill, h, row, table } from "../dom";
import { manageExplanation } from "../session";
import { count, percent, short, shortDigest } from "../words";
import { newModelForm } from "./model_upload";

export const modelsView: View = async (main, app, signal) => {
  const list = h("div", { class: "stack-cards" });
  const show = async () => {
    const { models } = await app.api.get<{ models: Model[] }>("/v1/models", signal);
    fill(list, models.length > 0 ? models.map(modelCard) : h("p", { class: "card empty" }, "No model yet: fit one from good scans, or upload a model file."));
  };
  await show();
  app.events.on("models", () => void show().catch(console.info), signal);
  app.events.on("drift", () => void show().catch(console.info), signal);
  app.events.onReconnect(() => void show().catch(console.info), signal);
  fill(main, title("Models", "Station"), manageExplanation(app.status.role), list, addCard(app));
};

function modelCard(model: Model): HTMLElement {
  const active = model.versions.find(({ sha256 }) => sha256 === model.active);
  const rows = model.categories.map((category) =>
    row(
      category.name,
      short(category.threshold.score),
      thresholdRate(category),
      h("span", { class: "number" }, `${category.training_scans} + ${category.validation_scans}`),
      driftWord(model, category.name),
    ),
  );
  const columns = ["Kind of part", "Threshold", "False rejects", "Good scans + validation", "Drift"];
  return h(
    "section",
    { class: "card" },
    h("h2", {}, h("a", { href: `#/models/${encodeURIComponent(model.name)}` }, model.name)),
    h(
      "p",
      { class: "soft" },
      `Active version ${shortDigest(model.active)}${active ? `, made by version ${active.program_version}` : ""}; ${count(model.versions.length, "version")} kept. `,
      model.routes && "Finds out by itself which kind of part a scan shows.",
    ),
    table(`Kinds of parts of ${model.name}`, columns, rows, "figures kinds"),
  );
}

/** The rate a threshold was made for and the interval in which the true one lies. */
export function thresholdRate({ threshold }: Category): string {
  const [low, high] = threshold.interval;
  return `${percent(threshold.false_reject_rate)} (${percent(low)} to ${percent(high)})`;
}

export function driftWord(model: Model, category: string): HTMLElement {
  const drift = model.drift.find((one) => one.category === category);
  if (!drift) return h("span", { class: "soft" }, "not watched");
  if (drift.state === "alarm") return h("strong", { class: "alarm-word", title: drift.message }, "⚠ Alarm");
  if (drift.state === "steady") return h("span", {}, "Steady");
  return h("span", { class: "soft" }, `Collecting, ${drift.seen} of ${drift.window}`);
}

function addCard(app: App): HTMLElement {
  return card("Add a model", h("p", { class: "soft" }, "A model file comes from ", h("code", {}, "shapeguard fit"), ". To learn from scans here, use ", h("a", { href: "#/fit" }, "Fit"), "."), newModelForm(app));
}
