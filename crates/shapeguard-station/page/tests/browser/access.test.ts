// Stations with tokens: the question for one, a wrong one, and what a role may do.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAccessible, openStation, settled, shot } from "./station";

const station = await openStation();
const { driver } = station;
const tokens = { "for-operators": "inspect", "for-the-manager": "manage" };
await driver.mock?.tokens(tokens);
const manager = driver.mock ? "for-the-manager" : driver.token;

test("a token is asked for, a wrong one is told, the right one opens the station", { skip: manager === null }, async () => {
  const page = await station.open("#/models", { token: null });
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await shot(page, "token", false);
  await assertAccessible(page, "the question for a token");
  await page.keyboard.press("Escape");
  assert.ok(await dialog.isVisible(), "it cannot be dismissed");
  await dialog.getByLabel("Token").fill("guessed");
  await dialog.getByRole("button").click();
  await dialog.getByText("does not know the last token").waitFor();
  await dialog.getByLabel("Token").fill(manager!);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Models", exact: true }).waitFor();
  assert.match(await page.locator(".account").innerText(), /manage/);
  await page.reload();
  await settled(page);
  assert.equal(await dialog.count(), 0, "the tab remembers it");
});

test("an operator sees everything, and why managing is disabled", { skip: driver.mock === null }, async () => {
  const page = await station.open("#/models/biscuit", { token: "for-operators" });
  assert.match(await page.locator(".account").innerText(), /inspect/);
  for (const name of [/^Activate version/, /^Roll back/, /^Upload/]) {
    assert.ok(await page.getByRole("button", { name }).first().isDisabled(), String(name));
  }
  await page.getByText("need a token with the role “manage”").waitFor();
  await shot(page, "model-as-operator");
  await page.goto(`${driver.url}/#/fit`);
  await settled(page);
  assert.ok(await page.getByRole("button", { name: "Upload and start" }).isDisabled());
  await page.getByRole("button", { name: "Change token" }).click();
  await page.getByRole("dialog").getByLabel("Token").fill("for-the-manager");
  await page.keyboard.press("Enter");
  await page.getByText("manage", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Upload and start" }).and(page.locator(":enabled")).waitFor();
});
