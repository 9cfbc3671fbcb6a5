//! A training whose state stays on a device: in a step, the batch goes there and the loss comes back, and nothing else.
//!
//! Differences from a training on the CPU, which agree up to rounding (`tests`, and `tests/on_gpu.rs` on a GPU):
//! - parameters and Adam's moments are one long vector each, so that Adam takes a dozen operations and not a dozen for
//!   each of some fifty tensors, most of which are too small to fill a GPU;
//! - the maximum over a patch's points is differentiated by the framework ([`Pooling::Points`]).

use burn::tensor::{Device, Tensor, TensorData};
use shapeguard_experts::shape::ShapeArchitecture;

use crate::TrainError;
use crate::adam::{Adam, BETA_1, BETA_2, EPSILON, Rates};
use crate::network::{Leaves, Pooling, batch_loss};
use crate::parameters::{Parameter, Parameters};
use crate::patches::Batch;
use crate::training::{EncoderInput, HostState};

/// Parameters and Adam's moments on a device.
#[derive(Clone, Debug)]
pub(crate) struct Resident {
    device: Device,
    device_name: String,
    architecture: ShapeArchitecture,
    /// What the vectors hold, in this order.
    layout: Vec<Place>,
    values: Tensor<1>,
    mean: Tensor<1>,
    square: Tensor<1>,
}

/// One tensor `[rows, cols]` in a vector of all.
#[derive(Clone, Debug)]
struct Place {
    name: String,
    start: usize,
    rows: usize,
    cols: usize,
}

impl Place {
    fn range(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.rows * self.cols
    }
}

impl Resident {
    /// Copies the state to the device.
    pub(crate) fn new(state: &HostState, device: &Device, device_name: &str) -> Self {
        let HostState { parameters, adam } = state;
        let mut start = 0;
        let layout = parameters.list.iter().map(|Parameter { name, rows, cols, .. }| {
            let place = Place { name: name.clone(), start, rows: *rows, cols: *cols };
            start = place.range().end;
            place
        });
        let layout = layout.collect();
        let vector = |lists: Vec<&Vec<f32>>| {
            let values: Vec<f32> = lists.into_iter().flatten().copied().collect();
            let count = values.len();
            Tensor::from_data(TensorData::new(values, [count]), device)
        };
        Self {
            device: device.clone(),
            device_name: device_name.to_owned(),
            architecture: parameters.architecture.clone(),
            layout,
            values: vector(parameters.list.iter().map(|parameter| &parameter.values).collect()),
            mean: vector(adam.mean.iter().collect()),
            square: vector(adam.square.iter().collect()),
        }
    }

    /// Number of trainable numbers.
    pub(crate) fn count(&self) -> usize {
        self.layout.last().map_or(0, |place| place.range().end)
    }

    /// Copies the state from the device.
    pub(crate) fn state(&self) -> Result<HostState, TrainError> {
        let read = |vector: &Tensor<1>| -> Result<Vec<Vec<f32>>, TrainError> {
            let all = vector.clone().try_into_vec_as::<f32>().map_err(|error| self.failed(&error))?;
            Ok(self.layout.iter().map(|place| all[place.range()].to_vec()).collect())
        };
        let list = self.layout.iter().zip(read(&self.values)?).map(|(place, values)| {
            let Place { name, rows, cols, .. } = place.clone();
            Parameter { name, rows, cols, values }
        });
        let parameters = Parameters { architecture: self.architecture.clone(), list: list.collect() };
        Ok(HostState { parameters, adam: Adam { mean: read(&self.mean)?, square: read(&self.square)? } })
    }

    /// Loss of a batch of so many patches, and the state after a step against its gradient.
    pub(crate) fn step(
        &self,
        batch: &Batch,
        patches: usize,
        encoder_input: EncoderInput,
        rates: Rates,
    ) -> Result<(f32, Self), TrainError> {
        let (loss, gradient) = self.loss_and_gradient(batch, patches, encoder_input);
        let stepped = self.stepped(gradient, rates);
        // Read last: all of the step is then under way, and the device never waits for the host in its middle.
        let loss = loss.try_into_scalar::<f32>().map_err(|error| self.failed(&error))?;
        Ok((loss, stepped))
    }

    /// Loss, and its gradient as one vector.
    fn loss_and_gradient(&self, batch: &Batch, patches: usize, encoder_input: EncoderInput) -> (Tensor<1>, Tensor<1>) {
        let leaf = |place: &Place| {
            let tensor = self.values.clone().slice([place.range()]).reshape([place.rows, place.cols]);
            tensor.autodiff().require_grad()
        };
        let tensors = self.layout.iter().map(leaf).collect();
        let leaves = Leaves { architecture: self.architecture.clone(), tensors, pooling: Pooling::Points };
        let loss = batch_loss(&leaves, batch, patches, encoder_input, &self.device.clone().autodiff());
        let gradients = leaves.gradients(&loss).into_iter().map(|gradient| gradient.flatten::<1>(0, 1)).collect();
        (loss.inner(), Tensor::cat(gradients, 0))
    }

    /// [`Adam::update`], on vectors.
    fn stepped(&self, gradient: Tensor<1>, rates: Rates) -> Self {
        let mean = self.mean.clone() + (gradient.clone() - self.mean.clone()) * (1.0 - BETA_1);
        let square = self.square.clone() + (gradient.square() - self.square.clone()) * (1.0 - BETA_2);
        let root = (square.clone() / rates.square_correction).sqrt() + EPSILON;
        let values = self.values.clone() - mean.clone() * rates.length / root;
        Self { values, mean, square, ..self.clone() }
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> TrainError {
        TrainError::DeviceFailed { device: self.device_name.clone(), reason: error.to_string() }
    }
}

#[cfg(test)]
mod tests;
