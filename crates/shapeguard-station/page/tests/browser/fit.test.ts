// Fitting: from a folder of scans to an active version.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { ARTEFACTS, assertAccessible, openStation, shot } from "./station";

const FIT_MS = 300_000;
const station = await openStation();
const { driver } = station;
const folder = driver.goodScans() ?? (driver.mock ? madeUp() : null);
const name = `fitted-${Date.now() % 100_000}`;

/** Files that the mock takes for scans; one image lacks its cloud. */
function madeUp(): string {
  const root = `${ARTEFACTS}/scans`;
  for (const kind of ["xyz", "rgb"]) mkdirSync(`${root}/${kind}`, { recursive: true });
  for (let i = 0; i < 24; i++) {
    const stem = String(i).padStart(3, "0");
    if (i !== 7) writeFileSync(`${root}/xyz/${stem}.tiff`, "cloud".repeat(2000));
    writeFileSync(`${root}/rgb/${stem}.png`, "image".repeat(500));
  }
  return root;
}

test("a folder is fitted, its result shown and activated", { skip: folder === null }, async () => {
  const page = await station.open("#/fit");
  await page.getByLabel("Name of the model").fill(name);
  await page.getByLabel("Good parts that may be rejected").selectOption({ label: "5 %" });
  await page.getByLabel("Folder of good scans").setInputFiles(folder!);
  await page.getByText(/\d+ scans found/).waitFor();
  if (driver.mock) await page.getByText("1 file cannot be used").waitFor();
  await shot(page, "fit-picked");
  await page.getByRole("button", { name: "Upload and start" }).click();
  const card = page.getByRole("region", { name: `Fit of ${name}` });
  await card.getByText(/Learning|Waiting|Done/).first().waitFor();
  await shot(page, "fit-running");
  await card.getByText("✓ Done").waitFor({ timeout: FIT_MS });
  assert.match(await card.innerText(), /made to reject 5 % of good parts/);
  await shot(page, "fit-done");
  await assertAccessible(page, "fit with a result");
  await card.getByRole("button", { name: `Activate for ${name}` }).click();
  await page.waitForURL(`**/#/models/${name}`);
  await page.getByText("✓ Active").waitFor();
});

test("too few scans for the rate are told before anything is uploaded", { skip: folder === null }, async () => {
  const page = await station.open("#/fit");
  await page.getByLabel("Name of the model").fill("too-few");
  await page.getByLabel("Good parts that may be rejected").selectOption({ label: "1 %" });
  await page.getByLabel("Folder of good scans").setInputFiles(folder!);
  await page.getByRole("button", { name: "Upload and start" }).click();
  await page.getByRole("alert").getByText(/needs \d+ good scans/).waitFor();
  await shot(page, "fit-too-few");
});

test("nothing picked is told", async () => {
  const page = await station.open("#/fit");
  await page.getByLabel("Name of the model").fill("nothing");
  await page.getByRole("button", { name: "Upload and start" }).click();
  await page.getByRole("alert").getByText("No scan has been picked").waitFor();
});
