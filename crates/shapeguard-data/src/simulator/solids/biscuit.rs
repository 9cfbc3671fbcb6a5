//! Biscuit: a thick disc with a scalloped rim, rows of docking holes, an embossed ring and chocolate drops.

use super::{Piece, Solid};
use crate::simulator::random::{Draws, fbm, value_noise};
use crate::simulator::shapes::{blend, ellipsoid, extruded, length2, ramp, scaled, smooth_union, smooth_without};
use crate::simulator::vector::{Bounds, Vec3, vec3};

pub(super) struct Biscuit {
    radius: f32,
    thickness: f32,
    scallops: f32,
    scallop_depth: f32,
    oval: f32,
    dome: f32,
    ring_radius: f32,
    hole_pitch: f32,
    drops: Vec<(Vec3, Vec3)>,
    relief_seed: u32,
    dough: [f32; 3],
    browned: [f32; 3],
    chocolate: [f32; 3],
}

impl Biscuit {
    pub fn draw(draws: &mut Draws) -> Self {
        let radius = draws.about(32.0, 0.05);
        let thickness = draws.about(15.0, 0.08);
        let n_drops = 5 + draws.index(6);
        let drops = (0..n_drops)
            .map(|_| {
                let (angle, r) = (draws.range(0.0, std::f32::consts::TAU), radius * 0.8 * draws.range(0.0, 1.0).sqrt());
                let size = draws.range(2.2, 4.2);
                (
                    vec3(r * libm::cosf(angle), r * libm::sinf(angle), thickness - draws.range(0.0, 0.8)),
                    vec3(size, size * draws.range(0.75, 1.2), draws.range(1.4, 2.4)),
                )
            })
            .collect();
        Self {
            radius,
            thickness,
            scallops: 22.0,
            scallop_depth: draws.range(0.7, 1.3),
            oval: draws.range(-0.03, 0.03),
            dome: draws.range(0.5, 2.0),
            ring_radius: radius * draws.range(0.68, 0.74),
            hole_pitch: draws.about(10.5, 0.05),
            drops,
            relief_seed: draws.noise_seed(),
            dough: draws.colour([0.80, 0.62, 0.38], 0.10, 0.05),
            browned: draws.colour([0.50, 0.29, 0.12], 0.15, 0.06),
            chocolate: draws.colour([0.20, 0.11, 0.07], 0.2, 0.08),
        }
    }

    fn drop_distance(&self, p: Vec3) -> f32 {
        self.drops.iter().map(|(centre, radii)| ellipsoid(p - *centre, *radii)).fold(f32::MAX, f32::min)
    }

    /// Distance to the nearest docking hole's axis.
    fn to_hole_axis(&self, p: Vec3) -> f32 {
        let pitch = self.hole_pitch;
        // Holes lie on a square lattice inside the embossed ring.
        let (gx, gy) = ((p.x / pitch).round() * pitch, (p.y / pitch).round() * pitch);
        if length2(gx, gy) > self.ring_radius * 0.9 {
            return pitch * 0.5;
        }
        length2(p.x - gx, p.y - gy)
    }
}

impl Solid for Biscuit {
    fn distance(&self, p: Vec3) -> f32 {
        let r = length2(p.x * (1.0 + self.oval), p.y * (1.0 - self.oval));
        let angle = libm::atan2f(p.y, p.x);
        let rim = self.radius
            - self.scallop_depth * (0.5 + 0.5 * libm::cosf(self.scallops * angle)) * ramp(0.4, 0.9, r / self.radius);
        let sag = self.dome * (r / self.radius) * (r / self.radius);
        let half = self.thickness * 0.5;
        let mut d = extruded(r - rim, p.z - half + sag, half, 3.0);
        // Not below 4.3: contact darkening looks 4 mm out, and a jump there would show as patches.
        if d > 4.5 {
            return d - 3.0;
        }
        let groove = length2(r - self.ring_radius, p.z - self.thickness + sag) - 0.9;
        d = smooth_without(d, groove, 0.8);
        let hole = (self.to_hole_axis(p) - 1.1).max(self.thickness * 0.55 - p.z);
        d = smooth_without(d, hole, 0.8);
        d = smooth_union(d, self.drop_distance(p), 0.7);
        d - 0.28 * fbm(self.relief_seed, p, 0.22, 3)
    }

    fn step_scale(&self) -> f32 {
        0.75
    }

    fn albedo(&self, p: Vec3, n: Vec3) -> [f32; 3] {
        let r = length2(p.x, p.y);
        let baked = 0.35 + 0.5 * fbm(self.relief_seed ^ 7, p, 0.07, 3) + 0.55 * ramp(0.6, 1.02, r / self.radius)
            - 0.25 * n.z.max(0.0);
        let mut colour = blend(self.dough, self.browned, baked.clamp(0.0, 1.0));
        colour = scaled(colour, 1.0 + 0.16 * value_noise(self.relief_seed ^ 11, p.x * 1.3, p.y * 1.3, p.z * 1.3));
        let chocolate = 1.0 - ramp(-0.2, 0.35, self.drop_distance(p));
        blend(colour, self.chocolate, chocolate)
    }

    fn bounds(&self) -> Bounds {
        let r = self.radius * 1.05;
        Bounds::upright(r, r, -3.0, self.thickness + 3.5)
    }

    fn inside_colour(&self) -> [f32; 3] {
        scaled(self.dough, 0.92)
    }

    fn pieces(&self) -> Vec<Piece> {
        // Bitten or broken off at the rim.
        (0..12)
            .map(|i| {
                let angle = std::f32::consts::TAU * i as f32 / 12.0;
                let centre =
                    vec3(self.radius * libm::cosf(angle), self.radius * libm::sinf(angle), 0.5 * self.thickness);
                Piece { centre, half: vec3(9.0, 10.0, 14.0) }
            })
            .collect()
    }
}
