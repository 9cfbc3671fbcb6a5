import assert from "node:assert/strict";
import { test } from "node:test";
import { readPly, type Cloud } from "../../src/cloud/ply";
import { relief } from "../../src/cloud/relief";
import { COLS, ROWS, part, ply } from "../mock/part";

function arrayBuffer(buffer: Buffer): ArrayBuffer {
  return new Uint8Array(buffer).buffer;
}

test("a cloud is read as it was written", () => {
  const of = part(1, []);
  const cloud = readPly(arrayBuffer(ply(of)));
  assert.equal(cloud.points, ROWS * COLS);
  const at = 90 * COLS + 100;
  assert.deepEqual([cloud.row[at], cloud.col[at]], [90, 100]);
  // Single precision holds seven digits.
  assert.ok(Math.abs(cloud.xyz_m[3 * at + 2] - (0.4 - of.height(90, 100))) < 1e-6);
  assert.ok(Math.abs(cloud.score[at] - of.score(90, 100, "fused")) < 1e-6);
  assert.equal(cloud.rgb[3 * at], Math.round(of.colour(90, 100)[0]));
});

test("other and broken files are refused with what was expected", () => {
  const bytes = ply(part(1, []));
  assert.throws(() => readPly(arrayBuffer(Buffer.from("no ply"))), /binary little-endian PLY/);
  assert.throws(() => readPly(arrayBuffer(bytes.subarray(0, 5000))), /cut short/);
  const renamed = Buffer.from(bytes.toString("latin1").replace("float score", "float other"), "latin1");
  assert.throws(() => readPly(arrayBuffer(renamed)), /the property score/);
});

test("a slope towards the light is brighter than one away from it", () => {
  const slope = (towards: number): Cloud => {
    const points = 100;
    const at = Array.from({ length: points }, (_, i) => [Math.floor(i / 10), i % 10]);
    return {
      points,
      xyz_m: Float32Array.from(at.flatMap(([r, c]) => [c, r, 10 + towards * c])),
      rgb: new Uint8Array(3 * points),
      score: new Float32Array(points),
      row: Int32Array.from(at, ([r]) => r),
      col: Int32Array.from(at, ([, c]) => c),
    };
  };
  // The light comes from the left, so a surface that falls away to the left faces it.
  const [lit, flat, dark] = [slope(-0.5), slope(0), slope(0.5)].map((cloud) => relief(cloud)[55]);
  assert.ok(lit > flat && flat > dark, `${lit} ${flat} ${dark}`);
});
