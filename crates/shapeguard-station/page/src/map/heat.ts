// Scores as colours, on the scale of all of Shapeguard's pictures: 0 is black, what good parts reach (`good_peak`) is the
// middle, twice that and beyond is the brightest. So inspections can be compared by eye.
import { INFERNO } from "./inferno";

export type Rgb = [number, number, number];

const TABLE: Rgb[] = Array.from({ length: INFERNO.length / 6 }, (_, i) => {
  const channel = (at: number) => parseInt(INFERNO.slice(6 * i + at, 6 * i + at + 2), 16);
  return [channel(0), channel(2), channel(4)];
});

/** Where a score lies on the scale, 0 to 1. What is no number lies at 0. */
export function level(score: number, goodPeak: number): number {
  if (!(goodPeak > 0) || Number.isNaN(score)) return 0;
  return Math.min(1, Math.max(0, score / (2 * goodPeak)));
}

/** The heat colour of a level, 0 to 255 per channel. */
export function heatColour(level: number): Rgb {
  const at = Math.min(1, Math.max(0, level)) * (TABLE.length - 1);
  const below = Math.floor(at);
  const [a, b] = [TABLE[below], TABLE[Math.min(below + 1, TABLE.length - 1)]];
  const mix = (c: 0 | 1 | 2) => Math.round(a[c] + (b[c] - a[c]) * (at - below));
  return [mix(0), mix(1), mix(2)];
}

/** A score map as pixels (RGBA): values below `from` are transparent, all others cover with `opacity`. */
export function paintMap(map: Float32Array, goodPeak: number, from: number, opacity: number): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(map.length * 4);
  const alpha = Math.round(255 * opacity);
  map.forEach((score, i) => {
    if (!(score >= from)) return;
    const [red, green, blue] = heatColour(level(score, goodPeak));
    pixels[4 * i] = red;
    pixels[4 * i + 1] = green;
    pixels[4 * i + 2] = blue;
    pixels[4 * i + 3] = alpha;
  });
  return pixels;
}
