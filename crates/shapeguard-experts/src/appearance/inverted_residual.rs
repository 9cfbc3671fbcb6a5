//! A dense convolution, a depthwise one and a pointwise one, evaluated row by row.
//!
//! The first convolution makes many channels that the depthwise one needs only a few rows of at a time. So only these
//! rows are kept, in a ring as high as the depthwise kernel, and the wide map, the largest of the network by far, never
//! leaves the cache.

use rayon::prelude::*;

use super::convolution::{Convolution, Source, Target};
use super::depthwise::Depthwise;
use super::map::{Buffer, FeatureMap, LANES, Margin};
use crate::simd::Simd;

/// Tasks of one block. Each task computes the rows that its neighbours share again, so few are better; four
/// occupy the cores that an industrial PC has.
const BANDS: usize = 4;

/// An inverted residual block of MobileNetV2's kind; the network's stem with the block after it has the same form.
pub(super) struct InvertedResidual {
    /// Expansion, or the stem.
    first: Convolution,
    depthwise: Depthwise,
    project: Convolution,
    /// Whether the input is added to the output.
    has_shortcut: bool,
}

impl InvertedResidual {
    /// Puts the three convolutions together.
    ///
    /// # Panics
    /// If their channels do not fit: a bug of the caller.
    pub(super) fn new(first: Convolution, depthwise: Depthwise, project: Convolution, has_shortcut: bool) -> Self {
        assert_eq!(first.outputs(), depthwise.channels());
        Self { first, depthwise, project, has_shortcut }
    }

    /// The block's output, without margins.
    pub(super) fn apply(&self, simd: Simd, input: &FeatureMap) -> FeatureMap {
        let wide_side = self.first.geometry().output_side(input.side());
        let side = self.depthwise.geometry().output_side(wide_side);
        let mut output = FeatureMap::zeros(side, self.project.outputs(), Margin::NONE);
        let row_stride = output.row_stride();
        let band = side.div_ceil(BANDS);
        output.rows_mut().par_chunks_mut(band * row_stride).enumerate().for_each(|(index, rows)| {
            self.apply_band(simd, input, wide_side, index * band, rows, row_stride);
        });
        output
    }

    fn apply_band(
        &self,
        simd: Simd,
        input: &FeatureMap,
        wide_side: usize,
        first_row: usize,
        out: &mut [f32],
        out_row_stride: usize,
    ) {
        let geometry = self.depthwise.geometry();
        let side = geometry.output_side(wide_side);
        let blocks = self.depthwise.channels().div_ceil(LANES);
        let padded_block = (wide_side + geometry.padding.total()) * LANES;
        let ring_row = blocks * padded_block;
        let left = geometry.padding.before * LANES;
        // Rows are counted from the first row of padding on; row `r` lies in slot `r % kernel`. The left and right margins
        // are never written and stay zero.
        let mut ring = Buffer::zeros(geometry.kernel * ring_row);
        let mut next = first_row * geometry.stride;
        let mut depthwise_row = Buffer::zeros(blocks * side * LANES);
        for (i, out) in out.chunks_exact_mut(out_row_stride).enumerate() {
            let row = first_row + i;
            let top = row * geometry.stride;
            while next < top + geometry.kernel {
                let slot = &mut ring.as_mut_slice()[next % geometry.kernel * ring_row..][..ring_row];
                match next.checked_sub(geometry.padding.before).filter(|wide_row| *wide_row < wide_side) {
                    Some(wide_row) => {
                        let values = &mut slot[left..];
                        let target = Target { values, row_step: 0, block_step: padded_block, rows: 1, cols: wide_side };
                        self.first.forward(simd, self.first.source(input, wide_row), None, target);
                    }
                    None => slot.fill(0.0),
                }
                next += 1;
            }
            let ring = ring.as_slice();
            let pixels = &mut depthwise_row.as_mut_slice()[..blocks * side * LANES];
            self.depthwise.forward(simd, |r| &ring[(top + r) % geometry.kernel * ring_row..][..ring_row], pixels);
            let shortcut = self.has_shortcut.then(|| self.project.shortcut(input, row));
            let target = Target { values: out, row_step: 0, block_step: side * LANES, rows: 1, cols: side };
            self.project.forward(simd, Source::row(pixels, side * LANES), shortcut, target);
        }
    }
}
