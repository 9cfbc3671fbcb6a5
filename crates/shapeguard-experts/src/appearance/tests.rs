//! Both networks against PyTorch's goldens (tests/goldens/README-appearance.md), and files that are not to be trusted.

use std::collections::BTreeMap;

use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use shapeguard_core::grid::{Grid, GridSize};
use shapeguard_core::matrix::Matrix;
use shapeguard_core::seams::{AppearanceExpert, CELL_COUNT, CELL_GRID_SIDE, CELL_PX, IMAGE_SIDE};

use super::convolution::{Clamp, Convolution, FoldedWeights, Geometry};
use super::map::{FeatureMap, Margin};
use super::{AppearanceWeightsError, Network, WideResNet50, efficientnet_lite0};
use crate::simd::Simd;

/// Share of the largest value: single precision on both sides, summed in a different order.
const TOLERANCE: f32 = 1e-4;

/// The generator of tests/goldens/appearance_reference.py (Steele, Lea, Flood 2014).
struct SplitMix64(u64);

impl SplitMix64 {
    /// Uniform in [0, 1), 24 bits.
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 40) as f32 / (1 << 24) as f32
    }
}

fn golden_image() -> Grid<[f32; 3]> {
    let mut noise = SplitMix64(1);
    Grid::from_fn(GridSize::new(IMAGE_SIDE, IMAGE_SIDE), |row, col| {
        [0, 1, 2].map(|channel| {
            let ramp = ((3 * row + 5 * col + 70 * channel) % IMAGE_SIDE) as f32 / IMAGE_SIDE as f32;
            let value = 0.5 * noise.uniform() + 0.5 * ramp;
            if row < 40 { 0.0 } else { value }
        })
    })
}

type State = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Names and shapes of the stem and the first layers in the order of torchvision's state dictionary, without counters.
fn wide_resnet_shapes(layers: usize) -> Vec<(String, Vec<usize>)> {
    let mut shapes = Vec::new();
    let mut add = |convolution: String, norm: String, shape: [usize; 4]| {
        shapes.push((format!("{convolution}.weight"), shape.to_vec()));
        for part in ["weight", "bias", "running_mean", "running_var"] {
            shapes.push((format!("{norm}.{part}"), vec![shape[0]]));
        }
    };
    add("conv1".into(), "bn1".into(), [64, 3, 7, 7]);
    let all = [(1, 3, 64, 128, 256), (2, 4, 256, 256, 512), (3, 6, 512, 512, 1024)];
    for (layer, blocks, inputs, narrow, outputs) in all.into_iter().take(layers) {
        for block in 0..blocks {
            let prefix = format!("layer{layer}.{block}");
            let inputs = if block == 0 { inputs } else { outputs };
            add(format!("{prefix}.conv1"), format!("{prefix}.bn1"), [narrow, inputs, 1, 1]);
            add(format!("{prefix}.conv2"), format!("{prefix}.bn2"), [narrow, narrow, 3, 3]);
            add(format!("{prefix}.conv3"), format!("{prefix}.bn3"), [outputs, narrow, 1, 1]);
            if block == 0 {
                add(format!("{prefix}.downsample.0"), format!("{prefix}.downsample.1"), [outputs, inputs, 1, 1]);
            }
        }
    }
    shapes
}

/// The weights of the golden: He's bound for convolutions, batch norms near the identity.
fn random_state(layers: usize) -> State {
    let mut random = SplitMix64(2);
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let fan_in: usize = shape[1..].iter().product();
        let bound = (6.0 / fan_in as f32).sqrt();
        let values = (0..shape.iter().product::<usize>())
            .map(|_| {
                let u = random.uniform();
                match shape.len() {
                    4 => (u * 2.0 - 1.0) * bound,
                    _ if name.ends_with("running_mean") || name.ends_with("bias") => (u - 0.5) * 0.5,
                    _ => u + 0.5,
                }
            })
            .collect();
        (name, (shape, values))
    };
    wide_resnet_shapes(layers).into_iter().map(tensor).collect()
}

/// The weights of `appearance_constant_*.pth`.
fn constant_state() -> State {
    let tensor = |(index, (name, shape)): (usize, (String, Vec<usize>))| {
        let value =
            if name.ends_with("running_var") { 1.0 + index as f32 / 64.0 } else { ((index % 7) as f32 - 2.0) / 256.0 };
        let count = shape.iter().product();
        let values = if name == "bn1.bias" { (0..64).map(|i| i as f32 / 64.0).collect() } else { vec![value; count] };
        (name, (shape, values))
    };
    wide_resnet_shapes(2).into_iter().enumerate().map(tensor).collect()
}

fn to_safetensors(state: &State, dtype: Dtype) -> Vec<u8> {
    let encode = |values: &[f32]| -> Vec<u8> {
        match dtype {
            Dtype::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
            Dtype::I32 => values.iter().flat_map(|value| (*value as i32).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    };
    let data: Vec<_> = state.iter().map(|(name, (shape, values))| (name, shape.clone(), encode(values))).collect();
    let views = data.iter().map(|(name, shape, data)| (*name, TensorView::new(dtype, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn golden(bytes: &[u8], name: &str) -> Matrix {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let values = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Matrix::from_vec(view.shape()[0], view.shape()[1], values)
}

/// The pixels that the goldens hold.
fn places(side: usize) -> [(usize, usize); 8] {
    let last = side - 1;
    [
        (0, 0),
        (0, last),
        (last, 0),
        (last, last),
        (side / 2, side / 2),
        (side / 3, last),
        (side - 2, side / 3),
        (side / 4 + 1, 2),
    ]
}

fn assert_close(what: &str, expected: &Matrix, found: impl Fn(usize) -> Vec<f32>) {
    let scale = expected.as_slice().iter().fold(0.0f32, |scale, value| scale.max(value.abs()));
    let mut largest = 0.0f32;
    for row in 0..expected.rows() {
        let found = found(row);
        assert_eq!(found.len(), expected.cols(), "{what}");
        for (found, expected) in found.iter().zip(expected.row(row)) {
            largest = largest.max((found - expected).abs());
        }
    }
    eprintln!("{what}: largest error {largest:e}, {:e} of the largest value {scale}", largest / scale);
    assert!(largest <= TOLERANCE * scale, "{what}: an error of {largest} at a scale of {scale}");
}

fn assert_like_golden(what: &str, bytes: &[u8], maps: &[FeatureMap], cells: &Matrix) {
    for (index, map) in maps.iter().enumerate() {
        let places = places(map.side());
        assert_close(&format!("{what} map {index}"), &golden(bytes, &format!("map{index}")), |i| {
            map.pixel(places[i].0, places[i].1)
        });
    }
    assert_eq!(cells.rows(), CELL_COUNT);
    let places = places(CELL_GRID_SIDE);
    assert_close(&format!("{what} cells"), &golden(bytes, "cells"), |i| {
        cells.row(places[i].0 * CELL_GRID_SIDE + places[i].1).to_vec()
    });
}

#[test]
fn efficientnet_equals_its_pytorch_forward() {
    let bytes = include_bytes!("../../tests/goldens/appearance_efficientnet.safetensors");
    let mut expert = efficientnet_lite0();
    assert_eq!((expert.name(), expert.feature_dim()), ("efficientnet-lite0", 24 + 40));
    assert_eq!(expert.sha256(), "8d9fba4a9b78cbe5f452a5ac2f2827ed91c584aafa2ce5b3549adfa1a7cd31d4");
    let image = golden_image();
    for simd in Simd::available() {
        expert.simd = simd;
        let maps = expert.maps(&image);
        assert_eq!([maps[0].side(), maps[1].side()], [56, 28]);
        assert_like_golden(&format!("EfficientNet-Lite0, {simd:?},"), bytes, &maps, &expert.describe(&image));
    }
}

#[test]
fn wide_resnet_equals_torchvision() {
    let bytes = include_bytes!("../../tests/goldens/appearance_wide_resnet.safetensors");
    let weights = to_safetensors(&random_state(2), Dtype::F32);
    let mut expert = WideResNet50::from_bytes(&weights, "random.safetensors").unwrap();
    assert_eq!((expert.name(), expert.feature_dim()), ("random.safetensors", 256 + 512));
    let image = golden_image();
    for simd in Simd::available() {
        expert.simd = simd;
        let maps = expert.maps(&image, 2);
        assert_eq!([maps[0].side(), maps[1].side()], [56, 28]);
        assert_like_golden(&format!("Wide-ResNet-50-2, {simd:?},"), bytes, &maps, &expert.describe(&image));
    }
}

#[test]
fn layer_3_equals_torchvision_and_leaves_the_cells_alone() {
    let bytes = include_bytes!("../../tests/goldens/appearance_wide_resnet_layer3.safetensors");
    let weights = to_safetensors(&random_state(3), Dtype::F32);
    let deep = WideResNet50::with_layer3(&weights, "random.safetensors").unwrap();
    let image = golden_image();
    // The other tests go through all instruction sets.
    let layers = deep.layers(&image);
    assert_eq!(layers.iter().map(|layer| layer.side).collect::<Vec<_>>(), [56, 28, 14]);
    let places = places(14);
    assert_close("Wide-ResNet-50-2 layer 3", &golden(bytes, "map2"), |i| {
        layers[2].features.row(places[i].0 * 14 + places[i].1).to_vec()
    });
    // The same file without asking for layer 3: the same cells, and no layer 3.
    let shallow = WideResNet50::from_bytes(&weights, "random.safetensors").unwrap();
    assert_eq!(shallow.describe(&image), deep.describe(&image));
    assert_eq!(shallow.layers(&image), layers[..2]);
    // A file without layer 3 says which tensor it lacks.
    let error = WideResNet50::with_layer3(&to_safetensors(&random_state(2), Dtype::F32), "short").err().unwrap();
    assert!(error.to_string().contains("layer3.0."), "{error}");
}

#[test]
fn layer_maps_hold_every_pixel_s_channels() {
    let expert = efficientnet_lite0();
    let image = golden_image();
    for (map, layer) in expert.maps(&image).iter().zip(expert.layers(&image)) {
        assert_eq!((layer.side, layer.features.cols()), (map.side(), map.channels()));
        for pixel in 0..layer.side * layer.side {
            assert_eq!(layer.features.row(pixel), map.pixel(pixel / layer.side, pixel % layer.side));
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let image = golden_image();
    let efficientnet = efficientnet_lite0();
    let resnet = WideResNet50::from_bytes(&to_safetensors(&random_state(2), Dtype::F32), "random").unwrap();
    let experts: [&dyn AppearanceExpert; 2] = [&efficientnet, &resnet];
    for expert in experts {
        let describe = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| expert.describe(&image))
        };
        let one = describe(1);
        assert!(one.as_slice().iter().all(|value| value.is_finite()));
        assert_eq!(one, describe(2));
        assert_eq!(one, describe(5));
    }
}

#[test]
fn convolutions_equal_their_definition_on_ragged_sizes() {
    let mut random = SplitMix64(3);
    let cases = [
        // side, inputs, outputs, kernel, stride, padding
        (7, 16, 40, 3, 1, Margin::even(1)),
        (13, 3, 17, 5, 2, Margin { before: 1, after: 2 }),
        (29, 24, 24, 1, 1, Margin::NONE),
        (9, 5, 70, 1, 2, Margin::NONE),
    ];
    for (side, inputs, outputs, kernel, stride, padding) in cases {
        let geometry = Geometry { kernel, stride, padding };
        let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random.uniform() - 0.5).collect() };
        let folded = FoldedWeights { weight: draw(outputs * inputs * kernel * kernel), bias: draw(outputs) };
        let mut input =
            if inputs == 3 { FeatureMap::image(side, padding) } else { FeatureMap::zeros(side, inputs, padding) };
        for i in 0..side * side {
            input.set_pixel(i / side, i % side, &draw(inputs));
        }
        let out_side = geometry.output_side(side);
        let mut shortcut = FeatureMap::zeros(out_side, outputs, Margin::NONE);
        for i in 0..out_side * out_side {
            shortcut.set_pixel(i / out_side, i % out_side, &draw(outputs));
        }
        let convolution = Convolution::new(inputs, outputs, geometry, Clamp::RELU6, &folded);
        let expected = |row: usize, col: usize, output: usize| -> f64 {
            let mut sum = f64::from(folded.bias[output]) + f64::from(shortcut.pixel(row, col)[output]);
            for (r, c) in (0..kernel * kernel).map(|tap| (tap / kernel, tap % kernel)) {
                let inside = |x: usize| x.checked_sub(padding.before).filter(|x| *x < side);
                if let (Some(y), Some(x)) = (inside(row * stride + r), inside(col * stride + c)) {
                    for (i, value) in input.pixel(y, x).iter().enumerate() {
                        let weight = folded.weight[((output * inputs + i) * kernel + r) * kernel + c];
                        sum += f64::from(*value) * f64::from(weight);
                    }
                }
            }
            sum.clamp(0.0, 6.0)
        };
        for simd in Simd::available() {
            let output = convolution.apply(simd, &input, Margin::even(2), Some(&shortcut));
            for (row, col) in (0..out_side * out_side).map(|i| (i / out_side, i % out_side)) {
                for (output, found) in output.pixel(row, col).iter().enumerate() {
                    // At most 144 single-precision products of magnitude at most 1/4.
                    assert!((f64::from(*found) - expected(row, col, output)).abs() < 1e-5, "{simd:?} {geometry:?}");
                }
            }
            let margins = output.values().iter().filter(|value| **value != 0.0).count();
            assert!(margins <= out_side * out_side * outputs, "margins and padding channels stay zero");
        }
    }
}

#[test]
fn pytorch_files_old_and_new_give_the_same_expert_as_safetensors() {
    let image = golden_image();
    let expected = WideResNet50::from_bytes(&to_safetensors(&constant_state(), Dtype::F32), "f32").unwrap();
    let expected = expected.describe(&image);
    assert!(expected.as_slice().iter().any(|value| *value > 0.0));
    let half = WideResNet50::from_bytes(&to_safetensors(&constant_state(), Dtype::F16), "f16").unwrap();
    assert_eq!(half.describe(&image), expected, "these numbers fit half precision");
    for bytes in [ZIP, LEGACY] {
        let expert = WideResNet50::from_bytes(bytes, "constant.pth").unwrap();
        assert_eq!(expert.sha256().len(), 64);
        assert_eq!(expert.describe(&image), expected);
    }
}

const ZIP: &[u8] = include_bytes!("../../tests/goldens/appearance_constant_zip.pth");
const LEGACY: &[u8] = include_bytes!("../../tests/goldens/appearance_constant_legacy.pth");

fn refused(bytes: &[u8]) -> AppearanceWeightsError {
    WideResNet50::from_bytes(bytes, "hostile").err().expect("the file is not to be accepted")
}

fn refused_state(change: impl FnOnce(&mut State)) -> AppearanceWeightsError {
    let mut state = constant_state();
    change(&mut state);
    refused(&to_safetensors(&state, Dtype::F32))
}

#[test]
fn foreign_and_empty_files_are_named_as_such() {
    for bytes in [&b""[..], b"PK", b"<!DOCTYPE html>", b"\x89PNG\r\n\x1a\n", &[0; 64]] {
        let error = refused(bytes);
        assert!(matches!(error, AppearanceWeightsError::Unrecognised { .. }), "{error}");
    }
    assert!(refused(b"<!DOCTYPE html>").to_string().contains("<!DOCTYP"));
}

#[test]
fn files_cut_anywhere_are_refused() {
    let safetensors = to_safetensors(&constant_state(), Dtype::F32);
    for whole in [&safetensors, ZIP, LEGACY] {
        for length in (0..24).map(|i| whole.len() * i / 24).chain([1, 7, 8, 9, 40, whole.len() - 1]) {
            refused(&whole[..length]);
        }
    }
}

#[test]
fn damaged_pytorch_files_never_panic() {
    let mut random = SplitMix64(4);
    for whole in [ZIP, LEGACY] {
        for _ in 0..100 {
            let mut bytes = whole.to_vec();
            for _ in 0..4 {
                let at = (random.uniform() * bytes.len() as f32) as usize;
                bytes[at] = (random.uniform() * 256.0) as u8;
            }
            // Some damage goes unnoticed, such as a changed weight; what counts is that nothing panics.
            if let Ok(expert) = WideResNet50::from_bytes(&bytes, "damaged") {
                assert_eq!(expert.feature_dim(), 768);
            }
        }
    }
}

#[test]
fn a_header_that_claims_too_much_is_refused() {
    let mut bytes = to_safetensors(&constant_state(), Dtype::F32);
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(refused(&bytes), AppearanceWeightsError::Unreadable { format: "safetensors", .. }));
}

#[test]
fn a_missing_tensor_is_named_with_what_was_found_instead() {
    let error = refused_state(|state| {
        let tensor = state.remove("layer2.3.conv2.weight").unwrap();
        state.insert("module.layer2.3.conv2.weight".into(), tensor);
    });
    let text = error.to_string();
    assert!(matches!(error, AppearanceWeightsError::MissingTensor { .. }), "{text}");
    assert!(text.contains("\"layer2.3.conv2.weight\"") && text.contains("\"module.layer2.3.conv2.weight\""), "{text}");
}

#[test]
fn another_network_is_told_by_its_shapes() {
    // ResNet-50 has the same names, but narrow layers.
    let error = refused_state(|state| {
        state.insert("layer1.0.conv1.weight".into(), (vec![64, 64, 1, 1], vec![0.0; 64 * 64]));
    });
    assert_eq!(
        error.to_string(),
        "tensor \"layer1.0.conv1.weight\": expected the shape [128, 64, 1, 1] of Wide-ResNet-50-2, found [64, 64, 1, 1]"
    );
}

#[test]
fn numbers_that_cannot_be_weights_are_refused() {
    let set = |name: &str, index: usize, value: f32| {
        let name = name.to_owned();
        move |state: &mut State| state.get_mut(&name).unwrap().1[index] = value
    };
    for value in [f32::NAN, f32::INFINITY] {
        let error = refused_state(set("layer1.2.conv3.weight", 7, value));
        assert!(matches!(error, AppearanceWeightsError::NotFinite { index: 7, .. }), "{error}");
    }
    let error = refused_state(set("layer2.0.downsample.1.running_var", 3, -1.0));
    assert!(matches!(error, AppearanceWeightsError::NegativeVariance { index: 3, .. }), "{error}");
    // Finite, but no longer so with the batch norm folded in.
    let error = refused_state(|state| {
        set("bn1.running_var", 0, 0.0)(state);
        set("bn1.weight", 0, f32::MAX)(state);
        set("conv1.weight", 0, 1.0)(state);
    });
    assert!(matches!(error, AppearanceWeightsError::NotFinite { .. }), "{error}");
    let integers = to_safetensors(&constant_state(), Dtype::I32);
    let error = refused(&integers);
    assert!(matches!(error, AppearanceWeightsError::NumberFormat { .. }), "{error}");
}

#[test]
fn any_square_of_whole_cells_is_described() {
    // Of one colour, since the adaptive pooling of 26 (or 54) pixels to 28 (or 56) cells shifts by up to a pixel between sizes.
    let expert = efficientnet_lite0();
    let plain = |side: usize| Grid::filled(GridSize::new(side, side), [0.25, 0.5, 0.75]);
    let corners_and_middle = |side: usize| {
        let cells = expert.describe(&plain(side));
        let grid = side / CELL_PX;
        assert_eq!((cells.rows(), cells.cols()), (grid * grid, 64));
        // The corners see the zeros beyond the border: paddings show there.
        [0, grid - 1, grid / 2 * grid + grid / 2, grid * (grid - 1), grid * grid - 1]
            .map(|cell| cells.row(cell).to_vec())
    };
    let paper = corners_and_middle(IMAGE_SIDE);
    assert!(paper[0] != paper[2] && paper[4] != paper[2] && paper[0] != paper[4]);
    // Larger than what a cell in the middle sees.
    for side in [136, 232, 320, 448] {
        assert_eq!(corners_and_middle(side), paper, "{side}");
    }
}

#[test]
#[should_panic(expected = "squares of whole cells")]
fn an_image_of_broken_cells_is_a_bug() {
    efficientnet_lite0().describe(&Grid::filled(GridSize::new(228, 228), [0.0; 3]));
}

#[test]
fn networks_know_their_size_and_cost() {
    let state = random_state(2);
    let resnet = WideResNet50::from_bytes(&to_safetensors(&state, Dtype::F32), "random").unwrap();
    // Folding leaves a convolution's weights and one bias per channel, which a norm's weight counts here.
    let is_kept = |name: &str| name.ends_with(".weight");
    let expected: usize = state.iter().filter(|(name, _)| is_kept(name)).map(|(_, (_, values))| values.len()).sum();
    assert_eq!(resnet.parameters(), Some(expected));
    // The paper's section 4.5: 5.0 GMAC.
    let giga = resnet.multiply_adds(IMAGE_SIDE).unwrap() as f64 / 1e9;
    assert!((giga - 5.0).abs() < 0.1, "{giga}");

    let efficientnet = efficientnet_lite0();
    let file = safetensors::SafeTensors::deserialize(include_bytes!("../../weights/efficientnet-lite0.safetensors"));
    let values: usize =
        file.unwrap().tensors().iter().map(|(_, tensor)| tensor.shape().iter().product::<usize>()).sum();
    assert_eq!(efficientnet.parameters(), Some(values));
    // The networks as lists of operations add up to the same.
    let network = Network::efficientnet_lite0();
    assert_eq!(Some(network.parameters()), efficientnet.parameters());
    assert_eq!(Some(network.multiply_adds(320)), efficientnet.multiply_adds(320));
    let network = Network::wide_resnet50(&to_safetensors(&state, Dtype::F32)).unwrap();
    assert_eq!(Some(network.parameters()), resnet.parameters());
    assert_eq!(Some(network.multiply_adds(320)), resnet.multiply_adds(320));
    for expert in [&resnet as &dyn AppearanceExpert, &efficientnet] {
        let [small, large] = [IMAGE_SIDE, 2 * IMAGE_SIDE].map(|side| expert.multiply_adds(side).unwrap());
        assert_eq!(4 * small, large);
    }
}
