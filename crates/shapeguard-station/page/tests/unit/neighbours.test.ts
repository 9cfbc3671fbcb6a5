import assert from "node:assert/strict";
import { test } from "node:test";
import type { Api } from "../../src/api";
import { neighbours } from "../../src/neighbours";

/** A station with an inspection at each of these seconds, named after them. */
function station(seconds: number[]): { api: Api; requests: string[] } {
  const requests: string[] = [];
  const all = seconds.map((s) => ({ id: String(s), received_at: new Date(s * 1000).toISOString() })).reverse();
  const get = async (path: string) => {
    requests.push(path);
    const query = new URLSearchParams(path.split("?")[1]);
    const before = query.get("before");
    const found = all
      .filter(({ received_at: at }) => at >= (query.get("since") ?? "") && at <= (query.get("until") ?? "9"))
      .filter(({ id }) => before === null || Number(id) < Number(before));
    const inspections = found.slice(0, Number(query.get("limit")));
    return { inspections, next: inspections.length < found.length ? inspections.at(-1)!.id : null };
  };
  return { api: { get } as unknown as Api, requests };
}

async function around(seconds: number[], at: number): Promise<[string | null, string | null]> {
  const { api } = station(seconds);
  const one = { id: String(at), received_at: new Date(at * 1000).toISOString() };
  const { newer, older } = await neighbours(api, one, new URLSearchParams(), new AbortController().signal, 20_000_000);
  return [newer, older];
}

test("the nearest on both sides, however far or near", async () => {
  assert.deepEqual(await around([1, 100, 101, 10_000], 100), ["101", "1"]);
  assert.deepEqual(await around([1, 100, 101, 10_000], 101), ["10000", "100"]);
});

test("none beyond the ends", async () => {
  assert.deepEqual(await around([1, 5], 5), [null, "1"]);
  assert.deepEqual(await around([1, 5], 1), ["5", null]);
});

test("more in a span than a page holds", async () => {
  const busy = Array.from({ length: 450 }, (_, i) => 1000 + i / 50);
  assert.deepEqual(await around([900, ...busy], 900), ["1000", null]);
});
