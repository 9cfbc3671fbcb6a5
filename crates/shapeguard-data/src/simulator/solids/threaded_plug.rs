//! Threaded plug: hexagonal head, washer face and a coarse thread, lying on its side.

use super::{Piece, Solid};
use crate::simulator::random::{Draws, fbm, value_noise};
use crate::simulator::shapes::{
    blend, cylinder_x, extruded, length2, polygon, ramp, scaled, smooth_union, smooth_without,
};
use crate::simulator::vector::{Bounds, Vec3, vec3};

pub(super) struct ThreadedPlug {
    across: f32,
    head: f32,
    washer: f32,
    washer_half: f32,
    shank: f32,
    length: f32,
    pitch: f32,
    thread_depth: f32,
    start: f32,
    roll: f32,
    axis_z: f32,
    drive: f32,
    relief_seed: u32,
    plating: [f32; 3],
    dull: f32,
    grease: f32,
}

impl ThreadedPlug {
    pub fn draw(draws: &mut Draws) -> Self {
        let washer = draws.about(24.0, 0.012);
        Self {
            across: draws.about(20.0, 0.012),
            head: draws.about(15.0, 0.02),
            washer,
            washer_half: draws.about(2.4, 0.03),
            shank: draws.about(16.5, 0.012),
            length: draws.about(46.0, 0.015),
            pitch: draws.about(5.2, 0.01),
            thread_depth: draws.about(1.5, 0.06),
            start: draws.range(0.0, std::f32::consts::TAU),
            roll: draws.range(0.0, std::f32::consts::TAU),
            axis_z: washer - 0.6,
            drive: draws.about(6.5, 0.03),
            relief_seed: draws.noise_seed(),
            plating: draws.colour([0.62, 0.58, 0.44], 0.10, 0.03),
            dull: draws.range(0.1, 0.5),
            grease: draws.range(0.0, 0.4),
        }
    }
}

/// The washer face's position along the axis, which centres the plug.
const WASHER_X: f32 = -14.0;

impl Solid for ThreadedPlug {
    fn distance(&self, p: Vec3) -> f32 {
        let q = vec3(p.x - WASHER_X, p.y, p.z - self.axis_z);
        let r = length2(q.y, q.z);
        let washer = cylinder_x(q, self.washer, self.washer_half, 0.8);
        let (cos, sin) = (libm::cosf(self.roll), libm::sinf(self.roll));
        let (y, z) = (q.y * cos + q.z * sin, q.z * cos - q.y * sin);
        let mut head = extruded(polygon(y, z, 6, self.across), q.x + 0.5 * self.head, 0.5 * self.head, 0.8);
        // The head's corners are turned off at the end; a socket is sunk into it.
        head = head.max((r - self.across - 1.0 - (q.x + self.head)) * 0.7);
        head = smooth_without(head, (r - self.drive).max(q.x + self.head - 6.0), 0.5);
        let mut d = smooth_union(head, washer, 1.0);
        let shank = extruded(r - self.shank, q.x - 0.5 * self.length, 0.5 * self.length, 2.4);
        if shank < 3.0 {
            let angle = libm::atan2f(q.y, q.z);
            let phase = std::f32::consts::TAU * q.x / self.pitch - angle + self.start;
            // The thread runs out towards the washer and starts at the tip.
            let run = ramp(4.0, 8.0, q.x) * ramp(self.length + 0.5, self.length - 2.0, q.x);
            let wave = libm::sinf(phase);
            let flank = wave * (1.18 - 0.18 * wave * wave);
            d = smooth_union(d, (shank - self.thread_depth * (0.5 * flank - 0.5) * run) * 0.85, 0.6);
        } else {
            d = d.min(shank - 0.4);
        }
        if d > 2.0 { d } else { d - 0.09 * fbm(self.relief_seed, p, 0.4, 3) }
    }

    fn step_scale(&self) -> f32 {
        0.6
    }

    fn albedo(&self, p: Vec3, _n: Vec3) -> [f32; 3] {
        let mut colour = scaled(self.plating, 1.0 + 0.07 * fbm(self.relief_seed ^ 1, p, 0.5, 3));
        // Yellow passivation drifts to bluish in clouds.
        let drift = ramp(-0.3, 0.4, fbm(self.relief_seed ^ 2, p, 0.07, 2));
        colour = blend(colour, [0.52, 0.55, 0.58], self.dull * drift);
        let tool = if p.x > WASHER_X { 0.05 * value_noise(self.relief_seed ^ 3, p.x * 3.0, 0.0, 0.0) } else { 0.0 };
        colour = scaled(colour, 1.0 + tool);
        let grease = self.grease * ramp(0.1, 0.5, fbm(self.relief_seed ^ 4, p, 0.10, 3));
        blend(colour, [0.24, 0.23, 0.20], grease)
    }

    fn bounds(&self) -> Bounds {
        let r = self.washer + 0.6;
        Bounds {
            min: vec3(WASHER_X - self.head - 0.8, -r, -2.0),
            max: vec3(WASHER_X + self.length + 0.8, r, self.axis_z + r),
        }
    }

    fn inside_colour(&self) -> [f32; 3] {
        [0.36, 0.35, 0.34]
    }

    fn gloss(&self) -> f32 {
        0.4
    }

    fn pieces(&self) -> Vec<Piece> {
        let tip = WASHER_X + self.length;
        vec![
            Piece { centre: vec3(tip, 0.0, self.axis_z + self.shank), half: vec3(9.0, 9.0, 9.0) },
            Piece { centre: vec3(WASHER_X, 10.0, self.axis_z + self.washer - 3.0), half: vec3(6.0, 8.0, 8.0) },
            Piece {
                centre: vec3(WASHER_X - self.head, -6.0, self.axis_z + self.across - 2.0),
                half: vec3(8.0, 8.0, 8.0),
            },
        ]
    }
}
