import assert from "node:assert/strict";
import { test } from "node:test";
import { pairFiles } from "../../src/pairing";

function pair(...paths: string[]) {
  const { scans, problems } = pairFiles(paths.map((path) => ({ path, file: path })));
  return { scans: scans.map(({ name, cloud, rgb }) => [name, cloud.path, rgb?.path ?? null]), problems };
}

test("xyz/ and rgb/ are paired by name", () => {
  assert.deepEqual(pair("good/rgb/001.png", "good/xyz/001.tiff", "good/rgb/000.png", "good/xyz/000.tiff"), {
    scans: [
      ["000", "good/xyz/000.tiff", "good/rgb/000.png"],
      ["001", "good/xyz/001.tiff", "good/rgb/001.png"],
    ],
    problems: [],
  });
});

test("scans stand in the order of their numbers", () => {
  const { scans } = pair("10.pcd", "9.pcd");
  assert.deepEqual(scans.map(([name]) => name), ["9", "10"]);
});

test("clouds with colours of their own go alone, or with an image of the same name beside", () => {
  const { scans, problems } = pair("parts/a.ply", "parts/b.PCD", "parts/b.jpg", "parts/c.npz");
  assert.deepEqual(scans, [
    ["a", "parts/a.ply", null],
    ["b", "parts/b.PCD", "parts/b.jpg"],
    ["c", "parts/c.npz", null],
  ]);
  assert.deepEqual(problems, []);
});

test("clouds in ply/ find their images in rgb/ beside it", () => {
  assert.deepEqual(pair("x/ply/a.ply", "x/rgb/a.png").scans, [["a", "x/ply/a.ply", "x/rgb/a.png"]]);
});

test("files dropped without a folder are paired too", () => {
  assert.deepEqual(pair("1.tiff", "1.png").scans, [["1", "1.tiff", "1.png"]]);
  assert.deepEqual(pair("xyz/1.tiff", "rgb/1.png").scans, [["1", "xyz/1.tiff", "rgb/1.png"]]);
});

test("what cannot be used is told with what was expected", () => {
  const { scans, problems } = pair("g/xyz/000.tiff", "g/rgb/001.png", "g/depth/002.png", "h/003.tiff");
  assert.deepEqual(scans, []);
  assert.deepEqual(problems.map(({ path }) => path), ["g/xyz/000.tiff", "h/003.tiff", "g/depth/002.png", "g/rgb/001.png"]);
  assert.match(problems[0].reason, /expected g\/rgb\/000\.png/);
  assert.match(problems[2].reason, /depth images/);
});

test("two clouds of one name are one scan and one problem", () => {
  const { scans, problems } = pair("a/1.ply", "b/1.ply");
  assert.equal(scans.length, 1);
  assert.match(problems[0].reason, /same name as a\/1\.ply/);
});

test("hidden files and files of other kinds are passed over", () => {
  assert.deepEqual(pair(".DS_Store", "xyz/.hidden.tiff", "__notes.txt", "1.ply"), { scans: [["1", "1.ply", null]], problems: [] });
});
