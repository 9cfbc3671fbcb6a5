// How a score map lies on its scan. The scan was centred in a square, which was brought to `side` pixels: map pixel (r, c)
// covers the scan's rows r * square_side / side - offset[0] up to the next one's, and its columns likewise.
import type { MapPlacement, Region } from "../contract";

export interface Rectangle {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Where the whole map lies in the scan, in the scan's pixels. Sticks out where the scan is not square. */
export function mapInScan(map: MapPlacement): Rectangle {
  return { left: -map.offset[1], top: -map.offset[0], width: map.square_side, height: map.square_side };
}

/** The index of the map's pixel over the middle of a scan's pixel. */
export function mapIndex(map: MapPlacement, row: number, col: number): number {
  const along = (at: number, offset: number) =>
    Math.min(map.side - 1, Math.max(0, Math.floor(((at + 0.5 + offset) * map.side) / map.square_side)));
  return along(row, map.offset[0]) * map.side + along(col, map.offset[1]);
}

/** A region's box in percent of the picture. Its bounds are inclusive, so that a pixel is one wide. */
export function boxInPercent(region: Region, [rows, cols]: [number, number]): Rectangle {
  return {
    left: (100 * region.left) / cols,
    top: (100 * region.top) / rows,
    width: (100 * (region.right + 1 - region.left)) / cols,
    height: (100 * (region.bottom + 1 - region.top)) / rows,
  };
}

/** Reads a `.f32` map. */
export function readMap(bytes: ArrayBuffer, side: number): Float32Array {
  if (bytes.byteLength !== side * side * 4) {
    throw new Error(`The score map should have ${side} x ${side} values, but holds ${bytes.byteLength} bytes. Reload the page.`);
  }
  const view = new DataView(bytes);
  return Float32Array.from({ length: side * side }, (_, i) => view.getFloat32(4 * i, true));
}
