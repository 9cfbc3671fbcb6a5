// The inspections before and after one. The contract lists inspections newest first only, so the next newer one is searched
// in spans of time after this one that grow until something is in them.
import type { Api } from "./api";
import type { Page } from "./contract";

/** The first span; a line inspects a part every few seconds. */
const FIRST_SPAN_MS = 10_000;
const GROWTH = 8;

export interface Neighbours {
  newer: string | null;
  older: string | null;
}

export async function neighbours(
  api: Api,
  at: { id: string; received_at: string },
  filter: URLSearchParams,
  signal: AbortSignal,
  now = Date.now(),
): Promise<Neighbours> {
  const list = (more: Record<string, string>) => {
    const query = new URLSearchParams([...filter, ...Object.entries(more)]);
    return api.get<Page>(`/v1/inspections?${query}`, signal);
  };
  const older = async () => {
    const { inspections } = await list({ until: at.received_at, limit: "2" });
    return inspections.find(({ id }) => id !== at.id)?.id ?? null;
  };
  const newer = async () => {
    const start = Date.parse(at.received_at);
    for (let span = FIRST_SPAN_MS; ; span *= GROWTH) {
      let page = await list({ since: at.received_at, until: new Date(start + span).toISOString(), limit: "200" });
      let nearest = page.inspections.findLast(({ id }) => id !== at.id);
      while (page.next !== null) {
        page = await list({ since: at.received_at, before: page.next, limit: "200" });
        nearest = page.inspections.findLast(({ id }) => id !== at.id) ?? nearest;
      }
      if (nearest) return nearest.id;
      if (start + span > now) return null;
    }
  };
  const [newerId, olderId] = await Promise.all([newer(), older()]);
  return { newer: newerId, older: olderId };
}
