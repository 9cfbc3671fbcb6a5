//! Surfaces that are a height over the image plane: quadric, waves, and a crease or step along a line.

use rand_chacha::ChaCha8Rng;

use crate::random::{below, between, uniform};

/// Radii of curvature, grid spacings, drawn evenly in their logarithm: from half a patch to nearly flat.
const RADII: (f32, f32) = (9.0, 300.0);
/// Steepest slope: 56 degrees.
const MAX_SLOPE: f32 = 1.5;
/// Wavelengths, grid spacings: from what the grid barely resolves to a patch and a half.
const WAVELENGTHS: (f32, f32) = (7.0, 40.0);
/// Largest amplitude of a wave, in wavelengths.
const MAX_AMPLITUDE: f32 = 0.06;
/// Steps of the search for the closest point; it converges quadratically away from the centres of curvature.
const CLOSEST_POINT_STEPS: usize = 12;

/// `z = h(x, y)`.
#[derive(Clone, Debug)]
pub(super) struct Height {
    slope: [f32; 2],
    /// Second derivatives: xx, xy, yy.
    curvature: [f32; 3],
    waves: Vec<Wave>,
    fold: Option<Fold>,
}

#[derive(Clone, Debug)]
struct Wave {
    frequency: [f32; 2],
    phase: f32,
    amplitude: f32,
}

/// What happens across a line.
#[derive(Clone, Debug)]
struct Fold {
    direction: [f32; 2],
    offset: f32,
    kind: FoldKind,
}

#[derive(Clone, Debug)]
enum FoldKind {
    /// The slope changes by twice this, over this radius.
    Crease { slope: f32, radius: f32 },
    /// The height changes by this, over this width.
    Step { height: f32, width: f32 },
}

/// Height, first and second derivatives (xx, xy, yy).
struct Jet {
    value: f32,
    first: [f32; 2],
    second: [f32; 3],
}

fn log_uniform(random: &mut ChaCha8Rng, (low, high): (f32, f32)) -> f32 {
    between(random, low.ln(), high.ln()).exp()
}

fn sign(random: &mut ChaCha8Rng) -> f32 {
    if uniform(random) < 0.5 { -1.0 } else { 1.0 }
}

impl Height {
    pub(super) fn random(random: &mut ChaCha8Rng) -> Self {
        let angle = between(random, 0.0, std::f32::consts::TAU);
        let steepness = MAX_SLOPE * uniform(random).powf(1.5);
        let slope = [steepness * angle.cos(), steepness * angle.sin()];
        // Principal curvatures: none (plane), one (ridge), equal (bowl) or any two (saddles among them).
        let first = sign(random) / log_uniform(random, RADII);
        let (k1, k2) = match below(random, 6) {
            0 => (0.0, 0.0),
            1 => (first, 0.0),
            2 => (first, first),
            _ => (first, sign(random) / log_uniform(random, RADII)),
        };
        let (sin, cos) = between(random, 0.0, std::f32::consts::PI).sin_cos();
        let curvature = [k1 * cos * cos + k2 * sin * sin, (k1 - k2) * sin * cos, k1 * sin * sin + k2 * cos * cos];
        let n_waves = if uniform(random) < 0.4 { 1 + below(random, 4) } else { 0 };
        let waves = (0..n_waves)
            .map(|_| {
                let length = log_uniform(random, WAVELENGTHS);
                let angle = between(random, 0.0, std::f32::consts::TAU);
                let frequency = [angle.cos(), angle.sin()].map(|x| x * std::f32::consts::TAU / length);
                let amplitude = MAX_AMPLITUDE * length * uniform(random).powi(2);
                Wave { frequency, phase: between(random, 0.0, std::f32::consts::TAU), amplitude }
            })
            .collect();
        let fold = (uniform(random) < 0.35).then(|| Fold::random(random));
        Self { slope, curvature, waves, fold }
    }

    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        self.jet(x, y).value
    }

    fn jet(&self, x: f32, y: f32) -> Jet {
        let [xx, xy, yy] = self.curvature;
        let linear = [xx * x + xy * y, xy * x + yy * y];
        let mut jet = Jet {
            value: self.slope[0] * x + self.slope[1] * y + 0.5 * (linear[0] * x + linear[1] * y),
            first: [self.slope[0] + linear[0], self.slope[1] + linear[1]],
            second: self.curvature,
        };
        for wave in &self.waves {
            let [u, v] = wave.frequency;
            let (sin, cos) = (u * x + v * y + wave.phase).sin_cos();
            jet.add_along([u, v], wave.amplitude * sin, wave.amplitude * cos, -wave.amplitude * sin);
        }
        if let Some(fold) = &self.fold {
            let t = fold.direction[0] * x + fold.direction[1] * y - fold.offset;
            let (value, first, second) = fold.kind.jet(t);
            jet.add_along(fold.direction, value, first, second);
        }
        jet
    }

    /// Signed distance, positive towards the camera (smaller z), and its unit gradient.
    pub(super) fn signed_distance(&self, p: [f32; 3]) -> (f32, [f32; 3]) {
        let side = if p[2] <= self.at(p[0], p[1]) { 1.0 } else { -1.0 };
        // Damped Newton steps towards the smallest distance, from the point below p.
        let (mut x, mut y) = (p[0], p[1]);
        for _ in 0..CLOSEST_POINT_STEPS {
            let jet = self.jet(x, y);
            let rest = jet.value - p[2];
            let gradient = [x - p[0] + rest * jet.first[0], y - p[1] + rest * jet.first[1]];
            // Without the second derivatives where they would make the step go uphill.
            let hessian = |keep: f32| {
                let [hx, hy] = jet.first;
                let [xx, xy, yy] = jet.second.map(|s| keep * rest * s);
                [1.0 + hx * hx + xx, hx * hy + xy, 1.0 + hy * hy + yy]
            };
            let determinant = |h: [f32; 3]| h[0] * h[2] - h[1] * h[1];
            let full = hessian(1.0);
            let h = if full[0] > 0.1 && determinant(full) > 0.1 { full } else { hessian(0.0) };
            let d = determinant(h);
            let step = [(h[2] * gradient[0] - h[1] * gradient[1]) / d, (h[0] * gradient[1] - h[1] * gradient[0]) / d];
            // No step is longer than the wall of a step is wide.
            let length = step[0].hypot(step[1]);
            let shrink = if length > 2.0 { 2.0 / length } else { 1.0 };
            x -= shrink * step[0];
            y -= shrink * step[1];
        }
        let jet = self.jet(x, y);
        let away = [p[0] - x, p[1] - y, p[2] - jet.value];
        let distance = away.iter().map(|a| a * a).sum::<f32>().sqrt();
        if distance < 1e-4 {
            let normal = [jet.first[0], jet.first[1], -1.0];
            let length = normal.iter().map(|a| a * a).sum::<f32>().sqrt();
            return (side * distance, normal.map(|a| a / length));
        }
        (side * distance, away.map(|a| side * a / distance))
    }
}

impl Jet {
    /// Adds a function of `t = direction . (x, y)` with the given value and derivatives.
    fn add_along(&mut self, [u, v]: [f32; 2], value: f32, first: f32, second: f32) {
        self.value += value;
        self.first[0] += u * first;
        self.first[1] += v * first;
        self.second[0] += u * u * second;
        self.second[1] += u * v * second;
        self.second[2] += v * v * second;
    }
}

impl Fold {
    fn random(random: &mut ChaCha8Rng) -> Self {
        let angle = between(random, 0.0, std::f32::consts::TAU);
        let kind = if uniform(random) < 0.5 {
            FoldKind::Crease { slope: sign(random) * between(random, 0.1, 1.0), radius: between(random, 0.2, 5.0) }
        } else {
            let height = sign(random) * log_uniform(random, (0.7, 15.0));
            FoldKind::Step { height, width: between(random, 0.4, 4.0) }
        };
        Self { direction: [angle.cos(), angle.sin()], offset: between(random, -10.0, 10.0), kind }
    }
}

impl FoldKind {
    /// Value, first and second derivative at `t`.
    fn jet(&self, t: f32) -> (f32, f32, f32) {
        match *self {
            Self::Crease { slope, radius } => {
                let root = (t * t + radius * radius).sqrt();
                (slope * root, slope * t / root, slope * radius * radius / root.powi(3))
            }
            Self::Step { height, width } => {
                let tanh = (t / width).tanh();
                let slope = (1.0 - tanh * tanh) / width;
                (0.5 * height * tanh, 0.5 * height * slope, -height * tanh * slope / width)
            }
        }
    }
}
