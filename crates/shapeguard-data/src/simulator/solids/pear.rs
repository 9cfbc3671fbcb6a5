//! Pear: lying on its side, with stalk, calyx, blush, lenticels and russet.

use super::Solid;
use crate::simulator::random::{Draws, fbm, value_noise};
use crate::simulator::shapes::{blend, capsule, length2, ramp, scaled, smooth_union, smooth_without};
use crate::simulator::vector::{Bounds, Vec3, vec3};

pub(super) struct Pear {
    body: f32,
    neck: f32,
    neck_at: Vec3,
    waist: f32,
    stalk: [Vec3; 3],
    calyx: Vec3,
    relief_seed: u32,
    lumps: f32,
    green: [f32; 3],
    red: [f32; 3],
    blush_towards: Vec3,
    blush: f32,
    russet: f32,
    dots: f32,
}

impl Pear {
    pub fn draw(draws: &mut Draws) -> Self {
        let body = draws.about(28.0, 0.06);
        let neck = draws.about(13.5, 0.10);
        let neck_at = vec3(draws.about(37.0, 0.08), draws.range(-3.5, 3.5), neck + draws.range(1.0, 7.0));
        let tip = neck_at + vec3(neck * 0.85, 0.0, 2.0);
        let bend = tip + vec3(6.0, draws.range(-2.5, 2.5), draws.range(0.5, 3.0));
        let end = bend + vec3(draws.range(5.0, 8.0), draws.range(-4.0, 4.0), draws.range(0.0, 4.0));
        let turn = draws.range(0.0, std::f32::consts::TAU);
        Self {
            body,
            neck,
            neck_at,
            waist: draws.range(20.0, 34.0),
            stalk: [tip, bend, end],
            calyx: vec3(-body * 0.99, draws.range(-2.0, 2.0), body + draws.range(-2.0, 3.0)),
            relief_seed: draws.noise_seed(),
            lumps: draws.range(0.5, 1.3),
            green: draws.colour([0.56, 0.60, 0.22], 0.10, 0.07),
            red: draws.colour([0.62, 0.22, 0.14], 0.12, 0.08),
            blush_towards: vec3(draws.range(-0.3, 0.3), libm::cosf(turn), libm::sinf(turn)),
            blush: draws.range(0.1, 0.85),
            russet: draws.range(0.1, 0.6),
            dots: draws.range(0.3, 0.7),
        }
    }

    fn stalk_distance(&self, p: Vec3) -> f32 {
        let [a, b, c] = self.stalk;
        smooth_union(capsule(p, a, b, 1.9, 1.4), capsule(p, b, c, 1.4, 1.9), 1.0)
    }
}

impl Solid for Pear {
    fn distance(&self, p: Vec3) -> f32 {
        let body = (p - vec3(0.0, 0.0, self.body - 0.6)).length() - self.body;
        let neck = capsule(p, self.neck_at - vec3(14.0, 0.0, -2.0), self.neck_at, self.neck + 3.0, self.neck);
        let flesh = smooth_union(body, neck, self.waist);
        // Stalk and calyx blend with the flesh only near them.
        let near_stalk = p.x > self.stalk[0].x - 8.0;
        let d = if near_stalk { smooth_union(flesh, self.stalk_distance(p), 1.6) } else { flesh };
        if d > 2.0 {
            return d - 1.5;
        }
        // The calyx: a dimple with a rim of sepals.
        let from_calyx = (p - self.calyx).length();
        let mut d = d;
        if from_calyx < 16.0 {
            d = smooth_without(d, from_calyx - 5.0, 5.0);
            d = smooth_union(d, from_calyx - 2.2, 1.2);
        }
        d - self.lumps * fbm(self.relief_seed, p, 0.045, 2) - 0.09 * fbm(self.relief_seed ^ 9, p, 0.6, 1)
    }

    fn step_scale(&self) -> f32 {
        0.9
    }

    fn albedo(&self, p: Vec3, n: Vec3) -> [f32; 3] {
        if self.stalk_distance(p) < 0.25 {
            return scaled([0.36, 0.25, 0.14], 1.0 + 0.25 * fbm(self.relief_seed ^ 5, p, 0.8, 2));
        }
        let mottle = fbm(self.relief_seed ^ 1, p, 0.09, 3);
        let mut colour = scaled(self.green, 1.0 + 0.14 * mottle);
        let sun = n.dot(self.blush_towards) + 0.4 * fbm(self.relief_seed ^ 2, p, 0.06, 3);
        let streak = 0.8 + 0.2 * value_noise(self.relief_seed ^ 6, p.x * 0.12, p.y * 0.9, p.z * 0.9);
        colour = blend(colour, self.red, self.blush * streak * ramp(-0.1, 0.9, sun));
        let from_ends = ((p - self.calyx).length() / 16.0).min((p - self.stalk[0]).length() / 11.0);
        let rust = self.russet * (1.0 - ramp(0.3, 1.0, from_ends)).max(ramp(0.35, 0.6, mottle));
        colour = blend(colour, [0.50, 0.36, 0.18], rust);
        let dot = ramp(0.45, 0.62, value_noise(self.relief_seed ^ 3, p.x * 0.8, p.y * 0.8, p.z * 0.8));
        colour = blend(colour, [0.42, 0.38, 0.20], self.dots * dot);
        let in_calyx =
            1.0 - ramp(2.0, 4.5, length2(p.x - self.calyx.x, length2(p.y - self.calyx.y, p.z - self.calyx.z)));
        blend(colour, [0.20, 0.15, 0.10], in_calyx)
    }

    fn bounds(&self) -> Bounds {
        let r = self.body + 3.0;
        let end = self.stalk[2];
        Bounds { min: vec3(-r, -r, -3.0), max: vec3(end.x + 2.6, r, 2.0 * self.body + 2.5) }
    }

    fn inside_colour(&self) -> [f32; 3] {
        [0.80, 0.74, 0.56]
    }

    fn gloss(&self) -> f32 {
        0.12
    }
}
