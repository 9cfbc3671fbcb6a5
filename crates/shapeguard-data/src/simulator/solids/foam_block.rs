//! Foam block: egg-crate packing foam, cut from a sheet at any phase, porous and soft-edged.

use super::Solid;
use crate::simulator::random::{Draws, fbm, value_noise};
use crate::simulator::shapes::{blend, ramp, rounded_box, scaled};
use crate::simulator::vector::{Bounds, Vec3, vec3};

pub(super) struct FoamBlock {
    half: Vec3,
    amplitude: f32,
    wave: [f32; 2],
    phase: [f32; 2],
    shear: f32,
    sag: f32,
    pore_seed: u32,
    foam: [f32; 3],
    second: [f32; 3],
    marbling: f32,
}

impl FoamBlock {
    pub fn draw(draws: &mut Draws) -> Self {
        let period = draws.about(19.0, 0.03);
        let wave = std::f32::consts::TAU / period;
        Self {
            half: vec3(draws.about(42.0, 0.025), draws.about(33.0, 0.025), draws.about(10.0, 0.05)),
            amplitude: draws.about(3.6, 0.12),
            wave: [wave, wave * draws.about(1.0, 0.02)],
            phase: [draws.range(0.0, std::f32::consts::TAU), draws.range(0.0, std::f32::consts::TAU)],
            shear: draws.range(-0.06, 0.06),
            sag: draws.range(-0.0006, 0.0006),
            pore_seed: draws.noise_seed(),
            foam: draws.colour([0.66, 0.60, 0.40], 0.08, 0.03),
            second: draws.colour([0.46, 0.50, 0.44], 0.08, 0.05),
            marbling: draws.range(0.15, 0.75),
        }
    }

    fn pore(&self, p: Vec3) -> f32 {
        ramp(0.35, 0.75, value_noise(self.pore_seed, p.x * 0.75, p.y * 0.75, p.z * 0.75))
    }
}

impl Solid for FoamBlock {
    fn distance(&self, p: Vec3) -> f32 {
        let q = vec3(p.x + self.shear * p.y, p.y, p.z - self.half.z + 1.0 + self.sag * (p.x * p.x + p.y * p.y));
        let block = rounded_box(q, self.half + vec3(0.0, 0.0, 1.0), 2.0);
        // Not nearer: contact darkening looks 4 mm out, and a jump there would show as patches.
        if block > self.amplitude + 4.6 {
            return block - self.amplitude - 0.5;
        }
        // Waves on the upper side only.
        let upper = ramp(0.0, self.half.z, q.z);
        let wave = libm::sinf(self.wave[0] * p.x + self.phase[0]) * libm::sinf(self.wave[1] * p.y + self.phase[1]);
        let d = block - self.amplitude * upper * wave;
        d + 0.55 * self.pore(p) - 0.22 * fbm(self.pore_seed ^ 1, p, 0.25, 2)
    }

    fn step_scale(&self) -> f32 {
        0.45
    }

    fn albedo(&self, p: Vec3, _n: Vec3) -> [f32; 3] {
        let marble = ramp(-0.25, 0.35, fbm(self.pore_seed ^ 2, p, 0.055, 3)) * self.marbling;
        let colour = blend(self.foam, self.second, marble);
        let grain = 1.0 + 0.10 * value_noise(self.pore_seed ^ 3, p.x * 1.9, p.y * 1.9, p.z * 1.9);
        scaled(colour, grain * (1.0 - 0.35 * self.pore(p)))
    }

    fn bounds(&self) -> Bounds {
        let growth = self.shear.abs() * self.half.y + 0.8;
        Bounds::upright(self.half.x + growth, self.half.y + 0.8, -5.0, 2.0 * self.half.z + self.amplitude + 4.0)
    }

    fn inside_colour(&self) -> [f32; 3] {
        scaled(self.foam, 0.85)
    }
}
