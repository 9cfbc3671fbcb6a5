//! Feature maps: channels last, so that a pixel's channels fill whole vector registers.

/// Values of a cache line of 64 bytes: one AVX-512 register, two of AVX2.
pub(super) const LANES: usize = 16;

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

/// A square map of features within a margin of zeros, `[side, side, channels]`.
pub(super) struct FeatureMap {
    side: usize,
    channels: usize,
    /// Distance between pixels: the channels, rounded up to whole lines for all but images; the rest is zero.
    pixel_stride: usize,
    margin: Margin,
    values: Buffer,
}

impl FeatureMap {
    /// A map of zeros.
    pub(super) fn zeros(side: usize, channels: usize, margin: Margin) -> Self {
        Self::with_stride(side, channels, channels.next_multiple_of(LANES), margin)
    }

    /// A black image; its pixels are not padded to whole lines.
    pub(super) fn image(side: usize, margin: Margin) -> Self {
        Self::with_stride(side, 3, 3, margin)
    }

    fn with_stride(side: usize, channels: usize, pixel_stride: usize, margin: Margin) -> Self {
        let padded = side + margin.total();
        Self { side, channels, pixel_stride, margin, values: Buffer::zeros(padded * padded * pixel_stride) }
    }

    /// Rows, and columns.
    pub(super) fn side(&self) -> usize {
        self.side
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    pub(super) fn pixel_stride(&self) -> usize {
        self.pixel_stride
    }

    pub(super) fn margin(&self) -> Margin {
        self.margin
    }

    /// Distance between rows.
    pub(super) fn row_stride(&self) -> usize {
        (self.side + self.margin.total()) * self.pixel_stride
    }

    /// All values, margins included.
    pub(super) fn values(&self) -> &[f32] {
        self.values.as_slice()
    }

    /// One row without its margins.
    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values()[self.start(row)..][..self.side * self.pixel_stride]
    }

    /// One row without its margins.
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        let range = self.start(row)..self.start(row) + self.side * self.pixel_stride;
        &mut self.values.as_mut_slice()[range]
    }

    /// The map's rows with their left and right margins, without those above and below.
    pub(super) fn rows_mut(&mut self) -> &mut [f32] {
        let row_stride = self.row_stride();
        let first = self.margin.before * row_stride;
        &mut self.values.as_mut_slice()[first..first + self.side * row_stride]
    }

    /// One pixel's channels.
    #[cfg(test)]
    pub(super) fn pixel(&self, row: usize, col: usize) -> &[f32] {
        &self.row(row)[col * self.pixel_stride..][..self.channels]
    }

    /// Index of a row's first pixel.
    fn start(&self, row: usize) -> usize {
        (row + self.margin.before) * self.row_stride() + self.margin.before * self.pixel_stride
    }
}
