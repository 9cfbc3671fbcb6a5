// Light and shade for a cloud without normals, so that dents show: the surface's slope is taken from the neighbours in the
// scan's own grid, which the points bring along as row and column.
import type { Cloud } from "./ply";

/** Direction to the light in the camera's frame: from above, from the left, and from the camera. */
const LIGHT = normalised([-0.45, -0.55, -0.7]);
const AMBIENT = 0.35;
/** Neighbours that jump in depth by more than this multiple of their distance in the image plane are another surface. */
const STEEPEST = 4;

/** Brightness of each point, about 0.35 to 1. Points without usable neighbours get that of a surface facing the camera. */
export function relief(cloud: Cloud): Float32Array {
  const { points, row, col, xyz_m } = cloud;
  const step = gridStep(cloud);
  const cells = new Map<number, number>();
  const key = (r: number, c: number) => r * 65536 + c;
  for (let i = 0; i < points; i++) cells.set(key(Math.floor(row[i] / step), Math.floor(col[i] / step)), i);

  const difference = (a: number, b: number) => [0, 1, 2].map((k) => xyz_m[3 * b + k] - xyz_m[3 * a + k]);
  const facing = shade([0, 0, -1]);
  return Float32Array.from({ length: points }, (_, i) => {
    const [r, c] = [Math.floor(row[i] / step), Math.floor(col[i] / step)];
    const along = (dr: number, dc: number) => {
      const before = cells.get(key(r - dr, c - dc)) ?? i;
      const after = cells.get(key(r + dr, c + dc)) ?? i;
      return difference(before, after);
    };
    const [right, down] = [along(0, 1), along(1, 0)];
    if (tooSteep(right) || tooSteep(down)) return facing;
    // x right and y down make a normal that points away from the camera; the light wants the other side.
    const normal = normalised([
      -(right[1] * down[2] - right[2] * down[1]),
      -(right[2] * down[0] - right[0] * down[2]),
      -(right[0] * down[1] - right[1] * down[0]),
    ]);
    return normal.every(Number.isFinite) ? shade(normal) : facing;
  });
}

/** Pixels between neighbouring points of the thinned cloud, from how densely they fill their bounding box. */
function gridStep({ points, row, col }: Cloud): number {
  const extent = (values: Int32Array) => {
    let [low, high] = [Infinity, -Infinity];
    for (const value of values) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    return high - low + 1;
  };
  return points > 0 ? Math.max(1, Math.sqrt((extent(row) * extent(col)) / points)) : 1;
}

function tooSteep([x, y, z]: number[]): boolean {
  return Math.abs(z) > STEEPEST * Math.hypot(x, y);
}

function shade(normal: number[]): number {
  const towardsLight = normal.reduce((sum, component, k) => sum + component * LIGHT[k], 0);
  return AMBIENT + (1 - AMBIENT) * Math.max(0, towardsLight);
}

function normalised(vector: number[]): number[] {
  const length = Math.hypot(...vector);
  return vector.map((component) => component / length);
}
