// Numbers and verdicts in plain words.
import type { FeedbackKind, Threshold, Verdict } from "./contract";

export const VERDICT_WORDS: Record<Verdict, string> = { good: "Good", rejected: "Rejected", "not-judged": "Not judged" };

export const FEEDBACK_WORDS: Record<FeedbackKind, string> = {
  "false-reject": "False reject",
  missed: "Missed defect",
  confirmed: "Confirmed",
};

export const EXPERT_WORDS = { sdf: "Shape (SDF)", rgb: "Colour (RGB)", fused: "Both (fused)" };

export const NONE = "–";

/** A number with three significant digits; never in powers of ten for what scores and areas are. */
export function short(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A share as a percentage, with one decimal below 10 %. */
export function percent(share: number): string {
  const value = share * 100;
  const digits = value === 0 || value >= 9.95 || Number.isInteger(Number(value.toFixed(3))) ? 0 : 1;
  return `${value.toFixed(digits)} %`;
}

export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en-GB")} ${n === 1 ? one : many}`;
}

/** So much may a share be above a round number and still be it: 0.07 * 100 is more than 7. */
const ROUNDING = 1e-6;

/**
 * A conformal p-value: of good parts no larger share has so low a one, on average over the good parts that were learnt from. The part itself
 * counts as one that scores as high, so it is never 0.
 */
export function pValue(p: number): string {
  if (p >= 0.995) return "nearly every good part scores as high";
  const of = p >= 0.01 ? 100 : 1000;
  const n = Math.ceil(p * of - ROUNDING);
  return `at most ${n} of ${of.toLocaleString("en-GB")} good parts ${n === 1 ? "scores" : "score"} as high`;
}

/** How far a score is from its threshold. */
export function comparison(score: number, threshold: number): string {
  const ratio = score / threshold;
  if (!Number.isFinite(ratio)) return `threshold ${short(threshold)}`;
  const times = ratio >= 1.995 ? `${short(ratio)} times the threshold` : `${percent(ratio)} of the threshold`;
  return `${times} of ${short(threshold)}`.replace("threshold of", "threshold,");
}

export function rate(threshold: Threshold): string {
  const [low, high] = threshold.interval;
  const how = threshold.basis === "validation" ? "" : ", approximately";
  return `made to reject ${percent(threshold.false_reject_rate)} of good parts${how}; the true rate is most likely between ${percent(low)} and ${percent(high)}`;
}

export function bytes(n: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = n < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(n) / 3));
  return `${power === 0 ? n : (n / 1000 ** power).toFixed(1)} ${units[power]}`;
}

export function seconds(s: number): string {
  return s < 1 ? `${Math.round(s * 1000)} ms` : `${s.toFixed(2)} s`;
}

/** A position in millimetres, in the camera's frame. */
export function millimetres(xyz_m: readonly [number, number, number] | null): string {
  return xyz_m ? xyz_m.map((m) => (m * 1000).toFixed(1)).join(", ") : NONE;
}

/** Local time of day, with the date where it is not today's. */
export function time(iso: string, now = new Date()): string {
  const at = new Date(iso);
  const clock = at.toLocaleTimeString("en-GB");
  if (at.toDateString() === now.toDateString()) return clock;
  return `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })}, ${clock}`;
}

/** Enough of a digest to tell versions apart. */
export function shortDigest(sha256: string): string {
  return sha256.slice(0, 10);
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
