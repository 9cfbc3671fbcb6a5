//! NumPy arrays: `.npy` with coordinates `[H, W, 3]`, and `.npz` with `xyz` and, mostly, `rgb`.
//!
//! The header is read by a parser of our own for the three keys that NumPy writes (NumPy Enhancement Proposal 1, versions
//! 1.0 to 3.0): a general parser of Python literals recurses as deep as a hostile header asks. An archive's entry is read no
//! further than its header's shape needs, so that an archive bomb stops at the pixel limit.

use std::io::{Cursor, Read};

use shapeguard_core::grid::{Grid, GridSize};
use zip::ZipArchive;
use zip::result::ZipError;

use crate::fault::{Fault, checked_size};
use crate::values::{Encoding, RawCloud, Scalar, Values};

/// First bytes, version, and length of a header: at most so many bytes.
const MAX_PREFIX: usize = 12;
/// Longest header that is read; NumPy's own are under 200 bytes.
const MAX_HEADER_BYTES: usize = 4096;
/// Entries of an archive that are looked at; a scan has two.
const MAX_ENTRIES: usize = 1000;

/// Decodes coordinates `[H, W, 3]` of an `.npy` file.
pub(crate) fn decode_npy(bytes: &[u8], max_pixels: usize) -> Result<RawCloud, Fault> {
    let array = Array::parse(bytes)?;
    Ok(RawCloud { points: array.points(max_pixels)?, colours: None })
}

/// Decodes `xyz` and, if present, `rgb` of an `.npz` file.
pub(crate) fn decode_npz(bytes: &[u8], max_pixels: usize) -> Result<RawCloud, Fault> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(zip_fault)?;
    if archive.len() > MAX_ENTRIES {
        return Err(Fault::unsupported(
            "an archive with the arrays xyz and rgb",
            format!("{} arrays", archive.len()),
            "write one archive per scan",
        ));
    }
    let Some(xyz) = read_entry(&mut archive, "xyz.npy", max_pixels)? else {
        let names: Vec<String> = archive
            .file_names()
            .flatten()
            .map(|name| name.trim_end_matches(".npy").escape_debug().to_string())
            .collect();
        return Err(Fault::unsupported(
            "an array named xyz",
            format!("the arrays {}", names.join(", ")),
            "write the archive with numpy.savez(path, xyz=..., rgb=...)",
        ));
    };
    let points = Array::parse(&xyz)?.points(max_pixels)?;
    drop(xyz);
    let colours = match read_entry(&mut archive, "rgb.npy", max_pixels)? {
        Some(rgb) => Some(Array::parse(&rgb)?.colours(max_pixels)?),
        None => None,
    };
    if let Some(colours) = &colours
        && colours.size() != points.size()
    {
        return Err(Fault::unsupported(
            format!("rgb of the size of xyz, {}", points.size()),
            format!("{}", colours.size()),
            "write both arrays from the same pixel grid",
        ));
    }
    Ok(RawCloud { points, colours })
}

/// An entry's bytes: its header, and no more of its data than its shape needs.
fn read_entry(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    name: &str,
    max_pixels: usize,
) -> Result<Option<Vec<u8>>, Fault> {
    let mut entry = match archive.by_name(name) {
        Ok(entry) => entry,
        Err(ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(zip_fault(error)),
    };
    let read_fault = |error: std::io::Error| Fault::damaged(format!("the array {name}"), error.to_string());
    let mut bytes = Vec::new();
    entry.by_ref().take((MAX_PREFIX + MAX_HEADER_BYTES) as u64).read_to_end(&mut bytes).map_err(read_fault)?;
    let array = Array::parse(&bytes)?;
    let header = bytes.len() - array.data.len();
    let size = array.size(max_pixels)?;
    let total = header + size.area() * 3 * array.scalar.size();
    entry.take(total.saturating_sub(bytes.len()) as u64).read_to_end(&mut bytes).map_err(read_fault)?;
    Ok(Some(bytes))
}

fn zip_fault(error: ZipError) -> Fault {
    match error {
        ZipError::UnsupportedArchive(what) => Fault::unsupported(
            "an archive as numpy.savez or numpy.savez_compressed writes it",
            what,
            "write it with NumPy",
        ),
        error => Fault::damaged("a NumPy archive", error.to_string()),
    }
}

/// A parsed header and the bytes after it.
struct Array<'a> {
    scalar: Scalar,
    encoding: Encoding,
    fortran: bool,
    shape: Vec<u64>,
    data: &'a [u8],
}

impl<'a> Array<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let cut = || Fault::damaged("a NumPy header", "the end of the file");
        if !bytes.starts_with(b"\x93NUMPY") {
            return Err(Fault::damaged("a NumPy array", "other bytes"));
        }
        let version = *bytes.get(6).ok_or_else(cut)?;
        let (length, prefix) = match version {
            1 => (u16::from_le_bytes(*bytes.get(8..).and_then(<[u8]>::first_chunk).ok_or_else(cut)?) as usize, 10),
            2 | 3 => (u32::from_le_bytes(*bytes.get(8..).and_then(<[u8]>::first_chunk).ok_or_else(cut)?) as usize, 12),
            _ => return Err(Fault::damaged("NumPy's format version 1, 2 or 3", format!("{version}"))),
        };
        if length > MAX_HEADER_BYTES {
            return Err(Fault::damaged(format!("a header of at most {MAX_HEADER_BYTES} bytes"), format!("{length}")));
        }
        let text = bytes.get(prefix..prefix + length).ok_or_else(cut)?;
        let strange = || Fault::damaged("a NumPy header", format!("\"{}\"", text.escape_ascii()));
        let text = std::str::from_utf8(text).map_err(|_| strange())?;

        let quoted = value_of(text, "descr").ok_or_else(strange)?;
        let descr = quoted.strip_prefix('\'').and_then(|rest| rest.split('\'').next()).unwrap_or("a structure");
        let (order, kind) = descr.split_at_checked(1).ok_or_else(strange)?;
        let scalar = match kind {
            "f4" => Scalar::F32,
            "f8" => Scalar::F64,
            "u1" => Scalar::U8,
            _ => {
                return Err(Fault::unsupported(
                    "an array of float32 or float64 (coordinates) or uint8 (colour)",
                    format!("an array of {}", descr.escape_debug()),
                    "convert it with .astype",
                ));
            }
        };
        let encoding = if order == ">" { Encoding::BigEndian } else { Encoding::LittleEndian };
        let fortran = match value_of(text, "fortran_order").ok_or_else(strange)? {
            value if value.starts_with("False") => false,
            value if value.starts_with("True") => true,
            _ => return Err(strange()),
        };
        let shape = value_of(text, "shape")
            .and_then(|value| value.strip_prefix('('))
            .and_then(|value| value.split_once(')'))
            .ok_or_else(strange)?
            .0
            .split(',')
            .map(str::trim)
            .filter(|number| !number.is_empty())
            .map(|number| number.parse::<u64>().map_err(|_| strange()))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { scalar, encoding, fortran, shape, data: &bytes[prefix + length..] })
    }

    fn size(&self, max_pixels: usize) -> Result<GridSize, Fault> {
        match self.shape[..] {
            [rows, cols, 3] => checked_size(rows, cols, max_pixels),
            _ => Err(Fault::unsupported(
                "an array of shape (H, W, 3)",
                format!("the shape {:?}", self.shape),
                "write the organized cloud, one point per pixel",
            )),
        }
    }

    fn points(&self, max_pixels: usize) -> Result<Grid<[f32; 3]>, Fault> {
        if !self.scalar.is_float() {
            return Err(Fault::unsupported(
                "coordinates as float32 or float64",
                "an array of uint8",
                "give the cloud, not the colours",
            ));
        }
        self.triples(max_pixels, |value| value as f32)
    }

    fn colours(&self, max_pixels: usize) -> Result<Grid<[u8; 3]>, Fault> {
        if self.scalar != Scalar::U8 {
            return Err(Fault::unsupported(
                "rgb as uint8",
                "an array of floats",
                "convert it: (255 * rgb).round().astype(numpy.uint8)",
            ));
        }
        self.triples(max_pixels, |value| value as u8)
    }

    fn triples<T: Copy + Default>(&self, max_pixels: usize, convert: impl Fn(f64) -> T) -> Result<Grid<[T; 3]>, Fault> {
        let size = self.size(max_pixels)?;
        let count = 3 * size.area();
        let mut values = Values::new(self.data, self.encoding);
        values.check_promise(count as u128, count as u128 * self.scalar.size() as u128)?;
        let mut out = Grid::filled(size, [T::default(); 3]);
        if self.fortran {
            for channel in 0..3 {
                for col in 0..size.cols {
                    for row in 0..size.rows {
                        out[(row, col)][channel] = convert(values.next(self.scalar)?);
                    }
                }
            }
        } else {
            for triple in out.as_mut_slice() {
                for value in triple {
                    *value = convert(values.next(self.scalar)?);
                }
            }
        }
        Ok(out)
    }
}

/// What follows `'key':` in a header.
fn value_of<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("'{key}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}
