// What every view is given, and the small pieces that views share.
import type { Api } from "./api";
import { ApiError } from "./api";
import type { Status, Verdict } from "./contract";
import { append, h, svg, type Child } from "./dom";
import type { LiveEvents } from "./events";
import { VERDICT_WORDS } from "./words";

export interface App {
  api: Api;
  events: LiveEvents;
  status: Status;
  /** Read out by screen readers when they have time. */
  announce(text: string): void;
  /** The live list's filters as a query, kept so that going back, and from inspection to inspection, respects them. */
  filter: URLSearchParams;
}

/** A view fills `main` and does all its listening and fetching under `signal`, which ends when another view comes. */
export type View = (main: HTMLElement, app: App, signal: AbortSignal, name: string) => Promise<void>;

/** The view's title, on the page and in the tab. */
export function title(text: string, eyebrow: string): HTMLElement {
  document.title = `${text} – Shapeguard station`;
  return h("div", { class: "title" }, h("p", { class: "eyebrow" }, eyebrow), h("h1", { tabindex: -1 }, text));
}

const ICONS: Record<Verdict, string> = {
  good: "M5 12.5l4.5 4.5L19 7.5",
  rejected: "M6 6l12 12M18 6L6 18",
  "not-judged": "M8.5 9a3.5 3.5 0 1 1 5 3.2c-1 .5-1.5 1-1.5 2.3M12 18.2v.6",
};

/** A verdict with its symbol, so that it does not hang on its colour. */
export function verdict(of: Verdict, extra = ""): HTMLElement {
  const icon = svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: ICONS[of] }));
  return h("span", { class: `verdict ${of} ${extra}` }, icon, VERDICT_WORDS[of]);
}

/** A picture whose place is reserved before it is there. An inspection without one keeps an empty frame. */
export function picture(app: App, path: string | null, alt: string, signal: AbortSignal, extra = ""): HTMLElement {
  const frame = h("span", { class: `picture ${extra}` });
  if (path === null) return frame;
  app.api.picture(path, signal).then(
    (url) => {
      const image = h("img", { src: url, alt, decoding: "async", on: { load: () => URL.revokeObjectURL(url) } });
      frame.replaceChildren(image);
    },
    (error: unknown) => {
      if (!signal.aborted) frame.title = message(error);
    },
  );
  return frame;
}

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A fault in the server's own words, with the request's id for whoever reads the log. */
export function fault(error: unknown, again?: () => void): HTMLElement {
  const id = error instanceof ApiError ? error.requestId : null;
  return h(
    "div",
    { class: "fault", role: "alert" },
    h("p", {}, message(error)),
    id !== null && h("p", { class: "soft" }, `Request ${id}`),
    again ? h("button", { on: { click: again } }, "Try again") : null,
  );
}

/** A button whose work may fail: it is disabled meanwhile, and a fault is shown in `place`. */
export function actionButton(text: string, place: HTMLElement, work: () => Promise<void>, extra = ""): HTMLButtonElement {
  const button = h("button", { type: "button", class: extra }, text);
  button.addEventListener("click", async () => {
    button.disabled = true;
    place.replaceChildren();
    try {
      await work();
    } catch (error) {
      place.replaceChildren(fault(error));
    }
    button.disabled = false;
  });
  return button;
}

export function card(heading: string | null, ...children: Child[]): HTMLElement {
  const section = h("section", { class: "card" }, heading !== null && h("h2", {}, heading));
  append(section, children);
  return section;
}

/** A list of facts: term and description. */
export function facts(pairs: [string, Child][]): HTMLElement {
  return h("dl", { class: "facts" }, pairs.map(([term, description]) => h("div", {}, h("dt", {}, term), h("dd", {}, description))));
}
