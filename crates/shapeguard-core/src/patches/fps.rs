//! Farthest point sampling: each next point is the one farthest from all points chosen so far (paper section 3.1;
//! Eldar et al. 1997). Ties go to the smaller index; no point is chosen twice while
//! there are others.

use super::Coordinates;

/// Squared distance of a chosen point: below every real one, so that duplicates of it are preferred to itself.
const CHOSEN: f32 = -1.0;
/// Lanes of the running maximum; any number gives the same maximum, this one fills the vector registers.
const LANES: usize = 16;

/// The state of a farthest point sampling.
pub struct FarthestPoints<'a> {
    coordinates: &'a Coordinates,
    start: u32,
    /// Squared distance of each point from the nearest chosen one.
    squared: Vec<f32>,
}

impl<'a> FarthestPoints<'a> {
    /// Begins with the point `start`.
    pub fn start(coordinates: &'a Coordinates, start: u32) -> Self {
        let mut farthest = Self { coordinates, start, squared: vec![f32::INFINITY; coordinates.len()] };
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
        let farthest = self.maximum();
        let point = self.squared.iter().position(|d| *d == farthest).unwrap_or(0) as u32;
        self.choose(point);
        point
    }

    /// Chooses the point farthest from all chosen ones among those that `may_be_chosen`; `None` if there is none.
    pub fn next_among(&mut self, may_be_chosen: impl Fn(u32) -> bool) -> Option<u32> {
        let candidates = (0u32..).zip(&self.squared).filter(|(point, d)| **d != CHOSEN && may_be_chosen(*point));
        // The first among equals: a later one replaces it only if it is farther.
        let farthest = candidates.reduce(|best, next| if next.1 > best.1 { next } else { best });
        let point = farthest?.0;
        self.choose(point);
        Some(point)
    }

    fn choose(&mut self, point: u32) {
        for (nearest, squared) in self.squared.iter_mut().zip(self.coordinates.squared_distances(point)) {
            *nearest = if squared < *nearest { squared } else { *nearest };
        }
        self.squared[point as usize] = CHOSEN;
    }

    fn maximum(&self) -> f32 {
        let (chunks, rest) = self.squared.as_chunks::<LANES>();
        let mut lanes = [CHOSEN; LANES];
        for chunk in chunks {
            for (lane, d) in lanes.iter_mut().zip(chunk) {
                *lane = if *d > *lane { *d } else { *lane };
            }
        }
        lanes.iter().chain(rest).copied().fold(CHOSEN, f32::max)
    }
}
