//! Connector: a plastic housing with two rows of sockets, contacts in them, a latch and keying ribs.

use super::{Piece, Solid};
use crate::simulator::random::{Draws, fbm, value_noise};
use crate::simulator::shapes::{blend, ramp, rounded_box, scaled, smooth_union, smooth_without};
use crate::simulator::vector::{Bounds, Vec3, vec3};

const PITCH: f32 = 7.4;
const COLUMNS: f32 = 6.0;

pub(super) struct Connector {
    half: Vec3,
    socket_half: f32,
    socket_depth: f32,
    row_offset: f32,
    latch_x: f32,
    sink: f32,
    bow: f32,
    contact_height: f32,
    relief_seed: u32,
    plastic: [f32; 3],
    brass: [f32; 3],
    mark_shift: f32,
    scuffs: f32,
}

impl Connector {
    pub fn draw(draws: &mut Draws) -> Self {
        Self {
            half: vec3(draws.about(27.0, 0.012), draws.about(14.0, 0.015), draws.about(9.5, 0.02)),
            socket_half: draws.about(2.3, 0.04),
            socket_depth: draws.about(7.0, 0.05),
            row_offset: draws.about(4.6, 0.03),
            latch_x: draws.range(-0.8, 0.8),
            sink: draws.range(0.1, 0.6),
            bow: draws.range(-0.0005, 0.0005),
            contact_height: draws.about(5.6, 0.06),
            relief_seed: draws.noise_seed(),
            plastic: draws.colour([0.20, 0.36, 0.44], 0.10, 0.03),
            brass: draws.colour([0.72, 0.58, 0.30], 0.08, 0.03),
            mark_shift: draws.range(-1.2, 1.2),
            scuffs: draws.range(0.0, 0.3),
        }
    }

    fn top(&self) -> f32 {
        2.0 * self.half.z
    }

    /// Position within the nearest socket.
    fn in_socket(&self, p: Vec3) -> Vec3 {
        let column = (p.x / PITCH - 0.5).round().clamp(-0.5 * COLUMNS, 0.5 * COLUMNS - 1.0) + 0.5;
        let row = if p.y > 0.0 { self.row_offset } else { -self.row_offset };
        vec3(p.x - column * PITCH, p.y - row, p.z - self.top())
    }
}

impl Solid for Connector {
    fn distance(&self, p: Vec3) -> f32 {
        let p = vec3(p.x, p.y, p.z + self.bow * p.x * p.x);
        let body = rounded_box(p - vec3(0.0, 0.0, self.half.z - 1.0), self.half + vec3(0.0, 0.0, 1.0), 1.6);
        // A latch bridge on one long side, keying ribs on the other, a flange at the foot.
        let latch_at = p - vec3(self.latch_x, self.half.y + 2.2, self.half.z + 2.5);
        let latch = rounded_box(latch_at, vec3(7.5, 2.6, 7.5), 1.0);
        let rib_x = (p.x.abs() - 13.0).abs();
        let rib =
            rounded_box(vec3(rib_x, p.y + self.half.y, p.z - self.half.z + 1.5), vec3(1.6, 1.8, self.half.z), 0.6);
        let foot = rounded_box(p - vec3(0.0, 0.0, 3.5), vec3(self.half.x + 2.6, self.half.y - 1.0, 4.2), 1.0);
        let mut d = smooth_union(smooth_union(body, latch, 1.2), rib.min(foot), 0.8);
        // A dividing ridge between the rows.
        let ridge = rounded_box(p - vec3(0.0, 0.0, self.top()), vec3(self.half.x - 4.0, 0.9, 0.9), 0.4);
        if d.min(ridge) > 2.0 {
            return d.min(ridge) - 0.2;
        }
        // The latch's window.
        d = smooth_without(d, rounded_box(latch_at + vec3(0.0, -0.6, -4.0), vec3(4.6, 1.6, 5.0), 0.5), 0.4);
        let q = self.in_socket(p);
        let socket = rounded_box(q, vec3(self.socket_half, self.socket_half, self.socket_depth), 0.4);
        let chamfer = rounded_box(q, vec3(self.socket_half + 0.55, self.socket_half + 0.55, 0.6), 0.2);
        d = smooth_without(d, socket.min(chamfer), 0.3);
        let contact = rounded_box(q + vec3(0.0, 0.0, self.contact_height + 2.0), vec3(0.9, 0.9, 3.0), 0.3);
        d = d.min(contact);
        d = smooth_union(d, ridge, 0.4);
        // Sink marks over thick walls.
        let sunk = self.sink
            * 0.5
            * (0.5 + 0.5 * libm::cosf(p.x * 0.42))
            * ramp(10.0, 13.5, p.y.abs())
            * ramp(-4.0, 0.0, p.z - self.top());
        d + 0.8 * sunk - 0.09 * fbm(self.relief_seed, p, 0.3, 2)
    }

    fn albedo(&self, p: Vec3, n: Vec3) -> [f32; 3] {
        let q = self.in_socket(p);
        if q.x.abs() < 1.15 && q.y.abs() < 1.15 && q.z < -1.2 {
            return self.brass;
        }
        let mut colour = scaled(self.plastic, 1.0 + 0.05 * fbm(self.relief_seed ^ 1, p, 0.25, 3));
        // Printed position marks beside the outer sockets.
        if n.z > 0.7 && p.z > self.top() - 1.5 && p.y < -self.half.y + 3.6 {
            let x = p.x + self.mark_shift;
            let dash = (x + 19.0).abs() < 1.6 || (x - 18.0).abs() < 0.6 || (x - 20.0).abs() < 0.6;
            if dash && p.y > -self.half.y + 1.0 {
                colour = [0.78, 0.79, 0.78];
            }
        }
        let scuff = ramp(0.35, 0.8, value_noise(self.relief_seed ^ 2, p.x * 0.25, p.y * 1.6, p.z)) * self.scuffs;
        colour = blend(colour, [0.52, 0.58, 0.60], scuff);
        scaled(colour, 1.0 + 0.04 * value_noise(self.relief_seed ^ 3, p.x * 2.2, p.y * 2.2, p.z * 2.2))
    }

    fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::upright(self.half.x + 3.2, self.half.y + 2.4, -3.0, self.top() + 1.8);
        bounds.max.y = self.half.y + 5.4;
        bounds
    }

    fn inside_colour(&self) -> [f32; 3] {
        scaled(self.plastic, 0.8)
    }

    fn gloss(&self) -> f32 {
        0.22
    }

    fn pieces(&self) -> Vec<Piece> {
        let y = self.half.y + 3.2;
        let z = self.half.z + 4.0;
        vec![
            Piece { centre: vec3(self.latch_x, y, z), half: vec3(5.0, 9.0, 7.0) },
            Piece { centre: vec3(self.half.x, self.half.y - 2.0, self.top()), half: vec3(6.0, 6.0, 6.0) },
            Piece { centre: vec3(-self.half.x, -self.half.y + 2.0, self.top()), half: vec3(6.0, 6.0, 6.0) },
        ]
    }
}
