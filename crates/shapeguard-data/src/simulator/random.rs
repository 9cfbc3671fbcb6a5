//! Randomness by counter: a draw depends on its key alone, never on the order of draws, so that any number of threads
//! gives the same bytes.

/// Mixes 64 bits (the finaliser of splitmix64, a public-domain generator).
pub(super) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Uniform in `0.0..1.0`, from the upper 24 bits.
fn unit(bits: u64) -> f32 {
    (bits >> 40) as f32 * (1.0 / 16_777_216.0)
}

/// A stream of draws for one purpose of one sample.
#[derive(Clone, Debug)]
pub(super) struct Draws {
    key: u64,
    counter: u64,
}

impl Draws {
    pub fn new(key: u64) -> Self {
        Self { key, counter: 0 }
    }

    /// A stream that is independent of this one's later draws.
    pub fn fork(&self, purpose: u64) -> Self {
        Self::new(mix(self.key ^ mix(purpose)))
    }

    pub fn bits(&mut self) -> u64 {
        self.counter += 1;
        mix(self.key ^ mix(self.counter))
    }

    /// Uniform in `low..high`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * unit(self.bits())
    }

    /// Uniform within `centre * (1 - share)` to `centre * (1 + share)`: a part's manufacturing or growth variation.
    pub fn about(&mut self, centre: f32, share: f32) -> f32 {
        centre * (1.0 + self.range(-share, share))
    }

    /// Log-uniform in `low..high`: every octave as likely as another.
    pub fn log_range(&mut self, low: f32, high: f32) -> f32 {
        low * libm::powf(high / low, self.range(0.0, 1.0))
    }

    /// Uniform in `0..n`.
    pub fn index(&mut self, n: usize) -> usize {
        (((self.bits() >> 32) * n as u64) >> 32) as usize
    }

    /// One of the choices.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// Seed of a noise field.
    pub fn noise_seed(&mut self) -> u32 {
        self.bits() as u32
    }

    /// A colour near `centre`: common brightness change of `brightness`, channel by channel `tint` on top.
    pub fn colour(&mut self, centre: [f32; 3], brightness: f32, tint: f32) -> [f32; 3] {
        let common = 1.0 + self.range(-brightness, brightness);
        centre.map(|c| (c * common * (1.0 + self.range(-tint, tint))).clamp(0.0, 1.0))
    }
}

/// The noise of one pixel: independent values for each `channel`.
#[derive(Clone, Copy, Debug)]
pub(super) struct PixelNoise {
    key: u64,
}

impl PixelNoise {
    pub fn new(seed: u64, pixel: usize) -> Self {
        Self { key: mix(seed ^ mix(pixel as u64)) }
    }

    /// Uniform in `0.0..1.0`.
    pub fn uniform(&self, channel: u64) -> f32 {
        unit(mix(self.key.wrapping_add(channel.wrapping_mul(0xD1B5_4A32_D192_ED03))))
    }

    /// Mean 0, deviation 1: the sum of four uniform values of 16 bits, which needs no transcendental function and has
    /// tails to 3.5 deviations, as much as a sensor's outlier filter leaves.
    pub fn normal(&self, channel: u64) -> f32 {
        let bits = mix(self.key.wrapping_add(channel.wrapping_mul(0xD1B5_4A32_D192_ED03)));
        let sum = (0..4).map(|i| (bits >> (16 * i)) as u16 as f32).sum::<f32>();
        // Four uniforms on 0..=65535: mean 131070, deviation 65536 / sqrt(3).
        (sum - 131_070.0) * (1.732_050_8 / 65_536.0)
    }
}

/// Largest whole number not above `x`, for the moderate values of lattice coordinates: `f32::floor` is a function call
/// on processors without SSE 4.1.
fn whole(x: f32) -> i32 {
    let truncated = x as i32;
    truncated - i32::from(x < truncated as f32)
}

/// Smooth noise in `-1.0..1.0` on a lattice of spacing 1.
#[inline]
pub(super) fn value_noise(seed: u32, x: f32, y: f32, z: f32) -> f32 {
    let (ix, iy, iz) = (whole(x), whole(y), whole(z));
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v, w) = (smooth(x - ix as f32), smooth(y - iy as f32), smooth(z - iz as f32));
    let keys = |i: i32, factor: u32| {
        let key = (i as u32).wrapping_mul(factor);
        [key, key.wrapping_add(factor)]
    };
    let (hx, hy, hz) = (keys(ix, 0x8DA6_B343), keys(iy, 0xD816_3841), keys(iz, 0xCB1A_B31F));
    // The eight corners, x fastest; arrays let the compiler work on several at once.
    let mut corners = [0.0f32; 8];
    for (i, corner) in corners.iter_mut().enumerate() {
        let mut h = hx[i & 1].wrapping_add(hy[(i >> 1) & 1]).wrapping_add(hz[i >> 2]) ^ seed;
        h = (h ^ (h >> 16)).wrapping_mul(0x7FEB_352D);
        h = (h ^ (h >> 15)).wrapping_mul(0x846C_A68B);
        *corner = (h >> 8) as i32 as f32;
    }
    let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
    let low = mix(mix(corners[0], corners[1], u), mix(corners[2], corners[3], u), v);
    let high = mix(mix(corners[4], corners[5], u), mix(corners[6], corners[7], u), v);
    mix(low, high, w) * (2.0 / 16_777_216.0) - 1.0
}

/// Fractal noise in about `-1.0..1.0`: `octaves` octaves of [`value_noise`], each twice as fine and half as strong.
pub(super) fn fbm(seed: u32, p: super::vector::Vec3, frequency: f32, octaves: u32) -> f32 {
    let (mut sum, mut amplitude, mut total, mut f) = (0.0, 1.0, 0.0, frequency);
    for octave in 0..octaves {
        // An offset per octave keeps the lattices from coinciding at the origin.
        let shift = 17.3 * octave as f32;
        sum +=
            amplitude * value_noise(seed.wrapping_add(octave), p.x * f + shift, p.y * f - shift, p.z * f + 0.5 * shift);
        total += amplitude;
        amplitude *= 0.5;
        f *= 2.0;
    }
    sum / total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::vector::vec3;

    #[test]
    fn pixel_noise_has_mean_zero_and_deviation_one() {
        let n = 100_000;
        let values: Vec<f64> = (0..n).map(|pixel| PixelNoise::new(5, pixel).normal(1) as f64).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n as f64;
        // Standard errors: 0.0032 of the mean, about 0.004 of the variance; five of them.
        assert!(mean.abs() < 0.016 && (variance - 1.0).abs() < 0.02, "mean {mean}, variance {variance}");
    }

    #[test]
    fn noise_is_continuous_and_bounded() {
        for i in 0..2000 {
            let p = vec3(i as f32 * 0.173 - 100.0, i as f32 * 0.71, -(i as f32) * 0.037);
            let here = fbm(9, p, 0.8, 3);
            let near = fbm(9, p + vec3(1e-3, -1e-3, 1e-3), 0.8, 3);
            assert!(here.abs() <= 1.0);
            // Slope of smoothed value noise: at most 3 per lattice cell and axis, three octaves of equal slope / 1.75.
            assert!((here - near).abs() < 0.02, "{here} {near}");
        }
    }
}
