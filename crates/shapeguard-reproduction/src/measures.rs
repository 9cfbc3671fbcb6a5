//! Figures of a set of scans, with intervals by resampling scans.

use rand::{RngExt, SeedableRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use shapeguard::evaluation::mean;
use shapeguard_core::grid::{Mask, ScoreMap};
use shapeguard_core::metrics::{PixelMetrics, auroc};

/// Resamples for an interval.
const RESAMPLES: usize = 100;
/// Shares of the resamples that lie below an interval's ends: 95 % lie within.
const INTERVAL: [f64; 2] = [0.025, 0.975];

/// Positions of the limits 0.3 and 0.01 among AUPRO's seven.
pub const LIMIT_03: usize = 0;
/// See [`LIMIT_03`].
pub const LIMIT_001: usize = 6;

/// The figures of one kind of map on one category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Good scans that were judged.
    pub good: usize,
    /// Defective scans that were judged.
    pub defective: usize,
    /// `None` unless there are good and defective scans.
    pub i_auroc: Option<f64>,
    /// `None` unless there are good and defective pixels.
    pub p_auroc: Option<f64>,
    /// Exact, at the seven limits.
    pub aupro: Option<[f64; 7]>,
    /// With 100 thresholds, as published figures are.
    pub aupro_100: Option<[f64; 7]>,
    /// The figures of resampled scans; the same resample of each category makes a resample of the mean.
    pub resampled: Vec<Resampled>,
}

/// Figures of scans that were drawn with replacement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resampled {
    /// I-AUROC.
    pub i_auroc: Option<f64>,
    /// AUPRO 0.3 with 100 thresholds, where wanted.
    pub aupro_03: Option<f64>,
    /// AUPRO 0.01 with 100 thresholds, where wanted.
    pub aupro_001: Option<f64>,
}

/// One scan's score and map.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// The sample's score.
    pub score: f32,
    /// Its map.
    pub map: &'a ScoreMap,
    /// Where it is defective; `None` if nobody knows.
    pub truth: Option<&'a Mask>,
    /// Whether it is.
    pub is_defective: bool,
}

/// Measures scans. Intervals of AUPRO cost a hundred times the figure: only `with_map_intervals`.
pub fn measure(scans: &[Scored<'_>], seed: u64, with_map_intervals: bool) -> Measures {
    let pixels = pixel_metrics(scans);
    let groups = [false, true]
        .map(|defective| (0..scans.len()).filter(|i| scans[*i].is_defective == defective).collect::<Vec<usize>>());
    let resampled = (0..RESAMPLES as u64)
        .into_par_iter()
        .map(|number| {
            // A generator for each, so that the number of threads changes nothing.
            let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(number);
            let drawn: Vec<Scored<'_>> = groups
                .iter()
                .flat_map(|group| {
                    (0..group.len()).map(|_| group[random.random_range(0..group.len())]).collect::<Vec<_>>()
                })
                .map(|index| scans[index])
                .collect();
            let pixels = if with_map_intervals { pixel_metrics(&drawn) } else { None };
            let area = |limit: usize| pixels.as_ref().map(|pixels| pixels.aupro_100[limit]);
            Resampled { i_auroc: image_auroc(&drawn), aupro_03: area(LIMIT_03), aupro_001: area(LIMIT_001) }
        })
        .collect();
    Measures {
        good: groups[0].len(),
        defective: groups[1].len(),
        i_auroc: image_auroc(scans),
        p_auroc: pixels.as_ref().map(|pixels| pixels.p_auroc),
        aupro: pixels.as_ref().map(|pixels| pixels.aupro),
        aupro_100: pixels.as_ref().map(|pixels| pixels.aupro_100),
        resampled,
    }
}

fn image_auroc(scans: &[Scored<'_>]) -> Option<f64> {
    let (scores, defective): (Vec<f32>, Vec<bool>) = scans.iter().map(|scan| (scan.score, scan.is_defective)).unzip();
    auroc(&scores, &defective)
}

fn pixel_metrics(scans: &[Scored<'_>]) -> Option<PixelMetrics> {
    let (maps, truths): (Vec<&ScoreMap>, Vec<&Mask>) =
        scans.iter().filter_map(|scan| Some((scan.map, scan.truth?))).unzip();
    PixelMetrics::compute(&maps, &truths)
}

/// The 95 % interval of the mean over categories.
pub fn interval(categories: &[&Measures], figure: impl Fn(&Resampled) -> Option<f64>) -> Option<[f64; 2]> {
    let count = categories.iter().map(|measures| measures.resampled.len()).min()?;
    let mut means: Vec<f64> = (0..count)
        .map(|number| mean(categories.iter().map(|measures| figure(&measures.resampled[number]))))
        .collect::<Option<_>>()?;
    means.sort_by(f64::total_cmp);
    let last = count.checked_sub(1)?;
    Some(INTERVAL.map(|share| means[(share * last as f64).round() as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shapeguard_core::grid::{Grid, GridSize};

    /// Maps of one pixel column each: defective scans score higher but for one.
    fn scans(maps: &[ScoreMap], truths: &[Mask]) -> Vec<(f32, bool)> {
        assert_eq!(maps.len(), truths.len());
        vec![(1.0, false), (2.0, false), (3.0, false), (2.5, true), (4.0, true), (5.0, true)]
    }

    fn maps() -> (Vec<ScoreMap>, Vec<Mask>) {
        let size = GridSize::new(4, 4);
        let maps = (0..6).map(|i| Grid::from_fn(size, |r, c| (r * 4 + c + i) as f32)).collect();
        let truths = (0..6).map(|i| Grid::from_fn(size, |r, c| i > 2 && r * 4 + c > 12)).collect();
        (maps, truths)
    }

    fn scored<'a>(maps: &'a [ScoreMap], truths: &'a [Mask]) -> Vec<Scored<'a>> {
        let scores = scans(maps, truths);
        let all = scores.into_iter().zip(maps).zip(truths);
        all.map(|(((score, is_defective), map), truth)| Scored { score, map, truth: Some(truth), is_defective })
            .collect()
    }

    #[test]
    fn figures_are_the_metrics_and_resamples_stay_around_them() {
        let (maps, truths) = maps();
        let measures = measure(&scored(&maps, &truths), 7, true);
        assert_eq!((measures.good, measures.defective), (3, 3));
        // Of nine pairs one is in the wrong order.
        assert_eq!(measures.i_auroc, Some(8.0 / 9.0));
        assert_eq!(measures.aupro, PixelMetrics::compute(&maps, &truths).map(|pixels| pixels.aupro));
        let [low, high] = interval(&[&measures], |resampled| resampled.i_auroc).unwrap();
        assert!(low < 8.0 / 9.0 && (8.0 / 9.0..=1.0).contains(&high), "{low} {high}");
        assert!(interval(&[&measures], |resampled| resampled.aupro_001).is_some());
    }

    #[test]
    fn one_seed_gives_one_result_on_any_number_of_threads() {
        let (maps, truths) = maps();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| measure(&scored(&maps, &truths), 7, true))
        };
        assert_eq!(on(1), on(3));
        assert_ne!(on(1), measure(&scored(&maps, &truths), 8, true));
    }

    #[test]
    fn what_was_not_resampled_has_no_interval() {
        let (maps, truths) = maps();
        let without = measure(&scored(&maps, &truths), 7, false);
        assert_eq!(interval(&[&without], |resampled| resampled.aupro_03), None);
        let good_only: Vec<Scored<'_>> = scored(&maps, &truths)[..3].to_vec();
        let measures = measure(&good_only, 7, true);
        assert_eq!((measures.i_auroc, measures.aupro, measures.p_auroc), (None, None, None));
    }
}
