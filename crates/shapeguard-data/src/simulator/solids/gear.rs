//! Gear: a spur gear with rim, web, lightening holes, hub, bore and keyway.

use super::{Piece, Solid};
use crate::simulator::random::{Draws, fbm, value_noise};
use crate::simulator::shapes::{blend, extruded, length2, ramp, scaled, smooth_union, smooth_without};
use crate::simulator::vector::{Bounds, Vec3, vec3};

const TEETH: f32 = 22.0;
const HOLES: f32 = 5.0;

pub(super) struct Gear {
    tip: f32,
    root: f32,
    tooth_half: f32,
    height: f32,
    web: f32,
    hub: f32,
    hub_height: f32,
    bore: f32,
    hole_ring: f32,
    hole: f32,
    phase: f32,
    run_out: f32,
    relief_seed: u32,
    steel: [f32; 3],
    rust: f32,
    oil: f32,
}

impl Gear {
    pub fn draw(draws: &mut Draws) -> Self {
        let root = draws.about(36.0, 0.01);
        Self {
            tip: root + draws.about(7.0, 0.03),
            root,
            tooth_half: draws.about(3.3, 0.03),
            height: draws.about(16.0, 0.02),
            web: draws.about(10.5, 0.04),
            hub: draws.about(12.5, 0.02),
            hub_height: draws.about(20.0, 0.03),
            bore: draws.about(6.2, 0.02),
            hole_ring: draws.about(21.0, 0.01),
            hole: draws.about(4.6, 0.03),
            phase: draws.range(0.0, std::f32::consts::TAU),
            run_out: draws.range(-0.3, 0.3),
            relief_seed: draws.noise_seed(),
            steel: draws.colour([0.47, 0.48, 0.50], 0.10, 0.02),
            rust: draws.range(0.0, 0.5),
            oil: draws.range(0.0, 0.5),
        }
    }

    /// The gear's outline in the plane: the root circle and the tooth nearest in angle.
    fn outline(&self, p: Vec3, r: f32) -> f32 {
        if r < self.root - 3.0 {
            return r - self.root;
        }
        let sector = std::f32::consts::TAU / TEETH;
        let angle = libm::atan2f(p.y, p.x);
        let folded = angle - sector * (angle / sector).round();
        let (x, y) = (r * libm::sinf(folded), r * libm::cosf(folded));
        // A straight-sided tooth, narrower at the tip; 0.94 is the cosine of its flank's angle.
        let half = self.tooth_half - 0.36 * (y - 0.5 * (self.root + self.tip));
        let tooth = ((x.abs() - half) * 0.94).max(y - self.tip);
        smooth_union(r - self.root, tooth, 1.2)
    }

    fn lightening(&self, p: Vec3) -> f32 {
        let sector = std::f32::consts::TAU / HOLES;
        let angle = libm::atan2f(p.y, p.x) - self.phase;
        let folded = angle - sector * (angle / sector).round();
        let r = length2(p.x, p.y);
        length2(r * libm::cosf(folded) - self.hole_ring, r * libm::sinf(folded)) - self.hole
    }
}

impl Solid for Gear {
    fn distance(&self, p: Vec3) -> f32 {
        let r = length2(p.x + self.run_out, p.y);
        let outline = self.outline(p, r);
        let half = 0.5 * self.height + 1.0;
        let mut d = extruded(outline, p.z - half + 2.0, half, 0.7);
        let hub = extruded(r - self.hub, p.z - 0.5 * self.hub_height, 0.5 * self.hub_height, 0.8);
        d = smooth_union(d, hub, 0.8);
        if d > 3.0 {
            return d - 0.3;
        }
        let pocket = (r - (self.root - 6.0)).max(self.hub + 1.0 - r).max(self.web - p.z);
        d = smooth_without(d, pocket, 1.6);
        d = smooth_union(d, hub, 1.2);
        d = smooth_without(d, self.lightening(p), 0.8);
        let bore = length2(p.x, p.y) - self.bore;
        let key = (p.y.abs() - 1.8).max(p.x.abs() - self.bore - 2.4).max(-p.x);
        d = smooth_without(d, bore.min(key), 0.5);
        d - 0.10 * fbm(self.relief_seed, p, 0.5, 2)
    }

    fn albedo(&self, p: Vec3, n: Vec3) -> [f32; 3] {
        let r = length2(p.x, p.y);
        let turned = if n.z > 0.8 { 0.05 * value_noise(self.relief_seed ^ 4, r * 2.5, 0.0, 0.0) } else { 0.0 };
        let mut colour = scaled(self.steel, 1.0 + turned + 0.06 * fbm(self.relief_seed ^ 1, p, 0.8, 3));
        let rusty = ramp(0.15, 0.7, fbm(self.relief_seed ^ 2, p, 0.12, 3)) * self.rust;
        colour = blend(colour, [0.38, 0.25, 0.17], rusty);
        let oily = ramp(0.0, 0.5, fbm(self.relief_seed ^ 3, p, 0.05, 2)) * self.oil;
        blend(colour, scaled(colour, 0.72), oily)
    }

    fn bounds(&self) -> Bounds {
        let r = self.tip + 0.6;
        Bounds::upright(r, r, -3.5, self.hub_height + 0.5)
    }

    fn inside_colour(&self) -> [f32; 3] {
        [0.34, 0.33, 0.33]
    }

    fn gloss(&self) -> f32 {
        0.3
    }

    fn pieces(&self) -> Vec<Piece> {
        (0..TEETH as usize)
            .map(|i| {
                let a = std::f32::consts::TAU * i as f32 / TEETH;
                let r = 0.5 * (self.root + self.tip) + 0.8;
                let z = 0.5 * self.height;
                Piece { centre: vec3(r * libm::cosf(a), r * libm::sinf(a), z), half: vec3(4.6, 5.2, 13.0) }
            })
            .collect()
    }
}
