//! Bracket: a cast angle bracket, a drilled base and flange joined by fillets and a rib.

use super::{Piece, Solid};
use crate::simulator::random::{Draws, fbm, value_noise};
use crate::simulator::shapes::{
    blend, capsule, extruded, length2, ramp, rounded_box, rounded_rectangle, scaled, smooth_union, smooth_without,
};
use crate::simulator::vector::{Bounds, Vec3, vec3};

pub(super) struct Bracket {
    half_length: f32,
    half_width: f32,
    base_height: f32,
    flange_height: f32,
    flange_half: f32,
    flange_hole: f32,
    bolt_holes: [Vec3; 2],
    bolt_radius: f32,
    counterbore: f32,
    rib_half: f32,
    rib_run: f32,
    fillet: f32,
    warp: f32,
    relief_seed: u32,
    metal: [f32; 3],
    machined: [f32; 3],
    stain: f32,
}

impl Bracket {
    pub fn draw(draws: &mut Draws) -> Self {
        let (half_length, half_width) = (draws.about(37.0, 0.015), draws.about(26.0, 0.015));
        let mut hole = |x: f32, y: f32| vec3(x + draws.range(-0.5, 0.5), y + draws.range(-0.5, 0.5), 0.0);
        let bolt_holes = [hole(20.0, 15.0), hole(20.0, -15.0)];
        Self {
            half_length,
            half_width,
            base_height: draws.about(10.0, 0.03),
            flange_height: draws.about(30.0, 0.03),
            flange_half: draws.about(4.5, 0.04),
            flange_hole: draws.about(6.0, 0.04),
            bolt_holes,
            bolt_radius: draws.about(4.2, 0.03),
            counterbore: draws.about(7.2, 0.03),
            rib_half: draws.about(3.6, 0.05),
            rib_run: draws.about(30.0, 0.04),
            fillet: draws.range(4.0, 6.5),
            warp: draws.range(-0.00025, 0.00025),
            relief_seed: draws.noise_seed(),
            metal: draws.colour([0.55, 0.56, 0.57], 0.08, 0.015),
            machined: draws.colour([0.70, 0.71, 0.72], 0.05, 0.01),
            stain: draws.range(0.0, 0.35),
        }
    }
}

impl Solid for Bracket {
    fn distance(&self, p: Vec3) -> f32 {
        let p = vec3(p.x, p.y, p.z + self.warp * p.x * p.x + 1.0);
        let half_base = 0.5 * self.base_height + 1.0;
        let outline = rounded_rectangle(p.x, p.y, self.half_length, self.half_width, 8.0);
        let base = extruded(outline, p.z - half_base + 1.0, half_base, 1.2);
        if base > 34.0 {
            return base - 30.0;
        }
        let flange_x = -self.half_length + self.flange_half;
        let flange_outline =
            rounded_rectangle(p.y, p.z - 0.5 * self.flange_height, self.half_width, 0.5 * self.flange_height, 7.0);
        let flange = extruded(flange_outline, p.x - flange_x, self.flange_half, 1.2);
        // The rib: a plate under a slope from the flange's top to the base.
        let top = self.flange_height * 0.86;
        let slope_length = length2(self.rib_run, top - self.base_height);
        let (sx, sz) = ((top - self.base_height) / slope_length, self.rib_run / slope_length);
        let under_slope = (p.x - flange_x) * sx + (p.z - top) * sz;
        let rib = (p.y.abs() - self.rib_half).max(under_slope).max(flange_x - p.x).max(-p.z);
        let mut d = smooth_union(base, flange, self.fillet);
        d = smooth_union(d, rib, 3.0);
        if d > 2.0 {
            return d - 0.3;
        }
        for hole in &self.bolt_holes {
            let r = length2(p.x - hole.x, p.y - hole.y);
            d = smooth_without(d, r - self.bolt_radius, 0.5);
            d = smooth_without(d, (r - self.counterbore).max(self.base_height - 2.4 - p.z), 0.5);
        }
        let side = length2(p.y - 14.0, p.z - 20.0).min(length2(p.y + 14.0, p.z - 20.0));
        d = smooth_without(d, (side - self.flange_hole * 0.75).max(p.x - flange_x - 12.0), 0.6);
        // A cast lot mark: two raised bars on the base.
        let mark = capsule(p, vec3(3.0, -19.0, self.base_height), vec3(11.0, -19.0, self.base_height), 0.9, 0.9)
            .min(rounded_box(p - vec3(7.0, 19.0, self.base_height), vec3(5.0, 1.4, 0.9), 0.4));
        d = smooth_union(d, mark, 0.6);
        d - 0.16 * fbm(self.relief_seed, p, 0.35, 3)
    }

    fn albedo(&self, p: Vec3, n: Vec3) -> [f32; 3] {
        let cast = 1.0 + 0.10 * fbm(self.relief_seed ^ 1, p, 0.9, 3);
        let mut colour = scaled(self.metal, cast);
        for hole in &self.bolt_holes {
            let r = length2(p.x - hole.x, p.y - hole.y);
            // Machined seats show turning rings.
            if r < self.counterbore && n.z > 0.8 {
                let rings = 0.96 + 0.04 * libm::sinf(9.0 * r);
                colour = scaled(self.machined, rings);
            }
        }
        let cloud = ramp(0.1, 0.6, fbm(self.relief_seed ^ 2, p, 0.06, 2));
        colour = blend(colour, [0.40, 0.38, 0.34], self.stain * cloud);
        scaled(colour, 1.0 + 0.05 * value_noise(self.relief_seed ^ 3, p.x * 3.0, p.y * 3.0, p.z * 3.0))
    }

    fn bounds(&self) -> Bounds {
        Bounds::upright(self.half_length + 0.5, self.half_width + 0.5, -3.0, self.flange_height + 1.0)
    }

    fn inside_colour(&self) -> [f32; 3] {
        [0.36, 0.36, 0.37]
    }

    fn gloss(&self) -> f32 {
        0.25
    }

    fn pieces(&self) -> Vec<Piece> {
        [-1.0, 1.0]
            .map(|side| Piece {
                centre: vec3(self.half_length, side * self.half_width, 5.0),
                half: vec3(12.0, 12.0, 14.0),
            })
            .to_vec()
    }
}
