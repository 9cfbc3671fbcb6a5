// Upload of a model file, as a new model or as a new version of one.
import { fault, type App } from "../app";
import type { Model } from "../contract";
import { fill, h } from "../dom";
import { manageOnly } from "../session";

/** For a model that the station does not have: its name is asked for. */
export function newModelForm(app: App): HTMLElement {
  const name = h("input", { name: "name", required: true, pattern: "[A-Za-z0-9._\\-]+", autocomplete: "off", title: "Letters, digits, dot, hyphen and underscore" });
  const field = h("label", {}, "Name", manageOnly(name, app.status.role));
  return uploadForm(app, () => name.value.trim(), field, (model) => {
    location.hash = `#/models/${encodeURIComponent(model.name)}`;
  });
}

export function uploadForm(app: App, name: () => string, field: HTMLElement | null, done: (model: Model) => void): HTMLElement {
  const file = manageOnly(h("input", { type: "file", name: "file", required: true, accept: ".shapeguard" }), app.status.role);
  const button = manageOnly(h("button", { class: "primary" }, "Upload and activate"), app.status.role);
  const progress = h("progress", { max: 1, value: 0, "aria-label": "Upload", hidden: true });
  const result = h("div", { role: "status" });
  const form = h("form", { class: "row-form" }, field, h("label", {}, "Model file", file), button, progress);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = file.files?.[0];
    if (!chosen) return;
    button.disabled = true;
    progress.hidden = false;
    fill(result);
    try {
      const path = `/v1/models/${encodeURIComponent(name())}`;
      const model = await app.api.upload<Model>("PUT", path, chosen, (share) => (progress.value = share));
      fill(result, h("p", {}, `${chosen.name} is active now.`));
      app.announce(`${chosen.name} is the active version of ${model.name} now.`);
      form.reset();
      done(model);
    } catch (error) {
      fill(result, fault(error));
    }
    progress.hidden = true;
    button.disabled = false;
  });
  return h("div", {}, form, result);
}
