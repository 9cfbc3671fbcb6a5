// A station for tests: follows the HTTP contract with made-up parts, and serves the built page under the station's security
// policy. What a test wants to happen is told to POST /mock/NAME.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { extname, join, normalize } from "node:path";
import type { Category, Drift, Fit, Inspection, Model, Summary, Verdict } from "../../src/contract";
import { COLS, ROWS, map, part, placement, ply, png, random, region, regionLevel, xyz, type Blemish } from "./part";

const POLICY =
  "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const TYPES: Record<string, string> = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".txt": "text/plain" };
const THRESHOLD = 1.1;
const HISTORY = 180;

interface Stored {
  inspection: Inspection;
  seed: number;
  blemishes: Blemish[];
}

class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export class MockStation {
  private readonly noise = random(7);
  private readonly stored: Stored[] = [];
  private readonly models = new Map<string, Model>();
  private readonly fits = new Map<string, Fit>();
  private readonly listeners = new Set<ServerResponse>();
  /** Token and role; none means that the station is open. */
  private tokens: Record<string, "inspect" | "manage"> = {};
  private serial = 100;

  constructor(private readonly dist: string) {
    const names: [string, Drift["state"]][] = [
      ["biscuit", "steady"],
      ["cable-gland", "collecting"],
    ];
    for (const [name, drift] of names) this.models.set(name, this.model(name, drift));
    const start = Date.now() - HISTORY * 47_000;
    for (let i = 0; i < HISTORY; i++) {
      const kind = i % 41 === 17 ? "none" : this.noise() < 0.09 ? "bad" : "good";
      this.inspect(kind, new Date(start + i * 47_000), i % 3 === 1 ? "cable-gland" : "biscuit");
    }
  }

  async listen(port = 0): Promise<{ url: string; close: () => void }> {
    const server = createServer((request, response) => {
      this.answer(request, response).catch((error: unknown) => {
        const refusal = error instanceof Refusal ? error : new Refusal(500, "bug", String(error));
        const body = { error: { code: refusal.code, message: refusal.message, request_id: "mock-1" } };
        send(response, refusal.status, body);
      });
    });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    const address = server.address() as { port: number };
    const close = () => {
      server.closeAllConnections();
      server.close();
    };
    return { url: `http://127.0.0.1:${address.port}`, close };
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, "http://station");
    const path = url.pathname.split("/").filter((part) => part !== "").map(decodeURIComponent);
    if (path[0] === "mock") return send(response, 200, this.control(path[1], JSON.parse((await body(request)).toString() || "{}")));
    if (path[0] !== "v1") return this.file(url.pathname, response);
    const role = this.role(request);
    if (request.method !== "GET" && path[1] !== "inspections" && role !== "manage") {
      throw new Refusal(403, "role", "expected the role manage, found inspect; use a token with the role manage");
    }
    const route = `${request.method} ${path[1]}`;
    if (route === "GET status") {
      const auth = Object.keys(this.tokens).length > 0 ? "token" : "none";
      const queue = { waiting: 0, running: 0, capacity: 32, workers: 2 };
      const store = { inspections: this.stored.length, bytes: 123456789, free_bytes: 99999999999 };
      return send(response, 200, { version: "0.1.0", started_at: new Date().toISOString(), auth, role, queue, store });
    }
    if (route === "GET events") return this.listener(response);
    if (path[1] === "models") return this.modelRoutes(request, response, path.slice(2));
    if (path[1] === "fits") return this.fitRoutes(request, response, path.slice(2));
    if (path[1] === "inspections") return this.inspectionRoutes(request, response, path.slice(2), url.searchParams);
    throw new Refusal(404, "not-found", `nothing is at ${url.pathname}; see the contract for what is`);
  }

  private role(request: IncomingMessage): "inspect" | "manage" {
    if (Object.keys(this.tokens).length === 0) return "manage";
    const role = this.tokens[request.headers.authorization?.replace("Bearer ", "") ?? ""];
    if (!role) throw new Refusal(401, "token", "expected a token in the header Authorization: Bearer, found none that is known; ask for one");
    return role;
  }

  private control(name: string, wish: Record<string, unknown>): unknown {
    if (name === "inspect") return this.inspect(wish.kind as "good", new Date(), "biscuit");
    if (name === "tokens") this.tokens = wish.tokens as Record<string, "manage">;
    if (name === "drop") for (const listener of this.listeners) listener.destroy();
    if (name === "drift") {
      const model = this.models.get("biscuit")!;
      const message = "of the last 50 good scores, most are higher than those of the good scans: check light, camera and parts, or fit again";
      model.drift = [{ category: "biscuit", state: wish.state as "alarm", window: 50, seen: 50, superiority: 0.81, since: new Date().toISOString(), message }];
      this.tell("drift", { model: "biscuit", ...model.drift[0] });
    }
    return {};
  }

  private tell(event: string, data: unknown): void {
    for (const listener of this.listeners) listener.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  private listener(response: ServerResponse): void {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    response.write(": hello\n\n");
    const alive = setInterval(() => response.write(":\n\n"), 5000);
    this.listeners.add(response);
    response.on("close", () => {
      clearInterval(alive);
      this.listeners.delete(response);
    });
  }

  private async file(path: string, response: ServerResponse): Promise<void> {
    const name = path === "/" ? "index.html" : normalize(path).replace(/^\/+/, "");
    const bytes = await readFile(join(this.dist, name)).catch(() => {
      throw new Refusal(404, "not-found", `there is no ${path}`);
    });
    response.writeHead(200, { "Content-Type": TYPES[extname(name)] ?? "application/octet-stream", "Content-Security-Policy": POLICY });
    response.end(bytes);
  }

  private model(name: string, state: Drift["state"]): Model {
    const versions = [0, 1].map((i) => ({
      sha256: createHash("sha256").update(`${name}${i}`).digest("hex"),
      added_at: new Date(Date.now() - (1 + i) * 86_400_000 * 6).toISOString(),
      origin: i === 0 ? ("fit" as const) : ("folder" as const),
      bytes: 8_400_000 + i * 3000,
      program_version: "0.1.0",
      active: i === 0,
      activated_at: new Date(Date.now() - (1 + i) * 86_400_000 * 6).toISOString(),
    }));
    const drift = { category: name, state, window: 50, seen: state === "collecting" ? 37 : 50, superiority: 0.52, since: null, message: null };
    return { name, active: versions[0].sha256, categories: [this.category(name)], routes: false, versions, drift: [drift] };
  }

  private category(name: string): Category {
    const good_scores = Array.from({ length: 48 }, () => 0.6 + 0.16 * (this.noise() + this.noise() + this.noise())).sort((a, b) => a - b);
    const threshold = { score: THRESHOLD, false_reject_rate: 0.05, basis: "leave-one-out" as const, interval: [0.01, 0.14] as [number, number] };
    return { name, training_scans: 48, validation_scans: 0, good_peak: placement.good_peak, threshold, good_scores };
  }

  private inspect(kind: "good" | "bad" | "none", at: Date, model: string): Summary {
    const seed = this.stored.length + 1;
    const id = `00000000-0000-4000-8000-${String(seed).padStart(12, "0")}`;
    const spot = (): Blemish => {
      const [angle, distance] = [this.noise() * 6.28, 20 + this.noise() * 30];
      const shape = this.noise() < 0.6;
      return { row: Math.round(ROWS / 2 + distance * Math.sin(angle)), col: Math.round(COLS / 2 + distance * Math.cos(angle)), radius: 5 + this.noise() * 5, sdf: shape ? 1.3 : 0.3, rgb: shape ? 0.4 : 1.4 };
    };
    const blemishes = kind === "bad" ? (seed % 2 ? [spot(), spot()] : [spot()]) : [];
    const of = part(seed, blemishes);
    const verdict: Verdict = kind === "none" ? "not-judged" : kind === "bad" ? "rejected" : "good";
    const judged = verdict !== "not-judged";
    const regions = blemishes.map((b) => region(of, b)).sort((a, b) => b.peak - a.peak);
    const score = judged ? (kind === "bad" ? 1.25 + this.noise() * 1.6 : 0.6 + this.noise() * 0.42) : null;
    const self = `/v1/inspections/${id}`;
    const peak = regions[0] ? { row: regions[0].row, col: regions[0].col, xyz_m: xyz(of, regions[0].row, regions[0].col), value: regions[0].peak } : null;
    const inspection: Inspection = {
      id,
      received_at: at.toISOString(),
      model,
      model_sha256: this.models.get(model)!.active,
      category: judged ? model : null,
      serial: seed % 9 === 0 ? null : `A-${this.serial++}`,
      verdict,
      score,
      threshold: judged ? THRESHOLD : null,
      p_value: score === null ? null : kind === "bad" ? 0.02 : 0.37,
      reason: judged ? null : "No part was found in the scan: 0.4 % of the pixels rise above the table, expected at least 2 %. Check that a part is under the camera.",
      warnings: seed % 13 === 0 ? ["8 % of the part's pixels have no depth: the scan may be incomplete there"] : [],
      regions,
      feedback: [],
      meta: { line: "3", shift: "early" },
      false_reject_rate: judged ? 0.05 : null,
      threshold_basis: judged ? "leave-one-out" : null,
      routing: null,
      scores: score === null ? null : { sdf: score * 0.86, rgb: score * 0.7, fused: score },
      shares: regions[0]?.shares ?? (judged ? { sdf: 0.55, rgb: 0.45 } : null),
      peak: judged ? peak : null,
      region_level: judged ? regionLevel : null,
      scan_size: [ROWS, COLS],
      map: judged ? placement : null,
      patches: judged ? 74 : null,
      seconds: { read: 0.021, foreground: 0.052, shape: 0.083, colour: 0.064, fuse: 0.004 },
      links: {
        self,
        thumbnail: `${self}/thumbnail.png`,
        image: `${self}/image.png`,
        maps: judged ? { sdf: `${self}/maps/sdf.f32`, rgb: `${self}/maps/rgb.f32`, fused: `${self}/maps/fused.f32` } : null,
        cloud: `${self}/cloud.ply`,
      },
    };
    this.stored.unshift({ inspection, seed, blemishes });
    this.tell("inspection", summary(inspection));
    return summary(inspection);
  }

  private async inspectionRoutes(request: IncomingMessage, response: ServerResponse, path: string[], query: URLSearchParams): Promise<void> {
    if (path.length === 0) return send(response, 200, this.list(query));
    const found = this.stored.find(({ inspection }) => inspection.id === path[0]);
    if (!found) throw new Refusal(404, "not-found", `there is no inspection ${path[0]}; it may have been removed to make room`);
    const { inspection, seed, blemishes } = found;
    if (path.length === 1) return send(response, 200, inspection);
    if (path[1] === "feedback") {
      const { kind, comment } = JSON.parse((await body(request)).toString());
      inspection.feedback.push({ at: new Date().toISOString(), kind, comment, by: null });
      this.tell("feedback", { id: inspection.id, kind });
      return send(response, 201, inspection);
    }
    const of = part(seed, blemishes);
    const bytes = {
      "image.png": () => png(of),
      "thumbnail.png": () => png(of, 3),
      "cloud.ply": () => ply(of),
      maps: () => map(of, path[2].replace(".f32", "") as "sdf"),
    }[path[1]]!();
    response.writeHead(200, { "Content-Type": path[1].endsWith(".png") ? "image/png" : "application/octet-stream", "Cache-Control": "private, max-age=600" });
    response.end(bytes);
  }

  private list(query: URLSearchParams): { inspections: Summary[]; next: string | null } {
    const fields = ["model", "category", "verdict", "serial", "feedback"] as const;
    const all = this.stored.map(({ inspection }) => summary(inspection)).filter(
      (one) =>
        fields.every((field) => !query.get(field) || one[field] === query.get(field)) &&
        (!query.get("since") || one.received_at >= query.get("since")!) &&
        (!query.get("until") || one.received_at <= query.get("until")!),
    );
    const before = query.get("before");
    const start = before ? all.findIndex(({ id }) => id === before) + 1 : 0;
    const limit = Number(query.get("limit") ?? 50);
    const inspections = all.slice(start, start + limit);
    return { inspections, next: start + limit < all.length ? inspections.at(-1)!.id : null };
  }

  private async modelRoutes(request: IncomingMessage, response: ServerResponse, [name, action]: string[]): Promise<void> {
    if (name === undefined) return send(response, 200, { models: [...this.models.values()] });
    const content = await body(request);
    if (request.method === "PUT") {
      if (content.length < 8) throw new Refusal(422, "model-invalid", `expected a model file, found ${content.length} bytes; make one with shapeguard fit`);
      const model = this.models.get(name) ?? { ...this.model(name, "collecting"), versions: [] };
      this.models.set(name, model);
      const sha256 = createHash("sha256").update(content).digest("hex");
      const now = new Date().toISOString();
      model.versions.unshift({ sha256, added_at: now, origin: "upload", bytes: content.length, program_version: "0.1.0", active: true, activated_at: now });
      this.activate(model, sha256);
      return send(response, 201, model);
    }
    const model = this.models.get(name);
    if (!model) throw new Refusal(404, "not-found", `there is no model ${name}; GET /v1/models lists them`);
    if (action === "feedback") return send(response, 200, { model: name, categories: this.feedback(model) });
    if (action === "activate") this.activate(model, JSON.parse(content.toString()).sha256);
    if (action === "rollback") this.activate(model, model.versions.find((version) => !version.active && version.activated_at)!.sha256);
    return send(response, 200, model);
  }

  private activate(model: Model, sha256: string): void {
    for (const version of model.versions) {
      version.active = version.sha256 === sha256;
      if (version.active) version.activated_at = new Date().toISOString();
    }
    model.active = sha256;
    this.tell("models", { name: model.name });
  }

  private feedback(model: Model) {
    const said = this.stored.filter(({ inspection }) => inspection.model === model.name).flatMap(({ inspection }) => inspection.feedback);
    const of = (kind: string) => said.filter((one) => one.kind === kind).length;
    const counts = { false_reject: 3 + of("false-reject"), missed: 1 + of("missed"), confirmed: 12 + of("confirmed") };
    const least_errors = { threshold: 1.2, false_rejects: 0, missed: 1 };
    return [{ name: model.name, threshold: THRESHOLD, counts, to_accept_all_good: 1.35, to_catch_all_defects: 0.9, least_errors, at_current: { false_rejects: 3, missed: 1 } }];
  }

  private async fitRoutes(request: IncomingMessage, response: ServerResponse, [id, action]: string[]): Promise<void> {
    const content = await body(request);
    if (id === undefined && request.method === "GET") return send(response, 200, { fits: [...this.fits.values()].reverse() });
    if (id === undefined) {
      const wish = JSON.parse(content.toString());
      const scans_needed = Math.ceil(1 / wish.false_reject_rate) - 1;
      const fit: Fit = { id: `fit-${this.fits.size + 1}`, ...wish, state: "collecting", scans: 0, stage: null, done: 0, total: 0, error: null, result: null, skipped: [], scans_needed };
      this.fits.set(fit.id, fit);
      return send(response, 201, fit);
    }
    const fit = this.fits.get(id);
    if (!fit) throw new Refusal(404, "not-found", `there is no fit ${id}`);
    if (request.method === "DELETE") {
      this.fits.delete(id);
      response.writeHead(204).end();
    } else if (action === "scans") {
      fit.scans += 1;
      response.writeHead(204).end();
    } else if (action === "start") {
      this.run(fit);
      send(response, 200, fit);
    } else {
      send(response, 200, fit);
    }
  }

  /** Goes through a fit's states, quickly. */
  private run(fit: Fit): void {
    const change = (part: Partial<Fit>, after: number) =>
      setTimeout(() => {
        Object.assign(fit, part);
        this.tell("fit", fit);
      }, after);
    const sha256 = createHash("sha256").update(fit.id).digest("hex");
    fit.state = "waiting";
    for (let i = 0; i <= 6; i++) change({ state: "fitting", stage: "features", total: fit.scans, done: Math.round((i * fit.scans) / 6) }, 200 + 150 * i);
    const skipped = [{ scan: "003", reason: "only 3 % of its pixels have depth, expected 20 % at least; scan the part again" }];
    change({ state: "done", stage: null, result: { sha256, category: this.category(fit.model) }, skipped }, 1400);
    setTimeout(() => {
      const model = this.models.get(fit.model) ?? { ...this.model(fit.model, "collecting"), versions: [] };
      this.models.set(fit.model, model);
      model.versions.unshift({ sha256, added_at: new Date().toISOString(), origin: "fit", bytes: 8_000_000, program_version: "0.1.0", active: false, activated_at: null });
      this.tell("models", { name: fit.model });
    }, 1400);
  }
}

function summary(one: Inspection): Summary {
  const { id, received_at, model, model_sha256, category, serial, verdict, score, threshold, p_value, reason } = one;
  const shared = { id, received_at, model, model_sha256, category, serial, verdict, score, threshold, p_value, reason };
  const { self, thumbnail } = one.links;
  return { ...shared, warnings: one.warnings.length, regions: one.regions.length, feedback: one.feedback.at(-1)?.kind ?? null, links: { self, thumbnail } };
}

function send(response: ServerResponse, status: number, content: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(content));
}

async function body(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}
