//! Scores in ascending order, the good apart from the defective ones.

use std::borrow::Borrow;

use rayon::prelude::*;

use super::regions::label_regions;
use crate::grid::{Mask, ScoreMap};

/// Scores below which one thread sorts as fast as several.
const PARALLEL_SORT_FROM: usize = 1 << 16;

/// A number whose unsigned order is the score's order; both zeros are one.
fn key(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// The score of a [`key`].
fn score_of(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// A defective pixel: its score and the region that it is in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Defective {
    key: u32,
    region: u32,
}

/// Ranked scores.
pub(super) struct Ranked {
    /// Ascending.
    good: Vec<u32>,
    /// Ascending.
    defective: Vec<Defective>,
    /// Number of pixels of each region.
    region_sizes: Vec<u32>,
}

/// All defective scores of one value, and the good scores around them.
pub(super) struct Step<'a> {
    /// How many good scores are greater.
    pub good_above: usize,
    /// How many good scores are greater or equal.
    pub good_from: usize,
    /// Regions of the defective scores of this value.
    defective: &'a [Defective],
}

impl Step<'_> {
    /// The score.
    pub fn score(&self) -> f32 {
        score_of(self.defective[0].key)
    }

    /// How many defective scores have this value.
    pub fn count(&self) -> usize {
        self.defective.len()
    }

    /// The region of each.
    pub fn regions(&self) -> impl Iterator<Item = usize> {
        self.defective.iter().map(|pixel| pixel.region as usize)
    }
}

impl Ranked {
    /// Ranks samples, each its own region. `None` if a score is no number.
    pub fn of_samples(scores: &[f32], positive: &[bool]) -> Option<Self> {
        assert_eq!(scores.len(), positive.len(), "each score needs its truth");
        if scores.iter().any(|score| score.is_nan()) {
            return None;
        }
        let of = |wanted: bool| {
            let chosen = scores.iter().zip(positive).filter(move |(_, positive)| **positive == wanted);
            chosen.map(|(score, _)| key(*score))
        };
        let defective: Vec<Defective> =
            of(true).enumerate().map(|(i, key)| Defective { key, region: i as u32 }).collect();
        let region_sizes = vec![1; defective.len()];
        Some(Self::sorted(of(false).collect(), defective, region_sizes))
    }

    /// Ranks the pixels of maps. `None` if a score is no number.
    pub fn of_maps<M, T>(maps: &[M], truths: &[T]) -> Option<Self>
    where
        M: Borrow<ScoreMap> + Sync,
        T: Borrow<Mask> + Sync,
    {
        assert_eq!(maps.len(), truths.len(), "each map needs its ground truth");
        let split: Vec<(usize, Vec<Defective>, Vec<u32>)> = maps
            .par_iter()
            .zip(truths)
            .map(|(map, truth)| split_map(map.borrow(), truth.borrow()))
            .collect::<Option<_>>()?;
        let mut good = vec![0u32; split.iter().map(|(good, ..)| good).sum()];
        let mut rest = good.as_mut_slice();
        let mut parts = Vec::with_capacity(maps.len());
        for (count, ..) in &split {
            let (part, after) = rest.split_at_mut(*count);
            parts.push(part);
            rest = after;
        }
        parts.into_par_iter().zip(maps).zip(truths).for_each(|((part, map), truth)| {
            let pixels = map.borrow().as_slice().iter().zip(truth.borrow().as_slice());
            let good = pixels.filter(|(_, defective)| !**defective);
            part.iter_mut().zip(good).for_each(|(slot, (score, _))| *slot = key(*score));
        });
        let mut defective = Vec::with_capacity(split.iter().map(|(_, pixels, _)| pixels.len()).sum());
        let mut region_sizes = Vec::new();
        for (_, pixels, sizes) in split {
            let first = region_sizes.len() as u32;
            defective.extend(pixels.iter().map(|pixel| Defective { region: first + pixel.region, ..*pixel }));
            region_sizes.extend(sizes);
        }
        Some(Self::sorted(good, defective, region_sizes))
    }

    fn sorted(mut good: Vec<u32>, mut defective: Vec<Defective>, region_sizes: Vec<u32>) -> Self {
        if good.len() < PARALLEL_SORT_FROM {
            good.sort_unstable();
        } else {
            good.par_sort_unstable();
        }
        defective.sort_unstable();
        Self { good, defective, region_sizes }
    }

    /// Number of good scores.
    pub fn good_count(&self) -> usize {
        self.good.len()
    }

    /// Number of defective scores.
    pub fn defective_count(&self) -> usize {
        self.defective.len()
    }

    /// Pixels of each region.
    pub fn region_sizes(&self) -> &[u32] {
        &self.region_sizes
    }

    /// The good score of a rank; rank 0 is the smallest.
    pub fn good_score(&self, rank: usize) -> f32 {
        score_of(self.good[rank])
    }

    /// The distinct defective scores from the largest to the smallest.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let mut good = self.good.as_slice();
        self.defective.chunk_by(|a, b| a.key == b.key).rev().map(move |defective| {
            let key = defective[0].key;
            good = &good[..end_of(good, |other| other <= key)];
            let good_above = self.good.len() - good.len();
            let equal_from = end_of(good, |other| other < key);
            good = &good[..equal_from];
            Step { good_above, good_from: self.good.len() - equal_from, defective }
        })
    }

    /// Area under the ROC curve.
    pub fn auroc(&self) -> Option<f64> {
        if self.good.is_empty() || self.defective.is_empty() {
            return None;
        }
        // Twice the number of good-defective pairs in the right order, ties once: exact in whole numbers.
        let twice: u128 = self
            .steps()
            .map(|step| {
                let (above, from) = (step.good_above as u128, step.good_from as u128);
                step.count() as u128 * (2 * self.good.len() as u128 - above - from)
            })
            .sum();
        let pairs = self.good.len() as u128 * self.defective.len() as u128;
        Some(twice as f64 / (2 * pairs) as f64)
    }

    /// Largest F1 and its threshold, the largest of equals. It lies at a defective score: any other threshold only
    /// adds false positives to the next greater one.
    pub fn f1_max(&self) -> Option<(f64, f32)> {
        let mut found = 0;
        let mut best: Option<(f64, f32)> = None;
        for step in self.steps() {
            found += step.count();
            let f1 = 2.0 * found as f64 / (found + step.good_from + self.defective.len()) as f64;
            if best.is_none_or(|(largest, _)| f1 > largest) {
                best = Some((f1, step.score()));
            }
        }
        best
    }
}

/// Number of leading keys that are `before`, searched from the end in growing strides, since the ends of consecutive
/// steps lie close together.
fn end_of(keys: &[u32], before: impl Fn(u32) -> bool) -> usize {
    let mut stride = 1;
    let mut high = keys.len();
    while high > 0 && !before(keys[high.saturating_sub(stride)]) {
        high = high.saturating_sub(stride);
        stride *= 2;
    }
    let low = high.saturating_sub(stride);
    low + keys[low..high].partition_point(|other| before(*other))
}

/// The number of good pixels, the defective ones with their regions, and the regions' sizes.
fn split_map(map: &ScoreMap, truth: &Mask) -> Option<(usize, Vec<Defective>, Vec<u32>)> {
    assert_eq!(map.size(), truth.size(), "a map and its ground truth must have one size");
    if map.as_slice().iter().any(|score| score.is_nan()) {
        return None;
    }
    let regions = label_regions(truth);
    let defective: Vec<Defective> = map
        .as_slice()
        .iter()
        .zip(regions.labels.as_slice())
        .filter_map(|(score, label)| Some(Defective { key: key(*score), region: label.checked_sub(1)? }))
        .collect();
    Some((truth.size().area() - defective.len(), defective, regions.sizes))
}
