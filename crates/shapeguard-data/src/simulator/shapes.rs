//! Signed distances of primitive solids and how they combine, millimetres, negative inside.
//!
//! The formulas are the standard ones of implicit modelling; all are exact or lower bounds of the true distance, which
//! is what sphere tracing needs (J. C. Hart, "Sphere tracing", 1996).

use super::vector::{Vec3, vec3};

/// A box of the given half extents, its edges rounded with `radius`, centred at the origin.
pub(super) fn rounded_box(p: Vec3, half: Vec3, radius: f32) -> f32 {
    let q = p.abs() - half + vec3(radius, radius, radius);
    q.max(Vec3::default()).length() + q.x.max(q.y).max(q.z).min(0.0) - radius
}

/// A rectangle in the plane, corners rounded.
pub(super) fn rounded_rectangle(x: f32, y: f32, half_x: f32, half_y: f32, radius: f32) -> f32 {
    let (qx, qy) = (x.abs() - half_x + radius, y.abs() - half_y + radius);
    length2(qx.max(0.0), qy.max(0.0)) + qx.max(qy).min(0.0) - radius
}

pub(super) fn length2(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

/// A planar outline's distance, extruded over `|along| <= half_length`, edges rounded with `radius`.
pub(super) fn extruded(outline: f32, along: f32, half_length: f32, radius: f32) -> f32 {
    let (a, b) = (outline + radius, along.abs() - half_length + radius);
    length2(a.max(0.0), b.max(0.0)) + a.max(b).min(0.0) - radius
}

/// A cylinder along x, centred at the origin.
pub(super) fn cylinder_x(p: Vec3, radius: f32, half_length: f32, edge: f32) -> f32 {
    extruded(length2(p.y, p.z) - radius, p.x, half_length, edge)
}

/// A ball-ended rod whose radius goes from `radius_a` to `radius_b` (a lower bound when they differ).
pub(super) fn capsule(p: Vec3, a: Vec3, b: Vec3, radius_a: f32, radius_b: f32) -> f32 {
    let (pa, ba) = (p - a, b - a);
    let h = (pa.dot(ba) / ba.dot(ba).max(1e-9)).clamp(0.0, 1.0);
    (pa - ba * h).length() - (radius_a + (radius_b - radius_a) * h)
}

/// An ellipsoid (first-order distance, never larger than twice the true one near it).
pub(super) fn ellipsoid(p: Vec3, radii: Vec3) -> f32 {
    let q = vec3(p.x / radii.x, p.y / radii.y, p.z / radii.z);
    let k = q.length();
    let smallest = radii.x.min(radii.y).min(radii.z);
    if k < 0.2 {
        return -smallest * (1.0 - k);
    }
    let g = vec3(q.x / radii.x, q.y / radii.y, q.z / radii.z).length();
    k * (k - 1.0) / g
}

/// A regular prism's outline with `sides` flat sides at distance `inradius` from the centre.
pub(super) fn polygon(x: f32, y: f32, sides: u32, inradius: f32) -> f32 {
    let sector = std::f32::consts::TAU / sides as f32;
    let angle = libm::atan2f(y, x);
    let folded = angle - sector * (angle / sector).round();
    length2(x, y) * libm::cosf(folded) - inradius
}

/// Union with a blend of width `k`.
pub(super) fn smooth_union(a: f32, b: f32, k: f32) -> f32 {
    let h = (k - (a - b).abs()).max(0.0) / k;
    a.min(b) - h * h * k * 0.25
}

/// `a` without `b`, with a blend of width `k`.
pub(super) fn smooth_without(a: f32, b: f32, k: f32) -> f32 {
    -smooth_union(-a, b, k)
}

/// 0 below `low`, 1 above `high`, smooth between (either order).
pub(super) fn ramp(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// From `a` (at 0) to `b` (at 1).
pub(super) fn blend(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
}

/// A colour made brighter or darker.
pub(super) fn scaled(a: [f32; 3], factor: f32) -> [f32; 3] {
    a.map(|c| c * factor)
}
