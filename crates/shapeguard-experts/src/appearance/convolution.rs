//! Dense convolution as an implicit matrix product, fused with what follows it (addition of a shortcut, ReLU).
//!
//! Nearly all of the appearance expert's time is spent here. A map keeps blocks of channels together, so that the inputs of
//! one kernel row are contiguous within a block and a convolution is a matrix product whose rows are read where they
//! lie: nothing is copied into columns. The weights are packed once into panels of one cache line of outputs; a
//! tile of pixels times two panels is accumulated in registers. Each output is one chain of multiply-adds in the order
//! block, kernel row, kernel column, channel, whatever the tile: results do not depend on how rows are grouped, and
//! therefore not on the number of threads.

#[cfg(target_arch = "x86_64")]
mod x86;

use rayon::prelude::*;

use super::map::{FeatureMap, IMAGE_CHANNELS, LANES, Line, Margin, flat};
use crate::simd::{PORTABLE_FUSED, Simd, multiply_add};

/// Tasks of one convolution: 14 divides the sides 112, 56 and 28 of all maps.
const BANDS: usize = 14;

/// Panels that are evaluated together where there are enough.
const PANEL_PAIR: usize = 2;

/// The range that outputs are clamped to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Clamp {
    low: f32,
    high: f32,
}

impl Clamp {
    pub(super) const NONE: Self = Self { low: f32::NEG_INFINITY, high: f32::INFINITY };
    pub(super) const RELU: Self = Self { low: 0.0, high: f32::INFINITY };
    pub(super) const RELU6: Self = Self { low: 0.0, high: 6.0 };

    pub(super) const fn of([low, high]: [f32; 2]) -> Self {
        Self { low, high }
    }

    pub(super) const fn range(self) -> [f32; 2] {
        [self.low, self.high]
    }

    #[inline(always)]
    pub(super) fn apply(self, value: f32) -> f32 {
        value.max(self.low).min(self.high)
    }
}

/// Weights and biases of a convolution as a file has them, batch norm folded in.
pub(super) struct FoldedWeights {
    /// `[outputs, inputs, kernel, kernel]`; `inputs` is 1 for a depthwise convolution.
    pub(super) weight: Vec<f32>,
    /// `[outputs]`.
    pub(super) bias: Vec<f32>,
}

/// How a convolution's window moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Side of the square kernel.
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: Margin,
}

impl Geometry {
    pub(super) const POINTWISE: Self = Self { kernel: 1, stride: 1, padding: Margin::NONE };

    /// Side of the output for an input of `side` pixels.
    pub(super) const fn output_side(self, side: usize) -> usize {
        (side + self.padding.total() - self.kernel) / self.stride + 1
    }
}

/// A dense convolution with packed weights.
pub(super) struct Convolution {
    inputs: usize,
    /// Channels of a block of inputs.
    lanes: usize,
    outputs: usize,
    geometry: Geometry,
    depth: Depth,
    clamp: Clamp,
    /// Panel after panel; each holds a line of outputs for each block of inputs, kernel row, kernel column and input.
    panels: Vec<Line>,
    /// One line a panel.
    bias: Vec<Line>,
}

/// What a convolution reads.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// From the first input of the first output pixel on.
    values: &'a [f32],
    /// Distance between the inputs of two output rows.
    row_step: usize,
    /// Distance between the inputs of two output pixels.
    pixel_step: usize,
    /// Distance between kernel rows.
    kernel_row_step: usize,
    /// Distance between blocks of inputs.
    block_step: usize,
}

impl<'a> Source<'a> {
    /// One row of a map, for a pointwise convolution; `block_step` is the distance between its blocks.
    pub(super) fn row(values: &'a [f32], block_step: usize) -> Self {
        Self { values, row_step: 0, pixel_step: LANES, kernel_row_step: 0, block_step }
    }
}

/// What is added to the sums before they are clamped.
#[derive(Clone, Copy)]
pub(super) struct Shortcut<'a> {
    /// From the first output pixel on.
    values: &'a [f32],
    row_step: usize,
    block_step: usize,
}

/// What a convolution writes.
pub(super) struct Target<'a> {
    /// From the first output pixel on.
    pub(super) values: &'a mut [f32],
    /// Distance between rows.
    pub(super) row_step: usize,
    /// Distance between blocks of outputs.
    pub(super) block_step: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

/// The inputs of one output: blocks of so many segments, which are kernel rows.
#[derive(Clone, Copy)]
struct Depth {
    blocks: usize,
    segments: usize,
    /// Contiguous inputs of a segment.
    segment_len: usize,
    /// The same in the last block.
    last_segment_len: usize,
}

impl Depth {
    /// All inputs of an output.
    fn total(self) -> usize {
        self.segments * ((self.blocks - 1) * self.segment_len + self.last_segment_len)
    }

    #[inline(always)]
    fn segment_len(self, block: usize) -> usize {
        if block + 1 == self.blocks { self.last_segment_len } else { self.segment_len }
    }
}

/// One panel or two, handed to the kernels.
#[derive(Clone, Copy)]
struct PanelJob<'a> {
    source: Source<'a>,
    depth: Depth,
    /// `depth.total()` lines a panel.
    weights: &'a [Line],
    /// One line a panel.
    bias: &'a [Line],
    /// From the first panel's first pixel on.
    shortcut: Option<Shortcut<'a>>,
    clamp: Clamp,
    rows: usize,
    cols: usize,
    out_row_step: usize,
    out_block_step: usize,
}

impl Convolution {
    /// Packs the weights.
    pub(super) fn new(inputs: usize, outputs: usize, geometry: Geometry, clamp: Clamp, folded: &FoldedWeights) -> Self {
        let taps = geometry.kernel * geometry.kernel;
        assert_eq!(folded.weight.len(), outputs * inputs * taps);
        assert_eq!(folded.bias.len(), outputs);
        let lanes = if inputs == IMAGE_CHANNELS { IMAGE_CHANNELS } else { LANES };
        let depth = Depth {
            blocks: inputs.div_ceil(lanes),
            segments: geometry.kernel,
            segment_len: geometry.kernel * lanes,
            // A kernel of one column needs nothing of the zeros that fill up the last block.
            last_segment_len: if geometry.kernel == 1 { (inputs - 1) % lanes + 1 } else { geometry.kernel * lanes },
        };
        let panel_count = outputs.div_ceil(LANES);
        let mut panels = vec![Line([0.0; LANES]); panel_count * depth.total()];
        let mut bias = vec![Line([0.0; LANES]); panel_count];
        for (output, (weight, b)) in folded.weight.chunks_exact(inputs * taps).zip(&folded.bias).enumerate() {
            let (panel, lane) = (output / LANES, output % LANES);
            bias[panel].0[lane] = *b;
            for (input, plane) in weight.chunks_exact(taps).enumerate() {
                let (block, channel) = (input / lanes, input % lanes);
                for (tap, value) in plane.iter().enumerate() {
                    let line = block * depth.segments * depth.segment_len + tap * lanes + channel;
                    panels[panel * depth.total() + line].0[lane] = *value;
                }
            }
        }
        Self { inputs, lanes, outputs, geometry, depth, clamp, panels, bias }
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The whole output map, within `margin`; `shortcut`, a map of the output's shape, is added before clamping.
    pub(super) fn apply(
        &self,
        simd: Simd,
        input: &FeatureMap,
        margin: Margin,
        shortcut: Option<&FeatureMap>,
    ) -> FeatureMap {
        let side = self.geometry.output_side(input.side());
        let mut output = FeatureMap::zeros(side, self.outputs, margin);
        let (row_step, block_step) = (output.row_stride(), output.block_stride());
        let first = margin.before * LANES;
        let band = side.div_ceil(BANDS);
        output.rows_mut().par_chunks_mut(band * row_step).enumerate().for_each(|(index, chunk)| {
            let rows = chunk.len() / row_step;
            let target = Target { values: &mut chunk[first..], row_step, block_step, rows, cols: side };
            let shortcut = shortcut.map(|map| self.shortcut(map, index * band));
            self.forward(simd, self.source(input, index * band), shortcut, target);
        });
        output
    }

    /// What the output rows from `first_row` on are computed from.
    ///
    /// # Panics
    /// If the map does not fit the convolution: a bug of the caller.
    pub(super) fn source<'a>(&self, input: &'a FeatureMap, first_row: usize) -> Source<'a> {
        let Geometry { stride, padding, .. } = self.geometry;
        let (margin, row, pixel) = (input.margin(), input.row_stride(), input.lanes());
        assert_eq!((input.channels(), input.lanes()), (self.inputs, self.lanes));
        assert!(margin.before >= padding.before && margin.after >= padding.after, "the input's margin is too narrow");
        let offset = margin.before - padding.before;
        Source {
            values: &input.values()[(first_row * stride + offset) * row + offset * pixel..],
            row_step: stride * row,
            pixel_step: stride * pixel,
            kernel_row_step: row,
            block_step: input.block_stride(),
        }
    }

    /// A map whose rows from `first_row` on are added to the output.
    ///
    /// # Panics
    /// If the map has not the output's channels: a bug of the caller.
    pub(super) fn shortcut<'a>(&self, map: &'a FeatureMap, first_row: usize) -> Shortcut<'a> {
        assert_eq!((map.channels(), map.margin()), (self.outputs, Margin::NONE));
        let row_step = map.row_stride();
        Shortcut { values: &map.values()[first_row * row_step..], row_step, block_step: map.block_stride() }
    }

    /// Some rows of the output.
    ///
    /// # Panics
    /// If a slice is too short: a bug of the caller.
    pub(super) fn forward(&self, simd: Simd, source: Source, shortcut: Option<Shortcut>, target: Target) {
        let Target { values: out, row_step, block_step, rows, cols } = target;
        if rows == 0 || cols == 0 {
            return;
        }
        let depth = self.depth;
        let last_input = (rows - 1) * source.row_step
            + (cols - 1) * source.pixel_step
            + (depth.blocks - 1) * source.block_step
            + (depth.segments - 1) * source.kernel_row_step;
        // The last block's segments are the shorter ones, but start later.
        assert!(source.values.len() >= last_input + depth.last_segment_len);
        assert!(depth.blocks == 1 || source.block_step >= depth.segment_len);
        let end = |row_step: usize, block_step: usize| {
            (rows - 1) * row_step + (self.bias.len() - 1) * block_step + cols * LANES
        };
        assert!(out.len() >= end(row_step, block_step));
        assert!(shortcut.is_none_or(|s| s.values.len() >= end(s.row_step, s.block_step)));
        let pairs = self.panels.chunks(PANEL_PAIR * depth.total()).zip(self.bias.chunks(PANEL_PAIR));
        for (pair, (weights, bias)) in pairs.enumerate() {
            let first = pair * PANEL_PAIR;
            let job = PanelJob {
                source,
                depth,
                weights,
                bias,
                shortcut: shortcut.map(|s| Shortcut { values: &s.values[first * s.block_step..], ..s }),
                clamp: self.clamp,
                rows,
                cols,
                out_row_step: row_step,
                out_block_step: block_step,
            };
            let out = &mut out[first * block_step..];
            match simd {
                // SAFETY: these levels exist only where `Simd::available` detected the instructions; the
                // assertions above hold the slices to the sizes that the kernels rely on.
                #[cfg(target_arch = "x86_64")]
                Simd::Avx512 => unsafe { x86::panels_avx512(&job, out) },
                #[cfg(target_arch = "x86_64")]
                Simd::Avx2 => unsafe { x86::panels_avx2(&job, out) },
                Simd::Portable => panels_portable(&job, out),
            }
        }
    }
}

/// Pixels of a portable tile.
const PORTABLE_PIXELS: usize = 4;

fn panels_portable(job: &PanelJob, out: &mut [f32]) {
    for panel in 0..job.bias.len() {
        for row in 0..job.rows {
            let mut col = 0;
            while col < job.cols {
                if col + PORTABLE_PIXELS <= job.cols {
                    tile_portable::<PORTABLE_PIXELS>(job, panel, row, col, out);
                    col += PORTABLE_PIXELS;
                } else {
                    tile_portable::<1>(job, panel, row, col, out);
                    col += 1;
                }
            }
        }
    }
}

fn tile_portable<const PIXELS: usize>(job: &PanelJob, panel: usize, row: usize, col: usize, out: &mut [f32]) {
    let (source, depth) = (job.source, job.depth);
    let (mut weights, _) = flat(&job.weights[panel * depth.total()..]).as_chunks::<LANES>();
    let mut sums = [job.bias[panel].0; PIXELS];
    let first = row * source.row_step + col * source.pixel_step;
    for block in 0..depth.blocks {
        let len = depth.segment_len(block);
        for segment in 0..depth.segments {
            let start = first + block * source.block_step + segment * source.kernel_row_step;
            let inputs: [&[f32]; PIXELS] =
                std::array::from_fn(|p| &source.values[start + p * source.pixel_step..][..len]);
            for (k, weights) in weights[..len].iter().enumerate() {
                for (sum, inputs) in sums.iter_mut().zip(inputs) {
                    for (sum, w) in sum.iter_mut().zip(weights) {
                        *sum = multiply_add::<PORTABLE_FUSED>(inputs[k], *w, *sum);
                    }
                }
            }
            weights = &weights[len..];
        }
    }
    for (p, sum) in sums.iter_mut().enumerate() {
        let pixel = (col + p) * LANES;
        if let Some(shortcut) = job.shortcut {
            let values = &shortcut.values[row * shortcut.row_step + panel * shortcut.block_step + pixel..];
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        let out = &mut out[row * job.out_row_step + panel * job.out_block_step + pixel..][..LANES];
        out.iter_mut().zip(sum).for_each(|(out, sum)| *out = job.clamp.apply(*sum));
    }
}
