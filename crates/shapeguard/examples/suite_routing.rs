//! How well one model for all categories of a simulated suite tells them apart, and whether it knows what it has never seen
//! (docs/results.md, "Several kinds of parts in one model").
//!
//! `cargo run --release -p shapeguard --example suite_routing -- [SUITE] [CATEGORY...] [--preset PRESET] [--seed N]...`; another
//! seed makes other scans by the suite's definition. Only what routing needs is computed: no memory is filled, nothing is
//! written.

#![allow(clippy::print_stdout, reason = "the tables are the result")]

use std::error::Error;
use std::sync::Arc;

use rayon::prelude::*;
use shapeguard::benchmark::{Benchmark, DEFAULT_SUITE, scan_kind, scan_name, take_option};
use shapeguard::experts::Experts;
use shapeguard::{LoadedScan, presets};
use shapeguard_core::matrix::Matrix;
use shapeguard_core::routing::{Route, Router, descriptor};
use shapeguard_core::seams::ShapeExpert;
use shapeguard_core::settings::Settings;
use shapeguard_data::GOOD;
use shapeguard_data::simulator::{Category, Split};

/// Stands for the shape expert, whose features routing does not use and which take most of the time.
struct NoShape;

impl ShapeExpert for NoShape {
    fn feature_dim(&self) -> usize {
        1
    }

    fn encode(&self, points: &[[f32; 3]], patch_size: usize) -> Matrix {
        Matrix::zeros(points.len() / patch_size, 1)
    }

    fn signed_distances(&self, _: &Matrix, queries: &[[f32; 3]], _: usize) -> Vec<f32> {
        vec![0.0; queries.len()]
    }
}

/// A category as routing sees it.
struct Described {
    /// Training and validation scans.
    learnt: Matrix,
    good: Vec<Vec<f32>>,
    defective: Vec<Vec<f32>>,
}

/// Scans, and how many of them something is true of.
#[derive(Clone, Copy, Default)]
struct Count {
    of: usize,
    hits: usize,
}

impl Count {
    fn add(&mut self, is_hit: bool) {
        self.of += 1;
        self.hits += usize::from(is_hit);
    }

    fn and(self, other: Self) -> Self {
        Self { of: self.of + other.of, hits: self.hits + other.hits }
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} ({:.1} %)", self.hits, self.of, 100.0 * self.hits as f64 / self.of.max(1) as f64)
    }
}

/// What became of the good and the defective scans.
#[derive(Clone, Copy, Default)]
struct Counts {
    good: Count,
    defective: Count,
}

impl Counts {
    fn and(self, other: Self) -> Self {
        Self { good: self.good.and(other.good), defective: self.defective.and(other.defective) }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let settings = presets::load(&take_option(&mut arguments, "--preset").unwrap_or_else(|| "default".to_owned()))?;
    let mut seeds: Vec<u64> = Vec::new();
    while let Some(seed) = take_option(&mut arguments, "--seed") {
        seeds.push(seed.parse()?);
    }
    let mut arguments = arguments.into_iter();
    let suite_name = arguments.next().unwrap_or_else(|| DEFAULT_SUITE.to_owned());
    let mut benchmark = Benchmark::new(&suite_name, &arguments.collect::<Vec<_>>())?;
    if seeds.is_empty() {
        seeds.push(benchmark.suite.seed);
    }
    let experts = Experts { shape: Arc::new(NoShape), ..Experts::from_settings(&settings.experts)? };

    println!(
        "| seed | good to their own | defective to their own | good called unknown | defective called unknown | left out, called unknown: good | defective |\n|---|---|---|---|---|---|---|"
    );
    let mut by_category = vec![(Counts::default(), Counts::default()); benchmark.categories.len()];
    for seed in seeds {
        benchmark.suite.seed = seed;
        let mut described = Vec::new();
        for category in benchmark.categories.iter().copied() {
            described.push(describe(&benchmark, category, &settings, &experts)?);
            eprintln!("seed {seed}: {category}");
        }
        let all: Vec<usize> = (0..described.len()).collect();
        let router = learn(&described, &all)?;
        let (mut own, mut unknown, mut strangers) = (Counts::default(), Counts::default(), Counts::default());
        for (position, category) in described.iter().enumerate() {
            let is_own = |route: &Route| route.is_known && route.nearest == position;
            own = own.and(count(&router, category, is_own));
            unknown = unknown.and(count(&router, category, |route| !route.is_known));
        }
        for (position, left_out) in described.iter().enumerate() {
            let others: Vec<usize> = all.iter().copied().filter(|other| *other != position).collect();
            let router = learn(&described, &others)?;
            let of_left_out = count(&router, left_out, |route| !route.is_known);
            strangers = strangers.and(of_left_out);
            let known = others.iter().map(|other| count(&router, &described[*other], |route| !route.is_known));
            let (of_category, of_others) = &mut by_category[position];
            *of_category = of_category.and(of_left_out);
            *of_others = known.fold(*of_others, Counts::and);
        }
        println!(
            "| {seed} | {} | {} | {} | {} | {} | {} |",
            own.good, own.defective, unknown.good, unknown.defective, strangers.good, strangers.defective
        );
    }
    println!(
        "\n| left out | its good scans called unknown | its defective ones | good scans of the others called unknown | defective ones |\n|---|---|---|---|---|"
    );
    for (category, (left_out, others)) in benchmark.categories.iter().zip(&by_category) {
        println!(
            "| {category} | {} | {} | {} | {} |",
            left_out.good, left_out.defective, others.good, others.defective
        );
    }
    Ok(())
}

fn describe(
    benchmark: &Benchmark,
    category: Category,
    settings: &Settings,
    experts: &Experts,
) -> Result<Described, Box<dyn Error>> {
    let of = |split: Split| -> Result<Vec<(&'static str, Vec<f32>)>, String> {
        let planned = benchmark.scans(category, split);
        let each = planned.par_iter().map(|planned| {
            let loaded = LoadedScan { scan: benchmark.simulate(category, planned).scan, mask: None };
            let prepared = experts.prepare(&loaded, settings);
            let prepared = prepared.map_err(|error| format!("{category}/{}: {error}", scan_name(planned)))?;
            Ok((scan_kind(planned), descriptor(&prepared.features)))
        });
        each.collect()
    };
    let learnt = [of(Split::Train)?, of(Split::Validation)?].concat();
    let dims = learnt.first().map_or(0, |(_, values)| values.len());
    let values = learnt.iter().flat_map(|(_, values)| values.clone()).collect();
    let (good, defective): (Vec<_>, Vec<_>) = of(Split::Test)?.into_iter().partition(|(kind, _)| *kind == GOOD);
    let without_kind = |scans: Vec<(&str, Vec<f32>)>| scans.into_iter().map(|(_, values)| values).collect();
    Ok(Described {
        learnt: Matrix::from_vec(learnt.len(), dims, values),
        good: without_kind(good),
        defective: without_kind(defective),
    })
}

fn learn(described: &[Described], which: &[usize]) -> Result<Router, Box<dyn Error>> {
    let learnt: Vec<Matrix> = which.iter().map(|position| described[*position].learnt.clone()).collect();
    Ok(Router::learn(&learnt)?)
}

/// Counts a category's test scans whose route is a hit.
fn count(router: &Router, category: &Described, is_hit: impl Fn(&Route) -> bool) -> Counts {
    let of = |scans: &[Vec<f32>]| {
        let mut count = Count::default();
        scans.iter().for_each(|scan| count.add(is_hit(&router.route(scan))));
        count
    };
    Counts { good: of(&category.good), defective: of(&category.defective) }
}
