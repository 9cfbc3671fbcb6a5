//! The file of a model for several categories: what is saved comes back bit by bit, and nothing in it is trusted.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use shapeguard::model_file::{
    ModelFileError, ROUTED_VERSION, load, load_header, load_model, save, save_model, save_routed,
};
use shapeguard::{Model, RoutedDetector};

use crate::model_file::{Parts, Raw};
use crate::routed::{LEMON, PLUM, fit_category, part, parts};
use crate::support::{bits, real_experts, seeing_experts, settings};

/// A model of two categories with an expert from a file, which it embeds.
fn model() -> &'static RoutedDetector {
    static MODEL: OnceLock<RoutedDetector> = OnceLock::new();
    MODEL.get_or_init(|| {
        let (settings, experts) = real_experts();
        let fit = |name, colour| fit_category(name, &parts(colour, 0..4), settings.clone(), experts.clone());
        RoutedDetector::new(vec![fit("plum", PLUM), fit("lemon", LEMON)]).unwrap()
    })
}

fn saved(model: &RoutedDetector) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deeper/model.shapeguard");
    save_routed(model, &path, false).unwrap();
    std::fs::read(path).unwrap()
}

/// Its file.
fn file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| saved(model()))
}

fn with_file<T>(bytes: &[u8], run: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("suspect.shapeguard");
    std::fs::write(&path, bytes).unwrap();
    run(&path)
}

fn refusal(bytes: &[u8]) -> ModelFileError {
    let error = with_file(bytes, load_model).expect_err("this model should be refused");
    assert!(error.to_string().contains("suspect.shapeguard"), "{error}");
    error
}

/// Makes sure that these bytes are refused as damaged, with the remedy and a message that says this.
#[track_caller]
fn invalid(bytes: &[u8], says: &str) {
    let error = refusal(bytes);
    assert!(matches!(error, ModelFileError::Invalid { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(says), "expected {says:?} in: {message}");
    assert!(message.contains("fit it again") && message.contains("restore it from a copy"), "{message}");
}

/// Makes sure that a sound model with this change is refused.
#[track_caller]
fn refused_with(change: impl FnOnce(&mut Parts), says: &str) {
    let mut parts = Parts::of(file());
    change(&mut parts);
    invalid(&parts.file(), says);
}

/// Changes one category's part, which gets the digest of what it then holds.
fn change_part(parts: &mut Parts, name: &str, change: impl FnOnce(&mut Parts)) {
    let mut part = Parts::of(&parts.get(name).bytes);
    change(&mut part);
    let bytes = part.file();
    parts.tensors.insert(name.into(), Raw { dtype: "U8", shape: vec![bytes.len()], bytes });
}

#[test]
fn a_loaded_model_says_bit_by_bit_the_same() {
    let Model::Routed(loaded) = with_file(file(), load_model).unwrap() else { panic!("it has two categories") };
    assert_eq!(loaded.router(), model().router());
    for (loaded, fitted) in loaded.detectors().iter().zip(model().detectors()) {
        assert_eq!(loaded.provenance(), fitted.provenance());
        assert_eq!(loaded.memory(), fitted.memory());
        assert_eq!(loaded.threshold(), fitted.threshold());
        assert_eq!(loaded.settings(), fitted.settings());
    }
    for scene in [part(PLUM, 21), part(LEMON, 22)] {
        let scan = scene.scan();
        let (found, expected) = (loaded.inspect(&scan), model().inspect(&scan));
        assert_eq!(found.route, expected.route);
        assert!(found.route.unwrap().is_known, "{:?}", found.route);
        assert_eq!(bits(&found.outcome.unwrap()), bits(&expected.outcome.unwrap()));
    }
    // One copy of the experts, in memory as in the file.
    let [first, second] = loaded.detectors() else { panic!("two detectors") };
    assert!(std::sync::Arc::ptr_eq(&first.experts().shape, &second.experts().shape));
    assert!(std::sync::Arc::ptr_eq(&first.experts().appearance, &second.experts().appearance));
    assert!(saved(&loaded) == file(), "a saved, loaded, and saved model has other bytes");
    assert!(
        with_file(file(), |path| save_model(&Model::Routed(loaded), path, false)).is_err(),
        "nothing is overwritten"
    );
}

#[test]
fn a_category_s_part_is_the_file_of_its_own_model() {
    // With experts that are built in, so that no weights are taken out.
    let fit = |name, colour| fit_category(name, &parts(colour, 0..4), settings(), seeing_experts());
    let model = RoutedDetector::new(vec![fit("plum", PLUM), fit("lemon", LEMON)]).unwrap();
    let whole = Parts::of(&saved(&model));
    let folder = tempfile::tempdir().unwrap();
    for (index, detector) in model.detectors().iter().enumerate() {
        let path = folder.path().join(index.to_string());
        save(detector, &path, false).unwrap();
        assert!(std::fs::read(path).unwrap() == whole.get(&format!("category_{index}")).bytes);
    }
}

#[test]
fn the_header_is_the_contract() {
    let parts = Parts::of(file());
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let expected =
        ["appearance_expert", "categories", "format", "program_version", "shape_expert", "tensors_sha256", "version"];
    assert_eq!(keys(&parts.header), BTreeSet::from(expected.map(String::from)));
    assert_eq!(parts.header["format"], "shapeguard-routed-model");
    assert_eq!(parts.header["version"], ROUTED_VERSION);
    assert_eq!(parts.header["categories"], json!(["plum", "lemon"]));
    let names: Vec<&str> = parts.tensors.keys().map(String::as_str).collect();
    let expected = [
        "category_0",
        "category_1",
        "router_centres",
        "router_mean",
        "router_typical",
        "router_whitening",
        "shape_expert_file",
    ];
    assert_eq!(names, expected);
    // Mean and deviation of the 64 values of the embedded colour expert.
    assert_eq!(parts.get("router_whitening").shape, [128, 128]);
    assert_eq!(parts.get("router_centres").shape, [2, 128]);
    // The weights are there once.
    assert!(!Parts::of(&parts.get("category_0").bytes).tensors.contains_key("shape_expert_file"));
    // Putting it together by hand makes sure that the refusals below are for the change alone.
    assert!(with_file(&parts.file(), load_model).is_ok());
}

#[test]
fn who_wants_a_single_detector_is_told_what_it_is() {
    with_file(file(), |path| {
        for error in [load(path).unwrap_err(), load_header(path).unwrap_err()] {
            assert!(matches!(error, ModelFileError::Several { .. }), "{error:?}");
            let message = error.to_string();
            assert!(message.contains("several kinds of parts (plum, lemon)"), "{message}");
        }
    });
    // And the other way round, either kind is read.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("single");
    save_model(&Model::Single(Box::new(fit_single())), &path, false).unwrap();
    assert!(matches!(load_model(&path).unwrap(), Model::Single(_)));
}

fn fit_single() -> shapeguard::Detector {
    let (settings, experts) = real_experts();
    fit_category("plum", &parts(PLUM, 0..4), settings, experts).detector
}

#[test]
fn truncated_and_damaged_files_are_refused() {
    let whole = file();
    for length in [0, 7, 100, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        invalid(&whole[..length], if length < 8 { "too few" } else { "truncated" });
    }
    invalid(&[whole, b"more"].concat(), "damaged");
    // A bit of every tensor, and of every tensor of a category's part.
    let names: Vec<String> = Parts::of(whole).tensors.keys().cloned().collect();
    for name in names {
        let start = |file: &[u8], bytes: &[u8]| file.windows(bytes.len()).position(|window| window == bytes).unwrap();
        let bytes = Parts::of(whole).get(&name).bytes.clone();
        let mut altered = whole.to_vec();
        let at = start(whole, &bytes[..bytes.len().min(4096)]) + bytes.len() - 1;
        altered[at] ^= 1;
        invalid(&altered, "does not have the digest");
    }
}

#[test]
fn versions_and_headers_are_checked() {
    for version in [u64::from(ROUTED_VERSION) + 1, u64::MAX] {
        let mut parts = Parts::of(file());
        // Whatever else a newer header has, its version is told first.
        parts.header = json!({ "format": "shapeguard-routed-model", "version": version });
        let error = refusal(&parts.file());
        assert!(matches!(error, ModelFileError::NewerRouted { found, .. } if found == version), "{error:?}");
        assert!(error.to_string().contains("update Shapeguard"), "{error}");
    }
    refused_with(|parts| parts.header["version"] = 0.into(), "expected the version 1 or later");
    refused_with(|parts| parts.header["format"] = "other".into(), "expected the format");
    for key in ["categories", "shape_expert", "appearance_expert", "program_version"] {
        refused_with(|parts| drop(parts.header.as_object_mut().unwrap().remove(key)), "header is damaged");
    }
    refused_with(|parts| parts.header["categories"] = json!([]), "it has no category");
    refused_with(|parts| parts.header["categories"] = json!(["plum", 7]), "header is damaged");
    // The newest version of a category's part is its own.
    let mut parts = Parts::of(file());
    change_part(&mut parts, "category_1", |part| part.header["version"] = 99.into());
    assert!(matches!(refusal(&parts.file()), ModelFileError::Newer { found: 99, .. }));
}

#[test]
fn categories_that_do_not_fit_are_refused() {
    refused_with(|parts| parts.header["categories"] = json!(["plum"]), "\"router_centres\" must be [1, 128]");
    refused_with(
        |parts| parts.header["categories"] = json!(["plum", "lemon", "fig"]),
        "must be [3, 128], found [2, 128]",
    );
    refused_with(
        |parts| parts.header["categories"] = json!(["lemon", "plum"]),
        "expected the category \"lemon\" at its place",
    );
    let same_name = |parts: &mut Parts| {
        parts.header["categories"] = json!(["plum", "plum"]);
        change_part(parts, "category_1", |part| part.header["provenance"]["name"] = "plum".into());
    };
    refused_with(same_name, "two categories are called \"plum\"");
    refused_with(
        |parts| change_part(parts, "category_1", |part| part.header["settings"]["seed"] = 5.into()),
        "fitted with different settings",
    );
    refused_with(
        |parts| change_part(parts, "category_1", |part| part.header["appearance_expert"]["name"] = "other".into()),
        "\"lemon\" was fitted with other experts",
    );
    let own_expert = |parts: &mut Parts| {
        let expert = parts.get("shape_expert_file").clone();
        change_part(parts, "category_1", |part| drop(part.tensors.insert("shape_expert_file".into(), expert)));
    };
    refused_with(own_expert, "weights of its own");
    let nested = |parts: &mut Parts| {
        let bytes = file().to_vec();
        parts.tensors.insert("category_1".into(), Raw { dtype: "U8", shape: vec![bytes.len()], bytes });
    };
    refused_with(nested, "category \"lemon\": expected a single category, found a model for several");
    for (bytes, says) in [(&b""[..], "too few for any model"), (&[0xff; 64], "at most 1048576 bytes")] {
        let broken = |parts: &mut Parts| {
            let raw = Raw { dtype: "U8", shape: vec![bytes.len()], bytes: bytes.to_vec() };
            parts.tensors.insert("category_0".into(), raw);
        };
        refused_with(
            broken,
            &format!("category \"plum\": {}", if bytes.is_empty() { "it has 0 bytes" } else { "expected" }),
        );
        refused_with(broken, says);
    }
    // What a category's part is checked for, it is checked for here too, and the category is named.
    refused_with(
        |parts| {
            change_part(parts, "category_1", |part| {
                part.tensors.insert("rgb_cell".into(), Raw::u32(&[0])).map_or((), drop)
            })
        },
        "category \"lemon\": the tensor \"rgb_cell\" must have",
    );
}

#[test]
fn a_router_of_wrong_dimensions_or_numbers_is_refused() {
    for name in ["router_mean", "router_whitening", "router_centres", "router_typical", "category_0", "category_1"] {
        refused_with(|parts| drop(parts.tensors.remove(name)), &format!("the tensor {name:?} is missing"));
        let other_rank = |parts: &mut Parts| parts.tensors.get_mut(name).unwrap().shape.push(1);
        refused_with(other_rank, &format!("the tensor {name:?} must be"));
    }
    let resized = |name: &'static str, shape: &'static [usize]| {
        move |parts: &mut Parts| {
            let values = vec![0.5; shape.iter().product()];
            parts.tensors.insert(name.into(), Raw::f32(shape, &values));
        }
    };
    refused_with(resized("router_whitening", &[128, 127]), "\"router_whitening\" must be [128, 128]");
    refused_with(resized("router_typical", &[3]), "\"router_typical\" must be [2]");
    refused_with(resized("router_mean", &[64]), "\"router_whitening\" must be [64, 64]");
    let consistent_but_short = |parts: &mut Parts| {
        let changes: [(&'static str, &'static [usize]); 3] =
            [("router_mean", &[64]), ("router_whitening", &[64, 64]), ("router_centres", &[2, 64])];
        changes.into_iter().for_each(|(name, shape)| resized(name, shape)(parts));
    };
    refused_with(consistent_but_short, "its router takes 64 values, expected 2 for each of the 64");
    for bad in [f32::NAN, f32::INFINITY, 0.0, -1.0] {
        let says = if bad.is_finite() { "expected distances above 0" } else { "at index" };
        refused_with(|parts| drop(parts.tensors.insert("router_typical".into(), Raw::f32(&[2], &[1.0, bad]))), says);
    }
    refused_with(
        |parts| drop(parts.tensors.insert("category_2".into(), Raw::u32(&[1]))),
        "which no model of 2 categories has",
    );
    refused_with(|parts| drop(parts.tensors.insert("payload".into(), Raw::u32(&[1]))), "\"payload\"");
}

#[test]
fn missing_or_altered_experts_are_refused() {
    let mut parts = Parts::of(file());
    parts.tensors.remove("shape_expert_file");
    let error = refusal(&parts.file());
    assert!(
        matches!(error, ModelFileError::Experts { .. }) && error.to_string().contains("missing or altered"),
        "{error}"
    );
}
