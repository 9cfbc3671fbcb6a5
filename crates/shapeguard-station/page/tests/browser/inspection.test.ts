// One inspection: the cloud turns, the map follows its controls, feedback is taken, the keyboard does it all.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { openStation, settled, shot } from "./station";

const station = await openStation();
const { driver } = station;
const good = await driver.inspect("good");
const rejected = await driver.inspect("bad");
const newest = await driver.inspect("good");

/** What is to be seen of the cloud or the picture. */
async function pixels(page: Page, selector: string): Promise<string> {
  return (await page.locator(selector).screenshot()).toString("base64");
}

/** Waits until it looks different from before: maps are fetched when they are first chosen. */
async function changed(page: Page, selector: string, before: string): Promise<string> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const now = await pixels(page, selector);
    if (now !== before) return now;
    await page.waitForTimeout(100);
  }
  assert.fail(`${selector} stays as it is`);
}

test("the cloud turns by mouse and by keyboard, and Home brings it back", async () => {
  const page = await station.open(`#/inspections/${rejected.id}`);
  const cloud = page.locator("canvas.cloud");
  await cloud.scrollIntoViewIfNeeded();
  const box = (await cloud.boundingBox())!;
  const start = await pixels(page, "canvas.cloud");
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2 + 90, box.y + box.height / 2 + 20, { steps: 4 });
  await page.mouse.up();
  const dragged = await pixels(page, "canvas.cloud");
  assert.notEqual(dragged, start, "a drag turns it");
  await shot(page, "cloud-dragged", false);
  await page.keyboard.press("Home");
  const home = await pixels(page, "canvas.cloud");
  assert.notEqual(home, dragged, "Home resets it");
  let before = home;
  for (const key of ["ArrowLeft", "ArrowUp", "+"]) {
    await page.keyboard.press(key);
    const now = await pixels(page, "canvas.cloud");
    assert.notEqual(now, before, `${key} moves it`);
    before = now;
  }
  await page.keyboard.press("Home");
  assert.equal(await pixels(page, "canvas.cloud"), home, "Home resets it to the same view");
  await page.getByLabel("The part's own").check();
  assert.notEqual(await pixels(page, "canvas.cloud"), home, "its own colours are others");
  await shot(page, "cloud-own-colours", false);
});

test("the map follows channel, opacity and threshold", async () => {
  const page = await station.open(`#/inspections/${rejected.id}`);
  await page.getByText("Hide below").waitFor();
  const fused = await pixels(page, ".stage-fit canvas");
  await page.getByLabel("Hide below").fill("0");
  const all = await pixels(page, ".stage-fit canvas");
  assert.notEqual(all, fused, "nothing is hidden from 0 on");
  await shot(page, "map-from-0", false);
  // One of the experts may agree with both together, but not with the other.
  await Promise.all([page.waitForResponse(/sdf\.f32/), page.getByLabel("Shape (SDF)").check()]);
  await page.waitForTimeout(300);
  const shape = await pixels(page, ".stage-fit canvas");
  await page.getByLabel("Colour (RGB)").check();
  const colour = await changed(page, ".stage-fit canvas", shape);
  await page.getByLabel("None").check();
  await changed(page, ".stage-fit canvas", colour);
  await page.getByRole("button", { name: "Reset" }).click();
  assert.equal(await pixels(page, ".stage-fit canvas"), fused, "Reset brings the first picture back");
  assert.equal(await page.locator(".stage-fit .region").count(), rejected.regions);
});

test("feedback is recorded, and only sensible feedback can be given", async () => {
  const page = await station.open(`#/inspections/${rejected.id}`);
  assert.ok(await page.getByRole("button", { name: /^Missed/ }).isDisabled());
  await page.getByLabel("Comment").fill("a crumb on the part");
  await page.getByRole("button", { name: /^False reject/ }).click();
  await page.locator(".earlier").getByText("a crumb on the part").last().waitFor();
  await shot(page, "feedback-given");
  await page.goto(`${driver.url}/#/`);
  const row = page.locator(`tr[data-id="${rejected.id}"]`);
  await row.getByText("False reject").waitFor();
  await page.goto(`${driver.url}/#/inspections/${good.id}`);
  await settled(page);
  assert.ok(await page.getByRole("button", { name: /^False reject/ }).isDisabled());
  assert.ok(await page.getByRole("button", { name: /^Missed/ }).isEnabled());
});

test("j and k go to the neighbours", async () => {
  const page = await station.open(`#/inspections/${rejected.id}`);
  await page.getByRole("link", { name: /Newer/ }).waitFor();
  await page.keyboard.press("k");
  await page.locator("code", { hasText: newest.id }).waitFor();
  await page.getByRole("link", { name: /Older/ }).waitFor();
  await page.keyboard.press("j");
  await page.locator("code", { hasText: rejected.id }).waitFor();
});

test("from the list to feedback by keyboard alone", async () => {
  const inspected = await driver.inspect("bad");
  const page = await station.open("#/");
  const tabTo = async (is: (element: { text: string; id: string }) => boolean, most = 60) => {
    for (let i = 0; i < most; i++) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => ({ text: document.activeElement?.textContent ?? "", id: document.activeElement?.id ?? "" }));
      if (is(at)) return;
    }
    assert.fail("Tab does not get there");
  };
  await tabTo(({ text }) => text === "Skip to the content", 1);
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "main");
  // The newest inspection's verdict is the first link of the content.
  await tabTo(({ text }) => /Rejected|Good/.test(text));
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/#/inspections/${inspected.id}`);
  await settled(page);
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), "H1", "focus is at the new view's title");
  await tabTo(({ id }) => id === "comment");
  await page.keyboard.type("by keyboard");
  await tabTo(({ text }) => text.startsWith("Confirmed"));
  await shot(page, "keyboard-focus", false);
  await page.keyboard.press("Enter");
  await page.locator(".earlier").getByText("by keyboard").waitFor();
});

test("what is not there is told in the station's words", async () => {
  const page = await station.open("#/inspections/00000000-0000-4000-8000-ffffffffffff");
  const alert = await page.getByRole("alert").innerText();
  assert.ok(alert.length > 20, alert);
});
