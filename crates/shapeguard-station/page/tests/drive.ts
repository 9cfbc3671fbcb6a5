// What the browser tests need a station to do, for the mock and for a real one (STATION_URL).
import { readFile, readdir } from "node:fs/promises";
import { extname, join } from "node:path";
import type { Model, Summary } from "../src/contract";
import { MockStation } from "./mock/server";

export interface Driver {
  url: string;
  /** A token with the role manage, if the station has tokens. */
  token: string | null;
  /** Lets a part be inspected, and answers with what came of it. */
  inspect(kind: "good" | "bad"): Promise<Summary>;
  /** A model file that the station takes; null where there is none to try with. */
  modelFile(): Promise<Buffer | null>;
  /** A folder of good scans that a fit can be made of; null where there is none. */
  goodScans(): string | null;
  /** What only the mock can be told. */
  mock: { drift(state: "alarm" | "steady"): Promise<void>; tokens(tokens: Record<string, string>): Promise<void>; drop(): Promise<void> } | null;
  close(): void;
}

export async function openDriver(): Promise<Driver> {
  const url = process.env.STATION_URL;
  return url ? realDriver(url.replace(/\/$/, "")) : mockDriver();
}

async function mockDriver(): Promise<Driver> {
  const { url, close } = await new MockStation("dist").listen();
  const tell = async (name: string, wish: unknown) => {
    const response = await fetch(`${url}/mock/${name}`, { method: "POST", body: JSON.stringify(wish) });
    return response.json();
  };
  return {
    url,
    token: null,
    inspect: (kind) => tell("inspect", { kind }) as Promise<Summary>,
    modelFile: async () => Buffer.from(`a made-up model file, ${Date.now()}`),
    goodScans: () => process.env.STATION_SCANS ?? null,
    mock: {
      drift: (state) => tell("drift", { state }) as Promise<void>,
      tokens: (tokens) => tell("tokens", { tokens }) as Promise<void>,
      drop: () => tell("drop", {}) as Promise<void>,
    },
    close,
  };
}

/**
 * A real station. STATION_SCANS is a folder with `good/` and `bad/`, each with `xyz/` and `rgb/`. Optional: STATION_TOKEN;
 * STATION_MODEL, else the station's first; STATION_MODEL_FILE, a file to upload as a version of a new model.
 */
function realDriver(url: string): Driver {
  const { STATION_TOKEN: token = null, STATION_SCANS: scans = null, STATION_MODEL_FILE: file = null } = process.env;
  const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
  const used = { good: 0, bad: 0 };
  return {
    url,
    token,
    async inspect(kind) {
      if (scans === null) throw new Error("STATION_SCANS is not set; point it at a folder with good/ and bad/, each with xyz/ and rgb/");
      const { models } = (await (await fetch(`${url}/v1/models`, { headers })).json()) as { models: Model[] };
      const clouds = (await readdir(join(scans, kind, "xyz"))).sort();
      const name = clouds[used[kind]++ % clouds.length];
      const form = new FormData();
      const stem = name.slice(0, -extname(name).length);
      form.append("cloud", new Blob([await readFile(join(scans, kind, "xyz", name))]), name);
      form.append("rgb", new Blob([await readFile(join(scans, kind, "rgb", `${stem}.png`))]), `${stem}.png`);
      form.append("model", process.env.STATION_MODEL ?? models[0].name);
      form.append("serial", `${kind}-${stem}`);
      const response = await fetch(`${url}/v1/inspections`, { method: "POST", headers, body: form });
      if (!response.ok) throw new Error(`the inspection was refused: ${await response.text()}`);
      const { id } = (await response.json()) as { id: string };
      const list = (await (await fetch(`${url}/v1/inspections?limit=50`, { headers })).json()) as { inspections: Summary[] };
      return list.inspections.find((one) => one.id === id)!;
    },
    modelFile: async () => (file === null ? null : readFile(file)),
    goodScans: () => (scans === null ? null : join(scans, "good")),
    mock: null,
    close: () => {},
  };
}
