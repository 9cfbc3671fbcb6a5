//! Pictures of an inspection: heat map, overlay on the colour image, colours for the point cloud.
//!
//! One scale for all pictures of a model: 0 is black, `reference` (what good parts reach) is the middle, twice the
//! reference and beyond is the brightest. So pictures of different scans can be compared by eye.

use shapeguard_core::grid::{Grid, Mask, RgbImage, ScoreMap};

/// Share of the heat colour in an overlay where the score is at its brightest.
const OVERLAY_STRENGTH: f32 = 0.85;

/// Where a score lies on the pictures' scale, `0.0..=1.0`.
fn level(score: f32, reference: f32) -> f32 {
    if reference > 0.0 { (score / (2.0 * reference)).clamp(0.0, 1.0) } else { 0.0 }
}

/// The heat colour of a level: `inferno`, readable in grey and by colour-blind eyes.
pub(crate) fn heat_colour(level: f32) -> [u8; 3] {
    let colour = colorous::INFERNO.eval_continuous(f64::from(level));
    [colour.r, colour.g, colour.b]
}

/// The score map as colours.
pub fn heat_map(map: &ScoreMap, reference: f32) -> RgbImage {
    map.map(|score| heat_colour(level(*score, reference)))
}

/// The scan's colour image with the score map (of the same size) over it; only scores near what good parts reach and
/// above cover the image.
///
/// # Panics
/// If the sizes differ: a bug of the caller.
pub fn overlay(rgb: &RgbImage, map: &ScoreMap, reference: f32) -> RgbImage {
    assert_eq!(rgb.size(), map.size());
    let blended = rgb.as_slice().iter().zip(map.as_slice()).map(|(pixel, score)| {
        let level = level(*score, reference);
        // Nothing below half the reference, everything from the reference on.
        let cover = ((level - 0.25) / 0.25).clamp(0.0, 1.0) * OVERLAY_STRENGTH;
        let heat = heat_colour(level);
        std::array::from_fn(|c| (f32::from(pixel[c]) * (1.0 - cover) + f32::from(heat[c]) * cover).round() as u8)
    });
    let pixels = blended.collect();
    Grid::new(rgb.size(), pixels).unwrap_or_else(|_| rgb.clone())
}

/// The outline of a mask (of the same size) drawn into an image, two pixels wide.
///
/// # Panics
/// If the sizes differ: a bug of the caller.
pub fn outline(mut image: RgbImage, mask: &Mask, colour: [u8; 3]) -> RgbImage {
    let size = image.size();
    assert_eq!(mask.size(), size);
    for row in 0..size.rows {
        for col in 0..size.cols {
            let near_outside = (row.saturating_sub(1)..=(row + 1).min(size.rows - 1))
                .any(|r| (col.saturating_sub(1)..=(col + 1).min(size.cols - 1)).any(|c| !mask[(r, c)]));
            let near_inside = (row.saturating_sub(1)..=(row + 1).min(size.rows - 1))
                .any(|r| (col.saturating_sub(1)..=(col + 1).min(size.cols - 1)).any(|c| mask[(r, c)]));
            if near_inside && near_outside {
                image[(row, col)] = colour;
            }
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use shapeguard_core::grid::GridSize;

    #[test]
    fn scores_of_good_parts_leave_the_image_readable_and_high_scores_cover_it() {
        let size = GridSize::new(1, 3);
        let rgb = Grid::filled(size, [100, 150, 200]);
        let map = Grid::new(size, vec![0.4, 1.0, 5.0]).unwrap();
        let picture = overlay(&rgb, &map, 1.0);
        assert_eq!(picture.as_slice()[0], [100, 150, 200]);
        assert_ne!(picture.as_slice()[1], [100, 150, 200]);
        assert!(picture.as_slice()[2][0] > 200, "{:?}", picture.as_slice()[2]);
    }

    #[test]
    fn a_model_without_scale_paints_nothing() {
        let map = Grid::filled(GridSize::new(1, 1), 3.0);
        assert_eq!(heat_map(&map, 0.0).as_slice()[0], heat_colour(0.0));
    }

    #[test]
    fn what_is_no_number_is_painted_without_a_fault() {
        let map = Grid::new(GridSize::new(1, 3), vec![f32::NAN, f32::INFINITY, -1.0]).unwrap();
        let painted = heat_map(&map, 1.0);
        assert_eq!(painted.as_slice()[1], heat_colour(1.0));
        assert_eq!(painted.as_slice()[2], heat_colour(0.0));
        let rgb = Grid::filled(map.size(), [1, 2, 3]);
        assert_eq!(overlay(&rgb, &map, 1.0).as_slice()[2], [1, 2, 3]);
    }

    #[test]
    fn an_outline_follows_the_mask_and_not_its_inside() {
        let size = GridSize::new(7, 7);
        let mask = Grid::from_fn(size, |r, c| (1..6).contains(&r) && (1..6).contains(&c));
        let drawn = outline(Grid::filled(size, [0; 3]), &mask, [255, 0, 0]);
        assert_eq!(drawn[(1, 1)], [255, 0, 0]);
        assert_eq!(drawn[(3, 3)], [0; 3]);
    }
}
