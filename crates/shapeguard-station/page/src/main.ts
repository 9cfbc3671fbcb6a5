// The page's frame: header, navigation, connection to the station, and which view is shown.
import { Api } from "./api";
import { fault, type App, type View } from "./app";
import type { Status } from "./contract";
import { fill, h } from "./dom";
import { LiveEvents, type Connection } from "./events";
import { askForToken } from "./session";
import { fitView } from "./views/fit";
import { inspectionView } from "./views/inspection";
import { liveView } from "./views/live";
import { modelView } from "./views/model";
import { modelsView } from "./views/models";
import { count } from "./words";

const NAVIGATION = [
  ["#/", "Live"],
  ["#/models", "Models"],
  ["#/fit", "Fit"],
] as const;
const QUEUE_EVERY_MS = 10_000;

const main = h("main", { id: "main", tabindex: -1 });
const announcements = h("p", { class: "unseen", role: "status", "aria-live": "polite" });
const connection = h("span", { class: "connection" }, "Connecting…");
const queue = h("span", { class: "soft" });
const account = h("span", { class: "account" });
const links = NAVIGATION.map(([href, text]) => h("a", { href }, text));

function frame(): void {
  const skip = h("a", { class: "skip", href: "#main" }, "Skip to the content");
  // The address's hash is the view's name, so the link must not change it.
  skip.addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  const header = h(
    "header",
    { class: "bar" },
    h("a", { class: "brand", href: "#/" }, h("strong", {}, "Shapeguard"), " station"),
    h("nav", { "aria-label": "Views" }, links),
    h("div", { class: "state" }, queue, connection, account),
  );
  document.body.append(skip, header, main, announcements);
}

function showStatus(app: App): void {
  const { running, waiting, workers } = app.status.queue;
  queue.textContent = running + waiting === 0 ? "Idle" : `${running} of ${workers} busy, ${count(waiting, "scan")} waiting`;
  if (app.status.auth === "none") return;
  const change = h("button", { class: "quiet", type: "button" }, "Change token");
  change.addEventListener("click", async () => {
    await app.api.changeToken();
    app.status = await app.api.get<Status>("/v1/status");
    await show(app);
  });
  fill(account, "Role: ", h("strong", {}, app.status.role), change);
}

function showConnection(state: Connection): void {
  connection.className = `connection ${state}`;
  connection.textContent = state === "live" ? "Connected" : "No connection, trying again";
}

/** The view for the address's hash, and the name behind it. */
function route(): { view: View; name: string; section: string } {
  const [path] = location.hash.slice(1).split("?");
  const [section = "", ...rest] = path.split("/").filter((part) => part !== "");
  const name = decodeURIComponent(rest.join("/"));
  if (section === "inspections" && name !== "") return { view: inspectionView, name, section: "" };
  if (section === "models") return { view: name === "" ? modelsView : modelView, name, section };
  if (section === "fit") return { view: fitView, name, section };
  return { view: liveView, name, section: "" };
}

let leaving = new AbortController();

async function show(app: App, byLink = false): Promise<void> {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { view, name, section } = route();
  for (const link of links) {
    if (link.getAttribute("href") === `#/${section}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const place = h("div", { class: "view", "aria-busy": "true" });
  main.replaceChildren(place);
  showStatus(app);
  try {
    await view(place, app, signal, name);
  } catch (error) {
    if (signal.aborted) return;
    fill(place, h("h1", { tabindex: -1 }, "This cannot be shown"), fault(error, () => void show(app)));
  }
  if (signal.aborted) return;
  place.removeAttribute("aria-busy");
  // Whoever came by a link starts at the new view's title; whoever opened the page starts at its beginning.
  if (byLink && document.activeElement === document.body) place.querySelector("h1")?.focus({ preventScroll: true });
}

async function start(): Promise<void> {
  frame();
  const api = new Api(askForToken);
  let status: Status;
  try {
    status = await api.get<Status>("/v1/status");
  } catch (error) {
    fill(main, h("h1", {}, "The station cannot be reached"), fault(error, () => location.reload()));
    return;
  }
  const app: App = {
    api,
    events: new LiveEvents(api),
    status,
    announce: (text) => (announcements.textContent = text),
    filter: new URLSearchParams(),
  };
  addEventListener("hashchange", () => {
    scrollTo(0, 0);
    void show(app, true);
  });
  void app.events.run(showConnection);
  setInterval(() => {
    if (document.hidden) return;
    // Only the queue's figures: that the station is away is already told beside them.
    api.get<Status>("/v1/status").then((now) => {
      app.status = now;
      showStatus(app);
    }, console.info);
  }, QUEUE_EVERY_MS);
  await show(app);
}

void start();
