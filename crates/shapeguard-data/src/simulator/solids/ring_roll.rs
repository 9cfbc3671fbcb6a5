//! Ring roll: a baked ring of uneven thickness, with a crackled crust and seeds on top.

use super::Solid;
use crate::simulator::random::{Draws, PixelNoise, fbm, value_noise};
use crate::simulator::shapes::{blend, ellipsoid, length2, ramp, scaled, smooth_union};
use crate::simulator::vector::{Bounds, Vec3, vec3};

/// Side of the lattice on which seeds are strewn, millimetres.
const SEED_CELL: f32 = 6.5;

pub(super) struct RingRoll {
    ring: f32,
    tube: f32,
    flat: f32,
    oval: f32,
    uneven: [f32; 4],
    seam: f32,
    seam_depth: f32,
    seed_share: f32,
    scatter_key: u64,
    relief_seed: u32,
    crumb: [f32; 3],
    crust: [f32; 3],
    burnt: [f32; 3],
    bake: f32,
    seed_colour: [f32; 3],
}

impl RingRoll {
    pub fn draw(draws: &mut Draws) -> Self {
        Self {
            ring: draws.about(29.0, 0.05),
            tube: draws.about(14.0, 0.05),
            flat: draws.range(0.80, 0.92),
            oval: draws.range(-0.05, 0.05),
            uneven: [
                draws.range(-0.07, 0.07),
                draws.range(-0.07, 0.07),
                draws.range(-0.04, 0.04),
                draws.range(-0.04, 0.04),
            ],
            seam: draws.range(0.0, std::f32::consts::TAU),
            seam_depth: draws.range(0.4, 1.8),
            seed_share: draws.range(0.25, 0.75),
            scatter_key: draws.bits(),
            relief_seed: draws.noise_seed(),
            crumb: draws.colour([0.78, 0.58, 0.32], 0.08, 0.05),
            crust: draws.colour([0.62, 0.36, 0.13], 0.12, 0.06),
            burnt: draws.colour([0.34, 0.17, 0.07], 0.15, 0.06),
            bake: draws.range(-0.25, 0.25),
            seed_colour: draws.colour([0.88, 0.80, 0.60], 0.05, 0.03),
        }
    }

    /// The ring without crust and seeds, and the height of its axis.
    fn dough(&self, p: Vec3) -> f32 {
        let (x, y) = (p.x * (1.0 + self.oval), p.y * (1.0 - self.oval));
        let r = length2(x, y).max(1e-3);
        let (c, s) = (x / r, y / r);
        let [a, b, e, f] = self.uneven;
        let tube = self.tube * (1.0 + a * c + b * s + e * (c * c - s * s) + f * 2.0 * c * s);
        let z = (p.z - self.flat * self.tube + 1.0) / self.flat;
        // The seam, where the rope of dough was closed, is a soft notch.
        let along = (c * libm::cosf(self.seam) + s * libm::sinf(self.seam)).max(0.0);
        let a8 = along * along * along * along;
        let notch = self.seam_depth * a8 * a8 * a8;
        (length2(r - self.ring, z) - tube + notch) * self.flat
    }

    /// Distance to the nearest seed of this cell of the lattice.
    fn seeds(&self, p: Vec3) -> f32 {
        let (cx, cy) = ((p.x / SEED_CELL).floor(), (p.y / SEED_CELL).floor());
        let cell = ((cx as i32 + 512) as usize) * 1024 + (cy as i32 + 512) as usize;
        let noise = PixelNoise::new(self.scatter_key, cell);
        if noise.uniform(0) > self.seed_share {
            return 1.5;
        }
        // Seeds stay clear of their cell's border, so that one cell is enough to look at.
        let x = (cx + 0.5) * SEED_CELL + (noise.uniform(1) - 0.5) * 2.6;
        let y = (cy + 0.5) * SEED_CELL + (noise.uniform(2) - 0.5) * 2.6;
        let r = length2(x * (1.0 + self.oval), y * (1.0 - self.oval));
        let over = (self.tube * self.tube - (r - self.ring) * (r - self.ring)).max(0.0).sqrt();
        if over < 0.55 * self.tube {
            return 1.5;
        }
        let z = self.flat * (over + self.tube) - 0.8;
        let turn = noise.uniform(3) * std::f32::consts::TAU;
        let (cos, sin) = (libm::cosf(turn), libm::sinf(turn));
        let d = p - vec3(x, y, z);
        ellipsoid(vec3(d.x * cos + d.y * sin, d.y * cos - d.x * sin, d.z), vec3(1.9, 1.15, 1.3)).min(1.5)
    }
}

impl Solid for RingRoll {
    fn distance(&self, p: Vec3) -> f32 {
        let d = self.dough(p);
        // Not below 5.5: contact darkening looks 4 mm out, and a jump there would show as patches.
        if d > 5.6 {
            return d - 3.0;
        }
        let lumps = 0.9 * fbm(self.relief_seed, p, 0.07, 2);
        let blisters = 0.30 * ramp(0.2, 0.6, value_noise(self.relief_seed ^ 8, p.x * 0.33, p.y * 0.33, p.z * 0.33));
        let crackle = 0.25 * fbm(self.relief_seed ^ 1, p, 0.45, 2);
        smooth_union(d - lumps - blisters - crackle, self.seeds(p), 0.3)
    }

    fn step_scale(&self) -> f32 {
        0.7
    }

    fn albedo(&self, p: Vec3, n: Vec3) -> [f32; 3] {
        if self.seeds(p) < 0.12 {
            return scaled(self.seed_colour, 1.0 + 0.08 * fbm(self.relief_seed ^ 5, p, 0.9, 2));
        }
        let baked = self.bake + 0.25 + 0.55 * n.z.max(0.0) + 0.55 * fbm(self.relief_seed ^ 2, p, 0.06, 3);
        let mut colour = blend(self.crumb, self.crust, ramp(0.1, 0.7, baked));
        colour = blend(colour, self.burnt, 0.8 * ramp(0.65, 1.25, baked));
        let blister = ramp(0.2, 0.6, value_noise(self.relief_seed ^ 8, p.x * 0.33, p.y * 0.33, p.z * 0.33));
        colour = blend(colour, self.crumb, 0.3 * blister);
        scaled(colour, 1.0 + 0.12 * fbm(self.relief_seed ^ 3, p, 0.8, 2))
    }

    fn bounds(&self) -> Bounds {
        let r = (self.ring + 1.2 * self.tube) * 1.06 + 1.0;
        Bounds::upright(r, r, -4.0, self.flat * 2.2 * self.tube + 1.5)
    }

    fn inside_colour(&self) -> [f32; 3] {
        [0.86, 0.76, 0.56]
    }

    fn gloss(&self) -> f32 {
        0.08
    }
}
