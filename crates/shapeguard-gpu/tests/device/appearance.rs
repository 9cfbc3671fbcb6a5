use shapeguard_core::grid::{Grid, GridSize};
use shapeguard_core::seams::{AppearanceExpert, CELL_PX, IMAGE_SIDE};
use shapeguard_experts::appearance::{
    FoldedConvolution, Network, Operation, WideResNet50, cell_windows, efficientnet_lite0,
};
use shapeguard_gpu::GpuAppearanceExpert;

use crate::support::{gpu, numbers, on_device, relative_error};

/// Single precision, chains of at most 240 roundings, 15 operations: as the processor's own distance from PyTorch's.
const TOLERANCE: f32 = 1e-5;
/// The smallest image that the settings allow.
const SMALLEST_SIDE: usize = 64;

/// The paper's image, the default preset's, and one whose smallest map fills no tile.
const SIDES: [usize; 3] = [IMAGE_SIDE, 320, 72];

fn image(side: usize, seed: u64) -> Grid<[f32; 3]> {
    let noise = numbers(3 * side * side, seed);
    Grid::from_fn(GridSize::new(side, side), |row, col| {
        let ramp = ((3 * row + 5 * col) % side) as f32 / side as f32;
        [0, 1, 2].map(|i| if row < 40 { 0.0 } else { 0.5 * ramp + 0.25 + 0.5 * noise[3 * (row * side + col) + i] })
    })
}

fn cells(side: usize) -> usize {
    (side / CELL_PX).pow(2)
}

#[test]
fn efficientnet_agrees_on_images_of_any_side() {
    on_device(|gpu| {
        let device = GpuAppearanceExpert::new(&gpu, &Network::efficientnet_lite0()).unwrap();
        let cpu = efficientnet_lite0();
        assert_eq!(device.feature_dim(), cpu.feature_dim());
        assert_eq!(device.parameters(), cpu.parameters());
        for (side, seed) in SIDES.into_iter().zip(0..) {
            assert_eq!(device.multiply_adds(side), cpu.multiply_adds(side));
            let expected = cpu.describe(&image(side, seed));
            let found = device.describe(&image(side, seed));
            assert_eq!((found.rows(), found.cols()), (cells(side), expected.cols()));
            let error = relative_error(found.as_slice(), expected.as_slice());
            assert!(error < TOLERANCE, "{side}: {error:e}");
        }
    });
}

/// On the smallest image: the network is large, and the device of the tests is none.
#[test]
fn wide_resnet_agrees() {
    on_device(|gpu| {
        let device = GpuAppearanceExpert::new(&gpu, &Network::random_wide_resnet50(4)).unwrap();
        let cpu = WideResNet50::random(4);
        assert_eq!((device.parameters(), device.feature_dim()), (cpu.parameters(), cpu.feature_dim()));
        assert_eq!(device.multiply_adds(SMALLEST_SIDE), cpu.multiply_adds(SMALLEST_SIDE));
        let expected = cpu.describe(&image(SMALLEST_SIDE, 5));
        let found = device.describe(&image(SMALLEST_SIDE, 5));
        assert_eq!((found.rows(), found.cols()), (cells(SMALLEST_SIDE), expected.cols()));
        let error = relative_error(found.as_slice(), expected.as_slice());
        assert!(error < TOLERANCE, "{error:e}");
    });
}

#[test]
#[should_panic(expected = "squares of whole cells")]
fn an_image_of_broken_cells_is_a_bug() {
    // The same where there is no device to ask.
    let Some(gpu) = gpu() else { panic!("the experts see squares of whole cells") };
    let device = GpuAppearanceExpert::new(&gpu, &small_network()).unwrap();
    device.describe(&Grid::filled(GridSize::new(228, 228), [0.0; 3]));
}

/// What a Wide-ResNet needs besides: kernels of 7 and 3, strides, the maximum, a shortcut that is a strided convolution,
/// and channels that fill no tile. Every operation against its definition.
#[test]
fn all_kinds_of_operations_equal_their_definition() {
    let network = small_network();
    on_device(|gpu| {
        let device = GpuAppearanceExpert::new(&gpu, &network).unwrap();
        for side in SIDES {
            let found = device.describe(&image(side, 3));
            assert_eq!((found.rows(), found.cols()), (cells(side), network.feature_dim()));
            let error = relative_error(found.as_slice(), &oracle(&network, &image(side, 3)));
            assert!(error < TOLERANCE, "{side}: {error:e}");
        }
    });
}

fn convolution(channels: [usize; 2], kernel: usize, stride: usize, range: [f32; 2], seed: u64) -> FoldedConvolution {
    let [inputs, outputs] = channels;
    let fan_in = inputs * kernel * kernel;
    let scale = (24.0 / fan_in as f32).sqrt();
    FoldedConvolution {
        inputs,
        outputs,
        kernel,
        stride,
        padding_before: (kernel - 1) / 2,
        padding_after: kernel / 2,
        range,
        weight: numbers(outputs * fan_in, seed).iter().map(|value| value * scale).collect(),
        bias: numbers(outputs, seed + 100),
    }
}

fn small_network() -> Network {
    const RELU: [f32; 2] = [0.0, f32::INFINITY];
    const ALL: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];
    let dense = |convolution, input, shortcut| Operation::Convolution { convolution, input, shortcut };
    let operations = vec![
        dense(convolution([3, 9], 7, 2, RELU, 1), 0, None),
        Operation::MaxPool { input: 1 },
        dense(convolution([9, 20], 1, 1, RELU, 2), 2, None),
        dense(convolution([20, 20], 3, 1, RELU, 3), 3, Some(3)),
        dense(convolution([20, 37], 1, 2, ALL, 4), 4, None),
        dense(convolution([20, 37], 3, 2, [-0.5, 1.0], 5), 4, Some(5)),
        Operation::Depthwise { convolution: convolution([1, 37], 5, 1, ALL, 6), input: 6 },
    ];
    Network { mean: [0.4, 0.5, 0.6], deviation: [0.2, 0.3, 0.25], operations, taps: [4, 7] }
}

/// A map, channel by channel, in double precision.
struct Map {
    side: usize,
    channels: Vec<Vec<f64>>,
}

impl Map {
    fn at(&self, channel: usize, row: isize, col: isize) -> f64 {
        let inside = |x: isize| (0..self.side as isize).contains(&x);
        if inside(row) && inside(col) { self.channels[channel][row as usize * self.side + col as usize] } else { 0.0 }
    }
}

fn convolve(map: &Map, convolution: &FoldedConvolution, shortcut: Option<&Map>, is_depthwise: bool) -> Map {
    let FoldedConvolution { inputs, kernel, stride, padding_before, .. } = *convolution;
    let side = convolution.output_side(map.side);
    let [low, high] = convolution.range.map(f64::from);
    let value = |output: usize, pixel: usize| {
        let mut sum = f64::from(convolution.bias[output]);
        for (input, tap) in (0..inputs).flat_map(|input| (0..kernel * kernel).map(move |tap| (input, tap))) {
            let row = (pixel / side * stride + tap / kernel) as isize - padding_before as isize;
            let col = (pixel % side * stride + tap % kernel) as isize - padding_before as isize;
            let weight = convolution.weight[(output * inputs + input) * kernel * kernel + tap];
            sum += f64::from(weight) * map.at(if is_depthwise { output } else { input }, row, col);
        }
        (sum + shortcut.map_or(0.0, |map| map.channels[output][pixel])).clamp(low, high)
    };
    let plane = |output: usize| (0..side * side).map(|pixel| value(output, pixel)).collect();
    Map { side, channels: (0..convolution.outputs).map(plane).collect() }
}

fn max_pool(map: &Map) -> Map {
    let side = map.side.div_ceil(2);
    let value = |channel: usize, pixel: usize| {
        let taps = (0..9).map(|tap| {
            let (row, col) = (2 * (pixel / side) + tap / 3, 2 * (pixel % side) + tap % 3);
            map.at(channel, row as isize - 1, col as isize - 1)
        });
        taps.fold(0.0, f64::max)
    };
    let plane = |channel: usize| (0..side * side).map(|pixel| value(channel, pixel)).collect();
    Map { side, channels: (0..map.channels.len()).map(plane).collect() }
}

fn oracle(network: &Network, rgb: &Grid<[f32; 3]>) -> Vec<f32> {
    let plane = |channel: usize| {
        let normalised =
            |colour: &[f32; 3]| f64::from((colour[channel] - network.mean[channel]) / network.deviation[channel]);
        rgb.as_slice().iter().map(normalised).collect()
    };
    let mut maps = vec![Map { side: rgb.size().rows, channels: (0..3).map(plane).collect() }];
    for operation in &network.operations {
        let map = match operation {
            Operation::Convolution { convolution, input, shortcut } => {
                convolve(&maps[*input], convolution, shortcut.map(|map| &maps[map]), false)
            }
            Operation::Depthwise { convolution, input } => convolve(&maps[*input], convolution, None, true),
            Operation::MaxPool { input } => max_pool(&maps[*input]),
        };
        maps.push(map);
    }
    let grid_side = rgb.size().rows / CELL_PX;
    let mut cells = Vec::with_capacity(grid_side * grid_side * network.feature_dim());
    for cell in 0..grid_side * grid_side {
        for map in network.taps.map(|map| &maps[map]) {
            let windows = cell_windows(map.side, grid_side);
            let (rows, row_weights) = &windows[cell / grid_side];
            let (cols, col_weights) = &windows[cell % grid_side];
            for plane in &map.channels {
                let mut sum = 0.0;
                for (row, row_weight) in rows.clone().zip(row_weights) {
                    for (col, col_weight) in cols.clone().zip(col_weights) {
                        sum += f64::from(*row_weight) * f64::from(*col_weight) * plane[row * map.side + col];
                    }
                }
                cells.push(sum as f32);
            }
        }
    }
    cells
}
