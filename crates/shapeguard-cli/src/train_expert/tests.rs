use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: TrainExpertArgs,
}

fn train_with(options: &[&str]) -> Result<()> {
    run(&Cli::try_parse_from(["train-expert"].iter().chain(options))?.args, &Bars::hidden())
}

#[test]
fn the_shipped_experts_close_what_they_should_on_held_back_categories() {
    for (name, least) in [("paper", 0.90), ("compact", 0.85)] {
        let expert = shapeguard_experts::shape::builtin(name).unwrap();
        let measured = measure(&expert).unwrap();
        assert!(measured.analytic < 0.7 * measured.unmoved, "{name}: {measured:?}");
        assert!(measured.closed_share >= least, "{name}: {measured:?}");
    }
}

#[test]
fn a_training_ends_in_weights_that_can_be_used_and_says_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (out, log, checkpoint) = (path("out.safetensors"), path("log"), path("checkpoint"));
    let tiny = r#"{"encoder_point":[8,16],"encoder_dense":[8],"nif_width":12,"nif_hidden":1}"#;
    let options = ["--architecture", tiny, "--scans", "0", "--surfaces", "1", "--surface-patches", "8"];
    let files = ["--steps", "50", "--out", &out, "--log", &log, "--checkpoint", &checkpoint];
    train_with(&[&options[..], &files[..]].concat()).unwrap();
    let bytes = std::fs::read(&out).unwrap();
    assert!(PointNetNif::from_safetensors(&bytes).is_ok());
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("8 analytic surface patches") && text.contains("connector, gear, pear, ring-roll"));
    let log = std::fs::read_to_string(&log).unwrap();
    let line: serde_json::Value = serde_json::from_str(log.trim()).unwrap();
    assert_eq!(line["step"], 50);
    // It is at its end: going on from there gives the same weights.
    let again = path("again.safetensors");
    train_with(&[&options[..], &["--resume", &checkpoint, "--out", &again]].concat()).unwrap();
    assert!(std::fs::read(&again).unwrap() == bytes);
    let error = train_with(&[&options[..], &files[..]].concat()).unwrap_err().to_string();
    assert!(error.contains("exists already") && error.contains("--force"), "{error}");
}

#[test]
fn what_must_not_or_cannot_be_trained_is_refused() {
    let refused = |options: &[&str]| format!("{:#}", train_with(options).unwrap_err());
    let out = ["--out", "never-written.safetensors"];
    let held_back = refused(&[&out[..], &["--simulated", "gear"]].concat());
    assert!(held_back.contains("gear is held back"), "{held_back}");
    let unknown = refused(&[&out[..], &["--simulated", "unicorn"]].concat());
    assert!(unknown.contains("there are biscuit, bracket"), "{unknown}");
    let shape = refused(&[&out[..], &["--scans", "0", "--surface-patches", "4", "--architecture", "huge"]].concat());
    assert!(shape.contains("neither `paper` nor `compact`"), "{shape}");
    let no_steps = refused(&[&out[..], &["--steps", "0"]].concat());
    assert!(no_steps.contains("`steps` is 0"), "{no_steps}");
    let both = refused(&[&out[..], &["--paper-schedule", "--steps", "5"]].concat());
    assert!(both.contains("cannot be used with"), "{both}");
    let missing = refused(&["--evaluate", "/no/such/weights"]);
    assert!(missing.contains("/no/such/weights"), "{missing}");
    assert!(!Path::new("never-written.safetensors").exists());
}

/// A training that takes no time.
const TINY: [&str; 10] = [
    "--architecture",
    r#"{"encoder_point":[8,16],"encoder_dense":[8],"nif_width":12,"nif_hidden":1}"#,
    "--scans",
    "0",
    "--surfaces",
    "1",
    "--surface-patches",
    "8",
    "--steps",
    "20",
];

#[test]
fn a_device_that_is_none_is_refused() {
    let out = ["--out", "never-written.safetensors"];
    let refused = |device: &str| train_with(&[&TINY[..], &out, &["--device", device]].concat()).unwrap_err();
    let error = refused("cuda").to_string();
    assert!(error.contains("expected cpu, auto, gpu or gpu:NAME"), "{error}");
    let error = refused("gpu:no such one").to_string();
    let expected = match cfg!(feature = "train-gpu") {
        true => "no device whose name contains \"no such one\"",
        false => "--device gpu:no such one: this program was built without training on GPUs",
    };
    assert!(error.contains(expected), "{error}");
    let both = train_with(&["--evaluate", "weights", "--device", "gpu"]).unwrap_err().to_string();
    assert!(both.contains("cannot be used with"), "{both}");
}

#[cfg(feature = "train-gpu")]
#[test]
fn a_training_on_gpu_and_cpu_ends_in_experts_that_are_as_good() {
    let device = std::env::var("SHAPEGUARD_TEST_GPU").unwrap_or_else(|_| "gpu:llvmpipe".to_owned());
    if let Err(error) = shapeguard_train::TrainingDevice::open(&device.parse().unwrap()) {
        let is_promised = std::env::var("SHAPEGUARD_REQUIRE_GPU").is_ok_and(|value| value == "1");
        assert!(!is_promised, "SHAPEGUARD_REQUIRE_GPU=1 promises a device: {error}");
        eprintln!("not tested: {error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [on_gpu, on_cpu] = [("gpu.safetensors", device.as_str()), ("cpu.safetensors", "cpu")].map(|(name, device)| {
        let path = folder.path().join(name);
        let out = path.to_str().unwrap();
        train_with(&[&TINY[..], &["--out", out, "--device", device]].concat()).unwrap();
        measure(&PointNetNif::from_safetensors(&std::fs::read(&path).unwrap()).unwrap()).unwrap()
    });
    // Twenty steps apart by rounding.
    assert!((on_gpu.expert - on_cpu.expert).abs() < 1e-2 * on_cpu.expert, "{on_gpu:?} {on_cpu:?}");
}
