//! Spool: yarn wound on a flanged core, lying on its side; two yarns, strand by strand.

use super::{Piece, Solid};
use crate::simulator::random::{Draws, fbm, value_noise};
use crate::simulator::shapes::{blend, cylinder_x, extruded, length2, ramp, scaled, smooth_without};
use crate::simulator::vector::{Bounds, Vec3, vec3};

pub(super) struct Spool {
    half_length: f32,
    flange: f32,
    flange_half: f32,
    winding: f32,
    crown: f32,
    bias: f32,
    strand: f32,
    strand_depth: f32,
    cross: f32,
    axis_z: f32,
    relief_seed: u32,
    core: [f32; 3],
    yarns: [[f32; 3]; 2],
    stripe: [f32; 2],
    fuzz: f32,
}

impl Spool {
    pub fn draw(draws: &mut Draws) -> Self {
        let flange = draws.about(21.0, 0.01);
        Self {
            half_length: draws.about(28.0, 0.012),
            flange,
            flange_half: draws.about(2.2, 0.04),
            winding: draws.about(15.5, 0.05),
            crown: draws.range(0.3, 2.0),
            bias: draws.range(-1.0, 1.0),
            strand: draws.about(2.1, 0.05),
            strand_depth: draws.range(0.3, 0.5),
            cross: draws.range(-0.35, 0.35),
            axis_z: flange - 0.6,
            relief_seed: draws.noise_seed(),
            core: draws.colour([0.70, 0.66, 0.56], 0.06, 0.02),
            yarns: [draws.colour([0.62, 0.20, 0.20], 0.12, 0.08), draws.colour([0.72, 0.62, 0.40], 0.10, 0.06)],
            stripe: [draws.range(0.10, 0.20), draws.range(0.0, std::f32::consts::TAU)],
            fuzz: draws.range(0.08, 0.2),
        }
    }

    /// Phase of the strands: they run around the axis with a pitch, wavering.
    fn strand_phase(&self, p: Vec3) -> f32 {
        let angle = libm::atan2f(p.y, p.z - self.axis_z);
        let waver = 0.9 * value_noise(self.relief_seed ^ 6, p.x * 0.15, p.y * 0.08, p.z * 0.08);
        std::f32::consts::TAU * (p.x + self.cross * 6.0 * angle + waver) / self.strand
    }

    fn yarn_distance(&self, p: Vec3) -> f32 {
        let u = p.x / self.half_length;
        let radius = self.winding + self.crown * (1.0 - u * u) + self.bias * u;
        let r = length2(p.y, p.z - self.axis_z);
        let d = extruded(r - radius, p.x, self.half_length - 1.0, 0.5);
        if d > 2.5 {
            return d - 0.8;
        }
        let strands = self.strand_depth * libm::sinf(self.strand_phase(p));
        let uneven = 0.45 * fbm(self.relief_seed, p, 0.12, 2);
        d - strands - uneven - self.fuzz * value_noise(self.relief_seed ^ 1, p.x * 1.4, p.y * 1.4, p.z * 1.4)
    }
}

impl Solid for Spool {
    fn distance(&self, p: Vec3) -> f32 {
        let q = vec3(p.x, p.y, p.z - self.axis_z);
        let end = vec3(p.x.abs() - self.half_length, q.y, q.z);
        let mut flange = cylinder_x(end, self.flange, self.flange_half, 0.9);
        if flange < 2.0 {
            let bore = length2(q.y, q.z) - 5.0;
            flange = smooth_without(flange, bore, 0.6);
            // Six spokes' windows are pressed into the outer face.
            let groove = (length2(q.y, q.z) - 13.5).abs() - 2.2;
            flange = smooth_without(flange, groove.max(self.flange_half - 0.9 - end.x), 0.5);
        }
        flange.min(self.yarn_distance(p))
    }

    fn step_scale(&self) -> f32 {
        0.5
    }

    fn albedo(&self, p: Vec3, _n: Vec3) -> [f32; 3] {
        if p.x.abs() > self.half_length - self.flange_half - 0.25 {
            return scaled(self.core, 1.0 + 0.08 * fbm(self.relief_seed ^ 2, p, 0.3, 3));
        }
        let phase = self.strand_phase(p);
        let turn = (phase / std::f32::consts::TAU).floor();
        // Each turn of yarn has its own shade; dyed stretches alternate between the two colours.
        let shade = 1.0 + 0.14 * value_noise(self.relief_seed ^ 3, turn * 0.83 + 0.5, 0.0, 0.0);
        let stretch =
            libm::sinf(self.stripe[0] * 2.2 * turn + self.stripe[1]) + 0.5 * fbm(self.relief_seed ^ 4, p, 0.08, 2);
        let colour = blend(self.yarns[0], self.yarns[1], ramp(-0.2, 0.4, stretch));
        let hollow = 0.78 + 0.22 * ramp(-0.9, 0.2, libm::sinf(phase));
        let twist = 1.0 + 0.08 * value_noise(self.relief_seed ^ 5, p.x * 2.0, p.y * 2.0, p.z * 2.0);
        scaled(colour, shade * hollow * twist)
    }

    fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::upright(self.half_length + self.flange_half + 0.5, self.flange + 0.5, -2.0, 0.0);
        bounds.max.z = self.axis_z + self.flange + 0.5;
        bounds
    }

    fn inside_colour(&self) -> [f32; 3] {
        [0.66, 0.60, 0.48]
    }

    fn pieces(&self) -> Vec<Piece> {
        let x = self.half_length;
        let top = self.axis_z + 0.8 * self.flange;
        [(1.0, 0.0), (-1.0, 0.0), (1.0, 9.0), (-1.0, -9.0)]
            .map(|(side, y): (f32, f32)| Piece { centre: vec3(side * x, y, top), half: vec3(7.0, 8.0, 8.0) })
            .to_vec()
    }
}
