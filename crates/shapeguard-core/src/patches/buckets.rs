//! Points in the buckets of a grid, so that what is far from a place need not be looked at, point by point.

use std::ops::Range;

/// Points that a bucket has in the mean: few, so that little too much is looked at, but some registers of them (measured with 23,286
/// points: 16 and 32 are slower).
const POINTS_PER_BUCKET: usize = 64;

/// Points in the order of the buckets of a grid over x and y. A bucket's bounds are those of its points, along all three axes.
pub struct PointBuckets {
    /// Coordinates by axis, so that distances to one point are computed many at a time.
    x: Vec<f32>,
    y: Vec<f32>,
    z: Vec<f32>,
    /// Which point is at each place of that order; ascending within a bucket.
    points: Vec<u32>,
    /// At which place each point is.
    places: Vec<u32>,
    /// Where each bucket begins, and the last one ends.
    starts: Vec<usize>,
    /// Bounds of each bucket, by axis.
    low: [Vec<f32>; 3],
    high: [Vec<f32>; 3],
    /// Side of a bucket; infinite if there is but one.
    side: f64,
}

impl PointBuckets {
    /// Sorts points into buckets.
    ///
    /// # Panics
    /// If a coordinate is not finite: a bug of the caller.
    pub fn new(positions: &[[f32; 3]]) -> Self {
        assert!(positions.as_flattened().iter().all(|value| value.is_finite()), "points must be finite");
        let (low, high) = bounds(positions);
        let side = bucket_side(low, high, positions.len());
        let step = |value: f32, axis: usize| ((f64::from(value) - f64::from(low[axis])) / side) as usize;
        let (columns, rows) = (step(high[0], 0) + 1, step(high[1], 1) + 1);
        let bucket_of = |p: &[f32; 3]| step(p[1], 1) * columns + step(p[0], 0);
        // A counting sort, which keeps the order of the points within a bucket.
        let mut starts = vec![0; columns * rows + 1];
        positions.iter().for_each(|p| starts[bucket_of(p) + 1] += 1);
        (1..starts.len()).for_each(|bucket| starts[bucket] += starts[bucket - 1]);
        let mut next = starts.clone();
        let (mut points, mut places) = (vec![0; positions.len()], vec![0; positions.len()]);
        for (point, p) in positions.iter().enumerate() {
            let next = &mut next[bucket_of(p)];
            points[*next] = point as u32;
            places[point] = *next as u32;
            *next += 1;
        }
        // Without the empty ones.
        starts.dedup();
        let axis = |axis: usize| points.iter().map(|point| positions[*point as usize][axis]).collect::<Vec<f32>>();
        let [x, y, z] = [0, 1, 2].map(axis);
        let extreme = |values: &[f32], of: fn(f32, f32) -> f32| -> Vec<f32> {
            starts.windows(2).map(|ends| values[ends[0]..ends[1]].iter().copied().reduce(of).unwrap_or(0.0)).collect()
        };
        let low = [&x, &y, &z].map(|values| extreme(values, f32::min));
        let high = [&x, &y, &z].map(|values| extreme(values, f32::max));
        Self { x, y, z, points, places, starts, low, high, side }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Number of buckets; none is empty.
    pub(super) fn bucket_count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The squared radius of so many points, roughly.
    pub(super) fn squared_radius_of(&self, points: usize) -> f32 {
        (self.side * self.side * (points as f64 / POINTS_PER_BUCKET as f64)) as f32
    }

    /// The places of a bucket's points.
    pub(super) fn places_of(&self, bucket: usize) -> Range<usize> {
        self.starts[bucket]..self.starts[bucket + 1]
    }

    /// The bucket in which a place is.
    pub(super) fn bucket_of(&self, place: usize) -> usize {
        self.starts.partition_point(|start| *start <= place) - 1
    }

    /// The place of a point.
    pub(super) fn place_of(&self, point: u32) -> usize {
        self.places[point as usize] as usize
    }

    /// The points at some places.
    pub(super) fn points_at(&self, places: Range<usize>) -> &[u32] {
        &self.points[places]
    }

    /// Squared distances of the points at some places from a point, in order.
    pub(super) fn squared_distances(&self, places: Range<usize>, point: u32) -> impl Iterator<Item = f32> {
        let p = self.position(point);
        let coordinates = self.x[places.clone()].iter().zip(&self.y[places.clone()]).zip(&self.z[places]);
        coordinates.map(move |((x, y), z)| squared([x - p[0], y - p[1], z - p[2]]))
    }

    /// At least how far, squared, each bucket's points are from a point: each step is rounded as for their distances, and rounding keeps order.
    pub(super) fn squared_distances_of_buckets(&self, point: u32) -> impl Iterator<Item = f32> {
        let p = self.position(point);
        let outside = |axis: usize| {
            let bounds = self.low[axis].iter().zip(&self.high[axis]);
            bounds.map(move |(low, high)| (low - p[axis]).max(p[axis] - high).max(0.0))
        };
        outside(0).zip(outside(1)).zip(outside(2)).map(|((x, y), z)| squared([x, y, z]))
    }

    fn position(&self, point: u32) -> [f32; 3] {
        let place = self.place_of(point);
        [self.x[place], self.y[place], self.z[place]]
    }
}

fn squared([x, y, z]: [f32; 3]) -> f32 {
    x * x + y * y + z * z
}

fn bounds(positions: &[[f32; 3]]) -> ([f32; 3], [f32; 3]) {
    positions.iter().fold(([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]), |(low, high), p| {
        ([0, 1, 2].map(|axis| low[axis].min(p[axis])), [0, 1, 2].map(|axis| high[axis].max(p[axis])))
    })
}

/// Side of square buckets of which `n` points have enough. Not smaller than a share of the longer side, so that a line of points has not more buckets.
fn bucket_side(low: [f32; 3], high: [f32; 3], n: usize) -> f64 {
    let [width, height] = [0, 1].map(|axis| f64::from(high[axis]) - f64::from(low[axis]));
    let buckets = (n / POINTS_PER_BUCKET).max(1) as f64;
    let side = (width * height / buckets).sqrt().max(width.max(height) / buckets);
    // Of points without extent, or none: one bucket.
    if side > 0.0 && side.is_finite() { side } else { f64::INFINITY }
}
