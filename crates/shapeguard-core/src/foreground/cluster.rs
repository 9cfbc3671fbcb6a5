//! DBSCAN, exactly, on the organized grid (docs/method.md, "Foreground"; Ester et al. 1996, with the
//! grid of Gunawan 2013).
//!
//! Space is cut into cubes whose diagonal is just under `eps`, so the points of one cube are all neighbours of
//! each other: a cube with `min_points` points holds only core points and needs no search, and cubes, not points,
//! are joined to clusters. Labels equal those of the textbook algorithm (and scikit-learn's) point by point:
//! clusters are numbered by their first core point, and a border point belongs to the lowest-numbered cluster that
//! reaches it. Distances are in single precision, as the points are; pinned by `tests/foreground.rs` against a slow
//! oracle and by the golden from scikit-learn.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Cube side in units of `eps`: the diagonal stays under `eps` by more than rounding.
const CUBE_SIDE: f64 = 0.577;
/// Points within `eps` lie at most this many cubes apart along an axis: `1 / CUBE_SIDE`, rounded up.
const REACH: i32 = 2;

/// The cluster of each point, `None` for noise. Clusters are numbered from 0 by their first core point.
///
/// A point is a core point if at least `min_points` points, itself counted, lie within `eps_m`.
/// Coordinates are finite and span less than 2^30 `eps_m`.
pub fn dbscan(points_m: &[[f32; 3]], eps_m: f32, min_points: usize) -> Vec<Option<u32>> {
    let cubes = Cubes::new(points_m, eps_m);
    let core = cubes.core_points(min_points);
    let mut roots = cubes.join(&core);
    let roots: Vec<u32> = (0..cubes.len() as u32).map(|cube| find(&mut roots, cube)).collect();
    cubes.label(points_m.len(), &core, &roots)
}

/// Points by cube, with the cubes that can hold their neighbours.
struct Cubes {
    squared_eps: f32,
    /// Points of cube `c` are `starts[c]..starts[c + 1]` of `points` and `indices`.
    starts: Vec<usize>,
    points: Vec<[f32; 3]>,
    /// Index of each point in the input, ascending within a cube.
    indices: Vec<u32>,
    /// Occupied cubes near cube `c`, nearest first: `near_starts[c]..near_starts[c + 1]` of `near`.
    near_starts: Vec<usize>,
    near: Vec<u32>,
}

/// Core points of all cubes, cube by cube.
struct Core {
    starts: Vec<usize>,
    points: Vec<[f32; 3]>,
    bounds: Vec<Bounds>,
    /// Input index of each cube's first core point.
    first: Vec<Option<u32>>,
    is_core: Vec<bool>,
}

impl Core {
    fn of_cube(&self, cube: usize) -> &[[f32; 3]] {
        &self.points[self.starts[cube]..self.starts[cube + 1]]
    }
}

impl Cubes {
    fn new(points_m: &[[f32; 3]], eps_m: f32) -> Self {
        let origin = points_m.iter().fold([f32::INFINITY; 3], |m, p| [0, 1, 2].map(|axis| m[axis].min(p[axis])));
        let per_cube = 1.0 / (f64::from(eps_m) * CUBE_SIDE);
        let mut ids: HashMap<[i32; 3], u32, BuildHasherDefault<CubeHasher>> = HashMap::default();
        let mut keys: Vec<[i32; 3]> = Vec::new();
        let mut last: Option<([i32; 3], u32)> = None;
        let cube_of: Vec<u32> = points_m
            .iter()
            .map(|p| {
                let key = [0, 1, 2].map(|axis| ((f64::from(p[axis]) - f64::from(origin[axis])) * per_cube) as i32);
                // Points of neighbouring pixels mostly share a cube.
                if let Some((last_key, id)) = last
                    && last_key == key
                {
                    return id;
                }
                let id = *ids.entry(key).or_insert_with(|| {
                    keys.push(key);
                    keys.len() as u32 - 1
                });
                last = Some((key, id));
                id
            })
            .collect();

        let mut starts = vec![0usize; keys.len() + 1];
        for cube in &cube_of {
            starts[*cube as usize + 1] += 1;
        }
        for cube in 0..keys.len() {
            starts[cube + 1] += starts[cube];
        }
        let mut next = starts.clone();
        let mut indices = vec![0u32; points_m.len()];
        for (index, cube) in cube_of.iter().enumerate() {
            indices[next[*cube as usize]] = index as u32;
            next[*cube as usize] += 1;
        }
        let points = indices.iter().map(|i| points_m[*i as usize]).collect();

        let offsets = offsets_nearest_first();
        let mut near_starts = vec![0];
        let mut near = Vec::new();
        for key in &keys {
            near.extend(offsets.iter().filter_map(|o| ids.get(&[key[0] + o[0], key[1] + o[1], key[2] + o[2]])));
            near_starts.push(near.len());
        }
        Self { squared_eps: eps_m * eps_m, starts, points, indices, near_starts, near }
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    fn points(&self, cube: usize) -> &[[f32; 3]] {
        &self.points[self.starts[cube]..self.starts[cube + 1]]
    }

    fn near(&self, cube: usize) -> &[u32] {
        &self.near[self.near_starts[cube]..self.near_starts[cube + 1]]
    }

    fn core_points(&self, min_points: usize) -> Core {
        let mut core = Core {
            starts: vec![0],
            points: Vec::with_capacity(self.points.len()),
            bounds: Vec::with_capacity(self.len()),
            first: Vec::with_capacity(self.len()),
            is_core: vec![false; self.points.len()],
        };
        for cube in 0..self.len() {
            let dense = self.points(cube).len() >= min_points;
            let mut bounds = Bounds::EMPTY;
            let mut first = None;
            for i in self.starts[cube]..self.starts[cube + 1] {
                let p = self.points[i];
                if dense || self.has_neighbours(cube, p, min_points) {
                    core.is_core[i] = true;
                    core.points.push(p);
                    bounds.include(p);
                    first = first.or(Some(self.indices[i]));
                }
            }
            core.starts.push(core.points.len());
            core.bounds.push(bounds);
            core.first.push(first);
        }
        core
    }

    /// Whether at least `min_points` points lie within `eps` of `p`, a point of `cube`.
    fn has_neighbours(&self, cube: usize, p: [f32; 3], min_points: usize) -> bool {
        let mut count = self.points(cube).len();
        for near in self.near(cube) {
            if count >= min_points {
                return true;
            }
            count +=
                self.points(*near as usize).iter().filter(|q| squared_distance(p, **q) <= self.squared_eps).count();
        }
        count >= min_points
    }

    /// Union-find parents of the cubes: cubes with core points within `eps` of each other share a root.
    fn join(&self, core: &Core) -> Vec<u32> {
        let mut parents: Vec<u32> = (0..self.len() as u32).collect();
        for cube in 0..self.len() {
            if core.first[cube].is_none() {
                continue;
            }
            for near in self.near(cube) {
                // Each pair once.
                if (*near as usize) < cube || core.first[*near as usize].is_none() {
                    continue;
                }
                let (a, b) = (find(&mut parents, cube as u32), find(&mut parents, *near));
                if a != b && self.touch(core, cube, *near as usize) {
                    parents[a.max(b) as usize] = a.min(b);
                }
            }
        }
        parents
    }

    fn touch(&self, core: &Core, a: usize, b: usize) -> bool {
        let bounds = &core.bounds[b];
        core.of_cube(a)
            .iter()
            .filter(|p| bounds.squared_distance(**p) <= self.squared_eps)
            .any(|p| core.of_cube(b).iter().any(|q| squared_distance(*p, *q) <= self.squared_eps))
    }

    fn label(&self, n_points: usize, core: &Core, roots: &[u32]) -> Vec<Option<u32>> {
        // The first core point of each cluster, by root; it orders the clusters.
        let mut first = vec![u32::MAX; self.len()];
        for (root, cube_first) in roots.iter().zip(&core.first) {
            if let Some(index) = cube_first {
                first[*root as usize] = first[*root as usize].min(*index);
            }
        }
        let first_of = |cube: usize| core.first[cube].map(|_| first[roots[cube] as usize]);
        let mut firsts: Vec<u32> = first.iter().copied().filter(|f| *f != u32::MAX).collect();
        firsts.sort_unstable();
        let number: HashMap<u32, u32> = firsts.into_iter().zip(0..).collect();

        let mut labels = vec![None; n_points];
        for cube in 0..self.len() {
            for i in self.starts[cube]..self.starts[cube + 1] {
                let p = self.points[i];
                let mut cluster = first_of(cube);
                if !core.is_core[i] {
                    for near in self.near(cube) {
                        let near = *near as usize;
                        if let Some(other) = first_of(near)
                            && cluster.is_none_or(|c| other < c)
                            && core.of_cube(near).iter().any(|q| squared_distance(p, *q) <= self.squared_eps)
                        {
                            cluster = Some(other);
                        }
                    }
                }
                labels[self.indices[i] as usize] = cluster.map(|c| number[&c]);
            }
        }
        labels
    }
}

/// Axis-aligned bounds of points.
#[derive(Clone, Copy)]
struct Bounds {
    min: [f32; 3],
    max: [f32; 3],
}

impl Bounds {
    const EMPTY: Self = Self { min: [f32::INFINITY; 3], max: [f32::NEG_INFINITY; 3] };

    fn include(&mut self, p: [f32; 3]) {
        self.min = [0, 1, 2].map(|axis| self.min[axis].min(p[axis]));
        self.max = [0, 1, 2].map(|axis| self.max[axis].max(p[axis]));
    }

    /// Squared distance of a point from the box, never above that from a point in it.
    fn squared_distance(&self, p: [f32; 3]) -> f32 {
        squared_distance(p, [0, 1, 2].map(|axis| p[axis].clamp(self.min[axis], self.max[axis])))
    }
}

fn squared_distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    let [x, y, z] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    x * x + y * y + z * z
}

fn find(parents: &mut [u32], mut cube: u32) -> u32 {
    while parents[cube as usize] != cube {
        parents[cube as usize] = parents[parents[cube as usize] as usize];
        cube = parents[cube as usize];
    }
    cube
}

fn offsets_nearest_first() -> Vec<[i32; 3]> {
    let range = || -REACH..=REACH;
    let mut offsets: Vec<[i32; 3]> =
        range().flat_map(|x| range().flat_map(move |y| range().map(move |z| [x, y, z]))).collect();
    offsets.retain(|o| *o != [0; 3]);
    offsets.sort_by_key(|o| o.iter().map(|d| d * d).sum::<i32>());
    offsets
}

/// Mixes the three coordinates of a cube; the standard hasher takes most of the time for sparse clouds.
#[derive(Default)]
struct CubeHasher(u64);

impl Hasher for CubeHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    // An array of coordinates arrives as its bytes.
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(4) {
            self.write_u64(word.iter().fold(0, |w, byte| (w << 8) | u64::from(*byte)));
        }
    }

    // The length of an array of fixed length tells nothing.
    fn write_usize(&mut self, _length: usize) {}

    fn write_u64(&mut self, value: u64) {
        // The golden ratio's odd multiplier, as in Fibonacci hashing.
        self.0 = (self.0.rotate_left(21) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
