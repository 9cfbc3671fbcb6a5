// The live list's filters. They stand in the address too, so that a list can be bookmarked and come back to.
import type { App } from "../app";
import type { Model, Summary } from "../contract";
import { h } from "../dom";
import { FEEDBACK_WORDS, VERDICT_WORDS } from "../words";

const TYPING_MS = 300;

/** What the list can be filtered by: the query's names are the fields' names. */
const FIELDS = ["model", "verdict", "feedback", "serial"] as const;

export function matches(one: Summary, filter: URLSearchParams): boolean {
  return FIELDS.every((field) => {
    const wanted = filter.get(field);
    return wanted === null || one[field] === wanted;
  });
}

export function filterForm(app: App, models: Model[], changed: () => void): HTMLFormElement {
  const choice = (name: string, label: string, options: [string, string][]) => {
    const chosen = app.filter.get(name);
    const all = [["", "All"], ...options].map(([value, text]) => h("option", { value, selected: value === chosen }, text));
    return h("label", {}, label, h("select", { name }, all));
  };
  const serial = h("input", { name: "serial", type: "search", autocomplete: "off", value: app.filter.get("serial") });
  const form = h(
    "form",
    { class: "filters", role: "search", "aria-label": "Filter inspections" },
    choice("model", "Model", models.map(({ name }) => [name, name])),
    choice("verdict", "Verdict", Object.entries(VERDICT_WORDS)),
    choice("feedback", "Feedback", Object.entries(FEEDBACK_WORDS)),
    h("label", {}, "Serial", serial),
    h("button", { type: "reset" }, "Clear"),
  );
  const read = () => {
    const entries = [...new FormData(form)].map(([name, value]) => [name, String(value).trim()]).filter(([, value]) => value !== "");
    app.filter = new URLSearchParams(entries);
    const query = app.filter.toString();
    history.replaceState(null, "", query === "" ? "#/" : `#/?${query}`);
    changed();
  };
  let typing = 0;
  form.addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = window.setTimeout(read, event.target === serial ? TYPING_MS : 0);
  });
  form.addEventListener("reset", (event) => {
    // A reset would go back to what the form was made with, which may be a filter.
    event.preventDefault();
    for (const field of form.querySelectorAll("select, input")) (field as HTMLInputElement).value = "";
    read();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  return form;
}
