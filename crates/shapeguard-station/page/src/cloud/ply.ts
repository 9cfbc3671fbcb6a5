// Reads the station's point clouds: binary little-endian PLY with the properties named in PROPERTIES, in any order.

export interface Cloud {
  points: number;
  /** Metres in the camera's frame, three per point: x right, y down, z away. */
  xyz_m: Float32Array;
  /** The part's own colours, 0 to 255, three per point. */
  rgb: Uint8Array;
  score: Float32Array;
  /** Row and column of each point's pixel in the scan. */
  row: Int32Array;
  col: Int32Array;
}

type Getter = (view: DataView, at: number) => number;

const TYPES: Record<string, { size: number; get: Getter }> = {
  char: { size: 1, get: (view, at) => view.getInt8(at) },
  uchar: { size: 1, get: (view, at) => view.getUint8(at) },
  short: { size: 2, get: (view, at) => view.getInt16(at, true) },
  ushort: { size: 2, get: (view, at) => view.getUint16(at, true) },
  int: { size: 4, get: (view, at) => view.getInt32(at, true) },
  uint: { size: 4, get: (view, at) => view.getUint32(at, true) },
  float: { size: 4, get: (view, at) => view.getFloat32(at, true) },
  double: { size: 8, get: (view, at) => view.getFloat64(at, true) },
};
const PROPERTIES = ["x", "y", "z", "red", "green", "blue", "score", "row", "col"] as const;
/** More than any header of ours; a file without an end of its header is not searched through. */
const LONGEST_HEADER = 4096;

export function readPly(bytes: ArrayBuffer): Cloud {
  const text = new TextDecoder("latin1").decode(bytes.slice(0, LONGEST_HEADER));
  const end = /end_header\r?\n/.exec(text);
  if (!end || !/^ply\r?\nformat binary_little_endian 1\.0\r?\n/.test(text)) throw unreadable("a binary little-endian PLY");
  const header = text.slice(0, end.index);
  const points = Number(/^element vertex (\d+)/m.exec(header)?.[1] ?? NaN);

  const offsets = new Map<string, { at: number; get: Getter }>();
  let stride = 0;
  for (const [, type, name] of header.matchAll(/^property (\w+) (\w+)/gm)) {
    if (!(type in TYPES)) throw unreadable(`known property types, but found ${type}`);
    offsets.set(name, { at: stride, get: TYPES[type].get });
    stride += TYPES[type].size;
  }
  const [x, y, z, red, green, blue, score, row, col] = PROPERTIES.map((name) => {
    const property = offsets.get(name);
    if (!property) throw unreadable(`the property ${name}`);
    return property;
  });
  const start = end.index + end[0].length;
  if (!(bytes.byteLength >= start + points * stride)) throw unreadable(`${points} points, but the file is cut short`);

  const cloud: Cloud = {
    points,
    xyz_m: new Float32Array(3 * points),
    rgb: new Uint8Array(3 * points),
    score: new Float32Array(points),
    row: new Int32Array(points),
    col: new Int32Array(points),
  };
  const view = new DataView(bytes, start);
  for (let i = 0; i < points; i++) {
    const read = (property: { at: number; get: Getter }) => property.get(view, i * stride + property.at);
    cloud.xyz_m.set([read(x), read(y), read(z)], 3 * i);
    cloud.rgb.set([read(red), read(green), read(blue)], 3 * i);
    cloud.score[i] = read(score);
    cloud.row[i] = read(row);
    cloud.col[i] = read(col);
  }
  return cloud;
}

function unreadable(expected: string): Error {
  return new Error(`The point cloud cannot be shown: expected ${expected}. Reload the page; if that does not help, update the station.`);
}
