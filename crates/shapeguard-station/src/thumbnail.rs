//! A small picture of a part for lists, its anomalies over it.

use shapeguard::pictures::overlay;
use shapeguard_core::grid::{Grid, GridSize, RgbImage, ScoreMap};
use shapeguard_core::resample::MapFrame;
use shapeguard_data::encode_rgb_png;

/// Longest side, pixels: sharp at the size of a row on screens of double density.
const LONGEST_SIDE_PX: usize = 192;

/// The fused map and where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Heat<'a> {
    /// The map.
    pub map: &'a ScoreMap,
    /// Where it lies on the scan.
    pub frame: MapFrame,
    /// What good parts reach.
    pub good_peak: f32,
}

/// The picture as PNG, in the proportions of the image; `None` if it cannot be encoded.
pub fn thumbnail(rgb: &RgbImage, heat: Option<Heat<'_>>) -> Option<Vec<u8>> {
    let size = rgb.size();
    let step = size.rows.max(size.cols).div_ceil(LONGEST_SIDE_PX).max(1);
    let small = GridSize::new((size.rows / step).max(1), (size.cols / step).max(1));
    let image = Grid::from_fn(small, |row, col| mean(rgb, row * step, col * step, step));
    let image = match heat {
        None => image,
        Some(Heat { map, frame, good_peak }) => {
            let on_map = |pixel: usize, offset: usize| {
                ((pixel * step + step / 2 + offset) * frame.side / frame.square_side).min(frame.side - 1)
            };
            let scores =
                Grid::from_fn(small, |row, col| map[(on_map(row, frame.offset.0), on_map(col, frame.offset.1))]);
            overlay(&image, &scores, good_peak)
        }
    };
    encode_rgb_png(&image).ok()
}

/// Mean colour of a square, as far as it lies in the image.
fn mean(rgb: &RgbImage, top: usize, left: usize, side: usize) -> [u8; 3] {
    let size = rgb.size();
    let (mut sums, mut count) = ([0u32; 3], 0);
    for row in top..(top + side).min(size.rows) {
        for pixel in &rgb.row(row)[left..(left + side).min(size.cols)] {
            count += 1;
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += u32::from(*value);
            }
        }
    }
    sums.map(|sum| (sum / count.max(1)) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shapeguard_data::{NamedBytes, decode_rgb};
    use std::path::Path;

    fn decode(png: &[u8]) -> RgbImage {
        decode_rgb(NamedBytes { name: Path::new("thumbnail"), bytes: png }, 1 << 20).unwrap()
    }

    #[test]
    fn it_is_small_has_the_images_proportions_and_shows_where() {
        let size = GridSize::new(400, 800);
        let rgb = Grid::filled(size, [100, 120, 140]);
        let plain = decode(&thumbnail(&rgb, None).unwrap());
        assert_eq!((plain.size(), plain[(3, 3)]), (GridSize::new(80, 160), [100, 120, 140]));
        // The scan lies in the middle rows of its square; the map is hot where the scan's right end is.
        let map = Grid::from_fn(GridSize::new(100, 100), |row, col| if row < 50 && col > 80 { 9.0 } else { 0.0 });
        let frame = MapFrame { side: 100, square_side: 800, source_size: size, offset: (200, 0) };
        let hot = decode(&thumbnail(&rgb, Some(Heat { map: &map, frame, good_peak: 1.0 })).unwrap());
        assert_ne!(hot[(10, 150)], [100, 120, 140]);
        assert_eq!((hot[(70, 150)], hot[(10, 10)]), ([100, 120, 140], [100, 120, 140]));
        let tiny = decode(&thumbnail(&Grid::filled(GridSize::new(1, 900), [1; 3]), None).unwrap());
        assert_eq!(tiny.size(), GridSize::new(1, 180));
    }
}
