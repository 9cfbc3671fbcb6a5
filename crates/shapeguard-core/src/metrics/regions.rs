//! Connected regions of a mask, 8-connected (docs/method.md, "Metrics").

use crate::grid::{Grid, Mask};

/// The connected regions of a mask.
#[derive(Clone, Debug, PartialEq)]
pub struct Regions {
    /// 0 outside, else the number of the region, from 1 in the order of the regions' first pixels.
    pub labels: Grid<u32>,
    /// Number of pixels of each region.
    pub sizes: Vec<u32>,
}

/// Labels the 8-connected regions of a mask.
pub fn label_regions(mask: &Mask) -> Regions {
    let size = mask.size();
    let mut labels = Grid::filled(size, 0u32);
    let mut sizes = Vec::new();
    let mut open = Vec::new();
    for first in 0..size.area() {
        if !mask.as_slice()[first] || labels.as_slice()[first] != 0 {
            continue;
        }
        let label = sizes.len() as u32 + 1;
        let mut count = 0;
        labels.as_mut_slice()[first] = label;
        open.push(first);
        while let Some(pixel) = open.pop() {
            count += 1;
            let (row, col) = (pixel / size.cols, pixel % size.cols);
            for r in row.saturating_sub(1)..(row + 2).min(size.rows) {
                for c in col.saturating_sub(1)..(col + 2).min(size.cols) {
                    if mask[(r, c)] && labels[(r, c)] == 0 {
                        labels[(r, c)] = label;
                        open.push(r * size.cols + c);
                    }
                }
            }
        }
        sizes.push(count);
    }
    Regions { labels, sizes }
}
