//! What the camera's rays meet: the noise-free picture of surface and colour, before the sensor spoils it.
//!
//! Sphere tracing (J. C. Hart, 1996), only inside the part's projected bounding box, seeded tile by tile with a cone
//! that stays clear of the surface.

use rayon::prelude::*;
use shapeguard_core::grid::{GridSize, Mask};

use super::defect::Visibility;
use super::part::Part;
use super::scene::Scene;
use super::vector::{Bounds, Vec3, vec3};

/// Side of the tiles that share a cone, pixels.
const TILE: usize = 8;

/// What a pixel sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// Distance along the ray, millimetres.
    pub range: f32,
    /// The part, not the table.
    pub part: bool,
    /// Surface point in the part's frame.
    pub point: Vec3,
    /// Outward unit normal in the part's frame.
    pub normal: Vec3,
    /// Colour of the surface.
    pub albedo: [f32; 3],
}

/// A rectangle of pixels: rows and columns, the end excluded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub rows: [usize; 2],
    pub cols: [usize; 2],
}

impl Window {
    /// The pixels that may see a box of the part's frame, `margin` pixels more on each side.
    pub fn of(bounds: Bounds, scene: &Scene, margin: f32) -> Self {
        let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
        for corner in bounds.corners() {
            let pixel = scene.pixel(corner);
            for axis in 0..2 {
                low[axis] = low[axis].min(pixel[axis] - margin);
                high[axis] = high[axis].max(pixel[axis] + margin);
            }
        }
        let range = |axis: usize, n: usize| {
            let clamped = |x: f32| (x.max(0.0) as usize).min(n);
            [clamped(low[axis].floor()), clamped(high[axis].ceil() + 1.0)]
        };
        Self { rows: range(0, scene.camera.image_height), cols: range(1, scene.camera.image_width) }
    }

    pub fn contains(&self, row: usize, col: usize) -> bool {
        (self.rows[0]..self.rows[1]).contains(&row) && (self.cols[0]..self.cols[1]).contains(&col)
    }

    /// The smallest window that contains both.
    fn with(&self, other: Window) -> Self {
        let both = |a: [usize; 2], b: [usize; 2]| [a[0].min(b[0]), a[1].max(b[1])];
        Self { rows: both(self.rows, other.rows), cols: both(self.cols, other.cols) }
    }

    pub fn width(&self) -> usize {
        self.cols[1].saturating_sub(self.cols[0])
    }

    pub fn height(&self) -> usize {
        self.rows[1].saturating_sub(self.rows[0])
    }
}

/// What the pixels of a window see, row by row; pixels outside see the table.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub window: Window,
    pub seen: Vec<Seen>,
}

impl Picture {
    pub fn get(&self, row: usize, col: usize) -> Option<&Seen> {
        self.window
            .contains(row, col)
            .then(|| &self.seen[(row - self.window.rows[0]) * self.window.width() + col - self.window.cols[0]])
    }

    /// This picture, widened to contain a window; what it did not contain is table.
    pub fn extended(&self, window: Window, scene: &Scene) -> Picture {
        let window = self.window.with(window);
        let pixels = (window.rows[0]..window.rows[1])
            .flat_map(|row| (window.cols[0]..window.cols[1]).map(move |col| (row, col)));
        let seen =
            pixels.map(|(row, col)| self.get(row, col).copied().unwrap_or_else(|| table(scene, scene.ray(row, col))));
        Picture { window, seen: seen.collect() }
    }

    /// Puts another picture's pixels over this one's.
    pub fn overlay(&mut self, other: &Picture) {
        let width = self.window.width();
        for row in other.window.rows[0]..other.window.rows[1] {
            for col in other.window.cols[0]..other.window.cols[1] {
                if self.window.contains(row, col)
                    && let Some(seen) = other.get(row, col)
                {
                    self.seen[(row - self.window.rows[0]) * width + col - self.window.cols[0]] = *seen;
                }
            }
        }
    }
}

/// The table as a pixel sees it.
pub(super) fn table(scene: &Scene, direction: Vec3) -> Seen {
    let range = scene.to_table(direction);
    let point = scene.eye + direction * range;
    let grain = super::random::fbm(scene.table_seed, point, 0.35, 2);
    let albedo = scene.table_colour.map(|c| c * (1.0 + 0.10 * grain));
    Seen { range, part: false, point, normal: scene.table_normal, albedo }
}

/// Looks at the part through a window, every pixel.
pub(super) fn look(part: &Part, scene: &Scene, window: Window) -> Picture {
    let width = window.width();
    let mut seen =
        vec![
            Seen { range: 0.0, part: false, point: Vec3::default(), normal: vec3(0.0, 0.0, 1.0), albedo: [0.0; 3] };
            width * window.height()
        ];
    if !seen.is_empty() {
        seen.par_chunks_mut(width * TILE).enumerate().for_each(|(band, pixels)| {
            let first_row = window.rows[0] + band * TILE;
            for first_col in (0..width).step_by(TILE) {
                look_at_tile(part, scene, window, first_row, first_col, pixels);
            }
        });
    }
    Picture { window, seen }
}

/// Traces one tile; `pixels` are the tile's rows over the window's whole width.
fn look_at_tile(part: &Part, scene: &Scene, window: Window, first_row: usize, first_col: usize, pixels: &mut [Seen]) {
    let width = window.width();
    let rows = pixels.len() / width;
    let cols = TILE.min(width - first_col);
    let middle = scene.ray(first_row + TILE / 2, window.cols[0] + first_col + TILE / 2);
    // Half a tile's diagonal and a pixel, as an angle (an upper bound off the axis).
    let spread = (0.5 * TILE as f32 * std::f32::consts::SQRT_2 + 1.0) / scene.camera.focal_length_px;
    let limit = scene.to_table(middle) + 20.0;
    let near = (scene.eye.dot(vec3(0.0, 0.0, 1.0)) - part.bounds().max.z) * 0.9;
    let start = part.cone_free(scene.eye, middle, near.max(1.0), limit, spread);
    for row in 0..rows {
        for col in first_col..first_col + cols {
            let direction = scene.ray(first_row + row, window.cols[0] + col);
            pixels[row * width + col] = look_along(part, scene, direction, start * 0.998);
        }
    }
}

fn look_along(part: &Part, scene: &Scene, direction: Vec3, start: f32) -> Seen {
    let to_table = scene.to_table(direction);
    let met = part
        .bounds()
        .grown(0.5)
        .clip(scene.eye, direction)
        .and_then(|(enter, leave)| part.meet(scene.eye, direction, enter.max(start), leave.min(to_table)));
    match met {
        Some(range) => {
            let point = scene.eye + direction * range;
            let normal = part.normal(point);
            Seen { range, part: true, point, normal, albedo: part.albedo(point, normal) }
        }
        None => table(scene, direction),
    }
}

/// Geometry counts as changed from this on, millimetres: some deviations of the sensor's noise on a frontal surface.
pub(super) const CHANGED_MM: f32 = 0.15;
/// Colour counts as changed from this on, of 1: about eight of 255 levels, just visible in a uniform patch.
pub(super) const CHANGED_ALBEDO: f32 = 0.03;

/// What the pixels of a window see of the defective part: the good part's picture wherever the defect changed neither
/// the surface that was seen nor the one that is seen now.
pub(super) fn look_again(good: (&Part, &Picture), bad: &Part, scene: &Scene, window: Window) -> Picture {
    /// The two fields are equal to rounding where the defect changes nothing.
    const TOUCHED_MM: f32 = 0.005;
    let before = |row, col| good.1.get(row, col).copied().unwrap_or_else(|| table(scene, scene.ray(row, col)));
    let visibility = bad.defect.as_ref().map(|defect| defect.kind.visibility());
    if visibility == Some(Visibility::Colour) {
        let mut picture = Picture { window, seen: Vec::with_capacity(window.width() * window.height()) };
        for row in window.rows[0]..window.rows[1] {
            for col in window.cols[0]..window.cols[1] {
                let mut seen = before(row, col);
                if seen.part {
                    seen.albedo = bad.albedo(seen.point, seen.normal);
                }
                picture.seen.push(seen);
            }
        }
        return picture;
    }
    let mut picture = look(bad, scene, window);
    let touched = |p: Vec3| (good.0.distance(p) - bad.distance(p)).abs() > TOUCHED_MM;
    let width = window.width();
    for row in window.rows[0]..window.rows[1] {
        for col in window.cols[0]..window.cols[1] {
            let now = &mut picture.seen[(row - window.rows[0]) * width + col - window.cols[0]];
            let then = before(row, col);
            if !touched(now.point) && !touched(then.point) {
                *now = then;
            } else if visibility == Some(Visibility::Depth) && now.part && then.part {
                now.albedo = then.albedo;
            }
        }
    }
    picture
}

/// Least pixels of a connected piece of a mask in a picture of 400 x 400; scaled with the larger side for others.
/// Smaller specks, where a change grazes a threshold, stay unmarked: nobody sees them, and metrics by region would weigh
/// each like a whole defect.
const LEAST_PIECE_PX: f32 = 6.0;

/// The fewest connected pixels that are marked in a picture of that size.
pub(super) fn least_piece(size: GridSize) -> usize {
    let side = size.rows.max(size.cols) as f32 / 400.0;
    (LEAST_PIECE_PX * side * side) as usize
}

/// The pixels of a window where two pictures differ, in surface or in colour, without specks.
pub(super) fn difference(good: &Picture, bad: &Picture, size: GridSize) -> Mask {
    let mut mask = Mask::filled(size, false);
    let window = bad.window;
    for row in window.rows[0]..window.rows[1] {
        for col in window.cols[0]..window.cols[1] {
            if let (Some(a), Some(b)) = (good.get(row, col), bad.get(row, col)) {
                let moved = a.part != b.part || (a.range - b.range).abs() > CHANGED_MM;
                let recoloured = (0..3).any(|i| (a.albedo[i] - b.albedo[i]).abs() > CHANGED_ALBEDO);
                mask[(row, col)] = (a.part || b.part) && (moved || recoloured);
            }
        }
    }
    remove_specks(&mut mask, window);
    mask
}

/// Clears the mask's 8-connected pieces that are smaller than [`least_piece`]; nothing is set outside the window.
fn remove_specks(mask: &mut Mask, window: Window) {
    let size = mask.size();
    let least = least_piece(size);
    let mut seen = Mask::filled(size, false);
    let mut piece = Vec::new();
    for row in window.rows[0]..window.rows[1] {
        for col in window.cols[0]..window.cols[1] {
            if !mask[(row, col)] || seen[(row, col)] {
                continue;
            }
            seen[(row, col)] = true;
            piece.clear();
            piece.push((row, col));
            let mut next = 0;
            while next < piece.len() {
                let (r, c) = piece[next];
                next += 1;
                for r in r.saturating_sub(1)..=(r + 1).min(size.rows - 1) {
                    for c in c.saturating_sub(1)..=(c + 1).min(size.cols - 1) {
                        if mask[(r, c)] && !seen[(r, c)] {
                            seen[(r, c)] = true;
                            piece.push((r, c));
                        }
                    }
                }
            }
            if piece.len() < least {
                piece.iter().for_each(|&at| mask[at] = false);
            }
        }
    }
}
