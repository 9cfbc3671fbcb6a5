// Each view in light and dark, wide and narrow: it loads, fits, is accessible; pictures of it are kept.
import { test } from "node:test";
import type { Page } from "../../src/contract";
import { NARROW, WIDE, assertAccessible, assertFits, openStation, settled, shot } from "./station";

const station = await openStation();
const rejected = await station.driver.inspect("bad");
const good = await station.driver.inspect("good");
const headers: Record<string, string> = station.driver.token ? { Authorization: `Bearer ${station.driver.token}` } : {};
const unjudged = await fetch(`${station.driver.url}/v1/inspections?verdict=not-judged&limit=1`, { headers });
const [notJudged] = ((await unjudged.json()) as Page).inspections;
const views: [string, string][] = [
  ["live", "#/"],
  ["rejected", `#/inspections/${rejected.id}`],
  ["good", `#/inspections/${good.id}`],
  ...(notJudged ? [["not-judged", `#/inspections/${notJudged.id}`] as [string, string]] : []),
  ["models", "#/models"],
  ["model", `#/models/${rejected.model}`],
  ["fit", "#/fit"],
];

for (const [name, hash] of views) {
  for (const dark of [false, true]) {
    for (const [width, viewport] of [["wide", WIDE], ["narrow", NARROW]] as const) {
      test(`${name}, ${dark ? "dark" : "light"}, ${width}`, async () => {
        const page = await station.open(hash, { dark, viewport });
        await settled(page);
        await page.waitForTimeout(400);
        await shot(page, `${name}-${dark ? "dark" : "light"}-${width}`);
        await assertFits(page, name);
        await assertAccessible(page, name);
        await page.context().close();
      });
    }
  }
}

test("live on a wall display", async () => {
  const page = await station.open("#/", { viewport: { width: 2560, height: 1440 }, dark: true });
  await page.waitForTimeout(400);
  await shot(page, "live-dark-wall", false);
  await assertFits(page, "live");
});
