//! Analytic surface patches: random surfaces, sampled as an organized depth camera sees them, whose signed distance is
//! known (docs/training.md).
//!
//! They show the shape expert what a few categories of parts may not: planes and quadrics of every curvature, waves,
//! creases, steps, solids with edges, holes and rims, seen at every tilt. A surface is either a height over the image
//! plane or a solid given by its signed distance. Lengths are in units of the camera's grid spacing; the camera looks
//! along +z, and the signed distance is positive on its side.

mod height;
mod solid;

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::evaluation::HeldBackPatch;
use crate::patches::{TrainingPatch, normalise};
use crate::random::{self, between, uniform};
use height::Height;
use solid::Solid;

/// Half the side of the window of rays around a patch's centre: 500 points of a frontal patch reach 12.6 rays far,
/// those of a steep one twice as far.
const WINDOW: i32 = 28;
/// Share of surfaces that are solids.
const SOLID_SHARE: f32 = 0.45;
/// Share of surfaces that end at a straight rim inside the patch.
const RIM_SHARE: f32 = 0.2;
/// Largest deviation of the measurement along the ray, in grid spacings: about 0.1 mm on a part of 10 cm.
const MAX_NOISE: f32 = 0.2;
/// Source pixels per grid spacing: 400 to 900 pixels are resampled to 224.
const PIXELS_PER_SPACING: (f32, f32) = (1.8, 4.0);

/// A random surface.
#[derive(Clone, Debug)]
enum Surface {
    Height(Height),
    Solid(Solid),
}

impl Surface {
    fn random(random: &mut ChaCha8Rng) -> Self {
        if uniform(random) < SOLID_SHARE {
            Self::Solid(Solid::random(random))
        } else {
            Self::Height(Height::random(random))
        }
    }

    /// Depth at which a ray along +z meets the surface.
    fn depth(&self, x: f32, y: f32) -> Option<f32> {
        match self {
            Self::Height(height) => Some(height.at(x, y)),
            Self::Solid(solid) => solid.depth(x, y),
        }
    }

    /// Signed distance and its unit gradient.
    fn signed_distance(&self, p: [f32; 3]) -> (f32, [f32; 3]) {
        match self {
            Self::Height(height) => height.signed_distance(p),
            Self::Solid(solid) => solid.signed_distance_and_gradient(p),
        }
    }

    /// Where a ray meets the surface, to centre the patch at.
    fn random_target(&self, random: &mut ChaCha8Rng) -> (f32, f32) {
        match self {
            Self::Height(_) => (between(random, -8.0, 8.0), between(random, -8.0, 8.0)),
            Self::Solid(solid) => solid.random_target(random),
        }
    }
}

/// `count` patches of random surfaces, `patch_size` points each.
pub fn surface_patches(seed: u64, count: usize, patch_size: usize) -> Vec<TrainingPatch> {
    patches(seed, count, patch_size).into_iter().map(|seen| TrainingPatch { points: seen.points }).collect()
}

/// The same patches with their signed distances, to measure an expert by.
pub fn held_back_surface_patches(seed: u64, count: usize, patch_size: usize) -> Vec<HeldBackPatch> {
    let held_back = |SeenSurface { surface, points, scale, mean }| {
        let signed_distance = move |p: [f32; 3]| {
            let here = [0, 1, 2].map(|axis| p[axis] / scale + mean[axis]);
            let (distance, gradient) = surface.signed_distance(here);
            (distance * scale, gradient)
        };
        HeldBackPatch { points, signed_distance: Box::new(signed_distance) }
    };
    patches(seed, count, patch_size).into_iter().map(held_back).collect()
}

/// A patch of a surface, normalised: `points = (measured - mean) * scale`.
struct SeenSurface {
    surface: Surface,
    points: Vec<[f32; 3]>,
    scale: f32,
    mean: [f32; 3],
}

fn patches(seed: u64, count: usize, patch_size: usize) -> Vec<SeenSurface> {
    (0..count as u64)
        .into_par_iter()
        .map(|index| {
            let mut random = random::generator(seed, index);
            // A view that shows too little of a surface is replaced by another; most show enough.
            loop {
                let surface = Surface::random(&mut random);
                let Some(mut points) = seen(&surface, patch_size, &mut random) else { continue };
                if let Some((scale, mean)) = normalise(&mut points) {
                    return SeenSurface { surface, points, scale, mean };
                }
            }
        })
        .collect()
}

/// The `patch_size` points nearest to a random one, as the camera measures them.
fn seen(surface: &Surface, patch_size: usize, random: &mut ChaCha8Rng) -> Option<Vec<[f32; 3]>> {
    let (x0, y0) = surface.random_target(random);
    let density = between(random, PIXELS_PER_SPACING.0, PIXELS_PER_SPACING.1);
    let noise = MAX_NOISE * uniform(random).powi(2);
    let rim = (uniform(random) < RIM_SHARE).then(|| {
        let angle = between(random, 0.0, std::f32::consts::TAU);
        (angle.cos(), angle.sin(), between(random, 0.0, 10.0))
    });
    // Resampling takes whole source pixels.
    let ray = |i: i32, from: f32| (((from + i as f32) + 0.5) * density).floor() / density;
    let mut points = Vec::with_capacity(((2 * WINDOW + 1) * (2 * WINDOW + 1)) as usize);
    for row in -WINDOW..=WINDOW {
        for col in -WINDOW..=WINDOW {
            let (x, y) = (ray(col, x0), ray(row, y0));
            let is_cut = rim.is_some_and(|(cos, sin, offset)| cos * (x - x0) + sin * (y - y0) > offset);
            if !is_cut && let Some(z) = surface.depth(x, y) {
                points.push([x, y, z + noise * random::normal(random)]);
            }
        }
    }
    if points.len() < patch_size {
        return None;
    }
    let centre = *points.iter().min_by(|a, b| planar(a, x0, y0).total_cmp(&planar(b, x0, y0)))?;
    let squared = |p: &[f32; 3]| (0..3).map(|axis| (p[axis] - centre[axis]).powi(2)).sum::<f32>();
    points.sort_by(|a, b| squared(a).total_cmp(&squared(b)));
    points.truncate(patch_size);
    Some(points)
}

fn planar(p: &[f32; 3], x: f32, y: f32) -> f32 {
    (p[0] - x).powi(2) + (p[1] - y).powi(2)
}

#[cfg(test)]
mod tests;
