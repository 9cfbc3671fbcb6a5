//! Feature maps, laid out for vector registers and the cache.

use shapeguard_core::matrix::Matrix;

/// The output of one of a network's layers, before any pooling: for other methods than this one, which pools to cells.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerMap {
    /// Pixels a side.
    pub side: usize,
    /// The channels of each pixel, row by row, `[side * side, channels]`.
    pub features: Matrix,
}

/// Values of a cache line of 64 bytes: one AVX-512 register, two of AVX2.
pub(super) const LANES: usize = 16;

/// Channels of an image, red, green, blue.
pub(super) const IMAGE_CHANNELS: usize = 3;

/// A cache line of weights or activations; its alignment keeps vector loads within one line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [f32; LANES]);

/// Values of activations, aligned to cache lines.
pub(super) struct Buffer(Vec<Line>);

impl Buffer {
    /// Zeros for at least `len` values.
    pub(super) fn zeros(len: usize) -> Self {
        Self(vec![Line([0.0; LANES]); len.div_ceil(LANES)])
    }

    pub(super) fn as_slice(&self) -> &[f32] {
        flat(&self.0)
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: a `Line` is exactly LANES `f32` values (repr(C), 64 bytes of size and alignment).
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * LANES) }
    }
}

pub(super) fn flat(lines: &[Line]) -> &[f32] {
    // SAFETY: a `Line` is exactly LANES `f32` values (repr(C), 64 bytes of size and alignment).
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LANES) }
}

/// Rows of zeros above and below a map, and as many columns left and right of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Margin {
    /// Above and left.
    pub(super) before: usize,
    /// Below and right.
    pub(super) after: usize,
}

impl Margin {
    pub(super) const NONE: Self = Self { before: 0, after: 0 };

    /// The same on all sides.
    pub(super) const fn even(width: usize) -> Self {
        Self { before: width, after: width }
    }

    /// TensorFlow's "same" padding for an input of `side` pixels: as many output pixels as strides begin in the input,
    /// the odd pixel of padding below and right.
    pub(super) const fn same(side: usize, kernel: usize, stride: usize) -> Self {
        let total = ((side.div_ceil(stride) - 1) * stride + kernel).saturating_sub(side);
        Self { before: total / 2, after: total - total / 2 }
    }

    pub(super) const fn total(self) -> usize {
        self.before + self.after
    }
}

/// A square map of features within a margin of zeros: `[row][block][column][lane]`, where a block is [`LANES`] channels.
///
/// So the same channels of neighbouring pixels lie in neighbouring cache lines (with all channels of a pixel side by side,
/// a tile of pixels would be spread over few sets of the cache), and a band of rows is contiguous.
pub(super) struct FeatureMap {
    side: usize,
    channels: usize,
    /// Channels of a block: [`LANES`], the last block filled up with zeros; 3 for images.
    lanes: usize,
    margin: Margin,
    values: Buffer,
}

impl FeatureMap {
    /// A map of zeros.
    pub(super) fn zeros(side: usize, channels: usize, margin: Margin) -> Self {
        Self::with_lanes(side, channels, LANES, margin)
    }

    /// A black image; its pixels are not filled up to whole lines.
    pub(super) fn image(side: usize, margin: Margin) -> Self {
        Self::with_lanes(side, IMAGE_CHANNELS, IMAGE_CHANNELS, margin)
    }

    fn with_lanes(side: usize, channels: usize, lanes: usize, margin: Margin) -> Self {
        let padded = side + margin.total();
        let len = padded * padded * channels.next_multiple_of(lanes);
        Self { side, channels, lanes, margin, values: Buffer::zeros(len) }
    }

    /// Rows, and columns.
    pub(super) fn side(&self) -> usize {
        self.side
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Channels of a block, the distance between pixels.
    pub(super) fn lanes(&self) -> usize {
        self.lanes
    }

    pub(super) fn margin(&self) -> Margin {
        self.margin
    }

    /// Distance between blocks of a row.
    pub(super) fn block_stride(&self) -> usize {
        (self.side + self.margin.total()) * self.lanes
    }

    /// Distance between rows.
    pub(super) fn row_stride(&self) -> usize {
        self.channels.div_ceil(self.lanes) * self.block_stride()
    }

    /// All values, margins included.
    pub(super) fn values(&self) -> &[f32] {
        self.values.as_slice()
    }

    /// The map's rows, each with its left and right margins, without those above and below.
    pub(super) fn rows(&self) -> &[f32] {
        &self.values()[self.margin.before * self.row_stride()..][..self.side * self.row_stride()]
    }

    /// The map's rows, each with its left and right margins, without those above and below.
    pub(super) fn rows_mut(&mut self) -> &mut [f32] {
        let row_stride = self.row_stride();
        &mut self.values.as_mut_slice()[self.margin.before * row_stride..][..self.side * row_stride]
    }

    /// All channels of a pixel side by side.
    pub(super) fn to_layer_map(&self) -> LayerMap {
        let mut features = Matrix::zeros(self.side * self.side, self.channels);
        for pixel in 0..self.side * self.side {
            let first = self.index(pixel / self.side, pixel % self.side, 0);
            let blocks = self.rows()[first..].chunks(self.block_stride());
            for (out, block) in features.row_mut(pixel).chunks_mut(self.lanes).zip(blocks) {
                out.copy_from_slice(&block[..out.len()]);
            }
        }
        LayerMap { side: self.side, features }
    }

    /// One pixel's channels.
    #[cfg(test)]
    pub(super) fn pixel(&self, row: usize, col: usize) -> Vec<f32> {
        (0..self.channels).map(|channel| self.rows()[self.index(row, col, channel)]).collect()
    }

    /// Sets one pixel's channels.
    #[cfg(test)]
    pub(super) fn set_pixel(&mut self, row: usize, col: usize, channels: &[f32]) {
        for (channel, value) in channels.iter().enumerate() {
            let index = self.index(row, col, channel);
            self.rows_mut()[index] = *value;
        }
    }

    fn index(&self, row: usize, col: usize, channel: usize) -> usize {
        let (block, lane) = (channel / self.lanes, channel % self.lanes);
        row * self.row_stride() + block * self.block_stride() + (self.margin.before + col) * self.lanes + lane
    }
}
