//! A part in its own frame: a solid and perhaps a defect; rays that meet it; and its surface as the outside sees it.

use std::sync::Arc;

use super::defect::Defect;
use super::solids::Solid;
use super::vector::{Bounds, Rigid, Vec3, vec3};

/// A ray has met the surface when it is nearer than this, millimetres: far below the sensor's noise.
const HIT_MM: f32 = 0.01;
/// Steps after which a ray gives up; grazing rays need the most.
const MAX_STEPS: usize = 160;
/// Beyond this distance from the bounding box its distance stands for the part's, millimetres.
const FAR_MM: f32 = 3.0;
/// Share of the good part's step that is safe where a defect may be as steep as 0.7.
const DEFECT_STEP_SCALE: f32 = 0.7;

/// Central differences of a scalar field.
pub(super) fn gradient(field: impl Fn(Vec3) -> f32, p: Vec3, h: f32) -> Vec3 {
    let (x, y, z) = (vec3(h, 0.0, 0.0), vec3(0.0, h, 0.0), vec3(0.0, 0.0, h));
    vec3(field(p + x) - field(p - x), field(p + y) - field(p - y), field(p + z) - field(p - z)) * (0.5 / h)
}

/// A solid with or without a defect.
#[derive(Clone)]
pub(super) struct Part {
    pub solid: Arc<dyn Solid>,
    pub defect: Option<Defect>,
    /// The good part's box, and with it the defect's.
    good_bounds: Bounds,
    bounds: Bounds,
    step_scale: f32,
}

impl Part {
    pub fn new(solid: Arc<dyn Solid>, defect: Option<Defect>) -> Self {
        let good_bounds = solid.bounds();
        let step_scale = solid.step_scale();
        let bounds = match defect.as_ref().filter(|d| d.changes_shape()) {
            Some(defect) => {
                Bounds { min: good_bounds.min.min(defect.region.min), max: good_bounds.max.max(defect.region.max) }
            }
            None => good_bounds,
        };
        Self { solid, defect, good_bounds, bounds, step_scale }
    }

    /// A box that the surface never leaves.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Distance to the surface, negative inside, millimetres.
    pub fn distance(&self, p: Vec3) -> f32 {
        let defect = self.defect.as_ref().filter(|d| d.changes_shape());
        let mut outside = self.good_bounds.outside(p);
        if outside > FAR_MM {
            // Away from the defect the answer is the good part's, to the bit.
            outside = defect.map_or(outside, |defect| outside.min(defect.region.outside(p)));
        }
        if outside > FAR_MM {
            return outside;
        }
        match defect {
            None => self.solid.distance(p),
            Some(defect) => {
                let d = self.solid.distance(defect.undeformed(p));
                if defect.region.holds(p) { defect.distance(p, d) } else { d }
            }
        }
    }

    /// How far a ray may go from `p`, whose distance is `d`, in any direction.
    fn step(&self, p: Vec3, d: f32) -> f32 {
        // A dent's or a bend's slope adds to the solid's own; elsewhere steps are the good part's, to the bit.
        let in_defect = self.defect.as_ref().is_some_and(|defect| defect.changes_shape() && defect.region.holds(p));
        d * self.step_scale * if in_defect { DEFECT_STEP_SCALE } else { 1.0 }
    }

    /// The outward unit normal.
    pub fn normal(&self, p: Vec3) -> Vec3 {
        // Four corners of a tetrahedron: the cheapest differences; their error at 0.03 mm is below the sensor's noise.
        const H: f32 = 0.03;
        let k = [vec3(1.0, -1.0, -1.0), vec3(-1.0, -1.0, 1.0), vec3(-1.0, 1.0, -1.0), vec3(1.0, 1.0, 1.0)];
        k.iter().fold(Vec3::default(), |sum, k| sum + *k * self.distance(p + *k * H)).unit()
    }

    /// Colour of the surface.
    pub fn albedo(&self, p: Vec3, n: Vec3) -> [f32; 3] {
        match &self.defect {
            None => self.solid.albedo(p, n),
            Some(defect) => {
                let colour = self.solid.albedo(defect.undeformed(p), n);
                defect.albedo(p, colour, self.solid.inside_colour())
            }
        }
    }

    /// Where the ray first meets the surface between `from` and `to`.
    pub fn meet(&self, origin: Vec3, direction: Vec3, from: f32, to: f32) -> Option<f32> {
        let mut t = from;
        for _ in 0..MAX_STEPS {
            let p = origin + direction * t;
            let d = self.distance(p);
            if d < HIT_MM {
                return Some(t);
            }
            t += self.step(p, d);
            if t > to {
                return None;
            }
        }
        // Ran along the surface to the end: it counts as met where it is all but on it.
        (self.distance(origin + direction * t) < 0.1).then_some(t)
    }

    /// How far all rays of a narrow cone may go before the first can meet the surface.
    pub fn cone_free(&self, origin: Vec3, direction: Vec3, from: f32, to: f32, radius_per_mm: f32) -> f32 {
        let mut t = from;
        for _ in 0..MAX_STEPS {
            let p = origin + direction * t;
            let free = self.step(p, self.distance(p)) - t * radius_per_mm;
            if free < 0.25 || t > to {
                break;
            }
            t += free;
        }
        t
    }

    /// How much of a light is hidden from a surface point by the part: 0 fully lit, 1 in full shadow. A ray that passes
    /// at less than `penumbra` of the way gone counts as partly blocked.
    pub fn shadow(&self, p: Vec3, to_light: Vec3, penumbra: f32) -> f32 {
        /// Steps after which the way counts as open, and the least step, millimetres: shadows need no more.
        const STEPS: usize = 24;
        const LEAST_STEP_MM: f32 = 0.8;
        let Some((enter, leave)) = self.bounds.clip(p, to_light) else { return 0.0 };
        let mut t = enter.max(LEAST_STEP_MM);
        let mut lit = 1.0f32;
        for _ in 0..STEPS {
            if t > leave {
                break;
            }
            let q = p + to_light * t;
            let d = self.distance(q);
            lit = lit.min(d / (penumbra * t));
            if lit <= 0.0 {
                return 1.0;
            }
            t += self.step(q, d).max(LEAST_STEP_MM);
        }
        1.0 - lit
    }
}

/// The part's surface as it was scanned, good or defective, in the camera's frame. Queried by those who train or check
/// the shape expert.
#[derive(Clone)]
pub struct Surface {
    pub(super) part: Part,
    /// Millimetres of the part's frame to millimetres of the camera's.
    pub(super) camera_from_part: Rigid,
}

impl Surface {
    /// Signed distance (metres, negative inside) from a point in the camera's frame to the surface, and the unit
    /// gradient of that distance.
    ///
    /// The distance field of a displaced solid is only near to a distance, so the nearest surface point is searched:
    /// steps along the field's gradient onto the surface, and along the surface towards the point. Within 5 mm of the
    /// surface the result is accurate to some hundredths of a millimetre where the nearest point is unique.
    pub fn signed_distance(&self, p_camera_m: [f32; 3]) -> (f32, [f32; 3]) {
        /// Rounds of the search, and steps onto the surface in each; measured: more change less than 0.02 mm.
        const ROUNDS: usize = 4;
        const STEPS_DOWN: usize = 3;
        /// Half width of the differences, millimetres.
        const H_MM: f32 = 0.03;
        /// A foot counts as on the surface within this, millimetres.
        const ON_SURFACE_MM: f32 = 0.03;
        let p = self.camera_from_part.inverse_point(Vec3::from_array(p_camera_m) * 1000.0);
        let field = |q: Vec3| self.part.distance(q);
        let d0 = field(p);
        let sign = if d0 < 0.0 { -1.0 } else { 1.0 };
        let mut foot = p;
        let mut best: Option<(f32, Vec3)> = None;
        let mut normal = Vec3::default();
        for round in 0..ROUNDS {
            if round > 0 {
                // Along the surface, towards the point; less than the whole way, because a curved surface overshoots.
                let away = p - foot;
                foot = foot + (away - normal * away.dot(normal)) * 0.7;
            }
            for _ in 0..STEPS_DOWN {
                let d = field(foot);
                let g = gradient(field, foot, H_MM);
                normal = g.unit();
                foot = foot - normal * (d / g.length().max(0.4)).clamp(-6.0, 6.0);
                if field(foot).abs() < ON_SURFACE_MM {
                    break;
                }
            }
            let length = (p - foot).length();
            if field(foot).abs() < ON_SURFACE_MM && best.is_none_or(|(least, _)| length < least) {
                best = Some((length, foot));
            }
        }
        let (length, foot) = best.unwrap_or(((p - foot).length(), foot));
        let direction = if length > 0.05 { (p - foot) * (sign / length) } else { normal };
        // Very near the surface the field itself, divided by its slope, is the better distance.
        let distance = if length > 0.05 { sign * length } else { d0 / gradient(field, p, H_MM).length().max(0.2) };
        (distance * 1e-3, self.camera_from_part.direction(direction).to_array())
    }
}

impl std::fmt::Debug for Surface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surface").field("camera_from_part", &self.camera_from_part).finish_non_exhaustive()
    }
}
