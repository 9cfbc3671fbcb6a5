import assert from "node:assert/strict";
import { test } from "node:test";
import { boxInPercent, mapIndex, mapInScan, readMap } from "../../src/map/geometry";
import { heatColour, level, paintMap } from "../../src/map/heat";

// A scan of 180 x 200 pixels, centred in a square of 200, brought to 100.
const map = { side: 100, square_side: 200, offset: [10, 0] as [number, number], good_peak: 1 };
const region = { row: 20, col: 30, top: 18, left: 20, bottom: 35, right: 39, xyz_m: null, area_mm2: null, pixels: 9, peak: 2, shares: { sdf: 1, rgb: 0 } };

test("the map sticks out of a scan that is not square, by its offset", () => {
  assert.deepEqual(mapInScan(map), { left: -0, top: -10, width: 200, height: 200 });
});

test("a map pixel is found from each scan pixel that it covers", () => {
  // Map row 5 covers scan rows 5 * 2 - 10 = 0 and 1.
  assert.equal(mapIndex(map, 0, 0), 5 * 100);
  assert.equal(mapIndex(map, 1, 1), 5 * 100);
  assert.equal(mapIndex(map, 2, 2), 6 * 100 + 1);
  assert.equal(mapIndex(map, 179, 199), 94 * 100 + 99);
});

test("a region's bounds are inclusive", () => {
  assert.deepEqual(boxInPercent(region, [180, 200]), { left: 10, top: 10, width: 10, height: 10 });
});

test("maps are little-endian, and of the size that was announced", () => {
  const bytes = new Uint8Array([0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 128, 191]).buffer;
  assert.deepEqual([...readMap(bytes, 2)], [1, 2, 0, -1]);
  assert.throws(() => readMap(bytes, 3), /3 x 3 values, but holds 16 bytes/);
});

test("0 is black, the good peak the middle, twice that and beyond the brightest", () => {
  assert.deepEqual(heatColour(level(0, 1.3)), [0, 0, 4]);
  assert.equal(level(1.3, 1.3), 0.5);
  assert.deepEqual(heatColour(level(2.6, 1.3)), [252, 255, 164]);
  assert.deepEqual(heatColour(level(99, 1.3)), [252, 255, 164]);
  // The colour map's entries 127 and 128, between which the middle lies: bc3754 is the known middle of inferno.
  const [red, green, blue] = heatColour(0.5);
  assert.ok(Math.abs(red - 0xbc) <= 1 && Math.abs(green - 0x37) <= 1 && Math.abs(blue - 0x54) <= 1);
});

test("what is no number, and a model without scale, are painted without a fault", () => {
  assert.equal(level(NaN, 1), 0);
  assert.equal(level(-1, 1), 0);
  assert.equal(level(Infinity, 1), 1);
  assert.equal(level(3, 0), 0);
});

test("values below the threshold are transparent, others have the opacity", () => {
  const pixels = paintMap(Float32Array.from([0.5, 1, 2, NaN]), 1, 1, 0.5);
  assert.deepEqual([pixels[3], pixels[7], pixels[11], pixels[15]], [0, 128, 128, 0]);
  assert.deepEqual([...pixels.slice(8, 11)], [252, 255, 164]);
});
