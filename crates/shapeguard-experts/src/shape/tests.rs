use std::collections::BTreeMap;

use safetensors::SafeTensors;

use super::*;
use crate::simd::Simd;

/// Layers that fill no panel and no tile, to exercise every remainder.
fn odd_architecture() -> ShapeArchitecture {
    ShapeArchitecture { encoder_point: vec![5, 33, 70], encoder_dense: vec![31, 9], nif_width: 45, nif_hidden: 2 }
}

/// Points in the cube [-0.5, 0.5).
fn points(n: usize, seed: u64) -> Vec<[f32; 3]> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut coordinate = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..n).map(|_| [coordinate(), coordinate(), coordinate()]).collect()
}

/// The paper's formulas in double precision, one row at a time, with nothing hoisted or packed.
struct Oracle {
    architecture: ShapeArchitecture,
    tensors: BTreeMap<String, Vec<f32>>,
}

impl Oracle {
    fn of(expert: &PointNetNif) -> Self {
        let names = expert.architecture.tensor_shapes().into_iter().map(|(name, _)| name);
        Self { architecture: expert.architecture.clone(), tensors: names.zip(expert.tensors()).collect() }
    }

    fn layer(&self, name: &str, input: &[f64]) -> Vec<f64> {
        let weight = &self.tensors[&format!("{name}.weight")];
        let bias = &self.tensors[&format!("{name}.bias")];
        let rows = weight.chunks_exact(input.len());
        rows.zip(bias)
            .map(|(row, b)| *b as f64 + row.iter().zip(input).map(|(w, x)| *w as f64 * x).sum::<f64>())
            .collect()
    }

    fn relu_layer(&self, name: &str, input: &[f64]) -> Vec<f64> {
        self.layer(name, input).into_iter().map(|value| value.max(0.0)).collect()
    }

    fn encode(&self, patch: &[[f32; 3]]) -> Vec<f64> {
        let mut pooled = vec![0.0; *self.architecture.encoder_point.last().unwrap()];
        for point in patch {
            let mut x = point.map(f64::from).to_vec();
            for i in 0..self.architecture.encoder_point.len() {
                x = self.relu_layer(&format!("encoder.point.{i}"), &x);
            }
            pooled.iter_mut().zip(x).for_each(|(largest, value)| *largest = value.max(*largest));
        }
        (0..self.architecture.encoder_dense.len())
            .fold(pooled, |x, i| self.relu_layer(&format!("encoder.dense.{i}"), &x))
    }

    fn distance(&self, feature: &[f32], query: [f32; 3]) -> f64 {
        let mut merged = self.relu_layer("nif.query", &query.map(f64::from));
        let feature: Vec<f64> = feature.iter().copied().map(f64::from).collect();
        merged.extend(self.relu_layer("nif.code", &feature));
        let merged = self.relu_layer("nif.merge", &merged);
        let last =
            (0..self.architecture.nif_hidden).fold(merged, |x, i| self.relu_layer(&format!("nif.hidden.{i}"), &x));
        self.layer("nif.out", &last)[0]
    }
}

/// Largest difference divided by the largest magnitude expected.
fn relative_error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    assert!(scale > 1e-3, "the test must not compare zeros");
    found.iter().zip(expected).map(|(found, expected)| (*found as f64 - expected).abs()).fold(0.0, f64::max) / scale
}

/// Single precision, chains of at most 1,024 roundings, at most 10 layers: 1e-6 to 1e-5 is usual.
const TOLERANCE: f64 = 2e-5;

fn assert_equals_oracle(expert: &PointNetNif, patches: usize, patch_size: usize) {
    let oracle = Oracle::of(expert);
    let cloud = points(patches * patch_size, 1);
    let features = expert.encode(&cloud, patch_size);
    assert_eq!((features.rows(), features.cols()), (patches, expert.feature_dim()));
    let expected: Vec<f64> = cloud.chunks(patch_size).flat_map(|patch| oracle.encode(patch)).collect();
    let error = relative_error(features.as_slice(), &expected);
    assert!(error < TOLERANCE, "features with {:?}: {error:e}", expert.simd);

    let queries = points(patches * patch_size, 2);
    let distances = expert.signed_distances(&features, &queries, patch_size);
    let expected: Vec<f64> =
        queries.iter().enumerate().map(|(i, q)| oracle.distance(features.row(i / patch_size), *q)).collect();
    let error = relative_error(&distances, &expected);
    assert!(error < TOLERANCE, "distances with {:?}: {error:e}", expert.simd);
}

#[test]
fn every_instruction_set_equals_the_oracle() {
    let mut expert = PointNetNif::random(&odd_architecture(), 3);
    for simd in Simd::available() {
        expert.simd = simd;
        // 1 point, remainders of tiles of 12, 6 and 4 rows, and more than one block of rows.
        for patch_size in [1, 2, 7, 23, ROW_BLOCK + 35] {
            assert_equals_oracle(&expert, 3, patch_size);
        }
    }
}

#[test]
fn the_real_architectures_equal_the_oracle() {
    assert_equals_oracle(&PointNetNif::random(&ShapeArchitecture::paper(), 4), 2, 13);
    assert_equals_oracle(&PointNetNif::random(&ShapeArchitecture::compact(), 5), 50, 30);
}

/// The oracle evaluates W1 and all of W3 at every query point; each point as a patch of its own hoists nothing.
#[test]
fn hoisting_changes_nothing() {
    let expert = PointNetNif::random(&odd_architecture(), 6);
    let features = expert.encode(&points(40, 7), 20);
    let queries = points(40, 8);
    let hoisted = expert.signed_distances(&features, &queries, 20);
    let repeated = features.select_rows((0..40).map(|query| query / 20));
    assert_eq!(hoisted, expert.signed_distances(&repeated, &queries, 1));
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let expert = PointNetNif::random(&ShapeArchitecture::compact(), 9);
    let cloud = points(60 * 250, 10);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let features = expert.encode(&cloud, 250);
            let distances = expert.signed_distances(&features, &cloud, 250);
            (features, distances)
        })
    };
    let one = run(1);
    assert!(one.1.iter().any(|distance| *distance != one.1[0]));
    assert_eq!(one, run(2));
    assert_eq!(one, run(7));
}

#[test]
fn the_order_of_points_does_not_change_a_feature() {
    let expert = PointNetNif::random(&odd_architecture(), 11);
    let mut cloud = points(100, 12);
    let feature = expert.encode(&cloud, 100);
    cloud.reverse();
    assert_eq!(feature, expert.encode(&cloud, 100));
}

#[test]
fn no_patches_give_no_results() {
    let expert = PointNetNif::random(&odd_architecture(), 13);
    let features = expert.encode(&[], 500);
    assert_eq!((features.rows(), features.cols()), (0, 9));
    assert!(expert.signed_distances(&features, &[], 500).is_empty());
}

/// Data, generator, versions and tolerance: tests/goldens/README-shape.md.
#[test]
fn a_pytorch_forward_agrees() {
    let expert = PointNetNif::from_safetensors(include_bytes!("../../tests/goldens/shape_tiny.safetensors")).unwrap();
    assert_eq!(expert.provenance()["trained_on"], "untrained");
    let golden = SafeTensors::deserialize(include_bytes!("../../tests/goldens/shape_tiny_io.safetensors")).unwrap();
    let values = |name: &str| -> Vec<f32> {
        golden.tensor(name).unwrap().data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let (cloud, queries) = (values("points"), values("queries"));
    let features = expert.encode(cloud.as_chunks().0, 37);
    let expected = values("features");
    assert!(expected.iter().filter(|value| **value > 0.1).count() >= 10);
    assert_close(features.as_slice(), &expected, 1e-5);
    let expected = Matrix::from_vec(4, 10, expected);
    assert_close(&expert.signed_distances(&expected, queries.as_chunks().0, 37), &values("distances"), 1e-5);
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance, "value {i} is {found}, expected {expected}");
    }
}

#[test]
fn the_embedded_experts_have_their_architectures() {
    assert_eq!(*builtin("paper").unwrap().architecture(), ShapeArchitecture::paper());
    assert_eq!(*builtin("compact").unwrap().architecture(), ShapeArchitecture::compact());
    for name in BUILTIN_NAMES {
        assert!(builtin(name).unwrap().provenance().contains_key("trained_on"), "{name}");
    }
    assert!(builtin("papers").is_none());
}

mod weight_files {
    use super::*;

    fn provenance() -> BTreeMap<String, String> {
        BTreeMap::from([("trained_on".into(), "untrained".into()), ("version".into(), "99".into())])
    }

    fn tiny() -> PointNetNif {
        let architecture =
            ShapeArchitecture { encoder_point: vec![4], encoder_dense: vec![3], nif_width: 5, nif_hidden: 1 };
        PointNetNif::random(&architecture, 14)
    }

    fn good() -> Vec<u8> {
        tiny().to_safetensors(WeightPrecision::F32, &provenance())
    }

    /// The header as JSON, and the data.
    fn parts(bytes: &[u8]) -> (serde_json::Value, Vec<u8>) {
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), bytes[8 + length..].to_vec())
    }

    fn join(header: &serde_json::Value, data: &[u8]) -> Vec<u8> {
        let header = header.to_string();
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    /// The file with its header changed.
    fn forged(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
        let (mut header, data) = parts(&good());
        change(&mut header);
        join(&header, &data)
    }

    fn refusal(bytes: &[u8]) -> ShapeWeightsError {
        PointNetNif::from_safetensors(bytes).err().expect("the file must be refused")
    }

    #[test]
    fn single_precision_survives_a_round_trip() {
        let expert = PointNetNif::random(&odd_architecture(), 15);
        let bytes = expert.to_safetensors(WeightPrecision::F32, &provenance());
        let again = PointNetNif::from_safetensors(&bytes).unwrap();
        assert_eq!(again.architecture(), expert.architecture());
        assert_eq!(again.tensors(), expert.tensors());
        // The format's own keys cannot be overridden by provenance.
        assert_eq!(again.provenance(), &BTreeMap::from([("trained_on".into(), "untrained".into())]));
        assert_eq!(again.to_safetensors(WeightPrecision::F32, again.provenance()), bytes);
        assert_eq!(again.sha256().len(), 64);
        assert_ne!(again.sha256(), expert.sha256());
    }

    #[test]
    fn half_precision_rounds_once() {
        let expert = tiny();
        let bytes = expert.to_safetensors(WeightPrecision::F16, &provenance());
        let again = PointNetNif::from_safetensors(&bytes).unwrap();
        for (rounded, exact) in again.tensors().iter().flatten().zip(expert.tensors().iter().flatten()) {
            assert_eq!(*rounded, half::f16::from_f32(*exact).to_f32());
        }
        assert_eq!(again.to_safetensors(WeightPrecision::F16, again.provenance()), bytes);
    }

    #[test]
    fn the_digest_is_that_of_the_file() {
        let golden = include_bytes!("../../tests/goldens/shape_tiny.safetensors");
        let expected: String = Sha256::digest(golden).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(PointNetNif::from_safetensors(golden).unwrap().sha256(), expected);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let bytes = good();
        for length in 0..bytes.len() {
            let _ = refusal(&bytes[..length]);
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(refusal(&longer), ShapeWeightsError::Unreadable { .. }));
    }

    #[test]
    fn a_header_that_claims_gigabytes_is_refused() {
        let mut bytes = good();
        for length in [MAX_HEADER_CLAIM, u64::MAX] {
            bytes[..8].copy_from_slice(&length.to_le_bytes());
            assert!(refusal(&bytes).to_string().contains("header claims"));
        }
    }
    const MAX_HEADER_CLAIM: u64 = 4_000_000_000;

    #[test]
    fn a_foreign_file_is_refused() {
        assert!(matches!(
            refusal(&forged(|h| h["__metadata__"]["format"] = "pt".into())),
            ShapeWeightsError::Foreign { .. }
        ));
        let without = forged(|h| drop(h.as_object_mut().unwrap().remove("__metadata__")));
        assert!(matches!(refusal(&without), ShapeWeightsError::Foreign { found: None }));
    }

    #[test]
    fn a_newer_file_is_refused() {
        let error = refusal(&forged(|h| h["__metadata__"]["version"] = "2".into()));
        assert!(error.to_string().contains("version Some(\"2\"), this program reads \"1\""), "{error}");
    }

    #[test]
    fn an_absurd_architecture_is_refused_before_anything_is_allocated() {
        for (field, value) in [("nif_width", 4_000_000_000u64), ("nif_hidden", u64::MAX)] {
            let bytes = forged(|h| {
                let text = h["__metadata__"]["architecture"].as_str().unwrap();
                let mut architecture: serde_json::Value = serde_json::from_str(text).unwrap();
                architecture[field] = value.into();
                h["__metadata__"]["architecture"] = architecture.to_string().into();
            });
            assert!(matches!(refusal(&bytes), ShapeWeightsError::Architecture(_)), "{field}");
        }
        let garbage = forged(|h| h["__metadata__"]["architecture"] = "[]".into());
        assert!(matches!(refusal(&garbage), ShapeWeightsError::UnreadableArchitecture { .. }));
    }

    #[test]
    fn a_missing_tensor_is_named() {
        let bytes = forged(|h| {
            let tensor = h.as_object_mut().unwrap().remove("nif.merge.bias").unwrap();
            h["nif.merge.bias2"] = tensor;
        });
        assert!(refusal(&bytes).to_string().contains("`nif.merge.bias2`, which its architecture has no place for"));
        let mut tensors: BTreeMap<_, _> =
            tiny().architecture().tensor_shapes().into_iter().map(|(name, _)| name).zip(tiny().tensors()).collect();
        tensors.remove("nif.merge.bias");
        let error = PointNetNif::from_tensors(tiny().architecture(), tensors).err().unwrap();
        assert!(error.to_string().contains("lacks the tensor `nif.merge.bias`"), "{error}");
    }

    #[test]
    fn a_tensor_dropped_from_the_end_is_named() {
        let (mut header, data) = parts(&good());
        // `nif.out.bias` is written last: one value of 4 bytes.
        header.as_object_mut().unwrap().remove("nif.out.bias").unwrap();
        let error = refusal(&join(&header, &data[..data.len() - 4]));
        assert!(error.to_string().contains("lacks the tensor `nif.out.bias`"), "{error}");
    }

    #[test]
    fn a_transposed_tensor_is_refused() {
        let error = refusal(&forged(|h| h["nif.merge.weight"]["shape"] = serde_json::json!([10, 5])));
        assert!(error.to_string().contains("`nif.merge.weight` has the shape [10, 5], expected [5, 10]"), "{error}");
    }

    #[test]
    fn a_tensor_of_integers_is_refused() {
        let error = refusal(&forged(|h| h["nif.out.weight"]["dtype"] = "I32".into()));
        assert!(error.to_string().contains("`nif.out.weight` is I32, expected F16 or F32"), "{error}");
    }

    #[test]
    fn overlapping_tensors_are_refused() {
        let bytes = forged(|h| h["nif.out.bias"]["data_offsets"] = serde_json::json!([0, 4]));
        assert!(matches!(refusal(&bytes), ShapeWeightsError::Unreadable { .. }));
    }

    #[test]
    fn weights_that_are_not_finite_are_refused() {
        for value in [f32::NAN, f32::INFINITY] {
            let mut bytes = good();
            let last = bytes.len() - 4;
            bytes[last..].copy_from_slice(&value.to_le_bytes());
            let error = refusal(&bytes);
            assert!(matches!(&error, ShapeWeightsError::NotFinite { name, index: 0, .. } if name == "nif.out.bias"));
        }
    }

    #[test]
    fn an_oversized_file_is_refused() {
        let error = refusal(&vec![0; 132_000_001]);
        assert!(matches!(error, ShapeWeightsError::FileTooLarge { found: 132_000_001 }));
    }
}
