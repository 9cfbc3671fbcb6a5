//! Training on a device, beside the CPU's. The device is the one that `SHAPEGUARD_TEST_GPU` names, as after `--device`, else
//! Mesa's software device. Where there is none, the tests say so and pass, unless `SHAPEGUARD_REQUIRE_GPU=1` promises one.

use std::sync::OnceLock;

use super::*;
use crate::TrainingDevice;

/// Loss and gradients of one batch: single precision on both sides, sums in another order, and a point whose ReLU or whose
/// maximum is tipped by that.
const TOLERANCE: f32 = 1e-3;
/// Steps that are compared.
const STEPS: usize = 10;

/// One for all tests that leave it whole: a device compiles its kernels when it first needs them.
fn shared() -> Option<TrainingDevice> {
    static DEVICE: OnceLock<Option<TrainingDevice>> = OnceLock::new();
    DEVICE.get_or_init(open).clone()
}

fn open() -> Option<TrainingDevice> {
    let name = std::env::var("SHAPEGUARD_TEST_GPU").unwrap_or_else(|_| "gpu:llvmpipe".to_owned());
    match TrainingDevice::open(&name.parse().unwrap()) {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("SHAPEGUARD_REQUIRE_GPU").is_some_and(|value| value == "1") => {
            panic!("SHAPEGUARD_REQUIRE_GPU=1 promises a device: {error}")
        }
        Err(error) => {
            eprintln!("not tested: {error}");
            None
        }
    }
}

fn start() -> Trainer {
    Trainer::new(settings()).unwrap()
}

#[test]
fn a_device_gives_the_loss_and_gradient_of_the_cpu() {
    let Some(device) = shared() else { return };
    let settings = settings();
    let state = HostState::new(&settings);
    let resident = Resident::new(&state, device.tensors(), device.name());
    assert_eq!(resident.state().unwrap(), state);
    for encoder_input in [EncoderInput::Patch, EncoderInput::Targets] {
        let batch = data().batch(&settings, 6, 40, 0);
        let (expected_loss, expected) = loss_and_gradients(&state.parameters, &batch, 6, encoder_input);
        let (loss, gradient) = resident.loss_and_gradient(&batch, 6, encoder_input);
        assert!((loss.into_scalar::<f32>() - expected_loss).abs() < TOLERANCE * expected_loss);
        assert_gradients_agree(&resident, values(gradient.unsqueeze()), &expected, TOLERANCE);
    }
}

#[test]
fn the_first_steps_on_a_device_are_those_on_the_cpu() {
    let Some(device) = shared() else { return };
    let (losses, parameters) = first_steps_apart(start().on(&device).unwrap(), STEPS);
    eprintln!("losses differ by {losses:e}, parameters by {parameters:e} of what they moved");
    assert!(losses < TOLERANCE && parameters < PARAMETER_TOLERANCE, "{losses:e} {parameters:e}");
}

#[test]
fn a_training_on_a_device_is_resumed_there_or_elsewhere() {
    let Some(device) = shared() else { return };
    let data = data();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let mut whole = start().on(&device).unwrap();
    for step in 0..STEPS {
        whole.step(&data).unwrap();
        if step == STEPS / 2 {
            whole.save(&path).unwrap();
        }
    }
    let finish = |device: &TrainingDevice| {
        let mut resumed = Trainer::resume(&path).unwrap().on(device).unwrap();
        assert_eq!(resumed.steps_done(), STEPS / 2 + 1);
        while resumed.steps_done() < STEPS {
            resumed.step(&data).unwrap();
        }
        resumed
    };
    let same = finish(&device);
    assert_eq!(*same.host_state().unwrap(), *whole.host_state().unwrap());
    assert_eq!(same.smoothed_loss(), whole.smoothed_loss());
    let cpu = finish(&TrainingDevice::cpu());
    assert!((cpu.smoothed_loss() - whole.smoothed_loss()).abs() < TOLERANCE * whole.smoothed_loss());
    // The expert is made on the CPU, from what the device learnt.
    whole.expert(&data).unwrap();
}

#[test]
fn a_lost_device_is_an_error_and_leaves_the_training_where_it_was() {
    let Some(device) = open() else { return };
    let data = data();
    let mut trainer = start().on(&device).unwrap();
    trainer.step(&data).unwrap();
    device.lose();
    let error = trainer.step(&data).unwrap_err().to_string();
    assert!(error.contains("failed: ") && error.contains("resume from the last checkpoint"), "{error}");
    assert_eq!(trainer.steps_done(), 1);
    assert!(trainer.step(&data).is_err());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    assert!(trainer.save(&path).is_err() && !path.exists());
    assert!(trainer.expert(&data).is_err() && trainer.on(&TrainingDevice::cpu()).is_err());
}

#[test]
fn a_device_that_is_not_there_is_named_with_those_that_are() {
    let choice = "gpu:no such device".parse().unwrap();
    let error = TrainingDevice::open(&choice).unwrap_err().to_string();
    for part in ["device whose name contains \"no such device\"", "found", "CPU"] {
        assert!(error.contains(part), "{error}");
    }
}
