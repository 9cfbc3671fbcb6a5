//! The model file: what is saved comes back bit by bit, and nothing in a file is trusted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shapeguard::Detector;
use shapeguard::model_file::{ModelFileError, VERSION, load, load_header, save};
use shapeguard_core::memory::DualMemory;
use shapeguard_core::settings::{AppearanceMetric, Coding, Preset, Settings, ShapeScore};

use crate::support::{Scene, bits, coded_experts, fit, real_experts, settings};

/// A detector with an expert from a file, so that the model embeds it.
fn detector() -> &'static Detector {
    static DETECTOR: OnceLock<Detector> = OnceLock::new();
    DETECTOR.get_or_init(|| {
        // Colours that differ, so that there are residuals to learn a metric of.
        let coloured = |i: u8| Scene { colour: [140 + 9 * i, 110, 70 + 5 * i], ..Scene::rippled(f32::from(i) * 0.8) };
        let scenes: Vec<Scene> = (0..4).map(coloured).collect();
        let (mut settings, experts) = real_experts();
        // With everything in it that a model can have.
        let default = Settings::preset(Preset::Default);
        settings.memory = default.memory;
        settings.fusion = default.fusion;
        fit("part <1>", &scenes, &scenes[..1], settings, experts)
    })
}

/// Its file.
fn model() -> &'static [u8] {
    static MODEL: OnceLock<Vec<u8>> = OnceLock::new();
    MODEL.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.shapeguard");
        save(detector(), &path, false).unwrap();
        std::fs::read(path).unwrap()
    })
}

/// A model file taken apart, to be put together otherwise.
#[derive(Clone)]
pub struct Parts {
    pub header: Value,
    pub tensors: BTreeMap<String, Raw>,
}

#[derive(Clone)]
pub struct Raw {
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Raw {
    pub fn f32(shape: &[usize], values: &[f32]) -> Self {
        Self { dtype: "F32", shape: shape.to_vec(), bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect() }
    }

    pub fn u32(values: &[u32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { dtype: "U32", shape: vec![values.len()], bytes }
    }

    fn numbers(&self) -> Vec<u32> {
        self.bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
    }
}

impl Parts {
    pub fn of(file: &[u8]) -> Self {
        let (table, start) = table(file);
        let header = serde_json::from_str(table["__metadata__"]["shapeguard"].as_str().unwrap()).unwrap();
        let tensors = table.as_object().unwrap().iter().filter(|(name, _)| *name != "__metadata__");
        let tensors = tensors.map(|(name, info)| {
            let dtype = ["F32", "U32", "U8"].into_iter().find(|dtype| info["dtype"] == *dtype).unwrap();
            let number = |value: &Value| value.as_u64().unwrap() as usize;
            let shape = info["shape"].as_array().unwrap().iter().map(number).collect();
            let [from, to] = [0, 1].map(|end| start + number(&info["data_offsets"][end]));
            (name.clone(), Raw { dtype, shape, bytes: file[from..to].to_vec() })
        });
        Self { header, tensors: tensors.collect() }
    }

    /// Puts the file together, with the digest of what it now holds.
    pub fn file(mut self) -> Vec<u8> {
        let mut digest = Sha256::new();
        // Parts of a model for several categories have digests of their own.
        for (name, tensor) in self.tensors.iter().filter(|(name, _)| !name.starts_with("category_")) {
            digest.update(format!("{name}:{}:{:?};", tensor.dtype, tensor.shape));
            digest.update(&tensor.bytes);
        }
        let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        self.header["tensors_sha256"] = digest.into();
        let mut table =
            serde_json::Map::from_iter([("__metadata__".to_owned(), json!({ "shapeguard": self.header.to_string() }))]);
        let mut data = Vec::new();
        for (name, tensor) in &self.tensors {
            let end = data.len() + tensor.bytes.len();
            table.insert(
                name.clone(),
                json!({ "dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [data.len(), end] }),
            );
            data.extend_from_slice(&tensor.bytes);
        }
        container(&Value::Object(table).to_string(), &data)
    }

    pub fn get(&self, name: &str) -> &Raw {
        &self.tensors[name]
    }
}

fn container(table: &str, data: &[u8]) -> Vec<u8> {
    [&(table.len() as u64).to_le_bytes()[..], table.as_bytes(), data].concat()
}

/// The table of a container, and where its tensors begin.
fn table(file: &[u8]) -> (Value, usize) {
    let start = 8 + u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    (serde_json::from_slice(&file[8..start]).unwrap(), start)
}

/// Why these bytes are refused; names the file.
fn refusal(bytes: &[u8]) -> ModelFileError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("suspect.shapeguard");
    std::fs::write(&path, bytes).unwrap();
    let error = load(&path).expect_err("this model should be refused");
    assert!(error.to_string().contains("suspect.shapeguard"), "{error}");
    error
}

/// Makes sure that these bytes are refused as damaged, with the remedy and a message that says this.
fn invalid(bytes: &[u8], says: &str) {
    let error = refusal(bytes);
    assert!(matches!(error, ModelFileError::Invalid { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(says), "expected {says:?} in: {message}");
    assert!(message.contains("fit it again") && message.contains("restore it from a copy"), "{message}");
}

/// Makes sure that a sound model with this change is refused.
fn refused_with(change: impl FnOnce(&mut Parts), says: &str) {
    let mut parts = Parts::of(model());
    change(&mut parts);
    invalid(&parts.file(), says);
}

#[test]
fn a_loaded_model_inspects_bit_by_bit_as_the_saved_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deeper/model.shapeguard");
    save(detector(), &path, false).unwrap();
    let loaded = load(&path).unwrap();
    for scene in [Scene::rippled(0.3), Scene { stain: Some([20, 20, 230]), bump_m: 0.003, ..Scene::rippled(0.3) }] {
        let scan = scene.scan();
        assert_eq!(bits(&loaded.inspect(&scan).unwrap()), bits(&detector().inspect(&scan).unwrap()));
    }
    assert_eq!(loaded.settings(), detector().settings());
    assert_eq!(loaded.provenance(), detector().provenance());
    assert_eq!(loaded.threshold(), detector().threshold());
    assert_eq!(loaded.memory(), detector().memory());
    assert_eq!(loaded.alignment(), detector().alignment());
    assert_eq!(loaded.good_peak(), detector().good_peak());
    // And once more, without an expert's file beside it: the model carries it.
    let again = folder.path().join("again.shapeguard");
    save(&loaded, &again, false).unwrap();
    assert!(std::fs::read(again).unwrap() == model(), "a saved, loaded, and saved model has other bytes");
    assert_eq!(loaded.experts().shape_identity.name, "shape_tiny.safetensors");
}

#[test]
fn every_rate_survives_the_header_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.shapeguard");
    // Shares like 1 / (n + 1), whose decimals have no end.
    for n in (4..400).step_by(7) {
        let rate = 1.0 / f64::from(n);
        let mut parts = Parts::of(model());
        parts.header["false_reject_rate"] = rate.into();
        parts.header["settings"]["threshold"]["false_reject_rate"] = rate.into();
        std::fs::write(&path, parts.file()).unwrap();
        let header = load_header(&path).unwrap();
        assert_eq!(header.false_reject_rate.to_bits(), rate.to_bits(), "1 / {n}");
        assert_eq!(header.settings.threshold.false_reject_rate.to_bits(), rate.to_bits(), "1 / {n}");
    }
}

#[test]
fn the_file_can_be_put_together_by_hand() {
    // Makes sure that the refusals below are for the change alone.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.shapeguard");
    std::fs::write(&path, Parts::of(model()).file()).unwrap();
    assert_eq!(load(&path).unwrap().memory(), detector().memory());
}

#[test]
fn the_header_is_the_contract() {
    // Old models must stay readable: a change here needs a new version and a reader for this one.
    let parts = Parts::of(model());
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        keys(&parts.header),
        "appearance_expert false_reject_rate format provenance settings shape_expert tensors_sha256 threshold_basis version"
    );
    assert_eq!(parts.header["format"], "shapeguard-model");
    assert_eq!(parts.header["version"], VERSION);
    assert_eq!(keys(&parts.header["provenance"]), "data_sha256 name program_version training_scans validation_scans");
    assert_eq!(keys(&parts.header["shape_expert"]), "built_in name sha256");
    assert_eq!(parts.header["threshold_basis"], "leave-one-out");
    let tensors: Vec<String> =
        parts.tensors.iter().map(|(name, raw)| format!("{name} {} {}", raw.dtype, raw.shape.len())).collect();
    assert_eq!(
        tensors,
        [
            "alignment F32 1",
            "good_peak F32 1",
            "rgb_bank F32 2",
            "rgb_cell U32 1",
            "rgb_residual_metric F32 2",
            "rgb_sample U32 1",
            "rgb_typical_residual F32 1",
            "sdf_bank F32 2",
            "sdf_link_rows U32 1",
            "sdf_link_starts U32 1",
            "sdf_sample U32 1",
            "sdf_typical_distance F32 1",
            "sdf_typical_residual F32 1",
            "shape_expert_file U8 1",
            "threshold_good_scores F32 1",
            "threshold_score F32 1",
        ]
    );
}

#[test]
fn the_header_alone_tells_where_a_model_is_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.shapeguard");
    std::fs::write(&path, model()).unwrap();
    let header = load_header(&path).unwrap();
    assert_eq!(&header.provenance, detector().provenance());
    assert_eq!(&header.settings, detector().settings());
    assert_eq!(header.shape_expert, detector().experts().shape_identity);
    // A flipped bit in a bank does not concern it.
    let mut damaged = model().to_vec();
    damaged[model().len() - 1] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    assert!(load_header(&path).is_ok());
    invalid(&damaged, "does not have the digest");
}

#[test]
fn an_existing_file_is_left_alone_and_nothing_stays_behind() {
    let folder = tempfile::tempdir().unwrap();
    let names = || {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let path = folder.path().join("model.shapeguard");
    std::fs::write(&path, b"precious").unwrap();
    let error = save(detector(), &path, false).unwrap_err().to_string();
    assert!(error.contains("exists already and is not overwritten"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    assert_eq!(names(), ["model.shapeguard"]);
    save(detector(), &path, true).unwrap();
    assert!(std::fs::read(&path).unwrap() == model());
    assert_eq!(names(), ["model.shapeguard"]);

    // A folder in the place of the file.
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    assert!(save(detector(), &taken, true).is_err());
    assert_eq!(names().len(), 2, "{:?}", names());
}

#[test]
fn settings_that_no_program_would_read_back_are_not_saved() {
    let mut settings = settings();
    settings.memory.shape_neighbours = 0;
    let scenes: Vec<Scene> = (0..4).map(|code| Scene::coded(code, 1)).collect();
    let inputs = shapeguard::FitInputs { name: "x", train: &scenes[..], validation: &[], skip_unusable: false };
    let silent = &shapeguard_core::seams::Silent;
    let fitted = Detector::fit(inputs, |s| Ok(s.scan()), |_| String::new(), settings, coded_experts(), silent);
    // Refused by whoever sees them first.
    let Ok(detector) = fitted else { return };
    let folder = tempfile::tempdir().unwrap();
    let error = save(&detector, &folder.path().join("model.shapeguard"), false).unwrap_err().to_string();
    assert!(error.contains("memory.shape_neighbours must be at least 1"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn files_cut_anywhere_are_refused() {
    let (_, start) = table(model());
    let lengths = (0..16)
        .chain((16..start).step_by(311))
        .chain(start - 2..start + 2)
        .chain((start..model().len()).step_by(model().len() / 40))
        .chain([model().len() - 1]);
    for length in lengths {
        let error = refusal(&model()[..length]);
        assert!(matches!(error, ModelFileError::Invalid { .. }), "{length} bytes: {error:?}");
        if length >= start {
            assert!(error.to_string().contains("truncated"), "{length} bytes: {error}");
        }
    }
    let longer = [model(), &[0]].concat();
    invalid(&longer, &format!("expected {} bytes by its header, found {}", model().len(), longer.len()));
}

#[test]
fn flipped_bits_are_noticed_wherever_they_are() {
    // Every region: length, table, header, tensors.
    for position in (0..model().len()).step_by(model().len() / 60) {
        let mut damaged = model().to_vec();
        damaged[position] ^= 0x10;
        let _ = refusal(&damaged);
    }
}

#[test]
fn what_is_no_model_is_refused() {
    invalid(b"", "0 bytes, too few");
    invalid(b"PK\x03\x04 a zip archive of sufficient length", "safetensors header of at most 1048576 bytes");
    invalid(&vec![b' '; 4096], "safetensors header of at most");
    invalid(&container("[1, 2]", &[]), "something else or a damaged one");
    invalid(&container("{}", &[]), "of another program");
    let foreign = std::fs::read(crate::support::tiny_shape_expert()).unwrap();
    invalid(&foreign, "of another program: it has no Shapeguard header");
    let folder = tempfile::tempdir().unwrap();
    assert!(load(folder.path()).unwrap_err().to_string().contains("found a folder"));
    let error = load(&folder.path().join("none.shapeguard")).unwrap_err();
    assert!(matches!(error, ModelFileError::Io { .. }) && error.to_string().contains("check the path"), "{error}");
    assert!(load_header(Path::new("/no/such/model")).is_err());
}

#[test]
fn headers_that_claim_too_much_are_refused_before_anything_is_allocated() {
    for claimed in [u64::MAX, u64::MAX - 8, 1 << 62, 100_000_000, (1 << 20) + 1] {
        let mut bytes = claimed.to_le_bytes().to_vec();
        bytes.extend_from_slice(b"{\"__metadata__\":{}}");
        invalid(&bytes, &format!("found one that claims {claimed}"));
    }
    invalid(&container("{\"__metadata__\"", &[])[..12], "truncated");
    // Shapes whose product overflows, and one that fits the numbers but not the file.
    let tensor = |shape: &str, end: &str| {
        container(&format!("{{\"rgb_bank\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}"), &[])
    };
    invalid(&tensor("[4294967296,4294967296]", "0"), "damaged");
    invalid(&tensor("[9223372036854775807,2]", "16"), "damaged");
    invalid(&tensor("[18446744073709551616]", "0"), "damaged");
    invalid(&tensor("[-1]", "0"), "damaged");
    invalid(&tensor("[1099511627776]", "4398046511104"), "truncated: expected 4398046511");
    invalid(&tensor("[18446744073709551615,0]", "0"), "no Shapeguard header");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    invalid(&container(&format!("{{\"__metadata__\":{{\"shapeguard\":{deep}}}}}"), &[]), "damaged");
    // Tensors that overlap, or leave a gap.
    let two = |first: &str, second: &str| {
        let info = |at: &str| format!("{{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":{at}}}");
        container(&format!("{{\"a\":{},\"b\":{}}}", info(first), info(second)), &[0; 12])
    };
    invalid(&two("[0,4]", "[2,6]"), "damaged");
    invalid(&two("[0,4]", "[8,12]"), "damaged");
}

#[test]
fn other_formats_and_versions_are_told_apart() {
    refused_with(|parts| parts.header["format"] = "other".into(), "expected the format \"shapeguard-model\"");
    refused_with(|parts| parts.header["version"] = 0.into(), "version 1 or later, found 0");
    refused_with(|parts| parts.header["version"] = "1".into(), "header is damaged");
    refused_with(|parts| parts.header = json!({}), "header is damaged");
    for version in [u64::from(VERSION) + 1, 77, u64::MAX] {
        let mut parts = Parts::of(model());
        // A newer program may have changed everything else.
        parts.header = json!({ "format": "shapeguard-model", "version": version, "news": [1, 2] });
        let error = refusal(&parts.file());
        assert!(matches!(error, ModelFileError::Newer { found, .. } if found == version));
        let message = error.to_string();
        assert!(message.contains(&format!("version {version}")) && message.contains("update Shapeguard"), "{message}");
    }
}

/// A sound model as version 2 wrote it, with one coding for both experts and Euclid's metric.
fn as_version_2(parts: &mut Parts) {
    parts.header["version"] = 2.into();
    let memory = parts.header["settings"]["memory"].as_object_mut().unwrap();
    for later in ["shape_coding", "appearance_coding", "appearance_share", "appearance_metric", "shape_score"] {
        memory.remove(later).unwrap();
    }
    memory.insert("coding".into(), "nearest-neighbour".into());
    parts.header["settings"].as_object_mut().unwrap().remove("reference_quirks").unwrap();
    parts.tensors.remove("rgb_residual_metric").unwrap();
}

#[test]
fn what_version_2_lacked_gets_the_values_that_it_worked_by() {
    let mut parts = Parts::of(model());
    as_version_2(&mut parts);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.shapeguard");
    std::fs::write(&path, parts.file()).unwrap();
    let loaded = load(&path).unwrap();
    let mut expected = detector().settings().clone();
    expected.memory.shape_coding = Coding::NearestNeighbour;
    expected.memory.appearance_coding = Coding::NearestNeighbour;
    expected.memory.appearance_metric = AppearanceMetric::Euclidean;
    expected.memory.shape_score = ShapeScore::LargestPatch;
    assert_eq!(loaded.settings(), &expected);
    assert_eq!(loaded.memory(), &DualMemory { appearance_metric: None, ..detector().memory().clone() });
}

#[test]
fn settings_of_another_version_are_refused() {
    let changed = |change: &dyn Fn(&mut Value), says: &str| {
        let old = |parts: &mut Parts| {
            as_version_2(parts);
            change(&mut parts.header["settings"]);
        };
        refused_with(old, says);
    };
    let has = |key: &str| format!("has the setting {key}, which version 2 did not have");
    changed(&|s| s["memory"]["shape_coding"] = "sparse".into(), &has("memory.shape_coding"));
    changed(&|s| s["memory"]["appearance_share"] = 0.5.into(), &has("memory.appearance_share"));
    changed(&|s| s["memory"]["appearance_metric"] = "euclidean".into(), &has("memory.appearance_metric"));
    changed(&|s| s["memory"]["shape_score"] = "shared-top".into(), &has("memory.shape_score"));
    changed(&|s| s["reference_quirks"] = json!({ "zero_is_unset": true }), &has("reference_quirks"));
    let without = |settings: &mut Value| drop(settings["memory"].as_object_mut().unwrap().remove("coding"));
    changed(&without, "no setting memory.coding");
    refused_with(|parts| parts.header["settings"]["memory"]["coding"] = "sparse".into(), "header is damaged");
}

#[test]
fn every_part_of_the_header_is_needed_and_checked() {
    let keys: Vec<String> = Parts::of(model()).header.as_object().unwrap().keys().cloned().collect();
    for key in keys.iter().filter(|key| *key != "tensors_sha256") {
        refused_with(
            |parts| {
                parts.header.as_object_mut().unwrap().remove(key);
            },
            "header is damaged",
        );
    }
    refused_with(|parts| parts.header["settings"]["patches"]["overlap"] = Value::Null, "header is damaged");
    refused_with(|parts| parts.header["settings"]["surprise"] = 1.into(), "header is damaged");
    for rate in [json!(0.0), json!(1.0), json!(-3.0), json!(1e300)] {
        refused_with(|parts| parts.header["false_reject_rate"] = rate, "false-reject rate between 0 and 1");
    }
    // Settings that would take forever, or all memory.
    for (group, key, value) in [
        ("patches", "overlap", json!(1_000_000)),
        ("patches", "points_per_patch", json!(0)),
        ("patches", "points_per_patch", json!(u64::MAX)),
        ("memory", "shape_neighbours", json!(1u64 << 40)),
        ("memory", "nonzeros", json!(0)),
        ("memory", "appearance_share", json!(0.0)),
        ("foreground", "pad_multiple_px", json!(65_536)),
        ("foreground", "plane_hypotheses", json!(4_000_000_000u64)),
        ("foreground", "cluster_eps_m", json!(-1.0)),
        ("fusion", "blur_sigma_px", json!(0.0)),
        ("threshold", "false_reject_rate", json!(2.0)),
    ] {
        refused_with(
            |parts| parts.header["settings"][group][key] = value,
            &format!("its settings make no sense: {group}.{key} must"),
        );
    }
}

#[test]
fn every_tensor_is_needed_in_its_form() {
    let names: Vec<String> = Parts::of(model()).tensors.keys().cloned().collect();
    for name in names.iter().filter(|name| *name != "shape_expert_file") {
        let remove = |parts: &mut Parts| {
            parts.tensors.remove(name);
        };
        refused_with(remove, &format!("the tensor {name:?} is missing"));
        let other_numbers = |parts: &mut Parts| {
            let tensor = parts.tensors.get_mut(name).unwrap();
            tensor.dtype = if tensor.dtype == "F32" { "U32" } else { "F32" };
        };
        refused_with(other_numbers, &format!("the tensor {name:?} must be"));
        let other_rank = |parts: &mut Parts| parts.tensors.get_mut(name).unwrap().shape.push(1);
        refused_with(other_rank, &format!("the tensor {name:?} must be"));
    }
    // One more value than fits the others.
    for name in ["alignment", "good_peak", "threshold_score", "rgb_cell", "rgb_sample", "sdf_sample", "sdf_link_starts"]
    {
        let longer = |parts: &mut Parts| {
            let tensor = parts.tensors.get_mut(name).unwrap();
            tensor.shape[0] += 1;
            tensor.bytes.extend_from_slice(&[0; 4]);
        };
        refused_with(longer, &format!("the tensor {name:?} must have"));
    }
    let unknown = |parts: &mut Parts| {
        parts.tensors.insert("payload".into(), Raw::u32(&[1]));
    };
    refused_with(unknown, "the tensor \"payload\", which no model has");
    let other_kind = |parts: &mut Parts| {
        let mut tensor = Raw::u32(&[1]);
        tensor.dtype = "I32";
        parts.tensors.insert("rgb_cell".into(), tensor);
    };
    refused_with(other_kind, "must be U32");
}

#[test]
fn numbers_that_are_none_are_refused() {
    let typical = ["sdf_typical_distance", "sdf_typical_residual", "rgb_typical_residual"];
    let others = [
        "rgb_residual_metric",
        "sdf_bank",
        "rgb_bank",
        "alignment",
        "good_peak",
        "threshold_score",
        "threshold_good_scores",
    ];
    for name in typical.into_iter().chain(others) {
        for bad in [f32::NAN, f32::INFINITY] {
            let spoil = |parts: &mut Parts| {
                let bytes = &mut parts.tensors.get_mut(name).unwrap().bytes;
                let last = bytes.len() - 4;
                bytes[last..].copy_from_slice(&bad.to_le_bytes());
            };
            refused_with(spoil, &format!("the tensor {name:?} holds {bad} at index"));
        }
    }
}

#[test]
fn scores_that_cannot_be_are_refused() {
    let set_last = |name: &'static str, value: f32| {
        move |parts: &mut Parts| {
            let bytes = &mut parts.tensors.get_mut(name).unwrap().bytes;
            let last = bytes.len() - 4;
            bytes[last..].copy_from_slice(&value.to_le_bytes());
        }
    };
    refused_with(set_last("rgb_typical_residual", -1.0), "\"rgb_typical_residual\" holds negative scores");
    let triangle = "\"rgb_residual_metric\" must be a lower triangle with a positive diagonal";
    refused_with(set_last("rgb_residual_metric", 0.0), triangle);
    let above = |parts: &mut Parts| {
        parts.tensors.get_mut("rgb_residual_metric").unwrap().bytes[4..8].copy_from_slice(&1.0f32.to_le_bytes());
    };
    refused_with(above, triangle);
    let oblong = |parts: &mut Parts| parts.tensors.get_mut("rgb_residual_metric").unwrap().shape = vec![32, 128];
    refused_with(oblong, "\"rgb_residual_metric\" must have 64 x 64 values, found [32, 128]");
    // The last value of the alignment is the deviation that its rule measures in.
    refused_with(set_last("alignment", 0.0), "fusion.rule");
}

#[test]
fn indices_that_lead_elsewhere_are_refused() {
    let change = |name: &'static str, edit: &'static dyn Fn(&mut Vec<u32>), says: &str| {
        refused_with(
            |parts| {
                let mut numbers = parts.get(name).numbers();
                edit(&mut numbers);
                parts.tensors.insert(name.into(), Raw::u32(&numbers));
            },
            says,
        );
    };
    change("rgb_cell", &|cells| cells[3] = 784, "cell 784, there are 784");
    change("rgb_cell", &|cells| cells[3] = u32::MAX, "cell 4294967295");
    change("sdf_sample", &|samples| samples.reverse(), "SDF bank's sample numbers are not ascending");
    change("rgb_sample", &|samples| samples[0] = 1, "RGB bank's sample numbers are not ascending");
    change("sdf_sample", &|samples| *samples.last_mut().unwrap() = 4, "sample 4, the model was fitted to 4 scans");
    change("rgb_sample", &|samples| *samples.last_mut().unwrap() = u32::MAX, "sample 4294967295");
    change("sdf_link_starts", &|starts| starts[0] = 1, "links between the banks do not fit");
    change("sdf_link_starts", &|starts| starts.swap(1, 2), "links between the banks do not fit");
    change("sdf_link_starts", &|starts| *starts.last_mut().unwrap() += 1, "links between the banks do not fit");
    change("sdf_link_starts", &|starts| *starts.last_mut().unwrap() = u32::MAX, "links between the banks do not fit");
    change("sdf_link_rows", &|rows| rows[0] = u32::MAX, "links between the banks do not fit");
    change("sdf_link_rows", &|rows| rows.swap(0, 1), "links between the banks are not ascending");
    change("sdf_link_rows", &|rows| rows[1] = rows[0], "links between the banks are not ascending");
    change("sdf_link_rows", &|rows| rows[0] = *rows.last().unwrap(), "links between the banks are not ascending");
    // In order, but of the last sample instead of the first.
    let elsewhere = |parts: &mut Parts| {
        let starts = parts.get("sdf_link_starts").numbers();
        let mut rows = parts.get("sdf_link_rows").numbers();
        let last = *rows.last().unwrap();
        rows[starts[1] as usize - 1] = last;
        parts.tensors.insert("sdf_link_rows".into(), Raw::u32(&rows));
    };
    refused_with(elsewhere, "leads to a feature of another sample");
}

#[test]
fn banks_and_scores_that_fit_nothing_are_refused() {
    refused_with(
        |parts| {
            parts.tensors.insert("sdf_bank".into(), Raw::f32(&[0, 10], &[]));
        },
        "a memory bank is empty",
    );
    refused_with(
        |parts| {
            let rows = parts.get("rgb_bank").shape[0];
            parts.tensors.insert("rgb_bank".into(), Raw::f32(&[rows, 0], &[]));
        },
        "a memory bank is empty",
    );
    refused_with(
        |parts| {
            let rows = parts.get("rgb_bank").shape[0];
            parts.tensors.insert("rgb_bank".into(), Raw::f32(&[rows, 2], &vec![0.5; 2 * rows]));
            parts.tensors.insert("rgb_residual_metric".into(), Raw::f32(&[2, 2], &[1.0, 0.0, 0.0, 1.0]));
        },
        "RGB bank has features of length 2, its expert's have",
    );
    refused_with(
        |parts| {
            parts.tensors.insert("threshold_good_scores".into(), Raw::f32(&[3], &[1.0, 3.0, 2.0]));
        },
        "good scores must be ascending",
    );
    refused_with(
        |parts| {
            parts.tensors.insert("threshold_good_scores".into(), Raw::f32(&[0], &[]));
        },
        "good scores must be ascending and not empty",
    );
}

#[test]
fn an_altered_expert_is_refused() {
    let experts_error = |change: &dyn Fn(&mut Parts), says: &str| {
        let mut parts = Parts::of(model());
        change(&mut parts);
        let error = refusal(&parts.file());
        assert!(matches!(error, ModelFileError::Experts { .. }), "{error:?}");
        assert!(error.to_string().contains(says), "expected {says:?} in: {error}");
    };
    let missing = |parts: &mut Parts| {
        parts.tensors.remove("shape_expert_file");
    };
    experts_error(&missing, "weights are missing or altered");
    let altered = |parts: &mut Parts| {
        let bytes = &mut parts.tensors.get_mut("shape_expert_file").unwrap().bytes;
        *bytes.last_mut().unwrap() ^= 1;
    };
    experts_error(&altered, "weights are missing or altered");
    let other_program = |parts: &mut Parts| parts.header["appearance_expert"]["sha256"] = "00".into();
    experts_error(&other_program, "this program carries");
}
