//! TIFF: organized clouds of three float channels (MVTec 3D-AD's `xyz`), and depth images of one channel.
//!
//! The `tiff` crate undoes strips, tiles, compression, predictors and byte order. Of planar images its plain reader gives
//! the first plane alone, without an error, and its newer one panics if they are tiled (0.11.3: the bottom row of tiles
//! is cut to the image in the first plane only). So planar tiles are read one by one, everything else by the newer reader,
//! and the length is checked all the same; `every_tiff_variant_is_read_bit_exactly` pins it.

use std::io::Cursor;

use shapeguard_core::grid::{Grid, GridSize};
use tiff::TiffError;
use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

use crate::fault::{Fault, check_expansion, checked_size};

/// `PlanarConfiguration` of an image whose channels are stored one after the other (TIFF 6.0).
const PLANAR: u16 = 2;
/// A tile may be larger than the image; this much larger, it is no tile.
const MAX_TILE_BYTES: usize = 64 << 20;

/// What a TIFF can be for us.
pub(crate) enum TiffImage {
    /// Coordinates, as they stand in the file.
    Xyz(Grid<[f32; 3]>),
    /// Depth, as it stands in the file.
    Depth(Grid<f32>),
}

/// Decodes the first image of a TIFF.
pub(crate) fn decode(bytes: &[u8], max_pixels: usize) -> Result<TiffImage, Fault> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(fault)?;
    let (cols, rows) = decoder.dimensions().map_err(fault)?;
    let size = checked_size(rows.into(), cols.into(), max_pixels)?;
    let channels: u16 = decoder.find_tag_unsigned(Tag::SamplesPerPixel).map_err(fault)?.unwrap_or(1);
    let planar = decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).map_err(fault)? == Some(PLANAR);
    if !matches!(channels, 1 | 3) || (channels == 1 && decoder.more_images()) {
        let pages = if decoder.more_images() { " and several pages" } else { "" };
        return Err(unsupported(format!("{channels} channel(s){pages}")));
    }
    let area = size.area();
    check_tile(&decoder, channels)?;
    // Eight bytes a value: the largest kind that is accepted below.
    let most_bytes = area * usize::from(channels) * 8;
    check_expansion(area as u64 * u64::from(channels), bytes.len())?;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = most_bytes.max(MAX_TILE_BYTES);
    limits.intermediate_buffer_size = most_bytes.max(limits.intermediate_buffer_size);
    let mut decoder = decoder.with_limits(limits);
    let values = if planar && channels > 1 && decoder.get_chunk_type() == ChunkType::Tile {
        read_planar_tiles(&mut decoder, size, channels)?
    } else {
        let mut result = DecodingResult::F32(Vec::new());
        decoder.read_image_to_buffer(&mut result).map_err(fault)?;
        floats(result, channels)?
    };
    let expected = area * usize::from(channels);
    if values.len() != expected {
        return Err(Fault::damaged(format!("{expected} values"), format!("{}", values.len())));
    }
    let grid = |error: shapeguard_core::grid::GridSizeError| Fault::damaged("a full grid", error.to_string());
    if channels == 1 {
        return Grid::new(size, values).map(TiffImage::Depth).map_err(grid);
    }
    let points = if planar {
        (0..area).map(|i| [values[i], values[area + i], values[2 * area + i]]).collect()
    } else {
        values.chunks_exact(3).map(|xyz| [xyz[0], xyz[1], xyz[2]]).collect()
    };
    Grid::new(size, points).map(TiffImage::Xyz).map_err(grid)
}

/// Refuses tiles so wide or high that no image has them: `tiff` allocates a tile's row without asking its limits.
fn check_tile(decoder: &Decoder<Cursor<&[u8]>>, channels: u16) -> Result<(), Fault> {
    if decoder.get_chunk_type() == ChunkType::Strip {
        return Ok(());
    }
    let (width, height) = decoder.chunk_dimensions();
    let bytes = u128::from(width) * u128::from(height) * u128::from(channels) * 8;
    if bytes > MAX_TILE_BYTES as u128 {
        return Err(Fault::damaged(
            format!("tiles of at most {MAX_TILE_BYTES} bytes"),
            format!("{width} x {height} pixels"),
        ));
    }
    Ok(())
}

/// All planes, one after the other, of an image whose planes are tiled one after the other.
fn read_planar_tiles(decoder: &mut Decoder<Cursor<&[u8]>>, size: GridSize, channels: u16) -> Result<Vec<f32>, Fault> {
    let (width, height) = decoder.chunk_dimensions();
    let (width, height) = (width as usize, height as usize);
    let (across, down) = (size.cols.div_ceil(width), size.rows.div_ceil(height));
    let mut values = vec![0.0; size.area() * usize::from(channels)];
    for (plane, plane_values) in values.chunks_exact_mut(size.area()).enumerate() {
        for tile in 0..across * down {
            let index = (plane * across * down + tile) as u32;
            let decoded = floats(decoder.read_chunk(index).map_err(fault)?, channels)?;
            let (top, left) = (tile / across * height, tile % across * width);
            let (rows, cols) = (height.min(size.rows - top), width.min(size.cols - left));
            if decoder.chunk_data_dimensions(index).0 as usize != cols || decoded.len() < rows * cols {
                return Err(Fault::damaged(format!("a tile of {rows} x {cols} values"), format!("{}", decoded.len())));
            }
            for (row, decoded_row) in decoded.chunks_exact(cols).take(rows).enumerate() {
                let start = (top + row) * size.cols + left;
                plane_values[start..start + cols].copy_from_slice(decoded_row);
            }
        }
    }
    Ok(values)
}

fn floats(result: DecodingResult, channels: u16) -> Result<Vec<f32>, Fault> {
    match (result, channels) {
        (DecodingResult::F32(values), _) => Ok(values),
        (DecodingResult::F64(values), _) => Ok(values.into_iter().map(|value| value as f32).collect()),
        (DecodingResult::U16(values), 1) => Ok(values.into_iter().map(f32::from).collect()),
        _ => Err(unsupported(format!("{channels} channel(s) of another kind of number"))),
    }
}

fn unsupported(found: String) -> Fault {
    Fault::unsupported(
        "a TIFF with x, y, z as three 32-bit float channels of one page (or depth as one channel of 16-bit or float values)",
        found,
        "export the organized cloud as a 3-channel float TIFF",
    )
}

fn fault(error: TiffError) -> Fault {
    match error {
        TiffError::UnsupportedError(error) => unsupported(error.to_string()),
        error => Fault::damaged("a sound TIFF", error.to_string()),
    }
}
