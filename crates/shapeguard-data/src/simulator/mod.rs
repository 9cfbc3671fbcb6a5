//! The scan simulator: parts and foods, made from signed distance fields, seen by a structured-light camera.
//!
//! [`simulate_scan`] gives one scan with its ground truth and with the surface itself, whose signed distance is known
//! ([`Surface::signed_distance`]). Everything follows from the seed: the part's shape and texture, its pose, the light,
//! the sensor's noise and the defect. No bytes depend on the number of threads or on the platform's mathematics.
//!
//! A defective scan is the good scan of the same seed and index with the defect put in: same part, pose, light and
//! noise. Its mask is where the two pictures, before noise, visibly differ: all pieces but specks of some pixels.

mod category;
mod defect;
mod part;
mod random;
mod render;
mod scene;
mod sensor;
mod shapes;
mod solids;
mod suite;
mod vector;
mod write;

use std::sync::Arc;

use shapeguard_core::grid::Mask;
use shapeguard_core::sample::Scan;

pub use category::{Category, HELD_BACK};
pub use defect::{DefectKind, Visibility};
pub use part::Surface;
pub use scene::{CameraParameters, Disturbance};
pub use suite::{Suite, SuiteError};
pub use write::{PlannedScan, Split, write_category};

use defect::{Defect, Site};
use part::Part;
use random::Draws;
use render::{Picture, Window, difference, look, look_again};
use scene::{Scene, sample_draws};

/// A defect to put into a scan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DefectSpec {
    /// What kind.
    pub kind: DefectKind,
    /// Factor on sizes, depths and opacities: 1 spreads them from obvious to barely visible.
    pub strength: f32,
}

/// A simulated scan and the truth about it.
#[derive(Clone, Debug)]
pub struct SimulatedScan {
    /// What the sensor measured.
    pub scan: Scan,
    /// The defect's pixels; none for a good part.
    pub truth: Mask,
    /// The surface of the part, with its defect if it has one.
    pub surface: Surface,
}

/// Fewest pixels of a defect's mask in a picture of 400 x 400; scaled with the larger side for others.
const LEAST_MASK_PX: f32 = 25.0;
/// Attempts at a place and size for a defect before it is made larger.
const ATTEMPTS_PER_GROWTH: usize = 6;
/// Growth of the strength after unsuccessful attempts.
const GROWTH: f32 = 1.25;
/// Growths after which the last attempt is taken, whatever its size.
const MOST_GROWTHS: usize = 12;
/// Places for defects lie higher than this above the table, millimetres: background removal cuts at 5.
const LEAST_SITE_HEIGHT_MM: f32 = 8.0;

/// Purposes of a sample's independent streams of draws.
mod purpose {
    pub const SOLID: u64 = 1;
    pub const SCENE: u64 = 2;
    pub const DEFECT: u64 = 3;
}

/// Simulates one scan. The same arguments give the same bytes; a defect changes nothing but what it covers and shades.
pub fn simulate_scan(category: Category, seed: u64, sample_index: u64, defect: Option<DefectSpec>) -> SimulatedScan {
    simulate_scan_at(category, seed, sample_index, defect, 1.0)
}

/// As [`simulate_scan`], seen by a camera of `scale` times the category's resolution. Noise and dropouts are drawn for
/// each pixel.
///
/// # Panics
/// If the scale is not between a quarter and 8.
pub fn simulate_scan_at(
    category: Category,
    seed: u64,
    sample_index: u64,
    defect: Option<DefectSpec>,
    scale: f32,
) -> SimulatedScan {
    assert!((0.25..=8.0).contains(&scale), "no camera sees {scale} times as much");
    measure(stage(category, seed, sample_index, defect, scale, Disturbance::NONE))
}

/// As [`simulate_scan_at`], a good part on a line where something came loose.
///
/// # Panics
/// As [`simulate_scan_at`].
pub fn simulate_disturbed(
    category: Category,
    seed: u64,
    sample_index: u64,
    scale: f32,
    disturbance: Disturbance,
) -> SimulatedScan {
    assert!((0.25..=8.0).contains(&scale), "no camera sees {scale} times as much");
    measure(stage(category, seed, sample_index, None, scale, disturbance))
}

fn measure(staged: Staged) -> SimulatedScan {
    let Staged { scene, part, picture, truth } = staged;
    let (cloud, rgb) = sensor::measure(&part, &scene, &picture);
    let scan = Scan::new(cloud, rgb).expect("a simulated table is always in view, 0.1 m to 0.3 m wide");
    SimulatedScan { scan, truth, surface: Surface { part, camera_from_part: scene.camera_from_part } }
}

/// A scan before the sensor sees it.
struct Staged {
    scene: Scene,
    part: Part,
    picture: Picture,
    truth: Mask,
}

fn stage(
    category: Category,
    seed: u64,
    sample_index: u64,
    defect: Option<DefectSpec>,
    scale: f32,
    disturbance: Disturbance,
) -> Staged {
    let view = category.view().scaled(scale);
    let draws = sample_draws(category, seed, sample_index);
    let solid: Arc<dyn solids::Solid> = Arc::from(solids::build(category, &mut draws.fork(purpose::SOLID)));
    let mut scene = Scene::draw(view, &mut draws.fork(purpose::SCENE));
    if disturbance != Disturbance::NONE {
        scene.disturb(disturbance);
    }
    let part = Part::new(solid, None);
    let picture = look(&part, &scene, Window::of(part.bounds(), &scene, 1.0));
    match defect {
        None => Staged { scene, part, picture, truth: Mask::filled(view.size, false) },
        Some(spec) => {
            let (part, picture, truth) = place_defect(&part, &scene, &picture, spec, &draws.fork(purpose::DEFECT));
            Staged { scene, part, picture, truth }
        }
    }
}

/// Draws defects until one is visible; gives the defective part, its picture and its mask.
fn place_defect(
    good: &Part,
    scene: &Scene,
    picture: &Picture,
    spec: DefectSpec,
    draws: &Draws,
) -> (Part, Picture, Mask) {
    let size = shapeguard_core::grid::GridSize::new(scene.camera.image_height, scene.camera.image_width);
    let side = size.rows.max(size.cols) as f32 / 400.0;
    let least = (LEAST_MASK_PX * side * side) as usize;
    let bounds = good.bounds();
    let scale_mm = (bounds.max.x - bounds.min.x).min(bounds.max.y - bounds.min.y).clamp(25.0, 70.0);
    let sites = sites(good, scene, picture);
    let mut strength = spec.strength;
    let mut attempt = 0;
    loop {
        let mut draws = draws.fork(attempt as u64);
        let site = sites[draws.index(sites.len())];
        let defect = Defect::draw(spec.kind, strength, good.solid.as_ref(), site, scale_mm, &mut draws);
        let region = defect.region;
        let part = Part::new(good.solid.clone(), Some(defect));
        // A defect at the silhouette may reach outside the good part's window.
        let window = Window::of(region, scene, 2.0);
        let mut whole = picture.extended(window, scene);
        let changed = look_again((good, &whole), &part, scene, window);
        let mask = difference(&whole, &changed, size);
        attempt += 1;
        let growths = attempt / ATTEMPTS_PER_GROWTH;
        if mask.count() >= least || growths > MOST_GROWTHS {
            whole.overlay(&changed);
            return (part, whole, mask);
        }
        strength = spec.strength * libm::powf(GROWTH, growths as f32);
    }
}

/// Places where a defect is seen and measured.
fn sites(good: &Part, scene: &Scene, picture: &Picture) -> Vec<Site> {
    /// Every so many pixels in both directions are enough to choose from.
    const STRIDE: usize = 5;
    /// Least cosine between normal and view.
    const LEAST_FACING: f32 = 0.5;
    let window = picture.window;
    let mut sites = Vec::new();
    for row in (window.rows[0]..window.rows[1]).step_by(STRIDE) {
        for col in (window.cols[0]..window.cols[1]).step_by(STRIDE) {
            let Some(seen) = picture.get(row, col).filter(|seen| seen.part) else { continue };
            let facing = seen.normal.dot((scene.eye - seen.point).unit());
            if scene.height(seen.point) > LEAST_SITE_HEIGHT_MM
                && facing > LEAST_FACING
                && sensor::is_lit(good, scene, seen.point, seen.normal)
            {
                sites.push(Site { point: seen.point, normal: seen.normal });
            }
        }
    }
    if sites.is_empty() {
        let top = good.bounds().max.z;
        sites.push(Site { point: vector::vec3(0.0, 0.0, top), normal: vector::vec3(0.0, 0.0, 1.0) });
    }
    sites
}

#[cfg(test)]
mod tests;
