// A station and a real Chromium for the browser tests.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after } from "node:test";
import { chromium, type Browser, type Page } from "playwright-core";
import { openDriver, type Driver } from "../drive";

export const ARTEFACTS = "test-artefacts";
export const WIDE = { width: 1440, height: 900 };
export const NARROW = { width: 360, height: 740 };
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export interface Station {
  driver: Driver;
  open(hash: string, look?: { viewport?: { width: number; height: number }; dark?: boolean; token?: string | null }): Promise<Page>;
}

export async function openStation(): Promise<Station> {
  mkdirSync(ARTEFACTS, { recursive: true });
  const driver = await openDriver();
  const args = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"];
  if (process.getuid?.() === 0) args.push("--no-sandbox");
  const browser: Browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
  after(async () => {
    await browser.close();
    driver.close();
  });
  return {
    driver,
    async open(hash, { viewport = WIDE, dark = false, token = driver.token } = {}) {
      const context = await browser.newContext({ viewport, colorScheme: dark ? "dark" : "light", locale: "en-GB" });
      const page = await context.newPage();
      page.setDefaultTimeout(15_000);
      page.on("pageerror", (error) => assert.fail(`fault in the page: ${error.stack}`));
      // Answers like 401 are logged by the browser itself; anything else, above all a breach of the security policy, is a fault.
      page.on("console", (message) => {
        const text = message.text();
        if (message.type() === "error" && !/Failed to load resource/.test(text)) assert.fail(`error on the console: ${text}`);
      });
      if (token !== null) await page.addInitScript((value) => sessionStorage.setItem("shapeguard-token", value), token);
      await page.goto(`${driver.url}/${hash}`);
      if (token !== null || driver.token === null) await settled(page);
      return page;
    },
  };
}

/** Waits until the view is there with everything that it fetches. */
export async function settled(page: Page): Promise<void> {
  if (await page.locator("dialog").count()) return;
  await page.locator(".view:not([aria-busy])").waitFor();
  const cloud = page.locator("canvas.cloud");
  if (await cloud.count()) await page.locator("canvas.cloud[data-ready]").waitFor();
  await page.locator(".list-body:not([aria-busy])").or(page.locator(".view:not(:has(.list-body))")).first().waitFor();
}

export async function shot(page: Page, name: string, fullPage = true): Promise<void> {
  await page.screenshot({ path: `${ARTEFACTS}/${name}.png`, fullPage });
}

/** No serious violation of the accessibility rules that can be checked by machine. */
export async function assertAccessible(page: Page, view: string): Promise<void> {
  await page.evaluate(AXE);
  const violations = await page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as { axe: typeof import("axe-core") }).axe.run();
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} (${failureSummary})`).join("; ")}`);
  });
  assert.deepEqual(violations, [], `accessibility of ${view}`);
}

/** Nothing sticks out sideways. */
export async function assertFits(page: Page, view: string): Promise<void> {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= window, `${view} is ${content} px wide in a window of ${window} px`);
}
