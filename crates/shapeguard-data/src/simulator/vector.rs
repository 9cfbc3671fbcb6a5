//! Three-dimensional vectors and rigid transforms in single precision.
//!
//! Only correctly rounded operations (`+ - * / sqrt`) and `libm` are used in the simulator, so that the same seed gives
//! the same bytes on every platform.

use std::ops::{Add, Mul, Neg, Sub};

/// A vector of three components.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub(super) struct Vec3 {
    pub x: f32,
    pub y: f32,
    pub z: f32,
}

/// A vector from its components.
pub(super) const fn vec3(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3 { x, y, z }
}

impl Vec3 {
    pub fn dot(self, other: Vec3) -> f32 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub fn cross(self, o: Vec3) -> Vec3 {
        vec3(self.y * o.z - self.z * o.y, self.z * o.x - self.x * o.z, self.x * o.y - self.y * o.x)
    }

    pub fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The unit vector; the z axis for a vector of no length.
    pub fn unit(self) -> Vec3 {
        let length = self.length();
        if length > 1e-12 { self * (1.0 / length) } else { vec3(0.0, 0.0, 1.0) }
    }

    /// Component by component.
    pub fn map(self, f: impl Fn(f32) -> f32) -> Vec3 {
        vec3(f(self.x), f(self.y), f(self.z))
    }

    pub fn abs(self) -> Vec3 {
        self.map(f32::abs)
    }

    pub fn max(self, o: Vec3) -> Vec3 {
        vec3(self.x.max(o.x), self.y.max(o.y), self.z.max(o.z))
    }

    pub fn min(self, o: Vec3) -> Vec3 {
        vec3(self.x.min(o.x), self.y.min(o.y), self.z.min(o.z))
    }

    pub fn to_array(self) -> [f32; 3] {
        [self.x, self.y, self.z]
    }

    pub fn from_array(a: [f32; 3]) -> Vec3 {
        vec3(a[0], a[1], a[2])
    }

    /// Two unit vectors that complete a unit vector to a right-handed frame.
    pub fn tangents(self) -> (Vec3, Vec3) {
        let helper = if self.x.abs() < 0.7 { vec3(1.0, 0.0, 0.0) } else { vec3(0.0, 1.0, 0.0) };
        let u = helper.cross(self).unit();
        (u, self.cross(u))
    }
}

impl Add for Vec3 {
    type Output = Vec3;
    fn add(self, o: Vec3) -> Vec3 {
        vec3(self.x + o.x, self.y + o.y, self.z + o.z)
    }
}

impl Sub for Vec3 {
    type Output = Vec3;
    fn sub(self, o: Vec3) -> Vec3 {
        vec3(self.x - o.x, self.y - o.y, self.z - o.z)
    }
}

impl Mul<f32> for Vec3 {
    type Output = Vec3;
    fn mul(self, s: f32) -> Vec3 {
        vec3(self.x * s, self.y * s, self.z * s)
    }
}

impl Neg for Vec3 {
    type Output = Vec3;
    fn neg(self) -> Vec3 {
        self * -1.0
    }
}

/// A rotation followed by a translation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rigid {
    /// Images of the axes: the rotation's columns.
    pub axes: [Vec3; 3],
    pub translation: Vec3,
}

impl Rigid {
    /// Rotates a direction.
    pub fn direction(&self, v: Vec3) -> Vec3 {
        self.axes[0] * v.x + self.axes[1] * v.y + self.axes[2] * v.z
    }

    /// Moves a point.
    pub fn point(&self, p: Vec3) -> Vec3 {
        self.direction(p) + self.translation
    }

    /// Rotates a direction back.
    pub fn inverse_direction(&self, v: Vec3) -> Vec3 {
        vec3(self.axes[0].dot(v), self.axes[1].dot(v), self.axes[2].dot(v))
    }

    /// Moves a point back.
    pub fn inverse_point(&self, p: Vec3) -> Vec3 {
        self.inverse_direction(p - self.translation)
    }
}

/// An axis-aligned box.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub min: Vec3,
    pub max: Vec3,
}

impl Bounds {
    /// A box around the origin's vertical: half extents in x and y, from `bottom` to `top` in z.
    pub fn upright(half_x: f32, half_y: f32, bottom: f32, top: f32) -> Self {
        Self { min: vec3(-half_x, -half_y, bottom), max: vec3(half_x, half_y, top) }
    }

    pub fn grown(self, margin: f32) -> Self {
        let m = vec3(margin, margin, margin);
        Self { min: self.min - m, max: self.max + m }
    }

    /// Distance from the box; 0 inside.
    pub fn outside(&self, p: Vec3) -> f32 {
        (self.min - p).max(p - self.max).max(Vec3::default()).length()
    }

    /// Whether the point is inside.
    pub fn holds(&self, p: Vec3) -> bool {
        p.x > self.min.x
            && p.y > self.min.y
            && p.z > self.min.z
            && p.x < self.max.x
            && p.y < self.max.y
            && p.z < self.max.z
    }

    /// Where a ray is inside the box: entry and exit, as multiples of `direction`.
    pub fn clip(&self, origin: Vec3, direction: Vec3) -> Option<(f32, f32)> {
        let (mut enter, mut leave) = (0.0f32, f32::MAX);
        for (o, d, lo, hi) in [
            (origin.x, direction.x, self.min.x, self.max.x),
            (origin.y, direction.y, self.min.y, self.max.y),
            (origin.z, direction.z, self.min.z, self.max.z),
        ] {
            if d.abs() < 1e-9 {
                if o < lo || o > hi {
                    return None;
                }
                continue;
            }
            let (a, b) = ((lo - o) / d, (hi - o) / d);
            enter = enter.max(a.min(b));
            leave = leave.min(a.max(b));
        }
        (enter < leave).then_some((enter, leave))
    }

    pub fn corners(&self) -> [Vec3; 8] {
        std::array::from_fn(|i| {
            vec3(
                if i & 1 == 0 { self.min.x } else { self.max.x },
                if i & 2 == 0 { self.min.y } else { self.max.y },
                if i & 4 == 0 { self.min.z } else { self.max.z },
            )
        })
    }
}
