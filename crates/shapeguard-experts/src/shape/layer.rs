//! One fully connected layer, `y = x W^T + b`, fused with what follows it (ReLU, maximum over rows).
//!
//! Nearly all of the shape expert's time is spent here. The weights are packed once, when they are loaded, into panels
//! of [`PANEL`] outputs; a tile of rows times one panel is accumulated in registers, started with the bias and
//! finished with ReLU before it is stored, so that a layer reads and writes every activation once. Each output
//! is one chain of multiply-adds in the order of the inputs, whatever the tile: results do not depend on how
//! rows are grouped, and therefore not on the number of threads.

#[cfg(target_arch = "x86_64")]
mod x86;

use crate::simd::Simd;

/// Outputs of a panel: two AVX-512 registers, or four AVX2 registers.
pub(super) const PANEL: usize = 32;
/// Values of a cache line of 64 bytes.
const LINE: usize = 16;
/// Lines of one panel for one input.
const LINES: usize = PANEL / LINE;

/// A cache line of weights or activations; its alignment keeps vector loads within one line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([f32; LINE]);

/// A buffer of zeros for at least `len` activations, aligned to cache lines.
pub(super) struct Buffer(Vec<Line>);

impl Buffer {
    pub(super) fn zeros(len: usize) -> Self {
        Self(vec![Line([0.0; LINE]); len.div_ceil(LINE)])
    }

    pub(super) fn as_slice(&self) -> &[f32] {
        flat(&self.0)
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: a `Line` is exactly LINE `f32` values (repr(C), 64 bytes of size and alignment).
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * LINE) }
    }
}

fn flat(lines: &[Line]) -> &[f32] {
    // SAFETY: a `Line` is exactly LINE `f32` values (repr(C), 64 bytes of size and alignment).
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LINE) }
}

/// What becomes of a layer's sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// Stored as they are, row by row.
    Linear,
    /// Stored after ReLU, row by row.
    Relu,
    /// The maximum over all rows, after ReLU, and over what the single output row holds already.
    MaxRelu,
}

/// Input rows: `count` rows of the layer's inputs, `stride` values apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
    pub(super) count: usize,
}

/// One panel's work, handed to the kernels.
#[derive(Clone, Copy)]
struct PanelJob<'a> {
    rows: Rows<'a>,
    inputs: usize,
    /// `inputs * LINES` lines.
    weights: &'a [Line],
    bias: &'a [f32; PANEL],
    out_stride: usize,
    finish: Finish,
}

/// A fully connected layer with packed weights.
pub(super) struct Layer {
    inputs: usize,
    outputs: usize,
    /// Panel after panel, input after input, PANEL outputs each; zeros where there is no output.
    panels: Vec<Line>,
    /// `stride()` values.
    bias: Vec<f32>,
}

impl Layer {
    /// Packs the weights `[outputs, inputs]`, given row by row, and the bias `[outputs]`.
    pub(super) fn new(inputs: usize, outputs: usize, weight: &[f32], bias: &[f32]) -> Self {
        assert_eq!(weight.len(), inputs * outputs);
        assert_eq!(bias.len(), outputs);
        let panel_count = outputs.div_ceil(PANEL);
        let mut panels = vec![Line([0.0; LINE]); panel_count * inputs * LINES];
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            let (panel, column) = (output / PANEL, output % PANEL);
            for (input, value) in row.iter().enumerate() {
                panels[(panel * inputs + input) * LINES + column / LINE].0[column % LINE] = *value;
            }
        }
        let mut padded_bias = bias.to_vec();
        padded_bias.resize(panel_count * PANEL, 0.0);
        Self { inputs, outputs, panels, bias: padded_bias }
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Distance between output rows: the outputs rounded up to whole panels; the padding holds zeros.
    pub(super) fn stride(&self) -> usize {
        self.bias.len()
    }

    /// The weights `[outputs, inputs]`, row by row, as they were given.
    pub(super) fn weight_rows(&self) -> Vec<f32> {
        let mut rows = Vec::with_capacity(self.outputs * self.inputs);
        for output in 0..self.outputs {
            let (panel, column) = (output / PANEL, output % PANEL);
            let lines = &self.panels[panel * self.inputs * LINES..];
            rows.extend((0..self.inputs).map(|input| lines[input * LINES + column / LINE].0[column % LINE]));
        }
        rows
    }

    /// The bias, padded with zeros to `stride()`.
    pub(super) fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Evaluates the layer. `bias`, of `stride()` values, is the layer's own or takes its place.
    ///
    /// # Shapes
    /// - `out`: `rows.count` rows of `stride()` values, or one such row for [`Finish::MaxRelu`]
    pub(super) fn forward(&self, simd: Simd, rows: Rows, bias: &[f32], finish: Finish, out: &mut [f32]) {
        if rows.count == 0 {
            return;
        }
        assert!(rows.stride >= self.inputs && rows.values.len() >= (rows.count - 1) * rows.stride + self.inputs);
        assert_eq!(bias.len(), self.stride());
        let out_rows = if finish == Finish::MaxRelu { 1 } else { rows.count };
        assert!(out.len() >= out_rows * self.stride());
        let (bias_panels, _) = bias.as_chunks::<PANEL>();
        for (panel, (weights, bias)) in self.panels.chunks_exact(self.inputs * LINES).zip(bias_panels).enumerate() {
            let job = PanelJob { rows, inputs: self.inputs, weights, bias, out_stride: self.stride(), finish };
            let out = &mut out[panel * PANEL..];
            match simd {
                // SAFETY: these levels exist only where `Simd::available` detected the instructions; the
                // assertions above hold the slices to the sizes that the kernels rely on.
                #[cfg(target_arch = "x86_64")]
                Simd::Avx512 => unsafe { x86::panel_avx512(&job, out) },
                #[cfg(target_arch = "x86_64")]
                Simd::Avx2 => unsafe { x86::panel_avx2(&job, out) },
                Simd::Portable => panel_portable(&job, out),
            }
        }
    }
}

/// A layer within a chain of layers.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) layer: &'a Layer,
    /// The layer's own bias, or what takes its place.
    pub(super) bias: &'a [f32],
    pub(super) finish: Finish,
}

impl<'a> Step<'a> {
    /// A layer with its own bias, followed by ReLU.
    pub(super) fn relu(layer: &'a Layer) -> Self {
        Self { layer, bias: layer.bias(), finish: Finish::Relu }
    }
}

/// Evaluates layer after layer in two buffers by turns; each holds `rows.count` rows of the widest layer. The result
/// lies in one of them, or is `rows` itself if there is no layer.
pub(super) fn forward_all<'a, 'b>(
    simd: Simd,
    steps: impl IntoIterator<Item = Step<'a>>,
    rows: Rows<'b>,
    buffers: &'b mut [Buffer; 2],
) -> Rows<'b> {
    let [mut from, mut to] = buffers.each_mut();
    let mut stride = None;
    for Step { layer, bias, finish } in steps {
        let rows = match stride {
            None => rows,
            Some(stride) => Rows { values: from.as_slice(), stride, count: rows.count },
        };
        layer.forward(simd, rows, bias, finish, to.as_mut_slice());
        stride = Some(layer.stride());
        std::mem::swap(&mut from, &mut to);
    }
    match stride {
        None => rows,
        Some(stride) => Rows { values: from.as_slice(), stride, count: rows.count },
    }
}

/// Rows of a portable tile.
const PORTABLE_ROWS: usize = 4;

fn panel_portable(job: &PanelJob, out: &mut [f32]) {
    let mut row = 0;
    while row < job.rows.count {
        if row + PORTABLE_ROWS <= job.rows.count {
            tile_portable::<PORTABLE_ROWS>(job, row, out);
            row += PORTABLE_ROWS;
        } else {
            tile_portable::<1>(job, row, out);
            row += 1;
        }
    }
}

fn tile_portable<const ROWS: usize>(job: &PanelJob, first: usize, out: &mut [f32]) {
    let (weights, _) = flat(job.weights).as_chunks::<PANEL>();
    let inputs: [&[f32]; ROWS] =
        std::array::from_fn(|r| &job.rows.values[(first + r) * job.rows.stride..][..job.inputs]);
    for half in 0..LINES {
        let columns = half * LINE..(half + 1) * LINE;
        let mut sums = [[0.0f32; LINE]; ROWS];
        for sum in &mut sums {
            sum.copy_from_slice(&job.bias[columns.clone()]);
        }
        for (k, weights) in weights.iter().enumerate() {
            for r in 0..ROWS {
                let x = inputs[r][k];
                for (sum, w) in sums[r].iter_mut().zip(&weights[columns.clone()]) {
                    *sum = multiply_add(x, *w, *sum);
                }
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            let row = if job.finish == Finish::MaxRelu { 0 } else { first + r };
            let out = &mut out[row * job.out_stride..][columns.clone()];
            for (out, sum) in out.iter_mut().zip(sum) {
                *out = match job.finish {
                    Finish::Linear => *sum,
                    Finish::Relu => sum.max(0.0),
                    Finish::MaxRelu => sum.max(0.0).max(*out),
                };
            }
        }
    }
}

/// `x * w + sum`, fused only where the processor does that in one instruction.
#[inline(always)]
fn multiply_add(x: f32, w: f32, sum: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { x.mul_add(w, sum) } else { x * w + sum }
}
