// Runs the tests of one kind ("unit" or "browser"), or the mock station ("mock"): TypeScript is bundled, then node takes over.
import { spawnSync } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

process.chdir(join(import.meta.dirname, ".."));
const kind = process.argv[2];
// A further argument picks the files whose name begins with it.
const wanted = new RegExp(`^${process.argv[3] ?? ".*"}.*\\.(test|main)\\.ts$`);
const files = (await readdir(`tests/${kind}`)).filter((name) => wanted.test(name)).sort();
const out = `test-build/${kind}`;
await rm(out, { recursive: true, force: true });
await build({
  entryPoints: files.map((name) => `tests/${kind}/${name}`),
  outdir: out,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  packages: "external",
  sourcemap: "inline",
  logLevel: "warning",
});
const built = files.map((name) => `${out}/${name.replace(/\.ts$/, ".mjs")}`);
// One after the other: each browser test starts a Chromium of its own.
const flags = kind === "mock" ? [] : ["--test", "--test-concurrency=1"];
const run = spawnSync(process.execPath, ["--enable-source-maps", ...flags, ...built], { stdio: "inherit" });
process.exit(run.status ?? 1);
