//! Farthest point sampling: each next point is the one farthest from all points chosen so far (paper section 3.1;
//! Eldar et al. 1997). Ties go to the smaller index; no point is chosen twice while
//! there are others.
//!
//! A bucket of points is left alone while the chosen point is farther from it than the bucket's farthest point is from those chosen before:
//! none of its distances can change then (as in Han et al. 2023, "QuickFPS").

use super::buckets::PointBuckets;

/// Lanes of the running maximum; any number gives the same maximum, this one fills the vector registers.
const LANES: usize = 8;
/// Squared distance of a chosen point: below every real one, so that duplicates of it are preferred to itself.
const CHOSEN: f32 = -1.0;

/// The state of a farthest point sampling.
pub struct FarthestPoints<'a> {
    buckets: &'a PointBuckets,
    start: u32,
    /// Squared distance of each point from the nearest chosen one, in the order of the buckets.
    squared: Vec<f32>,
    /// The largest of them in each bucket.
    farthest: Vec<f32>,
}

impl<'a> FarthestPoints<'a> {
    /// Begins with the point `start`.
    pub fn start(buckets: &'a PointBuckets, start: u32) -> Self {
        let squared = vec![f32::INFINITY; buckets.len()];
        let mut farthest = Self { buckets, start, squared, farthest: vec![f32::INFINITY; buckets.bucket_count()] };
        farthest.choose(start);
        farthest
    }

    /// The first point.
    pub fn start_point(&self) -> u32 {
        self.start
    }

    /// Chooses the point farthest from all chosen ones.
    ///
    /// # Panics
    /// If there are no points.
    #[allow(clippy::should_implement_trait)] // It never ends: the caller knows how many points it wants.
    pub fn next(&mut self) -> u32 {
        let farthest = self.farthest.iter().copied().fold(CHOSEN, f32::max);
        let buckets = (0..self.farthest.len()).filter(|bucket| self.farthest[*bucket] == farthest);
        let first_of_each = buckets.filter_map(|bucket| {
            let places = self.buckets.places_of(bucket);
            let mut points = self.buckets.points_at(places.clone()).iter().zip(&self.squared[places]);
            points.find(|(_, squared)| **squared == farthest).map(|(point, _)| *point)
        });
        let point = first_of_each.min().unwrap_or(0);
        self.choose(point);
        point
    }

    /// Chooses the point farthest from all chosen ones among those that `may_be_chosen`; `None` if there is none.
    pub fn next_among(&mut self, may_be_chosen: impl Fn(u32) -> bool) -> Option<u32> {
        let points = self.buckets.points_at(0..self.buckets.len()).iter().zip(&self.squared);
        let candidates = points.filter(|(point, d)| **d != CHOSEN && may_be_chosen(**point));
        let is_preferred = |new: (&u32, &f32), old: (&u32, &f32)| new.1 > old.1 || (new.1 == old.1 && new.0 < old.0);
        let point = *candidates.reduce(|best, next| if is_preferred(next, best) { next } else { best })?.0;
        self.choose(point);
        Some(point)
    }

    fn choose(&mut self, point: u32) {
        for (bucket, nearest) in self.buckets.squared_distances_of_buckets(point).enumerate() {
            if nearest < self.farthest[bucket] {
                let places = self.buckets.places_of(bucket);
                let new = self.buckets.squared_distances(places.clone(), point);
                for (old, new) in self.squared[places].iter_mut().zip(new) {
                    *old = if new < *old { new } else { *old };
                }
                self.farthest[bucket] = self.farthest_in(bucket);
            }
        }
        let place = self.buckets.place_of(point);
        self.squared[place] = CHOSEN;
        let bucket = self.buckets.bucket_of(place);
        self.farthest[bucket] = self.farthest_in(bucket);
    }

    fn farthest_in(&self, bucket: usize) -> f32 {
        let (chunks, rest) = self.squared[self.buckets.places_of(bucket)].as_chunks::<LANES>();
        let mut lanes = [CHOSEN; LANES];
        for chunk in chunks {
            for (lane, squared) in lanes.iter_mut().zip(chunk) {
                *lane = if *squared > *lane { *squared } else { *lane };
            }
        }
        lanes.iter().chain(rest).copied().fold(CHOSEN, f32::max)
    }
}
