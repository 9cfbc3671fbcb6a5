//! Root: a long, tapering, slightly crooked edible root with rings, eyes and soil.

use super::Solid;
use crate::simulator::random::{Draws, fbm, value_noise};
use crate::simulator::shapes::{blend, length2, ramp, scaled};
use crate::simulator::vector::{Bounds, Vec3, vec3};

pub(super) struct Root {
    half_length: f32,
    radius: f32,
    taper: f32,
    crook: [f32; 3],
    flatten: f32,
    swell: [f32; 3],
    rings: f32,
    relief_seed: u32,
    skin: [f32; 3],
    dark: [f32; 3],
    soil: f32,
}

impl Root {
    pub fn draw(draws: &mut Draws) -> Self {
        Self {
            half_length: draws.about(70.0, 0.05),
            radius: draws.about(14.5, 0.08),
            taper: draws.range(0.42, 0.56),
            crook: [draws.range(-4.5, 4.5), draws.range(-2.8, 2.8), draws.range(0.0, std::f32::consts::TAU)],
            flatten: draws.range(-0.06, 0.06),
            swell: [draws.range(0.02, 0.07), draws.range(0.07, 0.12), draws.range(0.0, std::f32::consts::TAU)],
            rings: draws.range(0.15, 0.4),
            relief_seed: draws.noise_seed(),
            skin: draws.colour([0.76, 0.42, 0.16], 0.10, 0.06),
            dark: draws.colour([0.40, 0.24, 0.12], 0.12, 0.05),
            soil: draws.range(0.05, 0.5),
        }
    }

    /// Radius and middle of the cross-section.
    fn section(&self, x: f32) -> (f32, f32, f32) {
        let u = (x / self.half_length).clamp(-1.0, 1.0);
        let swell = 1.0 + self.swell[0] * libm::sinf(self.swell[1] * x + self.swell[2]);
        let radius = self.radius * (1.0 - self.taper * (0.5 + 0.5 * u)) * swell;
        let [a, b, phase] = self.crook;
        let y = a * (1.0 - 2.0 * u * u) + b * libm::sinf(2.2 * u + phase);
        (radius, y, radius * 0.97)
    }
}

impl Solid for Root {
    fn distance(&self, p: Vec3) -> f32 {
        let (radius, y, z) = self.section(p.x);
        let r = length2((p.y - y) * (1.0 + self.flatten), (p.z - z) * (1.0 - self.flatten));
        // Rounded ends: within a radius of the end the section closes like a ball.
        let beyond = (p.x.abs() - self.half_length + 0.8 * radius).max(0.0);
        let d = (length2(r, beyond) - radius) * 0.95;
        if d > 1.6 {
            return d - 1.15;
        }
        // Rings: stretched noise, deep where they are dark.
        let ring = value_noise(self.relief_seed, p.x * 0.42, p.y * 0.05, p.z * 0.05);
        let eye = ramp(0.55, 0.8, value_noise(self.relief_seed ^ 2, p.x * 0.14, p.y * 0.22, p.z * 0.22));
        d - self.rings * ring + 0.9 * eye - 0.7 * fbm(self.relief_seed ^ 3, p, 0.06, 2)
    }

    fn step_scale(&self) -> f32 {
        0.72
    }

    fn albedo(&self, p: Vec3, _n: Vec3) -> [f32; 3] {
        let ring = value_noise(self.relief_seed, p.x * 0.42, p.y * 0.05, p.z * 0.05);
        let mut colour = scaled(self.skin, 1.0 + 0.12 * fbm(self.relief_seed ^ 4, p, 0.10, 3) + 0.06 * ring);
        colour = blend(colour, self.dark, 0.35 * ramp(-0.2, -0.7, ring));
        let eye = ramp(0.5, 0.75, value_noise(self.relief_seed ^ 2, p.x * 0.14, p.y * 0.22, p.z * 0.22));
        colour = blend(colour, self.dark, 0.7 * eye);
        let soil = self.soil * ramp(0.05, 0.5, fbm(self.relief_seed ^ 5, p, 0.12, 3));
        colour = blend(colour, [0.26, 0.19, 0.13], soil);
        let crown = ramp(0.86, 1.0, -p.x / self.half_length);
        blend(colour, [0.36, 0.38, 0.18], 0.6 * crown)
    }

    fn bounds(&self) -> Bounds {
        let r = self.radius * 1.15 + 1.5;
        let sway = self.crook[0].abs() + self.crook[1].abs();
        Bounds {
            min: vec3(-self.half_length - 4.0, -r - sway, -3.5),
            max: vec3(self.half_length + 4.0, r + sway, 2.0 * r + 1.0),
        }
    }

    fn inside_colour(&self) -> [f32; 3] {
        [0.82, 0.60, 0.28]
    }
}
