//! Reproducible weights for untrained experts, for tests and benches.

use std::collections::BTreeMap;

use crate::shape::{PointNetNif, ShapeArchitecture};

impl PointNetNif {
    /// An untrained expert for tests and benches: He initialisation (normal, deviation sqrt(2 / inputs)), biases of the
    /// same kind but a tenth as large, so that no ReLU is idle by symmetry.
    ///
    /// # Panics
    /// If the architecture is empty or absurdly large.
    pub fn random(architecture: &ShapeArchitecture, seed: u64) -> Self {
        let mut random = SplitMix64(seed);
        let mut tensors = BTreeMap::new();
        let mut scale = 0.0;
        for (name, shape) in architecture.tensor_shapes() {
            // A layer's weight, `[outputs, inputs]`, stands before its bias.
            scale = if let [_, inputs] = shape[..] { (2.0 / inputs as f32).sqrt() } else { 0.1 * scale };
            let values = (0..shape.iter().product()).map(|_| scale * random.normal()).collect();
            tensors.insert(name, values);
        }
        Self::from_tensors(architecture, tensors).expect("an architecture that a weight file may have")
    }
}

/// The generator SplitMix64 (Steele, Lea, Flood 2014), for reproducible test weights.
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1).
    fn uniform(&mut self) -> f32 {
        ((self.next() >> 41) as f32 + 0.5) / (1u64 << 23) as f32
    }

    /// Standard normal, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f32 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f32::consts::TAU * self.uniform()).cos()
    }
}
