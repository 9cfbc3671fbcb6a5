//! Hinge: two drilled leaves, half closed like a roof, joined by a knuckled barrel and a pin.

use super::{Piece, Solid};
use crate::simulator::random::{Draws, fbm, value_noise};
use crate::simulator::shapes::{
    blend, cylinder_x, extruded, length2, ramp, rounded_rectangle, scaled, smooth_union, smooth_without,
};
use crate::simulator::vector::{Bounds, Vec3, vec3};

const KNUCKLES: f32 = 5.0;

pub(super) struct Hinge {
    half_length: f32,
    leaf_width: f32,
    leaf_half: f32,
    /// Inclination of each leaf: cosine and sine.
    slopes: [[f32; 2]; 2],
    barrel_z: f32,
    barrel_radius: f32,
    pin_radius: f32,
    gap: f32,
    screw: f32,
    screw_shift: [f32; 2],
    relief_seed: u32,
    metal: [f32; 3],
    wear: f32,
    brush: f32,
}

impl Hinge {
    pub fn draw(draws: &mut Draws) -> Self {
        let slope = |draws: &mut Draws| {
            let angle = draws.range(0.33, 0.41);
            [libm::cosf(angle), libm::sinf(angle)]
        };
        Self {
            half_length: draws.about(34.0, 0.015),
            leaf_width: draws.about(33.0, 0.02),
            leaf_half: draws.about(1.9, 0.04),
            slopes: [slope(draws), slope(draws)],
            barrel_z: draws.about(22.0, 0.02),
            barrel_radius: draws.about(5.4, 0.02),
            pin_radius: draws.about(2.6, 0.04),
            gap: draws.range(0.35, 0.8),
            screw: draws.about(2.5, 0.04),
            screw_shift: [draws.range(-0.6, 0.6), draws.range(-0.6, 0.6)],
            relief_seed: draws.noise_seed(),
            metal: draws.colour([0.60, 0.52, 0.34], 0.10, 0.03),
            wear: draws.range(0.1, 0.5),
            brush: draws.range(0.04, 0.09),
        }
    }

    /// A point in a leaf's own frame: along the barrel, away from it, over the leaf.
    fn in_leaf(&self, p: Vec3, side: usize) -> Vec3 {
        let [cos, sin] = self.slopes[side];
        let away = if side == 0 { p.y } else { -p.y };
        let z = p.z - self.barrel_z;
        vec3(p.x, away * cos - z * sin, z * cos + away * sin)
    }

    fn leaf(&self, p: Vec3, side: usize) -> f32 {
        let q = self.in_leaf(p, side);
        let half_width = 0.5 * self.leaf_width;
        let outline = rounded_rectangle(q.x, q.y - half_width, self.half_length, half_width, 4.0);
        let mut d = extruded(outline, q.z, self.leaf_half, 0.6);
        let screw = self.to_screw(q, side);
        d = smooth_without(d, screw - self.screw, 0.4);
        // Countersink.
        smooth_without(d, (screw - self.screw - 1.6 + (self.leaf_half - q.z)) * 0.7, 0.3)
    }

    /// Distance from the nearest screw's axis, in a leaf's frame.
    fn to_screw(&self, q: Vec3, side: usize) -> f32 {
        let pitch = 0.66 * self.half_length;
        let x = q.x - self.screw_shift[side];
        let column = (x / pitch).round().clamp(-1.0, 1.0);
        // The middle screw sits nearer to the barrel.
        let row = if column == 0.0 { 0.45 } else { 0.66 } * self.leaf_width;
        length2(x - column * pitch, q.y - row)
    }
}

impl Solid for Hinge {
    fn distance(&self, p: Vec3) -> f32 {
        let at_barrel = p - vec3(0.0, 0.0, self.barrel_z);
        let barrel = cylinder_x(at_barrel, self.barrel_radius, self.half_length, 0.6);
        let leaf = self.leaf(p, 0).min(self.leaf(p, 1));
        let mut d = smooth_union(barrel, leaf, 1.5);
        if d > 2.5 {
            return d - 0.2;
        }
        // Gaps between the knuckles show the pin.
        let pitch = 2.0 * self.half_length / KNUCKLES;
        let from_gap = ((p.x / pitch + 0.5).round() - 0.5) * pitch - p.x;
        let is_inner = p.x.abs() < self.half_length - 0.5 * pitch;
        if is_inner {
            let slot = (from_gap.abs() - self.gap).max(length2(at_barrel.y, at_barrel.z) - self.barrel_radius - 1.5);
            d = smooth_without(d, slot, 0.3);
        }
        let pin = cylinder_x(at_barrel, self.pin_radius, self.half_length + 1.6, 0.6);
        d = d.min(pin);
        d - 0.08 * fbm(self.relief_seed, p, 0.4, 2)
    }

    fn albedo(&self, p: Vec3, n: Vec3) -> [f32; 3] {
        // Brushed along the barrel.
        let brushed = value_noise(self.relief_seed ^ 1, p.x * 0.12, p.y * 2.6, p.z * 2.6);
        let mut colour = scaled(self.metal, 1.0 + self.brush * brushed + 0.05 * fbm(self.relief_seed ^ 2, p, 0.5, 2));
        let side = usize::from(p.y < 0.0);
        let screw = self.to_screw(self.in_leaf(p, side), side);
        colour = blend(colour, scaled(self.metal, 1.25), 0.6 * (1.0 - ramp(self.screw + 1.2, self.screw + 2.2, screw)));
        let tarnish = self.wear * ramp(0.0, 0.6, fbm(self.relief_seed ^ 3, p, 0.07, 3)) * (0.6 + 0.4 * n.z.max(0.0));
        blend(colour, [0.30, 0.25, 0.18], tarnish)
    }

    fn bounds(&self) -> Bounds {
        let mut reach = 0.0f32;
        for [cos, _] in self.slopes {
            reach = reach.max(self.leaf_width * cos + self.leaf_half);
        }
        Bounds::upright(self.half_length + 2.2, reach + 1.0, 2.0, self.barrel_z + self.barrel_radius + 0.8)
    }

    fn inside_colour(&self) -> [f32; 3] {
        [0.44, 0.38, 0.26]
    }

    fn gloss(&self) -> f32 {
        0.4
    }

    fn pieces(&self) -> Vec<Piece> {
        let pitch = 2.0 * self.half_length / KNUCKLES;
        let z = self.barrel_z;
        let corner_y = 0.82 * self.leaf_width;
        let mut pieces: Vec<Piece> = [-2.0f32, 0.0, 2.0]
            .map(|i| Piece { centre: vec3(i * pitch, 0.0, z + 1.5), half: vec3(5.4, 6.0, 6.5) })
            .to_vec();
        for (sx, sy) in [(1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)] {
            let centre = vec3(sx * self.half_length, sy * corner_y, z - 0.36 * corner_y);
            pieces.push(Piece { centre, half: vec3(9.0, 9.0, 9.0) });
        }
        pieces
    }
}
