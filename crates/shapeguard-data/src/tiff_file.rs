//! TIFF: organized clouds of three float channels (MVTec 3D-AD's `xyz`), and depth images of one channel.
//!
//! The `tiff` crate undoes strips, tiles, compression, predictors and byte order. Of planar images its plain reader gives
//! the first plane alone, without an error; the reader used here gives all, and the length is checked all the same.

use std::io::Cursor;

use shapeguard_core::grid::Grid;
use tiff::TiffError;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

use crate::fault::{Fault, check_expansion, checked_size};

/// `PlanarConfiguration` of an image whose channels are stored one after the other (TIFF 6.0).
const PLANAR: u16 = 2;

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
    // Eight bytes a value: the largest kind that is accepted below.
    let most_bytes = area * usize::from(channels) * 8;
    check_expansion(area as u64 * u64::from(channels), bytes.len())?;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = most_bytes;
    limits.intermediate_buffer_size = most_bytes.max(limits.intermediate_buffer_size);
    let mut decoder = decoder.with_limits(limits);
    let mut result = DecodingResult::F32(Vec::new());
    decoder.read_image_to_buffer(&mut result).map_err(fault)?;

    let values: Vec<f32> = match (result, channels) {
        (DecodingResult::F32(values), _) => values,
        (DecodingResult::F64(values), _) => values.into_iter().map(|value| value as f32).collect(),
        (DecodingResult::U16(values), 1) => values.into_iter().map(f32::from).collect(),
        _ => return Err(unsupported(format!("{channels} channel(s) of another kind of number"))),
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
