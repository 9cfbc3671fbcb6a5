//! PCD 0.7 (Point Cloud Library): organized clouds, `ascii`, `binary` and `binary_compressed`, with colour in a packed
//! `rgb`/`rgba` field or in three byte fields `r`, `g`, `b`.
//!
//! Left out: `VIEWPOINT`, which says where the sensor stood and moves no point.

use shapeguard_core::grid::{Grid, GridSize};

use crate::fault::{Fault, checked_size};
use crate::lzf;
use crate::values::{Encoding, RawCloud, Scalar, Values};

/// Values of one point that no real file exceeds (PCL's largest descriptors have 640).
const MAX_VALUES_PER_POINT: usize = 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Data {
    Ascii,
    Binary,
    Compressed,
}

/// What a field means to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Axis(usize),
    Channel(usize),
    PackedColour,
    Other,
}

struct Field {
    role: Role,
    scalar: Scalar,
    count: usize,
}

struct Header {
    fields: Vec<Field>,
    width: u64,
    height: u64,
    data: Data,
}

/// Decodes a PCD file; `grid` organizes a cloud that is one row.
pub(crate) fn decode(bytes: &[u8], grid: Option<GridSize>, max_pixels: usize) -> Result<RawCloud, Fault> {
    let (header, body) = parse_header(bytes)?;
    let mut size = checked_size(header.height, header.width, max_pixels)?;
    if size.rows == 1 || size.cols == 1 {
        size = match grid {
            Some(grid) if grid.area() == size.area() => grid,
            None if size.area() == 1 => size,
            _ => return Err(Fault::Unorganized { points: size.area() as u64 }),
        };
    }
    let n = size.area();
    let stride: usize = header.fields.iter().map(|field| field.scalar.size() * field.count).sum();
    let mut points = Vec::new();
    let mut colours = Vec::new();
    let coloured = is_coloured(&header.fields);

    let unpacked;
    let mut values = match header.data {
        Data::Ascii => Values::new(body, Encoding::Ascii),
        Data::Binary => Values::new(body, Encoding::LittleEndian),
        Data::Compressed => {
            unpacked = decompress(body, n * stride)?;
            Values::new(&unpacked, Encoding::LittleEndian)
        }
    };
    let per_point: usize = header.fields.iter().map(|field| field.count).sum();
    values.check_promise(n as u128 * per_point as u128, n as u128 * stride as u128)?;
    points.resize(n, [0.0f32; 3]);
    colours.resize(if coloured { n } else { 0 }, [0u8; 3]);

    let mut read = |point: usize, field: &Field| -> Result<(), Fault> {
        for _ in 0..field.count {
            match field.role {
                Role::Axis(axis) => points[point][axis] = values.next(field.scalar)? as f32,
                Role::Channel(channel) if coloured => colours[point][channel] = values.next(field.scalar)? as u8,
                Role::PackedColour if coloured => colours[point] = values.next_packed_colour(field.scalar)?,
                _ => {
                    values.next(field.scalar)?;
                }
            }
        }
        Ok(())
    };
    if header.data == Data::Compressed {
        // Field after field.
        for field in &header.fields {
            (0..n).try_for_each(|point| read(point, field))?;
        }
    } else {
        for point in 0..n {
            header.fields.iter().try_for_each(|field| read(point, field))?;
        }
    }
    let full = |error: shapeguard_core::grid::GridSizeError| Fault::damaged("a full grid", error.to_string());
    Ok(RawCloud {
        points: Grid::new(size, points).map_err(full)?,
        colours: if coloured { Some(Grid::new(size, colours).map_err(full)?) } else { None },
    })
}

fn is_coloured(fields: &[Field]) -> bool {
    let has = |role| fields.iter().any(|field| field.role == role);
    has(Role::PackedColour) || (0..3).all(|channel| has(Role::Channel(channel)))
}

/// The two lengths and the LZF data of `binary_compressed`.
fn decompress(body: &[u8], expected: usize) -> Result<Vec<u8>, Fault> {
    let mut lengths = Values::new(body, Encoding::LittleEndian);
    let compressed = lengths.next(Scalar::U32)? as usize;
    let uncompressed = lengths.next(Scalar::U32)? as usize;
    if uncompressed != expected {
        return Err(Fault::damaged(format!("{expected} uncompressed bytes"), format!("{uncompressed}")));
    }
    let data = body.get(8..).and_then(|rest| rest.get(..compressed)).ok_or_else(|| {
        Fault::damaged(format!("{compressed} compressed bytes"), format!("{}", body.len().saturating_sub(8)))
    })?;
    lzf::decompress(data, expected)
}

fn parse_header(bytes: &[u8]) -> Result<(Header, &[u8]), Fault> {
    let mut rest = bytes;
    let (mut names, mut sizes, mut kinds, mut counts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut width, mut height, mut points) = (None, None, None);
    let data = loop {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(|| Fault::damaged("a PCD header that ends in a DATA line", "the end of the file"))?;
        let line = std::str::from_utf8(&rest[..end])
            .map_err(|_| Fault::damaged("a PCD header in text", "other bytes before its DATA line"))?;
        rest = &rest[end + 1..];
        let mut words = line.split_ascii_whitespace();
        let Some(key) = words.next().filter(|key| !key.starts_with('#')) else { continue };
        let number = |word: Option<&str>| -> Result<u64, Fault> {
            let word = word.unwrap_or("nothing");
            word.parse().map_err(|_| Fault::damaged(format!("a number after {key}"), format!("\"{word}\"")))
        };
        match key {
            "VERSION" | "VIEWPOINT" => {}
            "FIELDS" | "COLUMNS" => names = words.map(str::to_ascii_lowercase).collect(),
            "SIZE" => sizes = words.map(|word| number(Some(word))).collect::<Result<_, _>>()?,
            "TYPE" => kinds = words.map(str::to_owned).collect(),
            "COUNT" => counts = words.map(|word| number(Some(word))).collect::<Result<_, _>>()?,
            "WIDTH" => width = Some(number(words.next())?),
            "HEIGHT" => height = Some(number(words.next())?),
            "POINTS" => points = Some(number(words.next())?),
            "DATA" => match words.next() {
                Some("ascii") => break Data::Ascii,
                Some("binary") => break Data::Binary,
                Some("binary_compressed") => break Data::Compressed,
                other => {
                    return Err(Fault::damaged("DATA ascii, binary or binary_compressed", format!("{other:?}")));
                }
            },
            _ => return Err(Fault::damaged("a PCD header", format!("the line \"{}\"", line.escape_debug()))),
        }
    };
    let (Some(width), Some(height)) = (width, height) else {
        return Err(Fault::damaged("WIDTH and HEIGHT in the PCD header", "a header without them"));
    };
    if points.is_some_and(|points| Some(points) != width.checked_mul(height)) {
        return Err(Fault::damaged("POINTS = WIDTH * HEIGHT", format!("{points:?} for {width} x {height}")));
    }
    if counts.is_empty() {
        counts = vec![1; names.len()];
    }
    if sizes.len() != names.len() || kinds.len() != names.len() || counts.len() != names.len() {
        return Err(Fault::damaged("as many SIZE, TYPE and COUNT as FIELDS", "differing numbers"));
    }
    let fields = names
        .iter()
        .zip(sizes)
        .zip(kinds)
        .zip(counts)
        .map(|(((name, size), kind), count)| field(name, size, &kind, count))
        .collect::<Result<Vec<_>, _>>()?;
    let has = |role| fields.iter().any(|field: &Field| field.role == role);
    if !(0..3).all(|axis| has(Role::Axis(axis))) {
        return Err(Fault::unsupported(
            "the fields x, y and z",
            format!("the fields {}", names.join(" ")),
            "export the cloud with coordinates",
        ));
    }
    Ok((Header { fields, width, height, data }, rest))
}

fn field(name: &str, size: u64, kind: &str, count: u64) -> Result<Field, Fault> {
    let scalar = match (kind, size) {
        ("I", 1) => Scalar::I8,
        ("I", 2) => Scalar::I16,
        ("I", 4) => Scalar::I32,
        ("I", 8) => Scalar::I64,
        ("U", 1) => Scalar::U8,
        ("U", 2) => Scalar::U16,
        ("U", 4) => Scalar::U32,
        ("U", 8) => Scalar::U64,
        ("F", 4) => Scalar::F32,
        ("F", 8) => Scalar::F64,
        _ => return Err(Fault::damaged("a TYPE and SIZE that PCD knows", format!("{kind} {size} for {name}"))),
    };
    let count = usize::try_from(count).ok().filter(|count| *count <= MAX_VALUES_PER_POINT).ok_or_else(|| {
        Fault::damaged(format!("at most {MAX_VALUES_PER_POINT} values of {name}"), format!("{count}"))
    })?;
    let role = match name {
        "x" => Role::Axis(0),
        "y" => Role::Axis(1),
        "z" => Role::Axis(2),
        "rgb" | "rgba" => Role::PackedColour,
        "r" | "red" => Role::Channel(0),
        "g" | "green" => Role::Channel(1),
        "b" | "blue" => Role::Channel(2),
        _ => Role::Other,
    };
    let fits = match role {
        Role::Axis(_) => scalar.is_float() && count == 1,
        Role::PackedColour => scalar.size() == 4 && count == 1,
        Role::Channel(_) => scalar == Scalar::U8 && count == 1,
        Role::Other => true,
    };
    if !fits {
        return Err(Fault::unsupported(
            "x, y, z as floats and colour as packed 4-byte rgb or as bytes r, g, b",
            format!("{name} as {kind} of {size} bytes, {count} times"),
            "export the cloud with these fields",
        ));
    }
    Ok(Field { role, scalar, count })
}
