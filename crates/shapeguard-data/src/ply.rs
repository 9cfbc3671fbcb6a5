//! PLY: `ascii`, `binary_little_endian` and `binary_big_endian`, vertices with x, y, z and, as bytes, red, green, blue.
//!
//! PLY knows no rows and columns. They come, in this order, from a `range_grid` element (Stanford's range scans: for each
//! pixel the list of its vertex, or an empty list), from header lines (`obj_info num_cols 7`, `comment width 7`), or
//! from the caller.

use shapeguard_core::grid::{Grid, GridSize};

use crate::fault::{Fault, checked_size};
use crate::values::{Encoding, RawCloud, Scalar, Values};

enum Property {
    Single { name: String, scalar: Scalar },
    List { length: Scalar, item: Scalar },
}

struct Element {
    name: String,
    count: u64,
    properties: Vec<Property>,
}

struct Header {
    encoding: Encoding,
    elements: Vec<Element>,
    rows: Option<u64>,
    cols: Option<u64>,
}

/// The vertices, unorganized.
struct Vertices {
    points: Vec<[f32; 3]>,
    colours: Option<Vec<[u8; 3]>>,
}

/// Decodes a PLY file; `grid` is used where the file does not tell its rows and columns.
pub(crate) fn decode(bytes: &[u8], grid: Option<GridSize>, max_pixels: usize) -> Result<RawCloud, Fault> {
    let (header, body) = parse_header(bytes)?;
    let mut values = Values::new(body, header.encoding);
    let mut vertices = None;
    let mut pixels = None;
    let vertex_count = header
        .elements
        .iter()
        .find(|e| e.name == "vertex")
        .map(|e| e.count)
        .ok_or_else(|| Fault::unsupported("an element \"vertex\"", "none", "export the scan as a point cloud"))?;
    let told = match (header.rows, header.cols) {
        (Some(rows), Some(cols)) => Some(checked_size(rows, cols, max_pixels)?),
        _ => grid,
    };
    let size = told.ok_or(Fault::Unorganized { points: vertex_count })?;
    let ranged = header.elements.iter().any(|element| element.name == "range_grid");
    for element in &header.elements {
        match element.name.as_str() {
            "vertex" => {
                if element.count > max_pixels as u64 {
                    return Err(Fault::TooLarge { rows: 1, cols: element.count, max_pixels });
                }
                vertices = Some(read_vertices(&mut values, element)?);
            }
            "range_grid" => pixels = Some(read_range_grid(&mut values, element, size)?),
            _ => skip(&mut values, element)?,
        }
        if vertices.is_some() && (!ranged || pixels.is_some()) {
            break;
        }
    }
    let vertices = vertices.ok_or_else(|| Fault::damaged("vertices", "none"))?;
    let Some(pixels) = pixels else {
        if vertices.points.len() != size.area() {
            return Err(Fault::unsupported(
                format!("{} vertices for a grid of {size}", size.area()),
                format!("{} vertices", vertices.points.len()),
                "export every pixel (absent ones as NaN or 0 0 0), or correct --grid ROWSxCOLS",
            ));
        }
        return organized(size, vertices.points, vertices.colours);
    };
    let mut points = vec![[0.0; 3]; size.area()];
    let mut colours = vertices.colours.as_ref().map(|_| vec![[0; 3]; size.area()]);
    for (pixel, vertex) in pixels.into_iter().enumerate() {
        let Some(vertex) = vertex else { continue };
        points[pixel] = *vertices.points.get(vertex).ok_or_else(|| {
            Fault::damaged(format!("vertices below {}", vertices.points.len()), format!("vertex {vertex} in the grid"))
        })?;
        if let (Some(colours), Some(of_vertices)) = (&mut colours, &vertices.colours) {
            colours[pixel] = of_vertices[vertex];
        }
    }
    organized(size, points, colours)
}

fn organized(size: GridSize, points: Vec<[f32; 3]>, colours: Option<Vec<[u8; 3]>>) -> Result<RawCloud, Fault> {
    let full = |error: shapeguard_core::grid::GridSizeError| Fault::damaged("a full grid", error.to_string());
    Ok(RawCloud {
        points: Grid::new(size, points).map_err(full)?,
        colours: colours.map(|colours| Grid::new(size, colours)).transpose().map_err(full)?,
    })
}

fn read_vertices(values: &mut Values, element: &Element) -> Result<Vertices, Fault> {
    let mut kinds = Vec::new();
    for property in &element.properties {
        match property {
            Property::Single { name, scalar } => kinds.push((name.as_str(), *scalar)),
            Property::List { .. } => {
                return Err(Fault::unsupported(
                    "vertices of single numbers",
                    "a list property of vertices",
                    "export the cloud without it",
                ));
            }
        }
    }
    let place = |names: &[&str]| kinds.iter().position(|(name, _)| names.contains(name));
    let axes = [place(&["x"]), place(&["y"]), place(&["z"])];
    let [Some(x), Some(y), Some(z)] = axes else {
        return Err(Fault::unsupported(
            "vertices with x, y and z",
            "none of them",
            "export the cloud with coordinates",
        ));
    };
    let channels = [
        place(&["red", "r", "diffuse_red"]),
        place(&["green", "g", "diffuse_green"]),
        place(&["blue", "b", "diffuse_blue"]),
    ];
    let colour = if let [Some(red), Some(green), Some(blue)] = channels { Some([red, green, blue]) } else { None };
    if let Some(channels) = colour
        && channels.iter().any(|place| kinds[*place].1 != Scalar::U8)
    {
        return Err(Fault::unsupported(
            "colour as uchar",
            "colour as another kind of number",
            "export the colours as 8-bit values",
        ));
    }
    let bytes: usize = kinds.iter().map(|(_, scalar)| scalar.size()).sum();
    let count = u128::from(element.count);
    values.check_promise(count * kinds.len() as u128, count * bytes as u128)?;
    let n = element.count as usize;
    let mut points = Vec::with_capacity(n);
    let mut colours = colour.map(|_| Vec::with_capacity(n));
    let mut row = vec![0.0; kinds.len()];
    for _ in 0..n {
        for (value, (_, scalar)) in row.iter_mut().zip(&kinds) {
            *value = values.next(*scalar)?;
        }
        points.push([x, y, z].map(|place| row[place] as f32));
        if let (Some(colours), Some(channels)) = (&mut colours, colour) {
            colours.push(channels.map(|place| row[place] as u8));
        }
    }
    Ok(Vertices { points, colours })
}

/// The vertex of each pixel.
fn read_range_grid(values: &mut Values, element: &Element, size: GridSize) -> Result<Vec<Option<usize>>, Fault> {
    let [Property::List { length, item }] = element.properties[..] else {
        return Err(Fault::damaged("a range_grid of one list property", "other properties"));
    };
    if element.count != size.area() as u64 {
        return Err(Fault::damaged(format!("a range_grid of {size}"), format!("{} entries", element.count)));
    }
    values.check_promise(element.count.into(), u128::from(element.count) * length.size() as u128)?;
    let mut pixels = Vec::with_capacity(size.area());
    for _ in 0..size.area() {
        pixels.push(match list_length(values, length)? {
            0 => None,
            1 => Some(values.next(item)?).filter(|vertex| *vertex >= 0.0).map(|vertex| vertex as usize),
            n => return Err(Fault::damaged("at most one vertex per pixel", format!("{n}"))),
        });
    }
    Ok(pixels)
}

fn list_length(values: &mut Values, scalar: Scalar) -> Result<u64, Fault> {
    let length = values.next(scalar)?;
    if length < 0.0 || length.fract() != 0.0 {
        return Err(Fault::damaged("the length of a list", format!("{length}")));
    }
    Ok(length as u64)
}

fn skip(values: &mut Values, element: &Element) -> Result<(), Fault> {
    if element.properties.is_empty() {
        return Ok(());
    }
    for _ in 0..element.count {
        for property in &element.properties {
            match property {
                Property::Single { scalar, .. } => {
                    values.next(*scalar)?;
                }
                Property::List { length, item } => {
                    for _ in 0..list_length(values, *length)? {
                        values.next(*item)?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn parse_header(bytes: &[u8]) -> Result<(Header, &[u8]), Fault> {
    let mut rest = bytes;
    let mut encoding = None;
    let mut elements: Vec<Element> = Vec::new();
    let (mut rows, mut cols) = (None, None);
    loop {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(|| Fault::damaged("a PLY header that ends in end_header", "the end of the file"))?;
        let line = std::str::from_utf8(&rest[..end])
            .map_err(|_| Fault::damaged("a PLY header in text", "other bytes before end_header"))?;
        rest = &rest[end + 1..];
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let strange = || Fault::damaged("a PLY header", format!("the line \"{}\"", line.escape_debug()));
        match words[..] {
            [] | ["ply"] => {}
            ["format", "ascii", _] => encoding = Some(Encoding::Ascii),
            ["format", "binary_little_endian", _] => encoding = Some(Encoding::LittleEndian),
            ["format", "binary_big_endian", _] => encoding = Some(Encoding::BigEndian),
            ["comment" | "obj_info", "num_rows" | "height" | "rows", n] => rows = n.parse().ok(),
            ["comment" | "obj_info", "num_cols" | "width" | "cols", n] => cols = n.parse().ok(),
            ["comment" | "obj_info", ..] => {}
            ["element", name, count] => elements.push(Element {
                name: name.to_owned(),
                count: count.parse().map_err(|_| strange())?,
                properties: Vec::new(),
            }),
            ["property", "list", length, item, _] => {
                let (length, item) = (scalar(length).ok_or_else(strange)?, scalar(item).ok_or_else(strange)?);
                elements.last_mut().ok_or_else(strange)?.properties.push(Property::List { length, item });
            }
            ["property", kind, name] => {
                let (name, scalar) = (name.to_owned(), scalar(kind).ok_or_else(strange)?);
                elements.last_mut().ok_or_else(strange)?.properties.push(Property::Single { name, scalar });
            }
            ["end_header"] => break,
            _ => return Err(strange()),
        }
    }
    let encoding = encoding.ok_or_else(|| Fault::damaged("a format line in the PLY header", "none"))?;
    Ok((Header { encoding, elements, rows, cols }, rest))
}

fn scalar(kind: &str) -> Option<Scalar> {
    Some(match kind {
        "char" | "int8" => Scalar::I8,
        "uchar" | "uint8" => Scalar::U8,
        "short" | "int16" => Scalar::I16,
        "ushort" | "uint16" => Scalar::U16,
        "int" | "int32" => Scalar::I32,
        "uint" | "uint32" => Scalar::U32,
        "float" | "float32" => Scalar::F32,
        "double" | "float64" => Scalar::F64,
        _ => return None,
    })
}
