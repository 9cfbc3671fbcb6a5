import assert from "node:assert/strict";
import { test } from "node:test";
import { roundSteps } from "../../src/charts";
import { bytes, comparison, count, millimetres, pValue, percent, rate, seconds, short, time } from "../../src/words";

test("p-values in plain words", () => {
  assert.equal(pValue(0.04), "at most 4 of 100 good parts score as high");
  assert.equal(pValue(0.07), "at most 7 of 100 good parts score as high");
  // Higher than each of 34 good parts: that no good part scores as high is more than they can tell.
  assert.equal(pValue(1 / 35), "at most 3 of 100 good parts score as high");
  assert.equal(pValue(0.01), "at most 1 of 100 good parts scores as high");
  assert.equal(pValue(0.004), "at most 4 of 1,000 good parts score as high");
  assert.equal(pValue(0.0001), "at most 1 of 1,000 good parts scores as high");
  assert.equal(pValue(1), "nearly every good part scores as high");
});

test("scores against their threshold", () => {
  assert.equal(comparison(2.2, 1.1), "2.00 times the threshold, 1.10");
  assert.equal(comparison(0.55, 1.1), "50 % of the threshold, 1.10");
  assert.equal(comparison(1, 0), "threshold 0.000");
});

test("numbers have three significant digits", () => {
  assert.deepEqual([1234.5, 123.4, 12.34, 1.234, 0.1234, 0, 0.00012].map(short), ["1,235", "123", "12.3", "1.23", "0.123", "0.000", "1.2e-4"]);
  assert.equal(short(null), "–");
  assert.equal(short(NaN), "–");
});

test("shares, counts, sizes, times", () => {
  assert.deepEqual([0, 0.05, 0.015, 0.146, 1].map(percent), ["0 %", "5 %", "1.5 %", "15 %", "100 %"]);
  assert.deepEqual([count(1, "scan"), count(1200, "scan")], ["1 scan", "1,200 scans"]);
  assert.deepEqual([bytes(12), bytes(8_400_000)], ["12 bytes", "8.4 MB"]);
  assert.deepEqual([seconds(0.052), seconds(1.5)], ["52 ms", "1.50 s"]);
  assert.equal(millimetres([0.0125, -0.003, 0.4]), "12.5, -3.0, 400.0");
});

test("a threshold's rate says how sure it is", () => {
  const threshold = { score: 1, false_reject_rate: 0.05, interval: [0.01, 0.18] as [number, number] };
  const words = "made to reject 5 % of good parts; the true rate is most likely between 1 % and 18 %";
  assert.equal(rate({ ...threshold, basis: "validation" }), words);
  assert.equal(rate({ ...threshold, basis: "leave-one-out" }), words.replace(";", ", approximately;"));
});

test("the date is told where it is not today's", () => {
  const noon = new Date(2026, 4, 7, 12, 0, 5);
  assert.equal(time(noon.toISOString(), noon), "12:00:05");
  assert.equal(time(noon.toISOString(), new Date(2026, 4, 8)), "7 May 2026, 12:00:05");
});

test("axes have about six round steps", () => {
  assert.deepEqual(roundSteps(0, 3), [0, 0.5, 1, 1.5, 2, 2.5, 3]);
  assert.deepEqual(roundSteps(0.52, 1.1), [0.6, 0.7, 0.8, 0.9, 1, 1.1]);
});
