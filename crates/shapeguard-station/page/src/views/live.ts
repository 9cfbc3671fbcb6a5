// The live list: the newest inspection large, the drift of each model, scores over time, and the inspections.
import { fault, picture, title, verdict, type App, type View } from "../app";
import { trend } from "../charts";
import type { Drift, Model, Page, Summary } from "../contract";
import { fill, h, table } from "../dom";
import { capital, comparison, count, pValue, short, time } from "../words";
import { filterForm, matches } from "./live_filter";
import { COLUMNS, inspectionRow, partName } from "./live_table";

const PAGE_SIZE = 50;
const TREND_LENGTH = 200;
/** Scrolled further than this, one is reading, and new rows wait. */
const READING_FROM_PX = 200;

export const liveView: View = async (main, app, signal) => {
  app.filter = new URLSearchParams(location.hash.split("?")[1] ?? "");
  const [{ models }, newest] = await Promise.all([
    app.api.get<{ models: Model[] }>("/v1/models", signal),
    app.api.get<Page>("/v1/inspections?limit=1", signal),
  ]);
  const drift = driftStrip(app, models, signal);
  const hero = h("section", { class: "hero card", "aria-label": "Newest inspection" });
  const showNewest = (one: Summary | undefined) => fill(hero, ...newestInspection(app, one, signal));
  showNewest(newest.inspections[0]);
  const trends = trendCharts(app, models, signal);
  const list = new List(app, signal, models);

  app.events.on(
    "inspection",
    (one) => {
      showNewest(one);
      trends.add(one);
      list.arrived(one);
      if (one.verdict === "rejected") app.announce(`Rejected: ${partName(one)}, ${one.serial ?? "no serial"}`);
    },
    signal,
  );
  app.events.onReconnect(() => {
    list.reload();
    trends.reload();
    app.api.get<Page>("/v1/inspections?limit=1", signal).then((page) => showNewest(page.inspections[0]), console.info);
  }, signal);

  fill(main, title("Inspections", "Live"), drift, h("div", { class: models.length > 1 ? "top several" : "top" }, hero, trends.element), list.element);
  await Promise.all([trends.reload(), list.reload()]);
};

/** The newest verdict, to be read from across the hall. */
function newestInspection(app: App, one: Summary | undefined, signal: AbortSignal) {
  if (!one) {
    const how = "Send a scan to POST /v1/inspections, and it appears here.";
    return [h("div", { class: "hero-text" }, h("p", { class: "eyebrow" }, "Newest"), h("p", { class: "lead" }, `No inspection yet. ${how}`))];
  }
  const judged = one.score !== null && one.threshold !== null;
  const score = judged
    ? [
        h("p", { class: "hero-score" }, h("strong", {}, short(one.score)), ` ${comparison(one.score!, one.threshold!)}`),
        h("p", { class: "soft" }, one.p_value === null ? " " : capital(`${pValue(one.p_value)}.`)),
      ]
    : [h("p", { class: "hero-reason" }, one.reason ?? "No reason was given.")];
  const serial = one.serial ? `Serial ${one.serial}` : "no serial";
  return [
    picture(app, one.links.thumbnail, "", signal, "hero-picture"),
    h(
      "div",
      { class: "hero-text" },
      h("p", { class: "eyebrow" }, "Newest · ", h("time", { datetime: one.received_at }, time(one.received_at))),
      h("a", { class: "hero-verdict", href: `#/inspections/${encodeURIComponent(one.id)}` }, verdict(one.verdict, "large")),
      ...score,
      h("p", { class: "hero-part" }, `${partName(one)} · ${serial}`),
    ),
  ];
}

/** What is known of each model's drift, always in the same place: alarms do not push the page about. */
function driftStrip(app: App, models: Model[], signal: AbortSignal): HTMLElement {
  const strip = h("section", { class: "drift", "aria-label": "Drift" });
  const states = new Map<string, Drift & { model: string }>();
  const key = (drift: Drift & { model: string }) => `${drift.model}/${drift.category}`;
  const show = () => {
    const alarms = [...states.values()].filter((drift) => drift.state === "alarm");
    const collecting = [...states.values()].filter((drift) => drift.state === "collecting").length;
    strip.classList.toggle("alarm", alarms.length > 0);
    const calm =
      states.size === 0
        ? "No model yet."
        : collecting > 0
          ? `No drift seen; ${collecting} of ${states.size} still collecting scores.`
          : "Steady: recent good scores are like those the models learnt from.";
    if (alarms.length === 0) return fill(strip, h("p", {}, h("strong", {}, "Drift "), calm));
    const lines = alarms.map((drift) =>
      h(
        "p",
        {},
        h("strong", {}, `Drift alarm, ${partName(drift)}: `),
        drift.message ?? "recent good scores are no longer like those the model learnt from. Check camera, light and parts.",
        drift.since ? h("span", { class: "since" }, ` (since ${time(drift.since)})`) : null,
      ),
    );
    return fill(strip, lines);
  };
  for (const model of models) for (const drift of model.drift) states.set(key({ ...drift, model: model.name }), { ...drift, model: model.name });
  show();
  app.events.on(
    "drift",
    (drift) => {
      states.set(key(drift), drift);
      show();
      if (drift.state === "alarm") app.announce(`Drift alarm for ${partName(drift)}. ${drift.message ?? ""}`);
    },
    signal,
  );
  return strip;
}

/** Scores over time, one chart per model. */
function trendCharts(app: App, models: Model[], signal: AbortSignal) {
  const charts = models.map(({ name }) => ({ name, scores: [] as Summary[], place: h("div", { class: "chart-place" }) }));
  const draw = (chart: (typeof charts)[number]) => fill(chart.place, trend(chart.scores, chart.name));
  const cards = charts.map(({ name, place }) =>
    h("section", { class: "card trend" }, h("h2", {}, `Scores of ${name}`), h("p", { class: "soft small" }, "Multiples of the threshold; diamonds were rejected."), place),
  );
  return {
    element: h("div", { class: "trends" }, cards),
    add(one: Summary) {
      const chart = charts.find(({ name }) => name === one.model);
      if (!chart) return;
      chart.scores = [one, ...chart.scores].slice(0, TREND_LENGTH);
      draw(chart);
    },
    async reload() {
      const load = async (chart: (typeof charts)[number]) => {
        const query = new URLSearchParams({ model: chart.name, limit: String(TREND_LENGTH) });
        try {
          chart.scores = (await app.api.get<Page>(`/v1/inspections?${query}`, signal)).inspections;
          draw(chart);
        } catch (error) {
          if (!signal.aborted) fill(chart.place, fault(error));
        }
      };
      await Promise.all(charts.map(load));
    },
  };
}

/** The inspections, page by page; new ones come in on top unless somebody is reading. */
class List {
  readonly element: HTMLElement;
  private readonly body = h("div", { class: "list-body" });
  private readonly newer = h("button", { type: "button" }, "Newer");
  private readonly older = h("button", { type: "button" }, "Older");
  private readonly waiting = h("button", { type: "button", class: "waiting primary" });
  /** Cursors of the pages before this one; the first page has none. */
  private readonly cursors: (string | null)[] = [];
  private cursor: string | null = null;
  private next: string | null = null;
  private items: Summary[] = [];
  private held: Summary[] = [];

  constructor(
    private readonly app: App,
    private readonly signal: AbortSignal,
    models: Model[],
  ) {
    const filters = filterForm(app, models, () => this.first());
    const heading = h("div", { class: "list-head" }, h("h2", { id: "list" }, "All inspections"), this.waiting);
    this.element = h(
      "section",
      { "aria-labelledby": "list", class: "list" },
      heading,
      filters,
      this.body,
      h("nav", { class: "paging", "aria-label": "Pages" }, this.newer, this.older),
    );
    this.waiting.hidden = true;
    this.waiting.addEventListener("click", () => {
      this.body.scrollIntoView({ block: "nearest" });
      void this.first();
    });
    this.older.addEventListener("click", () => {
      this.cursors.push(this.cursor);
      this.cursor = this.next;
      void this.reload();
    });
    this.newer.addEventListener("click", () => {
      this.cursor = this.cursors.pop() ?? null;
      void this.reload();
    });
    app.events.on("feedback", ({ id, kind }) => this.replace(id, { feedback: kind }), signal);
    // What waited for the pointer or the reader to leave need not wait for a click.
    this.body.addEventListener("pointerleave", () => this.release());
    addEventListener("scroll", () => this.release(), { signal, passive: true });
  }

  arrived(one: Summary): void {
    if (!matches(one, this.app.filter)) return;
    this.held.unshift(one);
    this.release();
  }

  async reload(): Promise<void> {
    const query = new URLSearchParams(this.app.filter);
    query.set("limit", String(PAGE_SIZE));
    if (this.cursor !== null) query.set("before", this.cursor);
    this.body.setAttribute("aria-busy", "true");
    try {
      const page = await this.app.api.get<Page>(`/v1/inspections?${query}`, this.signal);
      this.items = page.inspections;
      this.next = page.next;
      if (this.cursor === null) this.held = [];
      this.draw();
    } catch (error) {
      if (!this.signal.aborted) fill(this.body, fault(error, () => void this.reload()));
    }
    this.body.removeAttribute("aria-busy");
  }

  private async first(): Promise<void> {
    this.cursor = null;
    this.cursors.length = 0;
    await this.reload();
  }

  private reading(): boolean {
    const used = this.body.matches(":hover") || this.body.contains(document.activeElement);
    return this.cursor !== null || used || scrollY > READING_FROM_PX;
  }

  private release(): void {
    if (this.held.length > 0 && !this.reading()) {
      const fresh = this.held.filter(({ id }) => !this.items.some((item) => item.id === id));
      const body = this.body.querySelector("tbody");
      this.items = [...fresh, ...this.items].slice(0, PAGE_SIZE);
      this.held = [];
      if (body) {
        body.prepend(...fresh.map((one) => inspectionRow(this.app, one, this.signal)));
        while (body.rows.length > PAGE_SIZE) body.deleteRow(-1);
      } else {
        this.draw();
      }
    }
    this.waiting.hidden = this.held.length === 0;
    this.waiting.textContent = `${this.held.length} new`;
  }

  private replace(id: string, change: Partial<Summary>): void {
    const at = this.items.findIndex((item) => item.id === id);
    if (at < 0) return;
    this.items[at] = { ...this.items[at], ...change };
    const old = this.body.querySelector(`tr[data-id="${CSS.escape(id)}"]`);
    old?.replaceWith(inspectionRow(this.app, this.items[at], this.signal));
  }

  private draw(): void {
    const rows = this.items.map((one) => inspectionRow(this.app, one, this.signal));
    const filtered = [...this.app.filter.keys()].length > 0;
    const none = h("p", { class: "card empty" }, filtered ? "No inspection is like that. Change or clear the filters." : "No inspection yet.");
    fill(this.body, rows.length > 0 ? table(`Inspections, newest first, ${count(rows.length, "row")}`, COLUMNS, rows, "inspections") : none);
    this.newer.disabled = this.cursor === null;
    this.older.disabled = this.next === null;
    this.release();
  }
}

