//! Colour images, masks and depth images.
//!
//! A mask's values are taken as they stand in the file, palette indices included, since every value > 0 is defect
//! (docs/method.md, "Samples"). Colour is never reduced silently: 16-bit channels and see-through pixels are refused.

use std::io::Cursor;

use png::{BitDepth, ColorType, Transformations};
use shapeguard_core::grid::{Grid, GridSize, GridSizeError, Mask, RgbImage};

use crate::fault::{Fault, check_expansion, checked_size};
use crate::file::Format;
use crate::scan_file::TruthRule;

/// What the last bytes of a whole JPEG hold: its end-of-image marker. Decoders fill what is missing with grey.
const JPEG_END: [u8; 2] = [0xff, 0xd9];
/// Bytes after a JPEG's end that some cameras append.
const JPEG_TAIL: usize = 4096;

/// Decodes a colour image: PNG, JPEG or BMP, 8 bits a channel; grey becomes colour.
pub(crate) fn decode_colour(bytes: &[u8], max_pixels: usize) -> Result<RgbImage, Fault> {
    match Format::detect(bytes)? {
        Format::Png => decode_colour_png(bytes, max_pixels),
        Format::Jpeg if !bytes[bytes.len().saturating_sub(JPEG_TAIL)..].windows(2).any(|pair| pair == JPEG_END) => {
            Err(Fault::damaged("the end of the JPEG image", "the end of the file"))
        }
        Format::Jpeg => decode_other(bytes, image::ImageFormat::Jpeg, max_pixels),
        Format::Bmp => decode_other(bytes, image::ImageFormat::Bmp, max_pixels),
        other => Err(Fault::unsupported(
            "a colour image (PNG, JPEG or BMP)",
            other.name(),
            "give the colour image of the scan",
        )),
    }
}

/// Decodes a mask: where the rule takes a value of a channel. A PNG of grey, colour or indices; alpha is not looked at.
pub(crate) fn decode_mask(bytes: &[u8], max_pixels: usize, rule: TruthRule) -> Result<Mask, Fault> {
    let png = Png::decode(bytes, "a mask as a PNG image", Transformations::IDENTITY, max_pixels)?;
    let colour_channels = match png.colour {
        ColorType::Rgb | ColorType::Rgba => 3,
        ColorType::Grayscale | ColorType::GrayscaleAlpha | ColorType::Indexed => 1,
    };
    let white = (1u32 << png.depth as u8) - 1;
    let is_set = |value: u16| match rule {
        TruthRule::AboveZero => value > 0,
        TruthRule::AboveHalf => 2 * u32::from(value) > white,
    };
    Ok(Grid::from_fn(png.size, |row, col| (0..colour_channels).any(|channel| is_set(png.value(row, col, channel)))))
}

/// Decodes a depth image: 16-bit grey PNG, values as they stand in the file.
pub(crate) fn decode_depth(bytes: &[u8], max_pixels: usize) -> Result<Grid<f32>, Fault> {
    let png = Png::decode(bytes, "a depth image as a PNG", Transformations::IDENTITY, max_pixels)?;
    if png.depth != BitDepth::Sixteen || png.colour != ColorType::Grayscale {
        return Err(Fault::unsupported(
            "a cloud, or depth as a 16-bit grey PNG",
            format!("a PNG of {:?}, {} bits", png.colour, png.depth as u8),
            "give the cloud (xyz) or the depth image here; the colour image is found beside it or given on its own",
        ));
    }
    Ok(Grid::from_fn(png.size, |row, col| png.value(row, col, 0) as f32))
}

/// An image as the bytes of a PNG.
///
/// # Errors
/// If it has no pixels.
pub fn encode_rgb_png(image: &RgbImage) -> Result<Vec<u8>, crate::DataError> {
    let bytes: Vec<u8> = image.as_slice().as_flattened().to_vec();
    encode(image.size(), ColorType::Rgb, &bytes)
}

/// A mask as the bytes of a grey PNG, 255 where it is set.
///
/// # Errors
/// If it has no pixels.
pub fn encode_mask_png(mask: &Mask) -> Result<Vec<u8>, crate::DataError> {
    let bytes: Vec<u8> = mask.as_slice().iter().map(|set| if *set { 255 } else { 0 }).collect();
    encode(mask.size(), ColorType::Grayscale, &bytes)
}

fn encode(size: GridSize, colour: ColorType, data: &[u8]) -> Result<Vec<u8>, crate::DataError> {
    let mut out = Vec::new();
    let encoded = (|| {
        let mut encoder = png::Encoder::new(&mut out, size.cols as u32, size.rows as u32);
        encoder.set_color(colour);
        encoder.set_depth(BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(data)?;
        writer.finish()
    })();
    encoded.map_err(|error| {
        Fault::unsupported("an image with pixels", format!("{size}: {error}"), "this is an error of the program")
            .at("image to be written".as_ref())
    })?;
    Ok(out)
}

fn decode_colour_png(bytes: &[u8], max_pixels: usize) -> Result<RgbImage, Fault> {
    let png = Png::decode(bytes, "a colour image", Transformations::EXPAND, max_pixels)?;
    if png.depth != BitDepth::Eight {
        return Err(Fault::unsupported(
            "a colour image of 8 bits a channel",
            format!("{} bits a channel", png.depth as u8),
            "convert it to 8 bits; a depth image is given as the cloud",
        ));
    }
    let alpha = match png.colour {
        ColorType::Rgba => Some(3),
        ColorType::GrayscaleAlpha => Some(1),
        _ => None,
    };
    if let Some(alpha) = alpha
        && png.data.iter().skip(alpha).step_by(alpha + 1).any(|value| *value != u8::MAX)
    {
        return Err(Fault::unsupported(
            "a colour image that is opaque everywhere",
            "see-through pixels (an alpha channel)",
            "export it without alpha",
        ));
    }
    let channels = png.colour.samples();
    let step = if channels < 3 { 0 } else { 1 };
    let pixels = png.data.chunks_exact(channels).map(|p| [p[0], p[step], p[2 * step]]).collect();
    Grid::new(png.size, pixels).map_err(full)
}

fn full(error: GridSizeError) -> Fault {
    Fault::damaged("a full image", error.to_string())
}

/// A decoded PNG.
struct Png {
    size: GridSize,
    colour: ColorType,
    depth: BitDepth,
    row_bytes: usize,
    data: Vec<u8>,
}

impl Png {
    fn decode(
        bytes: &[u8],
        expected: &str,
        transformations: Transformations,
        max_pixels: usize,
    ) -> Result<Self, Fault> {
        let format = Format::detect(bytes)?;
        if format != Format::Png {
            return Err(Fault::unsupported(expected, format.name(), "convert it to PNG"));
        }
        let damaged = |error: png::DecodingError| Fault::damaged("a sound PNG image", error.to_string());
        let mut decoder = png::Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(transformations);
        let info = decoder.read_header_info().map_err(damaged)?;
        let size = checked_size(info.height.into(), info.width.into(), max_pixels)?;
        check_expansion(info.raw_bytes() as u64, bytes.len())?;
        let mut reader = decoder.read_info().map_err(damaged)?;
        let length = reader.output_buffer_size().ok_or_else(|| Fault::damaged("an image", "too many bytes"))?;
        let mut data = vec![0; length];
        let output = reader.next_frame(&mut data).map_err(damaged)?;
        if (output.width as usize, output.height as usize) != (size.cols, size.rows) {
            return Err(Fault::damaged(size.to_string(), "a frame of another size"));
        }
        data.truncate(output.buffer_size());
        Ok(Self { size, colour: output.color_type, depth: output.bit_depth, row_bytes: output.line_size, data })
    }

    /// A value as it stands in the file.
    fn value(&self, row: usize, col: usize, channel: usize) -> u16 {
        let bits = self.depth as usize;
        let row = &self.data[row * self.row_bytes..];
        let index = col * self.colour.samples() + channel;
        match self.depth {
            BitDepth::Eight => row[index].into(),
            BitDepth::Sixteen => u16::from_be_bytes([row[2 * index], row[2 * index + 1]]),
            _ => {
                // Several values in a byte, the first in the highest bits.
                let bit = index * bits;
                let shift = 8 - bits - bit % 8;
                (u16::from(row[bit / 8]) >> shift) & ((1 << bits) - 1)
            }
        }
    }
}

fn decode_other(bytes: &[u8], format: image::ImageFormat, max_pixels: usize) -> Result<RgbImage, Fault> {
    let damaged = |error: image::ImageError| Fault::damaged("a sound colour image", error.to_string());
    let (cols, rows) =
        image::ImageReader::with_format(Cursor::new(bytes), format).into_dimensions().map_err(damaged)?;
    let size = checked_size(rows.into(), cols.into(), max_pixels)?;
    check_expansion(size.area() as u64, bytes.len())?;
    let image = image::ImageReader::with_format(Cursor::new(bytes), format).decode().map_err(damaged)?;
    let pixels = match image {
        image::DynamicImage::ImageRgb8(image) => image.pixels().map(|pixel| pixel.0).collect(),
        image::DynamicImage::ImageLuma8(image) => image.pixels().map(|pixel| [pixel.0[0]; 3]).collect(),
        other => {
            return Err(Fault::unsupported(
                "a colour image of 8 bits a channel without alpha",
                format!("{:?}", other.color()),
                "convert it to an RGB PNG",
            ));
        }
    };
    Grid::new(size, pixels).map_err(full)
}
