//! One scan's scene: the camera, the part's pose, the table and the light, drawn from the sample's seed.

use serde::{Deserialize, Serialize};

use super::category::{Category, View};
use super::random::{Draws, mix};
use super::vector::{Rigid, Vec3, vec3};

/// Camera and projector of a category's scans, as written to `calibration/camera_parameters.json`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CameraParameters {
    /// Width of the image, pixels.
    pub image_width: usize,
    /// Height of the image, pixels.
    pub image_height: usize,
    /// Focal length over the pixels' pitch, the same in both directions.
    pub focal_length_px: f32,
    /// Column of the principal point; a pixel's centre has its index as coordinate.
    pub principal_point_x_px: f32,
    /// Row of the principal point.
    pub principal_point_y_px: f32,
    /// Projector's position to the right of the camera, metres.
    pub baseline_m: f32,
    /// Distance from the camera to the table along the optical axis, metres.
    pub table_distance_m: f32,
}

/// Distance from camera to projector, millimetres: a hand-sized structured-light sensor.
const BASELINE_MM: f32 = 150.0;

impl CameraParameters {
    pub(super) fn of(view: View) -> Self {
        Self {
            image_width: view.size.cols,
            image_height: view.size.rows,
            focal_length_px: view.distance_mm / view.pixel_mm,
            principal_point_x_px: 0.5 * (view.size.cols as f32 - 1.0),
            principal_point_y_px: 0.5 * (view.size.rows as f32 - 1.0),
            baseline_m: BASELINE_MM * 1e-3,
            table_distance_m: view.distance_mm * 1e-3,
        }
    }

    /// Direction of a pixel's ray with z = 1.
    pub(super) fn ray(&self, row: usize, col: usize) -> Vec3 {
        vec3(
            (col as f32 - self.principal_point_x_px) / self.focal_length_px,
            (row as f32 - self.principal_point_y_px) / self.focal_length_px,
            1.0,
        )
    }
}

/// What may come loose on a line: other than the variation between scans, it stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disturbance {
    /// Share of the light that is left.
    pub light: f32,
    /// Turn of the camera about the middle of its view, radians.
    pub camera_tilt: f32,
}

impl Disturbance {
    /// Nothing came loose.
    pub const NONE: Self = Self { light: 1.0, camera_tilt: 0.0 };
}

/// What a sample's seed decides besides the part's own shape.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub camera: CameraParameters,
    pub camera_from_part: Rigid,
    /// The table in the part's frame: `normal . p = height`.
    pub table_normal: Vec3,
    pub table_height: f32,
    /// Camera's and projector's positions in the part's frame.
    pub eye: Vec3,
    pub projector: Vec3,
    /// Direction to the light in the part's frame.
    pub to_light: Vec3,
    pub ambient: f32,
    pub diffuse: f32,
    /// Colour of the light.
    pub cast: [f32; 3],
    pub table_colour: [f32; 3],
    pub table_seed: u32,
    /// Key of the pixels' noise.
    pub noise_key: u64,
    /// Phase, in radians, of the depth ripple that gamma errors of a fringe projector leave.
    pub ripple_phase: f32,
}

/// The stream of draws of one sample.
pub(super) fn sample_draws(category: Category, seed: u64, sample_index: u64) -> Draws {
    // Keyed by name: a category added later changes no other's scans.
    let name = category.name().bytes().fold(0u64, |key, byte| mix(key ^ u64::from(byte)));
    Draws::new(mix(mix(seed) ^ name) ^ mix(sample_index))
}

impl Scene {
    pub fn draw(view: View, draws: &mut Draws) -> Self {
        let camera = CameraParameters::of(view);
        // Camera's frame: x right, y down, z away. The table's normal points back, tilted by up to some degrees.
        let (lean_x, lean_y) = (draws.range(-0.03, 0.03), draws.range(-0.03, 0.03));
        let up = vec3(lean_x, lean_y, -1.0).unit();
        let along = vec3(1.0, 0.0, lean_x).unit();
        let along = (along - up * along.dot(up)).unit();
        let across = up.cross(along);
        let yaw = draws.range(-view.yaw, view.yaw);
        let (cos, sin) = (libm::cosf(yaw), libm::sinf(yaw));
        let (x, y) = (along * cos + across * sin, across * cos - along * sin);
        // The part leans a little on the table.
        let (tilt_x, tilt_y) = (draws.range(-view.tilt, view.tilt), draws.range(-view.tilt, view.tilt));
        let z = (up + x * tilt_x + y * tilt_y).unit();
        let x = (x - z * x.dot(z)).unit();
        let y = z.cross(x);
        let place = along * draws.range(-view.shift_mm[0], view.shift_mm[0])
            + across * draws.range(-view.shift_mm[1], view.shift_mm[1]);
        let camera_from_part =
            Rigid { axes: [x, y, z], translation: vec3(0.0, 0.0, view.distance_mm + draws.range(-6.0, 6.0)) + place };
        let table_normal = camera_from_part.inverse_direction(up);
        let light = vec3(draws.range(-0.6, 0.6), draws.range(-0.6, 0.6), -1.0).unit();
        let ambient = draws.range(0.52, 0.64);
        let warmth = draws.range(-0.03, 0.03);
        let level = draws.range(0.95, 1.06);
        Self {
            camera,
            table_normal,
            table_height: 0.0,
            eye: camera_from_part.inverse_point(Vec3::default()),
            projector: camera_from_part.inverse_point(vec3(BASELINE_MM, 0.0, 0.0)),
            to_light: camera_from_part.inverse_direction(light),
            ambient: ambient * level,
            diffuse: draws.range(0.40, 0.52) * level,
            cast: [1.0 + warmth, 1.0, 1.0 - warmth],
            table_colour: draws.colour(view.table, 0.06, 0.02),
            table_seed: draws.noise_seed(),
            noise_key: draws.bits(),
            ripple_phase: draws.range(0.0, std::f32::consts::TAU),
            camera_from_part,
        }
    }

    /// Changes what has come loose since the good parts were scanned.
    pub fn disturb(&mut self, disturbance: Disturbance) {
        self.ambient *= disturbance.light;
        self.diffuse *= disturbance.light;
        let (cos, sin) = (libm::cosf(disturbance.camera_tilt), libm::sinf(disturbance.camera_tilt));
        // About the camera's x axis, through the point of the table in its middle, so that the part stays in view.
        let table = vec3(0.0, 0.0, self.camera.table_distance_m * 1e3);
        let turn = |v: Vec3| vec3(v.x, v.y * cos - v.z * sin, v.y * sin + v.z * cos);
        let Rigid { axes, translation } = self.camera_from_part;
        let moved = Rigid { axes: axes.map(turn), translation: turn(translation - table) + table };
        self.eye = moved.inverse_point(Vec3::default());
        self.projector = moved.inverse_point(vec3(BASELINE_MM, 0.0, 0.0));
        self.camera_from_part = moved;
    }

    /// Unit direction of a pixel's ray in the part's frame.
    pub fn ray(&self, row: usize, col: usize) -> Vec3 {
        self.camera_from_part.inverse_direction(self.camera.ray(row, col).unit())
    }

    /// Distance along a ray from the camera to the table.
    pub fn to_table(&self, direction: Vec3) -> f32 {
        (self.table_height - self.table_normal.dot(self.eye)) / self.table_normal.dot(direction)
    }

    /// Height of a point above the table, millimetres.
    pub fn height(&self, p: Vec3) -> f32 {
        self.table_normal.dot(p) - self.table_height
    }

    /// Row and column at which a point of the part's frame is seen.
    pub fn pixel(&self, p: Vec3) -> [f32; 2] {
        let c = self.camera_from_part.point(p);
        [
            c.y / c.z * self.camera.focal_length_px + self.camera.principal_point_y_px,
            c.x / c.z * self.camera.focal_length_px + self.camera.principal_point_x_px,
        ]
    }
}
