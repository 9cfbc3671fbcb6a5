//! The appearance expert on the device, any network of `shapeguard_experts`: an image of any side in one submission.
//!
//! A map lies channel by channel, `[channels, pixels]`, like rows of features: a pointwise convolution is a layer, and any
//! other dense one is a layer whose inputs are picked from under its kernel while its tile is loaded.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use shapeguard_core::grid::Grid;
use shapeguard_core::matrix::Matrix;
use shapeguard_core::seams::{AppearanceExpert, CELL_PX};
use shapeguard_experts::appearance::{FoldedConvolution, Network, Operation, cell_windows};
use wgpu::Buffer;

use crate::device::{Gpu, GpuError};
use crate::kernels::{Finish, Kernel, SMALL, Source, THREADS, TILE_K};
use crate::layer::{Layer, LayerParameters, ROW_UNIT, groups, kernel};
use crate::work::{Bindings, Work};

/// Channels of an image.
const IMAGE_CHANNELS: usize = 3;

/// An appearance network whose weights are on a device.
pub struct GpuAppearanceExpert {
    gpu: Arc<Gpu>,
    mean: [f32; 3],
    deviation: [f32; 3],
    operations: Vec<DeviceOperation>,
    taps: [usize; 2],
    feature_dim: usize,
    parameters: usize,
    /// Of an image of a single cell: every map has a whole number of pixels for each, so that costs grow with their number.
    cell_multiply_adds: usize,
}

/// An operation whose weights are on the device. Sides of maps are those of the image at hand.
struct DeviceOperation {
    kind: Kind,
    input: usize,
    /// Channels of the output.
    channels: usize,
}

enum Kind {
    Dense { convolution: Geometry, layer: Layer, shortcut: Option<usize> },
    Depthwise { convolution: Geometry, weights: Buffer, bias: Buffer },
    MaxPool,
}

/// A convolution without its weights.
#[derive(Clone, Copy)]
struct Geometry {
    kernel: usize,
    stride: usize,
    padding_before: usize,
    padding_after: usize,
    range: [f32; 2],
}

/// A square map.
#[derive(Clone, Copy)]
struct MapShape {
    side: usize,
    channels: usize,
}

/// A map on the device.
struct Map {
    shape: MapShape,
    buffer: Buffer,
}

/// `struct Parameters` of shaders/depthwise.wgsl.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct DepthwiseParameters {
    side: u32,
    out_side: u32,
    map_stride: u32,
    output_stride: u32,
    kernel: u32,
    stride: u32,
    padding: u32,
    low: f32,
    high: f32,
}

/// `struct Parameters` of shaders/max_pool.wgsl.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct PoolParameters {
    side: u32,
    out_side: u32,
    map_stride: u32,
    output_stride: u32,
}

/// `struct Parameters` of shaders/cells.wgsl.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct CellParameters {
    side: u32,
    map_stride: u32,
    cell_side: u32,
    first: u32,
    cell_stride: u32,
    longest: u32,
}

impl MapShape {
    /// Values between channels: the pixels, filled up to whole tiles.
    fn stride(self) -> usize {
        (self.side * self.side).next_multiple_of(ROW_UNIT)
    }

    /// Channels filled up to whole tiles; those beyond the last are zero.
    fn padded_channels(self) -> usize {
        padded(self.channels)
    }
}

fn padded(channels: usize) -> usize {
    channels.next_multiple_of(SMALL.outputs)
}

impl GpuAppearanceExpert {
    /// Uploads a network's weights.
    ///
    /// # Errors
    /// If the device has not enough memory, or failed.
    pub fn new(gpu: &Arc<Gpu>, network: &Network) -> Result<Self, GpuError> {
        let upload = |(index, operation)| DeviceOperation::upload(gpu, operation, network.channels(index + 1));
        let operations = network.operations.iter().enumerate().map(upload).collect::<Result<_, _>>()?;
        Ok(Self {
            gpu: Arc::clone(gpu),
            mean: network.mean,
            deviation: network.deviation,
            operations,
            taps: network.taps,
            feature_dim: network.feature_dim(),
            parameters: network.parameters(),
            cell_multiply_adds: network.multiply_adds(CELL_PX),
        })
    }

    /// `[cells, feature_dim]` of an image of `side` x `side` pixels.
    fn try_describe(&self, rgb: &Grid<[f32; 3]>, side: usize) -> Result<Vec<f32>, GpuError> {
        let grid_side = side / CELL_PX;
        let values = grid_side * grid_side * self.feature_dim;
        let shape = MapShape { side, channels: IMAGE_CHANNELS };
        let mut image = vec![0.0f32; IMAGE_CHANNELS * shape.stride()];
        for (channel, plane) in image.chunks_exact_mut(shape.stride()).enumerate() {
            for (value, colour) in plane.iter_mut().zip(rgb.as_slice()) {
                *value = (colour[channel] - self.mean[channel]) / self.deviation[channel];
            }
        }
        self.gpu.run::<f32>(|work| {
            let mut maps = vec![Map { shape, buffer: work.upload(&image) }];
            for operation in &self.operations {
                let map = operation.record(work, &maps);
                maps.push(map);
            }
            let cells = work.scratch(values);
            let mut first = 0;
            for map in self.taps.map(|tap| &maps[tap]) {
                record_cells(work, map, grid_side, first, self.feature_dim, &cells);
                first += map.shape.channels;
            }
            (cells, values)
        })
    }
}

impl AppearanceExpert for GpuAppearanceExpert {
    fn feature_dim(&self) -> usize {
        self.feature_dim
    }

    fn parameters(&self) -> Option<usize> {
        Some(self.parameters)
    }

    fn multiply_adds(&self, image_side: usize) -> Option<usize> {
        Some((image_side / CELL_PX).pow(2) * self.cell_multiply_adds)
    }

    /// Not numbers where the device fails.
    ///
    /// # Panics
    /// If the image is not square, or its side no multiple of [`CELL_PX`]: a bug of the caller.
    fn describe(&self, rgb: &Grid<[f32; 3]>) -> Matrix {
        let side = rgb.size().rows;
        assert!(side == rgb.size().cols && side.is_multiple_of(CELL_PX), "the experts see squares of whole cells");
        let cells = (side / CELL_PX).pow(2);
        let values = self.try_describe(rgb, side).unwrap_or_else(|_| vec![f32::NAN; cells * self.feature_dim]);
        Matrix::from_vec(cells, self.feature_dim, values)
    }
}

impl DeviceOperation {
    fn upload(gpu: &Gpu, operation: &Operation, channels: usize) -> Result<Self, GpuError> {
        let (kind, input) = match operation {
            Operation::Convolution { convolution, input, shortcut } => {
                let inputs = convolution.inputs * convolution.kernel * convolution.kernel;
                let layer = Layer::new(gpu, inputs, &channels_last(convolution), &convolution.bias)?;
                (Kind::Dense { convolution: Geometry::of(convolution), layer, shortcut: *shortcut }, *input)
            }
            Operation::Depthwise { convolution, input } => {
                let fill = |values: &[f32], each: usize| {
                    let mut values = values.to_vec();
                    values.resize(padded(channels) * each, 0.0);
                    gpu.keep(&values)
                };
                let weights = fill(&convolution.weight, convolution.kernel * convolution.kernel)?;
                let bias = fill(&convolution.bias, 1)?;
                (Kind::Depthwise { convolution: Geometry::of(convolution), weights, bias }, *input)
            }
            Operation::MaxPool { input } => (Kind::MaxPool, *input),
        };
        Ok(Self { kind, input, channels })
    }

    /// Side of the output for an input of `side` pixels.
    fn output_side(&self, side: usize) -> usize {
        match &self.kind {
            Kind::Dense { convolution, .. } | Kind::Depthwise { convolution, .. } => convolution.output_side(side),
            Kind::MaxPool => side.div_ceil(2),
        }
    }

    /// Records the operation, which reads some of the maps so far.
    fn record(&self, work: &mut Work, maps: &[Map]) -> Map {
        let input = &maps[self.input];
        let shape = MapShape { side: self.output_side(input.shape.side), channels: self.channels };
        let output = work.scratch(shape.padded_channels() * shape.stride());
        let pixel_groups = [(shape.side * shape.side).div_ceil(THREADS) as u32, shape.padded_channels() as u32, 1];
        match &self.kind {
            Kind::Dense { convolution, layer, shortcut } => {
                let shortcut = shortcut.map(|map| maps[map].buffer.clone());
                record_dense(work, input, convolution, layer, shortcut, shape, &output);
            }
            Kind::Depthwise { convolution, weights, bias } => {
                let [low, high] = convolution.range;
                let parameters = DepthwiseParameters {
                    side: input.shape.side as u32,
                    out_side: shape.side as u32,
                    map_stride: input.shape.stride() as u32,
                    output_stride: shape.stride() as u32,
                    kernel: convolution.kernel as u32,
                    stride: convolution.stride as u32,
                    padding: convolution.padding_before as u32,
                    low,
                    high,
                };
                let bindings = Bindings { inputs: &[&input.buffer, weights, bias], output: &output };
                work.dispatch(Kernel::Depthwise, &parameters, bindings, pixel_groups);
            }
            Kind::MaxPool => {
                let parameters = PoolParameters {
                    side: input.shape.side as u32,
                    out_side: shape.side as u32,
                    map_stride: input.shape.stride() as u32,
                    output_stride: shape.stride() as u32,
                };
                let bindings = Bindings { inputs: &[&input.buffer], output: &output };
                work.dispatch(Kernel::MaxPool, &parameters, bindings, pixel_groups);
            }
        }
        Map { shape, buffer: output }
    }
}

fn record_dense(
    work: &mut Work,
    input: &Map,
    convolution: &Geometry,
    layer: &Layer,
    shortcut: Option<Buffer>,
    shape: MapShape,
    output: &Buffer,
) {
    let is_layer = convolution.kernel == 1 && convolution.stride == 1;
    let source = if is_layer { Source::Rows } else { Source::Image };
    let [low, high] = convolution.range;
    let parameters = LayerParameters {
        bias_stride: 1,
        has_extra: u32::from(shortcut.is_some()),
        extra_stride: (shape.stride() / 4) as u32,
        low,
        high,
        side: input.shape.side as u32,
        channels: input.shape.channels as u32,
        kernel: convolution.kernel as u32,
        stride: convolution.stride as u32,
        padding: convolution.padding_before as u32,
        out_side: shape.side as u32,
        map_stride: input.shape.stride() as u32,
        ..LayerParameters::product(shape.stride(), layer.inputs(), shape.padded_channels())
    };
    let (kernel, tile) = kernel(source, Finish::Store, shape.stride(), shape.padded_channels());
    let shortcut = shortcut.unwrap_or_else(|| work.unused());
    let inputs = [&input.buffer, layer.weights(), layer.bias(), &shortcut];
    let groups = groups(tile, shape.stride(), shape.padded_channels());
    work.dispatch(kernel, &parameters, Bindings { inputs: &inputs, output }, groups);
}

impl Geometry {
    fn of(convolution: &FoldedConvolution) -> Self {
        let FoldedConvolution { kernel, stride, padding_before, padding_after, range, .. } = *convolution;
        // Shaders know no infinity.
        let range = range.map(|limit| limit.clamp(f32::MIN, f32::MAX));
        Self { kernel, stride, padding_before, padding_after, range }
    }

    fn output_side(&self, side: usize) -> usize {
        (side + self.padding_before + self.padding_after - self.kernel) / self.stride + 1
    }
}

/// The weights `[outputs, kernel, kernel, inputs]`: a tile's inputs then lie under one place of the kernel.
fn channels_last(convolution: &FoldedConvolution) -> Vec<f32> {
    let taps = convolution.kernel * convolution.kernel;
    let mut weights = Vec::with_capacity(convolution.weight.len());
    for of_output in convolution.weight.chunks_exact(convolution.inputs * taps) {
        weights.extend((0..taps).flat_map(|tap| of_output[tap..].iter().step_by(taps)));
    }
    weights
}

/// Pools a map into its part of the cells. The windows of pixels that make them up are a few hundred numbers, which go
/// with the work.
fn record_cells(work: &mut Work, map: &Map, grid_side: usize, first: usize, feature_dim: usize, cells: &Buffer) {
    let windows = cell_windows(map.shape.side, grid_side);
    let longest = windows.iter().map(|(_, weights)| weights.len()).max().unwrap_or_default();
    let mut weights = Vec::with_capacity(windows.len() * longest);
    for (_, window) in &windows {
        weights.extend((0..longest).map(|i| window.get(i).copied().unwrap_or_default()));
    }
    let starts: Vec<u32> = windows.iter().map(|(pixels, _)| pixels.start as u32).collect();
    let parameters = CellParameters {
        side: map.shape.side as u32,
        map_stride: map.shape.stride() as u32,
        cell_side: grid_side as u32,
        first: first as u32,
        cell_stride: feature_dim as u32,
        longest: longest as u32,
    };
    let groups = [(grid_side * grid_side).div_ceil(THREADS) as u32, map.shape.channels as u32, 1];
    let (weights, starts) = (work.upload(&weights), work.upload(&starts));
    let bindings = Bindings { inputs: &[&map.buffer, &weights, &starts], output: cells };
    work.dispatch(Kernel::Cells, &parameters, bindings, groups);
}

/// A tile's inputs are whole, also where a map is filled up to it.
const _: () = assert!(SMALL.outputs.is_multiple_of(TILE_K));
