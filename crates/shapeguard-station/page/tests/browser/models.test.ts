// Models: upload, activate, roll back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openStation, shot } from "./station";

const station = await openStation();
const { driver } = station;
const file = await driver.modelFile();
const name = `uploaded-${Date.now() % 100_000}`;

test("a model file is uploaded, becomes active, and is rolled back from", { skip: file === null }, async () => {
  const page = await station.open("#/models");
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Model file").setInputFiles({ name: "part.shapeguard", mimeType: "application/octet-stream", buffer: file! });
  await page.getByRole("button", { name: "Upload and activate" }).click();
  await page.waitForURL(`**/#/models/${name}`);
  await page.getByRole("heading", { name: "Versions" }).waitFor();
  assert.equal(await page.getByText("✓ Active").count(), 1);
  await shot(page, "model-uploaded");
});

test("a file that is no model is refused in the station's words", async () => {
  const page = await station.open("#/models");
  await page.getByLabel("Name").fill("broken");
  await page.getByLabel("Model file").setInputFiles({ name: "broken.shapeguard", mimeType: "application/octet-stream", buffer: Buffer.from("nope") });
  await page.getByRole("button", { name: "Upload and activate" }).click();
  await page.getByRole("alert").waitFor();
  await shot(page, "model-refused");
});

test("versions are activated and rolled back", { skip: driver.mock === null }, async () => {
  const page = await station.open("#/models/biscuit");
  const active = () => page.locator("tr", { hasText: "✓ Active" }).locator("code").innerText();
  const first = await active();
  await page.getByRole("button", { name: /^Activate version/ }).first().click();
  await page.waitForFunction((old) => !document.querySelector("tr:has(strong)")?.textContent?.includes(old), first);
  assert.notEqual(await active(), first);
  await page.getByRole("button", { name: /^Roll back/ }).click();
  await page.locator("tr", { hasText: "✓ Active" }).getByText(first).waitFor();
});
