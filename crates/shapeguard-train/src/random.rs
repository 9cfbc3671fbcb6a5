//! Draws from a seeded generator.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A generator for one purpose of one step, so that nothing but the seed and the step decides what is drawn.
pub(crate) fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    random
}

/// Uniform in (0, 1).
pub(crate) fn uniform(random: &mut impl Rng) -> f32 {
    ((random.next_u32() >> 9) as f32 + 0.5) / (1u32 << 23) as f32
}

/// Uniform in `low..high`.
pub(crate) fn between(random: &mut impl Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * uniform(random)
}

/// Uniform in `0..n`; the bias of at most `n / 2^32` does not matter here.
pub(crate) fn below(random: &mut impl Rng, n: usize) -> usize {
    ((u64::from(random.next_u32()) * n as u64) >> 32) as usize
}

/// Standard normal, by Box and Muller.
pub(crate) fn normal(random: &mut impl Rng) -> f32 {
    let radius = (-2.0 * uniform(random).ln()).sqrt();
    radius * (std::f32::consts::TAU * uniform(random)).cos()
}
