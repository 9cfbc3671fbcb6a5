//! The structured-light sensor: what it makes of the surface that its pixels see.
//!
//! Depth: no point where the projector does not reach (shadow), where the light grazes, where the surface is too dark
//! or glares; noise that grows with distance and with incidence; a slow ripple along the baseline; quantised
//! disparity; mixed pixels at edges. Colour: diffuse and ambient light with a soft shadow, a highlight on glossy parts,
//! contact darkening, sensor noise.

use rayon::prelude::*;
use shapeguard_core::grid::{Grid, Mask, RgbImage};
use shapeguard_core::sample::OrganizedCloud;

use super::part::Part;
use super::random::{PixelNoise, value_noise};
use super::render::{Picture, Seen, Window, table};
use super::scene::Scene;
use super::shapes::ramp;
use super::vector::{Vec3, vec3};

/// Deviation of depth noise on a frontal surface at [`NOMINAL_MM`], millimetres.
const NOISE_MM: f32 = 0.055;
/// Distance of the nominal noise, millimetres.
const NOMINAL_MM: f32 = 650.0;
/// Disparity steps per pixel of the matcher.
const DISPARITY_STEPS: f32 = 32.0;
/// Amplitude of the ripple, millimetres, and its period, pixels.
const RIPPLE_MM: f32 = 0.035;
const RIPPLE_PX: f32 = 23.0;
/// Cosine of the projector's incidence below which nothing is measured, and below which points are lost.
const GRAZING: [f32; 2] = [0.08, 0.28];
/// Share of points lost without a reason.
const RANDOM_LOSS: f32 = 0.0012;
/// A step in depth between neighbours that makes mixed pixels, millimetres, and how often it does: cameras remove
/// nearly all of them.
const EDGE_MM: f32 = 3.0;
const MIXED_SHARE: f32 = 0.005;
/// How far shadows fall, as a multiple of the part's height, for the window in which they are looked for.
const SHADOW_REACH: f32 = 1.1;

/// Size of the room's light and of the projector's lens, as seen from the part (a share of the distance).
const LIGHT_PENUMBRA: f32 = 0.12;
const PROJECTOR_PENUMBRA: f32 = 0.004;
/// Rays towards a light start this far off the surface, millimetres, clear of its own grain.
const SHADOW_LIFT_MM: f32 = 0.3;

/// Noise channels of a pixel.
mod channel {
    pub const DEPTH: u64 = 1;
    pub const LOSS: u64 = 2;
    pub const MIXED: u64 = 3;
    pub const MIX: u64 = 4;
    pub const RGB: u64 = 5;
}

/// Cloud and colour image of what `picture` holds.
pub(super) fn measure(part: &Part, scene: &Scene, picture: &Picture) -> (OrganizedCloud, RgbImage) {
    let size = shapeguard_core::grid::GridSize::new(scene.camera.image_height, scene.camera.image_width);
    let bounds = part.bounds();
    let reach = SHADOW_REACH * bounds.max.z;
    let shadows = Window::of(bounds.grown(reach), scene, 0.0);
    let mut points = Grid::filled(size, [0.0f32; 3]);
    let mut rgb = Grid::filled(size, [0u8; 3]);
    points
        .as_mut_slice()
        .par_chunks_mut(size.cols)
        .zip(rgb.as_mut_slice().par_chunks_mut(size.cols))
        .enumerate()
        .for_each(|(row, (points, rgb))| {
            for col in 0..size.cols {
                let seen = picture.get(row, col).copied().unwrap_or_else(|| table(scene, scene.ray(row, col)));
                let noise = PixelNoise::new(scene.noise_key, row * size.cols + col);
                let near_part = shadows.contains(row, col);
                let light = Light::at(part, scene, &seen, near_part);
                points[col] = depth(part, scene, picture, &seen, near_part, noise, [row, col]).unwrap_or([0.0; 3]);
                rgb[col] = light.colour(scene, &seen, noise);
            }
        });
    let valid: Mask = points.map(|p| p[2] > 0.0);
    (OrganizedCloud::from_parts(points, valid), rgb)
}

/// The light at a surface point.
struct Light {
    /// Direct light, shadow and incidence included.
    direct: f32,
    /// Share of the surroundings that is open.
    open: f32,
    highlight: f32,
}

impl Light {
    fn at(part: &Part, scene: &Scene, seen: &Seen, near_part: bool) -> Self {
        let start = seen.point + seen.normal * SHADOW_LIFT_MM;
        let incidence = seen.normal.dot(scene.to_light).max(0.0);
        let (mut shadow, mut open) = (0.0, 1.0);
        if near_part {
            if incidence > 0.0 {
                shadow = part.shadow(start, scene.to_light, LIGHT_PENUMBRA);
            }
            // Crevices and contact lines are darker: free space 4 mm out, as a share.
            open = 0.55 + 0.45 * (part.distance(seen.point + seen.normal * 4.0) / 4.0).clamp(0.0, 1.0);
        }
        let gloss = if seen.part { part.solid.gloss() } else { 0.0 };
        let mut highlight = 0.0;
        if gloss > 0.0 {
            let half = ((scene.eye - seen.point).unit() + scene.to_light).unit();
            highlight = gloss * power_of_32(seen.normal.dot(half).max(0.0)) * (1.0 - shadow);
        }
        Self { direct: incidence * (1.0 - shadow), open, highlight }
    }

    fn colour(&self, scene: &Scene, seen: &Seen, noise: PixelNoise) -> [u8; 3] {
        let shade = scene.ambient * self.open + scene.diffuse * self.direct;
        std::array::from_fn(|i| {
            let value = 255.0 * (seen.albedo[i] * scene.cast[i] * shade + 0.35 * self.highlight);
            // Read-out noise and shot noise.
            let deviation = 1.1 + 0.09 * value.max(0.0).sqrt();
            (value + deviation * noise.normal(channel::RGB + i as u64)).round().clamp(0.0, 255.0) as u8
        })
    }
}

fn power_of_32(x: f32) -> f32 {
    let x2 = x * x;
    let x4 = x2 * x2;
    let x8 = x4 * x4;
    let x16 = x8 * x8;
    x16 * x16
}

/// The measured point in the camera's frame, metres, if there is one.
fn depth(
    part: &Part,
    scene: &Scene,
    picture: &Picture,
    seen: &Seen,
    near_part: bool,
    noise: PixelNoise,
    [row, col]: [usize; 2],
) -> Option<[f32; 3]> {
    let to_projector = (scene.projector - seen.point).unit();
    let lit = seen.normal.dot(to_projector);
    let facing = seen.normal.dot((scene.eye - seen.point).unit());
    if lit < GRAZING[0] || facing < GRAZING[0] {
        return None;
    }
    if near_part && part.shadow(seen.point + seen.normal * SHADOW_LIFT_MM, to_projector, PROJECTOR_PENUMBRA) > 0.5 {
        return None;
    }
    let brightness = (seen.albedo[0] + seen.albedo[1] + seen.albedo[2]) / 3.0;
    let gloss = if seen.part { part.solid.gloss() } else { 0.0 };
    let half = ((scene.eye - seen.point).unit() + to_projector).unit();
    let glare = gloss * power_of_32(power_of_32(seen.normal.dot(half).max(0.0)));
    let loss = 0.8 * (1.0 - ramp(GRAZING[0], GRAZING[1], lit.min(facing)))
        + 0.7 * (1.0 - ramp(0.01, 0.05, brightness * lit))
        + 0.6 * ramp(0.25, 0.8, glare);
    // Points lost for a reason come in clumps: half of the decision is shared with the neighbours.
    let own = noise.uniform(channel::LOSS);
    if own < RANDOM_LOSS {
        return None;
    }
    if loss > 0.0 {
        let p = seen.point;
        let shared = 0.5 + 0.5 * value_noise(scene.noise_key as u32, p.x * 0.7, p.y * 0.7, p.z * 0.7);
        if 0.5 * (own + shared) < 0.5 * loss {
            return None;
        }
    }

    let ray = scene.camera.ray(row, col);
    let mut z_mm = camera_depth(scene, seen);
    if noise.uniform(channel::MIXED) < MIXED_SHARE
        && let Some(other) = edge(scene, picture, z_mm, row, col)
    {
        z_mm += (other - z_mm) * noise.uniform(channel::MIX);
    }
    let relative = z_mm / NOMINAL_MM;
    let incidence = 1.0 / lit.min(facing).max(0.1) - 1.0;
    let deviation = NOISE_MM * relative * relative * (1.0 + 1.1 * incidence);
    let ripple =
        RIPPLE_MM * libm::sinf(std::f32::consts::TAU * col as f32 / RIPPLE_PX + scene.ripple_phase + 0.05 * z_mm);
    z_mm += deviation * noise.normal(channel::DEPTH) + ripple;
    let disparity_scale = scene.camera.focal_length_px * scene.camera.baseline_m * 1000.0 * DISPARITY_STEPS;
    let z_m = disparity_scale / (disparity_scale / z_mm).round() * 1e-3;
    Some([ray.x * z_m, ray.y * z_m, z_m])
}

/// Distance from the camera along the optical axis, millimetres.
fn camera_depth(scene: &Scene, seen: &Seen) -> f32 {
    let pose = &scene.camera_from_part;
    vec3(pose.axes[0].z, pose.axes[1].z, pose.axes[2].z).dot(seen.point) + pose.translation.z
}

/// Depth of the neighbour across the largest step, if that makes an edge.
fn edge(scene: &Scene, picture: &Picture, z_mm: f32, row: usize, col: usize) -> Option<f32> {
    let neighbours = [(row.wrapping_sub(1), col), (row + 1, col), (row, col.wrapping_sub(1)), (row, col + 1)];
    let mut largest: Option<f32> = None;
    for (row, col) in neighbours {
        if let Some(seen) = picture.get(row, col) {
            let other = camera_depth(scene, seen);
            let step = (other - z_mm).abs();
            if step > EDGE_MM && largest.is_none_or(|l| step > (l - z_mm).abs()) {
                largest = Some(other);
            }
        }
    }
    largest
}

/// Whether the projector reaches a surface point, so that there is depth.
pub(super) fn is_lit(part: &Part, scene: &Scene, point: Vec3, normal: Vec3) -> bool {
    let to_projector = (scene.projector - point).unit();
    normal.dot(to_projector) > GRAZING[1]
        && part.shadow(point + normal * SHADOW_LIFT_MM, to_projector, PROJECTOR_PENUMBRA) < 0.5
}
