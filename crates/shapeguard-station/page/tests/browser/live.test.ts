// The live list while inspections come in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAccessible, openStation, settled, shot } from "./station";

const station = await openStation();
const { driver } = station;
await driver.inspect("good");

test("a new inspection appears by itself, large and on top of the list", async () => {
  const page = await station.open("#/");
  const rejected = await driver.inspect("bad");
  const first = page.locator(".inspections tbody tr").first();
  await page.locator(`tr[data-id="${rejected.id}"]`).waitFor();
  assert.equal(await first.getAttribute("data-id"), rejected.id);
  const word = { good: "Good", rejected: "Rejected", "not-judged": "Not judged" }[rejected.verdict];
  assert.equal(await page.locator(".hero .verdict").innerText(), word);
  if (rejected.verdict === "rejected") assert.match(await page.locator("[aria-live=polite]").innerText(), /^Rejected: /);
  const good = await driver.inspect("good");
  await page.locator(`tr[data-id="${good.id}"]`).waitFor();
});

test("rows wait while one is reading further down, and come on request", async () => {
  const page = await station.open("#/", { viewport: { width: 1280, height: 500 } });
  await page.evaluate(() => scrollTo(0, 400));
  const row = page.locator(".inspections tbody tr").nth(1);
  if ((await row.count()) === 0) return;
  const before = await row.boundingBox();
  await driver.inspect("good");
  const button = page.getByRole("button", { name: "1 new" });
  await button.waitFor();
  assert.deepEqual(await row.boundingBox(), before, "what one reads has not moved");
  await button.click();
  await button.waitFor({ state: "hidden" });
});

test("filters narrow the list and stand in the address", async () => {
  const page = await station.open("#/");
  const rejected = await driver.inspect("bad");
  await page.getByLabel("Verdict").selectOption(rejected.verdict);
  await page.waitForURL(`**/#/?verdict=${rejected.verdict}`);
  await page.locator(".list-body:not([aria-busy])").waitFor();
  const words = new Set(await page.locator(".inspections tbody .verdict").allInnerTexts());
  assert.equal(words.size, 1);
  await page.reload();
  await settled(page);
  assert.equal(await page.getByLabel("Verdict").inputValue(), rejected.verdict);
  await page.getByLabel("Serial").fill("there is no such serial");
  await page.getByText("No inspection is like that").waitFor();
});

test("pages go by cursor", async (t) => {
  const page = await station.open("#/");
  const older = page.getByRole("button", { name: "Older" });
  if (await older.isDisabled()) return t.skip("the station has one page only");
  const newest = await page.locator(".inspections tbody tr").first().getAttribute("data-id");
  await older.click();
  await page.locator(`tr[data-id="${newest}"]`).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Newer" }).click();
  await page.locator(`tr[data-id="${newest}"]`).waitFor();
});

test("a drift alarm shows, and a broken stream is found again", { skip: driver.mock === null }, async () => {
  const page = await station.open("#/");
  await driver.mock!.drift("alarm");
  await page.getByText("Drift alarm, biscuit").waitFor();
  await shot(page, "live-drift-alarm", false);
  await assertAccessible(page, "live with an alarm");
  await driver.mock!.drop();
  await page.getByText("No connection, trying again").waitFor();
  const missed = await driver.inspect("bad");
  await page.getByText("Connected", { exact: true }).waitFor();
  await page.locator(`tr[data-id="${missed.id}"]`).waitFor();
  await driver.mock!.drift("steady");
  await page.getByText("Drift alarm, biscuit").waitFor({ state: "detached" });
});
