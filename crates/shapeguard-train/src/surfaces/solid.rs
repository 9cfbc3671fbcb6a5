//! Solids given by their signed distance, seen from a random side: one or two primitives, joined, cut or drilled.
//!
//! Signed distances of primitives: Quilez, "Distance functions"; of a cut or drilled solid they are lower bounds beyond
//! the cut's edge, and exact near its faces.

use rand_chacha::ChaCha8Rng;

use crate::random::{below, between, normal};

/// Sizes of solids, grid spacings: parts fill 60 to 200 of 224 pixels, their features a fraction of that.
const SIZES: (f32, f32) = (14.0, 70.0);
/// Steps along a ray.
const TRACE_STEPS: usize = 60;
/// A ray has met the surface when it is this near, grid spacings.
const TRACE_NEAR: f32 = 2e-3;
/// Step of the numeric gradient, grid spacings.
const GRADIENT_STEP: f32 = 2e-2;

/// A solid in the camera's frame.
#[derive(Clone, Debug)]
pub(super) struct Solid {
    /// Rows are the solid's axes.
    axes: [[f32; 3]; 3],
    body: Primitive,
    other: Option<(Join, [f32; 3], Primitive)>,
    /// Every point of it is nearer to the origin.
    reach: f32,
}

#[derive(Clone, Copy, Debug)]
enum Join {
    Union,
    Difference,
}

#[derive(Clone, Debug)]
enum Primitive {
    Sphere {
        radius: f32,
    },
    Ellipsoid {
        radii: [f32; 3],
    },
    Torus {
        ring: f32,
        tube: f32,
    },
    /// A box with rounded edges.
    Block {
        half: [f32; 3],
        rounding: f32,
    },
    /// A cylinder along z with rounded edges.
    Cylinder {
        radius: f32,
        half: f32,
        rounding: f32,
    },
    /// A cone frustum along z.
    Cone {
        bottom: f32,
        top: f32,
        half: f32,
    },
}

impl Solid {
    pub(super) fn random(random: &mut ChaCha8Rng) -> Self {
        let size = between(random, SIZES.0.ln(), SIZES.1.ln()).exp();
        let body = Primitive::random(size, random);
        let other = match below(random, 3) {
            0 => None,
            kind => {
                let join = if kind == 1 { Join::Union } else { Join::Difference };
                let share = between(random, 0.3, 0.8);
                let at = [0; 3].map(|_| between(random, -0.8, 0.8) * size);
                Some((join, at, Primitive::random(share * size, random)))
            }
        };
        Self { axes: random_axes(random), body, other, reach: 4.0 * size }
    }

    /// Positive outside.
    fn signed_distance(&self, p: [f32; 3]) -> f32 {
        let p = self.axes.map(|axis| axis[0] * p[0] + axis[1] * p[1] + axis[2] * p[2]);
        let body = self.body.signed_distance(p);
        let Some((join, at, other)) = &self.other else { return body };
        let other = other.signed_distance([0, 1, 2].map(|axis| p[axis] - at[axis]));
        match join {
            Join::Union => body.min(other),
            Join::Difference => body.max(-other),
        }
    }

    pub(super) fn signed_distance_and_gradient(&self, p: [f32; 3]) -> (f32, [f32; 3]) {
        let gradient = [0, 1, 2].map(|axis| {
            let moved = |by: f32| {
                let mut q = p;
                q[axis] += by;
                self.signed_distance(q)
            };
            moved(GRADIENT_STEP) - moved(-GRADIENT_STEP)
        });
        let length = gradient.iter().map(|g| g * g).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        (self.signed_distance(p), gradient.map(|g| g / length))
    }

    /// Sphere tracing along +z.
    pub(super) fn depth(&self, x: f32, y: f32) -> Option<f32> {
        let mut z = -self.reach;
        for _ in 0..TRACE_STEPS {
            let distance = self.signed_distance([x, y, z]);
            if distance < TRACE_NEAR {
                return Some(z);
            }
            z += distance;
            if z > self.reach {
                return None;
            }
        }
        None
    }

    /// A ray that meets the solid; the solid's middle if none is found soon.
    pub(super) fn random_target(&self, random: &mut ChaCha8Rng) -> (f32, f32) {
        for _ in 0..50 {
            let (x, y) = (between(random, -0.4, 0.4) * self.reach, between(random, -0.4, 0.4) * self.reach);
            if self.depth(x, y).is_some() {
                return (x, y);
            }
        }
        (0.0, 0.0)
    }
}

fn random_axes(random: &mut ChaCha8Rng) -> [[f32; 3]; 3] {
    let unit = |v: [f32; 3]| {
        let length = v.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
        v.map(|x| x / length)
    };
    let a = unit([0; 3].map(|_| normal(random)));
    let b = [0; 3].map(|_| normal(random));
    let along = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let b = unit([0, 1, 2].map(|i| b[i] - along * a[i]));
    let c = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    [a, b, c]
}

impl Primitive {
    fn random(size: f32, random: &mut ChaCha8Rng) -> Self {
        let part = |random: &mut ChaCha8Rng, low: f32| size * between(random, low, 1.0);
        let rounding = size * 0.15 * between(random, 0.0, 1.0).powi(2);
        match below(random, 7) {
            0 => Self::Sphere { radius: size },
            1 => Self::Ellipsoid { radii: [0; 3].map(|_| part(random, 0.4)) },
            2 => Self::Torus { ring: 0.7 * size, tube: 0.6 * part(random, 0.3) },
            3 | 4 => Self::Block { half: [0; 3].map(|_| part(random, 0.2)), rounding },
            5 => Self::Cylinder { radius: part(random, 0.3), half: part(random, 0.2), rounding },
            _ => Self::Cone { bottom: size, top: size * between(random, 0.05, 0.9), half: part(random, 0.3) },
        }
    }

    fn signed_distance(&self, p: [f32; 3]) -> f32 {
        let [x, y, z] = p;
        match *self {
            Self::Sphere { radius } => length3(p) - radius,
            Self::Ellipsoid { radii } => {
                // First-order distance: value over gradient length.
                let scaled = length3([0, 1, 2].map(|i| p[i] / radii[i]));
                let twice = length3([0, 1, 2].map(|i| p[i] / (radii[i] * radii[i])));
                if twice < 1e-6 { -radii[0].min(radii[1]).min(radii[2]) } else { scaled * (scaled - 1.0) / twice }
            }
            Self::Torus { ring, tube } => (x.hypot(y) - ring).hypot(z) - tube,
            Self::Block { half, rounding } => {
                let q = [0, 1, 2].map(|i| p[i].abs() - half[i] + rounding);
                length3(q.map(|d| d.max(0.0))) + q[0].max(q[1]).max(q[2]).min(0.0) - rounding
            }
            Self::Cylinder { radius, half, rounding } => {
                let (r, h) = (x.hypot(y) - radius + rounding, z.abs() - half + rounding);
                r.max(0.0).hypot(h.max(0.0)) + r.max(h).min(0.0) - rounding
            }
            Self::Cone { bottom, top, half } => {
                let r = x.hypot(y);
                let cap = [r - r.min(if z < 0.0 { bottom } else { top }), z.abs() - half];
                let along = [top - bottom, 2.0 * half];
                let squared = along[0] * along[0] + along[1] * along[1];
                let t = (((top - r) * along[0] + (half - z) * along[1]) / squared).clamp(0.0, 1.0);
                let side = [r - top + along[0] * t, z - half + along[1] * t];
                let sign = if side[0] < 0.0 && cap[1] < 0.0 { -1.0 } else { 1.0 };
                let squared = |v: [f32; 2]| v[0] * v[0] + v[1] * v[1];
                sign * squared(cap).min(squared(side)).sqrt()
            }
        }
    }
}

fn length3(p: [f32; 3]) -> f32 {
    (p[0] * p[0] + p[1] * p[1] + p[2] * p[2]).sqrt()
}
