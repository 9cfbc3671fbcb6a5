use std::sync::{Arc, OnceLock};

use shapeguard_gpu::{DeviceChoice, Gpu};

/// Mesa's software device, by a part of its name.
const SOFTWARE: &str = "llvmpipe";

/// The device under test; `None` where there is none and none was promised.
pub fn gpu() -> Option<Arc<Gpu>> {
    static GPU: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    GPU.get_or_init(open).clone()
}

/// Opens the device under test anew.
pub fn open() -> Option<Arc<Gpu>> {
    let name = std::env::var("SHAPEGUARD_TEST_GPU").unwrap_or_else(|_| format!("gpu:{SOFTWARE}"));
    let choice: DeviceChoice = name.parse().unwrap();
    match Gpu::open(&choice) {
        Ok(gpu) => Some(gpu),
        Err(error) if std::env::var_os("SHAPEGUARD_REQUIRE_GPU").is_some_and(|value| value == "1") => {
            panic!("SHAPEGUARD_REQUIRE_GPU=1 promises a device: {error}")
        }
        Err(error) => {
            eprintln!("not tested: {error}");
            None
        }
    }
}

/// Runs a test on the device, if there is one.
pub fn on_device(test: impl FnOnce(Arc<Gpu>)) {
    if let Some(gpu) = gpu() {
        test(gpu);
    }
}

/// Reproducible numbers in [-0.5, 0.5).
pub fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut number = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..n).map(|_| number()).collect()
}

/// Reproducible points in the cube [-0.5, 0.5).
pub fn points(n: usize, seed: u64) -> Vec<[f32; 3]> {
    numbers(3 * n, seed).as_chunks::<3>().0.to_vec()
}

/// Largest difference divided by the largest magnitude expected.
pub fn relative_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    assert!(scale > 1e-3, "the test must not compare zeros");
    let largest = |a: f32, b: f32| if b.is_nan() { f32::INFINITY } else { a.max(b) };
    found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, largest) / scale
}
