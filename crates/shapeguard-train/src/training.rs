//! The training loop's parts: settings, data, one step, and the finished expert (docs/method.md, "Training the shape
//! expert").
//!
//! Nothing but the settings, the data and the number of steps done decides what a step does: a training that was
//! stopped and resumed ends with the same bytes as one that was not.

use std::borrow::Cow;

use burn::tensor::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use shapeguard_experts::shape::{PointNetNif, ShapeArchitecture};

use crate::TrainError;
use crate::adam::{Adam, Rates};
use crate::device::TrainingDevice;
use crate::folding::fold;
use crate::network::{Leaves, Moments, batch_loss, values};
use crate::parameters::Parameters;
use crate::patches::{Batch, Prepared, TrainingPatch};
use crate::random;
use crate::resident::Resident;

/// Steps that the logged loss is smoothed over.
const SMOOTHING_STEPS: f32 = 100.0;
/// Patches whose batch-norm statistics the finished expert keeps, as one large batch: their relative error is near 4 %
/// for the layers after the maximum, and far less for those before it.
const STATISTICS_PATCHES: usize = 512;
/// Streams of random numbers beyond those of the steps.
const STATISTICS_STREAM: u64 = u64::MAX;

/// How the learning rate and the batches go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Number of steps; also the learning rate's horizon.
    pub steps: usize,
    /// Patches of one step.
    pub patches: usize,
    /// Queries of each patch in one step, at most one for each of its points.
    pub queries: usize,
    /// Learning rate at the start.
    pub learning_rate: f32,
    /// Learning rate at the end, as a share of that at the start; between them it falls like half a cosine.
    pub final_share: f32,
    /// Steps over which the learning rate rises from 0.
    pub warm_up: usize,
}

/// Everything that decides a training, besides its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingSettings {
    /// Layer widths.
    pub architecture: ShapeArchitecture,
    /// Steps and learning rate.
    pub schedule: Schedule,
    /// Seed of the start, the batches and the queries.
    pub seed: u64,
    /// Share of a batch's patches that are analytic surfaces; the rest are patches of scans.
    pub surface_share: f32,
    /// Turn each patch by a random angle about the viewing axis and mirror half of them.
    pub turn: bool,
    /// What the encoder sees while training. Checkpoints from before it could be chosen have none.
    #[serde(default)]
    pub encoder_input: EncoderInput,
}

/// What the encoder sees of a patch while training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderInput {
    /// The patch, as in inference.
    #[default]
    Patch,
    /// The targets of its queries, duplicates included (a deviation of the published implementation).
    Targets,
}

impl Schedule {
    /// The published schedule: batches of 32 patches x 500 queries, constant 1e-4, for 600 epochs of `patches` patches.
    pub fn paper(patches: usize) -> Self {
        let steps = 600 * patches.div_ceil(32);
        Self { steps, patches: 32, queries: 500, learning_rate: 1e-4, final_share: 1.0, warm_up: 0 }
    }

    /// A schedule for a CPU: small batches and a falling learning rate (measured: docs/training.md).
    pub fn fast(steps: usize) -> Self {
        Self { steps, patches: 16, queries: 64, learning_rate: 5e-4, final_share: 0.05, warm_up: 100 }
    }

    /// The learning rate of a step, counted from 0.
    pub fn learning_rate_at(&self, step: usize) -> f32 {
        let rise = ((step + 1) as f32 / (self.warm_up + 1) as f32).min(1.0);
        let passed = (step as f32 / self.steps.max(1) as f32).min(1.0);
        let share = self.final_share + (1.0 - self.final_share) * 0.5 * (1.0 + (std::f32::consts::PI * passed).cos());
        self.learning_rate * rise * share
    }

    fn check(&self) -> Result<(), TrainError> {
        let counts = [("steps", self.steps), ("patches", self.patches), ("queries", self.queries)];
        for (name, value) in counts {
            if value == 0 {
                return Err(TrainError::Setting { name, found: "0".into(), expected: "1 or more" });
            }
        }
        if self.patches < 2 {
            let found = self.patches.to_string();
            return Err(TrainError::Setting { name: "patches", found, expected: "2 or more, for batch norm" });
        }
        let is_share = |x: f32| (0.0..=1.0).contains(&x);
        for (name, value, is_possible, expected) in [
            (
                "learning_rate",
                self.learning_rate,
                self.learning_rate > 0.0 && is_share(self.learning_rate),
                "in (0, 1]",
            ),
            ("final_share", self.final_share, is_share(self.final_share), "in [0, 1]"),
        ] {
            if !is_possible {
                return Err(TrainError::Setting { name, found: value.to_string(), expected });
            }
        }
        Ok(())
    }
}

impl TrainingSettings {
    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// Names the setting.
    pub fn check(&self) -> Result<(), TrainError> {
        self.architecture.check()?;
        self.schedule.check()?;
        if !(0.0..=1.0).contains(&self.surface_share) {
            let found = self.surface_share.to_string();
            return Err(TrainError::Setting { name: "surface_share", found, expected: "in [0, 1]" });
        }
        Ok(())
    }
}

/// The patches to learn from.
#[derive(Debug)]
pub struct TrainingData {
    scans: Vec<Prepared>,
    surfaces: Vec<Prepared>,
    patch_size: usize,
}

impl TrainingData {
    /// Patches of scans and of analytic surfaces; one of the two may be empty.
    ///
    /// # Errors
    /// If there are none, or they differ in size.
    pub fn new(scans: Vec<TrainingPatch>, surfaces: Vec<TrainingPatch>) -> Result<Self, TrainError> {
        let mut sizes = scans.iter().chain(&surfaces).map(|patch| patch.points.len());
        let patch_size = sizes.next().unwrap_or(0);
        if patch_size == 0 {
            return Err(TrainError::TooFewPatches { found: 0, needed: 1 });
        }
        if let Some(found) = sizes.find(|size| *size != patch_size) {
            return Err(TrainError::PatchSizesDiffer { expected: patch_size, found });
        }
        Ok(Self { scans: Prepared::all(scans), surfaces: Prepared::all(surfaces), patch_size })
    }

    /// Points of a patch.
    pub fn patch_size(&self) -> usize {
        self.patch_size
    }

    /// Number of patches of scans and of analytic surfaces.
    pub fn counts(&self) -> (usize, usize) {
        (self.scans.len(), self.surfaces.len())
    }

    /// The batch of one step.
    pub(crate) fn batch(&self, settings: &TrainingSettings, patches: usize, queries: usize, stream: u64) -> Batch {
        let parts: Vec<(Vec<[f32; 3]>, _)> = (0..patches as u64)
            .into_par_iter()
            .map(|slot| {
                // Every slot of every step has its own generator, so that threads do not matter.
                let mut random =
                    random::generator(settings.seed ^ (slot + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), stream);
                let of_surfaces = random::uniform(&mut random) < settings.surface_share;
                let pool = match (self.scans.is_empty(), self.surfaces.is_empty()) {
                    (true, _) => &self.surfaces,
                    (_, true) => &self.scans,
                    _ if of_surfaces => &self.surfaces,
                    _ => &self.scans,
                };
                let patch = &pool[random::below(&mut random, pool.len())];
                let turned = settings.turn.then(|| patch.turned(&mut random));
                let patch = turned.as_ref().unwrap_or(patch);
                (patch.points().to_vec(), patch.draw(queries, &mut random))
            })
            .collect();
        let mut batch = Batch::default();
        for (points, (queries, targets)) in parts {
            batch.points.extend(points);
            batch.queries.extend(queries);
            batch.targets.extend(targets);
        }
        batch
    }
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// The step, counted from 1.
    pub step: usize,
    /// Its loss: mean distance of the pulled queries to their targets.
    pub loss: f32,
    /// The loss, smoothed over about 100 steps.
    pub smoothed_loss: f32,
    /// Its learning rate.
    pub learning_rate: f32,
}

/// What is learnt in a training, as plain vectors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostState {
    pub(crate) parameters: Parameters,
    pub(crate) adam: Adam,
}

impl HostState {
    /// The start.
    pub(crate) fn new(settings: &TrainingSettings) -> Self {
        let parameters = Parameters::new(&settings.architecture, settings.seed);
        let adam = Adam::new(&parameters);
        Self { parameters, adam }
    }
}

/// Where it is while the training is under way.
#[derive(Clone, Debug)]
pub(crate) enum Learnt {
    OnHost(HostState),
    OnDevice(Box<Resident>),
}

/// A training under way.
#[derive(Clone, Debug)]
pub struct Trainer {
    pub(crate) settings: TrainingSettings,
    pub(crate) learnt: Learnt,
    pub(crate) steps_done: usize,
    pub(crate) smoothed_loss: f32,
}

impl Trainer {
    /// A training at its start, on the CPU.
    ///
    /// # Errors
    /// If a setting makes no sense.
    pub fn new(settings: TrainingSettings) -> Result<Self, TrainError> {
        settings.check()?;
        let learnt = Learnt::OnHost(HostState::new(&settings));
        Ok(Self { settings, learnt, steps_done: 0, smoothed_loss: 0.0 })
    }

    /// The training, to go on on this device.
    ///
    /// # Errors
    /// If the device that it comes from failed.
    pub fn on(self, device: &TrainingDevice) -> Result<Self, TrainError> {
        let state = self.host_state()?.into_owned();
        let learnt = match device.is_cpu() {
            true => Learnt::OnHost(state),
            false => Learnt::OnDevice(Box::new(Resident::new(&state, device.tensors(), device.name()))),
        };
        Ok(Self { learnt, ..self })
    }

    /// What is learnt so far.
    pub(crate) fn host_state(&self) -> Result<Cow<'_, HostState>, TrainError> {
        match &self.learnt {
            Learnt::OnHost(state) => Ok(Cow::Borrowed(state)),
            Learnt::OnDevice(resident) => resident.state().map(Cow::Owned),
        }
    }

    /// What this training was started with.
    pub fn settings(&self) -> &TrainingSettings {
        &self.settings
    }

    /// Number of steps done.
    pub fn steps_done(&self) -> usize {
        self.steps_done
    }

    /// Whether the schedule is at its end.
    pub fn is_done(&self) -> bool {
        self.steps_done >= self.settings.schedule.steps
    }

    /// The smoothed loss of the steps done.
    pub fn smoothed_loss(&self) -> f32 {
        self.smoothed_loss
    }

    /// Number of trainable parameters.
    pub fn parameter_count(&self) -> usize {
        match &self.learnt {
            Learnt::OnHost(state) => state.parameters.count(),
            Learnt::OnDevice(resident) => resident.count(),
        }
    }

    /// One step of the schedule.
    ///
    /// # Errors
    /// If the loss is no finite number, or the device failed; the parameters are then those before the step.
    pub fn step(&mut self, data: &TrainingData) -> Result<StepReport, TrainError> {
        let TrainingSettings { schedule, encoder_input, .. } = &self.settings;
        let batch = data.batch(&self.settings, schedule.patches, schedule.queries, self.steps_done as u64);
        let step = self.steps_done + 1;
        let learning_rate = schedule.learning_rate_at(self.steps_done);
        let rates = Rates::new(step, learning_rate);
        let finite = |loss: f32| if loss.is_finite() { Ok(()) } else { Err(TrainError::Diverged { step, loss }) };
        let loss = match &mut self.learnt {
            Learnt::OnHost(HostState { parameters, adam }) => {
                let (loss, gradients) = loss_and_gradients(parameters, &batch, schedule.patches, *encoder_input);
                finite(loss)?;
                adam.update(parameters, &gradients, rates);
                loss
            }
            Learnt::OnDevice(resident) => {
                let (loss, stepped) = resident.step(&batch, schedule.patches, *encoder_input, rates)?;
                finite(loss)?;
                **resident = stepped;
                loss
            }
        };
        self.steps_done = step;
        let weight = 1.0 / SMOOTHING_STEPS.min(step as f32);
        self.smoothed_loss += weight * (loss - self.smoothed_loss);
        Ok(StepReport { step, loss, smoothed_loss: self.smoothed_loss, learning_rate })
    }

    /// The expert as it is now, for inference: batch norm with the statistics of many training patches, folded into the
    /// weights, as is weight norm. Computed on the CPU: it is done once, and takes a large batch.
    ///
    /// # Errors
    /// If the weights are not finite, or the device failed.
    pub fn expert(&self, data: &TrainingData) -> Result<PointNetNif, TrainError> {
        let device = Device::flex();
        let queries = match self.settings.encoder_input {
            EncoderInput::Patch => 0,
            EncoderInput::Targets => self.settings.schedule.queries,
        };
        let batch = data.batch(&self.settings, STATISTICS_PATCHES, queries, STATISTICS_STREAM);
        let state = self.host_state()?;
        let leaves = Leaves::new(&state.parameters, &device);
        let (points, count) = batch.encoder_points(STATISTICS_PATCHES, self.settings.encoder_input);
        let (_, statistics) = leaves.encode(points, count, &device);
        let statistics: Vec<_> = statistics.into_iter().map(Moments::read).collect();
        fold(&state.parameters, &statistics)
    }
}

/// Loss of a batch and the gradient of each parameter, on the CPU.
pub(crate) fn loss_and_gradients(
    parameters: &Parameters,
    batch: &Batch,
    patches: usize,
    encoder_input: EncoderInput,
) -> (f32, Vec<Vec<f32>>) {
    let device = Device::flex().autodiff();
    let leaves = Leaves::new(parameters, &device);
    let loss = batch_loss(&leaves, batch, patches, encoder_input, &device);
    let value = loss.clone().detach().into_scalar::<f32>();
    (value, leaves.gradients(&loss).into_iter().map(values).collect())
}

#[cfg(test)]
mod tests;
