//! `--device`. What needs a device runs on the one that `SHAPEGUARD_TEST_GPU` names, else on Mesa's software device, and
//! says so and passes where there is none, unless `SHAPEGUARD_REQUIRE_GPU=1` promises one.

use crate::support::{fixture, run};

#[test]
fn a_device_that_is_none_is_refused_with_those_that_are() {
    let run = run!["inspect", "model", "scan", "--device", "cuda"];
    assert_eq!(run.code, 2);
    assert!(run.err.contains("expected cpu, auto, gpu or gpu:NAME"), "{}", run.err);
}

#[cfg(not(feature = "gpu"))]
#[test]
fn a_program_without_gpus_says_how_to_get_one_with_them() {
    let fixture = fixture();
    let cloud = fixture.cloud("test/good", "000");
    let error = run!["inspect", &fixture.model, &cloud, "--device", "gpu"].error();
    assert!(error.contains("cargo run --release --features gpu -- COMMAND --device gpu"), "{error}");
    let cpu = run!["inspect", &fixture.model, &cloud, "-q"];
    let error = run!["bench", &fixture.model, &cloud, "--device", "gpu:RTX"].error();
    assert!(error.contains("--device gpu:RTX: this program was built without GPUs"), "{error}");
    let auto = run!["inspect", &fixture.model, &cloud, "-q", "--device", "auto"];
    assert!(auto.err.contains("device: the CPU (this program was built without GPUs)"), "{}", auto.err);
    assert_eq!(auto.code, cpu.code);
}

#[cfg(feature = "gpu")]
mod on_a_gpu {
    use std::sync::Arc;

    use serde_json::Value;
    use shapeguard::experts::Experts;
    use shapeguard::{LoadedScan, model_file};
    use shapeguard_core::grid::ScoreMap;
    use shapeguard_data::{ReadOptions, ScanSource, read_scan};
    use shapeguard_gpu::{Gpu, GpuAppearanceExpert, GpuSearch, GpuShapeExpert};

    use super::*;

    /// Share of a map's largest value: single precision on both sides, and sparse codes between the experts that magnify
    /// what rounding there is (docs/gpu.md).
    const MAP_TOLERANCE: f32 = 1e-4;
    /// The same for scores and thresholds.
    const SCORE_TOLERANCE: f64 = 1e-4;

    fn device() -> String {
        std::env::var("SHAPEGUARD_TEST_GPU").unwrap_or_else(|_| "gpu:llvmpipe".into())
    }

    fn gpu() -> Option<Arc<Gpu>> {
        match Gpu::open(&device().parse().unwrap()) {
            Ok(gpu) => Some(gpu),
            Err(error) if std::env::var("SHAPEGUARD_REQUIRE_GPU").is_ok_and(|value| value == "1") => {
                panic!("SHAPEGUARD_REQUIRE_GPU=1 promises a device: {error}")
            }
            Err(error) => {
                eprintln!("not tested: {error}");
                None
            }
        }
    }

    #[test]
    fn no_such_device_is_an_error_that_names_those_that_are() {
        let fixture = fixture();
        let cloud = fixture.cloud("test/good", "000");
        let error = run!["inspect", &fixture.model, &cloud, "--device", "gpu:no such one"].error();
        assert!(error.contains("no device whose name contains \"no such one\""), "{error}");
        assert!(error.contains("found") && error.contains("CPU"), "{error}");
    }

    fn assert_maps_agree(what: &str, found: &ScoreMap, expected: &ScoreMap) {
        let scale = expected.as_slice().iter().copied().fold(0.0, f32::max);
        let pairs = found.as_slice().iter().zip(expected.as_slice());
        let error = pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max) / scale;
        assert!(error < MAP_TOLERANCE, "{what}: {error:e}");
        eprintln!("{what}: largest difference {error:e} of the largest value");
    }

    #[test]
    fn maps_agree_and_verdicts_are_the_same() {
        let Some(gpu) = gpu() else { return };
        let fixture = fixture();
        let cpu = model_file::load(&fixture.model).unwrap();
        let experts = cpu.experts().clone();
        let on_device = model_file::load(&fixture.model).unwrap().with_experts(Experts {
            shape: Arc::new(GpuShapeExpert::new(&gpu, &experts.shape_network().unwrap()).unwrap()),
            appearance: Arc::new(GpuAppearanceExpert::new(&gpu, &experts.appearance_network().unwrap()).unwrap()),
            search: Arc::new(GpuSearch::new(&gpu)),
            ..experts
        });
        let folders = crate::support::names(&fixture.data.join("test"));
        assert!(folders.len() >= 2, "good and defective scans");
        for folder in folders.iter().map(|name| format!("test/{name}")) {
            let (cloud, rgb) = (fixture.cloud(&folder, "000"), Some(fixture.image(&folder, "000")));
            let source = ScanSource { cloud, rgb, intrinsics: None };
            let scan = LoadedScan { scan: read_scan(&source, &ReadOptions::default()).unwrap(), mask: None };
            let (expected, found) = (cpu.inspect(&scan).unwrap(), on_device.inspect(&scan).unwrap());
            assert_eq!(found.verdict, expected.verdict, "{folder}");
            assert_maps_agree("SDF", &found.maps.shape, &expected.maps.shape);
            assert_maps_agree("RGB", &found.maps.appearance, &expected.maps.appearance);
            assert_maps_agree("fused", &found.maps.fused, &expected.maps.fused);
        }
    }

    fn number(value: &Value, key: &str) -> f64 {
        value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
    }

    fn assert_close(what: &str, found: f64, expected: f64) {
        assert!((found - expected).abs() <= SCORE_TOLERANCE * expected.abs(), "{what}: {found}, expected {expected}");
    }

    #[test]
    fn the_same_commands_with_a_device_say_the_same() {
        if gpu().is_none() {
            return;
        }
        let fixture = fixture();
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("on-device.shapeguard");
        let few = crate::support::FEW_PATCHES;
        let rate = "0.25";
        let args = ["--set", few, "--false-reject-rate", rate, "--json", "--device"];
        let mut fit: Vec<std::ffi::OsString> = vec!["fit".into(), (&fixture.data).into(), "-o".into(), (&model).into()];
        fit.extend(args.map(Into::into));
        fit.push(device().into());
        let fitted = crate::support::shapeguard(None, fit).json();
        for key in ["sdf_features", "rgb_features"] {
            assert_eq!(fitted[key], fixture.fitted[key]);
        }
        assert_close("threshold", number(&fitted, "threshold"), number(&fixture.fitted, "threshold"));

        let tests = fixture.data.join("test");
        let cpu = run!["inspect", &fixture.model, &tests];
        let code = cpu.code;
        let expected = cpu.json_lines(code);
        let found = run!["inspect", &fixture.model, &tests, "--device", device()].json_lines(code);
        assert_eq!(found.len(), 3);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((&found["scan"], &found["verdict"]), (&expected["scan"], &expected["verdict"]));
            assert_close("score", number(found, "score"), number(expected, "score"));
        }
    }
}
