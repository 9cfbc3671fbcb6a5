"""Writes the golden files of shapeguard-data; run from this folder: python generate.py (versions: README.md).

Every golden holds the same 5 x 7 scan: `xyz.f32` and `rgb.u8` are its raw values, row by row, little endian.
The writers are not ours: TIFF by tifffile and imagecodecs, NPY/NPZ by NumPy, PNG by imagecodecs, LZF by imagecodecs.
PCD and PLY headers are written out here from their published descriptions.
"""

import hashlib
import json
import struct
import zlib

import imagecodecs
import numpy as np
import tifffile

ROWS, COLS = 5, 7

row, col = np.mgrid[0:ROWS, 0:COLS].astype(np.float64)
xyz = np.stack(
    [0.011 * col - 0.03 + 0.0007 * row, 0.012 * row - 0.02, 0.5 + 0.01 * np.sin(row + 2.0 * col)], axis=2
).astype(np.float32)
xyz[0, 0] = 0.0  # absent: (0,0,0)
xyz[2, 3] = np.nan  # absent: NaN
xyz[4, 6, 2] = -0.25  # absent in the camera's frame: behind it
rgb = np.stack([20 * row + col, 255 - 30 * col, (row * 50 + col * 3)], axis=2).astype(np.uint8)

xyz.astype("<f4").tofile("xyz.f32")
rgb.tofile("rgb.u8")

# --- TIFF --------------------------------------------------------------------------------------------------------
ADOBE = "adobe_deflate"
tiffs = {
    "plain": {},
    "rgb_photometric": {"photometric": "rgb"},
    "strips": {"rowsperstrip": 2},
    "lzw": {"compression": "lzw"},
    "lzw_strips": {"compression": "lzw", "rowsperstrip": 2},
    "deflate": {"compression": ADOBE},
    "old_deflate": {"compression": "deflate"},
    "predictor2": {"compression": ADOBE, "predictor": 2},
    "predictor3": {"compression": ADOBE, "predictor": 3},
    "lzw_predictor2": {"compression": "lzw", "predictor": 2},
    "lzw_predictor3": {"compression": "lzw", "predictor": 3},
    "tiled": {"tile": (16, 16)},
    "tiled_deflate_predictor3": {"tile": (16, 16), "compression": ADOBE, "predictor": 3},
    "planar": {"planarconfig": "separate"},
    "planar_strips": {"planarconfig": "separate", "rowsperstrip": 2},
    "planar_deflate_predictor3": {"planarconfig": "separate", "compression": ADOBE, "predictor": 3},
    "planar_tiled_lzw": {"planarconfig": "separate", "tile": (16, 16), "compression": "lzw"},
    "bigendian": {"byteorder": ">"},
    "bigendian_lzw_predictor3": {"byteorder": ">", "compression": "lzw", "predictor": 3},
    "bigendian_predictor2": {"byteorder": ">", "compression": ADOBE, "predictor": 2},
    "bigendian_planar": {"byteorder": ">", "planarconfig": "separate"},
    "bigtiff": {"bigtiff": True},
    "bigtiff_bigendian_deflate": {"bigtiff": True, "byteorder": ">", "compression": ADOBE},
}
for name, options in tiffs.items():
    options = dict(options)
    file_options = {k: options.pop(k) for k in ("byteorder", "bigtiff") if k in options}
    options.setdefault("photometric", "minisblack")
    options.setdefault("planarconfig", "contig")
    data = np.moveaxis(xyz, 2, 0) if options["planarconfig"] == "separate" else xyz
    horizontal = options.get("predictor") == 2
    if horizontal:  # tifffile refuses it for floats; libtiff differences the bits as integers
        data = data.view(np.int32)
    with tifffile.TiffWriter(f"xyz_{name}.tiff", **file_options) as writer:
        writer.write(np.ascontiguousarray(data), metadata=None, software=None, **options)
    if horizontal:
        with tifffile.TiffFile(f"xyz_{name}.tiff", mode="r+b") as file:
            file.pages[0].tags["SampleFormat"].overwrite((3, 3, 3))
        continue  # tifffile does not read it either; `tiff` and libtiff do
    back = tifffile.imread(f"xyz_{name}.tiff")
    back = np.moveaxis(back, 0, 2) if options["planarconfig"] == "separate" else back
    assert back.tobytes() == xyz.tobytes(), name
# Several tiles, the last ones cut: 20 x 35 pixels, `several_tiles.npy` is the truth.
big_row, big_col = np.mgrid[0:20, 0:35].astype(np.float64)
big = np.stack([0.002 * big_col, 0.003 * big_row, 0.5 + 0.01 * np.sin(big_row + big_col)], axis=2).astype(np.float32)
np.save("several_tiles.npy", big)
tile = {"tile": (16, 16), "photometric": "minisblack", "metadata": None, "software": None}
planes = np.ascontiguousarray(np.moveaxis(big, 2, 0))
tifffile.imwrite("several_tiles.tiff", big, compression=ADOBE, planarconfig="contig", **tile)
tifffile.imwrite("several_tiles_lzw_predictor3.tiff", big, compression="lzw", predictor=3, planarconfig="contig", **tile)
tifffile.imwrite("several_tiles_planar.tiff", planes, compression=ADOBE, planarconfig="separate", **tile)
tifffile.imwrite(
    "several_tiles_planar_bigendian_predictor3.tiff", planes, compression=ADOBE, predictor=3, planarconfig="separate",
    byteorder=">", **tile,
)
tifffile.imwrite("refused_one_channel.tiff", xyz[:, :, 2], metadata=None, software=None)
tifffile.imwrite("refused_integers.tiff", rgb, photometric="rgb", metadata=None, software=None)
tifffile.imwrite(
    "refused_pages.tiff", np.ascontiguousarray(np.moveaxis(xyz, 2, 0)), photometric="minisblack", metadata=None,
    software=None,
)

# --- PNG ---------------------------------------------------------------------------------------------------------
def png(name, array):
    with open(name, "wb") as file:
        file.write(imagecodecs.png_encode(np.ascontiguousarray(array)))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_by_hand(name, depth, colour_type, rows, extra=b""):
    header = struct.pack(">IIBBBBB", COLS, ROWS, depth, colour_type, 0, 0, 0)
    raw = b"".join(b"\0" + bytes(r) for r in rows)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    with open(name, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + body)


opaque = np.full((ROWS, COLS, 1), 255, np.uint8)
see_through = opaque.copy()
see_through[1, 1] = 7
png("rgb.png", rgb)
png("rgba_opaque.png", np.concatenate([rgb, opaque], axis=2))
png("refused_rgba_transparent.png", np.concatenate([rgb, see_through], axis=2))
png("grey.png", rgb[:, :, 0])
png("refused_rgb16.png", rgb.astype(np.uint16) * 257)
palette = b"".join(bytes([i, 255 - 2 * i, 3 * i]) for i in range(ROWS * COLS))
indices = np.arange(ROWS * COLS, dtype=np.uint8).reshape(ROWS, COLS)
png_by_hand("palette.png", 8, 3, indices, chunk(b"PLTE", palette))

truth = np.zeros((ROWS, COLS), np.uint8)
truth[1, 2], truth[3, 4:6], truth[4, 6] = 1, 3, 255
truth.tofile("truth.u8")
png("truth.png", truth)
png("truth16.png", truth.astype(np.uint16))
png("truth_rgb.png", np.repeat(truth[:, :, None], 3, axis=2))
png("truth_rgba.png", np.concatenate([np.repeat(truth[:, :, None], 3, axis=2), opaque], axis=2))
png_by_hand("truth_1bit.png", 1, 0, np.packbits(truth > 0, axis=1))
black = b"\0\0\0" * 256
png_by_hand("truth_palette.png", 8, 3, truth, chunk(b"PLTE", black))

depth = np.where(np.isfinite(xyz[:, :, 2]) & (xyz[:, :, 2] > 0), xyz[:, :, 2] * 10000, 0).round().astype(np.uint16)
depth.astype("<u2").tofile("depth.u16")
png("depth.png", depth)
tifffile.imwrite("depth.tiff", depth, metadata=None, software=None)
tifffile.imwrite("depth_float.tiff", depth.astype(np.float32), metadata=None, software=None)
with open("intrinsics.json", "w") as file:
    json.dump({"fx": 60.0, "fy": 61.0, "cx": 3.1, "cy": 2.2, "depth_scale": 0.0001, "width": COLS, "height": ROWS}, file)
    file.write("\n")

# --- NPY, NPZ ----------------------------------------------------------------------------------------------------
np.save("xyz_f4.npy", xyz)
np.save("xyz_f8.npy", xyz.astype(np.float64))
np.save("xyz_bigendian.npy", xyz.astype(">f4"))
np.save("xyz_fortran.npy", np.asfortranarray(xyz))
np.save("refused_flat.npy", xyz.reshape(-1, 3))
np.save("refused_integers.npy", rgb)
np.savez("stored.npz", xyz=xyz, rgb=rgb)
np.savez_compressed("deflated.npz", xyz=xyz.astype(np.float64), rgb=rgb)
np.savez_compressed("cloud_only.npz", xyz=xyz)
np.savez_compressed("refused_names.npz", points=xyz)

# --- PCD ---------------------------------------------------------------------------------------------------------
packed = (rgb[..., 0].astype(np.uint32) << 16) | (rgb[..., 1].astype(np.uint32) << 8) | rgb[..., 2]
packed_float = packed.view(np.float32).reshape(ROWS, COLS)


def pcd(name, data, body, colour="rgb", kind="F", width=COLS, height=ROWS):
    fields = f"FIELDS x y z {colour}\nSIZE 4 4 4 4\nTYPE F F F {kind}\nCOUNT 1 1 1 1\n"
    if colour is None:
        fields = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
    header = (
        "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\n" + fields + f"WIDTH {width}\nHEIGHT {height}\n"
        f"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS {width * height}\nDATA {data}\n"
    )
    with open(name, "wb") as file:
        file.write(header.encode() + body)


def number(x):
    return "nan" if np.isnan(x) else repr(float(x))


table = np.zeros(ROWS * COLS, dtype=[("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("c", "<u4")])
for axis, name in enumerate("xyz"):
    table[name] = xyz[..., axis].reshape(-1)
table["c"] = packed.reshape(-1)
points = xyz.reshape(-1, 3)
ascii_float = "".join(
    f"{number(p[0])} {number(p[1])} {number(p[2])} {number(c)}\n" for p, c in zip(points, packed_float.reshape(-1))
)
ascii_uint = "".join(
    f"{number(p[0])} {number(p[1])} {number(p[2])} {c}\n" for p, c in zip(points, packed.reshape(-1))
)
by_field = b"".join(table[name].tobytes() for name in ("x", "y", "z", "c"))
lzf = imagecodecs.lzf_encode(by_field)
compressed = struct.pack("<II", len(lzf), len(by_field)) + lzf
pcd("ascii.pcd", "ascii", ascii_float.encode())
pcd("ascii_rgba.pcd", "ascii", ascii_uint.encode(), colour="rgba", kind="U")
pcd("binary.pcd", "binary", table.tobytes())
pcd("binary_rgba.pcd", "binary", table.tobytes(), colour="rgba", kind="U")
pcd("binary_compressed.pcd", "binary_compressed", compressed)
pcd("cloud_only.pcd", "binary", xyz.astype("<f4").tobytes(), colour=None)
pcd("unorganized.pcd", "binary", table.tobytes(), width=ROWS * COLS, height=1)

# --- PLY ---------------------------------------------------------------------------------------------------------
def ply(name, format, body, grid=f"obj_info num_cols {COLS}\nobj_info num_rows {ROWS}\n", count=ROWS * COLS, tail=""):
    header = f"ply\nformat {format} 1.0\ncomment written by generate.py\n{grid}element vertex {count}\n"
    header += "property float x\nproperty float y\nproperty float z\n"
    header += "property uchar red\nproperty uchar green\nproperty uchar blue\n" + tail + "end_header\n"
    with open(name, "wb") as file:
        file.write(header.encode() + body)


colours = rgb.reshape(-1, 3)
lines = [
    f"{number(p[0])} {number(p[1])} {number(p[2])} {c[0]} {c[1]} {c[2]}\n" for p, c in zip(points, colours)
]
binary = {
    order: [struct.pack(order + "fffBBB", *map(float, p), *map(int, c)) for p, c in zip(points, colours)]
    for order in "<>"
}
ply("ascii.ply", "ascii", "".join(lines).encode())
ply("little.ply", "binary_little_endian", b"".join(binary["<"]))
ply("big.ply", "binary_big_endian", b"".join(binary[">"]))
ply("comment_grid.ply", "ascii", "".join(lines).encode(), grid=f"comment width {COLS}\ncomment height {ROWS}\n")
ply("unorganized.ply", "binary_little_endian", b"".join(binary["<"]), grid="")
# A range grid (Stanford scans): only measured points are vertices; the grid lists each pixel's vertex, or none.
seen = [i for i, p in enumerate(points) if np.isfinite(p).all() and p[2] > 0]
tail = f"element range_grid {ROWS * COLS}\nproperty list uchar int vertex_indices\n"
place = {pixel: vertex for vertex, pixel in enumerate(seen)}
ascii_grid = "".join(f"1 {place[i]}\n" if i in place else "0\n" for i in range(ROWS * COLS))
binary_grid = b"".join(
    struct.pack("<Bi", 1, place[i]) if i in place else b"\0" for i in range(ROWS * COLS)
)
ply("range_grid_ascii.ply", "ascii", ("".join(lines[i] for i in seen) + ascii_grid).encode(), count=len(seen), tail=tail)
ply(
    "range_grid.ply", "binary_little_endian", b"".join(binary["<"][i] for i in seen) + binary_grid, count=len(seen),
    tail=tail,
)

# --- digest ------------------------------------------------------------------------------------------------------
valid = np.isfinite(xyz).all(axis=2) & (xyz[:, :, 2] > 0)
points_m = np.where(valid[..., None], xyz, 0).astype("<f4")
digest = hashlib.sha256(b"shapeguard scan 1" + struct.pack("<QQ", ROWS, COLS))
for r in range(ROWS):
    digest.update(valid[r].astype(np.uint8).tobytes() + points_m[r].tobytes() + rgb[r].tobytes())
with open("digest.txt", "w") as file:
    file.write(digest.hexdigest() + "\n")
