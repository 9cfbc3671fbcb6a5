//! Adam (Kingma and Ba 2015), on plain vectors: one pass over memory per step, and a state that is easy to store.

use crate::parameters::Parameters;

/// Decay of the mean gradient (docs/method.md; PyTorch's default).
pub(crate) const BETA_1: f32 = 0.9;
/// Decay of the mean squared gradient (docs/method.md; PyTorch's default).
pub(crate) const BETA_2: f32 = 0.999;
/// Keeps the division finite (PyTorch's default).
pub(crate) const EPSILON: f32 = 1e-8;

/// What one step multiplies by: the moments' corrections for having started at 0, and the learning rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// The learning rate, divided by the correction of the mean.
    pub(crate) length: f32,
    /// The correction of the square.
    pub(crate) square_correction: f32,
}

impl Rates {
    /// `step` counts from 1.
    pub(crate) fn new(step: usize, learning_rate: f32) -> Self {
        let exponent = i32::try_from(step).unwrap_or(i32::MAX);
        let (bias_1, bias_2) = (1.0 - BETA_1.powi(exponent), 1.0 - BETA_2.powi(exponent));
        Self { length: learning_rate / bias_1, square_correction: bias_2 }
    }
}

/// Running means of gradients and their squares, one vector per parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Adam {
    pub(crate) mean: Vec<Vec<f32>>,
    pub(crate) square: Vec<Vec<f32>>,
}

impl Adam {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        let zeros: Vec<Vec<f32>> = parameters.list.iter().map(|p| vec![0.0; p.values.len()]).collect();
        Self { mean: zeros.clone(), square: zeros }
    }

    /// Moves the parameters against the gradients.
    pub(crate) fn update(&mut self, parameters: &mut Parameters, gradients: &[Vec<f32>], rates: Rates) {
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((parameter, gradient), (mean, square)) in parameters.list.iter_mut().zip(gradients).zip(moments) {
            let moments = mean.iter_mut().zip(square);
            for ((value, gradient), (mean, square)) in parameter.values.iter_mut().zip(gradient).zip(moments) {
                *mean += (1.0 - BETA_1) * (gradient - *mean);
                *square += (1.0 - BETA_2) * (gradient * gradient - *square);
                *value -= rates.length * *mean / ((*square / rates.square_correction).sqrt() + EPSILON);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameter;
    use shapeguard_experts::shape::ShapeArchitecture;

    #[test]
    fn the_first_step_has_the_length_of_the_learning_rate() {
        let values = vec![1.0, -2.0, 3.0];
        let list = vec![Parameter { name: "x".into(), rows: 1, cols: 3, values }];
        let mut parameters = Parameters { architecture: ShapeArchitecture::compact(), list };
        let mut adam = Adam::new(&parameters);
        adam.update(&mut parameters, &[vec![0.5, -4.0, 1e-3]], Rates::new(1, 0.1));
        // Bias-corrected moments of a first gradient g are g and g^2.
        for (value, expected) in parameters.list[0].values.iter().zip([0.9, -1.9, 2.9]) {
            assert!((value - expected).abs() < 1e-5, "{value} {expected}");
        }
    }
}
