//! The simulator's datasets on disk: layout, consent, digests.

use std::path::Path;

use shapeguard_core::seams::Silent;
use shapeguard_data::simulator::{CameraParameters, Category, Suite, SuiteError};
use shapeguard_data::{DataError, Dataset};

/// A suite of one small category: two training scans, one of each other good kind, one of each defect.
fn small() -> Suite {
    let text = r#"{"name": "small", "seed": 5, "strength": 1.0, "train": 2, "validation": 1, "test_good": 1,
        "test_defective": 6, "categories": [{"category": "cork"}]}"#;
    Suite::from_json("small", text).unwrap()
}

#[test]
fn a_category_is_written_in_the_known_layout_and_verified() {
    let root = tempfile::tempdir().unwrap();
    let suite = small().frozen(&Silent);
    let folders = suite.write(root.path(), false, &Silent).unwrap();
    assert_eq!(folders, [root.path().join("cork")]);
    let names: Vec<_> = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["cork"], "no temporary folder stays");

    let dataset = Dataset::open(&folders[0]).unwrap();
    assert_eq!((dataset.train.len(), dataset.validation.len(), dataset.test.len()), (2, 1, 7));
    let kinds = Category::Cork.defect_kinds();
    for kind in kinds {
        assert!(dataset.test.iter().any(|test| test.defect == kind.name() && test.truth.is_some()), "{kind}");
    }
    let truth =
        image::open(folders[0].join("test").join(kinds[0].name()).join("gt").join("000.png")).unwrap().to_luma8();
    let mut values: Vec<u8> = truth.into_raw();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values, [0, kinds[0].mask_value()]);

    let text = std::fs::read_to_string(folders[0].join("calibration").join("camera_parameters.json")).unwrap();
    let camera: CameraParameters = serde_json::from_str(&text).unwrap();
    assert_eq!((camera.image_height, camera.image_width), (400, 400));
    assert!((camera.baseline_m - 0.15).abs() < 1e-6 && camera.focal_length_px > 400.0);

    suite.verify_folder(Category::Cork, &folders[0]).unwrap();
    suite.verify(Category::Cork).unwrap();
    // One scan in another's place is found and named.
    let train = folders[0].join("train").join("good").join("rgb");
    std::fs::copy(train.join("000.png"), train.join("001.png")).unwrap();
    let error = suite.verify_folder(Category::Cork, &folders[0]).unwrap_err();
    assert!(
        matches!(&error, SuiteError::Differs { first, .. } if Path::new(first) == Path::new("train/good/001")),
        "{error}"
    );
}

#[test]
fn a_folder_with_something_in_it_is_replaced_only_with_consent() {
    let root = tempfile::tempdir().unwrap();
    let mine = root.path().join("cork").join("mine.txt");
    std::fs::create_dir_all(mine.parent().unwrap()).unwrap();
    std::fs::write(&mine, "keep me").unwrap();
    let mut suite = small();
    (suite.train, suite.validation, suite.test_good, suite.test_defective) = (1, 0, 0, 0);
    let error = suite.write(root.path(), false, &Silent).unwrap_err();
    assert!(matches!(error, SuiteError::Data(DataError::Exists { .. })), "{error}");
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "keep me");
    suite.write(root.path(), true, &Silent).unwrap();
    assert!(!mine.exists());
    assert_eq!(Dataset::open(&root.path().join("cork")).unwrap().train.len(), 1);
}

#[test]
fn the_embedded_definitions_are_sound() {
    for name in Suite::names() {
        let suite = Suite::by_name(name).unwrap();
        assert_eq!(&suite.name, name);
        assert!(!suite.categories().is_empty());
        assert_eq!(Suite::from_json(name, &suite.to_json().unwrap()).unwrap(), suite);
        for category in suite.categories() {
            let scans = suite.scans(category);
            assert_eq!(scans.len(), suite.scans_per_category());
            let mut indices: Vec<u64> = scans.iter().map(|scan| scan.sample_index).collect();
            indices.sort_unstable();
            indices.dedup();
            assert_eq!(indices.len(), scans.len(), "every scan is a sample of its own");
        }
    }
    let v1 = Suite::v1();
    assert_eq!(v1.categories(), Category::list());
    assert_eq!((v1.train, v1.validation, v1.test_good, v1.test_defective), (20, 4, 10, 20));
    assert!(Suite::by_name("v0").is_none());
}

#[test]
fn a_definition_that_is_none_is_refused() {
    let error = Suite::from_json("mine", &small().to_json().unwrap().replace("cork", "unicorn")).unwrap_err();
    assert!(error.to_string().contains("unicorn"), "{error}");
    assert!(matches!(small().only("gear"), Err(SuiteError::UnknownCategory { .. })));
    assert!(matches!(small().verify_folder(Category::Gear, Path::new("nowhere")), Err(SuiteError::Data(_))));
}

/// A sample of the benchmark is simulated again; the whole of it takes minutes (example `freeze_suite`).
#[test]
fn the_benchmark_is_as_frozen() {
    let v1 = Suite::v1();
    let categories = v1.categories();
    assert!(categories.iter().all(|category| v1.committed_digest(*category).is_some()), "a digest is missing");
    for category in [Category::Bracket, Category::Cork, Category::Spool] {
        let scans = v1.scans(category);
        for position in [0, scans.len() - 1] {
            let digest = v1.scan_digest(category, &scans[position]);
            let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(v1.committed_scan_digest(category, position), Some(hex.as_str()), "{category}, scan {position}");
        }
    }
}
