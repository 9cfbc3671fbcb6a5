//! Fully connected layers on the device.

use bytemuck::{Pod, Zeroable};
use wgpu::Buffer;

use crate::device::{Gpu, GpuError};
use crate::kernels::{Finish, Kernel, LARGE, SMALL, Source, TILE_K, Tile};
use crate::work::{Bindings, Work};

/// Tiles that a layer must have before it takes large ones: fewer would leave units of a device idle.
const LARGE_TILES: usize = 128;
/// Rows are filled up to multiples of this: whole tiles of either kind.
pub(crate) const ROW_UNIT: usize = LARGE.rows;

/// `struct Parameters` of shaders/layer.wgsl.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct LayerParameters {
    pub(crate) input_stride: u32,
    pub(crate) weight_stride: u32,
    pub(crate) output_stride: u32,
    pub(crate) inputs: u32,
    pub(crate) bias_stride: u32,
    pub(crate) bias_step: u32,
    pub(crate) group_rows: u32,
    pub(crate) first_group: u32,
    pub(crate) groups: u32,
    pub(crate) has_extra: u32,
    pub(crate) extra_stride: u32,
    pub(crate) scale: f32,
    pub(crate) low: f32,
    pub(crate) high: f32,
    pub(crate) side: u32,
    pub(crate) channels: u32,
    pub(crate) kernel: u32,
    pub(crate) stride: u32,
    pub(crate) padding: u32,
    pub(crate) out_side: u32,
    pub(crate) map_stride: u32,
}

impl LayerParameters {
    /// A product of `[inputs, rows]`, rows filled up to `row_stride`, with `[inputs, outputs]`, outputs filled up to
    /// `output_count`: no bias, nothing added or clamped, not of an image.
    pub(crate) fn product(row_stride: usize, inputs: usize, output_count: usize) -> Self {
        Self {
            input_stride: (row_stride / 4) as u32,
            weight_stride: (output_count / 4) as u32,
            output_stride: (row_stride / 4) as u32,
            inputs: inputs.next_multiple_of(TILE_K) as u32,
            // All rows are one group.
            group_rows: u32::MAX,
            groups: 1,
            scale: 1.0,
            low: f32::MIN,
            high: f32::MAX,
            ..Self::zeroed()
        }
    }
}

/// The kernel of a layer of these sizes, and its tile.
pub(crate) fn kernel(source: Source, finish: Finish, rows: usize, outputs: usize) -> (Kernel, Tile) {
    let tiles = rows / LARGE.rows * (outputs / LARGE.outputs);
    let is_large = outputs.is_multiple_of(LARGE.outputs) && tiles >= LARGE_TILES;
    (Kernel::Layer { source, finish, is_large }, if is_large { LARGE } else { SMALL })
}

/// Workgroups that cover rows and outputs.
pub(crate) fn groups(tile: Tile, rows: usize, outputs: usize) -> [u32; 3] {
    [rows.div_ceil(tile.rows) as u32, outputs.div_ceil(tile.outputs) as u32, 1]
}

/// Activations `[features, rows]` on the device, rows filled up to `stride`.
#[derive(Clone)]
pub(crate) struct Rows {
    pub(crate) buffer: Buffer,
    pub(crate) stride: usize,
}

/// A fully connected layer's weights on the device.
pub(crate) struct Layer {
    inputs: usize,
    outputs: usize,
    /// `[inputs, outputs]`, filled up with zeros to whole tiles.
    weights: Buffer,
    bias: Buffer,
}

impl Layer {
    /// Uploads the weights `[outputs, inputs]`, row by row, and the bias `[outputs]`.
    pub(crate) fn new(gpu: &Gpu, inputs: usize, weight: &[f32], bias: &[f32]) -> Result<Self, GpuError> {
        let outputs = bias.len();
        assert_eq!(weight.len(), inputs * outputs);
        let (padded_inputs, padded_outputs) = (inputs.next_multiple_of(TILE_K), padded_outputs(outputs));
        let mut packed = vec![0.0f32; padded_inputs * padded_outputs];
        for (output, row) in weight.chunks_exact(inputs).enumerate() {
            for (input, value) in row.iter().enumerate() {
                packed[input * padded_outputs + output] = *value;
            }
        }
        let mut padded_bias = bias.to_vec();
        padded_bias.resize(padded_outputs, 0.0);
        Ok(Self { inputs, outputs, weights: gpu.keep(&packed)?, bias: gpu.keep(&padded_bias)? })
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Outputs filled up to whole tiles; those beyond the last are zero.
    pub(crate) fn padded_outputs(&self) -> usize {
        padded_outputs(self.outputs)
    }

    pub(crate) fn weights(&self) -> &Buffer {
        &self.weights
    }

    pub(crate) fn bias(&self) -> &Buffer {
        &self.bias
    }

    /// The layer with its own bias; after it ReLU, unless `is_linear`.
    pub(crate) fn forward(&self, work: &mut Work, input: &Rows, is_linear: bool, output: &Buffer) {
        let low = if is_linear { f32::MIN } else { 0.0 };
        let parameters = LayerParameters { bias_stride: 1, low, ..self.parameters(input) };
        self.dispatch(work, Finish::Store, input, &self.bias, &parameters, output);
    }

    /// The layer and ReLU; the bias is that of the row's group: `[outputs, groups]`, groups filled up to `stride`.
    pub(crate) fn forward_grouped(&self, work: &mut Work, input: &Rows, groups: Groups, bias: &Rows, output: &Buffer) {
        let parameters = LayerParameters {
            bias_stride: bias.stride as u32,
            bias_step: 1,
            group_rows: groups.rows as u32,
            first_group: groups.first as u32,
            groups: groups.count as u32,
            low: 0.0,
            ..self.parameters(input)
        };
        self.dispatch(work, Finish::Store, input, &bias.buffer, &parameters, output);
    }

    /// The layer, ReLU, and the maximum over the rows of each group and what `output` holds of it.
    pub(crate) fn forward_maximum(&self, work: &mut Work, input: &Rows, groups: Groups, output: &Rows) {
        let parameters = LayerParameters {
            bias_stride: 1,
            // The kernel writes single values.
            output_stride: output.stride as u32,
            group_rows: groups.rows as u32,
            first_group: groups.first as u32,
            groups: groups.count as u32,
            ..self.parameters(input)
        };
        self.dispatch(work, Finish::Maximum, input, &self.bias, &parameters, &output.buffer);
    }

    fn parameters(&self, input: &Rows) -> LayerParameters {
        LayerParameters::product(input.stride, self.inputs, self.padded_outputs())
    }

    fn dispatch(
        &self,
        work: &mut Work,
        finish: Finish,
        input: &Rows,
        bias: &Buffer,
        parameters: &LayerParameters,
        output: &Buffer,
    ) {
        let (kernel, tile) = kernel(Source::Rows, finish, input.stride, self.padded_outputs());
        let inputs = [&input.buffer, &self.weights, bias];
        let groups = groups(tile, input.stride, self.padded_outputs());
        work.dispatch(kernel, parameters, Bindings { inputs: &inputs, output }, groups);
    }
}

/// Rows that belong together.
#[derive(Clone, Copy)]
pub(crate) struct Groups {
    /// Rows of a group, a multiple of 4.
    pub(crate) rows: usize,
    /// Group of the first row.
    pub(crate) first: usize,
    /// All groups.
    pub(crate) count: usize,
}

fn padded_outputs(outputs: usize) -> usize {
    outputs.next_multiple_of(SMALL.outputs)
}
