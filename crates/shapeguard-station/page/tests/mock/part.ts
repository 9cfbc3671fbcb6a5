// Scans that the mock server makes up: a bumpy biscuit on a table, with a dent and a stain where it is to be defective.
// The scan is not square, so that a map laid over it wrongly is seen.
import { deflateSync } from "node:zlib";

export const ROWS = 180;
export const COLS = 200;
const SIDE = 112;
const SQUARE = 200;
const OFFSET: [number, number] = [10, 0];
const GOOD_PEAK = 1.2;
const REGION_LEVEL = 1.1;
const PITCH_M = 0.0005;
const TABLE_M = 0.4;
const BISCUIT_PX = 72;

export interface Blemish {
  row: number;
  col: number;
  radius: number;
  /** How high the maps rise there. */
  sdf: number;
  rgb: number;
}

/** A generator of numbers in 0..1 that are the same in every run (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function part(seed: number, blemishes: Blemish[]) {
  const noise = random(seed);
  const [phase, tilt] = [noise() * 6, noise() * 0.4];
  const height = (row: number, col: number) => {
    const [y, x] = [row - ROWS / 2, col - COLS / 2];
    const r = Math.hypot(x, y) / BISCUIT_PX;
    if (r > 1) return 0;
    const dome = 0.011 * Math.sqrt(1 - r ** 4);
    const bumps = 0.0007 * Math.sin(x / 5 + phase) * Math.cos(y / 6 - phase);
    const dents = blemishes.reduce((sum, b) => sum - 0.005 * b.sdf * bump(b, row, col), 0);
    return Math.max(0, dome + bumps + dents);
  };
  const colour = (row: number, col: number): [number, number, number] => {
    const grain = 8 * Math.sin(row / 3 + phase) * Math.cos(col / 4 + tilt);
    if (height(row, col) === 0) return [62 + grain / 4, 68 + grain / 4, 76 + grain / 4];
    const stain = blemishes.reduce((sum, b) => sum + 0.4 * b.rgb * bump(b, row, col), 0);
    const light = Math.min(1, 0.72 + 30 * height(row, col)) * (1 - Math.min(0.8, stain));
    return [(214 + grain) * light, (164 + grain) * light, (98 + grain) * light];
  };
  const score = (row: number, col: number, expert: "sdf" | "rgb" | "fused") => {
    const base = height(row, col) === 0 ? 0.05 : 0.25 + 0.15 * (1 + Math.sin(row / 9 + phase) * Math.cos(col / 8 + tilt));
    const rise = (kind: "sdf" | "rgb") => base + blemishes.reduce((sum, b) => sum + b[kind] * 1.6 * bump(b, row, col), 0);
    return expert === "fused" ? Math.max(rise("sdf"), rise("rgb")) : rise(expert);
  };
  return { height, colour, score };
}

type Part = ReturnType<typeof part>;

function bump(b: Blemish, row: number, col: number): number {
  return Math.exp(-((row - b.row) ** 2 + (col - b.col) ** 2) / b.radius ** 2);
}

export const placement = { side: SIDE, square_side: SQUARE, offset: OFFSET, good_peak: GOOD_PEAK };
export const regionLevel = REGION_LEVEL;

export function xyz(of: Part, row: number, col: number): [number, number, number] {
  return [(col - COLS / 2) * PITCH_M, (row - ROWS / 2) * PITCH_M, TABLE_M - of.height(row, col)];
}

export function region(of: Part, b: Blemish) {
  const bounds = { top: ROWS, left: COLS, bottom: 0, right: 0 };
  let pixels = 0;
  let peak = 0;
  for (let row = 0; row < ROWS; row++) {
    for (let col = 0; col < COLS; col++) {
      if (Math.hypot(row - b.row, col - b.col) > 2 * b.radius || of.score(row, col, "fused") < REGION_LEVEL) continue;
      pixels += 1;
      peak = Math.max(peak, of.score(row, col, "fused"));
      bounds.top = Math.min(bounds.top, row);
      bounds.left = Math.min(bounds.left, col);
      bounds.bottom = Math.max(bounds.bottom, row);
      bounds.right = Math.max(bounds.right, col);
    }
  }
  const sdf = b.sdf / (b.sdf + b.rgb);
  const area_mm2 = pixels * (PITCH_M * 1000) ** 2;
  return { row: b.row, col: b.col, ...bounds, xyz_m: xyz(of, b.row, b.col), area_mm2, pixels, peak, shares: { sdf, rgb: 1 - sdf } };
}

export function map(of: Part, expert: "sdf" | "rgb" | "fused"): Buffer {
  const bytes = Buffer.alloc(SIDE * SIDE * 4);
  for (let r = 0; r < SIDE; r++) {
    for (let c = 0; c < SIDE; c++) {
      const [row, col] = [((r + 0.5) * SQUARE) / SIDE - OFFSET[0], ((c + 0.5) * SQUARE) / SIDE - OFFSET[1]];
      bytes.writeFloatLE(row < 0 || row >= ROWS ? 0 : of.score(row, col, expert), 4 * (r * SIDE + c));
    }
  }
  return bytes;
}

export function ply(of: Part): Buffer {
  const properties = ["float x", "float y", "float z", "uchar red", "uchar green", "uchar blue", "float score", "int row", "int col"];
  const lines = ["ply", "format binary_little_endian 1.0", `element vertex ${ROWS * COLS}`, ...properties.map((p) => `property ${p}`), "end_header", ""];
  const header = Buffer.from(lines.join("\n"));
  const stride = 27;
  const body = Buffer.alloc(ROWS * COLS * stride);
  for (let i = 0; i < ROWS * COLS; i++) {
    const [row, col] = [Math.floor(i / COLS), i % COLS];
    const at = i * stride;
    xyz(of, row, col).forEach((value, k) => body.writeFloatLE(value, at + 4 * k));
    of.colour(row, col).forEach((value, k) => body.writeUInt8(Math.round(Math.min(255, Math.max(0, value))), at + 12 + k));
    body.writeFloatLE(of.score(row, col, "fused"), at + 15);
    body.writeInt32LE(row, at + 19);
    body.writeInt32LE(col, at + 23);
  }
  return Buffer.concat([header, body]);
}

/** The colour image, every `step`-th pixel. */
export function png(of: Part, step = 1): Buffer {
  const [rows, cols] = [Math.ceil(ROWS / step), Math.ceil(COLS / step)];
  const raw = Buffer.alloc(rows * (1 + 3 * cols));
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      of.colour(row * step, col * step).forEach((value, k) => {
        raw[row * (1 + 3 * cols) + 1 + 3 * col + k] = Math.min(255, Math.max(0, value));
      });
    }
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(cols, 0);
  head.writeUInt32BE(rows, 4);
  // Eight bits, red-green-blue.
  head.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", head), chunk("IDAT", deflateSync(raw)), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(kind: string, data: Buffer): Buffer {
  const content = Buffer.concat([Buffer.from(kind), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc(content));
  return Buffer.concat([length, content, sum]);
}

function crc(bytes: Buffer): number {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return (sum ^ 0xffffffff) >>> 0;
}
