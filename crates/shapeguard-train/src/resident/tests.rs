//! The way that a device goes, gone on the CPU: what differs from the CPU's own way is then rounding alone.

#[cfg(feature = "gpu")]
mod on_gpu;

use burn::tensor::Device;

use super::*;
use crate::network::values;
use crate::training::{Learnt, loss_and_gradients};
use crate::{Schedule, Trainer, TrainingData, TrainingSettings, surface_patches};

fn settings() -> TrainingSettings {
    let architecture =
        ShapeArchitecture { encoder_point: vec![8, 16, 32], encoder_dense: vec![16, 12], nif_width: 24, nif_hidden: 2 };
    let schedule = Schedule { patches: 6, queries: 40, learning_rate: 2e-3, warm_up: 0, ..Schedule::fast(60) };
    let encoder_input = EncoderInput::Patch;
    TrainingSettings { architecture, schedule, seed: 4, surface_share: 1.0, turn: true, encoder_input }
}

fn data() -> TrainingData {
    TrainingData::new(vec![], surface_patches(2, 30, 80)).unwrap()
}

#[test]
fn what_goes_to_the_device_comes_back() {
    let mut trainer = Trainer::new(settings()).unwrap();
    for _ in 0..3 {
        trainer.step(&data()).unwrap();
    }
    let state = trainer.host_state().unwrap();
    let resident = Resident::new(&state, &Device::flex(), "cpu");
    assert_eq!(resident.state().unwrap(), *state);
    assert_eq!(resident.count(), trainer.parameter_count());
}

#[test]
fn loss_and_gradient_are_those_of_the_cpu() {
    let settings = settings();
    let state = HostState::new(&settings);
    let resident = Resident::new(&state, &Device::flex(), "cpu");
    for encoder_input in [EncoderInput::Patch, EncoderInput::Targets] {
        let batch = data().batch(&settings, 6, 40, 0);
        let (expected_loss, expected) = loss_and_gradients(&state.parameters, &batch, 6, encoder_input);
        let (loss, gradient) = resident.loss_and_gradient(&batch, 6, encoder_input);
        // Sums of some hundred terms, in another order.
        assert!((loss.into_scalar::<f32>() - expected_loss).abs() < 1e-5 * expected_loss);
        assert_gradients_agree(&resident, values(gradient.unsqueeze()), &expected, 1e-4);
    }
}

/// Each tensor's gradient is within a share of its length.
fn assert_gradients_agree(resident: &Resident, gradient: Vec<f32>, expected: &[Vec<f32>], tolerance: f32) {
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    // The shift before the maximum has hardly any gradient (`network::tests`), so that its own length is no scale.
    let least = 0.01 * length(&mut expected.iter().flatten().copied());
    for (place, expected) in resident.layout.iter().zip(expected) {
        let scale = length(&mut expected.iter().copied()).max(least);
        let apart = length(&mut gradient[place.range()].iter().zip(expected).map(|(a, b)| a - b));
        assert!(apart < tolerance * scale, "{}: {apart:e} of {scale:e}", place.name);
    }
}

/// Losses and parameters after so many steps, apart from the CPU's: the losses by a share of their value, at most, and the
/// parameters, all together, by a share of what they moved.
fn first_steps_apart(mut trainer: Trainer, steps: usize) -> (f32, f32) {
    let data = data();
    let mut cpu = Trainer::new(settings()).unwrap();
    let numbers = |trainer: &Trainer| -> Vec<f32> {
        trainer.host_state().unwrap().parameters.list.iter().flat_map(|p| p.values.clone()).collect()
    };
    let before = numbers(&cpu);
    let mut losses = 0.0f32;
    for _ in 0..steps {
        let (expected, found) = (cpu.step(&data).unwrap(), trainer.step(&data).unwrap());
        assert_eq!((found.step, found.learning_rate), (expected.step, expected.learning_rate));
        losses = losses.max((found.loss - expected.loss).abs() / expected.loss);
    }
    let length = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
    let after = numbers(&cpu);
    (losses, length(&after, &numbers(&trainer)) / length(&after, &before))
}

/// See [`first_steps_apart`]. Adam moves a parameter by about the learning rate however small its gradient is, so that
/// rounding decides which way those go that hardly matter: the CPU's own two ways differ by as much.
const PARAMETER_TOLERANCE: f32 = 0.1;

#[test]
fn the_first_steps_are_those_of_the_cpu() {
    let mut trainer = Trainer::new(settings()).unwrap();
    let resident = Resident::new(&trainer.host_state().unwrap(), &Device::flex(), "cpu");
    trainer.learnt = Learnt::OnDevice(Box::new(resident));
    let (losses, parameters) = first_steps_apart(trainer, 10);
    eprintln!("on the CPU losses differ by {losses:e}, parameters by {parameters:e} of what they moved");
    assert!(losses < 1e-3 && parameters < PARAMETER_TOLERANCE, "{losses:e} {parameters:e}");
}

#[test]
fn adam_on_vectors_is_adam() {
    let mut state = HostState::new(&settings());
    let mut resident = Resident::new(&state, &Device::flex(), "cpu");
    for step in 1..=5 {
        let wave = |i: usize| ((i * step) as f32 * 0.37).sin() * 0.1;
        let gradient: Vec<f32> = (0..resident.count()).map(wave).collect();
        let lists: Vec<_> = resident.layout.iter().map(|place| gradient[place.range()].to_vec()).collect();
        let rates = Rates::new(step, 1e-3);
        state.adam.update(&mut state.parameters, &lists, rates);
        let count = gradient.len();
        resident = resident.stepped(Tensor::from_data(TensorData::new(gradient, [count]), &Device::flex()), rates);
    }
    let found = resident.state().unwrap();
    for (found, expected) in found.parameters.list.iter().zip(&state.parameters.list) {
        for (a, b) in found.values.iter().zip(&expected.values) {
            // Five steps of at most 1e-3 each, and a rounding or two in each.
            assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{}: {a} {b}", found.name);
        }
    }
}
