//! Defects: how each kind changes a part's distance field or its colour.

use std::fmt;

use super::random::{Draws, fbm, value_noise};
use super::shapes::{blend, capsule, ellipsoid, extruded, length2, ramp, rounded_box, scaled, smooth_union};
use super::solids::{Piece, Solid};
use super::vector::{Bounds, Vec3, vec3};

/// A kind of defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DefectKind {
    /// The part or one end of it is bent: shape, and with it the picture.
    Bent,
    /// A smooth swelling: shape alone.
    Bump,
    /// Foreign matter on the surface: shape and colour.
    Contamination,
    /// A dark, winding groove: shape and colour.
    Crack,
    /// A straight cut that opens the inside: shape and colour.
    Cut,
    /// A smooth dent: shape alone.
    Dent,
    /// A stain: colour alone.
    Discoloration,
    /// A bored or eaten hole: shape and colour.
    Hole,
    /// A piece is missing: shape and colour.
    MissingPart,
    /// Printing where none belongs: colour alone.
    Print,
    /// A fine line: colour alone.
    Scratch,
}

/// What a kind of defect changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Only depth shows it.
    Depth,
    /// Only colour shows it.
    Colour,
    /// Both show it.
    Both,
}

impl DefectKind {
    /// All kinds, by name. A mask's value in ground truth files is the position in this list, plus one, times 20.
    pub const ALL: [DefectKind; 11] = [
        DefectKind::Bent,
        DefectKind::Bump,
        DefectKind::Contamination,
        DefectKind::Crack,
        DefectKind::Cut,
        DefectKind::Dent,
        DefectKind::Discoloration,
        DefectKind::Hole,
        DefectKind::MissingPart,
        DefectKind::Print,
        DefectKind::Scratch,
    ];

    /// The name, as folders are called.
    pub const fn name(self) -> &'static str {
        match self {
            DefectKind::Bent => "bent",
            DefectKind::Bump => "bump",
            DefectKind::Contamination => "contamination",
            DefectKind::Crack => "crack",
            DefectKind::Cut => "cut",
            DefectKind::Dent => "dent",
            DefectKind::Discoloration => "discoloration",
            DefectKind::Hole => "hole",
            DefectKind::MissingPart => "missing-part",
            DefectKind::Print => "print",
            DefectKind::Scratch => "scratch",
        }
    }

    /// The kind of that name.
    pub fn by_name(name: &str) -> Option<DefectKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What the kind changes.
    pub const fn visibility(self) -> Visibility {
        match self {
            DefectKind::Bump | DefectKind::Dent => Visibility::Depth,
            DefectKind::Discoloration | DefectKind::Print | DefectKind::Scratch => Visibility::Colour,
            _ => Visibility::Both,
        }
    }

    /// The value of this kind's pixels in ground truth files, as MVTec 3D-AD writes one value per kind.
    pub const fn mask_value(self) -> u8 {
        20 * (self as u8 + 1)
    }
}

impl fmt::Display for DefectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A place on the surface where a defect is put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    pub point: Vec3,
    pub normal: Vec3,
}

/// A defect in the part's frame.
#[derive(Clone, Debug)]
pub(super) struct Defect {
    pub kind: DefectKind,
    centre: Vec3,
    /// Tangent, tangent, outward normal.
    frame: [Vec3; 3],
    change: Change,
    /// Everything that differs from the good part is in here.
    pub region: Bounds,
    noise_seed: u32,
}

#[derive(Clone, Debug)]
enum Change {
    /// The surface is moved by `height` along the normal (inwards, if negative) in the middle of an ellipse.
    Relief { radii: [f32; 2], height: f32 },
    /// A bore along the normal.
    Bore { radius: f32, depth: f32 },
    /// A groove along a line.
    Groove { line: Vec<Vec3>, width: f32, depth: f32 },
    /// A slot: half length, half width, depth; leaning by `lean`.
    Slot { half_length: f32, half_width: f32, depth: f32, lean: f32 },
    /// Material added: balls of foreign matter.
    Blobs { blobs: Vec<(Vec3, Vec3)>, colour: [f32; 3] },
    /// Material removed around a piece.
    Removal { half: Vec3 },
    /// The part beyond `centre`, along the first axis, bends up: `p.z += curvature * distance^2`.
    Bend { curvature: f32 },
    /// A stain: opacity 0 to 1.
    Stain { radii: [f32; 2], colour: [f32; 3], opacity: f32 },
    /// A line of another colour.
    Line { line: Vec<Vec3>, width: f32, colour: [f32; 3], opacity: f32 },
    /// A printed code or ring.
    Stamp { size: f32, style: u32, colour: [f32; 3], opacity: f32 },
}

/// Severity is drawn log-uniformly between these and then multiplied by the strength asked for: the weakest are barely
/// visible, the strongest obvious. At 1 a dent is some 2 mm deep and a stain a quarter opaque.
const SEVERITY: [f32; 2] = [0.5, 5.0];

impl Defect {
    /// Draws a defect at a site of the part; `scale_mm` is the part's size.
    pub fn draw(
        kind: DefectKind,
        strength: f32,
        solid: &dyn Solid,
        site: Site,
        scale_mm: f32,
        draws: &mut Draws,
    ) -> Self {
        let severity = draws.log_range(SEVERITY[0], SEVERITY[1]) * strength;
        // Sizes go with the square root of the severity, so that weak defects are smaller as well as fainter.
        let size = severity.sqrt() * scale_mm / 60.0;
        let spin = draws.range(0.0, std::f32::consts::TAU);
        let (a, b) = site.normal.tangents();
        let (cos, sin) = (libm::cosf(spin), libm::sinf(spin));
        let mut frame = [a * cos + b * sin, b * cos - a * sin, site.normal];
        let mut centre = site.point;
        let noise_seed = draws.noise_seed();
        let around = |centre: Vec3, r: f32| Bounds { min: centre, max: centre }.grown(r);
        let (change, region) = match kind {
            DefectKind::Bump | DefectKind::Dent => {
                let r = draws.range(5.0, 11.0) * size;
                let radii = [r, r * draws.range(0.6, 1.0)];
                let height = (draws.range(1.8, 3.2) * severity).min(0.45 * radii[1]);
                let height = if kind == DefectKind::Bump { height } else { -height };
                (Change::Relief { radii, height }, around(centre, r + height.abs()))
            }
            DefectKind::Hole => {
                let radius = (draws.range(2.2, 3.8) * size).max(0.7);
                let depth = (draws.range(4.0, 9.0) * size).max(1.2);
                (Change::Bore { radius, depth }, around(centre, radius + depth + 1.0))
            }
            DefectKind::Crack => {
                let length = draws.range(18.0, 34.0) * size;
                let width = (draws.range(0.7, 1.3) * size).max(0.28);
                let depth = draws.range(1.6, 2.6) * width;
                let line = surface_line(solid, centre, frame, length, 0.45, draws);
                let region = line_bounds(&line, width + depth);
                (Change::Groove { line, width, depth }, region)
            }
            DefectKind::Cut => {
                let half_length = draws.range(7.0, 14.0) * size;
                let half_width = (draws.range(0.7, 1.6) * size).max(0.3);
                let depth = (draws.range(3.5, 7.5) * size).max(0.8);
                let lean = draws.range(-0.6, 0.6);
                (Change::Slot { half_length, half_width, depth, lean }, around(centre, half_length + depth + 2.0))
            }
            DefectKind::Contamination => {
                let count = 1 + draws.index(3);
                let blobs: Vec<(Vec3, Vec3)> = (0..count)
                    .map(|i| {
                        let reach = if i == 0 { 0.0 } else { 3.5 * size };
                        let offset = frame[0] * draws.range(-reach, reach) + frame[1] * draws.range(-reach, reach);
                        let r = (draws.range(1.8, 4.2) * size).max(0.8);
                        (
                            project(solid, centre + offset),
                            vec3(r, r * draws.range(0.5, 1.0), (r * draws.range(0.35, 0.8)).max(0.4)),
                        )
                    })
                    .collect();
                let colour = draws.pick(&[
                    [0.55, 0.56, 0.58],
                    [0.16, 0.36, 0.17],
                    [0.12, 0.12, 0.13],
                    [0.15, 0.25, 0.55],
                    [0.60, 0.15, 0.12],
                    [0.62, 0.50, 0.26],
                ]);
                let colour = draws.colour(colour, 0.25, 0.1);
                let region = blobs
                    .iter()
                    .map(|(c, r)| around(*c, r.x.max(r.z) + 1.0))
                    .reduce(|a, b| Bounds { min: a.min.min(b.min), max: a.max.max(b.max) })
                    .unwrap_or(around(centre, 1.0));
                (Change::Blobs { blobs, colour }, region)
            }
            DefectKind::MissingPart => {
                let pieces = solid.pieces();
                let half = if pieces.is_empty() {
                    let r = (draws.range(5.0, 11.0) * size).max(2.0);
                    vec3(r, r * draws.range(0.7, 1.2), r * draws.range(0.6, 1.1))
                } else {
                    let Piece { centre: c, half } = pieces[draws.index(pieces.len())];
                    // A break takes the whole piece or only its outer share.
                    let kept = (1.0 - severity / 3.0).clamp(0.0, 0.8) * draws.range(0.4, 1.0);
                    let flat = vec3(c.x, c.y, 0.0);
                    let outward = if flat.length() > 1.0 { flat.unit() } else { vec3(1.0, 0.0, 0.0) };
                    centre = c + outward * (kept * half.x) + vec3(0.0, 0.0, kept * half.z);
                    frame = [outward, vec3(-outward.y, outward.x, 0.0), vec3(0.0, 0.0, 1.0)];
                    half
                };
                (Change::Removal { half }, around(centre, half.length() + 2.5))
            }
            DefectKind::Bent => {
                let along = draws.pick(&[vec3(1.0, 0.0, 0.0), vec3(-1.0, 0.0, 0.0)]);
                let bounds = solid.bounds();
                let reach = bounds.max.x.max(-bounds.min.x);
                centre = along * (reach * draws.range(-0.15, 0.35));
                frame = [along, vec3(-along.y, along.x, 0.0), vec3(0.0, 0.0, 1.0)];
                let free = reach - centre.dot(along);
                let lift = 0.20 * free * severity.min(1.6);
                let mut region = bounds.grown(0.5);
                region.max.z += lift;
                (Change::Bend { curvature: lift / (free * free) }, region)
            }
            DefectKind::Discoloration => {
                let r = draws.range(6.0, 13.0) * size;
                let radii = [r, r * draws.range(0.5, 1.0)];
                let colour = draws.pick(&[
                    [0.10, 0.09, 0.08],
                    [0.35, 0.22, 0.10],
                    [0.62, 0.60, 0.55],
                    [0.25, 0.33, 0.18],
                    [0.55, 0.30, 0.20],
                ]);
                let opacity = (0.25 * severity).clamp(0.08, 0.95);
                (Change::Stain { radii, colour: draws.colour(colour, 0.2, 0.1), opacity }, around(centre, 1.6 * r))
            }
            DefectKind::Scratch => {
                let length = draws.range(14.0, 38.0) * size;
                let width = (draws.range(0.5, 0.9) * size).max(0.25);
                let line = surface_line(solid, centre, frame, length, 0.08, draws);
                let region = line_bounds(&line, width + 0.5);
                let colour = draws.pick(&[[0.85, 0.85, 0.86], [0.10, 0.10, 0.11]]);
                (Change::Line { line, width, colour, opacity: (0.3 * severity).clamp(0.15, 0.95) }, region)
            }
            DefectKind::Print => {
                let size = (draws.range(5.0, 9.0) * size).max(2.0);
                let colour =
                    draws.pick(&[[0.08, 0.08, 0.10], [0.80, 0.80, 0.82], [0.55, 0.10, 0.10], [0.10, 0.20, 0.50]]);
                let change = Change::Stamp {
                    size,
                    style: draws.noise_seed(),
                    colour,
                    opacity: (0.3 * severity).clamp(0.12, 0.95),
                };
                (change, around(centre, 1.5 * size))
            }
        };
        Self { kind, centre, frame, change, region, noise_seed }
    }

    fn local(&self, p: Vec3) -> Vec3 {
        let d = p - self.centre;
        vec3(self.frame[0].dot(d), self.frame[1].dot(d), self.frame[2].dot(d))
    }

    /// Whether the surface's shape differs from the good part's.
    pub fn changes_shape(&self) -> bool {
        self.kind.visibility() != Visibility::Colour
    }

    /// The point of the good part that a point belongs to.
    pub fn undeformed(&self, p: Vec3) -> Vec3 {
        match self.change {
            Change::Bend { curvature } => {
                let beyond = (p - self.centre).dot(self.frame[0]).max(0.0);
                vec3(p.x, p.y, p.z - curvature * beyond * beyond)
            }
            // Moving the points, not the distances: a solid's field is a bound, with jumps, away from its surface.
            Change::Relief { radii, height } if self.region.holds(p) => {
                let q = self.local(p);
                let (x, y, z) = (q.x / radii[0], q.y / radii[1], q.z / radii[0]);
                let inside = (1.0 - x * x - y * y - z * z).max(0.0);
                p - self.frame[2] * (height * inside * inside)
            }
            _ => p,
        }
    }

    /// The defective part's distance from the good part's distance `d` at `p`.
    pub fn distance(&self, p: Vec3, d: f32) -> f32 {
        match &self.change {
            Change::Groove { .. } | Change::Bore { .. } | Change::Slot { .. } | Change::Removal { .. } => {
                d.max(-self.removed(p))
            }
            Change::Blobs { .. } => smooth_union(d, self.added(p), 0.3),
            _ => d,
        }
    }

    /// Distance to the body that is removed; large for kinds that remove nothing.
    fn removed(&self, p: Vec3) -> f32 {
        match &self.change {
            Change::Bore { radius, depth } => {
                let q = self.local(p);
                let ragged = 0.15 * radius * value_noise(self.noise_seed, p.x * 0.8, p.y * 0.8, p.z * 0.8);
                extruded(length2(q.x, q.y) - radius + ragged, q.z, *depth, 0.2)
            }
            Change::Groove { line, width, depth } => {
                let flatten = width / depth;
                let squash = |v: Vec3| {
                    let along = self.frame[2] * v.dot(self.frame[2]);
                    v - along * (1.0 - flatten)
                };
                let n = line.len() - 1;
                (0..n)
                    .map(|i| {
                        // Cracks run out at both ends.
                        let taper = |j: usize| width * (0.25 + 0.75 * (1.0 - (2.0 * j as f32 / n as f32 - 1.0).abs()));
                        capsule(
                            squash(p - line[i]),
                            Vec3::default(),
                            squash(line[i + 1] - line[i]),
                            taper(i),
                            taper(i + 1),
                        )
                    })
                    .fold(f32::MAX, f32::min)
            }
            Change::Slot { half_length, half_width, depth, lean } => {
                let q = self.local(p);
                let q = vec3(q.x, (q.y - lean * q.z) * 0.85, q.z);
                // A wedge: the slot narrows with depth.
                let narrowing = half_width * (0.6 * (-q.z / depth).clamp(0.0, 1.0));
                rounded_box(q, vec3(*half_length, half_width - narrowing, *depth), 0.15)
            }
            Change::Removal { half } => {
                let q = self.local(p);
                let ragged = 0.35 * fbm(self.noise_seed, p, 0.45, 2);
                0.7 * (ellipsoid(q, *half) + ragged)
            }
            _ => f32::MAX,
        }
    }

    /// Distance to what is added; large for kinds that add nothing.
    fn added(&self, p: Vec3) -> f32 {
        match &self.change {
            Change::Blobs { blobs, .. } => {
                let mut d = f32::MAX;
                for (centre, radii) in blobs {
                    let v = p - *centre;
                    let q = vec3(v.dot(self.frame[0]), v.dot(self.frame[1]), v.dot(self.frame[2]));
                    d = d.min(ellipsoid(q, *radii));
                }
                0.8 * (d - 0.12 * value_noise(self.noise_seed, p.x, p.y, p.z))
            }
            _ => f32::MAX,
        }
    }

    /// The defective part's colour at a surface point whose colour on the good part is `colour`.
    pub fn albedo(&self, p: Vec3, colour: [f32; 3], inside: [f32; 3]) -> [f32; 3] {
        /// Distance from the removed body within which a surface point lies on its wall, millimetres.
        const WALL_MM: f32 = 0.06;
        match &self.change {
            Change::Relief { .. } | Change::Bend { .. } => colour,
            Change::Blobs { colour: foreign, .. } => {
                let mottle = 1.0 + 0.2 * fbm(self.noise_seed ^ 3, p, 0.9, 2);
                blend(colour, scaled(*foreign, mottle), 1.0 - ramp(0.1, 0.4, self.added(p)))
            }
            Change::Groove { .. } => {
                if self.removed(p) < WALL_MM {
                    scaled(inside, 0.42)
                } else {
                    colour
                }
            }
            Change::Bore { depth, .. } => {
                let wall = self.removed(p) < WALL_MM;
                let deep = ramp(0.0, *depth, -self.local(p).z);
                if wall { scaled(inside, 0.75 - 0.45 * deep) } else { colour }
            }
            Change::Slot { .. } | Change::Removal { .. } => {
                if self.removed(p) < WALL_MM {
                    scaled(inside, 1.0 + 0.12 * fbm(self.noise_seed ^ 5, p, 0.7, 2))
                } else {
                    colour
                }
            }
            Change::Stain { radii, colour: stain, opacity } => {
                let q = self.local(p);
                let r = length2(q.x / radii[0], q.y / radii[1]) + 0.35 * fbm(self.noise_seed, p, 0.18, 3);
                let weight = opacity * (1.0 - ramp(0.55, 1.0, r)) * ramp(-2.0 * radii[0], -radii[0], -q.z.abs());
                blend(colour, *stain, weight)
            }
            Change::Line { line, width, colour: ink, opacity } => {
                let d = line.windows(2).map(|w| capsule(p, w[0], w[1], 0.0, 0.0)).fold(f32::MAX, f32::min);
                let broken = 0.75 + 0.25 * value_noise(self.noise_seed, p.x, p.y, p.z);
                blend(colour, *ink, opacity * broken * (1.0 - ramp(0.5 * width, *width, d)))
            }
            Change::Stamp { size, style, colour: ink, opacity } => {
                let q = self.local(p);
                let inked = if q.z.abs() < *size { stamp(q.x / size, q.y / size, *style) } else { 0.0 };
                let uneven = 0.85 + 0.15 * value_noise(self.noise_seed, p.x * 1.5, p.y * 1.5, p.z * 1.5);
                blend(colour, *ink, opacity * uneven * inked)
            }
        }
    }
}

/// Ink of a stamp on `-1.0..1.0` squared: a ring with a crossbar, or a code of bars of drawn heights on both sides of a
/// line. Each is one connected mark, so that a print counts as one defect.
fn stamp(x: f32, y: f32, style: u32) -> f32 {
    /// Columns of the code.
    const COLUMNS: f32 = 9.0;
    if style & 3 == 0 {
        let ring = (length2(x, y) - 0.8).abs() - 0.14;
        let bar = (length2(x, y) - 0.8).max((y - 0.2 * x).abs() - 0.14);
        return if ring.min(bar) < 0.0 { 1.0 } else { 0.0 };
    }
    if x.abs() >= 1.0 {
        return 0.0;
    }
    if y.abs() < 0.14 {
        return 1.0;
    }
    let column = ((x + 1.0) * 0.5 * COLUMNS) as u32;
    let within = (x + 1.0) * 0.5 * COLUMNS - column as f32;
    let bits = super::random::mix(((style as u64) << 8) | u64::from(2 * column + u32::from(y > 0.0)));
    let height = 0.14 + 0.17 * (bits & 3) as f32;
    if within < 0.62 && y.abs() < height { 1.0 } else { 0.0 }
}

/// The surface point nearest to `p`, by steps along the gradient.
pub(super) fn project(solid: &dyn Solid, mut p: Vec3) -> Vec3 {
    for _ in 0..6 {
        let d = solid.distance(p);
        p = p - super::part::gradient(|q| solid.distance(q), p, 0.05).unit() * (0.9 * d);
    }
    p
}

/// A line on the surface through `centre`, about `length` long, turning by up to `wander` radians a step.
fn surface_line(
    solid: &dyn Solid,
    centre: Vec3,
    frame: [Vec3; 3],
    length: f32,
    wander: f32,
    draws: &mut Draws,
) -> Vec<Vec3> {
    const STEPS: usize = 8;
    let mut heading = 0.0f32;
    let step = length / STEPS as f32;
    let mut at = centre - frame[0] * (0.5 * length);
    let mut line = Vec::with_capacity(STEPS + 1);
    for _ in 0..=STEPS {
        let on_surface = project(solid, at);
        // Where the surface falls away (an edge, a hole), the line stays near its plane instead of jumping.
        let jump = (on_surface - at).length();
        line.push(if jump < 0.35 * length { on_surface } else { at });
        heading += draws.range(-wander, wander);
        at = at + frame[0] * (step * libm::cosf(heading)) + frame[1] * (step * libm::sinf(heading));
    }
    line
}

fn line_bounds(line: &[Vec3], margin: f32) -> Bounds {
    let first = Bounds { min: line[0], max: line[0] };
    line.iter().fold(first, |b, p| Bounds { min: b.min.min(*p), max: b.max.max(*p) }).grown(margin)
}
