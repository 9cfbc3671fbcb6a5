// Builds the page into dist/, which is committed: the Rust build embeds it and needs neither node nor a network.
// Same sources and package-lock.json, same bytes.
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

process.chdir(join(import.meta.dirname, ".."));
await rm("dist", { recursive: true, force: true });
await mkdir("dist/assets", { recursive: true });

await build({
  // Two bundles with names that never change: the viewer brings three along and is loaded when a cloud is first shown.
  entryPoints: { page: "src/main.ts", viewer: "src/cloud/viewer.ts" },
  outdir: "dist/assets",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
});
await build({
  entryPoints: { page: "src/style/page.css" },
  outdir: "dist/assets",
  bundle: true,
  minify: true,
  target: "es2022",
  logLevel: "warning",
});
await cp("index.html", "dist/index.html");
const { version } = JSON.parse(await readFile("node_modules/three/package.json", "utf8"));
const licence = await readFile("node_modules/three/LICENSE", "utf8");
await writeFile("dist/assets/LICENSES.txt", `viewer.js holds parts of three.js ${version} (https://threejs.org):\n\n${licence}`);
await writeFile("dist/SOURCES.sha256", `${await sourcesDigest()}\n`);

/** Digest over everything that dist/ is made of; README.md says how, so that it can be computed without node. */
async function sourcesDigest() {
  const sources = await readdir("src", { recursive: true, withFileTypes: true });
  const paths = sources.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  paths.push("index.html", "package.json", "package-lock.json", "tsconfig.json", "scripts/build.mjs");
  // Bytes, not the locale's order; all paths are ASCII.
  paths.sort((a, b) => (a < b ? -1 : 1));
  const all = createHash("sha256");
  for (const path of paths) {
    all.update(`${path}\0${createHash("sha256").update(await readFile(path)).digest("hex")}\n`);
  }
  return all.digest("hex");
}
