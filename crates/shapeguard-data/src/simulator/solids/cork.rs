//! Cork: an agglomerated stopper lying on its side, with pits, granules and a slight taper.

use super::{Piece, Solid};
use crate::simulator::random::{Draws, fbm, value_noise};
use crate::simulator::shapes::{blend, extruded, length2, ramp, scaled};
use crate::simulator::vector::{Bounds, Vec3, vec3};

pub(super) struct Cork {
    half_length: f32,
    radius: f32,
    taper: f32,
    chamfer: f32,
    oval: f32,
    bow: f32,
    pits: f32,
    pit_seed: u32,
    relief_seed: u32,
    light: [f32; 3],
    dark: [f32; 3],
    banding: f32,
}

impl Cork {
    pub fn draw(draws: &mut Draws) -> Self {
        Self {
            half_length: draws.about(24.0, 0.03),
            radius: draws.about(15.0, 0.02),
            taper: draws.range(0.02, 0.05),
            chamfer: draws.range(1.2, 2.4),
            oval: draws.range(-0.02, 0.02),
            bow: draws.range(-0.0008, 0.0008),
            pits: draws.range(0.28, 0.42),
            pit_seed: draws.noise_seed(),
            relief_seed: draws.noise_seed(),
            light: draws.colour([0.76, 0.58, 0.40], 0.08, 0.04),
            dark: draws.colour([0.40, 0.26, 0.16], 0.12, 0.05),
            banding: draws.range(0.0, 0.25),
        }
    }

    /// Depth of the pores, 0 to 1: stretched along the stopper.
    fn pore(&self, p: Vec3) -> f32 {
        ramp(self.pits, self.pits + 0.55, value_noise(self.pit_seed, p.x * 0.22, p.y * 0.42, p.z * 0.42))
    }
}

impl Solid for Cork {
    fn distance(&self, p: Vec3) -> f32 {
        let axis_z = self.radius - 0.6 + self.bow * p.x * p.x;
        let r = length2(p.y * (1.0 + self.oval), (p.z - axis_z) * (1.0 - self.oval));
        let radius = self.radius * (1.0 + self.taper * p.x / self.half_length);
        let d = extruded(r - radius, p.x, self.half_length, self.chamfer);
        if d > 1.0 {
            return d - 0.25;
        }
        d + 0.9 * self.pore(p) - 0.22 * fbm(self.relief_seed, p, 0.5, 3)
    }

    fn step_scale(&self) -> f32 {
        0.6
    }

    fn albedo(&self, p: Vec3, _n: Vec3) -> [f32; 3] {
        // Granules: each a brightness of its own, made by thresholding coarse noise.
        let granule = value_noise(self.relief_seed ^ 1, p.x * 0.55, p.y * 0.55, p.z * 0.55);
        let fine = fbm(self.relief_seed ^ 2, p, 1.1, 2);
        let mut colour = scaled(self.light, 1.0 + 0.14 * ramp(-0.15, 0.15, granule) - 0.07 + 0.10 * fine);
        let speck = ramp(0.42, 0.6, value_noise(self.relief_seed ^ 3, p.x * 1.1, p.y * 1.1, p.z * 1.1));
        colour = blend(colour, self.dark, 0.75 * speck);
        colour = blend(colour, self.dark, 0.85 * self.pore(p));
        let band = self.banding * ramp(0.0, 0.6, value_noise(self.relief_seed ^ 4, p.x * 0.12, 0.0, p.z * 0.05));
        blend(colour, scaled(self.dark, 1.35), band)
    }

    fn bounds(&self) -> Bounds {
        let r = self.radius * 1.08;
        Bounds {
            min: vec3(-self.half_length - 0.5, -r - 0.5, -2.0),
            max: vec3(self.half_length + 0.5, r + 0.5, self.radius + r + 0.5),
        }
    }

    fn inside_colour(&self) -> [f32; 3] {
        [0.62, 0.44, 0.28]
    }

    fn pieces(&self) -> Vec<Piece> {
        // Crumbled at the edge of either end.
        let end = |side: f32, angle: f32| Piece {
            centre: vec3(
                side * self.half_length,
                self.radius * libm::sinf(angle),
                self.radius * (1.0 + libm::cosf(angle)),
            ),
            half: vec3(8.0, 8.0, 8.0),
        };
        vec![end(1.0, -0.8), end(1.0, 0.1), end(1.0, 0.7), end(-1.0, -0.5), end(-1.0, 0.3)]
    }
}
